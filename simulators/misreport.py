"""What sensors and devices get wrong: values, clocks, counters and batteries, applied to one report."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from simulators.faults import Fault, Spell
from simulators.local_time import DAY, HOUR

RUN_DOWN = 0.7
"""Share of a dead battery's spell in which it runs down; then it is silent. Chosen."""
_BATTERY = ("battery", "battery_voltage")


class Met(NamedTuple):
    """A fault that a report meets."""

    fault: Fault
    spell: Spell
    draw: float
    """Between 0 and 1, of this report and this fault alone."""


class Report(NamedTuple):
    """What a device is about to say."""

    at: float
    """When, in the world."""
    values: dict[str, float]
    """Canonical values by observed property."""
    observed_at: int | None
    """Nanoseconds UTC by the device's clock."""
    sequence: int | None
    number: int = 0
    """Of the sample, whatever the device counts."""
    kinds: tuple[str, ...] = ()
    """Faults that changed it or its way."""


Earlier = Callable[[float], tuple[int, dict[str, float]]]
"""The device's sample number at a moment, and what it measured then."""


def is_silent(met: Sequence[Met], at: float) -> bool:
    """Whether one of the faults keeps the device from speaking at all."""
    for fault, spell, _ in met:
        if fault.kind == "silent":
            return True
        if fault.kind == "dead_battery" and at >= spell.start + RUN_DOWN * (spell.stop - spell.start):
            return True
    return False


def misreport(report: Report, met: Sequence[Met], earlier: Earlier) -> Report:
    """The report as the faults make it; the device's own ``values`` are not changed."""
    values = dict(report.values)
    observed_at, sequence, kinds = report.observed_at, report.sequence, list(report.kinds)
    for fault, spell, _ in met:
        before = (dict(values), observed_at, sequence)
        if fault.kind == "clock_unset" and observed_at is not None:
            observed_at = round((report.at - spell.start) * 1000.0) * 1_000_000
        elif fault.kind == "clock_ahead" and observed_at is not None:
            observed_at += round(spell.size * HOUR) * 1_000_000_000
        elif fault.kind == "reboot":
            sequence = _rebooted(values, fault, spell, report, sequence, earlier)
        elif fault.kind == "dead_battery":
            left = 1.0 - (report.at - spell.start) / (RUN_DOWN * (spell.stop - spell.start))
            for name in _BATTERY:
                if name in values:
                    values[name] = round(values[name] * (left if name == "battery" else 0.75 + 0.25 * left), 2)
        elif fault.property in values:
            values[fault.property] = _wrong(fault, spell, report.at, values[fault.property], earlier)
        if before != (values, observed_at, sequence):
            kinds.append(fault.kind)
    return report._replace(values=values, observed_at=observed_at, sequence=sequence, kinds=tuple(kinds))


def _wrong(fault: Fault, spell: Spell, at: float, value: float, earlier: Earlier) -> float:
    if fault.kind == "drift":
        return round(value * (1.0 + spell.size * (at - spell.start) / DAY), 4)
    if fault.kind in {"spike", "wrong_unit"}:
        return round(value * spell.size, 4)
    if fault.kind == "stuck":
        return earlier(spell.start)[1].get(fault.property, value)
    return value


def _rebooted(
    values: dict[str, float], fault: Fault, spell: Spell, report: Report, sequence: int | None, earlier: Earlier
) -> int | None:
    """Counters that are kept in memory only start again."""
    number, then = earlier(spell.start)
    if "uptime" in values:
        values["uptime"] = min(values["uptime"], float(round(report.at - spell.start)))
    if fault.property in values and fault.property in then:
        values[fault.property] = round(max(values[fault.property] - then[fault.property], 0.0), 3)
    return None if sequence is None else min(sequence, report.number - number - 1)
