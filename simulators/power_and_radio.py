"""What every device says of itself: battery, signal strength, time since its last start."""

import numpy as np

from simulators.local_time import DAY, HOUR, local_hour
from simulators.noise import Floats, Keys, derive, flicker, steady, uniform, wander

BOOT_CELL = 45 * DAY
"""A device starts anew once in each such span, at a moment of its own: a power cut, a watchdog. Chosen."""


def last_boot(at: Floats, keys: Keys) -> Floats:
    """When the device last started before these moments."""
    cell = np.floor(at / BOOT_CELL).astype(np.int64)
    own = derive(keys, "boot")
    this, before = ((number + uniform(own, number)) * BOOT_CELL for number in (cell, cell - 1))
    return np.where(at >= this, this, before)


def radio(at: Floats, keys: Keys) -> dict[str, Floats]:
    """Signal strength [dB[mW]], signal to noise [dB] and Zigbee's link quality of a modem in a cabinet or on a pole."""
    slow = 2.5 * wander(at, 3 * HOUR, derive(keys, "radio"), levels=5)
    rssi = steady(derive(keys, "radio level"), -97.0, -68.0) + slow + 1.5 * flicker(at, derive(keys, "radio noise"))
    return {"rssi": rssi, "snr": (rssi + 100.0) / 3.0, "link_quality": np.clip((rssi + 110.0) * 4.5, 5.0, 255.0)}


def battery(at: Floats, keys: Keys) -> dict[str, Floats]:
    """Level [%] and voltage [V] of a 12 V lead battery with a solar panel: full after noon, low before sunrise."""
    daily = np.cos((local_hour(at) - 15.5) * (2.0 * np.pi / 24.0))
    sun = wander(at, 2 * DAY, derive(keys, "sun"), levels=5)
    level = np.clip(79.0 + 9.0 * daily + 6.0 * sun, 8.0, 100.0)
    volts = 11.4 + 0.0145 * level + 0.45 * np.maximum(daily, 0.0) + 0.01 * flicker(at, derive(keys, "volts"))
    return {"battery": level, "battery_voltage": volts}
