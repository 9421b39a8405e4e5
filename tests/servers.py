"""Real servers for tests: Mosquitto, InfluxDB 1.x, VictoriaMetrics on free loopback ports; and a scripted HTTP one."""

import getpass
import gzip
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn, Self

import pytest

HOST = "127.0.0.1"
REQUIRE = "VILLAGE_REQUIRE_SERVERS"
"""Set to 1 where a missing server is a failure (CI), not a skip."""

_START_SECONDS, _KEPT_START_SECONDS = 20.0, 600.0
"""Until a server answers; one with a year of data opens a hundred shards first."""
_STOP_SECONDS = 10.0


def free_port() -> int:
    """A loopback TCP port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def find_server(binary: str, package: str) -> str:
    """Path of the server's program; without it the test is skipped by the server's name, or fails in CI."""
    path = shutil.which(binary, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin")))
    if path is None:
        _missing(f"{binary} is not on this machine; install Debian's package {package}")
    return path


def _missing(text: str) -> NoReturn:
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


def answers(port: int, path: str) -> bool:
    """Whether an HTTP server on this port answers the path with 2xx."""
    connection = HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status // 100 == 2
    except OSError:
        return False
    finally:
        connection.close()


def accepts(port: int) -> bool:
    """Whether somebody listens on this port."""
    try:
        socket.create_connection((HOST, port), timeout=2).close()
    except OSError:
        return False
    return True


@dataclass
class Server:
    """One server process with its folder; it keeps its port and its data over stop, kill and restart."""

    command: list[str]
    folder: Path
    port: int
    is_ready: Callable[[int], bool]
    host: str = HOST
    username: str = ""
    password: str = ""
    start_seconds: float = _START_SECONDS
    process: subprocess.Popen[bytes] | None = None
    _output: IO[bytes] | None = None

    @property
    def url(self) -> str:
        """Where an HTTP server answers."""
        return f"http://{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        """Everything the process printed, of all its runs."""
        return self.folder / "server.log"

    def start(self) -> None:
        """Start the process and return when it answers."""
        self._output = self.log.open("ab")
        self.process = subprocess.Popen(
            self.command, cwd=self.folder, stdout=self._output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        until = time.monotonic() + self.start_seconds
        while not self.is_ready(self.port):
            if self.process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise RuntimeError(f"{self.command[0]} did not start:\n{self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.005)

    def stop(self) -> None:
        """Ask the process to end (SIGTERM) and wait for it; its data stays."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once (SIGKILL), as a power cut would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop if it runs, then start with the same port and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Let the process hang: its port still accepts, nothing answers."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a hanging process go on."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        if self._output is not None:
            self._output.close()
            self._output = None


@contextmanager
def _running(make: Callable[[Path], Server], kept: Path | None = None) -> Iterator[Server]:
    """The server in a folder of its own, started; stopped and removed at the end. A taken port is tried anew.

    A folder that is to be ``kept`` stays, and what is in it is found again.
    """
    own = tempfile.TemporaryDirectory(prefix="village-", ignore_cleanup_errors=True)
    with own if kept is None else nullcontext(kept) as folder:
        for attempt in range(3):
            server = make(Path(folder))
            try:
                server.start()
                break
            except RuntimeError:
                if attempt == 2:
                    raise
        try:
            yield server
        finally:
            server.kill() if kept is None else server.stop()


@contextmanager
def mosquitto(config_extra: str = "") -> Iterator[Server]:
    """A Mosquitto broker (``host``, ``port``, ``log``), anonymous unless ``config_extra`` says otherwise.

    Its persistence folder is ``folder``; ``persistence true`` in ``config_extra`` makes it remember over a restart.
    """
    binary = find_server("mosquitto", "mosquitto")

    def make(folder: Path) -> Server:
        port = free_port()
        lines = [
            # Started as root, Mosquitto would drop to its own account, which may not write this folder.
            f"user {getpass.getuser()}",
            f"listener {port} {HOST}",
            f"persistence_location {folder}/",
            "log_dest stdout",
            *([] if "allow_anonymous" in config_extra else ["allow_anonymous true"]),
        ]
        config = folder / "mosquitto.conf"
        config.write_text("\n".join([*lines, config_extra, ""]))
        return Server([binary, "-c", str(config)], folder, port, accepts)

    with _running(make) as server:
        yield server


_INFLUXD = """
reporting-disabled = true
bind-address = "{host}:{rpc_port}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  index-version = "{index}"
  query-log-enabled = false
  {data_extra}
[monitor]
  store-enabled = false
[http]
  bind-address = "{host}:{port}"
  auth-enabled = {auth}
  log-enabled = false
  {http_extra}
"""


