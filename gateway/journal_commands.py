"""The commands ``village journal status|salvage|forget``: what waits, what damaged journals hold, old stores."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from devices.fleet_commands import fail
from gateway import logs
from gateway.line.journal_file import Transaction, connect, lock, open_or_set_aside, set_aside_files
from gateway.line.records import Records, StoreTotals
from gateway.line.salvage import salvage as salvage_file
from gateway.line.salvage import take_back
from gateway.line.salvage_report import Report
from gateway.refused_commands import journal_file, moment, one_line_errors
from gateway.settings import Settings
from gateway.settings_file import load_settings

Config = Annotated[Path, typer.Option("--config", "-c", help="The settings; they name the journal's folder.")]
CONFIG = Path("village.toml")
STOP_IT = "this needs it stopped: `systemctl stop village-gateway`, this command, `systemctl start village-gateway`"
FORGET_ROWS = 1000
"""Rows of one transaction, so that a small disk has room for it. Chosen."""


def register(app: typer.Typer) -> None:
    """Add the group ``journal`` to the command line."""
    group = typer.Typer(no_args_is_help=True, help="What is kept on this machine until every store has it.")
    group.command("status")(status)
    group.command("salvage")(salvage)
    group.command("forget")(forget)
    app.add_typer(group, name="journal")


def status(config: Config = CONFIG) -> None:
    """Show what waits for which store, how much room is left, what was refused, lost or set aside.

    Works while the gateway runs, and while it does not.

    Example: village journal status --config /etc/village/village.toml
    """
    with one_line_errors(), _readable():
        settings = load_settings(config, os.environ)
        path = journal_file(settings)
        records = Records(path)
        try:
            _print_status(settings, path, records)
        finally:
            records.close()


def salvage(
    file: Annotated[
        Path | None, typer.Argument(help="A damaged journal; without it, every one that was set aside here.")
    ] = None,
    config: Config = CONFIG,
) -> None:
    """Hand what can still be read of a damaged journal to the one in use, and say what is lost; stop the gateway first.

    The damaged file is only read. A second time nothing is handed on twice.

    Example: village journal salvage data/journal.db.damaged-20261121T101500
    """
    with one_line_errors(), _readable():
        settings = load_settings(config, os.environ)
        logs.configure("error", settings.gateway.log_format)
        path = settings.gateway.data_dir / "journal.db"
        if file is not None and not file.is_file():
            raise ValueError(f"{file}: no such file")
        number = lock(path, STOP_IT)
        try:
            database, aside = open_or_set_aside(path, time.time_ns())
            try:
                asked = [salvage_file(file, database, time.time_ns())] if file else _all(database, path)
            finally:
                database.close()
        finally:
            os.close(number)
    if aside is not None:
        typer.echo(f"{path}: was damaged itself, and was set aside as {aside.name}")
    for report in asked:
        _print_report(report)
    if not asked:
        typer.echo(f"{path.parent}: no journal was set aside here; nothing to salvage")


def forget(
    store: Annotated[str, typer.Argument(help="A store that is no longer in the settings.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: Config = CONFIG,
) -> None:
    """Let go of the lines that wait for a store that was taken out of the settings; stop the gateway first.

    Without this they wait for ever, and take room.

    Example: village journal forget province-old
    """
    with one_line_errors(), _readable():
        settings = load_settings(config, os.environ)
        if store in {place.name for place in settings.store}:
            raise ValueError(f"{store!r} is in the settings; take its [[store]] out of them first")
        path = journal_file(settings)
        number = lock(path, STOP_IT)
        try:
            database = connect(path)
            try:
                _forget(database, store, yes)
            finally:
                database.close()
        finally:
            os.close(number)


def _forget(database: sqlite3.Connection, store: str, yes: bool) -> None:
    known = dict(database.execute("SELECT name, id FROM store").fetchall())
    if store not in known:
        raise ValueError(f"no store {store!r} in the journal; it knows {', '.join(known) or 'none'}")
    query = "SELECT coalesce(sum(line_count), 0) FROM waiting JOIN batch ON batch.id = waiting.batch WHERE store = ?"
    (lines,) = database.execute(query, (known[store],)).fetchone()
    if not lines:
        typer.echo(f"nothing waits for {store!r}")
        return
    if not yes:
        typer.confirm(f"{lines} lines wait for {store!r} and would never reach it. Forget them?", abort=True)
    left = True
    while left:
        with Transaction(database):
            rows = database.execute(
                "SELECT batch, coalesce(line_count, 0) FROM waiting LEFT JOIN batch ON batch.id = waiting.batch"
                " WHERE store = ? LIMIT ?", (known[store], FORGET_ROWS),
            ).fetchall()  # fmt: skip
            marks = [(known[store], row) for row, _ in rows]
            database.executemany("DELETE FROM waiting WHERE store = ? AND batch = ?", marks)
            gone = sum(count for _, count in rows)
            database.execute("UPDATE store SET given_up = given_up + ? WHERE id = ?", (gone, known[store]))
            left = len(rows) == FORGET_ROWS
    typer.echo(f"{lines} lines for {store!r} are forgotten; the ledger counts them as given up")


def _all(database: sqlite3.Connection, path: Path) -> list[Report]:
    """Every journal beside this one; those that were salvaged before are told again."""
    take_back(database, path, time.time_ns())
    return [salvage_file(file, database, time.time_ns()) for file in set_aside_files(path)]


@contextmanager
def _readable() -> Iterator[None]:
    """A damaged file is a line, too."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        fail(
            f"the journal cannot be read: {error}; where it is damaged, stop the gateway and `village journal salvage`"
        )


