"""One mistake at a time in every codec and profile, against the golden cases alone: ``python -m tests.mutation``.

Prints what no case noticed, and the sums; mistakes that change nothing are listed, with the reason, in
``equivalents.toml`` and counted apart. With names, only those codec modules and profiles. Each mistake is made in
memory: a codec's changed source is imported in its place, a changed profile handed to the codec.
"""

import argparse
import ast
import importlib.machinery
import importlib.util
import json
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import FrameType

from devices import codecs
from devices.codecs import CODECS
from devices.observation import RefusedError
from devices.profile import ProfileError
from tests.mutation.mistakes import KINDS, Mistake, in_profile, in_source
from tests.test_cases import FOLDERS, Case, outcome, read_case

FOLDER = Path(codecs.__file__).parent
NOT_READING = frozenset({"__init__", "sparkplug_b_messages"})
HANGS_AFTER = 10
"""Seconds after which a case that does not end counts as noticed."""


@cache
def cases() -> list[tuple[Case, str, str]]:
    """Every golden case, and the expectation beside it: its file's name and text."""
    found = []
    for folder in FOLDERS:
        (expected,) = folder.glob("expected.*")
        found.append((read_case(folder), expected.name, expected.read_text("utf-8")))
    return found


def is_noticed(case: Case, name: str, text: str) -> bool:
    """Whether a case comes out otherwise than it should."""
    try:
        return outcome(case) != (name, text)
    except Exception:  # noqa: BLE001 - whatever it is, a test would fail
        return True


def try_source(module: str, mistake: Mistake) -> bool:
    """Whether any case notices a mistake in a codec module."""
    own = [one for one in cases() if one[0].uplink.parent.parent.name == module]
    others = [] if module in CODECS else cases()
    _forget_codecs()
    try:
        changed = importlib.util.module_from_spec(_spec(module))
        sys.modules[f"devices.codecs.{module}"] = changed
        setattr(codecs, module, changed)
        exec(compile(ast.fix_missing_locations(mistake.made), f"{module}.py", "exec"), changed.__dict__)
        return any(is_noticed(*one) for one in own or others)
    except Exception:  # noqa: BLE001 - it cannot even be imported
        return True


def _spec(module: str) -> importlib.machinery.ModuleSpec:
    spec = importlib.util.find_spec(f"devices.codecs.{module}")
    if spec is None:
        raise LookupError(module)
    return spec


def _forget_codecs() -> None:
    """Every codec module is imported anew, so that those that share the changed one share it changed."""
    for name in [name for name in sys.modules if name.startswith("devices.codecs.")]:
        del sys.modules[name]


def try_profile(profile: str, mistake: Mistake) -> bool:
    """Whether any case of the profile notices a mistake in it."""
    own = [one for one in cases() if one[0].profile.id == profile]
    try:
        return any(is_noticed(case._replace(profile=mistake.made), name, text) for case, name, text in own)
    except (ProfileError, RefusedError):
        return True


class Equivalents:
    """The mistakes that change nothing: what was read about them, and which of it was needed."""

    def __init__(self) -> None:
        text = (Path(__file__).parent / "equivalents.toml").read_text("utf-8")
        self._entries: list[dict[str, str]] = tomllib.loads(text)["equivalent"]
        self._needed: set[int] = set()

    def name(self, mistake: Mistake) -> bool:
        """Whether one of the entries speaks of this mistake."""
        for number, entry in enumerate(self._entries):
            place = mistake.where.partition(":")[0] if mistake.line else mistake.where
            if place == entry["in"] and entry.get("line", "") in mistake.line:
                self._needed.add(number)
                return True
        return False

    def idle(self) -> list[str]:
        """The entries that no mistake needed."""
        left = set(range(len(self._entries))) - self._needed
        return [f"{self._entries[number]['in']}: {self._entries[number].get('line', '')}" for number in sorted(left)]


def _stopped(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError("does not end")


def main(only: Sequence[str]) -> int:
    """Make every mistake; 1 if one that matters was not noticed, or an entry of the equivalents is idle."""
    signal.signal(signal.SIGALRM, _stopped)
    sums = {kind: Counter[str]() for kind in KINDS}
    equivalents = Equivalents()
    began = time.process_time()

    def count(mistake: Mistake, seen: bool) -> None:
        signal.alarm(0)
        outcome = "noticed" if seen else "equivalent" if equivalents.name(mistake) else "missed"
        sums[mistake.kind].update([outcome])
        if outcome == "missed":
            sys.stdout.write(f"{mistake.where}: {mistake.kind}: {mistake.what}  {mistake.line}\n")

    profiles = {case.profile.id: case.profile for case, _, _ in cases()}
    for name, profile in sorted(profiles.items()):
        if not only or name in only:
            for mistake in in_profile(profile):
                signal.alarm(HANGS_AFTER)
                count(mistake, try_profile(name, mistake))
    for file in sorted(FOLDER.glob("*.py")):
        if file.stem not in NOT_READING and (not only or file.stem in only):
            for mistake in in_source(file.stem, file.read_text("utf-8")):
                signal.alarm(HANGS_AFTER)
                count(mistake, try_source(file.stem, mistake))
    total = sum(sums.values(), Counter[str]())
    idle = [] if only else equivalents.idle()
    sys.stdout.writelines(f"equivalents.toml: no mistake needs this any more: {entry}\n" for entry in idle)
    sys.stdout.write(json.dumps({**sums, "all": total, "cpu_seconds": round(time.process_time() - began)}) + "\n")
    return 1 if total["missed"] or idle else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make one mistake at a time in codecs and profiles.")
    parser.add_argument("only", nargs="*", help="codec modules and profiles; default: all")
    sys.exit(main(parser.parse_args().only))
