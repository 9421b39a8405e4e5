"""Many texts behind each other, a few bytes each: names of a fleet by number, and their numbers by name."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import overload

_LEAST = 16
"""Places of an empty index; a power of two, as ever after."""


class Texts(Sequence[str]):
    """Texts by number. A list of texts takes some 60 bytes more for each."""

    def __init__(self) -> None:
        self._data = bytearray()
        """Each with a newline behind it."""
        self._starts = array("I", [0])

    def append(self, text: str) -> None:
        """Add one."""
        self._data += text.encode() + b"\n"
        self._starts.append(len(self._data))

    def extend(self, texts: Sequence[str]) -> None:
        """Add some."""
        at, starts = len(self._data), []
        packed = [text.encode() for text in texts]
        for one in packed:
            at += len(one) + 1
            starts.append(at)
        if packed:
            self._data += b"\n".join(packed) + b"\n"
        self._starts.extend(starts)

    def is_at(self, number: int, text: bytes) -> bool:
        """Whether a number's text is this one, encoded."""
        start = self._starts[number]
        return self._starts[number + 1] - start == len(text) + 1 and self._data.startswith(text, start)

    def joined(self) -> bytes:
        """All of them, encoded, with newlines between them."""
        return bytes(self._data[:-1])

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: int | slice) -> str | list[str]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        if number < 0:
            number += len(self)
        starts = self._starts
        return self._data[starts[number] : starts[number + 1] - 1].decode()

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it changes


class Index(Mapping[str, int]):
    """The numbers of different texts; a dictionary of the same takes ten times as much memory."""

    def __init__(self, texts: Texts) -> None:
        """An index of no text yet; ``texts`` is what it is of."""
        self._texts = texts
        self._count = 0
        self._table = array("I", bytes(4 * _LEAST))
        """At the place its hash says, or the next free one: a text's number, and 1 more; 0: none."""

    def follow(self) -> None:
        """Take in what was added to the texts.

        Raises:
            ValueError: one of them is there twice; nothing can be relied on then.
        """
        count, places = len(self._texts), len(self._table)
        while 2 * count > places:
            places *= 4
        if places > len(self._table):
            self._table, self._count = array("I", bytes(4 * places)), 0
        table, mask, texts = self._table, places - 1, self._texts
        for number, text in enumerate(texts[self._count :], self._count + 1):
            place = hash(text) & mask
            while other := table[place]:
                if texts[other - 1] == text:
                    raise ValueError(f"{text!r} stands twice")
                place = (place + 1) & mask
            table[place] = number
        self._count = count

    def __getitem__(self, text: str) -> int:
        table, mask, encoded = self._table, len(self._table) - 1, text.encode()
        place = hash(text) & mask
        while number := table[place]:
            if self._texts.is_at(number - 1, encoded):
                return number - 1
            place = (place + 1) & mask
        raise KeyError(text)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)
