"""Street lamps that do not exist: power by dimming, energy as its exact integral, and what a controller measures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simulators.burning import Nights, power_share
from simulators.local_time import FIRST, HOUR, local_hour
from simulators.noise import Floats, Keys, derive, flicker, steady, wander
from simulators.trouble import NOTHING, Wrong

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
    wrong: Mapping[int, Wrong] = field(default_factory=dict)
    """By number."""

    def each(self, at: Floats, index: Index, function: "LampFunction") -> Floats:
        """A function of each of these lamps at its moment, with its own troubles."""
        found = function(at, self.lamps.select(index), NOTHING)
        for number in self.troubled(index):
            rows = index == number
            found[rows] = function(at[rows], self.lamps.select(index[rows]), self.wrong[number])
        return found

    def troubled(self, index: Index) -> list[int]:
        """Which of these lamps have troubles."""
        if not self.wrong:
            return []
        known = np.fromiter(self.wrong, dtype=np.int64, count=len(self.wrong))
        found: list[int] = np.intersect1d(index, known).tolist()
        return found


LampFunction = Callable[[Floats, Lamps, Wrong], Floats]

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


def lamp_power(at: Floats, lamps: Lamps, wrong: Wrong = NOTHING) -> tuple[Floats, Floats]:
    """True power [W] and the level [%] that was asked for."""
    level = np.broadcast_to(lamps.nights.level(at), np.broadcast_shapes(at.shape, lamps.keys.shape)).copy()
    watts = tolerance(lamps) * lamps.rated * power_share(level)
    standby = np.full_like(watts, STANDBY)
    if less := wrong["lamp_degraded"]:
        watts = watts * (1.0 - less.size(at))
    if burns := wrong["day_burner"]:
        stuck = tolerance(lamps) * lamps.rated * power_share(np.full(1, 100.0))
        watts = np.where(burns.inside(at) & (level == 0.0), stuck, watts)
    for kind in ("lamp_out", "lamp_cycling"):
        if out := wrong[kind]:
            watts = np.where(out.inside(at), 0.0, watts)
    if lost := wrong["circuit_loss"]:
        watts, standby = (np.where(lost.inside(at), 0.0, some) for some in (watts, standby))
    return watts + standby, level


def lamp_used(at: Floats, lamps: Lamps, wrong: Wrong = NOTHING) -> Floats:
    """The exact integral of ``lamp_power`` since ``FIRST`` [kW.h]."""
    nights, full = lamps.nights, tolerance(lamps) * lamps.rated
    total = full * nights.of_lamps(at) + STANDBY * (at - FIRST)
    # A spell's size is 1 for what is dark, and the share that is lost for what is degraded.
    for kind in ("lamp_out", "lamp_cycling", "lamp_degraded", "circuit_loss"):
        if dark := wrong[kind]:
            total = total - full * dark.spent(at, nights.of_lamps, (id(nights), "energy"))
    if lost := wrong["circuit_loss"]:
        total = total - STANDBY * lost.spent(at, elapsed, (0, "time"))
    if burns := wrong["day_burner"]:
        by_day = burns.spent(at, elapsed, (0, "time")) - burns.spent(at, nights.lit, (id(nights), "lit"))
        total = total + full * power_share(np.full(1, 100.0)) * by_day
    result: Floats = total / 3.6e6
    return result


def elapsed(at: Floats) -> Floats:
    """Time itself, as a clock."""
    return at


def lamp_energy(at: Floats, lamps: Lamps, wrong: Wrong = NOTHING) -> Floats:
    """The controller's counter [kW.h]: it only rises, until the meter is replaced."""
    used = lamp_used(at, lamps, wrong)
    counted = steady(derive(lamps.keys, "meter"), 0.0, 40.0) + used
    for start, since in () if wrong["meter_replaced"] is None else wrong["meter_replaced"].begun(at):
        counted = np.where(since, used - lamp_used(np.full(1, start), lamps, wrong), counted)
    return counted


def tolerance(lamps: Lamps) -> Floats:
    """How a single lamp differs from its rating."""
    return steady(derive(lamps.keys, "tolerance"), 0.96, 1.04)


def lamp(at: Floats, lamps: Lamps, air: Floats, wrong: Wrong = NOTHING) -> dict[str, Floats]:
    """What a lamp controller measures.

    Args:
        air: air temperature at these moments [Cel].
    """
    watts, level = lamp_power(at, lamps, wrong)
    share = (watts - STANDBY) / lamps.rated
    measured = np.maximum(watts * (1.0 + 0.004 * flicker(at, derive(lamps.keys, "power"))), 0.0)
    volts = mains_voltage(at, lamps.circuit) - lamps.place * 4.0 * (level > 0.0)
    volts = volts + 0.3 * flicker(at, derive(lamps.keys, "volt"))
    if off := wrong["bad_voltage"]:
        volts = volts + off.size(at)
    factor = power_factor(share) + 0.004 * flicker(at, derive(lamps.keys, "factor"))
    out = wrong["lamp_out"]
    dead = np.zeros(measured.shape) if out is None else np.where(out.inside(at) & (level > 0.0), 1.0, 0.0)
    gear = air + 24.0 * np.maximum(share, 0.0) + 0.3 * flicker(at, derive(lamps.keys, "gear"))
    return {
        "power": measured,
        "energy": lamp_energy(at, lamps, wrong),
        "voltage": volts,
        "current": measured / (volts * factor),
        "power_factor": factor,
        "apparent_power": measured / factor,
        "reactive_power": measured * np.sqrt(np.maximum(1.0 / factor**2 - 1.0, 0.0)),
        "dimming_level": level,
        "lamp_on": np.where(measured > 0.05 * lamps.rated, 1.0, 0.0),
        "lamp_failure": dead,
        "operating_hours": lamps.nights.seconds(at, "lit") / HOUR,
        "control_gear_temperature": gear,
        "device_temperature": gear,
    }
