"""Roll-ups: what is written in the end is what the stored readings add up to, however they came in."""

import random
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from devices.fleet_row import FleetRow
from devices.profile import Profile, parse_profile
from devices.quality import Clock, Quality
from devices.registry import Registry
from devices.rollup_names import Width
from gateway.analytics import rollup_state
from gateway.analytics.columns import FleetTables, columns_of
from gateway.analytics.energy import use
from gateway.analytics.late_hours import LateHours
from gateway.analytics.rollup_lines import stored_rows
from gateway.analytics.rollup_parts import Closed, Point
from gateway.analytics.rollups import Rollups
from gateway.analytics.windows import DAY, HOUR, Rows, day_start
from gateway.model import Reading

Flags = NDArray[np.bool_]
MINUTE = HOUR // 60
START = day_start(20_500)  # midnight in Viet Nam


def profile(name: str, domain: str, properties: str) -> Profile:
    """A profile that reports every ten minutes."""
    return parse_profile(
        f'id = "{name}"\nmaker = "x"\nmodel = "x"\ndomain = "{domain}"\ncodec = "native"\ninterval_seconds = 600\n'
        f'evidence = {{ kind = "constructed", document = "test" }}\nproperties = [{properties}]\n',
        f"{name}.toml",
    )


LAMP = profile(
    "lamp",
    "streetlight",
    '{ name = "power", unit = "W", high = 3000.0 },'
    '{ name = "energy", unit = "kW.h", counter = true, rollover = 100.0 }',
)
AIR = profile("air", "air_quality", '{ name = "pm2_5", unit = "ug/m3" }, { name = "battery", unit = "%" }')
FLEET = [
    ("lamp-1", "lamp", "10642", "village", "cabinet 1"),
    ("lamp-2", "lamp", "10642", "village", "cabinet 1"),
    ("lamp-3", "lamp", "10642", "street", ""),
    ("air-1", "air", "10642", "village", ""),
    ("lamp-4", "lamp", "10615", "", "cabinet 1"),
]


def registry() -> Registry:
    """Five devices in two communes."""
    rows = [FleetRow(device=d, profile=p, commune=c, zone=z, group=g) for d, p, c, z, g in FLEET]
    return Registry.of(rows, [LAMP, AIR])


class Store:
    """A store: raw readings by series and time, roll-up lines by series, time and field."""

    def __init__(self, tables: FleetTables) -> None:
        self.tables = tables
        self.raw: dict[tuple[int, str], dict[int, tuple[float, int]]] = {}
        self.lines: dict[tuple[str, int], dict[str, float]] = {}
        self.asked = 0

    def write(self, reading: Reading) -> None:
        """A raw reading."""
        key = (reading.device, reading.property)
        self.raw.setdefault(key, {})[reading.observed_at] = (reading.value, int(reading.quality))

    def write_lines(self, lines: Sequence[str]) -> None:
        """Finished line protocol."""
        for line in lines:
            head, fields, time = line.replace("\\ ", "_").split(" ")
            known = self.lines.setdefault((head, int(time)), {})
            known.update((name, float(value)) for name, _, value in (f.partition("=") for f in fields.split(",")))

    def readings(self, device: int, start: int, stop: int) -> Mapping[str, Sequence[Point]]:
        """As ``RollupSource`` says."""
        self.asked += 1
        return {
            name: [(at, *found[at]) for at in sorted(found) if start <= at < stop]
            for (number, name), found in self.raw.items()
            if number == device
        }

    def before(self, device: int, at: int) -> Mapping[str, Point]:
        """As ``RollupSource`` says."""
        old = self.readings(device, 0, at)
        return {name: points[-1] for name, points in old.items() if points}

    def after(self, device: int, at: int) -> Mapping[str, Point]:
        """As ``RollupSource`` says."""
        new = self.readings(device, at, 2**62)
        return {name: points[0] for name, points in new.items() if points}

    def windows(self, commune: int, width: Width, start: int) -> Rows:
        """As ``RollupSource`` says."""
        names = self.tables.registry.index
        key = self.tables.registry.communes.texts[commune]
        found = [
            (names[head.rpartition("device=")[2]], fields)
            for (head, time), fields in self.lines.items()
            if time == start and f"commune={key},device=" in head and head.partition(",")[0].endswith(f"_{width}")
        ]
        window = start // HOUR if width is Width.HOUR else (start + 7 * HOUR) // DAY
        return stored_rows(self.tables, window, found)


