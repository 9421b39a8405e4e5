"""NAS readers on water and other meters: CM30xx on the register, UM30xx on pulse outputs and pressure sensors.

Source: maker's codecs (nas-codecs, cm30xx and um30xx decoders and their tests), read 2026-07.

Payloads, little-endian, fPort 25 usage and 24 status::

    CM30xx   04 AL ST MM AC VVVVVVVV [date u16] FF [BB UU TT MM RR NN serial u32]
    UM30xx   02 AL AC II              per pulse input  PP CCCCCCCC [serial u32]   [SS QQ values f32 ..]
             82 AL BB UU TT MM RR NN AC II  ..

    AL  bits    CM30xx: 0 backflow, 1 broken pipe, 2 continuous flow, 3 tamper, 5 low battery; UM30xx: 6 low battery
    ST  uint8   0 the meter answers; otherwise the volume is the last one known and left out
    MM  bits    0-2 power of ten less 6, 3-4 medium (0 water, 1 warm water, 2 gas), 5-6 unit (0 m3), 7 date follows
    V   uint32  volume in that power of ten
    FF  bits    1 the device's state follows
    BB  uint8   battery left [month]     UU  uint8  battery voltage [0.01 V above 1.5 V]     TT  int8  temperature [Cel]
    II  bits    0, 1 pulse inputs follow; 2-5: 4 a pressure sensor, 8 an M-Bus meter (not read)
    PP  bits    1 serial follows, 2-3 power of ten, 4-7 medium: 0 triggers, 1 pulses, 2 water [L], 3 energy [W.h],
                4 gas [L]
    SS  bits    0-5 kind of sensor (1: pressure [bar] and temperature [Cel])
    QQ  bits    even: momentary values of channel 1 to 4 follow; odd: their means

``options.reader`` of a profile is ``cm30`` or ``um30``.
"""

from devices.codecs import Context, Decoder
from devices.codecs.byte_reader import ByteReader
from devices.codecs.field_values import allow_options
from devices.codecs.layout import refuse_unknown_paths, rules_by_path
from devices.observation import Message, Observation, Reason, RefusedError
from devices.profile import Profile, ProfileError

MEDIUMS = ("triggers", "pulses", "water", "electricity", "gas")
DEVICE = frozenset({"battery_voltage", "temperature", "low_battery"})
PATHS = {
    "cm30": DEVICE | {"volume", "gas_volume", "backflow", "broken_pipe", "continuous_flow", "tamper"},
    "um30": DEVICE
    | {f"pulse_{number}.{medium}" for number in (1, 2) for medium in MEDIUMS}
    | {"pressure", "sensor_temperature"},
}
"""Every path a profile can name, by reader."""

GAS = 2
"""The CM30xx's number for that medium."""

Values = dict[str, float]
_READING_PORTS = frozenset({0, 24, 25})


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one model.

    Raises:
        ProfileError: ``options.reader`` or a path of the profile is not known.
    """
    allow_options(profile, "reader")
    kind = profile.options.get("reader")
    if kind not in PATHS:
        raise ProfileError(f"{profile.id}: options.reader: must be one of {', '.join(PATHS)}")
    rules = rules_by_path(profile)
    refuse_unknown_paths(profile, rules, PATHS[kind])
    read = _cm30 if kind == "cm30" else _um30

    def decode(payload: bytes, context: Context) -> Message:
        if not payload:
            raise RefusedError(Reason.EMPTY, "the payload has no bytes")
        if context.port not in _READING_PORTS:
            return Message([])
        observations: list[Observation] = []
        for path, number in read(ByteReader(payload)).items():
            for meaning in rules.get(path, ()):
                meaning.observe(number, None, observations)
        return Message(observations)

    return decode


def _cm30(reader: ByteReader) -> Values:
    if (kind := reader.take()) != 0x04:
        raise RefusedError(Reason.UNSUPPORTED, f"a usage packet starts with 04, this one with {kind:02x}")
    alerts, status, form = reader.take(), reader.take(), reader.take()
    values: Values = {
        "backflow": alerts & 1,
        "broken_pipe": alerts >> 1 & 1,
        "continuous_flow": alerts >> 2 & 1,
        "tamper": alerts >> 3 & 1,
        "low_battery": alerts >> 5 & 1,
    }
    exponent, medium, unit = (form & 7) - 6, form >> 3 & 3, form >> 5 & 3
    if unit:
        raise RefusedError(Reason.UNIT, "the meter counts gallons or cubic feet; set it to cubic metres")
    if not -3 <= exponent <= 1:
        raise RefusedError(Reason.MALFORMED, f"10^{exponent} is no step of a meter")
    reader.take()  # how old the meter's answer is
    volume = reader.take(4)
    if status == 0:
        name = "gas_volume" if medium == GAS else "volume"
        values[name] = volume * 10**exponent if exponent > 0 else volume / 10**-exponent
    if form & 0x80:
        reader.take(2)  # day of the reading
    if reader.take() & 0x02:
        values.update(_device(reader))
    return values


def _um30(reader: ByteReader) -> Values:
    kind = reader.take()
    if kind not in {0x02, 0x82}:
        raise RefusedError(Reason.UNSUPPORTED, f"a usage or status packet starts with 02 or 82, not {kind:02x}")
    values: Values = {"low_battery": reader.take() >> 6 & 1}
    if kind == 0x82:
        values.update(_device(reader))
    reader.take()  # how old the meter's answer is
    interfaces = reader.take()
    for bit in (0, 1):
        if interfaces >> bit & 1:
            form = reader.take()
            if form >> 4 >= len(MEDIUMS):
                raise RefusedError(Reason.UNSUPPORTED, f"pulse input {bit + 1} counts a medium that is not described")
            values[f"pulse_{bit + 1}.{MEDIUMS[form >> 4]}"] = reader.take(4) * 10 ** (form >> 2 & 3)
            if form & 0x02:
                reader.take(4)
    if interfaces >> 2 & 0x0F == 0x04:
        values.update(_pressure_sensor(reader))
    return values


def _device(reader: ByteReader) -> Values:
    reader.take()  # months of battery left, by the maker's estimate
    values: Values = {"battery_voltage": (reader.take() + 150) / 100, "temperature": reader.take(signed=True)}
    reader.take(3)  # least and greatest temperature, last downlink, sending power
    return values


def _pressure_sensor(reader: ByteReader) -> Values:
    kind, sent = reader.take() & 0x3F, reader.take()
    numbers = {bit: reader.take_float() for bit in range(8) if sent >> bit & 1}
    if kind != 1:
        return {}
    named = {0: "pressure", 2: "sensor_temperature"}
    return {named[bit]: number for bit, number in numbers.items() if bit in named}
