"""Cayenne Low Power Payload: channel, type, value, big-endian, any number of them after each other.

Source: myDevices, "LoRa, Cayenne Low Power Payload" (types 0 to 136), and the types that the CayenneLPP libraries
added (100, 116 to 133, 135, 142), numbered as IPSO object id minus 3200; read 2026-07.

Payload::

    byte   0     1     2 ..        ...
           CC    TT    value       CC    TT    value

    C  channel   chosen by the device's maker
    T  type      what is measured, its length and its step; the table below

A profile's ``path`` is channel and type in decimal: ``3 103`` is the temperature of channel 3. The three axes of an
accelerometer or gyrometer are ``1 113.x``, ``.y`` and ``.z``, a position is ``1 136.latitude``, ``.longitude`` and
``.altitude``, a colour ``1 135.red``, ``.green`` and ``.blue``.
The numbers are in the type's own unit (lx, Cel, %, g, hPa, deg/s, deg, m, V, A, Hz, %, W, kW.h, m, s).
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from devices.codecs import Context, Decoder
from devices.codecs.field_values import allow_options
from devices.codecs.layout import FROM_NETWORK, Rule, rule
from devices.observation import Message, Observation, Reason, RefusedError
from devices.profile import Profile, ProfileError


class Part(NamedTuple):
    """One number of a type: ``divide`` of its steps make one unit."""

    suffix: str
    size: int
    signed: bool
    divide: int


def _one(size: int, signed: bool, divide: int) -> tuple[Part, ...]:
    return (Part("", size, signed, divide),)


def _axes(divide: int) -> tuple[Part, ...]:
    return tuple(Part(f".{axis}", 2, True, divide) for axis in "xyz")


TYPES: dict[int, tuple[Part, ...]] = {
    0: _one(1, False, 1),  # digital input
    1: _one(1, False, 1),  # digital output
    2: _one(2, True, 100),  # analog input
    3: _one(2, True, 100),  # analog output
    100: _one(4, False, 1),  # generic
    101: _one(2, False, 1),  # illuminance [lx]
    102: _one(1, False, 1),  # presence
    103: _one(2, True, 10),  # temperature [Cel]
    104: _one(1, False, 2),  # relative humidity [%]
    113: _axes(1000),  # acceleration [g]
    115: _one(2, False, 10),  # air pressure [hPa]
    116: _one(2, False, 100),  # voltage [V]
    117: _one(2, False, 1000),  # current [A]
    118: _one(4, False, 1),  # frequency [Hz]
    120: _one(1, False, 1),  # percentage [%]
    121: _one(2, True, 1),  # altitude [m]
    125: _one(2, False, 1),  # concentration [ppm]
    128: _one(2, False, 1),  # power [W]
    130: _one(4, False, 1000),  # distance [m]
    131: _one(4, False, 1000),  # energy [kW.h]
    132: _one(2, False, 1),  # direction [deg]
    133: _one(4, False, 1),  # time since 1970 UTC [s]
    134: _axes(100),  # angular rate [deg/s]
    135: (Part(".red", 1, False, 1), Part(".green", 1, False, 1), Part(".blue", 1, False, 1)),
    136: (Part(".latitude", 3, True, 10000), Part(".longitude", 3, True, 10000), Part(".altitude", 3, True, 100)),
    142: _one(1, False, 1),  # switch
}
"""Every type: its numbers in their order."""

TIME = 133
"""Its value is the time of the whole uplink, if the profile's ``time.path`` names its channel and type."""


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one profile.

    Raises:
        ProfileError: a path that no type can have.
    """
    allow_options(profile)
    rules: dict[str, tuple[Rule, ...]] = {}
    for entry in profile.properties:
        if entry.path:
            _check_path(profile, entry.path)
            rules[entry.path] = (*rules.get(entry.path, ()), rule(entry))
        elif entry.name not in FROM_NETWORK:
            raise ProfileError(f"{profile.id}: {entry.name}: path: write channel and type, for example '3 103'")
    clock = profile.time.path if profile.time else ""

    def decode(payload: bytes, context: Context) -> Message:  # noqa: ARG001 - everything is in the bytes
        if not payload:
            raise RefusedError(Reason.EMPTY, "the payload has no bytes")
        numbers = read(payload)
        at = int(numbers[clock]) * 1_000_000_000 if clock in numbers else None
        observations: list[Observation] = []
        for path, number in numbers.items():
            for meaning in rules.get(path, ()):
                meaning.observe(number, at, observations)
        if not observations:
            raise RefusedError(Reason.NO_READING, f"the profile knows none of the channels {', '.join(numbers)[:200]}")
        return Message(observations)

    return decode


def _check_path(profile: Profile, path: str) -> None:
    channel, _, rest = path.partition(" ")
    kind, _, _ = rest.partition(".")
    if channel.isdecimal() and kind.isdecimal() and int(channel) < 256:
        parts = TYPES.get(int(kind), ())
        if any(f"{channel} {kind}{part.suffix}" == path for part in parts):
            return
    raise ProfileError(f"{profile.id}: path: {path!r} is no channel and type; write for example '3 103'")


def read(payload: bytes) -> dict[str, float]:
    """Every number of a payload by path, in the type's own unit.

    Raises:
        RefusedError: ``unsupported`` for a type that is not in the table (its length is unknown, so nothing after it
            can be read), ``length`` if the bytes end within a value, ``integrity`` if a channel and type come twice.
    """
    numbers: dict[str, float] = {}
    position, end = 0, len(payload)
    while position < end:
        if position + 2 > end:
            raise RefusedError(Reason.LENGTH, f"byte {position} is a channel without a type")
        channel, kind = payload[position], payload[position + 1]
        parts = _parts(channel, kind)
        if not parts:
            raise RefusedError(Reason.UNSUPPORTED, f"byte {position + 1}: {kind} is no type of Cayenne LPP")
        position += 2
        for path, size, signed, divide in parts:
            raw = payload[position : position + size]
            if len(raw) < size:
                raise RefusedError(Reason.LENGTH, f"channel {channel} type {kind}: the payload ends within the value")
            if path in numbers:
                raise RefusedError(Reason.INTEGRITY, f"channel {channel} type {kind} comes twice")
            numbers[path] = int.from_bytes(raw, "big", signed=signed) / divide
            position += size
    return numbers


@lru_cache(maxsize=1024)
def _parts(channel: int, kind: int) -> tuple[Part, ...]:
    """A type's numbers with the whole path of each in place of its suffix; none if there is no such type."""
    return tuple(part._replace(suffix=f"{channel} {kind}{part.suffix}") for part in TYPES.get(kind, ()))


def encode(numbers: Mapping[str, float]) -> bytes:
    """Write a payload: the opposite of ``read``, to the nearest step of each type.

    Args:
        numbers: by path, in the type's own unit; every part of a type that has several.

    Raises:
        ValueError: a path that no type can have, a missing part, or a number outside its type's range.

    >>> encode({"3 103": 27.2, "5 103": 25.5}).hex()
    '03670110056700ff'
    """
    written = bytearray()
    done: set[str] = set()
    for path in numbers:
        record, _, _ = path.partition(".")
        if record in done:
            continue
        done.add(record)
        channel, kind = (int(word) for word in record.split(" "))
        if kind not in TYPES:
            raise ValueError(f"{path!r}: {kind} is no type of Cayenne LPP")
        written += bytes((channel, kind))
        for part in TYPES[kind]:
            if record + part.suffix not in numbers:
                raise ValueError(f"{record + part.suffix!r} is missing")
            steps = round(numbers[record + part.suffix] * part.divide)
            try:
                written += steps.to_bytes(part.size, "big", signed=part.signed)
            except OverflowError as error:
                raise ValueError(f"{path!r}: {numbers[record + part.suffix]} is outside the type's range") from error
    return bytes(written)
