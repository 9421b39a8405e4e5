"""The simulators' truth and the gateway agree, message by message: nothing lost, nothing invented, nothing twice."""

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from devices.codecs import times
from devices.storage import Table
from devices.topics import VENDOR_SOURCES
from devices.units import conversion
from devices.vocabulary import VOCABULARY
from simulators.fleet import Fleet, build, write_csv
from simulators.local_time import DAY, HOUR, month_start
from simulators.publisher import Broker
from simulators.scenario import load_scenario
from simulators.shipped import shipped_names
from simulators.simulate import Pace, run
from simulators.truth import Truth
from tests import servers
from tests.gateway_process import EMBEDDED, GatewayProcess, await_that
from tests.servers import Server

AUGUST, JUNE, FEBRUARY = (month_start((2026 - 1970) * 12 + month) + 9 * DAY for month in (7, 5, 1))
SCENARIOS = {
    "commune": (AUGUST + 1.6 * HOUR, 15 * 60.0),
    "district": (AUGUST + 19 * HOUR, 8 * 60.0),
    "storm": (AUGUST + 18.5 * HOUR, 12 * 60.0),
    "outage": (AUGUST + 20 * HOUR, 20 * 60.0),
    "straw_burning": (JUNE + 19 * HOUR, 15 * 60.0),
    "salinity": (FEBRUARY + 6 * HOUR, 15 * 60.0),
    "blackout": (AUGUST + 8 * HOUR, 8 * 60.0),
    "province": (AUGUST + 19 * HOUR, 5.0),
}
"""When each begins, and for how many seconds; a fifth of the province's 200,000 devices speak in its five."""
KINDS = {
    "district": {"lost", "duplicated", "late", "reordered", "garbage", "reboot", "clock_ahead", "dead_battery"},
    "storm": {"lost", "duplicated", "late"},
    "outage": {"outage"},
    "salinity": {"drift"},
    "blackout": {"echo"},
    "province": {"lost", "truncated", "lamp_out"},
}
"""Faults that happen in that time."""
BY_THE_WAY = {"chirpstack": {"rssi", "snr"}, "things_stack": {"rssi", "snr"}, "sparkplug_b": {"online"}}
"""What a gateway also stores: how the network heard the device, and that a birth means it is there."""
POSITION = {"latitude", "longitude"}
"""Stored by the gateway itself, from the registry."""
FIVE_MINUTES, YEAR_2015 = 300 * 10**9, 1_420_070_400 * 10**9


def simulated(name: str, broker: Server, folder: Path) -> tuple[Fleet, list[dict[str, Any]], dict[str, int]]:
    """Run a scenario into a gateway; the fleet, the truth, and the ledger's totals once everything has arrived."""
    plan = load_scenario(name)
    start, seconds = SCENARIOS[name]
    fleet = build(plan.model_copy(update={"connections": plan.connections or 4}), plan.seed, start + 30 * DAY)
    write_csv(fleet, folder / "simulated.csv")
    named = ", ".join(f'"{source}"' for source in VENDOR_SOURCES)
    options = f"accept_simulated = true\nerror_replies = false\nsources = [{named}]"
    csv = (folder / "simulated.csv").read_text("utf-8")
    gateway = GatewayProcess(folder, broker.port, EMBEDDED, fleet=csv, gateway=options)
    gateway.patience = patience = 60.0 + fleet.size / 500.0
    with gateway, Truth(folder / "truth.jsonl") as truth:
        await_that(
            "the gateway listens",
            lambda: {"part": "broker", "state": "ok"}.items() <= health(gateway).items(),
            patience,
        )
        pace = Pace(start, start + seconds, 100_000.0)
        last = run(fleet, Broker(broker.host, broker.port), pace, lambda: False, lambda now: None, "truth", truth)
        assert last.acknowledged == last.sent
        await_that("the gateway has everything", lambda: gateway.totals()["received"] >= last.sent, patience)
        await_that("the store has everything", lambda: waiting(gateway) == 0, patience)
        totals = gateway.totals()
        assert gateway.ask("/ledger")["holds"]
        assert gateway.stop() == 0
    lines = [json.loads(line) for line in (folder / "truth.jsonl").read_text("utf-8").splitlines()]
    return fleet, lines, totals


def health(gateway: GatewayProcess) -> dict[str, str]:
    """What the gateway says of its broker."""
    found: dict[str, str] = next(part for part in gateway.ask("/health")["parts"] if part["part"] == "broker")
    return found


def waiting(gateway: GatewayProcess) -> int:
    """Lines that the store has not taken yet."""
    count: int = gateway.ask("/ledger")["lines"]["stores"][0]["waiting"]
    return count


