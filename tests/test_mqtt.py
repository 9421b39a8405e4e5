"""The broker edge, against a real Mosquitto and scripted bytes: nothing acknowledged early, nothing asked twice."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from random import Random
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import SecretStr

from gateway.model import Uplink
from gateway.settings_neighbours import Broker
from gateway.southbound import mqtt as mqtt_module
from gateway.southbound.buffered_client import READ_BYTES
from gateway.southbound.dropped import DROPPED
from gateway.southbound.mqtt import MqttEdge
from gateway.southbound.subscriptions import NOTE
from tests import servers
from tests.gateway_process import Publisher, await_that
from tests.servers import HOST, Server

FILTERS = ["village/+/+/up", "village/+/+/status"]
UP = "village/10642/lamp-1/up"
PROTOCOLS = pytest.mark.parametrize("protocol", ["3.1.1", "5"])
QUEUE_ALL = "max_queued_messages 0\nset_tcp_nodelay true"


class Notes(dict[str, str]):
    """What survives a restart of the gateway."""

    def note(self, name: str) -> str:
        return self.get(name, "")

    def remember(self, name: str, value: str) -> None:
        self[name] = value


class NoJitter(Random):
    """Tries again as soon as the edge ever does: after half a second."""

    def random(self) -> float:
        return 0.0


class Bench:
    """An edge with its notes; it polls until a condition holds."""

    def __init__(
        self, server: Server | int, notes: Notes | None = None, filters: Sequence[str] = FILTERS, **more: Any
    ) -> None:
        self.notes = Notes() if notes is None else notes
        self.lost: list[int] = []
        port = server if isinstance(server, int) else server.port
        settings = Broker.model_construct(**{**Broker().model_dump(), "port": port, **more})
        self.edge = MqttEdge(settings, filters, self.notes, self.lost.append)
        self.edge._random = NoJitter()
        self.got: list[Uplink] = []

    def poll(self) -> list[Uplink]:
        """One turn."""
        uplinks = self.edge.poll(0.05)
        self.got += uplinks
        return uplinks

    def until(self, condition: Callable[[], object]) -> None:
        """Turn until it holds; the suite's own time limit ends a test where it never does."""
        while not condition():
            self.poll()

    def connect(self) -> "Bench":
        """Turn until the session has its subscriptions, acknowledging what comes."""
        while not (self.edge.status.connected and self.notes.note(NOTE)):
            self.edge.acknowledge(self.poll())
        return self

    def payloads(self) -> list[bytes]:
        """What has come, in order."""
        return [uplink.payload for uplink in self.got]

    def receive(self, count: int) -> list[bytes]:
        """Turn until so many have come, acknowledging nothing."""
        self.until(lambda: len(self.got) >= count)
        return self.payloads()

    def receive_and_acknowledge(self, count: int) -> list[bytes]:
        """Turn until so many have come, acknowledging each turn's as the line does after its commit."""
        while len(self.got) < count:
            self.edge.acknowledge(self.poll())
        return self.payloads()


@pytest.fixture
def benches() -> Iterator[list[Bench]]:
    """Edges to close at the end."""
    made: list[Bench] = []
    yield made
    for bench in made:
        bench.edge.close()


@pytest.fixture
def bench(broker: Server, benches: list[Bench]) -> Callable[..., Bench]:
    """Makes edges to the broker."""

    def make(server: Server | int = broker, **more: Any) -> Bench:
        benches.append(Bench(server, **more))
        return benches[-1]

    return make


