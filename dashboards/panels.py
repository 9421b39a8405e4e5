"""One panel of a dashboard, said in our words, and its Classic JSON; every panel explains itself to staff."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from dashboards.queries import SPAN_NULLS, Query, Source
from dashboards.scales import Named, Scale, meaning
from dashboards.texts import Say

Json = dict[str, Any]
MIXED = {"type": "datasource", "uid": "-- Mixed --"}


class Link(NamedTuple):
    """The next useful place."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table, or one series by its name, where it differs from its panel."""

    name: str
    title: str = ""
    unit: str = ""
    scale: Scale = ()
    names: Sequence[Named] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    """What to show instead of a text."""
    link: Link | None = None
    coloured: bool = False
    """Of a table's cell: the colour fills it."""
    width: int = 0
    decimals: int | None = None
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. Nothing has a default that staff would miss."""

    kind: str
    title: str
    description: str
    """One sentence for staff; what the colours mean is added to it."""
    queries: tuple[Query, ...]
    unit: str
    scale: Scale
    links: tuple[Link, ...]
    no_value: str
    """Shown where there is no data: why that may be."""
    width: int = 6
    height: int = 8
    names: Sequence[Named] = ()
    columns: tuple[Column, ...] = ()
    options: Json = field(default_factory=dict)
    """Beside or instead of the kind's own."""
    custom: Json = field(default_factory=dict)
    transformations: tuple[Json, ...] = ()
    data_link: Link | None = None
    time_from: str = ""
    """Another span of time than the dashboard's, ``3h`` for example."""
    low: float | None = None
    high: float | None = None
    decimals: int | None = None
    repeat: str = ""
    """Template variable: one panel for each of its values."""

    def sized(self, width: int, height: int) -> "Panel":
        """The same panel in another size: the grid is 24 wide."""
        return replace(self, width=width, height=height)


