"""The nouns of the line: uplink, reading, finished batch, and what every store must do. No I/O."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from devices.observation import Reason
from devices.quality import Clock, Quality
from devices.vocabulary import Measurement


class Uplink(NamedTuple):
    """One MQTT message as the broker delivered it, or one record of a backfill."""

    topic: str
    payload: bytes
    received_at: int
    """Nanoseconds UTC by the gateway's clock."""
    qos: int = 1
    retained: bool = False
    duplicate: bool = False
    """The broker set DUP: it may have delivered this before."""
    message_id: int = 0
    """MQTT packet id, needed to acknowledge; 0 for QoS 0 and backfill."""
    backfill: bool = False
    """Read from a file: old times are expected, not late."""


class Reading(NamedTuple):
    """One value the gateway stands behind."""

    device: int
    """Index in the registry."""
    property: str
    value: float
    """In the property's one canonical unit."""
    observed_at: int
    """Nanoseconds UTC; ``received_at`` where the device's clock cannot be used."""
    received_at: int
    quality: Quality
    clock: Clock


class RefusedUplink(NamedTuple):
    """An uplink that was kept with its bytes and could not be used."""

    uplink: Uplink
    device: str
    """Name if the device is known, else empty."""
    reason: Reason
    detail: str


class Outcome(StrEnum):
    """What became of an uplink. ``received = kept + refused + repeated``, by device and hour."""

    KEPT = "kept"
    REFUSED = "refused"
    REPEATED = "repeated"


class Heard(NamedTuple):
    """One uplink's entry in its batch's journal row: ledger delta and repeat recognition in one."""

    sender: int
    """Number of the device in the journal's ``sender`` table."""
    outcome: Outcome
    received_at: int
    identity: int
    """64-bit hash of what makes a repeat recognisable (time, number, payload); 0 if nothing does."""
    message_id: int
    numbered: bool
    """The uplink carries a time, a sequence number or a deduplication id."""
    live: bool = False
    """The device spoke just now: kept, neither retained nor from a file."""
    online: bool | None = None
    """What a status message said."""
    sequence: int = 0
    """The sequence number that was counted, and 1 more; 0 is none. Of a refused uplink: 1 if it is not known."""
    missing: int = 0
    """Uplinks that the device's numbers say were sent and never arrived; -1 where one of those came late."""


class Judged(NamedTuple):
    """What one stored line holds, for those who make something of readings after the commit."""

    device: int
    """Index in the registry."""
    at: int
    """Time of the line [ns UTC]."""
    received_at: int
    properties: tuple[str, ...]
    values: Sequence[float]
    """Canonical units, in the order of the properties."""
    flags: Sequence[int]
    """``devices.quality.Quality`` of each."""
    old: bool
    """Read from a file: no news, nothing to alarm about."""


class Batch(NamedTuple):
    """Everything one commit puts on disk."""

    received: int
    """Uplinks that came in, counted before anything is decided about them."""
    lines: bytes
    """Finished line protocol, each line ended by a newline, times in nanoseconds."""
    line_count: int
    heard: Sequence[Heard]
    refused: Sequence[RefusedUplink]
    raw: Sequence[Uplink]
    """Accepted uplinks, to be kept for decoding again."""
    judged: Sequence[Judged] = ()
    """The readings of the lines; not part of what is on disk."""
    again: Sequence[tuple[int, int]] = ()
    """Device and time [ns UTC] of stored lines whose flags the batch overwrites; likewise."""


class Row(NamedTuple):
    """One journal row that a store has not accepted yet."""

    id: int
    """Rising with time."""
    line_count: int
    lines: bytes
    """Finished line protocol, not compressed."""


class RejectedLine(NamedTuple):
    """A single line a store will never take."""

    row: int
    line: bytes
    answer: str
    """The server's words."""


