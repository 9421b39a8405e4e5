"""MQTT packets as bytes, and how a length is written. Source: OASIS MQTT 3.1.1, sections 2.2 and 3.1 to 3.3."""

import struct


def varying(length: int) -> bytes:
    """The remaining length of a fixed header: seven bits a byte, least first."""
    found = bytearray()
    while True:
        length, low = divmod(length, 128)
        found.append(low | (0x80 if length else 0))
        if not length:
            return bytes(found)


_HEADS = {qos: [bytes([0x30 | qos << 1]) + varying(length) for length in range(2048)] for qos in (0, 1)}


def publish_packet(topic: bytes, payload: bytes, number: bytes, retain: bool = False) -> bytes:
    """PUBLISH; ``topic`` with its length in front, ``number`` two bytes for QoS 1 and none for QoS 0."""
    length = len(topic) + len(number) + len(payload)
    if length < 2048 and not retain:
        return b"".join((_HEADS[1 if number else 0][length], topic, number, payload))
    head = bytes([0x30 | (2 if number else 0) | (1 if retain else 0)])
    return b"".join((head, varying(length), topic, number, payload))


def text(value: str | bytes) -> bytes:
    """A string with its length in front."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(data)) + data


def connect_packet(
    client_id: str, keepalive: int, will: tuple[str, bytes, bool, int] | None, username: str, password: str
) -> bytes:
    """CONNECT with a clean session: what was not acknowledged is kept here, not at the broker.

    Args:
        keepalive: seconds.
        will: topic, payload, retain, QoS.
    """
    flags, rest = 0x02, text(client_id)
    if will is not None:
        topic, payload, retain, qos = will
        flags |= 0x04 | qos << 3 | (0x20 if retain else 0)
        rest += text(topic) + text(payload)
    if username:
        flags |= 0x80
        rest += text(username)
        if password:
            flags |= 0x40
            rest += text(password)
    body = text("MQTT") + bytes([4, flags]) + struct.pack(">H", keepalive) + rest
    return b"\x10" + varying(len(body)) + body


REFUSALS = {
    1: "does not speak MQTT 3.1.1",
    2: "refuses the client id",
    3: "is not available",
    4: "refuses the user name or password",
    5: "does not authorize this account",
}
"""What a broker means by its return code. Source: the same, table 3.1."""
