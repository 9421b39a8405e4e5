"""``start_s``: from the start of the process until it takes messages, with the saved state of the whole fleet."""

import shutil
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from devices.fleet_store import open_fleet
from devices.profile import shipped_profiles
from gateway.analytics.columns import columns_of_judged
from gateway.analytics.room import Analytics
from gateway.line.journal import Journal
from gateway.line.pipeline import Limits, Pipeline
from gateway.line.snapshot import Saver
from gateway.line.state import State
from gateway.model import Uplink
from tests.bench import stage
from tests.bench.figures import Size, Taken
from tests.bench.province import Province
from tests.gateway_process import EMBEDDED
from tests.servers import Server

KEYS = ("start_s", "start_after_kill_s")
STORE = "here"
"""The name of the store in ``EMBEDDED``."""
BATCH = 400


def measure(size: Size, work: Path) -> list[Taken]:
    """Two pasts: the state was just saved; and it was saved a minute ago, as every minute, with full rate since."""
    province = Province(size.devices)
    fleet = stage.fleet_file(work, province)
    with stage.folder() as past, stage.broker() as broker:
        saved, behind = past / "saved", past / "behind"
        build_past(saved, behind, fleet, province, int(size.rate * size.province_seconds))
        starts = [_start(saved, broker, fleet) for _ in range(size.starts)]
        late_starts = [_start(behind, broker, fleet) for _ in range(size.starts)]
    return [Taken.of("start_s", *starts), Taken.of("start_after_kill_s", *late_starts)]


def build_past(saved: Path, behind: Path, fleet: Path, province: Province, more: int) -> None:
    """Data folders as kill -9 leaves them: every device has spoken twice, then the state and what it means were saved;
    in ``behind`` so many more messages came afterwards. All of them are in the store."""
    live = saved.with_name("live")
    live.mkdir()
    registry = open_fleet(fleet, shipped_profiles().values())
    journal = Journal(live / "journal.db", [STORE])
    pipeline = Pipeline(registry, State(registry), journal.senders, Limits())
    uplinks, room = uplinks_of(province, 2 * province.devices + more), Analytics(registry, time.time_ns())
    row = _take(pipeline, journal, islice(uplinks, 2 * province.devices), room)
    Saver(live / "state.bin").save(pipeline.state.snapshot(row), wait=True)
    Saver(live / "analytics.bin").save_now(room.file(time.time_ns(), whole=False), wait=True)
    journal.tend(force=True)
    # The files of an open journal, as a power cut leaves them: closing would tidy up.
    shutil.copytree(live, saved)
    _take(pipeline, journal, uplinks)
    shutil.copytree(live, behind)
    journal.close()
    shutil.rmtree(live)


def uplinks_of(province: Province, count: int) -> Iterator[Uplink]:
    """The province's messages as the line's edge hands them on."""
    start = time.time_ns()
    for number, message in enumerate(province.messages(0, count, start // 1_000_000, 8000.0)):
        yield Uplink(message.topic, message.payload, start + number * 125_000, message_id=number % 65_535 + 1)


def _take(pipeline: Pipeline, journal: Journal, uplinks: Iterator[Uplink], room: Analytics | None = None) -> int:
    row = 0
    while said := list(islice(uplinks, BATCH)):
        batch = pipeline.process(said)[0]
        row = journal.append(batch)
        journal.rows.accepted(STORE, [row], [])
        if room is not None:
            room.take(columns_of_judged(batch.judged), old=False)
            room.tick(said[-1].received_at)
            room.written(said[-1].received_at)
    return row


def _start(past: Path, broker: Server, fleet: Path) -> float:
    with stage.folder() as place:
        shutil.copytree(past, place / "data")
        began = time.monotonic()
        with stage.make_gateway(place, broker.port, EMBEDDED, fleet) as gateway:
            gateway.await_connected()
            return time.monotonic() - began
