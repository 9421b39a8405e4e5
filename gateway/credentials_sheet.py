"""The sheet for the installer: each new account with its secret, written before the broker hears of it."""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from devices.registry import Registry
from devices.topics import COMMAND, UP, own_topic
from gateway.southbound.access import Issued
from gateway.southbound.accounts import AccessError

COLUMNS = (
    "device",
    "name",
    "commune",
    "group",
    "broker",
    "port",
    "client_id",
    "username",
    "password",
    "publish",
    "listen",
)


class Address(NamedTuple):
    """Where devices find the broker."""

    host: str
    port: int


def rows(issued: Iterable[Issued], registry: Registry, address: Address) -> list[tuple[str, ...]]:
    """One row an account, in the order of ``COLUMNS``."""
    found: list[tuple[str, ...]] = []
    for account in issued:
        device = registry.device(registry.index[account.device])
        topics = (own_topic(device.commune, device.name, UP), own_topic(device.commune, device.name, COMMAND))
        place = (device.name, device.label, device.commune, device.group)
        secret = (account.client_id, account.username, account.password)
        found.append((*place, address.host, str(address.port), *secret, *topics))
    return found


def as_csv(table: Sequence[tuple[str, ...]]) -> str:
    """With a heading."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([COLUMNS, *table])
    return text.getvalue()


def write_sheet(path: Path, table: Sequence[tuple[str, ...]]) -> None:
    """A new file that only its owner may read, on disk when this returns.

    Raises:
        AccessError: it exists, or cannot be written; no account has been made then.
    """
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        # With a byte order mark, so that a spreadsheet reads the Vietnamese names.
        with open(number, "w", encoding="utf-8-sig", newline="") as file:
            file.write(as_csv(table))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise AccessError(f"{path}: exists, and secrets are shown once; name a new file") from None
    except OSError as error:
        raise AccessError(f"{path}: {error.strerror}; no account was made") from error
