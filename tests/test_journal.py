"""The journal: what is appended is there after any crash, for every store until it has it, within its bounds."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.observation import Reason
from gateway.line import outbox as outbox_module
from gateway.line.journal import Journal, JournalFullError
from gateway.line.journal_file import JournalError
from gateway.line.pruning import SCAN_ROWS, SHRINK_ROWS, Bounds
from gateway.line.raw_uplinks import pack_raw, unpack_raw
from gateway.line.records import Records
from gateway.model import Outcome, RefusedUplink, RejectedLine, Row, Uplink
from tests.line_parts import NOW, Clock, make_batch, open_journal, up

ALL = (10**6, 10**9)
"""More lines and bytes than there are."""
BOTH = ("commune", "province")


@pytest.fixture
def clock() -> Clock:
    """The journal's wall clock."""
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> Iterator[Journal]:
    """A fresh journal with two stores."""
    fresh = open_journal(tmp_path, BOTH, now=clock)
    yield fresh
    fresh.close()


def append(journal: Journal, number: int, **more: object) -> int:
    """One commit with one uplink of lamp-1 and one line."""
    (sender,) = journal.senders(["lamp-1"])
    return journal.append(make_batch((sender,), lines=[f"m value={number}"], **more))  # type: ignore[arg-type]


def waiting(journal: Journal, store: str = "commune") -> list[int]:
    """Ids of the rows a store has not accepted, oldest first."""
    return [row.id for row in journal.rows.backlog(store, 2**60, *ALL)]


def crashed_copy(journal: Journal, folder: Path) -> Path:
    """What a power cut now would leave: main file and write-ahead log as they are, no shared memory, no lock."""
    folder.mkdir()
    for suffix in ("", "-wal"):
        part = journal.path.with_name(journal.path.name + suffix)
        if part.exists():
            shutil.copyfile(part, folder / part.name)
    return folder


def lines_hold(journal: Journal) -> bool:
    """Whether ``kept = waiting + stored + rejected`` for every store, asked as the API does."""
    records = Records(journal.path)
    try:
        return records.lines().holds
    finally:
        records.close()


# what is appended is there -----------------------------------------------------------------------------------


def test_rows_come_back_as_they_were(journal: Journal, tmp_path: Path) -> None:
    """From memory, and after a crash from the disk."""
    ids = [append(journal, n) for n in range(3)]
    rows = [Row(number, 1, f"m value={n}\n".encode()) for n, number in enumerate(ids)]
    assert (ids, journal.rows.newest()) == ([1, 2, 3], 3)
    assert journal.rows.fresh("commune", 0, *ALL) == rows
    copy = open_journal(crashed_copy(journal, tmp_path / "copy"), BOTH)
    assert (copy.rows.fresh("commune", 0, *ALL), copy.rows.backlog("province", 2, *ALL)) == (rows, rows[:2])
    assert copy.rows.newest() == 3
    copy.close()