class Run:
    """Roll-ups, their store, and a clock."""

    def __init__(self, fleet: Registry | None = None) -> None:
        self.tables = FleetTables(fleet or registry())
        self.store = Store(self.tables)
        self.closed: list[Closed] = []
        self.rollups = Rollups(self.tables, self.working, self.closed.append)
        self.now = START

    def working(self) -> tuple[Flags, Flags]:
        """Which devices are lamps, and which of them burn."""
        count = self.tables.count
        return np.resize([True, True, True, False, True], count), np.resize([True, False, True, False, True], count)

    def restart(self) -> None:
        """A new object goes on from a snapshot."""
        parts = rollup_state.snapshot(self.rollups)
        self.rollups = Rollups(self.tables, self.working, self.closed.append)
        assert rollup_state.restore(self.rollups, parts)

    def observe(self, *readings: Reading) -> None:
        """Store readings and take them in."""
        for reading in readings:
            self.store.write(reading)
        self.rollups.take(columns_of(readings))

    def advance(self, to: int, step: int = 10 * MINUTE) -> None:
        """Let time pass: windows close, what is late is mended, lines are stored."""
        while self.now < to:
            self.now = min(to, self.now + step)
            self.rollups.tick(self.now)
            self.store.write_lines(self.rollups.lines(self.now))
            self.rollups.mend(self.store, self.now)
            self.store.write_lines(self.rollups.lines(self.now))

    def line(self, head: str, at: int) -> dict[str, float]:
        """What the store has of a roll-up."""
        return self.store.lines[head, at]


def reading(device: int, name: str, value: float, at: int, quality: Quality = Quality.GOOD, late: int = 0) -> Reading:
    """One reading, received ``late`` after it was made."""
    return Reading(device, name, value, at, at + late, quality, Clock.DEVICE)


LAMP_1 = "streetlight_hour,commune=10642,device=lamp-1"


def test_an_hour_is_written_ten_minutes_after_its_end() -> None:
    """Mean, least, greatest, number, completeness, worst quality; a failed value is only in the quality."""
    run = Run()
    for number in range(5):
        run.observe(reading(0, "power", 60.0 + number, START + number * 10 * MINUTE))
    run.observe(reading(0, "power", 9999.0, START + 50 * MINUTE, Quality.FAIL))
    run.advance(START + HOUR + 9 * MINUTE)
    assert run.store.lines == {}
    run.advance(START + HOUR + 10 * MINUTE)
    assert run.line(LAMP_1, START) == {
        "power_mean": 62.0, "power_min": 60.0, "power_max": 64.0, "power_count": 5.0, "power_quality": 4.0,
        "quality": 4.0, "completeness": pytest.approx(5 / 6, abs=1e-4),
    }  # fmt: skip
    group = run.line("streetlight_group_hour,commune=10642,group=cabinet_1", START)
    assert group["power_mean"] == group["power_sum"] == 62.0
    assert (group["devices"], group["devices_expected"], group["working"]) == (1.0, 2.0, 0.5)
    assert run.line("streetlight_commune_hour,commune=10642", START)["working"] == pytest.approx(2 / 3)


def test_an_hour_of_failed_values_has_no_mean() -> None:
    """And says so by its quality."""
    run = Run()
    run.observe(reading(3, "pm2_5", 9000.0, START + MINUTE, Quality.FAIL))
    run.advance(START + 2 * HOUR)
    assert run.line("air_quality_hour,commune=10642,device=air-1", START) == {
        "pm2_5_count": 0.0, "pm2_5_quality": 4.0, "quality": 4.0, "completeness": 0.0,
    }  # fmt: skip


