"""Senders nobody knows are shown with a guess, taken in, and what they had said is stored; while it runs or not."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from devices.registry import Registry
from devices.topics import VENDOR_SOURCES
from gateway import device_commands, redecode_commands, refused_commands
from gateway.app import App
from gateway.line.pending import Guess, Pending, Senders, pending
from gateway.model import Uplink, Window
from gateway.settings_file import load_settings
from tests.gateway_process import await_that
from tests.line_parts import MINUTE, NOW, make_registry, up
from tests.servers import free_port

FLEET = "device,profile,commune\nlamp-1,native_streetlight,10642\n"
PLUG = {"Time": "2026-08-01T11:05:06", "ENERGY": {
    "Total": 3.2, "Power": 41, "ApparentPower": 50, "ReactivePower": 1, "Factor": 0.8, "Voltage": 231, "Current": 0.1,
}}  # fmt: skip
Village = Callable[..., Result]


def plug(minute: int, name: str = "plug_A1", power: float = 41) -> Uplink:
    """A Tasmota plug reports."""
    said = json.dumps(PLUG | {"Time": f"2026-08-01T11:{minute:02}:00", "ENERGY": PLUG["ENERGY"] | {"Power": power}})  # type: ignore[operator]
    return Uplink(f"tele/{name}/SENSOR", said.encode(), NOW + minute * MINUTE)


class Box:
    """A folder with settings, a fleet database and the gateway, which runs or does not."""

    def __init__(self, folder: Path, village: Village) -> None:
        self.config = folder / "village.toml"
        self.village = village
        self.app: App | None = None
        (folder / "fleet.csv").write_text(FLEET, "utf-8")
        self.config.write_text(
            '[gateway]\nfleet = "fleet.db"\nsources = ["tasmota"]\n[[store]]\n[journal]\nraw_days = 3650\n'
            f"[api]\nport = {free_port()}\n",
            "utf-8",
        )
        assert self.run("devices", "import", str(folder / "fleet.csv"), "--yes").exit_code == 0

    def run(self, *words: str) -> Result:
        """One command with these settings."""
        return self.village(*words, "--config", str(self.config))

    def said(self, *words: str) -> str:
        """The one line of a command that could not do it."""
        result = self.run(*words)
        assert result.exit_code == 2, result.output
        assert result.stderr.count("\n") == 1
        return result.stderr

    def start(self) -> App:
        """The gateway runs, without a broker."""
        self.app = App(load_settings(self.config, {}), with_broker=False)
        self.app.start()
        return self.app

    def stop(self) -> None:
        """It does not."""
        if self.app is not None:
            self.app.stop()
            self.app = None

    def hear(self, *uplinks: Uplink) -> None:
        """The gateway takes these in."""
        app = self.app
        assert app is not None
        app.line.submit(lambda: app.line.take(uplinks)).result(10)

    def stored(self, device: str, field: str = "power", measurement: str = "streetlight") -> list[tuple[int, float]]:
        """Minutes after the start and values, once the store has everything; starts the gateway if need be."""
        app = self.app or self.start()
        await_that("everything is stored", lambda: app.records.lines().stores[0].waiting == 0)
        window = Window(NOW - 10**15, NOW + 10**15, 0, 100_000)
        points = app.stores["commune"].series(measurement, "10642", device, field, window)  # type: ignore[arg-type]
        return [((point.time - NOW) // MINUTE, point.mean) for point in points]


@pytest.fixture
def village(monkeypatch: pytest.MonkeyPatch) -> Village:
    """The command line with the groups of this subject."""
    app = typer.Typer()
    for module in (device_commands, refused_commands, redecode_commands):
        module.register(app)
    monkeypatch.setenv("COLUMNS", "220")
    return lambda *words: CliRunner().invoke(app, list(words), catch_exceptions=False)


@pytest.fixture
def box(tmp_path: Path, village: Village) -> Iterator[Box]:
    """A gateway that can be started."""
    made = Box(tmp_path, village)
    yield made
    made.stop()


# who it may be -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "seen"),
    [
        ("village/10642/lamp-9/up", ("village", "lamp-9", "10642", "up")),
        ("tele/plug_A1/SENSOR", ("tasmota", "plug_A1", "", "SENSOR")),
        ("zigbee2mqtt/đèn/1", ("zigbee2mqtt", "đèn/1", "", "")),
        ("zigbee2mqtt/đèn/1/availability", ("zigbee2mqtt", "đèn/1", "", "availability")),
        ("application/7/device/A8/event/up", ("chirpstack", "A8", "", "up")),
        ("elsewhere", None),
    ],
)
def test_the_topic_says_who_sends(topic: str, seen: tuple[str, ...] | None) -> None:
    """As the registry reads it."""
    registry = Registry([], [VENDOR_SOURCES[name] for name in ("tasmota", "zigbee2mqtt", "chirpstack")])
    found = Senders(registry).of(topic)
    assert (None if found is None else (registry.sources[found.source].name, *found[1:])) == seen


def pending_of(box: Box, registry: Registry | None = None, **more: object) -> dict[str, Pending]:
    """Who is pending, by name."""
    app = box.app
    assert app is not None
    found = pending(app.journal.path, registry or app.pipeline.registry, **more)  # type: ignore[arg-type]
    return {one.name: one for one in found}


@pytest.mark.parametrize(
    ("uplinks", "profile", "sureness"),
    [
        ([plug(0), plug(5)], "tasmota_meter_plug", "likely"),
        ([up({"power": 58.5, "lamp_on": 1}, "x")], "native_streetlight", "likely"),
        ([up({"ph": 7.1, "water_temperature": 25.5}, "x")], "native_water_station", "likely"),
        ([up({"power": 58.5}, "x"), up({"ph": 7}, "x", at=NOW + 1)], "native_streetlight", "unsure"),
        ([up(b"\xff\x00", "x")], "", "none"),
        ([Uplink("tele/x/LWT", b"Online", NOW)], "", "none"),
    ],
)
def test_profiles_that_read_what_was_said_are_guessed(
    box: Box, uplinks: list[Uplink], profile: str, sureness: str
) -> None:
    """The best first, and how sure that is."""
    box.start()
    box.hear(*uplinks)
    (found,) = pending_of(box).values()
    assert found.sureness == sureness
    names = [guess.profile for guess in found.guesses]
    assert profile in names if profile else names == []
    assert [guess.score for guess in found.guesses] == sorted((guess.score for guess in found.guesses), reverse=True)


@pytest.mark.parametrize(
    ("scores", "sureness"),
    [([], "none"), ([0.95], "sure"), ([0.95, 0.6], "sure"), ([0.95, 0.7], "likely"), ([0.7], "likely"),
     ([0.7, 0.65], "unsure"), ([0.4], "unsure")],
)  # fmt: skip
def test_a_guess_is_sure_only_if_no_other_is_near(scores: list[float], sureness: str) -> None:
    """Scores alone do not say it."""
    guesses = tuple(Guess(f"p{number}", score) for number, score in enumerate(scores))
    assert Pending("x", "village", "", "t", 1, 0, 0, guesses).sureness == sureness


def test_who_spoke_last_is_first_and_who_is_known_is_not_pending(box: Box) -> None:
    """Counted with their first and last time; upper and lower case are one hardware id; bounded."""
    box.start()
    box.hear(plug(0), plug(3), up({"power": 1}, "lamp-9", at=NOW + MINUTE), plug(7, "PLUG_a1"), plug(8, "plug_B2"))
    found = pending_of(box)
    assert [(one.name, one.uplinks) for one in found.values()] == [("plug_B2", 1), ("PLUG_a1", 3), ("lamp-9", 1)]
    assert ((found["PLUG_a1"].first_at - NOW) // MINUTE, (found["PLUG_a1"].last_at - NOW) // MINUTE) == (0, 7)
    assert (found["lamp-9"].source, found["lamp-9"].commune) == ("village", "10642")
    assert list(pending_of(box, limit=1)) == ["plug_B2"]
    assert list(pending_of(box, since=NOW + 8 * MINUTE)) == ["plug_B2"]
    assert list(pending_of(box, name="plug_a1")) == list(pending_of(box, name="tele/plug_A1/STATE")) == ["PLUG_a1"]
    known = make_registry(
        [{"device": "d", "profile": "tasmota_meter_plug", "commune": "1", "hardware_ids": "plug_a1"}],
        sources=(VENDOR_SOURCES["tasmota"],),
    )
    assert list(pending_of(box, known)) == ["plug_B2", "lamp-9"]


# taking in -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("running", [True, False])
def test_a_plug_is_adopted_and_what_it_said_is_stored(box: Box, running: bool) -> None:
    """By the gateway that runs, or without one; once, with the original times; the sums hold."""
    box.start()
    box.hear(plug(0), plug(5, power=42))
    if not running:
        box.stop()
    shown = box.run("devices", "pending").stdout
    assert "plug_A1" in shown
    assert "(likely)" in shown
    words = ["devices", "adopt", "plug_A1", "--device", "tu-1", "--profile", "tasmota_meter_plug", "--commune", "10642"]
    done = box.run(*words, "--group", "tu-1", "--name", "Tủ 1")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "adopted tu-1: tasmota_meter_plug in commune 10642",
        "of what it had said, 2 kept, 0 repeated, 0 refused again",
    ]
    assert box.run("devices", "pending").stdout.splitlines()[-1] == "nobody is pending"
    assert box.stored("tu-1") == [(-6, 41.0), (-1, 42.0)]
    app = box.app
    assert app is not None
    box.hear(plug(10, power=43))
    assert [value for _, value in box.stored("tu-1")] == [41, 42, 43]
    assert tuple(app.records.totals()) == (3, 3, 0, 0)
    assert "adopted" in box.run("devices", "show", "tu-1").stdout
    again = box.run("refused", "replay").stdout
    assert again == "0 kept, 0 repeated, 0 refused again\n"


def test_a_device_on_our_own_topic_has_its_name_and_commune(box: Box) -> None:
    """They cannot be other ones."""
    box.start()
    box.hear(up({"power": 58.5}, "lamp-9"))
    topic = "village/10642/lamp-9/up"
    profile = ["--profile", "native_streetlight"]
    assert box.said("devices", "adopt", topic, "--device", "lamp-8", *profile) == (
        f"--device: {topic} names 'lamp-9', so it can only be that\n"
    )
    assert "names '10642'" in box.said("devices", "adopt", "lamp-9", "--commune", "1", *profile)
    assert box.run("devices", "adopt", topic, *profile).exit_code == 0
    assert box.stored("lamp-9") == [(0, 58.5)]
    box.hear(up({"power": 58.5}, "lamp-1", commune="10643"))
    elsewhere = box.said("devices", "adopt", "lamp-1", *profile)
    assert elsewhere == "'lamp-1' is in the fleet, in commune '10642'; its topic says otherwise\n"


def test_a_sure_guess_needs_no_profile(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one does, and says what it may be."""
    box.start()
    box.hear(plug(0))
    words = ["devices", "adopt", "plug_A1", "--device", "tu-1", "--commune", "10642"]
    assert box.said(*words).startswith("--profile: say which; ")
    monkeypatch.setattr("gateway.line.pending.AHEAD", {0.9: 0.01, 0.6: 0.0})
    assert "(sure)" in box.run("devices", "pending").stdout
    assert box.run(*words).exit_code == 0


