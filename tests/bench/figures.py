"""What is measured: the figures by key with their goals, what a run found, and ``build/bench.json``."""

import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self

RESULTS = Path(__file__).parents[2] / "build" / "bench.json"


class Size(NamedTuple):
    """How much each benchmark does."""

    name: str
    devices: int = 200_000
    pairs: int = 5
    messages: int = 100_000
    """Of one end-to-end run."""
    rate: int = 8000
    """Messages a second of a whole province."""
    province_seconds: float = 60.0
    backlog: int = 1_000_000
    """Points that wait while the store is away; also how many uplinks make them."""
    latency_rate: int = 1000
    latency_seconds: float = 10.0
    starts: int = 5
    disk_seconds: float = 60.0
    """One window: a snapshot of the state and a fold of the ledger fall into every minute."""
    calls: int = 300
    """Of a codec for each golden uplink."""
    commune: int = 5000
    """Devices of the commune whose latest values are asked."""
    questions: int = 15
    shape_seconds: float = 15.0
    shape_rates: Sequence[int] = (1, 10, 100, 1000, 8000)
    shape_devices: Sequence[int] = (100, 1000, 10_000, 200_000)


FULL = Size("full")
QUICK = Size(
    "quick", pairs=2, messages=20_000, province_seconds=6.0, backlog=60_000, latency_seconds=4.0, starts=2,
    disk_seconds=4.0, calls=30, questions=5, shape_seconds=3.0, shape_rates=(1, 100, 1000, 8000),
    shape_devices=(100, 200_000),
)  # fmt: skip
"""To see that everything works, under three minutes; its figures are only rough."""


class Figure(NamedTuple):
    """One figure of the table."""

    key: str
    what: str
    against: str
    unit: str = ""
    goal: str = ""
    """For people; empty where a figure is only stated."""
    is_reached: Callable[[str, float], bool] | None = None
    """Whether this part's median reaches the goal; None where a figure is only stated."""


def _at_least(limit: float) -> Callable[[str, float], bool]:
    return lambda _part, value: value >= limit


def _at_most(limit: float) -> Callable[[str, float], bool]:
    return lambda _part, value: value <= limit


JSON_FAMILY = frozenset({
    "native", "json_fields", "bare", "senml", "tasmota", "zigbee2mqtt", "airrohr", "chirpstack", "things_stack",
})  # fmt: skip
"""Codecs whose payload, or whose envelope, is JSON."""
QUESTIONS = {"latest": 50.0, "day": 50.0, "year": 300.0}
"""Goal of each kind of question [ms], by the first word of the part's name."""

FIGURES = {
    figure.key: figure
    for figure in (
        Figure("e2e_ratio", "broker to journal to InfluxDB, QoS 1, 7 values a message",
               "a bare paho subscriber that acknowledges in hundreds", goal="0.75, aim 0.95",
               is_reached=_at_least(0.75)),
        Figure("province_backlog_slope", "growth of what waits, 8,000 messages a second offered",
               "flat: 1 % of what is offered", "msg/s", "80", _at_most(80.0)),
        Figure("p50_ms", "publish to visible in InfluxDB, 1,000 messages a second", "", "ms", "150", _at_most(150.0)),
        Figure("p99_ms", "the same, 99 of 100", "", "ms", "1,000", _at_most(1000.0)),
        Figure("drain_ratio", "a backlog of a million points into InfluxDB",
               "posting the same bodies, gzipped beforehand, with bare urllib3", goal="0.7", is_reached=_at_least(0.7)),
        Figure("rss_mb", "resident memory, each of 200,000 devices has sent 7 values twice", "", "MB", "300",
               _at_most(300.0)),
        Figure("backlog_rss_mb", "what a backlog of a million points adds", "before the outage", "MB", "50",
               _at_most(50.0)),
        Figure("start_s", "start to taking messages, 200,000 devices and their saved state", "", "s", "3",
               _at_most(3.0)),
        Figure("bytes_ratio_8000", "bytes written to disk at 8,000 messages a second", "bytes of line protocol",
               goal="3", is_reached=_at_most(3.0)),
        Figure("bytes_ratio_50", "bytes written to disk at 50 messages a second", "bytes of line protocol"),
        Figure("codec_us", "bytes to observations", "", "us", "15 for JSON",
               lambda part, value: part not in JSON_FAMILY or value <= 15.0),
        Figure("query_ms", "a question, asked as the board and the dashboards do", "", "ms", "50, 50, 300",
               lambda part, value: value <= QUESTIONS[part.split()[0]]),
        Figure("start_after_kill_s", "start after kill -9, a minute of 8,000 messages a second behind the saved state",
               "", "s"),
        Figure("publisher_per_s", "messages a second the bare subscriber took in those pairs", "", "msg/s"),
        Figure("gateway_per_s", "messages a second the gateway stored in those pairs", "", "msg/s"),
        Figure("cost_by_rate_us", "processor time of the gateway for one message, by messages a second", "", "us"),
        Figure("cost_by_devices_us", "the same at 1,000 messages a second, by devices in the registry", "", "us"),
        Figure("line_bytes", "one message with 7 values as line protocol", "", "bytes"),
        Figure("stored_bytes", "what InfluxDB keeps of it on disk, compacted", "", "bytes"),
        Figure("raw_bytes", "what the journal writes for it as raw uplink", "", "bytes"),
    )
}  # fmt: skip
"""Every figure by its key in the JSON, in the order of the table."""


class Taken(NamedTuple):
    """What a benchmark found for one key: values of its runs, by part where a figure has several."""

    key: str
    values: Mapping[str, Sequence[float]]

    @classmethod
    def of(cls, key: str, *values: float) -> Self:
        """A figure without parts."""
        return cls(key, {"": values})

    def medians(self) -> dict[str, float]:
        """By part."""
        return {part: statistics.median(values) for part, values in self.values.items()}


def machine() -> dict[str, str | int]:
    """What the figures were measured on; a busy machine is told by its load."""
    model = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").open() if line.startswith("model name")), ""
    )
    return {
        "processor": model or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": f"{os.getloadavg()[0]:.1f}",
    }


def write_results(taken: Sequence[Taken], size: Size, about: Mapping[str, str | int], path: Path = RESULTS) -> None:
    """Write the JSON: a median by key (or by key and part), and below ``details`` every value."""
    document: dict[str, object] = {
        found.key: medians[""] if list(medians) == [""] else medians
        for found in taken
        for medians in [{part: round(value, 4) for part, value in found.medians().items()}]
    }
    document["details"] = {
        found.key: {part: [round(value, 4) for value in values] for part, values in found.values.items()}
        for found in taken
    }
    measured_at = datetime.now(UTC).isoformat(timespec="seconds")
    document["run"] = {"measured_at": measured_at, "machine": dict(about), "size": size._asdict()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


def read_results(path: Path = RESULTS) -> tuple[list[Taken], dict[str, object]]:
    """What ``write_results`` wrote: the figures, and about the run."""
    document = json.loads(path.read_text("utf-8"))
    return [Taken(key, values) for key, values in document["details"].items()], document["run"]
