"""Readings as columns, and the fleet as the tables that columns are looked up in; one conversion serves every judge."""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.registry import Registry
from devices.vocabulary import VOCABULARY, Measurement
from gateway.analytics.series import SeriesNumbers
from gateway.model import Judged, Reading

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


def columns_of_judged(judged: Sequence[Judged]) -> Columns:
    """Lines of readings, reading by reading, column by column."""
    counts = np.fromiter((len(one.values) for one in judged), np.int64, len(judged))
    total, number = int(counts.sum()), PROPERTY_NUMBER.__getitem__
    return Columns(
        np.repeat(np.fromiter((one.device for one in judged), np.int64, len(judged)), counts),
        np.fromiter(map(number, chain.from_iterable(one.properties for one in judged)), np.int64, total),
        np.fromiter(chain.from_iterable(one.values for one in judged), np.float64, total),
        np.repeat(np.fromiter((one.at for one in judged), np.int64, len(judged)), counts),
        np.repeat(np.fromiter((one.received_at for one in judged), np.int64, len(judged)), counts),
        np.fromiter(chain.from_iterable(one.flags for one in judged), np.uint8, total),
    )


class FleetTables:
    """What the judges need of a registry, as arrays; made once per fleet."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.count = len(registry)
        self.profile = np.array(registry.profile_of, np.int32)
        self.commune = np.array(registry.commune_of, np.int32)
        self.zone = np.array(registry.zone_of, np.int32)
        self.group = np.array(registry.group_of, np.int32)
        """Number of the device's group among ``registry.groups``; the group without a name is one of them."""
        self.interval = np.array(registry.interval, np.int64) * SECOND
        """[ns]"""
        self.with_circuit = (np.array(registry.flags, np.uint8) & Registry.WITH_CIRCUIT) > 0
        self._place = np.full((max(1, len(registry.profiles)), len(PROPERTIES)), -1, np.int64)
        """Where each property stands in each profile; -1 where it does not."""
        for number, profile in enumerate(registry.profiles):
            for place, entry in reversed(list(enumerate(profile.properties))):
                self._place[number, PROPERTY_NUMBER[entry.name]] = place
        widths = np.array([len(profile.properties) for profile in registry.profiles], np.int64)
        self.numbers = SeriesNumbers(self.profile, widths)
        self.series_count = self.numbers.count
        entries = [entry for profile in registry.profiles for entry in profile.properties]
        self._property_of_block = np.array([PROPERTY_NUMBER[entry.name] for entry in entries], np.int64)

    def series(self, columns: Columns) -> Integers:
        """Number of each reading's series; -1 for a property its profile does not have."""
        place = self._place[self.profile[columns.device], columns.property]
        return np.where(place >= 0, self.numbers.of(columns.device, np.maximum(place, 0)), -1)

    def series_of(self, device: int, place: int) -> int:
        """Number of one series of one device, by its place in the profile."""
        return int(self.numbers.of(np.array([device]), np.array([place]))[0])

    def device_of_series(self, series: Integers) -> Integers:
        """The device each series belongs to."""
        return self.numbers.device(series)

    def property_of_series(self, series: Integers) -> Integers:
        """The property of each series."""
        found: Integers = self._property_of_block[self.numbers.block(series)]
        return found

    @property
    def signature(self) -> bytes:
        """Names and profiles of the fleet; the same bytes for the same fleet. ``Signature`` reads them."""
        profiles = [f"{profile.id} {len(profile.properties)}" for profile in self.registry.profiles]
        names = self.registry.names
        head = json.dumps([len(names), profiles]).encode()
        return b"\n".join([head, *([names.joined()] if len(names) else ()), self.profile.tobytes()])


class Signature(NamedTuple):
    """Who was in a fleet."""

    profiles: list[str]
    """Id and number of properties of each."""
    names: list[str]
    """Of the devices."""
    numbers: NDArray[np.int32]
    """The profile of each."""

    @classmethod
    def read(cls, data: bytes) -> "Signature":
        """What ``FleetTables.signature`` gave; names are single words.

        Raises:
            ValueError: it is no signature.
        """
        count, profiles = json.loads(data.partition(b"\n")[0])
        size = int(count) * 4
        words = data[: len(data) - size].decode().split("\n")
        if len(words) != count + 2 or words[-1]:
            raise ValueError("as many names as devices")
        return cls(list(profiles), words[1:-1], np.frombuffer(data[len(data) - size :], np.int32))


def distinct(*columns: NDArray[np.integer]) -> tuple[list[tuple[int, ...]], Integers]:
    """The different rows of some columns, in order, and which of them each row is."""
    key = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        low, high = int(column.min(initial=0)), int(column.max(initial=0))
        key = key * (high - low + 1) + column - low
    _, first, which = np.unique(key, return_index=True, return_inverse=True)
    return list(zip(*(column[first].tolist() for column in columns), strict=True)), which


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
