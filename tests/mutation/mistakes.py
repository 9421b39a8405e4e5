"""The mistakes people make in codecs and profiles: a scale, a sign, the byte order, a unit, the name of a field."""

import ast
import copy
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from devices.codecs import CODECS
from devices.codecs.layout import FROM_NETWORK
from devices.codecs.senml_units import UNITS
from devices.profile import Profile, ProfileProperty
from devices.units import conversion
from devices.vocabulary import VOCABULARY

SCALE, SIGN, ORDER, UNIT, NAME = "scale", "sign", "byte order", "unit", "name"
KINDS = (SCALE, SIGN, ORDER, UNIT, NAME)
ENCODERS = frozenset(
    {"encode", "written", "raw", "plant", "local_text", "rebirth_request", "node_birth", "node_death", "_set", "NAMES"}
)
"""Functions and tables that write what a device says: the round trips of ``test_codecs`` are their proof."""
TEXTS = frozenset({"native", "json_fields", "bare", "senml", "tasmota", "zigbee2mqtt", "airrohr", "sparkplug_b"})
BYTES = frozenset(CODECS) - TEXTS
"""Codecs of devices behind a network server."""
_TOKENS = re.compile(r"(?:[uifw](?:8|16|24|32|48|64)|bits|time|x[0-9]+)(?:&[0-9a-f]+)?(?::\S+)?\Z")
_STRUCT = re.compile(r"[<>][a-zA-Z0-9]+\Z")
_POWERS_OF_TEN = frozenset(10**power for power in range(1, 10))
_UNITS = frozenset(UNITS) | {entry.unit for entry in VOCABULARY.values()}


class Mistake(NamedTuple):
    """One place made wrong."""

    kind: str
    where: str
    """File and line, or profile and property."""
    what: str
    line: str
    """The codec's source line; empty for a profile."""
    made: Any
    """A codec's source as a tree, or a profile."""


# in a codec ------------------------------------------------------------------------------------------------------


def in_source(name: str, source: str) -> Iterator[Mistake]:
    """Every mistake in one codec module."""
    tree, lines = ast.parse(source), source.splitlines()
    skipped = _skipped(tree)
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in skipped:
            continue
        for kind, what, change in _changes(node):
            made = copy.deepcopy(tree)
            change(list(ast.walk(made))[number])
            at = getattr(node, "lineno", 1)
            yield Mistake(kind, f"{name}.py:{at}", what, lines[at - 1].strip(), made)


Change = Callable[[Any], None]


def _skipped(tree: ast.Module) -> set[int]:
    """Nodes that are words for people, types, or only write."""
    found: set[int] = set()
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            parts = [node]
        elif isinstance(node, ast.FunctionDef):
            parts = [node] if node.name in ENCODERS else [node.returns, node.args, *node.decorator_list]
        elif isinstance(node, ast.AnnAssign):
            parts = [node.annotation]
        elif isinstance(node, ast.Raise | ast.JoinedStr) or _names_an_option(node) or _only_writes(node):
            parts = [node]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "number":
            parts = [*node.args[1:]]  # what a refusal calls it
        found |= {id(inner) for part in parts if part is not None for inner in ast.walk(part)}
    return found


def _names_an_option(node: ast.AST) -> bool:
    """Types that are texts, and keys that a profile's options may have."""
    if isinstance(node, ast.Assign):
        return "Literal" in ast.dump(node.value)
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"allow_options", "text_table", "option"}


def _only_writes(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and any(getattr(target, "id", "") in ENCODERS for target in node.targets)


def _changes(node: ast.AST) -> Iterator[tuple[str, str, Change]]:
    match node:
        case ast.BinOp(op=ast.Mult()):
            yield SCALE, "* for /", lambda n: setattr(n, "op", ast.Div())
        case ast.BinOp(op=ast.Div()):
            yield SCALE, "/ for *", lambda n: setattr(n, "op", ast.Mult())
        case ast.BinOp(op=ast.Add()) if not _holds_text(node):
            yield SIGN, "- for +", lambda n: setattr(n, "op", ast.Sub())
        case ast.BinOp(op=ast.Sub()):
            yield SIGN, "+ for -", lambda n: setattr(n, "op", ast.Add())
        case ast.UnaryOp(op=ast.USub()):
            yield SIGN, "+ for a minus", lambda n: setattr(n, "op", ast.UAdd())
        case ast.keyword(arg="signed", value=ast.Constant(value=bool(signed))):
            yield SIGN, f"signed={not signed}", lambda n: setattr(n.value, "value", not signed)
        case ast.Constant(value=float(value)) if value:
            yield SCALE, f"{value!r} times 10", lambda n: setattr(n, "value", value * 10)
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int(value)) if value in _POWERS_OF_TEN:
            yield SCALE, f"{value} times 10", lambda n: setattr(n, "value", value * 10)
        case ast.Call(func=ast.Name(id="_one" | "Part")):
            for flag in (one for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, bool)):
                place = node.args.index(flag)
                yield SIGN, f"signed={not flag.value}", partial(_negate, place)
        case ast.Constant(value=str(text)):
            for kind, wrong in _texts(text):
                yield kind, f"{text!r} is {wrong!r}", partial(_say, wrong)


