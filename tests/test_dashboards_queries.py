"""Every query of every dashboard and alert rule on a real InfluxDB with a simulated week, and the numbers it gives."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest

from dashboards import alerting
from dashboards.generate import dashboards
from dashboards.queries import Source
from dashboards.scales import commune_names
from devices.alert_rules import Severity
from devices.index_names import POLLUTANTS
from devices.observation import Reason
from devices.standards import shipped
from devices.storage import Condition
from gateway.analytics.vn_aqi import LEAD_HOURS, VnAqi
from gateway.model import Outcome
from tests.dashboards_village import BROKEN_LAMP, COMMUNE, DATABASES, NS, Village, day_start
from tests.grafana_backend import (
    HOUR,
    PIXELS,
    Question,
    Range,
    Series,
    ask,
    columns_of,
    expanded,
    filled,
    has_data,
    interval,
    panels_of,
    questions,
    rows_of,
)
from tests.servers import Server, influxql

Json = dict[str, Any]
MADE = {path: value for path, value in dashboards().items() if not path.split("/")[0].endswith("en")}
"""The English variants ask the same."""
LONG = "now-100d"
"""So far back that readings, hourly and daily roll-ups all have a part in the answer."""
DEVICES = ("lamp-017", "cabinet-3", "water-1", "water-3", "air-1", "tap-1", BROKEN_LAMP)
"""Of every kind, and those with troubles."""
NS_PER_HOUR = 3600 * NS
READINGS = DATABASES[Source.READINGS]


@pytest.fixture(scope="module")
def village(influxdb1_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Village:
    """Filled once; every test only asks."""
    village = Village(influxdb1_server, tmp_path_factory.mktemp("village"))
    village.fill()
    return village


def now_of(village: Village) -> int:
    """[ms since 1970 UTC]"""
    return int(village.now * 1000)


def answer(village: Village, server: Server, question: Question, **variables: str | Sequence[str]) -> list[Series]:
    """What the panel gets. The server's clock is set to the simulation's: ``now()`` is written as a number."""
    chosen: dict[str, str | Sequence[str]] = {"commune": COMMUNE, "device": ".*", "property": "power", **variables}
    text = expanded(filled(question.text, chosen), question.range)
    assert not re.search(r"\$[a-z_{]", text), text
    return ask(server, text.replace("now()", f"{now_of(village)}ms"), question.database)


def devices_for(dashboard: Json) -> tuple[str, ...]:
    """The values of the variable ``device`` that are tried."""
    return DEVICES if dashboard["uid"] == "village-device" else (".*",)


# every query -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MADE)
def test_every_query_is_answered_and_has_data(path: str, village: Village, influxdb1_server: Server) -> None:
    """In the dashboard's own range or in a long one, for one device at least; none is refused."""
    dashboard = MADE[path]
    found: dict[str, bool] = {}
    for since in ("", LONG):
        for question in questions(dashboard, DATABASES, now_of(village), since):
            for device in devices_for(dashboard):
                chosen = "residual_chlorine" if device == "tap-1" else "power"
                seen = answer(village, influxdb1_server, question, device=device, property=chosen)
                found[question.where] = found.get(question.where, False) or has_data(seen)
    assert [where for where, has in found.items() if not has] == []
    assert len(found) >= len([panel for panel in panels_of(dashboard) if "targets" in panel])


@pytest.mark.parametrize("path", MADE)
def test_every_panel_has_data_when_the_page_opens(path: str, village: Village, influxdb1_server: Server) -> None:
    """Without touching the range: what staff see first."""
    dashboard = MADE[path]
    found: dict[str, bool] = {}
    for question in questions(dashboard, DATABASES, now_of(village)):
        if question.panel:
            title = question.panel["title"]
            for device in devices_for(dashboard):
                seen = answer(village, influxdb1_server, question, device=device)
                found[title] = found.get(title, False) or has_data(seen)
    assert [title for title, has in found.items() if not has] == []


def test_no_panel_is_without_this_check() -> None:
    """Only texts and Grafana's own list of alerts ask nothing."""
    silent = {
        panel["type"] for value in MADE.values() for panel in panels_of(value) if not panel.get("targets")
    } - {"row"}  # fmt: skip
    assert silent == {"text", "alertlist"}


