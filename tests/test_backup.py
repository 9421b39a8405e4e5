"""Backup of a gateway under load, its folders deleted, restore: the sums hold and nothing acknowledged is missing."""

import errno
import json
import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from gateway import service_commands
from gateway.backup import back_up, pieces
from gateway.backup_set import MANIFEST, BackupError, prune, read_manifest, sums, verify, whole_backups
from gateway.line.journal import Journal
from gateway.line.journal_file import JournalError
from gateway.northbound.embedded import Embedded
from gateway.restore import BLOCK, copy, restore
from gateway.settings import Settings
from gateway.settings_file import load_settings
from tests.gateway_process import EMBEDDED, GatewayProcess, Publisher, await_that
from tests.servers import Server, mosquitto

UP = "village/10642/lamp-017/up"


class Lamp:
    """Publishes one numbered reading after the other, and knows which the broker has taken."""

    def __init__(self, broker: Server) -> None:
        self._publisher = Publisher(broker)
        self._ended = threading.Event()
        self.sent = 0
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ended.is_set():
            number = self.sent + 1
            minutes, seconds = divmod(number, 60)
            at = f"2026-11-20T{minutes // 60:02}:{minutes % 60:02}:{seconds:02}Z"
            self._publisher.send(UP, json.dumps({"observed_at": at, "seq": number, "power": number % 100}))
            self.sent = number

    def __enter__(self) -> "Lamp":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._publisher.__exit__()


@pytest.fixture
def lively(tmp_path: Path) -> Iterator[tuple[GatewayProcess, Server]]:
    """A running gateway with the embedded store, and its broker."""
    folder = tmp_path / "box"
    folder.mkdir()
    with (
        mosquitto("persistence true\nmax_queued_messages 0\nallow_anonymous true") as broker,
        GatewayProcess(folder, broker.port, EMBEDDED) as gateway,
    ):
        yield gateway, broker


def settings_of(gateway: GatewayProcess) -> Settings:
    """The running gateway's settings."""
    return load_settings(gateway.config, {})


def stored_times(store: Path) -> set[int]:
    """Times of the lamp's points in an embedded store [ns]."""
    if not store.exists():
        return set()
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as reader:
        if not reader.execute("SELECT 1 FROM sqlite_master WHERE name = 'point_streetlight'").fetchall():
            return set()
        return {time for (time,) in reader.execute("SELECT _time FROM point_streetlight")}


def test_a_backup_under_load_restored_into_nothing_misses_nothing_acknowledged_before_it(
    lively: tuple[GatewayProcess, Server], tmp_path: Path
) -> None:
    gateway, broker = lively
    settings = settings_of(gateway)
    await_that("connected", lambda: any(part["detail"] == "connected" for part in gateway.ask("/health")["parts"]))
    with Lamp(broker) as lamp:
        await_that("some are kept", lambda: gateway.totals()["kept"] >= 100)
        kept_before, sent_before = gateway.totals()["kept"], lamp.sent
        made = back_up(settings, gateway.config, tmp_path / "usb")
        await_that("the lamp goes on", lambda: lamp.sent > sent_before + 50)
    gateway.kill()
    before = verify(made)
    assert before.ledger is not None
    assert before.ledger.holds
    assert before.ledger.kept >= kept_before
    shutil.rmtree(gateway.folder)
    gateway.folder.mkdir()
    done = restore(made, gateway.config, {})
    assert done.sums == before.ledger
    assert done.set_aside == ()
    # The broker still has what the killed gateway had not acknowledged; the lamp's last words come again or are there.
    gateway.start()
    await_that("everything is delivered", lambda: gateway.ask("/ledger")["lines"]["stores"][0]["waiting"] == 0)
    ledger = gateway.ask("/ledger")
    assert ledger["holds"]
    gateway.stop()
    points = stored_times(settings.store_path(settings.store[0]))
    first = 1_795_132_800 * 10**9
    wanted = {first + number * 10**9 for number in range(1, kept_before + 1)}
    assert wanted - points == set()


