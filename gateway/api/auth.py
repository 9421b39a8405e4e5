"""Who may ask: the token, the host a browser thinks it talks to, and the headers that keep a page within bounds."""

import hmac
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Request
from fastapi.security import APIKeyQuery, HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.settings import Api, is_loopback

_SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_bearer = HTTPBearer(auto_error=False, description="The token of the settings' `api.token`, where one is set")
_query = APIKeyQuery(name="token", auto_error=False, description="The same, for EventSource, which sends no headers")


def need_token(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    query: Annotated[str | None, Depends(_query)],
) -> None:
    """Let the request pass if no token is set or it carries the right one.

    Raises:
        HTTPException: 401.
    """
    settings: Api = request.app.state.parts.settings
    if settings.token is None:
        return
    given = bearer.credentials if bearer is not None else query or ""
    if not hmac.compare_digest(given.encode(), settings.token.get_secret_value().encode()):
        message = "this gateway asks for its token: send `Authorization: Bearer ...` or `?token=...`"
        raise HTTPException(401, message, {"WWW-Authenticate": "Bearer"})


class Doorkeeper:
    """Security headers on every answer; refuses pages of other sites, which a browser would let ask on their behalf."""

    def __init__(self, app: ASGIApp, settings: Api) -> None:
        self.app = app
        # Without a token, the address alone says who may ask. A page elsewhere can point a name of its own at
        # 127.0.0.1 (DNS rebinding), and then only the Host header tells.
        self._only_local_names = settings.token is None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_SECURITY_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(Headers(scope=scope))
        if refusal:
            body = {"error": {"code": "unauthorized", "message": refusal}}
            await JSONResponse(body, 403)(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)

    def _refusal(self, headers: Headers) -> str:
        host = headers.get("host", "")
        if self._only_local_names and not is_loopback(_name(f"//{host}")):
            return f"asked as {host!r:.80}: without api.token only this machine may ask, as 127.0.0.1 or localhost"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.casefold() != host.casefold():
            return "a page of another site may not ask"
        return ""


def _name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
