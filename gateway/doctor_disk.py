"""The doctor's look at disks: room for what may still come, whose the files are, file systems, the age of backups."""

import os
import pwd
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gateway.backup_set import whole_backups
from gateway.doctor_broker import Finding
from gateway.settings import Settings

MB = 1 << 20
RESERVE_BYTES = 64 * MB
"""Room a system needs beside what the gateway keeps. Chosen."""
BACKUP_DAYS = 3
"""A backup is made each night; one night may fail. Chosen."""
_MEMORY = {"tmpfs", "ramfs"}
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "9p"}
_MOUNTS = Path("/proc/self/mounts")


def examine_data(settings: Settings) -> Iterator[Finding]:
    """Whether what the gateway keeps can be written, is on a real disk, and has room to grow as far as it may."""
    folder = settings.gateway.data_dir
    existing = _existing(folder)
    try:
        with tempfile.NamedTemporaryFile(dir=existing):
            pass
    except OSError as error:
        yield Finding(
            "data", False, f"{existing}: cannot be written ({error.strerror}); give this account the right to"
        )
        return
    yield from _owners(folder)
    yield from _kind(existing)
    yield from _room(settings)


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.absolute().parents) if parent.exists())


def _room(settings: Settings) -> Iterator[Finding]:
    """Of each file system: what is free, and what may still come."""
    folder, journal = settings.gateway.data_dir, settings.journal
    budget = (journal.max_mb + journal.raw_max_mb + journal.refused_max_mb) * MB
    advice = "journal.max_mb, raw_max_mb or refused_max_mb"
    parts = [(folder, "the journal", budget, _size(folder, "journal.db*"), advice)]
    for place in settings.store:
        if place.kind == "embedded":
            path = settings.store_path(place)
            advice = f"max_mb of the store {place.name}"
            parts.append(
                (path.parent, f"the store {place.name}", place.max_mb * MB, _size(path.parent, f"{path.name}*"), advice)
            )
    by_disk: dict[int, list[tuple[Path, str, int, int, str]]] = {}
    for part in parts:
        by_disk.setdefault(_existing(part[0]).stat().st_dev, []).append(part)
    for some in by_disk.values():
        free = shutil.disk_usage(_existing(some[0][0])).free
        coming = [(what, max(most - used, 0)) for _, what, most, used, _ in some]
        missing = sum(size for _, size in coming) + RESERVE_BYTES - free
        words = ", ".join(f"{what} may still take {size // MB} MB" for what, size in coming)
        text = f"{some[0][0]}: {free // MB} MB free, {words}"
        if missing > 0:
            text += f"; free {missing // MB + 1} MB or lower {' or '.join(advice for *_, advice in some)}"
        yield Finding("data", missing <= 0, text)


def _size(folder: Path, pattern: str) -> int:
    return sum(file.stat().st_size for file in folder.glob(pattern)) if folder.is_dir() else 0


def _owners(folder: Path) -> Iterator[Finding]:
    """Files that root made there by a command without `sudo village`: the service could not write them."""
    if not folder.is_dir():
        return
    owner = folder.stat().st_uid
    wrong = [path for path in sorted(folder.iterdir()) if path.is_file() and path.stat().st_uid != owner]
    locked = [path for path in sorted(folder.iterdir()) if path.is_file() and not os.access(path, os.R_OK | os.W_OK)]
    for path in wrong[:1]:
        what = f"chown -R {_name(owner)}: {folder}"
        yield Finding(
            "data", False, f"{path}: belongs to {_name(path.stat().st_uid)}, the folder to {_name(owner)}; {what}"
        )
    for path in [] if wrong else locked[:1]:
        yield Finding("data", False, f"{path}: this account may not write it; chmod u+rw {path}")


def _name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _kind(existing: Path) -> Iterator[Finding]:
    kind = file_system(existing)
    if kind in _MEMORY:
        why = f"is in memory ({kind}), a restart of the machine loses everything"
        yield Finding("data", False, f"{existing}: {why}; set gateway.data_dir to a disk")
    elif kind in _NETWORK:
        why = f"is on another machine ({kind}), which breaks the journal's locks"
        yield Finding("data", False, f"{existing}: {why}; set gateway.data_dir to a disk here")


def file_system(path: Path, mounts: Path = _MOUNTS) -> str:
    """The kind of file system a path is on, as the kernel calls it; empty where it cannot be asked."""
    try:
        lines = mounts.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    found, longest = "", -1
    for line in lines:
        _, point, kind, *_ = line.split(" ")
        # The kernel writes blanks in names as octal numbers.
        where = Path(point.encode().decode("unicode_escape"))
        if path.resolve().is_relative_to(where) and len(where.parts) >= longest:
            found, longest = kind, len(where.parts)
    return found


def examine_backups(config: Path | None) -> Iterator[Finding]:
    """How old the newest nightly backup is, where the installation says where they go."""
    asked = config.parent / "backup.env" if config is not None else None
    if asked is None or not asked.is_file():
        return
    try:
        lines = asked.read_text("utf-8").splitlines()
        told = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        folder = Path(told.get("BACKUP_TO", "").strip("\"' "))
        found, since = whole_backups(folder), asked.stat().st_mtime
        os.listdir(folder)
    except OSError as error:
        yield Finding(
            "backup", False, f"{error.filename}: {error.strerror}; is the disk of BACKUP_TO in {asked} mounted?"
        )
        return
    if found:
        made = datetime.strptime(found[-1].name[8:24], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        since = made.timestamp()
        text = f"{folder}: the newest is of {made:%Y-%m-%d}"
    else:
        text = f"{folder}: none yet"
    if time.time() - since > BACKUP_DAYS * 86400:
        what = "`systemctl status village-backup.timer` and `journalctl -u village-backup` say why"
        yield Finding("backup", False, f"{text}, and one is made each night; {what}")
        return
    yield Finding("backup", True, text)