def test_the_sums_hold_in_every_one_of_many_backups_under_load(
    lively: tuple[GatewayProcess, Server], tmp_path: Path
) -> None:
    gateway, broker = lively
    settings = settings_of(gateway)
    with Lamp(broker):
        for _ in range(8):
            made = back_up(settings, gateway.config, tmp_path / "usb")
            found = read_manifest(made).ledger
            assert found is not None
            assert found.holds
            # What the journal of the backup counts as delivered is in its store.
            assert len(stored_times(made / "data/store.db")) >= found.lines_kept - _waiting(made)
    assert len(whole_backups(tmp_path / "usb")) == 8


def _waiting(made: Path) -> int:
    with closing(sqlite3.connect(f"file:{made / 'data/journal.db'}?mode=ro", uri=True)) as reader:
        query = "SELECT coalesce(sum(line_count), 0) FROM waiting JOIN batch ON batch.id = waiting.batch"
        return int(reader.execute(query).fetchone()[0])


# without a running gateway ------------------------------------------------------------------------------------------


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """The settings of a gateway that ran once; fleet and store lie elsewhere than the data."""
    folder = tmp_path / "box"
    (folder / "data").mkdir(parents=True)
    config = folder / "village.toml"
    config.write_text(
        f'[gateway]\nfleet = "lamps.csv"\n[[store]]\nname = "here"\npath = "{folder}/elsewhere/store.db"\n'
    )
    (folder / "lamps.csv").write_text("device,profile,commune\nlamp-1,native_streetlight,10642\n")
    journal = Journal(folder / "data" / "journal.db", ["here"])
    journal.remember("subscribed", "something")
    journal.close()
    store = Embedded(name="here", path=folder / "elsewhere" / "store.db")
    store.write(b"streetlight,commune=10642,device=lamp-1 power=42 1795132800000000000\n")
    store.close()
    (folder / "data" / "state.bin").write_bytes(b"state")
    for name in (
        "journal.lock",
        "journal.db.witness",
        "state.new",
        "state.bin.before-restore-20260101T000000Z",
        "x.restoring",
    ):
        (folder / "data" / name).touch()
    (folder / "data" / "alerts").mkdir()
    (folder / "data" / "alerts" / "open.json").write_text("[]")
    (folder / "data" / "journal.db.damaged-20260101T000000").write_bytes(b"SQLite format 3\0 and then nothing")
    (folder / "data" / "journal.db.damaged-20260101T000000-wal").write_bytes(b"left")
    return config


def test_everything_is_in_it_and_the_state_goes_first(box: Path) -> None:
    settings = load_settings(box, {})
    secrets = box.parent / "etc" / "secrets.env"
    secrets.parent.mkdir()
    secrets.write_text("x")
    names = [piece.name for piece in pieces(settings, box, [secrets.parent])]
    assert names == [
        "data/state.bin",
        "data/journal.db",
        "data/alerts/open.json",
        "data/journal.db.damaged-20260101T000000",
        "data/journal.db.damaged-20260101T000000-wal",
        "stores/here.db",
        "settings/village.toml",
        "settings/lamps.csv",
        f"include{secrets}",
    ]


