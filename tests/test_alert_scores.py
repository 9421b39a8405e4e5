"""Alerts find what the simulator planted, say it once, and say little else; energy agrees with the simulator's."""

import numpy as np
import pytest

from gateway.analytics.energy import Step, use
from simulators.fleet import build
from simulators.scenario import parse_scenario
from tests import alert_months, alert_scores

DAYS = 9


def test_planted_faults_are_found_and_told_once() -> None:
    """A small run of what ``python -m tests.alert_scores`` does; the claim of ten seeds and months is made by that."""
    made = alert_months.fleet(5, DAYS, communes=1)
    room, changes = alert_months.run(made, DAYS, step=900.0)
    scores = alert_scores.score(room, changes, alert_scores.truth(made, room, DAYS))
    faults = sum(one.faults for one in scores.values())
    told = sum(one.told for one in scores.values())
    assert faults > 10
    assert sum(one.found for one in scores.values()) >= 0.95 * faults
    assert sum(one.right for one in scores.values()) >= 0.95 * told


SCENARIO = """
title_vi = "Một năm điện năng"
title_en = "A year of energy"

[interval]
cabinet = 900

[spread]
communes = ["10642"]
cabinets = 1
lamps = 20
"""
REPLACED = """
[[fault]]
kind = "meter_replaced"
devices = "*-cabinet-*"
every_days = 150
"""


def counters(text: str, lost: float) -> list[tuple[int, float]]:
    """A year of the cabinet's counter, with lost uplinks."""
    start = alert_months.START
    made = build(parse_scenario(text, "energy"), 7, start + 366 * 86400)
    cabinet = next(cohort for cohort in made.cohorts if cohort.kind == "cabinet")
    samples = cabinet.due(start, start + 365 * 86400)
    shown = np.round(cabinet.values(samples)["energy"], 2)
    kept = np.random.default_rng(1).random(len(shown)) >= lost
    kept[[0, -1]] = True
    at = np.round(samples.at * 1000).astype(np.int64) * 1_000_000
    return list(zip(at[kept].tolist(), shown[kept].tolist(), strict=True))


def test_a_simulated_year_of_energy_with_replaced_meters_agrees_within_half_a_percent() -> None:
    """The simulator's own counter that nobody replaced is the truth; 5 % of the uplinks are lost."""
    truth = counters(SCENARIO, 0.0)
    seen = use(counters(SCENARIO + REPLACED, 0.05), most_per_hour=20.0)
    assert len(seen.steps) >= 2
    assert set(seen.steps) <= {Step.RESET, Step.REPLACED}
    assert seen.total == pytest.approx(truth[-1][1] - truth[0][1], rel=0.005)
