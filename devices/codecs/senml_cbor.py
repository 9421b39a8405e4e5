"""SenML packs in CBOR: strict reading into records with JSON labels, and writing.

Source: RFC 8428 section 6 (labels are integers, numbers may be decimal fractions).
"""

import io
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NoReturn

import cbor2

from devices.observation import Reason, RefusedError

Record = dict[str, object]
"""One record by its JSON labels, whatever it was written in."""

_LABELS = {
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs", 0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s",
    6: "t", 7: "ut", 8: "vd",
}  # fmt: skip
_CODES = {label: code for code, label in _LABELS.items()}
_DEEPEST = 8
_SELF_DESCRIBED = bytes.fromhex("d9d9f7")
"""The tag "this is CBOR" (RFC 8949, section 3.4.6); it changes nothing about what it encloses."""
_TIMES = ("bt", "t")
"""Kept as decimals where CBOR has them: a float has no room for nanoseconds since 1970."""


def read_cbor(payload: bytes) -> object:
    """Read one CBOR item and give its maps the JSON labels.

    Raises:
        RefusedError: ``empty``; ``encoding``; ``duplicate_key``; ``malformed`` (also: something after the item, a tag
            that is no number, more than 8 levels).
    """
    if not payload:
        raise RefusedError(Reason.EMPTY, "the payload has no bytes")
    content = payload.removeprefix(_SELF_DESCRIBED)
    stream = io.BytesIO(content)
    try:
        item = cbor2.CBORDecoder(
            stream, semantic_decoders=_REFUSED, max_depth=_DEEPEST, allow_duplicate_keys=False
        ).decode()
    except cbor2.CBORError as error:
        raise RefusedError(_fault(error), f"not CBOR of a SenML pack: {error}") from error
    if stream.tell() != len(content):
        raise RefusedError(Reason.MALFORMED, "something follows the pack")
    return (
        [_labelled(record) if isinstance(record, dict) else record for record in item] if type(item) is list else item
    )


def _fault(error: cbor2.CBORError) -> Reason:
    """The reader has one class for every fault: a doubled key is told by its words, bad text by its cause."""
    if "Duplicate map key" in str(error):
        return Reason.DUPLICATE_KEY
    return Reason.ENCODING if isinstance(error.__cause__, UnicodeDecodeError) else Reason.MALFORMED


def _labelled(record: dict[Any, object]) -> Record:
    """A CBOR map by the JSON labels; unknown numbers are left out, as unknown words are not looked at.

    Raises:
        RefusedError: ``malformed`` for a known label as text: it could stand beside its number.
    """
    found: Record = {}
    for key, value in record.items():
        label = _LABELS.get(key) if type(key) is int else key
        if type(key) is not int and (type(label) is not str or label in _CODES):
            raise RefusedError(Reason.MALFORMED, "a CBOR label is a whole number, or the text of an extension")
        if label is not None:
            exact = label in _TIMES or not isinstance(value, Decimal)
            found[label] = value if exact else float(value)  # type: ignore[arg-type]  # a Decimal, seen just above
    return found


def _refuse_tag(*_: object) -> NoReturn:
    raise cbor2.CBORDecodeError("a tag that is no number")


# Dates, regular expressions, shared references, sets: nothing SenML has, and some of it costly to build.
_REFUSED = dict.fromkeys((0, 1, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1004, 43000), _refuse_tag)


def write_cbor(pack: Iterable[Record]) -> bytes:
    """A pack in CBOR."""
    return cbor2.dumps([{_CODES[label]: value for label, value in record.items()} for record in pack])
