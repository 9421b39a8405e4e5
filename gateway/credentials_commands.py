"""The command group ``village devices credentials``: accounts of devices, network servers and the gateway itself."""

import os
import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from devices.fleet_store import open_fleet
from devices.profile import shipped_profiles
from devices.registry import Registry
from gateway.certificates import AUTHORITY, Authority, Pair
from gateway.credentials_office import carry_out, gateway_account, office_for, one_line_errors, with_secrets
from gateway.credentials_sheet import Address, as_csv, rows, write_sheet
from gateway.settings import Settings
from gateway.settings_file import load_settings
from gateway.southbound import access
from gateway.southbound.accounts import AccessError, Accounts, Client, Command, Office
from gateway.southbound.accounts_file import AccountsFile
from gateway.southbound.rights import gateway_rights, server_rights, server_role

DEVICE_PORT = 8883
"""Where devices come in with TLS; see ``deploy/mosquitto.d/tls.conf``."""

credentials = typer.Typer(no_args_is_help=True, help="Accounts of devices at the broker: create, rotate, end, check.")

Config = Annotated[
    Path, typer.Option("--config", "-c", envvar="VILLAGE_CONFIG", help="The settings; see `village.example.toml`.")
]
CONFIG = Path("village.toml")
Devices = Annotated[list[str] | None, typer.Argument(help="Names of devices.", show_default=False)]
Admin = Annotated[
    str, typer.Option(envvar="VILLAGE_BROKER_ADMIN", help="The broker's account that may change accounts.")
]
File = Annotated[
    Path | None,
    typer.Option(
        "--accounts-file",
        help="Change the broker's file while the broker is stopped: for thousands of accounts at once.",
        show_default=False,
    ),
]
Service = Annotated[str, typer.Option(help="With --accounts-file: stop and start this systemd service around it.")]
Sheet = Annotated[
    Path | None, typer.Option(help="Write the secrets to this new file, as CSV; without it they are printed.")
]
Host = Annotated[str, typer.Option("--host", help="The broker's name as devices know it; default: this machine's.")]
Port = Annotated[int, typer.Option("--port", help="The broker's port for devices.", min=1, max=65535)]
All = Annotated[bool, typer.Option("--all", help="Every device that has none yet.")]
Commune = Annotated[str, typer.Option(help="With --all: only of this commune.")]


def _open(config: Path) -> tuple[Settings, Registry]:
    settings = load_settings(config, os.environ)
    return settings, open_fleet(settings.gateway.fleet, shipped_profiles().values(), settings.sources())


def _named(registry: Registry, names: Sequence[str] | None) -> list[int]:
    if not names:
        raise AccessError("name at least one device")
    unknown = [name for name in names if name not in registry.index]
    if unknown:
        raise AccessError(f"{unknown[0]} is not in the fleet; see `village devices list`")
    return [registry.index[name] for name in dict.fromkeys(names)]


def _without_account(registry: Registry, known: Accounts, commune: str) -> list[int]:
    return [
        device
        for device, name in enumerate(registry.names)
        if not registry.is_simulated(device)
        and commune in {"", registry.commune(device)}
        and not access.passwords_of(name, known)
    ]


def _issue(
    office: Office, made: Sequence[access.Issued], registry: Registry, sheet: Path | None, address: Address, what: str
) -> None:
    """Secrets are on disk before the broker hears of them: broken off in between, none is lost."""
    if not made:
        typer.echo("every device has its account", err=True)
        return
    table = rows(made, registry, address)
    if sheet is not None:
        write_sheet(sheet, table)
    carry_out(office, [command for account in made for command in account.commands], what)
    if sheet is None:
        typer.echo(as_csv(table), nl=False)
    else:
        typer.echo(f"{len(made)} accounts; their secrets are in {sheet} and nowhere else", err=True)


# commands ---------------------------------------------------------------------------------------------------------


