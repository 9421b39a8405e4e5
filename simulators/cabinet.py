"""Lighting cabinets that do not exist: three phases, each the sum of its lamps, the losses and what is stolen."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simulators.lighting import (
    Index,
    LampColumns,
    elapsed,
    lamp_power,
    lamp_used,
    mains_frequency,
    mains_voltage,
    power_factor,
)
from simulators.local_time import FIRST, HOUR
from simulators.noise import Floats, Keys, derive, flicker, steady, uniform
from simulators.trouble import Spans, Wrong

LOSS = 0.025
"""Lost in the feeder, as a share of what the lamps draw. Chosen."""
OWN = 9.0
"""The cabinet's controller, modem and contactor coil [W]. Chosen."""
PHASES = ("l1", "l2", "l3")


@dataclass(frozen=True)
class Cabinets:
    """Cabinets whose lamps stand in one set of columns; everything but the troubles has one entry a cabinet."""

    keys: Keys
    lamps: LampColumns
    first: Index
    """Number of the cabinet's first lamp; its lamps follow one another, lamp ``i`` on phase ``i % 3``."""
    count: Index
    region: Keys
    wrong: Mapping[int, Wrong] = field(default_factory=dict)
    """With the cabinet itself, by number."""


def _lamps_of(cabinets: Cabinets, index: Index) -> tuple[Index, Index, Index]:
    """For every lamp of these cabinets: the row of its cabinet, its own number, and its phase."""
    lengths = cabinets.count[index]
    row = np.repeat(np.arange(index.size), lengths)
    place = np.arange(row.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return row, cabinets.first[index][row] + place, place % 3


def phase_power(at: Floats, index: Index, cabinets: Cabinets) -> tuple[Floats, Floats]:
    """Power on the three phases and what the lamps on them are rated at [W]; shape (moments, 3)."""
    row, lamp, phase = _lamps_of(cabinets, index)
    drawn = cabinets.lamps.each(at[row], lamp, lambda moment, some, wrong: lamp_power(moment, some, wrong)[0])

    def by_phase(of_lamps: Floats) -> Floats:
        summed = np.bincount(row * 3 + phase, weights=of_lamps, minlength=index.size * 3)
        return summed.astype(np.float64).reshape(index.size, 3)

    watts = OWN / 3.0 + (1.0 + LOSS) * by_phase(drawn)
    live = cabinets.lamps.lamps.nights.level(at) > 0.0
    for rows, theft in _spans(cabinets, index, "theft"):
        watts[rows, 0] += np.where(live[rows], theft.size(at[rows]), 0.0)
    return watts, 1.0 + by_phase(cabinets.lamps.lamps.rated[lamp])


def _spans(cabinets: Cabinets, index: Index, kind: str) -> Iterator[tuple[NDArray[np.bool_], Spans]]:
    """The cabinets among these that have this trouble."""
    for number, wrong in cabinets.wrong.items():
        spans = wrong[kind]
        if spans is not None and (index == number).any():
            yield index == number, spans


def _used(at: Floats, index: Index, cabinets: Cabinets) -> Floats:
    """What went through the meter since ``FIRST`` [kW.h]."""
    row, lamp, _ = _lamps_of(cabinets, index)
    used = cabinets.lamps.each(at[row], lamp, lamp_used)
    total = OWN * (at - FIRST) / 3.6e6
    total = total + (1.0 + LOSS) * np.bincount(row, weights=used, minlength=index.size)
    for rows, cut in _spans(cabinets, index, "power_cut"):
        total[rows] -= OWN * cut.spent(at[rows], elapsed, (0, "time")) / 3.6e6
    nights = cabinets.lamps.lamps.nights
    for rows, theft in _spans(cabinets, index, "theft"):
        total[rows] += theft.spent(at[rows], nights.lit, (id(nights), "lit")) / 3.6e6
    return total


def cabinet_energy(at: Floats, index: Index, cabinets: Cabinets) -> Floats:
    """The cabinet's meter [kW.h]: it only rises, until it is replaced."""
    counted = steady(derive(cabinets.keys[index], "meter"), 2000.0, 9000.0) + _used(at, index, cabinets)
    for rows, replaced in _spans(cabinets, index, "meter_replaced"):
        for start, since in replaced.begun(at):
            new = rows & since
            if new.any():
                counted[new] = _used(at[new], index[new], cabinets) - _used(
                    np.full(1, start), index[rows][:1], cabinets
                )
    return counted


def cabinet(at: Floats, index: Index, cabinets: Cabinets) -> dict[str, Floats]:
    """What the meter and the contacts of these cabinets say at their moments."""
    keys = cabinets.keys[index]
    watts, rated = phase_power(at, index, cabinets)
    found: dict[str, Floats] = {
        "energy": cabinet_energy(at, index, cabinets),
        "frequency": mains_frequency(at, cabinets.region),
    }
    off = np.zeros(at.shape)
    for rows, bad in _spans(cabinets, index, "bad_voltage"):
        off[rows] = bad.size(at[rows])
    total, reactive, current, volts_sum = (np.zeros(at.shape) for _ in range(4))
    for number, phase in enumerate(PHASES):
        measured = watts[:, number] * (1.0 + 0.003 * flicker(at, derive(keys, f"power {phase}")))
        feeder = derive(keys, f"phase {phase}")
        volts = mains_voltage(at, keys) + steady(feeder, -2.0, 2.0) + 0.3 * flicker(at, feeder) + off
        factor = power_factor(measured / rated[:, number])
        found |= {
            f"voltage_{phase}": volts,
            f"power_{phase}": measured,
            f"power_factor_{phase}": factor,
            f"current_{phase}": measured / (volts * factor),
        }
        total, volts_sum = total + measured, volts_sum + volts
        current = current + found[f"current_{phase}"]
        reactive = reactive + measured * np.sqrt(1.0 / factor**2 - 1.0)
    apparent = np.hypot(total, reactive)
    return found | {
        "power": total,
        "reactive_power": reactive,
        "apparent_power": apparent,
        "power_factor": total / apparent,
        "voltage": volts_sum / 3.0,
        "current": current,
        "lamp_on": np.where(total > 2.0 * OWN + 2.0 * cabinets.count[index], 1.0, 0.0),
        "leakage_current": 4.0 + total / 400.0 + 0.4 * flicker(at, derive(keys, "leakage")),
        "door_open": _door(at, keys),
    }


def _door(at: Floats, keys: Keys) -> Floats:
    """Somebody looks into a cabinet for a quarter of an hour about once in three weeks, by day."""
    slot = np.floor(at / HOUR).astype(np.int64)
    by_day = ((at / HOUR + 7.0) % 24.0 > 8.0) & ((at / HOUR + 7.0) % 24.0 < 17.0)
    opened = (uniform(derive(keys, "door"), slot) < 1.0 / 190.0) & ((at / HOUR) % 1.0 < 0.25) & by_day
    return np.where(opened, 1.0, 0.0)
