"""Energy from counters that are reset, wrap or are replaced, and what it costs, weighs and saves."""

import random
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.analytics.energy import (
    HOUR,
    Step,
    cost,
    emitted,
    lamps_baseline,
    metered_baseline,
    saving,
    use,
)

DAY = date(2026, 1, 1)


def hourly(*values: float) -> list[tuple[int, float]]:
    """Readings an hour apart."""
    return [(number * HOUR, value) for number, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "modulus", "total", "steps"),
    [
        ((100.0, 101.0, 103.0), 0.0, 3.0, ()),
        ((100.0, 101.0, 0.5, 1.5), 0.0, 2.5, (Step.RESET,)),
        ((99998.0, 99999.5, 1.0, 2.0), 100000.0, 4.0, (Step.ROLLOVER,)),
        ((500.0, 501.0, 30.0, 31.0), 0.0, 2.0, (Step.REPLACED,)),
        ((500.0, 501.0, 8000.0, 8001.0), 0.0, 2.0, (Step.REPLACED,)),
        ((100.0, 101.0, 100.99, 101.0, 101.5), 0.0, 1.5, ()),
        ((0.02, 0.0, 0.0, 1.0), 0.0, 0.98, ()),
        ((5.0,), 0.0, 0.0, ()),
        ((), 0.0, 0.0, ()),
    ],
    ids=["plain", "reset", "rollover", "replaced by a lower", "replaced by a higher", "jitter", "tiny", "one", "none"],
)
def test_a_counter_is_followed_through_everything(
    values: tuple[float, ...], modulus: float, total: float, steps: tuple[Step, ...]
) -> None:
    """At most 3 kWh an hour are plausible here."""
    seen = use(hourly(*values), most_per_hour=3.0, modulus=modulus)
    assert seen.total == pytest.approx(total)
    assert seen.steps == steps


def test_a_long_silence_may_hide_much_energy() -> None:
    """What is plausible grows with the time between readings."""
    assert use([(0, 10.0), (48 * HOUR, 130.0)], most_per_hour=3.0).total == pytest.approx(120)
    assert use([(0, 10.0), (24 * HOUR, 130.0)], most_per_hour=3.0).steps == (Step.REPLACED,)


def test_repeated_and_older_readings_change_nothing() -> None:
    """Redelivery and late data."""
    points = [(0, 1.0), (2 * HOUR, 2.0), (HOUR, 1.5), (2 * HOUR, 2.0), (3 * HOUR, 3.0)]
    assert use(points, most_per_hour=3.0).total == pytest.approx(2.0)


@given(st.lists(st.floats(0, 1e6), max_size=30), st.floats(0.1, 100), st.sampled_from([0.0, 1000.0, 99999.0]))
def test_energy_is_never_negative_and_never_faster_than_plausible(
    values: list[float], most: float, modulus: float
) -> None:
    """Whatever a meter says."""
    seen = use(hourly(*values), most_per_hour=most, modulus=modulus)
    assert 0 <= seen.total <= (most * 1.1 + 0.05) * max(0, len(values) - 1) + 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_a_year_with_resets_and_a_replaced_meter_within_half_a_percent(seed: int) -> None:
    """A cabinet of some kilowatts, readings every 15 minutes, some lost; against the truth kept beside it."""
    source = random.Random(seed)
    truth, shown, points = 0.0, source.uniform(0, 99000), []
    events = {source.randrange(35040): "reset" for _ in range(3)} | {source.randrange(35040): "replaced"}
    for number in range(35040):
        hour = number / 4 % 24
        added = (3.0 if hour < 5 or hour > 18 else 0.04) / 4 * source.uniform(0.97, 1.03)
        truth += added
        shown = (shown + added) % 100000
        if events.get(number) == "reset":
            shown = 0.0
        elif events.get(number) == "replaced":
            shown = source.uniform(100, 90000)
        if source.random() > 0.05:
            points.append((number * HOUR // 4, round(shown, 2)))
    assert use(points, most_per_hour=20.0, modulus=100000.0).total == pytest.approx(truth, rel=0.005)


def test_cost_follows_the_price_of_the_day() -> None:
    """2,124 until 9 May 2025, 2,226 since; tax beside it, method in figures."""
    seen = cost({date(2025, 5, 9): 10.0, date(2025, 5, 10): 20.0})
    assert seen.vnd == 10 * 2124 + 20 * 2226
    assert seen.vnd_with_tax == pytest.approx(seen.vnd * 1.08)
    assert seen.method.en == "10.0 kWh × 2124 đ + 20.0 kWh × 2226 đ; VAT 8 %"
    assert cost({}).vnd == 0


def test_co2_follows_the_factor_of_the_year() -> None:
    """2022 has its own; 2026 has none yet and takes the newest official one, and says which."""
    seen = emitted({date(2022, 1, 1): 1000.0, DAY: 1000.0})
    assert seen.kg == pytest.approx(676.6 + 659.2)
    assert "1000.0 kWh × 0.6592 kg (2023)" in seen.method.en
    assert "1726/BĐKH-PTCBT" in seen.method.vi


def test_saving_states_baseline_method_price_and_factor() -> None:
    """60 sodium lamps of 170 W against what the cabinet metered in 30 nights of 11 hours."""
    used = {DAY + timedelta(days=n): 39.6 for n in range(30)}
    seen = saving(used, lamps_baseline(60, 170, 330))
    assert seen.kwh == pytest.approx(3366 - 1188)
    assert seen.vnd == pytest.approx((3366 - 1188) * 2226)
    assert seen.kg_co2 == pytest.approx((3366 - 1188) * 0.6592)
    assert "lamps of before: 60 × 170 W × 330.0 h" in seen.method.en
    assert "3366.0 - 1188.0 kWh" in seen.method.en
    assert "2178.0 kWh × 2226 đ" in seen.method.vi
    assert "2178.0 kWh × 0.6592 kg (2023)" in seen.method.vi


def test_using_more_than_the_baseline_is_a_negative_saving() -> None:
    """And a time without any use saves all of it."""
    assert saving({DAY: 12.0}, metered_baseline(300.0, 30, 1)).kwh == pytest.approx(-2)
    assert saving({DAY: 0.0, DAY + timedelta(days=1): 0.0}, metered_baseline(300.0, 30, 2)).vnd == pytest.approx(
        20 * 2226
    )
    with pytest.raises(ValueError, match="at least one day"):
        metered_baseline(1.0, 0, 1)
