"""What changes, as server-sent events: one reader of the state for all listeners; a slow listener is let go."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Annotated, Any

import anyio
import numpy as np
import structlog
from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.sse import format_sse_event
from numpy.typing import NDArray
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.api.alerts import live_event
from gateway.api.ledger import status_of
from gateway.api.parts import ApiParts
from gateway.api.schemas import time_text
from gateway.line.glance import Glance, column
from gateway.line.state import State

log = structlog.get_logger(__name__)

MAX_LISTENERS = 100
"""Chosen: every screen of a commune's office, several times over."""
MAX_DEVICES = 5000
"""One listener sees so many devices: a commune with all its lamps."""
MAX_WAITING = 8
"""Events that may wait for a listener, 8 s of a busy fleet, before it is let go. Its browser comes again by itself."""
HEALTH_SECONDS = 5.0

router = APIRouter(tags=["live"])


class Listener:
    """One open stream."""

    def __init__(self, commune: str | None) -> None:
        self.commune = commune
        self.devices: NDArray[np.intp] = np.empty(0, np.intp)
        """Indexes of the devices it sees, in the registry of the feed's present state."""
        self.is_new = True
        self.let_go = asyncio.Event()
        self._events: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_WAITING)

    def offer(self, event: bytes | None) -> None:
        """Put an event in; None ends the stream. A listener that does not read is let go."""
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            self.let_go.set()

    async def events(self) -> AsyncIterator[bytes]:
        """Everything offered, until the end."""
        while (event := await self._events.get()) is not None:
            yield event


class LiveFeed:
    """Looks at the state once a second while anybody listens, and tells each listener what concerns it."""

    def __init__(self, parts: ApiParts, tick_seconds: float = 1.0) -> None:
        self._parts = parts
        self._tick = tick_seconds
        self._listeners: set[Listener] = set()
        self._woken = asyncio.Event()
        self._closed = False
        self._state: State | None = None
        self._token = 0
        self._codes: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._next_health = 0.0
        self._alerts = -1
        """Version of the alerts that were told last."""

    def listen(self, commune: str | None) -> Listener | None:
        """Begin a stream; its first event is the snapshot. None if there are too many, or the gateway stops."""
        if self._closed or len(self._listeners) >= MAX_LISTENERS:
            return None
        listener = Listener(commune)
        self._listeners.add(listener)
        self._woken.set()
        return listener

    def leave(self, listener: Listener) -> None:
        """End a stream from the listener's side."""
        self._listeners.discard(listener)

    @property
    def listener_count(self) -> int:
        """How many streams are open."""
        return len(self._listeners)

    def close(self) -> None:
        """End every stream at once."""
        self._closed = True
        self._woken.set()
        for listener in self._listeners:
            listener.offer(None)

    async def run(self) -> None:
        """Serve until closed."""
        next_tick = 0.0
        while not self._closed:
            seconds = max(next_tick - time.monotonic(), 0.0) if self._listeners else None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), seconds)
            self._woken.clear()
            due = time.monotonic() >= next_tick
            if due:
                next_tick = time.monotonic() + self._tick
            try:
                await self._serve(due)
            except Exception:  # the streams' edge: listeners come again, the feed goes on
                log.exception("live feed failed; every listener starts anew")
                for listener in list(self._listeners):
                    listener.offer(None)
                self._listeners.clear()

    async def _serve(self, due: bool) -> None:
        listeners = list(self._listeners)
        if not listeners:
            # Nobody listens: what changes meanwhile comes with the next snapshot.
            self._state = None
            return
        for listener, event in await anyio.to_thread.run_sync(self._look, listeners, due):
            listener.offer(event)
            if listener.let_go.is_set() and listener in self._listeners:
                log.warning("a live listener reads too slowly and is let go")
                self._listeners.discard(listener)

    # in a thread: reading the state of a large fleet takes milliseconds, and the records are on disk -----------

    def _look(self, listeners: Sequence[Listener], due: bool) -> list[tuple[Listener, bytes]]:
        state, now = self._parts.state(), self._parts.now()
        if state is not self._state:
            # The fleet was read anew: indexes mean other devices now.
            self._state, self._token, self._codes = state, state.version, self._parts.look(state).codes
            for listener in listeners:
                listener.is_new = True
        # What spoke is asked before the look: a device that speaks in between is seen now and told again next time.
        token, spoke = state.changed_since(self._token)
        seen = self._parts.look(state)
        texts: dict[int, str] = {}
        events = []
        if due:
            changed = seen.codes != self._codes  # silence is a change too
            changed[spoke] = True
            self._token, self._codes = token, seen.codes
            for listener in listeners:
                if listener.is_new:
                    continue
                devices = listener.devices[changed[listener.devices]]
                if len(devices):
                    events.append((listener, _event("change", _devices(state, seen, devices, now, texts))))
        fresh = [listener for listener in listeners if listener.is_new]
        for listener in fresh:
            listener.devices = _visible(state, listener.commune)
            listener.is_new = False
            events.append((listener, _event("snapshot", _devices(state, seen, listener.devices, now, texts))))
        health_due = due and time.monotonic() >= self._next_health
        if health_due:
            self._next_health = time.monotonic() + HEALTH_SECONDS
        if health_due or fresh:
            health = self._health()
            events += [(listener, health) for listener in (listeners if health_due else fresh)]
        return events + self._alarms(listeners, fresh, due=due)

    def _alarms(
        self, listeners: Sequence[Listener], fresh: Sequence[Listener], *, due: bool
    ) -> list[tuple[Listener, bytes]]:
        """What fires, for those who have just come, and for everybody when it has changed."""
        standing = self._parts.alerts()
        first = self._alerts < 0
        changed = due and not first and standing.version != self._alerts
        if changed or first:
            self._alerts = standing.version
        wanted = listeners if changed else fresh
        texts = {
            commune: _event("alerts", live_event(standing, commune)) for commune in {one.commune for one in wanted}
        }
        return [(listener, texts[listener.commune]) for listener in wanted]

    def _health(self) -> bytes:
        parts = self._parts
        body = {
            "status": status_of(parts.health()),
            "ledger": parts.records.totals()._asdict(),
            "waiting": sum(store.waiting for store in parts.records.lines().stores),
        }
        return _event("health", json.dumps(body, separators=(",", ":")))


