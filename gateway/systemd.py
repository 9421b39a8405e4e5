"""Tells systemd that the service is ready, alive or stopping; silent where systemd did not start it."""

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping

import structlog

log = structlog.get_logger(__name__)

MOST_TEXT = 200
"""A status line longer than this is cut; a person reads it in `systemctl status`."""


class Notifier:
    """The service's side of sd_notify(3), without a library.

    ``alive`` is cheap enough for every turn of the line: it speaks at most four times in the watchdog's interval.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic) -> None:
        """Read what systemd left in the environment (``NOTIFY_SOCKET``, ``WATCHDOG_USEC``, ``WATCHDOG_PID``)."""
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._clock = clock
        self.watchdog_seconds = _watchdog_seconds(environ)
        """After so long without a sign of life systemd ends and restarts the service; 0: nobody watches."""
        self._next = 0.0
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    @property
    def is_told(self) -> bool:
        """Whether there is a systemd that listens."""
        return bool(self._address)

    @property
    def is_watched(self) -> bool:
        """Whether somebody waits for signs of life."""
        return bool(self._address) and self.watchdog_seconds > 0

    def ready(self, status: str = "") -> None:
        """Everything is started; services ordered after this one may start."""
        self._tell("READY=1", status)

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._tell("", text)

    def alive(self) -> None:
        """A sign of life, from the thread whose standing still must not go unnoticed."""
        if not self.is_watched:
            return
        now = self._clock()
        if now >= self._next:
            self._next = now + self.watchdog_seconds / 4
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """The end has begun; nobody need wait for signs of life any more."""
        self._tell("STOPPING=1")
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket, self._address = None, ""

    def _tell(self, word: str, status: str = "") -> None:
        if not self._address:
            return
        line = f"STATUS={' '.join(status.split())[:MOST_TEXT]}" if status else ""
        text = "\n".join(part for part in (word, line) if part)
        try:
            with self._lock:
                if self._socket is None:
                    self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
                    # The line must never wait for systemd.
                    self._socket.setblocking(False)
                self._socket.sendto(text.encode(), self._address)
        except OSError as error:
            # Told again soon: signs of life come four to an interval.
            log.warning("systemd could not be told", word=word, error=str(error))


def _address(text: str) -> str:
    """A path, or a name beginning with a zero byte; other families (vsock) are for virtual machines."""
    if text.startswith("@"):
        return "\0" + text[1:]
    return text if text.startswith("/") else ""


def _watchdog_seconds(environ: Mapping[str, str]) -> float:
    # WATCHDOG_PID names who is meant: a child that inherits the environment is not.
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isdecimal() else 0.0
