"""Sparkplug B: births, data and deaths of an edge node and its devices, in protocol buffers.

Source: Eclipse Sparkplug specification 3.0, chapters 4 and 6; field numbers of its ``sparkplug_b.proto``.

Topic ``spBv1.0/<group>/<event>/<node>[/<device>]``, event NBIRTH, NDATA, NDEATH or DBIRTH, DDATA, DDEATH. Payload::

    Payload                             Metric
    1  timestamp  uint64  [ms]          1  name       text     7   is_null   boolean
    2  metrics                          2  alias      uint64   10  int       uint32    12  float    14  boolean
    3  seq        0 .. 255              3  timestamp  uint64   11  long      uint64    13  double   15  text
    4  uuid       text                  4  datatype   uint32

    datatype   1-4 Int8 to Int64 (two's complement in int or long), 5-8 UInt8 to UInt64, 9 Float, 10 Double, 11 Boolean,
               12 String, 13 DateTime [ms], 14 Text

A property's ``path`` in the profile is the metric's name. A birth gives names their aliases and types; data may carry
the alias only. An unknown alias, or a gap in ``seq`` after a birth, asks the node for a new birth: ``reply``, to be
published as NCMD. Data of which nothing can be read for want of aliases is refused; it can be replayed after the birth.
Nodes report what changed: a message may hold only metrics that the profile does not have, and then says nothing. Nulls
and metrics without a value are left out.
"""

import struct
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError

from devices.codecs import Context, Decoder, times
from devices.codecs.field_values import Field, allow_options, compile_names, last_each, written
from devices.codecs.sparkplug_b_messages import Metric, Payload
from devices.observation import Message, Observation, Reason, RefusedError
from devices.profile import Profile

NODE_BIRTH, NODE_DEATH, DEVICE_BIRTH, DEVICE_DEATH = "NBIRTH", "NDEATH", "DBIRTH", "DDEATH"
DATA = frozenset({"NDATA", "DDATA"})
REBIRTH = "Node Control/Rebirth"
BIRTH_NUMBER = "bdSeq"
COMPRESSED = "SPBV1.0_COMPRESSED"
"""The uuid of a payload that holds another one, deflated."""

_SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}
_INT64, _FLOAT, _DOUBLE, _BOOLEAN, _STRING = 4, 9, 10, 11, 12
_MOST_ALIASES = 20_000
"""Of one edge node; more is a fault, and memory is bounded."""
_ASK_AGAIN = 60 * times.SECOND
"""The request for a birth may be lost, and a node that answers with the same gap must not be asked for ever."""


