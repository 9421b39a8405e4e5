"""Threshold and rate rules over readings: most readings touch no rule, most of the rest are told apart by numpy."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.alert_rules import AlertRule
from devices.quality import Quality
from gateway.analytics.alert_book import MINUTE, AlertBook, Key
from gateway.analytics.columns import PROPERTIES, PROPERTY_NUMBER, Columns, FleetTables, in_rounds

Integers = NDArray[np.int64]

REORDERED = MINUTE
"""A reading that is older than its device's newest by more than this is late: it is for the record, not for alerts.
Chosen: messages of one report may overtake each other by seconds."""
FRESH_INTERVALS, FRESH_LEAST = 3, 30 * MINUTE
"""A value older than so many intervals, and so many minutes, fires nothing: what it says may be long over. Chosen."""


class _Rule(NamedTuple):
    """One rule, ready for arrays: everything is written as "too high"."""

    number: int
    sign: float
    """1: above is bad; -1: below is bad."""
    limit: float
    """Times the sign."""
    clear: float
    """Times the sign: not higher than this ends it."""
    hold: int
    window: int
    """[ns] Rate rules compare values so far apart; 0 for thresholds."""


class ValueRules:
    """The threshold and rate rules of a fleet."""

    def __init__(self, tables: FleetTables, rules: tuple[AlertRule, ...], book: AlertBook) -> None:
        self._tables = tables
        self._book = book
        self._rules: dict[int, list[_Rule]] = {}
        for number, rule in enumerate(rules):
            if rule.kind in ("threshold", "rate"):
                self._rules.setdefault(PROPERTY_NUMBER[rule.property], []).append(_compiled(number, rule))
        self._watched = np.zeros(len(PROPERTIES), np.bool_)
        self._watched[list(self._rules)] = True
        compiled = [rule for rules_of in self._rules.values() for rule in rules_of]
        self._busy = {rule.number: np.zeros(tables.count, np.bool_) for rule in compiled}
        """Devices with an alert of the rule that is not resolved, certain or doubtful."""
        self._before = {
            rule.number: (np.full(tables.count, np.nan), np.zeros(tables.count, np.int64))
            for rule in compiled
            if rule.window
        }
        """Value and time [ns UTC] that the next value of a rate rule is compared with."""
        self.newest = np.zeros(tables.count, np.int64)
        """[ns UTC] newest ``observed_at`` of each device."""

    def take(self, columns: Columns) -> None:
        """Judge readings."""
        current = columns.at >= self.newest[columns.device] - REORDERED
        np.maximum.at(self.newest, columns.device, columns.at)
        chosen = self._watched[columns.property] & current & (columns.quality < Quality.MISSING)
        if not chosen.any():
            return
        columns = columns.only(chosen)
        for number in np.unique(columns.property).tolist():
            some = columns.only(columns.property == number)
            for rule in self._rules[number]:
                if rule.window:
                    self._judge_rate(rule, some)
                else:
                    self._judge(rule, some)

    def _judge(self, rule: _Rule, columns: Columns) -> None:
        height = columns.value * rule.sign
        busy = self._busy[rule.number]
        # A device that is beyond somewhere in this batch may be within again later in it.
        busy[columns.device[height > rule.limit]] = True
        candidates = np.flatnonzero(busy[columns.device])
        if len(candidates):
            order = candidates[np.argsort(columns.at[candidates], kind="stable")]
            fresh = self._is_fresh(columns)
            for place in order.tolist():
                trusted = bool(columns.quality[place] < Quality.SUSPECT)
                device, at, seen = int(columns.device[place]), int(columns.at[place]), float(columns.value[place])
                self._step(rule, device, at, seen, height[place], trusted=trusted, fresh=bool(fresh[place]))

    def _step(
        self, rule: _Rule, device: int, at: int, seen: float, height: float, *, trusted: bool, fresh: bool
    ) -> None:
        book, certain, doubtful = (
            self._book,
            Key(rule.number, "device", device),
            Key(rule.number, "device", device, True),
        )
        key = certain if trusted else doubtful
        known = book.alerts.get(key)
        if known is not None and at < known.last_at:
            return
        if height > rule.limit:
            book.beyond(key, at, seen, rule.limit * rule.sign, rule.hold, fresh=fresh)
        elif height <= rule.clear:
            book.within(key, at)
        if trusted:
            book.within(doubtful, at)  # now the sensor can be believed, whatever it says
        self._busy[rule.number][device] = certain in book.alerts or doubtful in book.alerts

    def _judge_rate(self, rule: _Rule, columns: Columns) -> None:
        values, times = self._before[rule.number]
        columns = columns.only(columns.quality < Quality.SUSPECT)
        for places in in_rounds(columns.device, columns.at):
            device, at, value = columns.device[places], columns.at[places], columns.value[places]
            fresh = self._is_fresh(columns.only(places))
            apart = at - times[device]
            change = (value - values[device]) * rule.sign * (rule.window / np.maximum(apart, 1))
            # A comparison over a much longer time says nothing of how fast it went.
            compared = (apart >= rule.window) & (apart <= 3 * rule.window) & ~np.isnan(values[device])
            for place in np.flatnonzero(compared & ((change > rule.limit) | self._busy[rule.number][device])).tolist():
                height = float(change[place])
                self._step(
                    rule, int(device[place]), int(at[place]), height * rule.sign, height, trusted=True,
                    fresh=bool(fresh[place]),
                )  # fmt: skip
            moves = (apart >= rule.window) | np.isnan(values[device])
            values[device[moves]], times[device[moves]] = value[moves], at[moves]

    def _is_fresh(self, columns: Columns) -> NDArray[np.bool_]:
        limit = np.maximum(FRESH_INTERVALS * self._tables.interval[columns.device], FRESH_LEAST)
        fresh: NDArray[np.bool_] = columns.received - columns.at <= limit
        return fresh

    def refresh(self) -> None:
        """Mark the devices of the book's alerts, after a snapshot was taken over."""
        for key in self._book.alerts:
            if key.rule in self._busy:
                self._busy[key.rule][key.number] = True

    def columns(self) -> dict[str, NDArray[Any]]:
        """Every column by name, for snapshots: one row a device. Rate rules begin anew."""
        return {"newest": self.newest}


def _compiled(number: int, rule: AlertRule) -> _Rule:
    if rule.kind == "rate":
        change = rule.rise if rule.rise is not None else rule.fall or 0.0
        window = int((rule.within_minutes or 0.0) * MINUTE)
        return _Rule(number, 1.0 if rule.rise is not None else -1.0, change, change / 2, 0, window)
    sign = 1.0 if rule.above is not None else -1.0
    limit = (rule.above if rule.above is not None else rule.below or 0.0) * sign
    return _Rule(number, sign, limit, limit - rule.hysteresis, int((rule.minutes or 0.0) * MINUTE), 0)
