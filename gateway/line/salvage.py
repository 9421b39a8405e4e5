"""What a damaged journal still holds, handed to the journal in use: once, and with a count of what cannot be read."""

import json
import sqlite3
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog

from gateway.line.journal_file import Transaction, set_aside_files
from gateway.line.ledger import ADD_TO_LEDGER, REFUSED_FOR, pack_heard, unpack_heard
from gateway.line.pruning import ROW_BYTES
from gateway.line.salvage_report import SALVAGED, Report, reports
from gateway.line.sqlite_pages import Pages, Record, Value
from gateway.line.unwritten import INSERT_NOTE, add_to
from gateway.model import Heard

log = structlog.get_logger(__name__)

JOURNAL_ID = "journal_id"
_OUTCOMES = ("kept", "refused", "repeated")
_ADDED = (*_OUTCOMES, "replayed_kept", "replayed_repeated", "lost_at_broker", "lost_on_disk", "lines_lost_on_disk")
_COUNTERS = {*_ADDED, "received", "lines_kept", "folded_through", "raw_bytes", "refused_bytes", "newest_at"}

_Shape = tuple[type | tuple[type, ...], ...]
_NONE, _INT, _TEXT, _BYTES = type(None), int, str, bytes
_SHAPES: dict[str, tuple[_Shape, ...]] = {
    "batch": ((_NONE, _INT, _INT, _BYTES, _BYTES),),
    "raw": ((_NONE, _INT, _INT, _INT, _BYTES),),
    "refused": (
        (_NONE, _INT, _TEXT, _TEXT, _TEXT, _TEXT, _INT, _INT, _INT, _INT, _BYTES, (_INT, _NONE)),
    ),
    "rejected_line": ((_NONE, _INT, _INT, _INT, _BYTES, _TEXT),),
    "held": ((_NONE, _TEXT, _INT, _INT, _TEXT, _BYTES, _INT, _INT, _INT, _INT),),
    "sender": ((_NONE, _TEXT),),
    "store": ((_NONE, _TEXT, _INT, _INT, _INT), (_NONE, _TEXT, _INT, _INT, _INT, _INT)),
    "waiting": ((_INT, _INT),),
    "ledger": ((_INT,) * 6,),
    "counter": ((_TEXT, _INT),),
    "note": ((_TEXT, _TEXT),),
    "sqlite_sequence": ((_TEXT, _INT),),
}  # fmt: skip
"""What the records of each table look like, this version's and earlier ones': how a page that nothing leads to any
more is known."""


_NAMES = {"counter": _COUNTERS, "sqlite_sequence": {"batch", "refused", "raw", "held"}}


def take_back(database: sqlite3.Connection, path: Path, now: int) -> list[Report]:
    """Salvage every journal beside this one that was set aside and not salvaged yet.

    Args:
        database: the journal in use, of which nothing has been read yet.
        path: its file.
        now: ns UTC.
    """
    known = {report.file for report in reports(database)}
    done = []
    for file in set_aside_files(path):
        if file.name in known:
            continue
        try:
            report = salvage(file, database, now)
        except (sqlite3.OperationalError, OSError, MemoryError) as error:
            log.error("a journal that was set aside cannot be salvaged now", file=str(file), error=str(error))  # noqa: TRY400
            continue
        log.warning("a damaged journal was salvaged", **report._asdict())
        done.append(report)
    return done


def salvage(file: Path, database: sqlite3.Connection, now: int) -> Report:
    """Hand what can be read of a journal to the one in use, in one transaction; the second time nothing happens.

    Raises:
        sqlite3.OperationalError: no room; nothing was taken.
        ValueError: it is the journal in use, or a copy of it.
    """
    old = _Old(Pages(file))
    notes = dict(database.execute("SELECT name, value FROM note"))
    own = old.notes.get(JOURNAL_ID, "")
    if own and own == notes.get(JOURNAL_ID):
        raise ValueError(f"{file}: is the journal in use, or a copy of it; there is nothing to hand on")
    name = SALVAGED + (own or old.pages.identity())
    if name in notes:
        return Report(*json.loads(notes[name]))
    with Transaction(database):
        report = _Handover(old, database).run(file.name, now)
        database.execute(INSERT_NOTE, (name, json.dumps(report)))
    return report


def _table_of(record: Record) -> str:
    for name, shapes in _SHAPES.items():
        if any(_fits(record, shape) for shape in shapes):
            if record[0] not in _NAMES.get(name, (record[0],)) and not str(record[0]).startswith(REFUSED_FOR):
                continue  # an index of names looks the same
            return name
    return ""


def _fits(record: Record, shape: _Shape) -> bool:
    return len(record) == len(shape) and all(isinstance(*pair) for pair in zip(record, shape, strict=True))


