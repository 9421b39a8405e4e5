"""VN_AQI, the air quality index of Viet Nam: hourly and daily, per pollutant and station; pure functions on tables.

Source: Decision 1459/QĐ-TCMT of 2019-11-12; the figures are in ``devices/standards/vn_aqi.toml``.

Time line of a day's values, each box one hourly mean::

      day before              the day
    17 18 ... 23 | 00 01 02 ... 21 22 23        start of the hour
    \\___ 7 ____/   \\________ 24 __________/     the 31 values that ``daily`` takes
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from devices.index_tables import AirIndex, AirLevel, AirMethod
from devices.standards import shipped

Means = Sequence[float | None]
"""Hourly means [ug/m3]; None where the hour is missing."""

LEAD_HOURS = 7
"""Hours of the day before that the first 8-hour mean of a day reaches back to."""
DAY_HOURS = 24
WINDOW_HOURS = 8


class AirQuality(NamedTuple):
    """What the means of a station say about its air."""

    value: int | None
    """The index, 0 to 500; None where it may not be published (no PM10 and no PM2.5) or nothing was measured."""
    level: AirLevel | None
    """Name, colour, effect and advice; None without an index."""
    pollutant: str
    """The pollutant that decides, by its name in the vocabulary; empty without an index."""
    sub_indices: dict[str, float]
    """By pollutant, not rounded; a pollutant without enough data is absent."""
    parts: dict[str, float]
    """Sub-index by column of the table where a pollutant has several (ozone of 1 h and of 8 h)."""


def whole(index: float) -> int:
    """An index as the law states it: an integer, halves up.

    Nine decimals are looked at, because a half may arrive as 40.49999999999999.

    >>> [whole(x) for x in (40.4, 40.5, 40.49999999999999, 41.5)]
    [40, 41, 41, 42]
    """
    return math.floor(round(index, 9) + 0.5)


class VnAqi:
    """The index by one set of tables."""

    def __init__(self, tables: AirIndex | None = None) -> None:
        self.tables = tables or shipped().vn_aqi
        self._index = self.tables.columns["index"]
        self._needed = [pollutant.property for pollutant in self.tables.pollutants if pollutant.needed]

    def sub_index(self, column: str, concentration: float) -> float:
        """The index of one concentration: straight lines between the breakpoints, constant after the last.

        Args:
            column: of the table of breakpoints, for example ``o3_8h``.
            concentration: [ug/m3], finite and not below 0.

        Returns:
            0 to 500, not rounded.

        Raises:
            ValueError: a concentration that cannot be.

        >>> VnAqi().sub_index("pm2_5", 20.3)
        40.6
        """
        if not 0 <= concentration < math.inf:
            raise ValueError(f"a concentration of {concentration} ug/m3 cannot be; leave the hour out")
        points = self.tables.columns[column]
        for number in range(1, len(points)):
            high = points[number]
            if concentration <= high:
                low, below, above = points[number - 1], self._index[number - 1], self._index[number]
                return below + (above - below) * (concentration - low) / (high - low)
        return self._index[len(points) - 1]

    def nowcast(self, newest_first: Means) -> float | None:
        """The weighted mean of particles of the last 12 hours [ug/m3].

        The weights are normalised by their sum in both cases of the decision: its formula for a weight of 1/2 leaves
        the sum out, which is the same for 12 values (to 0.03 %) and far too low where hours are missing.

        Args:
            newest_first: hourly means, the current hour first; hours after the twelfth are not looked at.

        Returns:
            None unless two of the three newest hours are there.
        """
        rule = self.tables.nowcast
        hours = list(newest_first[: rule.hours])
        if sum(value is not None for value in hours[: rule.newest]) < rule.needed_of_newest:
            return None
        present = [value for value in hours if value is not None]
        least, greatest = min(present), max(present)
        # All zero: every weight gives zero, and the ratio below is not defined.
        ratio = least / greatest if greatest > 0 else 1.0
        weight = max(ratio, rule.least_weight)
        total = share = 0.0
        factor = 1.0
        for value in hours:
            if value is not None:
                total += factor * value
                share += factor
            factor *= weight
        return total / share

    def hourly(self, newest_first: Mapping[str, Means]) -> AirQuality:
        """The index of an hour.

        Args:
            newest_first: by pollutant, the hourly means of the last 12 hours, this hour first.
        """
        found: dict[str, dict[str, float]] = {}
        for pollutant in self.tables.pollutants:
            means = newest_first.get(pollutant.property, ())
            value = self.nowcast(means) if pollutant.hourly.statistic == "nowcast" else means[0] if means else None
            if value is not None:
                column = pollutant.hourly.column
                found[pollutant.property] = {column: self.sub_index(column, value)}
        return self._station(found)

    def daily(self, oldest_first: Mapping[str, Means], completeness: float = 0.75) -> AirQuality:
        """The index of a calendar day.

        Args:
            oldest_first: by pollutant, 31 hourly means: the last 7 hours of the day before, then the day's 24.
            completeness: share of its hours that a day and an 8-hour mean need, 0 to 1. The decision states none; 0.75
                is customary, not the law's.

        Raises:
            ValueError: not 31 means, or a completeness outside 0 to 1.
        """
        if not 0 <= completeness <= 1:
            raise ValueError(f"completeness is {completeness}; it must be from 0 to 1")
        found: dict[str, dict[str, float]] = {}
        for pollutant in self.tables.pollutants:
            means = oldest_first.get(pollutant.property)
            if means is None:
                continue
            if len(means) != LEAD_HOURS + DAY_HOURS:
                raise ValueError(
                    f"{pollutant.property}: {len(means)} hourly means; a day needs {LEAD_HOURS + DAY_HOURS}"
                )
            parts = {}
            for method in pollutant.daily:
                value = _statistic(method, means, completeness)
                if value is not None and (method.ignore_above is None or value <= method.ignore_above):
                    parts[method.column] = self.sub_index(method.column, value)
            if parts:
                found[pollutant.property] = parts
        return self._station(found)

    def level(self, value: int) -> AirLevel:
        """The level of an index, 0 to 500."""
        return next(level for level in self.tables.levels if value <= level.high)

    def _station(self, found: dict[str, dict[str, float]]) -> AirQuality:
        sub_indices = {name: max(parts.values()) for name, parts in found.items()}
        several = {column: index for parts in found.values() if len(parts) > 1 for column, index in parts.items()}
        if not any(name in sub_indices for name in self._needed):
            return AirQuality(None, None, "", sub_indices, several)
        pollutant = max(sub_indices, key=sub_indices.__getitem__)
        value = whole(sub_indices[pollutant])
        return AirQuality(value, self.level(value), pollutant, sub_indices, several)


def needed_hours(hours: int, completeness: float) -> int:
    """How many of so many hours must be there; one at least.

    >>> needed_hours(24, 0.75), needed_hours(8, 0.75), needed_hours(24, 0.0)
    (18, 6, 1)
    """
    return max(1, math.ceil(round(hours * completeness, 9)))


def mean_of(means: Means, completeness: float) -> float | None:
    """The mean of the hours that are there [same unit], or None if they are too few."""
    present = [value for value in means if value is not None]
    if len(present) < needed_hours(len(means), completeness):
        return None
    return math.fsum(present) / len(present)


def eight_hour_means(means: Means, completeness: float) -> list[float | None]:
    """The mean of each 8 consecutive hours, first window first: 24 of them for 31 hours."""
    return [
        mean_of(means[start : start + WINDOW_HOURS], completeness) for start in range(len(means) - WINDOW_HOURS + 1)
    ]


def _statistic(method: AirMethod, means: Means, completeness: float) -> float | None:
    day = means[LEAD_HOURS:]
    mean = mean_of(day, completeness)
    if mean is None or method.statistic == "mean_24h":
        return mean
    values = day if method.statistic == "max_1h" else eight_hour_means(means, completeness)
    return max((value for value in values if value is not None), default=None)
