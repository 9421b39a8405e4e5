"""Grafana's alert rules on what the gateway writes to ``alert``: one a severity and domain, and one for its silence."""

from typing import NamedTuple

from dashboards.alert_tables import COUNTS, domains_with
from dashboards.panels import Json
from dashboards.queries import Source
from dashboards.texts import Language, Say
from devices.alert_names import GATEWAY, count_field
from devices.alert_rules import Severity
from devices.storage import Table
from devices.vocabulary import Measurement

FOLDER = "Báo động"
GROUP = "village"
LOOK_BACK = 600
"""[s] The gateway counts the alerts of every commune each minute; ten missing counts are silence."""
CONTACT = "village-staff"
VI, EN = Say(Language.VI), Say(Language.EN)

DOMAIN_NAMES = {
    Measurement.STREETLIGHT: ("Đèn đường", "Street lighting"),
    Measurement.WATER_QUALITY: ("Nước sông, kênh", "Rivers and canals"),
    Measurement.WATER_SUPPLY: ("Nước cấp", "Piped water"),
    Measurement.AIR_QUALITY: ("Không khí", "Air"),
    Measurement.WEATHER: ("Thời tiết", "Weather"),
    Measurement.DEVICE: ("Thiết bị", "Devices"),
}
SEVERITY_NAMES = {
    Severity.CRITICAL: ("khẩn cấp", "critical"),
    Severity.WARNING: ("cảnh báo", "warning"),
    Severity.INFO: ("lưu ý", "notice"),
}


class Rule(NamedTuple):
    """One of Grafana's alert rules."""

    uid: str
    title: str
    query: str
    """Without variables, which alert rules do not know; with a time of its own, so that nothing in it begins with a
    dollar sign, which provisioning would take for a variable of the environment."""
    above: bool
    """It fires above ``limit``, else below."""
    limit: float
    no_data: str
    """``OK`` or ``Alerting``."""
    labels: dict[str, str]
    summary: str
    summary_en: str


def rules() -> list[Rule]:
    """Every rule; severity by severity, the worst first."""
    found = [
        _of_alerts(domain, severity)
        for severity in reversed(Severity)
        for domain in Measurement
        if domain in domains_with(severity)
    ]
    minutes = LOOK_BACK // 60
    silent = Rule(
        "village-gateway-silent",
        "Cổng dữ liệu im lặng / The gateway is silent",
        f'SELECT count("{count_field(Measurement.DEVICE, Severity.CRITICAL)}") AS "lines" FROM "{Table.ALERT}" '
        f"WHERE {COUNTS} AND \"commune\" = '{GATEWAY}' AND time > now() - {minutes}m GROUP BY time(1m) fill(none)",
        above=False,
        limit=1.0,
        no_data="Alerting",
        labels={"severity": Severity.CRITICAL.value, "domain": "gateway"},
        summary=f"Cổng dữ liệu không báo gì trong {minutes} phút: kiểm tra máy chủ, điện và mạng, rồi chạy village doctor.",
        summary_en=f"The gateway has said nothing for {minutes} minutes: look at its machine, power and network; run village doctor.",
    )
    return [*found, silent]


def _of_alerts(domain: Measurement, severity: Severity) -> Rule:
    field = count_field(domain, severity)
    (vi, en), (how_vi, how_en) = DOMAIN_NAMES[domain], SEVERITY_NAMES[severity]
    return Rule(
        f"village-{domain.replace('_', '-')}-{severity}",
        f"{vi}: {how_vi} / {en}: {how_en}",
        f'SELECT last("{field}") AS "firing" FROM "{Table.ALERT}" WHERE {COUNTS} AND time > now() - {LOOK_BACK // 60}m '
        'GROUP BY time(1m), "commune" fill(none)',
        above=True,
        limit=0.0,
        no_data="OK",
        labels={"severity": severity.value, "domain": domain.value},
        summary=f"{vi}, {how_vi}, xã {{{{ .Labels.commune }}}}: mở trang Báo động để biết thiết bị nào và việc cần làm.",
        summary_en=f"{en}, {how_en}, commune {{{{ .Labels.commune }}}}: the page Alerts says which device and what to do.",
    )


def alert_rules() -> Json:
    """The file of provisioned alert rules."""
    rows = [_rule(rule) for rule in rules()]
    return {
        "apiVersion": 1,
        "groups": [{"orgId": 1, "name": GROUP, "folder": FOLDER, "interval": "1m", "rules": rows}],
    }


def _rule(rule: Rule) -> Json:
    seconds = {"from": LOOK_BACK, "to": 0}
    query = {
        "refId": "A",
        "datasource": {"type": "influxdb", "uid": Source.READINGS.value},
        "query": rule.query,
        "rawQuery": True,
        "resultFormat": "time_series",
        "intervalMs": 60_000,
        "maxDataPoints": 1_000,
    }
    reduce = {
        "refId": "B",
        "type": "reduce",
        "datasource": _expression(),
        "expression": "A",
        "reducer": "last" if rule.above else "sum",
        "settings": {"mode": "dropNN"},
    }
    threshold = {
        "refId": "C",
        "type": "threshold",
        "datasource": _expression(),
        "expression": "B",
        "conditions": [{"evaluator": {"type": "gt" if rule.above else "lt", "params": [rule.limit]}}],
    }
    return {
        "uid": rule.uid,
        "title": rule.title,
        "condition": "C",
        "data": [
            {"refId": "A", "relativeTimeRange": seconds, "datasourceUid": Source.READINGS.value, "model": query},
            {"refId": "B", "relativeTimeRange": seconds, "datasourceUid": "__expr__", "model": reduce},
            {"refId": "C", "relativeTimeRange": seconds, "datasourceUid": "__expr__", "model": threshold},
        ],
        "for": "0s",
        "noDataState": rule.no_data,
        "execErrState": "Error",
        "annotations": {"summary": rule.summary, "summary_en": rule.summary_en, "dashboard": VI.uid("alerts")},
        "labels": rule.labels,
        "isPaused": False,
    }


def _expression() -> Json:
    return {"type": "__expr__", "uid": "__expr__"}


def contact_points() -> Json:
    """Where alerts go: a mailing list and a webhook, both from the environment."""
    return {
        "apiVersion": 1,
        "contactPoints": [
            {
                "orgId": 1,
                "name": CONTACT,
                "receivers": [
                    {
                        "uid": "village-email",
                        "type": "email",
                        "settings": {"addresses": "$VILLAGE_ALERT_EMAIL", "singleEmail": False},
                        "disableResolveMessage": False,
                    },
                ],
            }
        ],
    }


def policies() -> Json:
    """Who is told how often: critical at once and again every hour, the rest in groups and once a day."""
    return {
        "apiVersion": 1,
        "policies": [
            {
                "orgId": 1,
                "receiver": CONTACT,
                "group_by": ["domain", "commune"],
                "group_wait": "1m",
                "group_interval": "15m",
                "repeat_interval": "24h",
                "routes": [
                    {
                        "receiver": CONTACT,
                        "object_matchers": [["severity", "=", Severity.CRITICAL.value]],
                        "group_wait": "10s",
                        "group_interval": "5m",
                        "repeat_interval": "1h",
                    },
                    {
                        "receiver": CONTACT,
                        "object_matchers": [["severity", "=", Severity.INFO.value]],
                        "group_wait": "30m",
                        "group_interval": "6h",
                        "repeat_interval": "168h",
                    },
                ],
            }
        ],
    }
