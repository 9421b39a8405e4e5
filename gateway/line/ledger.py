"""The ledger: received = kept + refused + repeated, by device and hour of receipt; deltas live in journal rows."""

import struct
import threading
import zlib
from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gateway.model import Heard, Outcome

HOUR = 3_600_000_000_000
REFUSED_FOR = "refused:"
"""Before a reason, the name of the counter of uplinks that were refused for it at first."""
HEARD = struct.Struct("<IBQQHIh")
"""One entry of a batch: sender, flags, received_at, identity, MQTT packet id, sequence, missing. 29 bytes.

Flags: bits 0-1 outcome, bits 2-3 status (0 none, 1 offline, 2 online), bit 6 live, bit 7 numbered.
"""
ADD_TO_LEDGER = (
    "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (hour, sender) DO UPDATE SET"
    " kept = kept + excluded.kept, refused = refused + excluded.refused,"
    " repeated = repeated + excluded.repeated, missing = missing + excluded.missing"
)
"""The ledger's table, by ``Unfolded``."""
_CODE = {Outcome.KEPT: 0, Outcome.REFUSED: 1, Outcome.REPEATED: 2}
_OUTCOME = tuple(_CODE)
_STATUS = {None: 0, False: 4, True: 8}
_ONLINE = (None, False, True)


def pack_heard(heard: Sequence[Heard]) -> bytes:
    """Entries of one batch as the journal keeps them."""
    pack, code, status = HEARD.pack, _CODE, _STATUS
    return zlib.compress(
        b"".join(
            [pack(sender, code[outcome] | status[online] | live << 6 | numbered << 7, at, identity, packet, count, lost)
             for sender, outcome, at, identity, packet, numbered, live, online, count, lost in heard]
        ), 1,
    )  # fmt: skip


def unpack_heard(data: bytes) -> list[Heard]:
    """The reverse of ``pack_heard``.

    Raises:
        zlib.error: damaged on the disk.
    """
    return [
        Heard(sender, _OUTCOME[code & 3], at, identity, message, bool(code & 128), bool(code & 64),
              _ONLINE[code >> 2 & 3], count, lost)
        for sender, code, at, identity, message, count, lost in HEARD.iter_unpack(zlib.decompress(data))
    ]  # fmt: skip


class Totals(NamedTuple):
    """Uplinks since the journal began. ``received`` is counted on its own, so that the sum can be checked."""

    received: int
    kept: int
    refused: int
    repeated: int

    @property
    def holds(self) -> bool:
        """Whether the sum holds."""
        return self.received == self.kept + self.refused + self.repeated


class Unfolded(NamedTuple):
    """Counts of one sender and hour that are in the journal's rows but not in the ledger table yet."""

    hour: int
    sender: int
    kept: int
    refused: int
    repeated: int
    missing: int = 0
    """Sent and never arrived, by the device's own numbers."""


class Ledger:
    """Counts what the journal's rows hold until they are folded into the table. Written by the line's thread."""

    def __init__(self, senders: int) -> None:
        # The outcomes, then what is missing, which late arrivals can bring below zero for an hour.
        self._counts = [array("i", bytes(4 * senders)) for _ in (*_OUTCOME, "missing")]
        self._hour = 0
        self._closed: list[Unfolded] = []
        self.lock = threading.RLock()
        """Held while a fold is committed and cleared, so that a reader finds every count in exactly one place."""

    def grow(self, senders: int) -> None:
        """Make room for sender numbers below ``senders``."""
        with self.lock:
            for number, column in enumerate(self._counts):
                if len(column) < senders:
                    # A new array: readers may hold a view of the old one.
                    self._counts[number] = column + array("i", bytes(4 * (senders - len(column))))

    def add(self, heard: Sequence[Heard]) -> None:
        """Count a committed batch."""
        kept, refused, repeated, missing = self._counts
        columns = {Outcome.KEPT: kept, Outcome.REFUSED: refused, Outcome.REPEATED: repeated}
        limit = (self._hour + 1) * HOUR
        for entry in heard:
            if entry.received_at >= limit or entry.received_at < limit - HOUR:
                self._close_hour(entry.received_at // HOUR)
                limit = (self._hour + 1) * HOUR
            columns[entry.outcome][entry.sender] += 1
            if entry.missing:
                missing[entry.sender] += entry.missing

    def _close_hour(self, hour: int) -> None:
        with self.lock:
            self._closed.extend(self._open())
            self._zero()
            self._hour = hour

    def _zero(self) -> None:
        for column in self._counts:
            np.frombuffer(column, dtype=np.int32)[:] = 0

    def _open(self) -> list[Unfolded]:
        views = [np.frombuffer(column, dtype=np.int32) for column in self._counts]
        busy = np.nonzero(views[0] | views[1] | views[2])[0]
        rows = zip(busy.tolist(), *(view[busy].tolist() for view in views), strict=True)
        return [Unfolded(self._hour, *counts) for counts in rows]

    def unfolded(self) -> list[Unfolded]:
        """What is not in the ledger table yet. Thread-safe."""
        with self.lock:
            return [*self._closed, *self._open()]

    def clear(self) -> None:
        """Everything counted so far is in the ledger table now."""
        with self.lock:
            self._closed.clear()
            self._zero()
