"""Devices whose uplink is one record of fixed size: the profile lists its fields, no code is needed.

Source: the device's own document, named in its profile's ``evidence``.

Payload::

    one record, laid out as ``options.ports`` says for the uplink's fPort

    options.order   "big" (default) or "little"
    options.ports   fPort to layout, for example "2" = "u16&3fff:battery u16:distance x4"; "*" stands for the others.
                    An empty layout is a port that carries no reading
"""

from devices.codecs import Context, Decoder
from devices.codecs.field_values import allow_options
from devices.codecs.layout import Layout, Order, compile_layout, refuse_unknown_paths, rules_by_path, text_table
from devices.observation import Message, Observation, Reason, RefusedError
from devices.profile import Profile, ProfileError

_ORDERS: dict[object, Order] = {"big": "big", "little": "little"}


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one profile.

    Raises:
        ProfileError: an option, layout or path that cannot be used.
    """
    allow_options(profile, "order", "ports")
    layouts = _layouts(profile)

    def decode(payload: bytes, context: Context) -> Message:
        if not payload:
            raise RefusedError(Reason.EMPTY, "the payload has no bytes")
        layout = layouts.get(context.port, layouts.get(None))
        if layout is None:
            raise RefusedError(Reason.UNSUPPORTED, f"fPort {context.port} is not described in the profile")
        if not layout.size:
            return Message([])
        if len(payload) != layout.size:
            raise RefusedError(Reason.LENGTH, f"{len(payload)} bytes, the record of this fPort has {layout.size}")
        observations: list[Observation] = []
        layout.read(payload, 0, observations)
        return Message(observations)

    return decode


def _layouts(profile: Profile) -> dict[int | None, Layout]:
    order = _ORDERS.get(profile.options.get("order", "big"))
    ports = text_table(profile, "ports")
    if order is None or not ports:
        raise ProfileError(f"{profile.id}: options: order is big or little, and ports needs at least one layout")
    rules = rules_by_path(profile)
    layouts: dict[int | None, Layout] = {}
    for port, text in ports.items():
        if port != "*" and not (port.isdecimal() and int(port) < 256):
            raise ProfileError(f"{profile.id}: options.ports: {port!r} is no fPort")
        try:
            layouts[None if port == "*" else int(port)] = compile_layout(text, "", order, rules)
        except ValueError as error:
            raise ProfileError(f"{profile.id}: options.ports: {port}: {error}") from error
    refuse_unknown_paths(profile, rules, (name for layout in layouts.values() for name in layout.names))
    return layouts
