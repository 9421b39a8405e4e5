"""Questions that change the fleet: add, adopt, replace, import; each can be asked first what it would do."""

import time
from collections.abc import Callable
from pathlib import Path as File
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from devices.fleet_changes import UnknownDeviceError
from devices.fleet_csv import MAX_BYTES, FleetError, first_problem
from devices.fleet_row import DEFAULT_ZONE, DEVICE_ID, MOST_CALIBRATIONS, MOST_IDS, FleetRow
from devices.profile import ProfileError
from gateway.api.bodies import blocks, file_body
from gateway.api.fleet_office import Changed
from gateway.api.mending import ReplayStep
from gateway.api.parts import Parts
from gateway.api.schemas import Moment
from gateway.line.adoption import UnsaidError

MOST_PROBLEMS = 5
"""Bad rows that one answer names. Chosen; `village devices import` names fifty."""

ONE = r"^[^;]+$"
"""One entry: in the CSV's cell a semicolon parts several."""

router = APIRouter(tags=["fleet"])

Preview = Annotated[bool, Query(description="Only say what would change")]
Word = Annotated[str, Field(max_length=64)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, str_strip_whitespace=True)


class _Placed(_Body):
    zone: Word = ""
    """`village`, `street`, `industrial_zone`, or your own word."""
    group: Word = ""
    """Cabinet or circuit."""
    name: Annotated[str, Field(max_length=200)] = ""
    """What people call it."""
    latitude: float | None = None
    longitude: float | None = None


class NewDevice(_Placed):
    """One device to be taken in; the keys are the columns of the fleet's CSV."""

    device: Annotated[str, Field(max_length=64)]
    """Names the asset at its place, unique in the whole fleet."""
    profile: Word
    commune: Word
    hardware_ids: Annotated[
        tuple[Annotated[str, Field(max_length=240, pattern=ONE)], ...], Field(max_length=MOST_IDS)
    ] = ()
    """DevEUI, serial or vendor topic name; `...@2026-03-01` is valid since that day."""
    legacy_commune: Word = ""
    interval_seconds: int | None = None
    """If other than the profile's."""
    powered: str = ""
    """`always` or `with_circuit`, if other than the profile's."""
    timezone: Word = DEFAULT_ZONE
    simulated: bool = False
    calibration: Annotated[
        tuple[Annotated[str, Field(max_length=200, pattern=ONE)], ...], Field(max_length=MOST_CALIBRATIONS)
    ] = ()
    """`ph 1.02 -0.05 @2026-03-01`: property, slope, offset, since when."""


class Sender(_Placed):
    """A pending sender to be taken in; what the topic or a sure guess says may be left out."""

    sender: Annotated[str, Field(min_length=1, max_length=1000)]
    """Its topic or hardware id, as in `/pending`."""
    device: Word = ""
    """What it is to be called; the name of a device that is in the fleet makes the sender new hardware of it."""
    profile: Word = ""
    commune: Word = ""


class NewHardware(_Body):
    """What speaks for a device from now on."""

    new: Annotated[str, Field(min_length=1, max_length=200)]
    since: Moment | None = None
    """When it was changed; default: now."""
    old: Annotated[str, Field(max_length=200)] = ""
    """Which of the device's ids gives way, if it has several."""
    move: bool = False
    """The hardware spoke for another device until then, and leaves it."""


class FleetChange(_Body):
    """One device that changed, or would."""

    device: str
    what: str
    """`added`, `adopted`, `changed`, `replaced` or `removed`."""
    detail: str
    """The columns that change, from what to what."""


class FleetChanges(_Body):
    """What a change came to, or with `preview` would come to."""

    applied: bool
    added: int
    changed: int
    removed: int
    changes: list[FleetChange]
    """The first thousand."""
    devices: int | None
    """In the fleet that the gateway uses now; null with `preview`."""
    replay: ReplayStep | None = None
    """Of an adopted sender: what became of what it had said. If `through` is not 0 there is more: go on with
    `POST /refused/replay`."""


