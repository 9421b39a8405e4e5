"""Backup of everything the gateway keeps, made while it runs: a folder of files with a checked list of them."""

import fcntl
import grp
import os
import pwd
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from gateway.backup_set import (
    JOURNAL,
    MANIFEST,
    BackupError,
    Entry,
    Manifest,
    Progress,
    hash_of,
    partial_progress,
    sums,
    sync_folder,
    verify,
)
from gateway.line.witness import SUFFIX
from gateway.settings import Settings

DISTRIBUTION = "smart-village-gateway"
FIRST = ("data/state.bin", JOURNAL)
"""Copied before everything else, in this order; see ``pieces``."""
SQLITE_MAGIC = b"SQLite format 3\0"
PAGES = 1000
"""SQLite pages copied between two looks at the progress. Chosen."""
RESERVE_BYTES = 64 << 20
"""Room that must be left where the backup goes. Chosen."""
_PASSING = (".lock", ".new", "-wal", "-shm", "-journal", ".sock", ".pid", SUFFIX)
"""Endings of files that mean nothing to another machine; what they hold of a database, its copy holds."""
_REPLACED = (".before-restore-", ".restoring")
"""What an earlier restore set aside or left behind: it would grow with every backup of a backup."""
_ASIDE = ".damaged-"
"""A journal that was set aside: copied byte by byte with its parts, because nobody knows what can be read of it."""


class Piece(NamedTuple):
    """One file that belongs into a backup."""

    source: Path
    name: str
    """In the backup, with slashes."""
    is_database: bool


# what belongs into it ---------------------------------------------------------------------------------------------


def pieces(settings: Settings, config: Path, includes: Iterable[Path] = ()) -> list[Piece]:
    """Every file of a backup, in the order in which they must be copied.

    The state goes first: one that is younger than the journal would take uplinks for repeats that the journal does not
    have. The stores go after the journal: what it counts as delivered is in them by then.

    Raises:
        BackupError: a file named in ``includes`` is not there.
    """
    data = settings.gateway.data_dir
    found = [
        Piece(path, f"data/{path.relative_to(data).as_posix()}", _is_database(path))
        for path in sorted(data.rglob("*"))
        if path.is_file() and not path.is_symlink() and _is_wanted(path.name)
    ]
    found += [
        Piece(path, f"stores/{place.name}.db", is_database=True)
        for place in settings.store
        if place.kind == "embedded" and (path := settings.store_path(place)).is_file()
    ]
    found += [
        Piece(path, f"settings/{path.name}", _is_database(path))
        for path in (config, settings.gateway.fleet)
        if path.is_file()
    ]
    for path in includes:
        found += [Piece(each, f"include{each.absolute().as_posix()}", _is_database(each)) for each in _files_of(path)]
    known: dict[Path, Piece] = {}
    for piece in found:
        known.setdefault(piece.source.resolve(), piece)
    return sorted(known.values(), key=lambda piece: FIRST.index(piece.name) if piece.name in FIRST else len(FIRST))


def _is_wanted(name: str) -> bool:
    if any(mark in name for mark in _REPLACED):
        return False
    return _ASIDE in name or not name.endswith(_PASSING)


