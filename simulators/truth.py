"""The truth: what was sent, lost or spoiled, message by message, and every spell of every fault."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from devices.codecs import times
from simulators.faults import fault_keys
from simulators.fleet import Fleet
from simulators.link import Fate
from simulators.local_time import FIRST, LAST
from simulators.stream import Uplink


def entry(uplink: Uplink) -> dict[str, object]:
    """One line of the ledger.

    ``sent_at`` and ``measured_at`` are RFC 3339; ``observed_at`` is what the device's clock said; it and ``seq`` are
    missing where the device says neither. ``values`` stand there if a gateway must have them.
    """
    report = uplink.report
    found: dict[str, object] = {
        "sent_at": _text(uplink.at),
        "device": uplink.device,
        "topic": uplink.note.topic,
        "fate": uplink.fate.value,
        "kinds": list(uplink.kinds),
        "measured_at": _text(report.at),
    }
    if report.sequence is not None:
        found["seq"] = report.sequence
    if report.observed_at is not None:
        found["observed_at"] = times.text(report.observed_at)
    if uplink.fate in {Fate.KEPT, Fate.REPEATED} and report.values:
        found["values"] = report.values
    return found


def planted(fleet: Fleet, start: float, stop: float) -> Iterator[dict[str, object]]:
    """Every spell of every fault that touches this time, device by device: also those that leave no uplink to tell it.

    Spells stand here as they were drawn, ``size`` likewise; what concerns single uplinks (``chance``) names the time
    in which it can happen, and the ledger of uplinks those it happened to.
    """
    for fault in fleet.scenario.fault:
        for cohort in fleet.cohorts:
            if not fault.concerns(cohort.kind) or (fault.property and fault.property not in cohort.properties):
                continue
            keys = fault_keys(fleet.seed, cohort.names)
            for number in np.flatnonzero(fault.meets(cohort.names, keys)).tolist():
                for spell in fault.spells(keys[number : number + 1], start, stop):
                    yield {
                        "kind": fault.kind,
                        "device": cohort.names[number],
                        "start": _text(max(spell.start, FIRST)),
                        "stop": _text(spell.stop) if spell.stop < LAST else None,
                        "size": round(spell.size, 6),
                        **({"property": fault.property} if fault.property else {}),
                    }


def write_planted(fleet: Fleet, start: float, stop: float, path: Path) -> int:
    """Write them as JSON lines, whole or not at all, and return how many there are."""
    part = path.with_name(path.name + ".part")
    count = 0
    with part.open("w", encoding="utf-8") as file:
        for line in planted(fleet, start, stop):
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
            count += 1
    part.replace(path)
    return count


def _text(moment: float) -> str:
    return times.text(round(moment * 1000.0) * 1_000_000)


class Truth:
    """Writes the ledger to a file, and counts."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self.fates: Counter[Fate] = Counter()

    def write(self, uplinks: Iterable[Uplink]) -> None:
        """Add these, in their order."""
        for uplink in uplinks:
            self._file.write(json.dumps(entry(uplink), separators=(",", ":"), ensure_ascii=False) + "\n")
            self.fates[uplink.fate] += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
