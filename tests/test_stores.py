"""The stores on real servers: InfluxDB 1.6.7 for both sides, VictoriaMetrics for the 2.x write side, a scripted one."""

import itertools
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from devices.vocabulary import Measurement
from gateway.model import (
    BodyTooLargeError,
    LinesRefusedError,
    Point,
    Store,
    StoreError,
    StoreMisconfiguredError,
    StoreUnavailableError,
    Window,
)
from gateway.northbound import rollup_lines
from gateway.northbound.answers import Answer, error_of, retry_after
from gateway.northbound.embedded import Embedded
from gateway.northbound.influxdb import InfluxDB
from gateway.northbound.influxdb1 import InfluxDB1
from tests import servers
from tests.servers import ScriptedServer, Server

T0 = 1_790_000_000_000_000_000
MINUTE = 60_000_000_000
ALL = Window(T0 - T0 % MINUTE, T0 + 1_000_000 * MINUTE, 0)
LIGHT = Measurement.STREETLIGHT
_names = itertools.count()


def influxdb1(server: Server, **settings: object) -> InfluxDB1:
    """A store in databases of its own on that server."""
    name = f"village{next(_names)}"
    account = {"username": server.username, "password": server.password}
    names = {"name": "commune", "database": name, "rollup_database": f"{name}_rollup"}
    return InfluxDB1(**{"url": server.url, **names, **account, **settings})  # type: ignore[arg-type]


def influxdb(url: str, **settings: object) -> InfluxDB:
    """A store of the second dialect, with a token."""
    names = {"name": "province", "database": "village", "rollup_database": "village_rollup", "org": "hy", "token": "s3"}
    return InfluxDB(**{"url": url, **names, **settings})  # type: ignore[arg-type]


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


def always(answer: servers.Answer) -> Callable[[servers.Request], servers.Answer]:
    """A script of one answer."""
    return lambda request: answer


def line(value: float, at: int, device: str = "lamp-17", field: str = "power") -> bytes:
    return b"streetlight,commune=04234,device=%s %s=%r,quality=1,clock=0 %d\n" % (
        device.encode(), field.encode(), value, at,
    )  # fmt: skip


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
    hourly = b"streetlight_hourly,commune=04234,device=lamp-17 power=58.5 %d\n" % T0
    store.write(line(61.5, T0) + hourly + line(62.5, T0 + 1))
    assert [p.mean for p in store.series(LIGHT, "04234", "lamp-17", "power", ALL)] == [61.5, 62.5]
    assert isinstance(store, InfluxDB1 | Embedded)
    assert [p.mean for p in store.series("streetlight_hourly", "04234", "lamp-17", "power", ALL)] == [58.5]


def test_rollup_lines_go_to_the_rollup_database(influxdb1_server: Server) -> None:
    with closing(influxdb1(influxdb1_server, database="apart", rollup_database="apart_rollup")) as store:
        store.write(line(61.5, T0) + b"streetlight_daily,commune=04234,device=lamp-17 power=58.5 %d\n" % T0)
    assert b"streetlight_daily" not in servers.influxql(influxdb1_server, "SHOW MEASUREMENTS", "apart")
    assert b"streetlight_daily" in servers.influxql(influxdb1_server, "SHOW MEASUREMENTS", "apart_rollup")


def test_a_word_of_a_rollup_inside_a_line_moves_nothing() -> None:
    body = b"streetlight,commune=04234,device=lamp_hourly power_daily=1 1\n"
    assert rollup_lines.split(body) == (body, b"")


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


# InfluxDB 2.x and 3.x ----------------------------------------------------------------------------------------


def exported(server: Server, name: str) -> dict[str, list[float]]:
    """Values by device of one VictoriaMetrics series."""
    servers.get(server, "/internal/force_flush")
    parameters = {"match[]": f'{{__name__="{name}"}}', "start": "1000000000"}
    found = [json.loads(text) for text in servers.get(server, "/api/v1/export", parameters).splitlines()]
    return {entry["metric"]["device"]: entry["values"] for entry in found}


@pytest.mark.parametrize("compressed", [True, False])
def test_the_second_dialect_writes_to_a_real_server(victoria_metrics_server: Server, compressed: bool) -> None:
    measurement = f"light{int(compressed)}"
    body = b"".join(
        b"%s,commune=04234,device=lamp-%d power=%d.5 %d\n" % (measurement.encode(), device, value, T0 + value * MINUTE)
        for device in range(3)
        for value in range(4)
    )
    with closing(influxdb(victoria_metrics_server.url, gzip=compressed)) as store:
        store.write(body)
    assert exported(victoria_metrics_server, f"{measurement}_power") == {
        f"lamp-{device}": [0.5, 1.5, 2.5, 3.5] for device in range(3)
    }


def test_the_second_dialect_says_that_victoria_metrics_cannot_be_read(victoria_metrics_server: Server) -> None:
    with closing(influxdb(victoria_metrics_server.url)) as store:
        problems = store.check()
    assert [problem.split(":")[1] for problem in problems] == [
        " reading village fails", " reading village_rollup fails",
    ]  # fmt: skip


