"""The command ``village redecode``: accepted messages decoded again with a mended profile or calibration."""

import os
import time
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from devices.fleet_commands import fail
from devices.fleet_row import parse_since
from devices.fleet_store import open_fleet
from devices.profile import shipped_profiles
from devices.registry import Registry
from gateway import logs
from gateway.line import redecode as engine
from gateway.mending import menders
from gateway.refused_commands import CONFIG, Config, one_line_errors
from gateway.settings import Settings
from gateway.settings_file import load_settings

WAIT_SECONDS = 0.5
"""Between two questions whether the stores have what waits. Chosen."""


def register(app: typer.Typer) -> None:
    """Add the command ``redecode`` to the command line."""
    app.command("redecode")(redecode)


def redecode(
    since: Annotated[str, typer.Option(help="Received at or after this day or time; Vietnamese time.")],
    device: Annotated[list[str] | None, typer.Option(help="Whose messages; may stand several times.")] = None,
    profile: Annotated[str, typer.Option(help="Those of every device of this profile.")] = "",
    until: Annotated[str, typer.Option(help="Received before this day or time; default: now.")] = "",
    config: Config = CONFIG,
) -> None:
    """Decode accepted messages again, with profile and calibration as they are now; their points are overwritten.

    Messages are kept for `journal.raw_days`. What the mended profile gives another time or another name is a new point;
    the old one stays.

    Example: village redecode --device water-01 --since 2026-08-01
    """
    with one_line_errors():
        settings = load_settings(config, os.environ)
        logs.configure("warning", settings.gateway.log_format)
        start, end = parse_since(since), parse_since(until) if until else time.time_ns()
        names = _names(fleet_of(settings), device or (), profile)
        with menders(settings) as found:
            if found.running is not None:
                found.running.ask("POST", "/reload")
            uplinks = refused = damaged = 0
            for first in range(0, len(names), engine.MOST_DEVICES):
                wanted = engine.Wanted(tuple(names[first : first + engine.MOST_DEVICES]), start, end)
                last = redecode_all(found.redecoder, wanted)
                uplinks, refused = uplinks + last.uplinks, refused + last.refused
                damaged = max(damaged, last.damaged)
    typer.echo(f"{len(names)} devices: {uplinks} messages decoded again")
    if refused:
        typer.echo(f"{refused} cannot be read with the profile as it is now; their points stay as they were")
    if damaged:
        typer.echo(f"{damaged} rows of the journal are damaged; what they hold stays as it was")


def fleet_of(settings: Settings) -> Registry:
    """The fleet as its file is now."""
    return open_fleet(settings.gateway.fleet, shipped_profiles().values(), settings.sources())


def _names(fleet: Registry, devices: Sequence[str], profile: str) -> list[str]:
    if bool(devices) == bool(profile):
        fail("say either --device or --profile")
    for name in devices:
        if name not in fleet.index:
            fail(f"no device {name!r} in the fleet; see `village devices list`")
    if not profile:
        return list(dict.fromkeys(devices))
    names = [name for number, name in enumerate(fleet.names) if fleet.profile(number).id == profile]
    if not names:
        fail(f"no device of the fleet has the profile {profile!r}")
    return names


def redecode_all(redecoder: engine.CanRedecode, wanted: engine.Wanted) -> engine.Progress:
    """Every step of a job under a progress bar; returns the last."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        job, total = redecoder.begin(wanted)
        task = bar.add_task("redecode", total=total)
        told = False
        while True:
            step = redecoder.step(job)
            bar.update(task, completed=step.passed)
            if step.done:
                return step
            if step.waiting:
                if not told:
                    text = f"{step.waiting} lines still wait for a store; it goes on once they are there"
                    console.print(f"{text} (Ctrl-C leaves everything as it was)", highlight=False)
                    told = True
                time.sleep(WAIT_SECONDS)