@pytest.mark.parametrize("path", MADE)
def test_the_columns_and_series_a_panel_names_are_in_its_answer(
    path: str, village: Village, influxdb1_server: Server
) -> None:
    """Overrides by name, a map's coordinates and colour, tags of an alias, a table's sort column."""
    names = {name + more for name in commune_names() for more in ("", " (VN_WQI)")}
    for panel in panels_of(MADE[path]):
        asked = [one for one in questions(MADE[path], DATABASES, now_of(village)) if one.panel is panel]
        if not asked:
            continue
        shown: set[str] = set()
        for question, target in zip(asked, panel["targets"], strict=True):
            for device in devices_for(MADE[path]):
                seen = answer(village, influxdb1_server, question, device=device)
                tags = {name for series in seen for name in series.tags}
                shown |= columns_of(seen)
                if seen:
                    assert set(re.findall(r"\$tag_(\w+)", target.get("alias", ""))) <= tags, question.where
        overrides = panel["fieldConfig"]["overrides"]
        wanted = {override["matcher"]["options"] for override in overrides} - names
        if any(step["id"] == "reduce" for step in panel.get("transformations", ())):
            wanted -= {"Field", "Last *"}
        if panel["type"] == "geomap":
            wanted |= {"latitude", "longitude", panel["options"]["layers"][1]["config"]["style"]["color"]["field"]}
        assert wanted <= shown, (panel["title"], wanted - shown)
        titles = {
            entry["value"] for override in overrides for entry in override["properties"] if entry["id"] == "displayName"
        }
        assert {one["displayName"] for one in panel["options"].get("sortBy", ())} <= titles


@pytest.mark.parametrize("rule", alerting.rules(), ids=lambda rule: rule.uid)
def test_every_alert_rule_is_answered(rule: alerting.Rule, village: Village, influxdb1_server: Server) -> None:
    """With labels by commune, so that each commune alarms by itself; and it fires exactly where the gateway does."""
    text = rule.query.replace("now()", f"{now_of(village)}ms")
    seen = ask(influxdb1_server, text, DATABASES[Source.READINGS])
    assert has_data(seen)
    if not rule.above:
        assert sum(row[1] for series in seen for row in series.values) >= rule.limit
        # Ten minutes after its last word there is no answer, which this rule takes for an alarm.
        later = now_of(village) + alerting.LOOK_BACK * 1000
        assert ask(influxdb1_server, rule.query.replace("now()", f"{later}ms"), DATABASES[Source.READINGS]) == []
        assert rule.no_data == "Alerting"
        return
    newest = {series.tags["commune"]: series.values[-1][1] for series in seen}
    domain, severity = rule.labels["domain"], Severity(rule.labels["severity"])
    firing = [change for change in village.firing if not change.cause and change.rule.domain == domain]
    assert newest[COMMUNE] == sum(change.severity is severity for change in firing)


def test_queries_work_with_the_servers_own_clock(influxdb1_server: Server) -> None:
    """``now()`` as it stands in the files, on a database with one reading of this minute."""
    influxql(influxdb1_server, "CREATE DATABASE grafana_now")
    databases = dict.fromkeys(DATABASES, "grafana_now")
    asked = [
        one for value in MADE.values() for one in questions(value, databases, 1_900_000_000_000) if "now()" in one.text
    ]
    assert len(asked) >= 100
    for question in asked:
        chosen = {"commune": COMMUNE, "device": ".*", "property": "power"}
        ask(influxdb1_server, expanded(filled(question.text, chosen), question.range), "grafana_now")


# numbers -----------------------------------------------------------------------------------------------------


def panel_of(path: str, kind: str, fragment: str) -> Json:
    """The first panel of a kind whose first query holds a fragment."""
    return next(
        panel
        for panel in panels_of(MADE[path])
        if panel["type"] == kind and any(fragment in target["query"] for target in panel["targets"])
    )


@pytest.fixture
def shown(village: Village, influxdb1_server: Server) -> Callable[..., list[Series]]:
    """What a panel's target gets."""

    def show(path: str, panel: Json, ref: str = "A", since: str = "", **variables: str) -> list[Series]:
        for question in questions(MADE[path], DATABASES, now_of(village), since):
            if question.panel is panel and question.where.endswith(f"/ {ref}"):
                return answer(village, influxdb1_server, question, **variables)
        raise AssertionError((path, panel["title"], ref))

    return show


def only_value(found: Sequence[Series]) -> float:
    """The one number of a stat or gauge."""
    assert len(found) == 1
    assert len(found[0].values) == 1
    return float(found[0].values[0][1])