def test_the_second_dialect_reads_by_influxql(influxdb1_server: Server) -> None:
    """1.6.7 answers /query as 2.x and 3.x do."""
    with closing(influxdb1(influxdb1_server, database="read2", rollup_database="read2_rollup")) as writer:
        writer.write(line(1.5, T0) + b"streetlight_hourly,commune=04234,device=lamp-17 power=9 %d\n" % T0)
    with closing(influxdb(influxdb1_server.url, database="read2", rollup_database="read2_rollup")) as store:
        assert store.series(LIGHT, "04234", "lamp-17", "power", ALL) == [Point(T0, 1.5, 1.5, 1.5)]
        assert store.series("streetlight_hourly", "04234", "lamp-17", "power", ALL) == [Point(T0, 9, 9, 9)]


def test_what_the_second_dialect_sends() -> None:
    asked: list[servers.Request] = []

    def answer(request: servers.Request) -> servers.Answer:
        asked.append(request)
        if request.path == "/query":
            return servers.Answer(200, b'{"results":[{"statement_id":0}]}')
        words = b'{"code":"invalid","message":"writing requires points"}'
        return servers.Answer() if request.body else servers.Answer(400, words)

    with ScriptedServer(answer) as server, closing(influxdb(server.url)) as store:
        store.write(line(1.0, T0) + b"streetlight_daily,commune=1,device=a power=1 5\n")
        raw, rollup = asked
        assert (raw.method, raw.path, raw.body) == ("POST", "/api/v2/write", line(1.0, T0))
        assert raw.query == {"org": "hy", "bucket": "village", "precision": "ns"}
        assert raw.headers["authorization"] == "Token s3"
        assert raw.headers["content-encoding"] == "gzip"
        assert (rollup.query["bucket"], rollup.body) == (
            "village_rollup", b"streetlight_daily,commune=1,device=a power=1 5\n",
        )  # fmt: skip
        assert store.check() == []
        assert asked[-1].headers["authorization"] == "Basic dG9rZW46czM="


def test_what_the_first_dialect_sends_over_one_connection() -> None:
    with (
        ScriptedServer(always(servers.Answer())) as server,
        closing(
            InfluxDB1(name="c", url=f"{server.url}/", database="a b", rollup_database="r", username="u", password="p")
        ) as store,
    ):
        for _ in range(3):
            store.write(line(1.0, T0))
        assert server.connections == 1
        assert {(r.method, r.path, r.body) for r in server.requests} == {("POST", "/write", line(1.0, T0))}
        assert server.requests[0].query == {"db": "a b"}
        assert server.requests[0].headers["authorization"] == "Basic dTpw"
        assert server.requests[0].headers["content-encoding"] == "gzip"


# every answer, both dialects ---------------------------------------------------------------------------------

DIALECTS: list[Callable[..., Store]] = [
    lambda url, **settings: InfluxDB1(name="c", url=url, database="v", rollup_database="r", **settings),
    influxdb,
]
PARTIAL3 = (
    b'{"error":"partial write of line protocol occurred",'
    b'"data":[{"error_message":"invalid column type","line_number":2,"original_line":"m x=1i"}]}'
)


@pytest.mark.parametrize("dialect", DIALECTS, ids=["influxdb1", "influxdb"])
@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (
            400,
            b'{"error":"unable to parse \'m x=\': missing field value"}',
            LinesRefusedError,
            "^unable to parse 'm x='",
        ),
        (400, PARTIAL3, LinesRefusedError, "^partial write of line protocol occurred: invalid column type$"),
        (422, b'{"code":"unprocessable entity","message":"partial write"}', LinesRefusedError, "^partial write$"),
        (400, b'{"error":"max-values-per-tag limit exceeded (5/2)"}', StoreMisconfiguredError, "raise this limit"),
        (400, b'{"error":"max-series-per-database limit exceeded"}', StoreMisconfiguredError, "raise this limit"),
        (422, b'{"error":"Update to schema would exceed number of tables limit"}', StoreMisconfiguredError, "limit"),
        (400, b"Client sent an HTTP request to an HTTPS server.", StoreMisconfiguredError, "http or https"),
        (400, b"[]", StoreMisconfiguredError, "not as InfluxDB does"),
        (401, b'{"code":"unauthorized","message":"no"}', StoreMisconfiguredError, "401: no; correct the token"),
        (403, b'{"error":"write not allowed"}', StoreMisconfiguredError, "grant this account the right"),
        (404, b'{"code":"not found","message":"bucket"}', StoreMisconfiguredError, "create the database or bucket"),
        (405, b"<html>\n<p>Not allowed", StoreMisconfiguredError, "405: <html> <p>Not allowed; correct url"),
        (307, b"", StoreMisconfiguredError, "307: no reason given; correct url"),
        (413, b'{"error":"Request Entity Too Large"}', BodyTooLargeError, "413"),
        (408, b"", StoreUnavailableError, "408: no reason given"),
        (429, b'{"message":"org has exceeded limited_write plan limit"}', StoreUnavailableError, "429: org has"),
        (500, b'{"error":"timeout"}', StoreUnavailableError, "500: timeout"),
        (503, b"x" * 1000, StoreUnavailableError, "xxx\\.\\.\\.$"),
    ],
)
def test_each_answer_has_its_class(
    dialect: Callable[..., Store], status: int, body: bytes, kind: type[StoreError], words: str
) -> None:
    with ScriptedServer(always(servers.Answer(status, body))) as server, closing(dialect(server.url)) as store:
        with pytest.raises(StoreError, match=words) as caught:
            store.write(line(1.0, T0))
        assert type(caught.value) is kind
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dialect", DIALECTS, ids=["influxdb1", "influxdb"])
def test_retry_after_is_handed_on(dialect: Callable[..., Store]) -> None:
    for value, expected in (("17", 17.0), ("soon", None)):
        busy = servers.Answer(503, b"", {"Retry-After": value})
        with ScriptedServer(always(busy)) as server, closing(dialect(server.url)) as store:
            with pytest.raises(StoreUnavailableError) as caught:
                store.write(line(1.0, T0))
            assert caught.value.retry_after == expected


