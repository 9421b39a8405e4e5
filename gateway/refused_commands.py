"""The commands ``village refused list|show|replay``: what was kept and could not be used, and another try for it."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from devices.fleet_commands import fail, plain_errors
from devices.fleet_row import DEFAULT_ZONE, parse_since
from devices.observation import Reason
from gateway import logs
from gateway.line.journal_file import JournalError
from gateway.line.records import Records
from gateway.line.replay import CanReplay, Step, Wanted
from gateway.mending import menders
from gateway.running import RunningError
from gateway.settings import Settings
from gateway.settings_file import SettingsError, load_settings

Config = Annotated[
    Path, typer.Option("--config", "-c", envvar="VILLAGE_CONFIG", help="The settings; they name the journal's folder.")
]
CONFIG = Path("village.toml")
Since = Annotated[str, typer.Option(help="Received at or after this day or time; Vietnamese time.")]
Until = Annotated[str, typer.Option(help="Received before this day or time.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Only for this reason, for example unknown_device.")]
DeviceOption = Annotated[str, typer.Option("--device", help="Only of this device.")]


def register(app: typer.Typer) -> None:
    """Add the group ``refused`` to the command line."""
    group = typer.Typer(no_args_is_help=True, help="Messages that were kept and could not be used.")
    group.command("list")(list_refused)
    group.command("show")(show)
    group.command("replay")(replay)
    app.add_typer(group, name="refused")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What is wrong becomes a line and an exit status."""
    with plain_errors():
        try:
            yield
        except (SettingsError, JournalError, RunningError) as error:
            fail(str(error))
        except TimeoutError as error:
            fail(str(error) or "no room in the journal for a minute; run the same command again")


def list_refused(
    since: Since = "",
    reason: ReasonOption = "",
    device: DeviceOption = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, the newest first.")] = 50,
    config: Config = CONFIG,
) -> None:
    """List refused messages, the newest first, and count them by reason.

    Example: village refused list --reason unknown_device --since 2026-08-01
    """
    with one_line_errors():
        records = Records(journal_file(load_settings(config, os.environ)))
        after, word = parse_since(since) if since else 0, _reason(reason)
        rows = records.refused(after, word, device or None, None, limit)
        counts = records.by_reason()
        records.close()
    table = Table()
    table.add_column("id", justify="right", no_wrap=True)
    for heading in ("received", "reason", "device or topic", "detail"):
        table.add_column(heading)
    for row in rows:
        table.add_row(str(row.id), moment(row.received_at), row.reason, row.device or row.topic, row.detail)
    Console().print(table)
    typer.echo(", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing is refused")


def show(
    number: Annotated[int, typer.Argument(metavar="ID", min=1, show_default=False)],
    raw: Annotated[bool, typer.Option("--raw", help="Only the bytes, as they came, to standard output.")] = False,
    config: Config = CONFIG,
) -> None:
    """Show one refused message: when, where, why, and its bytes.

    Example: village refused show 17
    """
    with one_line_errors():
        records = Records(journal_file(load_settings(config, os.environ)))
        found = records.refused_payload(number)
        records.close()
        if found is None:
            fail(f"no refused message {number}; it may have made room for newer ones")
    row, payload, truncated = found
    if raw:
        sys.stdout.buffer.write(payload)
        return
    typer.echo(f"received  {moment(row.received_at)}" + (", retained" if row.retained else ""))
    typer.echo(f"topic     {row.topic}")
    typer.echo(f"device    {row.device or '-'}")
    typer.echo(f"refused   {row.reason}: {row.detail}")
    typer.echo(f"size      {row.size} bytes" + (f", of which the first {len(payload)} were kept" if truncated else ""))
    typer.echo(readable(payload))


def replay(
    since: Since = "",
    until: Until = "",
    reason: ReasonOption = "",
    device: DeviceOption = "",
    number: Annotated[list[int] | None, typer.Option("--id", help="Only this one; may stand several times.")] = None,
    config: Config = CONFIG,
) -> None:
    """Try refused messages again, after the fleet, a profile or the gateway was mended; each is stored once.

    Readings get their original times, and the messages move from refused to kept in the ledger.

    Example: village refused replay --reason unknown_device --since 2026-08-01
    """
    with one_line_errors():
        settings = load_settings(config, os.environ)
        logs.configure("warning", settings.gateway.log_format)
        everything = Wanted()
        wanted = Wanted(
            since=parse_since(since) if since else everything.since,
            until=parse_since(until) if until else everything.until,
            reason=_reason(reason),
            device=device,
            ids=tuple(number or ()),
        )
        with menders(settings) as found:
            if found.running is not None:
                found.running.ask("POST", "/reload")
            typer.echo(in_words(replay_all(found.replayer, wanted)))


def replay_all(replayer: CanReplay, wanted: Wanted) -> Step:
    """Every step of a replay under a progress bar; returns their sums."""
    sums = Step(0)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("replay", total=replayer.count(wanted))
        while True:
            step = replayer.step(wanted, sums.through)
            sums = Step(step.through, *(one + other for one, other in zip(sums[1:], step[1:], strict=True)))
            bar.update(task, completed=sums.passed)
            if not step.through:
                return sums


def in_words(sums: Step) -> str:
    """What became of a replay."""
    text = f"{sums.kept} kept, {sums.repeated} repeated, {sums.refused} refused again"
    return text + (f"; {sums.cut} were not kept whole and cannot be tried again" if sums.cut else "")


def journal_file(settings: Settings) -> Path:
    """The journal of these settings.

    Raises:
        JournalError: there is none.
    """
    path = settings.gateway.data_dir / "journal.db"
    if not path.exists():
        raise JournalError(f"{path}: no journal; has the gateway run with these settings?")
    return path


def _reason(word: str) -> Reason | None:
    try:
        return Reason(word) if word else None
    except ValueError:
        raise ValueError(f"--reason: {word!r} is no reason; known are {', '.join(Reason)}") from None


def moment(at: int) -> str:
    """Vietnamese time for a person."""
    return datetime.fromtimestamp(at / 1e9, ZoneInfo(DEFAULT_ZONE)).isoformat(" ", "seconds")


def readable(payload: bytes) -> str:
    """The bytes as text where they are text, else as hexadecimal lines of 16."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        text = ""
    if text and all(letter.isprintable() or letter in "\r\n\t" for letter in text):
        return text
    return "\n".join(_hex_line(payload, at) for at in range(0, len(payload), 16))


def _hex_line(payload: bytes, at: int) -> str:
    line: Sequence[int] = payload[at : at + 16]
    return f"{at:06x}  {bytes(line).hex(' ')}"
