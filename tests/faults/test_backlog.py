"""A million points that waited for a store, and what devices say meanwhile."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulators.publisher import Note
from tests.bench.processes import peak_mb_of, resident_mb
from tests.faults.field import COMMUNE, Field
from tests.faults.scenario import DATABASE, ENOUGH, Scenario
from tests.gateway_process import GatewayProcess, Publisher, await_that, influx_store
from tests.servers import Server, influxql

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]
STATIONS = 50
POINTS = 50
"""Of one uplink: a SenML pack of so many moments."""
VISIBLE_SECONDS = 5.0
MORE_MB = 50.0
FLEET = "\n".join(
    ["device,profile,commune", f"lamp-017,native_streetlight,{COMMUNE}"]
    + [f"water-{number:03},senml_water_station,{COMMUNE}" for number in range(STATIONS)]
    + [""]
)


def packs() -> Iterator[Note]:
    """20,000 uplinks with a point a second of each station, until now."""
    each = ENOUGH // STATIONS
    begin = int(time.time()) - each * POINTS
    for number in range(ENOUGH):
        station, round_ = number % STATIONS, number // STATIONS
        records = [{"n": "ph", "v": 7 + moment % 9 / 100, "t": moment} for moment in range(POINTS)]
        records[0] |= {"bn": "urn:dev:ow:1/", "bt": begin + round_ * POINTS}
        payload = json.dumps(records, separators=(",", ":")).encode()
        yield Note(f"village/{COMMUNE}/water-{station:03}/up", payload)


def seconds_until_visible(device: Publisher, store: Server, number: int) -> float:
    """Publish a reading of this moment, and ask the store until it has it."""
    now = time.time_ns() // 10**6
    at = datetime.fromtimestamp(now / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    began = time.monotonic()
    device.send(f"village/{COMMUNE}/lamp-017/up", json.dumps({"observed_at": at, "seq": number, "power": 58.5}))
    query = f"SELECT power FROM streetlight WHERE time = {now * 10**6}"
    await_that("the reading is visible", lambda: "series" in influxql(store, query, DATABASE).decode(), 120.0)
    return time.monotonic() - began


def stored_points(store: Server) -> int:
    """Of the stations."""
    (result,) = json.loads(influxql(store, "SELECT count(ph) FROM water_quality", DATABASE))["results"]
    return int(result["series"][0]["values"][0][1]) if "series" in result else 0


def test_fresh_readings_are_visible_while_a_million_points_of_backlog_drain(
    tmp_path: Path, broker: Server, influx: Server, measured: Callable[[str], None]
) -> None:
    """Within 5 s, and for 50 MB more than the idle gateway has."""
    with (
        Field(broker.port) as field,
        GatewayProcess(tmp_path, broker.port, influx_store(influx, DATABASE), FLEET) as gateway,
        Publisher(broker, "lamp-017") as device,
    ):
        scenario = Scenario(gateway, field, influx)
        scenario.await_connected()
        seconds_until_visible(device, influx, 0)
        idle = resident_mb(gateway.process_id)
        influx.stop()
        notes = list(packs())
        field.publish(notes)
        await_that("the broker has them", field.is_acknowledged, 600.0)
        await_that("they are on disk", lambda: scenario.ledger()["totals"]["kept"] > ENOUGH, 600.0)
        waiting = scenario.ledger()["lines"]["stores"][0]["waiting"]
        assert waiting >= ENOUGH * POINTS
        full = resident_mb(gateway.process_id)
        influx.start()
        # The store is tried again within a minute.
        await_that("the store is back", lambda: stored_points(influx) > 0, 120.0)
        began = time.monotonic()
        took: list[float] = []
        while stored_points(influx) < ENOUGH * POINTS:
            took.append(seconds_until_visible(device, influx, 1 + len(took)))
        seconds = time.monotonic() - began
        scenario.await_delivered()
        peak = peak_mb_of(gateway.process_id)
        measured(
            f"{waiting} points of backlog drained in {seconds:.0f} s; {len(took)} fresh readings visible after"
            f" {max(took):.2f} s at most, {sorted(took)[len(took) // 2]:.2f} s in the middle;"
            f" idle {idle:.0f} MB, with the backlog {full:.0f} MB, at most {peak:.0f} MB"
        )
        assert stored_points(influx) == ENOUGH * POINTS
        assert max(took) <= VISIBLE_SECONDS
        assert peak - idle <= MORE_MB
