"""A mended profile, end to end: ``village redecode`` puts right every point and every hour and day summed from them."""

import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from typer.testing import CliRunner

from devices.profile import Profile, shipped_profiles
from gateway import app as app_module
from gateway import redecode_commands
from gateway.analytics import worker as worker_module
from gateway.analytics.windows import DAY, HOUR, day_start
from gateway.app import App
from gateway.model import StoredLine, StoreUnavailableError, Uplink
from gateway.settings_file import load_settings
from tests.gateway_process import await_that
from tests.line_parts import MINUTE, SECOND, profile_of
from tests.servers import Server, free_port

FLEET = """device,profile,commune,zone,group,hardware_ids
m-1,test,10642,street,cabinet-1,HW1
m-2,test,10642,street,cabinet-1,HW2
probe-1,native_water_station,10642,,,
"""
METERS = ("m-1", "m-2")
EVERY = 10 * MINUTE
Fields = dict[str, float]


def meter(scale: float) -> Profile:
    """A meter whose numbers need this scale."""
    return profile_of(f"""
domain = "streetlight"
codec = "json_fields"
interval_seconds = 600
time = {{ path = "t", format = "epoch_s" }}
properties = [
    {{ name = "power", unit = "W", path = "P", scale = {scale} }},
    {{ name = "energy", unit = "kW.h", path = "E", scale = {scale}, counter = true }},
]
""")