Shown = Callable[..., list[Series]]


def test_stat_energy_is_what_the_cabinets_counted_yesterday(village: Village, shown: Shown) -> None:
    """Last reading of the day less the last one of the day before, of every cabinet; lamps are not counted again."""
    panel = panel_of("vi/lighting.json", "stat", 'sum("energy")')
    expected = 0.0
    for cabinet in ("cabinet-1", "cabinet-2", "cabinet-3"):
        before = village.told(cabinet, 0, day_start(-1))[-1].values["energy"]
        after = village.told(cabinet, 0, day_start(0))[-1].values["energy"]
        expected += after - before
    assert expected > 5
    assert shown("vi/lighting.json", panel)[0].values[-1][1] == pytest.approx(expected, rel=1e-9)


def test_stat_of_savings_is_the_baseline_less_what_was_metered(village: Village, shown: Shown) -> None:
    """Lamps of 170 W each through the whole night; the CO2 is the saved energy's."""
    found = {}
    for field in ("saved_energy", "saved_co2"):
        panel = panel_of("vi/lighting.json", "stat", f'"{field}"')
        found[field] = only_value(shown("vi/lighting.json", panel))
    metered = panel_of("vi/lighting.json", "stat", 'sum("energy")')
    used = shown("vi/lighting.json", metered)[0].values[-1][1]
    lamps = sum(row.device.startswith("lamp") for row in village.rows)
    night = (found["saved_energy"] + used) / (lamps * 0.170)
    assert 10.5 < night < 10.9  # eleven hours of August less what the schedule leaves out at dusk and dawn
    energy = shipped().energy
    _, factor = energy.emission.factor(energy.emission.default_year)
    assert found["saved_co2"] == pytest.approx(found["saved_energy"] * factor)


def test_stat_and_table_of_the_gateway_are_the_ledgers_sums(village: Village, influxdb1_server: Server) -> None:
    """Everything the simulator sent in these weeks, and what the one store has taken."""
    sums = ask(influxdb1_server, 'SELECT last("received") AS "r", last("kept") AS "k" FROM "gateway"', READINGS)
    outcomes = sum(village.outcomes.values(), Counter[Outcome]())
    assert sums[0].values[0][1:] == [outcomes.total(), outcomes[Outcome.KEPT]]
    answered = ask(
        influxdb1_server, 'SELECT last("state") AS "s", last("rejected") AS "r" FROM "gateway_store"', READINGS
    )
    assert answered[0].values[0][1:] == [0, 0]


def test_stat_of_alerts_counts_causes_once(village: Village, shown: Shown) -> None:
    """The circuit that is out is critical, its silent lamps are not counted beside it."""
    firing = [change for change in village.firing if not change.cause]
    for severity in (Severity.CRITICAL, Severity.WARNING):
        panel = panel_of("vi/province.json", "stat", f"streetlight_{severity}")
        expected = sum(change.severity is severity for change in firing)
        assert expected > 0
        assert only_value(shown("vi/province.json", panel)) == expected
    assert "circuit_out" in {change.rule.code for change in firing if change.severity is Severity.CRITICAL}


def test_stat_of_silence_counts_every_silent_device(village: Village, shown: Shown) -> None:
    """Also the lamps of the circuit that is out, whose silence has a cause."""
    silent = [change for change in village.firing if change.rule.kind == "silent"]
    assert {"water-3"} <= {change.place.device for change in silent}
    for path in ("vi/province.json", "vi/commune.json"):
        panel = panel_of(path, "stat", "silent_devices")
        assert only_value(shown(path, panel)) == len(silent)


def hourly_means(village: Village, device: str, name: str, last_hour: int, count: int) -> list[float | None]:
    """Means of so many hours, oldest first, of what the simulator meant."""
    hours = range(last_hour - count + 1, last_hour + 1)
    return [village.mean(device, name, hour * NS_PER_HOUR, (hour + 1) * NS_PER_HOUR) for hour in hours]


