"""Packed columns to and from a snapshot, also of another fleet: devices are matched by name and profile."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.analytics.columns import FleetTables, Signature
from gateway.analytics.series import SeriesNumbers
from gateway.line.snapshot import Bytes

Integers = NDArray[np.int64]
PackedColumns = Mapping[str, NDArray[Any]]
_STEP = 16_384
"""Rows that are compared at once. Chosen."""


class Match(NamedTuple):
    """What two fleets share: ``here[i]`` in this one was ``there[i]`` in the other."""

    devices_here: Integers
    devices_there: Integers
    series_here: Integers
    series_there: Integers


def match(saved: Bytes, tables: FleetTables) -> Match:
    """What a fleet shares with the one whose signature was saved: devices of the same name and profile.

    Raises:
        ValueError: it is no signature.
    """
    if saved == tables.signature:
        devices, series = np.arange(tables.count), np.arange(tables.series_count)
        return Match(devices, devices, series, series)
    registry, old = tables.registry, Signature.read(bytes(saved))
    known = {f"{profile.id} {len(profile.properties)}": number for number, profile in enumerate(registry.profiles)}
    number_here = np.array([known.get(profile, -1) for profile in old.profiles], np.int64)[old.numbers]
    pairs = [
        (device, there)
        for there, name in enumerate(old.names)
        if (device := registry.index.get(name)) is not None and number_here[there] == tables.profile[device]
    ]
    here, there = np.array(pairs, np.int64).reshape(-1, 2).T
    widths = np.array([int(profile.rpartition(" ")[2]) for profile in old.profiles], np.int64)
    width = widths[old.numbers[there]]
    which = np.repeat(np.arange(len(width)), width)
    place = np.arange(len(which)) - np.repeat(np.cumsum(width) - width, width)
    return Match(
        here,
        there,
        tables.numbers.of(here[which], place),
        SeriesNumbers(old.numbers, widths).of(there[which], place),
    )


def dump(columns: PackedColumns) -> dict[str, Bytes]:
    """Views of every column, which must be written before the columns change."""
    return {name: column.view(np.uint8).data if column.size else b"" for name, column in columns.items()}


def load(columns: PackedColumns, saved: Mapping[str, Bytes], here: Integers, there: Integers) -> None:
    """Rows ``there`` of saved columns into rows ``here`` of these.

    Raises:
        KeyError, ValueError, IndexError: a column is missing or does not fit.
    """
    same = np.array_equal(here, there) and np.array_equal(here, np.arange(len(here)))
    for name, column in columns.items():
        old = np.frombuffer(saved[name], column.dtype).reshape(-1, *column.shape[1:])
        if same and len(old) == len(column) == len(here):
            for first in range(0, len(column), _STEP):
                now, then = column[first : first + _STEP], old[first : first + _STEP]
                # Zeros that are not written take no memory.
                if not np.array_equal(now, then):
                    now[:] = then
        else:
            column[here] = old[there]


def to_parts(named: Mapping[str, Bytes]) -> list[Bytes]:
    """Named bytes as a list, for who saves lists."""
    return [json.dumps(list(named)).encode(), *named.values()]


def from_parts(parts: Sequence[Bytes]) -> dict[str, Bytes]:
    """What ``to_parts`` made a list of.

    Raises:
        ValueError: it is no such list.
    """
    if not parts:
        raise ValueError("an empty snapshot")
    return dict(zip(json.loads(bytes(parts[0])), parts[1:], strict=True))
