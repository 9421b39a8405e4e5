"""What the gateway writes of its devices and of itself, through a real line to real stores."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.alert_rules import AlertState
from devices.observation import Reason
from devices.storage import Condition, GatewayState, Table
from gateway import self_report
from gateway.analytics import device_states
from gateway.line.replay import Wanted
from gateway.model import StoredLine, Uplink
from gateway.settings import Api, Gateway, Settings
from gateway.settings_neighbours import StorePlace
from tests import servers
from tests.driven_gateway import DrivenGateway
from tests.gateway_process import await_that

SECOND = 1_000_000_000
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
NOON = 1_767_243_600 * SECOND
"""2026-01-01T12:00:00 in Viet Nam."""
FLEET = """device,profile,commune,group,latitude,longitude
lamp-1,native_streetlight,10642,cabinet-1,20.9,106.3
lamp-2,native_streetlight,10642,cabinet-1,,
water-1,native_water_station,10645,,20.8,106.2
"""


def settings(folder: Path, store: StorePlace | None = None) -> Settings:
    """A gateway whose store is the embedded one, unless another is named."""
    (folder / "fleet.csv").write_text(FLEET, "utf-8")
    gateway = Gateway(data_dir=folder, fleet=folder / "fleet.csv")
    return Settings(gateway=gateway, store=(store or StorePlace(name="here"),), api=Api())


class Here(DrivenGateway):
    """What the store has of it, and what its devices say."""

    def lines(self, table: str, commune: str, device: str) -> list[StoredLine]:
        """Every line, oldest first."""
        self.settle()
        store = next(iter(self.app.stores.values()))
        return store.lines(table, commune, device, NOON - 100 * HOUR, NOON + 1000 * HOUR, 10_000)

    def states(self, device: str, commune: str = "10642") -> list[tuple[float, int]]:
        """Minutes since noon, and the state."""
        lines = self.lines(Table.DEVICE, commune, device)
        return [((line.time - NOON) / MINUTE, int(line.fields["state"])) for line in lines if "state" in line.fields]

    def says(self, device: str, commune: str = "10642", **values: float) -> None:
        """One uplink, now."""
        self.take([Uplink(f"village/{commune}/{device}/up", json.dumps(values).encode(), self.now)])


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    """A gateway that is started at noon."""
    with Here(settings(tmp_path), NOON) as gateway:
        yield gateway


# devices -----------------------------------------------------------------------------------------------------


def test_every_device_has_its_state_and_position_at_once_and_then_every_hour(here: Here) -> None:
    """Also one that never spoke; a place that the fleet does not know is left out."""
    for _ in range(3 * 60 + 1):
        here.look()
        here.now += MINUTE
    for device in ("lamp-1", "lamp-2"):
        states = here.states(device)
        assert [state for _, state in states] == [Condition.NEVER] * len(states)
        gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(states)]
        assert states[0][0] == 0
        assert len(states) == 4
        assert max(gaps) <= 61
    assert here.lines(Table.DEVICE, "10642", "lamp-1")[0].fields == {"latitude": 20.9, "longitude": 106.3, "state": 2.0}
    assert here.lines(Table.DEVICE, "10642", "lamp-2")[0].fields == {"state": 2.0}


def test_a_change_is_written_with_the_next_look(here: Here) -> None:
    """Heard, then doubtful, then fine; and what did not change is not written."""
    here.look()
    for minute, power in ((1, 60.0), (2, 9000.0), (3, 61.0), (4, 62.0)):
        here.now = NOON + minute * MINUTE
        here.says("lamp-1", power=power)
        here.look()
    assert here.states("lamp-1") == [(0, Condition.NEVER), (1, Condition.OK), (2, Condition.SUSPECT), (3, Condition.OK)]
    assert here.states("lamp-2") == [(0, Condition.NEVER)]


def test_offline_and_alerts_are_conditions(here: Here) -> None:
    """A last will says offline; water without oxygen is a warning once the alert fires, and no more when it is over."""
    here.look()
    here.take([Uplink("village/10642/lamp-2/status", b"offline", here.now)])
    for minute in range(0, 180, 10):
        here.now = NOON + minute * MINUTE
        here.says("water-1", "10645", dissolved_oxygen=1.0 if minute < 100 else 5.0)
        here.look()
    assert here.states("lamp-2")[-1][1] == Condition.OFFLINE
    states = here.states("water-1", "10645")
    assert [state for state, _ in itertools.groupby(state for _, state in states)] == [
        Condition.NEVER,
        Condition.OK,
        Condition.WARNING,
        Condition.OK,
    ]
    assert min(minute for minute, state in states if state == Condition.WARNING) == 60


def test_what_fires_is_told_at_each_change_and_every_hour(here: Here) -> None:
    """And no more once it is over."""
    for minute in range(0, 400, 10):
        here.now = NOON + minute * MINUTE
        here.says("water-1", "10645", dissolved_oxygen=1.0 if minute < 200 else 5.0)
        here.look()
    seen = here.lines(Table.ALERT_STANDING, "10645", "water-1")
    told = [((line.time - NOON) / MINUTE, line.fields["oxygen_low"]) for line in seen if "oxygen_low" in line.fields]
    pending, firing, resolved = (state.number for state in (AlertState.PENDING, AlertState.FIRING, AlertState.RESOLVED))
    assert told == [(0, pending), (60, firing), (120, firing), (180, firing), (200, resolved)]


def test_a_province_is_written_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bounded number a look, each device once, then spread over the hour."""
    monkeypatch.setattr(device_states, "MOST_AT_ONCE", 40)
    rows = "".join(f"lamp-{number},native_streetlight,10642,\n" for number in range(100))
    with Here(settings(tmp_path), NOON) as gateway:
        (tmp_path / "fleet.csv").write_text(f"device,profile,commune,group\n{rows}", "utf-8")
        gateway.app.reload()
        written = []
        for _ in range(75):
            gateway.look()
            written.append(gateway.committed(b"device,"))
            gateway.now += MINUTE
    first = [later - earlier for earlier, later in itertools.pairwise([0, *written])]
    assert (first[:2], max(first)) == ([40, 40], 40)
    assert max(first[4:]) <= 2
    assert sum(first[4:64]) == 100


