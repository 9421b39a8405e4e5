"""``panel_ms``: every panel of the commune's and the lighting dashboard over a year, as Grafana asks it of InfluxDB."""

import re
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from dashboards.generate import dashboards
from devices.rollup_names import Scope, Statistic, Width, field_name, measurement_name
from devices.vocabulary import Measurement
from tests.bench import stage
from tests.bench.figures import Size, Taken
from tests.bench.province import name
from tests.bench.stage import DATABASE, Influx
from tests.grafana_backend import DAY, HOUR, Question, expanded, filled, questions
from tests.servers import influxql

KEYS = ("panel_ms",)
ROLLUPS = "village_rollup"
DATABASES = {"village": DATABASE, "village-rollup": ROLLUPS}
"""By the data source's uid."""
PAGES = ("en/commune.json", "en/lighting.json")
COMMUNE = "10642"
LAMPS_OF_CABINET = 50
NAMED = 3
"""So many panels of a page are told, the slowest."""
LINES = 20_000


def measure(size: Size, _work: Path) -> list[Taken]:
    """A year of a commune's roll-ups: hourly and daily of the commune and its circuits, daily of every lamp. Each panel
    is asked three times; the first answer is not counted. The slowest panels of each page are told."""
    now = int(time.time() * 1000) // HOUR * HOUR
    made = dashboards()
    with stage.influx() as store:
        influxql(store.server, f"CREATE DATABASE {ROLLUPS}")
        for body in _bodies(size, now):
            store.post(body, database=ROLLUPS)
        found: dict[str, list[float]] = {}
        for page in PAGES:
            since = f"now-{size.days}d"
            asked = [question for question in questions(made[page], DATABASES, now, since) if question.panel]
            times = {question.where: _asked(store, question) for question in asked}
            slowest = sorted(times, key=lambda where: statistics.median(times[where]), reverse=True)
            found |= {where: times[where] for where in slowest[:NAMED]}
    return [Taken("panel_ms", found)]


def _asked(store: Influx, question: Question) -> list[float]:
    """Milliseconds of the second and the third answer."""
    text = expanded(filled(question.text, {"commune": COMMUNE, "device": ".*"}), question.range)
    assert not re.search(r"\$[a-z_{]", text), text
    found = []
    for _ in range(3):
        began = time.perf_counter()
        answer = store.ask(text, question.database)
        found.append((time.perf_counter() - began) * 1000)
        assert "error" not in answer, (question.where, answer)
    return found[1:]


def _bodies(size: Size, now: int) -> Iterator[bytes]:
    lamps = min(size.commune, size.devices)
    circuits = lamps // LAMPS_OF_CABINET
    today = now // DAY * DAY - 7 * HOUR
    days = range(today - size.days * DAY, today, DAY)
    hours = range(now - size.days * DAY, now, HOUR)
    lines: list[str] = []
    for at, width in (*((day, Width.DAY) for day in days), *((hour, Width.HOUR) for hour in hours)):
        lines += _circuits(at, width, circuits)
        if width is Width.DAY:
            lines += _devices(at, lamps, circuits)
        if len(lines) >= LINES:
            yield "\n".join(lines).encode()
            lines = []
    yield "\n".join(lines).encode()


def _circuits(at: int, width: Width, circuits: int) -> Iterator[str]:
    """The commune and its circuits."""
    kinds = [(Scope.COMMUNE, "")] + [(Scope.GROUP, f",group=cabinet-{circuit}") for circuit in range(circuits)]
    for number, (scope, tags) in enumerate(kinds):
        place = measurement_name(Measurement.STREETLIGHT, scope, width)
        yield (
            f"{place},commune={COMMUNE}{tags} {_values(number)},lamp_on_mean=0.4,devices={LAMPS_OF_CABINET},"
            f"devices_expected={LAMPS_OF_CABINET},working=0.97,quality=1 {at}000000"
        )
    place = measurement_name(Measurement.DEVICE, Scope.COMMUNE, width)
    yield f"{place},commune={COMMUNE} devices=4990,devices_expected=5000 {at}000000"


def _devices(at: int, lamps: int, cabinets: int) -> Iterator[str]:
    """A day of every lamp and of every cabinet, whose three phases tell it from a lamp."""
    place = measurement_name(Measurement.STREETLIGHT, Scope.DEVICE, Width.DAY)
    increase = field_name("energy", Statistic.INCREASE)
    for lamp in range(lamps):
        yield f"{place},commune={COMMUNE},device={name(lamp)} {_values(lamp)},{increase}=0.6,quality=1 {at}000000"
    phase = field_name("voltage_l1", Statistic.MEAN)
    for cabinet in range(cabinets):
        tags = f"commune={COMMUNE},device=cabinet-{cabinet}"
        yield f"{place},{tags} {phase}=221,{increase}={20 + cabinet % 9},quality=1 {at}000000"


def _values(number: int) -> str:
    pairs = (("power", Statistic.MEAN, 58.0), ("voltage", Statistic.MIN, 215.0), ("voltage", Statistic.MAX, 229.0))
    return ",".join(f"{field_name(prop, statistic)}={value + number % 7}" for prop, statistic, value in pairs)
