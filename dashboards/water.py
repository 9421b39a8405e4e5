"""Water of a commune: rivers and canals with limits of QCVN 08, piped water with limits of QCVN 01-1, leaks at night."""

from dashboards import scales, stats
from dashboards.air import trend
from dashboards.board import HERE, STATION_HERE, Board, Row, commune_variable, device_variable, link
from dashboards.panels import BARS, Panel
from dashboards.queries import COMMUNE, DEVICE, Query, by_day, ladder, select
from dashboards.scales import scale_of
from dashboards.texts import Say
from devices.index_names import VN_WQI
from devices.rollup_names import Scope, Statistic, Width, field_name, measurement_name
from devices.standards import shipped
from devices.storage import Table
from devices.vocabulary import VOCABULARY, Measurement

RIVER = ("dissolved_oxygen", "ph", "conductivity", "turbidity", "ammonium_nitrogen", "nitrate_nitrogen",
         "water_temperature", "water_level")  # fmt: skip
PIPED = ("residual_chlorine", "supply_turbidity", "supply_ph", "pressure")
STATION = (COMMUNE, DEVICE)


def piped(say: Say, property_name: str) -> Panel:
    """One property of every station of the commune's piped water: there are few of them."""
    return Panel(
        "timeseries",
        say.name(property_name),
        say(
            "Các điểm đo nước cấp của xã; 7 ngày gần nhất là số đo, trước đó là trung bình giờ và ngày.",
            "The commune's points of piped water; readings for 7 days, before that hourly and daily means.",
        ),
        ladder(property_name, say.name(property_name), COMMUNE, by="device"),
        scales.unit_of(property_name),
        scale_of(property_name, say),
        (link(say, "device", say("Xem điểm đo", "The point"), HERE),),
        say("Xã chưa có điểm đo nước cấp", "The commune has no point of piped water"),
        width=12,
    )


def sub_indices(say: Say) -> Panel:
    """The sub-index of each property that a sensor measures."""
    measured = [parameter for parameter in shipped().vn_wqi.parameters if parameter.property in VOCABULARY]
    selected = ", ".join(
        f'last("{VN_WQI}_{parameter.property}") AS "{say.name(parameter.property)}"' for parameter in measured
    )
    return Panel(
        "bargauge",
        say("Điểm từng thông số", "Sub-indices"),
        say(
            "Điểm của từng thông số trong giờ gần nhất, 100 là tốt nhất.",
            "Of each property in the latest hour, 100 is best.",
        ),
        (Query(select(selected, Table.INDEX, *STATION), alias="$col"),),
        scales.COUNT,
        scales.water_scale(say),
        (link(say, "device", say("Xem trạm", "The station"), HERE, STATION_HERE),),
        say("Không có trạm nước nào báo về", "No water station reports"),
        low=0.0,
        high=100.0,
        decimals=0,
        time_from=stats.NEWEST_HOURS,
    )


def board(say: Say) -> Board:
    """The page."""
    device = link(say, "device", say("Xem trạm", "The station"), HERE, STATION_HERE)
    day = measurement_name(Measurement.WATER_SUPPLY, Scope.DEVICE, Width.DAY)
    label = shipped().vn_wqi.label
    nothing = say("Xã chưa có đồng hồ nước báo về", "No water meter reports")
    return Board(
        "water",
        say("Nước của xã", "Water of a commune"),
        say("Nước sông, kênh và nước cấp có đạt giới hạn không.", "Do river, canal and piped water keep their limits?"),
        (
            Row(say("Sông, kênh: hiện nay", "Rivers and canals: now")),
            stats.water_gauge(say, *STATION).sized(6, 8),
            sub_indices(say).sized(6, 8),
            Panel(
                "timeseries",
                say("Điểm chất lượng nước theo giờ", "Index of the water by the hour"),
                say(
                    f"100 là tốt nhất: {label.vi}; đường có tên VN_WQI là chỉ số chính thức.",
                    f"100 is best: {label.en}; lines named VN_WQI are the official index.",
                ),
                tuple(
                    Query(
                        select(
                            f'mean("{field}")',
                            Table.INDEX,
                            *STATION,
                            group='time($__interval), "device" fill(none)',
                        ),
                        alias=alias,
                    )
                    for field, alias in ((stats.WQI_PARTIAL, "$tag_device"), (VN_WQI, "$tag_device VN_WQI"))
                ),
                scales.COUNT,
                scales.water_scale(say),
                (device,),
                say("Không có trạm nước nào báo về", "No water station reports"),
                width=12,
                low=0.0,
                high=100.0,
                decimals=0,
                custom={"thresholdsStyle": {"mode": "line"}},
            ),
            Row(say("Sông, kênh: từng thông số", "Rivers and canals: each property")),
            *(trend(say, name, scale_of(name, say), (device,)) for name in RIVER),
            Row(say("Nước cấp", "Piped water")),
            *(piped(say, name) for name in PIPED),
            Panel(
                "timeseries",
                say("Lượng nước mỗi ngày", "Water a day"),
                say("Lượng nước đồng hồ đếm được mỗi ngày.", "What the meters counted each day."),
                (by_day(f'sum("{field_name("volume", Statistic.INCREASE)}")', day, COMMUNE, by="device"),),
                scales.unit_of("volume"),
                scales.plain(say),
                (device,),
                nothing,
                width=12,
                custom=BARS,
                time_from="30d",
            ),
            Panel(
                "timeseries",
                say("Lưu lượng nhỏ nhất trong ngày", "Least flow of the day"),
                say(
                    "Thường là lúc nửa đêm về sáng; tăng dần qua các ngày là dấu hiệu rò rỉ.",
                    "Usually in the small hours; if it rises from day to day, a leak is likely.",
                ),
                (by_day(f'min("{field_name("flow", Statistic.MIN)}")', day, COMMUNE, by="device"),),
                scales.unit_of("flow"),
                scales.plain(say),
                (device,),
                nothing,
                width=12,
                time_from="30d",
            ),
        ),
        (
            commune_variable(say),
            device_variable(say, Measurement.WATER_QUALITY, say("Trạm nước", "Station"), several=True),
        ),
        since="now-48h",
        alerts=(COMMUNE,),
    )
