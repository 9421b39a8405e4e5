"""The option names that Grafana knows, of the panels that are used here: a misspelt one is silently ignored by it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Shape = Mapping[str, Any]
"""Allowed keys, ``*`` for any; a mapping below a key says what is allowed there, a list holds the shape of its entries,
None ends."""

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
_CELL: Shape = {"type": None, "mode": None, "applyToRow": None, "wrapText": None}
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
        "cellOptions": _CELL,
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
_MAPPINGS: list[Shape] = [{"type": None, "options": {"*": dict.fromkeys(("text", "color", "index", "icon"))}}]
_STEPS: Shape = {"mode": None, "steps": [{"color": None, "value": None}]}
_TARGET: Shape = {"datasource": _SOURCE} | dict.fromkeys(
    ("refId", "query", "rawQuery", "resultFormat", "alias", "hide", "fromAnnotations", "textColumn", "tagsColumn")
)
PROPERTIES: Mapping[str, Any] = {
    **dict.fromkeys(("displayName", "unit", "decimals", "min", "max", "noValue", "custom.width", "custom.hidden")),
    **dict.fromkeys(("custom.align", "custom.fillOpacity")),
    "color": {"mode": None, "fixedColor": None, "seriesBy": None},
    "thresholds": _STEPS,
    "mappings": _MAPPINGS,
    "links": [_LINK],
    "custom.cellOptions": _CELL,
    "custom.hideFrom": _HIDE,
}
"""Overriding properties by their ids."""
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
    **dict.fromkeys(("unit", "noValue", "min", "max", "decimals", "displayName", "custom")),
    "mappings": _MAPPINGS,
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

_REDUCERS = "lastNotNull last firstNotNull first min max mean sum count"
WORDS: Mapping[str, str] = {
    r"options\.colorMode": "none value background background_solid",
    r"options\.graphMode": "none line area",
    r"options\.justifyMode": "auto center",
    r"options\.orientation": "auto horizontal vertical",
    r"options\.textMode": "auto value value_and_name name none",
    r"(\.calcs|\.reducers)\[\d+\]": _REDUCERS,
    r"legend\.displayMode": "list table hidden",
    r"legend\.placement": "bottom right",
    r"tooltip\.mode": "single multi none details",
    r"tooltip\.sort": "none asc desc",
    r"options\.displayMode": "basic gradient lcd",
    r"options\.valueMode": "color text hidden",
    r"options\.sizing": "auto manual",
    r"options\.namePlacement": "auto top left hidden",
    r"options\.showValue": "auto always never",
    r"options\.alignValue": "left center right",
    r"options\.cellHeight": "sm md lg",
    r"options\.viewMode": "list stat",
    r"options\.groupMode": "default custom",
    r"basemap\.type": "default xyz carto osm-standard esri-xyz",
    r"layers\[\d+\]\.type": "markers geojson heatmap route",
    r"location\.mode": "auto coords geohash lookup",
    r"view\.id": "fit coords zero",
    r"color\.mode": "thresholds palette-classic palette-classic-by-name fixed shades continuous-GrYlRd",
    r"thresholds\.mode": "absolute percentage",
    r"custom\.drawStyle": "line bars points",
    r"custom\.lineInterpolation": "linear smooth stepBefore stepAfter",
    r"custom\.showPoints": "auto always never",
    r"custom\.axisPlacement": "auto left right hidden",
    r"stacking\.mode": "none normal percent",
    r"thresholdsStyle\.mode": "off line dashed area line+area dashed+area series",
    r"cellOptions\.type": "auto color-background color-text gauge sparkline json-view",
    r"mappings\[\d+\]\.type": "value range regex special",
    r"matcher\.id": "byName byRegexp byType byFrameRefID",
    r"config\.id": "isNull isNotNull greater greaterOrEqual lower lowerOrEqual equal notEqual",
    r"transformations\[\d+\]\.options\.match": "any all",
    r"transformations\[\d+\]\.options\.type": "include exclude",
    r"transformations\[\d+\]\.options\.mode": "outer inner outerTabular seriesToRows reduceFields",
    r"\.resultFormat": "time_series table logs",
    r"templating\.list\[\d+\]\.type": "query custom textbox constant interval datasource",
    r"^\.weekStart": "monday sunday saturday",
}
"""Values that are one of some words, by the end of their path: Grafana takes another one for the default."""


def misspelt(dashboard: Any) -> list[str]:
    """Paths of every key and word that Grafana would ignore; of keys with the name of the panel they are in."""
    if not isinstance(dashboard, Mapping) or not _mappings(dashboard.get("panels")):
        return ["a dashboard without panels"]
    found = list(unknown_keys(dashboard, DASHBOARD, ""))
    for panel in _panels(dashboard):
        where = f"panels[{panel.get('title', panel.get('id'))}]"
        found += [f"{where}{path}" for path in _of_panel(panel)]
    return [*found, *unknown_words(dashboard, WORDS)]


def _panels(parent: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Of a dashboard, those of its collapsed rows too."""
    for panel in _mappings(parent.get("panels")):
        yield panel
        yield from _panels(panel)


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    """What can be looked into of something that should be a list."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def _of_panel(panel: Mapping[str, Any]) -> Iterator[str]:
    kind = panel.get("type", "")
    yield from unknown_keys(panel, PANEL, "")
    if kind != "row" and kind not in OPTIONS:
        yield f".type: no panel {kind!r} is used here"
        return
    yield from unknown_keys(panel.get("options"), OPTIONS.get(kind, {}), ".options")
    (config,) = _mappings([panel.get("fieldConfig")]) or [{}]
    (defaults,) = _mappings([config.get("defaults")]) or [{}]
    yield from unknown_keys(defaults.get("custom"), CUSTOM.get(kind, {}), ".fieldConfig.defaults.custom")
    for number, override in enumerate(_mappings(config.get("overrides"))):
        for entry in _mappings(override.get("properties")):
            where, name = f".fieldConfig.overrides[{number}].{entry.get('id')}", str(entry.get("id"))
            if name not in PROPERTIES:
                yield where
            else:
                yield from unknown_keys(entry, {"id": None, "value": PROPERTIES[name]}, where)
    for number, step in enumerate(_mappings(panel.get("transformations"))):
        where, name = f".transformations[{number}]", str(step.get("id"))
        if name not in TRANSFORMATIONS:
            yield f"{where}.id: {name!r}"
        else:
            known = {"id": None, "options": TRANSFORMATIONS[name], "disabled": None, "filter": None}
            yield from unknown_keys(step, known, where)


def unknown_keys(value: Any, shape: Any, path: str) -> Iterator[str]:
    """Paths of keys that a shape does not have."""
    if isinstance(shape, list):
        for number, entry in enumerate(value if isinstance(value, list) else ()):
            yield from unknown_keys(entry, shape[0], f"{path}[{number}]")
    elif isinstance(shape, Mapping) and isinstance(value, Mapping):
        for key, inner in value.items():
            known = key if key in shape else "*"
            if known not in shape:
                yield f"{path}.{key}"
            elif shape[known] is not None:
                yield from unknown_keys(inner, shape[known], f"{path}.{key}")


def unknown_words(value: Any, words: Mapping[str, str], path: str = "") -> Iterator[str]:
    """Paths of texts that are none of the words that may stand there, with the text.

    Args:
        value: some JSON.
        words: what may stand at a place, by a regular expression that the end of its path has.
        path: of the value.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from unknown_words(inner, words, f"{path}.{key}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from unknown_words(inner, words, f"{path}[{number}]")
    elif isinstance(value, str):
        for where, known in words.items():
            if re.search(f"{where}$", path) and value not in known.split():
                yield f"{path}: {value!r}"