def test_properties_of_other_measurements_have_lines_of_their_own() -> None:
    """The battery of an air station is the device's."""
    run = Run()
    run.observe(reading(3, "pm2_5", 40.0, START + MINUTE), reading(3, "battery", 80.0, START + MINUTE))
    run.advance(START + 2 * HOUR)
    assert run.line("air_quality_hour,commune=10642,device=air-1", START)["pm2_5_mean"] == 40
    assert run.line("device_hour,commune=10642,device=air-1", START)["battery_mean"] == 80


def test_a_counter_is_counted_from_hour_to_hour() -> None:
    """What lies between the last reading of one hour and the first of the next belongs to the next; a reset is none."""
    run = Run()
    for minutes, value in [(10, 50.0), (50, 50.6), (70, 51.0), (110, 0.2), (130, 0.5)]:
        run.observe(reading(0, "energy", value, START + minutes * MINUTE))
    run.advance(START + DAY + HOUR)
    seen = [run.line(LAMP_1, START + n * HOUR) for n in range(3)]
    assert [round(hour["energy_increase"], 9) for hour in seen] == [0.6, 0.6, 0.3]
    assert "energy_mean" not in seen[0]
    day = run.line("streetlight_day,commune=10642,device=lamp-1", START)
    assert day["energy_increase"] == pytest.approx(1.5)
    commune = run.line("streetlight_commune_day,commune=10642", START)
    assert commune["energy_increase"] == pytest.approx(1.5)
    assert "energy_sum" not in commune


def test_a_late_reading_mends_device_group_and_day() -> None:
    """Ten hours late; the hour is written again with it, and so is everything above."""
    run = Run()
    run.observe(reading(0, "power", 60.0, START + MINUTE), reading(1, "power", 80.0, START + MINUTE))
    run.advance(START + 3 * HOUR)
    run.observe(reading(0, "power", 62.0, START + 3 * HOUR))
    run.observe(reading(0, "power", 64.0, START + 2 * MINUTE, late=3 * HOUR))
    assert len(run.rollups.late) == 1
    run.advance(START + 4 * HOUR)
    assert run.line(LAMP_1, START)["power_mean"] == 62.0
    assert run.line("streetlight_group_hour,commune=10642,group=cabinet_1", START)["power_sum"] == 142.0
    assert run.closed[-1].mended
    run.advance(START + DAY + 2 * HOUR)
    day = run.line("streetlight_day,commune=10642,device=lamp-1", START)
    assert (day["power_mean"], day["power_count"]) == (62.0, 3.0)
    assert run.line("streetlight_commune_day,commune=10642", START)["power_sum"] == 142.0


def test_a_reading_judged_anew_is_counted_once() -> None:
    """The same series and time again, with another quality: overwritten in the store, and so in the roll-up."""
    run = Run()
    run.observe(reading(0, "power", 60.0, START + MINUTE), reading(0, "power", 500.0, START + 2 * MINUTE))
    run.observe(reading(0, "power", 500.0, START + 2 * MINUTE, Quality.FAIL))
    run.advance(START + 2 * HOUR)
    assert (run.line(LAMP_1, START)["power_mean"], run.line(LAMP_1, START)["power_count"]) == (60.0, 1.0)


def test_a_mended_scale_is_read_back_when_told() -> None:
    """Decoding again overwrites the points; ``mark`` says which hours."""
    run = Run()
    for number in range(20):
        run.observe(reading(0, "power", 6.0, START + number * 10 * MINUTE))
    run.advance(START + 5 * HOUR)
    for number in range(20):
        run.store.write(reading(0, "power", 60.0, START + number * 10 * MINUTE))
    run.rollups.mark(0, START, START + 4 * HOUR, run.now)
    run.advance(START + 6 * HOUR)
    assert [run.line(LAMP_1, START + n * HOUR)["power_mean"] for n in range(4)] == [60.0] * 4


