"""Refused uplinks are tried again: stored once, with their original times, and the ledger's sums hold throughout."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devices.observation import Reason
from devices.registry import Registry
from devices.topics import VENDOR_SOURCES
from gateway.line import replay
from gateway.line.ledger import HOUR
from gateway.line.line_protocol import read_back
from gateway.line.loop import Line, NoEdge
from gateway.line.pipeline import Limits, Pipeline
from gateway.line.records import DeviceHour, Records
from gateway.line.replay import Replayer, Step, Wanted
from gateway.line.snapshot import Saver
from gateway.line.state import State
from gateway.model import Judged, Uplink
from tests.line_parts import MINUTE, NOW, ROWS, Clock, make_registry, open_journal, up

OLD = NOW - 30 * HOUR
NEW_LAMP = {"device": "lamp-9", "profile": "native_streetlight", "commune": "10642"}
PLUG = {"device": "plug-1", "profile": "tasmota_meter_plug", "commune": "10642", "hardware_ids": "plug_A1"}
SOURCES = (VENDOR_SOURCES["tasmota"],)


@dataclass
class Gateway:
    """A line that runs, without broker and stores."""

    line: Line
    replayer: Replayer
    records: Records

    def hear(self, *uplinks: Uplink) -> None:
        """Take these in."""
        self.line.submit(lambda: self.line.take(uplinks)).result(10)

    def learn(self, *rows: dict[str, str]) -> None:
        """The fleet has these devices too, from now on."""
        registry = make_registry([*ROWS, *rows], sources=SOURCES)
        state = self.line.pipeline.state
        self.line.submit(lambda: self.line.pipeline.use(registry, state.carried_to(registry))).result(10)

    def replay(self, wanted: Wanted = Wanted()) -> list[int]:  # noqa: B008 - it has no state
        """Try them all; returns how many were kept, repeated, refused again and cut."""
        sums, through = [0, 0, 0, 0], 0
        while True:
            step = self.replayer.step(wanted, through)
            sums = [one + other for one, other in zip(sums, step[1:5], strict=True)]
            through = step.through
            if not through:
                return sums

    def hours(self, device: str) -> list[tuple[int, int, int, int, int]]:
        """The ledger of one sender: hours before now, received, kept, refused, repeated."""
        rows = self.records.by_device(0, NOW + HOUR, device, 100)
        assert all(isinstance(row, DeviceHour) for row in rows)
        return [((NOW // HOUR * HOUR - row.hour) // HOUR, *row[2:6]) for row in rows]

    def totals(self) -> tuple[int, ...]:
        """Received, kept, refused, repeated; the sum holds, and a crash now would not change it."""
        totals = self.records.totals()
        assert totals.holds
        assert Records(self.line.journal.path).totals() == totals
        return tuple(totals)

    def lines(self) -> list[tuple[str, float, int]]:
        """Device, power and time of every line, in the order they were made."""
        rows = self.line.journal.rows.backlog("commune", 2**62, 10**6, 10**9)
        return [(line.device, line.fields.get("power", -1.0), line.at) for row in rows for line in read_back(row.lines)]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A line over the small fleet."""
    journal = open_journal(tmp_path, now=Clock(NOW))
    registry: Registry = make_registry(sources=SOURCES)
    pipeline = Pipeline(registry, State(registry), journal.senders, Limits())
    line = Line(NoEdge(), pipeline, journal, Saver(tmp_path / "state.bin"))
    records = Records(journal.path, journal.totals, journal.ledger.unfolded)
    line.start()
    yield Gateway(line, Replayer(line, journal.path), records)
    line.stop()
    assert line.failed is None
    journal.close()
    records.close()


def test_what_an_unknown_device_said_is_stored_once_it_is_known(gateway: Gateway) -> None:
    """With the time of its receipt; counted for the device, in that hour, and no longer refused."""
    gateway.hear(*(up({"power": power}, "lamp-9", at=OLD + power * MINUTE) for power in range(3)))
    gateway.hear(up({"power": 5}, at=NOW))
    assert gateway.totals() == (4, 1, 3, 0)
    assert gateway.replay() == [0, 0, 3, 0]
    gateway.learn(NEW_LAMP)
    assert gateway.replay() == [3, 0, 0, 0]
    assert gateway.lines()[1:] == [("lamp-9", float(power), OLD + power * MINUTE) for power in range(3)]
    assert gateway.totals() == (4, 4, 0, 0)
    assert gateway.hours("lamp-9") == [(30, 3, 3, 0, 0)]
    assert gateway.hours("?village") == []
    assert gateway.records.by_reason() == {}
    assert gateway.records.refused(0, None, None, None, 10) == []
    assert gateway.records.replayed() == (3, 0)


