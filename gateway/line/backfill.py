"""Old readings from a file: through the line from decode on, in chunks counted on disk, so that it can resume."""

import csv
import hashlib
import json
import re
import time
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic_core import from_json

from devices.codecs.json_text import refuse_doubled_keys
from devices.fleet_row import DEVICE_ID
from devices.observation import RefusedError
from devices.topics import ROOT
from devices.vocabulary import VOCABULARY
from gateway.line.loop import Line
from gateway.model import Outcome, Uplink

CHUNK = 1000
"""Records in one commit: fresh uplinks wait for at most one chunk."""
COLUMN = re.compile(r"(?P<name>\w+)\s*(?:\[(?P<unit>[^\]]*(?:\[[^\]]*\][^\]]*)*)\])?\Z")
_DEVICE = re.compile(DEVICE_ID)
_TIME_COLUMNS = ("observed_at", "time")


class BackfillError(Exception):
    """A file that cannot be read as readings: one line, where and what to do."""


class Progress(NamedTuple):
    """Where a file is."""

    done: int
    """Records of the file that are on disk."""
    kept: int = 0
    refused: int = 0
    repeated: int = 0


class OutOfStepError(Exception):
    """A chunk does not begin where the last one ended."""

    def __init__(self, done: int) -> None:
        super().__init__(f"{done} records of this file are here already; go on with the next one")
        self.done = done


class Intake:
    """The running gateway's side: takes chunks of records in, each in one commit with its own count."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def done(self, file: str) -> int:
        """How many records of this file are on disk. From any thread."""
        return self._line.submit(lambda: self._done(file)).result(60)

    def _done(self, file: str) -> int:
        return int(self._line.journal.note(f"backfill:{file}") or 0)

    def take(self, file: str, start: int, records: Sequence[bytes]) -> Progress:
        """Take in records ``start`` and following; returns when they are on disk. From any thread.

        Raises:
            OutOfStepError: the file's count says otherwise (a chunk sent twice, or one left out).
            TimeoutError: no room for a minute; the same chunk can be sent again.
        """
        return self._line.submit(lambda: self._take(file, start, records)).result(60)

    def _take(self, file: str, start: int, records: Sequence[bytes]) -> Progress:
        done = self._done(file)
        if start != done:
            raise OutOfStepError(done)
        now = time.time_ns()
        uplinks = [self._uplink(record, now + number) for number, record in enumerate(records)]
        done += len(uplinks)
        batch = self._line.take(uplinks, {f"backfill:{file}": str(done)})
        if batch is None:
            raise TimeoutError("the gateway is stopping; send the chunk again")
        outcomes = [entry.outcome for entry in batch.heard]
        return Progress(done, *(outcomes.count(outcome) for outcome in Outcome))

    def _uplink(self, record: bytes, now: int) -> Uplink:
        """A record as an uplink; what is wrong with it, the pipeline says."""
        registry = self._line.pipeline.registry
        try:
            value = from_json(record)
        except ValueError:
            return Uplink(f"{ROOT}/-/-/backfill", record, now, backfill=True)
        name = value.pop("device", "") if isinstance(value, dict) else ""
        device = registry.index.get(name) if isinstance(name, str) else None
        if device is None:
            known = name if isinstance(name, str) and _DEVICE.match(name) else "-"
            return Uplink(f"{ROOT}/-/{known}/backfill", record, now, backfill=True)
        topic = f"{ROOT}/{registry.commune(device)}/{registry.names[device]}/backfill"
        if "time" in value and "observed_at" not in value:
            value["observed_at"] = value.pop("time")
        try:
            refuse_doubled_keys(record)
            payload = json.dumps(value).encode()
        except (RefusedError, ValueError):
            payload = record  # as it came: reading it into a dictionary has hidden what is wrong
        return Uplink(topic, payload, now, backfill=True)


# the file's side ---------------------------------------------------------------------------------------------


def file_id(path: Path, device: str) -> str:
    """Names a file by its content, so that the same file goes on and a changed one begins anew."""
    digest = hashlib.sha256(device.encode())
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:32]


def count_records(path: Path) -> int:
    """Records in the file, for the progress bar (blank lines and a CSV's header are none)."""
    with path.open("rb") as file:
        lines = sum(1 for line in file if line.strip())
    return lines - 1 if path.suffix.casefold() == ".csv" else lines


def read_records(path: Path, device: str = "") -> Iterator[bytes]:
    """The records of a file, one JSON object each.

    Args:
        path: ``.csv`` with a header (``device``, ``time`` or ``observed_at``, then properties, each with its unit in
            brackets if it is not the canonical one: ``conductivity [mS/cm]``), or JSON lines with the same names.
        device: for files without a ``device`` column.

    Raises:
        BackfillError: a header that cannot be understood, or text that is not UTF-8; names line and column.
    """
    try:
        if path.suffix.casefold() == ".csv":
            yield from _csv_records(path, device)
        else:
            yield from _json_records(path, device)
    except UnicodeDecodeError as error:
        raise BackfillError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except csv.Error as error:
        raise BackfillError(f"{path}: not readable as CSV: {error}") from error
    except OSError as error:
        raise BackfillError(f"{path}: {error.strerror}") from error


def _json_records(path: Path, device: str) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            text = line.removeprefix(BOM_UTF8).strip()
            if not text:
                continue
            if device and text.startswith(b"{") and b'"device"' not in text:
                rest = text[1:].lstrip()
                text = b'{"device":' + json.dumps(device).encode() + (b"" if rest.startswith(b"}") else b",") + rest
            yield text


def _csv_records(path: Path, device: str) -> Iterator[bytes]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        columns = _columns(path, next(rows, []), device)
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if any(cell.strip() for cell in row[len(columns) :]):
                # Whose values these are is not guessed (a decimal comma shifts them): refused as it stands.
                yield ",".join(row).encode()
                continue
            record: dict[str, object] = {"device": device}
            for (name, unit), cell in zip(columns, row, strict=False):
                text = cell.strip()
                if text and name in VOCABULARY:
                    number = _number(text)
                    record[name] = {"value": number, "unit": unit} if unit else number
                elif text:
                    record[name] = int(text) if name == "seq" and text.isdecimal() else text
            yield json.dumps(record).encode()


def _columns(path: Path, header: Sequence[str], device: str) -> list[tuple[str, str]]:
    found = []
    for number, cell in enumerate(header, start=1):
        match = COLUMN.match(cell.strip())
        name = match["name"] if match else ""
        if name in _TIME_COLUMNS:
            name = "observed_at"
        if match is None or (name not in VOCABULARY and name not in {"device", "observed_at", "seq"}):
            raise BackfillError(f"{path}: line 1, column {number}: {cell!r} is no property; see `docs/vocabulary.md`")
        found.append((name, match["unit"] or ""))
    names = [name for name, _ in found]
    if "observed_at" not in names:
        raise BackfillError(f"{path}: line 1: no column 'time'")
    if "device" not in names and not device:
        raise BackfillError(f"{path}: line 1: no column 'device'; name one with --device")
    return found


def _number(text: str) -> object:
    """The number, or the text itself: the codec then refuses the record by name and keeps it."""
    try:
        return float(text)
    except ValueError:
        return text
