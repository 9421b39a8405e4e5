"""``village demo``: broker, gateway, embedded store, a simulated commune as a process of its own, the board."""

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from rich.console import Console

from gateway.app import App
from gateway.settings import Api, Gateway, Settings
from gateway.settings_neighbours import Broker, StorePlace
from gateway.southbound.broker import HOST, DemoBroker

CLOCK_ROUNDING = 60
"""History ends and real time begins on a full minute [s]."""


def demo(folder: Path, port: int, history_days: int, scenario: str = "commune") -> int:
    """Run the demo until Ctrl-C.

    Args:
        folder: where the data stays between two demos.
        port: of the board.
        history_days: how much past the stores are filled with.
        scenario: what is simulated.

    Returns:
        Exit status.
    """
    console = Console(highlight=False)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    folder.mkdir(parents=True, exist_ok=True)
    broker = DemoBroker(folder / "broker")
    broker.start()
    console.print(f"broker     {broker.description}")
    simulation = _Simulation(folder, scenario, HOST, broker.port)
    app = None
    try:
        simulation.write_fleet()
        app = App(demo_settings(folder, port, broker))
        app.line.on_end = ended.set
        app.start()
        console.print(f"commune    {len(app.registry)} simulated devices, a process of their own, speaking MQTT")
        console.print(
            f"publish    mosquitto_pub -p {broker.port} -q 1 -t village/10642/lamp-001/up -m '{{\"power\":42}}'"
        )
        if app.api is not None:
            console.print(f"\n  the board is at [bold]{app.api.address}[/bold]   (Ctrl-C stops everything)\n")
        simulation.start_live()
        simulation.fill_history(folder / "village.toml", timedelta(days=history_days), ended)
        ended.wait()
    finally:
        console.print("stopping")
        simulation.stop()
        if app is not None:
            app.stop()
        broker.stop()
    return 0


def demo_settings(folder: Path, port: int, broker: DemoBroker) -> Settings:
    """The demo's settings, also written as ``village.toml`` so that every other command can use them."""
    text = (
        "# Made by `village demo`; the other commands take it with --config.\n"
        f'[broker]\nhost = "{HOST}"\nport = {broker.port}\nclient_id = "village-demo"\n\n'
        '[gateway]\ndata_dir = "."\nfleet = "fleet.csv"\naccept_simulated = true\nclock = "trust"\n'
        'log_level = "warning"\n\n'
        '[[store]]\nname = "demo"\nkind = "embedded"\n\n'
        f"[api]\nport = {port}\n"
    )
    (folder / "village.toml").write_text(text, "utf-8")
    return Settings(
        broker=Broker(host=HOST, port=broker.port, client_id="village-demo"),
        gateway=Gateway(
            data_dir=folder,
            fleet=folder / "fleet.csv",
            accept_simulated=True,
            clock="trust",
            log_level="warning",
        ),
        store=(StorePlace(name="demo"),),
        api=Api(port=port),
    )


class _Simulation:
    """The simulator's processes: fleet, history, real time. They start at the same moment, so nothing is missing."""

    def __init__(self, folder: Path, scenario: str, host: str, port: int) -> None:
        self._folder, self._scenario = folder, scenario
        self._broker = f"{host}:{port}"
        now = time.time() // CLOCK_ROUNDING * CLOCK_ROUNDING
        self._moment = datetime.fromtimestamp(now, UTC).isoformat()
        self._live: subprocess.Popen[bytes] | None = None
        self._history: subprocess.Popen[bytes] | None = None

    def _village(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "gateway", *arguments]

    def _simulate(self, *arguments: str) -> list[str]:
        return self._village("simulate", self._scenario, "--from", self._moment, *arguments)

    def _log(self) -> IO[bytes]:
        return (self._folder / "simulator.log").open("ab")

    def write_fleet(self) -> None:
        """The fleet's CSV, made anew: it is the same for the same scenario and seed."""
        with self._log() as log:
            command = self._simulate("--fleet-out", str(self._folder / "fleet.csv"))
            subprocess.run(command, check=True, stdout=log, stderr=log)

    def start_live(self) -> None:
        """Real time begins at the moment where the history ends."""
        with self._log() as log:
            self._live = _start(self._simulate("--broker", self._broker), log)

    def fill_history(self, settings: Path, history: timedelta, ended: threading.Event) -> None:
        """The past, through backfill while the page is live; after an earlier demo only what is missing."""
        marker = self._folder / "history-until"
        since = datetime.fromisoformat(marker.read_text().strip()) if marker.exists() else None
        until = datetime.fromisoformat(self._moment)
        span = history if since is None else min(history, until - since)
        if span <= timedelta(0):
            return
        file = self._folder / "history.jsonl"
        seconds = f"{int(span.total_seconds())}s"
        make = self._simulate("--history", seconds, "--history-out", str(file))
        take = self._village("backfill", str(file), "--config", str(settings))
        for step, visible in ((make, False), (take, True)):
            with self._log() as log:
                self._history = _start(step, None if visible else log)
            while self._history.poll() is None and not ended.wait(0.1):
                pass
            if ended.is_set() or self._history.returncode != 0:
                return
        file.unlink(missing_ok=True)
        marker.write_text(self._moment)

    def stop(self) -> None:
        """End every process within two seconds."""
        running = [process for process in (self._live, self._history) if process is not None and process.poll() is None]
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(2.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(command: list[str], output: IO[bytes] | None) -> "subprocess.Popen[bytes]":
    # A session of its own: Ctrl-C reaches the demo only, which then ends everything in order.
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, start_new_session=True, env=environment, stdout=output, stderr=output)
