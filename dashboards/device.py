"""One device: everything it says now, one value over time, how far it can be trusted, and its ledger."""

from collections.abc import Sequence

from dashboards import scales
from dashboards.alert_tables import newest_rows, of_device
from dashboards.board import HERE, Board, Row, Variable, commune_variable, device_variable, link
from dashboards.panels import BARS, Column, Link, Panel, hide_time
from dashboards.queries import COMMUNE, DEVICE, HOURS_DAYS, READINGS_DAYS, Query, Source, ladder, last, select
from dashboards.scales import Named
from dashboards.texts import Say
from devices.rollup_names import COMPLETENESS, QUALITY, Scope, Statistic, Width, measurement_name
from devices.storage import LedgerHour, Table
from devices.vocabulary import VOCABULARY

THIS = (COMMUNE, DEVICE)
DOMAINS = tuple(dict.fromkeys(entry.measurement for entry in VOCABULARY.values()))
"""Measurements that hold readings; a property is in one of them only."""
SINCE_READINGS, BEFORE_HOURS = f"time >= now() - {READINGS_DAYS}d", f"time < now() - {HOURS_DAYS}d"
SINCE_HOURS = (f"time >= now() - {HOURS_DAYS}d", f"time < now() - {READINGS_DAYS}d")
"""What is asked of readings, of daily and of hourly roll-ups, as in ``queries.ladder``."""
NOT_CHOSEN = {"latitude", "longitude", "online"}


def newest_values(say: Say) -> Panel:
    """Every property of the vocabulary that the device has said lately, one a row."""
    queries = []
    for domain in DOMAINS:
        entries = [entry for entry in VOCABULARY.values() if entry.measurement is domain]
        what = ", ".join(f'last("{entry.name}") AS "{say.labelled(entry.name)}"' for entry in entries)
        queries.append(Query(select(what, domain, *THIS), table=True))
    return Panel(
        "table",
        say("Giá trị mới nhất", "Newest values"),
        say("Mọi giá trị thiết bị đã báo trong 24 giờ qua.", "Everything the device has said within 24 hours."),
        tuple(queries),
        scales.COUNT,
        scales.plain(say),
        (link(say, "commune", say("Về trang xã", "The commune"), HERE),),
        say("Thiết bị không báo gì trong 24 giờ qua", "The device has said nothing for 24 hours"),
        width=8,
        height=14,
        decimals=2,
        columns=(
            Column("Field", say("Đại lượng", "Property")),
            Column("Last *", say("Giá trị", "Value"), width=120),
        ),
        transformations=(hide_time(), *newest_rows()),
        time_from="24h",
    )


def one_value(say: Say) -> Panel:
    """The property chosen: mean, least and greatest, over any span of time."""

    def rung(fields: Sequence[str], places: Sequence[str], *span: str, fill: str) -> str:
        what = ", ".join(
            f'{how}("{field}") AS "{how}"' for how, field in zip(("mean", "min", "max"), fields, strict=True)
        )
        return everywhere(what, places, *span, group=f"time($__interval) fill({fill})")

    stored = [f"${{property}}_{statistic}" for statistic in (Statistic.MEAN, Statistic.MIN, Statistic.MAX)]
    return Panel(
        "timeseries",
        say("Một đại lượng theo thời gian: ${property:text}", "One property over time: ${property:text}"),
        say(
            "Chọn đại lượng ở đầu trang; đơn vị ghi trong tên. 7 ngày gần nhất là số đo, trước đó là giờ (h) và ngày (d).",
            "Choose the property above; its unit is in its name. Readings for 7 days, before that hours (h) and days (d).",
        ),
        (
            Query(rung(["${property}"] * 3, DOMAINS, SINCE_READINGS, fill="null"), alias="$col"),
            Query(
                rung(stored, rolled(Width.HOUR), *SINCE_HOURS, fill="none"),
                Source.ROLLUPS,
                alias="$col (h)",
            ),
            Query(
                rung(stored, rolled(Width.DAY), BEFORE_HOURS, fill="none"),
                Source.ROLLUPS,
                alias="$col (d)",
            ),
        ),
        scales.COUNT,
        scales.plain(say),
        (link(say, "commune", say("Về trang xã", "The commune"), HERE),),
        say(
            "Thiết bị không đo đại lượng này; hãy chọn đại lượng khác", "The device does not measure it; choose another"
        ),
        width=16,
        height=14,
    )


