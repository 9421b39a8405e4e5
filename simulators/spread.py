"""Places a scenario's ``spread`` devices in communes, by seed: streets, cabinets and stations."""

import math
from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np

from devices import standards
from simulators.noise import Keys, keys_of, uniform
from simulators.province import Place, beyond, province_places
from simulators.scenario import AirStation, Scenario, ScenarioError, Spread, Street, TapStation, WaterStation

SPACING = 30.0
"""Metres between two lamps. Source: usual on village roads, 25 to 35."""
_USUAL_AREA = 25.0
"""Square kilometres, where the commune's is not known. Chosen."""


class _Commune:
    """One commune's place, and its own sequence of draws."""

    def __init__(self, place: Place, seed: int) -> None:
        self.code, self.name, self.legacy, self._position = place.code, place.name, place.legacy, place.position
        self._radius = 0.75 * math.sqrt(place.area / math.pi) * 1000.0
        self._keys: Keys = keys_of(seed, "spread", place.code)
        self._draws = count()

    def draw(self) -> float:
        """Evenly between 0 and 1."""
        return float(uniform(self._keys, np.array([next(self._draws)], dtype=np.int64))[0])

    def point(self) -> tuple[float, float]:
        """Somewhere in the commune."""
        away, turn = self._radius * math.sqrt(self.draw()), 2.0 * math.pi * self.draw()
        return beyond(self._position, away, turn)


def spread(scenario: Scenario, seed: int) -> Scenario:
    """The scenario with its ``spread`` turned into streets and stations.

    Raises:
        ScenarioError: a commune that nobody knows, or whose position nobody knows.
    """
    plan = scenario.spread
    if plan is None:
        return scenario
    communes = list(_communes(plan, seed))
    return scenario.model_copy(
        update={
            "spread": None,
            "street": (*scenario.street, *(one for place in communes for one in _streets(plan, place))),
            "water": (*scenario.water, *(one for place in communes for one in _waters(plan, place))),
            "air": (*scenario.air, *(one for place in communes for one in _airs(plan, place))),
            "tap": (*scenario.tap, *(one for place in communes for one in _taps(plan, place))),
        }
    )


def _communes(plan: Spread, seed: int) -> Iterator[_Commune]:
    if plan.until_2025:
        yield from (_Commune(place, seed) for place in province_places(seed))
        return
    known = {one.code: one for one in standards.shipped().communes.communes if one.latitude is not None}
    for code in plan.communes or tuple(known):
        one = known.get(code)
        if one is None or one.latitude is None or one.longitude is None:
            raise ScenarioError(f"spread.communes: no commune {code!r} with a known position")
        name = f"{one.kind} {one.name}"
        yield _Commune(Place(code, name, (one.latitude, one.longitude), one.area_km2 or _USUAL_AREA), seed)


def _in_turn(formats: Sequence[str], number: int) -> str:
    return formats[number % len(formats)] if formats else "native"


def _streets(plan: Spread, place: _Commune) -> Iterator[Street]:
    lamps, cabinets = plan.formats.get("lamp", ()), plan.formats.get("cabinet", ())
    for number in range(plan.cabinets):
        start = place.point()
        turn, bend = 2.0 * math.pi * place.draw(), 0.8 * (place.draw() - 0.5)
        half = SPACING * plan.lamps / 2.0
        corner = beyond(start, half, turn)
        yield Street.model_validate(
            {
                "commune": place.code,
                "legacy_commune": place.legacy,
                "zone": "village" if number % 3 else "street",
                "name": f"tuyến {number + 1}, {place.name}",
                "cabinet": f"{place.code}-cabinet-{number + 1:03d}",
                "cabinet_name": f"Tủ đèn {number + 1}, {place.name}",
                "first": number * plan.lamps + 1,
                "prefix": f"{place.code}-",
                "lamps": plan.lamps,
                "rated_watts": (40.0, 50.0, 60.0, 80.0)[int(place.draw() * 4)],
                "path": [start, corner, beyond(corner, half, turn + bend)],
                "burning": plan.burning[number % len(plan.burning)],
                "powered": "with_circuit" if place.draw() < plan.cut_by_day else "always",
                "format": _in_turn(lamps, number),
                "cabinet_format": _in_turn(cabinets, number),
            }
        )


def _station(place: _Commune, kind: str, title: str, number: int, formats: Sequence[str]) -> dict[str, object]:
    return {
        "device": f"{place.code}-{kind}-{number + 1:02d}",
        "name": f"{title} {number + 1}, {place.name}",
        "commune": place.code,
        "legacy_commune": place.legacy,
        "position": place.point(),
        "format": _in_turn(formats, number),
    }


def _waters(plan: Spread, place: _Commune) -> Iterator[WaterStation]:
    for number in range(plan.water):
        found = _station(place, "water", "Trạm nước", number, plan.formats.get("water", ()))
        if place.code in plan.tidal:
            more = {"kind": "tidal", "tide": plan.tide, "salt": plan.salt, "zone": "river"}
        else:
            more = {"kind": "canal" if number % 2 else "river", "zone": "canal" if number % 2 else "river"}
        yield WaterStation.model_validate(found | more)


def _airs(plan: Spread, place: _Commune) -> Iterator[AirStation]:
    for number in range(plan.air):
        found = _station(place, "air", "Trạm không khí", number, plan.formats.get("air", ()))
        scale = round(0.7 + 0.2 * place.draw(), 2)
        yield AirStation.model_validate(found | {"scale": scale, "straw": plan.straw, "zone": "village"})


def _taps(plan: Spread, place: _Commune) -> Iterator[TapStation]:
    for number in range(plan.tap):
        found = _station(place, "tap", "Điểm đo nước sạch", number, plan.formats.get("tap", ()))
        yield TapStation.model_validate(found | {"mean_flow": round(4.0 + 16.0 * place.draw(), 1), "zone": "village"})