def test_gauge_shows_the_index_of_the_worst_station(village: Village, shown: Shown) -> None:
    """VN_AQI of the last full hour from the simulator's own values."""
    hour = int(village.now // 3600) - 1
    expected = []
    for device in ("air-1", "air-2"):
        means = {name: hourly_means(village, device, name, hour, 12)[::-1] for name in POLLUTANTS}
        expected.append(VnAqi().hourly(means).value)
    assert None not in expected
    panel = panel_of("vi/air.json", "gauge", "vn_aqi")
    assert only_value(shown("vi/air.json", panel)) == max(value for value in expected if value is not None)


def test_bar_gauge_shows_how_many_uplinks_were_refused_and_why(village: Village, shown: Shown) -> None:
    """Those that the simulator spoiled in the last 24 hours."""
    panel = panel_of("vi/gateway.json", "bargauge", "refused_")
    seen = shown("vi/gateway.json", panel)[0]
    row = dict(zip(seen.columns, seen.values[0], strict=True))
    words = {"encoding": "sai mã hóa ký tự", "malformed": "sai cấu trúc"}
    assert village.reasons[Reason.ENCODING] > 0
    for reason, word in words.items():
        assert row[word] == village.reasons[Reason(reason)]


def test_time_series_shows_what_the_probe_measured(village: Village, shown: Shown) -> None:
    """pH of each interval of two days, then hourly and daily means further back."""
    path = "vi/water.json"
    panel = panel_of(path, "timeseries", 'mean("ph")')
    width = interval(Range(now_of(village) - 48 * HOUR, now_of(village)), PIXELS) * 1_000_000
    recent = next(one for one in shown(path, panel) if one.tags["device"] == "water-1")
    points = {at: value for at, value in _times(recent) if value is not None}
    assert len(points) > 130
    for at, value in points.items():
        assert value == pytest.approx(village.mean("water-1", "ph", at, at + width), rel=1e-9)
    day = next(one for one in shown(path, panel, "C", "now-100d") if one.tags["device"] == "water-1")
    means = [value for _, value in _times(day) if value is not None]
    whole = village.mean("water-1", "ph", day_start(-69), day_start(-68))
    assert whole is not None
    assert any(value == pytest.approx(whole, rel=1e-9) for value in means)


def _times(series: Series) -> Iterator[tuple[int, float | None]]:
    for row in series.values:
        yield row[0] if isinstance(row[0], int) else _nanoseconds(row[0]), row[1]


def _nanoseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000) * 1_000_000


def test_table_shows_the_devices_newest_values(village: Village, shown: Shown) -> None:
    """Of the tap-water station, by the words of the vocabulary."""
    panel = panel_of("vi/device.json", "table", 'last("residual_chlorine")')
    newest = village.truth["tap-1"][-1].values
    seen = shown("vi/device.json", panel, "C", device="tap-1")[0]
    row = dict(zip(seen.columns, seen.values[0], strict=True))
    assert row["Clo dư tự do [mg/L]"] == newest["residual_chlorine"]
    assert row["Chỉ số đồng hồ nước [m³]"] == newest["volume"]


def test_table_of_alerts_names_the_lamp_that_is_dark(village: Village, shown: Shown) -> None:
    """One row a device, firing under the rule's own words, as in the gateway's book."""
    panel = panel_of("vi/commune.json", "table", '"lamp_out"')
    rows = {row["device"]: row for row in rows_of(shown("vi/commune.json", panel))}
    assert all(row["device_name"] == row["device"] for row in rows.values())
    assert rows["lamp-017"]["lamp_out"] == 2
    assert rows["lamp-033"]["day_burner"] == 2
    assert rows["cabinet-3"]["circuit_out"] == 2
    expected = {change.place.device for change in village.firing if change.rule.domain == "streetlight"}
    assert set(rows) == expected


def test_time_series_of_the_ledger_is_the_count_of_each_hour(village: Village, shown: Shown) -> None:
    """Received, kept and refused uplinks of the lamp that sends garbage."""
    panel = panel_of("vi/device.json", "timeseries", "ledger_hour")
    seen = shown("vi/device.json", panel, device=BROKEN_LAMP)[0]
    refused = 0.0
    for at, *values in seen.values:
        row = dict(zip(seen.columns[1:], values, strict=True))
        counts = village.outcomes[
            BROKEN_LAMP, _nanoseconds(at) // NS_PER_HOUR if isinstance(at, str) else at // NS_PER_HOUR
        ]
        assert row["received"] == counts.total()
        assert (row["kept"], row["refused"]) == (counts[Outcome.KEPT], counts[Outcome.REFUSED])
        refused += row["refused"]
    assert refused > 0