def everywhere(what: str, places: Sequence[str], *span: str, group: str) -> str:
    """A question about this device, asked of several measurements at once: it is in few of them."""
    sources = ", ".join(f'"{place}"' for place in places)
    where = " AND ".join((*THIS, "$timeFilter", *span))
    return f"SELECT {what} FROM {sources} WHERE {where} GROUP BY {group}"


def rolled(width: Width) -> list[str]:
    """Roll-ups of the device, by what it measures."""
    return [measurement_name(domain, Scope.DEVICE, width) for domain in DOMAINS]


def timeline(
    say: Say, title: str, description: str, queries: tuple[Query, ...], names: Sequence[Named], links: tuple[Link, ...]
) -> Panel:
    """A number that stands for a word, over time; the worst of each interval counts."""
    return Panel(
        "state-timeline",
        title,
        description,
        queries,
        scales.COUNT,
        scales.scale_of_names(names),
        links,
        say("Thiết bị không báo gì trong thời gian này", "The device has said nothing in this time"),
        width=12,
        height=6,
        names=names,
    )


def board(say: Say) -> Board:
    """The page."""
    up = (link(say, "commune", say("Về trang xã", "The commune"), HERE),)
    gateway = (link(say, "gateway", say("Xem cổng dữ liệu", "The gateway")),)
    ledger = ", ".join(f'sum("{name}") AS "{name}"' for name in LedgerHour._fields)
    words = {
        "received": say("nhận", "received"),
        "kept": say("giữ", "kept"),
        "refused": say("từ chối", "refused"),
        "repeated": say("lặp", "repeated"),
        "missing": say("mất trên đường", "lost on the way"),
    }
    worst = f'max("{COMPLETENESS}")'
    complete = (
        Query(
            everywhere(worst, rolled(Width.HOUR), SINCE_HOURS[0], group="time($__interval) fill(none)"),
            Source.ROLLUPS,
            alias="$measurement",
        ),
        Query(
            everywhere(worst, rolled(Width.DAY), BEFORE_HOURS, group="time($__interval) fill(none)"),
            Source.ROLLUPS,
            alias="$measurement",
        ),
    )
    flagged = tuple(
        Query(
            everywhere(f'max("{QUALITY}")', places, *span, group="time($__interval) fill(none)"),
            source,
            alias="$measurement",
        )
        for places, span, source in (
            (DOMAINS, (SINCE_READINGS,), Source.READINGS),
            (rolled(Width.HOUR), SINCE_HOURS, Source.ROLLUPS),
            (rolled(Width.DAY), (BEFORE_HOURS,), Source.ROLLUPS),
        )
    )
    timed = Query(
        everywhere('max("clock")', DOMAINS, SINCE_READINGS, group="time($__interval) fill(none)"), alias="$measurement"
    )
    states = scales.conditions(say)

    def radio(field: str) -> Panel:
        return Panel(
            "timeseries",
            say.name(field),
            say("Số đo của chính thiết bị.", "What the device says of itself."),
            ladder(field, say.name(field), *THIS),
            scales.unit_of(field),
            scales.plausible_scale(field, say),
            up,
            say("Thiết bị không báo đại lượng này", "The device does not say it"),
            width=12,
            height=6,
        )

    chosen = tuple(
        (say.labelled(entry.name).replace(",", ";").replace(" : ", " "), entry.name)
        for entry in VOCABULARY.values()
        if entry.name not in NOT_CHOSEN
    )
    return Board(
        "device",
        say("Một thiết bị", "One device"),
        say("Mọi điều về một thiết bị: số đo, độ tin cậy, sóng, pin, sổ cái.", "Everything about one device."),
        (
            Row("${device}"),
            Panel(
                "stat",
                say("Tình trạng", "State"),
                say("Tình trạng hiện nay của thiết bị.", "How the device is now."),
                (Query(select(last("state"), Table.DEVICE, *THIS), table=True),),
                scales.COUNT,
                scales.scale_of_names(states),
                up,
                say("Thiết bị chưa có trong hệ thống", "The device is not known here"),
                width=8,
                height=4,
                names=states,
                columns=(Column("Time", hidden=True),),
                time_from="3h",
            ),
            Panel(
                "stat",
                say("Mức đầy đủ số liệu", "Completeness"),
                say(
                    "Tỷ lệ tin đã về so với số tin phải có, giờ gần nhất.",
                    "Share of the expected uplinks that came, latest hour.",
                ),
                complete,
                scales.SHARE,
                scales.more(0.75, 0.9, say),
                gateway,
                say("Chưa hết giờ đầu tiên", "No hour is over yet"),
                width=8,
                height=4,
                low=0.0,
                high=1.0,
                decimals=0,
            ),
            Panel(
                "stat",
                say("Tin bị từ chối", "Refused uplinks"),
                say(
                    "Số tin cổng dữ liệu không hiểu được trong thời gian đang xem.",
                    "Uplinks the gateway could not use, in the time shown.",
                ),
                (Query(select('sum("refused") AS "refused"', Table.LEDGER_HOUR, *THIS), Source.ROLLUPS, table=True),),
                scales.COUNT,
                scales.fewer(1, 100, say),
                gateway,
                "0",
                width=8,
                height=4,
                columns=(Column("Time", hidden=True),),
            ),
            newest_values(say),
            one_value(say),
            Row(say("Có tin được không", "Can it be trusted")),
            timeline(
                say,
                say("Chất lượng số liệu", "Quality of the data"),
                say(
                    "Đánh giá của cổng dữ liệu; số liệu đáng ngờ vẫn được giữ.",
                    "As the gateway judges it; doubtful data is kept.",
                ),
                flagged,
                scales.qualities(say),
                up,
            ),
            timeline(
                say,
                say("Đồng hồ", "Clock"),
                say(
                    "Giờ của số đo lấy từ đâu; đồng hồ sai thì lấy giờ nhận tin.",
                    "Whose clock the times are from; a wrong one is not used.",
                ),
                (timed,),
                scales.clocks(say),
                up,
            ),
            Row(say("Đường truyền và pin", "Radio and battery")),
            radio("rssi"),
            radio("battery"),
            Panel(
                "timeseries",
                say("Sổ cái của thiết bị", "Ledger of the device"),
                say(
                    "Số tin nhận = giữ + từ chối + lặp, theo giờ nhận; mất trên đường: theo số thứ tự của thiết bị.",
                    "Received = kept + refused + repeated, by hour of receipt; lost on the way: by the device's own numbers.",
                ),
                (
                    Query(
                        select(ledger, Table.LEDGER_HOUR, *THIS, group="time(1h) fill(none)"),
                        Source.ROLLUPS,
                        alias="$col",
                    ),
                ),
                scales.COUNT,
                scales.plain(say),
                gateway,
                say("Chưa hết giờ đầu tiên", "No hour is over yet"),
                width=12,
                custom=BARS,
                columns=tuple(Column(name, title) for name, title in words.items()),
            ),
            Panel(
                "timeseries",
                say("Mức đầy đủ theo giờ", "Completeness by the hour"),
                say("Tỷ lệ tin đã về so với số tin phải có.", "Share of the expected uplinks that came."),
                complete,
                scales.SHARE,
                scales.more(0.75, 0.9, say),
                gateway,
                say("Chưa hết giờ đầu tiên", "No hour is over yet"),
                width=12,
                low=0.0,
                high=1.0,
            ),
            of_device(say, *THIS),
        ),
        (
            commune_variable(say),
            device_variable(say),
            Variable("property", say("Đại lượng", "Property"), choices=chosen),
        ),
        alerts=THIS,
    )
