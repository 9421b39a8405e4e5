"""``village run`` as a service: what systemd hears of it, and how it goes on where its journal is damaged."""

import os
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.gateway_process import EMBEDDED, GatewayProcess, Publisher, await_that
from tests.servers import Server

WATCHDOG_SECONDS = 0.4


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A listener as systemd has one, and the environment it starts a service with."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", str(int(WATCHDOG_SECONDS * 1e6)))
        yield listener


def heard(systemd: socket.socket) -> list[str]:
    """Every word since it was last asked."""
    words = []
    while True:
        try:
            words += systemd.recv(4096).decode().splitlines()
        except BlockingIOError:
            return words


def add(words: list[str], systemd: socket.socket) -> list[str]:
    """The words, with what has been said since."""
    words += heard(systemd)
    return words


def test_systemd_hears_ready_alive_and_stopping(tmp_path: Path, broker: Server, systemd: socket.socket) -> None:
    """Ready only when the API answers, with a line on how it is; alive again and again; stopping before it stops."""
    gateway = GatewayProcess(tmp_path, broker.port, EMBEDDED).start()
    words: list[str] = []
    await_that("ready is said", lambda: "READY=1" in add(words, systemd))
    await_that("alive is said", lambda: add(words, systemd).count("WATCHDOG=1") >= 3)
    assert any(word.startswith("STATUS=") for word in words)
    assert "STOPPING=1" not in words
    assert gateway.stop() == 0
    assert heard(systemd)[-1] == "STOPPING=1"


def test_a_line_that_hangs_gives_no_sign_of_life(tmp_path: Path, broker: Server, systemd: socket.socket) -> None:
    """The other threads go on, and do not speak for it: systemd, which hears nothing, would start it anew."""
    with GatewayProcess(tmp_path, broker.port, EMBEDDED) as gateway, Publisher(broker) as field:
        await_that("connected", lambda: part(gateway, "broker")[0] == "ok")
        with closing(sqlite3.connect(tmp_path / "data" / "journal.db", isolation_level=None)) as other:
            # The line waits ten seconds for whoever has locked the journal.
            other.execute("BEGIN IMMEDIATE")
            field.send("village/10642/lamp-017/up", '{"power":1,"seq":1}')
            last = time.monotonic()

            def is_silent() -> bool:
                nonlocal last
                if "WATCHDOG=1" in heard(systemd):
                    last = time.monotonic()
                return time.monotonic() - last > 5 * WATCHDOG_SECONDS

            await_that("systemd hears nothing for five times as long as it waits", is_silent)
            assert gateway.ask("/ledger")["totals"]["kept"] == 0
            other.execute("ROLLBACK")
        await_that("it gives signs of life again", lambda: "WATCHDOG=1" in heard(systemd))
        await_that("nothing is lost", lambda: gateway.totals()["kept"] == 1)


def test_a_journal_damaged_while_the_gateway_runs_is_set_aside_and_salvaged(tmp_path: Path, broker: Server) -> None:
    """The line begins anew by itself with everything that could be read, and health says what happened."""
    with GatewayProcess(tmp_path, broker.port, EMBEDDED) as gateway, Publisher(broker) as field:
        await_that("connected", lambda: part(gateway, "broker")[0] == "ok")
        for number in range(20):
            field.send("village/10642/lamp-017/up", f'{{"power":{number},"seq":{number}}}')
        await_that("all are kept", lambda: gateway.totals()["kept"] == 20)
        journal = tmp_path / "data" / "journal.db"
        log = journal.with_name("journal.db-wal")
        with log.open("r+b") as file:
            half = os.fstat(file.fileno()).st_size // 2
            file.seek(half)
            file.write(b"\xff" * half)
        # Whoever reads the file next meets it; here it is the API.
        await_that("it is noticed", lambda: answers(gateway) and list(journal.parent.glob("journal.db.damaged-*")))
        await_that("it runs again", lambda: answers(gateway) and part(gateway, "broker")[0] == "ok")
        state, detail = part(gateway, "journal")
        assert state in {"waiting", "failing"}
        assert "a damaged journal was set aside as journal.db.damaged-" in detail
        field.send("village/10642/lamp-018/up", '{"power":77,"seq":1}')
        await_that("it takes what comes", lambda: "lamp-018" in str(gateway.ask("/latest?device=lamp-018")))
        assert gateway.ask("/ledger")["holds"] is True


def answers(gateway: GatewayProcess) -> bool:
    """Whether its API is there."""
    try:
        gateway.ask("/ledger")
        gateway.ask("/ledger/devices")
    except (OSError, ValueError):
        return False
    return True


def part(gateway: GatewayProcess, name: str) -> tuple[str, str]:
    """State and detail of a part in health."""
    found = [entry for entry in gateway.ask("/health")["parts"] if entry["part"] == name]
    return found[0]["state"], found[0]["detail"]
