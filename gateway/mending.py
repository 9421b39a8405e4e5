"""Refused uplinks replayed and accepted ones decoded again: by the running gateway, or by a line of this process."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from gateway.line import redecode, replay
from gateway.running import Running, find_running, number
from gateway.settings import Settings


class Menders(NamedTuple):
    """What takes uplinks through the line once more."""

    replayer: replay.CanReplay
    redecoder: redecode.CanRedecode
    running: Running | None
    """The gateway they belong to; None where the line is this process's own."""


@contextmanager
def menders(settings: Settings) -> Iterator[Menders]:
    """Those of the running gateway; where none answers, a line is opened for the time being.

    Raises:
        JournalError: no gateway answers, but one has the journal.
        FleetError: the fleet cannot be used.
    """
    running = find_running(settings)
    if running is not None:
        yield Menders(_FarReplayer(running), _FarRedecoder(running), running)
        return
    from gateway.app import App  # noqa: PLC0415 - every part of the gateway, for nothing where one runs

    app = App(settings, with_broker=False, with_api=False)
    app.start()
    try:
        yield Menders(app.replayer, app.redecoder, None)
    finally:
        app.stop()


class _FarReplayer:
    def __init__(self, running: Running) -> None:
        self._running = running

    def count(self, wanted: replay.Wanted) -> int:
        return number(self._running.ask("POST", "/refused/replay/count", _question(wanted)), "total")

    def step(self, wanted: replay.Wanted, after: int = 0) -> replay.Step:
        answer = self._running.ask("POST", "/refused/replay", _question(wanted) | {"after": after})
        return replay.Step(*(number(answer, name) for name in replay.Step._fields))


def _question(wanted: replay.Wanted) -> dict[str, object]:
    everything = replay.Wanted()
    question: dict[str, object] = {"ids": list(wanted.ids)}
    if wanted.since != everything.since:
        question["since"] = _text(wanted.since)
    if wanted.until != everything.until:
        question["until"] = _text(wanted.until)
    if wanted.reason is not None:
        question["reason"] = wanted.reason.value
    if wanted.device:
        question["device"] = wanted.device
    return question


class _FarRedecoder:
    def __init__(self, running: Running) -> None:
        self._running = running

    def begin(self, wanted: redecode.Wanted) -> tuple[str, int]:
        question = {"devices": list(wanted.devices), "since": _text(wanted.since), "until": _text(wanted.until)}
        answer = self._running.ask("POST", "/redecode", question)
        return str(answer["job"]), number(answer, "total")

    def step(self, token: str) -> redecode.Progress:
        answer: Mapping[str, object] = self._running.ask("POST", f"/redecode/{token}")
        done, *sums = redecode.Progress._fields
        return redecode.Progress(bool(answer[done]), *(number(answer, name) for name in sums))


def _text(at: int) -> str:
    """RFC 3339 to the microsecond."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at // 1000)
    return moment.isoformat()
