"""Judges one value as it comes, in QARTOD's terms: gross range, plausible range, rate of change, flat line."""

from gateway.line.normalize import MINUTE, Slot
from gateway.line.state import State

GOOD, SUSPECT, FAIL = 1, 3, 4
"""Plain integers of ``devices.quality.Quality``: an enum lookup per value would cost more than the judgement."""


def judge(slot: Slot, value: float, at: int, state: State, series: int) -> int:
    """The flag of one value, worst test wins, and the series' new state.

    Args:
        slot: limits of this property in this profile.
        value: canonical unit, finite.
        at: time of the value [ns UTC].
        state: updated here if ``at`` is not older than the series' latest value.
        series: index of the series.

    Returns:
        1 GOOD, 3 SUSPECT or 4 FAIL.
    """
    if not slot.low <= value <= slot.high:
        flag = FAIL
    elif not slot.plausible_low <= value <= slot.plausible_high:
        flag = SUSPECT
    else:
        flag = GOOD
    before = state.time[series]
    if at < before:
        return flag  # late: it is stored, but what came after it is already judged
    last, last_flag = state.value[series], state.quality[series]
    if last_flag and flag == GOOD:
        if slot.rate and at > before and last_flag != FAIL:
            # Two values within a minute count as a minute apart: noise of one step is not a rate.
            minutes = (at - before) / MINUTE if at - before > MINUTE else 1.0
            if abs(value - last) > slot.rate * minutes:
                flag = SUSPECT
        if slot.flat_after and value == last and state.run[series] + 2 >= slot.flat_after:
            flag = SUSPECT
    settle(value, at, flag, slot.flat_after, state, series)
    return flag


def settle(value: float, at: int, flag: int, flat_after: int, state: State, series: int) -> None:
    """Make a judged value, which is not older than the latest one, the series' latest."""
    if state.quality[series]:
        last = state.value[series]
        if flat_after:
            state.run[series] = min(state.run[series] + 1, 65535) if value == last else 0
        if at > state.time[series]:
            state.before[series] = last
    state.value[series] = value
    state.time[series] = at
    state.quality[series] = flag