def _print_status(settings: Settings, path: Path, records: Records) -> None:
    totals, lines, used = records.totals(), records.lines(), records.used_bytes() >> 20
    size = sum(part.stat().st_size for part in path.parent.glob(f"{path.name}*") if "damaged" not in part.name)
    bounds = settings.journal
    typer.echo(f"journal    {path}: {size / 1e6:.1f} MB on disk; {used} of {bounds.max_mb} MB taken by what waits")
    holds = "" if totals.holds and lines.holds else "; the sums do NOT hold"
    typer.echo(
        f"uplinks    {totals.received} received = {totals.kept} kept + {totals.refused} refused"
        f" + {totals.repeated} repeated{holds}"
    )
    for store in lines.stores:
        _print_store(store, {place.name for place in settings.store})
    raw, raw_bytes, refused_bytes = records.kept_uplinks()
    typer.echo(
        f"raw        {raw} accepted uplinks, {raw_bytes >> 20} of {bounds.raw_max_mb} MB, {bounds.raw_days} days"
    )
    reasons = records.by_reason()
    counts = ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "none"
    typer.echo(f"refused    {counts}; {refused_bytes >> 20} of {bounds.refused_max_mb} MB")
    if held := records.held():
        typer.echo(f"held       {held} uplinks wait until the clock is right")
    typer.echo(f"lost       {records.broker_lost()} uplinks at the broker, {records.lost_on_disk()} lines on this disk")
    for end in records.lost_ends():
        typer.echo(f"end gone   {moment(end.at)}: {end.in_words}")
    done = {report.file: report for report in records.salvaged()}
    for report in done.values():
        typer.echo(f"salvaged   {report.file}, {moment(report.at)}: {report.in_words}")
    for aside in set_aside_files(path):
        what = "salvaged; move it away" if aside.name in done else "NOT salvaged; `village journal salvage`"
        typer.echo(f"set aside  {aside.name}: {what}")


def _print_store(store: StoreTotals, in_settings: set[str]) -> None:
    since = f" since {moment(store.oldest_waiting_at)}" if store.waiting else ""
    given_up = f", {store.given_up} given up" if store.given_up else ""
    text = f"{store.waiting} lines wait{since}; {store.stored} stored, {store.rejected} rejected{given_up}"
    if store.store not in in_settings:
        text += f"; NOT in the settings: `village journal forget {store.store}`" if store.waiting else "; not in use"
    typer.echo(f"store      {store.store}: {text}")


def _print_report(report: Report) -> None:
    typer.echo(f"{report.file}: {report.in_words}")
    if report.damaged:
        typer.echo(f"  {report.damaged} pages or records could not be read")
    if report.lost_uplinks:
        number = "an unknown number of" if report.lost_uplinks < 0 else str(report.lost_uplinks)
        typer.echo(f"  of {number} acknowledged uplinks it is not known any more whether they were kept or refused")
    if report.raw and report.has_losses:
        typer.echo("  accepted uplinks of that time were kept raw: `village redecode --since ...` may bring lines back")
