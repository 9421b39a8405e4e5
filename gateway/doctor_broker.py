"""The doctor's look at the broker: connection, certificate, losses, its configuration, and its accounts."""

import os
import queue
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from devices.registry import Registry
from gateway.certificate_ends import WARN_DAYS, server_certificate_ends
from gateway.certificate_watch import untrusted
from gateway.credentials_office import gateway_account
from gateway.settings import Settings, is_loopback
from gateway.settings_neighbours import Broker
from gateway.southbound import access
from gateway.southbound.accounts import AccessError
from gateway.southbound.broker import QUEUE, parse_mosquitto_conf
from gateway.southbound.dropped import DROPPED
from gateway.southbound.dynamic_security import LiveAccounts

CONNECT_SECONDS = 5.0
SYS_SECONDS = 3.0
"""$SYS topics are retained, so a broker that has them sends them at once."""
VERSION_SECONDS = 0.2
VERSION = "$SYS/broker/version"
LEAST_QUEUE_BYTES = 16 << 20
"""What may wait for an absent gateway: 80,000 messages, a quarter of an hour of a commune. Chosen."""
MOST_DRIFT = 10
"""Of accounts that are not as the fleet says, so many are named."""


class Finding(NamedTuple):
    """One line of the doctor."""

    part: str
    ok: bool
    text: str
    """What was seen; if it is not ok, what to do."""


class _Heard(NamedTuple):
    error: str
    """Why there is no connection; empty if there is."""
    topics: dict[str, str]


def examine_broker(broker: Broker) -> Iterator[Finding]:
    where = f"{broker.host} port {broker.port}"
    if broker.password is not None and not broker.tls and not is_loopback(broker.host):
        yield Finding("broker", False, f"{where}: the password crosses the network unencrypted; set broker.tls = true")
    heard = _listen(broker)
    if not heard.error and not is_loopback(broker.host) and broker.username is not None:
        anonymous = broker.model_copy(update={"username": None, "password": None})
        if not _listen(anonymous).error:
            yield Finding(
                "broker", False, f"{where}: lets everybody in without an account; set `allow_anonymous false`"
            )
    if heard.error:
        yield Finding("broker", False, f"{where}: {heard.error}")
        return
    if broker.tls:
        yield from _certificate(broker, where)
    version = f", {heard.topics[VERSION]}" if VERSION in heard.topics else ""
    yield Finding("broker", True, f"{where}: reachable{version}")
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


def _certificate(broker: Broker, where: str) -> Iterator[Finding]:
    left = server_certificate_ends(broker.host, broker.port, broker.ca_file) - datetime.now(UTC)
    if left < timedelta(days=WARN_DAYS):
        yield Finding("broker", False, f"{where}: its certificate ends in {left.days} days; renew it there")


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
    except ssl.SSLCertVerificationError as error:
        return _Heard(untrusted("", broker.host, error).removeprefix(": "), {})
    except (ssl.SSLError, ConnectionResetError) as error:
        words = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        if not broker.tls:
            return _Heard(f"{words}; is this the port without TLS?", {})
        return _Heard(f"no TLS there ({words}); is this the port for TLS, or is broker.tls wrong?", {})
    except socket.gaierror:
        return _Heard("no such name; correct broker.host, or look at this machine's name server", {})
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
            # The version is only nice to know, and an account may have no right to it.
            topic, text = messages.get(timeout=VERSION_SECONDS if DROPPED in topics else SYS_SECONDS)
        except queue.Empty:
            break
        topics[topic] = text
    return topics


def examine_mosquitto_conf(path: Path) -> Iterator[Finding]:
    """Whether the broker's configuration, included folders too, keeps what it accepts and lets nobody in unnamed."""
    try:
        found = _with_included(path)
    except OSError as error:
        yield Finding(
            "queue", False, f"{error.filename}: {error.strerror}; name the file that Mosquitto is started with"
        )
        return
    problems = list(_queue_problems({key: values[-1] for key, values in found.items()}))
    yield from (Finding("queue", False, f"{path}: {problem}") for problem in problems)
    if not problems:
        yield Finding("queue", True, f"{path}: keeps messages for an absent gateway, also over a restart")
    problem = _open_door(found)
    if problem:
        yield Finding("broker", False, f"{path}: {problem}")


def _with_included(path: Path) -> dict[str, list[str]]:
    """The file's keys, then those of the ``*.conf`` files of its ``include_dir`` in the order of their names."""
    found = parse_mosquitto_conf(path.read_text("utf-8", errors="replace"))
    for folder in found.get("include_dir", ()):
        for each in sorted(Path(folder).iterdir()):
            if each.suffix == ".conf":
                for key, values in parse_mosquitto_conf(each.read_text("utf-8", errors="replace")).items():
                    found.setdefault(key, []).extend(values)
    return found


def _open_door(found: Mapping[str, list[str]]) -> str:
    """Why anybody on the network may come in; empty if nobody may."""
    # Without a listener Mosquitto 2 is for this machine only, and with one it asks for accounts unless told otherwise.
    if "true" not in found.get("allow_anonymous", ()):
        return ""
    listeners = [value.split() for value in found.get("listener", ())]
    wide = [words[0] for words in listeners if words and not (len(words) > 1 and is_loopback(words[1]))]
    if not wide:
        return ""
    return f"port {wide[0]} is open to the network and asks nobody for an account; write `allow_anonymous false`"


def _queue_problems(conf: dict[str, str]) -> Iterator[str]:
    if conf.get("persistence") != "true":
        yield "persistence is off, a restart of the broker loses what waits; write `persistence true`"
    if not 0 < _number(conf, "autosave_interval", 1800) <= 300:
        yield f"a power cut loses what came since the last save; write `autosave_interval {QUEUE['autosave_interval']}`"
    if 0 < _number(conf, "max_queued_messages", 1000) < 100_000:
        yield "drops messages of an absent gateway after so many; write `max_queued_messages 0`"
    if 0 < _number(conf, "max_queued_bytes", 0) < LEAST_QUEUE_BYTES:
        yield (
            "drops messages of an absent gateway beyond so many bytes; write"
            f" `max_queued_bytes {QUEUE['max_queued_bytes']}`"
        )
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


# its accounts -----------------------------------------------------------------------------------------------------


def examine_accounts(settings: Settings, registry: Registry, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Accounts and rights at the broker that are not as the fleet says, where the administrator's password is known."""
    password = environ.get("VILLAGE_BROKER_ADMIN_PASSWORD", "")
    if not password:
        return
    at = time.time_ns()
    today = datetime.fromtimestamp(at / 1e9, UTC).date().isoformat()
    try:
        with LiveAccounts(settings.broker, environ.get("VILLAGE_BROKER_ADMIN", "admin"), password) as live:
            found = list(access.drift(registry, live.read(), gateway_account(settings, today), at))
    except AccessError as error:
        yield Finding("accounts", False, str(error))
        return
    yield from (Finding("accounts", False, one.text) for one in found[:MOST_DRIFT])
    if len(found) > MOST_DRIFT:
        more = len(found) - MOST_DRIFT
        yield Finding("accounts", False, f"and {more} more; `village devices credentials check` names them all")
    if not found:
        yield Finding("accounts", True, "every account is as the fleet says")
