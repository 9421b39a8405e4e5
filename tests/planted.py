"""Misconfigurations as technicians make them, each planted in a sound machine, and what the doctor says of it."""

import re
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway import doctor
from gateway.certificates import Authority, Pair
from gateway.clock import ClockState
from gateway.line.migrations import SCHEMA_VERSION
from gateway.southbound.accounts import change_client
from tests import servers
from tests.access_parts import office
from tests.gateway_process import EMBEDDED, GatewayProcess, await_that
from tests.planted_box import BOX
from tests.planted_machine import FLEET, Machine, Patch, Plant, Planted
from tests.servers import HOST, free_port

# the network and the broker ---------------------------------------------------------------------------------------


def _broker_down(machine: Machine) -> None:
    machine.set("broker", port=free_port())


@contextmanager
def _mute() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as listener:
        yield listener.getsockname()[1]


def _port_of_something_else(machine: Machine) -> AbstractContextManager[object]:
    stack = ExitStack()
    machine.set("broker", port=stack.enter_context(_mute()), tls=False, ca_file=None)
    del machine.settings["broker"]["ca_file"]
    return stack


def _plain_port_with_tls(machine: Machine) -> None:
    machine.set("broker", port=machine.broker.port)


def _open_broker(machine: Machine) -> None:
    machine.local.write_text("listener 1883\nallow_anonymous true\n")


def _conf(line: str) -> Plant:
    def plant(machine: Machine) -> None:
        with machine.conf.open("a") as file:
            file.write(f"{line}\n")

    return plant


def _drop_line(key: str) -> Plant:
    def plant(machine: Machine) -> None:
        lines = machine.conf.read_text().splitlines()
        machine.conf.write_text("\n".join(line for line in lines if not line.startswith(key)) + "\n")

    return plant


def _drop_in(line: str) -> Plant:
    def plant(machine: Machine) -> None:
        (machine.local.parent / "own.conf").write_text(f"{line}\n")

    return plant


def _set(section: str, **values: Any) -> Plant:
    def plant(machine: Machine) -> None:
        machine.set(section, **values)

    return plant


def _without_device_account(machine: Machine) -> None:
    with (machine.folder / "fleet.csv").open("a") as fleet:
        fleet.write("lamp-3,native_streetlight,10642,\n")


@contextmanager
def _unbound_account(machine: Machine) -> Iterator[None]:
    with office(machine.broker) as live:
        bound = live.read().clients["lamp-2"]
        live.run([change_client(bound._replace(client_id=""))])
        try:
            yield
        finally:
            live.run([change_client(bound)])


@contextmanager
def _two_gateways(machine: Machine) -> Iterator[None]:
    """Another gateway with the same client id, on the same broker; both try again and again."""
    with servers.mosquitto() as broker, ExitStack() as stack:
        both = []
        for number in range(2):
            folder = machine.folder / f"gateway-{number}"
            folder.mkdir()
            both.append(stack.enter_context(GatewayProcess(folder, broker.port, EMBEDDED)))
        machine.set("api", port=both[0].port)
        await_that(
            "the gateway notices",
            lambda: any("client id" in part["detail"] for part in both[0].ask("/health")["parts"]),
        )
        yield


# certificates and secrets -----------------------------------------------------------------------------------------


def _certificate(name: str, ended: bool) -> Plant:
    def plant(machine: Machine) -> None:
        now = datetime.now(UTC)
        began = now - timedelta(days=900 if ended else 800)
        authority = Authority.make(machine.folder / "old-authority", "Old", began)
        files = Pair(machine.certificates / f"{name}.crt", machine.certificates / f"{name}.key")
        authority.issue_server(files, ["localhost"], began)

    return plant


def _other_authority(machine: Machine) -> None:
    other = Authority.make(machine.folder / "other", "Other", datetime.now(UTC))
    shutil.copy(other.files.certificate, machine.certificates / "ca.crt")


def _other_name(machine: Machine) -> Patch:
    # A name of this machine that does not stand in the certificate; a name server would be needed to make one.
    machine.set("broker", host="box.example")
    found = socket.getaddrinfo

    def answer(host: Any, *arguments: Any, **more: Any) -> Any:
        return found("localhost" if host == "box.example" else host, *arguments, **more)

    return Patch(socket, "getaddrinfo", answer)


def _no_such_name(machine: Machine) -> None:
    machine.set("broker", host="box.invalid")


def _mode(name: str, mode: int) -> Plant:
    def plant(machine: Machine) -> None:
        (machine.folder / name).chmod(mode)

    return plant


def _secret_in_open_file(machine: Machine) -> None:
    machine.set("broker", password="gateway-secret")


# this machine -----------------------------------------------------------------------------------------------------


