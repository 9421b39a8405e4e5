"""A batch in the making: what the uplinks taken so far have come to."""

from typing import NamedTuple

from devices.observation import RefusedError
from gateway.model import Heard, Judged, RefusedUplink, Uplink


class Told(NamedTuple):
    """Something a device should hear at once: why it was refused, or what its protocol asks for."""

    uplink: Uplink
    device: int
    refusal: RefusedError | None
    reply: bytes | None

    @classmethod
    def why(cls, uplink: Uplink, device: int, refusal: RefusedError) -> "Told":
        """Why it was refused, without where in our code: those frames hold the batch that will hold this, and payloads
        would stay in memory until Python looks for garbage."""
        refusal.__traceback__ = refusal.__cause__ = refusal.__context__ = None
        return cls(uplink, device, refusal, None)


class Work:
    """A batch in the making."""

    def __init__(self, *, is_stored: bool = True) -> None:
        self.is_stored = is_stored
        """False for values that are only remembered as the latest."""
        self.is_replay = False
        self.lines: list[str] = []
        self.line_count = 0
        self.heard: list[Heard] = []
        self.refused: list[RefusedUplink] = []
        self.raw: list[Uplink] = []
        self.told: list[Told] = []
        self.judged: list[Judged] = []
        self.again: list[tuple[int, int]] = []
