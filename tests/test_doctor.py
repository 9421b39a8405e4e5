"""The doctor names what is wrong and what to do; the shipped mosquitto.conf keeps what it promises."""

import ctypes
import shutil
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from pydantic import SecretStr

from gateway import doctor, doctor_broker
from gateway.clock import ClockState, clock_state
from gateway.doctor import examine
from gateway.doctor_broker import Finding
from gateway.doctor_disk import MB, RESERVE_BYTES, examine_data, file_system
from gateway.line.journal_file import set_aside_files
from gateway.settings import Api, Gateway, Journal, Settings
from gateway.settings_neighbours import Broker, StorePlace
from gateway.southbound.broker import QUEUE, parse_mosquitto_conf
from tests import servers
from tests.line_parts import open_journal
from tests.servers import HOST, Server, free_port

SHIPPED = Path(__file__).parent.parent / "deploy" / "mosquitto.conf"
FLEET = "device,profile,commune,simulated\nlamp-1,native_streetlight,10642,\nlamp-2,native_streetlight,10642,{}\n"


def shipped_lines() -> str:
    """The shipped configuration without what an installed machine has: its listeners, accounts, folder and log."""
    places = ("listener", "include_dir", "plugin", "allow_", "persistence_location", "log_dest")
    return "\n".join(line for line in SHIPPED.read_text("utf-8").splitlines() if not line.startswith(places))


def shipped_conf(folder: Path, *more: str) -> Path:
    """The shipped configuration, its listeners in a folder beside it."""
    (folder / "mosquitto.d").mkdir(exist_ok=True)
    (folder / "mosquitto.d" / "local.conf").write_text("listener 1883 127.0.0.1\n")
    conf = folder / "mosquitto.conf"
    text = SHIPPED.read_text("utf-8").replace("/etc/village/mosquitto.d", str(folder / "mosquitto.d"))
    conf.write_text("\n".join([text, *more, ""]))
    return conf


@pytest.fixture
def shipped_broker() -> Iterator[Server]:
    """A real Mosquitto with the shipped configuration, its counters every second."""
    with servers.mosquitto(shipped_lines().replace("sys_interval 10", "sys_interval 1")) as server:
        yield server


def settings_of(folder: Path, **parts: Any) -> Settings:
    """Settings whose fleet is good and whose ports are free."""
    (folder / "fleet.csv").write_text(FLEET.format(""), "utf-8")
    gateway = Gateway(data_dir=folder / "data", fleet=folder / "fleet.csv")
    journal = Journal(max_mb=16, raw_max_mb=0, refused_max_mb=16)
    given: dict[str, Any] = {
        "broker": Broker(port=free_port()), "gateway": gateway, "journal": journal, "api": Api(port=free_port()),
        "store": (StorePlace(max_mb=64),),
    }  # fmt: skip
    return Settings(**given | parts)


def findings(settings: Settings, part: str, conf: Path | None = None) -> list[Finding]:
    """What the doctor says of one part."""
    return [finding for finding in examine(settings, conf) if finding.part == part]


