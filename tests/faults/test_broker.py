"""Brokers that die, or that hold what an absent gateway has to have: as shipped, and with Mosquitto's defaults."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import servers
from tests.faults.field import Field, fleet, paced
from tests.faults.lives import Lives
from tests.faults.scenario import DATABASE, ENOUGH, Scenario
from tests.gateway_process import await_that, influx_store
from tests.servers import Server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
Measured = Callable[[str], None]
PER_SECOND = 1000.0
"""Uplinks until the broker dies: ten communes."""


def leave(scenario: Scenario) -> None:
    """Let the gateway subscribe, and go."""
    scenario.gateway.start()
    scenario.await_connected()
    scenario.gateway.kill()


def test_an_absent_gateway_misses_nothing_as_shipped(
    tmp_path: Path, broker: Server, influx: Server, measured: Measured
) -> None:
    """20,000 uplinks arrive while it is down."""
    with Field(broker.port) as field, Lives(tmp_path, broker.port, influx_store(influx, DATABASE), fleet()) as gateway:
        scenario = Scenario(gateway, field, influx)
        leave(scenario)
        scenario.send(ENOUGH)
        scenario.await_published()
        gateway.start()
        scenario.settle()
        scenario.judge()
        assert scenario.ledger()["lost_at_broker"] == 0
        measured(f"{scenario.sent} uplinks while the gateway was down, none lost")


def test_what_mosquitto_drops_by_default_is_noticed_alarmed_and_in_the_ledger(
    tmp_path: Path, influx: Server, measured: Measured
) -> None:
    """It acknowledges them all, and keeps 1,000."""
    with (
        servers.mosquitto("sys_interval 1") as broker,
        Field(broker.port) as field,
        Lives(tmp_path, broker.port, influx_store(influx, DATABASE), fleet()) as gateway,
    ):
        scenario = Scenario(gateway, field, influx)
        leave(scenario)
        scenario.send(ENOUGH)
        scenario.await_published()
        gateway.start()
        await_that("the loss is in the ledger", lambda: scenario.ledger()["lost_at_broker"] > 0)
        lost = scenario.ledger()["lost_at_broker"]
        await_that("health alarms", lambda: scenario.part("broker")[0] == "failing")
        scenario.await_taken(ENOUGH - lost)
        scenario.await_delivered()
        missing = scenario.judge(lost=lost)
        measured(f"{len(missing)} of {ENOUGH} lost at the broker, {lost} counted")


@pytest.mark.parametrize("gateway_is_there", [True, False], ids=["gateway there", "gateway down"])
def test_kill_9_of_mosquitto_as_shipped(
    tmp_path: Path, broker: Server, influx: Server, gateway_is_there: bool, measured: Measured
) -> None:
    """What it had acknowledged, and neither handed on nor saved, is gone: next to nothing with the gateway there."""
    with Field(broker.port) as field, Lives(tmp_path, broker.port, influx_store(influx, DATABASE), fleet()) as gateway:
        scenario = Scenario(gateway, field, influx)
        gateway.start()
        scenario.await_connected()
        if not gateway_is_there:
            gateway.kill()
        paced(lambda _, number: scenario.send(number), 0, ENOUGH // 2, PER_SECOND)
        broker.kill()
        await_that("the gateway notices", lambda: not gateway_is_there or scenario.part("broker")[0] != "ok")
        broker.start()
        if not gateway_is_there:
            gateway.start()
        scenario.await_connected()
        scenario.send(ENOUGH // 2)
        # Where it had not saved the session yet, what comes before the gateway has subscribed again is lost, too.
        acknowledged = field.acknowledged
        scenario.await_published()
        scenario.await_taken(ENOUGH - acknowledged)
        scenario.await_delivered()
        missing = scenario.judge(lost=acknowledged)
        measured(f"{len(missing)} of {acknowledged} acknowledged uplinks lost with the broker")
