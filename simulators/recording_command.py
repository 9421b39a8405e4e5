"""What ``village record`` and ``village replay`` do."""

import math
import secrets
import time
from pathlib import Path

import typer

from simulators.options import PASSWORD, connect, fail, parse_span, progress_bar, stop_at_signals, written
from simulators.publisher import BrokerRefusedError, Publisher, Speaker
from simulators.recording import Recorder, RecordingError
from simulators.replay import Owner, Played, read_steps
from simulators.replay import replay as play


def record_messages(
    file: Path, *, broker: str, topic: list[str], username: str, ca_file: Path | None, span: str, max_mb: int
) -> None:
    """Record until the end of the span, Ctrl-C, or the file is full."""
    where = connect(broker, username, ca_file)
    try:
        until = time.monotonic() + parse_span(span) if span else math.inf
        recorder = Recorder(file, where, topic, max_mb * 1_000_000, time.time)
        recorder.start()
    except (ValueError, RecordingError) as error:
        fail(str(error))
    stop = stop_at_signals()
    with progress_bar("live") as shown:
        task = shown.add_task("record", total=None, text="connecting")
        while not stop.wait(0.2) and not recorder.ended.is_set() and time.monotonic() < until:
            state = "recording" if recorder.listening.is_set() else "connecting"
            recorder.flush()
            shown.update(task, text=f"{state}: {recorder.messages:,} messages, {recorder.bytes / 1e6:.1f} MB")
    try:
        recorder.stop()
    except (BrokerRefusedError, RecordingError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    full = f", stopped at {max_mb} MB" if recorder.ended.is_set() else ""
    typer.echo(f"{file}: {recorder.messages:,} messages{full}", err=True)


def replay_file(
    file: Path, *, broker: str, speed: float, commune: str, device: str, username: str, ca_file: Path | None
) -> None:
    """Play the whole file."""
    where = connect(broker, username, ca_file)
    stop = stop_at_signals()
    with progress_bar("live") as shown:
        publisher = Publisher(
            where, [Speaker(f"village-replay-{secrets.token_hex(4)}")],
            complain=lambda trouble: shown.console.print(trouble, highlight=False, soft_wrap=True),
        )  # fmt: skip
        task = shown.add_task("replay", total=None, text="connecting")

        def report(now: Played) -> None:
            shown.update(task, text=f"{written(now.at)}  {now.sent:,} sent, {now.acknowledged:,} acknowledged")

        try:
            steps = read_steps(file, Owner(commune, device))
            last = play(steps, publisher, speed, stop.is_set, report, time.monotonic)
        except RecordingError as error:
            fail(str(error))
        except BrokerRefusedError as error:
            typer.echo(f"{error}; check --broker, --username and {PASSWORD}", err=True)
            raise typer.Exit(1) from error
        finally:
            publisher.close(2.0)
    typer.echo(f"{file}: {last.sent:,} messages sent, {last.acknowledged:,} acknowledged", err=True)
