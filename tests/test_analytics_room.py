"""The room as the line sees it: readings in, index, alert and roll-up lines out, and nothing lost over a restart."""

import json
import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from devices.fleet_row import FleetRow
from devices.profile import shipped_profiles
from devices.quality import Clock, Quality
from devices.registry import Registry
from devices.rollup_names import Width
from devices.standards import load
from gateway.analytics.rollup_parts import Closed
from gateway.analytics.room import Analytics
from gateway.analytics.vn_aqi import VnAqi, whole
from gateway.analytics.vn_wqi import LaboratoryResult
from gateway.analytics.windows import HOUR, Rows
from gateway.model import Reading

MINUTE = HOUR // 60
AQI = VnAqi()
Line = dict[str, float]


def at(text: str) -> int:
    """Nanoseconds of a Vietnamese clock time."""
    return int(datetime.fromisoformat(text + "+07:00").timestamp()) * 1_000_000_000


def registry() -> Registry:
    """A station of each kind."""
    rows = [
        FleetRow(device="air-1", profile="native_air_station", commune="10642", interval_seconds=600),
        FleetRow(device="river-1", profile="native_water_station", commune="10642", interval_seconds=600),
        FleetRow(device="tap-1", profile="native_tap_water", commune="10642", interval_seconds=600),
    ]
    return Registry.of(rows, shipped_profiles().values())


class House:
    """A room whose lines are kept by measurement, device and time."""

    def __init__(self, start: int) -> None:
        self.registry = registry()
        self.now = start
        self.room = Analytics(self.registry, start)
        self.lines: dict[tuple[str, int], Line] = {}
        self.told: list[str] = []

    def say(self, device: str, **values: float) -> None:
        """A device reports now."""
        number = self.registry.index[device]
        self.room.observe(
            [Reading(number, n, v, self.now, self.now, Quality.GOOD, Clock.DEVICE) for n, v in values.items()], self.now
        )

    def look(self) -> None:
        """Look at the clock and keep what is written."""
        self.told += [f"{c.rule.code} {c.state}" for c in self.room.tick(self.now) if c.notify]
        while True:
            written = self.room.written(self.now)
            if not written.raw and not written.rollup:
                break
            for line in (*written.raw, *written.rollup):
                head, fields, time = line.split(" ")
                known = self.lines.setdefault((head, int(time)), {})
                known.update((name, float(value)) for name, _, value in (f.partition("=") for f in fields.split(",")))

    def pass_time(self, minutes: int) -> None:
        """Ten minutes at a time."""
        stop = self.now + minutes * MINUTE
        while self.now < stop:
            self.now += 10 * MINUTE
            self.look()

    def restart(self, *, rollups: bool = True) -> None:
        """A new room goes on from a snapshot."""
        self.look()
        parts = self.room.snapshot(rollups=rollups)
        self.room = Analytics.resumed(self.registry, self.now, parts)

    def index(self, device: str, time: int) -> Line:
        """The index line of a device at a time."""
        return self.lines[f"index,commune=10642,device={device}", time]


PARTICLES = [40.0 + 30 * math.sin(n / 3) for n in range(60)]


@pytest.mark.parametrize("restart", [False, True])
def test_hourly_and_daily_air_index_of_a_running_station(restart: bool) -> None:
    """Sixty hours of two pollutants; every hour's NowCast and every day's index as computed by hand."""
    start = at("2026-01-12T00:00")
    house = House(start)
    for number, value in enumerate(PARTICLES):
        for _ in range(6):
            house.say("air-1", pm2_5=value, no2=10.0 * (number % 24))
            house.pass_time(10)
        if restart and number % 7 == 3:
            house.restart()
    house.pass_time(30)
    for number in range(2, 60):
        line = house.index("air-1", start + number * HOUR)
        back = [PARTICLES[number - k] if number >= k else None for k in range(12)]
        nowcast = AQI.nowcast(back)
        assert nowcast is not None
        particles, gas = AQI.sub_index("pm2_5", nowcast), AQI.sub_index("no2", 10.0 * (number % 24))
        assert line["vn_aqi_pm2_5"] == pytest.approx(particles, abs=1e-3)
        assert line["vn_aqi"] == whole(max(particles, gas))
        assert line["vn_aqi_pollutant"] == (3 if gas > particles else 0)
        assert line["vn_aqi_level"] == AQI.tables.levels.index(AQI.level(int(line["vn_aqi"])))
        assert line["vn_aqi_indicative"] == 0
    assert "vn_aqi" not in house.index("air-1", start)  # one hour is no NowCast
    for day in range(2):
        mean = sum(PARTICLES[day * 24 : day * 24 + 24]) / 24
        line = house.index("air-1", start + day * 24 * HOUR)
        assert line["vn_aqi_pm2_5_day"] == pytest.approx(AQI.sub_index("pm2_5", mean), abs=1e-3)
        assert line["vn_aqi_no2_day"] == AQI.sub_index("no2", 230.0)
        assert line["vn_aqi_day"] == whole(max(line["vn_aqi_pm2_5_day"], line["vn_aqi_no2_day"]))
    assert "vn_aqi_day" not in house.index("air-1", start + 48 * HOUR)


