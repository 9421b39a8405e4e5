"""Closed windows as finished line protocol for the roll-up database."""

import math
from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from devices.rollup_names import (
    COMPLETENESS,
    EXPECTED,
    HEARD,
    QUALITY,
    WORKING,
    Scope,
    Statistic,
    Width,
    field_name,
    measurement_name,
)
from devices.vocabulary import Measurement
from gateway.analytics.columns import MEASUREMENT_OF, MEASUREMENTS, PROPERTIES, FleetTables
from gateway.analytics.rollup_scopes import ScopeRows, Scopes
from gateway.analytics.windows import DAY, HOUR, Rows, day_start

LENGTH = {Width.HOUR: HOUR, Width.DAY: DAY}
_SPECIAL = str.maketrans({" ": "\\ ", ",": "\\,", "=": "\\=", "\n": "\\ ", "\r": "", "\\": "/"})


def window_start(width: Width, window: int) -> int:
    """When a window begins [ns UTC]."""
    return window * HOUR if width is Width.HOUR else day_start(window)


def tag(text: str) -> str:
    """A tag's value, safe in a line: a backslash cannot be escaped in all positions, so it becomes a slash.

    >>> tag("đường trục, thôn Đông")
    'đường\\\\ trục\\\\,\\\\ thôn\\\\ Đông'
    """
    return text.translate(_SPECIAL)


def device_lines(tables: FleetTables, counter: NDArray[np.bool_], rows: Rows, width: Width) -> list[str]:
    """One line for each device, measurement and window, without newlines.

    Args:
        tables: the fleet.
        counter: which of the rows are of a counter.
        rows: closed windows of series.
        width: of these windows.
    """
    device, prop = tables.device_of_series(rows.series), tables.property_of_series(rows.series)
    measurement = MEASUREMENT_OF[prop]
    kind = prop * 2 + counter
    middle = np.where(counter, rows.total, rows.total / np.maximum(rows.readings, 1))
    order = np.lexsort((rows.series, measurement, rows.window, device))
    columns = (device, rows.window, measurement, kind, middle, rows.low, rows.high, rows.readings, rows.worst)
    listed = zip(*(column[order].tolist() for column in columns), strict=True)
    registry, found = tables.registry, []
    for (number, window, domain), members in groupby(listed, key=itemgetter(0, 1, 2)):
        fields, worst, most = [], 0, 0
        for member in members:
            readings = member[7]
            # Without a reading that could be used there is a number (0) and a quality, and nothing else.
            fields.append(_OF_DEVICE[member[3]] % member[4:] if readings else _NONE[member[3] >> 1] % member[8])
            worst, most = max(worst, member[8]), max(most, readings)
        share = min(1.0, most * int(tables.interval[number]) / LENGTH[width])
        found.append(
            f"{_NAMES[Scope.DEVICE, width][domain]},commune={registry.commune(number)},device={registry.names[number]} "
            f"{','.join(fields)},{QUALITY}={worst},{COMPLETENESS}={share:.4g} {window_start(width, window)}"
        )
    return found


def stored_rows(
    tables: FleetTables,
    window: int,
    records: Iterable[tuple[int, Mapping[str, float]]],
) -> Rows:
    """Device windows as ``device_lines`` wrote them, from what the store has of them.

    Args:
        tables: the fleet.
        window: number of the window.
        records: index of a device and the fields of its lines; several measurements may be together.
    """
    found = []
    for device, fields in records:
        for place, entry in enumerate(tables.registry.profile(device).properties):
            readings = fields.get(field_name(entry.name, Statistic.COUNT))
            if readings is None:
                continue
            middle = Statistic.INCREASE if entry.counter else Statistic.MEAN
            total = fields.get(field_name(entry.name, middle), 0.0)
            found.append(
                (
                    device,
                    place,
                    window,
                    int(readings),
                    total if entry.counter else total * readings,
                    fields.get(field_name(entry.name, Statistic.MIN), math.inf),
                    fields.get(field_name(entry.name, Statistic.MAX), -math.inf),
                    int(fields.get(field_name(entry.name, Statistic.QUALITY), 1)),
                )
            )
    if not found:
        return Rows.empty()
    kinds = (np.int64, np.int64, np.int64, np.int64, np.float64, np.float64, np.float64, np.uint8)
    columns = [np.array(column, kind) for column, kind in zip(zip(*found, strict=True), kinds, strict=True)]
    return Rows(tables.numbers.of(*columns[:2]), *columns[2:])


