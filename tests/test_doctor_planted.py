"""The doctor names each planted misconfiguration in one line, on a machine with a real broker and a real store."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from devices.profile import shipped_profiles
from devices.registry import Registry
from gateway import doctor, doctor_broker, doctor_disk
from gateway.certificates import Authority, Pair
from gateway.cli import build
from gateway.clock import ClockState
from gateway.settings_file import SettingsError
from tests import servers
from tests.access_parts import broker_with_accounts, lamp, set_up
from tests.documents import PLANTED_BEGIN, PLANTED_END
from tests.planted import PLANTED, as_table, matches
from tests.planted_machine import Machine, Patch, Planted
from tests.servers import HOST, Server, free_port

GUIDE = Path(__file__).parent.parent / "docs" / "operate.md"


class Servers:
    """What all cases share: broker with accounts and TLS, InfluxDB with accounts, certificates."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.certificates = folder / "certificates"
        authority = Authority.make(folder / "authority", "Thử", datetime.now(UTC))
        files = Pair(self.certificates / "broker.crt", self.certificates / "broker.key")
        authority.issue_server(files, ["localhost", HOST], datetime.now(UTC))
        (self.certificates / "ca.crt").write_bytes(authority.files.certificate.read_bytes())
        self.tls_port = free_port()
        listener = f"listener {self.tls_port} {HOST}\ncertfile {files.certificate}\nkeyfile {files.key}\n"
        self.broker: Server = stack.enter_context(broker_with_accounts(folder, listener + "sys_interval 1"))
        set_up(self.broker, Registry.of([lamp("lamp-1"), lamp("lamp-2")], shipped_profiles().values(), ()))
        self.store: Server = stack.enter_context(servers.influxdb1(auth=True))
        servers.influxql(self.store, "CREATE USER gateway WITH PASSWORD 'store-secret'")
        for database in ("village", "village_rollup", "village_index_check"):
            servers.influxql(self.store, f"CREATE DATABASE {database}")
            servers.influxql(self.store, f"GRANT ALL ON {database} TO gateway")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Started once."""
    with ExitStack() as stack:
        yield Servers(tmp_path_factory.mktemp("servers"), stack)


@pytest.fixture
def machine(tmp_path: Path, shared: Servers, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A sound one."""
    monkeypatch.setattr(doctor, "clock_state", lambda: ClockState(True, "synchronised"))
    # A test's folder may well be in memory.
    monkeypatch.setattr(doctor_disk, "file_system", lambda _path: "ext4")
    monkeypatch.setattr(doctor_broker, "CONNECT_SECONDS", 2.0)
    return Machine(tmp_path, shared.broker, shared.tls_port, shared.store, shared.certificates)


def examined(machine: Machine) -> tuple[int, list[str]]:
    """Exit status, and the lines that say what is to be mended."""
    machine.write()
    command = ["doctor", "--config", str(machine.config), "--mosquitto-conf", str(machine.conf)]
    result = CliRunner().invoke(build("doctor"), command, env=machine.environment)
    if isinstance(result.exception, SettingsError):
        return 2, [str(result.exception)]
    words = [line.split(maxsplit=1) for line in result.output.splitlines()]
    parts = [rest.split("  ", 1) for mark, rest in words if mark == "MEND"]
    return result.exit_code, [f"{part.strip()}: {text.strip()}" for part, text in parts]


def test_on_a_sound_machine_there_is_nothing_to_mend(machine: Machine) -> None:
    assert examined(machine) == (0, [])


# paho leaves the socket of a refused TLS connection to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.what)
def test_what_is_wrong_is_named_in_one_line(
    planted: Planted, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = planted.plant(machine)
    with ExitStack() as stack:
        if isinstance(held, Patch):
            monkeypatch.setattr(held.target, held.name, held.value)
        elif held is not None:
            stack.enter_context(held)
        status, said = examined(machine)
    assert status != 0
    assert [line for line in said if matches(planted.says, line)], said
    # One line each: only what follows from it may be said beside it.
    assert len(said) <= 4, said


def test_the_guide_lists_them_all() -> None:
    _, _, rest = GUIDE.read_text("utf-8").partition(PLANTED_BEGIN)
    assert rest.partition(PLANTED_END)[0] == as_table()
