"""The analytics room as the line sees it: committed readings in; alerts, roll-ups, indices out; state saved whole."""

from collections.abc import Sequence
from typing import NamedTuple

from devices.alert_rules import AlertState
from devices.registry import Registry
from devices.rollup_names import Width
from devices.standards import Standards, shipped
from gateway.analytics import rollup_state
from gateway.analytics.alert_book import AlertChange
from gateway.analytics.alert_texts import change_line, count_lines
from gateway.analytics.alerts import Alerts
from gateway.analytics.columns import Buffer, Columns, FleetTables
from gateway.analytics.device_states import DeviceStates
from gateway.analytics.indices import Indices
from gateway.analytics.lighting_days import LightingDays
from gateway.analytics.packed import dump, from_parts, load, match, to_parts
from gateway.analytics.rollup_parts import Closed, RollupSource
from gateway.analytics.rollups import Rollups
from gateway.analytics.standing_alerts import StandingAlerts
from gateway.line.snapshot import Bytes
from gateway.line.state import State
from gateway.model import Reading

COUNT_EVERY = 60_000_000_000
"""How often the alerts of every commune are counted for the store [ns]."""


class Written(NamedTuple):
    """Finished line protocol, without newlines."""

    raw: list[str]
    """Measurements ``index``, ``alert``, ``device`` and ``lighting_day``."""
    rollup: list[str]
    """Roll-ups, for their own database."""


