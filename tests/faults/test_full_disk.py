"""A disk that is full, on a small file system of its own, and has room again."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.field import Field, fleet
from tests.faults.lives import Lives
from tests.faults.scenario import DATABASE, ENOUGH, Scenario
from tests.gateway_process import await_that, influx_store
from tests.servers import Server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
SIZE = "32m"
BLOCK = 4096


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """The gateway's data folder, on a file system of 32 MB."""
    folder = tmp_path / "data"
    folder.mkdir()
    if os.geteuid():
        pytest.skip("only root may mount a small file system; run `make faults` as root for this one")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"this machine lets nobody mount a small file system: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill_up(ballast: Path) -> None:
    """Leave no byte."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(BLOCK)):
                pass
        except OSError:
            return


@pytest.mark.parametrize("is_killed", [False, True], ids=["goes on", "killed meanwhile"])
def test_what_a_full_disk_cannot_take_is_not_acknowledged(
    tmp_path: Path, data: Path, broker: Server, influx: Server, is_killed: bool, measured: Callable[[str], None]
) -> None:
    """The broker keeps it until there is room; with the gateway killed, what had been acknowledged is on the disk."""
    with Field(broker.port) as field, Lives(tmp_path, broker.port, influx_store(influx, DATABASE), fleet()) as gateway:
        scenario = Scenario(gateway, field, influx)
        gateway.start()
        scenario.await_connected()
        influx.stop()
        scenario.send(ENOUGH // 4)
        scenario.await_taken()
        fill_up(data / "ballast")
        scenario.send(ENOUGH - scenario.sent)
        scenario.await_published()
        await_that("health says so", lambda: "until there is room" in scenario.part("journal")[1])
        taken = scenario.ledger()["totals"]["received"]
        assert taken < ENOUGH
        if is_killed:
            gateway.kill()
            gateway.start()
            gateway.kill()
        (data / "ballast").unlink()
        influx.start()
        if is_killed:
            gateway.start()
        scenario.settle()
        scenario.judge()
        await_that("health is well again", lambda: scenario.part("journal")[0] == "ok")
        measured(f"full after {taken} uplinks; the others waited at the broker, none lost")
