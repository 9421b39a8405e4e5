"""The latest values of many devices as JSON text: 35,000 values are written at once, not made into objects first."""

import json
from collections.abc import Iterable
from functools import cache

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
    registry = state.registry
    frames = cache(lambda profile: _frames(registry.profiles[profile]))
    items = ",".join([_item(state, seen, device, frames(registry.profile_of[device])) for device in devices])
    return f'{{"total":{total},"items":[{items}]}}'


def _item(state: State, seen: Glance, device: int, frames: list[str]) -> str:
    at = int(seen.seen[device])
    last_seen = f'"{time_text(at)}"' if at else "null"
    return (
        f'{{"device":{json.dumps(state.registry.names[device])},"state":"{seen.state(device)}",'
        f'"last_seen":{last_seen},"values":{{{_values(state, device, frames)}}}}}'
    )


def _values(state: State, device: int, frames: list[str]) -> str:
    first = state.registry.first_series[device]
    last = first + len(frames)
    known, text = 0, ""
    found: list[str] = []
    # Slices of the columns: an index for each of 35,000 values would take as long as all the rest.
    for frame, value, quality, at in zip(
        frames, state.value[first:last], state.quality[first:last], state.time[first:last], strict=True
    ):
        if quality:
            if at != known:  # the values of one message share its time
                known, text = at, time_text(at)
            found.append(frame % (value, quality, text))
    return ",".join(found)


def _frames(profile: Profile) -> list[str]:
    """What value, quality and time of each property are put into."""
    return [
        f'{json.dumps(entry.name)}:{{"value":%r,"unit":{json.dumps(VOCABULARY[entry.name].unit).replace("%", "%%")},'
        '"quality":%d,"observed_at":"%s"}'
        for entry in profile.properties
    ]
