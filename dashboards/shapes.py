"""The option names that Grafana knows, of the panels that are used here: a misspelt one is silently ignored by it."""

from collections.abc import Iterator, Mapping
from typing import Any

from dashboards.panels import Json

Shape = Mapping[str, Any]
"""Allowed keys; a mapping below a key says what is allowed there, a list holds the shape of its entries, None ends."""

_REDUCE: Shape = {"calcs": None, "fields": None, "values": None, "limit": None}
_LEGEND: Shape = dict.fromkeys(
    ("calcs", "displayMode", "placement", "showLegend", "asTable", "isVisible", "sortBy", "sortDesc", "width")
)
_TOOLTIP: Shape = dict.fromkeys(("mode", "sort", "maxHeight", "maxWidth", "hideZeros"))
_TEXT: Shape = dict.fromkeys(("titleSize", "valueSize", "percentSize"))
_STYLE: Shape = {
    "color": {"field": None, "fixed": None},
    "opacity": None,
    "rotation": dict.fromkeys(("field", "fixed", "max", "min", "mode")),
    "size": dict.fromkeys(("field", "fixed", "max", "min")),
    "symbol": dict.fromkeys(("field", "fixed", "mode")),
    "symbolAlign": {"horizontal": None, "vertical": None},
    "lineWidth": None,
    "text": dict.fromkeys(("field", "fixed", "mode")),
    "textConfig": dict.fromkeys(("fontSize", "offsetX", "offsetY", "textAlign", "textBaseline")),
}
_LAYER: Shape = {
    "type": None,
    "name": None,
    "tooltip": None,
    "opacity": None,
    "filterData": None,
    "location": dict.fromkeys(("mode", "latitude", "longitude", "geohash", "lookup", "gazetteer", "wkt")),
    "config": {
        "showLegend": None,
        "style": _STYLE,
        "src": None,
        "rules": None,
        "url": None,
        "attribution": None,
        "minZoom": None,
        "maxZoom": None,
    },
}
OPTIONS: Mapping[str, Shape] = {
    "stat": {
        **dict.fromkeys(("colorMode", "graphMode", "justifyMode", "orientation", "textMode", "wideLayout")),
        **dict.fromkeys(("showPercentChange", "percentChangeColorMode")),
        "reduceOptions": _REDUCE,
        "text": _TEXT,
    },
    "gauge": {
        **dict.fromkeys(("minVizHeight", "minVizWidth", "orientation", "sizing")),
        **dict.fromkeys(("showThresholdLabels", "showThresholdMarkers")),
        "reduceOptions": _REDUCE,
        "text": _TEXT,
    },
    "bargauge": {
        **dict.fromkeys(("displayMode", "maxVizHeight", "minVizHeight", "minVizWidth", "namePlacement", "orientation")),
        **dict.fromkeys(("showUnfilled", "sizing", "valueMode")),
        "legend": _LEGEND,
        "reduceOptions": _REDUCE,
        "text": _TEXT,
    },
    "timeseries": {"legend": _LEGEND, "tooltip": _TOOLTIP, "orientation": None, "timezone": None},
    "table": {
        **dict.fromkeys(("cellHeight", "frameIndex", "showHeader", "showTypeIcons")),
        "sortBy": [{"displayName": None, "desc": None}],
        "footer": dict.fromkeys(("countRows", "fields", "reducer", "show", "enablePagination")),
    },
    "state-timeline": {
        **dict.fromkeys(("alignValue", "mergeValues", "perPage", "rowHeight", "showValue", "timezone")),
        "legend": _LEGEND,
        "tooltip": _TOOLTIP,
    },
    "status-history": {
        **dict.fromkeys(("colWidth", "perPage", "rowHeight", "showValue", "timezone")),
        "legend": _LEGEND,
        "tooltip": _TOOLTIP,
    },
    "geomap": {
        "basemap": _LAYER,
        "layers": [_LAYER],
        "controls": dict.fromkeys(
            ("mouseWheelZoom", "showAttribution", "showDebug", "showMeasure", "showScale", "showZoom")
        ),
        "tooltip": {"mode": None},
        "view": dict.fromkeys(
            ("allLayers", "id", "lastOnly", "lat", "layer", "lon", "maxZoom", "minZoom", "padding", "shared", "zoom")
        ),
    },
    "alertlist": {
        **dict.fromkeys(("alertInstanceLabelFilter", "alertName", "dashboardAlerts", "datasource", "folder")),
        **dict.fromkeys(("groupBy", "groupMode", "maxItems", "sortOrder", "viewMode", "showInstances")),
        "stateFilter": dict.fromkeys(("error", "firing", "inactive", "noData", "normal", "pending", "recovering")),
    },
    "text": {"mode": None, "content": None, "code": dict.fromkeys(("language", "showLineNumbers", "showMiniMap"))},
}
_HIDE: Shape = dict.fromkeys(("legend", "tooltip", "viz"))
CUSTOM: Mapping[str, Shape] = {
    "timeseries": {
        **dict.fromkeys(("axisBorderShow", "axisCenteredZero", "axisColorMode", "axisLabel", "axisPlacement")),
        **dict.fromkeys(("barAlignment", "drawStyle", "fillOpacity", "gradientMode", "insertNulls")),
        **dict.fromkeys(("lineInterpolation", "lineWidth", "pointSize", "showPoints", "spanNulls")),
        "hideFrom": _HIDE,
        "lineStyle": {"fill": None, "dash": None},
        "scaleDistribution": dict.fromkeys(("type", "log", "linearThreshold")),
        "stacking": {"group": None, "mode": None},
        "thresholdsStyle": {"mode": None},
    },
    "table": {
        **dict.fromkeys(("align", "filterable", "inspect", "width", "minWidth", "hidden")),
        "cellOptions": {"type": None, "mode": None, "applyToRow": None, "wrapText": None},
    },
    "state-timeline": {
        "fillOpacity": None,
        "hideFrom": _HIDE,
        "lineWidth": None,
        "spanNulls": None,
        "insertNulls": None,
    },
    "status-history": {"fillOpacity": None, "hideFrom": _HIDE, "lineWidth": None},
    "geomap": {"hideFrom": _HIDE},
}
_LINK: Shape = dict.fromkeys(("title", "url", "targetBlank", "oneClick"))
_SOURCE: Shape = {"type": None, "uid": None}
_STEPS: Shape = {"mode": None, "steps": [{"color": None, "value": None}]}
_TARGET: Shape = {"datasource": _SOURCE} | dict.fromkeys(
    ("refId", "query", "rawQuery", "resultFormat", "alias", "hide", "fromAnnotations", "textColumn", "tagsColumn")
)
PROPERTIES = {
    "displayName", "unit", "decimals", "thresholds", "mappings", "links", "color", "min", "max", "noValue",
    "custom.cellOptions", "custom.width", "custom.hidden", "custom.align", "custom.fillOpacity",
}  # fmt: skip
"""Ids of overriding properties."""
TRANSFORMATIONS: Mapping[str, Shape] = {
    "organize": dict.fromkeys(("excludeByName", "indexByName", "renameByName", "includeByName", "orderBy")),
    "reduce": dict.fromkeys(("includeTimeField", "mode", "reducers", "labelsToFields", "fields")),
    "filterByValue": {
        "match": None,
        "type": None,
        "filters": [{"fieldName": None, "config": {"id": None, "options": None}}],
    },
    "filterFieldsByName": {"include": {"names": None, "pattern": None}, "exclude": {"names": None, "pattern": None}},
    "joinByField": {"byField": None, "mode": None},
}
_DEFAULTS: Shape = {
    **dict.fromkeys(("unit", "noValue", "mappings", "min", "max", "decimals", "displayName", "custom")),
    "thresholds": _STEPS,
    "color": {"mode": None, "fixedColor": None, "seriesBy": None},
    "links": [_LINK],
}
PANEL: Shape = {
    **dict.fromkeys(("id", "type", "title", "description", "transparent", "options", "transformations", "repeat")),
    **dict.fromkeys(("repeatDirection", "maxPerRow", "timeFrom", "hideTimeOverride", "pluginVersion", "interval")),
    "collapsed": None,
    "panels": None,
    "gridPos": dict.fromkeys(("h", "w", "x", "y")),
    "links": [_LINK],
    "datasource": _SOURCE,
    "targets": [_TARGET],
    "fieldConfig": {
        "defaults": _DEFAULTS,
        "overrides": [{"matcher": {"id": None, "options": None}, "properties": [{"id": None, "value": None}]}],
    },
}
DASHBOARD: Shape = {
    **dict.fromkeys(("uid", "title", "description", "tags", "timezone", "editable", "graphTooltip", "version")),
    **dict.fromkeys(("fiscalYearStartMonth", "schemaVersion", "weekStart", "refresh", "panels", "id", "liveNow")),
    "time": {"from": None, "to": None},
    "timepicker": {"hidden": None, "refresh_intervals": None, "nowDelay": None},
    "links": [
        dict.fromkeys(
            ("type", "title", "tags", "asDropdown", "icon", "includeVars", "keepTime", "targetBlank", "tooltip", "url")
        )
    ],
    "templating": {
        "list": [
            {"datasource": _SOURCE, "current": dict.fromkeys(("selected", "text", "value"))}
            | dict.fromkeys(("name", "label", "type", "query", "definition", "refresh", "regex", "sort", "multi"))
            | dict.fromkeys(("includeAll", "options", "allValue", "hide", "skipUrlSync", "description"))
        ]
    },
    "annotations": {
        "list": [
            {"datasource": _SOURCE, "target": _TARGET}
            | dict.fromkeys(("name", "enable", "hide", "iconColor", "query", "textColumn", "builtIn", "type", "filter"))
        ]
    },
}


