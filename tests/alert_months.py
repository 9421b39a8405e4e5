"""Simulated months with planted faults as the gateway hears them: judged, late, doubled, and a twentieth lost."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from devices.profile import shipped_profiles
from devices.quality import Quality
from devices.registry import Registry
from devices.topics import Source
from gateway.analytics.alert_book import AlertChange
from gateway.analytics.columns import PROPERTY_NUMBER, Columns
from gateway.analytics.room import Analytics
from gateway.line.normalize import Plan, Slot
from gateway.line.quality import judge
from gateway.line.state import State
from simulators.applied_faults import AppliedFaults
from simulators.device import Cohort, Samples
from simulators.faults import LINK
from simulators.fleet import Fleet, build
from simulators.misreport import Met, Report, is_silent, misreport
from simulators.scenario import parse_scenario
from tests.alert_truth import NS

START = datetime.fromisoformat("2026-03-01T12:00+07:00").timestamp()
STEP = 1200.0
"""Seconds between two looks at the clock."""
SCENARIO = (Path(__file__).parent / "alert_scenario.toml").read_text("utf-8")
SENSOR = frozenset({"drift", "stuck", "spike", "wrong_unit"})
UNHEARD = frozenset({"lost", "outage", "garbage", "truncated"})
"""What never becomes a reading: the line refuses bytes it cannot read. An echo is retained, and brings none either."""
LATE = frozenset({"late", "reordered"})
WRONG_CLOCK = frozenset({"clock_unset", "clock_ahead"})


def fleet(seed: int, days: int, communes: int = 2) -> Fleet:
    """The devices and their faults."""
    scenario = parse_scenario(SCENARIO, "alert_scenario")
    assert scenario.spread is not None
    some = scenario.spread.model_copy(update={"communes": scenario.spread.communes[:communes]})
    return build(scenario.model_copy(update={"spread": some}), seed, START + days * 86400)


class Heard:
    """What arrives of a fleet, judged as the line judges it."""

    def __init__(self, made: Fleet, room: Analytics) -> None:
        self._made, self._index = made, room.tables.registry.index
        self._state = State(room.tables.registry)
        self._applied = [AppliedFaults(cohort, made.scenario.fault, made.seed) for cohort in made.cohorts]
        self._slots: dict[str, dict[str, Slot]] = {}
        for cohort in made.cohorts:
            plan = Plan(cohort.profile, Source("own", "{device}"))
            self._slots[cohort.profile.id] = {slot.name: slot for slot in plan._slots.values()}
        sensor = [fault for fault in made.scenario.fault if fault.kind in SENSOR]
        self._doubted = {
            self._index[name]
            for one in self._applied
            for fault in sensor
            for name, has in zip(one.cohort.names, fault.meets(one.cohort.names, one._keys), strict=True)
            if has
        }

    def between(self, start: float, stop: float) -> Columns:
        """Every reading of some hours, in the order of receipt."""
        parts = [
            self._of(cohort, one, start, stop) for cohort, one in zip(self._made.cohorts, self._applied, strict=True)
        ]
        joined = Columns(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        return joined.only(np.argsort(joined.received, kind="stable"))

    def _of(self, cohort: Cohort, applied: AppliedFaults, start: float, stop: float) -> Columns:
        samples = cohort.due(start, stop)
        babble = [one for one in applied.babble(start, stop) if one.device.size]
        if babble:
            samples = Samples(*(np.concatenate(column) for column in zip(samples, *babble, strict=True)))
        met = applied.met(samples)
        values = {name: column.copy() for name, column in cohort.values(samples).items() if name in PROPERTY_NUMBER}
        at = np.round(samples.at * 1000).astype(np.int64) * 1_000_000
        received, lost = at.copy(), np.zeros(len(at), np.bool_)
        again: list[tuple[int, float]] = []
        for row, faults in met.items():
            kinds = {one.fault.kind for one in faults}
            lost[row] = bool(kinds & UNHEARD) or is_silent(faults, float(samples.at[row]))
            again += [(row, one.spell.size) for one in faults if one.fault.kind == "duplicated"]
            received[row] += sum(int(one.spell.size * NS) for one in faults if one.fault.kind in LATE)
            if kinds & WRONG_CLOCK:
                at[row] = received[row]
            _misreport(values, row, samples, faults, applied)
        rows = np.flatnonzero(~lost)
        repeats = np.array([row for row, _ in again if not lost[row]], np.int64)
        delays = np.array([delay * NS for row, delay in again if not lost[row]]).astype(np.int64)
        chosen = np.concatenate([rows, repeats])
        came = received[chosen] + np.concatenate([np.zeros(len(rows), np.int64), delays])
        device = np.array([self._index[name] for name in cohort.names])[samples.device]
        columns = _columns(values, device[chosen], at[chosen], came, chosen)
        burst = self._bursts(cohort, applied, start, stop)
        return self._judged(cohort, columns if burst is None else _both(columns, burst))

    def _bursts(self, cohort: Cohort, applied: AppliedFaults, start: float, stop: float) -> Columns | None:
        found = list(applied.bursts(start, stop))
        if not found:
            return None
        samples = Samples(*(np.concatenate(column) for column in zip(*(one for one, _ in found), strict=True)))
        received = (np.concatenate([sent for _, sent in found]) * NS).astype(np.int64)
        values = {name: column.copy() for name, column in cohort.values(samples).items() if name in PROPERTY_NUMBER}
        at = np.round(samples.at * 1000).astype(np.int64) * 1_000_000
        said = np.ones(len(at), np.bool_)
        for row, faults in applied.met(samples).items():
            said[row] = not is_silent(faults, float(samples.at[row]))
            _misreport(values, row, samples, [one for one in faults if one.fault.kind not in LINK], applied)
        device = np.array([self._index[name] for name in cohort.names])[samples.device]
        return _columns(values, device[said], at[said], received[said], np.flatnonzero(said))

    def _judged(self, cohort: Cohort, columns: Columns) -> Columns:
        """Flags as the line gives them: by range for all, by what was before of the devices whose sensors fail."""
        names = {number: name for name, number in PROPERTY_NUMBER.items()}
        slots, first = self._slots[cohort.profile.id], self._state.registry.first_series
        for number in np.unique(columns.property).tolist():
            rows, slot = np.flatnonzero(columns.property == number), slots[names[number]]
            value = columns.value[rows]
            ordinary = (value >= slot.plausible_low) & (value <= slot.plausible_high)
            possible = (value >= slot.low) & (value <= slot.high)
            columns.quality[rows] = np.where(possible, np.where(ordinary, Quality.GOOD, Quality.SUSPECT), Quality.FAIL)
        doubted = np.flatnonzero(np.isin(columns.device, list(self._doubted)))
        for row in doubted[np.argsort(columns.received[doubted], kind="stable")].tolist():
            slot = slots[names[int(columns.property[row])]]
            device = int(columns.device[row])
            places = first[device] + slot.position, self._state.watch[device] + slot.watched
            columns.quality[row] = judge(slot, float(columns.value[row]), int(columns.at[row]), self._state, *places)
        return columns


def _misreport(
    values: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]], row: int, samples: Samples, faults: Sequence[Met],
    applied: AppliedFaults,
) -> None:  # fmt: skip
    device, at = int(samples.device[row]), float(samples.at[row])
    some = [one for one in faults if one.fault.kind in SENSOR | {"reboot", "dead_battery"}]
    if some:
        report = Report(at, {name: float(column[row]) for name, column in values.items()}, None, None)
        wrong = misreport(report, some, lambda moment: applied.earlier(device, moment))
        for name, value in wrong.values.items():
            values[name][row] = value


def _columns(
    values: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]], device: np.ndarray[tuple[int], np.dtype[np.int64]],
    at: np.ndarray[tuple[int], np.dtype[np.int64]], received: np.ndarray[tuple[int], np.dtype[np.int64]],
    chosen: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> Columns:  # fmt: skip
    count = len(chosen)
    return Columns(
        np.tile(device, len(values)),
        np.repeat([PROPERTY_NUMBER[name] for name in values], count),
        np.concatenate([column[chosen] for column in values.values()]),
        np.tile(at, len(values)),
        np.tile(received, len(values)),
        np.ones(count * len(values), np.uint8),
    )


def _both(one: Columns, other: Columns) -> Columns:
    parts: list[tuple[Any, Any]] = list(zip(one, other, strict=True))
    return Columns(*(np.concatenate(part) for part in parts))


def run(made: Fleet, days: int, *, step: float = STEP, show: bool = False) -> tuple[Analytics, list[AlertChange]]:
    """The months, from the first reading to the last look; returns every change of an alert."""
    registry = Registry.of(made.rows(), shipped_profiles().values())
    room = Analytics(registry, int(START * NS))
    heard = Heard(made, room)
    changes: list[AlertChange] = []
    late: Columns | None = None
    for block in track(range(days * 4), "simulating", disable=not show):
        begin = START + block * 21600
        columns = heard.between(begin, begin + 21600)
        if late is not None:
            columns = _both(late, columns)
            columns = columns.only(np.argsort(columns.received, kind="stable"))
        edges = begin + step * np.arange(1, 21600 / step + 1)
        bounds = np.searchsorted(columns.received, (edges * NS).astype(np.int64))
        first = 0
        for edge, bound in zip(edges.tolist(), bounds.tolist(), strict=True):
            some = columns.only(np.arange(first, bound))
            if len(some.at):
                room.alerts.take(some)
                room.rollups.take(some)
            first = bound
            changes += room.tick(int(edge * NS))
            room.written(int(edge * NS))
        late = columns.only(np.arange(first, len(columns.at)))
    return room, changes