def to_json(panel: Panel, say: Say, number: int, x: int, y: int) -> Json:
    """The panel in Grafana's Classic model.

    Args:
        panel: what to show.
        say: the language, for the meaning of the colours.
        number: id, unique in the dashboard.
        x: column of the grid.
        y: row of the grid.
    """
    found: Json = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": f"{panel.description}\n\n{meaning(panel.scale, say)}" if panel.scale else panel.description,
        "gridPos": {"h": panel.height, "w": panel.width, "x": x, "y": y},
        "transparent": False,
        "links": [_link(link) for link in panel.links],
        "options": _options(panel),
    }
    if panel.queries:
        sources = {query.source for query in panel.queries}
        found["datasource"] = _source(sources.pop()) if len(sources) == 1 else MIXED
        found["targets"] = [_target(query, number) for number, query in enumerate(panel.queries)]
    if panel.kind not in {"text", "alertlist"}:
        found["fieldConfig"] = {"defaults": _defaults(panel), "overrides": _overrides(panel)}
    if panel.transformations:
        found["transformations"] = list(panel.transformations)
    if panel.time_from:
        found |= {"timeFrom": panel.time_from, "hideTimeOverride": False}
    if panel.repeat:
        found |= {"repeat": panel.repeat, "repeatDirection": "h", "maxPerRow": 24 // panel.width}
    return found


def _source(source: Source) -> Json:
    return {"type": "influxdb", "uid": source.value}


def _link(link: Link) -> Json:
    return {"title": link.title, "url": link.url, "targetBlank": False}


def _target(query: Query, number: int) -> Json:
    found = {
        "datasource": _source(query.source),
        "refId": chr(ord("A") + number),
        "query": query.text,
        "rawQuery": True,
        "resultFormat": "table" if query.table else "time_series",
    }
    return found | ({"alias": query.alias} if query.alias else {})


def thresholds(scale: Scale) -> Json:
    """A scale as Grafana's thresholds."""
    return {"mode": "absolute", "steps": [{"color": step.colour, "value": step.value} for step in scale]}


def mappings(names: Sequence[Named] = (), texts: Mapping[str, str] | None = None) -> list[Json]:
    """Words for numbers, and texts for texts."""
    options: Json = {
        f"{one.value:g}": {"text": one.text, "color": one.colour, "index": number} for number, one in enumerate(names)
    }
    options |= {key: {"text": text, "index": number} for number, (key, text) in enumerate((texts or {}).items())}
    return [{"type": "value", "options": options}] if options else []


def _defaults(panel: Panel) -> Json:
    found: Json = {
        "unit": panel.unit,
        "noValue": panel.no_value,
        "mappings": mappings(panel.names),
        "thresholds": thresholds(panel.scale),
        "color": {"mode": "thresholds"},
        "custom": CUSTOM.get(panel.kind, {}) | panel.custom,
    }
    if panel.kind == "timeseries":
        found["color"] = {"mode": "palette-classic"}
    for name, value in (("min", panel.low), ("max", panel.high), ("decimals", panel.decimals)):
        if value is not None:
            found[name] = value
    if panel.data_link is not None:
        found["links"] = [_link(panel.data_link)]
    return found


def _overrides(panel: Panel) -> list[Json]:
    return [
        {"matcher": {"id": "byName", "options": column.name}, "properties": _properties(column, panel.kind)}
        for column in panel.columns
    ]


def _properties(column: Column, kind: str) -> list[Json]:
    found: list[tuple[str, Any]] = []
    if column.title:
        found.append(("displayName", column.title))
    if column.unit:
        found.append(("unit", column.unit))
    if column.decimals is not None:
        found.append(("decimals", column.decimals))
    if column.scale:
        found.append(("thresholds", thresholds(column.scale)))
    if column.names or column.texts:
        found.append(("mappings", mappings(column.names, column.texts)))
    if column.link is not None:
        found.append(("links", [_link(column.link)]))
    if column.coloured and kind == "table":
        found.append(("custom.cellOptions", {"type": "color-background", "mode": "basic"}))
    if column.width:
        found.append(("custom.width", column.width))
    if column.hidden and kind == "table":
        found.append(("custom.hidden", True))
    if column.hidden and kind == "geomap":
        found.append(("custom.hideFrom", {"legend": True, "tooltip": True, "viz": False}))
    return [{"id": key, "value": value} for key, value in found]


_REDUCE = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_LEGEND = {
    "calcs": ["min", "mean", "max", "lastNotNull"],
    "displayMode": "table",
    "placement": "bottom",
    "showLegend": True,
}
_TOOLTIP = {"mode": "multi", "sort": "none"}
_NO_LEGEND = {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False}

OPTIONS: dict[str, Json] = {
    "stat": {
        "colorMode": "background",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": _REDUCE,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
        "textMode": "auto",
        "wideLayout": True,
    },
    "gauge": {
        "minVizHeight": 75,
        "minVizWidth": 75,
        "orientation": "auto",
        "reduceOptions": _REDUCE,
        "showThresholdLabels": False,
        "showThresholdMarkers": True,
        "sizing": "auto",
    },
    "bargauge": {
        "displayMode": "basic",
        "legend": _NO_LEGEND,
        "maxVizHeight": 300,
        "minVizHeight": 16,
        "minVizWidth": 8,
        "namePlacement": "left",
        "orientation": "horizontal",
        "reduceOptions": _REDUCE,
        "showUnfilled": True,
        "sizing": "auto",
        "valueMode": "color",
    },
    "timeseries": {"legend": _LEGEND, "tooltip": _TOOLTIP},
    "table": {"cellHeight": "sm", "frameIndex": 0, "showHeader": True},
    "state-timeline": {
        "alignValue": "left",
        "legend": _NO_LEGEND | {"showLegend": True},
        "mergeValues": True,
        "perPage": 20,
        "rowHeight": 0.9,
        "showValue": "auto",
        "tooltip": _TOOLTIP | {"mode": "single"},
    },
    "status-history": {
        "colWidth": 0.9,
        "legend": _NO_LEGEND | {"showLegend": True},
        "rowHeight": 0.9,
        "showValue": "auto",
        "tooltip": _TOOLTIP | {"mode": "single"},
    },
    "geomap": {},
    "alertlist": {},
    "text": {},
}
"""What a kind of panel is like where a panel says nothing else."""

_HIDDEN = {"legend": False, "tooltip": False, "viz": False}
CUSTOM: dict[str, Json] = {
    "timeseries": {
        "axisPlacement": "auto",
        "drawStyle": "line",
        "fillOpacity": 10,
        "hideFrom": _HIDDEN,
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "pointSize": 4,
        "showPoints": "auto",
        "spanNulls": SPAN_NULLS,
        "stacking": {"group": "A", "mode": "none"},
        "thresholdsStyle": {"mode": "dashed"},
    },
    "table": {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True, "inspect": False},
    "state-timeline": {"fillOpacity": 80, "hideFrom": _HIDDEN, "lineWidth": 0, "spanNulls": False},
    "status-history": {"fillOpacity": 80, "hideFrom": _HIDDEN, "lineWidth": 1},
    "geomap": {"hideFrom": _HIDDEN},
}
BARS = {"drawStyle": "bars", "fillOpacity": 80, "lineWidth": 0, "thresholdsStyle": {"mode": "off"}}
"""``custom`` of a time series of sums."""


def _options(panel: Panel) -> Json:
    return OPTIONS[panel.kind] | panel.options


def hide_time(*more: str) -> Json:
    """Columns of a table that say nothing to staff."""
    return {
        "id": "organize",
        "options": {"excludeByName": dict.fromkeys(("Time", *more), True), "indexByName": {}, "renameByName": {}},
    }