@router.post("/devices", summary="Take one device into the fleet")
def add(parts: Parts, device: NewDevice, preview: Preview = False) -> FleetChanges:
    """Needs a fleet database (`gateway.fleet = "fleet.db"`); a CSV file is people's own."""

    def do() -> Changed:
        said = device.model_dump()
        said |= {name: "; ".join(said[name]) for name in ("hardware_ids", "calibration")}
        return parts.fleet.add(FleetRow.model_validate(said), preview=preview)

    return _told(do, preview=preview)


@router.post("/devices/adopt", summary="Take a pending sender into the fleet")
def adopt(parts: Parts, sender: Sender, preview: Preview = False) -> FleetChanges:
    """What it has said so far is stored with its original times."""
    said = sender.model_dump(exclude={"sender"})
    return _told(lambda: parts.fleet.adopt(sender.sender, said, preview=preview), preview=preview)


@router.post("/devices/{device}/replace", summary="New hardware speaks for a device")
def replace(
    parts: Parts,
    device: Annotated[str, Path(pattern=DEVICE_ID)],
    hardware: NewHardware,
    preview: Preview = False,
) -> FleetChanges:
    """What the old one said stays the device's history."""
    at = time.time_ns() if hardware.since is None else hardware.since
    at -= at % 10**9
    return _told(
        lambda: parts.fleet.replace(device, hardware.new, hardware.old, at, move=hardware.move, preview=preview),
        preview=preview,
    )


_CSV = file_body("text/csv", "device,profile,commune,hardware_ids\nlamp-017,nas_ul2030,10642,70B3D58FF1000017\n")


@router.post("/devices/import", summary="Make the fleet as a CSV says", openapi_extra=_CSV)
async def import_csv(
    request: Request,
    parts: Parts,
    preview: Preview = True,
    prune: Annotated[bool, Query(description="Also remove every device the CSV does not name")] = False,
) -> FleetChanges:
    """All of it, or nothing if a row is bad. Without `preview=false` it only says what would change."""
    with TemporaryDirectory(prefix="village-") as folder:
        file = File(folder) / "fleet.csv"
        with file.open("wb") as out:
            async for block in blocks(request, MAX_BYTES, "this is not a fleet"):
                out.write(block)
        return await run_in_threadpool(
            _told, lambda: parts.fleet.import_file(file, prune=prune, preview=preview), preview=preview
        )


def _told(do: Callable[[], Changed], *, preview: bool) -> FleetChanges:
    """The answer, or what is wrong as the command line would say it.

    Raises:
        HTTPException: 400, 404 or 503.
    """
    try:
        done = do()
    except ValidationError as error:
        raise HTTPException(400, first_problem(error)) from error
    except FleetError as error:
        raise HTTPException(400, _problems(error)) from error
    except UnknownDeviceError as error:
        raise HTTPException(404, str(error)) from error
    except (ValueError, UnsaidError, ProfileError) as error:
        raise HTTPException(400, str(error)) from error
    except TimeoutError as error:
        text = "the fleet is changed, but the gateway is too busy to use it: ask `/reload`, then `/refused/replay`"
        raise HTTPException(503, text) from error
    shown: list[Any] = [change._asdict() for change in done.changes]
    for change in shown:
        del change["at"]
    replay = None if done.replay is None else done.replay._asdict()
    return FleetChanges.model_validate(
        {"applied": not preview, **done.counts, "changes": shown, "devices": done.devices, "replay": replay}
    )


def _problems(error: FleetError) -> str:
    """The first bad rows, in one line; the name of our own temporary file says nothing."""
    found = [
        ": ".join(part for part in (f"line {one.line}" if one.line else "", one.column, one.text) if part)
        for one in error.problems
    ]
    more = f" (and {len(found) - MOST_PROBLEMS} more)" if len(found) > MOST_PROBLEMS else ""
    return "; ".join(found[:MOST_PROBLEMS]) + more
