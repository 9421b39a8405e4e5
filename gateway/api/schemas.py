"""The shapes of the API's answers, and how times are written in them."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from devices.observation import Reason
from devices.profile import Powered
from gateway.line.glance import DeviceState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(2200, 1, 1, tzinfo=UTC)
"""Later times do not fit into 64 bits of nanoseconds with room to reckon."""


def time_text(nanoseconds: int) -> str:
    """RFC 3339 in UTC with milliseconds.

    >>> time_text(1_780_000_000_123_456_789)
    '2026-05-28T20:26:40.123Z'
    """
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{_second_text(seconds)}.{rest // 1_000_000:03}Z"


# What is shown together was mostly said in the same few minutes.
@lru_cache(maxsize=4096)
def _second_text(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19]


def parse_time(text: object) -> int:
    """Nanoseconds UTC of an RFC 3339 time with its offset.

    Raises:
        ValueError: anything else.

    >>> parse_time("2026-05-28T20:26:40Z")
    1780000000000000000
    """
    if isinstance(text, int):
        return text
    try:
        # A plus sign that was not escaped arrives as a space.
        moment = datetime.fromisoformat(str(text).strip().replace(" ", "+"))
        late = not _EPOCH <= moment < _LAST
    except (ValueError, TypeError, OverflowError):
        raise ValueError("write a time with its offset, for example 2026-05-28T20:26:40Z") from None
    if late:
        raise ValueError("the time must lie between 1970 and 2200")
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


Moment = Annotated[int, BeforeValidator(parse_time), WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time in a question; nanoseconds UTC inside."""
TimeText = Annotated[str, Field(json_schema_extra={"format": "date-time", "examples": ["2026-05-28T20:26:40.123Z"]})]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PropertyInfo(_Answer):
    """One observed property."""

    name: str
    unit: str
    """UCUM code."""
    symbol: str
    """Unit as shown to people."""
    en: str
    vi: str


class VocabularyEntry(PropertyInfo):
    """One observed property with where it is stored and what is physically possible."""

    measurement: str
    low: float
    high: float


class Vocabulary(_Answer):
    """Every observed property."""

    properties: list[VocabularyEntry]


class Commune(_Answer):
    """One commune of the fleet."""

    commune: str
    name: str
    devices: int
    ok: int
    never: int
    offline: int
    silent: int
    suspect: int
    latitude: float | None
    """Middle of its devices."""
    longitude: float | None


class Communes(_Answer):
    """Every commune of the fleet."""

    items: list[Commune]


class Value(_Answer):
    """The latest value of one property."""

    value: float
    unit: str
    quality: int
    """1 good, 2 not evaluated, 3 suspect, 4 failed, 9 missing."""
    observed_at: TimeText


class Device(_Answer):
    """One device."""

    device: str
    label: str
    commune: str
    zone: str
    group: str
    domain: str
    profile: str
    latitude: float | None
    longitude: float | None
    simulated: bool
    powered: Powered
    interval_seconds: int
    last_seen: TimeText | None
    state: DeviceState


class Devices(_Answer):
    """One page of devices."""

    total: int
    items: list[Device]


class CalibrationInfo(_Answer):
    """``value * slope + offset``, from a moment on."""

    property: str
    slope: float
    offset: float
    since: TimeText


class DeviceDetail(Device):
    """Everything known of one device."""

    maker: str
    model: str
    hardware_ids: list[str]
    timezone: str
    calibration: list[CalibrationInfo]
    properties: list[PropertyInfo]
    values: dict[str, Value]


class LatestItem(_Answer):
    """The latest values of one device."""

    device: str
    state: DeviceState
    last_seen: TimeText | None
    values: dict[str, Value]


class Latest(_Answer):
    """One page of latest values."""

    total: int
    items: list[LatestItem]


class Series(_Answer):
    """One property of one device over time."""

    device: str
    property: str
    unit: str
    every_seconds: int
    """Width of one point's time."""
    points: list[tuple[int, float, float, float]]
    """``[start of the bucket in ms since 1970, mean, lowest, highest]``, oldest first; empty buckets are left out."""


class RefusedItem(_Answer):
    """One uplink that was kept and could not be used."""

    id: int
    received_at: TimeText
    topic: str
    device: str
    reason: Reason
    detail: str
    size: int
    retained: bool


class RefusedPage(_Answer):
    """Refused uplinks, newest first."""

    total_by_reason: dict[str, int]
    items: list[RefusedItem]
    next_before: int | None
    """Pass it as ``before`` for the next page; null at the end."""


class RefusedDetail(RefusedItem):
    """One refused uplink with its bytes."""

    payload_base64: str
    truncated: bool


class LedgerTotals(_Answer):
    """``received = kept + refused + repeated``."""

    received: int
    kept: int
    refused: int
    repeated: int


class StoreLines(_Answer):
    """Lines of one store: ``kept = waiting + stored + rejected + given_up``."""

    store: str
    waiting: int
    stored: int
    rejected: int
    given_up: int
    oldest_waiting_at: TimeText | None


class Lines(_Answer):
    """Lines made for the stores, and where they are."""

    kept: int
    stores: list[StoreLines]


class Ledger(_Answer):
    """What came in and what became of it."""

    totals: LedgerTotals
    holds: bool
    lines: Lines
    lost_at_broker: int
    lost_on_disk: int
    by_reason: dict[str, int]


class LedgerHour(LedgerTotals):
    """One sender in one hour of receipt."""

    hour: TimeText
    device: str
    missing: int
    """Sent and never arrived, by the device's own sequence numbers; below 0 where some came in a later hour than they
    were missed in. What arrived and could not be used is `refused`."""


class LedgerHours(_Answer):
    """The ledger by hour and sender, newest hour first."""

    items: list[LedgerHour]


class PartState(_Answer):
    """How one part of the gateway is."""

    part: str
    state: Literal["ok", "waiting", "failing"]
    detail: str


class Health(_Answer):
    """How the gateway is."""

    status: Literal["ok", "degraded", "failing"]
    version: str
    now: TimeText
    parts: list[PartState]
    ledger: LedgerTotals


class ErrorBody(_Answer):
    """What went wrong."""

    code: Literal["not_found", "bad_request", "unauthorized", "unavailable", "internal"]
    message: str
    """One line, with what to do."""


class ErrorAnswer(_Answer):
    """The one shape of every error."""

    error: ErrorBody
