"""Every alert of every commune: what fires, by domain, and what happened; the page that notifications link to."""

from dashboards import scales
from dashboards.alert_tables import DOMAINS, firing_by_rule, firing_stat, history
from dashboards.board import Board, Row, link
from dashboards.panels import Panel
from dashboards.texts import Say
from devices.alert_rules import Severity


def grafana_alerts(say: Say) -> Panel:
    """What Grafana's own alerting says: the same alerts, with who was notified."""
    return Panel(
        "alertlist",
        say("Báo động của Grafana", "Grafana's alerts"),
        say(
            "Các báo động mà Grafana gửi đi; cùng nguồn với bảng bên cạnh.",
            "What Grafana notifies of; from the same source as the tables.",
        ),
        (),
        scales.COUNT,
        (),
        (link(say, "alerts", say("Mọi báo động", "All alerts")),),
        "",
        options={
            "alertInstanceLabelFilter": '{domain=~".+"}',
            "alertName": "",
            "dashboardAlerts": False,
            "groupBy": [],
            "groupMode": "default",
            "maxItems": 20,
            "sortOrder": 1,
            "stateFilter": {"error": True, "firing": True, "noData": False, "normal": False, "pending": True},
            "viewMode": "list",
        },
    )


def board(say: Say) -> Board:
    """The page."""
    severities = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)
    return Board(
        "alerts",
        say("Báo động", "Alerts"),
        say("Mọi báo động của mọi xã, đang có và đã qua.", "Every alert of every commune, now and before."),
        (
            Row(say("Hiện nay", "Now")),
            *(firing_stat(say, severity).sized(5, 8) for severity in severities),
            grafana_alerts(say).sized(9, 8),
            *(firing_by_rule(say, domains).sized(24, 8) for domains in DOMAINS),
            Row(say("Đã xảy ra", "What happened")),
            *(history(say, domains) for domains in DOMAINS),
        ),
        since="now-7d",
    )
