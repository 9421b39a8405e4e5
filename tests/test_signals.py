"""Signals: pure functions of time, place and seed, with the statistics of the published records."""

import datetime as dt
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from astral import Observer
from astral.sun import sun

from simulators import air, weather
from simulators.burning import Schedule, nights, sunset_and_sunrise
from simulators.cabinet import Cabinets, cabinet
from simulators.lighting import LampColumns, Lamps, lamp, lamp_energy, lamp_power
from simulators.local_time import DAY, HOUR, knots_for, local_day, local_hour, month_of, month_start, through_year
from simulators.noise import Floats, flicker, key_of, keys_of, normal, uniform, wander
from simulators.signals import DECIMALS, on_grid
from simulators.simulated_year import figures
from simulators.supply import Main, supply
from simulators.trouble import NOTHING, Trouble, Wrong, untangle
from simulators.water import Reach, water

REGION = keys_of(1, "region")
START = month_start((2026 - 1970) * 12 + 7)
"""2026-08-01 00:00 in Viet Nam."""
DAYS = START + np.arange(0.0, 20 * DAY, 600.0)


def lamps(**other: object) -> Lamps:
    """One lamp of 60 W."""
    place = nights(Schedule(), 20.94, 106.31)
    return Lamps(keys_of(1, "lamp"), keys_of(1, "circuit"), place, np.array([60.0]), np.array([0.5]))


# noise ---------------------------------------------------------------------------------------------------------


def test_keys_and_draws_are_the_same_on_every_machine() -> None:
    """Written down once; a change of any of them changes every simulated value."""
    assert key_of(1, "lamp") == 5197081412653976981
    count = np.arange(3, dtype=np.int64)
    assert uniform(keys_of("a"), count).tolist() == [0.574659214210653, 0.22725595922969838, 0.320636993343634]
    assert normal(keys_of("a"), count).round(6).tolist() == [0.18809, -0.74831, -0.465876]
    assert wander(np.array([1.8e9]), HOUR, keys_of("a")).round(6).tolist() == [0.240704]


def test_uniform_and_normal_have_their_moments() -> None:
    count = np.arange(200_000, dtype=np.int64)
    even, bell = uniform(keys_of("m"), count), normal(keys_of("m"), count)
    assert abs(even.mean() - 0.5) < 0.003
    assert abs(even.std() - 12**-0.5) < 0.003
    assert abs(bell.mean()) < 0.01
    assert abs(bell.std() - 1.0) < 0.01


def test_wander_has_variance_one_and_the_stated_autocorrelation() -> None:
    at = np.arange(0.0, 4000 * HOUR, HOUR / 4)
    walk = np.concatenate([wander(at, HOUR, keys_of("w", number)) for number in range(4)])
    assert abs(walk.std() - 1.0) < 0.03
    for lag in (1, 4, 8):
        found = float((walk[:-lag] * walk[lag:]).mean())
        assert abs(found - np.exp(-lag / 4)) < 0.03


def test_a_moment_alone_is_the_same_as_in_a_series() -> None:
    at = np.array([START + 12345.678])
    functions: tuple[Callable[[Floats], Floats], ...] = (
        lambda t: wander(t, HOUR, REGION),
        lambda t: weather.air_temperature(t, REGION, keys_of("s")),
        lambda t: weather.rain_counter(t, REGION),
        lambda t: air.pm2_5(t, REGION, keys_of("s"), straw=1.0),
        lambda t: lamp_energy(t, lamps()),
        lambda t: on_grid(lambda mark: wander(mark, HOUR, REGION), t, 600.0),
        lambda t: flicker(t, REGION),
    )
    for function in functions:
        together = function(np.concatenate([DAYS, at, DAYS + 17.0]))
        assert function(at)[0] == together[DAYS.size]


# time ----------------------------------------------------------------------------------------------------------


def test_local_time_is_seven_hours_ahead() -> None:
    assert local_hour(np.array([START + 5400.0])).tolist() == [1.5]
    assert np.datetime64(int(local_day(np.array([START]))[0]), "D") == np.datetime64("2026-08-01")
    month, part = month_of(np.array([START - 1.0, START, START + 15.5 * DAY]))
    assert (month % 12).tolist() == [6, 7, 7]
    assert part.round(4).tolist() == [1.0, 0.0, 0.5]


def test_yearly_curve_keeps_the_monthly_means() -> None:
    means = weather.TEMPERATURE_MONTH
    at = np.arange(month_start(56 * 12), month_start(57 * 12), HOUR)
    month, _ = month_of(at)
    curve = through_year(at, knots_for(means))
    found = [float(curve[month % 12 == number].mean()) for number in range(12)]
    assert np.allclose(found, means, atol=0.06)
    assert np.abs(np.diff(curve)).max() < 0.02


