"""The store as the roll-ups read it back: what came late is summed again from what is stored."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from devices.rollup_names import Scope, Width, measurement_name
from devices.vocabulary import VOCABULARY
from gateway.analytics.columns import FleetTables
from gateway.analytics.rollup_lines import LENGTH, stored_rows
from gateway.analytics.rollup_parts import Point
from gateway.analytics.windows import Rows, day_number, hour_number
from gateway.model import Store, StoredLine, StoreUnavailableError

LINES_AT_ONCE = 100_000
"""More than a device says in a month; bounds what one question may bring."""
NEIGHBOURS = 10
"""Lines looked through for a counter's neighbour: a device may leave it out of some messages."""
FAR = 40 * 86_400_000_000_000
"""How far away a counter's neighbour is looked for [ns]."""


class StoreSource:
    """Implements ``rollup_parts.RollupSource`` on any store."""

    def __init__(self, store: Store, tables: FleetTables, stopped: Callable[[], bool] = lambda: False) -> None:
        """
        Args:
            store: what is asked.
            tables: the fleet.
            stopped: once true, nothing more is asked: some hundred questions of a busy store take a minute.
        """
        self._store, self._tables, self._stopped = store, tables, stopped

    def readings(self, device: int, start: int, stop: int) -> Mapping[str, Sequence[Point]]:
        """See ``RollupSource.readings``."""
        found: dict[str, list[Point]] = {}
        for line in self._lines(device, start, stop, LINES_AT_ONCE, newest=False):
            for name, point in _points(line):
                found.setdefault(name, []).append(point)
        return found

    def before(self, device: int, at: int) -> Mapping[str, Point]:
        """See ``RollupSource.before``."""
        return self._first(self._lines(device, at - FAR, at, NEIGHBOURS, newest=True))

    def after(self, device: int, at: int) -> Mapping[str, Point]:
        """See ``RollupSource.after``."""
        return self._first(self._lines(device, at, at + FAR, NEIGHBOURS, newest=False))

    def windows(self, commune: int, width: Width, start: int) -> Rows:
        """See ``RollupSource.windows``."""
        registry = self._tables.registry
        key = registry.communes.texts[commune]
        merged: dict[int, dict[str, float]] = {}
        for measurement in sorted({entry.measurement for entry in VOCABULARY.values()}):
            name = measurement_name(measurement, Scope.DEVICE, width)
            for line in self._ask(name, key, None, start, start + LENGTH[width], 1):
                device = registry.index.get(line.device)
                if device is not None:
                    merged.setdefault(device, {}).update(line.fields)
        number = hour_number if width is Width.HOUR else day_number
        window = int(number(start))  # type: ignore[arg-type]  # plain integers divide alike
        return stored_rows(self._tables, window, merged.items())

    def _lines(self, device: int, start: int, stop: int, limit: int, *, newest: bool) -> list[StoredLine]:
        registry = self._tables.registry
        profile, commune, name = registry.profile(device), registry.commune(device), registry.names[device]
        measurements = sorted({VOCABULARY[entry.name].measurement for entry in profile.properties})
        return [
            line
            for measurement in measurements
            for line in self._ask(measurement, commune, name, start, stop, limit, newest=newest)
        ]

    def _ask(
        self, measurement: str, commune: str, device: str | None, start: int, stop: int, limit: int, *,
        newest: bool = False,
    ) -> Iterable[StoredLine]:  # fmt: skip
        if self._stopped():
            raise StoreUnavailableError("the gateway is stopping")
        return self._store.lines(measurement, commune, device, start, stop, limit, newest=newest)

    @staticmethod
    def _first(lines: Sequence[StoredLine]) -> dict[str, Point]:
        found: dict[str, Point] = {}
        for line in lines:
            for name, point in _points(line):
                found.setdefault(name, point)
        return found


def _points(line: StoredLine) -> list[tuple[str, Point]]:
    worst = line.fields.get("quality", 1.0)
    return [
        (name, (line.time, value, int(line.fields.get(f"{name}_quality", worst))))
        for name, value in line.fields.items()
        if name in VOCABULARY
    ]
