"""Hot state: latest value, time and quality of every series in packed arrays; saved each minute, mended on start."""

import json
import struct
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from devices.profile import Profile
from devices.registry import Registry
from devices.vocabulary import Measurement
from gateway.line.completeness import ANEW, LATE, missing, step
from gateway.line.normalize import watched
from gateway.line.snapshot import read_parts
from gateway.model import Heard, Outcome

RING = 64
"""A repeat is recognised within this many uplinks of a device."""
UNSURE = 2**62
"""``newest`` of a device that has sent a time in the future: no time is later, so every uplink is looked up."""
UNKNOWN, OFFLINE, ONLINE = 0, 1, 2

_SERIES = (("value", "d"), ("time", "q"), ("quality", "B"))
_WATCHED = (("before", "d"), ("run", "H"), ("gap", "H"), ("line", "B"))
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
    time: "array[int]"
    quality: "array[int]"
    """0 where the series has never had a value."""
    before: "array[float]"
    """The value before the latest one. This and the next three are only of watched series, see ``watch``."""
    run: "array[int]"
    """How often in a row the latest value came again."""
    gap: "array[int]"
    """Minutes from the value before to the latest one, rounded up; 0 where it is no neighbour to compare with."""
    line: "array[int]"
    """Worst flag of the line in which the latest value is stored, 0 where it is not."""
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
        self._layout = {profile.id: _Layout.of(profile) for profile in registry.profiles}
        self.watch, watched_count = _first_rows(registry, [len(layout.watched) for layout in self._layout.values()])
        """Index of the device's first watched series: those whose change or repetition is judged, in the order of
        ``normalize.watched``. Most series are not, and need no columns for it."""
        for columns, count in (
            (_SERIES, registry.series_count), (_WATCHED, watched_count), (_DEVICE, len(registry))
        ):  # fmt: skip
            for name, code in columns:
                setattr(self, name, array(code, bytes(array(code).itemsize * count)))
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
        for device, name in enumerate(registry.names):
            before = self.registry.index.get(name)
            if before is not None:
                layout = self._layout[self.registry.profile(before).id]
                fresh._take_over(
                    device, self, _Place(before, self.registry.first_series[before], self.watch[before]), layout
                )
                fresh.stamp[device] = min(1, self.stamp[before])
        return fresh

    def _take_over(self, device: int, other: "State | _Columns", place: "_Place", layout: "_Layout") -> None:
        """What was known of a device elsewhere, whose profile had that layout there."""
        own, registry = self._layout[self.registry.profile(device).id], self.registry
        for columns, here, there, names, names_there in (
            (_SERIES, registry.first_series[device], place.series, own.properties, layout.properties),
            (_WATCHED, self.watch[device], place.watched, own.watched, layout.watched),
        ):
            for number, origin in _shared(names, names_there):
                for field, _ in columns:
                    getattr(self, field)[here + number] = getattr(other, field)[there + origin]
        for field, _ in _DEVICE:
            getattr(self, field)[device] = getattr(other, field)[place.device]
        for column, kept in zip(self.ring, other.ring, strict=True):
            column[device] = kept[place.device]

    # snapshot ------------------------------------------------------------------------------------------------

    def snapshot(self, through: int) -> list[bytes]:
        """The state as of journal row ``through``, ready to be written by another thread."""
        header = {"through": through, "ring": len(self.ring), "profiles": self._layout}
        # A column changes while another thread writes it, so the line's thread copies it here: a few milliseconds.
        columns = [getattr(self, name).tobytes() for name, _ in (*_SERIES, *_WATCHED, *_DEVICE)]
        fleet = [self._names(), self.registry.profile_of.tobytes()]
        return [json.dumps(header).encode(), *fleet, *columns, *(column.tobytes() for column in self.ring)]

    def _names(self) -> bytes:
        return self.registry.names.joined()

    def restore(self, path: Path) -> int:
        """Read a snapshot; return the journal row it was taken at (0: there is none that can be read).

        A snapshot is an optimisation: whatever is wrong with it, the state only starts emptier.
        """
        try:
            head, names, profile_of, *columns = read_parts(path)
            header = json.loads(bytes(head))
            layouts = [_Layout(*map(list, layout)) for layout in header["profiles"].values()]
            through = int(header["through"])
            saved = _Columns(columns, int(header["ring"]), layouts, profile_of)
            is_same = header["profiles"] == json.loads(json.dumps(self._layout))
            if is_same and names == self._names() and profile_of == self.registry.profile_of.tobytes():
                self._fill(saved)
            else:
                self._fill_changed(saved, bytes(names).decode().splitlines(), layouts)
        except (OSError, ValueError, KeyError, IndexError, TypeError, struct.error):
            return 0
        return through

    def _fill(self, saved: "_Columns") -> None:
        for name, column in vars(saved).items():
            setattr(self, name, column)
        np.frombuffer(self.stamp, np.uint64)[:] = np.frombuffer(self.seen, np.int64) > 0

    def _fill_changed(self, saved: "_Columns", devices: Sequence[str], layouts: Sequence["_Layout"]) -> None:
        """The fleet changed while the gateway was down: take over what still has the same device, by property."""
        if len(devices) != len(saved.profile_of):
            raise ValueError("as many names as devices")
        self.ring = [array("Q", bytes(8 * len(self.registry))) for _ in saved.ring]
        series = watched = 0
        for before, (name, number) in enumerate(zip(devices, saved.profile_of, strict=True)):
            device, layout = self.registry.index.get(name), layouts[number]
            if device is not None:
                self._take_over(device, saved, _Place(before, series, watched), layout)
                self.stamp[device] = min(1, self.seen[device])
            series, watched = series + len(layout.properties), watched + len(layout.watched)


