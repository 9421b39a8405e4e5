"""The line's thread: acknowledged only when on disk, devices told why, and an end that leaves nothing half-known."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

import pytest

from devices.observation import Message, Observation
from gateway.line import pipeline as pipeline_module
from gateway.line.journal import Journal, JournalFullError
from gateway.line.loop import BURST, ENOUGH, Line
from gateway.line.normalize import Plan
from gateway.line.pipeline import Limits, Pipeline
from gateway.line.recovery import recover
from gateway.line.snapshot import Saver
from gateway.line.state import State
from gateway.model import Uplink
from tests.line_parts import NOW, make_registry, open_journal, up


class ScriptedEdge:
    """Hands out batches of uplinks, and remembers what it was asked to say, with what was on disk then."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._batches: SimpleQueue[list[Uplink] | Exception] = SimpleQueue()
        self.acknowledged: list[tuple[list[bytes], int]] = []
        self.told: list[tuple[str, bytes]] = []
        self.closed = False

    def bring(self, *batches: list[Uplink] | Exception) -> None:
        """What the next polls return, or raise."""
        for batch in batches:
            self._batches.put(batch)

    def poll(self, seconds: float) -> list[Uplink]:
        try:
            batch = self._batches.get(timeout=min(seconds, 0.01)) if seconds else self._batches.get_nowait()
        except Empty:
            return []
        if isinstance(batch, Exception):
            raise batch
        return batch

    def acknowledge(self, uplinks: Sequence[Uplink]) -> None:
        self.acknowledged.append(([uplink.payload for uplink in uplinks], self._journal.rows.newest()))

    def tell(self, topic: str, payload: bytes) -> None:
        self.told.append((topic, payload))

    def wake(self) -> None:
        """It never sleeps long."""

    def close(self) -> None:
        self.closed = True


class Bench:
    """A line on a journal in a folder."""

    def __init__(self, folder: Path, **more: object) -> None:
        self.journal = open_journal(folder)
        registry = make_registry()
        pipeline = Pipeline(registry, State(registry), self.journal.senders, Limits())
        recover(pipeline, self.journal, folder / "state.bin")
        self.edge = ScriptedEdge(self.journal)
        self.line = Line(self.edge, pipeline, self.journal, Saver(folder / "state.bin"), **more)  # type: ignore[arg-type]
        self.line.start()

    def settle(self) -> None:
        """Return when everything brought so far has been through a whole turn."""
        while not self.edge._batches.empty():
            self.line.submit(lambda: None).result()
        for _ in range(2):
            self.line.submit(lambda: None).result()

    def close(self) -> None:
        """Stop as the gateway stops."""
        self.line.stop()
        self.journal.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Starts lines on the same folder, one after the other."""
    running: list[Bench] = []

    def make(**more: object) -> Bench:
        while running:
            running.pop().close()
        running.append(Bench(tmp_path / "data", **more))
        return running[-1]

    yield make
    for one in running:
        one.close()


def test_batches_are_acknowledged_after_their_commit(bench: Callable[..., Bench]) -> None:
    """Refused ones too: they are on disk."""
    line = bench()
    line.edge.bring([up({"power": 1}), up(b"bad")], [up({"power": 2})])
    line.settle()
    assert line.edge.acknowledged == [([b'{"power": 1}', b"bad"], 1), ([b'{"power": 2}'], 2)]
    assert line.journal.totals() == (3, 2, 1, 0)


def test_commits_may_wait_for_company(bench: Callable[..., Bench]) -> None:
    """For SD cards: what comes within the wait shares one commit, and one acknowledgement."""
    line = bench(commit_wait_seconds=60.0)
    line.edge.bring(*([up({"power": n}) for n in range(500)] for _ in range(4)))
    while not line.edge.acknowledged:
        line.line._stopping.wait(0.001)
    assert [(len(payloads), row) for payloads, row in line.edge.acknowledged] == [(2000, 1)]


def test_burst_shares_a_commit(bench: Callable[..., Bench]) -> None:
    """As long as more keep coming, until a commit of them is cheap; what comes alone does not wait."""
    line = bench()
    line.edge.bring(*([up({"power": n}) for n in range(count)] for count in (BURST - 1, BURST, 1, ENOUGH, 1)))
    line.settle()
    assert [len(payloads) for payloads, _ in line.edge.acknowledged] == [BURST - 1, BURST + 1 + ENOUGH, 1]


def test_devices_hear_why_at_most_every_ten_seconds(bench: Callable[..., Bench]) -> None:
    """One word each, with the reason and what would be right."""
    line = bench()
    line.edge.bring([up(b"bad"), up(b"bad"), up({"powr": 1}, "lamp-2"), up(b"bad", "nobody")], [up(b"bad")])
    line.settle()
    assert [(topic, json.loads(body)) for topic, body in line.edge.told] == [
        ("village/10642/lamp-1/error", {"reason": "malformed", "detail": "not JSON: expected value at line 1 column 1",
                                        "received_at": "2026-08-01T04:05:06.000Z"}),
        ("village/10642/lamp-2/error", {"reason": "property", "received_at": "2026-08-01T04:05:06.000Z",
                                        "detail": "'powr' is not an observed property of the vocabulary"}),
    ]  # fmt: skip


def test_devices_hear_nothing_where_the_settings_say_so(bench: Callable[..., Bench]) -> None:
    """The refusals are kept all the same."""
    line = bench(error_replies=False)
    line.edge.bring([up(b"bad")])
    line.settle()
    assert (line.edge.told, line.journal.totals()) == ([], (1, 0, 1, 0))


def test_protocols_reply_goes_to_the_edge_node(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    """Sparkplug B's request for a birth."""
    line = bench()

    class Asking(Plan):
        def __init__(self, *parts: object) -> None:
            super().__init__(*parts)  # type: ignore[arg-type]
            self.decode = lambda payload, context: Message([Observation("power", 1.0, "W")], reply=b"rebirth")

    monkeypatch.setattr(pipeline_module, "Plan", Asking)
    line.edge.bring([up(b"", topic="village/10642/lamp-1/up")])
    line.settle()
    assert line.edge.told == [("village/10642/NCMD/up", b"rebirth")]


