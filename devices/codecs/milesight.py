"""Milesight LoRaWAN and NB-IoT sensors: channel, type, value, little-endian, any number of them after each other.

Source: maker's decoder collection (SensorDecoders, one README a model with table and example), read 2026-07.

Payload::

    byte   0     1     2 ..        ...
           CC    TT    value       CC    TT    value

    C  channel   which measurement of the device; 0x8x an alarm of channel 0x0x; 0x20, 0x21 history; 0xFF the device
    T  type      how the value is written; the same type can have other lengths in other models, so each profile
                 lists its own channels under ``options.channels``

A profile's ``path`` is the channel and type in hexadecimal (``03.67``), or the name its layout gives the field.
History records carry the time of their measurement; alarms carry the value that caused them.
"""

from devices.codecs import Decoder
from devices.codecs.tlv import tlv_decoder
from devices.profile import Profile

ABOUT_THE_DEVICE = {
    "FF.01": "x1",  # protocol version
    "FF.09": "x2",  # hardware version
    "FF.0A": "x2",  # firmware version
    "FF.0B": "x1",  # switched on
    "FF.0F": "x1",  # LoRaWAN class
    "FF.16": "x8",  # serial number
    "FF.FE": "x1",  # reset
    "FF.FF": "x2",  # model version
}
"""Types every model has; none is a reading."""


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one model.

    Raises:
        ProfileError: a layout or path of the profile cannot be used.
    """
    return tlv_decoder(profile, ABOUT_THE_DEVICE, type_bytes=2, order="little")
