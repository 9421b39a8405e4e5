"""One property of one device over time, gathered into buckets of a readable width."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from devices.vocabulary import VOCABULARY
from gateway.api.parts import Parts
from gateway.api.read import find_device
from gateway.api.schemas import Moment, Series
from gateway.model import StoreError, Window

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
MAX_SPAN = 5 * 366 * DAY
WIDTHS = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
    86400, 2 * 86400, 7 * 86400, 30 * 86400,
)  # fmt: skip
"""Widths of a point that people can read off an axis [s]; beyond them, multiples of the last."""

router = APIRouter(tags=["fleet"])


@router.get("/series", summary="One property of one device over time")
def series(
    parts: Parts,
    device: Annotated[str, Query(max_length=64, examples=["lamp-017"])],
    name: Annotated[str, Query(alias="property", max_length=64, examples=["power"])],
    start: Annotated[Moment | None, Query(description="Included; default: a day before `stop`")] = None,
    stop: Annotated[Moment | None, Query(description="Not included; default: now")] = None,
    points: Annotated[int, Query(ge=2, le=5000, description="At most so many points")] = 500,
    store: Annotated[str | None, Query(max_length=32, description="Ask this store; default: the first")] = None,
) -> Series:
    """Readings are gathered into buckets of a readable width, so that no more than `points` come back."""
    registry = parts.state().registry
    index = find_device(registry, device)
    known = dict.fromkeys(entry.name for entry in registry.profile(index).properties)
    if name not in known:
        raise HTTPException(404, f"{device} has no property {name!r:.70}; it has {', '.join(known)}")
    end = parts.now() if stop is None else stop
    begin = max(end - DAY, 0) if start is None else start
    if not begin < end <= begin + MAX_SPAN:
        raise HTTPException(400, "start must lie before stop, by five years at most")
    place = store or next(iter(parts.stores))
    if place not in parts.stores:
        raise HTTPException(404, f"no store {place!r}; there are {', '.join(parts.stores)}")
    width = bucket_seconds(begin, end, points)
    window = Window(begin // (width * SECOND) * width * SECOND, end, width * SECOND, points)
    entry = VOCABULARY[name]
    try:
        found = parts.stores[place].series(entry.measurement, registry.commune(index), device, name, window)
    except StoreError as error:
        raise HTTPException(503, f"store {place} cannot be asked now: {error}") from error
    return Series(
        device=device,
        property=name,
        unit=entry.unit,
        every_seconds=width,
        points=[(point.time // 1_000_000, point.mean, point.low, point.high) for point in found],
    )


def bucket_seconds(start: int, stop: int, points: int) -> int:
    """The narrowest readable width with which whole buckets from ``start`` to ``stop`` [ns] are at most ``points``.

    >>> bucket_seconds(0, DAY, 500)
    300
    """
    for width in WIDTHS:
        if _buckets(start, stop, width) <= points:
            return width
    months = 1
    while _buckets(start, stop, months * WIDTHS[-1]) > points:
        months += 1
    return months * WIDTHS[-1]


def _buckets(start: int, stop: int, width: int) -> int:
    return (stop - 1) // (width * SECOND) - start // (width * SECOND) + 1
