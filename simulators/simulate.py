"""A fleet in motion: takes uplinks from the stream as their time comes and hands them to the publisher."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from simulators.fleet import Fleet
from simulators.formats import FORMATS
from simulators.link import Fate
from simulators.publisher import Broker, Publisher, Speaker
from simulators.stream import Stream
from simulators.truth import Truth

TICK = 0.1
"""Seconds of the computer's time between two looks at the stream. Chosen: nobody sees a tenth of a second."""
MOST_WAITING = 50_000
"""Uplinks that may wait for the broker; beyond that the fleet's time stands still until the broker has caught up."""
LONGEST_STEP = 60.0
"""Seconds of the fleet's time taken from the stream at once, at most."""
MOST_AT_ONCE = 5_000
"""Uplinks taken from the stream at once, about: a fleet that has fallen behind must not fill the memory."""
GOODBYE_SECONDS = 2.0


class Pace(NamedTuple):
    """How the fleet's time runs."""

    start: float
    """Seconds since 1970 UTC at which it begins."""
    stop: float | None = None
    """Where it ends; None runs until it is stopped."""
    speed: float = 1.0
    """Fleet's seconds in one second of the computer's."""
    late: float = 0.0
    """Seconds of the computer's time since the fleet's should have begun: they are made up for."""


class Progress(NamedTuple):
    """Where a simulation stands."""

    at: float
    """The fleet's time: everything before it has been handed to the publisher."""
    sent: int
    acknowledged: int
    waiting: int
    connected: int
    connections: int
    breaks: int
    behind: float
    """Seconds the fleet's time lies behind where its pace wants it."""


def speakers(fleet: Fleet, run: str) -> list[Speaker]:
    """One speaker a connection: a device with its last will, or an anonymous share of a large fleet.

    Args:
        run: keeps the client ids of two simulations on one broker apart.
    """
    if fleet.scenario.connections:
        return [Speaker(f"village-sim-{run}-{number}") for number in range(fleet.scenario.connections)]
    found = []
    for cohort in fleet.cohorts:
        states = FORMATS[cohort.format].states
        for device in cohort.identities:
            online, offline = states(device, True), states(device, False)
            hello, goodbye = (() if note is None else (note,) for note in (online, offline))
            found.append(Speaker(f"village-sim-{run}-{device.name}", hello, offline, goodbye))
    return found


def assignment(fleet: Fleet) -> dict[str, int]:
    """Which connection each device speaks on; a device keeps to one, so that its uplinks stay in order."""
    names = [name for cohort in fleet.cohorts for name in cohort.names]
    count = fleet.scenario.connections or len(names)
    return {name: number % count for number, name in enumerate(names)}


def run(
    fleet: Fleet,
    broker: Broker,
    pace: Pace,
    stopped: Callable[[], bool],
    report: Callable[[Progress], None],
    name: str,
    truth: Truth | None = None,
    clock: Callable[[], float] = time.monotonic,
    complain: Callable[[str], None] = lambda _: None,
) -> Progress:
    """Publish a fleet's uplinks until the end of the time given, or until ``stopped``.

    Args:
        name: keeps the client ids of two simulations on one broker apart.
        truth: gets every uplink as it is handed to the publisher, and those that are lost.
        complain: hears in one line why there is no connection.

    Raises:
        BrokerRefusedError: the broker refuses the account.
    """
    stream, connection_of = Stream(fleet, pace.start), assignment(fleet)
    who: Sequence[Speaker] = speakers(fleet, name)
    publisher = Publisher(broker, who, 20 if fleet.scenario.connections == 0 else 500, clock, complain)
    began, sent = clock() - pace.late, 0
    longest = min(LONGEST_STEP, MOST_AT_ONCE / fleet.rate)

    def progress() -> Progress:
        counts = publisher.counts()
        wanted = pace.start + (clock() - began) * pace.speed
        behind = (wanted if pace.stop is None else min(wanted, pace.stop)) - stream.at
        done = (stream.at, sent, counts.acknowledged, counts.waiting)
        return Progress(*done, counts.connected, len(who), counts.breaks, behind)

    try:
        while not stopped():
            now = progress()
            report(now)
            if pace.stop is not None and stream.at >= pace.stop and publisher.idle():
                break
            if now.behind > 0.0 and now.waiting < MOST_WAITING:
                # Whole milliseconds, as reports are: a moment that is printed is a moment to go on from.
                until = round(stream.at + min(now.behind, longest), 3)
                taken = stream.take(until)
                if truth is not None:
                    truth.write(taken)
                for uplink in taken:
                    if uplink.fate is not Fate.LOST:
                        publisher.offer(connection_of[uplink.device], uplink.note)
                        sent += 1
            end = clock() + (TICK if now.behind < longest else 0.0)
            publisher.turn(0.0)
            while (left := end - clock()) > 0.0 and not stopped():
                publisher.turn(left)
    finally:
        publisher.close(GOODBYE_SECONDS)
    return progress()
