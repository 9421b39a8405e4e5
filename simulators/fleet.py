"""The fleet of a scenario: cohorts of devices that do not exist, and the CSV that registers them as simulated."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from devices.fleet_row import FleetRow
from devices.profile import shipped_profiles
from simulators import signals
from simulators.cabinet import Circuit
from simulators.device import Cohort
from simulators.faults import WORLD, Fault, spells_of
from simulators.lighting import Schedule, Trouble, nights
from simulators.noise import Keys, keys_of
from simulators.scenario import AirStation, Scenario, Station, Street, TapStation, WaterStation
from simulators.supply import Main
from simulators.water import Reach

COLUMNS = tuple(FleetRow.model_fields)


class Fleet(NamedTuple):
    """Everything a scenario simulates."""

    scenario: Scenario
    seed: int
    cohorts: tuple[Cohort, ...]

    def __len__(self) -> int:
        return sum(len(cohort.names) for cohort in self.cohorts)

    def rows(self) -> Iterator[FleetRow]:
        """Every device, as the registry is told."""
        for cohort in self.cohorts:
            for number in range(len(cohort.names)):
                yield cohort.row(number)


def _keys(seed: int, names: Sequence[str]) -> Keys:
    return np.concatenate([keys_of(seed, "device", name) for name in names])


def _troubles(faults: Sequence[Fault], name: str, seed: int, until: float) -> tuple[Trouble, ...]:
    return tuple(
        Trouble(fault.kind, spell.start, spell.stop, spell.size)
        for fault, spell in spells_of(faults, name, seed, 0, until)
    )


def build(scenario: Scenario, seed: int, until: float) -> Fleet:
    """Put a scenario's devices together.

    Args:
        until: faults of the world are drawn up to here; what happens later changes nothing before it.
    """
    region = keys_of(seed, "region")
    world = [fault for fault in scenario.fault if fault.kind in WORLD]
    cohorts: list[Cohort] = []
    circuits: list[Circuit] = []
    for street in scenario.street:
        lamps, circuit = _street(scenario, street, region, world, seed, until)
        cohorts.append(lamps)
        circuits.append(circuit)
    if circuits:
        cohorts.append(_cabinets(scenario, circuits, region, seed))
    if scenario.water:
        cohorts.append(_water(scenario, scenario.water, region, seed))
    if scenario.air:
        cohorts.append(_air(scenario, scenario.air, region, seed))
    if scenario.tap:
        troubles = [_troubles(world, station.device, seed, until) for station in scenario.tap]
        cohorts.append(_taps(scenario, scenario.tap, troubles, seed))
    return Fleet(scenario, seed, tuple(cohorts))


def along(path: Sequence[tuple[float, float]], shares: Sequence[float]) -> list[tuple[float, float]]:
    """Points along a line of corners, each at a share of its length."""
    corners = np.array(path)
    steps = np.hypot(*(np.diff(corners, axis=0) * [1.0, np.cos(np.radians(corners[0, 0]))]).T)
    place = np.concatenate([np.zeros(1), np.cumsum(steps)]) / steps.sum()
    points = np.stack([np.interp(shares, place, corners[:, axis]) for axis in (0, 1)], axis=1).round(6)
    return [(latitude, longitude) for latitude, longitude in points.tolist()]


def _street(
    scenario: Scenario, street: Street, region: Keys, world: Sequence[Fault], seed: int, until: float
) -> tuple[Cohort, Circuit]:
    numbers = range(street.first, street.first + street.lamps)
    names = [f"lamp-{number:03d}" for number in numbers]
    shares = [(place + 0.5) / street.lamps for place in range(street.lamps)]
    points = along(street.path, shares)
    keys, circuit_key = _keys(seed, names), keys_of(seed, "device", street.cabinet)
    troubles = {number: found for number, name in enumerate(names) if (found := _troubles(world, name, seed, until))}
    of_circuit = _troubles(world, street.cabinet, seed, until)
    lost = tuple(trouble for trouble in of_circuit if trouble.kind == "circuit_loss")
    if lost:
        troubles = {number: (*troubles.get(number, ()), *lost) for number in range(len(names))}
    burning = street.burning
    schedule = Schedule(burning.on_after_sunset, burning.off_before_sunrise, burning.steps, burning.first_level)
    columns = signals.LampColumns(
        keys,
        np.repeat(circuit_key, len(names)),
        np.full(len(names), street.rated_watts),
        np.array(shares),
        nights(schedule, *street.path[0]),
        region,
        troubles,
    )

    def row(number: int) -> FleetRow:
        return FleetRow(
            device=names[number],
            profile="native_streetlight",
            commune=street.commune,
            legacy_commune=street.legacy_commune,
            zone=street.zone,
            group=street.cabinet,
            name=f"Đèn {numbers[number]}, {street.name}",
            latitude=points[number][0],
            longitude=points[number][1],
            interval_seconds=scenario.interval.lamp,
            powered=street.powered,
            simulated=True,
        )

    cohort = Cohort(
        kind="lamp",
        profile=shipped_profiles()["native_streetlight"],
        interval=scenario.interval.lamp,
        names=names,
        communes=[street.commune] * len(names),
        keys=keys,
        measure=signals.lamp_signal(columns),
        row=row,
        powered=signals.lamp_power_supply(columns, street.powered == "with_circuit", lost),
    )
    single = [columns.lamps(np.array([number])) for number in range(len(names))]
    own = [tuple(t for t in troubles.get(number, ()) if t.kind != "circuit_loss") for number in range(len(names))]
    return cohort, Circuit(circuit_key, list(zip(single, own, strict=True)), of_circuit)


def _cabinets(scenario: Scenario, circuits: Sequence[Circuit], region: Keys, seed: int) -> Cohort:
    streets = scenario.street
    names = [street.cabinet for street in streets]

    def row(number: int) -> FleetRow:
        street = streets[number]
        return FleetRow(
            device=street.cabinet,
            profile="native_lamp_cabinet",
            commune=street.commune,
            legacy_commune=street.legacy_commune,
            zone=street.zone,
            group=street.cabinet,
            name=street.cabinet_name,
            latitude=street.path[0][0],
            longitude=street.path[0][1],
            interval_seconds=scenario.interval.cabinet,
            simulated=True,
        )

    return Cohort(
        kind="cabinet",
        profile=shipped_profiles()["native_lamp_cabinet"],
        interval=scenario.interval.cabinet,
        names=names,
        communes=[street.commune for street in streets],
        keys=_keys(seed, names),
        measure=signals.cabinet_signal(circuits, region),
        row=row,
    )


def _single(
    kind: str,
    profile: str,
    stations: Sequence[Station],
    measure: signals.Measure,
    interval: int,
    seed: int,
    leave_out: dict[int, tuple[str, ...]],
) -> Cohort:
    names = [station.device for station in stations]

    def row(number: int) -> FleetRow:
        station = stations[number]
        return FleetRow(
            device=station.device,
            profile=profile,
            commune=station.commune,
            legacy_commune=station.legacy_commune,
            zone=station.zone,
            name=station.name,
            latitude=station.position[0],
            longitude=station.position[1],
            interval_seconds=interval,
            simulated=True,
        )

    return Cohort(
        kind=kind,
        profile=shipped_profiles()[profile],
        interval=interval,
        names=names,
        communes=[station.commune for station in stations],
        keys=_keys(seed, names),
        measure=measure,
        row=row,
        leave_out=leave_out,
    )


def _water(scenario: Scenario, stations: Sequence[WaterStation], region: Keys, seed: int) -> Cohort:
    reaches = [Reach(keys_of(seed, "device", s.device), s.kind, s.tide, s.salt, scenario.rain) for s in stations]
    left = {number: station.leave_out for number, station in enumerate(stations) if station.leave_out}
    measure = signals.water_signal(reaches, region)
    return _single("water", "native_water_station", stations, measure, scenario.interval.water, seed, left)


def _air(scenario: Scenario, stations: Sequence[AirStation], region: Keys, seed: int) -> Cohort:
    sites = [signals.AirSite(keys_of(seed, "device", s.device), s.scale, s.straw, scenario.rain) for s in stations]
    left = {number: station.leave_out for number, station in enumerate(stations) if station.leave_out}
    measure = signals.air_signal(sites, region)
    return _single("air", "native_air_station", stations, measure, scenario.interval.air, seed, left)


def _taps(
    scenario: Scenario, stations: Sequence[TapStation], troubles: Sequence[Sequence[Trouble]], seed: int
) -> Cohort:
    mains = [Main(keys_of(seed, "device", s.device), s.mean_flow, s.plant_pressure) for s in stations]
    measure = signals.tap_signal(mains, dict(enumerate(troubles)))
    return _single("tap", "native_tap_water", stations, measure, scenario.interval.tap, seed, {})


def write_csv(fleet: Fleet, path: Path) -> int:
    """Write the fleet's CSV, whole or not at all, and return how many devices it has."""
    count = 0
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in fleet.rows():
            writer.writerow(_cell(getattr(row, name)) for name in COLUMNS)
            count += 1
    part.replace(path)
    return count


def csv_text(fleet: Fleet) -> str:
    """The fleet's CSV as text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(getattr(row, name)) for name in COLUMNS] for row in fleet.rows())
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else ""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return "; ".join(getattr(entry, "value", "") for entry in value)
    return value
