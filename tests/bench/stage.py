"""Broker, InfluxDB and gateway put together for one benchmark, and what is asked of them meanwhile."""

import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import urllib3

from tests.bench.processes import cpu_seconds
from tests.bench.province import PROPERTIES, Province, name
from tests.bench.sender import Order, sender
from tests.gateway_process import GatewayProcess, await_that, influx_store
from tests.servers import Server, influxdb1, influxql, mosquitto

DATABASE = "village"
BROKER = "max_inflight_messages 1000\nmax_queued_messages 0\nsys_interval 10"
PATIENCE = 600.0
"""Longest wait for anything [s]; a benchmark that hangs ends."""
ROOT_FOLDER = Path(__file__).parents[2]
LEDGER_PAUSE = 0.05
"""Between two looks at the ledger [s]: asking costs the gateway some milliseconds."""
IDLE_SECONDS, IDLE_SHARE = 1.0, 0.05
"""A process that used less of a core for so long is idle."""
WARM_UP = 2000
"""Messages before the clock starts: connections, templates and the journal's list of senders exist then."""


def process_of(server: Server) -> int:
    """Process id of a running server."""
    assert server.process is not None
    return server.process.pid


class Gateway(GatewayProcess):
    """``village run`` whose process can be looked at."""

    module = "gateway"
    """What is run; ``tests.bench.line_alone`` is the same without analytics."""

    def start(self) -> Self:
        """Start and return when the API answers."""
        # A service compiles its modules when it is installed, not at each start.
        left_out = ("GATEWAY_", "PYTHONDONTWRITEBYTECODE")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
        command = [sys.executable, "-m", self.module, "run", "--config", str(self.config)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=ROOT_FOLDER)
        await_that("the gateway's API answers", self._answers, PATIENCE)
        return self

    @property
    def process(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def await_connected(self) -> None:
        """Return when it takes messages."""
        await_that("the gateway has its broker", self._is_connected, PATIENCE)

    def _is_connected(self) -> bool:
        parts = {part["part"]: part["state"] for part in self.ask("/health")["parts"]}
        return bool(parts["broker"] == "ok")


class Influx:
    """An InfluxDB 1.6.7 and the number of points it has stored, asked for next to nothing."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.http = urllib3.PoolManager(maxsize=2, retries=False)

    def create(self) -> None:
        """Make the database."""
        influxql(self.server, f"CREATE DATABASE {DATABASE}")

    def post(self, body: bytes, database: str = DATABASE) -> None:
        """Write one body."""
        url = f"{self.server.url}/write?db={database}"
        answer = self.http.request("POST", url, body=body)
        if answer.status != 204:
            raise RuntimeError(f"InfluxDB answers {answer.status}: {answer.data[:300]!r}")

    def warm(self, province: Province) -> None:
        """Every series exists, as it does on the second day: making an index entry costs more than a point."""
        at = time.time_ns() - 60_000_000_000
        fields = ",".join(f"{name}=1" for name in PROPERTIES)
        lines = [
            f"streetlight,commune={province.commune(device)},device={name(device)} {fields},quality=1,clock=0 {at}\n"
            for device in range(province.devices)
        ]
        for first in range(0, len(lines), 5000):
            self.post("".join(lines[first : first + 5000]).encode())

    def stored(self) -> int:
        """Points written to the database since the server started, rewritten ones and those of alerts too."""
        variables = json.loads(self.http.request("GET", f"{self.server.url}/debug/vars").data)
        shards = [part for name, part in variables.items() if name.startswith("shard:")]
        return sum(int(s["values"]["writePointsOk"]) for s in shards if s["tags"]["database"] == DATABASE)

    def await_stored(self, count: int) -> float:
        """When the server had so many points (``time.monotonic``)."""
        await_that(f"{count} points are stored", lambda: self.stored() >= count, PATIENCE)
        return time.monotonic()

    def count(self, since_ms: int) -> int:
        """Different points with a time from then on; slow, for afterwards."""
        query = f"SELECT count(power) FROM streetlight WHERE time >= {since_ms}ms"
        series = self.ask(query).get("series")
        return int(series[0]["values"][0][1]) if series else 0

    def ask(self, query: str, database: str = DATABASE) -> Any:
        """The result of one statement."""
        answer = self.http.request(
            "GET", f"{self.server.url}/query", fields={"db": database, "q": query, "epoch": "ns"}, timeout=120.0
        )
        return json.loads(answer.data)["results"][0]


def shipped_data() -> str:
    """What ``deploy/influxdb.conf`` says of ``[data]`` beside what the tests' own configuration says.

    But for the most it may hold: backlogs are drained here far faster than the gateway's limit allows.
    """
    shipped = tomllib.loads((ROOT_FOLDER / "deploy" / "influxdb.conf").read_text("utf-8"))["data"]
    own = {"dir", "wal-dir", "index-version", "query-log-enabled", "cache-max-memory-size"}
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in shipped.items() if key not in own)


@contextmanager
def influx(province: Province | None = None, data_extra: str = "", kept: Path | None = None) -> Iterator[Influx]:
    """A running InfluxDB as it is shipped; with a province, its series exist; in a folder that is kept, or without."""
    with influxdb1(data_extra=f"{shipped_data()}\n{data_extra}", kept=kept) as server:
        store = Influx(server)
        store.create()
        if province is not None:
            store.warm(province)
        yield store


@contextmanager
def broker() -> Iterator[Server]:
    """A fresh broker with the queues every benchmark uses."""
    with mosquitto(BROKER) as server:
        yield server


def fleet_file(work: Path, province: Province) -> Path:
    """The province's fleet database, made once for all benchmarks of a run."""
    path = work / f"fleet-{province.devices}-{province.communes}.db"
    if not path.exists():
        province.write_fleet(path)
    return path


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as path:
        yield Path(path)


def make_gateway(place: Path, port: int, stores: str, fleet: Path, settings: str = "", journal: str = "") -> Gateway:
    """A gateway that is not started yet, with everything on that is on by default.

    Args:
        place: folder of its configuration and data.
        port: the broker's.
        stores: sections ``[[store]]``.
        fleet: fleet database.
        settings: more lines of ``[gateway]``.
        journal: lines of ``[journal]``.
    """
    return Gateway(place, port, f"[journal]\n{journal}\n{stores}", gateway=f'fleet = "{fleet}"\n{settings}')


@contextmanager
def gateway(
    broker: Server, stores: str, fleet: Path, settings: str = "", journal: str = "", module: str = Gateway.module
) -> Iterator[Gateway]:
    """A running gateway without a past, connected to its broker; see ``make_gateway`` and ``Gateway.module``."""
    with folder() as place:
        process = make_gateway(place, broker.port, stores, fleet, settings, journal)
        process.module = module
        with process:
            process.await_connected()
            yield process


def to_influx(store: Influx, more: str = "") -> str:
    """Settings of this InfluxDB as the gateway's store."""
    return f"{influx_store(store.server, DATABASE)}{more}\n"


def order(port: int, province: Province, first: int, count: int, rate: float = 0.0, probe: int = 0) -> Order:
    """Messages from now on."""
    return Order(port, province.devices, province.communes, first, count, int(time.time() * 1000), rate, probe)


def warm_up(port: int, province: Province, count: int = WARM_UP) -> None:
    """Some messages before the clock starts."""
    with sender(order(port, province, 0, count)).await_ready() as field:
        field.go()
        field.report()


def await_idle(process: int) -> None:
    """Return when it has nothing to do: InfluxDB rewrites its files for a while after a run, and the next would pay."""

    def idle() -> bool:
        before = cpu_seconds(process)
        time.sleep(IDLE_SECONDS)
        return cpu_seconds(process) - before < IDLE_SHARE * IDLE_SECONDS

    await_that("InfluxDB has nothing to do", idle, PATIENCE)


class Progress(NamedTuple):
    """How far a gateway is."""

    received: int
    """Uplinks."""
    waiting: int
    """Lines that its store does not have yet."""
    ledger: dict[str, Any]


def progress(process: Gateway) -> Progress:
    """By its ledger, of its only store."""
    ledger: dict[str, Any] = process.ask("/ledger")
    (store,) = ledger["lines"]["stores"]
    return Progress(ledger["totals"]["received"], store["waiting"], ledger)


def await_delivered(process: Gateway, received: int) -> float:
    """When it had so many uplinks and nothing of them waited any more (``time.monotonic``).

    The gateway's own lines (states of devices, alerts) are stored meanwhile, so that counting points tells too soon.
    """

    def done() -> bool:
        time.sleep(LEDGER_PAUSE)
        now = progress(process)
        return now.received >= received and now.waiting == 0

    await_that(f"{received} uplinks are stored", done, PATIENCE)
    return time.monotonic()


def await_settled(process: Gateway) -> dict[str, Any]:
    """Return the ledger when nothing waits and its sums hold."""

    def settled() -> dict[str, Any] | None:
        now = progress(process)
        return now.ledger if now.waiting == 0 and now.ledger["holds"] else None

    found = await_that("nothing waits", settled, PATIENCE)
    assert found is not None
    return found


def check_count(store: Influx, order: Order) -> None:
    """InfluxDB has each of these messages as a point of its own."""
    counted = store.count(order.start_ms)
    assert counted == order.messages, f"{order.messages} messages were sent, InfluxDB has {counted} points"
