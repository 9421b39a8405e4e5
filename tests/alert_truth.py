"""What alerts ought to say of a simulated fleet: of planted faults, and of air and water as they really are."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from devices.alert_rules import AlertRule
from devices.index_names import POLLUTANTS
from devices.registry import Registry
from gateway.analytics.alerts import INDEX_HYSTERESIS
from gateway.analytics.limits import Limits
from gateway.analytics.room import Analytics
from gateway.analytics.sun import DARK, LIT, expected
from gateway.analytics.vn_aqi import VnAqi
from gateway.analytics.windows import HOUR
from simulators.applied_faults import AppliedFaults
from simulators.device import Cohort
from simulators.faults import WORLD, Fault, Spell
from simulators.fleet import Fleet
from simulators.noise import Floats
from simulators.trouble import Trouble

NS = 1_000_000_000
MINUTE = 60 * NS
LEARNING_DAYS = 6
"""What is usual has to be learnt first; faults that begin earlier count neither way."""
FALSE = {"leak": 48, "limit": 26}
"""Hours after a fault's end at which its alert may still come: a night or a calendar day has to be over."""

RULES = {
    "lamp_out": "lamp_out",
    "lamp_cycling": "lamp_cycling",
    "lamp_degraded": "lamp_degraded",
    "day_burner": "day_burner",
    "circuit day": "circuit_day",
    "lamp voltage": "lamp_voltage",
    "circuit voltage": "circuit_voltage",
    "circuit_loss": "circuit_out",
    "theft": "theft",
    "leak": "leak_night",
    "silent": "silent",
    "battery": "battery_low",
    "chlorine": "chlorine_low",
    "pressure": "pressure_low",
    "ph": "ph_low",
    "rate": "level_rising",
    "index bad": "aqi_bad",
    "index very bad": "aqi_very_bad",
    "limit": "air_limit",
}
"""Which alert each kind of trouble must raise."""
QUIET = (
    "spike", "stuck", "drift", "wrong_unit", "meter_replaced", "reboot", "clock_unset", "clock_ahead", "babbling",
    "outage", "lost", "duplicated", "late", "reordered", "garbage", "truncated", "echo",
)  # fmt: skip
"""Kinds that may raise "check the sensor" and nothing else."""
_NEEDED = {"lamp_out": 60, "day_burner": 60, "circuit day": 60, "theft": 120, "lamp_cycling": 200, "lamp_degraded": 300}
"""Minutes in a row of the right time of day (dark or lit) after which a fault must have been found."""
_LASTING = {
    "leak": 5 * 24 * 60,
    "silent": 60,
    "circuit_loss": 60,
    "chlorine": 60,
    "pressure": 45,
    "ph": 90,
    "rate": 150,
}
"""Likewise, of any time of day."""


class Planted(NamedTuple):
    """One spell of one trouble."""

    kind: str
    place: str
    start: int
    """[ns UTC]"""
    stop: int
    visible: bool
    """It must be found; otherwise it may be."""


def planted(made: Fleet, room: Analytics, begin: float, end: float) -> Iterator[Planted]:
    """Every spell of every fault that concerns alerts, between two moments [s UTC]."""
    for cohort in made.cohorts:
        keys = AppliedFaults(cohort, made.scenario.fault, made.seed)._keys
        for fault in made.scenario.fault:
            if not fault.concerns(cohort.kind) or (fault.always and fault.kind not in QUIET):
                continue
            for number in np.flatnonzero(fault.meets(cohort.names, keys)).tolist():
                # What may happen at any time has to be quiet on each of its days.
                days = [Spell(day, day + 86400.0, 0.0) for day in np.arange(begin, end, 86400.0).tolist()]
                spells = days if fault.always else fault.spells(keys[number : number + 1], begin, end)
                for spell in (part for one in spells for part in _as_it_was(fault, one, cohort.troubles.get(number))):
                    start, stop = max(spell.start, begin), min(spell.stop, end)
                    for kind, first, last in _kinds(fault, spell, cohort, start, stop):
                        learnt = first >= begin + (3600 if kind == "silent" else LEARNING_DAYS * 86400)
                        visible = learnt and _is_visible(kind, room, cohort.names[number], first, last)
                        visible &= kind != "battery" or last < end  # where it is empty at last, it was low before
                        yield Planted(kind, cohort.names[number], int(first * NS), int(last * NS), visible)


def _as_it_was(fault: Fault, spell: Spell, troubles: Sequence[Trouble] | None) -> list[Spell]:
    """The parts of a spell that the simulator really shows: a lamp that is out neither cycles nor burns by day."""
    if fault.kind not in WORLD or troubles is None:
        return [spell]
    parts = [(max(one.start, spell.start), min(one.stop, spell.stop)) for one in troubles if one.kind == fault.kind]
    return [Spell(start, stop, spell.size) for start, stop in parts if start < stop]


