"""VN_WQI: every row and step of its tables, its formula, its publication rule, and the labelled partial value."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.analytics.vn_wqi import LaboratoryResult, VnWqi, completed

WQI = VnWqi()

# The decision's table typed a second time: concentration and sub-index of each column, and what lies beyond.
# (first sub-index below the first concentration, ((concentration, q at it), ...), sub-index above the last)
PRINTED: dict[str, tuple[float, tuple[tuple[float, float], ...], float]] = {
    "bod5": (100, ((4, 100), (6, 75), (15, 50), (25, 25), (50, 10)), 10),
    "cod": (100, ((10, 100), (15, 75), (30, 50), (50, 25), (150, 10)), 10),
    "toc": (100, ((4, 100), (6, 75), (15, 50), (25, 25), (50, 10)), 10),
    "ammonium_nitrogen": (100, ((0.3, 75), (0.6, 50), (0.9, 25), (5, 10)), 10),
    "nitrate_nitrogen": (100, ((2, 100), (5, 75), (10, 50), (15, 25)), 10),
    "nitrite_nitrogen": (100, ((0.05, 100),), 10),
    "phosphate_phosphorus": (100, ((0.1, 100), (0.2, 75), (0.3, 50), (0.5, 25), (4, 10)), 10),
    "coliform": (100, ((2500, 100), (5000, 75), (7500, 50), (10000, 25)), 10),
    "e_coli": (100, ((20, 100), (50, 75), (100, 50), (200, 25)), 10),
    "arsenic": (100, ((0.01, 100), (0.02, 75), (0.05, 50), (0.1, 25)), 10),
    "cadmium": (100, ((0.005, 75), (0.008, 50), (0.01, 25), (0.1, 10)), 10),
    "lead": (100, ((0.02, 75), (0.04, 50), (0.05, 25), (0.5, 10)), 10),
    "chromium_vi": (100, ((0.01, 100), (0.02, 75), (0.04, 50), (0.05, 25), (0.1, 10)), 10),
    "copper": (100, ((0.1, 100), (0.2, 75), (0.5, 50), (1.0, 25), (2, 10)), 10),
    "zinc": (100, ((0.5, 100), (1.0, 75), (1.5, 50), (2.0, 25), (3, 10)), 10),
    "mercury": (100, ((0.001, 75), (0.0015, 50), (0.002, 25), (0.01, 10)), 10),
    "aldrin": (100, ((0.1, 100),), 10),
    "bhc": (100, ((0.02, 100),), 10),
    "dieldrin": (100, ((0.1, 100),), 10),
    "ddts": (100, ((1.0, 100),), 10),
    "heptachlor": (100, ((0.2, 100),), 10),
    "ph": (10, ((5.5, 50), (6, 100), (8.5, 100), (9, 50)), 10),
    "oxygen_saturation": (
        10,
        ((20, 25), (50, 50), (75, 75), (88, 100), (112, 100), (125, 75), (150, 50), (200, 25)),
        10,
    ),
}
STEPS = {
    # parameter: (last concentration before the step, q there, q just beyond)
    "ammonium_nitrogen": ("below", 0.3, 100, 75),
    "cadmium": ("below", 0.005, 100, 75),
    "lead": ("below", 0.02, 100, 75),
    "mercury": ("below", 0.001, 100, 75),
    "nitrate_nitrogen": ("above", 15, 25, 10),
    "coliform": ("above", 10000, 25, 10),
    "e_coli": ("above", 200, 25, 10),
    "arsenic": ("above", 0.1, 25, 10),
    "nitrite_nitrogen": ("above", 0.05, 100, 10),
    "aldrin": ("above", 0.1, 100, 10),
    "bhc": ("above", 0.02, 100, 10),
    "dieldrin": ("above", 0.1, 100, 10),
    "ddts": ("above", 1.0, 100, 10),
    "heptachlor": ("above", 0.2, 100, 10),
}
CLEAN = {"ph": 7.0, "oxygen_saturation": 100.0, "ammonium_nitrogen": 0.1, "nitrate_nitrogen": 1.0}


def test_the_tables_are_complete() -> None:
    """Every parameter of the data file is checked below, and none is missing there."""
    assert {parameter.property for parameter in WQI.tables.parameters} == set(PRINTED)
    groups = {parameter.property: parameter.group for parameter in WQI.tables.parameters}
    assert [name for name, group in groups.items() if group == "V"] == ["coliform", "e_coli"]
    assert sum(group == "II" for group in groups.values()) == 5
    assert sum(group == "III" for group in groups.values()) == 7
    assert sum(group == "IV" for group in groups.values()) == 8


@pytest.mark.parametrize("parameter", PRINTED)
def test_every_row_of_the_tables(parameter: str) -> None:
    """At each concentration its sub-index, halfway between two the middle, beyond the ends the outer ones."""
    below, points, above = PRINTED[parameter]
    for concentration, q in points:
        assert WQI.sub_index(parameter, concentration) == q
    for (low, q_low), (high, q_high) in pairwise(points):
        assert WQI.sub_index(parameter, (low + high) / 2) == pytest.approx((q_low + q_high) / 2)
    assert WQI.sub_index(parameter, math.nextafter(points[0][0], 0)) == below
    assert WQI.sub_index(parameter, math.nextafter(points[-1][0], math.inf)) == above
    assert WQI.sub_index(parameter, 0) == below
    assert WQI.sub_index(parameter, min(points[-1][0] * 1000, 14) if parameter == "ph" else 1e9) == above


@pytest.mark.parametrize("parameter", STEPS)
def test_the_steps_of_the_law(parameter: str) -> None:
    """Where the law jumps, the limit itself is on the printed side."""
    side, at, before, after = STEPS[parameter]
    assert WQI.sub_index(parameter, at) == (after if side == "below" else before)
    beside = math.nextafter(at, 0) if side == "below" else math.nextafter(at, math.inf)
    assert WQI.sub_index(parameter, beside) == (before if side == "below" else after)


def test_only_those_parameters_have_steps() -> None:
    """Everywhere else the sub-index moves with the concentration."""
    for name, (below, points, above) in PRINTED.items():
        jumps = [abs(below - points[0][1]), abs(above - points[-1][1])]
        if name not in STEPS and name not in {"ph", "oxygen_saturation"}:
            assert jumps == [0, 0], name


@given(st.sampled_from([name for name in PRINTED if name not in {"ph", "oxygen_saturation"}]),
       st.floats(0, 20000), st.floats(0, 20000))  # fmt: skip
def test_dirtier_water_is_never_a_higher_sub_index(parameter: str, one: float, other: float) -> None:
    """Monotone, and between 10 and 100."""
    low, high = sorted((one, other))
    assert 100 >= WQI.sub_index(parameter, low) >= WQI.sub_index(parameter, high) >= 10


@pytest.mark.parametrize(("temperature", "saturated"), [(15, 10.03), (20, 9.02), (25, 8.18), (30, 7.44), (35, 6.75)])
def test_oxygen_at_saturation(temperature: float, saturated: float) -> None:
    """The formula's values at five temperatures [mg/L]."""
    percent = WQI.saturation(saturated, temperature)
    assert percent is not None
    assert percent == pytest.approx(100, abs=0.1)


