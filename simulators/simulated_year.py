"""A simulated year against the published facts: each figure, what it should be, and whether it is near enough."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from simulators import air, weather
from simulators.burning import Schedule, nights
from simulators.lighting import Lamps, lamp_energy, lamp_power
from simulators.local_time import HOUR, local_hour, month_of, month_start
from simulators.noise import Floats, keys_of
from simulators.supply import Main, supply
from simulators.water import Reach, water

STATIONS = 24
"""PM2.5 is pooled over this many stations: what passes one of them within hours then averages out."""
RECORD = "US Embassy Hanoi, hourly, 2015-12 to 2017-06"
CHOSEN = "chosen"
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip


class Figure(NamedTuple):
    """One row of the comparison."""

    name: str
    source: str
    low: float
    """What is near enough, from here."""
    high: float
    found: float

    @property
    def holds(self) -> bool:
        """Whether the simulated year is near enough."""
        return bool(self.low <= self.found <= self.high)


@dataclass(frozen=True)
class Year:
    """Hourly PM2.5 of a simulated year, and what it is compared by."""

    at: Floats
    """The hours' beginnings."""
    hours: Floats
    """One row a station, one column an hour [ug/m3]."""

    @property
    def month_medians(self) -> Floats:
        """Twelve medians of all hours [ug/m3]."""
        month, _ = month_of(self.at)
        return np.array([np.median(self.hours[:, month % 12 == number]) for number in range(12)])

    def hour_shape(self, season: str) -> Floats:
        """Mean of each local hour over the mean of the season."""
        month, _ = month_of(self.at)
        inside = np.array(air.SEASON_OF_MONTH)[month % 12] == season
        hour = local_hour(self.at).astype(np.int64)
        mean = self.hours[:, inside].mean()
        return np.array([self.hours[:, inside & (hour == number)].mean() / mean for number in range(24)])

    def log_autocorrelation(self, lag: int) -> float:
        """Of the logarithm, at a lag in hours; the mean over the stations."""
        logs = np.log(self.hours)
        off = logs - logs.mean()
        return float(((off[:, :-lag] * off[:, lag:]).mean(axis=1) / (off * off).mean(axis=1)).mean())


@cache
def simulate_particles(year: int, seed: int, stations: int = STATIONS) -> Year:
    """Hourly means of PM2.5 (of four values an hour), without straw burning."""
    at = moments(year, HOUR / 4)
    region = keys_of(seed, "region")
    rows = [
        air.pm2_5(at, region, keys_of(seed, "station", number)).reshape(-1, 4).mean(axis=1)
        for number in range(stations)
    ]
    return Year(at.reshape(-1, 4)[:, 0], np.array(rows))


def moments(year: int, step: float) -> Floats:
    """A whole year in local time, every ``step`` seconds."""
    first = (year - 1970) * 12
    return np.arange(month_start(first), month_start(first + 12), step)


def _particles(year: int, seed: int) -> Iterator[Figure]:
    found = simulate_particles(year, seed)
    for name, wanted, median in zip(MONTHS, air.PM25_MONTH_MEDIAN, found.month_medians, strict=True):
        yield Figure(f"PM2.5 median of {name} [ug/m3]", RECORD, 0.9 * wanted, 1.1 * wanted, float(median))
    for season, shape in air.PM25_HOUR.items():
        ratio = found.hour_shape(season) / np.array(shape)
        yield Figure(f"PM2.5 hourly shape {season}, least hour over the record's", RECORD, 0.9, 1.1, float(ratio.min()))
        yield Figure(f"PM2.5 hourly shape {season}, most hour over the record's", RECORD, 0.9, 1.1, float(ratio.max()))
    for lag, wanted in air.PM25_LOG_AUTOCORRELATION.items():
        # Two persistent processes cannot follow the record's bend at half a day more closely than this.
        near = 0.05 if lag in {1, 3, 24} else 0.08
        name = f"PM2.5 autocorrelation of the logarithm, {lag} h"
        yield Figure(name, RECORD, wanted - near, wanted + near, found.log_autocorrelation(lag))
    spread = float(np.log(found.hours).std())
    name = "PM2.5 standard deviation of the logarithm"
    yield Figure(name, RECORD, air.PM25_LOG_SD - 0.05, air.PM25_LOG_SD + 0.05, spread)


def _weather(year: int, seed: int) -> Iterator[Figure]:
    at, region = moments(year, HOUR / 2), keys_of(seed, "region")
    climate = "climate of Hai Duong"
    temperature = weather.air_temperature(at, region, region)
    humidity = weather.relative_humidity(at, region, region)
    rain = weather.rain_counter(np.array([at[0], at[-1]]), region)
    yield Figure("air temperature, mean of the year [Cel]", climate, 22.3, 24.3, float(temperature.mean()))
    yield Figure("relative humidity, mean of the year [%]", climate, 83.0, 87.0, float(humidity.mean()))
    yield Figure("rain of the year [mm]", climate, 1100.0, 2100.0, float(rain[1] - rain[0]))
    hourly = np.array([temperature[local_hour(at).astype(np.int64) == hour].mean() for hour in range(24)])
    yield Figure("warmest hour", climate, 13.0, 15.0, float(hourly.argmax()))
    yield Figure("coldest hour", climate, 4.0, 6.0, float(hourly.argmin()))


