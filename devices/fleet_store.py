"""The fleet in one SQLite file: devices, their hardware ids and calibrations with dates, and what was changed when."""

import gc
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from devices.fleet_csv import FleetError, Problem, load_fleet
from devices.fleet_row import ALWAYS, Calibration, FleetRow, HardwareId, describe
from devices.profile import Profile
from devices.registry import Columns, Registry
from devices.topics import Source

SUFFIXES = {".db", ".sqlite", ".sqlite3"}
APPLICATION = 0x56464C54
"""SQLite's application id of a fleet; ``fleet.sql`` sets it."""
SCHEMA_VERSION = 1
_PLAIN = tuple(name for name in FleetRow.model_fields if name not in {"hardware_ids", "calibration"})
_COLUMNS = ", ".join(f'"{name}"' for name in _PLAIN)
BUSY_SECONDS = 10.0
"""How long a change waits for another one. Chosen: an import's commit takes about a second."""
_CHUNK = 4_000
"""Devices read at once: what loading leaves between the names that stay is memory nobody gets back. Chosen."""


class Change(NamedTuple):
    """What became, or would become, of one device."""

    device: str
    what: str
    """``added``, ``adopted``, ``changed``, ``replaced`` or ``removed``."""
    detail: str
    """For a person: the columns that change, from what to what."""
    at: int = 0
    """Nanoseconds UTC; 0 for a change that has not been made."""


def is_fleet_store(path: Path) -> bool:
    """Whether a path names a fleet database rather than a CSV file."""
    return path.suffix.casefold() in SUFFIXES


def open_fleet(path: Path, profiles: Iterable[Profile], sources: Sequence[Source] = ()) -> Registry:
    """The registry of a fleet file: a database if its name ends in ``.db``, else CSV.

    Raises:
        FleetError: it cannot be used; one line a problem.
    """
    if not is_fleet_store(path):
        return load_fleet(path, profiles, sources)
    with FleetStore(path) as store:
        return store.load(profiles, sources)


