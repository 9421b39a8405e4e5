"""Senders nobody knows: what they said, who they may be, and how sure that is; for people to take them in."""

import json
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from devices.codecs import CODECS, Context
from devices.fleet_row import DEFAULT_ZONE
from devices.observation import Reason, RefusedError
from devices.profile import Profile, ProfileError
from devices.registry import Registry
from devices.topics import ROOT, Source
from gateway.line.normalize import Plan, Slot
from gateway.line.replay import reading

SAMPLES = 8
"""Payloads of a sender that profiles are tried on: the newest. Chosen."""
MOST_ROWS = 200_000
"""Refused uplinks that are looked at, the newest first. Chosen: some seconds."""
MOST_GUESSES = 3
SURE, LIKELY = 0.9, 0.6
"""Least score of a guess that is called so; it must also beat the next one clearly."""
AHEAD = {SURE: 0.3, LIKELY: 0.1}
UNSAID = 0.3
"""Of a score, so much depends on how many of the profile's properties were said."""
STRANGE = 0.7
"""A profile of another format than its topic's is worth so much."""
_FORMATS = {ROOT: "native", "sparkplug_b_node": "sparkplug_b"}
_EVENTS_BEHIND_NAMES = ("/availability",)
"""Where a name takes all remaining levels of a topic, its last one may be this event instead."""


class Guess(NamedTuple):
    """A profile that may be the sender's."""

    profile: str
    score: float
    """0 to 1: share of the payloads it reads, times share of plausible values; less where much of the profile is not
    said, or its format is not that of the topic."""


class Pending(NamedTuple):
    """One sender that the fleet does not know."""

    name: str
    """Device name on our own topics; else the hardware id."""
    source: str
    """Name of the source, ``village`` for our own topics."""
    commune: str
    """Named by our own topics; else empty."""
    topic: str
    """The newest one."""
    uplinks: int
    first_at: int
    """Received [ns UTC]."""
    last_at: int
    guesses: tuple[Guess, ...]
    """The best first; empty if no profile reads what it says."""

    @property
    def sureness(self) -> str:
        """``sure``, ``likely``, ``unsure``, or ``none`` without a guess."""
        if not self.guesses:
            return "none"
        best, *others = [guess.score for guess in self.guesses]
        ahead = best - max(others, default=0.0)
        if best >= SURE and ahead >= AHEAD[SURE]:
            return "sure"
        return "likely" if best >= LIKELY and ahead >= AHEAD[LIKELY] else "unsure"


class Sender(NamedTuple):
    """Who a topic names."""

    source: int
    """Index in ``Registry.sources``."""
    name: str
    commune: str
    event: str


class Senders:
    """Reads names out of topics, as the registry does, for devices it does not have."""

    def __init__(self, registry: Registry) -> None:
        self._sources = registry.sources
        self._patterns = [source.pattern for source in registry.sources]

    def of(self, topic: str) -> Sender | None:
        """Who the topic names; None if no source claims it."""
        for number, pattern in enumerate(self._patterns):
            match = pattern.match(topic)
            if match is None:
                continue
            levels = match.groupdict()
            name, event = levels["device"], levels.get("event") or ""
            for ending in _EVENTS_BEHIND_NAMES:
                if "event" not in levels and name.endswith(ending):
                    name, event = name.removesuffix(ending), ending[1:]
            return Sender(number, name, levels.get("commune", "") if number == 0 else "", event)
        return None


class _Heard:
    """What is gathered of one sender, newest first."""

    def __init__(self, sender: Sender, topic: str, at: int) -> None:
        self.sender, self.topic, self.last_at, self.first_at = sender, topic, at, at
        self.uplinks = 0
        self.samples: list[tuple[int, str]] = []
        """Row and event."""


