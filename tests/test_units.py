"""Declared units to canonical ones, and the times of one uplink's values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.fleet_row import Calibration
from devices.observation import Observation, Reason, RefusedError
from devices.profile import shipped_profiles
from devices.quality import Clock
from devices.topics import Source
from devices.units import _PINT, MOLAR_MASS, conversion
from devices.vocabulary import VOCABULARY
from gateway.line.normalize import Placed, Plan, canonical, places
from tests.line_parts import MINUTE, NOW, SECOND, STEADY, profile_of

PLAN = Plan(shipped_profiles()["native_streetlight"], Source("village", ""))


@pytest.mark.parametrize(
    ("name", "unit", "value", "expected"),
    [
        # Factors by hand, from the units' definitions.
        ("power", "kW", 0.0582, 58.2),
        ("energy", "W.h", 1250, 1.25),
        ("energy", "MW.h", 2, 2000),
        ("energy", "J", 3_600_000, 1),
        ("air_temperature", "[degF]", 212, 100),
        ("air_temperature", "[degF]", 32, 0),
        ("air_temperature", "K", 273.15, 0),
        ("air_pressure", "Pa", 101325, 1013.25),
        ("air_pressure", "mm[Hg]", 760, 1013.25),
        ("pressure", "kPa", 350, 3.5),
        ("pressure", "m[H2O]", 10, 0.980665),
        ("conductivity", "mS/cm", 1.413, 1413),
        ("conductivity", "S/m", 0.1413, 1413),
        ("flow", "L/s", 10, 36),
        ("flow", "L/min", 60, 3.6),
        ("volume", "L", 1500, 1.5),
        ("water_level", "cm", 250, 2.5),
        ("wind_speed", "km/h", 36, 10),
        ("wind_speed", "[kn_i]", 1, 1852 / 3600),
        ("uptime", "d", 1, 86400),
        ("leakage_current", "A", 0.03, 30),
        # Gases at 25 degrees and 101.325 kPa: M / 24.465.
        ("no2", "[ppb]", 100, 188.048),
        ("co", "[ppm]", 1, 1144.901),
        ("co", "mg/m3", 1.5, 1500),
        ("o3", "[ppb]", 50, 98.09524),
        # Water: ppm is mg/L, the ion or its nitrogen.
        ("chloride", "[ppm]", 250, 250),
        ("cod", "[ppb]", 15000, 15),
        ("ammonium_nitrogen", "mg/L{NH4}", 1, 0.7765),
        ("nitrate_nitrogen", "mg/L{NO3}", 50, 11.295),
        ("power_factor", "%", 95, 0.95),
    ],
)
def test_conversion_to_the_canonical_unit(name: str, unit: str, value: float, expected: float) -> None:
    """To the digits the definition has."""
    rule = conversion(name, unit)
    assert rule is not None
    assert value * rule.factor + rule.offset == pytest.approx(expected, rel=2e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        *(("power", unit) for unit in ("V", "VA", "var", "hp", "", "w")),
        *(("energy", "kvar.h"), ("apparent_power", "W"), ("reactive_power", "VA")),
        *(("wind_direction", "%"), ("power_factor", "deg"), ("noise", "%"), ("uv_index", "dB[A]")),
        *(("ph", "mV"), ("co2", "ug/m3"), ("turbidity", "[FNU]"), ("air_temperature", "kW.h")),
    ],
)
def test_unit_that_cannot_express_a_property(name: str, unit: str) -> None:
    """It is refused, not guessed."""
    assert conversion(name, unit) is None


@pytest.mark.parametrize("name", VOCABULARY)
def test_canonical_unit_is_taken_as_it_is(name: str) -> None:
    """Factor 1, offset 0."""
    rule = conversion(name, VOCABULARY[name].unit)
    assert rule is not None
    assert (rule.factor, rule.offset) == (1.0, 0.0)


def test_every_unit_of_the_table_is_known_to_pint() -> None:
    """Each converts to itself; a misspelt name would raise."""
    failed = [unit for name in VOCABULARY for unit in _PINT if _broken(name, unit)]
    assert failed == []
    assert {name for name in MOLAR_MASS if conversion(name, "[ppb]") is None} == {"co2"}


def _broken(name: str, unit: str) -> bool:
    rule = conversion(name, unit)
    return rule is not None and (rule.factor <= 0 or rule.factor != float(f"{rule.factor:.12g}"))


def test_file_profile_keeps_limits_and_positions() -> None:
    """What a file says is canonical; how it is judged does not change."""
    own = profile_of(
        'domain = "streetlight"\ncodec = "json_fields"\ninterval_seconds = 60\nproperties = ['
        '{ name = "energy", unit = "W.h", path = "e", scale = 10.0 }, '
        '{ name = "power", unit = "kW", path = "p", high = 5000, sentinels = [-1] }]'
    )
    plain = canonical(own)
    assert plain.codec == "native"
    assert [(p.name, p.unit, p.path, p.scale, p.high, p.sentinels) for p in plain.properties] == [
        ("energy", "kW.h", "", 1.0, None, ()),
        ("power", "W", "", 1.0, 5000.0, ()),
    ]


# times of one uplink -----------------------------------------------------------------------------------------


def placed(*observations: Observation, zoned: bool = False, calibrations: tuple[Calibration, ...] = ()) -> list[Placed]:
    """These observations, received now."""
    return places(observations, PLAN.slots(observations), NOW, zoned, calibrations)


def summary(found: list[Placed]) -> list[tuple[int, int, list[tuple[str, float]]]]:
    """Time, clock and named values."""
    return [(p.at, int(p.clock), [(s.name, v) for s, v in zip(p.slots, p.values, strict=True)]) for p in found]


def test_values_of_several_times_are_placed_oldest_first() -> None:
    """Buffered values: each time is a line of its own."""
    observations = [
        Observation("power", 0.0, "W", NOW - 2 * MINUTE),
        Observation("power", 1.0, "kW", NOW - 4 * MINUTE),
        Observation("rssi", 2.0, "dB[mW]", None),
        Observation("energy", 3.0, "W.h", NOW - 2 * MINUTE),
    ]
    assert summary(placed(*observations)) == [
        (NOW, 1, [("rssi", 2.0)]),
        (NOW - 4 * MINUTE, 0, [("power", 1000.0)]),
        (NOW - 2 * MINUTE, 0, [("power", 0.0), ("energy", 0.003)]),
    ]


def test_unusable_times_do_not_overwrite_each_other() -> None:
    """Three buffered values of a device whose clock was never set stay three points, in their order."""
    observations = [Observation("power", float(n), "W", n * MINUTE) for n in range(3)]
    assert summary(placed(*observations, Observation("power", 3.0, "W", NOW + 10 * MINUTE))) == [
        (NOW + n, 2 + (n == 3), [("power", float(n))]) for n in range(4)
    ]


def test_calibration_of_each_time() -> None:
    """Slope and offset valid at the value's time; the last one that has begun."""
    calibrations = (
        Calibration("energy", 3.0, 0.0, 0),
        Calibration("power", 2.0, 1.0, NOW - 3 * MINUTE),
        Calibration("power", 10.0, 0.0, NOW - MINUTE),
    )
    observations = [Observation("power", 5.0, "W", NOW - n * MINUTE) for n in (4, 3, 1)]
    found = placed(*observations, calibrations=calibrations)
    assert [place.values for place in found] == [[5.0], [11.0], [50.0]]


def test_value_too_large_for_its_canonical_unit_is_refused() -> None:
    """Finite in kilowatts, infinite in watts."""
    with pytest.raises(RefusedError) as caught:
        placed(Observation("rssi", 1.0, "dB[mW]", NOW), Observation("power", 1e307, "kW", NOW - SECOND))
    assert caught.value.reason is Reason.NOT_FINITE


@STEADY
@given(st.lists(st.one_of(st.none(), st.integers(-(2**62), 2**62)), min_size=1), st.booleans())
def test_every_value_is_placed_once_at_a_time_of_its_own(times: list[int | None], zoned: bool) -> None:
    """No two lines of an uplink share a time, so none overwrites another; nothing is lost."""
    observations = [Observation("power", float(n), "W", at) for n, at in enumerate(times)]
    found = placed(*observations, zoned=zoned)
    assert sorted(value for place in found for value in place.values) == [float(n) for n in range(len(times))]
    own = [place for place in found if place.clock in {Clock.DEVICE, Clock.ZONED}]
    others = [place.at for place in found if place not in own]
    assert others == list(range(NOW, NOW + len(others)))
    assert len({place.at for place in own}) == len(own)