@pytest.mark.parametrize("day", ["2026-01-15", "2026-04-10", "2026-06-21", "2026-10-30"])
def test_sun_agrees_with_astral_within_a_minute(day: str) -> None:
    date = dt.date.fromisoformat(day)
    zone = dt.timezone(dt.timedelta(hours=7))
    number = np.array([(date - dt.date(1970, 1, 1)).days], dtype=np.int64)
    sunset, sunrise = sunset_and_sunrise(number, 21.0, 106.25)
    place = Observer(21.0, 106.25)
    assert abs(sunset[0] - sun(place, date=date, tzinfo=zone)["sunset"].timestamp()) < 60.0
    after = date + dt.timedelta(days=1)
    assert abs(sunrise[0] - sun(place, date=after, tzinfo=zone)["sunrise"].timestamp()) < 60.0


# a simulated year ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def year() -> Mapping[str, tuple[float, float, float]]:
    return {figure.name: (figure.low, figure.found, figure.high) for figure in figures(2026, 1)}


def test_a_simulated_year_is_near_the_facts(year: Mapping[str, tuple[float, float, float]]) -> None:
    """PM2.5 by month and hour within 10 %, its autocorrelation within 0.05, tide, energy, and the rest."""
    off = {name: row for name, row in year.items() if not row[0] <= row[1] <= row[2]}
    assert off == {}
    assert len([name for name in year if name.startswith("PM2.5 median of")]) == 12
    assert {f"PM2.5 autocorrelation of the logarithm, {lag} h" for lag in (1, 3, 24)} <= set(year)


# lighting --------------------------------------------------------------------------------------------------------


def test_a_lamp_burns_from_sunset_to_sunrise_and_is_dimmed_at_ten() -> None:
    hours = START + np.array([12.0, 18.0, 19.5, 21.9, 22.1, 27.0, 30.5]) * HOUR
    assert lamps().nights.level(hours).tolist() == [0.0, 0.0, 100.0, 100.0, 50.0, 50.0, 0.0]
    power, _ = lamp_power(hours, lamps())
    assert (power[[0, 1, 6]] == 0.7).all()
    assert 57.0 < power[2] < 63.5
    assert abs((power[4] - 0.7) / (power[2] - 0.7) - 0.54) < 1e-9


@pytest.mark.parametrize(
    "wrong",
    [
        (),
        (("lamp_out", 3.0, 9.0),),
        (("day_burner", 2.4, 5.0), ("lamp_out", 8.0, 9.0)),
        (("circuit_loss", 1.8, 2.2),),
        (("lamp_out", 1.0, 6.0), ("circuit_loss", 2.8, 3.2), ("day_burner", 5.0, 8.0), ("lamp_out", 7.2, 7.4)),
    ],
)
def test_energy_is_the_integral_of_power_whatever_is_wrong(wrong: tuple[tuple[str, float, float], ...]) -> None:
    troubles = [Trouble(kind, START + begin * DAY, START + end * DAY) for kind, begin, end in wrong]
    step = 60.0
    at = np.arange(START, START + 12 * DAY, step)
    energy = lamp_energy(at, lamps(), Wrong(untangle(troubles)))
    power, _ = lamp_power(at + step / 2, lamps(), Wrong(untangle(troubles)))
    assert np.diff(energy).min() >= -1e-9
    assert abs((energy[-1] - energy[0]) / (power[:-1].sum() * step / 3.6e6) - 1.0) < 2e-3


def test_a_lamp_that_is_out_draws_standby_at_night_and_a_day_burner_full_power_at_noon() -> None:
    night, noon = START + 20 * HOUR, START + 12 * HOUR
    at = np.array([night, noon])
    out = lamp(at, lamps(), np.array([28.0]), Wrong([Trouble("lamp_out", START, START + DAY)]))
    assert out["power"].round(1).tolist() == [0.7, 0.7]
    assert out["lamp_failure"].tolist() == [1.0, 0.0]
    assert out["dimming_level"].tolist() == [100.0, 0.0]
    burns = lamp(at, lamps(), np.array([28.0]), Wrong([Trouble("day_burner", START, START + DAY)]))
    assert burns["power"][1] > 55.0
    assert burns["lamp_on"].tolist() == [1.0, 1.0]


def test_a_replaced_meter_starts_at_nothing_and_goes_on_rising() -> None:
    at = np.array([START - 1.0, START, START + 5 * DAY])
    energy = lamp_energy(at, lamps(), Wrong([Trouble("meter_replaced", START, float("inf"))]))
    assert energy[0] > 100.0
    assert energy[1] == 0.0
    assert 1.5 < energy[2] < 4.0


