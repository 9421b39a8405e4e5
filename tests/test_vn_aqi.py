"""VN_AQI: every example printed in Decision 1459, every breakpoint, every pattern of missing hours, and its shape."""

from fractions import Fraction
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.analytics.vn_aqi import VnAqi, eight_hour_means, needed_hours, whole

AQI = VnAqi()
COLUMNS = [name for name in AQI.tables.columns if name != "index"]

# The table as printed, typed a second time so that a slip in the data file does not agree with itself.
PRINTED = {
    "o3_1h": (0, 160, 200, 300, 400, 800, 1000, 1200),
    "o3_8h": (0, 100, 120, 170, 210, 400),
    "co": (0, 10000, 30000, 45000, 60000, 90000, 120000, 150000),
    "so2": (0, 125, 350, 550, 800, 1600, 2100, 2630),
    "no2": (0, 100, 200, 700, 1200, 2350, 3100, 3850),
    "pm10": (0, 50, 150, 250, 350, 420, 500, 600),
    "pm2_5": (0, 25, 50, 80, 150, 250, 350, 500),
}
INDEX = (0, 50, 100, 150, 200, 300, 400, 500)

# The decision's ozone example: hourly means from 18:00 of the day before to 00:00 after the day (ends of the hours).
OZONE = [
    15.7, 14.2, 17.7, 18.9, 19.3, 15.7, 19.7,
    22.6, 27.1, 29.0, 31.9, 25.3, 34.7, 35.2, 41.6, 45.7, 49.2, 55.8, 69.6,
    78.3, 91.5, 97.7, 81.2, 71.8, 43.5, 34.3, 21.5, 20.5, 19.4, 20.4, 21.3,
]  # fmt: skip
PARTICLES = [26.9, 24.7, 20.5, 23.5, 19.5, 16.5, 19.0, 16.5, 20.3, 22.4, 19.6, 20.6]


# worked examples of the decision ---------------------------------------------------------------------------------


def test_nowcast_example() -> None:
    """PM2.5 of 09:00 to 20:00: weight 0.613383, NowCast 20.2658, printed 20.3."""
    assert min(PARTICLES) / max(PARTICLES) == pytest.approx(0.613383, abs=1e-6)
    assert AQI.nowcast(PARTICLES[::-1]) == pytest.approx(20.2658, abs=5e-5)


@pytest.mark.parametrize(
    ("column", "concentration", "exact", "printed"),
    [
        ("o3_1h", 136.1, 42.53125, 43),
        ("pm2_5", 20.3, 40.6, 41),
        ("o3_8h", 89.3, 44.65, 45),
        ("o3_1h", 114.6, 35.8125, 36),
        ("no2", 130.8, 65.4, 65),
        ("pm2_5", 55.7, 109.5, 110),
    ],
)
def test_sub_index_examples(column: str, concentration: float, exact: float, printed: int) -> None:
    """The sub-indices of the hourly and of the daily example."""
    seen = AQI.sub_index(column, concentration)
    assert seen == pytest.approx(exact, abs=1e-9)
    assert whole(seen) == printed


def test_first_printing_error_no2_of_the_hourly_example() -> None:
    """NO2 118.7 gives 59.35. The decision prints 60, for it and for the station; halves up it is 59."""
    assert AQI.sub_index("no2", 118.7) == pytest.approx(59.35)
    air = AQI.hourly({"o3": [136.1], "no2": [118.7], "pm2_5": PARTICLES[::-1]})
    assert (air.value, air.pollutant) == (59, "no2")
    assert air.level is not None
    assert air.level.name.vi == "Trung bình"


def test_daily_example() -> None:
    """The station's day: 110, level Kém, because of PM2.5."""
    ozone = [89.3] * 30 + [114.6]
    ozone[23:30] = [85.7] * 7  # the mean of the last 8 hours stays below 89.3, the greatest hour is 114.6
    air = AQI.daily({"o3": ozone, "no2": [50.0] * 20 + [130.8] * 11, "pm2_5": [55.7] * 31})
    assert (air.value, air.pollutant) == (110, "pm2_5")
    assert air.level is not None
    assert (air.level.name.vi, air.level.colour) == ("Kém", "#FF7E00")
    assert {name: whole(index) for name, index in air.sub_indices.items()} == {"pm2_5": 110, "o3": 45, "no2": 65}
    assert {column: whole(index) for column, index in air.parts.items()} == {"o3_1h": 36, "o3_8h": 45}


