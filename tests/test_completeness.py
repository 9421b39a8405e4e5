"""What a device's sequence numbers say is missing, in the ledger: lost on the way is told apart from refused here."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.line.completeness import ANEW, GREATEST, LATE, missing, step
from gateway.line.journal import Journal
from gateway.line.pipeline import Limits, Pipeline
from gateway.line.records import Records
from gateway.line.recovery import recover
from gateway.line.snapshot import Saver
from gateway.line.state import State
from gateway.model import Uplink
from tests.line_parts import MINUTE, NOW, STEADY, make_registry, open_journal, up


@pytest.mark.parametrize(
    ("last", "number", "moved"),
    [
        (7, 8, 1),
        (7, 10, 3),
        (7, 7, 0),
        (7, 10_007, 10_000),
        (7, 10_008, ANEW),
        (7, 5, LATE),
        (70, 7, LATE),
        (71, 7, ANEW),
        (7, 1, ANEW),
        (7, 0, ANEW),
        (500, 2, ANEW),
        (255, 0, 1),
        (250, 3, 9),
        (65_535, 0, 1),
        (65_530, 10, 16),
        (65_471, 0, ANEW),
        (4_294_967_290, 1, 7),
    ],
)
def test_a_number_counts_on_skips_comes_late_wraps_or_begins_anew(last: int, number: int, moved: int) -> None:
    """What cannot be told from a restart is one: a gap is only said where there surely is one."""
    assert step(last, number) == moved


@pytest.mark.parametrize(
    ("moved", "refused", "lost"), [(1, 0, 0), (4, 0, 3), (4, 2, 1), (4, 9, 0), (LATE, 1, -1), (ANEW, 0, 0)]
)
def test_what_was_refused_is_not_missing(moved: int, refused: int, lost: int) -> None:
    """It arrived; only its number is not known."""
    assert missing(moved, refused) == lost


@STEADY
@given(st.sets(st.integers(0, 300), max_size=60), st.sampled_from([256, 65_536, 2**32]), st.integers(0, 2**32))
def test_what_is_missing_is_what_was_lost(lost: set[int], modulus: int, start: int) -> None:
    """Of 300 uplinks in order, whichever are lost, wherever the count wraps: as long as a gap stays below 64."""
    kept = [number for number in range(301) if number not in lost]
    gaps = [later - earlier for earlier, later in pairwise(kept)]
    if max(gaps, default=1) > 60:
        return
    total, last = 0, -1
    for number in kept:
        now = (start + number) % modulus
        total += missing(step(last, now), 0) if last >= 0 else 0
        last = now
    assert total == len([number for number in lost if kept and kept[0] < number < kept[-1]])


class Bench:
    """A pipeline on a journal, restarted as often as needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal: Journal = open_journal(folder)
        self.registry = make_registry()
        self.pipeline = self._start()

    def _start(self) -> Pipeline:
        pipeline = Pipeline(self.registry, State(self.registry), self.journal.senders, Limits())
        recover(pipeline, self.journal, self.folder / "state.bin")
        return pipeline

    def crash(self) -> None:
        """What was in memory is gone."""
        self.pipeline = self._start()

    def save(self) -> None:
        """The state is saved, as it is every minute."""
        Saver(self.folder / "state.bin").save(self.pipeline.state.snapshot(self.journal.rows.newest()), wait=True)

    def hear(self, *uplinks: Uplink) -> None:
        """One commit."""
        batch, _ = self.pipeline.process(uplinks)
        self.journal.append(batch)

    def ledger(self, device: str = "lamp-1") -> tuple[int, int, int, int]:
        """Kept, refused, repeated, missing; the same for who asks the running journal and who reads the disk."""
        rows = Records(self.journal.path, self.journal.totals, self.journal.ledger.unfolded).by_device(
            0, NOW * 2, device, 99
        )
        assert Records(self.journal.path).by_device(0, NOW * 2, device, 99) == rows
        return tuple(sum(counts) for counts in zip(*(row[3:] for row in rows), strict=True)) or (0, 0, 0, 0)  # type: ignore[return-value]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """On an empty journal."""
    made = Bench(tmp_path)
    yield made
    made.journal.close()


def numbered(*numbers: int) -> list[Uplink]:
    """Uplinks with these numbers, each a minute after the one before."""
    return [up({"power": float(at), "seq": number}, at=NOW + at * MINUTE) for at, number in enumerate(numbers)]


