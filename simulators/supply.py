"""Piped water that does not exist: flow by the hour with its night minimum, pressure, chlorine, and leaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from simulators.local_time import DAY, FIRST, HOUR, OFFSET, local_day, through_day
from simulators.noise import Floats, Keys, derive, flicker, steady, wander
from simulators.trouble import Trouble
from simulators.weather import season_temperature

FLOW_HOUR = np.array(
    (0.28, 0.22, 0.20, 0.22, 0.45, 1.25, 1.75, 1.60, 1.15, 1.0, 1.0, 1.15,
     1.10, 0.85, 0.80, 0.90, 1.20, 1.65, 1.85, 1.60, 1.25, 0.95, 0.65, 0.40)
)  # fmt: skip
"""Flow over its daily mean, local hours. Chosen: peaks at 5 to 8 and 17 to 20 h, night 15 to 30 % of the mean."""
_SHAPE = FLOW_HOUR / FLOW_HOUR.mean()
_DAYS = 20 * 366


@dataclass(frozen=True)
class Main:
    """One measuring point of a water network."""

    keys: Keys
    mean_flow: float = 9.0
    """Mean flow [m3/h]: 3,400 people at 64 litres a day, the consumption measured in Nam Sach."""
    plant_pressure: float = 2.9
    """[bar] at the plant; 2 to 4 are usual."""


def _day_factor(day: Floats) -> Floats:
    """How much more is drawn on a day: summer, and one day as the next differ a little."""
    warm = season_temperature(day * DAY - OFFSET + DAY / 2)
    return 1.0 + 0.012 * (warm - 23.3)


@lru_cache(maxsize=1)
def _days_before() -> Floats:
    """Sum of the day factors before each day since ``FIRST``."""
    first = int((FIRST + OFFSET) // DAY)
    return np.concatenate([np.zeros(1), np.cumsum(_day_factor(np.arange(first, first + _DAYS, dtype=np.float64)))])


@lru_cache(maxsize=1)
def _minutes() -> Floats:
    """Share of a day's water that has flowed at each minute of the day."""
    middle = FIRST + np.arange(30.0, DAY, 60.0)
    flowed = np.concatenate([np.zeros(1), np.cumsum(through_day(middle, _SHAPE))])
    share: Floats = flowed / flowed[-1]
    return share


def leaking(at: Floats, troubles: Sequence[Trouble]) -> tuple[Floats, Floats]:
    """Flow into leaks [m3/h], which grow for three days to their size, and their water so far [m3]."""
    flow, lost = np.zeros(at.shape), np.zeros(at.shape)
    grow = 3 * DAY
    for trouble in troubles:
        if trouble.kind == "leak":
            age = np.clip(at, trouble.start, trouble.stop) - trouble.start
            rising, full = np.minimum(age, grow), np.maximum(age - grow, 0.0)
            flow = flow + np.where((at >= trouble.start) & (at < trouble.stop), trouble.size * rising / grow, 0.0)
            lost = lost + trouble.size * (rising**2 / (2.0 * grow) + full) / HOUR
    return flow, lost


def _metered(at: Floats, main: Main, troubles: Sequence[Trouble]) -> Floats:
    """What has flowed through the meter since ``FIRST`` [m3]."""
    day = local_day(at)
    today = np.interp(((at + OFFSET) % DAY) / 60.0, np.arange(1441.0), _minutes())
    number = np.clip(day - int((FIRST + OFFSET) // DAY), 0, _DAYS - 1)
    drawn = _days_before()[number] + _day_factor(day.astype(np.float64)) * today
    return main.mean_flow * 24.0 * drawn + leaking(at, troubles)[1]


def _meter(at: Floats, main: Main, troubles: Sequence[Trouble]) -> Floats:
    """The meter's index [m3]: it only rises, until the meter is replaced."""
    flowed = _metered(at, main, troubles)
    shown = steady(derive(main.keys, "index"), 1000.0, 60000.0) + flowed
    starts = np.array(sorted(one.start for one in troubles if one.kind == "meter_replaced"))
    last = np.searchsorted(starts, at, side="right") - 1
    for number in np.unique(last[last >= 0]).tolist():
        shown = np.where(last == number, flowed - _metered(starts[number : number + 1], main, troubles), shown)
    return shown


def supply(at: Floats, main: Main, troubles: Sequence[Trouble] = ()) -> dict[str, Floats]:
    """What a tap-water station measures."""
    day = local_day(at)
    factor = _day_factor(day.astype(np.float64))
    leak = leaking(at, troubles)[0]
    true = main.mean_flow * factor * through_day(at, _SHAPE)
    keys = main.keys
    swing = 1.0 + 0.07 * wander(at, 0.15 * HOUR, derive(keys, "flow"), levels=5)
    flow = true * swing + leak
    loss = 0.75 * (flow / (1.85 * main.mean_flow)) ** 1.85
    warm = season_temperature(at)
    decay = 0.012 * (warm - 20.0) + 0.06 * (flow < 0.5 * main.mean_flow)
    chlorine = 0.46 + 0.05 * wander(at, 14 * HOUR, derive(keys, "chlorine"), levels=6) - decay
    return {
        "flow": flow,
        "volume": _meter(at, main, troubles),
        "pressure": main.plant_pressure - loss - 0.1 + 0.03 * wander(at, 0.2 * HOUR, derive(keys, "pump"), levels=5),
        "residual_chlorine": np.clip(chlorine + 0.006 * flicker(at, derive(keys, "chlorine probe")), 0.02, 1.2),
        "supply_ph": 7.25
        + 0.07 * wander(at, 1.2 * DAY, derive(keys, "acid"), levels=6)
        + 0.006 * flicker(at, derive(keys, "acid probe")),
        "supply_turbidity": 0.42
        * np.exp(0.25 * wander(at, 9 * HOUR, derive(keys, "turbidity"), levels=6))
        * np.exp(0.03 * flicker(at, derive(keys, "turbidity probe"))),
        "supply_temperature": 0.75 * warm
        + 6.5
        + 0.25 * wander(at, 8 * HOUR, derive(keys, "warm"), levels=5)
        + 0.02 * flicker(at, derive(keys, "thermometer")),
        "supply_conductivity": 280.0 + 12.0 * wander(at, 2 * DAY, derive(keys, "conductivity"), levels=6),
        "leak": np.where(leak > 0.35 * main.mean_flow, 1.0, 0.0),
    }
