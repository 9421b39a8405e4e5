"""Accounts at a real Mosquitto: own topics and client id only; rotation, revocation, drift, thousands in its file."""

import csv
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from devices.fleet_row import HardwareId
from devices.profile import shipped_profiles
from devices.registry import Registry
from gateway import credentials_commands
from gateway.settings_neighbours import Broker
from gateway.southbound import access
from gateway.southbound import accounts as dynsec
from gateway.southbound.access import drift, enroll, revoke
from gateway.southbound.accounts import DEFAULTS, AccessError, Accounts, Client, Right
from gateway.southbound.accounts_file import AccountsFile
from gateway.southbound.dynamic_security import LiveAccounts
from gateway.southbound.rights import device_rights, gateway_rights, server_rights
from tests.access_parts import (
    ADMIN_SECRET,
    AT,
    GATEWAY,
    GATEWAY_ID,
    LAMPS,
    SOURCES,
    TODAY,
    FieldClient,
    accounts_file,
    broker_with_accounts,
    connection_answer,
    fleet,
    lamp,
    office,
    set_up,
)
from tests.gateway_process import await_that
from tests.servers import HOST, Server, mosquitto

DENIED = "Not authorized"
NOBODY = Accounts({}, {}, {})


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Server]:
    """A Mosquitto with an administrator and nothing else."""
    with broker_with_accounts(tmp_path) as server:
        yield server


# rights -----------------------------------------------------------------------------------------------------------


def test_a_device_may_say_and_hear_its_own_topics_and_nothing_else() -> None:
    assert device_rights(LAMPS, 0, AT) == {
        Right("publishClientSend", "village/10642/lamp-1/up"),
        Right("publishClientSend", "village/10642/lamp-1/status"),
        Right("publishClientSend", "village/10642/lamp-1/cmd/ack"),
        Right("subscribeLiteral", "village/10642/lamp-1/cmd"),
        Right("subscribeLiteral", "village/10642/lamp-1/error"),
        Right("publishClientReceive", "village/10642/lamp-1/cmd"),
        Right("publishClientReceive", "village/10642/lamp-1/error"),
    }


def test_a_vendors_device_also_has_the_topics_of_its_hardware_id_while_it_is_valid() -> None:
    registry = fleet(lamp("lamp-1", "10642", HardwareId("old-plug", 0, AT), HardwareId("plug-1", AT)))
    said = {right.topic for right in device_rights(registry, 0, AT) if right.kind == "publishClientSend"}
    heard = {right.topic for right in device_rights(registry, 0, AT) if right.kind == "subscribePattern"}
    # Not application/... nor zigbee2mqtt/...: there the network server or the bridge speaks.
    assert {topic for topic in said if not topic.startswith("village/")} == {"tele/plug-1/+", "stat/plug-1/#"}
    assert heard == {"cmnd/plug-1/#"}


@pytest.mark.parametrize("hardware_id", ["+", "a/b", "plug#"])
def test_a_hardware_id_with_a_wildcard_gives_no_rights(hardware_id: str) -> None:
    registry = fleet(lamp("lamp-1", "10642", HardwareId(hardware_id)))
    assert device_rights(registry, 0, AT) == device_rights(LAMPS, 0, AT)


def test_a_network_server_may_use_its_own_source_only() -> None:
    assert server_rights("chirpstack", SOURCES) == {
        Right("publishClientSend", "application/+/device/+/event/+"),
        Right("subscribePattern", "application/+/device/+/command/+"),
        Right("publishClientReceive", "application/+/device/+/command/+"),
    }
    with pytest.raises(AccessError, match=r"no source 'things_stack' in the settings; add it to gateway\.sources"):
        server_rights("things_stack", SOURCES)


# at the broker ----------------------------------------------------------------------------------------------------


