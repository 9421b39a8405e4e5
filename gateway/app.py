"""The one place where the parts are made, joined, started and stopped."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from urllib.parse import urlsplit

import structlog

from devices.fleet_store import open_fleet
from devices.profile import shipped_profiles
from devices.registry import Registry
from devices.standards import load, shipped
from devices.topics import COMMAND_ACK, ROOT, STATUS, UP
from gateway.analytics.laboratory import FILE as LABORATORY
from gateway.analytics.laboratory import Laboratory
from gateway.analytics.worker import AnalyticsWorker
from gateway.api.fleet_office import FleetOffice
from gateway.api.parts import ApiParts, RequestError
from gateway.api.server import ApiServer
from gateway.certificate_watch import CertificateWatch
from gateway.clock import OwnClock
from gateway.health import Health
from gateway.line.backfill import Intake, OutOfStepError
from gateway.line.journal import Journal
from gateway.line.loop import Edge, Line, NoEdge
from gateway.line.pending import pending
from gateway.line.pipeline import Limits, Pipeline
from gateway.line.pruning import Bounds
from gateway.line.records import Records
from gateway.line.recovery import recover
from gateway.line.redecode import Redecoder
from gateway.line.replay import Replayer
from gateway.line.snapshot import Saver
from gateway.line.state import State
from gateway.model import Batch, Store
from gateway.northbound.delivery import Delivery
from gateway.northbound.embedded import Embedded
from gateway.northbound.influxdb1 import InfluxDB1
from gateway.northbound.retention import Pruner, Retention
from gateway.notify import Notifier, Telling
from gateway.self_report import SelfReport
from gateway.settings import Settings, is_loopback
from gateway.settings_neighbours import StorePlace
from gateway.southbound.mqtt import MqttEdge

log = structlog.get_logger(__name__)

DISTRIBUTION = "smart-village-gateway"
FINISH_SECONDS = 2.0
"""Longest wait for the last look at what readings mean when the gateway stops; a full disk may hold it up."""


class App:
    """Everything that runs, wired top to bottom; ``start`` and ``stop`` once each."""

    def __init__(
        self,
        settings: Settings,
        *,
        with_broker: bool = True,
        with_api: bool = True,
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        """Read the fleet, open the journal, mend the state. No connection is opened.

        Args:
            settings: everything that is set.
            with_broker: listen to devices; without it, only to files.
            with_api: answer on the network.
            now: nanoseconds UTC.

        Raises:
            FleetError, ProfileError, StandardsError, JournalError: wrong settings; one readable line.
        """
        self.settings, self._now = settings, now
        self.standards = load(settings.gateway.standards) if settings.gateway.standards else shipped()
        self.registry = self._read_fleet()
        data = settings.gateway.data_dir
        self.stores: dict[str, Store] = {place.name: make_store(settings, place) for place in settings.store}
        self.journal = Journal(data / "journal.db", list(self.stores), _bounds(settings), now)
        limits = Limits(settings.gateway.max_payload_bytes, settings.gateway.accept_simulated)
        self.pipeline = Pipeline(self.registry, State(self.registry), self.journal.senders, limits)
        self.saver = Saver(data / "state.bin")
        recover(self.pipeline, self.journal, self.saver.path)
        self.edge: Edge = self._make_edge() if with_broker else NoEdge()
        self.line = Line(
            self.edge,
            self.pipeline,
            self.journal,
            self.saver,
            commit_wait_seconds=settings.gateway.commit_wait_ms / 1000,
            error_replies=settings.gateway.error_replies,
            clock=OwnClock(trusted=settings.gateway.clock == "trust"),
        )
        self.notifier = Notifier(settings.notify, data / "notify.db", self._commune_names())
        self.laboratory = Laboratory(data / LABORATORY, lambda: self.pipeline.registry, now)
        self.analytics = AnalyticsWorker(
            self.registry,
            next(iter(self.stores.values())),
            self._write_lines,
            self._oldest_waiting,
            self._heard_since,
            lambda: self.pipeline.state,
            data / "analytics.bin",
            now,
            hears=self._hears,
            failing=self._failing,
            standards=self.standards,
            tell=lambda changes, now: self.notifier.take(Telling(changes, now.registry, now.sensor)),
            laboratory=self.laboratory.results,
        )
        self.line.on_judged, self.line.on_again = self.analytics.take, self.analytics.judged_again
        self.intake = Intake(self.line)
        self.replayer = Replayer(self.line, self.journal.path)
        self.redecoder = Redecoder(self.line, self.journal.path, self.analytics.mark)
        self.deliveries = [
            Delivery(
                self.stores[place.name],
                self.journal.rows,
                backlog_lines_per_second=place.backlog_lines_per_second,
            )
            for place in settings.store
        ]
        self.pruner = Pruner(self._pruned())
        self.records = Records(self.journal.path, self.journal.totals, self.journal.ledger.unfolded)
        self.records.on_damage = self.journal.rows.met_damage
        self.health = Health(
            settings,
            self.line,
            self.journal,
            self.records,
            self.deliveries,
            lambda: len(self.registry),
            lambda: self.analytics.failed,
            lambda: self.certificates,
            self.notifier.errors,
        )
        parts = self._api_parts()
        self.analytics.on_turn = SelfReport(parts, self.records, self.line, self._write_lines).turn
        self.api = ApiServer(parts) if with_api else None
        self.certificates = CertificateWatch(settings, self.api.renew if self.api else lambda: None)

    def _read_fleet(self) -> Registry:
        settings = self.settings
        return open_fleet(settings.gateway.fleet, shipped_profiles().values(), settings.sources())

    def _make_edge(self) -> MqttEdge:
        own = [f"{ROOT}/+/+/{event}" for event in (UP, STATUS, COMMAND_ACK)]
        filters = [*own, *(source.filter for source in self.settings.sources())]
        return MqttEdge(self.settings.broker, filters, self.journal, self._lost_at_broker)

    def _lost_at_broker(self, messages: int) -> None:
        self.health.lost_at_broker(messages)

    def _write_lines(self, lines: Sequence[str], notes: Mapping[str, str] | None = None) -> None:
        body = "".join(f"{line}\n" for line in lines).encode()
        self.line.submit(lambda: self.line.commit(Batch(0, body, len(lines), (), (), ()), notes)).result()

    def _oldest_waiting(self) -> int:
        return next((store.oldest_waiting_at for store in self.records.lines().stores), 0)

    def _heard_since(self, at: int) -> Sequence[int]:
        return [device for device, seen in enumerate(self.pipeline.state.seen) if seen >= at]

    def _hears(self) -> bool:
        """Whether what devices say arrives: with a broker that is away, or no room on the disk, none can be heard."""
        up = isinstance(self.edge, MqttEdge) and self.edge.status.connected and self.edge.status.detail == "connected"
        return up and not self.line.full

    def _failing(self) -> list[str]:
        """Parts of the gateway that staff have to be told of: also neighbours that it only waits for."""
        return [
            health.part
            for health in self.health()
            if health.state == "failing" or (health.state == "waiting" and health.part != "clock")
        ]

    def _pruned(self) -> list[tuple[Embedded, Retention]]:
        named = ((self.stores[place.name], _retention(place)) for place in self.settings.store)
        return [(store, retention) for store, retention in named if isinstance(store, Embedded)]

    def _commune_names(self) -> dict[str, str]:
        return {place.code: place.name for place in self.standards.communes.communes}

    def _api_parts(self) -> ApiParts:
        names = self._commune_names()
        return ApiParts(
            settings=self.settings.api,
            version=version(DISTRIBUTION),
            state=lambda: self.pipeline.state,
            records=self.records,
            stores=self.stores,
            health=self.health,
            tally=lambda: self.pipeline.tally,
            commune_name=lambda key: names.get(key, key),
            backfill=self.take_chunk,
            reload=self.reload,
            fleet=FleetOffice(
                self.settings.gateway.fleet,
                self.journal.path,
                lambda: self.pipeline.registry,
                self.reload,
                self.replayer,
            ),
            replayer=self.replayer,
            redecoder=self.redecoder,
            alerts=lambda: self.analytics.standing,
            ask_alerts=self.analytics.ask,
            laboratory=self.laboratory,
            now=self._now,
            pending=lambda since, limit: pending(self.journal.path, self.pipeline.registry, since, limit),
        )

    # running -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start every part; broker and stores that are absent are waited for."""
        for delivery in self.deliveries:
            delivery.start()
        self.line.start()
        self.notifier.start()
        self.analytics.start()
        self.pruner.start()
        self.certificates.start()
        if self.api is not None:
            self.api.start()

    def stop(self) -> None:
        """Stop taking in first, then what depends on it."""
        if self.api is not None:
            self.api.stop()
        # Analytics writes its last lines through the line.
        self.analytics.finish(FINISH_SECONDS)
        self.line.stop()
        self.pruner.stop()
        self.certificates.stop()
        for delivery in self.deliveries:
            delivery.stop()
        self.analytics.join(FINISH_SECONDS + self.settings.store[0].timeout_seconds)
        self.laboratory.close()
        self.notifier.stop()
        self.records.close()
        # What delivery reported last reaches the disk here; closed last, the log goes into the journal's main file.
        self.journal.close(self.line.failed)
        for store in self.stores.values():
            store.close()

    def reload(self) -> Mapping[str, object]:
        """Read fleet and profiles anew and go on with them between two batches; no uplink is lost.

        Raises:
            FleetError, ProfileError: a file is bad; the old fleet stays in use.
        """
        shipped_profiles.cache_clear()
        fresh = self._read_fleet()

        def use() -> None:
            before = len(self.pipeline.registry)
            self.pipeline.use(fresh, self.pipeline.state.carried_to(fresh))
            self.registry = fresh
            self.analytics.use(fresh)
            log.info("fleet read anew", devices=len(fresh), before=before)

        self.line.submit(use).result(60)
        return {"devices": len(fresh)}

    def take_chunk(self, chunk: bytes) -> Mapping[str, object]:
        """A chunk of old readings: the first line says file and start, then one record a line."""
        head, *records = chunk.split(b"\n")
        try:
            header = json.loads(head)
            file, start = str(header["file"])[:64], int(header["start"])
        except (ValueError, KeyError, TypeError) as error:
            raise RequestError('the first line must be {"file": "...", "start": n}') from error
        kept = [record for record in records if record.strip()]
        try:
            if not kept:
                return {"done": self.intake.done(file)}
            return self.intake.take(file, start, kept)._asdict()
        except OutOfStepError as error:
            return {"done": error.done}
        except TimeoutError as error:
            raise RequestError(f"not taken in: {error or 'no room for a minute'}; send the chunk again") from error