def stored(folder: Path) -> Iterator[tuple[str, str, int, float]]:
    """Every reading and position in the embedded store: device, property, time [ns], value; no sums and roll-ups."""
    (path,) = [file for file in folder.rglob("*.db") if "here" in str(file) or "store" in str(file)]
    measurements = {known.measurement for known in VOCABULARY.values()} | {Table.DEVICE}
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        tables = [row[0] for row in store.execute("SELECT name FROM sqlite_master WHERE name LIKE 'point_%'")]
        for table in [table for table in tables if table.removeprefix("point_") in measurements]:
            columns = [row[1] for row in store.execute(f'PRAGMA table_info("{table}")')]
            for column in [name for name in columns if name in VOCABULARY]:
                question = f'SELECT s.device, p._time, p."{column}" FROM "{table}" p JOIN series s ON s.id = p._series'
                for device, at, value in store.execute(f'{question} WHERE p."{column}" IS NOT NULL'):
                    yield device, column, at, value


def steps_of(fleet: Fleet) -> dict[tuple[str, str], float]:
    """How coarse a format says a property: a step of the device's number, in the canonical unit."""
    found = {}
    for cohort in fleet.cohorts:
        for entry in cohort.profile.properties:
            rule = conversion(entry.name, entry.unit)
            assert rule is not None
            coarse = {"zigbee2mqtt": 1.0, "chirpstack": 1.0}.get(cohort.format, 0.0)
            step = abs(entry.scale * rule.factor) * coarse
            if cohort.format == "tasmota" and entry.name == "power":
                step = 0.21  # the sum of three rounded phases is not the rounded sum
            for name in cohort.names:
                found[name, entry.name] = step
    return found


# One scenario here, the others take a minute and more and belong to the long suite.
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name", [name if name == "commune" else pytest.param(name, marks=pytest.mark.faults) for name in SCENARIOS]
)
def test_the_gateway_has_what_the_simulator_says(name: str, tmp_path: Path) -> None:
    # With its own default the broker would drop what waits beyond a thousand messages.
    with servers.mosquitto("max_queued_messages 0") as broker:
        fleet, said, totals = simulated(name, broker, tmp_path)
    truth = as_heard(said)
    fates = Counter(line["fate"] for line in truth)
    assert KINDS.get(name, set()) <= {kind for line in truth for kind in line["kinds"]}
    assert totals == {
        "received": len(truth) - fates["lost"],
        "kept": fates["kept"],
        "refused": fates["refused"],
        "repeated": fates["repeated"],
    }
    formats = {device: cohort.format for cohort in fleet.cohorts for device in cohort.names}
    steps = steps_of(fleet)
    exact: dict[tuple[str, str, int], float] = {}
    untimed: Counter[tuple[str, str]] = Counter()
    for line in truth:
        if line["fate"] != "kept" or "values" not in line:
            continue
        at = nanoseconds(line.get("observed_at"))
        for property_name, value in line["values"].items():
            if at is not None and YEAR_2015 <= at <= time.time_ns() + FIVE_MINUTES:
                exact[line["device"], property_name, at] = value
            else:
                untimed[line["device"], property_name] += 1
    places = {row.device: {"latitude": row.latitude, "longitude": row.longitude} for row in fleet.rows()}
    wrong: list[tuple[str, str, int, float, float | None]] = []
    for device, property_name, at, value in stored(tmp_path):
        if (device, property_name, at) in exact:
            expected = exact.pop((device, property_name, at))
            if abs(value - expected) > max(steps[device, property_name], 1e-6 * abs(expected), 1e-9):
                wrong.append((device, property_name, at, value, expected))
        elif untimed[device, property_name] > 0:
            untimed[device, property_name] -= 1
        elif property_name in POSITION:
            if value != places[device][property_name]:
                wrong.append((device, property_name, at, value, places[device][property_name]))
        elif property_name not in BY_THE_WAY.get(formats[device], ()):
            wrong.append((device, property_name, at, value, None))
    assert wrong[:10] == []
    assert list(exact.items())[:10] == []
    assert [place for place, number in untimed.items() if number][:10] == []


def nanoseconds(text: str | None) -> int | None:
    """RFC 3339 as nanoseconds."""
    return None if text is None else times.instant(text, UTC)[0]


def as_heard(truth: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The truth as a gateway sees it that heard nothing before: a repeat of what it never had is new to it."""
    heard: set[tuple[str, object, object]] = set()
    found = []
    for line in truth:
        key = (line["device"], line.get("observed_at"), line.get("seq"))
        new = line["fate"] == "kept" or (line["fate"] == "repeated" and key not in heard)
        if new:
            heard.add(key)
        found.append(line | {"fate": "kept"} if new else line)
    return found


def test_every_scenario_is_compared() -> None:
    assert set(SCENARIOS) == set(shipped_names())
