"""Makes cohorts of a scenario's streets and stations: everything that can be computed together stands together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.fleet_row import FleetRow, HardwareId
from devices.profile import shipped_profiles
from simulators import signals
from simulators.burning import Nights, Schedule, nights
from simulators.cabinet import Cabinets
from simulators.device import Cohort
from simulators.faults import WORLD, Fault, fault_keys
from simulators.formats import NOT_SAID, PROFILES, hardware_id
from simulators.lighting import Index, LampColumns, Lamps
from simulators.local_time import FIRST
from simulators.noise import Floats, Keys, keys_of
from simulators.scenario import AirStation, Scenario, Station, Street, TapStation, WaterStation
from simulators.supply import Main
from simulators.trouble import Trouble, dark_moments, untangle, wrong
from simulators.water import Reach

Troubles = Mapping[int, tuple[Trouble, ...]]
"""What is wrong with single devices, by number."""
_CUTS = frozenset({"circuit_loss", "power_cut"})
"""What leaves a lamp without power."""
_OF_THE_CIRCUIT = _CUTS | {"bad_voltage", "day_burner"}
"""What a cabinet does to all its lamps."""


class Making(NamedTuple):
    """What every cohort is made with."""

    scenario: Scenario
    seed: int
    until: float
    """Faults of the world are drawn up to here; what happens later changes nothing before it."""
    region: Keys
    world: tuple[Fault, ...]

    @classmethod
    def of(cls, scenario: Scenario, seed: int, until: float) -> "Making":
        """For a scenario."""
        world = tuple(fault for fault in scenario.fault if fault.kind in WORLD)
        return cls(scenario, seed, until, keys_of(seed, "region"), world)

    def key(self, name: str) -> Keys:
        """The key of a device's noise."""
        return keys_of(self.seed, "device", name)

    def keys(self, names: Sequence[str]) -> Keys:
        """One key a device."""
        return np.concatenate([self.key(name) for name in names])

    def troubles(self, kind: str, names: Sequence[str]) -> dict[int, tuple[Trouble, ...]]:
        """What is wrong with these devices in the world, by number; most have nothing."""
        found: dict[int, list[Trouble]] = {}
        keys = fault_keys(self.seed, names) if self.world else self.region
        for fault in (fault for fault in self.world if fault.concerns(kind)):
            wrong_here: list[Trouble] = []
            for number in np.flatnonzero(fault.meets(names, keys)).tolist():
                if not (fault.together and wrong_here):
                    spells = fault.spells(keys[number : number + 1], FIRST, self.until)
                    wrong_here = [Trouble(fault.kind, *spell) for spell in spells]
                found.setdefault(number, []).extend(wrong_here)
        return {number: untangle(troubles) for number, troubles in found.items() if troubles}


def along(path: Sequence[tuple[float, float]], shares: Sequence[float]) -> list[tuple[float, float]]:
    """Points along a line of corners, each at a share of its length."""
    corners = np.array(path)
    steps = np.hypot(*(np.diff(corners, axis=0) * [1.0, np.cos(np.radians(corners[0, 0]))]).T)
    place = np.concatenate([np.zeros(1), np.cumsum(steps)]) / steps.sum()
    points = np.stack([np.interp(shares, place, corners[:, axis]) for axis in (0, 1)], axis=1).round(6)
    return [(latitude, longitude) for latitude, longitude in points.tolist()]


def lighting(making: Making, streets: Sequence[Street]) -> Iterator[Cohort]:
    """Lamps and cabinets: one cohort each for all streets that burn by the same nights and speak the same format."""
    groups: dict[tuple[int, str, str, str], list[Street]] = {}
    for street in streets:
        key = (id(_nights(street)), street.powered, street.format, street.cabinet_format)
        groups.setdefault(key, []).append(street)
    for group in groups.values():
        yield from _group(making, group)


def _nights(street: Street) -> Nights:
    burning = street.burning
    schedule = Schedule(burning.on_after_sunset, burning.off_before_sunrise, burning.steps, burning.first_level)
    # Sunset is the same to a minute within a quarter of a degree: near streets share their nights.
    return nights(schedule, *(round(degrees * 4) / 4 for degrees in street.path[0]))


class _Lamp(NamedTuple):
    street: Street
    number: int
    share: float
    """0 at the cabinet, 1 at the far end."""

    @property
    def name(self) -> str:
        return f"{self.street.prefix}lamp-{self.street.first + self.number:03d}"


