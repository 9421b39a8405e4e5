"""A gateway as its users run it: ``village run`` in a process of its own, asked over HTTP."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.servers import HOST, Server, free_port

T = TypeVar("T")
PATIENCE = 30.0
"""A condition that has not come true by then [s] never will; generous, since test machines are slow."""

FLEET = """device,profile,commune,zone,group,name,latitude,longitude,hardware_ids,simulated,timezone
lamp-017,native_streetlight,10642,street,cabinet-1,"Đèn 17, đường trục thôn",20.9762,106.298,,,
lamp-018,native_streetlight,10642,street,cabinet-1,Đèn 18,20.9763,106.299,,,
water-01,native_water_station,10642,village,,Kênh Thái Tân,20.98,106.30,,,
ghost-01,native_streetlight,10642,street,,Đèn mô phỏng,20.98,106.30,,1,
"""


def await_that(what: str, condition: Callable[[], T], patience: float = PATIENCE) -> T:
    """The condition's first true value; fails naming what was awaited."""
    until = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"waited {patience:g} s in vain for: {what}; last seen: {value!r}")
        time.sleep(0.02)
    return value


class GatewayProcess:
    """``village run`` with its own configuration; ``start``, ``kill`` (SIGKILL) and ``stop`` as often as needed."""

    def __init__(self, folder: Path, broker_port: int, stores: str, fleet: str = FLEET, gateway: str = "") -> None:
        self.patience = PATIENCE
        self.folder, self.port = folder, free_port()
        self.config = folder / "village.toml"
        self._process: subprocess.Popen[bytes] | None = None
        if "clock" not in gateway:
            gateway = f'clock = "trust"\n{gateway}'
        (folder / "fleet.csv").write_text(fleet, "utf-8")
        self.config.write_text(
            f"[broker]\nport = {broker_port}\n[gateway]\n{gateway}\n{stores}\n[api]\nport = {self.port}\n", "utf-8"
        )

    def start(self) -> Self:
        """Start and return when the API answers."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GATEWAY_")}
        # So that a process that hangs can be asked where (SIGABRT).
        environment["PYTHONFAULTHANDLER"] = "1"
        command = [sys.executable, "-m", "gateway", "run", "--config", str(self.config)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        await_that("the gateway's API answers", self._answers, self.patience)
        return self

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.folder / "gateway.log"

    @property
    def process_id(self) -> int:
        """Of the process that runs; 0 if none does."""
        return self._process.pid if self._process is not None else 0

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise AssertionError(f"the gateway ended: {self.log.read_text()[-3000:]}")
        try:
            self.ask("/health")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def ask(self, path: str) -> Any:
        """GET, read as JSON."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def totals(self) -> dict[str, int]:
        """The ledger's sums."""
        totals: dict[str, int] = self.ask("/ledger")["totals"]
        return totals

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self, patience: float = 20.0) -> int:
        """SIGTERM; returns the exit status. One that has not ended by then says where it hangs."""
        return self._end(signal.SIGTERM, patience)

    def _end(self, how: signal.Signals, patience: float = 20.0) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(how)
        try:
            status = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGABRT)
            self._process.wait(patience)
            self._process = None
            raise AssertionError(f"did not end in {patience:g} s: {self.log.read_text()[-6000:]}") from None
        self._process = None
        return status

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


class Publisher:
    """A real MQTT client that publishes at QoS 1 and knows what was acknowledged."""

    def __init__(self, broker: Server, client_id: str = "field") -> None:
        self.heard: list[tuple[str, bytes]] = []
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id)
        self._client.on_message = lambda _client, _data, message: self.heard.append(
            (message.topic, bytes(message.payload))
        )
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def listen(self, topic: str) -> None:
        """Subscribe, and wait until it holds."""
        granted: list[int] = []
        self._client.on_subscribe = lambda *_: granted.append(1)
        self._client.subscribe(topic, 1)
        await_that("the subscription holds", lambda: granted)

    def send(self, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
        """Publish, and wait for the broker's acknowledgement."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


EMBEDDED = '[[store]]\nname = "here"\nkind = "embedded"\n'


def influx_store(server: Server, database: str) -> str:
    """Settings of an InfluxDB 1.x store."""
    return f'[[store]]\nname = "influx"\nkind = "influxdb1"\nurl = "{server.url}"\ndatabase = "{database}"\n'
