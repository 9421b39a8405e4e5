"""More than the line can take, larger than it takes, old news by the thousand, and networks that say nothing."""

import json
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from simulators.publisher import Note
from tests.bench.processes import peak_mb_of, resident_mb
from tests.faults.field import COMMUNE, Field, Numbered, fleet
from tests.faults.scenario import DATABASE, ENOUGH, PATIENCE, Scenario
from tests.gateway_process import GatewayProcess, await_that, influx_store
from tests.servers import HOST, Server, influxql

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
Measured = Callable[[str], None]
FLOOD = 100_000
"""Messages at QoS 0, as fast as a client can."""
WATER = f"water-000,native_water_station,{COMMUNE}\n"
MORE_MB = 50.0
LARGE, LARGE_BYTES = 200, 1 << 20
KEEPALIVE = 5


@contextmanager
def running(
    folder: Path, port: int, influx: Server, field: Field, text: str = "", keepalive: int = 0
) -> Iterator[Scenario]:
    """A gateway at a broker's port, with this fleet."""
    gateway = GatewayProcess(folder, port, influx_store(influx, DATABASE), text or fleet() + WATER)
    if keepalive:
        settings = gateway.config.read_text()
        gateway.config.write_text(settings.replace("[broker]\n", f"[broker]\nkeepalive_seconds = {keepalive}\n"))
    with gateway:
        scenario = Scenario(gateway, field, influx)
        scenario.await_connected()
        yield scenario


def stored_water(store: Server) -> int:
    """Points of the one water station."""
    (result,) = json.loads(influxql(store, "SELECT count(ph) FROM water_quality", DATABASE))["results"]
    return int(result["series"][0]["values"][0][1]) if "series" in result else 0


def nothing_lost(scenario: Scenario) -> None:
    """Of what was sent with QoS 1."""
    assert scenario.field.is_acknowledged()
    assert scenario.stored() | scenario.refused() == set(range(scenario.sent))
    assert scenario.ledger()["holds"] is True


class Hole:
    """A TCP proxy in front of a broker: at a word it swallows everything and says nothing, as a dead link does."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.is_black = False
        self._ending = False
        self._thread = threading.Thread(target=self._accept, name="hole")

    def _accept(self) -> None:
        threads = []
        while not self._ending:
            if select.select([self._listener], [], [], 0.1)[0]:
                client = self._listener.accept()[0]
                threads.append(threading.Thread(target=self._carry, args=(client,), name="hole-connection"))
                threads[-1].start()
        for thread in threads:
            thread.join()

    def _carry(self, client: socket.socket) -> None:
        was_black = False
        with client, socket.create_connection((HOST, self._target)) as broker:
            while not self._ending:
                for ready in select.select([client, broker], [], [], 0.1)[0]:
                    try:
                        data = ready.recv(1 << 16)
                    except ConnectionError:
                        return
                    if not data:
                        return
                    # What a dead link has swallowed does not come out when it is mended.
                    was_black |= self.is_black
                    if not was_black:
                        (broker if ready is client else client).sendall(data)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        self._thread.join()
        self._listener.close()


def test_a_flood_at_quality_0_costs_no_uplink_at_quality_1(
    tmp_path: Path, broker: Server, influx: Server, measured: Measured
) -> None:
    """Every message of the flood is stored, or counted as dropped by the broker; memory is bounded."""
    with Field(broker.port) as field, running(tmp_path, broker.port, influx, field) as scenario:
        scenario.send(1)
        scenario.settle()
        idle = resident_mb(scenario.gateway.process_id)
        flooder = mqtt.Client(CallbackAPIVersion.VERSION2, "flooder")
        flooder.connect(broker.host, broker.port)
        flooder.loop_start()
        for number in range(FLOOD):
            flooder.publish(f"village/{COMMUNE}/water-000/up", b'{"seq":%d,"ph":7.1}' % number, qos=0)
            if number % 1000 == 0:
                scenario.send(ENOUGH * 1000 // FLOOD)
        await_that("the flood has left", lambda: not flooder.want_write(), PATIENCE)
        scenario.await_published()
        flooder.disconnect()
        flooder.loop_stop()
        scenario.await_taken()

        def arrived() -> int:
            totals = scenario.gateway.totals()
            return totals["kept"] + totals["refused"] - scenario.sent

        def accounted() -> int:
            return arrived() + int(scenario.ledger()["lost_at_broker"])

        await_that("every message of the flood is accounted for", lambda: accounted() == FLOOD, 300.0)
        scenario.await_delivered(patience=300.0)
        nothing_lost(scenario)
        assert stored_water(influx) == arrived()
        peak = peak_mb_of(scenario.gateway.process_id)
        measured(f"{FLOOD} at QoS 0, {FLOOD - arrived()} dropped by the broker and counted; +{peak - idle:.0f} MB")
        assert peak - idle <= MORE_MB


def test_retained_readings_by_the_thousand_are_stored_once_however_often_they_come(
    tmp_path: Path, broker: Server, influx: Server, measured: Measured
) -> None:
    """Each device's last one, at the first connection and again when the broker has forgotten the session."""
    numbers = Numbered(devices=ENOUGH, bad_every=0)
    with Field(broker.port) as field:
        field.publish([numbers.note(number)._replace(retain=True) for number in range(ENOUGH)])
        await_that("the broker has them", field.is_acknowledged, PATIENCE)
        with running(tmp_path, broker.port, influx, field, fleet(ENOUGH)) as scenario:
            scenario.numbers, scenario.sent = numbers, ENOUGH
            scenario.settle()
            nothing_lost(scenario)
            # Another client with its name and a clean session: the broker forgets what the gateway had subscribed.
            other = mqtt.Client(CallbackAPIVersion.VERSION2, "village-gateway", clean_session=True)
            other.connect(broker.host, broker.port)
            other.loop_start()
            await_that("the session is taken", other.is_connected)
            other.disconnect()
            other.loop_stop()
            await_that("they come again", lambda: scenario.gateway.totals()["repeated"] >= ENOUGH, PATIENCE)
            scenario.await_delivered()
            nothing_lost(scenario)
            totals = scenario.gateway.totals()
            assert totals["kept"] == ENOUGH
            measured(f"{ENOUGH} retained readings stored once, {totals['repeated']} came again")


