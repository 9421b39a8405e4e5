"""What a commune's lighting used in a day, by cabinet too, and saved against the baseline of its lamps of before."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from devices.alert_names import NOBODY
from devices.lighting_tables import Lighting
from devices.limit_tables import Energy
from devices.rollup_names import Width
from devices.storage import LightingDay, Table, fields
from gateway.analytics.columns import PROPERTY_NUMBER, FleetTables
from gateway.analytics.energy import Baseline, Saving, lamps_baseline, saving
from gateway.analytics.fleet_lighting import FleetLighting, metered_once
from gateway.analytics.packed import dump, from_parts, load, match, to_parts
from gateway.analytics.rollup_lines import tag
from gateway.analytics.rollup_parts import Closed
from gateway.analytics.windows import HOUR, day_start
from gateway.line.snapshot import Bytes

KEPT_DAYS = 7
"""Days whose energy is remembered, so that late data corrects them. Chosen."""
_ENERGY = PROPERTY_NUMBER["energy"]


class LightingDays:
    """Daily energy by commune; counted once: by the cabinet where a circuit has one that counts, else by its lamps."""

    def __init__(self, tables: FleetTables, fleet: FleetLighting, lighting: Lighting, energy: Energy) -> None:
        self._tables, self._lighting, self._energy, self._fleet = tables, lighting, energy, fleet
        self._is_meter = (fleet.lamp_of >= 0) | (fleet.cabinet_of >= 0)
        self._is_meter &= metered_once(tables, ("energy",))[:, 0]
        self._lamps = np.bincount(tables.commune[fleet.lamps], minlength=len(tables.registry.communes.texts))
        self._used: dict[int, NDArray[np.float64]] = {}
        """[kW.h] of each device, by day; NaN where nothing is known."""
        self._touched: set[tuple[int, int]] = set()
        """Day and commune."""
        self._metered: set[tuple[int, int]] = set()
        """Day and cabinet."""

    def closed(self, closed: Closed) -> None:
        """Hear of windows that closed or were mended; a listener of the roll-ups."""
        if closed.width is not Width.DAY:
            return
        rows = closed.rows
        device = self._tables.device_of_series(rows.series)
        chosen = (
            (self._tables.property_of_series(rows.series) == _ENERGY) & self._is_meter[device] & (rows.readings > 0)
        )
        days, device, total = rows.window[chosen], device[chosen], rows.total[chosen]
        for day in np.unique(days).tolist():
            now = days == day
            self._used.setdefault(day, np.full(self._tables.count, np.nan))[device[now]] = total[now]
            self._touched.update((day, commune) for commune in np.unique(self._tables.commune[device[now]]).tolist())
            cabinets = device[now & (self._fleet.cabinet_of[device] >= 0)]
            self._metered.update((day, cabinet) for cabinet in cabinets.tolist())
        for old in [day for day in self._used if day <= max(self._used) - KEPT_DAYS]:
            del self._used[old]

    def tick(self, finished_day: int) -> Iterator[str]:
        """Finished line protocol of the days that are over, without newlines.

        Args:
            finished_day: the newest day since 1970 of which every window is closed.
        """
        registry = self._tables.registry
        for day, commune in _due(self._touched, finished_day):
            used, known = self.used(day, commune), self.saving(day, commune)
            if used is not None:
                saved = () if known is None else (known[1].kwh, known[1].vnd, known[1].kg_co2)
                yield _line(registry.communes.texts[commune], NOBODY, LightingDay(used, *saved), day)
        for day, cabinet in _due(self._metered, finished_day):
            if day in self._used:
                entry = LightingDay(float(self._used[day][cabinet]))
                yield _line(registry.commune(cabinet), registry.names[cabinet], entry, day)

    def used(self, day: int, commune: int) -> float | None:
        """Energy [kW.h] of one of the last seven days; None if none was metered."""
        known = self._used.get(day)
        if known is None:
            return None
        used = known[(self._tables.commune == commune) & ~np.isnan(known)]
        return float(used.sum()) if len(used) else None

    def saving(self, day: int, commune: int) -> tuple[float, Saving] | None:
        """Energy used [kW.h] and what was saved, with its method in words; None without a baseline or without energy.

        Args:
            day: Vietnamese calendar day since 1970; one of the last seven.
            commune: number in the registry.
        """
        total, baseline = self.used(day, commune), self._baseline(day, commune)
        if total is None or baseline is None:
            return None
        return total, saving({date(1970, 1, 1) + timedelta(days=day): total}, baseline, self._energy)

    def _baseline(self, day: int, commune: int) -> Baseline | None:
        """The lamps of before, each burning the whole of that day's darkness as its schedule switches it."""
        known = self._lighting.baseline_of(self._tables.registry.communes.texts[commune])
        lamps = int(self._lamps[commune])
        if known is None or not lamps:
            return None
        here = self._tables.commune[self._fleet.lamps] == commune
        number = int(np.bincount(self._fleet.lamp_plan[here]).argmax())
        plan, start, stop = self._fleet.plans[number], day_start(day), day_start(day + 1)
        dark = 0
        for night in (plan.night_number(start), plan.night_number(stop - 1)):
            changes = plan.night(night).changes
            if len(changes):
                dark += max(0, min(int(changes[-1]), stop) - max(int(changes[0]), start))
        found = lamps_baseline(lamps, known.watts_each, dark / HOUR)
        method = found.method
        words = method.model_copy(
            update={"vi": f"{method.vi} ({known.source.vi})", "en": f"{method.en} ({known.source.en})"}
        )
        return found._replace(method=words)

    def snapshot(self) -> list[Bytes]:
        """The days and whose they are."""
        columns = dump({f"day.{day}": used for day, used in self._used.items()})
        return to_parts({"fleet": self._tables.signature, **columns})

    def restore(self, parts: Sequence[Bytes]) -> bool:
        """Take a snapshot over, also one of another fleet; False if it cannot be used."""
        try:
            saved = from_parts(parts)
            shared = match(saved.pop("fleet"), self._tables)
            used = {name: np.full(self._tables.count, np.nan) for name in saved}
            load(used, saved, shared.devices_here, shared.devices_there)
            self._used = {int(name.removeprefix("day.")): column for name, column in used.items()}
        except (ValueError, KeyError, IndexError, TypeError):
            return False
        return True


def _due(touched: set[tuple[int, int]], finished_day: int) -> list[tuple[int, int]]:
    """Take out what is over, the oldest first."""
    due = sorted(key for key in touched if key[0] <= finished_day)
    touched.difference_update(due)
    return due


def _line(commune: str, device: str, entry: LightingDay, day: int) -> str:
    return f"{Table.LIGHTING_DAY},commune={tag(commune)},device={device} {fields(entry)} {day_start(day)}"
