"""A commune's year in InfluxDB's own files below ``build/year``: made once, used as long as the lines are the same."""

import hashlib
import json
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from gateway.analytics.windows import DAY, HOUR
from tests.bench.figures import RESULTS
from tests.bench.shards import Week
from tests.bench.stage import DATABASE, PATIENCE, Influx, influx
from tests.bench.year import Commune, Kind
from tests.gateway_process import await_that
from tests.servers import Server, influxdb1, influxql

ROLLUPS = f"{DATABASE}_rollup"
FOLDER = RESULTS.with_name("year")
ABOUT = "about.json"
WEEK, MONDAY = 7 * DAY, 4 * DAY
"""What one shard holds, and the first Monday, with which a shard begins [ns after 1970]."""
HOURS_AT_ONCE = 72
"""Of what only few devices say."""
FILLING = """
  cache-max-memory-size = "4g"
  cache-snapshot-memory-size = "400m"
  cache-snapshot-write-cold-duration = "3s"
  compact-full-write-cold-duration = "10s"
[coordinator]
  write-timeout = "600s"
"""
"""Files of a year come to rest within seconds; how it is shipped, within hours."""


class Filled(NamedTuple):
    """A running InfluxDB with a year in it."""

    store: Influx
    now: int
    """When the year is over [ns UTC]."""
    made_seconds: float
    """0 if it was there."""


@contextmanager
def filled(lamps: int, weeks: int, work: Path) -> Iterator[Filled]:
    """InfluxDB as it is shipped, with so many weeks of a commune of so many lamps; its fleet goes to ``work``."""
    commune = Commune(lamps, work)
    kinds = (commune.sums(), commune.daily_sums(), commune.ledger(), commune.energy(), commune.states())
    about = {"lamps": lamps, "weeks": weeks, "lines": _digest([*kinds, commune.readings()], commune.few(0))}
    began = time.monotonic()
    found = _about()
    is_new = {key: found.get(key) for key in about} != about
    if is_new:
        end = (time.time_ns() - MONDAY) // WEEK * WEEK + MONDAY
        _make(commune, kinds, end, weeks)
        (FOLDER / ABOUT).write_text(json.dumps(about | {"end": end}), "utf-8")
    with influx(kept=FOLDER) as store:
        yield Filled(store, int(_about()["end"]), time.monotonic() - began if is_new else 0.0)


def _about() -> dict[str, int | str]:
    path = FOLDER / ABOUT
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def _digest(kinds: Iterable[Kind], few: bytes) -> str:
    found = hashlib.sha256(few)
    for kind in kinds:
        found.update("\n".join(kind.variants[0]).encode())
    return found.hexdigest()


def _make(commune: Commune, kinds: Iterable[Kind], end: int, weeks: int) -> None:
    """One week of everything that every device has, copied to the other weeks; then what few devices say, week by week,
    and the readings of the last one."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    starts = [end - number * WEEK for number in range(1, weeks + 1)]
    with influxdb1(data_extra=FILLING, kept=FOLDER) as server:
        store = Influx(server)
        for database in (DATABASE, ROLLUPS):
            influxql(server, f"CREATE DATABASE {database}")
        for kind in kinds:
            _tell(f"a week of {kind.variants[0][0].partition(',')[0]} and the like")
            _post(store, kind.bodies(starts[0], end), kind.rolled)
        line = commune.energy().variants[0][0]
        for start in starts[1:]:
            # A shard exists when something was written to it.
            for rolled in (True, False):
                _post(store, [f"{line} {start}".encode()], rolled)
        _await_rest(FOLDER)
        shards = _shards(server)
    for database in (DATABASE, ROLLUPS):
        _tell(f"{weeks - 1} more weeks of {database}")
        week = Week(shards[database, starts[0]])
        for start in starts[1:]:
            week.copy(shards[database, start], start - starts[0])
    shutil.rmtree(FOLDER / "wal")
    with influxdb1(data_extra=FILLING, kept=FOLDER) as server:
        store, readings = Influx(server), commune.readings()
        _tell("a week of readings")
        _post(store, readings.bodies(starts[0], end), readings.rolled)
        _tell("alerts, indices and the gateway's own")
        hours = range(starts[-1] // HOUR, end // HOUR)
        _post(
            store,
            (b"".join(map(commune.few, hours[n : n + HOURS_AT_ONCE])) for n in range(0, len(hours), HOURS_AT_ONCE)),
            False,
        )
        _await_rest(FOLDER)


def _post(store: Influx, bodies: Iterable[bytes], rolled: bool) -> None:
    """While InfluxDB takes one body, the next are made."""
    database = ROLLUPS if rolled else DATABASE
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(2) as pool:
        for body in bodies:
            waiting.append(pool.submit(store.post, body, database))
            if len(waiting) > 4:
                waiting.popleft().result()
        for one in waiting:
            one.result()


def _await_rest(folder: Path) -> None:
    """Return when everything is in files that need no more compaction."""

    def is_at_rest() -> bool:
        time.sleep(1.0)
        logged = sum(path.stat().st_size for path in (folder / "wal").rglob("*.wal"))
        shards = [path.parent for path in (folder / "data").rglob("*.tsm*")]
        return logged == 0 and len(set(shards)) == len(shards)

    _tell("until InfluxDB has put its files in order")
    await_that("InfluxDB's files are in order", is_at_rest, 3 * PATIENCE)


def _shards(server: Server) -> dict[tuple[str, int], Path]:
    """The folder of each shard, by database and start [ns UTC]."""
    found = {}
    for series in json.loads(influxql(server, "SHOW SHARDS"))["results"][0]["series"]:
        for values in series.get("values", ()):
            row = dict(zip(series["columns"], values, strict=True))
            start = int(datetime.fromisoformat(row["start_time"]).timestamp()) * 1_000_000_000
            folder = Path(row["database"], row["retention_policy"], str(row["id"]))
            found[row["database"], start] = FOLDER / "data" / folder
    return found


def _tell(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} year: {text}\n")
