"""Leaks of a piped network from its flow at night, and how long pressure or chlorine were out of band."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from devices.standards import shipped
from devices.water_supply_tables import Night
from gateway.analytics.local_time import HOURS_AHEAD

HOUR = 3_600_000_000_000


class NightFlow(NamedTuple):
    """What a night says about a network."""

    night: int
    """Local days since 1970."""
    flow: float
    """Least hourly flow of the small hours [m3/h]."""
    usual: float | None
    """What that is on a healthy night [m3/h]; None while too few nights are known."""
    limit: float | None
    """[m3/h] from here on it is a suspicion; None if there was nothing to compare with."""
    leaks: bool
    """A leak is going on."""


class StationState(NamedTuple):
    """Everything remembered of one station: plain data, to be saved and taken over as it is."""

    healthy: tuple[float, ...] = ()
    """[m3/h] night flow of the last healthy nights, oldest first."""
    hours: tuple[tuple[int, float], ...] = ()
    """Number of the hour (local, since 1970) and its flow [m3/h], of the last day."""
    suspicious: int = 0
    """Nights in a row above the limit."""
    leaks: bool = False
    judged: int = -1
    """The night judged last."""


class LeakWatch:
    """Judges every station's night once its last hour is known."""

    def __init__(self, rule: Night | None = None) -> None:
        self.rule = rule or shipped().water_supply.night
        self.stations: dict[str, StationState] = {}

    def hour(self, station: str, start: int, flow: float) -> NightFlow | None:
        """Take the flow of one hour into account.

        Args:
            station: any word that names it.
            start: beginning of the hour [ns UTC]; hours come in order, some may be missing.
            flow: its mean flow, or what the meter counted in it [m3/h].

        Returns:
            The judgement of the night, with its last hour; None with every other one, and for hours that come late.
        """
        state = self.stations.get(station, StationState())
        local = start // HOUR + HOURS_AHEAD
        if state.hours and local <= state.hours[-1][0]:
            return None
        hours = (*[(number, was) for number, was in state.hours if number > local - 24], (local, flow))
        state = state._replace(hours=hours)
        night, hour = divmod(local, 24)
        judged: NightFlow | None = None
        if hour >= self.rule.to_hour - 1 and state.judged < night:
            state, judged = self._judge(state, night)
        self.stations[station] = state
        return judged

    def _judge(self, state: StationState, night: int) -> tuple[StationState, NightFlow | None]:
        rule = self.rule
        first = night * 24 + rule.from_hour
        small = [flow for number, flow in state.hours if first <= number < night * 24 + rule.to_hour]
        state = state._replace(judged=night)
        if not small:
            return state, None
        flow, usual = min(small), self._usual(state.healthy)
        limit = self._limit(state, usual, rule.leak_ratio)
        suspicious = state.suspicious + 1 if limit is not None and flow > limit else 0
        burst = self._limit(state, usual, rule.burst_ratio) if usual is not None else None
        ended = self._limit(state, usual, rule.ended_ratio)
        leaks = suspicious >= rule.leak_nights or (burst is not None and flow > burst)
        leaks |= state.leaks and ended is not None and flow > ended
        healthy = state.healthy if suspicious or leaks else (*state.healthy, flow)[-rule.nights :]
        state = state._replace(suspicious=suspicious, leaks=leaks, healthy=healthy)
        return state, NightFlow(night, flow, usual, limit, leaks)

    def _usual(self, healthy: tuple[float, ...]) -> float | None:
        if len(healthy) < self.rule.learning_nights:
            return None
        ordered = sorted(healthy)
        return ordered[int(self.rule.usual_quantile * (len(ordered) - 1))]

    def _limit(self, state: StationState, usual: float | None, ratio: float) -> float | None:
        """The night flow that is so much more than usual; without enough nights, too large a share of the day."""
        if usual is not None:
            return max(usual * ratio, usual + self.rule.least_m3_per_hour)
        if len(state.hours) < 18:
            return None
        mean = sum(flow for _, flow in state.hours) / len(state.hours)
        return max(mean * self.rule.high_share_of_day, self.rule.least_m3_per_hour)


class Spell(NamedTuple):
    """A time out of band."""

    start: int
    """First reading out of band [ns UTC]."""
    stop: int
    """First reading in band again, or the last one known [ns UTC]."""
    side: Literal["low", "high"]
    worst: float
    """The value farthest out."""

    @property
    def minutes(self) -> float:
        """How long."""
        return (self.stop - self.start) / 60e9


def spells(points: Iterable[tuple[int, float]], low: float | None, high: float | None, longest_gap: int) -> list[Spell]:
    """The times a value was out of band.

    Args:
        points: time [ns UTC] and value, oldest first.
        low: least allowed value, or None.
        high: greatest allowed value, or None.
        longest_gap: [ns] After a longer silence nothing is known: the spell ends with its last reading.
    """
    found: list[Spell] = []
    running: Spell | None = None
    last = 0
    for at, value in points:
        if running is not None and at - last > longest_gap:
            found.append(running._replace(stop=last))
            running = None
        side: Literal["low", "high"] | None = None
        if low is not None and value < low:
            side = "low"
        elif high is not None and value > high:
            side = "high"
        if running is not None and side != running.side:
            found.append(running._replace(stop=at))
            running = None
        if side is not None:
            worst = value if running is None else (min if side == "low" else max)(running.worst, value)
            running = Spell(running.start if running else at, at, side, worst)
        last = at
    return [*found, running] if running is not None else found
