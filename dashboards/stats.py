"""Single figures that several pages show: how many devices are heard, worst air, worst water, the ledger."""

from dashboards import scales
from dashboards.alert_tables import COUNTS
from dashboards.board import HERE, link
from dashboards.panels import Column, Panel
from dashboards.queries import Query, Source, last, select
from dashboards.texts import Say
from devices.alert_names import SILENT_DEVICES
from devices.index_names import PARTIAL, POLLUTANT, VN_AQI, VN_WQI
from devices.rollup_names import EXPECTED, HEARD, Scope, Width, measurement_name
from devices.standards import shipped
from devices.storage import Table
from devices.vocabulary import Measurement

WQI_PARTIAL, DECIDING = VN_WQI + PARTIAL, VN_AQI + POLLUTANT

COVERAGE = (0.9, 0.97)
"""Shares of heard devices. Chosen, as for lamps."""
NEWEST_HOURS = "4h"
"""An index of the hour is written when the hour is over and its late values are in."""
RECENT = "30m"
"""Far enough back for what is written every minute."""
POSITIONS = "3h"
"""Far enough back for what is written every hour."""


def coverage(say: Say, *conditions: str) -> Panel:
    """The share of devices that were heard in the latest hour, by what every device says of its own radio."""
    inner = select(
        f'last("{HEARD}") AS "heard", last("{EXPECTED}") AS "expected"',
        measurement_name(Measurement.DEVICE, Scope.COMMUNE, Width.HOUR),
        *conditions,
        group='"commune"',
    )
    return Panel(
        "stat",
        say("Thiết bị đang báo về", "Devices heard"),
        say("Tỷ lệ thiết bị có tin trong giờ gần nhất.", "Share of devices heard in the latest hour."),
        (Query(f'SELECT sum("heard") / sum("expected") AS "share" FROM ({inner})', Source.ROLLUPS, table=True),),
        scales.SHARE,
        scales.more(*COVERAGE, say),
        (link(say, "commune", say("Xem theo xã", "By commune"), *([HERE] if conditions else [])),),
        say("Chưa hết giờ đầu tiên", "No hour is over yet"),
        columns=(Column("Time", hidden=True),),
        low=0.0,
        high=1.0,
        decimals=1,
        time_from=NEWEST_HOURS,
    )


def silent(say: Say, *conditions: str) -> Panel:
    """How many devices are silent."""
    rule = next(rule for rule in shipped().alerts.rules if rule.kind == "silent")
    inner = select(last(SILENT_DEVICES), Table.ALERT, COUNTS, *conditions, group='"commune"')
    text = f'SELECT sum("{SILENT_DEVICES}") AS "silent" FROM ({inner})'
    return Panel(
        "stat",
        say("Thiết bị im lặng", "Silent devices"),
        say(
            f"Số thiết bị quá {rule.intervals:g} chu kỳ và {rule.minutes:g} phút không có tin dù đang có điện.",
            f"Devices with power and not heard for {rule.intervals:g} of their intervals and {rule.minutes:g} minutes.",
        ),
        (Query(text, table=True),),
        scales.COUNT,
        scales.fewer(1, 20, say),
        (link(say, "lighting", say("Xem bản đồ", "See the map"), *([HERE] if conditions else [])),),
        say("Cổng dữ liệu im lặng", "The gateway is silent"),
        columns=(Column("Time", hidden=True),),
        time_from=RECENT,
    )


