"""What is measured: the figures by key with their goals, what a run found, and ``build/bench.json``."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
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
    drains: int = 3
    """Pairs of a drained backlog and a bare client that posts it: a minute each."""
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
    shape_seconds: float = 8.0
    shape_rates: Sequence[int] = (1, 10, 100, 1000, 8000)
    shape_devices: Sequence[int] = (100, 1000, 10_000, 200_000)
    days: int = 365
    """Of roll-ups that the panels of a dashboard are drawn from."""


FULL = Size("full")
QUICK = Size(
    "quick", devices=20_000, days=30, pairs=2, drains=2, messages=20_000, province_seconds=5.0, backlog=60_000,
    latency_seconds=4.0, starts=2, disk_seconds=4.0, calls=30, questions=5, shape_seconds=3.0,
    shape_rates=(1, 100, 1000, 8000),
    shape_devices=(100, 20_000),
)  # fmt: skip
"""To see that everything works, in a few minutes; its figures are only rough."""
JSON_FAMILY = ("native", "json_fields", "bare", "senml", "tasmota", "zigbee2mqtt", "airrohr", "chirpstack",
               "things_stack")  # fmt: skip
"""Codecs whose payload, or whose envelope, is JSON."""


class Figure(NamedTuple):
    """One figure of the table."""

    key: str
    what: str
    against: str = ""
    unit: str = ""
    goal: float | Mapping[str, float] | None = None
    """By the first word of the part, where the parts have different ones; None where a figure is only stated."""
    is_better_high: bool = False

    def goal_of(self, part: str) -> float | None:
        """The goal of one part, or None."""
        return self.goal.get(part.partition(" ")[0]) if isinstance(self.goal, Mapping) else self.goal

    def is_reached(self, part: str, value: float) -> bool | None:
        """Whether the value reaches the goal; None where there is none."""
        goal = self.goal_of(part)
        return None if goal is None else value >= goal if self.is_better_high else value <= goal


FIGURES = {
    figure.key: figure
    for figure in (
        Figure("e2e_ratio", "the line: QoS 1 from broker to journal on disk to InfluxDB, 7 values a message",
               "a bare paho subscriber that only acknowledges, in hundreds", goal=0.75, is_better_high=True),
        Figure("e2e_ratio_alerts", "the same with alerts, indices and roll-ups, as everybody runs it",
               "the same subscriber", goal=0.6, is_better_high=True),
        Figure("province_backlog_slope", "growth of what waits, 8,000 messages a second offered",
               "flat: 1 % of what is offered", "msg/s", 80.0),
        Figure("p50_ms", "publish to visible in InfluxDB, 1,000 messages a second: half of them", "", "ms", 150.0),
        Figure("p99_ms", "the same: 99 of 100", "", "ms", 1000.0),
        Figure("drain_ratio", "a backlog of a million points into InfluxDB",
               "bare urllib3 posting the same bodies", goal=0.7, is_better_high=True),
        Figure("rss_mb", "resident memory, each of 200,000 devices has sent 7 values twice", "", "MB", 300.0),
        Figure("backlog_rss_mb", "what a backlog of a million points adds to it", "", "MB", 50.0),
        Figure("rss_peak_mb", "the most it ever was until then", "", "MB"),
        Figure("start_s", "start to taking messages, 200,000 devices and their saved state", "", "s", 3.0),
        Figure("bytes_ratio_8000", "bytes written to disk at 8,000 messages a second", "bytes of line protocol",
               goal={"commit": 3.0}),
        Figure("bytes_ratio_50", "the same at 50 messages a second", "bytes of line protocol"),
        Figure("codec_us", "bytes to observations", "", "us", dict.fromkeys(JSON_FAMILY, 15.0)),
        Figure("query_ms", "a question, asked as the board and the dashboards do", "", "ms",
               {"latest": 50.0, "day": 50.0, "year": 300.0}),
        Figure("panel_ms", "a panel over a year of a commune of 5,000 lamps", "", "ms", 300.0),
        Figure("rules_us", "all alert rules, for one reading", "", "us", 1.0),
        Figure("silent_s", "which of 200,000 devices are silent, and which circuits are out", "", "s", 1.0),
        Figure("fleet_import_s", "200,000 devices from a CSV file into the fleet", "", "s", 60.0),
        Figure("lookup_us", "who speaks on a topic", "", "us", 5.0),
        Figure("line_us", "one message in the line, by what is done with it", "", "us"),
        Figure("per_second", "messages a second of the three contenders of e2e_ratio", "", "msg/s"),
        Figure("cpu_us", "processor time for one message, by contender and process", "", "us"),
        Figure("bare_drain_per_s", "the bare HTTP client of drain_ratio", "", "lines/s"),
        Figure("drain_per_s", "the gateway of drain_ratio", "", "lines/s"),
        Figure("start_after_kill_s", "start after kill -9, a minute at full rate after the state was saved", "", "s"),
        Figure("line_bytes", "one message of 7 values as line protocol", "", "bytes"),
        Figure("raw_bytes", "its raw uplink in the journal, compressed with others", "", "bytes"),
        Figure("stored_bytes", "what InfluxDB keeps of it on disk, compacted", "", "bytes"),
        Figure("cost_by_rate_us", "processor time of the gateway for one message, by messages a second", "", "us"),
        Figure("cost_by_devices_us", "the same at 1,000 messages a second, by devices of the fleet", "", "us"),
        Figure("rss_by_devices_mb", "resident memory then, every device heard, by devices of the fleet", "", "MB"),
    )
}  # fmt: skip
"""Every figure by its key in the JSON, in the order of the table: first those with goals, then what explains them."""


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


def this_run(size: Size) -> dict[str, str | int]:
    """When and on what is measured; a busy machine is told by its load."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "size": size.name,
        "processor": model or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": f"{os.getloadavg()[0]:.1f}",
        "commit": commit(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
    }


def commit() -> str:
    """What is measured; with a plus sign if files differ from it."""
    command = ["git", "-C", str(RESULTS.parents[1]), "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


class Kept(NamedTuple):
    """One figure in the JSON, with the run it is of."""

    taken: Taken
    run: dict[str, str | int]


def write_results(taken: Sequence[Taken], run: Mapping[str, str | int], path: Path = RESULTS) -> None:
    """Write a median by key (or by key and part), and below ``details`` every value with its run. Figures of the file
    that were not measured this time stay."""
    kept = {one.taken.key: one for one in read_results(path)} if path.exists() else {}
    kept |= {one.key: Kept(one, dict(run)) for one in taken}
    ordered = [kept[key] for key in FIGURES if key in kept]
    document: dict[str, object] = {}
    details = {}
    for one in ordered:
        medians = {part: round(value, 4) for part, value in one.taken.medians().items()}
        document[one.taken.key] = medians.get("", medians)
        values = {part: [round(value, 4) for value in values] for part, values in one.taken.values.items()}
        details[one.taken.key] = {"values": values, "run": one.run}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document | {"details": details}, indent=1, ensure_ascii=False) + "\n", "utf-8")


def read_results(path: Path = RESULTS) -> list[Kept]:
    """What ``write_results`` wrote."""
    details = json.loads(path.read_text("utf-8"))["details"]
    return [Kept(Taken(key, entry["values"]), entry["run"]) for key, entry in details.items()]
