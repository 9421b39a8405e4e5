"""``python -m tests.bench.profile_line``: where the microseconds of one message go, by stage, by step and by function.

Everything is processor time of the thread that does it, so that a busy machine changes little. Stages are measured on
the running line with a real broker and a real InfluxDB; steps are what ``Pipeline.process`` and ``Journal.append`` are
made of, each repeated alone over the same messages, beside the least that the same work must cost.
"""

import cProfile
import json
import pstats
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from pydantic_core import from_json
from rich.console import Console
from rich.table import Table

from devices.codecs import Context, times
from devices.fleet_store import open_fleet
from devices.profile import shipped_profiles
from devices.registry import Registry
from devices.topics import UP
from gateway.analytics.room import Analytics
from gateway.analytics.worker import columns_of_judged
from gateway.line.journal import Journal
from gateway.line.ledger import pack_heard
from gateway.line.line_protocol import Templates
from gateway.line.normalize import Plan, places
from gateway.line.pipeline import Limits, Pipeline, identity_of
from gateway.line.quality import judge
from gateway.line.raw_uplinks import pack_raw
from gateway.line.state import State
from gateway.model import Batch, Judged, Uplink
from gateway.northbound.influxdb1 import InfluxDB1
from gateway.settings import Broker
from gateway.southbound.mqtt import MqttEdge
from tests.bench import stage
from tests.bench.figures import RESULTS
from tests.bench.province import PROPERTIES, Province
from tests.bench.sender import sender
from tests.bench.starting import uplinks_of

DEVICES = 2000
MESSAGES = 20_000
BATCH = 400
"""About what the line commits at once at 8,000 messages a second."""
PROFILE = RESULTS.with_name("profile.json")
FUNCTIONS = 25


class Cost(NamedTuple):
    """Microseconds of one message."""

    what: str
    us: float
    least: str = ""
    """What has to be done in any case, in words."""
    least_us: float | None = None


class Parts(NamedTuple):
    """The line without its edge."""

    registry: Registry
    journal: Journal
    pipeline: Pipeline


def make_parts(place: Path, fleet: Path) -> Parts:
    """A line with an empty journal."""
    registry = open_fleet(fleet, shipped_profiles().values())
    journal = Journal(place / "journal.db", ["influx"])
    return Parts(registry, journal, Pipeline(registry, State(registry), journal.senders, Limits()))


# stages --------------------------------------------------------------------------------------------------------------


class Meter:
    """Adds up the thread's processor time by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._at = time.thread_time()

    def start(self) -> None:
        """What was done until now is nobody's."""
        self._at = time.thread_time()

    def lap(self, name: str) -> None:
        """What was done since belongs to this name."""
        now = time.thread_time()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._at
        self._at = now


def stages(place: Path, fleet: Path, province: Province) -> list[Cost]:
    """The line's own turns, one after the other in this thread, then what the other threads do with the batches."""
    parts = make_parts(place, fleet)
    meter, batches = Meter(), []
    with stage.broker() as broker:
        edge = MqttEdge(Broker(port=broker.port), ["village/+/+/up"], parts.journal, lambda _lost: None)
        while not edge.status.connected or parts.journal.note("subscribed") == "":
            edge.poll(0.1)
            parts.journal.tend(force=True)
        with sender(stage.order(broker.port, province, 0, MESSAGES, 8000.0)).await_ready() as field:
            field.go()
            done = 0
            while done < MESSAGES:
                meter.start()
                uplinks = edge.poll(0.25)
                meter.lap("poll: paho reads the broker")
                if uplinks:
                    batch, _ = parts.pipeline.process(uplinks)
                    meter.lap("process: registry, codec, normalize, quality, line protocol")
                    parts.journal.append(batch)
                    meter.lap("append: one transaction of SQLite, on disk")
                    edge.acknowledge(uplinks)
                    meter.lap("acknowledge: PUBACK by paho")
                    parts.journal.tend()
                    meter.lap("tend: delivery's marks, housekeeping")
                    batches.append(batch)
                    done += len(uplinks)
            field.report()
        edge.close()
    parts.journal.close()
    _analyse(parts.registry, batches, meter)
    _deliver(batches, meter)
    sizes = statistics.fmean(batch.received for batch in batches)
    names = {
        "append: one transaction of SQLite, on disk": f"append: one transaction of SQLite, on disk ({sizes:.0f} messages each)"
    }
    return [Cost(names.get(name, name), seconds / MESSAGES * 1e6) for name, seconds in meter.seconds.items()]


