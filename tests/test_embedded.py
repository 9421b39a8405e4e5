"""The embedded store by itself: its file, its line reader, what survives, what is pruned, who may read meanwhile."""

import math
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model import LinesRefusedError, Point, StoreMisconfiguredError, StoreUnavailableError, Window
from gateway.northbound import embedded
from gateway.northbound.embedded import Embedded
from gateway.northbound.line_reader import read_head, read_lines

T0 = 1_790_000_000_000_000_000
HOUR = 3_600_000_000_000
ALWAYS = Window(0, 2**62, 0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Embedded]:
    """An empty store; ``tmp_path / "store.db"`` is its file."""
    with closing(Embedded(name="commune", path=tmp_path / "store.db")) as made:
        yield made


def line(value: float, at: int, device: str = "lamp-17", field: str = "power") -> bytes:
    return f"streetlight,commune=04234,device={device} {field}={value!r},quality=1,clock=0 {at}\n".encode()


def values(store: Embedded, device: str = "lamp-17", field: str = "power") -> list[float]:
    return [point.mean for point in store.series("streetlight", "04234", device, field, ALWAYS)]


# the line reader ---------------------------------------------------------------------------------------------


def test_a_line_is_read_as_written() -> None:
    (seen,) = read_lines(b"weather,commune=04234,device=st-1 air_temperature=23.5,rain=1e-05,quality=1,clock=0 -5\n")
    assert seen == (
        1, "weather,commune=04234,device=st-1", ("air_temperature", "rain", "quality", "clock"),
        [23.5, 1e-05, 1.0, 0.0], -5,
    )  # fmt: skip


def test_empty_lines_and_comments_are_passed_over() -> None:
    seen = [(found.number, found.values) for found in read_lines(b"\n# a b c\nm x=1 1\n  \n m x=2 2\n\nm x=3 3"[0:16])]
    assert seen == [(3, [1.0])]


def test_escapes_and_more_spaces_are_read() -> None:
    (seen,) = read_lines(rb"m\,x,device=a\ b\,c\=d  x=1.5,y=-.5e3   7 ")
    assert (seen.names, seen.values, seen.time) == (("x", "y"), [1.5, -500.0], 7)
    assert seen.head == r"m\,x,device=a\ b\,c\=d"
    with pytest.raises(ValueError, match="measurement 'm,x' is not of the form"):
        read_head(seen.head)
    assert read_head(r"m,z=\,\ \=,a=\\ ") == ("m", (("a", "\\ "), ("z", ", =")))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("m x= 1", "missing field"),
        ("m x 1", "missing field value in 'x'"),
        ("m 1", "missing field value in '1'"),
        ("m", "missing fields"),
        ("m x=1,,y=2 1", "missing field between commas"),
        ("m x=1, 1", "missing field between commas"),
        ("m x=nan 1", "field x is not a float: 'nan'"),
        ("m x=inf 1", "field x is not a float: 'inf'"),
        ("m x=1_0 1", "field x is not a float: '1_0'"),
        ("m x=1i 1", "field x is not a float: '1i'"),
        ("m x=true 1", "field x is not a float: 'true'"),
        ('m x="a b,c" 1', "field x is not a float: '\"a b,c\"'"),
        ("m x=1e999 1", "a number is too large for a float"),
        ("m x=٣ 1", "field x is not a float"),
        ("m X=1 1", "field name 'X' is not of the form"),
        ("m _time=1 1", "field name '_time' is not of the form"),
        ("m x=1", "the timestamp is missing"),
        ("m x=1 1.5", "bad timestamp '1.5'"),
        ("m x=1 ٣", "bad timestamp '٣'"),
        ("m x=1 - ", "bad timestamp '-'"),
        ("m x=1 9223372036854775808", "the timestamp is out of range"),
        ("m x=1 99999999999999999999", "bad timestamp"),
        ("m x=1 2 3", "missing fields"),
        ("m x=1 1\r", "bad timestamp"),
    ],
)
def test_a_bad_line_is_named_with_its_reason(bad: str, reason: str) -> None:
    with pytest.raises(LinesRefusedError) as caught:
        list(read_lines(b"m x=1 1\n" + bad.encode() + b"\n"))
    assert str(caught.value).startswith(f"line 2: {reason}")
    assert bad in str(caught.value)