class Analytics:
    """Everything the gateway makes of readings. One thread; the caller asks it to look at the clock."""

    def __init__(self, registry: Registry, now: int, standards: Standards | None = None) -> None:
        """A room for a fleet, which begins to listen now [ns UTC]."""
        standards = standards or shipped()
        self.tables = FleetTables(registry)
        self.alerts = Alerts(self.tables, now, standards)
        self.indices = Indices(self.tables, self.alerts, standards)
        streets = self.alerts.streets
        self.lighting = LightingDays(self.tables, streets.fleet, standards.lighting, standards.energy)
        self.rollups = Rollups(self.tables, streets.working, self._closed)
        self.states = DeviceStates(self.tables)
        self._standing = StandingAlerts(self.alerts.book)
        self._news, self._old = Buffer(self._take), Buffer(self.rollups.take)
        self._lines: list[str] = []
        self._counted_at = 0
        self.has_sums = False
        """It goes on with the sums of windows that a snapshot had."""

    def observe(self, readings: Sequence[Reading], now: int) -> None:
        """Committed readings, in the order of their commits. Cheap: they are looked at many at a time.

        Args:
            readings: of the line.
            now: [ns UTC]; not used for judging, which goes by the readings' own times.
        """
        del now
        self._news.add(readings)

    def observe_old(self, readings: Sequence[Reading]) -> None:
        """Committed readings from a file: they are summed and raise no alert."""
        self._old.add(readings)

    def take(self, columns: Columns, *, old: bool) -> None:
        """The same, column by column; ``old`` ones are from a file."""
        if old:
            self.rollups.take(columns)
        else:
            self._take(columns)

    def _take(self, columns: Columns) -> None:
        self.alerts.take(columns)
        self.rollups.take(columns)

    def _closed(self, closed: Closed) -> None:
        self.indices.closed(closed)
        self.lighting.closed(closed)

    def tick(self, now: int) -> list[AlertChange]:
        """Look at the clock: once a second or so.

        Returns:
            Every change of an alert, in order; those with ``notify`` are to be told to people.
        """
        self._news.flush()
        self._old.flush()
        self.rollups.tick(now)
        self._lines += self.indices.tick(self.rollups.finished(Width.HOUR))
        self._lines += self.lighting.tick(self.rollups.finished(Width.DAY))
        changes = self.alerts.tick(now)
        self._lines += [change_line(change) for change in changes]
        self._lines += self._standing.lines(changes, now)
        if now - self._counted_at >= COUNT_EVERY or now < self._counted_at:
            self._counted_at = now
            communes = self.tables.registry.communes.texts
            self._lines += count_lines(self.alerts.book.current(), communes, now)
        return changes

    def tell_states(self, state: State, now: int) -> None:
        """Write how devices are, where that is due; as often as ``tick``.

        Args:
            state: what the line knows of the devices; of another fleet than the room's, it is left for the next time.
            now: [ns UTC]
        """
        if state.registry is self.tables.registry and self.states.is_due(now):
            silent, alerts = self.alerts.silence.silent(), self.alerts.book.current()
            self._lines += self.states.lines(state, silent, alerts, now)

    def written(self, now: int) -> Written:
        """Lines to be committed to the journal, at most some thousands; ask again while there are any."""
        lines, self._lines = self._lines, []
        return Written(lines, self.rollups.lines(now))

    def mend(self, source: RollupSource, stored_until: int, most: int) -> int:
        """Read back what came late; see ``Rollups.mend``."""
        return self.rollups.mend(source, stored_until, most)

    def firing(self) -> list[AlertChange]:
        """Alerts that are firing or acknowledged now."""
        return [c for c in self.alerts.book.current() if c.state in (AlertState.FIRING, AlertState.ACKNOWLEDGED)]

    def snapshot(self, *, rollups: bool = True) -> list[Bytes]:
        """Everything a new room needs to go on, to be written before the room goes on; hand out every line before.

        Args:
            rollups: with the sums of open windows, 75 bytes a series. They can be left out of a frequent snapshot:
                whoever resumes without them marks every device from the start of the day on, and they are read back.
                What was to be read back anyway is in every snapshot.
        """
        self._news.flush()
        self._old.flush()
        parts: dict[str, Bytes] = {"indices": self.indices.snapshot()}
        parts |= {"states.fleet": self.tables.signature, **dump(self.states.columns())}
        parts |= {f"lighting.{number}": part for number, part in enumerate(self.lighting.snapshot())}
        parts |= {f"alerts.{number}": part for number, part in enumerate(self.alerts.snapshot())}
        if rollups:
            parts |= {f"rollups.{number}": part for number, part in enumerate(rollup_state.snapshot(self.rollups))}
        else:
            parts["to_mend"] = rollup_state.to_mend(self.rollups)
        return to_parts(parts)

    def file(self, now: int, *, whole: bool) -> list[Bytes]:
        """The parts of a file to resume from: when it was made [ns UTC], whether with all sums, and the snapshot."""
        return [b"%d %d" % (now, whole), *self.snapshot(rollups=whole)]

    @staticmethod
    def read_header(header: Bytes) -> tuple[int, bool]:
        """When such a file was made [ns UTC], and whether with all sums.

        Raises:
            ValueError: it is none.
        """
        made_at, whole = (int(word) for word in bytes(header).split())
        return made_at, bool(whole)

    @classmethod
    def resumed(
        cls, registry: Registry, now: int, parts: Sequence[Bytes], standards: Standards | None = None
    ) -> "Analytics":
        """A room that goes on from a snapshot, also of another fleet; an empty one where the snapshot cannot be used.

        What the fleet said after the snapshot has to be marked: ``rollups.mark`` for each device that was heard since.
        Sums that another version wrote are left out, since the store has what they were made of (``has_sums`` tells):
        alerts, and who takes care of them, are kept over an upgrade.
        """
        room = cls(registry, now, standards)
        try:
            saved = from_parts(parts)
            lighting, alerts, sums = (
                [part for name, part in saved.items() if name.startswith(f"{word}.")]
                for word in ("lighting", "alerts", "rollups")
            )
            good = room.indices.restore(bytes(saved["indices"]))
            good = good and room.lighting.restore(lighting) and room.alerts.restore(alerts)
            if good and sums and not rollup_state.restore(room.rollups, sums):
                without = {name: part for name, part in saved.items() if not name.startswith("rollups.")}
                without["to_mend"] = rollup_state.to_mend_of(sums)
                return cls.resumed(registry, now, to_parts(without), standards)
            good = good and ("to_mend" not in saved or rollup_state.take_to_mend(room.rollups, bytes(saved["to_mend"])))
            shared = match(saved["states.fleet"], room.tables)
            load(room.states.columns(), saved, shared.devices_here, shared.devices_there)
        except (ValueError, KeyError, IndexError, TypeError):
            good = False
        if not good:
            return cls(registry, now, standards)
        room.has_sums = bool(sums)
        return room