def _analyse(registry: Registry, batches: Sequence[Batch], meter: Meter) -> None:
    """As the analytics thread does it: what came in a second together, then a look at the clock."""
    now = time.time_ns()
    room = Analytics(registry, now)
    together: list[Judged] = []
    meter.start()
    for number, batch in enumerate(batches, start=1):
        together += batch.judged
        if len(together) >= 8000 or number == len(batches):
            room.take(columns_of_judged(together), old=False)
            room.tick(time.time_ns())
            together.clear()
    meter.lap("analytics thread: alerts, roll-ups, indices")


def _deliver(batches: Sequence[Batch], meter: Meter) -> None:
    """As the delivery thread does it: bodies of 2,000 lines."""
    with stage.influx() as store:
        influx = InfluxDB1(name="influx", url=store.server.url, database=stage.DATABASE, rollup_database="rollups")
        body: list[bytes] = []
        lines = 0
        meter.start()
        for number, batch in enumerate(batches, start=1):
            body.append(batch.lines)
            lines += batch.line_count
            if lines >= 2000 or number == len(batches):
                influx.write(b"".join(body))
                body, lines = [], 0
        meter.lap("delivery thread: join, gzip, POST")
        influx.close()


# steps ---------------------------------------------------------------------------------------------------------------


def steps(place: Path, fleet: Path, province: Province) -> list[Cost]:
    """``Pipeline.process`` and ``Journal.append`` over the same batches, whole and taken apart."""
    parts = make_parts(place, fleet)
    uplinks = list(uplinks_of(province, MESSAGES + BATCH))
    parts.pipeline.process(uplinks[:BATCH])  # plans, templates and caches are there
    groups = [uplinks[first : first + BATCH] for first in range(BATCH, MESSAGES + BATCH, BATCH)]
    batches: list[Batch] = []
    whole = _each(groups, lambda group: batches.append(parts.pipeline.process(group)[0]))
    taken_apart = [*_process_steps(parts, groups), *_append_steps(batches)]
    append = _each(batches, parts.journal.append)
    parts.journal.close()
    in_process = sum(cost.us for cost in taken_apart if not cost.what.startswith("append"))
    in_append = sum(cost.us for cost in taken_apart if cost.what.startswith("append"))
    return [
        Cost("process, whole", whole),
        *[cost for cost in taken_apart if not cost.what.startswith("append")],
        Cost("process: the rest (entries, calls between the steps)", whole - in_process),
        Cost("append, whole", append),
        *[cost for cost in taken_apart if cost.what.startswith("append")],
        Cost("append: the rest (SQLite, the kernel's writing, sums)", append - in_append),
    ]


def _each(groups: Sequence[Any], work: Callable[[Any], object], per_group: int = BATCH) -> float:
    """Median over the groups of this thread's processor time for one message [us]."""
    found = []
    for group in groups:
        began = time.thread_time_ns()
        work(group)
        found.append((time.thread_time_ns() - began) / 1000 / per_group)
    return statistics.median(found)


