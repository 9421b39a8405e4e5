"""Refused uplinks that were tried again: what moves from refused to kept is marked and counted in one transaction."""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from devices.observation import Reason
from gateway.line.unwritten import add_to
from gateway.model import Outcome


class Replayed(NamedTuple):
    """One refused uplink after another try. It was received once: only its outcome changes, in the hour of receipt."""

    id: int
    """Of its row in ``refused``."""
    hour: int
    """Of its first receipt, in hours since 1970 UTC."""
    counted_for: int
    """Sender that it was counted refused for."""
    sender: int
    """Sender that it belongs to now."""
    outcome: Outcome
    device: str = ""
    """Of an uplink that was refused again: what is known of it now."""
    reason: Reason = Reason.UNKNOWN_DEVICE
    detail: str = ""


_MOVE = (
    "INSERT INTO ledger (hour, sender, kept, refused, repeated) VALUES (?, ?, ?, ?, ?) ON CONFLICT (hour, sender)"
    " DO UPDATE SET kept = kept + excluded.kept, refused = refused + excluded.refused,"
    " repeated = repeated + excluded.repeated"
)


def write_replayed(database: sqlite3.Connection, replayed: Sequence[Replayed], now: int) -> None:
    """Mark what was taken, renew what was refused again, and move both in the ledger. Inside a transaction.

    An hour's count may be below zero in the table until the counts that still are in memory are folded into it: readers
    add the two.

    Args:
        database: the journal.
        replayed: each once.
        now: nanoseconds UTC.
    """
    taken = [(now, entry.id) for entry in replayed if entry.outcome is not Outcome.REFUSED]
    database.executemany("UPDATE refused SET replayed_at = ? WHERE id = ?", taken)
    again = [
        (entry.device, entry.reason, entry.detail, entry.id) for entry in replayed if entry.outcome is Outcome.REFUSED
    ]
    database.executemany("UPDATE refused SET device = ?, reason = ?, detail = ? WHERE id = ?", again)
    database.executemany(_MOVE, [(entry.hour, entry.counted_for, 0, -1, 0) for entry in replayed])
    added = [(entry.hour, entry.sender, *(entry.outcome is outcome for outcome in Outcome)) for entry in replayed]
    database.executemany(_MOVE, added)
    moves = {outcome: sum(entry.outcome is outcome for entry in replayed) for outcome in Outcome}
    moves[Outcome.REFUSED] -= len(replayed)
    for outcome, delta in moves.items():
        add_to(database, outcome.value, delta)
    for outcome in (Outcome.KEPT, Outcome.REPEATED):
        add_to(database, f"replayed_{outcome.value}", moves[outcome])
