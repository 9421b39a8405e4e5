"""What the journal knows, for reading: ledger, refused uplinks, what waits; its own read-only connections."""

import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gateway.line.journal_file import is_damage
from gateway.line.ledger import HOUR, REFUSED_FOR, Ledger, Totals, Unfolded, unpack_heard
from gateway.line.pruning import USED_BYTES
from gateway.line.salvage_report import Report, reports
from gateway.line.witness import LostEnd, lost_ends


class StoreTotals(NamedTuple):
    """Lines of one store. ``kept = waiting + stored + rejected + given_up``."""

    store: str
    waiting: int
    stored: int
    rejected: int
    oldest_waiting_at: int
    """When the oldest waiting row was committed [ns UTC]; 0 if nothing waits."""
    given_up: int = 0
    """Forgotten by command, or lost on the disk."""


class LineTotals(NamedTuple):
    """Lines made, and where they are."""

    kept: int
    stores: list[StoreTotals]
    not_meant: tuple[int, ...] = ()
    """For each store, how many of the lines were made while it was not in the settings; empty means none."""

    @property
    def holds(self) -> bool:
        """Whether the sum holds for every store, over the lines that were meant for it."""
        others = self.not_meant or (0,) * len(self.stores)
        sums = (store.waiting + store.stored + store.rejected + store.given_up for store in self.stores)
        return all(own + other == self.kept for own, other in zip(sums, others, strict=True))


class DeviceHour(NamedTuple):
    """One sender in one hour of receipt."""

    hour: int
    """Start of the hour [ns UTC]."""
    device: str
    """Name, or ``?<topic root>`` for unknown senders."""
    received: int
    kept: int
    refused: int
    repeated: int
    missing: int = 0
    """Sent and never arrived, by the device's own numbers: lost on the radio or on the way. Below 0 where some came in
    a later hour than they were missed in. What arrived and could not be used is ``refused``."""


class SenderHour(NamedTuple):
    """One sender's row of an hour in the ledger table."""

    sender: int
    """Its number in the journal."""
    device: str
    """Name, or ``?<topic root>`` for unknown senders."""
    kept: int
    refused: int
    repeated: int
    missing: int


class RefusedRow(NamedTuple):
    """A refused uplink, without its bytes."""

    id: int
    received_at: int
    topic: str
    device: str
    reason: str
    detail: str
    size: int
    retained: bool


class Replays(NamedTuple):
    """Uplinks that were refused at first, by what they were when a replay took them."""

    kept: int
    repeated: int


IDLE_READERS = 8
"""Connections kept open between questions; more are opened while more threads ask at once."""
_OUTCOMES = ("kept", "refused", "repeated")
_COLUMNS = "id, received_at, topic, device, reason, detail, size, retained"


