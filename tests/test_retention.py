"""What the embedded store keeps: days by kind, and never more than its room."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.northbound.embedded import Embedded
from gateway.northbound.retention import DAY, Pruner, Retention, used_bytes
from gateway.settings_neighbours import StorePlace
from tests.gateway_process import await_that

NOW = 1_800_000_000_000_000_000
FOREVER = 1 << 40


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Embedded]:
    """Readings, hours and days of 100 days, one each a day."""
    with closing(Embedded(name="commune", path=tmp_path / "store.db")) as made:
        kinds = ("streetlight", "streetlight_hour", "streetlight_group_day", "alert")
        made.write(
            "".join(
                f"{kind},commune=1,device=a x=1 {NOW - age * DAY}\n" for kind in kinds for age in range(100)
            ).encode()
        )
        yield made


def kept(store: Embedded) -> dict[str, int]:
    """Lines by measurement."""
    kinds = ("streetlight", "streetlight_hour", "streetlight_group_day", "alert")
    return {kind: len(store.lines(kind, "1", "a", 0, NOW + 1, 1000)) for kind in kinds}


def test_each_kind_is_kept_for_its_own_days(store: Embedded) -> None:
    """Daily sums stay for ever."""
    retention = Retention(reading_days=10, hour_days=50, max_bytes=FOREVER)
    assert retention.tend(store, NOW) == 2 * 89 + 49
    assert kept(store) == {"streetlight": 11, "alert": 11, "streetlight_hour": 51, "streetlight_group_day": 100}
    assert retention.tend(store, NOW) == 0


def test_0_days_keep_for_ever(store: Embedded) -> None:
    """As long as there is room."""
    assert Retention(reading_days=0, hour_days=0, max_bytes=FOREVER).tend(store, NOW) == 0


def test_beyond_the_room_the_oldest_readings_go_first_and_the_newest_stay(tmp_path: Path) -> None:
    """A year of five-minute values of one lamp in less room than they need."""
    with closing(Embedded(name="commune", path=tmp_path / "store.db")) as store:
        step = 300_000_000_000
        body = "".join(f"streetlight,commune=1,device=a x=1.5 {NOW - n * step}\n" for n in range(365 * 288))
        store.write(body.encode() + f"streetlight_hour,commune=1,device=a x=1 {NOW - 364 * DAY}\n".encode())
        whole = used_bytes(store)
        room = whole // 4
        assert Retention(reading_days=0, hour_days=0, max_bytes=room).tend(store, NOW) > 365 * 144
        assert used_bytes(store) <= room
        assert len(store.lines("streetlight_hour", "1", "a", 0, NOW + 1, 10)) == 1
        left = store.lines("streetlight", "1", "a", 0, NOW + 1, 200_000)
        assert left[-1].time == NOW
        assert whole / 5 < room * 365 * 288 / len(left) < whole * 1.25
        # Nothing is small enough: the newest days stay all the same.
        Retention(reading_days=0, hour_days=0, max_bytes=1).tend(store, NOW)
        assert len(store.lines("streetlight", "1", "a", 0, NOW + 1, 200_000)) == 2 * 288 + 1


def test_the_thread_tends_what_there_is_and_ends(store: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the middle of its wait; without a store it never begins."""
    monkeypatch.setattr("gateway.northbound.retention.FIRST_SECONDS", 0.001)
    pruner = Pruner([(store, Retention(reading_days=10, hour_days=0, max_bytes=FOREVER))], lambda: NOW)
    pruner.start()
    await_that("old lines are gone", lambda: kept(store)["alert"] == 11)
    pruner.stop()
    Pruner([]).stop()


def test_wrong_days_are_refused_and_influxdb_has_none() -> None:
    """One day would be gone before its roll-ups are made."""
    with pytest.raises(ValueError, match="at least 2"):
        StorePlace(reading_days=1)
    with pytest.raises(ValueError, match="retention of its own"):
        StorePlace(kind="influxdb1", url="http://127.0.0.1:1", reading_days=30)
