"""The line's thread: poll the broker, process, commit, acknowledge; everything else fits between two batches."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

import structlog

from devices.topics import ERROR, own_topic
from gateway.clock import OwnClock
from gateway.line.held import NOTHING, HeldUplinks
from gateway.line.journal import Journal, JournalFullError
from gateway.line.pipeline import Pipeline
from gateway.line.replayed import Replayed
from gateway.line.snapshot import Saver
from gateway.line.work import Told
from gateway.model import Batch, Judged, Uplink

log = structlog.get_logger(__name__)

T = TypeVar("T")
SNAPSHOT_SECONDS = 60
ERROR_REPLY_SECONDS = 10
"""A device hears why it was refused at most this often."""
POLL_SECONDS = 0.25
MANY = 2000
"""Uplinks that are enough for a commit where the settings let it wait."""
BURST, ENOUGH = 4, 200
"""Uplinks that come together only where more are on their way; and so many that a commit of them is cheap: with 30 the
disk is written three times as much, and the commit costs four times the processor time for each (measured)."""
ENOUGH_BYTES = 64 << 10
"""Of payload; see ``mqtt.MAX_BYTES``."""
STEP_SECONDS, BURST_SECONDS = 0.005, 0.025
"""Between two looks whether more of a burst have come, and the longest wait for them. Chosen."""


class Edge(Protocol):
    """Where uplinks come from."""

    def poll(self, seconds: float) -> list[Uplink]:
        """Uplinks that have arrived; waits up to ``seconds`` for the first."""
        ...

    def acknowledge(self, uplinks: Sequence[Uplink]) -> None:
        """They are on disk."""
        ...

    def tell(self, topic: str, payload: bytes) -> None:
        """Publish, best effort."""
        ...

    def wake(self) -> None:
        """Make a waiting ``poll`` return. From any thread."""
        ...

    def close(self) -> None:
        """Leave."""
        ...


class NoEdge:
    """No broker: for taking in files while the gateway is not running."""

    def __init__(self) -> None:
        self._awake = threading.Event()

    def poll(self, seconds: float) -> list[Uplink]:
        """Nothing ever comes."""
        self._awake.wait(seconds)
        self._awake.clear()
        return []

    def acknowledge(self, uplinks: Sequence[Uplink]) -> None:
        """Nobody waits for it."""

    def tell(self, topic: str, payload: bytes) -> None:
        """Nobody listens."""

    def wake(self) -> None:
        """Make a waiting ``poll`` return."""
        self._awake.set()

    def close(self) -> None:
        """Nothing to leave."""


class Line:
    """One thread that owns edge, pipeline, state and the journal's writing side."""

    def __init__(
        self,
        edge: Edge,
        pipeline: Pipeline,
        journal: Journal,
        saver: Saver,
        *,
        commit_wait_seconds: float = 0.0,
        error_replies: bool = True,
        clock: OwnClock | None = None,
    ) -> None:
        self.edge, self.pipeline, self.journal, self.saver = edge, pipeline, journal, saver
        self.held = HeldUplinks(journal, clock or OwnClock(trusted=True))
        self._commit_wait = commit_wait_seconds
        self._error_replies = error_replies
        self._told_at: dict[int, float] = {}
        self._tasks: SimpleQueue[tuple[Callable[[], None], Future[Any]]] = SimpleQueue()
        self._ended = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="line")
        self._last_row = journal.rows.newest()
        self._saved_row = 0
        self._next_snapshot = time.monotonic() + SNAPSHOT_SECONDS
        self._gave_up = False
        """The state knows a batch that is not on disk: saved, it would take the batch's redelivery for a repeat."""
        self.full: str = ""
        """Why nothing can be committed now; empty if it can."""
        self.failed: BaseException | None = None
        """What ended the thread, if it was not ``stop``: a bug."""
        self.on_end: Callable[[], None] = lambda: None
        self.on_turn: Callable[[], None] = lambda: None
        """Is called while the line gets on, also where it waits for room on the disk; must be quick."""
        self.on_judged: Callable[[Sequence[Judged]], None] | None = None
        """Is handed the readings of every batch once it is on disk; must be quick."""
        self.on_again: Callable[[Sequence[tuple[int, int]]], None] | None = None
        """Likewise: device and time [ns UTC] of stored lines whose flags the batch has overwritten."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch at hand, save the state, leave the broker."""
        self._stopping.set()
        self.edge.wake()
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, task: Callable[[], T]) -> "Future[T]":
        """Let the line's thread do something between two batches (a backfill chunk, a reload). From any thread.

        The future fails with ``TimeoutError`` if the line ends before its turn comes.
        """
        future: Future[T] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(task())
                except Exception as error:  # noqa: BLE001 - it belongs to whoever asked
                    future.set_exception(error)

        self._tasks.put((run, future))
        self.edge.wake()
        if self._ended:
            self._refuse_tasks()
        return future

    def take(self, uplinks: Sequence[Uplink], notes: Mapping[str, str] | None = None) -> Batch | None:
        """Process and commit; returns the batch once it is on disk, None if the line stops before there is room."""
        batch, told = self.pipeline.process(uplinks)
        if not self.commit(batch, notes):
            return None
        self._answer(told)
        return batch

    # the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn()
            if not self._gave_up:
                self.saver.save(self.pipeline.state.snapshot(self._last_row), wait=True)
            self.journal.tend(force=True)
        except BaseException as error:  # the thread's edge: say it, and end the process unacknowledged
            self.failed = error
            log.critical("the line failed; nothing more is acknowledged", exc_info=error)
        finally:
            self._ended = True
            self._refuse_tasks()
            self.edge.close()
            self.on_end()

    def _turn(self) -> None:
        is_busy = not self._tasks.empty() or self.held.can_go()
        uplinks = self.edge.poll(0.0 if is_busy else POLL_SECONDS)
        if uplinks:
            uplinks += self._gather(len(uplinks)) if self._commit_wait else self._rest_of_burst(uplinks)
        if uplinks and (self._hold(uplinks) if self.held.must_wait() else self.take(uplinks) is not None):
            self.edge.acknowledge(uplinks)
        if self.held.can_go():
            self._release()
        self._do_one_task()
        self.journal.tend()
        self._save_when_due()
        if self.journal.rows.damage is not None:
            raise self.journal.rows.damage
        self.on_turn()

    def _hold(self, uplinks: Sequence[Uplink]) -> bool:
        """Put them on disk as they came, to be read when the clock is right; False if the line stops before."""
        if not self.commit(NOTHING, also=lambda database: self.held.write(database, uplinks)):
            return False
        self.held.held(uplinks)
        return True

    def _release(self) -> None:
        """Read the next of those that were held."""
        uplinks, last = self.held.next()
        batch, told = self.pipeline.process(uplinks)
        if self.commit(batch, also=lambda database: database.execute("DELETE FROM held WHERE id <= ?", (last,))):
            self.held.released(uplinks)
            self._answer(told)

    def _gather(self, have: int) -> list[Uplink]:
        """Wait for more, so that an SD card is written less often."""
        more: list[Uplink] = []
        until = time.monotonic() + self._commit_wait
        while have + len(more) < MANY and (left := until - time.monotonic()) > 0:
            more += self.edge.poll(left)
        return more

    def _rest_of_burst(self, first: Sequence[Uplink]) -> list[Uplink]:
        """Wait for more as long as more keep coming, so that they share a commit. One alone never waits."""
        more: list[Uplink] = []
        until = time.monotonic() + BURST_SECONDS
        size = sum(len(uplink.payload) for uplink in first)
        while BURST <= len(first) + len(more) < ENOUGH and size < ENOUGH_BYTES and time.monotonic() < until:
            time.sleep(STEP_SECONDS)
            came = self.edge.poll(0.0)
            if not came:
                break
            more += came
            size += sum(len(uplink.payload) for uplink in came)
        return more

    def commit(
        self,
        batch: Batch,
        notes: Mapping[str, str] | None = None,
        replayed: Sequence[Replayed] = (),
        also: Callable[[sqlite3.Connection], object] | None = None,
    ) -> bool:
        """Return when it is on disk: a full disk stops acknowledging, and nothing else. In the line's thread.

        Returns:
            False if the line stops before there is room.
        """
        while True:
            try:
                self._last_row = self.journal.append(batch, notes, replayed, also)
            except JournalFullError as error:
                if not self.full:
                    log.error("cannot commit; the broker keeps what comes", error=str(error))  # noqa: TRY400 - no bug
                self.full = str(error)
                self.journal.tend(force=True)
                self.on_turn()
                if self._stopping.wait(1.0):
                    self._gave_up = True
                    return False
            else:
                self.full = ""
                break
        if self.on_judged is not None and batch.judged:
            self.on_judged(batch.judged)
        if self.on_again is not None and batch.again:
            self.on_again(batch.again)
        return True

    def _answer(self, told: Sequence[Told]) -> None:
        now = time.monotonic()
        for word in told:
            if word.reply is not None:
                self._reply(word, word.reply)
            elif word.refusal is not None and self._error_replies:
                if now - self._told_at.get(word.device, -ERROR_REPLY_SECONDS) < ERROR_REPLY_SECONDS:
                    continue
                if len(self._told_at) > 10_000:
                    self._told_at.clear()
                self._told_at[word.device] = now
                self._explain(word)

    def _explain(self, word: Told) -> None:
        registry, refusal = self.pipeline.registry, word.refusal
        if refusal is None:
            return
        at = datetime.fromtimestamp(word.uplink.received_at / 1e9, UTC).isoformat(timespec="milliseconds")
        body = {"reason": refusal.reason, "detail": refusal.detail, "received_at": at.replace("+00:00", "Z")}
        topic = own_topic(registry.commune(word.device), registry.names[word.device], ERROR)
        self.edge.tell(topic, json.dumps(body, ensure_ascii=False).encode())

    def _reply(self, word: Told, reply: bytes) -> None:
        # Sparkplug B: the rebirth request goes to the edge node's command topic.
        root, group, _, node, *_ = [*word.uplink.topic.split("/"), "", "", ""]
        self.edge.tell(f"{root}/{group}/NCMD/{node}", reply)

    def _do_one_task(self) -> None:
        try:
            task, _ = self._tasks.get_nowait()
        except Empty:
            return
        task()

    def _refuse_tasks(self) -> None:
        with suppress(Empty):
            while True:
                _, future = self._tasks.get_nowait()
                if future.set_running_or_notify_cancel():
                    future.set_exception(TimeoutError("the gateway is stopping"))

    def _save_when_due(self) -> None:
        if self._gave_up or time.monotonic() < self._next_snapshot:
            return
        self._next_snapshot = time.monotonic() + SNAPSHOT_SECONDS
        if self._last_row != self._saved_row and self.saver.save(self.pipeline.state.snapshot(self._last_row)):
            self._saved_row = self._last_row
