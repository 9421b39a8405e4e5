"""A gateway that dies again and again: its lives are forked from one warm process, so that a death costs no imports."""

import json
import mmap
import os
import select
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.gateway_process import PATIENCE, GatewayProcess, await_that


class Lives(GatewayProcess):
    """A ``GatewayProcess`` for many lives: the same ``run``, in a child of a process that has imported everything."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._mother: subprocess.Popen[bytes] | None = None
        self.pid = 0
        """Of the life at hand; 0 between two lives."""
        self.deaths = 0

    def start(self, point: str = "", after: int = 0, lines: int = 0) -> "Lives":
        """Begin a life, and return when the API answers, or the life has ended by itself.

        Args:
            point: where it kills itself (``POINTS`` of ``tests.faults.deaths``); empty if it is killed from outside.
            after: how often it passes that point before.
            lines: at most so many in a body for a store; 0 leaves the gateway's own limit.
        """
        if self._mother is None:
            environment = {key: value for key, value in os.environ.items() if not key.startswith("GATEWAY_")}
            command = [sys.executable, "-m", "tests.faults.lives", str(self.clock)]
            self.step_clock(0.0)
            with self.log.open("ab") as log:
                self._mother = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0, env=environment
                )
        order = {"config": str(self.config), "point": point, "after": after, "lines": lines}
        assert self._mother.stdin is not None
        self._mother.stdin.write(json.dumps(order).encode() + b"\n")
        self.pid = self._heard(PATIENCE)
        await_that("the gateway's API answers", self._answers)
        return self

    @property
    def clock(self) -> Path:
        """Holds by how much its wall clock is wrong [ns], for it to look at whenever it asks the time."""
        return self.folder / "clock"

    def step_clock(self, seconds: float) -> None:
        """Its wall clock is wrong by so much from now on."""
        self.clock.touch()
        with self.clock.open("r+b") as file:
            file.write(struct.pack("<q", int(seconds * 1e9)))

    def _answers(self) -> bool:
        return self.has_ended() or super()._answers()

    def _heard(self, seconds: float) -> int:
        """The mother's next word: a child's process id, or the exit status of one that ended; -1 if she is silent."""
        assert self._mother is not None
        assert self._mother.stdout is not None
        if not select.select([self._mother.stdout], [], [], seconds)[0]:
            return -1
        return int(self._mother.stdout.readline())

    def has_ended(self) -> bool:
        """Whether this life is over."""
        if self.pid and self._heard(0.0) >= 0:
            self.pid = 0
            self.deaths += 1
        return not self.pid

    def await_death(self, seconds: float) -> bool:
        """Give it so long to kill itself; whether it has."""
        until = time.monotonic() + seconds
        while not self.has_ended() and time.monotonic() < until:
            time.sleep(0.005)
        return not self.pid

    def _end(self, how: signal.Signals, patience: float = PATIENCE) -> int:
        if not self.has_ended():
            os.kill(self.pid, how)
            assert self.await_death(patience)
        return 0

    def __enter__(self) -> "Lives":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        if self._mother is not None:
            assert self._mother.stdin is not None
            assert self._mother.stdout is not None
            self._mother.stdin.close()
            self._mother.wait(PATIENCE)
            self._mother.stdout.close()


def _step_clock(file: Path) -> None:
    """Make the wall clock wrong by what the file says, in everything that is imported from now on."""
    with file.open("rb") as opened:
        wrong_by = mmap.mmap(opened.fileno(), 8, access=mmap.ACCESS_READ)
    real = time.time_ns
    time.time_ns = lambda: real() + struct.unpack_from("<q", wrong_by)[0]
    time.time = lambda: time.time_ns() / 1e9


def _have_no_time_service() -> None:
    """Whether a wrong clock is believed must not depend on the machine: this one has a battery and no time service."""
    from gateway import clock

    unkept = clock.ClockState(False, "nobody keeps it right")
    defaults = clock.OwnClock.__init__.__kwdefaults__
    assert defaults is not None
    defaults |= {"state": lambda: unkept, "keeps_time": lambda: True}


def _be_mother() -> None:
    """Fork a gateway for every order that comes in; say its process id, and its status when it has ended."""
    _step_clock(Path(sys.argv[1]))
    _have_no_time_service()
    from gateway import logs, service
    from gateway.northbound import delivery, sifting
    from gateway.settings_file import load_settings
    from tests.faults.deaths import die_at, end_with_parent

    end_with_parent()
    for line in sys.stdin.buffer:
        order = json.loads(line)
        child = os.fork()
        if not child:
            end_with_parent()
            os.dup2(2, 1)
            settings = load_settings(Path(order["config"]), {})
            logs.configure(settings.gateway.log_level, settings.gateway.log_format)
            die_at(order["point"], order["after"])
            if order["lines"]:
                sifting.MAX_LINES = order["lines"]
                vars(delivery)["MAX_LINES"] = order["lines"]
            os._exit(service.run(settings))
        os.write(1, b"%d\n" % child)
        _, status = os.waitpid(child, 0)
        os.write(1, b"%d\n" % status)


if __name__ == "__main__":
    _be_mother()