@pytest.mark.parametrize(
    ("numbers", "lost"),
    [
        ([5, 6, 7], 0),
        ([5, 8], 2),
        ([5, 8, 7], 1),
        ([5, 8, 7, 6], 0),
        ([5, 8, 0, 1], 2),
        ([5, 8, 0, 4], 5),
        ([GREATEST + 5], 0),
    ],
)
def test_the_ledger_says_what_is_missing(bench: Bench, numbers: Sequence[int], lost: int) -> None:
    """By device; one that comes late is no longer missing."""
    bench.hear(*numbered(*numbers))
    assert bench.ledger() == (len(numbers), 0, 0, lost)


def test_lost_on_the_way_is_told_apart_from_refused_here(bench: Bench) -> None:
    """Three numbers are missing between two readings: one arrived and could not be used, two never came."""
    first, last = numbered(5, 9)
    bench.hear(first, up({"power": "much", "seq": 6}, at=NOW + 1), last)
    assert bench.ledger() == (2, 1, 0, 2)
    bench.hear(up(b"\xff", at=NOW + 2 * MINUTE), up({"power": 1.0, "seq": 10}, at=NOW + 3 * MINUTE))
    assert bench.ledger() == (3, 2, 0, 2)


def test_a_repeat_changes_nothing(bench: Bench) -> None:
    """It is the same uplink."""
    first, second = numbered(5, 6)
    bench.hear(first, second, first, second)
    assert bench.ledger() == (2, 0, 2, 0)


def test_only_what_a_device_says_now_is_counted(bench: Bench) -> None:
    """Not what the broker kept, nor what is read from a file, nor what is replayed."""
    old = {"power": 1.0, "seq": 90, "observed_at": "2026-07-01T00:00:00Z"}
    bench.hear(
        *numbered(5),
        up(old, at=NOW + MINUTE, retained=True),
        up(old | {"power": 2.0}, at=NOW + MINUTE, backfill=True),
    )
    batch, _ = bench.pipeline.process([up({"power": 3.0, "seq": 50}, at=NOW + MINUTE)], replay=True)
    assert [entry.missing for entry in batch.heard] == [0]
    bench.hear(up({"power": 4.0, "seq": 6}, at=NOW + 2 * MINUTE))
    assert bench.ledger()[3] == 0


def test_a_device_without_numbers_misses_nothing(bench: Bench) -> None:
    """Nobody can tell."""
    bench.hear(up({"power": 1}), up(b"bad"), up({"power": 2}, at=NOW + MINUTE))
    assert bench.ledger() == (2, 1, 0, 0)


@pytest.mark.parametrize("save_after", [None, 0, 1, 2, 3])
def test_a_crash_loses_no_count(bench: Bench, save_after: int | None) -> None:
    """The numbers since the last snapshot are in the journal; so is what was refused among them."""
    steps: list[list[Uplink]] = [
        numbered(5), [up(b"bad", at=NOW + MINUTE)], [up({"power": 9.0, "seq": 8}, at=NOW + 2 * MINUTE)],
        [up({"power": 8.0, "seq": 7}, at=NOW + 3 * MINUTE), up({"power": 7.0, "seq": 1}, at=NOW + 4 * MINUTE)],
        [up({"power": 6.0, "seq": 3}, at=NOW + 5 * MINUTE)],
    ]  # fmt: skip
    for number, uplinks in enumerate(steps):
        bench.hear(*uplinks)
        if number == save_after:
            bench.save()
        bench.crash()
    assert bench.ledger() == (5, 1, 0, 1)


def test_the_ledgers_hours_are_folded_with_what_is_missing(bench: Bench) -> None:
    """One that comes late in a later hour brings that hour below zero: over both, the sum is right."""
    bench.hear(up({"power": 1.0, "seq": 5}), up({"power": 2.0, "seq": 8}, at=NOW + MINUTE))
    bench.journal.tend(force=True)
    bench.hear(up({"power": 3.0, "seq": 7}, at=NOW + 60 * MINUTE))
    bench.journal.tend(force=True)
    rows = Records(bench.journal.path).by_device(0, NOW * 2, "lamp-1", 9)
    assert [(row.received, row.missing) for row in rows] == [(1, -1), (2, 2)]
