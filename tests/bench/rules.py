"""``rules_us`` and ``silent_s``: what alerts cost for one reading, and for one look at a whole province."""

import time
from pathlib import Path

import numpy as np

from devices.fleet_store import open_fleet
from devices.profile import shipped_profiles
from gateway.analytics.alerts import JUDGE_EVERY, Alerts
from gateway.analytics.columns import PROPERTY_NUMBER, Columns, FleetTables
from tests.bench import stage
from tests.bench.figures import Size, Taken
from tests.bench.province import PROPERTIES, Province

KEYS = ("rules_us", "silent_s")
TOGETHER = 10_000
"""Messages that are looked at together: a good second of a province."""
LOOKS = 20
SECOND = 1_000_000_000
VALUES = {"power": 58.0, "energy": 1250.0, "voltage": 221.0, "current": 0.27, "power_factor": 0.95,
          "dimming_level": 80.0, "control_gear_temperature": 42.0}  # fmt: skip


def measure(size: Size, work: Path) -> list[Taken]:
    """The rules of the standards over a province's readings, as the analytics thread asks them; then the look at every
    device that is due each ten seconds, with all of them just heard, and with all of them silent for an hour."""
    registry = open_fleet(stage.fleet_file(work, Province(size.devices)), shipped_profiles().values())
    start = time.time_ns()
    tables = FleetTables(registry)
    alerts = Alerts(tables, start)
    rules = [_rules_us(alerts, start + look * SECOND, look, size.devices) for look in range(LOOKS)]
    alerts.silence.take(np.arange(tables.count), np.full(tables.count, start))
    moments = {"all heard": start + LOOKS * SECOND, "all silent": start + 3600 * SECOND}
    silent: dict[str, list[float]] = {}
    for part, now in moments.items():
        for look in range(size.pairs):
            began = time.perf_counter()
            alerts.tick(now + look * JUDGE_EVERY)
            silent.setdefault(part, []).append(time.perf_counter() - began)
    return [Taken.of("rules_us", *rules), Taken("silent_s", silent)]


def _rules_us(alerts: Alerts, now: int, look: int, devices: int) -> float:
    """Microseconds for one reading."""
    count, width = min(TOGETHER, devices), len(PROPERTIES)
    device = (look * count + np.arange(count)) % devices
    columns = Columns(
        np.repeat(device, width),
        np.tile(np.array([PROPERTY_NUMBER[name] for name in PROPERTIES]), count),
        np.tile(np.array([VALUES[name] for name in PROPERTIES]), count) + look / 10,
        np.full(count * width, now),
        np.full(count * width, now),
        np.ones(count * width, np.uint8),
    )
    began = time.perf_counter()
    alerts.take(columns)
    return (time.perf_counter() - began) / (count * width) * 1e6
