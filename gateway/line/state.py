"""Hot state: latest value, time and quality of every series in packed arrays; saved each minute, mended on start."""

import json
import os
import struct
import threading
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from devices.registry import Registry
from devices.vocabulary import Measurement
from gateway.line.completeness import ANEW, LATE, missing, step
from gateway.model import Heard, Outcome

MAGIC = b"VILLAGE2"
RING = 64
"""A repeat is recognised within this many uplinks of a device."""
UNSURE = 2**62
"""``newest`` of a device that has sent a time in the future: no time is later, so every uplink is looked up."""
UNKNOWN, OFFLINE, ONLINE = 0, 1, 2

_SERIES = (
    ("value", "d"), ("before", "d"), ("time", "q"), ("quality", "B"), ("run", "H"), ("gap", "H"), ("line", "B"),
)  # fmt: skip
_DEVICE = (("seen", "q"), ("newest", "q"), ("status", "B"), ("slot", "B"), ("sequence", "q"), ("unread", "H"))


class Latest(NamedTuple):
    """The newest value of one series."""

    value: float
    """Canonical unit."""
    observed_at: int
    """Nanoseconds UTC."""
    quality: int


class Spike(NamedTuple):
    """A stored value that the value after it has shown to be a spike."""

    property: str
    measurement: Measurement
    at: int
    """Nanoseconds UTC."""
    line: int
    """Worst flag of the line it is stored in."""


