"""The truth ledger: what was sent, lost or spoiled, message by message, for comparison with what a gateway has."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from devices.codecs import times
from simulators.link import Fate
from simulators.stream import Uplink


def entry(uplink: Uplink) -> dict[str, object]:
    """One line of the ledger.

    ``sent_at`` and ``measured_at`` are RFC 3339; ``observed_at`` is what the device's clock said; it and ``seq`` are
    missing where the device says neither. ``values`` stand there if a gateway must have them.
    """
    report = uplink.report
    found: dict[str, object] = {
        "sent_at": times.text(round(uplink.at * 1000.0) * 1_000_000),
        "device": uplink.device,
        "topic": uplink.note.topic,
        "fate": uplink.fate.value,
        "kinds": list(uplink.kinds),
        "measured_at": times.text(round(report.at * 1000.0) * 1_000_000),
    }
    if report.sequence is not None:
        found["seq"] = report.sequence
    if report.observed_at is not None:
        found["observed_at"] = times.text(report.observed_at)
    if uplink.fate in {Fate.KEPT, Fate.REPEATED} and report.values:
        found["values"] = report.values
    return found


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