@pytest.fixture(autouse=True)
def synchronised(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine the tests run on may be anything."""
    monkeypatch.setattr(doctor, "clock_state", lambda: ClockState(True, "synchronised"))


# all is well ------------------------------------------------------------------------------------------------------


def test_a_sound_machine_has_nothing_to_mend(tmp_path: Path, shipped_broker: Server) -> None:
    """One line a part, each with what was seen."""
    settings = settings_of(tmp_path, broker=Broker(port=shipped_broker.port))
    conf = shipped_conf(tmp_path)
    found = list(examine(settings, conf))
    assert [finding.part for finding in found if not finding.ok] == []
    said = {finding.part: finding.text for finding in found}
    assert said["fleet"] == f"{tmp_path}/fleet.csv: 2 devices in 1 commune(s)"
    assert "the journal may still take 32 MB" in said["data"]
    assert said["api"].endswith("is free; no gateway is running there")
    assert said["broker"].startswith(f"127.0.0.1 port {shipped_broker.port}: reachable, mosquitto version ")
    assert said["queue"] == f"{conf}: keeps messages for an absent gateway, also over a restart"
    assert said["store commune"].endswith("store.db: reachable and writable")


# the broker -------------------------------------------------------------------------------------------------------


@contextmanager
def client(port: int, name: str, received: "SimpleQueue[bytes] | None" = None) -> Iterator[paho.Client]:
    """A connected client; a named session is kept, and what comes goes to ``received``."""
    connected = threading.Event()
    opened = paho.Client(CallbackAPIVersion.VERSION2, name, clean_session=False)
    opened.max_inflight_messages_set(1000)
    opened.on_connect = lambda *_: connected.set()
    if received is not None:
        opened.on_message = lambda _client, _data, message: received.put(bytes(message.payload))
    opened.connect(HOST, port)
    opened.loop_start()
    assert connected.wait(10)
    yield opened
    opened.disconnect()
    opened.loop_stop()


def subscribe(port: int) -> None:
    """Leave a session behind, as a gateway that went away."""
    done = threading.Event()
    with client(port, "gateway") as opened:
        opened.on_subscribe = lambda *_: done.set()
        opened.subscribe("village/+/+/up", qos=1)
        assert done.wait(10)


def publish(port: int, count: int, size: int = 20) -> None:
    """So many QoS 1 messages, each acknowledged."""
    with client(port, "device") as opened:
        sent = [opened.publish("village/1/lamp-1/up", b"%d" % n + b" " * size, qos=1) for n in range(count)]
        for message in sent:
            message.wait_for_publish(30)


def taken_in(port: int, count: int) -> list[int]:
    """The numbers that wait for the gateway."""
    received: SimpleQueue[bytes] = SimpleQueue()
    with client(port, "gateway", received):
        return [int(received.get(timeout=10)) for _ in range(count)]


def test_the_shipped_configuration_keeps_what_waits_for_the_gateway_over_a_restart(shipped_broker: Server) -> None:
    """More than the default of 1,000, all of them, in order; and one megabyte still reaches the gateway."""
    subscribe(shipped_broker.port)
    publish(shipped_broker.port, 2500)
    shipped_broker.restart()
    assert taken_in(shipped_broker.port, 2500) == list(range(2500))
    publish(shipped_broker.port, 1, size=1 << 20)
    assert taken_in(shipped_broker.port, 1) == [0]


def test_the_shipped_configuration_cuts_off_what_would_fill_the_memory(shipped_broker: Server) -> None:
    """A sender of 5 MB loses its connection instead of hearing that all is well."""
    ended = threading.Event()
    with client(shipped_broker.port, "broken") as opened:
        opened.on_disconnect = lambda *_: ended.set()
        opened.publish("village/1/lamp-1/up", b"x" * (5 << 20), qos=0)
        assert ended.wait(10)


def test_a_broker_that_dropped_messages_is_named(tmp_path: Path) -> None:
    """As one with its defaults does."""
    with servers.mosquitto("max_queued_messages 10\nsys_interval 1") as server:
        subscribe(server.port)
        publish(server.port, 60)
        settings = settings_of(tmp_path, broker=Broker(port=server.port))
        # The counters are published once a second.
        while (found := findings(settings, "queue"))[0].ok:
            pass
    assert found[0].text.startswith("the broker has dropped ")
    assert found[0].text.endswith(" messages since it started; see deploy/mosquitto.conf")


def test_an_absent_broker_is_named(tmp_path: Path) -> None:
    """With what to do."""
    settings = settings_of(tmp_path)
    assert findings(settings, "broker") == [
        Finding("broker", False, f"127.0.0.1 port {settings.broker.port}: Connection refused; start the broker, or mend"
                " [broker] in the settings"),
    ]  # fmt: skip


def test_a_broker_that_wants_a_password_is_named(tmp_path: Path) -> None:
    """And an unencrypted one to another machine."""
    with servers.mosquitto("allow_anonymous false") as server:
        found = findings(settings_of(tmp_path, broker=Broker(port=server.port)), "broker")
    assert "Not authorized; check broker.username and broker.password" in found[0].text
    away = Broker(host="192.0.2.1", username="u", password=SecretStr("p"))
    monkey = settings_of(tmp_path, broker=away)
    first = next(finding for finding in doctor_broker.examine_broker(monkey.broker))
    assert first.text == "192.0.2.1 port 1883: the password crosses the network unencrypted; set broker.tls = true"


def test_a_listener_that_is_no_broker_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts and says nothing."""
    monkeypatch.setattr(doctor_broker, "CONNECT_SECONDS", 0.2)
    with socket.create_server((HOST, 0)) as mute:
        found = findings(settings_of(tmp_path, broker=Broker(port=mute.getsockname()[1])), "broker")
    assert found[0].text.endswith("does not answer as a broker within 0.2 s; is this the right port?")


def test_the_demos_broker_keeps_what_the_shipped_one_keeps() -> None:
    """Two places, one truth."""
    shipped = parse_mosquitto_conf(SHIPPED.read_text("utf-8"))
    assert {key: shipped[key] for key in QUEUE} == {key: [value] for key, value in QUEUE.items()}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("persistence false", "a restart of the broker loses what waits"),
        ("autosave_interval 1800", "a power cut loses what came since the last save"),
        ("autosave_interval 0", "a power cut loses what came since the last save"),
        ("max_queued_messages 1000", "write `max_queued_messages 0`"),
        ("max_inflight_messages 20", "write `max_inflight_messages 10000`"),
        ("queue_qos0_messages true", "loses a QoS 1 message for each QoS 0 message it queues"),
        ("message_size_limit 1000", "acknowledges what it throws away"),
        ("sys_interval 0", "losses cannot be seen"),
    ],
)
def test_a_configuration_that_loses_messages_is_named(tmp_path: Path, line: str, words: str) -> None:
    """Each by its own line, and only that."""
    conf = shipped_conf(tmp_path, line)
    found = [finding.text for finding in doctor_broker.examine_mosquitto_conf(conf)]
    assert len(found) == 1
    assert words in found[0]


