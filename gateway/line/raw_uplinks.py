"""Uplinks as the journal keeps them: accepted ones to be decoded again, refused ones with their bytes."""

import sqlite3
import zlib
from collections.abc import Sequence

from gateway.line.pruning import ROW_BYTES
from gateway.model import RefusedUplink, Uplink

REFUSED_PAYLOAD_BYTES = 1 << 20
"""Of a longer refused payload this much is kept; its true size is recorded."""
_RETAINED, _BACKFILL = 1, 2
_HEAD = 15


def pack_raw(raw: Sequence[Uplink]) -> bytes:
    """Uplinks as bytes, each: received_at (8 bytes), flags (1; bit 0 retained, bit 1 backfill), lengths of topic (2)
    and payload (4), then both.
    """
    parts: list[bytes] = []
    for uplink in raw:
        topic = uplink.topic.encode()
        flags = _RETAINED * uplink.retained | _BACKFILL * uplink.backfill
        parts += (
            uplink.received_at.to_bytes(8, "little"), bytes([flags]),
            len(topic).to_bytes(2, "little"), len(uplink.payload).to_bytes(4, "little"), topic, uplink.payload,
        )  # fmt: skip
    return b"".join(parts)


def unpack_raw(data: bytes) -> list[Uplink]:
    """The reverse of ``pack_raw``."""
    found, at = [], 0
    while at < len(data):
        received_at, flags = int.from_bytes(data[at : at + 8], "little"), data[at + 8]
        topic_end = at + _HEAD + int.from_bytes(data[at + 9 : at + 11], "little")
        end = topic_end + int.from_bytes(data[at + 11 : at + _HEAD], "little")
        topic, payload = data[at + _HEAD : topic_end].decode(), data[topic_end:end]
        retained, backfill = bool(flags & _RETAINED), bool(flags & _BACKFILL)
        found.append(Uplink(topic, payload, received_at, retained=retained, backfill=backfill))
        at = end
    return found


def write_raw(database: sqlite3.Connection, raw: Sequence[Uplink]) -> int:
    """Put accepted uplinks in; returns the bytes that counts for."""
    body = zlib.compress(pack_raw(raw), 1)
    row = (raw[0].received_at, raw[-1].received_at, len(raw), body)
    database.execute("INSERT INTO raw (first_at, last_at, uplinks, body) VALUES (?, ?, ?, ?)", row)
    return len(body) + ROW_BYTES


def write_refused(database: sqlite3.Connection, refused: Sequence[RefusedUplink]) -> int:
    """Put refused uplinks in; returns the bytes that counts for."""
    size = 0
    for entry in refused:
        uplink = entry.uplink
        kept = uplink.payload[:REFUSED_PAYLOAD_BYTES]
        payload = zlib.compress(kept, 1)
        size += len(payload) + ROW_BYTES
        database.execute(
            "INSERT INTO refused (received_at, topic, device, reason, detail, qos, retained, size, truncated, payload)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (uplink.received_at, uplink.topic, entry.device, entry.reason, entry.detail, uplink.qos, uplink.retained,
             len(uplink.payload), len(kept) < len(uplink.payload), payload),
        )  # fmt: skip
    return size
