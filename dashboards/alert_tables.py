"""What fires now and what fired before, as tables in words; the words are those of the alert rules."""

from collections.abc import Sequence

from dashboards import scales
from dashboards.board import HERE, link
from dashboards.panels import Column, Json, Link, Panel, hide_time
from dashboards.queries import NAME, Query, last, named, select
from dashboards.texts import Say
from devices.alert_names import CHECK, NOBODY, count_field
from devices.alert_rules import AlertRule, AlertState, Severity
from devices.standards import shipped
from devices.storage import Table
from devices.vocabulary import Measurement

SPAN = "90d"
"""Of one device, its few changes are read so far back."""
HISTORY_DAYS = 30
SINCE = f"time >= now() - {HISTORY_DAYS}d"
"""Changes are listed so far back, whatever the page shows: a year of them is for the API, not for a table."""
STANDING = "3h"
"""What fires now is told at least every hour."""
RECENT = "30m"
"""Far enough back for the counts, which are written every minute."""
COUNTS = f"\"device\" = '{NOBODY}'"
"""Lines that count a commune's alerts."""
DOMAINS = (
    (Measurement.STREETLIGHT,),
    (Measurement.WATER_QUALITY, Measurement.WATER_SUPPLY),
    (Measurement.AIR_QUALITY, Measurement.DEVICE),
)
"""Domains that fit into one table."""
CHECKED = ("threshold", "rate")
"""Kinds of rules on a value, which is doubtful sometimes."""


def rules_of(domains: Sequence[Measurement]) -> list[AlertRule]:
    """The rules of some domains, in their table's order."""
    return [rule for rule in shipped().alerts.rules if rule.domain in domains]


def columns_of(domains: Sequence[Measurement], say: Say) -> dict[str, str]:
    """Fields of alerts and what staff read over their columns."""
    found = {}
    for rule in rules_of(domains):
        found[rule.code] = say.of(rule.title)
        if rule.kind in CHECKED:
            found[rule.code + CHECK] = f"{say.of(rule.title)} (?)"
    return found


def domains_with(severity: Severity) -> list[Measurement]:
    """The domains that have a rule which can fire with this severity, by itself or with a doubtful value."""
    found = [
        rule.domain
        for rule in shipped().alerts.rules
        if rule.severity is severity or (rule.severity.lower() is severity and rule.kind in CHECKED)
    ]
    return list(dict.fromkeys(found))


def hidden_tags(*tags: str) -> tuple[Column, ...]:
    """Tags that only links need; not as numbers, even if they look like some."""
    return tuple(Column(tag, unit="string", hidden=True) for tag in tags)


def place_columns(say: Say) -> tuple[Column, ...]:
    """Commune by name, device with a link to its page."""
    there = "&var-commune=${__data.fields.commune}"
    return (
        *hidden_tags("commune", "device"),
        Column(
            f"commune{NAME}",
            say("Xã", "Commune"),
            unit="string",
            texts=scales.commune_names(),
            link=Link(say("Mở trang xã", "Open the commune"), f"/d/{say.uid('commune')}?${{__url_time_range}}{there}"),
        ),
        Column(
            f"device{NAME}",
            say("Thiết bị", "Device"),
            unit="string",
            texts={NOBODY: say("cả xã", "the whole commune")},
            link=Link(
                say("Mở thiết bị", "Open the device"),
                f"/d/{say.uid('device')}?${{__url_time_range}}{there}&var-device=${{__data.fields.device}}",
            ),
        ),
    )


def domain_words(domains: Sequence[Measurement], say: Say) -> str:
    """What some domains are called together."""
    words = {
        Measurement.STREETLIGHT: say("đèn đường", "street lighting"),
        Measurement.WATER_QUALITY: say("sông, kênh", "rivers and canals"),
        Measurement.WATER_SUPPLY: say("nước cấp", "piped water"),
        Measurement.AIR_QUALITY: say("không khí", "air"),
        Measurement.DEVICE: say("thiết bị", "devices"),
    }
    return ", ".join(words[domain] for domain in domains)


def _state_columns(names: dict[str, str], say: Say) -> tuple[Column, ...]:
    states = scales.alert_states(say)
    scale = scales.scale_of_names(states)
    return tuple(Column(field, title, names=states, scale=scale, coloured=True) for field, title in names.items())


def firing_by_rule(say: Say, domains: Sequence[Measurement], *conditions: str) -> Panel:
    """Devices with an alert that fires, one column a rule: the same rules, states and words as in the gateway."""
    names = columns_of(domains, say)
    inner = select(last(*names), Table.ALERT_STANDING, *conditions, group='"commune", "device"')
    firing = " OR ".join(f'"{field}" > {AlertState.PENDING.number}' for field in names)
    selected = ", ".join((named("commune", "device"), *(f'"{field}"' for field in names)))
    text = f"SELECT {selected} FROM ({inner}) WHERE {firing}"
    return Panel(
        "table",
        say(f"Đang báo động: {domain_words(domains, say)}", f"Firing now: {domain_words(domains, say)}"),
        say(
            "Thiết bị nào đang có sự cố gì; bấm tên thiết bị để xem. (?) là số liệu đáng ngờ: kiểm tra cảm biến.",
            "Which device has which trouble; click it to open it. (?) is a doubtful value: check the sensor.",
        ),
        (Query(text, table=True),),
        scales.COUNT,
        scales.scale_of_names(scales.alert_states(say)),
        (link(say, "alerts", say("Mọi báo động", "All alerts")),),
        say("Không có báo động nào", "Nothing fires"),
        columns=(*place_columns(say), *_state_columns(names, say)),
        transformations=(hide_time(),),
        time_from=STANDING,
    )


