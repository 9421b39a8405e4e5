"""The journal's witness: an end that is gone is noticed and counted, and nothing else is taken for one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.line.journal import Journal
from gateway.line.records import Records
from gateway.line.witness import SUFFIX, Held, LostEnd, Witness
from tests.line_parts import NOW, make_batch, open_journal

STORES = ("commune", "province")
ROWS = 40
LINES = 3
FRAME = 4096 + 24
DATABASE, LOG = "journal.db", "journal.db-wal"
WITNESS = DATABASE + SUFFIX


def commit(journal: Journal, rows: int = 1) -> None:
    """So many rows, each of one uplink and three lines."""
    (sender,) = journal.senders(["lamp-1"])
    for _ in range(rows):
        journal.append(make_batch((sender,), lines=[f"m value={number}" for number in range(LINES)]))


def crashed(folder: Path, rows: int = ROWS, delivered: int = 0) -> Path:
    """What kill -9 leaves of a journal with so many rows, some of which both stores have."""
    journal = open_journal(folder / "alive", STORES)
    commit(journal, rows)
    for store in STORES:
        journal.rows.accepted(store, list(range(1, delivered + 1)), [])
    journal.tend()
    dead = folder / "dead"
    dead.mkdir()
    for name in (DATABASE, LOG, WITNESS):
        shutil.copyfile(folder / "alive" / name, dead / name)
    journal.close()
    return dead


def opened(folder: Path) -> tuple[list[LostEnd], int, int]:
    """The journal opened, used and closed: what it says of its end, uplinks it knows, lines it says are lost."""
    journal = open_journal(folder, STORES)
    journal.tend()
    received = journal.totals().received
    journal.close()
    records = Records(folder / DATABASE)
    try:
        return records.lost_ends(), received, records.lost_on_disk()
    finally:
        records.close()


def cut(folder: Path) -> None:
    """Half of the log, in whole frames."""
    log = folder / LOG
    with log.open("r+b") as file:
        file.truncate(32 + (log.stat().st_size - 32) // FRAME // 2 * FRAME)


def overwrite_last_frame(folder: Path) -> None:
    with (folder / LOG).open("r+b") as file:
        file.seek(-FRAME, 2)
        file.write(b"\x5a" * FRAME)


def remove_log(folder: Path) -> None:
    (folder / LOG).unlink()


def remove_all(folder: Path) -> None:
    (folder / LOG).unlink()
    (folder / DATABASE).unlink()


@pytest.mark.parametrize("damage", [cut, overwrite_last_frame, remove_log, remove_all])
def test_an_end_of_the_journal_that_is_gone_is_noticed(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    dead = crashed(tmp_path)
    damage(dead)
    (end,), received, lines = opened(dead)
    assert end.at == NOW
    assert end.uplinks == ROWS - received > 0
    assert end.lines == lines == LINES * end.uplinks
    assert f"{end.uplinks} acknowledged uplinks" in end.in_words
    # Said once, and the sums go on from there.
    assert opened(dead) == ([end], received, lines)


def test_lines_that_every_store_had_are_not_called_lost(tmp_path: Path) -> None:
    dead = crashed(tmp_path, delivered=ROWS - 2)
    remove_log(dead)
    (end,), received, lines = opened(dead)
    assert (end.uplinks, received, end.lines, lines) == (ROWS, 0, 2 * LINES, 2 * LINES)


def test_a_whole_journal_has_lost_nothing(tmp_path: Path) -> None:
    assert opened(crashed(tmp_path)) == ([], ROWS, 0)
    assert opened(tmp_path / "alive") == ([], ROWS, 0)


def test_a_journal_that_was_salvaged_stands_for_the_one_before(tmp_path: Path) -> None:
    """What salvage has counted is not counted again; the end that it could not see is."""
    dead = crashed(tmp_path)
    with (dead / LOG).open("r+b") as file:
        file.seek(32 + 24 + 100)
        file.write(b"\x5a" * 2000)  # in the middle: set aside and salvaged
    ends, received, lost = opened(dead)
    assert list(dead.glob("journal.db.damaged-*"))
    assert received + sum(end.uplinks for end in ends) == ROWS
    assert lost <= LINES * ROWS


def test_another_journal_in_its_place_is_not_judged_by_it(tmp_path: Path) -> None:
    dead = crashed(tmp_path)
    other = crashed(tmp_path / "other", rows=2)
    for name in (DATABASE, LOG):
        shutil.copyfile(other / name, dead / name)
    assert opened(dead) == ([], 2, 0)


def test_a_torn_slot_leaves_the_one_before(tmp_path: Path) -> None:
    witness = Witness(tmp_path / DATABASE)
    for uplinks in (7, 8, 9):
        witness.write(Held("a" * 24, uplinks, 3, 2))
    witness.close()
    data = bytearray(witness.path.read_bytes())
    data[len(data) // 2 + 30] ^= 1  # in the second slot, which holds the third word
    witness.path.write_bytes(data)
    again = Witness(tmp_path / DATABASE)
    assert again.read() == Held("a" * 24, 8, 3, 2)
    again.write(Held("a" * 24, 10, 3, 2))
    assert again.read() == Held("a" * 24, 10, 3, 2)
    again.close()


@pytest.mark.parametrize("content", [b"", b"x" * 40, bytes(1000)])
def test_a_witness_that_says_nothing_is_no_alarm(tmp_path: Path, content: bytes) -> None:
    dead = crashed(tmp_path)
    (dead / WITNESS).write_bytes(content)
    assert opened(dead) == ([], ROWS, 0)
