"""Points of the line at which a gateway under test kills itself: kill -9 in narrow places that chance seldom meets."""

import ctypes
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

from gateway.line import journal, journal_file, outbox
from gateway.northbound.influxdb1 import InfluxDB1
from gateway.southbound.mqtt import MqttEdge


def _before(owner: Any, name: str, die: Callable[[], None]) -> None:
    original = getattr(owner, name)

    def dying(*arguments: Any, **more: Any) -> Any:
        die()
        return original(*arguments, **more)

    setattr(owner, name, dying)


def _after(owner: Any, name: str, die: Callable[[], None]) -> None:
    original = getattr(owner, name)

    def dying(*arguments: Any, **more: Any) -> Any:
        result = original(*arguments, **more)
        die()
        return result

    setattr(owner, name, dying)


def _inside_write(die: Callable[[], None]) -> None:
    """The batch's rows are written, COMMIT is not."""
    original = journal_file.Transaction.__exit__

    def dying(self: journal_file.Transaction, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            die()
        original(self, kind, *rest)

    journal_file.Transaction.__exit__ = dying  # type: ignore[method-assign]


def _half_acknowledged(die: Callable[[], None]) -> None:
    """Some PUBACKs of the commit are on their way, the others are not."""
    original = MqttEdge.acknowledge

    def dying(self: MqttEdge, uplinks: Sequence[Any]) -> None:
        original(self, uplinks[: len(uplinks) // 2])
        die()
        original(self, uplinks[len(uplinks) // 2 :])

    MqttEdge.acknowledge = dying  # type: ignore[method-assign]


POINTS: dict[str, Callable[[Callable[[], None]], None]] = {
    "before the write": lambda die: _before(journal.Journal, "append", die),
    "inside the write": _inside_write,
    "between commit and PUBACK": lambda die: _before(MqttEdge, "acknowledge", die),
    "between two PUBACKs": _half_acknowledged,
    "between PUBACK and delivery": lambda die: _before(InfluxDB1, "write", die),
    "between delivery and report": lambda die: _before(outbox.RowQueue, "accepted", die),
    "between report and mark": lambda die: _after(outbox.RowQueue, "accepted", die),
}


def die_at(point: str, after: int) -> None:
    """Make this process kill itself when it comes to the point for the ``after``-th time (from 1); "" for never."""
    if not point:
        return
    left = after

    def die() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    POINTS[point](die)


def end_with_parent() -> None:
    """Let this process die with the one that started it, so that a test that breaks off leaves none behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
