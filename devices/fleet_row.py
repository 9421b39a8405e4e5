"""One device as the fleet's file states it: every cell checked, and the cells that hold dates read and written."""

import difflib
import math
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator

from devices.profile import Powered, Profile, shipped_profiles

DEVICE_ID = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$"
"""What a device and a commune key may look like: safe in an MQTT topic, an InfluxDB tag, a URL and a file name."""

DEFAULT_ZONE = "Asia/Ho_Chi_Minh"
ALWAYS = 2**63 - 1
"""``until`` of what has no end [ns UTC]."""
NO_HARDWARE = "none"
"""In CSV: since that day no hardware speaks for the device (it was moved to another place, or taken down)."""
_FORMULA = ("=", "+", "-", "@")
_SHORTENED = re.compile(r"\d(?:[.,]\d+)?[eE]\+\d+\Z")
MOST_IDS, MOST_CALIBRATIONS = 100, 500
"""Of one device, over its whole life. Chosen."""


class HardwareId(NamedTuple):
    """A serial, DevEUI or vendor topic name, and since when (until when) it speaks for the device."""

    value: Annotated[str, Field(max_length=200)]
    since: int = 0
    """Nanoseconds UTC."""
    until: int = ALWAYS


class Calibration(NamedTuple):
    """``value * slope + offset`` in the canonical unit, from a moment on."""

    property: str
    slope: float
    offset: float
    since: int


