"""Strict JSON reading: finite numbers, no key twice, bounded depth, every fault by its own reason."""

import json

from pydantic_core import from_json, to_json

from devices.observation import Reason, RefusedError

_CALLED = {str: "text", bool: "a boolean", list: "an array", dict: "an object", type(None): "null"}
"""How a person calls what JSON holds."""

_INTEGER_DIGITS = 309
"""A whole number with more digits than this cannot be a finite float (the largest is 1.8e308)."""


def read_json(payload: bytes) -> object:
    """Read a JSON text.

    Numbers that are too large for a float come back as infinity or as a long integer: whoever uses one checks it, so
    that a number nobody uses does not spoil the rest.

    Raises:
        RefusedError: ``empty``, ``encoding``, ``malformed`` (also: more than 200 levels), ``duplicate_key``, or
            ``not_finite`` for the words NaN and Infinity.
    """
    try:
        document = from_json(payload, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        raise _fault(payload, str(error)) from error
    # Written out again, a document without a doubled key has as many quotation marks as before.
    if b"\\" in payload or payload.count(b'"') != to_json(document).count(b'"'):
        refuse_doubled_keys(payload)
    return document


def read_object(payload: bytes) -> dict[str, object]:
    """Read a JSON text that must be an object; refuses as ``read_json``."""
    document = read_json(payload)
    if type(document) is not dict:
        raise RefusedError(Reason.MALFORMED, f"expected a JSON object, found {_called(document)}")
    return document


def read_flat_object(payload: bytes, texts: tuple[str, ...]) -> dict[str, object]:
    """As ``read_object``, cheaper for an object whose only texts are under the keys ``texts``."""
    try:
        document = from_json(payload, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        raise _fault(payload, str(error)) from error
    if type(document) is not dict:
        raise RefusedError(Reason.MALFORMED, f"expected a JSON object, found {_called(document)}")
    marks = 2 * len(document)
    for key in texts:
        if type(document.get(key)) is str:
            marks += 2
    if payload.count(b'"') != marks or b"\\" in payload:
        refuse_doubled_keys(payload)
    return document


def number(value: object, name: str) -> float:
    """A JSON number as a finite float.

    Raises:
        RefusedError: ``field_type`` for anything but a number, ``not_finite`` if it is too large for a float.
    """
    kind = type(value)
    if kind is not float and kind is not int:
        raise RefusedError(Reason.FIELD_TYPE, f"{name}: expected a number, found {_called(value)}")
    try:
        result = float(value)  # type: ignore[arg-type]  # int or float, seen just above
    except OverflowError:
        result = float("inf")
    if result - result != 0.0:
        raise RefusedError(Reason.NOT_FINITE, f"{name}: the number is too large for a float")
    return result


def refuse_doubled_keys(payload: bytes) -> None:
    """Look at every object of a well-formed JSON text.

    Raises:
        RefusedError: ``duplicate_key``.
    """
    json.loads(payload, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        doubled = next(key for key in keys if keys.count(key) > 1)
        raise RefusedError(Reason.DUPLICATE_KEY, f"the key {doubled[:80]!r} stands twice in one object")
    return found


def _word(name: str) -> object:
    raise RefusedError(Reason.NOT_FINITE, f"{name} is not a number of JSON")


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS:
        raise RefusedError(Reason.NOT_FINITE, f"a number of {len(digits)} digits is too large for a float")
    return int(digits)


def _called(value: object) -> str:
    return _CALLED.get(type(value), "a number")


def _fault(payload: bytes, found: str) -> RefusedError:
    """Why the fast reader stopped: it has one error for everything, the reasons need four."""
    if not payload:
        return RefusedError(Reason.EMPTY, "the payload has no bytes")
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        return RefusedError(Reason.ENCODING, f"not UTF-8 at byte {error.start}")
    try:
        json.loads(text, parse_constant=_word, parse_int=_integer)
    except RefusedError as error:
        return error
    except (ValueError, RecursionError):
        pass
    return RefusedError(Reason.MALFORMED, f"not JSON: {found}")
