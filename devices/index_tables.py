"""The two indices of the law as data: VN_AQI for air, VN_WQI for surface water; read from ``standards/*.toml``."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from devices.standard_data import Colour, Data, Mark, Source, Text
from devices.vocabulary import VOCABULARY

Statistic = Literal["nowcast", "mean_1h", "mean_24h", "max_1h", "max_8h"]
Points = tuple[tuple[float, float], ...]


class Level(Data):
    """One level of an index: its whole numbers, name and colour."""

    code: str
    low: int
    high: int
    name: Text
    colour: Colour
    colour_name: Text


class AirLevel(Level):
    """A level of VN_AQI with what it does to people and what they should do."""

    effect: Text
    everyone: Text
    sensitive: Text


class AirMethod(Data):
    """What a sub-index is made from."""

    statistic: Statistic
    column: str
    """The column of breakpoints."""
    ignore_above: float | None = None
    """[ug/m3] A greater concentration gives no sub-index in this column."""


class Pollutant(Data):
    """One pollutant of VN_AQI."""

    property: str
    """Name in the vocabulary."""
    name: str
    needed: bool = False
    """Without at least one of the needed pollutants no index is published."""
    hourly: AirMethod
    daily: tuple[AirMethod, ...]
    """The greatest of them is the pollutant's sub-index."""


class Nowcast(Data):
    """How the weighted mean of the last hours is made."""

    hours: Annotated[int, Field(ge=2, le=48)]
    least_weight: Annotated[float, Field(gt=0, le=1)]
    newest: Annotated[int, Field(ge=1)]
    needed_of_newest: Annotated[int, Field(ge=1)]


class AirIndex(Data):
    """VN_AQI: breakpoints, pollutants, levels."""

    source: Source
    names: Mark
    label: Text
    """Shown beside a value from a low-cost sensor."""
    columns: dict[str, tuple[float, ...]]
    """``index`` and, for each column of the table, the concentrations [ug/m3] at which the index has those values."""
    pollutants: tuple[Pollutant, ...]
    nowcast: Nowcast
    levels: tuple[AirLevel, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        index = self.columns.get("index", ())
        for name, column in self.columns.items():
            if not 2 <= len(column) <= len(index) or column[0] != 0 or not _rising(column):
                raise ValueError(f"columns.{name}: must start at 0, rise, and have 2 to {len(index)} values")
        for pollutant in self.pollutants:
            if pollutant.property not in VOCABULARY:
                raise ValueError(f"pollutants: {pollutant.property!r} is not in the vocabulary")
            for method in (pollutant.hourly, *pollutant.daily):
                if method.column not in self.columns:
                    raise ValueError(f"pollutants: {pollutant.property} names the unknown column {method.column!r}")
        _check_levels(self.levels, 0, int(index[-1]))
        return self


class WaterGroup(Data):
    """One of the five groups of parameters."""

    code: str
    mean: Literal["arithmetic", "geometric"]
    name: Text


class WaterParameter(Data):
    """One parameter of VN_WQI and its table."""

    property: str
    """Our name; the vocabulary's where a sensor measures it."""
    symbol: str
    """As the decision writes it."""
    group: str
    unit: str
    """UCUM code of the concentrations below."""
    aliases: tuple[str, ...] = ()
    """Other column names a file of samples may use."""
    below: float
    """Sub-index before the first point."""
    points: Points
    """Pairs of concentration and sub-index; straight lines between them, exactly at a point its own."""
    above: float
    """Sub-index after the last point."""

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.points or not _rising([concentration for concentration, _ in self.points]):
            raise ValueError(f"points of {self.property}: concentrations must rise")
        return self

    def words(self) -> frozenset[str]:
        """Every column name that means this parameter, as ``column_word`` writes it."""
        return frozenset(column_word(text) for text in (self.property, self.symbol, *self.aliases))


class Publication(Data):
    """When the index is official."""

    groups: int
    needed_group: str
    needed_parameters: int


class Aggregation(Data):
    """How much groups IV and V weigh."""

    weight_iv: Annotated[float, Field(gt=0)]
    weight_v: Annotated[float, Field(gt=0)]


class Oxygen(Data):
    """Oxygen in saturated water."""

    saturation: tuple[float, ...]
    """Polynomial of the water temperature [Cel], lowest power first, giving [mg/L]."""
    coldest: float
    """[Cel] The polynomial is used from here"""
    warmest: float
    """to here."""
    dissolved_words: tuple[str, ...]
    """Column names that mean dissolved oxygen [mg/L]."""
    temperature_words: tuple[str, ...]
    """Column names that mean the water's temperature [Cel]."""


class WaterLevel(Level):
    """A level of VN_WQI with what the water is good for."""

    use: Text


class WaterIndex(Data):
    """VN_WQI: tables, groups, rules, levels."""

    source: Source
    names: Mark
    label: Text
    """Shown beside a value that is not the official index."""
    publication: Publication
    aggregation: Aggregation
    oxygen: Oxygen
    groups: tuple[WaterGroup, ...]
    parameters: tuple[WaterParameter, ...]
    levels: tuple[WaterLevel, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        codes = {group.code for group in self.groups}
        for parameter in self.parameters:
            if parameter.group not in codes:
                raise ValueError(f"parameters: {parameter.property} is in the unknown group {parameter.group!r}")
        if self.publication.needed_group not in codes:
            raise ValueError(f"publication.needed_group: no group {self.publication.needed_group!r}")
        words = [word for parameter in self.parameters for word in parameter.words()]
        doubled = {word for word in words if words.count(word) > 1}
        if doubled:
            raise ValueError(f"parameters: {', '.join(sorted(doubled))} names two of them")
        _check_levels(tuple(reversed(self.levels)), 0, 100)
        return self


def column_word(text: str) -> str:
    """A column's heading as one word, so that ``N-NH4`` and ``n_nh4``, ``PM2.5`` and ``pm2_5`` are the same.

    >>> column_word(" E. coli"), column_word("PM2.5")
    ('ecoli', 'pm25')
    """
    return re.sub(r"[^a-z0-9]+", "", text.casefold())


def _rising(numbers: Sequence[float]) -> bool:
    return all(a < b for a, b in pairwise(numbers))


def _check_levels(levels: tuple[Level, ...], first: int, last: int) -> None:
    """Every whole number from first to last is in exactly one level."""
    expected = first
    for level in levels:
        if level.low != expected or level.high < level.low:
            raise ValueError(f"levels: {level.code} must start at {expected}")
        expected = level.high + 1
    if expected != last + 1:
        raise ValueError(f"levels: must end at {last}")
