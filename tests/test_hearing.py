"""A broker or a gateway that was away makes no device silent: a real broker stopped and started, hours passing."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devices.alert_rules import AlertState
from gateway.analytics.alert_book import Silence
from gateway.app import App
from gateway.settings import Gateway, Settings
from gateway.settings_neighbours import Broker, StorePlace
from tests import servers
from tests.gateway_process import Publisher, await_that
from tests.servers import Server

MINUTE, HOUR = 60_000_000_000, 3_600_000_000_000
NAMES = [f"lamp-{number}" for number in range(1, 5)]
"""Fewer than make a silent commune. Their interval is five minutes, so they are silent after thirty."""
FLEET = "device,profile,commune,zone\n" + "".join(f"{name},native_streetlight,10642,street\n" for name in NAMES)


class Clock:
    """The time of day, which a test can move on."""

    def __init__(self) -> None:
        self._real, self.ahead = time.time_ns, 0

    def __call__(self) -> int:
        """Nanoseconds UTC."""
        return self._real() + self.ahead


class Village:
    """A gateway in this process, on a real broker, with a clock that can be moved on."""

    def __init__(self, folder: Path, broker: Server, clock: Clock) -> None:
        (folder / "fleet.csv").write_text(FLEET, "utf-8")
        settings = Settings(
            broker=Broker(port=broker.port, keepalive_seconds=5),
            gateway=Gateway(data_dir=folder, fleet=folder / "fleet.csv"),
            store=(StorePlace(name="here"),),
        )
        self.app, self.clock = App(settings, with_api=False), clock
        self.app.analytics._now = clock

    def say(self, broker: Server, names: list[str]) -> None:
        """Devices report, and analytics has heard them."""
        since = self.clock()
        with Publisher(broker) as field:
            for name in names:
                field.send(f"village/10642/{name}/up", json.dumps({"voltage": 230.0}))
        index = self.app.registry.index
        worker = self.app.analytics
        await_that(
            "analytics hears them",
            lambda: all(worker._room.alerts.silence.seen[index[name]] >= since for name in names),
        )

    def pass_time(self, span: int) -> None:
        """Move the clock on, and return when analytics has looked at it."""
        self.clock.ahead += span
        now = self.clock()
        await_that("analytics looks at the clock", lambda: self.app.analytics._room.alerts._judged_at >= now)

    def firing(self) -> list[tuple[str, str]]:
        """Rules and places of the alerts that fire."""
        current = self.app.analytics.standing.current
        return sorted((c.rule.code, c.place.name) for c in current if c.state is AlertState.FIRING)

    def hears(self, yes: bool) -> None:
        """Return when the gateway has (or has lost) its broker, and analytics has been told."""
        await_that("broker", lambda: self.app._hears() is yes)
        await_that("analytics knows", lambda: self.app.analytics._room.alerts.silence._deaf is not yes)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In place of the machine's."""
    made = Clock()
    monkeypatch.setattr(time, "time_ns", made)
    monkeypatch.setattr("gateway.analytics.worker.TICK_SECONDS", 0.05)
    monkeypatch.setattr("gateway.analytics.worker.HEALTH_SECONDS", 0.1)
    return made


@pytest.fixture
def broker() -> Iterator[Server]:
    """A real one."""
    with servers.mosquitto("max_queued_messages 0\nmax_inflight_messages 1000") as server:
        yield server


@contextmanager
def running(folder: Path, broker: Server, clock: Clock) -> Iterator[Village]:
    """A village whose gateway has its broker."""
    village = Village(folder, broker, clock)
    village.app.start()
    try:
        village.hears(True)
        yield village
    finally:
        village.app.stop()


def test_a_broker_that_was_away_for_hours_makes_no_device_silent(tmp_path: Path, broker: Server, clock: Clock) -> None:
    """Only the gateway itself has a problem; who does not come back afterwards is silent, counted from then on."""
    with running(tmp_path, broker, clock) as village:
        village.say(broker, NAMES)
        broker.stop()
        village.hears(False)
        village.pass_time(3 * HOUR)
        village.pass_time(3 * HOUR)
        await_that("the gateway's own alert", lambda: village.firing() == [("gateway", "broker")])
        broker.start()
        village.hears(True)
        village.say(broker, NAMES[:-1])
        village.pass_time(29 * MINUTE)
        await_that("the gateway's own alert is over", lambda: village.firing() == [])
        village.say(broker, NAMES[:-1])
        village.pass_time(2 * MINUTE)
        await_that("who did not come back is silent", lambda: village.firing() == [("silent", "lamp-4")])


