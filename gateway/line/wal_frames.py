"""SQLite's write-ahead log, frame by frame: which pages it holds, and whether commits lie behind a damaged frame.

Source: https://www.sqlite.org/fileformat2.html, section 4; read 2026-11-21.
"""

import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PAGE_BYTES = 4096
"""What SQLite makes by default; used where the header that says it is damaged."""
_MAGIC = b"SQLite format 3\x00"
_WAL_HEAD, _FRAME_HEAD = 32, 24
_MENDED_MOST = 32
"""Damaged frames that are looked at for a single wrong byte; each takes some milliseconds."""
_CHANGES = [
    np.uint32(change << shift & 0xFFFFFFFF) for shift in (0, 8, 16, 24) for change in range(-255, 256) if change
]
"""All that a wrong byte can add to the word it is in."""


class WalFrames(NamedTuple):
    """What a write-ahead log holds."""

    newest: dict[int, int]
    """Place of the newest committed version of each page, by page number."""
    pages: int
    """Size of the database after the last commit, in pages; 0 if there is no commit."""
    is_damaged: bool
    """Commits lie behind a damaged frame. SQLite would read up to that frame and drop them without a word."""
    doubtful: dict[int, int]
    """Place of each damaged frame that such a commit lies behind, by the page number that it gives, where it is newer
    than the page's newest sound version."""
    mended: dict[int, bytes]
    """What stands at these places once the one byte that is wrong there is put right."""


def mapped(path: Path) -> memoryview:
    """A file's bytes, not copied; empty if it is not there."""
    if not path.exists() or not path.stat().st_size:
        return memoryview(b"")
    return memoryview(np.memmap(path, dtype=np.uint8, mode="r"))  # type: ignore[arg-type]


def page_size(main: memoryview) -> int:
    """Bytes of a page, as the database file's header says."""
    if bytes(main[:16]) != _MAGIC:
        return PAGE_BYTES
    size = int.from_bytes(main[16:18], "big")
    size = 65536 if size == 1 else size
    return size if size >= 512 and size & (size - 1) == 0 else PAGE_BYTES


def wal_frames(log: memoryview, page_bytes: int) -> WalFrames:
    """The newest committed version of each page, also behind a damaged frame.

    Checksums run on from frame to frame. A frame that fails keeps the checksum that the next one started from, so what
    follows it can still be proved; where a single byte is wrong, the checksum says which, and it is put right.
    """
    newest: dict[int, int] = {}
    pages, gap, is_damaged = 0, False, False
    if len(log) < _WAL_HEAD:
        return WalFrames(newest, 0, False, {}, {})
    is_big = bool(log[3] & 1)
    head = np.frombuffer(bytes(log[:24]), np.dtype(">u4" if is_big else "<u4"))
    salts, seeds = bytes(log[16:24]), [_pair(log, 24)]
    if _checksum(head, (0, 0)) != seeds[0]:
        # SQLite takes a log with such a head for empty.
        gap, salts, is_big = True, bytes(log[_WAL_HEAD + 8 : _WAL_HEAD + 16]), sys.byteorder == "big"
    kind = np.dtype(">u4" if is_big else "<u4")
    pending: dict[int, int] = {}
    broken: dict[int, int] = {}
    mended: dict[int, bytes] = {}
    last_commit = 0
    for at in range(_WAL_HEAD, len(log) - _FRAME_HEAD - page_bytes + 1, _FRAME_HEAD + page_bytes):
        words = np.frombuffer(bytes(log[at : at + 8]) + bytes(log[at + 24 : at + 24 + page_bytes]), kind)
        stored = _pair(log, at + 16)
        told = [_checksum(words, one) for one in seeds]
        place, has_salts = at + _FRAME_HEAD, bytes(log[at + 8 : at + 16]) == salts
        is_sound = has_salts and stored in told
        if has_salts and not is_sound and len(mended) + len(broken) < _MENDED_MOST:
            right = _mended(words, told, stored)
            if right is not None:
                words, is_sound, gap = right, True, True
                mended[place] = right[2:].tobytes()
        seeds = [stored] if is_sound and place not in mended else [stored, told[0]]
        page, size = _number(memoryview(words[:1].tobytes())), _number(memoryview(words[1:2].tobytes()))
        if not is_sound:
            gap = True
            broken[page] = place
            continue
        pending[page] = place
        if size:
            newest.update(pending)
            pending.clear()
            pages, is_damaged, last_commit = size, is_damaged or gap, at
    doubtful = {page: place for page, place in broken.items() if newest.get(page, 0) < place < last_commit}
    return WalFrames(newest, pages, is_damaged, doubtful, mended)


