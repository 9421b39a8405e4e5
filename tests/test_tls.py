"""TLS from end to end: broker, API and InfluxDB with certificates of one authority; what ends is an alarm in health."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.certificate_watch import CertificateWatch, problems
from gateway.certificates import Authority, Pair
from gateway.health import of_certificates
from gateway.running import find_running, health_of
from gateway.settings import Api, Gateway, Settings
from gateway.settings_file import load_settings
from gateway.settings_neighbours import Broker
from tests import servers
from tests.gateway_process import GatewayProcess, Publisher, await_that
from tests.servers import HOST, Server, free_port

NOW = datetime.now(UTC)


class Village:
    """One authority, and a certificate for each server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "certificates"
        self.authority = Authority.make(folder / "authority", "Thử", NOW)
        self.ca = self.folder / "ca.crt"
        for name in ("broker", "api", "influxdb"):
            self.authority.issue_server(self.pair(name), ["localhost", HOST], NOW)
        self.ca.write_bytes(self.authority.files.certificate.read_bytes())

    def pair(self, name: str) -> Pair:
        """Files of a server."""
        return Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")


@pytest.fixture
def village(tmp_path: Path) -> Village:
    return Village(tmp_path)


@contextmanager
def broker_of(village: Village) -> Iterator[Server]:
    """Mosquitto that speaks TLS; ``port`` is its plain one."""
    files = village.pair("broker")
    port = free_port()
    listener = f"listener {port} {HOST}\ncertfile {files.certificate}\nkeyfile {files.key}\ntls_version tlsv1.2\n"
    with servers.mosquitto(listener) as server:
        server.folder.joinpath("tls").write_text(str(port))
        yield server


@contextmanager
def influxdb_of(village: Village) -> Iterator[Server]:
    """InfluxDB that speaks https only."""
    files = village.pair("influxdb")
    extra = f'https-enabled = true\n  https-certificate = "{files.certificate}"\n  https-private-key = "{files.key}"'
    context = ssl.create_default_context(cafile=str(village.ca))

    def answers(port: int) -> bool:
        try:
            urllib.request.urlopen(f"https://{HOST}:{port}/ping", timeout=2, context=context).close()
        except OSError:
            return False
        return True

    with servers.influxdb1(http_extra=extra, is_ready=answers) as server:
        yield server


class Encrypted(GatewayProcess):
    """A gateway whose API speaks TLS, asked as a browser does that trusts the authority."""

    ca: Path

    def ask(self, path: str) -> Any:
        context = ssl.create_default_context(cafile=str(self.ca))
        try:
            with urllib.request.urlopen(f"https://localhost:{self.port}{path}", timeout=10, context=context) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)


def test_a_reading_goes_all_the_way_encrypted(village: Village, tmp_path: Path) -> None:
    with broker_of(village) as broker, influxdb_of(village) as store:
        tls_port = int((broker.folder / "tls").read_text())
        stores = (
            f'[[store]]\nname = "influx"\nkind = "influxdb1"\nurl = "https://localhost:{store.port}"\n'
            f'ca_file = "{village.ca}"\n'
        )
        gateway = Encrypted(tmp_path, tls_port, stores)
        gateway.ca = village.ca
        text = gateway.config.read_text().replace(
            "[broker]\n", f'[broker]\nhost = "localhost"\ntls = true\nca_file = "{village.ca}"\n'
        )
        files = village.pair("api")
        gateway.config.write_text(f'{text}cert_file = "{files.certificate}"\nkey_file = "{files.key}"\n')
        with gateway:
            await_that("the broker is there", lambda: _state(gateway, "broker") == "ok")
            _say(broker)
            await_that("it is stored", lambda: gateway.ask("/ledger")["lines"]["stores"][0]["stored"])
            assert _state(gateway, "certificates") == "ok"
            settings = load_settings(gateway.config, {})
            running = find_running(settings)
            assert running is not None
            assert running.address.startswith("https://127.0.0.1:")
            assert "latest" not in running.ask("GET", "/ledger")
            assert health_of(settings)["status"] in {"ok", "degraded"}
            # Plain http is not answered.
            with pytest.raises((urllib.error.URLError, ConnectionError)):
                urllib.request.urlopen(f"http://{HOST}:{gateway.port}/health", timeout=5).close()


def _say(broker: Server) -> None:
    with Publisher(broker) as field:
        field.send("village/10642/lamp-017/up", '{"power":58}')


def _state(gateway: GatewayProcess, name: str) -> str:
    found = {part["part"]: part["state"] for part in gateway.ask("/health")["parts"]}
    return str(found.get(name, ""))


@pytest.mark.parametrize(
    ("age_days", "state", "words"),
    [(0, "ok", "none ends soon"), (800, "waiting", "in 24 days"), (900, "failing", "ended on")],
)
def test_a_certificate_that_ends_is_an_alarm_in_health(tmp_path: Path, age_days: int, state: str, words: str) -> None:
    began = NOW - timedelta(days=age_days)
    authority = Authority.make(tmp_path / "authority", "Thử", began)
    authority.issue_server(Pair(tmp_path / "broker.crt", tmp_path / "broker.key"), ["localhost"], began)
    watch = CertificateWatch(Settings(gateway=Gateway(certificates_dir=tmp_path)))
    watch.look()
    part = of_certificates(watch)
    assert (part.part, part.state) == ("certificates", state)
    assert words in part.detail


def test_a_key_that_others_may_read_is_an_alarm_from_the_start(village: Village) -> None:
    village.pair("api").key.chmod(0o644)
    watch = CertificateWatch(Settings(gateway=Gateway(certificates_dir=village.folder)))
    assert watch.has_any
    watch.look()
    part = of_certificates(watch)
    assert part.state == "failing"
    assert "everybody on this machine may read it (mode 0644)" in part.detail


def test_what_another_server_shows_is_looked_at_too(village: Village, tmp_path: Path) -> None:
    other = Authority.make(tmp_path / "other", "Other", NOW)
    with broker_of(village) as broker:
        port = int((broker.folder / "tls").read_text())
        nowhere = Gateway(certificates_dir=tmp_path / "none")
        good = Settings(broker=Broker(host="localhost", port=port, tls=True, ca_file=village.ca), gateway=nowhere)
        assert [problem.text for problem in problems(good, NOW)] == []
        later = NOW + timedelta(days=800)
        assert [problem.text.split(": ")[1][:20] for problem in problems(good, later)][-1:] == ["its certificate ends"]
        bad = Settings(
            broker=Broker(host="localhost", port=port, tls=True, ca_file=other.files.certificate), gateway=nowhere
        )
        assert "not of an authority that is trusted" in next(problems(bad, NOW)).text


def test_a_certificate_without_its_key_is_refused_with_the_settings() -> None:
    with pytest.raises(ValueError, match="cert_file and key_file belong together"):
        Api(cert_file=Path("api.crt"))