def misspelt(dashboard: Json) -> list[str]:
    """Paths of every key that Grafana would ignore, with the name of the panel it is in."""
    found = list(_unknown(dashboard, DASHBOARD, ""))
    for panel in dashboard.get("panels", ()):
        where = f"panels[{panel.get('title', panel.get('id'))}]"
        found += [f"{where}{path}" for path in _of_panel(panel)]
    return found


def _of_panel(panel: Json) -> Iterator[str]:
    kind = panel.get("type", "")
    yield from _unknown(panel, PANEL, "")
    if kind != "row" and kind not in OPTIONS:
        yield f".type: no panel {kind!r} is used here"
        return
    yield from _unknown(panel.get("options", {}), OPTIONS.get(kind, {}), ".options")
    config = panel.get("fieldConfig", {})
    custom = config.get("defaults", {}).get("custom", {})
    yield from _unknown(custom, CUSTOM.get(kind, {}), ".fieldConfig.defaults.custom")
    for number, override in enumerate(config.get("overrides", ())):
        for entry in override.get("properties", ()):
            where = f".fieldConfig.overrides[{number}].{entry.get('id')}"
            if entry.get("id") not in PROPERTIES:
                yield where
            elif entry["id"] == "thresholds":
                yield from _unknown(entry["value"], _STEPS, where)
    for number, step in enumerate(panel.get("transformations", ())):
        where = f".transformations[{number}]"
        if step.get("id") not in TRANSFORMATIONS:
            yield f"{where}.id: {step.get('id')!r}"
        else:
            yield from _unknown(step.get("options", {}), TRANSFORMATIONS[step["id"]], f"{where}.options")


def _unknown(value: Any, shape: Any, path: str) -> Iterator[str]:
    if isinstance(shape, list):
        for number, entry in enumerate(value if isinstance(value, list) else ()):
            yield from _unknown(entry, shape[0], f"{path}[{number}]")
    elif isinstance(shape, Mapping) and isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in shape:
                yield f"{path}.{key}"
            elif shape[key] is not None:
                yield from _unknown(inner, shape[key], f"{path}.{key}")
