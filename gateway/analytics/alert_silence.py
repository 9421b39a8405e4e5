"""Which devices are silent, by their own intervals, and which communes; a feeder that is cut by day is not expected."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.alert_rules import AlertRule
from gateway.analytics.alert_book import MINUTE, AlertBook, Key
from gateway.analytics.columns import FleetTables

MOST_AT_ONCE = 5_000
"""Devices that one look finds silent; the next one goes on, so that a dead province holds nothing up. Chosen."""

Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]


class SilenceWatch:
    """When every device was heard last, and who should have been heard since."""

    def __init__(self, tables: FleetTables, rules: tuple[AlertRule, ...], book: AlertBook, now: int) -> None:
        """A watch that begins to listen now [ns UTC]."""
        self._tables = tables
        self._book = book
        self._device_rules = [(n, rule) for n, rule in enumerate(rules) if rule.kind == "silent"]
        self._commune_rules = [(n, rule) for n, rule in enumerate(rules) if rule.kind == "commune"]
        self.seen = np.zeros(tables.count, np.int64)
        """[ns UTC] receipt of each device's last reading; 0: never."""
        self._since = now
        self._deaf = False
        self._silent = {number: np.zeros(tables.count, np.bool_) for number, _ in self._device_rules}
        self._communes = {
            number: np.zeros(len(tables.registry.communes.texts), np.bool_) for number, _ in self._commune_rules
        }

    def take(self, device: Integers, received: Integers) -> None:
        """Devices were heard."""
        np.maximum.at(self.seen, device, received)

    def listen(self, now: int) -> None:
        """The line to the broker is up (again): silence counts from now on at the earliest."""
        if self._deaf:
            self._deaf, self._since = False, now

    def deafen(self) -> None:
        """The line to the broker is down: nobody can be heard, so nobody is silent."""
        self._deaf = True

    def silent_for(self, now: int, live_since: Integers) -> Integers:
        """How long each device has been silent although it should have been heard [ns]; 0 for those never heard.

        Args:
            now: [ns UTC]
            live_since: [ns UTC] since when each device has power; far in the future where it has none now.
        """
        heard = np.maximum(np.maximum(self.seen, self._since), live_since)
        duration: Integers = np.where(self.seen > 0, np.maximum(now - heard, 0), 0)
        return np.zeros_like(duration) if self._deaf else duration

    def unheard_for(self, now: int, live_since: Integers) -> Integers:
        """How long nothing came of each device that has power [ns], whoever's fault it is; arguments as above.

        What was silent before the gateway or the broker was away has not come back by that alone.
        """
        duration: Integers = np.where(self.seen > 0, np.maximum(now - np.maximum(self.seen, live_since), 0), 0)
        return duration

    def go_on_from(self, before: "SilenceWatch") -> None:
        """The same gateway with another fleet: it has been listening as long as before."""
        self._since, self._deaf = before._since, before._deaf

    def silent(self) -> Bools:
        """Devices whose silence is an alert."""
        found = np.zeros(self._tables.count, np.bool_)
        for flags in self._silent.values():
            found |= flags
        return found

    def judge(self, now: int, live_since: Integers) -> None:
        """Begin and end alerts of silent devices and communes."""
        silent_for, unheard_for = self.silent_for(now, live_since), self.unheard_for(now, live_since)
        tables = self._tables
        for number, rule in self._commune_rules:
            limit = _limit(tables, rule)
            due = (self.seen > 0) & (live_since <= now - limit)
            missing = due & (silent_for > limit)
            asked = np.bincount(tables.commune[due], minlength=len(self._communes[number]))
            quiet = np.bincount(tables.commune[missing], minlength=len(asked))
            share, least = rule.share or 1.0, rule.least_devices or 2
            begins = (asked >= least) & (quiet >= share * asked) & (not self._deaf)
            for commune in np.flatnonzero(begins & ~self._communes[number]).tolist():
                begins[commune] = self._is_more_than_a_circuit(missing & (tables.commune == commune))
            unheard = np.bincount(tables.commune[due & (unheard_for > limit)], minlength=len(asked))
            stays = self._communes[number] & ((asked == 0) | (unheard >= share * asked / 2))
            self._tell(number, "commune", self._communes[number], begins | stays, now, quiet, asked)
            self._communes[number] = begins | stays
        for number, rule in self._device_rules:
            limit = _limit(tables, rule)
            before = self._silent[number]
            # Once silent, a device stays so until it is heard, also while its feeder is cut or the broker is away.
            after = (silent_for > limit) | (before & (self.seen <= self._heard_at(number)))
            self._tell(number, "device", before, after, now, silent_for / MINUTE, limit / MINUTE)
            self._silent[number] = after

    def _is_more_than_a_circuit(self, missing: Bools) -> bool:
        """Silent devices of one group are that group's affair, even where the commune has no other."""
        groups = self._tables.group[missing]
        named = groups != self._tables.registry.groups.number.get("", -1)
        return len(np.unique(groups[named])) + int((~named).sum()) > 1

    def _heard_at(self, number: int) -> Integers:
        known = np.full(self._tables.count, -1, np.int64)
        for key, alert in self._book.alerts.items():
            if key.rule == number:
                known[key.number] = alert.since
        return known

    def _tell(
        self, number: int, scope: Any, before: Bools, after: Bools, now: int, value: NDArray[Any], limit: NDArray[Any]
    ) -> None:
        begun = np.flatnonzero(after & ~before)
        after[begun[MOST_AT_ONCE:]] = False
        for place in begun[:MOST_AT_ONCE].tolist():
            since = int(self.seen[place]) if scope == "device" else now
            self._book.beyond(Key(number, scope, place), now, float(value[place]), float(limit[place]), since=since)
        for place in np.flatnonzero(before & ~after).tolist():
            self._book.within(Key(number, scope, place), now)

    def refresh(self) -> None:
        """Know the book's alerts as begun, after a snapshot was taken over."""
        for key in self._book.alerts:
            for flags in (self._silent.get(key.rule), self._communes.get(key.rule)):
                if flags is not None:
                    flags[key.number] = True

    def columns(self) -> dict[str, NDArray[Any]]:
        """Every column by name, for snapshots: one row a device."""
        return {"seen": self.seen}


def _limit(tables: FleetTables, rule: AlertRule) -> Integers:
    limit: Integers = np.maximum(
        (tables.interval * (rule.intervals or 1.0)).astype(np.int64), int((rule.minutes or 0.0) * MINUTE)
    )
    return limit
