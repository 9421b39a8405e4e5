"""Noise without state: every value is a function of a key and a moment, so any moment can be asked in any order."""

import math
from functools import lru_cache
from hashlib import blake2b
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
"""Times are seconds since 1970 UTC, values are in canonical units; at least one axis, and everything broadcasts."""
Keys = NDArray[np.uint64]
"""64-bit keys, one for each independent source of noise; at least one axis."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31 = np.uint64(27), np.uint64(30), np.uint64(31)
_TO_FRACTION, _TO_TABLE = np.uint64(11), np.uint64(52)


def _normal_table() -> Floats:
    points = np.array([NormalDist().inv_cdf((rank + 0.5) / 4096) for rank in range(4096)])
    scaled: Floats = points / points.std()
    return scaled


_NORMAL = _normal_table()
"""4096 equally likely values of the normal distribution, scaled to a variance of one. A table rather than a logarithm
and a cosine: they are allowed to differ in the last bit from machine to machine."""


def key_of(*parts: str | int) -> int:
    """A key that is the same on every machine and in every run (unlike ``hash``)."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def keys_of(*parts: str | int) -> Keys:
    """``key_of`` as an array of one."""
    return np.array([key_of(*parts)], dtype=np.uint64)


def derive(keys: Keys, word: str) -> Keys:
    """Keys of another, independent source of noise of the same owners."""
    return _mix(keys ^ _word_key(word))


@lru_cache(maxsize=4096)
def _word_key(word: str) -> Keys:
    return keys_of(word)


def _mix(bits: Keys) -> Keys:
    """The finalizer of splitmix64: every input bit reaches every output bit."""
    bits = (bits ^ (bits >> _S30)) * _MIX_1
    bits = (bits ^ (bits >> _S27)) * _MIX_2
    return bits ^ (bits >> _S31)


def _bits(keys: Keys, count: NDArray[np.int64]) -> Keys:
    return _mix(keys + count.astype(np.uint64) * _GOLDEN)


def uniform(keys: Keys, count: NDArray[np.int64]) -> Floats:
    """The ``count``-th number of each key, evenly between 0 and 1, neither end included."""
    fraction: Floats = ((_bits(keys, count) >> _TO_FRACTION).astype(np.float64) + 0.5) * 2.0**-53
    return fraction


def normal(keys: Keys, count: NDArray[np.int64]) -> Floats:
    """The ``count``-th number of each key, normally distributed with mean 0 and standard deviation 1."""
    drawn: Floats = _NORMAL[_bits(keys, count) >> _TO_TABLE]
    return drawn


def flicker(at: Floats, keys: Keys) -> Floats:
    """Standard normal noise of a measurement, new in each millisecond."""
    return normal(keys, np.floor(at * 1000.0).astype(np.int64))


def steady(keys: Keys, low: float, high: float) -> Floats:
    """One number for each key, evenly between the two."""
    return low + (high - low) * uniform(keys, np.zeros(1, dtype=np.int64))


def wander(at: Floats, correlation_seconds: float, keys: Keys, levels: int = 7) -> Floats:
    """A stationary process of mean 0, standard deviation 1 and autocorrelation ``exp(-lag / correlation_seconds)``.

    Values eight correlation times apart are independent draws; between them the interval is halved ``levels`` times,
    each middle drawn given its two neighbours. The process is Markov, so this is exact, and no past has to be kept.

    Source: Ornstein-Uhlenbeck process; the middle given both ends is normal with mean ``r (a + b) / (1 + r^2)`` and
    variance ``(1 - r^2) / (1 + r^2)``, where ``r`` is the correlation over half the interval.
    """
    span = 8.0 * correlation_seconds
    position = at / span
    node = np.floor(position).astype(np.int64)
    part = position - node
    left, right = normal(keys, node), normal(keys, node + 1)
    for level in range(1, levels + 1):
        half = math.exp(-8.0 / 2**level)
        square = half * half
        draw = normal(keys + np.uint64(level * 0x632BE5AB), node)
        middle = half / (1.0 + square) * (left + right) + math.sqrt((1.0 - square) / (1.0 + square)) * draw
        part = part * 2.0
        upper = part >= 1.0
        left, right = np.where(upper, middle, left), np.where(upper, right, middle)
        part = part - upper
        node = node * 2 + upper
    result: Floats = left + (right - left) * part
    return result
