"""Laboratory results that complete what water stations measure: kept on disk, checked, listed, removed."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from devices.registry import Registry
from gateway.analytics.laboratory_csv import DAY, VALID_DAYS, LaboratoryError, Sample, read_samples
from gateway.analytics.vn_wqi import LaboratoryResult

FILE = "laboratory.db"
"""Its name in the data folder."""
MOST_SAMPLES = 100_000
"""Chosen: a sample a week of 200 stations is 10,000 a year."""
LOOK_BACK = 7 * DAY
"""A result is told to the indices for so long after it has expired, for hours that late readings mend."""

Results = Mapping[str, Sequence[LaboratoryResult]]
"""By device."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sample (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device TEXT NOT NULL,
    sampled_at INTEGER NOT NULL, -- ns UTC
    valid_until INTEGER NOT NULL, -- ns UTC
    found TEXT NOT NULL, -- JSON: values by parameter
    entered_at INTEGER NOT NULL, -- ns UTC
    entered_by TEXT NOT NULL,
    UNIQUE (device, sampled_at)
);
"""
_COLUMNS = "id, device, sampled_at, valid_until, found, entered_at, entered_by"


class LaboratoryDiskError(LaboratoryError):
    """The file cannot be written now."""


class Kept(NamedTuple):
    """A sample as it was entered."""

    id: int
    """0: not kept, a preview."""
    sample: Sample
    entered_at: int
    """[ns UTC]"""
    entered_by: str
    replaces: int = 0
    """Id of the sample of the same station and moment that it takes the place of; 0: none."""


class Laboratory:
    """A SQLite file; from any thread."""

    def __init__(self, path: Path, registry: Callable[[], Registry], now: Callable[[], int] = time.time_ns) -> None:
        """Open or make the file.

        Args:
            path: of the file.
            registry: the fleet in use.
            now: nanoseconds UTC.

        Raises:
            OSError: it cannot be read or written.
        """
        self._registry, self._now, self._lock = registry, now, threading.Lock()
        try:
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
            for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"):
                self._database.execute(statement)
            self._database.executescript(_SCHEMA)
            self._results = self._read_results()
        except sqlite3.Error as error:
            raise OSError(f"{path}: {error}; is there room on the disk, and may this account write there?") from error

    def add(self, text: str, by: str, valid_days: int = VALID_DAYS, *, preview: bool = False) -> list[Kept]:
        """Keep every sample of a CSV, or none; see ``read_samples``.

        A sample of a station and moment that is there already is replaced: that is how an error is corrected.

        Raises:
            LaboratoryError: bad rows, no room for more, or the disk does not take it.
        """
        now = self._now()
        samples = read_samples(text, self._registry(), now, valid_days)
        with self._lock:
            return self._put(samples, by, now, preview=preview)

    def _put(self, samples: Sequence[Sample], by: str, now: int, *, preview: bool) -> list[Kept]:
        found, database = [], self._database
        with self._transaction():
            for sample in samples:
                key = (sample.device, sample.sampled_at)
                known = database.execute("SELECT id FROM sample WHERE device = ? AND sampled_at = ?", key).fetchone()
                number = None
                if not preview:
                    number = database.execute(
                        "INSERT OR REPLACE INTO sample (device, sampled_at, valid_until, found, entered_at, entered_by)"
                        " VALUES (?, ?, ?, ?, ?, ?)",
                        (*key, sample.valid_until, json.dumps(sample.values), now, by[:64]),
                    ).lastrowid
                found.append(Kept(number or 0, sample, now, by[:64], known[0] if known else 0))
            (count,) = database.execute("SELECT count(*) FROM sample").fetchone()
            _check_room(count + preview * sum(not kept.replaces for kept in found))
        if not preview:
            self._results = self._read_results()
        return found

    def samples(self, device: str | None = None) -> list[Kept]:
        """What is kept, of one station or of all, the newest sample first."""
        where, given = ("WHERE device = ?", (device,)) if device is not None else ("", ())
        with self._lock:
            rows = self._database.execute(
                f"SELECT {_COLUMNS} FROM sample {where} ORDER BY sampled_at DESC, device",
                given,
            ).fetchall()
        return [_kept(row) for row in rows]

    def remove(self, ids: Sequence[int]) -> None:
        """Forget some samples, or none of them.

        Raises:
            LaboratoryError: one of them is not there, or the disk does not take it.
        """
        with self._lock:
            with self._transaction():
                for number in set(ids):
                    gone = self._database.execute("DELETE FROM sample WHERE id = ?", (number,)).rowcount
                    _check_there(number, there=bool(gone))
            self._results = self._read_results()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is done within, or nothing of it."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise LaboratoryDiskError(f"{FILE}: {error}; nothing was changed, try again") from error
        finally:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")

    def results(self) -> Results:
        """What completes the indices, by device; another object after every change, the same one until then."""
        return self._results

    def _read_results(self) -> Results:
        found: dict[str, list[LaboratoryResult]] = {}
        since = self._now() - LOOK_BACK
        for row in self._database.execute(f"SELECT {_COLUMNS} FROM sample WHERE valid_until > ?", (since,)):
            sample = _kept(row).sample
            found.setdefault(sample.device, []).extend(
                LaboratoryResult(name, value, sample.sampled_at, sample.valid_until)
                for name, value in sample.values.items()
            )
        return found

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._database.close()


def _check_room(count: int) -> None:
    if count > MOST_SAMPLES:
        raise LaboratoryError(f"more than {MOST_SAMPLES} samples; remove old ones first")


def _check_there(number: int, *, there: bool) -> None:
    if not there:
        raise LaboratoryError(f"there is no sample {number}; `village laboratory list` names them")


def _kept(row: tuple[int, str, int, int, str, int, str]) -> Kept:
    number, device, sampled_at, valid_until, found, entered_at, entered_by = row
    return Kept(number, Sample(device, sampled_at, valid_until, json.loads(found)), entered_at, entered_by)
