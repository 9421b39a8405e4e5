"""Devices that send neither time nor number: what is promised to them, and what cannot be."""

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from simulators.publisher import Note
from tests.faults.field import COMMUNE, DEVICES, Field, fleet
from tests.faults.lives import Lives
from tests.faults.scenario import DATABASE, ENOUGH, Scenario, points
from tests.gateway_process import influx_store
from tests.servers import Server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
DEATHS = 10
AGAIN = 100


def note(number: int) -> Note:
    """Its power is its number: nothing else tells one from the other."""
    return Note(f"village/{COMMUNE}/lamp-{number % DEVICES:03}/up", b'{"power":%r}' % (number / 100))


def test_uplinks_without_time_and_number(
    tmp_path: Path, broker: Server, influx: Server, measured: Callable[[str], None]
) -> None:
    """Through kill -9 none is lost, and the broker's redelivery is known; what a device says again is a new reading."""
    chance = random.Random(9)
    with Field(broker.port) as field, Lives(tmp_path, broker.port, influx_store(influx, DATABASE), fleet()) as gateway:
        scenario = Scenario(gateway, field, influx)
        gateway.start()
        scenario.await_connected()
        for death in range(DEATHS):
            field.publish([note(number) for number in range(death, ENOUGH, DEATHS)])
            scenario.sent += ENOUGH // DEATHS
            if death % 2:
                assert gateway.await_death(60.0), f"life {death} never came to acknowledge"
            gateway.await_death(chance.random() * 0.8)
            gateway.kill()
            # Every second life leaves a commit that the broker has not heard of.
            gateway.start("" if death % 2 else "between commit and PUBACK", after=chance.randint(1, 2))
        scenario.settle()
        stored = Counter((device, round(power * 100)) for device, _, power in points(influx))
        assert stored == Counter((f"lamp-{number % DEVICES:03}", number) for number in range(ENOUGH))
        scenario.judge_ledger(ENOUGH, 0)
        redelivered = scenario.ledger()["totals"]["repeated"]
        assert redelivered > 0

        field.publish([note(0)] * AGAIN)
        scenario.sent += AGAIN
        scenario.settle()
        assert len(points(influx)) == ENOUGH + AGAIN
        scenario.judge_ledger(ENOUGH + AGAIN, 0)
        measured(f"{ENOUGH} uplinks, {DEATHS} deaths, none lost; {redelivered} redeliveries known; {AGAIN} said again"
                 f" are {AGAIN} new readings")  # fmt: skip
