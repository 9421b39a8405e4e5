"""Readings as columns, and the fleet as the tables that columns are looked up in; one conversion serves every judge."""

from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.registry import Registry
from devices.vocabulary import VOCABULARY, Measurement
from gateway.model import Reading

PROPERTY_NUMBER = {name: number for number, name in enumerate(VOCABULARY)}
"""Every property of the vocabulary as a small integer."""
PROPERTIES = tuple(VOCABULARY.values())
MEASUREMENTS = tuple(Measurement)
MEASUREMENT_OF = np.array([MEASUREMENTS.index(entry.measurement) for entry in PROPERTIES], np.int8)
"""Number of each property's measurement."""
SECOND = 1_000_000_000

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
_GET = [itemgetter(number) for number in range(7)]


class Columns(NamedTuple):
    """Some readings, one array a field."""

    device: Integers
    """Index in the registry."""
    property: Integers
    """``PROPERTY_NUMBER``."""
    value: Floats
    at: Integers
    """``observed_at`` [ns UTC]."""
    received: Integers
    """``received_at`` [ns UTC]."""
    quality: NDArray[np.uint8]

    def only(self, chosen: NDArray[np.bool_] | Integers) -> "Columns":
        """Some of the readings."""
        return Columns(
            self.device[chosen],
            self.property[chosen],
            self.value[chosen],
            self.at[chosen],
            self.received[chosen],
            self.quality[chosen],
        )


def columns_of(readings: Sequence[Reading]) -> Columns:
    """The same readings, column by column."""
    count, number = len(readings), PROPERTY_NUMBER.__getitem__
    return Columns(
        np.fromiter(map(_GET[0], readings), np.int64, count),
        np.fromiter(map(number, map(_GET[1], readings)), np.int64, count),
        np.fromiter(map(_GET[2], readings), np.float64, count),
        np.fromiter(map(_GET[3], readings), np.int64, count),
        np.fromiter(map(_GET[4], readings), np.int64, count),
        np.fromiter(map(_GET[5], readings), np.uint8, count),
    )


class FleetTables:
    """What the judges need of a registry, as arrays; made once per fleet."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.count = len(registry)
        self.series_count = registry.series_count
        self.profile = np.array(registry.profile_of, np.int64)
        self.commune = np.array(registry.commune_of, np.int64)
        self.zone = np.array(registry.zone_of, np.int64)
        self.group = np.array(registry.group_of, np.int64)
        """Number of the device's group among ``registry.groups``; the group without a name is one of them."""
        self.interval = np.array(registry.interval, np.int64) * SECOND
        """[ns]"""
        self.with_circuit = (np.array(registry.flags, np.uint8) & Registry.WITH_CIRCUIT) > 0
        self.first_series = np.array(registry.first_series, np.int64)
        self.position = np.full((max(1, len(registry.profiles)), len(PROPERTIES)), -1, np.int64)
        """Where each property stands in each profile; -1 where it does not."""
        for number, profile in enumerate(registry.profiles):
            for place, entry in reversed(list(enumerate(profile.properties))):
                self.position[number, PROPERTY_NUMBER[entry.name]] = place
        widths = np.array([len(profile.properties) for profile in registry.profiles], np.int64)
        self._property_at = np.zeros((max(1, len(widths)), int(widths.max(initial=1))), np.int64)
        for number, profile in enumerate(registry.profiles):
            self._property_at[number, : widths[number]] = [PROPERTY_NUMBER[entry.name] for entry in profile.properties]
        self.width = widths[self.profile] if self.count else np.empty(0, np.int64)
        """Number of series of each device."""

    def series(self, columns: Columns) -> Integers:
        """Index of each reading's series; -1 for a property its profile does not have."""
        place = self.position[self.profile[columns.device], columns.property]
        found: Integers = np.where(place >= 0, self.first_series[columns.device] + place, -1)
        return found

    def device_of_series(self, series: Integers) -> Integers:
        """The device each series belongs to."""
        return np.searchsorted(self.first_series, series, side="right") - 1

    def property_of_series(self, series: Integers) -> Integers:
        """The property of each series."""
        device = self.device_of_series(series)
        found: Integers = self._property_at[self.profile[device], series - self.first_series[device]]
        return found

    def shared_devices(self, old: "FleetTables") -> tuple[Integers, Integers]:
        """Devices that are in both fleets: their index here, and there."""
        index = old.registry.index
        pairs = [(here, index[name]) for here, name in enumerate(self.registry.names) if name in index]
        both = np.array(pairs, np.int64).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    def shared_series(self, old: "FleetTables") -> tuple[Integers, Integers]:
        """Series (device and property) that are in both fleets: their index here, and there."""
        here, there = self.shared_devices(old)
        number = np.repeat(np.arange(len(here)), self.width[here])
        start = np.repeat(np.cumsum(self.width[here]) - self.width[here], self.width[here])
        series = self.first_series[here][number] + np.arange(len(number)) - start
        device = there[number]
        place = old.position[old.profile[device], self.property_of_series(series)]
        kept = place >= 0
        return series[kept], (old.first_series[device] + place)[kept]


def in_rounds(key: Integers, at: Integers) -> Iterator[Integers]:
    """Positions in rounds in which no key comes twice, each key's in order of time.

    Args:
        key: what must not come twice, for example the device.
        at: [ns UTC]
    """
    if len(key) == 0:
        return
    order = np.lexsort((at, key))
    ordered = key[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rank = np.arange(len(key)) - np.repeat(starts, np.diff(np.r_[starts, len(key)]))
    by_rank = np.argsort(rank, kind="stable")
    bounds = np.searchsorted(rank[by_rank], np.arange(rank.max() + 2))
    for number in range(len(bounds) - 1):
        yield order[by_rank[bounds[number] : bounds[number + 1]]]


class Buffer:
    """Readings that wait until there are enough of them (or somebody asks) to be worth a conversion."""

    def __init__(self, take: Callable[[Columns], None], most: int = 20_000) -> None:
        """``take`` gets the readings of many calls at once; ``most`` readings are held at most."""
        self._take = take
        self._most = most
        self._held: list[Reading] = []

    def add(self, readings: Sequence[Reading]) -> None:
        """Hold some more."""
        self._held.extend(readings)
        if len(self._held) >= self._most:
            self.flush()

    def flush(self) -> None:
        """Pass on what is held."""
        if self._held:
            held, self._held = self._held, []
            self._take(columns_of(held))
