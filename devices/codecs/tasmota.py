"""Tasmota: telemetry of the open firmware for plugs, relays, meters and sensors.

Source: Tasmota documentation, pages MQTT, Commands (SetOption8, SetOption24, SetOption52, SetOption129, SpeedUnit), and
the sensors' pages.

Topic ``tele/<device>/<event>``. Payload of ``SENSOR`` and ``STATE``, JSON::

    {"Time": "2026-08-01T11:05:06", "ENERGY": {"Total": 6.294, "Power": [31, 29, 30], "Voltage": 227},
     "BME280": {"Temperature": 70.5, "Pressure": 1008.1}, "PressureUnit": "hPa", "TempUnit": "F"}

    Time          local, without offset unless SetOption52 is on: the device's zone is applied
    a number      at the profile's ``path``: ENERGY.Power, PMS5003."PM2.5", DS18B20-1.Temperature
    an array      one number a phase: goes to the property's _l1, _l2, _l3; powers and energies are also added up
    null          a sensor that did not answer: left out
    TempUnit      C or F; PressureUnit hPa, mmHg or inHg; SpeedUnit: the unit of all such values of the message

Payload of ``LWT``: ``Online`` or ``Offline``. ``INFO1`` to ``INFO3`` and the like describe the firmware: no readings.
"""

import json
from collections.abc import Mapping
from datetime import tzinfo
from math import fsum
from typing import Any

from devices.codecs import Context, Decoder, times
from devices.codecs.field_values import Field, allow_options, compile_fields, once_each, written
from devices.codecs.json_fields import Plan, group
from devices.codecs.json_paths import follow, plant
from devices.codecs.json_text import read_object
from devices.codecs.status_text import read_status
from devices.observation import Message, Observation, Reason, RefusedError
from devices.profile import Profile, ProfileError

_WILL = "LWT"
_SENSOR = "SENSOR"
_ADDED_UP = frozenset({"power", "apparent_power", "reactive_power", "energy"})
"""Quantities whose phases make a sum."""
_UNIT_KEYS = {
    "TempUnit": ("Cel", {"C": "Cel", "F": "[degF]"}),
    "PressureUnit": ("hPa", {"hPa": "hPa", "mmHg": "mm[Hg]", "inHg": "[in_i'Hg]"}),
    "SpeedUnit": ("m/s", {"m/s": "m/s", "km/h": "km/h", "kn": "[kn_i]", "mph": "[mi_i]/h"}),
}
"""Key of the message: the unit a profile declares for such a value, and what the device's word means in UCUM."""

Phases = dict[str, tuple[Field, ...]]
"""Property to its phases' fields, where the profile has them."""


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one profile.

    Raises:
        ProfileError: a path that is none, an option, or phases of an array that are declared otherwise than the array.
    """
    allow_options(profile)
    fields = compile_fields(profile)
    phases = _phases(profile, fields)
    filled = {field.name for targets in phases.values() for field in targets}
    plan = group(tuple(field for field in fields if field.name not in filled))
    doubled = len({field.name for field in fields}) != len(fields)

    def decode(payload: bytes, context: Context) -> Message:
        if context.event == _WILL:
            return read_status(payload)
        document = read_object(payload)
        observed_at, zoned = None, False
        if "Time" in document:
            observed_at, zoned = times.instant(document["Time"], context.zone)
        observations = _observe(document, plan, phases, observed_at)
        if not observations:
            if context.event in {_SENSOR, ""}:
                raise RefusedError(Reason.NO_READING, f"nothing of profile {profile.id} is in the payload")
            return Message([])
        return Message(once_each(observations) if doubled else observations, None, None, zoned)

    return decode


def _phases(profile: Profile, fields: tuple[Field, ...]) -> Phases:
    """Phase fields without a path of their own by the property whose array fills them.

    Raises:
        ProfileError: a phase is declared otherwise than the array it is filled from.
    """
    by_name = {field.name: field for field in fields}
    found: Phases = {}
    for array in fields:
        names = (f"{array.name}_l{phase}" for phase in (1, 2, 3))
        phases = tuple(by_name[name] for name in names if name in by_name and by_name[name].path == (name,))
        if len(phases) != 3:
            continue
        for phase in phases:
            if phase._replace(name=array.name, path=array.path) != array:
                raise ProfileError(
                    f"{profile.id}: {phase.name}: it is filled from the array of {array.name}: give it the same unit, "
                    "scale, shift, values and sentinels, or a path of its own"
                )
        found[array.name] = phases
    return found


def _observe(document: dict[str, object], plan: Plan, phases: Phases, at: int | None) -> list[Observation]:
    units = _stated_units(document)
    observations: list[Observation] = []
    append, new = observations.append, tuple.__new__
    for parent, leaves in plan:
        node: Any = follow(document, parent) if parent else document
        if type(node) is not dict:
            node = dict(enumerate(node)) if type(node) is list else {}
        for leaf, name, unit, _, field in leaves:
            found = node.get(leaf)
            if found is None:
                continue
            if type(found) is list:
                observations += _array(field, found, phases, at)
                continue
            value = field.value(found)
            if value is not None:
                append(new(Observation, (name, value, units.get(unit, unit) if units else unit, at)))
    return observations


def _stated_units(document: dict[str, object]) -> dict[str, str]:
    """Declared unit to the one this message states instead, where it states one."""
    units = {}
    for key, (declared, meanings) in _UNIT_KEYS.items():
        if key in document:
            word = document[key]
            unit = meanings.get(word) if isinstance(word, str) else None
            if unit is None:
                raise RefusedError(Reason.UNIT, f"{key} must be one of {', '.join(meanings)}")
            units[declared] = unit
    return units


def _array(field: Field, found: list[object], phases: Phases, at: int | None) -> list[Observation]:
    """One number a phase.

    Raises:
        RefusedError: ``field_type`` if the profile has no phases for it, or there are more than three; ``not_finite``.
    """
    targets = phases.get(field.name, ())
    if not targets and field.name not in _ADDED_UP:
        raise RefusedError(Reason.FIELD_TYPE, f"{field.name}: an array, and the profile has no _l1 to _l3 for it")
    if not 1 <= len(found) <= 3:
        raise RefusedError(Reason.FIELD_TYPE, f"{field.name}: an array of {len(found)}, phases are 1 to 3")
    values = [field.value(entry) for entry in found]
    observations = [
        Observation(target.name, value, field.unit, at)
        for target, value in zip(targets, values, strict=False)
        if value is not None
    ]
    known = [value for value in values if value is not None]
    if field.name in _ADDED_UP and len(known) == len(values):
        try:
            total = fsum(known)
        except OverflowError as error:
            raise RefusedError(Reason.NOT_FINITE, f"{field.name}: the phases add up to no number") from error
        observations.append(Observation(field.name, total, field.unit, at))
    return observations


def encode(profile: Profile, values: Mapping[str, float], observed_at: int, zone: tzinfo) -> bytes:
    """Write what the device says in ``SENSOR`` and ``STATE``, in one message.

    Args:
        values: canonical values; those the profile does not have are left out.
        observed_at: nanoseconds UTC; written in local time of ``zone``, whole seconds.
    """
    document: dict[str, object] = {"Time": times.local_text(observed_at, zone)}
    fields = compile_fields(profile)
    phases = _phases(profile, fields)
    filled = {field.name for targets in phases.values() for field in targets}
    for field in fields:
        if field.name in filled:
            continue
        each = [written(target, values) for target in phases.get(field.name, ())] or [None]
        found = written(field, values) if None in each else each
        if found is not None:
            plant(document, field.path, found)
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
