"""Faults of lamps and circuits, inferred from power and time alone: each kind found, none invented."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.lighting_tables import Schedule, Switching
from devices.standard_data import Text
from devices.standards import shipped
from gateway.analytics.circuits import Circuits, Theft
from gateway.analytics.lighting import Fault, LampBank, Reports
from gateway.analytics.packed import dump, load
from gateway.analytics.sun import MINUTE, Plan, expected

DETECT = shipped().lighting.detect
BY_SUN = Switching(sun="sunset", minutes=10), Switching(sun="sunrise", minutes=-10)
VIETNAM = timezone(timedelta(hours=7))
PLAN = Plan(Schedule(code="x", name=Text(vi="x", en="x"), on=BY_SUN[0], off=BY_SUN[1]), 20.94, 106.31, VIETNAM)
NIGHT, HOUR = 24 * 60 * MINUTE, 60 * MINUTE
EVERY = 5 * MINUTE


def at(text: str) -> int:
    """Nanoseconds of a Vietnamese clock time."""
    return int(datetime.fromisoformat(text + "+07:00").timestamp()) * 1_000_000_000


FIRST_NOON = at("2026-01-10T12:00")


def burns(moment: int) -> bool:
    """Whether the schedule wants light at that moment, to the second."""
    return bool(expected([PLAN], np.zeros(1, np.int32), np.array([moment]), 0)[0][0] == 1)


class Street:
    """Some lamps and the bank that watches them."""

    def __init__(self, lamps: int = 1, every: int = EVERY, share: float = 0.0) -> None:
        self.bank = LampBank(np.full(lamps, every), DETECT, share)
        self.every = every
        self.now = FIRST_NOON
        self.seen: list[tuple[int, int, Fault, bool]] = []
        """When, which lamp, which fault, began or ended."""

    def report(self, moment: int, power: list[float], level: float = np.nan, volts: float = 220.0) -> None:
        """One report of every lamp; a power of NaN is a lamp that stays silent."""
        watts = np.array(power)
        slot = np.flatnonzero(~np.isnan(watts))
        count = len(slot)
        reports = Reports(slot, np.full(count, moment), watts[slot], np.full(count, level), np.full(count, volts))
        should, scheduled = expected([PLAN], np.zeros(count, np.int32), reports.at, 30 * MINUTE)
        changes = self.bank.step(reports, should, scheduled)
        for lamp, before, after in zip(*(column.tolist() for column in changes), strict=True):
            for fault in Fault:
                if (before ^ after) & fault:
                    self.seen.append((moment, lamp, fault, bool(after & fault)))

    def run(self, until: int, power: Callable[[int], float | list[float]], volts: float = 220.0) -> None:
        """Reports until a moment; ``power`` says what the lamps draw then."""
        while self.now < until:
            drawn = power(self.now)
            self.report(self.now, drawn if isinstance(drawn, list) else [drawn], volts=volts)
            self.now += self.every

    def begun(self) -> list[Fault]:
        """Faults that began, in order."""
        return [fault for _, _, fault, began in self.seen if began]


def healthy(moment: int) -> float:
    """A 70 W lamp by the schedule, with standby by day."""
    return 70.0 if burns(moment) else 0.6


def test_a_healthy_lamp_has_no_fault() -> None:
    """Also where it switches twenty minutes off the schedule, at both ends."""
    for shift in (-20 * MINUTE, 0, 20 * MINUTE):
        street = Street(every=15 * MINUTE)
        street.run(FIRST_NOON + 6 * NIGHT, lambda moment, shift=shift: healthy(moment + shift))  # type: ignore[misc]
        assert street.seen == []
        assert street.bank.nominal[0] == 70


def test_a_lamp_that_goes_out_is_found_after_half_an_hour_and_again_when_it_burns() -> None:
    """One fault, from the first dark report on; the day in between changes nothing."""
    out, mended = at("2026-01-12T21:02"), at("2026-01-14T19:31")
    street = Street()
    street.run(FIRST_NOON + 5 * NIGHT, lambda moment: 0.6 if out <= moment < mended else healthy(moment))
    assert [(fault, began) for _, _, fault, began in street.seen] == [(Fault.OUT, True), (Fault.OUT, False)]
    (begun, *_), (ended, *_) = street.seen
    assert out + 30 * MINUTE <= begun <= out + 40 * MINUTE
    assert mended <= ended < mended + EVERY


def test_a_lamp_dark_for_a_quarter_of_an_hour_is_not_out() -> None:
    """Nor is one whose dark minutes are the last of the night."""
    street = Street()
    out = at("2026-01-12T21:00")
    street.run(FIRST_NOON + 3 * NIGHT, lambda moment: 0.6 if 0 <= moment - out < 25 * MINUTE else healthy(moment))
    late = at("2026-01-14T05:35")
    street.run(FIRST_NOON + 5 * NIGHT, lambda moment: 0.6 if late <= moment < late + 60 * MINUTE else healthy(moment))
    assert street.seen == []


def test_a_day_burner_is_found_and_ends_when_it_is_dark() -> None:
    """Burning on after sunrise; at night it does what it should, so the fault stays until it is seen dark."""
    start, mended = at("2026-01-13T09:00"), at("2026-01-15T10:00")
    street = Street()
    street.run(FIRST_NOON + 6 * NIGHT, lambda moment: 70.0 if start <= moment < mended else healthy(moment))
    assert [(fault, began) for _, _, fault, began in street.seen] == [
        (Fault.DAY_BURNER, True),
        (Fault.DAY_BURNER, False),
    ]
    assert start + 30 * MINUTE <= street.seen[0][0] <= start + 40 * MINUTE
    assert street.seen[1][0] == mended


@pytest.mark.parametrize("every", [5 * MINUTE, 15 * MINUTE])
def test_a_cycling_lamp_is_cycling_and_not_out(every: int) -> None:
    """Dark at every other report, whole nights long: one fault, which ends three steady hours after the last flip."""
    source = np.random.default_rng(1)
    start, mended = at("2026-01-12T20:00"), at("2026-01-14T20:00")
    street = Street(every=every)

    def power(moment: int) -> float:
        faulty = start <= moment < mended and source.random() < 0.5
        return 0.6 if faulty else healthy(moment)

    street.run(FIRST_NOON + 5 * NIGHT, power)
    assert [(fault, began) for _, _, fault, began in street.seen] == [(Fault.CYCLING, True), (Fault.CYCLING, False)]
    assert street.seen[0][0] < start + 3 * HOUR
    assert mended + HOUR < street.seen[1][0] < mended + 4 * HOUR


def test_a_degraded_lamp_draws_a_third_less() -> None:
    """Found after two hours below three quarters of its own power; a new lamp ends it."""
    street = Street()
    failing, mended = at("2026-01-13T20:00"), at("2026-01-15T15:00")
    street.run(
        FIRST_NOON + 7 * NIGHT,
        lambda moment: healthy(moment) * (0.65 if failing <= moment < mended else 1.0),
    )
    assert [(fault, began) for _, _, fault, began in street.seen] == [(Fault.DEGRADED, True), (Fault.DEGRADED, False)]
    assert failing + 2 * HOUR <= street.seen[0][0] <= failing + 2 * HOUR + 2 * EVERY


def test_dimming_is_not_degrading() -> None:
    """A lamp that reports its level is compared with itself at the same level only."""
    street = Street()
    while street.now < FIRST_NOON + 3 * NIGHT:
        hour = (street.now // HOUR + 7) % 24
        level = 40.0 if hour >= 22 or hour < 5 else 100.0
        drawn = healthy(street.now)
        street.report(street.now, [drawn * (0.1 + 0.9 * level / 100) if drawn > 1 else drawn], level=level)
        street.now += EVERY
    assert street.seen == []
    assert street.bank.nominal_level[0] == 100


def dimmed_at_22(street: Street, until: int, share: Callable[[int], float]) -> None:
    """A lamp that is dimmed to 40 % at 22:00, and draws this share of what it should."""
    while street.now < until:
        hour = (street.now // HOUR + 7) % 24
        level = 40.0 if hour >= 22 or hour < 5 else 100.0
        drawn = healthy(street.now)
        drawn *= (0.1 + 0.9 * level / 100) * share(street.now) if drawn > 1 else 1.0
        street.report(street.now, [drawn], level=level)
        street.now += EVERY


def test_a_dimmed_lamp_that_degrades_is_found_the_same_night() -> None:
    """It is compared with what it draws when it is dimmed, learnt in nights before; mended before the next evening."""
    street = Street()
    failing, mended = at("2026-01-14T23:00"), at("2026-01-15T04:00")
    dimmed_at_22(street, FIRST_NOON + 7 * NIGHT, lambda moment: 0.6 if failing <= moment < mended else 1.0)
    assert [(fault, began) for _, _, fault, began in street.seen] == [(Fault.DEGRADED, True), (Fault.DEGRADED, False)]
    assert failing + 2 * HOUR <= street.seen[0][0] <= failing + 2 * HOUR + 2 * EVERY
    assert mended <= street.seen[1][0] <= mended + EVERY


def test_a_lamp_that_was_never_sound_when_dimmed_is_told_once() -> None:
    """Degraded from its first night's dimming on: the lower power is not learnt as its own after an evening of it."""
    street = Street()
    failing, mended = at("2026-01-10T22:00"), at("2026-01-14T15:00")
    dimmed_at_22(street, FIRST_NOON + 8 * NIGHT, lambda moment: 0.6 if failing <= moment < mended else 1.0)
    assert [(fault, began) for _, _, fault, began in street.seen] == [(Fault.DEGRADED, True), (Fault.DEGRADED, False)]
    assert at("2026-01-11T17:30") < street.seen[0][0] < at("2026-01-11T20:30")
    assert street.seen[1][0] > mended


