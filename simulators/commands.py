"""The commands of this package: simulate, simulated-year, record, replay."""

from pathlib import Path
from typing import Annotated

import typer

from simulators.shipped import shipped_names

# What the commands do is imported when they run: every other command of ``village`` starts without it.

_Broker = Annotated[str, typer.Option(help="host:port.")]
_Username = Annotated[str, typer.Option(help="The password is read from the environment: VILLAGE_BROKER_PASSWORD.")]
_CaFile = Annotated[Path | None, typer.Option(help="Speak TLS, and trust this certificate authority.")]
_Span = Annotated[str, typer.Option("--for", help="90s, 15m, 12h, 7d: then stop.")]


def register(app: typer.Typer) -> None:
    """Add this package's commands."""
    app.command("simulate")(simulate)
    app.command("simulated-year")(simulated_year)
    app.command("record")(record)
    app.command("replay")(replay)


def simulate(
    scenario: Annotated[str, typer.Argument(help=f"{', '.join(shipped_names())}, or a .toml file.")],
    broker: Annotated[
        str, typer.Option(help="host:port, 127.0.0.1:1883 by default; to write files alone, leave it out.")
    ] = "",
    username: _Username = "",
    ca_file: _CaFile = None,
    speed: Annotated[float, typer.Option(min=0.01, max=100_000, help="Simulated seconds in one second.")] = 1.0,
    begin: Annotated[str, typer.Option("--from", help="now, or a date or time; Vietnamese time.")] = "now",
    span: _Span = "",
    seed: Annotated[int | None, typer.Option(help="Another seed, other values; default: the scenario's.")] = None,
    fleet_out: Annotated[Path | None, typer.Option(help="Write the fleet's CSV here.")] = None,
    history: Annotated[str, typer.Option(help="How much past to write, 7d for example.")] = "7d",
    history_out: Annotated[Path | None, typer.Option(help="Write the past here, for village backfill.")] = None,
    truth: Annotated[Path | None, typer.Option(help="Write what became of every uplink here.")] = None,
    faults: Annotated[Path | None, typer.Option(help="Write what goes wrong in that time here.")] = None,
) -> None:
    """A fleet of devices that do not exist, on any MQTT broker, the same for the same seed."""
    from simulators.simulate_command import simulate_fleet  # noqa: PLC0415

    simulate_fleet(
        scenario,
        broker=broker,
        username=username,
        ca_file=ca_file,
        speed=speed,
        begin=begin,
        span=span,
        seed=seed,
        fleet_out=fleet_out,
        history_span=history,
        history_out=history_out,
        truth_out=truth,
        faults_out=faults,
    )


def simulated_year(
    year: Annotated[int, typer.Option(min=2024, max=2041)] = 2026,
    seed: Annotated[int, typer.Option()] = 1,
    docs: Annotated[Path | None, typer.Option(help="Write the page and its pictures into this folder.")] = None,
    check: Annotated[bool, typer.Option(help="Say whether the files in --docs are up to date.")] = False,
) -> None:
    """A simulated year against the published facts; exit status 1 if a figure is off."""
    from simulators.simulate_command import compare_year  # noqa: PLC0415

    compare_year(year, seed, docs, check=check)


def record(
    file: Annotated[Path, typer.Argument(help="JSON lines; compressed if the name ends in .gz.")],
    broker: _Broker,
    topic: Annotated[list[str] | None, typer.Option(help="MQTT filter; may be repeated. Default: #.")] = None,
    username: _Username = "",
    ca_file: _CaFile = None,
    span: _Span = "",
    max_mb: Annotated[int, typer.Option(min=1, max=1_000_000, help="Stop when the lines are this long.")] = 1024,
) -> None:
    """MQTT messages with their times to a file, for village replay; Ctrl-C ends it."""
    from simulators.recording_command import record_messages  # noqa: PLC0415

    record_messages(
        file, broker=broker, topic=topic or ["#"], username=username, ca_file=ca_file, span=span, max_mb=max_mb
    )


def replay(
    file: Annotated[Path, typer.Argument(help="A recording, or a station's record: .csv or JSON lines.")],
    broker: _Broker,
    speed: Annotated[float, typer.Option(min=0, max=1e6, help="The file's seconds in one; 0: no waiting.")] = 1.0,
    commune: Annotated[str, typer.Option(help="For records that do not say it.")] = "",
    device: Annotated[str, typer.Option(help="For records that do not say it.")] = "",
    username: _Username = "",
    ca_file: _CaFile = None,
) -> None:
    """A recording, or a real station's record, to a broker; the messages keep the times that stand in them."""
    from simulators.recording_command import replay_file  # noqa: PLC0415

    replay_file(file, broker=broker, speed=speed, commune=commune, device=device, username=username, ca_file=ca_file)
