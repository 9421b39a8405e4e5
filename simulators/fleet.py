"""The fleet of a scenario: cohorts of devices that do not exist, and the CSV that registers them as simulated."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from devices.fleet_csv import write_rows
from devices.fleet_row import FleetRow
from simulators.cohorts import Making, lighting, stations
from simulators.device import Cohort
from simulators.scenario import Scenario
from simulators.spread import spread


class Fleet(NamedTuple):
    """Everything a scenario simulates."""

    scenario: Scenario
    seed: int
    cohorts: tuple[Cohort, ...]

    @property
    def size(self) -> int:
        """How many devices."""
        return sum(len(cohort.names) for cohort in self.cohorts)

    @property
    def rate(self) -> float:
        """Uplinks a second."""
        return sum(len(cohort.names) / cohort.interval for cohort in self.cohorts)

    def rows(self) -> Iterator[FleetRow]:
        """Every device, as the registry is told."""
        for cohort in self.cohorts:
            for number in range(len(cohort.names)):
                yield cohort.row(number)


def build(scenario: Scenario, seed: int, until: float) -> Fleet:
    """Put a scenario's devices together.

    Args:
        until: faults of the world are drawn up to here; what happens later changes nothing before it.
    """
    whole = spread(scenario, seed)
    making = Making.of(whole, seed, until)
    return Fleet(whole, seed, (*lighting(making, whole.street), *stations(making)))


def write_csv(fleet: Fleet, path: Path) -> int:
    """Write the fleet's CSV, whole or not at all, and return how many devices it has."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        count = write_rows(file, fleet.rows())
    part.replace(path)
    return count
