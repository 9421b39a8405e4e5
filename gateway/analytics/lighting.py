"""Faults of street lamps and cabinets, inferred from power and time alone: packed state, many lamps at a step."""

from enum import IntFlag
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.lighting_tables import Detect
from gateway.analytics.sun import DARK, LIT, MINUTE

HOUR = 60 * MINUTE
SAME_LEVEL = 5.0
"""Levels [%] that differ by less are compared with each other. Chosen."""
RELEARN_SHARE, RELEARN_READINGS = 1.15, 6
"""A lamp that draws so much more than its own power, so many reports in a row, is another lamp. Chosen."""
INCREDIBLE, LEAST_INCREDIBLE = 5.0, 500.0
"""Times its own learnt power, and at least so many watts. Chosen: no lamp is replaced by one five times as strong."""
INCREDIBLE_YET = 50.0
"""Times what is known to hang on it, for a cabinet whose own power is not known yet. Chosen: below kW sent as W."""
BELIEVED_AFTER = 7 * 24 * HOUR
"""What was incredible for so long is so: its own power was learnt at a bad time. Chosen."""
LONG_GAP = 4
"""Over more than so many of its own intervals nothing is assumed about what a lamp did in between. Chosen."""

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Times = NDArray[np.int64]
Slots = NDArray[np.int64]


class Fault(IntFlag):
    """What can be inferred about one lamp or cabinet."""

    OUT = 1
    """Dark while it should burn."""
    DAY_BURNER = 2
    """Burning while it should not."""
    CYCLING = 4
    """On and off again and again while it should burn steadily."""
    DEGRADED = 8
    """Draws much less than it used to at the same level; a cabinet: many of its lamps do not burn."""
    VOLTAGE = 16
    """Supply voltage out of band."""


class Reports(NamedTuple):
    """One report of each of some lamps; no lamp twice."""

    slot: Slots
    """Which lamp: index in the bank."""
    at: Times
    """[ns UTC]"""
    power: Floats
    """[W]"""
    level: Floats
    """[%] as reported; NaN where the lamp does not say."""
    volts: Floats
    """[V]; NaN where the lamp does not say."""

    def only(self, chosen: Bools) -> "Reports":
        """Some of the reports."""
        return Reports(self.slot[chosen], self.at[chosen], self.power[chosen], self.level[chosen], self.volts[chosen])


class Changes(NamedTuple):
    """Lamps whose faults changed by a step."""

    slot: Slots
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]


