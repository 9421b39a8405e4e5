"""The second dialect: VictoriaMetrics takes what it writes, InfluxDB 1.6.7 answers what it asks."""

import json
from contextlib import closing

import pytest

from gateway.model import (
    Point,
)
from gateway.northbound.influxdb1 import InfluxDB1
from tests import servers
from tests.servers import ScriptedServer, Server
from tests.store_parts import ALL, LIGHT, MINUTE, T0, always, influxdb, influxdb1, line


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
        writer.write(line(1.5, T0) + b"streetlight_hour,commune=04234,device=lamp-17 power=9 %d\n" % T0)
    with closing(influxdb(influxdb1_server.url, database="read2", rollup_database="read2_rollup")) as store:
        assert store.series(LIGHT, "04234", "lamp-17", "power", ALL) == [Point(T0, 1.5, 1.5, 1.5)]
        assert store.series("streetlight_hour", "04234", "lamp-17", "power", ALL) == [Point(T0, 9, 9, 9)]


def test_what_the_second_dialect_sends() -> None:
    asked: list[servers.Request] = []

    def answer(request: servers.Request) -> servers.Answer:
        asked.append(request)
        if request.path == "/query":
            return servers.Answer(200, b'{"results":[{"statement_id":0}]}')
        words = b'{"code":"invalid","message":"writing requires points"}'
        return servers.Answer() if request.body else servers.Answer(400, words)

    with ScriptedServer(answer) as server, closing(influxdb(server.url)) as store:
        store.write(line(1.0, T0) + b"streetlight_day,commune=1,device=a power=1 5\n")
        raw, rollup = asked
        assert (raw.method, raw.path, raw.body) == ("POST", "/api/v2/write", line(1.0, T0))
        assert raw.query == {"org": "hy", "bucket": "village", "precision": "ns"}
        assert raw.headers["authorization"] == "Token s3"
        assert raw.headers["content-encoding"] == "gzip"
        assert (rollup.query["bucket"], rollup.body) == (
            "village_rollup", b"streetlight_day,commune=1,device=a power=1 5\n",
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
