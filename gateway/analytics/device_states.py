"""How every device is, for the store: a line an hour with its position, and one at once when its state changes."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from devices.alert_rules import AlertState, Severity
from devices.quality import Quality
from devices.storage import STATE_SECONDS, Condition, DeviceState, Table, fields
from gateway.analytics.alert_book import AlertChange
from gateway.analytics.columns import FleetTables
from gateway.analytics.packed import PackedColumns
from gateway.analytics.rollup_lines import tag
from gateway.line.glance import column, worst_quality
from gateway.line.state import OFFLINE, State

LOOK_EVERY = 10_000_000_000
"""[ns] A change is written so soon. Chosen, as for silence and circuits."""
MOST_AT_ONCE = 5_000
"""Lines of one look: a province that goes silent, or is new, takes some minutes and holds nothing up. Chosen."""
PERIOD = STATE_SECONDS * 1_000_000_000
UNWRITTEN = 255
"""Code of a device that has no line yet."""
BY_SEVERITY = {Severity.WARNING: Condition.WARNING, Severity.CRITICAL: Condition.CRITICAL}
OWN_CONDITION = ("silent", "commune")
"""Kinds of alerts of silence, which is a condition of its own."""

Integers = NDArray[np.int64]


class DeviceStates:
    """What was written of each device, and when. Each has its own second of the hour, so that they spread over it."""

    def __init__(self, tables: FleetTables) -> None:
        self._tables = tables
        self._code = np.full(tables.count, UNWRITTEN, np.uint8)
        self._written_at = np.zeros(tables.count, np.int64)
        """[ns UTC]"""
        self._offset = np.arange(tables.count, dtype=np.int64) * PERIOD // max(tables.count, 1)
        self._looked_at = 0

    def is_due(self, now: int) -> bool:
        """Whether to look; also after the clock was set back."""
        return not 0 <= now - self._looked_at < LOOK_EVERY

    def lines(self, state: State, silent: NDArray[np.bool_], alerts: Iterable[AlertChange], now: int) -> list[str]:
        """Finished line protocol, without newlines, of devices that changed or whose hour is over; a bounded number.

        Args:
            state: what the line knows, of the same fleet.
            silent: devices whose silence is an alert.
            alerts: every alert that is not resolved.
            now: [ns UTC]
        """
        self._looked_at = now
        code = self._codes(state, silent, alerts)
        # The moment of each device's hour that was last; a line before it is old, one after now is of a wrong clock.
        turn = now - (now - self._offset) % PERIOD
        due = (code != self._code) | (self._written_at < turn) | (self._written_at > now)
        chosen = np.flatnonzero(due)[:MOST_AT_ONCE]
        self._code[chosen], self._written_at[chosen] = code[chosen], now
        registry = self._tables.registry
        latitude, longitude = registry.latitude, registry.longitude
        return [
            f"{Table.DEVICE},commune={tag(registry.commune(device))},device={registry.names[device]} "
            f"{fields(DeviceState(_known(latitude[device]), _known(longitude[device]), number))} {now}"
            for device, number in zip(chosen.tolist(), code[chosen].tolist(), strict=True)
        ]

    def _codes(self, state: State, silent: NDArray[np.bool_], alerts: Iterable[AlertChange]) -> NDArray[np.uint8]:
        """``Condition`` by device: the greatest that applies."""
        code = np.zeros(self._tables.count, np.uint8)
        for condition, applies in (
            (Condition.SUSPECT, worst_quality(state) >= Quality.SUSPECT),
            (Condition.NEVER, column(state.seen) == 0),
            (Condition.OFFLINE, column(state.status) == OFFLINE),
            (Condition.SILENT, silent),
        ):
            code[applies] = condition
        index = self._tables.registry.index
        for alert in alerts:
            device = index.get(alert.place.device)
            is_told = alert.state in (AlertState.FIRING, AlertState.ACKNOWLEDGED)
            if device is not None and is_told and alert.rule.kind not in OWN_CONDITION:
                code[device] = max(int(code[device]), BY_SEVERITY.get(alert.severity, Condition.OK))
        return code

    def columns(self) -> PackedColumns:
        """Every column by name, for snapshots: one row a device."""
        return {"states.code": self._code, "states.written_at": self._written_at}


def _known(degrees: float) -> float | None:
    """None where the fleet does not say where a device stands."""
    return None if degrees != degrees else degrees
