"""Writes ``docs/simulators.md`` and its pictures from the code, and says whether the written ones are up to date."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np

from simulators import air, weather
from simulators.burning import Schedule, nights
from simulators.faults import MEANING, WORLD
from simulators.lighting import Lamps, lamp
from simulators.local_time import DAY, HOUR, month_start
from simulators.noise import Floats, keys_of
from simulators.plots import Axis, Line, plot, steps
from simulators.scenario import load_scenario
from simulators.shipped import shipped_names
from simulators.simulated_year import Figure, figures, simulate_particles
from simulators.supply import Main, supply
from simulators.water import Reach, water

YEAR, SEED = 2026, 1
FOLDER = "simulators"
_AUGUST = month_start((YEAR - 1970) * 12 + 7)
_MONTHS = [(number + 0.5, f"{number + 1}") for number in range(12)]
_HOURS = [(float(hour), f"{hour}") for hour in range(0, 25, 3)]
_MIDDLES = [hour + 0.5 for hour in range(24)]
_NOONS = [(0.0, "12:00"), (0.5, "0:00"), (1.0, "12:00"), (1.5, "0:00"), (2.0, "12:00")]
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

_HEAD = """# Simulators

Devices that do not exist, for trying everything without hardware and for testing every claim at size. This page is
made by `village simulated-year --docs docs` from the code; `--check` says whether it is up to date.

```
village simulate SCENARIO --broker HOST:PORT            from now on, at the speed of the clock
  --from 2026-08-01 --for 7d --speed 600                a week of August within a quarter of an hour
  --seed 7                                              other values, other faults
  --fleet-out fleet.csv                                 the registry's CSV; every device in it is marked as simulated
  --history 7d --history-out history.jsonl              the past until --from, for `village backfill`
  --truth truth.jsonl                                   what became of every uplink, line by line
  --faults faults.jsonl                                 what goes wrong, with which device, from when until when
```

Every value is a function of the device, the moment and the seed. Nothing is remembered between two moments: a scenario
that is stopped and started again in the middle goes on identically, history and real time meet without a seam, and any
moment can be computed alone. Noise is drawn by hashing (device, moment), so it is the same on every machine.

A gateway refuses simulated devices unless its settings accept them (`accept_simulated = true`), so they can never mix
with real series. `district` and `straw_burning` speak the formats of many makers: list their topics too, `sources =
["tasmota", "zigbee2mqtt", "chirpstack", "things_stack", "airrohr", "sparkplug_b"]`.

```
village record FILE --broker HOST:PORT                  MQTT messages with their times, as JSON lines
village replay FILE --broker HOST:PORT --speed 10       a recording, or a real station's CSV or JSON lines
```

One process carries the whole province: 8,000 uplinks a second at QoS 1 from 200,169 devices took about 0.55 of a core
and 190 MB (402,605 of 402,605 acknowledged by Mosquitto 2.0 on the same two cores in 30.6 s of processor time, six of
them for starting, Python 3.11, while other programs kept both cores busy).
"""

_PLACES = """Places are real communes of former Hai Duong, with their real names, codes and points; streets, stations
and values are not. The 207 communes of `province` are those until 2025-06-30: thirty are real (`old-10642` is the old
code), and of the other 177 only their districts are. Those are called constructed wherever they are named
(`sim-288-07`, "đơn vị giả định 7"): their points are laid around their district's by the seed, within the extent.
"""

_FIGURES = f"""## A simulated year against the facts

The year {YEAR}, seed {SEED}, printed by `village simulated-year` and asserted in the tests. *Chosen* figures are the
project's own, where no record was found.

| figure | source | near enough | simulated | |
|---|---|---|---|---|"""

_FAULTS = """## Faults

Entries `[[fault]]` of a scenario. When: `always`, `between = [from, to]`, `daily = ["22:00", "05:00"]`, or one spell in
every `every_days`, `hours` long; all drawn from the seed, for each device or `together`. With whom: `devices`, a name
with `*`, and a `share` of those. Faults marked *world* are really so, and a cabinet or a meter sees them too.

| kind | | what happens |
|---|---|---|"""


@cache
def render() -> Mapping[str, str]:
    """Every generated file by its path within ``docs``."""
    pictures = dict(_pictures())
    return {**{f"{FOLDER}/{name}.svg": text for name, text in pictures.items()}, "simulators.md": _page(pictures)}


def write(folder: Path) -> list[str]:
    """Write every file, and return their names."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    made = render()
    for name, text in made.items():
        (folder / name).write_text(text, "utf-8")
    return list(made)


def outdated(folder: Path) -> list[str]:
    """Names of the files that are missing or say something else than the code."""
    found = []
    for name, text in render().items():
        path = folder / name
        if not path.is_file() or not _same(path.read_text("utf-8"), text):
            found.append(name)
    return found


def _same(written: str, made: str) -> bool:
    """The same words, and numbers that differ by no more than processors may in the last digit shown."""
    if _NUMBER.split(written) != _NUMBER.split(made):
        return False
    pairs = zip(_NUMBER.findall(written), _NUMBER.findall(made), strict=True)
    return all(a == b or abs(float(a) - float(b)) <= max(0.11, 0.002 * abs(float(b))) for a, b in pairs)