class _Node:
    """What an edge node has said that later messages build on; lives in ``Context.memory``."""

    def __init__(self) -> None:
        self.aliases: dict[int, str] = {}
        self.types: dict[str, int] = {}
        self.birth_number: int | None = None
        self.sequence: int | None = None
        """The newest ``seq``; None before the first birth of the node."""
        self.asked_at: int | None = None

    @staticmethod
    def of(context: Context) -> "_Node":
        node = context.memory.get("node")
        if not isinstance(node, _Node):
            node = context.memory["node"] = _Node()
        return node

    def count(self, sequence: int | None) -> bool:
        """Take a message's ``seq`` in; False if one before it is missing."""
        if sequence is None or self.sequence is None:
            return True
        expected = (self.sequence + 1) % 256
        self.sequence = sequence
        return sequence == expected

    def ask(self, at: int) -> bytes | None:
        """The request for a new birth, unless one was sent a moment ago."""
        if self.asked_at is not None and 0 <= at - self.asked_at < _ASK_AGAIN:
            return None
        self.asked_at = at
        return rebirth_request(at)


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one profile.

    Raises:
        ProfileError: two properties of one metric name, or an option.
    """
    allow_options(profile)
    fields = compile_names(profile)

    def decode(payload: bytes, context: Context) -> Message:
        event = context.event
        if event not in DATA and event not in {NODE_BIRTH, DEVICE_BIRTH, NODE_DEATH, DEVICE_DEATH}:
            raise RefusedError(Reason.UNSUPPORTED, f"Sparkplug's {event[:20]!r} carries no readings")
        message = _parse(payload)
        node = _Node.of(context)
        sequence = _sequence(message)
        if event == NODE_DEATH:
            return _node_death(message, node)
        if event == NODE_BIRTH:
            return _node_birth(message, node, fields, sequence)
        complete = node.count(sequence)
        known = True
        observations: list[Observation] = []
        if event != DEVICE_DEATH:
            if event == DEVICE_BIRTH:
                _learn(message, node)
            observations, known = _observe(message, node, fields)
        at = context.received_at or message.timestamp * times.MILLISECOND
        reply = None if complete and known else node.ask(at)
        if event in DATA:
            if not message.metrics:
                raise RefusedError(Reason.NO_READING, "the payload has no metric")
            if not known and not observations:
                raise RefusedError(
                    Reason.INTEGRITY, "no birth has named these aliases; the node was asked for one", reply
                )
            return Message(observations, sequence, reply=reply)
        return Message(observations, sequence, online=event == DEVICE_BIRTH, reply=reply)

    return decode


def _parse(payload: bytes) -> Any:
    if not payload:
        raise RefusedError(Reason.EMPTY, "the payload has no bytes")
    message = Payload()
    try:
        message.ParseFromString(payload)
    except DecodeError as error:
        raise RefusedError(Reason.MALFORMED, "not a Sparkplug B payload (protocol buffers)") from error
    if message.uuid == COMPRESSED.encode():
        raise RefusedError(Reason.UNSUPPORTED, "compressed payloads are not read: switch compression off at the node")
    return message


def _sequence(message: Any) -> int | None:
    if not message.HasField("seq"):
        return None
    if message.seq > 255:
        raise RefusedError(Reason.INTEGRITY, f"seq {message.seq} is above 255")
    return int(message.seq)


def _node_death(message: Any, node: _Node) -> Message:
    """The node's last will; one that belongs to an earlier birth comes too late and says nothing."""
    number = _birth_number(message)
    if number is not None and node.birth_number is not None and number != node.birth_number:
        return Message([])
    return Message([], online=False)


def _node_birth(message: Any, node: _Node, fields: dict[str, Field], sequence: int | None) -> Message:
    """All that was known of the node ends here."""
    node.aliases.clear()
    node.types.clear()
    node.birth_number = _birth_number(message)
    node.sequence = sequence or 0
    _learn(message, node)
    observations, _ = _observe(message, node, fields)
    return Message(observations, sequence, online=True)


def _birth_number(message: Any) -> int | None:
    for metric in message.metrics:
        if metric.name == BIRTH_NUMBER.encode():
            return int(metric.long_value or metric.int_value)
    return None


def _learn(message: Any, node: _Node) -> None:
    """Remember a birth's aliases and types.

    Raises:
        RefusedError: ``malformed`` (a metric without a name, too many aliases), ``encoding``, ``integrity`` (one alias
            for two metrics of the birth).
    """
    fresh: dict[int, str] = {}
    for metric in message.metrics:
        name = _text(metric.name)
        if not name:
            raise RefusedError(Reason.MALFORMED, "a birth names every metric")
        if metric.HasField("alias") and fresh.setdefault(metric.alias, name) != name:
            raise RefusedError(Reason.INTEGRITY, f"alias {metric.alias} stands for two metrics")
        if metric.datatype:
            node.types[name] = metric.datatype
    if len(node.aliases) + len(fresh) > _MOST_ALIASES or len(node.types) > _MOST_ALIASES:
        raise RefusedError(Reason.MALFORMED, f"more than {_MOST_ALIASES} metrics at one edge node")
    node.aliases.update(fresh)


def _observe(message: Any, node: _Node, fields: dict[str, Field]) -> tuple[list[Observation], bool]:
    """The profile's metrics, and whether every alias is known."""
    observations: list[Observation] = []
    known = True
    for metric in message.metrics:
        name = _text(metric.name) or node.aliases.get(metric.alias, "")
        known = known and bool(name)
        field = fields.get(name)
        kind = metric.WhichOneof("value")
        if field is None or kind is None or metric.is_null:
            continue
        value = field.value(_value(metric, kind, metric.datatype or node.types.get(name, 0)))
        if value is None:
            continue
        at = metric.timestamp if metric.HasField("timestamp") else message.timestamp
        given = metric.HasField("timestamp") or message.HasField("timestamp")
        observed_at = times.epoch(at, times.MILLISECOND) if given else None
        observations.append(Observation(field.name, value, field.unit, observed_at))
    return last_each(observations), known


