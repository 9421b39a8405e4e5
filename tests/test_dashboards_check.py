"""Misspelt names and words in dashboards and provisioning files, by Grafana's own model and by ``check``."""

import copy
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from dashboards.generate import dashboards
from dashboards.provisioned_shapes import misspelt_provisioning
from dashboards.provisioning import provisioning_files
from dashboards.shapes import misspelt
from gateway.cli import build
from tests.grafana_backend import panels_of

with warnings.catch_warnings():
    # The library prefers Grafana 13's newer model, which files in Grafana's folders may not have.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.cog import plugins, runtime
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

Json = dict[str, Any]
MADE, PROVISIONED = dashboards(), provisioning_files()


# Grafana's own model -----------------------------------------------------------------------------------------

ADDED = {
    "repeatDirection": "h", "allowCustomValue": True, "auto": False, "auto_count": 30, "auto_min": "10s",
    "placement": "inControlsMenu", "builtIn": 0, "showTypeIcons": False, "perPage": 20,
    "footer": {"show": False, "reducer": [], "countRows": False},
    "asDropdown": False, "icon": "", "includeVars": False, "keepTime": False, "tags": [], "tooltip": "", "type": "link",
}  # fmt: skip
"""Defaults the library adds where a key is absent."""
GRAFANA_9 = ("query", "textColumn")
"""Of annotations, for Grafana 9; later ones read the same from ``target``, which is all the library knows."""


def differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """What was lost, changed or added, but for the library's own defaults."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            if key not in before:
                if key not in ADDED or after[key] != ADDED[key]:
                    yield f"added {path}.{key}"
            elif key not in after:
                if not (key in GRAFANA_9 and re.fullmatch(r"\.annotations\.list\[\d+\]", path)):
                    yield f"lost {path}.{key}"
            else:
                yield from differences(before[key], after[key], f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield f"changed {path}"
        for number, pair in enumerate(zip(before, after, strict=False)):
            yield from differences(*pair, f"{path}[{number}]")
    elif before != after:
        yield f"changed {path}"


def there_and_back(dashboard: Json) -> Json:
    """Through the classes of grafana-foundation-sdk."""
    plugins.register_default_plugins()
    # A panel of two data sources is of the type "datasource"; the library would read its targets as that one's.
    bag = runtime.DataqueryConfig(identifier="datasource", from_json_hook=runtime.UnknownDataquery.from_json)
    runtime.register_dataquery_variant(bag)
    read = Dashboard.from_json(copy.deepcopy(dashboard))
    found: Json = json.loads(json.dumps(read, cls=JSONEncoder))
    return found


@pytest.mark.parametrize("path", MADE)
def test_a_dashboard_survives_a_round_trip_through_grafanas_own_model(path: str) -> None:
    """Nothing lost, nothing changed: every key is one Grafana knows."""
    assert list(differences(MADE[path], there_and_back(MADE[path]))) == []


# planted mistakes --------------------------------------------------------------------------------------------

Path_ = tuple[str | int, ...]


def place_of(document: Any, path: Path_) -> Any:
    """What is at a path; ``@gauge`` is the first panel of a kind, ``@gauge:x`` the first with ``x`` somewhere in it."""
    for step in path:
        if isinstance(step, str) and step.startswith("@"):
            kind, _, word = step[1:].partition(":")
            document = next(
                panel for panel in panels_of(document) if panel["type"] == kind and word in json.dumps(panel)
            )
        else:
            document = document[step]
    return document


DEFAULTS, STEPS = ("fieldConfig", "defaults"), ("fieldConfig", "defaults", "thresholds", "steps", 0)
OVERRIDE = ("@table:commune_name", "fieldConfig", "overrides", 1, "properties")
EVALUATOR = ("groups", 0, "rules", 0, "data", 2, "model", "conditions", 0)
KEYS: tuple[tuple[str, Path_, str, str], ...] = (
    ("vi/lighting.json", ("@stat",), "fieldConfig", "fieldConfigs"),
    ("vi/lighting.json", ("@stat", *DEFAULTS), "thresholds", "treshold"),
    ("vi/lighting.json", ("@stat", *DEFAULTS, "thresholds"), "steps", "step"),
    ("vi/lighting.json", ("@stat", *STEPS), "color", "colour"),
    ("vi/lighting.json", ("@stat", *STEPS), "value", "valeu"),
    ("vi/lighting.json", ("@stat", "options", "reduceOptions"), "calcs", "calc"),
    ("vi/lighting.json", ("@stat", "options"), "colorMode", "colourMode"),
    ("vi/lighting.json", ("@stat", "gridPos"), "w", "width"),
    ("vi/lighting.json", ("@stat",), "timeFrom", "timefrom"),
    ("vi/air.json", ("@gauge", "options"), "showThresholdMarkers", "showTresholdMarkers"),
    ("vi/air.json", ("@gauge", *DEFAULTS), "min", "minimum"),
    ("vi/air.json", ("@bargauge",), "options", "optionz"),
    ("vi/air.json", ("@bargauge", "options"), "valueMode", "valuemode"),
    ("vi/air.json", ("@text", "options"), "content", "contents"),
    ("vi/air.json", ("@status-history", "options"), "colWidth", "colwidth"),
    ("vi/lighting.json", ("@geomap", "options", "view"), "zoom", "zoomm"),
    ("vi/lighting.json", ("@geomap", "options", "layers", 1, "config", "style"), "color", "colour"),
    ("vi/lighting.json", ("@geomap", "options", "layers", 1, "location"), "latitude", "lattitude"),
    ("vi/lighting.json", ("@geomap", "options", "layers", 0, "config"), "src", "source"),
    ("vi/lighting.json", ("@geomap", "options", "controls"), "mouseWheelZoom", "mousewheelZoom"),
    ("vi/lighting.json", ("@state-timeline", "options"), "rowHeight", "rowHight"),
    ("vi/lighting.json", ("@state-timeline", *DEFAULTS, "custom"), "fillOpacity", "fillopacity"),
    ("vi/water.json", ("@timeseries", *DEFAULTS), "noValue", "noValues"),
    ("vi/water.json", ("@timeseries", *DEFAULTS), "unit", "units"),
    ("vi/water.json", ("@timeseries", *DEFAULTS, "custom"), "lineWidth", "lineWith"),
    ("vi/water.json", ("@timeseries", *DEFAULTS, "custom", "stacking"), "group", "groups"),
    ("vi/water.json", ("@timeseries", *DEFAULTS, "custom", "hideFrom"), "tooltip", "toolTip"),
    ("vi/water.json", ("@timeseries", "options", "legend"), "displayMode", "displaymode"),
    ("vi/water.json", ("@timeseries", "targets", 0), "alias", "allias"),
    ("vi/water.json", ("@timeseries", "links", 0), "targetBlank", "targetBlanc"),
    ("vi/province.json", ("@stat", "targets", 0), "rawQuery", "rawQuerry"),
    ("vi/province.json", ("@stat", "targets", 0), "resultFormat", "resultformat"),
    ("vi/province.json", ("@stat", "targets", 0, "datasource"), "uid", "id"),
    ("vi/province.json", ("@table", "transformations", 1, "options"), "byField", "byFeild"),
    ("vi/province.json", ("@table", "transformations", 0, "options", "exclude"), "pattern", "patern"),
    ("vi/province.json", ("@table", "transformations", 0), "options", "option"),
    ("vi/province.json", ("@table", "options", "sortBy", 0), "displayName", "displayname"),
    ("vi/province.json", ("@table", "fieldConfig", "overrides", 1, "matcher"), "options", "option"),
    ("vi/province.json", (*OVERRIDE, 3, "value", 0), "url", "href"),
    ("vi/province.json", (*OVERRIDE, 2, "value", 0), "options", "optiones"),
    ("vi/province.json", (*OVERRIDE, 2, "value", 0, "options", "10642"), "text", "txt"),
    ("vi/province.json", ("@geomap", *DEFAULTS, "links", 0), "title", "tittle"),
    ("vi/province.json", ("@alertlist", "options", "stateFilter"), "firing", "fireing"),
    ("vi/gateway.json", ("@stat", *DEFAULTS, "mappings", 0, "options", "1"), "color", "colour"),
    ("vi/device.json", ("@table", "transformations", 1, "options"), "reducers", "reducer"),
    ("vi/device.json", ("@table", "transformations", 2, "options", "filters", 0), "fieldName", "fieldname"),
    ("vi/device.json", ("templating", "list", 0), "includeAll", "includeall"),
    ("vi/device.json", ("templating", "list", 2, "current"), "value", "values"),
    ("vi/device.json", ("annotations", "list", 0), "iconColor", "iconColour"),
    ("vi/device.json", ("annotations", "list", 0, "target"), "fromAnnotations", "fromAnnotation"),
    ("vi/device.json", ("links", 0), "keepTime", "keeptime"),
    ("vi/device.json", ("timepicker",), "refresh_intervals", "refreshIntervals"),
    ("vi/device.json", ("time",), "from", "form"),
    ("vi/device.json", (), "schemaVersion", "schemaversion"),
    ("alerting/rules.yaml", ("groups", 0), "interval", "intervall"),
    ("alerting/rules.yaml", ("groups", 0, "rules", 0), "noDataState", "nodataState"),
    ("alerting/rules.yaml", ("groups", 0, "rules", 0), "execErrState", "execErrorState"),
    ("alerting/rules.yaml", ("groups", 0, "rules", 0), "labels", "label"),
    ("alerting/rules.yaml", ("groups", 0, "rules", 0, "data", 0), "relativeTimeRange", "relativeTimerange"),
    ("alerting/rules.yaml", ("groups", 0, "rules", 0, "data", 0), "datasourceUid", "datasourceUID"),
    ("alerting/rules.yaml", ("groups", 0, "rules", 0, "data", 0, "model"), "rawQuery", "rawquery"),
    ("alerting/rules.yaml", ("groups", 0, "rules", 0, "data", 1, "model"), "reducer", "reduce"),
    ("alerting/rules.yaml", ("groups", 0, "rules", 0, "data", 1, "model", "settings"), "mode", "mod"),
    ("alerting/rules.yaml", EVALUATOR, "evaluator", "evaluater"),
    ("alerting/contact-points.yaml", ("contactPoints", 0), "receivers", "recievers"),
    ("alerting/contact-points.yaml", ("contactPoints", 0, "receivers", 0, "settings"), "addresses", "adresses"),
    ("alerting/policies.yaml", ("policies", 0), "group_by", "groupBy"),
    ("alerting/policies.yaml", ("policies", 0, "routes", 0), "object_matchers", "objectMatchers"),
    ("influxdb1/datasources.yaml", ("datasources", 0), "basicAuthUser", "basicAuthuser"),
    ("influxdb1/datasources.yaml", ("datasources", 0, "jsonData"), "dbName", "dbname"),
    ("influxdb2/datasources.yaml", ("datasources", 1, "secureJsonData"), "httpHeaderValue1", "httpHeaderValue"),
    ("dashboards/village.yaml", ("providers", 0), "allowUiUpdates", "allowUIUpdates"),
    ("dashboards/village.yaml", ("providers", 0, "options"), "path", "folder"),
)
"""File, place, key, and what is planted instead of it."""
WORDS: tuple[tuple[str, Path_, str, str], ...] = (
    ("vi/province.json", ("@table", "fieldConfig", "overrides", 1, "properties", 0), "id", "dispayName"),
    ("vi/province.json", ("@table", "fieldConfig", "overrides", 1, "matcher"), "id", "byNames"),
    ("vi/province.json", ("@table", "transformations", 1), "id", "joinByFields"),
    ("vi/province.json", ("@table", "transformations", 1, "options"), "mode", "outter"),
    ("vi/province.json", ("@gauge",), "type", "gauges"),
    ("vi/province.json", ("@stat", "options"), "colorMode", "backgroud"),
    ("vi/province.json", ("@stat", "targets", 0), "resultFormat", "tabel"),
    ("vi/lighting.json", ("@geomap", "options", "layers", 1, "location"), "mode", "coord"),
    ("vi/lighting.json", ("@geomap", "options", "view"), "id", "fitt"),
    ("vi/lighting.json", ("@state-timeline", "options", "legend"), "placement", "botom"),
    ("vi/water.json", ("@timeseries", *DEFAULTS, "custom"), "drawStyle", "lines"),
    ("vi/water.json", ("@timeseries", *DEFAULTS, "custom", "thresholdsStyle"), "mode", "dash"),
    ("vi/device.json", ("@table", "transformations", 2, "options"), "type", "includes"),
    ("vi/device.json", ("templating", "list", 0), "type", "querry"),
    ("alerting/rules.yaml", ("groups", 0, "rules", 0), "noDataState", "Ok"),
    ("alerting/rules.yaml", ("groups", 0, "rules", 0), "execErrState", "error"),
    ("alerting/rules.yaml", ("groups", 0, "rules", 0, "data", 1, "model"), "reducer", "latest"),
    (
        "alerting/rules.yaml",
        (*EVALUATOR, "evaluator"),
        "type",
        "above",
    ),
    ("alerting/contact-points.yaml", ("contactPoints", 0, "receivers", 0), "type", "mail"),
    ("influxdb1/datasources.yaml", ("datasources", 0), "access", "proxi"),
    ("influxdb2/datasources.yaml", ("datasources", 0, "jsonData"), "version", "InfluxQl"),
)
"""File, place, key, and what is planted as its value."""


def document_of(name: str) -> Any:
    """A file as it is shipped."""
    return json.loads(json.dumps(MADE[name])) if name.endswith(".json") else yaml.safe_load(PROVISIONED[name])


def found_in(name: str, document: Any) -> list[str]:
    """What is wrong in it."""
    return misspelt(document) if name.endswith(".json") else misspelt_provisioning(document)


@pytest.mark.parametrize(("name", "path", "right", "wrong"), KEYS, ids=[f"{name}-{wrong}" for name, *_, wrong in KEYS])
def test_check_finds_a_misspelt_key(name: str, path: Path_, right: str, wrong: str) -> None:
    """That one and nothing else."""
    document = document_of(name)
    assert found_in(name, document) == []
    place = place_of(document, path)
    place[wrong] = place.pop(right)
    assert [found.rpartition(".")[2] for found in found_in(name, document)] == [wrong]


@pytest.mark.parametrize(("name", "path", "key", "wrong"), WORDS, ids=[f"{name}-{wrong}" for name, *_, wrong in WORDS])
def test_check_finds_a_misspelt_word(name: str, path: Path_, key: str, wrong: str) -> None:
    """Ids and the words that options may have, which a list of keys does not see."""
    document = document_of(name)
    place_of(document, path)[key] = wrong
    assert len(found := found_in(name, document)) == 1
    assert wrong in found[0]


def test_check_looks_into_collapsed_rows() -> None:
    """Grafana keeps the panels of a row that is closed inside of it."""
    dashboard = copy.deepcopy(MADE["vi/air.json"])
    row, *panels = dashboard["panels"]
    dashboard["panels"] = [row | {"collapsed": True, "panels": panels}]
    assert misspelt(dashboard) == []
    place_of(dashboard, ("@gauge", "options"))["sizeing"] = "auto"
    assert [found.rpartition(".")[2] for found in misspelt(dashboard)] == ["sizeing"]


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", "null", "1", '{"panels": "none"}', '{"panels": [1]}', "[" * 100_000, "{", "\ufeff{}"],
    ids=lambda text: text[:12],
)
def test_check_of_something_else_is_one_line(text: str, tmp_path: Path) -> None:
    """No traceback, whatever the file is."""
    for ending in ("json", "yaml"):
        file = tmp_path / f"file.{ending}"
        file.write_text(text, "utf-8")
        told = CliRunner().invoke(build(), ["dashboards", "check", str(file)])
        assert told.exit_code in (1, 2)
        assert told.exception is None or isinstance(told.exception, SystemExit)
        assert len(told.output.strip().splitlines()) == 1


def test_check_says_which_file_and_where(tmp_path: Path) -> None:
    """The command, on a dashboard and on a provisioning file with one planted mistake each."""
    dashboard, rules = document_of("vi/air.json"), document_of("alerting/rules.yaml")
    place_of(dashboard, ("@gauge", "options"))["sizeing"] = "auto"
    rules["groups"][0]["intervall"] = "1m"
    files = [tmp_path / "air.json", tmp_path / "rules.yaml"]
    files[0].write_text(json.dumps(dashboard), "utf-8")
    files[1].write_text(yaml.safe_dump(rules), "utf-8")
    told = CliRunner().invoke(build(), ["dashboards", "check", *map(str, files)])
    assert told.exit_code == 1
    assert told.output.splitlines() == [
        f"{files[0]}: Grafana does not know panels[Chất lượng không khí (VN_AQI)].options.sizeing",
        f"{files[1]}: Grafana does not know .groups[0].intervall",
    ]
