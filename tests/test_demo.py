"""``village demo`` as a newcomer runs it: one command, the page in a real browser, Ctrl-C, and again."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from gateway.southbound.broker import find_mosquitto
from tests.gateway_process import await_that
from tests.servers import HOST, find_server, free_port
from tests.test_board import ARGUMENTS


@contextmanager
def demo(folder: Path, port: int) -> Iterator[Path]:
    """A running demo; its log. Ended by Ctrl-C."""
    log = folder.with_suffix(".log")
    command = [sys.executable, "-m", "gateway", "demo", "--folder", str(folder), "--port", str(port), "--history", "1"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        await_that("the demo prints its address", lambda: f"http://{HOST}:{port}" in log.read_text(), 60)
        yield log
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def ask(port: int, path: str) -> Any:
    """GET, read as JSON."""
    with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=10) as answer:
        return json.load(answer)


def processes_in(folder: Path) -> list[str]:
    """Command lines of processes that know this folder."""
    lines = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in words and entry.name != str(os.getpid()):
            lines.append(words)
    return lines


def test_the_demo_shows_live_values_keeps_them_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """History arrives while the page is live; a value published by hand appears without a reload."""
    publish = find_server("mosquitto_pub", "mosquitto-clients")
    chromium = find_server("chromium", "chromium")
    folder, port = tmp_path / "demo", free_port()
    with demo(folder, port) as log:
        assert ("Mosquitto at" in log.read_text()) == (find_mosquitto() is not None)
        await_that("the history is in", lambda: "kept, 0 repeated, 0 refused" in log.read_text(), 90)
        found = re.search(r"-p (\d+)", log.read_text())
        assert found is not None
        with sync_playwright() as browsers:
            browser = browsers.chromium.launch(executable_path=chromium, args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            asked: list[str] = []
            said: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            page.on("console", lambda message: said.append(message.text))
            page.goto(f"http://{HOST}:{port}/")
            page.get_by_text("Thái Tân").first.wait_for()
            message = '{"residual_chlorine":4.44}'
            subprocess.run(
                [publish, "-p", found[1], "-q", "1", "-t", "village/10642/tap-1/up", "-m", message], check=True
            )
            page.get_by_text("4,44").first.wait_for()
            browser.close()
        assert said == []
        assert [url for url in asked if not url.startswith((f"http://{HOST}:{port}/", "data:"))] == []
        devices = ask(port, "/devices?limit=1000")
        assert devices["total"] == 69
        assert all(device["simulated"] for device in devices["items"])
        before = ask(port, "/ledger")
        assert before["holds"] is True
    assert processes_in(folder) == []
    with demo(folder, port):
        after = ask(port, "/ledger")["totals"]
        assert after["kept"] >= before["totals"]["kept"] > 69 * 24
        day = ask(port, "/series?device=air-1&property=pm2_5&points=5000")
        assert len(day["points"]) > 100
