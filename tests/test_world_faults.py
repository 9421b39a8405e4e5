"""What is really wrong with lamps, feeders and meters: seen by everything that measures it, energy included."""

from itertools import pairwise

import numpy as np
import pytest

from simulators.device import Cohort
from simulators.faults import CONCERNS, WORLD
from simulators.fleet import Fleet, build
from simulators.local_time import DAY, HOUR, month_start
from simulators.noise import Floats
from simulators.scenario import ScenarioError, parse_scenario
from simulators.trouble import Trouble, dark_moments, untangle

START = month_start((2026 - 1970) * 12 + 7)
"""2026-08-01 00:00 in Viet Nam."""
EVENING = START + 20 * HOUR

PLACE = """
title_vi = "Thử"
title_en = "Test"
[interval]
lamp = 60
cabinet = 60
tap = 60
[[street]]
commune = "10642"
name = "đường thử"
cabinet = "cabinet-1"
cabinet_name = "Tủ thử"
first = 1
lamps = 6
path = [[20.99, 106.28], [20.98, 106.28]]
POWERED
[[tap]]
device = "tap-1"
commune = "10642"
name = "Điểm đo"
position = [20.98, 106.29]
"""


def fleet(*faults: str, powered: str = "always") -> Fleet:
    """Six lamps, their cabinet and a tap, with these faults."""
    place = PLACE.replace("POWERED", f'powered = "{powered}"')
    return build(
        parse_scenario(place + "".join(f"\n[[fault]]\n{one}\n" for one in faults), "test"), 1, START + 30 * DAY
    )


def cohort(of: Fleet, kind: str) -> Cohort:
    """The one of a kind."""
    (found,) = [one for one in of.cohorts if one.kind == kind]
    return found


def measured(of: Fleet, device: str, start: float, stop: float) -> tuple[Floats, dict[str, Floats]]:
    """When a device reports, and what."""
    own = cohort(of, device.partition("-")[0])
    samples = own.due(start, stop)
    samples = samples.where(samples.device == list(own.names).index(device))
    return samples.at, own.values(samples)


def between(start: float, stop: float) -> str:
    """The line of a fault that is there from ``start`` to ``stop`` hours after ``START``."""
    moments = [np.datetime64(round(START + hours * HOUR), "s").item().isoformat() + "Z" for hours in (start, stop)]
    return f"between = [{moments[0]}, {moments[1]}]"


@pytest.mark.parametrize(
    "fault",
    [
        'kind = "lamp_out"\ndevices = "lamp-002"\n' + between(22, 30),
        'kind = "lamp_cycling"\ndevices = "lamp-002"\nsize = [20, 20]\n' + between(19, 29),
        'kind = "lamp_degraded"\ndevices = "lamp-002"\nsize = [0.5, 0.5]\n' + between(21, 40),
        'kind = "day_burner"\ndevices = "lamp-002"\n' + between(28, 40),
        'kind = "day_burner"\ndevices = "cabinet-1"\n' + between(28, 40),
        'kind = "bad_voltage"\ndevices = "cabinet-1"\nsize = [30, 30]\n' + between(19, 40),
        'kind = "theft"\ndevices = "cabinet-1"\nsize = [400, 400]\n' + between(19, 40),
    ],
)
def test_energy_stays_the_sum_of_power(fault: str) -> None:
    of = fleet(fault)
    for device in ("lamp-002", "cabinet-1"):
        at, values = measured(of, device, START + 18 * HOUR, START + 42 * HOUR)
        assert np.diff(values["energy"]).min() >= 0.0
        power, gaps = values["power"], np.diff(at)
        summed = float((0.5 * (power[1:] + power[:-1]) * gaps).sum()) / 3.6e6
        assert summed == pytest.approx(float(values["energy"][-1] - values["energy"][0]), rel=0.01)


