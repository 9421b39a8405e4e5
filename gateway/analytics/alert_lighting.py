"""Alerts of street lighting: reports of lamps and cabinets in, faults of lamps, circuits and theft out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.alert_rules import AlertRule
from devices.lighting_tables import Lighting
from devices.quality import Quality
from gateway.analytics.alert_book import MINUTE, AlertBook, Key
from gateway.analytics.circuits import CircuitFaults, Circuits, Theft
from gateway.analytics.columns import PROPERTIES, PROPERTY_NUMBER, Columns, FleetTables, in_rounds
from gateway.analytics.fleet_lighting import PHASES, FleetLighting
from gateway.analytics.lighting import Fault, LampBank, Reports
from gateway.analytics.sun import EITHER, LIT, Plan, expected

Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

CABINET_BURNING_SHARE = 0.15
"""Of its own full power below which a cabinet counts as dark: controllers draw some watts each by day. Chosen."""
STALE_INTERVALS = 3
"""A lamp not heard for so many intervals is taken to draw what it would, when a cabinet's lamps are summed. Chosen."""
LEAST_PATIENCE = 2 * MINUTE
"""A circuit is not out before its lamps are silent for this long, however often they report. Chosen."""
LEAST_HEARD = 0.8
"""Share of a circuit's known lamps that must be heard before what it meters is compared with them. Chosen."""
FOREVER = 2**62

_POWER, _VOLTS, _LEVEL = PROPERTY_NUMBER["power"], PROPERTY_NUMBER["voltage"], PROPERTY_NUMBER["dimming_level"]
_PHASE_POWER = np.array([PROPERTY_NUMBER[f"power_{phase}"] for phase in PHASES])
_PHASE_VOLTS = np.array([PROPERTY_NUMBER[f"voltage_{phase}"] for phase in PHASES])
_USED = np.zeros(len(PROPERTIES), np.bool_)
_USED[[_POWER, _VOLTS, _LEVEL, *_PHASE_POWER, *_PHASE_VOLTS]] = True


