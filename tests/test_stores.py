"""The stores on real servers: InfluxDB 1.6.7 and the embedded one, asked the same."""

import itertools
import json
import random
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from devices.vocabulary import Measurement
from gateway.model import (
    BodyTooLargeError,
    LinesRefusedError,
    Point,
    Store,
    StoredLine,
    StoreMisconfiguredError,
    StoreUnavailableError,
    Window,
)
from gateway.northbound import routing
from gateway.northbound.embedded import Embedded
from gateway.northbound.influxdb1 import InfluxDB1
from tests import servers
from tests.servers import ScriptedServer, Server
from tests.store_parts import ALL, LIGHT, MINUTE, T0, influxdb1, line


@pytest.fixture(params=["influxdb1", "embedded"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Every store that answers questions."""
    made: Store
    if request.param == "embedded":
        made = Embedded(name="commune", path=tmp_path / "store.db")
    else:
        made = influxdb1(request.getfixturevalue("influxdb1_server"))
    with closing(made):
        yield made


def test_stored_values_come_back_oldest_first(store: Store) -> None:
    store.write(line(61.25, T0 + 2) + line(59.5, T0) + line(1e-05, T0 + 3) + line(7.0, T0 + 1, device="lamp-18"))
    seen = store.series(LIGHT, "04234", "lamp-17", "power", ALL)
    assert seen == [Point(T0, 59.5, 59.5, 59.5), Point(T0 + 2, 61.25, 61.25, 61.25), Point(T0 + 3, 1e-05, 1e-05, 1e-05)]


def test_writing_twice_is_writing_once_and_the_later_value_stands(store: Store) -> None:
    store.write(line(59.5, T0) + line(60.5, T0 + 1))
    store.write(line(59.5, T0) + line(61.5, T0 + 1))
    assert [p.mean for p in store.series(LIGHT, "04234", "lamp-17", "power", ALL)] == [59.5, 61.5]


def test_another_field_at_the_same_time_joins_the_point(store: Store) -> None:
    store.write(line(59.5, T0))
    store.write(line(231.0, T0, field="voltage"))
    assert [p.mean for p in store.series(LIGHT, "04234", "lamp-17", "power", ALL)] == [59.5]
    assert [p.mean for p in store.series(LIGHT, "04234", "lamp-17", "voltage", ALL)] == [231.0]
    assert [p.mean for p in store.series(LIGHT, "04234", "lamp-17", "quality", ALL)] == [1.0]


def test_buckets_hold_mean_least_and_greatest_of_what_lies_in_the_window(store: Store) -> None:
    start = T0 - T0 % MINUTE
    store.write(b"".join(line(float(value), start + value * 20_000_000_000) for value in range(10)))
    seen = store.series(LIGHT, "04234", "lamp-17", "power", Window(start + 1, start + 3 * MINUTE, MINUTE))
    # The point at the very start is outside, its bucket still begins there; minutes without a point are left out.
    assert seen == [Point(start, 1.5, 1, 2), Point(start + MINUTE, 4, 3, 5), Point(start + 2 * MINUTE, 7, 6, 8)]
    gap = store.series(LIGHT, "04234", "lamp-17", "power", Window(start - 5 * MINUTE, start + MINUTE, MINUTE))
    assert gap == [Point(start, 1.0, 0, 2)]


def test_whole_lines_come_back_by_device_or_commune(store: Store) -> None:
    """All their fields, oldest or newest first, so many of each device."""
    store.write(line(1.5, T0) + line(2.5, T0 + 5) + line(3.5, T0 + 9) + line(4.5, T0, "lamp-18"))
    flags = {"quality": 1.0, "clock": 0.0}
    place = ("streetlight", "04234")
    assert store.lines(*place, "lamp-17", T0, T0 + 9, 10) == [
        StoredLine("lamp-17", T0, {"power": 1.5, **flags}),
        StoredLine("lamp-17", T0 + 5, {"power": 2.5, **flags}),
    ]
    newest = store.lines(*place, None, T0, T0 + 10, 1, newest=True)
    assert sorted(newest, key=lambda found: found.device) == [
        StoredLine("lamp-17", T0 + 9, {"power": 3.5, **flags}),
        StoredLine("lamp-18", T0, {"power": 4.5, **flags}),
    ]
    assert store.lines("weather", "04234", None, T0, T0 + 10, 10) == []


def test_an_answer_is_bounded(store: Store) -> None:
    store.write(b"".join(line(float(value), T0 + value) for value in range(10)))
    seen = store.series(LIGHT, "04234", "lamp-17", "power", ALL._replace(limit=3))
    assert [p.mean for p in seen] == [0.0, 1.0, 2.0]
    assert store.series(LIGHT, "04234", "lamp-17", "power", ALL._replace(limit=0)) == []
    assert store.series(LIGHT, "04234", "lamp-17", "power", Window(T0 + 5, T0 + 5, 0)) == []
    assert [p.mean for p in store.series(LIGHT, "04234", "lamp-17", "power", Window(T0 + 2, T0 + 4, 0))] == [2.0, 3.0]


@pytest.mark.parametrize(
    ("measurement", "commune", "device", "field"),
    [
        ("weather", "04234", "lamp-17", "power"),
        ("streetlight", "04235", "lamp-17", "power"),
        ("streetlight", "04234", "lamp-1", "power"),
        ("streetlight", "04234", "lamp-17", "voltage"),
        ("streetlight", "04234", "lamp-17' OR 'a' = 'a", "power"),
        ("streetlight", "04234", "lamp-17", 'power" OR "quality'),
    ],
)
def test_what_was_never_stored_is_an_empty_answer(
    store: Store, measurement: Measurement, commune: str, device: str, field: str
) -> None:
    store.write(line(59.5, T0))
    assert store.series(measurement, commune, device, field, ALL) == []
    assert store.series(measurement, commune, device, field, ALL._replace(every=MINUTE)) == []


def test_escaped_names_are_found_by_their_plain_form(store: Store) -> None:
    store.write(b"streetlight,commune=04234,device=Ng\xc3\xb5\\ 4\\,\\ s\xe1\xbb\x91\\=1' power=3.5 %d\n" % T0)
    assert [p.mean for p in store.series(LIGHT, "04234", "Ngõ 4, số=1'", "power", ALL)] == [3.5]


@pytest.mark.parametrize(
    "bad",
    [
        b"streetlight,commune=04234,device=lamp-17 power= %d\n" % T0,
        b"streetlight,commune=04234,device=lamp-17 power=nan %d\n" % T0,
        b"streetlight,commune=04234,device=lamp-17 %d\n" % T0,
        b"streetlight,commune=04234,device= power=1 %d\n" % T0,
        b"streetlight,commune=04234,device=lamp-17 power=1 1790000000s\n",
        b"streetlight,commune=04234,device=lamp-17 power=1 99999999999999999999\n",
        b"streetlight,commune=04234,device=lamp-17 power=1 2 %d\n" % T0,
        b"rubbish\n",
        b'streetlight,commune=04234,device=lamp-17 power="on" %d\n' % (T0 + 1),
    ],
)
def test_a_bad_line_is_refused_and_taken_out_the_rest_goes_in(store: Store, bad: bytes) -> None:
    good = line(59.5, T0) + line(60.5, T0 + MINUTE)
    store.write(line(1.0, T0 - 1))
    with pytest.raises(LinesRefusedError):
        store.write(line(59.5, T0) + bad + line(60.5, T0 + MINUTE))
    store.write(good)
    assert [p.mean for p in store.series(LIGHT, "04234", "lamp-17", "power", ALL)] == [1.0, 59.5, 60.5]


def test_rollups_are_kept_apart_from_readings(store: Store) -> None:
    hourly = b"streetlight_hour,commune=04234,device=lamp-17 power=58.5 %d\n" % T0
    store.write(line(61.5, T0) + hourly + line(62.5, T0 + 1))
    assert [p.mean for p in store.series(LIGHT, "04234", "lamp-17", "power", ALL)] == [61.5, 62.5]
    assert isinstance(store, InfluxDB1 | Embedded)
    assert [p.mean for p in store.series("streetlight_hour", "04234", "lamp-17", "power", ALL)] == [58.5]


def test_rollup_lines_go_to_the_rollup_database(influxdb1_server: Server) -> None:
    with closing(influxdb1(influxdb1_server, database="apart", rollup_database="apart_rollup")) as store:
        store.write(line(61.5, T0) + b"streetlight_day,commune=04234,device=lamp-17 power=58.5 %d\n" % T0)
    assert b"streetlight_day" not in servers.influxql(influxdb1_server, "SHOW MEASUREMENTS", "apart")
    assert b"streetlight_day" in servers.influxql(influxdb1_server, "SHOW MEASUREMENTS", "apart_rollup")


def test_a_word_of_a_rollup_inside_a_line_moves_nothing() -> None:
    body = b"streetlight,commune=04234,device=lamp_hour,x_day=1 operating_hours=1 1\n"
    assert routing.split(body) == (body, b"")


def test_the_embedded_store_answers_as_influxdb_does(influxdb1_server: Server, tmp_path: Path) -> None:
    """The same lines into both, overwriting and merging at random; every question has the same answer."""
    chance = random.Random(7)
    with closing(influxdb1(influxdb1_server)) as real, closing(Embedded(name="e", path=tmp_path / "e.db")) as own:
        for _ in range(20):
            body = b"".join(
                line(
                    round(chance.uniform(-5, 5), 2), T0 + chance.randrange(400) * 7_000_000_000,
                    device=f"lamp-{chance.randrange(3)}", field=chance.choice(("power", "voltage")),
                )
                for _ in range(60)
            )  # fmt: skip
            real.write(body)
            own.write(body)
        for every, limit in itertools.product((0, 60_000_000_000, 7_000_000, 3600_000_000_000), (5, 10_000)):
            for device, field in itertools.product(("lamp-0", "lamp-2"), ("power", "voltage")):
                window = Window(T0 + 33_000_000_000, T0 + 2_000_000_000_000, every, limit)
                seen = own.series(LIGHT, "04234", device, field, window)
                expected = real.series(LIGHT, "04234", device, field, window)
                assert [p.time for p in seen] == [p.time for p in expected]
                assert [v for p in seen for v in p[1:]] == pytest.approx([v for p in expected for v in p[1:]])
                assert seen


# InfluxDB 1.x ------------------------------------------------------------------------------------------------


def test_the_servers_words_come_back_and_the_good_lines_are_stored(influxdb1_server: Server) -> None:
    with closing(influxdb1(influxdb1_server)) as store:
        store.write(line(1.0, T0))
        conflict = b'streetlight,commune=04234,device=lamp-17 power="on" %d\n' % (T0 + 1)
        with pytest.raises(LinesRefusedError, match=r'field type conflict: input field "power".* dropped=1'):
            store.write(line(2.0, T0 + 2) + conflict + line(3.0, T0 + 3))
        assert [p.mean for p in store.series(LIGHT, "04234", "lamp-17", "power", ALL)] == [1.0, 2.0, 3.0]


def test_the_server_says_how_many_lines_are_beyond_its_retention(influxdb1_server: Server) -> None:
    """Delivery believes it where it says all: no line of such a body is stored, and of another the good ones are."""
    name = "short_retention"
    servers.influxql(influxdb1_server, f"CREATE DATABASE {name} WITH DURATION 1h")
    now = time.time_ns()
    with closing(influxdb1(influxdb1_server, database=name)) as store:
        old = b"".join(line(float(n), now - 86_400 * 10**9 + n) for n in range(700))
        with pytest.raises(LinesRefusedError, match="beyond retention policy") as refused:
            store.write(old)
        assert refused.value.dropped == 700
        assert store.series(LIGHT, "04234", "lamp-17", "power", ALL) == []
        with pytest.raises(LinesRefusedError) as refused:
            store.write(old + line(5.0, now))
        assert refused.value.dropped == 700
        assert [p.mean for p in store.series(LIGHT, "04234", "lamp-17", "power", ALL)] == [5.0]


def test_plain_and_compressed_bodies_store_the_same(influxdb1_server: Server) -> None:
    for compressed in (True, False):
        with closing(influxdb1(influxdb1_server, gzip=compressed)) as store:
            store.write(b"".join(line(float(n), T0 + n) for n in range(500)))
            seen = store.series(LIGHT, "04234", "lamp-17", "power", ALL)
            assert [p.mean for p in seen] == [float(n) for n in range(500)]


def test_a_healthy_server_has_no_problems_and_gets_its_databases(influxdb1_server: Server) -> None:
    with closing(influxdb1(influxdb1_server, database="new", rollup_database="new_rollup")) as store:
        assert store.check() == []
    databases = servers.influxql(influxdb1_server, "SHOW DATABASES")
    assert b'["new"]' in databases
    assert b'["new_rollup"]' in databases
    assert b"village_index_check" not in databases


def test_the_inmem_index_is_found_and_named() -> None:
    with servers.influxdb1(index="inmem") as server, closing(influxdb1(server)) as store:
        (problem,) = store.check()
        assert problem.startswith('commune: the index is inmem: set index-version = "tsi1" under [data]')
        assert b"village_index_check" not in servers.influxql(server, "SHOW DATABASES")


@pytest.mark.parametrize(("kind", "problems"), [("tsi1", 0), ("inmem", 1)])
def test_an_index_the_server_tells_is_believed(kind: str, problems: int) -> None:
    """1.7 and later name the index of each shard in /debug/vars."""
    shard = {"tags": {"database": "village", "indexType": kind}}
    variables = json.dumps({"shard:1": shard, "other": {"tags": None}, "cmdline": ["influxd"]}).encode()

    def answer(request: servers.Request) -> servers.Answer:
        if request.path == "/debug/vars":
            return servers.Answer(200, variables)
        return (
            servers.Answer(200, b'{"results":[{"statement_id":0}]}') if request.path == "/query" else servers.Answer()
        )

    with (
        ScriptedServer(answer) as server,
        closing(InfluxDB1(name="c", url=server.url, database="village", rollup_database="r")) as store,
    ):
        assert len(store.check()) == problems


def test_limits_of_the_server_are_configuration_not_bad_lines() -> None:
    with (
        servers.influxdb1(index="inmem", data_extra="max-values-per-tag = 2") as server,
        closing(influxdb1(server)) as store,
    ):
        store.write(line(1.0, T0, device="a") + line(1.0, T0, device="b"))
        with pytest.raises(StoreMisconfiguredError, match=r"max-values-per-tag limit exceeded.*tsi1"):
            store.write(line(1.0, T0, device="c"))


def test_a_body_over_the_servers_limit_is_too_large() -> None:
    with servers.influxdb1(http_extra="max-body-size = 100") as server, closing(influxdb1(server)) as store:
        with pytest.raises(BodyTooLargeError):
            store.write(line(1.0, T0) * 10)
        store.write(line(1.0, T0))
        assert len(store.series(LIGHT, "04234", "lamp-17", "power", ALL)) == 1


def test_accounts_are_told_what_they_lack() -> None:
    with servers.influxdb1(auth=True) as server:
        for statement in (
            "CREATE DATABASE village",
            "CREATE DATABASE village_rollup",
            "CREATE USER writer WITH PASSWORD 'w'",
            "GRANT WRITE ON village TO writer",
            "GRANT WRITE ON village_rollup TO writer",
            "CREATE USER gateway WITH PASSWORD 'g'",
            "GRANT ALL ON village TO gateway",
            "GRANT ALL ON village_rollup TO gateway",
        ):
            servers.influxql(server, statement)
        own = {"database": "village", "rollup_database": "village_rollup"}
        with closing(influxdb1(server, **own, username="writer", password="wrong")) as store:
            assert all("401" in problem and "correct the token" in problem for problem in store.check())
            with pytest.raises(StoreMisconfiguredError, match="authorization failed"):
                store.write(line(1.0, T0))
        with closing(influxdb1(server, **own, username="writer", password="w")) as store:
            store.write(line(1.0, T0))
            first, second = store.check()
            assert first.startswith("commune: reading village fails: ")
            assert second.startswith("commune: reading village_rollup fails: ")
            with pytest.raises(StoreUnavailableError, match="not authorized"):
                store.series(LIGHT, "04234", "lamp-17", "power", ALL)
        with closing(influxdb1(server, **own, username="gateway", password="g")) as store:
            (problem,) = store.check()
            assert problem.startswith("commune: this account may not ask which index the server uses")
            assert [p.mean for p in store.series(LIGHT, "04234", "lamp-17", "power", ALL)] == [1.0]
        with closing(influxdb1(server, database="other", username="gateway", password="g")) as store:
            with pytest.raises(StoreMisconfiguredError, match='run CREATE DATABASE "other" as an administrator'):
                store.write(line(1.0, T0))
            assert any("other does not exist" in problem for problem in store.check())
        with closing(influxdb1(server, **own)) as store:
            assert store.check() == []


def test_a_missing_database_cannot_be_asked_and_is_created_by_the_first_line(influxdb1_server: Server) -> None:
    with closing(influxdb1(influxdb1_server)) as store:
        with pytest.raises(StoreUnavailableError, match=r"database not found.*create it"):
            store.series(LIGHT, "04234", "lamp-17", "power", ALL)
        store.write(line(1.0, T0))
        assert len(store.series(LIGHT, "04234", "lamp-17", "power", ALL)) == 1


def test_a_server_that_hangs_goes_or_returns() -> None:
    own = {"database": "village", "rollup_database": "village_rollup"}
    with (
        servers.influxdb1() as server,
        closing(influxdb1(server, **own)) as store,
        closing(influxdb1(server, **own, timeout_seconds=0.2)) as impatient,
    ):
        store.write(line(1.0, T0))
        server.pause()
        with pytest.raises(StoreUnavailableError, match="timed out"):
            impatient.write(line(2.0, T0 + 1))
        server.resume()
        store.write(line(3.0, T0 + 2))
        server.kill()
        with pytest.raises(StoreUnavailableError, match="is the server running"):
            store.write(line(4.0, T0 + 3))
        (problem,) = store.check()
        assert problem.startswith(f"commune: no answer from {server.url} (")
        server.start()
        store.write(line(5.0, T0 + 4))
        assert [p.mean for p in store.series(LIGHT, "04234", "lamp-17", "power", ALL)][-1] == 5.0
