"""Stores that die, hang, refuse, answer too late, or keep a part of what they were sent."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.field import Field, fleet, paced
from tests.faults.front import Front
from tests.faults.lives import Lives
from tests.faults.scenario import DATABASE, ENOUGH, Scenario, point_of
from tests.gateway_process import await_that, influx_store
from tests.servers import Answer, Request, Server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
Measured = Callable[[str], None]
READING = b"streetlight,"
SECONDS = 8.0
"""The uplinks of a scenario come in over this time, so that most of the faults meet fresh ones."""


@pytest.fixture
def run(tmp_path: Path, broker: Server, influx: Server) -> Iterator[tuple[Scenario, Front]]:
    """A gateway whose store is a real InfluxDB behind a scriptable front."""
    with Front(influx) as front, Field(broker.port) as field:
        store = influx_store(influx, DATABASE).replace(influx.url, front.url) + "timeout_seconds = 2\n"
        with Lives(tmp_path, broker.port, store, fleet()) as gateway:
            scenario = Scenario(gateway, field, influx)
            gateway.start()
            scenario.await_connected()
            yield scenario, front


def send_paced(scenario: Scenario, count: int = ENOUGH, seconds: float = SECONDS) -> None:
    """The next so many uplinks, evenly."""
    paced(lambda _, number: scenario.send(number), scenario.sent, count, count / seconds)


def test_kill_9_of_influxdb(tmp_path: Path, broker: Server, influx: Server, measured: Measured) -> None:
    """Five times while uplinks come in; each time it is away for a while."""
    with Field(broker.port) as field, Lives(tmp_path, broker.port, influx_store(influx, DATABASE), fleet()) as gateway:
        scenario = Scenario(gateway, field, influx)
        gateway.start()
        scenario.await_connected()
        for _ in range(5):
            send_paced(scenario, ENOUGH // 5, 2.0)
            influx.kill()
            scenario.send(0)
            time.sleep(0.5)
            influx.start()
        scenario.settle()
        scenario.judge()
        measured(f"5 deaths, {scenario.sent} uplinks, none lost, none twice")


FIRST_WRITES = 3
OUTAGES: dict[str, Callable[[], Answer]] = {
    "408": lambda: Answer(408),
    "429": lambda: Answer(429, b"", {"Retry-After": "1"}),
    "500": lambda: Answer(500, b"internal error"),
    "502": lambda: Answer(502),
    "503": lambda: Answer(503, b"", {"Retry-After": "2"}),
    "504": lambda: Answer(504),
    "cut before": lambda: Answer(cut=True),
}


@pytest.mark.parametrize("code", OUTAGES)
def test_an_outage_by_its_answer(run: tuple[Scenario, Front], code: str) -> None:
    """The first writes, then one in six."""
    scenario, front = run
    chance = random.Random(code)
    front.script = lambda _: OUTAGES[code]() if front.writes <= FIRST_WRITES or chance.random() < 1 / 6 else None
    send_paced(scenario)
    scenario.settle()
    scenario.judge()


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_wrong_configuration_keeps_everything_until_it_is_mended(run: tuple[Scenario, Front], code: int) -> None:
    """Shown as a fault a person must mend; tried again every 30 s."""
    scenario, front = run
    is_mended = threading.Event()
    front.script = lambda _: None if is_mended.is_set() else Answer(code, b'{"error":"mend me"}')
    send_paced(scenario, seconds=3.0)
    scenario.await_taken()
    await_that("health says so", lambda: scenario.part("store:influx")[0] == "failing")
    assert scenario.stored() == set()
    is_mended.set()
    scenario.settle()
    scenario.judge()


def test_a_limit_of_the_stores_own_configuration_keeps_everything(run: tuple[Scenario, Front]) -> None:
    """400 by its status, and no line's fault."""
    scenario, front = run
    is_mended = threading.Event()
    words = (
        b'{"error":"partial write: max-values-per-tag limit exceeded (100000/100000): measurement=\\"streetlight\\""}'
    )
    front.script = lambda _: None if is_mended.is_set() else Answer(400, words)
    send_paced(scenario, seconds=3.0)
    scenario.await_taken()
    await_that("health says so", lambda: scenario.part("store:influx")[0] == "failing")
    is_mended.set()
    scenario.settle()
    scenario.judge()


