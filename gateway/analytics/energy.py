"""Energy from meter counters, and what it costs, weighs and saves, each with its method in words; pure functions."""

from collections.abc import Iterable, Mapping
from datetime import date
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.limit_tables import Energy
from devices.standard_data import Text
from devices.standards import shipped

HOUR = 3_600_000_000_000
JITTER = 0.05
"""A counter that reads this little less than before was not reset: last digits of a converted value wander. Chosen, in
the counter's unit (kW.h, m3)."""
SLACK = 1.1
"""Over the greatest plausible rate: meters report late and early by some seconds. Chosen."""

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


class Step(IntEnum):
    """What happened to a counter between two readings."""

    RISE = 0
    """It counted on."""
    JITTER = 1
    """Its last digit wandered back: nothing was counted, and the older, greater value still stands."""
    RESET = 2
    """It began again at zero: what it shows was counted since."""
    ROLLOVER = 3
    """It wrapped around its modulus."""
    REPLACED = 4
    """Another meter: from here on its own count; what flowed in between is not known."""


class Counted(NamedTuple):
    """What counters counted between two readings."""

    increase: Floats
    """In the counter's unit, never below 0."""
    step: NDArray[np.uint8]
    """``Step`` of each."""


def counted(last: Floats, value: Floats, elapsed: Times, most_per_hour: Floats, modulus: Floats) -> Counted:
    """What each counter counted since its last reading.

    Args:
        last: reading before.
        value: reading now.
        elapsed: time between them [ns].
        most_per_hour: the fastest it can plausibly count; a jump beyond that is another meter.
        modulus: where it wraps to zero; 0 where it never does.

    >>> one = lambda *numbers: counted(*(np.array([number], float) for number in numbers))
    >>> one(100.0, 101.5, HOUR, 3.0, 0.0).increase.tolist(), one(999.0, 0.5, HOUR, 3.0, 1000.0).increase.tolist()
    ([1.5], [1.5])
    """
    possible = most_per_hour * (elapsed / HOUR) * SLACK + JITTER
    change = value - last
    wrapped = change + modulus
    step = np.full(len(value), Step.REPLACED, np.uint8)
    step[(change < 0) & (value <= possible)] = Step.RESET
    step[(change < 0) & (modulus > 0) & (wrapped >= 0) & (wrapped <= possible)] = Step.ROLLOVER
    step[(change < 0) & (change >= -JITTER)] = Step.JITTER
    step[(change >= 0) & (change <= possible)] = Step.RISE
    increase = np.select([step == Step.RISE, step == Step.RESET, step == Step.ROLLOVER], [change, value, wrapped], 0.0)
    return Counted(increase, step)


class Use(NamedTuple):
    """What one counter counted over some time."""

    total: float
    steps: tuple[Step, ...]
    """Resets, rollovers and replacements on the way, in order."""


def use(points: Iterable[tuple[int, float]], most_per_hour: float, modulus: float = 0.0) -> Use:
    """The sum over a counter's readings.

    Args:
        points: time [ns UTC] and reading, oldest first; times that do not rise are passed over.
        most_per_hour: the fastest it can plausibly count.
        modulus: where it wraps; 0 if never.
    """
    rising: list[tuple[int, float]] = []
    for point in points:
        if not rising or point[0] > rising[-1][0]:
            rising.append(point)
    if len(rising) < 2:
        return Use(0.0, ())
    times, values = np.array([at for at, _ in rising]), np.array([value for _, value in rising])
    most, wrap = np.full(len(values) - 1, most_per_hour), np.full(len(values) - 1, modulus)
    while True:
        result = counted(values[:-1], values[1:], np.diff(times), most, wrap)
        wandered = np.flatnonzero(result.step == Step.JITTER)
        if not len(wandered):
            break
        for number in wandered:  # in order: the greater value stands until something greater comes
            values[number + 1] = values[number]
    steps = tuple(Step(int(step)) for step in result.step if step != Step.RISE)
    return Use(float(result.increase.sum()), steps)


class Cost(NamedTuple):
    """What energy costs."""

    vnd: float
    """Before tax."""
    vnd_with_tax: float
    method: Text