def test_device_a_cannot_speak_or_listen_as_device_b(accounts: Server) -> None:
    secrets = set_up(accounts)
    with (
        FieldClient(accounts.port, GATEWAY_ID, "gateway", secrets["gateway"]) as gateway,
        FieldClient(accounts.port, "lamp-1", "lamp-1", secrets["lamp-1"]) as device,
    ):
        assert gateway.subscribe("village/+/+/up") == "Granted QoS 1"
        assert device.publish("village/10642/lamp-1/up", "own") == "Success"
        for topic in ("village/10642/lamp-2/up", "village/10643/lamp-1/up", "village/10642/lamp-1/cmd", "tele/x/STATE"):
            assert device.publish(topic, "forged") == DENIED, topic
        assert device.subscribe("village/10642/lamp-1/cmd") == "Granted QoS 1"
        for topic in ("village/10642/lamp-2/cmd", "village/+/+/cmd", "village/#", "#", "$SYS/#"):
            assert device.subscribe(topic) == DENIED, topic
        assert device.publish("village/10642/lamp-1/up", "last") == "Success"
        await_that("the last one is heard", lambda: gateway.heard[-1:] == [("village/10642/lamp-1/up", b"last")])
        assert [payload for _, payload in gateway.heard] == [b"own", b"last"]


def test_nobody_else_comes_in(accounts: Server) -> None:
    secrets = set_up(accounts)
    port = accounts.port
    assert connection_answer(port, "lamp-1", "lamp-1", secrets["lamp-1"]) == "Success"
    assert connection_answer(port, "lamp-1") == DENIED
    assert connection_answer(port, "lamp-1", "lamp-1", "wrong") == DENIED
    assert connection_answer(port, "lamp-2", "lamp-1", secrets["lamp-1"]) == DENIED
    assert connection_answer(port, "lamp-1", "lamp-1", secrets["lamp-2"]) == DENIED
    assert connection_answer(port, "lamp-9", "lamp-9", secrets["lamp-1"]) == DENIED


def test_the_gateway_hears_uplinks_answers_devices_and_cannot_speak_as_one(accounts: Server) -> None:
    secrets = set_up(accounts)
    with (
        FieldClient(accounts.port, GATEWAY_ID, "gateway", secrets["gateway"]) as gateway,
        FieldClient(accounts.port, "lamp-1", "lamp-1", secrets["lamp-1"]) as device,
    ):
        assert device.subscribe("village/10642/lamp-1/cmd") == "Granted QoS 1"
        for event in ("up", "status", "cmd/ack"):
            assert gateway.subscribe(f"village/+/+/{event}") == "Granted QoS 1"
            assert gateway.publish(f"village/10642/lamp-1/{event}") == DENIED
        assert gateway.subscribe("$SYS/broker/publish/messages/dropped").startswith("Granted")
        assert gateway.subscribe("application/+/device/+/event/+") == "Granted QoS 1"
        for topic in ("village/#", "#", "$CONTROL/dynamic-security/v1/response"):
            assert gateway.subscribe(topic) == DENIED, topic
        assert gateway.publish("$CONTROL/dynamic-security/v1", "{}") == DENIED
        assert gateway.publish("village/10642/lamp-1/cmd", "on") == "Success"
        await_that("the command arrives", lambda: device.heard == [("village/10642/lamp-1/cmd", b"on")])


def test_a_revoked_device_is_put_out_and_stays_out(accounts: Server) -> None:
    secrets = set_up(accounts)
    with FieldClient(accounts.port, "lamp-1", "lamp-1", secrets["lamp-1"]) as device, office(accounts) as live:
        assert live.run(revoke("lamp-1", live.read())) == []
        assert device.is_out.wait(10)
        known = live.read()
    assert connection_answer(accounts.port, "lamp-1", "lamp-1", secrets["lamp-1"]) == DENIED
    assert connection_answer(accounts.port, "lamp-2", "lamp-2", secrets["lamp-2"]) == "Success"
    assert "device:lamp-1" not in known.roles
    with pytest.raises(AccessError, match="lamp-1 has no account"):
        revoke("lamp-1", known)


