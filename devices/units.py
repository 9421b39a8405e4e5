"""Declared unit to canonical unit: linear conversions, computed once when profiles load, never per message."""

from functools import cache, lru_cache
from typing import Any, NamedTuple

from devices.vocabulary import VOCABULARY

MOLAR_MASS = {
    "co": 28.010, "no2": 46.006, "no": 30.006, "so2": 64.064, "o3": 47.998, "nh3": 17.031, "h2s": 34.08, "co2": 44.009,
}  # fmt: skip
"""Molar mass [g/mol]. Source: standards page, VN_AQI conversion table; CO2 and NO from IUPAC atomic masses."""

MOLAR_VOLUME = 24.465
"""Litres per mole at 25 Cel and 101.325 kPa, the "Nm3" of QCVN 05:2023."""

NITROGEN_SHARE = {
    ("ammonium_nitrogen", "mg/L{NH4}"): 0.7765,
    ("nitrate_nitrogen", "mg/L{NO3}"): 0.2259,
    ("nitrite_nitrogen", "mg/L{NO2}"): 0.3045,
    ("phosphate_phosphorus", "mg/L{PO4}"): 0.3261,
}
"""Share of the element in the ion, by mass: probes may report either form and the unit must say which."""

_PINT = {
    "%": "percent", "1": "dimensionless", "Cel": "degC", "[degF]": "degF", "K": "kelvin",
    "W": "watt", "kW": "kilowatt", "mW": "milliwatt", "VA": "volt_ampere", "kVA": "kilovolt_ampere",
    "var": "volt_ampere", "kvar": "kilovolt_ampere",
    "W.h": "watt_hour", "kW.h": "kilowatt_hour", "MW.h": "megawatt_hour", "J": "joule", "var.h": "volt_ampere * hour",
    "kvar.h": "kilovolt_ampere * hour",
    "V": "volt", "mV": "millivolt", "A": "ampere", "mA": "milliampere", "Hz": "hertz",
    "Pa": "pascal", "hPa": "hectopascal", "kPa": "kilopascal", "bar": "bar", "mbar": "millibar",
    "mm[Hg]": "mmHg", "[in_i'Hg]": "inHg", "m[H2O]": "meter_H2O", "[psi]": "psi", "MPa": "megapascal",
    "m": "meter", "cm": "centimeter", "mm": "millimeter", "[ft_i]": "foot", "km": "kilometer", "deg": "degree",
    "m/s": "meter/second", "km/h": "kilometer/hour", "[kn_i]": "knot", "[mi_i]/h": "mile/hour",
    "m3/h": "meter**3/hour", "m3/s": "meter**3/second", "L/s": "liter/second", "L/min": "liter/minute",
    "L/h": "liter/hour", "[cft_i]/s": "foot**3/second", "m3": "meter**3", "L": "liter",
    "uS/cm": "microsiemens/centimeter", "mS/cm": "millisiemens/centimeter", "S/m": "siemens/meter",
    "uS/m": "microsiemens/meter", "mS/m": "millisiemens/meter",
    "mg/L": "milligram/liter", "ug/L": "microgram/liter", "g/L": "gram/liter",
    "ug/m3": "microgram/meter**3", "mg/m3": "milligram/meter**3", "mm/h": "millimeter/hour",
    "s": "second", "min": "minute", "h": "hour", "d": "day", "ms": "millisecond",
    "lx": "lux", "W/m2": "watt/meter**2",
}  # fmt: skip
"""UCUM code to pint's name, for every unit that a linear conversion exists for."""

_KIND = {
    "VA": "apparent", "kVA": "apparent", "var": "reactive", "kvar": "reactive", "var.h": "reactive",
    "kvar.h": "reactive", "deg": "angle",
}  # fmt: skip
"""Units of the same dimension as others that measure something else: an apparent power is no active one."""


class Conversion(NamedTuple):
    """``canonical = value * factor + offset``."""

    factor: float
    offset: float
    rule: str
    """Human text that makes the stored value recoverable, for example ``[ppb] * 46.006 / 24.465``."""


IDENTITY = Conversion(1.0, 0.0, "as reported")


@cache
def _registry() -> Any:
    # Imported here: pint costs 0.3 s, and a fleet that reports canonical units never needs it.
    import pint  # noqa: PLC0415

    return pint.UnitRegistry(autoconvert_offset_to_baseunit=True)


# Bounded: payloads may state a unit, and so name any number of them.
@lru_cache(maxsize=4096)
def conversion(property_name: str, unit: str) -> Conversion | None:
    """How a declared unit becomes the property's one canonical unit.

    Args:
        property_name: name in the vocabulary.
        unit: UCUM code as declared by profile or payload.

    Returns:
        The conversion, or None if this unit cannot express this property.

    >>> conversion("air_pressure", "Pa")
    Conversion(factor=0.01, offset=0.0, rule='Pa * 0.01')
    >>> conversion("no2", "[ppb]").factor
    1.88048...
    """
    canonical = VOCABULARY[property_name].unit
    if unit == canonical:
        return IDENTITY
    share = NITROGEN_SHARE.get((property_name, unit))
    if share is not None:
        return Conversion(share, 0.0, f"{unit} * {share}")
    if unit in {"[ppb]", "[ppm]"} and property_name in MOLAR_MASS and canonical == "ug/m3":
        scale = 1.0 if unit == "[ppb]" else 1000.0
        mass = MOLAR_MASS[property_name]
        return Conversion(scale * mass / MOLAR_VOLUME, 0.0, f"{unit} * {scale:g} * {mass} / {MOLAR_VOLUME}")
    if unit == "[ppm]" and canonical == "mg/L":
        return Conversion(1.0, 0.0, "[ppm] in fresh water = mg/L")
    if unit == "[ppb]" and canonical == "mg/L":
        return Conversion(0.001, 0.0, "[ppb] in fresh water = ug/L")
    return _linear(unit, canonical)


def _linear(unit: str, canonical: str) -> Conversion | None:
    source, target = _PINT.get(unit), _PINT.get(canonical)
    if source is None or target is None or _KIND.get(unit) != _KIND.get(canonical):
        return None
    units = _registry()
    if units.Unit(source).dimensionality != units.Unit(target).dimensionality:
        return None
    zero = float(units.Quantity(0.0, source).to(target).magnitude)
    hundred = float(units.Quantity(100.0, source).to(target).magnitude)
    # Twelve digits: pint's own floating error must not reach a stored value (100 Pa is 1 hPa, not 1.0000000000000002).
    factor, offset = float(f"{(hundred - zero) / 100.0:.12g}"), float(f"{zero:.12g}")
    return Conversion(factor, offset, f"{unit} * {factor:g}" + (f" + {offset:g}" if offset else ""))
