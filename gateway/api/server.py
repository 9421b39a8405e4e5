"""The HTTP server: the app put together, one shape for every error, and uvicorn in a thread of its own."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from gateway.api import alerts, control, fleet, laboratory, ledger, live, mending, read, series
from gateway.api.auth import Doorkeeper, need_token
from gateway.api.live import LiveFeed
from gateway.api.parts import ApiParts
from gateway.api.schemas import ErrorAnswer
from gateway.metrics import Exposition

log = structlog.get_logger(__name__)

MAX_CONNECTIONS = 500
BACKLOG = 128
STOP_SECONDS = 1
"""An answer that is being made may take so long when the gateway stops; `/live` ends at once."""
STALLED_MILLISECONDS = 30_000
"""A client that takes nothing for so long is cut off by the kernel, whatever waits for it."""

_CODES = {401: "unauthorized", 403: "unauthorized", 404: "not_found", 500: "internal", 503: "unavailable"}
_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer, "description": "Asked wrongly; the message says what to do"},
    "5XX": {"model": ErrorAnswer, "description": "Cannot be answered now"},
}


def create_app(parts: ApiParts, web: Path | None = None) -> FastAPI:
    """The whole API and the board.

    Args:
        parts: what it reads and may ask for.
        web: folder of the board's files; default is the one that is shipped.
    """
    folder = web or Path(str(resources.files("gateway") / "web"))
    feed = LiveFeed(parts)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        serving = asyncio.create_task(feed.run())
        yield
        feed.close()
        await serving

    app = FastAPI(
        title="Smart village gateway",
        version=parts.version,
        description="Readings of street lamps, water probes and air stations. Times are RFC 3339 in UTC.",
        # The interactive pages load their scripts from the internet; the schema itself is at /openapi.json.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=_ERRORS,
    )
    app.state.parts, app.state.feed = parts, feed
    app.state.exposition = Exposition(lambda: ledger.measures(parts))
    for part in (read, series, ledger, live, control, fleet, mending, alerts, laboratory):
        app.include_router(part.router, dependencies=[Depends(need_token)])
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _bad_question)
    app.add_exception_handler(Exception, _defect)
    app.add_middleware(Doorkeeper, settings=parts.settings)

    @app.get("/", include_in_schema=False)
    def board() -> FileResponse:
        return FileResponse(folder / "index.html", headers={"Cache-Control": "no-cache"})

    app.mount("/static", _Files(directory=folder))
    return app


class _Files(StaticFiles):
    """The board's files; a browser asks each time whether they changed, so that an update is seen at once."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


def _answer(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    body = {"error": {"code": _CODES.get(status, "bad_request"), "message": " ".join(message.split())}}
    return JSONResponse(body, status, headers)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class
    return _answer(error.status_code, str(error.detail), dict(error.headers or {}))


async def _bad_question(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class
    first = error.errors()[0]
    place = str(first["loc"][-1]) if first["loc"] else "request"
    text = str(first["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return _answer(400, f"{place}: {text}")


async def _defect(request: Request, error: Exception) -> Response:
    # The traceback follows from uvicorn, to which Starlette hands the error on.
    log.error("the API failed; this is a defect", path=request.url.path, error=type(error).__name__)
    return _answer(500, "the gateway failed on this; its log says why")


class ApiServer:
    """Serves the API on the settings' address. ``start`` returns when it answers, ``stop`` when it is gone."""

    def __init__(self, parts: ApiParts, web: Path | None = None) -> None:
        """``web`` as in ``create_app``."""
        self.app = create_app(parts, web)
        self._settings = parts.settings
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context: ssl.SSLContext | None = None
        self.port = parts.settings.port
        """The actual port, once started."""

    @property
    def address(self) -> str:
        """Where people find it."""
        host, scheme = self._settings.host, "https" if self._settings.cert_file else "http"
        return f"{scheme}://[{host}]:{self.port}" if ":" in host else f"{scheme}://{host}:{self.port}"

    def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be had; one line, what to do.
        """
        listener = _listen(self._settings.host, self._settings.port)
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self.app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        self._encrypt(config, listener)
        self._server = uvicorn.Server(config)
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self._server, listener, ready), name="api")
        self._thread.start()
        ready.wait()
        if not self._server.started:
            self._thread.join()
            raise OSError("the API did not start; the log says why")

    def _encrypt(self, config: uvicorn.Config, listener: socket.socket) -> None:
        certificate, key = self._settings.cert_file, self._settings.key_file
        if certificate is None or key is None:
            return
        # Our own context rather than uvicorn's, so that a renewed certificate can be taken up while it runs.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(certificate, key)
        except OSError as error:
            listener.close()
            words = error.strerror or str(error)
            raise OSError(f"api.cert_file {certificate} and its key cannot be used: {words}") from error
        config.load()
        config.ssl = context
        self._context = context

    def renew(self) -> None:
        """Show the certificate that is in the file now to whoever connects from now on."""
        certificate, key = self._settings.cert_file, self._settings.key_file
        if self._context is not None and certificate is not None and key is not None:
            try:
                self._context.load_cert_chain(certificate, key)
            except OSError as error:
                log.error("the API's certificate cannot be read; the one before is shown on", error=str(error))  # noqa: TRY400

    def _run(self, server: uvicorn.Server, listener: socket.socket, ready: threading.Event) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started and not serving.done():
                await asyncio.sleep(0.005)
            ready.set()
            await serving

        try:
            asyncio.run(serve())
        finally:
            ready.set()
            listener.close()

    def stop(self) -> None:
        """End every stream, let answers finish for a second, close."""
        server, thread, loop = self._server, self._thread, self._loop
        if server is None or thread is None:
            return
        server.should_exit = True
        if loop is not None and thread.is_alive():
            feed: LiveFeed = self.app.state.feed
            with suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(feed.close)
        thread.join()


def _listen(host: str, port: int) -> socket.socket:
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MILLISECONDS)
        listener.bind(address)
        # At once, so that a second gateway finds the address taken.
        listener.listen(BACKLOG)
    except OSError as error:
        if listener is not None:
            listener.close()
        what = "another program listens there; stop it or set api.port" if port else "set api.host"
        raise OSError(f"the API cannot listen on {host} port {port}: {error.strerror or error}; {what}") from error
    return listener
