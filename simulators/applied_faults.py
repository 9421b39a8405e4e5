"""A scenario's faults and one cohort: which reports meet which, and what is sent besides the regular reports."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulators.device import Cohort, Samples
from simulators.faults import DELAYED, SINGLE, WORLD, Fault, Spell, fault_keys
from simulators.link import BURST_SPACING
from simulators.local_time import DAY, HOUR
from simulators.misreport import Met
from simulators.noise import Floats, derive, uniform

_REMEMBERED = 10_000
"""Earlier reports kept for stuck values and counters that were reset. Chosen."""


class _Applied(NamedTuple):
    """A fault and the devices of the cohort that have it."""

    number: int
    """Its place in the scenario."""
    fault: Fault
    has: NDArray[np.bool_]


class AppliedFaults:
    """Every fault but those of the world, which the cohort's signal has in it."""

    def __init__(self, cohort: Cohort, faults: Sequence[Fault], seed: int) -> None:
        self.cohort = cohort
        outside = [(number, fault) for number, fault in enumerate(faults) if fault.kind not in WORLD]
        self._keys = fault_keys(seed, cohort.names) if outside else cohort.keys
        applied = [_Applied(number, fault, fault.meets(cohort.names, self._keys)) for number, fault in outside]
        self._applied = [one for one in applied if one.has.any()]
        self._kept: dict[tuple[int, int], tuple[tuple[int, int], list[Spell]]] = {}
        self._earlier: dict[tuple[int, float], tuple[int, dict[str, float]]] = {}

    def delayed(self) -> NDArray[np.bool_] | None:
        """Devices whose uplinks can be under way for up to an hour; None if there are none."""
        found = [one.has for one in self._applied if one.fault.kind in DELAYED]
        return np.logical_or.reduce(found) if found else None

    def met(self, samples: Samples) -> dict[int, list[Met]]:
        """The faults that single samples meet, by row; most rows meet none."""
        found: dict[int, list[Met]] = {}
        for number, fault, has in self._applied:
            rows = np.flatnonzero(has[samples.device])
            if not rows.size:
                continue
            keys = self._keys[samples.device[rows]]
            draw = uniform(derive(keys, f"chance {number}"), samples.number[rows])
            likely = draw < fault.chance
            rows, keys, draw = rows[likely], keys[likely], draw[likely]
            if not rows.size:
                continue
            current = fault.current(keys, samples.at[rows])
            size = current.size
            if fault.kind in SINGLE:
                low, high = fault.size
                size = low + (high - low) * uniform(derive(keys, f"size {number}"), samples.number[rows])
            columns = (rows, current.start, current.stop, size, draw)
            for row, start, stop, size, drawn in zip(*(c[current.inside].tolist() for c in columns), strict=True):
                found.setdefault(row, []).append(Met(fault, Spell(start, stop, size), drawn))
        return found

    def earlier(self, device: int, at: float) -> tuple[int, dict[str, float]]:
        """The number and the values of a device's last sample before a moment."""
        place = (device, at)
        if place not in self._earlier:
            cohort = self.cohort
            number = np.ceil((at - cohort.phase[device : device + 1]) / cohort.interval).astype(np.int64) - 1
            samples = cohort.samples(np.array([device], dtype=np.int64), number)
            if len(self._earlier) >= _REMEMBERED:
                self._earlier.clear()
            self._earlier[place] = (int(number[0]), cohort.records(samples, cohort.values(samples))[0])
        return self._earlier[place]

    def _spells(self, kind: str, start: float, stop: float) -> Iterator[tuple[int, Spell]]:
        for number, fault, has in self._applied:
            if fault.kind == kind:
                for device in np.flatnonzero(has).tolist():
                    for spell in self._near(number, fault, device, int(start // DAY), int(stop // DAY)):
                        if spell.start < stop and spell.stop > start:
                            yield device, spell

    def _near(self, number: int, fault: Fault, device: int, first_day: int, last_day: int) -> list[Spell]:
        """The spells that touch these days; asked for many short times in a row, so the last answer is kept."""
        days, found = self._kept.get((number, device), ((0, 0), []))
        if days != (first_day, last_day):
            days = (first_day, last_day)
            found = fault.spells(self._keys[device : device + 1], first_day * DAY, (last_day + 1) * DAY)
            self._kept[number, device] = (days, found)
        return found

    def bursts(self, start: float, stop: float) -> Iterator[tuple[Samples, Floats]]:
        """Samples remembered over an outage, and when they are sent: from ``start`` on and before ``stop``."""
        cohort = self.cohort
        for device, spell in self._spells("outage", start - DAY, stop):
            if spell.stop >= stop:
                continue
            since = max(spell.start, spell.stop - spell.size * HOUR)
            first, last = (int(np.ceil((at - cohort.phase[device]) / cohort.interval)) for at in (since, spell.stop))
            sent: Floats = spell.stop + np.arange(last - first, dtype=np.float64) * BURST_SPACING
            rows = np.flatnonzero((sent >= start) & (sent < stop))
            samples = cohort.samples(np.full(rows.size, device, dtype=np.int64), first + rows.astype(np.int64))
            awake = cohort.awake(samples)
            if awake.device.size:
                yield awake, sent[rows][np.isin(samples.number, awake.number)]

    def babble(self, start: float, stop: float) -> Iterator[Samples]:
        """Samples between the regular ones."""
        cohort = self.cohort
        for device, spell in self._spells("babbling", start, stop):
            times, phase = round(spell.size), float(cohort.phase[device])
            step = cohort.interval / times
            first, last = (np.ceil((at - phase) / step) for at in (max(start, spell.start), min(stop, spell.stop)))
            number = np.arange(first, last).astype(np.int64)
            number = number[number % times != 0]
            if number.size:
                at = np.round((phase + number * step) * 1000.0) / 1000.0
                yield cohort.awake(Samples(np.full(number.size, device, dtype=np.int64), number, at))
