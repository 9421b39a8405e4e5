"""The alert engine on readings: thresholds, rates, silence, circuits; late and doubtful values; restarts."""

import random
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path

import pytest

from devices.alert_rules import AlertRules, AlertState
from devices.fleet_row import FleetRow
from devices.profile import Profile, shipped_profiles
from devices.quality import Clock, Quality
from devices.registry import Registry
from devices.standards import StandardsError, load, shipped
from gateway.analytics.alert_book import MINUTE, AlertChange, Silence
from gateway.analytics.alert_texts import body, change_line, count_lines, title
from gateway.analytics.alerts import Alerts
from gateway.analytics.columns import FleetTables, columns_of
from gateway.analytics.limits import Limits
from gateway.analytics.water_supply import NightFlow
from gateway.model import Reading

HOUR = 60 * MINUTE
PROFILES = shipped_profiles()


def at(text: str) -> int:
    """Nanoseconds of a Vietnamese clock time."""
    return int(datetime.fromisoformat(text + "+07:00").timestamp()) * 1_000_000_000


NOON = at("2026-01-12T12:00")


def registry(lamps: int = 10, powered: str = "always") -> Registry:
    """A circuit with its cabinet, tap water, river and air stations in one commune; a lone lamp in another."""
    rows = [
        FleetRow(
            device=f"lamp-{n}", profile="native_streetlight", commune="10642", group="cab-1", powered=powered,  # type: ignore[arg-type]
            latitude=20.97, longitude=106.3,
        )
        for n in range(lamps)
    ]  # fmt: skip
    rows += [
        FleetRow(device="cab-1", profile="native_lamp_cabinet", commune="10642", group="cab-1", name="Tủ thôn Đông"),
        FleetRow(device="tap-1", profile="native_tap_water", commune="10642", name="Điểm đo cuối tuyến"),
        FleetRow(device="river-1", profile="native_water_station", commune="10642"),
        FleetRow(device="air-1", profile="native_air_station", commune="10642"),
        FleetRow(device="lone-1", profile="native_streetlight", commune="10615"),
    ]
    return Registry.of(rows, PROFILES.values())


class Village:
    """An engine, its fleet and a clock that looks every minute."""

    def __init__(self, lamps: int = 10, powered: str = "always") -> None:
        self.registry = registry(lamps, powered)
        self.tables = FleetTables(self.registry)
        self.now = NOON
        self.alerts = Alerts(self.tables, self.now)
        self.told: list[AlertChange] = []
        self.changes: list[AlertChange] = []

    def say(
        self, device: str, when: int | None = None, quality: Quality = Quality.GOOD, late: int = 0, **values: float
    ) -> None:
        """A device reports."""
        moment = self.now if when is None else when
        number = self.registry.index[device]
        self.alerts.take(
            columns_of(
                [Reading(number, name, v, moment, moment + late, quality, Clock.DEVICE) for name, v in values.items()]
            )
        )

    def look(self) -> list[AlertChange]:
        """Look at the clock; returns what people are told."""
        changes = self.alerts.tick(self.now)
        self.changes += changes
        told = [change for change in changes if change.notify]
        self.told += told
        return told

    def wait(self, minutes: float, every: float = 1) -> None:
        """Let time pass without any report."""
        stop = self.now + int(minutes * MINUTE)
        while self.now < stop:
            self.now = min(stop, self.now + int(every * MINUTE))
            self.look()

    def series(self, device: str, name: str, values: Iterable[float], minutes: int = 5, **options: object) -> None:
        """A device reports one value every so many minutes."""
        for value in values:
            self.say(device, **{name: value}, **options)  # type: ignore[arg-type]
            self.look()
            self.now += minutes * MINUTE

    def codes(self) -> list[tuple[str, str, str]]:
        """What people were told: rule, place, state."""
        return [(c.rule.code + ("?" if c.doubtful else ""), c.place.name, c.state.value) for c in self.told]


# values ----------------------------------------------------------------------------------------------------------


