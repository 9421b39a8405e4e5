"""What the gateway writes of itself: ledger and parts every minute, each sender's ledger when an hour is over."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from devices.alert_names import GATEWAY, NOBODY
from devices.observation import Reason
from devices.registry import Registry
from devices.storage import (
    GATEWAY_SECONDS,
    GatewayState,
    LedgerHour,
    PartState,
    StoreState,
    Table,
    fields,
    refused_count,
)
from gateway.analytics.rollup_lines import tag
from gateway.api.parts import ApiParts
from gateway.line.glance import DeviceState
from gateway.line.ledger import HOUR, Totals
from gateway.line.loop import Line
from gateway.line.records import LineTotals, Records, SenderHour

MINUTE = GATEWAY_SECONDS * 1_000_000_000
ROWS_AT_ONCE = 5_000
"""Senders of an hour that one turn writes, so that 200,000 of them hold nothing up. Chosen."""
FOLDED_AFTER = 3 * MINUTE
"""[ns] Counts are folded into the ledger table once a minute: so long after its end an hour is whole."""
HOURS_BACK = 48
"""Hours that are written when the gateway comes back, at most. Chosen: more would hold up what is new."""
WRITTEN = "ledger_hour_written"
"""The journal's note of the newest hour that was written whole, in hours since 1970."""
PART_STATES = {"ok": PartState.OK, "waiting": PartState.WAITING, "failing": PartState.FAILING}


class WriteLines(Protocol):
    """Commit finished lines, and notes with them, in the line's thread; returns when they are on disk."""

    def __call__(self, lines: Sequence[str], notes: Mapping[str, str] | None = None) -> None:
        """From any other thread."""
        ...


class _Sums(NamedTuple):
    """What only the line's thread may be asked, so that the sums are of one moment."""

    totals: Totals
    changed_hours: set[int]


class SelfReport:
    """Writes what is due, a bounded amount a turn. One thread, which is not the line's."""

    def __init__(self, parts: ApiParts, records: Records, line: Line, write: WriteLines) -> None:
        """Nothing is read yet.

        Args:
            parts: of the gateway, as its API is given them.
            records: of the journal.
            line: runs while ``turn`` is called.
            write: how lines get into the journal.
        """
        self._parts, self._records, self._line, self._write = parts, records, line, write
        self._minute = -1
        self._hours: set[int] = set()
        """Whose rows are not in the store as they are in the ledger."""
        self._page = (-1, 0)
        """Hour that is being written, and its last sender's number so far; -1: none."""
        self._written = -1
        """Newest hour that was written whole."""

    def turn(self, now: int) -> None:
        """Write what is due.

        Args:
            now: [ns UTC]

        Raises:
            TimeoutError: the line has ended.
        """
        # Also when the clock was set back: the same minute again has the same time stamp.
        if now // MINUTE != self._minute:
            if self._minute < 0:
                self._begin(now // HOUR)
            self._minute = now // MINUTE
            sums = self._line.submit(self._sums).result()
            self._hours |= sums.changed_hours
            self._write(self._minute_lines(sums.totals, now))
        self._write_hours(now)

    def _begin(self, hour: int) -> None:
        """Hours that were over while the gateway was away, or were not written whole."""
        noted = self._line.submit(lambda: self._line.journal.note(WRITTEN)).result()
        # A journal of the future (a clock that was wrong) must not keep hours from being written.
        self._written = min(int(noted), hour - 1) if noted else hour - 2
        self._hours.update(range(max(self._written + 1, hour - HOURS_BACK), hour + 1))

    def _sums(self) -> _Sums:
        return _Sums(self._line.journal.totals(), self._line.journal.take_changed_hours())

    # every minute --------------------------------------------------------------------------------------------

    def _minute_lines(self, totals: Totals, now: int) -> list[str]:
        lines, at = self._records.lines(), now // MINUTE * MINUTE
        health = {part.part: PART_STATES[part.state] for part in self._parts.health()}
        state = self._gateway(totals, lines, health)
        refused = self._records.refused_for()
        reasons = {refused_count(reason): float(refused.get(reason, 0)) for reason in Reason}
        tags = f"commune={GATEWAY},device={NOBODY}"
        found = [f"{Table.GATEWAY},{tags} {fields(state, reasons)} {at}"]
        for store in lines.stores:
            age = (now - store.oldest_waiting_at) / 1e9 if store.oldest_waiting_at else 0.0
            part = health.get(f"store:{store.store}")
            # A store that is no longer in the settings keeps its sums and has no part.
            if part is None:
                continue
            entry = StoreState(store.waiting, max(age, 0.0), store.stored, store.rejected, part)
            found.append(f"{Table.GATEWAY_STORE},commune={GATEWAY},device={tag(store.store)} {fields(entry)} {at}")
        return found

    def _gateway(self, totals: Totals, lines: LineTotals, health: Mapping[str, PartState]) -> GatewayState:
        state = self._parts.state()
        counts = self._parts.look(state).counts()
        return GatewayState(
            received=totals.received,
            kept=totals.kept,
            refused=totals.refused,
            repeated=totals.repeated,
            lines_kept=lines.kept,
            holds=totals.holds and lines.holds,
            lost_at_broker=self._records.broker_lost(),
            late=self._parts.tally().late,
            broker=health["broker"],
            journal=health["journal"],
            clock=health["clock"],
            journal_used_bytes=self._records.used_bytes(),
            journal_max_bytes=self._line.journal.bounds.max_bytes,
            devices=len(state.registry),
            devices_heard=counts[DeviceState.OK] + counts[DeviceState.SUSPECT],
        )

    # every hour ----------------------------------------------------------------------------------------------

    def _write_hours(self, now: int) -> None:
        """The next page of the oldest hour that is over."""
        hour, after = self._page
        if hour < 0:
            over = [hour for hour in self._hours if (hour + 1) * HOUR + FOLDED_AFTER <= now]
            if not over:
                return
            hour, after = min(over), 0
            self._hours.remove(hour)
        rows = self._records.folded_hour(hour, after, ROWS_AT_ONCE)
        registry = self._parts.state().registry
        lines = [_line(row, hour, registry) for row in rows]
        if len(rows) == ROWS_AT_ONCE:
            self._page = (hour, rows[-1].sender)
            self._write(lines)
            return
        self._page = (-1, 0)
        self._written = max(self._written, hour)
        self._write(lines, {WRITTEN: str(self._written)})


def _line(row: SenderHour, hour: int, registry: Registry) -> str:
    device = registry.index.get(row.device)
    commune = GATEWAY if device is None else registry.commune(device)
    received = row.kept + row.refused + row.repeated
    entry = LedgerHour(received, row.kept, row.refused, row.repeated, row.missing)
    return f"{Table.LEDGER_HOUR},commune={tag(commune)},device={tag(row.device)} {fields(entry)} {hour * HOUR}"