class State:
    """What the gateway knows now. Written by the line's thread only; readers may be a commit behind."""

    value: "array[float]"
    before: "array[float]"
    """The value before the latest one."""
    gap: "array[int]"
    """Minutes from the value before to the latest one, rounded up; 0 where it is no neighbour to compare with."""
    line: "array[int]"
    """Worst flag of the line in which the latest value is stored, 0 where it is not; only of series whose rate of
    change is judged."""
    time: "array[int]"
    quality: "array[int]"
    """0 where the series has never had a value."""
    run: "array[int]"
    """How often in a row the latest value came again."""
    seen: "array[int]"
    """``received_at`` of the device's last uplink; 0 never."""
    newest: "array[int]"
    """Greatest ``observed_at`` of the device: what is later cannot be a repeat."""
    status: "array[int]"
    slot: "array[int]"
    """Where in the ring the device's next identity goes."""
    sequence: "array[int]"
    """The device's newest sequence number, and 1 more: 0 is none."""
    unread: "array[int]"
    """Refused uplinks since then; their numbers are not known."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        for name, code in _SERIES:
            setattr(self, name, array(code, bytes(array(code).itemsize * registry.series_count)))
        for name, code in _DEVICE:
            setattr(self, name, array(code, bytes(array(code).itemsize * len(registry))))
        self.ring: list[array[int]] = []
        """Identities (64-bit hashes), slot by slot, so that a young fleet does not pay for all 64."""
        self.stamp = array("Q", bytes(8 * len(registry)))
        """``version`` at which the device last changed."""
        self.version = 1
        self.spikes: list[Spike] = []
        """Found by the judge, and not written yet."""

    def latest(self, series: int) -> Latest | None:
        """The newest value of a series, or None if it never had one."""
        quality = self.quality[series]
        return Latest(self.value[series], self.time[series], quality) if quality else None

    def last_seen(self, device: int) -> int:
        """``received_at`` [ns UTC] of the device's last uplink; 0 never."""
        return self.seen[device]

    def online(self, device: int) -> bool | None:
        """What the device's last status said; None if it never said anything."""
        return {OFFLINE: False, ONLINE: True}.get(self.status[device])

    def changed_since(self, token: int) -> tuple[int, list[int]]:
        """Devices that changed after ``token`` (0 for all that ever spoke), and the token to ask with next."""
        now = self.version
        stamps = np.frombuffer(self.stamp, dtype=np.uint64) if len(self.stamp) else np.empty(0, np.uint64)
        return now, np.nonzero(stamps > token)[0].tolist()

    # repeats -------------------------------------------------------------------------------------------------

    def remembers(self, device: int, identity: int) -> bool:
        """Whether this identity is among the device's last 64."""
        return any(column[device] == identity for column in self.ring)

    def remember(self, device: int, identity: int) -> None:
        """Put an identity into the device's ring."""
        slot = self.slot[device]
        if slot >= len(self.ring):
            self.ring.append(array("Q", bytes(8 * len(self.registry))))
        self.ring[slot][device] = identity
        self.slot[device] = (slot + 1) % RING

    # completeness --------------------------------------------------------------------------------------------

    def count_on(self, device: int, number: int) -> int:
        """Take a sequence number; returns what is missing, as ``completeness`` says."""
        newest = self.sequence[device] - 1
        if newest >= 0 and number == newest + 1:
            self.sequence[device] = number + 1
            self.unread[device] = 0
            return 0
        moved = step(newest, number) if newest >= 0 else ANEW
        lost = missing(moved, self.unread[device])
        if moved != LATE:
            self.sequence[device] = number + 1
            self.unread[device] = 0
        return lost

    def miss_number(self, device: int) -> bool:
        """An uplink was refused before its number could be read; False if the device does not number them."""
        if not self.sequence[device]:
            return False
        self.unread[device] = min(self.unread[device] + 1, 65535)
        return True

    def recall(self, device: int, entry: Heard) -> None:
        """Know again, after a restart, what the journal says was heard of a device since the last snapshot."""
        self.stamp[device] = self.version
        if entry.numbered and entry.outcome is Outcome.KEPT:
            self.remember(device, entry.identity)
        if entry.live:
            self.seen[device] = max(self.seen[device], entry.received_at)
        if entry.online is not None:
            self.status[device] = ONLINE if entry.online else OFFLINE
        if entry.sequence and entry.outcome is Outcome.REFUSED:
            self.miss_number(device)
        elif entry.sequence:
            self.count_on(device, entry.sequence - 1)

    # fleet changes -------------------------------------------------------------------------------------------

    def carried_to(self, registry: Registry) -> "State":
        """The same knowledge for a changed fleet: devices by name, properties by name."""
        fresh = State(registry)
        fresh.ring = [array("Q", bytes(8 * len(registry))) for _ in self.ring]
        old = self.registry
        for device, name in enumerate(registry.names):
            before = old.index.get(name)
            if before is None:
                continue
            for field, _ in _DEVICE:
                getattr(fresh, field)[device] = getattr(self, field)[before]
            for column, kept in zip(fresh.ring, self.ring, strict=True):
                column[device] = kept[before]
            names = [entry.name for entry in old.profile(before).properties]
            for series, origin in _shared_series(registry, device, names):
                for field, _ in _SERIES:
                    getattr(fresh, field)[series] = getattr(self, field)[old.first_series[before] + origin]
            fresh.stamp[device] = min(1, self.stamp[before])
        return fresh

    # snapshot ------------------------------------------------------------------------------------------------

    def snapshot(self, through: int) -> list[bytes]:
        """The state as of journal row ``through``, ready to be written by another thread."""
        header = {
            "through": through,
            "ring": len(self.ring),
            "profiles": self._profiles(),
        }
        # A column changes while another thread writes it, so the line's thread copies it here: a few milliseconds.
        names = zlib.compress("\n".join(self._signature()).encode(), 1)
        columns = [getattr(self, name).tobytes() for name, _ in (*_SERIES, *_DEVICE)]
        return [json.dumps(header).encode(), names, *columns, *(column.tobytes() for column in self.ring)]

    def _profiles(self) -> dict[str, list[str]]:
        """Property names in the order of their series, by profile: a mended profile must not mix up old values."""
        return {profile.id: [entry.name for entry in profile.properties] for profile in self.registry.profiles}

    def _signature(self) -> Iterator[str]:
        for device, name in enumerate(self.registry.names):
            yield f"{name} {self.registry.profiles[self.registry.profile_of[device]].id}"

    def restore(self, path: Path) -> int:
        """Read a snapshot; return the journal row it was taken at (0: there is none that can be read).

        A snapshot is an optimisation: whatever is wrong with it, the state only starts emptier.
        """
        try:
            parts = read_parts(path)
            header = json.loads(parts[0])
            through, ring, profiles = int(header["through"]), int(header["ring"]), dict(header["profiles"])
            devices = zlib.decompress(parts[1]).decode().splitlines()
            columns = _Columns(parts[2:], ring, devices, profiles)
        except (OSError, ValueError, KeyError, IndexError, TypeError, zlib.error, struct.error):
            return 0
        if profiles == self._profiles() and devices == list(self._signature()):
            self._fill(columns)
        else:
            self._fill_changed(columns, devices, profiles)
        return through

    def _fill(self, columns: "_Columns") -> None:
        for name, column in columns.by_name.items():
            setattr(self, name, column)
        self.ring = columns.ring
        for device, seen in enumerate(self.seen):
            if seen:
                self.stamp[device] = 1

    def _fill_changed(self, columns: "_Columns", devices: Sequence[str], profiles: Mapping[str, Sequence[str]]) -> None:
        """The fleet changed while the gateway was down: take over what still has the same device, by property."""
        self.ring = [array("Q", bytes(8 * len(self.registry))) for _ in columns.ring]
        first = 0
        for before, line in enumerate(devices):
            name, _, profile = line.partition(" ")
            device = self.registry.index.get(name)
            if device is not None:
                for series, origin in _shared_series(self.registry, device, profiles[profile]):
                    for field, _ in _SERIES:
                        getattr(self, field)[series] = columns.by_name[field][first + origin]
                for field, _ in _DEVICE:
                    getattr(self, field)[device] = columns.by_name[field][before]
                for ring, kept in zip(self.ring, columns.ring, strict=True):
                    ring[device] = kept[before]
                self.stamp[device] = min(1, self.seen[device])
            first += len(profiles[profile])