@credentials.command()
def begin(
    accounts_file: Annotated[Path, typer.Option(help="The broker's file of accounts, which must not exist.")],
    secrets_file: Annotated[Path, typer.Option(help="File of the service that gets the gateway's account.")],
    admin_file: Annotated[Path, typer.Option(help="File that gets the administrator's account, for root only.")],
    admin: Admin = "admin",
    config: Config = CONFIG,
) -> None:
    """Before the broker's first start: its file, with an administrator, the gateway, and nothing for anybody else.

    Example: village devices credentials begin --accounts-file dynamic-security.json --secrets-file secrets.env
    --admin-file broker-admin.env
    """
    with one_line_errors():
        if accounts_file.exists():
            raise AccessError(f"{accounts_file}: exists, and every device's account is in it; it is kept")
        settings, (_, today) = load_settings(config, os.environ), _now()
        client, password, admin_password = (
            gateway_account(settings, today),
            access.new_password(),
            access.new_password(),
        )
        admin_lines = {"VILLAGE_BROKER_ADMIN": admin, "VILLAGE_BROKER_ADMIN_PASSWORD": admin_password}
        # The accounts get their name last: broken off before that, the same command begins anew.
        begun = accounts_file.with_name(f"{accounts_file.name}.begun")
        begun.unlink(missing_ok=True)
        file = AccountsFile.make(begun, admin, admin_password)
        carry_out(file, access.admit(client, gateway_rights(settings.sources()), password, file.read()), "account")
        with_secrets(admin_file, admin_lines).replace(admin_file)
        with_secrets(secrets_file, _gateway_lines(client, password)).replace(secrets_file)
        begun.rename(accounts_file)
    typer.echo(f"{accounts_file}: made; the administrator's account is in {admin_file}")


@credentials.command()
def create(
    names: Devices = None,
    every: All = False,
    commune: Commune = "",
    sheet: Sheet = None,
    host: Host = "",
    port: Port = DEVICE_PORT,
    admin: Admin = "admin",
    accounts_file: File = None,
    service: Service = "",
    config: Config = CONFIG,
) -> None:
    """Make accounts; each device may use its own topics only, under its own client id.

    Example: village devices credentials create --all --sheet lamps.csv
    """
    with one_line_errors():
        settings, registry = _open(config)
        with office_for(settings, admin, accounts_file, service) as office:
            known = office.read()
            devices = _without_account(registry, known, commune) if every else _named(registry, names)
            at, today = _now()
            made = [access.enroll(registry, device, known, at, today) for device in devices]
            _issue(office, made, registry, sheet, _address(host, port), "accounts")


@credentials.command()
def rotate(
    names: Devices = None,
    sheet: Sheet = None,
    host: Host = "",
    port: Port = DEVICE_PORT,
    admin: Admin = "admin",
    accounts_file: File = None,
    service: Service = "",
    config: Config = CONFIG,
) -> None:
    """Make a second account beside the first; the device changes over when it is reached, then `retire` ends the first.

    Example: village devices credentials rotate lamp-017
    """
    with one_line_errors():
        settings, registry = _open(config)
        with office_for(settings, admin, accounts_file, service) as office:
            known, (at, today) = office.read(), _now()
            made = [access.rotate(registry, device, known, at, today) for device in _named(registry, names)]
            _issue(office, made, registry, sheet, _address(host, port), "new accounts")


@credentials.command()
def certificate(
    names: Devices = None,
    authority: Annotated[Path, typer.Option(help="Folder of the authority.")] = AUTHORITY,
    folder: Annotated[Path, typer.Option(help="Where the files go: one folder a device.")] = Path(
        "device-certificates"
    ),
    admin: Admin = "admin",
    config: Config = CONFIG,
) -> None:
    """Make a certificate for each device, and the account it names: the second way in, without a password.

    Example: village devices credentials certificate lamp-017
    """
    with one_line_errors():
        settings, registry = _open(config)
        signer = Authority(authority)
        with office_for(settings, admin, None, "") as office:
            known, (at, today) = office.read(), _now()
            made = [access.certify(registry, device, known, at, today) for device in _named(registry, names)]
            for account in made:
                place = folder / account.device
                files = Pair(place / f"{account.username}.crt", place / f"{account.username}.key")
                signer.issue_client(files, account.username, datetime.fromtimestamp(at / 1e9, UTC))
            carry_out(office, [command for account in made for command in account.commands], "certificates")
    typer.echo(f"{len(made)} certificates in {folder}; each device also needs {signer.files.certificate}", err=True)


@credentials.command()
def retire(names: Devices = None, admin: Admin = "admin", config: Config = CONFIG) -> None:
    """End the older account of devices that use the new one.

    Example: village devices credentials retire lamp-017
    """
    _end(access.retire, names, admin, config)


@credentials.command()
def revoke(names: Devices = None, admin: Admin = "admin", config: Config = CONFIG) -> None:
    """End every account of a device at once: it was stolen, lost or taken out of the fleet.

    Example: village devices credentials revoke lamp-017
    """
    _end(access.revoke, names, admin, config)


