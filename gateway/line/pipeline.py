"""The straight line: uplinks in, one finished batch out; registry, codec, normalize, quality, line protocol."""

from array import array
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import structlog

from devices.codecs import Context
from devices.codecs.json_text import read_object
from devices.observation import Message, Reason, RefusedError
from devices.quality import Clock
from devices.registry import Found, Registry
from devices.topics import ROOT, STATUS, UP, Source
from gateway.line.completeness import GREATEST
from gateway.line.line_protocol import Templates
from gateway.line.normalize import OWN_CLOCK, Placed, Plan, canonical, places
from gateway.line.quality import judge
from gateway.line.spikes import lines_again
from gateway.line.state import OFFLINE, ONLINE, UNSURE, State
from gateway.line.work import Told, Work
from gateway.model import Batch, Heard, Judged, Outcome, RefusedUplink, Uplink

log = structlog.get_logger(__name__)

LATE_AFTER = 900_000_000_000
"""A reading older than this at receipt counts as late. Chosen: three reports of a device reporting every 5 minutes."""
PACKETS = 65_536
"""MQTT packet ids have 16 bits."""
BACKFILL = -1
"""Source number of records that come from a file."""


class Limits(NamedTuple):
    """What the settings allow."""

    max_payload_bytes: int = 65536
    accept_simulated: bool = False


class Tally:
    """Counts beside the ledger's sums; read by the metrics."""

    def __init__(self) -> None:
        self.clock = [0] * len(Clock)
        self.late = 0
        self.stale = 0
        self.reason: dict[str, int] = {}
        self.readings = 0


def identity_of(payload: bytes) -> int:
    """64 bits that tell one payload from another."""
    return int.from_bytes(blake2b(payload, digest_size=8).digest(), "little")


