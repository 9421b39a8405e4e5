"""Strict JSON and the paths into it: doubled keys are always found, a path leads where it says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.codecs import json_paths, json_text
from devices.observation import Reason
from devices.profile import ProfileError
from tests.test_codecs import refusal


def joined(left: str, parts: list[str], right: str) -> str:
    """JSON text of an array or object from its parts' texts, doubled keys and all."""
    return left + ",".join(parts) + right


TEXTS = st.text(alphabet='ab\\"é,:{} ', max_size=4).map(lambda text: json.dumps(text, ensure_ascii=False))
DOCUMENTS = st.recursive(
    st.sampled_from(["null", "true", "1.5", "-0", "[]", "{}"]) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: joined("[", parts, "]"))
        | st.lists(st.tuples(TEXTS, inner).map(":".join), max_size=4).map(lambda parts: joined("{", parts, "}"))
    ),
    max_leaves=8,
)


def has_doubled_key(text: str) -> bool:
    """The slow and certain way."""
    doubled: list[bool] = []

    def pairs(found: list[tuple[str, object]]) -> None:
        doubled.append(len(dict(found)) != len(found))

    json.loads(text, object_pairs_hook=pairs)
    return any(doubled)


@given(DOCUMENTS)
def test_doubled_keys_are_found_wherever_they_stand(text: str) -> None:
    """Counting quotation marks and reading twice agree, with backslashes, quotes and brackets in keys and texts."""
    reason = refusal(lambda: json_text.read_json(text.encode()))
    assert reason == (Reason.DUPLICATE_KEY if has_doubled_key(text) else None)


STEPS = st.one_of(st.integers(0, 3), st.text(alphabet="aB.[]-0", min_size=1, max_size=3))


@given(st.text(alphabet="ab", min_size=1), st.lists(STEPS, max_size=4))
def test_a_planted_value_is_found(first: str, rest: list[int | str]) -> None:
    """Paths lead where they led when the document was made."""
    text = first + "".join(f"[{step}]" if isinstance(step, int) else f'."{step}"' for step in rest)
    path = json_paths.compile_path(text, "test")
    document: dict[str, object] = {}
    json_paths.plant(document, path, 5)
    assert (path, json_paths.follow(document, path)) == ((first, *rest), 5)


@pytest.mark.parametrize(
    "text", ["", ".a", "a.", "a..b", "a[", "a[x]", "a[0", "a[0]b", 'a."b', "a[-1]", 'a"b"', "[0]."]
)
def test_a_wrong_path_is_refused_when_the_profile_loads(text: str) -> None:
    """Not when the first message arrives."""
    with pytest.raises(ProfileError, match="path"):
        json_paths.compile_path(text, "profile x: power")
