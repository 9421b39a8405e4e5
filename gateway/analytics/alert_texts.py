"""What is said of an alert: texts for staff with place, value, limit, since when, what to do; lines for the store."""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime

from devices.alert_names import (
    CHECK,
    EXPLAINED,
    GATEWAY,
    LIMIT,
    NOBODY,
    SEVERITY,
    SILENT_DEVICES,
    SINCE,
    VALUE,
    count_field,
)
from devices.alert_rules import AlertRule, AlertState, SensorTexts, Severity
from devices.registry import Registry
from devices.standard_data import Text
from devices.storage import Table
from devices.vocabulary import VOCABULARY, Measurement
from gateway.analytics.alert_book import AlertChange
from gateway.analytics.local_time import VIETNAM
from gateway.analytics.rollup_lines import tag

SEVERITY_TEXT = {
    Severity.INFO: Text(vi="Lưu ý", en="Note"),
    Severity.WARNING: Text(vi="Cảnh báo", en="Warning"),
    Severity.CRITICAL: Text(vi="Khẩn cấp", en="Critical"),
}
OVER = Text(vi="Đã hết", en="Over")
SYMBOLS = {"lamp": "W", "theft": "W", "leak": "m³/h", "limit": "µg/m³", "silent": "min"}


def title(change: AlertChange, sensor: SensorTexts, registry: Registry) -> Text:
    """One line: how bad, what, where."""
    kind = OVER if change.state is AlertState.RESOLVED else SEVERITY_TEXT[change.severity]
    what = change.rule.title
    doubt = Text(vi=f" ({sensor.title.vi})", en=f" ({sensor.title.en})") if change.doubtful else None
    where = place_text(change, registry)
    return Text(
        vi=f"{kind.vi}: {what.vi}{doubt.vi if doubt else ''}, {where}",
        en=f"{kind.en}: {what.en}{doubt.en if doubt else ''}, {where}",
    )


def body(change: AlertChange, sensor: SensorTexts, communes: Mapping[str, str]) -> Text:
    """Value, limit, since when and what to do, a line each.

    Args:
        change: what happened.
        sensor: what is said of doubtful values.
        communes: names of communes by key.
    """
    commune = communes.get(change.place.commune, change.place.commune)
    since = datetime.fromtimestamp(change.since / 1e9, VIETNAM).strftime("%H:%M %d/%m/%Y")
    value, limit = _number(change, change.value), _number(change, change.limit)
    advice = sensor.advice if change.doubtful else change.rule.advice
    vi, en = [], []
    if commune:
        vi.append(f"Xã: {commune}")
        en.append(f"Commune: {commune}")
    if change.rule.kind in ("threshold", "rate", "index", "limit", "leak", "theft") or change.rule.fault == "VOLTAGE":
        vi.append(f"Giá trị: {value}, ngưỡng: {limit}")
        en.append(f"Value: {value}, limit: {limit}")
    elif change.rule.kind == "silent":
        vi.append(f"Mất liên lạc {value}")
        en.append(f"Silent for {value}")
    vi += [f"Từ: {since}", f"Việc cần làm: {advice.vi}"]
    en += [f"Since: {since}", f"What to do: {advice.en}"]
    if change.rule.law:
        vi.append(f"Căn cứ: {change.rule.law}")
        en.append(f"Source: {change.rule.law}")
    return Text(vi="\n".join(vi), en="\n".join(en))


def place_text(change: AlertChange, registry: Registry) -> str:
    """Where it is: what people call the device, and its name."""
    place = change.place
    index = registry.index.get(place.device)
    label = registry.labels[index] if index is not None else ""
    name = place.name or place.commune
    return f"{label} ({name})" if label and label != name else name


def symbol(rule: AlertRule) -> str:
    """The unit of a rule's value and limit, as shown to people."""
    if rule.fault == "VOLTAGE":
        return "V"
    return VOCABULARY[rule.property].symbol if rule.property else SYMBOLS.get(rule.kind, "")


def _number(change: AlertChange, value: float) -> str:
    digits = 0 if change.rule.kind in ("index", "silent") else 2
    return f"{value:.{digits}f} {symbol(change.rule)}".rstrip()


def change_line(change: AlertChange) -> str:
    """The change as finished line protocol, without newline."""
    rule = _field(change)
    fields = {
        "": change.state.number,
        SEVERITY: change.severity.number,
        VALUE: change.value,
        LIMIT: change.limit,
        SINCE: change.since / 1e9,
        EXPLAINED: float(bool(change.cause)),
    }
    text = ",".join(f"{rule}{ending}={value:.12g}" for ending, value in fields.items() if math.isfinite(value))
    return f"{Table.ALERT},{_tags(change)} {text} {change.at}"


def standing_line(change: AlertChange, now: int) -> str:
    """The state of an alert as finished line protocol, without newline; of the moment now [ns UTC]."""
    return f"{Table.ALERT_STANDING},{_tags(change)} {_field(change)}={change.state.number} {now}"


def _field(change: AlertChange) -> str:
    return change.rule.code + (CHECK if change.doubtful else "")


def _tags(change: AlertChange) -> str:
    place = change.place
    device = place.device or (NOBODY if place.scope == "commune" else place.name)
    return f"commune={tag(place.commune or GATEWAY)},device={tag(device)}"


def count_lines(current: Iterable[AlertChange], communes: Iterable[str], now: int) -> list[str]:
    """How many alerts each commune has, by domain and severity, and how many silent devices, as finished line protocol
    without newlines.

    Args:
        current: every alert that is not resolved.
        communes: keys of all communes: those without alerts have zeros.
        now: [ns UTC]
    """
    names = [
        count_field(d, s) for d in Measurement for s in Severity if d not in (Measurement.INDEX, Measurement.ALERT)
    ]
    names.append(SILENT_DEVICES)
    counts = {commune: dict.fromkeys(names, 0) for commune in (*communes, GATEWAY)}
    for change in current:
        if change.state not in (AlertState.FIRING, AlertState.ACKNOWLEDGED):
            continue
        known = counts.setdefault(change.place.commune or GATEWAY, dict.fromkeys(names, 0))
        known[SILENT_DEVICES] += change.rule.kind == "silent"
        if not change.cause:
            known[count_field(change.rule.domain, change.severity)] += 1
    return [
        f"alert,commune={tag(commune)},device={NOBODY} {','.join(f'{n}={c}' for n, c in known.items())} {now}"
        for commune, known in counts.items()
    ]
