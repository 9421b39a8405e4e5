"""The journal: group commit of finished batches into SQLite, before anything is acknowledged."""

import json
import os
import sqlite3
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import structlog

from gateway.line import journal_file
from gateway.line.journal_file import JournalError, Transaction, check_sums, is_damage, lock, open_or_set_aside
from gateway.line.ledger import ADD_TO_LEDGER, REFUSED_FOR, Ledger, Totals, pack_heard, unpack_heard
from gateway.line.outbox import RowQueue, write_marks
from gateway.line.pruning import USED_BYTES, Bounds, Pruner
from gateway.line.raw_uplinks import write_raw, write_refused
from gateway.line.replayed import Replayed, write_replayed
from gateway.line.salvage import take_back
from gateway.line.unwritten import INSERT_NOTE, Unwritten, add_to
from gateway.line.witness import LOST_END, Witness, held, lost_end
from gateway.model import Batch, Heard, Outcome, Row

log = structlog.get_logger(__name__)

FOLD_SECONDS = 60
PRUNE_SECONDS = 5
FEW_SENDERS = 100
"""More of them are found faster by reading all. Chosen."""


class JournalFullError(Exception):
    """No room: the batch is not on disk and must not be acknowledged. Try again later."""


class Journal:
    """One SQLite file, one writer. ``append`` returns when the batch is on disk, or raises and nothing is."""

    def __init__(
        self, path: Path, stores: Sequence[str], bounds: Bounds | None = None, now: Callable[[], int] = time.time_ns
    ) -> None:
        """Open or make the journal.

        Raises:
            JournalError: in use by another process, not writable, or made by a newer gateway.
        """
        self.path, self.bounds, self._now = path, bounds or Bounds(), now
        self._lock_file = lock(path)
        self._witness = Witness(path)
        with ExitStack() as on_error:
            on_error.callback(os.close, self._lock_file)
            on_error.callback(self._witness.close)
            self._database, self.set_aside = open_or_set_aside(path, now())
            self._load_or_set_aside(stores)
            on_error.pop_all()
        self._pruner = Pruner()
        self._changed_hours: set[int] = set()
        self._next_fold = time.monotonic() + FOLD_SECONDS
        self._next_prune = time.monotonic() + PRUNE_SECONDS
        self.full_since: float | None = None
        self._used = 0
        self._measured = 0.0

    # opening -------------------------------------------------------------------------------------------------

    def _load_or_set_aside(self, stores: Sequence[str]) -> None:
        try:
            self._load(stores)
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            self._database.close()
            if isinstance(error, sqlite3.OperationalError) and not is_damage(error, opening=True):
                raise JournalError(f"{self.path}: cannot be used: {error}; check rights and free space") from error
            self.set_aside = journal_file.set_aside(self.path, self._now(), str(error))
            self._database = journal_file.connect(self.path)
            self._load(stores)

    def _load(self, stores: Sequence[str]) -> None:
        take_back(self._database, self.path, self._now())
        self._store_number = self._enroll_stores(stores)
        self._newest_sender = self._count("SELECT coalesce(max(id), 0) FROM sender")
        self.ledger = Ledger(self._newest_sender + 1)
        newest = self._count("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'batch'")
        self.rows = RowQueue(self.path, self._store_number, newest)
        self.newest_at = self._counter("newest_at")
        """The latest time of a commit [ns UTC]; 0 if there is none."""
        self._folded_through = self._counter("folded_through")
        self._unwritten = Unwritten()
        self._totals = self._load_totals()
        check_sums(self._database)
        self._look_for_lost_end()

    def _enroll_stores(self, stores: Sequence[str]) -> dict[str, int]:
        known: dict[str, int] = dict(self._database.execute("SELECT name, id FROM store"))
        missing = [(name,) for name in stores if name not in known]
        if missing:
            try:
                with Transaction(self._database) as database:
                    database.executemany("INSERT INTO store (name) VALUES (?)", missing)
            except sqlite3.OperationalError as error:
                raise JournalError(f"{self.path}: cannot be written: {error}; check rights and free space") from error
            known = dict(self._database.execute("SELECT name, id FROM store"))
        self.has_other_stores = len(known) > len(set(stores))
        """Whether the journal knows stores that are not in the settings any more."""
        return {name: known[name] for name in stores}

    def _load_totals(self) -> list[int]:
        """Received, then the sums by outcome; what the rows beyond the last fold hold is counted again from them."""
        sums = [self._counter(name) for name in _TOTALS]
        self._unreadable = 0
        for heard in self._heard_of("SELECT heard FROM batch WHERE id > ? ORDER BY id", self._folded_through):
            self.ledger.grow(max((entry.sender for entry in heard), default=0) + 1)
            self.ledger.add(heard)
        for entry in self.ledger.unfolded():
            for number, value in enumerate((entry.kept, entry.refused, entry.repeated), start=1):
                sums[number] += value
        lost = sums[0] - sum(sums[1:])
        if self._unreadable and lost > 0:
            # They were received, and what became of them is not known any more.
            self.count("lost_on_disk", lost)
            self.count("received", -lost)
            sums[0] -= lost
        return sums

    def _look_for_lost_end(self) -> None:
        lost = lost_end(self._witness.read(), self._database, self.path, self._now())
        if lost is not None:
            log.error(lost.in_words, file=str(self.path))
            self.count("lost_on_disk", lost.uplinks)
            self.count("lines_lost_on_disk", lost.lines)
            self.remember(f"{LOST_END}{lost.at:020}", f"{lost.uplinks} {lost.lines}")

    def _heard_of(self, query: str, row: int) -> Iterator[list[Heard]]:
        for (data,) in self._database.execute(query, (row,)):
            try:
                yield unpack_heard(data)
            except (zlib.error, struct.error) as error:
                # One flipped byte must not keep the gateway from starting.
                self._unreadable += 1
                log.error("a journal row is damaged; its uplinks cannot be counted", error=str(error))  # noqa: TRY400

    def _counter(self, name: str) -> int:
        return self._count("SELECT value FROM counter WHERE name = ?", name)

    def _count(self, query: str, *arguments: object) -> int:
        row = self._database.execute(query, arguments).fetchone()
        return int(row[0]) if row else 0

    # what the line asks --------------------------------------------------------------------------------------

    def senders(self, names: Sequence[str]) -> list[int]:
        """The numbers of these senders; new ones are entered with the next commit."""
        # Asked for when a fleet is taken over and for a new unknown sender: not worth keeping in memory.
        query = "SELECT name, id FROM sender"
        if len(names) > FEW_SENDERS:
            known = dict(self._database.execute(query))
        else:
            some = f"{query} WHERE name IN (SELECT value FROM json_each(?))"
            known = dict(self._database.execute(some, (json.dumps([*names]),)))
        known |= self._unwritten.senders
        for name in names:
            if name not in known:
                self._newest_sender += 1
                known[name] = self._unwritten.senders[name] = self._newest_sender
        self.ledger.grow(self._newest_sender + 1)
        return [known[name] for name in names]

    def append(
        self,
        batch: Batch,
        notes: Mapping[str, str] | None = None,
        replayed: Sequence[Replayed] = (),
        also: Callable[[sqlite3.Connection], object] | None = None,
    ) -> int:
        """Put a batch on disk, with everything delivery has reported since; then it may be acknowledged.

        Args:
            batch: what the pipeline made.
            notes: texts to remember in the same transaction.
            replayed: refused uplinks whose readings are in the batch; they were received, and counted so, before.
            also: what else to write in the same transaction.

        Returns:
            The row's id.

        Raises:
            JournalFullError: no room within the bounds or on the disk; nothing was written.
        """
        self._check_room()
        now = self._now()
        lines, heard = zlib.compress(batch.lines, 1), pack_heard(batch.heard)
        accepted = self.rows.take_accepted()
        try:
            with Transaction(self._database) as database:
                self._unwritten.write(database)
                row = database.execute(
                    "INSERT INTO batch (committed_at, line_count, lines, heard) VALUES (?, ?, ?, ?)",
                    (now, batch.line_count, lines, heard),
                ).lastrowid
                if row is None:
                    raise sqlite3.DatabaseError("no row id")
                if batch.line_count:
                    self._hand_out(database, row, batch.line_count)
                if batch.refused:
                    add_to(database, "refused_bytes", write_refused(database, batch.refused))
                    for reason, count in Counter(entry.reason for entry in batch.refused).items():
                        add_to(database, REFUSED_FOR + reason, count)
                if batch.raw and self.bounds.raw_days and self.bounds.raw_max_bytes:
                    add_to(database, "raw_bytes", write_raw(database, batch.raw))
                add_to(database, "received", batch.received)
                write_marks(database, accepted, self._store_number, now)
                newest_at = max(now, self.newest_at)
                database.execute(_NEWEST, (newest_at,))
                database.executemany(INSERT_NOTE, (notes or {}).items())
                if replayed:
                    write_replayed(database, replayed, now)
                if also is not None:
                    also(database)
                present = held(database)
        except sqlite3.OperationalError as error:
            self.rows.give_back(accepted)
            self.full_since = self.full_since or time.monotonic()
            raise JournalFullError(f"journal cannot write: {error}") from error
        self._witness.write(present)
        self.full_since, self.newest_at = None, newest_at
        self.rows.applied(accepted)
        self._unwritten.clear()
        self._after_commit(row, batch, replayed)
        return row

    def _hand_out(self, database: sqlite3.Connection, row: int, lines: int) -> None:
        """The row waits for every store of the settings."""
        numbers = self._store_number.values()
        database.executemany("INSERT INTO waiting VALUES (?, ?)", ((store, row) for store in numbers))
        database.executemany("UPDATE store SET kept = kept + ? WHERE id = ?", ((lines, store) for store in numbers))
        add_to(database, "lines_kept", lines)

    def _after_commit(self, row: int, batch: Batch, replayed: Sequence[Replayed]) -> None:
        self.ledger.add(batch.heard)
        self._totals[0] += batch.received
        self._changed_hours.update(moved.hour for moved in replayed)
        for entry in batch.heard:
            self._totals[_POSITION[entry.outcome]] += 1
        for moved in replayed:
            self._totals[_POSITION[Outcome.REFUSED]] -= 1
            self._totals[_POSITION[moved.outcome]] += 1
        self.rows.committed(Row(row, batch.line_count, batch.lines))

    def _check_room(self) -> None:
        if time.monotonic() - self._measured > 1.0:
            self._measured = time.monotonic()
            self._used = self.used_bytes()
        if self._used > self.bounds.max_bytes:
            self.full_since = self.full_since or time.monotonic()
            used, limit = self._used >> 20, self.bounds.max_bytes >> 20
            raise JournalFullError(
                f"journal holds {used} MB of at most {limit} MB; see [journal] max_mb and the stores"
            )

    def used_bytes(self) -> int:
        """Bytes in the file for readings that wait; see ``pruning.USED_BYTES``."""
        return self._count(USED_BYTES)

    def tend(self, *, force: bool = False) -> None:
        """Housekeeping between batches: delivery's marks, the ledger's fold, deleting what has left.

        Never raises for want of room.
        """
        clock = time.monotonic()
        accepted = self.rows.take_accepted()
        fold = force or clock >= self._next_fold
        prune = force or clock >= self._next_prune
        if not (accepted or fold or prune or self._unwritten.is_urgent):
            return
        more, folded = False, set[int]()
        with self.ledger.lock if fold else nullcontext():
            try:
                with Transaction(self._database) as database:
                    self._unwritten.write(database)
                    write_marks(database, accepted, self._store_number, self._now())
                    if fold:
                        folded = self._fold(database)
                    if prune:
                        more = self._pruner.prune(database, self._folded_through, self._now(), self.bounds)
                    present = held(database)
            except sqlite3.OperationalError as error:
                self.rows.give_back(accepted)
                log.error("journal cannot tidy up", error=str(error))  # noqa: TRY400 - a full disk is no bug
                return
            self._witness.write(present)
            if fold:
                self._changed_hours |= folded
                self.ledger.clear()
        self.rows.applied(accepted)
        self._unwritten.clear()
        if fold:
            self._folded_through = self.rows.newest()
            self._next_fold = clock + FOLD_SECONDS
        if prune:
            self._next_prune = clock if more else clock + PRUNE_SECONDS
            self._measured = 0.0

    def _fold(self, database: sqlite3.Connection) -> set[int]:
        """Returns the hours whose rows have changed."""
        counted = self.ledger.unfolded()
        database.executemany(ADD_TO_LEDGER, counted)
        sums = [(value, name) for name, value in zip(_TOTALS[1:], self._totals[1:], strict=True)]
        database.executemany(
            "UPDATE counter SET value = ? WHERE name = ?", [*sums, (self.rows.newest(), "folded_through")]
        )
        return {entry.hour for entry in counted}

    # small things that must not be forgotten -----------------------------------------------------------------

    def note(self, name: str) -> str:
        """A remembered text, or empty."""
        if name in self._unwritten.notes:
            return self._unwritten.notes[name]
        row = self._database.execute("SELECT value FROM note WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else ""

    def remember(self, name: str, value: str) -> None:
        """Remember a text; it is on disk with the next commit or ``tend``."""
        self._unwritten.notes[name] = value

    def count(self, name: str, delta: int) -> None:
        """Add to a counter (``lost_at_broker``); it is on disk with the next commit or ``tend``."""
        self._unwritten.counts[name] = self._unwritten.counts.get(name, 0) + delta

    def totals(self) -> Totals:
        """Uplinks by outcome since the journal began."""
        received, kept, refused, repeated = self._totals
        return Totals(received, kept, refused, repeated)

    def take_changed_hours(self) -> set[int]:
        """Hours since 1970 whose rows in the ledger table have changed since this was last asked."""
        taken, self._changed_hours = self._changed_hours, set()
        return taken

    def held_count(self) -> int:
        """Uplinks that wait for the right time."""
        return self._count("SELECT count(*) FROM held")

    def held(self, limit: int) -> list[tuple[Any, ...]]:
        """The oldest of them: number, boot, time since boot [ns], topic, packed payload, qos and the flags."""
        query = "SELECT id, boot, monotonic, topic, payload, qos, retained, duplicate, message_id FROM held"
        return self._database.execute(f"{query} ORDER BY id LIMIT ?", (limit,)).fetchall()

    def still_refused(self, rows: Sequence[int]) -> set[int]:
        """Those of these refused uplinks that no replay has taken."""
        query = "SELECT id FROM refused WHERE replayed_at IS NULL AND id IN (SELECT value FROM json_each(?))"
        return {row for (row,) in self._database.execute(query, (json.dumps(rows),))}

    def heard_after(self, row: int) -> Iterator[tuple[list[Heard], bytes]]:
        """Entries and lines of every row after ``row``, to mend a state that was saved there; without damaged ones."""
        for heard, lines in self._database.execute("SELECT heard, lines FROM batch WHERE id > ? ORDER BY id", (row,)):
            try:
                found = unpack_heard(heard), zlib.decompress(lines)
            except (zlib.error, struct.error) as error:
                log.error("a journal row is damaged; the state lacks it", error=str(error))  # noqa: TRY400
            else:
                yield found

    def close(self, damage: BaseException | None = None) -> None:
        """Fold, and let go of the file.

        Args:
            damage: what SQLite met in it: it gets another name, and the next one to open the journal salvages it.
        """
        try:
            if not is_damage(damage):
                self.tend(force=True)
        except sqlite3.DatabaseError as error:
            damage = error
        self.rows.close()
        self._database.close()
        self._witness.close()
        if is_damage(damage):
            journal_file.set_aside(self.path, self._now(), str(damage))
        os.close(self._lock_file)


_NEWEST = "UPDATE counter SET value = ? WHERE name = 'newest_at'"
_TOTALS = ("received", "kept", "refused", "repeated")
_POSITION = {name: number for number, name in enumerate(_TOTALS)}
