"""The gateway's own clock is set back and forward while uplinks wait for a store that is away."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.field import Field, fleet
from tests.faults.lives import Lives
from tests.faults.scenario import DATABASE, ENOUGH, PATIENCE, Scenario
from tests.gateway_process import await_that, influx_store
from tests.servers import Server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
HOUR = 3600.0
AUTO = 'clock = "auto"\n'


def test_a_clock_that_is_set_back_and_forward(tmp_path: Path, broker: Server, influx: Server) -> None:
    """It is taken as it is: every reading keeps its device's time, whatever the gateway's clock shows."""
    with Field(broker.port) as field, Lives(tmp_path, broker.port, influx_store(influx, DATABASE), fleet()) as gateway:
        scenario = Scenario(gateway, field, influx)
        gateway.start()
        scenario.await_connected()
        influx.stop()
        for hours in (0, -1, 5, 24 * 40, 0):
            gateway.step_clock(hours * HOUR)
            scenario.send(ENOUGH // 5)
            scenario.await_taken()
        gateway.kill()
        gateway.start()
        influx.start()
        scenario.settle()
        scenario.judge()


def test_what_comes_while_the_clock_cannot_be_right_waits_and_is_stored_once(
    tmp_path: Path, broker: Server, influx: Server, measured: Callable[[str], None]
) -> None:
    """A box that has lost its time: acknowledged and on disk, through kill -9, and read when the clock is right."""
    store = influx_store(influx, DATABASE)
    with Field(broker.port) as field, Lives(tmp_path, broker.port, store, fleet(), AUTO) as gateway:
        scenario = Scenario(gateway, field, influx)
        gateway.start()
        scenario.await_connected()
        influx.stop()
        scenario.send(ENOUGH // 4)
        scenario.await_taken()
        gateway.step_clock(-24 * HOUR)
        scenario.send(ENOUGH // 2)
        scenario.await_published()
        await_that("they are held", lambda: f"; {ENOUGH // 2} uplinks wait" in scenario.part("clock")[1], PATIENCE)
        assert scenario.part("clock")[0] == "failing"
        assert scenario.ledger()["totals"]["received"] == ENOUGH // 4
        gateway.kill()
        gateway.start()
        await_that("it does not believe the clock", lambda: scenario.part("clock")[0] == "failing")
        scenario.send(ENOUGH // 4)
        scenario.await_published()
        influx.start()
        gateway.step_clock(0.0)
        scenario.settle()
        scenario.judge()
        measured(f"{ENOUGH // 2} uplinks held through kill -9, none lost, none twice")
