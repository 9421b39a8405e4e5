"""The files Grafana reads at its start: data sources for InfluxDB 1.x, 2.x and 3.x, dashboard folders, alerting."""

import json
from typing import Any

from dashboards import alerting
from dashboards.board import ZONE
from dashboards.queries import Source
from devices.fleet_row import DEVICE_ID

DATABASES = {Source.READINGS: "village", Source.ROLLUPS: "village_rollup"}
NAMES = {Source.READINGS: "Village", Source.ROLLUPS: "Village roll-ups"}
MOUNTED = "/var/lib/grafana/dashboards/village"
"""Where the generated dashboards are mounted into Grafana."""
ACCOUNTS = {
    "influxdb1": (
        "$VILLAGE_STORE_USER",
        "$VILLAGE_STORE_PASSWORD",
        "InfluxDB 1.x: a user with READ on both databases.",
    ),
    "influxdb2": (
        "token",
        "$VILLAGE_STORE_TOKEN",
        "InfluxDB 2.7 and later: a token that reads both buckets; the user name is ignored.",
    ),
    "influxdb3": (
        "token",
        "$VILLAGE_STORE_TOKEN",
        "InfluxDB 3 Core: an admin token (it has no other); the user name is ignored.",
    ),
}
"""User, password and remark, by what is asked: Basic is the one form of authentication that all three take."""
_KEY = DEVICE_ID.strip("^$")
FOLDERS = {"vi": "Làng thông minh", "en": "Smart village (English)", "public": "Công khai", "public-en": "Public"}
"""Grafana's folder of each folder of generated files."""


def yaml(value: Any, comment: str = "") -> str:
    r"""Plain data as YAML in block style; texts are quoted as in JSON, which YAML takes.

    >>> print(yaml({"a": [{"b": 1, "c": "x"}], "d": {}}), end="")
    a:
      - b: 1
        c: "x"
    d: {}
    """
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    return head + "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict) and value:
        found = []
        for key, entry in value.items():
            inner = _lines(entry)
            if isinstance(entry, dict | list) and entry:
                found += [f"{key}:", *(f"  {line}" for line in inner)]
            else:
                found.append(f"{key}: {inner[0]}")
        return found
    if isinstance(value, list) and value:
        return [
            f"{'- ' if number == 0 else '  '}{line}" for entry in value for number, line in enumerate(_lines(entry))
        ]
    return [json.dumps(value, ensure_ascii=False)]


def data_sources(kind: str, commune: str = "", org: int = 1) -> str:
    """Both data sources of one kind of InfluxDB.

    Args:
        kind: of ``ACCOUNTS``.
        commune: where each commune has databases of its own, whose they are; its account has variables of its own.
        org: Grafana's organisation.
    """
    user, password, remark = ACCOUNTS[kind]
    suffix = f"_{commune}" if commune else ""
    variable = suffix.upper().replace("-", "_").replace(".", "_").replace(":", "_")
    rows = [
        {
            "name": NAMES[source],
            "uid": source.value,
            "orgId": org,
            "type": "influxdb",
            "access": "proxy",
            "url": "$VILLAGE_STORE_URL",
            "basicAuth": True,
            "basicAuthUser": f"{user}{variable if user.startswith('$') else ''}",
            "isDefault": source is Source.READINGS,
            "editable": False,
            "database": f"{database}{suffix}",
            "jsonData": {
                "version": "InfluxQL",
                "dbName": f"{database}{suffix}",
                "httpMode": "POST",
                "timeInterval": "10s",
            },
            "secureJsonData": {"basicAuthPassword": f"{password}{variable}"},
        }
        for source, database in DATABASES.items()
    ]
    return yaml({"apiVersion": 1, "datasources": rows}, f"{remark}\nMade by `village dashboards generate`.")


def providers() -> str:
    """Where Grafana finds the dashboards, and in which of its folders they appear."""
    rows = [
        {
            "name": f"village-{folder}",
            "orgId": 1,
            "folder": title,
            "folderUid": f"village-{folder}",
            "type": "file",
            "disableDeletion": False,
            "updateIntervalSeconds": 60,
            "allowUiUpdates": False,
            "options": {"path": f"{MOUNTED}/{folder}", "foldersFromFilesStructure": False},
        }
        for folder, title in FOLDERS.items()
    ]
    return yaml({"apiVersion": 1, "providers": rows}, "Made by `village dashboards generate`.")


def provisioning_files() -> dict[str, str]:
    """Every file below ``provisioning``, by path."""
    made = "Made by `village dashboards generate`."
    files = {f"{kind}/datasources.yaml": data_sources(kind) for kind in ACCOUNTS}
    return files | {
        "dashboards/village.yaml": providers(),
        "alerting/rules.yaml": yaml(alerting.alert_rules(), f"{made}\nTimes are shown in {ZONE}."),
        "alerting/contact-points.yaml": yaml(alerting.contact_points(), made),
        "alerting/policies.yaml": yaml(alerting.policies(), made),
    }
