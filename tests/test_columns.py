"""Readings as columns, and the fleet's tables."""

import random

import numpy as np
import pytest

from devices.fleet_row import FleetRow
from devices.profile import parse_profile
from devices.quality import Clock, Quality
from devices.registry import Registry
from gateway.analytics.columns import PROPERTY_NUMBER, Buffer, Columns, FleetTables, columns_of, in_rounds
from gateway.analytics.packed import match
from gateway.analytics.series import SeriesNumbers
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


def test_series_are_numbered_property_by_property() -> None:
    """What no device of a profile sends stands together, and is never touched; both ways."""
    tables = fleet([("a", "one"), ("b", "two"), ("c", "one")])
    power, voltage, energy = (PROPERTY_NUMBER[name] for name in ("power", "voltage", "energy"))
    device, prop = np.array([0, 1, 1, 2, 0]), np.array([voltage, energy, voltage, power, energy])
    columns = Columns(device, prop, np.zeros(5), np.zeros(5, int), np.zeros(5, int), np.ones(5, np.uint8))
    assert tables.series(columns).tolist() == [2, 4, 6, 1, -1]
    assert tables.device_of_series(np.arange(7)).tolist() == [0, 2, 0, 2, 1, 1, 1]
    assert tables.property_of_series(np.arange(7)).tolist() == [power, power, voltage, voltage, energy, power, voltage]
    assert [tables.series_of(2, 0), tables.series_of(1, 2), tables.series_count] == [1, 6, 7]


def test_profiles_without_devices_or_properties_have_no_series() -> None:
    """Their blocks are empty, wherever they stand."""
    numbers = SeriesNumbers(np.array([3, 1, 3]), np.array([2, 1, 0, 2, 4]))
    every = np.arange(numbers.count)
    assert numbers.count == 5
    assert numbers.device(every).tolist() == [1, 0, 2, 0, 2]
    assert numbers.of(np.array([1, 0, 2, 0, 2]), np.array([0, 0, 0, 1, 1])).tolist() == every.tolist()


def test_series_of_a_changed_fleet_are_matched_by_name_and_profile() -> None:
    """A device may change its place; one whose profile changed begins anew."""
    old = fleet([("a", "one"), ("b", "two"), ("c", "one")])
    new = fleet([("c", "two"), ("x", "one"), ("b", "two"), ("a", "one")])
    # new: one x 0 2, a 1 3; two c 4 6 8, b 5 7 9; old: one a 0 2, c 1 3; two b 4 5 6
    shared = match(old.signature, new)
    assert [shared.devices_here.tolist(), shared.devices_there.tolist()] == [[3, 2], [0, 1]]
    pairs = zip(shared.series_here.tolist(), shared.series_there.tolist(), strict=True)
    assert sorted(pairs) == [(1, 0), (3, 2), (5, 4), (7, 5), (9, 6)]
    same = match(new.signature, new)
    assert same.series_here.tolist() == same.series_there.tolist() == list(range(10))
    assert match(fleet([]).signature, new).series_here.tolist() == []
    for wrong in (b"", b"[1]", old.signature[:-1], old.signature + b"x"):
        with pytest.raises((ValueError, TypeError)):
            match(wrong, new)


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
