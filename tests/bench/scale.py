"""docs/scale.md: how far one machine goes and what comes after it, computed from what was measured."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.figures import Kept
from tests.bench.table import number

TEMPLATE = Path(__file__).with_name("scale.template.md")
NEEDED = {"per_second", "cpu_us", "line_us", "stored_bytes", "raw_bytes", "line_bytes", "rss_by_devices_mb",
          "bytes_ratio_8000"}  # fmt: skip
MILLION = 1_000_000
BACKLOG_RATE = 20_000
"""Lines of a backlog a second, beside what is fresh: the default of `backlog_lines_per_second`."""
INTERVAL_SECONDS = 300
YEAR_SECONDS = 365 * 86400
VALUES = 9
"""Fields of one message's line: seven values, quality, clock."""
ROLLUP_VALUES = 7 * 5 + 2
"""Fields of an hour of one device: five statistics of seven values, quality, completeness."""
ROLLUPS_A_YEAR = 365 * 25
"""Hours and days."""
HEADROOM = 0.5
"""Of what was measured at full speed, to be planned with: outages are made up for from the rest."""


def scale(kept: Sequence[Kept]) -> str:
    """The page, or nothing while one of the figures it stands on is missing."""
    known = {one.taken.key: one.taken.medians() for one in kept}
    if not set(known) >= NEEDED:
        return ""
    shown = {name: value if isinstance(value, str) else number(value) for name, value in _values(known).items()}
    return TEMPLATE.read_text("utf-8").format(**shown)


def _values(known: Mapping[str, Mapping[str, float]]) -> dict[str, float | str]:
    """What the template names."""
    rate, line, cpu = known["per_second"]["all"], known["line_us"], known["cpu_us"]
    planned = rate * HEADROOM
    memory = {int(devices): value for devices, value in known["rss_by_devices_mb"].items()}
    least, most = min(memory), max(memory)
    slope = (memory[most] - memory[least]) / (most - least)
    stored, raw, bytes_of_line = (known[key][""] for key in ("stored_bytes", "raw_bytes", "line_bytes"))
    written = known["bytes_ratio_8000"]["commit wait 0 ms"] * bytes_of_line
    yearly = 1000 * YEAR_SECONDS / INTERVAL_SECONDS
    machine = cpu["all gateway"] + cpu["all broker"] + cpu["all InfluxDB"]
    million_rate = MILLION / INTERVAL_SECONDS
    return {
        "rate": rate,
        "planned": planned,
        "interval": INTERVAL_SECONDS,
        "devices": planned * INTERVAL_SECONDS,
        "catch_up_hours": 24 * planned / BACKLOG_RATE,
        "drain": BACKLOG_RATE,
        "memory_mb": memory[most],
        "memory_per_thousand_mb": slope * 1000,
        "fewest": f"{least:,}",
        "most": f"{most:,}",
        "stored_gb": stored * yearly / 1e9,
        "stored_bytes": stored,
        "rollups_gb": stored / VALUES * ROLLUP_VALUES * ROLLUPS_A_YEAR * 1000 / 1e9,
        "rollup_values": ROLLUP_VALUES,
        "raw_gb": raw * yearly * 30 / 365 / 1e9,
        "raw_bytes": raw,
        "written_mb": written * yearly / 365 / 1e6,
        "written_bytes": written,
        "commune_rate": 5000 / INTERVAL_SECONDS,
        "commune_memory_mb": memory[least] + slope * (5000 - least),
        "commune_gb": 5 * stored * yearly / 1e9,
        "machine_us": machine,
        "machine_rate": 2e6 / machine,
        "line_us": line["all of that"] + line["commit"],
        "million_memory_gb": (memory[least] + slope * (MILLION - least)) / 1000,
        "million_rate": million_rate,
        "gateways": f"{math.ceil(million_rate / planned)}",
        "million_mb_per_second": million_rate * bytes_of_line / 1e6,
        "million_tb": stored * yearly * 1000 / 1e12,
        "commune_lines": 207 * ROLLUPS_A_YEAR,
    }
