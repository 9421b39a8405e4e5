"""Roll-ups to and from a snapshot: open windows, counters, and what is still to be mended."""

import json
from collections.abc import Sequence

import numpy as np

from gateway.analytics.columns import Signature
from gateway.analytics.packed import Match, dump, from_parts, load, match, to_parts
from gateway.analytics.rollup_parts import Pending
from gateway.analytics.rollups import Rollups
from gateway.line.snapshot import Bytes


def snapshot(rollups: Rollups) -> list[Bytes]:
    """Everything a new object needs to go on. Readings that come after it must be marked when it is taken over."""
    series, counters = rollups.columns()
    return to_parts(
        {
            "fleet": rollups.tables.signature,
            "pending": json.dumps(rollups.pending()).encode(),
            "counter_series": rollups.counters.series().tobytes(),
            **dump({f"series.{name}": column for name, column in series.items()}),
            **dump({f"counter.{name}": column for name, column in counters.items()}),
        }
    )


def restore(rollups: Rollups, parts: Sequence[Bytes]) -> bool:
    """Take a snapshot over, also one of another fleet, into roll-ups that have taken nothing in yet.

    Returns:
        False if it cannot be used: the roll-ups may then be half filled and must not be used either.
    """
    try:
        saved = from_parts(parts)
        shared = match(saved["fleet"], rollups.tables)
        series, counters = rollups.columns()
        load({f"series.{name}": c for name, c in series.items()}, saved, shared.series_here, shared.series_there)
        # Rows of counters are numbered apart from series: find each shared counter's row in both.
        old_places = np.frombuffer(saved["counter_series"], np.int64)
        there = np.searchsorted(old_places, shared.series_there)
        known = np.r_[old_places, -1][there] == shared.series_there
        here = rollups.counters.slots(shared.series_here)
        both = known & (here >= 0)
        load({f"counter.{name}": c for name, c in counters.items()}, saved, here[both], there[both])
        rollups.resume(_renumbered(Pending(*json.loads(bytes(saved["pending"]))), shared))
    except (ValueError, KeyError, IndexError, TypeError):
        return False
    return True


def to_mend(rollups: Rollups) -> bytes:
    """What is still to be read back, devices by name: small, and of use without the sums."""
    return _named(rollups.pending(), rollups.tables.registry.names)


def to_mend_of(parts: Sequence[Bytes]) -> bytes:
    """The same of a snapshot whose sums another version wrote.

    Raises:
        ValueError, KeyError, IndexError, TypeError: it cannot be read either.
    """
    saved = from_parts(parts)
    return _named(Pending(*json.loads(bytes(saved["pending"]))), Signature.read(bytes(saved["fleet"])).names)


def _named(pending: Pending, names: Sequence[str]) -> bytes:
    named = {
        "late": [(names[device], first, last, at) for device, first, last, at in pending.late],
        "next_hours": [(names[device], hour) for hour, device in pending.next_hours],
        "open_days": [(names[device], day) for day, device in pending.open_days],
        "windows": pending.windows,
    }
    return json.dumps(named).encode()


def take_to_mend(rollups: Rollups, saved: bytes) -> bool:
    """Take it over into roll-ups that have no sums; devices that are gone are dropped. False if it cannot be read."""
    index = rollups.tables.registry.index
    try:
        named = json.loads(saved)
        rollups.resume(
            Pending(
                rollups.pending().finished,
                [(index[name], first, last, at) for name, first, last, at in named["late"] if name in index],
                [(hour, index[name]) for name, hour in named["next_hours"] if name in index],
                [(day, index[name]) for name, day in named["open_days"] if name in index],
                [(width, window) for width, window in named["windows"]],
            )
        )
    except (ValueError, TypeError, KeyError):
        return False
    return True


def _renumbered(pending: Pending, shared: Match) -> Pending:
    """The same work with this fleet's device indexes; work for devices that are gone is dropped."""
    index = dict(zip(shared.devices_there.tolist(), shared.devices_here.tolist(), strict=True))
    return Pending(
        pending.finished,
        [(index[device], first, last, at) for device, first, last, at in pending.late if device in index],
        [(hour, index[device]) for hour, device in pending.next_hours if device in index],
        [(day, index[device]) for day, device in pending.open_days if device in index],
        [(width, window) for width, window in pending.windows],
    )