def test_new_hardware_of_a_known_device_is_adopted_into_it(box: Box) -> None:
    """From the moment it was first heard; what the old one said stays."""
    box.start()
    words = ["--profile", "tasmota_meter_plug", "--commune", "10642", "--hardware-id", "plug_A1"]
    assert box.run("devices", "add", "tu-1", *words).exit_code == 0
    box.hear(plug(0), plug(5, "plug_B2", 50), plug(9, "plug_B2", 51))
    result = box.run("devices", "adopt", "plug_B2", "--device", "tu-1")
    assert result.stdout.splitlines()[-1] == "of what it had said, 2 kept, 0 repeated, 0 refused again"
    assert [value for _, value in box.stored("tu-1")] == [41, 50, 51]
    assert "plug_A1; plug_B2@2026-08-01T11:10:06" in box.run("devices", "show", "tu-1").stdout


def test_hardware_that_was_elsewhere_is_adopted_from_when_it_was_heard(box: Box) -> None:
    """What it said at the other place stays there."""
    box.start()
    words = ["--profile", "tasmota_meter_plug", "--commune", "10642", "--hardware-id", "plug_A1; none@2026-08-01T11:06"]
    assert box.run("devices", "add", "tu-1", *words).exit_code == 0
    box.hear(plug(0), plug(5))
    words = ["--device", "tu-2", "--profile", "tasmota_meter_plug", "--commune", "10642"]
    assert box.run("devices", "adopt", "plug_A1", *words).exit_code == 0
    assert (len(box.stored("tu-1")), len(box.stored("tu-2"))) == (1, 1)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["plug_Z9"], "'plug_Z9' is not pending; see `village devices pending`"),
        (["plug_A1"], "--device: say what 'plug_A1' is to be called"),
        (["plug_A1", "--device", "tu-1"], "--commune: say where it stands"),
        (
            ["plug_A1", "--device", "tu/1", "--commune", "1", "--profile", "tasmota_meter_plug"],
            "device: 'tu/1' cannot be a name here",
        ),
        (["plug_A1", "--device", "tu-1", "--commune", "1", "--profile", "x"], "profile: no profile 'x'"),
    ],
)
def test_an_adoption_that_cannot_be_is_one_line(box: Box, words: list[str], text: str) -> None:
    """Which names the option."""
    box.start()
    box.hear(plug(0))
    assert text in box.said("devices", "adopt", *words)


