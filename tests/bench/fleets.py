"""``fleet_import_s`` and ``lookup_us``: a province's fleet from its CSV, and who speaks on a topic."""

import csv
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from devices.fleet_import import import_rows
from devices.fleet_store import FleetStore, open_fleet
from devices.profile import shipped_profiles
from devices.registry import Registry
from devices.topics import VENDOR_SOURCES
from tests.bench.figures import Size, Taken
from tests.bench.province import PROFILE, Province, name

KEYS = ("fleet_import_s", "lookup_us")
LOOKUPS = 100_000
STRIDE = 7919
VENDORS = ("tasmota", "chirpstack")
DEV_EUI = "a84041{:010x}"


def measure(size: Size, work: Path) -> list[Taken]:
    """One in three devices speaks by a vendor's topic with a hardware id, one by a LoRaWAN network server."""
    province = Province(size.devices)
    table, database = work / "fleet.csv", work / "imported.db"
    _write(table, province)
    began = time.perf_counter()
    with closing(FleetStore(database, create=True)) as store:
        imported = import_rows(store, table, shipped_profiles(), 1, apply=True)
    seconds = time.perf_counter() - began
    assert imported.added == province.devices, imported
    registry = open_fleet(database, shipped_profiles().values(), [VENDOR_SOURCES[vendor] for vendor in VENDORS])
    database.unlink()
    found = {part: [_lookup(registry, topics) for _ in range(size.pairs)] for part, topics in _topics(province).items()}
    return [Taken.of("fleet_import_s", seconds), Taken("lookup_us", found)]


def _write(path: Path, province: Province) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["device", "profile", "commune", "zone", "group", "name", "hardware_ids"])
        for device in range(province.devices):
            hardware = ("", f"tasmota_{device:06x}", DEV_EUI.format(device))[device % 3]
            group = f"cabinet-{device // 50}"
            writer.writerow(
                [name(device), PROFILE, province.commune(device), "street", group, f"Đèn {device}", hardware]
            )


def _topics(province: Province) -> dict[str, list[str]]:
    devices = [number * STRIDE % (province.devices // 3) * 3 for number in range(LOOKUPS)]
    kinds: dict[str, Callable[[int], str]] = {
        "own topic": lambda device: f"village/{province.commune(device)}/{name(device)}/up",
        "vendor's alias": lambda device: f"tele/tasmota_{device + 1:06x}/SENSOR",
        "DevEUI": lambda device: f"application/7/device/{DEV_EUI.format(device + 2)}/event/up",
    }
    return {part: [topic(device) for device in devices] for part, topic in kinds.items()}


def _lookup(registry: Registry, topics: Sequence[str]) -> float:
    """Microseconds, every topic once."""
    find, at = registry.find, time.time_ns()
    began = time.perf_counter()
    for topic in topics:
        find(topic, at)
    return (time.perf_counter() - began) / len(topics) * 1e6
