"""Processes: what the kernel says of one (Linux), and children of the benchmarks that wait, work and report."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self


def cpu_seconds(process: int) -> float:
    """Processor time of all its living threads; unlike ``/proc/<id>/stat`` not in steps of 10 ms."""
    threads = Path(f"/proc/{process}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


class Stopwatch:
    """Processor time of some processes since now, by name."""

    def __init__(self, **processes: int) -> None:
        self._processes = processes
        self._before = {name: cpu_seconds(process) for name, process in processes.items()}

    def seconds(self) -> dict[str, float]:
        """So far; before any of them ends."""
        return {name: cpu_seconds(process) - self._before[name] for name, process in self._processes.items()}


def resident_mb(process: int) -> float:
    """Memory that is in RAM now [MB]."""
    return _kilobytes(Path(f"/proc/{process}/status"), "VmRSS:") / 1024


def peak_mb_of(process: int) -> float:
    """The most memory it ever had in RAM [MB]."""
    return _kilobytes(Path(f"/proc/{process}/status"), "VmHWM:") / 1024


def written_bytes(process: int) -> int:
    """Bytes it has caused to be written to disk: pages it made dirty, each once until it is written."""
    return int(_field(Path(f"/proc/{process}/io"), "write_bytes:"))


def _kilobytes(file: Path, field: str) -> int:
    return int(_field(file, field).split()[0])


def _field(file: Path, field: str) -> str:
    return next(line.removeprefix(field) for line in file.read_text().splitlines() if line.startswith(field))


class Child:
    """A module of this package as a process of its own: it says ``ready``, waits for a line, and ends with a report.

    Times in reports are ``time.monotonic``, which all processes of a machine share on Linux.
    """

    def __init__(self, module: str, arguments: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.bench.{module}", json.dumps(arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip

    def await_ready(self) -> Self:
        """Return when it is ready."""
        self._read("ready")
        return self

    def go(self) -> None:
        """Let it begin."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def report(self) -> dict[str, Any]:
        """Wait for its end; what it said."""
        found: dict[str, Any] = json.loads(self._read(""))
        self.close()
        return found

    def _read(self, wanted: str) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line or (wanted and line != wanted):
            raise RuntimeError(f"{self._process.args!r} ended early; see above")
        return line

    def close(self) -> None:
        """End it if it still runs."""
        if self._process.poll() is None:
            self._process.terminate()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait(20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def started() -> dict[str, Any]:
    """In the child: its arguments."""
    arguments: dict[str, Any] = json.loads(sys.argv[1])
    return arguments


def await_go() -> None:
    """In the child: say that it is ready, and wait."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()


def tell(report: dict[str, Any]) -> None:
    """In the child: its last word."""
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()
