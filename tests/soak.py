"""``python -m tests.soak``: a commune at many times its speed with restarts, outages, a full disk: nothing may leak."""

import argparse
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path

from tests import servers
from tests.faults.scenario import shipped_mosquitto
from tests.gateway_process import GatewayProcess, await_that, influx_store
from tests.servers import HOST, Server

DAY = 86400.0
SAMPLE_SECONDS = 2.0
DISK_MB = 256
"""The gateway's folder is a file system of this size, so that it can be filled."""
PATIENCE = 300.0
STOP_SECONDS = 60.0
"""systemd's limit in the shipped unit."""
STEADY = 0.1
"""A life's memory may grow by this part from its middle third to its last. Chosen: sums and latest values fill."""
WARM_SECONDS = 60.0
"""A life that has not lasted longer than three times this says nothing about leaks."""


# what is watched --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """One look at the gateway's process."""

    at: float
    """Seconds since the soak began."""
    life: int
    rss_mb: float
    files: int
    threads: int


def look(process: int, at: float, life: int) -> Sample | None:
    """What the kernel says of a process; None if it has just ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        files = len(os.listdir(f"/proc/{process}/fd"))
    except OSError:
        return None
    found = {key: int(re.findall(rf"^{key}:\s+(\d+)", status, re.MULTILINE)[0]) for key in ("VmRSS", "Threads")}
    return Sample(round(at, 1), life, round(found["VmRSS"] / 1024, 1), files, found["Threads"])


@dataclass
class Watch:
    """Looks every two seconds, from a thread of its own; and asks the API as boards and collectors do."""

    gateway: GatewayProcess
    log: Path
    began: float = field(default_factory=time.monotonic)
    life: int = 0
    samples: list[Sample] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)
    asked: int = 0
    _ending: threading.Event = field(default_factory=threading.Event)

    def tell(self, what: str) -> None:
        """Note what is done to it."""
        self.events.append((round(time.monotonic() - self.began, 1), what))
        say(f"{self.events[-1][0]:8.1f} s  {what}")

    @contextmanager
    def running(self) -> Iterator[None]:
        """For as long as the context lasts."""
        threads = [threading.Thread(target=what, name=what.__name__) for what in (self._look, self._ask, self._listen)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ending.set()
            for thread in threads:
                thread.join()

    def _look(self) -> None:
        while not self._ending.wait(SAMPLE_SECONDS):
            process = self.gateway.process_id
            found = look(process, time.monotonic() - self.began, self.life) if process else None
            if found is not None:
                self.samples.append(found)
                # At once, so that a soak that breaks off has something to say.
                with self.log.open("a") as log:
                    log.write(json.dumps([found.at, found.life, found.rss_mb, found.files, found.threads]) + "\n")

    def _ask(self) -> None:
        paths = ("/health", "/devices?limit=500", "/latest", "/metrics", "/ledger/devices", "/refused", "/communes")
        while not self._ending.wait(0.2):
            with contextlib.suppress(OSError, ValueError, HTTPException):
                self._read(paths[self.asked % len(paths)])
                self.asked += 1

    def _listen(self) -> None:
        # A live page that is opened, read a little and closed without a word, as browsers do.
        while not self._ending.wait(0.5):
            with contextlib.suppress(OSError, ValueError, HTTPException):
                self._read("/live", 20_000)

    def _read(self, path: str, most: int = 1 << 24) -> None:
        with urllib.request.urlopen(f"http://{HOST}:{self.gateway.port}{path}", timeout=5) as answer:
            answer.read(most)


# what is done to it -----------------------------------------------------------------------------------------------


class Troubles:
    """What happens once every simulated day, each at its hour."""

    def __init__(
        self, gateway: GatewayProcess, broker: Server, store: Server, watch: Watch, day_seconds: float
    ) -> None:
        self._gateway, self._broker, self._store, self._watch = gateway, broker, store, watch
        self._day = day_seconds

    def plan(self) -> list[tuple[float, Callable[[], None]]]:
        """Hour of the day and what happens; the hours are spread so that one is over before the next begins."""
        return [
            (2, self.store_is_away),
            (6, self.broker_restarts),
            (9, self.disk_is_full),
            (13, self.store_hangs),
            (17, self.gateway_restarts),
            (21, self.gateway_is_killed),
        ]

    def _for_hours(self, hours: float) -> None:
        time.sleep(self._day * hours / 24)

    def store_is_away(self) -> None:
        self._watch.tell("the store is away for an hour")
        self._store.stop()
        self._for_hours(1)
        start_patiently(self._store)

    def store_hangs(self) -> None:
        self._watch.tell("the store hangs for half an hour")
        self._store.pause()
        self._for_hours(0.5)
        self._store.resume()

    def broker_restarts(self) -> None:
        self._watch.tell("the broker restarts")
        self._broker.restart()

    def disk_is_full(self) -> None:
        ballast = self._gateway.folder / "data" / "ballast"
        self._watch.tell("the disk is full for an hour")
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"\0" * 65536)
        self._for_hours(1)
        ballast.unlink()

    def gateway_restarts(self) -> None:
        began = time.monotonic()
        self._gateway.stop(STOP_SECONDS)
        self._watch.tell(f"the gateway restarts; it ended in {time.monotonic() - began:.1f} s")
        self._begin_life()

    def gateway_is_killed(self) -> None:
        self._watch.tell("the gateway is killed")
        self._gateway.kill()
        self._begin_life()

    def _begin_life(self) -> None:
        self._watch.life += 1
        self._gateway.start()


def start_patiently(server: Server) -> None:
    """A busy machine may need more than one try to bring a store of some size up."""
    for _ in range(5):
        with contextlib.suppress(RuntimeError):
            server.start()
            return
    server.start()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of its own in this folder; needs root."""
    folder.mkdir(exist_ok=True)
    size = f"size={DISK_MB}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "village-soak", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