def full_until(monkeypatch: pytest.MonkeyPatch, line: Bench, tries: int, then: Callable[[], None]) -> list[str]:
    """The disk is full for so many tries; what the line said of it meanwhile."""
    said: list[str] = []
    append = Journal.append

    def refuse(journal: Journal, *parts: object) -> int:
        if len(said) < tries:
            said.append(line.line.full)
            if len(said) == tries:
                then()
            raise JournalFullError("no room")
        return append(journal, *parts)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "append", refuse)
    return said


def test_full_disk_stops_acknowledging_and_nothing_else(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, tried again, and goes on when there is room."""
    line = bench()
    monkeypatch.setattr(line.line._stopping, "wait", lambda _: False)
    said = full_until(monkeypatch, line, 3, lambda: None)
    line.edge.bring([up({"power": 1})])
    line.settle()
    assert (said, line.line.full) == (["", "no room", "no room"], "")
    assert line.edge.acknowledged == [([b'{"power": 1}'], 1)]


def test_uplinks_that_never_reached_the_disk_are_new_after_a_restart(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while the disk is full: what the state knows of them must not make their redelivery a repeat."""
    line = bench()
    line.edge.bring([up({"seq": 1, "power": 1}, message_id=1)])
    line.settle()
    full_until(monkeypatch, line, 1, line.line._stopping.set)
    line.edge.bring([up({"seq": 2, "power": 2}, message_id=2)])
    line.line._thread.join()
    assert [len(payloads) for payloads, _ in line.edge.acknowledged] == [1]
    monkeypatch.undo()
    again = bench()
    again.edge.bring([up({"seq": n, "power": n}, message_id=n, duplicate=True, at=NOW + 5) for n in (1, 2)])
    again.settle()
    assert again.journal.totals() == (3, 2, 0, 1)


def test_state_is_saved_at_the_end(bench: Callable[..., Bench], tmp_path: Path) -> None:
    """The next start has nothing to mend."""
    line = bench()
    line.edge.bring([up({"seq": 1, "power": 1})], [up({"seq": 2, "power": 2})])
    line.settle()
    line.line.stop()
    state = State(make_registry())
    assert (state.restore(tmp_path / "data" / "state.bin"), state.latest(0)) == (2, (2.0, NOW, 1))
    assert line.edge.closed


def test_defect_ends_the_line_unacknowledged(bench: Callable[..., Bench]) -> None:
    """Said aloud, and whoever waits is told."""
    ended: list[bool] = []
    line = bench()
    line.line.on_end = lambda: ended.append(True)
    line.edge.bring([up({"power": 1})], ZeroDivisionError("a bug"))
    line.line._thread.join()
    assert (repr(line.line.failed), ended, line.edge.closed) == ("ZeroDivisionError('a bug')", [True], True)
    with pytest.raises(TimeoutError, match="the gateway is stopping"):
        line.line.submit(lambda: 1).result()


def test_tasks_run_between_batches_and_fail_alone(bench: Callable[..., Bench]) -> None:
    """Their errors belong to whoever asked."""
    line = bench()
    assert line.line.submit(line.journal.rows.newest).result() == 0
    with pytest.raises(ZeroDivisionError):
        line.line.submit(lambda: 1 // 0).result()
    line.edge.bring([up({"power": 1})])
    line.settle()
    assert line.line.failed is None
    assert len(line.edge.acknowledged) == 1
