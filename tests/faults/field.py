"""Devices that publish numbered uplinks over real MQTT connections, each until the broker has acknowledged it."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import NamedTuple, Self

from simulators.publisher import Broker, Note, Publisher, Speaker
from tests.servers import HOST

DEVICES = 50
CONNECTIONS = 5
COMMUNE = "10642"
BAD_EVERY = 101
"""One uplink in so many is in a unit nobody declared: what is refused must survive every fault, too."""
MILLISECOND = 1_000_000


def fleet(devices: int = DEVICES, profile: str = "native_streetlight") -> str:
    """The fleet file of these devices."""
    rows = [f"lamp-{number:03},{profile},{COMMUNE}" for number in range(devices)]
    return "\n".join(["device,profile,commune", *rows, ""])


class Numbered(NamedTuple):
    """Which uplink is which: number ``n`` is of one device, one time and one value, and can be told by each."""

    start: int = time.time_ns() // 10**9 * 10**9 - 7200 * 10**9
    """``observed_at`` of uplink 0 [ns UTC]; the others follow a millisecond apart."""
    devices: int = DEVICES
    bad_every: int = BAD_EVERY

    def device(self, number: int) -> str:
        """Whose uplink it is."""
        return f"lamp-{number % self.devices:03}"

    def observed_at(self, number: int) -> int:
        """Nanoseconds UTC."""
        return self.start + number * MILLISECOND

    def value(self, number: int) -> float:
        """Power [W], within the plausible."""
        return number % 1999 / 10

    def is_bad(self, number: int) -> bool:
        """Whether it has to be refused."""
        return bool(self.bad_every) and number % self.bad_every == self.bad_every // 2

    def payload(self, number: int) -> bytes:
        """The uplink's bytes."""
        if self.is_bad(number):
            return b'{"seq":%d,"power":{"value":1,"unit":"horse"}}' % number
        return b'{"observed_at":"%s","seq":%d,"power":%r}' % (self.time_of(number), number, self.value(number))

    def time_of(self, number: int) -> bytes:
        """``observed_at`` as text."""
        seconds, rest = divmod(self.observed_at(number), 10**9)
        at = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return b"%s.%03dZ" % (at.encode(), rest // MILLISECOND)

    def note(self, number: int) -> Note:
        """What is published."""
        return Note(f"village/{COMMUNE}/{self.device(number)}/up", self.payload(number))

    def number_of_refused(self, payload: bytes) -> int:
        """Which refused uplink these bytes are."""
        number: int = json.loads(payload)["seq"]
        return number

    def number_of_point(self, device: str, at: int, value: float) -> int:
        """Which uplink a stored point is; fails if it is none that was sent."""
        number, rest = divmod(at - self.start, MILLISECOND)
        told = (device, value, rest, self.is_bad(number))
        assert told == (self.device(number), self.value(number), 0, False), (device, at, value)
        return number


class Field:
    """The devices, in a thread of its own. What is offered is published in order, until it is acknowledged."""

    def __init__(self, port: int, connections: int = CONNECTIONS, window: int = 200) -> None:
        self._notes: SimpleQueue[Sequence[Note]] = SimpleQueue()
        self._publisher = Publisher(
            Broker(HOST, port), [Speaker(f"field-{number}") for number in range(connections)], window=window
        )
        self._connections = connections
        self._offered = 0
        self._ending = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="field")

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                self._take()
                self._publisher.turn(0.01)
        except BaseException as error:
            self._failed = error
            raise
        finally:
            self._publisher.close(1.0)

    def _take(self) -> None:
        try:
            while True:
                for note in self._notes.get_nowait():
                    # By topic, so that each device's uplinks stay in order.
                    self._publisher.offer(hash(note.topic) % self._connections, note)
        except Empty:
            return

    def publish(self, notes: Sequence[Note]) -> None:
        """Take these to be published."""
        self._offered += len(notes)
        self._notes.put(notes)

    @property
    def acknowledged(self) -> int:
        """How many the broker has acknowledged."""
        if self._failed is not None:
            raise AssertionError(f"the field failed: {self._failed!r}")
        return self._publisher.counts().acknowledged

    @property
    def offered(self) -> int:
        """How many were to be published."""
        return self._offered

    def is_acknowledged(self) -> bool:
        """Whether the broker has acknowledged everything."""
        return self.acknowledged == self._offered

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()


def paced(publish: Callable[[int, int], None], first: int, count: int, per_second: float) -> None:
    """Publish ``count`` uplinks from number ``first`` on, evenly over time; returns after the last."""
    began, done = time.monotonic(), 0
    while done < count:
        due = min(count, int((time.monotonic() - began) * per_second) + 1)
        publish(first + done, due - done)
        done = due
        time.sleep(0.01)