def _clock(_machine: Machine) -> Patch:
    state = ClockState(False, "the kernel says it is not synchronised (adjtimex); start systemd-timesyncd or chrony")
    return Patch(doctor, "clock_state", lambda: state)


def _no_folder(machine: Machine) -> None:
    # Root may write everywhere, but not below a file.
    machine.data.write_text("")


def _nearly_full(_machine: Machine) -> Patch:
    usage = type(shutil.disk_usage("/"))
    return Patch(shutil, "disk_usage", lambda _path: usage(32 << 30, 32 << 30, 40 << 20))


def _journal_of(version: int) -> Plant:
    def plant(machine: Machine) -> None:
        machine.data.mkdir()
        journal = sqlite3.connect(machine.data / "journal.db")
        journal.execute(f"PRAGMA user_version = {version}")
        journal.commit()
        journal.close()

    return plant


def _journal_set_aside(machine: Machine) -> None:
    machine.data.mkdir()
    (machine.data / "journal.db.damaged-20261121T120000").write_bytes(b"?")


def _port_taken(machine: Machine) -> AbstractContextManager[object]:
    stack = ExitStack()
    machine.set("api", port=stack.enter_context(_mute()))
    return stack


def _open_api(machine: Machine) -> None:
    machine.set("api", host="0.0.0.0")


# the fleet --------------------------------------------------------------------------------------------------------


def _fleet(text: str) -> Plant:
    def plant(machine: Machine) -> None:
        (machine.folder / "fleet.csv").write_text(text, "utf-8")

    return plant


def _fleet_database(data: bytes | None) -> Plant:
    def plant(machine: Machine) -> None:
        machine.set("gateway", fleet="fleet.db")
        if data is not None:
            (machine.folder / "fleet.db").write_bytes(data)

    return plant


# the store --------------------------------------------------------------------------------------------------------


def _store_down(machine: Machine) -> None:
    machine.set("[store]", url=f"http://{HOST}:{free_port()}")


def _store_password(machine: Machine) -> None:
    machine.environment["GATEWAY_STORE_0_PASSWORD"] = "wrong"


def _retention(database: str, duration: str) -> Plant:
    @contextmanager
    def plant(machine: Machine) -> Iterator[None]:
        policy = f"ALTER RETENTION POLICY autogen ON {database} DURATION"
        servers.influxql(machine.store, f"{policy} {duration} SHARD DURATION 1d")
        try:
            yield
        finally:
            servers.influxql(machine.store, f"{policy} INF SHARD DURATION 1w")

    return plant


def _broker_password(machine: Machine) -> None:
    machine.environment["GATEWAY_BROKER_PASSWORD"] = "wrong"