def test_every_commit_point_is_whole(journal: Journal, tmp_path: Path, clock: Clock) -> None:
    """Copied after each commit: rows, totals, notes, refused and marks are those of that commit."""
    for number in range(1, 13):
        refused = [RefusedUplink(up(b"?"), "lamp-1", Reason.MALFORMED, "not JSON")] if number % 3 == 0 else []
        outcome = Outcome.REFUSED if refused else Outcome.KEPT
        journal.append(
            make_batch(
                journal.senders([f"lamp-{number % 4}"]), lines=[f"m v={number}"], refused=refused, outcome=outcome
            ),
            {"position": str(number)},
        )
        if number % 4 == 0:
            journal.rows.accepted("commune", [number - 1, number], [RejectedLine(number, b"m v=0", "bad")])
        if number % 5 == 0:
            journal.tend(force=True)
        copy = open_journal(crashed_copy(journal, tmp_path / f"copy-{number}"), BOTH, now=clock)
        delivered = {row for n in range(4, number + 1, 4) for row in (n - 1, n) if n < number or number % 5 == 0}
        assert copy.totals() == journal.totals() == (number, number - number // 3, number // 3, 0)
        assert waiting(copy) == [n for n in range(1, number + 1) if n not in delivered]
        assert waiting(copy, "province") == list(range(1, number + 1))
        assert copy.note("position") == str(number)
        assert lines_hold(copy)
        copy.close()


def test_closing_and_opening_changes_nothing(tmp_path: Path) -> None:
    """Folding at the end and reading at the start are each other's reverse."""
    journal = open_journal(tmp_path, BOTH)
    for number in range(5):
        append(journal, number)
    journal.rows.accepted("commune", [1, 2], [])
    journal.close()
    again = open_journal(tmp_path, BOTH)
    assert (again.totals(), waiting(again), again.rows.newest()) == ((5, 5, 0, 0), [3, 4, 5], 5)
    assert append(again, 6) == 6
    again.close()


def test_newest_row_is_known_when_all_have_left(journal: Journal, tmp_path: Path, clock: Clock) -> None:
    """A snapshot of the state is taken at a row; its number must not fall back to 0."""
    append(journal, 1)
    for store in BOTH:
        journal.rows.accepted(store, [1], [])
    clock.forward(1000)
    journal.tend(force=True)
    journal.tend(force=True)
    assert list(journal.heard_after(0)) == []
    copy = open_journal(crashed_copy(journal, tmp_path / "copy"), BOTH)
    assert copy.rows.newest() == 1
    copy.close()


def test_small_things_ride_in_the_next_transaction(tmp_path: Path) -> None:
    """Known at once, on disk with the next commit or tending, never a commit of their own."""
    journal = open_journal(tmp_path, BOTH)
    journal.remember("subscribed", "a")
    journal.count("lost_at_broker", 2)
    journal.count("lost_at_broker", 3)
    assert journal.senders(["lamp-1", "lamp-2", "lamp-1"]) == [1, 2, 1]
    assert journal.note("subscribed") == "a"
    for number, expected in enumerate([("", 0), ("a", 5)]):
        copy = open_journal(crashed_copy(journal, tmp_path / f"copy-{number}"), BOTH)
        records = Records(copy.path)
        assert (copy.note("subscribed"), records.broker_lost()) == expected
        records.close()
        copy.close()
        journal.tend()
    append(journal, 1)
    journal.close()
    again = open_journal(tmp_path, BOTH)
    assert again.senders(["lamp-3", "lamp-2", "lamp-1"]) == [3, 2, 1]
    again.close()


# delivery's side ---------------------------------------------------------------------------------------------


def test_stores_are_independent(journal: Journal) -> None:
    """What one has accepted, the other still waits for."""
    for number in range(3):
        append(journal, number)
    journal.rows.accepted("commune", [1, 2], [])
    assert (waiting(journal), waiting(journal, "province")) == ([3], [1, 2, 3])
    assert [row.id for row in journal.rows.fresh("commune", 0, *ALL)] == [3]
    assert [row.id for row in journal.rows.fresh("province", 1, *ALL)] == [2, 3]


@pytest.mark.parametrize("from_memory", [True, False])
def test_rows_are_handed_out_as_many_as_fit(journal: Journal, tmp_path: Path, from_memory: bool) -> None:
    """At least one, else up to the lines and bytes asked for."""
    for number in range(4):
        append(journal, number)
    rows = journal.rows if from_memory else open_journal(crashed_copy(journal, tmp_path / "copy"), BOTH).rows
    size = len(b"m value=0\n")
    found = [rows.fresh("commune", 0, lines, size_limit) for lines, size_limit in ((0, 0), (2, 100), (9, 3 * size))]
    assert [[row.id for row in part] for part in found] == [[1], [1, 2], [1, 2, 3]]


def test_marks_survive_with_the_next_commit_and_are_lost_without(journal: Journal, tmp_path: Path) -> None:
    """Lost marks only mean that the store gets the same lines again."""
    for number in range(3):
        append(journal, number)
    journal.rows.accepted("commune", [1], [])
    before = open_journal(crashed_copy(journal, tmp_path / "before"), BOTH)
    append(journal, 4)
    after = open_journal(crashed_copy(journal, tmp_path / "after"), BOTH)
    assert (waiting(before), waiting(after)) == ([1, 2, 3], [2, 3, 4])
    before.rows.accepted("commune", [1, 2, 3], [])
    before.tend()
    assert (waiting(before), lines_hold(before), lines_hold(after)) == ([], True, True)
    before.close()
    after.close()


def test_accepted_row_is_never_handed_out_again(journal: Journal) -> None:
    """Not before its mark is on disk, not after, not from memory."""
    for number in range(3):
        append(journal, number)
    journal.rows.accepted("commune", [2], [])
    for _ in range(2):
        assert [row.id for row in journal.rows.fresh("commune", 0, *ALL)] == [1, 3]
        assert waiting(journal) == [1, 3]
        journal.tend()


def test_mark_that_reaches_the_disk_while_rows_are_read(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line's thread may commit it between two rows of delivery's query."""
    for number in range(3):
        append(journal, number)
    journal.rows.accepted("commune", [2], [])
    decompress = zlib.decompress

    def meanwhile(packed: bytes) -> bytes:
        journal.tend()
        return decompress(packed)

    monkeypatch.setattr(zlib, "decompress", meanwhile)
    assert waiting(journal) == [1, 3]


def test_row_accepted_twice_is_counted_once(journal: Journal) -> None:
    """Whatever delivery says, the sums hold."""
    append(journal, 1)
    journal.rows.accepted("commune", [1], [])
    journal.rows.accepted("commune", [1], [])
    journal.tend()
    records = Records(journal.path)
    assert [(s.waiting, s.stored, s.rejected) for s in records.lines().stores] == [(0, 1, 0), (1, 0, 0)]
    assert lines_hold(journal)
    records.close()


def test_rejected_lines_are_kept_with_the_stores_words(journal: Journal, tmp_path: Path) -> None:
    """And counted as rejected, not as stored."""
    journal.append(make_batch(journal.senders(["a"]), lines=["m v=1", "m v=2", "m v=3"]))
    journal.rows.accepted("commune", [1], [RejectedLine(1, b"m v=2", "field type conflict")])
    journal.tend()
    copy = crashed_copy(journal, tmp_path / "copy") / "journal.db"
    with sqlite3.connect(copy) as database:
        rows = database.execute("SELECT batch, line, answer FROM rejected_line").fetchall()
        counts = database.execute("SELECT stored, rejected FROM store ORDER BY id").fetchall()
    database.close()
    assert (rows, counts) == ([(1, b"m v=2", "field type conflict")], [(2, 1), (0, 0)])


def test_memory_for_fresh_rows_is_bounded(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """By bytes, and by rows: batches of refused uplinks have no lines. What is forgotten is read from the disk."""
    monkeypatch.setattr(outbox_module, "FRESH_ROWS", 3)
    for number in range(5):
        append(journal, number)
    for _ in range(2):
        journal.append(make_batch(journal.senders(["lamp-1"])))
    assert len(journal.rows._fresh) == 3
    assert [row.id for row in journal.rows.fresh("commune", 0, *ALL)] == [1, 2, 3, 4, 5]
    assert [row.id for row in journal.rows.fresh("commune", 4, *ALL)] == [5]


def test_waiting_ends_with_news_or_an_interruption(journal: Journal) -> None:
    """Both at once if they are there already."""
    append(journal, 1)
    journal.rows.wait(0, 60.0)
    journal.rows.interrupt()
    journal.rows.wait(1, 60.0)


def test_store_added_later_gets_what_comes_from_then_on(tmp_path: Path) -> None:
    """The sums hold for both; a removed store keeps what it has not got."""
    first = open_journal(tmp_path, ["commune"])
    append(first, 1)
    first.close()
    second = open_journal(tmp_path, BOTH)
    append(second, 2)
    assert (waiting(second), waiting(second, "province"), lines_hold(second)) == ([1, 2], [2], True)
    second.close()
    third = open_journal(tmp_path, ["province"])
    append(third, 3)
    assert (waiting(third, "province"), lines_hold(third)) == ([2, 3], True)
    third.close()
    fourth = open_journal(tmp_path, BOTH)
    assert waiting(fourth) == [1, 2]
    fourth.close()


# bounds ------------------------------------------------------------------------------------------------------


def test_pruning_keeps_what_waits_and_what_is_young(journal: Journal, clock: Clock) -> None:
    """Old rows leave when every store has them."""
    for number in range(4):
        append(journal, number)
    journal.rows.accepted("commune", [1, 2, 3, 4], [])
    journal.rows.accepted("province", [1, 3], [])
    clock.forward(181)
    append(journal, 5)
    journal.tend(force=True)
    journal.tend(force=True)
    assert len(list(journal.heard_after(0))) == 3
    assert ([len(list(journal.heard_after(n))) for n in (1, 3, 4)], waiting(journal, "province")) == (
        [3, 2, 1],
        [2, 4, 5],
    )
    clock.forward(181)
    journal.rows.accepted("province", [2, 4, 5], [])
    journal.rows.accepted("commune", [5], [])
    journal.tend(force=True)
    assert list(journal.heard_after(0)) == []
    assert lines_hold(journal)


def test_pruning_passes_a_long_backlog_of_another_store(tmp_path: Path, clock: Clock) -> None:
    """Rows behind it leave too, a bounded number looked at each time."""
    journal = open_journal(tmp_path, BOTH, now=clock)
    append(journal, 0)
    journal.close()
    with sqlite3.connect(journal.path) as database:  # as many rows as if they had been appended, without their syncs
        lines, heard = database.execute("SELECT lines, heard FROM batch").fetchone()
        rows = range(2, 2 * SCAN_ROWS)
        database.executemany("INSERT INTO batch VALUES (?, ?, 1, ?, ?)", ((n, NOW, lines, heard) for n in rows))
        database.executemany("INSERT INTO waiting VALUES (2, ?)", ((n,) for n in rows if n < SCAN_ROWS + 10))
        database.execute("UPDATE store SET kept = ? WHERE name = 'province'", (SCAN_ROWS + 9,))
        database.execute("UPDATE counter SET value = ? WHERE name = 'folded_through'", (rows[-1],))
    database.close()
    journal = open_journal(tmp_path, BOTH, now=clock)
    clock.forward(181)
    journal.rows.accepted("commune", [1], [])
    journal.rows.accepted("province", [1], [])
    counts = []
    for _ in range(3):
        journal.tend(force=True)
        counts.append(len(list(journal.heard_after(0))))
    assert counts == [2 * SCAN_ROWS - 2, SCAN_ROWS + 8, SCAN_ROWS + 8]
    journal.close()


def noise(size: int, seed: int) -> bytes:
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(size)


def test_full_journal_takes_nothing_until_there_is_room(tmp_path: Path, clock: Clock) -> None:
    """Nothing is written and nothing lost; delivery makes room."""
    journal = open_journal(tmp_path, ["commune"], Bounds(max_bytes=1 << 20), clock)
    sender = journal.senders(["lamp-1"])
    committed = 0
    said = ""
    while not said:
        journal._measured = 0.0  # it measures once a second
        try:
            journal.append(make_batch(sender, lines=[f'm v="{noise(100_000, committed).hex()}"']))
            committed += 1
        except JournalFullError as error:
            said = str(error)
    assert said == "journal holds 1 MB of at most 1 MB; see [journal] max_mb and the stores"
    assert 5 <= committed <= 20
    assert (journal.rows.newest(), journal.totals().received, waiting(journal)) == (
        committed,
        committed,
        list(range(1, committed + 1)),
    )
    journal.rows.accepted("commune", waiting(journal), [])
    clock.forward(181)
    journal.tend(force=True)
    journal.tend(force=True)
    assert append(journal, 0) == committed + 1
    assert lines_hold(journal)
    journal.close()


def test_full_disk_writes_nothing_and_forgets_nothing(journal: Journal) -> None:
    """A commit that fails leaves everything as it was, marks and small things included; the next one takes them."""
    append(journal, 1)
    journal.rows.accepted("commune", [1], [])
    journal.remember("subscribed", "a")
    pages = journal._database.execute("PRAGMA page_count").fetchone()[0]
    journal._database.execute(f"PRAGMA max_page_count = {pages}")
    body = [f'm v="{noise(50_000, 1).hex()}"']
    for _ in range(2):
        with pytest.raises(JournalFullError, match="journal cannot write: database or disk is full"):
            journal.append(make_batch(journal.senders(["lamp-2"]), lines=body), {"position": "9"})
    assert (journal.totals().received, journal.rows.newest(), journal.note("position")) == (1, 1, "")
    assert (journal.note("subscribed"), waiting(journal), journal.full_since is not None) == ("a", [], True)
    journal._database.execute("PRAGMA max_page_count = 1000000")
    assert journal.append(make_batch(journal.senders(["lamp-2"]), lines=body)) == 2
    assert (waiting(journal), journal.full_since, lines_hold(journal)) == ([2], None, True)


def test_raw_and_refused_uplinks_have_bounds_of_their_own(tmp_path: Path, clock: Clock) -> None:
    """The oldest go; they never make the journal full for readings."""
    bounds = Bounds(max_bytes=1 << 20, raw_max_bytes=2 << 20, refused_max_bytes=2 << 20)
    journal = open_journal(tmp_path, ["commune"], bounds, clock)
    sender = journal.senders(["lamp-1"])
    for number in range(40):
        uplink = up(noise(100_000, number), at=NOW + number)
        refused = [RefusedUplink(uplink, "lamp-1", Reason.MALFORMED, "not JSON")]
        journal._measured = 0.0
        journal.append(make_batch(sender, refused=refused, raw=[uplink]))
    assert journal.used_bytes() < 1 << 20
    journal.tend(force=True)
    query = "SELECT (SELECT value FROM counter WHERE name = '{0}_bytes'), sum(length({1}) + 200), min(id) FROM {0}"
    for table, column in (("raw", "body"), ("refused", "payload")):
        counted, held, first = journal._database.execute(query.format(table, column)).fetchone()
        assert (counted, first) == (held, 21)
        assert counted <= 2 << 20
    clock.forward(31 * 86400)
    journal.tend(force=True)
    assert journal._database.execute("SELECT count(*) FROM raw").fetchone()[0] == 0
    assert journal._database.execute(query.format("refused", "payload")).fetchone()[2] == 21
    journal.close()


def test_no_raw_uplinks_are_kept_where_the_settings_say_so(tmp_path: Path) -> None:
    """Nothing is written only to be deleted."""
    journal = open_journal(tmp_path, ["commune"], Bounds(raw_days=0))
    journal.append(make_batch(journal.senders(["a"]), raw=[up({"power": 1})]))
    assert journal._database.execute("SELECT count(*) FROM raw").fetchone()[0] == 0
    journal.close()


def test_much_that_must_go_goes_over_several_rounds(tmp_path: Path, clock: Clock) -> None:
    """A bounded number at a time, and at once if there is more."""
    journal = open_journal(tmp_path, ["commune"], now=clock)
    with sqlite3.connect(journal.path) as database:
        rows = ((NOW, NOW, 1, b"x") for _ in range(SHRINK_ROWS + 5))
        database.executemany("INSERT INTO raw (first_at, last_at, uplinks, body) VALUES (?, ?, ?, ?)", rows)
    database.close()
    clock.forward(31 * 86400)
    left: list[int] = []
    for _ in range(2):
        journal.tend(force=not left)  # the second time because there was more
        left.append(journal._database.execute("SELECT count(*) FROM raw").fetchone()[0])
    assert left == [5, 0]
    journal.close()


def test_refused_payload_over_a_mebibyte_is_cut_and_marked(journal: Journal) -> None:
    """Its true size is known, the rest is not."""
    payload = noise((1 << 20) + 5, 7)
    uplinks = [up(payload), up(b"", retained=True), up(payload[:-5])]
    refused = [RefusedUplink(uplink, "lamp-1", Reason.TOO_LARGE, "too large") for uplink in uplinks]
    journal.append(make_batch(journal.senders(["lamp-1"]), refused=refused))
    records = Records(journal.path)
    found = [records.refused_payload(number) for number in (1, 2, 3)]
    assert [(row.size, row.retained, kept, cut) for row, kept, cut in filter(None, found)] == [
        (len(payload), False, payload[:-5], True),
        (0, True, b"", False),
        (1 << 20, False, payload[:-5], False),
    ]
    assert records.refused_payload(4) is None
    records.close()


def test_raw_uplinks_come_back_for_decoding_again() -> None:
    """With what changes their meaning: retained, and from a file."""
    sent = [up(b""), up(b"\x00\xff" * 300, "điện-1", retained=True), Uplink("t", b"x", NOW + 1, backfill=True)]
    assert unpack_raw(pack_raw(sent)) == sent


# damage, locks, other versions -------------------------------------------------------------------------------


def scribble(path: Path, start: int, length: int) -> None:
    """Write nonsense into a file."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(noise(length, 3))


@pytest.mark.parametrize(
    ("damage", "taken_over"), [("header", 3), ("tables", 0), ("empty", 3), ("gone", 3), ("no database", 0)]
)
def test_damaged_journal_is_set_aside_and_not_deleted(tmp_path: Path, damage: str, taken_over: int) -> None:
    """Under a new name with every byte it has; a new one takes over what can be read, and survives a crash itself."""
    first = open_journal(tmp_path)
    for number in range(3):
        append(first, number)
    if damage not in {"empty", "gone"}:
        first._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    folder = crashed_copy(first, tmp_path / "damaged")
    first.close()
    path = folder / "journal.db"
    if damage == "header":
        scribble(path, 0, 100)
    elif damage == "tables":
        scribble(path, 4096, path.stat().st_size - 4096)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"this is no database\n" * 1000)
    parts = {file.name: file.read_bytes() for file in folder.iterdir() if file.stat().st_size}
    second = open_journal(folder)
    assert second.set_aside == folder / "journal.db.damaged-20260801T040506"
    kept = {
        file.name.replace(".damaged-20260801T040506", ""): file.read_bytes()
        for file in folder.iterdir()
        if ".damaged-" in file.name and not file.name.endswith("-shm") and file.stat().st_size
    }
    assert kept == {name: data for name, data in parts.items() if not name.endswith("-shm")}
    assert append(second, 1) == taken_over + 1
    copy = open_journal(crashed_copy(second, tmp_path / "copy"))
    assert (copy.set_aside, waiting(copy)) == (None, list(range(1, taken_over + 2)))
    copy.close()
    second.close()


def test_second_damage_in_the_same_second_gets_its_own_name(tmp_path: Path) -> None:
    """Nothing set aside is ever overwritten."""
    path = tmp_path / "journal.db"
    names = []
    for _ in range(2):
        path.write_bytes(b"nonsense " * 999)
        journal = open_journal(tmp_path)
        names.append(journal.set_aside.name if journal.set_aside else "")
        journal.close()
    assert names == ["journal.db.damaged-20260801T040506", "journal.db.damaged-20260801T040506-2"]


@pytest.mark.parametrize("column", ["heard", "lines"])
def test_flipped_byte_in_a_row_costs_that_row(journal: Journal, tmp_path: Path, column: str) -> None:
    """The gateway starts, the other rows are delivered, and the ledger says what is missing."""
    for number in range(3):
        append(journal, number)
    folder = crashed_copy(journal, tmp_path / "copy")
    with sqlite3.connect(folder / "journal.db") as database:
        (packed,) = database.execute(f"SELECT {column} FROM batch WHERE id = 2").fetchone()
        broken = packed[:-1] + bytes([packed[-1] ^ 1])
        database.execute(f"UPDATE batch SET {column} = ? WHERE id = 2", (broken,))
    database.close()
    copy = open_journal(folder, BOTH)
    assert (copy.set_aside, len(list(copy.heard_after(0)))) == (None, 2)
    if column == "heard":
        assert (copy.totals(), copy.totals().holds, waiting(copy)) == ((2, 2, 0, 0), True, [1, 2, 3])
    else:
        assert (copy.totals(), copy.totals().holds, waiting(copy)) == ((3, 3, 0, 0), True, [1, 3])
        copy.tend()
        records = Records(copy.path)
        assert [(s.waiting, s.given_up) for s in records.lines().stores] == [(2, 1), (3, 0)]
        assert (records.lines().holds, records.lost_on_disk()) == (True, 1)
        records.close()
    copy.close()


def refusal(folder: Path) -> str:
    """Why the journal in this folder is not opened: one line."""
    with pytest.raises(JournalError) as caught:
        open_journal(folder)
    text = str(caught.value)
    assert "\n" not in text
    return text.replace(str(folder), "DIR")


def test_journal_of_a_newer_gateway_is_left_alone(tmp_path: Path) -> None:
    """One line, what to do; not a byte of it changes."""
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as database:
        database.executescript("CREATE TABLE something (x); PRAGMA user_version = 99")
    database.close()
    before = path.read_bytes()
    newer = "DIR/journal.db: made by a newer gateway (schema 99); install that version, or use another data_dir"
    assert [refusal(tmp_path), refusal(tmp_path)] == [newer, newer]
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("something",)]
        database.execute("PRAGMA user_version = 0")
    database.close()
    assert len(path.read_bytes()) == len(before)
    assert refusal(tmp_path) == "DIR/journal.db: is no journal; move it away, or use another data_dir"


