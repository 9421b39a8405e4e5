"""Limits of the law against what was measured, each with the averaging period the law gives it; pure functions.

Sources: QCVN 05:2023 (ambient air), QCVN 08:2023 (surface water), QCVN 01-1 (tap water), in ``devices/standards``.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Literal, NamedTuple

from devices.limit_tables import Limit, WaterBody, WaterClass
from devices.standards import Standards, shipped
from gateway.analytics.vn_aqi import DAY_HOURS, WINDOW_HOURS, Means, mean_of, needed_hours

Period = Literal["hour", "eight_hours", "day", "year"]
CLASSES: tuple[WaterClass, ...] = ("A", "B", "C")
"""Best first. D is what reaches none of them."""
TOLERANCE = 1e-9
"""A mean of values that are all exactly at the limit may end a last digit above it."""


class AirVerdict(NamedTuple):
    """One mean against its limit."""

    property: str
    period: Period
    mean: float
    """[ug/m3]"""
    limit: float
    exceeded: bool


class WaterVerdict(NamedTuple):
    """How a sample stands against the classes of surface water."""

    klass: WaterClass | None
    """The best class whose limits every compared value keeps, D if none; None if nothing could be compared, or the
    table has no lower class for this kind of water."""
    compared: tuple[str, ...]
    """The properties that were looked at: the class says nothing about the others."""
    deciding: tuple[str, ...]
    """The properties that keep it from the next better class."""


class Limits:
    """The limits of one set of tables."""

    def __init__(self, standards: Standards | None = None) -> None:
        self.tables = standards or shipped()
        self._share = self.tables.air_limits.completeness.share

    def air_limit(self, name: str, period: Period, day: date) -> float | None:
        """The limit of a pollutant [ug/m3] on that day; None where the law has none (1 h of particles, for one).

        >>> Limits().air_limit("pm2_5", "hour", date(2026, 1, 1)) is None
        True
        """
        for row in self.tables.air_limits.limits:
            if row.property == name and row.since <= day < row.until:
                limit: float | None = getattr(row, period)
                return limit
        return None

    def air_hour(self, newest_first: Mapping[str, Means], day: date) -> list[AirVerdict]:
        """What can be said at the end of an hour: the hour's mean, and the mean of the last 8 hours.

        Args:
            newest_first: by pollutant, hourly means [ug/m3], this hour first; 8 of them are looked at.
            day: of this hour, in Viet Nam.
        """
        found = []
        for name, means in newest_first.items():
            if means and means[0] is not None:
                found += self._verdict(name, "hour", means[0], day)
            window = [*means[:WINDOW_HOURS], *[None] * (WINDOW_HOURS - len(means))]
            found += self._verdict(name, "eight_hours", mean_of(window, self._share), day)
        return found

    def air_day(self, hours: Mapping[str, Means], day: date) -> list[AirVerdict]:
        """The means of a calendar day.

        Args:
            hours: by pollutant, the day's 24 hourly means [ug/m3].
            day: in Viet Nam.

        Raises:
            ValueError: not 24 means.
        """
        found = []
        for name, means in hours.items():
            if len(means) != DAY_HOURS:
                raise ValueError(f"{name}: {len(means)} hourly means; a day has 24")
            found += self._verdict(name, "day", mean_of(means, self._share), day)
        return found

    def air_year(self, name: str, hourly_sum: float, hours: int, year: int) -> list[AirVerdict]:
        """The mean of a calendar year, from the sum [ug/m3] and number of its hourly means."""
        first = date(year, 1, 1)
        in_year = (date(year + 1, 1, 1) - first).days * DAY_HOURS
        mean = hourly_sum / hours if hours >= needed_hours(in_year, self._share) else None
        return self._verdict(name, "year", mean, first)

    def _verdict(self, name: str, period: Period, mean: float | None, day: date) -> list[AirVerdict]:
        limit = self.air_limit(name, period, day)
        if mean is None or limit is None:
            return []
        return [AirVerdict(name, period, mean, limit, mean > limit * (1 + TOLERANCE))]

    def water_class(self, sample: Mapping[str, float], water: WaterBody) -> WaterVerdict:
        """The class of QCVN 08:2023 that a sample reaches, judged by what was measured.

        Args:
            sample: by property; mg/L, pH, coliform per 100 mL.
            water: which table.
        """
        compared: dict[str, None] = {}
        deciding: tuple[str, ...] = ()
        for klass in CLASSES:
            rows = [limit for limit in self.tables.surface_water.limits(water, klass) if limit.property in sample]
            if not self.tables.surface_water.limits(water, klass):
                return WaterVerdict(None, tuple(compared), deciding)
            compared |= dict.fromkeys(limit.property for limit in rows)
            broken = tuple(limit.property for limit in rows if not limit.allows(sample[limit.property]))
            if not broken:
                return WaterVerdict(klass if compared else None, tuple(compared), deciding)
            deciding = broken
        return WaterVerdict("D", tuple(compared), deciding)

    def water_exceeded(self, sample: Mapping[str, float], water: WaterBody, klass: WaterClass) -> list[Limit]:
        """The limits of a class, and those for human health, that a sample breaks."""
        rows: Sequence[Limit] = (*self.tables.surface_water.limits(water, klass), *self.tables.surface_water.health)
        return [limit for limit in rows if limit.property in sample and not limit.allows(sample[limit.property])]

    def tap_exceeded(self, sample: Mapping[str, float], day: date) -> list[Limit]:
        """The limits of the tap water regulation in force on that day that a sample breaks."""
        rows = self.tables.tap_water.on(day).limits
        return [limit for limit in rows if limit.property in sample and not limit.allows(sample[limit.property])]