class StreetWatch:
    """What the lamps and cabinets of a fleet say, and what that means."""

    def __init__(self, tables: FleetTables, lighting: Lighting, rules: tuple[AlertRule, ...], book: AlertBook) -> None:
        self.fleet = FleetLighting(tables, lighting)
        self._tables, self._book, self._detect = tables, book, lighting.detect
        self.lamps = LampBank(tables.interval[self.fleet.lamps], lighting.detect)
        self.cabinets = LampBank(tables.interval[self.fleet.cabinets], lighting.detect, CABINET_BURNING_SHARE)
        self.level = np.full(len(self.fleet.lamps), np.nan)
        """[%] that each lamp reported last; NaN if it never does."""
        self.circuits = Circuits(self.fleet.lamp_group, self.fleet.groups, lighting.detect)
        self.theft = Theft(len(self.fleet.cabinets), lighting.detect)
        self._lamp_rules = _by_fault(rules, "lamp")
        self._circuit_rules = _by_fault(rules, "circuit")
        self._theft_rules = [number for number, rule in enumerate(rules) if rule.kind == "theft"]
        self._group_faults = {fault: np.zeros(self.fleet.groups, np.bool_) for fault in self._circuit_rules}
        self._lights = (self.fleet.lamp_of >= 0) | (self.fleet.cabinet_of >= 0)
        self._tolerance = int(lighting.detect.switching_minutes * MINUTE)
        sizes = [len(self.fleet.lamps_of_group.get(int(group), ())) for group in self.fleet.cabinet_group]
        self._has_lamps = np.array(sizes, np.int64) > 0

    # in ------------------------------------------------------------------------------------------------------

    def take(self, columns: Columns) -> None:
        """Judge the reports of lamps and cabinets among some readings."""
        chosen = self._lights[columns.device] & _USED[columns.property] & (columns.quality < Quality.SUSPECT)
        if not chosen.any():
            return
        columns = columns.only(chosen)
        order = np.lexsort((columns.at, columns.device))
        columns = columns.only(order)
        first = np.r_[True, (np.diff(columns.device) != 0) | (np.diff(columns.at) != 0)]
        report = np.cumsum(first) - 1
        device, at = columns.device[first], columns.at[first]
        power, volts, level = _values(columns, report, len(device), self._detect.nominal_volts)
        told = ~np.isnan(power)
        device, at, power, volts, level = device[told], at[told], power[told], volts[told], level[told]
        for places in in_rounds(device, at):
            self._take_lamps(device[places], at[places], power[places], volts[places], level[places])
            self._take_cabinets(device[places], at[places], power[places], volts[places])

    def _take_lamps(self, device: Integers, at: Integers, power: Floats, volts: Floats, level: Floats) -> None:
        chosen = self.fleet.lamp_of[device] >= 0
        if not chosen.any():
            return
        slot = self.fleet.lamp_of[device[chosen]].astype(np.int64)
        reports = Reports(slot, at[chosen], power[chosen], level[chosen], volts[chosen])
        self.level[slot] = np.where(np.isnan(reports.level), self.level[slot], reports.level)
        should, scheduled = expected(self.fleet.plans, self.fleet.lamp_plan[slot], reports.at, self._tolerance)
        changes = self.lamps.step(reports, should, scheduled)
        for lamp, before, after in zip(*(column.tolist() for column in changes), strict=True):
            self._tell_lamp(lamp, before, after)

    def _tell_lamp(self, lamp: int, before: int, after: int) -> None:
        device, at = int(self.fleet.lamps[lamp]), int(self.lamps.last_at[lamp])
        for fault, rules in self._lamp_rules.items():
            if (before ^ after) & fault:
                value, limit = self._figures(fault, lamp)
                since = int(self.lamps.since[fault][lamp]) if fault in self.lamps.since else 0
                for number in rules:
                    key = Key(number, "device", device)
                    if after & fault:
                        self._book.beyond(key, at, value, limit, since=since)
                    else:
                        self._book.within(key, at)

    def _figures(self, fault: Fault, lamp: int) -> tuple[float, float]:
        """What was seen and what it is compared with: volts for the voltage, watts for everything else."""
        detect = self._detect
        if fault is Fault.VOLTAGE:
            volts = float(self.lamps.volts[lamp])
            return volts, detect.low_volts if volts < detect.nominal_volts else detect.high_volts
        limit = self.lamps.usual(lamp) * detect.degraded_ratio if fault is Fault.DEGRADED else detect.burning_watts
        return float(self.lamps.power[lamp]), limit

    def _take_cabinets(self, device: Integers, at: Integers, power: Floats, volts: Floats) -> None:
        chosen = self.fleet.cabinet_of[device] >= 0
        if not chosen.any():
            return
        slot = self.fleet.cabinet_of[device[chosen]].astype(np.int64)
        # A cabinet is dimmed with its lamps: what they report is better than any schedule.
        level = np.array([self._mean_level(int(number)) for number in slot])
        reports = Reports(slot, at[chosen], power[chosen], level, volts[chosen])
        self.cabinets.connected[slot] = [self._connected(int(number)) for number in slot]
        newer = (reports.at > self.cabinets.last_at[slot]) & self.cabinets.is_credible(reports)
        should, scheduled = expected(self.fleet.plans, self.fleet.cabinet_plan[slot], reports.at, self._tolerance)
        self.cabinets.step(reports, should, scheduled)
        steady = newer & (should != EITHER) & ~(np.isnan(scheduled) & np.isnan(level))
        for place in np.flatnonzero(steady).tolist():
            self._weigh(
                int(slot[place]), int(reports.at[place]), float(reports.power[place]), bool(should[place] == LIT)
            )

    def _connected(self, cabinet: int) -> float:
        """What the known lamps of a cabinet draw [W] when they burn."""
        lamps = self.fleet.lamps_of_group.get(int(self.fleet.cabinet_group[cabinet]))
        return 0.0 if lamps is None else float(self.lamps.nominal[lamps].sum())

    def _mean_level(self, cabinet: int) -> float:
        lamps = self.fleet.lamps_of_group.get(int(self.fleet.cabinet_group[cabinet]))
        if lamps is None or not len(lamps):
            return float("nan")
        levels = self.level[lamps]
        known = levels[~np.isnan(levels)]
        return float(known.mean()) if len(known) else float("nan")

    def _weigh(self, cabinet: int, at: int, metered: float, lit: bool) -> None:
        """Compare what a cabinet meters with what its lamps draw."""
        lamps = self.fleet.lamps_of_group.get(int(self.fleet.cabinet_group[cabinet]))
        if lamps is None or not len(lamps):
            return
        heard = at - self.lamps.last_at[lamps] <= STALE_INTERVALS * self.lamps.interval[lamps]
        known = self.lamps.last_at[lamps] > 0
        if heard.sum() < LEAST_HEARD * known.sum():
            return  # a part of the circuit is out or cannot be heard: nothing can be compared
        would = self.lamps.nominal[lamps] if lit else 0.0
        total = float(np.where(heard, self.lamps.power[lamps], would).sum())
        before = self.theft.stolen(cabinet)
        excess = self.theft.step(cabinet, at, metered, total, lit=lit)
        after = self.theft.stolen(cabinet)
        for number in self._theft_rules:
            key = Key(number, "group", int(self.fleet.cabinet_group[cabinet]))
            if after and excess.watts > excess.limit:
                self._book.beyond(key, at, excess.watts, excess.limit, since=int(self.theft.since[cabinet].max()))
            elif before and not after:
                self._book.within(key, at)

    # now -----------------------------------------------------------------------------------------------------

    def live_since(self, now: int) -> Integers:
        """Since when each device has power [ns UTC]: far in the future for feeders that should be cut now."""
        found = np.zeros(self._tables.count, np.int64)
        for devices, plans in (
            (self.fleet.lamps, self.fleet.lamp_plan),
            (self.fleet.cabinets, self.fleet.cabinet_plan),
        ):
            cut = self._tables.with_circuit[devices]
            if cut.any():
                switched = np.array([_switched_on(plan, now, self._tolerance) for plan in self.fleet.plans])
                found[devices[cut]] = switched[plans[cut]]
        return found

    def judge(self, now: int, silent_for: Integers, unheard_for: Integers, live_since: Integers) -> None:
        """Begin and end the alerts of circuits.

        Args:
            now: [ns UTC]
            silent_for: of each device, by ``SilenceWatch.silent_for`` [ns].
            unheard_for: likewise.
            live_since: of each device, by ``live_since``.
        """
        lamps = self.fleet.lamps
        intervals = (self._detect.circuit_intervals * self.lamps.interval).astype(np.int64)
        patience = np.maximum(intervals, LEAST_PATIENCE)
        faults = self.circuits.judge(
            self.lamps,
            silent_for[lamps] > patience,
            live_since[lamps] <= now - patience,
            unheard_for[lamps] > patience,
        )
        for fault, rules in self._circuit_rules.items():
            after = self._of_lamps(faults, fault) | self._of_cabinets(fault)
            before = self._group_faults[fault]
            for number in rules:
                for group in np.flatnonzero(after & ~before).tolist():
                    self._book.beyond(Key(number, "group", group), now, *self._share(fault, group))
                for group in np.flatnonzero(before & ~after).tolist():
                    self._book.within(Key(number, "group", group), now)
            self._group_faults[fault] = after

    def _of_lamps(self, faults: CircuitFaults, fault: Fault) -> Bools:
        none = np.zeros(self.fleet.groups, np.bool_)
        return {Fault.OUT: faults.out, Fault.DAY_BURNER: faults.day_burner, Fault.VOLTAGE: faults.voltage}.get(
            fault, none
        )

    def _of_cabinets(self, fault: Fault) -> Bools:
        found = np.zeros(self.fleet.groups, np.bool_)
        having = ((self.cabinets.faults & np.uint8(fault)) > 0) & (self.fleet.cabinet_group >= 0)
        if fault in (Fault.DEGRADED, Fault.DAY_BURNER):
            # Lamps that speak for themselves say it better: neither a thief nor one lamp of a short circuit disturbs.
            having &= ~self._has_lamps
        found[self.fleet.cabinet_group[having]] = True
        return found

    def _share(self, fault: Fault, group: int) -> tuple[float, float]:
        """Watts at the cabinet and its own power; without a cabinet, the number of lamps that show it, of how many."""
        cabinets = np.flatnonzero(self.fleet.cabinet_group == group)
        if len(cabinets):
            if fault is Fault.VOLTAGE:
                return float(self.cabinets.volts[cabinets[0]]), self._detect.nominal_volts
            return float(self.cabinets.power[cabinets[0]]), float(self.cabinets.nominal[cabinets[0]])
        lamps = np.flatnonzero(self.fleet.lamp_group == group)
        return float((self.lamps.since[fault][lamps] > 0).sum()) if fault in self.lamps.since else 0.0, float(
            len(lamps)
        )

    def working(self) -> tuple[Bools, Bools]:
        """Which devices are lamps, and which of them are not out."""
        lamps, fine = (np.zeros(self._tables.count, np.bool_) for _ in range(2))
        lamps[self.fleet.lamps] = self.lamps.last_at > 0
        fine[self.fleet.lamps] = (self.lamps.faults & np.uint8(Fault.OUT)) == 0
        return lamps, fine

    def refresh(self) -> None:
        """Know the book's alerts as begun, after a snapshot was taken over."""
        for fault, rules in self._circuit_rules.items():
            for key in self._book.alerts:
                if key.rule in rules:
                    self._group_faults[fault][key.number] = True
        out = self._group_faults.get(Fault.OUT, self.circuits.faults.out)
        day = self._group_faults.get(Fault.DAY_BURNER, self.circuits.faults.day_burner)
        volts = self._group_faults.get(Fault.VOLTAGE, self.circuits.faults.voltage)
        self.circuits.faults = CircuitFaults(out.copy(), day.copy(), volts.copy())

    def columns(self) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """Every column by name, for snapshots: one row a lamp, and one row a cabinet."""
        cabinets = {f"bank.{name}": column for name, column in self.cabinets.columns().items()}
        cabinets |= {f"theft.{name}": column for name, column in self.theft.columns().items()}
        return {"level": self.level, **self.lamps.columns()}, cabinets


