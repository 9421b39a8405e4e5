"""A lean MQTT 3.1.1 publisher: many devices on few connections, QoS 1, bounded windows, all kept until PUBACK.

paho costs a third of a core at a thousand messages a second; a fleet of a whole province needs eight times that, so
the few packets a publisher needs are written here. Source: OASIS MQTT 3.1.1, sections 2.2 (fixed header), 3.1 CONNECT,
3.2 CONNACK, 3.3 PUBLISH, 3.4 PUBACK, 3.12 PINGREQ, 3.14 DISCONNECT.
"""

import random
import selectors
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from simulators.packets import REFUSALS, connect_packet, publish_packet, text

KEEPALIVE = 60
_CONNECT_TIMEOUT = 10.0
_LONGEST_WAIT = 30.0
_READ = 1 << 16
_OPENED_AT_ONCE = 20
"""Connections opened in one turn, so that those that stand are served in between."""
_LOW_WATER = 1 << 16
"""Bytes handed to a connection before the rest waits as packets: bounds what a stalled broker can pile up."""


class Note(NamedTuple):
    """One message to publish."""

    topic: str
    payload: bytes
    retain: bool = False
    qos: int = 1


class Speaker(NamedTuple):
    """Who speaks on one connection."""

    client_id: str
    hello: tuple[Note, ...] = ()
    """Published at every connection, before anything else."""
    will: Note | None = None
    """What the broker publishes if the connection breaks."""
    goodbye: tuple[Note, ...] = ()


class Broker(NamedTuple):
    """Where to connect."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str = ""
    password: str = ""
    tls: ssl.SSLContext | None = None


class Counts(NamedTuple):
    """What a publisher has done so far."""

    offered: int
    acknowledged: int
    waiting: int
    """Offered and not acknowledged."""
    connected: int
    breaks: int
    """Connections that broke."""
    refused: str
    """Why there is no connection, in words; empty if there is one, or none was tried."""


class BrokerRefusedError(Exception):
    """The broker answered and will not have us (account, client id, version): waiting does not help."""


class _Message(NamedTuple):
    """One message on its way; ``topic`` with its length in front."""

    topic: bytes
    payload: bytes
    retain: bool
    qos: int
    is_offered: bool
    """By the caller; hello and goodbye are the connection's own and not counted."""


class _Connection:
    """One TCP connection and what it still owes."""

    def __init__(self, number: int, speaker: Speaker, window: int) -> None:
        self.number, self.speaker, self.window = number, speaker, window
        self.socket: socket.socket | None = None
        self.ready = False
        self.out = bytearray()
        self.read = bytearray()
        self.queue: deque[_Message] = deque()
        self.unacknowledged: dict[int, _Message] = {}
        self.next_number = 1
        self.deadline = 0.0
        self.sent_at = self.heard_at = 0.0

    def fill(self) -> None:
        """Turn waiting messages into packets while the window and the buffer have room."""
        queue, unacknowledged, out = self.queue, self.unacknowledged, self.out
        while queue and len(unacknowledged) < self.window and len(out) < _LOW_WATER:
            message = queue.popleft()
            topic, payload, retain, qos, _ = message
            if qos == 0:
                out += publish_packet(topic, payload, b"", retain)
                continue
            number = self.next_number
            while number in unacknowledged:
                number = number % 65535 + 1
            self.next_number = number % 65535 + 1
            unacknowledged[number] = message
            out += publish_packet(topic, payload, number.to_bytes(2, "big"), retain)

    def lost(self) -> None:
        """Forget the socket; what was not acknowledged goes first when the next connection stands."""
        self.socket = None
        self.ready = False
        self.out.clear()
        self.read.clear()
        self.queue.extendleft(reversed(self.unacknowledged.values()))
        self.unacknowledged.clear()


def _own(notes: Sequence[Note]) -> list[_Message]:
    return [_Message(text(note.topic), note.payload, note.retain, note.qos, False) for note in notes]


