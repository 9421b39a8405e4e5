"""NAS luminaire controllers UL2002, UL2014, UL2020, UL2030: status and usage of a street lamp and its DALI drivers.

Source: maker's codecs (nas-codecs, ul20xx decoders and their tests) and the page "LCU payloads", firmware 1.0 and 1.1,
read 2026-07.

Payloads, little-endian; H is a type byte that only firmware 1.1 has::

    usage    H=00, then per address   AA FF  values in the order of the flags
    status   H=01  TTTTTTTT SSSS RR NN DD AL SB sensors .. per output  AA reason level state
             H=00  TTTTTTTT SS   RR NN DD FF [LDR] [AL]    per output  AA reason level state
             1.0   TTTTTTTT SS   RR NN DD FF [LDR]         per profile id version AA days level

    A  address   0xFF the controller itself, 0xFE every driver, 0x01 the analog output, else twice the DALI address
    F  flags     usage: energy u32 [W.h], power u16 [W], energy u32 and power u16 at the load, power factor u8 [0.01]
                 (0xFF unknown), mains voltage u8 [V], driver's operating time u32 [s], lamp's u32 [s]
                 status: bit 1 an LDR value follows, bit 4 (1.1) alerts follow
    T  uint32    seconds since 1970; before 2015 the controller has not been told the time
    S  bits      1 DALI bus error, 5 meter error, 6 clock warning, 7 relay closed; a second byte in H=01
    R  uint8     signal of the last downlink [-dBm]     N  int8  its signal-to-noise ratio [dB]
    D  int8      temperature of the controller [Cel]
    L  SB        number of bytes of sensor records: 01 LDR u8; 02, 03 light u16 (exponential); 04 contact; 08 tilt u8
       level     dimming [%], 0xFF not known
       state     DALI bits: 0 driver error, 1 lamp failure, 2 lamp on; 0xFF not known

A controller of several drivers says what the lamp does as one: powers, energies are added, a failure of one counts.
"""

from collections.abc import Callable

from devices.codecs import Context, Decoder
from devices.codecs.byte_reader import ByteReader
from devices.codecs.field_values import allow_options
from devices.codecs.layout import refuse_unknown_paths, rules_by_path
from devices.observation import Message, Observation, Reason, RefusedError
from devices.profile import Profile

OWN = 0xFF
"""The controller's own meter."""
UNKNOWN = 0xFF
CLOCK_SET = 1_420_070_400
"""2015-01-01: the maker's own bound for a clock that was never set."""

USAGE = (
    ("energy", 4), ("power", 2), ("load_energy", 4), ("load_power", 2),
    ("power_factor", 1), ("voltage", 1), ("driver_time", 4), ("lamp_time", 4),
)  # fmt: skip
"""Values of a usage packet in the order of their flags, with their size."""
_ADDED = frozenset({"energy", "power", "load_energy", "load_power"})

PATHS = frozenset(name for name, _ in USAGE) | {
    "dimming_level", "lamp_on", "lamp_failure", "driver_error", "relay", "bus_error", "meter_error",
    "temperature", "ldr", "light", "contact", "tilt",
}  # fmt: skip
"""Every path a profile can name."""

Values = dict[str, float]


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one model.

    Raises:
        ProfileError: a path of the profile is not one of ``PATHS``.
    """
    allow_options(profile)
    rules = rules_by_path(profile)
    refuse_unknown_paths(profile, rules, PATHS)

    def decode(payload: bytes, context: Context) -> Message:
        if not payload:
            raise RefusedError(Reason.EMPTY, "the payload has no bytes")
        if context.port in WITHOUT_READINGS:
            return Message([])
        read = _PORTS.get(context.port)
        if read is None:
            raise RefusedError(Reason.UNSUPPORTED, f"fPort {context.port}: usage comes on 26 (25), status on 23 (24)")
        values, at = read(ByteReader(payload))
        observations: list[Observation] = []
        for path, number in values.items():
            for meaning in rules.get(path, ()):
                meaning.observe(number, at, observations)
        return Message(observations)

    return decode


def _usage(reader: ByteReader) -> tuple[Values, None]:
    """The controller's own meter where it has one, else what the drivers say."""
    own: Values = {}
    drivers: Values = {}
    while reader.left():
        address, flags = reader.take(1), reader.take(1)
        target = own if address == OWN else drivers
        for bit, (name, size) in enumerate(USAGE):
            if not flags >> bit & 1:
                continue
            number = reader.take(size)
            if name == "power_factor" and number == UNKNOWN:
                continue
            if name in _ADDED:
                target[name] = target.get(name, 0) + number
            else:
                target[name] = max(target.get(name, 0), number)
    return {**drivers, **own}, None


