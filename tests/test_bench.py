"""The benchmarks' own parts, and the pages made from what they measured."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench import pictures
from tests.bench.__main__ import BENCHES, Bench, Results
from tests.bench.figures import FIGURES, FULL, QUICK, Figure, Taken, read_results, this_run, write_results
from tests.bench.report import DOCS, FOLDER, MEASURED, README, page, with_figures
from tests.bench.report import pictures as drawn
from tests.bench.scale import scale
from tests.bench.table import rows

ASKED = ("e2e_ratio", "e2e_ratio_alerts", "province_backlog_slope", "p50_ms", "p99_ms", "drain_ratio", "rss_mb",
              "backlog_rss_mb", "start_s", "bytes_ratio_8000", "bytes_ratio_50", "codec_us", "query_ms")  # fmt: skip


def test_the_performance_page_is_what_was_measured() -> None:
    """Run ``python -m tests.bench.report build/bench.json`` after a run of ``make bench``."""
    kept = read_results(MEASURED)
    assert (DOCS / "performance.md").read_text("utf-8") == page(kept)
    assert {path.stem: path.read_text("utf-8") for path in FOLDER.glob("*.svg")} == drawn(kept)
    assert (DOCS / "scale.md").read_text("utf-8") == scale(kept)
    readme = README.read_text("utf-8")
    assert readme == with_figures(readme, kept)


def test_every_picture_is_well_formed_and_named_by_the_page() -> None:
    """A browser draws it; the page has it."""
    named = re.findall(r"\]\(performance/(\w+)\.svg\)", (DOCS / "performance.md").read_text("utf-8"))
    assert sorted(named) == sorted(path.stem for path in FOLDER.glob("*.svg"))
    for path in FOLDER.glob("*.svg"):
        assert ElementTree.fromstring(path.read_text("utf-8")).tag.endswith("svg")


def test_a_curve_and_bars_are_where_their_values_are() -> None:
    """The first point is on the left, the greatest at the top; bars are as long as their values."""
    drawing = pictures.curve("t", "x", "us", [(1.0, 100.0), (10.0, 50.0), (100.0, 25.0)])
    places = [tuple(map(float, pair)) for pair in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', drawing)]
    assert places == [(70.0, 40.0), (365.0, 145.0), (660.0, 197.5)]
    widths = re.findall(r'<rect x="210" y="\d+" width="([\d.]+)"', pictures.bars("t", "us", {"a": 2.0, "b": 1.0}, 1.5))
    assert [float(width) for width in widths] == [390.0, 195.0]


def test_every_figure_is_measured_by_one_benchmark() -> None:
    """And every figure that is asked for has a goal or is stated beside one."""
    keys = [key for bench in BENCHES for key in bench.keys]
    assert sorted(keys) == sorted(FIGURES)
    assert set(ASKED) <= set(FIGURES)


def test_a_goal_is_reached_by_its_side() -> None:
    """High or low, and by the first word of a part."""
    high, low = Figure("a", "", goal=0.75, is_better_high=True), Figure("b", "", goal={"latest": 50.0})
    assert [high.is_reached("", 0.75), high.is_reached("", 0.7)] == [True, False]
    assert [low.is_reached("latest API", 50.0), low.is_reached("latest API", 51.0), low.is_reached("day x", 9.0)] == [
        True, False, None
    ]  # fmt: skip
    (row,) = rows([Taken.of("e2e_ratio", 0.8, 0.7, 0.76)])
    assert (row.median, row.spread, row.goal, row.reached) == ("0.76", "0.7 .. 0.8", "0.75", "yes")


def test_results_stay_until_they_are_measured_anew(tmp_path: Path) -> None:
    """A broken run goes on; figures of another commit are measured again."""
    path = tmp_path / "bench.json"
    run = {**this_run(FULL), "commit": "abc"}
    write_results([Taken.of("rss_mb", 290.0), Taken("codec_us", {"native": [3.0, 5.0, 4.0]})], run, path)
    write_results([Taken.of("rss_mb", 280.0)], run, path)
    document = json.loads(path.read_text("utf-8"))
    assert (document["rss_mb"], document["codec_us"]) == (280.0, {"native": 4.0})
    memory = Bench(("rss_mb",), lambda _size, _work: [])
    assert Results(path, run).has(memory)
    assert not Results(path, {**run, "commit": "abd"}).has(memory)
    assert not Results(path, {**run, "size": QUICK.name}).has(memory)
    assert not Results(path, run).has(Bench(("rss_mb", "start_s"), lambda _size, _work: []))
    assert [taken.key for taken in Results(path, run).measured(["codec_us", "start_s"])] == ["codec_us"]


@pytest.mark.parametrize(("value", "seen"), [(1.0, 1.0), (37.0, 50.0), (0.12, 0.2), (999.0, 1000.0)])
def test_an_axis_ends_at_a_round_number(value: float, seen: float) -> None:
    """1, 2 or 5 times a power of ten."""
    assert pictures._round_up(value) == pytest.approx(seen)
