"""From a device's message to the stores and the API, as processes on real servers."""

import base64
import csv
import json
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.gateway_process import EMBEDDED, GatewayProcess, Publisher, await_that, influx_store
from tests.servers import Server, find_server, influxql

DATA = Path(__file__).parent / "data"
UP = "village/10642/lamp-017/up"


@pytest.fixture
def broker() -> Iterator[Server]:
    """A broker that queues as the shipped configuration does; Mosquitto's defaults drop what is over 1,000 messages."""
    with servers.mosquitto("max_queued_messages 0\nmax_inflight_messages 1000") as server:
        yield server


@pytest.fixture
def gateway(tmp_path: Path, broker: Server) -> Iterator[GatewayProcess]:
    """A running gateway with the embedded store."""
    with GatewayProcess(tmp_path, broker.port, EMBEDDED) as running:
        await_that("connected", lambda: part(running, "broker") == "ok")
        yield running


def part(gateway: GatewayProcess, name: str) -> str:
    """State of one part in health."""
    states = {entry["part"]: entry["state"] for entry in gateway.ask("/health")["parts"]}
    return str(states[name])


def waiting(gateway: GatewayProcess) -> int:
    """Lines that some store does not have yet."""
    return sum(store["waiting"] for store in gateway.ask("/ledger")["lines"]["stores"])


def latest(gateway: GatewayProcess, device: str) -> dict[str, Any]:
    """The device's latest values."""
    values: dict[str, Any] = gateway.ask(f"/latest?device={device}")["items"][0]["values"]
    return values


def stored(server: Server, database: str, query: str) -> list[list[Any]]:
    """Rows of one InfluxQL answer, the time as RFC 3339."""
    series = json.loads(influxql(server, query, database))["results"][0].get("series", [])
    return [[rfc3339(at), *values] for one in series for at, *values in one["values"]]


