"""Delivery: every good line arrives, only bad ones are rejected, fresh rows before the backlog."""

import itertools
from collections.abc import Callable

import pytest

from gateway.model import (
    BodyTooLargeError,
    LinesRefusedError,
    RejectedLine,
)
from gateway.northbound.delivery import Condition, DeliveryState
from tests.delivery_parts import (
    Clock,
    MemoryOutbox,
    MemoryStore,
    delivery_to,
    rows_of,
    running,
    started,
    wait_for,
)

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


def test_lines_that_a_store_drops_all_together_are_not_asked_for_one_by_one() -> None:
    """A day beyond its retention: 5,000 lines in a few requests, each kept with the store's words."""
    outbox, store = MemoryOutbox(), MemoryStore()
    old, mixed = [b"bad %d\n" % n for n in range(5000)], [b"bad a\n", b"bad b\n", b"good c\n", b"bad d\n"]
    outbox.commit(*(b"".join(old[n : n + 100]) for n in range(0, 5000, 100)))
    outbox.commit(b"".join(mixed), b"good e\n")

    def answer(body: bytes) -> None:
        lines = body.splitlines()
        good = [line for line in lines if line.startswith(b"good")]
        store.keep(good)
        if len(good) < len(lines):
            raise LinesRefusedError("partial write: points beyond retention policy", len(lines) - len(good))

    store.answer = answer
    with running(store, outbox):
        outbox.drained()
    assert {rejected.line + b"\n" for rejected in outbox.rejected} == {*old, b"bad a\n", b"bad b\n", b"bad d\n"}
    assert {rejected.row for rejected in outbox.rejected} == set(range(1, 52))
    assert set(store.lines) == {b"good c", b"good e"}
    assert len(store.bodies) <= 12


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