def test_a_restart_writes_no_device_again(tmp_path: Path) -> None:
    """What was written is known; a device that moved on meanwhile is written once."""
    with Here(settings(tmp_path), NOON) as gateway:
        gateway.look()
    with Here(settings(tmp_path), NOON + 10 * MINUTE) as gateway:
        gateway.look()
        gateway.says("lamp-1", power=50.0)
        gateway.now += MINUTE
        gateway.look()
        assert gateway.states("lamp-2") == [(0, Condition.NEVER)]
        assert gateway.states("lamp-1") == [(0, Condition.NEVER), (11, Condition.OK)]


def test_a_clock_that_was_ahead_does_not_silence_the_states(here: Here) -> None:
    """Set back by a year, lines go on at once."""
    here.now = NOON + 900 * HOUR
    here.look()
    here.now = NOON
    here.look()
    assert here.states("lamp-1")[0] == (0, Condition.NEVER)


# the gateway -------------------------------------------------------------------------------------------------


def gateway_lines(here: Here) -> list[StoredLine]:
    """What it says of itself."""
    return here.lines(Table.GATEWAY, "gateway", "-")


def test_ledger_and_parts_every_minute(here: Here) -> None:
    """As the API tells them; refusals by reason; no second line in the same minute."""
    here.says("lamp-1", power=60.0)
    here.take([Uplink("village/10642/lamp-1/up", b"{", here.now), Uplink("village/10642/who/up", b"{}", here.now)])
    for second in range(0, 121, 20):
        here.now = NOON + second * SECOND
        here.look()
    seen = gateway_lines(here)
    assert [(line.time - NOON) / MINUTE for line in seen] == [0, 1, 2]
    fields = seen[0].fields
    assert set(fields) == {*GatewayState._fields, *(f"refused_{reason}" for reason in Reason)}
    assert {name: fields[name] for name in ("received", "kept", "refused", "repeated", "holds", "lost_at_broker")} == {
        "received": 3, "kept": 1, "refused": 2, "repeated": 0, "holds": 1, "lost_at_broker": 0,
    }  # fmt: skip
    assert (fields["refused_malformed"], fields["refused_unknown_device"], fields["refused_unit"]) == (1, 1, 0)
    assert (fields["devices"], fields["devices_heard"], fields["journal"]) == (3, 1, 0)
    assert fields["journal_max_bytes"] == 2048 << 20
    store = here.lines(Table.GATEWAY_STORE, "gateway", "here")
    assert [(line.time - NOON) / MINUTE for line in store] == [0, 1, 2]
    sums = store[-1].fields
    assert sums["waiting"] + sums["stored"] == seen[-1].fields["lines_kept"] > 3
    assert (sums["rejected"], sums["state"]) == (0, 0)