def test_eight_hour_means_example_and_second_printing_error() -> None:
    """24 means; the twelfth is printed 44.7 and computes to 44.6."""
    printed = [
        18.0, 19.4, 21.2, 23.0, 23.8, 25.8, 28.2, 30.9, 33.8, 36.6, 39.9, 44.7,
        51.3, 58.4, 66.2, 71.1, 74.4, 73.7, 71.0, 65.0, 57.8, 48.7, 39.1, 31.6,
    ]  # fmt: skip
    seen = [mean for mean in eight_hour_means(OZONE, 0.75) if mean is not None]
    assert len(seen) == 24
    # 21.25 is printed 21.2: rounding of a half, not an error.
    differing = [n for n, mean in enumerate(seen) if abs(mean - printed[n]) > 0.05 + 1e-9]
    assert differing == [11]
    assert seen[11] == pytest.approx(44.6, abs=0.05)
    assert max(seen) == pytest.approx(74.4, abs=0.05)


# breakpoints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", COLUMNS)
def test_every_breakpoint_has_its_index(column: str) -> None:
    """At each breakpoint the printed index, just beside it the same integer, beyond the last one no more."""
    points = PRINTED[column]
    for concentration, index in zip(points, INDEX, strict=False):
        assert AQI.sub_index(column, concentration) == index
        assert AQI.sub_index(column, concentration + 1e-9) == pytest.approx(index, abs=1e-6)
        assert AQI.sub_index(column, max(0, concentration - 1e-9)) == pytest.approx(index, abs=1e-6)
    assert AQI.sub_index(column, points[-1] * 10) == INDEX[len(points) - 1]


@pytest.mark.parametrize("column", COLUMNS)
def test_middle_of_every_step_has_the_middle_index(column: str) -> None:
    """Interpolation is continuous: 25.0 and 25.1 belong to the same line, without the gaps of other countries."""
    for (low, high), (below, above) in zip(pairwise(PRINTED[column]), pairwise(INDEX), strict=False):
        assert AQI.sub_index(column, (low + high) / 2) == pytest.approx((below + above) / 2)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_impossible_concentrations_are_refused(value: float) -> None:
    """They must be left out as missing, never counted as clean air."""
    with pytest.raises(ValueError, match="cannot be"):
        AQI.sub_index("co", value)


@pytest.mark.parametrize(
    ("value", "code"),
    [(0, "good"), (50, "good"), (51, "moderate"), (100, "moderate"), (101, "poor"), (150, "poor"), (151, "bad"),
     (200, "bad"), (201, "very_bad"), (300, "very_bad"), (301, "hazardous"), (500, "hazardous")],
)  # fmt: skip
def test_levels_at_their_ends(value: int, code: str) -> None:
    """Table 1."""
    assert AQI.level(value).code == code


def test_halves_go_up() -> None:
    """PM2.5 of 0.25 is 0.5: one. 80.7 is exactly 150.5, whatever a binary fraction makes of it."""
    assert whole(AQI.sub_index("pm2_5", 0.25)) == 1
    assert whole(AQI.sub_index("pm2_5", 80.7)) == 151
    assert whole(2.5) == 3


@given(st.sampled_from(COLUMNS), st.integers(0, 20_000_000))
def test_rounding_agrees_with_exact_arithmetic(column: str, hundredths: int) -> None:
    """Concentrations with two decimals: the integer is the one fractions give."""
    concentration = Fraction(hundredths, 100)
    points = PRINTED[column]
    exact = Fraction(INDEX[len(points) - 1])
    for (low, high), (below, above) in zip(pairwise(points), pairwise(INDEX), strict=False):
        if low <= concentration <= high:
            exact = below + (above - below) * (concentration - low) / (high - low)
            break
    assert whole(AQI.sub_index(column, hundredths / 100)) == int(exact + Fraction(1, 2))