class _Columns:
    """A snapshot's columns, of the lengths they must have."""

    def __init__(
        self, data: Sequence[bytes], ring: int, devices: Sequence[str], profiles: Mapping[str, Sequence[str]]
    ) -> None:
        series = sum(len(profiles[line.partition(" ")[2]]) for line in devices)
        counts = [series] * len(_SERIES) + [len(devices)] * (len(_DEVICE) + ring)
        codes = [code for _, code in (*_SERIES, *_DEVICE)] + ["Q"] * ring
        found = [array(code, part) for code, part in zip(codes, data, strict=True)]
        if [len(column) for column in found] != counts:
            raise ValueError("columns of another length")
        self.by_name = {name: column for (name, _), column in zip((*_SERIES, *_DEVICE), found, strict=False)}
        self.ring: list[array[int]] = found[len(self.by_name) :]


def _shared_series(new: Registry, device: int, names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Series of the device now, and where the same property was among the properties it had."""
    origin = {name: number for number, name in reversed(list(enumerate(names)))}
    for number, entry in enumerate(new.profile(device).properties):
        if entry.name in origin:
            yield new.first_series[device] + number, origin[entry.name]


def read_parts(path: Path) -> list[bytes]:
    """The parts of a file that ``Saver`` has written.

    Raises:
        OSError, ValueError, struct.error: there is none, or it is not whole.
    """
    data = path.read_bytes()
    if data[:8] != MAGIC or zlib.crc32(data[12:]) != struct.unpack_from("<I", data, 8)[0]:
        raise ValueError("not a snapshot")
    parts, at = [], 12
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        parts.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    return parts


class Saver:
    """Writes snapshots in its own thread, whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread: threading.Thread | None = None

    def save(self, parts: list[bytes], *, wait: bool = False) -> bool:
        """Write a snapshot; returns False if the one before is still being written."""
        if self._thread is not None and self._thread.is_alive():
            if not wait:
                return False
            self._thread.join()
        self._thread = threading.Thread(target=self._write, args=(parts,), name="state-saver")
        self._thread.start()
        if wait:
            self._thread.join()
        return True

    def _write(self, parts: list[bytes]) -> None:
        temporary = self.path.with_suffix(".new")
        body = b"".join(struct.pack("<Q", len(part)) + part for part in parts)
        try:
            with temporary.open("wb") as file:
                file.write(MAGIC + struct.pack("<I", zlib.crc32(body)) + body)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError:
            # A full disk must not stop the line; the journal says loudly that there is no room.
            temporary.unlink(missing_ok=True)
