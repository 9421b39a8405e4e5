"""Store: one SQLite file with InfluxDB's semantics, for the demo and for a commune with a single small box."""

import itertools
import json
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from operator import itemgetter
from pathlib import Path
from typing import Literal, NamedTuple

from gateway.model import (
    LinesRefusedError,
    Point,
    StoredLine,
    StoreError,
    StoreMisconfiguredError,
    StoreUnavailableError,
    Window,
)
from gateway.northbound.line_reader import Line, read_head, read_lines, refused
from gateway.northbound.routing import rollup_width

_SCHEMA_VERSION = 1
_IS_TABLE = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
_SCHEMA = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    measurement TEXT NOT NULL,
    commune TEXT NOT NULL,
    device TEXT NOT NULL,
    tags TEXT NOT NULL, -- the other tags, a JSON list of pairs in order
    UNIQUE (measurement, device, commune, tags)
);
"""
_MOST_MEASUREMENTS, _MOST_FIELDS = 100, 500
"""Bounds against a body that is not ours; SQLite's own is 2,000 columns."""
_REMEMBERED = 200_000
"""Series and statements kept in memory, at most."""
_LEAST_FREE_MB = 200
_PRUNE_SECONDS = 0.25
"""Longest time of one transaction of pruning, so that writing goes on in between."""


class _Place(NamedTuple):
    series: int
    measurement: str


