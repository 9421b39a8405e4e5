"""``python -m tests.bench.report [FILE]``: docs/performance.md, its pictures and the README's figures from a run's."""

import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from devices.codecs import CODECS
from tests.bench.figures import FIGURES, RESULTS, Kept, read_results
from tests.bench.pictures import bars, curve
from tests.bench.scale import scale
from tests.bench.table import number, rows

DOCS = RESULTS.parents[1] / "docs"
FOLDER = DOCS / "performance"
MEASURED = FOLDER / "bench.json"
"""What the page is made from: a committed copy of one run's ``build/bench.json``."""
README = RESULTS.parents[1] / "README.md"
BEGIN = "<!-- figures: made by `python -m tests.bench.report`, checked by tests/test_bench.py -->\n"
END = "<!-- /figures -->"
IN_README = ("e2e_ratio", "e2e_ratio_alerts", "province_backlog_slope", "p50_ms", "p99_ms", "drain_ratio", "rss_mb",
             "start_s", "bytes_ratio_8000")  # fmt: skip


class Section(NamedTuple):
    """A part of the page: what was done, and the figures it gave."""

    title: str
    text: str
    keys: tuple[str, ...]


SECTIONS = (
    Section(
        "A province on two cores",
        """Publisher, broker, gateway and InfluxDB 1.6.7 share the machine's cores. Everything is on that is on by
        default: a fleet of 200,000 devices, all quality checks, latest values, ledger, raw uplinks, roll-ups, indices,
        alerts. A message is QoS 1 and has seven values; it counts when InfluxDB has it.""",
        ("e2e_ratio", "e2e_ratio_alerts", "per_second", "province_backlog_slope", "p50_ms", "p99_ms"),
    ),
    Section(
        "Outage and drain",
        """InfluxDB is stopped until a million points wait. The backlog is then drained again and again from copies of
        the journal, in turns with a bare HTTP client that posts the same bodies.""",
        ("drain_ratio", "drain_per_s", "bare_drain_per_s"),
    ),
    Section(
        "Memory, start and disk",
        """Memory is asked of the kernel when the province's minute is over and everything is stored. Bytes on disk are
        those the kernel wrote for the gateway's process: journal with its indexes, the minute's snapshot, ledger. Raw
        uplinks are told apart, and can be switched off.""",
        (
            "rss_mb", "rss_peak_mb", "backlog_rss_mb", "start_s", "start_after_kill_s", "bytes_ratio_8000",
            "bytes_ratio_50", "line_bytes", "raw_bytes", "stored_bytes",
        ),
    ),
    Section(
        "Questions",
        """Asked as the board, the API and Grafana ask them; the first answer is not counted. `panel_ms` puts all
        questions of every panel, variable, mark and alert rule of every page, those of one panel added up, as the
        page opens and over a year, and tells the two slowest of each. They are put to 53 weeks of a commune of
        5,000 lamps, 100 cabinets and 30 stations: hourly and daily roll-ups of every device, circuit, zone and of
        the commune, hourly states and ledgers, alerts of every lamp, indices, the gateway's own minutes, and a week
        of readings. One week is stored as the gateway stores it and copied to the others with its times moved,
        below `build/year` (8 GB), where the next run finds it.""",
        ("query_ms", "panel_ms"),
    ),
    Section(
        "Fleet, rules and codecs",
        """Without any server: one process, one core.""",
        ("fleet_import_s", "lookup_us", "rules_us", "silent_s", "codec_us"),
    ),
    Section(
        "Where the microseconds go",
        """Processor time of every process for one message of the first section; then the line's own thread, part by
        part, alone on the machine.""",
        ("cpu_us", "line_us"),
    ),
    Section(
        "The shape of the cost",
        """Processor time of the gateway for one message, all its threads together, until it is stored. Where messages
        are few they are dear, because a commit and a request to the store carry few of them.""",
        ("cost_by_rate_us", "cost_by_devices_us", "rss_by_devices_mb"),
    ),
)  # fmt: skip
INTRODUCTION = """Made by `python -m tests.bench.report` from [performance/bench.json](performance/bench.json),
which `make bench` measures in three quarters of an hour on a machine that does nothing else. `make bench
ONLY=e2e_ratio` measures one figure, `make bench RESUME=1` goes on where a run was broken off. Medians; the
spread is from the least to the most. A figure without a goal explains another one. How far one
machine goes, and what comes after it, is in [scale.md](scale.md)."""

LIMITS = """How far the first figure can go: every message costs all processes together so much processor time, and the
machine has no more of it than its cores give. What the line alone costs beyond the bare subscriber is InfluxDB, which
takes a line of nine fields, and making sense of seven values; of the gateway only one thread at a time runs Python."""


def page(kept: Sequence[Kept]) -> str:
    """docs/performance.md."""
    return "\n".join(_page({one.taken.key: one for one in kept})) + "\n"


def _page(kept: Mapping[str, Kept]) -> Iterator[str]:
    run = next(iter(kept.values())).run
    yield "# Performance"
    yield ""
    yield _wrapped(INTRODUCTION)
    yield ""
    yield (
        f"Measured {run['measured_at']} on {run['processor']}, {run['cores']} cores, {run['system']}, Python "
        f"{run['python']}; load before: {run['load_before']}; commit {run['commit']}."
    )
    for section in SECTIONS:
        found = [kept[key] for key in section.keys if key in kept]
        if found:
            yield from ("", f"## {section.title}", "", _wrapped(section.text), "")
            yield from _table(found)
            if "cpu_us" in section.keys and {"cpu_us", "per_second"} <= kept.keys():
                yield from _limits(kept)
            yield from _pictures_of(section.keys, kept)


