"""The commands ``village laboratory add|list|remove``: results of water samples that complete VN_WQI for a while."""

import getpass
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table

from devices.fleet_commands import fail, plain_errors
from devices.fleet_store import open_fleet
from devices.profile import shipped_profiles
from gateway.analytics.laboratory import FILE, Kept, Laboratory
from gateway.analytics.laboratory_csv import MAX_BYTES, MOST_DAYS, VALID_DAYS, LaboratoryError
from gateway.analytics.local_time import VIETNAM
from gateway.api.laboratory import sample_item
from gateway.running import RunningError, find_running
from gateway.settings import Settings
from gateway.settings_file import SettingsError, load_settings

CONFIG = Path("village.toml")
Config = Annotated[Path, typer.Option("--config", "-c", envvar="VILLAGE_CONFIG", help="The settings of the gateway.")]
Items = Sequence[Mapping[str, Any]]


def register(app: typer.Typer) -> None:
    """Add the group ``laboratory`` to the command line."""
    group = typer.Typer(no_args_is_help=True, help="Laboratory results of water samples, which complete VN_WQI.")
    group.command("add")(add)
    group.command("list")(list_samples)
    group.command("remove")(remove)
    app.add_typer(group, name="laboratory")


@contextmanager
def _one_line_errors() -> Iterator[None]:
    with plain_errors():
        try:
            yield
        except (SettingsError, RunningError, LaboratoryError) as error:
            fail(str(error))


def add(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", show_default=False)],
    preview: Annotated[bool, typer.Option("--preview", help="Only show what would be kept.")] = False,
    valid_days: Annotated[
        int,
        typer.Option(
            "--valid-days", min=1, max=MOST_DAYS, help="Where the file has no valid_days. Ours, not the law's."
        ),
    ] = VALID_DAYS,
    by: Annotated[str, typer.Option(help="Who enters them; default: the name you are logged in with.")] = "",
    config: Config = CONFIG,
) -> None:
    """Enter results: every row of the file, or none if one is bad. The same station and time again corrects a sample.

    Columns: device, time (when the sample was taken), valid_days, and parameters as in `village index vn-wqi`.

    Example: village laboratory add results.csv --preview
    """
    with _one_line_errors():
        settings, by = load_settings(config, os.environ), by or getpass.getuser()
        with file.open("rb") as source:
            body = source.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            fail(f"{file}: longer than {MAX_BYTES} bytes; enter it in several files")
        running = find_running(settings)
        if running is not None:
            query = f"preview={str(preview).lower()}&valid_days={valid_days}&by={quote(by[:64])}"
            items = _items(running.ask("POST", f"/laboratory?{query}", body))
        else:
            with _opened(settings) as laboratory:
                items = _told(laboratory.add(_text(file, body), by, valid_days, preview=preview))
    _show(items)
    replaced = sum(1 for item in items if item["replaces"])
    what = "would be kept" if preview else "kept"
    typer.echo(f"{_count(len(items))} {what}" + (f", {replaced} in place of earlier ones" if replaced else ""))


def list_samples(
    device: Annotated[str, typer.Option(help="Only of this station.")] = "", config: Config = CONFIG
) -> None:
    """List what was entered, the newest sample first.

    Example: village laboratory list --device river-1
    """
    with _one_line_errors():
        settings = load_settings(config, os.environ)
        running = find_running(settings)
        if running is not None:
            where = f"&device={quote(device)}" if device else ""
            answer: Mapping[str, Any] = running.ask("GET", f"/laboratory?limit=1000{where}")
            items, total = _items(answer), answer["total"]
        else:
            with _opened(settings) as laboratory:
                items = _told(laboratory.samples(device or None))
                total = len(items)
    _show(items)
    typer.echo(_count(total))


def remove(
    ids: Annotated[list[int], typer.Argument(metavar="ID...", min=1, help="As `village laboratory list` names them.")],
    config: Config = CONFIG,
) -> None:
    """Forget samples that should never have been entered; all of those named, or none.

    Example: village laboratory remove 3 4
    """
    with _one_line_errors():
        settings = load_settings(config, os.environ)
        running = find_running(settings)
        if running is not None:
            running.ask("POST", "/laboratory/remove", {"ids": ids})
        else:
            with _opened(settings) as laboratory:
                laboratory.remove(ids)
    typer.echo(f"removed {len(set(ids))}")


@contextmanager
def _opened(settings: Settings) -> Iterator[Laboratory]:
    """The file itself: no gateway runs, and it reads the file when it starts."""
    fleet = open_fleet(settings.gateway.fleet, shipped_profiles().values(), settings.sources())
    path = settings.gateway.data_dir / FILE
    if not path.is_file():  # made here, it might belong to an account that the gateway is not
        fail(f"{path}: not there yet; start the gateway once, or correct data_dir")
    try:
        laboratory = Laboratory(path, lambda: fleet)
    except OSError as error:
        fail(str(error))
    with closing(laboratory):
        yield laboratory


def _text(file: Path, body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        fail(f"{file}: not UTF-8; save the file as UTF-8")


def _told(found: Sequence[Kept]) -> Items:
    now = time.time_ns()
    return [sample_item(kept, now).model_dump() for kept in found]


def _items(answer: Mapping[str, Any]) -> Items:
    items: Items = answer["items"]
    return items


def _show(items: Items) -> None:
    table = Table()
    for heading in ("id", "station", "sampled", "valid until", "found", "by"):
        table.add_column(heading, overflow="fold")
    for item in items:
        found = ", ".join(f"{name} {value:g}" for name, value in item["values"].items())
        until = _local(item["valid_until"]) + ("" if item["valid"] else " (over)")
        number = str(item["id"] or "-") + (f" (for {item['replaces']})" if item["replaces"] else "")
        table.add_row(number, item["device"], _local(item["sampled_at"]), until, found, item["entered_by"])
    if items:
        Console().print(table)


def _count(samples: int) -> str:
    return {0: "no samples", 1: "1 sample"}.get(samples, f"{samples} samples")


def _local(text: str) -> str:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(VIETNAM).strftime("%H:%M %d/%m/%Y")
