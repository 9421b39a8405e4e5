"""Street lamps that do not exist: power by dimming, energy as its exact integral, and what a controller measures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simulators.burning import Nights, power_share
from simulators.local_time import FIRST, HOUR, local_hour
from simulators.noise import Floats, Keys, derive, flicker, steady, wander
from simulators.trouble import Trouble

Index = NDArray[np.int64]
"""Numbers of devices within their columns."""


@dataclass(frozen=True)
class Lamps:
    """Lamps of one schedule; the arrays broadcast with the moments."""

    keys: Keys
    circuit: Keys
    """Key of the feeder: lamps on it see the same voltage."""
    nights: Nights
    rated: Floats
    """Rated power [W]."""
    place: Floats
    """0 at the cabinet, 1 at the far end of the feeder, where the voltage is lowest."""

    def select(self, index: Index) -> "Lamps":
        """Some of the lamps, where the arrays are columns."""
        return Lamps(self.keys[index], self.circuit[index], self.nights, self.rated[index], self.place[index])


@dataclass(frozen=True)
class LampColumns:
    """Many lamps, and what is wrong with the few that have troubles."""

    lamps: Lamps
    troubles: Mapping[int, Sequence[Trouble]] = field(default_factory=dict)
    """By number; without overlaps (``untangle``)."""

    def each(self, at: Floats, index: Index, function: "LampFunction") -> Floats:
        """A function of each of these lamps at its moment, with its own troubles."""
        found = function(at, self.lamps.select(index), ())
        for number in self.troubled(index):
            rows = index == number
            found[rows] = function(at[rows], self.lamps.select(index[rows]), self.troubles[number])
        return found

    def troubled(self, index: Index) -> list[int]:
        """Which of these lamps have troubles."""
        if not self.troubles:
            return []
        known = np.fromiter(self.troubles, dtype=np.int64, count=len(self.troubles))
        found: list[int] = np.intersect1d(index, known).tolist()
        return found


LampFunction = Callable[[Floats, Lamps, Sequence[Trouble]], Floats]

STANDBY = 0.7
"""A dark driver's own consumption [W]. Chosen: 0.5 to 1 W are usual."""


def mains_voltage(at: Floats, circuit: Keys) -> Floats:
    """Voltage at the head of a feeder [V]: 205 to 240, lower in the evening, higher after 22:00."""
    hour = local_hour(at)
    evening = np.exp(-0.5 * ((hour - 19.5) / 1.8) ** 2)
    night = 1.0 / (1.0 + np.exp(-(hour - 22.5) * 2.0)) + 1.0 / (1.0 + np.exp((hour - 5.0) * 2.0))
    slow = 2.2 * wander(at, 1.5 * HOUR, derive(circuit, "voltage"), levels=5)
    return steady(derive(circuit, "voltage level"), 224.0, 230.0) - 5.0 * evening + 3.0 * night + slow


def mains_frequency(at: Floats, region: Keys) -> Floats:
    """Frequency of the grid [Hz]."""
    return 50.0 + 0.035 * wander(at, 120.0, derive(region, "frequency"), levels=4)


def power_factor(share: Floats) -> Floats:
    """Of an LED driver by its share of rated power: 0.95 at full, falling when dimmed, poor in standby."""
    return np.interp(share, (0.0, 0.02, 0.3, 0.5, 1.0), (0.35, 0.45, 0.75, 0.88, 0.955))


def _inside(at: Floats, trouble: Trouble) -> NDArray[np.bool_]:
    return (at >= trouble.start) & (at < trouble.stop)


def lamp_power(at: Floats, lamps: Lamps, troubles: Sequence[Trouble] = ()) -> tuple[Floats, Floats]:
    """True power [W] and the level [%] that was asked for."""
    level = np.broadcast_to(lamps.nights.level(at), np.broadcast_shapes(at.shape, lamps.keys.shape)).copy()
    watts = tolerance(lamps) * lamps.rated * power_share(level)
    standby = np.full_like(watts, STANDBY)
    first, last = at.min(), at.max()
    for trouble in troubles:
        if trouble.stop <= first or trouble.start > last:
            continue
        inside = _inside(at, trouble)
        if trouble.kind == "lamp_out":
            watts = np.where(inside, 0.0, watts)
        elif trouble.kind == "day_burner":
            stuck = tolerance(lamps) * lamps.rated * power_share(np.full(1, 100.0))
            watts = np.where(inside & (level == 0.0), stuck, watts)
        elif trouble.kind == "circuit_loss":
            watts, standby = np.where(inside, 0.0, watts), np.where(inside, 0.0, standby)
    return watts + standby, level


