"""``query_ms``: what people ask most, of each store: latest of a commune, a day of a device, a year of a commune."""

import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from devices.fleet_store import open_fleet
from devices.profile import shipped_profiles
from devices.rollup_names import Scope, Statistic, Width, field_name, measurement_name
from devices.vocabulary import Measurement
from gateway.line.pipeline import Limits, Pipeline
from gateway.line.state import State
from gateway.model import Store, Uplink, Window
from gateway.northbound.embedded import Embedded
from gateway.northbound.influxdb1 import InfluxDB1
from tests.bench import stage
from tests.bench.figures import Size, Taken
from tests.bench.province import PROPERTIES, Province, name, payload
from tests.bench.sender import sender
from tests.bench.stage import DATABASE, Gateway, Influx
from tests.gateway_process import EMBEDDED
from tests.servers import HOST, influxql

KEYS = ("query_ms",)
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
"""Milliseconds."""
ROLLUPS = "village_rollup"
COMMUNES_WITH_YEARS = 10
LINES = 5000


def measure(size: Size, work: Path) -> list[Taken]:
    """Both stores hold the last hour of a commune (a message every 5 minutes), a day of one of its devices (one a
    minute), and a year of hourly roll-ups of ten communes. The first answer of each kind is not counted."""
    found: dict[str, list[float]] = {}
    now = int(time.time() * 1000) // HOUR * HOUR
    with stage.folder() as place, stage.influx() as influx:
        province = Province(size.devices, max(1, size.devices // size.commune))
        found["latest API"] = _ask_api(province, work, size)
        commune = Province(min(size.commune, size.devices), 1)
        influxql(influx.server, f"CREATE DATABASE {ROLLUPS}")
        url = influx.server.url
        stores: list[Store] = [
            Embedded(name="embedded", path=place / "store.db"),
            InfluxDB1(name="influxdb1", url=url, database=DATABASE, rollup_database=ROLLUPS),
        ]
        for body in (*_readings(commune, work, now), *_year(now)):
            for store in stores:
                store.write(body)
        found["latest influxdb1"] = _timed(size, lambda: _latest(influx, commune))
        for store in stores:
            with closing(store):
                found[f"day {store.name}"] = _timed(size, _day_of(store, commune, now))
                found[f"year {store.name}"] = _timed(size, _year_of(store, now))
    return [Taken("query_ms", found)]


def _timed(size: Size, question: Callable[[], int]) -> list[float]:
    """Milliseconds of each answer; the question returns how many things were in it, at least one."""
    found = []
    for _ in range(size.questions + 1):
        began = time.perf_counter()
        assert question() > 0
        found.append((time.perf_counter() - began) * 1000)
    return found[1:]


def _ask_api(province: Province, work: Path, size: Size) -> list[float]:
    """Latest values of a commune from the gateway, which has them in memory, whatever the store."""
    fleet = stage.fleet_file(work, province)
    with stage.broker() as broker, stage.gateway(broker, EMBEDDED, fleet) as gateway:
        with sender(stage.order(broker.port, province, 0, province.devices)).await_ready() as field:
            field.go()
            field.report()
        stage.await_delivered(gateway, province.devices)
        return _timed(size, lambda: _latest_by_api(gateway, province))


def _latest_by_api(gateway: Gateway, province: Province) -> int:
    path = f"/latest?commune={province.commune(0)}&limit=5000"
    with urllib.request.urlopen(f"http://{HOST}:{gateway.port}{path}", timeout=60) as answer:
        return len(answer.read())


def _latest(influx: Influx, commune: Province) -> int:
    where = f"commune = '{commune.commune(0)}' AND time > now() - 2h"
    question = f"SELECT last(power) FROM streetlight WHERE {where} GROUP BY device"
    return len(influx.ask(question)["series"])


def _day_of(store: Store, commune: Province, now: int) -> Callable[[], int]:
    window = Window((now - DAY) * 1_000_000, now * 1_000_000, 300 * 1_000_000_000, 500)
    return lambda: len(store.series(Measurement.STREETLIGHT, commune.commune(0), name(0), "power", window))


def _year_of(store: Store, now: int) -> Callable[[], int]:
    """Days from hours; a line of a commune has no tag ``device``."""
    window = Window((now - 365 * DAY) * 1_000_000, now * 1_000_000, DAY * 1_000_000, 500)
    measurement = measurement_name(Measurement.STREETLIGHT, Scope.COMMUNE, Width.HOUR)
    field = field_name("power", Statistic.MEAN)
    return lambda: len(store.series(measurement, "10000", "", field, window))  # type: ignore[arg-type]


def _readings(commune: Province, work: Path, now: int) -> Iterator[bytes]:
    """The line protocol of the last hour of all, and of the day of device 0."""
    registry = open_fleet(stage.fleet_file(work, commune), shipped_profiles().values())
    pipeline = Pipeline(registry, State(registry), lambda names: list(range(1, len(names) + 1)), Limits())
    who = [(0, at) for at in range(now - DAY, now - HOUR, MINUTE)]
    who += [(device, at) for at in range(now - HOUR, now, 5 * MINUTE) for device in range(commune.devices)]
    uplinks = [
        Uplink(f"village/{commune.commune(device)}/{name(device)}/up", payload(number, at), now * 1_000_000 + number)
        for number, (device, at) in enumerate(who)
    ]
    for first in range(0, len(uplinks), LINES):
        yield pipeline.process(uplinks[first : first + LINES])[0].lines


def _year(now: int) -> Iterator[bytes]:
    """Hourly roll-ups of communes, every statistic a scope has of a value that is not a counter."""
    measurement = measurement_name(Measurement.STREETLIGHT, Scope.COMMUNE, Width.HOUR)
    statistics = (Statistic.MEAN, Statistic.SUM, Statistic.MIN, Statistic.MAX, Statistic.COUNT, Statistic.QUALITY,
                  Statistic.DEVICES)  # fmt: skip
    names = [field_name(prop, statistic) for prop in PROPERTIES for statistic in statistics]
    lines = [
        f"{measurement},commune={10_000 + commune} "
        + ",".join(f"{field}={58 + (hour // HOUR + number) % 97 / 10:.1f}" for number, field in enumerate(names))
        + f",quality=1,completeness=1 {hour * 1_000_000}\n"
        for hour in range(now - 365 * DAY, now, HOUR)
        for commune in range(COMMUNES_WITH_YEARS)
    ]
    for first in range(0, len(lines), LINES // 2):
        yield "".join(lines[first : first + LINES // 2]).encode()