class Records:
    """Questions about the journal. Thread-safe; read-only connections that take turns."""

    def __init__(
        self,
        path: Path,
        totals: Callable[[], Totals] | None = None,
        unfolded: Callable[[], list[Unfolded]] | None = None,
    ) -> None:
        """``totals`` and ``unfolded`` come from the running journal; without them the rows on disk are counted."""
        self._path, self._totals, self._unfolded = path, totals, unfolded
        self.on_damage: Callable[[BaseException], object] = bool
        """Is told what SQLite met in a damaged file."""
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection whose queries all see the same moment."""
        with self._lock:
            reader = self._idle.pop() if self._idle else None
        if reader is None:
            address = f"{self._path.absolute().as_uri()}?mode=ro"
            reader = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            reader.execute("BEGIN")
            yield reader
        except BaseException as error:
            reader.close()
            if is_damage(error):
                self.on_damage(error)
            raise
        reader.execute("COMMIT")
        with self._lock:
            if len(self._idle) < IDLE_READERS:
                self._idle.append(reader)
                return
        reader.close()

    def _ask(self, query: str, *arguments: object) -> list[tuple[object, ...]]:
        with self._reading() as reader:
            return reader.execute(query, arguments).fetchall()

    def _number(self, query: str, *arguments: object) -> int:
        rows = self._ask(query, *arguments)
        return _int(rows[0][0]) if rows else 0

    def _counter(self, name: str) -> int:
        return self._number("SELECT value FROM counter WHERE name = ?", name)

    def totals(self) -> Totals:
        """Uplinks by outcome since the journal began."""
        if self._totals is not None:
            return self._totals()
        with self._reading() as reader:
            counters: dict[str, int] = dict(reader.execute("SELECT name, value FROM counter"))
            rest = _unfolded_on_disk(reader)
        sums = {name: counters[name] + sum(getattr(entry, name) for entry in rest) for name in _OUTCOMES}
        return Totals(counters["received"], **sums)

    def lines(self) -> LineTotals:
        """Lines made and where they are, all as of one moment."""
        rows = self._ask(
            "SELECT (SELECT value FROM counter WHERE name = 'lines_kept'), store.kept, store.name, store.stored,"
            " store.rejected, coalesce(sum(batch.line_count), 0), coalesce(min(batch.committed_at), 0), store.given_up"
            " FROM store LEFT JOIN waiting ON waiting.store = store.id LEFT JOIN batch ON batch.id = waiting.batch"
            " GROUP BY store.id ORDER BY store.id"
        )
        stores = [
            StoreTotals(str(name), _int(waiting), _int(stored), _int(rejected), _int(oldest), _int(given_up))
            for _, _, name, stored, rejected, waiting, oldest, given_up in rows
        ]
        not_meant = tuple(_int(all_lines) - _int(own) for all_lines, own, *_ in rows)
        return LineTotals(_int(rows[0][0]) if rows else self._counter("lines_kept"), stores, not_meant)

    def by_reason(self) -> dict[str, int]:
        """Refused uplinks that are kept and wait for a mended fleet or profile, by reason."""
        rows = self._ask(
            "SELECT reason, count(*) FROM refused WHERE replayed_at IS NULL GROUP BY reason ORDER BY reason"
        )
        return {str(reason): _int(count) for reason, count in rows}

    def refused_for(self) -> dict[str, int]:
        """Uplinks refused at first since the journal began, by reason; never falls."""
        rows = self._ask("SELECT name, value FROM counter WHERE name GLOB ?", f"{REFUSED_FOR}*")
        return {str(name).removeprefix(REFUSED_FOR): _int(count) for name, count in rows}

    def folded_hour(self, hour: int, after: int, limit: int) -> list[SenderHour]:
        """What the ledger table has of one hour, page by page; what is in memory still is not in it.

        Args:
            hour: since 1970 UTC.
            after: the last sender's number of the page before; 0 to begin.
            limit: rows of a page.
        """
        rows = self._ask(
            "SELECT sender, name, kept, refused, repeated, missing FROM ledger JOIN sender ON sender.id = ledger.sender"
            " WHERE hour = ? AND sender > ? ORDER BY sender LIMIT ?",
            hour, after, limit,
        )  # fmt: skip
        return [SenderHour(_int(sender), str(name), *map(_int, counts)) for sender, name, *counts in rows]

    def by_device(self, since: int, until: int, device: str | None, limit: int) -> list[DeviceHour]:
        """The ledger by hour of receipt and device, newest hour first.

        Args:
            since: nanoseconds UTC, rounded down to the hour.
            until: nanoseconds UTC, excluded.
            device: only this sender; None for all.
            limit: at most so many rows.
        """
        while True:
            with self._reading() as reader:
                fold = _fold_of(reader)
                sums = _folded(reader, since, until, device, limit)
                unfolded = _unfolded_on_disk(reader) if self._unfolded is None else self._unfolded()
                names = _sender_names(reader, device) if unfolded else {}
            if self._unfolded is None or self._counter("folded_through") == fold:
                break
            # A fold in between has moved counts from memory to the table: they would be missing here.
        for entry in unfolded:
            name = names.get(entry.sender)
            if name is not None and since // HOUR <= entry.hour and entry.hour * HOUR < until:
                before = sums.setdefault((entry.hour, name), [0, 0, 0, 0])
                for number, value in enumerate(entry[2:]):
                    before[number] += value
        # Where a replay took everything an hour had refused, nothing is left to show.
        left = ((-hour, name, counts) for (hour, name), counts in sums.items() if any(counts))
        return [DeviceHour(-hour * HOUR, name, sum(counts[:3]), *counts) for hour, name, counts in sorted(left)[:limit]]

    def refused(
        self, since: int, reason: str | None, device: str | None, before: int | None, limit: int
    ) -> list[RefusedRow]:
        """Refused uplinks that no replay has taken, newest first; ``before`` is the id to page on from."""
        rows = self._ask(
            f"SELECT {_COLUMNS} FROM refused WHERE replayed_at IS NULL AND received_at >= ?"
            " AND (? IS NULL OR reason = ?) AND (? IS NULL OR device = ?) AND (? IS NULL OR id < ?)"
            " ORDER BY id DESC LIMIT ?",
            since, reason, reason, device, device, before, before, limit,
        )  # fmt: skip
        return [_refused(row) for row in rows]

    def refused_payload(self, number: int) -> tuple[RefusedRow, bytes, bool] | None:
        """One refused uplink, its bytes, and whether they were cut; None if there is none with this id."""
        rows = self._ask(f"SELECT {_COLUMNS}, payload, truncated FROM refused WHERE id = ?", number)
        if not rows:
            return None
        *columns, payload, truncated = rows[0]
        if not isinstance(payload, bytes):
            return None
        return _refused(tuple(columns)), zlib.decompress(payload), bool(truncated)

    def replayed(self) -> Replays:
        """How many uplinks were refused at first."""
        return Replays(self._counter("replayed_kept"), self._counter("replayed_repeated"))

    def broker_lost(self) -> int:
        """Messages the broker said it had dropped after accepting them."""
        return self._counter("lost_at_broker")

    def lost_on_disk(self) -> int:
        """Lines that were acknowledged and could not be read any more before every store had them."""
        return self._counter("lines_lost_on_disk")

    def held(self) -> int:
        """Uplinks that wait for the gateway's clock to be right."""
        return self._number("SELECT count(*) FROM held")

    def kept_uplinks(self) -> tuple[int, int, int]:
        """Accepted uplinks that can be decoded again, the room they take, and that of refused ones [bytes]."""
        uplinks = self._number("SELECT coalesce(sum(uplinks), 0) FROM raw")
        return uplinks, self._counter("raw_bytes"), self._counter("refused_bytes")

    def salvaged(self) -> list[Report]:
        """What came of damaged journals that this one has taken over."""
        with self._reading() as reader:
            return reports(reader)

    def lost_ends(self) -> list[LostEnd]:
        """What the disk has lost of the journal's end, each time it was noticed."""
        with self._reading() as reader:
            return lost_ends(reader)

    def used_bytes(self) -> int:
        """Bytes in the journal's file for readings that wait; see ``pruning.USED_BYTES``."""
        return self._number(USED_BYTES)

    def close(self) -> None:
        """Let go of every connection that is not being used at this moment."""
        with self._lock:
            for reader in self._idle:
                reader.close()
            self._idle.clear()


