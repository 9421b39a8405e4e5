"""The ``village`` command: put together from the packages' entry points; every error is one line and an exit status."""

import gc
import sys
from importlib.metadata import EntryPoint, entry_points, version
from typing import Annotated

import typer

from devices.fleet_csv import FleetError
from devices.observation import RefusedError
from devices.profile import ProfileError
from devices.standards import StandardsError
from gateway.line.backfill import BackfillError
from gateway.line.journal_file import JournalError
from gateway.settings_file import SettingsError

DISTRIBUTION = "smart-village-gateway"
COMMANDS = "village.commands"
"""Group of entry points: each names one command (or group of commands) and the ``register`` that adds it."""
WRONG_SETTINGS = (SettingsError, FleetError, ProfileError, StandardsError, JournalError)
"""Exit status 2: nothing was started, a person must mend a file."""
REFUSED = (RefusedError, BackfillError)
"""Exit status 1: the command ran, its input was not taken."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(version(DISTRIBUTION))
        raise typer.Exit


def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Takes what field devices say over MQTT, keeps every reading, and shows commune staff what it means.

    Example: village demo
    """


def build(asked: str = "") -> typer.Typer:
    """The application.

    Args:
        asked: only the package that declares this command is loaded, so that the gateway starts without the simulators;
            empty, or a name nobody declares, loads them all.
    """
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
    app.callback()(_root)
    entries = entry_points(group=COMMANDS)
    wanted = entries.select(name=asked) or entries
    for value in dict.fromkeys(entry.value for entry in wanted):
        EntryPoint(asked, value, COMMANDS).load()(app)
    return app


def command_names() -> list[str]:
    """The names of all commands and groups, sorted."""
    return sorted({entry.name for entry in entry_points(group=COMMANDS)})


def main() -> None:
    """Run one command; the process ends with its status."""
    try:
        # Loading makes no garbage, and looking for some while it goes on takes a fifth of its time.
        gc.disable()
        command = build(next((word for word in sys.argv[1:] if not word.startswith("-")), ""))
        gc.enable()
        command()
    except WRONG_SETTINGS as error:
        _end(str(error), 2)
    except REFUSED as error:
        _end(str(error), 1)
    except OSError as error:
        # An address in use, a folder that may not be written: the operating system's own words say which.
        _end(str(error), 1)


def _end(text: str, status: int) -> None:
    typer.echo(text, err=True)
    sys.exit(status)
