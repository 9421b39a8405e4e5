"""Binary layouts written as text, compiled once with the profile's properties; shared by the binary codecs.

A layout names the fields of a record in their order, separated by spaces::

    u16:battery  i16:temperature  x2  u32:count

    u8 u16 u24 u32 u48 u64   unsigned integer        i8 i16 i24 i32 i48 i64   signed integer
    f16 f32 f64              IEEE 754 number; one that is not finite is no reading
    x3                       three bytes nobody needs
    w32                      unsigned integer of two words, the lower one first
    bits                     one byte, each bit a field of its own: name.0 (least significant) .. name.7
    time                     seconds since 1970 UTC, 4 bytes: the time of every field of the record
    u16&3fff                 only these bits of the number, moved down to the least significant
    :name                    what a profile's ``path`` calls the field; without it, the record's own name

Several names, as in ``u16:current+l1``, are one field under each of them.
"""

import re
import struct
from collections.abc import Iterable
from typing import Literal, NamedTuple

from devices.observation import Observation
from devices.profile import Profile, ProfileError, ProfileProperty

Order = Literal["little", "big"]

FROM_NETWORK = frozenset({"rssi", "snr", "battery", "external_power"})
"""Properties that a network server reports: with an empty path the binary codec leaves them to the envelope."""

_TOKEN = re.compile(r"(?:([uifw])(8|16|24|32|48|64)|(bits)|(time)|x([0-9]{1,3}))(?:&([0-9a-fA-F]+))?(?::(\S+))?\Z")
_FLOATS = {2: "e", 4: "f", 8: "d"}
_NO_SUCH = {("f", "8"), ("f", "24"), ("f", "48"), *(("w", width) for width in ("8", "16", "24", "48", "64"))}
_SECOND = 1_000_000_000


class Rule(NamedTuple):
    """How a number of the payload becomes a property: ``(number + add) / divide``, or ``number * scale + shift``."""

    property: str
    unit: str
    scale: float
    shift: float
    add: float
    divide: float
    """0 where the scale is no simple fraction."""
    sentinels: frozenset[float]

    def observe(self, number: float, at: int | None, into: list[Observation]) -> None:
        """Append the observation, unless the number is a sentinel or not finite."""
        if number in self.sentinels or number - number != 0.0:
            return
        value = (number + self.add) / self.divide if self.divide else number * self.scale + self.shift
        into.append(Observation(self.property, value, self.unit, at))


def rule(entry: ProfileProperty) -> Rule:
    """Compile one property of a profile.

    Tenths and hundredths are divided, not multiplied: 2352 tenths are 235.2, and not 235.20000000000002.
    """
    divide, add = 0.0, 0.0
    if entry.scale and (inverse := 1.0 / entry.scale) and abs(inverse - round(inverse)) < 1e-9 * abs(inverse):
        offset = entry.shift * round(inverse)
        if abs(offset - round(offset)) < 1e-6:
            divide, add = float(round(inverse)), float(round(offset))
    sentinels = frozenset(entry.sentinels)
    return Rule(entry.name, entry.unit, entry.scale, entry.shift, add, divide, sentinels)


Rules = dict[str, tuple[Rule, ...]]
"""What a profile makes of each path."""


def rules_by_path(profile: Profile) -> Rules:
    """The profile's properties by path; those the network server reports are left out."""
    found: Rules = {}
    for entry in profile.properties:
        if not entry.path and entry.name in FROM_NETWORK:
            continue
        path = entry.path or entry.name
        found[path] = (*found.get(path, ()), rule(entry))
    return found


def refuse_unknown_paths(profile: Profile, rules: Iterable[str], known: Iterable[str]) -> None:
    """Raise ProfileError if the profile names a path that its codec never finds."""
    missing = sorted(set(rules) - set(known))
    if missing:
        raise ProfileError(f"{profile.id}: path: {missing[0]!r} is not in the payload of this codec and these options")


class Field(NamedTuple):
    """One number of a record that some property is made from."""

    start: int
    stop: int
    kind: str
    """``u`` or ``i`` for integers, ``w`` for two words, or what ``struct`` calls the float."""
    mask: int
    down: int
    """How far the masked number is shifted down."""
    rules: tuple[Rule, ...]


class Layout(NamedTuple):
    """A compiled record of fixed size."""

    size: int
    order: Order
    time: int
    """Offset of the record's own time; -1 if it has none."""
    fields: tuple[Field, ...]
    names: frozenset[str]
    """Every path the layout offers."""

    def stated_time(self, payload: bytes, start: int) -> int | None:
        """The record's own time [ns UTC]; None if it has none."""
        if self.time < 0:
            return None
        return int.from_bytes(payload[start + self.time : start + self.time + 4], self.order) * _SECOND

    def read(self, payload: bytes, start: int, into: list[Observation]) -> None:
        """Append what the record at ``start`` says; the caller has checked that ``size`` bytes are there."""
        at = self.stated_time(payload, start)
        for field in self.fields:
            raw = payload[start + field.start : start + field.stop]
            if field.kind in {"u", "i"}:
                number: float = int.from_bytes(raw, self.order, signed=field.kind == "i")
                if field.mask:
                    number = (int(number) & field.mask) >> field.down
            elif field.kind == "w":
                number = int.from_bytes(raw[:2], self.order) + 65536 * int.from_bytes(raw[2:], self.order)
            else:
                number = struct.unpack(field.kind, raw)[0]
                if len(raw) == 4:
                    # A 32-bit float has seven digits; the rest is the widening to 64 bits.
                    number = float(f"{number:.7g}")
            for meaning in field.rules:
                meaning.observe(number, at, into)


def compile_layout(text: str, own_name: str, order: Order, rules: Rules) -> Layout:
    """Read a layout's text.

    Args:
        text: as in the module's docstring.
        own_name: the path of fields without a name.
        order: of the bytes.
        rules: fields that no rule needs are skipped, not read.

    Raises:
        ValueError: a token that is none; the text names it.
    """
    position, time = 0, -1
    fields: list[Field] = []
    names: set[str] = set()
    for token in text.split():
        match = _TOKEN.match(token)
        if match is None or (match[1], match[2]) in _NO_SUCH:
            raise ValueError(f"{token!r} is no field of a layout; write for example u16:voltage")
        kind, width, bits, clock, skipped, mask, name = match.groups()
        size = int(width) // 8 if width else int(skipped) if skipped else 4 if clock else 1
        if clock:
            time = position
        elif kind or bits:
            stems = (name or own_name).split("+")
            if bits:
                parts = [(f"{stem}.{bit}", 1 << bit) for stem in stems for bit in range(8)]
                form = "u"
            else:
                parts = [(stem, int(mask, 16) if mask else 0) for stem in stems]
                form = f"{'<' if order == 'little' else '>'}{_FLOATS[size]}" if kind == "f" else kind
            for part, only in parts:
                down = (only & -only).bit_length() - 1 if only else 0
                fields.append(Field(position, position + size, form, only, down, rules.get(part, ())))
                names.add(part)
        position += size
    return Layout(position, order, time, tuple(field for field in fields if field.rules), frozenset(names))


def text_table(profile: Profile, key: str) -> dict[str, str]:
    """An option that is a table of texts.

    Raises:
        ProfileError: it is something else.
    """
    table = profile.options.get(key, {})
    if not isinstance(table, dict) or not all(isinstance(text, str) for text in table.values()):
        raise ProfileError(f"{profile.id}: options.{key}: must be a table of texts")
    return {str(name): text for name, text in table.items()}