def test_rotation_loses_no_uplink(accounts: Server) -> None:
    """The device says something before, between and after each step, and changes over when it is reached."""
    secrets = set_up(accounts)
    port, up = accounts.port, "village/10642/lamp-1/up"
    with FieldClient(port, GATEWAY_ID, "gateway", secrets["gateway"]) as gateway, office(accounts) as live:
        assert gateway.subscribe("village/+/+/up") == "Granted QoS 1"
        with FieldClient(port, "lamp-1", "lamp-1", secrets["lamp-1"]) as device:
            assert device.publish(up, "1") == "Success"
            fresh = access.rotate(LAMPS, 0, live.read(), AT, TODAY)
            assert live.run(fresh.commands) == []
            assert device.publish(up, "2") == "Success"
            assert not device.is_out.is_set()
        with FieldClient(port, "lamp-1", fresh.username, fresh.password) as device:
            assert device.publish(up, "3") == "Success"
            with pytest.raises(
                AccessError, match="lamp-1 has an old and a new account; `retire` ends the old one first"
            ):
                access.rotate(LAMPS, 0, live.read(), AT, TODAY)
            assert live.run(access.retire("lamp-1", live.read())) == []
            assert device.publish(up, "4") == "Success"
            assert not device.is_out.is_set()
        assert connection_answer(port, "lamp-1", "lamp-1", secrets["lamp-1"]) == DENIED
        third = access.rotate(LAMPS, 0, live.read(), AT, TODAY)
        await_that("everything is heard", lambda: len(gateway.heard) == 4)
    assert [payload for _, payload in gateway.heard] == [b"1", b"2", b"3", b"4"]
    assert (fresh.username, third.username) == ("lamp-1~2", "lamp-1~3")


def test_a_network_servers_account_speaks_for_its_source_and_no_device(accounts: Server) -> None:
    with office(accounts) as live:
        client = Client("server~chirpstack", "", ("server:chirpstack",))
        assert live.run(access.admit(client, server_rights("chirpstack", SOURCES), "s", live.read())) == []
    with FieldClient(accounts.port, "chirpstack-1", "server~chirpstack", "s") as server:
        assert server.publish("application/1/device/a84041/event/up") == "No matching subscribers"
        assert server.publish("village/10642/lamp-1/up") == DENIED
        assert server.subscribe("application/+/device/+/command/+") == "Granted QoS 1"
        assert server.subscribe("#") == DENIED


# drift ------------------------------------------------------------------------------------------------------------


def test_an_account_that_is_as_the_fleet_says_has_no_drift(accounts: Server) -> None:
    set_up(accounts)
    with office(accounts) as live:
        assert list(drift(LAMPS, live.read(), GATEWAY, AT)) == []


def test_drift_is_found_and_mended_without_a_new_secret(accounts: Server) -> None:
    secrets = set_up(accounts)
    moved = fleet(lamp("lamp-1", "10650"), lamp("lamp-2"), lamp("lamp-4"), lamp("ghost", simulated=True))
    with office(accounts) as live:
        widened = Right("publishClientSend", "village/#")
        tampered = [
            dynsec.set_defaults(DEFAULTS | {"subscribe": True}),
            dynsec.change_role("gateway", gateway_rights(SOURCES) | {widened}),
            dynsec.change_client(Client("lamp-2", "", ("device:lamp-2",))),
            dynsec.make_client(Client("somebody", "", ()), "else"),
        ]
        assert live.run(tampered) == []
        found = list(drift(moved, live.read(), GATEWAY, AT))
        assert [(one.kind, one.name) for one in found] == [
            ("defaults", ""),
            ("rights", "the gateway"),
            ("rights", "lamp-1"),
            ("binding", "lamp-2"),
            ("missing", "lamp-4"),
            ("stray", "lamp-3"),
        ]
        assert all("`" in one.text for one in found)
        assert live.run([command for one in found for command in one.mending]) == []
        assert [one.kind for one in drift(moved, live.read(), GATEWAY, AT)] == ["missing"]
        assert "somebody" in live.read().clients
    with FieldClient(accounts.port, "lamp-1", "lamp-1", secrets["lamp-1"]) as device:
        assert device.publish("village/10650/lamp-1/up") == "No matching subscribers"
        assert device.publish("village/10642/lamp-1/up") == DENIED
    assert connection_answer(accounts.port, "other", "lamp-2", secrets["lamp-2"]) == DENIED
    assert connection_answer(accounts.port, "lamp-3", "lamp-3", secrets["lamp-3"]) == DENIED


