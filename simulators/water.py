"""Rivers and canals that do not exist: oxygen by day and night, tide and salinity, and the answer to rain."""

from dataclasses import dataclass

import numpy as np

from simulators.local_time import DAY, HOUR, local_hour, month_of
from simulators.noise import Floats, Keys, derive, flicker, steady, wander
from simulators.weather import season_temperature, synoptic, wetness

O1_HOURS, K1_HOURS, M2_HOURS = 25.8193, 23.9345, 12.4206
"""Periods of the tide's main parts; in the Gulf of Tonkin the two diurnal ones are nearly equal, so that high waters
come every 24.8 hours and spring and neap change within 13.7 days. Source: astronomical tidal constituents."""
_TIDE_START = 1704067200.0


@dataclass(frozen=True)
class Reach:
    """One place on a river or canal; arrays broadcast with the moments."""

    keys: Keys
    kind: str
    """``canal`` (polluted, slow), ``river``, ``tidal`` (a river's lower reach)."""
    tide: float = 0.0
    """Half the range of the tide [m]: 0 behind a sluice, 0.3 to 1 in lower reaches."""
    salt: float = 0.0
    """How much of the sea comes up in the dry season, 0 to 1."""
    rain: float = 1.0
    """Multiplies the rain of every storm, for scenarios."""


def tide(at: Floats) -> Floats:
    """Between about -1 and 1, the same for the whole coast."""
    hours = (at - _TIDE_START) / HOUR
    turn = 2.0 * np.pi * hours
    result: Floats = (
        0.47 * np.cos(turn / O1_HOURS) + 0.45 * np.cos(turn / K1_HOURS + 0.6) + 0.08 * np.cos(turn / M2_HOURS + 1.1)
    )
    return result


def dry_season(at: Floats) -> Floats:
    """1 from January to March, 0 from June to October."""
    month, part = month_of(at)
    result: Floats = np.interp((month % 12) + part, (0, 3.0, 5.0, 10.5, 12.0), (1.0, 1.0, 0.0, 0.0, 1.0))
    return result


def water_temperature(at: Floats, region: Keys, reach: Reach) -> Floats:
    """Water temperature [Cel]: the air of one and a half days ago without its extremes."""
    then = at - 1.5 * DAY
    season = 24.0 + (season_temperature(then) - 23.0) * 1.05
    daily = 0.8 * np.cos((local_hour(at) - 16.0) * (2.0 * np.pi / 24.0))
    local = 0.15 * wander(at, 6 * HOUR, derive(reach.keys, "temperature"), levels=5)
    return season + 0.9 * synoptic(then, region) + daily + local


def saturation(temperature: Floats) -> Floats:
    """Oxygen that water in contact with air holds [mg/L].

    Source: the formula of Decision 1460/QD-TCMT, annex.
    """
    result: Floats = 14.652 - 0.41022 * temperature + 0.0079910 * temperature**2 - 0.000077774 * temperature**3
    return result


def salinity(at: Floats, reach: Reach) -> Floats:
    """Salt [g/L]: comes with the flood tide in the dry season, in spells of days."""
    spell = np.clip(0.5 + 0.6 * wander(at, 4 * DAY, derive(reach.keys, "salt"), levels=6), 0.0, 2.0)
    result: Floats = 0.12 + reach.salt * 2.4 * dry_season(at) * spell * np.clip(0.35 + tide(at), 0.0, None)
    return result


_OXYGEN = {"canal": (3.4, 0.9), "river": (6.2, 0.6), "tidal": (5.6, 0.6)}
"""Mean and daily amplitude of dissolved oxygen [mg/L]. Chosen: 2 to 6 in polluted canals, 5 to 7 in rivers."""
_AMMONIUM = {"canal": 1.6, "river": 0.3, "tidal": 0.35}
_TURBIDITY = {"canal": 38.0, "river": 62.0, "tidal": 75.0}
_CONDUCTIVITY = {"canal": 470.0, "river": 290.0, "tidal": 360.0}