def _process_steps(parts: Parts, groups: Sequence[Sequence[Uplink]]) -> list[Cost]:
    registry = parts.registry
    state = State(registry)
    plan, templates = Plan(registry.profile(0), registry.sources[0]), Templates()
    zone = registry.timezone(0)
    messages = [
        [(uplink, plan.decode(uplink.payload, Context(UP, zone, {}, False, 0, uplink.received_at))) for uplink in group]
        for group in groups
    ]
    slotted = [[(u, m, plan.slots(m.observations)) for u, m in group] for group in messages]
    placed = [[(registry.find(u.topic, 0).device, places(m.observations, s, u.received_at, m.zoned, ())[0])
               for u, m, s in group] for group in slotted]  # fmt: skip
    first = registry.first_series

    def judge_all(group: Sequence[Any]) -> None:
        for device, place in group:
            series = first[device]
            [judge(slot, value, place.at, state, series + slot.position)
             for slot, value in zip(place.slots, place.values, strict=True)]  # fmt: skip

    flags = [1] * len(PROPERTIES)
    tags = "commune=10642,device=lamp-017"
    plain = "streetlight,%s " + ",".join(f"{name}=%r" for name in PROPERTIES) + ",quality=%d,clock=%d %d\n"
    return [
        Cost("find the device", _each(groups, lambda g: [registry.find(u.topic, u.received_at) for u in g]),
             "split the topic, look up a dict", _each(groups, lambda g: [registry.index[u.topic.split("/", 3)[2]] for u in g])),
        Cost("identity of the payload", _each(groups, lambda g: [identity_of(u.payload) for u in g]),
             "blake2b", _each(groups, lambda g: [blake2b(u.payload, digest_size=8).digest() for u in g])),
        Cost("decode", _each(groups, lambda g: [plan.decode(u.payload, Context(UP, zone, {}, False, 0, u.received_at)) for u in g]),
             "pydantic's from_json and one time", _each(groups, lambda g: [times.instant(from_json(u.payload)["observed_at"], zone) for u in g])),
        Cost("slots: unit and limits of each value", _each(messages, lambda g: [plan.slots(m.observations) for _, m in g])),
        Cost("places: canonical unit, time, clock", _each(slotted, lambda g: [places(m.observations, s, u.received_at, m.zoned, ()) for u, m, s in g]),
             "seven multiplications", _each(slotted, lambda g: [[o.value * s.factor + s.offset for o, s in zip(m.observations, ss, strict=True)] for _, m, ss in g])),
        Cost("judge: seven values, state", _each(placed, judge_all)),
        Cost("line protocol", _each(placed, lambda g: [templates.of(p.slots).fill(tags, p.values, flags, p.clock, p.at) for _, p in g]),
             "one % of seven floats", _each(placed, lambda g: [plain % (tags, *p.values, 1, 0, p.at) for _, p in g])),
    ]  # fmt: skip


def _append_steps(batches: Sequence[Batch]) -> list[Cost]:
    lines = _each(batches, lambda batch: zlib.compress(batch.lines, 1))
    raw_bytes = [pack_raw(batch.raw) for batch in batches]
    return [
        Cost("append: compress the lines", lines, "zlib, level 1", lines),
        Cost("append: pack and compress the ledger's entries", _each(batches, lambda batch: pack_heard(batch.heard))),
        Cost("append: pack and compress the raw uplinks", _each(batches, lambda batch: zlib.compress(pack_raw(batch.raw), 1)),
             "zlib, level 1", _each(raw_bytes, lambda body: zlib.compress(body, 1))),
    ]  # fmt: skip


# functions -----------------------------------------------------------------------------------------------------------


def functions(place: Path, fleet: Path, province: Province) -> list[Cost]:
    """Own time by function under cProfile, which makes calls dearer: read it as an order, not as figures."""
    parts = make_parts(place, fleet)
    uplinks = list(uplinks_of(province, MESSAGES))
    profile = cProfile.Profile(time.thread_time)
    for first in range(0, MESSAGES, BATCH):
        profile.enable()
        batch, _ = parts.pipeline.process(uplinks[first : first + BATCH])
        parts.journal.append(batch)
        profile.disable()
    parts.journal.close()
    entries = pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
    found = [
        Cost(f"{Path(file).name}:{name}" if line else name, own / MESSAGES * 1e6)
        for (file, line, name), (_, _, own, _, _) in entries
    ]
    return sorted(found, key=lambda cost: -cost.us)[:FUNCTIONS]


# the command ---------------------------------------------------------------------------------------------------------


def table(title: str, costs: Sequence[Cost]) -> Table:
    """For the terminal."""
    drawn = Table(title, "us a message", "the least", "us")
    for cost in costs:
        drawn.add_row(cost.what, f"{cost.us:.2f}", cost.least, "" if cost.least_us is None else f"{cost.least_us:.2f}")
    return drawn


def main() -> None:
    """Measure, print, and write ``build/profile.json``."""
    PROFILE.parent.mkdir(exist_ok=True)
    console, province, found = Console(), Province(DEVICES), {}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=PROFILE.parent) as work:
        tempfile.tempdir = work
        fleet = stage.fleet_file(Path(work), province)
        for title, measure in (("stage", stages), ("step", steps), ("function", functions)):
            with stage.folder() as place:
                found[title] = measure(place, fleet, province)
            console.print(table(title, found[title]))
        tempfile.tempdir = None
    document = {title: [cost._asdict() for cost in costs] for title, costs in found.items()}
    PROFILE.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