def history(say: Say, domains: Sequence[Measurement], *conditions: str) -> Panel:
    """Every change of every alert of some domains, newest first."""
    names = columns_of(domains, say)
    selected = ", ".join((named("commune", "device"), *(f'"{field}"' for field in names)))
    return Panel(
        "table",
        say(f"Nhật ký: {domain_words(domains, say)}", f"What happened: {domain_words(domains, say)}"),
        say(
            f"Mọi thay đổi của báo động, mới nhất ở trên, nhiều nhất 500 dòng và {HISTORY_DAYS} ngày.",
            f"Every change of an alert, newest first, at most 500 and {HISTORY_DAYS} days.",
        ),
        (Query(f"{select(selected, Table.ALERT, *conditions, SINCE)} ORDER BY time DESC LIMIT 500", table=True),),
        scales.COUNT,
        scales.scale_of_names(scales.alert_states(say)),
        (link(say, "province", say("Về trang tỉnh", "The province")),),
        say("Không có thay đổi nào trong thời gian này", "Nothing changed in this time"),
        width=24,
        height=10,
        columns=(
            Column("Time", say("Lúc", "When"), width=170),
            *place_columns(say),
            *_state_columns(names, say),
        ),
    )


def of_device(say: Say, *conditions: str) -> Panel:
    """The newest state of every rule that ever changed at one device, one a row."""
    names = {field: title for domains in DOMAINS for field, title in columns_of(domains, say).items()}
    what = ", ".join(f'last("{field}") AS "{title}"' for field, title in names.items())
    return Panel(
        "table",
        say("Báo động của thiết bị", "Alerts of the device"),
        say(
            "Trạng thái mới nhất của từng loại sự cố đã từng có ở thiết bị này.",
            "The newest state of every trouble this device has had.",
        ),
        (Query(select(what, Table.ALERT, *conditions), table=True),),
        scales.COUNT,
        scales.scale_of_names(scales.alert_states(say)),
        (link(say, "alerts", say("Mọi báo động", "All alerts")),),
        say("Thiết bị này chưa từng có báo động", "This device never had an alert"),
        width=12,
        names=scales.alert_states(say),
        columns=(
            Column("Field", say("Sự cố", "What")),
            Column("Last *", say("Trạng thái", "State"), coloured=True),
        ),
        transformations=(hide_time(), *newest_rows()),
        time_from=SPAN,
    )


def newest_rows() -> tuple[Json, Json]:
    """Columns become rows of name and newest value; those without a value are left out."""
    reduced = {"includeTimeField": False, "mode": "seriesToRows", "reducers": ["lastNotNull"]}
    known = {
        "filters": [{"fieldName": "Last *", "config": {"id": "isNotNull", "options": {}}}],
        "match": "any",
        "type": "include",
    }
    return {"id": "reduce", "options": reduced}, {"id": "filterByValue", "options": known}


def total_of(severity: Severity) -> str:
    """The sum of a commune's counts of one severity, as an expression."""
    return " + ".join(f'"{count_field(domain, severity)}"' for domain in domains_with(severity))


def counts(severities: Sequence[Severity], *conditions: str) -> str:
    """The newest counts of every commune."""
    names = [count_field(domain, severity) for severity in severities for domain in domains_with(severity)]
    return select(last(*names), Table.ALERT, COUNTS, *conditions, group='"commune"')


def firing_stat(say: Say, severity: Severity, *conditions: str) -> Panel:
    """How many alerts of one severity fire."""
    total = " + ".join(f'sum("{count_field(domain, severity)}")' for domain in domains_with(severity))
    titles = {one.value: one.text for one in scales.severities(say)}
    return Panel(
        "stat",
        f"{titles[severity.number]}: {say('số báo động', 'alerts')}",
        say(
            "Số báo động mức này đang có; sự cố do một nguyên nhân chung chỉ tính một lần.",
            "Alerts of this severity that fire; what has one common cause counts once.",
        ),
        (Query(f'SELECT {total} AS "alerts" FROM ({counts([severity], *conditions)})', table=True),),
        scales.COUNT,
        scales.fewer(1, 5 if severity is Severity.CRITICAL else 50, say),
        (link(say, "alerts", say("Mọi báo động", "All alerts"), *([HERE] if conditions else [])),),
        say("Cổng dữ liệu im lặng", "The gateway is silent"),
        columns=(Column("Time", hidden=True),),
        time_from=RECENT,
    )
