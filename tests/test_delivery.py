"""Delivery: every good line arrives, only bad ones are rejected, fresh before backlog, whatever the store answers."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager

import pytest

from gateway.model import (
    BodyTooLargeError,
    LinesRefusedError,
    Point,
    RejectedLine,
    Row,
    Store,
    StoreError,
    StoreMisconfiguredError,
    StoreUnavailableError,
    Window,
)
from gateway.northbound import delivery as delivery_module
from gateway.northbound.delivery import Condition, Delivery, DeliveryState
from gateway.northbound.influxdb1 import InfluxDB1
from tests import servers
from tests.servers import Server

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


def delivery_to(store: Store, outbox: MemoryOutbox, **settings: object) -> Delivery:
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


def running(store: Store, outbox: MemoryOutbox, **settings: object) -> AbstractContextManager[Delivery]:
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


# the way when all is well ------------------------------------------------------------------------------------


def test_rows_are_joined_into_bodies_without_changing_a_byte() -> None:
    store, outbox, bodies = MemoryStore(), MemoryOutbox(), rows_of(120, 100)
    outbox.commit(*bodies)
    with running(store, outbox) as delivery:
        outbox.drained()
        wait_for(lambda: delivery.state.lines_stored == 12_000)
        assert delivery.state.state is Condition.OK
    assert b"".join(store.bodies) == b"".join(bodies)
    assert [body.count(b"\n") for body in store.bodies] == [5000, 5000, 2000]
    assert outbox.stored == list(range(1, 121))


def test_bodies_keep_under_a_megabyte_and_one_large_row_is_cut_at_line_ends() -> None:
    wide = b"m x=1,%s=1 1\n" % (b"y" * 1000)
    store, outbox = MemoryStore(), MemoryOutbox()
    outbox.commit(wide * 3000, *[wide * 300] * 8)
    with running(store, outbox):
        outbox.drained()
    assert b"".join(store.bodies) == wide * 5400
    assert max(map(len, store.bodies)) <= 1 << 20
    assert all(body.endswith(b"1\n") for body in store.bodies)


def test_a_row_of_very_many_lines_is_cut() -> None:
    store, outbox = MemoryStore(), MemoryOutbox()
    outbox.commit(b"m x=1 1\n" * 12_000)
    with running(store, outbox):
        outbox.drained()
    assert [body.count(b"\n") for body in store.bodies] == [5000, 5000, 2000]


def test_rows_without_lines_are_passed_over() -> None:
    store, outbox = MemoryStore(), MemoryOutbox()
    with running(store, outbox):
        outbox.commit(b"", b"")
        outbox.commit(b"m x=1 1\n", b"")
        outbox.drained()
        outbox.commit(b"m x=2 2\n")
        outbox.drained()
    assert store.lines == {b"m x=1 1": 1, b"m x=2 2": 1}


def test_news_gathers_for_a_moment() -> None:
    """What is committed while delivery lingers travels in one body."""
    outbox = MemoryOutbox()
    lingering = []

    def sleep(seconds: float) -> None:
        lingering.append(seconds)
        if len(lingering) == 1:
            outbox.commit(b"m x=2 2\n", b"m x=3 3\n")

    store = MemoryStore()
    with running(store, outbox, sleep=sleep):
        outbox.commit(b"m x=1 1\n")
        outbox.until(lambda: len(outbox.stored) == 3)
    assert store.bodies == [b"m x=1 1\nm x=2 2\nm x=3 3\n"]
    assert set(lingering) == {0.05}


# fresh before backlog ----------------------------------------------------------------------------------------


def test_fresh_rows_overtake_the_backlog() -> None:
    outbox = MemoryOutbox(Clock())
    outbox.commit(*rows_of(400, 100, b"old"))
    fresh = iter([b"new x=1 1\n", b"new x=2 2\n", b"new x=3 3\n"])

    def answer(body: bytes) -> None:
        if body.startswith(b"old"):
            outbox.commit(next(fresh, b""))

    store = MemoryStore(answer)
    with running(store, outbox):
        outbox.drained()
    assert [body[:7] for body in store.bodies[:7]] == [
        b"old x=0", b"new x=1", b"old x=5", b"new x=2", b"old x=1", b"new x=3", b"old x=1",
    ]  # fmt: skip
    assert [row for row in outbox.stored if row <= 400] == list(range(1, 401))


def test_the_backlog_is_limited_to_its_rate_and_fresh_rows_are_not() -> None:
    clock = Clock()
    outbox = MemoryOutbox(clock)
    outbox.commit(*rows_of(100, 100, b"old"))
    taken: list[tuple[float, int]] = []

    def answer(body: bytes) -> None:
        if body.startswith(b"old"):
            taken.append((clock.seconds, body.count(b"\n")))

    with running(MemoryStore(answer), outbox, backlog_lines_per_second=1000):
        outbox.drained()
    assert [lines for _, lines in taken] == [1000] * 10
    for (before, _), (after, _) in itertools.pairwise(taken):
        assert 1.0 <= after - before < 1.2


def test_when_more_comes_than_leaves_the_newest_is_still_seen_within_seconds() -> None:
    """Each body takes a second and brings two more: the oldest fresh rows become backlog, the newest keep up."""
    clock = Clock()
    outbox = MemoryOutbox(clock)
    born: dict[bytes, float] = {}
    ages: list[float] = []
    numbers = itertools.count()

    def come(count: int) -> None:
        for number in itertools.islice(numbers, count):
            body = b"m x=%d 1\n" % number * 5000
            born[body] = clock.seconds
            outbox.commit(body)

    def answer(body: bytes) -> None:
        clock.sleep(1.0)
        if len(ages) < 60:
            ages.append(clock.seconds - born[body])
            come(2)

    with running(MemoryStore(answer), outbox):
        come(1)
        outbox.until(lambda: len(ages) >= 60)
        youngest_of_ten = [min(ages[n : n + 10]) for n in range(0, 60, 10)]
        assert max(youngest_of_ten) <= 3.0
        outbox.drained()
    assert sorted(outbox.stored) == list(range(1, len(born) + 1))


# bad lines ---------------------------------------------------------------------------------------------------


def bad_lines_refused(store: MemoryStore, partial: bool) -> Callable[[bytes], None]:
    """Refuse bodies with a bad line; the good ones are stored as well if ``partial``, as InfluxDB 1.x does."""

    def answer(body: bytes) -> None:
        lines = body.splitlines()
        bad = [line for line in lines if line.startswith(b"bad")]
        if bad:
            if partial:
                store.keep([line for line in lines if line not in bad])
            raise LinesRefusedError(f"{len(bad)} bad, first {bad[0].decode()}")

    return answer


@pytest.mark.parametrize("partial", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 10])
def test_every_mask_of_bad_lines_ends_with_all_good_ones_stored(partial: bool, rows: int) -> None:
    """1,023 batches of ten lines, each with another set of bad ones, cut into one, two or ten rows."""
    good, bad = set(), set()
    outbox = MemoryOutbox(Clock())
    for mask in range(1, 1024):
        lines = [b"%s x=%d %d\n" % (b"bad" if mask >> n & 1 else b"good", mask, n) for n in range(10)]
        good |= {line[:-1] for line in lines if line.startswith(b"good")}
        bad |= {line[:-1] for line in lines if line.startswith(b"bad")}
        outbox.commit(*(b"".join(lines[n::rows]) for n in range(rows)))
    store = MemoryStore()
    store.answer = bad_lines_refused(store, partial)
    with running(store, outbox, backlog_lines_per_second=1_000_000) as delivery:
        outbox.drained()
        wait_for(lambda: delivery.state.lines_stored == len(good))
        assert delivery.state.lines_rejected == len(bad)
    assert set(store.lines) == good
    assert {rejected.line for rejected in outbox.rejected} == bad
    assert len(outbox.rejected) == len(bad)
    assert {r.answer for r in outbox.rejected} == {f"1 bad, first {line.decode()}" for line in bad}
    assert (len(good), len(bad)) == (5110, 5120)


def test_a_rejected_line_names_its_row() -> None:
    outbox = MemoryOutbox()
    outbox.commit(b"good 1\n", b"good 2\nbad 3\ngood 4\n", b"bad 5\n", b"good 6\n")
    store = MemoryStore()
    store.answer = bad_lines_refused(store, partial=False)
    with running(store, outbox):
        outbox.drained()
    assert sorted(outbox.rejected) == [
        RejectedLine(2, b"bad 3", "1 bad, first bad 3"), RejectedLine(3, b"bad 5", "1 bad, first bad 5"),
    ]  # fmt: skip
    assert sorted(store.lines) == [b"good 1", b"good 2", b"good 4", b"good 6"]


def test_one_bad_line_among_five_thousand_costs_few_requests() -> None:
    outbox = MemoryOutbox()
    bodies = rows_of(50, 100)
    bodies[37] = bodies[37].replace(b"m x=37 42\n", b"bad\n")
    outbox.commit(*bodies)
    store = MemoryStore()
    store.answer = bad_lines_refused(store, partial=True)
    with running(store, outbox):
        outbox.drained()
    assert [rejected.line for rejected in outbox.rejected] == [b"bad"]
    assert len(store.lines) == 4999
    assert len(store.bodies) <= 1 + 2 * 6 + 2 * 7


def test_sifting_a_long_batch_lets_fresh_rows_pass() -> None:
    """Each request takes half a second; the fresh row does not wait for the hundred bad rows of the backlog."""
    clock = Clock()
    outbox = MemoryOutbox(clock)
    outbox.commit(*[b"bad %d\n" % n for n in range(100)])
    store = MemoryStore()
    refuse = bad_lines_refused(store, partial=False)

    def answer(body: bytes) -> None:
        clock.sleep(0.5)
        if len(store.bodies) == 1:
            outbox.commit(b"new\n")
        refuse(body)

    store.answer = answer
    with running(store, outbox):
        outbox.drained()
    assert store.bodies.index(b"new\n") < 15
    assert len(outbox.rejected) == 100


def test_a_store_slower_than_the_slice_still_gets_on() -> None:
    clock = Clock()
    outbox = MemoryOutbox(clock)
    outbox.commit(*[b"bad %d\n" % n for n in range(8)], b"good\n")
    store = MemoryStore()
    refuse = bad_lines_refused(store, partial=False)

    def answer(body: bytes) -> None:
        clock.sleep(9.0)
        refuse(body)

    store.answer = answer
    with running(store, outbox):
        outbox.drained()
    assert len(outbox.rejected) == 8
    assert list(store.lines) == [b"good"]


# size --------------------------------------------------------------------------------------------------------


def test_a_body_too_large_is_split_until_it_fits_and_the_size_is_remembered() -> None:
    outbox = MemoryOutbox()
    bodies = rows_of(40, 100)
    outbox.commit(*bodies)

    def answer(body: bytes) -> None:
        if len(body) > 7000:
            raise BodyTooLargeError("413: Request Entity Too Large")

    store = MemoryStore(answer)
    with running(store, outbox):
        outbox.drained()
    assert sorted(store.lines) == sorted(b"".join(bodies).splitlines())
    assert set(store.lines.values()) == {1}
    refused = [body for body in store.bodies if len(body) > 7000]
    assert len(refused) <= len(store.bodies) // 3


def test_a_line_too_large_alone_is_configuration_and_kept() -> None:
    outbox = MemoryOutbox(Clock())
    outbox.commit(b"m x=1 1\nm x=2 2\n")
    states: list[DeliveryState] = []

    def answer(body: bytes) -> None:
        states.append(delivery.state)
        if len(states) < 6:
            raise BodyTooLargeError("commune: 413: too large")

    store = MemoryStore(answer)
    delivery = delivery_to(store, outbox)
    with started(delivery):
        outbox.drained()
    assert Condition.FAILING in [state.state for state in states]
    assert states[5].error == (
        "commune: 413: too large; not even one line of 8 bytes is taken: raise the store's (or its proxy's) limit for "
        "the size of a request"
    )
    assert store.lines == {b"m x=1 1": 1, b"m x=2 2": 1}
    assert outbox.rejected == []


# outages -----------------------------------------------------------------------------------------------------


def failing(times: int, error: Callable[[], StoreError], clock: Clock) -> tuple[MemoryStore, list[float]]:
    """A store that fails so many times, and when it was tried."""
    tried: list[float] = []

    def answer(body: bytes) -> None:
        tried.append(clock.seconds)
        if len(tried) <= times:
            raise error()

    return MemoryStore(answer), tried


def pauses(tried: Sequence[float]) -> list[float]:
    return [round(after - before, 3) for before, after in itertools.pairwise(tried)]


def test_an_outage_is_waited_out_with_growing_pauses() -> None:
    clock = Clock()
    outbox = MemoryOutbox(clock)
    outbox.commit(b"m x=1 1\n")
    store, tried = failing(10, lambda: StoreUnavailableError("commune: no answer"), clock)
    with running(store, outbox):
        outbox.drained()
    # Half way between 1 s and 1, 2, 4 ... 60 s.
    assert pauses(tried) == pytest.approx([1.0, 1.5, 2.5, 4.5, 8.5, 16.5, 30.5, 30.5, 30.5, 30.5], abs=LINGER)
    assert store.lines == {b"m x=1 1": 1}


@pytest.mark.parametrize(("chance", "last"), [(0.0, 1.0), (0.999, 59.941)])
def test_pauses_stay_between_one_and_sixty_seconds(chance: float, last: float) -> None:
    clock = Clock()
    outbox = MemoryOutbox(clock)
    outbox.commit(b"m x=1 1\n")
    store, tried = failing(9, lambda: StoreUnavailableError("commune: no answer"), clock)
    with running(store, outbox, chance=lambda: chance):
        outbox.drained()
    assert pauses(tried)[-1] == pytest.approx(last, abs=LINGER)
    assert all(1.0 <= pause <= 60.0 for pause in pauses(tried))


def test_retry_after_is_honoured_by_fresh_rows_and_backlog() -> None:
    clock = Clock()
    outbox = MemoryOutbox(clock)
    outbox.commit(b"old x=1 1\n")
    tried: list[float] = []

    def answer(body: bytes) -> None:
        tried.append(clock.seconds)
        if len(tried) == 1:
            outbox.commit(b"new x=2 2\n")
        if len(tried) < 3:
            raise StoreUnavailableError("commune: 429", retry_after=100.0)

    store = MemoryStore(answer)
    with running(store, outbox):
        outbox.drained()
    assert pauses(tried)[:2] == pytest.approx([100.5, 100.5], abs=LINGER)
    assert store.lines == {b"old x=1 1": 1, b"new x=2 2": 1}


def test_a_wrong_configuration_is_tried_again_every_thirty_seconds() -> None:
    clock = Clock()
    outbox = MemoryOutbox(clock)
    outbox.commit(b"m x=1 1\n")
    store, tried = failing(4, lambda: StoreMisconfiguredError("commune: 401: no; correct the token"), clock)
    with running(store, outbox):
        outbox.drained()
    assert pauses(tried) == pytest.approx([30.0] * 4, abs=LINGER)


def test_the_state_follows_what_happens() -> None:
    clock, moments = Clock(), itertools.count(1)
    outbox = MemoryOutbox(clock)
    outbox.commit(b"m x=1 1\n")
    errors = [
        StoreUnavailableError("commune: no answer"), StoreUnavailableError("commune: 503"),
        StoreMisconfiguredError("commune: 401"), None,
    ]  # fmt: skip
    seen: list[DeliveryState] = []

    def answer(body: bytes) -> None:
        seen.append(delivery.state)
        error = errors.pop(0)
        if error is not None:
            raise error

    delivery = delivery_to(MemoryStore(answer), outbox, now=lambda: next(moments))
    with started(delivery):
        outbox.drained()
        wait_for(lambda: delivery.state.state is Condition.OK)
    assert [(state.state, state.error, state.since) for state in [*seen, delivery.state]] == [
        (Condition.OK, "", 1),
        (Condition.WAITING, "commune: no answer", 2),
        (Condition.WAITING, "commune: 503", 2),
        (Condition.FAILING, "commune: 401", 3),
        (Condition.OK, "", 4),
    ]
    assert delivery.state.lines_stored == 1


def test_what_comes_during_an_outage_is_backlog_and_news_comes_first_after_it() -> None:
    clock = Clock()
    outbox = MemoryOutbox(clock)
    tried: list[bytes] = []

    def answer(body: bytes) -> None:
        tried.append(body[:3])
        if len(tried) <= 6:
            outbox.commit(*rows_of(1, 100, b"out"))
            raise StoreUnavailableError("commune: no answer")
        if len(tried) == 8:
            outbox.commit(b"new x=1 1\n")

    store = MemoryStore(answer)
    with running(store, outbox):
        outbox.commit(b"out x=1 1\n")
        outbox.drained()
    assert tried[6:8] == [b"out", b"out"]
    assert b"new" in tried[8:10]
    assert sum(count for line, count in store.lines.items() if line.startswith(b"out")) == 6 * 100 + 1


def test_a_row_the_store_cannot_take_does_not_hold_up_news() -> None:
    clock = Clock()
    outbox = MemoryOutbox(clock)
    outbox.commit(b"poison 1\n")
    tried: list[float] = []

    def answer(body: bytes) -> None:
        if body.startswith(b"poison"):
            tried.append(clock.seconds)
            if len(tried) < 12:
                raise StoreUnavailableError("commune: 500: shard is closed")

    store = MemoryStore(answer)
    delivery = delivery_to(store, outbox)
    with started(delivery):
        for number in range(20):
            line = b"new %d" % number
            outbox.commit(line + b"\n")
            outbox.until(lambda number=number: number + 2 in outbox.stored)  # type: ignore[misc]
            assert line in store.lines
        outbox.drained()
    assert all(pause >= 1.0 for pause in pauses(tried))
    assert outbox.rejected == []


def test_bodies_shrink_for_a_link_too_slow_for_them() -> None:
    """Over 100,000 bytes time out: smaller bodies get everything through."""
    clock = Clock()
    outbox = MemoryOutbox(clock)
    bodies = rows_of(100, 1000, b"measurement")
    outbox.commit(*bodies)

    def answer(body: bytes) -> None:
        if len(body) > 50_000:
            raise StoreUnavailableError("commune: timed out")

    store = MemoryStore(answer)
    with running(store, outbox):
        outbox.drained()
    assert sorted(store.lines) == sorted(b"".join(bodies).splitlines())


# starting and stopping ---------------------------------------------------------------------------------------


def is_alive(delivery: Delivery) -> bool:
    return any(thread.name == "delivery-commune" for thread in threading.enumerate())


def test_stop_ends_a_pause_at_once() -> None:
    """In real time: the pause would last a minute."""
    outbox = MemoryOutbox()
    outbox.commit(b"m x=1 1\n")

    def answer(body: bytes) -> None:
        raise StoreUnavailableError("commune: 503", retry_after=60.0)

    store = MemoryStore(answer)
    delivery = delivery_to(store, outbox)
    with started(delivery):
        wait_for(lambda: delivery.state.state is Condition.WAITING)
    assert not is_alive(delivery)
    assert len(outbox.rows) == 1


def test_stop_ends_an_idle_wait_and_may_come_before_start() -> None:
    delivery_to(MemoryStore(), MemoryOutbox()).stop()
    outbox = MemoryOutbox()
    with running(MemoryStore(), outbox) as delivery:
        outbox.commit(b"m x=1 1\n")
        outbox.drained()
    assert not is_alive(delivery)


def test_stop_leaves_a_hanging_request_behind_and_its_row_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "_STOP_SECONDS", 0.01)
    outbox = MemoryOutbox()
    outbox.commit(b"m x=1 1\n")
    asked, released = threading.Event(), threading.Event()

    def hang(body: bytes) -> None:
        asked.set()
        released.wait(WAIT)

    delivery = delivery_to(MemoryStore(hang), outbox)
    delivery.start()
    asked.wait(WAIT)
    delivery.stop()
    released.set()
    wait_for(lambda: not is_alive(delivery))
    assert (list(outbox.rows), outbox.stored) == ([1], [])


def test_stop_in_the_middle_of_sifting_keeps_the_row() -> None:
    outbox = MemoryOutbox()
    outbox.commit(b"bad 1\n" * 5000)
    store = MemoryStore()
    reached = threading.Event()

    def answer(body: bytes) -> None:
        if len(store.bodies) > 100:
            reached.set()
            delivery._stopping.wait(WAIT)
        raise LinesRefusedError("bad")

    store.answer = answer
    delivery = delivery_to(store, outbox)
    with started(delivery):
        assert reached.wait(WAIT)
    assert not is_alive(delivery)
    assert (list(outbox.rows), outbox.rejected) == ([1], [])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_the_gateway_shows_in_the_state() -> None:
    outbox = MemoryOutbox()
    outbox.commit(b"m x=1 1\n")

    def answer(body: bytes) -> None:
        raise ZeroDivisionError

    with running(MemoryStore(answer), outbox) as delivery:
        wait_for(lambda: delivery.state.state is Condition.FAILING)
        assert delivery.state.error == "delivery ended by a fault of the gateway; see its log, restart it"


def test_what_was_on_its_way_is_sent_again_after_a_restart() -> None:
    outbox = MemoryOutbox(Clock())
    outbox.commit(*rows_of(30, 1000))
    store = MemoryStore()

    def stop_after_two(body: bytes) -> None:
        if len(store.bodies) == 2:
            first._stopping.set()

    store.answer = stop_after_two
    first = delivery_to(store, outbox)
    with started(first):
        wait_for(lambda: not is_alive(first))
    assert len(outbox.stored) == 10
    with running(store, outbox):
        outbox.drained()
    assert len(store.lines) == 30_000
    assert outbox.stored == list(range(1, 31))


# a real InfluxDB ---------------------------------------------------------------------------------------------

T0 = 1_790_000_000_000_000_000
EVERYTHING = Window(0, 2**62, 0, 100_000)


def influx(server: Server, name: str) -> InfluxDB1:
    return InfluxDB1(name="commune", url=server.url, database=name, rollup_database=f"{name}_rollup")


def test_masks_of_bad_lines_on_a_real_influxdb(influxdb1_server: Server) -> None:
    """Every sixteenth mask of ten lines; a bad line is a text for a field of floats, or does not parse."""
    outbox = MemoryOutbox()
    good: list[tuple[int, float, bytes]] = []
    bad: list[tuple[int, float, bytes]] = []
    for mask in range(1, 1024, 16):
        lines = []
        for n in range(10):
            at = T0 + mask * 100 + n
            broken = (b'power="on"', b"power=")[(mask + n) % 2]
            value = broken if mask >> n & 1 else b"power=%d" % n
            lines.append(b"streetlight,commune=04234,device=lamp-17 %s %d" % (value, at))
            (bad if mask >> n & 1 else good).append((at, float(n), lines[-1]))
        outbox.commit(b"\n".join(lines) + b"\n")
    with closing(influx(influxdb1_server, "masks")) as store:
        store.write(b"streetlight,commune=04234,device=first power=1 %d\n" % T0)
        with running(store, outbox, backlog_lines_per_second=1_000_000):
            outbox.drained()
        seen = store.series("streetlight", "04234", "lamp-17", "power", EVERYTHING)
    assert [(point.time, point.mean) for point in seen] == [(at, value) for at, value, _ in good]
    assert sorted(rejected.line for rejected in outbox.rejected) == sorted(line for _, _, line in bad)
    for rejected in outbox.rejected:
        conflict = b'"on"' in rejected.line
        assert ("field type conflict" if conflict else "missing field value") in rejected.answer


def test_nothing_is_lost_while_a_real_influxdb_is_killed_and_comes_back() -> None:
    outbox = MemoryOutbox()
    numbers = itertools.count()

    def commit(count: int) -> None:
        for number in itertools.islice(numbers, count):
            outbox.commit(b"streetlight,commune=04234,device=lamp-17 power=%d %d\n" % (number, T0 + number))

    start = time.monotonic()
    with servers.influxdb1() as server, closing(influx(server, "village")) as store:
        # Twenty times as fast as real time, so that a pause of a second costs little.
        fast = {
            "clock": lambda: start + (time.monotonic() - start) * 20,
            "sleep": lambda seconds: time.sleep(seconds / 20),
        }
        with running(store, outbox, chance=lambda: 0.0, **fast) as delivery:
            commit(200)
            outbox.drained()
            server.kill()
            commit(200)
            wait_for(lambda: delivery.state.state is Condition.WAITING)
            commit(200)
            server.start()
            commit(200)
            outbox.drained()
            wait_for(lambda: delivery.state.state is Condition.OK)
        seen = store.series("streetlight", "04234", "lamp-17", "power", EVERYTHING)
    assert [point.mean for point in seen] == [float(number) for number in range(800)]
    assert outbox.rejected == []


def test_a_real_limit_of_the_body_is_met_by_smaller_bodies() -> None:
    outbox = MemoryOutbox()
    outbox.commit(
        *(
            b"".join(b"streetlight,commune=04234,device=lamp-17 power=%d %d\n" % (n, T0 + n) for n in range(k, k + 500))
            for k in range(0, 5000, 500)
        )
    )
    with (
        servers.influxdb1(http_extra="max-body-size = 20000") as server,
        closing(influx(server, "village")) as store,
    ):
        with running(store, outbox):
            outbox.drained()
        assert len(store.series("streetlight", "04234", "lamp-17", "power", EVERYTHING)) == 5000
