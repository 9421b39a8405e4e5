"""Record and replay: what came over MQTT goes out again byte for byte, and real stations' records speak natively."""

import gzip
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from devices.codecs import Context, native
from devices.profile import shipped_profiles
from simulators.commands import register
from simulators.publisher import Broker, Note, Publisher, Speaker
from simulators.recording import Recorder, RecordingError, Step, bounded_lines, line_of, read_line
from simulators.replay import Owner, read_steps, replay
from tests import servers

WATER = native.decoder(shipped_profiles()["native_water_station"])
ROOT = Path(__file__).parent.parent
OWNER = Owner("11113", "water-9")
PLAIN = ["--commune", "11113", "--device", "water-9"]


def steps(path: Path, owner: Owner = OWNER) -> list[Step]:
    return list(read_steps(path, owner))


# the file -----------------------------------------------------------------------------------------------------------


@given(
    payload=st.binary(max_size=200),
    topic=st.text(st.characters(codec="utf-8", exclude_characters="#+\0"), min_size=1, max_size=30),
    at=st.integers(0, 4_000_000_000_000_000),
    retained=st.booleans(),
    qos=st.integers(0, 1),
)
def test_a_message_written_is_the_message_read(payload: bytes, topic: str, at: int, retained: bool, qos: int) -> None:
    line = line_of(at / 1e6, topic, qos, retained, payload)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    step = read_line(Path("x"), 1, line)
    assert step.note == Note(topic, payload, retained, qos)
    assert step.at == pytest.approx(at / 1e6, abs=2e-6)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"topic": "a", "received_at": "2026-08-01T00:00:00Z"}', "exactly one of text and base64"),
        ('{"topic": "a", "received_at": "2026-08-01T00:00:00Z", "text": "x", "base64": "eA=="}', "exactly one of"),
        ('{"topic": "a", "received_at": "2026-08-01T00:00:00Z", "base64": "%%"}', "base64"),
        ('{"topic": "a", "received_at": "2026-08-01T00:00:00", "text": "x"}', "without an offset"),
        ('{"topic": "a", "text": "x"}', "received_at: Field required"),
        ('{"topic": "", "received_at": "2026-08-01T00:00:00Z", "text": "x"}', "topic"),
        ('{"topic": "a", "received_at": "2026-08-01T00:00:00Z", "text": "x", "size": 3}', "size"),
        ('{"topic": "a/#", "received_at": "2026-08-01T00:00:00Z", "text": "x"}', "topic"),
        ('{"ph": 7.1}', "there is no time"),
        ('{"ph": "7.1", "time": "2026-08-01"}', "ph: '7.1' is not a finite number"),
        ('{"ph": 1e999, "time": "2026-08-01"}', "ph: 'inf' is not a finite number"),
        ('{"ph": true, "time": "2026-08-01"}', "ph: 'True' is not a finite number"),
        ('{"ph": {"value": 7, "unit": "kg"}, "time": "2026-08-01"}', "'kg' cannot express it"),
        ('{"ph": 7, "seq": "x", "time": "2026-08-01"}', "seq: 'x' is not a whole number from 0 on"),
        ('{"ph": 7, "seq": true, "time": "2026-08-01"}', "seq: 'True' is not"),
        ('{"ph": 7, "device": "a/b", "time": "2026-08-01"}', "device: 'a/b' is no name"),
        ('{"ph": 7, "commune": "#", "time": "2026-08-01"}', "commune: '#' is no name"),
        ("[" * 100_000, "not JSON"),
        ('{"ph": 7.1, "time": "noon"}', "'noon' is not a time"),
        ('{"phh": 7.1, "time": "2026-08-01"}', "'phh' is not in the vocabulary"),
    ],
)
def test_a_bad_line_is_named_with_file_line_and_cause(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(f"\n{line}\n", "utf-8")
    with pytest.raises(RecordingError) as error:
        steps(path)
    assert str(error.value).startswith(f"{path}: line 2: ")
    assert words in str(error.value)


def test_an_endless_line_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"{" * 3_000_000)
    with pytest.raises(RecordingError, match="line 1: longer than 2097152 bytes"):
        list(bounded_lines(path))


def test_a_missing_or_torn_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"none\.jsonl: No such file"):
        steps(tmp_path / "none.jsonl")
    torn = tmp_path / "torn.jsonl.gz"
    torn.write_bytes(gzip.compress(line_of(0.0, "a", 0, False, b"x") * 1000)[:-20])
    with pytest.raises(RecordingError, match=r"torn\.jsonl\.gz: Compressed file ended"):
        steps(torn)
    spoiled = tmp_path / "spoiled.jsonl.gz"
    whole = gzip.compress(b"".join(line_of(0.0, f"a/{number}", 0, False, b"x") for number in range(5000)))
    spoiled.write_bytes(whole[:2000] + bytes(200) + whole[2200:])
    with pytest.raises(RecordingError, match=r"spoiled\.jsonl\.gz: "):
        list(bounded_lines(spoiled))


# records of stations ------------------------------------------------------------------------------------------------