def test_low_chlorine_for_half_an_hour_and_its_end() -> None:
    """Below 0.2 for 30 minutes fires; 0.21 is within the hysteresis; 0.22 ends it."""
    village = Village()
    village.series("tap-1", "residual_chlorine", [0.5, 0.19, 0.2, 0.18, 0.19, 0.19, 0.19, 0.19])
    assert village.codes() == [("chlorine_low", "tap-1", "firing")]
    change = village.told[0]
    assert (change.since, change.at, change.value) == (NOON + 5 * MINUTE, NOON + 35 * MINUTE, 0.19)
    assert change.limit == pytest.approx(0.2)
    village.series("tap-1", "residual_chlorine", [0.21, 0.22])
    assert village.codes()[1:] == [("chlorine_low", "tap-1", "resolved")]


def test_a_dip_is_no_alert() -> None:
    """Twenty-five minutes, then well again: pending and gone, nobody is told."""
    village = Village()
    village.series("tap-1", "residual_chlorine", [0.1] * 6 + [0.4] + [0.1] * 6 + [0.4])
    assert village.codes() == []
    assert [change.state.value for change in village.changes] == ["pending", "resolved"] * 2


def test_a_suspect_value_asks_to_check_the_sensor() -> None:
    """One severity lower, apart from the alert itself; a value that can be trusted ends it."""
    village = Village()
    village.series("tap-1", "residual_chlorine", [0.05] * 8, quality=Quality.FAIL)
    assert village.codes() == [("chlorine_low?", "tap-1", "firing")]
    assert village.told[0].severity == "warning"
    village.series("tap-1", "residual_chlorine", [0.5])
    assert village.codes()[1:] == [("chlorine_low?", "tap-1", "resolved")]


def test_suspect_values_neither_begin_nor_end_the_alert_itself() -> None:
    """Good low values fire it; suspect high ones in between change nothing."""
    village = Village()
    village.series("tap-1", "residual_chlorine", [0.1] * 3)
    village.series("tap-1", "residual_chlorine", [0.9] * 2, quality=Quality.SUSPECT)
    village.series("tap-1", "residual_chlorine", [0.1] * 3)
    assert village.codes() == [("chlorine_low", "tap-1", "firing")]


def test_a_late_burst_raises_no_false_alarm() -> None:
    """A day of bad values that is over, delivered at once before or after the first good one."""
    village = Village()
    for minutes in range(1440, 0, -15):
        village.say("tap-1", when=village.now - minutes * MINUTE, late=minutes * MINUTE, residual_chlorine=0.05)
    village.say("tap-1", residual_chlorine=0.5)
    village.look()
    assert village.codes() == []
    for minutes in range(1440, 0, -15):
        village.say("tap-1", when=village.now - minutes * MINUTE, late=minutes * MINUTE, residual_chlorine=0.05)
    village.look()
    assert village.codes() == []
    assert village.alerts.book.alerts == {}


def test_a_late_burst_that_is_still_true_fires_with_its_true_beginning() -> None:
    """The network was away for a day; the first fresh value finds the alert ready."""
    village = Village()
    for minutes in range(1440, 30, -15):
        village.say("tap-1", when=village.now - minutes * MINUTE, late=minutes * MINUTE, residual_chlorine=0.05)
    assert village.look() == []
    village.say("tap-1", residual_chlorine=0.05)
    village.look()
    assert village.codes() == [("chlorine_low", "tap-1", "firing")]
    assert village.told[0].since == village.now - 1440 * MINUTE


def test_order_within_a_batch_does_not_matter() -> None:
    """Readings of one commit are judged in the order of their own times."""
    village = Village()
    number = village.registry.index["tap-1"]
    readings = [
        Reading(
            number, "residual_chlorine", 0.1 if n < 8 else 0.5, NOON + n * 5 * MINUTE, NOON, Quality.GOOD, Clock.DEVICE
        )
        for n in range(10)
    ]
    random.Random(1).shuffle(readings)
    village.alerts.take(columns_of(readings))
    assert village.alerts.book.alerts == {}


def test_a_rising_river() -> None:
    """A metre an hour is told; a slow rise of the same size and a jump over a long gap are not."""
    village = Village()
    village.series("river-1", "water_level", [1.0 + 0.01 * n for n in range(100)], minutes=5)
    village.now += 5 * HOUR
    village.series("river-1", "water_level", [4.0] * 20, minutes=5)
    assert village.codes() == []
    village.series("river-1", "water_level", [4.0 + 0.1 * n for n in range(30)], minutes=5)
    assert village.codes() == [("level_rising", "river-1", "firing")]
    assert village.told[0].value == pytest.approx(1.2, abs=0.21)
    village.series("river-1", "water_level", [7.0] * 30, minutes=5)
    assert village.codes()[1:] == [("level_rising", "river-1", "resolved")]