def _limits(kept: Mapping[str, Kept]) -> Iterator[str]:
    """What one message costs all processes together, and what the machine could carry if no core ever waited."""
    costs, measured = kept["cpu_us"].taken.medians(), kept["per_second"].taken.medians()
    cores = int(kept["cpu_us"].run["cores"])
    yield from ("", _wrapped(LIMITS), "")
    yield f"| | publisher | broker | subscriber or gateway | InfluxDB | together | {cores} cores at most | measured |"
    yield "|---|---|---|---|---|---|---|---|"
    for who, speed in measured.items():
        names = ("publisher", "broker", "subscriber" if who == "bare" else "gateway", "InfluxDB")
        each = [costs.get(f"{who} {name}", 0.0) for name in names]
        cells = [f"{cost:.1f} us" if cost else "" for cost in (*each, sum(each))]
        yield f"| {who} | {' | '.join(cells)} | {cores / sum(each) * 1e6:,.0f} msg/s | {speed:,.0f} msg/s |"


def _wrapped(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def _table(found: Sequence[Kept]) -> Iterator[str]:
    yield "| figure | what | against | median | spread | goal | |"
    yield "|---|---|---|---|---|---|---|"
    for one in found:
        figure = FIGURES[one.taken.key]
        for part, row in zip(one.taken.values, rows([one.taken]), strict=True):
            what = part or figure.what
            goal = f"{'at least' if figure.is_better_high else 'at most'} {row.goal}" if row.goal else ""
            reached = {"yes": "reached", "no": "**not reached**", "": ""}[row.reached]
            yield f"| `{figure.key}` | {what} | {row.against} | {row.median} | {row.spread} | {goal} | {reached} |"


def _pictures_of(keys: Sequence[str], kept: Mapping[str, Kept]) -> Iterator[str]:
    for name, (key, alternative) in PICTURES.items():
        if key in keys and key in kept:
            yield ""
            yield f"![{alternative}](performance/{name}.svg)"


PICTURES = {
    "messages": ("per_second", "Messages a second of the bare subscriber, the line alone, and everything"),
    "line": ("line_us", "Microseconds of one message in the line, part by part"),
    "codecs": ("codec_us", "Microseconds from bytes to observations, by codec"),
    "rates": ("cost_by_rate_us", "Processor time of one message by messages a second"),
    "devices": ("cost_by_devices_us", "Processor time of one message by devices of the fleet"),
    "memory": ("rss_by_devices_mb", "Resident memory by devices of the fleet"),
}
"""By file name: of which figure, and what it shows in words."""


def pictures(kept: Sequence[Kept]) -> dict[str, str]:
    """The SVG files by name."""
    medians = {one.taken.key: one.taken.medians() for one in kept}
    made = {}
    for name, (key, text) in PICTURES.items():
        if key not in medians:
            continue
        values = medians[key]
        if "_by_" in key:
            across = (
                "messages a second" if key == "cost_by_rate_us" else "devices of the fleet, 1,000 messages a second"
            )
            made[name] = curve(
                text, across, FIGURES[key].unit, [(float(part), value) for part, value in values.items()]
            )
        else:
            goal = 15.0 if key == "codec_us" else None
            made[name] = bars(text, FIGURES[key].unit, values, goal)
    return made


def with_figures(readme: str, kept: Sequence[Kept]) -> str:
    """The README with its figures made anew."""
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + "".join(f"{line}\n" for line in _readme(kept)) + END + tail


def _readme(kept: Sequence[Kept]) -> Iterator[str]:
    known = {one.taken.key: one for one in kept}
    yield "| | measured | goal |"
    yield "|---|---|---|"
    for key in IN_README:
        if key in known:
            for part, row in zip(known[key].taken.values, rows([known[key].taken]), strict=True):
                what = FIGURES[key].what + (f", {part}" if part else "")
                against = f" (against {row.against})" if row.against and key.endswith("ratio") else ""
                yield f"| {what}{against} | {row.median} | {row.goal} |"
    codecs = known["codec_us"].taken.medians() if "codec_us" in known else {}
    if codecs:
        yield ""
        yield "Microseconds from an uplink's bytes to its observations, over the golden uplinks of each codec:"
        yield ""
        yield "| codec | us | | codec | us |"
        yield "|---|---|---|---|---|"
        named = [(f"`{name}`", number(codecs[name])) for name in CODECS if name in codecs]
        half = (len(named) + 1) // 2
        for place in range(half):
            right = named[half + place] if half + place < len(named) else ("", "")
            yield f"| {named[place][0]} | {named[place][1]} | | {right[0]} | {right[1]} |"


def write(source: Path) -> list[Path]:
    """Keep a run's figures and make everything from them; returns what was written."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if source != MEASURED:
        shutil.copyfile(source, MEASURED)
    kept = read_results(MEASURED)
    files = {DOCS / "performance.md": page(kept), README: with_figures(README.read_text("utf-8"), kept)}
    files |= {DOCS / "scale.md": scale(kept)}
    files |= {FOLDER / f"{name}.svg": text for name, text in pictures(kept).items()}
    for path, text in files.items():
        path.write_text(text, "utf-8")
    return [MEASURED, *files]


if __name__ == "__main__":
    for written in write(Path(sys.argv[1]) if len(sys.argv) > 1 else MEASURED):
        print(written.relative_to(RESULTS.parents[1]))  # noqa: T201 - a command
