"""Which scenarios come with the package."""

from functools import cache
from importlib import resources


@cache
def shipped_names() -> tuple[str, ...]:
    """Their names."""
    folder = resources.files("simulators") / "scenarios"
    return tuple(sorted(e.name.removesuffix(".toml") for e in folder.iterdir() if e.name.endswith(".toml")))
