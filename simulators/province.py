"""The province's 207 communes until 2025-06-30: thirty at their real places, the others at constructed ones."""

import math
from typing import NamedTuple

import numpy as np

from devices import standards
from devices.limit_tables import LegacyCommune, LegacyDistrict
from simulators.noise import keys_of, uniform

AREA = 1668.28 / 207
"""Square kilometres of a commune in the mean: the province's area over their number."""
SOUTH, NORTH, WEST, EAST = 20.684, 21.237, 106.124, 106.611
"""The province's extent, as far as points of its communes are known; its outline is not."""
_METRES = 111_200.0
"""Of a degree of latitude."""
_GOLDEN = math.pi * (3.0 - math.sqrt(5.0))


class Place(NamedTuple):
    """A commune as devices are spread in it."""

    code: str
    """Its key in fleets and topics."""
    name: str
    """In Vietnamese, with the kind."""
    position: tuple[float, float]
    area: float
    """Square kilometres."""
    legacy: str = ""
    """Official code until 2025-06-30."""


def beyond(start: tuple[float, float], metres: float, turn: float) -> tuple[float, float]:
    """The point so far away in a direction."""
    latitude, longitude = start
    narrow = math.cos(math.radians(latitude))
    return (
        round(latitude + metres * math.sin(turn) / _METRES, 6),
        round(longitude + metres * math.cos(turn) / _METRES / narrow, 6),
    )


def province_places(seed: int) -> list[Place]:
    """All 207, district by district.

    Keys are neither today's codes nor look like them: ``old-10642`` is a real commune with its old code, ``sim-288-07``
    a constructed one, of which nothing is real but the district it stands for.
    """
    places = standards.shipped().communes
    found: list[Place] = []
    for district in places.districts:
        known = [one for one in places.legacy if one.district == district.name]
        found += [_real(one) for one in known]
        for number, position in enumerate(_constructed(district, known, seed), start=1):
            name = f"đơn vị giả định {number}, {district.name}"
            found.append(Place(f"sim-{district.code}-{number:02d}", name, position, AREA))
    return found


def _real(commune: LegacyCommune) -> Place:
    position = (commune.latitude, commune.longitude)
    return Place(f"old-{commune.code}", f"xã {commune.name}", position, AREA, commune.code)


def _constructed(district: LegacyDistrict, known: list[LegacyCommune], seed: int) -> list[tuple[float, float]]:
    """Places for the communes whose own are not known: evenly around the district's point, turned by the seed.

    Of as many places as the district has communes, each known commune takes away the nearest.
    """
    centre = (district.latitude, district.longitude)
    radius = math.sqrt(district.communes * AREA / math.pi) * 1000.0
    turn = 2.0 * math.pi * float(uniform(keys_of(seed, "district", district.code), np.zeros(1, np.int64))[0])
    free = []
    for number in range(district.communes):
        away = radius * math.sqrt((number + 0.5) / district.communes)
        latitude, longitude = beyond(centre, away, turn + number * _GOLDEN)
        free.append((min(max(latitude, SOUTH), NORTH), min(max(longitude, WEST), EAST)))
    for one in known:
        free.remove(min(free, key=lambda place: math.dist(place, (one.latitude, one.longitude))))
    return free
