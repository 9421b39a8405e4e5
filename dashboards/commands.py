"""The commands ``village dashboards generate``, ``check`` and ``push``: Grafana as code."""

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, NoReturn

import typer
import yaml
from rich.progress import track

from dashboards.generate import GENERATED, HERE, PROVISIONING, dashboards, outdated, write
from dashboards.handbook import HANDBOOK, write_handbook
from dashboards.provisioned_shapes import misspelt_provisioning
from dashboards.provisioning import ACCOUNTS, FOLDERS, data_sources
from dashboards.push import Outcome, Push, Pushed, PushError, Target
from dashboards.shapes import misspelt
from devices.fleet_csv import load_fleet
from devices.profile import shipped_profiles
from devices.vocabulary import Measurement

TOKEN = "GRAFANA_TOKEN"  # noqa: S105 - the name of the variable
MOST_NAMES = 1000
"""Names that a dashboard carries; beyond that its file would grow too large for a browser. Chosen."""

group = typer.Typer(
    name="dashboards",
    help="Grafana as code: dashboards, alert rules, data sources. / Trang Grafana dưới dạng mã.",
    no_args_is_help=True,
)

FleetFile = Annotated[
    Path | None,
    typer.Option("--fleet", help="The fleet's CSV: its stations and cabinets are then shown by their names."),
]
Folder = Annotated[Path, typer.Option("--out", help="Folder of the files; default: the installed package's own.")]


def register(app: typer.Typer) -> None:
    """Add the group ``dashboards`` to the command line."""
    app.add_typer(group)


def _fail(text: str, status: int = 1) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(status)


def names_of(path: Path | None) -> dict[str, str]:
    """What the fleet calls its devices, lamps last: they are many, and their number says where they are."""
    if path is None:
        return {}
    registry = load_fleet(path, shipped_profiles().values())
    lamps = {profile.id for profile in registry.profiles if profile.domain is Measurement.STREETLIGHT}
    devices = sorted(range(len(registry)), key=lambda device: registry.profile(device).id in lamps)
    known = [(registry.names[device], registry.labels[device]) for device in devices]
    return dict([(name, label) for name, label in known if label and label != name][:MOST_NAMES])


@group.command()
def generate(
    out: Folder = HERE,
    fleet: FleetFile = None,
    commune: Annotated[
        str, typer.Option(help="Print data sources for the databases of this commune alone, and write nothing.")
    ] = "",
    org: Annotated[int, typer.Option(min=1, help="With --commune: Grafana's organisation.")] = 1,
    store: Annotated[str, typer.Option(help=f"With --commune: {', '.join(ACCOUNTS)}.")] = "influxdb2",
    docs: Annotated[Path | None, typer.Option(help="Make the handbook's tables anew in this folder too.")] = None,
) -> None:
    """Write dashboards, provisioning files and the map's outline."""
    if commune:
        if store not in ACCOUNTS:
            _fail(f"--store {store}: write one of {', '.join(ACCOUNTS)}", 2)
        typer.echo(data_sources(store, commune, org), nl=False)
        return
    for path in write(out, names_of(fleet)):
        typer.echo(out / path)
    if docs is not None and write_handbook(docs):
        typer.echo(docs / HANDBOOK)


@group.command()
def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Dashboards (JSON) and provisioning files (YAML) to look at; without any, all generated files.",
            show_default=False,
        ),
    ] = None,
    out: Folder = HERE,
    fleet: FleetFile = None,
) -> None:
    """Say which generated files are out of date, and which option names Grafana would not know."""
    found = []
    if not files:
        found += [
            f"{out / path}: not what the code makes; run village dashboards generate"
            for path in outdated(out, names_of(fleet))
        ]
    for file in files or sorted([*(out / GENERATED).rglob("*.json"), *(out / PROVISIONING).rglob("*.yaml")]):
        found += [f"{file}: Grafana does not know {path}" for path in _unknown_in(file)]
    for line in found:
        typer.echo(line, err=True)
    raise typer.Exit(1 if found else 0)


def _unknown_in(file: Path) -> list[str]:
    """What Grafana would not know in a dashboard or in a provisioning file."""
    try:
        text = file.read_text("utf-8")
        if file.suffix in {".yaml", ".yml"}:
            return misspelt_provisioning(yaml.safe_load(text))
        return misspelt(json.loads(text))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        _fail(f"{file}: no dashboard in JSON, no provisioning file in YAML: {' '.join(str(error).split())}", 2)


@group.command()
def push(
    url: Annotated[str, typer.Option(help="Address of Grafana.")] = "http://127.0.0.1:3000",
    language: Annotated[str, typer.Option(help="vi, en or all.")] = "vi",
    force: Annotated[bool, typer.Option("--force", help="Overwrite also what staff has changed in Grafana.")] = False,
    share: Annotated[bool, typer.Option("--share", help="Make the public page readable without an account.")] = False,
    fleet: FleetFile = None,
) -> None:
    """Bring the dashboards into a running Grafana. The token is read from the environment: GRAFANA_TOKEN.

    What staff has changed there is left alone and named; the exit status is then 1.
    """
    token = os.environ.get(TOKEN, "")
    if not token:
        _fail(f"set {TOKEN} to the token of a Grafana service account with the role Editor", 2)
    folders = {"vi": ("vi", "public"), "en": ("en", "public-en"), "all": tuple(FOLDERS)}.get(language)
    if folders is None:
        _fail(f"--language {language}: write vi, en or all", 2)
    made = {path: value for path, value in dashboards(names_of(fleet)).items() if path.split("/")[0] in folders}
    counts: Counter[Outcome] = Counter()
    changed: list[Pushed] = []
    try:
        pushing = Push(Target(url, token))
        for folder in folders:
            pushing.folder(f"village-{folder}", FOLDERS[folder])
        for path, value in track(made.items(), "push", disable=not sys.stderr.isatty(), transient=True):
            done = pushing.dashboard(value, f"village-{path.split('/')[0]}", force=force)
            counts[done.outcome] += 1
            if done.outcome is Outcome.CONFLICT:
                changed.append(done)
        if share:
            typer.echo(pushing.share("village-public"))
    except PushError as error:
        _fail(str(error))
    typer.echo(", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome))
    for one in changed:
        typer.echo(f"{one.uid} ({one.title}): changed in Grafana, left as it is; --force overwrites it", err=True)
    raise typer.Exit(1 if changed else 0)
