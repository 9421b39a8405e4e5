"""What every fault scenario starts from: a broker as it is shipped, a real InfluxDB, and the field's devices."""

from collections.abc import Callable, Iterator

import pytest

from tests import servers
from tests.faults.scenario import shipped_mosquitto
from tests.servers import Server

_FIGURES: list[tuple[str, str]] = []


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


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes a figure that the run prints at its end, beside the scenario it belongs to."""
    return lambda text: _FIGURES.append((request.node.name, text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print them."""
    if _FIGURES:
        terminalreporter.section("measured")
        for scenario, text in _FIGURES:
            terminalreporter.write_line(f"{scenario}: {text}")
