"""The demo's broker: Mosquitto or amqtt, both on loopback, both gone within two seconds."""

import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from queue import SimpleQueue

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway.southbound import broker as module
from gateway.southbound.broker import HOST, DemoBroker
from tests.servers import find_server, free_port

KINDS = ("mosquitto", "amqtt")


def demo_broker(kind: str, folder: Path, port: int = 0) -> DemoBroker:
    """A broker of this kind; the test is skipped where there is none."""
    return DemoBroker(folder, port, program=find_server("mosquitto", "mosquitto") if kind == "mosquitto" else "")


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_goes_through_and_the_broker_ends(tmp_path: Path, kind: str) -> None:
    """It says which it is, and what that means."""
    broker = demo_broker(kind, tmp_path)
    broker.start()
    assert broker.kind == kind
    assert f"{HOST}:{broker.port}" in broker.description
    assert ("for demonstrations only" in broker.description) == (kind == "amqtt")
    received: SimpleQueue[bytes] = SimpleQueue()
    subscribed = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, "device")
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _data, message: received.put(bytes(message.payload))
    client.connect(HOST, broker.port)
    client.loop_start()
    assert connected.wait(10)
    client.subscribe("village/+/+/up", qos=1)
    assert subscribed.wait(10)
    client.publish("village/1/lamp-1/up", b"{}", qos=1)
    assert received.get(timeout=10) == b"{}"
    client.disconnect()
    client.loop_stop()
    broker.stop()
    broker.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, broker.port))


@pytest.mark.parametrize("kind", KINDS)
def test_a_taken_port_is_said_in_one_line(tmp_path: Path, kind: str) -> None:
    """Before anything is started."""
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            OSError, match=f"port {port} is taken, perhaps by another broker; stop it or choose another"
        ):
            demo_broker(kind, tmp_path, port).start()


def test_the_broker_remembers_over_a_restart(tmp_path: Path) -> None:
    """Retained messages and sessions, in its folder."""
    broker = demo_broker("mosquitto", tmp_path)
    broker.start()
    client = paho.Client(CallbackAPIVersion.VERSION2, "device")
    client.connect(HOST, broker.port)
    client.loop_start()
    client.publish("village/1/lamp-1/status", b"online", qos=1, retain=True).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()
    broker.stop()
    assert (tmp_path / "mosquitto.db").stat().st_size > 0


def test_a_broker_left_behind_by_a_killed_demo_is_ended_first(tmp_path: Path) -> None:
    """Its port is free again for the next one."""
    port = free_port()
    killed = demo_broker("mosquitto", tmp_path, port)
    killed.start()
    assert killed._running is not None
    left_behind = killed._running._process  # type: ignore[union-attr]
    assert left_behind is not None
    # In a real demo the dead process belongs to nobody here, and disappears by itself.
    reaper = threading.Thread(target=left_behind.wait)
    reaper.start()
    second = demo_broker("mosquitto", tmp_path, port)
    second.start()
    reaper.join()
    assert left_behind.returncode == 0
    second.stop()


def test_another_program_with_the_same_number_is_left_alone(tmp_path: Path) -> None:
    """Process numbers are used again."""
    with subprocess.Popen(["sleep", "60"]) as other:
        (tmp_path / "mosquitto.pid").write_text(str(other.pid))
        broker = demo_broker("mosquitto", tmp_path)
        broker.start()
        broker.stop()
        assert other.poll() is None
        other.send_signal(signal.SIGKILL)


def test_a_program_that_does_not_start_is_said_in_one_line(tmp_path: Path) -> None:
    """In its own last words."""
    program = tmp_path / "mosquitto"
    program.write_text("#!/bin/sh\necho 'no such option'\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(OSError, match="mosquitto did not start: no such option; see "):
        DemoBroker(tmp_path, free_port(), program=str(program)).start()


def test_a_broker_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds are the promise; here a tenth."""
    monkeypatch.setattr(module, "STOP_SECONDS", 0.1)
    broker = demo_broker("mosquitto", tmp_path)
    broker.start()
    process = broker._running._process  # type: ignore[union-attr]
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    broker.stop()
    assert process.returncode == -signal.SIGKILL
    assert time.monotonic() > began
