"""HTTP to a store: one kept-alive pool with Basic authentication, and what each answer means for delivery."""

import json
import re
import ssl
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError, LocationValueError, SSLError

from gateway.model import (
    BodyTooLargeError,
    LinesRefusedError,
    StoreError,
    StoreMisconfiguredError,
    StoreUnavailableError,
)

_CONNECT_SECONDS = 5.0
"""Chosen: a server that is up answers a connection in a fraction of this, also over a village's radio link."""
_WORDS = 300
"""Characters of a server's words that are kept."""

_LIMITS = ("max-values-per-tag", "max-series", "would exceed")
"""Words of a 400 or 422 that name a limit of the server's configuration, not a bad line. The first two are of 1.x; the
third is of 3.x ("Update to schema would exceed number of columns per table limit")."""

_DROPPED = re.compile(r"^partial write: .* dropped=(\d{1,9})$")
"""How 1.x and 2.x say how many points of a body they have not stored: beyond the retention, or of another type."""

_WHAT_TO_DO = {
    401: "correct the token, or username and password, in the settings",
    403: "grant this account the right to read and write the database",
    404: "create the database or bucket, or correct url and database in the settings",
}


class Answer(NamedTuple):
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    """Looked up in lower case."""
    body: bytes


class Endpoint:
    """One server. Nothing is opened before the first question; may be asked from several threads."""

    def __init__(
        self,
        store: str,
        url: str,
        *,
        username: str = "",
        password: str = "",
        timeout_seconds: float = 10.0,
        ca_file: Path | None = None,
        connections: int = 4,
    ) -> None:
        self.store = store
        self.url = url.rstrip("/")
        self._headers = dict(urllib3.make_headers(basic_auth=f"{username}:{password}")) if username or password else {}
        self._pool = urllib3.PoolManager(
            maxsize=connections,
            block=True,
            retries=False,
            timeout=urllib3.Timeout(connect=min(timeout_seconds, _CONNECT_SECONDS), read=timeout_seconds),
            cert_reqs=ssl.CERT_REQUIRED,
            ca_certs=str(ca_file) if ca_file else None,
        )

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The server's answer, whatever its status.

        Raises:
            StoreUnavailableError: there was no answer.
            StoreMisconfiguredError: the URL or the certificate cannot be right.
        """
        url = f"{self.url}{path}?{urlencode(query)}" if query else f"{self.url}{path}"
        try:
            response = self._pool.request(
                method, url, body=body, headers={**self._headers, **(headers or {})}, redirect=False
            )
        except (HTTPError, OSError) as error:
            raise no_answer(self.store, self.url, error) from error
        return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, response.data)

    def close(self) -> None:
        """Let go of idle connections."""
        self._pool.clear()


def no_answer(store: str, url: str, error: Exception) -> StoreError:
    """The store error for a question that got no answer at all."""
    words = one_line(str(error).rpartition(": ")[2] or type(error).__name__)
    if isinstance(error, SSLError):
        return StoreMisconfiguredError(f"{store}: no TLS with {url} ({words}); correct url or ca_file in the settings")
    # A missing ca_file is an OSError of the file system, not of the network.
    if isinstance(error, LocationParseError | LocationValueError | FileNotFoundError | PermissionError):
        return StoreMisconfiguredError(f"{store}: {url} cannot be asked ({words}); correct url or ca_file")
    return StoreUnavailableError(f"{store}: no answer from {url} ({words}); is the server running and reachable?")


def is_stored(answer: Answer) -> bool:
    """Whether an answer to a write says that all of it is stored.

    InfluxDB says so with 204 and nothing more. A page that comes with a 200 is a network's log-in, or another server's.
    """
    return answer.status == 204 or (answer.status // 100 == 2 and answer.headers.get("content-length") == "0")


def error_of(store: str, answer: Answer) -> StoreError:
    """What delivery shall make of an answer that is not 2xx."""
    status, words = answer.status, words_of(answer)
    if status in (400, 422):
        if any(limit in words for limit in _LIMITS):
            return StoreMisconfiguredError(
                f'{store}: {words}; raise this limit of the server (InfluxDB 1.x: index-version = "tsi1", '
                "max-values-per-tag = 0, max-series-per-database = 0)"
            )
        if not _is_influxdb(answer):
            return StoreMisconfiguredError(
                f"{store}: answers {status}, but not as InfluxDB does ({words}); correct url (http or https?)"
            )
        dropped = _DROPPED.search(words)
        return LinesRefusedError(words, int(dropped[1]) if dropped else 0)
    if status == 413:
        return BodyTooLargeError(f"{store}: 413: {words}")
    if status in (408, 429) or status >= 500:
        return StoreUnavailableError(f"{store}: {status}: {words}", retry_after(answer.headers.get("retry-after")))
    advice = _WHAT_TO_DO.get(status, "correct url in the settings: this is not how InfluxDB answers")
    return StoreMisconfiguredError(f"{store}: {status}: {words}; {advice}")


def _is_influxdb(answer: Answer) -> bool:
    """Whether a 400 comes from InfluxDB itself. A proxy's or a TLS port's 400 must not cost a single line."""
    parsed = _json(answer.body)
    return isinstance(parsed, dict) and ("error" in parsed or "message" in parsed)


def _json(body: bytes) -> object:
    try:
        parsed: object = json.loads(body)
    except ValueError:
        return None
    return parsed


def words_of(answer: Answer) -> str:
    """The server's own words on one line: ``error`` of 1.x and 3.x, ``message`` of 2.x, else the text."""
    parsed = _json(answer.body)
    if not isinstance(parsed, dict):
        return one_line(answer.body.decode(errors="replace")) or "no reason given"
    words = str(parsed.get("error") or parsed.get("message") or "no reason given")
    # 3.x: {"error": "partial write of line protocol occurred", "data": [{"line_number": 1, "error_message": "..."}]}
    data = parsed.get("data")
    first = data[0] if isinstance(data, list) and data else data
    if isinstance(first, dict) and "error_message" in first:
        words += f": {first['error_message']}"
    return one_line(words)


def one_line(text: str) -> str:
    """The text without line breaks, of bounded length."""
    joined = " ".join(text.split())
    return joined if len(joined) <= _WORDS else f"{joined[: _WORDS - 3]}..."


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """Seconds to wait that a ``Retry-After`` header asks for (a number or a date), None if it says nothing readable.

    >>> retry_after("7"), retry_after("Thu, 01 Jan 1970 00:01:00 GMT", now=20.0), retry_after("soon")
    (7.0, 40.0, None)
    """
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, zoned.timestamp() - (time.time() if now is None else now))