class LampBank:
    """What must be remembered of each lamp, in columns. About 160 bytes a lamp."""

    def __init__(self, interval: Times, detect: Detect, burning_share: float = 0.0) -> None:
        """A bank of lamps that were never heard.

        Args:
            interval: expected time between reports of each [ns].
            detect: thresholds.
            burning_share: of its own learnt power below which it counts as dark; 0 for lamps. Cabinets, whose lamps'
                controllers draw some watts each by day, need 0.15 or so.
        """
        count = len(interval)
        self.interval = interval
        self.detect = detect
        self.burning_share = burning_share
        self.last_at = np.zeros(count, np.int64)
        """[ns UTC] of the newest report; 0: never."""
        self.power = np.zeros(count)
        """[W] of the newest report."""
        self.volts = np.full(count, np.nan)
        self.burning = np.zeros(count, np.bool_)
        self.was_lit = np.zeros(count, np.bool_)
        """The newest report was within the time it should burn."""
        self.nominal = np.zeros(count)
        """[W] the lamp's own power, learnt; the mean so far while learning."""
        self.nominal_level = np.zeros(count, np.float32)
        """[%] at which that was."""
        self.learned = np.zeros(count, np.uint16)
        """Reports learnt from."""
        self.dimmed = np.zeros(count, np.float32)
        """[W] its power when it is dimmed, learnt while it is sound; the mean so far while learning."""
        self.dimmed_level = np.zeros(count, np.float32)
        """[%] at which that was."""
        self.dimmed_learned = np.zeros(count, np.uint16)
        """Reports learnt from."""
        self.sound = np.zeros(count, np.bool_)
        """It drew its own power when it was undimmed last."""
        self.is_dimmed = np.zeros(count, np.bool_)
        """So it was at the newest report of steady burning."""
        self.connected = np.zeros(count)
        """[W] of the lamps that are known to hang on it: for cabinets. Told anew with every report."""
        self._doubted_since = np.zeros(count, np.int64)
        """[ns UTC] of the first report in a row that was incredible; 0: none. Begins anew with each start."""
        self.above = np.zeros(count, np.uint8)
        """Reports in a row that draw far more than the lamp's own power."""
        self.since = {fault: np.zeros(count, np.int64) for fault in _TIMED}
        """[ns UTC] of the first report in a row that shows the fault; 0: none."""
        self.readings = {fault: np.zeros(count, np.uint8) for fault in _TIMED}
        self.flips = np.zeros((count, detect.cycling_flips), np.int64)
        """[ns UTC] of the last changes between on and off, newest last."""
        self.steady = np.zeros(count, np.int64)
        """[ns] of steady burning time since the last of them."""
        self.burnt = np.zeros(count, np.int64)
        """[ns] for which the lamp has burnt since it is known."""
        self.faults = np.zeros(count, np.uint8)
        """``Fault`` bits that hold now."""

    def step(self, reports: Reports, should: NDArray[np.int8], scheduled: Floats) -> Changes:
        """Take one report of each of some lamps into account; reports older than the newest known are passed over.

        Args:
            reports: no lamp twice.
            should: ``DARK``, ``LIT`` or ``EITHER`` of each report, by ``sun.expected``.
            scheduled: level [%] the schedule asks for, NaN where it does not matter.
        """
        fresh = (reports.at > self.last_at[reports.slot]) & self._believed(reports)
        if not fresh.all():
            reports = reports.only(fresh)
            should, scheduled = should[fresh], scheduled[fresh]
        slot, at = reports.slot, reports.at
        lit, dark = should == LIT, should == DARK
        burning = self._is_burning(slot, reports.power, lit)
        gap = np.where(self.last_at[slot] > 0, at - self.last_at[slot], 0)
        known = (gap > 0) & (gap <= LONG_GAP * self.interval[slot])
        self._count_burning(slot, burning, gap, known)
        before = self.faults[slot]
        after = before.copy()
        cycling = self._cycling(slot, at, burning, lit, gap, known, after)
        self._timed(Fault.OUT, reports, lit & ~burning & ~cycling, burning | cycling, dark & ~burning, after)
        self._timed(Fault.DAY_BURNER, reports, dark & burning, ~burning, lit & burning, after)
        self._degraded(reports, lit & burning & self.was_lit[slot], scheduled, after)
        self._voltage(reports, after)
        self.last_at[slot], self.power[slot], self.burning[slot], self.was_lit[slot] = at, reports.power, burning, lit
        self.volts[slot] = np.where(np.isnan(reports.volts), self.volts[slot], reports.volts)
        self.faults[slot] = after
        changed = before != after
        return Changes(slot[changed], before[changed], after[changed])

    def is_credible(self, reports: Reports) -> Bools:
        """Nothing draws so many times what it always drew: the report is in another unit, or the meter is broken."""
        nominal, connected = self.nominal[reports.slot], self.connected[reports.slot]
        most = np.maximum(INCREDIBLE * np.maximum(nominal, connected), LEAST_INCREDIBLE)
        yet = np.where(connected > 0, INCREDIBLE_YET * connected, np.inf)
        credible: Bools = reports.power <= np.where(nominal > 0, most, yet)
        return credible

    def _believed(self, reports: Reports) -> Bools:
        """Those that are credible; what never was for a week is, and its own power is learnt anew."""
        slot, credible = reports.slot, self.is_credible(reports)
        if credible.all() and not self._doubted_since[slot].any():
            return credible
        since = np.where(self._doubted_since[slot] == 0, reports.at, self._doubted_since[slot])
        forgets = ~credible & (reports.at - since > BELIEVED_AFTER)
        self._doubted_since[slot] = np.where(credible | forgets, 0, since)
        for one in slot[forgets].tolist():
            self.relearn(one)
        return self.is_credible(reports) if forgets.any() else credible

    def _is_burning(self, slot: Slots, power: Floats, lit: Bools) -> Bools:
        nominal = self.nominal[slot]
        burning: Bools = power > np.maximum(self.detect.burning_watts, self.burning_share * nominal)
        if self.burning_share:
            # How much a cabinet draws by day of itself is not known before its first night.
            burning &= lit | (nominal > 0)
        return burning

    def _count_burning(self, slot: Slots, burning: Bools, gap: Times, known: Bools) -> None:
        # Between an on and an off report it burnt half the time, on average.
        halves = burning.astype(np.int64) + self.burning[slot]
        self.burnt[slot] += np.where(known, gap * halves // 2, 0)

    def _cycling(
        self, slot: Slots, at: Times, burning: Bools, lit: Bools, gap: Times, known: Bools, after: NDArray[np.uint8]
    ) -> Bools:
        """Flips while it should burn. Returns where the lamp is flipping: its dark moments are not "lamp out"."""
        window = int(self.detect.cycling_hours * HOUR)
        steadily = lit & self.was_lit[slot]
        flip = steadily & (burning != self.burning[slot])
        flipped = slot[flip]
        self.flips[flipped] = np.roll(self.flips[flipped], -1, axis=1)
        self.flips[flipped, -1] = at[flip]
        self.steady[slot] = np.where(flip, 0, self.steady[slot] + np.where(steadily & known, gap, 0))
        recent = self.flips[slot]
        starts = flip & (recent[:, 0] > at - window)
        ends = self.steady[slot] >= window
        after[starts] |= np.uint8(Fault.CYCLING)
        after[ends] &= ~np.uint8(Fault.CYCLING)
        return ((after & np.uint8(Fault.CYCLING)) > 0) | (lit & (recent[:, -2] > at - window))

    def _timed(
        self, fault: Fault, reports: Reports, shows: Bools, ends: Bools, forgets: Bools, after: NDArray[np.uint8]
    ) -> None:
        """A fault that holds once reports in a row have shown it for long enough.

        Args:
            fault: which.
            reports: of the step.
            shows: where the report shows it.
            ends: where the report shows the opposite.
            forgets: where a suspicion that never became a fault is dropped (another time of day).
            after: fault bits, changed here.
        """
        slot, at = reports.slot, reports.at
        minutes, least = _TIMED[fault], self.detect.least_readings
        since, count = self.since[fault][slot], self.readings[fault][slot]
        holds = (after & np.uint8(fault)) > 0
        since = np.where(shows & (since == 0), at, since)
        count = np.where(shows, np.minimum(count, 254) + 1, count)
        over = ends | (forgets & ~holds)
        since, count = np.where(over, 0, since), np.where(over, 0, count)
        long = at - since >= int(getattr(self.detect, minutes) * MINUTE)
        after[shows & ~over & long & (count >= least)] |= np.uint8(fault)
        after[ends] &= ~np.uint8(fault)
        # Only what changes: of a fault that few lamps have, few pages of memory are ever touched.
        moved = (since != self.since[fault][slot]) | (count != self.readings[fault][slot])
        self.since[fault][slot[moved]], self.readings[fault][slot[moved]] = since[moved], count[moved]

    def _degraded(self, reports: Reports, steady: Bools, scheduled: Floats, after: NDArray[np.uint8]) -> None:
        slot, power = reports.slot, reports.power
        level = np.where(np.isnan(reports.level), scheduled, reports.level)
        valid = steady & ~np.isnan(level)
        nominal, learned = self.nominal[slot], self.learned[slot]
        higher = valid & (level > self.nominal_level[slot] + SAME_LEVEL)
        stronger = valid & (power > RELEARN_SHARE * nominal) & (learned >= self.detect.learning_reports)
        self.above[slot] = np.where(
            valid, np.where(stronger, np.minimum(self.above[slot], 254) + 1, 0), self.above[slot]
        )
        restart = higher | (self.above[slot] >= RELEARN_READINGS)
        learned = np.where(restart, 0, learned)
        same = valid & (restart | (np.abs(level - self.nominal_level[slot]) <= SAME_LEVEL))
        learning = same & (learned < self.detect.learning_reports)
        mean = (nominal * learned + power) / (learned + 1.0)
        self.nominal[slot] = np.where(learning, np.where(restart, power, mean), nominal)
        self.nominal_level[slot] = np.where(restart, level, self.nominal_level[slot])
        self.learned[slot] = np.where(learning, learned + 1, learned)
        self.above[slot] = np.where(restart, 0, self.above[slot])
        ratio = np.divide(power, self.nominal[slot], out=np.ones_like(power), where=self.nominal[slot] > 0)
        judged = same & ~learning
        low, fine = judged & (ratio < self.detect.degraded_ratio), judged & (ratio > self.detect.recovered_ratio)
        self.sound[slot] = (self.sound[slot] | fine) & ~low & ~restart
        dimmed = valid & ~same & (learned >= self.detect.learning_reports)
        self.is_dimmed[slot] = np.where(valid, dimmed, self.is_dimmed[slot])
        self.dimmed_learned[slot] = np.where(restart, 0, self.dimmed_learned[slot])
        ratio, judged = self._against_dimmed(slot, power, level, dimmed, (after & np.uint8(Fault.DEGRADED)) > 0)
        low |= judged & (ratio < self.detect.degraded_ratio)
        # What was seen undimmed is not taken back by a lower power that may have been learnt while it was degraded.
        fine |= judged & (ratio > self.detect.recovered_ratio) & self.sound[slot]
        self._timed(Fault.DEGRADED, reports, low, fine | restart, np.zeros_like(low), after)

    def _against_dimmed(
        self, slot: Slots, power: Floats, level: Floats, dimmed: Bools, degraded: Bools
    ) -> tuple[Floats, Bools]:
        """Each report's share of the lamp's usual power at that level, and where that is known; learns it."""
        usual, enough = self.dimmed[slot].astype(float), self.detect.learning_reports
        moved = dimmed & (np.abs(level - self.dimmed_level[slot]) > SAME_LEVEL)
        learned = np.where(moved, 0, self.dimmed_learned[slot])
        # A lamp that is dimmed and draws as much as undimmed has a spike, or did not hear that it is.
        learning = dimmed & self.sound[slot] & ~degraded & (learned < enough) & (power < self.nominal[slot])
        self.dimmed[slot] = np.where(learning, (usual * learned + power) / (learned + 1.0), usual)
        self.dimmed_level[slot] = np.where(learning & (learned == 0), level, self.dimmed_level[slot])
        self.dimmed_learned[slot] = np.where(learning, learned + 1, learned)
        return np.divide(power, usual, out=np.ones_like(power), where=usual > 0), dimmed & (learned >= enough)

    def usual(self, slot: int) -> float:
        """[W] what its newest report of steady burning is compared with."""
        return float(self.dimmed[slot] if self.is_dimmed[slot] else self.nominal[slot])

    def _voltage(self, reports: Reports, after: NDArray[np.uint8]) -> None:
        # Half the nominal voltage and less is a dead phase or a controller on its battery: that is no low supply.
        volts, detect = reports.volts, self.detect
        with np.errstate(invalid="ignore"):
            present = volts > detect.nominal_volts / 2
            bad = present & ((volts < detect.low_volts) | (volts > detect.high_volts))
            inner = volts > detect.low_volts + detect.volts_hysteresis
            fine = present & inner & (volts < detect.high_volts - detect.volts_hysteresis)
        self._timed(Fault.VOLTAGE, reports, bad, fine, np.zeros_like(bad), after)

    def relearn(self, slot: int) -> None:
        """The lamp was replaced: forget the power it used to draw, and what was inferred from that."""
        self.nominal[slot] = self.nominal_level[slot] = 0.0
        self.learned[slot] = self.above[slot] = self.dimmed_learned[slot] = 0
        self.since[Fault.DEGRADED][slot] = self.readings[Fault.DEGRADED][slot] = 0
        self.faults[slot] &= ~np.uint8(Fault.DEGRADED)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Every column by name, for snapshots."""
        columns: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in _NAMES}
        columns |= {f"since_{fault.name}": column for fault, column in self.since.items()}
        return columns | {f"readings_{fault.name}": column for fault, column in self.readings.items()}


_NAMES = (
    "last_at", "power", "volts", "burning", "was_lit", "nominal", "nominal_level", "learned", "above", "flips",
    "steady", "burnt", "faults", "dimmed", "dimmed_level", "dimmed_learned", "sound", "is_dimmed",
)  # fmt: skip
_TIMED = {
    Fault.OUT: "out_minutes",
    Fault.DAY_BURNER: "day_minutes",
    Fault.DEGRADED: "degraded_minutes",
    Fault.VOLTAGE: "volts_minutes",
}
"""Faults that need some time, and which threshold says how long."""
