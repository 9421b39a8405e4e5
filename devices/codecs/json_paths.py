"""Paths into a JSON document: ``sensors[0].PMS5003."PM2.5"``, compiled once and followed per message."""

import re
from typing import Any

from devices.profile import ProfileError

Step = str | int
Path = tuple[Step, ...]
"""Keys of objects and indexes of arrays, from the outside in."""

MISSING = object()
"""What ``follow`` returns where the document has nothing."""

_PART = re.compile(r'(?P<dot>\.)?(?:"(?P<quoted>[^"]+)"|(?P<key>[^."\[\]]+)|\[(?P<index>\d{1,4})\])')


def compile_path(text: str, where: str) -> Path:
    """Read a path.

    Args:
        text: keys joined by dots; ``[0]`` is an index; a key that has dots or brackets stands in double quotes.
        where: profile and key, for the error's text.

    Raises:
        ProfileError: not a path.

    >>> compile_path('sensors[0].PMS5003."PM2.5"', "example")
    ('sensors', 0, 'PMS5003', 'PM2.5')
    """
    steps: list[Step] = []
    place = 0
    while place < len(text):
        match = _PART.match(text, place)
        # Keys are joined by dots, an index follows without one.
        if match is None or bool(match["dot"]) != (bool(steps) and match["index"] is None):
            raise ProfileError(f'{where}: {text!r} is not a path; write for example sensors[0].PMS5003."PM2.5"')
        steps.append(int(match["index"]) if match["index"] is not None else match["quoted"] or match["key"])
        place = match.end()
    if not steps:
        raise ProfileError(f"{where}: an empty path")
    return tuple(steps)


def follow(document: object, path: Path) -> object:
    """What stands at a path, or ``MISSING``."""
    for step in path:
        if isinstance(step, str):
            if type(document) is not dict or step not in document:
                return MISSING
            document = document[step]
        elif type(document) is list and step < len(document):
            document = document[step]
        else:
            return MISSING
    return document


def plant(document: dict[str, object], path: Path, value: object) -> None:
    """Put a value at a path, making the objects and arrays on the way; for encoders."""
    node: Any = document
    for step, after in zip(path, (*path[1:], None), strict=True):
        if isinstance(step, int):
            node.extend(None for _ in range(step + 1 - len(node)))
            present = node[step]
        else:
            present = node.get(step)
        if after is None:
            node[step] = value
        elif present is None:
            node[step] = {} if isinstance(after, str) else []
        node = node[step]