def _page(pictures: Mapping[str, str]) -> str:
    scenarios = {name: load_scenario(name) for name in shipped_names()}
    parts = [
        _HEAD,
        "## Scenarios\n",
        *(f"- `{name}`: {plan.title_en}. {plan.title_vi}." for name, plan in scenarios.items()),
        "",
        _PLACES,
        _FIGURES,
        *(_row(figure) for figure in figures(YEAR, SEED)),
        "",
        *(f"![{name.replace('_', ' ')}]({FOLDER}/{name}.svg)\n" for name in pictures),
        _FAULTS,
        *(f"| `{kind}` | {'world' if kind in WORLD else ''} | {text} |" for kind, text in MEANING.items()),
        "",
    ]
    return "\n".join(parts)


def _row(figure: Figure) -> str:
    mark = "✓" if figure.holds else "**off**"
    return f"| {figure.name} | {figure.source} | {figure.low:.4g} to {figure.high:.4g} | {figure.found:.4g} | {mark} |"


def _pictures() -> Iterator[tuple[str, str]]:
    particles = simulate_particles(YEAR, SEED)
    month_axis = Axis(0.0, 12.0, _MONTHS, "month")
    middle = [at for at, _ in _MONTHS]
    yield "pm2_5_months", plot(
        "PM2.5, monthly medians", month_axis, Axis(0.0, 80.0, steps(0, 80, 20), "µg/m³"),
        [
            Line("simulated", middle, particles.month_medians.tolist()),
            Line("record", middle, air.PM25_MONTH_MEDIAN, dots=True),
        ],
    )  # fmt: skip
    for season, shape in air.PM25_HOUR.items():
        yield f"pm2_5_hours_{season.lower()}", plot(
            f"PM2.5 by hour, {season}, over its mean", Axis(0.0, 24.0, _HOURS, "local hour"),
            Axis(0.6, 1.4, steps(0.6, 1.4, 0.2), ""),
            [
                Line("simulated", _MIDDLES, particles.hour_shape(season).tolist()),
                Line("record", _MIDDLES, shape, dots=True),
            ],
        )  # fmt: skip
    lags, known = list(range(1, 49)), air.PM25_LOG_AUTOCORRELATION
    yield "pm2_5_autocorrelation", plot(
        "PM2.5, autocorrelation of the logarithm", Axis(0.0, 48.0, steps(0, 48, 6), "lag, hours"),
        Axis(0.0, 1.0, steps(0, 1, 0.25), ""),
        [
            Line("simulated", lags, [particles.log_autocorrelation(lag) for lag in lags]),
            Line("record", list(known), list(known.values()), dots=True),
        ],
    )  # fmt: skip
    yield from _weeks()


def _days(at: Floats) -> list[float]:
    days: list[float] = ((at - at[0]) / DAY).tolist()
    return days


def _weeks() -> Iterator[tuple[str, str]]:
    region = keys_of(SEED, "region")
    at = _AUGUST + np.arange(0.0, 15 * DAY, HOUR)
    fortnight = Axis(0.0, 15.0, steps(0, 15, 3), "days of August")
    tidal = water(at, region, Reach(keys_of(SEED, "reach", 1), "tidal", tide=0.8, salt=1.0))
    yield "tide", plot(
        "Water level of a tidal reach", fortnight, Axis(0.0, 4.0, steps(0, 4, 1), "m"),
        [Line("simulated", _days(at), tidal["water_level"].tolist())],
    )  # fmt: skip
    canal = water(at, region, Reach(keys_of(SEED, "reach", 2), "canal"))
    yield "canal", plot(
        "A canal in the rainy season", fortnight, Axis(0.0, 8.0, steps(0, 8, 2), ""),
        [
            Line("oxygen, mg/L", _days(at), canal["dissolved_oxygen"].tolist()),
            Line("conductivity, 100 µS/cm", _days(at), (canal["conductivity"] / 100.0).tolist()),
            Line("rain, 10 mm/h", _days(at), (weather.rain_rate(at, region) / 10.0).tolist()),
        ],
    )  # fmt: skip
    week = at[:169]
    tap = supply(week, Main(keys_of(SEED, "main")))
    yield "tap_water", plot(
        "Piped water", Axis(0.0, 7.0, steps(0, 7, 1), "days"), Axis(0.0, 20.0, steps(0, 20, 5), ""),
        [
            Line("flow, m³/h", _days(week), tap["flow"].tolist()),
            Line("pressure, bar", _days(week), tap["pressure"].tolist()),
            Line("chlorine, 0.1 mg/L", _days(week), (tap["residual_chlorine"] * 10.0).tolist()),
        ],
    )  # fmt: skip
    night = _AUGUST + 12 * HOUR + np.arange(0.0, 2 * DAY, 300.0)
    place = nights(Schedule(), 20.94, 106.31)
    one = Lamps(keys_of(SEED, "lamp"), keys_of(SEED, "circuit"), place, np.array([60.0]), np.array([0.5]))
    found = lamp(night, one, weather.air_temperature(night, region, region))
    yield "lamp", plot(
        "A lamp of 60 W, dimmed at 22:00", Axis(0.0, 2.0, _NOONS, "local time"),
        Axis(0.0, 80.0, steps(0, 80, 20), ""),
        [
            Line("power, W", _days(night), found["power"].tolist()),
            Line("voltage - 200, V", _days(night), (found["voltage"] - 200.0).tolist()),
        ],
    )  # fmt: skip
