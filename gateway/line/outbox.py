"""The journal's rows as delivery sees them: what waits for which store, fresh rows from memory, marks to commit."""

import itertools
import sqlite3
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from gateway.line.journal_file import is_damage
from gateway.line.unwritten import add_to
from gateway.model import RejectedLine, Row

log = structlog.get_logger(__name__)

FRESH_BYTES = 8 << 20
"""Newest rows kept in memory, so that fresh delivery reads nothing back."""
FRESH_ROWS = 10_000
"""Likewise: rows of refused uplinks have no lines, and still take memory."""


class Accepted(NamedTuple):
    """A store has these rows; on disk with the next commit."""

    store: str
    rows: tuple[tuple[int, int], ...]
    """Id and line count of each."""
    rejected: tuple[RejectedLine, ...]
    is_lost: bool = False
    """The disk has lost these rows' lines: nobody will ever have them."""


def write_marks(
    database: sqlite3.Connection, accepted: Sequence[Accepted], stores: Mapping[str, int], now: int
) -> None:
    """Put what delivery reported on disk, inside a transaction. A row reported twice leaves, and is counted, once."""
    for store, rows, rejected, is_lost in accepted:
        number, gone = stores[store], 0
        for row, lines in rows:
            if database.execute("DELETE FROM waiting WHERE store = ? AND batch = ?", (number, row)).rowcount:
                gone += lines
        if is_lost:
            database.execute("UPDATE store SET given_up = given_up + ? WHERE id = ?", (gone, number))
            add_to(database, "lines_lost_on_disk", gone)
        else:
            database.execute(
                "UPDATE store SET stored = stored + ?, rejected = rejected + ? WHERE id = ?",
                (gone - len(rejected), len(rejected), number),
            )
        database.executemany(
            "INSERT INTO rejected_line (store, batch, rejected_at, line, answer) VALUES (?, ?, ?, ?, ?)",
            ((number, line.row, now, line.line, line.answer) for line in rejected),
        )


