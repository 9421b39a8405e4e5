"""Sun times against published ones, and when a lamp of a schedule should burn."""

from datetime import UTC, date, datetime, time, timedelta, timezone

import numpy as np
import pytest
from pydantic import ValidationError

from devices.lighting_tables import DimmingStep, Lighting, Schedule, Switching
from devices.standard_data import Text
from devices.standards import shipped
from gateway.analytics.sun import DARK, EITHER, LIT, MINUTE, SECOND, Plan, expected, sun_times

VIETNAM = timezone(timedelta(hours=7))
COMMUNE = (20.94, 106.31)
NAME = Text(vi="x", en="x")

# Answers of OpenWeather's current-weather API for Hanoi (21.0245 N, 105.8412 E; the March one 21.0491 N, 105.8779 E) as
# people printed them in public repositories: seconds since 1970 UTC.
OPENWEATHER = [
    (date(2022, 3, 21), 21.0491, 105.8779, 1647817204, 1647860849),
    (date(2023, 6, 21), 21.0245, 105.8412, 1687299356, 1687347633),
    (date(2021, 10, 7), 21.0245, 105.8412, 1633560554, 1633603172),
    (date(2024, 1, 4), 21.0245, 105.8412, 1704324856, 1704364060),
]


@pytest.mark.parametrize(("day", "latitude", "longitude", "rise", "fall"), OPENWEATHER)
def test_sun_times_where_they_were_published(
    day: date, latitude: float, longitude: float, rise: int, fall: int
) -> None:
    """Within two minutes (seen: half a minute)."""
    seen = sun_times(latitude, longitude, day, VIETNAM)
    assert abs(seen.sunrise - rise * SECOND) < 2 * MINUTE
    assert abs(seen.sunset - fall * SECOND) < 2 * MINUTE


@pytest.mark.parametrize(("day", "latitude", "longitude", "rise", "fall"), OPENWEATHER)
def test_sun_times_at_the_commune(day: date, latitude: float, longitude: float, rise: int, fall: int) -> None:
    """The published times moved east by four minutes a degree; a tenth of a degree of latitude is seconds."""
    earlier = (COMMUNE[1] - longitude) * 240 * SECOND
    seen = sun_times(*COMMUNE, day, VIETNAM)
    assert abs(seen.sunrise - (rise * SECOND - earlier)) < 2 * MINUTE
    assert abs(seen.sunset - (fall * SECOND - earlier)) < 2 * MINUTE


def test_sunrise_on_new_year_in_a_published_table_by_latitude() -> None:
    """Astronomy Answers (aa.quae.nl), times of sunrise, 1 January: 6:35 at 20 N, 6:39 at 22 N, local mean time."""
    local_mean = time(6, 35).minute + (COMMUNE[0] - 20) / 2 * 4
    clock = datetime(2026, 1, 1, 6, tzinfo=VIETNAM) + timedelta(minutes=local_mean - (COMMUNE[1] - 105) * 4)
    seen = sun_times(*COMMUNE, date(2026, 1, 1), VIETNAM).sunrise
    assert abs(seen - clock.timestamp() * SECOND) < 2 * MINUTE


def test_places_without_sunrise_are_refused() -> None:
    """Polar night: a schedule by the sun makes no sense there."""
    with pytest.raises(ValueError, match="Sun"):
        sun_times(80.0, 20.0, date(2026, 12, 21), VIETNAM)


def plan(on: Switching, off: Switching, *levels: DimmingStep) -> Plan:
    """A schedule at the commune."""
    return Plan(Schedule(code="x", name=NAME, on=on, off=off, levels=levels), *COMMUNE, VIETNAM)


def at(text: str) -> int:
    """Nanoseconds of a Vietnamese clock time."""
    return int(datetime.fromisoformat(text + "+07:00").timestamp()) * SECOND


def ask(some: Plan, *moments: str, tolerance: int = 30 * MINUTE) -> list[tuple[int, float | None]]:
    """What the plan expects, level None where either is right."""
    times = np.array([at(moment) for moment in moments], np.int64)
    state, level = expected([some], np.zeros(len(times), np.int32), times, tolerance)
    return [(int(s), None if np.isnan(x) else float(x)) for s, x in zip(state, level, strict=True)]


