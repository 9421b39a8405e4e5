"""Bare values: one number or word a message, the topic says which property.

Source: the convention of many firmwares (Zigbee2MQTT with ``output: attribute``, ESPHome, Shelly's first generation).

Topic ``value/<device>/<event>``; the event is the profile's ``path`` of a property, or the property's own name, and may
have several levels. Payload::

    58.2     a number: digits, decimal point, exponent; spaces around it are allowed
    ON       a word, where the property's ``values`` says which number it stands for

The event ``status`` or ``LWT`` carries ``online`` or ``offline``.
"""

from devices.codecs import Context, Decoder
from devices.codecs.field_values import allow_options, compile_names, written
from devices.codecs.json_fields import STATUS_EVENTS
from devices.codecs.status_text import plain_status
from devices.observation import Message, Observation, Reason, RefusedError
from devices.profile import Profile

_LONGEST = 64
"""Bytes; the longest number a float prints has 24."""


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one profile.

    Raises:
        ProfileError: two properties of one name, or any option.
    """
    allow_options(profile)
    fields = compile_names(profile, numbers_as_text=True)
    for field in tuple(fields.values()):
        fields.setdefault(field.name, field)

    def decode(payload: bytes, context: Context) -> Message:
        if not payload:
            raise RefusedError(Reason.EMPTY, "the payload has no bytes")
        if len(payload) > _LONGEST:
            raise RefusedError(Reason.MALFORMED, f"a bare value has at most {_LONGEST} bytes")
        if context.event in STATUS_EVENTS:
            status = plain_status(payload)
            if status is not None:
                return status
        field = fields.get(context.event)
        if field is None:
            raise RefusedError(Reason.PROPERTY, f"profile {profile.id} has no property at {context.event[:80]!r}")
        try:
            text = payload.decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise RefusedError(Reason.ENCODING, f"not UTF-8 at byte {error.start}") from error
        value = field.value(text)
        if value is None:
            raise RefusedError(Reason.NO_READING, f"{field.name}: the device says that it has no reading")
        return Message([Observation(field.name, value, field.unit)])

    return decode


def encode(profile: Profile, name: str, value: float) -> tuple[str, bytes]:
    """One property's message.

    Args:
        name: a property of the profile.
        value: in its canonical unit.

    Returns:
        The topic's event and the payload.

    Raises:
        KeyError: the profile does not have this property.
    """
    for event, field in compile_names(profile, numbers_as_text=True).items():
        if field.name == name:
            return event, str(written(field, {name: value})).encode()
    raise KeyError(name)
