"""Precision and recall of the alerts over simulated months with planted faults: `python -m tests.alert_scores`.

A fault counts as found if its alert fired while it was there, told or explained by another; it counts at all only if it
could be seen (a lamp that is out by day only cannot). A notification without such a fault is false, and so is every
notification of the same fault after the first. Lost uplinks (5 %), noise and everything else are the simulator's.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
from rich.progress import track

from devices.profile import shipped_profiles
from devices.registry import Registry
from gateway.analytics.alert_book import AlertChange
from gateway.analytics.columns import PROPERTY_NUMBER, Columns
from gateway.analytics.room import Analytics
from gateway.analytics.sun import DARK, LIT, expected
from simulators.applied_faults import AppliedFaults
from simulators.device import Cohort
from simulators.fleet import Fleet, build
from simulators.scenario import parse_scenario

NS = 1_000_000_000
MINUTE, HOUR, DAY = 60 * NS, 3600 * NS, 86400 * NS
START = datetime.fromisoformat("2026-03-01T12:00+07:00").timestamp()
LEARNING_DAYS = 6
"""What is usual has to be learnt first; faults that begin earlier count neither way."""
STEP = 300.0
"""Seconds between two looks at the clock."""

SCENARIO = """
title_vi = "Lỗi gieo sẵn"
title_en = "Planted faults"

[spread]
communes = ["10642", "11074"]
cabinets = 3
lamps = 20
water = 1
air = 1
tap = 4

[[fault]]
kind = "lost"
devices = "*"
always = true
chance = 0.05

[[fault]]
kind = "duplicated"
devices = "*"
always = true
chance = 0.01
size = [5, 900]

[[fault]]
kind = "lamp_out"
devices = "*-lamp-*"
share = 0.3
every_days = 15
hours = 48

[[fault]]
kind = "day_burner"
devices = "*-lamp-*"
share = 0.15
every_days = 15
hours = 40

[[fault]]
kind = "circuit_loss"
devices = "*-cabinet-*"
every_days = 10
hours = 5

[[fault]]
kind = "theft"
devices = "*-cabinet-*"
every_days = 15
hours = 60
size = [180, 800]

[[fault]]
kind = "leak"
devices = "*-tap-*"
every_days = 40
hours = 260
hours_spread = 0.2
size = [1.2, 5.0]

[[fault]]
kind = "silent"
devices = "*-tap-*"
every_days = 6
hours = 3

