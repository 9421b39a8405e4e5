"""A journal with 20,000 uplinks no store has yet is torn, flipped, cut, lost, locked, or of a later version."""

import dataclasses
import random
import shutil
import sqlite3
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway.line.migrations import SCHEMA_VERSION
from gateway.line.records import Records
from gateway.line.witness import LostEnd
from tests import servers
from tests.faults.field import Field, fleet
from tests.faults.lives import Lives
from tests.faults.scenario import DATABASE, ENOUGH, PATIENCE, Scenario, shipped_mosquitto
from tests.gateway_process import await_that, influx_store
from tests.servers import Server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
Measured = Callable[[str], None]
LARGEST_COMMIT = ENOUGH // 5
"""Uplinks; more than the broker has in flight at a time."""
PAGE = 4096
FILE, LOG, INDEX = "journal.db", "journal.db-wal", "journal.db-shm"


class Filled(NamedTuple):
    """What became of the 20,000 uplinks until somebody damages the journal."""

    scenario: Scenario
    broker: Server
    crashed: Path
    """The data folder as kill -9 leaves it: nearly everything is in the write-ahead log."""
    stopped: Path
    """As SIGTERM leaves it: everything is in the main file."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """Sent and acknowledged once for all of this module; every test damages a copy."""
    folder = tmp_path_factory.mktemp("filled")
    with (
        servers.mosquitto(shipped_mosquitto()) as broker,
        servers.influxdb1() as absent,
        Field(broker.port) as field,
        Lives(folder, broker.port, influx_store(absent, DATABASE), fleet()) as gateway,
    ):
        absent.stop()
        scenario = Scenario(gateway, field, absent)
        gateway.start()
        scenario.await_connected()
        scenario.send(ENOUGH)
        scenario.await_published()
        scenario.await_taken()
        gateway.kill()
        shutil.copytree(folder / "data", folder / "crashed")
        gateway.start()
        gateway.stop()
        shutil.copytree(folder / "data", folder / "stopped")
        assert not (folder / "stopped" / LOG).exists()
        yield Filled(scenario, broker, folder / "crashed", folder / "stopped")


@contextmanager
def copied(filled: Filled, image: Path, folder: Path, influx: Server) -> Iterator[Scenario]:
    """A gateway that is not started yet, with a copy of the journal and a store that is there."""
    shutil.copytree(image, folder / "data")
    with Lives(folder, filled.broker.port, influx_store(influx, DATABASE), fleet()) as gateway:
        yield dataclasses.replace(filled.scenario, gateway=gateway, store=influx)


def deliver(scenario: Scenario) -> None:
    """Return when nothing waits; the gateway is started again whenever it ends, as its service is."""
    gateway = scenario.gateway
    assert isinstance(gateway, Lives)

    def is_drained() -> bool:
        if gateway.has_ended():
            gateway.start()
        try:
            return all(not entry["waiting"] for entry in scenario.ledger()["lines"]["stores"])
        except (urllib.error.URLError, ConnectionError):
            return False  # it is just ending

    await_that("nothing waits for the store", is_drained, PATIENCE)


def said_to_be_lost(scenario: Scenario) -> tuple[int, int]:
    """What the gateway says the disk has lost.

    Returns:
        Readings and refused uplinks; -1 where it says that it cannot count. And of how many uplinks it says that it
        does not know any more what became of them: then the ledger lacks them.
    """
    records = Records(scenario.journal)
    try:
        reports = records.salvaged()
        lines = sum(store.given_up for store in records.lines().stores)
    finally:
        records.close()
    unknown = sum(report.lost_uplinks for report in reports)
    if any(report.lost_lines < 0 for report in reports):
        return -1, unknown
    return lines + sum(report.lost_refused for report in reports), unknown


def lost_ends(scenario: Scenario) -> list[LostEnd]:
    """What the gateway says is gone of the journal's end."""
    records = Records(scenario.journal)
    try:
        return records.lost_ends()
    finally:
        records.close()


# what is done to it -----------------------------------------------------------------------------------------------


