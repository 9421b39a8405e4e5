"""Store: InfluxDB 1.x (Debian's ``influxdb``), by ``/write`` and ``/query``."""

import gzip as gzip_format
import json
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from gateway.model import (
    Point,
    StoredLine,
    StoreError,
    StoreMisconfiguredError,
    StoreUnavailableError,
    Window,
)
from gateway.northbound.answers import Answer, Endpoint, error_of, is_stored
from gateway.northbound.influxql import InfluxQL, identifier
from gateway.northbound.routing import is_rollup, split

_TSI1_ADVICE = (
    'set index-version = "tsi1" under [data] in influxdb.conf and restart it (its default, inmem, refuses the '
    "100,001st device)"
)
_PROBE = "village_index_check"
"""Database that holds two points for a moment where the server does not tell which index it uses."""


class InfluxDB1:
    """Implements ``model.Store``. Nothing is opened before the first call."""

    def __init__(
        self,
        *,
        name: str,
        url: str,
        database: str,
        rollup_database: str,
        username: str = "",
        password: str = "",
        gzip: bool = True,
        timeout_seconds: float = 10.0,
        ca_file: Path | None = None,
    ) -> None:
        self.name = name
        self._databases = (database, rollup_database)
        self._gzip = gzip
        self._endpoint = Endpoint(
            name, url, username=username, password=password, timeout_seconds=timeout_seconds, ca_file=ca_file
        )
        self._reader = InfluxQL(
            name, url, database, username=username, password=password, timeout_seconds=timeout_seconds, ca_file=ca_file
        )

    def write(self, body: bytes) -> None:
        """See ``model.Store.write``. A database that is missing is created if this account may."""
        for database, lines in zip(self._databases, split(body), strict=True):
            if lines:
                self._write(database, lines)

    def _write(self, database: str, lines: bytes) -> None:
        answer = self._post(database, lines)
        if answer.status == 404 and b"database not found" in answer.body:
            self._create(database)
            answer = self._post(database, lines)
        if not is_stored(answer):
            raise error_of(self.name, answer)

    def _post(self, database: str, lines: bytes) -> Answer:
        # Without precision, times are nanoseconds in every 1.x.
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if self._gzip:
            # Level 1: a tenth of the size at a fourth of level 9's time (measured on lines like ours).
            headers["Content-Encoding"] = "gzip"
            lines = gzip_format.compress(lines, 1)
        return self._endpoint.ask("POST", "/write", {"db": database}, lines, headers)

    def _create(self, database: str) -> None:
        try:
            self._reader.ask(f"CREATE DATABASE {identifier(database)}", "")
        except StoreMisconfiguredError as error:
            raise StoreMisconfiguredError(
                f"{self.name}: database {database} does not exist and this account may not create it; run CREATE "
                f"DATABASE {identifier(database)} as an administrator and grant this account ALL on it"
            ) from error

    def series(self, measurement: str, commune: str, device: str, field: str, window: Window) -> list[Point]:
        """See ``model.Store.series``; a roll-up's measurement is asked in the roll-up database."""
        database = self._databases[is_rollup(measurement)]
        return self._reader.series(measurement, commune, device, field, window, database)

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
        database = self._databases[is_rollup(measurement)]
        return self._reader.lines(measurement, commune, device, start, stop, limit, newest, database)

    def check(self) -> list[str]:
        """See ``model.Store.check``. Missing databases are created if this account may.

        Writing is tested by a write of no lines: the server looks at the account and the database, and stores nothing.
        """
        try:
            self._reader.ask("SHOW DATABASES", "")
        except StoreUnavailableError as error:
            return [str(error)]
        except StoreError:
            # Says nothing yet: an account may be allowed to write and read, and not to list.
            pass
        problems = []
        for database in self._databases:
            try:
                self._write(database, b"")
            except StoreError as error:
                problems.append(f"{error} (found by a write of no lines to {database})")
                continue
            problem = self._reader.problem(database)
            if problem:
                problems.append(f"{self.name}: {problem}")
        if not problems:
            problem = self._index_problem()
            if problem:
                problems.append(f"{self.name}: {problem}")
        return problems

    def retention_seconds(self, database: str) -> float:
        """How long the database keeps what is written; 0: for ever.

        Raises:
            StoreError: it cannot be asked.
        """
        for table in self._reader.ask(f"SHOW RETENTION POLICIES ON {identifier(database)}", database):
            for row in table.values:
                policy = dict(zip(table.columns, row, strict=True))
                if policy.get("default"):
                    return _seconds(str(policy.get("duration", "0s")))
        return 0.0

    def _index_problem(self) -> str:
        """What is wrong with the index, one line; empty if new and old shards use tsi1."""
        try:
            indexes = self._indexes_told()
            if indexes:
                return (
                    ""
                    if indexes == {"tsi1"}
                    else f"the index is {', '.join(sorted(indexes))}: {_TSI1_ADVICE}, "
                    "then convert old shards by influx_inspect buildtsi"
                )
            return "" if self._probe_is_tsi1() else f"the index is inmem: {_TSI1_ADVICE}"
        except StoreUnavailableError as error:
            return f"the index could not be asked ({error}); check again"
        except StoreError:
            return f"this account may not ask which index the server uses: make sure of it, {_TSI1_ADVICE}"

    def _indexes_told(self) -> set[str]:
        """Index types of our shards as 1.7 and later name them; empty if the server does not tell (1.6.7)."""
        answer = self._endpoint.ask("GET", "/debug/vars")
        try:
            variables: Any = json.loads(answer.body) if answer.status == 200 else {}
        except ValueError:
            return set()
        tags = [entry.get("tags") or {} for entry in variables.values() if isinstance(entry, dict)]
        return {tag["indexType"] for tag in tags if "indexType" in tag and tag.get("database") in self._databases}

    def _probe_is_tsi1(self) -> bool:
        """Find the index by what it does: with inmem, all shards of a database share one list of tag values.

        Two devices are written a long time apart into a database of the moment. Asked for the devices of the last day,
        tsi1 names one and inmem both (measured on 1.6.7).
        """
        with suppress(StoreMisconfiguredError):
            # This account may not: then an administrator has made it (deploy/influxdb_accounts.py), or writing fails.
            self._reader.ask(f"CREATE DATABASE {identifier(_PROBE)}", "")
        try:
            self._write(_PROBE, b"probe,device=old x=1 0\nprobe,device=new x=1 %d\n" % time.time_ns())
            question = 'SHOW TAG VALUES WITH KEY = "device" WHERE time > now() - 1d'
            return [row[1] for table in self._reader.ask(question, _PROBE) for row in table.values] == ["new"]
        finally:
            try:
                self._reader.ask(f"DROP DATABASE {identifier(_PROBE)}", "")
            except StoreMisconfiguredError:
                self._reader.ask("DROP SERIES FROM probe", _PROBE)

    def close(self) -> None:
        """Let go of connections."""
        self._endpoint.close()
        self._reader.close()


def _seconds(duration: str) -> float:
    """A duration as InfluxDB writes it.

    >>> _seconds("17472h0m0s"), _seconds("0s")
    (62899200.0, 0.0)
    """
    units = {"h": 3600.0, "m": 60.0, "s": 1.0}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)([hms])", duration))