def test_a_stronger_lamp_is_another_lamp_and_a_weaker_one_can_be_told() -> None:
    """After six reports the bank knows the new power; after ``relearn`` a weaker lamp is as good as new."""
    street = Street()
    stronger, weaker = FIRST_NOON + 2 * NIGHT, FIRST_NOON + 4 * NIGHT

    def power(moment: int) -> float:
        return healthy(moment) * (1.0 if moment < stronger else 1.5 if moment < weaker else 0.9)

    street.run(weaker, power)
    assert street.seen == []
    assert street.bank.nominal[0] == pytest.approx(105)
    street.run(weaker + NIGHT, power)
    assert street.begun() == [Fault.DEGRADED]
    street.bank.relearn(0)
    street.run(weaker + 3 * NIGHT, power)
    assert street.begun() == [Fault.DEGRADED]
    assert street.bank.nominal[0] == pytest.approx(63)


@pytest.mark.parametrize(
    ("volts", "found"), [(197.0, True), (198.0, False), (242.0, False), (243.0, True), (60.0, False)]
)
def test_voltage_out_of_band(volts: float, found: bool) -> None:
    """Half an hour beyond 198 to 242 V; a dead phase is no low voltage."""
    street = Street()
    street.run(FIRST_NOON + 8 * HOUR, healthy, volts=volts)
    assert street.begun() == ([Fault.VOLTAGE] if found else [])
    street.run(FIRST_NOON + 9 * HOUR, healthy, volts=200.0 if volts < 220 else 240.0)  # within the hysteresis
    assert bool(street.bank.faults[0] & Fault.VOLTAGE) is found
    street.run(FIRST_NOON + 10 * HOUR, healthy)
    assert street.bank.faults[0] == 0


