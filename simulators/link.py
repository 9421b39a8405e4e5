"""What happens to an uplink on its way: when its bytes go out, how often, and in what state."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from simulators.misreport import Met

BURST_SPACING = 0.02
"""Seconds between the uplinks of a burst after an outage. Chosen."""


class Fate(StrEnum):
    """What must become of it at a gateway that loses nothing."""

    KEPT = "kept"
    REPEATED = "repeated"
    REFUSED = "refused"
    LOST = "lost"
    """It never reached the broker."""


class Sending(NamedTuple):
    """One time that an uplink's bytes go out."""

    at: float
    fate: Fate
    retain: bool = False
    kinds: tuple[str, ...] = ()
    mangled: Met | None = None
    """The fault that spoils the bytes."""


def way(at: float, met: Sequence[Met]) -> list[Sending]:
    """Every time that an uplink's bytes go out; an uplink that is lost has one, without any."""
    kinds: tuple[str, ...] = ()
    delay, mangled = 0.0, None
    again: list[Sending] = []
    for one in met:
        kind, size = one.fault.kind, one.spell.size
        if kind == "lost":
            return [Sending(at, Fate.LOST, kinds=("lost",))]
        if kind in {"late", "reordered"}:
            delay += size
            kinds = (*kinds, kind)
        elif kind in {"garbage", "truncated"}:
            mangled = one
            kinds = (*kinds, kind)
        elif kind in {"duplicated", "echo"}:
            again.append(Sending(at + size, Fate.REPEATED, kind == "echo", (kind,)))
    if mangled is not None:
        # What was spoiled is spoiled every time: it is the same bytes.
        return [Sending(at + delay, Fate.REFUSED, kinds=kinds, mangled=mangled)]
    return [Sending(at + delay, Fate.KEPT, kinds=kinds), *(one._replace(at=one.at + delay) for one in again)]


def mangle(payload: bytes, met: Met) -> bytes:
    """The bytes as they arrive."""
    if met.fault.kind == "truncated":
        return payload[: max(1, min(len(payload) - 1, int(met.draw / met.fault.chance * len(payload))))]
    # 0xFF stands in no UTF-8 text, and as a protobuf tag it is an impossible wire type.
    return bytes([0xFF]) + payload[: len(payload) // 2][::-1]
