"""Judges one value as it comes, in QARTOD's terms: gross range, plausible range, rate of change, spike, flat line."""

from gateway.line.normalize import MINUTE, Slot
from gateway.line.state import Spike, State

GOOD, SUSPECT, FAIL = 1, 3, 4
"""Plain integers of ``devices.quality.Quality``: an enum lookup per value would cost more than the judgement."""
SPIKE_MINUTES = 3.0
"""A value is a spike that leaves both its neighbours, to the same side, by more than is plausible in three minutes.
Chosen between noise and what the rate of change lets pass where values are a quarter of an hour apart."""
SPIKE_SPAN_MINUTES = 120.0
"""Neighbours farther apart than this say nothing of what was between them. Chosen."""


def judge(slot: Slot, value: float, at: int, state: State, series: int, row: int) -> int:
    """The flag of one value, worst test wins, and the series' new state.

    Args:
        slot: limits of this property in this profile.
        value: canonical unit, finite.
        at: time of the value [ns UTC].
        state: updated here if ``at`` is not older than the series' latest value.
        series: index of the series.
        row: index among the watched series, if it is one of them.

    Returns:
        1 GOOD, 3 SUSPECT or 4 FAIL. That the value before was a spike is put into ``state.spikes``.
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
    if slot.watched < 0:  # nothing but its ranges is judged
        state.value[series], state.time[series], state.quality[series] = value, at, flag
        return flag
    last, last_flag = state.value[series], state.quality[series]
    if last_flag and flag == GOOD:
        if slot.rate and at > before and last_flag != FAIL:
            flag = _judge_change(slot, value, at, state, series, row)
        if slot.flat_after and value == last and state.run[row] + 2 >= slot.flat_after:
            flag = SUSPECT
    settle(value, at, flag, slot.flat_after, slot.rate, state, series, row)
    return flag


def _judge_change(slot: Slot, value: float, at: int, state: State, series: int, row: int) -> int:
    """Rate of change and spike, for a value within its ranges that follows another one."""
    rate = slot.rate
    last, before, last_flag = state.value[series], state.time[series], state.quality[series]
    # Two values within a minute count as a minute apart: noise of one step is not a rate.
    minutes = (at - before) / MINUTE if at - before > MINUTE else 1.0
    earlier, gap = state.before[row], state.gap[row]
    is_near = gap > 0 and gap + minutes <= SPIKE_SPAN_MINUTES
    if is_near and last_flag == GOOD:
        rise, fall = last - earlier, last - value
        if rise * fall > 0 and min(abs(rise), abs(fall)) > rate * SPIKE_MINUTES:
            if state.line[row]:
                state.spikes.append(Spike(slot.name, slot.measurement, before, state.line[row]))
            last_flag = SUSPECT
    if abs(value - last) <= rate * minutes:
        return GOOD
    # Back from a value that is itself suspect: the one before that tells what is plausible.
    is_back = is_near and last_flag == SUSPECT and abs(value - earlier) <= rate * (gap + minutes)
    return GOOD if is_back else SUSPECT


def settle(value: float, at: int, flag: int, flat_after: int, rate: float, state: State, series: int, row: int) -> None:
    """Make a judged value, which is not older than the latest one, the series' latest."""
    if flat_after or rate:
        last_flag = state.quality[series]
        if last_flag:
            last = state.value[series]
            if flat_after:
                state.run[row] = min(state.run[row] + 1, 65535) if value == last else 0
            if rate and at > state.time[series]:
                state.before[row] = last
                # A failed value is no neighbour.
                minutes = -((state.time[series] - at) // MINUTE)
                state.gap[row] = 0 if last_flag == FAIL else min(minutes, 65535)
    state.value[series] = value
    state.time[series] = at
    state.quality[series] = flag