def cut(name: str, share: float) -> Callable[[Path], None]:
    """Leave so much of a file, in whole pages."""

    def damage(data: Path) -> None:
        with (data / name).open("r+b") as file:
            size = file.seek(0, 2)
            file.truncate(int(size * share) // PAGE * PAGE)

    return damage


def tear(name: str) -> Callable[[Path], None]:
    """The last page was written in half."""

    def damage(data: Path) -> None:
        with (data / name).open("r+b") as file:
            file.seek(-PAGE // 2, 2)
            file.write(bytes(PAGE // 2))

    return damage


def flip(name: str, seed: int, places: int = 4) -> Callable[[Path], None]:
    """One bit in each of some bytes anywhere but at the very end: see what a disk takes back."""

    def damage(data: Path) -> None:
        chance = random.Random(seed)
        content = bytearray((data / name).read_bytes())
        for _ in range(places):
            content[chance.randrange(len(content) * 19 // 20)] ^= 1 << chance.randrange(8)
        (data / name).write_bytes(content)

    return damage


def overwrite_head(data: Path) -> None:
    """The first 100 bytes are zero."""
    with (data / "journal.db").open("r+b") as file:
        file.write(bytes(100))


def overwrite_last_frame(data: Path) -> None:
    """Header and page of the log's last frame are random bytes."""
    with (data / LOG).open("r+b") as file:
        file.seek(-(PAGE + 24), 2)
        file.write(random.Random(1).randbytes(PAGE + 24))


def remove(*names: str) -> Callable[[Path], None]:
    """As if they had never been."""

    def damage(data: Path) -> None:
        for name in names:
            (data / name).unlink(missing_ok=True)

    return damage


FLIPS: dict[str, tuple[str, Callable[[Path], None]]] = {
    **{f"bits in the file, seed {seed}": ("stopped", flip(FILE, seed)) for seed in (1, 2, 3)},
    **{f"bits in the log, seed {seed}": ("crashed", flip(LOG, seed)) for seed in (1, 2, 3)},
    "last page of the file torn": ("stopped", tear(FILE)),
    "file cut in half": ("stopped", cut(FILE, 0.5)),
    "head of the file overwritten": ("stopped", overwrite_head),
    "file gone, log there": ("crashed", remove(FILE)),
}


@pytest.mark.parametrize("what", FLIPS)
def test_what_damage_costs_is_counted_and_said(
    tmp_path: Path, filled: Filled, influx: Server, what: str, measured: Measured
) -> None:
    """Everything else arrives, once."""
    image, damage = FLIPS[what]
    with copied(filled, getattr(filled, image), tmp_path, influx) as scenario:
        damage(tmp_path / "data")
        deliver(scenario)
        said, unknown = said_to_be_lost(scenario)
        missing = scenario.judge(lost=ENOUGH if said < 0 or unknown else said)
        assert said < 0 or len(missing) <= said
        if missing:
            assert scenario.part("journal")[0] == "failing"
        text = f"{said} said to be lost" if said >= 0 else "said that it cannot be counted"
        measured(f"{len(missing)} of {ENOUGH} uplinks lost, {text}; {unknown} not in the ledger, which says so")


TAILS: dict[str, tuple[str, Callable[[Path], None], int]] = {
    "last page of the log torn": ("crashed", tear(LOG), LARGEST_COMMIT),
    "last frame of the log overwritten": ("crashed", overwrite_last_frame, LARGEST_COMMIT),
    "log cut in half": ("crashed", cut(LOG, 0.5), ENOUGH),
    "log gone": ("crashed", remove(LOG, INDEX), ENOUGH),
    "everything gone": ("stopped", remove(FILE, LOG, INDEX), ENOUGH),
}


@pytest.mark.parametrize("what", TAILS)
def test_what_a_disk_takes_back_from_the_end_is_noticed(
    tmp_path: Path, filled: Filled, influx: Server, what: str, measured: Measured
) -> None:
    """SQLite's log cannot tell it from a commit that was not finished; the witness beside it can."""
    image, damage, most = TAILS[what]
    with copied(filled, getattr(filled, image), tmp_path, influx) as scenario:
        damage(tmp_path / "data")
        deliver(scenario)
        missing = scenario.judge(lost=most)
        said = sum(end.uplinks for end in lost_ends(scenario))
        assert len(missing) <= said <= len(missing) + scenario.field.acknowledged - ENOUGH
        assert not missing or scenario.part("journal")[0] == "failing"
        measured(f"{len(missing)} of {ENOUGH} uplinks lost, {said} said to be lost")


def test_a_journal_of_a_later_version_is_left_alone(tmp_path: Path, filled: Filled, influx: Server) -> None:
    """The gateway ends with a line that says so; with the right version again everything is there."""

    def set_version(number: int) -> None:
        database = sqlite3.connect(tmp_path / "data" / FILE)
        database.execute(f"PRAGMA user_version = {number}")
        database.close()

    with copied(filled, filled.stopped, tmp_path, influx) as scenario:
        set_version(SCHEMA_VERSION + 1)
        before = (tmp_path / "data" / FILE).read_bytes()
        gateway = scenario.gateway.start()
        assert isinstance(gateway, Lives)
        assert gateway.has_ended()
        assert "made by a newer gateway" in gateway.log.read_text()
        assert (tmp_path / "data" / FILE).read_bytes() == before
        set_version(SCHEMA_VERSION)
        deliver(scenario)
        scenario.judge()


def test_a_journal_that_another_program_locks(
    tmp_path: Path, broker: Server, influx: Server, measured: Measured
) -> None:
    """Nothing is acknowledged until it lets go; the broker keeps what comes."""
    with Field(broker.port) as field, Lives(tmp_path, broker.port, influx_store(influx, DATABASE), fleet()) as gateway:
        scenario = Scenario(gateway, field, influx)
        gateway.start()
        scenario.await_connected()
        scenario.send(ENOUGH // 2)
        scenario.settle()
        other = sqlite3.connect(scenario.journal, isolation_level=None, timeout=PATIENCE)
        other.execute("BEGIN IMMEDIATE")
        scenario.send(ENOUGH // 2)
        scenario.await_published()
        await_that("health says so", lambda: "locked" in scenario.part("journal")[1], PATIENCE)
        assert scenario.part("journal")[0] == "failing"
        assert scenario.ledger()["totals"]["received"] == ENOUGH // 2
        other.execute("ROLLBACK")
        other.close()
        scenario.settle()
        scenario.judge()
        measured(f"{ENOUGH // 2} uplinks waited at the broker, none lost")
