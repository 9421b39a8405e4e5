"""Judged values to InfluxDB line protocol: one line per device, measurement and time; templates are compiled once."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from devices.vocabulary import VOCABULARY
from gateway.line.normalize import Slot

FLAGS_ONLY = b" quality="
"""How the fields of a line begin that sets flags of a stored line anew; in every other line a value comes first."""
_READINGS = {entry.measurement.value for entry in VOCABULARY.values()}


class Template:
    """The line protocol of one set of properties, compiled once and filled by ``%``."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.names = tuple([slot.name for slot in slots])
        by_measurement: dict[str, list[int]] = {}
        for number, slot in enumerate(slots):
            by_measurement.setdefault(slot.measurement, []).append(number)
        self.parts = [
            (
                f"{measurement},%s "
                + ",".join(f"{slots[number].name}=%r" for number in numbers)
                + ",quality=%d,clock=%d %d\n",
                [(number, slots[number].name) for number in numbers],
            )
            for measurement, numbers in by_measurement.items()
        ]
        self.single = self.parts[0][0] if len(self.parts) == 1 else ""
        rated = [
            ([number for number, _ in fields], [slots[number] for number, _ in fields if slots[number].rate])
            for _, fields in self.parts
        ]
        self.rated = [(numbers, some) for numbers, some in rated if some]
        """Of each line with properties whose rate of change is judged: numbers of all its slots, and those slots."""

    @property
    def line_count(self) -> int:
        """Lines that one uplink of this shape becomes."""
        return len(self.parts)

    def fill(self, tags: str, values: Sequence[float], flags: Sequence[int], clock: int, at: int) -> str:
        """Finished lines, each ended by a newline.

        Args:
            tags: ``commune=...,device=...``; both are safe words, so nothing needs escaping.
            values: canonical units, in the order of the slots.
            flags: quality of each.
            clock: ``devices.quality.Clock``.
            at: nanoseconds UTC.
        """
        if self.single and max(flags) == 1:
            return self.single % (tags, *values, 1, clock, at)
        text = ""
        for template, fields in self.parts:
            worst = max(flags[number] for number, _ in fields)
            line = template % (tags, *(values[number] for number, _ in fields), worst, clock, at)
            if worst != 1:
                judged = ",".join(f"{name}_quality={flags[number]}" for number, name in fields)
                head, _, stamp = line.rpartition(" ")
                line = f"{head},{judged} {stamp}"
            text += line
        return text


class Line(NamedTuple):
    """One finished line, read back."""

    measurement: str
    device: str
    fields: dict[str, float]
    at: int


def read_back(lines: bytes) -> Iterator[Line]:
    """The readings among a journal row's lines, those that ``Template`` has written: nothing in them is escaped."""
    for text in lines.decode().splitlines():
        if text.partition(",")[0] not in _READINGS:
            continue  # an index, an alert, a roll-up
        series, fields, stamp = text.split(" ")
        measurement, _, device = series.split(",")
        pairs = (field.partition("=") for field in fields.split(","))
        yield Line(measurement, device.removeprefix("device="), {k: float(v) for k, _, v in pairs}, int(stamp))


def with_all_flags(lines: str) -> str:
    """The same lines, each with the quality of every property: written over a line that had other flags, none stays.

    >>> with_all_flags("device,commune=1,device=d uptime=3.0,quality=1,clock=0 5\\n")
    'device,commune=1,device=d uptime=3.0,quality=1,clock=0,uptime_quality=1 5\\n'
    """
    return "".join(_with_flags(line) for line in lines.splitlines(keepends=True))


def _with_flags(line: str) -> str:
    series, fields, stamp = line.split(" ")
    pairs = [field.partition("=") for field in fields.split(",")]
    if {name: value for name, _, value in pairs}["quality"] != "1":
        return line
    flags = (f"{name}_quality=1" for name, _, _ in pairs if name not in {"quality", "clock"})
    return f"{series} {fields},{','.join(flags)} {stamp}"


class Templates:
    """Templates by the positions that an uplink reports, for one plan."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], Template] = {}

    def of(self, slots: Sequence[Slot]) -> Template:
        """The template of these slots."""
        key = tuple([slot.position for slot in slots])
        template = self._known.get(key)
        if template is None:
            template = Template(slots)
            # A device that reports ever other sets of properties must not fill the memory.
            if len(self._known) < 1000:
                self._known[key] = template
        return template
