"""What ``village simulate`` and ``village simulated-year`` do."""

import secrets
import time
from contextlib import nullcontext
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from simulators import documents
from simulators.fleet import Fleet, build, write_csv
from simulators.local_time import DAY, FIRST, LAST
from simulators.options import (
    LOCAL_BROKER,
    PASSWORD,
    connect,
    fail,
    parse_moment,
    parse_span,
    progress_bar,
    stop_at_signals,
    written,
)
from simulators.publisher import Broker, BrokerRefusedError
from simulators.scenario import ScenarioError, load_scenario
from simulators.simulate import Pace
from simulators.simulate import Progress as Where
from simulators.simulate import run as run_fleet
from simulators.simulated_year import figures
from simulators.stream import history
from simulators.truth import Truth, write_planted


def simulate_fleet(
    scenario: str,
    *,
    broker: str,
    username: str,
    ca_file: Path | None,
    speed: float,
    begin: str,
    span: str,
    seed: int | None,
    fleet_out: Path | None,
    history_span: str,
    history_out: Path | None,
    truth_out: Path | None,
    faults_out: Path | None,
) -> None:
    """Write what was asked for, then publish until the end; the options as the command takes them."""
    began = time.time()
    if not (broker or fleet_out or history_out or faults_out):
        broker = LOCAL_BROKER
    try:
        start = parse_moment(begin, began)
        stop = start + parse_span(span) if span else None
        address = connect(broker, username, ca_file) if broker else None
        past = parse_span(history_span)
        plan = load_scenario(scenario)
        fleet = build(plan, plan.seed if seed is None else seed, min(LAST, (stop or start) + 400 * DAY))
        if fleet_out is not None:
            count = write_csv(fleet, fleet_out)
            typer.echo(f"{fleet_out}: {count} simulated devices", err=True)
        if history_out is not None:
            lines = _write_history(fleet, max(FIRST, start - past), start, history_out)
            typer.echo(f"{history_out}: {lines} uplinks until {written(start)}", err=True)
        if faults_out is not None:
            since, until = max(FIRST, start - past) if history_out is not None else start, stop or start + DAY
            spells = write_planted(fleet, since, until, faults_out)
            typer.echo(f"{faults_out}: {spells} spells of faults from {written(since)} to {written(until)}", err=True)
    except (ValueError, ScenarioError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror or error}")
    if address is not None:
        try:
            with Truth(truth_out) if truth_out is not None else nullcontext() as truth:
                late = time.time() - began if begin == "now" else 0.0
                _publish(fleet, address, Pace(start, stop, speed, late), truth)
        except OSError as error:
            fail(f"{truth_out}: {error.strerror or error}")


def compare_year(year: int, seed: int, docs: Path | None, *, check: bool) -> None:
    """Print the comparison, or write or check the documents; the exit status says whether all is well."""
    if docs is not None:
        if check:
            old = documents.outdated(docs)
            for name in old:
                typer.echo(f"{docs / name}: out of date; run village simulated-year --docs {docs}", err=True)
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


def _write_history(fleet: Fleet, start: float, stop: float, path: Path) -> int:
    """Write the whole past, or leave no file that looks whole."""
    part = path.with_name(path.name + ".part")
    written = 0
    with part.open("wb") as file, progress_bar("history") as shown:
        task = shown.add_task("history", total=stop - start, text="")
        for lines in history(fleet, start, stop):
            file.writelines(lines.lines)
            written += len(lines.lines)
            shown.update(task, completed=lines.until - start, text=f"{written:,} uplinks")
    part.replace(path)
    return written


def _publish(fleet: Fleet, broker: Broker, pace: Pace, truth: Truth | None) -> None:
    stop = stop_at_signals()
    typer.echo(
        f"{fleet.size} devices of {fleet.scenario.title_en!r}, seed {fleet.seed}, "
        f"from {written(pace.start)} at speed {pace.speed:g}, to {broker.host}:{broker.port}",
        err=True,
    )
    with progress_bar("live" if pace.stop is None else "run") as shown:
        total = None if pace.stop is None else pace.stop - pace.start
        task = shown.add_task("simulate", total=total, text="connecting")

        def report(now: Where) -> None:
            # Two lines, so that both stand on a narrow terminal.
            shown.update(task, completed=now.at - pace.start, text=_status(now).replace("  ", "\n", 1))

        try:
            last = run_fleet(
                fleet, broker, pace, stop.is_set, report, secrets.token_hex(3), truth,
                complain=lambda trouble: shown.console.print(trouble, highlight=False, soft_wrap=True),
            )  # fmt: skip
        except BrokerRefusedError as error:
            typer.echo(f"{error}; check --broker, --username and {PASSWORD}", err=True)
            raise typer.Exit(1) from error
    typer.echo(_status(last), err=True)
    if pace.stop is None or last.at < pace.stop:
        typer.echo(f"to go on from here: --from {written(last.at, 'milliseconds')} --seed {fleet.seed}", err=True)


def _status(now: Where) -> str:
    line = f"{written(now.at)}  {now.sent:,} sent, {now.acknowledged:,} acknowledged, {now.waiting:,} waiting"
    line += f", {now.connected}/{now.connections} connections"
    if now.breaks:
        line += f", {now.breaks} broke"
    return line + (f", {now.behind:.0f} s behind" if now.behind > 2.0 else "")
