"""The broker edge: a persistent session, QoS 1, acknowledged by hand after the commit, in the line's own thread."""

import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.model import Uplink
from gateway.settings_neighbours import Broker
from gateway.southbound.buffered_client import BufferedClient
from gateway.southbound.dropped import DROPPED, Dropped
from gateway.southbound.subscriptions import Notes, Subscriptions

log = structlog.get_logger(__name__)

MAX_TOLD = 10_000
"""Topics we have published on that are remembered, to know our own words again."""
MAX_UPLINKS = 2000
"""At most this many uplinks leave one poll, so that the first of them does not wait long for its commit."""
MAX_BYTES = 512 << 10
"""At most so many bytes of payload, and what came in one read with the last of them: what is made of them is some forty
times as large until it is on disk. Chosen: 2,000 uplinks of seven values are as many; packs of many moments are cut
into more commits."""
MAX_COUNTED = 128 << 10
"""Of one payload: a larger one is refused, and next to nothing is made of it."""
STEP_BACK = 10**9
"""A clock going back by less [ns] is being slewed, or is not one for all processors."""
SESSION_SECONDS = 7 * 86400
"""How long an MQTT 5 broker keeps our session; 3.1.1 brokers keep it for ever."""
UNSETTLED_LOSSES, UNSETTLED_SECONDS = 3, 60.0
"""A connection that is lost so often in so short a time does not last by itself. Chosen."""
UNSETTLED = "the broker ends the connection again and again"
Reasons = list[ReasonCode]


class EdgeStatus(NamedTuple):
    """For health."""

    connected: bool
    detail: str
    since: float
    """``time.time`` of the last change."""