def make_store(settings: Settings, place: StorePlace) -> Store:
    """The store a section of the settings describes; nothing is opened."""
    if place.kind == "embedded":
        return Embedded(name=place.name, path=settings.store_path(place))
    network = {
        "name": place.name,
        "url": place.url or "",
        "database": place.database,
        "rollup_database": place.rollup_database,
        "username": place.username or "",
        "password": place.password.get_secret_value() if place.password else "",
    }
    # On one machine nothing is gained by it, and both ends pay.
    gzip = place.gzip and not is_loopback(urlsplit(place.url or "").hostname or "")
    how = {"gzip": gzip, "timeout_seconds": float(place.timeout_seconds), "ca_file": place.ca_file}
    if place.kind == "influxdb1":
        return InfluxDB1(**network, **how)  # type: ignore[arg-type]
    # Its library is several hundred modules, for nothing where another store is used.
    from gateway.northbound.influxdb import InfluxDB  # noqa: PLC0415

    token = place.token.get_secret_value() if place.token else ""
    return InfluxDB(**network, org=place.org, token=token, **how)  # type: ignore[arg-type]


def _retention(place: StorePlace) -> Retention:
    return Retention(reading_days=place.reading_days, hour_days=place.hour_days, max_bytes=place.max_mb << 20)


def _bounds(settings: Settings) -> Bounds:
    journal = settings.journal
    return Bounds(
        max_bytes=journal.max_mb << 20,
        raw_days=journal.raw_days,
        raw_max_bytes=journal.raw_max_mb << 20,
        refused_max_bytes=journal.refused_max_mb << 20,
        ledger_days=journal.ledger_days,
    )
