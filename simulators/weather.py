"""Weather that does not exist: temperature, humidity, pressure, wind and rain of the province, with its storms."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulators.local_time import DAY, FIRST, HOUR, knots_for, local_hour, month_of, through_year
from simulators.noise import Floats, Keys, derive, normal, uniform, wander

TEMPERATURE_MONTH = (16.5, 17.5, 20.0, 23.7, 27.2, 29.0, 29.3, 28.6, 27.4, 24.8, 21.4, 18.0)
"""Monthly means [Cel]. Chosen after the climate of Hai Duong (annual mean 23.3 Cel)."""
HUMIDITY_MONTH = (84.0, 89.0, 91.0, 90.0, 86.0, 83.0, 83.0, 87.0, 86.0, 82.0, 80.0, 79.0)
"""Monthly means [%]; drizzle keeps February to April near saturation. Chosen; annual mean 85 to 87 % is published."""
STORM_CHANCE = (0.03, 0.04, 0.05, 0.08, 0.14, 0.18, 0.20, 0.22, 0.18, 0.10, 0.05, 0.03)
"""Chance that a rainstorm begins within one six-hour cell, January to December. Chosen: 1,300 to 1,700 mm a year."""

_TEMPERATURE, _HUMIDITY = knots_for(TEMPERATURE_MONTH), knots_for(HUMIDITY_MONTH)
_CHANCE = np.array(STORM_CHANCE)
_CELL = 6 * HOUR
_LONGEST = 36 * HOUR
"""No storm rains longer."""


class Storms(NamedTuple):
    """Rainstorms near some moments; every array has one axis more than the moments, over the candidates."""

    age: Floats
    """Seconds since the storm began; negative before."""
    amount: Floats
    """Rain it brings [mm]; 0 where no storm began."""
    duration: Floats
    """Seconds it rains."""


def storms(at: Floats, region: Keys, back_seconds: float, scale: float = 1.0) -> Storms:
    """The storms that began within ``back_seconds`` before each moment.

    Args:
        region: one key for everything under the same sky.
        scale: multiplies the rain of every storm, for scenarios.
    """
    cells = int(back_seconds // _CELL) + 2
    cell = np.floor(at / _CELL).astype(np.int64)[..., None] - np.arange(cells, dtype=np.int64)
    begin, amount, duration = _of_cells(cell, region[..., None], scale)
    return Storms(at[..., None] - begin, amount, duration)


def _of_cells(cell: NDArray[np.int64], region: Keys, scale: float) -> tuple[Floats, Floats, Floats]:
    """When the storm of each cell begins, the rain it brings [mm], and for how long."""
    begin = (cell + uniform(derive(region, "storm begin"), cell)) * _CELL
    month, _ = month_of(begin)
    happens = uniform(derive(region, "storm"), cell) < _CHANCE[month % 12]
    size = normal(derive(region, "storm amount"), cell)
    amount = 6.2 * np.exp(0.9 * size) * scale
    # More rain takes longer, but not in proportion: the heaviest storms are also the most intense.
    duration = 1.8 * HOUR * np.exp(0.4 * size + 0.35 * normal(derive(region, "storm duration"), cell))
    return begin, np.where(happens, amount, 0.0), np.minimum(duration, _LONGEST)


def rain_rate(at: Floats, region: Keys, scale: float = 1.0) -> Floats:
    """Rain [mm/h]: every storm rises and falls as the square of a sine."""
    found = storms(at, region, _LONGEST, scale)
    share = np.clip(found.age / found.duration, 0.0, 1.0)
    wave = 2.0 * np.sin(np.pi * share) ** 2 * HOUR / found.duration
    result: Floats = (found.amount * wave).sum(axis=-1)
    return result


@lru_cache(maxsize=64)
def _fallen_before(region: int, scale: float) -> Floats:
    """Rain of all cells before each cell since ``FIRST``, twenty years [mm]."""
    cell = np.arange(int(FIRST // _CELL), int((FIRST + 20 * 366 * DAY) // _CELL), dtype=np.int64)
    amount = _of_cells(cell, np.array([region], dtype=np.uint64), scale)[1]
    return np.concatenate([np.zeros(1), np.cumsum(amount)])


def rain_counter(at: Floats, region: Keys, scale: float = 1.0) -> Floats:
    """Rain since ``FIRST`` [mm]: a gauge that only counts up."""
    cells = int(_LONGEST // _CELL) + 2
    cell = np.floor(at / _CELL).astype(np.int64)[..., None] - np.arange(cells, dtype=np.int64)
    begin, amount, duration = _of_cells(cell, region[..., None], scale)
    share = np.clip((at[..., None] - begin) / duration, 0.0, 1.0)
    fallen = share - np.sin(2.0 * np.pi * share) / (2.0 * np.pi)
    older = np.maximum(cell[..., -1] - int(FIRST // _CELL), 0)
    before: Floats = _fallen_before(int(region.flat[0]), scale)[older]
    result: Floats = before + (amount * fallen).sum(axis=-1)
    return result


def wetness(at: Floats, region: Keys, rise_seconds: float, decay_seconds: float, scale: float = 1.0) -> Floats:
    """How strongly water still answers to past rain: 1 is the peak after a storm of 30 mm."""
    found = storms(at, region, 5 * decay_seconds, scale)
    age = np.maximum(found.age, 0.0)
    answer = (1.0 - np.exp(-age / rise_seconds)) * np.exp(-age / decay_seconds)
    peak_age = rise_seconds * np.log1p(decay_seconds / rise_seconds)
    peak = (1.0 - np.exp(-peak_age / rise_seconds)) * np.exp(-peak_age / decay_seconds)
    result: Floats = (found.amount / 30.0 * answer / peak).sum(axis=-1)
    return result


def _daily(at: Floats) -> Floats:
    """Between -1 and 1: least at 05:30, most at 14:00, falling more slowly than it rose; mean 0."""
    since_dawn = (local_hour(at) - 5.5) % 24.0
    turn = np.where(since_dawn < 8.5, since_dawn / 8.5 - 1.0, (since_dawn - 8.5) / 15.5)
    wave: Floats = np.cos(np.pi * turn)
    return wave


def season_temperature(at: Floats) -> Floats:
    """The monthly means as a smooth curve [Cel]."""
    return through_year(at, _TEMPERATURE)


def synoptic(at: Floats, region: Keys) -> Floats:
    """Warm and cold spells of some days, standard deviation 1."""
    return wander(at, 2.5 * DAY, derive(region, "synoptic"))


def air_temperature(at: Floats, region: Keys, site: Keys) -> Floats:
    """Air temperature [Cel]; cold spells are stronger in winter, clear days wider than cloudy ones."""
    season = season_temperature(at)
    spells = synoptic(at, region) * np.interp(season, (16.0, 29.0), (2.4, 1.1))
    clear = wander(at, 1.5 * DAY, derive(region, "cloud"), levels=5)
    amplitude = 3.5 + 0.7 * np.clip(clear, -2.0, 2.0)
    local = 0.35 * wander(at, 0.7 * HOUR, derive(site, "temperature"), levels=5)
    return season + spells + amplitude * _daily(at) + local - 1.5 * np.minimum(rain_rate(at, region) / 10.0, 2.0)


def relative_humidity(at: Floats, region: Keys, site: Keys) -> Floats:
    """Relative humidity [%], the mirror of the day's temperature; near saturation in rain."""
    clear = wander(at, 1.5 * DAY, derive(region, "cloud"), levels=5)
    amplitude = 10.0 + 2.0 * np.clip(clear, -2.0, 2.0)
    slow = 4.0 * wander(at, 2.0 * DAY, derive(region, "humidity"), levels=5)
    local = 1.0 * wander(at, 0.7 * HOUR, derive(site, "humidity"), levels=5)
    dry = through_year(at, _HUMIDITY) + slow + local - amplitude * _daily(at)
    return np.clip(dry + 8.0 * np.minimum(rain_rate(at, region) / 5.0, 1.5), 38.0, 100.0)