def test_payloads_over_the_limit_cost_nobody_else_anything(
    tmp_path: Path, broker: Server, influx: Server, measured: Measured
) -> None:
    """200 MB of them between good uplinks: refused, kept cut, and not in memory; more would fill the broker's queue."""
    large = Note(f"village/{COMMUNE}/water-000/up", b"x" * LARGE_BYTES)
    with Field(broker.port) as field, running(tmp_path, broker.port, influx, field) as scenario:
        scenario.send(1)
        scenario.settle()
        idle = resident_mb(scenario.gateway.process_id)
        for _ in range(LARGE):
            field.publish([large])
            scenario.send(ENOUGH // LARGE)
        scenario.settle()

        def too_large() -> int:
            return int(scenario.ledger()["by_reason"].get("too_large", 0))

        await_that("all of them are refused", lambda: too_large() == LARGE, PATIENCE)
        peak = peak_mb_of(scenario.gateway.process_id)
        stored = scenario.stored()
        assert stored == {number for number in range(scenario.sent) if not scenario.numbers.is_bad(number)}
        measured(f"{LARGE} payloads of {LARGE_BYTES >> 20} MB refused; +{peak - idle:.0f} MB")
        assert peak - idle <= MORE_MB


def test_a_link_that_swallows_everything_is_noticed_and_nothing_is_lost(
    tmp_path: Path, broker: Server, influx: Server
) -> None:
    """Three times, without a word to either end: the keepalive ends the connection, the next one goes on."""
    with (
        Hole(broker.port) as hole,
        Field(broker.port) as field,
        running(tmp_path, hole.port, influx, field, keepalive=KEEPALIVE) as scenario,
    ):
        for _ in range(4):
            scenario.send(ENOUGH // 8)
            hole.is_black = True
            scenario.send(ENOUGH // 8)
            await_that("it is noticed", lambda: scenario.part("broker")[0] != "ok", PATIENCE)
            hole.is_black = False
            await_that("it is connected", lambda: scenario.part("broker")[0] == "ok", PATIENCE)
        scenario.settle()
        scenario.judge()
