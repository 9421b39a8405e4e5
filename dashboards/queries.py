"""InfluxQL of the panels, in the portable subset alone, and the two data sources it is asked of."""

from enum import StrEnum
from typing import NamedTuple

from devices.rollup_names import Scope, Statistic, Width, field_name, measurement_name
from devices.vocabulary import VOCABULARY


class Source(StrEnum):
    """uid of a data source; both are provisioned."""

    READINGS = "village"
    ROLLUPS = "village-rollup"


class Query(NamedTuple):
    """One question of a panel."""

    text: str
    source: Source = Source.READINGS
    table: bool = False
    """Rows and columns instead of series over time."""
    alias: str = ""
    """Name of the series, ``$tag_device`` for example."""


COMMUNE = '"commune" =~ /^$commune$/'
DEVICE = '"device" =~ /^$device$/'
"""Conditions on the template variables: the browser escapes their values for a regular expression."""
NAME = "_name"
"""Ending of a column that shows a tag in words. Grafana fills links with what a column shows, so each such tag is asked
for twice: links are filled from the hidden column."""

READINGS_DAYS, HOURS_DAYS = 7, 60
"""Readings are asked for so many days back, hourly roll-ups beyond that, daily ones beyond the second number."""
VIETNAM = "-7h"
"""Offset of calendar days, in ``GROUP BY time(1d, -7h)``; needs no zone tables on the server."""
SPAN_NULLS = 7_200_000
"""[ms] A longer gap of readings is shown as a gap."""


def select(what: str, measurement: str, *conditions: str, group: str = "") -> str:
    """One statement over the time that the dashboard shows.

    >>> select('last("state")', "device", COMMUNE, group='"device"')
    'SELECT last("state") FROM "device" WHERE "commune" =~ /^$commune$/ AND $timeFilter GROUP BY "device"'
    """
    where = " AND ".join((*conditions, "$timeFilter"))
    return f'SELECT {what} FROM "{measurement}" WHERE {where}' + (f" GROUP BY {group}" if group else "")


def named(*tags: str) -> str:
    """Tags for links and, under other names, to be shown.

    >>> named("device")
    '"device", "device" AS "device_name"'
    """
    return ", ".join(f'"{tag}", "{tag}" AS "{tag}{NAME}"' for tag in tags)


def last(*fields: str) -> str:
    """The newest of some fields, each under its own name."""
    return ", ".join(f'last("{field}") AS "{field}"' for field in fields)


def ladder(property_name: str, title: str, *conditions: str, by: str = "") -> tuple[Query, Query, Query]:
    """A property over any span of time: readings, before that hourly means, before that daily means.

    Each question is bounded by itself, so that a year costs no more than its 365 daily values.

    Args:
        property_name: in the vocabulary.
        title: name of the series.
        conditions: on tags.
        by: a tag, for one series each.
    """
    measurement, mean = VOCABULARY[property_name].measurement, field_name(property_name, Statistic.MEAN)
    tag = f', "{by}"' if by else ""
    name = f"{title} $tag_{by}" if by else title

    def rung(field: str, place: str, span: str, fill: str) -> str:
        return select(f'mean("{field}")', place, *conditions, span, group=f"time($__interval){tag} fill({fill})")

    hour, day = (measurement_name(measurement, Scope.DEVICE, width) for width in (Width.HOUR, Width.DAY))
    newer, older = f"now() - {READINGS_DAYS}d", f"now() - {HOURS_DAYS}d"
    return (
        Query(rung(property_name, measurement, f"time >= {newer}", "null"), alias=name),
        Query(rung(mean, hour, f"time >= {older} AND time < {newer}", "none"), Source.ROLLUPS, alias=f"{name} (h)"),
        Query(rung(mean, day, f"time < {older}", "none"), Source.ROLLUPS, alias=f"{name} (d)"),
    )


def hours_and_days(
    what: str, measurement: str, scope: Scope, title: str, *conditions: str, by: str = ""
) -> tuple[Query, Query]:
    """A roll-up over any span of time: hourly, before that daily.

    Args:
        what: the selection, which is the same for both widths.
        measurement: whose roll-ups.
        scope: whom one line stands for.
        title: name of the series.
        conditions: on tags.
        by: a tag, for one series each.
    """
    hour, day = (
        f"{measurement}_{width}" if scope is Scope.DEVICE else f"{measurement}_{scope}_{width}" for width in Width
    )
    tag = f', "{by}"' if by else ""
    name = f"{title} $tag_{by}".strip() if by else title
    older = f"now() - {HOURS_DAYS}d"
    group = f"time($__interval){tag} fill(none)"
    return (
        Query(select(what, hour, *conditions, f"time >= {older}", group=group), Source.ROLLUPS, alias=name),
        Query(select(what, day, *conditions, f"time < {older}", group=group), Source.ROLLUPS, alias=f"{name} (d)"),
    )  # fmt: skip


def circuits_then_commune(
    what: str, measurement: str, title: str, whole: str, *conditions: str
) -> tuple[Query, Query, Query]:
    """Roll-ups of every circuit for as long as readings are shown, before that of the commune: 125 lines of a year
    say nothing to anybody, and cost seconds.

    Args:
        what: the selection.
        measurement: whose roll-ups.
        title: name of the series before the circuit's.
        whole: what the commune's series is called.
        conditions: on tags.
    """
    newer = f"now() - {READINGS_DAYS}d"
    circuits = select(
        what, f"{measurement}_{Scope.GROUP}_{Width.HOUR}", *conditions, f"time >= {newer}",
        group='time($__interval), "group" fill(none)',
    )  # fmt: skip
    hours, days = hours_and_days(
        what, measurement, Scope.COMMUNE, f"{title} {whole}".strip(), *conditions, f"time < {newer}"
    )
    return Query(circuits, Source.ROLLUPS, alias=f"{title} $tag_group".strip()), hours, days


def by_day(what: str, measurement: str, *conditions: str, by: str = "", alias: str = "") -> Query:
    """One value a Vietnamese calendar day, from a measurement of days."""
    tag = f', "{by}"' if by else ""
    text = select(what, measurement, *conditions, group=f"time(1d, {VIETNAM}){tag} fill(none)")
    return Query(text, Source.ROLLUPS, alias=alias or (f"$tag_{by}" if by else ""))


def tag_values(key: str, measurement: str, condition: str = "", days: int = 30) -> str:
    """The values of a tag that were seen lately; without a time 3.x looks back a day only."""
    where = f"{condition} AND " if condition else ""
    return f'SHOW TAG VALUES FROM "{measurement}" WITH KEY = "{key}" WHERE {where}time > now() - {days}d'
