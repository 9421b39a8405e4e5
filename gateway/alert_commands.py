"""The commands ``village alerts list|ack|silence|unsilence|test``: what fires, who takes care, and who is told."""

import getpass
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from devices.fleet_commands import fail, plain_errors
from devices.fleet_row import parse_since
from gateway.analytics.local_time import VIETNAM
from gateway.notify import send_by_apprise, trial_text
from gateway.running import Running, RunningError, find_running
from gateway.settings import Settings
from gateway.settings_file import SettingsError, load_settings

CONFIG = Path("village.toml")
Config = Annotated[Path, typer.Option("--config", "-c", help="The settings of the gateway that runs.")]
Where = Annotated[str, typer.Option(help="Key of a commune, as in the fleet.")]
By = Annotated[str, typer.Option(help="Who you are; default: the name you are logged in with.")]


def register(app: typer.Typer) -> None:
    """Add the group ``alerts`` to the command line."""
    group = typer.Typer(no_args_is_help=True, help="Alerts of the running gateway, and who is told of them.")
    group.command("list")(list_alerts)
    group.command("ack")(acknowledge)
    group.command("silence")(silence)
    group.command("unsilence")(unsilence)
    group.command("test")(send_test)
    app.add_typer(group, name="alerts")


@contextmanager
def _one_line_errors() -> Iterator[None]:
    with plain_errors():
        try:
            yield
        except (SettingsError, RunningError) as error:
            fail(str(error))


def _running(settings: Settings) -> Running:
    running = find_running(settings)
    if running is None:
        where = f"{settings.api.host} port {settings.api.port}"
        fail(f"no gateway answers on {where}; start it, or name its settings with -c")
    return running


def list_alerts(
    commune: Where = "",
    state: Annotated[str, typer.Option(help="active, pending, firing, acknowledged or resolved.")] = "active",
    english: Annotated[bool, typer.Option("--english", help="Texts in English.")] = False,
    config: Config = CONFIG,
) -> None:
    """List what fires, the worst first; with --state resolved what is over.

    Example: village alerts list --commune 10642
    """
    with _one_line_errors():
        running = _running(load_settings(config, os.environ))
        query = f"?state={state}&limit=1000" + (f"&commune={commune}" if commune else "")
        answer: Mapping[str, Any] = running.ask("GET", f"/alerts{query}")
        windows: Mapping[str, Any] = running.ask("GET", "/alerts/silences")
    language = "en" if english else "vi"
    table = Table(show_lines=True)
    for heading in ("severity", "what", "where", "since", "what to do", "id"):
        table.add_column(heading, overflow="fold")
    for item in answer["items"]:
        notes = [f"({word})" for word, so in (("silenced", item["silenced"]), ("explained", item["cause"])) if so]
        if item["acknowledged_by"]:
            notes.append(f"({item['acknowledged_by']})")
        table.add_row(
            item["severity"], " ".join([item["title"][language], *notes]), item["place"], _local(item["since"]),
            item["advice"][language], item["id"],
        )  # fmt: skip
    Console().print(table)
    typer.echo(f"{answer['total']} alerts" if answer["total"] else "no alerts")
    for window in windows["items"]:
        place = " ".join(window[name] for name in ("commune", "group", "device", "rule") if window[name])
        until = _local(window["stop"])
        typer.echo(f"silence {window['id']}: {place} until {until}, {window['by']}: {window['reason']}")


def acknowledge(
    alert: Annotated[str, typer.Argument(metavar="ID", show_default=False, help="As `village alerts list` names it.")],
    by: By = "",
    config: Config = CONFIG,
) -> None:
    """Say that somebody takes care of an alert.

    Example: village alerts ack lamp_out/device/10642/lamp-017 --by "Anh Nam"
    """
    with _one_line_errors():
        running = _running(load_settings(config, os.environ))
        running.ask("POST", "/alerts/acknowledge", {"id": alert, "by": by or getpass.getuser()})
    typer.echo(f"acknowledged {alert}")


def silence(
    until: Annotated[str, typer.Option(help="When the work ends: a day or time, Vietnamese time.", show_default=False)],
    reason: Annotated[str, typer.Option(help="Why; shown in the list.", show_default=False)],
    commune: Where = "",
    group: Annotated[str, typer.Option(help="A cabinet or circuit.")] = "",
    device: Annotated[str, typer.Option(help="One device.")] = "",
    rule: Annotated[str, typer.Option(help="Only alerts of this rule, for example lamp_out.")] = "",
    start: Annotated[str, typer.Option("--from", help="When it begins; default: now.")] = "",
    by: By = "",
    config: Config = CONFIG,
) -> None:
    """Work somewhere without anybody being told; what still fires when it ends is told then.

    Example: village alerts silence --group cabinet-1 --until 2026-08-01T17:00 --reason "thay cáp"
    """
    with _one_line_errors():
        question = {"commune": commune, "group": group, "device": device, "rule": rule, "reason": reason}
        question |= {"by": by or getpass.getuser(), "stop": _moment(until)}
        if start:
            question["start"] = _moment(start)
        running = _running(load_settings(config, os.environ))
        made: Mapping[str, Any] = running.ask("POST", "/alerts/silences", question)
    typer.echo(
        f"silence {made['id']} until {_local(made['stop'])}; end it with `village alerts unsilence {made['id']}`"
    )


def unsilence(number: Annotated[int, typer.Argument(metavar="NUMBER", min=1)], config: Config = CONFIG) -> None:
    """End a silence before its time.

    Example: village alerts unsilence 3
    """
    with _one_line_errors():
        _running(load_settings(config, os.environ)).ask("POST", "/alerts/silences/end", {"id": number})
    typer.echo(f"silence {number} is over")


def send_test(
    name: Annotated[str, typer.Option("--target", help="Only this one of [[notify]].")] = "", config: Config = CONFIG
) -> None:
    """Send a test message to everybody in [[notify]], and say of each what happened. The gateway need not run."""
    with _one_line_errors():
        settings = load_settings(config, os.environ)
        targets = [target for target in settings.notify if name in ("", target.name)]
        if not targets:
            known = ", ".join(target.name for target in settings.notify)
            fail(
                f"no target {name!r}; there are: {known}"
                if known
                else f"{config}: nobody is told: there is no [[notify]]"
            )
    failures = 0
    for target in targets:
        error = send_by_apprise(target, *trial_text(target))
        failures += bool(error)
        typer.echo(f"{target.name}: {error or 'sent'}")
    raise typer.Exit(1 if failures else 0)


def _moment(text: str) -> str:
    return datetime.fromtimestamp(parse_since(text) / 1e9, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _local(text: str) -> str:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(VIETNAM).strftime("%H:%M %d/%m/%Y")
