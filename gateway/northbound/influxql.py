"""Reads from any InfluxDB (1.x, 2.x, 3.x) by ``/query``: the portable subset of InfluxQL and nothing else."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from gateway.model import Point, StoredLine, StoreError, StoreMisconfiguredError, StoreUnavailableError, Window
from gateway.northbound.answers import Answer, Endpoint, error_of, one_line, words_of

_MILLISECOND = 1_000_000


class Series(NamedTuple):
    """One table of an answer."""

    name: str
    tags: dict[str, str]
    columns: list[str]
    values: list[list[Any]]
    """JSON values; times are integers of nanoseconds UTC."""


class InfluxQL:
    """Questions to one database. Nothing is opened before the first one; may be asked from several threads."""

    def __init__(
        self,
        store: str,
        url: str,
        database: str,
        *,
        username: str = "",
        password: str = "",
        timeout_seconds: float = 10.0,
        ca_file: Path | None = None,
    ) -> None:
        self._database = database
        self._endpoint = Endpoint(
            store, url, username=username, password=password, timeout_seconds=timeout_seconds, ca_file=ca_file
        )

    def ask(self, statement: str, database: str | None = None) -> list[Series]:
        """The tables that answer one statement.

        Args:
            statement: InfluxQL; names and texts in it are quoted by ``identifier`` and ``text``.
            database: the one given at construction if None.

        Raises:
            StoreUnavailableError: cannot be asked now.
            StoreMisconfiguredError: no such database, or this account may not ask.
        """
        where = self._database if database is None else database
        query = {"q": statement, "epoch": "ns", **({"db": where} if where else {})}
        answer = self._endpoint.ask("POST", "/query", query)
        if answer.status // 100 != 2:
            error = error_of(self._endpoint.store, answer)
            if isinstance(error, StoreUnavailableError | StoreMisconfiguredError):
                raise error
            raise StoreUnavailableError(f"{self._endpoint.store}: the question was refused: {words_of(answer)}")
        return self._tables(answer)

    def _tables(self, answer: Answer) -> list[Series]:
        store = self._endpoint.store
        try:
            result = json.loads(answer.body)["results"][0]
            if "error" not in result:
                return [
                    Series(table.get("name", ""), table.get("tags") or {}, table["columns"], table.get("values") or [])
                    for table in result.get("series") or []
                ]
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise StoreMisconfiguredError(
                f"{store}: /query does not answer as InfluxDB does ({words_of(answer)}); correct url in the settings"
            ) from error
        words = one_line(str(result["error"]))
        if "not found" in words:
            raise StoreMisconfiguredError(f"{store}: {words}; create it, or correct database in the settings")
        raise StoreUnavailableError(f"{store}: the question was refused: {words}")

    def series(
        self, measurement: str, commune: str, device: str, field: str, window: Window, database: str | None = None
    ) -> list[Point]:
        """See ``model.Store.series``. Buckets are aligned to 1970 and those without a point are left out.

        Raises:
            StoreUnavailableError: cannot be asked now; also where a person must mend the settings first.
        """
        if window.limit < 1 or window.stop <= window.start:
            return []
        name = identifier(field)
        # 3.x knows no bucket under a millisecond.
        width = -(-window.every // _MILLISECOND)
        what = f"mean({name}), min({name}), max({name})" if width else name
        statement = (
            f"SELECT {what} FROM {identifier(measurement)}"
            f' WHERE "commune" = {text(commune)} AND "device" = {text(device)}'
            f" AND time >= {window.start} AND time < {window.stop}"
            + (f" GROUP BY time({width}ms) fill(none)" if width else "")
            + f" LIMIT {window.limit}"
        )
        try:
            tables = self.ask(statement, database)
        except StoreUnavailableError:
            raise
        except StoreError as error:
            raise StoreUnavailableError(str(error)) from error
        if any(table.name != measurement for table in tables):
            # VictoriaMetrics answers every question with a list of databases.
            raise StoreUnavailableError(f"{self._endpoint.store}: /query is answered, but not as InfluxDB does")
        rows = tables[0].values if tables else []
        if width:
            return [Point(at, float(mean), float(low), float(high)) for at, mean, low, high in rows]
        return [Point(at, float(value), float(value), float(value)) for at, value in rows]

    def lines(
        self, measurement: str, commune: str, device: str | None, start: int, stop: int, limit: int, newest: bool,
        database: str | None = None,
    ) -> list[StoredLine]:  # fmt: skip
        """See ``model.Store.lines``.

        Raises:
            StoreUnavailableError: cannot be asked now; also where a person must mend the settings first.
        """
        whose = f' AND "device" = {text(device)}' if device is not None else ""
        statement = (
            f'SELECT * FROM {identifier(measurement)} WHERE "commune" = {text(commune)}{whose}'
            f' AND time >= {start} AND time < {stop} GROUP BY "commune", "device"'
            f" ORDER BY time {'DESC' if newest else 'ASC'} LIMIT {limit}"
        )
        try:
            tables = self.ask(statement, database)
        except StoreUnavailableError:
            raise
        except StoreError as error:
            raise StoreUnavailableError(str(error)) from error
        return [
            StoredLine(
                table.tags.get("device", ""),
                int(at),
                {
                    name: float(value)
                    for name, value in zip(table.columns[1:], values, strict=True)
                    if value is not None
                },
            )
            for table in tables
            for at, *values in table.values
        ]

    def problem(self, database: str) -> str:
        """Why this account cannot read this database, one line with what to do; empty if it can."""
        try:
            # A question of the usual kind that no shard has to answer.
            self.series("device", "-", "-", "online", Window(0, 1, 0, 1), database)
        except StoreError as error:
            return f"reading {database} fails: {error}"
        return ""

    def close(self) -> None:
        """Let go of connections."""
        self._endpoint.close()


def identifier(name: str) -> str:
    r"""A measurement, tag or field name, quoted.

    >>> identifier('wind "gust"')
    '"wind \\"gust\\""'
    """
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def text(value: str) -> str:
    r"""A tag value or other text, quoted.

    >>> text("Ngõ 4'")
    "'Ngõ 4\\''"
    """
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"
