"""Something that is really wrong at a place between two moments: with a lamp, a circuit, a meter, a pipe."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulators.local_time import DAY, FIRST
from simulators.noise import Floats, Keys, derive, uniform

_FAR = FIRST + 20 * 365 * DAY
"""Ends that lie beyond are not reached."""


class Trouble(NamedTuple):
    """One spell of it."""

    kind: str
    """One of the kinds of the world, see ``faults``."""
    start: float
    stop: float
    size: float = 1.0
    """``theft``: watts; ``leak``: m3/h; ``bad_voltage``: volts; ``lamp_degraded``: the share that is lost;
    ``lamp_cycling``: minutes; else 1."""


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

    def begun(self, at: Floats) -> list[tuple[float, NDArray[np.bool_]]]:
        """The spells that were the last to begin at some of these moments, and at which of them they were."""
        last = np.searchsorted(self.starts, at, side="right") - 1
        return [(float(self.starts[number]), last == number) for number in np.unique(last).tolist() if number >= 0]

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
        kinds = dict.fromkeys(trouble.kind for trouble in troubles)
        self._spans = {kind: Spans(one for one in troubles if one.kind == kind) for kind in kinds}

    def __getitem__(self, kind: str) -> Spans | None:
        """The spells of a kind, if there are any."""
        return self._spans.get(kind)

    def items(self) -> Iterable[tuple[str, Spans]]:
        """Every kind there is, and its spells."""
        return self._spans.items()


NOTHING = Wrong()


@lru_cache(maxsize=300_000)
def wrong(troubles: tuple[Trouble, ...]) -> Wrong:
    """Troubles by kind; what many devices share, as a blackout, is computed once."""
    return Wrong(troubles)


_DARKEST_FIRST = ("power_cut", "circuit_loss", "lamp_out", "lamp_cycling", "lamp_degraded", "day_burner")
"""Of these a device has one at a time."""
_SIZED = frozenset({"lamp_cycling", "lamp_degraded", "bad_voltage", "theft", "leak"})


def untangle(troubles: Iterable[Trouble]) -> tuple[Trouble, ...]:
    """A device's troubles without overlaps: a lamp that is out on a lost circuit is lost once, and burns by no day.

    >>> untangle([Trouble("lamp_out", 0.0, 9.0), Trouble("circuit_loss", 4.0, 6.0)])[0].kind
    'circuit_loss'
    """
    by_kind: dict[str, list[Trouble]] = {}
    for one in troubles:
        by_kind.setdefault(one.kind, []).append(one if one.kind in _SIZED else one._replace(size=1.0))
    taken: list[tuple[float, float]] = []
    found: list[Trouble] = []
    for kind in _DARKEST_FIRST:
        own = _apart(by_kind.pop(kind, ()))
        found += _outside(own, taken)
        taken = _union([*taken, *((one.start, one.stop) for one in own)])
    found += by_kind.pop("meter_replaced", ())
    return (*found, *(one for own in by_kind.values() for one in _apart(own)))


def dark_moments(troubles: tuple[Trouble, ...], keys: Keys) -> tuple[Trouble, ...]:
    """The same with every ``lamp_cycling`` as the many times that the lamp is out, drawn anew each.

    Args:
        keys: of the one lamp.
    """
    if not any(one.kind == "lamp_cycling" for one in troubles):
        return troubles
    found: list[Trouble] = []
    for one in troubles:
        if one.kind != "lamp_cycling":
            found.append(one)
            continue
        half = one.size * 30.0
        # Half a cycle lasts 0.6 to 1.4 of its mean.
        number = np.arange(int((min(one.stop, _FAR) - one.start) / (0.6 * half)) + 2, dtype=np.int64)
        lengths = half * (0.6 + 0.8 * uniform(derive(keys, f"cycling {one.start:.0f}"), number))
        edges = one.start + np.cumsum(lengths)
        edges = np.minimum(edges[: len(edges) // 2 * 2], one.stop).reshape(-1, 2)
        found += [Trouble(one.kind, out, on) for out, on in edges.tolist() if out < on]
    return tuple(found)


def _apart(troubles: Iterable[Trouble]) -> list[Trouble]:
    """Spells of one kind in order, each only from where the one before has ended; equal ones that touch are one."""
    found: list[Trouble] = []
    for one in sorted(troubles, key=lambda one: one.start):
        until = found[-1].stop if found else one.start
        if found and one.start <= until and one.size == found[-1].size:
            found[-1] = found[-1]._replace(stop=max(until, one.stop))
        elif one.stop > until:
            found.append(one._replace(start=max(one.start, until)))
    return found


def _union(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for start, stop in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined


def _outside(troubles: Iterable[Trouble], taken: list[tuple[float, float]]) -> list[Trouble]:
    """The parts of the troubles outside ``taken``; both in order and without overlaps."""
    left = []
    first = 0
    for one in troubles:
        free = one.start
        while first < len(taken) and taken[first][1] <= one.start:
            first += 1
        for begin, end in taken[first:]:
            if begin >= one.stop:
                break
            if begin > free:
                left.append(one._replace(start=free, stop=begin))
            free = max(free, end)
        if free < one.stop:
            left.append(one._replace(start=free))
    return left
