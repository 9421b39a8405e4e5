"""SenML unit names to UCUM codes; ``%`` is the trap: in SenML it is a ratio from 0 to 1.

Source: RFC 8428 section 12.1, RFC 8798 sections 2 and 3, and the IANA registry "SenML Units" with its later entries.
"""

from typing import NamedTuple


class SenmlUnit(NamedTuple):
    """``value * factor`` in the UCUM unit."""

    ucum: str
    factor: float = 1.0


_SAME = (
    "A",
    "Cel",
    "Hz",
    "J",
    "K",
    "Pa",
    "S/m",
    "V",
    "VA",
    "W",
    "W/m2",
    "dB",
    "lx",
    "m",
    "m/s",
    "m3",
    "m3/s",
    "s",
    "var",
)
_SAME_SECONDARY = ("cm", "h", "hPa", "kVA", "kW", "km", "km/h", "kvar", "mA", "mV", "min", "mm", "mm/h", "ms", "ug/m3")

UNITS: dict[str, SenmlUnit] = {
    **{name: SenmlUnit(name) for name in (*_SAME, *_SAME_SECONDARY)},
    "%RH": SenmlUnit("%"),
    "%EL": SenmlUnit("%"),
    "/": SenmlUnit("1"),
    # RFC 8428, note 1: "%" is a historical name of "/", the ratio; percent is "/100".
    "%": SenmlUnit("1"),
    "/100": SenmlUnit("%"),
    "/1000": SenmlUnit("%", 0.1),
    "count": SenmlUnit("1"),
    "deg": SenmlUnit("deg"),
    "lat": SenmlUnit("deg"),
    "lon": SenmlUnit("deg"),
    "pH": SenmlUnit("[pH]"),
    "l": SenmlUnit("L"),
    "l/s": SenmlUnit("L/s"),
    "kg/m3": SenmlUnit("g/L"),
    "NTU": SenmlUnit("[NTU]"),
    "Wh": SenmlUnit("W.h"),
    "kWh": SenmlUnit("kW.h"),
    "varh": SenmlUnit("var.h"),
    "kvarh": SenmlUnit("kvar.h"),
    "MHz": SenmlUnit("Hz", 1e6),
    "dBm": SenmlUnit("dB[mW]"),
    "ppm": SenmlUnit("[ppm]"),
    "ppb": SenmlUnit("[ppb]"),
    "g/l": SenmlUnit("g/L"),
    "mg/l": SenmlUnit("mg/L"),
    "ug/l": SenmlUnit("ug/L"),
}
"""Every unit that some property of the vocabulary can be stated in."""

NAMES = {
    unit.ucum: name for name, unit in reversed(UNITS.items()) if unit.factor == 1.0 and name not in {"%", "%EL", "%RH"}
}
"""UCUM code to a SenML name, for encoders; a property without one is sent without a unit."""