def _kinds(fault: Fault, spell: Spell, cohort: Cohort, start: float, stop: float) -> list[tuple[str, float, float]]:
    """What a fault is to the alerts: kinds of trouble with their beginning and end."""
    circuit = cohort.kind == "cabinet"
    if fault.kind == "dead_battery":
        # It runs down to 0 in seven tenths of the spell: below 15 % for the last part of that, then silent.
        silent = spell.start + 0.7 * (spell.stop - spell.start)
        found = [("battery", spell.start + 0.5 * (silent - spell.start), silent), ("silent", silent, spell.stop)]
    elif fault.kind == "power_cut":
        found = [("circuit_loss" if circuit else "silent", start, stop)]
    elif fault.kind == "outage":
        found = [("silent", start, stop), ("outage", start, stop)]
    elif fault.kind == "day_burner":
        found = [("circuit day" if circuit else "day_burner", start, stop)]
    elif fault.kind == "bad_voltage":
        found = [("circuit voltage" if circuit else "lamp voltage", start, stop)]
    else:
        meant = {"residual_chlorine": "chlorine", "pressure": "pressure", "ph": "ph", "water_level": "rate"}
        is_world = fault.kind in ("wrong_unit", "drift") and fault.property in meant
        found = [(meant[fault.property] if is_world else fault.kind, start, stop)]
    return [
        (kind, max(first, start), min(last, stop)) for kind, first, last in found if min(last, stop) > max(first, start)
    ]


def _is_visible(kind: str, room: Analytics, place: str, start: float, stop: float) -> bool:
    """Whether it lasts long enough, at a time of day when it can be seen."""
    if kind in _LASTING or kind in ("battery", *QUIET):
        return stop - start >= _LASTING.get(kind, 180 if kind == "battery" else 0) * 60
    device = room.tables.registry.index[place]
    street = room.alerts.streets.fleet
    number = street.lamp_of[device]
    plan = street.plans[
        int(street.lamp_plan[number] if number >= 0 else street.cabinet_plan[street.cabinet_of[device]])
    ]
    moments = np.arange(start, stop, 60.0)
    if kind in ("lamp voltage", "circuit voltage"):
        return len(moments) >= 75
    state, _ = expected([plan], np.zeros(len(moments), np.int32), (moments * NS).astype(np.int64), 30 * MINUTE)
    wanted = state == (DARK if kind in ("day_burner", "circuit day") else LIT)
    longest = max((len(part) for part in "".join("1" if one else "0" for one in wanted).split("0")), default=0)
    return longest >= _NEEDED[kind]


def joined(faults: Iterable[Planted]) -> list[Planted]:
    """Spells of one kind at one place that touch are one: what is silent for two reasons is silent once.

    Between spells farther apart a device is heard, and all is well for that time.
    """
    found: list[Planted] = []
    for fault in sorted(faults, key=lambda one: (one.kind, one.place, one.start)):
        last = found[-1] if found else None
        if last and (last.kind, last.place) == (fault.kind, fault.place) and fault.start <= last.stop + 10 * MINUTE:
            both = last.visible or fault.visible
            found[-1] = last._replace(stop=max(last.stop, fault.stop), visible=both)
        else:
            found.append(fault)
    return found


def threshold_truth(made: Fleet, room: Analytics, begin: float, end: float) -> list[Planted]:
    """When values of the world, no fault's doing, were beyond a rule's limit; only of devices that report truly."""
    found: list[Planted] = []
    rules = [one for one in room.alerts.rules if one.kind == "threshold" and one.code not in RULES.values()]
    for cohort in made.cohorts:
        samples = cohort.due(begin, end)
        values = cohort.values(samples)
        for rule in (one for one in rules if one.property in values):
            sign = 1.0 if rule.above is not None else -1.0
            limit = (rule.above if rule.above is not None else rule.below or 0.0) * sign
            height = values[rule.property] * sign
            if height.max() <= limit:
                continue
            for number, name in enumerate(cohort.names):
                mine = samples.device == number
                found += _beyond(rule, name, samples.at[mine], height[mine], limit)
    return found


