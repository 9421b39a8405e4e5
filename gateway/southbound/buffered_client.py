"""paho's MQTT client with one system call for many messages."""

import socket
import struct
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

READ_BYTES = 65536
GOODBYE = b"\xe0\x00"
"""DISCONNECT, the same bytes in MQTT 3.1.1 and 5. Not through paho, which closes the socket as soon as it is sent."""
LEAVE_SECONDS = 1.0
PUBLISH = 3
"""Kind of a packet: the upper half of its first byte."""
LEAST_PUBLISH = 5
"""Bytes of the shortest one."""
PUBACK = struct.Struct(">HH")
PUBACK_HEAD = 0x4002
"""First byte, and how many follow; the same in MQTT 3.1.1 and 5, where it means success."""
Take = Callable[[str, bytes, int, bool, bool, int], None]
"""Topic, payload, QoS, retained, duplicate, packet id (0 for QoS 0)."""


class BufferedClient(paho.Client):
    """paho's client with one ``recv`` for many messages and one ``send`` for many acknowledgements.

    paho reads each message with four system calls and sends each PUBACK with one; at thousands of messages a second
    that is most of the gateway's work. What is overridden or read here is private to paho: ``tests/test_mqtt.py`` pins
    it.
    """

    def __init__(self, client_id: str, protocol: MQTTProtocolVersion, clean_session: bool | None) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2, client_id, clean_session=clean_session, protocol=protocol, manual_ack=True
        )
        self._received = b""
        self._read_at = 0
        self._unsent = bytearray()
        self._held = False
        # With a write callback registered, paho queues packets instead of sending each on its own.
        self.on_socket_register_write = _leave_queued

    @property
    def has_buffered(self) -> bool:
        """Whether bytes are here that ``select`` no longer knows of."""
        return self._read_at < len(self._received)

    def reset_buffers(self) -> None:
        """A new connection begins."""
        self._received, self._read_at = b"", 0
        self._unsent.clear()

    def take_publishes(self, take: Take, most: int) -> None:
        """Hand over, at most so many, the usual messages that are here whole; through paho one costs four times as
        much. Whatever else comes, and the first packet of each ``recv``, is left to paho: it keeps the connection.
        """
        if self._in_packet["command"] or self._protocol != MQTTProtocolVersion.MQTTv311:
            return  # paho is in the middle of a packet; MQTT 5 puts properties into each
        data, at = self._received, self._read_at
        while most > 0 and len(data) - at >= LEAST_PUBLISH and data[at] >> 4 == PUBLISH:
            flags, length, begin = data[at], data[at + 1], at + 2
            if length > 127:
                if data[begin] > 127:
                    break  # longer than 16 KB
                length, begin = length - 128 + data[begin] * 128, begin + 1
            end = begin + length
            topic_end = begin + 2 + (data[begin] << 8 | data[begin + 1])
            qos = flags >> 1 & 3
            body = topic_end + 2 * qos
            if end > len(data) or body > end or topic_end == begin + 2 or qos > 1:
                break
            try:
                topic = str(data[begin + 2 : topic_end], "utf-8")
            except UnicodeDecodeError:
                break
            packet = data[topic_end] << 8 | data[topic_end + 1] if qos else 0
            take(topic, data[body:end], qos, flags & 1 == 1, flags & 8 == 8, packet)
            at, most = end, most - 1
        self._read_at = at

    def acknowledge(self, packets: Iterable[int]) -> None:
        """PUBACK for these packet ids with the next ``flush``."""
        self._unsent += b"".join([PUBACK.pack(PUBACK_HEAD, packet) for packet in packets])

    def flush(self) -> None:
        """Send everything queued, in as few system calls as possible."""
        self._held = True
        try:
            self.loop_write()
        finally:
            self._held = False
        if self._unsent:
            sent = super()._sock_send(bytes(self._unsent))
            del self._unsent[:sent]

    def leave(self) -> None:
        """Send what is queued and say goodbye, if the socket takes it at once; a session at the broker stays."""
        with suppress(OSError):
            self.flush()
            if not self.has_unsent:
                super()._sock_send(GOODBYE)
                self._read_out()
        self._sock_close()

    def _read_out(self) -> None:
        """Until the broker has closed: closing with bytes unread resets the connection, and with it go the last
        acknowledgements."""
        sock, until = self._sock, time.monotonic() + LEAVE_SECONDS
        if isinstance(sock, socket.socket):
            sock.settimeout(LEAVE_SECONDS)
            while sock.recv(READ_BYTES) and time.monotonic() < until:
                pass

    @property
    def has_unsent(self) -> bool:
        """Whether something waits for the socket to take it."""
        return bool(self._unsent) or self.want_write()

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._read_at >= len(self._received):
            self._received, self._read_at = super()._sock_recv(READ_BYTES), 0
        chunk = self._received[self._read_at : self._read_at + bufsize]
        self._read_at += len(chunk)
        return chunk

    def _sock_send(self, buf: bytes | bytearray) -> int:
        if not self._held:
            return super()._sock_send(buf)
        self._unsent += buf
        return len(buf)


def _leave_queued(_client: paho.Client, _data: object, _socket: object) -> None:
    """Nothing: the line flushes."""
