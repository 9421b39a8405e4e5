"""``codec_us``: microseconds from an uplink's bytes to its observations, over the golden uplinks of every codec."""

import copy
import gc
import statistics
import time
from pathlib import Path
from zoneinfo import ZoneInfo

from devices.codecs import CODECS, Context, load, times
from tests.bench.figures import Size, Taken
from tests.test_cases import CASES, Case, payload_of, read_case

KEYS = ("codec_us",)


def measure(size: Size, _work: Path) -> list[Taken]:
    """By codec: of every uplink it accepts the median call, and of those the mean."""
    found = {}
    for codec in CODECS:
        folders = sorted(file.parent for file in (CASES / codec).glob("*/expected.out"))
        found[codec] = [_mean_call(folders, size.calls) for _ in range(size.pairs)]
    return [Taken("codec_us", found)]


def _mean_call(folders: list[Path], calls: int) -> float:
    return statistics.fmean(_median_call(read_case(folder), calls) for folder in folders)


def _median_call(case: Case, calls: int) -> float:
    """Microseconds. Each call finds the codec's memory as the golden case does."""
    decode = load(case.uplink.parent.parent.name).decoder(case.profile)
    said = case.context
    received_at, _ = times.instant(said["received_at"], ZoneInfo("UTC"))
    context = Context(said["event"], ZoneInfo(said["zone"]), {}, said["retained"], said["port"], received_at)
    for earlier in said["earlier"]:
        decode(payload_of(case.uplink.parent / earlier["file"]), context._replace(event=earlier["event"]))
    payload = payload_of(case.uplink)
    found = []
    gc.disable()
    try:
        for _ in range(calls):
            fresh = context._replace(memory=copy.deepcopy(context.memory))
            began = time.perf_counter_ns()
            decode(payload, fresh)
            found.append(time.perf_counter_ns() - began)
    finally:
        gc.enable()
    return statistics.median(found) / 1000