def test_a_lamp_burns_from_sunset_to_sunrise() -> None:
    """On 21 June the sun sets at 18:38 and rises at 05:14; around switching either is right."""
    by_sun = plan(Switching(sun="sunset", minutes=10), Switching(sun="sunrise", minutes=-10))
    seen = ask(by_sun, "2025-06-21T12:00", "2025-06-21T18:15", "2025-06-21T18:25", "2025-06-21T19:10",
               "2025-06-21T19:20", "2025-06-22T00:00", "2025-06-22T04:30", "2025-06-22T05:30", "2025-06-22T05:40",
               "2025-06-22T11:59")  # fmt: skip
    assert [state for state, _ in seen] == [DARK, DARK, EITHER, EITHER, LIT, LIT, LIT, EITHER, DARK, DARK]
    assert seen[5] == (LIT, 100.0)
    assert seen[2][1] is None


def test_dimming_and_part_night() -> None:
    """A step is expected once it is clearly past; level 0 means off."""
    on, off = Switching(clock=time(18, 45)), Switching(clock=time(4, 45))
    dimmed = plan(on, off, DimmingStep(at=time(22), percent=50), DimmingStep(at=time(1, 30), percent=0))
    seen = ask(dimmed, "2026-01-10T20:00", "2026-01-10T21:45", "2026-01-10T22:31", "2026-01-11T01:20",
               "2026-01-11T02:01", "2026-01-11T04:45", "2026-01-11T08:00")  # fmt: skip
    assert seen == [(LIT, 100), (LIT, None), (LIT, 50), (EITHER, None), (DARK, 0), (DARK, 0), (DARK, 0)]
    early = plan(Switching(sun="sunset"), Switching(clock=time(22)))
    assert ask(early, "2026-01-10T21:00", "2026-01-10T23:00") == [(LIT, 100), (DARK, 0)]


def test_a_schedule_that_ends_before_it_begins_never_burns() -> None:
    """Off at 17:00, on after sunset: no night at all."""
    never = plan(Switching(sun="sunset", minutes=30), Switching(clock=time(17)))
    assert ask(never, "2026-01-10T20:00") == [(DARK, 0)]


def test_many_lamps_of_many_plans_at_once() -> None:
    """Each lamp is judged by its own schedule, place and time."""
    fixed = plan(Switching(clock=time(18, 45)), Switching(clock=time(4, 45)))
    early = plan(Switching(clock=time(18, 45)), Switching(clock=time(22)))
    moments = np.array([at("2026-01-10T23:00"), at("2026-01-10T23:00"), at("2026-03-01T20:00")], np.int64)
    state, _ = expected([fixed, early], np.array([0, 1, 1], np.int32), moments, 0)
    assert state.tolist() == [LIT, DARK, LIT]


def test_nights_are_numbered_from_noon() -> None:
    """Evening and morning after are one night, in Vietnamese time."""
    some = plan(Switching(clock=time(18, 45)), Switching(clock=time(4, 45)))
    evening = some.night_number(at("2026-01-10T12:00"))
    assert some.night_number(at("2026-01-11T11:59")) == evening
    assert some.night_number(at("2026-01-11T12:00")) == evening + 1
    first = datetime.fromtimestamp(some.night(evening).changes[0] / SECOND, UTC)
    assert first.isoformat() == "2026-01-10T11:45:00+00:00"


def test_the_most_special_assignment_written_last_counts() -> None:
    """Commune, zone and group narrow it down; somebody must fit everybody."""
    tables = shipped().lighting.model_dump()
    tables["assignments"] = [
        {"schedule": "sun"}, {"schedule": "half_after_22", "commune": "10642"},
        {"schedule": "until_22", "commune": "10642", "zone": "industrial_zone"}, {"schedule": "fixed", "group": "T9"},
    ]  # fmt: skip
    lighting = Lighting.model_validate(tables)
    codes = [schedule.code for schedule in lighting.schedules]
    seen = [
        codes[lighting.schedule_of(*place)]
        for place in [("1", "", ""), ("10642", "village", "T1"), ("10642", "industrial_zone", "T1"), ("1", "x", "T9")]
    ]
    assert seen == ["sun", "half_after_22", "until_22", "fixed"]


@pytest.mark.parametrize(
    ("key", "value", "expected_text"),
    [
        ("assignments", [{"schedule": "moon"}], "no schedule 'moon'"),
        ("assignments", [{"schedule": "sun", "zone": "village"}], "one must fit every lamp"),
    ],
)
def test_wrong_assignments_are_named(key: str, value: object, expected_text: str) -> None:
    """In one line."""
    with pytest.raises(ValidationError, match=expected_text):
        Lighting.model_validate({**shipped().lighting.model_dump(), key: value})


def test_a_switching_is_by_clock_or_by_sun() -> None:
    """Not both, not neither."""
    for wrong in ({}, {"clock": time(1), "sun": "sunset"}, {"clock": time(1), "minutes": 5}):
        with pytest.raises(ValidationError):
            Switching.model_validate(wrong)