def test_state_timeline_shows_when_circuits_burn(village: Village, shown: Shown) -> None:
    """The share of a circuit's lamps that burnt, hour by hour: dark at noon, lit at night but for the broken one."""
    panel = panel_of("vi/lighting.json", "state-timeline", "lamp_on_mean")
    seen = {one.tags["group"]: dict(_times(one)) for one in shown("vi/lighting.json", panel)}
    lamps = [row.device for row in village.rows if row.group == "cabinet-1" and row.device.startswith("lamp")]
    for hour in (12, 20):
        start = day_start(0) + hour * NS_PER_HOUR
        means = [village.mean(lamp, "lamp_on", start, start + NS_PER_HOUR) for lamp in lamps]
        known = [mean for mean in means if mean is not None]
        assert seen["cabinet-1"][start] == pytest.approx(sum(known) / len(known))
    assert seen["cabinet-1"][day_start(0) + 20 * NS_PER_HOUR] == pytest.approx(7 / 8)


def test_status_history_is_the_daily_index(village: Village, shown: Shown) -> None:
    """Yesterday's VN_AQI by the decision, from the simulator's own values."""
    panel = panel_of("vi/air.json", "status-history", "vn_aqi_day")
    seen = next(one for one in shown("vi/air.json", panel) if one.tags["device"] == "air-2")
    last = (day_start(0) // NS_PER_HOUR) - 1
    means = {name: hourly_means(village, "air-2", name, last, 24 + LEAD_HOURS) for name in POLLUTANTS}
    assert dict(_times(seen))[day_start(-1)] == VnAqi().daily(means).value


def test_map_shows_every_device_where_it_stands(village: Village, shown: Shown) -> None:
    """Positions of the fleet, and the state that colours the dot."""
    panel = panel_of("vi/lighting.json", "geomap", "latitude")
    seen = {row["device"]: row for row in rows_of(shown("vi/lighting.json", panel))}
    assert {row.device: (row.latitude, row.longitude) for row in village.rows} == {
        device: (row["latitude"], row["longitude"]) for device, row in seen.items()
    }
    states = [seen[device]["state"] for device in ("water-3", "lamp-011", "lamp-017", "cabinet-3")]
    assert states == [Condition.SILENT, Condition.OK, Condition.WARNING, Condition.CRITICAL]


def test_map_of_communes_is_joined_from_alerts_roll_ups_and_positions(village: Village, shown: Shown) -> None:
    """The three answers have the column by which they are joined, and the same communes."""
    panel = panel_of("vi/province.json", "geomap", "latitude")
    parts = [shown("vi/province.json", panel, ref) for ref in "ABC"]
    assert [{row["commune"] for row in rows_of(part)} for part in parts] == [{COMMUNE}] * 3
    values = [rows_of(part)[0] for part in parts]
    rows = [row for row in village.rows if row.latitude is not None]
    # Of every line of three hours: a device whose state changed counts twice, which moves the dot by some metres.
    assert values[2]["latitude"] == pytest.approx(sum(row.latitude or 0.0 for row in rows) / len(rows), abs=0.001)
    assert (values[1]["expected"], values[0]["critical"]) == (len(village.rows), 1)


def test_variables_list_communes_and_the_devices_of_one(village: Village, influxdb1_server: Server) -> None:
    """The gateway's own lines are no commune."""
    asked: Mapping[str, Question] = {
        one.where: one for one in questions(MADE["vi/device.json"], DATABASES, now_of(village)) if not one.panel
    }
    communes = answer(village, influxdb1_server, asked["village-device / $commune"])
    assert [row[1] for row in communes[0].values] == [COMMUNE]
    devices = answer(village, influxdb1_server, asked["village-device / $device"])
    assert [row[1] for row in devices[0].values] == sorted(row.device for row in village.rows)


def test_the_backends_macros_are_expanded_in_its_order() -> None:
    """What Grafana's own tests say of them."""
    asked = Range(1_000_000, 1_000_000 + 24 * HOUR)
    text = 'SELECT mean("x") FROM "m" WHERE $timeFilter GROUP BY time($__interval), $__interval_ms, $interval'
    assert expanded(text, asked) == (
        'SELECT mean("x") FROM "m" WHERE time >= 1000000ms and time <= 87400000ms GROUP BY time(1m), 60000, 1m'
    )
    assert filled("/^$device$/ ${device}", {"device": ["a.b", "c"]}) == r"/^(a\.b|c)$/ (a\.b|c)"
