"""The command line: every error is one readable line and an exit status, and nothing is a traceback."""

import io
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from gateway import cli, doctor, doctor_disk
from gateway.clock import ClockState
from gateway.settings_file import render_example
from tests.servers import HOST, Server, free_port

FLEET = """device,profile,commune,simulated
lamp-1,native_streetlight,10642,
lamp-2,native_streetlight,10642,1
"""
TOPIC = "village/10642/lamp-1/up"


class Said(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str


Village = Callable[..., Said]


@pytest.fixture
def village(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Village:
    """Runs ``village`` with these words, in a folder with good settings and a good fleet."""
    (tmp_path / "fleet.csv").write_text(FLEET)
    (tmp_path / "village.toml").write_text(f"[broker]\nport = {free_port()}\n[api]\nport = {free_port()}\n")
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["village", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        code = ended.value.code
        return Said(code if isinstance(code, int) else 0, out, re.sub(r"\x1b\[[0-9;]*m", "", err))

    return run


# the whole --------------------------------------------------------------------------------------------------------


def test_the_version_and_every_command_are_told(village: Village) -> None:
    """One list, put together from the packages."""
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", village("--version").out)
    told = village("--help")
    assert told.status == 0
    for name in ("run", "check", "doctor", "decode", "backfill", "settings", "demo", "index", "devices", "simulate"):
        assert re.search(rf"^\W*{name}\b", told.out, re.MULTILINE), name


@pytest.mark.parametrize("name", ["run", "check", "doctor", "decode", "backfill", "settings", "demo"])
def test_every_command_has_an_example(village: Village, name: str) -> None:
    """In its own help."""
    told = village(name, "--help")
    assert told.status == 0
    assert f"village {name}" in told.out.partition("Example:")[2]


@pytest.mark.parametrize("words", [("fly",), ("run", "--confg", "x"), ("decode",), ("demo", "--port", "0")])
def test_a_command_asked_wrongly_ends_with_status_2(village: Village, words: tuple[str, ...]) -> None:
    """With how to ask rightly."""
    said = village(*words)
    assert said.status == 2
    assert "--help" in said.err


# settings and fleet -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("run",), ("check",), ("doctor",), ("decode", TOPIC, "-"), ("backfill", "x.csv")])
def test_wrong_settings_are_one_line_and_status_2(
    village: Village, tmp_path: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any connection is opened."""
    (tmp_path / "village.toml").write_text("[broker]\nprot = 1\n")

    def connect(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "bind", connect)
    assert village(*command) == Said(2, "", "village.toml: broker.prot: no such key; did you mean 'port'?\n")
    missing = village(*command, "--config", "none.toml")
    assert (missing.status, missing.err.count("\n")) == (2, 1)
    assert missing.err.startswith("none.toml: no such file; `village settings > none.toml` writes one")


@pytest.mark.parametrize("command", [("run",), ("check",), ("decode", TOPIC, "-")])
def test_every_bad_row_of_the_fleet_is_one_line(village: Village, tmp_path: Path, command: tuple[str, ...]) -> None:
    """With file, line and column."""
    (tmp_path / "fleet.csv").write_text(f"{FLEET}lamp-1,native_streetlight,1,\nlamp-3,pole,1,\n")
    said = village(*command)
    assert (said.status, said.out if command == ("run",) else "") == (2, "")
    assert said.err.splitlines() == [
        f"{tmp_path}/fleet.csv: line 4: device: 'lamp-1' is already in the fleet",
        f"{tmp_path}/fleet.csv: line 5: profile: no profile 'pole'; see `village devices supported`",
    ]


def test_check_tells_what_it_found(village: Village, tmp_path: Path) -> None:
    """Settings, profiles, fleet."""
    said = village("check")
    assert said.status == 0
    settings, profiles, fleet = said.out.splitlines()
    assert settings == "settings   village.toml: 1 store(s), 1 source(s) of topics"
    assert re.fullmatch(r"profiles   \d+ device profiles", profiles)
    assert fleet == f"fleet      {tmp_path}/fleet.csv: 2 devices in 1 commune(s), 1 of them simulated"


def test_settings_prints_the_file_to_start_from(village: Village, tmp_path: Path) -> None:
    """Which can be used as it is."""
    said = village("settings")
    assert said.out == render_example()
    (tmp_path / "village.toml").write_text(said.out)
    assert village("check").status == 0


# decode -----------------------------------------------------------------------------------------------------------


def give(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Standard input."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def test_decode_prints_readings_as_json_lines(
    village: Village, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From standard input or a file."""
    payload = b'{"observed_at":"2026-11-21T18:05:00+07:00","power":58.25}'
    give(monkeypatch, payload)
    said = village("decode", TOPIC, "-")
    assert (said.status, said.err) == (0, "")
    assert [json.loads(line) for line in said.out.splitlines()] == [
        {
            "device": "lamp-1", "property": "power", "value": 58.25, "unit": "W",
            "observed_at": "2026-11-21T11:05:00Z", "quality": 1, "clock": 0,
        }
    ]  # fmt: skip
    (tmp_path / "payload.json").write_bytes(payload)
    assert village("decode", TOPIC, "payload.json").out == said.out


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        (TOPIC, b"", "empty"),
        (TOPIC, b"{", "malformed"),
        (TOPIC, b" " * 100_000, "too_large"),
        (TOPIC, b"\xff", "encoding"),
        ("village/10642/lamp-9/up", b"{}", "unknown_device"),
        ("elsewhere", b"{}", "unknown_topic"),
        ("village/10642/lamp-2/up", b'{"power":1}', "simulated"),
    ],
)
def test_decode_names_the_refusal(
    village: Village, monkeypatch: pytest.MonkeyPatch, topic: str, payload: bytes, reason: str
) -> None:
    """On standard error, with status 1."""
    give(monkeypatch, payload)
    said = village("decode", topic, "-")
    assert (said.status, said.out, said.err.count("\n")) == (1, "", 1)
    assert said.err.startswith(f"{reason}: ")


def test_a_payload_that_is_not_there_is_one_line(village: Village) -> None:
    """The operating system's own words."""
    said = village("decode", TOPIC, "none.json")
    assert (said.status, said.out, said.err.count("\n")) == (1, "", 1)
    assert "none.json" in said.err


# doctor -----------------------------------------------------------------------------------------------------------


def test_doctor_ends_with_status_1_if_something_is_to_be_mended(
    village: Village, broker: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line each, the bad ones marked."""
    monkeypatch.setattr(doctor, "clock_state", lambda: ClockState(True, "synchronised"))
    monkeypatch.setattr(doctor_disk, "RESERVE_BYTES", 0)
    monkeypatch.setattr(doctor_disk, "file_system", lambda _path: "ext4")
    small = "[journal]\nmax_mb = 16\nraw_max_mb = 0\nrefused_max_mb = 16\n[[store]]\nmax_mb = 64\n"
    (tmp_path / "village.toml").write_text(f"{small}[broker]\nport = {broker.port}\n[api]\nport = {free_port()}\n")
    sound = village("doctor")
    assert (sound.status, "MEND" in sound.out) == (0, False)
    assert [line.split()[:2] for line in sound.out.splitlines()[:2]] == [["ok", "fleet"], ["ok", "secrets"]]
    (tmp_path / "village.toml").write_text(f"{small}[broker]\nport = {free_port()}\n[api]\nport = {free_port()}\n")
    ill = village("doctor")
    assert ill.status == 1
    assert [line.split()[1] for line in ill.out.splitlines() if line.startswith("MEND")] == ["broker"]


# a process of its own ---------------------------------------------------------------------------------------------


def test_a_gateway_that_cannot_listen_says_so_and_ends(village: Village, tmp_path: Path) -> None:
    """Nothing of it stays behind."""
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        (tmp_path / "village.toml").write_text(f"[broker]\nport = {free_port()}\n[api]\nport = {port}\n")
        ended = subprocess.run([sys.executable, "-m", "gateway", "run"], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    said = f"the API cannot listen on 127.0.0.1 port {port}: Address already in use; another program listens there; "
    assert ended.stderr == f"{said}stop it or set api.port\n"


def test_ctrl_c_ends_a_gateway_cleanly(village: Village) -> None:
    """Status 0, no traceback."""
    command = [sys.executable, "-m", "gateway", "run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        while "running" not in (line := process.stdout.readline()):
            assert line, "it ended before it ran"
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert "stopped" in rest
    assert "Traceback" not in rest


INTERRUPTED = """
import importlib.abc, os, signal, sys
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from gateway.__main__ import main
main()
"""


@pytest.mark.parametrize("module", ["gateway.cli", "gateway.settings", "gateway.commands"])
def test_ctrl_c_while_packages_load_is_no_traceback(module: str) -> None:
    """Whichever is being loaded: nothing is said, and the status is a shell's for Ctrl-C."""
    command = [sys.executable, "-c", INTERRUPTED, module]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_the_version_is_told_without_loading_anything() -> None:
    """Scripts ask for it; the packages take a second or two."""
    told = "from gateway.__main__ import main; import sys; sys.argv[1:] = ['--version']; main(); "
    told += "print(sorted({'typer', 'numpy', 'pydantic'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\d+\.\d+\.\d+\n\[\]\n", ended.stdout)
