"""Laboratory results: checked row by row, kept over a restart, and what they make of a station's index."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from fastapi.testclient import TestClient
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from devices.fleet_row import FleetRow
from devices.profile import shipped_profiles
from devices.registry import Registry
from gateway import laboratory_commands
from gateway.analytics import worker as worker_module
from gateway.analytics.laboratory import Laboratory, LaboratoryDiskError
from gateway.analytics.laboratory_csv import DAY, LaboratoryError, Sample, read_samples
from gateway.analytics.vn_wqi import LaboratoryResult
from gateway.analytics.windows import HOUR, day_start
from gateway.api.schemas import time_text
from gateway.app import App
from gateway.backup import pieces
from gateway.model import Uplink
from gateway.settings import Api
from gateway.settings_file import load_settings
from tests.gateway_process import await_that
from tests.servers import free_port
from tests.test_analytics_room import MINUTE, House, at
from tests.test_api import TOKEN, Bench, client_of

NOW = at("2026-03-01T12:00")
TAKEN = at("2026-02-25T08:30")


def registry() -> Registry:
    """A river station and a lamp."""
    rows = [
        FleetRow(device="river-1", profile="native_water_station", commune="10642"),
        FleetRow(device="river-2", profile="native_water_station", commune="10642"),
        FleetRow(device="lamp-1", profile="native_streetlight", commune="10642"),
    ]
    return Registry.of(rows, shipped_profiles().values())


def read(text: str) -> list[Sample]:
    """A file entered at noon."""
    return read_samples(text, registry(), NOW)


# the file --------------------------------------------------------------------------------------------------------


def test_a_file_is_read_with_the_headings_of_the_index_command() -> None:
    """Several stations, in any order; dissolved oxygen becomes the saturation it was at its own temperature."""
    found = read(
        "Station;time;N-NH4;BOD;coliform;valid_days;DO;temp\n"
        "river-1;2026-02-25T08:30;0.6;6;7500;;;\n"
        "river-2;2026-02-20T08:30+00:00;;;;7;8.18;25\n"
        "river-2;2026-02-25T08:30;;4;;366;;20\n"
    )
    assert found == [
        Sample("river-1", TAKEN, TAKEN + 30 * DAY, {"ammonium_nitrogen": 0.6, "bod5": 6.0, "coliform": 7500.0}),
        Sample("river-2", TAKEN - 5 * DAY + 7 * HOUR, TAKEN + 2 * DAY + 7 * HOUR, {"oxygen_saturation": 100.053}),
        Sample("river-2", TAKEN, TAKEN + 366 * DAY, {"bod5": 4.0}),
    ]


HEAD = "device,time,bod5,ph,do,temperature,valid_days\n"


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("river-9,2026-02-25T08:30,6,,,,", "line 2: device: no 'river-9' in the fleet"),
        (",2026-02-25T08:30,6,,,,", "line 2: device: empty"),
        ("lamp-1,2026-02-25T08:30,6,,,,", "line 2: device: lamp-1 measures nothing of VN_WQI"),
        ("river-1,2026-02-25,6,,,,", "line 2: time '2026-02-25' is no time of a measurement"),
        ("river-1,2026-03-02T08:30,6,,,,", "line 2: time: 2026-03-02T08:30 is still to come"),
        ("river-1,1950-03-02T08:30,6,,,,", "line 2: time: 1950-03-02T08:30 is before 1970"),
        ("river-1,2026-02-25T08:30,<2,,,,", "line 2: bod5: '<2' is not a number"),
        ("river-1,2026-02-25T08:30,-2,,,,", "line 2: bod5: -2 cannot be"),
        ("river-1,2026-02-25T08:30,12000,,,,", "line 2: bod5: 12000 mg/L cannot be (at most 10000); look at the unit"),
        ("river-1,2026-02-25T08:30,,14.1,,,", "line 2: ph: 14.1 cannot be (at most 14)"),
        ("river-1,2026-02-25T08:30,,,8,,", "line 2: dissolved_oxygen: needs the sample's temperature"),
        ("river-1,2026-02-25T08:30,,,8,46,", "line 2: water_temperature: 46 is above 45 degrees"),
        ("river-1,2026-02-25T08:30,,,,25,", "line 2: no value of VN_WQI"),
        ("river-1,2026-02-25T08:30,6,,,,0", "line 2: valid_days: '0' is no number of days from 1 to 366"),
        ("river-1,2026-02-25T08:30,6,,,,367", "line 2: valid_days: '367'"),
        ("river-1,2026-02-25T08:30,6,,,,1.5", "line 2: valid_days: '1.5'"),
        ("river-1,2026-02-25T08:30,6,,,", "line 2: 6 cells, the heading has 7"),
        ("", "the file has no sample"),
        (
            "river-1,2026-02-25T08:30,6,,,,\nriver-1,2026-02-25T01:30Z,,7,,,",
            "line 3: time: river-1 has a sample of 2026-02-25T01:30Z in line 2",
        ),
    ],
)
def test_a_bad_row_is_named_by_line_and_column(rows: str, says: str) -> None:
    """And what to do."""
    with pytest.raises(LaboratoryError) as error:
        read(HEAD + rows + "\n")
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file is empty"),
        ("time,bod5\n", "line 1: no column 'device'"),
        ("device,bod5\n", "line 1: no column 'time'"),
        ("device,time,valid_days\n", "line 1: no column to compute from"),
        ("device,time,bod5,colour\n", "line 1: column 'colour' is not known"),
        ("device,station,time,bod5\n", "line 1: two columns mean device"),
    ],
)
def test_a_bad_heading_is_named(text: str, says: str) -> None:
    """Before any row."""
    with pytest.raises(LaboratoryError, match=says):
        read(text)


def test_every_bad_row_is_named_up_to_twenty() -> None:
    """So that a file is mended in one go."""
    rows = "".join(f"river-9,2026-02-25T08:{n:02},6,,,,\n" for n in range(25))
    with pytest.raises(LaboratoryError) as error:
        read(HEAD + rows + "river-1,2026-02-25T08:30,6,,,,\n")
    assert str(error.value).count("; line ") == 19
    assert str(error.value).endswith(" (and 5 more)")


# what is kept ----------------------------------------------------------------------------------------------------

GOOD = "device,time,bod5,coliform\nriver-1,2026-02-25T08:30,6,7500\nriver-2,2026-02-26T08:30,4,2500\n"


@pytest.fixture
def laboratory(tmp_path: Path) -> Iterator[Laboratory]:
    """An empty one."""
    made = Laboratory(tmp_path / "laboratory.db", registry, lambda: NOW)
    yield made
    made.close()


def test_what_was_entered_is_there_after_a_restart(laboratory: Laboratory, tmp_path: Path) -> None:
    """With who entered it; the newest sample first."""
    made = laboratory.add(GOOD, "Chị Hoa")
    laboratory.close()
    again = Laboratory(tmp_path / "laboratory.db", registry, lambda: NOW)
    assert again.samples() == made[::-1]
    assert [(kept.id, kept.entered_at, kept.entered_by) for kept in made] == [(1, NOW, "Chị Hoa"), (2, NOW, "Chị Hoa")]
    assert again.samples("river-1") == made[:1]
    until = TAKEN + 30 * DAY
    assert again.results()["river-1"] == [
        LaboratoryResult("bod5", 6.0, TAKEN, until), LaboratoryResult("coliform", 7500.0, TAKEN, until)
    ]  # fmt: skip
    again.close()


def test_a_preview_and_a_file_with_a_bad_row_change_nothing(laboratory: Laboratory) -> None:
    """Not even the good rows before it."""
    seen = laboratory.results()
    assert [kept.id for kept in laboratory.add(GOOD, "", preview=True)] == [0, 0]
    with pytest.raises(LaboratoryError):
        laboratory.add(GOOD + "river-3,2026-02-26T08:30,4,2500\n", "")
    assert laboratory.samples() == []
    assert laboratory.results() is seen


def test_the_same_station_and_moment_again_corrects_a_sample(laboratory: Laboratory) -> None:
    """The preview says so first."""
    laboratory.add(GOOD, "")
    correction = "device,time,bod5\nriver-1,2026-02-25T01:30:00Z,5\n"
    assert [kept.replaces for kept in laboratory.add(correction, "", preview=True)] == [1]
    assert laboratory.samples("river-1")[0].sample.values == {"bod5": 6.0, "coliform": 7500.0}
    (kept,) = laboratory.add(correction, "")
    assert (kept.id, kept.replaces) == (3, 1)
    assert [sample.sample.values for sample in laboratory.samples("river-1")] == [{"bod5": 5.0}]


def test_all_that_are_named_are_removed_or_none(laboratory: Laboratory) -> None:
    """And the index hears of it."""
    laboratory.add(GOOD, "")
    seen = laboratory.results()
    with pytest.raises(LaboratoryError, match="there is no sample 7"):
        laboratory.remove([1, 7])
    assert len(laboratory.samples()) == 2
    laboratory.remove([1, 1])
    assert [kept.id for kept in laboratory.samples()] == [2]
    assert set(seen) == {"river-1", "river-2"}
    assert set(laboratory.results()) == {"river-2"}


def test_a_disk_that_takes_nothing_is_named(laboratory: Laboratory, tmp_path: Path) -> None:
    """And everything is as before, also for the next try."""
    laboratory.add(GOOD, "")
    with closing(sqlite3.connect(tmp_path / "laboratory.db", isolation_level=None)) as other:
        other.execute("CREATE TRIGGER full BEFORE DELETE ON sample BEGIN SELECT RAISE(FAIL, 'disk full'); END")
        with pytest.raises(LaboratoryDiskError, match=r"laboratory\.db: disk full; nothing was changed"):
            laboratory.remove([1])
        assert len(laboratory.samples()) == 2
        other.execute("DROP TRIGGER full")
    laboratory.remove([1])


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """At the start, with what to do."""
    (tmp_path / "laboratory.db").write_text("results", "utf-8")
    with pytest.raises(OSError, match=r"laboratory\.db: file is not a database"):
        Laboratory(tmp_path / "laboratory.db", registry)


# the index -------------------------------------------------------------------------------------------------------

MEASURED = {
    "ph": 7.0, "dissolved_oxygen": 8.18, "water_temperature": 25.0, "ammonium_nitrogen": 0.6, "nitrate_nitrogen": 5.0
}  # fmt: skip
"""By the tables: group I is 100, oxygen 100, ammonium 50, nitrate 75."""
PARTIAL = (100 + 50 + 75) / 3
OFFICIAL = 61
"""With BOD5 of 6 (75) and coliform of 7500 (50): the root of (100 + 50 + 75 + 75) / 4 times 50 is 61.2."""


def test_the_index_is_official_while_the_results_are_valid() -> None:
    """From the first whole hour after the sample until they expire; then it is partial again. Also over a restart."""
    start = at("2026-01-12T08:00")
    house = House(start)
    results = [LaboratoryResult(n, v, start + HOUR, start + 3 * HOUR) for n, v in (("bod5", 6.0), ("coliform", 7500.0))]
    house.room.indices.laboratory({"river-1": results, "gone": results})
    for number in range(4 * 6):
        house.say("river-1", **MEASURED)
        house.pass_time(10)
        if number == 8:
            house.restart()
            house.room.indices.laboratory({"river-1": results})
    house.pass_time(20)
    hours = [house.index("river-1", start + hour * HOUR) for hour in range(4)]
    assert [hour.get("vn_wqi") for hour in hours] == [None, OFFICIAL, OFFICIAL, None]
    assert [hour.get("vn_wqi_partial") for hour in hours] == pytest.approx([PARTIAL, None, None, PARTIAL], abs=0.1)
    assert (hours[1]["vn_wqi_bod5"], hours[1]["vn_wqi_coliform"]) == (75, 50)
    assert "vn_wqi_bod5" not in hours[3]


def test_results_that_come_later_complete_hours_that_are_remembered() -> None:
    """BOD5 takes the laboratory five days; hours that they say nothing of are not written again."""
    start = at("2026-01-12T08:00")
    house = House(start)
    for _ in range(3 * 6):
        house.say("river-1", **MEASURED)
        house.pass_time(10)
    house.pass_time(20)
    house.lines.clear()
    house.room.indices.laboratory({"river-1": [LaboratoryResult("coliform", 5000.0, start + HOUR, start + 2 * HOUR)]})
    house.look()
    assert [key[1] for key in house.lines if key[0].startswith("index")] == [start + HOUR]
    assert house.index("river-1", start + HOUR)["vn_wqi"] == 75


# the API ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    """Asks a gateway with a station ``water-1``, on 2026-05-28."""
    return client_of(Bench().parts, tmp_path)


WATER = "device,time,coliform\nwater-1,2026-05-27T08:30+07:00,5000\n"


def test_results_are_entered_listed_and_removed_over_http(client: TestClient) -> None:
    """Previewed first."""
    item = {
        "id": 0, "device": "water-1", "sampled_at": "2026-05-27T01:30:00.000Z",
        "valid_until": "2026-06-06T01:30:00.000Z", "valid": True, "values": {"coliform": 5000.0},
        "entered_at": "2026-05-28T20:26:40.123Z", "entered_by": "Chị Hoa", "replaces": 0,
    }  # fmt: skip
    where = "/laboratory?by=Chị Hoa&valid_days=10"
    assert client.post(f"{where}&preview=true", content=WATER).json() == {"applied": False, "items": [item]}
    assert client.get("/laboratory").json() == {"total": 0, "items": []}
    assert client.post(where, content=WATER).json() == {"applied": True, "items": [item | {"id": 1}]}
    assert client.get("/laboratory?device=water-1").json() == {"total": 1, "items": [item | {"id": 1}]}
    assert client.get("/laboratory?device=water-2").json()["total"] == 0
    assert client.post("/laboratory/remove", json={"ids": [1]}).json() == {"removed": 1}
    missing = client.post("/laboratory/remove", json={"ids": [1]})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "content", "says"),
    [
        ("", "device,time,coliform\nwater-9,2026-05-27T08:30,5\n", "line 2: device: no 'water-9'"),
        ("", b"\xff\xfe", "not UTF-8"),
        ("?valid_days=0", WATER, "valid_days"),
        ("?valid_days=367", WATER, "valid_days"),
    ],
)
def test_a_wrong_file_is_answered_with_what_is_wrong(
    client: TestClient, path: str, content: str | bytes, says: str
) -> None:
    """One line, and nothing is kept."""
    answer = client.post(f"/laboratory{path}", content=content)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(says)
    assert client.get("/laboratory").json()["total"] == 0


def test_a_file_without_end_is_refused(client: TestClient) -> None:
    """At four megabytes."""
    assert client.post("/laboratory", content=b"x" * (4 << 20) + b"x").status_code == 413


def test_results_need_the_token(tmp_path: Path) -> None:
    """To be read, too."""
    bench = Bench()
    guarded = client_of(replace(bench.parts, settings=Api(token=SecretStr(TOKEN))), tmp_path)
    assert guarded.get("/laboratory").status_code == 401
    assert guarded.post("/laboratory", content=WATER).status_code == 401
    assert guarded.post("/laboratory/remove", json={"ids": [1]}).status_code == 401
    assert guarded.post("/laboratory", content=WATER, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


# the command, with and without a gateway that runs ---------------------------------------------------------------


class Village:
    """A gateway with a river station that spoke two days ago, and the command line."""

    def __init__(self, folder: Path) -> None:
        self.config, self.file = folder / "village.toml", folder / "results.csv"
        (folder / "fleet.csv").write_text(
            "device,profile,commune,interval_seconds\nriver-1,native_water_station,10642,600\n", "utf-8"
        )
        self.config.write_text(f'[gateway]\nfleet = "fleet.csv"\n[[store]]\n[api]\nport = {free_port()}\n', "utf-8")
        self.start = day_start((time.time_ns() + 7 * HOUR) // DAY - 2)
        self.app: App | None = None

    def run(self) -> App:
        """The gateway, which runs from now on."""
        self.app = App(load_settings(self.config, {}), with_broker=False)
        self.app.start()
        return self.app

    def stop(self) -> None:
        """It does not any more."""
        if self.app is not None:
            self.app.stop()
            self.app = None

    def hear(self, hour: int) -> None:
        """An hour of the station."""
        assert self.app is not None
        line, times = self.app.line, [self.start + hour * HOUR + n * 10 * MINUTE for n in range(6)]
        said = [
            Uplink("village/10642/river-1/up", json.dumps({"observed_at": time_text(t), **MEASURED}).encode(), t)
            for t in times
        ]
        line.submit(lambda: line.take(said)).result(10)

    def index(self, hour: int) -> dict[str, float]:
        """The index of an hour; nothing if there is none yet."""
        assert self.app is not None
        at = self.start + hour * HOUR
        found = self.app.stores["commune"].lines("index", "10642", "river-1", at, at + 1, 10)
        return dict(found[0].fields) if found else {}

    def command(self, *words: str) -> Result:
        """``village laboratory``."""
        commands = typer.Typer()
        commands.command("other")(lambda: None)
        laboratory_commands.register(commands)
        return CliRunner().invoke(commands, ["laboratory", *words, "--config", str(self.config)])

    def add(self, *words: str) -> str:
        """Enter a sample of the first hour, valid for a day; what was said."""
        self.file.write_text(
            f"device,time,bod5,coliform,valid_days\nriver-1,{time_text(self.start)},6,7500,1\n", "utf-8"
        )
        result = self.command("add", str(self.file), *words)
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()[-1]


@pytest.fixture
def village(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Village]:
    """Looks for what is late all the time."""
    monkeypatch.setattr(worker_module, "MEND_SECONDS", 0.3)
    made = Village(tmp_path)
    yield made
    made.stop()


def test_a_running_gateway_takes_results_at_once_and_finds_them_after_a_restart(village: Village) -> None:
    """Partial, official for the day they are valid, partial again; removed, the next hours are partial."""
    village.run()
    for hour in (0, 1, 26):
        village.hear(hour)
    await_that("the index is partial", lambda: "vn_wqi_partial" in village.index(1), 30)
    assert village.add("--preview") == "1 sample would be kept"
    assert village.add() == "1 sample kept"
    await_that("the hours of the day are official", lambda: village.index(1).get("vn_wqi") == OFFICIAL, 30)
    assert village.index(0)["vn_wqi"] == OFFICIAL
    village.stop()
    settings = load_settings(village.config, {})
    assert "data/laboratory.db" in [piece.name for piece in pieces(settings, village.config)]
    village.run()
    village.hear(2)
    await_that("another hour is official", lambda: village.index(2).get("vn_wqi") == OFFICIAL, 30)
    await_that("the day after is partial", lambda: "vn_wqi_partial" in village.index(26), 30)
    assert "vn_wqi" not in village.index(26)
    assert village.command("remove", "1").stdout == "removed 1\n"
    village.hear(3)
    await_that("the next hour is partial", lambda: "vn_wqi_partial" in village.index(3), 30)
    assert "vn_wqi" not in village.index(3)


def test_without_a_gateway_the_command_keeps_results_itself(village: Village) -> None:
    """With the same checks."""
    refused = village.command("list")
    assert refused.exit_code == 2
    assert "start the gateway once" in refused.stderr
    path = load_settings(village.config, {}).gateway.data_dir / "laboratory.db"
    path.parent.mkdir()
    path.write_text("results", "utf-8")
    assert "laboratory.db: file is not a database" in village.command("list").stderr
    path.unlink()
    Laboratory(path, registry).close()
    assert village.add() == "1 sample kept"
    assert village.add("--preview") == "1 sample would be kept, 1 in place of earlier ones"
    village.file.write_text("device,time,bod5\nriver-1,2026-02-25T08:30,x\nriver-2,2026-02-25T08:30,6\n", "utf-8")
    refused = village.command("add", str(village.file))
    assert refused.exit_code == 2
    assert refused.stderr.startswith("line 2: bod5: 'x' is not a number; write 12.5, or nothing where it is missing; ")
    assert "; line 3: device: no 'river-2' in the fleet" in refused.stderr
    assert village.command("list", "--device", "river-1").stdout.splitlines()[-1] == "1 sample"
    assert village.command("remove", "9").stderr == "there is no sample 9; `village laboratory list` names them\n"
    assert village.command("remove", "1").stdout == "removed 1\n"
    assert village.command("list").stdout == "no samples\n"
