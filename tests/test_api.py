"""The API: what it answers, how it refuses, that everything is bounded, and that streams end."""

import asyncio
import base64
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from schemathesis.specs.openapi.checks import positive_data_acceptance

from devices.fleet_csv import FleetError, Problem
from devices.fleet_row import FleetRow
from devices.observation import Reason
from devices.profile import Profile, parse_profile
from devices.registry import Registry
from devices.topics import ROOT
from devices.vocabulary import VOCABULARY, Measurement
from gateway.analytics.alert_book import AlertBook
from gateway.analytics.alerts import Alerts
from gateway.analytics.columns import FleetTables
from gateway.analytics.laboratory import Laboratory
from gateway.analytics.worker import Standing
from gateway.api.fleet_office import FleetOffice
from gateway.api.live import MAX_WAITING, Listener, LiveFeed
from gateway.api.parts import ApiParts, PartHealth, RequestError
from gateway.api.series import DAY, MAX_SPAN, SECOND, bucket_seconds
from gateway.api.server import ApiServer, create_app
from gateway.line import redecode, replay
from gateway.line.glance import DeviceState, glance
from gateway.line.ledger import Totals
from gateway.line.pending import Guess, Pending
from gateway.line.pipeline import Tally
from gateway.line.records import DeviceHour, LineTotals, RefusedRow, Replays, StoreTotals
from gateway.line.state import OFFLINE, ONLINE, State
from gateway.metrics import METRICS
from gateway.model import Point, StoredLine, StoreUnavailableError, Window
from gateway.settings import Api

NOW = 1_780_000_000_123_456_789
NOW_TEXT = "2026-05-28T20:26:40.123Z"
MINUTE = 60 * SECOND


def profile(name: str, domain: str, *properties: str) -> Profile:
    """A profile with these properties in their canonical units."""
    listed = ", ".join(f'{{ name = "{entry}", unit = "{VOCABULARY[entry].unit}" }}' for entry in properties)
    return parse_profile(
        f'id = "{name}"\nmaker = "m"\nmodel = "{name} 1"\ndomain = "{domain}"\ncodec = "native"\n'
        'interval_seconds = 300\nevidence = { kind = "constructed", document = "this test" }\n'
        f"properties = [{listed}]\n",
        f"{name}.toml",
    )


LAMP, PROBE, BEACON = (
    profile("lamp", "streetlight", "power", "lamp_on"),
    profile("probe", "water_quality", "ph"),
    profile("beacon", "device"),
)


def fleet_row(device: str, kind: str, commune: str = "10642", **more: Any) -> FleetRow:
    """A row of the fleet."""
    return FleetRow(device=device, profile=kind, commune=commune, **more)


def fleet_state() -> State:
    """Six devices in two communes, one in each state, and one without any property."""
    registry = Registry.of(
        [
            fleet_row("lamp-1", "lamp", group="tu-1", name="Đèn ngõ Đình", latitude=20.9, longitude=106.3),
            fleet_row("lamp-2", "lamp", group="tu-1", name="Đèn chợ", latitude=21.0, longitude=106.4),
            fleet_row("beacon-1", "beacon"),
            fleet_row("lamp-3", "lamp", group="tu-2"),
            fleet_row("water-1", "probe", "10700", hardware_ids="A84041", calibration="ph 1.02 -0.05", simulated=True),
            fleet_row("lamp-4", "lamp", "10700", group="tu-1", interval_seconds=600),
        ],
        [LAMP, PROBE, BEACON],
    )
    state = State(registry)
    for device, minutes in {"lamp-1": 1, "lamp-2": 16, "lamp-3": 2, "water-1": 3, "lamp-4": 29}.items():
        state.seen[registry.index[device]] = NOW - minutes * MINUTE
    state.status[registry.index["lamp-3"]] = OFFLINE
    state.status[registry.index["lamp-1"]] = ONLINE
    put(state, "lamp-1", 0, 41.5, 1)
    put(state, "water-1", 0, 14.2, 4)
    return state


def put(state: State, device: str, position: int, value: float, quality: int, at: int = NOW - MINUTE) -> None:
    """A reading arrives."""
    index = state.registry.index[device]
    series = state.registry.first_series[index] + position
    state.value[series], state.time[series], state.quality[series] = value, at, quality
    state.version += 1
    state.stamp[index] = state.version


class FakeRecords:
    """A journal with 9 kept, 2 refused and 1 repeated uplinks."""

    def __init__(self) -> None:
        self.rows = [
            RefusedRow(
                7, NOW - MINUTE, f"{ROOT}/10642/lamp-1/up", "lamp-1", "unit", "unit 'hp' is not known", 20, False
            ),
            RefusedRow(3, NOW - DAY, "elsewhere", "", "unknown_topic", "no source claims it", 3, True),
        ]
        self.asked: tuple[object, ...] = ()
        self.line_totals = LineTotals(9, [StoreTotals("commune", 2, 6, 1, NOW - 5 * SECOND)])

    def totals(self) -> Totals:
        return Totals(12, 9, 2, 1)

    def lines(self) -> LineTotals:
        return self.line_totals

    def by_reason(self) -> dict[str, int]:
        return {"unit": 1, "unknown_topic": 1}

    def by_device(self, since: int, until: int, device: str | None, limit: int) -> list[DeviceHour]:
        self.asked = (since, until, device, limit)
        return [DeviceHour(NOW - NOW % (3600 * SECOND), "lamp-1", 4, 3, 1, 0, 2)]

    def refused(
        self, since: int, reason: str | None, device: str | None, before: int | None, limit: int
    ) -> list[RefusedRow]:
        self.asked = (since, reason, device, before, limit)
        rows = [row for row in self.rows if row.received_at >= since and reason in {None, row.reason}]
        return [row for row in rows if device in {None, row.device} and row.id < (before or 2**63)][:limit]

    def refused_payload(self, number: int) -> tuple[RefusedRow, bytes, bool] | None:
        return next(((row, b"\xff\x00", row.id == 3) for row in self.rows if row.id == number), None)

    def replayed(self) -> Replays:
        return Replays(3, 1)

    def broker_lost(self) -> int:
        return 5

    def lost_on_disk(self) -> int:
        return 4