def test_a_second_replay_takes_nothing(gateway: Gateway) -> None:
    """Also when it asks for the rows by their numbers; the bytes are still there to be looked at."""
    gateway.hear(up({"power": 1}, "lamp-9"))
    gateway.learn(NEW_LAMP)
    assert gateway.replay() == [1, 0, 0, 0]
    assert gateway.replay() == [0, 0, 0, 0]
    assert gateway.replay(Wanted(ids=(1,))) == [0, 0, 0, 0]
    assert len(gateway.lines()) == 1
    kept = gateway.records.refused_payload(1)
    assert kept is not None
    assert kept[1] == b'{"power": 1}'


def test_two_replays_at_once_take_each_uplink_once(gateway: Gateway) -> None:
    """The second finds in the line's thread that the first was there."""
    gateway.hear(*(up({"power": power}, "lamp-9", at=NOW - power) for power in range(5)))
    gateway.learn(NEW_LAMP)
    with replay.reading(gateway.line.journal.path) as reader:
        rows = replay._read(reader, [1, 2, 3, 4, 5])
    seen = [gateway.line.submit(lambda: gateway.replayer._take(rows)).result(10) for _ in range(2)]
    assert seen == [(5, 0, 0), (0, 0, 0)]
    assert len(gateway.lines()) == 5
    assert gateway.totals() == (5, 5, 0, 0)


def test_an_uplink_that_came_again_meanwhile_is_a_repeat(gateway: Gateway) -> None:
    """The device sent it once more after it was taken in: one point, and the sums say so."""
    late = {"power": 7, "seq": 5, "observed_at": "2026-08-01T03:00:00Z"}
    gateway.hear(up(late, "lamp-9", at=OLD))
    gateway.learn(NEW_LAMP)
    gateway.hear(up(late, "lamp-9", at=NOW))
    assert gateway.replay() == [0, 1, 0, 0]
    assert len(gateway.lines()) == 1
    assert gateway.totals() == (2, 1, 0, 1)
    assert gateway.hours("lamp-9") == [(0, 1, 1, 0, 0), (30, 1, 0, 0, 1)]
    assert gateway.records.replayed() == (0, 1)


def test_an_uplink_refused_again_says_why_now(gateway: Gateway) -> None:
    """Its row names the device and the new reason, is counted there, and may be tried once more."""
    gateway.hear(up({"power": "much"}, "lamp-9", at=OLD))
    gateway.learn(NEW_LAMP)
    assert gateway.replay() == [0, 0, 1, 0]
    (row,) = gateway.records.refused(0, None, "lamp-9", None, 10)
    assert (row.id, row.reason, row.received_at) == (1, "field_type", OLD)
    assert gateway.records.by_reason() == {"field_type": 1}
    assert gateway.totals() == (1, 0, 1, 0)
    assert gateway.hours("lamp-9") == [(30, 1, 0, 1, 0)]
    assert gateway.hours("?village") == []
    assert gateway.replay() == [0, 0, 1, 0]
    assert gateway.totals() == (1, 0, 1, 0)


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (Wanted(), [1, 2, 3, 4]),
        (Wanted(since=NOW), [3, 4]),
        (Wanted(until=NOW), [1, 2]),
        (Wanted(reason=Reason.UNKNOWN_DEVICE), [1, 2, 3, 4]),
        (Wanted(reason=Reason.UNIT), []),
        (Wanted(device="lamp-9"), [1, 3]),
        (Wanted(device="plug-1"), [2, 4]),
        (Wanted(device="nobody"), []),
        (Wanted(ids=(2, 3, 99)), [2, 3]),
        (Wanted(ids=(2, 3), device="lamp-9"), [3]),
    ],
)
def test_only_what_is_wanted_is_tried(gateway: Gateway, wanted: Wanted, kept: list[int]) -> None:
    """By time, reason, row, and by the device it belongs to as the fleet is now."""
    plug = Uplink("tele/plug_A1/SENSOR", b'{"Time":"2026-08-01T10:00:00","ENERGY":{"Power":3}}', OLD)
    gateway.hear(up({"power": 1}, "lamp-9", at=OLD), plug)
    gateway.hear(
        up({"power": 2}, "lamp-9", at=NOW), plug._replace(received_at=NOW, payload=plug.payload.replace(b"3", b"4"))
    )
    gateway.learn(NEW_LAMP, PLUG)
    assert gateway.replay(wanted) == [len(kept), 0, 0, 0]
    left = [row.id for row in gateway.records.refused(0, None, None, None, 10)]
    assert sorted({1, 2, 3, 4}.difference(left)) == kept


