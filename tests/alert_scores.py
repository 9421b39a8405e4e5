"""Precision and recall of the alerts over simulated months with planted faults: `make scores SEED=1`.

Every kind of fault of ``alert_scenario.toml`` is scored. A fault counts as found if its alert stood while it was there,
told or explained by another; it counts at all only if it could be seen (a lamp that is out by day only cannot). A
notification without such a fault is false, and so is every notification of the same fault after the first. Of kinds
that must not alarm, each spell is right that no false notification falls into.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from functools import partial
from typing import NamedTuple

from rich.progress import track

from devices.alert_rules import AlertState
from devices.registry import Registry
from gateway.analytics.alert_book import AlertChange
from gateway.analytics.room import Analytics
from gateway.analytics.windows import HOUR
from simulators.fleet import Fleet
from tests.alert_months import START, fleet, run
from tests.alert_truth import (
    FALSE,
    NS,
    QUIET,
    RULES,
    Planted,
    air_truth,
    hidden,
    joined,
    planted,
    threshold_truth,
    unheard,
)

BAR = 0.95
"""What every planted kind has to reach."""


class Score(NamedTuple):
    """How well one kind of alert does."""

    faults: int
    found: int
    told: int
    right: int
    again: int = 0
    """Notifications of a cause that people had been told of."""

    @property
    def recall(self) -> float:
        """Share of the faults that were found; a kind that never happens scores nothing."""
        return self.found / self.faults if self.faults else 0.0

    @property
    def precision(self) -> float:
        """Share of the notifications that were right."""
        return self.right / self.told if self.told else 0.0

    def plus(self, other: "Score") -> "Score":
        """Both together."""
        return Score(*(one + two for one, two in zip(self, other, strict=True)))


class Verdict(NamedTuple):
    """What came of one seed."""

    seed: int
    devices: int
    cpu_seconds: float
    scores: dict[str, Score]
    doubtful: dict[str, int]
    """Notifications "check the sensor", by rule."""
    why: list[str]
    """What was missed and what was told without reason, in words."""


class Standing(NamedTuple):
    """An alert from its firing until it was over."""

    rule: str
    place: str
    start: int
    """[ns UTC]"""
    stop: int


def truth(made: Fleet, room: Analytics, days: int) -> list[Planted]:
    """Everything that alerts have to find, and what must not raise any."""
    stop = START + days * 86400
    faults = list(planted(made, room, START, stop))
    faults = joined(hidden(fault, faults, room.tables.registry) for fault in faults)
    of_the_world = threshold_truth(made, room, START, stop)
    return faults + air_truth(made, START, stop) + [unheard(fault, faults) for fault in of_the_world]


def standing(changes: Iterable[AlertChange]) -> list[Standing]:
    """When alerts stood; those that never ended stand for ever."""
    begun: dict[str, AlertChange] = {}
    found: list[Standing] = []
    for change in changes:
        if change.state is AlertState.FIRING and not change.doubtful:
            begun.setdefault(change.id, change)
        elif change.state is AlertState.RESOLVED and change.id in begun:
            first = begun.pop(change.id)
            found.append(Standing(first.rule.code, first.place.name, first.at, change.at))
    return found + [Standing(one.rule.code, one.place.name, one.at, 2**62) for one in begun.values()]


def score(room: Analytics, changes: Sequence[AlertChange], faults: Sequence[Planted]) -> dict[str, Score]:
    """How well each kind does."""
    stood = standing(changes)
    notified = [c for c in changes if c.notify and not c.doubtful and c.state is AlertState.FIRING]
    scores: dict[str, Score] = {}
    right_ones: set[int] = set()
    for kind, rule in _kinds(notified, faults).items():
        own = [fault for fault in faults if fault.kind == kind]
        mine = [one for one in stood if one.rule == rule]
        found = sum(fault.visible and any(_stands(one, fault) for one in mine) for fault in own)
        told = [change for change in notified if change.rule.code == rule]
        seen: set[Planted] = set()
        again = 0
        for change in told:
            meant = {fault for fault in own if _meets(change, fault)}
            if meant - seen:
                right_ones.add(id(change))
            again += bool(meant) and not meant - seen
            seen |= meant
        right = sum(id(change) in right_ones for change in told)
        scores[kind] = Score(sum(fault.visible for fault in own), found, len(told), right, again)
    false = [change for change in notified if id(change) not in right_ones]
    registry = room.tables.registry
    for kind in QUIET:
        own = [fault for fault in faults if fault.kind == kind]
        quiet = sum(not any(_blames(change, fault, registry) for change in false) for fault in own)
        scores[kind] = Score(len(own), quiet, len(own), quiet)
    return scores


def _kinds(notified: Sequence[AlertChange], faults: Sequence[Planted]) -> dict[str, str]:
    """Planted kinds with their rules, and what the world did besides."""
    told = {change.rule.code for change in notified} - set(RULES.values())
    seen = {fault.kind for fault in faults if fault.visible} - set(RULES) - set(QUIET)
    return RULES | {code: code for code in sorted(told | seen)}


def _meets(change: AlertChange, fault: Planted) -> bool:
    slack = FALSE.get(fault.kind, 0.75) * HOUR
    return change.place.name == fault.place and fault.start <= change.at <= fault.stop + slack


def _stands(one: Standing, fault: Planted) -> bool:
    slack = FALSE.get(fault.kind, 0.75) * HOUR
    return one.place == fault.place and one.start <= fault.stop + slack and one.stop >= fault.start


def _blames(change: AlertChange, fault: Planted, registry: Registry) -> bool:
    return fault.place in (change.place.name, change.place.device) and fault.start <= change.at <= fault.stop + HOUR


def reasons(changes: Sequence[AlertChange], faults: Sequence[Planted]) -> list[str]:
    """Notifications that no fault explains, causes that were told more than once, and faults that were missed."""
    told = [c for c in changes if c.notify and c.state is AlertState.FIRING and not c.doubtful]
    kinds = {rule: kind for kind, rule in RULES.items()}
    own: dict[str, list[Planted]] = {}
    for fault in faults:
        own.setdefault(fault.kind, []).append(fault)
    lines, seen = [], set[Planted]()
    for change in told:
        kind = kinds.get(change.rule.code, change.rule.code)
        meant = {fault for fault in own.get(kind, ()) if _meets(change, fault)}
        if not meant - seen:
            word = "again" if meant else "false"
            lines.append(f"{word}: {change.id} at {_text(change.at)}, value {change.value:.4g}")
        seen |= meant
    stood = standing(changes)
    for fault in faults:
        rule = RULES.get(fault.kind, fault.kind)
        is_found = any(one.rule == rule and _stands(one, fault) for one in stood)
        if fault.visible and fault.kind not in QUIET and not is_found:
            lines.append(f"missed: {fault.kind} at {fault.place} {_text(fault.start)} to {_text(fault.stop)}")
    return lines


def verdict(seed: int, days: int, *, show: bool = False) -> Verdict:
    """Simulate a seed's months and score them."""
    begun = time.process_time()
    made = fleet(seed, days)
    room, changes = run(made, days, show=show)
    faults = truth(made, room, days)
    scores = score(room, changes, faults)
    doubtful = Counter(c.rule.code for c in changes if c.notify and c.doubtful and c.state is AlertState.FIRING)
    return Verdict(
        seed, made.size, time.process_time() - begun, scores, dict(sorted(doubtful.items())), reasons(changes, faults)
    )


