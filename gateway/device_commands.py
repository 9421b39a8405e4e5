"""The group ``village devices`` as a whole: the fleet of these settings, and senders nobody knows."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from devices import commands as device_library
from devices import fleet_commands
from devices.fleet_changes import put_checked
from devices.fleet_commands import FleetPlace, PlaceError, fail, writable
from devices.fleet_row import parse_since
from gateway import logs
from gateway.line.adoption import UnsaidError, adopted_row, find_sender, guess_in_words
from gateway.line.pending import pending
from gateway.line.replay import Wanted
from gateway.mending import menders
from gateway.redecode_commands import fleet_of
from gateway.refused_commands import CONFIG, Config, in_words, journal_file, moment, one_line_errors, replay_all
from gateway.running import RunningError, find_running, number
from gateway.settings import Settings
from gateway.settings_file import SettingsError, load_settings


def register(app: typer.Typer) -> None:
    """Add the group ``devices`` to the command line."""
    device_library.register(app)
    group = device_library.devices_group(app)
    fleet_commands.register(group, find_fleet)
    group.command("pending")(list_pending)
    group.command("adopt")(adopt)


def find_fleet(config: Path, fleet: Path | None) -> FleetPlace:
    """The fleet of these settings, or another; see ``fleet_commands.Find``."""
    if fleet is not None and not config.exists():
        return FleetPlace(fleet, lambda: "no settings, so no gateway was told")
    try:
        settings = load_settings(config, os.environ)
    except SettingsError as error:
        raise PlaceError(str(error)) from error
    if fleet is not None and fleet.absolute() != settings.gateway.fleet.absolute():
        return FleetPlace(fleet, lambda: f"gateway.fleet is {settings.gateway.fleet}, so no gateway was told")
    return FleetPlace(settings.gateway.fleet, lambda: _tell(settings))


def _tell(settings: Settings) -> str:
    running = find_running(settings)
    if running is None:
        return "no gateway answers; it takes effect at the next start"
    try:
        devices = number(running.ask("POST", "/reload"), "devices")
    except RunningError as error:
        return f"the gateway that runs cannot use it: {error}"
    return f"the gateway that runs has read it anew: {devices} devices"


def list_pending(
    since: Annotated[str, typer.Option(help="Heard at or after this day or time; Vietnamese time.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    config: Config = CONFIG,
) -> None:
    """List senders that are not in the fleet, each with the profiles that read what it said.

    Example: village devices pending --since 2026-08-01
    """
    with one_line_errors():
        settings = load_settings(config, os.environ)
        found = pending(journal_file(settings), fleet_of(settings), parse_since(since) if since else 0, limit)
    table = Table()
    table.add_column("sender", no_wrap=True)
    for heading in ("source", "messages", "last heard", "profile"):
        table.add_column(heading)
    for one in found:
        table.add_row(one.name, one.source, str(one.uplinks), moment(one.last_at), guess_in_words(one))
    Console().print(table)
    typer.echo("`village devices adopt SENDER` takes one in" if found else "nobody is pending")


def adopt(
    sender: Annotated[str, typer.Argument(metavar="TOPIC-OR-HARDWARE-ID", show_default=False)],
    device: Annotated[str, typer.Option(help="What the device is to be called; on our own topics it has a name.")] = "",
    profile: Annotated[str, typer.Option(help="Its profile; may be left out where the guess is sure.")] = "",
    commune: Annotated[str, typer.Option(help="Its commune's key; on our own topics the topic names it.")] = "",
    zone: Annotated[str, typer.Option(help="village, street, industrial_zone, or your own word.")] = "",
    cabinet: Annotated[str, typer.Option("--group", help="Cabinet or circuit.")] = "",
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    latitude: Annotated[float | None, typer.Option()] = None,
    longitude: Annotated[float | None, typer.Option()] = None,
    config: Config = CONFIG,
) -> None:
    """Take a pending sender into the fleet, and store what it has said so far, with its original times.

    With --device naming one that is in the fleet, the sender is new hardware of that device.

    Example: village devices adopt A84041FFFF215678 --device water-07 --profile decentlab_dl_ctd10 --commune 10642
    """
    with one_line_errors():
        settings = load_settings(config, os.environ)
        logs.configure("warning", settings.gateway.log_format)
        found = find_sender(journal_file(settings), fleet_of(settings), sender)
        said = {
            "device": device, "profile": profile, "commune": commune, "zone": zone, "group": cabinet, "name": name,
            "latitude": latitude, "longitude": longitude,
        }  # fmt: skip
        with writable(find_fleet(config, None)) as store:
            try:
                row = adopted_row(found, said, store)
            except UnsaidError as error:
                fail(f"--{error.key}: {error.text}")
            for change in put_checked(store, row, what="adopted"):
                typer.echo(f"adopted {change.device}: {row.profile} in commune {row.commune}")
        with menders(settings) as mending:
            if mending.running is not None:
                mending.running.ask("POST", "/reload")
            sums = replay_all(mending.replayer, Wanted(device=row.device))
        typer.echo(f"of what it had said, {in_words(sums)}")
