"""Damaged journals: whatever byte is flipped, the rest is taken over, once, and what is lost is counted and said."""

import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devices.observation import Reason
from gateway.line.journal import Journal
from gateway.line.journal_file import JournalError, is_damage
from gateway.line.records import Records
from gateway.line.salvage import salvage
from gateway.line.sqlite_pages import Pages
from gateway.line.wal_frames import is_log_damaged
from gateway.model import RefusedUplink
from tests.line_parts import NOW, SECOND, make_batch, open_journal, up

DATA = Path(__file__).parent / "data"
STORES = ("commune", "province")
ROWS, LINES = 60, 20
EVERYTHING = (2**60, 10**6, 10**9)
FLIPS = 24
LAST_FRAME = 4120
"""Bytes at the end of a log: damaged there, it looks like a commit that was not finished."""


def fill(folder: Path, rows: int = ROWS) -> Journal:
    """A journal with so many rows of 20 lines; every fifth has a refused uplink, too."""
    journal = open_journal(folder, STORES)
    senders = journal.senders([f"lamp-{number}" for number in range(LINES)])
    for row in range(rows):
        lines = [f"m,device=lamp-{n} power={row + n / 7} {NOW + row * SECOND}" for n in range(LINES)]
        refused = [RefusedUplink(up({"x": row}), "lamp-1", Reason.UNIT, "bad")] if row % 5 == 0 else []
        journal.append(make_batch(senders, lines=lines, refused=refused, raw=[up({"power": row})]))
    return journal


def crash(journal: Journal, folder: Path, *, in_log: bool) -> Path:
    """What a power cut now leaves: everything in the write-ahead log, or everything in the main file."""
    if not in_log:
        journal._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    folder.mkdir()
    for suffix in ("", "-wal"):
        part = journal.path.with_name(journal.path.name + suffix)
        if part.exists():
            shutil.copyfile(part, folder / part.name)
    return folder


