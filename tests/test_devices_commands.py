"""``village devices supported`` and the pages it writes."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from devices import commands
from devices.documents import PAGES
from devices.profile import shipped_profiles

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture
def app() -> typer.Typer:
    """A command line with the group ``devices`` only."""
    app = typer.Typer()
    app.command("other")(lambda: None)
    commands.register(app)
    return app


def test_every_profile_is_listed(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the number of each kind of evidence below."""
    monkeypatch.setenv("COLUMNS", "200")
    seen = CliRunner().invoke(app, ["devices", "supported"])
    assert seen.exit_code == 0
    assert [name for name in shipped_profiles() if name not in seen.output] == []
    assert f"{len(shipped_profiles())} profiles: " in seen.output


def test_one_domain_is_listed(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are not."""
    monkeypatch.setenv("COLUMNS", "200")
    seen = CliRunner().invoke(app, ["devices", "supported", "--domain", "weather"])
    assert "milesight_wts506" in seen.output
    assert "nas_ul2030" not in seen.output


def test_a_domain_that_is_none_is_refused(app: typer.Typer) -> None:
    """And the answer lists those there are."""
    seen = CliRunner().invoke(app, ["devices", "supported", "--domain", "sea"], env={"COLUMNS": "400"})
    assert seen.exit_code == 2
    assert "water_quality" in seen.output


def test_pages_are_written_where_docs_are(app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both, and only in a folder that has a ``docs``."""
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, ["devices", "supported", "--write-docs"]).exit_code == 2
    (tmp_path / "docs").mkdir()
    assert CliRunner().invoke(app, ["devices", "supported", "--write-docs"]).exit_code == 0
    assert {file.name for file in (tmp_path / "docs").iterdir()} == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_page_in_the_repository_is_up_to_date(name: str) -> None:
    """``village devices supported --write-docs`` writes it anew."""
    assert (DOCS / name).read_text("utf-8") == PAGES[name]()
