"""Milesight NB-IoT sensors: a header that names the modem, then the same channels as over LoRaWAN.

Source: maker's decoder collection (SensorDecoders, em400-tld README, "NB-IoT Data Frame"), read 2026-07; signal quality
as in 3GPP TS 27.007, 8.5.

Payload, the header big-endian::

    byte   0    1     3     5    6     8    9         17       33          48    63     83   84    86 ..
           02   0001  LLLL  FF   NNNN  01   versions  serial   IMEI        IMSI  ICCID  QQ   SSSS  channels

    L  uint16  bytes after this field
    N  uint16  frame counter
    Q  uint8   signal quality: 2 dB steps above -113 dBm, 99 not known
    S  uint16  bytes of channels, for the codec ``milesight``

A modem that was out of reach sends several rounds of channels in one frame and no times with them: only the last round
can be placed in time, so the last value of each property counts.
"""

from devices.codecs import Context, Decoder, milesight
from devices.observation import Message, Observation, Reason, RefusedError
from devices.profile import Profile

HEADER = 86
START = b"\x02\x00\x01"
_AFTER_LENGTH = 5
_QUALITY = 83
_UNKNOWN_QUALITY = 99


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one model.

    Raises:
        ProfileError: a layout or path of the profile cannot be used.
    """
    channels = milesight.decoder(profile)
    says_signal = any(entry.name == "rssi" and not entry.path for entry in profile.properties)

    def decode(payload: bytes, context: Context) -> Message:
        if not payload:
            raise RefusedError(Reason.EMPTY, "the payload has no bytes")
        if not payload.startswith(START):
            raise RefusedError(
                Reason.UNSUPPORTED, f"a frame starts with 02 00 01, this one with {payload[:3].hex(' ')}"
            )
        if len(payload) < HEADER:
            raise RefusedError(Reason.LENGTH, f"{len(payload)} bytes, the header alone has {HEADER}")
        stated, size = int.from_bytes(payload[3:5], "big"), int.from_bytes(payload[84:86], "big")
        if (stated, size) != (len(payload) - _AFTER_LENGTH, len(payload) - HEADER):
            raise RefusedError(
                Reason.LENGTH, f"the header's lengths {stated} and {size} do not fit {len(payload)} bytes"
            )
        inner = channels(payload[HEADER:], context) if size else Message([])
        observations = list({(o.property, o.observed_at): o for o in inner.observations}.values())
        quality = payload[_QUALITY]
        if says_signal and quality != _UNKNOWN_QUALITY:
            observations.append(Observation("rssi", 2.0 * quality - 113.0, "dB[mW]"))
        return Message(observations, sequence=int.from_bytes(payload[6:8], "big"))

    return decode