def test_bad_air_is_told_by_its_index_and_by_the_limit_of_the_day() -> None:
    """200 ug/m3 for a day: a bad index within hours, the day's limit after midnight."""
    house = House(at("2026-01-12T00:00"))
    for _ in range(6 * 26):
        house.say("air-1", pm2_5=200.0)
        house.pass_time(10)
    assert house.told == ["aqi_bad firing", "aqi_very_bad firing", "air_limit firing"]


def test_half_an_hour_of_readings_is_no_hourly_mean() -> None:
    """Two of six are too few, three are enough."""
    house = House(at("2026-01-12T00:00"))
    for readings in (6, 3, 2):
        for number in range(6):
            if number < readings:
                house.say("air-1", pm10=50.0, no2=100.0)
            house.pass_time(10)
    house.pass_time(30)
    start = at("2026-01-12T00:00")
    assert house.index("air-1", start + HOUR)["vn_aqi"] == 50
    assert ("index,commune=10642,device=air-1", start + 2 * HOUR) not in house.lines


def test_late_data_computes_the_index_anew() -> None:
    """A mended hour changes its own index and those of the hours that look back at it."""
    start = at("2026-01-12T00:00")
    house = House(start)
    for _ in range(6 * 8):
        house.say("air-1", pm2_5=20.0)
        house.pass_time(10)
    house.pass_time(20)
    before = {hour: house.index("air-1", start + hour * HOUR)["vn_aqi"] for hour in range(2, 8)}
    tables = house.room.tables
    column = [entry.name for entry in tables.registry.profile(0).properties].index("pm2_5")
    series = np.array([tables.series_of(0, column)])
    one = np.ones(1)
    mended = Rows(series, np.array([start // HOUR + 4]), np.array([6]), 6 * 120.0 * one, one, one, np.ones(1, np.uint8))
    house.room.indices.closed(Closed(Width.HOUR, mended, mended=True))
    house.look()
    after = {hour: house.index("air-1", start + hour * HOUR)["vn_aqi"] for hour in range(2, 8)}
    assert [after[hour] > before[hour] for hour in range(2, 8)] == [False, False, True, True, True, True]


def test_a_river_station_has_sub_indices_and_a_partial_value_until_a_laboratory_completes_it() -> None:
    """The partial value is never called VN_WQI."""
    start = at("2026-01-12T08:00")
    house = House(start)
    values = {"ph": 7.0, "dissolved_oxygen": 8.18, "water_temperature": 25.0, "ammonium_nitrogen": 0.6}
    for hour in range(2):
        if hour:
            coliform = LaboratoryResult("coliform", 5000.0, start + HOUR, start + 24 * HOUR)
            house.room.indices.laboratory({"river-1": [coliform]})
        for _ in range(6):
            house.say("river-1", **values, nitrate_nitrogen=5.0)
            house.pass_time(10)
    house.pass_time(20)
    first, second = (house.index("river-1", start + hour * HOUR) for hour in range(2))
    assert "vn_wqi" not in first
    assert first["vn_wqi_partial"] == pytest.approx((100 + 50 + 75) / 3, abs=0.1)
    assert (first["vn_wqi_ammonium_nitrogen"], first["vn_wqi_ph"]) == (50, 100)
    assert "vn_wqi_partial" not in second
    assert second["vn_wqi"] == 75


def test_a_leaking_network_is_told_in_the_morning() -> None:
    """Nights of 2 m3/h, then 5."""
    house = House(at("2026-01-01T00:00"))
    for number in range(24 * 12):
        hour, day = number % 24, number // 24
        flow = (2.0 if 1 <= hour < 4 else 10.0) + (3.0 if day >= 9 else 0.0)
        for _ in range(6):
            house.say("tap-1", flow=flow)
            house.pass_time(10)
        if number % 50 == 20:
            house.restart(rollups=number % 100 == 20)
    assert house.told == ["leak_night firing"]


def test_alert_lines_and_counts_are_written() -> None:
    """Every change, and once a minute what there is."""
    start = at("2026-01-12T08:00")
    house = House(start)
    for _ in range(8):
        house.say("tap-1", residual_chlorine=0.1)
        house.pass_time(10)
    lines = {head: time for head, time in house.lines if head.startswith("alert")}
    assert (
        house.lines["alert,commune=10642,device=tap-1", lines["alert,commune=10642,device=tap-1"]]["chlorine_low"] == 2
    )
    assert house.lines["alert,commune=10642,device=-", house.now]["water_supply_critical"] == 1
    assert [change.rule.code for change in house.room.firing()] == ["chlorine_low"]


def test_old_readings_from_a_file_are_summed_and_raise_no_alert() -> None:
    """A history of bad chlorine."""
    house = House(at("2026-01-12T08:00"))
    number = house.registry.index["tap-1"]
    old = [
        Reading(number, "residual_chlorine", 0.1, house.now - n * 10 * MINUTE, house.now, Quality.GOOD, Clock.DEVICE)
        for n in range(300, 0, -1)
    ]
    house.room.observe_old(old)
    house.pass_time(30)
    assert house.told == []
    assert ("water_supply_hour,commune=10642,device=tap-1", at("2026-01-11T08:00")) in house.lines


def test_a_commune_sees_what_its_lighting_saved_in_a_day(tmp_path: Path) -> None:
    """Two lamps on a cabinet and one without; the lamps of before drew 170 W each through the whole dark of the day."""
    text = (Path(__file__).parents[1] / "devices/standards/lighting.toml").read_text("utf-8")
    baseline = '[[baselines]]\nwatts_each = 170.0\nsource = { vi = "đèn natri", en = "sodium lamps" }\n[detect]'
    (tmp_path / "lighting.toml").write_text(text.replace("[detect]", baseline), "utf-8")
    rows = [
        FleetRow(device="cab-1", profile="native_lamp_cabinet", commune="10642", group="cab-1"),
        *(FleetRow(device=f"lamp-{n}", profile="native_streetlight", commune="10642", group="cab-1") for n in (1, 2)),
        FleetRow(device="lamp-3", profile="native_streetlight", commune="10642"),
    ]
    start = at("2026-01-12T00:00")
    room = Analytics(Registry.of(rows, shipped_profiles().values()), start, load(tmp_path))
    lines: list[str] = []
    for number in range(6 * 25):
        now = start + number * 10 * MINUTE
        for device in range(4):
            energy = Reading(device, "energy", 100 + number * 0.01, now, now, Quality.GOOD, Clock.DEVICE)
            room.observe([energy], now)
        room.tick(now + 1)
        lines += room.written(now).raw
    line, cabinet = [line for line in lines if line.startswith("lighting_day")]
    whose, metered, day = cabinet.split(" ")
    assert (whose, int(day)) == ("lighting_day,commune=10642,device=cab-1", start)
    assert float(metered.removeprefix("energy=")) == pytest.approx(143 * 0.01)
    head, text, time = line.split(" ")
    seen = {name: float(value) for name, _, value in (field.partition("=") for field in text.split(","))}
    assert (head, int(time)) == ("lighting_day,commune=10642,device=-", start)
    assert seen["energy"] == pytest.approx(2 * 143 * 0.01)  # the cabinet and the lamp that hangs on none
    dark = 24 - 10 - 55 / 60 + 2 * 10 / 60  # 12 January: 06:33 to 17:28 is day; on 10 minutes after, off 10 before
    assert seen["saved_energy"] == pytest.approx(3 * 0.170 * (dark - 40 / 60) - seen["energy"], rel=0.01)
    assert seen["saved_cost"] == pytest.approx(seen["saved_energy"] * 2226)
    assert seen["saved_co2"] == pytest.approx(seen["saved_energy"] * 0.6592)
    known = room.lighting.saving((start + 7 * HOUR) // (24 * HOUR), 0)
    assert known is not None
    assert "lamps of before: 3 × 170 W" in known[1].method.en
    assert "(sodium lamps)" in known[1].method.en


@pytest.mark.parametrize("parts", [[], [b"[]"], [b"x"], [b'["indices"]', b"{}"]])
def test_a_broken_snapshot_starts_an_empty_room(parts: list[bytes]) -> None:
    """Nothing half filled."""
    room = Analytics.resumed(registry(), 0, parts)
    assert room.alerts.book.alerts == {}
    assert len(room.rollups.late) == 0


def test_alerts_outlive_an_upgrade_that_keeps_its_sums_otherwise() -> None:
    """The sums are read back from the store; what people were told, and what was to be mended, stays."""
    house = House(at("2026-01-12T00:00"))
    for _ in range(6 * 6):
        house.say("air-1", pm2_5=200.0)
        house.pass_time(10)
    assert house.told == ["aqi_bad firing", "aqi_very_bad firing"]
    house.room.rollups.mark(1, house.now - 30 * HOUR, house.now - 29 * HOUR, house.now)
    firing, late = house.room.firing(), house.room.rollups.pending().late
    parts = house.room.snapshot()
    names = json.loads(bytes(parts[0]))
    place = next(
        number
        for number, (name, part) in enumerate(zip(names, parts[1:], strict=True), start=1)
        if name.startswith("rollups.") and b"series.moment" in bytes(part)
    )
    parts[place] = bytes(parts[place]).replace(b"series.moment", b"series.newest")
    room = Analytics.resumed(house.registry, house.now, parts)
    assert not room.has_sums
    assert [change.id for change in room.firing()] == [change.id for change in firing] != []
    assert room.rollups.pending().late == late != []
