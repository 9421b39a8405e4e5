"""When street lamps burn: by the sun at the place and the circuit's schedule, for twenty years in closed form."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulators.local_time import DAY, FIRST, HOUR, OFFSET
from simulators.noise import Floats

_NIGHTS = 20 * 366


class Schedule(NamedTuple):
    """When and how bright a circuit burns."""

    on_after_sunset: float = 15.0
    """Minutes; the practice in the delta is up to 30."""
    off_before_sunrise: float = 15.0
    steps: tuple[tuple[float, float], ...] = ((22.0, 50.0),)
    """Local hour (after midnight below 12) and dimming level [%] from then on."""
    first_level: float = 100.0


def sunset_and_sunrise(day: NDArray[np.int64], latitude: float, longitude: float) -> tuple[Floats, Floats]:
    """When the sun sets on local days and when it rises on the days after [s since 1970 UTC], to about a minute.

    Source: NOAA solar calculator, low-accuracy equations; upper rim at the horizon is 90.833 deg from the zenith.
    """

    def moment(noon: Floats, side: float) -> Floats:
        angle = 2.0 * np.pi * ((noon / DAY + 2440587.5 - 2451545.0) / 365.2425)
        mean = np.radians(280.46646) + angle * 1.0000002
        anomaly = np.radians(357.52911) + angle * 0.9999737
        true = mean + np.radians(1.9146) * np.sin(anomaly) + np.radians(0.02) * np.sin(2.0 * anomaly)
        tilt = np.radians(23.4393)
        declination = np.arcsin(np.sin(tilt) * np.sin(true))
        ascension = np.arctan2(np.cos(tilt) * np.sin(true), np.cos(true))
        equation = (mean - np.radians(0.0057183) - ascension + np.pi) % (2.0 * np.pi) - np.pi
        north = np.radians(latitude)
        rim = np.cos(np.radians(90.833)) / (np.cos(north) * np.cos(declination))
        cosine = rim - np.tan(north) * np.tan(declination)
        half_day = np.arccos(np.clip(cosine, -1.0, 1.0)) / (2.0 * np.pi) * DAY
        solar_noon = noon - equation / (2.0 * np.pi) * DAY
        result: Floats = solar_noon + side * half_day
        return result

    noon = day.astype(np.float64) * DAY + DAY / 2 - longitude / 360.0 * DAY
    return moment(noon, 1.0), moment(noon + DAY, -1.0)


def power_share(level: Floats) -> Floats:
    """What a driver draws of its rated power at a dimming level [%]: its own loss does not fade with the light."""
    return np.where(level > 0.0, 0.08 + 0.0092 * level, 0.0)


class Nights:
    """Every night of one schedule at one place, for twenty years: levels by time, and burnt energy in closed form."""

    def __init__(self, schedule: Schedule, latitude: float, longitude: float) -> None:
        day = np.arange(int((FIRST + OFFSET) // DAY) - 1, int((FIRST + OFFSET) // DAY) + _NIGHTS, dtype=np.int64)
        sunset, sunrise = sunset_and_sunrise(day, latitude, longitude)
        on, off = sunset + schedule.on_after_sunset * 60.0, sunrise - schedule.off_before_sunrise * 60.0
        midnight = day.astype(np.float64) * DAY - OFFSET
        edges = [on]
        for hour, _ in schedule.steps:
            edges.append(np.clip(midnight + (hour + 24.0 * (hour < 12.0)) * HOUR, edges[-1], off))
        self._first = int(day[0])
        self.edges: Floats = np.stack([*edges, off], axis=1)
        """Moments at which each night's levels begin, and its end."""
        self.levels: Floats = np.array([schedule.first_level, *(level for _, level in schedule.steps)])
        lengths = np.diff(self.edges, axis=1)
        self._weights = {"energy": power_share(self.levels), "lit": np.where(self.levels > 0.0, 1.0, 0.0)}
        self._before = {
            name: np.concatenate([np.zeros(1), np.cumsum(lengths @ weights)]) for name, weights in self._weights.items()
        }

    def _night(self, at: Floats) -> NDArray[np.int64]:
        # A night belongs to the day it begins on, so numbers change at noon.
        number = np.floor((at + OFFSET - DAY / 2) / DAY).astype(np.int64) - self._first
        return np.clip(number, 0, len(self.edges) - 1)

    def level(self, at: Floats) -> Floats:
        """Dimming level the schedule asks for [%]; 0 by day."""
        edges = self.edges[self._night(at)]
        step = (at[..., None] >= edges).sum(axis=-1) - 1
        burning = (step >= 0) & (step < len(self.levels))
        result: Floats = np.where(burning, self.levels[np.clip(step, 0, len(self.levels) - 1)], 0.0)
        return result

    def is_night(self, at: Floats) -> NDArray[np.bool_]:
        """Whether the feeder is live: from switching on to switching off, dimmed or not."""
        edges = self.edges[self._night(at)]
        live: NDArray[np.bool_] = (at >= edges[..., 0]) & (at < edges[..., -1])
        return live

    def switched_on(self, at: Floats) -> Floats:
        """When the feeder was last switched on."""
        night = self._night(at)
        on = self.edges[night, 0]
        before: Floats = self.edges[np.maximum(night - 1, 0), 0]
        return np.where(at >= on, on, before)

    def seconds(self, at: Floats, of: str) -> Floats:
        """Seconds since ``FIRST``: ``lit`` counts burning, ``energy`` weighs them with the share of rated power."""
        night = self._night(at)
        edges = self.edges[night]
        spent = np.clip(at[..., None] - edges[..., :-1], 0.0, edges[..., 1:] - edges[..., :-1])
        # Not a matrix product: that may add in another order when more moments are asked at once.
        result: Floats = self._before[of][night] + (spent * self._weights[of]).sum(axis=-1)
        return result

    def of_lamps(self, at: Floats) -> Floats:
        """``seconds`` of ``energy``, as a clock."""
        return self.seconds(at, "energy")

    def lit(self, at: Floats) -> Floats:
        """``seconds`` of ``lit``, as a clock."""
        return self.seconds(at, "lit")


@lru_cache(maxsize=256)
def nights(schedule: Schedule, latitude: float, longitude: float) -> Nights:
    """The nights at a place; a quarter of a degree is a minute of sun, so near places share them."""
    return Nights(schedule, round(latitude * 4) / 4, round(longitude * 4) / 4)
