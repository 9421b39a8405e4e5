"""Air of a commune: VN_AQI with the decision's colours, what decides it, particles, gases, weather, the calendar."""

from dashboards import scales, stats
from dashboards.board import HERE, STATION_HERE, Board, Row, commune_variable, device_variable, link
from dashboards.panels import Link, Panel
from dashboards.queries import COMMUNE, DEVICE, VIETNAM, Query, ladder, select
from dashboards.scales import Scale, Step
from dashboards.texts import Say
from devices.index_names import DAY, VN_AQI
from devices.standards import shipped
from devices.storage import Table
from devices.vocabulary import Measurement

STATION = (COMMUNE, DEVICE)
GASES = ("o3", "no2", "so2", "co")
WEATHER = ("air_temperature", "relative_humidity", "wind_speed", "air_pressure")


def particle_scale(property_name: str, say: Say) -> Scale:
    """The limit of the daily mean; there is none for an hour, so it is no alarm."""
    limit = scales.air_day_limit(property_name)
    if limit is None:
        return scales.plausible_scale(property_name, say)
    return (
        Step(None, scales.GREEN, say("dưới giới hạn trung bình ngày", "below the limit of the daily mean")),
        Step(limit, scales.ORANGE, say("trên giới hạn trung bình ngày (QCVN 05:2023)", "above it (QCVN 05:2023)")),
    )


def trend(say: Say, property_name: str, scale: Scale, links: tuple[Link, ...], *, width: int = 12) -> Panel:
    """One property of the station chosen, over any span of time."""
    return Panel(
        "timeseries",
        say.name(property_name),
        say(
            "Số đo trong 7 ngày gần nhất, trước đó là trung bình giờ (h), trước 60 ngày là trung bình ngày (d).",
            "Readings of the last 7 days, before that hourly means (h), before 60 days daily means (d).",
        ),
        ladder(property_name, say.name(property_name), *STATION, by="device"),
        scales.unit_of(property_name),
        scale,
        links,
        say("Trạm này không đo đại lượng này, hoặc đang im lặng", "This station does not measure it, or is silent"),
        width=width,
    )


def calendar(say: Say, *conditions: str) -> Panel:
    """The daily index of each station, one box a day."""
    group = f'time(1d, {VIETNAM}), "device" fill(none)'
    return Panel(
        "status-history",
        say("Lịch VN_AQI theo ngày", "Calendar of the daily VN_AQI"),
        say(
            "Mỗi ô là một ngày của một trạm; màu theo mức chất lượng không khí.",
            "Each box is a day of a station, coloured by the level of the air.",
        ),
        (Query(select(f'last("{VN_AQI}{DAY}")', Table.INDEX, *conditions, group=group), alias="$tag_device"),),
        scales.COUNT,
        scales.air_scale(say),
        (link(say, "air", say("Xem không khí", "Air"), *([HERE] if conditions else [])),),
        say("Chưa hết ngày đầu tiên có đủ số liệu", "No day is complete yet"),
        width=24,
        decimals=0,
        time_from="60d",
    )


def sub_index(pollutant: str) -> str:
    """The field of a pollutant's sub-index."""
    return f"{VN_AQI}_{pollutant}"


def sub_indices(say: Say) -> Panel:
    """The sub-index of each pollutant."""
    names = {pollutant.property: pollutant.name for pollutant in shipped().vn_aqi.pollutants}
    selected = ", ".join(f'last("{sub_index(key)}") AS "{name}"' for key, name in names.items())
    return Panel(
        "bargauge",
        say("Chỉ số từng chất", "Sub-indices"),
        say(
            "VN_AQI của từng chất trong giờ gần nhất; chất cao nhất quyết định.",
            "VN_AQI of each pollutant in the latest hour; the greatest decides.",
        ),
        (Query(select(selected, Table.INDEX, *STATION), alias="$col"),),
        scales.COUNT,
        scales.air_scale(say),
        (link(say, "device", say("Xem trạm", "The station"), HERE, STATION_HERE),),
        say("Chưa có chỉ số", "There is no index yet"),
        low=0.0,
        high=300.0,
        decimals=0,
        time_from=stats.NEWEST_HOURS,
    )


def board(say: Say) -> Board:
    """The page."""
    device = link(say, "device", say("Xem trạm", "The station"), HERE, STATION_HERE)
    hourly = Query(
        select(f'mean("{VN_AQI}")', Table.INDEX, *STATION, group='time($__interval), "device" fill(none)'),
        alias="$tag_device",
    )
    levels = "\n".join(
        f"- **{say.of(level.name)}** ({level.low}–{level.high}): {say.of(level.effect)} {say.of(level.everyone)}"
        for level in shipped().vn_aqi.levels
    )
    return Board(
        "air",
        say("Không khí của xã", "Air of a commune"),
        say("Không khí thế nào, do chất gì, cần khuyên dân điều gì.", "How the air is, why, and what to tell people."),
        (
            Row(say("Hiện nay", "Now")),
            stats.air_gauge(say, *STATION).sized(6, 8),
            stats.deciding_pollutant(say, *STATION).sized(4, 8),
            sub_indices(say).sized(6, 8),
            Panel(
                "text",
                say("Nên khuyên dân điều gì", "What to tell people"),
                say("Ý nghĩa của từng mức VN_AQI.", "What each level means."),
                (),
                scales.COUNT,
                (),
                (device,),
                "",
                options={"mode": "markdown", "content": levels},
                width=8,
            ),
            Panel(
                "timeseries",
                say("VN_AQI theo giờ", "Hourly VN_AQI"),
                say("Chỉ số của từng giờ; vạch màu là các mức.", "The index of each hour; the lines are the levels."),
                (hourly,),
                scales.COUNT,
                scales.air_scale(say),
                (device,),
                say("Chưa đủ số liệu bụi PM10 hoặc PM2.5", "Not enough PM10 or PM2.5 yet"),
                width=12,
                decimals=0,
                custom={"thresholdsStyle": {"mode": "line"}},
            ),
            Panel(
                "timeseries",
                say("NowCast của bụi", "NowCast of particles"),
                say(
                    "Chỉ số giờ của PM2.5 và PM10, tính từ trung bình có trọng số 12 giờ (NowCast).",
                    "Hourly sub-index of PM2.5 and PM10, made from the weighted mean of 12 hours (NowCast).",
                ),
                tuple(
                    Query(
                        select(
                            f'mean("{sub_index(name)}")',
                            Table.INDEX,
                            *STATION,
                            group='time($__interval), "device" fill(none)',
                        ),
                        alias=f"{say.name(name)} $tag_device",
                    )
                    for name in ("pm2_5", "pm10")
                ),
                scales.COUNT,
                scales.air_scale(say),
                (device,),
                say("Chưa đủ ba giờ số liệu", "Fewer than three hours of data"),
                width=12,
                decimals=0,
            ),
            calendar(say, *STATION).sized(24, 5),
            Row(say("Bụi", "Particles")),
            *(trend(say, name, particle_scale(name, say), (device,)) for name in ("pm2_5", "pm10")),
            Row(say("Khí", "Gases")),
            *(trend(say, name, scales.plausible_scale(name, say), (device,)) for name in GASES),
            Row(say("Thời tiết", "Weather")),
            *(trend(say, name, scales.plausible_scale(name, say), (device,)) for name in WEATHER),
        ),
        (
            commune_variable(say),
            device_variable(say, Measurement.AIR_QUALITY, say("Trạm", "Station"), several=True),
        ),
        since="now-48h",
        alerts=(COMMUNE,),
    )
