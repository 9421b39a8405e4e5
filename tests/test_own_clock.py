"""The gateway's own clock: while it cannot be right, uplinks wait on disk; then they get the time they came at."""

from pathlib import Path

import pytest

from gateway.clock import BOOT_SECONDS, ClockState, OwnClock, keeps_time
from gateway.line.held import NOTHING, HeldUplinks
from gateway.line.records import Records
from gateway.model import Uplink
from tests.line_parts import NOW, SECOND, Clock, make_pipeline, open_journal, up


class Box:
    """A machine: its wall clock, its time since boot, what its kernel says."""

    def __init__(self, *, synchronised: bool | None = False, battery: bool = True) -> None:
        self.wall = Clock(NOW + 200 * 86400 * SECOND)
        self.since_boot, self.synchronised = 10_000 * SECOND, synchronised
        self.clock = OwnClock(
            state=lambda: ClockState(self.synchronised, "as the kernel says"),
            now=self.wall,
            since_boot=lambda: self.since_boot,
            keeps_time=lambda: battery,
        )

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.wall.forward(seconds)
        self.since_boot += int(seconds * SECOND)


def test_a_clock_that_lies_behind_the_journal_is_not_believed() -> None:
    """Unless the kernel calls it synchronised: then it is the journal that was ahead."""
    box = Box()
    newest = box.wall.now
    assert box.clock.look(newest) == ""
    box.wall.forward(-59)
    assert box.clock.look(newest) == ""
    box.wall.forward(-2)
    assert box.clock.look(newest).startswith("the clock shows ")
    assert "readings were taken in at" in box.clock.look(newest)
    box.synchronised = True
    assert box.clock.look(newest) == ""


def test_a_clock_before_this_version_is_not_believed() -> None:
    """A box whose battery is empty begins in 1970."""
    box = Box(synchronised=None)
    box.wall.now = 1000 * SECOND
    assert box.clock.look(0) == "the clock shows 1970-01-01 00:16 UTC, which cannot be"
    assert OwnClock(trusted=True, now=box.wall).look(NOW) == ""


def test_a_box_without_a_battery_clock_is_waited_for_after_a_power_cut() -> None:
    """For a quarter of an hour: where no time service has set it by then, none will."""
    box = Box(battery=False)
    box.since_boot = 30 * SECOND
    assert "no battery clock" in box.clock.look(0)
    box.wait(10)
    box.synchronised = True
    assert box.clock.look(0) == ""
    box.synchronised = False
    box.wait(BOOT_SECONDS)
    assert box.clock.look(0) == ""


@pytest.mark.parametrize(
    ("files", "keeps"),
    [
        ({}, False),
        ({"sys/class/rtc/rtc0/since_epoch": "1795219200\n"}, True),
        ({"sys/class/rtc/rtc0/since_epoch": "86\n"}, False),
        ({"proc/cpuinfo": "flags : fpu hypervisor lahf_lm\n"}, True),
    ],
)
def test_whether_a_machine_keeps_time_without_power(tmp_path: Path, files: dict[str, str], keeps: bool) -> None:
    """A battery clock that shows 1970 has no battery; a virtual machine has its host's."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    assert keeps_time(tmp_path) is keeps


def commit_held(held: HeldUplinks, uplinks: list[Uplink]) -> None:
    """What the line does with uplinks that must wait."""
    held._journal.append(NOTHING, also=lambda database: held.write(database, uplinks))
    held.held(uplinks)


def test_held_uplinks_get_the_time_they_came_at_by_the_time_since_boot(tmp_path: Path) -> None:
    """Also after the gateway was killed meanwhile; their order, their repeats and the ledger are as ever."""
    box = Box()
    right = box.wall.now
    journal = open_journal(tmp_path, now=box.wall)
    journal.append(NOTHING)
    journal.close()
    box.wall.forward(-86400)
    journal = open_journal(tmp_path, now=box.wall)
    held = HeldUplinks(journal, box.clock)
    assert held.must_wait()
    assert not held.can_go()
    first = [up({"power": 1}, at=box.wall.now), up({"power": 2}, at=box.wall.now + SECOND, message_id=5)]
    box.wait(1)
    commit_held(held, first)
    box.wait(9)
    commit_held(held, [up({"power": 2}, at=box.wall.now, message_id=5, duplicate=True)])
    journal.close()

    journal = open_journal(tmp_path, now=box.wall)
    held = HeldUplinks(journal, box.clock)
    assert (held.count, held.must_wait(), held.can_go()) == (3, True, False)
    box.wait(50)
    box.wall.now = right + 60 * SECOND
    assert held.can_go()
    uplinks, last = held.next()
    assert [uplink.received_at - right for uplink in uplinks] == [1, SECOND, 10 * SECOND]
    batch, _ = make_pipeline().process(uplinks)
    assert [entry.outcome.value for entry in batch.heard] == ["kept", "kept", "repeated"]
    journal.senders(["lamp-1", "lamp-2", "water-1", "air-1", "toy-1"])
    journal.append(batch, also=lambda database: database.execute("DELETE FROM held WHERE id <= ?", (last,)))
    held.released(uplinks)
    assert (held.count, held.must_wait(), journal.held_count()) == (0, False, 0)
    records = Records(journal.path, journal.totals)
    assert (records.totals(), records.held()) == ((3, 2, 0, 1), 0)
    records.close()
    journal.close()
