"""A small fleet and the parts of the line put together without broker, store or thread, for the tests of the line."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import settings

from devices.fleet_row import FleetRow
from devices.profile import Profile, parse_profile, shipped_profiles
from devices.registry import Registry
from devices.topics import Source
from gateway.line.journal import Journal
from gateway.line.pipeline import Limits, Pipeline
from gateway.line.pruning import Bounds
from gateway.line.state import State
from gateway.model import Batch, Heard, Outcome, RefusedUplink, Uplink

STEADY = settings(deadline=None, derandomize=True)
"""Properties are tried with the same examples every time, however slow the machine is."""
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
NOW = int(datetime(2026, 8, 1, 4, 5, 6, tzinfo=UTC).timestamp()) * SECOND
"""When the tests' uplinks are received."""

ROWS = (
    {"device": "lamp-1", "profile": "native_streetlight", "commune": "10642", "group": "tu-1"},
    {"device": "lamp-2", "profile": "native_streetlight", "commune": "10642", "group": "tu-1"},
    {"device": "water-1", "profile": "native_water_station", "commune": "10642"},
    {"device": "air-1", "profile": "native_air_station", "commune": "10645"},
    {"device": "toy-1", "profile": "native_streetlight", "commune": "10645", "simulated": "1"},
)


def profile_of(text: str) -> Profile:
    """A profile from the lines that matter."""
    head = 'maker = "m"\nmodel = "m"\nevidence = { kind = "constructed", document = "this test" }\n'
    return parse_profile(f'id = "test"\n{head}{text}', "test.toml")


def make_registry(
    rows: Iterable[Mapping[str, object]] = ROWS, profiles: Iterable[Profile] = (), sources: Sequence[Source] = ()
) -> Registry:
    """The fleet of these rows, with the shipped profiles and these."""
    known = [*shipped_profiles().values(), *profiles]
    return Registry.of([FleetRow.model_validate(row) for row in rows], known, sources)


class Numbers:
    """Sender numbers as the journal gives them."""

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def __call__(self, names: Sequence[str]) -> list[int]:
        return [self.known.setdefault(name, len(self.known) + 1) for name in names]


def make_pipeline(registry: Registry | None = None) -> Pipeline:
    """A pipeline without a journal."""
    registry = make_registry() if registry is None else registry
    return Pipeline(registry, State(registry), Numbers(), Limits())


def up(payload: object, device: str = "lamp-1", *, at: int = NOW, commune: str = "10642", **more: Any) -> Uplink:
    """An uplink of a device; anything but bytes is written as JSON."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Uplink(f"village/{commune}/{device}/up", body, at)._replace(**more)


def lines_of(pipeline: Pipeline, *uplinks: Uplink) -> list[str]:
    """The finished line protocol of these uplinks."""
    batch, _ = pipeline.process(uplinks)
    return batch.lines.decode().splitlines()


def outcomes_of(pipeline: Pipeline, *uplinks: Uplink) -> list[str]:
    """What became of each of these uplinks, in one batch."""
    batch, _ = pipeline.process(uplinks)
    return [entry.outcome.value for entry in batch.heard]


def refusal_of(pipeline: Pipeline, uplink: Uplink) -> str:
    """The reason this uplink is refused for; it is kept with its bytes, counted, and leaves no line."""
    batch, _ = pipeline.process([uplink])
    assert batch.lines == b""
    assert [(refused.uplink, entry.outcome) for refused, entry in zip(batch.refused, batch.heard, strict=True)] == [
        (uplink, Outcome.REFUSED)
    ]
    return batch.refused[0].reason.value


def make_batch(
    senders: Sequence[int] = (1,),
    *,
    lines: Sequence[str] = (),
    refused: Sequence[RefusedUplink] = (),
    raw: Sequence[Uplink] = (),
    at: int = NOW,
    outcome: Outcome = Outcome.KEPT,
) -> Batch:
    """A batch as the pipeline makes them: one uplink of each sender."""
    heard = [Heard(sender, outcome, at, sender * 7, 0, False) for sender in senders]
    text = "".join(f"{line}\n" for line in lines).encode()
    return Batch(len(heard), text, len(lines), heard, refused, raw)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.now += int(seconds * SECOND)


def open_journal(
    path: Path, stores: Sequence[str] = ("commune",), bounds: Bounds | None = None, now: Clock | None = None
) -> Journal:
    """The journal in this folder."""
    return Journal(path / "journal.db", stores, bounds, now or Clock())
