"""Snapshots on disk: a file of parts with a checksum, written whole or not at all."""

import os
import struct
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

MAGIC = b"VILLAGE3"
Bytes = bytes | memoryview


def read_parts(path: Path) -> list[memoryview]:
    """The parts of a file that ``Saver`` has written.

    Raises:
        OSError, ValueError, struct.error: there is none, or it is not whole.
    """
    data = memoryview(path.read_bytes())
    if data[:8] != MAGIC or zlib.crc32(data[12:]) != struct.unpack_from("<I", data, 8)[0]:
        raise ValueError("not a snapshot")
    parts, at = [], 12
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        parts.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    return parts


class Saver:
    """Writes snapshots, whole or not at all; the disk is waited for in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._temporary = path.with_suffix(".new")
        self._thread: threading.Thread | None = None

    def save(self, parts: list[bytes], *, wait: bool = False) -> bool:
        """Write a snapshot and let go of its parts one by one; False if the one before is still being written."""
        waiting = deque(parts)
        parts.clear()
        return self._is_free(wait=wait) and self._run(lambda: self._write_and_finish(waiting), wait=wait)

    def save_now(self, parts: Iterable[Bytes], *, wait: bool = False) -> bool:
        """The same with parts that go on changing afterwards: they are written when this returns, only whether they
        have reached the disk is seen to by the thread."""
        return self._is_free(wait=wait) and self._write(parts) and self._run(self._finish, wait=wait)

    def _is_free(self, *, wait: bool) -> bool:
        if self._thread is not None and wait:
            self._thread.join()
        return self._thread is None or not self._thread.is_alive()

    def _run(self, work: Callable[[], object], *, wait: bool) -> bool:
        self._thread = threading.Thread(target=work, name=f"saver-{self.path.stem}")
        self._thread.start()
        if wait:
            self._thread.join()
        return True

    def _write(self, parts: Iterable[Bytes]) -> bool:
        """True if everything could be written."""
        check = 0
        try:
            with self._temporary.open("wb") as file:
                file.write(MAGIC + bytes(4))
                for part in parts:
                    for piece in (struct.pack("<Q", memoryview(part).nbytes), part):
                        check = zlib.crc32(piece, check)
                        file.write(piece)
                file.seek(len(MAGIC))
                file.write(struct.pack("<I", check))
        except OSError:
            # A full disk must not stop the line; the journal says loudly that there is no room.
            self._temporary.unlink(missing_ok=True)
            return False
        return True

    def _write_and_finish(self, parts: deque[bytes]) -> None:
        if self._write(_emptied(parts)):
            self._finish()

    def _finish(self) -> None:
        try:
            with self._temporary.open("rb") as file:
                os.fsync(file.fileno())
            self._temporary.replace(self.path)
        except OSError:
            self._temporary.unlink(missing_ok=True)


def _emptied(parts: deque[bytes]) -> Iterator[bytes]:
    while parts:
        yield parts.popleft()
