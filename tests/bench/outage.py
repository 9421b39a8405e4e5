"""A province at full rate, then a long outage of its store: backlog slope, memory, and how fast the backlog drains."""

import shutil
import sqlite3
import statistics
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from gateway.northbound.sifting import MAX_BYTES, MAX_LINES
from tests.bench import stage
from tests.bench.figures import Size, Taken
from tests.bench.processes import peak_mb_of, resident_mb
from tests.bench.province import Province
from tests.bench.sender import sender
from tests.bench.stage import Gateway, Influx
from tests.gateway_process import await_that
from tests.servers import Server

KEYS = (
    "province_backlog_slope", "rss_mb", "backlog_rss_mb", "rss_peak_mb", "drain_ratio", "bare_drain_per_s",
    "drain_per_s",
)  # fmt: skip
SAMPLE_SECONDS = 0.25
FIRST_SHARE = 0.1
"""Of the time at full rate, left out of the slope: the queue to the store fills up to its normal length."""
NO_LIMIT = "backlog_lines_per_second = 1000000"
"""By default a backlog is sent at 20,000 lines a second at most, to spare the store; that is not what is asked."""


def measure(size: Size, work: Path) -> Iterator[Taken]:
    """One gateway lives through it; its backlog is then drained again and again from copies of its files."""
    province = Province(size.devices)
    fleet = stage.fleet_file(work, province)
    with stage.folder() as place, stage.broker() as broker:

        def gateway_in(folder: Path, store: Influx) -> Gateway:
            return stage.make_gateway(folder, broker.port, stage.to_influx(store, NO_LIMIT), fleet)

        with stage.influx(province) as store, gateway_in(place, store) as gateway:
            gateway.await_connected()
            stage.warm_up(broker.port, province)
            yield Taken.of("province_backlog_slope", _full_rate(gateway, store, broker, province, size))
            busy_mb = resident_mb(gateway.process)
            yield Taken.of("rss_mb", busy_mb)
            yield Taken.of("rss_peak_mb", peak_mb_of(gateway.process))
            _fill_backlog(gateway, store, broker, province, size.backlog)
            yield Taken.of("backlog_rss_mb", resident_mb(gateway.process) - busy_mb)
            gateway.stop()
        drains = _drain(place / "data", gateway_in, province, size)
    yield Taken.of("drain_ratio", *(bare / ours for bare, ours in drains))
    yield Taken.of("bare_drain_per_s", *(size.backlog / bare for bare, _ in drains))
    yield Taken.of("drain_per_s", *(size.backlog / ours for _, ours in drains))


def _full_rate(gateway: Gateway, store: Influx, broker: Server, province: Province, size: Size) -> float:
    """Growth of (due, and not stored) in messages a second while they are offered; in the end everything is stored."""
    count = int(size.rate * size.province_seconds)
    before = stage.progress(gateway).received
    order = stage.order(broker.port, province, 0, count, size.rate)
    samples: list[tuple[float, int]] = []
    with sender(order).await_ready() as field:
        field.go()
        first = time.monotonic()
        while (now := time.monotonic()) - first < size.province_seconds:
            at = stage.progress(gateway)
            samples.append((now, at.received - before - at.waiting))
            time.sleep(SAMPLE_SECONDS)
        began = field.report()["began"]
    stage.await_delivered(gateway, before + count)
    stage.await_settled(gateway)
    stage.check_count(store, order)
    steady = [sample for sample in samples if sample[0] - began > FIRST_SHARE * size.province_seconds]
    waiting = [(at - began) * size.rate - stored for at, stored in steady]
    return statistics.linear_regression([at for at, _ in steady], waiting).slope


def _fill_backlog(gateway: Gateway, store: Influx, broker: Server, province: Province, count: int) -> None:
    """The store goes away; so many points are taken in and wait."""
    kept = gateway.totals()["kept"]
    store.server.stop()
    with sender(stage.order(broker.port, province, kept, count)).await_ready() as field:
        field.go()
        field.report()
    await_that("the backlog is on disk", lambda: gateway.totals()["kept"] >= kept + count, stage.PATIENCE)


def _drain(
    data: Path, gateway_in: Callable[[Path, Influx], Gateway], province: Province, size: Size
) -> list[tuple[float, float]]:
    """Seconds of the bare client and of the gateway, in alternating pairs. Each has an InfluxDB of its own: the next
    would pay for rewriting what one has written."""
    bodies = list(_bodies(data / "journal.db"))

    def seconds(*, bare: bool) -> float:
        with stage.influx(province) as store:
            stage.await_idle(stage.process_of(store.server))
            return _post(store, bodies) if bare else _drain_once(data, gateway_in, store, size.backlog)

    pairs = []
    for pair in range(size.drains):
        ours = seconds(bare=False) if pair % 2 else 0.0
        pairs.append((seconds(bare=True), ours or seconds(bare=False)))
    return pairs


def _bodies(journal: Path) -> Iterator[bytes]:
    """What delivery would send: rows that wait, joined up to its limits."""
    with closing(sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True)) as database:
        rows = database.execute(
            "SELECT line_count, lines FROM waiting JOIN batch ON batch.id = waiting.batch ORDER BY batch.id"
        )
        together: list[bytes] = []
        lines = length = 0
        for count, packed in rows:
            text = zlib.decompress(packed)
            if together and (lines + count > MAX_LINES or length + len(text) > MAX_BYTES):
                yield b"".join(together)
                together, lines, length = [], 0, 0
            together.append(text)
            lines, length = lines + count, length + len(text)
        yield b"".join(together)


def _post(store: Influx, bodies: list[bytes]) -> float:
    began = time.monotonic()
    for body in bodies:
        store.post(body)
    return time.monotonic() - began


def _drain_once(data: Path, gateway_in: Callable[[Path, Influx], Gateway], store: Influx, count: int) -> float:
    """Seconds from the moment the store answers again; it hangs while the gateway starts, with the first body sent."""
    with stage.folder() as place:
        shutil.copytree(data, place / "data")
        before = store.stored()
        store.server.pause()
        with gateway_in(place, store) as gateway:
            began = time.monotonic()
            store.server.resume()
            store.await_stored(before + count)
            ended = stage.await_delivered(gateway, 0)
            stage.await_settled(gateway)
    return ended - began
