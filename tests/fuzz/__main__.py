"""Fuzz one codec or all, one after the other: ``python -m tests.fuzz [CODEC ...] --seconds 600 --work build/fuzz``.

Each codec has a folder below ``--work``: its corpus, which later runs go on from, and ``crash-*`` files, each an input
that broke a promise (``python -m tests.fuzz.target CODEC 60 crash-...`` runs it alone). ``figures.jsonl`` gets a line a
run: codec, CPU seconds, runs, covered edges. Exits with 1 if anything was found.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

from devices.codecs import CODECS

ROOT = Path(__file__).resolve().parents[2]


def fuzz(codec: str, seconds: int, work: Path) -> dict[str, object]:
    """One codec for so many CPU seconds; returns its figures."""
    folder = work / codec
    folder.mkdir(parents=True, exist_ok=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with (folder / "log").open("w+b") as log:
        subprocess.run(
            [sys.executable, "-m", "tests.fuzz.target", codec, str(seconds)],
            cwd=folder, stdout=log, stderr=log, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = (folder / "log").read_text("utf-8", "replace")
    return {
        "codec": codec,
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime),
        "runs": _last(said, r"stat::number_of_executed_units:\s+(\d+)"),
        "edges": _last(said, r"cov: (\d+)"),
        "inputs": _last(said, r"corp: (\d+)"),
        "found": sorted(file.name for kind in ("crash", "timeout", "oom") for file in folder.glob(f"{kind}-*")),
    }


def _last(text: str, pattern: str) -> int:
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description="Fuzz the codecs, guided by coverage.")
    parser.add_argument("codec", nargs="*", metavar="CODEC", help=f"of {', '.join(CODECS)}; all")
    parser.add_argument("--seconds", type=int, default=600, help="CPU seconds for each codec")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "fuzz")
    given = parser.parse_args()
    is_clean = True
    for codec in given.codec or CODECS:
        figures = fuzz(codec, given.seconds, given.work.resolve())
        figures["date"] = time.strftime("%Y-%m-%d")
        with (given.work / "figures.jsonl").open("a") as log:
            log.write(json.dumps(figures) + "\n")
        sys.stdout.write(" ".join(f"{name}={value}" for name, value in figures.items()) + "\n")
        sys.stdout.flush()
        is_clean = is_clean and not figures["found"] and bool(figures["runs"])
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
