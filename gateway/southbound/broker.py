"""The broker of the demo: Mosquitto where the machine has it, else amqtt in this process."""

import asyncio
import logging
import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Literal

HOST = "127.0.0.1"
START_SECONDS = 10.0
STOP_SECONDS = 1.5
QUEUE = {
    "persistence": "true",
    "autosave_interval": "60",
    "max_inflight_messages": "10000",
    "max_queued_messages": "0",
    "max_queued_bytes": "268435456",
    "max_packet_size": "4194304",
}
"""What keeps messages while the gateway is away; the reasons stand in ``deploy/mosquitto.conf``."""


def find_mosquitto() -> str | None:
    """Path of Mosquitto's program, or None. Debian puts it where an ordinary user's PATH does not look."""
    return shutil.which("mosquitto", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin")))


def parse_mosquitto_conf(text: str) -> dict[str, list[str]]:
    """The values of each key of a ``mosquitto.conf``, in their order; a key may stand several times.

    >>> parse_mosquitto_conf("# a comment\\nlistener 1883 127.0.0.1\\n")
    {'listener': ['1883 127.0.0.1']}
    """
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.strip().partition(" ")
        if key and not key.startswith("#"):
            found.setdefault(key, []).append(value.strip())
    return found


class DemoBroker:
    """A broker on loopback that lives as long as the demo; with Mosquitto it keeps its messages over a restart."""

    def __init__(self, folder: Path, port: int = 0, *, program: str | None = None) -> None:
        """Nothing is started.

        Args:
            folder: where it keeps what it remembers.
            port: 0 takes any free one.
            program: Mosquitto's; default is the machine's. Empty asks for amqtt.
        """
        self._folder = folder
        self._program = find_mosquitto() if program is None else program
        self._asked_port = port
        self.port = port
        """The actual port, once started."""
        self._running: _Mosquitto | _Amqtt | None = None

    @property
    def kind(self) -> Literal["mosquitto", "amqtt"]:
        """Which broker it is."""
        return "mosquitto" if self._program else "amqtt"

    @property
    def description(self) -> str:
        """For the demo's start line."""
        if self.kind == "mosquitto":
            return f"Mosquitto at {HOST}:{self.port}"
        return (
            f"amqtt at {HOST}:{self.port}, inside this process; it keeps nothing while the gateway is away, so it is"
            " for demonstrations only (install mosquitto for more)"
        )

    def start(self) -> None:
        """Return when it takes connections.

        Raises:
            OSError: the port is taken or the program does not start; one line.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        attempts = 1 if self._asked_port else 3
        for attempt in range(1, attempts + 1):
            # Somebody may take a free port between the look and the start: then another one is tried.
            self.port = self._asked_port or _free_port()
            self._running = _Mosquitto(self._program, self._folder) if self._program else _Amqtt()
            self._running.end_leftover()
            if _answers(self.port):
                raise OSError(f"port {self.port} is taken, perhaps by another broker; stop it or choose another port")
            try:
                self._running.start(self.port)
            except OSError:
                if attempt == attempts:
                    raise
            else:
                return

    def stop(self) -> None:
        """Return when it is gone, within 2 seconds."""
        if self._running is not None:
            self._running.stop()
            self._running = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


class _Mosquitto:
    """Mosquitto as a process of its own."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, port: int) -> None:
        """See ``DemoBroker.start``."""
        config = self._folder / "mosquitto.conf"
        # Started as root, Mosquitto would drop to its own account, which may not write this folder.
        user = pwd.getpwuid(os.geteuid()).pw_name
        lines = [
            f"user {user}",
            f"listener {port} {HOST}",
            "allow_anonymous true",
            *(f"{k} {v}" for k, v in QUEUE.items()),
        ]
        lines += [f"persistence_location {self._folder.absolute()}/", "log_dest stderr", "connection_messages false"]
        config.write_text("\n".join([*lines, ""]))
        log = self._folder / "mosquitto.log"
        with log.open("wb") as output:
            # A group of its own: Ctrl-C at the terminal is the demo's, which then stops its parts in order.
            self._process = subprocess.Popen(
                [self._program, "-c", str(config.absolute())],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0,
            )  # fmt: skip
        self._pid_file.write_text(str(self._process.pid))
        until = time.monotonic() + START_SECONDS
        while not _answers(port):
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                said = log.read_text(errors="replace").strip().splitlines()
                raise OSError(f"mosquitto did not start: {said[-1] if said else 'it says nothing'}; see {log}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End it: it saves what waits, then goes."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        self._pid_file.unlink(missing_ok=True)

    @property
    def _pid_file(self) -> Path:
        return self._folder / "mosquitto.pid"

    def end_leftover(self) -> None:
        """A demo that was killed leaves its Mosquitto behind, which would hold port and files."""
        try:
            number = int(self._pid_file.read_text())
            command = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return
        config = str((self._folder / "mosquitto.conf").absolute()).encode()
        if config not in command:
            return  # the number belongs to another program by now
        os.kill(number, signal.SIGTERM)
        until = time.monotonic() + START_SECONDS
        while Path(f"/proc/{number}").exists() and time.monotonic() < until:
            time.sleep(0.01)


class _Amqtt:
    """amqtt in a thread of this process."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._error = ""

    def start(self, port: int) -> None:
        """See ``DemoBroker.start``."""
        # It logs every connection, and tracebacks where we say one line.
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)
        logging.getLogger("transitions").setLevel(logging.CRITICAL)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(port)), name="demo-broker")
        self._thread.start()
        self._ready.wait()
        if self._error:
            self._thread.join()
            raise OSError(f"port {port} cannot be had: {self._error}; stop what listens there or choose another port")

    def end_leftover(self) -> None:
        """Nothing: it ends with its process."""

    async def _serve(self, port: int) -> None:
        # Only where there is no Mosquitto: it takes a fifth of a second to load.
        from amqtt.broker import Broker  # noqa: PLC0415
        from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType  # noqa: PLC0415

        self._loop = asyncio.get_running_loop()
        plugins: dict[str, Any] = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
        listener = ListenerConfig(type=ListenerType.TCP, bind=f"{HOST}:{port}")
        try:
            broker = Broker(BrokerConfig(listeners={"default": listener}, plugins=plugins))
            await broker.start()
        except Exception as error:  # noqa: BLE001 - amqtt wraps what went wrong in classes of its own
            self._error = str(error.__cause__ or error)
            return
        finally:
            self._ready.set()
        await self._stop.wait()
        try:
            await asyncio.wait_for(broker.shutdown(), STOP_SECONDS)
        except TimeoutError:
            logging.getLogger(__name__).warning("amqtt did not end its sessions in time")

    def stop(self) -> None:
        """End every session and the thread."""
        if self._thread is None or self._loop is None:
            return
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = None
