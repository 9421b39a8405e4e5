"""Fixtures every test may ask for: real servers, started once where their state can be kept apart."""

from collections.abc import Iterator

import pytest

from tests import servers
from tests.servers import Server


@pytest.fixture
def broker() -> Iterator[Server]:
    """A fresh Mosquitto with its defaults; start one with ``servers.mosquitto(...)`` for other settings."""
    with servers.mosquitto() as server:
        yield server


@pytest.fixture(scope="session")
def influxdb1_server() -> Iterator[Server]:
    """One InfluxDB 1.x for the session: every test creates a database of its own name."""
    with servers.influxdb1() as server:
        yield server


@pytest.fixture(scope="session")
def victoria_metrics_server() -> Iterator[Server]:
    """One VictoriaMetrics for the session: every test writes measurements of its own name."""
    with servers.victoria_metrics() as server:
        yield server
