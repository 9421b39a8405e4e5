"""The journal's witness: how much it held at its last commit, said beside it, so that an end that is gone is noticed.

A write-ahead log that was cut off looks to SQLite like commits that never were. This file is written after every commit
and not waited for: after kill -9 it is exact, after a power cut it may be some seconds old, and it never says too much.
"""

import os
import sqlite3
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gateway.line.journal_file import set_aside_files
from gateway.line.salvage_report import reports

SUFFIX = ".witness"
LOST_END = "lost_end:"
"""Notes that begin so say what an end of the journal that was gone has cost; the rest is when [ns UTC]."""
_MAGIC = b"VWIT1\x00"
_SLOT = struct.Struct("<6s24sQQQQI")
_SLOTS = 2
"""Written in turn: one that the machine lost its power on leaves the one before."""
_QUERY = (
    "SELECT (SELECT value FROM note WHERE name = 'journal_id'),"
    " (SELECT coalesce(sum(value), 0) FROM counter WHERE name IN ('received', 'lost_on_disk')),"
    " (SELECT coalesce(max(value), 0) FROM counter WHERE name = 'lines_kept'),"
    " (SELECT coalesce(max(kept - stored - rejected - given_up), 0) FROM store)"
)


class Held(NamedTuple):
    """How much a journal holds."""

    journal: str
    """Its id."""
    uplinks: int
    """Acknowledged since it began, also those it has lost and says so."""
    lines: int
    """Made since it began."""
    waiting: int
    """Lines that the store which lacks most of them has not accepted."""


class LostEnd(NamedTuple):
    """What the journal held, and does not any more."""

    at: int
    """Noticed [ns UTC]."""
    uplinks: int
    lines: int
    """Of them, at most so many that a store had not accepted."""

    @property
    def in_words(self) -> str:
        """One line for people."""
        return (
            f"the end of the journal is gone: {self.uplinks} acknowledged uplinks are not in it any more, and up to "
            f"{self.lines} lines of them had not reached every store"
        )


def held(database: sqlite3.Connection) -> Held:
    """How much this journal holds."""
    journal, *counts = database.execute(_QUERY).fetchone()
    return Held(str(journal), *map(int, counts))


def lost_end(before: Held | None, database: sqlite3.Connection, path: Path, now: int) -> LostEnd | None:
    """What is missing in the journal that was just opened of what the witness has seen; None if nothing is.

    Args:
        before: what it has seen.
        database: the journal, after damaged ones beside it were salvaged.
        path: its file.
        now: ns UTC.
    """
    present = held(database)
    if before is None or (before.journal != present.journal and not _stands_for_another(database, path)):
        return None
    uplinks = before.uplinks - present.uplinks
    if uplinks <= 0:
        return None
    return LostEnd(now, uplinks, max(0, min(before.lines - present.lines, before.waiting)))


def _stands_for_another(database: sqlite3.Connection, path: Path) -> bool:
    """Whether this journal was made in the place of another, all of whose remains it has taken over."""
    if database.execute("SELECT value FROM counter WHERE name = 'newest_at' AND value > 0").fetchone():
        return False
    taken = {report.file for report in reports(database)}
    return all(file.name in taken for file in set_aside_files(path))


def lost_ends(database: sqlite3.Connection) -> list[LostEnd]:
    """All that were noticed, the oldest first."""
    rows = database.execute("SELECT name, value FROM note WHERE name LIKE ? ORDER BY name", (f"{LOST_END}%",))
    found = []
    for name, value in rows:
        uplinks, lines = value.split()
        found.append(LostEnd(int(name.removeprefix(LOST_END)), int(uplinks), int(lines)))
    return found


class Witness:
    """One small file of two slots. A disk that refuses it costs the warning, nothing else."""

    def __init__(self, journal: Path) -> None:
        self.path = journal.with_name(f"{journal.name}{SUFFIX}")
        self._turn = 0
        self._file: int | None = None
        with suppress(OSError):
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)

    def read(self) -> Held | None:
        """What was written last; None if there is nothing, or nothing whole."""
        if self._file is None:
            return None
        data = os.pread(self._file, _SLOTS * _SLOT.size, 0)
        found: list[tuple[int, Held]] = []
        for at in range(0, len(data) - _SLOT.size + 1, _SLOT.size):
            slot = data[at : at + _SLOT.size]
            magic, journal, turn, uplinks, lines, waiting, check = _SLOT.unpack(slot)
            if magic == _MAGIC and check == zlib.crc32(slot[:-4]):
                found.append((turn, Held(journal.decode("ascii", "replace"), uplinks, lines, waiting)))
        if not found:
            return None
        self._turn, newest = max(found)
        return newest

    def write(self, present: Held) -> None:
        """Say it; it reaches the disk when the system writes it."""
        if self._file is None:
            return
        self._turn += 1
        body = _SLOT.pack(_MAGIC, present.journal.encode("ascii"), self._turn, *present[1:], 0)[:-4]
        with suppress(OSError):
            os.pwrite(self._file, body + struct.pack("<I", zlib.crc32(body)), self._turn % _SLOTS * _SLOT.size)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
