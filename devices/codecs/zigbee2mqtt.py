"""Zigbee2MQTT: devices of a Zigbee network, one flat JSON object each.

Source: Zigbee2MQTT documentation, pages "MQTT topics and messages", "Configuration" (advanced.last_seen, cache_state),
and the device pages' exposes.

Topic ``zigbee2mqtt/<friendly name>``; the name may hold slashes. Payload::

    {"temperature": 27.34, "battery": 91, "voltage": 3000, "linkquality": 120, "last_seen": "2026-08-01T04:05:06.789Z"}

    <attribute>   the profile's ``path``; its unit is the profile's (voltage is in mV on batteries, in V on meters)
    last_seen     RFC 3339 or milliseconds since 1970, if the bridge is set to send it: when the device was last heard

Every message repeats all attributes the bridge remembers, and at its start the bridge says everything again. With
``last_seen`` a repetition keeps the time of what it repeats, so it is no new point; without it, a retained message is
stale, and any other cannot be told from a reading: set ``last_seen`` in the bridge. Null is an attribute never heard.
Event ``availability`` carries the state; ``set``, ``get`` and everything under ``bridge`` carry no readings.
"""

import json
from collections.abc import Mapping
from datetime import tzinfo

from devices.codecs import Context, Decoder, times
from devices.codecs.field_values import allow_options, compile_fields, once_each, written
from devices.codecs.json_fields import group, observe
from devices.codecs.json_paths import plant
from devices.codecs.json_text import read_object
from devices.codecs.status_text import read_status
from devices.observation import Message, Reason, RefusedError
from devices.profile import Profile

_AVAILABILITY = "availability"
_NOT_READINGS = frozenset({"set", "get"})


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one profile.

    Raises:
        ProfileError: a path that is none, or an option.
    """
    allow_options(profile)
    fields = compile_fields(profile)
    plan = group(fields)
    doubled = len({field.name for field in fields}) != len(fields)

    def decode(payload: bytes, context: Context) -> Message:
        event = context.event
        if event == _AVAILABILITY:
            return read_status(payload)
        if event in _NOT_READINGS or event.partition("/")[0] == "bridge":
            raise RefusedError(Reason.UNSUPPORTED, f"{event[:80]!r} carries no readings of a device")
        document = read_object(payload)
        observed_at = _last_seen(document.get("last_seen"), context.zone)
        observations = observe(document, plan, observed_at)
        if not observations:
            raise RefusedError(Reason.NO_READING, f"nothing of profile {profile.id} is in the payload")
        stale = context.retained and observed_at is None
        return Message(once_each(observations) if doubled else observations, stale=stale)

    return decode


def _last_seen(found: object, zone: tzinfo) -> int | None:
    """When the device was last heard [ns UTC]; None if the bridge does not say."""
    if found is None:
        return None
    if type(found) is str:
        return times.instant(found, zone)[0]
    return times.epoch(found, times.MILLISECOND)


def encode(profile: Profile, values: Mapping[str, float], observed_at: int | None = None) -> bytes:
    """Write a device's message.

    Args:
        values: canonical values; those the profile does not have are left out.
        observed_at: nanoseconds UTC, written as ``last_seen`` in milliseconds; None sends none.
    """
    document: dict[str, object] = {}
    for field in compile_fields(profile):
        found = written(field, values)
        if found is not None:
            plant(document, field.path, found)
    if observed_at is not None:
        document["last_seen"] = times.text(observed_at - observed_at % times.MILLISECOND)
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
