"""The group ``village devices`` as a whole: the fleet of these settings, and senders nobody knows."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from devices import commands as device_library
from devices import fleet_commands
from devices.fleet_changes import put_checked, replaced
from devices.fleet_commands import FleetPlace, PlaceError, writable
from devices.fleet_row import FleetRow, HardwareId, parse_since
from devices.fleet_store import FleetStore
from devices.topics import ROOT
from gateway import logs
from gateway.line.pending import Pending, pending
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
        table.add_row(one.name, one.source, str(one.uplinks), moment(one.last_at), _guess(one))
    Console().print(table)
    typer.echo("`village devices adopt SENDER` takes one in" if found else "nobody is pending")


def _guess(one: Pending) -> str:
    if not one.guesses:
        return "no profile reads it"
    if one.sureness == "unsure":
        return " or ".join(guess.profile for guess in one.guesses) + " (unsure)"
    return f"{one.guesses[0].profile} ({one.sureness})"


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
        found = _find_pending(settings, sender)
        asked: dict[str, object] = {
            "device": device, "profile": profile, "commune": commune, "zone": zone, "group": cabinet, "name": name,
            "latitude": latitude, "longitude": longitude,
        }  # fmt: skip
        with writable(find_fleet(config, None)) as store:
            row = _row(found, {key: value for key, value in asked.items() if value not in {"", None}}, store)
            for change in put_checked(store, row, what="adopted"):
                typer.echo(f"adopted {change.device}: {row.profile} in commune {row.commune}")
        with menders(settings) as mending:
            if mending.running is not None:
                mending.running.ask("POST", "/reload")
            sums = replay_all(mending.replayer, Wanted(device=row.device))
        typer.echo(f"of what it had said, {in_words(sums)}")


def _find_pending(settings: Settings, sender: str) -> Pending:
    found = pending(journal_file(settings), fleet_of(settings), name=sender)
    if not found:
        raise ValueError(f"{sender!r} is not pending; see `village devices pending`")
    if len(found) > 1:
        topics = ", ".join(one.topic for one in found)
        raise ValueError(f"{sender!r} is heard from {len(found)} sources; name one by its topic: {topics}")
    return found[0]


def _row(found: Pending, asked: dict[str, object], store: FleetStore) -> FleetRow:
    """The row that takes a sender in.

    Raises:
        ValueError: something must be said, or contradicts the topic; names the option.
    """
    own = {"device": found.name, "commune": found.commune} if found.source == ROOT else {}
    for key, value in own.items():
        if asked.get(key, value) != value:
            raise ValueError(f"--{key}: {found.topic} names {value!r}, so it can only be that")
    asked |= own
    if "device" not in asked:
        raise ValueError(f"--device: say what {found.name!r} is to be called")
    known = store.find(str(asked["device"]))
    since = found.first_at // 10**9 * 10**9
    if known is not None:
        if own:
            raise ValueError(
                f"{known.device!r} is in the fleet, in commune {known.commune!r}; its topic says otherwise"
            )
        return replaced(store, known.device, found.name, "", since, move=False)[0]
    if "commune" not in asked:
        raise ValueError("--commune: say where it stands")
    if "profile" not in asked:
        if found.sureness != "sure":
            raise ValueError(f"--profile: say which; {_guess(found)}")
        asked["profile"] = found.guesses[0].profile
    if not own:
        start = since if store.has_hardware(found.name) else 0
        asked["hardware_ids"] = (HardwareId(found.name, start),)
    return FleetRow.model_validate(asked)
