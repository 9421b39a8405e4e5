"""Vietnamese local time and seasons for arrays of moments: hour of the day, month, and smooth yearly curves."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simulators.noise import Floats

HOUR, DAY = 3600.0, 86400.0
OFFSET = 7 * HOUR
"""Viet Nam has had this offset from UTC since 1975 and no summer time, so a constant is exact."""

FIRST = 1704042000.0
"""2024-01-01 00:00 in Viet Nam: counters start here, and nothing is simulated before."""
LAST = FIRST + 19 * 365 * DAY
"""Simulated time ends here: tables are made for twenty years."""


def local_hour(at: Floats) -> Floats:
    """Hour of the local day, 0 to 24, with fraction."""
    return ((at + OFFSET) % DAY) / HOUR


def local_day(at: Floats) -> NDArray[np.int64]:
    """Number of the local day; day 0 is 1970-01-01."""
    return np.floor((at + OFFSET) / DAY).astype(np.int64)


def day_start(day: NDArray[np.int64]) -> Floats:
    """Moment of local midnight at which a day begins."""
    return day.astype(np.float64) * DAY - OFFSET


def month_of(at: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Number of the local month (0 is January 1970) and how much of it has passed (0 to 1)."""
    moment = np.floor(at + OFFSET).astype(np.int64).astype("datetime64[s]")
    month = moment.astype("datetime64[M]")
    first, following = month.astype("datetime64[s]"), (month + 1).astype("datetime64[s]")
    seconds, length = (moment - first).astype(np.float64), (following - first).astype(np.float64)
    return month.astype(np.int64), seconds / length


def month_start(month: int) -> float:
    """Moment at which a month (0 is January 1970) begins in local time."""
    return float(np.datetime64(month, "M").astype("datetime64[s]").astype(np.int64)) - OFFSET


def month_hours(month: int) -> Floats:
    """The middle of every hour of a month."""
    begin, end = month_start(month), month_start(month + 1)
    return np.arange(begin + HOUR / 2, end, HOUR)


def between_months(at: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The month whose middle was the last to pass, and how far it is from there to the middle of the next (0 to 1)."""
    month, part = month_of(at)
    place: Floats = month + part - 0.5
    before = np.floor(place).astype(np.int64)
    return before, place - before


def knots_for(means: Sequence[float]) -> Floats:
    """Values at the middles of twelve months, such that lines drawn between them have these monthly means."""
    weights: Floats = 0.75 * np.eye(12) + 0.125 * (np.roll(np.eye(12), 1, axis=0) + np.roll(np.eye(12), -1, axis=0))
    return np.asarray(np.linalg.solve(weights, np.asarray(means, dtype=np.float64)), dtype=np.float64)


def through_year(at: Floats, knots: Floats) -> Floats:
    """A yearly curve without steps; ``knots`` from ``knots_for``."""
    month, part = between_months(at)
    result: Floats = knots[month % 12] * (1.0 - part) + knots[(month + 1) % 12] * part
    return result


def through_day(at: Floats, hourly: Floats) -> Floats:
    """A daily curve without steps through 24 values, each that of the middle of its hour."""
    place = (local_hour(at) - 0.5) % 24.0
    hour = np.floor(place).astype(np.int64)
    part = place - hour
    result: Floats = hourly[hour % 24] * (1.0 - part) + hourly[(hour + 1) % 24] * part
    return result
