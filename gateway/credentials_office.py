"""Where the commands change accounts: at the running broker, or in its file while it is stopped; errors as one line."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console
from rich.progress import Progress

from devices.fleet_csv import FleetError
from gateway.backup_set import BackupError
from gateway.certificate_ends import CertificateError
from gateway.line.journal_file import JournalError
from gateway.settings import Settings
from gateway.settings_file import SettingsError
from gateway.southbound.accounts import AccessError, Client, Command, Office
from gateway.southbound.accounts_file import AccountsFile
from gateway.southbound.dynamic_security import LiveAccounts
from gateway.southbound.rights import GATEWAY_ROLE

MANY = 200
"""So many changes while the broker runs take it some 5 s; ten times as many take a hundred times as long (measured)."""
WAIT_SECONDS = 30.0


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What goes wrong is one line and an exit status: 2 for settings and fleet, 1 for the rest."""
    try:
        yield
    except (SettingsError, FleetError) as error:
        _fail(str(error), 2)
    except (AccessError, CertificateError, BackupError, JournalError) as error:
        _fail(str(error), 1)


def _fail(text: str, status: int) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(status)


@contextmanager
def office_for(settings: Settings, admin: str, file: Path | None, service: str) -> Iterator[Office]:
    """The broker's accounts, open for as long as the context lasts.

    Args:
        settings: where the broker is.
        admin: the account that may change accounts; its password is in the environment or asked for.
        file: change the broker's file instead; it must not run meanwhile.
        service: with ``file``: stop and start this systemd service around it.

    Raises:
        AccessError: they cannot be had.
    """
    if file is None:
        password = os.environ.get("VILLAGE_BROKER_ADMIN_PASSWORD") or typer.prompt(
            f"Password of {admin} at the broker", hide_input=True, err=True
        )
        with LiveAccounts(settings.broker, admin, password) as live:
            yield live
        return
    if service:
        _systemctl("stop", service)
    try:
        if _is_running(settings):
            raise AccessError("the broker runs and would not see the change; stop it, or name its --service")
        yield AccountsFile(file)
    finally:
        if service:
            _systemctl("start", service)
    if service:
        until = time.monotonic() + WAIT_SECONDS
        while not _is_running(settings):
            if time.monotonic() > until:
                raise AccessError(f"{service} was started and does not listen; see `journalctl -u {service}`")
            time.sleep(0.05)


def _systemctl(verb: str, service: str) -> None:
    try:
        done = subprocess.run(["systemctl", verb, service], capture_output=True, text=True, check=False)  # noqa: S607
    except OSError as error:
        raise AccessError(f"systemctl {verb} {service}: {error.strerror}; {verb} the broker by hand") from error
    if done.returncode:
        raise AccessError(f"systemctl {verb} {service}: {done.stderr.strip() or 'failed'}; run this as root")


def _is_running(settings: Settings) -> bool:
    try:
        socket.create_connection((settings.broker.host, settings.broker.port), timeout=2).close()
    except OSError:
        return False
    return True


def carry_out(office: Office, commands: Sequence[Command], what: str) -> None:
    """Carry out with a progress bar.

    Raises:
        AccessError: the broker refused some; the rest is done.
    """
    if len(commands) > MANY and isinstance(office, LiveAccounts):
        typer.echo(
            f"{len(commands)} changes, and the broker passes nothing on while it makes one; with --accounts-file and "
            "--service it is stopped for some seconds instead",
            err=True,
        )
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=len(commands))
        refused = office.run(commands, lambda done, _total: bar.update(task, completed=done))
    if refused:
        raise AccessError(f"the broker refused {len(refused)} of {len(commands)} changes, first: {refused[0]}")


def gateway_account(settings: Settings, today: str) -> Client:
    """The gateway's own account, as the settings name it.

    It is not bound to a client id: `village doctor` comes in with the same account while the gateway is connected.
    """
    return Client(settings.broker.username or "gateway", "", (GATEWAY_ROLE,), note=today)


def with_secrets(path: Path, lines: Mapping[str, str]) -> Path:
    """A copy of a file of variables, beside it, with these replaced and the others left; to be put in its place."""
    temporary = path.with_name(f"{path.name}.new")
    try:
        before = path.read_text("utf-8").splitlines() if path.exists() else []
        kept = [line for line in before if line.partition("=")[0].strip() not in lines]
        number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(number, "w", encoding="utf-8") as file:
            file.write("\n".join([*kept, *(f"{name}={value}" for name, value in lines.items()), ""]))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise AccessError(f"{path}: {error.strerror}; run this as root") from error
    return temporary
