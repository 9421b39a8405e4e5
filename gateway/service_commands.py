"""The commands of a service: accounts of devices, certificates, backup and restore."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from devices.commands import devices_group
from gateway import device_commands
from gateway.backup import back_up
from gateway.backup_set import BackupError, Manifest, Progress, prune, whole_backups
from gateway.backup_set import verify as verify_backup
from gateway.certificate_ends import examine, mode_problem
from gateway.certificates import AUTHORITY, RENEW_DAYS, Authority, Pair
from gateway.credentials_commands import CONFIG, Config, credentials
from gateway.credentials_office import one_line_errors
from gateway.restore import copy as copy_backup
from gateway.restore import restore as restore_backup
from gateway.settings_file import load_settings

CERTIFICATES = Path("/etc/village/certificates")
"""Where the installation keeps certificates of this machine's servers; the broker reads them there."""

certificates = typer.Typer(no_args_is_help=True, help="A small certificate authority for this commune's TLS.")
backup = typer.Typer(
    invoke_without_command=True, no_args_is_help=True, help="Back up everything the gateway keeps, while it runs."
)
Folder = Annotated[Path, typer.Option(help="Folder of the authority; only root may read it.")]


def register(app: typer.Typer) -> None:
    """Add ``certificates``, ``backup`` and ``restore`` to the command line."""
    app.add_typer(certificates, name="certificates")
    app.add_typer(backup, name="backup")
    app.command()(restore)


def register_devices(app: typer.Typer) -> None:
    """Add the group ``devices``, with ``credentials``, which needs the broker of the settings."""
    device_commands.register(app)
    devices_group(app).add_typer(credentials, name="credentials")


# certificates -----------------------------------------------------------------------------------------------------


@certificates.command("authority")
def make_authority(
    folder: Folder = AUTHORITY,
    name: Annotated[str, typer.Option(help="Shown where somebody looks at a certificate.")] = "Smart village",
) -> None:
    """Make the authority, once; ca.crt goes to every device, ca.key to nobody.

    Example: village certificates authority --name "Xã Thái Tân"
    """
    with one_line_errors():
        made = Authority.make(folder, name, datetime.now(UTC))
    typer.echo(f"{made.files.certificate}: give it to every device; keep a copy of {made.files.key} in a safe place")


@certificates.command("server")
def make_server(
    name: Annotated[str, typer.Argument(help="Of the files: broker, api, influxdb.")],
    host: Annotated[list[str], typer.Option(help="A name or address by which it is reached; may be repeated.")],
    authority: Folder = AUTHORITY,
    folder: Annotated[Path, typer.Option(help="Where the files go.")] = CERTIFICATES,
    group: Annotated[str, typer.Option(help="Of the account that reads the key, for example mosquitto.")] = "",
    renew_days: Annotated[int, typer.Option(min=0, max=800, help="Leave one alone that lasts longer.")] = RENEW_DAYS,
) -> None:
    """Make or renew a server's certificate; exit status 3 says that nothing had to be done.

    Example: village certificates server broker --host box.local --host 192.168.1.5 --group mosquitto
    """
    with one_line_errors():
        signer, files = Authority(authority), Pair(folder / f"{name}.crt", folder / f"{name}.key")
        is_new = signer.issue_server(files, host, datetime.now(UTC), renew_days=renew_days, group=group)
        beside = folder / "ca.crt"
        certificate = signer.files.certificate.read_bytes()
        if not beside.exists() or beside.read_bytes() != certificate:
            beside.write_bytes(certificate)
    if not is_new:
        typer.echo(f"{files.certificate}: lasts, left as it is")
        raise typer.Exit(3)
    typer.echo(f"{files.certificate}: made; reload the server that shows it")


@certificates.command("check")
def check_certificates(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Certificates; default: all of this machine.", show_default=False)
    ] = None,
    folder: Annotated[Path, typer.Option(help="Where they are looked for.")] = CERTIFICATES,
) -> None:
    """Say when certificates end and who may read their keys; exit status 1 if something has to be done.

    Example: village certificates check
    """
    paths = files or sorted(folder.glob("*.crt"))
    problems = []
    for state in examine(paths, datetime.now(UTC)):
        found = [problem for problem in (state.problem, mode_problem(state.path.with_suffix(".key"))) if problem]
        problems += found
        typer.echo("\n".join(found) or f"{state.path}: {state.name}, until {state.ends:%Y-%m-%d}")
    if not paths:
        typer.echo(f"{folder}: holds no certificates")
    if problems:
        raise typer.Exit(1)


