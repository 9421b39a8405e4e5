"""Hot state: saved, restored for the same or a changed fleet, and mended from the journal after a crash."""

import errno
import os
import random
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from devices.registry import Registry
from gateway.line.journal import Journal
from gateway.line.normalize import watched
from gateway.line.pipeline import Limits, Pipeline
from gateway.line.recovery import recover
from gateway.line.snapshot import Saver
from gateway.line.state import _DEVICE, _SERIES, _WATCHED, RING, UNSURE, State
from gateway.model import Batch, Uplink
from tests.line_parts import (
    MINUTE,
    NOW,
    ROWS,
    SECOND,
    lines_of,
    make_pipeline,
    make_registry,
    open_journal,
    profile_of,
    up,
)

STATUS = "village/10642/lamp-1/status"


def columns_of(state: State) -> dict[str, list[float]]:
    """Everything a snapshot holds."""
    named = {name: list(getattr(state, name)) for name, _ in (*_SERIES, *_WATCHED, *_DEVICE)}
    return named | {f"ring-{number}": list(column) for number, column in enumerate(state.ring)}


def lived(registry: Registry) -> State:
    """A state with some history."""
    line = make_pipeline(registry)
    for number in range(5):
        lines_of(line, *(up({"seq": number, "power": 10 * number + n}, f"lamp-{n}", at=NOW + number) for n in (1, 2)))
    lines_of(line, up({"observed_at": "2026-08-01T04:05:00Z", "ph": 7.5, "turbidity": 3}, "water-1"))
    lines_of(line, up(b"offline", topic=STATUS, at=NOW + 9))
    return line.state


def saved(state: State, folder: Path, through: int = 7) -> Path:
    """A snapshot on disk."""
    path = folder / "state.bin"
    assert Saver(path).save(state.snapshot(through), wait=True)
    return path


def test_restored_state_is_the_saved_one(tmp_path: Path) -> None:
    """Column for column, and the row it was taken at."""
    state = lived(make_registry())
    fresh = State(make_registry())
    assert fresh.restore(saved(state, tmp_path)) == 7
    assert columns_of(fresh) == columns_of(state)
    assert [state.online(0), fresh.online(0), fresh.online(1)] == [False, False, None]
    assert fresh.changed_since(0) == (1, [0, 1, 2])


@pytest.mark.parametrize("way", ["restore", "carry"])
@pytest.mark.parametrize(
    "names",
    [
        ["lamp-2", "water-1", "lamp-1", "air-1", "toy-1"],
        ["new-1", "lamp-1", "lamp-2", "water-1"],
        ["water-1"],
        ["lamp-1", "lamp-2", "water-1", "air-1", "toy-1", "new-2"],
        [],
    ],
)
def test_changed_fleet_keeps_what_is_known_of_its_devices(tmp_path: Path, names: Sequence[str], way: str) -> None:
    """Reordered, added, removed: by name, never by place."""
    before = lived(make_registry())
    rows = {row["device"]: row for row in ROWS}
    changed = make_registry([rows.get(name, {**ROWS[0], "device": name}) for name in names])
    if way == "carry":
        after = before.carried_to(changed)
    else:
        after = State(changed)
        assert after.restore(saved(before, tmp_path)) == 7
    for device, name in enumerate(names):
        assert known_of(after, device) == (known_of(before, before.registry.index[name]) if name in rows else UNKNOWN)
    assert after.changed_since(0)[1] == [n for n, name in enumerate(names) if name in {"lamp-1", "lamp-2", "water-1"}]


def known_of(state: State, device: int) -> tuple[object, ...]:
    """Everything about one device that has a value."""
    first = state.registry.first_series[device]
    names = [entry.name for entry in state.registry.profile(device).properties]
    values = {name: state.latest(first + n) for n, name in enumerate(names) if state.latest(first + n)}
    watch = state.watch[device]
    rows = range(watch, watch + len(watched(state.registry.profile(device))))
    runs = [state.run[row] + state.before[row] for row in rows]
    ring = {column[device] for column in state.ring} - {0}
    return (values, sum(runs), state.seen[device], state.newest[device], state.status[device], ring)


UNKNOWN: tuple[object, ...] = ({}, 0, 0, 0, 0, set())


