"""``p50_ms`` and ``p99_ms``: from the moment a message is due until a question to InfluxDB finds it."""

import time
from pathlib import Path

from tests.bench import stage
from tests.bench.figures import Size, Taken
from tests.bench.province import Province, name
from tests.bench.sender import sender
from tests.bench.stage import Influx

KEYS = ("p50_ms", "p99_ms")
PROBE = 10
"""Every tenth message is of one device, whose points are counted again and again."""
LEFT_OUT_SECONDS = 1.0
"""At the beginning."""
PAUSE_SECONDS = 0.003
"""Between two counts."""


def measure(size: Size, work: Path) -> list[Taken]:
    """Runs one after the other at the same gateway; each gives its own two figures."""
    province = Province(size.devices)
    fleet = stage.fleet_file(work, province)
    middle, late = [], []
    with (
        stage.broker() as broker,
        stage.influx(province) as store,
        stage.gateway(broker, stage.to_influx(store), fleet) as gateway,
    ):
        stage.warm_up(broker.port, province)
        for run in range(size.pairs):
            stage.await_settled(gateway)
            waits = sorted(_waits(store, broker.port, province, size, run))
            middle.append(waits[len(waits) // 2])
            late.append(waits[len(waits) * 99 // 100])
    return [Taken.of("p50_ms", *middle), Taken.of("p99_ms", *late)]


def _waits(store: Influx, port: int, province: Province, size: Size, run: int) -> list[float]:
    """Milliseconds from due to visible, of every probe."""
    count = int(size.latency_rate * size.latency_seconds)
    order = stage.order(port, province, run * count, count, size.latency_rate, PROBE)
    probes = -(-count // PROBE)
    with sender(order).await_ready() as field:
        field.go()
        visible = _watch(store, province, order.start_ms, probes)
        began = field.report()["began"]
    due = [began + number * PROBE / size.latency_rate for number in range(probes)]
    left_out = int(LEFT_OUT_SECONDS * size.latency_rate / PROBE)
    return [(seen - at) * 1000 for seen, at in zip(visible, due, strict=True)][left_out:]


def _watch(store: Influx, province: Province, since_ms: int, probes: int) -> list[float]:
    """When each of the device's points was first counted (``time.monotonic``); they arrive in their order."""
    question = (
        f"SELECT count(power) FROM streetlight WHERE commune = '{province.commune(0)}' AND device = '{name(0)}'"
        f" AND time >= {since_ms}ms"
    )
    visible: list[float] = []
    until = time.monotonic() + stage.PATIENCE
    while len(visible) < probes:
        if time.monotonic() > until:
            raise RuntimeError(f"InfluxDB has {len(visible)} of {probes} points of the device that is watched")
        series = store.ask(question).get("series")
        found = int(series[0]["values"][0][1]) if series else 0
        visible += [time.monotonic()] * (found - len(visible))
        time.sleep(PAUSE_SECONDS)
    return visible