def drain(folder: Path) -> dict[str, set[bytes]]:
    """Deliver everything that waits, as the gateway does: a journal found damaged is begun anew. Lines by store."""
    got: dict[str, set[bytes]] = {store: set() for store in STORES}
    for _ in range(3):
        journal = open_journal(folder, STORES)
        damage: BaseException | None = None
        try:
            for store in STORES:
                while rows := journal.rows.backlog(store, *EVERYTHING):
                    got[store].update(line for row in rows for line in row.lines.splitlines())
                    journal.rows.accepted(store, [row.id for row in rows], [])
                    journal.tend()
            journal.tend(force=True)
            damage = journal.rows.damage
        except sqlite3.DatabaseError as error:
            damage = error
        journal.close(damage)
        if damage is None:
            return got
        assert is_damage(damage)
    raise AssertionError("damaged again and again")


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[bool], Path]]:
    """A fresh copy of the crashed journal: in its log, or in its main file."""
    folder = tmp_path_factory.mktemp("crashed")
    journal = fill(folder / "whole")
    images = {True: crash(journal, folder / "log", in_log=True), False: crash(journal, folder / "main", in_log=False)}
    journal.close()

    def copy(in_log: bool) -> Path:
        target = folder / "copy"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(images[in_log], target)
        return target

    yield copy
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("in_log", "bits"), [(False, 1), (True, 1), (True, 4)], ids=["main file", "write-ahead log", "4 bits in the log"]
)
def test_a_flipped_bit_costs_a_row_at_most_and_what_it_costs_is_said(
    crashed: Callable[[bool], Path], in_log: bool, bits: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anywhere in the file, the headers above all; the sums hold afterwards, and say how many lines are lost."""
    chance = random.Random(20261121)
    costs, said_newer = [], []
    for flip in range(FLIPS):
        folder = crashed(in_log)
        file = folder / ("journal.db-wal" if in_log else "journal.db")
        data = bytearray(file.read_bytes())
        place = chance.randrange(100) if flip % 4 == 0 else chance.randrange(len(data))
        for at in (place, *(chance.randrange(len(data) - LAST_FRAME) for _ in range(bits - 1))):
            data[at] ^= 1 << chance.randrange(8)
        file.write_bytes(data)
        try:
            got = drain(folder)
        except JournalError as error:
            said_newer.append(str(error))  # the bit made another version of it
            continue
        records = Records(folder / "journal.db")
        lines, totals = records.lines(), records.totals()
        lost = ROWS * LINES - min(len(found) for found in got.values())
        assert (place, lost) == (place, max(store.given_up for store in lines.stores))
        assert (lines.holds, totals.holds) == (True, True)
        said = sum(report.lost_refused for report in records.salvaged())
        assert records.by_reason().get("unit", 0) + said == ROWS // 5
        records.close()
        costs.append(lost)
    assert max(costs) <= bits * LINES
    assert all("made by a newer gateway" in text for text in said_newer)
    with capsys.disabled():
        where = f"{bits} bit(s) flipped in the {'log' if in_log else 'main file'}"
        sys.stdout.write(f"\n  {where}, {len(costs)} times: {sum(costs)} of {ROWS * LINES} lines each lost in all\n")


def test_a_wrong_byte_in_the_last_frame_does_not_take_its_commit(crashed: Callable[[bool], Path]) -> None:
    """By its checksum it is told from a commit that was not finished, which would be dropped without a word."""
    chance = random.Random(20261122)
    for _ in range(8):
        folder = crashed(True)
        log = folder / "journal.db-wal"
        data = bytearray(log.read_bytes())
        data[-1 - chance.randrange(4096)] ^= chance.randrange(1, 256)
        log.write_bytes(data)
        got = drain(folder)
        records = Records(folder / "journal.db")
        assert len(records.salvaged()) == 1
        lost = ROWS * LINES - min(len(found) for found in got.values())
        assert lost == max(store.given_up for store in records.lines().stores) <= LINES
        records.close()


def test_an_overwritten_frame_of_the_log_is_noticed(crashed: Callable[[bool], Path]) -> None:
    """An earlier version of its page takes its place: what was marked since is not known, so every row goes again."""
    chance = random.Random(20261122)
    for _ in range(8):
        folder = crashed(True)
        log = folder / "journal.db-wal"
        data = bytearray(log.read_bytes())
        at = len(data) - LAST_FRAME * chance.randrange(2, len(data) // LAST_FRAME)
        data[at + LAST_FRAME - 4096 : at + LAST_FRAME] = bytes(4096)
        log.write_bytes(data)
        got = drain(folder)
        records = Records(folder / "journal.db")
        (report,) = records.salvaged()
        lost = ROWS * LINES - min(len(found) for found in got.values())
        assert records.lines().holds
        assert report.lost_lines == -1 or report.lost_lines >= lost
        records.close()


@pytest.mark.parametrize("torn", ["last page", "half", "all but the first page"])
def test_a_truncated_journal_hands_on_what_is_left(crashed: Callable[[bool], Path], torn: str) -> None:
    """What is lost is counted exactly while the sums themselves can be read."""
    folder = crashed(False)
    file = folder / "journal.db"
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.truncate({"last page": size - 1000, "half": size // 2 // 4096 * 4096}.get(torn, 4096))
    got = drain(folder)
    records = Records(folder / "journal.db")
    (report,) = records.salvaged()
    lost = ROWS * LINES - len(got["commune"])
    assert records.lines().holds
    if torn == "all but the first page":
        assert (lost, report.lost_lines) == (ROWS * LINES, -1)
    else:
        assert 0 < lost == report.lost_lines == records.lost_on_disk()
    records.close()


def test_a_whole_write_ahead_log_is_not_called_damaged(tmp_path: Path) -> None:
    """Nor one whose last commit was not finished."""
    journal = fill(tmp_path / "a", 10)
    folder = crash(journal, tmp_path / "b", in_log=True)
    journal.close()
    log = folder / "journal.db-wal"
    assert not is_log_damaged(folder / "journal.db")
    with log.open("r+b") as opened:
        opened.truncate(log.stat().st_size - 3000)
    assert not is_log_damaged(folder / "journal.db")
    copy = open_journal(folder, STORES)
    assert (copy.set_aside, copy.rows.newest()) == (None, 9)
    copy.close()


def test_salvage_hands_on_once_and_adds_the_ledger_up(tmp_path: Path) -> None:
    """Into a journal that has taken readings of its own meanwhile; a copy of the journal in use is refused."""
    old = fill(tmp_path / "old", 10)
    damaged = crash(old, tmp_path / "damaged", in_log=True) / "journal.db"
    old.close()
    new = fill(tmp_path / "new", 3)
    for _ in range(2):
        report = salvage(damaged, new._database, NOW)
        assert (report.lines, report.uplinks, report.refused, report.raw) == (200, 200, 2, 10)
        assert (report.lost_lines, report.lost_refused, report.lost_uplinks, report.damaged) == (0, 0, 0, 0)
    new._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copyfile(new.path, tmp_path / "copy.db")
    with pytest.raises(ValueError, match="or a copy of it; there is nothing to hand on"):
        salvage(tmp_path / "copy.db", new._database, NOW)
    new.close()
    assert {store: len(lines) for store, lines in drain(tmp_path / "new").items()} == {
        "commune": 200, "province": 200,
    }  # fmt: skip
    records = Records(tmp_path / "new" / "journal.db")
    assert records.totals() == (260, 260, 0, 0)
    assert [(s.store, s.waiting, s.stored) for s in records.lines().stores] == [
        ("commune", 0, 260), ("province", 0, 260),
    ]  # fmt: skip
    assert (records.lines().holds, records.by_reason()) == (True, {"unit": 3})
    records.close()


def test_salvage_only_reads_the_damaged_file(tmp_path: Path) -> None:
    """Not a byte of it changes, and nothing is put beside it."""
    old = fill(tmp_path / "old", 5)
    folder = crash(old, tmp_path / "damaged", in_log=True)
    old.close()
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    new = open_journal(tmp_path / "new", STORES)
    salvage(folder / "journal.db", new._database, NOW)
    new.close()
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_the_reader_of_pages_reads_what_sqlite_reads(tmp_path: Path) -> None:
    """Rows of every size, over many pages, deleted ones left out; from the log and from the main file."""
    path = tmp_path / "any.db"
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c)")
    database.execute("CREATE TABLE u (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID")
    chance = random.Random(1)
    for number in range(-5, 400):
        size = chance.choice((0, 10, 400, 5000, 20_000))
        row = (number, chance.choice((None, 0, 1, -7, 2**40, 1.5, "chữ")), chance.randbytes(size), "x" * (size // 2))
        database.execute("INSERT INTO t VALUES (?, ?, ?, ?)", row)
        database.execute("INSERT INTO u VALUES (?, ?)", (number % 20, number))
    database.execute("DELETE FROM t WHERE id % 7 = 0")
    for checkpoint in (False, True):
        if checkpoint:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = Pages(path)
        tables = pages.tables(lambda _: "")
        rows = {number: record[1:] for number, record in pages.rows(tables["t"]).rows}
        assert rows == {row[0]: list(row[1:]) for row in database.execute("SELECT * FROM t")}
        pairs = sorted(record for _, record in pages.rows(tables["u"]).rows)
        assert pairs == [list(row) for row in database.execute("SELECT * FROM u ORDER BY a, b")]
        assert pages.damaged == 0
    database.close()


# versions --------------------------------------------------------------------------------------------------------


def test_a_journal_of_version_1_is_brought_up_to_date(tmp_path: Path) -> None:
    """Stored by the first version, with rows that wait, were rejected, refused, and are not in the ledger's table."""
    shutil.copyfile(DATA / "journal_v1.db", tmp_path / "journal.db")
    journal = open_journal(tmp_path, STORES)
    assert journal.set_aside is None
    records = Records(journal.path, journal.totals, journal.ledger.unfolded)
    assert records.totals() == (9, 6, 2, 1)
    assert [store[:4] for store in records.lines().stores] == [("commune", 4, 2, 0), ("province", 4, 1, 1)]
    assert (records.lines().holds, records.by_reason()) == (True, {"unit": 2})
    assert [(hour.device, hour.received) for hour in records.by_device(0, 2**62, None, 10)] == [
        ("?plant", 2), ("lamp-1", 6), ("lamp-2", 1),
    ]  # fmt: skip
    assert (records.broker_lost(), journal.note("position"), len(journal.note("journal_id"))) == (7, "5", 24)
    assert (journal.newest_at, journal.held_count()) == (NOW + 6 * SECOND, 0)
    assert journal.append(make_batch()) == 7
    records.close()
    journal.close()
    with sqlite3.connect(tmp_path / "journal.db") as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)
        upgraded = {name: sorted(_columns(database, name)) for name in _tables(database)}
    database.close()
    fresh = open_journal(tmp_path / "fresh")
    assert upgraded == {name: sorted(_columns(fresh._database, name)) for name in _tables(fresh._database)}
    fresh.close()


