"""kill -9 of the gateway, 200 times: at random moments, and at every point of the line between broker and store."""

import random
import subprocess
from pathlib import Path

import pytest

from tests.faults.deaths import POINTS
from tests.faults.field import Field, fleet
from tests.faults.lives import Lives
from tests.faults.scenario import DATABASE, ENOUGH, Scenario
from tests.gateway_process import influx_store
from tests.servers import Server, find_server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
SEEDS = (1, 2, 3, 4)
DEATHS = 24
"""In one run of each seed: 96."""
DEATHS_AT_A_POINT = 13
"""At each of the eight points, the sync of the file among them: 104."""


@pytest.mark.parametrize("seed", SEEDS)
def test_kill_9_of_the_gateway_at_random_moments(tmp_path: Path, broker: Server, influx: Server, seed: int) -> None:
    """Each life gets new uplinks beside what the broker kept, and dies within the second."""
    chance = random.Random(seed)
    store = influx_store(influx, DATABASE)
    with Field(broker.port) as field, Lives(tmp_path, broker.port, store, fleet()) as gateway:
        run = Scenario(gateway, field, influx)
        gateway.start()
        run.await_connected()
        for death in range(DEATHS):
            run.send(ENOUGH // DEATHS)
            gateway.await_death(chance.random() * 0.8)
            gateway.kill()
            assert gateway.deaths == death + 1
            gateway.start()
        run.send(ENOUGH - run.sent)
        run.settle()
        run.judge()


@pytest.mark.parametrize("point", [*POINTS, "inside the sync"])
def test_kill_9_of_the_gateway_at_each_point_of_the_line(
    tmp_path: Path, broker: Server, influx: Server, point: str
) -> None:
    """Each life dies where it hurts, after a random number of times that went well."""
    chance = random.Random(point)
    store = influx_store(influx, DATABASE)
    with Field(broker.port) as field, Lives(tmp_path, broker.port, store, fleet()) as gateway:
        run = Scenario(gateway, field, influx)
        gateway.start()
        # From now on the broker keeps for it what comes.
        run.await_connected()
        gateway.kill()
        for death in range(DEATHS_AT_A_POINT):
            if point in POINTS:
                gateway.start(point, after=chance.randint(1, 6))
                killer = None
            else:
                gateway.start()
                killer = kill_at_the_sync(gateway.pid, after=chance.randint(1, 6))
            for _ in range(100):
                run.send(ENOUGH // DEATHS_AT_A_POINT // 100)
                if gateway.await_death(0.05):
                    break
            assert gateway.await_death(60.0), f"life {death} never came to this point"
            if killer is not None:
                killer.wait()
        gateway.start()
        run.send(max(0, ENOUGH - run.sent))
        run.settle()
        run.judge()


def kill_at_the_sync(process: int, after: int) -> subprocess.Popen[bytes]:
    """Have the kernel kill it as it begins to sync a file for the ``after``-th time: written, not synced."""
    strace = find_server("strace", "strace")
    inject = f"inject=fdatasync,fsync:signal=SIGKILL:when={after}"
    return subprocess.Popen(
        [strace, "-qq", "-f", "-p", str(process), "-e", "trace=fdatasync,fsync", "-e", inject, "-o", "/dev/null"],
        stderr=subprocess.DEVNULL,
    )