def test_folder_that_cannot_be_used(tmp_path: Path) -> None:
    """One line, what to do."""
    (tmp_path / "file").write_bytes(b"")
    assert refusal(tmp_path / "file") == "DIR: File exists; the gateway must be able to write there"


def test_second_gateway_is_locked_out(journal: Journal, tmp_path: Path) -> None:
    """Another process, or the same: one line; the first goes on. After its end the lock is free."""
    script = (
        "import sys; from pathlib import Path; from gateway.line.journal import Journal\n"
        "from gateway.line.journal_file import JournalError\n"
        "try: Journal(Path(sys.argv[1]), ['commune'])\n"
        "except JournalError as error: sys.exit(str(error))"
    )
    command = [sys.executable, "-c", script, str(journal.path)]
    other = subprocess.run(command, capture_output=True, text=True, check=False)
    expected = f"{journal.path}: in use by another gateway; stop it first, or use another data_dir"
    assert (other.returncode, other.stderr) == (1, f"{expected}\n")
    assert refusal(tmp_path) == expected.replace(str(tmp_path), "DIR")
    assert append(journal, 1) == 1


# kill -9 -----------------------------------------------------------------------------------------------------

CHILDREN = """
import os, sys, time
from pathlib import Path
from gateway.line.journal import Journal
from gateway.model import Batch, Heard, Outcome

def write(text):
    os.write(1, f"{text}\\n".encode())

def append_for_ever():
    journal = Journal(Path(sys.argv[1]), ["commune"])
    started = time.time_ns()
    write("open")
    while True:
        number = journal.rows.newest() + 1
        sender, outcome = journal.senders([f"lamp-{number % 7}"])[0], list(Outcome)[number % 3]
        line = f"m v={number}\\n".encode() if outcome is Outcome.KEPT else b""
        heard = [Heard(sender, outcome, started + number * 10**12, number, number % 65535, True)]
        write(journal.append(Batch(1, line, len(line) and 1, heard, [], []), {"position": str(number)}))
        if line and number % 2:
            journal.rows.accepted("commune", [number], [])
        if number % 10 == 0:
            journal.tend(force=True)

for command in sys.stdin:
    child = os.fork()
    if child == 0:
        append_for_ever()
    write(f"pid {child}")
    os.waitpid(child, 0)
    write("dead")
"""


