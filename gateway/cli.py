"""The ``village`` command, put together from the entry points of the packages; errors become one line and a status."""

import sys
from importlib.metadata import entry_points

import typer


def build() -> typer.Typer:
    """Every package's commands in one application."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
    for entry in sorted(entry_points(group="village.commands"), key=lambda point: point.name):
        try:
            entry.load()(app)
        except ModuleNotFoundError:
            continue
    return app


def main() -> None:
    """Run."""
    sys.exit(build()())
