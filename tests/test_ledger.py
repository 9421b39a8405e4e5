"""The ledger: every uplink in exactly one column, by device and hour; what the API and the commands are told of it."""

import random
import threading
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.observation import Reason
from gateway.line.journal import Journal
from gateway.line.ledger import HOUR, Ledger, pack_heard, unpack_heard
from gateway.line.records import DeviceHour, LineTotals, Records, StoreTotals
from gateway.model import Batch, Heard, Outcome, RefusedUplink, Uplink
from tests.line_parts import MINUTE, NOW, STEADY, Clock, make_batch, open_journal, up

THIS_HOUR = NOW - NOW % HOUR
HEARD = st.builds(
    Heard, st.integers(0, 2**32 - 1), st.sampled_from(list(Outcome)), st.integers(0, 2**63 - 1),
    st.integers(0, 2**64 - 1), st.integers(0, 65535), st.booleans(), st.booleans(),
    st.sampled_from([None, False, True]), st.integers(0, 2**32 - 1), st.integers(-1, 10_000),
)  # fmt: skip


@STEADY
@given(st.lists(HEARD))
def test_entries_of_a_row_come_back(heard: list[Heard]) -> None:
    """Everything that a restart needs to know."""
    assert unpack_heard(pack_heard(heard)) == heard


