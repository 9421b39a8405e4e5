"""``village devices``: what a person types, reads, and gets."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from devices import commands, fleet_commands
from devices.fleet_commands import FleetPlace, PlaceError
from devices.fleet_row import parse_since, write_hardware_ids
from devices.fleet_store import FleetStore, open_fleet
from devices.profile import shipped_profiles

LAMP, METER = "nas_ul2030", "tasmota_meter_plug"
FLEET = (
    "device,profile,commune,group,name,hardware_ids\n"
    f"lamp-1,{LAMP},10642,tu-1,Đèn 1 ngõ Đình,70B3D58FF0000001\n"
    f"lamp-2,{LAMP},10643,tu-1,,70B3D58FF0000002; SN-2\n"
)
Run = Callable[..., Result]


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Where the settings say the fleet is."""
    return tmp_path / "fleet.db"


@pytest.fixture
def run(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``village devices ...`` with a gateway that always answers."""

    def find(config: Path, other: Path | None) -> FleetPlace:
        if config.name == "bad.toml":
            raise PlaceError("bad.toml: broker.port: must be greater than or equal to 1")
        return FleetPlace(other or fleet, lambda: "the gateway has read it anew")

    app = typer.Typer()
    commands.register(app)
    fleet_commands.register(commands.devices_group(app), find)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: CliRunner().invoke(app, ["devices", *words], catch_exceptions=False)


@pytest.fixture
def filled(run: Run, tmp_path: Path) -> Path:
    """The fleet with two lamps; returns the CSV they came from."""
    path = tmp_path / "import.csv"
    path.write_text(FLEET, "utf-8")
    assert run("import", str(path), "--yes").exit_code == 0
    return path


def said(result: Result) -> list[str]:
    """The lines of a command that could not do it."""
    assert result.exit_code == 2
    return result.stderr.splitlines()


def test_an_import_is_told_then_done(run: Run, tmp_path: Path, fleet: Path) -> None:
    """Without --yes nothing is changed, not even a file made."""
    path = tmp_path / "import.csv"
    path.write_text(FLEET, "utf-8")
    first = run("import", str(path))
    assert first.stdout.splitlines() == [
        "+ lamp-1",
        "+ lamp-2",
        "2 added, 0 changed, 0 removed, 0 as they were",
        "nothing is changed yet; add --yes to do it",
    ]
    assert not fleet.exists()
    done = run("import", str(path), "--yes")
    assert done.stdout.splitlines()[-2:] == [
        "2 added, 0 changed, 0 removed, 0 as they were",
        "the gateway has read it anew",
    ]
    assert open_fleet(fleet, shipped_profiles().values()).names == ["lamp-1", "lamp-2"]
    assert run("import", str(path)).stdout.splitlines() == [
        "0 added, 0 changed, 0 removed, 2 as they were",
        "nothing to do",
    ]


def test_an_import_names_a_few_of_many_changes(run: Run, filled: Path) -> None:
    """And counts the rest; --prune removes."""
    filled.write_text(FLEET.replace("tu-1", "tu-2").replace("lamp-2", "lamp-3").replace("0002; SN-2", "0003"), "utf-8")
    assert run("import", str(filled), "--prune", "--limit", "1", "--yes").stdout.splitlines() == [
        "~ lamp-1  group: tu-1 -> tu-2",
        "... and 2 more; --limit names more of them",
        "1 added, 1 changed, 1 removed, 0 as they were",
        "the gateway has read it anew",
    ]


def test_a_bad_row_is_one_line_with_its_place(run: Run, filled: Path, fleet: Path) -> None:
    """On standard error, and nothing is changed."""
    filled.write_text(FLEET + "lamp-3,pole,1,,,\n", "utf-8")
    assert said(run("import", str(filled), "--yes")) == [
        f"{filled}: line 4: profile: no profile 'pole'; see `village devices supported`"
    ]
    assert len(open_fleet(fleet, shipped_profiles().values())) == 2


def test_devices_are_listed_and_found(run: Run, filled: Path) -> None:
    """By commune, profile or a part of anything shown; from the database and from a CSV."""
    assert run("list").stdout.splitlines()[-1] == "2 devices"
    assert "Đèn 1 ngõ Đình" in run("list", "--commune", "10642").stdout
    assert run("list", "--commune", "10642").stdout.splitlines()[-1] == "1 devices"
    assert run("list", "--profile", METER).stdout.splitlines()[-1] == "0 devices"
    assert "lamp-2" in run("list", "--search", "sn-2").stdout
    assert run("list", "--limit", "1").stdout.splitlines()[-1] == "2 devices, 1 of them shown; --limit shows more"
    assert run("list", "--fleet", str(filled)).stdout.splitlines()[-1] == "2 devices"


def test_a_device_is_added_and_shown(run: Run, filled: Path, fleet: Path) -> None:
    """With all it was given, and its history."""
    words = [
        "--profile",
        METER,
        "--commune",
        "10642",
        "--hardware-id",
        "plug-9",
        "--hardware-id",
        "AA:BB",
        "--zone",
        "st",
    ]
    more = ["--latitude", "20.9", "--longitude", "106.3", "--powered", "with_circuit", "--interval-seconds", "60"]
    added = run("add", "tu-1", *words, *more, "--name", "Tủ 1", "--group", "tu-1")
    assert added.stdout == "added tu-1; the gateway has read it anew\n"
    device = open_fleet(fleet, shipped_profiles().values()).device(2)
    assert (device.name, device.profile.id, device.label, device.zone) == ("tu-1", METER, "Tủ 1", "st")
    assert (device.latitude, device.powered, device.interval_seconds) == (20.9, "with_circuit", 60)
    lines = run("show", "tu-1").stdout.splitlines()
    assert "hardware_ids      plug-9; AA:BB" in lines
    assert "timezone          Asia/Ho_Chi_Minh" in lines
    assert lines[-1].endswith("  added")
    assert said(run("show", "tu-9")) == [f"{fleet}: no device 'tu-9'; see `village devices list`"]
    assert run("show", "lamp-1", "--fleet", str(filled)).stdout.splitlines()[0] == "device            lamp-1"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["lamp-1", "--profile", LAMP], "'lamp-1' is in the fleet already; see `village devices show lamp-1`"),
        (["lamp/3", "--profile", LAMP], "device: 'lamp/3' cannot be a name here"),
        (["lamp-3", "--profile", "pole"], "profile: no profile 'pole'; see `village devices supported`"),
        (["lamp-3", "--profile", LAMP, "--hardware-id", "sn-2"],
         "hardware_ids: 'sn-2' would speak for 'lamp-2' and 'lamp-3' at the same time; `village devices replace`"),
        (["lamp-3", "--profile", LAMP, "--hardware-id", "none"], "hardware_ids: 'none' needs the day it begins"),
        (["lamp-3", "--profile", LAMP, "--latitude", "99"], "latitude: must be less than or equal to 90"),
        (["lamp-3", "--profile", LAMP, "--config", "bad.toml"], "bad.toml: broker.port"),
    ],
)  # fmt: skip
def test_a_device_that_cannot_be_added_is_one_line(run: Run, filled: Path, words: list[str], text: str) -> None:
    """And the fleet is as it was."""
    lines = said(run("add", *words, "--commune", "1"))
    assert len(lines) == 1
    assert text in lines[0]
    assert run("list").stdout.splitlines()[-1] == "2 devices"


def test_new_hardware_takes_over_from_a_day(run: Run, filled: Path, fleet: Path) -> None:
    """Before it, the old one speaks."""
    done = run("replace", "lamp-1", "70B3D58FF0009999", "--since", "2026-03-01")
    assert done.stdout.splitlines() == [
        "lamp-1: hardware_ids: 70B3D58FF0000001 -> 70B3D58FF0000001; 70B3D58FF0009999@2026-03-01",
        "the gateway has read it anew",
    ]
    registry, march = open_fleet(fleet, shipped_profiles().values()), parse_since("2026-03-01")
    assert registry.by_hardware("70B3D58FF0000001", march - 1) == 0
    assert registry.by_hardware("70B3D58FF0009999", march) == 0
    assert registry.by_hardware("70B3D58FF0000001", march) is None
    with FleetStore(fleet) as store:
        assert [change.what for change in store.history("lamp-1")] == ["replaced", "added"]


def test_one_of_several_ids_is_replaced_by_name(run: Run, filled: Path, fleet: Path) -> None:
    """The others go on."""
    assert said(run("replace", "lamp-2", "SN-3")) == [
        "'lamp-2' has 2 hardware ids: 70B3D58FF0000002, SN-2; say --old for one of them"
    ]
    assert run("replace", "lamp-2", "SN-3", "--old", "sn-2", "--since", "2026-03-01").exit_code == 0
    with FleetStore(fleet) as store:
        row = store.find("lamp-2")
    assert row is not None
    assert write_hardware_ids(row.hardware_ids) == (
        "70B3D58FF0000002; SN-2; 70B3D58FF0000002@2026-03-01; SN-3@2026-03-01"
    )


def test_hardware_moves_from_one_device_to_another(run: Run, filled: Path, fleet: Path) -> None:
    """Only when that is said."""
    words = ["replace", "lamp-1", "70B3D58FF0000002", "--since", "2026-03-01"]
    assert said(run(*words)) == ["'70B3D58FF0000002' speaks for 'lamp-2'; if it was moved to 'lamp-1', add --move"]
    assert run(*words, "--move").exit_code == 0
    registry, march = open_fleet(fleet, shipped_profiles().values()), parse_since("2026-03-01")
    assert [registry.by_hardware("70b3d58ff0000002", at) for at in (march - 1, march)] == [1, 0]
    assert [registry.by_hardware("SN-2", at) for at in (march - 1, march)] == [1, 1]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["lamp-9", "X"], "no device 'lamp-9'"),
        (["lamp-1", "70b3d58ff0000001"], "'70b3d58ff0000001' speaks for 'lamp-1' already"),
        (["lamp-1", "X", "--old", "Y"], "'Y' does not speak for 'lamp-1'; what does: 70B3D58FF0000001"),
        (["lamp-1", "X", "--since", "spring"], "'spring' is no day or time; write for example 2026-03-01"),
        (["lamp-1", "X;Y"], "'X;Y' cannot be a hardware id"),
    ],
)
def test_a_replacement_that_cannot_be_is_one_line(run: Run, filled: Path, words: list[str], text: str) -> None:
    """And says what is there."""
    lines = said(run("replace", *words))
    assert len(lines) == 1
    assert text in lines[0]


def test_what_is_exported_is_imported_as_it_was(run: Run, filled: Path, tmp_path: Path) -> None:
    """To a file, for Excel too, and to standard output."""
    run("replace", "lamp-1", "70B3D58FF0009999", "--since", "2026-03-01T10:00")
    for words in ([], ["--excel"]):
        path = tmp_path / "out.csv"
        assert run("export", str(path), *words).stderr == f"{path}: 2 devices\n"
        assert run("import", str(path)).stdout.splitlines() == [
            "0 added, 0 changed, 0 removed, 2 as they were",
            "nothing to do",
        ]
    shown = list(csv.DictReader(io.StringIO(run("export").stdout)))
    assert [row["name"] for row in shown] == ["Đèn 1 ngõ Đình", ""]
    assert shown[0]["hardware_ids"] == "70B3D58FF0000001; 70B3D58FF0009999@2026-03-01T10:00:00"


def test_a_fleet_that_is_a_csv_is_not_changed_by_commands(run: Run, filled: Path) -> None:
    """The line says how to make a database of it."""
    before = filled.read_bytes()
    for words in (
        ["add", "lamp-3", "--profile", LAMP, "--commune", "1"],
        ["replace", "lamp-1", "X"],
        ["import", str(filled), "--yes"],
    ):
        (line,) = said(run(*words, "--fleet", str(filled)))
        assert f"`village devices import {filled} --fleet fleet.db --yes`, and set gateway.fleet to fleet.db" in line
    assert filled.read_bytes() == before


def test_a_fleet_that_is_not_there_is_one_line(run: Run, fleet: Path, tmp_path: Path) -> None:
    """For reading; and so is a CSV."""
    for words in (["list"], ["show", "x"], ["export"]):
        assert said(run(*words)) == [
            f"{fleet}: no such file; make it with `village devices import FLEET.csv`, or set gateway.fleet"
        ]
    missing = tmp_path / "none.csv"
    assert said(run("import", str(missing))) == [f"{missing}: No such file or directory"]


@pytest.mark.parametrize("command", ["list", "show", "add", "import", "export", "replace"])
def test_help_has_an_example(run: Run, command: str) -> None:
    """That can be copied."""
    assert f"Example: village devices {command}" in run(command, "--help").stdout