def pending(journal: Path, registry: Registry, since: int = 0, limit: int = 100, name: str = "") -> list[Pending]:
    """Unknown senders, the one that spoke last first.

    Args:
        journal: its file.
        registry: the fleet as it is now; who is in it by now is not pending.
        since: received at or after [ns UTC].
        limit: at most so many senders.
        name: only this one, by name, hardware id or topic; empty for all.
    """
    query = (
        "SELECT id, topic, received_at FROM refused WHERE replayed_at IS NULL AND reason = ? AND received_at >= ?"
        " ORDER BY id DESC LIMIT ?"
    )
    senders = Senders(registry)
    by_topic = senders.of(name)
    wanted = (name if by_topic is None else by_topic.name).casefold()
    found: dict[tuple[int, str], _Heard] = {}
    with reading(journal) as reader:
        for row, topic, at in reader.execute(query, (Reason.UNKNOWN_DEVICE, since, MOST_ROWS)):
            sender = senders.of(topic)
            if sender is None or wanted not in {"", sender.name.casefold()} or _is_known(registry, topic, at):
                continue
            if by_topic is not None and by_topic.source != sender.source:
                continue
            key = (sender.source, sender.name.casefold())
            heard = found.get(key)
            if heard is None:
                if len(found) == limit:
                    continue
                heard = found[key] = _Heard(sender, topic, at)
            heard.uplinks += 1
            heard.first_at = min(heard.first_at, at)
            if len(heard.samples) < SAMPLES:
                heard.samples.append((row, sender.event))
        guesser = _Guesser(registry.profiles)
        return [_told(reader, heard, registry.sources[heard.sender.source], guesser) for heard in found.values()]


def _is_known(registry: Registry, topic: str, at: int) -> bool:
    try:
        registry.find(topic, at)
    except RefusedError:
        return False
    return True


def _told(reader: sqlite3.Connection, heard: _Heard, source: Source, guesser: "_Guesser") -> Pending:
    event_of = dict(heard.samples)
    query = (
        "SELECT id, payload, received_at FROM refused WHERE truncated = 0 AND id IN (SELECT value FROM json_each(?))"
    )
    samples = []
    for row, packed, at in reader.execute(query, (json.dumps(list(event_of)),)):
        try:
            samples.append(_Sample(zlib.decompress(packed), event_of[row], at))
        except zlib.error:
            continue
    sender = heard.sender
    return Pending(
        sender.name, source.name, sender.commune, heard.topic, heard.uplinks, heard.first_at, heard.last_at,
        guesser.guess(source, samples),
    )  # fmt: skip


class _Sample(NamedTuple):
    payload: bytes
    event: str
    received_at: int


class _Guesser:
    """Tries every profile's decoder; those are compiled once per source."""

    def __init__(self, profiles: Iterable[Profile]) -> None:
        self._profiles = list(profiles)
        self._plans: dict[str, list[Plan]] = {}

    def guess(self, source: Source, samples: Sequence[_Sample]) -> tuple[Guess, ...]:
        """The best profiles for these payloads, the best first."""
        if source.name not in self._plans:
            self._plans[source.name] = [plan for profile in self._profiles for plan in _compiled(profile, source)]
        usual = _FORMATS.get(source.name, source.name)
        guesses = []
        for plan in self._plans[source.name]:
            worth = STRANGE if usual in CODECS and not source.envelope and plan.profile.codec != usual else 1.0
            guesses.append(Guess(plan.profile.id, round(worth * _score(plan, samples), 3)))
        good = sorted((guess for guess in guesses if guess.score > 0), key=lambda guess: (-guess.score, guess.profile))
        return tuple(good[:MOST_GUESSES])


def _compiled(profile: Profile, source: Source) -> list[Plan]:
    try:
        return [Plan(profile, source)]
    except ProfileError:
        return []


def _score(plan: Plan, samples: Sequence[_Sample]) -> float:
    """See ``Guess.score``."""
    read = silent = plausible = values = 0
    said: set[str] = set()
    memory: dict[str, object] = {}
    for sample in sorted(samples, key=lambda one: one.received_at):
        context = Context(sample.event, ZoneInfo(DEFAULT_ZONE), memory, False, 0, sample.received_at)
        try:
            observations = plan.decode(sample.payload, context).observations
            slots = plan.slots(observations)
        except RefusedError:
            continue
        if not observations:
            silent += 1  # a join or a last will says nothing for a profile, nor against it
            continue
        read += 1
        said.update(observation.property for observation in observations)
        values += len(observations)
        plausible += sum(_is_plausible(slot, one.value) for slot, one in zip(slots, observations, strict=True))
    if not read:
        return 0.0
    covered = len(said) / len({entry.name for entry in plan.profile.properties})
    return read / (len(samples) - silent) * (plausible / values) * (1 - UNSAID * (1 - covered))


def _is_plausible(slot: Slot, value: float) -> bool:
    return slot.plausible_low <= value * slot.factor + slot.offset <= slot.plausible_high
