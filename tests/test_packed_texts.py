"""Packed texts and their index: what a list and a dictionary would say, in a few bytes each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.packed_texts import Index, Texts

WORDS = st.lists(st.text(max_size=12), unique=True, max_size=60)


@given(WORDS, WORDS)
def test_they_are_what_a_list_would_be(first: list[str], more: list[str]) -> None:
    texts = Texts()
    texts.extend(first)
    for word in more:
        texts.append(word)
    together = first + more
    assert texts == together
    assert [texts[number] for number in range(len(texts))] == together
    assert texts[len(first) :] == more
    assert texts.joined() == "\n".join(together).encode()
    with pytest.raises(IndexError):
        texts[len(together)]


@given(WORDS, WORDS)
def test_the_index_finds_every_text_and_no_other(known: list[str], others: list[str]) -> None:
    texts = Texts()
    index = Index(texts)
    for word in known:
        texts.append(word)
        index.follow()
    assert dict(index) == {word: number for number, word in enumerate(known)}
    assert [index.get(word) for word in others] == [known.index(word) if word in known else None for word in others]


def test_a_text_that_stands_twice_is_told() -> None:
    texts = Texts()
    texts.extend(["lamp-1", "lamp-2", "lamp-1"])
    with pytest.raises(ValueError, match="'lamp-1' stands twice"):
        Index(texts).follow()


def test_a_province_takes_few_bytes_a_name() -> None:
    texts = Texts()
    index = Index(texts)
    texts.extend([f"lamp-{number:06}" for number in range(50_000)])
    index.follow()
    assert len(texts._data) + len(texts._starts) * 4 + len(index._table) * 4 < 40 * 50_000
    assert index["lamp-049999"] == 49_999
