"""Sunrise, sunset, and from them when a lamp should burn: expected light level of a schedule at any moment."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from astral import Observer
from astral.sun import sunrise, sunset
from numpy.typing import NDArray

from devices.lighting_tables import Schedule, Switching

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND
NOON = DAY // 2
_EPOCH_DAY = date(1970, 1, 1).toordinal()


class SunTimes(NamedTuple):
    """Of one day at one place [ns UTC]."""

    sunrise: int
    sunset: int


@lru_cache(maxsize=4096)
def sun_times(latitude: float, longitude: float, day: date, zone: timezone) -> SunTimes:
    """When the sun's upper edge rises and sets, with ordinary refraction, on a flat horizon.

    Args:
        latitude: [deg], not beyond the polar circles.
        longitude: [deg], east is positive.
        day: calendar day in ``zone``.
        zone: a fixed offset from UTC.

    Returns:
        Whole seconds, good to a minute.

    Raises:
        ValueError: the sun does not rise or set there on that day.
    """
    observer = Observer(latitude, longitude)
    return SunTimes(
        _nanoseconds(sunrise(observer, day, tzinfo=zone)),
        _nanoseconds(sunset(observer, day, tzinfo=zone)),
    )


def _nanoseconds(at: datetime) -> int:
    return round(at.timestamp()) * SECOND


class Night(NamedTuple):
    """What a schedule asks for from noon to noon: the level changes at these moments."""

    changes: NDArray[np.int64]
    """[ns UTC], rising."""
    levels: NDArray[np.float64]
    """[%] after each change; before the first one 0."""


class Plan:
    """A schedule at a place: what level it expects at a moment, and whether it is just switching."""

    def __init__(self, schedule: Schedule, latitude: float, longitude: float, zone: timezone) -> None:
        self.schedule = schedule
        self._place = (latitude, longitude)
        self._zone = zone
        offset = zone.utcoffset(None)
        self._shift = int(offset.total_seconds()) * SECOND
        self._nights: dict[int, Night] = {}

    def night_number(self, at: int) -> int:
        """Which night (noon to noon, local time) a moment [ns UTC] belongs to, counted from 1970."""
        return (at + self._shift - NOON) // DAY

    def night(self, number: int) -> Night:
        """The changes of one night."""
        known = self._nights.get(number)
        if known is None:
            if len(self._nights) > 400:  # a year and a month: a backlog of any age stays cheap, memory bounded
                self._nights.clear()
            known = self._nights[number] = self._computed(number)
        return known

    def _computed(self, number: int) -> Night:
        evening = date.fromordinal(number + _EPOCH_DAY)
        on, off = self._moment(self.schedule.on, evening), self._moment(self.schedule.off, evening)
        steps = [(on, 100.0)]
        for step in self.schedule.levels:
            at = self._clock(step.at, evening)
            if on < at < off:
                steps.append((at, float(step.percent)))
        if off <= on:  # the night is too short for this schedule
            return Night(np.empty(0, np.int64), np.empty(0))
        steps = [*sorted(steps), (off, 0.0)]
        return Night(np.array([at for at, _ in steps], np.int64), np.array([level for _, level in steps]))

    def _moment(self, switching: Switching, evening: date) -> int:
        if switching.clock is not None:
            return self._clock(switching.clock, evening)
        morning = evening + timedelta(days=1)
        if switching.sun == "sunset":
            at = sun_times(*self._place, evening, self._zone).sunset
        else:
            at = sun_times(*self._place, morning, self._zone).sunrise
        return at + switching.minutes * MINUTE

    def _clock(self, clock: time, evening: date) -> int:
        day = evening if clock.hour >= 12 else evening + timedelta(days=1)
        return int(datetime.combine(day, clock, self._zone).astimezone(UTC).timestamp()) * SECOND


DARK, LIT, EITHER = 0, 1, 2
"""What a lamp should do: be off, burn, or (around a switching time) either."""


def expected(
    plans: Sequence[Plan], plan_of: NDArray[np.int32], at: NDArray[np.int64], tolerance: int
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """What each lamp should do at its moment.

    Args:
        plans: every schedule at every place.
        plan_of: index of each lamp's plan.
        at: moments [ns UTC], one for each lamp.
        tolerance: [ns] Within this of a change that switches, either state is right.

    Returns:
        ``DARK``, ``LIT`` or ``EITHER`` of each, and the level [%] it should have (NaN within the tolerance of a dimming
        step: either level is right).
    """
    state = np.full(len(at), EITHER, np.int8)
    level = np.full(len(at), np.nan)
    for number in np.unique(plan_of):
        members = np.flatnonzero(plan_of == number)
        plan, moments = plans[number], at[members]
        nights = plan.night_number(moments)
        for night_number in np.unique(nights):
            chosen = nights == night_number
            some, when = members[chosen], moments[chosen]
            night = plan.night(int(night_number))
            before = _levels(night, when - tolerance)
            after = _levels(night, when + tolerance)
            state[some] = np.where(
                (before > 0) & (after > 0), LIT, np.where((before == 0) & (after == 0), DARK, EITHER)
            )
            level[some] = np.where(before == after, after, np.nan)
    return state, level


def _levels(night: Night, at: NDArray[np.int64]) -> NDArray[np.float64]:
    position = np.searchsorted(night.changes, at, side="right")
    return np.concatenate(([0.0], night.levels))[position]