@pytest.mark.parametrize("keeps_the_rest", [False, True], ids=["400 nothing kept", "422 the rest kept"])
def test_lines_a_store_never_takes(run: tuple[Scenario, Front], keeps_the_rest: bool, measured: Measured) -> None:
    """One in 499: each costs itself, and is kept with the store's words."""
    scenario, front = run

    def is_bad(line: bytes) -> bool:
        return line.startswith(READING) and scenario.numbers.number_of_point(*point_of(line.decode())) % 499 == 7

    def script(request: Request) -> Answer | None:
        lines = request.body.splitlines(keepends=True)
        good = b"".join(line for line in lines if not is_bad(line))
        if len(good) == len(request.body):
            return None
        if keeps_the_rest and good:
            front.pass_on(request, good)
        return Answer(422 if keeps_the_rest else 400, b'{"error":"partial write: field type conflict"}')

    front.script = script
    send_paced(scenario)
    scenario.settle()
    bad = {n for n in range(scenario.sent) if n % 499 == 7 and not scenario.numbers.is_bad(n)}
    scenario.judge(rejected=len(bad))
    assert scenario.rejected() == bad
    measured(f"{len(bad)} bad lines of {scenario.sent} found with {front.writes} writes")


def test_bodies_that_are_too_large(run: tuple[Scenario, Front], measured: Measured) -> None:
    """413 for anything over 40 kB, while a backlog is there to fill a body."""
    scenario, front = run
    front.script = lambda request: Answer(503) if front.writes < 4 else None
    scenario.send(ENOUGH)
    scenario.await_taken(ENOUGH // 2)
    refusals = 0

    def script(request: Request) -> Answer | None:
        nonlocal refusals
        is_large = len(request.body) > 40_000
        refusals += is_large
        return Answer(413) if is_large else None

    front.script = script
    scenario.settle()
    scenario.judge()
    assert refusals > 0
    measured(f"{refusals} of {front.writes} bodies were too large")


def test_a_connection_cut_after_the_store_has_it(run: tuple[Scenario, Front], measured: Measured) -> None:
    """Every third write is stored and never answered: sent again, it is there once."""
    scenario, front = run
    cuts = 0

    def script(request: Request) -> Answer | None:
        nonlocal cuts
        if front.writes % 3:
            return None
        cuts += 1
        front.pass_on(request)
        return Answer(cut=True)

    front.script = script
    send_paced(scenario)
    scenario.settle()
    scenario.judge()
    measured(f"{cuts} writes stored and not answered")


@pytest.mark.parametrize("seconds", [0.3, 4.0], ids=["slow", "hanging"])
def test_a_store_that_takes_its_time(run: tuple[Scenario, Front], seconds: float) -> None:
    """Slow: each answer takes 0.3 s. Hanging: one in four comes after the time limit of 2 s, and is stored."""
    scenario, front = run

    def script(request: Request) -> Answer | None:
        if seconds < 1.0 or front.writes % 4 == 1:
            time.sleep(seconds)
        return None

    front.script = script
    send_paced(scenario)
    scenario.await_published()
    scenario.await_taken()
    front.script = script if seconds < 1.0 else lambda _: None
    scenario.settle()
    scenario.judge()


@pytest.mark.timeout(1200)
def test_every_mask_of_partial_acceptance_of_a_ten_line_batch(
    tmp_path: Path, broker: Server, influx: Server, measured: Measured
) -> None:
    """All in one run: of the ten lines of a body the store refuses those of the mask for ever, and keeps the rest."""
    masks = list(range(1, 1024))
    random.Random(10).shuffle(masks)
    bad: set[int] = set()
    met: set[int] = set()
    order = iter(masks)

    with Front(influx) as front, Field(broker.port) as field:
        store = influx_store(influx, DATABASE).replace(influx.url, front.url)
        with Lives(tmp_path, broker.port, store, fleet()) as gateway:
            scenario = Scenario(gateway, field, influx)

            def script(request: Request) -> Answer | None:
                lines = request.body.splitlines(keepends=True)
                # -1: what the gateway writes of itself.
                numbers = [
                    scenario.numbers.number_of_point(*point_of(line.decode())) if line.startswith(READING) else -1
                    for line in lines
                ]
                is_new = len(lines) == 10 and -1 not in numbers and met.isdisjoint(numbers)
                # Also those of smaller bodies: what was once let through, and not heard to be, must not turn bad.
                met.update(number for number in numbers if number >= 0)
                if is_new:
                    mask = next(order, 0)
                    bad.update(number for place, number in enumerate(numbers) if mask >> place & 1)
                good = b"".join(line for line, number in zip(lines, numbers, strict=True) if number not in bad)
                if len(good) == len(request.body):
                    return None
                if good:
                    front.pass_on(request, good)
                return Answer(400, b'{"error":"partial write: field type conflict"}')

            front.script = script
            gateway.start(lines=10)
            scenario.await_connected()
            send_paced(scenario, ENOUGH, 20.0)
            # Some 17,000 requests, one after the other: to find 5 bad lines among 10 takes 16.
            scenario.settle(patience=800.0)
            assert next(order, None) is None, "too few bodies of ten lines"
            scenario.judge(rejected=len(bad))
            assert scenario.rejected() == bad
            measured(f"1,023 masks, {len(bad)} lines refused, {front.writes} writes")