def test_flags_fire_at_once() -> None:
    """A leakage current needs ten minutes, an open door fifteen."""
    village = Village()
    village.series("cab-1", "door_open", [1.0] * 4)
    assert village.codes() == [("door_open", "cab-1", "firing")]
    village.series("cab-1", "door_open", [0.0])
    assert village.codes()[1:] == [("door_open", "cab-1", "resolved")]


# silence ---------------------------------------------------------------------------------------------------------


def test_a_device_is_silent_after_six_of_its_own_intervals() -> None:
    """Five-minute devices after half an hour; heard again, it is over."""
    village = Village()
    village.say("tap-1", residual_chlorine=0.5)
    village.say("river-1", water_level=1.0)
    village.wait(20)
    village.say("river-1", water_level=1.0)
    village.wait(10)
    assert village.codes() == []
    village.wait(1)
    assert village.codes() == [("silent", "tap-1", "firing")]
    assert village.told[0].since == NOON
    village.say("tap-1", residual_chlorine=0.5)
    village.wait(1)
    assert village.codes()[1:] == [("silent", "tap-1", "resolved")]


def test_who_was_never_heard_is_not_silent() -> None:
    """It is not installed yet."""
    village = Village()
    village.wait(600, every=10)
    assert village.codes() == []


def test_nobody_is_silent_while_the_gateway_is_deaf() -> None:
    """The broker was away for hours: silence counts from its return."""
    village = Village()
    village.say("tap-1", residual_chlorine=0.5)
    village.wait(1)
    village.alerts.silence.deafen()
    village.wait(300, every=10)
    village.alerts.silence.listen(village.now)
    village.wait(29)
    assert village.codes() == []
    village.wait(3)
    assert village.codes() == [("silent", "tap-1", "firing")]


def test_a_restart_after_a_long_stop_waits_before_it_calls_anybody_silent() -> None:
    """The gateway was off, not the device."""
    village = Village()
    village.say("tap-1", residual_chlorine=0.5)
    village.wait(1)
    saved = village.alerts.snapshot()
    village.now += 5 * HOUR
    village.alerts = Alerts(village.tables, village.now)
    assert village.alerts.restore(saved)
    village.wait(29)
    assert village.codes() == []
    village.wait(3)
    assert village.codes() == [("silent", "tap-1", "firing")]


def everybody(
    village: Village, power: float, *, lamps: bool = True, single: dict[int, float] | None = None, stolen: float = 0.0
) -> None:
    """Every device reports; single lamps may draw something else."""
    count = sum(name.startswith("lamp-") for name in village.registry.names)
    if lamps:
        drawn = [(single or {}).get(number, power) for number in range(count)]
        for number, watts in enumerate(drawn):
            village.say(f"lamp-{number}", power=watts, voltage=225.0, dimming_level=100.0)
        village.say("cab-1", power=sum(drawn) * 1.03 + 10 + stolen)
    village.say("tap-1", residual_chlorine=0.5)
    village.say("river-1", water_level=1.0)
    village.say("air-1", pm2_5=20.0)


def night(village: Village, hours: float = 3) -> None:
    """From 20:00 on, all is well."""
    village.now = at("2026-01-12T20:00")
    for _ in range(int(hours * 12)):
        everybody(village, 70.0)
        village.look()
        village.now += 5 * MINUTE


def test_a_silent_circuit_is_one_alert_and_not_eleven() -> None:
    """Told after two intervals; its lamps and its cabinet are in the book with their cause. Back, all is over."""
    village = Village()
    night(village)
    for _ in range(10):
        everybody(village, 70.0, lamps=False)
        village.look()
        village.now += 5 * MINUTE
    assert village.codes() == [("circuit_out", "cab-1", "firing")]
    assert village.told[0].at <= at("2026-01-12T23:15")
    caused = [change for change in village.alerts.book.current() if change.cause]
    assert len(caused) == 11
    assert {change.cause for change in caused} == {"circuit_out/group/10642/cab-1"}
    for _ in range(6):
        everybody(village, 70.0)
        village.look()
        village.now += 5 * MINUTE
    assert village.codes()[1:] == [("circuit_out", "cab-1", "resolved")]
    assert village.alerts.book.alerts == {}