@contextmanager
def device(server: Server) -> Iterator[paho.Client]:
    """A publishing client."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.max_queued_messages = 0
    client.max_inflight_messages = 1000
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect(server.host, server.port)
    client.loop_start()
    connected.wait()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def publish(server: Server, *payloads: bytes | None, topic: str = UP, qos: int = 1, retain: bool = False) -> None:
    """Publish and return when the broker has accepted every one."""
    with device(server) as client:
        for info in [client.publish(topic, payload, qos, retain) for payload in payloads]:
            info.wait_for_publish()


def numbers(count: int) -> list[bytes]:
    """Distinct payloads."""
    return [b"%d" % number for number in range(count)]


# acknowledging -----------------------------------------------------------------------------------------------


@PROTOCOLS
def test_message_is_redelivered_until_it_is_acknowledged(
    broker: Server, bench: Callable[..., Bench], protocol: str
) -> None:
    """With DUP set and the same packet id: what the line needs to know it again."""
    first = bench(protocol=protocol).connect()
    publish(broker, b"kept", b"lost")
    first.receive(2)
    first.edge.acknowledge(first.got[:1])
    first.edge.close()
    second = bench(protocol=protocol, notes=first.notes)
    second.receive(1)
    assert [(u.payload, u.duplicate, u.message_id) for u in second.got] == [(b"lost", True, first.got[1].message_id)]
    assert [(u.topic, u.qos, u.retained, u.duplicate) for u in first.got] == [(UP, 1, False, False)] * 2
    second.edge.acknowledge(second.got)
    second.edge.close()
    third = bench(protocol=protocol, notes=first.notes).connect()
    publish(broker, b"next")
    assert third.receive(1) == [b"next"]


@PROTOCOLS
def test_many_messages_pass_the_brokers_window_of_20(bench: Callable[..., Bench], protocol: str) -> None:
    """5,000 with Mosquitto's default window: acknowledged by turn, never by count."""
    with servers.mosquitto(QUEUE_ALL) as broker:
        edge = bench(broker, protocol=protocol).connect()
        publishing = threading.Thread(target=publish, args=(broker, *numbers(5000)))
        publishing.start()
        assert edge.receive_and_acknowledge(5000) == numbers(5000)
        publishing.join()
    received = [uplink.received_at for uplink in edge.got]
    assert received == sorted(set(received))


def test_window_stays_closed_while_nothing_is_acknowledged(broker: Server, bench: Callable[..., Bench]) -> None:
    """The broker keeps what does not fit into its window of 20."""
    edge = bench().connect()
    publish(broker, *numbers(50))
    edge.receive(20)
    publish(broker, b"of no quality", qos=0)  # overtakes what waits: nothing more was on its way before it
    edge.until(lambda: b"of no quality" in edge.payloads())
    assert edge.payloads() == [*numbers(20), b"of no quality"]
    edge.edge.acknowledge(edge.got)
    assert edge.receive_and_acknowledge(51)[21:] == numbers(50)[20:]


def test_acknowledgements_of_an_earlier_connection_are_dropped(broker: Server, bench: Callable[..., Bench]) -> None:
    """Packet ids belong to a connection: the broker would take them for other messages."""
    edge = bench().connect()
    publish(broker, *numbers(3))
    edge.receive(3)
    old = list(edge.got)
    cut(edge)
    edge.edge.acknowledge(old)
    edge.receive(6)
    assert [(u.payload, u.duplicate) for u in edge.got[3:]] == [(payload, True) for payload in numbers(3)]


def socket_of(bench: Bench) -> socket.socket:
    """The client's end of its connection."""
    sock = bench.edge._client.socket()
    assert isinstance(sock, socket.socket)
    return sock


def cut(bench: Bench) -> None:
    """Break the connection under the client, and turn until it has noticed."""
    socket_of(bench).shutdown(socket.SHUT_RDWR)
    bench.until(lambda: not bench.edge.status.connected)


