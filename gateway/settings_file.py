"""Reads the settings' file and environment, says in one line what is wrong with them, and writes the example file."""

import difflib
import json
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gateway.settings import Settings

PREFIX = "GATEWAY_"
MAX_BYTES = 1_000_000
"""A longer settings file is some other file."""

_NOT_OURS = re.compile(r"GATEWAY_(SERVICE_.*|PORT|PORT_\d.*)")
"""Kubernetes puts these into every container beside a service that is called "gateway"."""
_REPEATED = ("source", "store", "notify")
"""Sections written with two brackets; in the environment they are counted from 0."""
_PATHS = {
    "broker": ("ca_file", "cert_file", "key_file"),
    "gateway": ("data_dir", "fleet", "certificates_dir", "standards"),
    "store": ("ca_file",),
    "api": ("cert_file", "key_file"),
}
"""Paths that start at the settings file's folder."""


class SettingsError(Exception):
    """Settings that cannot be used: one line with file or variable, key, what is wrong and what would be right."""


def load_settings(path: Path, environ: Mapping[str, str]) -> Settings:
    """Read one TOML file, with the environment's ``GATEWAY_<PART>_<NAME>`` laid over it, and check everything.

    Args:
        path: the file; relative paths in file and environment start at its folder.
        environ: usually ``os.environ``. An empty variable counts as not set.

    Raises:
        SettingsError: the file cannot be read, or a key is unknown or wrong.
    """
    values = _read_file(path)
    variables = _lay_over(values, environ)
    _resolve(values, path.absolute().parent)
    try:
        return Settings(**values)
    except ValidationError as error:
        raise SettingsError(_explain(error, path, variables)) from None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; `village settings > {path}` writes one to start from") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise SettingsError(f"{path}: longer than {MAX_BYTES} bytes; this is not a settings file")
    try:
        values = tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None
    for part, value in values.items():
        if part in _REPEATED and not isinstance(value, list):
            raise SettingsError(f"{path}: {part}: write [[{part}]] with two brackets, there may be several")
        if part in Settings.model_fields and part not in _REPEATED and not isinstance(value, dict):
            raise SettingsError(f"{path}: {part}: write [{part}] with one bracket, and its keys below")
    return values


def _lay_over(values: dict[str, Any], environ: Mapping[str, str]) -> dict[tuple[str | int, ...], str]:
    """Put the environment's values into ``values``; returns which variable each one came from."""
    variables: dict[tuple[str | int, ...], str] = {}
    for variable in sorted(environ):
        text = environ[variable]
        if not variable.startswith(PREFIX) or not text or _NOT_OURS.fullmatch(variable):
            continue
        place = _place(variable)
        part = str(place[0])
        section: Any = values.setdefault(part, [] if part in _REPEATED else {})
        if isinstance(place[1], int):
            if place[1] > len(section):
                raise SettingsError(f"environment {variable}: there are only {len(section)} [[{part}]] before it")
            if place[1] == len(section):
                section.append({})
            section = section[place[1]]
        section[place[-1]] = text
        variables[place] = variable
    return variables


def _place(variable: str) -> tuple[str | int, ...]:
    """Where a variable's value belongs: ``("broker", "port")`` or ``("store", 0, "token")``."""
    part, _, name = variable.removeprefix(PREFIX).lower().partition("_")
    index, _, rest = name.partition("_")
    repeated = part in _REPEATED and index.isdecimal()
    known = _fields(part)
    if (rest if repeated else name) in known and repeated == (part in _REPEATED):
        return (part, int(index), rest) if repeated else (part, name)
    near = difflib.get_close_matches(variable, list(_variables()), 1)
    raise SettingsError(f"environment {variable}: no such setting" + (f"; did you mean {near[0]}?" if near else ""))


def _variables() -> Iterator[str]:
    for part in Settings.model_fields:
        middle = f"{part}_0" if part in _REPEATED else part
        yield from (f"{PREFIX}{middle}_{name}".upper() for name in _fields(part))


def _fields(part: str) -> dict[str, FieldInfo]:
    """The keys of a section."""
    field = Settings.model_fields.get(part)
    return _model(field).model_fields if field else {}


