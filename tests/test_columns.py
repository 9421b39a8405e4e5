"""Readings as columns, and the fleet's tables."""

import random

import numpy as np
import pytest

from devices.fleet_row import FleetRow
from devices.profile import parse_profile
from devices.quality import Clock, Quality
from devices.registry import Registry
from gateway.analytics.columns import PROPERTY_NUMBER, Buffer, Columns, FleetTables, columns_of, in_rounds
from gateway.model import Reading

PROFILE = """
id = "{id}"
maker = "x"
model = "x"
domain = "streetlight"
codec = "native"
interval_seconds = 300
properties = [{properties}]
evidence = {{ kind = "constructed", document = "test" }}
"""
UNITS = {"power": "W", "voltage": "V", "energy": "kW.h"}


def profile(name: str, *properties: str) -> object:
    """A profile with these properties."""
    listed = ", ".join(f'{{ name = "{p}", unit = "{UNITS[p]}" }}' for p in properties)
    return parse_profile(PROFILE.format(id=name, properties=listed), f"{name}.toml")


def fleet(rows: list[tuple[str, str]]) -> FleetTables:
    """Devices with their profiles."""
    profiles = [profile("one", "power", "voltage"), profile("two", "energy", "power", "voltage")]
    registry = Registry.of(
        [FleetRow(device=device, profile=name, commune="1") for device, name in rows],
        profiles,  # type: ignore[arg-type]
    )
    return FleetTables(registry)


def test_readings_become_columns() -> None:
    """Field by field."""
    readings = [
        Reading(3, "power", 70.5, 10, 20, Quality.GOOD, Clock.DEVICE),
        Reading(4, "voltage", 221.0, 11, 21, Quality.SUSPECT, Clock.RECEIVED),
    ]
    seen = columns_of(readings)
    assert seen.device.tolist() == [3, 4]
    assert seen.property.tolist() == [PROPERTY_NUMBER["power"], PROPERTY_NUMBER["voltage"]]
    assert seen.value.tolist() == [70.5, 221.0]
    assert (seen.at.tolist(), seen.received.tolist(), seen.quality.tolist()) == ([10, 11], [20, 21], [1, 3])
    assert seen.only(np.array([1])).device.tolist() == [4]
    assert len(columns_of([]).device) == 0


def test_series_are_those_of_the_registry() -> None:
    """First series of the device and the place of the property in its profile; both ways."""
    tables = fleet([("a", "one"), ("b", "two"), ("c", "one")])
    power, voltage, energy = (PROPERTY_NUMBER[name] for name in ("power", "voltage", "energy"))
    device, prop = np.array([0, 1, 1, 2, 0]), np.array([voltage, energy, voltage, power, energy])
    columns = Columns(device, prop, np.zeros(5), np.zeros(5, int), np.zeros(5, int), np.ones(5, np.uint8))
    assert tables.series(columns).tolist() == [1, 2, 4, 5, -1]
    assert tables.device_of_series(np.arange(7)).tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert tables.property_of_series(np.arange(7)).tolist() == [power, voltage, energy, power, voltage, power, voltage]


def test_series_of_a_changed_fleet_are_matched_by_name() -> None:
    """A device may change its place and its profile; what both fleets know stays together."""
    old = fleet([("a", "one"), ("b", "two"), ("c", "one")])
    new = fleet([("c", "two"), ("x", "one"), ("a", "one")])
    here, there = new.shared_series(old)
    # new: c energy 0, power 1, voltage 2, x 3 4, a power 5, voltage 6; old: a 0 1, b 2 3 4, c 5 6
    assert sorted(zip(here.tolist(), there.tolist(), strict=True)) == [(1, 5), (2, 6), (5, 0), (6, 1)]
    assert fleet([]).shared_series(old)[0].tolist() == []


@pytest.mark.parametrize("seed", range(5))
def test_rounds_hold_every_key_once_and_in_order(seed: int) -> None:
    """Every position exactly once; a key's times rise from round to round."""
    source = random.Random(seed)
    key = np.array([source.randrange(6) for _ in range(50)])
    at = np.array([source.randrange(1000) for _ in range(50)])
    seen: list[int] = []
    last: dict[int, int] = {}
    for positions in in_rounds(key, at):
        assert len(set(key[positions].tolist())) == len(positions)
        for position in positions.tolist():
            assert at[position] >= last.get(int(key[position]), -1)
            last[int(key[position])] = int(at[position])
            seen.append(position)
    assert sorted(seen) == list(range(50))
    assert list(in_rounds(np.empty(0, int), np.empty(0, int))) == []


def test_a_buffer_passes_on_when_full_or_asked() -> None:
    """In order, nothing twice."""
    taken: list[list[int]] = []
    buffer = Buffer(lambda columns: taken.append(columns.device.tolist()), most=3)
    reading = Reading(0, "power", 1.0, 1, 1, Quality.GOOD, Clock.DEVICE)
    buffer.add([reading._replace(device=1), reading._replace(device=2)])
    assert taken == []
    buffer.add([reading._replace(device=3), reading._replace(device=4)])
    assert taken == [[1, 2, 3, 4]]
    buffer.add([reading])
    buffer.flush()
    buffer.flush()
    assert taken == [[1, 2, 3, 4], [0]]