@contextmanager
def influxdb1(
    auth: bool = False,
    index: str = "tsi1",
    data_extra: str = "",
    http_extra: str = "",
    is_ready: Callable[[int], bool] = lambda at: answers(at, "/ping"),
    kept: Path | None = None,
) -> Iterator[Server]:
    """An InfluxDB 1.x (``url``); with ``auth`` it has one administrator, ``username`` and ``password``.

    Args:
        auth: ask for Basic authentication.
        index: ``tsi1`` or ``inmem``.
        data_extra: more lines of the configuration's ``[data]``, for example ``max-values-per-tag = 2``.
        http_extra: more lines of ``[http]``, for example ``max-body-size = 1000``.
        is_ready: whether it answers at this port.
        kept: a folder that stays, with the data that was left there.
    """
    binary = find_server("influxd", "influxdb")

    def make(folder: Path) -> Server:
        port = free_port()
        config = folder / "influxdb.conf"
        config.write_text(
            _INFLUXD.format(
                host=HOST, rpc_port=free_port(), port=port, folder=folder, index=index, auth=str(auth).lower(),
                data_extra=data_extra, http_extra=http_extra,
            )
        )  # fmt: skip
        seconds = _START_SECONDS if kept is None else _KEPT_START_SECONDS
        return Server([binary, "-config", str(config)], folder, port, is_ready, start_seconds=seconds)

    with _running(make, kept) as server:
        if auth:
            server.username, server.password = "admin", "admin-secret"
            influxql(server, f"CREATE USER {server.username} WITH PASSWORD '{server.password}' WITH ALL PRIVILEGES")
        yield server


@contextmanager
def victoria_metrics() -> Iterator[Server]:
    """A VictoriaMetrics (``url``): a real server for the write side of InfluxDB 2.x, queried by PromQL."""
    binary = find_server("victoria-metrics", "victoria-metrics")

    def make(folder: Path) -> Server:
        port = free_port()
        options = [f"-storageDataPath={folder}/data", f"-httpListenAddr={HOST}:{port}", "-retentionPeriod=100y"]
        return Server([binary, *options], folder, port, lambda at: answers(at, "/health"))

    with _running(make) as server:
        yield server


def get(server: Server, path: str, parameters: Mapping[str, str] | None = None, method: str = "GET") -> bytes:
    """The body a test's own question is answered with; any answer but 2xx is an error."""
    connection = HTTPConnection(server.host, server.port, timeout=10)
    query = urllib.parse.urlencode(parameters or {})
    try:
        connection.request(method, f"{path}?{query}" if query else path)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    assert response.status // 100 == 2, (response.status, body)
    return body


def influxql(server: Server, query: str, database: str = "") -> bytes:
    """InfluxDB's JSON answer to one InfluxQL statement, asked as the administrator."""
    parameters = {"q": query, "db": database, "epoch": "ns", "u": server.username, "p": server.password}
    return get(server, "/query", {key: value for key, value in parameters.items() if value}, "POST")


@dataclass(frozen=True)
class Request:
    """What the scripted server was asked."""

    method: str
    path: str
    """Without the query."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    """Not compressed any more."""


@dataclass(frozen=True)
class Answer:
    """What the scripted server says."""

    status: int = 204
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    """Close the connection without an answer."""


class ScriptedServer:
    """An HTTP server that answers what a test's function says, and remembers what it was asked."""

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.connections = 0
        self._closing = False
        self._sockets: set[socket.socket] = set()
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            """An answer is two writes: the second would wait 40 ms for the client's acknowledgement of the first."""

            def setup(self) -> None:
                super().setup()
                scripted.connections += 1
                scripted._sockets.add(self.connection)

            def finish(self) -> None:
                super().finish()
                scripted._sockets.discard(self.connection)

            def do_GET(self) -> None:
                scripted._serve(self)

            do_POST = do_GET  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                """Tests read ``requests`` instead of a log."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="scripted-server")

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self._server.server_address[1]}"

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        parts = urllib.parse.urlsplit(handler.path)
        request = Request(handler.command or "", parts.path, dict(urllib.parse.parse_qsl(parts.query)), headers, body)
        self.requests.append(request)
        answer = self.answer(request)
        if answer.cut:
            handler.close_connection = True
            return
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        if answer.status != 204:
            handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        handler.wfile.write(answer.body)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        for connection in list(self._sockets):
            # A kept-alive connection would hold its handler's thread, and closing waits for that thread.
            _end_connection(connection)
        self._server.server_close()
        self._thread.join()


def _end_connection(connection: socket.socket) -> None:
    """End a connection somebody else may have ended already."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