class FakeMending:
    """Answers as if three refused uplinks waited, and one job could be run."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def count(self, wanted: replay.Wanted) -> int:
        self.asked.append(wanted)
        return 3

    def begin(self, wanted: redecode.Wanted) -> tuple[str, int]:
        if wanted.devices == ("lamp-9",):
            raise ValueError("no device 'lamp-9' in the fleet; see `village devices list`")
        self.asked.append(wanted)
        return "ab12", 7


class FakeReplayer(FakeMending):
    """See above."""

    def step(self, wanted: replay.Wanted, after: int = 0) -> replay.Step:
        if after == 99:
            raise TimeoutError
        self.asked.append((wanted, after))
        return replay.Step(through=17, kept=2, refused=1, passed=3)


class FakeRedecoder(FakeMending):
    """See above."""

    def step(self, token: str) -> redecode.Progress:
        if token != "ab12":
            raise redecode.UnknownJobError("begin again")
        return redecode.Progress(True, 7, 7, 5, 5, 0, 0, 0)


class FakeStore:
    """Holds one point, or is away."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.away = False
        self.asked: list[tuple[Measurement, str, str, str, Window]] = []

    def write(self, body: bytes) -> None:
        raise AssertionError("the API never writes")

    def series(self, measurement: Measurement, commune: str, device: str, field: str, window: Window) -> list[Point]:
        if self.away:
            raise StoreUnavailableError("no answer")
        self.asked.append((measurement, commune, device, field, window))
        return [Point(window.start, 2.0, 1.0, 3.0)]

    def lines(
        self,
        measurement: str,
        commune: str,
        device: str | None,
        start: int,
        stop: int,
        limit: int,
        *,
        newest: bool = False,
    ) -> list[StoredLine]:
        raise AssertionError("the API asks for series")

    def check(self) -> list[str]:
        return []

    def close(self) -> None:
        """Nothing is open."""


class Bench:
    """The parts behind an API under test, to be changed while it runs."""

    def __init__(self) -> None:
        self.state = fleet_state()
        self.records = FakeRecords()
        self.chunks: list[bytes] = []
        self.store = FakeStore("commune")
        self.parts_health = [PartHealth("broker", "ok", "connected"), PartHealth("journal", "ok", "2 rows")]
        self.fleet_error: FleetError | None = None
        self.replayer, self.redecoder = FakeReplayer(), FakeRedecoder()
        self.alerts = Alerts(FleetTables(self.state.registry), NOW)
        self.alerts_version, self.alerts_busy = 1, False
        self.parts = ApiParts(
            settings=Api(),
            version="0.1.0",
            state=lambda: self.state,
            records=self.records,
            stores={"commune": self.store, "province": FakeStore("province")},
            health=lambda: self.parts_health,
            tally=Tally,
            commune_name=lambda key: {"10642": "Xã Tứ Kỳ"}.get(key, key),
            backfill=self.backfill,
            reload=self.reload,
            fleet=FleetOffice(
                Path("fleet.csv"), Path("journal.db"), lambda: self.state.registry, self.reload, self.replayer
            ),
            replayer=self.replayer,
            redecoder=self.redecoder,
            pending=self.pending,
            alerts=lambda: self.standing,
            ask_alerts=self.ask_alerts,
            laboratory=Laboratory(Path(":memory:"), lambda: self.state.registry, lambda: NOW),
            now=lambda: NOW,
        )

    @property
    def standing(self) -> Standing:
        """As the analytics thread would say it."""
        book, engine = self.alerts.book, self.alerts
        codes = [rule.code for rule in engine.rules]
        lists = book.current(NOW), tuple(book.resolved), tuple(book.silences)
        registry = engine.tables.registry
        return Standing(self.alerts_version, registry, *lists, engine.sensor_texts, codes, engine.live_since)

    def ask_alerts(self, task: Callable[[AlertBook], Any]) -> Any:
        """At once; times out where the thread is busy."""
        if self.alerts_busy:
            raise TimeoutError
        self.alerts_version += 1
        return task(self.alerts.book)

    def backfill(self, chunk: bytes) -> Mapping[str, object]:
        if not chunk.startswith(b"{"):
            raise RequestError("the first line says nothing")
        self.chunks.append(chunk)
        return {"done": len(chunk.splitlines()) - 1}

    def pending(self, since: int, limit: int) -> list[Pending]:
        guesses = (Guess("tasmota_meter_plug", 0.95), Guess("sonoff_pow_r2", 0.2))
        found = Pending("plug_A1", "tasmota", "", "tele/plug_A1/SENSOR", 12, NOW - DAY, NOW - MINUTE, guesses)
        return [found] if since < NOW else []

    def reload(self) -> Mapping[str, object]:
        if self.fleet_error is not None:
            raise self.fleet_error
        return {"devices": len(self.state.registry)}


