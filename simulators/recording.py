"""Records MQTT messages to a file with the times they came at, and reads such files back."""

import base64
import gzip
import json
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, NamedTuple, cast

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from simulators.publisher import Broker, BrokerRefusedError, Note

LONGEST_LINE = 1 << 21
"""Bytes: a payload of 1 MiB in base64 and its topic."""


class RecordingError(Exception):
    """A file that cannot be read or written: one line with file, line and what is wrong."""


class Step(NamedTuple):
    """One message and when it comes."""

    at: float
    """Seconds since 1970 UTC."""
    note: Note


class _Line(BaseModel):
    """One line of a recording."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    received_at: datetime
    topic: Annotated[str, Field(pattern=r"^[^+#\x00]+$", max_length=65535)]
    qos: Annotated[int, Field(ge=0, le=2)] = 0
    retained: bool = False
    text: str | None = None
    base64: str | None = None
    """The payload, where it is not UTF-8."""


def line_of(received_at: float, topic: str, qos: int, retained: bool, payload: bytes) -> bytes:
    """One message as a line.

    >>> line_of(0.0, "a/b", 0, False, b"21")
    b'{"received_at":"1970-01-01T00:00:00.000000Z","topic":"a/b","text":"21"}\\n'
    """
    moment = datetime.fromtimestamp(received_at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    found: dict[str, object] = {"received_at": moment, "topic": topic}
    if qos:
        found["qos"] = qos
    if retained:
        found["retained"] = True
    try:
        found["text"] = payload.decode("utf-8")
    except UnicodeDecodeError:
        found["base64"] = base64.b64encode(payload).decode()
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def open_lines(path: Path, mode: Literal["rb", "wb"]) -> BinaryIO:
    """The file, through gzip where its name ends so; whoever opens it closes it."""
    opened = gzip.open(path, mode) if path.suffix == ".gz" else path.open(mode)  # noqa: SIM115
    return cast("BinaryIO", opened)


def bounded_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Every line that is not blank, with its number.

    Raises:
        RecordingError: a line that is too long, or a file that cannot be read.
    """
    try:
        with open_lines(path, "rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    raise RecordingError(f"{path}: line {number}: longer than {LONGEST_LINE} bytes")
                if line.strip():
                    yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise RecordingError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def read_line(path: Path, number: int, line: bytes) -> Step:
    """One line of a recording.

    Raises:
        RecordingError: it is none; the text says where and why.
    """
    try:
        found = _Line.model_validate_json(line)
        payload = base64.b64decode(found.base64, validate=True) if found.base64 is not None else None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RecordingError(f"{path}: line {number}: {f'{key}: ' if key else ''}{first['msg']}") from error
    except ValueError as error:
        raise RecordingError(f"{path}: line {number}: base64: {error}") from error
    if (payload is None) == (found.text is None):
        raise RecordingError(f"{path}: line {number}: exactly one of text and base64 must be there")
    if found.received_at.tzinfo is None:
        raise RecordingError(f"{path}: line {number}: received_at: without an offset")
    if payload is None:
        payload = (found.text or "").encode()
    return Step(found.received_at.timestamp(), Note(found.topic, payload, found.retained, min(found.qos, 1)))


class Recorder:
    """Subscribes, and writes what comes to a file until it is told to stop or the file is full.

    Args:
        clock: seconds since 1970 UTC.
    """

    def __init__(
        self, path: Path, broker: Broker, topics: Sequence[str], most_bytes: int, clock: Callable[[], float]
    ) -> None:
        self._path, self._broker, self._topics, self._most_bytes = path, broker, tuple(topics), most_bytes
        self._clock = clock
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._file: BinaryIO | None = None
        self._writing = threading.Lock()
        self._failure: Exception | None = None
        self.ended = threading.Event()
        """Set when nothing more is written: the file is full, or something failed."""
        self.listening = threading.Event()
        """Set when the broker has accepted the subscription."""
        self.messages = self.bytes = 0

    def start(self) -> None:
        """Connect and begin; the broker may come later.

        Raises:
            RecordingError: the file cannot be written.
        """
        try:
            self._file = open_lines(self._path, "wb")
        except OSError as error:
            raise RecordingError(f"{self._path}: {error.strerror}") from error
        if self._broker.username:
            self._client.username_pw_set(self._broker.username, self._broker.password or None)
        if self._broker.tls is not None:
            self._client.tls_set_context(self._broker.tls)
        self._client.connect_async(self._broker.host, self._broker.port)
        self._client.loop_start()

    def flush(self) -> None:
        """Hand what was written to the operating system, so that a killed recorder has it too."""
        if self._file is not None and not self.ended.is_set():
            with self._writing:
                self._file.flush()

    def stop(self) -> None:
        """Disconnect and close the file.

        Raises:
            BrokerRefusedError: the broker refuses the account or the topics.
            RecordingError: the disk is full.
        """
        self._client.disconnect()
        self._client.loop_stop()
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._failure is not None:
            raise self._failure

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._fail(BrokerRefusedError(f"the broker at {self._broker.host}:{self._broker.port} says: {code}"))
            return
        client.subscribe([(topic, 1) for topic in self._topics])

    def _on_subscribe(
        self, _client: mqtt.Client, _data: Any, _number: int, codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        if any(code.is_failure for code in codes):
            self._fail(BrokerRefusedError(f"the broker refuses to subscribe to {', '.join(self._topics)}"))
            return
        self.listening.set()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if self.ended.is_set() or self._file is None:
            return
        line = line_of(self._clock(), message.topic, message.qos, message.retain, bytes(message.payload))
        if self.bytes + len(line) > self._most_bytes:
            self.ended.set()
            return
        try:
            with self._writing:
                self._file.write(line)
        except OSError as error:
            self._fail(RecordingError(f"{self._path}: {error.strerror}"))
            return
        self.messages += 1
        self.bytes += len(line)

    def _fail(self, failure: Exception) -> None:
        self._failure = failure
        self.ended.set()
