"""A simulated week on a real InfluxDB, as the gateway writes it, and the simulator's truth beside it."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from itertools import takewhile
from typing import NamedTuple

from devices import alert_names
from devices.fleet_row import FleetRow
from devices.observation import Reason
from devices.profile import shipped_profiles
from devices.quality import Clock, Quality
from devices.registry import Registry
from devices.storage import (
    Condition,
    DeviceState,
    GatewayState,
    LedgerHour,
    LightingDay,
    PartState,
    StoreState,
    Table,
    fields,
    refused_count,
)
from gateway.analytics.alert_book import AlertChange
from gateway.analytics.room import Analytics
from gateway.line.line_protocol import read_back
from gateway.line.pipeline import Limits, Pipeline
from gateway.line.state import State
from gateway.model import Outcome, Reading, Uplink
from gateway.northbound.influxdb1 import InfluxDB1
from simulators.faults import Fault
from simulators.fleet import Fleet, build
from simulators.link import Fate
from simulators.scenario import Intervals, load_scenario
from simulators.stream import Stream
from simulators.stream import Uplink as Sent
from tests.line_parts import Numbers
from tests.servers import Server

VIETNAM = timezone(timedelta(hours=7))
NOW = datetime(2026, 8, 8, 21, 0, tzinfo=VIETNAM)
"""A Saturday evening: the lamps burn."""
NS, DAY, HOUR = 1_000_000_000, 86_400.0, 3600.0
STEP = 1200.0
COMMUNE = "10642"
DATABASES = {"village": "grafana_village", "village-rollup": "grafana_village_rollup"}
"""By the data source's uid."""
BROKEN_LAMP = "lamp-010"
GATEWAY = alert_names.GATEWAY


class Told(NamedTuple):
    """One report as the simulator meant it."""

    at: int
    """[ns UTC]"""
    values: dict[str, float]


