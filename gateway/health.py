"""How the parts of the gateway are, in one line each: what ``/health``, the board and ``village doctor`` say."""

import time

from gateway.api.parts import PartHealth
from gateway.certificate_watch import CertificateWatch
from gateway.clock import clock_state
from gateway.line.journal import Journal
from gateway.line.loop import Edge, Line
from gateway.southbound.mqtt import MqttEdge

ALARM_SECONDS = 86400
"""A loss at the broker is shown for a day, so that somebody sees it."""


class Losses:
    """Messages the broker has dropped, as far as an alarm is due."""

    def __init__(self) -> None:
        self._count, self._at = 0, 0.0

    def add(self, count: int) -> None:
        """So many more, now."""
        self._count, self._at = self.recent + count, time.monotonic()

    @property
    def recent(self) -> int:
        """How many; 0 if none was lost for a day."""
        return self._count if time.monotonic() - self._at < ALARM_SECONDS else 0


def of_broker(edge: Edge, lost: Losses) -> PartHealth:
    """The connection to the broker, and what that has lost."""
    if not isinstance(edge, MqttEdge):
        return PartHealth("broker", "ok", "not used")
    status = edge.status
    if not status.connected:
        return PartHealth("broker", "waiting", f"{status.detail}; trying again")
    if lost.recent:
        text = f"the broker dropped {lost.recent} messages it had accepted; run it with deploy/mosquitto.conf"
        return PartHealth("broker", "failing", text)
    return PartHealth("broker", "ok" if status.detail == "connected" else "failing", status.detail)


def of_journal(line: Line, journal: Journal, used_mb: int, max_mb: int) -> PartHealth:
    """Whether readings are kept."""
    if line.failed is not None:
        return PartHealth("journal", "failing", f"the line has stopped: {line.failed}; restart the gateway")
    if line.full:
        return PartHealth("journal", "failing", f"{line.full}; nothing is acknowledged until there is room")
    if journal.set_aside is not None:
        aside = journal.set_aside.name
        return PartHealth("journal", "failing", f"a damaged journal was set aside as {aside}; salvage it")
    return PartHealth("journal", "ok", f"{used_mb} MB of {max_mb} MB in use")


def of_certificates(watch: CertificateWatch) -> PartHealth:
    """Whether one ends soon, or others may read a key."""
    found = sorted(watch.found, key=lambda problem: not problem.is_urgent)
    if not found:
        return PartHealth("certificates", "ok", "none ends soon, and nobody else may read a key")
    more = f" (and {len(found) - 1} more: `village doctor`)" if len(found) > 1 else ""
    return PartHealth("certificates", "failing" if found[0].is_urgent else "waiting", f"{found[0].text}{more}")


def of_clock() -> PartHealth:
    """Whether this machine knows the time."""
    clock = clock_state()
    return PartHealth("clock", "waiting" if clock.synchronised is False else "ok", clock.detail)