class Publisher:
    """Publishes for a fleet; one thread, which calls ``turn`` again and again."""

    def __init__(
        self,
        broker: Broker,
        speakers: Sequence[Speaker],
        window: int = 200,
        clock: Callable[[], float] = time.monotonic,
        complain: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Nothing is sent yet.

        Args:
            complain: hears in one line why there is no connection, once for each reason.
        """
        self._broker = broker
        self._clock, self._complain = clock, complain
        self._selector = selectors.DefaultSelector()
        self._connections = [_Connection(number, speaker, window) for number, speaker in enumerate(speakers)]
        self._offered = self._acknowledged = self._breaks = 0
        self._refused = ""
        self._open_after = 0.0
        self._failures = 0

    def offer(self, connection: int, note: Note) -> None:
        """Take one message; it is sent in order of its connection, and again until it is acknowledged."""
        self.offer_bytes(connection, text(note.topic), note.payload, note.retain, note.qos)

    def offer_bytes(self, connection: int, topic: bytes, payload: bytes, retain: bool = False, qos: int = 1) -> None:
        """The same; ``topic`` with its length in front (``text``)."""
        self._connections[connection].queue.append(_Message(topic, payload, retain, qos, True))
        self._offered += qos

    def counts(self) -> Counts:
        """What was done so far with what was offered; QoS 0 is not counted, nobody acknowledges it."""
        connected = sum(1 for connection in self._connections if connection.ready)
        waiting = self._offered - self._acknowledged
        return Counts(self._offered, self._acknowledged, waiting, connected, self._breaks, self._refused)

    def idle(self) -> bool:
        """Everything offered has been sent and acknowledged."""
        return not any(c.queue or c.unacknowledged or c.out for c in self._connections)

    def turn(self, seconds: float) -> None:
        """Connect, send and hear whatever can be done now; wait at most ``seconds`` for something to do.

        Raises:
            BrokerRefusedError: the broker refuses the account for good.
        """
        now = self._clock()
        opened = 0
        for connection in self._connections:
            if connection.socket is not None:
                self._tend(connection, now)
            elif now >= self._open_after and opened < _OPENED_AT_ONCE:
                opened += 1
                self._open(connection, now)
        for key, events in self._selector.select(seconds):
            connection = key.data
            if events & selectors.EVENT_READ and connection.socket is not None:
                self._receive(connection)
            if events & selectors.EVENT_WRITE and connection.socket is not None:
                self._send(connection)

    def _tend(self, connection: _Connection, now: float) -> None:
        if not connection.ready:
            if now > connection.deadline:
                self._lose(connection)
            return
        if now - max(connection.sent_at, connection.heard_at) > KEEPALIVE / 2:
            connection.out += b"\xc0\x00"
            connection.sent_at = now
        if now - connection.heard_at > 1.5 * KEEPALIVE:
            self._lose(connection)
            return
        if connection.queue or connection.out:
            self._send(connection)

    def _open(self, connection: _Connection, now: float) -> None:
        try:
            raw = socket.create_connection((self._broker.host, self._broker.port), timeout=_CONNECT_TIMEOUT)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._broker.tls is not None:
                raw = self._broker.tls.wrap_socket(raw, server_hostname=self._broker.host)
            raw.setblocking(False)
        except OSError as error:
            self._say(f"{self._broker.host}:{self._broker.port}: {error.strerror or error}; trying again")
            self._back_off()
            return
        connection.socket = raw
        connection.deadline = now + _CONNECT_TIMEOUT
        connection.sent_at = connection.heard_at = now
        broker, speaker = self._broker, connection.speaker
        connection.out += connect_packet(speaker.client_id, KEEPALIVE, speaker.will, broker.username, broker.password)
        self._selector.register(raw, selectors.EVENT_READ, connection)
        self._send(connection)

    def _lose(self, connection: _Connection) -> None:
        if connection.socket is not None:
            self._selector.unregister(connection.socket)
            connection.socket.close()
            self._breaks += 1
        connection.lost()
        self._back_off()

    def _say(self, trouble: str) -> None:
        if trouble != self._refused:
            self._refused = trouble
            self._complain(trouble)

    def _back_off(self) -> None:
        """It is one broker: what keeps one connection out keeps them all out."""
        wait = min(_LONGEST_WAIT, 0.25 * 2.0 ** min(self._failures, 8))
        self._failures += 1
        self._open_after = self._clock() + wait * (0.5 + random.random())

    def _send(self, connection: _Connection) -> None:
        assert connection.socket is not None  # noqa: S101 - for the type checker; callers have looked
        try:
            while True:
                if connection.ready:
                    connection.fill()
                if not connection.out:
                    break
                sent = connection.socket.send(connection.out)
                del connection.out[:sent]
                connection.sent_at = self._clock()
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError:
            self._lose(connection)
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.out else 0)
        self._selector.modify(connection.socket, wanted, connection)

    def _receive(self, connection: _Connection) -> None:
        assert connection.socket is not None  # noqa: S101 - likewise
        try:
            data = connection.socket.recv(_READ)
            while isinstance(connection.socket, ssl.SSLSocket) and connection.socket.pending():
                # What TLS has already deciphered does not wake the selector.
                data += connection.socket.recv(_READ)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            data = b""
        if not data:
            self._lose(connection)
            return
        connection.heard_at = self._clock()
        connection.read += data
        self._hear(connection)

    def _hear(self, connection: _Connection) -> None:
        """Take whole packets from what was read: CONNACK, PUBACK, PINGRESP; a publisher gets no others."""
        data, place = connection.read, 0
        while len(data) - place >= 2:
            length = data[place + 1]
            if length > 127:
                self._lose(connection)
                return
            if len(data) - place < 2 + length:
                break
            kind = data[place] >> 4
            if kind == 4 and length == 2:
                message = connection.unacknowledged.pop(data[place + 2] << 8 | data[place + 3], None)
                if message is not None and message.is_offered:
                    self._acknowledged += 1
            elif kind == 2 and length == 2:
                self._welcomed(connection, data[place + 3])
                if connection.socket is None:
                    return
            place += 2 + length
        del data[:place]
        if connection.ready and connection.queue:
            self._send(connection)

    def _welcomed(self, connection: _Connection, code: int) -> None:
        if code:
            refused = f"the broker at {self._broker.host}:{self._broker.port} {REFUSALS.get(code, 'refuses')}"
            self._lose(connection)
            if code in {1, 2, 4, 5}:
                raise BrokerRefusedError(refused)
            self._say(f"{refused}; trying again")
            return
        connection.ready = True
        self._failures = 0
        self._refused = ""
        connection.queue.extendleft(reversed(_own(connection.speaker.hello)))
        self._send(connection)

    def close(self, seconds: float) -> None:
        """Say goodbye, wait at most that long for what is still owed, and disconnect so that no last will is sent."""
        for connection in self._connections:
            if connection.ready:
                connection.queue.extend(_own(connection.speaker.goodbye))
        end = self._clock() + seconds
        while self._clock() < end and any(c.ready and (c.queue or c.unacknowledged) for c in self._connections):
            self.turn(0.05)
        for connection in self._connections:
            if connection.socket is not None:
                self._selector.unregister(connection.socket)
                if connection.ready:
                    self._disconnect(connection.socket)
                connection.socket.close()
                connection.socket = None
        self._selector.close()

    @staticmethod
    def _disconnect(connected: socket.socket) -> None:
        try:
            connected.settimeout(1.0)
            connected.sendall(b"\xe0\x00")
        except OSError:
            # The broker is gone already: it will send the last wills, which is right.
            return
