"""What each kind of device measures, rounded as its sensor would: functions of which device, and when."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simulators import air, weather
from simulators.cabinet import Circuit, cabinet
from simulators.lighting import Lamps, Nights, Trouble, lamp
from simulators.noise import Floats, Keys
from simulators.power_and_radio import battery, last_boot, rssi
from simulators.supply import Main, supply
from simulators.water import Reach, water

Index = NDArray[np.int64]
"""Numbers of devices within their cohort."""
Values = dict[str, Floats]
"""By observed property, in canonical units."""
Measure = Callable[[Index, Floats], Values]
"""What these devices measure at these moments, one of each."""
Troubles = Mapping[int, Sequence[Trouble]]
"""What is wrong with a device (its number within the cohort) in the world; most have nothing."""

DECIMALS = {
    "power": 1, "energy": 3, "voltage": 1, "current": 3, "power_factor": 3, "dimming_level": 0, "lamp_on": 0,
    "lamp_failure": 0, "operating_hours": 1, "control_gear_temperature": 1, "frequency": 2, "apparent_power": 1,
    "reactive_power": 1, "leakage_current": 1, "door_open": 0,
    "water_temperature": 2, "ph": 2, "dissolved_oxygen": 2, "oxygen_saturation": 1, "salinity": 3, "conductivity": 1,
    "turbidity": 1, "turbidity_fnu": 1, "redox_potential": 0, "ammonium_nitrogen": 3, "nitrate_nitrogen": 3,
    "water_level": 3, "river_flow": 1,
    "flow": 2, "volume": 3, "pressure": 2, "residual_chlorine": 3, "supply_ph": 2, "supply_turbidity": 2,
    "supply_temperature": 1, "supply_conductivity": 0, "leak": 0,
    "pm1": 1, "pm2_5": 1, "pm10": 1, "co": 0, "no2": 1, "so2": 1, "o3": 1, "noise": 1,
    "air_temperature": 1, "relative_humidity": 1, "air_pressure": 1, "wind_speed": 1, "wind_direction": 0, "rain": 1,
    "battery": 0, "battery_voltage": 2, "rssi": 0, "uptime": 0,
}  # fmt: skip
"""Digits after the point that a sensor reports. Rounding also hides the last bits in which processors may differ."""
for _phase in ("l1", "l2", "l3"):
    DECIMALS |= {f"{name}_{_phase}": DECIMALS[name] for name in ("power", "voltage", "current", "power_factor")}


def rounded(values: Mapping[str, Floats]) -> Values:
    """Every value to its sensor's last digit; no value is the negative zero."""
    return {name: np.round(value, DECIMALS[name]) + 0.0 for name, value in values.items()}


def on_grid(function: Callable[[Floats], Floats], at: Floats, step: float) -> Floats:
    """A slow function at many close moments, computed at the marks of a fixed grid only and straight between them.

    The marks do not depend on which moments are asked together, so neither does the result.
    """
    mark = np.floor(at / step)
    marks, where = np.unique(mark, return_inverse=True)
    needed = np.unique(np.concatenate([marks, marks + 1.0]))
    known = function(needed * step)
    left = np.searchsorted(needed, marks)
    part = at / step - mark
    result: Floats = known[left][where] * (1.0 - part) + known[left + 1][where] * part
    return result


@dataclass
class LampColumns:
    """The lamps of one schedule, in columns; everything but ``troubles`` and ``nights`` has one entry a lamp."""

    keys: Keys
    circuit: Keys
    rated: Floats
    place: Floats
    nights: Nights
    region: Keys
    troubles: Troubles = field(default_factory=dict)

    def lamps(self, index: Index) -> Lamps:
        """These lamps."""
        return Lamps(self.keys[index], self.circuit[index], self.nights, self.rated[index], self.place[index])


