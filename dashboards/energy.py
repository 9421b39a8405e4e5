"""Energy of street lighting by the day: what was used, what that cost, what was saved against a baseline."""

from dashboards import scales
from dashboards.board import link
from dashboards.panels import BARS, Column, Link, Panel
from dashboards.queries import COMMUNE, Query, Source, by_day, select
from dashboards.texts import Say
from devices.alert_names import NOBODY
from devices.standards import shipped
from devices.storage import Table

OF_COMMUNES, OF_CABINETS = f"\"device\" = '{NOBODY}'", f"\"device\" != '{NOBODY}'"
"""Which lines of a day's energy: the commune's, metered once, or those of its cabinets."""


def day_before(say: Say, query: Query, title: str, description: str, unit: str, page: str = "lighting") -> Panel:
    """One figure of the newest day that is over."""
    return Panel(
        "stat",
        title,
        description,
        (query,),
        unit,
        scales.plain(say),
        (link(say, page, say("Xem chi tiết", "Details")),),
        say("Chưa hết ngày đầu tiên, hoặc chưa đặt mốc so sánh", "No day is over yet, or no baseline is set"),
        columns=(Column("Time", hidden=True),),
        time_from="3d",
        decimals=0,
    )


def used(say: Say, *conditions: str) -> Panel:
    """Energy of the newest day, metered at the cabinets."""
    return day_before(
        say,
        by_day('sum("energy") AS "energy"', Table.LIGHTING_DAY, *conditions, OF_COMMUNES, alias="$col"),
        say("Điện chiếu sáng hôm qua", "Lighting energy yesterday"),
        say("Điện các tuyến đèn đã dùng, đo tại tủ.", "What the circuits used, metered at the cabinets."),
        "kwatth",
    )


def saved(say: Say, field: str, *conditions: str, page: str = "lighting") -> Panel:
    """What was saved in the newest day against the baseline of the settings.

    Args:
        say: the language.
        field: of ``LightingDay``.
        conditions: on tags.
        page: where to go on.
    """
    energy = shipped().energy
    year, factor = energy.emission.factor(energy.emission.default_year)
    price = energy.prices[-1]
    title, how, unit = {
        "saved_energy": (
            say("Tiết kiệm hôm qua", "Saved yesterday"),
            say("Mốc so sánh trong cài đặt trừ điện đo được.", "The baseline of the settings less what was metered."),
            "kwatth",
        ),
        "saved_cost": (
            say("Tiền điện giảm hôm qua", "Money saved yesterday"),
            say(
                f"Trước thuế, {price.vnd_per_kwh:g} đ/kWh từ {price.since}.",
                f"Before tax, {price.vnd_per_kwh:g} VND/kWh since {price.since}.",
            ),
            scales.MONEY,
        ),
        "saved_co2": (
            say("CO2 giảm hôm qua", "CO2 avoided yesterday"),
            say(
                f"Điện tiết kiệm nhân {decimal(factor)} kg/kWh (lưới điện {year}).",
                f"Saved energy times {factor:g} kg/kWh (grid of {year}).",
            ),
            "masskg",
        ),
    }[field]
    inner = select(f'last("{field}") AS "x"', Table.LIGHTING_DAY, *conditions, group='"commune"')
    query = Query(f'SELECT sum("x") AS "{field}" FROM ({inner})', Source.ROLLUPS, table=True)
    return day_before(say, query, title, how, unit, page)


def days(say: Say, there: Link) -> tuple[Panel, ...]:
    """What each cabinet used day by day, what that cost, and its CO2; ``there`` is where to go on."""
    price, emission = shipped().energy.prices[-1].vnd_per_kwh, shipped().energy.emission
    factor = emission.factors[emission.default_year]

    def daily(title: str, description: str, what: str, unit: str, by: str = "") -> Panel:
        lines = OF_CABINETS if by else OF_COMMUNES
        return Panel(
            "timeseries",
            title,
            description,
            (by_day(what, Table.LIGHTING_DAY, COMMUNE, lines, by=by, alias="" if by else title),),
            unit,
            scales.plain(say),
            (there,),
            say("Chưa hết ngày đầu tiên", "No day is over yet"),
            width=12,
            custom=BARS | {"stacking": {"group": "A", "mode": "normal"}},
            time_from="30d",
        )

    return (
        daily(
            say("Điện năng theo tủ", "Energy by cabinet"),
            say("kWh mỗi ngày của từng tủ.", "kWh a day of each cabinet."),
            'sum("energy")',
            "kwatth",
            by="device",
        ),
        daily(
            say("Tiền điện mỗi ngày", "Cost a day"),
            say(f"Trước thuế, giá hiện hành {price:g} đ/kWh.", f"Before tax, at today's {price:g} VND/kWh."),
            f'sum("energy") * {price:g}',
            scales.MONEY,
        ),
        daily(
            say("CO2 mỗi ngày", "CO2 a day"),
            say(
                f"Điện nhân hệ số {decimal(factor)} kg/kWh ({emission.source.document}).",
                f"Energy times {factor:g} kg/kWh ({emission.source.document}).",
            ),
            f'sum("energy") * {factor:g}',
            "masskg",
        ),
    )


def decimal(number: float) -> str:
    """A number as Vietnamese write it.

    >>> decimal(0.6592)
    '0,6592'
    """
    return f"{number:g}".replace(".", ",")
