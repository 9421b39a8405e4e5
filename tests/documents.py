"""Writes the generated parts of the documents anew: ``python -m tests.documents``."""

import ast
from pathlib import Path

from tests.planted import as_table

ROOT = Path(__file__).parent.parent
ROOMS = ("devices", "gateway", "dashboards", "simulators")
BEGIN = "<!-- map: made by `python -m tests.documents`, checked by tests/test_documents.py -->\n"
END = "<!-- /map -->"
MAP_HEAD = """# Map

Every module by its first line. Made by `python -m tests.documents`, checked by tests/test_documents.py. The rooms, and
who may import whom, are in the [README](../README.md#map).
"""
PLANTED_BEGIN, PLANTED_END = "<!-- planted: made by `python -m tests.documents` -->\n", "<!-- /planted -->"


def first_line(path: Path) -> str:
    """The first line of a module's docstring, its entry in the map."""
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    if not docstring:
        raise ValueError(f"{path}: a module needs a docstring; its first line is its entry in docs/map.md")
    return docstring.splitlines()[0]


def folders() -> list[Path]:
    """Every folder of ours that holds modules."""
    return [folder for room in ROOMS for folder in sorted({path.parent for path in (ROOT / room).rglob("*.py")})]


def name_of(path: Path) -> str:
    """From the repository's root."""
    return path.relative_to(ROOT).as_posix()


def render_map() -> str:
    """``docs/map.md``: every folder and module with its first line."""
    lines = [MAP_HEAD]
    for folder in folders():
        lines.append(f"## `{name_of(folder)}/`\n\n{first_line(folder / '__init__.py')}\n")
        modules = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
        lines += [f"- [`{path.name}`](../{name_of(path)}): {first_line(path)}" for path in modules]
        lines.append("")
    return "\n".join(lines)


def with_map(readme: str) -> str:
    """The README with its map of folders made anew."""
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    lines = [
        f"- [`{name_of(folder)}/`]({name_of(folder)}): {first_line(folder / '__init__.py')}" for folder in folders()
    ]
    return "\n".join((head + BEGIN.rstrip("\n"), *lines, END + tail))


def with_planted(guide: str) -> str:
    """The operating guide with the list of what the doctor names made anew."""
    head, _, rest = guide.partition(PLANTED_BEGIN)
    _, _, tail = rest.partition(PLANTED_END)
    return f"{head}{PLANTED_BEGIN}{as_table()}{PLANTED_END}{tail}"


if __name__ == "__main__":
    guide = ROOT / "docs" / "operate.md"
    guide.write_text(with_planted(guide.read_text("utf-8")), "utf-8")
    readme = ROOT / "README.md"
    readme.write_text(with_map(readme.read_text("utf-8")), "utf-8")
    (ROOT / "docs" / "map.md").write_text(render_map(), "utf-8")
