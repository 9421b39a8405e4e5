"""``village doctor``: looks at everything the gateway depends on; one line each, with what to do where it is wrong."""

import json
import os
import queue
import shutil
import socket
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from devices.fleet_csv import FleetError
from devices.fleet_store import open_fleet
from devices.profile import ProfileError, shipped_profiles
from devices.standards import StandardsError, load
from gateway.app import make_store
from gateway.clock import clock_state
from gateway.settings import Broker, Settings, is_loopback
from gateway.southbound.broker import QUEUE, parse_mosquitto_conf
from gateway.southbound.mqtt import DROPPED

CONNECT_SECONDS = 5.0
SYS_SECONDS = 3.0
"""$SYS topics are retained, so a broker that has them sends them at once."""
VERSION = "$SYS/broker/version"
MB = 1 << 20
RESERVE_BYTES = 64 * MB
"""Room a system needs beside the journal. Chosen."""


class Finding(NamedTuple):
    """One line of the doctor."""

    part: str
    ok: bool
    text: str
    """What was seen; if it is not ok, what to do."""


def examine(settings: Settings, mosquitto_conf: Path | None = None) -> Iterator[Finding]:
    """Look at one thing after the other; each finding comes as soon as it is known.

    Args:
        settings: of the gateway, which may be running or not.
        mosquitto_conf: the broker's file, where it is on this machine.
    """
    yield from _fleet(settings)
    yield from _standards(settings)
    yield _clock()
    yield from _data_folder(settings)
    yield _api(settings)
    yield from _broker(settings.broker)
    if mosquitto_conf is not None:
        yield from _mosquitto_conf(mosquitto_conf)
    for place in settings.store:
        store = make_store(settings, place)
        try:
            problems = store.check()
        finally:
            store.close()
        part = f"store {place.name}"
        yield from (Finding(part, False, problem) for problem in problems)
        if not problems:
            yield Finding(part, True, f"{place.kind} {place.url or settings.store_path(place)}: reachable and writable")


# this machine -----------------------------------------------------------------------------------------------------


def _fleet(settings: Settings) -> Iterator[Finding]:
    path = settings.gateway.fleet
    try:
        fleet = open_fleet(path, shipped_profiles().values(), settings.sources())
    except (FleetError, ProfileError) as error:
        yield from (Finding("fleet", False, line) for line in str(error).splitlines())
        return
    if not len(fleet):
        yield Finding("fleet", False, f"{path}: no devices, so every message will be refused; add rows")
        return
    simulated = sum(fleet.is_simulated(device) for device in range(len(fleet)))
    if simulated and not settings.gateway.accept_simulated:
        text = f"{simulated} of {len(fleet)} devices are simulated and will be refused (gateway.accept_simulated)"
        yield Finding("fleet", simulated < len(fleet), f"{path}: {text}")
        return
    yield Finding("fleet", True, f"{path}: {len(fleet)} devices in {len(fleet.communes.texts)} commune(s)")


def _standards(settings: Settings) -> Iterator[Finding]:
    folder = settings.gateway.standards
    if folder is not None:
        try:
            load(folder)
            yield Finding("standards", True, f"{folder}: own tables in place of shipped ones")
        except StandardsError as error:
            yield Finding("standards", False, str(error))


def _clock() -> Finding:
    state = clock_state()
    return Finding("clock", state.synchronised is True, state.detail)


def _data_folder(settings: Settings) -> Iterator[Finding]:
    folder = settings.gateway.data_dir
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=existing):
            pass
    except OSError as error:
        yield Finding(
            "data", False, f"{existing}: cannot be written ({error.strerror}); give this account the right to"
        )
        return
    journal = settings.journal
    budget = (journal.max_mb + journal.raw_max_mb + journal.refused_max_mb) * MB
    used = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
    free = shutil.disk_usage(existing).free
    missing = max(budget - used, 0) + RESERVE_BYTES - free
    text = f"{folder}: {free // MB} MB free, the journal may still take {max(budget - used, 0) // MB} MB"
    if missing > 0:
        text += f"; free {missing // MB + 1} MB or lower journal.max_mb, raw_max_mb or refused_max_mb"
    yield Finding("data", missing <= 0, text)


def _api(settings: Settings) -> Finding:
    host, port = settings.api.host, settings.api.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        status = _running_status(settings)
        if status:
            return Finding("api", status == "ok", f"a gateway is running at {host} port {port} and says it is {status}")
        what = "stop the program that listens there, or change api.port"
        return Finding("api", False, f"{host} port {port}: {error.strerror or error}; {what}")
    return Finding("api", True, f"{host} port {port} is free; no gateway is running there")


def _running_status(settings: Settings) -> str:
    """What a running gateway says of itself; empty if none answers."""
    host = settings.api.host if is_loopback(settings.api.host) else "127.0.0.1"
    name = f"[{host}]" if ":" in host else host
    request = urllib.request.Request(f"http://{name}:{settings.api.port}/health")
    if settings.api.token is not None:
        request.add_header("Authorization", f"Bearer {settings.api.token.get_secret_value()}")
    try:
        with urllib.request.urlopen(request, timeout=CONNECT_SECONDS) as answer:  # noqa: S310
            body = answer.read(1 << 20)
    except urllib.error.HTTPError as error:
        # 503 is how a gateway says that it fails.
        with error:
            body = error.read(1 << 20)
    except OSError:
        return ""
    try:
        said: object = json.loads(body)
    except ValueError:
        return ""
    return str(said.get("status", "")) if isinstance(said, dict) else ""


