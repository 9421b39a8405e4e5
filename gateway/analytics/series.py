"""Numbers of a fleet's series inside analytics: property by property, so that what nobody sends takes no memory."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


class SeriesNumbers:
    """A series is one property of one device. The series of one property of one profile are a block of their own.

    A column of zeros takes memory where it is written to; properties that no device of a profile sends are many, and
    in blocks of their own they are never written to.
    """

    def __init__(self, profile: NDArray[np.integer], widths: Integers) -> None:
        """Number the series of some devices.

        Args:
            profile: number of each device's profile.
            widths: how many properties each profile has.
        """
        self._profile = profile
        self._sizes = np.bincount(profile, minlength=len(widths))
        self._members = np.argsort(profile, kind="stable").astype(np.int32)
        """Devices by profile."""
        self._first_member = np.cumsum(self._sizes) - self._sizes
        self._rank = np.empty(len(profile), np.int32)
        self._rank[self._members] = np.arange(len(profile)) - np.repeat(self._first_member, self._sizes)
        """Of each device among those of its profile."""
        lengths = np.repeat(self._sizes, widths)
        self.starts = np.cumsum(lengths) - lengths
        """First series of each block; blocks are in the order of profiles, then of their properties."""
        self._first_block = np.cumsum(widths) - widths
        self._profile_of_block = np.repeat(np.arange(len(widths)), widths)
        self.count = int(lengths.sum())

    def of(self, device: Integers, place: Integers) -> Integers:
        """The series of devices for places in their profiles."""
        found: Integers = self.starts[self._first_block[self._profile[device]] + place] + self._rank[device]
        return found

    def block(self, series: Integers) -> Integers:
        """The block each series is in."""
        return np.searchsorted(self.starts, series, side="right") - 1

    def device(self, series: Integers) -> Integers:
        """The device each series belongs to."""
        block = self.block(series)
        first = self._first_member[self._profile_of_block[block]] - self.starts[block]
        found: Integers = self._members[first + series].astype(np.int64)
        return found

    def block_of(self, profile: int, place: int) -> "Block":
        """Where the series of one property of one profile are."""
        block = int(self._first_block[profile]) + place
        return Block(block, int(self.starts[block]), int(self._sizes[profile]))


class Block(NamedTuple):
    """Some series behind each other."""

    number: int
    start: int
    size: int
