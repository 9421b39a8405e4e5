"""Packed columns to and from a snapshot, also of another fleet: devices are matched by name and profile."""

import json
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.analytics.columns import FleetTables

Integers = NDArray[np.int64]
PackedColumns = Mapping[str, NDArray[Any]]


class Match(NamedTuple):
    """What two fleets share: ``here[i]`` in this one was ``there[i]`` in the other."""

    devices_here: Integers
    devices_there: Integers
    series_here: Integers
    series_there: Integers


@lru_cache(maxsize=1)
def signature(tables: FleetTables) -> bytes:
    """Names and profiles of a fleet, compressed; kept for the fleet in use, which every snapshot asks for."""
    profiles = tables.registry.profiles
    ids = [f"{profile.id} {len(profile.properties)}" for profile in profiles]
    lines = (
        f"{name} {ids[number]}" for name, number in zip(tables.registry.names, tables.profile.tolist(), strict=True)
    )
    return zlib.compress("\n".join(lines).encode(), 1)


def match(saved: bytes, tables: FleetTables) -> Match:
    """What a fleet shares with the one whose signature was saved: devices of the same name and profile.

    Raises:
        ValueError, zlib.error: it is no signature.
    """
    if saved == signature(tables):
        devices, series = np.arange(tables.count), np.arange(tables.series_count)
        return Match(devices, devices, series, series)
    registry = tables.registry
    known = {f"{profile.id} {len(profile.properties)}": number for number, profile in enumerate(registry.profiles)}
    here, there, first, at = [], [], [], 0
    for number, line in enumerate(zlib.decompress(saved).decode().splitlines()):
        name, _, profile = line.partition(" ")
        device = registry.index.get(name)
        if device is not None and known.get(profile) == tables.profile[device]:
            here.append(device)
            there.append(number)
            first.append(at)
        at += int(profile.rpartition(" ")[2])
    devices = np.array(here, np.int64)
    width = tables.width[devices]
    step = np.arange(int(width.sum())) - np.repeat(np.cumsum(width) - width, width)
    return Match(
        devices,
        np.array(there, np.int64),
        np.repeat(tables.first_series[devices], width) + step,
        np.repeat(np.array(first, np.int64), width) + step,
    )


def dump(columns: PackedColumns) -> dict[str, bytes]:
    """Every column as bytes."""
    return {name: column.tobytes() for name, column in columns.items()}


def load(columns: PackedColumns, saved: Mapping[str, bytes], here: Integers, there: Integers) -> None:
    """Rows ``there`` of saved columns into rows ``here`` of these.

    Raises:
        KeyError, ValueError, IndexError: a column is missing or does not fit.
    """
    same = np.array_equal(here, there) and np.array_equal(here, np.arange(len(here)))
    for name, column in columns.items():
        old = np.frombuffer(saved[name], column.dtype).reshape(-1, *column.shape[1:])
        if same and len(old) == len(column) == len(here):
            column[:] = old
        else:
            column[here] = old[there]


def to_parts(named: Mapping[str, bytes]) -> list[bytes]:
    """Named bytes as a list, for who saves lists."""
    return [json.dumps(list(named)).encode(), *named.values()]


def from_parts(parts: Sequence[bytes]) -> dict[str, bytes]:
    """What ``to_parts`` made a list of.

    Raises:
        ValueError: it is no such list.
    """
    if not parts:
        raise ValueError("an empty snapshot")
    return dict(zip(json.loads(parts[0]), parts[1:], strict=True))
