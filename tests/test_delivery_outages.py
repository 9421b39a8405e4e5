"""Delivery through outages, wrong settings and stops: nothing is lost, nothing waits longer than it must."""

import itertools
import threading
from collections.abc import Callable, Sequence

import pytest

from gateway.model import (
    LinesRefusedError,
    StoreError,
    StoreMisconfiguredError,
    StoreUnavailableError,
)
from gateway.northbound import delivery as delivery_module
from gateway.northbound.delivery import Condition, Delivery, DeliveryState
from tests.delivery_parts import (
    LINGER,
    WAIT,
    Clock,
    MemoryOutbox,
    MemoryStore,
    delivery_to,
    rows_of,
    running,
    started,
    wait_for,
)

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


def test_a_flag_outlives_the_line_it_is_for_though_that_waits_longer() -> None:
    """What was judged again goes with the news, and once more behind the backlog that would undo it."""
    clock = Clock()
    outbox = MemoryOutbox(clock)
    spike, flag, news = b"w ph=9.5,quality=1 7\n", b"w quality=3,ph_quality=3 7\n", b"w ph=7.2,quality=1 8\n"
    outbox.commit(spike)
    tried: list[bytes] = []

    def answer(body: bytes) -> None:
        tried.append(body)
        if len(tried) == 1:
            outbox.commit(news + flag)
            raise StoreUnavailableError("commune: no answer")

    with running(MemoryStore(answer), outbox) as delivery:
        outbox.drained()
    assert b"".join(tried[1:]).rindex(flag) > b"".join(tried[1:]).rindex(spike)
    assert tried[1:] == [news + flag, spike + news + flag]
    assert outbox.stored == [1, 2]
    assert delivery.state.lines_stored == 3


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


def test_a_connection_that_is_cut_now_and_then_does_not_shrink_bodies() -> None:
    """Every third write is stored and never answered; 100,000 lines take as many tries as with large bodies."""
    clock = Clock()
    outbox = MemoryOutbox(clock)
    bodies = rows_of(100, 1000)
    outbox.commit(*bodies)
    tries = 0

    def answer(body: bytes) -> None:
        nonlocal tries
        tries += 1
        if tries % 3 == 0:
            store.keep(body.splitlines())
            raise StoreUnavailableError("commune: connection closed without an answer")

    store = MemoryStore(answer)
    with running(store, outbox):
        outbox.drained()
    assert set(store.lines) == set(b"".join(bodies).splitlines())
    # 20 bodies of 5,000 lines, and each third try is for nothing.
    assert tries == 29


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