def tide_period(level: Floats, step: float) -> float:
    """Hours from high water to high water: where the autocorrelation next to a day is greatest."""
    off = level - level.mean()
    lags = np.arange(round(20 * HOUR / step), round(30 * HOUR / step))
    strength = [float((off[:-lag] * off[lag:]).mean()) for lag in lags.tolist()]
    return float(lags[int(np.argmax(strength))]) * step / HOUR


def _rivers(year: int, seed: int) -> Iterator[Figure]:
    at, region, step = moments(year, 720.0), keys_of(seed, "region"), 720.0
    tidal = water(at, region, Reach(keys_of(seed, "reach", 1), "tidal", tide=0.8, salt=1.0))
    canal = water(at, region, Reach(keys_of(seed, "reach", 2), "canal"))
    month = month_of(at)[0] % 12
    yield Figure("tide period [h]", "diurnal tide, about 24.8 h", 24.6, 25.1, tide_period(tidal["water_level"], step))
    warm = canal["water_temperature"]
    yield Figure("water temperature, January [Cel]", CHOSEN, 15.0, 19.0, float(warm[month == 0].mean()))
    yield Figure("water temperature, July [Cel]", CHOSEN, 29.0, 32.0, float(warm[month == 6].mean()))
    hour = local_hour(at).astype(np.int64)
    oxygen = np.array([canal["dissolved_oxygen"][hour == number].mean() for number in range(24)])
    yield Figure("canal oxygen, hour of the least", CHOSEN, 2.0, 5.0, float(oxygen.argmin()))
    yield Figure("canal oxygen, hour of the most", CHOSEN, 14.0, 16.0, float(oxygen.argmax()))
    yield Figure("canal oxygen, median [mg/L]", CHOSEN, 2.0, 6.0, float(np.median(canal["dissolved_oxygen"])))
    salty = np.quantile(tidal["conductivity"][month < 3], 0.95)
    yield Figure("tidal reach, January to March, 95 % of conductivity [uS/cm]", CHOSEN, 1000.0, 6000.0, float(salty))
    fresh = np.median(tidal["conductivity"][(month > 5) & (month < 10)])
    yield Figure("the same in June to October, median", CHOSEN, 200.0, 600.0, float(fresh))
    yield Figure("canal turbidity, median [NTU]", CHOSEN, 20.0, 150.0, float(np.median(canal["turbidity"])))


def _lamps(year: int, seed: int) -> Iterator[Figure]:
    at, step = moments(year, 300.0), 300.0
    place = nights(Schedule(), 20.94, 106.31)
    one = Lamps(keys_of(seed, "lamp"), keys_of(seed, "circuit"), place, np.array([60.0]), np.array([0.5]))
    energy = lamp_energy(at, one)
    # Half an interval later: a step of the schedule at a full hour then falls between two values of power.
    power, _ = lamp_power(at + step / 2, one)
    lit = place.seconds(at[[0, -1]], "lit") / HOUR
    yield Figure("burning hours of the year", "sunset and sunrise at 20.94 N", 4000.0, 4300.0, float(lit[1] - lit[0]))
    yield Figure(
        "energy, least rise in five minutes [kW.h]", "a meter only rises", 0.0, 1.0, float(np.diff(energy).min())
    )
    ratio = (energy[-1] - energy[0]) / (power[:-1].sum() * step / 3.6e6)
    yield Figure("energy over the sum of power", "the same thing", 0.999, 1.001, float(ratio))


def _tap(year: int, seed: int) -> Iterator[Figure]:
    at = moments(year, 900.0)
    found = supply(at, Main(keys_of(seed, "main")))
    hour = local_hour(at)
    mean = found["flow"].mean()
    night = found["flow"][(hour >= 1.0) & (hour < 4.0)].mean() / mean
    yield Figure("night flow over the mean", CHOSEN, 0.15, 0.30, float(night))
    hourly = np.array([found["flow"][hour.astype(np.int64) == number].mean() for number in range(24)])
    yield Figure("morning peak, hour", CHOSEN, 5.0, 8.0, float(hourly[:12].argmax()))
    yield Figure("evening peak, hour", CHOSEN, 17.0, 20.0, float(12 + hourly[12:].argmax()))
    yield Figure("meter, least rise in a quarter of an hour [m3]", "a meter only rises", 0.0, 100.0,
                 float(np.diff(found["volume"]).min()))  # fmt: skip
    ratio = (found["volume"][-1] - found["volume"][0]) / (found["flow"][:-1].sum() * 900.0 / HOUR)
    yield Figure("meter over the sum of flow", "the same thing", 0.99, 1.01, float(ratio))
    yield Figure("chlorine, median [mg/L]", CHOSEN, 0.2, 0.8, float(np.median(found["residual_chlorine"])))
    yield Figure("pressure, least [bar]", CHOSEN, 1.0, 4.0, float(found["pressure"].min()))


def figures(year: int = 2026, seed: int = 1) -> list[Figure]:
    """Everything a simulated year is compared by."""
    parts = (_particles, _weather, _rivers, _lamps, _tap)
    return [figure for part in parts for figure in part(year, seed)]
