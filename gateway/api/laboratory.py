"""Laboratory results over HTTP: entered as CSV with the checks of the command line, listed, removed."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from gateway.analytics.laboratory import Kept, LaboratoryDiskError
from gateway.analytics.laboratory_csv import MAX_BYTES, MOST_DAYS, VALID_DAYS, LaboratoryError
from gateway.api.bodies import file_body, whole
from gateway.api.parts import Parts
from gateway.api.schemas import TimeText, time_text

router = APIRouter(tags=["laboratory"])

_CSV = file_body("text/csv", "device,time,bod5,coliform,valid_days\nriver-1,2026-01-31T08:30,6.5,5000,30\n")


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class SampleItem(_Shape):
    """One sample."""

    id: int
    """0: a preview."""
    device: str
    sampled_at: TimeText
    valid_until: TimeText
    """From then on it completes no index any more."""
    valid: bool
    """It does so now."""
    values: dict[str, float]
    """By parameter of VN_WQI, in its unit."""
    entered_at: TimeText
    entered_by: str
    replaces: int
    """Id of the sample of the same station and moment whose place it takes; 0: none."""


class SampleList(_Shape):
    """Samples, the newest first."""

    total: int
    items: list[SampleItem]


class SamplesEntered(_Shape):
    """What was kept, or with `preview` would be."""

    applied: bool
    items: list[SampleItem]


class Removal(_Shape):
    """Samples to be forgotten."""

    ids: Annotated[tuple[Annotated[int, Field(ge=1, lt=2**63)], ...], Field(min_length=1, max_length=1000)]


class Removed(_Shape):
    """It is so now."""

    removed: int


def sample_item(kept: Kept, now: int) -> SampleItem:
    """As the API says it, at a moment [ns UTC]."""
    sample = kept.sample
    return SampleItem(
        id=kept.id,
        device=sample.device,
        sampled_at=time_text(sample.sampled_at),
        valid_until=time_text(sample.valid_until),
        valid=sample.sampled_at <= now < sample.valid_until,
        values=sample.values,
        entered_at=time_text(kept.entered_at),
        entered_by=kept.entered_by,
        replaces=kept.replaces,
    )


@router.get("/laboratory", summary="Laboratory results that complete VN_WQI")
def samples(
    parts: Parts,
    device: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> SampleList:
    """The newest sample first, those that are over too."""
    found, now = parts.laboratory.samples(device), parts.now()
    return SampleList(total=len(found), items=[sample_item(kept, now) for kept in found[offset : offset + limit]])


@router.post("/laboratory", summary="Enter laboratory results", openapi_extra=_CSV)
async def enter(
    request: Request,
    parts: Parts,
    preview: Annotated[bool, Query(description="Only say what would be kept")] = False,
    by: Annotated[str, Query(max_length=64, description="Who enters them")] = "",
    valid_days: Annotated[
        int, Query(ge=1, le=MOST_DAYS, description="Where the file has no `valid_days`")
    ] = VALID_DAYS,
) -> SamplesEntered:
    """All of the rows, or nothing if one is bad. A sample of the same station and time is replaced."""
    body = await whole(request, MAX_BYTES, "enter them in several files")
    try:
        text = body.decode("utf-8-sig")
        found = await run_in_threadpool(parts.laboratory.add, text, by, valid_days, preview=preview)
    except UnicodeDecodeError as error:
        raise HTTPException(400, "not UTF-8; save the file as UTF-8") from error
    except LaboratoryDiskError as error:
        raise HTTPException(503, str(error)) from error
    except LaboratoryError as error:
        raise HTTPException(400, str(error)) from error
    now = parts.now()
    return SamplesEntered(applied=not preview, items=[sample_item(kept, now) for kept in found])


@router.post("/laboratory/remove", summary="Remove laboratory results")
def remove(parts: Parts, removal: Removal) -> Removed:
    """All of them, or none if one is not there. What was computed with them stays until its hour is computed anew."""
    try:
        parts.laboratory.remove(removal.ids)
    except LaboratoryDiskError as error:
        raise HTTPException(503, str(error)) from error
    except LaboratoryError as error:
        raise HTTPException(404, str(error)) from error
    return Removed(removed=len(set(removal.ids)))
