"""The simulators: scenarios, fleets, devices, the lean publisher, and the command."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from devices.fleet_csv import load_fleet
from devices.profile import shipped_profiles
from simulators import documents
from simulators.cohorts import along
from simulators.commands import register
from simulators.faults import MEANING
from simulators.fleet import Fleet, build, write_csv
from simulators.local_time import DAY, HOUR, month_start
from simulators.options import parse_broker, parse_moment, parse_span
from simulators.packets import publish_packet, text, varying
from simulators.province import EAST, NORTH, SOUTH, WEST, province_places
from simulators.publisher import Broker, BrokerRefusedError, Note, Publisher, Speaker
from simulators.scenario import ScenarioError, load_scenario, parse_scenario
from simulators.shipped import shipped_names
from simulators.signals import DECIMALS
from simulators.simulate import Pace, Progress, assignment, run, speakers
from simulators.stream import Stream
from tests import servers

START = month_start((2026 - 1970) * 12 + 7)


@pytest.fixture(scope="module")
def commune() -> Fleet:
    return build(load_scenario("commune"), 1, START + 30 * DAY)


# scenarios and fleets -----------------------------------------------------------------------------------------------


def test_every_shipped_scenario_can_be_read() -> None:
    assert "commune" in shipped_names()
    for name in shipped_names():
        assert load_scenario(name).title_vi


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("title_vi = 1", "title_vi"),
        ("title_vi = 'x'\ntitle_en = 'x'\nsped = 3", "sped: Extra inputs are not permitted"),
        ("title_vi = ", "not TOML"),
        ("title_vi = 'x'\ntitle_en = 'x'\n[[street]]\nlamps = 0", "street.0"),
    ],
)
def test_a_bad_scenario_is_one_line_with_file_and_key(body: str, words: str) -> None:
    with pytest.raises(ScenarioError) as error:
        parse_scenario(body, "bad.toml")
    assert str(error.value).startswith("bad.toml: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["storm", "outage", "straw_burning", "salinity", "blackout"])
def test_a_scenario_shows_what_it_is_about(name: str) -> None:
    start = month_start((2026 - 1970) * 12 + {"straw_burning": 5, "salinity": 1}.get(name, 7)) + 9 * DAY
    plan = load_scenario(name)
    uplinks = Stream(build(plan, plan.seed, start + 10 * DAY), start + 19 * HOUR).take(start + 20 * HOUR)
    seen = {
        "storm": sum("outage" in u.kinds or "late" in u.kinds for u in uplinks) > 50,
        "outage": sum(u.kinds == ("outage",) for u in uplinks) > 500,
        "straw_burning": max(u.report.values.get("pm2_5", 0.0) for u in uplinks) > 150.0,
        "salinity": max(u.report.values.get("conductivity", 0.0) for u in uplinks) > 2000.0,
        "blackout": sum(u.report.sequence is not None and u.report.sequence < 1000 for u in uplinks) > 1000,
    }
    assert seen[name]
    assert len(uplinks) > 1000


def test_every_kind_of_fault_is_in_a_shipped_scenario() -> None:
    used = {fault.kind for name in shipped_names() for fault in load_scenario(name).fault}
    assert used == set(MEANING)


def test_the_provinces_devices_offer_eight_thousand_uplinks_a_second() -> None:
    plan = load_scenario("province")
    place = plan.spread
    assert place is not None
    devices = len(province_places(3)) * (place.cabinets * (place.lamps + 1) + place.water + place.air + place.tap)
    assert devices == 200_169
    assert 8000 < devices / plan.interval.lamp < 8080
    assert set(plan.interval.model_dump().values()) == {25}


def test_the_province_is_207_communes_of_which_thirty_are_real_and_the_others_say_that_they_are_not() -> None:
    places = province_places(3)
    assert len({place.code for place in places}) == len(places) == 207
    real = [place for place in places if place.legacy]
    assert len(real) == 30
    assert {(place.code, place.name) for place in real} >= {
        ("old-10642", "xã Thái Tân"),
        ("old-10654", "xã Hồng Phong"),
    }
    constructed = [place for place in places if not place.legacy]
    assert all(place.code.startswith("sim-") and "giả định" in place.name for place in constructed)
    assert all(SOUTH <= place.position[0] <= NORTH and WEST <= place.position[1] <= EAST for place in places)
    assert province_places(3) == places
    moved = [after.position != before.position for before, after in zip(places, province_places(4), strict=True)]
    assert moved.count(True) > 170
    assert not any(move for move, place in zip(moved, places, strict=True) if place.legacy)


def test_a_provinces_device_carries_its_communes_key_and_old_code() -> None:
    plan = load_scenario("province")
    assert plan.spread is not None
    few = plan.spread.model_copy(update={"cabinets": 1, "lamps": 1, "water": 0, "air": 0, "tap": 0})
    rows = list(build(plan.model_copy(update={"spread": few, "fault": ()}), 3, START).rows())
    assert len(rows) == 2 * 207
    by_commune = {row.commune: row for row in rows if "cabinet" in row.device}
    assert by_commune["old-10816"].legacy_commune == "10816"
    assert by_commune["old-10816"].name == "Tủ đèn 1, xã Hồng Lạc"
    assert by_commune["sim-288-01"].legacy_commune == ""
    assert by_commune["sim-288-01"].device == "sim-288-01-cabinet-001"


def test_an_unknown_scenario_names_those_that_are_shipped() -> None:
    with pytest.raises(ScenarioError, match=r"no scenario 'comune'; shipped are .*commune"):
        load_scenario("comune")


def test_the_demo_is_sixty_lamps_three_cabinets_six_stations(commune: Fleet, tmp_path: Path) -> None:
    kinds = {cohort.kind: 0 for cohort in commune.cohorts}
    for cohort in commune.cohorts:
        kinds[cohort.kind] += len(cohort.names)
    assert kinds == {"lamp": 60, "cabinet": 3, "water": 3, "air": 2, "tap": 1}
    assert write_csv(commune, tmp_path / "fleet.csv") == commune.size == 69
    registry = load_fleet(tmp_path / "fleet.csv", shipped_profiles().values())
    assert len(registry) == 69
    assert all(registry.is_simulated(number) for number in range(69))
    lamp = registry.device(registry.index["lamp-017"])
    assert (lamp.commune, lamp.group, lamp.zone) == ("10642", "cabinet-1", "village")
    assert lamp.label == "Đèn 17, đường trục thôn Đông"
    # Within three kilometres of the commune's centre.
    assert np.hypot((lamp.latitude or 0) - 20.9762, ((lamp.longitude or 0) - 106.298) * 0.93) < 0.03


def test_lamps_stand_evenly_along_their_street() -> None:
    assert along([(20.0, 106.0), (20.002, 106.0)], [0.25, 0.75]) == [(20.0005, 106.0), (20.0015, 106.0)]


def test_devices_send_what_their_profile_declares_and_every_value_is_plausible(commune: Fleet) -> None:
    for cohort in commune.cohorts:
        samples = cohort.due(START, START + DAY, 1800.0)
        values = cohort.values(samples)
        declared = {entry.name for entry in cohort.profile.properties}
        missing = declared - set(values)
        assert missing <= {"turbidity_fnu"}, (cohort.kind, missing)
        assert set(values) <= set(DECIMALS)
        for record in cohort.records(samples, values):
            assert all(value == round(value, DECIMALS[name]) for name, value in record.items())


def test_devices_report_at_their_interval_but_not_all_at_once(commune: Fleet) -> None:
    lamps = commune.cohorts[0]
    samples = lamps.due(START, START + HOUR)
    assert np.bincount(samples.device).tolist() == [60] * len(lamps.names)
    assert len(set((lamps.phase % 60).tolist())) == len(lamps.names)
    first = samples.where(samples.device == 0)
    assert np.diff(first.number).tolist() == [1] * 59
    assert np.allclose(np.diff(first.at), 60.0)
    assert np.array_equal(np.sort(samples.at), samples.at)


def test_a_feeder_cut_by_day_silences_its_lamps_by_day() -> None:
    plan = load_scenario("commune")
    street = plan.street[0].model_copy(update={"powered": "with_circuit"})
    cut = build(plan.model_copy(update={"street": (street,), "fault": ()}), 1, START + DAY)
    hours = np.unique(((cut.cohorts[0].due(START, START + DAY).at - START) // HOUR).astype(int)).tolist()
    assert hours == [0, 1, 2, 3, 4, 5, 18, 19, 20, 21, 22, 23]
    assert next(iter(cut.rows())).powered == "with_circuit"


DIGEST = """
from hashlib import sha256
from simulators.fleet import build
from simulators.scenario import load_scenario
from simulators.stream import Stream
uplinks = Stream(build(load_scenario("district"), 2, 1786000000.0), 1785500000.0).take(1785500060.0)
digest = sha256(repr([(u.at, u.note, u.fate) for u in uplinks]).encode()).hexdigest()
print(len(uplinks), digest)
"""


def test_another_process_sends_the_same_bytes() -> None:
    """Whatever Python's own hashes are: noise is drawn from hashes that are the same everywhere."""
    root = Path(__file__).parent.parent
    said = {
        subprocess.run(
            [sys.executable, "-c", DIGEST], cwd=root, env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True, text=True, timeout=60, check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1
    assert int(said.pop().split()[0]) > 200


# documents ----------------------------------------------------------------------------------------------------------


def test_an_old_a_missing_and_a_changed_document_are_named(tmp_path: Path) -> None:
    names = documents.write(tmp_path)
    assert documents.outdated(tmp_path) == []
    page = tmp_path / "simulators.md"
    page.write_text(page.read_text("utf-8").replace("`leak`", "`loss`"), "utf-8")
    (tmp_path / "simulators" / "tide.svg").unlink()
    lamp = tmp_path / "simulators" / "lamp.svg"
    lamp.write_text(lamp.read_text("utf-8").replace('width="720"', 'width="700"'), "utf-8")
    assert documents.outdated(tmp_path) == [
        name for name in names if name in {"simulators.md", "simulators/tide.svg", "simulators/lamp.svg"}
    ]


# MQTT packets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "data"), [(0, "00"), (127, "7f"), (128, "8001"), (16383, "ff7f"), (16384, "808001")]
)
def test_remaining_length_is_written_as_the_standard_says(length: int, data: str) -> None:
    assert varying(length).hex() == data


def test_a_publish_packet_is_as_the_standard_says() -> None:
    """Source: OASIS MQTT 3.1.1, figure 3.11 (topic a/b, packet identifier 10)."""
    assert publish_packet(text("a/b"), b"x", (10).to_bytes(2, "big")).hex() == "32080003612f62000a78"
    assert publish_packet(text("a/b"), b"x", b"", retain=True).hex() == "31060003612f6278"
    long = publish_packet(text("a"), b"y" * 5000, b"\x00\x01")
    assert long[:3].hex() == "328d27"
    assert len(long) == 3 + 3 + 2 + 5000


class FakeBroker:
    """Accepts connections one after the other, and does with each what the test says."""

    def __init__(self, serve: Callable[[socket.socket, int], None]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(10)
        self.port: int = self.listener.getsockname()[1]
        self._serve = serve
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            for number in range(100):
                connection, _ = self.listener.accept()
                with connection:
                    connection.settimeout(10)
                    self._serve(connection, number)
        except OSError:
            return

    def __enter__(self) -> "FakeBroker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self._thread.join(10)


def packets(connection: socket.socket) -> Iterator[tuple[int, bytes]]:
    """First byte and body of each packet until the connection ends."""
    stream = connection.makefile("rb")
    while head := stream.read(2):
        length, shift = head[1] & 127, 7
        more = head[1]
        while more & 128:
            more = stream.read(1)[0]
            length |= (more & 127) << shift
            shift += 7
        yield head[0], stream.read(length)


def publish_all(publisher: Publisher, connections: int = 0) -> None:
    """Turn until everything is acknowledged, and at least so many connections stand."""
    until = time.monotonic() + 10.0
    while not publisher.idle() or publisher.counts().waiting or publisher.counts().connected < connections:
        assert time.monotonic() < until, publisher.counts()
        publisher.turn(0.05)


def test_what_was_not_acknowledged_is_sent_again_first_after_a_break() -> None:
    heard: list[list[bytes]] = []

    def serve(connection: socket.socket, number: int) -> None:
        heard.append([])
        for kind, body in packets(connection):
            if kind == 0x10:
                connection.sendall(b"\x20\x02\x00\x00")
            elif kind >> 4 == 3:
                heard[number].append(body[7:])
                if number == 0 and len(heard[0]) == 3:
                    # The first is acknowledged, two are not.
                    connection.sendall(b"\x40\x02" + body[3:5].replace(body[3:5], b"\x00\x01"))
                    return
                if number > 0:
                    connection.sendall(b"\x40\x02" + body[3:5])
            elif kind == 0xE0:
                return

    with FakeBroker(serve) as broker:
        publisher = Publisher(Broker(port=broker.port), [Speaker("one")], window=3)
        for number in range(6):
            publisher.offer(0, Note("a", b"..%d" % number))
        publish_all(publisher)
        publisher.close(1.0)
    assert [[body[-1:] for body in one] for one in heard] == [[b"0", b"1", b"2"], [b"1", b"2", b"3", b"4", b"5"]]
    counts = publisher.counts()
    assert (counts.offered, counts.acknowledged, counts.waiting, counts.breaks) == (6, 6, 0, 1)


def test_no_more_than_the_window_is_under_way() -> None:
    most = 0
    held: list[bytes] = []

    def serve(connection: socket.socket, number: int) -> None:
        nonlocal most
        for kind, body in packets(connection):
            if kind == 0x10:
                connection.sendall(b"\x20\x02\x00\x00")
            elif kind >> 4 == 3:
                held.append(body[3:5])
                most = max(most, len(held))
                if len(held) == 4 or body.endswith(b"9"):
                    connection.sendall(b"".join(b"\x40\x02" + one for one in held))
                    held.clear()

    with FakeBroker(serve) as broker:
        publisher = Publisher(Broker(port=broker.port), [Speaker("one")], window=4)
        for number in range(10):
            publisher.offer(0, Note("a", b"..%d" % number))
        publish_all(publisher)
        publisher.close(0.1)
    assert most == 4


def test_a_refused_account_is_said_in_words() -> None:
    with FakeBroker(lambda connection, _: connection.sendall(b"\x20\x02\x00\x05")) as broker:
        publisher = Publisher(Broker(port=broker.port, username="x", password="y"), [Speaker("one")])
        with pytest.raises(BrokerRefusedError, match="does not authorize this account"):
            publish_all(publisher, connections=1)
        publisher.close(0.0)


# with a real broker -------------------------------------------------------------------------------------------------


@contextmanager
def subscribed(server: servers.Server, *options: str) -> Iterator[Callable[[int], list[list[str]]]]:
    """``mosquitto_sub`` on everything; gives a function that waits for so many lines: topic, retained flag, payload."""
    program = servers.find_server("mosquitto_sub", "mosquitto-clients")
    command = [program, "-h", server.host, "-p", str(server.port), "-t", "#", "-q", "1", "-F", "%t|%r|%p", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines: list[list[str]] = []
    probes: list[list[str]] = []

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            parts = line.rstrip("\n").split("|", 2)
            # A probe may arrive late: it is none of what a test waits for.
            (probes if parts[0] == "probe" else lines).append(parts)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()

    def wait(number: int) -> list[list[str]]:
        until = time.monotonic() + 15.0
        while len(lines) < number and time.monotonic() < until:
            time.sleep(0.01)
        return lines

    _wait_for_subscriber(server, probes)
    try:
        yield wait
    finally:
        process.terminate()
        process.wait(10)
        reader.join(10)
        assert process.stdout is not None
        process.stdout.close()


def _wait_for_subscriber(server: servers.Server, probes: Sequence[object]) -> None:
    publisher = Publisher(Broker(server.host, server.port), [Speaker("probe")])
    until = time.monotonic() + 15.0
    while not probes and time.monotonic() < until:
        publisher.offer(0, Note("probe", b"x"))
        publish_all(publisher)
        time.sleep(0.02)
    publisher.close(1.0)


def small(connections: int) -> Fleet:
    """The demo's first five lamps and the tap."""
    plan = load_scenario("commune")
    street = plan.street[0].model_copy(update={"lamps": 5})
    few = plan.model_copy(update={"street": (street,), "water": (), "air": (), "connections": connections, "fault": ()})
    return build(few, 1, START + DAY)


@pytest.mark.parametrize("connections", [0, 3])
def test_a_fleet_reaches_a_real_broker_whole_and_in_order(broker: servers.Server, connections: int) -> None:
    fleet = small(connections)
    expected = Stream(fleet, START).take(START + 600.0)
    assert len(expected) == 70
    where: list[Progress] = []
    extra = 2 * 7 if connections == 0 else 0
    with subscribed(broker) as wait:
        pace = Pace(START, START + 600.0, 10_000.0)
        last = run(fleet, Broker(broker.host, broker.port), pace, lambda: False, where.append, "test")
        lines = [line for line in wait(70 + extra) if line[0] != "probe"]
    assert (last.sent, last.acknowledged, last.waiting, last.breaks) == (70, 70, 0, 0)
    assert where[-1].connections == (connections or 7)
    up = [line for line in lines if line[0].endswith("/up")]
    for device in {uplink.device for uplink in expected}:
        seen = [line[2] for line in up if line[0] == f"village/10642/{device}/up"]
        assert seen == [uplink.note.payload.decode() for uplink in expected if uplink.device == device]
    status = [line[2] for line in lines if line[0].endswith("/status")]
    assert sorted(status) == (["offline"] * 7 + ["online"] * 7 if connections == 0 else [])


def test_a_device_that_dies_leaves_its_last_will(broker: servers.Server) -> None:
    fleet = small(0)
    with subscribed(broker) as wait:
        publisher = Publisher(Broker(broker.host, broker.port), speakers(fleet, "test")[:1])
        publish_all(publisher, connections=1)
        for key in list(publisher._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.shutdown(socket.SHUT_RDWR)
        lines = wait(2)
        publisher.close(0.0)
    assert [line[2] for line in lines[:2]] == ["online", "offline"]


def test_a_device_keeps_to_one_connection() -> None:
    places = assignment(small(3))
    assert set(places.values()) == {0, 1, 2}
    assert len(places) == 7


# the command --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text_", "seconds"), [("90s", 90.0), ("15m", 900.0), ("12h", 43200.0), ("7d", 604800.0), ("0.5h", 1800.0)]
)
def test_spans_are_read(text_: str, seconds: float) -> None:
    assert parse_span(text_) == seconds


@pytest.mark.parametrize("text_", ["", "7", "d", "-1d", "0s", "90 years", "nan s", "9999w"])
def test_spans_that_are_none_are_said(text_: str) -> None:
    with pytest.raises(ValueError, match="span"):
        parse_span(text_)


def test_moments_and_brokers_are_read() -> None:
    assert parse_moment("now", 1.9) == 1.0
    assert parse_moment("2026-08-01", 0.0) == START
    assert parse_moment("2026-07-31T17:00:00Z", 0.0) == START
    assert parse_broker("broker.example:8883") == ("broker.example", 8883)
    assert parse_broker("[::1]:1883") == ("::1", 1883)
    for bad in ("tomorrow", "2019-01-01", "2099-01-01"):
        with pytest.raises(ValueError, match=bad):
            parse_moment(bad, 0.0)
    for bad in ("localhost", "localhost:", "x:0", "x:99999"):
        with pytest.raises(ValueError, match="write host:port"):
            parse_broker(bad)


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()

    @app.callback()
    def main() -> None:
        """The command of the whole distribution stands in for itself here."""

    register(app)
    return app


def test_the_command_writes_fleet_and_history(app: typer.Typer, tmp_path: Path) -> None:
    fleet, past = tmp_path / "fleet.csv", tmp_path / "history.jsonl"
    arguments = ["--from", "2026-08-01", "--history", "1h", "--fleet-out", str(fleet), "--history-out", str(past)]
    result = CliRunner().invoke(app, ["simulate", "commune", *arguments])
    assert result.exit_code == 0, result.output
    assert len(load_fleet(fleet, shipped_profiles().values())) == 69
    lines = [json.loads(line) for line in past.read_text("utf-8").splitlines()]
    assert len(lines) == 68 * 6
    assert [line["observed_at"] for line in lines] == sorted(line["observed_at"] for line in lines)
    assert all("2026-07-31T16:00" <= line["observed_at"] < "2026-07-31T17:00" for line in lines)
    assert {line["device"] for line in lines} == {
        row.device for row in build(load_scenario("commune"), 1, START).rows()
    } - {"water-3"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["comune"], "no scenario 'comune'"),
        (["commune", "--from", "yesterday"], "'yesterday' is not a date"),
        (["commune", "--for", "2 parsecs"], "is not a span of time"),
        (["commune", "--broker", "localhost"], "write host:port"),
        (["commune", "--fleet-out", "/nowhere/at/all.csv"], "/nowhere/at/all.csv.part: No such file or directory"),
        (["commune", "--broker", "127.0.0.1:1", "--ca-file", "/nowhere.pem"], "/nowhere.pem"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_status_two(app: typer.Typer, arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["simulate", *arguments])
    assert result.exit_code == 2
    assert words in result.output
    assert result.output.count("\n") == 1


def test_the_command_writes_what_goes_wrong_device_by_device(app: typer.Typer, tmp_path: Path) -> None:
    file = tmp_path / "faults.jsonl"
    arguments = ["--from", "2026-08-01", "--for", "1d", "--faults", str(file)]
    result = CliRunner().invoke(app, ["simulate", "commune", *arguments])
    assert result.exit_code == 0, result.output
    assert result.output.count("\n") == 1
    assert [json.loads(line) for line in file.read_text("utf-8").splitlines()] == [
        {"kind": "lamp_out", "device": "lamp-017", "start": "2024-12-31T17:00:00Z", "stop": None,
         "size": 1.0},
        {"kind": "day_burner", "device": "lamp-033", "start": "2023-12-31T17:00:00Z", "stop": None, "size": 1.0},
        {"kind": "silent", "device": "water-3", "start": "2026-07-30T19:30:00Z", "stop": "2026-07-31T18:30:00Z",
         "size": 1.0},
        {"kind": "silent", "device": "water-3", "start": "2026-07-31T19:30:00Z", "stop": "2026-08-01T18:30:00Z",
         "size": 1.0},
    ]  # fmt: skip


def test_a_broker_that_does_not_answer_is_said_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    said: list[str] = []
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1.0
        return now

    publisher = Publisher(Broker(port=port), [Speaker("a"), Speaker("b")], clock=clock, complain=said.append)
    for _ in range(50):
        publisher.turn(0.0)
    assert said == [f"127.0.0.1:{port}: Connection refused; trying again"]
    assert publisher.counts().refused == said[0]
    publisher.close(0.0)


def test_a_fleet_that_begins_late_makes_up_for_it(broker: servers.Server) -> None:
    """Between the moment that was asked for and the first uplink a history may have been written."""
    fleet = small(2)
    expected = Stream(fleet, START).take(START + 240.0)
    where: list[Progress] = []
    pace = Pace(START, START + 240.0, 1.0, late=240.0)
    began = time.monotonic()
    last = run(fleet, Broker(broker.host, broker.port), pace, lambda: False, where.append, "late")
    assert last.sent == last.acknowledged == len(expected)
    assert where[0].behind >= 240.0
    assert time.monotonic() - began < 120.0


def test_what_is_printed_at_ctrl_c_goes_on_where_it_stopped(broker: servers.Server, tmp_path: Path) -> None:
    """Two runs, the second from the first one's last words, say together what one run says."""
    script = "import typer; from simulators.commands import register; app = typer.Typer(); app.callback()(lambda: None)"
    command = [sys.executable, "-c", f"{script}; register(app); app()", "simulate", "storm", "--speed", "60"]
    command += ["--broker", f"{broker.host}:{broker.port}"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}

    def heard(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (tmp_path / name).read_text("utf-8").splitlines()]

    first = [*command, "--from", "2026-08-10T19:00", "--truth", str(tmp_path / "first")]
    with subprocess.Popen(first, stderr=subprocess.PIPE, text=True, env=environment) as process:
        while not (tmp_path / "first").exists() or (tmp_path / "first").stat().st_size < 20_000:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, words = process.communicate(timeout=30)
        assert process.returncode == 0, words
    again = words.splitlines()[-1].removeprefix("to go on from here: ").split()
    assert again[0] == "--from"
    second = [*command, *again, "--for", "2m", "--truth", str(tmp_path / "second")]
    subprocess.run(second, check=True, capture_output=True, env=environment, timeout=60)
    start, middle = (parse_moment(text_, 0.0) for text_ in ("2026-08-10T19:00", again[1]))
    whole = Stream(build(load_scenario("storm"), 4, middle + 120 + 400 * DAY), start)
    expected = [(u.device, u.note.topic, u.fate.value, list(u.kinds)) for u in whole.take(middle + 120.0)]
    said = [(line["device"], line["topic"], line["fate"], line["kinds"]) for line in heard("first") + heard("second")]
    assert len(expected) > 100
    assert said == expected


def test_the_command_publishes_until_the_end_of_its_span(
    app: typer.Typer, broker: servers.Server, tmp_path: Path
) -> None:
    truth = tmp_path / "truth.jsonl"
    arguments = ["--broker", f"{broker.host}:{broker.port}", "--from", "2026-08-01", "--for", "2m", "--speed", "1000"]
    script = "import typer; from simulators.commands import register; app = typer.Typer(); app.callback()(lambda: None)"
    command = [sys.executable, "-c", f"{script}; register(app); app()", "simulate", "commune"]
    done = subprocess.run(
        [*command, *arguments, "--truth", str(truth)],
        capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "69 devices of 'One commune" in done.stderr
    assert "136 sent, 136 acknowledged, 0 waiting" in done.stderr
    assert len(truth.read_text("utf-8").splitlines()) == 136
