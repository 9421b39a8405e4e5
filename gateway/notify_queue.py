"""What people still have to be told, on disk: a restart loses nothing and tells nothing again."""

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

KEPT_DAYS = 7
"""How long it is remembered what was told. Chosen."""
DAY = 86_400_000_000_000
AGAIN = 1_800_000_000_000
"""An alert that begins again within this [ns] without having ended was told already: the gateway died in between."""
MOST_WAITING = 10_000
"""Of one target. What comes on top is counted in the summary alone."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY,
    target TEXT NOT NULL,
    alert TEXT NOT NULL,
    is_over INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    made_at INTEGER NOT NULL, -- ns UTC
    told_at INTEGER NOT NULL DEFAULT 0, -- ns UTC; 0 waits, -1 was never told
    tries INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS message_waiting ON message (target, told_at);
CREATE INDEX IF NOT EXISTS message_alert ON message (target, alert, id);
CREATE TABLE IF NOT EXISTS sending (target TEXT NOT NULL, at INTEGER NOT NULL);
"""


class Message(NamedTuple):
    """One message to one target."""

    target: str
    alert: str
    """Id of the alert."""
    is_over: bool
    severity: int
    title: str
    body: str


class Waiting(NamedTuple):
    """A message that was not told yet."""

    id: int
    message: Message
    made_at: int
    tries: int


class NotifyQueue:
    """A SQLite file; from any thread."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            OSError: it cannot be written.
        """
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
            for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"):
                self._database.execute(statement)
            self._database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise OSError(f"{path}: {error}; is there room on the disk, and may the gateway write there?") from error

    def put(self, messages: Iterable[Message], now: int) -> int:
        """Take messages in; returns how many are new.

        What a target was told already is passed over. An alert that is over before its message went out is told neither
        way, and one that was never told has no end.
        """
        taken = 0
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            for message in messages:
                taken += self._put(message, now)
            self._database.execute("DELETE FROM message WHERE told_at != 0 AND made_at < ?", (now - KEPT_DAYS * DAY,))
            self._database.execute("COMMIT")
        return taken

    def _put(self, message: Message, now: int) -> bool:
        question = (
            "SELECT id, is_over, made_at, told_at FROM message WHERE target = ? AND alert = ? ORDER BY id DESC LIMIT 1"
        )
        last = self._database.execute(question, (message.target, message.alert)).fetchone()
        if message.is_over:
            if last is None or last[1] or last[3] < 0:
                return False
            if not last[3]:
                self._database.execute("UPDATE message SET told_at = -1 WHERE id = ?", (last[0],))
                return False
        elif last is not None and not last[1] and last[3] >= 0 and (not last[3] or now - last[2] < AGAIN):
            return False
        waiting = "SELECT count(*) FROM message WHERE target = ? AND told_at = 0"
        if self._database.execute(waiting, (message.target,)).fetchone()[0] >= MOST_WAITING:
            return False
        self._database.execute(
            "INSERT INTO message (target, alert, is_over, severity, title, body, made_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*message, now),
        )
        return True

    def waiting(self, target: str) -> list[Waiting]:
        """What a target still has to be told, the worst and oldest first."""
        with self._lock:
            rows = self._database.execute(
                "SELECT id, target, alert, is_over, severity, title, body, made_at, tries FROM message"
                " WHERE target = ? AND told_at = 0 ORDER BY is_over, severity DESC, id",
                (target,),
            ).fetchall()
        return [Waiting(row[0], Message(row[1], row[2], bool(row[3]), *row[4:7]), row[7], row[8]) for row in rows]

    def told(self, target: str, ids: Sequence[int], now: int) -> None:
        """One sending told a target these messages."""
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("UPDATE message SET told_at = ? WHERE id = ?", [(now, id_) for id_ in ids])
            self._database.execute("INSERT INTO sending VALUES (?, ?)", (target, now))
            self._database.execute("DELETE FROM sending WHERE at < ?", (now - DAY,))
            self._database.execute("COMMIT")

    def failed(self, ids: Sequence[int]) -> None:
        """A try came to nothing."""
        with self._lock:
            self._database.executemany("UPDATE message SET tries = tries + 1 WHERE id = ?", [(id_,) for id_ in ids])

    def dropped(self, ids: Sequence[int]) -> None:
        """These are given up."""
        with self._lock:
            self._database.executemany("UPDATE message SET told_at = -1 WHERE id = ?", [(id_,) for id_ in ids])

    def sendings(self, target: str, since: int) -> list[int]:
        """When a target was told something [ns UTC], the oldest first."""
        with self._lock:
            rows = self._database.execute(
                "SELECT at FROM sending WHERE target = ? AND at > ? ORDER BY at", (target, since)
            )
            return [at for (at,) in rows.fetchall()]

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._database.close()