PLANTED = (
    Planted("the broker's port is wrong, or the broker is down", _broker_down,
            "broker: localhost port ...: Connection refused; start the broker, or mend [broker] in the settings"),
    Planted("the port of another program", _port_of_something_else,
            "broker: localhost port ...: does not answer as a broker within ... s; is this the right port?"),
    Planted("TLS to the port that has none", _plain_port_with_tls,
            "broker: localhost port ...: no TLS there (...); is this the port for TLS, or is broker.tls wrong?"),
    Planted("a name nobody knows", _no_such_name,
            "broker: box.invalid port ...: no such name; correct broker.host, or look at this machine's name server"),
    Planted("the gateway's password at the broker is wrong", _broker_password,
            "broker: localhost port ...: Not authorized; check broker.username and broker.password"),
    Planted("the broker is open to the network without accounts", _open_broker,
            "broker: .../mosquitto.conf: port 1883 is open to the network and asks nobody for an account; write"
            " `allow_anonymous false`"),
    Planted("Mosquitto's default of 1,000 waiting messages", _drop_line("max_queued_messages"),
            "queue: .../mosquitto.conf: drops messages of an absent gateway after so many; write"
            " `max_queued_messages 0`"),
    Planted("the same, in a file that is included", _drop_in("max_queued_messages 100"),
            "queue: .../mosquitto.conf: drops messages of an absent gateway after so many; write"
            " `max_queued_messages 0`"),
    Planted("the broker forgets at a restart", _conf("persistence false"),
            "queue: .../mosquitto.conf: persistence is off, a restart of the broker loses what waits; write"
            " `persistence true`"),
    Planted("the broker saves every half hour", _conf("autosave_interval 1800"),
            "queue: .../mosquitto.conf: a power cut loses what came since the last save; write `autosave_interval 60`"),
    Planted("a device of the fleet has no account", _without_device_account,
            "accounts: lamp-3 has no account; `village devices credentials create lamp-3` makes one"),
    Planted("an account may use any client id", _unbound_account,
            "accounts: ...lamp-2...`mend`..."),
    Planted("two gateways with one client id", _two_gateways,
            "api: it says of broker: the broker ends the connection again and again; does another gateway use the"
            " client"
            " id 'village-gateway'? The broker's log says why"),
    Planted("a certificate has ended", _certificate("influxdb", ended=True),
            "certificates: .../influxdb.crt: ended on ...; make a new one with `village certificates`"),
    Planted("a certificate ends this month", _certificate("influxdb", ended=False),
            "certificates: .../influxdb.crt: ends on ..., in 24 days; make a new one with `village certificates`"),
    Planted("the authority is another one", _other_authority,
            "broker: localhost port ...: its certificate is not of an authority that is trusted (...); set ca_file"
            " to the"
            " right ca.crt"),
    Planted("the broker is called by a name its certificate does not have", _other_name,
            "broker: box.example port ...: its certificate is not for 'box.example'; name the server as it does, or"
            " make"
            " one for this name"),
    Planted("everybody may read a private key", _mode("certificates/broker.key", 0o644),
            "certificates: .../broker.key: everybody on this machine may read it (mode 0644); chmod 600"
            " .../broker.key"),
    Planted("everybody may read the secrets", _mode("secrets.env", 0o644),
            "secrets: .../secrets.env: everybody on this machine may read it (mode 0644); chmod 600 .../secrets.env"),
    Planted("a password in the settings, which everybody may read", _secret_in_open_file,
            "secrets: .../village.toml: holds a secret, and everybody on this machine may read it; chmod 640"
            " .../village.toml"),
    Planted("the clock is not kept right", _clock,
            "clock: the kernel says it is not synchronised (adjtimex); start systemd-timesyncd or chrony"),
    Planted("the data folder cannot be written", _no_folder,
            "data: .../data: cannot be written (...); give this account the right to"),
    Planted("the disk is nearly full", _nearly_full,
            "data: .../data: 40 MB free, the journal may still take 32 MB; free 57 MB or lower journal.max_mb,"
            " raw_max_mb"
            " or refused_max_mb"),
    Planted("a journal of a newer version", _journal_of(SCHEMA_VERSION + 1),
            "journal: .../journal.db: was written by a newer version of the gateway; install that version again, or go"
            " back with `deploy/upgrade.sh --back`"),
    Planted("a damaged journal was set aside and forgotten", _journal_set_aside,
            "journal: .../journal.db.damaged-20261121T120000: was damaged and set aside, may hold readings that no"
            " store"
            " has; `village journal salvage .../journal.db.damaged-20261121T120000`, then move it away"),
    Planted("the API's port is taken", _port_taken,
            "api: 127.0.0.1 port ...: Address already in use; stop the program that listens there, or change api.port"),
    Planted("the API is open to the network without a token", _open_api,
            "...village.toml: api: host '0.0.0.0' is not loopback, so token must be set; or listen on 127.0.0.1"),
    Planted("a fleet database that is not there", _fleet_database(None),
            "fleet: .../fleet.db: ..."),
    Planted("a fleet database that is none", _fleet_database(b"not a database, though long enough to be looked at" * 9),
            "fleet: .../fleet.db: ..."),
    Planted("a time zone that does not exist", _fleet(FLEET.replace("10642,\n", "10642,Asia/Saigon_City\n", 1)),
            "fleet: .../fleet.csv: line 2: timezone: ..."),
    Planted("a fleet without devices", _fleet("device,profile,commune\n"),
            "fleet: .../fleet.csv: no devices, so every message will be refused; add rows"),
    Planted("the store is down", _store_down,
            "store commune: commune: no answer from http://127.0.0.1:... (...); is the server running and reachable?"),
    Planted("the store's password is wrong", _store_password,
            "store commune: commune: 401: ..."),
    Planted("the database is not there", _set("[store]", database="villages"),
            "store commune: commune: ... villages ..."),
    Planted("readings are kept for a shorter time than late ones may come", _retention("village", "7d"),
            "store commune: village keeps 7 days, and late or mended readings of 31 days are refused; run ALTER"
            " RETENTION"
            " POLICY autogen ON village DURATION 31d"),
    Planted("sums are kept for a shorter time than readings", _retention("village_rollup", "40d"),
            "store commune: village_rollup keeps its sums for less time than village its readings; run ALTER RETENTION"
            " POLICY autogen ON village_rollup DURATION INF"),
    Planted("a name of a source that does not exist", _set("gateway", sources=["tasmoto"]),
            "...village.toml: gateway.sources...: no source 'tasmoto'; known are ..."),
    *BOX,
)  # fmt: skip


def matches(pattern: str, line: str) -> bool:
    """Whether a line of the doctor is this one."""
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("...")), line) is not None


def as_table() -> str:
    """The list for the guide."""
    rows = [f"| {one.what} | `{one.says.replace('`', '')}` |" for one in PLANTED]
    return "\n".join(["| what is wrong | the doctor says |", "|---|---|", *rows, ""])