def cost(kwh_by_day: Mapping[date, float], tables: Energy | None = None) -> Cost:
    """The cost of each day's energy at the price in force on that day."""
    tables = tables or shipped().energy
    by_price: dict[float, float] = {}
    for day, kwh in kwh_by_day.items():
        price = tables.price(day).vnd_per_kwh
        by_price[price] = by_price.get(price, 0.0) + kwh
    vnd = sum(price * kwh for price, kwh in by_price.items())
    parts = " + ".join(f"{kwh:.1f} kWh × {price:g} đ" for price, kwh in sorted(by_price.items())) or "0 kWh"
    share = f"{tables.tax.share * 100:g} %"
    return Cost(
        vnd,
        vnd * (1 + tables.tax.share),
        Text(vi=f"{parts}; thuế GTGT {share}", en=f"{parts}; VAT {share}"),
    )


class Emitted(NamedTuple):
    """What energy from the grid emits."""

    kg: float
    method: Text


def emitted(kwh_by_day: Mapping[date, float], tables: Energy | None = None) -> Emitted:
    """CO2 of each day's energy with the factor of its year, or of the newest official year where there is none."""
    emission = (tables or shipped().energy).emission
    by_year: dict[int, float] = {}
    for day, kwh in kwh_by_day.items():
        year = emission.factor(day.year)[0]
        by_year[year] = by_year.get(year, 0.0) + kwh
    kg = sum(kwh * emission.factors[year] for year, kwh in by_year.items())
    parts = " + ".join(
        f"{kwh:.1f} kWh × {emission.factors[year]:g} kg ({year})" for year, kwh in sorted(by_year.items())
    )
    document = emission.source.document
    return Emitted(kg, Text(vi=f"{parts or '0 kWh'}; {document}", en=f"{parts or '0 kWh'}; {document}"))


class Baseline(NamedTuple):
    """What the same lighting would use without what is to be judged."""

    kwh: float
    method: Text


def lamps_baseline(lamps: int, watts_each: float, burning_hours: float) -> Baseline:
    """The lamps of before, burning as long as the ones of today.

    Args:
        lamps: how many.
        watts_each: what one of them drew, its ballast included [W].
        burning_hours: of one lamp, over the time to be judged [h].
    """
    kwh = lamps * watts_each * burning_hours / 1000.0
    figures = f"{lamps} × {watts_each:g} W × {burning_hours:.1f} h"
    return Baseline(kwh, Text(vi=f"đèn cũ: {figures}", en=f"lamps of before: {figures}"))


def metered_baseline(kwh: float, days_then: int, days_now: int) -> Baseline:
    """What was metered before, carried over to as many days as now.

    Raises:
        ValueError: no days then.
    """
    if days_then < 1:
        raise ValueError("a metered baseline needs at least one day")
    figures = f"{kwh:.1f} kWh / {days_then} × {days_now}"
    return Baseline(
        kwh / days_then * days_now,
        Text(vi=f"điện năng trước đây: {figures} ngày", en=f"metered before: {figures} days"),
    )


class Saving(NamedTuple):
    """What was saved against a stated baseline; negative if more was used."""

    kwh: float
    vnd: float
    """Before tax."""
    kg_co2: float
    method: Text
    """How it was computed, in figures; never to be left out where the saving is shown."""


def saving(kwh_by_day: Mapping[date, float], baseline: Baseline, tables: Energy | None = None) -> Saving:
    """Baseline less use, in energy, money and CO2.

    The baseline's energy is spread over the days as the use is (evenly if nothing was used), so that the price and
    factor in force on each day apply.
    """
    total = sum(kwh_by_day.values())
    saved = {
        day: baseline.kwh * (kwh / total if total else 1 / len(kwh_by_day)) - kwh for day, kwh in kwh_by_day.items()
    }
    money, gas = cost(saved, tables), emitted(saved, tables)
    figures = f"{baseline.kwh:.1f} - {total:.1f} kWh"
    return Saving(
        baseline.kwh - total,
        money.vnd,
        gas.kg,
        Text(
            vi=f"mốc so sánh ({baseline.method.vi}) trừ điện đo được: {figures}; {money.method.vi}; {gas.method.vi}",
            en=f"baseline ({baseline.method.en}) less metered: {figures}; {money.method.en}; {gas.method.en}",
        ),
    )
