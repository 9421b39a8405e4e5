"""What a fleet sends, in order of time: from any moment on, and the same whenever it is asked."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from typing import NamedTuple

from devices.codecs import native
from simulators.applied_faults import AppliedFaults
from simulators.device import Cohort, Samples, nanoseconds
from simulators.faults import LINK
from simulators.fleet import Fleet
from simulators.formats import Voice
from simulators.link import Fate, Sending, mangle, way
from simulators.local_time import DAY, FIRST, HOUR
from simulators.misreport import Met, Report, is_silent, misreport
from simulators.publisher import Note


class Uplink(NamedTuple):
    """One message on its way, or one that was lost before it."""

    at: float
    """When it is sent, seconds since 1970 UTC."""
    device: str
    note: Note
    fate: Fate
    kinds: tuple[str, ...]
    """The faults that made it what it is."""
    report: Report


class Past(NamedTuple):
    """A piece of history."""

    until: float
    """Everything before this moment has come."""
    lines: list[bytes]


class _Part(NamedTuple):
    """One cohort as it speaks."""

    faults: AppliedFaults
    voice: Voice


class Stream:
    """The uplinks of a fleet from a moment on."""

    def __init__(self, fleet: Fleet, start: float) -> None:
        self.at = start
        """Everything before this moment has been taken."""
        faults = [AppliedFaults(cohort, fleet.scenario.fault, fleet.seed) for cohort in fleet.cohorts]
        self._parts = [_Part(applied, Voice(applied.cohort)) for applied in faults]
        self._under_way: list[tuple[float, str, int, Uplink]] = []
        self._tie = count()
        for part in self._parts:
            delayed = part.faults.delayed()
            if delayed is not None:
                samples = part.faults.cohort.due(max(FIRST, start - HOUR - 1.0), start)
                samples = samples.where(delayed[samples.device])
                # These were said in sessions that ended before this stream began.
                before = part._replace(voice=Voice(part.faults.cohort))
                self._hold(uplink for uplink in _regular(before, samples) if uplink.at >= start)

    def _hold(self, uplinks: Iterable[Uplink]) -> None:
        for uplink in uplinks:
            heapq.heappush(self._under_way, (uplink.at, uplink.device, next(self._tie), uplink))

    def take(self, stop: float) -> list[Uplink]:
        """Every uplink until ``stop``, in order; those that are lost too, which are not to be sent."""
        start, self.at = self.at, stop
        found: list[Uplink] = []
        for part in self._parts:
            later: list[Uplink] = []
            for uplink in _regular(part, part.faults.cohort.due(start, stop)):
                (found if uplink.at < stop else later).append(uplink)
            self._hold(later)
            for samples, sent in part.faults.bursts(start, stop):
                found.extend(_besides(part, samples, sent.tolist(), "outage"))
            for samples in part.faults.babble(start, stop):
                found.extend(_besides(part, samples, samples.at.tolist(), "babbling"))
        while self._under_way and self._under_way[0][0] < stop:
            found.append(heapq.heappop(self._under_way)[3])
        found.sort(key=lambda uplink: (uplink.at, uplink.device))
        return found


def _reports(cohort: Cohort, samples: Samples) -> Iterator[tuple[int, Report]]:
    if not samples.device.size:
        return
    records = cohort.records(samples, cohort.values(samples))
    numbers = (samples.number.tolist(), cohort.sequence(samples).tolist())
    columns = (samples.device.tolist(), samples.at.tolist(), nanoseconds(samples.at), records)
    kinds = cohort.kinds(samples)
    for row, (number, sequence, device, at, moment, record) in enumerate(zip(*numbers, *columns, strict=True)):
        yield device, Report(at, record, moment, sequence, number, kinds.get(row, ()))


def _regular(part: _Part, samples: Samples) -> Iterator[Uplink]:
    """What becomes of regular reports, in order of measurement."""
    if not samples.device.size:
        return
    met = part.faults.met(samples)
    for row, (device, report) in enumerate(_reports(part.faults.cohort, samples)):
        faults = met.get(row)
        if faults is None:
            yield from _uplinks(part, device, report, Sending(report.at, Fate.KEPT))
        else:
            yield from _troubled(part, device, report, faults)


def _troubled(part: _Part, device: int, report: Report, faults: Sequence[Met]) -> Iterator[Uplink]:
    if is_silent(faults, report.at):
        return
    outage = next((one.spell for one in faults if one.fault.kind == "outage"), None)
    if outage is not None:
        # What the device remembers comes in the burst after the outage.
        if report.at < outage.stop - outage.size * HOUR:
            yield from _uplinks(part, device, report, Sending(report.at, Fate.LOST, kinds=("outage",)))
        return
    wrong = _misreport(part.faults, device, report, faults)
    for sending in way(report.at, faults):
        yield from _uplinks(part, device, wrong, sending)


def _besides(part: _Part, samples: Samples, sent: Sequence[float], kind: str) -> Iterator[Uplink]:
    """Uplinks besides the regular ones; nothing more happens to them on their way."""
    met = part.faults.met(samples)
    for row, (device, report) in enumerate(_reports(part.faults.cohort, samples)):
        faults = [one for one in met.get(row, ()) if one.fault.kind not in LINK]
        if not is_silent(faults, report.at):
            said = report._replace(sequence=None) if kind == "babbling" else report
            wrong = _misreport(part.faults, device, said, faults)
            yield from _uplinks(part, device, wrong, Sending(sent[row], Fate.KEPT, kinds=(kind,)))


def _misreport(applied: AppliedFaults, device: int, report: Report, faults: Sequence[Met]) -> Report:
    return misreport(report, faults, lambda at: applied.earlier(device, at)) if faults else report


def _uplinks(part: _Part, device: int, report: Report, sending: Sending) -> Iterator[Uplink]:
    """The messages of one report."""
    name = part.faults.cohort.names[device]
    said, notes = part.voice.say(device, report)
    fate = sending.fate
    if fate is Fate.REPEATED and not part.voice.recognizable:
        # Neither time nor number: nobody can tell it from a new reading.
        fate = Fate.KEPT
    kinds = (*report.kinds, *sending.kinds)
    for note in notes[:-1]:
        yield Uplink(sending.at, name, note, fate, kinds, said._replace(values={}))
    note = notes[-1]
    if sending.mangled is not None:
        note = note._replace(payload=mangle(note.payload, sending.mangled))
    yield Uplink(sending.at, name, note._replace(retain=sending.retain), fate, kinds, said)


_NOT_IN_THE_PAST = LINK | {"clock_unset", "clock_ahead", "babbling"}
"""History is what the devices' own memories hold: no link spoils it, and it is read out with a right clock."""


def history(fleet: Fleet, start: float, stop: float) -> Iterator[Past]:
    """The same devices' past as JSON lines in order of time, one a report, at the scenario's history step."""
    every = [AppliedFaults(cohort, fleet.scenario.fault, fleet.seed) for cohort in fleet.cohorts]
    step, begin = fleet.scenario.history_step_seconds, start
    while begin < stop:
        end = min(begin + DAY / 4, stop)
        merged = heapq.merge(*(_lines(applied, begin, end, step) for applied in every))
        yield Past(end, [line for _, line in merged])
        begin = end


def _lines(applied: AppliedFaults, start: float, stop: float, step: float) -> Iterator[tuple[float, bytes]]:
    cohort = applied.cohort
    samples = cohort.due(start, stop, step)
    met = applied.met(samples)
    for row, (device, report) in enumerate(_reports(cohort, samples)):
        faults = [one for one in met.get(row, ()) if one.fault.kind not in _NOT_IN_THE_PAST]
        if not is_silent(faults, report.at):
            said = _misreport(applied, device, report, faults)
            body = native.encode(cohort.profile, said.values, said.observed_at, said.sequence)
            yield report.at, b'{"device":"%s",%s\n' % (cohort.names[device].encode(), body[1:])
