"""The province's operations center: all communes on a map, what fires, who is heard, worst air and water, energy."""

from collections.abc import Mapping

from dashboards import scales, stats
from dashboards.alert_page import grafana_alerts
from dashboards.alert_tables import counts, firing_stat, hidden_tags, total_of
from dashboards.board import Board, Row, link
from dashboards.energy import OF_COMMUNES, saved, used
from dashboards.lighting import working
from dashboards.maps import map_options
from dashboards.panels import BARS, Column, Json, Link, Panel
from dashboards.queries import NAME, Query, Source, by_day, hours_and_days, named, select
from dashboards.texts import Say
from devices.alert_names import GATEWAY
from devices.alert_rules import Severity
from devices.index_names import VN_AQI, VN_WQI
from devices.rollup_names import EXPECTED, HEARD, WORKING, Scope, Width, measurement_name
from devices.storage import Table
from devices.vocabulary import Measurement

NO_GATEWAY = f"\"commune\" != '{GATEWAY}'"
"""Lines about the gateway itself are no commune's."""


def commune_queries(*, positions: bool) -> tuple[Query, ...]:
    """Alerts of every commune, devices heard, and where it is; joined by ``joined``.

    Args:
        positions: the middle of its devices too.
    """
    severities = (Severity.CRITICAL, Severity.WARNING)
    totals = ", ".join(f'{total_of(severity)} AS "{severity}"' for severity in severities)
    alerts = f"SELECT {named('commune')}, {totals} FROM ({counts(severities, NO_GATEWAY)})"
    heard = select(
        f'last("{HEARD}") AS "heard", last("{EXPECTED}") AS "expected"',
        measurement_name(Measurement.DEVICE, Scope.COMMUNE, Width.HOUR),
        group='"commune"',
    )
    where = select('mean("latitude") AS "latitude", mean("longitude") AS "longitude"', Table.DEVICE, group='"commune"')
    found = (Query(alerts, table=True), Query(heard, Source.ROLLUPS, table=True))
    return (*found, Query(where, table=True)) if positions else found


def joined() -> tuple[Json, ...]:
    """Tables of the same communes as one."""
    return (
        {"id": "filterFieldsByName", "options": {"exclude": {"pattern": "^[Tt]ime$"}}},
        {"id": "joinByField", "options": {"byField": "commune", "mode": "outer"}},
    )


def commune_columns(say: Say) -> tuple[Column, ...]:
    """Columns of the joined tables in words."""
    url = f"/d/{say.uid('commune')}?${{__url_time_range}}&var-commune=${{__data.fields.commune}}"
    open_commune = Link(say("Mở trang xã", "Open the commune"), url)
    return (
        *hidden_tags("commune"),
        Column(
            f"commune{NAME}",
            say("Xã", "Commune"),
            unit="string",
            texts=scales.commune_names(),
            link=open_commune,
        ),
        Column("critical", say("Khẩn cấp", "Critical"), scale=scales.fewer(1, 1.5, say), coloured=True),
        Column("warning", say("Cảnh báo", "Warnings"), scale=scales.fewer(1, 50, say), coloured=True),
        Column("heard", say("Đang báo về", "Heard")),
        Column("expected", say("Thiết bị", "Devices")),
    )


def commune_map(say: Say) -> Panel:
    """Every commune at the middle of its devices, coloured by its critical alerts."""
    url = f"/d/{say.uid('commune')}?${{__url_time_range}}&var-commune=${{__data.fields.commune}}"
    return Panel(
        "geomap",
        say("Bản đồ các xã", "Map of the communes"),
        say(
            "Mỗi chấm là một xã; màu theo số báo động khẩn cấp.", "Each dot is a commune, coloured by critical alerts."
        ),
        commune_queries(positions=True),
        scales.COUNT,
        scales.fewer(1, 1.5, say),
        (link(say, "commune", say("Xem một xã", "One commune")),),
        say("Chưa xã nào có tọa độ thiết bị", "No commune has positions of devices"),
        width=12,
        height=14,
        columns=commune_columns(say),
        options=map_options("critical"),
        transformations=joined(),
        data_link=Link(say("Mở trang xã", "Open the commune"), url),
        time_from=stats.POSITIONS,
    )


def commune_table(say: Say) -> Panel:
    """Every commune in a row, the worst first."""
    return Panel(
        "table",
        say("Các xã", "The communes"),
        say("Xã nào cần giúp trước; bấm tên xã để xem.", "Which commune needs help first; click its name."),
        commune_queries(positions=False),
        scales.COUNT,
        scales.fewer(1, 1.5, say),
        (link(say, "commune", say("Xem một xã", "One commune")),),
        say("Cổng dữ liệu chưa báo tình trạng", "The gateway has not said yet"),
        width=12,
        height=14,
        columns=commune_columns(say),
        transformations=joined(),
        options={"sortBy": [{"displayName": say("Khẩn cấp", "Critical"), "desc": True}]},
        time_from=stats.POSITIONS,
    )