def test_text_that_is_not_utf8_is_refused_by_its_line() -> None:
    with pytest.raises(LinesRefusedError, match="line 2 is not UTF-8"):
        list(read_lines(b"m x=1 1\nm,device=\xff x=1 1\n"))


def test_a_long_bad_line_is_shortened() -> None:
    with pytest.raises(LinesRefusedError) as caught:
        list(read_lines(b"m " + b"x" * 10_000))
    assert len(str(caught.value)) < 300


@given(st.binary(max_size=80))
def test_arbitrary_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(LinesRefusedError):
        for found in read_lines(body):
            assert all(map(math.isfinite, found.values))


@settings(max_examples=50)
@given(
    st.dictionaries(st.text(min_size=1, alphabet=st.characters(exclude_characters="\\\n", codec="utf-8")),
                    st.text(min_size=1, alphabet=st.characters(exclude_characters="\\\n", codec="utf-8")), max_size=4),
    st.dictionaries(st.from_regex(r"\A[a-z][a-z0-9_]{0,9}\Z"), st.floats(allow_nan=False, allow_infinity=False),
                    min_size=1, max_size=5),
    st.integers(-(2**63), 2**63 - 1),
)  # fmt: skip
def test_what_is_written_with_escapes_is_read_back(tags: dict[str, str], fields: dict[str, float], time: int) -> None:
    def escaped(text: str) -> str:
        return text.replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ")

    head = "weather" + "".join(f",{escaped(key)}={escaped(value)}" for key, value in tags.items())
    written = f"{head} {','.join(f'{name}={value!r}' for name, value in fields.items())} {time}\n"
    (seen,) = read_lines(written.encode())
    assert dict(zip(seen.names, seen.values, strict=True)) == fields
    assert (seen.time, read_head(seen.head)) == (time, ("weather", tuple(sorted(tags.items()))))


# the store ---------------------------------------------------------------------------------------------------


def test_a_refused_body_leaves_nothing_behind(store: Embedded) -> None:
    store.write(line(1.0, T0))
    bad_head = b"Weather,commune=04234,device=st-1 x=1 1\n"
    for bad in (b"rubbish\n", bad_head, b"weather,commune=1,commune=2 x=1 1\n", b"weather, x=1 1\n"):
        with pytest.raises(LinesRefusedError, match="line 3: "):
            store.write(line(2.0, T0) + line(5.0, T0, field="new_field") + bad)
        assert values(store) == [1.0]
        assert values(store, field="new_field") == []
    store.write(line(2.0, T0) + line(5.0, T0, field="new_field"))
    assert values(store) + values(store, field="new_field") == [2.0, 5.0]


def test_the_last_of_several_values_in_one_body_stands(store: Embedded) -> None:
    other = line(2.0, T0, field="voltage").replace(b"quality=1", b"power=9.0")
    store.write(line(1.0, T0) + other + line(3.0, T0))
    assert values(store) == [3.0]
    assert values(store, field="voltage") == [2.0]


def test_the_order_of_tags_does_not_make_another_series(store: Embedded) -> None:
    store.write(b"streetlight,device=lamp-17,commune=04234 power=1 %d\n" % T0)
    store.write(line(2.0, T0))
    assert values(store) == [2.0]


def test_another_tag_makes_another_series_that_is_found_as_well(store: Embedded) -> None:
    store.write(b"streetlight,commune=04234,device=lamp-17,phase=l1 power=1 %d\n" % T0)
    store.write(line(2.0, T0))
    assert sorted(values(store)) == [1.0, 2.0]


