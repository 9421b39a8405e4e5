"""Accepted uplinks decoded again with a mended profile or calibration: their points are overwritten, none is added."""

import json
import re
import secrets
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Protocol

from devices.fleet_row import FleetRow
from devices.observation import RefusedError
from devices.registry import Device, Registry
from gateway.line.line_protocol import read_back, with_all_flags
from gateway.line.loop import Line
from gateway.line.normalize import watched
from gateway.line.pipeline import Pipeline
from gateway.line.raw_uplinks import unpack_raw
from gateway.line.replay import COMMIT_SECONDS, reading
from gateway.line.state import State
from gateway.model import Batch, Outcome, Uplink

MOST_DEVICES = 5000
"""In one job. Chosen: more are more jobs."""
CHUNK = 500
"""Uplinks in one commit: fresh ones wait for at most one chunk. Chosen."""
CHUNK_BYTES = 32 << 20
"""Raw uplinks read for one chunk, where few of them are wanted. Chosen."""
LEAD_INTERVALS = 3
LEAD_AT_LEAST = 3_600_000_000_000
"""How far before the span uplinks are read so that its first values are judged by what came before them; and how far
behind it, because what follows was judged by what is mended. Chosen: an hour, or some intervals of a slow device."""

Touched = Callable[[int, int, int, int], None]
"""Told in the line's thread that a device's readings changed: its index, from when, until when (excluded), and when
they were committed [ns UTC]. Who keeps sums over them reads them anew once they are stored."""


class Wanted(NamedTuple):
    """Whose uplinks to decode again."""

    devices: tuple[str, ...]
    since: int
    """Received at or after [ns UTC]."""
    until: int
    """Received before [ns UTC]."""


class Progress(NamedTuple):
    """Where a job is, since it began."""

    done: bool
    passed: int
    """Raw rows that were read."""
    total: int
    """Raw rows there are to read."""
    uplinks: int
    """Decoded again, and written."""
    lines: int
    refused: int
    """Cannot be read as the profile is now: their points stay as they were."""
    damaged: int
    """Raw rows that cannot be read from the disk."""
    waiting: int
    """Lines that stores must have before the job can begin: it must not be overtaken by what it overwrites."""


_SUMS = ("passed", "uplinks", "lines", "refused", "damaged")


class UnknownJobError(Exception):
    """No such job, or the fleet has changed under it: begin again."""


class CanRedecode(Protocol):
    """What decodes again in steps: the line of this process, or another one's over the network."""

    def begin(self, wanted: Wanted) -> tuple[str, int]:
        """Plan a job; returns its token and how many raw rows it will read."""
        ...

    def step(self, token: str) -> Progress:
        """Decode the next uplinks; see ``Redecoder.step``."""
        ...


@dataclass
class _Job:
    registry: Registry
    """The whole fleet; only the line may change it, and then the job is over."""
    pipeline: Pipeline
    """Of the devices at hand only, with a state of its own."""
    wanted: Wanted
    lead: int
    newest: int
    """Journal row that was newest when the job began."""
    total: int
    after: int = 0
    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_SUMS, 0))
    done: bool = False


class Redecoder:
    """Decodes beside the line's thread and commits through it. One job at a time; a new one ends the one before."""

    def __init__(self, line: Line, journal: Path, touched: Touched = lambda *_: None) -> None:
        self._line, self._path, self._touched = line, journal, touched
        self._lock = threading.Lock()
        self._token = ""
        self._job: _Job | None = None

    def begin(self, wanted: Wanted) -> tuple[str, int]:
        """Plan a job; returns its token and how many raw rows it will read. From any thread.

        Raises:
            ValueError: a device that is not in the fleet.
        """
        line = self._line
        registry = line.pipeline.registry
        own = _only(registry, wanted.devices)
        intervals = [own.interval[device] for device in range(len(own))]
        lead = max(LEAD_AT_LEAST, LEAD_INTERVALS * max(intervals, default=0) * 1_000_000_000, _memory(own))
        pipeline = Pipeline(own, State(own), lambda names: list(range(len(names))), line.pipeline.limits)
        with self._lock, reading(self._path) as reader:
            query = f"SELECT count(*) FROM raw WHERE {_WHERE}"
            (total,) = reader.execute(query, (0, wanted.since - lead, wanted.until + lead)).fetchone()
            self._job = _Job(registry, pipeline, wanted, lead, line.journal.rows.newest(), total)
            self._token = secrets.token_hex(8)
            return self._token, total

    def step(self, token: str) -> Progress:
        """Decode the next uplinks; returns when they are on disk. From any thread.

        Raises:
            UnknownJobError: begin again.
            TimeoutError: the line has no room, or is stopping.
        """
        with self._lock:
            job = self._job
            if job is None or not secrets.compare_digest(token, self._token):
                raise UnknownJobError("another job has begun since, or the gateway was started anew; begin again")
            if not job.done:
                with reading(self._path) as reader:
                    waiting = 0 if job.after else self._waiting(reader, job.newest)
                    if waiting:
                        return Progress(done=False, total=job.total, waiting=waiting, **job.sums)
                    uplinks = self._read(reader, job)
                # A step that fails has read on already: its job cannot be gone on with.
                self._job = None
                self._redo(job, uplinks)
                self._job = job
            return Progress(done=job.done, total=job.total, waiting=0, **job.sums)

    def _waiting(self, reader: sqlite3.Connection, through: int) -> int:
        query = (
            "SELECT coalesce(sum(line_count), 0) FROM waiting JOIN batch ON batch.id = waiting.batch"
            " WHERE waiting.batch <= ? AND waiting.store IN (SELECT value FROM json_each(?))"
        )
        stores = json.dumps(self._line.journal.rows.store_numbers)
        return int(reader.execute(query, (through, stores)).fetchone()[0])

    def _read(self, reader: sqlite3.Connection, job: _Job) -> list[Uplink]:
        """The next uplinks of the wanted devices, in the order they were accepted."""
        since, until = job.wanted.since - job.lead, job.wanted.until + job.lead
        mentions = _mentions(job.pipeline.registry)
        found: list[Uplink] = []
        size = 0
        rows = reader.execute(f"SELECT id, body FROM raw WHERE {_WHERE} ORDER BY id", (job.after, since, until))
        for number, packed in rows:
            job.after = number
            job.sums["passed"] += 1
            try:
                body = zlib.decompress(packed)
            except zlib.error:
                job.sums["damaged"] += 1
                continue
            size += len(body)
            if mentions(body):
                found += [uplink for uplink in unpack_raw(body) if since <= uplink.received_at < until]
            if len(found) >= CHUNK or size > CHUNK_BYTES:
                return [uplink for uplink in found if _is_wanted(job, uplink)]
        job.done = True
        return [uplink for uplink in found if _is_wanted(job, uplink)]

    def _redo(self, job: _Job, uplinks: Sequence[Uplink]) -> None:
        parts: list[str] = []
        lines = 0
        for is_lead, group in groupby(uplinks, key=lambda uplink: uplink.received_at < job.wanted.since):
            batch, _ = job.pipeline.process(list(group))
            if is_lead:
                continue
            parts.append(with_all_flags(batch.lines.decode()))
            lines += batch.line_count
            outcomes = [entry.outcome for entry in batch.heard]
            job.sums["uplinks"] += outcomes.count(Outcome.KEPT)
            job.sums["refused"] += outcomes.count(Outcome.REFUSED)
        if lines:
            job.sums["lines"] += lines
            text = "".join(parts).encode()
            self._line.submit(lambda: self._commit(job, Batch(0, text, lines, (), (), ()))).result(COMMIT_SECONDS)

    def _commit(self, job: _Job, batch: Batch) -> None:
        """In the line's thread."""
        if self._line.pipeline.registry is not job.registry:
            raise UnknownJobError("the fleet was read anew meanwhile; begin again")
        if not self._line.commit(batch):
            raise TimeoutError("the gateway is stopping; begin again when it runs")
        _renew_latest(self._line.pipeline.state, job.pipeline.state)
        now = time.time_ns()
        for device, (first, last) in _spans(batch.lines).items():
            self._touched(job.registry.index[device], first, last + 1, now)