def water(at: Floats, region: Keys, reach: Reach) -> dict[str, Floats]:
    """What a station on this reach measures."""
    keys = reach.keys
    fast = wetness(at, region, 0.6 * HOUR, 7 * HOUR, reach.rain)
    slow = wetness(at, region, 4 * HOUR, 30 * HOUR, reach.rain)
    temperature = water_temperature(at, region, reach)
    daylight = np.cos((local_hour(at) - 15.0) * (2.0 * np.pi / 24.0))
    algae = np.clip(1.0 + 0.35 * wander(at, 3 * DAY, derive(keys, "algae"), levels=5), 0.3, 2.0)
    mean, amplitude = _OXYGEN[reach.kind]
    drift = 0.35 * wander(at, 20 * HOUR, derive(keys, "oxygen"))
    oxygen = (mean + amplitude * algae * daylight + drift) / (1.0 + 0.9 * slow) - 0.05 * (temperature - 24.0)
    oxygen = np.maximum(oxygen, 0.3) + 0.02 * flicker(at, derive(keys, "oxygen probe"))
    oxygen = np.maximum(oxygen, 0.05)
    salt = salinity(at, reach)
    level = reach.tide * tide(at) + 0.5 * slow + 0.08 * wander(at, 2 * DAY, derive(keys, "level"), levels=6)
    return {
        "water_temperature": temperature + 0.02 * flicker(at, derive(keys, "thermometer")),
        "ph": _acidity(at, keys, daylight * algae, slow),
        "dissolved_oxygen": oxygen,
        "oxygen_saturation": 100.0 * oxygen / saturation(temperature),
        "salinity": salt * (1.0 + 0.005 * flicker(at, derive(keys, "salt probe"))),
        "conductivity": _conductivity(at, reach, fast, salt),
        "turbidity": _turbidity(at, reach, fast),
        "redox_potential": 60.0 + 32.0 * (oxygen - 3.0) + 4.0 * wander(at, 5 * HOUR, derive(keys, "redox"), levels=5),
        "ammonium_nitrogen": _nitrogen(at, reach, _AMMONIUM[reach.kind], "ammonium", slow),
        "nitrate_nitrogen": _nitrogen(at, reach, 0.9, "nitrate", slow),
        "water_level": steady(derive(keys, "gauge"), 1.2, 1.9) + level,
        "river_flow": np.maximum(40.0 * (1.0 + 1.6 * slow) - 25.0 * reach.tide * _flood(at), -20.0),
    }


def _flood(at: Floats) -> Floats:
    """How fast the tide rises, about -1 to 1."""
    return (tide(at + 0.5 * HOUR) - tide(at - 0.5 * HOUR)) * 4.0


def _acidity(at: Floats, keys: Keys, daylight: Floats, slow: Floats) -> Floats:
    own = steady(derive(keys, "acidity"), 7.1, 7.45) + 0.08 * wander(at, 30 * HOUR, derive(keys, "acid"), levels=6)
    return own + 0.12 * daylight - 0.3 * np.minimum(slow, 1.5) + 0.008 * flicker(at, derive(keys, "acid probe"))


def _conductivity(at: Floats, reach: Reach, fast: Floats, salt: Floats) -> Floats:
    fresh = _CONDUCTIVITY[reach.kind] * (1.0 + 0.25 * dry_season(at))
    fresh = fresh * (1.0 + 0.06 * wander(at, 2 * DAY, derive(reach.keys, "conductivity"), levels=6))
    ripple = 1.0 + 0.08 * min(reach.tide, 1.0) * tide(at)
    sea = np.maximum(salt - 0.12, 0.0) * 1750.0
    noise = 1.0 + 0.002 * flicker(at, derive(reach.keys, "conductivity probe"))
    return (fresh * ripple / (1.0 + 0.8 * fast) + sea) * noise


def _turbidity(at: Floats, reach: Reach, fast: Floats) -> Floats:
    usual = _TURBIDITY[reach.kind] * (1.0 - 0.35 * dry_season(at))
    slow = np.exp(0.3 * wander(at, 10 * HOUR, derive(reach.keys, "turbidity")))
    noise = np.exp(0.06 * flicker(at, derive(reach.keys, "turbidity probe")))
    return (usual * slow + 260.0 * fast**1.2) * noise


def _nitrogen(at: Floats, reach: Reach, usual: float, name: str, slow: Floats) -> Floats:
    keys = derive(reach.keys, name)
    own = np.exp(0.28 * wander(at, 1.5 * DAY, keys, levels=6))
    noise = 1.0 + 0.02 * flicker(at, derive(keys, "probe"))
    return usual * (0.8 + 0.6 * dry_season(at)) * own / (1.0 + 0.4 * slow) * noise
