"""YOBIIQ LoRaWAN energy meters: channel, type, value, big-endian, any number of them after each other.

Source: maker's codecs in the ChirpStack device profiles (vendors/yobiiq, codec and tests), read 2026-07.

Payload on fPort 1 to 10 (on others the device reports states and answers commands)::

    byte   0     1     2 ..        ...
           CC    TT    value       CC    TT    value

    C  channel   1
    T  type      the table below; energies in W.h, voltages in 0.1 V, currents in mA, powers in W, frequency in 0.01 Hz

A profile's ``path`` is channel and type in hexadecimal (``01.0C``). Type 01 is the meter's own time.
"""

from devices.codecs import Decoder
from devices.codecs.tlv import tlv_decoder
from devices.profile import Profile

MEASUREMENTS = {
    "01.00": "u32",  # number of the message
    "01.01": "time",
    "01.03": "u32",  # time of the data logger
    **{f"01.{kind:02X}": "u32" for kind in range(0x04, 0x0C)},  # active and reactive energy, import and export, tariffs
    **{f"01.{kind:02X}": "i32" for kind in range(0x0C, 0x1D)},  # voltages, currents, active, reactive, apparent power
    **{f"01.{kind:02X}": "i8" for kind in range(0x1D, 0x20)},  # power factors, 0.01
    **{f"01.{kind:02X}": "i16" for kind in range(0x20, 0x24)},  # phase angles 0.01 deg, frequency 0.01 Hz
    **{f"01.{kind:02X}": "u32" for kind in range(0x24, 0x27)},  # power of the whole system: kW, 0.001 kvar, 0.001 kVA
    **{f"01.{kind:02X}": "i32" for kind in range(0x27, 0x2B)},  # greatest currents, mean power
    "01.2B": "u32",  # year of certification
    "01.F0": "x2",  # year of manufacture
    "01.F1": "x2",  # firmware
    "01.F2": "x2",  # hardware
    "0B.0A": "x1",  # error of the meter's own bus
}


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one model.

    Raises:
        ProfileError: a path of the profile cannot be used.
    """
    return tlv_decoder(profile, MEASUREMENTS, type_bytes=2, order="big", ports=range(11))