def client_of(parts: ApiParts, tmp_path: Path) -> TestClient:
    """A client that asks as this machine's own."""
    (tmp_path / "index.html").write_text("<!doctype html><title>board</title>")
    (tmp_path / "board.js").write_text("'use strict'")
    return TestClient(create_app(parts, tmp_path), base_url="http://127.0.0.1:8765")


@pytest.fixture
def bench() -> Bench:
    """Fresh parts."""
    return Bench()


@pytest.fixture
def client(bench: Bench, tmp_path: Path) -> Iterator[TestClient]:
    """A client of the whole app."""
    with client_of(bench.parts, tmp_path) as opened:
        yield opened


def asked(client: TestClient, path: str, **parameters: Any) -> Any:
    """The JSON of a question that must succeed."""
    response = client.get(path, params=parameters)
    assert response.status_code == 200, response.text
    return response.json()


# the fleet ------------------------------------------------------------------------------------------------------


def test_every_device_has_the_state_its_uplinks_give_it(bench: Bench) -> None:
    """Three missed intervals and 15 minutes make silence; a device without properties is not its neighbour."""
    seen = glance(bench.state, NOW)
    states = {name: seen.state(index) for index, name in enumerate(seen.registry.names)}
    assert states == {
        "lamp-1": DeviceState.OK,
        "lamp-2": DeviceState.SILENT,
        "beacon-1": DeviceState.NEVER,
        "lamp-3": DeviceState.OFFLINE,
        "water-1": DeviceState.SUSPECT,
        "lamp-4": DeviceState.OK,
    }


def test_an_empty_fleet_is_answered(bench: Bench, client: TestClient) -> None:
    """As on the first day."""
    bench.state = State(Registry([LAMP]))
    assert asked(client, "/devices") == {"total": 0, "items": []}
    assert asked(client, "/latest") == {"total": 0, "items": []}
    assert asked(client, "/communes") == {"items": []}


def test_the_vocabulary_is_the_table(client: TestClient) -> None:
    """Whole, in its order."""
    properties = asked(client, "/vocabulary")["properties"]
    assert [entry["name"] for entry in properties] == list(VOCABULARY)
    assert properties[0] == {
        "name": "power", "measurement": "streetlight", "unit": "W", "symbol": "W", "low": -100.0, "high": 1e6,
        "en": "Active power", "vi": "Công suất",
    }  # fmt: skip


def test_communes_are_counted_by_state(client: TestClient) -> None:
    """With the middle of the devices whose position is known."""
    first, second = asked(client, "/communes")["items"]
    assert first == {
        "commune": "10642", "name": "Xã Tứ Kỳ", "latitude": 20.95, "longitude": 106.35,
        "devices": 4, "ok": 1, "never": 1, "offline": 1, "silent": 1, "suspect": 0,
    }  # fmt: skip
    assert (second["name"], second["devices"], second["suspect"], second["latitude"]) == ("10700", 2, 1, None)


def test_a_feeder_without_power_makes_nobody_silent(client: TestClient, bench: Bench) -> None:
    lamp = bench.state.registry.index["lamp-2"]
    for minutes, state in [(-60, "ok"), (14, "ok"), (16, "silent")]:
        bench.alerts.live_since[lamp] = NOW - minutes * MINUTE
        assert asked(client, "/devices/lamp-2")["state"] == state


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ({}, ["lamp-1", "lamp-2", "beacon-1", "lamp-3", "water-1", "lamp-4"]),
        ({"commune": "10700"}, ["water-1", "lamp-4"]),
        ({"commune": "nowhere"}, []),
        ({"domain": "streetlight"}, ["lamp-1", "lamp-2", "lamp-3", "lamp-4"]),
        ({"group": "tu-1"}, ["lamp-1", "lamp-2", "lamp-4"]),
        ({"group": "tu-1", "commune": "10642"}, ["lamp-1", "lamp-2"]),
        ({"state": "silent"}, ["lamp-2"]),
        ({"q": "den cho"}, ["lamp-2"]),
        ({"q": "ĐÈN"}, ["lamp-1", "lamp-2"]),
        ({"q": "WATER"}, ["water-1"]),
        ({"limit": 2, "offset": 3}, ["lamp-3", "water-1"]),
    ],
)
def test_devices_are_filtered_and_paged(client: TestClient, question: Mapping[str, str], names: list[str]) -> None:
    """The total is that of the filter, not of the page."""
    found = asked(client, "/devices", **question)
    assert [item["device"] for item in found["items"]] == names
    assert found["total"] == (6 if "limit" in question else len(names))


def test_a_device_is_told_whole(client: TestClient) -> None:
    """What it is, how it is calibrated, what it said last."""
    assert asked(client, "/devices/water-1") == {
        "device": "water-1", "label": "water-1", "commune": "10700", "zone": "", "group": "", "domain": "water_quality",
        "profile": "probe", "latitude": None, "longitude": None, "simulated": True, "powered": "always",
        "interval_seconds": 300, "last_seen": "2026-05-28T20:23:40.123Z", "state": "suspect", "maker": "m",
        "model": "probe 1", "hardware_ids": ["A84041"], "timezone": "Asia/Ho_Chi_Minh",
        "calibration": [{"property": "ph", "slope": 1.02, "offset": -0.05, "since": "1970-01-01T00:00:00.000Z"}],
        "properties": [{"name": "ph", "unit": "[pH]", "symbol": "", "en": "pH", "vi": "pH"}],
        "values": {"ph": {"value": 14.2, "unit": "[pH]", "quality": 4, "observed_at": "2026-05-28T20:25:40.123Z"}},
    }  # fmt: skip


