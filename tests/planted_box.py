"""What is wrong with the box itself, as a technician leaves it: owners, disks, backups, clock, rights in the store."""

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway import doctor_disk
from gateway.line.journal import Journal
from gateway.southbound.accounts import Right, change_role
from tests import servers
from tests.access_parts import office
from tests.planted_machine import FLEET, Machine, Patch, Plant, Planted

DAY = 86_400


def _journal_of_root(machine: Machine) -> None:
    machine.data.mkdir()
    shutil.chown(machine.data, "daemon", "daemon")
    (machine.data / "journal.lock").touch()


def _on(kind: str) -> Plant:
    return lambda _machine: Patch(doctor_disk, "file_system", lambda _path: kind)


def _embedded(free_mb: int) -> Plant:
    def plant(machine: Machine) -> Patch:
        machine.settings["[store]"] = {"kind": "embedded"}
        usage = type(shutil.disk_usage("/"))
        return Patch(shutil, "disk_usage", lambda _path: usage(32 << 30, 32 << 30, free_mb << 20))

    return plant


def _backup(made: str | None) -> Plant:
    def plant(machine: Machine) -> None:
        asked = machine.folder / "backup.env"
        asked.write_text(f"# Where the nightly backup goes\nBACKUP_TO={machine.folder / 'usb'}\nBACKUP_KEEP=7\n")
        old = time.time() - 5 * DAY
        os.utime(asked, (old, old))
        if made is not None:
            (machine.folder / "usb" / made).mkdir(parents=True)
            (machine.folder / "usb" / made / "manifest.json").touch()

    return plant


def _clock_years_back(machine: Machine) -> None:
    machine.set("gateway", clock="trust")
    machine.data.mkdir()
    Journal(machine.data / "journal.db", ["commune"]).close()
    with sqlite3.connect(machine.data / "journal.db") as journal:
        journal.execute("UPDATE counter SET value = ? WHERE name = 'newest_at'", (4_102_444_800 * 10**9,))
    journal.close()


def _account(right: str) -> Plant:
    @contextmanager
    def plant(machine: Machine) -> Iterator[None]:
        servers.influxql(machine.store, "CREATE USER half WITH PASSWORD 'half-secret'")
        for database in ("village", "village_rollup"):
            servers.influxql(machine.store, f"GRANT {right} ON {database} TO half")
        machine.set("[store]", username="half")
        machine.environment["GATEWAY_STORE_0_PASSWORD"] = "half-secret"
        try:
            yield
        finally:
            servers.influxql(machine.store, "DROP USER half")

    return plant


@contextmanager
def _rights_by_hand(machine: Machine) -> Iterator[None]:
    with office(machine.broker) as live:
        shipped = live.read().roles["device:lamp-2"]
        live.run([change_role("device:lamp-2", [*shipped, Right("subscribePattern", "#")])])
        try:
            yield
        finally:
            live.run([change_role("device:lamp-2", shipped)])


def _conf(line: str) -> Plant:
    def plant(machine: Machine) -> None:
        with machine.conf.open("a") as file:
            file.write(f"{line}\n")

    return plant


def _no_conf(machine: Machine) -> None:
    machine.conf.unlink()


def _fleet(data: bytes) -> Plant:
    def plant(machine: Machine) -> None:
        (machine.folder / "fleet.csv").write_bytes(data)

    return plant


def _set(section: str, **values: Any) -> Plant:
    return lambda machine: machine.set(section, **values)


def _standards(machine: Machine) -> None:
    machine.set("gateway", standards="tables")
    (machine.folder / "tables").mkdir()
    Path(machine.folder / "tables" / "alerts.toml").write_text("[[rule]]\ncode = \n")


BOX = (
    Planted("root started the gateway by hand once, and its files are root's", _journal_of_root,
            "data: .../journal.lock: belongs to root, the folder to daemon; chown -R daemon: .../data"),
    Planted("the data folder is in memory", _on("tmpfs"),
            "data: ...: is in memory (tmpfs), a restart of the machine loses everything; set gateway.data_dir to a"
            " disk"),
    Planted("the data folder is on a network drive", _on("cifs"),
            "data: ...: is on another machine (cifs), which breaks the journal's locks; set gateway.data_dir to a disk"
            " here"),
    Planted("room for the journal, and none for the embedded store", _embedded(9_000),
            "data: .../data: 9000 MB free, the journal may still take 32 MB, the store commune may still take ... MB;"
            " free ... MB or lower journal.max_mb, raw_max_mb or refused_max_mb or max_mb of the store commune"),
    Planted("no backup was made for weeks", _backup("village-20260101T023000Z"),
            "backup: .../usb: the newest is of 2026-01-01, and one is made each night; `systemctl status"
            " village-backup.timer` and `journalctl -u village-backup` say why"),
    Planted("the stick for backups is not plugged in", _backup(None),
            "backup: .../usb: No such file or directory; is the disk of BACKUP_TO in .../backup.env mounted?"),
    Planted("the clock is years back, and the settings trust it", _clock_years_back,
            "clock: shows ... UTC, and it was 2100-01-01 00:00 UTC already; set it: `timedatectl set-time`"),
    Planted("the store's account may read and not write", _account("READ"),
            "store commune: commune: 403: ... (found by a write of no lines to village)"),
    Planted("the store's account may write and not read", _account("WRITE"),
            "store commune: commune: reading village fails: ..."),
    Planted("somebody gave a device a right to everybody's topics", _rights_by_hand,
            "accounts: ...lamp-2...mend..."),
    Planted("the broker keeps 1 MB for an absent gateway", _conf("max_queued_bytes 1000000"),
            "queue: .../mosquitto.conf: drops messages of an absent gateway beyond so many bytes; write"
            " `max_queued_bytes 268435456`"),
    Planted("the broker's configuration is not where the doctor looks", _no_conf,
            "queue: .../mosquitto.conf: No such file or directory; name the file that Mosquitto is started with"),
    Planted("a row of the fleet names a profile that does not exist",
            _fleet(FLEET.replace("native_streetlight", "pole").encode()),
            "fleet: .../fleet.csv: line 2: profile: no profile 'pole'..."),
    Planted("the fleet was saved by a spreadsheet as UTF-16", _fleet(FLEET.encode("utf-16")),
            "fleet: .../fleet.csv: ...UTF-8..."),
    Planted("the API's token is four letters", _set("api", token="abcd"),
            "...village.toml: api.token: ...16..."),
    Planted("an own table that cannot be read", _standards,
            "standards: .../alerts.toml: ..."),
)  # fmt: skip