def test_current_power_and_power_factor_fit_together() -> None:
    found = lamp(DAYS, lamps(), np.full(DAYS.shape, 28.0))
    assert np.allclose(found["current"] * found["voltage"] * found["power_factor"], found["power"])
    assert 200.0 < found["voltage"].min() < found["voltage"].max() < 245.0


def cabinets(*troubles: Trouble) -> Cabinets:
    """Two cabinets of six lamps of 60 W each; the second lamp of the first is out, and the first has these troubles."""
    keys = np.concatenate([keys_of("c", number) for number in range(12)])
    twelve, feeders = np.ones(12), np.concatenate([keys_of("feeder", 0), keys_of("feeder", 1)])
    place = nights(Schedule(), 20.94, 106.31)
    out: dict[int, tuple[Trouble, ...]] = {1: (Trouble("lamp_out", START, START + 20 * DAY),)}
    lost = [trouble for trouble in troubles if trouble.kind == "circuit_loss"]
    if lost:
        out = {number: untangle([*out.get(number, ()), *lost]) for number in range(6)}
    wrong = {number: Wrong(one) for number, one in out.items()}
    columns = LampColumns(Lamps(keys, np.repeat(feeders, 6), place, 60.0 * twelve, 0.5 * twelve), wrong)
    count = np.array([6, 6], dtype=np.int64)
    return Cabinets(feeders, columns, np.array([0, 6], dtype=np.int64), count, REGION, {0: Wrong(troubles)})


def first(at: Floats, *troubles: Trouble) -> dict[str, Floats]:
    """What the first cabinet says."""
    return cabinet(at, np.zeros(at.size, dtype=np.int64), cabinets(*troubles))


def test_a_cabinet_is_the_sum_of_its_lamps_and_losses() -> None:
    found, columns = first(DAYS), cabinets().lamps
    lamp_sum = np.zeros(DAYS.shape)
    for number in range(6):
        one = columns.lamps.select(np.array([number], dtype=np.int64))
        lamp_sum = lamp_sum + lamp_power(DAYS, one, columns.wrong.get(number, NOTHING))[0]
    assert np.allclose(found["power"], 9.0 + 1.025 * lamp_sum, rtol=0.01)
    assert np.allclose(found["power_l1"] + found["power_l2"] + found["power_l3"], found["power"])
    burning = found["power"] > 200.0
    # The lamp that is out hangs on the second phase.
    assert (found["power_l2"][burning] < 0.6 * found["power_l1"][burning]).all()
    assert np.diff(found["energy"]).min() >= 0.0


def test_cabinets_asked_together_are_what_they_are_alone() -> None:
    theft = Trouble("theft", START, START + DAY, 300.0)
    index = np.array([1, 0, 1, 0], dtype=np.int64)
    at = START + np.array([20.0, 20.0, 21.0, 50.0]) * HOUR
    together = cabinet(at, index, cabinets(theft))
    for row in range(4):
        alone = cabinet(at[row : row + 1], index[row : row + 1], cabinets(theft))
        assert {name: value[0] for name, value in alone.items()} == {n: v[row] for n, v in together.items()}


def test_theft_shows_at_night_in_the_cabinet_only() -> None:
    night, noon = np.array([START + 20 * HOUR]), np.array([START + 12 * HOUR])
    theft = Trouble("theft", START, START + DAY, 300.0)
    more = first(night, theft)["power"] - first(night)["power"]
    assert abs(more[0] - 300.0) < 5.0
    assert first(noon, theft)["power"] == first(noon)["power"]
    day = np.array([START, START + DAY])
    gain = np.diff(first(day, theft)["energy"]) - np.diff(first(day)["energy"])
    lit = np.diff(cabinets().lamps.lamps.nights.seconds(day, "lit"))
    assert np.allclose(gain, 0.3 * lit / HOUR)


def test_a_lost_circuit_leaves_the_cabinet_its_own_consumption() -> None:
    at = START + np.arange(18.0, 30.0, 0.1) * HOUR
    lost = first(at, Trouble("circuit_loss", START, START + DAY))
    assert np.abs(lost["power"][:50] - 9.0).max() < 0.2
    assert lost["power"][-30] > 100.0
    assert np.diff(lost["energy"]).min() > 0.0


def test_a_cabinets_new_meter_starts_at_nothing() -> None:
    at = np.array([START - 1.0, START, START + 5 * DAY])
    energy = first(at, Trouble("meter_replaced", START, float("inf")))["energy"]
    assert energy[0] > 2000.0
    assert abs(energy[1]) < 1e-9
    assert 8.0 < energy[2] < 25.0