class _Old:
    """The damaged journal: its small tables in memory, its large ones row by row."""

    def __init__(self, pages: Pages) -> None:
        self.pages = pages
        self._tables = pages.tables(_table_of)
        self.damaged = pages.damaged
        self.senders = {row: str(record[1]) for row, record in self.each("sender")}
        self.stores = dict(self.each("store"))
        self.waiting: dict[int, list[int]] = {}
        """Stores by row."""
        for _, record in self.each("waiting"):
            self.waiting.setdefault(_int(record[1]), []).append(_int(record[0]))
        self.counters = {str(record[0]): _int(record[1]) for _, record in self.each("counter")}
        self.notes = {str(record[0]): str(record[1]) for _, record in self.each("note")}
        self.sequences = {str(record[0]): _int(record[1]) for _, record in self.each("sqlite_sequence")}

    def each(self, table: str, *, again: bool = False) -> Iterator[tuple[int, Record]]:
        """Every readable row of a table once; what cannot be read is counted, unless the table is read again."""
        seen = set()
        for row in self.pages.each(self._tables.get(table, [])):
            if row is None or not any(_fits(row[1], shape) for shape in _SHAPES[table]):
                self.damaged += not again
                continue
            number, record = row
            key = number or (record[0], record[1])
            if key not in seen:
                seen.add(key)
                yield number, record