@pytest.mark.parametrize("way", ["restore", "carry"])
def test_mended_profile_does_not_mix_up_values(tmp_path: Path, way: str) -> None:
    """Properties are known by name, though the profile keeps its own; devices behind it too."""
    text = 'domain = "streetlight"\ncodec = "native"\ninterval_seconds = 60\nproperties = [{}]'
    rows = [{"device": name, "profile": "test", "commune": "10642"} for name in ("a", "b")] + [ROWS[0]]
    entry = '{{ name = "{}", unit = "{}" }}'
    parts = [entry.format(*pair) for pair in (("power", "W"), ("voltage", "V"), ("current", "A"), ("frequency", "Hz"))]
    old = make_registry(rows, [profile_of(text.format(", ".join(parts[:3])))])
    new = make_registry(rows, [profile_of(text.format(", ".join([parts[3], parts[1], parts[0]])))])
    line = make_pipeline(old)
    payload = {"power": 1, "voltage": 220, "current": 3}
    lines_of(line, up(payload, "a"), up(payload | {"power": 2}, "b"), up({"power": 3}, "lamp-1"))
    if way == "carry":
        after = line.state.carried_to(new)
    else:
        after = State(new)
        assert after.restore(saved(line.state, tmp_path)) == 7
    assert [after.latest(n) for n in range(6)] == [
        None, (220.0, NOW, 1), (1.0, NOW, 1), None, (220.0, NOW, 1), (2.0, NOW, 1)
    ]  # fmt: skip
    assert after.latest(6) == (3.0, NOW, 1)


def test_damaged_snapshot_is_as_none(tmp_path: Path) -> None:
    """Torn anywhere, a flipped byte anywhere, nonsense, or none: the state starts empty, and as usual."""
    registry = make_registry()
    path = saved(lived(registry), tmp_path)
    whole, drawn = path.read_bytes(), random.Random(5)
    damaged = [b"", b"VILLAGE1", b"nonsense " * 99, whole[:-1], whole + b"x"]
    damaged += [whole[: drawn.randrange(len(whole))] for _ in range(40)]
    for _ in range(40):
        place = drawn.randrange(len(whole))
        damaged.append(whole[:place] + bytes([whole[place] ^ (1 << drawn.randrange(8))]) + whole[place + 1 :])
    for data in damaged:
        path.write_bytes(data)
        state = State(registry)
        assert state.restore(path) == 0
        assert columns_of(state) == columns_of(State(registry))
    path.unlink()
    assert State(registry).restore(path) == 0


def test_snapshot_that_contradicts_itself_is_as_none(tmp_path: Path) -> None:
    """Well written, but by a program that meant something else."""
    registry = make_registry()
    parts = lived(registry).snapshot(7)
    names = b"lamp-1\nlamp-2"
    for wrong in (
        parts[:-1],
        [*parts[:3], b"12345678", *parts[4:]],
        [*parts[:2], b"\xff" * len(parts[2]), *parts[3:]],
        [b"[]", *parts[1:]],
        [parts[0], names, *parts[2:]],
    ):
        Saver(tmp_path / "state.bin").save(list(wrong), wait=True)
        state = State(registry)
        assert state.restore(tmp_path / "state.bin") == 0
        assert columns_of(state) == columns_of(State(registry))


def test_empty_fleet_has_a_snapshot_too(tmp_path: Path) -> None:
    """Before the first device is entered."""
    nothing = make_registry([])
    path = saved(State(nothing), tmp_path)
    assert [State(nothing).restore(path), State(make_registry()).restore(path)] == [7, 7]


def test_saver_writes_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves the snapshot that was there, and nothing half-written beside it."""
    path = saved(State(make_registry()), tmp_path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    Saver(path).save([b"new"], wait=True)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == {path: before}


def test_saver_does_one_thing_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot that is due while the last one is being written is left out."""
    writing, fsync = threading.Event(), os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (writing.wait(), fsync(number)))
    saver = Saver(tmp_path / "state.bin")
    began = [saver.save([b"first"]), saver.save([b"second"])]
    writing.set()
    assert [*began, saver.save([b"third"], wait=True)] == [True, False, True]
    assert (tmp_path / "state.bin").read_bytes().endswith(b"third")


def test_changes_are_told_since_a_token() -> None:
    """0 for everything that ever spoke; the new token for what comes next."""
    line = make_pipeline()
    assert line.state.changed_since(0) == (1, [])
    lines_of(line, up({"power": 1}, "lamp-2"))
    token, devices = line.state.changed_since(0)
    assert devices == [1]
    assert line.state.changed_since(token) == (token, [])
    lines_of(line, up({"ph": 7}, "water-1"), up(b"not json", "lamp-1"))
    assert line.state.changed_since(token) == (token + 1, [0, 2])


def test_counting_batches_does_not_overflow() -> None:
    """Years of batches."""
    line = make_pipeline()
    line.state.version = 2**40
    lines_of(line, up({"power": 1}))
    assert line.state.changed_since(2**40)[1] == [0]


# after a crash -----------------------------------------------------------------------------------------------


def make_line(journal: Journal, folder: Path, rows: Sequence[Mapping[str, object]] = ROWS) -> Pipeline:
    """A pipeline on this journal, its state mended as at a start."""
    registry = make_registry(rows)
    line = Pipeline(registry, State(registry), journal.senders, Limits())
    recover(line, journal, folder / "state.bin")
    return line