def test_a_csv_fleet_adopts_nobody(box: Box) -> None:
    """The line says how to make a database of it."""
    box.start()
    box.hear(plug(0))
    box.stop()
    box.config.write_text(box.config.read_text().replace("fleet.db", "fleet.csv"))
    words = ["--device", "tu-1", "--profile", "tasmota_meter_plug", "--commune", "10642"]
    assert "`village devices import" in box.said("devices", "adopt", "plug_A1", *words)


# refused -------------------------------------------------------------------------------------------------------


def test_refused_messages_are_listed_shown_and_replayed(box: Box, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """By reason, by number; text as text, other bytes as hexadecimal."""
    box.start()
    box.hear(up({"power": "much"}), up(b"\xff\x00", at=NOW + 1), plug(0))
    listed = box.run("refused", "list").stdout
    assert listed.splitlines()[-1] == "1 encoding, 1 field_type, 1 unknown_device"
    assert "2026-08-01 11:05:06+07:00" in listed
    assert "lamp-1" not in box.run("refused", "list", "--reason", "unknown_device").stdout
    assert box.said("refused", "list", "--reason", "spite").startswith("--reason: 'spite' is no reason; known are")
    shown = box.run("refused", "show", "1").stdout.splitlines()
    assert shown[1:3] == ["topic     village/10642/lamp-1/up", "device    lamp-1"]
    assert shown[-1] == '{"power": "much"}'
    assert box.run("refused", "show", "2").stdout.splitlines()[-1] == "000000  ff 00"
    assert box.run("refused", "show", "2", "--raw").stdout_bytes == b"\xff\x00"
    assert box.said("refused", "show", "9") == "no refused message 9; it may have made room for newer ones\n"
    assert box.run("refused", "replay", "--id", "1", "--id", "2").stdout == "0 kept, 0 repeated, 2 refused again\n"
    assert box.run("devices", "add", "tu-1", "--profile", "tasmota_meter_plug", "--commune", "10642",
                   "--hardware-id", "plug_A1").exit_code == 0  # fmt: skip
    replayed = box.run("refused", "replay", "--reason", "unknown_device", "--since", "2026-08-01")
    assert replayed.stdout == "1 kept, 0 repeated, 0 refused again\n"


def test_without_a_journal_there_is_nothing_to_list(box: Box) -> None:
    """One line says where it was looked for."""
    for words in (["refused", "list"], ["refused", "show", "1"], ["devices", "pending"]):
        assert "journal.db: no journal; has the gateway run with these settings?" in box.said(*words)


# redecode ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("running", [True, False])
def test_a_mended_calibration_is_applied_to_what_was_kept(box: Box, running: bool) -> None:
    """By the gateway that runs, or without one."""
    box.start()
    box.hear(*(up({"power": 10.0 + n}, at=NOW + n * MINUTE) for n in range(5)))
    assert [value for _, value in box.stored("lamp-1")] == [10, 11, 12, 13, 14]
    if not running:
        box.stop()
    csv = box.config.with_name("fleet.csv")
    csv.write_text("device,profile,commune,calibration\nlamp-1,native_streetlight,10642,power 2 0\n")
    assert box.run("devices", "import", str(csv), "--yes").exit_code == 0
    words = ["redecode", "--since", "2026-08-01T11:07"]
    assert box.run(*words, "--device", "lamp-1").stdout == "1 devices: 3 messages decoded again\n"
    assert [value for _, value in box.stored("lamp-1")] == [10, 11, 24, 26, 28]
    assert box.run(*words, "--profile", "native_streetlight").stdout == "1 devices: 3 messages decoded again\n"
    assert [value for _, value in box.stored("lamp-1")] == [10, 11, 24, 26, 28]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "say either --device or --profile"),
        (["--device", "lamp-1", "--profile", "x"], "say either --device or --profile"),
        (["--device", "lamp-7"], "no device 'lamp-7' in the fleet; see `village devices list`"),
        (["--profile", "x"], "no device of the fleet has the profile 'x'"),
        (
            ["--device", "lamp-1", "--until", "spring"],
            "'spring' is no day or time; write for example 2026-03-01 or 2026-03-01T08:30",
        ),
    ],
)
def test_a_redecoding_that_cannot_be_is_one_line(box: Box, words: list[str], text: str) -> None:
    """Before anything is opened."""
    assert box.said("redecode", "--since", "2026-08-01", *words) == f"{text}\n"


