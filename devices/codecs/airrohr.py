"""airRohr: fine dust and weather stations of Sensor.Community.

Source: the firmware's "custom API" message (sensors-software, airrohr-firmware), brought to MQTT by a bridge.

Payload, JSON; every value is text, and there is no time::

    {"esp8266id": "12041741", "software_version": "NRZ-2018-123B", "sensordatavalues": [
        {"value_type": "SDS_P1", "value": "35.67"}, {"value_type": "BME280_pressure", "value": "100535.97"},
        {"value_type": "signal", "value": "-66"}]}

    SDS_P1, PMS_P1, ...      PM10 [ug/m3]: P1 is the coarse one     SDS_P2    PM2.5     PMS_P0    PM1
    BME280_temperature       [Cel]; -128 means that the sensor failed
    BME280_humidity, _P*     [%], [ug/m3]; -1 means that the sensor failed
    BME280_pressure          [Pa]; -1 likewise
    signal                   [dBm]; some firmware writes the unit behind the number

A property's ``path`` in the profile is the value type; which number means failure is the profile's ``sentinels``.
"""

import json
from collections.abc import Mapping

from devices.codecs import Context, Decoder
from devices.codecs.field_values import Field, allow_options, compile_names, written
from devices.codecs.json_text import read_object
from devices.observation import Message, Observation, Reason, RefusedError
from devices.profile import Profile

_VALUES = "sensordatavalues"
_UNIT_BEHIND = " dBm"


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one profile.

    Raises:
        ProfileError: two properties of one value type, or an option.
    """
    allow_options(profile)
    fields = compile_names(profile, numbers_as_text=True)

    def decode(payload: bytes, context: Context) -> Message:  # noqa: ARG001 - one message, without a time
        observations = _observe(read_object(payload), fields)
        if not observations:
            raise RefusedError(Reason.NO_READING, f"nothing of profile {profile.id} is in the payload")
        return Message(observations)

    return decode


def _observe(document: dict[str, object], fields: dict[str, Field]) -> list[Observation]:
    """Read the entries; refuses ``malformed``, ``field_type``, ``not_finite``, and ``duplicate_key``."""
    if type(document.get("esp8266id", "")) not in {str, int}:
        raise RefusedError(Reason.FIELD_TYPE, "esp8266id must be text or a whole number")
    entries = document.get(_VALUES)
    if type(entries) is not list:
        raise RefusedError(Reason.MALFORMED, f"{_VALUES} must be an array")
    observations: list[Observation] = []
    seen: set[str] = set()
    for entry in entries:
        kind = entry.get("value_type") if type(entry) is dict else None
        if type(kind) is not str or "value" not in entry:
            raise RefusedError(Reason.MALFORMED, f"an entry of {_VALUES} must have value_type and value")
        if kind in seen:
            raise RefusedError(Reason.DUPLICATE_KEY, f"the value type {kind[:80]!r} stands twice")
        seen.add(kind)
        field = fields.get(kind)
        if field is not None:
            found = entry["value"]
            value = field.value(found.removesuffix(_UNIT_BEHIND) if type(found) is str else found)
            if value is not None:
                observations.append(Observation(field.name, value, field.unit))
    return observations


def encode(profile: Profile, values: Mapping[str, float], identity: str = "12041741") -> bytes:
    """Write a station's message.

    Args:
        values: canonical values; those the profile does not have are left out.
        identity: the board's number.
    """
    entries = []
    for kind, field in compile_names(profile, numbers_as_text=True).items():
        found = written(field, values)
        if found is not None:
            entries.append({"value_type": kind, "value": found})
    document = {"esp8266id": identity, "software_version": "NRZ-2024-136", _VALUES: entries}
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