def meter_ten_times_too_large() -> Run:
    """A meter's first hour was, and has been decoded again."""
    run = Run()
    for number in range(6):
        at, right = START + number * 10 * MINUTE, 5.0 + number / 4
        run.observe(reading(0, "energy", 10 * right, at))
        run.store.write(reading(0, "energy", right, at))
    run.rollups.mark(0, START, START + HOUR, run.now)
    return run


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_counters_next_hour_is_mended_too(is_stored: bool) -> None:
    """It had counted from the wrong reading; also where the store gets it later than it is looked for."""
    run = meter_ten_times_too_large()
    late = reading(0, "energy", 6.75, START + 2 * HOUR + MINUTE)
    run.rollups.take(columns_of([late]))
    if is_stored:
        run.store.write(late)
    run.rollups.tick(START + 2 * HOUR + 2 * MINUTE)
    run.rollups.mend(run.store, late.observed_at)
    run.store.write(late)
    run.advance(START + 4 * HOUR)
    assert run.line(LAMP_1, START)["energy_increase"] == 1.25
    assert run.line(LAMP_1, START + 2 * HOUR)["energy_increase"] == 0.5


def test_a_counter_goes_on_from_what_was_mended() -> None:
    """What comes afterwards is counted from the reading as it is stored now."""
    run = meter_ten_times_too_large()
    run.advance(START + 2 * HOUR)
    run.observe(reading(0, "energy", 6.75, run.now + MINUTE))
    run.advance(START + 4 * HOUR)
    assert run.line(LAMP_1, START)["energy_increase"] == 1.25
    assert run.line(LAMP_1, START + 2 * HOUR)["energy_increase"] == 0.5