def test_a_csv_record_speaks_natively_with_its_units(tmp_path: Path) -> None:
    path = tmp_path / "station.csv"
    path.write_text(
        "time,water_temperature [[degF]],ph,river_flow [[cft_i]/s]\n"
        "2019-05-01T00:00:00Z,68,7.25,100\n"
        "2019-05-01 07:05,,7.3,\n"
        "2019-05-01T00:10:00Z,,,\n",
        "utf-8",
    )
    found = steps(path)
    assert [step.note.topic for step in found] == ["village/11113/water-9/up"] * 2
    messages = [WATER(step.note.payload, Context("up", ZoneInfo("Asia/Ho_Chi_Minh"), {})) for step in found]
    assert [[(o.property, o.value, o.unit) for o in message.observations] for message in messages] == [
        [("water_temperature", 68.0, "[degF]"), ("ph", 7.25, "[pH]"), ("river_flow", 100.0, "[cft_i]/s")],
        [("ph", 7.3, "[pH]")],
    ]
    # The second time has no offset, so it is Vietnamese: five minutes later.
    assert [step.at for step in found] == [1556668800.0, 1556669100.0]
    assert {message.observations[0].observed_at for message in messages} == {
        1556668800_000_000_000,
        1556669100_000_000_000,
    }


def test_backfill_lines_can_be_replayed_too(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    line = {"device": "water-1", "commune": "10642", "observed_at": "2026-08-01T00:00:00Z", "seq": 7, "ph": 7.1}
    path.write_text(json.dumps(line) + "\n", "utf-8")
    (step,) = steps(path, Owner())
    assert step.note.topic == "village/10642/water-1/up"
    assert json.loads(step.note.payload) == {"observed_at": "2026-08-01T00:00:00Z", "seq": 7, "ph": 7.1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("when,ph\n1,2\n", "line 1: the heading has neither time nor observed_at"),
        ("time,ph\n2026-08-01T00:00:00Z,acid\n", "line 2: ph: 'acid' is not a number"),
        ("time,ph\n2026-08-01T00:00:00Z,inf\n", "line 2: ph: 'inf' is not finite"),
        ("time,ph\n2026-08-01T00:00:00Z\n", "line 2: has 1 cells, the heading has 2"),
        ("time,ph [kg]\n2026-08-01T00:00:00Z,7\n", "'kg' cannot express it"),
        ("time,ph,ph\n2026-08-01T00:00:00Z,7,8\n", "line 1: the heading names a column twice"),
        ("time,ph\n2026-08-01T00:00:00Z,7\rx\n", "line 2: not CSV"),
        ("time,acidity\n2026-08-01T00:00:00Z,7\n", "'acidity' is not in the vocabulary"),
        ("", "line 1: the heading has neither"),
    ],
)
def test_a_bad_csv_is_named_with_line_and_cause(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "station.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(RecordingError) as error:
        steps(path)
    assert words in str(error.value)


def test_a_record_without_an_owner_asks_for_one(tmp_path: Path) -> None:
    path = tmp_path / "station.csv"
    path.write_text("time,ph\n2026-08-01T00:00:00Z,7\n", "utf-8")
    with pytest.raises(RecordingError, match="give --commune and --device"):
        steps(path, Owner())


# speed --------------------------------------------------------------------------------------------------------------


class Sink:
    """Stands for a publisher and for time: turning lets it pass."""

    def __init__(self) -> None:
        self.now = 100.0
        self.came: list[tuple[float, bytes]] = []

    def offer(self, connection: int, note: Note) -> None:
        self.came.append((round(self.now, 6), note.payload))

    def turn(self, seconds: float) -> None:
        self.now += seconds

    def counts(self) -> object:
        return type("Counts", (), {"waiting": 0, "acknowledged": len(self.came)})

    def idle(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("speed", "expected"), [(1.0, [100.0, 101.0, 104.0]), (4.0, [100.0, 100.25, 101.0]), (0.0, [100.0, 100.0, 100.0])]
)
def test_the_files_own_pace_is_kept_at_any_speed(speed: float, expected: list[float]) -> None:
    sink = Sink()
    file = [Step(50.0 + at, Note("a", b"%d" % at)) for at in (0, 1, 4)]
    played = replay(file, sink, speed, lambda: False, lambda now: None, lambda: sink.now)  # type: ignore[arg-type]
    assert [at for at, _ in sink.came] == expected
    assert [payload for _, payload in sink.came] == [b"0", b"1", b"4"]
    assert (played.sent, played.acknowledged) == (3, 3)


# with a real broker -------------------------------------------------------------------------------------------------


@contextmanager
def recording(server: servers.Server, path: Path, most_bytes: int = 1_000_000) -> Iterator[Recorder]:
    recorder = Recorder(path, Broker(server.host, server.port), ["#"], most_bytes, time.time)
    recorder.start()
    try:
        assert recorder.listening.wait(15)
        yield recorder
    finally:
        recorder.stop()


def wait_until(recorder: Recorder, messages: int) -> None:
    until = time.monotonic() + 15
    while recorder.messages < messages and not recorder.ended.is_set():
        assert time.monotonic() < until, recorder.messages
        time.sleep(0.005)


NOTES = [
    Note("village/10642/lamp-001/up", b'{"power":60.5}'),
    Note("village/10642/lamp-001/status", b"online", retain=True),
    Note("spBv1.0/g/DDATA/n/d", bytes(range(256))),
    Note("tele/\u0111\u00e8n/SENSOR", "S\u00e1ng".encode()),
    Note("empty", b""),
]


def publish(server: servers.Server, notes: list[Note]) -> None:
    publisher = Publisher(Broker(server.host, server.port), [Speaker("test")])
    for note in notes:
        publisher.offer(0, note)
    until = time.monotonic() + 15
    while not publisher.idle():
        assert time.monotonic() < until
        publisher.turn(0.05)
    publisher.close(1.0)


@pytest.mark.parametrize("name", ["r.jsonl", "r.jsonl.gz"])
def test_what_was_recorded_and_replayed_is_what_came_first(broker: servers.Server, tmp_path: Path, name: str) -> None:
    with recording(broker, tmp_path / name) as first:
        publish(broker, NOTES)
        wait_until(first, len(NOTES))
    file = steps(tmp_path / name)
    assert [(step.note.topic, step.note.payload) for step in file] == [(note.topic, note.payload) for note in NOTES]
    with recording(broker, tmp_path / "again.jsonl") as second:
        # The retained message greets the new subscriber.
        wait_until(second, 1)
        publisher = Publisher(Broker(broker.host, broker.port), [Speaker("replay")])
        played = replay(file, publisher, 0.0, lambda: False, lambda now: None, time.monotonic)
        publisher.close(1.0)
        wait_until(second, 1 + len(NOTES))
    assert (played.sent, played.acknowledged) == (len(NOTES), len(NOTES))
    greeting, *again = steps(tmp_path / "again.jsonl")
    assert greeting.note == NOTES[1]
    assert [(step.note.topic, step.note.payload) for step in again] == [(note.topic, note.payload) for note in NOTES]


def test_recording_stops_at_its_limit(broker: servers.Server, tmp_path: Path) -> None:
    with recording(broker, tmp_path / "r.jsonl", most_bytes=500) as recorder:
        publish(broker, [Note("a", b"x" * 100)] * 10)
        assert recorder.ended.wait(15)
    assert recorder.messages == 2
    assert len(steps(tmp_path / "r.jsonl")) == 2


# the commands -------------------------------------------------------------------------------------------------------


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    return app


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["replay", "/none.csv", "--broker", "127.0.0.1:1"], "/none.csv: No such file or directory"),
        (["replay", "/none.csv", "--broker", "nowhere"], "write host:port"),
        (["record", "/nowhere/r.jsonl", "--broker", "127.0.0.1:1"], "/nowhere/r.jsonl: No such file or directory"),
        (["record", "/tmp/x", "--broker", "127.0.0.1:1", "--for", "soon"], "is not a span of time"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_status_two(app: typer.Typer, arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert words in result.output
    assert result.output.count("\n") == 1


def test_a_station_is_replayed_and_recorded_by_the_commands(
    app: typer.Typer, broker: servers.Server, tmp_path: Path
) -> None:
    where, out = ["--broker", f"{broker.host}:{broker.port}"], tmp_path / "r.jsonl"
    csv = tmp_path / "station.csv"
    csv.write_text("time,ph\n2026-08-01T00:00:00Z,7.1\n2026-08-01T01:00:00Z,7.2\n", "utf-8")
    script = "import typer; from simulators.commands import register; app = typer.Typer(); app.callback()(lambda: None)"
    command = [sys.executable, "-c", f"{script}; register(app); app()", "record", str(out), *where]
    recorder = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 30
        while not out.is_file() or out.stat().st_size == 0:
            # Until the recorder listens, nobody hears these.
            assert time.monotonic() < until
            publish(broker, [Note("probe", b"")])
        result = CliRunner().invoke(app, ["replay", str(csv), *where, "--speed", "0", *PLAIN])
        assert result.exit_code == 0, result.output
        assert "2 messages sent, 2 acknowledged" in result.output
        while b"7.2" not in out.read_bytes():
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        recorder.send_signal(signal.SIGINT)
        _, error = recorder.communicate(timeout=20)
    assert recorder.returncode == 0, error
    came = [step.note for step in steps(out) if step.note.topic != "probe"]
    assert [json.loads(note.payload)["ph"] for note in came] == [7.1, 7.2]


def test_a_real_stations_record_becomes_native_uplinks() -> None:
    """The 5-minute record of USGS 01650800, in the units of its agency."""
    found = steps(ROOT / "tests" / "data" / "usgs_01650800_2019-05.csv")
    assert len(found) > 100
    context = Context("up", ZoneInfo("Asia/Ho_Chi_Minh"), {})
    first = {one.property: (one.value, one.unit) for one in WATER(found[0].note.payload, context).observations}
    assert first["water_temperature"] == (19.6, "Cel")
    assert first["river_flow"] == (5.86, "[cft_i]/s")
    assert first["water_level"] == (0.95, "[ft_i]")
    assert {round(after.at - before.at) % 300 for before, after in pairwise(found)} == {0}
