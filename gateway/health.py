"""How every part of the gateway is, in one line each: what `/health`, the board and `systemctl status` show."""

import time
from collections.abc import Callable, Mapping, Sequence

from gateway.api.parts import PartHealth
from gateway.certificate_watch import CertificateWatch
from gateway.line.journal import Journal
from gateway.line.journal_file import set_aside_files
from gateway.line.loop import Line
from gateway.line.records import LineTotals, Records
from gateway.northbound.delivery import Delivery
from gateway.settings import Settings
from gateway.southbound.mqtt import MqttEdge

ALARM_SECONDS = 86400
"""A loss at the broker, or of the journal's end, is shown for a day, so that somebody sees it."""
NEARLY_FULL = 0.8
"""Share of the journal's room from which on it is said. Chosen."""
_LOST_AT = "lost_at_broker_at"


class Health:
    """Looks at the parts when it is asked; from any thread."""

    def __init__(
        self,
        settings: Settings,
        line: Line,
        journal: Journal,
        records: Records,
        deliveries: Sequence[Delivery],
        devices: Callable[[], int],
        analytics_failed: Callable[[], object],
        certificates: Callable[[], CertificateWatch],
        untold: Mapping[str, str],
    ) -> None:
        self._settings, self._line, self._journal, self._records = settings, line, journal, records
        self._deliveries, self._devices, self._analytics_failed = deliveries, devices, analytics_failed
        self._certificates, self._untold = certificates, untold
        self._lost_at = float(journal.note(_LOST_AT) or 0)
        self._stores = {place.name for place in settings.store}

    def lost_at_broker(self, messages: int) -> None:
        """The broker says that it has dropped so many. From the line's thread."""
        self._lost_at = time.time()
        self._journal.count("lost_at_broker", messages)
        self._journal.remember(_LOST_AT, str(self._lost_at))

    def __call__(self) -> Sequence[PartHealth]:
        """Every part."""
        parts = [self._broker(), self._journal_part(), PartHealth("fleet", "ok", f"{self._devices()} devices")]
        parts.append(self._clock())
        failed = self._analytics_failed()
        if failed is not None:
            text = f"no alerts, indices and roll-ups: {failed}; restart the gateway"
            parts.append(PartHealth("analytics", "failing", text))
        if self._certificates().has_any:
            parts.append(of_certificates(self._certificates()))
        parts += [PartHealth(f"notify:{name}", "waiting", error) for name, error in dict(self._untold).items()]
        for delivery in self._deliveries:
            status = delivery.state
            parts.append(PartHealth(f"store:{status.store}", status.state.value, status.error or "stores what comes"))
        return parts

    def in_a_line(self) -> str:
        """The worst of it, for `systemctl status`."""
        parts = self()
        bad = [part for word in ("failing", "waiting") for part in parts if part.state == word]
        received = self._records.totals().received
        return f"{bad[0].part} {bad[0].state}: {bad[0].detail}" if bad else f"all is well; {received} uplinks taken in"

    def _broker(self) -> PartHealth:
        edge = self._line.edge
        if not isinstance(edge, MqttEdge):
            return PartHealth("broker", "ok", "not used")
        status = edge.status
        if not status.connected:
            return PartHealth("broker", "waiting", f"{status.detail}; trying again")
        if 0 <= time.time() - self._lost_at < ALARM_SECONDS:
            lost = self._records.broker_lost()
            text = f"the broker dropped {lost} messages it had accepted; run it with deploy/mosquitto.conf"
            return PartHealth("broker", "failing", text)
        if status.detail != "connected":
            return PartHealth("broker", "failing", status.detail)
        if not edge.is_listening:
            return PartHealth("broker", "waiting", "connected; the broker has not granted the subscription yet")
        return PartHealth("broker", "ok", status.detail)

    def _journal_part(self) -> PartHealth:
        if self._line.failed is not None:
            return PartHealth("journal", "failing", f"the line has stopped: {self._line.failed}; restart the gateway")
        if self._line.full:
            return PartHealth("journal", "failing", f"{self._line.full}; nothing is acknowledged until there is room")
        return self._damage() or self._leftovers() or self._room()

    def _damage(self) -> PartHealth | None:
        """Damaged journals stay an alarm until somebody has looked at them and moved the files away."""
        asides = set_aside_files(self._journal.path)
        done = {report.file: report for report in self._records.salvaged()} if asides else {}
        ends = [end for end in self._records.lost_ends() if 0 <= time.time() - end.at / 1e9 < ALARM_SECONDS]
        gone = f"; {ends[-1].in_words}" if ends else ""
        for file in reversed(asides):
            report = done.get(file.name)
            if report is None:
                text = f"a damaged journal was set aside as {file.name}; stop the gateway, `village journal salvage` it"
                return PartHealth("journal", "failing", text)
            text = (
                f"a damaged journal was set aside as {file.name}: {report.in_words}{gone}; check the disk, move it away"
            )
            return PartHealth("journal", "failing" if report.has_losses or ends else "waiting", text)
        if ends:
            return PartHealth("journal", "failing", f"{gone[2:]}; check the disk, `village journal status`")
        if self._journal.rows.lost:
            lost = self._journal.rows.lost
            text = f"{lost} lines could not be read back from the disk for a store; see `village journal status`"
            return PartHealth("journal", "failing", f"{text}, and check the disk")
        return None

    def _leftovers(self) -> PartHealth | None:
        if self._journal.has_other_stores:
            for store in self._records.lines().stores:
                if store.waiting and store.store not in self._stores:
                    text = f"{store.waiting} lines wait for {store.store!r}, which is no longer in the settings; "
                    return PartHealth("journal", "waiting", f"{text}`village journal forget {store.store}`")
        return None

    def _room(self) -> PartHealth:
        used, most = self._records.used_bytes() >> 20, self._settings.journal.max_mb
        text = f"{used} MB of {most} MB in use"
        if used < NEARLY_FULL * most:
            return PartHealth("journal", "ok", text)
        return PartHealth("journal", "waiting", f"{text}, {_waiting(self._records.lines())}; at the limit it stops")

    def _clock(self) -> PartHealth:
        clock, held = self._line.held.clock, self._line.held.count
        if clock.trusted:
            return PartHealth("clock", "ok", 'taken as it is (gateway.clock is "trust")')
        if clock.doubt:
            text = f"{clock.doubt}; {held} uplinks wait for the right time. Start a time service; or set the clock, and"
            return PartHealth("clock", "failing", f'{text} gateway.clock = "trust"')
        if clock.state.synchronised is False:
            return PartHealth("clock", "waiting", clock.state.detail)
        return PartHealth("clock", "ok", clock.state.detail)


def of_certificates(watch: CertificateWatch) -> PartHealth:
    """Whether one ends soon, or others may read a key."""
    found = sorted(watch.found, key=lambda problem: not problem.is_urgent)
    if not found:
        return PartHealth("certificates", "ok", "none ends soon, and nobody else may read a key")
    more = f" (and {len(found) - 1} more: `village doctor`)" if len(found) > 1 else ""
    return PartHealth("certificates", "failing" if found[0].is_urgent else "waiting", f"{found[0].text}{more}")


def _waiting(lines: LineTotals) -> str:
    return ", ".join(f"{store.waiting} lines wait for {store.store!r}" for store in lines.stores if store.waiting)