class Village:
    """A fleet, what it said, and what became of it."""

    def __init__(self, server: Server) -> None:
        self.now = NOW.timestamp()
        self.fleet = scenario_fleet(self.now)
        self.rows: list[FleetRow] = list(self.fleet.rows())
        self.registry = Registry.of(self.rows, shipped_profiles().values())
        self.truth: dict[str, list[Told]] = defaultdict(list)
        """By device, oldest first: only what a gateway must have."""
        self.outcomes: dict[tuple[str, int], Counter[Outcome]] = defaultdict(Counter)
        """By device and hour since 1970."""
        self.reasons: Counter[Reason] = Counter()
        """Of the last 24 hours."""
        self.firing: list[AlertChange] = []
        self.store = InfluxDB1(
            name="test", url=server.url, database=DATABASES["village"], rollup_database=DATABASES["village-rollup"]
        )
        self._pipeline = Pipeline(self.registry, State(self.registry), Numbers(), Limits(accept_simulated=True))
        self._totals: Counter[str] = Counter()

    # filling -------------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """Three stretches of time, the oldest first: hourly and daily roll-ups reach further back than readings."""
        for start, stop in ((-70 * DAY, -68.75 * DAY), (-20 * DAY, -18.75 * DAY), (-7 * DAY, 0.0)):
            self._stretch(self.now + start, self.now + stop)
        self._write(self._states())
        self._write(self._ledger())
        self._write(self._lighting())

    def _stretch(self, start: float, stop: float) -> None:
        """Everything between two moments; the gateway looks at the clock every twenty minutes."""
        stream, room = Stream(self.fleet, start), Analytics(self.registry, int(start) * NS)
        at, lines = start, list[str]()
        waiting: deque[Sent] = deque()
        while at < stop:
            at = min(at + STEP, stop)
            if stream.at < at:
                waiting.extend(stream.take(min(at + DAY / 4, stop)))
            came = [waiting.popleft() for _ in range(sum(1 for _ in takewhile(partial(_before, at), waiting)))]
            for batch, readings in self._take(came):
                lines.append(batch)
                room.observe(readings, int(at) * NS)
            room.tick(int(at) * NS)
            lines += self._written(room, int(at) * NS)
            lines += self._gateway(int(at) * NS)
            if len(lines) > 20_000:
                self._write(lines)
                lines = []
        self.firing = room.firing()
        room.tick(int(stop + HOUR) * NS)  # closes the last window; what it says of alerts an hour later is not written
        lines += [line for line in self._written(room, int(stop) * NS) if not line.startswith("alert,")]
        self._write(lines)

    @staticmethod
    def _written(room: Analytics, now: int) -> Iterator[str]:
        while True:
            written = room.written(now)
            if not written.raw and not written.rollup:
                return
            yield from (*written.raw, *written.rollup)

    def _take(self, sent: Sequence[Sent]) -> Iterator[tuple[str, list[Reading]]]:
        came = [one for one in sent if one.fate is not Fate.LOST]
        if not came:
            return
        uplinks = [Uplink(one.note.topic, one.note.payload, int(one.at * 1000) * 1_000_000) for one in came]
        batch, _ = self._pipeline.process(uplinks)
        for one, heard in zip(came, batch.heard, strict=True):
            hour = int(one.at // HOUR)
            self.outcomes[one.device, hour][heard.outcome] += 1
            self._totals[heard.outcome.value] += 1
            if heard.outcome is Outcome.KEPT and one.report.observed_at is not None:
                self.truth[one.device].append(Told(one.report.observed_at, dict(one.report.values)))
        for refused in batch.refused:
            self._totals[refused_count(refused.reason)] += 1
            if refused.uplink.received_at >= (self.now - DAY) * NS:
                self.reasons[refused.reason] += 1
        yield batch.lines.decode().rstrip("\n"), list(self._readings(batch.lines))

    def _readings(self, lines: bytes) -> Iterator[Reading]:
        """The readings behind stored lines."""
        for line in read_back(lines):
            device, clock = self.registry.index[line.device], Clock(int(line.fields["clock"]))
            for name, value in line.fields.items():
                if name in {"quality", "clock"} or name.endswith("_quality"):
                    continue
                quality = Quality(int(line.fields.get(f"{name}_quality", Quality.GOOD)))
                yield Reading(device, name, value, line.at, line.at, quality, clock)

    def _write(self, lines: Iterable[str]) -> None:
        body = "\n".join(line for line in lines if line)
        if body:
            self.store.write(body.encode() + b"\n")

    # what the gateway says of itself -------------------------------------------------------------------------

    def _gateway(self, at: int) -> Iterator[str]:
        totals = self._totals
        received = sum(totals[outcome.value] for outcome in Outcome)
        state = GatewayState(
            received=received,
            kept=totals["kept"],
            refused=totals["refused"],
            repeated=totals["repeated"],
            lines_kept=totals["kept"],
            holds=1.0,
            lost_at_broker=0.0,
            clock=PartState.OK,
            late=0.0,
            broker=PartState.OK,
            journal=PartState.OK,
            journal_used_bytes=3e6,
            journal_max_bytes=2e9,
            devices=len(self.registry),
            devices_heard=len(self.registry) - 1,
        )
        reasons = {refused_count(reason): float(totals[refused_count(reason)]) for reason in Reason}
        yield f"{Table.GATEWAY},commune={GATEWAY},device={alert_names.NOBODY} {fields(state, reasons)} {at}"
        stored = StoreState(
            waiting=7.0, oldest_waiting_seconds=1.5, stored=received - 7.0, rejected=0.0, state=PartState.OK
        )
        yield f"{Table.GATEWAY_STORE},commune={GATEWAY},device=commune {fields(stored)} {at}"

    def _states(self) -> Iterator[str]:
        firing = {change.place.device: change.severity.number for change in self.firing}
        for hour in range(6, -1, -1):
            at = int(self.now - hour * HOUR) * NS
            for row in self.rows:
                severity = firing.get(row.device, 0) if hour == 0 else 0
                state = {2: Condition.WARNING, 3: Condition.CRITICAL}.get(severity, Condition.OK)
                if row.device == "water-3":
                    state = Condition.SILENT
                entry = DeviceState(row.latitude, row.longitude, state)
                yield f"{Table.DEVICE},commune={row.commune},device={row.device} {fields(entry)} {at}"

    def _ledger(self) -> Iterator[str]:
        for (device, hour), counts in self.outcomes.items():
            kept, refused, repeated = (counts[outcome] for outcome in Outcome)
            entry = LedgerHour(counts.total(), kept, refused, repeated, missing=0.0)
            yield f"{Table.LEDGER_HOUR},commune={COMMUNE},device={device} {fields(entry)} {int(hour * HOUR) * NS}"

    def _lighting(self) -> Iterator[str]:
        for day in range(1, 7):
            entry = LightingDay(
                energy=40.0 + day, saved_energy=50.0 + day, saved_cost=2226.0 * day, saved_co2=33.0 + day
            )
            tags = f"commune={COMMUNE},device={alert_names.NOBODY}"
            yield f"{Table.LIGHTING_DAY},{tags} {fields(entry)} {day_start(-day)}"

    # truth ---------------------------------------------------------------------------------------------------

    def told(self, device: str, start: int, stop: int) -> list[Told]:
        """What a device meant between two moments [ns UTC]."""
        return [one for one in self.truth[device] if start <= one.at < stop]

    def mean(self, device: str, name: str, start: int, stop: int) -> float | None:
        """The mean of a property of a device between two moments."""
        values = [one.values[name] for one in self.told(device, start, stop) if name in one.values]
        return sum(values) / len(values) if values else None


def _before(at: float, sent: Sent) -> bool:
    return sent.at < at


def scenario_fleet(now: float) -> Fleet:
    """The demo's commune with fewer lamps, one that sends garbage, and a circuit that goes out this evening."""
    scenario = load_scenario("commune")
    streets = tuple(
        street.model_copy(update={"first": first, "lamps": lamps})
        for street, (first, lamps) in zip(scenario.street, ((10, 8), (30, 8), (45, 6)), strict=True)
    )
    every = int(STEP)
    moment = datetime.fromtimestamp(now, UTC)
    more = (
        Fault(kind="garbage", devices=BROKEN_LAMP, always=True, chance=0.1),
        Fault(
            kind="circuit_loss",
            devices="cabinet-3",
            between=(moment - timedelta(hours=1.5), moment + timedelta(hours=2)),
        ),
    )
    scenario = scenario.model_copy(
        update={
            "interval": Intervals(lamp=every, cabinet=every, water=every, air=every, tap=every),
            "street": streets,
            "fault": (*scenario.fault, *more),
        }
    )
    return build(scenario, 1, now + DAY)


def day_start(days: int) -> int:
    """When the day that is so many days from today begins in Viet Nam [ns UTC]."""
    today = NOW.replace(hour=0, minute=0)
    return int((today + timedelta(days=days)).timestamp()) * NS
