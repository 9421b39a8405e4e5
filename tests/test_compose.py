"""The composition, without a container engine: every file it names, its first start, its accounts, run by hand."""

import json
import os
import re
import shutil
import ssl
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.certificate_ends import server_certificate_ends
from gateway.settings_file import load_settings
from tests import servers
from tests.access_parts import connection_answer
from tests.servers import HOST, Server, free_port

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SECRET = re.compile(r"password|token|secret|key", re.IGNORECASE)


# the file ---------------------------------------------------------------------------------------------------------


def test_every_image_is_pinned_to_a_whole_version() -> None:
    images = {service["image"] for service in SERVICES.values()}
    base = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert all(re.search(r":\d+\.\d+\.\d+", image) for image in [*images, *base]), images
    assert len(set(base)) == 1


def test_no_secret_stands_in_the_file() -> None:
    for service in SERVICES.values():
        named = {key: value for key, value in service.get("environment", {}).items() if SECRET.search(key)}
        assert all(key.endswith("_FILE") or key == "VILLAGE_SECRETS" for key in named), named


def test_every_service_is_bounded_and_every_lasting_one_starts_again_and_is_looked_after() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"]["max-size"], name
        if service["restart"] == "no":
            continue
        is_ours = service["image"].startswith("smart-village-gateway")
        assert "healthcheck" in service or (is_ours and "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()), name


def test_only_devices_and_the_board_come_in_from_outside() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {
        "mosquitto": ["${VILLAGE_MQTT_BIND:-0.0.0.0}:8883:8883"],
        "gateway": ["${VILLAGE_WEB_BIND:-127.0.0.1}:8765:8765"],
        "grafana": ["${VILLAGE_WEB_BIND:-127.0.0.1}:3000:3000"],
    }
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert SERVICES["influxdb"]["networks"] == ["inside"]


def test_every_file_and_volume_that_is_mounted_is_there_and_used() -> None:
    named: set[str] = set()
    for service in SERVICES.values():
        for mount in service["volumes"]:
            source = mount.partition(":")[0]
            if source == "./village":
                continue  # made by init
            if source.startswith("./"):
                assert (ROOT / source).exists(), source
            else:
                named.add(source)
    assert named == set(COMPOSE["volumes"])


def test_secrets_are_mounted_where_they_are_needed_and_nowhere_else() -> None:
    holders = {
        volume: {
            name for name, service in SERVICES.items() if any(m.startswith(f"{volume}:") for m in service["volumes"])
        }
        for volume in COMPOSE["volumes"]
        if volume.endswith("-secrets") or volume in {"authority", "broker-admin"}
    }
    assert holders == {
        "authority": {"init"},
        "broker-admin": {"init"},
        "influxdb-secrets": {"init", "influxdb", "influxdb-accounts"},
        "gateway-secrets": {"init", "influxdb-accounts", "gateway"},
        "grafana-secrets": {"init", "influxdb-accounts", "grafana"},
    }


def test_the_image_holds_what_the_composition_starts() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "COPY deploy/mosquitto.conf deploy/compose /usr/share/village/" in text
    assert re.search(r"^USER village$", text, re.MULTILINE)
    for word in re.findall(r"/usr/share/village/([\w.-]+)", text + (ROOT / "compose.yaml").read_text()):
        assert (DEPLOY / "compose" / word).is_file(), word
    kept = [line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    assert {source for line in copied for source in line.split()} <= set(kept)


# run by hand ------------------------------------------------------------------------------------------------------


class FirstStart:
    """``init.sh`` in folders of this test instead of volumes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config = folder, folder / "village"
        self.share = folder / "share"
        shutil.copytree(DEPLOY / "compose", self.share)
        shutil.copy(DEPLOY / "mosquitto.conf", self.share)
        for name in ("village", "authority", "broker", "broker-data", "gateway-data"):
            (folder / name).mkdir()
        for name in ("influxdb", "gateway", "grafana", "broker-admin"):
            (folder / "secrets" / name).mkdir(parents=True)

    def environment(self, **more: str) -> dict[str, str]:
        """As in the container; ``village`` is the one of this Python."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("GATEWAY_", "VILLAGE_"))}
        path = f"{Path(sys.executable).parent}:{clean['PATH']}"
        places = {
            "VILLAGE_SHARE": str(self.share),
            "VILLAGE_CONFIG_DIR": str(self.config),
            "VILLAGE_ROOT": str(self.folder),
        }
        return clean | {"PATH": path, "VILLAGE_HOST": HOST} | places | more

    def run(self) -> str:
        """What it prints."""
        done = subprocess.run(
            ["sh", str(self.share / "init.sh")], env=self.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def secrets(self, name: str) -> dict[str, str]:
        """One file of variables."""
        lines = (self.folder / "secrets" / name).read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def content(self) -> dict[str, tuple[bytes, int, int]]:
        """Every file with its bytes, owner and mode."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_file() and "share" not in path.parts:
                about = path.stat()
                found[str(path)] = (path.read_bytes(), about.st_uid, stat.S_IMODE(about.st_mode))
        return found


needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="init.sh gives files to other accounts, as root in its container"
)


@needs_root
def test_the_first_start_makes_everything_and_the_second_changes_nothing(tmp_path: Path) -> None:
    first = FirstStart(tmp_path)
    assert "the fleet, empty" in first.run()
    before = first.content()
    assert "made" not in first.run()
    assert first.content() == before
    modes = {Path(path).name: (uid, mode) for path, (_, uid, mode) in before.items()}
    assert modes["dynamic-security.json"] == (1883, 0o600)
    assert modes["broker.key"] == (1883, 0o600)
    assert modes["gateway.env"] == (10001, 0o600)
    assert modes["grafana.env"] == (472, 0o600)
    assert modes["ca.key"] == modes["admin.env"] == (0, 0o600)
    secrets = first.secrets("gateway/gateway.env")
    assert set(secrets) == {"GATEWAY_API_TOKEN", "GATEWAY_BROKER_USERNAME", "GATEWAY_BROKER_PASSWORD"}


@needs_root
def test_the_broker_of_the_composition_runs_with_what_the_first_start_made(tmp_path: Path) -> None:
    first = FirstStart(tmp_path)
    first.run()
    ports = {"1883": str(free_port()), "8883": str(free_port())}
    for file in (tmp_path / "broker").rglob("*.conf"):
        text = (
            file.read_text()
            .replace("/etc/village", f"{tmp_path}/broker")
            .replace("/var/lib/mosquitto", f"{tmp_path}/broker-data")
        )
        file.write_text(
            re.sub(r"^listener (\d+)", lambda found: f"listener {ports[found[1]]}", text, flags=re.MULTILINE)
        )
    config = tmp_path / "broker" / "mosquitto.conf"
    config.write_text(config.read_text() + "user root\n")
    program = servers.find_server("mosquitto", "mosquitto")
    server = Server([program, "-c", str(config)], tmp_path, int(ports["1883"]), servers.accepts)
    server.start()
    try:
        secrets = first.secrets("gateway/gateway.env")
        password = secrets["GATEWAY_BROKER_PASSWORD"]
        assert connection_answer(server.port, "village-gateway", "gateway", password) == "Success"
        assert server_certificate_ends(HOST, int(ports["8883"]), tmp_path / "village" / "ca.crt").year > 2027
        with pytest.raises(ssl.SSLError):
            server_certificate_ends(HOST, int(ports["8883"]), None)
        test = SERVICES["mosquitto"]["healthcheck"]["test"][1].replace("-p 1883", f"-h {HOST} -p {server.port}")
        assert subprocess.run(["sh", "-c", test], check=False).returncode == 0
    finally:
        server.kill()
    assert subprocess.run(["sh", "-c", test], check=False).returncode != 0


@needs_root
def test_the_gateway_of_the_composition_reads_its_settings_with_its_secrets(tmp_path: Path) -> None:
    first = FirstStart(tmp_path)
    first.run()
    file = tmp_path / "secrets" / "gateway" / "gateway.env"
    file.write_text(file.read_text() + "# a comment\n\nGATEWAY_STORE_0_TOKEN=a=b c\n")
    command = [
        "sh",
        str(first.share / "with-secrets.sh"),
        sys.executable,
        "-c",
        "import json, os; print(json.dumps(dict(os.environ)))",
    ]
    environment = first.environment(VILLAGE_SECRETS=str(file))
    seen = json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    settings = load_settings(first.config / "village.toml", seen)
    assert settings.store[0].token is not None
    assert settings.store[0].token.get_secret_value() == "a=b c"
    assert settings.broker.username == "gateway"
    assert settings.api.host == "0.0.0.0"


def both(bucket: str) -> str:
    """Rights to read and write a bucket, as options."""
    return f"--read-bucket {bucket} --write-bucket {bucket}"


INFLUX = """#!/bin/sh
echo "$*" >> {log}
case "$1 $2" in
"bucket list")
    [ "$4" = village ] && printf '0a\\tvillage\\n'
    [ -e {made} ] && [ "$4" = village_rollup ] && printf '0b\\tvillage_rollup\\n'
    true ;;
"bucket create") touch {made} ;;
"auth create") printf '{{\\n\\t"id": "1",\\n\\t"token": "token-for-%s==",\\n\\t"x": 1\\n}}\\n' "$5" ;;
esac
"""


@needs_root
def test_gateway_and_grafana_get_tokens_with_their_rights_once(tmp_path: Path) -> None:
    """With a stand-in for the program `influx`, which answers as its version 2.7 does."""
    first = FirstStart(tmp_path)
    first.run()
    log, program = tmp_path / "asked", tmp_path / "bin" / "influx"
    program.parent.mkdir()
    program.write_text(INFLUX.format(log=log, made=tmp_path / "made"))
    program.chmod(0o755)
    environment = first.environment(VILLAGE_SECRETS_DIR=str(tmp_path / "secrets"))
    environment["PATH"] = f"{program.parent}:{environment['PATH']}"
    for _ in range(2):
        done = subprocess.run(["sh", str(first.share / "influxdb-accounts.sh")], env=environment, check=False)
        assert done.returncode == 0
    asked = log.read_text().splitlines()
    assert [line for line in asked if not line.startswith("bucket list")] == [
        "bucket create --name village_rollup --retention 0",
        f"auth create --json --description gateway {both('0a')} {both('0b')}",
        "auth create --json --description Grafana --read-bucket 0a --read-bucket 0b",
    ]
    assert first.secrets("gateway/gateway.env")["GATEWAY_STORE_0_TOKEN"] == "token-for-gateway=="
    assert first.secrets("grafana/grafana.env")["VILLAGE_STORE_TOKEN"] == "token-for-Grafana=="
    owner = (tmp_path / "secrets/gateway/gateway.env").stat()
    assert (owner.st_uid, stat.S_IMODE(owner.st_mode)) == (10001, 0o600)
