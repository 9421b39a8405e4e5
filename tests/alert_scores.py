"""Precision and recall of the alerts over simulated months with planted faults: `python -m tests.alert_scores`.

Every kind of fault of ``alert_scenario.toml`` is scored. A fault counts as found if its alert fired while it was there,
told or explained by another; it counts at all only if it could be seen (a lamp that is out by day only cannot). A
notification without such a fault is false, and so is every notification of the same fault after the first. Of kinds
that must not alarm, each spell is right that no false notification falls into.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.progress import track

from devices.profile import shipped_profiles
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
from simulators.fleet import Fleet, build
from simulators.misreport import Met, Report, is_silent, misreport
from simulators.scenario import parse_scenario
from tests.alert_truth import FALSE, NS, QUIET, RULES, Planted, air_truth, hidden, joined, planted, threshold_truth

HOUR = 3600 * NS
START = datetime.fromisoformat("2026-03-01T12:00+07:00").timestamp()
STEP = 1200.0
"""Seconds between two looks at the clock."""
SCENARIO = (Path(__file__).parent / "alert_scenario.toml").read_text("utf-8")
SENSOR = frozenset({"drift", "stuck", "spike", "wrong_unit"})
LATE = frozenset({"duplicated", "late"})
WRONG_CLOCK = frozenset({"clock_unset", "clock_ahead"})


class Score(NamedTuple):
    """How well one kind of alert does."""

    faults: int
    found: int
    told: int
    right: int

    @property
    def recall(self) -> float:
        """Share of the faults that were found; a kind that never happens scores nothing."""
        return self.found / self.faults if self.faults else 0.0

    @property
    def precision(self) -> float:
        """Share of the notifications that were right."""
        return self.right / self.told if self.told else 0.0


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
            lost[row] = bool(kinds & {"lost", "outage"}) or is_silent(faults, float(samples.at[row]))
            again += [(row, one.spell.size) for one in faults if one.fault.kind == "duplicated"]
            received[row] += sum(int(one.spell.size * NS) for one in faults if one.fault.kind == "late")
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
        values = {name: column for name, column in cohort.values(samples).items() if name in PROPERTY_NUMBER}
        at = np.round(samples.at * 1000).astype(np.int64) * 1_000_000
        device = np.array([self._index[name] for name in cohort.names])[samples.device]
        return _columns(values, device, at, received, np.arange(len(at)))

    def _judged(self, cohort: Cohort, columns: Columns) -> Columns:
        """Flags as the line gives them, of the devices whose sensors fail some time."""
        names = {number: name for name, number in PROPERTY_NUMBER.items()}
        slots, first = self._slots[cohort.profile.id], self._state.registry.first_series
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


def truth(made: Fleet, room: Analytics, days: int) -> list[Planted]:
    """Everything that alerts have to find, and what must not raise any."""
    stop = START + days * 86400
    faults = list(planted(made, room, START, stop))
    faults = joined(hidden(fault, faults, room.tables.registry) for fault in faults)
    return faults + air_truth(made, START, stop) + threshold_truth(made, room, START, stop)


def score(room: Analytics, changes: Sequence[AlertChange], faults: Sequence[Planted]) -> dict[str, Score]:
    """How well each kind does."""
    fired = [c for c in changes if not c.doubtful and c.state.value == "firing"]
    scores, right_ones = {}, set()
    others = {fault.kind for fault in faults} - set(RULES) - set(QUIET)
    others |= {c.rule.code for c in fired if c.notify} - set(RULES.values())
    others -= {kind for kind in others if not any(one.visible for one in faults if one.kind == kind)} - {
        c.rule.code for c in fired if c.notify
    }
    for kind, rule in (RULES | {code: code for code in sorted(others)}).items():
        own = [fault for fault in faults if fault.kind == kind]
        mine = [change for change in fired if change.rule.code == rule]
        found = sum(fault.visible and any(_meets(change, fault) for change in mine) for fault in own)
        told = [change for change in mine if change.notify]
        seen: set[Planted] = set()
        for change in told:
            meant = {fault for fault in own if _meets(change, fault)}
            if meant - seen:
                right_ones.add(id(change))
            seen |= meant
        right = sum(id(change) in right_ones for change in told)
        scores[kind] = Score(sum(fault.visible for fault in own), found, len(told), right)
    false = [change for change in fired if change.notify and id(change) not in right_ones]
    registry = room.tables.registry
    for kind in QUIET:
        own = [fault for fault in faults if fault.kind == kind]
        quiet = sum(not any(_blames(change, fault, registry) for change in false) for fault in own)
        scores[kind] = Score(len(own), quiet, len(own), quiet)
    return scores


def _meets(change: AlertChange, fault: Planted) -> bool:
    slack = FALSE.get(fault.kind, 0.75) * HOUR
    return change.place.name == fault.place and fault.start <= change.at <= fault.stop + slack


def _blames(change: AlertChange, fault: Planted, registry: Registry) -> bool:
    return fault.place in (change.place.name, change.place.device) and fault.start <= change.at <= fault.stop + HOUR


def false_alarms(changes: Sequence[AlertChange], faults: Sequence[Planted]) -> list[AlertChange]:
    """Notifications that no fault explains."""
    own = {kind: [fault for fault in faults if fault.kind == kind] for kind in {fault.kind for fault in faults}}
    kinds = {rule: kind for kind, rule in RULES.items()}
    told = [c for c in changes if c.notify and c.state.value == "firing" and not c.doubtful]
    return [c for c in told if not any(_meets(c, fault) for fault in own.get(kinds.get(c.rule.code, c.rule.code), ()))]


def main() -> None:
    """Print the table of a seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--why", action="store_true", help="name what was missed, and what was told without reason")
    options = parser.parse_args()
    made = fleet(options.seed, options.days)
    room, changes = run(made, options.days, show=sys.stderr.isatty())
    faults = truth(made, room, options.days)
    lines = [
        f"seed {options.seed}, {options.days} days, {made.size} devices",
        f"{'kind':16}{'faults':>8}{'found':>8}{'told':>8}{'right':>8}{'precision':>11}{'recall':>8}",
    ]
    for kind, one in score(room, changes, faults).items():
        lines.append(
            f"{kind:16}{one.faults:8}{one.found:8}{one.told:8}{one.right:8}{one.precision:11.3f}{one.recall:8.3f}"
        )
    others = [c for c in changes if c.notify and c.doubtful and c.state.value == "firing"]
    for code, count in sorted(Counter(c.rule.code + "?" * c.doubtful for c in others).items()):
        lines.append(f"told besides: {code} {count}")
    if options.why:
        lines += [f"false: {c.id} at {_text(c.at)}, value {c.value:.4g}" for c in false_alarms(changes, faults)]
        fired = [c for c in changes if c.state.value == "firing" and not c.doubtful]
        lines += [
            f"missed: {fault.kind} at {fault.place} {_text(fault.start)} to {_text(fault.stop)}"
            for fault in faults
            if fault.visible
            and fault.kind not in QUIET
            and not any(c.rule.code == RULES.get(fault.kind, fault.kind) and _meets(c, fault) for c in fired)
        ]
    sys.stdout.write("\n".join(lines) + "\n")


def _text(at: int) -> str:
    return datetime.fromtimestamp(at / NS, datetime.fromisoformat("2026-01-01T00:00+07:00").tzinfo).isoformat(
        " ", "minutes"
    )


if __name__ == "__main__":
    main()