def test_retry_after_may_be_a_date() -> None:
    assert retry_after("Fri, 02 Jan 1970 00:00:05 GMT", now=86400.0) == 5.0
    assert retry_after("Thu, 01 Jan 1970 00:00:05", now=86400.0) == 0.0
    assert retry_after("-3") is None
    assert retry_after("٣") is None


@pytest.mark.parametrize("dialect", DIALECTS, ids=["influxdb1", "influxdb"])
def test_no_answer_is_an_outage(dialect: Callable[..., Store]) -> None:
    with (
        ScriptedServer(always(servers.Answer(cut=True))) as server,
        closing(dialect(server.url)) as store,
        pytest.raises(StoreUnavailableError),
    ):
        store.write(line(1.0, T0))
    released = threading.Event()

    def hang(request: servers.Request) -> servers.Answer:
        released.wait(20)
        return servers.Answer(cut=True)

    with ScriptedServer(hang) as server, closing(dialect(server.url, timeout_seconds=0.2)) as store:
        with pytest.raises(StoreUnavailableError, match="timed out"):
            store.write(line(1.0, T0))
        released.set()
    with closing(dialect(f"http://127.0.0.1:{servers.free_port()}")) as store:
        with pytest.raises(StoreUnavailableError, match="refused"):
            store.write(line(1.0, T0))
        assert len(store.check()) == 1


@pytest.mark.parametrize("dialect", DIALECTS, ids=["influxdb1", "influxdb"])
def test_a_wrong_url_or_certificate_is_configuration(dialect: Callable[..., Store]) -> None:
    with (
        ScriptedServer(always(servers.Answer())) as server,
        closing(dialect(server.url.replace("http:", "https:"))) as store,
        pytest.raises(StoreMisconfiguredError, match=r"no TLS.*ca_file"),
    ):
        store.write(line(1.0, T0))
    with closing(dialect("http://:/")) as store, pytest.raises(StoreMisconfiguredError, match="correct url"):
        store.write(line(1.0, T0))


@pytest.mark.parametrize(
    "body", [b"<html>", b'{"results":[]}', b"[]", b'{"results":[{"series":[{"name":"m"}]}]}', b"\xff\xfe"]
)
def test_an_answer_that_is_not_influxdbs_is_configuration(body: bytes) -> None:
    with (
        ScriptedServer(always(servers.Answer(200, body))) as server,
        closing(InfluxDB1(name="c", url=server.url, database="v", rollup_database="r")) as store,
        pytest.raises(StoreUnavailableError, match="does not answer as InfluxDB does"),
    ):
        store.series(LIGHT, "04234", "lamp-17", "power", ALL)


def test_a_refused_question_is_not_a_refused_line() -> None:
    for status, body in ((400, b'{"error":"error parsing query"}'), (200, b'{"results":[{"error":"timeout"}]}')):
        with (
            ScriptedServer(always(servers.Answer(status, body))) as server,
            closing(InfluxDB1(name="c", url=server.url, database="v", rollup_database="r")) as store,
            pytest.raises(StoreUnavailableError, match="the question was refused"),
        ):
            store.series(LIGHT, "04234", "lamp-17", "power", ALL)


def test_an_answer_in_no_text_is_configuration() -> None:
    with (
        ScriptedServer(always(servers.Answer(502, b"\xff\xfe"))) as server,
        closing(influxdb(server.url)) as store,
        pytest.raises(StoreMisconfiguredError, match="does not answer in text"),
    ):
        store.write(line(1.0, T0))


def test_unknown_words_are_never_lost() -> None:
    assert str(error_of("c", Answer(400, {}, b'{"error":""}'))) == "no reason given"
