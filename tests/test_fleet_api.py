"""The fleet changed over the network while the gateway runs: told before it is done, used at once, or refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from gateway.app import App
from gateway.model import Outcome, Uplink
from gateway.settings_file import load_settings
from tests.gateway_process import await_that
from tests.line_parts import MINUTE, NOW, up
from tests.servers import free_port

TOKEN = "0123456789abcdef"
FLEET = (
    "device,profile,commune,hardware_ids,name\n"
    "lamp-1,native_streetlight,10642,,Đèn ngõ Đình\n"
    "plug-1,tasmota_meter_plug,10642,plug_A1,\n"
)
PLUG = {"ENERGY": {
    "Total": 3.2, "Power": 41, "ApparentPower": 50, "ReactivePower": 1, "Factor": 0.8, "Voltage": 231, "Current": 0.1,
}}  # fmt: skip


def plug(name: str, minute: int = 0) -> Uplink:
    """A Tasmota plug reports."""
    said = json.dumps({"Time": f"2026-08-01T11:{minute:02}:00", **PLUG})
    return Uplink(f"tele/{name}/SENSOR", said.encode(), NOW + minute * MINUTE)


class Village:
    """A gateway with a fleet database, asked over HTTP."""

    def __init__(self, folder: Path, fleet: str = "fleet.db") -> None:
        self.folder = folder
        (folder / "village.toml").write_text(
            f'[gateway]\nfleet = "{fleet}"\nsources = ["tasmota"]\n[[store]]\n[journal]\nraw_days = 3650\n'
            f'[api]\nport = {free_port()}\ntoken = "{TOKEN}"\n',
            "utf-8",
        )
        (folder / "fleet.csv").write_text(FLEET, "utf-8")
        if fleet != "fleet.csv":
            from devices.fleet_import import import_rows
            from devices.fleet_store import FleetStore
            from devices.profile import shipped_profiles

            with FleetStore(folder / fleet, create=True) as store:
                import_rows(store, folder / "fleet.csv", shipped_profiles(), 1, apply=True)
        self.app = App(load_settings(folder / "village.toml", {}), with_broker=False)
        self.app.start()
        self._pool = urllib3.PoolManager()

    def ask(self, method: str, path: str, body: object = None, token: str = TOKEN) -> tuple[int, Any]:
        """Status and answer; bytes are sent as they are."""
        assert self.app.api is not None
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        answer = self._pool.request(method, f"{self.app.api.address}{path}", body=data, headers=headers)
        return answer.status, answer.json()

    def done(self, path: str, body: object) -> dict[str, Any]:
        """The answer to a change that was made."""
        status, answer = self.ask("POST", path, body)
        assert status == 200, answer
        assert isinstance(answer, dict)
        return answer

    def refused(self, path: str, body: object, status: int = 400) -> str:
        """The one line of a change that was not made."""
        before = self.names()
        seen, answer = self.ask("POST", path, body)
        assert (seen, self.names()) == (status, before), answer
        return str(answer["error"]["message"])

    def names(self) -> list[str]:
        """The fleet in use."""
        return list(self.app.registry.names)

    def hear(self, *uplinks: Uplink) -> list[Outcome]:
        """What becomes of these uplinks."""
        batch = self.app.line.submit(lambda: self.app.line.take(uplinks)).result(10)
        assert batch is not None
        return [entry.outcome for entry in batch.heard]


@pytest.fixture
def village(tmp_path: Path) -> Iterator[Village]:
    """A gateway that runs."""
    made = Village(tmp_path)
    yield made
    made.app.stop()


@pytest.fixture(scope="module")
def same_village(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Village]:
    """One that many tests ask, because nothing they ask for is done."""
    made = Village(tmp_path_factory.mktemp("village"))
    yield made
    made.app.stop()


def test_a_device_is_added_and_heard_at_once(village: Village) -> None:
    """First it is said what would change, then it is done; the next uplink of the device is kept."""
    lamp = {
        "device": "lamp-2", "profile": "native_streetlight", "commune": "10642", "name": "Đèn chợ", "group": "tu-1",
        "latitude": 20.97, "longitude": 106.29, "hardware_ids": ["A1", "A2@2026-03-01"], "powered": "with_circuit",
        "calibration": ["power 1.02 -0.5 @2026-03-01"],
    }  # fmt: skip
    change = {"device": "lamp-2", "what": "added", "detail": ""}
    told = {"added": 1, "changed": 0, "removed": 0, "changes": [change], "replay": None}
    assert village.done("/devices?preview=true", lamp) == told | {"applied": False, "devices": None}
    assert village.hear(up({"power": 58.5}, "lamp-2")) == [Outcome.REFUSED]
    assert village.done("/devices", lamp) == told | {"applied": True, "devices": 3}
    assert village.hear(up({"power": 58.5}, "lamp-2")) == [Outcome.KEPT]
    _, device = village.ask("GET", "/devices/lamp-2")
    assert {key: device[key] for key in ("label", "group", "powered", "latitude", "hardware_ids", "calibration")} == {
        "label": "Đèn chợ", "group": "tu-1", "powered": "with_circuit", "latitude": 20.97, "hardware_ids": ["A1", "A2"],
        "calibration": [{"property": "power", "slope": 1.02, "offset": -0.5, "since": "2026-02-28T17:00:00.000Z"}],
    }  # fmt: skip


LAMP = {"device": "lamp-2", "profile": "native_streetlight", "commune": "10642"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (LAMP | {"device": "lamp-1"}, "'lamp-1' is in the fleet already; see `village devices show lamp-1`"),
        (LAMP | {"device": "đèn 2"}, "device: 'đèn 2' cannot be a name here"),
        (LAMP | {"profile": "native_lamp"}, "profile: no profile 'native_lamp'; did you mean native_lamp_cabinet"),
        (LAMP | {"hardware_ids": ["PLUG_a1"]}, "hardware_ids: 'PLUG_a1' would speak for 'plug-1' and 'lamp-2'"),
        (LAMP | {"hardware_ids": ["a;b"]}, "0: String should match pattern"),
        (LAMP | {"latitude": 2097}, "latitude: must be less than or equal to 90"),
        (LAMP | {"latitude": "north"}, "latitude: "),
        (LAMP | {"powered": "sometimes"}, "powered: must be 'always' or 'with_circuit', not 'sometimes'"),
        (LAMP | {"timezone": "Asia/Hanoi"}, "timezone: 'Asia/Hanoi' is not a time zone"),
        (LAMP | {"calibration": ["ph 1 0"]}, "calibration: "),
        (LAMP | {"interval_seconds": 0}, "interval_seconds: must be greater than 0"),
        (LAMP | {"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"device": "lamp-2"}, "profile: Field required"),
        (b"{", "JSON decode error"),
    ],
)
def test_what_cannot_be_added_is_said_in_a_line(same_village: Village, body: object, said: str) -> None:
    """As on the command line; with and without preview, and nothing is changed."""
    for path in ("/devices", "/devices?preview=true"):
        assert said in same_village.refused(path, body)


def test_a_pending_sender_is_adopted_and_what_it_said_is_stored(village: Village) -> None:
    """Where the guess is not sure, the profile must be said; two messages that were refused are kept now."""
    assert village.hear(plug("plug_B7"), plug("plug_B7", 5)) == [Outcome.REFUSED] * 2
    assert [item["name"] for item in village.ask("GET", "/pending")[1]["items"]] == ["plug_B7"]
    assert village.refused("/devices/adopt", {"sender": "plug_C"}) == (
        "'plug_C' is not pending; see `village devices pending`"
    )
    assert village.refused("/devices/adopt", {"sender": "plug_B7"}) == "device: say what 'plug_B7' is to be called"
    wanted = {"sender": "tele/plug_B7/SENSOR", "device": "plug-7", "commune": "10642"}
    assert village.refused("/devices/adopt", wanted) == "profile: say which; sonoff_pow_r2 (likely)"
    assert village.refused("/devices/adopt", wanted | {"profile": "plug"}).startswith("profile: no profile 'plug'")
    wanted["profile"] = "tasmota_meter_plug"
    told = village.done("/devices/adopt?preview=true", wanted)
    assert (told["applied"], told["added"], told["replay"], village.names()) == (False, 1, None, ["lamp-1", "plug-1"])
    told = village.done("/devices/adopt", wanted)
    assert told["changes"] == [{"device": "plug-7", "what": "adopted", "detail": ""}]
    assert told["replay"] == {"through": 0, "kept": 2, "repeated": 0, "refused": 0, "cut": 0, "passed": 2}
    assert village.ask("GET", "/pending")[1] == {"items": []}
    totals = village.app.records.totals()
    assert (totals.kept, totals.refused) == (2, 0)
    await_that("the latest value", lambda: village.ask("GET", "/devices/plug-7")[1]["values"].get("power"))


def test_a_sender_of_our_own_topics_has_its_name(village: Village) -> None:
    """The topic says device and commune, and nobody can say otherwise."""
    village.hear(up({"power": 58.5, "energy": 3.5, "voltage": 230}, "lamp-9"))
    said = village.refused("/devices/adopt", {"sender": "lamp-9", "device": "lamp-8", "profile": "native_streetlight"})
    assert said == "device: village/10642/lamp-9/up names 'lamp-9', so it can only be that"
    told = village.done("/devices/adopt", {"sender": "lamp-9", "profile": "native_streetlight", "name": "Đèn 9"})
    assert (told["replay"]["kept"], village.app.registry.labels[-1]) == (1, "Đèn 9")


def test_new_hardware_speaks_for_a_device_from_its_day_on(village: Village) -> None:
    """The old one's messages are the device's until then, and nobody's afterwards."""
    new = {"new": "plug_Z9", "since": "2026-08-01T04:10:00Z"}
    detail = "hardware_ids: plug_A1 -> plug_A1; plug_Z9@2026-08-01T11:10:00"
    told = village.done("/devices/plug-1/replace?preview=true", new)
    assert told["changes"] == [{"device": "plug-1", "what": "replaced", "detail": detail}]
    assert village.hear(plug("plug_Z9", 10)) == [Outcome.REFUSED]
    assert village.done("/devices/plug-1/replace", new)["changed"] == 1
    assert village.hear(plug("plug_Z9", 10), plug("plug_A1", 3), plug("plug_A1", 11)) == [
        Outcome.KEPT, Outcome.KEPT, Outcome.REFUSED,
    ]  # fmt: skip
    assert "speaks for 'plug-1' already" in village.refused("/devices/plug-1/replace", {"new": "PLUG_z9"})
    assert "no device 'plug-5'" in village.refused("/devices/plug-5/replace", {"new": "x"}, 404)
    assert "if it was moved to 'lamp-1', add --move" in village.refused("/devices/lamp-1/replace", {"new": "plug_Z9"})
    moved = village.done("/devices/lamp-1/replace", {"new": "plug_Z9", "move": True})
    assert [change["device"] for change in moved["changes"]] == ["lamp-1", "plug-1"]