def rfc3339(at: int) -> str:
    """A time as text; nanoseconds UTC, whole seconds where they are."""
    text = datetime.fromtimestamp(at // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{at % 10**9:09d}Z" if at % 10**9 else f"{text}Z"


def test_a_value_from_mosquitto_pub_is_in_the_api_and_in_influxdb(
    tmp_path: Path, broker: Server, influxdb1_server: Server
) -> None:
    """Published with Debian's own client, as a technician does it."""
    program = find_server("mosquitto_pub", "mosquitto-clients")
    with GatewayProcess(tmp_path, broker.port, influx_store(influxdb1_server, "end_to_end")) as gateway:
        await_that("connected", lambda: part(gateway, "broker") == "ok")
        message = '{"observed_at":"2026-11-21T18:05:00+07:00","seq":7,"power":58.25}'
        subprocess.run([program, "-p", str(broker.port), "-q", "1", "-t", UP, "-m", message], check=True)
        await_that("the value is in the API", lambda: "power" in latest(gateway, "lamp-017"))
        await_that(
            "the line is in InfluxDB", lambda: stored(influxdb1_server, "end_to_end", "SELECT * FROM streetlight")
        )
        assert latest(gateway, "lamp-017")["power"] == {
            "value": 58.25,
            "unit": "W",
            "quality": 1,
            "observed_at": "2026-11-21T11:05:00.000Z",
        }
        rows = stored(
            influxdb1_server,
            "end_to_end",
            "SELECT power, quality, clock, commune, device FROM streetlight WHERE device = 'lamp-017'",
        )
        assert rows == [["2026-11-21T11:05:00Z", 58.25, 1, 0, "10642", "lamp-017"]]


BAD = {
    "not json": (UP, b"power=5", "malformed"),
    "not an object": (UP, b"[1,2]", "malformed"),
    "duplicate keys": (UP, b'{"power":1,"power":2}', "duplicate_key"),
    "NaN": (UP, b'{"power":NaN}', "not_finite"),
    "infinity": (UP, b'{"power":-Infinity}', "not_finite"),
    "1e400": (UP, b'{"power":1e400}', "not_finite"),
    "a string for a number": (UP, b'{"power":"58"}', "field_type"),
    "unknown property": (UP, b'{"brightness":5}', "property"),
    "unknown unit": (UP, b'{"power":{"value":5,"unit":"horse"}}', "unit"),
    "empty": (UP, b"", "empty"),
    "1 MiB": (UP, b'{"power":1}' + b" " * (1 << 20), "too_large"),
    "invalid UTF-8": (UP, b'{"power":\xff\xfe}', "encoding"),
    "unreadable time": (UP, b'{"observed_at":"yesterday","power":5}', "clock"),
    "unknown device": ("village/10642/lamp-999/up", b'{"power":5}', "unknown_device"),
    "another commune": ("village/11113/lamp-017/up", b'{"power":5}', "unknown_device"),
    "a simulated device": ("village/10642/ghost-01/up", b'{"power":5}', "simulated"),
}


def test_every_bad_input_is_refused_by_its_own_reason_kept_and_counted(gateway: GatewayProcess, broker: Server) -> None:
    """And the good uplink behind it is not delayed."""
    with Publisher(broker) as field:
        field.listen("village/10642/lamp-017/error")
        for topic, payload, _ in BAD.values():
            field.send(topic, payload)
        field.send(UP, b'{"observed_at":"2026-11-21T11:00:00Z","seq":1,"power":58.5}')
        await_that("the good one arrived", lambda: gateway.totals()["kept"] == 1)
        errors = await_that("the device hears why", lambda: field.heard)
    items = gateway.ask("/refused?limit=100")["items"]
    assert [entry["reason"] for entry in reversed(items)] == [reason for _, _, reason in BAD.values()]
    for entry, (topic, payload, _) in zip(reversed(items), BAD.values(), strict=True):
        whole = gateway.ask(f"/refused/{entry['id']}")
        kept = base64.b64decode(whole["payload_base64"])
        assert (entry["topic"], entry["size"]) == (topic, len(payload))
        assert kept == payload[: 1 << 20]
        assert whole["truncated"] == (len(payload) > 1 << 20)
    assert json.loads(errors[0][1])["reason"] == "malformed"
    ledger = gateway.ask("/ledger")
    assert ledger["totals"] == {"received": len(BAD) + 1, "kept": 1, "refused": len(BAD), "repeated": 0}
    assert ledger["holds"] is True
    senders = {row["device"]: row["received"] for row in gateway.ask("/ledger/devices")["items"]}
    assert senders == {"lamp-017": len(BAD) - 2, "ghost-01": 1, "?village": 2}


CLOCKS = {
    "lamp-1": ("1970-01-01T00:05:00Z", 2),
    "lamp-2": ("2099-01-01T00:00:00Z", 3),
    "lamp-3": ("2026-11-21T18:00:00", 4),
    "lamp-4": ("2026-11-21T11:00:00Z", 0),
    "lamp-5": (None, 1),
}


def test_whose_clock_a_time_is_from_is_stored(tmp_path: Path, broker: Server, influxdb1_server: Server) -> None:
    """1970 and 2099 get the time of receipt; a local time gets the device's zone."""
    fleet = "device,profile,commune\n" + "".join(f"{name},native_streetlight,10642\n" for name in CLOCKS)
    store = influx_store(influxdb1_server, "clocks")
    with GatewayProcess(tmp_path, broker.port, store, fleet=fleet) as gateway, Publisher(broker) as field:
        await_that("connected", lambda: part(gateway, "broker") == "ok")
        before = rfc3339(time.time_ns())
        for name, (given, _) in CLOCKS.items():
            told = {"power": 5.5} | ({"observed_at": given} if given else {})
            field.send(f"village/10642/{name}/up", json.dumps(told))
        query = "SELECT clock, device FROM streetlight"
        await_that("all are stored", lambda: len(stored(influxdb1_server, "clocks", query)) == len(CLOCKS))
        rows = {device: (at, clock) for at, clock, device in stored(influxdb1_server, "clocks", query)}
    assert {device: clock for device, (_, clock) in rows.items()} == {
        name: clock for name, (_, clock) in CLOCKS.items()
    }
    assert rows["lamp-3"][0] == rows["lamp-4"][0] == "2026-11-21T11:00:00Z"
    assert all(before < rows[name][0] < rfc3339(time.time_ns()) for name in ("lamp-1", "lamp-2", "lamp-5"))


def test_sums_hold_after_good_bad_repeated_unknown_and_kill_9_in_the_middle(tmp_path: Path, broker: Server) -> None:
    """What the broker had acknowledged before is counted exactly once after the restart."""
    with GatewayProcess(tmp_path, broker.port, EMBEDDED) as gateway, Publisher(broker) as field:
        await_that("connected", lambda: part(gateway, "broker") == "ok")
        for number in range(300):
            body = json.dumps({"observed_at": f"2026-11-21T11:{number // 60:02d}:{number % 60:02d}Z", "power": number})
            field.send(UP, body)
            if number % 10 == 0:
                field.send(UP, body)
            if number % 20 == 0:
                field.send(UP, b"nonsense %d" % number)
                field.send("village/10642/nobody/up", b'{"power":%d}' % number)
            if number == 150:
                gateway.kill()
                gateway.start()
        expected = {"received": 360, "kept": 300, "refused": 30, "repeated": 30}
        await_that("everything is counted", lambda: gateway.totals()["received"] - gateway.totals()["repeated"] >= 330)
        totals = gateway.totals()
        # The broker may have redelivered what was committed and not yet acknowledged when the gateway died.
        redelivered = totals["received"] - expected["received"]
        assert totals == expected | {
            "received": 360 + redelivered,
            "repeated": 30 + redelivered,
        }
        ledger = gateway.ask("/ledger")
        assert ledger["holds"] is True
        assert ledger["by_reason"] == {"malformed": 15, "unknown_device": 15}
        await_that("all lines are in the store", lambda: waiting(gateway) == 0)
        series = gateway.ask(
            "/series?device=lamp-017&property=power&start=2026-11-21T11:00:00Z&stop=2026-11-21T11:05:00Z&points=5000"
        )
    assert [point[1] for point in series["points"]] == [float(number) for number in range(300)]


def test_a_retained_value_without_a_time_is_not_stored_as_new(tmp_path: Path, broker: Server) -> None:
    """It was said before the gateway subscribed: latest knows it, no point is made of it."""
    with Publisher(broker) as field:
        field.send(UP, b'{"power":41.5}', retain=True)
    with GatewayProcess(tmp_path, broker.port, EMBEDDED) as gateway:
        await_that("heard", lambda: gateway.totals()["kept"] == 1)
        assert latest(gateway, "lamp-017")["power"]["value"] == 41.5
        series = gateway.ask("/series?device=lamp-017&property=power&points=5000")
        assert series["points"] == []


def test_broker_and_store_absent_at_start_are_waited_for(tmp_path: Path) -> None:
    """Any order of starting ends in the same place."""
    with servers.mosquitto() as broker, servers.influxdb1() as influx:
        broker.stop()
        influx.stop()
        with GatewayProcess(tmp_path, broker.port, influx_store(influx, "late")) as gateway:
            assert part(gateway, "broker") == "waiting"
            broker.start()
            await_that("connected", lambda: part(gateway, "broker") == "ok")
            with Publisher(broker) as field:
                field.send(UP, b'{"observed_at":"2026-11-21T11:00:00Z","power":7.5}')
            await_that("kept", lambda: gateway.totals()["kept"] == 1)
            await_that("the store is missed", lambda: part(gateway, "store:influx") == "waiting")
            influx.start()
            rows = await_that("stored", lambda: stored(influx, "late", "SELECT power FROM streetlight"))
            assert rows == [["2026-11-21T11:00:00Z", 7.5]]
            assert gateway.stop() == 0


def usgs_payloads() -> Iterator[tuple[dict[str, Any], dict[str, float]]]:
    """Each row of the real record: its uplink, and what must come out of the store."""
    feet, cubic_feet = 0.3048, 0.028316846592
    with (DATA / "usgs_01650800_2019-05.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            told: dict[str, Any] = {"observed_at": row["time"]}
            expected: dict[str, float] = {}
            for column, cell in row.items():
                name, _, unit = column.partition(" [")
                if column == "time" or not cell:
                    continue
                value = float(cell)
                told[name] = {"value": value, "unit": unit[:-1]} if unit else value
                expected[name] = value * {"water_level": feet, "river_flow": cubic_feet}.get(name, 1.0)
            yield told, expected


def test_a_real_stations_record_comes_out_of_the_store_value_for_value(
    tmp_path: Path, broker: Server, influxdb1_server: Server
) -> None:
    """Seven days of USGS 01650800, 5-minute values, through MQTT; feet become metres."""
    rows = list(usgs_payloads())
    with GatewayProcess(tmp_path, broker.port, influx_store(influxdb1_server, "usgs") + EMBEDDED) as gateway:
        await_that("connected", lambda: part(gateway, "broker") == "ok")
        with Publisher(broker) as field:
            for told, _ in rows:
                field.send("village/10642/water-01/up", json.dumps(told))
        await_that(
            # Roll-ups may follow the readings before this looks.
            "both stores have every line",
            lambda: all(
                store["stored"] >= len(rows) and not store["waiting"]
                for store in gateway.ask("/ledger")["lines"]["stores"]
            ),
        )
        assert gateway.ask("/ledger")["holds"] is True
        names = sorted({name for _, expected in rows for name in expected})
        fields = ", ".join(names)
        seen = stored(influxdb1_server, "usgs", f"SELECT {fields} FROM water_quality ORDER BY time")
        assert len(seen) == len(rows) == 2016
        for (told, expected), (at, *values) in zip(rows, seen, strict=True):
            assert at == told["observed_at"]
            kept = {name: value for name, value in zip(names, values, strict=True) if value is not None}
            assert kept == pytest.approx(expected, rel=1e-12)
        answer = gateway.ask(
            "/series?device=water-01&property=turbidity_fnu&points=5000&store=here"
            "&start=2019-05-04T00:00:00Z&stop=2019-05-11T00:00:00Z"
        )
        turbidity = [expected["turbidity_fnu"] for _, expected in rows if "turbidity_fnu" in expected]
        assert [point[1] for point in answer["points"]] == turbidity
