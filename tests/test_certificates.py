"""Certificates of our own authority at a real Mosquitto: who comes in, who does not; renewal, expiry, file modes."""

import ssl
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from cryptography import x509
from typer.testing import CliRunner

from gateway import service_commands
from gateway.certificate_ends import (
    CertificateError,
    examine,
    mode_problem,
    read_certificate,
    server_certificate_ends,
)
from gateway.certificates import RENEW_DAYS, SERVER_DAYS, Authority, Pair
from gateway.southbound import access
from gateway.southbound.accounts import DEFAULTS, Accounts, Client
from tests.access_parts import (
    AT,
    LAMPS,
    TODAY,
    FieldClient,
    accounts_file,
    broker_with_accounts,
    connection_answer,
    office,
    set_up,
)
from tests.servers import HOST, Server, free_port
from tests.test_deploy import DEPLOY

NOW = datetime.now(UTC).replace(microsecond=0)
HOSTS = ("localhost", HOST)


def pair(folder: Path, name: str) -> Pair:
    """Files of this name."""
    return Pair(folder / f"{name}.crt", folder / f"{name}.key")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A fresh authority."""
    return Authority.make(tmp_path / "authority", "Thử", NOW)


# making -----------------------------------------------------------------------------------------------------------


def test_an_authority_is_made_once_and_its_key_is_its_own(tmp_path: Path, authority: Authority) -> None:
    assert stat.S_IMODE(authority.files.key.stat().st_mode) == 0o600
    with pytest.raises(CertificateError, match="holds an authority already"):
        Authority.make(tmp_path / "authority", "Another", NOW)
    authority.files.key.chmod(0o644)
    with pytest.raises(CertificateError, match="everybody on this machine may read it"):
        Authority(tmp_path / "authority")


def test_a_servers_certificate_names_its_hosts_and_may_not_sign(tmp_path: Path, authority: Authority) -> None:
    files = pair(tmp_path, "broker")
    assert authority.issue_server(files, HOSTS, NOW)
    found = read_certificate(files.certificate)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == [HOST]
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert found.not_valid_after_utc == NOW + timedelta(days=SERVER_DAYS)
    found.verify_directly_issued_by(read_certificate(authority.files.certificate))


def test_a_certificate_that_lasts_is_left_alone_and_one_that_ends_is_renewed_with_its_key(
    tmp_path: Path, authority: Authority
) -> None:
    files = pair(tmp_path, "broker")
    assert authority.issue_server(files, HOSTS, NOW)
    key = files.key.read_bytes()
    soon = NOW + timedelta(days=SERVER_DAYS - RENEW_DAYS)
    assert not authority.issue_server(files, HOSTS, soon)
    assert authority.issue_server(files, [*HOSTS, "box.example"], NOW)
    assert authority.issue_server(files, [*HOSTS, "box.example"], soon + timedelta(seconds=1))
    assert files.key.read_bytes() == key
    assert read_certificate(files.certificate).not_valid_after_utc > NOW + timedelta(days=SERVER_DAYS)


@pytest.mark.parametrize("host", ["", "a b", "-x", "http://box", "*", "x" * 70])
def test_a_host_that_is_none_is_refused(tmp_path: Path, authority: Authority, host: str) -> None:
    with pytest.raises(CertificateError, match=r"neither a host name|at most 64 characters"):
        authority.issue_server(pair(tmp_path, "x"), [host], NOW)
    assert not (tmp_path / "x.crt").exists()


def test_damaged_files_are_one_line(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "bad.crt").write_text("not PEM")
    (tmp_path / "bad.key").write_text("not PEM")
    with pytest.raises(CertificateError, match="is not a certificate in PEM form"):
        read_certificate(tmp_path / "bad.crt")
    with pytest.raises(CertificateError, match="is not a private key"):
        authority.issue_server(pair(tmp_path, "bad")._replace(certificate=tmp_path / "none.crt"), HOSTS, NOW)
    with pytest.raises(CertificateError, match="No such file"):
        Authority(tmp_path / "nowhere")


# watching ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "words"),
    [(0, ""), (SERVER_DAYS - 31, ""), (SERVER_DAYS - 29, "in 29 days"), (SERVER_DAYS + 1, "ended on"), (-5, "clock")],
)
def test_expiry_is_told_a_month_ahead(tmp_path: Path, authority: Authority, days: int, words: str) -> None:
    files = pair(tmp_path, "broker")
    authority.issue_server(files, HOSTS, NOW)
    (state,) = examine([files.certificate], NOW + timedelta(days=days))
    assert (words in state.problem) if words else state.problem == ""
    assert state.name == "localhost"


def test_who_may_read_a_secret_is_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.touch()
    seen = {}
    for mode in (0o600, 0o400, 0o640, 0o660, 0o644, 0o604):
        file.chmod(mode)
        seen[mode] = mode_problem(file).partition(": ")[2].partition(" (")[0]
    assert seen == {
        0o600: "", 0o400: "", 0o640: "", 0o660: "its group may change it",
        0o644: "everybody on this machine may read it", 0o604: "everybody on this machine may read it",
    }  # fmt: skip
    assert mode_problem(tmp_path / "absent") == ""


# at the broker ----------------------------------------------------------------------------------------------------


class Doors:
    """A Mosquitto with the shipped TLS listener and the one for certificates, beside a local one."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.authority, self.folder = authority, folder
        self.tls, self.mutual = free_port(), free_port()
        certificates = folder / "certificates"
        authority.issue_server(pair(certificates, "broker"), HOSTS, NOW)
        self.ca = certificates / "ca.crt"
        self.ca.write_bytes(authority.files.certificate.read_bytes())

    def listeners(self) -> str:
        """The shipped files, with this test's folder and ports."""
        text = "".join((DEPLOY / "mosquitto.d" / name).read_text() for name in ("tls.conf", "mutual.conf.example"))
        text = text.replace("/etc/village/certificates", str(self.folder / "certificates"))
        return text.replace("listener 8883", f"listener {self.tls} {HOST}").replace(
            "listener 8884", f"listener {self.mutual} {HOST}"
        )


