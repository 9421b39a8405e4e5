"""Times as devices write them: exact to the nanosecond, whatever offset, zone or form."""

import math
from datetime import UTC
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from devices.codecs import times

INSTANTS = st.integers(times.EARLIEST, times.LATEST)
RECENT = st.integers(1_500_000_000, 1_900_000_000).map(lambda seconds: seconds * times.SECOND)


@given(INSTANTS)
def test_rfc3339_keeps_every_nanosecond(at: int) -> None:
    """From 1678 to 2262."""
    assert times.instant(times.text(at), UTC) == (at, False)


@given(RECENT, st.integers(0, 999_999_999), st.integers(0, 9), st.integers(-1439, 1439))
def test_rfc3339_applies_offset_and_fraction(second: int, nanosecond: int, digits: int, minutes: int) -> None:
    """Any offset, any number of digits up to nine."""
    fraction = f"{nanosecond:09d}"[:digits]
    local = times.text(second + minutes * 60 * times.SECOND).removesuffix("Z")
    sign, offset = "-" if minutes < 0 else "+", abs(minutes)
    text = f"{local}{'.' if fraction else ''}{fraction}{sign}{offset // 60:02d}:{offset % 60:02d}"
    assert times.instant(text, UTC) == (second + int(fraction.ljust(9, "0")), False)


@given(RECENT, st.sampled_from(["Asia/Ho_Chi_Minh", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"]))
def test_local_time_is_the_zones(at: int, name: str) -> None:
    """Written in local time and read back: the same moment, except in an hour that a clock change repeats."""
    zone = ZoneInfo(name)
    seen, zoned = times.instant(times.local_text(at, zone), zone)
    assert zoned
    assert seen in {at, at - 1800 * times.SECOND, at - 3600 * times.SECOND}


@given(st.integers(-8_000_000_000, 8_000_000_000), st.integers(0, 999_999))
def test_seconds_with_a_fraction_are_decimal(second: int, microseconds: int) -> None:
    """The digits that were written count, not the binary fraction they became: a float holds six of them till 2223."""
    value = float(f"{second}.{microseconds:06d}")
    expected = abs(second) * times.SECOND + microseconds * 1000
    assert times.duration(value, times.SECOND) == (-expected if math.copysign(1, value) < 0 else expected)