_WHERE = "id > ? AND last_at >= ? AND first_at < ?"


def _only(registry: Registry, devices: Iterable[str]) -> Registry:
    """The same fleet with these devices only: what the line keeps of it is small then."""
    own = Registry(registry.profiles, registry.sources[1:])
    for name in dict.fromkeys(devices):
        device = registry.index.get(name)
        if device is None:
            raise ValueError(f"no device {name!r} in the fleet; see `village devices list`")
        own.add(_row(registry.device(device)))
    return own


def _row(device: Device) -> FleetRow:
    return FleetRow(
        device=device.name, profile=device.profile.id, commune=device.commune, hardware_ids=device.hardware_ids,
        interval_seconds=device.interval_seconds, timezone=str(device.zone_info), simulated=device.simulated,
        calibration=device.calibration,
    )  # fmt: skip


def _memory(own: Registry) -> int:
    """How far back the flat-line test looks [ns]."""
    counts = [
        own.interval[device] * (1 + max((entry.flat_after for entry in own.profile(device).properties), default=0))
        for device in range(len(own))
    ]
    return max(counts, default=0) * 1_000_000_000


def _mentions(own: Registry) -> Callable[[bytes], bool]:
    """A quick test that most raw rows fail: whether any of the names can be in there at all."""
    names = {name for device, name in enumerate(own.names)}
    names |= {hardware.value for device in range(len(own)) for hardware in own.hardware_ids(device)}
    if not all(name.isascii() for name in names):
        return lambda _body: True  # bytes can be compared without regard to case in ASCII only
    pattern = re.compile(b"|".join(re.escape(name.encode()) for name in sorted(names)), re.IGNORECASE)
    return lambda body: pattern.search(body) is not None


def _is_wanted(job: _Job, uplink: Uplink) -> bool:
    """Whether the whole fleet says that one of the devices sent it."""
    try:
        found = job.registry.find(uplink.topic, uplink.received_at)
    except RefusedError:
        return False
    return job.registry.names[found.device] in job.pipeline.registry.index


def _renew_latest(hot: State, again: State) -> None:
    """Where a device's newest value is one that was decoded again, it is what people see from now on."""
    for own, name in enumerate(again.registry.names):
        device = hot.registry.index[name]
        first, own_first = hot.registry.first_series[device], again.registry.first_series[own]
        profile = again.registry.profile(own)
        rows = {name: row for row, name in enumerate(watched(profile))}
        for position, entry in enumerate(profile.properties):
            series, mended = first + position, own_first + position
            if again.quality[mended] and again.time[mended] == hot.time[series]:
                hot.value[series], hot.quality[series] = again.value[mended], again.quality[mended]
                if entry.name in rows:  # only of these more than the latest value is known
                    row, own_row = hot.watch[device] + rows[entry.name], again.watch[own] + rows[entry.name]
                    hot.before[row], hot.run[row] = again.before[own_row], again.run[own_row]
                hot.stamp[device] = hot.version + 1
    hot.version += 1


def _spans(lines: bytes) -> dict[str, tuple[int, int]]:
    """First and last time of each device."""
    spans: dict[str, tuple[int, int]] = {}
    for line in read_back(lines):
        first, last = spans.get(line.device, (line.at, line.at))
        spans[line.device] = min(first, line.at), max(last, line.at)
    return spans