[[fault]]
kind = "silent"
devices = "*-lamp-*"
share = 0.2
every_days = 10
hours = 5
"""

RULES = {
    "lamp_out": "lamp_out",
    "day_burner": "day_burner",
    "circuit_loss": "circuit_out",
    "theft": "theft",
    "leak": "leak_night",
    "silent": "silent",
}
"""Which alert a kind of fault must raise."""


class Planted(NamedTuple):
    """One spell of one fault."""

    kind: str
    place: str
    start: int
    stop: int
    visible: bool
    """It could be seen, and nothing else hid it."""


class Score(NamedTuple):
    """How well one kind of alert does."""

    faults: int
    found: int
    told: int
    right: int

    @property
    def recall(self) -> float:
        """Share of the faults that were found."""
        return self.found / self.faults if self.faults else 0.0

    @property
    def precision(self) -> float:
        """Share of the notifications that were right."""
        return self.right / self.told if self.told else 0.0


def fleet(seed: int, days: int, communes: int = 2) -> Fleet:
    """The devices and their faults."""
    scenario = parse_scenario(SCENARIO, "alert_scores")
    assert scenario.spread is not None
    some = scenario.spread.model_copy(update={"communes": scenario.spread.communes[:communes]})
    return build(scenario.model_copy(update={"spread": some}), seed, START + days * 86400)


def heard(made: Fleet, room: Analytics, start: float, stop: float) -> Columns:
    """Every reading of some hours that arrives."""
    parts = [_heard(cohort, made, room, start, stop) for cohort in made.cohorts]
    joined = Columns(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return joined.only(np.argsort(joined.received, kind="stable"))


def _heard(cohort: Cohort, made: Fleet, room: Analytics, start: float, stop: float) -> Columns:
    samples = cohort.due(start, stop)
    met = AppliedFaults(cohort, made.scenario.fault, made.seed).met(samples)
    lost = np.zeros(len(samples.at), np.bool_)
    again: list[tuple[int, float]] = []
    for row, faults in met.items():
        lost[row] = any(one.fault.kind in ("lost", "silent") for one in faults)
        again += [(row, one.spell.size) for one in faults if one.fault.kind == "duplicated"]
    rows = np.flatnonzero(~lost)
    repeats = np.array([row for row, _ in again if not lost[row]], np.int64)
    delays = np.array([delay for row, delay in again if not lost[row]])
    values = cohort.values(samples)
    index = room.tables.registry.index
    device = np.array([index[name] for name in cohort.names])[samples.device]
    at = np.round(samples.at * 1000).astype(np.int64) * 1_000_000
    chosen = np.concatenate([rows, repeats])
    received = at[chosen] + np.concatenate([np.zeros(len(rows)), delays * NS]).astype(np.int64)
    names = [name for name in values if name in PROPERTY_NUMBER]
    count = len(chosen)
    return Columns(
        np.tile(device[chosen], len(names)),
        np.repeat([PROPERTY_NUMBER[name] for name in names], count),
        np.concatenate([values[name][chosen] for name in names]) if names else np.empty(0),
        np.tile(at[chosen], len(names)),
        np.tile(received, len(names)),
        np.ones(count * len(names), np.uint8),
    )


def run(made: Fleet, days: int, *, step: float = STEP, show: bool = False) -> tuple[Analytics, list[AlertChange]]:
    """The months, from the first reading to the last look; returns every change of an alert."""
    registry = Registry.of(made.rows(), shipped_profiles().values())
    room = Analytics(registry, int(START * NS))
    changes: list[AlertChange] = []
    blocks = range(days * 4)
    for block in track(blocks, "simulating", disable=not show):
        begin = START + block * 21600
        columns = heard(made, room, begin, begin + 21600)
        edges = begin + step * np.arange(1, 21600 / step + 1)
        bounds = np.searchsorted(columns.received, (edges * NS).astype(np.int64))
        first = 0
        for edge, bound in zip(edges.tolist(), [*bounds[:-1].tolist(), len(columns.at)], strict=True):
            some = columns.only(np.arange(first, bound))
            room.alerts.take(some)
            room.rollups.take(some)
            first = bound
            changes += room.tick(int(edge * NS))
            room.written(int(edge * NS))
    return room, changes


def planted(made: Fleet, room: Analytics, days: int) -> Iterator[Planted]:
    """Every fault that the alerts have to find."""
    begin, end = START, START + days * 86400
    for cohort in made.cohorts:
        keys = AppliedFaults(cohort, made.scenario.fault, made.seed)._keys
        for fault in made.scenario.fault:
            if fault.kind not in RULES:
                continue
            has = fault.meets(cohort.names, keys)
            for number in np.flatnonzero(has).tolist():
                for spell in fault.spells(keys[number : number + 1], begin, end):
                    start, stop = max(spell.start, begin), min(spell.stop, end)
                    place = cohort.names[number]
                    learnt = start >= begin + (0 if fault.kind == "silent" else LEARNING_DAYS * 86400)
                    visible = learnt and _is_visible(fault.kind, room, place, start, stop)
                    yield Planted(fault.kind, place, int(start * NS), int(stop * NS), visible)


def _is_visible(kind: str, room: Analytics, place: str, start: float, stop: float) -> bool:
    """Whether it lasts long enough at a time of day when it can be seen."""
    if kind == "leak":
        return stop - start >= 5 * 86400
    if kind in ("silent", "circuit_loss"):
        return stop - start >= 45 * 60
    device = room.tables.registry.index[place]
    street = room.alerts.streets.fleet
    number = street.lamp_of[device]
    plan = street.plans[
        int(street.lamp_plan[number] if number >= 0 else street.cabinet_plan[street.cabinet_of[device]])
    ]
    moments = np.arange(start, stop, 60.0)
    state, _ = expected([plan], np.zeros(len(moments), np.int32), (moments * NS).astype(np.int64), 30 * MINUTE)
    wanted = state == (DARK if kind == "day_burner" else LIT)
    longest = max((len(part) for part in "".join("1" if one else "0" for one in wanted).split("0")), default=0)
    return longest >= {"lamp_out": 60, "day_burner": 60, "theft": 120}[kind]


def score(room: Analytics, changes: Sequence[AlertChange], faults: Sequence[Planted]) -> dict[str, Score]:
    """How well each kind does."""
    scores = {}
    loss = [fault for fault in faults if fault.kind == "circuit_loss"]
    groups = room.tables.registry
    for kind, rule in RULES.items():
        own = [_hidden(fault, loss, faults, groups) for fault in faults if fault.kind == kind]
        fired = [c for c in changes if c.rule.code == rule and not c.doubtful and c.state.value == "firing"]
        found = sum(fault.visible and any(_meets(change, fault) for change in fired) for fault in own)
        told = [change for change in fired if change.notify]
        seen: set[Planted] = set()
        right = 0
        for change in told:
            meant = [fault for fault in own if _meets(change, fault)]
            fresh = [fault for fault in meant if fault not in seen]
            right += bool(fresh)
            seen.update(meant)
        scores[kind] = Score(sum(fault.visible for fault in own), found, len(told), right)
    return scores


def _hidden(fault: Planted, losses: Sequence[Planted], every: Sequence[Planted], registry: Registry) -> Planted:
    """A lamp's fault is hidden by what happens to its whole circuit, or otherwise to itself, at the same time."""
    if fault.kind in ("circuit_loss", "leak") or not fault.visible:
        return fault
    group = registry.groups.texts[registry.group_of[registry.index[fault.place]]].partition("/")[2]
    beside = [one for one in losses if one.place == group] + [
        one for one in every if one.place == fault.place and one.kind != fault.kind
    ]
    return fault._replace(visible=not any(one.start < fault.stop and fault.start < one.stop for one in beside))


def _meets(change: AlertChange, fault: Planted) -> bool:
    slack = 36 * HOUR if fault.kind == "leak" else 30 * MINUTE
    return change.place.name == fault.place and fault.start <= change.at <= fault.stop + slack


def main() -> None:
    """Print the table of a seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=45)
    options = parser.parse_args()
    made = fleet(options.seed, options.days)
    room, changes = run(made, options.days, show=True)
    faults = list(planted(made, room, options.days))
    lines = [
        f"seed {options.seed}, {options.days} days, {made.size} devices",
        f"{'kind':14}{'faults':>8}{'found':>8}{'told':>8}{'right':>8}{'precision':>11}{'recall':>8}",
    ]
    for kind, one in score(room, changes, faults).items():
        lines.append(
            f"{kind:14}{one.faults:8}{one.found:8}{one.told:8}{one.right:8}{one.precision:11.3f}{one.recall:8.3f}"
        )
    others = [c for c in changes if c.notify and c.rule.code not in RULES.values() and c.state.value == "firing"]
    for code, count in sorted(Counter(change.rule.code for change in others).items()):
        lines.append(f"told besides: {code} {count}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
