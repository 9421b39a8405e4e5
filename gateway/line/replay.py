"""Refused uplinks through the line again: what a mended fleet or profile can use is stored with its original times."""

import json
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from devices.observation import Reason, RefusedError
from devices.registry import Registry
from gateway.line.ledger import HOUR
from gateway.line.loop import Line
from gateway.line.replayed import Replayed
from gateway.model import Outcome, Uplink

CHUNK = 500
"""Uplinks tried in one commit: fresh ones wait for at most one chunk. Chosen."""
CHUNK_BYTES = 8 << 20
SCAN = 5000
"""Rows looked at for one chunk, where few of them are wanted. Chosen."""
COMMIT_SECONDS = 60.0


class Wanted(NamedTuple):
    """Which refused uplinks to try again; the default is all of them."""

    since: int = 0
    """Received at or after [ns UTC]."""
    until: int = 2**63 - 1
    """Received before [ns UTC]."""
    reason: Reason | None = None
    device: str = ""
    """Only what belongs to this device, or does now that the fleet knows it; empty for all."""
    ids: tuple[int, ...] = ()
    """Only these rows; empty for all."""


class Step(NamedTuple):
    """What one chunk came to."""

    through: int
    """Row to go on after; 0 when there is nothing left."""
    kept: int = 0
    repeated: int = 0
    refused: int = 0
    """Again, perhaps for another reason."""
    cut: int = 0
    """Too long to have been kept whole, or damaged on the disk: they cannot be tried again."""
    passed: int = 0
    """Rows looked at, wanted or not; for progress."""


_WHERE = (
    "id > ? AND replayed_at IS NULL AND received_at >= ? AND received_at < ? AND (? IS NULL OR reason = ?)"
    " AND (? = '[]' OR id IN (SELECT value FROM json_each(?)))"
)


def _bound(wanted: Wanted, after: int) -> tuple[object, ...]:
    ids = json.dumps(wanted.ids)
    return after, wanted.since, wanted.until, wanted.reason, wanted.reason, ids, ids


class CanReplay(Protocol):
    """What replays in steps: the line of this process, or another one's over the network."""

    def count(self, wanted: Wanted) -> int:
        """How many rows a replay will look at."""
        ...

    def step(self, wanted: Wanted, after: int = 0) -> Step:
        """Try the next of them; see ``Replayer.step``."""
        ...


class _Chosen(NamedTuple):
    """Rows of one chunk."""

    ids: list[int]
    cut: int
    passed: int
    through: int


class _Row(NamedTuple):
    id: int
    device: str
    """As it was known when it was refused; else empty."""
    uplink: Uplink


class Replayer:
    """Takes refused uplinks through the running line, chunk by chunk."""

    def __init__(self, line: Line, journal: Path) -> None:
        self._line, self._path = line, journal

    def count(self, wanted: Wanted) -> int:
        """How many rows a replay will look at. From any thread."""
        with reading(self._path) as reader:
            return int(reader.execute(f"SELECT count(*) FROM refused WHERE {_WHERE}", _bound(wanted, 0)).fetchone()[0])

    def step(self, wanted: Wanted, after: int = 0) -> Step:
        """Try the next of them; returns when what came of it is on disk. From any thread.

        Args:
            wanted: the same in every step.
            after: ``through`` of the step before; 0 begins.

        Raises:
            TimeoutError: the line has no room, or is stopping; the same step can be asked for again.
        """
        with reading(self._path) as reader:
            chosen = _choose(reader, self._line.pipeline.registry, wanted, after)
            rows = _read(reader, chosen.ids)
        counts = self._line.submit(lambda: self._take(rows)).result(COMMIT_SECONDS) if rows else (0, 0, 0)
        unreadable = len(chosen.ids) - len(rows)
        return Step(chosen.through, *counts, cut=chosen.cut + unreadable, passed=chosen.passed)

    def _take(self, rows: Sequence[_Row]) -> tuple[int, int, int]:
        """In the line's thread: nobody else can take the same rows meanwhile."""
        line = self._line
        left = line.journal.still_refused([row.id for row in rows])
        rows = [row for row in rows if row.id in left]
        batch, _ = line.pipeline.process([row.uplink for row in rows], replay=True)
        again = iter(batch.refused)
        replayed = []
        for row, entry in zip(rows, batch.heard, strict=True):
            hour, before = row.uplink.received_at // HOUR, self._counted_for(row)
            moved = Replayed(row.id, hour, before, entry.sender, entry.outcome)
            if entry.outcome is Outcome.REFUSED:
                refused = next(again)
                moved = moved._replace(device=refused.device, reason=refused.reason, detail=refused.detail)
            replayed.append(moved)
        # They were received, and their refusals kept, when they came; what they say is no news.
        judged = [reading._replace(old=True) for reading in batch.judged]
        if not line.commit(batch._replace(received=0, heard=(), refused=(), judged=judged), replayed=replayed):
            raise TimeoutError("the gateway is stopping; replay again when it runs")
        outcomes = [moved.outcome for moved in replayed]
        return outcomes.count(Outcome.KEPT), outcomes.count(Outcome.REPEATED), outcomes.count(Outcome.REFUSED)

    def _counted_for(self, row: _Row) -> int:
        if row.device:
            return self._line.journal.senders([row.device])[0]
        return self._line.pipeline.unknown_sender(row.uplink.topic)


@contextmanager
def reading(journal: Path) -> Iterator[sqlite3.Connection]:
    """The journal opened to be read; all queries see the same moment."""
    reader = sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=10)
    try:
        reader.execute("BEGIN")
        yield reader
    finally:
        reader.close()


def _choose(reader: sqlite3.Connection, registry: Registry, wanted: Wanted, after: int) -> _Chosen:
    query = (
        f"SELECT id, received_at, topic, device, truncated, size FROM refused WHERE {_WHERE} ORDER BY id LIMIT {SCAN}"
    )
    ids: list[int] = []
    cut = passed = last = total = 0
    for number, received_at, topic, device, truncated, size in reader.execute(query, _bound(wanted, after)):
        passed, last = passed + 1, number
        if wanted.device and wanted.device != (device or _owner(registry, topic, received_at)):
            continue
        if truncated:
            cut += 1
            continue
        ids.append(number)
        total += size
        if len(ids) == CHUNK or total > CHUNK_BYTES:
            return _Chosen(ids, cut, passed, last)
    return _Chosen(ids, cut, passed, last if passed == SCAN else 0)


def _owner(registry: Registry, topic: str, received_at: int) -> str:
    """The device that the fleet, as it is now, says sent this; empty if none."""
    try:
        return registry.names[registry.find(topic, received_at).device]
    except RefusedError:
        return ""


def _read(reader: sqlite3.Connection, ids: Sequence[int]) -> list[_Row]:
    query = (
        "SELECT id, device, topic, received_at, qos, retained, payload FROM refused"
        " WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
    )
    rows = []
    for number, device, topic, received_at, qos, retained, packed in reader.execute(query, (json.dumps(ids),)):
        try:
            payload = zlib.decompress(packed)
        except zlib.error:
            continue
        rows.append(_Row(number, device, Uplink(topic, payload, received_at, qos, bool(retained))))
    return rows
