"""``line_us``: where the microseconds of one message go in the line, each part alone over the same messages."""

import gc
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from devices.codecs import Context
from devices.fleet_store import open_fleet
from devices.observation import Message
from devices.profile import shipped_profiles
from devices.topics import UP
from gateway.line.journal import Journal
from gateway.line.line_protocol import Templates
from gateway.line.normalize import Placed, Plan, places
from gateway.line.pipeline import Limits, Pipeline, identity_of
from gateway.line.quality import judge
from gateway.line.state import State
from gateway.model import Batch, Uplink
from tests.bench import stage
from tests.bench.figures import Size, Taken
from tests.bench.province import Province
from tests.bench.starting import uplinks_of

KEYS = ("line_us",)
COUNT = 40_000
T = TypeVar("T")
BATCH = 400
"""Messages of one commit: what comes together at full rate."""


def measure(size: Size, work: Path) -> list[Taken]:
    """The whole way of a message and its commit; then every part with what the parts before it gave."""
    registry = open_fleet(stage.fleet_file(work, Province(size.devices)), shipped_profiles().values())
    found: dict[str, list[float]] = {}
    count = min(COUNT, size.messages)
    for _ in range(size.pairs):
        uplinks = list(uplinks_of(Province(size.devices), count))
        for part, seconds in _Way(Pipeline(registry, State(registry), _numbers, Limits()), uplinks).parts(work):
            found.setdefault(part, []).append(seconds / count * 1e6)
    return [Taken("line_us", found)]


def _numbers(names: Sequence[str]) -> list[int]:
    return list(range(1, len(names) + 1))


class _Way:
    """The same messages, part by part."""

    def __init__(self, pipeline: Pipeline, uplinks: list[Uplink]) -> None:
        self.pipeline, self.uplinks = pipeline, uplinks
        self.registry, self.state = pipeline.registry, State(pipeline.registry)
        self.plan = Plan(self.registry.profile(0), self.registry.sources[0])
        self.templates = Templates()

    def parts(self, work: Path) -> list[tuple[str, float]]:
        """Seconds of each part for all messages."""
        zone, find = self.registry.timezone(0), self.registry.find
        found, devices = _timed(lambda: [find(uplink.topic, uplink.received_at) for uplink in self.uplinks])
        identity, _ = _timed(lambda: [identity_of(uplink.payload) for uplink in self.uplinks])
        decode, messages = _timed(
            lambda: [
                self.plan.decode(uplink.payload, Context(UP, zone, {}, False, 0, uplink.received_at))
                for uplink in self.uplinks
            ]
        )
        normalize, placed = _timed(lambda: [self._placed(*pair) for pair in zip(messages, self.uplinks, strict=True)])
        judged, flags = _timed(
            lambda: [self._judged(place, who.device) for place, who in zip(placed, devices, strict=True)]
        )
        lines, _ = _timed(lambda: [self._line(place, flag) for place, flag in zip(placed, flags, strict=True)])
        whole, batches = _timed(self._batches)
        commit, _ = _timed(lambda: self._commit(work, batches))
        known = found + identity + decode + normalize + judged + lines
        return [
            ("find the device", found),
            ("identity of the payload", identity),
            ("decode", decode),
            ("normalize", normalize),
            ("judge seven values", judged),
            ("line protocol", lines),
            ("the rest: repeats, ledger, latest, hand over", whole - known),
            ("all of that", whole),
            ("commit", commit),
        ]

    def _placed(self, message: Message, uplink: Uplink) -> Placed:
        slots = self.plan.slots(message.observations)
        return places(message.observations, slots, uplink.received_at, message.zoned, ())[0]

    def _judged(self, place: Placed, device: int) -> list[int]:
        first, watch = self.registry.first_series[device], self.state.watch[device]
        return [
            judge(slot, value, place.at, self.state, first + slot.position, watch + slot.watched)
            for slot, value in zip(place.slots, place.values, strict=True)
        ]

    def _line(self, place: Placed, flags: list[int]) -> str:
        return self.templates.of(place.slots).fill(
            "commune=10000,device=lamp", place.values, flags, place.clock, place.at
        )

    def _batches(self) -> list[Batch]:
        firsts = range(0, len(self.uplinks), BATCH)
        return [self.pipeline.process(self.uplinks[first : first + BATCH])[0] for first in firsts]

    def _commit(self, work: Path, batches: list[Batch]) -> None:
        with closing(Journal(work / "way.db", ["store"])) as journal:
            journal.senders(self.registry.names)
            for batch in batches:
                journal.append(batch)
        for file in work.glob("way.*"):
            file.unlink()


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    gc.collect()
    gc.disable()
    try:
        began = time.perf_counter()
        result = work()
        return time.perf_counter() - began, result
    finally:
        gc.enable()
