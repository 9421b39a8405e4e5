"""One commune at a glance: what needs doing, where it is, and the way to the page that says more."""

from dashboards import stats
from dashboards.alert_tables import DOMAINS, firing_by_rule, firing_stat
from dashboards.board import Board, Row, commune_variable
from dashboards.energy import used
from dashboards.lighting import lamp_map, working
from dashboards.queries import COMMUNE
from dashboards.texts import Say
from devices.alert_rules import Severity


def board(say: Say) -> Board:
    """The page."""
    return Board(
        "commune",
        say("Xã: tổng quan", "Commune: overview"),
        say("Việc gì cần làm hôm nay ở xã này.", "What needs doing in this commune today."),
        (
            Row(say("Cần làm gì", "What needs doing")),
            firing_stat(say, Severity.CRITICAL, COMMUNE).sized(4, 6),
            firing_stat(say, Severity.WARNING, COMMUNE).sized(4, 6),
            stats.silent(say, COMMUNE).sized(4, 6),
            stats.coverage(say, COMMUNE).sized(4, 6),
            working(say, COMMUNE).sized(4, 6),
            used(say, COMMUNE).sized(4, 6),
            lamp_map(say),
            stats.air_gauge(say, COMMUNE).sized(8, 7),
            stats.water_gauge(say, COMMUNE).sized(8, 7),
            Row(say("Đang báo động", "Firing now")),
            *(firing_by_rule(say, domains, COMMUNE).sized(24, 7) for domains in DOMAINS),
        ),
        (commune_variable(say),),
        alerts=(COMMUNE,),
    )
