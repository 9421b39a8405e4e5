"""A SQLite file read page by page, as far as it can be read: for a journal that SQLite itself no longer opens.

Source: https://www.sqlite.org/fileformat2.html, sections 1.3 (header), 1.5 (freelist), 1.6 (b-tree pages) and 2.1
(records); read 2026-11-21.
"""

from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gateway.line.wal_frames import mapped, page_size, wal_frames

_LEAF_TABLE, _LEAF_INDEX, _INNER_TABLE, _INNER_INDEX = 0x0D, 0x0A, 0x05, 0x02
_LEAVES = (_LEAF_TABLE, _LEAF_INDEX)
_INNER = (_INNER_TABLE, _INNER_INDEX)
_INTEGER_BYTES = (0, 1, 2, 3, 4, 6, 8)
"""Length of an integer by its serial type, 1 to 6."""
_LARGEST = 1 << 30
"""SQLite's own limit of a value is about a gigabyte; a longer one is a damaged length."""

Value = int | float | str | bytes | None
Record = list[Value]


class DamagedPageError(Exception):
    """A page, a cell or a record that cannot be read."""


class Rows(NamedTuple):
    """What could be read of one table."""

    rows: list[tuple[int, Record]]
    """Rowid (0 in tables without) and values."""
    damaged: int
    """Cells, or pages where not even those can be told apart, that could not be read."""


