"""Start-up: the saved state, mended with what the journal's rows say has happened since."""

from pathlib import Path

import structlog

from devices.quality import Clock
from gateway.line.journal import Journal
from gateway.line.line_protocol import Line, read_back
from gateway.line.normalize import OWN_CLOCK, effective_rate, watched
from gateway.line.pipeline import Pipeline
from gateway.line.quality import settle
from gateway.line.state import UNSURE, State

log = structlog.get_logger(__name__)


def recover(pipeline: Pipeline, journal: Journal, snapshot: Path) -> None:
    """Fill the pipeline's state. After kill -9 it is as if the process had gone on, up to the last commit."""
    state = pipeline.state
    through = state.restore(snapshot)
    if through > journal.rows.newest():
        through = 0  # a snapshot of a journal that is gone: everything in the present one came later
    rows = 0
    devices = pipeline.senders()
    for heard, lines in journal.heard_after(through):
        pipeline.recall(heard, devices)
        for line in read_back(lines):
            _take_line(state, line)
        rows += 1
    if rows:
        log.info("state mended from the journal", rows=rows, snapshot_row=through)


def _take_line(state: State, line: Line) -> None:
    registry = state.registry
    device = registry.index.get(line.device)
    if device is None:
        return
    if "clock" not in line.fields:
        return  # flags of a line that was judged again, which is no longer the latest
    clock = Clock(int(line.fields["clock"]))
    if clock in OWN_CLOCK:
        state.newest[device] = max(state.newest[device], line.at)
    elif clock is Clock.FUTURE:
        state.newest[device] = UNSURE
    worst = line.fields["quality"]
    taken = set()
    profile = registry.profile(device)
    rows = {name: state.watch[device] + number for number, name in enumerate(watched(profile))}
    for position, entry in enumerate(profile.properties):
        value = line.fields.get(entry.name)
        series = registry.first_series[device] + position
        if value is None or entry.name in taken:
            continue
        taken.add(entry.name)
        if line.at < state.time[series]:
            continue
        flag = int(line.fields.get(f"{entry.name}_quality", worst))
        rate, row = effective_rate(entry), rows.get(entry.name, -1)
        settle(value, line.at, flag, entry.flat_after, rate, state, series, row)
        if rate:
            state.line[row] = int(worst)
