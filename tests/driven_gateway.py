"""A whole gateway without a broker, whose clock is the test's; analytics looks when it is told to."""

from collections.abc import Sequence
from typing import Any, Self

import pytest

from gateway.analytics import worker
from gateway.app import App
from gateway.model import Batch, Uplink
from gateway.settings import Settings
from tests.gateway_process import await_that


class DrivenGateway:
    """Uplinks in; ``look`` does what the analytics thread does every second."""

    def __init__(self, settings: Settings, now: int) -> None:
        """A gateway that is started now [ns UTC]."""
        self.now = now
        self.app = App(settings, with_broker=False, with_api=False, now=lambda: self.now)
        self.app.analytics._hears = lambda: True
        self._bodies: list[bytes] = []
        self._append = self.app.journal.append
        self.app.journal.append = self._note  # type: ignore[method-assign,assignment]

    def __enter__(self) -> Self:
        for delivery in self.app.deliveries:
            delivery.start()
        self.app.line.start()
        return self

    def __exit__(self, *_: object) -> None:
        """As an orderly stop: analytics looks once more and saves whole."""
        self.look()
        self.app.analytics._save(whole=True)
        self.app.stop()

    def hurry(self) -> None:
        """Do not wait for the disk: for long simulations that fear no power cut."""
        self.app.line.submit(lambda: self.app.journal._database.execute("PRAGMA synchronous = OFF")).result()

    def _note(self, batch: Batch, *more: Any) -> int:
        self._bodies.append(batch.lines)
        return self._append(batch, *more)

    def committed(self, start: bytes) -> int:
        """How many lines that begin so went into the journal."""
        return sum(line.startswith(start) for body in self._bodies for line in body.splitlines())

    def take(self, uplinks: Sequence[Uplink]) -> Batch:
        """Commit a batch; returns what became of it."""
        batch = self.app.line.submit(lambda: self.app.line.take(uplinks)).result()
        assert batch is not None
        return batch

    def look(self) -> None:
        """One turn of analytics, which waits for nothing."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker, "TICK_SECONDS", 0.0)
            self.app.analytics._turn()

    def fold(self) -> None:
        """What the journal does once a minute."""
        self.app.line.submit(lambda: self.app.journal.tend(force=True)).result()

    def settle(self) -> None:
        """Until every store has everything."""
        await_that("every line is stored", self._is_settled)

    def _is_settled(self) -> bool:
        self.fold()
        return not any(store.waiting for store in self.app.records.lines().stores)