class MqttEdge:
    """What the line asks of the broker: uplinks, acknowledgements, a word to a device. One thread, but for ``wake``."""

    def __init__(self, settings: Broker, filters: Sequence[str], notes: Notes, lost: Callable[[int], None]) -> None:
        """Store only; the first ``poll`` connects.

        Args:
            settings: address, account, TLS.
            filters: MQTT subscription filters, exact.
            notes: remembers which filters the broker's session holds.
            lost: called with how many messages the broker says it has dropped since it was last asked.
        """
        self._settings, self._dropped = settings, Dropped(notes, lost)
        self._subscriptions = Subscriptions(f"{settings.host}:{settings.port}/{settings.client_id}", filters, notes)
        self._client = self._make_client()
        self._inbox: list[Uplink] = []
        self._inbox_bytes = 0
        self._told: set[str] = set()
        self._connection = 0
        self._polled_on = 0
        self._accepted = False
        """This connection has been let in by the broker."""
        self._connecting: threading.Thread | None = None
        self._next_try = 0.0
        self._failures = 0
        self._random = Random()  # noqa: S311 - jitter
        self._last_at = 0
        self._losses: deque[float] = deque(maxlen=UNSETTLED_LOSSES)
        """When the last few connections were lost (``time.monotonic``)."""
        self._wake_read, self._wake_write = socket.socketpair()
        # Neither end may wait: whoever wakes a busy line a thousand times must not be held up by it.
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self.status = EdgeStatus(False, "not connected yet", time.time())

    @property
    def is_listening(self) -> bool:
        """Whether the broker has granted everything that was asked for."""
        return self._subscriptions.is_granted

    def _make_client(self) -> BufferedClient:
        settings = self._settings
        if settings.protocol == "5":
            client = BufferedClient(settings.client_id, MQTTProtocolVersion.MQTTv5, None)
        else:
            client = BufferedClient(settings.client_id, MQTTProtocolVersion.MQTTv311, False)
        if settings.username:
            password = settings.password.get_secret_value() if settings.password else None
            client.username_pw_set(settings.username, password)
        if settings.tls:
            client.tls_set(
                _path(settings.ca_file),
                _path(settings.cert_file),
                _path(settings.key_file),
                cert_reqs=ssl.CERT_REQUIRED,
            )
        client.connect_timeout = 5.0
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_message, client.on_subscribe = self._on_message, self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_socket_open = lambda _client, _data, _socket: client.reset_buffers()
        return client

    # what the line asks --------------------------------------------------------------------------------------

    def poll(self, seconds: float) -> list[Uplink]:
        """Uplinks that have arrived; waits up to ``seconds`` for the first. Connects and reconnects as needed."""
        client = self._client
        if self._connecting is not None:
            if self._connecting.is_alive():
                self._sleep(seconds)
                return []
            self._connecting.join()
            self._connecting = None
        sock = client.socket()
        if sock is None:
            self._connect_when_due(seconds)
            return []
        if not (client.has_buffered or _has_pending(sock)):
            self._wait(seconds, sock)
        self._read()
        client.loop_misc()
        self._flush()
        self._polled_on = self._connection
        if self.status.detail.startswith(UNSETTLED) and self.status.connected and not self._unsettled():
            self.status = EdgeStatus(True, "connected", time.time())
        inbox, self._inbox, self._inbox_bytes = self._inbox, [], 0
        return inbox

    def acknowledge(self, uplinks: Sequence[Uplink]) -> None:
        """PUBACK for everything of QoS 1 that is on disk now.

        Packet ids belong to a connection: acknowledgements of an earlier one are dropped, the broker will redeliver.
        """
        if self._polled_on != self._connection or self._client.socket() is None:
            return
        self._client.acknowledge(uplink.message_id for uplink in uplinks if uplink.qos)
        self._flush()

    def tell(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0; lost if the broker is away."""
        if self.status.connected and self._connecting is None:
            if len(self._told) >= MAX_TOLD:
                self._told.clear()
            self._told.add(topic)
            self._client.publish(topic, payload, qos=0)
            self._flush()

    def wake(self) -> None:
        """Make a waiting ``poll`` return. From any thread."""
        try:
            self._wake_write.send(b"w")
        except OSError:
            return  # it is awake already, or closed

    def close(self) -> None:
        """Leave the broker; it keeps the session."""
        if self._connecting is not None:
            self._connecting.join(1.0)
        self._client.on_disconnect = None
        self._client.leave()
        self._wake_read.close()
        self._wake_write.close()

    # connection ----------------------------------------------------------------------------------------------

    def _connect_when_due(self, seconds: float) -> None:
        wait = self._next_try - time.monotonic()
        if wait > 0:
            self._sleep(min(wait, seconds))
            return
        if not self._subscriptions.is_ready():
            return
        # In its own thread: a name server or a black hole may hold it for seconds, and the line has other work.
        self._connecting = threading.Thread(target=self._connect, name="broker-connect", daemon=True)
        self._connecting.start()

    def _connect(self) -> None:
        settings = self._settings
        try:
            properties, clean_start = None, paho.MQTT_CLEAN_START_FIRST_ONLY
            if settings.protocol == "5":
                properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
                properties.SessionExpiryInterval = SESSION_SECONDS
                # Left to itself, paho's first connection of a process throws the old session and its messages away.
                clean_start = False
            self._client.connect(
                settings.host,
                settings.port,
                settings.keepalive_seconds,
                clean_start=clean_start,
                properties=properties,
            )
        except (OSError, ValueError) as error:
            self._failed(f"{settings.host}:{settings.port}: {error}")
        self.wake()

    def _failed(self, detail: str) -> None:
        # Seconds, not minutes, and not all gateways of a province at once.
        self._failures += 1
        pause = min(15.0, 0.5 * 2 ** min(self._failures, 6)) * (0.5 + self._random.random())
        self._next_try = time.monotonic() + pause
        if self.status.connected or self.status.detail != detail:
            log.warning("broker is not there; trying again", detail=detail)
            self.status = EdgeStatus(False, detail, time.time())

    def _sleep(self, seconds: float) -> None:
        self._wait(seconds, None)

    def _wait(self, seconds: float, sock: "paho.SocketLike | None") -> None:
        # poll, because select refuses file numbers beyond 1,023, which a busy API can use up.
        waiting = select.poll()
        waiting.register(self._wake_read, select.POLLIN)
        if sock is not None:
            waiting.register(sock, select.POLLIN | (select.POLLOUT if self._client.has_unsent else 0))
        waiting.poll(max(0.0, seconds) * 1000)
        self._drain_wake()

    def _drain_wake(self) -> None:
        try:
            self._wake_read.recv(4096)
        except BlockingIOError:
            return

    def _read(self) -> None:
        client, inbox = self._client, self._inbox
        while True:
            before = len(inbox)
            client.take_publishes(self._take, MAX_UPLINKS - before)
            if len(inbox) >= MAX_UPLINKS or self._inbox_bytes >= MAX_BYTES:
                return
            if client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
            if not client.has_buffered and len(inbox) == before:
                return

    def _flush(self) -> None:
        try:
            self._client.flush()
        except BlockingIOError:
            return  # the socket is full; the next poll waits for it
        except OSError as error:
            # The next read finds the connection closed and says so to paho.
            log.info("broker connection broke while writing", error=str(error))

    def _unsettled(self) -> str:
        if len(self._losses) < UNSETTLED_LOSSES or time.monotonic() - self._losses[0] > UNSETTLED_SECONDS:
            return ""
        who = f"does another gateway use the client id {self._settings.client_id!r}?"
        return f"{UNSETTLED}; {who} The broker's log says why"

    # paho's callbacks: they run inside poll, in the line's thread -------------------------------------------

    def _on_connect(
        self,
        client: paho.Client,
        _data: object,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._failed(f"broker refuses the connection: {reason}")
            return
        self._accepted = True
        self._connection += 1
        self._failures = 0
        self.status = EdgeStatus(True, self._unsettled() or "connected", time.time())
        log.info("connected to the broker", session_present=flags.session_present)
        client.subscribe(DROPPED, qos=0)
        version5 = self._settings.protocol == "5"
        self._subscriptions.renew(client, present=flags.session_present, version5=version5)

    def _on_unsubscribe(
        self, _client: paho.Client, _data: object, number: int, _reasons: Reasons, _properties: Properties | None
    ) -> None:
        self._subscriptions.granted(number)

    def _on_subscribe(
        self, _client: paho.Client, _data: object, number: int, reasons: Reasons, _properties: Properties | None
    ) -> None:
        if not any(reason.is_failure for reason in reasons):
            self._subscriptions.granted(number)
        elif self._subscriptions.refused(number):
            detail = "broker refuses a subscription; give the gateway's account the right to read its topics"
            log.error(detail, reasons=[str(reason) for reason in reasons])
            self.status = EdgeStatus(True, detail, time.time())
        else:
            log.warning("broker does not tell how many messages it drops; give the gateway's account $SYS/#")

    def _on_disconnect(
        self,
        _client: paho.Client,
        _data: object,
        _flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        # What was read and not polled yet stays and is committed, but never acknowledged: if the broker still has it,
        # it comes again and is a repeat; if the broker has lost it, this was the last copy.
        self._connection += 1
        if self._accepted:
            self._losses.append(time.monotonic())
            self._failed(f"connection lost: {reason}")
        elif self._next_try <= time.monotonic():
            self._failed(f"no answer from a broker at {self._settings.host}:{self._settings.port}: {reason}")
        self._accepted = False

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "?topic-is-not-utf-8"
        self._take(topic, bytes(message.payload), message.qos, message.retain, message.dup, message.mid)

    def _take(self, topic: str, payload: bytes, qos: int, retained: bool, duplicate: bool, packet: int) -> None:
        if topic == DROPPED:
            self._dropped.take(payload)
            return
        if qos == 0 and topic in self._told:
            return  # our own word: a vendor's filter may cover the topics it is told on (Sparkplug B)
        now = time.time_ns()
        if 0 <= self._last_at - now < STEP_BACK:
            # Strictly rising, so that two uplinks without a time never share one. A clock that was set back further is
            # followed: else everything until then would be of one moment.
            now = self._last_at + 1
        self._last_at = now
        self._inbox_bytes += min(len(payload), MAX_COUNTED)
        self._inbox.append(Uplink(topic, payload, now, qos, retained, duplicate, packet))


def _has_pending(sock: object) -> bool:
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0


def _path(path: object) -> str | None:
    return None if path is None else str(path)
