"""Limits, prices and emission factors of the law as data; read from ``standards/*.toml``."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from devices.standard_data import Data, Flag, Mark, Source, Text

WaterBody = Literal["river", "lake"]
WaterClass = Literal["A", "B", "C", "D"]


class AirLimit(Data):
    """One row of the ambient air table, ug/m3; a period without a limit is absent."""

    property: str
    """Name in the vocabulary; empty if nothing there measures it."""
    name: str
    since: date = date.min
    """First day it applies."""
    until: date = date.max
    """First day it no longer applies."""
    hour: float | None = None
    eight_hours: float | None = None
    day: float | None = None
    year: float | None = None


class Completeness(Mark):
    """Which share of its hours a longer mean needs."""

    share: Annotated[float, Field(gt=0, le=1)]


class AirLimits(Data):
    """QCVN 05: ambient air."""

    source: Source
    completeness: Completeness
    limits: tuple[AirLimit, ...]


class Limit(Data):
    """The allowed range of one parameter; both ends are allowed, ``below`` is not."""

    property: str
    """Name in the vocabulary, or our own where no sensor measures it."""
    name: str = ""
    low: float | None = None
    high: float | None = None
    below: float | None = None
    """Must stay under this number."""
    flag: Flag = "confirmed"

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.low is None and self.high is None and self.below is None:
            raise ValueError(f"{self.property}: a limit needs low, high or below")
        return self

    def allows(self, value: float) -> bool:
        """Whether the value keeps the limit.

        >>> Limit(property="ph", low=6.0, high=8.5).allows(8.5)
        True
        """
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.below is None or value < self.below)
        )


class ClassNames(Mark):
    """What the water classes are called."""

    A: Text
    B: Text
    C: Text
    D: Text


class ClassLimits(Data):
    """What water of one class keeps."""

    water: WaterBody
    klass: Annotated[WaterClass, Field(alias="class")]
    limits: tuple[Limit, ...]


class SurfaceWater(Data):
    """QCVN 08: rivers, canals, lakes."""

    source: Source
    class_names: ClassNames
    health: tuple[Limit, ...]
    """Table 1: limits that protect human health [mg/L]."""
    classes: tuple[ClassLimits, ...]

    def limits(self, water: WaterBody, klass: WaterClass) -> tuple[Limit, ...]:
        """What water of this class keeps; empty where the table has no row that was read."""
        return next((row.limits for row in self.classes if (row.water, row.klass) == (water, klass)), ())


class TapRegulation(Data):
    """One version of the tap water limits."""

    code: str
    source: Source
    limits: tuple[Limit, ...]


class TapWater(Data):
    """QCVN 01-1: domestic water, oldest regulation first."""

    regulations: tuple[TapRegulation, ...]

    def on(self, day: date) -> TapRegulation:
        """The regulation in force on that day."""
        valid = [r for r in self.regulations if r.source.in_force is None or r.source.in_force <= day]
        return valid[-1]


class Emission(Data):
    """What a megawatt hour from the grid emits [tCO2]."""

    source: Source
    default_year: int
    factors: dict[int, float]
    """By the year the factor was computed for."""

    @model_validator(mode="after")
    def _default(self) -> Self:
        if self.default_year not in self.factors:
            raise ValueError(f"default_year: there is no factor for {self.default_year}")
        return self

    def factor(self, year: int) -> tuple[int, float]:
        """The year and factor that apply to energy used in ``year``: its own, else the default year's."""
        chosen = year if year in self.factors else self.default_year
        return chosen, self.factors[chosen]


class Price(Data):
    """What a kilowatt hour costs from a day on, before tax."""

    since: date
    vnd_per_kwh: Annotated[float, Field(gt=0)]
    source: Source


class Tax(Data):
    """Value added tax on electricity."""

    share: Annotated[float, Field(ge=0, lt=1)]
    source: Source


class Energy(Data):
    """Prices and emission factors of electricity."""

    emission: Emission
    prices: tuple[Price, ...]
    tax: Tax

    def price(self, day: date) -> Price:
        """The price in force on that day; before the first known one, the first."""
        valid = [price for price in self.prices if price.since <= day]
        return valid[-1] if valid else self.prices[0]


class Commune(Data):
    """A commune or ward since 2025-07-01."""

    code: Annotated[str, Field(pattern=r"^\d{5}$")]
    name: str
    kind: Literal["xã", "phường"]
    latitude: float | None = None
    longitude: float | None = None
    area_km2: float | None = None
    other_code: str = ""
    """The code another published list gives the same unit."""


class LegacyDistrict(Data):
    """A district, town or city of the province until 2025-06-30."""

    code: Annotated[str, Field(pattern=r"^\d{3}$")]
    name: str
    communes: Annotated[int, Field(ge=1, le=100)]
    """How many it had, towns and wards too."""
    latitude: float
    longitude: float


class LegacyCommune(Data):
    """A commune until 2025-06-30."""

    code: Annotated[str, Field(pattern=r"^\d{5}$")]
    name: str
    district: str
    latitude: float
    longitude: float
    became: tuple[str, ...]
    """Codes of the units it became (part of)."""


class Communes(Data):
    """Places of former Hải Dương."""

    source: Source
    communes: tuple[Commune, ...]
    districts: tuple[LegacyDistrict, ...]
    legacy: tuple[LegacyCommune, ...]

    @model_validator(mode="after")
    def _known(self) -> Self:
        codes = [commune.code for commune in self.communes]
        if len(set(codes)) != len(codes):
            raise ValueError("communes: a code is there twice")
        for old in self.legacy:
            missing = set(old.became) - set(codes)
            if missing:
                raise ValueError(f"legacy: {old.code} became the unknown unit {', '.join(sorted(missing))}")
            if old.district not in {district.name for district in self.districts}:
                raise ValueError(f"legacy: {old.code} lies in the unknown district {old.district}")
        return self