class FleetStore:
    """One fleet database. Others may read it meanwhile; what ``changing`` encloses is seen whole or not at all."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Open it; with ``create`` also to write, and a missing one is made.

        Raises:
            FleetError: there is none, it is no fleet, of a newer version, or not readable.
        """
        self.path = path
        if not create and not path.exists():
            raise self._error("no such file; make it with `village devices import FLEET.csv`, or set gateway.fleet")
        try:
            mode = "rwc" if create else "ro"
            self._database = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=BUSY_SECONDS
            )
            self._prepare(create=create)
        except sqlite3.Error as error:
            raise self._error(f"cannot be opened as a fleet: {error}") from error

    def _prepare(self, *, create: bool) -> None:
        database = self._database
        self._made = False
        # A transaction waits in memory, not in the file, so that a gateway can read meanwhile.
        database.execute("PRAGMA cache_spill = OFF")
        (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if create and not tables:
            schema = resources.files("devices").joinpath("fleet.sql").read_text("utf-8")
            database.executescript(f"BEGIN IMMEDIATE;\n{schema}\nCOMMIT;")
            self._made = True
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION:
            database.close()
            raise self._error("is a database, but not a fleet; set gateway.fleet to another file")
        if version > SCHEMA_VERSION:
            database.close()
            raise self._error(f"made by a newer version (schema {version}); install that version")

    def _error(self, text: str) -> FleetError:
        return FleetError(self.path, [Problem(0, "", text)])

    def close(self) -> None:
        """Let go of the file; one that was made now and has nothing in it goes too."""
        is_empty = self._made and not len(self)
        self._database.close()
        if is_empty:
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # reading -------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM device").fetchone()[0])

    def load(self, profiles: Iterable[Profile], sources: Sequence[Source] = ()) -> Registry:
        """The registry of the whole fleet.

        Raises:
            FleetError: a device names a profile that does not exist, or the file is damaged.
        """
        registry = Registry(profiles, sources)
        try:
            with _no_collection():
                for columns in self._columns():
                    registry.extend(columns)
        except ValueError as error:
            column, _, text = str(error).partition(": ")
            raise FleetError(self.path, [Problem(0, column, text)]) from error
        except (sqlite3.Error, OverflowError) as error:
            raise self._error(f"cannot be read: {error}") from error
        return registry

    def _columns(self) -> Iterator[Columns]:
        last = -1
        while True:
            query = f"SELECT number, {_COLUMNS} FROM device WHERE number > ? ORDER BY number LIMIT ?"
            rows = self._database.execute(query, (last, _CHUNK)).fetchall()
            if not rows:
                return
            numbers, *plain = zip(*rows, strict=True)
            first, last = numbers[0], numbers[-1]
            place = dict(zip(numbers, range(len(numbers)), strict=True))
            named = dict(zip(_PLAIN, plain, strict=True))
            hardware_ids = {place[number]: entries for number, entries in self._hardware_ids(first, last).items()}
            calibration = {place[number]: entries for number, entries in self._calibration(first, last)}
            yield Columns(**named, hardware_ids=hardware_ids, calibration=calibration)

    def _hardware_ids(self, first: int, last: int) -> dict[int, str | tuple[HardwareId, ...]]:
        """By number of the device; a text where it is the only one ever, which nearly all are."""
        query = (
            "SELECT device, value, since, until FROM hardware_id WHERE device BETWEEN ? AND ? ORDER BY device, place"
        )
        found: dict[int, str | tuple[HardwareId, ...]] = {}
        for number, value, since, until in self._database.execute(query, (first, last)).fetchall():
            known = found.get(number, ())
            if since == 0 and until == ALWAYS and not known:
                found[number] = value
            else:
                found[number] = (*_dated(known), HardwareId(value, since, until))
        return found

    def _calibration(self, first: int, last: int) -> Iterator[tuple[int, tuple[Calibration, ...]]]:
        query = (
            'SELECT device, property, slope, "offset", since FROM calibration WHERE device BETWEEN ? AND ?'
            " ORDER BY device, place"
        )
        for number, rows in groupby(self._database.execute(query, (first, last)), key=itemgetter(0)):
            yield number, tuple([Calibration(*entry) for _, *entry in rows])

    def rows(self) -> Iterator[FleetRow]:
        """Every device, in the fleet's order."""
        for columns in self._columns():
            *plain, hardware_ids, calibration = columns
            for place, values in enumerate(zip(*plain, strict=True)):
                yield FleetRow(
                    **dict(zip(_PLAIN, values, strict=True)),
                    hardware_ids=_dated(hardware_ids.get(place, ())),
                    calibration=calibration.get(place, ()),
                )

    def find(self, device: str) -> FleetRow | None:
        """One device by its name."""
        found = self._number_and_row(device)
        return None if found is None else found[1]

    def _number_and_row(self, device: str) -> tuple[int, FleetRow] | None:
        query = f"SELECT number, {_COLUMNS} FROM device WHERE device = ?"
        found = self._database.execute(query, (device,)).fetchone()
        if found is None:
            return None
        number, *values = found
        hardware_ids = _dated(self._hardware_ids(number, number).get(number, ()))
        (_, calibration), *_ = [*self._calibration(number, number), (number, ())]
        plain = dict(zip(_PLAIN, values, strict=True))
        return number, FleetRow(**plain, hardware_ids=hardware_ids, calibration=calibration)

    def names(self) -> set[str]:
        """Every device."""
        return {name for (name,) in self._database.execute("SELECT device FROM device")}

    def speaking(self, hardware_id: str, at: int) -> str | None:
        """The device a hardware id speaks for at that moment [ns UTC], or None."""
        found = self._database.execute(
            "SELECT device.device FROM hardware_id JOIN device ON device.number = hardware_id.device"
            " WHERE key = ? AND since <= ? AND until > ?",
            (hardware_id.casefold(), at, at),
        ).fetchone()
        return None if found is None else str(found[0])

    def has_hardware(self, hardware_id: str) -> bool:
        """Whether it speaks, or ever spoke, for a device."""
        query = "SELECT count(*) FROM hardware_id WHERE key = ?"
        return bool(self._database.execute(query, (hardware_id.casefold(),)).fetchone()[0])

    def history(self, device: str, limit: int = 100) -> list[Change]:
        """What was changed about a device, newest first."""
        query = "SELECT device, what, detail, at FROM history WHERE device = ? ORDER BY id DESC LIMIT ?"
        return [Change(*row) for row in self._database.execute(query, (device, limit))]

    # changing ------------------------------------------------------------------------------------------------

    @contextmanager
    def changing(self, *, commit: bool = True) -> Iterator[None]:
        """One transaction: all of what is changed inside, or nothing (without ``commit``, never).

        Raises:
            FleetError: the file cannot be written.
        """
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield
            if commit:
                self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._error(f"cannot be written: {error}; nothing was changed") from error
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")

    def put(self, row: FleetRow, at: int, what: str = "") -> Change | None:
        """Add a device, or make it as this row says. Inside ``changing``; ``clashes`` tells if the fleet still fits.

        Args:
            row: checked against its profile already.
            at: for the history [ns UTC].
            what: its word there; default ``added`` or ``changed``.

        Returns:
            The change, or None if it was so already.
        """
        found = self._number_and_row(row.device)
        if found is not None and found[1] == row:
            return None
        values = [getattr(row, name) for name in _PLAIN]
        if found is None:
            marks = ", ".join("?" * len(values))
            number = self._database.execute(f"INSERT INTO device ({_COLUMNS}) VALUES ({marks})", values).lastrowid or 0
            change = Change(row.device, what or "added", "", at)
        else:
            number, before = found
            assignments = ", ".join(f'"{name}" = ?' for name in _PLAIN)
            self._database.execute(f"UPDATE device SET {assignments} WHERE number = ?", (*values, number))
            self._forget(number)
            change = Change(row.device, what or "changed", describe(before, row), at)
        self._database.executemany(
            "INSERT INTO hardware_id VALUES (?, ?, ?, ?, ?, ?)",
            ((number, place, entry.value.casefold(), *entry) for place, entry in enumerate(row.hardware_ids)),
        )
        self._database.executemany(
            "INSERT INTO calibration VALUES (?, ?, ?, ?, ?, ?)",
            ((number, place, *entry) for place, entry in enumerate(row.calibration)),
        )
        self._remember(change)
        return change

    def remove(self, device: str, at: int) -> Change | None:
        """Take a device out of the fleet. Inside ``changing``; its history stays. None if there is none."""
        found = self._number_and_row(device)
        if found is None:
            return None
        number, row = found
        self._forget(number)
        self._database.execute("DELETE FROM device WHERE number = ?", (number,))
        change = Change(device, "removed", f"was {row.profile} in commune {row.commune}", at)
        self._remember(change)
        return change

    def clashes(self, limit: int) -> list[tuple[str, str, str]]:
        """Hardware ids that speak for two devices at one time: id, the device that had it, the device that took it."""
        return self._database.execute(
            "SELECT later.value, one.device, two.device FROM hardware_id AS earlier"
            " JOIN hardware_id AS later ON later.key = earlier.key AND earlier.device < later.device"
            " AND earlier.since < later.until AND later.since < earlier.until"
            " JOIN device AS one ON one.number = earlier.device JOIN device AS two ON two.number = later.device"
            " ORDER BY two.number LIMIT ?",
            (limit,),
        ).fetchall()

    def most_places(self) -> int:
        """How many different communes there are, or zones if those are more."""
        query = "SELECT max(count(DISTINCT commune), count(DISTINCT zone)) FROM device"
        return int(self._database.execute(query).fetchone()[0])

    def _forget(self, number: int) -> None:
        self._database.execute("DELETE FROM hardware_id WHERE device = ?", (number,))
        self._database.execute("DELETE FROM calibration WHERE device = ?", (number,))

    def _remember(self, change: Change) -> None:
        query = "INSERT INTO history (at, device, what, detail) VALUES (?, ?, ?, ?)"
        self._database.execute(query, (change.at, change.device, change.what, change.detail))


def _dated(hardware_ids: str | tuple[HardwareId, ...]) -> tuple[HardwareId, ...]:
    return (HardwareId(hardware_ids),) if isinstance(hardware_ids, str) else hardware_ids


@contextmanager
def _no_collection() -> Iterator[None]:
    """Nothing that loading makes is garbage, and looking for some takes longer than the loading."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
