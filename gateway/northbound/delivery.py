"""Delivery: one thread per store carries the journal's rows there, fresh before backlog, and never drops one."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import structlog

from gateway.line.line_protocol import FLAGS_ONLY
from gateway.model import (
    Outbox,
    RejectedLine,
    Row,
    StoreError,
    StoreMisconfiguredError,
    StoreUnavailableError,
    StoreWriter,
)
from gateway.northbound.sifting import MAX_LINES, Sifter, StoppedError

_LINGER = 0.05
"""Seconds that news waits for company, so that a trickle is not one request per uplink. Chosen."""
_IDLE = 1.0
"""Longest wait for news [s]; also how long a missed wake-up can delay the stop."""
_BEHIND = 5.0
"""Seconds of fresh rows coming faster than they leave, after which the older of them join the backlog. Chosen."""
_SLOW = 1.0
"""Seconds after which a failed request may have failed for its size. Chosen."""
_STOP_SECONDS = 2.0
_MISCONFIGURED_SECONDS = 30.0
_LONGEST_PAUSE = 60.0
_LONGEST_RETRY_AFTER = 3600.0

_log = structlog.get_logger(__name__)


class Condition(StrEnum):
    """How a store's delivery does."""

    OK = "ok"
    WAITING = "waiting"
    """An outage: tried again within a minute or when the store asked for it."""
    FAILING = "failing"
    """A person must mend something; tried again every 30 s."""


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """A snapshot for health and metrics."""

    store: str
    state: Condition
    error: str
    """One line: the last error, with what to do; empty while ``ok``."""
    since: int
    """Since when in this state [ns UTC]."""
    lines_stored: int
    """Since the start of this process."""
    lines_rejected: int


@dataclass
class _Lane:
    """Fresh rows, or the backlog: failed how often in a row, and not to be tried before when.

    Each has its own: a row of the backlog that the store cannot take must not hold up what devices say now.
    """

    not_before: float = 0.0
    failures: int = 0
    error: StoreError | None = None
    """Of the last try; None after a success, and when there is nothing left to try."""


