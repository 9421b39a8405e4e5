"""What leaves the journal: rows every store has, raw and refused uplinks beyond their bounds; a little at a time."""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from gateway.line.ledger import HOUR

DAY = 24 * HOUR
KEEP_ROWS_SECONDS = 180
"""Delivered rows stay this long: they mend the state after a crash and recognise the broker's redeliveries."""
SCAN_ROWS = 4000
"""Rows looked at in one transaction. Chosen: some milliseconds, and more than are committed between two prunings."""
SHRINK_ROWS = 500
ROW_BYTES = 200
"""Counted for a row beside its bytes: its other columns and its place in the indexes. Chosen."""

USED_BYTES = (
    "SELECT max(0, (page_count - freelist_count) * page_size - (SELECT sum(value) FROM counter"
    " WHERE name IN ('raw_bytes', 'refused_bytes')))"
    " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
)
"""Bytes in the file for readings that wait: pages freed by delivery are used again and do not count, nor do raw and
refused uplinks, which have bounds of their own."""


class Bounds(NamedTuple):
    """How much the journal may hold."""

    max_bytes: int = 2048 << 20
    raw_days: int = 30
    raw_max_bytes: int = 2048 << 20
    refused_max_bytes: int = 512 << 20
    ledger_days: int = 400


class Pruner:
    """Deletes what has left, a little at a time; goes round and round the delivered rows, so that a long backlog is not
    searched anew each time."""

    def __init__(self) -> None:
        self._position = 0

    def prune(self, database: sqlite3.Connection, through: int, now: int, bounds: Bounds) -> bool:
        """Inside a transaction; True if there is more.

        Args:
            database: the journal.
            through: newest row that may go (the ledger's table has counted it).
            now: ns UTC.
            bounds: of the settings.
        """
        more = [
            self._prune_rows(database, through, now - KEEP_ROWS_SECONDS * 1_000_000_000),
            shrink_raw(database, now - bounds.raw_days * DAY, bounds.raw_max_bytes),
            shrink_refused(database, bounds.refused_max_bytes),
        ]
        database.execute("DELETE FROM ledger WHERE hour < ?", ((now - bounds.ledger_days * DAY) // HOUR,))
        return any(more)

    def _prune_rows(self, database: sqlite3.Connection, through: int, committed_before: int) -> bool:
        """Look at the next rows.

        Args:
            database: inside a transaction.
            through: newest row that may go (the ledger's table has counted it).
            committed_before: ns UTC; younger rows stay.

        Returns:
            Whether it is worth going on at once.
        """
        rows = database.execute(
            "SELECT id, committed_at FROM batch WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
            (self._position, through, SCAN_ROWS),
        ).fetchall()
        old = [number for number, committed_at in rows if committed_at < committed_before]
        if not old:
            self._position = 0
            return False
        waiting = {
            number
            for (number,) in database.execute(
                "SELECT batch FROM store JOIN waiting ON waiting.store = store.id AND batch BETWEEN ? AND ?",
                (old[0], old[-1]),
            )
        }
        gone = [(number,) for number in old if number not in waiting]
        database.executemany("DELETE FROM batch WHERE id = ?", gone)
        self._position = old[-1] if len(old) == SCAN_ROWS else 0
        return len(gone) > SCAN_ROWS // 2


def shrink_raw(database: sqlite3.Connection, last_before: int, limit: int) -> bool:
    """Delete the oldest raw uplinks that are too old [ns UTC] or beyond the limit [bytes]; True if more must go."""
    rows = database.execute(
        "SELECT id, length(body), last_at < ? FROM raw ORDER BY id LIMIT ?", (last_before, SHRINK_ROWS)
    )
    return _shrink(database, "raw", rows.fetchall(), limit)


def shrink_refused(database: sqlite3.Connection, limit: int) -> bool:
    """Delete the oldest refused uplinks beyond the limit [bytes]; True if more must go."""
    rows = database.execute("SELECT id, length(payload), 0 FROM refused ORDER BY id LIMIT ?", (SHRINK_ROWS,))
    return _shrink(database, "refused", rows.fetchall(), limit)


def _shrink(database: sqlite3.Connection, table: str, rows: Sequence[tuple[int, int, int]], limit: int) -> bool:
    name = f"{table}_bytes"
    (total,) = database.execute("SELECT value FROM counter WHERE name = ?", (name,)).fetchone()
    last = freed = 0
    for number, size, is_old in rows:
        if not is_old and total - freed <= limit:
            break
        last, freed = number, freed + size + ROW_BYTES
    if not last:
        return False
    database.execute(f"DELETE FROM {table} WHERE id <= ?", (last,))
    database.execute("UPDATE counter SET value = value - ? WHERE name = ?", (freed, name))
    return len(rows) == SHRINK_ROWS and last == rows[-1][0]