def test_oxygen_needs_a_temperature() -> None:
    """Without it, or outside the formula, there is no sub-index; a saturation the probe reports serves then."""
    assert WQI.saturation(8, -1) is None
    assert WQI.saturation(8, 46) is None
    assert "oxygen_saturation" not in WQI.judge({"dissolved_oxygen": 5.0}).sub_indices
    assert WQI.judge({"dissolved_oxygen": 5.0, "oxygen_saturation": 75.0}).sub_indices == {"oxygen_saturation": 75}
    both = WQI.judge({"dissolved_oxygen": 4.0, "water_temperature": 25.0, "oxygen_saturation": 100.0})
    assert both.sub_indices["oxygen_saturation"] == pytest.approx(48.9 / 100 * 100, abs=0.3)


def test_the_formula_with_microbes() -> None:
    """(I/100)(II/100)(III/100) times the root of IV times V, groups II and III by geometric mean."""
    sample = {
        "ph": 5.75, "oxygen_saturation": 75.0, "bod5": 15.0, "cod": 30.0,
        "arsenic": 0.05, "lead": 0.01, "aldrin": 0.2, "bhc": 0.01, "coliform": 7500.0, "e_coli": 20.0,
    }  # fmt: skip
    water = WQI.judge(sample)
    one, two, three = 75.0, math.sqrt(10 * 100), math.sqrt(50 * 100)
    four, five = (75 + 50 + 50) / 3, (50 + 100) / 2
    assert water.groups == pytest.approx({"I": one, "II": two, "III": three, "IV": four, "V": five})
    expected = one / 100 * two / 100 * three / 100 * math.sqrt(four * five)
    assert water.value == math.floor(expected + 0.5) == 11
    assert water.level is not None
    assert water.level.name.vi == "Kém"
    assert (water.partial, water.why_not) == (None, ())


def test_the_formula_without_microbes() -> None:
    """Group IV alone is the last factor."""
    water = WQI.judge({**CLEAN, "copper": 0.5})
    assert water.groups == {"I": 100, "III": 50, "IV": 100}
    assert (water.value, water.why_not) == (50, ())


