"""Native JSON of our own topics: canonical names and units in one flat object.

Source: this project's MQTT contract, ``village/<commune>/<device>/up`` and ``/status``.

Payload of ``up``, UTF-8 JSON::

    {"observed_at": "2026-08-01T04:05:06.789Z", "seq": 17, "power": 58.2, "energy": {"value": 1250, "unit": "W.h"}}

    observed_at  optional  RFC 3339; without an offset it is local time in the device's zone
    seq          optional  whole number, 0 .. 2^53
    simulated    optional  true if no real device measured this
    <property>   number    name of the vocabulary that the device's profile has too, in the canonical unit; or an
                           object with value and unit (UCUM), if that unit can express the property

Payload of ``status``: ``online`` or ``offline``, plain or as ``{"state": "online"}``; retained, the last will's too.
"""

import json
from collections.abc import Mapping

from devices.codecs import Context, Decoder, times
from devices.codecs.json_text import number, read_flat_object
from devices.codecs.status_text import read_status
from devices.observation import Message, Observation, Reason, RefusedError
from devices.profile import Profile, ProfileError
from devices.topics import COMMAND, COMMAND_ACK, ERROR, STATE, STATUS
from devices.units import conversion
from devices.vocabulary import VOCABULARY

_NOT_READINGS = frozenset({COMMAND, COMMAND_ACK, ERROR, STATE})
_TEXTS = ("observed_at",)
_EXACT = 2**53
"""Whole numbers up to here are exact as a float too (RFC 8259, section 6): the bound of ``seq``."""
_LONGEST_UNIT = 32


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one profile.

    Raises:
        ProfileError: in a native profile, a property in another unit than the canonical one, or one that is scaled or
            renamed.
    """
    if profile.codec == "native":
        _check(profile)
    # A profile of another format is read too: files of old readings hold canonical values, whatever the device speaks.
    units = {entry.name: VOCABULARY[entry.name].unit for entry in profile.properties}

    def decode(payload: bytes, context: Context) -> Message:
        event = context.event
        if event == STATUS:
            return read_status(payload)
        if event in _NOT_READINGS:
            raise RefusedError(Reason.UNSUPPORTED, f"the topic level {event!r} carries no readings")
        return _readings(payload, context, units)

    return decode


def _check(profile: Profile) -> None:
    for entry in profile.properties:
        canonical = VOCABULARY[entry.name].unit
        if entry.unit != canonical:
            raise ProfileError(f"{profile.id}: {entry.name}: native payloads are in {canonical}, not {entry.unit}")
        if entry.path or entry.scale != 1.0 or entry.shift or entry.values or entry.sentinels:
            raise ProfileError(f"{profile.id}: {entry.name}: native payloads have no path, scale, values or sentinels")


def _readings(payload: bytes, context: Context, units: dict[str, str]) -> Message:
    """Read an ``up`` message; refuses as the module's docstring and ``Reason`` say."""
    document = read_flat_object(payload, _TEXTS)
    observed_at, zoned, sequence, simulated = None, False, None, False
    if "observed_at" in document:
        observed_at, zoned = times.instant(document.pop("observed_at"), context.zone)
    if "seq" in document:
        sequence = _sequence(document.pop("seq"))
    if "simulated" in document:
        simulated = _flag(document.pop("simulated"))
    observations: list[Observation] = []
    append, new = observations.append, tuple.__new__
    for name, value in document.items():
        unit = units.get(name)
        if unit is None:
            raise RefusedError(Reason.PROPERTY, _unknown(name))
        if type(value) is float and value - value == 0.0:
            # tuple.__new__ makes the same object as Observation(...) in half the time, and this is the hottest line.
            append(new(Observation, (name, value, unit, observed_at)))
        elif type(value) is int and -_EXACT <= value <= _EXACT:
            append(new(Observation, (name, float(value), unit, observed_at)))
        else:
            append(_unusual(name, value, unit, observed_at))
    if not observations:
        raise RefusedError(Reason.NO_READING, "the object has no observed property")
    return Message(observations, sequence, None, zoned, None, False, simulated)


def _unusual(name: str, value: object, unit: str, observed_at: int | None) -> Observation:
    """A value with its own unit, a very large number, or a refusal."""
    if type(value) is not dict:
        return Observation(name, number(value, name), unit, observed_at)
    if set(value) != {"value", "unit"}:
        raise RefusedError(Reason.FIELD_TYPE, f"{name}: an object must have exactly the keys value and unit")
    stated = value["unit"]
    if type(stated) is not str:
        raise RefusedError(Reason.FIELD_TYPE, f"{name}: the unit must be text, for example {unit}")
    if stated != unit and (len(stated) > _LONGEST_UNIT or conversion(name, stated) is None):
        raise RefusedError(Reason.UNIT, f"{name}: unit {stated[:_LONGEST_UNIT]!r} cannot express it; send {unit}")
    return Observation(name, number(value["value"], name), stated, observed_at)


def _sequence(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _EXACT:
        raise RefusedError(Reason.FIELD_TYPE, "seq must be a whole number from 0 to 2^53")
    return value


def _flag(value: object) -> bool:
    if type(value) is not bool:
        raise RefusedError(Reason.FIELD_TYPE, "simulated must be true or false")
    return value


def _unknown(name: str) -> str:
    where = "the device's profile" if name in VOCABULARY else "the vocabulary"
    return f"{name[:80]!r} is not an observed property of {where}"


def encode(
    profile: Profile,
    values: Mapping[str, float],
    observed_at: int | None = None,
    sequence: int | None = None,
    simulated: bool = False,
) -> bytes:
    """Write an ``up`` message.

    Args:
        values: canonical values; those the profile does not have are left out.
        observed_at: nanoseconds UTC; None sends no time.
    """
    head: dict[str, object] = {}
    if observed_at is not None:
        head["observed_at"] = times.text(observed_at)
    if sequence is not None:
        head["seq"] = sequence
    if simulated:
        head["simulated"] = True
    known = {entry.name for entry in profile.properties}
    body = {name: value for name, value in values.items() if name in known}
    return json.dumps(head | body, separators=(",", ":"), allow_nan=False).encode()