def test_many_are_taken_in_small_steps(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that fresh uplinks wait for one step only, in rows and in bytes."""
    monkeypatch.setattr(replay, "CHUNK", 3)
    monkeypatch.setattr(replay, "SCAN", 4)
    gateway.hear(*(up({"power": n}, "lamp-9" if n % 2 else "lamp-8", at=NOW - n) for n in range(20)))
    gateway.learn(NEW_LAMP)
    wanted = Wanted(device="lamp-9")
    assert gateway.replayer.count(wanted) == 20
    first = gateway.replayer.step(wanted)
    assert first == Step(through=4, kept=2, passed=4)
    monkeypatch.setattr(replay, "CHUNK_BYTES", 10)
    assert gateway.replayer.step(wanted, 4) == Step(through=6, kept=1, passed=2)
    assert gateway.replay(wanted) == [7, 0, 0, 0]
    assert len(gateway.lines()) == 10


def test_an_uplink_kept_in_part_is_not_tried(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one whose bytes are damaged; both are counted."""
    monkeypatch.setattr("gateway.line.raw_uplinks.REFUSED_PAYLOAD_BYTES", 20)
    gateway.hear(up({"power": 1}, "lamp-9"), up({"power": 1, "voltage": 230}, "lamp-9"), up({"power": 3}, "lamp-9"))
    gateway.learn(NEW_LAMP)

    def damage() -> None:
        gateway.line.journal._database.execute("UPDATE refused SET payload = x'00' WHERE id = 3")

    gateway.line.submit(damage).result(10)
    assert gateway.replay() == [1, 0, 0, 2]
    assert gateway.totals() == (3, 1, 2, 0)


def test_the_sums_hold_over_folds_and_a_crash(gateway: Gateway, tmp_path: Path) -> None:
    """Refused before a fold and replayed after it, or both between two: nothing is counted twice or lost."""
    gateway.hear(up({"power": 1}, "lamp-9", at=OLD))
    gateway.line.submit(lambda: gateway.line.journal.tend(force=True)).result(10)
    gateway.hear(up({"power": 2}, "lamp-9", at=OLD))
    gateway.learn(NEW_LAMP)
    assert gateway.replay() == [2, 0, 0, 0]
    assert gateway.totals() == (2, 2, 0, 0)
    assert gateway.hours("lamp-9") == [(30, 2, 2, 0, 0)]
    gateway.line.submit(lambda: gateway.line.journal.tend(force=True)).result(10)
    assert gateway.totals() == (2, 2, 0, 0)
    assert gateway.hours("lamp-9") == [(30, 2, 2, 0, 0)]
    with sqlite3.connect(gateway.line.journal.path) as database:
        assert database.execute("SELECT sum(kept), sum(refused), min(refused) FROM ledger").fetchone() == (2, 0, 0)
    database.close()


def test_a_replayed_status_does_not_overrule_a_newer_one(gateway: Gateway) -> None:
    """The lamp that was offline yesterday has spoken since."""
    gateway.hear(Uplink("village/10642/lamp-9/status", b"offline", OLD))
    gateway.learn(NEW_LAMP)
    gateway.hear(Uplink("village/10642/lamp-9/status", b"online", NOW), up({"power": 1}, "lamp-9", at=NOW))
    assert gateway.replay() == [1, 0, 0, 0]
    state = gateway.line.pipeline.state
    device = state.registry.index["lamp-9"]
    assert (state.online(device), state.last_seen(device)) == (True, NOW)


def test_replayed_readings_are_handed_on_as_no_news(gateway: Gateway) -> None:
    """Sums over time need them; alarms do not."""
    handed: list[Judged] = []
    gateway.line.on_judged = handed.extend
    gateway.hear(up({"power": 1}, "lamp-9", at=OLD), up({"power": 2}))
    gateway.learn(NEW_LAMP)
    gateway.replay()
    assert [(one.values, one.at, one.old) for one in handed] == [([2.0], NOW, False), ([1.0], OLD, True)]


def test_a_replayed_uplink_can_be_decoded_again(gateway: Gateway) -> None:
    """It is kept raw, like any other that was accepted."""
    gateway.hear(up({"power": 1}, "lamp-9", at=OLD))
    gateway.learn(NEW_LAMP)
    gateway.replay()
    with replay.reading(gateway.line.journal.path) as reader:
        assert reader.execute("SELECT first_at, uplinks FROM raw").fetchall() == [(OLD, 1)]