def air_gauge(say: Say, *conditions: str) -> Panel:
    """The worst VN_AQI of the stations."""
    text = select(f'last("{VN_AQI}") AS "x"', Table.INDEX, *conditions, group='"commune", "device"')
    tables = shipped().vn_aqi
    return Panel(
        "gauge",
        say("Chất lượng không khí (VN_AQI)", "Air quality (VN_AQI)"),
        say(
            f"Chỉ số giờ của trạm xấu nhất, theo Quyết định 1459/QĐ-TCMT; giá trị {tables.label.vi}.",
            f"The hourly index of the worst station, by Decision 1459; {tables.label.en}.",
        ),
        (Query(f'SELECT max("x") AS "{VN_AQI}" FROM ({text})', table=True),),
        scales.COUNT,
        scales.air_scale(say),
        (link(say, "air", say("Xem không khí", "Air"), *([HERE] if conditions else [])),),
        say("Chưa đủ số liệu bụi PM10 hoặc PM2.5", "Not enough PM10 or PM2.5 yet"),
        columns=(Column("Time", hidden=True),),
        low=0.0,
        high=500.0,
        decimals=0,
        time_from=NEWEST_HOURS,
    )


def water_gauge(say: Say, *conditions: str) -> Panel:
    """The worst index of the water stations: official where laboratory results complete it, and partial."""

    def worst(field: str) -> Query:
        text = select(f'last("{field}") AS "x"', Table.INDEX, *conditions, group='"commune", "device"')
        return Query(f'SELECT min("x") AS "{field}" FROM ({text})', table=True)

    label = shipped().vn_wqi.label
    return Panel(
        "gauge",
        say("Chất lượng nước sông, kênh", "River and canal water"),
        say(
            f"Điểm của trạm xấu nhất, 100 là tốt nhất: {label.vi}, trừ trạm có kết quả phòng thí nghiệm còn hạn (VN_WQI).",
            f"Of the worst station, 100 is best: {label.en}, except where laboratory results are valid (VN_WQI).",
        ),
        (worst(WQI_PARTIAL), worst(VN_WQI)),
        scales.COUNT,
        scales.water_scale(say),
        (link(say, "water", say("Xem nước", "Water"), *([HERE] if conditions else [])),),
        say("Không có trạm nước nào báo về", "No water station reports"),
        columns=(
            Column("Time", hidden=True),
            Column(WQI_PARTIAL, say(label.vi, label.en)),
            Column(VN_WQI, "VN_WQI"),
        ),
        low=0.0,
        high=100.0,
        decimals=0,
        time_from=NEWEST_HOURS,
    )


def deciding_pollutant(say: Say, *conditions: str) -> Panel:
    """Which pollutant decides the index of the station."""
    return Panel(
        "stat",
        say("Chất quyết định chỉ số", "Deciding pollutant"),
        say("Chất làm cho VN_AQI cao nhất trong giờ gần nhất.", "What makes the VN_AQI of the latest hour what it is."),
        (Query(select(f'last("{DECIDING}")', Table.INDEX, *conditions, group='"device"'), alias="$tag_device"),),
        scales.COUNT,
        scales.scale_of_names(scales.pollutants()),
        (link(say, "air", say("Xem không khí", "Air"), *([HERE] if conditions else [])),),
        say("Chưa có chỉ số", "There is no index yet"),
        names=scales.pollutants(),
        time_from=NEWEST_HOURS,
    )


def ledger_holds(say: Say) -> Panel:
    """Whether received = kept + refused + repeated."""
    names = scales.yes_no(say("Khớp", "Holds"), say("KHÔNG KHỚP", "DOES NOT HOLD"), good=True)
    return Panel(
        "stat",
        say("Sổ cái", "Ledger"),
        say(
            "Số tin nhận bằng số giữ cộng số từ chối cộng số lặp; sai lệch nghĩa là mất số liệu.",
            "Received is kept plus refused plus repeated; a difference would mean lost readings.",
        ),
        (Query(select('min("holds") AS "holds"', Table.GATEWAY), table=True),),
        scales.COUNT,
        scales.scale_of_names(names),
        (link(say, "gateway", say("Xem cổng dữ liệu", "The gateway")),),
        say("Cổng dữ liệu im lặng", "The gateway is silent"),
        names=names,
        columns=(Column("Time", hidden=True),),
    )
