"""Devices that do not exist, in cohorts: who they are, when they report, and what they then measure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from devices.fleet_row import FleetRow
from devices.profile import Profile
from simulators.local_time import FIRST
from simulators.noise import Floats, Keys, derive, uniform
from simulators.signals import Index, Measure, Values


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
    profile: Profile
    interval: float
    """Seconds between two reports."""
    names: Sequence[str]
    communes: Sequence[str]
    keys: Keys
    measure: Measure
    row: Callable[[int], FleetRow]
    """A device as the fleet's CSV states it."""
    leave_out: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """Properties that single devices do not send."""
    powered: Callable[[Index, Floats], NDArray[np.bool_]] | None = None
    """Whether devices have power at their moments; None if they always have."""

    def __post_init__(self) -> None:
        thousandths = np.floor(uniform(derive(self.keys, "phase"), np.zeros(1, np.int64)) * self.interval * 1000.0)
        self.phase: Floats = FIRST + thousandths / 1000.0
        """When each device reported for the first time: they do not all speak at once."""
        self.properties = tuple(entry.name for entry in self.profile.properties)

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
        found = Samples(found.device[order], found.number[order], found.at[order])
        return found if self.powered is None else found.where(self.powered(found.device, found.at))

    def samples(self, device: Index, number: Index) -> Samples:
        """The samples of these numbers, one of each device."""
        at = np.round((self.phase[device] + number * self.interval) * 1000.0) / 1000.0
        return Samples(device, number, at)

    def values(self, samples: Samples) -> Values:
        """What was measured, for those properties the profile has."""
        found = self.measure(samples.device, samples.at)
        return {name: found[name] for name in self.properties if name in found}

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