def scope_lines(scopes: Scopes, rows: ScopeRows, width: Width, window: int, working: NDArray[np.float64]) -> list[str]:
    """One line for each group, zone or commune and measurement, without newlines.

    Args:
        scopes: the fleet's groups, zones and communes.
        rows: sums of one window.
        width: of the window.
        window: its number.
        working: share of each scope's lamps that work; NaN where it has none or nobody knows.
    """
    scope, prop = scopes.scope_of(rows.code), scopes.property_of(rows.code)
    measurement, counter = MEASUREMENT_OF[prop], scopes.is_counter(prop)
    kind = prop * 2 + counter
    mean = np.where(counter, rows.total, rows.total / np.maximum(rows.devices, 1))
    order = np.lexsort((prop, measurement, scope))
    columns = (
        scope, measurement, kind, mean, rows.low, rows.high, rows.readings, rows.worst, rows.devices,
        rows.adding, rows.added, rows.heard,
    )  # fmt: skip
    listed = zip(*(column[order].tolist() for column in columns), strict=True)
    found = []
    for (number, domain), members in groupby(listed, key=itemgetter(0, 1)):
        fields, worst, most = [], 0, 0
        for member in members:
            code, worst_of, devices, adding, sum_of, heard = member[2], *member[7:]
            fields.append(_OF_SCOPE[code] % member[3:9] if devices else _NONE[code >> 1] % worst_of)
            if adding and not code & 1:
                fields.append(_SUM[code >> 1] % sum_of)
            worst, most = max(worst, worst_of), max(most, heard)
        fields.append(f"{QUALITY}={worst},{HEARD}={most},{EXPECTED}={int(scopes.expected[number, domain])}")
        if MEASUREMENTS[domain] is Measurement.STREETLIGHT and not math.isnan(working[number]):
            fields.append(f"{WORKING}={float(working[number]):.12g}")
        level, commune, name = scopes.names[number]
        tags = f"commune={tag(commune)}" + ("" if level is Scope.COMMUNE else f",{level}={tag(name)}")
        found.append(f"{_NAMES[level, width][domain]},{tags} {','.join(fields)} {window_start(width, window)}")
    return found


def _template(name: str, *statistics: Statistic) -> str:
    whole = (Statistic.COUNT, Statistic.QUALITY, Statistic.DEVICES)
    return ",".join(f"{field_name(name, s)}=%{'d' if s in whole else '.12g'}" for s in statistics)


_ENDS = (Statistic.MIN, Statistic.MAX, Statistic.COUNT, Statistic.QUALITY)
# Compiled once: a full hour of 200,000 devices is more than a million of these. Even numbers are values, odd counters.
_OF_DEVICE = [
    _template(entry.name, middle, *_ENDS) for entry in PROPERTIES for middle in (Statistic.MEAN, Statistic.INCREASE)
]
_OF_SCOPE = [
    _template(entry.name, middle, *_ENDS, Statistic.DEVICES)
    for entry in PROPERTIES
    for middle in (Statistic.MEAN, Statistic.INCREASE)
]
_SUM = [_template(entry.name, Statistic.SUM) for entry in PROPERTIES]
_NONE = [
    f"{field_name(entry.name, Statistic.COUNT)}=0,{_template(entry.name, Statistic.QUALITY)}" for entry in PROPERTIES
]
_NAMES = {
    (scope, width): [measurement_name(measurement, scope, width) for measurement in MEASUREMENTS]
    for scope in Scope
    for width in Width
}
