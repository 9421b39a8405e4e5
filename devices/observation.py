"""What a codec returns: observations as the device reports them, or a named refusal."""

from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """Why an uplink was refused: one word in the code, the metric, the table, the golden case and the dashboard."""

    UNKNOWN_TOPIC = "unknown_topic"
    """No source in the settings claims this topic."""
    UNKNOWN_DEVICE = "unknown_device"
    """The topic is ours, but no device of the registry has this name or hardware id."""
    UNSUPPORTED = "unsupported"
    """The codec knows this kind of message and cannot use it (encrypted, other version, missing decoder)."""
    EMPTY = "empty"
    """No bytes."""
    TOO_LARGE = "too_large"
    """More bytes than the settings allow."""
    ENCODING = "encoding"
    """Text that is not UTF-8."""
    MALFORMED = "malformed"
    """The bytes do not have the format's structure (not JSON, not an object, torn)."""
    DUPLICATE_KEY = "duplicate_key"
    """A JSON object names a key twice: which one is meant is not guessed."""
    NOT_FINITE = "not_finite"
    """NaN, an infinity, or a number too large for a float."""
    FIELD_TYPE = "field_type"
    """A string, boolean or object where a number belongs, or the reverse."""
    PROPERTY = "property"
    """An observed property that the vocabulary or the device's profile does not declare."""
    UNIT = "unit"
    """A unit that nobody declared for this property."""
    LENGTH = "length"
    """A binary payload of the wrong length."""
    INTEGRITY = "integrity"
    """A checksum, sequence, alias or identity inside the payload does not match what is known."""
    CLOCK = "clock"
    """A time that cannot be read at all (a readable but wrong time is stored and flagged instead)."""
    NO_READING = "no_reading"
    """Well formed, from a known device, and without any value."""
    SIMULATED = "simulated"
    """From a simulated device, and the settings do not accept those."""
    DEFECT = "defect"
    """The gateway itself failed on it: a bug; the bytes wait for an update and a replay."""
    STORE = "store"
    """The store refused the finished line; its words are in the detail."""


class RefusedError(Exception):
    """An uplink that is kept with its bytes and counted, but cannot be used.

    Args:
        reason: the enum member, its word is shown everywhere.
        detail: one sentence for a person: what was found, where, what would have been right. Never longer than 300
            characters, and never the payload itself.
        reply: a downlink that the format's protocol asks for all the same; see ``Message.reply``.
    """

    def __init__(self, reason: Reason, detail: str, reply: bytes | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail[:300]
        self.reply = reply


class Observation(NamedTuple):
    """One value as the device reports it (scale of the profile applied), before unit conversion and judgement."""

    property: str
    """Name in the vocabulary, for example ``water_temperature``."""
    value: float
    """In ``unit``; finite."""
    unit: str
    """UCUM code as the profile or the payload declares it, for example ``mV``."""
    observed_at: int | None = None
    """Nanoseconds since 1970 UTC by the device's clock; None if the device gave no time."""


class Message(NamedTuple):
    """Everything one uplink says. A codec returns this or raises RefusedError."""

    observations: list[Observation]
    """May be empty for messages that carry a state and no value (a join, a last will)."""
    sequence: int | None = None
    """Sequence number or frame counter, if the device counts its uplinks."""
    identity: str | None = None
    """Deduplication id given by a network server, if any."""
    zoned: bool = False
    """The time was local without a zone, and ``Context.zone`` was applied."""
    online: bool | None = None
    """Set by status messages and last wills."""
    stale: bool = False
    """A cached or retained value shown again: counted and kept in latest, never stored as a new point."""
    simulated: bool = False
    """The network server marked the message as simulated."""
    reply: bytes | None = None
    """A downlink the format's protocol asks for at once (Sparkplug's rebirth request), else None."""
