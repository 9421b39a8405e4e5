"""What the options of this package's commands mean: spans, moments, brokers; progress bars; ending."""

import os
import signal
import ssl
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import NoReturn
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from devices.fleet_row import DEFAULT_ZONE
from simulators.local_time import DAY, FIRST, LAST
from simulators.publisher import Broker

_console = Console(stderr=True)
_ZONE = ZoneInfo(DEFAULT_ZONE)
_SPANS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY, "w": 7 * DAY}
LOCAL_BROKER = "127.0.0.1:1883"
PASSWORD = "VILLAGE_BROKER_PASSWORD"  # noqa: S105 - the name of the variable


def fail(text: str) -> NoReturn:
    """One line, and the exit status of wrong settings."""
    typer.echo(text, err=True)
    raise typer.Exit(2)


def parse_span(text: str) -> float:
    """Seconds of ``90s``, ``15m``, ``12h``, ``7d``, ``2w``.

    >>> parse_span("7d")
    604800.0
    """
    number, unit = text[:-1], text[-1:]
    try:
        seconds = float(number) * _SPANS[unit]
    except (ValueError, KeyError):
        raise ValueError(f"{text!r} is not a span of time; write for example 90s, 15m, 12h, 7d or 2w") from None
    if not 0.0 < seconds <= 10 * 366 * DAY:
        raise ValueError(f"{text!r}: write a span longer than nothing and of at most ten years")
    return seconds


def parse_moment(text: str, now: float) -> float:
    """Seconds since 1970 UTC of ``now`` or an ISO 8601 date or time; without offset it is Vietnamese time.

    >>> parse_moment("2026-08-01", 0.0)
    1785517200.0
    """
    if text == "now":
        return float(int(now))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a date; write for example 2026-08-01 or 2026-08-01T06:00") from None
    seconds = round(moment.replace(tzinfo=moment.tzinfo or _ZONE).timestamp(), 3)
    if not FIRST <= seconds <= LAST:
        raise ValueError(f"{text!r}: simulated time runs from 2024-01-01 to the end of 2042")
    return seconds


def parse_broker(text: str) -> tuple[str, int]:
    """Host and port of ``host:port``.

    >>> parse_broker("127.0.0.1:1883")
    ('127.0.0.1', 1883)
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is not a broker; write host:port, for example 127.0.0.1:1883")
    return host.strip("[]"), int(port)


def connect(broker: str, username: str, ca_file: Path | None) -> Broker:
    """The broker the options name; wrong options end the command."""
    try:
        host, port = parse_broker(broker)
        trust = ssl.create_default_context(cafile=str(ca_file)) if ca_file is not None else None
    except ValueError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{ca_file}: {error.strerror or error}")
    return Broker(host, port, username, os.environ.get(PASSWORD, ""), trust)


def stop_at_signals() -> threading.Event:
    """Set when somebody presses Ctrl-C or the process is asked to end."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def written(moment: float, timespec: str = "seconds") -> str:
    return datetime.fromtimestamp(moment, _ZONE).isoformat(timespec=timespec)


def progress_bar(name: str) -> Progress:
    spinner = SpinnerColumn() if name == "live" else BarColumn(bar_width=16)
    columns = (spinner, TextColumn("{task.fields[text]}"), TimeRemainingColumn())
    return Progress(*columns, console=_console, disable=not sys.stderr.isatty(), transient=True)