class Pipeline:
    """Turns what was heard into what is stored. One thread; no I/O."""

    def __init__(
        self,
        registry: Registry,
        state: State,
        senders: Callable[[Sequence[str]], list[int]],
        limits: Limits,
    ) -> None:
        """``senders`` gives the journal's numbers for names, making new ones where needed."""
        self.limits = limits
        self.tally = Tally()
        self._number = senders
        self._by_packet = array("Q", bytes(8 * PACKETS))
        """Identity of the latest uplink by MQTT packet id: if the broker redelivers one, it is this."""
        self._memories: dict[str | int, dict[str, Any]] = {}
        """What codecs remember, by Sparkplug node or by device."""
        self.use(registry, state)

    def use(self, registry: Registry, state: State) -> None:
        """Go on with another fleet (reload)."""
        self.registry = registry
        self.state = state
        self._sender = array("I", self._number(registry.names))
        self._unknown: dict[str, int] = {}
        self._plans: dict[tuple[int, int], tuple[Plan, Templates]] = {}
        self._memories = {key: memory for key, memory in self._memories.items() if isinstance(key, str)}
        self._tags = [f"commune={key},device=" for key in registry.communes.texts]

    def process(self, uplinks: Sequence[Uplink], *, replay: bool = False) -> tuple[Batch, list[Told]]:
        """Read, judge and format a batch. Never raises for what a device sent.

        Args:
            uplinks: in the order they came.
            replay: they came before, and their sequence numbers say nothing of what is missing now.

        Returns:
            What has to be on disk before any of these uplinks is acknowledged, and what to tell devices afterwards.
        """
        work = Work()
        work.is_replay = replay
        for uplink in uplinks:
            device = -1
            try:
                found = self._find(uplink)
                device = found.device
                self._take(uplink, found, work)
            except RefusedError as refusal:
                self._refuse(uplink, device, refusal, work)
            except Exception as error:  # one poisonous payload must not stop every other device
                log.exception("codec failed: a defect of the gateway, the uplink is kept", topic=uplink.topic)
                detail = f"the gateway failed on it ({type(error).__name__}); kept for replay after an update"
                self._refuse(uplink, device, RefusedError(Reason.DEFECT, detail), work)
        # Last, so that whoever asks in the middle of a batch is told of all its devices by the next answer.
        self.state.version += 1
        lines = "".join(work.lines).encode()
        batch = Batch(len(uplinks), lines, work.line_count, work.heard, work.refused, work.raw, work.judged, work.again)
        return batch, work.told

    # one uplink ----------------------------------------------------------------------------------------------

    def _find(self, uplink: Uplink) -> Found:
        try:
            return self.registry.find(uplink.topic, uplink.received_at)
        except RefusedError:
            if uplink.backfill:
                read_object(uplink.payload)  # a record that is no JSON object names no device: say that instead
            raise

    def _take(self, uplink: Uplink, found: Found, work: Work) -> None:
        payload, device = uplink.payload, found.device
        if len(payload) > self.limits.max_payload_bytes:
            limit = self.limits.max_payload_bytes
            raise RefusedError(Reason.TOO_LARGE, f"{len(payload)} bytes; at most {limit} are allowed")
        if self.registry.flags[device] & Registry.SIMULATED and not self.limits.accept_simulated:
            raise RefusedError(Reason.SIMULATED, "a simulated device, and gateway.accept_simulated is false")
        identity = identity_of(payload)
        if self._was_redelivered(uplink, identity):
            self._hear(uplink, device, Outcome.REPEATED, identity, work)
            return
        plan, templates = self._plan(
            device, BACKFILL if uplink.backfill and found.event == "backfill" else found.source
        )
        message = self._decode(plan, uplink, found)
        if uplink.backfill and any(observation.observed_at is None for observation in message.observations):
            raise RefusedError(Reason.CLOCK, "a record of the past needs its time: observed_at in RFC 3339")
        if message.simulated and not self.limits.accept_simulated:
            raise RefusedError(Reason.SIMULATED, "marked as simulated, and gateway.accept_simulated is false")
        slots = plan.slots(message.observations)
        numbered = self._is_numbered(message)
        if message.identity is not None:
            identity = identity_of(message.identity.encode())
        if numbered and self._is_repeat(device, identity, message):
            self._hear(uplink, device, Outcome.REPEATED, identity, work, numbered=True)
            return
        calibrated = self.registry.calibrations.get(device, ())
        placed = places(message.observations, slots, uplink.received_at, message.zoned, calibrated)
        # From here on nothing can be refused any more.
        if message.reply is not None:
            work.told.append(Told(uplink, device, None, message.reply))
        if message.online is not None:
            self._set_status(uplink, device, message.online, work)
        stale = message.stale
        for place in placed:
            # A retained value without a time of its own may be of any age: it is no new point.
            again = message.stale or (uplink.retained and place.clock not in OWN_CLOCK)
            self._judge(place, uplink, device, templates, Work(is_stored=False) if again else work)
            stale = stale or again
        self.tally.stale += stale
        if numbered:
            self.state.remember(device, identity)
        # A last will is the broker's word, not the device's.
        live = not (uplink.retained or uplink.backfill or message.stale or message.online is False)
        if live:
            self.state.seen[device] = max(self.state.seen[device], uplink.received_at)
        number = message.sequence
        if number is None or not live or work.is_replay or not 0 <= number <= GREATEST:
            number = -1
        lost = self.state.count_on(device, number) if number >= 0 else 0
        self._hear(
            uplink, device, Outcome.KEPT, identity, work,
            numbered=numbered, live=live, online=message.online, sequence=number + 1, missing=lost,
        )  # fmt: skip
        work.raw.append(uplink)

    def _decode(self, plan: Plan, uplink: Uplink, found: Found) -> Message:
        key = found.node or found.device
        known = self._memories.get(key)
        memory: dict[str, Any] = {} if known is None else known
        event = UP if found.event == "backfill" else found.event
        zone = self.registry.timezone(found.device)
        try:
            return plan.decode(uplink.payload, Context(event, zone, memory, uplink.retained, 0, uplink.received_at))
        finally:
            if known is None and memory and len(self._memories) <= len(self.registry):
                self._memories[key] = memory

    def _judge(self, place: Placed, uplink: Uplink, device: int, templates: Templates, work: Work) -> None:
        at, clock, slots, values = place
        state = self.state
        first, watch = self.registry.first_series[device], state.watch[device]
        flags = [
            judge(slot, value, at, state, first + slot.position, watch + slot.watched)
            for slot, value in zip(slots, values, strict=True)
        ]
        self.tally.clock[clock] += 1
        self.tally.readings += len(values)
        if clock in OWN_CLOCK:
            state.newest[device] = max(state.newest[device], at)
            if uplink.received_at - at > LATE_AFTER and not uplink.backfill:
                self.tally.late += 1
        elif clock is Clock.FUTURE:
            state.newest[device] = UNSURE
        template = templates.of(slots)
        tags = self._tags[self.registry.commune_of[device]] + self.registry.names[device]
        work.lines.append(template.fill(tags, values, flags, clock, at))
        work.judged.append(Judged(device, at, uplink.received_at, template.names, values, flags, uplink.backfill))
        work.line_count += template.line_count
        if state.spikes:
            for when, text in lines_again(state, device, tags):
                work.lines.append(text)
                work.line_count += 1
                work.again.append((device, when))
        for numbers, rated in template.rated:
            worst = max([flags[number] for number in numbers]) if work.is_stored else 0
            for slot in rated:
                if state.time[first + slot.position] == at:
                    state.line[watch + slot.watched] = worst

    def _set_status(self, uplink: Uplink, device: int, online: bool, work: Work) -> None:
        # A replay tells again what is no longer so.
        if uplink.received_at >= self.state.seen[device]:
            self.state.status[device] = ONLINE if online else OFFLINE
            self.state.stamp[device] = self.state.version + 1
        if not uplink.retained:
            tags = self._tags[self.registry.commune_of[device]] + self.registry.names[device]
            work.lines.append(f"device,{tags} online={int(online)},quality=1,clock=1 {uplink.received_at}\n")
            work.line_count += 1

    def _refuse(self, uplink: Uplink, device: int, refusal: RefusedError, work: Work) -> None:
        name = self.registry.names[device] if device >= 0 else ""
        identity = identity_of(uplink.payload)
        if self._was_redelivered(uplink, identity):
            self._hear(uplink, device, Outcome.REPEATED, identity, work)
            return
        self.tally.reason[refusal.reason] = self.tally.reason.get(refusal.reason, 0) + 1
        work.refused.append(RefusedUplink(uplink, name, refusal.reason, refusal.detail))
        is_unread = device >= 0 and not (uplink.backfill or work.is_replay) and self.state.miss_number(device)
        self._hear(uplink, device, Outcome.REFUSED, identity, work, sequence=int(is_unread))
        if refusal.reply is not None and not (uplink.backfill or work.is_replay):
            work.told.append(Told(uplink, device, None, refusal.reply))
        is_own = uplink.topic.startswith(f"{ROOT}/") and not uplink.topic.endswith(f"/{STATUS}")
        if device >= 0 and is_own and not uplink.backfill:
            work.told.append(Told.why(uplink, device, refusal))

    def _hear(
        self,
        uplink: Uplink,
        device: int,
        outcome: Outcome,
        identity: int,
        work: Work,
        *,
        numbered: bool = False,
        live: bool = False,
        online: bool | None = None,
        sequence: int = 0,
        missing: int = 0,
    ) -> None:
        if device >= 0:
            self.state.stamp[device] = self.state.version + 1
            sender = self._sender[device]
        else:
            sender = self.unknown_sender(uplink.topic)
        packet = uplink.message_id
        if packet:
            self._by_packet[packet] = identity
        work.heard.append(
            Heard(sender, outcome, uplink.received_at, identity, packet, numbered, live, online, sequence, missing)
        )

    # what is known already -----------------------------------------------------------------------------------

    def _plan(self, device: int, source: int) -> tuple[Plan, Templates]:
        key = (self.registry.profile_of[device], source)
        known = self._plans.get(key)
        if known is None:
            profile = self.registry.profile(device)
            if source == BACKFILL:
                plan = Plan(canonical(profile), Source("backfill", ""))
            else:
                plan = Plan(profile, self.registry.sources[source])
            known = self._plans[key] = (plan, Templates())
        return known

    @staticmethod
    def _is_numbered(message: Message) -> bool:
        return (
            message.sequence is not None
            or message.identity is not None
            or any(observation.observed_at is not None for observation in message.observations)
        )

    def _is_repeat(self, device: int, identity: int, message: Message) -> bool:
        # A device whose clock moves on says something new: only old times can be repeats, and those are looked up.
        at = message.observations[0].observed_at if message.observations else None
        if at is not None and at > self.state.newest[device] > 0 and message.identity is None:
            return False
        return self.state.remembers(device, identity)

    def _was_redelivered(self, uplink: Uplink, identity: int) -> bool:
        return uplink.duplicate and self._by_packet[uplink.message_id] == identity

    def recall(self, heard: Sequence[Heard], device_of: dict[int, int]) -> None:
        """Know again, after a restart, what the journal's rows say was heard since the last snapshot.

        Args:
            heard: entries of one journal row.
            device_of: registry index by the journal's sender number.
        """
        for entry in heard:
            if entry.message_id:
                self._by_packet[entry.message_id] = entry.identity
            device = device_of.get(entry.sender)
            if device is not None:
                self.state.recall(device, entry)

    def unknown_sender(self, topic: str) -> int:
        """The journal's number for senders nobody knows, by the topic's root."""
        root = topic.partition("/")[0][:32]
        number = self._unknown.get(root)
        if number is None:
            if len(self._unknown) >= 64:
                root = "other"
            number = self._unknown[root] = self._number([f"?{root}"])[0]
        return number

    def senders(self) -> dict[int, int]:
        """Registry index by the journal's sender number."""
        return {number: device for device, number in enumerate(self._sender)}
