"""``panel_ms``: every panel, variable, mark and alert rule of every dashboard over a year, as Grafana asks InfluxDB."""

import re
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from dashboards import alerting
from dashboards.generate import dashboards
from dashboards.queries import Source
from tests.bench.figures import Size, Taken
from tests.bench.province import name
from tests.bench.stage import DATABASE, Influx, await_idle, process_of
from tests.bench.year import COMMUNE
from tests.bench.year_store import ROLLUPS, filled
from tests.grafana_backend import Question, expanded, panels_of, questions
from tests.grafana_backend import filled as with_values

KEYS = ("panel_ms",)
DATABASES = {Source.READINGS.value: DATABASE, Source.ROLLUPS.value: ROLLUPS}
SPANS = {"as it opens": "", "a year": "now-365d"}
"""What the page shows."""
PROPERTIES = {name(17): "power", "cabinet-003": "power", "air-3": "pm2_5", "water-3": "ph", "tap-3": "pressure"}
"""What is chosen on the page of one device; of other pages, everything."""
NAMED = 2
"""So many panels of a page and a span are told, the slowest."""
TIMES = 4
"""Each is asked; the first answer is not counted."""
NS_PER_MS = 1_000_000


class Asked(NamedTuple):
    """One of the questions that Grafana asks for one panel, in InfluxQL."""

    panel: str
    text: str
    database: str


def measure(size: Size, work: Path) -> list[Taken]:
    """A panel's questions one after the other, though Grafana asks some of them at once."""
    with filled(size.commune, size.days // 7 + 1, work) as year:
        await_idle(process_of(year.store.server))
        found: dict[str, list[float]] = {}
        for page, panels in _pages(year.now // NS_PER_MS):
            times = {panel: _milliseconds(year.store, asked) for panel, asked in panels.items()}
            slowest = sorted(times, key=lambda panel: statistics.median(times[panel]), reverse=True)[:NAMED]
            found |= {f"{page}: {panel}": times[panel] for panel in slowest}
    return [Taken("panel_ms", found)]


def _milliseconds(store: Influx, panel: list[Asked]) -> list[float]:
    found = []
    for _ in range(TIMES):
        began = time.perf_counter()
        answers = [store.ask(asked.text, asked.database) for asked in panel]
        found.append((time.perf_counter() - began) * 1000)
        assert not [answer for answer in answers if "error" in answer], (panel, answers)
    return found[1:]


def _pages(now: int) -> Iterator[tuple[str, Mapping[str, list[Asked]]]]:
    """Every page in each span of time, with the questions of each of its panels.

    Args:
        now: [ms since 1970 UTC]
    """
    for path, page in dashboards().items():
        if path.split("/")[0].endswith("en"):
            continue  # it asks the same
        chosen = PROPERTIES if page["uid"] == "village-device" else {".*": ""}
        for span, since in SPANS.items():
            found: dict[str, list[Asked]] = defaultdict(list)
            for question in questions(page, DATABASES, now, since):
                for device, prop in chosen.items():
                    title = question.panel.get("title", "") or question.where.partition(" / ")[2]
                    more = f" ({device})" if prop else ""
                    found[title.replace("${property:text}", prop) + more].append(
                        _asked(question, device, prop, title, now)
                    )
            assert len(found) >= len([panel for panel in panels_of(page) if "targets" in panel])
            yield f"{page['uid']}, {span}", found
    yield "alert rules", {rule.uid: [Asked(rule.uid, _dated(rule.query, now), DATABASE)] for rule in alerting.rules()}


def _asked(question: Question, device: str, prop: str, title: str, now: int) -> Asked:
    text = expanded(
        with_values(question.text, {"commune": COMMUNE, "device": device, "property": prop}), question.range
    )
    assert not re.search(r"\$[a-z_{]", text), text
    return Asked(title, _dated(text, now), question.database)


def _dated(text: str, now: int) -> str:
    """The year lies where it was made: what is said of now is said of its end."""
    return text.replace("now()", f"{now}ms")