def test_two_reports_are_needed_however_rare_they_are() -> None:
    """A lamp that reports every two hours is not out after one dark report."""
    street = Street(every=2 * HOUR)
    out = at("2026-01-12T21:00")
    street.run(FIRST_NOON + 4 * NIGHT, lambda moment: 0.0 if moment >= out else healthy(moment))
    assert street.begun() == [Fault.OUT]
    assert street.seen[0][0] == at("2026-01-13T00:00")


def test_older_reports_change_nothing() -> None:
    """Late data is for the record, not for what is wrong now."""
    street = Street()
    street.run(at("2026-01-12T23:00"), healthy)
    before = dump(street.bank.columns())
    for minutes in range(0, 120, 5):
        street.report(at("2026-01-12T20:00") + minutes * MINUTE, [0.0], volts=100.0)
    assert dump(street.bank.columns()) == before


def test_kilowatts_sent_as_watts_are_not_believed_while_the_own_power_is_learnt_anew() -> None:
    """A stronger lamp is learnt anew at 22:00 and told in another unit since 22:20; a week later that is how it is."""
    street = Street()
    stronger, wrong = at("2026-01-12T21:30"), at("2026-01-12T22:20")
    street.run(wrong, lambda moment: healthy(moment) * (1.3 if moment >= stronger else 1.0))
    assert 0 < street.bank.learned[0] < DETECT.learning_reports
    street.run(wrong + 6 * NIGHT, lambda moment: healthy(moment) * 1300.0)
    assert (street.bank.last_at[0], street.seen) == (wrong - EVERY, [])
    assert street.bank.nominal[0] == pytest.approx(91.0)
    street.run(wrong + 8 * NIGHT, lambda moment: healthy(moment) * 1300.0)
    assert street.bank.nominal[0] == pytest.approx(91_000.0)


def test_a_new_cabinet_is_believed_by_what_hangs_on_it() -> None:
    """Ten lamps of 70 W: 20 kW may be lamps that nobody registered, 700 kW are another unit."""
    street = Street(2)
    street.bank.connected[:] = 700.0
    reports = Reports(np.arange(2), np.full(2, FIRST_NOON), np.array([20e3, 700e3]), *np.full((2, 2), np.nan))
    assert street.bank.is_credible(reports).tolist() == [True, False]


