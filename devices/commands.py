"""The command group ``village devices``: which devices are supported."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from devices.documents import DOMAINS, EVIDENCE, PAGES, by_maker, count_evidence
from devices.profile import Profile, shipped_profiles

GROUP = "devices"


def register(app: typer.Typer) -> None:
    """Add the group ``devices`` to the command line."""
    devices_group(app).command("supported")(supported)


def devices_group(app: typer.Typer) -> typer.Typer:
    """The group ``devices``, to which the gateway adds what needs its settings and its journal."""
    for known in app.registered_groups:
        if known.name == GROUP and known.typer_instance is not None:
            return known.typer_instance
    group = typer.Typer(no_args_is_help=True, help="The devices of the fleet, and which ones are supported.")
    app.add_typer(group, name=GROUP)
    return group


def supported(
    domain: Annotated[str, typer.Option(help="Only this domain, for example water_quality.")] = "",
    write_docs: Annotated[
        bool, typer.Option("--write-docs", help="Write docs/devices.md and docs/vocabulary.md of the repository anew.")
    ] = False,
) -> None:
    """List the shipped device profiles, each with the evidence it was made from."""
    if write_docs:
        _write_docs(Path("docs"))
        return
    if domain and domain not in {str(known) for known in DOMAINS}:
        raise typer.BadParameter(
            f"{domain!r} is not a domain; write one of {', '.join(DOMAINS)}", param_hint="--domain"
        )
    profiles = [profile for profile in by_maker(shipped_profiles().values()) if domain in {"", profile.domain}]
    console = Console()
    console.print(_table(profiles))
    counts = count_evidence(profiles)
    console.print(f"{len(profiles)} profiles: " + ", ".join(f"{counts[kind]} {kind}" for kind in EVIDENCE))


def _table(profiles: list[Profile]) -> Table:
    table = Table()
    # The id is what people copy into a fleet file: it is never cut.
    table.add_column("profile", no_wrap=True)
    for heading in ("maker, model", "domain", "codec", "evidence"):
        table.add_column(heading)
    for profile in profiles:
        table.add_row(
            profile.id, f"{profile.maker} {profile.model}", profile.domain, profile.codec, profile.evidence.kind
        )
    return table


def _write_docs(folder: Path) -> None:
    if not folder.is_dir():
        raise typer.BadParameter("there is no folder docs here; run this at the root of the repository")
    for name, page in PAGES.items():
        (folder / name).write_text(page(), "utf-8")
        typer.echo(f"wrote {folder / name}")
