"""Street lighting of a commune: where lamps are dark, which circuits burn, what it costs."""

from dashboards import scales
from dashboards.alert_tables import firing_by_rule
from dashboards.board import HERE, Board, Row, commune_variable, link
from dashboards.energy import days, saved, used
from dashboards.maps import map_options
from dashboards.panels import BARS, Column, Link, Panel
from dashboards.queries import (
    COMMUNE,
    READINGS_DAYS,
    Query,
    Source,
    by_day,
    circuits_then_commune,
    hours_and_days,
    select,
)
from dashboards.stats import NEWEST_HOURS, POSITIONS
from dashboards.texts import Say
from devices.rollup_names import WORKING, Scope, Statistic, Width, field_name, measurement_name
from devices.standards import shipped
from devices.storage import Table
from devices.vocabulary import Measurement

LIGHT = Measurement.STREETLIGHT
GROUP_DAY = measurement_name(LIGHT, Scope.GROUP, Width.DAY)
WORKING_LAMPS = (0.9, 0.97)
"""Chosen: with 500 lamps the sixteenth dark one is a matter for the week, the fifty-first one for tonight."""


def working(say: Say, *conditions: str) -> Panel:
    """The share of lamps that burnt when they should."""
    hour = measurement_name(LIGHT, Scope.COMMUNE, Width.HOUR)
    return Panel(
        "stat",
        say("Tỷ lệ đèn hoạt động", "Lamps that work"),
        say("Tỷ lệ đèn sáng đúng lúc cần sáng, giờ gần nhất.", "Share of lamps burning when they should, latest hour."),
        (
            Query(
                select(f'mean("{WORKING}")', hour, *conditions, group="time(1h) fill(none)"),
                Source.ROLLUPS,
            ),
        ),
        scales.SHARE,
        scales.more(*WORKING_LAMPS, say),
        (link(say, "lighting", say("Xem đèn đường", "Street lighting"), *([HERE] if conditions else [])),),
        say("Chưa có số liệu giờ nào", "No hour is complete yet"),
        low=0.0,
        high=1.0,
        decimals=1,
        time_from=NEWEST_HOURS,
    )


def lamp_map(say: Say) -> Panel:
    """Every lamp and cabinet by its state."""
    names = scales.conditions(say)
    device = Link(say("Mở thiết bị", "Open the device"), device_url(say))
    # One selector: a newest value of each field, or a subquery, would cost this many devices a second.
    newest = select('last("state") AS "state", "latitude", "longitude"', Table.DEVICE, COMMUNE, group='"device"')
    return Panel(
        "geomap",
        say("Bản đồ thiết bị", "Map of devices"),
        say(
            "Mỗi chấm là một thiết bị; màu là tình trạng hiện nay.", "Each dot is a device, coloured by its state now."
        ),
        (Query(newest, table=True),),
        scales.COUNT,
        scales.scale_of_names(names),
        (link(say, "device", say("Xem một thiết bị", "One device"), HERE),),
        say("Chưa thiết bị nào có tọa độ trong danh sách thiết bị", "No device has a position in the fleet"),
        width=16,
        height=14,
        names=names,
        columns=(
            Column("device", say("Thiết bị", "Device"), unit="string"),
            Column("state", say("Tình trạng", "State"), names=names),
        ),
        options=map_options("state"),
        data_link=device,
        time_from=POSITIONS,
    )


def device_url(say: Say) -> str:
    """The page of the device in the row or under the pointer."""
    return f"/d/{say.uid('device')}?${{__url_time_range}}&{HERE}&var-device=${{__data.fields.device}}"


def circuits_lit(say: Say) -> Panel:
    """Which share of each circuit's lamps burnt, hour by hour."""
    hour = measurement_name(LIGHT, Scope.GROUP, Width.HOUR)
    field = field_name("lamp_on", Statistic.MEAN)
    scale = (
        scales.Step(None, "#1F1F1F", say("tối", "dark")),
        scales.Step(0.05, scales.ORANGE, say("sáng một phần", "partly lit")),
        scales.Step(0.9, scales.YELLOW, say("sáng cả tuyến", "the whole circuit is lit")),
    )
    return Panel(
        "state-timeline",
        say("Tuyến đèn sáng theo giờ", "Circuits lit, by the hour"),
        say(
            "Tỷ lệ đèn sáng của từng tủ đèn trong mỗi giờ của 7 ngày qua; ban ngày phải tối.",
            "Share of lamps burning per cabinet and hour of 7 days; by day it must be dark.",
        ),
        (
            Query(
                select(
                    f'mean("{field}")',
                    hour,
                    COMMUNE,
                    f"time >= now() - {READINGS_DAYS}d",
                    group='time($__interval), "group" fill(none)',
                ),
                Source.ROLLUPS,
                alias="$tag_group",
            ),
        ),
        scales.SHARE,
        scale,
        (link(say, "commune", say("Về trang xã", "The commune"), HERE),),
        say(
            "Đèn không báo trạng thái bật tắt, hoặc chưa có tủ trong danh sách",
            "The lamps do not say whether they burn",
        ),
        width=24,
        height=8,
        decimals=0,
    )


