"""Taking little-endian numbers off the front of a payload whose layout depends on what was read before."""

import struct

from devices.observation import Reason, RefusedError


class ByteReader:
    """A position in a payload; every method refuses ``length`` where the payload ends too early."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._position = 0

    def left(self) -> int:
        """How many bytes have not been taken."""
        return len(self._payload) - self._position

    def take(self, size: int = 1, signed: bool = False) -> int:
        """The next whole number of ``size`` bytes."""
        return int.from_bytes(self._raw(size), "little", signed=signed)

    def take_float(self) -> float:
        """The next 32-bit float, to the seven digits it has."""
        (number,) = struct.unpack("<f", self._raw(4))
        return float(f"{number:.7g}")

    def _raw(self, size: int) -> bytes:
        found = self._payload[self._position : self._position + size]
        if len(found) < size:
            raise RefusedError(Reason.LENGTH, f"the payload ends within a value at byte {self._position}")
        self._position += size
        return found
