"""The journal's file: opened or made, locked against a second gateway, set aside if damaged; its transactions."""

import fcntl
import os
import sqlite3
import time
from contextlib import ExitStack, closing
from importlib import resources
from pathlib import Path

import structlog

from gateway.line.migrations import SCHEMA_VERSION, migrate
from gateway.line.wal_frames import is_log_damaged

log = structlog.get_logger(__name__)

ALWAYS_CHECKED_BYTES = 256 << 20
"""A larger file's pages are checked only after an unclean end: reading them takes seconds, on an SD card a minute."""
_NO_VERSION = 1000
"""A version beyond this is no later gateway's but a damaged header."""
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_OURS = "SELECT count(*) FROM sqlite_master WHERE name IN ('batch', 'waiting', 'counter')"
_PARTS = ("", "-wal", "-shm")
"""SQLite keeps one database in up to three files."""


class JournalError(Exception):
    """The journal cannot be opened: wrong folder, in use, or of a newer gateway. One line, what to do."""


def is_damage(error: BaseException | None, *, opening: bool = False) -> bool:
    """Whether SQLite has met a damaged place.

    Args:
        error: what was raised.
        opening: the journal is just being opened: then a table or column that is not there was damaged, too.
    """
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    # Text that is not UTF-8 any more is told without a code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT if "decode" in str(error).lower() else 0) & 0xFF
    return code in _DAMAGED or (opening and code == sqlite3.SQLITE_ERROR)


class Transaction:
    """BEGIN IMMEDIATE ... COMMIT, or ROLLBACK if anything is raised."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def __enter__(self) -> sqlite3.Connection:
        self._database.execute("BEGIN IMMEDIATE")
        return self._database

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            return
        try:
            self._database.execute("COMMIT")
        except sqlite3.Error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise


def connect(path: Path) -> sqlite3.Connection:
    """The journal opened and read at its vital places; made if there is none.

    Raises:
        sqlite3.DatabaseError: damaged, or not to be opened.
        JournalError: made by a newer gateway.
    """
    # check_same_thread: opened by the main thread, then handed to the line's thread for good.
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    with ExitStack() as on_error:
        # At once: closed later, it would delete the write-ahead log of whatever stands at this path by then.
        on_error.callback(database.close)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA wal_autocheckpoint = 4000")
        _prepare(database, path)
        on_error.pop_all()
    return database


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        schema = resources.files("gateway.line").joinpath("schema.sql").read_text("utf-8")
        database.executescript(f"BEGIN IMMEDIATE;\n{schema}\nCOMMIT;")
    elif SCHEMA_VERSION < version <= _NO_VERSION:
        raise JournalError(
            f"{path}: made by a newer gateway (schema {version}); install that version, or use another data_dir"
        )
    elif not database.execute(_OURS).fetchone()[0]:
        raise JournalError(f"{path}: is no journal; move it away, or use another data_dir")
    elif not 0 < version <= SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"the header says schema {version}, which there is none of")
    else:
        migrate(database, version)
    for query in (
        "SELECT id FROM batch ORDER BY id DESC LIMIT 1",
        "SELECT count(*) FROM counter",
        "SELECT count(*) FROM store",
        "SELECT count(*) FROM note",
        "SELECT count(*) FROM sender",
    ):
        database.execute(query).fetchone()


def lock(path: Path, advice: str = "stop it first, or use another data_dir") -> int:
    """Claim the journal for this process; the claim ends with the file descriptor that is returned.

    Args:
        path: the journal.
        advice: what to do where another process has it.

    Raises:
        JournalError: another process has it, or the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise JournalError(f"{path.parent}: {error.strerror}; the gateway must be able to write there") from error
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(number)
        raise JournalError(f"{path}: in use by another gateway; {advice}") from error
    return number


def open_or_set_aside(path: Path, now: int) -> tuple[sqlite3.Connection, Path | None]:
    """Open the journal; a damaged one is renamed, never deleted, and a new one begins.

    Returns:
        The connection, and where the damaged file is now (None if all was well).

    Raises:
        JournalError: not writable, or made by a newer gateway.
    """
    aside = None
    if _is_headless(path):
        aside = set_aside(path, now, "its main file is gone")
    elif is_log_damaged(path):
        aside = set_aside(path, now, "its write-ahead log is damaged in the middle")
    is_clean = not path.with_name(f"{path.name}-wal").exists()
    try:
        with ExitStack() as on_error:
            database = on_error.enter_context(closing(connect(path)))
            if not is_clean or path.stat().st_size < ALWAYS_CHECKED_BYTES:
                check(database)
            on_error.pop_all()
        return database, aside
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and not is_damage(error, opening=True):
            text = f"{path}: cannot be opened: {error}; check the folder's rights and free space"
            raise JournalError(text) from error
        aside = set_aside(path, now, str(error))
    return connect(path), aside


def check(database: sqlite3.Connection) -> None:
    """Read every page's structure.

    Raises:
        DatabaseError: there is a damaged one.
    """
    (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(" ".join(str(found).split()))


def check_sums(database: sqlite3.Connection) -> None:
    """A damaged mark can hide a row from delivery without a word: then the lines do not add up.

    Raises:
        DatabaseError: they do not.
    """
    query = (
        "SELECT name, kept - stored - rejected - given_up, coalesce(sum(line_count), 0),"
        " count(waiting.batch) - count(batch.id) FROM store LEFT JOIN waiting ON waiting.store = store.id"
        " LEFT JOIN batch ON batch.id = waiting.batch GROUP BY store.id"
    )
    for name, expected, waiting, missing in database.execute(query):
        if expected != waiting or missing:
            text = f"{expected} lines must wait for {name!r} and {waiting} do, {missing} rows are not there"
            raise sqlite3.DatabaseError(text)


def set_aside_files(path: Path) -> list[Path]:
    """Damaged journals that were set aside beside this one, the oldest first."""
    found = path.parent.glob(f"{path.name}.damaged-*")
    return sorted({file.with_name(file.name.removesuffix("-wal").removesuffix("-shm")) for file in found})


def _is_headless(path: Path) -> bool:
    """Whether a write-ahead log stands alone: SQLite would take it for a leftover and delete it."""
    log_file = path.with_name(f"{path.name}-wal")
    has_log = log_file.exists() and log_file.stat().st_size > 0
    return has_log and (not path.exists() or path.stat().st_size == 0)


def set_aside(path: Path, now: int, why: str) -> Path:
    """Give a damaged journal another name; `village journal salvage` reads what it still holds."""
    name = f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now / 1e9))}"
    number, aside = 1, path.with_name(name)
    while any(aside.with_name(aside.name + suffix).exists() for suffix in _PARTS):
        number += 1
        aside = path.with_name(f"{name}-{number}")
    for suffix in _PARTS:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    log.error("journal is damaged and was set aside", file=str(aside), why=why)
    return aside
