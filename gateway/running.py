"""The gateway that runs with the same settings, as other commands reach it: over its API, or not at all."""

import ssl
from collections.abc import Mapping
from pathlib import Path

import urllib3
from urllib3.util import Timeout

from gateway.settings import Settings

READ_SECONDS = 90.0
"""Longer than the gateway itself waits for room in its journal."""
HEALTH_SECONDS = 10.0
"""How it is, it says at once; another program at its port may never say anything."""


class RunningError(Exception):
    """The running gateway does not do what it was asked: one line, its own words."""


class Running:
    """A gateway that answered just now."""

    def __init__(self, pool: urllib3.PoolManager, address: str) -> None:
        self._pool, self.address = pool, address

    def ask(self, method: str, path: str, body: object = None) -> Mapping[str, object]:
        """Ask it, and read its answer.

        Args:
            method: ``GET`` or ``POST``.
            path: begins with a slash.
            body: sent as JSON; bytes are sent as they are; None sends nothing.

        Raises:
            RunningError: it refuses, or has gone.
        """
        where = f"{self.address}{path}"
        try:
            if body is None or isinstance(body, bytes):
                answer = self._pool.request(method, where, body=body)
            else:
                answer = self._pool.request(method, where, json=body)
            said: object = answer.json()
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise RunningError(f"{self.address}: the gateway broke off ({error}); try again") from error
        if answer.status != 200 or not isinstance(said, dict):
            message = said.get("error", {}).get("message", "") if isinstance(said, dict) else ""
            raise RunningError(f"{self.address}: {message or f'answered {answer.status}'}")
        return said


def find_running(settings: Settings) -> Running | None:
    """The gateway that runs with these settings, or None if none answers."""
    pool, address = _door(settings)
    try:
        answer = _ask_health(pool, address)
        is_ours = answer.status == 401 or "ledger" in answer.json()
    except (urllib3.exceptions.HTTPError, ValueError, TypeError):
        return None
    return Running(pool, address) if is_ours else None


def health_of(settings: Settings) -> Mapping[str, object]:
    """What the gateway that runs with these settings says of itself; empty if none answers."""
    pool, address = _door(settings)
    try:
        # 503 is how a gateway says that it fails.
        said: object = _ask_health(pool, address).json()
    except (urllib3.exceptions.HTTPError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _ask_health(pool: urllib3.PoolManager, address: str) -> urllib3.BaseHTTPResponse:
    return pool.request("GET", f"{address}/health", timeout=Timeout(connect=2.0, read=HEALTH_SECONDS))


def _door(settings: Settings) -> tuple[urllib3.PoolManager, str]:
    api = settings.api
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(api.host, api.host)  # noqa: S104 - compared, not bound
    name = f"[{host}]" if ":" in host and "[" not in host else host
    headers = {"Authorization": f"Bearer {api.token.get_secret_value()}"} if api.token else {}
    timeout = Timeout(connect=2.0, read=READ_SECONDS)
    if api.cert_file is None:
        return urllib3.PoolManager(timeout=timeout, retries=False, headers=headers), f"http://{name}:{api.port}"
    context = _own_certificate(api.cert_file)
    pool = urllib3.PoolManager(
        timeout=timeout, retries=False, headers=headers, ssl_context=context, assert_hostname=False
    )
    return pool, f"https://{name}:{api.port}"


def _own_certificate(path: Path) -> ssl.SSLContext:
    """Trusts the certificate in this file and no other, by whatever name it is asked for: it is this gateway's own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(path)
    return context


def number(answer: Mapping[str, object], key: str) -> int:
    """A whole number of an answer.

    Raises:
        RunningError: it is not there.
    """
    value = answer.get(key, 0)
    if not isinstance(value, int):
        raise RunningError(f"the gateway answered without {key!r}; is another version running?")
    return value
