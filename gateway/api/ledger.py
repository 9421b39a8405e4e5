"""Whether all is well and where every message went: health, metrics, ledger, refused uplinks."""

import base64
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response

from devices.observation import Reason
from devices.quality import Clock
from gateway.api.parts import ApiParts, PartHealth, Parts
from gateway.api.schemas import (
    Health,
    Ledger,
    LedgerHour,
    LedgerHours,
    LedgerTotals,
    Lines,
    Moment,
    PartState,
    RefusedDetail,
    RefusedItem,
    RefusedPage,
    StoreLines,
    time_text,
)
from gateway.line.records import RefusedRow, StoreTotals
from gateway.metrics import Exposition, Measure

DAY = 86_400_000_000_000
Status = Literal["ok", "degraded", "failing"]
BigId = Annotated[int, Path(ge=1, le=2**63 - 1, description="`id` of a refused uplink", examples=[17])]

router = APIRouter(tags=["ledger"])


def status_of(parts: Sequence[PartHealth]) -> Status:
    """One word for all parts: the worst of them.

    >>> status_of([PartHealth("broker", "waiting", "")])
    'degraded'
    """
    states = {part.state for part in parts}
    return "failing" if "failing" in states else "degraded" if "waiting" in states else "ok"


@router.get("/health", summary="How the gateway is, part by part", responses={503: {"model": Health}})
def health(parts: Parts, response: Response) -> Health:
    """Status 200 while readings are kept safely (`ok`, `degraded`), 503 when a person must do something (`failing`)."""
    found = parts.health()
    status = status_of(found)
    response.status_code = 503 if status == "failing" else 200
    return Health(
        status=status,
        version=parts.version,
        now=time_text(parts.now()),
        parts=[PartState(**part._asdict()) for part in found],
        ledger=LedgerTotals(**parts.records.totals()._asdict()),
    )


@router.get(
    "/metrics",
    summary="The same numbers for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"example": 'village_uplinks_total{outcome="kept"} 1042.0\n'}}}},
)
def metrics(request: Request) -> Response:
    """Prometheus text format 0.0.4; every name begins with `village_`."""
    exposition: Exposition = request.app.state.exposition
    return Response(exposition.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def measures(parts: ApiParts) -> Iterator[Measure]:
    """Every metric's value now."""
    records, tally, now = parts.records, parts.tally(), parts.now()
    totals, lines = records.totals(), records.lines()
    yield Measure("village_build_info", 1, (parts.version,))
    yield Measure("village_uplinks_received_total", totals.received)
    # A counter must not fall: an uplink that a replay took stays counted as what it was at first.
    moved = records.replayed()
    at_first = (totals.kept - moved.kept, totals.refused + sum(moved), totals.repeated - moved.repeated)
    for outcome, count in zip(("kept", "refused", "repeated"), at_first, strict=True):
        yield Measure("village_uplinks_total", count, (outcome,))
    yield Measure("village_replayed_total", sum(moved))
    yield Measure("village_ledger_holds", totals.holds and lines.holds)
    for reason, count in records.by_reason().items():
        yield Measure("village_refused_kept", count, (reason,))
    yield Measure("village_readings_total", tally.readings)
    for clock in Clock:
        yield Measure("village_clock_total", tally.clock[clock], (clock.name.lower(),))
    yield Measure("village_late_total", tally.late)
    yield Measure("village_stale_total", tally.stale)
    yield Measure("village_lines_kept_total", lines.kept)
    for store in lines.stores:
        name = (store.store,)
        age = (now - store.oldest_waiting_at) / 1e9 if store.oldest_waiting_at else 0.0
        yield Measure("village_store_lines_waiting", store.waiting, name)
        yield Measure("village_store_oldest_waiting_seconds", max(age, 0.0), name)
        yield Measure("village_store_lines_stored_total", store.stored, name)
        yield Measure("village_store_lines_rejected_total", store.rejected, name)
        yield Measure("village_store_lines_given_up_total", store.given_up, name)
    yield Measure("village_lost_at_broker_total", records.broker_lost())
    yield Measure("village_lines_lost_on_disk_total", records.lost_on_disk())
    for state, count in parts.look().counts().items():
        yield Measure("village_devices", count, (state,))
    for part in parts.health():
        for word in ("ok", "waiting", "failing"):
            yield Measure("village_part_state", part.state == word, (part.part, word))


@router.get("/ledger", summary="What came in, and what became of it")
def ledger(parts: Parts) -> Ledger:
    """`received = kept + refused + repeated`, counted in uplinks; `kept = waiting + stored + rejected + given_up`, in
    lines and by store. `holds` says whether both sums are right. `lost_at_broker` are uplinks, `lost_on_disk` lines."""
    records = parts.records
    totals, lines = records.totals(), records.lines()
    return Ledger(
        totals=LedgerTotals(**totals._asdict()),
        holds=totals.holds and lines.holds,
        lines=Lines(kept=lines.kept, stores=[_store(store) for store in lines.stores]),
        lost_at_broker=records.broker_lost(),
        lost_on_disk=records.lost_on_disk(),
        by_reason=records.by_reason(),
    )


def _store(store: StoreTotals) -> StoreLines:
    oldest = time_text(store.oldest_waiting_at) if store.oldest_waiting_at else None
    return StoreLines(**store._asdict() | {"oldest_waiting_at": oldest})


@router.get("/ledger/devices", summary="The ledger by hour of receipt and device")
def ledger_devices(
    parts: Parts,
    since: Annotated[Moment | None, Query(description="Default: a day ago")] = None,
    until: Annotated[Moment | None, Query(description="Not included; default: now")] = None,
    device: Annotated[
        str | None, Query(max_length=64, description="Only this one; `?village` for unknown ones")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> LedgerHours:
    """Newest hour first. Unknown senders share one row a topic root, named `?` and the root."""
    end = parts.now() + 1 if until is None else until
    rows = parts.records.by_device(end - DAY if since is None else since, end, device, limit)
    return LedgerHours(items=[LedgerHour(**row._asdict() | {"hour": time_text(row.hour)}) for row in rows])


@router.get("/refused", summary="Messages that were kept and could not be used, newest first")
def refused(
    parts: Parts,
    since: Annotated[
        Moment | None, Query(description="Received at or after this time; default: all that are kept")
    ] = None,
    reason: Annotated[Reason | None, Query(description="Only for this reason")] = None,
    device: Annotated[str | None, Query(max_length=64, description="Only of this device")] = None,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="`next_before` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> RefusedPage:
    """Each names its reason in one word and in one sentence; `/refused/{id}` has the bytes."""
    records = parts.records
    rows = records.refused(since or 0, reason, device, before, limit)
    return RefusedPage(
        total_by_reason=records.by_reason(),
        items=[RefusedItem.model_validate(_refused(row)) for row in rows],
        next_before=rows[-1].id if len(rows) == limit else None,
    )


@router.get("/refused/{number}", summary="One of them with its bytes")
def refused_one(parts: Parts, number: BigId) -> RefusedDetail:
    """The bytes as they came, in Base64; `truncated` where only their beginning was kept."""
    found = parts.records.refused_payload(number)
    if found is None:
        raise HTTPException(404, f"no refused message {number}; it may have made room for newer ones")
    row, payload, truncated = found
    encoded = base64.b64encode(payload).decode()
    return RefusedDetail.model_validate(_refused(row) | {"payload_base64": encoded, "truncated": truncated})


def _refused(row: RefusedRow) -> dict[str, object]:
    return row._asdict() | {"received_at": time_text(row.received_at)}