class _Handover:
    """Writes what was read, inside a transaction of the journal in use."""

    def __init__(self, old: _Old, database: sqlite3.Connection) -> None:
        self._old, self._database = old, database
        self._senders = self._numbers("sender", old.senders)
        known = self._numbers("store", {row: str(record[1]) for row, record in old.stores.items()})
        everywhere = [number for (number,) in database.execute("SELECT id FROM store")]
        meant = {store for stores in old.waiting.values() for store in stores}
        # Whose name is lost gets its rows through every store: writing twice is writing once.
        self._stores = {store: [known[store]] if store in known else everywhere for store in meant | set(known)}
        self._uplinks = 0
        self._handed = dict.fromkeys(self._stores, 0)
        """Lines that wait for each store."""

    def _numbers(self, table: str, names: dict[int, str]) -> dict[int, int]:
        """Numbers of the old journal to those of the present one."""
        self._database.executemany(f"INSERT OR IGNORE INTO {table} (name) VALUES (?)", [(n,) for n in names.values()])
        known = dict(self._database.execute(f"SELECT name, id FROM {table}"))
        return {number: known[name] for number, name in names.items()}

    def run(self, file: str, now: int) -> Report:
        """Everything there is; returns what it was."""
        lines = self._batches()
        refused, lost_refused = self._copy("refused", 10)
        raw, _ = self._copy("raw", 4)
        held, _ = self._copy("held", 5)
        self._rejected()
        self._ledger()
        lost_lines, lost_uplinks = self._store_sums(), self._uplink_sums()
        notes = [(name, text) for name, text in self._old.notes.items() if name != JOURNAL_ID]
        self._database.executemany("INSERT OR IGNORE INTO note VALUES (?, ?)", notes)
        damaged = self._old.damaged
        add_to(self._database, "lost_on_disk", max(0, lost_uplinks))
        add_to(self._database, "lines_lost_on_disk", max(0, lost_lines))
        return Report(
            file, now, lines, self._uplinks, refused, raw, held, damaged, lost_lines, lost_refused, lost_uplinks
        )

    def _missing(self, store: int, readable: int) -> int:
        """Lines that must wait for a store beside those that are known to."""
        record = self._old.stores.get(store)
        if record is None:
            return 0
        kept, *gone = (_int(value) for value in record[2:])
        return max(0, kept - sum(gone) - readable)

    def _batches(self) -> int:
        """Rows that wait, and rows that the ledger's table has not counted: it counts them when the journal opens."""
        old = self._old
        readable = dict.fromkeys(self._stores, 0)
        for number, record in old.each("batch"):
            for store in old.waiting.get(number, ()) if _is_whole(record) else ():
                readable[store] += _int(record[2])
        # Where marks are lost with their page, any row may be one of those that wait.
        unsure = [store for store, lines in readable.items() if old.pages.is_stale or self._missing(store, lines)]
        folded, handed = old.counters.get("folded_through", 1 << 62), 0
        for number, record in old.each("batch", again=True):
            stores = sorted({*old.waiting.get(number, ()), *unsure}) if _is_whole(record) else []
            entries = self._heard(record[4]) if number > folded else []
            if stores or entries:
                handed += self._hand_on(record, stores, entries)
            old.damaged += number in old.waiting and not stores
        return handed

    def _hand_on(self, record: Record, stores: Sequence[int], entries: Sequence[Heard]) -> int:
        count = _int(record[2]) if stores else 0
        row = self._database.execute(
            "INSERT INTO batch (committed_at, line_count, lines, heard) VALUES (?, ?, ?, ?)",
            (record[1], count, record[3] if stores else zlib.compress(b""), pack_heard(entries)),
        ).lastrowid
        self._uplinks += len(entries)
        if not count:
            return 0
        for store in stores:
            self._handed[store] += count
            places = [(number, row) for number in self._stores[store]]
            self._database.executemany("INSERT OR IGNORE INTO waiting VALUES (?, ?)", places)
        return count

    def _heard(self, packed: Value) -> list[Heard]:
        try:
            entries = unpack_heard(packed if isinstance(packed, bytes) else b"")
            return [entry._replace(sender=self._senders[entry.sender]) for entry in entries]
        except (zlib.error, struct.error, KeyError):
            self._old.damaged += 1
            return []

    def _copy(self, table: str, body: int) -> tuple[int, int]:
        """Rows with whole bodies (the number of that column); returns how many, and how many are missing."""
        numbers, size, taken = [], 0, 0
        for number, record in self._old.each(table):
            if not _unpacked(record[body]):
                self._old.damaged += 1
                continue
            numbers.append(number)
            if table == "refused" and record[11] is not None:
                continue  # a replay has taken it
            marks = ", ".join("?" * (len(record) - 1))
            self._database.execute(f"INSERT INTO {table} VALUES (NULL, {marks})", record[1:])
            size, taken = size + len(_bytes(record[body])) + ROW_BYTES, taken + 1
        if table != "held":
            add_to(self._database, f"{table}_bytes", size)
        newest = max([self._old.sequences.get(table, 0), *numbers])
        # Numbers run on without a gap, and only the oldest are ever deleted.
        return taken, newest - min(numbers, default=newest + 1) + 1 - len(numbers)

    def _rejected(self) -> None:
        for _, (_, store, _, at, line, answer) in self._old.each("rejected_line"):
            for number in self._stores.get(_int(store), [])[:1]:
                self._database.execute(
                    "INSERT INTO rejected_line (store, batch, rejected_at, line, answer) VALUES (?, 0, ?, ?, ?)",
                    (number, at, line, answer),
                )

    def _ledger(self) -> None:
        rows = (record for _, record in self._old.each("ledger"))
        known = [(row[0], self._senders[_int(row[1])], *row[2:]) for row in rows if _int(row[1]) in self._senders]
        self._database.executemany(ADD_TO_LEDGER, known)

    def _store_sums(self) -> int:
        """Add up what every store got; returns how many lines are lost to one of them."""
        most_lost = -1 if self._old.pages.is_stale else 0
        most_kept = max(self._handed.values(), default=0)
        for store, handed in self._handed.items():
            record = self._old.stores.get(store)
            if record is None:
                places = [(handed, number) for number in self._stores[store]]
                self._database.executemany("UPDATE store SET kept = kept + ? WHERE id = ?", places)
                most_lost = -1
                continue
            lost = self._missing(store, handed)
            kept, stored, rejected, *others = (_int(value) for value in record[2:])
            given_up = sum(others) + lost
            # What is handed on a second time is not stored until the store has it again.
            stored = max(0, min(stored, kept - rejected - given_up - handed))
            kept = stored + rejected + given_up + handed
            most_kept = max(most_kept, kept)
            self._database.execute(
                "UPDATE store SET kept = kept + ?, stored = stored + ?, rejected = rejected + ?,"
                " given_up = given_up + ? WHERE id = ?",
                (kept, stored, rejected, given_up, self._stores[store][0]),
            )
            most_lost = max(most_lost, lost) if most_lost >= 0 else most_lost
        add_to(self._database, "lines_kept", max(self._old.counters.get("lines_kept", 0), most_kept))
        return most_lost if self._old.stores else -1

    def _uplink_sums(self) -> int:
        """Take over the ledger's sums; returns how many uplinks are missing in them."""
        counters = self._old.counters
        for name, count in counters.items():
            if name in _ADDED or name.startswith(REFUSED_FOR):
                add_to(self._database, name, count)
        accounted = sum(counters.get(name, 0) for name in _OUTCOMES) + self._uplinks
        add_to(self._database, "received", accounted)
        if not {"received", "folded_through", *_OUTCOMES} <= set(counters):
            return -1
        return max(0, counters["received"] - accounted)


def _int(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _bytes(value: Value) -> bytes:
    return value if isinstance(value, bytes) else b""


def _unpacked(packed: Value) -> bytes | None:
    """None if it is damaged."""
    try:
        return zlib.decompress(_bytes(packed))
    except zlib.error:
        return None


def _is_whole(batch: Record) -> bool:
    lines = _unpacked(batch[3])
    return lines is not None and lines.count(b"\n") == batch[2]