def test_uplinks_read_before_the_connection_broke_are_not_thrown_away(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that has lost its memory will not send them again; they are not acknowledged to the next one."""
    with scripted_broker() as script:
        edge = bench(script.port).connect()
        script.send(publish_packet(1, b"first") + publish_packet(2, b"second"))
        script.drop()
        assert edge.receive(2) == [b"first", b"second"]
        edge.until(lambda: not edge.edge.status.connected)
        edge.edge.acknowledge(edge.got)
        edge.until(lambda: edge.edge.status.connected)
        assert script.packets(0x40) == []


def test_acknowledgement_waits_for_a_socket_that_is_full(bench: Callable[..., Bench]) -> None:
    """A broker that does not read for a while gets every PUBACK, whole and once."""
    with scripted_broker(receive_buffer=4096) as script:
        edge = bench(script.port).connect()
        socket_of(edge).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        script.pause()
        uplinks = [Uplink(UP, b"", n, 1, message_id=n % 65535 + 1) for n in range(40_000)]
        edge.edge.acknowledge(uplinks)
        assert edge.edge._client.has_unsent
        script.resume()
        edge.until(lambda: not edge.edge._client.has_unsent)
        publish_back = [int.from_bytes(packet[2:4]) for packet in script.wait_for(0x40, len(uplinks))]
        assert publish_back == [uplink.message_id for uplink in uplinks]


# session and subscriptions -----------------------------------------------------------------------------------


@PROTOCOLS
def test_messages_sent_while_away_arrive(bench: Callable[..., Bench], protocol: str) -> None:
    """The session is the gateway's memory at the broker, also for a new process."""
    with servers.mosquitto(QUEUE_ALL) as broker:
        first = bench(broker, protocol=protocol).connect()
        first.edge.close()
        publish(broker, *numbers(300))
        second = bench(broker, protocol=protocol, notes=first.notes)
        assert second.receive_and_acknowledge(300) == numbers(300)


def subscriptions(server: Server) -> int:
    """How often somebody has subscribed to our filters, by the broker's own log, which is whole when it has ended."""
    server.stop()
    return server.log.read_text().count("village-gateway 1 village/+/+/up")


LOG_SUBSCRIPTIONS = "log_type subscribe\nlog_type unsubscribe"


@PROTOCOLS
def test_present_session_is_not_subscribed_again(bench: Callable[..., Bench], protocol: str) -> None:
    """Retained messages come once, with the first SUBSCRIBE."""
    with servers.mosquitto(LOG_SUBSCRIPTIONS) as broker:
        publish(broker, b"online", topic="village/10642/lamp-1/status", retain=True)
        first = bench(broker, protocol=protocol).connect()
        assert first.receive_and_acknowledge(1) == [b"online"]
        assert first.got[0].retained
        cut(first)
        first.connect()
        first.edge.close()
        second = bench(broker, protocol=protocol, notes=first.notes).connect()
        publish(broker, b"fresh")
        assert second.receive(1) == [b"fresh"]
        assert subscriptions(broker) == 1


def test_changed_filters_are_subscribed_and_unsubscribed(bench: Callable[..., Bench]) -> None:
    """Only what changed; what is no longer wanted does not come."""
    with servers.mosquitto(LOG_SUBSCRIPTIONS) as broker:
        publish(broker, b"online", topic="village/10642/lamp-1/status", retain=True)
        publish(broker, b"retained", topic="tele/x/LWT", retain=True)
        first = bench(broker).connect()
        first.receive_and_acknowledge(1)
        first.edge.close()
        second = bench(broker, notes=first.notes, filters=["village/+/+/up", "tele/+/+"]).connect()
        assert second.receive_and_acknowledge(1) == [b"retained"]
        publish(broker, b"unheard", topic="village/10642/lamp-1/status")
        publish(broker, b"heard")
        assert second.receive_and_acknowledge(2)[1:] == [b"heard"]
        second.edge.close()
        third = bench(broker, notes=first.notes, filters=["tele/+/+"]).connect()
        publish(broker, b"unheard")
        publish(broker, b"told", topic="tele/x/STATE")
        assert third.receive(1) == [b"told"]
        assert subscriptions(broker) == 1


def test_lost_session_is_subscribed_anew(bench: Callable[..., Bench]) -> None:
    """A broker that was restarted without a memory, whatever the notes say."""
    with servers.mosquitto() as broker:
        edge = bench(broker).connect()
        broker.restart()
        edge.until(lambda: not edge.edge.status.connected)
        edge.connect()
        publish(broker, b"heard")
        assert edge.receive(1) == [b"heard"]


def test_session_is_in_doubt_until_the_subscription_is_granted(bench: Callable[..., Bench]) -> None:
    """A connection, or a process, that ends before SUBACK leaves a session that hears nothing: it asks again."""
    notes = Notes({NOTE: json.dumps({f"{HOST}:1/village-gateway": FILTERS})})
    with scripted_broker(grants=False) as script:
        edge = bench(script.port, notes=notes)
        edge.until(lambda: script.packets(0x80))
        assert notes.note(NOTE) == ""
        script.drop()
        script.session_present = True
        edge.until(lambda: sum(UP_FILTER in packet for packet in script.packets(0x80)) == 2)
        assert notes.note(NOTE) == ""


UP_FILTER = b"village/+/+/up"


def test_another_brokers_filters_are_not_ours(broker: Server, bench: Callable[..., Bench]) -> None:
    """Notes are kept by broker and client id."""
    notes = Notes({NOTE: json.dumps({f"{HOST}:1/village-gateway": FILTERS})})
    with device(broker):
        edge = bench(notes=notes).connect()
    publish(broker, b"heard")
    assert edge.receive(1) == [b"heard"]
    assert list(json.loads(notes.note(NOTE))) == [f"{HOST}:{broker.port}/village-gateway"]


def test_refused_subscription_is_said(bench: Callable[..., Bench]) -> None:
    """One line that says what to do; it is asked for again with the next connection."""
    with scripted_broker(refuses=True) as script:
        edge = bench(script.port)
        edge.until(lambda: "refuses a subscription" in edge.edge.status.detail)
        detail = "broker refuses a subscription; give the gateway's account the right to read its topics"
        assert (edge.edge.status.connected, edge.edge.status.detail, edge.notes.note(NOTE)) == (True, detail, "")


# brokers that come and go ------------------------------------------------------------------------------------


def test_absent_broker_is_waited_for(bench: Callable[..., Bench]) -> None:
    """Started in any order; the reason is in one line until then."""
    with servers.mosquitto() as broker:
        broker.stop()
        edge = bench(broker)
        edge.until(lambda: "refused" in edge.edge.status.detail)
        assert edge.edge.status.detail == f"{HOST}:{broker.port}: [Errno 111] Connection refused"
        broker.start()
        edge.connect()
        assert edge.edge.status.detail == "connected"
        publish(broker, b"heard")
        assert edge.receive(1) == [b"heard"]


def test_restarted_broker_with_a_memory_goes_on(bench: Callable[..., Bench]) -> None:
    """What it had for us, unacknowledged or queued, arrives afterwards."""
    with servers.mosquitto("persistence true\nautosave_interval 1\nautosave_on_changes true") as broker:
        edge = bench(broker).connect()
        publish(broker, b"before")
        edge.receive(1)
        broker.stop()
        edge.until(lambda: not edge.edge.status.connected)
        broker.start()
        publish(broker, b"after")
        assert sorted(edge.receive(3)) == [b"after", b"before", b"before"]
        assert [uplink.duplicate for uplink in edge.got if uplink.payload == b"before"] == [False, True]


def test_wrong_password_is_said_and_tried_again(bench: Callable[..., Bench]) -> None:
    """The broker's reason stays visible; it is not taken for a lost connection."""
    with servers.mosquitto("allow_anonymous false") as broker:
        edge = bench(broker, username="gateway", password=SecretStr("wrong"))
        edge.until(lambda: "refuses" in edge.edge.status.detail)
        assert edge.edge.status.detail == "broker refuses the connection: Not authorized"
        edge.until(lambda: edge.edge._failures >= 2)
        assert edge.edge.status.detail == "broker refuses the connection: Not authorized"


def test_broker_that_never_answers_is_given_up(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    """A black hole, at the beginning and later: noticed by the keepalive."""
    now = [1000.0]
    monkeypatch.setattr(paho, "time_func", lambda: now[0])
    with scripted_broker(answers=False) as script:
        edge = bench(script.port)
        edge.until(lambda: script.packets(0x10))
        now[0] += 31
        edge.until(lambda: "no answer" in edge.edge.status.detail)
        script.answers = True
        edge.connect()
        now[0] += 31
        edge.until(lambda: script.packets(0xC0))
        now[0] += 31
        edge.until(lambda: not edge.edge.status.connected)
        assert edge.edge.status.detail == "connection lost: Keep alive timeout"


def test_leaving_says_goodbye(bench: Callable[..., Bench]) -> None:
    """The broker sees a disconnection, not a broken one."""
    with scripted_broker() as script:
        edge = bench(script.port).connect()
        edge.edge.close()
        assert script.wait_for(0xE0, 1) == [b"\xe0\x00"]


def test_waking_never_waits(bench: Callable[..., Bench], broker: Server) -> None:
    """However often, and also after the end."""
    edge = bench()
    for _ in range(5000):
        edge.edge.wake()
    assert edge.poll() == []
    edge.connect()
    edge.edge.close()
    edge.edge.wake()


def test_edge_works_beyond_1023_open_files(bench: Callable[..., Bench], broker: Server) -> None:
    """A busy API has many connections; ``select`` would refuse ours."""
    import os
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1300 if hard == resource.RLIM_INFINITY else min(1300, hard)
    if wanted < 1300:
        pytest.skip("this machine allows fewer than 1,300 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        edge = bench().connect()
        publish_raw(broker, b"heard")
        assert edge.receive(1) == [b"heard"]
        edge.edge.close()
    finally:
        for number in files:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def publish_raw(server: Server, payload: bytes) -> None:
    """Publish with QoS 1 over a plain socket: paho's own loop cannot use high file numbers."""
    with socket.create_connection((server.host, server.port)) as sock:
        sock.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x" + publish_packet(1, payload))
        seen = b""
        while b"\x40\x02" not in seen:
            seen += sock.recv(100)
        sock.sendall(b"\xe0\x00")


# bytes -------------------------------------------------------------------------------------------------------


@PROTOCOLS
@pytest.mark.parametrize("qos", [0, 1])
def test_large_payload_arrives_whole(broker: Server, bench: Callable[..., Bench], protocol: str, qos: int) -> None:
    """256 KiB, larger than any read."""
    payload = bytes(range(256)) * 1024
    edge = bench(protocol=protocol).connect()
    publish(broker, payload, b"next", qos=qos)
    assert edge.receive_and_acknowledge(2) == [payload, b"next"]
    assert [uplink.qos for uplink in edge.got] == [qos, qos]


def publish_packet(number: int, payload: bytes, topic: str = UP) -> bytes:
    """PUBLISH with QoS 1, MQTT 3.1.1."""
    body = len(topic).to_bytes(2) + topic.encode() + number.to_bytes(2) + payload
    length, rest = b"", len(body)
    while True:
        rest, low = divmod(rest, 128)
        length += bytes([low | (128 if rest else 0)])
        if not rest:
            return b"\x32" + length + body


STREAM = b"".join(publish_packet(n, b"x" * size) for n, size in enumerate((0, 1, 100, 200, 20_000, 3), start=1))
SIZES = [0, 1, 100, 200, 20_000, 3]


@pytest.mark.parametrize("cuts", ["bytes", "one", "thirds"])
def test_packets_split_and_joined_anyhow(bench: Callable[..., Bench], cuts: str) -> None:
    """One byte at a time, many packets in one segment, or cut anywhere."""
    with scripted_broker() as script:
        edge = bench(script.port).connect()
        if cuts == "bytes":
            head = len(STREAM) - 19_000
            for number in range(400):
                script.send(STREAM[number : number + 1])
                edge.poll()
            script.send(STREAM[400:head])
            script.send(STREAM[head:])
        elif cuts == "thirds":
            for start in range(0, len(STREAM), 6789):
                script.send(STREAM[start : start + 6789])
                edge.poll()
        else:
            script.send(STREAM * 20)
        times = 20 if cuts == "one" else 1
        assert [len(payload) for payload in edge.receive(times * len(SIZES))] == SIZES * times
        edge.edge.acknowledge(edge.got)
        assert [packet[2:] for packet in script.wait_for(0x40, times * len(SIZES))] == [
            n.to_bytes(2) for n in range(1, 7)
        ] * times


def test_one_turn_brings_a_bounded_number(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of a flood does not wait for the last."""
    monkeypatch.setattr(mqtt_module, "MAX_UPLINKS", 50)
    with scripted_broker() as script:
        edge = bench(script.port).connect()
        script.send(b"".join(publish_packet(n, b"x") for n in range(1, 501)))
        sizes: list[int] = []
        while sum(sizes) < 500:
            sizes.append(len(edge.poll()))
        assert max(sizes) == 50


def test_one_turn_brings_a_bounded_number_of_bytes(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is made of packs of many moments is large until it is on disk."""
    monkeypatch.setattr(mqtt_module, "MAX_BYTES", 10_000)
    with scripted_broker() as script:
        edge = bench(script.port).connect()
        script.send(b"".join(publish_packet(n, b"x" * 900) for n in range(1, 501)))
        sizes: list[int] = []
        while sum(sizes) < 500 * 900:
            sizes.append(sum(len(uplink.payload) for uplink in edge.poll()))
        assert 0 < max(sizes) <= 10_000 + READ_BYTES


def test_topic_that_is_no_text_is_still_an_uplink(bench: Callable[..., Bench]) -> None:
    """It is refused and kept by the line, like anything strange."""
    with scripted_broker() as script:
        edge = bench(script.port).connect()
        script.send(publish_packet(7, b"x").replace(b"lamp", b"l\xffmp"))
        edge.receive(1)
        assert [(u.topic, u.payload, u.message_id) for u in edge.got] == [("?topic-is-not-utf-8", b"x", 7)]


# telling, and what the broker drops --------------------------------------------------------------------------


def test_devices_are_told_with_quality_0(broker: Server, bench: Callable[..., Bench]) -> None:
    """If the broker is there; else it is lost, and nothing happens. Our own words are no uplinks."""
    topic = "village/10642/lamp-1/error"
    edge = bench(filters=["village/+/+/error"])
    edge.edge.tell(topic, b"too early")
    edge.connect()
    with Publisher(broker) as listener:
        listener.listen(topic)
        edge.edge.tell(topic, b"unit")
        await_that("the device hears", lambda: listener.heard)
        listener.send(topic, b"somebody else's")
        edge.receive(1)
        assert listener.heard[0] == (topic, b"unit")
    assert edge.payloads() == [b"somebody else's"]


def test_messages_the_broker_drops_are_counted(bench: Callable[..., Bench]) -> None:
    """By its own word: its queue for us holds 5, and 45 more had been accepted."""
    with servers.mosquitto("sys_interval 1\nmax_queued_messages 5\nmax_inflight_messages 1") as broker:
        edge = bench(broker).connect()
        edge.until(lambda: edge.notes.note("broker_dropped") == "0")
        edge.edge.close()
        publish(broker, *numbers(50))
        again = bench(broker, notes=edge.notes)
        while not again.lost or sum(again.lost) + len(again.got) < 50:
            again.edge.acknowledge(again.poll())
        assert (sum(again.lost), again.notes.note("broker_dropped")) == (45, "45")
        assert again.payloads() == numbers(5)


@pytest.mark.parametrize(
    ("counts", "lost"),
    [
        (["7", "7"], []),
        (["7", "9", "10"], [2, 1]),
        (["7", "0", "0", "3"], [3]),
        (["7", "0", "12"], [12]),
        (["7", "2"], [2]),
        (["many", "7"], []),
    ],
)
def test_counter_of_a_broker_that_starts_again(bench: Callable[..., Bench], counts: list[str], lost: list[int]) -> None:
    """What was dropped before we first asked is not ours; a restarted broker counts from 0."""
    with scripted_broker() as script:
        edge = bench(script.port).connect()
        script.send(
            b"".join(publish_packet(1, count.encode(), DROPPED) for count in counts) + publish_packet(2, b"end")
        )
        assert edge.receive(1) == [b"end"]
        assert edge.lost == lost


# a broker of bytes -------------------------------------------------------------------------------------------


class Script:
    """A TCP server that speaks just enough MQTT 3.1.1, and sends what a test says."""

    def __init__(self, receive_buffer: int, *, answers: bool, grants: bool, refuses: bool) -> None:
        self.answers, self.grants, self.refuses, self.session_present = answers, grants, refuses, False
        self._listener = socket.socket()
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind((HOST, 0))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self._peer: socket.socket | None = None
        self._seen: list[bytes] = []
        self._news = threading.Condition()
        self._reading = threading.Event()
        self._reading.set()
        self._thread = threading.Thread(target=self._serve, name="scripted-broker")

    def packets(self, kind: int) -> list[bytes]:
        """Packets of a kind that the client has sent."""
        with self._news:
            return [packet for packet in self._seen if packet[0] & 0xF0 == kind]

    def wait_for(self, kind: int, count: int) -> list[bytes]:
        """Wait until so many packets of a kind have come."""
        with self._news:
            self._news.wait_for(lambda: sum(packet[0] & 0xF0 == kind for packet in self._seen) >= count)
        return self.packets(kind)

    def send(self, data: bytes) -> None:
        """Send bytes to the client."""
        assert self._peer is not None
        self._peer.sendall(data)

    def drop(self) -> None:
        """End the connection; what was sent still arrives."""
        assert self._peer is not None
        self._peer.shutdown(socket.SHUT_WR)

    def pause(self) -> None:
        """Read nothing more."""
        self._reading.clear()

    def resume(self) -> None:
        """Read again."""
        self._reading.set()

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End; the listening thread too."""
        self._reading.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        if self._peer is not None:
            with suppress(OSError):
                self._peer.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            self._peer = peer
            with peer:
                try:
                    self._read(peer)
                except OSError:
                    continue

    def _read(self, peer: socket.socket) -> None:
        data = b""
        while True:
            self._reading.wait()
            block = peer.recv(65536)
            if not block:
                return
            data += block
            with self._news:
                # Everything a client sends here is shorter than 128 bytes, but for our SUBSCRIBE.
                while len(data) >= 2 and len(data) >= (size := _size_of(data)):
                    packet, data = data[:size], data[size:]
                    self._seen.append(packet)
                    self._answer(peer, packet)
                self._news.notify_all()

    def _answer(self, peer: socket.socket, packet: bytes) -> None:
        kind = packet[0] & 0xF0
        if kind == 0x10 and self.answers:
            peer.sendall(bytes([0x20, 2, self.session_present, 0]))
        elif kind == 0xE0:
            peer.shutdown(socket.SHUT_RDWR)
        elif kind == 0x80 and self.grants:
            count = 1 if DROPPED.encode() in packet else len(FILTERS)
            peer.sendall(bytes([0x90, 2 + count, *packet[2:4], *[0x80 if self.refuses else 1] * count]))


def _size_of(data: bytes) -> int:
    length, place, factor = 0, 1, 1
    while place < len(data):
        length += (data[place] & 127) * factor
        place, factor = place + 1, factor * 128
        if not data[place - 1] & 128:
            return length + place
    return len(data) + 1


@contextmanager
def scripted_broker(
    receive_buffer: int = 0, *, answers: bool = True, grants: bool = True, refuses: bool = False
) -> Iterator[Script]:
    """A broker of bytes, listening."""
    script = Script(receive_buffer, answers=answers, grants=grants, refuses=refuses)
    script.start()
    try:
        yield script
    finally:
        script.stop()
