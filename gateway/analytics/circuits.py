"""What concerns a whole lighting circuit: out, burning by day, voltage, and current that no lamp of it draws."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.lighting_tables import Detect
from gateway.analytics.lighting import Fault, LampBank
from gateway.analytics.sun import MINUTE

FAST, SLOW = 0.05, 0.002
"""How fast what is usual at a cabinet follows downwards and upwards, per report. Chosen: a thief's load must not become
usual within weeks, a lamp taken off the circuit should within hours."""
LEARNING = 24
"""Reports from which the usual difference is learnt before it is judged. Chosen."""

Bools = NDArray[np.bool_]
Groups = NDArray[np.int64]


class CircuitFaults(NamedTuple):
    """Which circuits have a fault now, one flag each."""

    out: Bools
    """(Nearly) all lamps dark or silent."""
    day_burner: Bools
    """(Nearly) all lamps burn although they should not: the contactor."""
    voltage: Bools
    """(Nearly) all lamps report a voltage out of band: the feeder."""


class Circuits:
    """Lamps by circuit, and the faults that are the circuit's and not theirs."""

    def __init__(self, group_of: Groups, count: int, detect: Detect) -> None:
        """Circuits of some lamps.

        Args:
            group_of: circuit of each lamp of the bank; -1 where it belongs to none.
            count: number of circuits.
            detect: thresholds.
        """
        self.detect = detect
        self.count = count
        self._members = np.flatnonzero(group_of >= 0)
        self._group = group_of[self._members]
        self.faults = CircuitFaults(*(np.zeros(count, np.bool_) for _ in range(3)))

    def judge(self, bank: LampBank, silent: Bools, due: Bools, unheard: Bools | None = None) -> CircuitFaults:
        """The faults of every circuit now.

        Args:
            bank: the lamps, up to date.
            silent: lamps not heard within the intervals after which a circuit counts as silent.
            due: lamps that should be heard now: always powered, or their feeder should be live.
            unheard: lamps that nothing came of for so long, whoever's fault it is; as ``silent`` if not given. They
                begin no fault, and a circuit of them is not back.
        """
        share = self.detect.circuit_share
        dark, by_day = bank.since[Fault.OUT] > 0, bank.since[Fault.DAY_BURNER] > 0
        missing, proven = silent | dark, silent | self._has(bank, Fault.OUT)
        absent = missing if unheard is None else unheard | dark
        heard = ~silent & (bank.last_at > 0)
        off_band, tells = bank.since[Fault.VOLTAGE] > 0, heard & ~np.isnan(bank.volts)
        self.faults = CircuitFaults(
            self._share(self.faults.out, missing, proven, due, share, absent),
            self._share(
                self.faults.day_burner,
                by_day,
                self._has(bank, Fault.DAY_BURNER),
                heard & ~self._has(bank, Fault.OUT),
                self.detect.day_share,
            ),
            self._share(self.faults.voltage, off_band, self._has(bank, Fault.VOLTAGE), tells, share),
        )
        return self.faults

    @staticmethod
    def _has(bank: LampBank, fault: Fault) -> Bools:
        held: Bools = np.greater(bank.faults & np.uint8(fault), 0)
        return held

    def _share(
        self, before: Bools, shows: Bools, proven: Bools, among: Bools, share: float, still: Bools | None = None
    ) -> Bools:
        """Whether (nearly) all of a circuit's lamps show something, and at least one for long enough.

        ``still``: lamps that keep it up once it has begun, if those are not the ones that show it. It is over when no
        more than half the share that began it is left: a few broken lamps stay missing.
        """
        asked = self._counted(among)
        showing = self._counted(shows & among)
        least = self.detect.circuit_least_lamps
        begins = (asked >= least) & (showing >= least) & (showing >= share * asked)
        begins &= self._counted(proven & among) > 0
        keeping = showing if still is None else self._counted(still & among)
        stays = before & ((asked == 0) | (keeping > share / 2 * asked))
        result: Bools = begins | stays
        return result

    def _counted(self, flag: Bools) -> Groups:
        return np.bincount(self._group[flag[self._members]], minlength=self.count)


class Excess(NamedTuple):
    """What a cabinet meters beyond its lamps [W]."""

    watts: float
    """More than is usual there."""
    limit: float
    """From here on it is suspicious."""


class Theft:
    """Current drawn from a circuit that no lamp of it draws: metered minus the lamps' sum, against what is usual."""

    def __init__(self, count: int, detect: Detect) -> None:
        self.detect = detect
        self.usual = np.zeros((count, 2))
        """[W] metered beyond the lamps when all is well, by day and by night: lamps without controller, controllers."""
        self.reports = np.zeros((count, 2), np.int32)
        self.since = np.zeros((count, 2), np.int64)
        """[ns UTC] of the first suspicious report in a row, by day and by night; 0: none."""
        self.stolen_when = np.zeros((count, 2), np.bool_)
        self._fine_since = np.zeros((count, 2), np.int64)
        """[ns UTC] of the first report in a row that shows no theft any more; 0: none. Begins anew with each start."""

    def stolen(self, cabinet: int) -> bool:
        """Whether current is stolen. What is stolen by night is judged by night: a feeder that is dark by day proves
        nothing."""
        return bool(self.stolen_when[cabinet].any())

    def step(self, cabinet: int, at: int, metered: float, lamps: float, *, lit: bool) -> Excess:
        """Take one report of a cabinet into account; look at ``stolen`` afterwards.

        Args:
            cabinet: index.
            at: [ns UTC], not older than the report before.
            metered: active power at the cabinet [W].
            lamps: sum of its lamps' power [W]; for a lamp that is silent, what it would draw.
            lit: it is a time to burn, not a time to be dark. Times of switching must not be given at all.
        """
        detect, night = self.detect, int(lit)
        residual = metered - lamps * (1.0 + detect.cable_loss_share)
        usual, reports = float(self.usual[cabinet, night]), int(self.reports[cabinet, night])
        limit = max(detect.theft_watts, detect.theft_share * lamps)
        if residual < -limit:
            return Excess(0.0, limit)  # lamps cannot draw more than is metered: some of them are not known rightly
        excess = residual - usual
        if reports < LEARNING:
            self.usual[cabinet, night] = (usual * reports + residual) / (reports + 1)
            self.reports[cabinet, night] = reports + 1
            return Excess(0.0, limit)
        if excess > limit:
            self._fine_since[cabinet, night] = 0
            if self.since[cabinet, night] == 0:
                self.since[cabinet, night] = at
            self.stolen_when[cabinet, night] |= self._is_long(self.since[cabinet, night], at)
        elif excess < limit / 2:
            # When a feeder dies, its lamps are still taken to draw what they said last: that looks fine for minutes.
            if self._fine_since[cabinet, night] == 0:
                self._fine_since[cabinet, night] = at
            if not self.stolen_when[cabinet, night] or self._is_long(self._fine_since[cabinet, night], at):
                self.since[cabinet, night] = self._fine_since[cabinet, night] = 0
                self.stolen_when[cabinet, night] = False
        if excess <= limit:
            self.usual[cabinet, night] = usual + (FAST if excess < 0 else SLOW) * excess
        return Excess(excess, limit)

    def _is_long(self, since: np.int64, at: int) -> bool:
        return at - int(since) >= int(self.detect.theft_minutes * MINUTE)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Every column by name, for snapshots."""
        return {name: getattr(self, name) for name in ("usual", "reports", "since", "stolen_when")}