# NowCast ---------------------------------------------------------------------------------------------------------


def slow_nowcast(values: list[float | None]) -> Fraction | None:
    """The decision's words in exact fractions, written apart from the code under test."""
    if sum(1 for value in values[:3] if value is None) > 1:
        return None
    present = {i: Fraction(value) for i, value in enumerate(values) if value is not None}
    greatest = max(present.values())
    if greatest == 0:
        return Fraction(0)
    w = min(present.values()) / greatest
    w = max(Fraction(1, 2), w)
    return sum(w**i * c for i, c in present.items()) / sum(w**i for i in present)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "series",
    [
        [20.0, 22.0, 19.0, 25.0, 24.0, 30.0, 28.0, 21.0, 26.0, 23.0, 27.0, 29.0],  # weight above 1/2
        [100.0, 60.0, 40.0, 35.0, 30.0, 28.0, 25.0, 20.0, 15.0, 12.0, 11.0, 10.0],  # weight 1/2
        [0.0] * 12,
    ],
    ids=["gentle", "steep", "zero"],
)
def test_nowcast_with_every_pattern_of_missing_hours(series: list[float]) -> None:
    """All 4,096 patterns against the slow reference."""
    absent = 0
    for pattern in product((True, False), repeat=12):
        values = [value if there else None for value, there in zip(series, pattern, strict=True)]
        expected, seen = slow_nowcast(values), AQI.nowcast(values)
        if expected is None:
            absent += 1
            assert seen is None
        else:
            assert seen == pytest.approx(float(expected), rel=1e-12, abs=1e-12)
    assert absent == 4 * 2**9  # fewer than two of the three newest hours: 4 of 8 patterns


def test_nowcast_of_a_missing_hour_is_normalised() -> None:
    """100, missing, then 25: the printed formula would give 56.24, an understatement."""
    assert AQI.nowcast([100.0, None, *[25.0] * 10]) == pytest.approx(75.02, abs=0.005)
    assert AQI.nowcast([100.0, *[10.0] * 11]) == pytest.approx(55.011, abs=0.0005)


def test_nowcast_looks_at_twelve_hours_only() -> None:
    """The thirteenth value changes nothing; no values at all are no NowCast."""
    assert AQI.nowcast([*PARTICLES, 500.0]) == AQI.nowcast(PARTICLES)
    assert AQI.nowcast([]) is None
    assert AQI.nowcast([1.0]) is None


@given(st.lists(st.floats(0, 1000) | st.none(), min_size=3, max_size=12))
def test_nowcast_lies_between_least_and_greatest(values: list[float | None]) -> None:
    """A weighted mean never leaves the range of what was measured."""
    seen = AQI.nowcast(values)
    if seen is not None:
        present = [value for value in values if value is not None]
        assert min(present) * (1 - 1e-12) <= seen <= max(present) * (1 + 1e-12)


# publication -----------------------------------------------------------------------------------------------------


def test_no_index_without_particles() -> None:
    """Gases alone have sub-indices and no station index, by the hour and by the day."""
    hour = AQI.hourly({"o3": [136.1], "no2": [118.7], "so2": [10.0], "co": [500.0]})
    assert (hour.value, hour.level, hour.pollutant) == (None, None, "")
    assert set(hour.sub_indices) == {"o3", "no2", "so2", "co"}
    assert AQI.daily({"o3": [10.0] * 31}).value is None


@pytest.mark.parametrize("particles", ["pm2_5", "pm10"])
def test_one_kind_of_particles_is_enough(particles: str) -> None:
    """Either of them."""
    assert AQI.hourly({particles: [10.0, 10.0, 10.0]}).value is not None


def test_the_greatest_sub_index_decides() -> None:
    """And a pollutant whose newest hour is missing does not take part."""
    air = AQI.hourly({"pm2_5": [10.0] * 3, "co": [20000.0], "so2": [None, 800.0]})
    assert (air.value, air.pollutant) == (75, "co")
    assert "so2" not in air.sub_indices


