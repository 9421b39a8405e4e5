"""The commands of this package: ``village simulate``."""

import os
import secrets
import signal
import ssl
import sys
import threading
import time
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Annotated, NoReturn
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from devices.fleet_row import DEFAULT_ZONE
from simulators import documents
from simulators.fleet import Fleet, build, write_csv
from simulators.local_time import DAY, FIRST
from simulators.publisher import Broker, BrokerRefusedError
from simulators.scenario import ScenarioError, load_scenario, shipped_names
from simulators.simulate import Pace
from simulators.simulate import Progress as Where
from simulators.simulate import run as run_fleet
from simulators.simulated_year import figures
from simulators.stream import history
from simulators.truth import Truth

_console = Console(stderr=True)
_ZONE = ZoneInfo(DEFAULT_ZONE)
_SPANS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY, "w": 7 * DAY}
LAST = FIRST + 19 * 365 * DAY
PASSWORD = "VILLAGE_BROKER_PASSWORD"  # noqa: S105 - the name of the variable


def _fail(text: str) -> NoReturn:
    """One line, and the exit status of wrong settings."""
    typer.echo(text, err=True)
    raise typer.Exit(2)


def parse_span(text: str) -> float:
    """Seconds of ``90s``, ``15m``, ``12h``, ``7d``, ``2w``.

    >>> parse_span("7d")
    604800.0
    """
    number, unit = text[:-1], text[-1:]
    try:
        seconds = float(number) * _SPANS[unit]
    except (ValueError, KeyError):
        raise ValueError(f"{text!r} is not a span of time; write for example 90s, 15m, 12h, 7d or 2w") from None
    if not 0.0 < seconds <= 10 * 366 * DAY:
        raise ValueError(f"{text!r}: write a span longer than nothing and of at most ten years")
    return seconds


def parse_moment(text: str, now: float) -> float:
    """Seconds since 1970 UTC of ``now`` or an ISO 8601 date or time; without offset it is Vietnamese time.

    >>> parse_moment("2026-08-01", 0.0)
    1785517200.0
    """
    if text == "now":
        return float(int(now))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a date; write for example 2026-08-01 or 2026-08-01T06:00") from None
    seconds = moment.replace(tzinfo=moment.tzinfo or _ZONE).timestamp()
    if not FIRST <= seconds <= LAST:
        raise ValueError(f"{text!r}: simulated time runs from 2024-01-01 to the end of 2042")
    return seconds


def parse_broker(text: str) -> tuple[str, int]:
    """Host and port of ``host:port``.

    >>> parse_broker("127.0.0.1:1883")
    ('127.0.0.1', 1883)
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is not a broker; write host:port, for example 127.0.0.1:1883")
    return host.strip("[]"), int(port)


def register(app: typer.Typer) -> None:
    """Add this package's commands."""
    app.command("simulate")(simulate)
    app.command("simulated-year")(simulated_year)


def simulate(
    scenario: Annotated[str, typer.Argument(help=f"{', '.join(shipped_names())}, or a .toml file.")],
    broker: Annotated[str, typer.Option(help="host:port; without it nothing is published.")] = "",
    username: Annotated[str, typer.Option(help=f"The password is read from the environment: {PASSWORD}.")] = "",
    ca_file: Annotated[Path | None, typer.Option(help="Speak TLS, and trust this certificate authority.")] = None,
    speed: Annotated[float, typer.Option(min=0.01, max=100_000, help="Simulated seconds in one second.")] = 1.0,
    begin: Annotated[str, typer.Option("--from", help="now, or a date or time; Vietnamese time.")] = "now",
    span: Annotated[str, typer.Option("--for", help="90s, 15m, 12h, 7d: then stop.")] = "",
    seed: Annotated[int | None, typer.Option(help="Another seed, other values; default: the scenario's.")] = None,
    fleet_out: Annotated[Path | None, typer.Option(help="Write the fleet's CSV here.")] = None,
    history_span: Annotated[str, typer.Option("--history", help="How much past to write, 7d for example.")] = "7d",
    history_out: Annotated[Path | None, typer.Option(help="Write the past here, for village backfill.")] = None,
    truth_out: Annotated[Path | None, typer.Option("--truth", help="Write what became of every uplink here.")] = None,
) -> None:
    """A fleet of devices that do not exist, on any MQTT broker, the same for the same seed."""
    try:
        start = parse_moment(begin, time.time())
        stop = start + parse_span(span) if span else None
        address = parse_broker(broker) if broker else None
        past = parse_span(history_span)
        plan = load_scenario(scenario)
        trust = ssl.create_default_context(cafile=str(ca_file)) if ca_file is not None else None
        fleet = build(plan, plan.seed if seed is None else seed, min(LAST, (stop or start) + 400 * DAY))
        if fleet_out is not None:
            count = write_csv(fleet, fleet_out)
            typer.echo(f"{fleet_out}: {count} simulated devices", err=True)
        if history_out is not None:
            written = _write_history(fleet, max(FIRST, start - past), start, history_out)
            typer.echo(f"{history_out}: {written} uplinks until {_written(start)}", err=True)
    except (ValueError, ScenarioError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or ca_file}: {error.strerror or error}")
    if address is not None:
        password = os.environ.get(PASSWORD, "")
        try:
            with Truth(truth_out) if truth_out is not None else nullcontext() as truth:
                _publish(fleet, Broker(*address, username, password, trust), Pace(start, stop, speed), truth)
        except OSError as error:
            _fail(f"{truth_out}: {error.strerror or error}")