def _usage_1_1(reader: ByteReader) -> tuple[Values, None]:
    if reader.take(1) != 0:
        raise RefusedError(Reason.UNSUPPORTED, "a usage packet of firmware 1.1 starts with 00")
    return _usage(reader)


def _status_1_1(reader: ByteReader) -> tuple[Values, int | None]:
    header = reader.take(1)
    if header > 1:
        raise RefusedError(Reason.UNSUPPORTED, "a status packet of firmware 1.1 starts with 00 or 01")
    at = _time(reader.take(4))
    values = _own_state(reader, wide=header == 1)
    if header == 1:
        reader.take(1)  # alerts of the last 24 hours: history, not a reading
        _sensors(reader, values)
    else:
        flags = reader.take(1)
        if flags & 0x02:
            values["ldr"] = reader.take(1)
        if flags & 0x10:
            reader.take(1)
    while reader.left():
        reader.take(2)  # address and the reason for this level
        level, state = reader.take(1), reader.take(1)
        _output(values, level, state)
    return values, at


def _status_1_0(reader: ByteReader) -> tuple[Values, int | None]:
    at = _time(reader.take(4))
    values = _own_state(reader, wide=False)
    if reader.take(1) & 0x02:
        values["ldr"] = reader.take(1)
    while reader.left():
        reader.take(4)  # profile id, its version, address, days
        _output(values, reader.take(1), UNKNOWN)
    return values, at


def _time(seconds: int) -> int | None:
    return seconds * 1_000_000_000 if seconds >= CLOCK_SET else None


def _own_state(reader: ByteReader, wide: bool) -> Values:
    bits = reader.take(2 if wide else 1)
    reader.take(2)  # how the last downlink was heard
    return {
        "bus_error": bits >> 1 & 1,
        "meter_error": bits >> 5 & 1,
        "relay": bits >> 7 & 1,
        "temperature": reader.take(1, signed=True),
    }


def _sensors(reader: ByteReader, values: Values) -> None:
    """Sensor records; an unknown one hides those after it, their common length is stated."""
    left = reader.take(1)
    while left > 0:
        kind = reader.take(1)
        left -= 1
        if kind == 0x01:
            values["ldr"] = reader.take(1)
        elif kind in {0x02, 0x03}:
            raw = reader.take(2)
            if raw != 0xFFFF:
                values["light"] = _lux(raw)
            left -= 1
        elif kind == 0x04:
            values["contact"] = reader.take(1) & 1
        elif kind == 0x08:
            tilt = reader.take(1)
            if tilt != UNKNOWN:
                values["tilt"] = tilt
        else:
            for _ in range(left):
                reader.take(1)
            return
        left -= 1
    if left < 0:
        raise RefusedError(Reason.LENGTH, "the sensor records are longer than their stated length")


def _lux(raw: int) -> float:
    """Light [lx] to the four digits that the exponential step of 0.06 % has."""
    return float(f"{10 ** ((raw & 0x7FFF) / 4000) / 1000:.4g}")


def _output(values: Values, level: int, state: int) -> None:
    """Add one driver's or output's state to the lamp's."""
    if level != UNKNOWN:
        values["dimming_level"] = max(values.get("dimming_level", 0), level)
    if state != UNKNOWN:
        for bit, name in enumerate(("driver_error", "lamp_failure", "lamp_on")):
            values[name] = max(values.get(name, 0), state >> bit & 1)


WITHOUT_READINGS = frozenset({49, 50, 51, 60, 61, 99})
"""Ports of configuration, commands, notices and start-up."""

_PORTS: dict[int, Callable[[ByteReader], tuple[Values, int | None]]] = {
    23: _status_1_1, 24: _status_1_0, 25: _usage, 26: _usage_1_1,
}  # fmt: skip