def test_what_is_to_be_mended_outlives_the_sums() -> None:
    """By the names of the devices, in whatever fleet they are found again; damaged words are refused."""
    run = Run()
    run.observe(reading(1, "power", 60.0, START))
    run.rollups.mark(1, START - DAY, START - DAY + 2 * HOUR, 7)
    run.rollups.mark(3, START, START + HOUR, 8)
    rows = [FleetRow(device=d, profile=p, commune=c, zone=z, group=g) for d, p, c, z, g in FLEET[1:3]]
    other = Rollups(FleetTables(Registry.of(rows, [LAMP])), run.working, run.closed.append)
    assert rollup_state.take_to_mend(other, rollup_state.to_mend(run.rollups))
    assert other.late.dump() == [(0, START // HOUR - 24, START // HOUR - 23, 7)]
    assert other.pending().finished == [-1, -1]
    assert not rollup_state.take_to_mend(other, b"{")
    assert not rollup_state.take_to_mend(other, b'{"late": [1]}')


def test_what_is_not_stored_yet_is_not_read_back() -> None:
    """A store that lags behind is waited for."""
    run = Run()
    run.observe(reading(0, "power", 60.0, START + MINUTE))
    run.advance(START + 2 * HOUR)
    run.observe(reading(0, "power", 64.0, START + 2 * MINUTE, late=2 * HOUR))
    run.store.asked = 0
    assert run.rollups.mend(run.store, stored_until=START + 2 * HOUR) == 0
    assert run.store.asked == 0
    assert run.rollups.mend(run.store, stored_until=START + 2 * HOUR + 10 * MINUTE) == 1


def test_a_store_that_cannot_be_asked_loses_no_mark() -> None:
    """Next time."""
    run = Run()
    run.observe(reading(0, "power", 60.0, START + MINUTE), reading(1, "power", 60.0, START + MINUTE))
    run.advance(START + 2 * HOUR)
    run.observe(*(reading(n, "power", 64.0, START + 2 * MINUTE, late=2 * HOUR) for n in (0, 1)))

    class Down(Store):
        def readings(self, device: int, start: int, stop: int) -> Mapping[str, Sequence[Point]]:
            raise ConnectionError

    with pytest.raises(ConnectionError):
        run.rollups.mend(Down(run.tables), stored_until=START + 3 * HOUR)
    assert run.rollups.late.devices == 2
    assert run.rollups.mend(run.store, stored_until=START + 3 * HOUR) == 2


# everything at once ----------------------------------------------------------------------------------------------


def uplinks(seed: int) -> list[Reading]:
    """Two days of five devices: lost, late, reordered, repeated, failed readings; meters that wrap or are reset."""
    source = random.Random(seed)
    found = []
    for device, (_, kind, *_) in enumerate(FLEET):
        energy, offset = source.uniform(0, 90), source.randrange(600) * 1_000_000_000
        for number in range(2 * 144):
            at = START + number * 10 * MINUTE + offset
            energy = (energy + source.uniform(0, 0.4)) % 100
            energy = 0.0 if source.random() < 0.002 and energy > 1 else energy
            if source.random() < 0.05:
                continue
            delay = 0
            if source.random() < 0.05:
                delay = int(source.uniform(0, 30) * HOUR)
            elif source.random() < 0.1:
                delay = source.randrange(1200) * 1_000_000_000
            quality = Quality.FAIL if source.random() < 0.02 else Quality.GOOD
            if kind == "lamp":
                some = [
                    reading(device, "power", source.uniform(0, 80), at, quality, delay),
                    reading(device, "energy", energy, at, Quality.GOOD, delay),
                ]
            else:
                some = [reading(device, "pm2_5", source.uniform(0, 80), at, quality, delay)]
            found += some
            if source.random() < 0.05:
                again = source.randrange(3600) * 1_000_000_000
                found += [r._replace(received_at=r.received_at + again) for r in some]
    return sorted(found, key=lambda r: r.received_at)


def expected(store: Store, device: int, name: str, start: int, stop: int) -> tuple[int, float]:
    """How many usable readings there are between two moments, and their mean, or for a counter what was counted."""
    found = store.raw.get((device, name), {})
    points = [(at, *found[at]) for at in sorted(found) if at < stop and found[at][1] < 4]
    inside = [value for at, value, _ in points if at >= start]
    if name != "energy":
        return len(inside), sum(inside) / len(inside) if inside else 0.0

    def total(until: int) -> float:
        return use([(at, value) for at, value, _ in points if at < until], most_per_hour=3.0, modulus=100.0).total

    return len(inside), total(stop) - total(start)


@pytest.mark.parametrize("seed", range(2))
def test_roll_ups_are_what_the_stored_readings_add_up_to(seed: int) -> None:
    """Every hour and day of every device, and the sums of every group, zone and commune."""
    run = Run()
    for one in uplinks(seed):
        run.advance(one.received_at)
        run.observe(one)
    run.advance(START + 6 * DAY, step=30 * MINUTE)
    assert len(run.rollups.late) == 0
    for width, length in (("hour", HOUR), ("day", DAY)):
        sums: dict[tuple[str, int, str], list[float]] = {}
        for device, (name, kind, commune, zone, group) in enumerate(FLEET):
            for start in range(START, START + 2 * DAY, length):
                for prop in ("power", "energy") if kind == "lamp" else ("pm2_5",):
                    count, value = expected(run.store, device, prop, start, start + length)
                    domain = "streetlight" if kind == "lamp" else "air_quality"
                    line = run.store.lines.get((f"{domain}_{width},commune={commune},device={name}", start), {})
                    assert line.get(f"{prop}_count", 0) == count
                    if not count:
                        continue
                    seen = line[f"{prop}_increase" if prop == "energy" else f"{prop}_mean"]
                    assert seen == pytest.approx(value, abs=1e-6), (name, prop, width, start)
                    for scope in (
                        f"{domain}_commune_{width},commune={commune}",
                        f"{domain}_zone_{width},commune={commune},zone={zone}" if zone else "",
                        f"{domain}_group_{width},commune={commune},group={group.replace(' ', '_')}" if group else "",
                    ):
                        sums.setdefault((scope, start, prop), []).append(value)
        for (scope, start, prop), values in sums.items():
            if scope:
                line = run.line(scope, start)
                field = f"{prop}_increase" if prop == "energy" else f"{prop}_sum"
                assert line[field] == pytest.approx(sum(values), abs=1e-6), (scope, start, prop)
                assert line[f"{prop}_devices"] == len(values)


@pytest.mark.parametrize("seed", [5])
def test_roll_ups_survive_restarts(seed: int) -> None:
    """A snapshot every few hours is taken over by a new object."""
    run, source = Run(), random.Random(seed)
    readings = uplinks(seed)
    turn = run.now
    for one in readings:
        run.advance(one.received_at)
        run.observe(one)
        if one.received_at > turn:
            turn = one.received_at + int(source.uniform(2, 9) * HOUR)
            run.restart()
    run.advance(START + 6 * DAY, step=30 * MINUTE)
    for device, (name, kind, commune, *_) in enumerate(FLEET):
        domain, prop = ("streetlight", "power") if kind == "lamp" else ("air_quality", "pm2_5")
        for start in range(START, START + 2 * DAY, DAY):
            count, value = expected(run.store, device, prop, start, start + DAY)
            line = run.line(f"{domain}_day,commune={commune},device={name}", start)
            assert line[f"{prop}_count"] == count
            assert line[f"{prop}_mean"] == pytest.approx(value)
        if kind == "lamp":
            _, value = expected(run.store, device, "energy", START, START + DAY)
            line = run.line(f"streetlight_day,commune={commune},device={name}", START)
            assert line["energy_increase"] == pytest.approx(value, abs=1e-6)
    total = run.line("streetlight_commune_day,commune=10642", START)["power_sum"]
    assert total == pytest.approx(sum(expected(run.store, n, "power", START, START + DAY)[1] for n in range(3)))


def test_a_snapshot_of_another_fleet_keeps_what_is_the_same() -> None:
    """Devices are found by name and profile; a broken snapshot is refused whole."""
    run = Run()
    run.observe(reading(2, "power", 60.0, START + MINUTE), reading(2, "energy", 5.0, START + MINUTE))
    parts = rollup_state.snapshot(run.rollups)
    rows = [FleetRow(device=d, profile=p, commune=c, zone=z, group=g) for d, p, c, z, g in reversed(FLEET[1:])]
    other = Rollups(FleetTables(Registry.of(rows, [AIR, LAMP])), run.working, run.closed.append)
    assert rollup_state.restore(other, parts)
    device = other.tables.registry.index["lamp-3"]
    power, energy = (other.tables.series_of(device, place) for place in (0, 1))
    assert other.hours.total[power] == 60.0
    assert other.counters.value[other.counters.slots(np.array([energy]))].tolist() == [5.0]
    assert not rollup_state.restore(other, parts[:-1])
    assert not rollup_state.restore(other, [])
    assert not rollup_state.restore(other, [parts[0], b"", *parts[2:]])


# spans -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_spans_hold_exactly_the_hours_that_were_marked(seed: int) -> None:
    """Against a plain set; neighbours become one span."""
    source, spans, hours = random.Random(seed), LateHours(), set()
    for _ in range(200):
        first = source.randrange(100)
        last = first + source.randrange(4)
        spans.add(7, first, last, 1)
        hours |= set(range(first, last + 1))
    assert len(spans) == len(hours)
    ((_, found),) = spans.ready(2, 1000, 10)
    assert [h for first, last in found for h in range(first, last + 1)] == sorted(hours)
    assert all(after[0] > before[1] + 1 for before, after in pairwise(found))
    assert len(spans) == 0


def test_the_same_hours_of_a_whole_fleet_are_kept_once() -> None:
    """After a crash every device has them."""
    late = LateHours()
    for device in range(1000):
        late.add(device, 490_000 + device // 1000, 490_017, 5)
    assert len({id(spans) for spans in late._spans.values()}) == 1
    late.add(7, 490_019, 490_019, 6)
    assert sorted(late.dump())[7:10] == [(7, 490_000, 490_017, 6), (7, 490_019, 490_019, 6), (8, 490_000, 490_017, 5)]


def test_open_hours_stay_marked() -> None:
    """Hours that are not closed yet wait for it; so does what is not stored."""
    spans = LateHours()
    spans.add(1, 5, 9, marked_at=100)
    assert spans.ready(stored_until=100, before_hour=8, most=10) == []
    assert spans.ready(stored_until=101, before_hour=8, most=10) == [(1, [(5, 7)])]
    assert spans.ready(stored_until=101, before_hour=8, most=10) == []
    again = LateHours()
    again.load(spans.dump())
    assert again.ready(101, 10, 10) == [(1, [(8, 9)])]