def _end(how: Callable[[str, Accounts], list[Command]], names: Devices, admin: str, config: Path) -> None:
    with one_line_errors():
        settings = load_settings(config, os.environ)
        if not names:
            raise AccessError("name at least one device")
        with office_for(settings, admin, None, "") as office:
            known = office.read()
            commands = [command for name in dict.fromkeys(names) for command in how(name, known)]
            carry_out(office, commands, "accounts")
        typer.echo(f"{sum(command['command'] == 'deleteClient' for command in commands)} accounts ended")


@credentials.command()
def check(admin: Admin = "admin", config: Config = CONFIG) -> None:
    """Say what at the broker is not as the fleet says; exit status 1 if anything is.

    Example: village devices credentials check
    """
    with one_line_errors():
        settings, registry = _open(config)
        with office_for(settings, admin, None, "") as office:
            at, today = _now()
            found = list(access.drift(registry, office.read(), gateway_account(settings, today), at))
    for one in found:
        typer.echo(f"{one.kind:<9} {one.text}")
    if found:
        raise typer.Exit(1)
    typer.echo("every account is as the fleet says")


@credentials.command()
def mend(admin: Admin = "admin", accounts_file: File = None, service: Service = "", config: Config = CONFIG) -> None:
    """Make rights and bindings as the fleet says, and end accounts of devices that are not in it.

    Example: village devices credentials mend
    """
    with one_line_errors():
        settings, registry = _open(config)
        with office_for(settings, admin, accounts_file, service) as office:
            at, today = _now()
            found = list(access.drift(registry, office.read(), gateway_account(settings, today), at))
            carry_out(office, [command for one in found for command in one.mending], "mending")
    left = [one for one in found if not one.mending]
    typer.echo(f"{len(found) - len(left)} mended")
    for one in left:
        typer.echo(f"{one.kind:<9} {one.text}")


@credentials.command()
def gateway(
    secrets_file: Annotated[
        Path | None,
        typer.Option(help="Put GATEWAY_BROKER_USERNAME and GATEWAY_BROKER_PASSWORD into this file of the service."),
    ] = None,
    admin: Admin = "admin",
    accounts_file: File = None,
    service: Service = "",
    config: Config = CONFIG,
) -> None:
    """Make the gateway's own account, or give it a new password; restart the gateway afterwards.

    Example: village devices credentials gateway --secrets-file /etc/village/secrets.env
    """
    with one_line_errors():
        settings = load_settings(config, os.environ)
        client, password = gateway_account(settings, _now()[1]), access.new_password()
        # Written first and put in place last: nothing changes if either cannot be done.
        lines = _gateway_lines(client, password)
        fresh = None if secrets_file is None else with_secrets(secrets_file, lines)
        with office_for(settings, admin, accounts_file, service) as office:
            carry_out(
                office, access.admit(client, gateway_rights(settings.sources()), password, office.read()), "account"
            )
        if fresh is not None and secrets_file is not None:
            fresh.replace(secrets_file)
    if secrets_file is None:
        typer.echo("\n".join(f"{name}={value}" for name, value in lines.items()))


@credentials.command()
def server(
    source: Annotated[str, typer.Argument(help="Name of a source in the settings, for example chirpstack.")],
    client_id: Annotated[str, typer.Option(help="The only client id it may use; without it, any.")] = "",
    admin: Admin = "admin",
    config: Config = CONFIG,
) -> None:
    """Make the account of a network server or bridge, for its topics only, or give it a new password.

    Example: village devices credentials server chirpstack
    """
    with one_line_errors():
        settings = load_settings(config, os.environ)
        client = Client(f"server{access.MARK}{source}", client_id, (server_role(source),), note=_now()[1])
        password = access.new_password()
        with office_for(settings, admin, None, "") as office:
            rights = server_rights(source, settings.sources())
            carry_out(office, access.admit(client, rights, password, office.read()), "account")
        typer.echo(f"username {client.username}\npassword {password}")


def _gateway_lines(client: Client, password: str) -> dict[str, str]:
    return {"GATEWAY_BROKER_USERNAME": client.username, "GATEWAY_BROKER_PASSWORD": password}


def _address(host: str, port: int) -> Address:
    return Address(host or socket.getfqdn(), port)


def _now() -> tuple[int, str]:
    at = time.time_ns()
    return at, datetime.fromtimestamp(at / 1e9, UTC).date().isoformat()