def test_times_before_1970_fall_into_the_bucket_below(store: Embedded) -> None:
    store.write(line(1.0, -1) + line(2.0, -10) + line(3.0, -11) + line(4.0, 0))
    seen = store.series("streetlight", "04234", "lamp-17", "power", Window(-100, 100, 10))
    assert seen == [Point(-20, 3, 3, 3), Point(-10, 1.5, 1, 2), Point(0, 4, 4, 4)]


def test_everything_is_there_after_closing_and_opening(store: Embedded, tmp_path: Path) -> None:
    store.write(line(1.0, T0) + line(2.0, T0 + 1, device="lamp-18"))
    store.close()
    with closing(Embedded(name="again", path=tmp_path / "store.db")) as again:
        assert values(again) == [1.0]
        again.write(line(3.0, T0 + 5) + line(230.0, T0, field="voltage"))
        assert values(again) == [1.0, 3.0]
    assert values(store) == [1.0, 3.0]


def test_an_accepted_body_survives_kill_9(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom gateway.northbound.embedded import Embedded\n"
        "store = Embedded(name='c', path=Path(sys.argv[1]))\n"
        "line = b'streetlight,commune=04234,device=lamp-17 power=%d %d\\n'\n"
        "for n in range(50):\n    store.write(line % (n, n + 1))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "store.db"
    subprocess.run([sys.executable, "-c", script, str(path)], check=False, cwd=Path(__file__).parent.parent)
    with closing(Embedded(name="commune", path=path)) as store:
        assert values(store) == [float(n) for n in range(50)]


def test_backfill_of_fifty_thousand_lines_is_all_there(store: Embedded) -> None:
    chance = random.Random(3)
    written = {device: [round(chance.uniform(0, 90), 2) for _ in range(500)] for device in range(100)}
    for first in range(0, 500, 50):
        store.write(
            b"".join(
                line(found[at], T0 + at * 300_000_000_000, device=f"lamp-{device}")
                for at in range(first, first + 50)
                for device, found in written.items()
            )
        )
    assert all(values(store, f"lamp-{device}") == found for device, found in written.items())
    hours = store.series("streetlight", "04234", "lamp-42", "power", Window(0, 2**62, HOUR))
    for point in hours:
        inside = [v for at, v in enumerate(written[42]) if 0 <= T0 + at * 300_000_000_000 - point.time < HOUR]
        assert (point.low, point.high) == (min(inside), max(inside))
        assert point.mean == pytest.approx(sum(inside) / len(inside))
    assert len(hours) == 42


def test_prune_takes_what_is_older_and_nothing_else(store: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_PRUNE_SECONDS", 0.0001)
    store.write(b"".join(line(float(n), T0 + n, device=f"lamp-{d}") for n in range(10) for d in range(5)))
    store.write(b"weather,commune=04234,device=st-1 x=1 %d\n" % (T0 + 3))
    store.write(b"streetlight_hour,commune=04234,device=lamp-0 power_mean=1 %d\n" % T0)
    assert store.prune(T0 + 4, "reading") == 5 * 4 + 1
    assert [values(store, f"lamp-{d}") for d in range(5)] == [[4.0, 5.0, 6.0, 7.0, 8.0, 9.0]] * 5
    assert store.prune(T0 + 4, "reading") == 0
    assert [store.prune(T0 + 4, kind) for kind in ("day", "hour")] == [0, 1]
    store.write(line(0.5, T0, device="lamp-0"))
    assert values(store, "lamp-0")[0] == 0.5


def test_readers_in_other_threads_see_whole_bodies_while_lines_come_in(store: Embedded) -> None:
    """Each body holds ten points; no reader ever sees a part of one."""
    store.write(b"".join(line(0.0, T0 + n) for n in range(10)))
    stop, seen, faults = threading.Event(), [], []

    def read() -> None:
        while not stop.is_set():
            found = len(values(store))
            seen.append(found)
            if found % 10:
                faults.append(found)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for body in range(1, 40):
        store.write(b"".join(line(float(body), T0 + body * 10 + n) for n in range(10)))
    stop.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert seen
    assert len(values(store)) == 400


def test_measurements_and_fields_are_bounded(store: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_MOST_MEASUREMENTS", 2)
    monkeypatch.setattr(embedded, "_MOST_FIELDS", 3)
    store.write(line(1.0, T0) + b"weather,device=a x=1 1\n")
    with pytest.raises(LinesRefusedError, match="there are 2 measurements already: air,device=a"):
        store.write(b"air,device=a x=1 1\n")
    with pytest.raises(LinesRefusedError, match="streetlight has 3 fields already, no room for voltage"):
        store.write(line(1.0, T0, field="voltage"))
    store.write(line(2.0, T0))
    assert values(store) == [2.0]


def test_what_is_remembered_is_bounded(store: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_REMEMBERED", 3)
    for n in range(10):
        store.write(line(float(n), T0, device=f"lamp-{n}", field=f"f{n}"))
    assert [values(store, f"lamp-{n}", f"f{n}") for n in range(10)] == [[float(n)] for n in range(10)]


def test_a_full_disk_is_an_outage_and_loses_nothing(store: Embedded, tmp_path: Path) -> None:
    store.write(line(1.0, T0))
    pages = store._open().execute("PRAGMA page_count").fetchone()[0]
    store._open().execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailableError, match="is full; is there room on the disk"):
        store.write(b"".join(line(float(n), T0 + n) for n in range(5000)))
    # The next call opens the file anew, as after the disk has room again.
    store.write(line(2.0, T0 + 1))
    assert values(store) == [1.0, 2.0]


def test_a_locked_file_is_an_outage(store: Embedded, tmp_path: Path) -> None:
    store.write(line(1.0, T0))
    store._open().execute("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="database is locked"):
            store.write(line(2.0, T0 + 1))
        other.execute("ROLLBACK")
    store.write(line(2.0, T0 + 1))
    assert values(store) == [1.0, 2.0]


def test_damaged_and_newer_files_are_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"not a database, but long enough to look at" * 100)
    before = path.read_bytes()
    with closing(Embedded(name="commune", path=path)) as store:
        with pytest.raises(StoreMisconfiguredError, match="the file is damaged: stop the gateway, move the file aside"):
            store.write(line(1.0, T0))
        with pytest.raises(StoreUnavailableError, match="the file is damaged"):
            values(store)
        (problem,) = store.check()
        assert problem.startswith(f"commune: {path}: file is not a database")
    assert path.read_bytes() == before
    newer = tmp_path / "newer.db"
    with closing(sqlite3.connect(newer)) as other:
        other.execute("PRAGMA user_version = 9")
    with (
        closing(Embedded(name="commune", path=newer)) as store,
        pytest.raises(StoreMisconfiguredError, match=r"written by a newer gateway \(schema 9"),
    ):
        store.write(line(1.0, T0))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with closing(Embedded(name="commune", path=tmp_path / "file" / "store.db")) as store:
        (problem,) = store.check()
        assert problem.startswith(f"commune: {tmp_path / 'file' / 'store.db'}: ")
        assert problem.endswith("may the gateway write there?")


def test_a_healthy_store_has_no_problems(store: Embedded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert store.check() == []
    monkeypatch.setattr(embedded, "_LEAST_FREE_MB", 1 << 40)
    (problem,) = store.check()
    assert problem.endswith(f"MB free beside {tmp_path / 'store.db'}; make room or keep fewer days")


def test_nothing_is_opened_before_the_first_call(tmp_path: Path) -> None:
    Embedded(name="commune", path=tmp_path / "store.db").close()
    assert list(tmp_path.iterdir()) == []
