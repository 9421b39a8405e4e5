"""A CSV taken into the fleet database: all of it or nothing, and told before it is done."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from devices.fleet_csv import MAX_PROBLEMS, FleetError, Problem, read_rows
from devices.fleet_row import check_against_profile
from devices.fleet_store import Change, FleetStore
from devices.profile import Profile
from devices.registry import MOST_PLACES

MOST_NAMED = 1000
"""Changes that are named one by one; the others are counted. Chosen."""
_REPORT_EVERY = 500


class Imported(NamedTuple):
    """What an import changed, or would change."""

    added: int
    changed: int
    removed: int
    same: int
    changes: tuple[Change, ...]
    """The first of them, in the order of the file."""


def import_rows(
    store: FleetStore,
    path: Path,
    profiles: Mapping[str, Profile],
    at: int,
    *,
    prune: bool = False,
    apply: bool = False,
    report: Callable[[int], None] = lambda _line: None,
) -> Imported:
    """Make the fleet as the file says.

    Args:
        store: opened to write.
        path: CSV as ``load_fleet`` reads it.
        profiles: what a row may name, by id.
        at: for the history [ns UTC].
        prune: also remove every device the file does not name.
        apply: without it, everything is tried and nothing is changed.
        report: told the line now and then.

    Raises:
        FleetError: a bad row; nothing was changed.
    """
    with store.changing(commit=apply):
        return _import(store, path, profiles, at, prune=prune, report=report)


def _import(
    store: FleetStore,
    path: Path,
    profiles: Mapping[str, Profile],
    at: int,
    *,
    prune: bool,
    report: Callable[[int], None],
) -> Imported:
    counts = {"added": 0, "changed": 0, "removed": 0}
    changes: list[Change] = []
    problems: list[Problem] = []
    line_of: dict[str, int] = {}

    def note(change: Change | None) -> None:
        if change is not None:
            counts[change.what] += 1
            if len(changes) < MOST_NAMED:
                changes.append(change)

    for line, row in read_rows(path, problems):
        if row.device in line_of:
            problems.append(Problem(line, "device", f"{row.device!r} is on line {line_of[row.device]} already"))
            continue
        line_of[row.device] = line
        try:
            check_against_profile(row, profiles.get(row.profile))
        except ValueError as error:
            column, _, text = str(error).partition(": ")
            problems.append(Problem(line, column, text))
            continue
        note(store.put(row, at))
        if line % _REPORT_EVERY == 0:
            report(line)
    if prune and not problems:
        for device in sorted(store.names().difference(line_of)):
            note(store.remove(device, at))
    problems += _misfits(store, line_of)
    if problems:
        if len(problems) >= MAX_PROBLEMS:
            problems[MAX_PROBLEMS:] = [Problem(0, "", f"stopped after {MAX_PROBLEMS} problems; mend these first")]
        raise FleetError(path, problems)
    same = len(line_of) - counts["added"] - counts["changed"]
    return Imported(**counts, same=same, changes=tuple(changes))


def _misfits(store: FleetStore, line_of: Mapping[str, int]) -> list[Problem]:
    """What is wrong with the fleet as a whole, at the line that made it so."""
    found = [
        Problem(line_of.get(two) or line_of.get(one, 0), "hardware_ids", f"{value!r} already speaks for {other!r}")
        for value, one, two in store.clashes(MAX_PROBLEMS)
        for other in (one if two in line_of else two,)
    ]
    if store.most_places() > MOST_PLACES:
        found.append(Problem(0, "commune", f"more than {MOST_PLACES:,} communes or zones; check the column"))
    return sorted(found)
