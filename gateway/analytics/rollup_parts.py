"""What roll-ups ask of a store, tell their listener, and keep to be done: types only."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from devices.rollup_names import Width
from gateway.analytics.windows import Rows

Point = tuple[int, float, int]
"""``observed_at`` [ns UTC], value, quality."""


class RollupSource(Protocol):
    """The store, as mending asks it."""

    def readings(self, device: int, start: int, stop: int) -> Mapping[str, Sequence[Point]]:
        """Every stored reading of a device with ``start <= time < stop`` [ns UTC], by property, oldest first."""
        ...

    def before(self, device: int, at: int) -> Mapping[str, Point]:
        """The newest stored reading of each property of a device before ``at`` [ns UTC]; only counters are asked."""
        ...

    def after(self, device: int, at: int) -> Mapping[str, Point]:
        """The oldest stored reading of each property of a device from ``at`` [ns UTC] on; only counters are asked."""
        ...

    def windows(self, commune: int, width: Width, start: int) -> Rows:
        """The stored device windows of a commune that begin at ``start`` [ns UTC]."""
        ...


class Pending(NamedTuple):
    """What a roll-up has still to do, as plain data with device indexes."""

    finished: list[int]
    """Newest hour and day that are written."""
    late: list[tuple[int, int, int, int]]
    next_hours: list[tuple[int, int]]
    open_days: list[tuple[int, int]]
    windows: list[tuple[str, int]]
    """Windows whose groups, zones and communes are not written."""


class Closed(NamedTuple):
    """Device windows that closed, for who computes something from them."""

    width: Width
    rows: Rows
    mended: bool
    """They replace what was said of the same windows before."""