def _group(making: Making, streets: Sequence[Street]) -> Iterator[Cohort]:
    lamps = [_Lamp(s, number, (number + 0.5) / s.lamps) for s in streets for number in range(s.lamps)]
    names = [lamp.name for lamp in lamps]
    counts = np.array([street.lamps for street in streets], dtype=np.int64)
    cabinet_names = [street.cabinet for street in streets]
    cabinet_keys, of_cabinet = making.keys(cabinet_names), making.troubles("cabinet", cabinet_names)
    of_lamp = _lamp_troubles(making.troubles("lamp", names), of_cabinet, counts, streets[0].powered)
    keys = making.keys(names)
    columns = LampColumns(
        Lamps(
            keys,
            np.repeat(cabinet_keys, counts),
            _nights(streets[0]),
            np.array([lamp.street.rated_watts for lamp in lamps]),
            np.array([lamp.share for lamp in lamps]),
        ),
        {number: wrong(dark_moments(troubles, keys[number : number + 1])) for number, troubles in of_lamp.items()},
    )
    cabinets = Cabinets(
        cabinet_keys,
        columns,
        np.cumsum(counts) - counts,
        counts,
        making.region,
        {number: wrong(troubles) for number, troubles in of_cabinet.items()},
    )
    yield _lamp_cohort(making, lamps, columns, of_lamp)
    yield _cabinet_cohort(making, streets, cabinets, of_cabinet)


def _lamp_troubles(
    own: dict[int, tuple[Trouble, ...]], of_cabinet: dict[int, tuple[Trouble, ...]], counts: Index, powered: str
) -> dict[int, tuple[Trouble, ...]]:
    """What is wrong with each lamp: its own troubles, and what its cabinet does. To a lamp, both cuts are one."""
    first = np.cumsum(counts) - counts
    found = dict(own)
    if powered == "with_circuit":
        # On a feeder that is dead by day no single lamp burns by day.
        found = {number: tuple(one for one in some if one.kind != "day_burner") for number, some in own.items()}
    for cabinet, troubles in of_cabinet.items():
        cut = tuple(trouble for trouble in troubles if trouble.kind in _OF_THE_CIRCUIT)
        for lamp in range(int(first[cabinet]), int(first[cabinet] + counts[cabinet])) if cut else ():
            found[lamp] = (*found.get(lamp, ()), *cut)
    # Lamps of one feeder often have the same troubles: those are untangled once.
    same = {troubles: _as_lamp(troubles) for troubles in set(found.values())}
    return {number: same[troubles] for number, troubles in found.items()}


def _as_lamp(troubles: Sequence[Trouble]) -> tuple[Trouble, ...]:
    return untangle(one._replace(kind="circuit_loss") if one.kind in _CUTS else one for one in troubles)


def _cuts(troubles: Troubles, kinds: frozenset[str]) -> Troubles:
    """When devices have no power."""
    cuts = {number: tuple(one for one in found if one.kind in kinds) for number, found in troubles.items()}
    return {number: found for number, found in cuts.items() if found}


def _lamp_cohort(making: Making, lamps: Sequence[_Lamp], columns: LampColumns, troubles: Troubles) -> Cohort:
    street = lamps[0].street
    profile, interval = PROFILES["lamp", street.format], making.scenario.interval.lamp
    with_circuit = street.powered == "with_circuit"

    def row(number: int) -> FleetRow:
        lamp = lamps[number]
        latitude, longitude = along(lamp.street.path, [lamp.share])[0]
        return _row(
            making, lamp.street, lamp.name, profile, interval,
            f"Đèn {lamp.street.first + lamp.number}, {lamp.street.name}", (latitude, longitude), lamp.street.format,
        ).model_copy(update={"group": lamp.street.cabinet, "powered": lamp.street.powered})  # fmt: skip

    return Cohort(
        kind="lamp",
        format=street.format,
        profile=shipped_profiles()[profile],
        interval=interval,
        names=[lamp.name for lamp in lamps],
        communes=[lamp.street.commune for lamp in lamps],
        hardware_ids=[hardware_id(street.format, lamp.name, making.seed) for lamp in lamps],
        keys=columns.lamps.keys,
        measure=signals.lamp_signal(columns, making.region, with_circuit=with_circuit),
        row=row,
        powered=_live(columns) if with_circuit else None,
        cuts=_cuts(troubles, _CUTS),
        troubles=troubles,
    )