def _negate(place: int, node: Any) -> None:
    node.args[place].value = not node.args[place].value


def _say(text: str, node: Any) -> None:
    node.value = text


def _holds_text(node: ast.AST) -> bool:
    return any(isinstance(inner, ast.Constant) and isinstance(inner.value, str) for inner in ast.walk(node))


def _texts(text: str) -> Iterator[tuple[str, str]]:
    if text in {"little", "big"}:
        yield ORDER, "big" if text == "little" else "little"
    elif _STRUCT.match(text):
        yield ORDER, (">" if text[0] == "<" else "<") + text[1:]
    elif text and all(_TOKENS.match(token) for token in text.split()):
        yield from _layouts(text)
    elif text in _UNITS and not text.isidentifier():
        yield UNIT, "mg/L" if text != "mg/L" else "ug/L"
    elif text.isidentifier() and text not in {"utf", "ascii"}:
        yield NAME, f"{text}x"


def _layouts(text: str) -> Iterator[tuple[str, str]]:
    """Each number of a layout with and without a sign, and each field by another name."""
    tokens = text.split()
    for place, token in enumerate(tokens):
        others = []
        if token[0] in "ui" and token[1].isdigit() and "&" not in token:  # bits cut out of a number have no sign
            others.append((SIGN, ("i" if token[0] == "u" else "u") + token[1:]))
        if ":" in token:
            others.append((NAME, f"{token}x"))
        for kind, wrong in others:
            yield kind, " ".join([*tokens[:place], wrong, *tokens[place + 1 :]])


# in a profile ----------------------------------------------------------------------------------------------------


def in_profile(profile: Profile) -> Iterator[Mistake]:
    """Every mistake in one profile's properties and options."""
    for place, entry in enumerate(profile.properties):
        if not entry.path and entry.name in FROM_NETWORK and profile.codec in BYTES:
            continue  # the network server says it; nothing but the name is used
        for kind, changed in _entries(entry):
            properties = (*profile.properties[:place], changed, *profile.properties[place + 1 :])
            made = profile.model_copy(update={"properties": properties})
            yield Mistake(kind, f"{profile.id}.toml: {entry.name}", _difference(entry, changed), "", made)
    for what, kind, options in _options(profile.options):
        made = profile.model_copy(update={"options": options})
        yield Mistake(kind, f"{profile.id}.toml: options", what, "", made)


def _entries(entry: ProfileProperty) -> Iterator[tuple[str, ProfileProperty]]:
    if not entry.values:
        yield SCALE, entry.model_copy(update={"scale": entry.scale * 10})
        yield SIGN, entry.model_copy(update={"scale": -entry.scale})
    if entry.shift:
        yield SIGN, entry.model_copy(update={"shift": -entry.shift})
    unit = next((u for u in sorted(_UNITS) if u != entry.unit and conversion(entry.name, u) is not None), None)
    if unit is not None:
        yield UNIT, entry.model_copy(update={"unit": unit})
    yield NAME, entry.model_copy(update={"path": f"{entry.path or entry.name}x"})
    other = next((n for n in VOCABULARY if n != entry.name and conversion(n, entry.unit) is not None), None)
    if other is not None:
        yield NAME, entry.model_copy(update={"name": other, "path": entry.path or entry.name})
    for text, value in entry.values.items():
        yield NAME, entry.model_copy(update={"values": entry.values | {text: value + 1}})


def _difference(entry: ProfileProperty, changed: ProfileProperty) -> str:
    before, after = entry.model_dump(), changed.model_dump()
    return ", ".join(f"{key} {after[key]!r} for {before[key]!r}" for key in before if before[key] != after[key])


def _options(options: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for key, value in options.items():
        if isinstance(value, dict):
            for what, kind, inner in _options(value):
                yield f"{key}.{what}", kind, {**options, key: inner}
        elif isinstance(value, str):
            for kind, wrong in _texts(value):
                if kind in {SIGN, ORDER} or " " in value or ":" in value:
                    yield f"{key} {wrong!r} for {value!r}", kind, {**options, key: wrong}
