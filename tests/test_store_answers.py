"""Every answer a server can give, in both dialects, forced by a scripted server."""

import threading
from collections.abc import Callable
from contextlib import closing

import pytest

from gateway.model import (
    BodyTooLargeError,
    LinesRefusedError,
    Store,
    StoreError,
    StoreMisconfiguredError,
    StoreUnavailableError,
)
from gateway.northbound.answers import Answer, error_of, retry_after
from gateway.northbound.influxdb1 import InfluxDB1
from tests import servers
from tests.servers import ScriptedServer
from tests.store_parts import ALL, LIGHT, T0, always, influxdb, line

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
        (200, b"<html>Log in to this network", StoreMisconfiguredError, "200: .*correct url"),
        (202, b"{}", StoreMisconfiguredError, "202: .*correct url"),
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
@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_2xx_that_says_nothing_more_means_stored(dialect: Callable[..., Store], status: int) -> None:
    with ScriptedServer(always(servers.Answer(status))) as server, closing(dialect(server.url)) as store:
        store.write(line(1.0, T0))


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