class Delivery:
    """Carries rows to one store until stopped.

    Args:
        store: where to; its ``write`` is called from this thread only.
        outbox: the journal.
        backlog_lines_per_second: at most this many lines that are not fresh, so that draining them does not burden the
            store. Fresh rows are not limited.
        clock: monotonic seconds.
        now: nanoseconds UTC.
        chance: a number in [0, 1).
        sleep: pauses that many seconds; the default one ends at once when the thread is to stop.
    """

    def __init__(
        self,
        store: StoreWriter,
        outbox: Outbox,
        *,
        backlog_lines_per_second: int = 20_000,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], int] = time.time_ns,
        chance: Callable[[], float] = random.random,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._store, self._outbox, self._rate = store, outbox, backlog_lines_per_second
        self._clock, self._now, self._chance = clock, now, chance
        self._stopping, self._abandoned = threading.Event(), threading.Event()
        self._sleep = sleep or self._stopping.wait
        self._thread = threading.Thread(target=self._run, name=f"delivery-{store.name}", daemon=True)
        self._fresh, self._backlog = _Lane(), _Lane()
        self._high_water = 0
        self._fresh_paused = False
        self._has_backlog = True
        self._overtakes = False
        """The rows at hand are sent before older ones."""
        self._behind_since: float | None = None
        self._sifter = Sifter(store, self._accept, self._stopping.is_set, clock)
        self._state = DeliveryState(store.name, Condition.OK, "", now(), 0, 0)

    @property
    def state(self) -> DeliveryState:
        """How it does at this moment; from any thread."""
        return self._state

    def start(self) -> None:
        """Begin; what already waits is the backlog, what is committed from now on is fresh."""
        self._high_water = self._outbox.newest()
        self._thread.start()

    def stop(self) -> None:
        """End within 2 s, even in the middle of a pause. A request on its way is left behind: its rows stay waiting."""
        self._stopping.set()
        self._outbox.interrupt()
        if self._thread.ident is not None:
            self._thread.join(_STOP_SECONDS)
        self._abandoned.set()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._wait(self._round())
        except StoppedError:
            return
        finally:
            if not self._stopping.is_set():
                self._change(Condition.FAILING, "delivery ended by a fault of the gateway; see its log, restart it")

    def _round(self) -> bool:
        """One body of fresh rows and one of the backlog, as far as their turn has come.

        Returns:
            Whether more fresh rows are known to be there.
        """
        more = False
        if self._clock() >= self._fresh.not_before:
            if self._fresh_paused:
                # Fresh is what comes from now on: what came during the pause would hide it for too long.
                self._fresh_paused = False
                self._demote(self._outbox.newest())
            more = self._send_fresh()
        if self._has_backlog and self._clock() >= self._backlog.not_before:
            self._send_backlog()
        return more

    def _wait(self, more: bool) -> None:
        """Until fresh rows have come and gathered, or the next turn of a lane."""
        now = self._clock()
        if more:
            return
        backlog_in = self._backlog.not_before - now if self._has_backlog else _IDLE
        if now < self._fresh.not_before:
            self._sleep(max(0.0, min(backlog_in, self._fresh.not_before - now)))
        elif backlog_in > 0:
            self._outbox.wait(self._high_water, min(backlog_in, _IDLE))
            self._sleep(_LINGER)

    def _send_fresh(self) -> bool:
        newest = self._outbox.newest()
        rows = self._outbox.fresh(self._store.name, self._high_water, MAX_LINES, self._sifter.max_bytes)
        if not rows:
            # Nothing waits up to there, or rows without lines, which are for no store.
            self._high_water = max(self._high_water, newest)
            self._nothing_left(self._fresh)
            return False
        self._overtakes = self._has_backlog
        if not self._attempt(self._fresh, rows):
            return False
        self._high_water = rows[-1].id
        more = newest > self._high_water
        if not more:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self._clock()
        elif self._clock() - self._behind_since > _BEHIND:
            self._demote(newest)
        return more

    def _send_backlog(self) -> None:
        most = min(MAX_LINES, self._rate)
        rows = self._outbox.backlog(self._store.name, self._high_water, most, self._sifter.max_bytes)
        if not rows:
            self._has_backlog = False
            self._nothing_left(self._backlog)
            return
        started, self._overtakes = self._clock(), False
        if self._attempt(self._backlog, rows):
            self._backlog.not_before = started + sum(row.line_count for row in rows) / self._rate

    def _demote(self, newest: int) -> None:
        """What is committed up to here is no longer fresh, so that what comes next is seen within seconds."""
        self._high_water = max(self._high_water, newest)
        self._has_backlog = True
        self._overtakes = False
        """The rows at hand are sent before older ones."""
        self._behind_since = None

    def _nothing_left(self, lane: _Lane) -> None:
        if lane.error is not None:
            lane.error = None
            self._report()

    def _attempt(self, lane: _Lane, rows: Sequence[Row]) -> bool:
        """Deliver these rows; on a failure set the lane's pause and return False."""
        started = self._clock()
        try:
            if not self._sifter.deliver(rows):
                self._has_backlog = True
        except (StoreUnavailableError, StoreMisconfiguredError) as error:
            self._failed(lane, error, self._clock() - started)
            return False
        if lane.failures:
            lane.failures, lane.error = 0, None
            # The store is back: the other lane need not wait out its pause.
            other = self._backlog if lane is self._fresh else self._fresh
            other.not_before = self._clock()
            self._report()
        return True

    def _failed(self, lane: _Lane, error: StoreError, took: float) -> None:
        pause = self._pause(lane, error)
        asked = isinstance(error, StoreUnavailableError) and error.retry_after is not None
        for each in (self._fresh, self._backlog) if asked else (lane,):
            each.not_before = max(each.not_before, self._clock() + pause)
        self._fresh_paused |= asked or lane is self._fresh
        lane.failures += 1
        lane.error = error
        if lane is self._fresh:
            self._demote(self._outbox.newest())
        if isinstance(error, StoreUnavailableError) and (took > _SLOW or lane.failures > 1):
            # A link too slow for the body looks like an outage; smaller bodies get through. One connection that was
            # cut at once says nothing of the body's size.
            self._sifter.halve()
        self._report()

    def _pause(self, lane: _Lane, error: StoreError) -> float:
        """Seconds until the next try, with jitter so that a province's gateways do not come back in one moment."""
        if not isinstance(error, StoreUnavailableError):
            return _MISCONFIGURED_SECONDS
        if error.retry_after is not None:
            return min(max(error.retry_after, 1.0), _LONGEST_RETRY_AFTER) + self._chance()
        ceiling = min(_LONGEST_PAUSE, 2.0 ** min(lane.failures, 6))
        return 1.0 + self._chance() * (ceiling - 1.0)

    def _accept(self, rows: Sequence[Row], rejected: Sequence[RejectedLine]) -> None:
        if self._abandoned.is_set():
            raise StoppedError
        if self._overtakes:
            # Flags for a line that may itself still wait, and would undo them: sent again when its turn is over.
            rows = [row for row in rows if FLAGS_ONLY not in row.lines]
            going = {row.id for row in rows}
            rejected = [line for line in rejected if line.row in going]
            if not rows:
                return
        self._outbox.accepted(self._store.name, [row.id for row in rows], rejected)
        stored = sum(row.line_count for row in rows) - len(rejected)
        self._state = replace(
            self._state,
            lines_stored=self._state.lines_stored + stored,
            lines_rejected=self._state.lines_rejected + len(rejected),
        )

    def _report(self) -> None:
        errors = [lane.error for lane in (self._fresh, self._backlog) if lane.error is not None]
        grave = [error for error in errors if isinstance(error, StoreMisconfiguredError)]
        if grave:
            self._change(Condition.FAILING, str(grave[0]))
        elif errors:
            self._change(Condition.WAITING, str(errors[0]))
        else:
            self._change(Condition.OK, "")

    def _change(self, condition: Condition, error: str) -> None:
        if condition is self._state.state:
            self._state = replace(self._state, error=error)
            return
        self._state = replace(self._state, state=condition, error=error, since=self._now())
        log = _log.info if condition is Condition.OK else _log.warning
        log(f"store {condition}", store=self._store.name, error=error)
