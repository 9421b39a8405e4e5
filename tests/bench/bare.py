"""The measure of all things: a bare paho subscriber that only acknowledges, in hundreds; a process of its own."""

import time
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from devices.topics import ROOT, UP
from tests.bench.processes import Child, await_go, started, tell
from tests.servers import HOST

TOGETHER = 100


def subscriber(port: int, count: int) -> Child:
    """The process, subscribed; it reports ``ended``, when the last of ``count`` messages was acknowledged, and
    ``cpu``, its processor time for one of them [s]."""
    child = Child("bare", {"port": port, "count": count}).await_ready()
    child.go()
    return child


def listen(port: int, count: int) -> None:
    """Take so many messages, acknowledge them a hundred at a time, report."""
    client = paho.Client(CallbackAPIVersion.VERSION2, "bare", clean_session=True, manual_ack=True)
    granted: list[int] = []
    waiting: list[tuple[int, int]] = []
    heard = 0

    def on_message(_client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        nonlocal heard
        heard += 1
        waiting.append((message.mid, message.qos))
        if len(waiting) >= TOGETHER or heard >= count:
            for mid, qos in waiting:
                client.ack(mid, qos)
            waiting.clear()

    client.on_message = on_message
    client.on_subscribe = lambda *_: granted.append(1)
    client.connect(HOST, port)
    client.subscribe(f"{ROOT}/+/+/{UP}", 1)
    while not granted:
        client.loop(0.1)
    await_go()
    worked = time.process_time()
    while heard < count or client.want_write():
        client.loop(0.1)
    tell({"ended": time.monotonic(), "heard": heard, "cpu": (time.process_time() - worked) / count})
    client.disconnect()


if __name__ == "__main__":
    listen(**started())
