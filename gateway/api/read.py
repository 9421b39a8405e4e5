"""The fleet and what it says now: vocabulary, communes, devices, latest values."""

import unicodedata
from typing import Annotated, NamedTuple

import numpy as np
from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from numpy.typing import NDArray

from devices.registry import Registry
from devices.vocabulary import VOCABULARY, Measurement
from gateway.api.latest_text import latest_text
from gateway.api.parts import Parts
from gateway.api.schemas import (
    CalibrationInfo,
    Commune,
    Communes,
    Device,
    DeviceDetail,
    Devices,
    Latest,
    PropertyInfo,
    Value,
    Vocabulary,
    VocabularyEntry,
    time_text,
)
from gateway.line.glance import STATES, DeviceState, Glance, column
from gateway.line.state import State

router = APIRouter(tags=["fleet"])

Limit = Annotated[int, Query(ge=1, le=5000, description="At most so many items")]
Offset = Annotated[int, Query(ge=0, le=10_000_000, description="Leave so many out")]
CommuneKey = Annotated[str | None, Query(max_length=64, description="Only this commune")]
DeviceName = Annotated[str, Path(max_length=64, description="Name of a device", examples=["lamp-017"])]


@router.get("/vocabulary", summary="Every observed property with its unit and meaning")
def vocabulary() -> Vocabulary:
    """One unit a property, everywhere; `low` and `high` are what is physically possible."""
    names = VocabularyEntry.model_fields
    return Vocabulary(
        properties=[
            VocabularyEntry(**{key: value for key, value in entry._asdict().items() if key in names})
            for entry in VOCABULARY.values()
        ]
    )


@router.get("/communes", summary="The communes of the fleet")
def communes(parts: Parts) -> Communes:
    """How many devices each has, and in which states."""
    seen = parts.look()
    registry = seen.registry
    commune_of = column(registry.commune_of)
    items = []
    for number, key in enumerate(registry.communes.texts):
        mine = commune_of == number
        items.append(
            Commune(
                commune=key,
                name=parts.commune_name(key),
                devices=int(mine.sum()),
                latitude=_middle(column(registry.latitude)[mine]),
                longitude=_middle(column(registry.longitude)[mine]),
                **{state.value: count for state, count in seen.counts(mine).items()},
            )
        )
    return Communes(items=items)


def _middle(degrees: NDArray[np.float64]) -> float | None:
    known = degrees[~np.isnan(degrees)]
    return round(float(known.mean()), 6) if known.size else None


@router.get("/devices", summary="The devices of the fleet, with their state")
def devices(
    request: Request,
    parts: Parts,
    commune: CommuneKey = None,
    domain: Annotated[Measurement | None, Query(description="Only what measures this")] = None,
    group: Annotated[str | None, Query(max_length=64, description="Only this cabinet or circuit")] = None,
    state: Annotated[DeviceState | None, Query(description="Only devices in this state")] = None,
    q: Annotated[
        str | None, Query(max_length=100, description="Part of name or label, with or without accents")
    ] = None,
    limit: Limit = 200,
    offset: Offset = 0,
) -> Devices:
    """In the order of the fleet file."""
    seen = parts.look()
    chosen = _choose(seen.registry, commune, domain, group)
    if state is not None:
        chosen &= seen.codes == STATES.index(state)
    found = np.flatnonzero(chosen)
    if q:
        texts, wanted = _folded(request, seen.registry), _fold(q)
        found = np.array([device for device in found.tolist() if wanted in texts[device]], dtype=np.intp)
    page = found[offset : offset + limit].tolist()
    return Devices(total=len(found), items=[_device(seen, device) for device in page])