def test_a_device_with_two_passwords_and_a_disabled_account_are_named(tmp_path: Path) -> None:
    client = Client("lamp-1", "lamp-1", ("device:lamp-1",), disabled=True, note="2026-01-05")
    clients = {name: client._replace(username=name) for name in ("lamp-1", "lamp-1~2")}
    clients["lamp-1~2"] = clients["lamp-1~2"]._replace(disabled=False)
    roles = {"device:lamp-1": device_rights(LAMPS, 0, AT), "gateway": gateway_rights(SOURCES)}
    known = Accounts(clients | {"gateway": GATEWAY}, roles, DEFAULTS)
    found = list(drift(fleet(lamp("lamp-1")), known, GATEWAY, AT))
    assert [(one.kind, one.text) for one in found] == [
        ("disabled", "the account lamp-1 is disabled; `mosquitto_ctrl dynsec enableClient lamp-1`"),
        ("old", "lamp-1 has two passwords, the older of 2026-01-05; `retire lamp-1` ends it"),
    ]


def test_a_device_with_the_name_of_another_account_gets_none() -> None:
    known = Accounts({"gateway": GATEWAY}, {}, DEFAULTS)
    with pytest.raises(AccessError, match="gateway is the name of another account"):
        enroll(fleet(lamp("gateway")), 0, known, AT, TODAY)
    with pytest.raises(AccessError, match="lamp-1 is the name of another account"):
        access.admit(GATEWAY._replace(username="lamp-1"), frozenset(), "x", _with_lamp_1())


def _with_lamp_1() -> Accounts:
    return Accounts({"lamp-1": Client("lamp-1", "lamp-1", ("device:lamp-1",))}, {}, DEFAULTS)


# the broker's file ------------------------------------------------------------------------------------------------


def test_the_file_and_the_running_broker_understand_the_same_commands(tmp_path: Path) -> None:
    """Every command, once at the broker and once in a copy of the file it began with."""
    copy = tmp_path / "copy.json"
    with broker_with_accounts(tmp_path) as server:
        copy.write_bytes(accounts_file(tmp_path).read_bytes())
        with office(server) as live:
            commands = [dynsec.set_defaults(DEFAULTS)]
            commands += access.admit(GATEWAY, gateway_rights(SOURCES), "secret", live.read())
            for device in range(3):
                commands += enroll(LAMPS, device, NOBODY, AT, TODAY).commands
            commands += [
                dynsec.drop_client("lamp-2"),
                dynsec.drop_role("device:lamp-2"),
                dynsec.change_client(Client("lamp-3", "lamp-3", ("device:lamp-1",))),
                dynsec.change_role("device:lamp-1", device_rights(LAMPS, 2, AT)),
                dynsec.set_password("lamp-1", "fresh"),
                dynsec.change_client(Client("lamp-1", "", ("device:lamp-1",))),
                dynsec.drop_client("nobody"),
                dynsec.make_role("device:lamp-1", ()),
                dynsec.make_client(Client("lamp-9", "", ("no-such-role",)), "x"),
            ]
            refused = live.run(commands)
            at_broker = live.read()
    file = AccountsFile(copy)
    assert file.run(commands) == refused
    assert [line.split(":")[0] for line in refused] == [
        "deleteClient nobody",
        "createRole device",
        "createClient lamp-9",
    ]
    assert AccountsFile(copy).read() == at_broker == file.read()


