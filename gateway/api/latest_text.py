"""The latest values of many devices as JSON text: 35,000 values are written at once, not made into objects first."""

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache

from devices.profile import Profile
from devices.vocabulary import VOCABULARY
from gateway.api.schemas import time_text
from gateway.line.glance import Glance
from gateway.line.state import State


def latest_text(state: State, seen: Glance, devices: Iterable[int], total: int) -> str:
    """What ``schemas.Latest`` would be written as.

    Args:
        state: whose values.
        seen: of the same state.
        devices: indexes in the registry.
        total: how many there are beside those of this page.
    """
    items = ",".join(_item(state, seen, device) for device in devices)
    return f'{{"total":{total},"items":[{items}]}}'


def _item(state: State, seen: Glance, device: int) -> str:
    at = int(seen.seen[device])
    last_seen = f'"{time_text(at)}"' if at else "null"
    values = ",".join(_values(state, device))
    return (
        f'{{"device":{json.dumps(state.registry.names[device])},"state":"{seen.state(device)}",'
        f'"last_seen":{last_seen},"values":{{{values}}}}}'
    )


def _values(state: State, device: int) -> Iterator[str]:
    series = state.registry.first_series[device]
    known, text = 0, ""
    for position, (begin, middle) in enumerate(_frames(state.registry.profile(device)), start=series):
        quality = state.quality[position]
        if quality:
            at = state.time[position]
            if at != known:  # the values of one message share its time
                known, text = at, time_text(at)
            yield f'{begin}{state.value[position]!r}{middle}{quality},"observed_at":"{text}"}}'


@lru_cache(maxsize=1024)
def _frames_of(names: tuple[str, ...]) -> list[tuple[str, str]]:
    return [
        (f'{json.dumps(name)}:{{"value":', f',"unit":{json.dumps(VOCABULARY[name].unit)},"quality":') for name in names
    ]


def _frames(profile: Profile) -> list[tuple[str, str]]:
    """What stands around the value of each property, up to its quality."""
    return _frames_of(tuple([entry.name for entry in profile.properties]))
