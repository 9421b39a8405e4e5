"""Synetica enLink air quality monitors and meter readers: type, value, big-endian, any number of them after each other.

Source: maker's decoder documentation (enlink-decoder, README, "Uplink Payload"), read 2026-07.

Payload::

    byte   0     1 ..       ...
           TT    value      TT    value

    T  type    the table below

A profile's ``path`` is the type in hexadecimal: ``01`` is the air temperature. Types with a number after them are
``61.21`` (gas 0x21, nitrogen dioxide, in ppb), ``66.21`` (the same in ug/m3), ``10.04`` and ``11.04`` (fifth Modbus
item, momentary and counting), ``0E.00`` (pulse counter 1).
"""

from devices.codecs import Decoder
from devices.codecs.tlv import tlv_decoder
from devices.profile import Profile

TYPES = {
    "01": "i16",  # air temperature, 0.1 Cel
    "02": "u8",  # relative humidity, %
    "03": "u16",  # illuminance, lx
    "04": "u16",  # air pressure, mbar
    "05": "u16",  # index of volatile organic compounds
    "06": "u8",  # oxygen, 0.1 %
    "07": "u16",  # carbon monoxide, 0.01 ppm
    "08": "u16",  # carbon dioxide, ppm
    "09": "u16",  # ozone, 0.0001 ppm
    "0A": "u16",  # reducing gases, 0.1 kOhm
    "0D": "u16",  # hydrogen sulphide, 0.01 ppm
    "0E.*": "x4",  # pulse counter
    "0F.*": "x1",  # Modbus exception
    "10.*": "f32",  # Modbus, momentary
    "11.*": "f32",  # Modbus, counting
    "12": "f32",  # volatile organic compounds, ppm
    "13": "u32",  # detections
    "14": "u32",  # time occupied, s
    "15": "x2",  # contacts that changed
    "16": "u8",  # detected now
    **{f"{kind:02X}": "i16" for kind in range(0x17, 0x1A)},  # temperature probes, 0.1 Cel
    **{f"{kind:02X}": "x4" for kind in (0x1A, 0x1B, 0x1C, 0x20, 0x21, 0x22, 0x26, 0x27, 0x28)},  # time in a band, s
    **{f"{kind:02X}": "x2" for kind in (0x1D, 0x1E, 0x1F, 0x23, 0x24, 0x25, 0x29, 0x2A, 0x2B)},  # alarms of a band
    "2C": "f32",  # differential pressure, Pa
    "2D": "f32",  # air flow, m/s
    "2E": "u16",  # voltage, mV
    "2F": "u16",  # current, 0.001 mA
    "30": "u16",  # resistance, 0.1 kOhm
    "31": "u8",  # leak detected
    "32": "f32",  # gauge pressure, Pa
    "33": "i16",  # temperature of the pressure sensor, 0.01 Cel
    "34": "f32",  # liquid level, mm
    "35": "i16",  # temperature of the level sensor, 0.01 Cel
    "39": "f32",  # ethanol, ppm
    "3A": "f32",  # indoor air quality index
    "3B": "u16",  # relative humidity, 0.01 %
    "3C": "i16",  # compensated temperature, 0.1 Cel
    "3D": "u16",  # compensated relative humidity, 0.01 %
    "3F": "f32",  # estimated carbon dioxide, ppm
    "40": "x2",  # processor temperature, packed
    "41": "u8",  # battery state
    "42": "u16",  # battery voltage, mV
    "43": "i16",  # signal of the last downlink, dBm
    "44": "i8",  # signal-to-noise ratio of the last downlink, dB
    "45": "x2",  # downlinks
    "46": "x2",  # time to send, ms
    "47": "x1",  # power sent, dBm
    "48": "u16",  # uplinks
    "49": "x2",  # starts
    "4A": "x2",  # USB connected
    "4B": "x2",  # log-ins
    "4C": "x2",  # failed log-ins
    "4D": "u32",  # fan running, s
    "4E": "i16",  # processor temperature, 0.1 Cel
    "50": "f32",  # sound level, least, dB(A)
    "51": "f32",  # mean
    "52": "f32",  # greatest
    "53": "u16",  # nitric oxide, 0.01 ppm
    "54": "u16",  # nitrogen dioxide, 0.0001 ppm
    "55": "u16",  # nitrogen dioxide, 0.001 ppm
    "56": "u16",  # sulphur dioxide, 0.001 ppm
    **{f"{kind:02X}": "f32" for kind in range(0x57, 0x61)},  # PM1, 2.5, 4, 10 [ug/m3], counts, typical size
    "61.*": "f32",  # gas, ppb
    "62.*": "x4",  # corrosion
    "63.*": "x2",
    "64.*": "x2",
    "65.*": "x4",
    "66.*": "f32",  # gas, ug/m3
    "67": "u16",  # fast outdoor air quality index
    "68": "u16",  # outdoor air quality index
    **{f"{kind:02X}": "f32" for kind in range(0x69, 0x70)},  # further particle sizes
    **{f"{kind:02X}": "x2" for kind in range(0x70, 0x73)},  # smoke and vapour events
    "73": "x4",  # flammable gas cycles
    "74.*": "f32",  # flammable gas, % of the lower explosive limit
    "FE": "x4",  # fault of a sensor
}
"""Every type of the document whose length it states without contradiction."""


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one model.

    Raises:
        ProfileError: a path of the profile cannot be used.
    """
    gases = {path: "f32" for entry in profile.properties if (path := entry.path)[:3] in {"61.", "66.", "10.", "11."}}
    pulses = {path: "u32" for entry in profile.properties if (path := entry.path)[:3] == "0E."}
    return tlv_decoder(profile, {**TYPES, **gases, **pulses}, type_bytes=1, order="big")