def _fold_of(reader: sqlite3.Connection) -> int:
    (row,) = reader.execute("SELECT value FROM counter WHERE name = 'folded_through'").fetchone()
    return int(row)


def _folded(
    reader: sqlite3.Connection, since: int, until: int, device: str | None, limit: int
) -> dict[tuple[int, str], list[int]]:
    rows = reader.execute(
        "SELECT hour, name, kept, refused, repeated, missing FROM ledger JOIN sender ON sender.id = ledger.sender"
        " WHERE hour >= ? AND hour * 3600000000000 < ? AND (? IS NULL OR name = ?)"
        " ORDER BY hour DESC, name LIMIT ?",
        (since // HOUR, until, device, device, limit),
    )
    return {(_int(hour), str(name)): [_int(count) for count in counts] for hour, name, *counts in rows}


def _unfolded_on_disk(reader: sqlite3.Connection) -> list[Unfolded]:
    """What the rows beyond the last fold hold."""
    (senders,) = reader.execute("SELECT coalesce(max(id), 0) FROM sender").fetchone()
    ledger = Ledger(senders + 1)
    for (heard,) in reader.execute("SELECT heard FROM batch WHERE id > ?", (_fold_of(reader),)):
        ledger.add(unpack_heard(heard))
    return ledger.unfolded()


def _sender_names(reader: sqlite3.Connection, device: str | None) -> dict[int, str]:
    return dict(reader.execute("SELECT id, name FROM sender WHERE ? IS NULL OR name = ?", (device, device)))


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _refused(row: tuple[object, ...]) -> RefusedRow:
    number, at, topic, device, reason, detail, size, retained = row
    return RefusedRow(
        _int(number), _int(at), str(topic), str(device), str(reason), str(detail), _int(size), bool(retained)
    )
