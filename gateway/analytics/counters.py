"""Meter counters of a fleet as they come in: what each reading adds to what was counted before."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.profile import ProfileProperty
from devices.quality import Quality
from gateway.analytics.columns import Columns, FleetTables
from gateway.analytics.energy import Step, counted
from gateway.analytics.windows import Floats, Integers

MOST_PER_HOUR = {"volume": 500.0, "reverse_volume": 500.0, "gas_volume": 500.0, "rain": 150.0}
"""The fastest a counter can plausibly count, in its unit an hour. Chosen: a village's main, a cloudburst. ``energy``
follows the power its profile allows."""
CABINET_KILOWATTS = 20.0
ANY = 1e6
"""For counters nobody knows anything of."""


class Series(NamedTuple):
    """Readings of some counters, each counter's together and in order of time."""

    value: Floats
    at: Integers
    """[ns UTC]"""
    first: NDArray[np.bool_]
    """The reading is its counter's first here."""
    base: Floats
    """What the counter read before, the same for all its readings."""
    base_at: Integers
    """[ns UTC] when that was; 0: it was never read."""


def added(series: Series, most_per_hour: Floats, modulus: Floats) -> tuple[Floats, Floats]:
    """What each reading counted since the one before it, and the readings with wandering last digits held."""
    value = series.value.copy()
    while True:
        before = np.where(series.first, series.base, np.r_[0.0, value[:-1]])
        since = np.where(series.first, series.base_at, np.r_[0, series.at[:-1]])
        result = counted(before, value, series.at - since, most_per_hour, modulus)
        wandered = np.flatnonzero((result.step == Step.JITTER) & (since > 0))
        if not len(wandered):
            return np.where(since > 0, result.increase, 0.0), value
        for number in wandered.tolist():  # in order: the greater value stands until something greater comes
            value[number] = series.base[number] if series.first[number] else value[number - 1]


def fastest(properties: Sequence[ProfileProperty], counter: ProfileProperty) -> float:
    """How fast a counter of such a device can plausibly count, in its unit an hour."""
    if counter.name != "energy":
        return MOST_PER_HOUR.get(counter.name, ANY)
    powers = [entry for entry in properties if entry.name == "power"]
    watts = (powers[0].high or powers[0].plausible_high) if powers else None
    return CABINET_KILOWATTS if watts is None else min(watts / 1000.0, ANY)


class Counters:
    """The last reading of every counter of a fleet. 16 bytes a counter."""

    def __init__(self, tables: FleetTables) -> None:
        self._numbers = tables.numbers
        blocks = len(tables.numbers.starts)
        self._is_counter = np.zeros(blocks, np.bool_)
        self._most, self._modulus = np.full(blocks, ANY), np.zeros(blocks)
        self._first_slot = np.full(blocks, -1, np.int64)
        """Slots are the rows of the columns: those of a block of series that are counters, behind each other."""
        count = 0
        for number, profile in enumerate(tables.registry.profiles):
            for place, entry in enumerate(profile.properties):
                if entry.counter:
                    block = tables.numbers.block_of(number, place)
                    self._is_counter[block.number] = True
                    self._most[block.number] = fastest(profile.properties, entry)
                    self._modulus[block.number] = entry.rollover or 0.0
                    self._first_slot[block.number] = count
                    count += block.size
        self.value = np.zeros(count)
        self.at = np.zeros(count, np.int64)
        """[ns UTC]; 0: never read."""

    def are(self, series: Integers) -> NDArray[np.bool_]:
        """Which of these series are counters."""
        found: NDArray[np.bool_] = self._is_counter[self._numbers.block(series)]
        return found

    def follow(self, series: Integers, columns: Columns) -> Floats:
        """What each reading adds to its window: its value, or for a counter what was counted since the one before.

        Args:
            series: of each reading, rising; within a series the times rise and are newer than all before.
            columns: the readings.
        """
        places = np.flatnonzero(self.are(series) & (columns.quality < Quality.FAIL))
        if not len(places):
            return columns.value
        block, slot, at = self._numbers.block(series[places]), self.slots(series[places]), columns.at[places]
        first = np.r_[True, slot[1:] != slot[:-1]]
        readings = Series(columns.value[places], at, first, self.value[slot], self.at[slot])
        increase, held = added(readings, self._most[block], self._modulus[block])
        last = np.r_[first[1:], True]
        self.value[slot[last]], self.at[slot[last]] = held[last], at[last]
        result = columns.value.copy()
        result[places] = increase
        return result

    def recount(self, series: int, value: Floats, at: Integers, base: tuple[int, float] | None) -> Floats:
        """What each stored reading of one counter added. If they end with the one that the next will be compared with,
        it is remembered as it is stored now.

        Args:
            series: of the counter.
            value: its readings, oldest first.
            at: when [ns UTC].
            base: time and value of the newest reading before them, if there is one.
        """
        count, block = len(value), int(self._numbers.block(np.array([series]))[0])
        base_at, base_value = base or (0, 0.0)
        first = np.arange(count) == 0
        readings = Series(value, at, first, np.full(count, base_value), np.full(count, base_at))
        increase, held = added(readings, np.full(count, self._most[block]), np.full(count, self._modulus[block]))
        slot = self._slot(series)
        if count and self.at[slot] == at[-1]:
            self.value[slot] = held[-1]
        return increase

    def newest(self, series: int) -> int:
        """When a counter was read last [ns UTC]; 0: never."""
        return int(self.at[self._slot(series)])

    def _slot(self, series: int) -> int:
        return int(self.slots(np.array([series]))[0])

    def columns(self) -> dict[str, NDArray[Any]]:
        """Every column by name, for snapshots."""
        return {"value": self.value, "at": self.at}

    def slots(self, series: Integers) -> Integers:
        """Row of each counter among the columns; -1 for a series that is none."""
        block = self._numbers.block(series)
        first = self._first_slot[block]
        return np.where(first >= 0, first + series - self._numbers.starts[block], -1)

    def series(self) -> Integers:
        """The series of each row."""
        blocks = np.flatnonzero(self._is_counter)
        ends = np.r_[self._numbers.starts[1:], self._numbers.count]
        runs = [np.arange(self._numbers.starts[block], ends[block]) for block in blocks]
        return np.concatenate(runs) if runs else np.empty(0, np.int64)