class Embedded:
    """Implements ``model.Store``. Nothing is opened before the first call; one writer, any number of reading threads.

    A table per measurement, a column per field, a row per series and time: the same line again changes nothing, another
    field at the same time joins the row. Measured against one row per value, it takes lines seven times as fast in a
    third of the space; against one packed blob per line, it needs three quarters of the space and reads nearly twice
    as fast.
    """

    def __init__(self, *, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        self._lock, self._idle_lock = threading.Lock(), threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._idle: list[sqlite3.Connection] = []
        self._places: dict[str, _Place] = {}
        self._columns: dict[str, set[str]] = {}
        self._statements: dict[tuple[str, tuple[str, ...]], str] = {}

    # writing -------------------------------------------------------------------------------------------------

    def write(self, body: bytes) -> None:
        """See ``model.Store.write``. A body with a bad line is refused whole; what is taken is on disk."""
        lines = list(read_lines(body))
        with self._transaction() as writer:
            places = self._places_of(writer, lines)
            rows = [
                (self._statement(place.measurement, line.names), (place.series, line.time, *line.values))
                for line, place in zip(lines, places, strict=True)
            ]
            for statement, group in itertools.groupby(rows, key=itemgetter(0)):
                writer.executemany(statement, map(itemgetter(1), group))

    def _places_of(self, writer: sqlite3.Connection, lines: list[Line]) -> Iterator[_Place]:
        for line in lines:
            place = self._places.get(line.head)
            if place is None:
                try:
                    place = self._new_place(writer, line.head)
                except ValueError as error:
                    raise refused(line.number, line.head, str(error)) from error
            if not self._columns[place.measurement].issuperset(line.names):
                self._add_columns(writer, place.measurement, line)
            yield place

    def _new_place(self, writer: sqlite3.Connection, text: str) -> _Place:
        head = read_head(text)
        if head.measurement not in self._columns:
            if len(self._columns) >= _MOST_MEASUREMENTS:
                raise ValueError(f"there are {_MOST_MEASUREMENTS} measurements already")
            writer.execute(
                f'CREATE TABLE "point_{head.measurement}" (_series INTEGER NOT NULL, _time INTEGER NOT NULL,'
                " PRIMARY KEY (_series, _time)) WITHOUT ROWID"
            )
            self._columns[head.measurement] = set()
        tags = dict(head.tags)
        key = (head.measurement, tags.pop("commune", ""), tags.pop("device", ""), json.dumps(list(tags.items())))
        writer.execute("INSERT OR IGNORE INTO series (measurement, commune, device, tags) VALUES (?, ?, ?, ?)", key)
        question = "SELECT id FROM series WHERE measurement = ? AND commune = ? AND device = ? AND tags = ?"
        place = _Place(writer.execute(question, key).fetchone()[0], head.measurement)
        if len(self._places) >= _REMEMBERED:
            self._places.clear()
        self._places[text] = place
        return place

    def _add_columns(self, writer: sqlite3.Connection, measurement: str, line: Line) -> None:
        known = self._columns[measurement]
        for name in dict.fromkeys(line.names):
            if name in known:
                continue
            if len(known) >= _MOST_FIELDS:
                raise LinesRefusedError(f"{measurement} has {_MOST_FIELDS} fields already, no room for {name}")
            writer.execute(f'ALTER TABLE "point_{measurement}" ADD COLUMN "{name}" REAL')
            known.add(name)

    def _statement(self, measurement: str, names: tuple[str, ...]) -> str:
        statement = self._statements.get((measurement, names))
        if statement is None:
            columns = ", ".join(f'"{name}"' for name in names)
            merged = ", ".join(f'"{name}" = excluded."{name}"' for name in names)
            statement = (
                f'INSERT INTO "point_{measurement}" (_series, _time, {columns}) VALUES (?, ?{", ?" * len(names)})'
                f" ON CONFLICT DO UPDATE SET {merged}"
            )
            if len(self._statements) >= _REMEMBERED:
                self._statements.clear()
            self._statements[measurement, names] = statement
        return statement

    # reading -------------------------------------------------------------------------------------------------

    def series(self, measurement: str, commune: str, device: str, field: str, window: Window) -> list[Point]:
        """See ``model.Store.series``. Buckets are aligned to 1970 and those without a point are left out."""
        if window.limit < 1 or window.stop <= window.start:
            return []
        try:
            with self.reading() as reader:
                # SQLite would take the quoted name of a missing column for a text.
                known = "SELECT count(*) FROM pragma_table_info(?) WHERE name = ?"
                if not reader.execute(known, (f"point_{measurement}", field)).fetchone()[0]:
                    return []
                # SQLite's remainder has the dividend's sign; this rounds down before 1970 too.
                bucket = "_time - ((_time % :every) + :every) % :every" if window.every else "_time"
                what = f'avg("{field}"), min("{field}"), max("{field}")' if window.every else f'"{field}"'
                rows = reader.execute(
                    f'SELECT {bucket}, {what} FROM "point_{measurement}" WHERE _series IN (SELECT id FROM series'
                    " WHERE measurement = :measurement AND commune = :commune AND device = :device)"
                    f' AND _time >= :start AND _time < :stop AND "{field}" IS NOT NULL'
                    f"{' GROUP BY 1' if window.every else ''} ORDER BY 1 LIMIT :limit",
                    {"measurement": measurement, "commune": commune, "device": device, **window._asdict()},
                ).fetchall()
        except StoreMisconfiguredError as error:
            raise StoreUnavailableError(str(error)) from error
        if window.every:
            return [Point(*row) for row in rows]
        return [Point(at, value, value, value) for at, value in rows]

    def lines(
        self,
        measurement: str,
        commune: str,
        device: str | None,
        start: int,
        stop: int,
        limit: int,
        *,
        newest: bool = False,
    ) -> list[StoredLine]:
        """See ``model.Store.lines``."""
        order = "DESC" if newest else "ASC"
        try:
            with self.reading() as reader:
                if not reader.execute(_IS_TABLE, (f"point_{measurement}",)).fetchone()[0]:
                    return []
                places = reader.execute(
                    "SELECT id, device FROM series WHERE measurement = ? AND commune = ? AND (? IS NULL OR device = ?)",
                    (measurement, commune, device, device),
                ).fetchall()
                found = []
                for place, name in places:
                    cursor = reader.execute(
                        f'SELECT * FROM "point_{measurement}" WHERE _series = ? AND _time >= ? AND _time < ?'
                        f" ORDER BY _time {order} LIMIT ?",
                        (place, start, stop, limit),
                    )
                    names = [column[0] for column in cursor.description][2:]
                    found += [
                        StoredLine(name, at, {n: v for n, v in zip(names, values, strict=True) if v is not None})
                        for _, at, *values in cursor
                    ]
        except StoreMisconfiguredError as error:
            raise StoreUnavailableError(str(error)) from error
        return found

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection nobody else reads with at the moment; kept for the next question."""
        with self._sqlite_errors():
            if self._writer is None:
                with self._lock:
                    self._open()
            with self._idle_lock:
                reader = self._idle.pop() if self._idle else None
            if reader is None:
                reader = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
            try:
                yield reader
            finally:
                with self._idle_lock:
                    self._idle.append(reader)

    # care ----------------------------------------------------------------------------------------------------

    def prune(
        self, before: int, kind: Literal["reading", "hour", "day"], stopped: Callable[[], bool] = lambda: False
    ) -> int:
        """Delete the lines of a kind that are older than this [ns UTC]; the file keeps its size for what comes.

        Returns how many lines went.

        Raises:
            StoreUnavailableError: cannot be done now; what was deleted so far stays deleted.
        """
        with self.reading() as reader:
            every = reader.execute("SELECT id, measurement FROM series ORDER BY measurement, id").fetchall()
        places = [place for place in every if (rollup_width(place[1]) or "reading") == kind]
        deleted = 0
        while places and not stopped():
            until = time.monotonic() + _PRUNE_SECONDS
            with self._transaction() as writer:
                while places and time.monotonic() < until:
                    series, measurement = places.pop()
                    statement = f'DELETE FROM "point_{measurement}" WHERE _series = ? AND _time < ?'
                    deleted += writer.execute(statement, (series, before)).rowcount
        return deleted

    def check(self) -> list[str]:
        """See ``model.Store.check``. Writing is tested by a transaction that changes nothing."""
        try:
            with self._transaction() as writer:
                writer.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            free = shutil.disk_usage(self._path.parent).free >> 20
        except (StoreError, OSError) as error:
            return [str(error)]
        if free < _LEAST_FREE_MB:
            return [f"{self.name}: only {free} MB free beside {self._path}; make room or keep fewer days"]
        return []

    def close(self) -> None:
        """Let go of every connection; the next call opens the file again."""
        with self._lock:
            self._let_go()
        with self._idle_lock:
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """The writer, in a transaction that is on disk afterwards, or never was."""
        with self._lock, self._sqlite_errors():
            writer = self._open()
            try:
                writer.execute("BEGIN IMMEDIATE")
                yield writer
                writer.execute("COMMIT")
            except (sqlite3.Error, StoreError):
                # Closing rolls back; what was remembered in this transaction never came to be and is learned anew.
                self._let_go()
                raise

    def _let_go(self) -> None:
        writer, self._writer = self._writer, None
        self._places.clear()
        self._columns.clear()
        self._statements.clear()
        if writer is not None:
            with suppress(sqlite3.Error):
                writer.close()

    def _open(self) -> sqlite3.Connection:
        if self._writer is None:
            writer = _connect(self._path)
            try:
                self._migrate(writer)
                self._learn(writer)
            except (sqlite3.Error, StoreError):
                writer.close()
                raise
            self._writer = writer
        return self._writer

    def _migrate(self, writer: sqlite3.Connection) -> None:
        version = writer.execute("PRAGMA user_version").fetchone()[0]
        if version > _SCHEMA_VERSION:
            raise StoreMisconfiguredError(
                f"{self.name}: {self._path} was written by a newer gateway (schema {version}, this one knows "
                f"{_SCHEMA_VERSION}); update the gateway or name another path in the settings"
            )
        if version == 0:
            writer.execute("BEGIN IMMEDIATE")
            writer.execute(_SCHEMA)
            writer.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            writer.execute("COMMIT")

    def _learn(self, writer: sqlite3.Connection) -> None:
        tables = writer.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'point\\_%' ESCAPE '\\'"
        )
        for (table,) in tables.fetchall():
            columns = {name for (name,) in writer.execute("SELECT name FROM pragma_table_info(?)", (table,))}
            self._columns[table.removeprefix("point_")] = columns - {"_series", "_time"}

    @contextmanager
    def _sqlite_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise StoreUnavailableError(
                f"{self.name}: {self._path}: {error}; is there room on the disk, and may the gateway write there?"
            ) from error
        except sqlite3.DatabaseError as error:
            raise StoreMisconfiguredError(
                f"{self.name}: {self._path}: {error}; the file is damaged: stop the gateway, move the file aside "
                "(sqlite3's .recover may read it), start again"
            ) from error


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(f"{path.parent} may not be written")
    writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5, cached_statements=512)
    # FULL: a body is accepted once it would survive a power cut, because the journal lets go of it then.
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "journal_size_limit = 67108864", "cache_size = -16000"):
        writer.execute(f"PRAGMA {pragma}")
    return writer