def lamp_used(at: Floats, lamps: Lamps, troubles: Sequence[Trouble] = ()) -> Floats:
    """The exact integral of ``lamp_power`` since ``FIRST`` [kW.h]."""
    nights, full = lamps.nights, tolerance(lamps) * lamps.rated
    total = full * nights.seconds(at, "energy") + STANDBY * (at - FIRST)
    for trouble in troubles:
        if trouble.kind in {"lamp_out", "circuit_loss"}:
            total = total - full * nights.during(at, trouble, "energy")
        if trouble.kind == "circuit_loss":
            total = total - STANDBY * (np.clip(at, trouble.start, trouble.stop) - trouble.start)
        if trouble.kind == "day_burner":
            by_day = np.clip(at, trouble.start, trouble.stop) - trouble.start
            by_day = by_day - nights.during(at, trouble, "lit")
            total = total + full * power_share(np.full(1, 100.0)) * by_day
    result: Floats = total / 3.6e6
    return result


def lamp_energy(at: Floats, lamps: Lamps, troubles: Sequence[Trouble] = ()) -> Floats:
    """The controller's counter [kW.h]: it only rises, until the meter is replaced."""
    counted = steady(derive(lamps.keys, "meter"), 0.0, 40.0) + lamp_used(at, lamps, troubles)
    for trouble in troubles:
        if trouble.kind == "meter_replaced":
            since = lamp_used(at, lamps, troubles) - lamp_used(np.full(1, trouble.start), lamps, troubles)
            counted = np.where(at >= trouble.start, since, counted)
    return counted


def tolerance(lamps: Lamps) -> Floats:
    """How a single lamp differs from its rating."""
    return steady(derive(lamps.keys, "tolerance"), 0.96, 1.04)


def lamp(at: Floats, lamps: Lamps, air: Floats, troubles: Sequence[Trouble] = ()) -> dict[str, Floats]:
    """What a lamp controller measures.

    Args:
        air: air temperature at these moments [Cel].
    """
    watts, level = lamp_power(at, lamps, troubles)
    share = (watts - STANDBY) / lamps.rated
    measured = np.maximum(watts * (1.0 + 0.004 * flicker(at, derive(lamps.keys, "power"))), 0.0)
    volts = mains_voltage(at, lamps.circuit) - lamps.place * 4.0 * (level > 0.0)
    volts = volts + 0.3 * flicker(at, derive(lamps.keys, "volt"))
    factor = power_factor(share) + 0.004 * flicker(at, derive(lamps.keys, "factor"))
    dead = np.zeros(measured.shape, dtype=np.bool_)
    for trouble in troubles:
        if trouble.kind == "lamp_out":
            dead = dead | (_inside(at, trouble) & (level > 0.0))
    gear = air + 24.0 * np.maximum(share, 0.0) + 0.3 * flicker(at, derive(lamps.keys, "gear"))
    return {
        "power": measured,
        "energy": lamp_energy(at, lamps, troubles),
        "voltage": volts,
        "current": measured / (volts * factor),
        "power_factor": factor,
        "apparent_power": measured / factor,
        "reactive_power": measured * np.sqrt(np.maximum(1.0 / factor**2 - 1.0, 0.0)),
        "dimming_level": level,
        "lamp_on": np.where(measured > 0.05 * lamps.rated, 1.0, 0.0),
        "lamp_failure": np.where(dead, 1.0, 0.0),
        "operating_hours": lamps.nights.seconds(at, "lit") / HOUR,
        "control_gear_temperature": gear,
        "device_temperature": gear,
    }
