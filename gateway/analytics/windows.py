"""Sums over windows of time, one open window a series, in packed columns; the stuff roll-ups are made of."""

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from gateway.analytics.local_time import HOURS_AHEAD

HOUR = 3_600_000_000_000
DAY = 24 * HOUR
LOCAL = HOURS_AHEAD * HOUR
"""Days are calendar days in Viet Nam."""

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Rows(NamedTuple):
    """Sums of some windows; no series twice in one window."""

    series: Integers
    window: Integers
    """Number of the window, by ``hour_number`` or ``day_number``."""
    readings: Integers
    """How many readings could be used."""
    total: Floats
    """Sum of their values; of a counter, what it counted."""
    low: Floats
    high: Floats
    worst: NDArray[np.uint8]
    """Worst quality, of readings that could not be used too."""

    def only(self, chosen: NDArray[np.bool_] | Integers) -> "Rows":
        """Some of the rows."""
        return Rows(
            self.series[chosen],
            self.window[chosen],
            self.readings[chosen],
            self.total[chosen],
            self.low[chosen],
            self.high[chosen],
            self.worst[chosen],
        )

    @classmethod
    def empty(cls) -> Self:
        """No rows."""
        whole, real = np.empty(0, np.int64), np.empty(0)
        return cls(whole, whole, whole, real, real, real, np.empty(0, np.uint8))

    @classmethod
    def joined(cls, parts: "list[Rows]") -> "Rows":
        """All of the rows; the same window of a series may be there several times then."""
        if not parts:
            return cls.empty()
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def hour_number(at: Integers) -> Integers:
    """Which hour since 1970 UTC."""
    return at // HOUR


def day_number(at: Integers) -> Integers:
    """Which Vietnamese calendar day since 1970."""
    return (at + LOCAL) // DAY


def day_of_hour(hour: Integers) -> Integers:
    """Which Vietnamese calendar day an hour belongs to."""
    return (hour + HOURS_AHEAD) // 24


def day_start(day: int) -> int:
    """When a Vietnamese calendar day begins [ns UTC]."""
    return day * DAY - LOCAL


def summed(rows: Rows) -> Rows:
    """The same rows with every window of a series added up to one; by series, then window."""
    order = np.lexsort((rows.window, rows.series))
    rows = rows.only(order)
    if not len(order):
        return rows
    new = (rows.series[1:] != rows.series[:-1]) | (rows.window[1:] != rows.window[:-1])
    first = np.flatnonzero(np.r_[True, new])
    return Rows(
        rows.series[first],
        rows.window[first],
        np.add.reduceat(rows.readings, first),
        np.add.reduceat(rows.total, first),
        np.minimum.reduceat(rows.low, first),
        np.maximum.reduceat(rows.high, first),
        np.maximum.reduceat(rows.worst, first),
    )


class Windows:
    """The newest window of every series. 33 bytes a series that has ever had one; zeros take no memory until then."""

    def __init__(self, series: int) -> None:
        self.opened = np.zeros(series, np.int32)
        """Number of the newest window, and 1 more; 0: none. It is open if it has a worst quality."""
        self.floor = -1
        """Windows up to this one are closed for every series."""
        self.readings = np.zeros(series, np.int32)
        self.total = np.zeros(series)
        self.low = np.zeros(series)
        self.high = np.zeros(series)
        self.worst = np.zeros(series, np.uint8)

    def add(self, rows: Rows) -> tuple[Rows, NDArray[np.bool_]]:
        """Add sums of one window of some series; no series twice.

        Returns:
            The windows that this closed, because the series went on to a newer one; and which of the rows came too late
            for their window: those changed nothing.
        """
        opened = self.opened[rows.series]
        late = rows.window < np.maximum(opened - 1, self.floor + 1)
        if late.any():
            rows, opened = rows.only(~late), opened[~late]
        newer = rows.window >= opened
        fresh, same = rows.only(newer), rows.only(~newer)
        finished = self.take(fresh.series[self._open(fresh.series)])
        for column, values in zip(self._columns(), (fresh.window + 1, *fresh[2:]), strict=True):
            column[fresh.series] = values
        where = same.series
        self.readings[where] += same.readings.astype(np.int32)
        self.total[where] += same.total
        self.low[where] = np.minimum(self.low[where], same.low)
        self.high[where] = np.maximum(self.high[where], same.high)
        self.worst[where] = np.maximum(self.worst[where], same.worst)
        return finished, late

    def due(self, window: int) -> Integers:
        """The series whose open window is this one or an older one; from now on such windows are closed for all."""
        self.floor = max(self.floor, window)
        return np.flatnonzero((self.opened > 0) & (self.opened <= window + 1) & (self.worst > 0))

    def take(self, series: Integers) -> Rows:
        """Close the open windows of these series, and return them."""
        columns = [column[series] for column in self._columns()]
        rows = Rows(
            series,
            columns[0].astype(np.int64) - 1,
            columns[1].astype(np.int64),
            columns[2],
            columns[3],
            columns[4],
            columns[5],
        )
        self.worst[series] = 0
        return rows

    def _open(self, series: Integers) -> NDArray[np.bool_]:
        return (self.opened[series] > 0) & (self.worst[series] > 0)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Every column by name, for snapshots."""
        return {name: getattr(self, name) for name in _NAMES}

    def _columns(self) -> tuple[NDArray[Any], ...]:
        return self.opened, self.readings, self.total, self.low, self.high, self.worst


_NAMES = ("opened", "readings", "total", "low", "high", "worst")
