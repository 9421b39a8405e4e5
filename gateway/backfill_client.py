"""``village backfill``: sends a file chunk by chunk, to the running gateway or through a line of its own; resumable."""

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.app import App
from gateway.line.backfill import CHUNK, BackfillError, count_records, file_id, read_records
from gateway.running import Running, RunningError, find_running
from gateway.settings import Settings

Send = Callable[[bytes], Mapping[str, object]]


class Sums(NamedTuple):
    """What became of a file's records in this run."""

    records: int
    """In the file."""
    skipped: int
    """Taken in by an earlier run."""
    kept: int
    refused: int
    repeated: int


def backfill(settings: Settings, path: Path, device: str, *, quiet: bool) -> Sums:
    """Take a file in; a run that was broken off goes on where it stopped.

    Raises:
        BackfillError: the file cannot be read, or the gateway does not take it; one line.
    """
    try:
        total, name = count_records(path), file_id(path, device)
    except OSError as error:
        raise BackfillError(f"{path}: {error.strerror}") from error
    running = find_running(settings)
    if running is not None:
        return _send_file(_sending(running), path, device, name, total, quiet=quiet)
    app = App(settings, with_broker=False, with_api=False)
    app.start()
    try:
        return _send_file(app.take_chunk, path, device, name, total, quiet=quiet)
    finally:
        app.stop()


def _send_file(send: Send, path: Path, device: str, name: str, total: int, *, quiet: bool) -> Sums:
    records = read_records(path, device)
    done = _count(send(_chunk(name, 0, [])), "done")
    skipped = sum(1 for _ in islice(records, done))
    sums = [0, 0, 0]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=quiet) as progress:
        bar = progress.add_task(path.name, total=total, completed=skipped)
        for chunk in _chunks(records):
            answer = send(_chunk(name, done, chunk))
            if _count(answer, "done") != done + len(chunk):
                raise BackfillError(f"{path}: another backfill of the same file is running; wait for it")
            done += len(chunk)
            for number, outcome in enumerate(("kept", "refused", "repeated")):
                sums[number] += _count(answer, outcome)
            progress.update(bar, completed=done)
    return Sums(done, skipped, *sums)


def _chunks(records: Iterator[bytes]) -> Iterator[list[bytes]]:
    while chunk := list(islice(records, CHUNK)):
        yield chunk


def _chunk(name: str, start: int, records: list[bytes]) -> bytes:
    return b"\n".join([json.dumps({"file": name, "start": start}).encode(), *records])


def _sending(running: Running) -> Send:
    def send(chunk: bytes) -> Mapping[str, object]:
        try:
            return running.ask("POST", "/backfill", chunk)
        except RunningError as error:
            raise BackfillError(str(error)) from error

    return send


def _count(answer: Mapping[str, object], key: str) -> int:
    value = answer.get(key, 0)
    if not isinstance(value, int):
        raise BackfillError(f"the gateway answered without {key!r}; is another version running?")
    return value
