"""A finished backup: its list of files, read, checked file by file, and the oldest ones deleted."""

import hashlib
import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.line.records import Records

MANIFEST = "manifest.json"
JOURNAL = "data/journal.db"
SET_NAME = re.compile(r"village-\d{8}T\d{6}Z(-\d+)?")

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how many bytes of how many are done."""


class BackupError(Exception):
    """A backup cannot be made, read or restored; one line, what to do."""


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Entry(_Said):
    """One file of a backup, as its list states it."""

    name: Annotated[str, Field(pattern=r"^(data|stores|settings|include)/[^\x00\\]{1,500}$")]
    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    kind: Literal["database", "file"]
    mode: Annotated[int, Field(ge=0, le=0o777)]
    owner: Annotated[str, Field(max_length=64)]
    """By name, since numbers differ between machines; empty if it had none."""
    group: Annotated[str, Field(max_length=64)]


class Sums(_Said):
    """The ledger's sums in the backup's journal."""

    received: int
    kept: int
    refused: int
    repeated: int
    lines_kept: int
    holds: bool


class Manifest(_Said):
    """The list of a backup; written last, so that a folder with one is whole."""

    format: Literal[1] = 1
    made_at: str
    """RFC 3339 UTC: nothing acknowledged before this is missing."""
    version: str
    host: str
    ledger: Sums | None
    files: tuple[Entry, ...]


def sums(journal: Path) -> Sums:
    """The ledger's sums of a journal that nobody writes."""
    records = Records(journal)
    try:
        uplinks, lines = records.totals(), records.lines()
    finally:
        records.close()
    adds_up = uplinks.received == uplinks.kept + uplinks.refused + uplinks.repeated
    return Sums(**uplinks._asdict(), lines_kept=lines.kept, holds=adds_up and lines.holds)


def read_manifest(folder: Path) -> Manifest:
    """The list of a backup.

    Raises:
        BackupError: the folder is none, or of a newer version.
    """
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise BackupError(f"{folder}: is no whole backup: it has no {MANIFEST}") from None
    except OSError as error:
        raise BackupError(f"{folder / MANIFEST}: {error.strerror}") from error
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise BackupError(f"{folder / MANIFEST}: {where}: made by a newer version, or damaged") from error


def verify(folder: Path, progress: Progress = lambda _what, _done, _of: None) -> Manifest:
    """Read every file of a backup and compare it with the list; databases are also looked at from within.

    Raises:
        BackupError: a file is missing or damaged.
    """
    manifest = read_manifest(folder)
    total, done = sum(entry.size for entry in manifest.files), 0
    for entry in manifest.files:
        path = inside(folder, entry.name)
        if not path.is_file():
            raise BackupError(f"{path}: missing; take an older backup")
        if path.stat().st_size != entry.size or hash_of(path) != entry.sha256:
            raise BackupError(f"{path}: is not what was saved; the disk is failing, take an older backup")
        if entry.kind == "database":
            _check_database(path)
        done += entry.size
        progress(f"checking {entry.name}", done, total)
    return manifest


def _check_database(path: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as reader:
            (answer,) = reader.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        answer = str(error)
    if answer != "ok":
        raise BackupError(f"{path}: the database was damaged when it was saved: {answer}; take an older backup")


def inside(folder: Path, name: str) -> Path:
    """A file of the backup; a list that points elsewhere is refused."""
    path = folder / name
    if ".." in Path(name).parts:
        raise BackupError(f"{folder / MANIFEST}: names {name!r}, which lies outside the backup")
    return path


def partial_progress(progress: Progress, name: str, before: int, total: int) -> Callable[[int], None]:
    """The progress of one file of several: told its own bytes, it adds those of the files before it."""
    return lambda here: progress(name, before + here, total)


def hash_of(path: Path) -> str:
    """SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Names made in a folder are on disk afterwards."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def whole_backups(to: Path) -> list[Path]:
    """Every finished backup in a folder, oldest first."""
    return sorted(
        path for path in to.glob("village-*") if SET_NAME.fullmatch(path.name) and (path / MANIFEST).is_file()
    )


def prune(to: Path, keep: int) -> list[Path]:
    """Delete all but the newest ``keep`` backups; returns those that went."""
    gone = whole_backups(to)[: -max(1, keep)]
    for path in gone:
        shutil.rmtree(path)
    return gone
