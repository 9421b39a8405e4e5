"""Single changes of the fleet database: the whole fleet must fit together afterwards, or nothing was changed."""

import time
from pathlib import Path

from devices.fleet_csv import FleetError, Problem
from devices.fleet_row import FleetRow, check_against_profile, generations, replace_hardware
from devices.fleet_store import Change, FleetStore, is_fleet_store
from devices.profile import shipped_profiles


class UnknownDeviceError(ValueError):
    """The fleet has no device of that name."""


def open_to_change(path: Path) -> FleetStore:
    """A fleet database opened to be changed; a missing one is made.

    Raises:
        FleetError: it is a CSV file, which people edit themselves, or cannot be opened.
    """
    if not is_fleet_store(path):
        text = (
            "is a CSV file, which people edit in a spreadsheet. To change it with commands, make a database of it:"
            f" `village devices import {path} --fleet fleet.db --yes`, and set gateway.fleet to fleet.db"
        )
        raise FleetError(path, [Problem(0, "", text)])
    return FleetStore(path, create=True)


def put_checked(store: FleetStore, *rows: FleetRow, what: str = "", apply: bool = True) -> list[Change]:
    """Change these devices, all or none.

    Args:
        store: opened to write.
        rows: the devices as they shall be.
        what: word in the history; default ``added`` or ``changed``.
        apply: without it, everything is tried and nothing is changed.

    Raises:
        ValueError: the fleet would not fit together; nothing was changed.
        FleetError: the file cannot be written.
    """
    profiles, at = shipped_profiles(), time.time_ns()
    with store.changing(commit=apply):
        for row in rows:
            check_against_profile(row, profiles.get(row.profile))
        changes = [store.put(row, at, what) for row in rows]
        for value, one, two in store.clashes(1):
            raise ValueError(
                f"hardware_ids: {value!r} would speak for {one!r} and {two!r} at the same time;"
                " `village devices replace` moves it"
            )
    return [change for change in changes if change is not None]


def put_new(store: FleetStore, row: FleetRow, *, apply: bool = True) -> list[Change]:
    """Take one device in.

    Raises:
        ValueError: it is there already, or as ``put_checked``.
        FleetError: the file cannot be written.
    """
    if store.find(row.device) is not None:
        text = f"{row.device!r} is in the fleet already; see `village devices show {row.device}`"
        raise ValueError(f"{store.path}: {text}")
    return put_checked(store, row, apply=apply)


def replaced(store: FleetStore, device: str, new: str, old: str, at: int, *, move: bool) -> list[FleetRow]:
    """The rows that change when new hardware speaks for a device: the device's own, and that of the one it leaves.

    Args:
        store: the fleet.
        device: what gets new hardware.
        new: its hardware id.
        old: which of its ids gives way; empty if it has only one.
        at: since when [ns UTC].
        move: whether it may leave another device.

    Raises:
        UnknownDeviceError, ValueError: cannot be done as asked; says what to do.
    """
    row = store.find(device)
    if row is None:
        raise UnknownDeviceError(f"{store.path}: no device {device!r}; see `village devices list`")
    current = generations(row.hardware_ids)[-1][1]
    known = [value for value in current if value.casefold() == old.casefold()] if old else current
    if old and not known:
        raise ValueError(f"{old!r} does not speak for {device!r}; what does: {', '.join(current) or 'nothing'}")
    if len(known) > 1:
        raise ValueError(f"{device!r} has {len(known)} hardware ids: {', '.join(known)}; say --old for one of them")
    if new.casefold() in {value.casefold() for value in current}:
        raise ValueError(f"{new!r} speaks for {device!r} already")
    rows = [row.model_copy(update={"hardware_ids": replace_hardware(row.hardware_ids, known, [new], at)})]
    owner = store.speaking(new, at)
    left = None if owner is None else store.find(owner)
    if left is not None:
        if not move:
            raise ValueError(f"{new!r} speaks for {owner!r}; if it was moved to {device!r}, add --move")
        rows.append(left.model_copy(update={"hardware_ids": replace_hardware(left.hardware_ids, [new], [], at)}))
    # Checked as if they came from a file: the new id has not been looked at yet.
    return [FleetRow.model_validate(one.model_dump()) for one in rows]
