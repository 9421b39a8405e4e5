"""Plays recordings, and records of real stations, to a broker at any speed."""

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast
from zoneinfo import ZoneInfo

from devices.codecs import times
from devices.fleet_row import DEFAULT_ZONE, DEVICE_ID
from devices.topics import UP, own_topic
from devices.units import conversion
from devices.vocabulary import VOCABULARY
from simulators.publisher import Note, Publisher
from simulators.recording import RecordingError, Step, bounded_lines, read_line

if TYPE_CHECKING:
    import _csv

MOST_WAITING = 20_000
"""Messages that may wait for the broker."""
_TIMES = ("observed_at", "time")
_HEADER = frozenset({*_TIMES, "device", "commune", "seq"})
_NAME = re.compile(DEVICE_ID)
_ZONE = ZoneInfo(DEFAULT_ZONE)


class Owner(NamedTuple):
    """Whose values a record holds, where its lines do not say it."""

    commune: str = ""
    device: str = ""


def read_steps(path: Path, owner: Owner) -> Iterator[Step]:
    """Every message of a file, in its order: a recording, or a record of a station as CSV or JSON lines.

    CSV: a heading with ``time`` or ``observed_at`` and the vocabulary's names, each in its canonical unit or with the
    unit in brackets (``water_temperature [degF]`` in UCUM's own brackets: ``water_temperature [[degF]]``); an empty
    cell is no value. JSON lines: what ``village backfill`` reads. A time without offset is Vietnamese time.

    Raises:
        RecordingError: with file, line and what is wrong.
    """
    if path.name.removesuffix(".gz").endswith(".csv"):
        yield from _read_csv(path, owner)
        return
    for number, line in bounded_lines(path):
        where = f"{path}: line {number}"
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise RecordingError(f"{where}: not JSON: {error}") from error
        if not isinstance(found, dict):
            raise RecordingError(f"{where}: not a JSON object")
        yield read_line(path, number, line) if "topic" in found else _record(where, found, owner)


def _read_csv(path: Path, owner: Owner) -> Iterator[Step]:
    numbered = bounded_lines(path)
    rows = csv.reader(line.decode("utf-8-sig", errors="replace") for _, line in numbered)
    _, heading = next(_rows(path, rows), (0, []))
    heading = [name.strip() for name in heading]
    if not any(name in heading for name in _TIMES):
        raise RecordingError(f"{path}: line 1: the heading has neither time nor observed_at")
    if len(set(heading)) != len(heading):
        raise RecordingError(f"{path}: line 1: the heading names a column twice")
    for number, row in _rows(path, rows):
        where = f"{path}: line {number}"
        if len(row) != len(heading):
            raise RecordingError(f"{where}: has {len(row)} cells, the heading has {len(heading)}")
        cells: dict[str, object] = {}
        for name, cell in zip(heading, row, strict=True):
            if cell.strip():
                cells[name] = cell.strip() if name in _HEADER else _number(where, name, cell)
        if set(cells) - _HEADER:
            yield _record(where, cells, owner)


def _rows(path: Path, rows: "_csv.Reader") -> Iterator[tuple[int, list[str]]]:
    try:
        for row in rows:
            yield rows.line_num, row
    except csv.Error as error:
        raise RecordingError(f"{path}: line {rows.line_num}: not CSV: {error}") from error


def _number(where: str, name: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise RecordingError(f"{where}: {name}: {cell[:40]!r} is not a number") from None
    if not math.isfinite(value):
        raise RecordingError(f"{where}: {name}: {cell[:40]!r} is not finite")
    return value


def _record(where: str, found: dict[str, object], owner: Owner) -> Step:
    """One set of values as an uplink in the native format."""
    moment = next((found[name] for name in _TIMES if name in found), None)
    if not isinstance(moment, str):
        raise RecordingError(f"{where}: there is no time; name the column time or observed_at")
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        raise RecordingError(
            f"{where}: {moment[:40]!r} is not a time; write for example 2026-08-01T06:00:00Z"
        ) from None
    at = at.replace(tzinfo=at.tzinfo or _ZONE)
    device, commune = str(found.get("device") or owner.device), str(found.get("commune") or owner.commune)
    if not device or not commune:
        raise RecordingError(f"{where}: whose values are these? give --commune and --device")
    for what, name in (("device", device), ("commune", commune)):
        if not _NAME.fullmatch(name):
            raise RecordingError(f"{where}: {what}: {name[:60]!r} is no name; letters, digits and . _ : - are")
    nanoseconds = round(at.timestamp() * 1e6) * 1000
    body: dict[str, object] = {"observed_at": times.text(nanoseconds)}
    if "seq" in found:
        body["seq"] = _sequence(where, found["seq"])
    for name, value in found.items():
        if name not in _HEADER:
            property_name, written = _value(where, name, value)
            body[property_name] = written
    payload = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
    return Step(at.timestamp(), Note(own_topic(commune, device, UP), payload))


def _sequence(where: str, written: object) -> int:
    text = str(written)
    if isinstance(written, bool) or not (text.isascii() and text.isdigit() and len(text) < 19):
        raise RecordingError(f"{where}: seq: {text[:40]!r} is not a whole number from 0 on")
    return int(text)


def _finite(where: str, name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RecordingError(f"{where}: {name}: {str(value)[:40]!r} is not a finite number")
    return value


def _value(where: str, name: str, value: object) -> tuple[str, object]:
    """A property's name and what stands behind it: a number, or a number with its unit."""
    plain, _, unit = name.partition(" ")
    if plain not in VOCABULARY:
        raise RecordingError(f"{where}: {plain[:60]!r} is not in the vocabulary; see `village devices`")
    if not unit and isinstance(value, dict):
        pair = cast("dict[str, object]", value)
        value, unit = pair.get("value"), str(pair.get("unit", ""))
    number = _finite(where, plain, value)
    if not unit:
        return plain, number
    code = unit.strip()[1:-1] if unit.strip().startswith("[") and unit.strip().endswith("]") else unit.strip()
    if conversion(plain, code) is None:
        canonical = VOCABULARY[plain].unit
        raise RecordingError(f"{where}: {name}: {code!r} cannot express it; its canonical unit is {canonical}")
    return plain, {"value": number, "unit": code}


class Played(NamedTuple):
    """How far a replay is."""

    at: float
    """Time of the last message within the file."""
    sent: int
    acknowledged: int


def replay(
    steps: Iterable[Step],
    publisher: Publisher,
    speed: float,
    stopped: Callable[[], bool],
    report: Callable[[Played], None],
    clock: Callable[[], float],
) -> Played:
    """Publish every message on the file's own time scale.

    Args:
        speed: the file's seconds in one second; 0 plays as fast as the broker takes it.
        clock: monotonic seconds.
    """
    began, first = clock(), None
    last = Played(0.0, 0, 0)
    for sent, step in enumerate(steps, start=1):
        first = step.at if first is None else first
        due = began if speed == 0.0 else began + (step.at - first) / speed
        while not stopped() and (clock() < due or publisher.counts().waiting >= MOST_WAITING):
            publisher.turn(min(0.1, max(0.0, due - clock())))
        if stopped():
            break
        publisher.offer(0, step.note)
        last = Played(step.at, sent, publisher.counts().acknowledged)
        if sent % 100 == 0:
            publisher.turn(0.0)
            report(last)
    while not stopped() and not publisher.idle():
        publisher.turn(0.1)
    last = last._replace(acknowledged=publisher.counts().acknowledged)
    report(last)
    return last