@pytest.fixture
def doors(tmp_path: Path, authority: Authority) -> Doors:
    """Where the broker will listen."""
    return Doors(tmp_path, authority)


@pytest.fixture
def broker(tmp_path: Path, doors: Doors) -> Iterator[Server]:
    """The broker with all doors."""
    with broker_with_accounts(tmp_path, doors.listeners()) as server:
        assert accounts_file(tmp_path).exists()
        yield server


def test_with_tls_a_device_comes_in_with_its_password_and_the_authority(
    broker: Server, doors: Doors, tmp_path: Path
) -> None:
    secrets = set_up(broker)
    with FieldClient(doors.tls, "lamp-1", "lamp-1", secrets["lamp-1"]).with_tls(doors.ca) as device:
        assert device.publish("village/10642/lamp-1/up") == "No matching subscribers"
    with FieldClient(doors.tls, "lamp-1", "lamp-1", "wrong").with_tls(doors.ca) as device:
        assert device.answer == "Not authorized"
    other = Authority.make(tmp_path / "other", "Other", NOW)
    assert FieldClient(doors.tls, "lamp-1", "lamp-1", secrets["lamp-1"]).first_answer() == ""
    assert server_certificate_ends(HOST, doors.tls, doors.ca) == NOW + timedelta(days=SERVER_DAYS)
    # Who trusts another authority does not talk to this broker.
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        server_certificate_ends(HOST, doors.tls, other.files.certificate)


def test_a_certificate_names_the_account_and_the_client_id(broker: Server, doors: Doors, tmp_path: Path) -> None:
    set_up(broker)
    with office(broker) as live:
        made = access.certify(LAMPS, 0, live.read(), AT, TODAY)
        assert live.run(made.commands) == []
    files = pair(tmp_path / "device", "lamp-1")
    doors.authority.issue_client(files, made.username, NOW)
    with FieldClient(doors.mutual, "lamp-2").with_tls(doors.ca, files.certificate, files.key) as device:
        assert device.answer == "Success"
        assert device.publish("village/10642/lamp-1/up") == "No matching subscribers"
        assert device.publish("village/10642/lamp-2/up") == "Not authorized"
        assert device.subscribe("village/10642/lamp-1/cmd") == "Granted QoS 1"
        assert device.subscribe("village/10642/lamp-2/cmd") == "Not authorized"
    with office(broker) as live:
        assert live.run(access.revoke("lamp-1", live.read())) == []
    with FieldClient(doors.mutual, "lamp-1").with_tls(doors.ca, files.certificate, files.key) as device:
        assert device.publish("village/10642/lamp-1/up") == "Not authorized"
        assert device.subscribe("village/10642/lamp-1/cmd") == "Not authorized"


def test_without_a_certificate_of_our_authority_nobody_comes_in(broker: Server, doors: Doors, tmp_path: Path) -> None:
    secrets = set_up(broker)
    other = Authority.make(tmp_path / "other", "Other", NOW)
    forged = pair(tmp_path / "forged", "lamp-1")
    other.issue_client(forged, "lamp-1", NOW)
    for client in (
        FieldClient(doors.mutual, "lamp-1", "lamp-1", secrets["lamp-1"]).with_tls(doors.ca),
        FieldClient(doors.mutual, "lamp-1").with_tls(doors.ca, forged.certificate, forged.key),
    ):
        assert client.first_answer() == ""
    assert connection_answer(broker.port, "lamp-1", "lamp-1", secrets["lamp-1"]) == "Success"


def test_certificates_and_rotation_end_the_older_of_each_kind() -> None:
    role = ("device:lamp-1",)
    names = ("lamp-1", "lamp-1~2", "lamp-1~c69000000", "lamp-1~c6a000000", "lamp-10~2")
    clients = {name: Client(name, name, role) for name in names}
    known = Accounts(clients, {}, DEFAULTS)
    ended = [command["username"] for command in access.retire("lamp-1", known)]
    assert ended == ["lamp-1", "lamp-1~c69000000"]


# the commands -----------------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[int, str]:
    """Exit status and output of a command."""
    app = typer.Typer()
    service_commands.register(app)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_a_technician_makes_renews_and_checks_with_three_commands(tmp_path: Path) -> None:
    place = ("--folder", str(tmp_path / "authority"))
    assert run("certificates", "authority", *place)[0] == 0
    status, text = run("certificates", "authority", *place)
    assert (status, "holds an authority already" in text) == (1, True)
    places = ("--authority", str(tmp_path / "authority"), "--folder", str(tmp_path / "certificates"))
    server = ("certificates", "server", "broker", "--host", HOST, *places)
    assert run(*server)[0] == 0
    assert run(*server)[0] == 3
    status, text = run("certificates", "check", "--folder", str(tmp_path / "certificates"))
    assert status == 0
    assert [line.partition(": ")[0].rpartition("/")[2] for line in text.splitlines()] == ["broker.crt", "ca.crt"]
    (tmp_path / "certificates" / "broker.key").chmod(0o644)
    status, text = run("certificates", "check", "--folder", str(tmp_path / "certificates"))
    assert (status, "everybody on this machine may read it" in text) == (1, True)
