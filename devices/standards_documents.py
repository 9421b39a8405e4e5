"""The page ``docs/standards.md``: whose figures the gateway uses, where each was read, and what is not confirmed."""

import sys
from collections.abc import Iterable

from devices.alert_rules import AlertRule
from devices.standard_data import Source
from devices.standards import Standards, shipped

_MADE = "<!-- Made by `python -m devices.standards_documents`; edit the data, not this page. -->"
_HEAD = """# Standards: whose figures these are

{made}

Every figure of a law stands in `devices/standards/*.toml` with its source, date and flag; none stands in code.
**Unconfirmed** means that no legal text was read for it: do not present it as official. To use other figures, put a
file of the same name into a folder of your own and name that folder in the settings; it replaces the shipped file as a
whole, and is checked like it.
"""


def standards_page() -> str:
    """The text of the page."""
    tables = shipped()
    parts = [_HEAD.format(made=_MADE), _sources(tables), _unconfirmed(tables), _alerts(tables.alerts.rules)]
    return "\n".join(parts)


def _sources(tables: Standards) -> str:
    named: list[tuple[str, Source]] = [
        ("vn_aqi", tables.vn_aqi.source),
        ("vn_wqi", tables.vn_wqi.source),
        ("air_limits", tables.air_limits.source),
        ("surface_water", tables.surface_water.source),
        *(("tap_water", regulation.source) for regulation in tables.tap_water.regulations),
        ("energy", tables.energy.emission.source),
        *(("energy", price.source) for price in tables.energy.prices),
        ("energy", tables.energy.tax.source),
        ("lighting", tables.lighting.source),
        ("water_supply", tables.water_supply.source),
        ("alerts", tables.alerts.source),
        ("communes", tables.communes.source),
    ]
    rows = [
        f"| `{name}` | {_cell(source.document)} | {source.issued or ''} | {source.in_force or ''} | {source.flag} "
        f"| {_cell(source.read_in)} | {_cell(source.note)} |"
        for name, source in named
    ]
    head = "| file | document | issued | in force | flag | read in | note |\n|---|---|---|---|---|---|---|"
    return "\n".join(["## Sources", "", head, *rows, ""])


def _unconfirmed(tables: Standards) -> str:
    items = [
        "English names of the levels of VN_AQI and VN_WQI.",
        *(
            f"QCVN 08:2023, {row.water}, class {row.klass}: {limit.property}."
            for row in tables.surface_water.classes
            for limit in row.limits
            if limit.flag == "unconfirmed"
        ),
        *(
            f"{regulation.code}: {', '.join(limits)}."
            for regulation in tables.tap_water.regulations
            if (limits := [limit.property for limit in regulation.limits if limit.flag == "unconfirmed"])
        ),
        f"Completeness of means ({tables.air_limits.completeness.share:g} of their hours): customary, ours.",
        "Codes on which two published lists disagree: "
        + ", ".join(f"{c.kind} {c.name} {c.code} or {c.other_code}" for c in tables.communes.communes if c.other_code)
        + ".",
    ]
    return "\n".join(["## Not confirmed, cell by cell", "", *(f"- {item}" for item in items), ""])


def _alerts(rules: Iterable[AlertRule]) -> str:
    rows = [
        f"| `{rule.code}` | {rule.severity} | {rule.title.vi} | {rule.title.en} | {_when(rule)} | {_cell(rule.law)} |"
        for rule in rules
    ]
    head = "| rule | severity | tiếng Việt | English | when | law |\n|---|---|---|---|---|---|"
    return "\n".join(["## Alert rules", "", head, *rows, ""])


def _when(rule: AlertRule) -> str:
    figures = {
        "above": rule.above, "below": rule.below, "rise": rule.rise, "fall": rule.fall,
        "within min": rule.within_minutes, "intervals": rule.intervals, "level": rule.level, "share": rule.share,
        "for min": rule.minutes, "hysteresis": rule.hysteresis or None,
    }  # fmt: skip
    known = [
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in figures.items()
        if value is not None
    ]
    return " ".join(filter(None, [f"`{rule.property}`" if rule.property else rule.kind, ", ".join(known)]))


def _cell(text: str) -> str:
    return text.replace("|", "/")


if __name__ == "__main__":
    sys.stdout.write(standards_page())