def _live(columns: LampColumns) -> Callable[[Index, Floats], NDArray[np.bool_]]:
    """Whether the feeders are live that are switched off by day: at night, and while a contactor sticks."""

    def live(index: Index, at: Floats) -> NDArray[np.bool_]:
        found = columns.lamps.nights.is_night(at)
        for number in columns.troubled(index):
            if stuck := columns.wrong[number]["day_burner"]:
                rows = index == number
                found[rows] |= stuck.inside(at[rows])
        return found

    return live


def _cabinet_cohort(making: Making, streets: Sequence[Street], cabinets: Cabinets, troubles: Troubles) -> Cohort:
    format_ = streets[0].cabinet_format
    profile, interval = PROFILES["cabinet", format_], making.scenario.interval.cabinet

    def row(number: int) -> FleetRow:
        street = streets[number]
        found = _row(making, street, street.cabinet, profile, interval, street.cabinet_name, street.path[0], format_)
        return found.model_copy(update={"group": street.cabinet})

    return Cohort(
        kind="cabinet",
        format=format_,
        profile=shipped_profiles()[profile],
        interval=interval,
        names=[street.cabinet for street in streets],
        communes=[street.commune for street in streets],
        hardware_ids=[hardware_id(format_, street.cabinet, making.seed) for street in streets],
        keys=cabinets.keys,
        measure=signals.cabinet_signal(cabinets),
        row=row,
        cuts=_cuts(troubles, frozenset({"power_cut"})),
        troubles=troubles,
        without=NOT_SAID.get(("cabinet", format_), frozenset()),
    )


def _row(
    making: Making,
    place: Street | Station,
    device: str,
    profile: str,
    interval: int,
    name: str,
    position: tuple[float, float],
    format_: str,
) -> FleetRow:
    identity = hardware_id(format_, device, making.seed)
    return FleetRow(
        device=device,
        profile=profile,
        commune=place.commune,
        legacy_commune=place.legacy_commune,
        zone=place.zone,
        name=name,
        latitude=position[0],
        longitude=position[1],
        hardware_ids=(HardwareId(identity),) if identity else (),
        interval_seconds=interval,
        simulated=True,
    )


def stations(making: Making) -> Iterator[Cohort]:
    """Water, air and tap-water stations: one cohort each for all that speak the same format."""
    plan = making.scenario
    for format_ in dict.fromkeys(station.format for station in plan.water):
        waters = [station for station in plan.water if station.format == format_]
        yield _station_cohort(making, "water", waters, plan.interval.water, _water_signal(making, waters))
    for format_ in dict.fromkeys(station.format for station in plan.air):
        airs = [station for station in plan.air if station.format == format_]
        yield _station_cohort(making, "air", airs, plan.interval.air, _air_signal(making, airs))
    for format_ in dict.fromkeys(station.format for station in plan.tap):
        taps = [station for station in plan.tap if station.format == format_]
        yield _station_cohort(making, "tap", taps, plan.interval.tap, _tap_signal(making, taps))


def _water_signal(making: Making, waters: Sequence[WaterStation]) -> signals.Measure:
    rain = making.scenario.rain
    reaches = [Reach(making.key(one.device), one.kind, one.tide, one.salt, rain) for one in waters]
    return signals.water_signal(reaches, making.region)


def _air_signal(making: Making, airs: Sequence[AirStation]) -> signals.Measure:
    rain = making.scenario.rain
    sites = [signals.AirSite(making.key(one.device), one.scale, one.straw, rain) for one in airs]
    return signals.air_signal(sites, making.region)


def _tap_signal(making: Making, taps: Sequence[TapStation]) -> signals.Measure:
    mains = [Main(making.key(one.device), one.mean_flow, one.plant_pressure) for one in taps]
    return signals.tap_signal(mains, making.troubles("tap", [one.device for one in taps]))


def _station_cohort(
    making: Making, kind: str, found: Sequence[Station], interval: int, measure: signals.Measure
) -> Cohort:
    format_ = found[0].format
    profile = PROFILES[kind, format_]

    def row(number: int) -> FleetRow:
        station = found[number]
        return _row(making, station, station.device, profile, interval, station.name, station.position, format_)

    names = [station.device for station in found]
    troubles = making.troubles(kind, names)
    return Cohort(
        kind=kind,
        format=format_,
        profile=shipped_profiles()[profile],
        interval=interval,
        names=names,
        communes=[station.commune for station in found],
        hardware_ids=[hardware_id(format_, name, making.seed) for name in names],
        keys=making.keys(names),
        measure=measure,
        row=row,
        leave_out={number: station.leave_out for number, station in enumerate(found) if station.leave_out},
        cuts=_cuts(troubles, frozenset({"power_cut"})),
        troubles=troubles,
    )
