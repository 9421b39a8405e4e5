"""Mosquitto's dynamic security over MQTT: accounts read and changed while the broker runs."""

import json
import queue
import secrets
import ssl
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.settings_neighbours import Broker
from gateway.southbound.accounts import AccessError, Accounts, Command, Progress, read_accounts

ASK = "$CONTROL/dynamic-security/v1"
ANSWER = f"{ASK}/response"
PAGE = 1000
"""Clients or roles asked for at once: an answer of some 800 kB. Chosen."""
CHUNK = 20
"""Commands in one message. The broker carries them out one after the other and passes no reading on meanwhile; each
takes it 15 ms with 1,000 accounts and 60 ms with 5,000, because it writes its whole file every time (measured)."""
ANSWER_SECONDS = 60.0
CONNECT_SECONDS = 10.0


class LiveAccounts:
    """The running broker's accounts, through the account that may change them. A context: connected inside."""

    def __init__(self, broker: Broker, username: str, password: str) -> None:
        """Nothing is opened.

        Args:
            broker: where it listens, and TLS.
            username: of the account with the role ``admin``.
            password: its password.
        """
        self._broker, self._username = broker, username
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._refused = ""
        self._changed = threading.Event()
        self._is_open = False
        # Version 5 tells why something is refused.
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, f"village-accounts-{secrets.token_hex(4)}", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.username_pw_set(username, password)
        if broker.tls:
            ca, cert, key = (
                str(path) if path else None for path in (broker.ca_file, broker.cert_file, broker.key_file)
            )
            self._client.tls_set(ca, cert, key, cert_reqs=ssl.CERT_REQUIRED)
        self._client.connect_timeout = CONNECT_SECONDS
        self._client.on_connect, self._client.on_subscribe = self._on_connect, self._on_subscribe
        self._client.on_message, self._client.on_disconnect = self._on_message, self._on_disconnect

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            AccessError: no broker, wrong account, or the plugin is not on.
        """
        where = f"{self._broker.host}:{self._broker.port}"
        try:
            self._client.connect(self._broker.host, self._broker.port, keepalive=300)
        except (OSError, ValueError) as error:
            raise AccessError(
                f"no broker at {where}: {error}; start it, or correct [broker] in the settings"
            ) from error
        self._client.loop_start()
        if not self._changed.wait(CONNECT_SECONDS):
            self._leave()
            raise AccessError(f"the broker at {where} does not answer; is it an MQTT 5 broker?")
        if self._refused:
            self._leave()
            raise AccessError(f"{where}: {self._refused}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._leave()

    def _leave(self) -> None:
        self._client.on_disconnect = None
        self._client.disconnect()
        self._client.loop_stop()

    # what the broker says; in paho's thread ---------------------------------------------------------------------

    def _on_connect(
        self, client: paho.Client, _data: object, _flags: object, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            name = self._username
            self._fail(f"the broker does not let {name!r} in ({reason}); correct the administrator's name and password")
        else:
            client.subscribe(ANSWER, qos=1)

    def _on_subscribe(
        self, _client: paho.Client, _data: object, _number: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self._fail(
                f"{self._username!r} may not change accounts; use the administrator's account, and switch the plugin "
                "on (see deploy/mosquitto.conf)"
            )
        self._changed.set()

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        try:
            self._answers.put(json.loads(message.payload))
        except ValueError:
            self._fail("the broker's answer about accounts is not JSON")

    def _on_disconnect(
        self, _client: paho.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        self._fail(f"the broker ended the connection ({reason}); see its log")

    def _fail(self, text: str) -> None:
        self._refused = self._refused or text
        self._changed.set()
        self._answers.put({})

    # asking ----------------------------------------------------------------------------------------------------

    def _ask(self, commands: Sequence[Command]) -> list[dict[str, Any]]:
        self._client.publish(ASK, json.dumps({"commands": commands}), qos=1)
        try:
            answer = self._answers.get(timeout=ANSWER_SECONDS)
        except queue.Empty:
            raise AccessError(
                "the broker does not answer about accounts; is the dynamic security plugin on? (deploy/mosquitto.conf)"
            ) from None
        responses = answer.get("responses")
        if self._refused or not isinstance(responses, list) or len(responses) != len(commands):
            raise AccessError(self._refused or "the broker's answer about accounts cannot be understood")
        return responses

    def read(self) -> Accounts:
        """See ``accounts.Office.read``."""
        defaults = self._data({"command": "getDefaultACLAccess"}).get("acls")
        return read_accounts(self._list("listClients", "clients"), self._list("listRoles", "roles"), defaults)

    def _list(self, command: str, kind: str) -> list[object]:
        found: list[object] = []
        while True:
            page = self._data({"command": command, "verbose": True, "count": PAGE, "offset": len(found)})
            entries = page.get(kind)
            if not isinstance(entries, list):
                raise AccessError("the broker's answer about accounts cannot be understood")
            found += entries
            if len(entries) < PAGE:
                return found

    def _data(self, command: Command) -> dict[str, Any]:
        (response,) = self._ask([command])
        data = response.get("data")
        if "error" in response or not isinstance(data, dict):
            raise AccessError(f"the broker does not tell its accounts: {response.get('error', 'no data')}")
        return data

    def run(self, commands: Sequence[Command], progress: Progress | None = None) -> list[str]:
        """See ``accounts.Office.run``."""
        refused = []
        for first in range(0, len(commands), CHUNK):
            chunk = commands[first : first + CHUNK]
            for command, response in zip(chunk, self._ask(chunk), strict=True):
                if "error" in response:
                    name = command.get("username") or command.get("rolename") or ""
                    refused.append(f"{command['command']} {name}: {response['error']}")
            if progress is not None:
                progress(first + len(chunk), len(commands))
        return refused
