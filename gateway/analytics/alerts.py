"""The alert engine: committed readings in, changes of alerts out; evaluated on event time, one alert per cause."""

import json
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from devices.alert_rules import AlertRule
from devices.standards import Standards, shipped
from gateway.analytics.alert_book import MINUTE, AlertBook, AlertChange, Key, Place
from gateway.analytics.alert_lighting import StreetWatch
from gateway.analytics.alert_silence import SilenceWatch
from gateway.analytics.alert_values import ValueRules
from gateway.analytics.columns import Columns, FleetTables, Integers
from gateway.analytics.limits import AirVerdict
from gateway.analytics.packed import Match, dump, from_parts, load, match, to_parts
from gateway.analytics.vn_aqi import VnAqi
from gateway.analytics.water_supply import NightFlow
from gateway.line.snapshot import Bytes

JUDGE_EVERY = 10_000_000_000
"""Silence and circuits are looked at so often [ns]: they are measured in minutes. Chosen."""
INDEX_HYSTERESIS = 15
"""An index has to fall so far below a level before its alert is over: it wavers from hour to hour. Chosen."""
GRACE_INTERVALS, GRACE_LEAST = 3, 15 * MINUTE
"""How long an alert must outlive its cause before it is told by itself. Chosen."""


class Alerts:
    """Every rule of a fleet and the book of its alerts. One thread; no I/O."""

    def __init__(self, tables: FleetTables, now: int, standards: Standards | None = None) -> None:
        """An engine that begins to listen now [ns UTC]."""
        standards = standards or shipped()
        self.tables = tables
        self.rules: tuple[AlertRule, ...] = standards.alerts.rules
        self.sensor_texts = standards.alerts.sensor
        self.book = AlertBook(self.rules, self._place, self._covers, self._outlives, self._group)
        self.values = ValueRules(tables, self.rules, self.book)
        self.silence = SilenceWatch(tables, self.rules, self.book, now)
        self.streets = StreetWatch(tables, standards.lighting, self.rules, self.book)
        self._levels = {level.code: level.low for level in VnAqi(standards.vn_aqi).tables.levels}
        for rule in self.rules:
            if rule.kind == "index" and rule.level not in self._levels:
                raise ValueError(f"alert rule {rule.code}: VN_AQI has no level {rule.level!r}")
        self._parts: list[str] = []
        self._failing_since: dict[str, int] = {}
        """When each part of the gateway that fails was first told of [ns UTC]."""
        self._limits: dict[int, dict[tuple[str, str], AirVerdict]] = {}
        self.live_since = self.streets.live_since(now)
        """Since when each device has power [ns UTC], as of the last look."""
        self._judged_at = 0
        self._cabinets = {
            int(group): int(self.streets.fleet.cabinets[number])
            for number, group in enumerate(self.streets.fleet.cabinet_group)
        }

    # in ------------------------------------------------------------------------------------------------------

    def take(self, columns: Columns) -> None:
        """Judge committed readings. Old readings from a file must not be given: they are no news."""
        self.silence.take(columns.device, columns.received)
        self.streets.take(columns)
        self.values.take(columns)

    def take_index(self, device: int, value: int | None, at: int) -> None:
        """VN_AQI of a station for the newest hour; None where there is none."""
        for number, rule in self._of_kind("index"):
            limit = self._levels[rule.level or ""]
            if value is not None and value >= limit:
                self.book.beyond(Key(number, "device", device), at, float(value), float(limit))
            elif value is not None and value <= limit - INDEX_HYSTERESIS:
                self.book.within(Key(number, "device", device), at)

    def take_limits(self, device: int, verdicts: Iterable[AirVerdict], at: int) -> None:
        """Means of a station against the limits of QCVN 05; a verdict stands until the next of its kind."""
        known = self._limits.setdefault(device, {})
        known.update({(verdict.property, verdict.period): verdict for verdict in verdicts})
        worst = max((v for v in known.values() if v.exceeded), key=lambda v: v.mean / v.limit, default=None)
        for number, _ in self._of_kind("limit"):
            if worst is not None:
                self.book.beyond(Key(number, "device", device), at, worst.mean, worst.limit)
            elif known:
                self.book.within(Key(number, "device", device), at)

    def take_night(self, device: int, night: NightFlow, at: int) -> None:
        """What a night says about the network behind a station."""
        for number, _ in self._of_kind("leak"):
            if night.leaks:
                self.book.beyond(Key(number, "device", device), at, night.flow, night.limit or night.flow)
            else:
                self.book.within(Key(number, "device", device), at)

    def take_health(self, failing: Collection[str], now: int) -> None:
        """Which parts of the gateway itself fail; to be told again and again, parts that are well are not named.

        What is over before the rule's minutes are is no event, not even a pending one: every start begins without a
        broker, every reconnect has a moment without.
        """
        self._parts += [part for part in failing if part not in self._parts]
        self._failing_since = {part: self._failing_since.get(part, now) for part in failing}
        for number, rule in self._of_kind("gateway"):
            for index, part in enumerate(self._parts):
                key = Key(number, "gateway", index)
                since = self._failing_since.get(part)
                if since is None:
                    self.book.within(key, now)
                elif key in self.book.alerts or now - since >= int((rule.minutes or 0.0) * MINUTE):
                    self.book.beyond(key, now, 1.0, 0.0, since=since)

    def _of_kind(self, kind: str) -> list[tuple[int, AlertRule]]:
        return [(number, rule) for number, rule in enumerate(self.rules) if rule.kind == kind]

    # out -----------------------------------------------------------------------------------------------------

    def tick(self, now: int) -> list[AlertChange]:
        """Look at the clock; return every change since the last time, in order."""
        if now - self._judged_at >= JUDGE_EVERY or now < self._judged_at:
            self._judged_at = now
            self.live_since = live_since = self.streets.live_since(now)
            self.silence.judge(now, live_since)
            silent_for, unheard_for = (
                of(now, live_since) for of in (self.silence.silent_for, self.silence.unheard_for)
            )
            self.streets.judge(now, silent_for, unheard_for, live_since)
        return self.book.changes(now)

    # places --------------------------------------------------------------------------------------------------

    def _place(self, key: Key) -> Place:
        registry = self.tables.registry
        if key.scope == "device":
            name = registry.names[key.number]
            return Place("device", name, registry.commune(key.number), name)
        if key.scope == "group":
            commune, _, group = registry.groups.texts[key.number].partition("/")
            cabinet = self._cabinets.get(key.number)
            return Place("group", group, commune, "" if cabinet is None else registry.names[cabinet])
        if key.scope == "commune":
            commune = registry.communes.texts[key.number]
            return Place("commune", commune, commune, "")
        return Place("gateway", self._parts[key.number], "", "")

    def _find(self, place: Place) -> int | None:
        registry = self.tables.registry
        if place.scope == "device":
            return registry.index.get(place.name)
        if place.scope == "group":
            return registry.groups.number.get(f"{place.commune}/{place.name}")
        if place.scope == "commune":
            return registry.communes.number.get(place.name)
        if place.name not in self._parts:
            self._parts.append(place.name)
        return self._parts.index(place.name)

    def _covers(self, key: Key, rule: int) -> Sequence[Key]:
        if key.scope == "device":
            return (
                Key(rule, "device", key.number),
                Key(rule, "group", int(self.tables.group[key.number])),
                Key(rule, "commune", int(self.tables.commune[key.number])),
            )
        if key.scope == "group":
            commune = self.tables.registry.communes.number.get(self._place(key).commune, -1)
            return (Key(rule, "group", key.number), Key(rule, "commune", commune))
        return (Key(rule, key.scope, key.number),)

    def _outlives(self, key: Key, ended_at: int, now: int) -> bool:
        """Long enough; and a device has said so since, unless its silence is what the alert is about."""
        if key.scope != "device":
            return now - ended_at >= GRACE_LEAST
        grace = max(GRACE_LEAST, GRACE_INTERVALS * int(self.tables.interval[key.number]))
        heard = self.rules[key.rule].kind == "silent" or int(self.values.newest[key.number]) > ended_at
        return heard and now - ended_at >= grace

    def _group(self, key: Key) -> str:
        if key.scope == "device":
            return self.tables.registry.groups.texts[int(self.tables.group[key.number])].partition("/")[2]
        return self._place(key).name if key.scope == "group" else ""

    # snapshot ------------------------------------------------------------------------------------------------

    def snapshot(self) -> list[Bytes]:
        """Everything a new engine needs to go on without telling anything twice."""
        lamps, cabinets = self.streets.columns()
        devices = {**self.values.columns(), **self.silence.columns()}
        return to_parts(
            {
                "fleet": self.tables.signature,
                "book": json.dumps(self.book.dump()).encode(),
                "limits": json.dumps(
                    [[self.tables.registry.names[d], list(known.values())] for d, known in self._limits.items()]
                ).encode(),
                "lamps": self.streets.fleet.lamps.tobytes(),
                "cabinets": self.streets.fleet.cabinets.tobytes(),
                **dump({f"device.{name}": column for name, column in devices.items()}),
                **dump({f"lamp.{name}": column for name, column in lamps.items()}),
                **dump({f"cabinet.{name}": column for name, column in cabinets.items()}),
            }
        )

    def restore(self, parts: Sequence[Bytes]) -> bool:
        """Take a snapshot over, also one of another fleet, into an engine that has taken nothing in yet.

        Returns:
            False if it cannot be used: the engine may then be half filled and must not be used either.
        """
        try:
            saved = from_parts(parts)
            shared = match(saved["fleet"], self.tables)
            devices = {**self.values.columns(), **self.silence.columns()}
            load(
                {f"device.{name}": column for name, column in devices.items()},
                saved, shared.devices_here, shared.devices_there,
            )  # fmt: skip
            lamps, cabinets = self.streets.columns()
            for word, columns, numbers in (
                ("lamp", lamps, self.streets.fleet.lamp_of),
                ("cabinet", cabinets, self.streets.fleet.cabinet_of),
            ):
                here, there = _shared(numbers, np.frombuffer(saved[f"{word}s"], np.int64), shared)
                # What the version before did not know of a lamp is learnt anew.
                known = {named: c for name, c in columns.items() if (named := f"{word}.{name}") in saved}
                load(known, saved, here, there)
            self.book.load(json.loads(bytes(saved["book"])), self._find)
            for name, reached in json.loads(bytes(saved["limits"])):
                if name in self.tables.registry.index:
                    verdicts = [AirVerdict(*verdict) for verdict in reached]
                    device = self.tables.registry.index[name]
                    self._limits[device] = {(verdict.property, verdict.period): verdict for verdict in verdicts}
        except (ValueError, KeyError, IndexError, TypeError):
            return False
        for watch in (self.values, self.silence, self.streets):
            watch.refresh()
        return True


def _shared(number_of: NDArray[np.int32], old_devices: Integers, shared: Match) -> tuple[Integers, Integers]:
    """Numbers of lamps (or cabinets) in both fleets: here, and there."""
    old_number = np.full(max(old_devices.max(initial=0), shared.devices_there.max(initial=0)) + 1, -1)
    old_number[old_devices] = np.arange(len(old_devices))
    here, there = number_of[shared.devices_here], old_number[shared.devices_there]
    both = (here >= 0) & (there >= 0)
    return here[both].astype(np.int64), there[both]