def test_a_cycling_lamp_goes_on_and_off_and_then_burns_steadily_again() -> None:
    fault = 'kind = "lamp_cycling"\ndevices = "lamp-002"\nsize = [20, 20]\n' + between(19, 24)
    at, values = measured(fleet(fault), "lamp-002", START + 18 * HOUR, START + 30 * HOUR)
    inside = (at >= START + 19 * HOUR) & (at < START + 24 * HOUR)
    flips = np.flatnonzero(np.diff(values["lamp_on"][inside]))
    assert 24 <= len(flips) <= 36
    # Half a cycle is 6 to 14 minutes; reports are one minute apart.
    assert np.diff(flips).min() >= 5
    assert np.diff(flips).max() <= 15
    assert values["lamp_on"][at > START + 24 * HOUR].min() == 0.0
    assert np.abs(np.diff(values["lamp_on"][(at > START + 24 * HOUR) & (at < START + 28 * HOUR)])).sum() == 0.0
    again = measured(fleet(fault), "lamp-002", START + 18 * HOUR, START + 30 * HOUR)[1]
    assert again["power"].tolist() == values["power"].tolist()


def test_a_degraded_lamp_draws_its_share_less_and_the_cabinet_feels_it() -> None:
    fault = 'kind = "lamp_degraded"\ndevices = "lamp-002"\nsize = [0.4, 0.4]\nalways = true'
    _, less = measured(fleet(fault), "lamp-002", EVENING, EVENING + HOUR)
    _, whole = measured(fleet(), "lamp-002", EVENING, EVENING + HOUR)
    standby = 0.7
    assert (less["power"] - standby) / (whole["power"] - standby) == pytest.approx(np.full(60, 0.6), abs=0.005)
    assert less["lamp_on"].min() == 1.0
    _, feeder = measured(fleet(fault), "cabinet-1", EVENING, EVENING + HOUR)
    _, usual = measured(fleet(), "cabinet-1", EVENING, EVENING + HOUR)
    assert float((usual["power"] - feeder["power"]).mean()) == pytest.approx(1.025 * 0.4 * 60, rel=0.06)


def test_bad_voltage_is_one_lamps_or_the_whole_circuits() -> None:
    def volts(fault: str, device: str) -> Floats:
        return measured(fleet(fault), device, EVENING, EVENING + HOUR)[1][
            "voltage_l1" if device == "cabinet-1" else "voltage"
        ]

    none = 'kind = "lost"\ndevices = "nobody"\nalways = true'
    one = 'kind = "bad_voltage"\ndevices = "lamp-003"\nsize = [-40, -40]\nalways = true'
    assert volts(one, "lamp-003") == pytest.approx(volts(none, "lamp-003") - 40.0)
    assert volts(one, "lamp-002").tolist() == volts(none, "lamp-002").tolist()
    assert volts(one, "cabinet-1").tolist() == volts(none, "cabinet-1").tolist()
    every = 'kind = "bad_voltage"\ndevices = "cabinet-1"\nsize = [25, 25]\nalways = true'
    for device in ("lamp-002", "lamp-006", "cabinet-1"):
        assert volts(every, device) == pytest.approx(volts(none, device) + 25.0)


@pytest.mark.parametrize("powered", ["always", "with_circuit"])
def test_a_contactor_that_sticks_lets_a_whole_circuit_burn_by_day(powered: str) -> None:
    noon = START + 12 * HOUR
    of = fleet('kind = "day_burner"\ndevices = "cabinet-1"\nalways = true', powered=powered)
    for device in ("lamp-001", "lamp-006"):
        at, values = measured(of, device, noon, noon + HOUR)
        assert len(at) == 60
        assert values["power"].min() > 55.0
    assert measured(of, "cabinet-1", noon, noon + HOUR)[1]["power"].min() > 6 * 55.0


def test_on_a_feeder_that_is_dead_by_day_no_single_lamp_burns() -> None:
    noon = START + 12 * HOUR
    of = fleet('kind = "day_burner"\ndevices = "lamp-*"\nalways = true', powered="with_circuit")
    assert len(measured(of, "lamp-001", noon, noon + HOUR)[0]) == 0
    assert measured(of, "cabinet-1", noon, noon + HOUR)[1]["power"].max() < 20.0