# the gateway that runs -----------------------------------------------------------------------------------------


def test_a_change_of_the_fleet_reaches_the_gateway_that_runs(box: Box) -> None:
    """Or is said to wait for the next start."""
    words = ["--profile", "native_streetlight", "--commune", "10642"]
    waits = "no gateway answers; it takes effect at the next start"
    assert box.run("devices", "add", "lamp-2", *words).stdout == f"added lamp-2; {waits}\n"
    app = box.start()
    told = "the gateway that runs has read it anew: 3 devices"
    assert box.run("devices", "add", "lamp-3", *words).stdout == f"added lamp-3; {told}\n"
    assert app.pipeline.registry.names == ["lamp-1", "lamp-2", "lamp-3"]
    other = str(box.config.with_name("other.db"))
    text = f"added lamp-4; gateway.fleet is {box.config.with_name('fleet.db')}, so no gateway was told\n"
    assert box.run("devices", "add", "lamp-4", *words, "--fleet", other).stdout == text


def test_a_fleet_needs_no_settings_if_it_is_named(
    village: Village, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a name it does."""
    monkeypatch.chdir(tmp_path)
    csv = tmp_path / "fleet.csv"
    csv.write_text(FLEET)
    result = village("devices", "import", str(csv), "--yes", "--fleet", "fleet.db")
    assert result.stdout.splitlines()[-1] == "no settings, so no gateway was told"
    assert village("devices", "list").stderr.startswith("village.toml: no such file")