class RowQueue:
    """Implements ``model.Outbox``. Delivery threads read and mark; the line's thread commits."""

    def __init__(self, path: Path, stores: Mapping[str, int], newest: int) -> None:
        self._path, self._stores = path, dict(stores)
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._news = threading.Condition()
        self._fresh: OrderedDict[int, Row] = OrderedDict()
        self._fresh_bytes = 0
        self._newest = newest
        self._interrupted = False
        self._accepted: list[Accepted] = []
        self._line_counts: dict[int, int] = {}
        self._marked: dict[str, set[int]] = {name: set() for name in stores}
        """Accepted, but not yet on disk: must not be handed out again."""
        self._done: dict[str, set[int]] = {name: set() for name in stores}
        """Accepted, on disk as such, and still among the fresh rows in memory."""
        self.lost = 0
        """Lines given up since the start because the disk has lost them."""
        self.damage: BaseException | None = None
        """What a reader met: the file is damaged, and the line has to begin a new one."""

    @property
    def store_numbers(self) -> list[int]:
        """The stores of the settings, as the journal numbers them."""
        return list(self._stores.values())

    # delivery's side -----------------------------------------------------------------------------------------

    def newest(self) -> int:
        """Id of the newest committed row."""
        return self._newest

    def fresh(self, store: str, after: int, max_lines: int, max_bytes: int) -> list[Row]:
        """See ``model.Outbox.fresh``."""
        with self._news:
            if self._fresh and next(iter(self._fresh)) <= after + 1:
                marked, done = self._marked[store], self._done[store]
                newer = itertools.takewhile(lambda number: number > after, reversed(self._fresh))
                rows = [self._fresh[number] for number in newer if number not in marked and number not in done]
                return _fit([row for row in reversed(rows) if row.line_count], max_lines, max_bytes)
        return self._read(store, "waiting.batch > ?", after, max_lines, max_bytes)

    def backlog(self, store: str, before: int, max_lines: int, max_bytes: int) -> list[Row]:
        """See ``model.Outbox.backlog``."""
        return self._read(store, "waiting.batch <= ?", before, max_lines, max_bytes)

    def accepted(self, store: str, rows: Sequence[int], rejected: Sequence[RejectedLine]) -> None:
        """See ``model.Outbox.accepted``."""
        counted = tuple((row, self._lines_of(row)) for row in rows)
        with self._news:
            self._marked[store].update(rows)
            self._accepted.append(Accepted(store, counted, tuple(rejected)))

    def wait(self, after: int, seconds: float) -> None:
        """See ``model.Outbox.wait``."""
        with self._news:
            self._news.wait_for(lambda: self._newest > after or self._interrupted, seconds)

    def interrupt(self) -> None:
        """Wake every waiting thread."""
        with self._news:
            self._interrupted = True
            self._news.notify_all()

    def _lines_of(self, row: int) -> int:
        with self._news:
            known = self._line_counts.get(row)
        if known is None:
            query = "SELECT id, line_count, heard FROM batch WHERE id = ?"
            known = next((int(lines) for _, lines, _ in self._found(query, row)), 0)
        return known

    def _read(self, store: str, where: str, bound: int, max_lines: int, max_bytes: int) -> list[Row]:
        query = (
            "SELECT batch.id, batch.line_count, batch.lines FROM waiting JOIN batch ON batch.id = waiting.batch"
            f" WHERE waiting.store = ? AND {where} ORDER BY waiting.batch"
        )
        rows: list[Row] = []
        lines = size = 0
        with self._news:
            # Before the query's snapshot: rows whose marks reach the disk meanwhile are in one of the two.
            marked = set(self._marked[store])
        for number, count, packed in self._found(query, self._stores[store], bound):
            if number in marked:
                continue
            try:
                text = zlib.decompress(packed)
            except zlib.error as error:
                self._give_up(store, number, count, packed, error)
                continue
            if rows and (lines + count > max_lines or size + len(text) > max_bytes):
                break
            rows.append(Row(number, count, text))
            lines, size = lines + count, size + len(text)
        return rows

    def _found(self, query: str, *arguments: object) -> Iterator[tuple[int, int, bytes]]:
        """The query's rows; where the file is damaged they end, and the line hears of it."""
        try:
            yield from self._reader().execute(query, arguments)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self.met_damage(error)

    def met_damage(self, error: BaseException) -> None:
        """A reader of the file has met this; the line hears of it at its next turn. From any thread."""
        self.damage = error

    def _give_up(self, store: str, row: int, lines: int, packed: bytes, error: zlib.error) -> None:
        """The rows behind a damaged one must not wait for it. Its bytes are kept, and its uplinks may be among the raw
        ones."""
        text = f"damaged on the disk: {error}; try `village redecode` for the time of its commit"
        log.error("a journal row is damaged and cannot be delivered", row=row, lines=lines, error=str(error))
        with self._news:
            self.lost += lines
            self._marked[store].add(row)
            self._accepted.append(Accepted(store, ((row, lines),), (RejectedLine(row, packed, text),), is_lost=True))

    def _reader(self) -> sqlite3.Connection:
        reader: sqlite3.Connection | None = getattr(self._local, "reader", None)
        if reader is None:
            address = f"{self._path.absolute().as_uri()}?mode=ro"
            reader = sqlite3.connect(address, uri=True, check_same_thread=False, timeout=10)
            self._local.reader = reader
            with self._news:
                self._readers.append(reader)
        return reader

    # the line's side -----------------------------------------------------------------------------------------

    def committed(self, row: Row) -> None:
        """A batch is on disk."""
        with self._news:
            self._newest = row.id
            self._fresh[row.id] = row
            self._line_counts[row.id] = row.line_count
            self._fresh_bytes += len(row.lines)
            while (self._fresh_bytes > FRESH_BYTES or len(self._fresh) > FRESH_ROWS) and len(self._fresh) > 1:
                number, oldest = self._fresh.popitem(last=False)
                self._fresh_bytes -= len(oldest.lines)
                self._line_counts.pop(number, None)
                for done in self._done.values():
                    done.discard(number)
            self._news.notify_all()

    def take_accepted(self) -> list[Accepted]:
        """Everything delivery reported since the last commit."""
        with self._news:
            taken, self._accepted = self._accepted, []
            return taken

    def give_back(self, accepted: Sequence[Accepted]) -> None:
        """The commit failed: the reports wait for the next one."""
        with self._news:
            self._accepted[:0] = accepted

    def applied(self, accepted: Sequence[Accepted]) -> None:
        """The reports are on disk: the rows no longer wait there; only those in memory must still be told apart."""
        with self._news:
            for report in accepted:
                numbers = [number for number, _ in report.rows]
                self._marked[report.store].difference_update(numbers)
                self._done[report.store].update(number for number in numbers if number in self._fresh)

    def close(self) -> None:
        """Let go of every reader."""
        self.interrupt()
        for reader in self._readers:
            reader.close()


def _fit(rows: Sequence[Row], max_lines: int, max_bytes: int) -> list[Row]:
    taken: list[Row] = []
    lines = size = 0
    for row in rows:
        if taken and (lines + row.line_count > max_lines or size + len(row.lines) > max_bytes):
            break
        taken.append(row)
        lines, size = lines + row.line_count, size + len(row.lines)
    return taken