def test_kill_9_loses_nothing_that_was_said_to_be_on_disk(tmp_path: Path) -> None:
    """20 deaths at random moments: every id that append returned is there, with its line, and the sums are right."""
    path, moments = tmp_path / "journal.db", random.Random(20260801)
    with subprocess.Popen(
        [sys.executable, "-c", CHILDREN, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        output = parent.stdout
        for _ in range(20):
            parent.stdin.write(b"go\n")
            pid, last, wanted = 0, 0, moments.randint(1, 15)
            while (word := output.readline().decode().split())[0] != "dead":
                if word[0] == "pid":
                    pid = int(word[1])
                elif word[0].isdecimal():
                    last, wanted = int(word[0]), wanted - 1
                if pid and wanted <= 0:
                    os.kill(pid, signal.SIGKILL)
                    pid = 0
            check_survivor(path, last)
        parent.stdin.close()
    assert last > 60


def check_survivor(path: Path, last: int) -> None:
    """The journal a killed process left, whose last word was ``last``."""
    survivor = Journal(path, ["commune"])
    newest = survivor.rows.newest()
    assert last <= newest <= last + 1
    rows = list(survivor.heard_after(0))
    assert [heard[0].identity for heard, _ in rows] == list(range(1, newest + 1))
    assert [lines for _, lines in rows if lines] == [f"m v={n}\n".encode() for n in range(3, newest + 1, 3)]
    kept = newest // 3
    assert survivor.totals() == (newest, kept, (newest + 2) // 3, (newest + 1) // 3)
    assert survivor.note("position") == str(newest)
    records = Records(path, survivor.totals, survivor.ledger.unfolded)
    hours = records.by_device(0, 2**62, None, 10**6)
    assert sum(hour.received for hour in hours) == newest
    lines = records.lines()
    assert (lines.kept, lines.holds, survivor.totals().holds) == (kept, True, True)
    assert set(range(6, newest + 1, 6)) <= set(waiting(survivor))
    records.close()
    survivor.rows.close()
    # Not folded at the end: the next death must find the journal as this one left it.
    survivor._database.close()
    os.close(survivor._lock_file)
