"""The fleet from a CSV file: every bad row named by line and column, and nothing half-read."""

import csv
import difflib
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from pydantic import ValidationError

from devices.fleet_row import DEVICE_ID, FleetRow, cells
from devices.profile import Profile
from devices.registry import MOST_PLACES, Registry
from devices.topics import Source

COLUMNS = tuple(FleetRow.model_fields)
REQUIRED = tuple(name for name, field in FleetRow.model_fields.items() if field.is_required())
MAX_BYTES = 256 * 1024 * 1024
"""Chosen: a million devices with long names."""
MAX_PROBLEMS = 50
"""Reading goes on after a bad row so that one look names them all, but not for ever. Chosen."""


_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How .xlsx (a zip file) and .xls begin."""


class Problem(NamedTuple):
    """What is wrong at one place of the file."""

    line: int
    """Counted from 1, the heading included; 0 where the whole file is meant."""
    column: str
    """Heading of the column; empty where the whole row is meant."""
    text: str


class FleetError(Exception):
    """A fleet file that cannot be used: ``problems`` in the order of the file, ``lines`` one readable line each."""

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.path = path
        self.problems = tuple(problems)
        super().__init__("\n".join(self.lines))

    @property
    def lines(self) -> list[str]:
        """One line a problem: file, line, column, what is wrong."""
        return [
            f"{self.path}"
            + (f": line {problem.line}" if problem.line else "")
            + (f": {problem.column}" if problem.column else "")
            + f": {problem.text}"
            for problem in self.problems
        ]


def load_fleet(path: Path, profiles: Iterable[Profile], sources: Sequence[Source] = ()) -> Registry:
    """Read the whole fleet, or none of it.

    Args:
        path: UTF-8 with or without byte order mark, comma or semicolon between the cells; the first row names the
            columns (those of ``FleetRow``, in any order).
        profiles: every device profile a row may name.
        sources: vendor topics, for the registry.

    Raises:
        FleetError: every problem of the file, up to 50.
    """
    registry = Registry(profiles, sources)
    problems: list[Problem] = []
    for line, row in read_rows(path, problems):
        try:
            registry.add(row)
        except ValueError as error:
            column, _, text = str(error).partition(": ")
            problems.append(Problem(line, column, text))
        except OverflowError:
            problems.append(Problem(line, "commune", f"more than {MOST_PLACES:,} communes or zones; check the column"))
    if len(problems) >= MAX_PROBLEMS:
        problems[MAX_PROBLEMS:] = [Problem(0, "", f"reading stopped after {MAX_PROBLEMS} problems; mend these first")]
    if problems:
        raise FleetError(path, problems)
    return registry


def read_rows(path: Path, problems: list[Problem]) -> Iterator[tuple[int, FleetRow]]:
    """Every good row with its line; what is wrong goes to ``problems``, and too much of it ends the reading.

    Raises:
        FleetError: the file as a whole cannot be read, or its heading.
    """
    text = _text(path)
    first = next((line for line in io.StringIO(text) if line.strip()), "")
    delimiter = ";" if first.count(";") > first.count(",") else ","
    cells = _cells(text, delimiter, problems)
    heading_line, heading = next(cells, (1, []))
    header = _header(path, heading_line, heading)
    for line, values in cells:
        if len(problems) >= MAX_PROBLEMS:
            return
        if len(values) != len(header):
            problems.append(
                Problem(line, "", f"has {len(values)} cells, the heading has {len(header)}; check commas and quotes")
            )
            continue
        row = {name: value.strip() for name, value in zip(header, values, strict=True)}
        if delimiter == ";":
            # Excel in Vietnamese writes 21,0312; where semicolons part the cells, that can only be a decimal comma.
            row |= {name: row[name].replace(",", ".") for name in ("latitude", "longitude") if name in row}
        try:
            yield line, FleetRow.model_validate(row)
        except ValidationError as error:
            problems.extend(
                Problem(line, str(one["loc"][0]) if one["loc"] else "", plain_message(one["msg"], one["input"]))
                for one in error.errors(include_url=False)
            )


def write_rows(file: TextIO, rows: Iterable[FleetRow], *, excel: bool = False) -> int:
    """Write what ``read_rows`` reads; returns how many devices.

    Args:
        file: opened with ``newline=""``, in UTF-8.
        rows: the devices.
        excel: as Excel in Vietnamese opens it by a double click: byte order mark, semicolons, decimal commas.
    """
    if excel:
        file.write("\ufeff")
    writer = csv.writer(file, delimiter=";" if excel else ",", lineterminator="\r\n" if excel else "\n")
    writer.writerow(COLUMNS)
    count = 0
    for row in rows:
        line = cells(row)
        if excel:
            line |= {name: line[name].replace(".", ",") for name in ("latitude", "longitude")}
        writer.writerow(line.values())
        count += 1
    return count


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise FleetError(path, [Problem(0, "", "no such file; set gateway.fleet in the settings")]) from None
    except OSError as error:
        raise FleetError(path, [Problem(0, "", f"cannot be read: {error.strerror}")]) from None
    if len(data) > MAX_BYTES:
        raise FleetError(path, [Problem(0, "", f"longer than {MAX_BYTES} bytes; this is not a fleet")])
    if data.startswith(_WORKBOOKS):
        raise FleetError(path, [Problem(0, "", 'an Excel workbook; save it there as "CSV UTF-8" and import that')])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FleetError(path, [Problem(line, "", 'not UTF-8; save the file as "CSV UTF-8"')]) from None


def _cells(text: str, delimiter: str, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the line it starts on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # A quote that is never closed takes the rest of the file with it, so nothing after it can be judged.
            problems.append(Problem(line, "", f"not readable as CSV from here on: {error}"))
            return
        if any(value.strip() for value in values):
            yield line, values


def _header(path: Path, line: int, heading: Sequence[str]) -> list[str]:
    if not heading:
        raise FleetError(path, [Problem(0, "", f"is empty; the first row names the columns: {', '.join(COLUMNS)}")])
    header = [name.strip().casefold() for name in heading]
    problems = []
    for name in header:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(COLUMNS)}"
            problems.append(Problem(line, name, f"no such column; {hint}"))
    problems += [Problem(line, name, "the column stands twice") for name in COLUMNS if header.count(name) > 1]
    problems += [Problem(line, name, "the column is missing") for name in REQUIRED if name not in header]
    if problems:
        raise FleetError(path, problems)
    return header


def first_problem(error: ValidationError) -> str:
    """What is wrong with a device that did not come from a file, in one line."""
    first = error.errors(include_url=False)[0]
    return f"{first['loc'][0]}: {plain_message(first['msg'], first['input'])}"


def plain_message(message: str, value: object) -> str:
    """What pydantic says of a cell, in words for whoever wrote it."""
    if DEVICE_ID in message:
        found = f"{value!r:.60} cannot be a name here" if value else "is empty"
        return f"{found}: 1 to 64 of A-Z a-z 0-9 _ . : -, the first a letter or digit"
    text = message.removeprefix("Value error, ").replace("Input should be", "must be").replace("String should", "must")
    return f"{text}, not {value!r:.60}" if isinstance(value, str) and repr(value) not in text else text