def test_overlapping_troubles_are_untangled() -> None:
    tangled = [Trouble("lamp_out", 0.0, 10.0), Trouble("circuit_loss", 4.0, 6.0), Trouble("day_burner", 5.0, 12.0)]
    tangled += [Trouble("lamp_out", 9.0, 11.0), Trouble("meter_replaced", 1.0, 2.0)]
    assert untangle(tangled) == (
        Trouble("circuit_loss", 4.0, 6.0),
        Trouble("lamp_out", 0.0, 4.0),
        Trouble("lamp_out", 6.0, 11.0),
        Trouble("day_burner", 11.0, 12.0),
        Trouble("meter_replaced", 1.0, 2.0),
    )


# water, supply, air -------------------------------------------------------------------------------------------------


def storm() -> tuple[Floats, int]:
    """Moments around a strong rain after dry days, and the place of its beginning among them."""
    at = np.arange(START, START + 60 * DAY, HOUR)
    rate = weather.rain_rate(at, REGION)
    fallen = weather.rain_counter(at, REGION)
    for place in range(72, at.size - 48):
        if (
            rate[place] == 0.0
            and fallen[place + 12] - fallen[place] > 20.0
            and fallen[place] - fallen[place - 48] < 4.0
        ):
            return at[place - 24 : place + 48], 24
    raise AssertionError("no strong rain in two months of the rainy season")


def test_rain_clouds_the_canal_dilutes_its_salts_and_takes_its_oxygen() -> None:
    at, begin = storm()
    wet = water(at, REGION, Reach(keys_of("r"), "canal"))
    dry = water(at, REGION, Reach(keys_of("r"), "canal", rain=0.0))
    after = slice(begin + 4, begin + 16)
    assert wet["turbidity"][after].max() > 3.0 * dry["turbidity"][after].max()
    assert wet["conductivity"][after].min() < 0.75 * dry["conductivity"][after].min()
    assert (wet["dissolved_oxygen"][after] < 0.9 * dry["dissolved_oxygen"][after]).all()
    assert (wet["water_level"][after] - dry["water_level"][after]).max() > 0.2


def test_rain_counter_rises_by_the_integral_of_the_rate() -> None:
    at = np.arange(START, START + 30 * DAY, 300.0)
    counter = weather.rain_counter(at, REGION)
    assert np.diff(counter).min() >= -1e-9
    assert np.isclose(counter[-1] - counter[0], weather.rain_rate(at[:-1] + 150.0, REGION).sum() / 12.0, rtol=0.01)


def test_salt_comes_up_with_the_flood_tide_of_the_dry_season_only() -> None:
    reach = Reach(keys_of("r"), "tidal", tide=0.8, salt=1.0)
    winter = np.arange(month_start(56 * 12), month_start(56 * 12 + 3), HOUR)
    summer = np.arange(month_start(56 * 12 + 6), month_start(56 * 12 + 9), HOUR)
    assert water(winter, REGION, reach)["salinity"].max() > 1.0
    assert water(summer, REGION, reach)["salinity"].max() < 0.15


def test_straw_burns_in_the_evenings_of_the_harvests() -> None:
    june = month_start(56 * 12 + 5) + 10 * DAY
    evenings = june + np.arange(19.5 * HOUR, 10 * DAY, DAY)
    assert air.straw_smoke(evenings, REGION, keys_of("s"), 1.0).max() > 100.0
    assert air.straw_smoke(evenings - 8 * HOUR, REGION, keys_of("s"), 1.0).max() < 1.0
    assert air.straw_smoke(DAYS[:1], REGION, keys_of("s"), 1.0)[0] == 0.0
    assert air.straw_smoke(np.array([june]), REGION, keys_of("s"), 0.0)[0] == 0.0


def test_particles_are_nested() -> None:
    found = air.particles(DAYS, REGION, keys_of("s"), 0.8, 0.0)
    assert (found["pm1"] < found["pm2_5"]).all()
    assert (found["pm2_5"] < found["pm10"]).all()


def test_a_leak_raises_the_night_flow_and_stays_in_the_meter() -> None:
    leak = (Trouble("leak", START + 5 * DAY, float("inf"), 2.0),)
    dry, wet = supply(DAYS, Main(keys_of("t"))), supply(DAYS, Main(keys_of("t")), leak)
    rows = (DAYS > START + 9 * DAY) & (local_hour(DAYS) < 3.0) & (local_hour(DAYS) > 1.0)
    assert np.allclose(wet["flow"][rows] - dry["flow"][rows], 2.0)
    assert (wet["pressure"] <= dry["pressure"]).all()
    lost = wet["volume"] - dry["volume"]
    # Three days of growing are worth one and a half days of the full leak.
    assert np.isclose(lost[-1], 2.0 * 24.0 * ((DAYS[-1] - START) / DAY - 5.0 - 1.5), rtol=1e-6)


def test_every_rounded_property_is_known() -> None:
    assert {"power_l1", "voltage_l2", "pm2_5", "uptime"} <= set(DECIMALS)
