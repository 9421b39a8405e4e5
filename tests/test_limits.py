"""Limits: each with the averaging period of the law, on the day it is in force."""

from datetime import date

import pytest

from gateway.analytics.limits import Limits, Period

LIMITS = Limits()
DAY = date(2026, 6, 1)


@pytest.mark.parametrize("name", ["pm2_5", "pm10"])
def test_an_hour_of_particles_breaks_no_limit(name: str) -> None:
    """The law has none: not for one hour and not for eight, however dirty the air."""
    assert LIMITS.air_hour({name: [5000.0] * 8}, DAY) == []


@pytest.mark.parametrize(
    ("name", "period", "limit"),
    [("so2", "hour", 350), ("co", "hour", 30000), ("co", "eight_hours", 10000), ("no2", "hour", 200),
     ("o3", "hour", 200), ("o3", "eight_hours", 120), ("tsp", "hour", 300), ("nh3", "hour", 200), ("h2s", "hour", 42)],
)  # fmt: skip
def test_a_limit_is_broken_above_it_and_not_at_it(name: str, period: Period, limit: float) -> None:
    """Every short limit of the table, with a steady concentration."""
    for factor, exceeded in [(1.0, False), (1.0001, True), (0.5, False)]:
        verdicts = {v.period: v for v in LIMITS.air_hour({name: [limit * factor] * 8}, DAY)}
        assert verdicts[period].limit == limit
        assert verdicts[period].exceeded is exceeded


def test_a_mean_of_eight_hours_needs_six() -> None:
    """And one bad hour alone does not break it."""
    assert [v.period for v in LIMITS.air_hour({"co": [1.0, *[None] * 3]}, DAY)] == ["hour"]
    assert [v.period for v in LIMITS.air_hour({"co": [1.0] * 5}, DAY)] == ["hour"]
    (eight,) = LIMITS.air_hour({"co": [None, 20000.0, *[1000.0] * 5]}, DAY)
    assert (eight.period, eight.exceeded) == ("eight_hours", False)
    assert eight.mean == pytest.approx(25000 / 6)
    assert LIMITS.air_hour({"co": []}, DAY) == []


@pytest.mark.parametrize(
    ("day", "mean", "exceeded"),
    [(date(2025, 12, 31), 50.0, False), (date(2025, 12, 31), 50.1, True), (date(2026, 1, 1), 45.0, False),
     (date(2026, 1, 1), 45.1, True), (date(2026, 1, 1), 50.0, True)],
)  # fmt: skip
def test_the_day_of_fine_particles_is_stricter_since_2026(day: date, mean: float, exceeded: bool) -> None:
    """45 instead of 50."""
    (verdict,) = LIMITS.air_day({"pm2_5": [mean] * 24}, day)
    assert (verdict.period, verdict.exceeded) == ("day", exceeded)


def test_a_day_needs_18_hours() -> None:
    """Fewer say nothing; a list that is no day is refused."""
    assert LIMITS.air_day({"pm10": [500.0] * 17 + [None] * 7}, DAY) == []
    assert LIMITS.air_day({"pm10": [500.0] * 18 + [None] * 6}, DAY)[0].exceeded
    assert LIMITS.air_day({"o3": [500.0] * 24}, DAY) == []  # ozone has no daily limit
    with pytest.raises(ValueError, match="a day has 24"):
        LIMITS.air_day({"pm10": [1.0] * 23}, DAY)


def test_a_year_needs_three_quarters_of_its_hours() -> None:
    """6,570 of 8,760."""
    assert LIMITS.air_year("pm2_5", 26.0 * 6569, 6569, 2026) == []
    (verdict,) = LIMITS.air_year("pm2_5", 26.0 * 6570, 6570, 2026)
    assert verdict.mean == pytest.approx(26)
    assert (verdict.limit, verdict.exceeded) == (25, True)
    assert LIMITS.air_year("co", 1.0 * 8760, 8760, 2026) == []


@pytest.mark.parametrize(
    ("sample", "klass", "deciding"),
    [
        ({"ph": 7.0, "dissolved_oxygen": 6.5, "bod5": 3.0}, "A", ()),
        ({"ph": 6.2, "dissolved_oxygen": 6.5}, "B", ("ph",)),
        ({"dissolved_oxygen": 5.5, "bod5": 5.0}, "B", ("bod5", "dissolved_oxygen")),
        ({"dissolved_oxygen": 4.0}, "C", ("dissolved_oxygen",)),
        ({"dissolved_oxygen": 3.9, "ph": 7.0}, "D", ("dissolved_oxygen",)),
        ({"coliform": 7501.0}, "D", ("coliform",)),
        ({"tss": 150.0}, "C", ("tss",)),
        ({"conductivity": 5000.0, "turbidity": 900.0}, None, ()),
    ],
)
def test_class_of_a_river_sample(sample: dict[str, float], klass: str | None, deciding: tuple[str, ...]) -> None:
    """The best class that every measured value keeps, and what keeps it from a better one."""
    verdict = LIMITS.water_class(sample, "river")
    assert (verdict.klass, verdict.deciding) == (klass, deciding)
    assert set(verdict.compared) <= set(sample)


def test_a_lake_below_class_b_has_no_class() -> None:
    """The lower rows of that table were not read: nothing is made up."""
    assert LIMITS.water_class({"tss": 15.0}, "lake").klass == "B"
    verdict = LIMITS.water_class({"tss": 16.0}, "lake")
    assert (verdict.klass, verdict.deciding) == (None, ("tss",))


def test_broken_limits_of_a_sample() -> None:
    """Those of the class, and those for human health; ammonium has only the latter."""
    sample = {"ph": 9.0, "cod": 15.0, "ammonium_nitrogen": 0.31, "chloride": 250.0, "unknown": 1.0}
    assert [limit.property for limit in LIMITS.water_exceeded(sample, "river", "B")] == ["ph", "ammonium_nitrogen"]


def test_tap_water() -> None:
    """Chlorine has two ends; coliform below 3, since mid 2025 below 1."""
    assert [x.property for x in LIMITS.tap_exceeded({"residual_chlorine": 0.19, "supply_ph": 7.0}, DAY)] == [
        "residual_chlorine"
    ]
    assert LIMITS.tap_exceeded({"residual_chlorine": 1.0, "supply_turbidity": 2.0}, DAY) == []
    assert LIMITS.tap_exceeded({"coliform": 2.0}, date(2025, 6, 30)) == []
    assert len(LIMITS.tap_exceeded({"coliform": 2.0}, date(2025, 7, 1))) == 1