def air_pressure(at: Floats, region: Keys) -> Floats:
    """Air pressure [hPa]: high in winter, low in summer, with the tropics' two waves a day."""
    season = 1010.0 - (season_temperature(at) - 23.3) * 1.25
    tides = 1.3 * np.cos((local_hour(at) - 9.5) * (4.0 * np.pi / 24.0))
    return season + tides - 1.8 * synoptic(at, region) + 1.2 * wander(at, DAY, derive(region, "pressure"), levels=5)


def wind_speed(at: Floats, region: Keys, site: Keys) -> Floats:
    """Wind [m/s], stronger by day and in storms."""
    gusts = wander(at, 0.3 * HOUR, derive(site, "wind"), levels=5)
    base = np.exp(0.45 * wander(at, 0.6 * DAY, derive(region, "wind"), levels=5) + 0.25 * gusts)
    return 1.6 * base * (1.0 + 0.35 * _daily(at)) + 0.25 * np.minimum(rain_rate(at, region), 40.0) ** 0.5


def wind_direction(at: Floats, region: Keys, site: Keys) -> Floats:
    """Where the wind comes from [deg]: north-east in the winter monsoon, south-east in summer."""
    season = np.interp(season_temperature(at), (16.5, 29.3), (45.0, 135.0))
    turn = 35.0 * wander(at, 0.8 * DAY, derive(region, "direction"), levels=5)
    local = 12.0 * wander(at, 0.2 * HOUR, derive(site, "direction"), levels=5)
    return (season + turn + local) % 360.0