def test_a_gateway_that_was_off_makes_no_device_silent_and_forgets_none_that_was(
    tmp_path: Path, broker: Server, clock: Clock
) -> None:
    """Nor is the silent one told of again; a broker that is away at the start changes nothing."""
    with running(tmp_path, broker, clock) as village:
        village.say(broker, NAMES)
        for _ in range(3):
            village.pass_time(12 * MINUTE)
            village.say(broker, NAMES[:-1])
        assert village.firing() == [("silent", "lamp-4")]
    clock.ahead += 9 * HOUR
    broker.stop()
    again = Village(tmp_path, broker, clock)
    again.app.start()
    try:
        again.hears(False)
        again.pass_time(HOUR)
        again.pass_time(HOUR)
        await_that(
            "the broker's absence is told", lambda: again.firing() == [("gateway", "broker"), ("silent", "lamp-4")]
        )
        broker.start()
        again.hears(True)
        again.pass_time(MINUTE)
        again.say(broker, NAMES[:-1])
        again.pass_time(25 * MINUTE)
        await_that("the broker is back", lambda: again.firing() == [("silent", "lamp-4")])
        again.say(broker, NAMES)
        await_that("all is well", lambda: again.firing() == [])
    finally:
        again.app.stop()


def test_a_fleet_read_anew_does_not_begin_the_waiting_anew(tmp_path: Path, broker: Server, clock: Clock) -> None:
    """Somebody who adds a device every ten minutes must not hide a silent one."""
    with running(tmp_path, broker, clock) as village:
        app = village.app
        village.say(broker, NAMES)
        for number in range(3):
            village.pass_time(12 * MINUTE)
            (tmp_path / "fleet.csv").write_text(FLEET + f"new-{number},native_streetlight,10642,street\n", "utf-8")
            app.reload()
            await_that("the fleet is used", lambda: app.analytics._room.tables.registry is app.registry)
            village.say(broker, NAMES[:-1])
        assert village.firing() == [("silent", "lamp-4")]


def over(village: Village) -> list[tuple[str, str]]:
    """What is over, but for the gateway's own."""
    resolved = village.app.analytics.standing.resolved
    return [(one.id, one.state.value) for one in resolved if one.rule.code != "gateway"]


def test_who_takes_care_and_where_people_work_survive_a_restart(tmp_path: Path, broker: Server, clock: Clock) -> None:
    """Asked of the analytics thread, saved with its state; what is over stays in the history."""
    with running(tmp_path, broker, clock) as village:
        village.say(broker, NAMES)
        for _ in range(3):
            village.pass_time(12 * MINUTE)
            village.say(broker, NAMES[:-1])
        assert village.firing() == [("silent", "lamp-4")]
        ask, now = village.app.analytics.ask, clock()
        assert ask(lambda book: book.acknowledge("silent/device/10642/lamp-4", "Anh Nam", now))
        made = ask(lambda book: book.silence(Silence(0, now, now + HOUR, "Anh Nam", "thay cáp", device="lamp-1")))
        with pytest.raises(ValueError, match="must end"):
            ask(lambda book: book.silence(Silence(0, now, now, "Anh Nam", "r", device="lamp-1")))
    with running(tmp_path, broker, clock) as again:
        await_that("it is known", lambda: again.app.analytics.standing.current)
        (change,) = [one for one in again.app.analytics.standing.current if one.rule.code != "gateway"]
        assert (change.state, change.acknowledged_by) == (AlertState.ACKNOWLEDGED, "Anh Nam")
        assert list(again.app.analytics.standing.silences) == [made]
        again.say(broker, NAMES)
        await_that("it is over", lambda: again.firing() == [] and over(again))
    with running(tmp_path, broker, clock) as third:
        await_that("the history is known", lambda: over(third) == [("silent/device/10642/lamp-4", "resolved")])
