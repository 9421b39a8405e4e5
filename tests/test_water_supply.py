"""Leaks by night flow, and times out of band."""

import math
import random

import pytest
from pydantic import ValidationError

from devices.standards import shipped
from devices.water_supply_tables import Night
from gateway.analytics.water_supply import HOUR, LeakWatch, NightFlow, spells

RULE = shipped().water_supply.night
MINUTE = HOUR // 60


def network(local_hour: int, source: random.Random, leak: float = 0.0, size: float = 10.0) -> float:
    """Flow of a village [m3/h]: a fifth of the mean at night, peaks in the morning and in the evening."""
    hour = local_hour % 24
    shape = 0.2 if 1 <= hour < 4 else 1.6 if hour in (5, 6, 7, 17, 18, 19) else 0.9
    return size * shape * source.uniform(0.85, 1.15) + leak


def run(days: int, leaks: dict[int, float], seed: int, watch: LeakWatch | None = None) -> list[NightFlow]:
    """Every night's judgement; ``leaks`` is what leaks from that day on [m3/h]."""
    watch, source = watch or LeakWatch(), random.Random(seed)
    seen, leak = [], 0.0
    for number in range(days * 24):
        leak = leaks.get(number // 24, leak) if number % 24 == 0 else leak
        flow = network(number, source, leak)
        if source.random() < 0.02:
            continue
        judged = watch.hour("s", (number - 7) * HOUR, flow)
        if judged is not None:
            seen.append(judged)
    return seen


@pytest.mark.parametrize("seed", range(10))
def test_a_tight_network_has_no_leak_in_three_months(seed: int) -> None:
    """One judgement a night, none of them a leak."""
    seen = run(90, {}, seed)
    assert len(seen) >= 85
    assert not any(night.leaks for night in seen)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("size", "nights"), [(1.2, 2), (3.0, 1)])
def test_a_leak_is_found_within_nights_and_ends_when_mended(seed: int, size: float, nights: int) -> None:
    """1.2 m3/h on a night flow of 2 need two nights, a burst one."""
    seen = run(60, {30: size, 40: 0.0}, seed)
    leaking = [night.night for night in seen if night.leaks]
    assert 30 <= leaking[0] < 30 + nights + 1
    assert leaking[-1] == 39
    assert leaking == [night.night for night in seen if leaking[0] <= night.night <= 39]


def test_a_leak_that_grows_slowly_is_found() -> None:
    """Three percent of the usual night flow more each night: before it has doubled."""
    seen = run(90, {day: 0.06 * (day - 30) for day in range(30, 90)}, 4)
    first = next(night for night in seen if night.leaks)
    assert 35 < first.night < 62


def test_a_leak_that_was_there_from_the_start_shows_as_share_of_the_day() -> None:
    """The night is hardly lower than the day: known from the second night on."""
    seen = run(8, {0: 60.0}, 1)
    assert next(night.night for night in seen if night.leaks) == 2
    assert all(night.usual is None for night in seen)


def test_little_water_is_no_leak() -> None:
    """A tap left open in a hamlet: many times the usual, yet next to nothing."""
    watch = LeakWatch()
    for day in range(40):
        for hour in range(24):
            flow = 0.01 if day < 30 else 0.15
            judged = watch.hour("s", (day * 24 + hour - 7) * HOUR, flow)
            assert judged is None or not judged.leaks


def test_late_and_repeated_hours_are_passed_over() -> None:
    """A night is judged once, and without its small hours not at all."""
    watch = LeakWatch()
    assert watch.hour("s", (27 - 7) * HOUR, 2.0) is not None
    assert watch.hour("s", (27 - 7) * HOUR, 9.0) is None
    assert watch.hour("s", (26 - 7) * HOUR, 9.0) is None
    assert watch.hour("s", (28 - 7) * HOUR, 9.0) is None
    assert watch.hour("s", (57 - 7) * HOUR, 9.0) is None
    assert watch.stations["s"].judged == 2


def test_state_is_plain_data() -> None:
    """A watch that takes the state over goes on as if it had never stopped."""
    one, two = LeakWatch(), LeakWatch()
    run(20, {}, 5, one)
    two.stations = dict(one.stations)
    assert two.hour("s", (24 * 20 + 3 - 7) * HOUR, 9.0) == one.hour("s", (24 * 20 + 3 - 7) * HOUR, 9.0)


@pytest.mark.parametrize(
    "wrong", [{"to_hour": 1}, {"ended_ratio": 1.5}, {"learning_nights": 30}, {"usual_quantile": 2.0}]
)
def test_impossible_thresholds_are_refused(wrong: dict[str, float]) -> None:
    """Before anything is judged by them."""
    with pytest.raises(ValidationError):
        Night.model_validate({**RULE.model_dump(), **wrong})


def minutes(*values: float) -> list[tuple[int, float]]:
    """Readings five minutes apart."""
    return [(number * 5 * MINUTE, value) for number, value in enumerate(values)]


def test_spells_out_of_band() -> None:
    """Chlorine below 0.2 for ten minutes, above 1.0 at the end; the ends of the band are in it."""
    seen = spells(minutes(0.5, 0.19, 0.1, 0.2, 1.0, 1.1, 1.2), 0.2, 1.0, HOUR)
    assert [(spell.side, spell.minutes, spell.worst) for spell in seen] == [("low", 10.0, 0.1), ("high", 5.0, 1.2)]


def test_a_spell_does_not_bridge_a_silence_or_change_sides() -> None:
    """Nothing is known in between; from too low straight to too high are two spells."""
    points = [(0, 0.1), (5 * MINUTE, 0.1), (90 * MINUTE, 0.1), (95 * MINUTE, 2.0)]
    seen = spells(points, 0.2, 1.0, HOUR)
    assert [(spell.start, spell.stop) for spell in seen] == [
        (0, 5 * MINUTE),
        (90 * MINUTE, 95 * MINUTE),
        (95 * MINUTE, 95 * MINUTE),
    ]
    assert spells(minutes(0.9, 0.8), 1.0, None, HOUR)[0].side == "low"
    assert spells(minutes(math.inf), None, 1.0, HOUR)[0].side == "high"
    assert spells([], 0.0, 1.0, HOUR) == []
