"""Groups, zones and communes: who belongs to them, and the sums over their devices' windows."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.rollup_names import ADDS_UP, Scope
from gateway.analytics.columns import MEASUREMENT_OF, MEASUREMENTS, PROPERTIES, PROPERTY_NUMBER, FleetTables, distinct
from gateway.analytics.fleet_lighting import circuit_meters, metered_once
from gateway.analytics.windows import Floats, Integers, Rows

MERGE_AFTER = 16
"""Parts that are kept side by side before they are added up. Chosen."""


class ScopeRows(NamedTuple):
    """Sums over the devices of groups, zones and communes; a code stands for one scope and one property."""

    code: Integers
    heard: Integers
    """Devices with a reading that could be used."""
    devices: Integers
    """Those of them that the next four speak of: not a circuit's meter beside its lamps."""
    readings: Integers
    total: Floats
    """Sum of the devices' means; of counters, of what they counted."""
    low: Floats
    high: Floats
    worst: NDArray[np.uint8]
    """Of all."""
    adding: Integers
    """Devices that are added up, each watt once."""
    added: Floats
    """Sum of their means; of counters, of what they counted."""


class Scopes:
    """Every group, zone and commune of a fleet, numbered."""

    def __init__(self, tables: FleetTables) -> None:
        registry = tables.registry
        self.names: list[tuple[Scope, str, str]] = []
        """Level, commune key and name of each."""
        numbers: dict[tuple[Scope, str, str], int] = {}

        def number(level: Scope, commune: str, name: str) -> int:
            key = (level, commune, name)
            found = numbers.get(key)
            if found is None:
                found = numbers[key] = len(self.names)
                self.names.append(key)
            return found

        places, place = distinct(tables.commune, tables.zone, tables.group)
        scopes = np.full((3, len(places)), -1, np.int32)
        for column, (commune, zone, group) in enumerate(places):
            key, zone_name = registry.communes.texts[commune], registry.zones.texts[zone]
            group_name = registry.groups.texts[group].partition("/")[2]
            scopes[:, column] = (
                number(Scope.COMMUNE, key, key),
                number(Scope.ZONE, key, zone_name) if zone_name else -1,
                number(Scope.GROUP, key, group_name) if group_name else -1,
            )
        self.of = scopes[:, place]
        """The commune, zone and group of each device; -1 where it is in none."""
        self._tables = tables
        self._counters = _counter_properties(tables)
        self._is_meter = circuit_meters(tables)
        self._adds = metered_once(tables, ADDS_UP)
        self._adding_up = np.full(len(PROPERTIES), -1, np.int64)
        """Which of the properties that add up each property is; -1 for the others."""
        self._adding_up[[PROPERTY_NUMBER[name] for name in ADDS_UP]] = np.arange(len(ADDS_UP))
        self.expected = self._expected()
        """How many devices of each scope measure something of each measurement."""

    def _expected(self) -> Integers:
        measures = np.zeros((max(1, len(self._tables.registry.profiles)), len(MEASUREMENTS)), np.int64)
        for number, profile in enumerate(self._tables.registry.profiles):
            for entry in profile.properties:
                measures[number, MEASUREMENT_OF[PROPERTY_NUMBER[entry.name]]] = 1
        found = np.zeros((len(self.names), len(MEASUREMENTS)), np.int64)
        for level in self.of:
            inside = level >= 0
            np.add.at(found, level[inside], measures[self._tables.profile[inside]])
        return found

    def scope_of(self, code: Integers) -> Integers:
        """The scope that a code stands for."""
        return code // len(PROPERTIES)

    def property_of(self, code: Integers) -> Integers:
        """The property that a code stands for."""
        return code % len(PROPERTIES)

    def is_counter(self, prop: Integers) -> NDArray[np.bool_]:
        """Whether some profile counts with a property; a property is a counter everywhere or nowhere."""
        return self._counters[prop]

    def rows(self, rows: Rows) -> ScopeRows:
        """The sums over the devices of closed windows, which must all be of one window."""
        device, prop = self._tables.device_of_series(rows.series), self._tables.property_of_series(rows.series)
        used = rows.readings > 0
        mean = np.divide(rows.total, rows.readings, out=np.zeros(len(used)), where=used)
        total = np.where(self._counters[prop], rows.total, mean)
        place = self._adding_up[prop]
        adds = used & ((place < 0) | self._adds[device, place])
        each = np.where(self._counters[prop], adds, used & ((place < 0) | ~self._is_meter[device]))
        whole = ScopeRows(
            prop,
            used.astype(np.int64),
            each.astype(np.int64),
            np.where(each, rows.readings, 0),
            np.where(each, total, 0.0),
            np.where(each, rows.low, np.inf),
            np.where(each, rows.high, -np.inf),
            rows.worst,
            adds.astype(np.int64),
            np.where(adds, total, 0.0),
        )
        parts = []
        for level in self.of:
            scope = level[device]
            inside = scope >= 0
            part = ScopeRows(*(column[inside] for column in whole))
            parts.append(part._replace(code=scope[inside] * len(PROPERTIES) + part.code))
        return added(parts)

    def share(self, flag: NDArray[np.bool_], among: NDArray[np.bool_]) -> Floats:
        """The share of each scope's devices that have a flag; NaN where none of its devices is asked."""
        asked, having = np.zeros(len(self.names)), np.zeros(len(self.names))
        for level in self.of:
            inside = (level >= 0) & among
            np.add.at(asked, level[inside], 1.0)
            np.add.at(having, level[inside], flag[inside].astype(float))
        share: Floats = np.divide(having, asked, out=np.full(len(asked), np.nan), where=asked > 0)
        return share


class ScopeSums:
    """The sums of one window while its devices' windows close one after the other."""

    def __init__(self) -> None:
        self._parts: list[ScopeRows] = []

    def add(self, rows: ScopeRows) -> None:
        """Add some devices."""
        self._parts.append(rows)
        if len(self._parts) >= MERGE_AFTER:
            self._parts = [added(self._parts)]

    def finished(self) -> ScopeRows:
        """The sums over all devices so far."""
        return added(self._parts)


def added(parts: list[ScopeRows]) -> ScopeRows:
    """Several sums as one."""
    if not parts:
        whole, real = np.empty(0, np.int64), np.empty(0)
        return ScopeRows(whole, whole, whole, whole, real, real, real, np.empty(0, np.uint8), whole, real)
    joined = ScopeRows(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    if not len(joined.code):
        return joined
    order = np.argsort(joined.code, kind="stable")
    code = joined.code[order]
    first = np.flatnonzero(np.r_[True, code[1:] != code[:-1]])
    sums = ScopeRows(*(np.add.reduceat(column[order], first) for column in joined))
    return sums._replace(
        code=code[first],
        low=np.minimum.reduceat(joined.low[order], first),
        high=np.maximum.reduceat(joined.high[order], first),
        worst=np.maximum.reduceat(joined.worst[order], first),
    )


def _counter_properties(tables: FleetTables) -> NDArray[np.bool_]:
    found = np.zeros(len(PROPERTIES), np.bool_)
    for profile in tables.registry.profiles:
        for entry in profile.properties:
            if entry.counter:
                found[PROPERTY_NUMBER[entry.name]] = True
    return found
