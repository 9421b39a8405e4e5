"""Generated dashboards and provisioning files: complete, explained, consistent, and known to Grafana's own model."""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from dashboards import alerting, gateway_health, provisioning
from dashboards.generate import HERE, as_text, dashboards, files, outdated, write
from dashboards.handbook import HANDBOOK, renewed
from dashboards.maps import OUTLINE, outline
from dashboards.queries import Source
from dashboards.scales import UNITS, unit_of
from dashboards.shapes import misspelt
from dashboards.texts import Language, Say
from devices import alert_names, index_names, rollup_names, storage
from devices.alert_rules import Severity
from devices.observation import Reason
from devices.rollup_names import Scope, Statistic, Width, field_name, measurement_name
from devices.standards import shipped
from devices.vocabulary import VOCABULARY, Measurement
from gateway.cli import build
from tests.grafana_backend import panels_of, span

Json = dict[str, Any]
MADE = dashboards()
PANELS = [
    pytest.param(path, panel, id=f"{path}:{panel['id']}")
    for path, dashboard in MADE.items()
    for panel in panels_of(dashboard)
    if panel["type"] != "row"
]
ALERT_QUERIES = [rule.query for rule in alerting.rules()]


def texts_of(dashboard: Json) -> Iterator[tuple[str, str]]:
    """Every query of a dashboard with its data source's uid."""
    for panel in panels_of(dashboard):
        for target in panel.get("targets", ()):
            yield target["datasource"]["uid"], target["query"]
    for entry in (*dashboard["annotations"]["list"], *dashboard["templating"]["list"]):
        if "datasource" in entry:
            yield entry["datasource"]["uid"], entry["query"]


QUERIES = sorted(
    {found for dashboard in MADE.values() for found in texts_of(dashboard)}
    | {(Source.READINGS.value, text) for text in ALERT_QUERIES}
)


# files -------------------------------------------------------------------------------------------------------


def test_generated_files_are_what_the_code_makes() -> None:
    """Run ``village dashboards generate`` after a change."""
    assert outdated(HERE) == []


def test_generated_files_are_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    """Whatever the seed of its hashes is."""
    code = "import sys; from pathlib import Path; from dashboards.generate import write; write(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env={"PYTHONHASHSEED": "7"})
    made = {path: (tmp_path / path).read_bytes() for path in files()}
    assert made == {path: text.encode() for path, text in files().items()}


def test_generate_takes_away_what_is_made_no_longer(tmp_path: Path) -> None:
    """And writes nothing the second time."""
    assert len(write(tmp_path)) == len(files())
    old = tmp_path / "generated" / "vi" / "old.json"
    old.write_text("{}")
    assert outdated(tmp_path) == ["generated/vi/old.json"]
    assert write(tmp_path) == ["generated/vi/old.json"]
    assert not old.exists()
    assert write(tmp_path) == []


def test_uids_are_stable_and_titles_unique_in_their_folder() -> None:
    """Links from letters and from the handbook must go on working."""
    names = {"province", "commune", "lighting", "water", "air", "device", "alerts", "gateway", "public"}
    assert {value["uid"] for value in MADE.values()} == {
        f"village-{name}{suffix}" for name in names for suffix in ("", "-en")
    }
    titles = Counter((path.split("/")[0], value["title"]) for path, value in MADE.items())
    assert max(titles.values()) == 1


def test_both_languages_show_the_same() -> None:
    """The English page differs from the Vietnamese one in its words only."""
    for path, vi in MADE.items():
        folder, name = path.split("/")
        if folder.endswith("en"):
            continue
        en = MADE[f"{'en' if folder == 'vi' else folder + '-en'}/{name}"]
        for one, other in zip(panels_of(vi), panels_of(en), strict=True):
            assert (one["type"], one["gridPos"], len(one.get("targets", ()))) == (
                other["type"],
                other["gridPos"],
                len(other.get("targets", ())),
            )
        assert vi["title"] != en["title"]


