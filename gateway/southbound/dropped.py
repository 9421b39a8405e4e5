"""The broker's own losses: what it says of messages that it had acknowledged and could not keep."""

from collections.abc import Callable

import structlog

from gateway.southbound.subscriptions import Notes

log = structlog.get_logger(__name__)

DROPPED = "$SYS/broker/publish/messages/dropped"
"""Where Mosquitto counts them since its start."""
_NOTE = "broker_dropped"


class Dropped:
    """Counts on from what the broker said last, also over restarts of either."""

    def __init__(self, notes: Notes, lost: Callable[[int], None]) -> None:
        """``lost`` is called with how many messages the broker says it has dropped since it was last asked."""
        self._notes, self._lost = notes, lost

    def take(self, payload: bytes | bytearray) -> None:
        """The broker's counter."""
        try:
            count = int(payload)
        except ValueError:
            return  # another broker's idea of $SYS
        known = self._notes.note(_NOTE)
        before = int(known or count)
        # The broker starts again from 0 when it restarts.
        delta = count - before if count >= before else count
        if delta:
            log.error("the broker dropped messages it had accepted; see deploy/mosquitto.conf", messages=delta)
            self._lost(delta)
        if count != before or not known:
            self._notes.remember(_NOTE, str(count))
