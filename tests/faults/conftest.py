"""What every fault scenario starts from: a broker as it is shipped, a real InfluxDB, and the field's devices."""

from collections.abc import Iterator

import pytest

from tests import servers
from tests.faults.scenario import shipped_mosquitto
from tests.servers import Server


@pytest.fixture
def broker() -> Iterator[Server]:
    """A fresh Mosquitto with the shipped limits."""
    with servers.mosquitto(shipped_mosquitto()) as server:
        yield server


@pytest.fixture
def influx() -> Iterator[Server]:
    """A fresh InfluxDB 1.x."""
    with servers.influxdb1() as server:
        yield server
