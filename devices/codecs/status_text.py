"""Status messages and last wills: ``online`` or ``offline``, as plain text or as a JSON object with ``state``."""

from devices.codecs.json_text import read_json
from devices.observation import Message, Reason, RefusedError

_PLAIN = {b"online": True, b"offline": False}
_LONGEST = 256


def plain_status(payload: bytes) -> Message | None:
    """The message of a plain ``online`` or ``offline`` in any case, or None for other bytes."""
    online = _PLAIN.get(payload.strip().lower()) if len(payload) <= _LONGEST else None
    return None if online is None else Message([], online=online)


def read_status(payload: bytes) -> Message:
    """Read a status message: plain text, ``"online"`` in quotes, or ``{"state": "online"}``.

    Raises:
        RefusedError: ``empty``, ``encoding``; ``field_type`` if the state is no such word; ``malformed``.
    """
    message = plain_status(payload)
    if message is not None:
        return message
    document = read_json(payload)
    state = document.get("state") if isinstance(document, dict) else document
    online = _PLAIN.get(state.strip().lower().encode()) if isinstance(state, str) else None
    if online is None:
        raise RefusedError(Reason.FIELD_TYPE, 'expected the state online or offline, as text or as {"state": ...}')
    return Message([], online=online)
