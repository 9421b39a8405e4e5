"""The analytics thread with a real line and store: what is committed is summed, and mended after a restart."""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from devices.vocabulary import Measurement
from gateway.analytics import worker
from gateway.app import App
from gateway.model import StoredLine, Uplink, Window
from gateway.northbound.embedded import Embedded
from gateway.settings import Api, Gateway, Settings
from gateway.settings_neighbours import StorePlace
from tests.gateway_process import PATIENCE, await_that

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
FLEET = "device,profile,commune,zone,group\nlamp-1,native_streetlight,10642,street,cabinet-1\n"
NOON = 1_767_243_600_000_000_000
"""2026-01-01T12:00:00 in Viet Nam."""


def settings(folder: Path) -> Settings:
    """A gateway without a broker, with the embedded store."""
    (folder / "fleet.csv").write_text(FLEET, "utf-8")
    return Settings(
        gateway=Gateway(data_dir=folder, fleet=folder / "fleet.csv"), store=(StorePlace(name="here"),), api=Api()
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder."""
    return tmp_path


def record(minute: int, power: float) -> bytes:
    """One old reading."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOON / 1e9 + 60 * minute))
    return json.dumps({"device": "lamp-1", "observed_at": at, "power": power}).encode()


def say(app: App, values: dict[int, float]) -> None:
    """The lamp says so by itself, at these minutes after noon."""
    uplinks = []
    for minute, power in values.items():
        body = record(minute, power).replace(b'"device": "lamp-1", ', b"")
        uplinks.append(Uplink("village/10642/lamp-1/up", body, NOON + minute * 60 * SECOND))
    app.line.submit(lambda: app.line.take(uplinks)).result(30)


def hours(app: App) -> list[dict[str, float]]:
    """The lamp's hourly roll-ups in the store, oldest first."""
    lines = app.stores["here"].lines("streetlight_hour", "10642", "lamp-1", NOON - HOUR, NOON + 4 * HOUR, 100)
    return [{"hour": (line.time - NOON) / HOUR} | line.fields for line in lines]


def days(app: App) -> list[dict[str, float]]:
    """Its daily ones."""
    lines = app.stores["here"].lines("streetlight_day", "10642", "lamp-1", NOON - 24 * HOUR, NOON + 24 * HOUR, 100)
    return [dict(line.fields) for line in lines]


@contextmanager
def running(folder: Path, now: Callable[[], int] = time.time_ns) -> Iterator[App]:
    """A gateway by its own clock."""
    app = App(settings(folder), with_broker=False, with_api=False, now=now)
    app.start()
    try:
        yield app
    finally:
        app.stop()


def run(folder: Path, file: str, records: list[bytes], wanted: int) -> list[dict[str, float]]:
    """Take records in, wait for so many hours, stop; the hours."""
    app = App(settings(folder), with_broker=False, with_api=False)
    app.start()
    try:
        app.intake.take(file, 0, records)
        await_that(f"{wanted} hours", lambda: len(hours(app)) >= wanted, 90)
        return hours(app)
    finally:
        app.stop()


def test_readings_become_hours_that_late_ones_mend_after_a_restart(folder: Path) -> None:
    """Three hours of five-minute values; then one hour's missing half comes in by another file."""
    told = [record(minute, 50.0 + minute // 60) for minute in range(0, 180, 5) if not 60 <= minute < 90]
    first = run(folder, "first", told, 3)
    assert [(hour["hour"], hour["power_mean"], hour["power_count"]) for hour in first] == [
        (0, 50.0, 12),
        (1, 51.0, 6),
        (2, 52.0, 12),
    ]
    late = [record(minute, 57.0) for minute in range(60, 90, 5)]
    app = App(settings(folder), with_broker=False, with_api=False)
    app.start()
    try:
        app.intake.take("late", 0, late)
        await_that("the hour is mended", lambda: hours(app)[1]["power_count"] == 12, 90)
        mended = hours(app)[1]
    finally:
        app.stop()
    assert (mended["power_mean"], mended["power_min"], mended["power_max"]) == (54.0, 51.0, 57.0)


def test_a_fault_of_analytics_does_not_stop_the_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readings go on being kept, and health says what is missing."""
    app = App(settings(folder), with_broker=False, with_api=False)

    def broken(*_: Any, **__: Any) -> None:
        raise ValueError("planted")

    monkeypatch.setattr(app.analytics._room, "take", broken)
    app.start()
    try:
        app.intake.take("file", 0, [record(0, 50.0)])
        await_that("the fault is seen", lambda: app.analytics.failed)
        assert [part.detail for part in app.health() if part.part == "analytics"] == [
            "no alerts, indices and roll-ups: planted; restart the gateway"
        ]
        assert app.intake.take("file", 1, [record(5, 51.0)]).kept == 1
        store = app.stores["here"]
        window = Window(NOON, NOON + HOUR, 0)
        await_that(
            "stored", lambda: len(store.series(Measurement.STREETLIGHT, "10642", "lamp-1", "power", window)) == 2
        )
    finally:
        app.stop()


def test_a_stop_asks_a_slow_store_no_more_and_loses_no_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Late hours are some hundred questions: the gateway ends after the one at hand and asks the rest later."""
    monkeypatch.setattr(worker, "MEND_SECONDS", 0.1)
    monkeypatch.setattr("gateway.app.FINISH_SECONDS", 0.0)
    stopping, asked = threading.Event(), list[str]()

    def slow(_store: Embedded, measurement: str, *_: object, **__: object) -> list[StoredLine]:
        asked.append(measurement)
        stopping.wait(PATIENCE)
        return []

    app = App(settings(folder), with_broker=False, with_api=False)
    app.start()
    app.intake.take("first", 0, [record(minute, 50.0) for minute in range(0, 180, 5)])
    await_that("three hours", lambda: len(hours(app)) >= 3, 90)
    with monkeypatch.context() as patches:
        patches.setattr(Embedded, "lines", slow)
        app.intake.take("late", 0, [record(minute, 57.0) for minute in range(1, 180, 5)])
        await_that("the store is asked", lambda: asked)
        line_stops = app.line.stop

        def stop() -> None:
            line_stops()
            stopping.set()

        patches.setattr(app.line, "stop", stop)
        app.stop()
        assert len(asked) == 1
    app = App(settings(folder), with_broker=False, with_api=False)
    app.start()
    try:
        await_that("what was left to do is done", lambda: [h["power_count"] for h in hours(app)] == [24, 24, 24], 90)
    finally:
        app.stop()


def test_a_day_is_whole_after_kill_9_in_its_middle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three hours before, one after: the sums of the day are lost with the process, and read back."""
    monkeypatch.setattr(worker, "MEND_SECONDS", 0.1)
    now = NOON + 3 * HOUR + 30 * 60 * SECOND
    with running(folder, lambda: now) as app:
        say(app, {minute: 50.0 + minute // 60 for minute in range(0, 180, 5)})
        await_that("three hours", lambda: len(hours(app)) == 3)
        app.analytics._next_save = 0.0
        await_that("a snapshot", (folder / "analytics.bin").exists)
        shutil.copytree(folder, folder / "killed")
    now += 90 * 60 * SECOND
    with running(folder / "killed", lambda: now) as app:
        say(app, dict.fromkeys(range(180, 240, 5), 53.0))
        await_that("the fourth hour", lambda: len(hours(app)) == 4)
        now += 24 * HOUR
        day = await_that("the whole day", lambda: [line for line in days(app) if line["power_count"] == 48])[0]
    assert (day["power_mean"], day["power_min"], day["power_max"]) == (51.5, 50.0, 53.0)


def test_marks_are_saved_soon_and_spikes_with_the_next_snapshot(folder: Path) -> None:
    """A snapshot of a province takes a second of the disk; where the store is asked anyway, none is made for a mark."""
    with running(folder) as app:
        room, before = app.analytics._room, app.analytics._next_save
        app.analytics.judged_again([(0, NOON)])
        await_that("the spike's hour is marked", lambda: room.rollups.late.devices or room.rollups._open_days)
        await_that("the first snapshot is due in a minute", lambda: app.analytics._next_save > before)
        assert app.analytics._next_save - time.monotonic() > worker.MARKED_SAVE_SECONDS
        app.analytics.mark(0, NOON, NOON + HOUR, NOON)
        soon = worker.MARKED_SAVE_SECONDS
        await_that("the next snapshot is near", lambda: app.analytics._next_save - time.monotonic() < soon)