def table(scores: dict[str, Score]) -> list[str]:
    """One line a kind; what is planted and below the bar is marked."""
    lines = [f"{'kind':20}{'faults':>8}{'found':>8}{'told':>8}{'right':>8}{'again':>8}{'precision':>11}{'recall':>8}"]
    for kind, one in scores.items():
        is_planted = kind in RULES or kind in QUIET
        recall = f"{one.recall:8.3f}" if one.faults or is_planted else "       -"
        precision = f"{one.precision:11.3f}" if one.told or is_planted else "          -"
        low = is_planted and min(one.recall, one.precision) < BAR
        lines.append(
            f"{kind:20}{one.faults:8}{one.found:8}{one.told:8}{one.right:8}{one.again:8}{precision}{recall}"
            + (f"  below {BAR}" if low else "")
        )
    told, right, again = (sum(one[place] for kind, one in scores.items() if kind not in QUIET) for place in (2, 3, 4))
    lines.append(
        f"notifications {told}: {right} causes told, {again} told again, {told - right - again} without a cause"
    )
    return lines


def main() -> None:
    """Print the table of each seed, and of all together; exit status 1 if a planted kind is below the bar."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--seed", type=int, default=1, help="the first seed; 1")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds, one after the other; 1")
    parser.add_argument("--days", type=int, default=30, help="simulated days of each; 30. A minute of CPU for 30")
    parser.add_argument("--processes", type=int, default=2, help="seeds that are simulated at once; 2")
    parser.add_argument("--why", action="store_true", help="name what was missed, and what was told without reason")
    options = parser.parse_args()
    if min(options.seeds, options.days, options.processes) < 1:
        parser.error("--seeds, --days and --processes start at 1")
    seeds = range(options.seed, options.seed + options.seeds)
    total: dict[str, Score] = {}
    for one in _verdicts(seeds, options.days, options.processes):
        lines = [f"seed {one.seed}, {options.days} days, {one.devices} devices, {one.cpu_seconds:.0f} s of CPU"]
        lines += table(one.scores) if len(seeds) == 1 else []
        lines += [f"check the sensor: {code} {count}" for code, count in one.doubtful.items()]
        sys.stdout.write("\n".join(lines + (one.why if options.why else [])) + "\n")
        sys.stdout.flush()
        for kind, score_ in one.scores.items():
            total[kind] = total.get(kind, Score(0, 0, 0, 0)).plus(score_)
    if len(seeds) > 1:
        sys.stdout.write("\n".join([f"seeds {seeds[0]} to {seeds[-1]} together", *table(total)]) + "\n")
    sys.exit(any(min(one.precision, one.recall) < BAR for kind, one in total.items() if kind in RULES or kind in QUIET))


def _verdicts(seeds: range, days: int, processes: int) -> Iterable[Verdict]:
    if len(seeds) == 1:
        yield verdict(seeds[0], days, show=sys.stderr.isatty())
        return
    with ProcessPoolExecutor(processes) as pool:
        found = pool.map(partial(verdict, days=days), seeds)
        yield from track(found, "simulating", total=len(seeds), disable=not sys.stderr.isatty())


def _text(at: int) -> str:
    moment = datetime.fromtimestamp(at / NS, datetime.fromisoformat("2026-01-01T00:00+07:00").tzinfo)
    return moment.isoformat(" ", "minutes")


if __name__ == "__main__":
    main()
