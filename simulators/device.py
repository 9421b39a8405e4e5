"""Devices that do not exist, in cohorts: who they are, when they report, and what they then measure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from devices.fleet_row import FleetRow
from devices.profile import Profile
from simulators.lighting import Index
from simulators.local_time import FIRST
from simulators.noise import Floats, Keys, derive, uniform
from simulators.signals import Measure, Values
from simulators.trouble import Trouble, wrong


class Identity(NamedTuple):
    """Who speaks."""

    name: str
    commune: str
    profile: Profile
    hardware_id: str
    """In the registry besides the name; empty where the name stands in the topic."""


class Samples(NamedTuple):
    """Moments at which devices of one cohort report, in order of time."""

    device: Index
    """Number of the device within its cohort."""
    number: Index
    """Number of the sample since ``FIRST``: the uplink's sequence number."""
    at: Floats
    """Seconds since 1970 UTC, whole milliseconds."""

    def where(self, kept: NDArray[np.bool_]) -> Self:
        """Some of them."""
        return (
            self if kept.all() else self._replace(device=self.device[kept], number=self.number[kept], at=self.at[kept])
        )


@dataclass
class Cohort:
    """Devices of one profile that are computed together."""

    kind: str
    format: str
    profile: Profile
    interval: float
    """Seconds between two reports."""
    names: Sequence[str]
    communes: Sequence[str]
    hardware_ids: Sequence[str]
    keys: Keys
    measure: Measure
    row: Callable[[int], FleetRow]
    """A device as the fleet's CSV states it."""
    leave_out: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Properties that single devices do not send."""
    without: frozenset[str] = frozenset()
    """Properties of the profile that none of them sends."""
    powered: Callable[[Index, Floats], NDArray[np.bool_]] | None = None
    """Whether the feeder is live at these moments; None if it always is."""
    cuts: Mapping[int, Sequence[Trouble]] = field(default_factory=dict)
    """When single devices have no power."""
    troubles: Mapping[int, Sequence[Trouble]] = field(default_factory=dict)
    """What is really wrong with single devices, these cuts too."""

    def __post_init__(self) -> None:
        thousandths = np.floor(uniform(derive(self.keys, "phase"), np.zeros(1, np.int64)) * self.interval * 1000.0)
        self.phase: Floats = FIRST + thousandths / 1000.0
        """When each device reported for the first time: they do not all speak at once."""
        everybody = zip(self.names, self.communes, self.hardware_ids, strict=True)
        self.identities = [Identity(name, commune, self.profile, own) for name, commune, own in everybody]
        self._cuts = self._grouped_cuts()
        self.properties = tuple(entry.name for entry in self.profile.properties if entry.name not in self.without)

    def _grouped_cuts(self) -> list[tuple[NDArray[np.bool_], tuple[Trouble, ...]]]:
        """Cuts that are the same for many devices, as those of a mast or a transformer are, are looked at once."""
        groups: dict[tuple[Trouble, ...], list[int]] = {}
        for number, cuts in self.cuts.items():
            groups.setdefault(tuple(sorted(cuts, key=lambda cut: cut.start)), []).append(number)
        found = []
        for cuts, numbers in groups.items():
            has = np.zeros(len(self.names), dtype=np.bool_)
            has[numbers] = True
            found.append((has, cuts))
        return found

    def due(self, start: float, stop: float, step: float = 0.0) -> Samples:
        """Every report from ``start`` on and before ``stop`` of a device that has power.

        Args:
            step: leave out reports so that they are this many seconds apart; 0 keeps all.
        """
        first = np.ceil((start - self.phase) / self.interval).astype(np.int64)
        last = np.ceil((stop - self.phase) / self.interval).astype(np.int64)
        lengths = np.maximum(last - first, 0)
        index = np.repeat(np.arange(len(self.phase), dtype=np.int64), lengths)
        before = np.cumsum(lengths) - lengths
        count = np.arange(index.size, dtype=np.int64) - before[index] + first[index]
        every = max(1, round(step / self.interval))
        if every > 1:
            kept = count % every == 0
            index, count = index[kept], count[kept]
        found = self.samples(index, count)
        order = np.argsort(found.at, kind="stable")
        return self.awake(Samples(found.device[order], found.number[order], found.at[order]))

    def awake(self, samples: Samples) -> Samples:
        """Those of the samples whose device has power."""
        if self.powered is not None:
            samples = samples.where(self.powered(samples.device, samples.at))
        for has, cuts in self._cuts:
            rows = has[samples.device]
            if rows.any():
                first, last = samples.at[rows].min(), samples.at[rows].max()
                for cut in cuts:
                    if cut.start <= last and cut.stop > first:
                        rows_in = has[samples.device] & (samples.at >= cut.start) & (samples.at < cut.stop)
                        samples = samples.where(~rows_in)
        return samples

    def samples(self, device: Index, number: Index) -> Samples:
        """The samples of these numbers, one of each device."""
        at = np.round((self.phase[device] + number * self.interval) * 1000.0) / 1000.0
        return Samples(device, number, at)

    def values(self, samples: Samples) -> Values:
        """What was measured, for those properties the profile has."""
        found = self.measure(samples.device, samples.at)
        if "uptime" in found:
            found["uptime"] = self._since_power(samples, found["uptime"])
        return {name: found[name] for name in self.properties if name in found}

    def sequence(self, samples: Samples) -> Index:
        """The uplinks' sequence numbers: they start at 0 after a power cut."""
        found = samples.number.copy()
        for has, cuts in self._cuts:
            rows = np.flatnonzero(has[samples.device])
            ends = np.array([cut.stop for cut in cuts])
            last = np.searchsorted(ends, samples.at[rows], side="right") - 1
            rows, last = rows[last >= 0], last[last >= 0]
            first = np.ceil((ends[last] - self.phase[samples.device[rows]]) / self.interval).astype(np.int64)
            found[rows] -= first
        return found

    def kinds(self, samples: Samples) -> dict[int, tuple[str, ...]]:
        """What is really wrong when single samples are taken, by row; with most nothing is."""
        found: dict[int, tuple[str, ...]] = {}
        if self.troubles:
            for number in np.unique(samples.device).tolist():
                for kind, spans in wrong(tuple(self.troubles.get(number, ()))).items():
                    rows = np.flatnonzero(samples.device == number)
                    for row in rows[spans.inside(samples.at[rows])].tolist():
                        found[row] = (*found.get(row, ()), kind)
        return found

    def _since_power(self, samples: Samples, uptime: Floats) -> Floats:
        """Seconds since the last start, which the end of a power cut is too."""
        for has, cuts in self._cuts:
            rows = np.flatnonzero(has[samples.device])
            ends = np.array([cut.stop for cut in cuts])
            if rows.size:
                last = np.searchsorted(ends, samples.at[rows], side="right") - 1
                known = last >= 0
                since = np.round(samples.at[rows[known]] - ends[last[known]])
                uptime[rows[known]] = np.minimum(uptime[rows[known]], since)
        return uptime

    def records(self, samples: Samples, values: Values) -> list[dict[str, float]]:
        """The same, one mapping a report."""
        names = list(values)
        columns = [value.tolist() for value in values.values()]
        records = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        if self.leave_out:
            for index, record in zip(samples.device.tolist(), records, strict=True):
                for name in self.leave_out.get(index, ()):
                    record.pop(name, None)
        return records


def nanoseconds(at: Floats) -> list[int]:
    """Whole milliseconds as nanoseconds."""
    moments: list[int] = (np.round(at * 1000.0).astype(np.int64) * 1_000_000).tolist()
    return moments
