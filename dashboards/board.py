"""A whole dashboard: panels laid out on the grid, template variables, annotations; Classic JSON, schema version 41."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dashboards.panels import Json, Link, Panel, to_json
from dashboards.queries import COMMUNE, Source, select, tag_values
from dashboards.texts import Say
from devices.alert_rules import AlertState, Severity
from devices.standards import shipped
from devices.storage import Table

SCHEMA = 41
"""Grafana 11.6 and later write it; 9.4 and later read it. Newer ones migrate it on load."""
ZONE = "Asia/Ho_Chi_Minh"
WIDTH = 24
MARKS_DAYS = 30
"""Critical alerts are marked on the charts so far back: a year of marks would hide the lines."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top of a dashboard."""

    name: str
    label: str
    query: str = ""
    """``SHOW TAG VALUES ...``; empty for a fixed list."""
    source: Source = Source.READINGS
    choices: tuple[tuple[str, str], ...] = ()
    """Text and value of a fixed list."""
    several: bool = False
    """More than one may be chosen, or all."""


class Row(NamedTuple):
    """A heading over some panels."""

    title: str


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard."""

    name: str
    """Its uid without prefix, and the name of its file."""
    title: str
    description: str
    content: tuple[Row | Panel, ...]
    variables: tuple[Variable, ...] = ()
    since: str = "now-24h"
    refresh: str = "1m"
    alerts: tuple[str, ...] | None = None
    """Conditions on the critical alerts shown as annotations; None for no annotations."""
    navigation: bool = True
    """Links to the other dashboards at the top."""
    folder: str = ""
    """Empty for the staff's folder, ``public`` for what everybody may see."""


def commune_variable(say: Say) -> Variable:
    """Which commune: those whose devices were heard within 30 days."""
    return Variable("commune", say("Xã", "Commune"), tag_values("commune", Table.DEVICE))


def device_variable(say: Say, measurement: str = Table.DEVICE, label: str = "", *, several: bool = False) -> Variable:
    """Which device of the commune chosen."""
    query = tag_values("device", measurement, COMMUNE)
    return Variable("device", label or say("Thiết bị", "Device"), query, several=several)


def link(say: Say, name: str, title: str, *variables: str) -> Link:
    """To another dashboard of the same language; the time goes along, and these variables."""
    more = "".join(f"&{variable}" for variable in variables)
    return Link(title, f"/d/{say.uid(name)}?${{__url_time_range}}{more}")


HERE, STATION_HERE = "${commune:queryparam}", "${device:queryparam}"
"""The commune and the stations that are chosen, for ``link``."""


def layout(content: Sequence[Row | Panel], say: Say) -> list[Json]:
    """Panels from left to right and top to bottom in their order; a heading begins a new line."""
    found: list[Json] = []
    x = y = height = 0
    for number, entry in enumerate(content, start=1):
        if isinstance(entry, Row):
            y, x, height = y + height, 0, 0
            position = {"h": 1, "w": WIDTH, "x": 0, "y": y}
            heading = {"id": number, "type": "row", "title": entry.title, "collapsed": False}
            found.append(heading | {"gridPos": position, "panels": []})
            y += 1
            continue
        if x + entry.width > WIDTH:
            y, x, height = y + height, 0, 0
        found.append(to_json(entry, say, number, x, y))
        x, height = x + entry.width, max(height, entry.height)
    return found


def to_dashboard(board: Board, say: Say) -> Json:
    """The dashboard in Grafana's Classic model."""
    tags = ["village", say.language.value]
    return {
        "uid": say.uid(board.name),
        "title": board.title,
        "description": board.description,
        "tags": tags,
        "timezone": ZONE,
        "editable": True,
        "graphTooltip": 1,
        "fiscalYearStartMonth": 0,
        "schemaVersion": SCHEMA,
        "version": 0,
        "weekStart": "monday",
        "refresh": board.refresh,
        "time": {"from": board.since, "to": "now"},
        "timepicker": {"hidden": False, "refresh_intervals": ["30s", "1m", "5m", "15m", "1h"]},
        "links": [_navigation(say, tags)] if board.navigation else [],
        "templating": {"list": [_variable(variable) for variable in board.variables]},
        "annotations": {"list": [] if board.alerts is None else [_alerts(board.alerts, say)]},
        "panels": layout(board.content, say),
    }


def _navigation(say: Say, tags: list[str]) -> Json:
    return {
        "type": "dashboards",
        "title": say("Các trang", "Pages"),
        "tags": tags,
        "asDropdown": True,
        "icon": "external link",
        "includeVars": False,
        "keepTime": True,
        "targetBlank": False,
        "tooltip": "",
        "url": "",
    }


def _variable(variable: Variable) -> Json:
    found: Json = {"name": variable.name, "label": variable.label, "hide": 0, "skipUrlSync": False}
    if variable.choices:
        options = [
            {"selected": number == 0, "text": text, "value": value}
            for number, (text, value) in enumerate(variable.choices)
        ]
        listed = ", ".join(f"{text} : {value}" for text, value in variable.choices)
        return found | {
            "type": "custom", "query": listed, "options": options, "current": options[0], "multi": False,
            "includeAll": False,
        }  # fmt: skip
    found |= {
        "type": "query",
        "datasource": {"type": "influxdb", "uid": variable.source.value},
        "definition": variable.query,
        "query": variable.query,
        "refresh": 2,
        "regex": "",
        "sort": 5,
        "multi": variable.several,
        "includeAll": variable.several,
        "options": [],
    }
    if variable.several:
        found |= {"allValue": ".*", "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}
    return found


def _alerts(conditions: tuple[str, ...], say: Say) -> Json:
    """Critical alerts as marks on every chart: when one began to fire or ended, and at which device.

    The question is there twice: as a target, as Grafana 10 and later read it, and beside it, as 9 does.
    """
    codes = [rule.code for rule in shipped().alerts.rules if rule.severity is Severity.CRITICAL]
    firing = " OR ".join(f'"{code}" = {AlertState.FIRING.number}' for code in codes)
    selected = ", ".join(('"device"', *(f'"{code}"' for code in codes)))
    legacy = {
        "query": select(selected, Table.ALERT, *conditions, f"({firing})", f"time >= now() - {MARKS_DAYS}d"),
        "textColumn": "device",
    }
    source = {"type": "influxdb", "uid": Source.READINGS.value}
    return {
        "name": say("Báo động khẩn cấp", "Critical alerts"),
        "datasource": source,
        "enable": True,
        "hide": False,
        "iconColor": "red",
        "target": {
            "datasource": source,
            "refId": "Anno",
            "rawQuery": True,
            "resultFormat": "table",
            "fromAnnotations": True,
            **legacy,
        },
        **legacy,
    }
