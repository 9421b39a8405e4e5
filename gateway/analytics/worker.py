"""The analytics thread: what the line has committed goes in, what it means goes back to the line to be committed."""

import struct
import threading
import time
import zlib
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from devices.alert_rules import SensorTexts
from devices.registry import Registry
from devices.standards import Standards
from gateway.analytics.alert_book import AlertBook, AlertChange, Silence
from gateway.analytics.columns import columns_of_judged
from gateway.analytics.laboratory import Results
from gateway.analytics.room import Analytics
from gateway.analytics.store_source import StoreSource
from gateway.analytics.windows import HOUR, day_start
from gateway.line.quality import SPIKE_SPAN_MINUTES
from gateway.line.snapshot import Saver, read_parts
from gateway.line.state import State
from gateway.model import Judged, Store, StoreUnavailableError

log = structlog.get_logger(__name__)

TICK_SECONDS = 1.0
MEND_SECONDS = 20.0
MEND_AT_ONCE = 50
"""Devices that are read back together. Chosen: alerts wait for it."""
MEND_SHARE, IDLE_SHARE = 0.25, 0.7
"""Of the thread's time for more than that, and of a core: a process that uses more has none to spare for it. Chosen."""
SAVE_SECONDS = 60.0
MARKED_SAVE_SECONDS = 5.0
"""After a mark that nothing but the snapshot remembers. Chosen: decoding a fleet anew marks for minutes."""
HEALTH_SECONDS = 10.0
MOST_WAITING = 60_000
"""Lines of readings that may wait to be looked at: seven seconds of a province, a kilobyte each with seven values. What
comes beyond is read back from the store. Chosen."""
AT_ONCE = 10_000
"""Lines of readings that are looked at together; bounds the memory of one look. Chosen."""
ASK_SECONDS = 5.0
"""Longest wait for the thread to do what somebody asks."""
T = TypeVar("T")


class Mark(NamedTuple):
    """A device's readings between two moments were changed where they are stored."""

    device: int
    start: int
    stop: int
    """Excluded [ns UTC]."""
    changed_at: int
    """When that was committed [ns UTC]."""
    is_recent: bool = False
    """Whoever resumes from an older snapshot reads it back anyway."""


class Standing(NamedTuple):
    """Every alert at one look."""

    version: int
    """Rises with every change."""
    registry: Registry
    current: Sequence[AlertChange]
    """Pending, firing and acknowledged ones."""
    resolved: Sequence[AlertChange]
    """What is over, the newest last; bounded."""
    silences: Sequence[Silence]
    sensor: SensorTexts
    rules: Sequence[str]
    """Codes of every rule."""
    live_since: NDArray[np.int64]
    """Since when each device has power [ns UTC]; in the future where its feeder should be cut now."""


Tell = Callable[[Sequence[AlertChange], Standing], None]
WriteLines = Callable[[Sequence[str]], None]
"""Commit finished lines through the line's thread; returns when they are on disk."""


