"""``python -m tests.bench [KEY ...] [--quick] [--resume]``: measure, print one table, write ``build/bench.json``."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.bench import (
    codecs,
    disk,
    end_to_end,
    fleets,
    latency,
    outage,
    panels,
    queries,
    rules,
    shape,
    starting,
    way,
)
from tests.bench.figures import FIGURES, FULL, QUICK, RESULTS, Kept, Size, Taken, read_results, this_run, write_results
from tests.bench.table import table

WIDTH = 140
"""Of the table where no terminal says how wide it is."""


class Bench(NamedTuple):
    """One benchmark and the figures it gives."""

    keys: tuple[str, ...]
    measure: Callable[[Size, Path], Iterable[Taken]]


BENCHES = tuple(
    Bench(module.KEYS, module.measure)
    for module in (
        end_to_end, latency, outage, starting, disk, queries, panels, rules, fleets, codecs, way, shape,
    )
)  # fmt: skip


class Results:
    """What is measured so far: every figure is on disk as soon as it is known."""

    def __init__(self, path: Path, run: Mapping[str, str | int]) -> None:
        self.path, self._run = path, run
        self.failed: list[str] = []
        self.added: set[str] = set()

    def has(self, bench: Bench) -> bool:
        """Whether an earlier run of the same size measured this commit."""
        kept = {one.taken.key: one.run for one in self._kept()}
        same = ("commit", "size")
        return all(key in kept and all(kept[key].get(w) == self._run[w] for w in same) for key in bench.keys)

    def add(self, found: Sequence[Taken]) -> None:
        """Keep these."""
        self.added.update(taken.key for taken in found)
        write_results(found, self._run, self.path)

    def measured(self, keys: Sequence[str]) -> list[Taken]:
        """What is kept of some figures, in the order of the table."""
        return [one.taken for one in self._kept() if one.taken.key in keys]

    def _kept(self) -> list[Kept]:
        return read_results(self.path) if self.path.exists() else []


def run(benches: Sequence[Bench], size: Size, results: Results, console: Console) -> None:
    """Measure; a benchmark that fails is told, and the others go on."""
    # Beside the results: many machines have /tmp in memory, and the disk is part of what is measured.
    RESULTS.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=RESULTS.parent, ignore_cleanup_errors=True) as work:
        tempfile.tempdir = work
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            for number, bench in enumerate(benches, start=1):
                task = progress.add_task(f"{number} of {len(benches)}: {', '.join(bench.keys)}", total=None)
                began = time.monotonic()
                try:
                    for taken in bench.measure(size, Path(work)):
                        results.add([taken])
                    end = ""
                except Exception as error:  # noqa: BLE001 - the other figures are worth having
                    results.failed += [key for key in bench.keys if key not in results.added]
                    end = f" FAILED: {type(error).__name__}: {error}"
                progress.remove_task(task)
                console.log(f"{', '.join(bench.keys)}: {time.monotonic() - began:.0f} s{end}", markup=False)
        tempfile.tempdir = None


def main() -> int:
    """Exit status 0 whether goals are reached or not; 1 if something could not be measured; 2 if a server is missing or
    a key is unknown."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("keys", nargs="*", metavar="KEY", help=f"only these figures: {', '.join(FIGURES)}")
    parser.add_argument("--pairs", type=int, default=0, help="pairs of runs for each ratio; default 5")
    parser.add_argument("--quick", action="store_true", help="small amounts: does it all work? The figures are rough")
    parser.add_argument("--resume", action="store_true", help="leave out what was measured of this commit already")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.keys) - set(FIGURES)):
        parser.error(f"no figure {unknown[0]!r}; there are {', '.join(FIGURES)}")
    size = QUICK if asked.quick else FULL
    size = size._replace(pairs=asked.pairs or size.pairs)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    about = this_run(size)
    console.print(f"{about['processor']}, {about['cores']} cores, load before {about['load_before']}, size {size.name}")
    results = Results(RESULTS.with_name("bench-quick.json") if asked.quick else RESULTS, about)
    wanted = [bench for bench in BENCHES if not asked.keys or set(asked.keys) & set(bench.keys)]
    try:
        run([bench for bench in wanted if not (asked.resume and results.has(bench))], size, results, console)
    except pytest.skip.Exception as missing:
        console.print(str(missing))
        return 2
    console.print(table(results.measured([key for bench in wanted for key in bench.keys])))
    console.print(f"written: {results.path}")
    if results.failed:
        console.print(f"not measured: {', '.join(results.failed)}; see above")
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
