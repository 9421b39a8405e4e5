"""What the scores of the alerts are measured against: causes that could be seen, each once."""

from gateway.analytics.windows import HOUR
from simulators.faults import MEANING
from simulators.scenario import parse_scenario
from tests.alert_months import SCENARIO, START
from tests.alert_scores import Score, Standing, standing, table
from tests.alert_truth import NS, Planted, _air_spells, joined, unheard

BEGIN = int(START)
FIRST = BEGIN // 3600


def spells(index: list[float]) -> list[tuple[int, int, bool]]:
    """The spells of bad air in hours of PM10 that give this index: first hour, hour after the last, must be found."""
    # From 101 to 200 the index rises by 1 for every 2 ug/m3 above 150.
    means: list[float | None] = [150.0 + 2.0 * (value - 100.0) for value in index]
    found = _air_spells("air-1", FIRST, len(means), {"no2": [0.0] * len(means), "pm10": means}, BEGIN)
    return [
        ((one.start // HOUR) - FIRST, (one.stop // HOUR) - FIRST, one.visible)
        for one in found
        if one.kind == "index bad"
    ]


def test_bad_air_with_a_dip_is_one_cause_or_two() -> None:
    """Steady for half a day each time, so that the NowCast is the mean; 20 points below the level end it surely."""
    bad, dip, good = [170.0] * 14, [138.0] * 14, [110.0] * 14
    assert [visible for *_, visible in spells(good + bad + good)] == [True]
    assert [visible for *_, visible in spells(good + bad + dip + bad + good)] == [True, False]
    assert [visible for *_, visible in spells(good + bad + good + bad + good)] == [True, True]


def test_what_a_silent_station_cannot_say_need_not_be_found() -> None:
    """Nor what it says in another unit; what is wrong elsewhere hides nothing."""
    low = Planted("oxygen_low", "river-1", 10 * HOUR, 14 * HOUR, True)
    for kind, place, start, seen in (
        ("silent", "river-1", 13, False), ("wrong_unit", "river-1", 9, False), ("silent", "river-2", 13, True),
        ("silent", "river-1", 14, True), ("drift", "river-1", 11, True),
    ):  # fmt: skip
        beside = Planted(kind, place, start * HOUR, (start + 2) * HOUR, True)
        assert unheard(low, [beside]).visible is seen, (kind, place, start)


def test_spells_that_touch_are_one_cause() -> None:
    """Ten minutes between them hold two reports: then it is two."""
    minute = 60 * NS
    one, two, three = (
        Planted("silent", "tap-1", a * minute, b * minute, True) for a, b in [(0, 60), (70, 90), (101, 200)]
    )
    assert [(s.start // minute, s.stop // minute) for s in joined([three, one, two])] == [(0, 90), (101, 200)]


def test_nothing_was_told_is_no_full_score() -> None:
    """A planted kind that never happens, or is never told, scores 0 and is named."""
    line = table({"theft": Score(0, 0, 0, 0)})[1]
    assert line.split() == ["theft", "0", "0", "0", "0", "0", "0.000", "0.000", "below", "0.95"]
    assert table({"theft": Score(20, 19, 21, 20, 1)})[1].split()[-2:] == ["0.952", "0.950"]
    assert table({"theft": Score(20, 19, 21, 20, 1)})[2] == (
        "notifications 21: 20 causes told, 1 told again, 0 without a cause"
    )


def test_every_kind_of_fault_that_the_simulator_knows_is_planted() -> None:
    """What is not planted could not be missed."""
    assert {fault.kind for fault in parse_scenario(SCENARIO, "alert_scenario").fault} == set(MEANING)


def test_no_change_is_no_standing_alert() -> None:
    """Nothing stands where nothing fired."""
    assert standing([]) == list[Standing]()