def test_a_backup_is_restored_where_it_came_from_and_only_its_owner_may_read_it(box: Path, tmp_path: Path) -> None:
    settings = load_settings(box, {})
    box.chmod(0o640)
    made = back_up(settings, box, tmp_path / "usb", includes=[box.parent / "data" / "alerts"])
    assert made.parent == tmp_path / "usb"
    assert {stat.S_IMODE(path.stat().st_mode) for path in made.rglob("*") if path.is_file()} <= {0o600, 0o644}
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    before = {path: path.read_bytes() for path in box.parent.rglob("*") if path.suffix in {".bin", ".csv", ".toml"}}
    modes = {path: path.stat().st_mode for path in before}
    shutil.rmtree(box.parent)
    done = restore(made, box, {})
    assert {path: path.read_bytes() for path in before} == before
    assert {path: path.stat().st_mode for path in before} == modes
    assert done.sums == sums(box.parent / "data" / "journal.db")
    with closing(sqlite3.connect(box.parent / "data" / "journal.db")) as reader:
        # The broker's session may be a new one: the gateway must ask again.
        assert reader.execute("SELECT count(*) FROM note WHERE name = 'subscribed'").fetchone() == (0,)
    with closing(sqlite3.connect(box.parent / "elsewhere" / "store.db")) as reader:
        assert reader.execute("SELECT power FROM point_streetlight").fetchall() == [(42.0,)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_what_is_restored_belongs_to_whom_it_belonged(box: Path, tmp_path: Path) -> None:
    extra = tmp_path / "etc" / "extra"
    extra.mkdir(parents=True)
    for name, user, mode in (("key", "daemon", 0o640), ("stranger", 54321, 0o600)):
        (extra / name).write_text(name)
        (extra / name).chmod(mode)
        shutil.chown(extra / name, user, "daemon")
    made = back_up(load_settings(box, {}), box, tmp_path / "usb", includes=[extra])
    shutil.rmtree(box.parent)
    shutil.rmtree(extra)
    data = box.parent / "data"
    data.mkdir(parents=True)
    shutil.chown(data, "daemon", "daemon")
    restore(made, box, {}, with_includes=True)
    assert (data / "journal.lock").owner() == "daemon"
    seen = {path.name: (path.owner(), path.group(), stat.S_IMODE(path.stat().st_mode)) for path in extra.iterdir()}
    assert seen == {"key": ("daemon", "daemon", 0o640), "stranger": ("root", "daemon", 0o600)}


def test_nothing_is_written_over_unless_told_and_then_it_is_set_aside(box: Path, tmp_path: Path) -> None:
    settings = load_settings(box, {})
    made = back_up(settings, box, tmp_path / "usb")
    (box.parent / "lamps.csv").write_text("changed since")
    witness = box.parent / "data" / "journal.db.witness"
    witness.write_bytes(b"of the journal that is replaced")
    with pytest.raises(BackupError, match="exists; --replace sets it aside"):
        restore(made, box, {})
    assert (box.parent / "lamps.csv").read_text() == "changed since"
    done = restore(made, box, {}, replace=True, now=lambda: 0.0)
    aside = box.parent / "lamps.csv.before-restore-19700101T000000Z"
    assert aside in done.set_aside
    assert not witness.exists()
    assert aside.read_text() == "changed since"
    assert (box.parent / "lamps.csv").read_text().startswith("device,profile")


def test_a_running_gateway_is_not_restored_into(lively: tuple[GatewayProcess, Server], tmp_path: Path) -> None:
    gateway, _ = lively
    made = back_up(settings_of(gateway), gateway.config, tmp_path / "usb")
    with pytest.raises(JournalError, match="in use by another gateway; stop it first"):
        restore(made, gateway.config, {}, replace=True)


@pytest.mark.parametrize("damage", ["flip", "cut", "missing", "no list", "bad list", "outside"])
def test_a_damaged_backup_is_never_restored(box: Path, tmp_path: Path, damage: str) -> None:
    made = back_up(load_settings(box, {}), box, tmp_path / "usb")
    journal, listed = made / "data/journal.db", made / MANIFEST
    content = journal.read_bytes()
    if damage == "flip":
        journal.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:])
    elif damage == "cut":
        journal.write_bytes(content[:-1])
    elif damage == "missing":
        journal.unlink()
    elif damage == "no list":
        listed.unlink()
    elif damage == "bad list":
        listed.write_text(listed.read_text().replace('"format": 1', '"format": 2'))
    else:
        listed.write_text(listed.read_text().replace("data/state.bin", "data/../../x"))
    words = {
        "flip": "is not what was saved", "cut": "is not what was saved", "missing": "missing; take an older backup",
        "no list": "is no whole backup", "bad list": "made by a newer version, or damaged", "outside": "lies outside",
    }  # fmt: skip
    here = {path: path.stat().st_mtime_ns for path in box.parent.rglob("*")}
    with pytest.raises(BackupError, match=words[damage]):
        restore(made, box, {}, replace=True)
    assert {path: path.stat().st_mtime_ns for path in box.parent.rglob("*")} == here