def _visible(state: State, commune: str | None) -> NDArray[np.intp]:
    registry = state.registry
    if commune is None:
        return np.arange(min(len(registry), MAX_DEVICES), dtype=np.intp)
    number = registry.communes.number.get(commune, -1)
    return np.flatnonzero(column(registry.commune_of) == number)[:MAX_DEVICES]


def _devices(state: State, seen: Glance, devices: Sequence[int] | NDArray[Any], now: int, texts: dict[int, str]) -> str:
    """``{"now": ..., "devices": {name: LIVE}}``; a device several listeners see is written once."""
    written = []
    for device in map(int, devices):
        if device not in texts:
            texts[device] = f"{json.dumps(state.registry.names[device])}:{_live(state, seen, device)}"
        written.append(texts[device])
    return f'{{"now":"{time_text(now)}","devices":{{{",".join(written)}}}}}'


def _live(state: State, seen: Glance, device: int) -> str:
    first = state.registry.first_series[device]
    values = {}
    for position, entry in enumerate(state.registry.profile(device).properties):
        latest = state.latest(first + position)
        if latest is not None:
            values[entry.name] = [latest.value, latest.quality, latest.observed_at // 1_000_000]
    at = int(seen.seen[device])
    body = {"s": seen.state(device), "t": at // 1_000_000 if at else None, "v": values}
    return json.dumps(body, separators=(",", ":"))


def _event(name: str, data: str) -> bytes:
    return format_sse_event(event=name, data_str=data)


class LiveResponse(StreamingResponse):
    """One listener's stream. Ends when the listener leaves, is let go, or the gateway stops."""

    media_type = "text/event-stream"

    def __init__(self, feed: LiveFeed, listener: Listener) -> None:
        # Nginx would gather events into blocks otherwise.
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(listener.events(), headers=headers)
        self._feed, self._listener = feed, listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        """ASGI."""
        try:
            async with anyio.create_task_group() as group:

                async def until(end: Callable[[], Awaitable[object]]) -> None:
                    await end()
                    group.cancel_scope.cancel()

                # A stalled send is cancelled from beside it: the stream itself cannot notice.
                group.start_soon(until, self._listener.let_go.wait)
                group.start_soon(until, lambda: self.listen_for_disconnect(receive))
                with suppress(OSError):  # the listener went away
                    await self.stream_response(send)
                group.cancel_scope.cancel()
        finally:
            self._feed.leave(self._listener)


@router.get(
    "/live",
    summary="Everything that changes, as server-sent events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "`snapshot` first, then `change` at most once a second with the devices that changed,"
            " `alerts` with everything that fires whenever that changes, and `health` every 5 seconds",
            "content": {
                "text/event-stream": {
                    "example": "event: change\n"
                    'data: {"now":"2026-05-28T20:26:40.123Z","devices":{"lamp-017":{"s":"ok","t":1780000000123,'
                    '"v":{"power":[41.5,1,1780000000000]}}}}\n\n'
                }
            },
        }
    },
)
async def live(
    request: Request,
    commune: Annotated[str | None, Query(max_length=64, description="Only devices of this commune")] = None,
) -> StreamingResponse:
    """At most 5,000 devices a stream; a client that reads too slowly is let go and may come again."""
    feed: LiveFeed = request.app.state.feed
    listener = feed.listen(commune)
    if listener is None:
        raise HTTPException(
            503, f"{MAX_LISTENERS} streams are open already, or the gateway is stopping; try again later"
        )
    return LiveResponse(feed, listener)
