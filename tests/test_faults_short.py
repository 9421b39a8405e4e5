"""The long fault suite in some seconds: the gateway dies again and again, and its store for a while, under load."""

import random
from pathlib import Path

from tests import servers
from tests.faults.field import Field, fleet
from tests.faults.lives import Lives
from tests.faults.scenario import DATABASE, Scenario, shipped_mosquitto
from tests.gateway_process import influx_store

UPLINKS, DEATHS = 4000, 5


def test_kill_9_of_the_gateway_and_of_its_store_loses_nothing_and_stores_nothing_twice(tmp_path: Path) -> None:
    """At random moments, with real MQTT clients, a real Mosquitto and a real InfluxDB."""
    chance = random.Random(20261122)
    with (
        servers.mosquitto(shipped_mosquitto()) as broker,
        servers.influxdb1() as influx,
        Field(broker.port) as field,
        Lives(tmp_path, broker.port, influx_store(influx, DATABASE), fleet()) as gateway,
    ):
        run = Scenario(gateway, field, influx)
        gateway.start()
        run.await_connected()
        for death in range(DEATHS):
            run.send(UPLINKS // DEATHS)
            if death == 1:
                influx.kill()
            gateway.await_death(chance.random() * 0.5)
            gateway.kill()
            gateway.start()
            if death == 3:
                influx.start()
        assert gateway.deaths == DEATHS
        run.settle()
        run.judge()