def test_a_csv_is_told_before_it_is_taken_in(village: Village) -> None:
    """As Excel in Vietnamese writes it; bad rows are named by line and column, and change nothing."""
    sheet = (
        "\ufeffdevice;profile;commune;name;latitude;hardware_ids\r\n"
        "lamp-1;native_streetlight;10642;Đèn ngõ Đình (mới);20,9762;\r\n"
        "lamp-3;native_streetlight;10645;Đèn đường trục;;\r\n"
    ).encode()
    told = village.done("/devices/import", sheet)
    assert (told["applied"], told["added"], told["changed"], village.names()) == (False, 1, 1, ["lamp-1", "plug-1"])
    assert village.done("/devices/import?preview=false", sheet)["devices"] == 3
    assert village.app.registry.labels[0] == "Đèn ngõ Đình (mới)"
    bad = b"device,profile,commune,latitude\nlamp-4,native_streetlight,10642,north\nlamp-5,native_lamp,10642,\n"
    assert village.refused("/devices/import?preview=false", bad) == (
        "line 2: latitude: must be a valid number, unable to parse string as a number, not 'north';"
        " line 3: profile: no profile 'native_lamp'; did you mean native_lamp_cabinet or native_tap_water?"
    )
    assert "not UTF-8" in village.refused("/devices/import", "device\nđèn".encode("cp1258", "replace"))
    pruned = village.done("/devices/import?preview=false&prune=true", FLEET.encode())
    assert (pruned["removed"], village.names()) == (1, ["lamp-1", "plug-1"])


def test_only_who_has_the_token_may_change_the_fleet(same_village: Village) -> None:
    """Every one of these questions."""
    for path in ("/devices", "/devices/adopt", "/devices/plug-1/replace", "/devices/import"):
        assert same_village.ask("POST", path, {}, token="wrong")[0] == 401


def test_a_fleet_in_a_csv_is_left_to_people(tmp_path: Path) -> None:
    """The answer says how to make a database of it."""
    made = Village(tmp_path, "fleet.csv")
    try:
        assert "is a CSV file, which people edit in a spreadsheet" in made.refused("/devices", LAMP)
    finally:
        made.app.stop()