# panels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MADE)
def test_panels_fit_the_grid_and_do_not_overlap(path: str) -> None:
    """24 columns; ids and titles are unique."""
    taken: dict[tuple[int, int], int] = {}
    for panel in panels_of(MADE[path]):
        place = panel["gridPos"]
        assert place["w"] > 0
        assert place["h"] > 0
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["id"]) == panel["id"], (x, y)
    for key in ("id", "title"):
        named = [panel[key] for panel in panels_of(MADE[path])]
        assert len(set(named)) == len(named), key


@pytest.mark.parametrize(("path", "panel"), PANELS)
def test_every_panel_explains_itself(path: str, panel: Json) -> None:
    """Title, one sentence, unit, colours with meaning, what no data means, and where to go from here."""
    assert panel["title"]
    sentence, _, colours = panel["description"].partition("\n\n")
    assert sentence.endswith(".")
    assert len(panel["links"]) >= 1
    if panel["type"] in {"text", "alertlist"}:
        return
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    assert defaults["noValue"]
    steps = defaults["thresholds"]["steps"]
    values = [step["value"] for step in steps]
    assert values[0] is None
    assert values[1:] == sorted(values[1:])
    assert colours.startswith(("Màu: ", "Colours: "))
    assert colours.count(";") >= len(steps) - 1


def links_of(value: Any) -> Iterator[str]:
    """Addresses anywhere in a panel."""
    if isinstance(value, dict):
        if isinstance(value.get("url"), str):
            yield value["url"]
        for inner in value.values():
            yield from links_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from links_of(inner)


@pytest.mark.parametrize("path", MADE)
def test_every_link_leads_to_a_page_that_is_there_and_knows_the_variable(path: str) -> None:
    """In the same language; the public page leads nowhere but to itself."""
    variables = {
        value["uid"]: {one["name"] for one in value["templating"]["list"]} for value in MADE.values()
    }  # fmt: skip
    english = path.split("/", maxsplit=1)[0].endswith("en")
    found = [url for panel in panels_of(MADE[path]) for url in links_of(panel) if url.startswith("/d/")]
    assert found
    for url in found:
        uid = url.removeprefix("/d/").split("?")[0]
        assert uid in variables, url
        assert uid.endswith("-en") == english
        named = set(re.findall(r"var-(\w+)=", url)) | set(re.findall(r"\$\{(\w+):queryparam\}", url))
        own = {one["name"] for one in MADE[path]["templating"]["list"]}
        assert named <= variables[uid] | own, url
        if "public" in path:
            assert uid == MADE[path]["uid"]


@pytest.mark.parametrize(("path", "panel"), PANELS)
def test_links_are_filled_from_columns_that_show_a_tag_as_it_is(path: str, panel: Json) -> None:
    """Grafana fills them with what a column shows: a name in words, or a number with its unit, would lead nowhere."""
    named = {name for url in links_of(panel) for name in re.findall(r"__data\.fields\.(\w+)", url)}
    columns = {
        override["matcher"]["options"]: {entry["id"]: entry["value"] for entry in override["properties"]}
        for override in panel.get("fieldConfig", {}).get("overrides", ())
    }
    for name in named:
        assert "mappings" not in columns[name]
        assert columns[name]["unit"] == "string"
        assert all(f'"{name}"' in target["query"] for target in panel["targets"])
    assert "__value" not in json.dumps(panel)


def test_the_public_page_has_no_variables_and_no_devices() -> None:
    """Grafana's shared dashboards know no variables; a device's trouble is not everybody's."""
    page = MADE["public/public.json"]
    assert page["templating"]["list"] == []
    assert page["annotations"]["list"] == []
    assert page["links"] == []
    assert "$commune" not in as_text(page)
    assert "$device" not in as_text(page)
    assert all("time($" not in target["query"] for panel in panels_of(page) for target in panel.get("targets", ()))


def test_times_are_vietnamese_and_weeks_begin_on_monday() -> None:
    """Wherever the browser is."""
    assert {(value["timezone"], value["weekStart"]) for value in MADE.values()} == {("Asia/Ho_Chi_Minh", "monday")}


