"""Something that is really wrong at a place between two moments: with a lamp, a circuit, a meter, a pipe."""

from collections.abc import Iterable
from typing import NamedTuple


class Trouble(NamedTuple):
    """One spell of it."""

    kind: str
    """One of the kinds of the world, see ``faults``."""
    start: float
    stop: float
    size: float = 0.0
    """``theft``: watts; ``leak``: m3/h."""


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
    left = []
    for start, stop in spans:
        free = start
        for begin, end in taken:
            if begin < stop and end > free:
                if begin > free:
                    left.append((free, begin))
                free = max(free, end)
        if free < stop:
            left.append((free, stop))
    return left
