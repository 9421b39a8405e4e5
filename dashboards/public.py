"""What everybody may see: air and water of the communes and the lamps that work; no variables, no devices' troubles."""

from dataclasses import replace

from dashboards import scales, stats
from dashboards.board import Board, Row, link
from dashboards.energy import saved
from dashboards.lighting import working
from dashboards.panels import Column, Link, Panel
from dashboards.queries import VIETNAM, Query, select
from dashboards.texts import Say
from devices.index_names import DAY, VN_AQI
from devices.standards import shipped
from devices.storage import Table


def _public(panel: Panel, here: Link) -> Panel:
    """Without a way into the staff's pages."""
    return replace(panel, links=(here,), data_link=None)


def board(say: Say) -> Board:
    """The page."""
    here = link(say, "public", say("Tải lại trang", "Load the page anew"))
    names = tuple(Column(code, name) for code, name in scales.commune_names().items())
    tables = shipped().vn_aqi
    levels = "\n".join(
        f"- **{say.of(level.name)}** ({level.low}–{level.high}): {say.of(level.everyone)} "
        f"{say('Người nhạy cảm', 'Sensitive people')}: {say.of(level.sensitive)}"
        for level in tables.levels
    )
    air = Panel(
        "bargauge",
        say("VN_AQI từng xã", "VN_AQI of each commune"),
        say(
            f"Chỉ số giờ cao nhất của xã trong bốn giờ qua; giá trị {tables.label.vi}.",
            f"The greatest hourly index of the last four hours; {tables.label.en}.",
        ),
        (Query(select(f'max("{VN_AQI}")', Table.INDEX, group='"commune"'), alias="$tag_commune"),),
        scales.COUNT,
        scales.air_scale(say),
        (here,),
        say("Chưa có chỉ số", "There is no index yet"),
        width=12,
        height=9,
        columns=names,
        low=0.0,
        decimals=0,
        time_from=stats.NEWEST_HOURS,
    )
    days = Panel(
        "status-history",
        say("Không khí 30 ngày qua", "The air of the last 30 days"),
        say("Mỗi ô là một ngày của một xã.", "Each box is a day of a commune."),
        (
            Query(
                select(f'max("{VN_AQI}{DAY}")', Table.INDEX, group=f'time(1d, {VIETNAM}), "commune" fill(none)'),
                alias="$tag_commune",
            ),
        ),
        scales.COUNT,
        scales.air_scale(say),
        (here,),
        say("Chưa hết ngày đầu tiên có đủ số liệu", "No day is complete yet"),
        width=24,
        height=7,
        columns=names,
        decimals=0,
        time_from="30d",
    )
    advice = Panel(
        "text",
        say("Nên làm gì", "What to do"),
        say("Ý nghĩa của từng mức VN_AQI.", "What each level means."),
        (),
        scales.COUNT,
        (),
        (here,),
        "",
        options={"mode": "markdown", "content": levels},
        width=12,
        height=9,
    )
    return Board(
        "public",
        say("Môi trường quê hương", "Our communes' environment"),
        say("Không khí, nước và đèn đường của các xã.", "Air, water and street lighting of the communes."),
        (
            Row(say("Hiện nay", "Now")),
            *(
                _public(panel, here).sized(6, 7)
                for panel in (stats.air_gauge(say), stats.water_gauge(say), working(say), saved(say, "saved_co2"))
            ),
            air,
            advice,
            days,
        ),
        refresh="5m",
        navigation=False,
        folder="public",
    )