@STEADY
@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from(list(Outcome)), st.integers(0, 4))))
def test_counts_by_sender_and_hour(entries: list[tuple[int, Outcome, int]]) -> None:
    """Also when the clock goes back and forth over the hour."""
    ledger = Ledger(1)
    ledger.grow(6)
    for sender, outcome, hour in entries:
        ledger.add([Heard(sender, outcome, NOW + hour * HOUR, 0, 0, False)])
    seen: Counter[tuple[int, int, str]] = Counter()
    for hour, sender, kept, refused, repeated, missing in ledger.unfolded():
        assert missing == 0
        seen += Counter(
            {(sender, hour, "kept"): kept, (sender, hour, "refused"): refused, (sender, hour, "repeated"): repeated}
        )
    assert seen == Counter((sender, NOW // HOUR + hour, outcome.value) for sender, outcome, hour in entries)
    ledger.clear()
    assert ledger.unfolded() == []


def live_records(journal: Journal) -> Records:
    """As the running gateway asks."""
    return Records(journal.path, journal.totals, journal.ledger.unfolded)


def hear(journal: Journal, name: str, outcome: Outcome, at: int = NOW, count: int = 1) -> None:
    """A commit with so many uplinks of one sender."""
    sender = journal.senders([name])[0]
    journal.append(make_batch([sender] * count, at=at, outcome=outcome))


def fill(journal: Journal) -> None:
    """Two devices and a stranger over two hours, folded in the middle."""
    hear(journal, "lamp-1", Outcome.KEPT, NOW - HOUR, 5)
    hear(journal, "lamp-2", Outcome.KEPT, NOW, 2)
    hear(journal, "?elsewhere", Outcome.REFUSED, NOW, 3)
    journal.tend(force=True)
    hear(journal, "lamp-1", Outcome.REPEATED, NOW)
    hear(journal, "lamp-2", Outcome.KEPT, NOW + MINUTE, 4)


EXPECTED = [
    DeviceHour(THIS_HOUR, "?elsewhere", 3, 0, 3, 0),
    DeviceHour(THIS_HOUR, "lamp-1", 1, 0, 0, 1),
    DeviceHour(THIS_HOUR, "lamp-2", 6, 6, 0, 0),
    DeviceHour(THIS_HOUR - HOUR, "lamp-1", 5, 5, 0, 0),
]


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(
    ("since", "until", "device", "limit", "expected"),
    [
        (0, 2**62, None, 100, EXPECTED),
        (0, 2**62, None, 2, EXPECTED[:2]),
        (NOW, NOW + 1, None, 100, EXPECTED[:3]),
        (0, THIS_HOUR, None, 100, EXPECTED[3:]),
        (0, 2**62, "lamp-1", 100, [EXPECTED[1], EXPECTED[3]]),
        (0, 2**62, "nobody", 100, []),
    ],
)
def test_ledger_by_device_and_hour(
    tmp_path: Path, live: bool, since: int, until: int, device: str | None, limit: int, expected: list[DeviceHour]
) -> None:
    """Newest hour first, then by name; folded or not, from the running gateway or from the file alone."""
    journal = open_journal(tmp_path)
    fill(journal)
    records = live_records(journal) if live else Records(journal.path)
    assert records.by_device(since, until, device, limit) == expected
    assert (records.totals(), records.totals().holds) == ((15, 11, 3, 1), True)
    records.close()
    journal.close()


def test_folding_again_changes_nothing(tmp_path: Path) -> None:
    """However often, and over a restart."""
    journal = open_journal(tmp_path)
    fill(journal)
    for _ in range(3):
        journal.tend(force=True)
        assert live_records(journal).by_device(0, 2**62, None, 100) == EXPECTED
    journal.close()
    again = open_journal(tmp_path)
    assert (again.totals(), live_records(again).by_device(0, 2**62, None, 100)) == ((15, 11, 3, 1), EXPECTED)
    again.close()


def test_sum_that_does_not_hold_is_said(tmp_path: Path) -> None:
    """``received`` is counted on its own: an uplink without an entry is missed."""
    journal = open_journal(tmp_path)
    journal.append(Batch(2, b"", 0, [Heard(journal.senders(["a"])[0], Outcome.KEPT, NOW, 0, 0, False)], [], []))
    assert (journal.totals(), journal.totals().holds) == ((2, 1, 0, 0), False)
    journal.close()
    again = open_journal(tmp_path)
    assert again.totals() == (2, 1, 0, 0)
    again.close()


def test_ledger_forgets_hours_beyond_its_days_and_keeps_the_totals(tmp_path: Path) -> None:
    """400 days by default."""
    clock = Clock()
    journal = open_journal(tmp_path, now=clock)
    fill(journal)
    clock.forward(400 * 86400)
    journal.tend(force=True)
    records = live_records(journal)
    assert records.by_device(0, 2**62, None, 100) == EXPECTED[:3]
    clock.forward(3600)
    journal.tend(force=True)
    assert (records.by_device(0, 2**62, None, 100), records.totals()) == ([], (15, 11, 3, 1))
    records.close()
    journal.close()


def test_lines_are_where_the_sum_says(tmp_path: Path) -> None:
    """Kept = waiting + stored + rejected, and how long the oldest waits."""
    clock = Clock()
    journal = open_journal(tmp_path, ["commune", "province"], now=clock)
    records = live_records(journal)
    assert records.lines() == LineTotals(0, [StoreTotals(s, 0, 0, 0, 0) for s in ("commune", "province")], (0, 0))
    for number in range(3):
        journal.append(make_batch(journal.senders(["a"]), lines=[f"m v={n}" for n in range(number + 1)]))
        clock.forward(1)
    journal.rows.accepted("commune", [1, 2], [])
    journal.tend()
    assert records.lines() == LineTotals(
        6, [StoreTotals("commune", 3, 3, 0, NOW + 2 * 10**9), StoreTotals("province", 6, 0, 0, NOW)], (0, 0)
    )
    records.close()
    journal.close()


@pytest.mark.parametrize(
    ("lines", "holds"),
    [
        (LineTotals(9, [StoreTotals("a", 2, 6, 1, 0)]), True),
        (LineTotals(10, [StoreTotals("a", 2, 6, 1, 0)]), False),
        (LineTotals(10, [StoreTotals("a", 2, 6, 2, 0), StoreTotals("b", 4, 0, 0, 0)], (0, 6)), True),
        (LineTotals(10, [StoreTotals("a", 2, 6, 2, 0), StoreTotals("b", 4, 0, 0, 0)], (0, 5)), False),
        (LineTotals(0, []), True),
    ],
)
def test_line_sum_holds_over_what_was_meant_for_each_store(lines: LineTotals, holds: bool) -> None:
    """A store that came later is not meant to have the lines before."""
    assert lines.holds is holds


def test_refused_uplinks_are_told_page_by_page(tmp_path: Path) -> None:
    """Newest first; by reason, device and time."""
    journal = open_journal(tmp_path)
    records = live_records(journal)
    for number in range(6):
        reason = (Reason.UNIT, Reason.MALFORMED)[number % 2]
        uplink = up(b"x" * number, at=NOW + number)
        journal.append(
            make_batch(journal.senders(["a"]), refused=[RefusedUplink(uplink, f"lamp-{number % 3}", reason, "because")])
        )
    assert [row.id for row in records.refused(0, None, None, None, 4)] == [6, 5, 4, 3]
    assert [row.id for row in records.refused(0, None, None, 3, 4)] == [2, 1]
    assert [row.id for row in records.refused(0, "unit", None, None, 9)] == [5, 3, 1]
    assert [row.id for row in records.refused(0, None, "lamp-2", None, 9)] == [6, 3]
    assert [row.id for row in records.refused(NOW + 4, "unit", "lamp-1", None, 9)] == [5]
    assert records.refused(NOW + 5, None, None, None, 9) == [
        (6, NOW + 5, "village/10642/lamp-1/up", "lamp-2", "malformed", "because", 5, False)
    ]
    assert records.by_reason() == {"malformed": 3, "unit": 3}
    records.close()
    journal.close()


def test_sums_hold_at_any_moment(tmp_path: Path) -> None:
    """Asked from another thread while batches are committed, delivered and folded: never too few, never too many."""
    journal = open_journal(tmp_path, ["commune", "province"])
    records, moments = live_records(journal), random.Random(1)
    committed, done = [0], threading.Event()
    wrong: list[str] = []

    def ask() -> None:
        while not done.is_set():
            before = committed[0]
            counted = sum(hour.received for hour in records.by_device(0, 2**62, None, 1000))
            # The batch being committed at this moment may be counted or not.
            if not before <= counted <= committed[0] + 1:
                wrong.append(f"{counted} counted, {before} committed before")
            if not records.lines().holds:
                wrong.append(f"lines: {records.lines()}")

    reader = threading.Thread(target=ask)
    reader.start()
    for number in range(1, 201):
        sender = journal.senders([f"lamp-{moments.randrange(5)}"])
        journal.append(make_batch(sender, lines=["m v=1"] * (number % 3), at=NOW + moments.randrange(3) * HOUR))
        committed[0] = number
        for store in ("commune", "province"):
            if moments.random() < 0.5:
                rows = [row.id for row in journal.rows.fresh(store, 0, 5, 10**6)]
                journal.rows.accepted(store, rows, [])
        if moments.random() < 0.3:
            journal.tend(force=True)
    done.set()
    reader.join()
    records.close()
    journal.close()
    assert wrong == []


def test_reading_from_many_threads_leaves_few_connections(tmp_path: Path) -> None:
    """Threads of a web server come and go."""
    journal = open_journal(tmp_path)
    fill(journal)
    records = live_records(journal)
    threads = [threading.Thread(target=records.by_reason) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(records._idle) <= 8
    records.close()
    journal.close()


def test_failed_question_does_not_spoil_the_next(tmp_path: Path) -> None:
    """A connection in the middle of something is not used again."""
    journal = open_journal(tmp_path)
    records = live_records(journal)
    with pytest.raises(Exception, match="datatype mismatch"):
        records.refused(0, None, None, None, "many")  # type: ignore[arg-type]
    assert records.refused(0, None, None, None, 9) == []
    records.close()
    journal.close()


def test_uplinks_to_be_decoded_again_are_counted_by_bytes(tmp_path: Path) -> None:
    """The share that has a bound of its own is not the readings'."""
    journal = open_journal(tmp_path)
    records = live_records(journal)
    before = records.used_bytes()
    body = random.Random(1).randbytes(500_000)
    journal.append(make_batch(journal.senders(["a"]), raw=[Uplink("t", body, NOW)]))
    assert (records.used_bytes(), abs(records.used_bytes() - before) < 50_000) == (journal.used_bytes(), True)
    records.close()
    journal.close()
