"""The files Grafana reads at its start: data sources for InfluxDB 1.x, 2.x and 3.x, dashboard folders, alerting."""

import json
import re
from typing import Any

from dashboards import alerting
from dashboards.board import ZONE
from dashboards.queries import Source

DATABASES = {Source.READINGS: "village", Source.ROLLUPS: "village_rollup"}
NAMES = {Source.READINGS: "Village", Source.ROLLUPS: "Village roll-ups"}
MOUNTED = "/var/lib/grafana/dashboards/village"
"""Where the generated dashboards are mounted into Grafana."""
ACCOUNTS = {
    "influxdb1": "InfluxDB 1.x: a user with READ on both databases, by Basic authentication.",
    "influxdb2": "InfluxDB 2.7 and later: a token that reads both buckets, in a header.",
    "influxdb3": "InfluxDB 3 Core: an admin token (it has no other), in a header.",
}
"""What the account has to be, by what is asked."""
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
    suffix = f"_{commune}" if commune else ""
    variable = re.sub(r"[^A-Z0-9]", "_", suffix.upper())
    rows = []
    for source, database in DATABASES.items():
        settings: dict[str, Any] = {
            "version": "InfluxQL",
            "dbName": f"{database}{suffix}",
            "httpMode": "POST",
            "timeInterval": "10s",
        }
        row: dict[str, Any] = {
            "name": NAMES[source],
            "uid": source.value,
            "orgId": org,
            "type": "influxdb",
            "access": "proxy",
            "url": "$VILLAGE_STORE_URL",
            "isDefault": source is Source.READINGS,
            "editable": False,
            "database": f"{database}{suffix}",
            "jsonData": settings,
        }
        if kind == "influxdb1":
            row |= {"basicAuth": True, "basicAuthUser": f"$VILLAGE_STORE_USER{variable}"}
            row["secureJsonData"] = {"basicAuthPassword": f"$VILLAGE_STORE_PASSWORD{variable}"}
        else:
            settings["httpHeaderName1"] = "Authorization"
            row["secureJsonData"] = {"httpHeaderValue1": f"Token $VILLAGE_STORE_TOKEN{variable}"}
        rows.append(row)
    return yaml({"apiVersion": 1, "datasources": rows}, f"{ACCOUNTS[kind]}\nMade by `village dashboards generate`.")


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
