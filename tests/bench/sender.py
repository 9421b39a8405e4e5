"""A process that publishes a province's messages at QoS 1, as fast as the broker takes them or evenly over time."""

import time
from typing import NamedTuple

from simulators.packets import text
from simulators.publisher import Broker, Publisher, Speaker
from tests.bench.processes import Child, await_go, started, tell
from tests.bench.province import Province
from tests.servers import HOST

CONNECTIONS = 10
WINDOW = 100
"""Unacknowledged messages of one connection."""
FASTEST = 10_000
"""Messages sent as fast as possible carry times as if so many came in a second."""


class Order(NamedTuple):
    """What is to be sent."""

    port: int
    devices: int
    communes: int
    first: int
    messages: int
    start_ms: int
    """Time of the first message [ms since 1970]."""
    rate: float = 0.0
    """Messages a second; 0 for as fast as possible."""
    probe: int = 0
    """See ``Province.messages``."""


def sender(order: Order) -> Child:
    """The process, making its messages; it begins with ``go`` and reports ``began``, ``ended`` (the broker had
    acknowledged everything) and ``cpu``, its processor time in between [s]."""
    return Child("sender", order._asdict())


def send(order: Order) -> None:
    """Connect, make the messages, wait for the word, publish, report."""
    publisher = Publisher(
        Broker(HOST, order.port), [Speaker(f"field-{number}") for number in range(CONNECTIONS)], window=WINDOW
    )
    while publisher.counts().connected < CONNECTIONS:
        publisher.turn(0.01)
    province = Province(order.devices, order.communes)
    topics: dict[str, bytes] = {}
    messages = [
        (message.device % CONNECTIONS, topics.setdefault(message.topic, text(message.topic)), message.payload)
        for message in province.messages(
            order.first, order.messages, order.start_ms, order.rate or FASTEST, order.probe
        )
    ]  # fmt: skip
    await_go()
    began, worked = time.monotonic(), time.process_time()
    done = 0
    while done < order.messages or not publisher.idle():
        due = min(order.messages, int((time.monotonic() - began) * order.rate) + 1) if order.rate else order.messages
        for message in messages[done:due]:
            publisher.offer_bytes(*message)
        done = due
        publisher.turn(0.002)
    tell({"began": began, "ended": time.monotonic(), "cpu": time.process_time() - worked})
    publisher.close(1.0)


if __name__ == "__main__":
    send(Order(**started()))
