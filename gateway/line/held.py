"""Uplinks that come while the gateway's own clock is wrong: on disk and acknowledged, and read when it is right."""

import sqlite3
import zlib
from collections.abc import Sequence

import structlog

from gateway.clock import OwnClock, boot_id
from gateway.line.journal import Journal
from gateway.model import Batch, Uplink

log = structlog.get_logger(__name__)

RELEASED_AT_ONCE = 1000
"""Uplinks of one commit, so that fresh ones need not wait long for theirs. Chosen."""
NOTHING = Batch(0, b"", 0, (), (), ())


class HeldUplinks:
    """They keep their order: while any wait, whatever comes waits behind them. The line's thread."""

    def __init__(self, journal: Journal, clock: OwnClock) -> None:
        self._journal, self.clock = journal, clock
        self._boot = boot_id()
        self.count = journal.held_count()
        self._following = journal.newest_at

    def must_wait(self) -> bool:
        """Whether uplinks that come now have to be held."""
        if self.clock.look(self._journal.newest_at):
            return True
        # A clock that is right and was set back: what lies ahead of it says nothing against it later.
        self._journal.newest_at = min(self._journal.newest_at, self.clock.now())
        return self.count > 0

    def can_go(self) -> bool:
        """Whether some wait, and the clock is right."""
        return self.count > 0 and not self.clock.look(self._journal.newest_at)

    def write(self, database: sqlite3.Connection, uplinks: Sequence[Uplink]) -> None:
        """Hold these, inside a transaction."""
        ahead = self.clock.since_boot() - uplinks[-1].received_at
        rows = (
            (self._boot, ahead + one.received_at, one.received_at, one.topic, zlib.compress(one.payload, 1),
             one.qos, one.retained, one.duplicate, one.message_id)
            for one in uplinks
        )  # fmt: skip
        database.executemany(
            "INSERT INTO held (boot, monotonic, received_at, topic, payload, qos, retained, duplicate, message_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )

    def held(self, uplinks: Sequence[Uplink]) -> None:
        """They are on disk."""
        if not self.count:
            log.warning("uplinks are held until the clock is right", why=self.clock.doubt)
        self.count += len(uplinks)

    def next(self) -> tuple[list[Uplink], int]:
        """The next ones with the times at which they came, as far as that is known; and the last one's number.

        What came in an earlier run of the machine gets the time at which it is read: how long that run was off, nobody
        knows. Readings that carry their own time are not touched by this.
        """
        now, since_boot = self.clock.now(), self.clock.since_boot()
        uplinks, last = [], 0
        for number, boot, monotonic, *rest in self._journal.held(RELEASED_AT_ONCE):
            topic, packed, qos, retained, duplicate, message_id = rest
            ago = since_boot - monotonic if boot == self._boot else 0
            # Strictly rising, so that two uplinks without a time never share one.
            at = self._following = max(now - ago, self._following + 1)
            payload = zlib.decompress(packed)
            uplinks.append(Uplink(topic, payload, at, qos, bool(retained), bool(duplicate), message_id))
            last = number
        return uplinks, last

    def released(self, uplinks: Sequence[Uplink]) -> None:
        """They are readings, or refused, on disk."""
        self.count -= len(uplinks)
        if not self.count:
            log.info("every uplink that was held is read")
