"""Store: InfluxDB 2.x and 3.x, written by influxdb-client, read by ``/query``."""

import gzip as gzip_format
from pathlib import Path

from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService
from urllib3.exceptions import HTTPError, SSLError

from gateway.model import (
    LinesRefusedError,
    Point,
    StoredLine,
    StoreError,
    StoreMisconfiguredError,
    StoreUnavailableError,
    Window,
)
from gateway.northbound.answers import Answer, error_of, is_stored, no_answer
from gateway.northbound.influxql import InfluxQL
from gateway.northbound.routing import is_rollup, split


class InfluxDB:
    """Implements ``model.Store``. Nothing is opened before the first call."""

    def __init__(
        self,
        *,
        name: str,
        url: str,
        database: str,
        rollup_database: str,
        org: str = "",
        token: str = "",
        username: str = "",
        password: str = "",
        gzip: bool = True,
        timeout_seconds: float = 10.0,
        ca_file: Path | None = None,
    ) -> None:
        self.name = name
        self._url = url.rstrip("/")
        self._buckets = (database, rollup_database)
        self._org = org
        self._gzip = gzip
        milliseconds = round(timeout_seconds * 1000)
        self._client = InfluxDBClient(
            url=self._url,
            # Both 1.8+ and 2.x take "Token user:password" for an account of the 1.x kind.
            token=token or f"{username}:{password}",
            org=org,
            timeout=(min(milliseconds, 5000), milliseconds),
            ssl_ca_cert=str(ca_file) if ca_file else None,
        )
        # The client's own WriteApi would compress at level 9, four times slower than level 1 for lines like ours.
        self._writer = WriteService(self._client.api_client)  # type: ignore[no-untyped-call]
        # Basic is the one form of authentication that 2.x and 3.x both take on /query, with the token as password.
        self._reader = InfluxQL(
            name, url, database, username=username or "token", password=token or password,
            timeout_seconds=timeout_seconds, ca_file=ca_file,
        )  # fmt: skip

    def write(self, body: bytes) -> None:
        """See ``model.Store.write``."""
        for bucket, lines in zip(self._buckets, split(body), strict=True):
            if lines:
                self._write(bucket, lines)

    def _write(self, bucket: str, lines: bytes) -> None:
        how = {"precision": "ns", "content_type": "text/plain; charset=utf-8"}
        if self._gzip:
            how["content_encoding"] = "gzip"
            lines = gzip_format.compress(lines, 1)
        try:
            _, status, headers = self._writer.post_write_with_http_info(  # type: ignore[no-untyped-call]
                self._org, bucket, lines, _return_http_data_only=False, **how
            )
        except ApiException as error:
            raise self._error(error) from error
        except (HTTPError, OSError) as error:
            raise no_answer(self.name, self._url, error) from error
        except UnicodeDecodeError as error:
            raise StoreMisconfiguredError(
                f"{self.name}: {self._url} does not answer in text, as InfluxDB does; correct url in the settings"
            ) from error
        answer = Answer(status, {name.lower(): value for name, value in headers.items()}, b"")
        if not is_stored(answer):
            raise error_of(self.name, answer)

    def _error(self, error: ApiException) -> StoreError:
        if not error.status:
            # The client turns TLS errors into status 0.
            return no_answer(self.name, self._url, SSLError(error.reason))
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        return error_of(self.name, Answer(error.status, headers, str(error.body or "").encode()))

    def series(self, measurement: str, commune: str, device: str, field: str, window: Window) -> list[Point]:
        """See ``model.Store.series``; a roll-up's measurement is asked in the roll-up bucket."""
        bucket = self._buckets[is_rollup(measurement)]
        return self._reader.series(measurement, commune, device, field, window, bucket)

    def lines(
        self,
        measurement: str,
        commune: str,
        device: str | None,
        start: int,
        stop: int,
        limit: int,
        *,
        newest: bool = False,
    ) -> list[StoredLine]:
        """See ``model.Store.lines``."""
        database = self._buckets[is_rollup(measurement)]
        return self._reader.lines(measurement, commune, device, start, stop, limit, newest, database)

    def check(self) -> list[str]:
        """See ``model.Store.check``.

        Writing is tested by a write of no lines: the server looks at the token and the bucket, stores nothing, and
        answers 2xx or that there are no points.
        """
        problems = []
        for bucket in self._buckets:
            try:
                self._write(bucket, b"")
            except LinesRefusedError:
                pass
            except StoreUnavailableError as error:
                return [str(error)]
            except StoreError as error:
                problems.append(f"{error} (found by a write of no lines to {bucket})")
                continue
            problem = self._reader.problem(bucket)
            if problem:
                problems.append(f"{self.name}: {problem}")
        return problems

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()  # type: ignore[no-untyped-call]
        self._reader.close()