def simulated_year(
    year: Annotated[int, typer.Option(min=2024, max=2041)] = documents.YEAR,
    seed: Annotated[int, typer.Option()] = documents.SEED,
    docs: Annotated[Path | None, typer.Option(help="Write the page and its pictures into this folder.")] = None,
    check: Annotated[bool, typer.Option(help="Say whether the files in --docs are up to date.")] = False,
) -> None:
    """A simulated year against the published facts; exit status 1 if a figure is off."""
    if docs is not None:
        if check:
            old = documents.outdated(docs)
            for name in old:
                typer.echo(
                    f"{docs / name}: not what the code makes; run village simulated-year --docs {docs}", err=True
                )
            raise typer.Exit(1 if old else 0)
        for name in documents.write(docs):
            typer.echo(docs / name)
        return
    rows = figures(year, seed)
    table = Table("figure", "source", "near enough", "simulated", "", title=f"simulated year {year}, seed {seed}")
    for row in rows:
        mark = "ok" if row.holds else "[bold red]off[/]"
        table.add_row(row.name, row.source, f"{row.low:.4g} to {row.high:.4g}", f"{row.found:.4g}", mark)
    Console().print(table)
    raise typer.Exit(0 if all(row.holds for row in rows) else 1)


def _written(moment: float) -> str:
    return datetime.fromtimestamp(moment, _ZONE).isoformat(timespec="seconds")


def _write_history(fleet: Fleet, start: float, stop: float, path: Path) -> int:
    """Write the whole past, or leave no file that looks whole."""
    part = path.with_name(path.name + ".part")
    written = 0
    with part.open("wb") as file, _bar("history") as bar:
        task = bar.add_task("history", total=stop - start, text="")
        for lines in history(fleet, start, stop):
            file.writelines(lines.lines)
            written += len(lines.lines)
            bar.update(task, completed=lines.until - start, text=f"{written:,} uplinks")
    part.replace(path)
    return written


def _bar(name: str) -> Progress:
    spinner = SpinnerColumn() if name == "live" else BarColumn()
    columns = (TextColumn("{task.description}"), spinner, TextColumn("{task.fields[text]}"), TimeRemainingColumn())
    return Progress(*columns, console=_console, disable=not sys.stderr.isatty(), transient=True)


def _publish(fleet: Fleet, broker: Broker, pace: Pace, truth: Truth | None) -> None:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    typer.echo(
        f"{fleet.size} devices of {fleet.scenario.title_en!r}, seed {fleet.seed}, "
        f"from {_written(pace.start)} at speed {pace.speed:g}, to {broker.host}:{broker.port}",
        err=True,
    )
    with _bar("live" if pace.stop is None else "run") as bar:
        total = None if pace.stop is None else pace.stop - pace.start
        task = bar.add_task("simulate", total=total, text="connecting")

        def report(now: Where) -> None:
            bar.update(task, completed=now.at - pace.start, text=_status(now))

        try:
            last = run_fleet(fleet, broker, pace, stop.is_set, report, secrets.token_hex(3), truth)
        except BrokerRefusedError as error:
            typer.echo(f"{error}; check --broker, --username and {PASSWORD}", err=True)
            raise typer.Exit(1) from error
    typer.echo(_status(last), err=True)


def _status(now: Where) -> str:
    line = f"{_written(now.at)}  {now.sent:,} sent, {now.acknowledged:,} acknowledged, {now.waiting:,} waiting"
    line += f", {now.connected}/{now.connections} connections"
    if now.breaks:
        line += f", {now.breaks} broke"
    return line + (f", {now.behind:.0f} s behind" if now.behind > 2.0 else "")