# the verdict ------------------------------------------------------------------------------------------------------


def leaks(samples: Sequence[Sample]) -> list[str]:
    """What grew within a life, from its middle third to its last; one line each, empty if nothing did."""
    found = []
    for life in sorted({sample.life for sample in samples}):
        own = [sample for sample in samples if sample.life == life]
        if own[-1].at - own[0].at < 3 * WARM_SECONDS:
            continue
        third = len(own) // 3
        middle, last = own[third : 2 * third], own[2 * third :]
        before, after = (statistics.median(sample.rss_mb for sample in part) for part in (middle, last))
        if after > before * (1 + STEADY):
            found.append(f"life {life}: memory grew from {before:.0f} to {after:.0f} MB")
        for what in ("files", "threads"):
            # The least of a third: connections of the moment come and go, what leaks stays.
            least, later = (min(getattr(sample, what) for sample in part) for part in (middle, last))
            if later > least + 2:
                found.append(f"life {life}: open {what} grew from {least} to {later}")
    return found


def table(samples: Sequence[Sample], rows: int = 24) -> str:
    """A few of the samples, evenly over time."""
    chosen = samples[:: max(1, len(samples) // rows)]
    lines = [f"{'s':>8} {'life':>5} {'RSS MB':>7} {'files':>6} {'threads':>8}"]
    lines += [f"{s.at:8.0f} {s.life:5d} {s.rss_mb:7.1f} {s.files:6d} {s.threads:8d}" for s in chosen]
    return "\n".join(lines)


def soak(folder: Path, log: Path, speed: float, span_days: float, scenario: str) -> dict[str, object]:
    """Run it; the report."""
    day = DAY / speed
    until = datetime.now(UTC) - timedelta(minutes=10)
    start = until - timedelta(days=span_days)
    broker_settings = f"{shipped_mosquitto()}\n"
    with servers.mosquitto(broker_settings) as broker, servers.influxdb1() as store:
        fleet = folder / "simulated.csv"
        village = [sys.executable, "-m", "gateway", "simulate", scenario]
        subprocess.run([*village, "--fleet-out", str(fleet)], check=True, capture_output=True)
        gateway = GatewayProcess(
            folder, broker.port, influx_store(store, "village"), fleet.read_text("utf-8"),
            "accept_simulated = true\n[journal]\nmax_mb = 128\nraw_max_mb = 32\nrefused_max_mb = 16",
        )  # fmt: skip
        # A machine that is busy is no finding of this test.
        gateway.patience = PATIENCE
        with small_disk(folder / "data"), gateway:
            watch = Watch(gateway, log)
            await_that("the gateway has its broker", lambda: gateway.ask("/health")["parts"][0]["state"] == "ok")
            span = f"{span_days * 24 * 60:.0f}m"
            began = f"{start:%Y-%m-%dT%H:%M:%SZ}"
            with (folder / "simulate.log").open("wb") as said_by_field, watch.running():
                command = [*village, "--broker", f"{HOST}:{broker.port}", "--speed", str(speed)]
                field_process = subprocess.Popen(
                    [*command, "--from", began, "--for", span], stdout=said_by_field, stderr=said_by_field
                )
                try:
                    trouble(Troubles(gateway, broker, store, watch, day), day, span_days, watch)
                    field_process.wait(PATIENCE)
                finally:
                    field_process.send_signal(signal.SIGKILL)
                    field_process.wait()
                await_that("nothing waits for the store", lambda: waiting(gateway) == 0, PATIENCE)
                watch.tell("everything is delivered")
            said = (folder / "simulate.log").read_text().strip().splitlines()[-1]
            ledger = gateway.ask("/ledger")
    return {
        "speed": speed, "span_days": span_days, "scenario": scenario, "field": said, "ledger": ledger["totals"],
        "holds": ledger["holds"], "lost_at_broker": ledger["lost_at_broker"], "lines": ledger["lines"],
        "asked": watch.asked, "events": watch.events, "leaks": leaks(watch.samples),
        "samples": [[s.at, s.life, s.rss_mb, s.files, s.threads] for s in watch.samples],
        "table": table(watch.samples),
    }  # fmt: skip


def trouble(troubles: Troubles, day: float, span_days: float, watch: Watch) -> None:
    """Everything at its hour, each day until the span is over."""
    began, number = time.monotonic(), 0
    end = began + span_days * day
    while True:
        for hour, happen in troubles.plan():
            due = began + (number + hour / 24) * day
            if due > end - day / 24:
                time.sleep(max(0.0, end - time.monotonic()))
                return
            time.sleep(max(0.0, due - time.monotonic()))
            happen()
        number += 1
        watch.tell(f"day {number} is over")


def waiting(gateway: GatewayProcess) -> int:
    """Lines that wait for the store."""
    found: list[dict[str, int]] = gateway.ask("/ledger")["lines"]["stores"]
    return sum(store["waiting"] for store in found)


def say(text: str) -> None:
    """On standard output, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """The command; exit status 1 if something leaked or the sums do not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--speed", type=float, default=100.0, help="simulated seconds in one; default 100")
    parser.add_argument("--days", type=float, default=7.0, help="simulated days; 7 at speed 100 take 1 h 41 min")
    parser.add_argument("--scenario", default="commune")
    parser.add_argument("--report", type=Path, default=Path("soak.json"))
    chosen = parser.parse_args()
    if os.geteuid():
        sys.exit("the soak fills a disk of its own, and only root may mount one: sudo make soak")
    with tempfile.TemporaryDirectory(prefix="village-soak-") as folder:
        report = soak(Path(folder), chosen.report.with_suffix(".samples"), chosen.speed, chosen.days, chosen.scenario)
    say(str(report.pop("table")))
    chosen.report.write_text(json.dumps(report) + "\n", "utf-8")
    say(json.dumps({name: value for name, value in report.items() if name not in {"samples", "events"}}, indent=1))
    return 0 if report["holds"] and not report["leaks"] else 1


if __name__ == "__main__":
    sys.exit(main())
