"""One codec under a coverage-guided fuzzer: any bytes give readings or a named refusal, in bounded time and number.

``python -m tests.fuzz.target CODEC CPU_SECONDS [libFuzzer's own arguments]``; ``make fuzz`` runs it for every codec.

An input is what a device might say, one uplink after the other::

    uplink SEPARATOR uplink SEPARATOR uplink ...        at most 8
    uplink = setting (byte) flags (byte) payload

    setting   which profile, event and port of the golden cases, modulo their number
    flags     1 retained, 2 marked as a redelivery, 4 received before the clock was set, 8 the payload is a recipe: the
              number of a golden payload in JSON, then edits of three bytes each; see ``edited``

Every uplink goes through the whole line: codec, normalize, quality, line protocol. What a codec remembers begins empty
with every input, so that a finding can be run again alone.
"""

import copy
import json
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import atheris
import structlog

with atheris.instrument_imports(include=["devices", "gateway.line"]):
    from devices.codecs import Context, times
    from devices.fleet_row import FleetRow
    from devices.observation import Message, Reason, RefusedError
    from devices.profile import Profile
    from devices.registry import Found, Registry
    from devices.topics import Source
    from devices.units import conversion
    from gateway.line.line_protocol import read_back
    from gateway.line.normalize import Plan
    from gateway.line.pipeline import Limits, Pipeline
    from gateway.line.state import State
    from gateway.model import Uplink

from tests.test_cases import CASES, FOLDERS, Case, payload_of, read_case

SEPARATOR = b"\n\xffuplink\xff\n"
MOST_UPLINKS = 8
LONGEST = 16384
"""Bytes of an input."""
SLOWEST = 2.0
"""CPU seconds one input may take; the largest takes some milliseconds."""
NOW = 1_785_557_400_000_000_000
UNSET = 1_000_000_000
"""The gateway's own clock after a power cut, where no battery keeps it."""


class Setting(NamedTuple):
    """What the golden cases say beside their bytes."""

    profile: str
    event: str
    port: int


class BrokenPromiseError(Exception):
    """What no bytes may bring about."""


class Watched(Pipeline):
    """The line, which hands a port to the codec and looks at what the codec returns."""

    port = 0
    """LoRaWAN's, which a network server's envelope would tell."""
    event = ""
    failed: Exception | None = None
    """What the codec raised beside refusals; the line itself takes it for a defect and goes on."""

    def _decode(self, plan: Plan, uplink: Uplink, found: Found) -> Message:
        memory = self._memories.setdefault(found.device, {})
        zone = self.registry.timezone(found.device)
        context = Context(self.event, zone, memory, uplink.retained, self.port, uplink.received_at)
        try:
            message = plan.decode(uplink.payload, context)
            check(plan.profile, message, len(uplink.payload))
        except RefusedError as refusal:
            if not 0 < len(refusal.detail) <= 300:
                self.failed = BrokenPromiseError(f"a refusal's detail of {len(refusal.detail)} characters")
            raise
        except Exception as error:
            self.failed = error
            raise
        return message

    def say(self, uplink: Uplink, event: str) -> None:
        """Take one uplink in.

        Raises:
            Exception: it was neither taken as readings nor refused by name.
        """
        self.event, self.failed = event, None
        batch, _ = self.process([uplink])
        if self.failed is not None:
            raise self.failed
        if any(refused.reason is Reason.DEFECT for refused in batch.refused):
            raise BrokenPromiseError(batch.refused[0].detail)
        for line in read_back(batch.lines):
            if not all(math.isfinite(value) for value in line.fields.values()):
                raise BrokenPromiseError(f"not finite: {line}")

    def forget(self) -> None:
        """Before the next input."""
        self._memories.clear()


def check(profile: Profile, message: Message, size: int) -> None:
    """What every message promises, whatever it was read from."""
    declared = {entry.name for entry in profile.properties}
    if len(message.observations) > size + len(declared):
        raise BrokenPromiseError(f"{len(message.observations)} observations from {size} bytes")
    for name, value, unit, at in message.observations:
        if name not in declared or type(value) is not float or not math.isfinite(value):
            raise BrokenPromiseError(f"{name} = {value!r}")
        if conversion(name, unit) is None or not (at is None or times.EARLIEST <= at <= times.LATEST):
            raise BrokenPromiseError(f"{name} in {unit!r} at {at}")


