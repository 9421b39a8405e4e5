"""``python -m tests.bench [KEY ...] [--pairs N] [--quick]``: measure, print one table, write ``build/bench.json``."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.bench import codecs, disk, end_to_end, latency, outage, queries, shape, starting
from tests.bench.figures import FIGURES, FULL, QUICK, RESULTS, Size, Taken, this_run, write_results
from tests.bench.table import table


class Bench(NamedTuple):
    """One benchmark and the figures it gives."""

    keys: tuple[str, ...]
    measure: Callable[[Size, Path], list[Taken]]


BENCHES = tuple(
    Bench(module.KEYS, module.measure)
    for module in (end_to_end, latency, outage, starting, disk, codecs, queries, shape)
)


def run(keys: list[str], size: Size, console: Console) -> list[Taken]:
    """Every figure of the benchmarks that give one of these keys; all of them without keys."""
    chosen = [bench for bench in BENCHES if not keys or set(keys) & set(bench.keys)]
    found: list[Taken] = []
    # Beside the results: many machines have /tmp in memory, and the disk is part of what is measured.
    RESULTS.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=RESULTS.parent, ignore_cleanup_errors=True) as work:
        tempfile.tempdir = work
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            for bench in chosen:
                task = progress.add_task(", ".join(bench.keys), total=None)
                began = time.monotonic()
                found += bench.measure(size, Path(work))
                progress.remove_task(task)
                console.log(f"{', '.join(bench.keys)}: {time.monotonic() - began:.0f} s")
        tempfile.tempdir = None
    order = list(FIGURES)
    return sorted(found, key=lambda taken: order.index(taken.key))


def main() -> int:
    """Exit status 0 whether goals are reached or not; 2 if a server is missing or a key is unknown."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("keys", nargs="*", metavar="KEY", help=f"only these figures: {', '.join(FIGURES)}")
    parser.add_argument("--pairs", type=int, default=0, help="pairs of runs for each ratio; default 5")
    parser.add_argument("--quick", action="store_true", help="small amounts: does it all work? The figures are rough")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.keys) - set(FIGURES)):
        parser.error(f"no figure {unknown[0]!r}; there are {', '.join(FIGURES)}")
    size = QUICK if asked.quick else FULL
    size = size._replace(pairs=asked.pairs or size.pairs)
    console, about = Console(), this_run(size)
    console.print(f"{about['processor']}, {about['cores']} cores, load before {about['load_before']}, size {size.name}")
    try:
        found = run(asked.keys, size, console)
    except pytest.skip.Exception as missing:
        console.print(str(missing))
        return 2
    console.print(table(found))
    results = RESULTS.with_name("bench-quick.json") if asked.quick else RESULTS
    write_results(found, about, results)
    console.print(f"written: {results}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