# the broker -------------------------------------------------------------------------------------------------------


class _Heard(NamedTuple):
    error: str
    """Why there is no connection; empty if there is."""
    topics: dict[str, str]


def _broker(broker: Broker) -> Iterator[Finding]:
    where = f"{broker.host} port {broker.port}"
    if broker.password is not None and not broker.tls and not is_loopback(broker.host):
        yield Finding("broker", False, f"{where}: the password crosses the network unencrypted; set broker.tls = true")
    heard = _listen(broker)
    if heard.error:
        yield Finding("broker", False, f"{where}: {heard.error}")
        return
    version = heard.topics.get(VERSION, "does not say which")
    yield Finding("broker", True, f"{where}: reachable, {version}")
    dropped = heard.topics.get(DROPPED)
    if dropped is None:
        text = (
            f"{where} does not show {DROPPED}; give the gateway's account the right to read $SYS, or losses stay unseen"
        )
        yield Finding("queue", False, text)
    elif dropped.strip() != "0":
        text = f"the broker has dropped {dropped} messages since it started; see deploy/mosquitto.conf"
        yield Finding("queue", False, text)
    else:
        yield Finding("queue", True, "the broker has dropped no message since it started")


def _listen(broker: Broker) -> _Heard:
    """Connect as a client of its own, so that a running gateway is not disturbed, and read $SYS."""
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    messages: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
    version = MQTTProtocolVersion.MQTTv5 if broker.protocol == "5" else MQTTProtocolVersion.MQTTv311
    client = paho.Client(CallbackAPIVersion.VERSION2, f"{broker.client_id}-doctor-{os.getpid()}", protocol=version)
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password.get_secret_value() if broker.password else None)

    def connected(_client: paho.Client, _data: object, _flags: object, reason: Any, _properties: object) -> None:
        answers.put(f"{reason}; check broker.username and broker.password" if reason.is_failure else "")

    def heard(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        messages.put((message.topic, message.payload.decode(errors="replace")[:100]))

    client.on_connect, client.on_message = connected, heard
    client.connect_timeout = CONNECT_SECONDS
    try:
        if broker.tls:
            ca_file, cert_file, key_file = (str(path) if path else None for path in _tls_files(broker))
            client.tls_set(ca_certs=ca_file, certfile=cert_file, keyfile=key_file)
        client.connect(broker.host, broker.port)
    except OSError as error:
        return _Heard(f"{error.strerror or error}; start the broker, or mend [broker] in the settings", {})
    client.loop_start()
    try:
        error_text = answers.get(timeout=CONNECT_SECONDS)
        topics: dict[str, str] = {}
        if not error_text:
            client.subscribe([(VERSION, 0), (DROPPED, 0)])
            topics = _collect(messages)
    except queue.Empty:
        return _Heard(f"does not answer as a broker within {CONNECT_SECONDS:g} s; is this the right port?", {})
    finally:
        client.disconnect()
        client.loop_stop()
    return _Heard(error_text, topics)


def _tls_files(broker: Broker) -> tuple[Path | None, Path | None, Path | None]:
    return broker.ca_file, broker.cert_file, broker.key_file


def _collect(messages: "queue.SimpleQueue[tuple[str, str]]") -> dict[str, str]:
    topics: dict[str, str] = {}
    while len(topics) < 2:
        try:
            topic, text = messages.get(timeout=SYS_SECONDS)
        except queue.Empty:
            break
        topics[topic] = text
    return topics


def _mosquitto_conf(path: Path) -> Iterator[Finding]:
    try:
        found = parse_mosquitto_conf(path.read_text("utf-8", errors="replace"))
    except OSError as error:
        yield Finding("queue", False, f"{path}: {error.strerror}")
        return
    problems = list(_queue_problems({key: values[-1] for key, values in found.items()}))
    yield from (Finding("queue", False, f"{path}: {problem}") for problem in problems)
    if not problems:
        yield Finding("queue", True, f"{path}: keeps messages for an absent gateway, also over a restart")


def _queue_problems(conf: dict[str, str]) -> Iterator[str]:
    if conf.get("persistence") != "true":
        yield "persistence is off, a restart of the broker loses what waits; write `persistence true`"
    if not 0 < _number(conf, "autosave_interval", 1800) <= 300:
        yield f"a power cut loses what came since the last save; write `autosave_interval {QUEUE['autosave_interval']}`"
    if 0 < _number(conf, "max_queued_messages", 1000) < 100_000:
        yield "drops messages of an absent gateway after so many; write `max_queued_messages 0`"
    in_flight = _number(conf, "max_inflight_messages", 20)
    if 0 < in_flight < 1000:
        yield f"one commit gets so few messages; write `max_inflight_messages {QUEUE['max_inflight_messages']}`"
    if conf.get("queue_qos0_messages") == "true" and in_flight:
        yield "loses a QoS 1 message for each QoS 0 message it queues (Mosquitto 2.0.11); remove `queue_qos0_messages`"
    if "message_size_limit" in conf and conf["message_size_limit"] != "0":
        yield "acknowledges what it throws away; write `max_packet_size` instead of `message_size_limit`"
    if conf.get("sys_interval") == "0":
        yield "losses cannot be seen; write `sys_interval 10`"


def _number(conf: dict[str, str], key: str, default: int) -> int:
    try:
        return int(conf.get(key, default))
    except ValueError:
        return default