def test_counts_by_reason_go_on_after_a_restart(tmp_path: Path) -> None:
    """And a replay, which takes an uplink over, does not make them fall."""
    for start in (NOON, NOON + HOUR):
        with Here(settings(tmp_path), start) as gateway:
            gateway.take([Uplink("village/10642/lamp-1/up", b"{", gateway.now)])
            gateway.look()
            last = gateway_lines(gateway)[-1].fields
    assert (last["refused_malformed"], last["refused"]) == (2, 2)


# the ledger's hours ------------------------------------------------------------------------------------------


def ledger(here: Here, device: str, commune: str = "10642") -> list[tuple[float, float, float, float]]:
    """Hours since noon: received, kept, refused."""
    return [
        ((line.time - NOON) / HOUR, line.fields["received"], line.fields["kept"], line.fields["refused"])
        for line in here.lines(Table.LEDGER_HOUR, commune, device)
    ]


def pass_minutes(here: Here, count: int) -> None:
    """Time goes by, the journal folds once a minute."""
    for _ in range(count):
        here.now += MINUTE
        here.fold()
        here.look()


def test_every_senders_hour_is_written_once_it_is_over(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page; unknown senders belong to no commune."""
    monkeypatch.setattr(self_report, "ROWS_AT_ONCE", 2)
    here.says("lamp-1", power=60.0)
    here.says("lamp-2", power=61.0)
    here.says("water-1", "10645", ph=7.0)
    here.take([Uplink("village/10642/lamp-1/up", b"{", here.now), Uplink("village/10642/who/up", b"{}", here.now)])
    pass_minutes(here, 62)
    assert ledger(here, "lamp-1") == []
    pass_minutes(here, 10)
    assert ledger(here, "lamp-1") == [(0, 2, 1, 1)]
    assert ledger(here, "lamp-2") == [(0, 1, 1, 0)]
    assert ledger(here, "water-1", "10645") == [(0, 1, 1, 0)]
    assert ledger(here, "?village", "gateway") == [(0, 1, 0, 1)]


def test_hours_of_an_absence_are_caught_up_with(tmp_path: Path) -> None:
    """Those that were heard before it and not yet written; nothing is written twice, and not the whole past."""
    with Here(settings(tmp_path), NOON) as gateway:
        gateway.says("lamp-1", power=60.0)
        pass_minutes(gateway, 70)
        gateway.says("lamp-1", power=61.0)
    kept = []
    for start in (NOON + 30 * HOUR, NOON + 31 * HOUR):
        with Here(settings(tmp_path), start) as gateway:
            pass_minutes(gateway, 40)
            assert ledger(gateway, "lamp-1") == [(0, 1, 1, 0), (1, 1, 1, 0)]
            kept.append(gateway.committed(b"ledger_hour,"))
    assert kept == [1, 0]


def test_what_a_replay_takes_over_moves_in_its_hour(tmp_path: Path) -> None:
    """Also when that hour was written long ago: the same line is written again."""
    with Here(settings(tmp_path), NOON) as gateway:
        gateway.take([Uplink("village/10642/late-1/up", b'{"power": 5.0}', gateway.now)])
        pass_minutes(gateway, 70)
        assert ledger(gateway, "?village", "gateway") == [(0, 1, 0, 1)]
        with (tmp_path / "fleet.csv").open("a") as fleet:
            fleet.write("late-1,native_streetlight,10642,,,\n")
        gateway.app.reload()
        gateway.look()
        assert gateway.app.replayer.step(Wanted()).kept == 1
        pass_minutes(gateway, 3)
        assert ledger(gateway, "late-1") == [(0, 1, 1, 0)]
        assert ledger(gateway, "?village", "gateway") == [(0, 0, 0, 0)]


# a store that is away ----------------------------------------------------------------------------------------


def test_lines_wait_for_a_store_that_is_away(tmp_path: Path) -> None:
    """A real InfluxDB that is stopped for a while has every minute afterwards."""
    with servers.influxdb1() as server:
        place = StorePlace(name="commune", kind="influxdb1", url=server.url, database="self", rollup_database="self_up")
        with Here(settings(tmp_path, place), NOON) as gateway:
            gateway.look()
            gateway.settle()
            server.stop()
            pass_minutes(gateway, 3)
            await_that("it waits", lambda: gateway.app.records.lines().stores[0].waiting >= 3)
            server.start()
            assert [(line.time - NOON) / MINUTE for line in gateway_lines(gateway)] == [0, 1, 2, 3]
            assert gateway.states("lamp-1") == [(0, Condition.NEVER)]
