"""Documents that could drift: compared with what they describe."""

import importlib
import inspect
import re
import tomllib
from typing import Any

import pytest

from tests.documents import ROOT, render_map, with_map


def test_the_map_is_the_first_lines_of_folders_and_modules() -> None:
    """Run ``python -m tests.documents`` after adding or renaming a module."""
    readme = (ROOT / "README.md").read_text("utf-8")
    assert readme == with_map(readme)
    assert (ROOT / "docs" / "map.md").read_text("utf-8") == render_map()


def test_every_file_the_readme_links_to_exists() -> None:
    """A link that leads nowhere is worse than none."""
    readme = (ROOT / "README.md").read_text("utf-8")
    linked = re.findall(r"\]\(([^)#:]+)\)", readme)
    missing = [link for link in linked if not (ROOT / link).exists()]
    assert len(linked) > 10
    assert missing == []


def test_every_village_command_in_the_readme_exists() -> None:
    """Commands are read from the application itself."""
    from gateway.cli import command_names

    readme = (ROOT / "README.md").read_text("utf-8")
    named = set(re.findall(r"^village ([a-z]+)", readme, re.MULTILINE))
    assert named
    assert named <= set(command_names())


def test_the_whole_way_is_six_files_and_under_500_lines() -> None:
    """What the README tells a newcomer to read exists, and is as short as it says."""
    readme = (ROOT / "README.md").read_text("utf-8")
    steps = re.findall(r"^\d\. \[`([^`]+)`\]\([^)]+\) (.*?): ", readme, re.MULTILINE | re.DOTALL)
    assert len(steps) == 6
    lines = 0
    for path, named in steps:
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
        for name in re.findall(r"`([\w.]+)`", named):
            found: Any = module
            for part in name.split("."):
                found = getattr(found, part)
            lines += len(inspect.getsourcelines(found)[0])
    assert 200 < lines < 500


def test_every_guarantee_names_tests_that_exist() -> None:
    """A promise without a proof is an advertisement."""
    readme = (ROOT / "README.md").read_text("utf-8")
    table = readme.partition("## Guarantees")[2].partition("## Develop")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith("| Is |")]
    written = "\n".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    proofs = [re.findall(r"`(test_\w+)`", row.split("|")[3]) for row in rows]
    assert len(rows) > 5
    assert [row for row, named in zip(rows, proofs, strict=True) if not named] == []
    assert [name for named in proofs for name in named if f"def {name}(" not in written] == []


def test_the_page_on_the_simulators_is_what_the_command_writes() -> None:
    """Run ``village simulated-year --docs docs`` after changing a signal, a scenario or a fault."""
    from simulators import documents

    assert documents.outdated(ROOT / "docs") == []


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_lock_files_carry_no_registry_host(name: str) -> None:
    """They must work behind any mirror."""
    text = (ROOT / name).read_text("utf-8")
    assert "://" not in text
    assert text.count("--hash=sha256:") > 100


def test_locks_cover_every_dependency() -> None:
    """A dependency added to pyproject.toml without ``make lock`` would be missing on a fresh machine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    names = [re.split(r"[<>=\[;]", text)[0].lower() for text in project["project"]["dependencies"]]
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert [name for name in names if f"\n{name}==" not in f"\n{lock}"] == []


def test_files_name_no_build_machine() -> None:
    """The repository speaks of the product alone."""
    import subprocess

    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    words = re.compile(rb"/work/|\.mirror|/root/|shared/facts")
    ours = [name for name in files if not name.startswith("gateway/web/vendor/") and (ROOT / name).is_file()]
    named = [name for name in ours if name != "tests/test_documents.py" and words.search((ROOT / name).read_bytes())]
    assert named == []