def some_uplinks(drawn: random.Random, clock: int) -> list[Uplink]:
    """A batch like life: late, repeated, flat, jumping, statuses, redelivered, refused, impossible times."""
    found = []
    for number in range(drawn.randint(1, 6)):
        received_at = clock + number * SECOND
        minute, device = drawn.randint(0, 70), drawn.choice(["lamp-1", "lamp-2", "water-1", "air-1"])
        commune = "10645" if device == "air-1" else "10642"
        name = {"water-1": "dissolved_oxygen", "air-1": "pm10"}.get(device, "power")
        payload: dict[str, object] = {name: drawn.choice([5, 5, 5, 8, 12, 900]), "rssi": -80}
        kind = drawn.random()
        if kind < 0.6:
            payload["observed_at"] = f"2026-08-01T0{3 + minute // 60}:{minute % 60:02d}:00Z"
        elif kind < 0.65:
            payload["observed_at"] = drawn.choice(["2099-01-01T00:00:00Z", "1970-01-01T00:00:09Z"])
        elif kind < 0.8:
            payload["seq"] = drawn.randint(0, 9)
        elif kind < 0.85:
            payload["colour"] = 1
        packet = drawn.randint(0, 40)
        uplink = up(payload, device, at=received_at, commune=commune, message_id=packet, qos=min(packet, 1))
        if kind > 0.95:
            uplink = uplink._replace(
                topic=f"village/{commune}/{device}/status", payload=drawn.choice([b"online", b"offline"])
            )
        found.append(uplink)
        if drawn.random() < 0.1:
            found.append(uplink._replace(duplicate=packet > 0, received_at=received_at + 1))
    return found


@pytest.mark.parametrize("seed", range(12))
def test_recovered_state_is_as_if_nothing_had_happened(tmp_path: Path, seed: int) -> None:
    """With a snapshot or without: every column is equal, and what comes next is judged the same."""
    drawn = random.Random(seed)
    journal = open_journal(tmp_path)
    line = make_line(journal, tmp_path)
    clock = NOW
    for _ in range(drawn.randint(5, 40)):
        clock += MINUTE
        batch, _ = line.process(some_uplinks(drawn, clock))
        row = journal.append(batch)
        if drawn.random() < 0.05:
            saved(line.state, tmp_path, row)
    again = make_line(journal, tmp_path)
    assert columns_of(again.state) == columns_of(line.state)
    for _ in range(10):
        clock += MINUTE
        uplinks = some_uplinks(drawn, clock)
        assert again.process(uplinks)[0] == line.process(uplinks)[0]
    journal.close()


def test_recovery_with_a_changed_fleet_takes_what_fits(tmp_path: Path) -> None:
    """Rows of a device that is gone mean nothing, and do no harm."""
    journal = open_journal(tmp_path)
    line = make_line(journal, tmp_path)
    batch, _ = line.process([up({"seq": 1, "power": 5}), up({"seq": 1, "ph": 7}, "water-1")])
    journal.append(batch)
    again = make_line(journal, tmp_path, [ROWS[2]])
    assert [again.state.latest(n) for n in range(2)] == [None, (7.0, NOW, 1)]
    assert [entry.outcome for entry in again.process([up({"seq": 1, "ph": 7}, "water-1")])[0].heard] == ["repeated"]
    journal.close()


def test_snapshot_of_a_journal_that_is_gone(tmp_path: Path) -> None:
    """Its row number means nothing in the new journal: everything there came later."""
    (tmp_path / "old").mkdir()
    journal = open_journal(tmp_path / "old")
    saved(make_line(journal, tmp_path).state, tmp_path, through=5000)
    journal.close()
    fresh = open_journal(tmp_path)
    batch, _ = make_line(fresh, tmp_path).process([up({"seq": 1, "power": 5})])
    fresh.append(batch)
    assert make_line(fresh, tmp_path).state.latest(0) == (5.0, NOW, 1)
    fresh.close()


def test_ring_remembers_as_many_after_a_crash(tmp_path: Path) -> None:
    """The last 64, whatever the order of crash and snapshot."""
    journal = open_journal(tmp_path)
    line = make_line(journal, tmp_path)
    for number in range(RING + 10):
        batch: Batch = line.process([up({"seq": number, "power": 1})])[0]
        row = journal.append(batch)
        if number == 30:
            saved(line.state, tmp_path, row)
    again = make_line(journal, tmp_path)
    outcomes = [again.process([up({"seq": n, "power": 1})])[0].heard[0].outcome.value for n in (73, 10, 9)]
    assert outcomes == ["repeated", "repeated", "kept"]
    assert again.state.newest[0] == 0 < UNSURE
    journal.close()