def _beyond(rule: AlertRule, name: str, at: Floats, height: Floats, limit: float) -> Iterator[Planted]:
    begun, last, steady, longest = 0.0, 0.0, 0.0, 0.0
    for moment, value in zip([*at.tolist(), at[-1] + 60.0], [*height.tolist(), -np.inf], strict=True):
        if value > limit:
            begun = begun or moment
            steady = steady or moment
            last, longest = moment, max(longest, moment - steady)
        else:
            steady = 0.0
            if begun and value <= limit - rule.hysteresis:
                needed = ((rule.minutes or 0.0) + 45.0) * 60.0
                yield Planted(rule.code, name, int(begun * NS), int((last + 3600.0) * NS), longest >= needed)
                begun = longest = 0.0


def hidden(fault: Planted, every: Sequence[Planted], registry: Registry) -> Planted:
    """A fault need not be found while something else happens to the same device or its circuit."""
    if not fault.visible or fault.kind in ("circuit_loss", "leak", *QUIET):
        return fault
    group = registry.groups.texts[registry.group_of[registry.index[fault.place]]].partition("/")[2]
    places = {fault.place, group} if group else {fault.place}
    beside = (one for one in every if one.place in places and one.kind != fault.kind and one.kind not in QUIET)
    hides = any(one.start < fault.stop and fault.start < one.stop for one in beside)
    if fault.kind in ("circuit day", "circuit voltage") or group == fault.place:
        return fault._replace(visible=not hides)
    return fault._replace(visible=not hides)


def unheard(fault: Planted, every: Iterable[Planted]) -> Planted:
    """What the world does need not be found while the station that measures it is silent, or sends another unit."""
    deaf = (one for one in every if one.kind in ("silent", "wrong_unit") and one.place == fault.place)
    hides = any(one.start < fault.stop and fault.start < one.stop for one in deaf)
    return fault._replace(visible=fault.visible and not hides)


def air_truth(made: Fleet, begin: float, end: float) -> list[Planted]:
    """When the index and the limits were really exceeded, from what was measured without loss.

    A spell begins at the level. It must be found if it goes clearly beyond, and again after a dip that clearly ends it:
    what is a hair beyond depends on which of its readings were lost.
    """
    found: list[Planted] = []
    for cohort in (one for one in made.cohorts if one.kind == "air"):
        samples = cohort.due(begin, end)
        values = cohort.values(samples)
        hour = (samples.at // 3600).astype(np.int64)
        first, count = int(begin // 3600), int((end - begin) // 3600)
        for number, name in enumerate(cohort.names):
            mine = samples.device == number
            means: dict[str, list[float | None]] = {}
            for pollutant in (one for one in POLLUTANTS if one in values):
                total = np.bincount(hour[mine] - first, values[pollutant][mine], count)[:count]
                many = np.bincount(hour[mine] - first, minlength=count)[:count]
                means[pollutant] = [t / n if n else None for t, n in zip(total.tolist(), many.tolist(), strict=True)]
            found += _air_spells(name, first, count, means, begin)
    return found


def _air_spells(
    name: str, first: int, count: int, means: dict[str, list[float | None]], begin: float
) -> Iterator[Planted]:
    aqi, limits = VnAqi(), Limits()
    index: list[float] = []
    ratio: list[float] = []
    known: dict[tuple[str, str], float] = {}
    for place in range(count):
        back = {one: [values[place - n] if place >= n else None for n in range(12)] for one, values in means.items()}
        index.append(float(aqi.hourly(back).value or 0))
        day = (first + place + 7) // 24
        verdicts = limits.air_hour(back, _date(day))
        if (first + place + 8) % 24 == 0 and place >= 23:
            verdicts += limits.air_day(
                {one: values[place - 23 : place + 1] for one, values in means.items()}, _date(day)
            )
        known |= {(one.property, one.period): one.mean / one.limit for one in verdicts}
        ratio.append(max(known.values(), default=0.0))
    for kind, seen, level, over in (
        ("index bad", index, 151.0, 6.0),
        ("index very bad", index, 201.0, 6.0),
        ("limit", ratio, 1.0, 0.03),
    ):
        end = level - (INDEX_HYSTERESIS if kind.startswith("index") else 0.0)
        begun, peak, dip = -1, 0.0, 0.0
        for place, value in enumerate([*seen, 0.0]):
            clear = peak >= level + over
            if begun >= 0 and value < (end + over if clear else level - over):
                start, stop = (first + begun) * HOUR, (first + place + 1) * HOUR
                visible = clear and dip <= end - over and place < count - 2 and start >= begin * NS
                yield Planted(kind, name, start, stop, visible)
                begun, peak, dip = -1, 0.0, value if clear else min(dip, value)
            elif begun < 0 and value < level - over:
                dip = min(dip, value)
            else:
                begun, peak = place if begun < 0 else begun, max(peak, value)


def _date(day: int) -> date:
    return date(1970, 1, 1) + timedelta(days=day)