def by_commune(
    say: Say, what: Mapping[str, str], title: str, description: str, scale: scales.Scale, page: str
) -> Panel:
    """An index of each commune as bars; ``what`` is selected, by what is added to the commune's name."""
    return Panel(
        "bargauge",
        title,
        description,
        tuple(
            Query(select(one, Table.INDEX, group='"commune"'), alias=f"$tag_commune{more}")
            for more, one in what.items()
        ),
        scales.COUNT,
        scale,
        (link(say, page, say("Xem chi tiết", "Details")),),
        say("Chưa có chỉ số", "There is no index yet"),
        width=8,
        height=9,
        decimals=0,
        columns=tuple(
            Column(code + more, name + more) for more in what for code, name in scales.commune_names().items()
        ),
        data_link=Link(
            say("Mở trang", "Open the page"),
            f"/d/{say.uid(page)}?${{__url_time_range}}&var-commune=${{__field.labels.commune}}",
        ),
        time_from=stats.NEWEST_HOURS,
        low=0.0,
    )


def pulse(say: Say) -> Panel:
    """How fast uplinks come in."""
    rate = 'non_negative_derivative(last("received"), 1m) AS "received"'
    return Panel(
        "timeseries",
        say("Tin nhận mỗi phút", "Uplinks a minute"),
        say(
            "Nhịp nhận tin của cả tỉnh; tụt xuống là có nơi mất liên lạc.",
            "The pulse of the province; a drop is a silent place.",
        ),
        (Query(select(rate, Table.GATEWAY, group="time($__interval) fill(none)"), alias=say("nhận", "received")),),
        "suffix: /min",
        scales.plain(say),
        (link(say, "gateway", say("Xem cổng dữ liệu", "The gateway")),),
        say("Cổng dữ liệu im lặng trong thời gian này", "The gateway was silent in this time"),
        width=24,
        height=6,
    )


def energy_by_day(say: Say) -> Panel:
    """Energy of each commune, day by day."""
    return Panel(
        "timeseries",
        say("Điện chiếu sáng mỗi ngày", "Lighting energy a day"),
        say("kWh mỗi ngày của từng xã, đo tại tủ.", "kWh a day of each commune, metered at the cabinets."),
        (by_day('sum("energy")', Table.LIGHTING_DAY, OF_COMMUNES, by="commune"),),
        "kwatth",
        scales.plain(say),
        (link(say, "lighting", say("Xem đèn đường", "Street lighting")),),
        say("Chưa hết ngày đầu tiên", "No day is over yet"),
        width=12,
        columns=tuple(Column(code, name) for code, name in scales.commune_names().items()),
        custom=BARS | {"stacking": {"group": "A", "mode": "normal"}},
        time_from="30d",
    )


def working_by_commune(say: Say) -> Panel:
    """The share of lamps that work, of each commune."""
    return Panel(
        "timeseries",
        say("Tỷ lệ đèn hoạt động theo xã", "Lamps that work, by commune"),
        say(
            "Tỷ lệ đèn sáng đúng lúc; theo giờ trong 60 ngày, trước đó theo ngày.",
            "Share of lamps that work; hours for 60 days, before that days.",
        ),
        hours_and_days(f'mean("{WORKING}")', Measurement.STREETLIGHT, Scope.COMMUNE, "", by="commune"),
        scales.SHARE,
        scales.more(0.9, 0.97, say),
        (link(say, "lighting", say("Xem đèn đường", "Street lighting")),),
        say("Chưa hết giờ đầu tiên", "No hour is over yet"),
        width=12,
        low=0.0,
        high=1.0,
        columns=tuple(Column(code, name) for code, name in scales.commune_names().items()),
    )


def board(say: Say) -> Board:
    """The page."""
    return Board(
        "province",
        say("Trung tâm điều hành tỉnh", "Province operations center"),
        say("Toàn tỉnh: xã nào cần giúp, số liệu có đủ không.", "All communes: who needs help, is the data complete."),
        (
            Row(say("Hiện nay", "Now")),
            firing_stat(say, Severity.CRITICAL).sized(4, 6),
            firing_stat(say, Severity.WARNING).sized(4, 6),
            stats.coverage(say).sized(4, 6),
            working(say).sized(4, 6),
            stats.air_gauge(say).sized(4, 6),
            stats.water_gauge(say).sized(4, 6),
            commune_map(say),
            commune_table(say),
            Row(say("Môi trường và báo động", "Environment and alerts")),
            by_commune(
                say,
                {"": f'max("{VN_AQI}")'},
                say("Không khí xấu nhất theo xã", "Worst air by commune"),
                say("VN_AQI giờ cao nhất trong bốn giờ qua.", "The greatest hourly VN_AQI of the last four hours."),
                scales.air_scale(say),
                "air",
            ),
            by_commune(
                say,
                {"": f'min("{stats.WQI_PARTIAL}")', " (VN_WQI)": f'min("{VN_WQI}")'},
                say("Nước kém nhất theo xã", "Worst water by commune"),
                say(
                    "Điểm thấp nhất trong bốn giờ qua: chỉ số một phần, hoặc VN_WQI nơi có kết quả phòng thí nghiệm còn hạn.",
                    "The least of the last four hours: the partial index, or VN_WQI where laboratory results are valid.",
                ),
                scales.water_scale(say),
                "water",
            ),
            grafana_alerts(say).sized(8, 9),
            Row(say("Chiếu sáng và điện", "Lighting and energy")),
            used(say).sized(4, 5),
            saved(say, "saved_energy").sized(4, 5),
            saved(say, "saved_co2").sized(4, 5),
            saved(say, "saved_cost").sized(4, 5),
            stats.silent(say).sized(4, 5),
            stats.ledger_holds(say).sized(4, 5),
            energy_by_day(say),
            working_by_commune(say),
            pulse(say),
        ),
        alerts=(),
    )
