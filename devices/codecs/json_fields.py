"""Any vendor's JSON: the profile says which path holds which property, in which unit and scale.

Source: the device's own document, named in its profile's ``evidence``.

Payload, UTF-8 JSON object (other keys are allowed and not looked at)::

    {"ts": 1785557106, "n": 4, "meter": {"P": 582, "door": "open"}, "probes": [{"t": 27.1}]}

    property   profile key ``path``: meter.P, meter.door, probes[0].t; then values, sentinels, scale and shift
    time       profile key ``time``: path and format; without it the device sends none
    sequence   profile key ``sequence``: path of a whole number

A null and a sentinel mean "no reading" and are left out. Texts are read only where ``values`` names them, or as
numbers where the profile sets ``options.numbers_as_text``. On a topic level ``status`` or ``LWT`` the plain texts
``online`` and ``offline`` are the connection's state.
"""

import json
from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import Any

from devices.codecs import Context, Decoder, times
from devices.codecs.field_values import Field, allow_options, compile_fields, once_each, written
from devices.codecs.json_paths import MISSING, Path, compile_path, follow, plant
from devices.codecs.json_text import read_object
from devices.codecs.status_text import plain_status
from devices.observation import Message, Observation, Reason, RefusedError
from devices.profile import Profile
from devices.topics import STATUS

STATUS_EVENTS = frozenset({STATUS, "LWT"})
"""Topic levels on which a device or its last will says whether it is connected."""

Clock = Callable[[dict[str, object], tzinfo], tuple[int | None, bool]]
"""The document and the device's zone to its time [ns UTC] and whether the zone was applied."""

Leaf = tuple[str | int, str, str, bool, Field]
"""Last step of a path, then name, unit and ``plain`` of its field beside the field itself: quicker to unpack."""

Plan = tuple[tuple[Path, tuple[Leaf, ...]], ...]
"""Fields grouped by what holds them: an object or array is looked up once for all its fields."""

_EXACT = 2**53
"""Whole numbers up to here are exact as a float (RFC 8259, section 6)."""


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one profile.

    Raises:
        ProfileError: a path that is none, or an option this codec does not know.
    """
    allow_options(profile, "numbers_as_text")
    fields = compile_fields(profile)
    doubled = len({field.name for field in fields}) != len(fields)
    # Of several paths for one property the first speaks: then the profile's order is kept.
    plan = group(fields) if not doubled else tuple(group((field,))[0] for field in fields)
    clock = compile_clock(profile)
    sequence = compile_path(profile.sequence, f"{profile.id}: sequence") if profile.sequence else None

    def decode(payload: bytes, context: Context) -> Message:
        if context.event in STATUS_EVENTS:
            status = plain_status(payload)
            if status is not None:
                return status
        document = read_object(payload)
        observed_at, zoned = (None, False) if clock is None else clock(document, context.zone)
        observations = observe(document, plan, observed_at)
        if not observations:
            raise RefusedError(Reason.NO_READING, f"nothing of profile {profile.id} is in the payload")
        count = None if sequence is None else read_sequence(document, sequence)
        return Message(once_each(observations) if doubled else observations, count, None, zoned)

    return decode


def group(fields: tuple[Field, ...]) -> Plan:
    """Group fields by the object or array that holds them."""
    groups: dict[Path, list[Leaf]] = {}
    for field in fields:
        leaf = (field.path[-1], field.name, field.unit, field.plain, field)
        groups.setdefault(field.path[:-1], []).append(leaf)
    return tuple((parent, tuple(leaves)) for parent, leaves in groups.items())


def observe(document: dict[str, object], plan: Plan, observed_at: int | None) -> list[Observation]:
    """Every field that the document has a number for.

    Raises:
        RefusedError: ``field_type`` or ``not_finite`` for a field that holds something else.
    """
    observations: list[Observation] = []
    append, new = observations.append, tuple.__new__
    for parent, leaves in plan:
        node: Any = follow(document, parent) if parent else document
        if type(node) is not dict:
            node = dict(enumerate(node)) if type(node) is list else {}
        for leaf, name, unit, plain, field in leaves:
            found = node.get(leaf)
            if found is None:
                continue
            if plain and type(found) is float and found - found == 0.0:
                value: float | None = found
            elif plain and type(found) is int and -_EXACT <= found <= _EXACT:
                value = float(found)
            else:
                value = field.value(found)
            if value is not None:
                # tuple.__new__ makes the same object as Observation(...) in half the time.
                append(new(Observation, (name, value, unit, observed_at)))
    return observations


def compile_clock(profile: Profile) -> Clock | None:
    """What reads the device's time by the profile's ``time``; None if the device sends none.

    A message without the declared field, or with null there, is one without a time.
    """
    if profile.time is None:
        return None
    path = compile_path(profile.time.path, f"{profile.id}: time")
    read = times.reader(profile.time.format)

    def clock(document: dict[str, object], zone: tzinfo) -> tuple[int | None, bool]:
        found = follow(document, path)
        return (None, False) if found is MISSING or found is None else read(found, zone)

    return clock


def read_sequence(document: dict[str, object], path: Path) -> int | None:
    """The sequence number; None if the document has none.

    Raises:
        RefusedError: ``field_type`` if it is no whole number from 0 to 2^53.
    """
    found = follow(document, path)
    if found is MISSING or found is None:
        return None
    if type(found) is not int or not 0 <= found <= _EXACT:
        raise RefusedError(Reason.FIELD_TYPE, "the sequence number must be a whole number from 0 to 2^53")
    return found


def encode(
    profile: Profile, values: Mapping[str, float], observed_at: int | None = None, sequence: int | None = None
) -> bytes:
    """Write a payload that the profile's decoder reads back.

    Args:
        values: canonical values; those the profile does not have are left out.
        observed_at: nanoseconds UTC, written if the profile has a ``time``.
    """
    document: dict[str, object] = {}
    if profile.time is not None and observed_at is not None:
        at = times.written(observed_at, profile.time.format)
        plant(document, compile_path(profile.time.path, profile.id), at)
    if profile.sequence and sequence is not None:
        plant(document, compile_path(profile.sequence, profile.id), sequence)
    for field in compile_fields(profile):
        found = written(field, values)
        if found is not None:
            plant(document, field.path, found)
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
