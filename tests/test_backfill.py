"""Old readings from a file: nothing twice, nothing left out, every bad record kept with its bytes."""

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from gateway.line.backfill import BackfillError, Intake, OutOfStepError, Progress, count_records, file_id, read_records
from gateway.line.journal import Journal, JournalFullError
from gateway.line.loop import Line, NoEdge
from gateway.line.pipeline import Limits, Pipeline
from gateway.line.pruning import Bounds
from gateway.line.records import Records
from gateway.line.recovery import recover
from gateway.line.snapshot import Saver
from gateway.line.state import State
from tests.line_parts import make_registry, open_journal

TIME = "2026-07-25T00:{:02d}:00Z"
AT = 1784937600 * 10**9
"""2026-07-25T00:00:00Z [ns]."""


class Bench:
    """A line without a broker, running on a journal in a folder."""

    def __init__(self, folder: Path, bounds: Bounds | None = None) -> None:
        self.folder = folder
        self.journal = open_journal(folder, bounds=bounds)
        registry = make_registry()
        pipeline = Pipeline(registry, State(registry), self.journal.senders, Limits())
        recover(pipeline, self.journal, folder / "state.bin")
        self.line = Line(NoEdge(), pipeline, self.journal, Saver(folder / "state.bin"))
        self.intake = Intake(self.line)
        self.line.start()

    def close(self) -> None:
        """Stop as the gateway stops."""
        self.line.stop()
        self.journal.close()

    def lines(self) -> list[str]:
        """Everything that waits for the store."""
        rows = self.journal.rows.backlog("commune", 2**60, 10**6, 10**9)
        return [text for row in rows for text in row.lines.decode().splitlines()]

    def refused(self) -> list[tuple[str, str, bytes]]:
        """Reason, device and bytes of each refused record, oldest first."""
        records = Records(self.journal.path)
        found = [records.refused_payload(row.id) for row in reversed(records.refused(0, None, None, None, 100))]
        records.close()
        return [(row.reason, row.device, payload) for row, payload, _ in filter(None, found)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Starts lines on the same folder, one after the other."""
    running: list[Bench] = []

    def make(**more: Bounds) -> Bench:
        while running:
            running.pop().close()
        running.append(Bench(tmp_path / "data", **more))
        return running[-1]

    yield make
    for one in running:
        one.close()


Files = Callable[[str, str], Path]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Writes a file of this name."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write


CSV = (
    "time,device,ph,conductivity [mS/cm],water_temperature [[degF]],seq\n"
    f"{TIME.format(1)},water-1,7.1,0.5,50,1\n"
    f"{TIME.format(2)},water-1,,0.75,,2\n\n"
    f'"{TIME.format(3)}", water-1 ,7.3,,50,\n'
)
JSON_LINES = (
    f'{{"device": "water-1", "observed_at": "{TIME.format(1)}", "ph": 7.1}}\n\n'
    f'{{"time": "{TIME.format(2)}", "device": "water-1", "conductivity": {{"value": 0.5, "unit": "mS/cm"}}}}\r\n'
)
WATER = "water_quality,commune=10642,device=water-1"


def test_csv_with_units_in_its_header(bench: Callable[..., Bench], files: Files) -> None:
    """Each cell in the unit its column says; empty cells are no readings."""
    line = bench()
    path = files("a.csv", CSV)
    assert line.intake.take("f", 0, list(read_records(path))) == Progress(3, 3, 0, 0)
    assert line.lines() == [
        f"{WATER} ph=7.1,conductivity=500.0,water_temperature=10.0,quality=1,clock=0 {AT + 60 * 10**9}",
        f"{WATER} conductivity=750.0,quality=1,clock=0 {AT + 120 * 10**9}",
        f"{WATER} ph=7.3,water_temperature=10.0,quality=1,clock=0 {AT + 180 * 10**9}",
    ]
    assert count_records(path) == 3


def test_json_lines(bench: Callable[..., Bench], files: Files) -> None:
    """The native payload with the device beside it; ``time`` is another name for ``observed_at``."""
    path = files("a.jsonl", "\ufeff" + JSON_LINES)
    line = bench()
    assert line.intake.take("f", 0, list(read_records(path))) == Progress(2, 2, 0, 0)
    assert line.lines() == [
        f"{WATER} ph=7.1,quality=1,clock=0 {AT + 60 * 10**9}",
        f"{WATER} conductivity=500.0,quality=1,clock=0 {AT + 120 * 10**9}",
    ]
    assert count_records(path) == 2


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_device_of_a_file_without_one(files: Files, name: str) -> None:
    """Named beside the file; a record's own device wins."""
    texts = {
        "a.csv": f"ph,time\n7,{TIME.format(1)}\n",
        "a.jsonl": f'{{"ph": 7.0, "time": "{TIME.format(1)}"}}\n{{}}\n{{"device": "lamp-1"}}\n',
    }
    records = [json.loads(record) for record in read_records(files(name, texts[name]), "water-1")]
    expected = [("water-1", 7.0), ("water-1", None), ("lamp-1", None)]
    assert [(record["device"], record.get("ph")) for record in records] == expected[: len(records)]


BAD = [
    (b"no json", "malformed", ""),
    (b"[1]", "malformed", ""),
    (b'{"device": "water-1", "ph": 7', "malformed", ""),
    (b"\xff\xfe", "encoding", ""),
    (b'{"device": "nobody", "time": "2026-07-25T00:00:00Z", "ph": 7}', "unknown_device", ""),
    (b'{"time": "2026-07-25T00:00:00Z", "ph": 7}', "unknown_device", ""),
    (b'{"device": ["water-1"], "time": "2026-07-25T00:00:00Z", "ph": 7}', "unknown_device", ""),
    (b'{"device": "../x", "time": "2026-07-25T00:00:00Z", "ph": 7}', "unknown_device", ""),
    (b'{"device": "water-1", "ph": 7}', "clock", "water-1"),
    (b'{"device": "water-1", "time": "last week", "ph": 7}', "clock", "water-1"),
    (b'{"device": "water-1", "time": "2026-07-25T00:00:00Z", "ph": "7,1"}', "field_type", "water-1"),
    (b'{"device": "water-1", "time": "2026-07-25T00:00:00Z", "ph": 1e400}', "not_finite", "water-1"),
    (b'{"device": "water-1", "time": "2026-07-25T00:00:00Z", "ph": NaN}', "not_finite", "water-1"),
    (b'{"device": "water-1", "time": "2026-07-25T00:00:00Z", "power": 7}', "property", "water-1"),
    (b'{"device": "water-1", "time": "2026-07-25T00:00:00Z"}', "no_reading", "water-1"),
    (b'{"device": "water-1", "time": "2026-07-25T00:00:00Z", "ph": 7, "ph": 8}', "duplicate_key", "water-1"),
    (b'{"device": "toy-1", "time": "2026-07-25T00:00:00Z", "power": 7}', "simulated", "toy-1"),
]


def test_bad_records_are_refused_with_their_bytes(bench: Callable[..., Bench]) -> None:
    """Each by its own reason; the good ones between them are kept."""
    line = bench()
    good = b'{"device": "water-1", "time": "2026-07-25T01:%02d:00Z", "ph": 7}'
    records = [record for n, (bad, _, _) in enumerate(BAD) for record in (bad, good % n)]
    assert line.intake.take("f", 0, records) == Progress(2 * len(BAD), len(BAD), len(BAD), 0)
    refused = line.refused()
    assert [(reason, device) for reason, device, _ in refused] == [(reason, device) for _, reason, device in BAD]
    for (bad, _, device), (_, _, payload) in zip(BAD, refused, strict=True):
        if not device or b'"ph": 8' in bad:
            assert payload == bad
        else:
            record = {"observed_at" if key == "time" else key: value for key, value in json.loads(bad).items()}
            del record["device"]
            assert sorted(map(repr, json.loads(payload).items())) == sorted(map(repr, record.items()))
    assert len(line.lines()) == len(BAD)


def test_csv_row_whose_cells_do_not_fit_its_header_is_refused(bench: Callable[..., Bench], files: Files) -> None:
    """A decimal comma shifts every value behind it: nobody guesses which is which."""
    path = files("a.csv", f"time,device,ph,battery\n{TIME.format(1)},water-1,7,1,90\n{TIME.format(2)},water-1,7,,,\n")
    line = bench()
    assert line.intake.take("f", 0, list(read_records(path))) == Progress(2, 1, 1, 0)
    assert line.refused() == [("malformed", "", f"{TIME.format(1)},water-1,7,1,90".encode())]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,device,acidity\n", "line 1, column 3: 'acidity' is no property; see `docs/vocabulary.md`"),
        ("time;device;ph\n", "line 1, column 1: 'time;device;ph' is no property; see `docs/vocabulary.md`"),
        ("device,ph\n", "line 1: no column 'time'"),
        ("", "line 1: no column 'time'"),
        ("time,ph\n", "line 1: no column 'device'; name one with --device"),
        ("time,device,ph\n" + "x" * 200_000 + ",a,1\n", "not readable as CSV: field larger than field limit (131072)"),
    ],
)
def test_csv_that_cannot_be_understood(files: Files, text: str, said: str) -> None:
    """One line: file, place, what to do."""
    path = files("a.csv", text)
    with pytest.raises(BackfillError) as caught:
        list(read_records(path))
    assert str(caught.value) == f"{path}: {said}"


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, or in another encoding."""
    with pytest.raises(BackfillError, match="No such file or directory"):
        list(read_records(tmp_path / "none.csv"))
    (tmp_path / "latin.csv").write_bytes("time,device,ph\nđ".encode("utf-16"))
    with pytest.raises(BackfillError, match="not UTF-8 at byte 0; save it as UTF-8"):
        list(read_records(tmp_path / "latin.csv"))


def test_file_is_known_by_its_content_and_device(files: Files) -> None:
    """The same file goes on under another name; a changed one begins anew."""
    same, again = files("a.csv", CSV), files("b.csv", CSV)
    assert file_id(same, "x") == file_id(again, "x")
    assert len({file_id(same, "x"), file_id(same, "y"), file_id(files("c.csv", CSV + "\n"), "x")}) == 3


def many(count: int) -> Iterator[bytes]:
    """Records of as many different minutes."""
    for n in range(count):
        at = f"2026-07-{1 + n // 1440:02d}T{n // 60 % 24:02d}:{n % 60:02d}:00Z"
        yield json.dumps({"device": "water-1", "time": at, "ph": 7 + n % 5 / 10}).encode()


def test_file_goes_on_where_it_was_stopped(bench: Callable[..., Bench]) -> None:
    """Stopped after any chunk, also between the commit and its answer: nothing twice, nothing left out."""
    records = list(many(2500))
    line = bench()
    for start in (0, 600):
        line.intake.take("f", start, records[start : start + 600])
    line = bench()
    assert (line.intake.done("f"), line.intake.done("g")) == (1200, 0)
    rest = islice(records, line.intake.done("f"), None)
    done = 1200
    while chunk := list(islice(rest, 500)):
        done = line.intake.take("f", done, chunk).done
    assert done == 2500
    stamps = [text.rsplit(" ", 1)[1] for text in line.lines()]
    assert (len(stamps), len(set(stamps))) == (2500, 2500)
    assert line.journal.totals() == (2500, 2500, 0, 0)


@pytest.mark.parametrize("start", [0, 99, 101])
def test_chunk_out_of_step_is_not_taken(bench: Callable[..., Bench], start: int) -> None:
    """Sent twice, or one left out: the sender hears where to go on."""
    line = bench()
    line.intake.take("f", 0, list(many(100)))
    with pytest.raises(OutOfStepError) as caught:
        line.intake.take("f", start, list(many(5)))
    assert (caught.value.done, str(caught.value)) == (
        100,
        "100 records of this file are here already; go on with the next one",
    )
    assert line.journal.totals().received == 100


def test_old_values_are_neither_late_nor_news(bench: Callable[..., Bench]) -> None:
    """The device did not speak; what it said since is still the latest."""
    line = bench()
    line.intake.take(
        "f", 0, [json.dumps({"device": "lamp-1", "time": TIME.format(n), "power": n}).encode() for n in (5, 2)]
    )
    pipeline = line.line.pipeline
    assert (pipeline.tally.late, pipeline.state.last_seen(0)) == (0, 0)
    assert pipeline.state.latest(0) == (5.0, AT + 300 * 10**9, 1)


def test_full_journal_lets_the_sender_try_again(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    """The line stops before there is room: the chunk is not on disk, and its count neither."""
    line = bench()
    full: list[Journal] = []

    def check(journal: Journal) -> None:
        full.append(journal)
        line.line._stopping.set()
        raise JournalFullError("journal holds 2 MB of at most 1 MB")

    monkeypatch.setattr(Journal, "_check_room", check)
    with pytest.raises(TimeoutError, match="the gateway is stopping; send the chunk again"):
        line.intake.take("f", 0, list(many(10)))
    monkeypatch.undo()
    assert full
    line = bench()
    assert (line.intake.done("f"), line.intake.take("f", 0, list(many(10)))) == (0, Progress(10, 10, 0, 0))


def test_stopped_gateway_answers_at_once(bench: Callable[..., Bench]) -> None:
    """Not after a minute."""
    line = bench()
    line.line.stop()
    with pytest.raises(TimeoutError, match="the gateway is stopping"):
        line.intake.done("f")