def board(say: Say) -> Board:
    """The page."""
    power = field_name("power", Statistic.MEAN)
    volts = [field_name("voltage", statistic) for statistic in (Statistic.MIN, Statistic.MAX)]
    detect = shipped().lighting.detect
    nothing = say("Chưa hết ngày đầu tiên", "No day is over yet")
    device = link(say, "device", say("Xem một thiết bị", "One device"), HERE)
    lit = field_name("lamp_on", Statistic.MEAN)
    whole = say("cả xã", "commune")
    voltage_scale = (
        scales.Step(None, scales.RED, say("quá thấp", "too low")),
        scales.Step(detect.low_volts, scales.GREEN, say("bình thường", "fine")),
        scales.Step(detect.high_volts, scales.RED, say("quá cao", "too high")),
    )

    return Board(
        "lighting",
        say("Đèn đường của xã", "Street lighting of a commune"),
        say(
            "Đèn nào hỏng, tuyến nào sáng, tốn bao nhiêu điện.", "Which lamps fail, which circuits burn, what it costs."
        ),
        (
            Row(say("Hiện nay", "Now")),
            working(say, COMMUNE).sized(6, 5),
            used(say, COMMUNE).sized(6, 5),
            saved(say, "saved_energy", COMMUNE).sized(6, 5),
            saved(say, "saved_co2", COMMUNE).sized(6, 5),
            lamp_map(say),
            firing_by_rule(say, (LIGHT,), COMMUNE).sized(8, 14),
            Row(say("Tuyến đèn", "Circuits")),
            circuits_lit(say),
            Panel(
                "timeseries",
                say("Điện áp theo tuyến", "Voltage by circuit"),
                say(
                    "Điện áp thấp nhất và cao nhất tại đèn mỗi giờ: từng tuyến trong 7 ngày, trước đó cả xã.",
                    "Least and greatest voltage at the lamps: by circuit for 7 days, before that of the commune.",
                ),
                circuits_then_commune(
                    f'min("{volts[0]}") AS "min", max("{volts[1]}") AS "max"', LIGHT, "$col", whole, COMMUNE
                ),
                "volt",
                voltage_scale,
                (device,),
                say("Đèn không báo điện áp", "The lamps do not report it"),
                width=12,
                decimals=0,
                custom={"thresholdsStyle": {"mode": "line"}},
            ),
            Panel(
                "timeseries",
                say("Công suất trung bình một đèn", "Mean power of a lamp"),
                say(
                    "Công suất trung bình mỗi đèn, không tính tủ, kể cả khi giảm sáng: từng tuyến trong 7 ngày, trước đó cả xã.",
                    "Mean power of a lamp, without cabinets, dimming included: by circuit for 7 days, before that of the commune.",
                ),
                circuits_then_commune(f'mean("{power}")', LIGHT, "", whole, COMMUNE),
                "watt",
                scales.plain(say),
                (device,),
                say("Đèn không báo công suất", "The lamps do not report it"),
                width=12,
                decimals=0,
            ),
            Row(say("Điện năng và giờ sáng", "Energy and burning hours")),
            *days(say, device),
            Panel(
                "timeseries",
                say("Giờ sáng mỗi ngày", "Burning hours a day"),
                say(
                    "Số giờ sáng trung bình của đèn, theo tủ; khoảng 11 giờ là bình thường.",
                    "Mean burning hours of a lamp, by cabinet; about 11 are usual.",
                ),
                (by_day(f'mean("{lit}") * 24', GROUP_DAY, COMMUNE, by="group"),),
                "h",
                scales.plain(say),
                (device,),
                nothing,
                width=12,
                custom=BARS,
                time_from="30d",
            ),
            Panel(
                "timeseries",
                say("Tỷ lệ đèn hoạt động theo thời gian", "Lamps that work, over time"),
                say("Tỷ lệ đèn sáng đúng lúc theo từng giờ và từng ngày.", "Share of lamps burning when they should."),
                hours_and_days(f'mean("{WORKING}")', LIGHT, Scope.COMMUNE, say("hoạt động", "working"), COMMUNE),
                scales.SHARE,
                scales.more(*WORKING_LAMPS, say),
                (device,),
                nothing,
                width=12,
                low=0.0,
                high=1.0,
            ),
        ),
        (commune_variable(say),),
        alerts=(COMMUNE,),
    )
