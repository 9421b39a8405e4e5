"""The commands that read and change the fleet: ``village devices list|show|add|import|export|replace``."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, NamedTuple, NoReturn
from zoneinfo import ZoneInfo

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from devices.fleet_changes import open_to_change, put_checked, put_new, replaced
from devices.fleet_csv import FleetError, Problem, first_problem, read_rows, write_rows
from devices.fleet_import import Imported, import_rows
from devices.fleet_row import DEFAULT_ZONE, FleetRow, cells, parse_since
from devices.fleet_store import Change, FleetStore, is_fleet_store
from devices.profile import shipped_profiles


class FleetPlace(NamedTuple):
    """Where the fleet is, and who has to hear that it changed."""

    path: Path
    tell: Callable[[], str]
    """Has a running gateway read the fleet anew; returns one line that says what came of it."""


class PlaceError(Exception):
    """The settings that name the fleet cannot be used: one line."""


Find = Callable[[Path, Path | None], FleetPlace]
"""Settings file and ``--fleet`` to the fleet's place.

Raises:
    PlaceError: the settings cannot be read.
"""

Config = Annotated[
    Path, typer.Option("--config", "-c", envvar="VILLAGE_CONFIG", help="Settings file; it names the fleet.")
]
Fleet = Annotated[Path | None, typer.Option("--fleet", metavar="FILE", help="Another fleet: fleet.db or fleet.csv.")]
Name = Annotated[str, typer.Argument(metavar="DEVICE", show_default=False)]
SETTINGS = Path("village.toml")


def fail(text: str) -> NoReturn:
    """Say what is wrong and end with the status of wrong settings."""
    typer.echo(text, err=True)
    raise typer.Exit(2)


@contextmanager
def plain_errors() -> Iterator[None]:
    """What is wrong becomes a line, not a traceback."""
    try:
        yield
    except (FleetError, PlaceError) as error:
        fail(str(error))
    except ValidationError as error:
        fail(first_problem(error))
    except ValueError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")


def register(group: typer.Typer, find: Find) -> None:
    """Add the commands to the group ``devices``; ``find`` says where the fleet is."""
    for add in (_add_list, _add_show, _add_add, _add_import, _add_export, _add_replace):
        add(group, find)


def read_fleet(path: Path) -> Iterator[FleetRow]:
    """Every device of a fleet file, CSV or database.

    Raises:
        FleetError: it cannot be read; a CSV's bad rows are told after the good ones were given.
    """
    if is_fleet_store(path):
        with FleetStore(path) as store:
            yield from store.rows()
        return
    problems: list[Problem] = []
    for _, row in read_rows(path, problems):
        yield row
    if problems:
        raise FleetError(path, problems)


def writable(place: FleetPlace) -> FleetStore:
    """The fleet opened to be changed; see ``fleet_changes.open_to_change``."""
    return open_to_change(place.path)


# reading -----------------------------------------------------------------------------------------------------


def _add_list(group: typer.Typer, find: Find) -> None:
    @group.command("list")
    def list_devices(
        commune: Annotated[str, typer.Option(help="Only this commune.")] = "",
        profile: Annotated[str, typer.Option(help="Only devices of this profile.")] = "",
        search: Annotated[str, typer.Option(help="Part of name, label, group or hardware id.")] = "",
        limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many.")] = 100,
        config: Config = SETTINGS,
        fleet: Fleet = None,
    ) -> None:
        """List the devices of the fleet.

        Example: village devices list --commune 10642 --search 'tu-1'
        """
        table, shown, total = _table(), 0, 0
        wanted = search.casefold()
        with plain_errors():
            for row in read_fleet(find(config, fleet).path):
                line = [row.device, row.profile, row.commune, row.group, row.name, "; ".join(_now(row))]
                if commune not in {"", row.commune} or profile not in {"", row.profile}:
                    continue
                if wanted not in "\n".join(line).casefold():
                    continue
                total += 1
                if shown < limit:
                    table.add_row(*line)
                    shown += 1
        Console().print(table)
        typer.echo(f"{total} devices" + (f", {shown} of them shown; --limit shows more" if shown < total else ""))


def _table() -> Table:
    table = Table()
    table.add_column("device", no_wrap=True)
    for heading in ("profile", "commune", "group", "name", "hardware id"):
        table.add_column(heading)
    return table


def _now(row: FleetRow) -> list[str]:
    """What speaks for the device at this moment."""
    now = time.time_ns()
    return [entry.value for entry in row.hardware_ids if entry.since <= now < entry.until]


def _add_show(group: typer.Typer, find: Find) -> None:
    @group.command("show")
    def show(device: Name, config: Config = SETTINGS, fleet: Fleet = None) -> None:
        """Everything the fleet says of one device, and what was changed about it.

        Example: village devices show lamp-017
        """
        history: list[Change] = []
        with plain_errors():
            path = find(config, fleet).path
            row = next((row for row in read_fleet(path) if row.device == device), None)
            if is_fleet_store(path):
                with FleetStore(path) as store:
                    history = store.history(device)
        if row is None and not history:
            fail(f"{path}: no device {device!r}; see `village devices list`")
        if row is not None:
            known = {name: text or "-" for name, text in cells(row).items()}
            known["timezone"] = row.timezone
            for name, text in known.items():
                typer.echo(f"{name:18}{text}")
        for change in history:
            moment = datetime.fromtimestamp(change.at / 1e9, ZoneInfo(DEFAULT_ZONE)).isoformat(" ", "seconds")
            typer.echo(f"{moment}  {change.what}  {change.detail}".rstrip())


def _add_export(group: typer.Typer, find: Find) -> None:
    @group.command("export")
    def export(
        file: Annotated[Path | None, typer.Argument(metavar="[FILE.csv]", show_default=False)] = None,
        excel: Annotated[
            bool, typer.Option("--excel", help="As Excel in Vietnamese opens it: byte order mark, ';', decimal comma.")
        ] = False,
        config: Config = SETTINGS,
        fleet: Fleet = None,
    ) -> None:
        """Write the fleet as CSV, to FILE or standard output; `import` reads it back as it was.

        Example: village devices export fleet.csv --excel
        """
        with plain_errors():
            rows = read_fleet(find(config, fleet).path)
            if file is None:
                sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
                write_rows(sys.stdout, rows, excel=excel)
                return
            part = file.with_name(f"{file.name}.part")
            with part.open("w", encoding="utf-8", newline="") as out:
                count = write_rows(out, rows, excel=excel)
            part.replace(file)
            typer.echo(f"{file}: {count} devices", err=True)


# changing ----------------------------------------------------------------------------------------------------


def _add_add(group: typer.Typer, find: Find) -> None:
    @group.command("add")
    def add(
        device: Name,
        profile: Annotated[str, typer.Option(help="See `village devices supported`.")],
        commune: Annotated[str, typer.Option(help="The commune's key.")],
        hardware_id: Annotated[
            list[str] | None, typer.Option(help="DevEUI, serial or vendor topic name; may stand several times.")
        ] = None,
        legacy_commune: Annotated[str, typer.Option(help="Its code before 2025-07-01.")] = "",
        zone: Annotated[str, typer.Option(help="village, street, industrial_zone, or your own word.")] = "",
        cabinet: Annotated[str, typer.Option("--group", help="Cabinet or circuit.")] = "",
        name: Annotated[str, typer.Option(help="What people call it.")] = "",
        latitude: Annotated[float | None, typer.Option()] = None,
        longitude: Annotated[float | None, typer.Option()] = None,
        interval_seconds: Annotated[int | None, typer.Option(help="If other than the profile's.")] = None,
        powered: Annotated[str, typer.Option(help="always or with_circuit, if other than the profile's.")] = "",
        timezone: Annotated[str, typer.Option()] = DEFAULT_ZONE,
        config: Config = SETTINGS,
        fleet: Fleet = None,
    ) -> None:
        """Take one device into the fleet.

        Example: village devices add lamp-017 --profile nas_ul2030 --commune 10642 --hardware-id 70B3D58FF0
        """
        with plain_errors():
            row = FleetRow.model_validate(
                {
                    "device": device, "profile": profile, "commune": commune, "legacy_commune": legacy_commune,
                    "zone": zone, "group": cabinet, "name": name, "latitude": latitude, "longitude": longitude,
                    "hardware_ids": "; ".join(hardware_id or ()), "interval_seconds": interval_seconds,
                    "powered": powered, "timezone": timezone,
                }
            )  # fmt: skip
            place = find(config, fleet)
            with writable(place) as store:
                put_new(store, row)
            typer.echo(f"added {device}; {place.tell()}")


def _add_replace(group: typer.Typer, find: Find) -> None:
    @group.command("replace")
    def replace(
        device: Name,
        new: Annotated[str, typer.Argument(metavar="NEW-HARDWARE-ID", show_default=False)],
        since: Annotated[str, typer.Option(help="Day or time of the change, Vietnamese time; default: now.")] = "",
        old: Annotated[str, typer.Option(help="Which of its ids is replaced, if it has several.")] = "",
        move: Annotated[
            bool, typer.Option("--move", help="The hardware spoke for another device until then, and leaves it.")
        ] = False,
        config: Config = SETTINGS,
        fleet: Fleet = None,
    ) -> None:
        """New hardware speaks for a device; what the old one said stays the device's history.

        Example: village devices replace lamp-017 A84041FFFF215678 --since 2026-03-01
        """
        with plain_errors():
            at = parse_since(since) if since else time.time_ns() // 10**9 * 10**9
            place = find(config, fleet)
            with writable(place) as store:
                rows = replaced(store, device, new.strip(), old, at, move=move)
                changes = put_checked(store, *rows, what="replaced")
            for change in changes:
                typer.echo(f"{change.device}: {change.detail}")
            typer.echo(place.tell())


def _add_import(group: typer.Typer, find: Find) -> None:
    @group.command("import")
    def import_file(
        file: Annotated[Path, typer.Argument(metavar="FILE.csv", show_default=False)],
        yes: Annotated[bool, typer.Option("--yes", help="Do it; without this, only say what would change.")] = False,
        prune: Annotated[bool, typer.Option("--prune", help="Also remove every device that is not in FILE.")] = False,
        limit: Annotated[int, typer.Option(min=0, max=1000, help="Name at most so many changes.")] = 40,
        config: Config = SETTINGS,
        fleet: Fleet = None,
    ) -> None:
        """Add and change the devices a CSV names: all of it, or nothing if a row is bad.

        Example: village devices import fleet.csv, then the same with --yes
        """
        with plain_errors():
            place = find(config, fleet)
            lines = _count_lines(file)
            with writable(place) as store, _progress() as bar:
                task = bar.add_task(file.name, total=lines)
                found = import_rows(
                    store, file, shipped_profiles(), time.time_ns(), prune=prune, apply=yes,
                    report=lambda line: bar.update(task, completed=line),
                )  # fmt: skip
            _tell_import(found, limit, applied=yes)
            if yes and (found.added or found.changed or found.removed):
                typer.echo(place.tell())


def _count_lines(file: Path) -> int:
    with file.open("rb") as opened:
        return sum(block.count(b"\n") for block in iter(lambda: opened.read(1 << 20), b""))


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)


_MARK = {"added": "+", "changed": "~", "removed": "-"}


def _tell_import(found: Imported, limit: int, *, applied: bool) -> None:
    for change in found.changes[:limit]:
        typer.echo(f"{_MARK[change.what]} {change.device}  {change.detail}".rstrip())
    sums = (found.added, found.changed, found.removed)
    if sum(sums) > limit:
        typer.echo(f"... and {sum(sums) - limit} more; --limit names more of them")
    words = [f"{count} {what}" for count, what in zip(sums, _MARK, strict=True)]
    typer.echo(f"{', '.join(words)}, {found.same} as they were")
    if not applied:
        typer.echo("nothing is changed yet; add --yes to do it" if any(sums) else "nothing to do")