def _model(field: FieldInfo) -> type[BaseModel]:
    """A section's model: the field's type, or for repeated sections what the tuple holds."""
    annotation = field.annotation
    inner = get_args(annotation)[0] if get_origin(annotation) is tuple else annotation
    assert isinstance(inner, type) and issubclass(inner, BaseModel)  # noqa: S101, PT018 - for the type checker
    return inner


def _resolve(values: dict[str, Any], folder: Path) -> None:
    gateway = values.setdefault("gateway", {})
    for key in _PATHS["gateway"]:
        if _fields("gateway")[key].default is not None:
            gateway.setdefault(key, str(_fields("gateway")[key].default))
    for part, keys in _PATHS.items():
        found = values.get(part, [])
        for section in found if isinstance(found, list) else [found]:
            for key in keys:
                if isinstance(section, dict) and isinstance(section.get(key), str):
                    section[key] = folder / section[key]


# what is wrong ----------------------------------------------------------------------------------------------------


def _explain(error: ValidationError, path: Path, variables: Mapping[tuple[str | int, ...], str]) -> str:
    problems = error.errors(include_url=False)
    # A misspelt key is the cause where a missing one is reported too.
    first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
    variable = variables.get(first["loc"])
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).removeprefix(".")
    where = f"environment {variable}" if variable else f"{path}: {key}" if key else str(path)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{where}: {_problem(first)}{more}"


def _problem(problem: ErrorDetails) -> str:
    loc = problem["loc"]
    if problem["type"] == "extra_forbidden":
        known = list(_fields(str(loc[0])) if len(loc) > 1 else Settings.model_fields)
        near = difflib.get_close_matches(str(loc[-1]), known, 1)
        return f"no such key; did you mean {near[0]!r}?" if near else f"no such key; known are {', '.join(known)}"
    text = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    value = problem["input"]
    field = _fields(str(loc[0])).get(str(loc[-1])) if loc else None
    # An address may hold a password by mistake, and this line ends up in logs.
    secret = field is None or "SecretStr" in str(field.annotation) or loc[-1] == "url"
    if secret or not isinstance(value, str | int | float):
        return text
    return text if repr(value) in text else f"{text}, not {value!r:.60}"


# the example file -------------------------------------------------------------------------------------------------

_HEAD = """\
# Settings of the gateway. Written by `village settings`; every value below is the default.
#
# Any of them can also be given in the environment, which wins over this file: the name stands beside each key. For
# secrets that is the better place. Sections in double brackets may stand several times; in the environment they are
# counted from 0. Relative paths start at the folder of this file.
"""


def render_example() -> str:
    """The whole settings file, documented line by line from the model."""
    return "\n".join([_HEAD, *(line for part in Settings.model_fields for line in _section(part))])


def _section(part: str) -> Iterator[str]:
    field = Settings.model_fields[part]
    model = _model(field)
    repeated = part in _REPEATED
    # A section without a default stands as a comment: the file must be usable as it is.
    mark = "" if field.default else "# "
    yield from _comment(f"{model.__doc__}")
    yield mark + (f"[[{part}]]" if repeated else f"[{part}]")
    for name, entry in model.model_fields.items():
        yield ""
        yield from _comment(entry.description or "")
        variable = f"{PREFIX}{part}_{'0_' if repeated else ''}{name}".upper()
        yield from _comment(" ".join(part for part in (_range(entry), f"({variable})") if part))
        absent = entry.default is None or entry.is_required()
        value = (entry.examples or [""])[0] if absent else entry.default
        yield f"{mark or ('# ' if absent else '')}{name} = {_toml(value)}"
    yield ""
    yield ""


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), 117, break_on_hyphens=False)]


def _range(entry: FieldInfo) -> str:
    choices = [value for value in get_args(entry.annotation) if get_origin(entry.annotation) is Literal]
    if choices:
        return "One of " + ", ".join(_toml(choice) for choice in choices) + "."
    limits = {kind: getattr(item, kind) for item in entry.metadata for kind in ("ge", "le") if hasattr(item, kind)}
    return f"{limits['ge']} to {limits['le']}." if len(limits) == 2 else ""


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
