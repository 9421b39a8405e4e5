"""What tests of delivery share: a clock that passes when asked, a journal and a store in memory."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from gateway.model import Point, RejectedLine, Row, StoreWriter, Window
from gateway.northbound.delivery import Delivery

LINGER = 0.051
"""What gathering may add to a pause [s]."""
WAIT = 30.0
"""Seconds a test waits for what must come; a test that gets there has failed."""


class Clock:
    """Time that passes only when somebody sleeps or waits."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class MemoryOutbox:
    """``model.Outbox`` for one store, in memory."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock
        self.rows: dict[int, Row] = {}
        """Waiting."""
        self.stored: list[int] = []
        self.rejected: list[RejectedLine] = []
        self.changed = threading.Condition()
        self._newest = 0
        self._interrupted = False

    def commit(self, *bodies: bytes) -> None:
        """One row for each body."""
        with self.changed:
            for body in bodies:
                self._newest += 1
                if body:
                    self.rows[self._newest] = Row(self._newest, body.count(b"\n"), body)
            self.changed.notify_all()

    def _fit(self, rows: Iterator[Row], max_lines: int, max_bytes: int) -> list[Row]:
        taken: list[Row] = []
        lines = size = 0
        for row in rows:
            lines, size = lines + row.line_count, size + len(row.lines)
            if taken and (lines > max_lines or size > max_bytes):
                break
            taken.append(row)
        return taken

    def fresh(self, store: str, after: int, max_lines: int, max_bytes: int) -> list[Row]:
        with self.changed:
            return self._fit((row for row in self.rows.values() if row.id > after), max_lines, max_bytes)

    def backlog(self, store: str, before: int, max_lines: int, max_bytes: int) -> list[Row]:
        with self.changed:
            return self._fit((row for row in self.rows.values() if row.id <= before), max_lines, max_bytes)

    def newest(self) -> int:
        return self._newest

    def accepted(self, store: str, rows: Sequence[int], rejected: Sequence[RejectedLine]) -> None:
        with self.changed:
            for row in rows:
                # A row that is reported twice, or was never there, is a fault.
                del self.rows[row]
            self.stored += rows
            self.rejected += rejected
            self.changed.notify_all()

    def wait(self, after: int, seconds: float) -> None:
        with self.changed:
            if self.clock is not None and self.rows:
                # Somebody waits for simulated time: let it pass.
                self.clock.sleep(seconds)
            else:
                self.changed.wait_for(lambda: self._newest > after or self._interrupted, seconds)

    def interrupt(self) -> None:
        with self.changed:
            self._interrupted = True
            self.changed.notify_all()

    def until(self, met: Callable[[], bool]) -> None:
        """Return when the condition is met."""
        with self.changed:
            assert self.changed.wait_for(met, WAIT), f"{len(self.rows)} rows still waiting"

    def drained(self) -> None:
        """Return when nothing waits."""
        self.until(lambda: not self.rows)


class MemoryStore:
    """A store that answers what a test's function raises, and keeps what it took."""

    name = "commune"

    def __init__(self, answer: Callable[[bytes], None] = lambda body: None) -> None:
        self.answer = answer
        self.bodies: list[bytes] = []
        """Everything that was tried."""
        self.lines: dict[bytes, int] = {}
        """Everything that was taken, and how often."""

    def write(self, body: bytes) -> None:
        self.bodies.append(body)
        self.answer(body)
        self.keep(body.splitlines())

    def keep(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            self.lines[line] = self.lines.get(line, 0) + 1

    def series(self, measurement: str, commune: str, device: str, field: str, window: Window) -> list[Point]:
        raise NotImplementedError

    def check(self) -> list[str]:
        return []

    def close(self) -> None:
        """Nothing is open."""


def delivery_to(store: StoreWriter, outbox: MemoryOutbox, **settings: object) -> Delivery:
    """A delivery in simulated time if the outbox has such a clock."""
    simulated: dict[str, object] = {}
    if outbox.clock is not None:
        simulated = {"clock": outbox.clock, "sleep": outbox.clock.sleep, "chance": lambda: 0.5}
    return Delivery(store, outbox, **{**simulated, **settings})  # type: ignore[arg-type]


@contextmanager
def started(delivery: Delivery) -> Iterator[Delivery]:
    """Started, and stopped at the end."""
    delivery.start()
    try:
        yield delivery
    finally:
        delivery.stop()


def running(store: StoreWriter, outbox: MemoryOutbox, **settings: object) -> AbstractContextManager[Delivery]:
    """``delivery_to``, started."""
    return started(delivery_to(store, outbox, **settings))


def rows_of(count: int, lines: int, word: bytes = b"m") -> list[bytes]:
    """Bodies of so many rows of so many lines, all different."""
    return [b"".join(b"%s x=%d %d\n" % (word, row, line) for line in range(lines)) for row in range(count)]


def wait_for(met: Callable[[], bool]) -> None:
    """Return when a condition that nobody announces is met."""
    until = time.monotonic() + WAIT
    while not met():
        assert time.monotonic() < until
        time.sleep(0.002)
