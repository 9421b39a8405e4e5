"""The gateway that runs with the same settings, as other commands reach it: over its API, or not at all."""

from collections.abc import Mapping

import urllib3
from urllib3.util import Timeout

from gateway.settings import Settings

READ_SECONDS = 90.0
"""Longer than the gateway itself waits for room in its journal."""


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
    api = settings.api
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(api.host, api.host)  # noqa: S104 - compared, not bound
    address = f"http://[{host}]:{api.port}" if ":" in host and "[" not in host else f"http://{host}:{api.port}"
    headers = {"Authorization": f"Bearer {api.token.get_secret_value()}"} if api.token else {}
    pool = urllib3.PoolManager(timeout=Timeout(connect=2.0, read=READ_SECONDS), retries=False, headers=headers)
    try:
        answer = pool.request("GET", f"{address}/health")
        is_ours = answer.status == 401 or "ledger" in answer.json()
    except (urllib3.exceptions.HTTPError, ValueError, TypeError):
        return None
    return Running(pool, address) if is_ours else None


def number(answer: Mapping[str, object], key: str) -> int:
    """A whole number of an answer.

    Raises:
        RunningError: it is not there.
    """
    value = answer.get(key, 0)
    if not isinstance(value, int):
        raise RunningError(f"the gateway answered without {key!r}; is another version running?")
    return value