def test_burning_hours() -> None:
    """Ten nights: as long as the schedule says, to the reporting interval."""
    street = Street(every=15 * MINUTE)
    street.run(FIRST_NOON + 10 * NIGHT, healthy)
    nights = [PLAN.night(PLAN.night_number(FIRST_NOON) + number).changes for number in range(10)]
    scheduled = sum(int(changes[-1] - changes[0]) for changes in nights)
    assert street.bank.burnt[0] == pytest.approx(scheduled, abs=10 * 15 * MINUTE)


def test_a_silent_week_is_no_burning() -> None:
    """Nothing is made up over a gap."""
    street = Street()
    street.report(at("2026-01-12T21:00"), [70.0])
    street.report(at("2026-01-19T21:00"), [70.0])
    assert street.bank.burnt[0] == 0


def copy(old: LampBank, new: LampBank) -> None:
    """What a snapshot does."""
    load(new.columns(), dump(old.columns()), np.arange(1), np.arange(1))


def test_state_survives_a_restart() -> None:
    """The fault that was found before is not found again."""
    street = Street()
    street.run(at("2026-01-12T23:00"), lambda moment: 0.0 if moment > at("2026-01-12T20:00") else healthy(moment))
    assert street.begun() == [Fault.OUT]
    again = Street()
    copy(street.bank, again.bank)
    again.now = street.now
    again.run(street.now + 2 * HOUR, lambda _: 0.0)
    assert again.seen == []
    with pytest.raises(KeyError):
        load(again.bank.columns(), {}, np.arange(1), np.arange(1))


@given(
    st.lists(st.tuples(st.integers(0, 400), st.floats(0, 300), st.floats(0, 300) | st.just(float("nan"))), max_size=60)
)
@settings(max_examples=10, deadline=None)
def test_many_lamps_at_a_step_are_as_one_by_one(reports: list[tuple[int, float, float]]) -> None:
    """A lamp's faults do not depend on who else reports in the same step."""
    alone, crowd = Street(1), Street(3)
    for minutes, power, volts in reports:
        moment = FIRST_NOON + minutes * 5 * MINUTE
        alone.report(moment, [power], volts=volts)
        crowd.report(moment, [0.0, power, 500.0], volts=volts)
    one, two = alone.bank, crowd.bank
    assert one.faults[0] == two.faults[1]
    assert (one.last_at[0], one.burnt[0], one.nominal[0]) == (two.last_at[1], two.burnt[1], two.nominal[1])


# circuits --------------------------------------------------------------------------------------------------------


class District:
    """Two circuits of ten lamps, and one lamp of none."""

    def __init__(self) -> None:
        self.street = Street(21)
        group = np.array([0] * 10 + [1] * 10 + [-1])
        self.circuits = Circuits(group, 2, DETECT)
        self.silent = np.zeros(21, np.bool_)
        self.due = np.ones(21, np.bool_)

    def run(self, until: int, power: Callable[[int], Iterator[float]]) -> tuple[list[bool], list[bool], list[bool]]:
        """Reports until a moment, then the faults of both circuits."""
        while self.street.now < until:
            drawn = [
                watts if not quiet else np.nan for watts, quiet in zip(power(self.street.now), self.silent, strict=True)
            ]
            self.street.report(self.street.now, drawn)
            self.street.now += EVERY
        faults = self.circuits.judge(self.street.bank, self.silent, self.due)
        return faults.out.tolist(), faults.day_burner.tolist(), faults.voltage.tolist()


def everywhere(moment: int) -> Iterator[float]:
    """All 21 lamps are healthy."""
    return iter([healthy(moment)] * 21)


NONE, FIRST, SECOND = [False, False], [True, False], [False, True]


def test_a_silent_circuit_is_one_fault() -> None:
    """All ten lamps of the first; eight would do, seven would not; back when half of them are."""
    district = District()
    assert district.run(at("2026-01-12T21:00"), everywhere)[0] == NONE
    for count, expected_fault in [(7, NONE), (8, FIRST), (10, FIRST), (6, FIRST), (4, NONE)]:
        district.silent[:] = False
        district.silent[:count] = True
        assert district.run(district.street.now + EVERY, everywhere)[0] == expected_fault, count


def test_a_circuit_that_is_cut_by_day_is_not_out() -> None:
    """Its lamps are not due then. A circuit that was out before stays out until its lamps are due again."""
    district = District()
    district.silent[:10] = True
    district.due[:10] = False
    assert district.run(at("2026-01-12T11:00"), everywhere)[0] == NONE
    district.due[:] = True
    assert district.run(at("2026-01-12T21:00"), everywhere)[0] == FIRST
    district.due[:10] = False
    assert district.run(at("2026-01-13T11:00"), everywhere)[0] == FIRST
    district.due[:], district.silent[:] = True, False
    assert district.run(at("2026-01-13T21:00"), everywhere)[0] == NONE


