"""A backup put back in place, or copied to another machine in as many tries as the link needs."""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from gateway.backup_set import (
    JOURNAL,
    MANIFEST,
    BackupError,
    Entry,
    Manifest,
    Progress,
    Sums,
    hash_of,
    inside,
    partial_progress,
    read_manifest,
    sums,
    sync_folder,
    verify,
)
from gateway.line.journal_file import lock
from gateway.line.witness import SUFFIX
from gateway.settings import Settings
from gateway.settings_file import load_settings
from gateway.southbound.subscriptions import NOTE

BLOCK = 1 << 20
_PARTS = ("-wal", "-shm", "-journal", SUFFIX)
"""What is kept beside a database, by SQLite and by the gateway; they belong to the one that is replaced."""


class Restored(NamedTuple):
    """What came back."""

    files: int
    sums: Sums | None
    """Counted anew in the journal that was put in place."""
    set_aside: tuple[Path, ...]
    """What stood there before, under its new name."""


def restore(
    folder: Path,
    config: Path,
    environ: Mapping[str, str],
    *,
    replace: bool = False,
    with_includes: bool = False,
    progress: Progress = lambda _what, _done, _of: None,
    now: Callable[[], float] = time.time,
) -> Restored:
    """Put a backup in place. The gateway must not run.

    Args:
        folder: the backup.
        config: the settings' file; if there is none, the backup's is put there.
        environ: secrets of the settings.
        replace: set aside what stands in the way, under a new name; else that is an error.
        with_includes: also what was added with ``--include``, at the places it came from.
        progress: called now and then.
        now: seconds since 1970, for the names of what is set aside.

    Raises:
        BackupError: damaged, something stands in the way, or the sums do not hold; one line.
        JournalError: the gateway runs.
        SettingsError: the settings cannot be used.
    """
    manifest = verify(folder, progress)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now()))
    mover = _Mover(folder, stamp, replace=replace)
    if with_includes:
        found = [entry for entry in manifest.files if entry.name.startswith("include/")]
        mover.put([(entry, Path(entry.name.removeprefix("include"))) for entry in found])
    mover.put_settings(manifest, config)
    settings = load_settings(config, environ)
    claim = lock(settings.gateway.data_dir / "journal.db")
    try:
        if os.geteuid() == 0:
            # The lock's file may be new, and the gateway must be able to open it.
            beside = settings.gateway.data_dir.stat()
            os.fchown(claim, beside.st_uid, beside.st_gid)
        places = [(entry, place) for entry in manifest.files if (place := _place(entry, settings)) is not None]
        # The journal last: without it nothing starts on half a backup.
        mover.put(sorted(places, key=lambda item: item[0].name == JOURNAL))
        journal = settings.gateway.data_dir / "journal.db"
        _forget_subscriptions(journal)
        found_sums = sums(journal)
    finally:
        os.close(claim)
    if manifest.ledger is not None and found_sums != manifest.ledger:
        raise BackupError(f"{journal}: the sums are not those of the backup; restore again, or an older one")
    return Restored(mover.count, found_sums, tuple(mover.set_aside))


def _place(entry: Entry, settings: Settings) -> Path | None:
    kind, _, name = entry.name.partition("/")
    if kind == "data":
        return settings.gateway.data_dir / name
    if kind == "stores":
        places = {f"{place.name}.db": settings.store_path(place) for place in settings.store}
        return places.get(name)
    if kind == "settings" and name == settings.gateway.fleet.name:
        return settings.gateway.fleet
    return None


def _forget_subscriptions(journal: Path) -> None:
    """The broker's session may be another one by now; asking again costs a retained message a device."""
    with closing(sqlite3.connect(journal, isolation_level=None)) as database:
        database.execute("DELETE FROM note WHERE name = ?", (NOTE,))


