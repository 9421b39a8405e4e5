"""What is shipped for a machine: service files, broker and store configurations, by the real programs; sd_notify."""

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.northbound.influxdb1 import InfluxDB1
from gateway.systemd import Notifier
from tests import servers
from tests.gateway_process import await_that
from tests.servers import HOST, Server, free_port

DEPLOY = Path(__file__).parent.parent / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.*"))


# sd_notify -------------------------------------------------------------------------------------------------------


class Listener:
    """systemd's end of the notification socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """Everything told since last asked."""
        words = []
        while True:
            try:
                words.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return words


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    """A listener at ``tmp_path / "notify"``."""
    found = Listener(str(tmp_path / "notify"))
    yield found
    found.socket.close()


def test_systemd_hears_when_the_service_is_ready_and_when_it_stops(tmp_path: Path, listener: Listener) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    notifier.ready("8 devices\nin 1 commune")
    notifier.status("waiting for the broker")
    notifier.stopping()
    notifier.status("nobody listens any more")
    assert listener.heard() == [
        "READY=1\nSTATUS=8 devices in 1 commune",
        "STATUS=waiting for the broker",
        "STOPPING=1",
    ]


def test_signs_of_life_come_four_times_in_the_watchdogs_interval(tmp_path: Path, listener: Listener) -> None:
    now = [100.0]
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "120000000"}, clock=lambda: now[0])
    assert notifier.watchdog_seconds == 120
    for _ in range(4 * 120):
        notifier.alive()
        now[0] += 0.25
    notifier.stopping()
    assert listener.heard() == ["WATCHDOG=1"] * 4 + ["STOPPING=1"]


@pytest.mark.parametrize(
    "environ", [{}, {"WATCHDOG_USEC": "120000000"}, {"NOTIFY_SOCKET": "vsock:2:1", "WATCHDOG_USEC": "1"}]
)
def test_without_systemd_nothing_is_told(environ: dict[str, str]) -> None:
    notifier = Notifier(environ)
    assert not notifier.is_watched
    notifier.ready()
    notifier.alive()
    notifier.stopping()


def test_a_child_of_the_service_is_not_watched(tmp_path: Path, listener: Listener) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    notifier = Notifier(environ)
    notifier.alive()
    assert not notifier.is_watched
    assert listener.heard() == []


def test_an_abstract_socket_is_found() -> None:
    name = f"village-test-{free_port()}"
    listener = Listener("\0" + name)
    notifier = Notifier({"NOTIFY_SOCKET": "@" + name})
    notifier.ready()
    notifier.stopping()
    assert listener.heard() == ["READY=1", "STOPPING=1"]
    listener.socket.close()


def test_a_socket_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "1000000"})
    notifier.ready()
    notifier.alive()
    notifier.stopping()


# service files ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
@pytest.mark.parametrize("unit", [unit for unit in UNITS if unit.is_file()], ids=lambda unit: unit.name)
def test_systemd_understands_every_line(unit: Path, tmp_path: Path) -> None:
    """systemd-analyze exits 0 also after "Unknown key"; all it may say is that the programs are not installed here."""
    text = re.sub(r"^(Exec\w+=)/\S+", r"\1/bin/true", unit.read_text(), flags=re.MULTILINE)
    copy = tmp_path / unit.name
    copy.write_text(text)
    if unit.suffix == ".timer":
        (tmp_path / f"{unit.stem}.service").write_text("[Service]\nType=oneshot\nExecStart=/bin/true\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if tmp_path.name in line or unit.name in line]
    assert said == []


@pytest.mark.parametrize("name", ["village-gateway.service", "village-backup.service"])
def test_services_are_not_root_and_may_gain_nothing(name: str) -> None:
    lines = (DEPLOY / "systemd" / name).read_text().splitlines()
    may = "CAP_DAC_READ_SEARCH" if "backup" in name else ""
    assert {"User=village", "NoNewPrivileges=yes", f"CapabilityBoundingSet={may}", "ProtectSystem=strict"} <= set(lines)


def test_the_watchdog_and_the_order_of_starting_are_there() -> None:
    lines = (DEPLOY / "systemd" / "village-gateway.service").read_text().splitlines()
    assert {"Type=notify", "WatchdogSec=120", "Restart=always", "StartLimitIntervalSec=0"} <= set(lines)


# configurations --------------------------------------------------------------------------------------------------


def moved(text: str, folder: Path, ports: dict[int, int]) -> str:
    """A shipped configuration with its folders in ``folder`` and its ports replaced by free ones."""
    text = re.sub(r"/(etc/village|var/lib/(?:mosquitto|influxdb))", rf"{folder}/\1", text)
    return re.sub(r"\b(1883|8883|8884|8086|8088)\b", lambda found: str(ports[int(found[0])]), text)


@pytest.fixture
def shipped_broker(tmp_path: Path) -> Iterator[Server]:
    """Mosquitto with the shipped configuration and its local listener, one administrator of the accounts."""
    program = servers.find_server("mosquitto", "mosquitto")
    port = free_port()
    etc, lib = tmp_path / "etc/village", tmp_path / "var/lib/mosquitto"
    (etc / "mosquitto.d").mkdir(parents=True)
    lib.mkdir(parents=True)
    for file in ("mosquitto.conf", "mosquitto.d/local.conf"):
        (etc / file).write_text(moved((DEPLOY / file).read_text(), tmp_path, {1883: port}))
    with (etc / "mosquitto.conf").open("a") as config:
        config.write("user root\n")
    accounts = ["mosquitto_ctrl", "dynsec", "init", str(lib / "dynamic-security.json"), "admin", "secret"]
    subprocess.run(accounts, check=True, capture_output=True)
    server = Server([program, "-c", str(etc / "mosquitto.conf")], tmp_path, port, servers.accepts)
    server.start()
    yield server
    server.kill()


def test_mosquitto_starts_with_the_shipped_configuration_and_lets_nobody_in_unnamed(shipped_broker: Server) -> None:
    address = ["-h", HOST, "-p", str(shipped_broker.port)]
    unnamed = subprocess.run(
        ["mosquitto_pub", *address, "-t", "village/1/a/up", "-m", "x", "-q", "1"], capture_output=True, check=False
    )
    assert unnamed.returncode != 0
    assert b"not authorised" in unnamed.stderr
    named = ["mosquitto_ctrl", *address, "-u", "admin", "-P", "secret", "dynsec", "listClients"]
    done = subprocess.run(named, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["admin"]


def test_the_queue_of_the_shipped_broker_survives_its_restart(shipped_broker: Server) -> None:
    shipped_broker.stop()
    assert (shipped_broker.folder / "var/lib/mosquitto/mosquitto.db").exists()
    shipped_broker.start()
    await_that("it listens again", lambda: servers.accepts(shipped_broker.port))


def test_influxdb_takes_every_line_of_the_shipped_configuration(tmp_path: Path) -> None:
    """It ignores keys it does not know; those it knows it prints back."""
    program = servers.find_server("influxd", "influxdb")
    config = DEPLOY / "influxdb.conf"
    done = subprocess.run([program, "config", "-config", str(config)], capture_output=True, text=True, check=True)
    understood = _sections(done.stdout)
    for section, keys in _sections(config.read_text()).items():
        for key, value in keys.items():
            expected = {'"256m"': "268435456", '"100m"': "104857600", '"60s"': '"1m0s"'}.get(value, value)
            assert understood[section].get(key) == expected, f"[{section}] {key}"


def _sections(text: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {"": {}}
    section = ""
    for line in text.splitlines():
        if named := re.fullmatch(r"\[([a-z_-]+)\]", line.strip()):
            section = named[1]
        elif setting := re.fullmatch(r"\s*([a-z-]+) = (.*)", line):
            found.setdefault(section, {})[setting[1]] = setting[2]
    return found


@pytest.fixture
def shipped_store(tmp_path: Path) -> Iterator[Server]:
    """InfluxDB with the shipped configuration, before its first account."""
    program = servers.find_server("influxd", "influxdb")
    port = free_port()
    config = tmp_path / "influxdb.conf"
    config.write_text(moved((DEPLOY / "influxdb.conf").read_text(), tmp_path, {8086: port, 8088: free_port()}))
    server = Server([program, "-config", str(config)], tmp_path, port, lambda at: servers.answers(at, "/ping"))
    server.start()
    yield server
    server.kill()


def test_the_store_gets_its_accounts_and_each_may_do_its_own(shipped_store: Server, tmp_path: Path) -> None:
    passwords = {"VILLAGE_INFLUXDB_ADMIN": "a'1", "GATEWAY_STORE_0": "g-1", "VILLAGE_STORE": "r-1"}
    for turn in ("first", "again", "new password"):
        if turn == "new password":
            passwords["GATEWAY_STORE_0"] = "g-2"
        environment = {f"{name}_PASSWORD": value for name, value in passwords.items()}
        environment["VILLAGE_INFLUXDB_URL"] = shipped_store.url
        script = [sys.executable, str(DEPLOY / "influxdb_accounts.py")]
        done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), turn
    gateway = InfluxDB1(
        name="here", url=shipped_store.url, database="village", rollup_database="village_rollup", username="gateway",
        password="g-2",
    )  # fmt: skip
    gateway.write(b"streetlight,commune=1,device=a power=1 1795132800000000000\n")
    gateway.close()
    shipped_store.username, shipped_store.password = "grafana", "r-1"
    assert b"1795132800000000000" in servers.influxql(shipped_store, "SELECT power FROM streetlight", "village")
    with pytest.raises(AssertionError, match="grafana not authorized"):
        servers.influxql(shipped_store, "DROP MEASUREMENT streetlight", "village")
    shipped_store.username, shipped_store.password = "admin", "a'1"
    policies = servers.influxql(shipped_store, "SHOW RETENTION POLICIES ON village")
    assert b'["autogen","4368h0m0s","168h0m0s",1,true]' in policies
    assert (tmp_path / "var/lib/influxdb/meta/meta.db").exists()
