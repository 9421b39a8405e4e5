"""Hourly and daily roll-ups: summed on the way in, written when they close, mended from the store if data is late."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.quality import Quality
from devices.rollup_names import Width
from gateway.analytics import windows as w
from gateway.analytics.columns import Columns, FleetTables
from gateway.analytics.counters import Counters
from gateway.analytics.late_hours import LateHours
from gateway.analytics.rollup_lines import device_lines, scope_lines, window_start
from gateway.analytics.rollup_parts import Closed, Pending, Point, RollupSource
from gateway.analytics.rollup_scopes import Scopes, ScopeSums
from gateway.analytics.windows import HOUR, Integers, Rows, Windows

GRACE = 10 * 60 * 1_000_000_000
"""A window closes so long after its end [ns]: twice the usual interval. Chosen; what comes later mends it."""
SERIES_AT_ONCE = 10_000
"""Windows that one step closes, so that a full hour of 200,000 devices never holds the line up. Chosen."""
MICROSECOND = 1_000
DAYS_BACK = 31
"""Days that are read back at once for one device. Chosen."""


class Rollups:
    """Everything that is open, late or ready to be written. One thread; no I/O but through the source."""

    def __init__(
        self,
        tables: FleetTables,
        working: Callable[[], tuple[NDArray[np.bool_], NDArray[np.bool_]]],
        listener: Callable[[Closed], None],
    ) -> None:
        """Roll-ups of a fleet.

        Args:
            tables: the fleet.
            working: which devices are lamps, and which of them burn when they should; asked when a window closes.
            listener: is told every device window that closed or was mended.
        """
        self.tables = tables
        self.scopes = Scopes(tables)
        self.hours, self.days = Windows(tables.series_count), Windows(tables.series_count)
        self.moment = np.zeros(tables.series_count, np.uint32)
        """When in the hour of its newest window each series' newest reading was [us]."""
        self.counters = Counters(tables)
        self.late = LateHours()
        self._working = working
        self._sums: dict[tuple[Width, int], ScopeSums] = {}
        self._scope_marks: dict[tuple[int, Width, int], int] = {}
        self._open_days: set[tuple[int, int]] = set()
        """Day and device: days that are read back once they are over."""
        self._next_hours: set[tuple[int, int]] = set()
        """Hour and device: hours whose first reading of a counter follows a late one."""
        self._finished = {Width.HOUR: -1, Width.DAY: -1}
        self._listener = listener
        self._lines: deque[str] = deque()

    # in ------------------------------------------------------------------------------------------------------

    def take(self, columns: Columns) -> None:
        """Add committed readings to their windows; what cannot be added is marked to be read back."""
        series = self.tables.series(columns)
        known = series >= 0
        if not known.all():
            columns, series = columns.only(known), series[known]
        order = np.lexsort((columns.at, series))
        columns, series = columns.only(order), series[order]
        if not len(series):
            return
        same = np.r_[False, series[1:] == series[:-1]]
        repeated = same & np.r_[False, columns.at[1:] == columns.at[:-1]]
        hour = w.hour_number(columns.at)
        # What belongs to an hour that is closed changes nothing of what is remembered.
        back = repeated | (hour <= self.hours.floor) | (columns.at // MICROSECOND <= self._newest(series))
        if back.any():
            self._mark(columns.only(back))
            columns, series = columns.only(~back), series[~back]
        # Sorted: the last assignment of a series is its newest.
        self.moment[series] = (columns.at % HOUR // MICROSECOND).astype(np.uint32)
        counted = self.counters.follow(series, columns)
        for rows in self._by_window(series, columns, counted):
            closed, _ = self.hours.add(rows)
            self._close_hours(closed)

    def _newest(self, series: Integers) -> Integers:
        """When the newest reading of some series was [us UTC]; 0 or less: never."""
        hour: Integers = self.hours.opened[series].astype(np.int64) - 1
        return hour * (HOUR // MICROSECOND) + self.moment[series]

    def _by_window(self, series: Integers, columns: Columns, counted: w.Floats) -> list[Rows]:
        """Sums by series and hour, in rounds in which no series comes twice, older hours first."""
        used = columns.quality < Quality.FAIL
        rows = w.summed(
            Rows(
                series,
                w.hour_number(columns.at),
                used.astype(np.int64),
                np.where(used, counted, 0.0),
                np.where(used, columns.value, np.inf),
                np.where(used, columns.value, -np.inf),
                columns.quality,
            )
        )
        first = np.flatnonzero(np.r_[True, rows.series[1:] != rows.series[:-1]])
        rank = np.arange(len(rows.series)) - np.repeat(first, np.diff(np.r_[first, len(rows.series)]))
        return [rows.only(rank == number) for number in range(int(rank.max(initial=-1)) + 1)]

    def _mark(self, columns: Columns) -> None:
        hours = w.hour_number(columns.at)
        pairs = np.unique(np.stack([columns.device, hours]), axis=1)
        received = int(columns.received.max())
        for device, hour in pairs.T.tolist():
            self.late.add(device, hour, hour, received)

    def _mark_rows(self, rows: Rows, received: int) -> None:
        devices = self.tables.device_of_series(rows.series)
        for device, hour in np.unique(np.stack([devices, rows.window]), axis=1).T.tolist():
            self.late.add(device, hour, hour, received)

    def mark(self, device: int, start: int, stop: int, marked_at: int) -> None:
        """A device's readings between two moments [ns UTC] were decoded or judged anew, or were lost from memory."""
        self.late.add(device, start // HOUR, max(start, stop - 1) // HOUR, marked_at)

    # closing -------------------------------------------------------------------------------------------------

    def tick(self, now: int) -> None:
        """Close windows whose time is over; a bounded number at a time, so call it every second or so."""
        hour = (now - GRACE) // HOUR - 1
        due = self.hours.due(hour)
        now_due = self._some(due)
        self._close_hours(self.hours.take(now_due))
        if len(now_due) < len(due):
            return
        self._finish(Width.HOUR, hour)
        day = (hour + 8) // 24 - 1
        due = self.days.due(day)
        now_due = self._some(due)
        self._emit(Width.DAY, self.days.take(now_due))
        if len(now_due) == len(due):
            self._finish(Width.DAY, day)

    def _some(self, due: Integers) -> Integers:
        """As many as one step closes, and all of each device: a line says how good all its values are together."""
        if len(due) <= SERIES_AT_ONCE:
            return due
        device = self.tables.device_of_series(due)
        last = np.partition(device, SERIES_AT_ONCE)[SERIES_AT_ONCE]
        chosen = device < last
        some: Integers = due[chosen if chosen.any() else device == last]
        return some

    def _close_hours(self, rows: Rows) -> None:
        if not len(rows.series):
            return
        self._emit(Width.HOUR, rows)
        daily = rows._replace(window=w.day_of_hour(rows.window))
        closed, late = self.days.add(daily)
        self._emit(Width.DAY, closed)
        # A day that was closed already: its sums are mended together with its hours.
        if late.any():
            self._mark_rows(rows.only(late), 0)

    def _emit(self, width: Width, rows: Rows, *, mended: bool = False) -> None:
        if not len(rows.series):
            return
        self._lines.extend(device_lines(self.tables, self.counters.are(rows.series), rows, width))
        self._listener(Closed(width, rows, mended))
        for window in np.unique(rows.window).tolist():
            some = rows.only(rows.window == window)
            if mended or window <= self._finished[width]:
                communes = np.unique(self.tables.commune[self.tables.device_of_series(some.series)])
                for commune in communes.tolist():
                    self._scope_marks[commune, width, window] = -1
            else:
                self._sums.setdefault((width, window), ScopeSums()).add(self.scopes.rows(some))

    def _finish(self, width: Width, window: int) -> None:
        """Every device window up to this one is closed: write their groups, zones and communes."""
        self._finished[width] = max(self._finished[width], window)
        for key in sorted(key for key in self._sums if key[0] is width and key[1] <= window):
            self._emit_scopes(self._sums.pop(key), width, key[1])

    def _emit_scopes(self, sums: ScopeSums, width: Width, window: int) -> None:
        lamps, burn = self._working()
        share = self.scopes.share(burn, lamps)
        self._lines.extend(scope_lines(self.scopes, sums.finished(), width, window, share))

    # mending -------------------------------------------------------------------------------------------------

    def mend(self, source: RollupSource, stored_until: int, most: int = 200) -> int:
        """Read back what came late, and write its windows anew.

        Args:
            source: the store. What it raises goes through; what could not be read stays marked.
            stored_until: [ns UTC] everything taken in and every line handed out until then is in the store.
            most: devices and communes at a time.

        Returns:
            How many devices and communes were read back.
        """
        # What was summed in time may have come until the window closed, so that much must be stored.
        safe = stored_until - 2 * GRACE
        closed_before = min(self._finished[Width.HOUR] + 1, safe // HOUR)
        devices = deque(self.late.ready(stored_until, closed_before, most))
        count = len(devices)
        try:
            while devices:
                device, spans = devices[0]
                for first, last in spans:
                    self._mend_span(source, device, first, last, closed_before)
                    self._note_next(source, device, last, stored_until)
                devices.popleft()
        finally:
            for device, spans in devices:
                for first, last in spans:
                    self.late.add(device, first, last, 0)
        for hour, device in sorted(key for key in self._next_hours if key[0] < closed_before)[:most]:
            self._mend_span(source, device, hour, hour, closed_before)
            self._next_hours.discard((hour, device))
        over = sorted(key for key in self._open_days if key[0] <= self._finished[Width.DAY])[:most]
        for day, device in over:
            if w.day_start(day + 1) < safe:
                self._emit(Width.DAY, self._summed_days(self._read(source, device, day, day)), mended=True)
                self._open_days.discard((day, device))
                count += 1
        return count + self._mend_scopes(source, stored_until, most)

    def _mend_scopes(self, source: RollupSource, stored_until: int, most: int) -> int:
        due = [(key, at) for key, at in self._scope_marks.items() if 0 <= at < stored_until]
        ready = [key for key, _ in due if key[2] <= self._finished[key[1]]][:most]
        for commune, width, window in ready:
            sums = ScopeSums()
            sums.add(self.scopes.rows(source.windows(commune, width, window_start(width, window))))
            del self._scope_marks[commune, width, window]
            self._emit_scopes(sums, width, window)
        return len(ready)

    def _mend_span(self, source: RollupSource, device: int, first: int, last: int, closed_before: int) -> None:
        """Write some hours of a device anew, and their days."""
        for day in range((first + 7) // 24, (last + 7) // 24 + 1, DAYS_BACK):
            final = min(day + DAYS_BACK - 1, (last + 7) // 24)
            hours = self._read(source, device, day, final)
            hours = hours.only(hours.window < closed_before)
            self._emit(Width.HOUR, hours.only((hours.window >= first) & (hours.window <= last)), mended=True)
            daily = self._summed_days(hours)
            self._emit(Width.DAY, daily.only(daily.window <= self._finished[Width.DAY]), mended=True)
            # A day that is still open has summed what was wrong.
            self._open_days.update((n, device) for n in range(day, final + 1) if n > self._finished[Width.DAY])

    def _note_next(self, source: RollupSource, device: int, last: int, stored_until: int) -> None:
        """A counter's next reading counted from the one before the late ones: its hour has too much."""
        properties, number = self.tables.registry.profile(device).properties, self.tables.series_of
        counters = [(entry.name, number(device, place)) for place, entry in enumerate(properties) if entry.counter]
        found = source.after(device, (last + 1) * HOUR) if counters else {}
        for name, series in counters:
            newest = self.counters.newest(series)
            if name in found:
                self._next_hours.add((found[name][0] // HOUR, device))
            elif newest >= (last + 1) * HOUR:  # it came, and is not in the store yet
                self.late.add(device, last + 1, newest // HOUR, max(stored_until, newest))

    @staticmethod
    def _summed_days(hours: Rows) -> Rows:
        return w.summed(hours._replace(window=w.day_of_hour(hours.window)))

    def _read(self, source: RollupSource, device: int, first_day: int, last_day: int) -> Rows:
        """The hours of some days of a device, from what is stored."""
        start, stop = w.day_start(first_day), w.day_start(last_day + 1)
        return self._recounted(device, source.readings(device, start, stop), source.before(device, start))

    def _recounted(self, device: int, found: Mapping[str, Sequence[Point]], before: Mapping[str, Point]) -> Rows:
        """The hours of a device, summed from what is stored."""
        parts = []
        for place, entry in enumerate(self.tables.registry.profile(device).properties):
            points = found.get(entry.name, ())
            if not points:
                continue
            at, value, quality = (np.array(column) for column in zip(*points, strict=True))
            series = self.tables.series_of(device, place)
            used, total = quality < Quality.FAIL, value.astype(float)
            if entry.counter:
                base = before.get(entry.name)
                known = (base[0], base[1]) if base is not None and base[2] < Quality.FAIL else None
                total[used] = self.counters.recount(series, total[used], at[used], known)
            parts.append(
                Rows(
                    np.full(len(at), series, np.int64),
                    w.hour_number(at),
                    used.astype(np.int64),
                    np.where(used, total, 0.0),
                    np.where(used, value, np.inf),
                    np.where(used, value, -np.inf),
                    quality.astype(np.uint8),
                )
            )
        return w.summed(Rows.joined(parts))

    # out -----------------------------------------------------------------------------------------------------

    def finished(self, width: Width) -> int:
        """Number of the newest window of which everything is closed and written; -1: none."""
        return self._finished[width]

    def columns(self) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """Packed columns by name for snapshots: one row a series, and one row a counter."""
        series: dict[str, NDArray[Any]] = {"moment": self.moment}
        series |= {f"hours.{name}": column for name, column in self.hours.columns().items()}
        series |= {f"days.{name}": column for name, column in self.days.columns().items()}
        return series, self.counters.columns()

    def pending(self) -> "Pending":
        """What is still to be done, as plain data."""
        windows = [*self._sums, *((width, window) for _, width, window in self._scope_marks)]
        return Pending(
            [self._finished[Width.HOUR], self._finished[Width.DAY]],
            self.late.dump(),
            sorted(self._next_hours),
            sorted(self._open_days),
            sorted({(str(width), window) for width, window in windows}),
        )

    def resume(self, pending: "Pending") -> None:
        """Go on with what was to be done; the sums of groups, zones and communes are read back."""
        self._finished = dict(zip((Width.HOUR, Width.DAY), pending.finished, strict=True))
        self.hours.floor, self.days.floor = pending.finished
        self.late.load(pending.late)
        self._next_hours.update(pending.next_hours)
        self._open_days.update(pending.open_days)
        communes = range(len(self.tables.registry.communes.texts))
        self._scope_marks.update({(c, Width(width), window): -1 for width, window in pending.windows for c in communes})

    def lines(self, now: int, most: int = 5_000) -> list[str]:
        """Finished line protocol for the roll-up database, without newlines; call until there is none."""
        count = min(most, len(self._lines))
        taken = [self._lines.popleft() for _ in range(count)]
        if not self._lines:
            # What was just handed out is what a commune's sums are read back from.
            for key, at in self._scope_marks.items():
                if at < 0:
                    self._scope_marks[key] = now
        return taken