def test_latest_values_come_for_one_device_or_many(client: TestClient) -> None:
    """A property that never had a value is left out."""
    one = asked(client, "/latest", device="lamp-1")
    assert one["total"] == 1
    assert one["items"][0]["values"] == {
        "power": {"value": 41.5, "unit": "W", "quality": 1, "observed_at": "2026-05-28T20:25:40.123Z"}
    }
    many = asked(client, "/latest", commune="10642", limit=2, offset=1)
    assert many["total"] == 4
    assert [(item["device"], item["last_seen"] is None) for item in many["items"]] == [
        ("lamp-2", False),
        ("beacon-1", True),
    ]


# series ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [2, 3, 500, 5000])
@pytest.mark.parametrize("span", [SECOND, 3600 * SECOND, DAY, 7 * DAY, MAX_SPAN])
@pytest.mark.parametrize("start", [0, 1, NOW, NOW - NOW % DAY])
def test_buckets_are_never_more_than_asked_for(start: int, span: int, points: int) -> None:
    """Whole buckets, counted from both ends."""
    width = bucket_seconds(start, start + span, points) * SECOND
    assert (start + span - 1) // width - start // width + 1 <= points


def test_a_series_is_asked_of_the_store_in_readable_buckets(bench: Bench, client: TestClient) -> None:
    """A day by default, five minutes a point."""
    found = asked(client, "/series", device="water-1", property="ph")
    start = (NOW - DAY) // (300 * SECOND) * 300 * SECOND
    assert bench.store.asked == [
        (Measurement.WATER_QUALITY, "10700", "water-1", "ph", Window(start, NOW, 300 * SECOND, 500))
    ]
    assert found == {
        "device": "water-1", "property": "ph", "unit": "[pH]", "every_seconds": 300,
        "points": [[start // 1_000_000, 2.0, 1.0, 3.0]],
    }  # fmt: skip


def test_a_series_has_the_span_and_the_store_that_were_asked_for(bench: Bench, client: TestClient) -> None:
    """Local offsets are understood, also with a plus sign that was not escaped."""
    path = "/series?device=lamp-1&property=power&points=60&start=2026-05-28T08:00:00+07:00&stop=2026-05-28T02:00:00Z"
    assert client.get(path).json()["every_seconds"] == 60
    window = bench.store.asked[0][4]
    assert window.start == int(datetime(2026, 5, 28, 1, tzinfo=UTC).timestamp()) * SECOND
    client.get(path + "&store=province")
    assert len(bench.store.asked) == 1


def test_a_store_that_is_away_is_said_so(bench: Bench, client: TestClient) -> None:
    """503, not an empty series."""
    bench.store.away = True
    response = client.get("/series", params={"device": "lamp-1", "property": "power"})
    assert response.status_code == 503
    assert response.json() == {
        "error": {"code": "unavailable", "message": "store commune cannot be asked now: no answer"}
    }


# ledger, health, metrics ----------------------------------------------------------------------------------------


def test_refused_messages_are_listed_with_their_bytes(bench: Bench, client: TestClient) -> None:
    """Paged by id."""
    page = asked(client, "/refused", limit=1)
    assert page["total_by_reason"] == {"unit": 1, "unknown_topic": 1}
    assert page["next_before"] == 7
    assert page["items"] == [
        {
            "id": 7, "received_at": "2026-05-28T20:25:40.123Z", "topic": "village/10642/lamp-1/up", "device": "lamp-1",
            "reason": "unit", "detail": "unit 'hp' is not known", "size": 20, "retained": False,
        }
    ]  # fmt: skip
    rest = asked(client, "/refused", before=7)
    assert ([item["id"] for item in rest["items"]], rest["next_before"]) == ([3], None)
    asked(client, "/refused", since="2026-05-28T00:00:00Z", reason="unit", device="lamp-1", before=9, limit=5)
    assert bench.records.asked == (1779926400 * SECOND, "unit", "lamp-1", 9, 5)
    detail = asked(client, "/refused/3")
    assert (base64.b64decode(detail["payload_base64"]), detail["truncated"]) == (b"\xff\x00", True)


def test_the_ledger_says_whether_its_sums_hold(bench: Bench, client: TestClient) -> None:
    """Uplinks and lines each have their own."""
    assert asked(client, "/ledger") == {
        "totals": {"received": 12, "kept": 9, "refused": 2, "repeated": 1}, "holds": True,
        "lines": {"kept": 9, "stores": [{"store": "commune", "waiting": 2, "stored": 6, "rejected": 1,
                                         "given_up": 0, "oldest_waiting_at": "2026-05-28T20:26:35.123Z"}]},
        "lost_at_broker": 5, "lost_on_disk": 4, "by_reason": {"unit": 1, "unknown_topic": 1},
    }  # fmt: skip
    bench.records.line_totals = LineTotals(10, [StoreTotals("commune", 2, 6, 1, 0)])
    assert asked(client, "/ledger")["holds"] is False


def test_the_ledger_by_hour_has_a_day_by_default(bench: Bench, client: TestClient) -> None:
    """Newest hour first, as the records give it."""
    items = asked(client, "/ledger/devices", device="lamp-1")["items"]
    assert items == [
        {
            "hour": "2026-05-28T20:00:00.000Z", "device": "lamp-1",
            "received": 4, "kept": 3, "refused": 1, "repeated": 0, "missing": 2,
        }
    ]  # fmt: skip
    assert bench.records.asked == (NOW + 1 - DAY, NOW + 1, "lamp-1", 1000)


@pytest.mark.parametrize(
    ("state", "status", "code"), [("ok", "ok", 200), ("waiting", "degraded", 200), ("failing", "failing", 503)]
)
def test_health_is_that_of_the_worst_part(bench: Bench, client: TestClient, state: Any, status: str, code: int) -> None:
    """A neighbour that is waited for is no failure."""
    bench.parts_health.append(PartHealth("store:commune", state, "no answer since 20:10; readings wait in the journal"))
    response = client.get("/health")
    assert (response.status_code, response.json()["status"]) == (code, status)
    assert response.json()["now"] == NOW_TEXT
    assert response.json()["parts"][2] == {
        "part": "store:commune", "state": state, "detail": "no answer since 20:10; readings wait in the journal"
    }  # fmt: skip
    assert response.json()["ledger"] == {"received": 12, "kept": 9, "refused": 2, "repeated": 1}


def test_metrics_are_the_table_and_the_ledgers_numbers(client: TestClient) -> None:
    """Every metric of the table is there, and nothing that does not begin with village_."""
    families = {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}
    assert {metric.name.removesuffix("_total") for metric in METRICS.values()} <= set(families)
    assert all(name.startswith("village_") for name in families)
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families.values()
        for sample in family.samples
    }
    # A counter never falls: what replays took still counts as it was at first.
    assert [values["village_uplinks_total", what] for what in ("kept", "refused", "repeated")] == [6, 6, 0]
    assert values["village_replayed_total",] == 4
    assert values["village_refused_kept", "unit"] == 1
    assert values["village_store_oldest_waiting_seconds", "commune"] == 5.0
    assert values["village_ledger_holds",] == 1
    assert values["village_devices", "silent"] == 1
    assert values["village_part_state", "broker", "ok"] == 1
    assert values["village_part_state", "broker", "failing"] == 0


# control --------------------------------------------------------------------------------------------------------


def test_a_chunk_of_old_readings_is_handed_on_whole(bench: Bench, client: TestClient) -> None:
    """Or refused with what is wrong."""
    chunk = b'{"file":"x","start":0}\n{"a":1}\n{"a":2}\n'
    assert client.post("/backfill", content=chunk).json() == {"done": 2}
    assert bench.chunks == [chunk]
    bad = client.post("/backfill", content=b"what")
    assert (bad.status_code, bad.json()) == (
        400, {"error": {"code": "bad_request", "message": "the first line says nothing"}},
    )  # fmt: skip


def test_a_chunk_is_bounded(bench: Bench, client: TestClient) -> None:
    """What is longer is not read to its end."""
    assert client.post("/backfill", content=b" " * (16 * 1024 * 1024 + 1)).status_code == 413
    assert bench.chunks == []


def test_the_fleet_is_read_anew_or_stays(bench: Bench, client: TestClient) -> None:
    """With the first bad row named."""
    assert client.post("/reload").json() == {"devices": 6}
    bench.fleet_error = FleetError(Path("fleet.csv"), [Problem(3, "ph", "no"), Problem(4, "ph", "no")])
    bad = client.post("/reload")
    assert (bad.status_code, bad.json()["error"]["message"]) == (
        400, "fleet.csv: line 3: ph: no (and 1 more; see `village check`)",
    )  # fmt: skip


# once more -------------------------------------------------------------------------------------------------------


def test_refused_uplinks_are_replayed_in_steps(bench: Bench, client: TestClient) -> None:
    """What is wanted goes to the replay as it was asked, and the step's sums come back."""
    step = client.post(
        "/refused/replay",
        json={"since": NOW_TEXT, "reason": "unit", "device": "lamp-1", "ids": [7], "after": 3},
    ).json()
    assert step == {"through": 17, "kept": 2, "repeated": 0, "refused": 1, "cut": 0, "passed": 3}
    since = NOW // 1_000_000 * 1_000_000
    assert bench.replayer.asked == [(replay.Wanted(since, 2**63 - 1, Reason.UNIT, "lamp-1", (7,)), 3)]
    assert client.post("/refused/replay/count", json={"until": NOW_TEXT}).json() == {"total": 3}
    assert bench.replayer.asked[-1] == replay.Wanted(until=since)
    late = client.post("/refused/replay", json={"after": 99})
    assert (late.status_code, late.json()["error"]["code"]) == (503, "unavailable")


def test_accepted_uplinks_are_decoded_again_in_steps(bench: Bench, client: TestClient) -> None:
    """A job begins, is gone on with by its name, and is unknown after a restart."""
    begun = client.post("/redecode", json={"devices": ["lamp-1", "lamp-2"], "since": "2026-05-01T00:00:00Z"})
    assert begun.json() == {"job": "ab12", "total": 7}
    (wanted,) = bench.redecoder.asked
    assert isinstance(wanted, redecode.Wanted)
    assert (wanted.devices, wanted.until) == (("lamp-1", "lamp-2"), NOW)
    assert client.post("/redecode/ab12").json() == {
        "done": True, "passed": 7, "total": 7, "uplinks": 5, "lines": 5, "refused": 0, "damaged": 0, "waiting": 0,
    }  # fmt: skip
    gone = client.post("/redecode/cd34")
    assert (gone.status_code, gone.json()["error"]["message"]) == (404, "begin again")
    unknown = client.post("/redecode", json={"devices": ["lamp-9"], "since": "2026-05-01T00:00:00Z"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/refused/replay", {"reason": "spite"}, "reason: must be"),
        ("/refused/replay", {"since": "yesterday"}, "since: write a time with its offset"),
        ("/refused/replay", {"ids": [0]}, "0: must be greater than or equal to 1"),
        ("/refused/replay", {"ids": [1] * 1001}, "ids: Tuple should have at most 1000 items"),
        ("/refused/replay", {"all": True}, "all: Extra inputs are not permitted"),
        ("/redecode", {"devices": [], "since": NOW_TEXT}, "devices: Tuple should have at least 1 item"),
        ("/redecode", {"devices": ["lamp-1"]}, "since: Field required"),
    ],
)
def test_a_bad_wish_is_one_line(client: TestClient, path: str, body: dict[str, object], said: str) -> None:
    """Named by its key."""
    refused = client.post(path, json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_request")
    assert refused.json()["error"]["message"].startswith(said)


def test_senders_nobody_knows_are_listed_with_a_guess(client: TestClient) -> None:
    """And how sure it is."""
    (found,) = asked(client, "/pending")["items"]
    assert (found["name"], found["source"], found["uplinks"], found["sureness"]) == ("plug_A1", "tasmota", 12, "sure")
    assert found["guesses"][0] == {"profile": "tasmota_meter_plug", "score": 0.95}
    assert found["last_at"] == "2026-05-28T20:25:40.123Z"
    assert asked(client, "/pending", since="2030-01-01T00:00:00Z") == {"items": []}


# bad questions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "code", "words"),
    [
        ("/nothing", 404, "not_found", "Not Found"),
        ("/devices/nobody", 404, "not_found", "no device 'nobody' in the fleet; see /devices"),
        ("/latest?device=nobody", 404, "not_found", "no device 'nobody'"),
        ("/refused/99", 404, "not_found", "no refused message 99"),
        ("/refused/0", 400, "bad_request", "number: must be greater than or equal to 1"),
        ("/refused/99999999999999999999", 400, "bad_request", "number: must be less than or equal to 922337203"),
        ("/refused?reason=boredom", 400, "bad_request", "reason: must be 'unknown_topic'"),
        ("/devices?limit=0", 400, "bad_request", "limit: must be greater than or equal to 1"),
        ("/devices?limit=100000", 400, "bad_request", "limit: must be less than or equal to 5000"),
        ("/devices?limit=many", 400, "bad_request", "limit: must be a valid integer"),
        ("/devices?state=happy", 400, "bad_request", "state: must be 'never'"),
        ("/series?device=lamp-1", 400, "bad_request", "property: Field required"),
        ("/series?device=lamp-1&property=ph", 404, "not_found", "lamp-1 has no property 'ph'; it has power, lamp_on"),
        ("/power?store=moon", 404, "not_found", "no store 'moon'; there are commune, province"),
        ("/power?points=1", 400, "bad_request", "points: must be greater"),
        ("/power?start=yesterday", 400, "bad_request", "start: write a time with its offset"),
        ("/power?start=2026-05-28T00:00:00", 400, "bad_request", "write a time with its offset"),
        ("/power?start=9999-01-01T00:00:00Z", 400, "bad_request", "between 1970 and 2200"),
        ("/power?start=2030-01-01T00:00:00Z", 400, "bad_request", "start must lie before stop"),
        ("/power?start=1990-01-01T00:00:00Z", 400, "bad_request", "five years at most"),
        ("/power?stop=1970-01-01T00:00:00Z", 400, "bad_request", "start must lie before stop"),
        ("/backfill", 405, "bad_request", "Method Not Allowed"),
    ],
)  # fmt: skip
def test_a_bad_question_is_answered_in_one_shape(
    client: TestClient, path: str, status: int, code: str, words: str
) -> None:
    """Which parameter, what would be right."""
    response = client.get(path.replace("/power?", "/series?device=lamp-1&property=power&"))
    assert response.status_code == status
    error = response.json()["error"]
    assert set(response.json()) == {"error"}
    assert error["code"] == code
    assert words in error["message"]
    assert "\n" not in error["message"]


def test_a_defect_is_answered_in_the_same_shape(bench: Bench, tmp_path: Path) -> None:
    """Without its traceback."""

    def broken() -> State:
        raise ZeroDivisionError("a defect")

    app = create_app(replace(bench.parts, state=broken), tmp_path)
    response = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False).get("/devices")
    assert response.status_code == 500
    assert response.json() == {"error": {"code": "internal", "message": "the gateway failed on this; its log says why"}}


