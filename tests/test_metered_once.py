"""Sums over circuits, zones and communes count each watt once: at the circuit's meter, or at its lamps."""

import numpy as np
import pytest

from devices.fleet_row import FleetRow
from devices.registry import Registry
from devices.rollup_names import ADDS_UP
from gateway.analytics.columns import FleetTables
from gateway.analytics.fleet_lighting import metered_once
from gateway.analytics.windows import DAY, HOUR
from tests.test_rollups import AIR, LAMP, MINUTE, START, Run, profile, reading

CABINET = profile(
    "cabinet",
    "streetlight",
    '{ name = "power", unit = "W", high = 3000.0 }, { name = "energy", unit = "kW.h", counter = true },'
    '{ name = "power_l1", unit = "W" }, { name = "current", unit = "A" }',
)
WATCH = profile("watch", "streetlight", '{ name = "power", unit = "W" }, { name = "door_open", unit = "1" }')
"""A cabinet that does not count energy."""
FLEET = [
    ("lamp-1", "lamp", "north", "metered"),
    ("lamp-2", "lamp", "south", "metered"),
    ("meter-1", "cabinet", "north", "metered"),
    ("lamp-3", "lamp", "north", "plain"),
    ("lamp-4", "lamp", "north", "plain"),
    ("named", "lamp", "south", "named"),  # a single-phase meter, known by its name
    ("lamp-5", "lamp", "south", "named"),
    ("meter-2", "cabinet", "south", "dumb"),  # lamps that say nothing themselves
    ("watch-1", "watch", "south", "watched"),
    ("lamp-6", "lamp", "south", "watched"),
    ("lamp-7", "lamp", "", ""),
    ("meter-3", "cabinet", "", ""),
]
WATTS = [60.0, 80.0, 150.0, 50.0, 70.0, 45.0, 40.0, 900.0, 33.0, 30.0, 20.0, 500.0]
GROUP, ZONE = "streetlight_group_hour,commune=1,group=", "streetlight_zone_hour,commune=1,zone="
COMMUNE = "streetlight_commune_hour,commune=1"


def fleet() -> Registry:
    """Circuits with and without a meter, and with one that does not measure everything."""
    rows = [FleetRow(device=d, profile=p, commune="1", zone=z, group=g) for d, p, z, g in FLEET]
    return Registry.of(rows, [LAMP, CABINET, WATCH, AIR])


@pytest.fixture
def run() -> Run:
    """An hour in which every device has told its power twice, and counted a thousandth of it."""
    run = Run(fleet())
    for minutes in (10, 40):
        for device, watts in enumerate(WATTS):
            at = START + minutes * MINUTE
            run.observe(reading(device, "power", watts + (minutes - 25), at))
            if FLEET[device][1] != "watch":
                run.observe(reading(device, "energy", 5.0 + (minutes - 10) / 30 * watts / 1000, at))
    return run


def sums(run: Run, at: int = START) -> dict[str, float]:
    """Of every scope its power."""
    return {
        name: run.line(head + name, at)["power_sum"]
        for head, names in ((GROUP, ("metered", "plain", "named", "dumb", "watched")), (ZONE, ("north", "south")))
        for name in names
    } | {"commune": run.line(COMMUNE, at)["power_sum"]}


def test_power_is_the_meters_where_there_is_one(run: Run) -> None:
    """And the lamps' elsewhere; a zone has what is metered in it, and a device of no group stands for itself."""
    run.advance(START + 2 * HOUR)
    groups = {"metered": 150.0, "plain": 120.0, "named": 45.0, "dumb": 900.0, "watched": 33.0}
    assert sums(run) == groups | {"north": 270.0, "south": 978.0, "commune": 270.0 + 978.0 + 520.0}