def test_a_dark_circuit_is_one_fault_once_the_first_lamp_is_out_for_long_enough() -> None:
    """Controllers that live on while the lamps are dark: not before half an hour, then all at once."""
    district = District()
    cut = at("2026-01-12T21:00")

    def power(moment: int) -> Iterator[float]:
        return iter([0.5 if moment >= cut and number >= 10 else healthy(moment) for number in range(21)])

    assert district.run(cut + 20 * MINUTE, power)[0] == NONE
    assert district.run(cut + 45 * MINUTE, power)[0] == SECOND


def test_a_contactor_that_sticks_is_one_fault() -> None:
    """The whole circuit burns on by day; a single day burner is not the circuit."""
    district = District()

    def power(moment: int) -> Iterator[float]:
        return iter([70.0 if number < 11 else healthy(moment) for number in range(21)])

    assert district.run(at("2026-01-13T09:00"), power)[1] == FIRST


@pytest.mark.parametrize(("burning", "expected_fault"), [(4, NONE), (5, FIRST)])
def test_lamps_that_are_broken_do_not_burn_with_a_contactor_that_sticks(
    burning: int, expected_fault: list[bool]
) -> None:
    """Half of those that can be heard are the circuit: no five lamps burn by day for themselves at once."""
    district = District()

    def power(moment: int) -> Iterator[float]:
        return iter([70.0 if number < burning else healthy(moment) for number in range(21)])

    assert district.run(at("2026-01-13T09:00"), power)[1] == expected_fault


def test_a_bad_feeder_is_one_fault() -> None:
    """Voltage out of band at all lamps of a circuit."""
    district = District()
    district.run(at("2026-01-12T21:00"), everywhere)
    bank = district.street.bank
    bank.volts[:10] = 190.0
    bank.since[Fault.VOLTAGE][:10] = at("2026-01-12T20:00")
    assert district.circuits.judge(bank, district.silent, district.due).voltage.tolist() == NONE
    bank.faults[3] |= Fault.VOLTAGE
    assert district.circuits.judge(bank, district.silent, district.due).voltage.tolist() == FIRST


# theft -----------------------------------------------------------------------------------------------------------


def test_theft_is_what_the_cabinet_meters_beyond_its_lamps_and_the_usual() -> None:
    """A shop's 60 W have always been there; 300 W more for an hour are theft, until they are gone for an hour."""
    theft, source = Theft(2, DETECT), np.random.default_rng(3)
    moment, seen = 0, []
    for phase, stolen in enumerate([0.0, 300.0, 0.0]):
        for _ in range(60):
            lamps = 2000.0 + source.normal(0, 10)
            theft.step(1, moment, lamps * 1.03 + 60 + stolen + source.normal(0, 15), lamps, lit=True)
            moment += EVERY
            seen.append((phase, theft.stolen(1)))
    begun = [number for number, (_, found) in enumerate(seen) if found]
    assert begun[0] == 60 + 12
    assert [phase for phase, found in seen if found] == [1] * 48 + [2] * 12
    assert not theft.stolen(0)


def test_a_slow_thief_does_not_become_usual() -> None:
    """Weeks of theft stay theft; by day it is judged apart from the night."""
    theft = Theft(1, DETECT)
    for number in range(400):
        theft.step(0, number * EVERY, 2060.0, 2000.0, lit=True)
        theft.step(0, number * EVERY, 40.0, 40.0, lit=False)
    for number in range(400, 6000):
        excess = theft.step(0, number * EVERY, 2460.0, 2000.0, lit=True)
    assert theft.stolen(0)
    assert excess.watts == pytest.approx(400, abs=1)
    assert excess.limit == 200


def test_a_load_taken_off_becomes_usual_soon() -> None:
    """Otherwise a new load of the same size would go unseen for months."""
    theft = Theft(1, DETECT)
    for number in range(200):
        theft.step(0, number * EVERY, 2360.0, 2000.0, lit=True)
    for number in range(200, 320):
        theft.step(0, number * EVERY, 2060.0, 2000.0, lit=True)
    assert theft.usual[0, 1] == pytest.approx(0, abs=5)
    other = Theft(2, DETECT)
    load(other.columns(), dump(theft.columns()), np.array([1]), np.array([0]))
    assert other.usual[1].tolist() == theft.usual[0].tolist()