class _Layout(NamedTuple):
    """Which series a device of one profile has, in their order."""

    properties: list[str]
    watched: list[str]

    @classmethod
    def of(cls, profile: Profile) -> "_Layout":
        return cls([entry.name for entry in profile.properties], watched(profile))


class _Place(NamedTuple):
    """Where a device stands in some columns."""

    device: int
    series: int
    watched: int


class _Columns:
    """A snapshot's columns, of the lengths they must have, by the names they have in ``State``."""

    def __init__(
        self, data: Sequence[memoryview], ring: int, layouts: Sequence[_Layout], profile_of: memoryview
    ) -> None:
        self.profile_of = _array("H", profile_of)
        count = len(self.profile_of)
        devices = np.bincount(np.frombuffer(profile_of, np.uint16), minlength=len(layouts)).tolist()
        pairs = list(zip(devices, layouts, strict=True))
        counts = {
            _SERIES: sum(number * len(layout.properties) for number, layout in pairs),
            _WATCHED: sum(number * len(layout.watched) for number, layout in pairs),
            _DEVICE: count,
        }
        wanted = [(name, code, length) for columns, length in counts.items() for name, code in columns]
        wanted += [("", "Q", count)] * ring
        self.ring: list[array[int]] = []
        for (name, code, length), part in zip(wanted, data, strict=True):
            column = _array(code, part)
            if len(column) != length:
                raise ValueError("a column of another length")
            if name:
                setattr(self, name, column)
            else:
                self.ring.append(column)


def _array(code: str, data: memoryview) -> "array[Any]":
    found = array(code)
    found.frombytes(data)
    return found


def _first_rows(registry: Registry, widths: Sequence[int]) -> "tuple[array[int], int]":
    """Where each device's rows begin if a device has as many as its profile says, and how many there are."""
    rows = (
        np.array(widths, np.int64)[np.frombuffer(registry.profile_of, np.uint16)] if len(registry) else np.zeros(0, int)
    )
    ends = np.cumsum(rows)
    return _array("I", memoryview((ends - rows).astype(np.uint32).tobytes())), int(rows.sum())


def _shared(names: Sequence[str], names_there: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Places of what is in both lists: here, and there."""
    there = {name: number for number, name in reversed(list(enumerate(names_there)))}
    for number, name in enumerate(names):
        if name in there:
            yield number, there[name]