def test_energy_is_counted_once_by_whoever_counts_it(run: Run) -> None:
    """The cabinet that counts no energy leaves its lamps to count."""
    run.advance(START + 2 * HOUR)
    seen = {name: run.line(GROUP + name, START)["energy_increase"] for name in ("metered", "plain", "named", "watched")}
    assert seen == pytest.approx({"metered": 0.15, "plain": 0.12, "named": 0.045, "watched": 0.03})
    commune = run.line(COMMUNE, START)
    assert commune["energy_increase"] == pytest.approx(0.15 + 0.12 + 0.045 + 0.9 + 0.03 + 0.02 + 0.5)
    assert (commune["energy_devices"], commune["energy_count"]) == (8, 16)


def test_the_mean_is_that_of_a_lamp(run: Run) -> None:
    """No meter is in it, whatever it measures; what is heard of a scope and its worst quality are of all."""
    run.advance(START + 2 * HOUR)
    metered = run.line(GROUP + "metered", START)
    assert [metered[f"power_{name}"] for name in ("mean", "min", "max", "count", "devices")] == [70, 45, 95, 4, 2]
    assert (metered["devices"], metered["devices_expected"]) == (3, 3)
    commune = run.line(COMMUNE, START)
    lamps = [60.0, 80.0, 50.0, 70.0, 40.0, 30.0, 20.0]
    assert commune["power_mean"] == pytest.approx(sum(lamps) / len(lamps))
    assert (commune["devices"], commune["devices_expected"]) == (12, 12)
    dumb = run.line(GROUP + "dumb", START)
    assert "power_mean" not in dumb
    assert (dumb["power_count"], dumb["power_sum"], dumb["power_quality"], dumb["devices"]) == (0, 900, 1, 1)


def test_a_silent_meter_is_not_replaced_by_its_lamps(run: Run) -> None:
    """Its counter shows the missing hour when it is heard again, so the lamps' would be counted twice."""
    for device in (0, 1):
        for minutes, energy in ((70, 5.2), (110, 5.3)):
            run.observe(reading(device, "power", 60.0, START + minutes * MINUTE))
            run.observe(reading(device, "energy", energy, START + minutes * MINUTE))
    run.observe(reading(2, "energy", 6.25, START + 130 * MINUTE))
    run.advance(START + DAY + 2 * HOUR)
    silent = run.line(GROUP + "metered", START + HOUR)
    assert silent["power_mean"] == 60
    assert "power_sum" not in silent
    assert "energy_increase" not in silent
    assert run.line(GROUP + "metered", START + 2 * HOUR)["energy_increase"] == pytest.approx(1.1)
    day = run.line("streetlight_group_day,commune=1,group=metered", START)
    assert day["energy_increase"] == pytest.approx(1.25)


@pytest.mark.parametrize("restart", [False, True])
def test_a_late_reading_mends_the_sums_by_the_same_rule(run: Run, restart: bool) -> None:
    """Of the meter it changes the sum, of a lamp the mean."""
    run.advance(START + 3 * HOUR)
    if restart:
        run.restart()
    run.observe(reading(2, "power", 300.0, START + 55 * MINUTE, late=3 * HOUR))
    run.observe(reading(0, "power", 90.0, START + 55 * MINUTE, late=3 * HOUR))
    run.advance(START + 5 * HOUR)
    metered = run.line(GROUP + "metered", START)
    assert (metered["power_sum"], metered["power_mean"], metered["power_max"]) == (200.0, 75.0, 95.0)
    assert run.line(COMMUNE, START)["power_sum"] == 270.0 + 978.0 + 520.0 + 50.0


def test_a_lamp_gives_way_only_where_its_meter_measures_the_same() -> None:
    """Property by property; without a named circuit never."""
    tables = FleetTables(fleet())
    once = metered_once(tables, ADDS_UP)
    power, energy, current = (once[:, ADDS_UP.index(name)] for name in ("power", "energy", "current"))
    names = [name for name, *_ in FLEET]
    assert [names[n] for n in np.flatnonzero(~power)] == ["lamp-1", "lamp-2", "lamp-5", "lamp-6"]
    assert [names[n] for n in np.flatnonzero(~energy)] == ["lamp-1", "lamp-2", "lamp-5"]
    assert [names[n] for n in np.flatnonzero(~current)] == ["lamp-1", "lamp-2"]