class _Mover:
    """Puts files in place, each whole or not at all."""

    def __init__(self, folder: Path, stamp: str, *, replace: bool) -> None:
        self._folder, self._stamp, self._replace = folder, stamp, replace
        self.count = 0
        self.set_aside: list[Path] = []

    def put_settings(self, manifest: Manifest, config: Path) -> None:
        """The settings' file, where there is none or it is to be replaced."""
        if config.exists() and not self._replace:
            return
        named = [entry for entry in manifest.files if entry.name == f"settings/{config.name}"]
        if not named and not config.exists():
            raise BackupError(f"{config}: no such file, and the backup holds none of this name; write one first")
        self.put([(entry, config) for entry in named])

    def put(self, places: Sequence[tuple[Entry, Path]]) -> None:
        """Every file at its place, or none.

        Raises:
            BackupError: something stands there and may not be set aside.
        """
        taken = [target for _, target in places if target.exists()]
        if taken and not self._replace:
            more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
            raise BackupError(f"{taken[0]}{more}: exists; --replace sets it aside under another name")
        try:
            for entry, target in places:
                self._put(inside(self._folder, entry.name), target, entry)
        except OSError as error:
            raise BackupError(f"{error.filename}: {error.strerror}; make room or run this as root") from error

    def _put(self, source: Path, target: Path, entry: Entry) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f"{target.name}.restoring")
        fresh.unlink(missing_ok=True)
        # Nobody may look into it before it has its owner.
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        shutil.copyfile(source, fresh)
        if hash_of(fresh) != entry.sha256:
            raise BackupError(f"{fresh}: is not what was read; the disk is failing")
        if os.geteuid() == 0:
            _give(fresh, target.parent, entry)
        fresh.chmod(entry.mode)
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        self._clear(target)
        fresh.rename(target)
        sync_folder(target.parent)
        self.count += 1

    def _clear(self, target: Path) -> None:
        for suffix in ("", *_PARTS):
            part = target.with_name(target.name + suffix)
            if part.exists():
                aside = part.with_name(f"{target.name}.before-restore-{self._stamp}{suffix}")
                part.rename(aside)
                self.set_aside.append(aside)


def _give(fresh: Path, folder: Path, entry: Entry) -> None:
    """To the account and group it had, by name; to those of the folder where this machine does not know them."""
    beside = folder.stat()
    shutil.chown(fresh, beside.st_uid, beside.st_gid)
    for which in ({"user": entry.owner}, {"group": entry.group}):
        with suppress(LookupError):
            if all(which.values()):
                shutil.chown(fresh, **which)


# to another machine -----------------------------------------------------------------------------------------------


def copy(
    folder: Path, to: Path, *, check: bool = True, progress: Progress = lambda _what, _done, _of: None
) -> tuple[Path, int]:
    """Copy a finished backup; broken off, the same call goes on where it stopped.

    Args:
        folder: the backup.
        to: folder on another disk or a mounted one of another machine.
        check: read the copy back; over a slow link rather run ``village backup verify`` at the other end.
        progress: called now and then.

    Returns:
        The copy, and how many bytes an earlier try had brought over.

    Raises:
        BackupError: no whole backup, no room, or the copy is not the same.
    """
    manifest = read_manifest(folder)
    final, partial = to / folder.name, to / f".{folder.name}.partial"
    total, done, earlier = sum(entry.size for entry in manifest.files), 0, 0
    if final.exists():
        if check:
            verify(final, progress)
        return final, total
    try:
        for entry in manifest.files:
            step = partial_progress(progress, entry.name, done, total)
            earlier += _resume(inside(folder, entry.name), partial / entry.name, step)
            done += entry.size
        shutil.copyfile(folder / MANIFEST, partial / MANIFEST)
        if check:
            _check_copy(partial, progress)
        sync_folder(partial)
        partial.rename(final)
        sync_folder(to)
    except OSError as error:
        raise BackupError(f"{error.filename or to}: {error.strerror}; the same command goes on from here") from error
    return final, earlier


def _check_copy(partial: Path, progress: Progress) -> None:
    try:
        verify(partial, progress)
    except BackupError:
        # What differs cannot be resumed: the next try begins anew.
        shutil.rmtree(partial)
        raise


def _resume(source: Path, target: Path, progress: Callable[[int], None]) -> int:
    """Append what is missing; returns how many bytes were there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reading, target.open("ab") as writing:
        # The last block may be half written, and half of it may be of another time.
        start = writing.tell() // BLOCK * BLOCK if writing.tell() < source.stat().st_size else source.stat().st_size
        writing.truncate(start)
        reading.seek(start)
        done = start
        while block := reading.read(BLOCK):
            writing.write(block)
            writing.flush()
            os.fsync(writing.fileno())
            done += len(block)
            progress(done)
    return start