def _choose(registry: Registry, commune: str | None, domain: str | None, group: str | None) -> NDArray[np.bool_]:
    chosen = np.ones(len(registry), np.bool_)
    if commune is not None:
        chosen &= column(registry.commune_of) == registry.communes.number.get(commune, -1)
    if domain is not None:
        wanted = [number for number, profile in enumerate(registry.profiles) if profile.domain == domain]
        chosen &= np.isin(column(registry.profile_of), wanted)
    if group is not None:
        # A group's key holds its commune: the same cabinet number may exist in two of them.
        wanted = [number for number, key in enumerate(registry.groups.texts) if key.partition("/")[2] == group]
        chosen &= np.isin(column(registry.group_of), wanted)
    return chosen


class _Folded(NamedTuple):
    registry: Registry
    texts: list[str]


def _folded(request: Request, registry: Registry) -> list[str]:
    """Name and label of every device without accents, made once for a fleet that somebody searches."""
    known: _Folded | None = getattr(request.app.state, "folded", None)
    if known is None or known.registry is not registry:
        pairs = zip(registry.names, registry.labels, strict=True)
        known = _Folded(registry, [_fold(f"{name}\n{label}") for name, label in pairs])
        request.app.state.folded = known
    return known.texts


def _fold(text: str) -> str:
    """Lower case without accents: `Đèn số 3` is found by `den so 3`."""
    plain = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def _device(seen: Glance, index: int) -> Device:
    device = seen.registry.device(index)
    at = int(seen.seen[index])
    return Device(
        device=device.name,
        label=device.label,
        commune=device.commune,
        zone=device.zone,
        group=device.group,
        domain=device.profile.domain,
        profile=device.profile.id,
        latitude=device.latitude,
        longitude=device.longitude,
        simulated=device.simulated,
        powered=device.powered,
        interval_seconds=device.interval_seconds,
        last_seen=time_text(at) if at else None,
        state=seen.state(index),
    )


@router.get("/devices/{device}", summary="Everything known of one device")
def device_detail(parts: Parts, device: DeviceName) -> DeviceDetail:
    """What it is, what it can measure, how it is calibrated, and its latest values."""
    state = parts.state()
    index = find_device(state.registry, device)
    found = state.registry.device(index)
    names = dict.fromkeys(entry.name for entry in found.profile.properties)
    known = [VOCABULARY[name] for name in names]
    return DeviceDetail(
        **_device(parts.look(state), index).model_dump(),
        maker=found.profile.maker,
        model=found.profile.model,
        hardware_ids=[hardware.value for hardware in found.hardware_ids],
        timezone=str(found.zone_info),
        calibration=[
            CalibrationInfo(property=c.property, slope=c.slope, offset=c.offset, since=time_text(c.since))
            for c in found.calibration
        ],
        properties=[PropertyInfo(name=p.name, unit=p.unit, symbol=p.symbol, en=p.en, vi=p.vi) for p in known],
        values=_values(state, index),
    )


def find_device(registry: Registry, device: str) -> int:
    index = registry.index.get(device)
    if index is None:
        raise HTTPException(404, f"no device {device!r} in the fleet; see /devices")
    return index


def _values(state: State, device: int) -> dict[str, Value]:
    first = state.registry.first_series[device]
    values = {}
    for position, entry in enumerate(state.registry.profile(device).properties):
        latest = state.latest(first + position)
        if latest is not None:
            unit, at = VOCABULARY[entry.name].unit, time_text(latest.observed_at)
            values[entry.name] = Value(value=latest.value, unit=unit, quality=latest.quality, observed_at=at)
    return values


@router.get("/latest", response_model=Latest, summary="The latest values of many devices")
def latest(
    parts: Parts,
    commune: CommuneKey = None,
    device: Annotated[str | None, Query(max_length=64, description="Only this device")] = None,
    limit: Limit = 1000,
    offset: Offset = 0,
) -> Response:
    """In the order of the fleet file; a property without a value yet is left out."""
    state = parts.state()
    seen = parts.look(state)
    chosen = _choose(state.registry, commune, None, None)
    if device is not None:
        index = find_device(state.registry, device)
        chosen &= np.arange(len(chosen)) == index
    found = np.flatnonzero(chosen)
    text = latest_text(state, seen, found[offset : offset + limit].tolist(), len(found))
    return Response(text, media_type="application/json")