def test_a_configuration_of_defaults_is_named_line_by_line(tmp_path: Path) -> None:
    """Debian's own loses messages in four ways."""
    conf = tmp_path / "mosquitto.conf"
    conf.write_text("# nothing\n")
    assert len(list(doctor_broker.examine_mosquitto_conf(conf))) == 4
    missing = next(doctor_broker.examine_mosquitto_conf(tmp_path / "none.conf"))
    assert missing == Finding(
        "queue", False, f"{tmp_path}/none.conf: No such file or directory; name the file that Mosquitto is started with"
    )


# this machine -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fleet", "ok", "words"),
    [
        (FLEET.format(""), True, "2 devices in 1 commune(s)"),
        (FLEET.format("1"), True, "1 of 2 devices are simulated and will be refused (gateway.accept_simulated)"),
        (FLEET.format("1").replace("10642,\n", "10642,1\n"), False, "2 of 2 devices are simulated"),
        ("device,profile,commune\n", False, "no devices, so every message will be refused; add rows"),
        ("device,profile,commune\nlamp-1,pole,1\n", False, "line 2: profile: no profile 'pole'"),
    ],
)
def test_the_fleet_is_judged(tmp_path: Path, fleet: str, ok: bool, words: str) -> None:
    """Nothing else of the doctor depends on it."""
    settings = settings_of(tmp_path)
    settings.gateway.fleet.write_text(fleet)
    found = list(doctor._fleet(settings))
    assert [finding.ok for finding in found] == [ok]
    assert words in found[0].text


def test_a_full_disk_is_named_before_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the journal holds already is counted as its own."""
    settings = settings_of(tmp_path)
    settings.gateway.data_dir.mkdir()
    (settings.gateway.data_dir / "journal.db").write_bytes(b"x" * (2 * MB))
    usage = type(shutil.disk_usage(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 94 * MB + RESERVE_BYTES))
    assert [finding.ok for finding in examine_data(settings)] == [True]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 84 * MB + RESERVE_BYTES))
    short = next(examine_data(settings))
    assert not short.ok
    assert short.text.endswith("148 MB free, the journal may still take 30 MB, the store commune may still take 64 MB;"
                               " free 11 MB or lower journal.max_mb, raw_max_mb or refused_max_mb or max_mb of the"
                               " store commune")  # fmt: skip


def test_the_kind_of_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    """Names of mounts may hold blanks, and a later mount hides an earlier one at the same place."""
    mounts = tmp_path / "mounts"
    (tmp_path / "usb stick" / "data").mkdir(parents=True)
    stick = str(tmp_path / "usb stick").replace(" ", "\\040")
    mounts.write_text(f"/dev/root / ext4 rw 0 0\nx {stick} vfat rw 0 0\ny {stick} tmpfs rw 0 0\n")
    assert file_system(tmp_path / "usb stick" / "data", mounts) == "tmpfs"
    assert file_system(tmp_path, mounts) == "ext4"
    assert file_system(tmp_path, tmp_path / "absent") == ""


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Before the gateway stumbles over it."""
    (tmp_path / "file").write_text("no folder")
    found = next(examine_data(Settings(gateway=Gateway(data_dir=tmp_path / "file" / "data"))))
    assert not found.ok
    assert found.text.endswith("file: cannot be written (Not a directory); give this account the right to")


