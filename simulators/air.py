"""Air that does not exist: particles with the months, hours and persistence of a measured record, and gases."""

from functools import lru_cache

import numpy as np

from simulators.local_time import (
    DAY,
    HOUR,
    between_months,
    knots_for,
    local_hour,
    month_hours,
    month_of,
    through_day,
    through_year,
)
from simulators.noise import Floats, Keys, derive, flicker, steady, uniform, wander
from simulators.weather import season_temperature

PM25_MONTH_MEDIAN = (58.1, 53.4, 44.3, 39.1, 28.4, 26.9, 22.2, 27.0, 44.3, 53.0, 42.1, 68.1)
"""Median of hourly PM2.5 [ug/m3], January to December.

Source: US Embassy Hanoi, hourly, December 2015 to June 2017, 11,601 valid hours; github.com/chuvanan/air-quality.
"""

PM25_HOUR = {
    "DJF": (1.04, 1.03, 0.99, 1.02, 1.0, 1.0, 1.03, 1.08, 1.03, 1.08, 1.10, 1.06,
            1.01, 0.94, 0.88, 0.83, 0.83, 0.84, 0.88, 0.97, 1.05, 1.12, 1.11, 1.08),
    "MAM": (0.91, 0.88, 0.86, 0.89, 0.92, 0.95, 0.96, 0.98, 1.05, 1.09, 1.16, 1.16,
            1.16, 1.13, 1.09, 1.03, 1.0, 0.98, 0.96, 0.99, 0.98, 0.98, 0.97, 0.91),
    "JJA": (1.04, 0.94, 0.83, 0.91, 0.95, 1.0, 1.03, 1.11, 1.15, 1.22, 1.18, 1.04,
            1.02, 0.91, 0.88, 0.79, 0.73, 0.73, 0.77, 0.87, 1.03, 1.27, 1.36, 1.23),
    "SON": (1.07, 1.02, 1.02, 1.14, 1.11, 1.13, 1.15, 1.22, 1.21, 1.21, 1.14, 0.97,
            0.88, 0.82, 0.74, 0.70, 0.68, 0.71, 0.78, 0.90, 1.04, 1.10, 1.13, 1.13),
}  # fmt: skip
"""Hourly mean over the season's mean, local hours 0 to 23. Source: the same record."""

PM25_LOG_SD = 0.72
"""Standard deviation of the logarithm of hourly values. Source: the same record."""

PM25_LOG_AUTOCORRELATION = {1: 0.928, 3: 0.807, 6: 0.682, 12: 0.589, 24: 0.571}
"""Of the logarithm of hourly values, by lag in hours. Source: the same record."""

SLOW_SD, SLOW_HOURS = 0.55, 46.0
"""Air masses that stay for days, the same over the whole province. Fitted to the autocorrelation above."""
FAST_SD, FAST_HOURS = 0.34, 2.2
"""What passes within hours, at one station. Fitted likewise."""

SEASON_OF_MONTH = ("DJF", "DJF", "MAM", "MAM", "MAM", "JJA", "JJA", "JJA", "SON", "SON", "SON", "DJF")
_SEASONS = ("DJF", "MAM", "JJA", "SON")
_HOURLY = np.array([np.log(PM25_HOUR[name]) - np.log(PM25_HOUR[name]).mean() for name in _SEASONS])
_SEASON_NUMBER = np.array([_SEASONS.index(name) for name in SEASON_OF_MONTH])
_MEDIAN = knots_for(np.log(PM25_MONTH_MEDIAN).tolist())


def _slow(at: Floats, region: Keys) -> Floats:
    return SLOW_SD * wander(at, SLOW_HOURS * HOUR, derive(region, "particles"))


@lru_cache(maxsize=4096)
def _spells(month: int, region: int) -> tuple[Floats, Floats]:
    """A month's hours, and the air masses over them before they are centred."""
    hours = month_hours(month)
    return hours, _slow(hours, np.array([region], dtype=np.uint64))


@lru_cache(maxsize=16384)
def _centre(month: int, region: int, passes: int = 4) -> float:
    """What to take away at the middle of a month, so that lines between the middles remove every month's median.

    A year has only some seven independent spells a month: left alone, one simulated January would be half as
    polluted as the next, and no year would look like the record. Each pass mends what the one before left over.
    """
    if passes == 0:
        return 0.0
    before, here, after = (_centre(month + step, region, passes - 1) for step in (-1, 0, 1))
    hours, spells = _spells(month, region)
    length = hours[-1] - hours[0]
    line = np.interp(hours, hours[0] + np.array([-0.5, 0.5, 1.5]) * length, (before, here, after))
    return here + 1.2 * float(np.median(spells - line))


