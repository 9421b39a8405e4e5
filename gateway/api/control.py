"""What the gateway may be asked to do: take old readings in, read the fleet anew."""

from collections.abc import Mapping

from fastapi import APIRouter, HTTPException, Request
from starlette.concurrency import run_in_threadpool

from devices.fleet_csv import FleetError
from devices.profile import ProfileError
from gateway.api.bodies import file_body, whole
from gateway.api.parts import Parts, RequestError

MAX_BYTES = 16 * 1024 * 1024
"""One chunk of a thousand records; chosen, far more than any device says at once."""

router = APIRouter(tags=["control"])

_CHUNK = file_body(
    "application/x-ndjson",
    '{"file":"6f1d","start":0}\n{"device":"water-1","observed_at":"2026-05-28T20:26:40Z","ph":7.1}\n',
)


@router.post("/backfill", summary="Take in one chunk of old readings", openapi_extra=_CHUNK)
async def backfill(request: Request, parts: Parts) -> Mapping[str, object]:
    """The first line names the file and the number of the chunk's first record; then one record a line, or none to ask
    how far the file has come (`done`). The answer comes when the records are on disk."""
    chunk = await whole(request, MAX_BYTES, "send fewer records at a time")
    try:
        return await run_in_threadpool(parts.backfill, chunk)
    except RequestError as error:
        raise HTTPException(400, str(error)) from error


@router.post("/reload", summary="Read the fleet and the device profiles anew")
def reload(parts: Parts) -> Mapping[str, object]:
    """All or nothing: with a bad file, the fleet in use stays in use and the answer names the first bad row."""
    try:
        return parts.reload()
    except FleetError as error:
        more = f" (and {len(error.lines) - 1} more; see `village check`)" if len(error.lines) > 1 else ""
        raise HTTPException(400, f"{error.lines[0]}{more}") from error
    except ProfileError as error:
        raise HTTPException(400, str(error)) from error
