"""CSV files of hourly means or water samples, row by row: headings, times and numbers checked, errors by line."""

import csv
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple, TextIO

from devices.index_tables import column_word
from devices.vocabulary import VOCABULARY
from gateway.analytics.local_time import VIETNAM

MAX_LINE = 65_536
"""Characters; a longer line is no row of such a file."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PASSED_OVER = {column_word(name) for name in VOCABULARY}


class CsvError(Exception):
    """A file that cannot be used: one line that names the line of the file and says what to do."""


class Row(NamedTuple):
    """One row of the file."""

    line: int
    """Line of the file, the heading is 1."""
    time: str
    """As given."""
    at: datetime
    """With its offset; Vietnamese time where the file gives none."""
    values: dict[str, float]
    """By column; an empty cell is absent."""
    texts: dict[str, str]
    """By column, of columns that hold no numbers."""


class Table:
    """A CSV file with a ``time`` column, read once from front to back in bounded memory."""

    def __init__(
        self, file: TextIO, words: Mapping[str, str], expected: str, texts: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Read the heading.

        Args:
            file: opened with ``newline=""``, UTF-8.
            words: what a heading means, by ``column_word``: its column's name.
            expected: the columns in words, for the error's text.
            texts: the same of columns that hold no numbers.

        Raises:
            CsvError: no heading, no time, an unknown or repeated column, or none that is used.
        """
        lines = _Lines(file)
        first = next(lines, "")
        separator = ";" if ";" in first and "," not in first else ","
        self._rows = csv.reader(chain([first], lines), delimiter=separator, strict=True)
        headings = self._next()
        if not headings and first:
            raise CsvError(f"line 1: nothing stands there; remove it, the first line names the columns: {expected}")
        if not headings:
            raise CsvError(f"the file is empty; its first line names the columns: {expected}")
        self._texts = frozenset(texts.values())
        self._columns = [_column(text, {**words, **texts}, expected) for text in headings]
        named = [name for name in self._columns if name]
        for name in named:
            if named.count(name) > 1:
                raise CsvError(f"line 1: two columns mean {name}; keep one")
        if "time" not in named:
            raise CsvError(f"line 1: no column 'time'; the columns are {expected}")
        self.columns = [name for name in named if name != "time" and name not in self._texts]
        """What the file has to compute from, in its order."""
        self.headings = named
        """Every column that is not passed over."""
        if not self.columns:
            raise CsvError(f"line 1: no column to compute from; the columns are {expected}")

    def __iter__(self) -> Iterator[Row]:
        """Every row, oldest first.

        Raises:
            CsvError: a row that cannot be read, a time not after the one before it.
        """
        before: Row | None = None
        for row in self.rows():
            if isinstance(row, CsvError):
                raise row
            line = row.line
            if before is not None and row.at <= before.at:
                if row.at == before.at:
                    raise CsvError(
                        f"line {line}: time {row.time} is there twice (line {before.line}); keep one of them"
                    )
                raise CsvError(
                    f"line {line}: time {row.time} is before {before.time} (line {before.line}); sort the file by time"
                )
            before = row
            yield row

    def rows(self) -> Iterator[Row | CsvError]:
        """Every row in the file's order, and what is wrong with those that cannot be read.

        Raises:
            CsvError: what follows cannot be told apart into rows.
        """
        while (cells := self._next()) is not None:
            if not any(cell.strip() for cell in cells):
                continue
            try:
                yield self._row(self._rows.line_num, cells)
            except CsvError as error:
                yield error

    def _next(self) -> list[str] | None:
        try:
            return next(self._rows, None)
        except csv.Error as error:
            raise CsvError(f"line {self._rows.line_num}: not CSV: {error}") from error
        except UnicodeDecodeError as error:
            raise CsvError(f"after line {self._rows.line_num}: not UTF-8; save the file as UTF-8") from error

    def _row(self, line: int, cells: list[str]) -> Row:
        if len(cells) != len(self._columns):
            raise CsvError(f"line {line}: {len(cells)} cells, the heading has {len(self._columns)}")
        values: dict[str, float] = {}
        texts: dict[str, str] = {}
        time = ""
        for name, cell in zip(self._columns, cells, strict=True):
            text = cell.strip()
            if name == "time":
                time = text
            elif name in self._texts:
                texts[name] = text
            elif name and text:
                values[name] = _number(line, name, text)
        return Row(line, time, _time(line, time), values, texts)


class _Lines:
    """The file's lines, none of them without bound."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._count = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            line = self._file.readline(MAX_LINE + 1)
        except UnicodeDecodeError as error:
            raise CsvError(f"after line {self._count}: not UTF-8; save the file as UTF-8") from error
        if not line:
            raise StopIteration
        self._count += 1
        if len(line) > MAX_LINE:
            raise CsvError(f"line {self._count}: longer than {MAX_LINE} characters; this is not a CSV of values")
        return line


def _column(heading: str, words: Mapping[str, str], expected: str) -> str:
    """The name of a column; empty for one that is known and not used."""
    word = column_word(heading)
    if word == "time":
        return "time"
    if word in words:
        return words[word]
    if word in _PASSED_OVER:
        return ""
    raise CsvError(f"line 1: column {heading.strip()[:40]!r} is not known; remove it, or name it as one of {expected}")


def _number(line: int, name: str, text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise CsvError(
            f"line {line}: {name}: {text[:40]!r} is not a number; write 12.5, or nothing where it is missing"
        )
    value = float(text)
    if not 0 <= value < math.inf:
        raise CsvError(f"line {line}: {name}: {text[:40]} cannot be; leave the cell empty where the value is missing")
    return value


def _time(line: int, text: str) -> datetime:
    wanted = "write for example 2026-01-31T13:00 (Vietnamese time) or 2026-01-31T13:00+07:00"
    if not text:
        raise CsvError(f"line {line}: no time; {wanted}")
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise CsvError(f"line {line}: time {text[:40]!r} cannot be read; {wanted}") from error
    if len(text) <= len("2026-01-31") or not 1900 <= at.year <= 2200:
        raise CsvError(f"line {line}: time {text[:40]!r} is no time of a measurement; {wanted}")
    return at if at.tzinfo is not None else at.replace(tzinfo=VIETNAM)


def seconds(at: datetime) -> int:
    """Whole seconds since 1970 UTC."""
    return (at - _EPOCH) // timedelta(seconds=1)
