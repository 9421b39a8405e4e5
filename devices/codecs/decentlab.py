"""Decentlab LoRaWAN sensors, protocol version 2: flags, then 16-bit words of each sensor that the flags name.

Source: maker's decoder collection (decentlab-decoders, one folder a model) and the models' datasheets, read 2026-07.

Payload, big-endian::

    byte   0     1   2     3   4     5 ..
           VV    DDDD      FFFF      words

    V  uint8    protocol version, 2
    D  uint16   device id
    F  uint16   flags: bit 0 is set if the first sensor's words follow, bit 1 for the second, ...
    words       of the first sensor, then of the second, ...; how many each has and what they mean is the model's

The profile's ``options.sensors`` lists the sensors' layouts in the order of the flags, ``path`` names their fields.
"""

from devices.codecs import Context, Decoder
from devices.codecs.field_values import allow_options
from devices.codecs.layout import Layout, compile_layout, refuse_unknown_paths, rules_by_path
from devices.observation import Message, Observation, Reason, RefusedError
from devices.profile import Profile, ProfileError

VERSION = 2
_HEADER = 5
_MOST_SENSORS = 16


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one model.

    Raises:
        ProfileError: a layout or path of the profile cannot be used.
    """
    allow_options(profile, "sensors")
    sensors = _sensors(profile)

    def decode(payload: bytes, context: Context) -> Message:  # noqa: ARG001 - everything is in the bytes
        if not payload:
            raise RefusedError(Reason.EMPTY, "the payload has no bytes")
        if payload[0] != VERSION:
            raise RefusedError(Reason.UNSUPPORTED, f"protocol version {payload[0]}, this codec reads {VERSION}")
        if len(payload) < _HEADER:
            raise RefusedError(Reason.LENGTH, f"{len(payload)} bytes, the header alone has {_HEADER}")
        flags = int.from_bytes(payload[3:5], "big")
        if flags >> len(sensors):
            raise RefusedError(Reason.UNSUPPORTED, f"flags {flags:#06x} name a sensor that the profile does not have")
        present = [layout for bit, layout in enumerate(sensors) if flags >> bit & 1]
        needed = _HEADER + sum(layout.size for layout in present)
        if len(payload) != needed:
            raise RefusedError(Reason.LENGTH, f"{len(payload)} bytes, flags {flags:#06x} ask for {needed}")
        observations: list[Observation] = []
        position = _HEADER
        for layout in present:
            layout.read(payload, position, observations)
            position += layout.size
        return Message(observations)

    return decode


def _sensors(profile: Profile) -> tuple[Layout, ...]:
    rules = rules_by_path(profile)
    texts = profile.options.get("sensors")
    if not isinstance(texts, list) or not 0 < len(texts) <= _MOST_SENSORS:
        raise ProfileError(f"{profile.id}: options.sensors: must be a list of 1 to {_MOST_SENSORS} layouts")
    try:
        layouts = tuple(compile_layout(str(text), "", "big", rules) for text in texts)
    except ValueError as error:
        raise ProfileError(f"{profile.id}: options.sensors: {error}") from error
    refuse_unknown_paths(profile, rules, (name for layout in layouts for name in layout.names))
    return layouts
