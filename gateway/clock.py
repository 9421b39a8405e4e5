"""Whether this machine's clock is kept right, as the Linux kernel knows it."""

import ctypes
import os
from typing import NamedTuple

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
