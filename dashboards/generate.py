"""Every generated file by its path: dashboards in both languages, provisioning, map outline; and what is out of date."""

import json
from collections.abc import Callable
from pathlib import Path

from dashboards import (
    air,
    alert_page,
    commune,
    device,
    gateway_health,
    lighting,
    province,
    public,
    water,
)
from dashboards.board import Board, to_dashboard
from dashboards.maps import outline
from dashboards.panels import Json
from dashboards.provisioning import provisioning_files
from dashboards.queries import NAME
from dashboards.texts import Language, Say

BOARDS: tuple[Callable[[Say], Board], ...] = (
    province.board,
    commune.board,
    lighting.board,
    water.board,
    air.board,
    device.board,
    alert_page.board,
    gateway_health.board,
    public.board,
)
GENERATED, PROVISIONING, MAPS = "generated", "provisioning", "maps"
HERE = Path(__file__).parent


def folder_of(board: Board, language: Language) -> str:
    """The folder of generated files a dashboard belongs to, which is a folder of Grafana's too."""
    if not board.folder:
        return language.value
    return board.folder if language is Language.VI else f"{board.folder}-{language}"


def dashboards(names: dict[str, str] | None = None) -> dict[str, Json]:
    """Every dashboard by its path below ``generated``.

    Args:
        names: what devices are called, by device; shown in tables instead of the device's id.
    """
    found = {}
    for language in Language:
        say = Say(language)
        for make in BOARDS:
            board = make(say)
            found[f"{folder_of(board, language)}/{board.name}.json"] = with_names(to_dashboard(board, say), names or {})
    return found


def with_names(dashboard: Json, names: dict[str, str]) -> Json:
    """The dashboard with names in the columns that show devices."""
    if not names:
        return dashboard
    for panel in dashboard["panels"]:
        for override in panel.get("fieldConfig", {}).get("overrides", ()):
            if override["matcher"] == {"id": "byName", "options": f"device{NAME}"}:
                _name(override["properties"], names)
    return dashboard


def _name(properties: list[Json], names: dict[str, str]) -> None:
    """A column's mappings with more texts."""
    known = next((entry for entry in properties if entry["id"] == "mappings"), None)
    if known is None:
        known = {"id": "mappings", "value": [{"type": "value", "options": {}}]}
        properties.append(known)
    options = known["value"][0]["options"]
    for key, text in names.items():
        options.setdefault(key, {"text": text, "index": len(options)})


def as_text(value: Json) -> str:
    """JSON as it is kept: the same bytes on every machine, one line a value, so that differences can be read."""
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def files(names: dict[str, str] | None = None) -> dict[str, str]:
    """Every generated file by its path below the package."""
    return {
        **{f"{GENERATED}/{path}": as_text(value) for path, value in dashboards(names).items()},
        **{f"{PROVISIONING}/{path}": text for path, text in provisioning_files().items()},
        f"{MAPS}/village.geojson": as_text(outline()),
    }


def write(folder: Path, names: dict[str, str] | None = None) -> list[str]:
    """Write what differs, take away what is no longer made; returns the paths that changed."""
    made = files(names)
    changed = []
    for path, text in made.items():
        file = folder / path
        if not file.is_file() or file.read_text("utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
            changed.append(path)
    for path in left_over(folder, made):
        (folder / path).unlink()
        changed.append(path)
    return changed


def outdated(folder: Path, names: dict[str, str] | None = None) -> list[str]:
    """Paths of generated files that are missing, differ from what the code makes, or are made no longer."""
    made = files(names)
    differing = [
        path
        for path, text in made.items()
        if not (folder / path).is_file() or (folder / path).read_text("utf-8") != text
    ]
    return differing + left_over(folder, made)


def left_over(folder: Path, made: dict[str, str]) -> list[str]:
    """Generated dashboards that nothing makes any more; only below ``generated``, where nobody writes by hand."""
    found = sorted((folder / GENERATED).rglob("*.json"))
    return [path for file in found if (path := file.relative_to(folder).as_posix()) not in made]