def test_every_unit_of_the_vocabulary_has_one_of_grafanas() -> None:
    """Its id, or the symbol behind the number; the microgram is written with the Greek letter."""
    assert unit_of("pm2_5") == "con\u03bcgm3"
    assert [unit_of(name) for name in ("power", "energy", "water_temperature", "relative_humidity", "volume")] == [
        "watt",
        "kwatth",
        "celsius",
        "percent",
        "m3",
    ]
    for entry in VOCABULARY.values():
        assert entry.unit in UNITS or unit_of(entry.name) in {f"suffix: {entry.symbol}", "none"}
        assert unit_of(entry.name) != "none" or not entry.symbol


def test_the_colours_of_the_indices_are_the_decisions() -> None:
    """Of every level, from its own data file."""
    gauge = next(panel for panel in panels_of(MADE["vi/air.json"]) if panel["type"] == "gauge")
    levels = shipped().vn_aqi.levels
    assert gauge["fieldConfig"]["defaults"]["thresholds"]["steps"] == [
        {"color": level.colour, "value": None if number == 0 else level.low} for number, level in enumerate(levels)
    ]
    water = next(panel for panel in panels_of(MADE["vi/water.json"]) if panel["type"] == "gauge")
    steps = water["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["color"] for step in steps] == [level.colour for level in reversed(shipped().vn_wqi.levels)]
    assert [step["value"] for step in steps] == [None, 10, 26, 51, 76, 91]


def test_every_reason_of_refusal_has_words_and_a_bar() -> None:
    """A new reason without words fails here."""
    assert set(gateway_health.reason_words(Say(Language.VI))) == set(Reason)
    panel = next(panel for panel in panels_of(MADE["vi/gateway.json"]) if panel["type"] == "bargauge")
    assert all(storage.refused_count(reason) in panel["targets"][0]["query"] for reason in Reason)


# queries -----------------------------------------------------------------------------------------------------

FORBIDDEN = {
    "a database or retention policy": r'"\s*\.\s*"|\bON\b',
    "SHOW SERIES and cardinality": r"\bSHOW\s+(SERIES|MEASUREMENTS|RETENTION)|CARDINALITY",
    "SLIMIT, SOFFSET": r"\bS(LIMIT|OFFSET)\b",
    "writing": r"\b(INTO|CREATE|ALTER|DROP|DELETE|GRANT)\b",
    "functions 3.x does not know": r"\b(holt_winters|exponential_moving_average|relative_strength_index|sample)\s*\(",
    "casts": r"::",
    "a tag as a value": r'\bdistinct\(\s*"(commune|device)"',
    "regular expressions as fields or measurements": r"(SELECT|FROM|,|\()\s*/",
    "look-around": r"\(\?",
    "Grafana's macros of other databases": r"\$__(rate_interval|timeFilter|range)",
    "SHOW without a time": r"^SHOW(?!.*\btime\b)",
    "fills that need an aggregate": r"fill\((linear|previous)\)",
    "several statements": r";",
}


@pytest.mark.parametrize("rule", FORBIDDEN)
def test_no_query_leaves_the_portable_subset(rule: str) -> None:
    """What 1.x, 2.x and 3.x all understand."""
    bare = [re.sub(r' AS "[^"]+"', "", text) for _, text in QUERIES]
    assert [text for text in bare if re.search(FORBIDDEN[rule], text, re.IGNORECASE)] == []


def test_the_deny_list_finds_what_it_forbids() -> None:
    """One planted statement for each of its rules."""
    planted = {
        "a database or retention policy": 'SELECT x FROM "village"."autogen"."device"',
        "SHOW SERIES and cardinality": "SHOW SERIES",
        "SLIMIT, SOFFSET": "SELECT x FROM m SLIMIT 5",
        "writing": "SELECT x INTO y FROM m",
        "functions 3.x does not know": "SELECT sample(x, 3) FROM m",
        "casts": "SELECT x::integer FROM m",
        "a tag as a value": 'SELECT distinct("device") FROM m',
        "regular expressions as fields or measurements": "SELECT x FROM /^m/",
        "look-around": "SELECT x FROM m WHERE d =~ /(?!a)/",
        "Grafana's macros of other databases": "SELECT x FROM m WHERE $__timeFilter",
        "SHOW without a time": 'SHOW TAG VALUES WITH KEY = "device"',
        "fills that need an aggregate": "SELECT mean(x) FROM m GROUP BY time(1h) fill(previous)",
        "several statements": "SELECT x FROM m; SELECT y FROM m",
    }
    assert set(planted) == set(FORBIDDEN)
    assert [rule for rule, text in planted.items() if not re.search(FORBIDDEN[rule], text, re.IGNORECASE)] == []


def rollup_measurements() -> set[str]:
    """Every measurement of the roll-up database."""
    domains = {entry.measurement for entry in VOCABULARY.values()}
    return {measurement_name(domain, scope, width) for domain in domains for scope in Scope for width in Width} | {
        table.value for table in storage.Table if table.endswith(tuple(f"_{width}" for width in Width))
    }


def test_every_measurement_is_known_and_asked_where_it_is() -> None:
    """Readings beside readings, roll-ups in their own database."""
    rolled = rollup_measurements()
    readings = {*Measurement, *storage.Table} - rolled
    for uid, text in QUERIES:
        asked = {
            name
            for part in re.findall(r'FROM ((?:"\w+"(?:, )?)+)', text)
            for name in re.findall(r'"(\w+)"', part)
        }  # fmt: skip
        assert asked, text
        assert asked <= (rolled if uid == Source.ROLLUPS else readings), text


def known_fields() -> set[str]:
    """Every field and tag that is written, by the tables that both sides read."""
    counters = {"energy", "volume", "rain", "reverse_volume"}
    rolled = {field_name(name, statistic) for name in VOCABULARY for statistic in Statistic}
    assert counters <= set(VOCABULARY)
    scopes = {
        rollup_names.QUALITY,
        rollup_names.COMPLETENESS,
        rollup_names.HEARD,
        rollup_names.EXPECTED,
        rollup_names.WORKING,
    }
    aqi, wqi = index_names.VN_AQI, index_names.VN_WQI
    index = {aqi, wqi, wqi + index_names.PARTIAL, aqi + index_names.POLLUTANT, aqi + index_names.DAY}
    index |= {f"{aqi}_{name}" for name in index_names.POLLUTANTS}
    index |= {f"{wqi}_{parameter.property}" for parameter in shipped().vn_wqi.parameters}
    alerts = {rule.code + ending for rule in shipped().alerts.rules for ending in ("", alert_names.CHECK)}
    alerts |= {alert_names.count_field(domain, severity) for domain in Measurement for severity in Severity}
    rows = (storage.DeviceState, storage.LightingDay, storage.GatewayState, storage.StoreState, storage.LedgerHour)
    gateway = {name for row in rows for name in row._fields} | {storage.refused_count(reason) for reason in Reason}
    chosen = {f"${{property}}{ending}" for ending in ("", "_mean", "_min", "_max")}
    alerts.add(alert_names.SILENT_DEVICES)
    return {*VOCABULARY, *rolled, *scopes, *index, *alerts, *gateway, *chosen, "clock", "commune", "device", "group"}


def test_every_field_of_a_query_is_written_by_somebody() -> None:
    """A name that nobody writes would be an empty panel, not an error."""
    known, measurements = known_fields(), rollup_measurements() | {*Measurement, *storage.Table}
    for _, text in QUERIES:
        named = set(re.findall(r'AS "([^"]+)"', text))
        asked = set(re.findall(r'"([^"]+)"', re.sub(r' AS "[^"]+"', "", text)))
        assert asked - named - measurements <= known, (asked - named - measurements - known, text)


LIGHT = {
    storage.Table.INDEX, storage.Table.ALERT, storage.Table.ALERT_STANDING, storage.Table.GATEWAY,
    storage.Table.GATEWAY_STORE,
}  # fmt: skip
"""Measurements of a line an hour or a few a minute: they need no roll-up."""


@pytest.mark.parametrize(("path", "panel"), PANELS)
def test_readings_are_asked_for_seven_days_and_hours_for_sixty_at_most(path: str, panel: Json) -> None:
    """Whatever range the dashboard shows; beyond that roll-ups answer. A commune's many circuits, seven days too."""
    longest = span(panel["timeFrom"]) if "timeFrom" in panel else 10**15
    for target in panel.get("targets", ()):
        text = target["query"]
        asked = set(re.findall(r'"(\w+)"', re.findall(r'FROM ((?:"\w+"(?:, )?)+)', text)[-1]))
        if asked <= {*LIGHT, storage.Table.LEDGER_HOUR}:
            continue
        if any(name.endswith("_hour") for name in asked):
            days = "7d" if any("_group_" in name for name in asked) else "60d"
            assert longest <= span(days) or f"time >= now() - {days}" in text, text
        elif not any(name.endswith("_day") for name in asked):
            assert longest <= span("7d") or "time >= now() - 7d" in text, text


def test_panels_over_many_devices_read_roll_ups_or_hourly_states() -> None:
    """Readings are only asked for a device or station that was chosen, or of points of piped water, which are few."""
    many = {Measurement.STREETLIGHT}
    for uid, text in QUERIES:
        asked = set(re.findall(r'FROM "(\w+)"', text))
        if uid == Source.READINGS and asked & many and not text.startswith("SHOW"):
            assert "$device" in text, text


# data sources, alerting --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", provisioning.ACCOUNTS)
def test_every_data_source_is_provisioned_for_every_influxdb(kind: str) -> None:
    """Same uids, so that a dashboard needs no change; passwords come from the environment."""
    found = yaml.safe_load(provisioning.data_sources(kind))["datasources"]
    used = {uid for uid, _ in QUERIES}
    assert {source["uid"] for source in found} == used == {source.value for source in Source}
    assert [source["jsonData"]["dbName"] for source in found] == ["village", "village_rollup"]
    for source in found:
        assert source["jsonData"]["version"] == "InfluxQL"
        assert all(value.count("$") == 1 for value in source["secureJsonData"].values())
    with_commune = yaml.safe_load(provisioning.data_sources(kind, "10642", 3))["datasources"]
    assert [source["jsonData"]["dbName"] for source in with_commune] == ["village_10642", "village_rollup_10642"]
    assert {source["orgId"] for source in with_commune} == {3}


def test_files_of_provisioning_say_what_the_code_means() -> None:
    """The YAML is read back with another library."""
    kept = {path: yaml.safe_load(text) for path, text in provisioning.provisioning_files().items()}
    assert kept["alerting/rules.yaml"] == alerting.alert_rules()
    assert kept["alerting/policies.yaml"] == alerting.policies()
    assert kept["alerting/contact-points.yaml"] == alerting.contact_points()
    paths = {provider["options"]["path"] for provider in kept["dashboards/village.yaml"]["providers"]}
    assert paths == {f"{provisioning.MOUNTED}/{path.split('/')[0]}" for path in MADE}


def test_alert_rules_are_complete_and_need_no_variable() -> None:
    """Nothing begins with a dollar sign, every step refers to the one before, and silence alarms by itself."""
    rules = alerting.alert_rules()["groups"][0]["rules"]
    text = json.dumps(rules)
    assert "$" not in text
    uids = [rule["uid"] for rule in rules]
    assert len(set(uids)) == len(uids)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", uid) for uid in uids)
    for rule in rules:
        steps = {step["refId"]: step["model"] for step in rule["data"]}
        assert rule["condition"] == "C"
        assert (steps["B"]["expression"], steps["C"]["expression"]) == ("A", "B")
        assert "GROUP BY time(" in steps["A"]["query"]
        assert rule["noDataState"] == ("Alerting" if rule["uid"] == "village-gateway-silent" else "OK")
        assert rule["execErrState"] == "Error"
    wanted = {(rule.domain.value, rule.severity.value) for rule in shipped().alerts.rules}
    assert wanted <= {(rule["labels"]["domain"], rule["labels"]["severity"]) for rule in rules}
    receivers = {point["name"] for point in alerting.contact_points()["contactPoints"]}
    policy = alerting.policies()["policies"][0]
    assert {policy["receiver"], *(route["receiver"] for route in policy["routes"])} <= receivers


def test_the_outline_is_where_the_maps_look_for_it() -> None:
    """43 communes, closed rings, inside the delta."""
    shapes = outline()["features"]
    assert len(shapes) == 43
    for shape in shapes:
        ring = shape["geometry"]["coordinates"][0]
        assert ring[0] == ring[-1]
        assert all(105.9 < longitude < 106.8 and 20.5 < latitude < 21.3 for longitude, latitude in ring)
    maps = [panel for value in MADE.values() for panel in panels_of(value) if panel["type"] == "geomap"]
    assert {
        layer["config"]["src"] for panel in maps for layer in panel["options"]["layers"] if layer["type"] == "geojson"
    } == {OUTLINE}
    assert "http" not in json.dumps([panel["options"] for panel in maps])


# commands -----------------------------------------------------------------------------------------------------


def test_check_passes_on_what_is_shipped_and_names_what_is_out_of_date(tmp_path: Path) -> None:
    """Exit status 0, then 1 with the file's name."""
    runner = CliRunner()
    assert runner.invoke(build(), ["dashboards", "check"]).exit_code == 0
    write(tmp_path)
    file = tmp_path / "generated" / "vi" / "air.json"
    file.write_text(file.read_text("utf-8").replace("Không khí của xã", "Không khí xã"), "utf-8")
    told = runner.invoke(build(), ["dashboards", "check", "--out", str(tmp_path)])
    assert told.exit_code == 1
    assert f"{file}: not what the code makes" in told.output.replace("\n", "")


FLEET = """device,profile,commune,name
air-1,native_air_station,10642,Trạm sân ủy ban
lamp-1,native_streetlight,10642,Đèn 1
"""


def test_names_of_the_fleet_are_shown_instead_of_ids(tmp_path: Path) -> None:
    """In tables; Grafana cannot ask the registry, so they are generated into the dashboards."""
    fleet = tmp_path / "fleet.csv"
    fleet.write_text(FLEET, "utf-8")
    told = CliRunner().invoke(build(), ["dashboards", "generate", "--out", str(tmp_path), "--fleet", str(fleet)])
    assert told.exit_code == 0
    page = json.loads((tmp_path / "generated" / "vi" / "alerts.json").read_text("utf-8"))
    device = next(
        override
        for panel in panels_of(page)
        if panel["type"] == "table"
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"]["options"] == "device_name"
    )  # fmt: skip
    mappings = [entry["value"][0]["options"] for entry in device["properties"] if entry["id"] == "mappings"]
    assert {key: one["text"] for key, one in mappings[-1].items()} == {
        "-": "cả xã",
        "air-1": "Trạm sân ủy ban",
        "lamp-1": "Đèn 1",
    }
    assert misspelt(page) == []


def test_the_handbook_says_what_pages_show_and_what_every_alert_asks_for() -> None:
    """Run ``village dashboards generate --docs docs`` after a change of texts or rules."""
    text = (HERE.parent / "docs" / HANDBOOK).read_text("utf-8")
    assert renewed(text) == text
    assert all(rule.advice.vi in text for rule in shipped().alerts.rules)
    assert all(value["title"] in text for path, value in MADE.items() if path.startswith(("vi/", "public/")))


def test_data_sources_of_one_commune_are_printed() -> None:
    """With an organisation and an account of its own."""
    told = CliRunner().invoke(build(), ["dashboards", "generate", "--commune", "10642", "--org", "2"])
    assert told.exit_code == 0
    assert {source["orgId"] for source in yaml.safe_load(told.output)["datasources"]} == {2}
    wrong = CliRunner().invoke(build(), ["dashboards", "generate", "--commune", "10642", "--store", "influxdb9"])
    assert wrong.exit_code == 2
