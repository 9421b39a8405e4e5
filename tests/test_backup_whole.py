"""What a commune would miss is in a backup that was taken under load, and comes back on another machine."""

import json
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.backup import back_up
from gateway.backup_set import read_manifest, verify
from gateway.restore import restore
from gateway.settings_file import load_settings
from tests.bench.sender import Order, sender
from tests.gateway_process import EMBEDDED, GatewayProcess, Publisher, await_that
from tests.servers import HOST, Server, free_port, mosquitto
from tests.test_backup import stored_times

FLEET = """device,profile,commune,zone,group,name,latitude,longitude
lamp-017,native_streetlight,10642,street,cabinet-1,Đèn 17,20.97,106.29
lamp-018,native_streetlight,10642,street,cabinet-1,Đèn 18,20.97,106.29
lamp-000000,native_streetlight,10000,street,,,,
lamp-000001,native_streetlight,10000,street,,,,
river-1,native_water_station,10642,,,Kênh Thái Tân,20.98,106.30
"""
ALERT = "gear_hot/device/10642/lamp-01%d"
RATE, MESSAGES = 1000, 20_000


class Box(GatewayProcess):
    """A gateway in its folder, asked and told over HTTP."""

    def tell(self, path: str, body: object) -> Any:
        """POST; text is sent as CSV."""
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        kind = "text/csv" if isinstance(body, str) else "application/json"
        request = urllib.request.Request(f"http://{HOST}:{self.port}{path}", data, {"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def alerts(self) -> dict[str, tuple[str, str, bool]]:
        """By id: state, who takes care of it, whether somebody works there."""
        items = self.ask("/alerts?limit=100")["items"]
        return {
            item["id"]: (item["state"], item["acknowledged_by"], item["silenced"])
            for item in items
            if item["rule"] == "gear_hot"
        }


def settings_text(mute: int) -> str:
    """A store, and somebody to be told who cannot be reached: what he is to be told waits."""
    return f'{EMBEDDED}\n[[notify]]\nname = "leaders"\nurls = ["json://{HOST}:{mute}/"]\n'


@contextmanager
def box_in(folder: Path, broker: Server) -> Iterator[Box]:
    """A running gateway with a fleet database, which hears its broker."""
    folder.mkdir()
    box = Box(folder, broker.port, settings_text(free_port()), FLEET)
    village = [sys.executable, "-m", "gateway", "devices", "import", str(folder / "fleet.csv"), "--yes", "--config"]
    box.config.write_text(box.config.read_text().replace("[gateway]\n", '[gateway]\nfleet = "fleet.db"\n'))
    subprocess.run([*village, str(box.config)], check=True, capture_output=True)
    with box:
        await_that("connected", lambda: any(part["detail"] == "connected" for part in box.ask("/health")["parts"]))
        yield box


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Of a database nobody writes."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
        return reader.execute(query).fetchall()


def test_all_that_was_known_is_known_on_another_machine(tmp_path: Path) -> None:
    """Taken while 1,000 messages a second come in; then the first machine is gone."""
    usb = tmp_path / "usb"
    until = f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}"
    with (
        mosquitto("max_queued_messages 0\nmax_inflight_messages 1000") as broker,
        box_in(tmp_path / "box", broker) as box,
        sender(Order(broker.port, 2, 1, 0, MESSAGES, 1_795_000_000_000, RATE)).await_ready() as field,
    ):
        with Publisher(broker) as lamp:
            for number, minutes in ((7, 40), (8, 40), (7, 0), (8, 0)):
                at = f"{datetime.now(UTC) - timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"
                told = json.dumps({"observed_at": at, "control_gear_temperature": 88})
                lamp.send(f"village/10642/lamp-01{number}/up", told)
            lamp.send("village/10642/lamp-017/up", '{"power": "much"}')
        await_that("both fire", lambda: box.alerts() == {ALERT % number: ("firing", "", False) for number in (7, 8)})
        box.tell("/alerts/acknowledge", {"id": ALERT % 7, "by": "Anh Nam"})
        box.tell("/alerts/silences", {"device": "lamp-018", "stop": until, "by": "Chị Lan", "reason": "thay cáp"})
        box.tell("/laboratory?by=lab", "device,time,bod5,coliform\nriver-1,2026-11-01T08:30,6.5,5000\n")
        wanted = {ALERT % 7: ("acknowledged", "Anh Nam", False), ALERT % 8: ("firing", "", True)}
        await_that("the book says so", lambda: box.alerts() == wanted)
        said_at = time.time()
        await_that("and is on disk", lambda: (box.folder / "data" / "analytics.bin").stat().st_mtime > said_at - 1)
        field.go()
        await_that("messages come in", lambda: box.totals()["received"] > RATE)
        kept_before = box.totals()["kept"]
        made = back_up(load_settings(box.config, {}), box.config, usb)
        under_load = box.totals()["received"]
        await_that("they still do", lambda: box.totals()["received"] > under_load)
        field.close()
        box.kill()
        shutil.rmtree(box.folder)
        saved = verify(made).ledger
        assert saved is not None
        assert (saved.holds, saved.kept >= kept_before) == (True, True)
        names = {entry.name for entry in read_manifest(made).files}
        assert {"data/analytics.bin", "data/journal.db", "data/notify.db", "data/laboratory.db",
                "data/store.db", "settings/village.toml", "settings/fleet.db"} <= names  # fmt: skip
        other = tmp_path / "other"
        other.mkdir()
        done = restore(made, other / "village.toml", {})
        assert done.sums == saved
        journal = other / "data" / "journal.db"
        assert rows(journal, "SELECT sum(uplinks) FROM raw") == [(saved.kept,)]
        assert rows(journal, "SELECT reason, count(*) FROM refused GROUP BY reason")[-1][1] >= 1
        assert rows(other / "data" / "notify.db", "SELECT count(*) FROM message") != [(0,)]
        box.folder, box.config = other, other / "village.toml"
        box.start()
        assert box.ask("/devices")["total"] == 5
        assert await_that("the alerts are known", box.alerts) == wanted
        assert [item["reason"] for item in box.ask("/alerts/silences")["items"]] == ["thay cáp"]
        assert [item["device"] for item in box.ask("/laboratory")["items"]] == ["river-1"]
        await_that("all is delivered", lambda: box.ask("/ledger")["lines"]["stores"][0]["waiting"] == 0)
        assert box.ask("/ledger")["holds"]
        box.stop()
        assert len(stored_times(other / "data" / "store.db")) >= 2
