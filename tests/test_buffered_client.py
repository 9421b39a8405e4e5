"""paho's client with buffers: the same messages as paho alone reads, however the bytes come; its acknowledgements."""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import NamedTuple

import paho.mqtt.client as paho
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from gateway.southbound.buffered_client import BufferedClient

Heard = tuple[bytes, bytes, int, bool, bool, int]
"""Topic, payload, QoS, retained, duplicate, packet id."""


class Packet(NamedTuple):
    """A PUBLISH as a broker sends it."""

    topic: bytes
    payload: bytes = b"1"
    qos: int = 1
    retained: bool = False
    duplicate: bool = False
    number: int = 7

    def encoded(self) -> bytes:
        """On the wire."""
        first = 0x30 | self.duplicate << 3 | self.qos << 1 | self.retained
        number = self.number.to_bytes(2, "big") if self.qos else b""
        body = len(self.topic).to_bytes(2, "big") + self.topic + number + self.payload
        return bytes([first]) + _length(len(body)) + body

    def heard(self) -> Heard:
        """What must come of it."""
        return (self.topic, self.payload, self.qos, self.retained, self.duplicate, self.number if self.qos else 0)


def _length(rest: int) -> bytes:
    """A remaining length of MQTT.

    >>> _length(5), _length(300)
    (b'\\x05', b'\\xac\\x02')
    """
    digits = bytearray()
    while rest > 127:
        digits.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*digits, rest])


@contextmanager
def connected(client: paho.Client) -> Iterator[socket.socket]:
    """The client at one end of a pair of sockets; yields the broker's end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        client._sock = ours
        yield theirs
        client._sock = None


def buffered(protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311) -> BufferedClient:
    """A client that is not connected."""
    return BufferedClient("x", protocol, False if protocol == MQTTProtocolVersion.MQTTv311 else None)


def plain() -> paho.Client:
    """paho's own."""
    return paho.Client(CallbackAPIVersion.VERSION2, "x", clean_session=False, manual_ack=True)


def heard_by(client: paho.Client, chunks: list[bytes], most: int = 10_000) -> list[Heard]:
    """What a client makes of these bytes."""
    found: list[Heard] = []

    def take(topic: str, payload: bytes, qos: int, retained: bool, duplicate: bool, number: int) -> None:
        found.append((topic.encode(), payload, qos, retained, duplicate, number))

    def on_message(_client: paho.Client, _data: object, m: paho.MQTTMessage) -> None:
        found.append((m._topic, bytes(m.payload), m.qos, m.retain, m.dup, m.mid))

    client.on_message = on_message
    with connected(client) as broker:
        for chunk in chunks:
            broker.sendall(chunk)
            has_more = True
            while has_more:
                if isinstance(client, BufferedClient):
                    client.take_publishes(take, most)
                if client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    return found
                has_more = isinstance(client, BufferedClient) and client.has_buffered
                has_more |= bool(select.select([client._sock], [], [], 0)[0])  # type: ignore[type-var]
    return found


packets = st.builds(
    Packet,
    topic=st.sampled_from([b"village/1/lamp/up", b"a", "ph\u1ed1".encode(), b"l\xffmp", b"t" * 200]),
    payload=st.one_of(st.binary(max_size=20), st.sampled_from([b"x" * n for n in (108, 109, 16_000, 16_370, 20_000)])),
    qos=st.integers(0, 1),
    retained=st.booleans(),
    duplicate=st.booleans(),
    number=st.integers(1, 65_535),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(packets, max_size=12), st.lists(st.integers(1, 90_000), max_size=6))
@example([Packet(b"a", b"")] * 3, [])
@example([Packet(b"a", b"x" * 20_000), Packet(b"a", b"")], [19_000])
def test_messages_are_those_that_paho_reads(sent: list[Packet], cuts: list[int]) -> None:
    """Of every length and split anywhere; each once, in order."""
    data = b"".join(packet.encoded() for packet in sent)
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    chunks = [data[a:b] for a, b in pairwise(edges)]
    assert heard_by(buffered(), chunks) == [packet.heard() for packet in sent] == heard_by(plain(), chunks)


@settings(deadline=None, max_examples=100)
@given(st.lists(packets, min_size=1, max_size=4), st.data())
def test_damaged_bytes_are_read_as_paho_reads_them(sent: list[Packet], data: st.DataObject) -> None:
    """Whatever is odd is left to paho, which gives the connection up where the protocol is broken."""
    wire = bytearray(b"".join(packet.encoded() for packet in [Packet(b"first"), *sent]))
    for _ in range(data.draw(st.integers(1, 3))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.sampled_from([0, 1, 2, 0x30, 0x36, 0x7F, 0xFF]))
    expected = heard_by(plain(), [bytes(wire)])
    assert heard_by(buffered(), [bytes(wire)]) == expected


def test_other_packets_between_messages_reach_paho() -> None:
    """A SUBACK in the middle of a burst."""
    granted: list[int] = []
    client = buffered()
    client.on_subscribe = lambda _client, _data, number, *_: granted.append(number)
    data = Packet(b"a").encoded() * 3 + b"\x90\x03\x00\x09\x01" + Packet(b"b").encoded() * 2
    assert [topic for topic, *_ in heard_by(client, [data])] == [b"a"] * 3 + [b"b"] * 2
    assert granted == [9]


def test_mqtt_5_is_left_to_paho() -> None:
    """Its messages carry properties."""
    client, taken = buffered(MQTTProtocolVersion.MQTTv5), list[object]()
    client._received = Packet(b"a").encoded()
    client.take_publishes(lambda *message: taken.append(message), 10)
    assert (taken, client.has_buffered) == ([], True)


def test_at_most_so_many_are_handed_over() -> None:
    """The rest stays."""
    client, taken = buffered(), list[object]()
    client._received = Packet(b"a").encoded() * 5
    client.take_publishes(lambda *message: taken.append(message), 3)
    assert (len(taken), client.has_buffered) == (3, True)


def test_client_overrides_what_paho_still_calls() -> None:
    """The methods and attributes are private to paho: another version may not have them, or not use them."""
    for name in ("_sock_recv", "_sock_send", "_sock_close", "_packet_read", "_packet_write"):
        assert callable(getattr(paho.Client, name))
    client = buffered()
    assert (client._in_packet["command"], client._protocol) == (0, MQTTProtocolVersion.MQTTv311)
    with connected(client) as broker:
        assert client.subscribe("a", 1) == (paho.MQTT_ERR_SUCCESS, 1)
        client.acknowledge([5, 0xABCD])
        assert select.select([broker], [], [], 0)[0] == []
        client.flush()
        assert broker.recv(100) == b"\x40\x02\x00\x05\x40\x02\xab\xcd" + b"\x82\x06\x00\x01\x00\x01a\x01"


@pytest.mark.parametrize("qos", [0, 1])
def test_shortest_message(qos: int) -> None:
    """A topic of one letter and no payload."""
    packet = Packet(b"a", b"", qos)
    assert heard_by(buffered(), [packet.encoded() * 4]) == [packet.heard()] * 4
