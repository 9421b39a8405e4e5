"""A Mosquitto with accounts for tests, and MQTT clients that tell what they were refused."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from devices.fleet_row import FleetRow, HardwareId
from devices.profile import shipped_profiles
from devices.registry import Registry
from devices.topics import VENDOR_SOURCES
from gateway.settings_neighbours import Broker
from gateway.southbound import accounts as dynsec
from gateway.southbound.access import admit, enroll
from gateway.southbound.accounts import DEFAULTS, Client
from gateway.southbound.dynamic_security import LiveAccounts
from gateway.southbound.rights import gateway_rights
from tests import servers
from tests.gateway_process import PATIENCE, await_that
from tests.servers import HOST, Server

ADMIN, ADMIN_SECRET = "admin", "admin-secret"
AT, TODAY = 1_795_000_000 * 10**9, "2026-11-21"
GATEWAY = Client("gateway", "", ("gateway",), note=TODAY)
GATEWAY_ID = "village-gateway"
SOURCES = tuple(VENDOR_SOURCES[name] for name in ("tasmota", "chirpstack", "zigbee2mqtt"))


def lamp(device: str, commune: str = "10642", *hardware_ids: HardwareId, simulated: bool = False) -> FleetRow:
    """A lamp with our own codec."""
    return FleetRow(
        device=device, profile="native_streetlight", commune=commune, hardware_ids=hardware_ids, simulated=simulated
    )


def fleet(*rows: FleetRow) -> Registry:
    """A registry of these rows, with some vendor sources."""
    return Registry.of(rows, shipped_profiles().values(), SOURCES)


LAMPS = fleet(lamp("lamp-1"), lamp("lamp-2"), lamp("lamp-3"))


@contextmanager
def broker_with_accounts(folder: Path, extra: str = "") -> Iterator[Server]:
    """Mosquitto with the dynamic security plugin and one administrator; ``folder`` holds the accounts' file."""
    servers.find_server("mosquitto", "mosquitto")
    file = accounts_file(folder)
    subprocess.run(
        ["mosquitto_ctrl", "dynsec", "init", str(file), ADMIN, ADMIN_SECRET], check=True, capture_output=True
    )
    lines = f"allow_anonymous false\nplugin mosquitto_dynamic_security.so\nplugin_opt_config_file {file}\n{extra}"
    with servers.mosquitto(lines) as server:
        yield server


def accounts_file(folder: Path) -> Path:
    """Where the broker of the test keeps its accounts."""
    return folder / "dynamic-security.json"


def office(server: Server) -> LiveAccounts:
    """The accounts of a running broker."""
    return LiveAccounts(Broker(host=HOST, port=server.port), ADMIN, ADMIN_SECRET)


def set_up(server: Server, registry: Registry = LAMPS) -> dict[str, str]:
    """Accounts of the gateway and of every device; returns the passwords by username."""
    with office(server) as live:
        secrets = {"gateway": "gateway-secret"}
        known, commands = live.read(), [dynsec.set_defaults(DEFAULTS)]
        commands += admit(GATEWAY, gateway_rights(registry.sources[1:]), secrets["gateway"], known)
        for device in range(len(registry)):
            made = enroll(registry, device, known, AT, TODAY)
            secrets[made.username] = made.password
            commands += made.commands
        assert live.run(commands) == []
    return secrets


class FieldClient:
    """An MQTT 5 client that says what the broker answered; a context, connected inside."""

    def __init__(
        self, port: int, client_id: str, username: str | None = None, password: str | None = None, *, clean: bool = True
    ) -> None:
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False
        )
        if username is not None:
            self._client.username_pw_set(username, password)
        self._port, self._clean = port, clean
        self._answers: dict[int, str] = {}
        self._connected: list[str] = []
        self.is_out = threading.Event()
        self.heard: list[tuple[str, bytes]] = []
        self._client.on_connect = lambda _c, _d, _f, reason, _p: self._connected.append(str(reason))
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = lambda *_: self.is_out.set()
        self._client.on_message = lambda _c, _d, message: self.heard.append((message.topic, bytes(message.payload)))

    def with_tls(self, ca: Path, cert: Path | None = None, key: Path | None = None) -> Self:
        """Trust this authority, and show this certificate."""
        self._client.tls_set(str(ca), str(cert) if cert else None, str(key) if key else None)
        return self

    def _on_publish(self, _client: object, _data: object, number: int, reason: ReasonCode, _properties: object) -> None:
        self._answers[number] = str(reason)

    def _on_subscribe(
        self, _client: object, _data: object, number: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        self._answers[number] = str(reasons[0])

    def __enter__(self) -> Self:
        self._client.connect(HOST, self._port, clean_start=self._clean)
        self._client.loop_start()
        await_that("the broker answers the connection", lambda: self._connected)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def first_answer(self) -> str:
        """The broker's word to somebody who may be cut off without one; empty then."""
        try:
            self._client.connect(HOST, self._port)
        except OSError:
            return ""
        self._client.loop_start()
        try:
            await_that("an answer or an end", lambda: self._connected or self.is_out.is_set())
        finally:
            self._client.loop_stop()
        return self._connected[0] if self._connected else ""

    @property
    def answer(self) -> str:
        """What the broker said to the connection."""
        return self._connected[0]

    def publish(self, topic: str, payload: str = "x") -> str:
        """The broker's answer to a publication at QoS 1."""
        number = self._client.publish(topic, payload, qos=1).mid
        return await_that("an answer to the publication", lambda: self._answers.get(number, ""), PATIENCE)

    def subscribe(self, topic: str) -> str:
        """The broker's answer to a subscription."""
        _, number = self._client.subscribe(topic, 1)
        assert number is not None
        return await_that("an answer to the subscription", lambda: self._answers.get(number, ""), PATIENCE)


def connection_answer(port: int, client_id: str, username: str | None = None, password: str | None = None) -> str:
    """What the broker says to somebody who wants to come in."""
    with FieldClient(port, client_id, username, password) as client:
        return client.answer