# who may ask ----------------------------------------------------------------------------------------------------

TOKEN = "a-token-of-24-characters"


@pytest.fixture
def guarded(bench: Bench, tmp_path: Path) -> Iterator[TestClient]:
    """A client of an app with a token."""
    parts = replace(bench.parts, settings=Api(host="0.0.0.0", token=SecretStr(TOKEN)))
    with client_of(parts, tmp_path) as opened:
        yield opened


def test_no_question_makes_the_api_fail(bench: Bench) -> None:
    """Whatever is asked, the answer is one the OpenAPI document announces; and without the token there is none."""
    app = create_app(replace(bench.parts, settings=Api(token=SecretStr(TOKEN))))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    schema.config.update(base_url="http://127.0.0.1")
    paths = []
    for found in schema.include(method="GET").exclude(path="/live").get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]

        @given(case=operation.as_strategy())
        @settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        def ask(case: Any) -> None:
            # A schema cannot say "between 1970 and 2200" or "start before stop": those are answered with 400.
            accepted = [positive_data_acceptance]
            case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"}, excluded_checks=accepted)

        ask()
        paths.append(operation.path)
    assert len(paths) == 16


@pytest.mark.parametrize("path", ["/devices", "/health", "/metrics", "/live", "/refused/3", "/laboratory"])
def test_every_question_needs_the_token(guarded: TestClient, path: str) -> None:
    """In the header or in the address."""
    for refused in (guarded.get(path), guarded.get(path, params={"token": TOKEN[:-1]}),
                    guarded.get(path, headers={"Authorization": f"Basic {TOKEN}"})):  # fmt: skip
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "unauthorized")
        assert refused.headers["WWW-Authenticate"] == "Bearer"
    if path != "/live":
        assert guarded.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert guarded.get(path, params={"token": TOKEN}).status_code == 200


