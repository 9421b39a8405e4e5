"""Something that is really wrong at a place between two moments: with a lamp, a circuit, a meter, a pipe."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulators.local_time import DAY, FIRST
from simulators.noise import Floats

_FAR = FIRST + 20 * 365 * DAY
"""Ends that lie beyond are not reached."""


class Trouble(NamedTuple):
    """One spell of it."""

    kind: str
    """One of the kinds of the world, see ``faults``."""
    start: float
    stop: float
    size: float = 1.0
    """``theft``: watts; ``leak``: m3/h; else 1."""


class Spans:
    """Spells of one kind that do not overlap: any moment is looked up, and anything that runs is summed, at once."""

    def __init__(self, spells: Iterable[Trouble]) -> None:
        ordered = sorted(spells, key=lambda spell: spell.start)
        self.starts: Floats = np.array([spell.start for spell in ordered])
        self.stops: Floats = np.minimum(np.array([spell.stop for spell in ordered]), _FAR)
        self._sizes: Floats = np.array([spell.size for spell in ordered])
        self._before: dict[tuple[int, str], Floats] = {}

    def size(self, at: Floats) -> Floats:
        """Size of the spell at these moments; 0 where there is none."""
        place = np.searchsorted(self.starts, at, side="right") - 1
        inside = (place >= 0) & (at < self.stops[np.maximum(place, 0)])
        return np.where(inside, self._sizes[np.maximum(place, 0)], 0.0)

    def inside(self, at: Floats) -> NDArray[np.bool_]:
        """Whether there is a spell at these moments."""
        found: NDArray[np.bool_] = self.size(at) != 0.0
        return found

    def spent(self, at: Floats, clock: Callable[[Floats], Floats], key: tuple[int, str]) -> Floats:
        """How far a clock ran within the spells before these moments, times their sizes.

        Args:
            clock: anything that only rises: time, burning time, energy.
            key: names the clock; what it ran in whole spells is remembered.
        """
        if key not in self._before:
            run = self._sizes * (clock(self.stops) - clock(self.starts))
            self._before[key] = np.concatenate([np.zeros(1), np.cumsum(run)])
        done = np.searchsorted(self.stops, at, side="right")
        current = np.minimum(done, len(self.starts) - 1)
        begun = (done < len(self.starts)) & (at > self.starts[current])
        part = np.where(begun, self._sizes[current] * (clock(at) - clock(self.starts[current])), 0.0)
        result: Floats = self._before[key][done] + part
        return result


class Wrong:
    """Everything wrong with one device, by kind."""

    def __init__(self, troubles: Sequence[Trouble] = ()) -> None:
        kinds = {trouble.kind for trouble in troubles}
        self._spans = {kind: Spans(one for one in troubles if one.kind == kind) for kind in kinds}

    def __getitem__(self, kind: str) -> Spans | None:
        """The spells of a kind, if there are any."""
        return self._spans.get(kind)


NOTHING = Wrong()


@lru_cache(maxsize=300_000)
def wrong(troubles: tuple[Trouble, ...]) -> Wrong:
    """Troubles by kind; what many devices share, as a blackout, is computed once."""
    return Wrong(troubles)


_DARKEST_FIRST = ("power_cut", "circuit_loss", "lamp_out", "day_burner")


def untangle(troubles: Iterable[Trouble]) -> tuple[Trouble, ...]:
    """A device's troubles without overlaps: a lamp that is out on a lost circuit is lost once, and burns by no day.

    >>> untangle([Trouble("lamp_out", 0.0, 9.0), Trouble("circuit_loss", 4.0, 6.0)])[0].kind
    'circuit_loss'
    """
    troubles = list(troubles)
    taken: list[tuple[float, float]] = []
    found: list[Trouble] = []
    for kind in _DARKEST_FIRST:
        spans = _union((trouble.start, trouble.stop) for trouble in troubles if trouble.kind == kind)
        found += [Trouble(kind, start, stop) for start, stop in _difference(spans, taken)]
        taken = _union([*taken, *spans])
    return (*found, *(trouble for trouble in troubles if trouble.kind not in _DARKEST_FIRST))


def _union(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for start, stop in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined


def _difference(spans: Iterable[tuple[float, float]], taken: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The parts of ``spans`` outside ``taken``; both in order and without overlaps."""
    left = []
    first = 0
    for start, stop in spans:
        free = start
        while first < len(taken) and taken[first][1] <= start:
            first += 1
        for begin, end in taken[first:]:
            if begin >= stop:
                break
            if begin > free:
                left.append((free, begin))
            free = max(free, end)
        if free < stop:
            left.append((free, stop))
    return left
