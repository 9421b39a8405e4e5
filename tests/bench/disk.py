"""``bytes_ratio_8000`` and ``bytes_ratio_50``: bytes written to disk per byte of line protocol; and what is kept."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from devices.fleet_store import open_fleet
from devices.profile import shipped_profiles
from gateway.line.journal import Journal
from gateway.line.pipeline import Limits, Pipeline
from gateway.line.state import State
from gateway.model import Batch
from tests.bench import stage
from tests.bench.figures import Size, Taken
from tests.bench.processes import Child, written_bytes
from tests.bench.province import Province
from tests.bench.sender import sender
from tests.bench.stage import DATABASE, Gateway, Influx
from tests.bench.starting import BATCH, uplinks_of
from tests.gateway_process import await_that

KEYS = ("bytes_ratio_8000", "bytes_ratio_50", "raw_bytes", "line_bytes", "stored_bytes")
SMALL_RATE, SMALL_DEVICES = 50, 5000
"""A commune."""
NO_RAW = "raw_days = 0"
RUNS = {"commit wait 0 ms": (0, NO_RAW), "commit wait 100 ms": (100, NO_RAW), "0 ms, with raw uplinks": (0, "")}
"""By part: commit wait [ms] and lines of ``[journal]``."""
LEAD_SECONDS = 1.0
"""The devices speak so long before the window begins and after it ends."""
SAMPLE = 2000
STORED_ROUNDS = 50
"""Points of each device of a commune for ``stored_bytes``."""
QUICK_TO_DISK = 'cache-snapshot-write-cold-duration = "1s"\ncompact-full-write-cold-duration = "2s"'


def measure(size: Size, work: Path) -> list[Taken]:
    """``write_bytes`` of ``/proc/<gateway>/io`` over a window, with journal, state and ledger, divided by the line
    protocol of the messages that were committed in it."""
    province, commune = Province(size.devices), Province(min(SMALL_DEVICES, size.devices), 1)
    line = line_bytes(province, work)
    seconds = size.disk_seconds
    large = {
        part: written
        for part, (wait, journal) in RUNS.items()
        for written in _run([(wait, journal)], province, work, size.rate, seconds)
    }
    # A commune is so little work that all three run at once.
    small = dict(zip(RUNS, _run(list(RUNS.values()), commune, work, SMALL_RATE, seconds), strict=True))
    return [
        Taken("bytes_ratio_8000", {part: [written / line] for part, written in large.items()}),
        Taken("bytes_ratio_50", {part: [written / line] for part, written in small.items()}),
        Taken.of("raw_bytes", raw_bytes(province, work)),
        Taken.of("line_bytes", line),
        Taken.of("stored_bytes", _stored_bytes(commune, work, size)),
    ]


def raw_bytes(province: Province, work: Path) -> float:
    """What a message's raw uplink takes in the journal, compressed with those of its commit."""
    uplinks = list(uplinks_of(province, SAMPLE))
    with closing(Journal(work / "raw.db", ["store"])) as journal:
        for first in range(0, SAMPLE, BATCH):
            journal.append(Batch(0, b"", 0, (), (), uplinks[first : first + BATCH]))
        with closing(sqlite3.connect(journal.path)) as database:
            (stored,) = database.execute("SELECT value FROM counter WHERE name = 'raw_bytes'").fetchone()
    for file in work.glob("raw.*"):
        file.unlink()
    return float(stored) / SAMPLE


def line_bytes(province: Province, work: Path) -> float:
    """Mean length of what a message becomes."""
    return sum(map(len, _bodies(province, work, SAMPLE))) / SAMPLE


def _bodies(province: Province, work: Path, count: int) -> Iterator[bytes]:
    registry = open_fleet(stage.fleet_file(work, province), shipped_profiles().values())
    pipeline = Pipeline(registry, State(registry), lambda names: list(range(1, len(names) + 1)), Limits())
    uplinks = list(uplinks_of(province, count))
    for first in range(0, count, SAMPLE):
        yield pipeline.process(uplinks[first : first + SAMPLE])[0].lines


def _run(runs: list[tuple[int, str]], province: Province, work: Path, rate: int, seconds: float) -> list[float]:
    """Bytes written for each message, of gateways that run at the same time, each with its own broker and store."""
    fleet = stage.fleet_file(work, province)
    count = int(rate * (seconds + 2 * LEAD_SECONDS))
    with ExitStack() as stack:
        gateways: list[Gateway] = []
        fields: list[Child] = []
        for wait, journal in runs:
            broker, store = stack.enter_context(stage.broker()), stack.enter_context(stage.influx(province))
            settings = f"commit_wait_ms = {wait}"
            stores = stage.to_influx(store)
            gateways.append(stack.enter_context(stage.gateway(broker, stores, fleet, settings, journal)))
            stage.warm_up(broker.port, province)
            fields.append(stack.enter_context(sender(stage.order(broker.port, province, 0, count, rate))))
        for field in fields:
            field.await_ready()
        for field in fields:
            field.go()
        time.sleep(LEAD_SECONDS)
        before = [_seen(gateway) for gateway in gateways]
        time.sleep(seconds)
        after = [_seen(gateway) for gateway in gateways]
        for field in fields:
            field.report()
    return [(b[0] - a[0]) / (b[1] - a[1]) for a, b in zip(before, after, strict=True)]


def _seen(gateway: Gateway) -> tuple[int, int]:
    """Bytes written and messages kept so far."""
    return written_bytes(gateway.process), gateway.totals()["kept"]


def _stored_bytes(commune: Province, work: Path, size: Size) -> float:
    """Bytes on InfluxDB's disk for one message, when all are compacted; devices report one round after another."""
    count = commune.devices * min(STORED_ROUNDS, size.messages // 1000 + 1)
    with stage.influx(data_extra=QUICK_TO_DISK) as store:
        for body in _bodies(commune, work, count):
            store.post(body)
        return await_that("InfluxDB has compacted", lambda: _compacted(store), stage.PATIENCE) / count


def _compacted(store: Influx) -> int:
    """Bytes of the data files; 0 while something is in the log, or in a shard that has several."""
    shards = [list(shard.glob("*.tsm")) for shard in (store.server.folder / "data" / DATABASE).glob("autogen/*/")]
    log = sum(path.stat().st_size for path in (store.server.folder / "wal").rglob("*.wal"))
    if log or any(len(files) != 1 for files in shards):
        return 0
    return sum(files[0].stat().st_size for files in shards)