def test_a_database_that_was_damaged_already_is_told_when_it_is_saved(box: Path, tmp_path: Path) -> None:
    store = box.parent / "elsewhere" / "store.db"
    with closing(sqlite3.connect(store)) as writer:
        writer.execute("PRAGMA journal_mode = DELETE")
    content = bytearray(store.read_bytes())
    content[4096 * 2 + 8 :] = b"\xff" * (len(content) - 4096 * 2 - 8)
    store.write_bytes(content)
    with pytest.raises(BackupError, match=r"damaged when it was saved|cannot be copied"):
        back_up(load_settings(box, {}), box, tmp_path / "usb")
    assert whole_backups(tmp_path / "usb") == []


def test_a_backup_that_cannot_be_made_leaves_nothing_that_looks_whole(
    box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, usb = load_settings(box, {}), tmp_path / "usb"
    with pytest.raises(BackupError, match="lies in the folder that is backed up"):
        back_up(settings, box, settings.gateway.data_dir / "backups")
    with pytest.raises(BackupError, match="no such file or folder; correct --include"):
        back_up(settings, box, usb, includes=[tmp_path / "absent"])
    monkeypatch.setattr("gateway.backup.shutil.disk_usage", lambda _path: SimpleNamespace(free=0))
    with pytest.raises(BackupError, match="0 MB free, 64 MB needed"):
        back_up(settings, box, usb)
    monkeypatch.undo()
    (usb / ".village-20260101T000000Z.partial").mkdir(parents=True)
    made = back_up(settings, box, usb)
    assert sorted(path.name for path in usb.iterdir()) == [".lock", made.name]
    (settings.gateway.data_dir / "journal.db").unlink()
    with pytest.raises(BackupError, match="holds no journal"):
        back_up(settings, box, usb)


def test_a_backup_for_which_there_is_no_room_after_all_gives_back_what_it_took(box: Path, tmp_path: Path) -> None:
    """It may stand on the gateway's own disk."""

    def full(what: str, _done: int, _of: int) -> None:
        if what == "data/journal.db":
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(BackupError, match="No space left on device; no backup was made"):
        back_up(load_settings(box, {}), box, tmp_path / "usb", progress=full)
    assert [path.name for path in (tmp_path / "usb").iterdir()] == [".lock"]


def test_two_backups_into_one_folder_do_not_meet(box: Path, tmp_path: Path) -> None:
    settings = load_settings(box, {})
    seen: list[str] = []

    def meanwhile(_what: str, _done: int, _of: int) -> None:
        if not seen:
            seen.append("asked")
            with pytest.raises(BackupError, match="another backup is being made there"):
                back_up(settings, box, tmp_path / "usb")

    back_up(settings, box, tmp_path / "usb", progress=meanwhile, now=lambda: 0.0)
    back_up(settings, box, tmp_path / "usb", now=lambda: 0.0)
    names = [path.name for path in whole_backups(tmp_path / "usb")]
    assert seen == ["asked"]
    assert names == ["village-19700101T000000Z", "village-19700101T000000Z-2"]


def test_a_store_that_was_made_while_the_journal_was_copied_is_in_the_backup(box: Path, tmp_path: Path) -> None:
    """A young store has nothing but its write-ahead log; what the journal counts as delivered may be in it already."""
    settings = load_settings(box, {})
    path = settings.gateway.data_dir / "young.db"
    store = Embedded(name="young", path=path)

    def meanwhile(what: str, _done: int, _of: int) -> None:
        if what == "data/journal.db" and not path.exists():
            store.write(b"streetlight,commune=10642,device=lamp-1 power=7 1795132801000000000\n")

    made = back_up(settings, box, tmp_path / "usb", progress=meanwhile)
    store.close()
    assert {entry.name: entry.kind for entry in verify(made).files}["data/young.db"] == "database"
    assert stored_times(made / "data/young.db") == {1795132801 * 10**9}


def test_only_the_newest_are_kept(box: Path, tmp_path: Path) -> None:
    settings, usb = load_settings(box, {}), tmp_path / "usb"
    for second in range(4):
        back_up(settings, box, usb, now=lambda at=second: float(at))  # type: ignore[misc]
    (usb / "village-holiday-photos").mkdir()
    assert [path.name for path in prune(usb, 3)] == ["village-19700101T000000Z"]
    assert prune(usb, 0) == whole_backups(usb)[:0] or len(whole_backups(usb)) == 1
    assert (usb / "village-holiday-photos").is_dir()


# to another machine -------------------------------------------------------------------------------------------------


class LinkError(OSError):
    """The link to the other machine broke."""


def test_a_copy_goes_on_where_the_link_broke(box: Path, tmp_path: Path) -> None:
    big = load_settings(box, {}).gateway.data_dir / "alerts" / "big.bin"
    big.write_bytes(os.urandom(5_500_000))
    made = back_up(load_settings(box, {}), box, tmp_path / "usb")
    far = tmp_path / "far"
    blocks: list[int] = []

    def break_after_two_blocks(what: str, done: int, _of: int) -> None:
        if what == "data/alerts/big.bin":
            blocks.append(done)
            if len(blocks) == 2:
                raise LinkError(5, "link lost")

    with pytest.raises(BackupError, match="link lost; the same command goes on from here"):
        copy(made, far, progress=break_after_two_blocks)
    with (far / f".{made.name}.partial" / "data/alerts/big.bin").open("ab") as file:
        file.write(b"half a block that arrived")
    copied, earlier = copy(made, far)
    others = sum(
        entry.size for entry in read_manifest(made).files if entry.name in {"data/state.bin", "data/journal.db"}
    )
    assert earlier == 2 * BLOCK + others
    assert verify(copied) == read_manifest(made)
    assert copy(made, far) == (copied, sum(entry.size for entry in read_manifest(made).files))


def test_a_copy_that_differs_is_begun_anew(box: Path, tmp_path: Path) -> None:
    made = back_up(load_settings(box, {}), box, tmp_path / "usb")
    partial = tmp_path / "far" / f".{made.name}.partial"
    (partial / "data").mkdir(parents=True)
    size = (made / "data/journal.db").stat().st_size
    (partial / "data/journal.db").write_bytes(b"x" * size)
    with pytest.raises(BackupError, match="is not what was saved"):
        copy(made, tmp_path / "far")
    assert verify(copy(made, tmp_path / "far")[0]) == read_manifest(made)


# the commands -------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[int, str]:
    """Exit status and output of a command."""
    app = typer.Typer()
    service_commands.register(app)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_backup_copy_verify_and_restore_as_a_technician_types_them(box: Path, tmp_path: Path) -> None:
    usb, far = str(tmp_path / "usb"), str(tmp_path / "far")
    status, text = run("backup", "--to", usb, "--copy-to", far, "--keep", "2", "--config", str(box))
    assert status == 0, text
    assert "checked" in text
    assert run("backup", "verify", far)[1].splitlines()[-1] == "0 uplinks, 0 lines; the sums hold"
    assert run("backup", "copy", usb, "--to", far)[0] == 0
    shutil.rmtree(box.parent)
    status, text = run("restore", far, "--config", str(box))
    assert status == 0, text
    assert text.endswith("0 uplinks, 0 lines; the sums hold\n")
    status, text = run("restore", far, "--config", str(box))
    assert (status, "exists; --replace" in text) == (1, True)
    assert run("backup", "--to", usb, "--config", str(tmp_path / "none.toml"))[0] == 2