def _centred(at: Floats, region: Keys) -> Floats:
    month, part = between_months(at)
    known = np.unique(np.concatenate([month.ravel(), month.ravel() + 1]))
    centres = np.array([_centre(int(number), int(region.flat[0])) for number in known])
    before = centres[np.searchsorted(known, month)]
    after = centres[np.searchsorted(known, month + 1)]
    return _slow(at, region) - (before * (1.0 - part) + after * part)


def _hour_shape(at: Floats) -> Floats:
    month, _ = month_of(at)
    season = _SEASON_NUMBER[month % 12]
    curves = np.stack([through_day(at, curve) for curve in _HOURLY])
    result: Floats = np.take_along_axis(curves, season[None, ...], axis=0)[0]
    return result


def straw_smoke(at: Floats, region: Keys, site: Keys, strength: float) -> Floats:
    """Smoke of burning rice straw [ug/m3 PM2.5]: evenings of late May and June, late September and October.

    Args:
        strength: 1 for an ordinary harvest; 0 for none.
    """
    if strength == 0.0:
        return np.zeros(np.broadcast_shapes(at.shape, site.shape))
    month, part = month_of(at)
    season = through_season(month % 12 + part, 4.6, 6.0) + through_season(month % 12 + part, 8.6, 10.0)
    evening = np.exp(-0.5 * ((local_hour(at) - 19.5) / 1.6) ** 2)
    day = np.floor((at + 7 * HOUR) / DAY).astype(np.int64)
    fires = uniform(derive(site, "straw"), day) ** 2 * 1.6 + 0.4 * uniform(derive(region, "straw"), day)
    return strength * 140.0 * season * evening * fires


def through_season(place: Floats, begin: float, end: float) -> Floats:
    """1 inside a part of the year (months with fraction), falling to 0 within half a month outside."""
    return np.clip(np.minimum(place - begin, end - place) / 0.5 + 1.0, 0.0, 1.0)


def pm2_5(at: Floats, region: Keys, site: Keys, scale: float = 1.0, straw: float = 0.0) -> Floats:
    """PM2.5 [ug/m3].

    Args:
        scale: a village against the city of the record (0.7 to 0.9 are plausible).
        straw: strength of straw burning.
    """
    fast = FAST_SD * wander(at, FAST_HOURS * HOUR, derive(site, "particles"))
    level = np.exp(through_year(at, _MEDIAN) + _hour_shape(at) + _centred(at, region) + fast)
    noise = 1.0 + 0.03 * flicker(at, derive(site, "particle counter"))
    return np.maximum((scale * level + straw_smoke(at, region, site, straw)) * noise, 1.0)


def particles(at: Floats, region: Keys, site: Keys, scale: float, straw: float) -> dict[str, Floats]:
    """PM1, PM2.5 and PM10 [ug/m3], each part of the next."""
    fine = pm2_5(at, region, site, scale, straw)
    coarse = 1.5 + 0.12 * wander(at, 6 * HOUR, derive(site, "coarse"), levels=5)
    very_fine = 0.68 + 0.03 * wander(at, 6 * HOUR, derive(site, "very fine"), levels=5)
    return {"pm1": fine * np.clip(very_fine, 0.5, 0.85), "pm2_5": fine, "pm10": fine * np.clip(coarse, 1.15, 2.0)}


def gases(at: Floats, site: Keys, fine: Floats) -> dict[str, Floats]:
    """CO, NO2, SO2 and O3 [ug/m3]. Levels and shapes chosen: traffic at 7 and 18 h, ozone in the early afternoon."""
    hour = local_hour(at)
    traffic = np.exp(-0.5 * ((hour - 7.0) / 1.3) ** 2) + np.exp(-0.5 * ((hour - 18.0) / 1.6) ** 2)
    sunny = np.clip(np.cos((hour - 13.5) * (2.0 * np.pi / 24.0)), 0.0, 1.0)
    warm = np.interp(season_temperature(at), (16.5, 29.3), (0.7, 1.2))
    spell = {
        name: np.exp(0.3 * wander(at, 8 * HOUR, derive(site, name), levels=5)) for name in ("co", "no2", "so2", "o3")
    }
    return {
        "co": (350.0 + 9.0 * fine + 250.0 * traffic) * spell["co"],
        "no2": (9.0 + 14.0 * traffic + 0.12 * fine) * spell["no2"],
        "so2": (7.0 + 0.06 * fine) * spell["so2"],
        "o3": (18.0 + 75.0 * warm * sunny**1.5) * spell["o3"],
    }


def noise_level(at: Floats, site: Keys) -> Floats:
    """Sound of a village road [dB(A)]."""
    hour = local_hour(at)
    awake = 1.0 / (1.0 + np.exp(-(hour - 5.5) * 2.0)) - 1.0 / (1.0 + np.exp(-(hour - 21.5) * 1.5))
    passing = np.abs(wander(at, 0.1 * HOUR, derive(site, "noise"), levels=5))
    return steady(derive(site, "quiet"), 36.0, 41.0) + 14.0 * awake + 3.0 * passing
