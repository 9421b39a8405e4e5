"""Reads our own line protocol back, for the embedded store: floats only, a time on every line, escapes included."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from gateway.model import LinesRefusedError

_NAME = r"[a-z][a-z0-9_]{0,63}"
_NUMBER = r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_PLAIN_FIELDS = re.compile(f"{_NAME}={_NUMBER}(?:,{_NAME}={_NUMBER})*")
_PART = re.compile(r'((?:[^\\ ]|\\.)+) +((?:[^\\ "]|\\.|"(?:[^"\\]|\\.)*")+)(?: +(\S+))? *')
_BETWEEN_COMMAS = re.compile(r'(?:[^\\,"]|\\.|"(?:[^"\\]|\\.)*")+')
_BETWEEN_EQUALS = re.compile(r"((?:[^\\=]|\\.)+)=(.+)", re.DOTALL)
_ESCAPED = re.compile(r"\\([,= ])")
_LEAST_TIME, _GREATEST_TIME = -(2**63), 2**63 - 1
_SHOWN = 120
"""Characters of a bad line, and of the reason, that the error shows."""


class Head(NamedTuple):
    """What names a series."""

    measurement: str
    tags: tuple[tuple[str, str], ...]
    """Sorted by key, not escaped."""


class Line(NamedTuple):
    """One line, read."""

    number: int
    """In its body, from 1."""
    head: str
    """As written; ``read_head`` takes it apart, which is only worth doing once for each."""
    names: tuple[str, ...]
    values: list[float]
    time: int
    """Nanoseconds UTC."""


def read_lines(body: bytes) -> Iterator[Line]:
    """Every line of a body, in order; empty ones and comments are passed over.

    Raises:
        LinesRefusedError: a line cannot be read; the text names it by number and shows it.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        number = body.count(b"\n", 0, error.start) + 1
        raise LinesRefusedError(f"line {number} is not UTF-8") from error
    for number, line in enumerate(text.split("\n"), start=1):
        parts = line.split(" ")
        if len(parts) == 3 and _PLAIN_FIELDS.fullmatch(parts[1]) and "\\" not in line:
            words = parts[1].replace("=", ",").split(",")
            names, values = tuple(words[0::2]), list(map(float, words[1::2]))
        elif not line or line.lstrip(" ").startswith("#") or line.isspace():
            continue
        else:
            parts, names, values = _escaped(number, line)
        if not math.isfinite(sum(values)) and not all(map(math.isfinite, values)):
            raise refused(number, line, "a number is too large for a float")
        yield Line(number, parts[0], names, values, _time(number, line, parts[2]))


def _time(number: int, line: str, stamp: str) -> int:
    digits = stamp.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
        raise refused(number, line, f"bad timestamp {stamp!r}" if stamp else "the timestamp is missing")
    time = int(stamp)
    if not _LEAST_TIME <= time <= _GREATEST_TIME:
        raise refused(number, line, "the timestamp is out of range")
    return time


def _escaped(number: int, line: str) -> tuple[list[str], tuple[str, ...], list[float]]:
    """The slow way: escapes, more than one space, or something wrong that has to be named."""
    match = _PART.fullmatch(line)
    if match is None:
        raise refused(number, line, "missing fields")
    fields: dict[str, float] = {}
    pairs = _BETWEEN_COMMAS.findall(match[2])
    if ",".join(pairs) != match[2]:
        raise refused(number, line, "missing field between commas")
    for pair in pairs:
        halves = _BETWEEN_EQUALS.fullmatch(pair)
        if halves is None:
            raise refused(number, line, f"missing field value in {pair!r}")
        name, value = _plain(halves[1]), halves[2]
        if not re.fullmatch(_NAME, name):
            raise refused(number, line, f"field name {name!r} is not of the form {_NAME}")
        if not re.fullmatch(_NUMBER, value):
            raise refused(number, line, f"field {name} is not a float: {value!r}")
        fields[name] = float(value)
    return [match[1], "", match[3] or ""], tuple(fields), list(fields.values())


def read_head(head: str) -> Head:
    r"""Measurement and tags of the part before the first space.

    Raises:
        ValueError: it has not the form ``measurement,key=value,...``; the text says why.

    >>> read_head("weather,device=trạm\\ 1,commune=04234")
    Head(measurement='weather', tags=(('commune', '04234'), ('device', 'trạm 1')))
    """
    pieces = re.findall(r"(?:[^\\,]|\\.)+", head)
    if not pieces or ",".join(pieces) != head:
        raise ValueError("missing measurement or tag")
    measurement = _plain(pieces[0])
    if not re.fullmatch(_NAME, measurement):
        raise ValueError(f"measurement {measurement!r} is not of the form {_NAME}")
    tags: dict[str, str] = {}
    for piece in pieces[1:]:
        halves = _BETWEEN_EQUALS.fullmatch(piece)
        if halves is None:
            raise ValueError(f"missing tag value in {piece!r}")
        key, value = _plain(halves[1]), _plain(halves[2])
        if key in tags:
            raise ValueError(f"tag {key!r} comes twice")
        tags[key] = value
    return Head(measurement, tuple(sorted(tags.items())))


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def refused(number: int, line: str, reason: str) -> LinesRefusedError:
    """The error that names a line."""
    why, shown = (text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..." for text in (reason, line))
    return LinesRefusedError(f"line {number}: {why}: {shown}")