# backup -----------------------------------------------------------------------------------------------------------


@contextmanager
def _bar() -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bars:
        task = bars.add_task("")
        yield lambda what, done, total: bars.update(task, description=what, completed=done, total=total)


@backup.callback()
def make_backup(
    context: typer.Context,
    to: Annotated[Path | None, typer.Option(help="Folder for backups, on another disk.", show_default=False)] = None,
    include: Annotated[
        list[Path] | None,
        # Whether it can be read shows when it is: access(2) does not know of the right the nightly backup has.
        typer.Option(readable=False, help="Another file or folder to take along; may be repeated."),
    ] = None,
    keep: Annotated[int, typer.Option(min=0, max=1000, help="Delete all but so many; 0 keeps all.")] = 0,
    copy_to: Annotated[
        Path | None, typer.Option(help="Copy it there too, for example a mounted folder of the data center.")
    ] = None,
    config: Config = CONFIG,
) -> None:
    """Make a backup while the gateway runs: journal with refused and raw uplinks, state, stores, fleet, settings.

    Example: village backup --to /mnt/usb --keep 7
    """
    if context.invoked_subcommand is not None:
        return
    with one_line_errors():
        if to is None:
            raise BackupError("say --to which folder")
        settings = load_settings(config, os.environ)
        with _bar() as progress:
            made = back_up(settings, config, to, includes=include or [], progress=progress)
        typer.echo(f"{made}: {_size(made)}, checked")
        if copy_to is not None:
            with _bar() as progress:
                copied, _ = copy_backup(made, copy_to, progress=progress)
            typer.echo(f"{copied}: the same, checked")
        if keep:
            for gone in prune(to, keep):
                typer.echo(f"{gone}: deleted, {keep} newer ones are kept")


@backup.command("copy")
def copy_command(
    backup_folder: Annotated[Path, typer.Argument(help="A finished backup, or a folder of them: then the newest.")],
    to: Annotated[Path, typer.Option(help="Folder on another disk or machine.")],
    check: Annotated[bool, typer.Option(help="Read the copy back.")] = True,
) -> None:
    """Copy a backup; broken off, the same command goes on where it stopped.

    Example: village backup copy /var/backups/village --to /mnt/province
    """
    with one_line_errors(), _bar() as progress:
        copied, earlier = copy_backup(_newest(backup_folder), to, check=check, progress=progress)
    typer.echo(f"{copied}: {_size(copied)}, {earlier >> 20} MB of them from an earlier try")


@backup.command("verify")
def verify_command(
    backup_folder: Annotated[Path, typer.Argument(help="A backup, or a folder of them: then the newest.")],
) -> None:
    """Read a whole backup and compare it with its list.

    Example: village backup verify /mnt/province
    """
    with one_line_errors(), _bar() as progress:
        folder = _newest(backup_folder)
        manifest = verify_backup(folder, progress)
    typer.echo(f"{folder}: whole, {len(manifest.files)} files of {manifest.made_at}")
    typer.echo(_sums(manifest))


def restore(
    backup_folder: Annotated[Path, typer.Argument(help="A backup, or a folder of them: then the newest.")],
    replace: Annotated[bool, typer.Option(help="Set aside what stands in the way, under another name.")] = False,
    with_includes: Annotated[
        bool, typer.Option("--with-includes", help="Also put back what was taken along with --include.")
    ] = False,
    config: Config = CONFIG,
) -> None:
    """Put a backup back in place; stop the gateway first.

    Example: village restore /mnt/usb --config /etc/village/village.toml
    """
    with one_line_errors(), _bar() as progress:
        folder = _newest(backup_folder)
        done = restore_backup(
            folder, config, os.environ, replace=replace, with_includes=with_includes, progress=progress
        )
    typer.echo(f"{folder}: {done.files} files put back")
    for aside in done.set_aside:
        typer.echo(f"{aside}: what stood there before")
    if done.sums is not None:
        holds = "hold" if done.sums.holds else "do NOT hold, as they did not when it was saved"
        typer.echo(f"{done.sums.received} uplinks, {done.sums.lines_kept} lines; the sums {holds}")


def _newest(folder: Path) -> Path:
    found = whole_backups(folder)
    return found[-1] if found else folder


def _size(folder: Path) -> str:
    return f"{sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 1e6:.1f} MB"


def _sums(manifest: Manifest) -> str:
    ledger = manifest.ledger
    if ledger is None:
        return "it holds no journal"
    holds = "hold" if ledger.holds else "do NOT hold"
    return f"{ledger.received} uplinks, {ledger.lines_kept} lines; the sums {holds}"
