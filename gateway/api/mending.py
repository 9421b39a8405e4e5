"""What was refused or wrongly decoded, through the line once more, in steps; and who is not known yet."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from devices.fleet_row import DEVICE_ID
from devices.observation import Reason
from gateway.api.parts import Parts
from gateway.api.schemas import Moment, TimeText, time_text
from gateway.line import redecode, replay

router = APIRouter(tags=["control"])

RowId = Annotated[int, Field(ge=1, le=2**63 - 1)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ReplayQuestion(_Body):
    """Which refused uplinks to try again; without any condition, all of them."""

    since: Moment | None = None
    """Received at or after."""
    until: Moment | None = None
    """Received before."""
    reason: Reason | None = None
    device: Annotated[str, Field(pattern=DEVICE_ID)] | None = None
    """Only what belongs to this device, or does now that the fleet knows it."""
    ids: Annotated[tuple[RowId, ...], Field(max_length=1000)] = ()
    """Only these; `id` of `/refused`."""
    after: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    """`through` of the step before; 0 begins."""

    def wanted(self) -> replay.Wanted:
        everything = replay.Wanted()
        until = everything.until if self.until is None else self.until
        return replay.Wanted(self.since or 0, until, self.reason, self.device or "", self.ids)


class ReplayStep(_Body):
    """What one step came to."""

    through: int
    """Send it as `after` with the next step; 0 when there is nothing left."""
    kept: int
    repeated: int
    refused: int
    """Again, perhaps for another reason; `/refused` says which."""
    cut: int
    """Kept in part only: they cannot be tried again."""
    passed: int
    """Rows looked at, wanted or not."""


class RedecodeQuestion(_Body):
    """Whose accepted uplinks to decode again."""

    devices: Annotated[
        tuple[Annotated[str, Field(pattern=DEVICE_ID)], ...], Field(min_length=1, max_length=redecode.MOST_DEVICES)
    ]
    since: Moment
    """Received at or after."""
    until: Moment | None = None
    """Received before; default: now."""


class RedecodeJob(_Body):
    """A job that has begun; the next step of it is `POST /redecode/{job}`."""

    job: str
    total: int
    """Rows of kept uplinks that it will read."""


class RedecodeProgress(_Body):
    """Where a job is, since it began."""

    done: bool
    passed: int
    total: int
    uplinks: int
    """Decoded again, and written."""
    lines: int
    refused: int
    """Cannot be read as the profile is now: their points stay as they were."""
    damaged: int
    waiting: int
    """Lines that stores must have before the job can begin; ask again."""


class PendingGuess(_Body):
    """A profile that may be the sender's."""

    profile: str
    score: float


class PendingItem(_Body):
    """A sender that is not in the fleet."""

    name: str
    """Device name on our own topics, else the hardware id."""
    source: str
    commune: str
    topic: str
    uplinks: int
    first_at: TimeText
    last_at: TimeText
    sureness: str
    """`sure`, `likely`, `unsure`, or `none` if no profile reads what it says."""
    guesses: list[PendingGuess]


class PendingList(_Body):
    """Senders that are not in the fleet, the one that spoke last first."""

    items: list[PendingItem]


@router.post("/refused/replay", summary="Try refused messages again, one step")
def replay_step(parts: Parts, question: ReplayQuestion) -> ReplayStep:
    """What a mended fleet or profile can use is stored with its original times, once, and moves from refused to kept.
    Ask with `after` until `through` is 0; the answer comes when the readings are on disk."""
    return ReplayStep.model_validate(
        _stepping(lambda: parts.replayer.step(question.wanted(), question.after)._asdict())
    )


@router.post("/refused/replay/count", summary="How many a replay will look at")
def replay_count(parts: Parts, question: ReplayQuestion) -> Mapping[str, int]:
    """For a progress bar: the sum of `passed` over all steps."""
    return {"total": parts.replayer.count(question.wanted())}


@router.post("/redecode", summary="Begin to decode accepted messages again")
def redecode_begin(parts: Parts, question: RedecodeQuestion) -> RedecodeJob:
    """With the profile and calibration as they are now; points are overwritten. One job at a time: a new one ends
    the one before."""
    until = parts.now() if question.until is None else question.until
    try:
        job, total = parts.redecoder.begin(redecode.Wanted(question.devices, question.since, until))
    except ValueError as error:
        raise HTTPException(404, str(error)) from error
    return RedecodeJob(job=job, total=total)


@router.post("/redecode/{job}", summary="Decode the next of them, one step")
def redecode_step(
    parts: Parts, job: Annotated[str, Path(max_length=64, description="`job` of the answer to `POST /redecode`")]
) -> RedecodeProgress:
    """Ask until `done`; the answer comes when the points are on disk."""
    try:
        return RedecodeProgress.model_validate(_stepping(lambda: parts.redecoder.step(job)._asdict()))
    except redecode.UnknownJobError as error:
        raise HTTPException(404, str(error)) from error


def _stepping(step: Any) -> Any:
    try:
        return step()
    except TimeoutError as error:
        raise HTTPException(503, str(error) or "no room in the journal for a minute; ask again") from error


@router.get("/pending", summary="Senders that are not in the fleet")
def pending(
    parts: Parts,
    since: Annotated[Moment | None, Query(description="Heard at or after this time; default: ever")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> PendingList:
    """Each with the profiles that read what it said; `POST /devices/adopt` or `village devices adopt` takes one in."""
    items = []
    for found in parts.pending(since or 0, limit):
        guesses = [PendingGuess(**guess._asdict()) for guess in found.guesses]
        times = {"first_at": time_text(found.first_at), "last_at": time_text(found.last_at)}
        fields = found._asdict() | times | {"guesses": guesses, "sureness": found.sureness}
        items.append(PendingItem.model_validate(fields))
    return PendingList(items=items)