def _files_of(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    elif path.is_dir():
        found = (each for each in sorted(path.rglob("*")) if each.is_file() and not each.is_symlink())
        yield from (each for each in found if not any(mark in each.name for mark in _REPLACED))
    else:
        raise BackupError(f"{path}: no such file or folder; correct --include")


def _is_database(path: Path) -> bool:
    if _ASIDE in path.name:
        return False
    if path.with_name(f"{path.name}-wal").exists():
        # One that was made this moment has nothing but its log yet.
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
    except OSError as error:
        raise BackupError(f"{path}: {error.strerror}; the backup must run under an account that may read it") from error


# making it --------------------------------------------------------------------------------------------------------


def back_up(
    settings: Settings,
    config: Path,
    to: Path,
    *,
    includes: Sequence[Path] = (),
    progress: Progress = lambda _what, _done, _of: None,
    now: Callable[[], float] = time.time,
) -> Path:
    """Make a backup in a new folder below ``to``; the gateway may run meanwhile.

    Returns:
        The folder; it has its final name only when everything in it was read back and found right.

    Raises:
        BackupError: no room, nothing to back up, or a file cannot be read.
    """
    if to.resolve().is_relative_to(settings.gateway.data_dir.resolve()):
        raise BackupError(f"{to}: lies in the folder that is backed up; name one on another disk")
    found = pieces(settings, config, includes)
    if not any(piece.name == JOURNAL for piece in found):
        raise BackupError(f"{settings.gateway.data_dir}: holds no journal; is data_dir in {config} right?")
    with _claimed(to):
        _check_room(found, to)
        made_at = datetime.fromtimestamp(now(), UTC)
        partial = to / f".{_free_name(to, made_at)}.partial"
        partial.mkdir(mode=0o700)
        with _removed_unless_whole(partial):
            copier = _Copier(partial, sum(piece.source.stat().st_size for piece in found), progress)
            copier.copy([piece for piece in found if piece.name in FIRST])
            # Looked for anew: what the journal counts as delivered may lie in a store that was not there a moment ago.
            copier.copy([piece for piece in pieces(settings, config, includes) if piece.name not in FIRST])
            _write_manifest(partial, copier.entries, made_at)
            verify(partial, progress)
        final = to / partial.name.removeprefix(".").removesuffix(".partial")
        partial.rename(final)
        sync_folder(to)
    return final


@contextmanager
def _removed_unless_whole(partial: Path) -> Iterator[None]:
    """At once: it may stand on the gateway's own disk, which is full then."""
    try:
        yield
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def _claimed(to: Path) -> Iterator[None]:
    """One backup at a time into a folder; what a broken one left is removed."""
    try:
        to.mkdir(parents=True, exist_ok=True)
        number = os.open(to / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise BackupError(f"{to}: {error.strerror}; name a folder that may be written") from error
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for left in to.glob(".village-*.partial"):
            shutil.rmtree(left)
        yield
    except BlockingIOError as error:
        raise BackupError(f"{to}: another backup is being made there; wait until it is done") from error
    except sqlite3.Error as error:
        raise BackupError(f"a database cannot be copied: {error}; `village doctor` looks at the disk") from error
    except OSError as error:
        raise BackupError(f"{error.filename or to}: {error.strerror or error}; no backup was made") from error
    finally:
        os.close(number)


def _check_room(found: Sequence[Piece], to: Path) -> None:
    needed = sum(piece.source.stat().st_size for piece in found) + RESERVE_BYTES
    free = shutil.disk_usage(to).free
    if free < needed:
        raise BackupError(f"{to}: {free >> 20} MB free, {needed >> 20} MB needed; make room or name another disk")


def _free_name(to: Path, made_at: datetime) -> str:
    name, number = f"village-{made_at:%Y%m%dT%H%M%SZ}", 1
    while (to / name).exists():
        number += 1
        name = f"village-{made_at:%Y%m%dT%H%M%SZ}-{number}"
    return name


class _Copier:
    """Copies pieces into a folder, and keeps the list."""

    def __init__(self, folder: Path, total: int, progress: Progress) -> None:
        self._folder, self._total, self._progress = folder, total, progress
        self._done = 0
        self.entries: list[Entry] = []

    def copy(self, found: Iterable[Piece]) -> None:
        """Each piece, on disk."""
        for piece in found:
            target = self._folder / piece.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if piece.is_database:
                step = partial_progress(self._progress, piece.name, self._done, self._total)
                _copy_database(piece.source, target, step)
            else:
                shutil.copyfile(piece.source, target)
            target.chmod(0o600)
            with target.open("rb") as file:
                os.fsync(file.fileno())
            entry = _entry(piece, target)
            self.entries.append(entry)
            self._done += entry.size
            self._progress(piece.name, self._done, self._total)


def _entry(piece: Piece, target: Path) -> Entry:
    about = piece.source.stat()
    return Entry(
        name=piece.name,
        size=target.stat().st_size,
        sha256=hash_of(target),
        kind="database" if piece.is_database else "file",
        mode=stat.S_IMODE(about.st_mode) & 0o777,
        owner=_named(pwd.getpwuid, about.st_uid),
        group=_named(grp.getgrgid, about.st_gid),
    )


def _named(look_up: Callable[[int], Sequence[object]], number: int) -> str:
    try:
        return str(look_up(number)[0])
    except KeyError:
        return ""


def _copy_database(source: Path, target: Path, progress: Callable[[int], None]) -> None:
    address = f"{source.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=60)) as reader:
        # Inside a read transaction the copy is of one moment, and a busy writer does not make it begin anew.
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (page,) = reader.execute("PRAGMA page_size").fetchone()
        with closing(sqlite3.connect(target, isolation_level=None)) as writer:
            writer.execute("PRAGMA synchronous = OFF")
            reader.backup(writer, pages=PAGES, progress=lambda _s, left, of: progress((of - left) * page))
            # Without a write-ahead log the copy is one file, and reading it changes nothing beside it.
            writer.execute("PRAGMA journal_mode = DELETE")


def _write_manifest(folder: Path, entries: Sequence[Entry], made_at: datetime) -> None:
    manifest = Manifest(
        made_at=made_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        version=version(DISTRIBUTION),
        host=os.uname().nodename,
        ledger=sums(folder / JOURNAL),
        files=tuple(entries),
    )
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        file.write(manifest.model_dump_json(indent=1))
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)
