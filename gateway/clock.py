"""Whether this machine's clock is kept right, as the Linux kernel knows it, and whether it can be believed."""

import ctypes
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

RELEASED = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()) * 10**9
"""No clock that is right shows an earlier time than this version's."""
BEHIND = 60 * 10**9
"""A clock that is set right goes back by less, between two commits [ns]. Chosen."""
BOOT_SECONDS = 900
"""So long after it was switched on, a box without a battery clock is waited for; where no time service sets it by then,
none will. Chosen: a router takes minutes after a power cut, a time service seconds after that."""
LOOK_SECONDS = 1.0

_TIME_ERROR = 5
_STA_UNSYNC = 0x40


class ClockState(NamedTuple):
    """What the kernel says of its clock."""

    synchronised: bool | None
    """None where nobody can be asked."""
    detail: str
    """One line: who was asked, and what to do if something is to be done."""


class _Timex(ctypes.Structure):
    """The beginning of ``struct timex`` (adjtimex(2)); the rest is room for what the kernel writes."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def clock_state() -> ClockState:
    """Ask the kernel (adjtimex): a time service that keeps the clock right tells it so."""
    timex = _Timex()
    try:
        answer = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return ClockState(None, "this system has no adjtimex; make sure that a time service runs")
    if answer < 0:
        return ClockState(None, f"adjtimex: {os.strerror(ctypes.get_errno())}; make sure that a time service runs")
    if answer == _TIME_ERROR or timex.status & _STA_UNSYNC:
        return ClockState(False, "the kernel says it is not synchronised (adjtimex); start systemd-timesyncd or chrony")
    return ClockState(True, f"synchronised to within {timex.maxerror / 1e6:.3f} s, says the kernel (adjtimex)")


def keeps_time(root: Path = Path("/")) -> bool:
    """Whether this machine has a clock that runs on without power: one with a battery, or that of a virtual machine."""
    for clock in root.glob("sys/class/rtc/rtc*/since_epoch"):
        try:
            if int(clock.read_text()) * 10**9 >= RELEASED:
                return True
        except (OSError, ValueError):
            continue
    try:
        return " hypervisor" in (root / "proc/cpuinfo").read_text()
    except OSError:
        return False


class OwnClock:
    """Whether the gateway's own clock can be believed. It cannot, unless the kernel calls it synchronised,

    - before the day of this version, or behind the journal's latest commit: the box has lost its time;
    - for the first 15 minutes after switching on, on a box that has no clock that runs on without power.
    """

    def __init__(
        self,
        *,
        trusted: bool = False,
        state: Callable[[], ClockState] = clock_state,
        now: Callable[[], int] = time.time_ns,
        since_boot: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        keeps_time: Callable[[], bool] = keeps_time,
    ) -> None:
        """``trusted``: the settings say that it is to be taken as it is."""
        self.trusted, self._state, self.now, self.since_boot = trusted, state, now, since_boot
        self._keeps_time = keeps_time()
        self._looked_at = float("-inf")
        self.state = ClockState(None, "not asked yet")
        self.doubt = ""
        """Why it cannot be believed, as of the last look; empty if it can."""

    def look(self, newest_at: int) -> str:
        """Look at it, at most once a second unless it has gone back.

        Args:
            newest_at: the journal's latest commit [ns UTC].

        Returns:
            ``doubt``.
        """
        if self.trusted:
            return ""
        now, since_boot = self.now(), self.since_boot()
        if now >= newest_at - BEHIND and since_boot / 1e9 - self._looked_at < LOOK_SECONDS:
            return self.doubt
        self._looked_at = since_boot / 1e9
        self.state = self._state()
        self.doubt = self._reason(now, since_boot, newest_at)
        return self.doubt

    def _reason(self, now: int, since_boot: int, newest_at: int) -> str:
        if self.state.synchronised:
            return ""
        if now < RELEASED:
            return f"the clock shows {_text(now)}, which cannot be"
        if now < newest_at - BEHIND:
            return f"the clock shows {_text(now)}, and readings were taken in at {_text(newest_at)} already"
        if self.state.synchronised is False and not self._keeps_time and since_boot < BOOT_SECONDS * 10**9:
            return "this box has no battery clock, and no time service has set its clock since it was switched on"
        return ""


def boot_id(root: Path = Path("/")) -> str:
    """Which run of the machine this is; empty where the system does not say."""
    try:
        return (root / "proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _text(at: int) -> str:
    return datetime.fromtimestamp(at // 10**9, UTC).strftime("%Y-%m-%d %H:%M UTC")