def test_a_whole_commune_is_one_alert() -> None:
    """The uplink of the commune is cut: not the circuit, not the stations."""
    village = Village()
    night(village)
    village.wait(60)
    assert village.codes() == [("commune_silent", "10642", "firing")]


def test_a_feeder_that_is_cut_by_day_is_not_silent() -> None:
    """Lamps with power at night only: silent all day without a word; missing at night they are."""
    village = Village(powered="with_circuit")
    night(village, hours=10)  # until 06:00
    for _ in range(12 * 12):
        everybody(village, 0.0, lamps=False)
        village.say("cab-1", power=10.0)
        village.look()
        village.now += 5 * MINUTE
    assert village.codes() == []  # 18:00
    for _ in range(24):
        everybody(village, 0.0, lamps=False)
        village.say("cab-1", power=700.0)
        village.look()
        village.now += 5 * MINUTE
    assert village.codes() == [("circuit_out", "cab-1", "firing")]
    assert at("2026-01-13T18:00") < village.told[0].at < at("2026-01-13T18:20")


def test_a_lamp_that_was_not_heard_since_is_not_told_by_what_it_said_before() -> None:
    """All lamps burn by day with the contactor; one falls silent, the contactor is mended: that one is no burner."""
    village = Village()
    night(village)
    village.now = at("2026-01-13T09:00")

    def told_of_day_burning() -> list[tuple[str, str, str]]:
        return [one for one in village.codes() if one[0] in ("circuit_day", "day_burner")]

    for step in range(48):
        for number in range(10):
            if number or step < 12:
                village.say(f"lamp-{number}", power=70.0 if step < 24 else 0.6, voltage=225.0)
        village.look()
        village.now += 5 * MINUTE
    assert told_of_day_burning() == [("circuit_day", "cab-1", "firing"), ("circuit_day", "cab-1", "resolved")]
    village.say("lamp-0", power=70.0, voltage=225.0)
    village.look()
    assert told_of_day_burning()[2:] == [("day_burner", "lamp-0", "firing")]


def test_one_lamp_out_and_one_day_burner() -> None:
    """Each is told once, with watts."""
    village = Village()
    night(village)
    for step in range(12 * 14):
        by_day = step >= 12 * 7
        everybody(village, 0.6 if by_day else 70.0, single={4: 70.0} if by_day else {3: 0.6})
        village.look()
        village.now += 5 * MINUTE
    assert village.codes() == [("lamp_out", "lamp-3", "firing"), ("day_burner", "lamp-4", "firing")]
    assert (village.told[0].value, village.told[1].value) == (0.6, 70.0)
    assert village.told[0].since == at("2026-01-12T23:00")


def test_stolen_current_is_told_of_the_circuit() -> None:
    """300 W beyond the lamps for an hour."""
    village = Village()
    night(village, hours=4)
    for _ in range(16):
        everybody(village, 70.0, stolen=300.0)
        village.look()
        village.now += 5 * MINUTE
    assert village.codes() == [("theft", "cab-1", "firing")]
    assert village.told[0].value == pytest.approx(300, abs=5)


def test_silenced_work_on_a_circuit() -> None:
    """Electricians switch it off; the rest of the commune is still told."""
    village = Village()
    night(village)
    stop = village.now + 2 * HOUR
    village.alerts.book.silence(Silence(0, village.now, stop, "Đội điện", "thay cáp", commune="10642", group="cab-1"))
    for _ in range(12):
        village.say("river-1", water_level=1.0)
        village.say("air-1", pm2_5=20.0)
        village.say("tap-1", residual_chlorine=0.1)
        village.look()
        village.now += 5 * MINUTE
    assert village.codes() == [("chlorine_low", "tap-1", "firing")]


# other sources ---------------------------------------------------------------------------------------------------


def test_index_levels() -> None:
    """151 is bad, 201 very bad as well; no index changes nothing."""
    village = Village()
    number = village.registry.index["air-1"]
    for value in (150, 151, None, 230, 180, 90):
        village.alerts.take_index(number, value, village.now)
        village.look()
        village.now += HOUR
    assert village.codes() == [
        ("aqi_bad", "air-1", "firing"), ("aqi_very_bad", "air-1", "firing"), ("aqi_very_bad", "air-1", "resolved"),
        ("aqi_bad", "air-1", "resolved"),
    ]  # fmt: skip


