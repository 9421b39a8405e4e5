"""A scriptable HTTP server in front of a real InfluxDB: it answers a write itself, or lets it through."""

import urllib.parse
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Self

from tests.servers import Answer, Request, ScriptedServer, Server


class Front:
    """Everything passes, until ``script`` says otherwise for a write."""

    def __init__(self, store: Server) -> None:
        self._store = store
        self.script: Callable[[Request], Answer | None] = lambda _: None
        """What to answer to a write; None lets it through."""
        self.writes = 0
        self._server = ScriptedServer(self._answer)

    @property
    def url(self) -> str:
        """Where it answers."""
        return self._server.url

    def _answer(self, request: Request) -> Answer:
        self._server.requests.clear()  # they hold every body
        if not request.path.endswith("/write"):
            return self.pass_on(request)
        self.writes += 1
        return self.script(request) or self.pass_on(request)

    def pass_on(self, request: Request, body: bytes | None = None) -> Answer:
        """What InfluxDB itself says, to this body in its place."""
        query = urllib.parse.urlencode(request.query)
        connection = HTTPConnection(self._store.host, self._store.port, timeout=10)
        try:
            connection.request(request.method, f"{request.path}?{query}", request.body if body is None else body)
            response = connection.getresponse()
            kind = response.getheader("Content-Type") or "text/plain"
            return Answer(response.status, response.read(), {"Content-Type": kind})
        except OSError:
            return Answer(cut=True)
        finally:
            connection.close()

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.__exit__(None, None, None)
