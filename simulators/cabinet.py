"""Lighting cabinets that do not exist: three phases, each the sum of its lamps, the losses and what is stolen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simulators.lighting import Lamps, Trouble, lamp_energy, lamp_power, mains_frequency, mains_voltage, power_factor
from simulators.local_time import FIRST, HOUR
from simulators.noise import Floats, Keys, derive, flicker, steady, uniform

LOSS = 0.025
"""Lost in the feeder, as a share of what the lamps draw. Chosen."""
OWN = 9.0
"""The cabinet's controller, modem and contactor coil [W]. Chosen."""
PHASES = ("l1", "l2", "l3")


@dataclass(frozen=True)
class Circuit:
    """One cabinet's lamps, each with its own troubles."""

    key: Keys
    lamps: Sequence[tuple[Lamps, Sequence[Trouble]]]
    """Lamp ``i`` hangs on phase ``i % 3``."""
    troubles: Sequence[Trouble] = ()
    """Of the circuit itself."""


def _theft(at: Floats, circuit: Circuit) -> Floats:
    """Power taken from the feeder while it is live [W]."""
    stolen = np.zeros(at.shape)
    level = circuit.lamps[0][0].nights.level(at)
    for trouble in circuit.troubles:
        if trouble.kind == "theft":
            stolen = stolen + np.where((at >= trouble.start) & (at < trouble.stop) & (level > 0.0), trouble.size, 0.0)
    return stolen


def _stolen(at: Floats, circuit: Circuit) -> Floats:
    """Energy of ``_theft`` since ``FIRST`` [kW.h]."""
    total = np.zeros(at.shape)
    nights = circuit.lamps[0][0].nights
    for trouble in circuit.troubles:
        if trouble.kind == "theft":
            total = total + trouble.size * nights.during(at, trouble, "lit") / 3.6e6
    return total


def _own_troubles(circuit: Circuit, lamp_troubles: Sequence[Trouble]) -> tuple[Trouble, ...]:
    """A lamp's troubles and those of its circuit that reach it; a lamp's meter is not the cabinet's."""
    kept = [trouble for trouble in lamp_troubles if trouble.kind != "meter_replaced"]
    return (*kept, *(trouble for trouble in circuit.troubles if trouble.kind == "circuit_loss"))


def cabinet_energy(at: Floats, circuit: Circuit) -> Floats:
    """The cabinet's meter [kW.h]: it only rises, until it is replaced."""

    def used(moment: Floats) -> Floats:
        total = OWN * (moment - FIRST) / 3.6e6 + _stolen(moment, circuit)
        start = np.full(1, FIRST)
        for lamps, troubles in circuit.lamps:
            own = _own_troubles(circuit, troubles)
            total = total + (1.0 + LOSS) * (lamp_energy(moment, lamps, own) - lamp_energy(start, lamps, own))
        return total

    counted = steady(derive(circuit.key, "meter"), 2000.0, 9000.0) + used(at)
    for trouble in circuit.troubles:
        if trouble.kind == "meter_replaced":
            counted = np.where(at >= trouble.start, used(at) - used(np.full(1, trouble.start)), counted)
    return counted


def cabinet(at: Floats, circuit: Circuit, region: Keys) -> Mapping[str, Floats]:
    """What a cabinet's meter and contacts say."""
    watts = [np.full(at.shape, OWN / 3.0) for _ in PHASES]
    rated = [1.0, 1.0, 1.0]
    for number, (lamps, troubles) in enumerate(circuit.lamps):
        power, _ = lamp_power(at, lamps, _own_troubles(circuit, troubles))
        watts[number % 3] = watts[number % 3] + (1.0 + LOSS) * power
        rated[number % 3] += float(lamps.rated.flat[0])
    watts[0] = watts[0] + _theft(at, circuit)
    found: dict[str, Floats] = {"energy": cabinet_energy(at, circuit), "frequency": mains_frequency(at, region)}
    total = np.zeros(at.shape)
    reactive = np.zeros(at.shape)
    for phase, drawn, full in zip(PHASES, watts, rated, strict=True):
        measured = drawn * (1.0 + 0.003 * flicker(at, derive(circuit.key, f"power {phase}")))
        feeder = derive(circuit.key, f"phase {phase}")
        volts = mains_voltage(at, circuit.key) + steady(feeder, -2.0, 2.0) + 0.3 * flicker(at, feeder)
        factor = power_factor(measured / full)
        found |= {
            f"voltage_{phase}": volts,
            f"power_{phase}": measured,
            f"power_factor_{phase}": factor,
            f"current_{phase}": measured / (volts * factor),
        }
        total = total + measured
        reactive = reactive + measured * np.sqrt(1.0 / factor**2 - 1.0)
    apparent = np.hypot(total, reactive)
    return found | {
        "power": total,
        "reactive_power": reactive,
        "apparent_power": apparent,
        "power_factor": total / apparent,
        "leakage_current": 4.0 + total / 400.0 + 0.4 * flicker(at, derive(circuit.key, "leakage")),
        "door_open": _door(at, circuit.key),
    }


def _door(at: Floats, key: Keys) -> Floats:
    """Somebody looks into a cabinet for a quarter of an hour about once in three weeks, by day."""
    slot = np.floor(at / HOUR).astype(np.int64)
    by_day = ((at / HOUR + 7.0) % 24.0 > 8.0) & ((at / HOUR + 7.0) % 24.0 < 17.0)
    opened = (uniform(derive(key, "door"), slot) < 1.0 / 190.0) & ((at / HOUR) % 1.0 < 0.25) & by_day
    return np.where(opened, 1.0, 0.0)