class Outbox(Protocol):
    """The journal as delivery sees it. Thread-safe; marks reach the disk with the next commit."""

    def fresh(self, store: str, after: int, max_lines: int, max_bytes: int) -> list[Row]:
        """Waiting rows with ``id > after``, rising, as many as fit (at least one if there is any)."""
        ...

    def backlog(self, store: str, before: int, max_lines: int, max_bytes: int) -> list[Row]:
        """The oldest waiting rows with ``id <= before``, rising, as many as fit (at least one if there is any)."""
        ...

    def newest(self) -> int:
        """Id of the newest committed row; 0 if there is none."""
        ...

    def accepted(self, store: str, rows: Sequence[int], rejected: Sequence[RejectedLine]) -> None:
        """The store has every line of these rows but the rejected ones: the rows leave its queue."""
        ...

    def wait(self, after: int, seconds: float) -> None:
        """Return when a row with ``id > after`` is committed, when ``interrupt`` is called, or after that time."""
        ...

    def interrupt(self) -> None:
        """Wake every waiting thread (shutdown)."""
        ...


class Window(NamedTuple):
    """A bounded question about time."""

    start: int
    """Nanoseconds UTC, included."""
    stop: int
    """Nanoseconds UTC, excluded."""
    every: int
    """Width of one bucket [ns]; 0 asks for the points as stored."""
    limit: int = 10_000
    """At most this many points come back."""


class Point(NamedTuple):
    """One point of a series: a bucket's mean, least and greatest, or a stored value (all three the same)."""

    time: int
    """Start of the bucket, or the stored time [ns UTC]."""
    mean: float
    low: float
    high: float


class StoredLine(NamedTuple):
    """One line as a store has it."""

    device: str
    time: int
    """Nanoseconds UTC."""
    fields: dict[str, float]


class StoreError(Exception):
    """A store did not take a body. ``delivery`` decides by the class what to do."""


class StoreUnavailableError(StoreError):
    """Outage (no answer, 408, 429, 5xx): keep, back off. ``retry_after`` [s] if the server said so."""

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class StoreMisconfiguredError(StoreError):
    """401, 403, 404, or a limit of the store's own configuration: keep everything, alarm, try again in 30 s."""


class LinesRefusedError(StoreError):
    """400, 422: some line of the body is bad, the rest may be stored; the text holds the server's words.

    Args:
        words: the server's.
        dropped: how many lines it says it has not stored; 0: it does not say.
    """

    def __init__(self, words: str, dropped: int = 0) -> None:
        super().__init__(words)
        self.dropped = dropped


class BodyTooLargeError(StoreError):
    """413: split."""


class StoreWriter(Protocol):
    """A store as delivery sees it; called from one thread."""

    name: str
    """Unique among the stores of the settings."""

    def write(self, body: bytes) -> None:
        """Store finished line protocol (times in ns); writing the same lines twice is writing once.

        Raises:
            StoreError: one of its four classes.
        """
        ...


class Store(StoreWriter, Protocol):
    """What keeps the readings: InfluxDB 2.x/3.x, 1.x, or the embedded one. Called from one thread each for writing;
    reading comes from other threads."""

    def series(self, measurement: Measurement, commune: str, device: str, field: str, window: Window) -> list[Point]:
        """A field of one device over time, oldest first.

        Raises:
            StoreUnavailableError: cannot be asked now.
        """
        ...

    def lines(
        self,
        measurement: str,
        commune: str,
        device: str | None,
        start: int,
        stop: int,
        limit: int,
        *,
        newest: bool = False,
    ) -> list[StoredLine]:
        """Whole lines of one device, or of every device of a commune, with ``start <= time < stop`` [ns UTC].

        Args:
            measurement: a reading's or a roll-up's.
            commune: key.
            device: name; None for all.
            start: included.
            stop: excluded.
            limit: at most so many of each device.
            newest: the newest first, and those are the ones that ``limit`` keeps; else the oldest.

        Raises:
            StoreUnavailableError: cannot be asked now.
        """
        ...

    def check(self) -> list[str]:
        """Problems a person must mend, one line each with what to do; empty if reachable, writable, indexed right."""
        ...

    def close(self) -> None:
        """Let go of connections and files."""
        ...
