"""Which alerts fire, for the store: at each change and again once an hour, so that nobody has to look back for it."""

from collections import deque
from collections.abc import Iterable

from devices.alert_rules import AlertState
from devices.storage import STATE_SECONDS
from gateway.analytics.alert_book import AlertBook, AlertChange, Key
from gateway.analytics.alert_texts import standing_line

PERIOD = STATE_SECONDS * 1_000_000_000
MOST_AT_ONCE = 5_000
"""Alerts that one look tells again. Chosen, as for devices."""


class StandingAlerts:
    """What is to be told again."""

    def __init__(self, book: AlertBook) -> None:
        self._book = book
        self._began = 0
        self._left: deque[Key] = deque()

    def lines(self, changes: Iterable[AlertChange], now: int) -> list[str]:
        """Finished line protocol without newlines.

        Args:
            changes: since the last time; stamped with the clock, so that none is older than what was told before.
            now: [ns UTC]
        """
        found = [standing_line(change, now) for change in changes]
        if not 0 <= now - self._began < PERIOD:
            self._began, self._left = now, deque(self._book.alerts)
        keys = [self._left.popleft() for _ in range(min(MOST_AT_ONCE, len(self._left)))]
        told = (AlertState.FIRING, AlertState.ACKNOWLEDGED)
        found += [standing_line(one, now) for one in self._book.standing(keys) if one.state in told]
        return found
