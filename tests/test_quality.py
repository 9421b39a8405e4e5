"""Flags of single values, what a line says of them, and what the state remembers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.line.pipeline import Pipeline
from gateway.model import Uplink
from tests.line_parts import MINUTE, NOW, SECOND, STEADY, lines_of, make_pipeline, make_registry, profile_of, up

GOOD, SUSPECT, FAIL = 1, 3, 4


def report(payload: dict[str, object], at: int = NOW, device: str = "water-1") -> Uplink:
    """Values as measured at the moment they are received."""
    return up(payload, device, at=at)


def flags_of(line: Pipeline, name: str, values: list[tuple[float, int]], device: str = "water-1") -> list[int]:
    """The flags of values of one property at these times."""
    found = []
    for value, at in values:
        (text,) = lines_of(line, report({name: value}, at, device))
        fields = dict(pair.split("=") for pair in text.split(" ")[1].split(","))
        assert fields.get(f"{name}_quality", "1") == fields["quality"]
        found.append(int(fields["quality"]))
    return found


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        (5, GOOD),
        (40, GOOD),
        (4.99, SUSPECT),
        (40.01, SUSPECT),
        (-5, SUSPECT),
        (60, SUSPECT),
        (-5.1, FAIL),
        (60.1, FAIL),
    ],
)
def test_range_of_the_vocabulary(value: float, flag: int) -> None:
    """Outside what is ordinary is suspect, outside what is possible failed; both are stored."""
    assert flags_of(make_pipeline(), "water_temperature", [(value, NOW)]) == [flag]


@pytest.mark.parametrize(("value", "flag"), [(400, GOOD), (400.1, SUSPECT), (1000, SUSPECT), (1000.5, FAIL)])
def test_narrower_range_of_the_profile(value: float, flag: int) -> None:
    """A street lamp of 20 kW is possible for the vocabulary, not for this controller."""
    assert flags_of(make_pipeline(), "power", [(value, NOW)], "lamp-1") == [flag]


@pytest.mark.parametrize(
    ("change", "seconds", "flag"),
    [(1.0, 60, GOOD), (1.1, 60, SUSPECT), (-1.1, 60, SUSPECT), (5.0, 300, GOOD), (5.1, 300, SUSPECT),
     (1.0, 1, GOOD), (1.1, 1, SUSPECT)],
)  # fmt: skip
def test_change_faster_than_plausible_is_suspect(change: float, seconds: int, flag: int) -> None:
    """One degree a minute; values closer than a minute count as a minute apart."""
    values = [(20.0, NOW), (20.0 + change, NOW + seconds * SECOND)]
    assert flags_of(make_pipeline(), "water_temperature", values) == [GOOD, flag]


def test_change_from_a_failed_value_is_not_judged() -> None:
    """The way back to sense is no jump."""
    values = [(20.0, NOW), (99.0, NOW + MINUTE), (20.5, NOW + 2 * MINUTE)]
    assert flags_of(make_pipeline(), "water_temperature", values) == [GOOD, FAIL, GOOD]


def test_value_that_stays_jumped_is_good_again() -> None:
    """A step is suspect once."""
    values = [(20.0, NOW), (30.0, NOW + MINUTE), (30.1, NOW + 2 * MINUTE)]
    assert flags_of(make_pipeline(), "water_temperature", values) == [GOOD, SUSPECT, GOOD]


def test_stuck_sensor_is_suspect_at_the_declared_number_of_equal_values() -> None:
    """Twelve for dissolved oxygen; one other value, and the count begins anew."""
    values = [8.1] * 13 + [8.2] + [8.1] * 12
    flags = flags_of(make_pipeline(), "dissolved_oxygen", [(v, NOW + n * MINUTE) for n, v in enumerate(values)])
    assert flags == [GOOD] * 11 + [SUSPECT] * 2 + [GOOD] * 12 + [SUSPECT]


def test_equal_values_are_normal_where_the_profile_does_not_say_otherwise() -> None:
    """A lamp that is off has 0 W all day."""
    assert flags_of(make_pipeline(), "power", [(0.0, NOW + n) for n in range(40)], "lamp-1") == [GOOD] * 40


def test_line_says_the_worst_and_each() -> None:
    """Good lines have no flags of single properties, others have all of them."""
    line = make_pipeline()
    tags, each = "commune=10642,device=water-1", "water_temperature_quality=1,ph_quality=3,dissolved_oxygen_quality=4"
    payload: dict[str, object] = {"water_temperature": 20.5, "ph": 4, "dissolved_oxygen": 60, "battery": 50}
    assert lines_of(line, report(payload), report({"water_temperature": 20.5, "ph": 7}, NOW + 10 * MINUTE)) == [
        f"water_quality,{tags} water_temperature=20.5,ph=4.0,dissolved_oxygen=60.0,quality=4,clock=1,{each} {NOW}",
        f"device,{tags} battery=50.0,quality=1,clock=1 {NOW}",
        f"water_quality,{tags} water_temperature=20.5,ph=7.0,quality=1,clock=1 {NOW + 10 * MINUTE}",
    ]


def test_late_value_is_judged_by_range_alone() -> None:
    """What came after it is judged already, and is not judged by it."""
    line = make_pipeline()
    values = [(20.0, NOW), (30.0, NOW - MINUTE), (61.0, NOW - MINUTE), (20.5, NOW + MINUTE)]
    assert flags_of(line, "water_temperature", values) == [GOOD, GOOD, FAIL, GOOD]
    assert line.state.latest(line.registry.first_series[2]) == (20.5, NOW + MINUTE, GOOD)


def test_value_of_the_same_time_replaces_the_latest() -> None:
    """Judged by range, not as a jump: it corrects."""
    line = make_pipeline()
    assert flags_of(line, "water_temperature", [(20.0, NOW), (30.0, NOW)]) == [GOOD, GOOD]
    assert line.state.latest(line.registry.first_series[2]) == (30.0, NOW, GOOD)


LIMITS = """domain = "streetlight"
codec = "native"
interval_seconds = 60
[[properties]]
name = "power"
unit = "W"
low = -50
high = 50
plausible_low = -10
plausible_high = 10
rate = 5
flat_after = 4
"""


@STEADY
@given(st.lists(st.tuples(st.sampled_from([-60.0, -20.0, 0.0, 3.0, 9.0, 20.0, 60.0]), st.integers(0, 9)), min_size=1))
def test_latest_is_the_last_of_the_newest(values: list[tuple[float, int]]) -> None:
    """In whatever order values come, with whatever flags: 1, 3 or 4, by range at least."""
    line = make_pipeline(make_registry([{"device": "d", "profile": "test", "commune": "10642"}], [profile_of(LIMITS)]))
    flags = flags_of(line, "power", [(value, NOW + minute * MINUTE) for value, minute in values], "d")
    for (value, _), flag in zip(values, flags, strict=True):
        if abs(value) > 10:
            assert flag == (FAIL if abs(value) > 50 else SUSPECT)
        else:
            assert flag in {GOOD, SUSPECT}
    newest = max(minute for _, minute in values)
    number = max(n for n, (_, minute) in enumerate(values) if minute == newest)
    assert line.state.latest(0) == (values[number][0], NOW + newest * MINUTE, flags[number])