class AnalyticsWorker:
    """Owns the analytics room. The line's thread calls ``take``, ``mark``, ``judged_again`` and ``use`` as it commits;
    what they bring is looked at in the worker's own thread, in that order."""

    def __init__(
        self,
        registry: Registry,
        store: Store,
        write: WriteLines,
        oldest_waiting: Callable[[], int],
        heard_since: Callable[[int], Sequence[int]],
        state: Callable[[], State],
        path: Path,
        now: Callable[[], int] = time.time_ns,
        *,
        hears: Callable[[], bool] = lambda: True,
        failing: Callable[[], Collection[str]] = tuple,
        standards: Standards | None = None,
        tell: Tell = lambda _changes, _standing: None,
        laboratory: Callable[[], Results] = dict,
    ) -> None:
        """Resume from the snapshot at ``path``, if there is one.

        Args:
            registry: the fleet.
            store: where late readings are read back from.
            write: how lines get into the journal.
            oldest_waiting: when the oldest line that ``store`` does not have yet was committed [ns UTC]; 0: none waits.
            heard_since: devices that were heard after a moment [ns UTC].
            state: what the line knows now; another one after a change of the fleet.
            path: of the snapshot.
            now: nanoseconds UTC.
            hears: whether devices can be heard at all at this moment. While they cannot, none of them is silent.
            failing: parts of the gateway itself that fail.
            standards: tables to judge by; the shipped ones if None.
            tell: writes down what people have to be told of some changes.
            laboratory: every result that was entered by hand; another object after a change.
        """
        self._laboratory = laboratory
        self._results: Results | None = None
        """Those that the room knows."""
        self._hears, self._failing, self._standards, self._tell = hears, failing, standards, tell
        self._store, self._write, self._oldest_waiting, self._now = store, write, oldest_waiting, now
        self._saver = Saver(path)
        self._queue: SimpleQueue[Sequence[Judged] | Mark | Registry] = SimpleQueue()
        self._heard_since, self._state = heard_since, state
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="analytics", daemon=True)
        self._room = self._resume(registry, path, heard_since)
        self._tasks: SimpleQueue[tuple[Callable[[AlertBook], Any], Future[Any]]] = SimpleQueue()
        self.standing = self._stand(None, self._now(), changed=True)
        """The alerts as of the last look. From any thread."""
        self._next_mend = self._next_save = self._next_health = 0.0
        self._skipped_since = 0
        self._used = time.monotonic(), time.process_time()
        """When something was read back last, and what the process had used until then [s]."""
        self._taken = self._looked_at = 0
        """Lines that the line's thread has handed over, and that were looked at since."""
        self.failed: BaseException | None = None
        """What ended the thread, if it was not ``stop``: a bug; the line goes on without it."""
        self.on_turn: Callable[[int], None] | None = None
        """Is called in this thread every second or so with the time [ns UTC], and may write lines of its own."""

    def _resume(self, registry: Registry, path: Path, heard_since: Callable[[int], Sequence[int]]) -> Analytics:
        now = self._now()
        try:
            header, *parts = read_parts(path)
            saved_at, whole = Analytics.read_header(header)
        except (OSError, ValueError, struct.error, zlib.error):
            return Analytics(registry, now, self._standards)
        room = Analytics.resumed(registry, now, parts, self._standards)
        # What the snapshot does not hold is read back from the store: what was said after it, and after a crash the
        # sums of the day, which only the snapshot of an orderly stop has; of the day before what was a spike.
        oldest = saved_at // HOUR - int(SPIKE_SPAN_MINUTES / 60)
        since = saved_at if whole and room.has_sums else day_start((oldest + 7) // 24)
        for device in heard_since(since):
            room.rollups.mark(device, since, now, now)
        return room

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self, seconds: float) -> None:
        """Look at what has come, save, end; the line must still be running. Returns after ``seconds`` at the latest."""
        self._stopping.set()
        self._queue.put(())
        if self._thread.is_alive():
            self._thread.join(seconds)

    def join(self, seconds: float) -> None:
        """Return when the thread has ended: when the question it has asked the store is answered, or after so long."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def take(self, judged: Sequence[Judged]) -> None:
        """Readings that are on disk now. Returns at once."""
        if self._taken - self._looked_at + len(judged) <= MOST_WAITING and self.failed is None:
            self._taken += len(judged)
            self._queue.put(judged)
        elif not self._skipped_since:
            # Too much at once: what cannot be looked at now is read back from the store later.
            self._skipped_since = judged[0].received_at

    def mark(self, device: int, start: int, stop: int, changed_at: int) -> None:
        """Stored readings of a device were decoded anew; see ``redecode.Touched``. Returns at once."""
        self._queue.put(Mark(device, start, stop, changed_at))

    def judged_again(self, lines: Sequence[tuple[int, int]]) -> None:
        """The flags of stored lines were overwritten; see ``Line.on_again``. Returns at once."""
        now = self._now()
        for device, at in lines:
            self._queue.put(Mark(device, at, at + 1, now, is_recent=True))

    def use(self, registry: Registry) -> None:
        """Go on with another fleet. Returns at once."""
        self._queue.put(registry)

    def ask(self, task: Callable[[AlertBook], T], seconds: float = ASK_SECONDS) -> T:
        """Let the thread do something with the book of alerts; what it raises is raised here. From any thread.

        Raises:
            TimeoutError: the thread is busy or has ended.
        """
        future: Future[T] = Future()
        self._tasks.put((task, future))
        self._queue.put(())
        return future.result(seconds)

    # the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn()
            self._turn()
            self._save(whole=True)
        except Exception as error:  # the thread's edge: readings must go on although nobody says what they mean
            if self._stopping.is_set() and isinstance(error, TimeoutError):
                return  # the line ended first; the last snapshot and the store hold what is needed
            self.failed = error
            log.exception("analytics failed: no alerts, indices and roll-ups until the gateway is restarted")

    def _turn(self) -> None:
        fleet = self._observe()
        if fleet is not None:
            before = self._room
            self._room = Analytics.resumed(fleet, self._now(), before.snapshot(), self._standards)
            self._room.alerts.silence.go_on_from(before.alerts.silence)
            self._results = None
        results = self._laboratory()
        if results is not self._results:
            self._room.indices.laboratory(results)
            self._results = results
        now = self._now()
        if self._hears():
            self._room.alerts.silence.listen(now)
        else:
            self._room.alerts.silence.deafen()
        if time.monotonic() >= self._next_health:
            self._next_health = time.monotonic() + HEALTH_SECONDS
            self._room.alerts.take_health(self._failing(), now)
        asked = self._do_tasks()
        changes = self._room.tick(now)
        self._room.tell_states(self._state(), now)
        if asked:
            self._next_save = 0.0  # nobody says it a second time: not for a power cut, and a backup must have it
        self.standing = self._stand(self.standing, now, changed=bool(asked or changes))
        if changes:
            self._tell(changes, self.standing)
        self._write_out(now)
        if self.on_turn is not None:
            self.on_turn(now)
        if time.monotonic() >= self._next_mend:
            self._next_mend = time.monotonic() + self._mend(now)
            self._write_out(now)
        if time.monotonic() >= self._next_save and self._save(whole=False):
            self._next_save = time.monotonic() + SAVE_SECONDS

    def _observe(self) -> Registry | None:
        """Wait a second for readings, then look at everything that has come, up to a change of the fleet."""
        until = time.monotonic() + TICK_SECONDS
        news: list[Judged] = []
        fleet: Registry | None = None
        while len(news) < AT_ONCE and fleet is None:
            wait = until - time.monotonic()
            try:
                came = self._queue.get(timeout=wait) if wait > 0 else self._queue.get_nowait()
            except Empty:
                break
            if isinstance(came, Registry):
                fleet = came
            elif isinstance(came, Mark):
                self._room.rollups.mark(*came[:4])
                if not came.is_recent:
                    self._next_save = min(self._next_save, time.monotonic() + MARKED_SAVE_SECONDS)
            else:
                news += came
            if self._stopping.is_set() or not self._tasks.empty():
                until = 0.0
        if self._skipped_since and self._queue.empty():
            since, self._skipped_since = self._skipped_since, 0
            devices, now = self._heard_since(since), self._now()
            for device in devices:
                self._room.rollups.mark(device, since, now, now)
            self._room.alerts.silence.take(np.array(devices, np.int64), np.full(len(devices), now))
        for old in (False, True):
            some = [one for one in news if one.old is old]
            if some:
                self._room.take(columns_of_judged(some), old=old)
        self._looked_at += len(news)
        return fleet

    def _stand(self, before: Standing | None, now: int, *, changed: bool) -> Standing:
        alerts, registry = self._room.alerts, self._room.tables.registry
        changed |= before is None or before.registry is not registry
        return Standing(
            (before.version if before else 0) + changed,
            registry,
            alerts.book.current(now),
            before.resolved if before and not changed else tuple(alerts.book.resolved),
            tuple(alerts.book.silences),
            alerts.sensor_texts,
            [rule.code for rule in alerts.rules],
            alerts.live_since,
        )

    def _do_tasks(self) -> int:
        """What others want of the book; returns how much that was."""
        done = 0
        while not self._tasks.empty():
            task, future = self._tasks.get()
            done += 1
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(task(self._room.alerts.book))
                except ValueError as error:
                    future.set_exception(error)
        return done

    def _write_out(self, now: int) -> None:
        while True:
            raw, rollup = self._room.written(now)
            if not raw and not rollup:
                return
            self._write([*raw, *rollup])

    def _mend(self, now: int) -> float:
        """Read some back; returns when to go on [s], by how much there is and how busy the process is."""
        began, (before, used) = time.monotonic(), self._used
        self._used = began, time.process_time()
        is_idle = self._used[1] - used < IDLE_SHARE * (began - before) and self._taken - self._looked_at < AT_ONCE
        source = StoreSource(self._store, self._room.tables, self._stopping.is_set)
        try:
            count = self._room.mend(source, self._oldest_waiting() or now, MEND_AT_ONCE)
        except StoreUnavailableError as error:
            if not self._stopping.is_set():  # then what was not read back is in the snapshot
                log.info("late readings cannot be read back now; trying again", error=str(error))
            return MEND_SECONDS
        return (time.monotonic() - began) / MEND_SHARE if count >= MEND_AT_ONCE and is_idle else MEND_SECONDS

    def _save(self, *, whole: bool) -> bool:
        """False while the disk is still busy with the snapshot before, or full."""
        return self._saver.save_now(self._room.file(self._now(), whole=whole), wait=whole)