def _value(metric: Any, kind: str, datatype: int) -> object:
    """What the metric holds, as JSON would have it."""
    found = getattr(metric, kind)
    if kind == "string_value":
        return _text(found)
    if kind == "float_value":
        return shortest(found)
    bits = _SIGNED_BITS.get(datatype)
    if bits is not None and kind in {"int_value", "long_value"}:
        found &= (1 << bits) - 1
        return found - (1 << bits) if found >> (bits - 1) else found
    return found


def shortest(value: float) -> float:
    """A 32-bit float as the decimal it was made from: 7.2, not 7.199999809265137.

    >>> shortest(7.199999809265137)
    7.2
    """
    for digits in (6, 7, 8):
        rounded = float(f"{value:.{digits}g}")
        if abs(rounded) < _LARGEST_FLOAT and struct.unpack("<f", struct.pack("<f", rounded))[0] == value:
            return rounded
    return value


_LARGEST_FLOAT = 3.4028234e38
"""Of 32 bits; rounding must not lead above it."""


def _text(found: bytes) -> str:
    try:
        return found.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(Reason.ENCODING, f"a name or text is not UTF-8 at byte {error.start}") from error


def rebirth_request(at: int) -> bytes:
    """The NCMD payload that asks an edge node for its births.

    Args:
        at: nanoseconds UTC, written in milliseconds.
    """
    message = Payload(timestamp=at // times.MILLISECOND)
    message.metrics.append(Metric(name=REBIRTH.encode(), datatype=_BOOLEAN, boolean_value=True))
    return bytes(message.SerializeToString(deterministic=True))


def node_birth(birth_number: int, observed_at: int) -> bytes:
    """An edge node's NBIRTH without readings of its own; ``seq`` is 0."""
    message = Payload(timestamp=observed_at // times.MILLISECOND, seq=0)
    message.metrics.append(Metric(name=BIRTH_NUMBER.encode(), datatype=_INT64, long_value=birth_number))
    message.metrics.append(Metric(name=REBIRTH.encode(), datatype=_BOOLEAN, boolean_value=False))
    return bytes(message.SerializeToString(deterministic=True))


def node_death(birth_number: int) -> bytes:
    """An edge node's NDEATH, its last will."""
    message = Payload()
    message.metrics.append(Metric(name=BIRTH_NUMBER.encode(), datatype=_INT64, long_value=birth_number))
    return bytes(message.SerializeToString(deterministic=True))


def encode(
    profile: Profile, values: Mapping[str, float], observed_at: int, sequence: int, birth: bool = False
) -> bytes:
    """Write a device's DDATA, or its DBIRTH.

    Args:
        values: canonical values; those the profile does not have are left out.
        observed_at: nanoseconds UTC, written in milliseconds.
        sequence: the edge node's counter, 0 to 255.
        birth: name every metric of the profile and give its alias; data carries the alias only.
    """
    message = Payload(timestamp=observed_at // times.MILLISECOND, seq=sequence)
    for alias, (name, field) in enumerate(compile_names(profile).items(), start=1):
        found = written(field, values)
        if found is None and not birth:
            continue
        metric = message.metrics.add(alias=alias)
        if birth:
            metric.name = name.encode()
            metric.datatype = _STRING if isinstance(found, str) else _BOOLEAN if isinstance(found, bool) else _DOUBLE
        _set(metric, found)
    return bytes(message.SerializeToString(deterministic=True))


def _set(metric: Any, found: object) -> None:
    if found is None:
        metric.is_null = True
    elif isinstance(found, bool):
        metric.boolean_value = found
    elif isinstance(found, str):
        metric.string_value = found.encode()
    else:
        metric.double_value = found