def lamp_signal(columns: LampColumns) -> Measure:
    """Lamp controllers."""
    troubled = np.array(sorted(columns.troubles), dtype=np.int64)

    def measure(index: Index, at: Floats) -> Values:
        warm = on_grid(lambda mark: weather.air_temperature(mark, columns.region, columns.region), at, 600.0)
        found = dict(lamp(at, columns.lamps(index), warm))
        for number in troubled[np.isin(troubled, index)]:
            rows = index == number
            again = lamp(at[rows], columns.lamps(index[rows]), warm[rows], columns.troubles[int(number)])
            for name, value in again.items():
                found[name] = found[name].copy()
                found[name][rows] = value
        keys = columns.keys[index]
        return rounded(found | {"rssi": rssi(at, keys), "uptime": at - last_boot(at, keys)})

    return measure


def lamp_power_supply(
    columns: LampColumns, with_circuit: bool, lost: Sequence[Trouble]
) -> Callable[[Index, Floats], NDArray[np.bool_]] | None:
    """Whether lamp controllers have power: not by day where the feeder is cut, and not while the circuit is lost."""
    if not with_circuit and not lost:
        return None

    def powered(index: Index, at: Floats) -> NDArray[np.bool_]:
        live = np.ones(index.shape, dtype=np.bool_)
        if with_circuit:
            live &= columns.nights.is_night(at)
        for trouble in lost:
            live &= (at < trouble.start) | (at >= trouble.stop)
        return live

    return powered


def _one_by_one(index: Index, at: Floats, single: Callable[[int, Floats], Mapping[str, Floats]]) -> Values:
    """Kinds with few devices: each is computed alone."""
    found: Values = {}
    for number in np.unique(index):
        rows = index == number
        for name, value in single(int(number), at[rows]).items():
            found.setdefault(name, np.empty(at.shape))[rows] = value
    return rounded(found)


def cabinet_signal(circuits: Sequence[Circuit], region: Keys) -> Measure:
    """Lighting cabinets."""

    def single(number: int, at: Floats) -> Mapping[str, Floats]:
        circuit = circuits[number]
        itself = {"rssi": rssi(at, circuit.key), "uptime": at - last_boot(at, circuit.key)}
        return {**cabinet(at, circuit, region), **itself}

    return lambda index, at: _one_by_one(index, at, single)


def water_signal(reaches: Sequence[Reach], region: Keys) -> Measure:
    """Stations on rivers and canals."""

    def single(number: int, at: Floats) -> Mapping[str, Floats]:
        reach = reaches[number]
        return {**water(at, region, reach), **battery(at, reach.keys), "rssi": rssi(at, reach.keys)}

    return lambda index, at: _one_by_one(index, at, single)


def tap_signal(mains: Sequence[Main], troubles: Troubles) -> Measure:
    """Stations in the piped network."""

    def single(number: int, at: Floats) -> Mapping[str, Floats]:
        keys = mains[number].keys
        itself = {"rssi": rssi(at, keys), "battery": battery(at, keys)["battery"]}
        return {**supply(at, mains[number], troubles.get(number, ())), **itself}

    return lambda index, at: _one_by_one(index, at, single)


@dataclass(frozen=True)
class AirSite:
    """Where an air station stands."""

    keys: Keys
    scale: float = 0.8
    """PM against the city of the record."""
    straw: float = 0.0
    """Strength of straw burning around it."""
    rain: float = 1.0


def air_signal(sites: Sequence[AirSite], region: Keys) -> Measure:
    """Air and weather stations."""

    def single(number: int, at: Floats) -> Mapping[str, Floats]:
        site = sites[number]
        particles = air.particles(at, region, site.keys, site.scale, site.straw)
        return {
            **particles,
            **air.gases(at, site.keys, particles["pm2_5"]),
            "noise": air.noise_level(at, site.keys),
            "air_temperature": weather.air_temperature(at, region, site.keys),
            "relative_humidity": weather.relative_humidity(at, region, site.keys),
            "air_pressure": weather.air_pressure(at, region),
            "wind_speed": weather.wind_speed(at, region, site.keys),
            "wind_direction": weather.wind_direction(at, region, site.keys) % 360.0,
            "rain": weather.rain_counter(at, region, site.rain),
            "battery": battery(at, site.keys)["battery"],
            "rssi": rssi(at, site.keys),
        }

    return lambda index, at: _one_by_one(index, at, single)
