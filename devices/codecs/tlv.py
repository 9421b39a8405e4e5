"""Type and value after each other without lengths: the loop that several makers' binary codecs share.

The length of a value follows from its type alone, so one unknown type makes the rest unreadable: such an uplink is
refused whole, with its bytes kept, until the profile describes the type.
"""

from devices.codecs import Context, Decoder
from devices.codecs.field_values import allow_options
from devices.codecs.layout import (
    Layout,
    Order,
    Rules,
    compile_layout,
    refuse_unknown_paths,
    rules_by_path,
    text_table,
)
from devices.observation import Message, Observation, Reason, RefusedError
from devices.profile import Profile, ProfileError

_Branch = dict[bytes, Layout]


def tlv_decoder(
    profile: Profile, table: dict[str, str], type_bytes: int, order: Order, ports: range = range(256)
) -> Decoder:
    """Compile a decoder.

    Args:
        table: the maker's types: dotted hexadecimal (``03.67``) to layout. A key one byte longer than a type names a
            type with a number after it (``61.19``: gas 0x19); ``61.*`` stands for every other number. The profile's
            ``options.channels`` add to it and replace.
        type_bytes: how many bytes a type has.
        order: of the bytes in a number.
        ports: those that carry readings; on the others the device answers commands.

    A record that is nothing but a time is the time of the whole uplink.

    Raises:
        ProfileError: an option, layout or path that cannot be used.
    """
    allow_options(profile, "channels")
    rules = rules_by_path(profile)
    plain, numbered = _compiled(profile, {**table, **text_table(profile, "channels")}, type_bytes, order, rules)

    def decode(payload: bytes, context: Context) -> Message:
        if not payload:
            raise RefusedError(Reason.EMPTY, "the payload has no bytes")
        if context.port not in ports:
            return Message([])
        observations: list[Observation] = []
        at: int | None = None
        position, end = 0, len(payload)
        while position < end:
            start = position
            position += type_bytes
            layout = plain.get(payload[start:position])
            if layout is None:
                layout = _numbered(numbered, payload, start, position)
                position += 1
            if position + layout.size > end:
                raise RefusedError(
                    Reason.LENGTH,
                    f"type {payload[start : start + type_bytes].hex('.')} at byte {start} needs "
                    f"{position + layout.size} bytes in all, the payload has {end}",
                )
            if layout.time >= 0 and not layout.names:
                at = layout.stated_time(payload, position)
            layout.read(payload, position, observations)
            position += layout.size
        return Message(observations if at is None else [_timed(o, at) for o in observations])

    return decode


def _timed(observation: Observation, at: int) -> Observation:
    if observation.observed_at is not None:
        return observation
    return Observation(observation.property, observation.value, observation.unit, at)


def _numbered(numbered: dict[bytes, _Branch], payload: bytes, start: int, position: int) -> Layout:
    """The layout of a type that has a number after it."""
    key = payload[start:position]
    branch = numbered.get(key)
    if branch is None:
        whole = position <= len(payload)
        raise RefusedError(
            Reason.UNSUPPORTED if whole else Reason.LENGTH,
            f"type {key.hex('.')} at byte {start} is not described in the profile"
            if whole
            else f"the payload ends within the type at byte {start}",
        )
    layout = branch.get(payload[position : position + 1], branch.get(b""))
    if layout is None:
        raise RefusedError(Reason.UNSUPPORTED, f"type {key.hex('.')} at byte {start}: its number is not described")
    return layout


def _compiled(
    profile: Profile, table: dict[str, str], type_bytes: int, order: Order, rules: Rules
) -> tuple[dict[bytes, Layout], dict[bytes, _Branch]]:
    plain: dict[bytes, Layout] = {}
    numbered: dict[bytes, _Branch] = {}
    for name, text in table.items():
        try:
            layout = compile_layout(text, name, order, rules)
            key = bytes.fromhex(name.removesuffix(".*").replace(".", ""))
        except ValueError as error:
            raise ProfileError(f"{profile.id}: options.channels: {name}: {error}") from error
        if name.endswith(".*") or len(key) == type_bytes + 1:
            numbered.setdefault(key[:type_bytes], {})[key[type_bytes:]] = layout
        elif len(key) == type_bytes:
            plain[key] = layout
        else:
            raise ProfileError(f"{profile.id}: options.channels: {name}: a type has {type_bytes} bytes")
    layouts = [*plain.values(), *(layout for branch in numbered.values() for layout in branch.values())]
    refuse_unknown_paths(profile, rules, (path for layout in layouts for path in layout.names))
    return plain, numbered