@pytest.mark.parametrize(("device", "counter"), [("lamp-002", "energy"), ("cabinet-1", "energy"), ("tap-1", "volume")])
def test_a_replaced_meter_starts_at_nothing_and_counts_what_the_old_one_would_have(device: str, counter: str) -> None:
    fault = f'kind = "meter_replaced"\ndevices = "{device}"\n{between(20, 21)}'
    at, new = measured(fleet(fault), device, START + 19 * HOUR, START + 24 * HOUR)
    _, old = measured(fleet(), device, START + 19 * HOUR, START + 24 * HOUR)
    before = at < START + 20 * HOUR
    assert new[counter][before].tolist() == old[counter][before].tolist()
    first = int(np.flatnonzero(~before)[0])
    assert 0.0 <= new[counter][first] < 0.5
    assert np.diff(new[counter][first:]) == pytest.approx(np.diff(old[counter][first:]), abs=0.0011)


def test_reports_name_what_is_really_wrong_when_they_are_made() -> None:
    of = fleet(
        'kind = "lamp_out"\ndevices = "lamp-002"\n' + between(20, 21),
        'kind = "bad_voltage"\ndevices = "cabinet-1"\nsize = [25, 25]\n' + between(20.5, 22),
    )
    lamps = cohort(of, "lamp")
    samples = lamps.due(START + 19 * HOUR, START + 23 * HOUR)
    kinds = lamps.kinds(samples)
    said: dict[str, dict[tuple[str, ...], int]] = {}
    for row, device in enumerate(samples.device.tolist()):
        counts = said.setdefault(lamps.names[device], {})
        counts[kinds.get(row, ())] = counts.get(kinds.get(row, ()), 0) + 1
    assert said["lamp-001"] == {(): 150, ("bad_voltage",): 90}
    assert said["lamp-002"] == {(): 120, ("lamp_out",): 30, ("lamp_out", "bad_voltage"): 30, ("bad_voltage",): 60}


def test_a_lamps_fault_does_not_happen_to_a_tap() -> None:
    of = fleet(*(f'kind = "{kind}"\ndevices = "*"\nalways = true' for kind in ("lamp_out", "day_burner")))
    assert not cohort(of, "tap").troubles
    assert set(cohort(of, "cabinet").troubles) == {0}
    assert set(CONCERNS) <= WORLD


def test_troubles_do_not_overlap_and_keep_their_sizes() -> None:
    found = untangle(
        [
            Trouble("lamp_degraded", 0.0, 100.0, 0.4),
            Trouble("lamp_degraded", 50.0, 120.0, 0.6),
            Trouble("lamp_out", 20.0, 30.0, 5.0),
            Trouble("theft", 0.0, 10.0, 150.0),
            Trouble("theft", 5.0, 20.0, 250.0),
        ]
    )
    assert found == (
        Trouble("lamp_out", 20.0, 30.0),
        Trouble("lamp_degraded", 0.0, 20.0, 0.4),
        Trouble("lamp_degraded", 30.0, 100.0, 0.4),
        Trouble("lamp_degraded", 100.0, 120.0, 0.6),
        Trouble("theft", 0.0, 10.0, 150.0),
        Trouble("theft", 10.0, 20.0, 250.0),
    )


def test_times_out_of_a_cycling_lamp_lie_within_its_spell() -> None:
    whole = (Trouble("lamp_cycling", 1000.0, 1000.0 + 10 * HOUR, 15.0),)
    found = dark_moments(whole, np.array([7], dtype=np.uint64))
    assert 30 <= len(found) <= 50
    assert found[0].start > 1000.0
    assert found[-1].stop <= 1000.0 + 10 * HOUR
    assert all(one.stop < after.start for one, after in pairwise(found))
    other = (Trouble("theft", 0.0, 1.0, 9.0),)
    assert dark_moments(other, np.array([7], dtype=np.uint64)) is other


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ('kind = "lamp_cycling"\ndevices = "*"\nsize = [20, 20]\nalways = true', "use between or every_days"),
        ('kind = "lamp_cycling"\ndevices = "*"\nevery_days = 3', "takes the minutes"),
        ('kind = "lamp_degraded"\ndevices = "*"\nevery_days = 3', "share of its power"),
        ('kind = "bad_voltage"\ndevices = "*"\nevery_days = 3\nsize = [0, 500]', "takes volts"),
        ('kind = "theft"\ndevices = "*"\nevery_days = 3\nsize = [0, 500]', "more than 0"),
    ],
)
def test_sizes_that_cannot_be_are_said(fault: str, words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        fleet(fault)