def _by_fault(rules: tuple[AlertRule, ...], kind: str) -> dict[Fault, list[int]]:
    found: dict[Fault, list[int]] = {}
    for number, rule in enumerate(rules):
        if rule.kind == kind and rule.fault is not None:
            found.setdefault(Fault[rule.fault], []).append(number)
    return found


def _switched_on(plan: Plan, now: int, tolerance: int) -> int:
    state, _ = expected([plan], np.zeros(1, np.int32), np.array([now]), tolerance)
    if state[0] != LIT:
        return FOREVER
    changes = plan.night(plan.night_number(now)).changes
    return int(changes[0])


def _values(columns: Columns, report: Integers, count: int, nominal: float) -> tuple[Floats, Floats, Floats]:
    """Power, voltage and level of each report: phases are summed; the phase farthest from nominal is the voltage."""
    power, volts, level = (np.full(count, np.nan) for _ in range(3))
    phases = np.isin(columns.property, _PHASE_POWER)
    summed = np.bincount(report[phases], columns.value[phases], count)
    several = np.bincount(report[phases], minlength=count) == len(PHASES)
    power[several] = summed[several]
    of_phase = np.flatnonzero(np.isin(columns.property, _PHASE_VOLTS))
    far = of_phase[np.argsort(np.abs(columns.value[of_phase] - nominal), kind="stable")]
    volts[report[far]] = columns.value[far]  # the last assignment is the farthest
    for number, column in ((_POWER, power), (_VOLTS, volts), (_LEVEL, level)):
        chosen = columns.property == number
        column[report[chosen]] = columns.value[chosen]
    return power, volts, level
