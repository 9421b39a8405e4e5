"""Delivery to a real InfluxDB 1.6.7: bad lines, a kill in the middle, a limit of the body."""

import itertools
import time
from contextlib import closing

from gateway.model import (
    Window,
)
from gateway.northbound.delivery import Condition
from gateway.northbound.influxdb1 import InfluxDB1
from tests import servers
from tests.delivery_parts import (
    MemoryOutbox,
    running,
    wait_for,
)
from tests.servers import Server

# outages -----------------------------------------------------------------------------------------------------

T0 = 1_790_000_000_000_000_000
EVERYTHING = Window(0, 2**62, 0, 100_000)


def influx(server: Server, name: str) -> InfluxDB1:
    return InfluxDB1(name="commune", url=server.url, database=name, rollup_database=f"{name}_rollup")


def test_masks_of_bad_lines_on_a_real_influxdb(influxdb1_server: Server) -> None:
    """Every sixteenth mask of ten lines; a bad line is a text for a field of floats, or does not parse."""
    outbox = MemoryOutbox()
    good: list[tuple[int, float, bytes]] = []
    bad: list[tuple[int, float, bytes]] = []
    for mask in range(1, 1024, 16):
        lines = []
        for n in range(10):
            at = T0 + mask * 100 + n
            broken = (b'power="on"', b"power=")[(mask + n) % 2]
            value = broken if mask >> n & 1 else b"power=%d" % n
            lines.append(b"streetlight,commune=04234,device=lamp-17 %s %d" % (value, at))
            (bad if mask >> n & 1 else good).append((at, float(n), lines[-1]))
        outbox.commit(b"\n".join(lines) + b"\n")
    with closing(influx(influxdb1_server, "masks")) as store:
        store.write(b"streetlight,commune=04234,device=first power=1 %d\n" % T0)
        with running(store, outbox, backlog_lines_per_second=1_000_000):
            outbox.drained()
        seen = store.series("streetlight", "04234", "lamp-17", "power", EVERYTHING)
    assert [(point.time, point.mean) for point in seen] == [(at, value) for at, value, _ in good]
    assert sorted(rejected.line for rejected in outbox.rejected) == sorted(line for _, _, line in bad)
    for rejected in outbox.rejected:
        conflict = b'"on"' in rejected.line
        assert ("field type conflict" if conflict else "missing field value") in rejected.answer


def test_nothing_is_lost_while_a_real_influxdb_is_killed_and_comes_back() -> None:
    outbox = MemoryOutbox()
    numbers = itertools.count()

    def commit(count: int) -> None:
        for number in itertools.islice(numbers, count):
            outbox.commit(b"streetlight,commune=04234,device=lamp-17 power=%d %d\n" % (number, T0 + number))

    start = time.monotonic()
    with servers.influxdb1() as server, closing(influx(server, "village")) as store:
        # Twenty times as fast as real time, so that a pause of a second costs little.
        fast = {
            "clock": lambda: start + (time.monotonic() - start) * 20,
            "sleep": lambda seconds: time.sleep(seconds / 20),
        }
        with running(store, outbox, chance=lambda: 0.0, **fast) as delivery:
            commit(200)
            outbox.drained()
            server.kill()
            commit(200)
            wait_for(lambda: delivery.state.state is Condition.WAITING)
            commit(200)
            server.start()
            commit(200)
            outbox.drained()
            wait_for(lambda: delivery.state.state is Condition.OK)
        seen = store.series("streetlight", "04234", "lamp-17", "power", EVERYTHING)
    assert [point.mean for point in seen] == [float(number) for number in range(800)]
    assert outbox.rejected == []


def test_a_real_limit_of_the_body_is_met_by_smaller_bodies() -> None:
    outbox = MemoryOutbox()
    outbox.commit(
        *(
            b"".join(b"streetlight,commune=04234,device=lamp-17 power=%d %d\n" % (n, T0 + n) for n in range(k, k + 500))
            for k in range(0, 5000, 500)
        )
    )
    with (
        servers.influxdb1(http_extra="max-body-size = 20000") as server,
        closing(influx(server, "village")) as store,
    ):
        with running(store, outbox):
            outbox.drained()
        assert len(store.series("streetlight", "04234", "lamp-17", "power", EVERYTHING)) == 5000