def test_a_sensor_station_gets_no_official_index() -> None:
    """pH, oxygen, ammonium, nitrate are two groups of three: sub-indices and a labelled partial value."""
    water = WQI.judge({**CLEAN, "ph": 5.75, "ammonium_nitrogen": 0.6, "conductivity": 400.0, "turbidity": 50.0})
    assert (water.value, water.level) == (None, None)
    assert water.sub_indices == {"ph": 75, "oxygen_saturation": 100, "ammonium_nitrogen": 50, "nitrate_nitrogen": 100}
    assert water.partial == pytest.approx(0.75 * 250 / 3)
    assert [text.en for text in water.why_not] == ["2 groups of parameters (I, IV), 3 are needed"]
    assert WQI.tables.label.vi == "chỉ số một phần, không phải VN_WQI"


@pytest.mark.parametrize(
    ("sample", "official", "reasons"),
    [
        ({**CLEAN, "coliform": 100.0}, True, []),
        ({**CLEAN, "zinc": 0.1}, True, []),
        ({"ph": 7.0, "zinc": 0.1, "coliform": 100.0}, False, ["group IV has 0 parameters, 3 are needed"]),
        (
            {"ph": 7.0, "bod5": 1.0, "cod": 1.0, "coliform": 1.0},
            False,
            ["group IV has 2 parameters, 3 are needed"],
        ),
        (
            {"ph": 7.0, "bod5": 1.0, "cod": 1.0, "dissolved_oxygen": 8.0, "coliform": 1.0},
            False,
            [
                "group IV has 2 parameters, 3 are needed",
                "dissolved oxygen (mg/L) cannot be used without the water temperature",
            ],
        ),
        ({}, False, ["0 groups of parameters (-), 3 are needed", "group IV has 0 parameters, 3 are needed"]),
    ],
)  # fmt: skip
def test_the_publication_rule(sample: dict[str, float], official: bool, reasons: list[str]) -> None:
    """Three groups, IV among them with three parameters; every reason against is named."""
    water = WQI.judge(sample)
    assert (water.value is not None) is official
    assert [text.en for text in water.why_not] == reasons
    assert all(text.vi for text in water.why_not)


def test_no_partial_value_without_group_iv() -> None:
    """There would be nothing to multiply."""
    assert WQI.judge({"ph": 7.0, "coliform": 1.0}).partial is None


@pytest.mark.parametrize(
    ("value", "code"),
    [(100, "excellent"), (91, "excellent"), (90, "good"), (76, "good"), (75, "fair"), (51, "fair"), (50, "poor"),
     (26, "poor"), (25, "very_poor"), (10, "very_poor"), (9, "severe"), (0, "severe")],
)  # fmt: skip
def test_levels_at_their_ends(value: int, code: str) -> None:
    """Table of levels."""
    assert WQI.level(value).code == code


@pytest.mark.parametrize(
    "sample", [{"ph": 14.1}, {"bod5": -1.0}, {"cod": math.inf}, {"dissolved_oxygen": math.nan}, {"coliform": -0.01}]
)
def test_impossible_concentrations_are_refused(sample: dict[str, float]) -> None:
    """They must be left out, never counted as clean water."""
    with pytest.raises(ValueError, match="cannot be"):
        WQI.judge(sample)


def test_laboratory_results_complete_what_sensors_measure() -> None:
    """The newest valid result of each parameter; what a sensor measures goes first."""
    results = [
        LaboratoryResult("coliform", 9000.0, 100, 1000),
        LaboratoryResult("coliform", 100.0, 200, 1000),
        LaboratoryResult("coliform", 1.0, 600, 1000),
        LaboratoryResult("bod5", 3.0, 100, 500),
        LaboratoryResult("ph", 2.0, 100, 1000),
    ]
    assert completed(CLEAN, results, 400) == {**CLEAN, "coliform": 100.0, "bod5": 3.0}
    assert completed(CLEAN, results, 500) == {**CLEAN, "coliform": 100.0}
    assert completed(CLEAN, results, 1000) == CLEAN
    assert WQI.judge(completed(CLEAN, results, 400)).value == 100


@given(
    st.dictionaries(st.sampled_from([name for name in PRINTED if name != "ph"]), st.floats(0, 1e5)), st.floats(0, 14)
)
def test_an_index_is_whole_and_in_range(sample: dict[str, float], ph: float) -> None:
    """Official or partial, it is between 0 and 100 and has the level of its value."""
    water = WQI.judge({**sample, "ph": ph})
    assert (water.value is None) == bool(water.why_not)
    if water.value is not None:
        assert water.level is not None
        assert 0 <= water.level.low <= water.value <= water.level.high <= 100
    if water.partial is not None:
        assert 0 < water.partial <= 100 + 1e-9
