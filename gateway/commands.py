"""The gateway's commands: run, check, doctor, decode, backfill, settings, demo and index."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from devices.fleet_store import open_fleet
from devices.profile import shipped_profiles
from devices.standards import load
from gateway import logs, service
from gateway.analytics import commands as index_commands
from gateway.backfill_client import backfill as backfill_file
from gateway.demo import demo as run_demo
from gateway.doctor import examine
from gateway.line.backfill import BackfillError
from gateway.line.decode_once import decode_once
from gateway.line.pipeline import Limits
from gateway.settings_file import load_settings, render_example

Config = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        envvar="VILLAGE_CONFIG",
        help="The settings; `village settings` prints a file that explains each.",
    ),
]
CONFIG = Path("village.toml")
MOST_BYTES = 16 << 20
"""More of a payload is not read: every limit lies far below."""


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for command in (run, check, doctor, decode, backfill, settings, demo):
        app.command()(command)
    index_commands.register(app)


def run(config: Config = CONFIG) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    Broker and stores may start before or after it, in any order.

    Example: village run --config /etc/village/village.toml
    """
    settings = load_settings(config, os.environ)
    logs.configure(settings.gateway.log_level, settings.gateway.log_format)
    raise typer.Exit(service.run(settings))


def check(config: Config = CONFIG) -> None:
    """Check settings, fleet and profiles, without any network.

    Example: village check --config village.toml
    """
    settings = load_settings(config, os.environ)
    typer.echo(
        f"settings   {config}: {len(settings.store)} store(s), {len(settings.sources()) + 1} source(s) of topics"
    )
    profiles = shipped_profiles()
    load(settings.gateway.standards)
    typer.echo(f"profiles   {len(profiles)} device profiles")
    fleet = open_fleet(settings.gateway.fleet, profiles.values(), settings.sources())
    simulated = sum(fleet.is_simulated(device) for device in range(len(fleet)))
    note = f", {simulated} of them simulated" if simulated else ""
    typer.echo(
        f"fleet      {settings.gateway.fleet}: {len(fleet)} devices in {len(fleet.communes.texts)} commune(s){note}"
    )


def doctor(
    config: Config = CONFIG,
    mosquitto_conf: Annotated[
        Path | None,
        typer.Option(
            envvar="VILLAGE_MOSQUITTO_CONF",
            help="The broker's configuration file, where Mosquitto runs on this machine.",
        ),
    ] = None,
) -> None:
    """Look at broker, stores, clock, disk, fleet and port; one line each, exit status 1 if something is to be mended.

    Example: village doctor --mosquitto-conf /etc/village/mosquitto.conf
    """
    problems = 0
    for finding in examine(load_settings(config, os.environ), mosquitto_conf, config, os.environ):
        typer.echo(f"{'ok  ' if finding.ok else 'MEND'}  {finding.part:<16}  {finding.text}")
        problems += not finding.ok
    if problems:
        raise typer.Exit(1)


def settings() -> None:
    """Print a settings file to start from: every key with its meaning, range, default and environment variable.

    Example: village settings > village.toml
    """
    typer.echo(render_example(), nl=False)


def decode(
    topic: Annotated[str, typer.Argument(help="The MQTT topic it came on.")],
    file: Annotated[Path, typer.Argument(help="The payload's bytes; - reads standard input.")],
    config: Config = CONFIG,
) -> None:
    """Show what the gateway would store of one payload: readings as JSON lines, or the refusal and exit status 1.

    Example: echo '{"power": 58.2}' | village decode village/10642/lamp-017/up -
    """
    settings = load_settings(config, os.environ)
    fleet = open_fleet(settings.gateway.fleet, shipped_profiles().values(), settings.sources())
    with sys.stdin.buffer if str(file) == "-" else file.open("rb") as source:
        payload = source.read(MOST_BYTES)
    limits = Limits(settings.gateway.max_payload_bytes, settings.gateway.accept_simulated)
    for reading in decode_once(fleet, topic, payload, time.time_ns(), limits):
        typer.echo(json.dumps(reading, ensure_ascii=False))


def backfill(
    file: Annotated[
        Path, typer.Argument(help="CSV with a header, or JSON lines; `time` or `observed_at` in RFC 3339.")
    ],
    device: Annotated[str, typer.Option(help="Whose readings these are, where the file has no column `device`.")] = "",
    config: Config = CONFIG,
) -> None:
    """Take old readings in, through the line; broken off, the same command goes on where it stopped.

    Goes to the running gateway if there is one, else it opens the journal itself.

    Example: village backfill --device water-01 canal-2025.csv
    """
    settings = load_settings(config, os.environ)
    logs.configure("warning", settings.gateway.log_format)
    sums = backfill_file(settings, file, device, quiet=not sys.stderr.isatty())
    earlier = f", {sums.skipped} by an earlier run" if sums.skipped else ""
    typer.echo(
        f"{file}: {sums.records} records; {sums.kept} kept, {sums.repeated} repeated, {sums.refused} refused{earlier}"
    )
    if sums.refused:
        raise BackfillError(f"{sums.refused} records were refused; /refused says which and why")


def demo(
    folder: Annotated[Path, typer.Option(help="Where the data stays between two demos.")] = Path("demo-data"),
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the board.")] = 8765,
    history: Annotated[int, typer.Option(min=0, max=365, help="Days of past to begin with.")] = 7,
) -> None:
    """Everything on this machine: broker, gateway, embedded store, a simulated commune, the board.

    Example: village demo --port 8080
    """
    logs.configure("warning", "console")
    raise typer.Exit(run_demo(folder, port, history))
