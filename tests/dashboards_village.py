"""A simulated week that went through a whole gateway into a real InfluxDB, and the simulator's truth beside it."""

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from importlib import resources
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from devices.fleet_csv import write_rows
from devices.fleet_row import FleetRow
from devices.observation import Reason
from gateway.analytics.alert_book import AlertChange
from gateway.model import Outcome, Uplink
from gateway.settings import Api, Gateway, Settings
from gateway.settings_neighbours import StorePlace
from simulators.faults import Fault
from simulators.fleet import Fleet, build
from simulators.link import Fate
from simulators.scenario import Intervals, load_scenario
from simulators.stream import Stream
from simulators.stream import Uplink as Sent
from tests.driven_gateway import DrivenGateway
from tests.servers import Server

VIETNAM = timezone(timedelta(hours=7))
NOW = datetime(2026, 8, 8, 21, 20, tzinfo=VIETNAM)
"""A Saturday evening: the lamps burn, and the hour that was over at nine is summed up."""
NS, DAY, HOUR = 1_000_000_000, 86_400.0, 3600.0
STEP = 1200.0
COMMUNE = "10642"
DATABASES = {"village": "grafana_village", "village-rollup": "grafana_village_rollup"}
"""By the data source's uid."""
BROKEN_LAMP = "lamp-010"


class Told(NamedTuple):
    """One report as the simulator meant it."""

    at: int
    """[ns UTC]"""
    values: dict[str, float]


BASELINE = """
[[baselines]]
commune = "10642"
watts_each = 170.0
source = { vi = "biên bản kiểm kê", en = "record" }
"""
"""What the commune's lamps drew before; without it nothing is saved."""


class Village:
    """A fleet, what it said, and what became of it."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.now = NOW.timestamp()
        self.fleet = scenario_fleet(self.now)
        self.rows: list[FleetRow] = list(self.fleet.rows())
        self.truth: dict[str, list[Told]] = defaultdict(list)
        """By device, oldest first: only what a gateway must have."""
        self.outcomes: dict[tuple[str, int], Counter[Outcome]] = defaultdict(Counter)
        """By device and hour since 1970."""
        self.reasons: Counter[Reason] = Counter()
        """Of the last 24 hours."""
        self.firing: list[AlertChange] = []
        with (folder / "fleet.csv").open("w", encoding="utf-8", newline="") as file:
            write_rows(file, self.rows)
        (folder / "standards").mkdir()
        lighting = (resources.files("devices") / "standards" / "lighting.toml").read_text("utf-8")
        (folder / "standards" / "lighting.toml").write_text(lighting + BASELINE, "utf-8")
        readings, rollups = DATABASES.values()
        store = StorePlace(name="commune", kind="influxdb1", url=server.url, database=readings, rollup_database=rollups)
        self._settings = Settings(
            gateway=Gateway(
                data_dir=folder, fleet=folder / "fleet.csv", standards=folder / "standards", accept_simulated=True
            ),
            store=(store,),
            api=Api(),
        )

    # filling -------------------------------------------------------------------------------------------------

    def fill(self) -> None:
        """Three stretches of time, the oldest first: hourly and daily roll-ups reach further back than readings."""
        for start, stop, step in (
            (-70 * DAY, -68.75 * DAY, HOUR),
            (-20 * DAY, -18.75 * DAY, HOUR),
            (-7 * DAY, 0.0, STEP),
        ):
            self._stretch(self.now + start, self.now + stop, step)

    def _stretch(self, start: float, stop: float, step: float) -> None:
        """Everything between two moments; the gateway looks at the clock once a step."""
        stream = Stream(self.fleet, start)
        waiting: deque[Sent] = deque()
        with DrivenGateway(self._settings, int(start) * NS) as gateway:
            gateway.hurry()
            # A sample that makes the index of one station official.
            taken = datetime.fromtimestamp(start, UTC).isoformat()
            gateway.app.laboratory.add(f"device,time,bod5,coliform\nwater-2,{taken},6,7500\n", "laboratory")
            at = start
            while at < stop:
                at = min(at + step, stop)
                if stream.at < at:
                    waiting.extend(stream.take(min(at + DAY / 4, stop)))
                sent = [waiting.popleft() for _ in range(sum(1 for _ in takewhile(partial(_before, at), waiting)))]
                gateway.now = int(at) * NS
                self._take(gateway, [one for one in sent if one.fate is not Fate.LOST])
                if at % HOUR < step:
                    gateway.fold()
                gateway.look()
            gateway.settle()
            self.firing = gateway.app.analytics._room.firing()

    def _take(self, gateway: DrivenGateway, came: Sequence[Sent]) -> None:
        batch = gateway.take([Uplink(one.note.topic, one.note.payload, int(one.at * 1000) * 1_000_000) for one in came])
        for one, heard in zip(came, batch.heard, strict=True):
            self.outcomes[one.device, int(one.at // HOUR)][heard.outcome] += 1
            if heard.outcome is Outcome.KEPT and one.report.observed_at is not None:
                self.truth[one.device].append(Told(one.report.observed_at, dict(one.report.values)))
        for refused in batch.refused:
            if refused.uplink.received_at >= (self.now - DAY) * NS:
                self.reasons[refused.reason] += 1

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