def test_limits_of_the_law_by_their_period() -> None:
    """A broken day stands until the next day is known; hours come and go."""
    village, limits, day = Village(), Limits(), date(2026, 1, 12)
    number = village.registry.index["air-1"]
    village.alerts.take_limits(number, limits.air_day({"pm2_5": [50.0] * 24}, day), 1)
    village.alerts.take_limits(number, limits.air_hour({"no2": [100.0]}, day), 2)
    village.look()
    saved = village.alerts.snapshot()
    village.alerts = Alerts(village.tables, village.now)
    assert village.alerts.restore(saved)
    village.alerts.take_limits(number, limits.air_hour({"no2": [110.0]}, day), 2)
    village.look()
    assert village.codes() == [("air_limit", "air-1", "firing")]
    assert (village.told[0].value, village.told[0].limit) == (50.0, 45.0)
    village.alerts.take_limits(number, limits.air_day({"pm2_5": [40.0] * 24}, day), 3)
    village.look()
    assert village.codes()[1:] == [("air_limit", "air-1", "resolved")]


def test_leaks_and_the_gateway_itself() -> None:
    """A night's judgement; a part that fails for two minutes."""
    village = Village()
    number = village.registry.index["tap-1"]
    village.alerts.take_night(number, NightFlow(1, 4.0, 2.0, 2.8, leaks=True), village.now)
    for _ in range(4):
        village.alerts.take_health(["store:commune"], village.now)
        village.wait(1)
    assert village.codes() == [("leak_night", "tap-1", "firing"), ("gateway", "store:commune", "firing")]
    village.alerts.take_night(number, NightFlow(2, 2.0, 2.0, 2.8, leaks=False), village.now)
    village.alerts.take_health([], village.now)
    village.wait(1)
    assert village.codes()[2:] == [
        ("leak_night", "tap-1", "resolved"), ("gateway", "store:commune", "resolved"),
    ]  # fmt: skip


def test_a_part_of_the_gateway_that_fails_for_a_moment_is_no_event() -> None:
    """As the broker does at every start: no row is written, not even a pending one."""
    village = Village()
    changes = []
    for failing in (["broker"], ["broker"], [], ["broker"], []):
        village.alerts.take_health(failing, village.now)
        changes += village.alerts.tick(village.now)
        village.now += MINUTE
    assert changes == []


# words -----------------------------------------------------------------------------------------------------------


def test_texts_for_staff_say_everything() -> None:
    """Place, value, limit, since when, what to do, source; in both languages."""
    village = Village()
    village.series("tap-1", "residual_chlorine", [0.1] * 7)
    (change,) = village.told
    sensor, names = village.alerts.sensor_texts, {"10642": "Thái Tân"}
    assert title(change, sensor, village.registry).vi == (
        "Khẩn cấp: Clo dư trong nước thấp, Điểm đo cuối tuyến (tap-1)"
    )
    assert body(change, sensor, names).vi.splitlines() == [
        "Xã: Thái Tân",
        "Giá trị: 0.10 mg/L, ngưỡng: 0.20 mg/L",
        "Từ: 12:00 12/01/2026",
        "Việc cần làm: Kiểm tra bơm clo và bồn hóa chất; xả cặn cuối tuyến; khuyên dân đun sôi nước.",
        "Căn cứ: QCVN 01-1: 0.2 to 1.0 mg/L",
    ]
    assert "What to do: Check the chlorine pump" in body(change, sensor, names).en
    over = change._replace(state=AlertState.RESOLVED)
    assert title(over, sensor, village.registry).en.startswith("Over: Too little chlorine")
    doubtful = change._replace(doubtful=True)
    assert "Kiểm tra cảm biến, hoặc có nguy hiểm" in title(doubtful, sensor, village.registry).vi
    assert "Đo lại tại chỗ" in body(doubtful, sensor, names).vi


