"""Small things of the line's thread that ride in the journal's next transaction: new senders, notes, counts."""

import sqlite3

INSERT_NOTE = "INSERT OR REPLACE INTO note VALUES (?, ?)"
_ADD = "INSERT INTO counter VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value"


def add_to(database: sqlite3.Connection, counter: str, delta: int) -> None:
    """Add to a counter of the journal; it begins at 0."""
    database.execute(_ADD, (counter, delta))


class Unwritten:
    """Waits for the next transaction, so that no callback needs a commit of its own, which a full disk would refuse."""

    def __init__(self) -> None:
        self.senders: dict[str, int] = {}
        self.notes: dict[str, str] = {}
        self.counts: dict[str, int] = {}

    @property
    def is_urgent(self) -> bool:
        """Whether something should not wait for the next batch; senders mean nothing before it."""
        return bool(self.notes or self.counts)

    def write(self, database: sqlite3.Connection) -> None:
        """Put everything in; it stays here until ``clear``, which follows the commit."""
        senders = ((number, name) for name, number in self.senders.items())
        database.executemany("INSERT INTO sender (id, name) VALUES (?, ?)", senders)
        database.executemany(INSERT_NOTE, self.notes.items())
        for name, delta in self.counts.items():
            add_to(database, name, delta)

    def clear(self) -> None:
        """It is on disk."""
        self.senders.clear()
        self.notes.clear()
        self.counts.clear()