def test_accounts_made_in_the_file_come_in_after_the_start(tmp_path: Path) -> None:
    registry = fleet(*(lamp(f"lamp-{number}") for number in range(300)))
    with broker_with_accounts(tmp_path) as server:
        server.stop()
        file = AccountsFile(accounts_file(tmp_path))
        made = [enroll(registry, device, file.read(), AT, TODAY) for device in range(len(registry))]
        done: list[int] = []
        assert file.run([one for account in made for one in account.commands], lambda at, _of: done.append(at)) == []
        server.start()
        for account in (made[0], made[299]):
            assert connection_answer(server.port, account.client_id, account.username, account.password) == "Success"
            assert connection_answer(server.port, "other", account.username, account.password) == DENIED
        with office(server) as live:
            assert len(live.read().clients) == 301
    assert done == [100, 200, 300, 400, 500, 600]
    assert stat.S_IMODE(accounts_file(tmp_path).stat().st_mode) & 0o007 == 0
    assert len({account.password for account in made}) == 300


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "no such file; `village devices credentials begin` makes it"),
        ("{", "is not JSON"),
        ("[]", "is not a file of accounts"),
        ('{"clients":[{"username":1}]}', "the broker's accounts cannot be read: 0.username"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "accounts.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(AccessError) as error:
        AccountsFile(path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_wrong_administrators_and_absent_brokers_are_one_line(accounts: Server) -> None:
    set_up(accounts)
    here = Broker(host=HOST, port=accounts.port)
    for username, password, words in (
        ("admin", "wrong", "does not let 'admin' in"),
        ("gateway", "gateway-secret", "'gateway' may not change accounts"),
    ):
        with pytest.raises(AccessError, match=words), LiveAccounts(here, username, password):
            pass
    accounts.stop()
    with pytest.raises(AccessError, match="no broker at"), LiveAccounts(here, "admin", ADMIN_SECRET):
        pass


# the commands -----------------------------------------------------------------------------------------------------


class Village:
    """The command group with settings and a fleet of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.config = folder / "village.toml"
        self.config.write_text(f'[broker]\nport = {port}\n[gateway]\nfleet = "fleet.csv"\n')
        self.write_fleet("lamp-1", "lamp-2")
        self.app = typer.Typer()
        self.app.add_typer(credentials_commands.credentials, name="credentials")
        self.app.callback()(lambda: None)

    def write_fleet(self, *devices: str) -> None:
        """These lamps, and a simulated one."""
        rows = "".join(f"{device},native_streetlight,10642,Đèn {device},\n" for device in devices)
        text = f"device,profile,commune,name,simulated\n{rows}ghost,native_streetlight,10642,,1\n"
        (self.folder / "fleet.csv").write_text(text, "utf-8")

    def run(self, *arguments: str, status: int = 0) -> str:
        """What a command prints."""
        environment = {"VILLAGE_CONFIG": str(self.config), "VILLAGE_BROKER_ADMIN_PASSWORD": ADMIN_SECRET}
        result = CliRunner().invoke(self.app, ["credentials", *arguments], env=environment)
        assert result.exit_code == status, result.output
        return result.output


@pytest.fixture
def village(tmp_path: Path, accounts: Server) -> Village:
    """A commune of two lamps beside the broker."""
    return Village(tmp_path, accounts.port)


def test_a_commune_gets_its_accounts_its_sheet_and_a_clean_check(village: Village, accounts: Server) -> None:
    assert "the gateway has no account 'gateway'" in village.run("check", status=1)
    secrets_file = village.folder / "secrets.env"
    secrets_file.write_text("GATEWAY_API_TOKEN=kept\nGATEWAY_BROKER_PASSWORD=old\n")
    village.run("gateway", "--secrets-file", str(secrets_file))
    village.run("mend")
    sheet = village.folder / "sheet.csv"
    village.run("create", "--all", "--sheet", str(sheet), "--host", "box.example")
    assert village.run("check") == "every account is as the fleet says\n"
    with sheet.open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["device"] for row in rows] == ["lamp-1", "lamp-2"]
    assert rows[0] | {"password": ""} == {
        "device": "lamp-1", "name": "Đèn lamp-1", "commune": "10642", "group": "", "broker": "box.example",
        "port": "8883", "client_id": "lamp-1", "username": "lamp-1", "password": "",
        "publish": "village/10642/lamp-1/up", "listen": "village/10642/lamp-1/cmd",
    }  # fmt: skip
    assert stat.S_IMODE(sheet.stat().st_mode) == 0o600
    assert connection_answer(accounts.port, "lamp-1", "lamp-1", rows[0]["password"]) == "Success"
    secrets = dict(line.split("=", 1) for line in secrets_file.read_text().splitlines())
    assert secrets["GATEWAY_API_TOKEN"] == "kept"
    assert (
        connection_answer(accounts.port, "village-gateway", "gateway", secrets["GATEWAY_BROKER_PASSWORD"]) == "Success"
    )
    assert "every device has its account" in village.run("create", "--all", "--sheet", str(village.folder / "two.csv"))
    assert not (village.folder / "two.csv").exists()


def test_one_device_from_the_first_account_to_the_last(village: Village) -> None:
    first = village.run("create", "lamp-1").splitlines()
    assert first[0].startswith("device,name,commune")
    assert len(first) == 2
    assert "lamp-1 has an account; `rotate`" in village.run("create", "lamp-1", status=1)
    assert "lamp-1~2" in village.run("rotate", "lamp-1")
    assert village.run("retire", "lamp-1") == "1 accounts ended\n"
    assert "lamp-1 has no older account" in village.run("retire", "lamp-1", status=1)
    assert village.run("revoke", "lamp-1") == "1 accounts ended\n"
    assert "lamp-9 is not in the fleet" in village.run("create", "lamp-9", status=1)
    assert "name at least one device" in village.run("rotate", status=1)


def test_a_device_taken_out_of_the_fleet_is_named_and_mended(village: Village) -> None:
    village.run("gateway")
    village.run("mend")
    village.run("create", "--all")
    village.write_fleet("lamp-1")
    assert village.run("check", status=1) == (
        "stray     lamp-2 is not in the fleet and could still come in; `mend` ends its accounts\n"
    )
    assert village.run("mend") == "1 mended\n"
    assert village.run("check") == "every account is as the fleet says\n"


def test_a_sheet_is_never_written_over(village: Village) -> None:
    sheet = village.folder / "sheet.csv"
    sheet.write_text("kept")
    assert "exists, and secrets are shown once" in village.run("create", "lamp-1", "--sheet", str(sheet), status=1)
    assert sheet.read_text() == "kept"
    assert "lamp-1" in village.run("create", "lamp-1")


def test_the_file_is_not_changed_while_the_broker_runs(village: Village, accounts: Server) -> None:
    file = accounts_file(village.folder)
    before = json.loads(file.read_text())
    arguments = ("create", "--all", "--accounts-file", str(file))
    assert "the broker runs and would not see the change; stop it" in village.run(*arguments, status=1)
    assert json.loads(file.read_text()) == before
    accounts.stop()
    assert len(village.run(*arguments).splitlines()) == 3
    accounts.start()
    assert "lamp-1 has an account" in village.run("create", "lamp-1", status=1)


def test_the_first_file_has_an_administrator_and_the_gateway_and_is_made_once(tmp_path: Path) -> None:
    village = Village(tmp_path, 1)
    file, admin, secrets_file = tmp_path / "accounts.json", tmp_path / "admin.env", tmp_path / "secrets.env"
    arguments = ("--accounts-file", str(file), "--admin-file", str(admin), "--secrets-file", str(secrets_file))
    village.run("begin", *arguments)
    kept = {path: path.read_bytes() for path in (file, admin, secrets_file)}
    assert "exists, and every device's account is in it; it is kept" in village.run("begin", *arguments, status=1)
    assert {path: path.read_bytes() for path in kept} == kept
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept] == [0o640, 0o600, 0o600]
    secrets = dict(line.split("=", 1) for path in (admin, secrets_file) for line in path.read_text().splitlines())
    lines = f"allow_anonymous false\nplugin mosquitto_dynamic_security.so\nplugin_opt_config_file {file}"
    with mosquitto(lines) as server:
        here = Broker(host=HOST, port=server.port)
        with LiveAccounts(here, secrets["VILLAGE_BROKER_ADMIN"], secrets["VILLAGE_BROKER_ADMIN_PASSWORD"]) as live:
            known = live.read()
            plain = Registry.of([lamp("lamp-1")], shipped_profiles().values())
            assert [one.kind for one in drift(plain, known, GATEWAY, AT)] == ["missing"]
            assert live.run(enroll(LAMPS, 0, known, AT, TODAY).commands) == []
        for client_id in ("village-gateway", "village-doctor"):
            answer = connection_answer(server.port, client_id, "gateway", secrets["GATEWAY_BROKER_PASSWORD"])
            assert answer == "Success"
        with FieldClient(server.port, "x", "admin", secrets["VILLAGE_BROKER_ADMIN_PASSWORD"]) as client:
            assert client.subscribe("village/#") == DENIED
