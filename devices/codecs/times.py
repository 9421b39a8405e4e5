"""Times as devices write them, to exact nanoseconds UTC: RFC 3339, local time, seconds since 1970."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache

from devices.observation import Reason, RefusedError

SECOND = 1_000_000_000
"""Nanoseconds."""

MILLISECOND = 1_000_000
"""Nanoseconds."""

EARLIEST = -9_214_560_000 * SECOND
"""1678-01-01: the first whole year that 64 bits of nanoseconds can hold."""

LATEST = 2**63 - 2
"""2262-04-11: the last moment that 64 bits of nanoseconds (and InfluxDB) can hold."""

_HEAD = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ]([01]\d|2[0-3]):([0-5]\d)\Z", re.ASCII)
_TAIL = re.compile(r"(?:\.(\d{1,30}))?(?:([Zz])|([+-])([01]\d|2[0-3]):?([0-5]\d))?\Z", re.ASCII)
# 60 is a leap second, which Unix time does not have: it becomes the next minute's first second.
_SECONDS = {f":{second:02d}": second * SECOND for second in range(61)}
_LONGEST = 64
_FIRST_YEAR, _LAST_YEAR = 1677, 2262  # 1677: an offset can still lead into 1678
_LARGEST = 10**19
_DAY_ZERO = date(1970, 1, 1).toordinal()

Instant = tuple[int, bool]
"""Nanoseconds UTC, and whether the text had no zone and one was applied."""


def instant(value: object, zone: tzinfo) -> Instant:
    """Read an RFC 3339 time, with 0 to 9 digits of a second's fraction (more are cut off).

    Args:
        value: the text; a missing offset means local time in ``zone``.

    Raises:
        RefusedError: ``clock`` if it is no text, cannot be read, or lies outside 1678 to 2262.

    >>> instant("2026-08-01T04:05:06.789000001+07:00", UTC)
    (1785531906789000001, False)
    """
    if type(value) is not str or len(value) > _LONGEST:
        raise RefusedError(Reason.CLOCK, "expected a time as RFC 3339 text, for example 2026-08-01T04:05:06Z")
    minute, second, tail = _minute(value[:16]), _SECONDS.get(value[16:19]), _tail(value[19:])
    if minute is None or second is None or tail is None:
        raise RefusedError(
            Reason.CLOCK,
            "not an RFC 3339 time of the years 1678 to 2262; write for example 2026-08-01T04:05:06.789+07:00",
        )
    rest, zoned = tail
    at = minute + second + rest
    if zoned:
        at -= _offset(value[:16], zone)
    if not EARLIEST <= at <= LATEST:
        raise RefusedError(Reason.CLOCK, "the time lies outside the years 1678 to 2262")
    return at, zoned


# Devices of one fleet send in the same minute with the same few offsets: the caches hold nearly every part.
@lru_cache(maxsize=1024)
def _minute(head: str) -> int | None:
    match = _HEAD.match(head)
    if match is None:
        return None
    year, month, day, hour, minute = map(int, match.groups())
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        return None
    try:
        days = date(year, month, day).toordinal() - _DAY_ZERO
    except ValueError:
        return None
    return ((days * 24 + hour) * 60 + minute) * 60 * SECOND


@lru_cache(maxsize=8192)
def _tail(text: str) -> Instant | None:
    """Fraction of the second minus the offset [ns], and whether there was none; None if it is neither."""
    match = _TAIL.match(text)
    if match is None:
        return None
    fraction, utc, sign, hours, minutes = match.groups()
    rest = int(fraction[:9].ljust(9, "0")) if fraction else 0
    if hours is None:
        return rest, utc is None
    offset = (int(hours) * 60 + int(minutes)) * 60 * SECOND
    return rest - (offset if sign == "+" else -offset), False


@lru_cache(maxsize=1024)
def _offset(head: str, zone: tzinfo) -> int:
    """How far the zone is ahead of UTC at this local minute [ns]; the earlier one where a clock change repeats it."""
    offset = datetime.fromisoformat(head.upper()).replace(tzinfo=zone).utcoffset()
    return 0 if offset is None else round(offset.total_seconds()) * SECOND


def duration(value: object, unit: int) -> int:
    """A number of time units as exact nanoseconds: the decimal digits of a fraction count, not their binary form.

    Args:
        value: a number as JSON or CBOR has it.
        unit: nanoseconds in one count: ``SECOND`` for seconds.

    Raises:
        RefusedError: ``clock`` if it is no number, or larger than 64 bits of nanoseconds can hold.

    >>> duration(1785557106.1, SECOND)
    1785557106100000000
    """
    if type(value) is int:
        at = value * unit
    elif type(value) is float and -_LARGEST < value < _LARGEST:
        at = int(Decimal(repr(value)) * unit)
    elif isinstance(value, Decimal) and -_LARGEST < value < _LARGEST:
        at = int(value * unit)
    else:
        raise RefusedError(Reason.CLOCK, "expected a time as a number since 1970")
    if not -(2**63) <= at < 2**63:
        raise RefusedError(Reason.CLOCK, "the time lies outside the years 1678 to 2262")
    return at


def epoch(value: object, unit: int) -> int:
    """Read a count since 1970 (see ``duration``).

    Raises:
        RefusedError: ``clock`` if it is no number or lies outside 1678 to 2262.
    """
    at = duration(value, unit)
    if not EARLIEST <= at <= LATEST:
        raise RefusedError(Reason.CLOCK, "the time lies outside the years 1678 to 2262")
    return at


_UNITS = {"epoch_s": SECOND, "epoch_ms": MILLISECOND, "epoch_us": 1_000, "epoch_ns": 1}


def reader(form: str) -> Callable[[object, tzinfo], Instant]:
    """What reads a time of this form (``TimeField.format``)."""
    unit = _UNITS.get(form)
    if unit is None:
        return instant

    def read(value: object, zone: tzinfo) -> Instant:  # noqa: ARG001 - counts since 1970 need no zone
        return epoch(value, unit), False

    return read


def written(at: int, form: str) -> str | int:
    """The reverse of ``reader`` for encoders; counts since 1970 lose what their unit cannot hold."""
    unit = _UNITS.get(form)
    return text(at) if unit is None else at // unit


def text(at: int) -> str:
    """RFC 3339 text in UTC with as many digits as the nanoseconds need.

    >>> text(1785531906789000001)
    '2026-07-31T21:05:06.789000001Z'
    """
    seconds, fraction = divmod(at, SECOND)
    head = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f"{fraction:09d}".rstrip("0")
    return f"{head}.{digits}Z" if digits else f"{head}Z"


def local_text(at: int, zone: tzinfo) -> str:
    """Whole seconds of local time without offset, as Tasmota writes them."""
    return datetime.fromtimestamp(at // SECOND, zone).strftime("%Y-%m-%dT%H:%M:%S")
