"""What leaves the embedded store: readings and hourly sums beyond their days, the oldest of them beyond its room."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import structlog

from gateway.model import StoreError
from gateway.northbound.embedded import Embedded

log = structlog.get_logger(__name__)

DAY = 86_400_000_000_000
EVERY_SECONDS = 3600.0
FIRST_SECONDS = 60.0
"""After the start; there is more urgent work then."""
LEAST_READING_DAYS, LEAST_HOUR_DAYS = 2.0, 32.0
"""What is never deleted for want of room: alerts, roll-ups and reports still need it. Chosen."""
STEP = 0.9
"""For want of room, the days that are kept shrink to this share at a time. Chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long an embedded store keeps what."""

    reading_days: int
    """Readings, indices and changes of alerts; 0: for ever."""
    hour_days: int
    """Hourly roll-ups; 0: for ever. Daily ones stay."""
    max_bytes: int
    """Room for everything. Beyond it the oldest readings go, then the oldest hours."""

    def tend(self, store: Embedded, now: int, stopped: Callable[[], bool] = lambda: False) -> int:
        """Delete what is beyond days or room; returns how many lines went.

        Raises:
            StoreError: cannot be done now; what went is gone.
        """
        gone = 0
        kinds: tuple[tuple[Literal["reading", "hour"], int, float], ...] = (
            ("reading", self.reading_days, LEAST_READING_DAYS),
            ("hour", self.hour_days, LEAST_HOUR_DAYS),
        )
        for kind, days, _ in kinds:
            if days:
                gone += store.prune(now - days * DAY, kind, stopped)
        for kind, days, least in kinds:
            age = float(days or 3660)
            while used_bytes(store) > self.max_bytes and age > least and not stopped():
                age = max(age * STEP, least)
                gone += store.prune(now - int(age * DAY), kind, stopped)
        return gone


def used_bytes(store: Embedded) -> int:
    """Room that lines take in the file; pages that became free do not count.

    Raises:
        StoreError: cannot be asked now.
    """
    with store.reading() as reader:
        names = ("page_count", "freelist_count", "page_size")
        count, free, size = (int(reader.execute(f"PRAGMA {name}").fetchone()[0]) for name in names)
    return (count - free) * size


class Pruner:
    """A thread that tends embedded stores once an hour."""

    def __init__(self, stores: list[tuple[Embedded, Retention]], now: Callable[[], int] = time.time_ns) -> None:
        self._stores, self._now = stores, now
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)

    def start(self) -> None:
        """Begin, if there is a store to tend."""
        if self._stores:
            self._thread.start()

    def stop(self) -> None:
        """End at the next step."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        wait = FIRST_SECONDS
        while not self._stopping.wait(wait):
            wait = EVERY_SECONDS
            for store, retention in self._stores:
                self._tend(store, retention)

    def _tend(self, store: Embedded, retention: Retention) -> None:
        try:
            gone = retention.tend(store, self._now(), self._stopping.is_set)
            full = used_bytes(store) > retention.max_bytes
        except StoreError as error:
            log.warning("old readings cannot be deleted now; trying again in an hour", error=str(error))
            return
        if gone:
            log.info("deleted what is older than its retention", store=store.name, lines=gone)
        if full and not self._stopping.is_set():
            log.error("the store is beyond its room, and nothing old is left to delete; raise max_mb", store=store.name)