def test_lines_for_the_store() -> None:
    """One line a change, one line a commune with its counts; explained alerts are not counted."""
    village = Village()
    night(village)
    for _ in range(6):
        everybody(village, 70.0, lamps=False)
        village.look()
        village.now += 5 * MINUTE
    line = change_line(village.told[0])
    assert line.startswith("alert,commune=10642,device=cab-1 circuit_out=2,circuit_out_severity=3,")
    assert line.endswith(f" {village.told[0].at}")
    lines = count_lines(village.alerts.book.current(), ["10642", "10615"], 7)
    assert "alert,commune=10642,device=- streetlight_info=0,streetlight_warning=0,streetlight_critical=1," in lines[0]
    assert "device_warning=0" in lines[0]
    silent = [change for change in village.alerts.book.current() if change.rule.kind == "silent"]
    assert lines[0].endswith(f",silent_devices={len(silent)} 7")
    assert "critical=1" not in lines[1]
    assert lines[2].startswith("alert,commune=gateway,device=- ")


# state -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [3, 9, 14])
def test_a_restart_changes_nothing_that_people_are_told(stop: int) -> None:
    """The same story with and without a restart in the middle."""
    stories = []
    for restart in (False, True):
        village = Village()
        night(village)
        for step in range(24):
            everybody(village, 70.0, lamps=step >= 12)
            village.say("tap-1", when=village.now + 1, residual_chlorine=0.1)
            if restart and step == stop:
                saved = village.alerts.snapshot()
                village.alerts = Alerts(village.tables, village.now)
                assert village.alerts.restore(saved)
                # What the gateway cannot know after a restart is whether it missed something meanwhile.
                village.alerts.silence._since = NOON
            village.look()
            village.now += 5 * MINUTE
        stories.append(village.codes())
    assert stories[0] == stories[1]
    assert ("circuit_out", "cab-1", "resolved") in stories[0]


def test_a_snapshot_fits_another_fleet() -> None:
    """Devices by name; those that are gone take their alerts with them. A broken one is refused."""
    village = Village()
    village.series("tap-1", "residual_chlorine", [0.1] * 7)
    village.say("lamp-9", power=60.0)
    saved = village.alerts.snapshot()
    rows = [
        FleetRow(device="lamp-9", profile="native_streetlight", commune="10642"),
        FleetRow(device="tap-1", profile="native_tap_water", commune="10642"),
    ]
    profiles: list[Profile] = [PROFILES["native_tap_water"], PROFILES["native_streetlight"]]
    other = Alerts(FleetTables(Registry.of(rows, profiles)), village.now)
    assert other.restore(saved)
    assert [change.id for change in other.book.current()] == ["chlorine_low/device/10642/tap-1"]
    assert other.streets.lamps.power.tolist() == [60.0]
    assert not Alerts(FleetTables(Registry.of(rows, profiles)), 0).restore(saved[:-1])
    assert not Alerts(FleetTables(Registry.of(rows, profiles)), 0).restore([])


# rules as data ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('property = "residual_chlorine"', 'property = "chlorine"', "not in the vocabulary"),
        ("below = 0.2\n", "", "needs either above or below"),
        ("below = 0.2\n", "below = 0.2\nabove = 1.0\n", "needs either above or below"),
        ("below = 0.2\n", "below = 0.2\nlevel = 'bad'\n", "a threshold rule has no level"),
        ('code = "chlorine_low"', 'code = "chlorine_high"', "chlorine_high stands twice"),
        ('causes = ["leak_night"]', 'causes = ["leaks"]', "causes names the unknown rule leaks"),
        ("within_minutes = 60\n", "", "a rate rule needs within_minutes"),
        ('severity = "critical"', 'severity = "terrible"', "severity"),
    ],
)
def test_a_wrong_rule_is_named(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """By file and rule, in one line."""
    text = (Path(__file__).parents[1] / "devices/standards/alerts.toml").read_text("utf-8")
    assert old in text
    (tmp_path / "alerts.toml").write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(StandardsError, match=expected):
        load(tmp_path)


def test_every_rule_speaks_both_languages_and_says_what_to_do() -> None:
    """And the codes of its kind are those the engine knows."""
    rules: AlertRules = shipped().alerts
    assert {rule.kind for rule in rules.rules} == {
        "threshold", "rate", "silent", "lamp", "circuit", "theft", "leak", "index", "limit", "commune", "gateway",
    }  # fmt: skip
    assert all(len(rule.advice.vi) > 10 and rule.title.en for rule in rules.rules)