def is_log_damaged(path: Path) -> bool:
    """Whether the write-ahead log beside this database hides commits behind a damaged frame."""
    main = mapped(path)
    return wal_frames(mapped(path.with_name(f"{path.name}-wal")), page_size(main)).is_damaged


def _pair(log: memoryview, at: int) -> tuple[int, int]:
    return _number(log[at : at + 4]), _number(log[at + 4 : at + 8])


def _number(data: memoryview) -> int:
    return int.from_bytes(data, "big")


def _mended(
    words: NDArray[np.uint32], told: list[tuple[int, int]], stored: tuple[int, int]
) -> NDArray[np.uint32] | None:
    """A damaged frame, if a single byte of it or of its checksum is wrong, with that put right; else None.

    Adding to a word adds that many times the word's weight to both sums, so every change of one byte can be tried.
    Where several bytes may be the wrong one, the frame is left as it is.
    """
    first, second = (weight[:-2] for weight in _weights(len(words)))
    found = []
    for sums in told:
        if _is_one_byte(sums[0] << 32 | sums[1], stored[0] << 32 | stored[1]):
            return words
        low, high = (np.uint32((want - have) & 0xFFFFFFFF) for want, have in zip(stored, sums, strict=True))
        for change in _CHANGES:
            for place in np.flatnonzero((first * change == low) & (second * change == high)):
                mended = words.copy()
                mended[place] = (int(words[place]) + int(change)) & 0xFFFFFFFF
                if _is_one_byte(int(words[place]), int(mended[place])):
                    found.append(mended)
    if len(found) > 1:
        return words
    return found[0] if found else None


def _is_one_byte(one: int, other: int) -> bool:
    """Whether they differ in a single byte."""
    return sum(byte > 0 for byte in (one ^ other).to_bytes(8, "big")) == 1


def _checksum(words: NDArray[np.uint32], seed: tuple[int, int]) -> tuple[int, int]:
    """SQLite's running sum (for each pair of words: s0 += x0 + s1; s1 += x1 + s0), as two products with numbers that
    depend on the length alone."""
    native, start = words.astype(np.uint32), np.array(seed, np.uint32)
    sums = []
    for weight in _weights(len(words)):
        body, before = (native * weight[:-2]).sum(dtype=np.uint32), (start * weight[-2:]).sum(dtype=np.uint32)
        sums.append((int(body) + int(before)) & 0xFFFFFFFF)
    return sums[0], sums[1]


@cache
def _weights(words: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """What each word, then each half of the seed, counts for in the two sums."""
    first, second = np.zeros(words + 2, np.uint32), np.zeros(words + 2, np.uint32)
    a, b, c, d = 1, 0, 0, 1  # the matrix that carries a pair of sums to the end
    for place in range(words - 2, -1, -2):
        # A pair of words adds (x0, x0 + x1) to the sums of its step.
        first[place : place + 2] = (a + b) & 0xFFFFFFFF, b
        second[place : place + 2] = (c + d) & 0xFFFFFFFF, d
        # One step before: (s0 + s1, s0 + 2 s1).
        a, b = (a + b) & 0xFFFFFFFF, (a + 2 * b) & 0xFFFFFFFF
        c, d = (c + d) & 0xFFFFFFFF, (c + 2 * d) & 0xFFFFFFFF
    first[-2:], second[-2:] = (a, b), (c, d)
    return first, second