class Target:
    """What the fuzzer calls."""

    def __init__(self, codec: str) -> None:
        cases = [read_case(folder) for folder in FOLDERS if folder.parent == CASES / codec]
        profiles = {case.profile.id: case.profile for case in cases}
        self.settings = sorted({setting for case in cases for setting, _, _ in said(case)})
        rows = [FleetRow.model_validate({"device": name, "profile": name, "commune": "10642"}) for name in profiles]
        registry = Registry.of(rows, list(profiles.values()), [Source("fuzz", "fuzz/{device}/{event...}", codec)])
        self.line = Watched(registry, State(registry), lambda names: list(range(1, len(names) + 1)), Limits())
        known = [payload for case in cases for _, _, payload in said(case) if _is_json(payload)]
        self.documents = list(dict.fromkeys(known))
        self.seeds = [SEPARATOR.join(self._written(*uplink) for uplink in said(case)) for case in cases]
        for number in range(len(self.documents[:256])):
            self.seeds.append(bytes([number % 256, 8, number]))
            self.seeds.append(bytes([number % 256, 8, number, number, 1, number]))

    def _written(self, setting: Setting, retained: bool, payload: bytes) -> bytes:
        return bytes([self.settings.index(setting) % 256, retained]) + payload

    def __call__(self, data: bytes) -> None:
        """Take one input in.

        Raises:
            Exception: whatever no bytes may bring about.
        """
        self.line.forget()
        began = time.thread_time()
        for uplink in data.split(SEPARATOR)[:MOST_UPLINKS]:
            if len(uplink) < 2:
                continue
            setting, flags = self.settings[uplink[0] % len(self.settings)], uplink[1]
            self.line.port = setting.port
            topic = f"fuzz/{setting.profile}/{setting.event or '-'}"
            at = UNSET if flags & 4 else NOW
            payload = uplink[2:]
            if flags & 8 and self.documents and payload:
                document = self.documents[payload[0] % len(self.documents)]
                payload = edited(document, payload[1 : 1 + 3 * MOST_EDITS])
            self.line.say(Uplink(topic, payload, at, 1, bool(flags & 1), bool(flags & 2), 7), setting.event)
        spent = time.thread_time() - began
        if spent > SLOWEST:
            raise BrokenPromiseError(f"{spent:.1f} seconds for {len(data)} bytes")


ODD: tuple[object, ...] = (
    None, True, False, 0, -1, 255, 65535, 2**53, 2**63, -(2**63), 10**30, 0.1, -0.0, 1e-320, 1e308, -1e308, "", "0",
    "-1", "1e400", "NaN", "ON", "A" * 40, "\x00", "đèn", "1970-01-01T00:00:00", "2026-08-01T04:05:06.789+07:00",
    "9999-12-31T23:59:60Z", "AQID", [], {}, [[]], [None], {"": 0},
)  # fmt: skip
"""Values that readers of JSON have stumbled over."""
SCALES = (-1, 10, 1000, 1e-3, 2**40, 0.5)
MOST_EDITS = 6


def edited(document: bytes, edits: bytes) -> bytes:
    """A golden payload in JSON with values replaced, left out, doubled, moved or scaled; three bytes an edit."""
    tree = json.loads(document)
    for place, kind, other in zip(edits[::3], edits[1::3], edits[2::3], strict=False):
        places = list(_places(tree))
        if not places:
            return json.dumps(ODD[other % len(ODD)]).encode()
        (parent, key), (source, named) = places[place % len(places)], places[other % len(places)]
        match kind % 7:
            case 0:
                del parent[key]
            case 1:
                parent[key] = copy.deepcopy(ODD[other % len(ODD)])
            case 2:
                parent[key] = copy.deepcopy(source[named])
            case 3:
                parent[key] = [parent[key]] * (other % 3)
            case 4 if isinstance(parent, dict):
                parent[str(named)] = parent[key]
            case 5 if isinstance(parent, dict):
                parent[str(ODD[other % len(ODD)])] = parent.pop(key)
            case _ if isinstance(parent[key], int | float):
                with suppress(OverflowError):  # a whole number of 300 digits, times 0.5
                    parent[key] = parent[key] * SCALES[other % len(SCALES)]
    return json.dumps(tree, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every place a value stands in: its object or array, and its key there."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from _places(tree[key])


def _is_json(payload: bytes) -> bool:
    try:
        return isinstance(json.loads(payload), dict | list)
    except (ValueError, RecursionError):
        return False


def said(case: Case) -> list[tuple[Setting, bool, bytes]]:
    """Everything a golden case's device said: setting, whether it was retained, bytes."""
    own, folder = case.context, case.uplink.parent
    files = [(entry["event"], folder / entry["file"]) for entry in own["earlier"]]
    files.append((own["event"], case.uplink))
    return [
        (Setting(case.profile.id, event, own["port"]), own["retained"], payload_of(file)[:LONGEST])
        for event, file in files
    ]


def main(codec: str, cpu_seconds: float, *arguments: str) -> None:
    """Fuzz one codec until it has had its time; what it finds lies in the working folder as ``crash-*``."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    target = Target(codec)
    seeds = Path("seeds")
    seeds.mkdir(exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (seeds / str(number)).write_bytes(seed)
    calls = count()

    def step(data: bytes) -> None:
        if next(calls) % 256 == 0 and time.process_time() > cpu_seconds:
            os.kill(os.getpid(), signal.SIGUSR1)  # libFuzzer ends, and prints its figures
        target(data)

    Path("corpus").mkdir(exist_ok=True)
    is_alone = any(not argument.startswith("-") for argument in arguments)
    folders = () if is_alone else ("corpus", "seeds")
    limits = (f"-max_len={LONGEST}", "-timeout=120", "-print_final_stats=1")
    atheris.Setup(["fuzz", *limits, *arguments, *folders], step)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), *sys.argv[3:])
