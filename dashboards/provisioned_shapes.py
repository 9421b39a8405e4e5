"""The names that Grafana knows in its provisioning files, and the words it knows as values of some of them."""

from collections.abc import Mapping
from typing import Any

from dashboards.shapes import Shape, unknown_keys, unknown_words

_MODEL: Shape = {
    **dict.fromkeys(("refId", "type", "expression", "reducer", "query", "rawQuery", "resultFormat", "alias")),
    **dict.fromkeys(("intervalMs", "maxDataPoints", "hide")),
    "datasource": {"type": None, "uid": None},
    "settings": {"mode": None, "replaceWithValue": None},
    "conditions": [{"evaluator": {"type": None, "params": None}, "unloadEvaluator": {"type": None, "params": None}}],
}
"""Of a query of InfluxDB's, and of the expressions ``reduce`` and ``threshold``."""
_RULE: Shape = {
    **dict.fromkeys(("uid", "title", "condition", "for", "keepFiringFor", "noDataState", "execErrState", "isPaused")),
    **dict.fromkeys(("dashboardUid", "panelId", "annotations", "labels")),
    "data": [
        {"refId": None, "queryType": None, "datasourceUid": None, "model": _MODEL}
        | {"relativeTimeRange": {"from": None, "to": None}}
    ],
}
_TIMES: Shape = dict.fromkeys(("group_wait", "group_interval", "repeat_interval", "mute_time_intervals"))
_ROUTE: Shape = {
    **_TIMES,
    **dict.fromkeys(("receiver", "object_matchers", "matchers", "continue", "group_by", "routes")),
}
_RECEIVER: Shape = {
    **dict.fromkeys(("uid", "type", "disableResolveMessage", "secureSettings")),
    "settings": dict.fromkeys(("addresses", "singleEmail", "message", "subject")),
}
_SOURCE: Shape = {
    **dict.fromkeys(("name", "uid", "orgId", "type", "access", "url", "isDefault", "editable", "database", "version")),
    **dict.fromkeys(("basicAuth", "basicAuthUser", "user", "withCredentials")),
    "jsonData": dict.fromkeys(
        ("version", "dbName", "httpMode", "timeInterval", "httpHeaderName1", "organization", "defaultBucket",
         "tlsSkipVerify", "tlsAuthWithCACert", "insecureGrpc", "product")
    ),
    "secureJsonData": dict.fromkeys(("basicAuthPassword", "password", "token", "httpHeaderValue1", "tlsCACert")),
}  # fmt: skip
FILE: Shape = {
    "apiVersion": None,
    "groups": [{"orgId": None, "name": None, "folder": None, "interval": None, "rules": [_RULE]}],
    "contactPoints": [{"orgId": None, "name": None, "receivers": [_RECEIVER]}],
    "policies": [{"orgId": None, **_ROUTE, "routes": [_ROUTE]}],
    "muteTimes": [{"orgId": None, "name": None, "time_intervals": None}],
    "datasources": [_SOURCE],
    "deleteDatasources": [{"name": None, "orgId": None}],
    "prune": None,
    "providers": [
        dict.fromkeys(("name", "orgId", "folder", "folderUid", "type", "disableDeletion", "updateIntervalSeconds"))
        | {"allowUiUpdates": None, "options": {"path": None, "foldersFromFilesStructure": None}}
    ],
}
"""Of alert rules, contact points, policies, data sources and folders of dashboards: each is a file of its own."""

WORDS: Mapping[str, str] = {
    r"\.groups.*\.noDataState": "Alerting NoData OK KeepLast",
    r"\.groups.*\.execErrState": "Alerting Error OK KeepLast",
    r"\.groups.*\.reducer": "last sum mean min max count median",
    r"\.groups.*\.settings\.mode": "dropNN replaceNN",
    r"\.groups.*\.evaluator\.type": "gt lt within_range outside_range gte lte",
    r"\.groups.*\.resultFormat": "time_series table",
    r"\.groups.*\.model\.type": "reduce threshold math resample",
    r"\.contactPoints.*\.receivers\[\d+\]\.type": "email telegram webhook slack teams googlechat",
    r"\.datasources\[\d+\]\.type": "influxdb",
    r"\.datasources\[\d+\]\.access": "proxy",
    r"\.datasources.*\.jsonData\.version": "InfluxQL Flux SQL",
    r"\.datasources.*\.jsonData\.httpMode": "POST GET",
    r"\.providers\[\d+\]\.type": "file",
}
"""Values that are one of some words, by where they stand; KeepLast since Grafana 10.3, gte and lte since 11.4."""


def misspelt_provisioning(document: Any) -> list[str]:
    """Paths in a provisioning file that Grafana would ignore or refuse."""
    if not isinstance(document, Mapping) or "apiVersion" not in document:
        return ["a file without apiVersion at its top"]
    return [*unknown_keys(document, FILE, ""), *unknown_words(document, WORDS)]