class Profiles:
    """In the place of ``shipped_profiles``: the meter's can be mended while everything runs."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self) -> dict[str, Profile]:
        return {**shipped_profiles(), "test": meter(self.scale)}

    def cache_clear(self) -> None:
        """Read anew every time as it is."""


class Said(NamedTuple):
    """What a meter measured."""

    at: int
    power: float
    energy: float


def day_of(device: int, start: int, first: int = 0, last: int = 144) -> list[Said]:
    """A reading every ten minutes; numbers whose means are whole."""
    return [
        Said(start + n * EVERY, 60.0 + 12 * device + 6 * (n % 16), 512.0 * (device + 1) + 0.25 * n)
        for n in range(first, last)
    ]


def uplinks(device: int, said: Sequence[Said]) -> list[Uplink]:
    """As the meter sends them: a quarter of watts and kilowatt hours."""
    return [
        Uplink(
            f"json/key/HW{device + 1}/attrs",
            json.dumps({"P": s.power * 4, "E": s.energy * 4, "t": s.at // SECOND}).encode(),
            s.at + 2 * SECOND,
        )
        for s in said
    ]


def summed(said: Sequence[Said], width: int, before: float | None = None) -> dict[int, Fields]:
    """What roll-ups of these readings say, worked out plainly, by the window's start."""
    found: dict[int, Fields] = {}
    for start in sorted({(s.at + 7 * HOUR) // width * width - 7 * HOUR for s in said}):
        inside = [s for s in said if start <= s.at < start + width]
        earlier = [s.energy for s in said if s.at < start][-1:] or ([] if before is None else [before])
        powers, energies = [s.power for s in inside], [s.energy for s in inside]
        found[start] = {
            "power_mean": math.fsum(powers) / len(powers), "power_min": min(powers), "power_max": max(powers),
            "power_count": len(powers), "energy_count": len(energies), "energy_min": min(energies),
            "energy_max": max(energies), "energy_increase": energies[-1] - (earlier or energies)[0],
        }  # fmt: skip
    return found


class Box:
    """The gateway with a meter whose profile is wrong."""

    def __init__(self, folder: Path, store: str) -> None:
        self.config = folder / "village.toml"
        (folder / "fleet.csv").write_text(FLEET, "utf-8")
        self.config.write_text(
            f'[gateway]\nfleet = "fleet.csv"\nsources = ["fiware_json"]\n{store}\n[api]\nport = {free_port()}\n',
            "utf-8",
        )
        # Two days ago: the day is over, however late it is where the test runs.
        self.start = day_start((time.time_ns() + 7 * HOUR) // DAY - 2)
        self.app = App(load_settings(self.config, {}), with_broker=False)
        self.app.start()

    def hear(self, said: Sequence[Uplink], at_once: int = 50) -> None:
        """Take these in, some to a commit."""
        for first in range(0, len(said), at_once):
            some = said[first : first + at_once]
            self.app.line.submit(lambda some=some: self.app.line.take(some)).result(10)  # type: ignore[misc]

    def redecode(self, *words: str) -> str:
        """The command, in the way of its user; what it said."""
        commands = typer.Typer()
        redecode_commands.register(commands)
        result = CliRunner().invoke(commands, [*words, "--config", str(self.config)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    def lines(self, measurement: str, device: str | None) -> list[StoredLine]:
        """What the store has of these days; nothing before its database is made."""
        store = self.app.stores["commune"]
        try:
            return store.lines(measurement, "10642", device, self.start - DAY, self.start + 3 * DAY, 10_000)
        except StoreUnavailableError:
            return []

    def points(self, device: str) -> list[Said]:
        """Every stored reading, oldest first."""
        return [Said(p.time, p.fields["power"], p.fields["energy"]) for p in self.lines("streetlight", device)]

    def rollups(self, device: str | None, width: str) -> dict[int, Fields]:
        """Every stored window, without what the other properties and completeness say."""
        names = next(iter(summed(day_of(0, 0), DAY).values()))
        return {
            line.time: {name: value for name, value in line.fields.items() if name in names}
            for line in self.lines(f"streetlight_{width}", device)
        }

    def commune(self) -> dict[int, Fields]:
        """The hours of both meters together."""
        return {
            line.time: {name: line.fields[name] for name in ("power_sum", "energy_increase")}
            for line in self.lines("streetlight_commune_hour", None)
        }

    def stored(self) -> bool:
        """Nothing waits."""
        return self.app.records.lines().stores[0].waiting == 0


@pytest.fixture(params=["embedded", "influxdb1"])
def box(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    """A gateway with each kind of store; it looks for what is late all the time."""
    monkeypatch.setattr(worker_module, "MEND_SECONDS", 0.3)
    profiles = Profiles(1.0)
    monkeypatch.setattr(app_module, "shipped_profiles", profiles)
    monkeypatch.setattr(redecode_commands, "shipped_profiles", profiles)
    store = "[[store]]"
    if request.param == "influxdb1":
        server: Server = request.getfixturevalue("influxdb1_server")
        name = f"mended{time.time_ns()}"
        place = f'url = "{server.url}"\ndatabase = "{name}"\nrollup_database = "{name}_rollup"\n'
        account = f'username = "{server.username}"\npassword = "{server.password}"\n' if server.username else ""
        store += f'\nkind = "influxdb1"\n{place}{account}'
    made = Box(tmp_path, store)
    yield made
    made.app.stop()


def mend(monkeypatch: pytest.MonkeyPatch) -> None:
    """The profile's scale comes right."""
    for module in (app_module, redecode_commands):
        monkeypatch.setattr(module, "shipped_profiles", Profiles(0.25))


def test_a_mended_scale_mends_points_hours_and_days(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day of two meters, four times too large: mended, every point, hour and day is right, and none is there twice.

    What the meters say later is counted from what is right, too.
    """
    days = [day_of(device, box.start) for device in range(2)]
    for device, day in enumerate(days):
        box.hear(uplinks(device, day))
    wrong = [{at: 4 * f["power_mean"] for at, f in summed(day, DAY).items()} for day in days]

    def means(device: int) -> dict[int, float]:
        return {at: fields["power_mean"] for at, fields in box.rollups(METERS[device], "day").items()}

    await_that("the wrong days are written", lambda: [means(0), means(1)] == wrong and box.stored(), 60)
    assert [len(box.points(name)) for name in METERS] == [144, 144]

    mend(monkeypatch)
    assert box.redecode("--profile", "test", "--since", "2020-01-01") == "2 devices: 288 messages decoded again\n"
    await_that("every line is stored", box.stored)
    assert [box.points(name) for name in METERS] == days
    for device, name in enumerate(METERS):
        for width, length in (("hour", HOUR), ("day", DAY)):
            await_that(
                f"the {width}s of {name} are mended",
                lambda name=name, width=width, length=length, device=device: (  # type: ignore[misc]
                    box.rollups(name, width) == summed(days[device], length)
                ),
            )
    expected = {
        at: {"power_sum": a["power_mean"] + b["power_mean"], "energy_increase": a["energy_increase"] * 2}
        for (at, a), b in zip(summed(days[0], HOUR).items(), summed(days[1], HOUR).values(), strict=True)
    }
    await_that("the hours of the commune are mended", lambda: box.commune() == expected)
    later = [day_of(device, box.start, 144, 150) for device in range(2)]
    for device, said in enumerate(later):
        box.hear(uplinks(device, said))
    for device, name in enumerate(METERS):
        expected = summed([*days[device], *later[device]], HOUR)
        await_that(
            f"the next hour of {name}",
            lambda name=name, expected=expected: box.rollups(name, "hour") == expected,  # type: ignore[misc]
        )


def test_a_spike_shows_in_the_hour_that_was_closed(box: Box) -> None:
    """The next value comes an hour later and tells; the closed hour's worst quality is mended."""
    spike = box.start + 50 * MINUTE
    said = [(0, 7.0), (10, 7.0), (20, 7.0), (30, 7.1), (40, 7.0), (50, 9.5), (60, 7.0), (70, 7.0)]
    box.hear(
        [
            Uplink("village/10642/probe-1/up", json.dumps({"ph": ph}).encode(), box.start + minute * MINUTE)
            for minute, ph in said
        ]
    )

    def qualities() -> dict[int, float]:
        return {line.time: line.fields["ph_quality"] for line in box.lines("water_quality_hour", "probe-1")}

    await_that("both hours", lambda: qualities() == {box.start: 3.0, box.start + HOUR: 1.0}, 60)
    points = {line.time: line.fields for line in box.lines("water_quality", "probe-1")}
    assert (points[spike]["quality"], points[spike]["ph_quality"], len(points)) == (3.0, 3.0, 8)
