"""What Grafana does with a dashboard before InfluxDB sees it: variables, time range, interval, macros; and the answer.

Source: Grafana ``pkg/tsdb/influxdb/models/query.go`` (order of the macros) and ``pkg/tsdb/intervalv2`` (steps of the
interval), the same in 9 to 13; variables are filled in by the browser, escaped for a regular expression.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.servers import Server, influxql

Json = dict[str, Any]
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
"""[ms]"""
PIXELS = 1000
"""Width of a panel: points asked for at most."""
_STEPS = (
    (10, 1), (15, 10), (35, 20), (75, 50), (150, 100), (350, 200), (750, 500), (1500, 1000), (3500, 2000),
    (7500, 5000), (12_500, 10_000), (17_500, 15_000), (25_000, 20_000), (45_000, 30_000), (90_000, MINUTE),
    (210_000, 2 * MINUTE), (450_000, 5 * MINUTE), (750_000, 10 * MINUTE), (1_050_000, 15 * MINUTE),
    (1_500_000, 20 * MINUTE), (2_700_000, 30 * MINUTE), (5_400_000, HOUR), (9_000_000, 2 * HOUR),
    (16_200_000, 3 * HOUR), (32_400_000, 6 * HOUR), (86_400_000, 12 * HOUR), (604_800_000, DAY),
    (1_814_400_000, 7 * DAY), (3_628_800_000, 30 * DAY),
)  # fmt: skip
"""An interval up to the first number becomes the second."""
LEAST = 10 * SECOND
"""``timeInterval`` of the provisioned data sources."""
UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "y": 365 * DAY}


class Range(NamedTuple):
    """From and to [ms since 1970 UTC]."""

    start: int
    stop: int


class Question(NamedTuple):
    """One query of a dashboard as it stands in the file."""

    where: str
    """Dashboard and panel, for messages."""
    database: str
    text: str
    range: Range
    panel: Json
    """Empty for annotations and variables."""


class Series(NamedTuple):
    """One table of an answer."""

    name: str
    tags: dict[str, str]
    columns: list[str]
    values: list[list[Any]]


def span(text: str) -> int:
    """``now-24h`` or ``3h`` in milliseconds.

    >>> span("now-24h"), span("90d")
    (86400000, 7776000000)
    """
    match = re.fullmatch(r"(?:now-)?(\d+)([smhdy])", text)
    assert match, text
    return int(match[1]) * UNITS[match[2]]


def interval(asked: Range, points: int = PIXELS) -> int:
    """``$__interval`` [ms]."""
    raw = (asked.stop - asked.start) // points
    step = next((step for most, step in _STEPS if raw <= most), 365 * DAY)
    return max(step, LEAST)


def interval_text(milliseconds: int) -> str:
    """As Grafana writes it.

    >>> interval_text(7_200_000), interval_text(90_000), interval_text(500)
    ('2h', '1m30s', '500ms')
    """
    if milliseconds < SECOND:
        return f"{milliseconds}ms"
    for unit, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (SECOND, "s")):
        if milliseconds >= unit:
            whole, rest = divmod(milliseconds, unit)
            return f"{whole}{name}" + (interval_text(rest) if rest else "")
    raise AssertionError(milliseconds)


def escaped(value: str | Sequence[str]) -> str:
    """A variable's value as the browser writes it into a regular expression."""
    if isinstance(value, str):
        return value if value == ".*" else re.sub(r"[\\^$*+?.()|\[\]{}/]", lambda found: "\\" + found[0], value)
    return f"({'|'.join(escaped(one) for one in value)})"


def filled(text: str, variables: Mapping[str, str | Sequence[str]]) -> str:
    """The text with its template variables; one that is not known stays, as in the browser."""
    for name, value in variables.items():
        text = text.replace(f"${{{name}}}", escaped(value)).replace(f"${name}", escaped(value))
    return text


def expanded(text: str, asked: Range, points: int = PIXELS) -> str:
    """The macros, in the backend's order."""
    width = interval(asked, points)
    text = text.replace("$timeFilter", f"time >= {asked.start}ms and time <= {asked.stop}ms")
    text = text.replace("$interval", interval_text(width))
    text = text.replace("$__interval_ms", str(width))
    return text.replace("$__interval", interval_text(width))


def panels_of(dashboard: Json) -> Iterator[Json]:
    """Every panel, also of collapsed rows."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def questions(dashboard: Json, databases: Mapping[str, str], now: int, since: str = "") -> Iterator[Question]:
    """Every query of a dashboard: panels, annotations, variables.

    Args:
        dashboard: Classic JSON.
        databases: by the data source's uid.
        now: [ms since 1970 UTC]
        since: another range than the dashboard's own, for panels that follow the dashboard's.
    """
    usual = Range(now - span(since or dashboard["time"]["from"]), now)
    name = dashboard["uid"]
    for panel in panels_of(dashboard):
        own = Range(now - span(panel["timeFrom"]), now) if "timeFrom" in panel else usual
        for target in panel.get("targets", ()):
            where = f"{name} / {panel['title']} / {target['refId']}"
            yield Question(where, databases[target["datasource"]["uid"]], target["query"], own, panel)
    for annotation in dashboard["annotations"]["list"]:
        for text in {annotation["query"], annotation["target"]["query"]}:
            yield Question(
                f"{name} / {annotation['name']}", databases[annotation["datasource"]["uid"]], text, usual, {}
            )
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            database = databases[variable["datasource"]["uid"]]
            for text in {variable["query"], variable["definition"]}:
                yield Question(f"{name} / ${variable['name']}", database, text, usual, {})


def ask(server: Server, statement: str, database: str) -> list[Series]:
    """The answer, which must not be an error."""
    result = json.loads(influxql(server, statement, database))["results"][0]
    assert "error" not in result, (result["error"], statement)
    return [
        Series(entry.get("name", ""), entry.get("tags", {}), entry["columns"], entry["values"])
        for entry in result.get("series", ())
    ]


def has_data(found: Sequence[Series]) -> bool:
    """Whether any value is there beside the times."""
    return any(
        value is not None
        for series in found
        for row in series.values
        for column, value in zip(series.columns, row, strict=True)
        if column != "time"
    )


def rows_of(found: Sequence[Series]) -> list[dict[str, Any]]:
    """Every row of a table by its columns, tags among them."""
    return [{**series.tags, **dict(zip(series.columns, row, strict=True))} for series in found for row in series.values]


def columns_of(found: Sequence[Series]) -> set[str]:
    """Names of a table's columns as a panel sees them: tags of ``GROUP BY`` are columns too."""
    return {"Time"} | {name for series in found for name in (*series.tags, *series.columns)} - {"time"}