class Pages:
    """The pages of one database file and its write-ahead log. Reads only; nothing is ever written."""

    def __init__(self, path: Path) -> None:
        self._main = mapped(path)
        self._log = mapped(path.with_name(f"{path.name}-wal"))
        self.size = page_size(self._main)
        frames = wal_frames(self._log, self.size)
        self._newest, self._mended = frames.newest, frames.mended
        self.count = max(frames.pages, -(-len(self._main) // self.size), max(frames.newest, default=0))
        self.damaged = len(frames.doubtful)
        """Damaged frames of the log, and pages of known tables that could not be read."""
        self.is_stale = False
        """Some page is as of an earlier commit than the last one: what was written to it then is lost."""
        for number, at in frames.doubtful.items():
            self._use_doubtful(number, at)

    def identity(self) -> str:
        """Tells one content from another."""
        told = blake2b(self._main, digest_size=12)
        told.update(self._log)
        return told.hexdigest()

    def page(self, number: int) -> bytes:
        """One page as of the last commit.

        Raises:
            DamagedPageError: it is not there.
        """
        at = self._newest.get(number)
        if at is not None:
            return self._mended.get(at) or self._log[at : at + self.size].tobytes()
        data = self._main[(number - 1) * self.size : number * self.size].tobytes() if number > 0 else b""
        if len(data) < self.size:
            raise DamagedPageError(f"page {number} is not there")
        return data

    def _use_doubtful(self, number: int, at: int) -> None:
        """A flipped bit spoils one cell of a frame; one that was overwritten is worse than the page was before."""
        if not 0 < number <= self.count:
            self.is_stale = True
            return
        before, readable = self._newest.get(number), self._readable(number)
        self._newest[number] = at
        if self._readable(number) >= readable:
            return
        self.is_stale = True
        del self._newest[number]
        if before is not None:
            self._newest[number] = before

    def _readable(self, number: int) -> int:
        """Cells of a page that can be read."""
        try:
            kind, cells = _cells(self.page(number), number)
        except DamagedPageError:
            return 0
        return len(cells) if kind in _INNER else sum(row is not None for row in self.each([number]))

    # trees ---------------------------------------------------------------------------------------------------

    def tables(self, name_of: Callable[[Record], str]) -> dict[str, list[int]]:
        """Page numbers that hold rows, by table: those the schema leads to, then those nothing leads to any more.

        Args:
            name_of: whose row this looks like; empty for nobody's.
        """
        found: dict[str, list[int]] = {}
        seen: set[int] = set()
        for name, root in self._roots(seen):
            found.setdefault(name, []).extend(self._of_tree(root, seen))
        free = self._free()
        for number in range(2, self.count + 1):
            if number not in seen and number not in free:
                self._adopt(number, name_of, found)
        return found

    def _roots(self, seen: set[int]) -> list[tuple[str, int]]:
        """Tables of the schema with the page each begins at; empty if the first page is unreadable."""
        roots = []
        for _, record in self.rows(self._of_tree(1, seen)).rows:
            if len(record) == 5 and record[0] == "table" and isinstance(record[3], int):
                roots.append((str(record[1]), record[3]))
            elif len(record) == 5 and record[0] == "index" and isinstance(record[3], int):
                roots.append(("", record[3]))  # an index repeats what its table says
        return roots

    def _of_tree(self, root: int, seen: set[int]) -> list[int]:
        """Every page of a tree that holds rows."""
        holding, todo = [], [root]
        while todo:
            number = todo.pop()
            if number in seen:
                continue
            seen.add(number)
            try:
                data = self.page(number)
                kind, cells = _cells(data, number)
            except DamagedPageError:
                self.damaged += 1
                seen.discard(number)  # perhaps a part of it can be read for itself
                continue
            if kind in _INNER:
                head = _head(number)
                todo += [_number(data[head + 8 : head + 12]), *(_number(data[at : at + 4]) for at in reversed(cells))]
            if kind != _INNER_TABLE:
                holding.append(number)
        return holding

    def _free(self) -> set[int]:
        """Pages that belong to nothing; what they still hold was deleted."""
        free: set[int] = set()
        try:
            trunk = _number(self.page(1)[32:36])
            while trunk and trunk not in free:
                free.add(trunk)
                data = self.page(trunk)
                leaves = min(_number(data[4:8]), self.size // 4 - 2)
                free.update(_number(data[8 + 4 * n : 12 + 4 * n]) for n in range(leaves))
                trunk = _number(data[:4])
        except DamagedPageError:
            return free
        return free

    def _adopt(self, number: int, name_of: Callable[[Record], str], found: dict[str, list[int]]) -> None:
        """Give a page that nothing leads to its place, by what its rows look like."""
        try:
            if self.page(number)[0] not in (*_LEAVES, _INNER_INDEX):
                return
        except DamagedPageError:
            return
        names = [name_of(record) for _, record in self.rows([number]).rows]
        if names and names[0]:
            found.setdefault(names[0], []).append(number)

    # rows ----------------------------------------------------------------------------------------------------

    def rows(self, numbers: list[int]) -> Rows:
        """Every row of these pages that can be read."""
        rows: list[tuple[int, Record]] = []
        damaged = 0
        for number in numbers:
            for row in self.each([number]):
                if row is None:
                    damaged += 1
                else:
                    rows.append(row)
        return Rows(rows, damaged)

    def each(self, numbers: list[int]) -> Iterator[tuple[int, Record] | None]:
        """Row after row of these pages; None for each cell that cannot be read."""
        for number in numbers:
            try:
                data = self.page(number)
                kind, cells = _cells(data, number)
            except DamagedPageError:
                yield None
                continue
            for at in cells:
                try:
                    yield self._row(data, kind, at)
                except (DamagedPageError, IndexError, UnicodeDecodeError):
                    yield None

    def _row(self, data: bytes, kind: int, at: int) -> tuple[int, Record]:
        if kind == _INNER_INDEX:
            at += 4
        length, at = _varint(data, at)
        rowid = 0
        if kind == _LEAF_TABLE:
            rowid, at = _varint(data, at)
        return rowid, _record(self._payload(data, kind, length, at))

    def _payload(self, data: bytes, kind: int, length: int, at: int) -> bytes:
        if not 0 < length < _LARGEST:
            raise DamagedPageError("a length that cannot be")
        most = self.size - 35 if kind == _LEAF_TABLE else (self.size - 12) * 64 // 255 - 23
        if length <= most:
            return _part(data, at, length)
        least = (self.size - 12) * 32 // 255 - 23
        local = least + (length - least) % (self.size - 4)
        local = local if local <= most else least
        parts = [_part(data, at, local)]
        left, following = length - local, _number(_part(data, at + local, 4))
        while left > 0:
            page = self.page(following)
            parts.append(page[4 : 4 + min(left, self.size - 4)])
            left, following = left - self.size + 4, _number(page[:4])
        return b"".join(parts)


# the format ----------------------------------------------------------------------------------------------------


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _head(number: int) -> int:
    """Where a page's own header begins: the first page has the file's in front."""
    return 100 if number == 1 else 0


def _part(data: bytes, at: int, length: int) -> bytes:
    if at + length > len(data):
        raise DamagedPageError("a cell that leaves its page")
    return data[at : at + length]


def _cells(data: bytes, number: int) -> tuple[int, list[int]]:
    """A b-tree page's kind, and where its cells are.

    Raises:
        DamagedPageError: it is none.
    """
    head = _head(number)
    kind, count = data[head], _number(data[head + 3 : head + 5])
    if kind not in (*_LEAVES, *_INNER):
        raise DamagedPageError(f"page {number} is no b-tree page")
    first = head + (12 if kind in _INNER else 8)
    if first + 2 * count > len(data):
        raise DamagedPageError(f"page {number} has more cells than room")
    cells = [_number(data[first + 2 * n : first + 2 * n + 2]) for n in range(count)]
    return kind, [at for at in cells if first + 2 * count <= at < len(data) - 3]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(8):
        byte = data[at + place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + place + 1
    value = value << 8 | data[at + 8]
    return (value - (1 << 64) if value >= 1 << 63 else value), at + 9


def _record(payload: bytes) -> Record:
    end, at = _varint(payload, 0)
    if not 0 < end <= len(payload):
        raise DamagedPageError("a record without a head")
    body, values = end, []
    while at < end:
        kind, at = _varint(payload, at)
        value, length = _value(payload, kind, body)
        values.append(value)
        body += length
    if body != len(payload):
        raise DamagedPageError("a record whose parts do not add up")
    return values


def _value(payload: bytes, kind: int, at: int) -> tuple[Value, int]:
    if kind == 0:
        return None, 0
    if kind <= 6:
        length = _INTEGER_BYTES[kind]
        return int.from_bytes(_part(payload, at, length), "big", signed=True), length
    if kind == 7:
        return float(np.frombuffer(_part(payload, at, 8), ">f8")[0]), 8
    if kind in (8, 9):
        return kind - 8, 0
    if kind < 12:
        raise DamagedPageError("a value of no kind")
    length = (kind - 12) // 2
    data = _part(payload, at, length)
    return (data.decode() if kind % 2 else data), length
