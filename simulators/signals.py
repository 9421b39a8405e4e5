"""What each kind of device measures, rounded as its sensor would: functions of which device, and when."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simulators import air, weather
from simulators.cabinet import Cabinets, cabinet
from simulators.lighting import Index, LampColumns, lamp
from simulators.noise import Floats, Keys
from simulators.power_and_radio import battery, last_boot, radio
from simulators.supply import Main, supply
from simulators.trouble import Trouble
from simulators.water import Reach, water

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
    "battery": 0, "battery_voltage": 2, "rssi": 0, "snr": 1, "link_quality": 0, "uptime": 0,
    "device_temperature": 1,
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


def lamp_signal(columns: LampColumns, region: Keys, *, with_circuit: bool) -> Measure:
    """Lamp controllers; ``with_circuit``: they start every evening, when their feeder is switched on."""

    def measure(index: Index, at: Floats) -> Values:
        warm = on_grid(lambda mark: weather.air_temperature(mark, region, region), at, 600.0)
        found = lamp(at, columns.lamps.select(index), warm)
        for number in columns.troubled(index):
            rows = index == number
            again = lamp(at[rows], columns.lamps.select(index[rows]), warm[rows], columns.wrong[number])
            for name, value in again.items():
                found[name][rows] = value
        keys = columns.lamps.keys[index]
        uptime = at - last_boot(at, keys)
        if with_circuit:
            uptime = np.minimum(uptime, at - columns.lamps.nights.switched_on(at))
        return rounded(found | radio(at, keys) | {"uptime": uptime})

    return measure


def _one_by_one(index: Index, at: Floats, single: Callable[[int, Floats], Mapping[str, Floats]]) -> Values:
    """Kinds with few devices: each is computed alone."""
    found: Values = {}
    for number in np.unique(index):
        rows = index == number
        for name, value in single(int(number), at[rows]).items():
            found.setdefault(name, np.empty(at.shape))[rows] = value
    return rounded(found)


def cabinet_signal(cabinets: Cabinets) -> Measure:
    """Lighting cabinets."""

    def measure(index: Index, at: Floats) -> Values:
        keys = cabinets.keys[index]
        warm = on_grid(lambda mark: weather.air_temperature(mark, cabinets.region, cabinets.region), at, 600.0)
        itself = {"uptime": at - last_boot(at, keys), "device_temperature": warm + 6.0}
        return rounded(cabinet(at, index, cabinets) | radio(at, keys) | itself)

    return measure


def water_signal(reaches: Sequence[Reach], region: Keys) -> Measure:
    """Stations on rivers and canals."""

    def single(number: int, at: Floats) -> Mapping[str, Floats]:
        reach = reaches[number]
        return {**water(at, region, reach), **battery(at, reach.keys), **radio(at, reach.keys)}

    return lambda index, at: _one_by_one(index, at, single)


def tap_signal(mains: Sequence[Main], troubles: Troubles) -> Measure:
    """Stations in the piped network."""

    def single(number: int, at: Floats) -> Mapping[str, Floats]:
        keys = mains[number].keys
        itself = radio(at, keys) | battery(at, keys)
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
            **battery(at, site.keys),
            **radio(at, site.keys),
            "uptime": at - last_boot(at, site.keys),
        }

    return lambda index, at: _one_by_one(index, at, single)