@pytest.mark.parametrize("hours", [17, 18, 24])
def test_a_day_needs_three_quarters_of_its_hours(hours: int) -> None:
    """18 of 24; with another share, another number."""
    means = [None] * 7 + [30.0] * hours + [None] * (24 - hours)
    assert (AQI.daily({"pm10": means}).value is not None) is (hours >= 18)
    assert AQI.daily({"pm10": means}, completeness=0.5).value == 30
    assert AQI.daily({"pm10": means}, completeness=1).value == (30 if hours == 24 else None)


def test_hours_of_the_day_before_are_not_in_the_mean_of_the_day() -> None:
    """They only serve the first 8-hour means."""
    assert AQI.daily({"pm10": [600.0] * 7 + [10.0] * 24}).value == 10
    ozone = AQI.daily({"pm10": [10.0] * 31, "o3": [200.0] * 7 + [0.0] * 24})
    assert ozone.parts["o3_8h"] == AQI.sub_index("o3_8h", 175.0)
    assert ozone.parts["o3_1h"] == 0


def test_an_eight_hour_mean_above_400_is_ignored() -> None:
    """Then the 1-hour column alone counts; at 400 the 8-hour one still does."""
    above = AQI.daily({"pm10": [1.0] * 31, "o3": [401.0] * 31})
    assert above.parts == {}
    assert above.sub_indices["o3"] == AQI.sub_index("o3_1h", 401.0)
    at = AQI.daily({"pm10": [1.0] * 31, "o3": [400.0] * 31})
    assert at.parts["o3_8h"] == 300
    assert at.value == 300


@pytest.mark.parametrize(("missing", "there"), [(2, True), (3, False)])
def test_an_eight_hour_mean_needs_six_hours(missing: int, there: bool) -> None:
    """Six of eight."""
    means = eight_hour_means([None] * missing + [10.0] * (8 - missing), 0.75)
    assert means == ([10.0] if there else [None])


def test_an_impossible_day_is_refused() -> None:
    """A wrong number of hours, a share that is none."""
    with pytest.raises(ValueError, match="24 hourly means; a day needs 31"):
        AQI.daily({"pm10": [1.0] * 24})
    with pytest.raises(ValueError, match="completeness is"):
        AQI.daily({}, completeness=1.5)
    assert needed_hours(24, 0.7) == 17


# shape -----------------------------------------------------------------------------------------------------------


@given(st.sampled_from(COLUMNS), st.floats(0, 1e7), st.floats(0, 1e7))
def test_more_of_a_pollutant_is_never_a_lower_index(column: str, one: float, other: float) -> None:
    """Monotone, and between 0 and 500."""
    low, high = sorted((one, other))
    assert 0 <= AQI.sub_index(column, low) <= AQI.sub_index(column, high) <= 500


@given(st.sampled_from(COLUMNS), st.floats(0, 5000), st.floats(0, 1e-3))
def test_a_little_more_is_a_little_more_index(column: str, concentration: float, step: float) -> None:
    """Continuous: no jump anywhere. The steepest line is ozone's, 50 in 20."""
    change = AQI.sub_index(column, concentration + step) - AQI.sub_index(column, concentration)
    assert change <= 2.5 * step + 1e-9


@given(st.dictionaries(st.sampled_from([p.property for p in AQI.tables.pollutants]),
                       st.lists(st.floats(0, 1e6) | st.none(), min_size=12, max_size=12)))  # fmt: skip
def test_a_station_index_is_whole_and_in_range(means: dict[str, list[float | None]]) -> None:
    """And it is the greatest of its sub-indices, whose pollutant it names."""
    air = AQI.hourly(means)
    assert all(0 <= index <= 500 for index in air.sub_indices.values())
    if air.value is None:
        assert not {"pm2_5", "pm10"} & set(air.sub_indices)
    else:
        assert air.value == max(whole(index) for index in air.sub_indices.values())
        assert whole(air.sub_indices[air.pollutant]) == air.value
        assert air.level is not None
        assert air.level.low <= air.value <= air.level.high