def test_the_board_itself_needs_no_token_so_that_it_can_ask_for_it(guarded: TestClient) -> None:
    """It holds no data."""
    assert "board" in guarded.get("/").text
    assert guarded.get("/static/board.js").status_code == 200
    assert guarded.post("/reload").status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:9000"}, 200),
        ({"Host": "[::1]:8765"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[bad"}, 403),
        ({"Origin": "http://127.0.0.1:8765"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_without_a_token_only_this_machines_own_pages_may_ask(
    client: TestClient, headers: dict[str, str], status: int
) -> None:
    """A page elsewhere can make a browser here ask, but not as this host."""
    response = client.post("/reload", headers=headers)
    assert response.status_code == status
    if status == 403:
        assert response.json()["error"]["code"] == "unauthorized"


@pytest.mark.parametrize("path", ["/", "/static/board.js", "/devices", "/nothing"])
def test_every_answer_keeps_a_page_within_bounds(client: TestClient, path: str) -> None:
    """Only our own scripts, no frame, nothing guessed, no data cached."""
    headers = client.get(path).headers
    assert "default-src 'none'; script-src 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == ("no-cache" if path in {"/", "/static/board.js"} else "no-store")


def test_nothing_outside_the_boards_folder_is_served(client: TestClient, tmp_path: Path) -> None:
    """However it is written."""
    (tmp_path.parent / "secret").write_text("secret")
    for path in ("/static/../secret", "/static/%2e%2e/secret", "/static//etc/passwd"):
        assert client.get(path).status_code == 404


# live -----------------------------------------------------------------------------------------------------------


def parsed(event: bytes) -> tuple[str, Any]:
    """Name and data of one event."""
    name, data = event.decode().strip().split("\n")
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def next_events(listener: Listener, count: int) -> list[tuple[str, Any]]:
    """So many events, as they come."""
    stream = listener.events()
    return [parsed(await asyncio.wait_for(anext(stream), 10)) for _ in range(count)]


def with_feed(bench: Bench, steps: Callable[[LiveFeed], Any]) -> None:
    """Run ``steps`` beside a feed that looks every 10 ms."""

    async def run() -> None:
        feed = LiveFeed(bench.parts, tick_seconds=0.01)
        serving = asyncio.create_task(feed.run())
        try:
            await steps(feed)
        finally:
            feed.close()
            await serving

    asyncio.run(run())


def listener_of(feed: LiveFeed, commune: str | None = None) -> Listener:
    """A listener that was let in."""
    listener = feed.listen(commune)
    assert listener is not None
    return listener


def test_a_stream_begins_with_everything_and_goes_on_with_what_changes(bench: Bench) -> None:
    """One commune's listener hears nothing of another."""

    async def steps(feed: LiveFeed) -> None:
        all_of_them, one_commune = listener_of(feed), listener_of(feed, "10700")
        (first, snapshot), (second, health) = await next_events(all_of_them, 2)
        assert (first, second) == ("snapshot", "health")
        assert snapshot["now"] == NOW_TEXT
        assert snapshot["devices"]["lamp-1"] == {
            "s": "ok", "t": (NOW - MINUTE) // 1_000_000, "v": {"power": [41.5, 1, (NOW - MINUTE) // 1_000_000]},
        }  # fmt: skip
        assert snapshot["devices"]["beacon-1"] == {"s": "never", "t": None, "v": {}}
        assert len(snapshot["devices"]) == 6
        assert health == {
            "status": "ok",
            "ledger": {"received": 12, "kept": 9, "refused": 2, "repeated": 1},
            "waiting": 2,
        }
        (_, of_commune), _ = await next_events(one_commune, 2)
        assert list(of_commune["devices"]) == ["water-1", "lamp-4"]
        put(bench.state, "lamp-2", 0, 40.0, 1)
        bench.state.seen[1] = NOW
        name, change = (await next_events(all_of_them, 1))[0]
        while name in ("health", "alerts"):
            name, change = (await next_events(all_of_them, 1))[0]
        assert name == "change"
        assert change["devices"] == {
            "lamp-2": {"s": "ok", "t": NOW // 1_000_000, "v": {"power": [40.0, 1, (NOW - MINUTE) // 1_000_000]}}
        }
        put(bench.state, "water-1", 0, 7.0, 1)
        events = await next_events(one_commune, 1)
        while events[-1][0] in ("health", "alerts"):
            events += await next_events(one_commune, 1)
        assert list(events[-1][1]["devices"]) == ["water-1"]

    with_feed(bench, steps)


def test_silence_is_a_change_too(bench: Bench) -> None:
    """Nothing arrives, and that is the news."""
    clock = [NOW]
    bench.parts = replace(bench.parts, now=lambda: clock[0])

    async def steps(feed: LiveFeed) -> None:
        listener = listener_of(feed)
        await next_events(listener, 2)
        clock[0] += 20 * MINUTE
        events = await next_events(listener, 1)
        while events[-1][0] in ("health", "alerts"):
            events += await next_events(listener, 1)
        states = {name: live["s"] for name, live in events[-1][1]["devices"].items()}
        assert states == {"lamp-1": "silent", "water-1": "silent", "lamp-4": "silent"}

    with_feed(bench, steps)


def test_a_new_fleet_begins_a_new_snapshot(bench: Bench) -> None:
    """Indexes mean other devices then."""

    async def steps(feed: LiveFeed) -> None:
        listener = listener_of(feed, "10700")
        await next_events(listener, 2)
        registry = Registry.of([fleet_row("lamp-9", "lamp", "10700")], [LAMP])
        bench.state = bench.state.carried_to(registry)
        events = await next_events(listener, 1)
        while events[-1][0] in ("health", "alerts"):
            events += await next_events(listener, 1)
        assert events[-1][0] == "snapshot"
        assert list(events[-1][1]["devices"]) == ["lamp-9"]

    with_feed(bench, steps)


def test_a_listener_that_does_not_read_is_let_go(bench: Bench) -> None:
    """After a bounded number of events; the others go on."""

    async def steps(feed: LiveFeed) -> None:
        slow, quick = listener_of(feed), listener_of(feed)
        heard = 0
        while not slow.let_go.is_set():
            put(bench.state, "lamp-1", 0, 40.0 + heard, 1)
            heard += len(await next_events(quick, 1))
        assert heard >= MAX_WAITING
        assert feed.listener_count == 1

    with_feed(bench, steps)


def test_a_feed_that_fails_lets_its_listeners_begin_anew(bench: Bench) -> None:
    """And goes on."""
    good = bench.parts.state

    def broken() -> State:
        raise ZeroDivisionError("a defect")

    looks = [good, broken]
    bench.parts = replace(bench.parts, state=lambda: looks.pop(0)() if looks else good())

    async def steps(feed: LiveFeed) -> None:
        first = listener_of(feed)
        names = [parsed(event)[0] async for event in first.events()]
        assert names == ["snapshot", "health", "alerts"]
        assert (await next_events(listener_of(feed), 1))[0][0] == "snapshot"

    with_feed(bench, steps)


# a real server --------------------------------------------------------------------------------------------------


@pytest.fixture
def server(bench: Bench, tmp_path: Path) -> Iterator[ApiServer]:
    """The app served by uvicorn on a free port."""
    (tmp_path / "index.html").write_text("board")
    running = ApiServer(replace(bench.parts, settings=Api(port=0)), tmp_path)
    running.start()
    yield running
    running.stop()


def test_a_real_server_answers_and_streams_and_stops_with_streams_open(bench: Bench, server: ApiServer) -> None:
    """The stream ends by itself, whole, as soon as the gateway stops."""
    plain = HTTPConnection("127.0.0.1", server.port, timeout=10)
    plain.request("GET", "/health")
    assert json.loads(plain.getresponse().read())["status"] == "ok"
    stream = HTTPConnection("127.0.0.1", server.port, timeout=10)
    stream.request("GET", "/live?commune=10700")
    response = stream.getresponse()
    assert response.headers["Content-Type"].startswith("text/event-stream")
    lines = [response.readline() for _ in range(9)]
    assert lines[::3] == [b"event: snapshot\n", b"event: health\n", b"event: alerts\n"]
    put(bench.state, "water-1", 0, 7.5, 1)
    assert response.readline() == b"event: change\n"
    assert json.loads(response.readline().removeprefix(b"data: "))["devices"]["water-1"]["v"]["ph"][0] == 7.5
    server.stop()
    rest = response.read()
    assert rest == b"\n" or rest.endswith(b"\n\n")
    plain.close()
    stream.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))


def test_a_client_that_leaves_is_forgotten(server: ApiServer) -> None:
    """Its place is free again."""
    feed: LiveFeed = server.app.state.feed
    stream = HTTPConnection("127.0.0.1", server.port, timeout=10)
    stream.request("GET", "/live")
    response = stream.getresponse()
    assert response.readline() == b"event: snapshot\n"
    assert feed.listener_count == 1
    response.close()
    stream.close()
    other = HTTPConnection("127.0.0.1", server.port, timeout=10)
    while feed.listener_count:
        other.request("GET", "/vocabulary")
        other.getresponse().read()
    other.close()


def test_a_taken_address_is_said_in_one_line(bench: Bench, tmp_path: Path, server: ApiServer) -> None:
    """With what to do."""
    second = ApiServer(replace(bench.parts, settings=Api(port=server.port)), tmp_path)
    with pytest.raises(
        OSError, match=f"cannot listen on 127.0.0.1 port {server.port}: Address already in use; another"
    ):
        second.start()
