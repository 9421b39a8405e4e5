"""A province of street lamps for the benchmarks: its fleet file, and the messages its devices send."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from devices.fleet_row import FleetRow
from devices.fleet_store import FleetStore
from devices.topics import ROOT

PROFILE = "native_streetlight"
PROPERTIES = (
    "power", "energy", "voltage", "current", "power_factor", "dimming_level", "control_gear_temperature",
)  # fmt: skip
"""The seven values of a message; all are of the measurement ``streetlight``, so a message becomes one line."""
COMMUNES = 207
_STRIDE = 7919
"""Devices speak in this order, not one behind the other: caches are no better than they would be. A prime."""


class Message(NamedTuple):
    """What one device publishes."""

    device: int
    topic: str
    payload: bytes


class Province(NamedTuple):
    """So many devices, in so many communes of equal size."""

    devices: int
    communes: int = COMMUNES

    def commune(self, device: int) -> str:
        """The commune's key."""
        return str(10_000 + device * min(self.communes, self.devices) // self.devices)

    def write_fleet(self, path: Path) -> None:
        """Make the fleet database, as ``village devices import`` would."""
        with FleetStore(path, create=True) as store, store.changing():
            for device in range(self.devices):
                row = FleetRow(
                    device=name(device),
                    profile=PROFILE,
                    commune=self.commune(device),
                    group=f"cabinet-{device // 50}",
                    latitude=20.9 + device % 400 / 1000,
                    longitude=106.2 + device // 400 % 400 / 1000,
                )
                store.put(row, 0)

    def messages(self, first: int, count: int, start_ms: int, per_second: float, probe: int = 0) -> Iterator[Message]:
        """Messages from number ``first`` on.

        Args:
            first: number of the first; the same number is always the same message but for its time.
            count: how many.
            start_ms: time of the first [ms since 1970].
            per_second: their times are so close.
            probe: every so many-th message is of device 0; 0 for none.
        """
        topics = [f"{ROOT}/{self.commune(device)}/{name(device)}/up" for device in range(self.devices)]
        for number in range(count):
            device = 0 if probe and number % probe == 0 else (first + number) * _STRIDE % self.devices
            at = start_ms + int(number * 1000 / per_second)
            yield Message(device, topics[device], payload(first + number, at))


def name(device: int) -> str:
    """The device's name."""
    return f"lamp-{device:06}"


def payload(number: int, at_ms: int) -> bytes:
    """Seven values that are plausible and differ from message to message, with time and number: about 200 bytes."""
    seconds, rest = divmod(at_ms, 1000)
    at = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    values = (
        round(58 + number % 97 / 10, 1), round(1250 + number / 10_000, 3), round(221 + number % 140 / 10, 1),
        round(0.25 + number % 61 / 1000, 3), round(0.9 + number % 90 / 1000, 3), number % 101,
        round(40 + number % 53 / 10, 1),
    )  # fmt: skip
    body = ",".join(f'"{key}":{value}' for key, value in zip(PROPERTIES, values, strict=True))
    return f'{{"observed_at":"{at}.{rest:03}Z","seq":{number},{body}}}'.encode()