def _tables(database: sqlite3.Connection) -> list[str]:
    return [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def _columns(database: sqlite3.Connection, table: str) -> list[tuple[object, ...]]:
    return [row[1:] for row in database.execute(f"PRAGMA table_info({table})")]


def test_a_damaged_journal_of_version_1_is_salvaged(tmp_path: Path) -> None:
    """The reader of pages knows the records of every version."""
    data = bytearray((DATA / "journal_v1.db").read_bytes())
    data[:100] = bytes(100)
    (tmp_path / "journal.db").write_bytes(data)
    journal = open_journal(tmp_path, STORES)
    (report,) = Records(journal.path).salvaged()
    assert (report.lines, report.refused, report.raw, report.lost_lines) == (4, 2, 6, 0)
    assert journal.totals() == (9, 6, 2, 1)
    journal.close()


# the commands ----------------------------------------------------------------------------------------------------


def village(folder: Path, *arguments: str, answer: str = "") -> tuple[int, str]:
    """Run ``village journal`` as a person does; exit status, and everything it said."""
    (folder / "village.toml").write_text('[gateway]\ndata_dir = "."\n[[store]]\nname = "commune"\n', "utf-8")
    (folder / "fleet.csv").write_text("device,profile,commune\n", "utf-8")
    command = [sys.executable, "-m", "gateway", "journal", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, input=answer, check=False)
    return done.returncode, (done.stdout + done.stderr).replace(str(folder), "DIR")


def test_status_says_what_waits_and_forget_lets_go_of_a_store_no_longer_used(tmp_path: Path) -> None:
    """Asked first; the ledger's sum holds with what was given up."""
    journal = fill(tmp_path, 5)
    status, text = village(tmp_path, "forget", "province", "--yes")
    assert status == 2
    assert "in use by another gateway; this needs it stopped: `systemctl stop village-gateway`" in text
    assert text.count("\n") == 1
    assert "5 lines wait" not in village(tmp_path, "status")[1]
    journal.close()
    status, text = village(tmp_path, "status")
    assert status == 0
    assert "store      province: 100 lines wait since 2026-08-01 11:05:06+07:00; 0 stored, 0 rejected; NOT in" in text
    assert "`village journal forget province`" in text
    assert "uplinks    100 received = 100 kept + 0 refused + 0 repeated\n" in text
    assert "refused    1 unit" in text
    assert village(tmp_path, "forget", "commune", "--yes")[0] == 2
    status, text = village(tmp_path, "forget", "province", answer="n\n")
    assert status == 1
    assert "100 lines wait for 'province' and would never reach it. Forget them?" in text
    assert village(tmp_path, "forget", "province", "--yes") == (
        0, "100 lines for 'province' are forgotten; the ledger counts them as given up\n",
    )  # fmt: skip
    assert village(tmp_path, "forget", "province") == (0, "nothing waits for 'province'\n")
    assert "province: 0 lines wait; 0 stored, 0 rejected, 100 given up; not in use" in village(tmp_path, "status")[1]
    records = Records(journal.path)
    assert records.lines().holds
    records.close()


def test_salvage_by_hand_says_what_is_lost_and_the_second_time_hands_on_nothing(tmp_path: Path) -> None:
    """As a technician types it, with the file of another box."""
    old = fill(tmp_path / "old", 5)
    folder = crash(old, tmp_path / "damaged", in_log=False)
    old.close()
    file = folder / "journal.db"
    data = bytearray(file.read_bytes())
    data[:16] = bytes(16)
    file.write_bytes(data)
    for _ in range(2):
        status, text = village(tmp_path, "salvage", "damaged/journal.db")
        assert status == 0
        assert "100 waiting lines and 1 refused messages were taken over" in text
    assert village(tmp_path, "salvage") == (0, "DIR: no journal was set aside here; nothing to salvage\n")
    assert village(tmp_path, "salvage", "nothing.db") == (2, "nothing.db: no such file\n")
    assert "store      commune: 100 lines wait" in village(tmp_path, "status")[1]
