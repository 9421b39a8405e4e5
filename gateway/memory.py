"""How the C library keeps memory: large arrays that are done with go back at once, and all threads share the rest."""

import ctypes
from contextlib import suppress

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""Of glibc's ``malloc.h``."""
LARGE = 256 * 1024
"""Bytes from which an allocation is a mapping of its own. Chosen: columns of a large fleet are, texts are not."""


def keep_little() -> None:
    """Tell glibc so; call it before there are threads. Without glibc nothing happens.

    Once a large array was freed it would take large arrays from the heap, where what is allocated behind them keeps
    them from being given back: 45 MB of a gateway with 200,000 devices. And it would give each of the first threads a
    heap of its own, though one runs at a time: 20 MB.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, LARGE)
        library.mallopt(M_ARENA_MAX, 1)
