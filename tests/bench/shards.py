"""InfluxDB 1.x: a week that was stored once becomes other weeks, by moving the times in its files.

TSM files (source: InfluxDB ``tsdb/engine/tsm1``): blocks with a checksum, then an index that says for each key which
blocks it has, their places and least and greatest times. A block has its first time in the second to ninth byte of its
compressed times, whatever compresses them; the others are differences.
"""

import shutil
import struct
import zlib
from pathlib import Path

import numpy as np

_HEAD, _COUNT, _ENTRY, _FOOTER = struct.Struct(">H"), struct.Struct(">BH"), struct.Struct(">qqqI"), struct.Struct(">Q")
_CHECKSUM = struct.Struct(">I")


class Tsm:
    """One file, as read; and the same at other times."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        times, blocks = [], []
        (position,) = _FOOTER.unpack_from(self._data, len(self._data) - _FOOTER.size)
        while position < len(self._data) - _FOOTER.size:
            (length,) = _HEAD.unpack_from(self._data, position)
            position += _HEAD.size + length
            _, count = _COUNT.unpack_from(self._data, position)
            position += _COUNT.size
            for _ in range(count):
                *_, offset, size = _ENTRY.unpack_from(self._data, position)
                times += [position, position + 8, self._first_time(offset + _CHECKSUM.size)]
                blocks.append((offset, size))
                position += _ENTRY.size
        self._times = np.array(times)[:, None] + np.arange(8)
        self._blocks = blocks

    def _first_time(self, block: int) -> int:
        """Where a block has its first time: behind its type, the length of its times, and how they are compressed."""
        place = block + 1
        while self._data[place] & 0x80:
            place += 1
        return place + 2

    def moved(self, by: int) -> bytes:
        """The file with all its times so much later [ns]."""
        data = np.frombuffer(self._data, np.uint8).copy()
        data[self._times] = (data[self._times].view(">i8") + by).astype(">i8").view(np.uint8)
        view = data.data
        for offset, size in self._blocks:
            _CHECKSUM.pack_into(view, offset, zlib.crc32(view[offset + _CHECKSUM.size : offset + size]))
        return data.tobytes()


class Week:
    """The files of a shard that is stored and at rest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = {path.name: Tsm(path) for path in sorted(folder.glob("*.tsm"))}

    def copy(self, folder: Path, by: int) -> None:
        """Make another shard of the same series, so much later [ns]; what was in its folder goes.

        The index of a shard names series by their numbers in the database's own file, so it is the same.
        """
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self._folder, folder, ignore=shutil.ignore_patterns("*.tsm"))
        for name, file in self._files.items():
            (folder / name).write_bytes(file.moved(by))