@contextmanager
def web(status: int, body: bytes) -> Iterator[int]:
    """An HTTP server that always answers this; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            right = self.path == "/health" and self.headers["Authorization"] == "Bearer 0123456789abcdef"
            self.send_response(status if right else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("status", "body", "ok", "words"),
    [
        (200, b'{"status":"ok"}', True, "a gateway is running at 127.0.0.1 port {port} and says it is ok"),
        (503, b'{"status":"failing"}', False, "and says it is failing"),
        (200, b"<html>", False, "127.0.0.1 port {port}: Address already in use; stop the program that listens there"),
        (200, b"[]", False, "Address already in use"),
    ],
)
def test_whoever_holds_the_apis_port_is_named(tmp_path: Path, status: int, body: bytes, ok: bool, words: str) -> None:
    """A running gateway is no problem, another program is."""
    with web(status, body) as port:
        settings = settings_of(tmp_path, api=Api(port=port, token=SecretStr("0123456789abcdef")))
        found = next(doctor._api(settings))
    assert found.ok is ok
    assert words.format(port=port) in found.text


def test_an_address_this_machine_does_not_have_is_named(tmp_path: Path) -> None:
    """As after a change of networks."""
    settings = settings_of(tmp_path, api=Api(host="192.0.2.1", token=SecretStr("0123456789abcdef")))
    found = next(doctor._api(settings))
    assert (found.ok, "Cannot assign requested address" in found.text) == (False, True)


def test_a_store_that_is_away_is_named(tmp_path: Path) -> None:
    """In the store's own words."""
    place = StorePlace(name="province", kind="influxdb1", url=f"http://{HOST}:{free_port()}", timeout_seconds=1)
    found = findings(settings_of(tmp_path, store=(place,)), "store province")
    assert [finding.ok for finding in found] == [False]


# the clock --------------------------------------------------------------------------------------------------------


class _Libc:
    """A kernel that says what a test wants."""

    def __init__(self, answer: int, status: int) -> None:
        self._answer, self._status = answer, status

    def adjtimex(self, pointer: Any) -> int:
        pointer._obj.status, pointer._obj.maxerror = self._status, 2000
        return self._answer


@pytest.mark.parametrize(
    ("libc", "synchronised", "words"),
    [
        (_Libc(0, 0), True, "synchronised to within 0.002 s, says the kernel (adjtimex)"),
        (_Libc(0, 0x40), False, "not synchronised (adjtimex); start systemd-timesyncd or chrony"),
        (_Libc(5, 0), False, "not synchronised"),
        (_Libc(-1, 0), None, "adjtimex: "),
        (object(), None, "this system has no adjtimex"),
    ],
)
def test_the_kernel_is_asked_whether_the_clock_is_right(
    monkeypatch: pytest.MonkeyPatch, libc: object, synchronised: bool | None, words: str
) -> None:
    """And where it cannot be asked, that is said."""
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: libc)
    state = clock_state()
    assert state.synchronised is synchronised
    assert words in state.detail


def test_this_machines_kernel_can_be_asked() -> None:
    """Whatever it says."""
    assert "adjtimex" in clock_state().detail


def test_a_clock_that_the_settings_trust_is_nothing_to_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "clock_state", lambda: ClockState(False, "not synchronised"))
    settings = settings_of(tmp_path)
    trusted = settings.gateway.model_copy(update={"clock": "trust"})
    assert findings(settings, "clock") == [Finding("clock", False, "not synchronised")]
    found = findings(settings.model_copy(update={"gateway": trusted}), "clock")
    assert found == [Finding("clock", True, 'taken as it is (gateway.clock is "trust")')]


# the journal ------------------------------------------------------------------------------------------------------


def test_of_a_journal_that_was_set_aside_it_is_said_whether_it_was_salvaged(tmp_path: Path) -> None:
    """And what came of it."""
    settings = settings_of(tmp_path)
    folder = settings.gateway.data_dir
    folder.mkdir()
    (folder / "journal.db").write_bytes(b"this is no database\n" * 1000)
    open_journal(folder).close()
    (aside,) = set_aside_files(folder / "journal.db")
    assert findings(settings, "journal") == [
        Finding(
            "journal",
            False,
            f"{aside}: was damaged and set aside, and salvaged: 0 waiting lines and 0 refused messages were taken over;"
            " 1 damaged places, what they cost cannot be counted; check the disk, move it away",
        ),
        Finding("journal", True, f"{folder}/journal.db: version 2, as this gateway writes it"),
    ]
    with sqlite3.connect(folder / "journal.db") as journal:
        journal.execute("DELETE FROM note WHERE name LIKE 'salvaged:%'")
    journal.close()
    text = findings(settings, "journal")[0].text
    assert text.startswith(f"{aside}: was damaged and set aside, may hold readings that no store has; `village journal")