class FleetRow(BaseModel):
    """One device as the fleet's CSV or database states it."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, allow_inf_nan=False)

    device: Annotated[str, Field(pattern=DEVICE_ID)]
    """Names the asset at its place, unique in the whole fleet."""
    profile: Annotated[str, Field(max_length=64)]
    commune: Annotated[str, Field(pattern=DEVICE_ID)]
    """The fleet's own commune key (default: the code since 2025-07-01)."""
    legacy_commune: Annotated[str, Field(max_length=64)] = ""
    zone: Annotated[str, Field(max_length=64)] = ""
    """``village``, ``street``, ``industrial_zone`` or the commune's own word."""
    group: Annotated[str, Field(max_length=64)] = ""
    """Cabinet or circuit."""
    name: Annotated[str, Field(max_length=200)] = ""
    """What people call it, in Vietnamese."""
    latitude: Annotated[float | None, Field(ge=-90, le=90)] = None
    longitude: Annotated[float | None, Field(ge=-180, le=180)] = None
    hardware_ids: Annotated[tuple[HardwareId, ...], Field(max_length=MOST_IDS)] = ()
    """In CSV: ``A84041FFFF21234; 0004a30b001c0530@2026-03-01`` (valid since that day, those before it until then)."""
    interval_seconds: Annotated[int | None, Field(gt=0, le=7 * 86400)] = None
    """Overrides the profile's expected interval."""
    powered: Powered | None = None
    timezone: Annotated[str, Field(max_length=64)] = DEFAULT_ZONE
    simulated: bool = False
    calibration: Annotated[tuple[Calibration, ...], Field(max_length=MOST_CALIBRATIONS)] = ()
    """In CSV: ``ph 1.02 -0.05 @2026-03-01; ...`` (property, slope, offset, since)."""

    @field_validator("latitude", "longitude", "interval_seconds", "powered", mode="before")
    @classmethod
    def _blank(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("timezone", mode="after")
    @classmethod
    def _zone(cls, value: str) -> str:
        if value:
            try:
                ZoneInfo(value)
            except (KeyError, ValueError, OSError) as error:
                raise ValueError(f"{value!r} is not a time zone; write for example {DEFAULT_ZONE}") from error
        return value or DEFAULT_ZONE

    @field_validator("simulated", mode="before")
    @classmethod
    def _flag(cls, value: object) -> object:
        return {"": False, "1": True, "0": False}.get(value, value) if isinstance(value, str) else value

    @field_validator("zone", "group", "name", mode="after")
    @classmethod
    def _plain_text(cls, value: str) -> str:
        if value.startswith(_FORMULA):
            raise ValueError(f"{value[:40]!r} would be a formula in a spreadsheet; begin with a letter or digit")
        if any(character < " " and character not in "\t\r\n" for character in value):
            raise ValueError("control characters cannot be in it")
        return value

    @field_validator("hardware_ids", mode="before")
    @classmethod
    def _hardware(cls, value: object) -> object:
        return parse_hardware_ids(value) if isinstance(value, str) else value

    @field_validator("hardware_ids", mode="after")
    @classmethod
    def _writable(cls, value: tuple[HardwareId, ...]) -> tuple[HardwareId, ...]:
        for entry in value:
            if not entry.value or entry.value == NO_HARDWARE or set(entry.value) & set(";@\r\n\0"):
                raise ValueError(f"{entry.value!r} cannot be a hardware id: no ';', '@' or line end, and not 'none'")
            if _SHORTENED.match(entry.value):
                raise ValueError(
                    f"{entry.value!r} is what a spreadsheet makes of a long number; format the column as text and "
                    "write the id again"
                )
        return value

    @field_validator("calibration", mode="before")
    @classmethod
    def _calibration(cls, value: object) -> object:
        return parse_calibration(value) if isinstance(value, str) else value


def check_against_profile(row: FleetRow, profile: Profile | None) -> None:
    """What only the profile can tell.

    Raises:
        ValueError: no such profile, or a calibration for a property it does not have; begins with the column's name.
    """
    if profile is None:
        raise ValueError(no_such_profile(row.profile))
    known = {entry.name for entry in profile.properties}
    for calibration in row.calibration:
        if calibration.property not in known:
            raise ValueError(f"calibration: profile {profile.id} has no property {calibration.property!r}")


def no_such_profile(name: str) -> str:
    """What is said of a profile that is none: those that are written nearly so."""
    near = difflib.get_close_matches(name.casefold(), shipped_profiles(), 3)
    hint = f"did you mean {' or '.join(near)}?" if near else "see `village devices supported`"
    return f"profile: no profile {name!r}; {hint}"


# moments -----------------------------------------------------------------------------------------------------


def parse_since(text: str) -> int:
    """Nanoseconds UTC of a day (its midnight) or an ISO 8601 time; without offset it is Vietnamese time.

    >>> parse_since("2026-03-01") == parse_since("2026-02-28T17:00:00Z")
    True

    Raises:
        ValueError: neither.
    """
    zone = ZoneInfo(DEFAULT_ZONE)
    word = text.strip()
    try:
        moment = datetime.combine(date.fromisoformat(word), time(), zone)
    except ValueError:
        try:
            moment = datetime.fromisoformat(word)
        except ValueError:
            raise ValueError(
                f"{word[:40]!r} is no day or time; write for example 2026-03-01 or 2026-03-01T08:30"
            ) from None
        moment = moment.replace(tzinfo=moment.tzinfo or zone)
    return round(moment.timestamp() * 1_000_000) * 1000


def write_since(at: int) -> str:
    """The reverse of ``parse_since``, to the microsecond: a day where it is one, else a Vietnamese time."""
    moment = datetime.fromtimestamp(at // 1_000_000_000, ZoneInfo(DEFAULT_ZONE))
    moment = moment.replace(microsecond=at % 1_000_000_000 // 1000)
    return moment.date().isoformat() if moment.time() == time() else moment.replace(tzinfo=None).isoformat()


# hardware ids ------------------------------------------------------------------------------------------------


def parse_hardware_ids(text: str) -> tuple[HardwareId, ...]:
    """Read the CSV cell: ids separated by ``;``, each optionally ``@`` the day since which it is the valid one.

    >>> [i.value for i in parse_hardware_ids("a84041; b0@2026-03-01")]
    ['a84041', 'b0']
    """
    dated = [part.partition("@") for part in (p.strip() for p in text.split(";")) if part]
    starts = [(value.strip(), parse_since(day) if day else 0) for value, _, day in dated]
    if (NO_HARDWARE, 0) in starts:
        raise ValueError(f"{NO_HARDWARE!r} needs the day it begins: {NO_HARDWARE}@2026-03-01")
    return of_generations(
        (since, [value for value, at in starts if at == since and value != NO_HARDWARE])
        for since in sorted({0, *(since for _, since in starts)})
    )


def of_generations(generations: Iterable[tuple[int, Sequence[str]]]) -> tuple[HardwareId, ...]:
    """Ids from what speaks for a device since when [ns UTC], oldest first; each generation ends as the next begins."""
    known = list(generations)
    ends = [since for since, _ in known[1:]] + [ALWAYS]
    return tuple(
        HardwareId(value, since, end)
        for (since, values), end in zip(known, ends, strict=True)
        for value in dict.fromkeys(values)
    )


def generations(hardware_ids: Sequence[HardwareId]) -> list[tuple[int, list[str]]]:
    """The reverse of ``of_generations``; the first is since 0, and one may be empty."""
    starts = sorted({0, *(i.since for i in hardware_ids), *(i.until for i in hardware_ids if i.until != ALWAYS)})
    return [(at, [i.value for i in hardware_ids if i.since <= at < i.until]) for at in starts]


def write_hardware_ids(hardware_ids: Sequence[HardwareId]) -> str:
    """The reverse of ``parse_hardware_ids``."""
    first, *later = generations(hardware_ids)
    words = [*first[1], *(f"{value}@{write_since(at)}" for at, values in later for value in values or [NO_HARDWARE])]
    return "; ".join(words)


def replace_hardware(
    hardware_ids: Sequence[HardwareId], gone: Iterable[str], new: Sequence[str], since: int
) -> tuple[HardwareId, ...]:
    """The ids after some of them gave way to others; what spoke before that moment [ns UTC] stays known.

    Raises:
        ValueError: the ids change again after that moment.
    """
    known = generations(hardware_ids)
    last, current = known[-1]
    if since < last:
        raise ValueError(f"its hardware changed on {write_since(last)} already; say --since that day or later")
    leaving = {value.casefold() for value in gone}
    following = [*(value for value in current if value.casefold() not in leaving), *new]
    return of_generations([*known[:-1], (since, following)] if since == last else [*known, (since, following)])


# calibration -------------------------------------------------------------------------------------------------


def parse_calibration(text: str) -> tuple[Calibration, ...]:
    """Read the CSV cell: ``property slope offset @day`` separated by ``;``.

    Raises:
        ValueError: a part that is not of this form.
    """
    found = []
    for part in (p.strip() for p in text.split(";")):
        if not part:
            continue
        words, _, day = part.partition("@")
        name, *numbers = words.split()
        if len(numbers) != 2 or not all(math.isfinite(float(number)) for number in numbers):
            raise ValueError(f"{part!r}: write 'property slope offset @yyyy-mm-dd'")
        found.append(Calibration(name, float(numbers[0]), float(numbers[1]), parse_since(day) if day else 0))
    return tuple(sorted(found, key=lambda c: (c.property, c.since)))


def write_calibration(calibration: Sequence[Calibration]) -> str:
    """The reverse of ``parse_calibration``."""
    return "; ".join(
        f"{c.property} {c.slope!r} {c.offset!r}" + (f" @{write_since(c.since)}" if c.since else "") for c in calibration
    )


# a row in words ---------------------------------------------------------------------------------------------


def cells(row: FleetRow) -> dict[str, str]:
    """The row as CSV has it; what ``FleetRow`` reads from these cells is the same row."""
    return {name: _cell(name, getattr(row, name)) for name in FleetRow.model_fields}


def _cell(name: str, value: object) -> str:
    match name, value:
        case "hardware_ids", tuple():
            return write_hardware_ids(value)
        case "calibration", tuple():
            return write_calibration(value)
        case "simulated", bool():
            return "true" if value else ""
        case "timezone", str():
            return "" if value == DEFAULT_ZONE else value
    return "" if value is None else str(value)


def describe(before: FleetRow, after: FleetRow) -> str:
    """The columns that differ, from what to what."""
    old, new = cells(before), cells(after)
    changed = (name for name in old if old[name] != new[name])
    return ", ".join(f"{name}: {old[name] or 'empty'} -> {new[name] or 'empty'}" for name in changed)
