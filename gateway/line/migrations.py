"""Journals of earlier versions brought up to the schema of this one, a step at a time, each in one transaction."""

import sqlite3

SCHEMA_VERSION = 2
"""Of ``schema.sql``. Version 1: until November 2026; ``tests/data/journal_v1.db`` is one."""

_STEPS = {
    1: """
ALTER TABLE store ADD COLUMN given_up INTEGER NOT NULL DEFAULT 0;
CREATE TABLE held (
    id INTEGER PRIMARY KEY AUTOINCREMENT, boot TEXT NOT NULL, monotonic INTEGER NOT NULL, received_at INTEGER NOT NULL,
    topic TEXT NOT NULL, payload BLOB NOT NULL, qos INTEGER NOT NULL, retained INTEGER NOT NULL,
    duplicate INTEGER NOT NULL, message_id INTEGER NOT NULL
);
INSERT OR IGNORE INTO counter VALUES ('lost_on_disk', 0), ('lines_lost_on_disk', 0), ('newest_at', 0);
UPDATE counter SET value = (SELECT coalesce(max(committed_at), 0) FROM batch) WHERE name = 'newest_at';
INSERT OR IGNORE INTO note VALUES ('journal_id', lower(hex(randomblob(12))));
""",
}
"""From which version, what to do to reach the next."""


def migrate(database: sqlite3.Connection, version: int) -> None:
    """Bring a journal of this older version up to date.

    Raises:
        sqlite3.OperationalError: no room; the journal is as it was, at one version or another.
    """
    for step in range(version, SCHEMA_VERSION):
        try:
            database.executescript(f"BEGIN IMMEDIATE;{_STEPS[step]}PRAGMA user_version = {step + 1};COMMIT;")
        except sqlite3.Error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
