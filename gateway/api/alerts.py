"""Alerts over HTTP: what fires and what is over, who takes care of it, and where people work."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, TypeVar

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from devices.alert_rules import AlertState, Severity
from devices.registry import Registry
from gateway.analytics.alert_book import AlertBook, AlertChange, Silence
from gateway.analytics.alert_texts import place_text, symbol
from gateway.analytics.worker import Standing
from gateway.api.parts import Parts
from gateway.api.schemas import Moment, TimeText, time_text

router = APIRouter(tags=["alerts"])

T = TypeVar("T")
ACTIVE = (AlertState.FIRING, AlertState.ACKNOWLEDGED)
MOST_LIVE = 500
"""Alerts that one live event holds, the worst first. Chosen: nobody reads more."""
Who = Annotated[str, Field(min_length=1, max_length=64)]
Key = Annotated[str, Field(max_length=64)]


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Words(_Shape):
    """The same in two languages."""

    vi: str
    en: str


class AlertItem(_Shape):
    """One alert."""

    id: str
    """Names it in questions to acknowledge it."""
    rule: str
    domain: str
    severity: Severity
    state: AlertState
    doubtful: bool
    """The values are not to be trusted: check the sensor, or danger."""
    scope: str
    """`device`, `group`, `commune` or `gateway`."""
    commune: str
    group: str
    device: str
    """The device to look at; the cabinet of a group; empty if there is none."""
    place: str
    """What people call the place."""
    title: Words
    advice: Words
    """What to do."""
    law: str
    value: float | None
    limit: float | None
    unit: str
    since: TimeText
    """When what it says began."""
    changed_at: TimeText
    cause: str | None
    """The alert that explains this one; nobody is told of it by itself."""
    silenced: bool
    """Somebody works there, and nobody is told."""
    acknowledged_by: str


class AlertList(_Shape):
    """Alerts, the worst and newest first."""

    total: int
    """All that fit the question."""
    items: list[AlertItem]


class Acknowledgement(_Shape):
    """Somebody takes care of an alert."""

    id: Annotated[str, Field(max_length=300)]
    by: Who


class SilenceQuestion(_Shape):
    """Maintenance: alerts there are kept, and nobody is told. At least one of the four places must be given."""

    commune: Key = ""
    group: Key = ""
    device: Key = ""
    rule: Key = ""
    start: Moment | None = None
    """Default: now."""
    stop: Moment
    by: Who
    reason: Annotated[str, Field(min_length=1, max_length=200)]


class SilenceItem(_Shape):
    """One maintenance window."""

    id: int
    commune: str
    group: str
    device: str
    rule: str
    start: TimeText
    stop: TimeText
    by: str
    reason: str


class SilenceList(_Shape):
    """Every maintenance window that is not over."""

    items: list[SilenceItem]


class SilenceEnd(_Shape):
    """Which maintenance window is over."""

    id: int


class Done(_Shape):
    """It is so now."""

    done: Literal[True] = True


def item_of(change: AlertChange, standing: Standing) -> AlertItem:
    """As the API says it."""
    rule, place, registry = change.rule, change.place, standing.registry
    sensor = standing.sensor
    todo = sensor.advice if change.doubtful else rule.advice
    return AlertItem(
        id=change.id,
        rule=rule.code,
        domain=rule.domain,
        severity=change.severity,
        state=change.state,
        doubtful=change.doubtful,
        scope=place.scope,
        commune=place.commune,
        group=_group(change, registry),
        device=place.device,
        place=place_text(change, registry),
        title=Words(
            vi=rule.title.vi + f" ({sensor.title.vi})" * change.doubtful,
            en=rule.title.en + f" ({sensor.title.en})" * change.doubtful,
        ),
        advice=Words(vi=todo.vi, en=todo.en),
        law=rule.law,
        value=change.value if math.isfinite(change.value) else None,
        limit=change.limit if math.isfinite(change.limit) else None,
        unit=symbol(rule),
        since=time_text(change.since),
        changed_at=time_text(change.at),
        cause=change.cause or None,
        silenced=change.silenced,
        acknowledged_by=change.acknowledged_by,
    )


def _group(change: AlertChange, registry: Registry) -> str:
    if change.place.scope == "group":
        return change.place.name
    index = registry.index.get(change.place.device)
    return "" if index is None else registry.groups.texts[registry.group_of[index]].partition("/")[2]


def worst_first(change: AlertChange) -> tuple[int, int, str]:
    """The order in which people want to see them."""
    return (-change.severity.number, -change.since, change.id)


def live_event(standing: Standing, commune: str | None) -> str:
    """What fires now, as the live stream says it: JSON, the worst first; what another alert explains is left out."""
    wanted = [
        change
        for change in standing.current
        if change.state in ACTIVE and not change.cause and (commune is None or change.place.commune in (commune, ""))
    ]
    items = [item_of(change, standing) for change in sorted(wanted, key=worst_first)[:MOST_LIVE]]
    return AlertList(total=len(wanted), items=items).model_dump_json()


@router.get("/alerts", summary="Alerts: what fires, or what is over")
def alerts(
    parts: Parts,
    commune: Annotated[str | None, Query(max_length=64)] = None,
    state: Annotated[
        Literal["active", "pending", "firing", "acknowledged", "resolved"],
        Query(description="`active`: firing or acknowledged; `resolved`: the last thousand that are over"),
    ] = "active",
    severity: Annotated[Severity | None, Query()] = None,
    device: Annotated[str | None, Query(max_length=64)] = None,
    since: Annotated[Moment | None, Query(description="Changed at or after")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> AlertList:
    """The worst first, then the newest; those that are over by when they ended."""
    standing = parts.alerts()
    states = ACTIVE if state == "active" else (AlertState(state),)
    found: Sequence[AlertChange] = standing.resolved if state == "resolved" else standing.current
    wanted = [
        change
        for change in found
        if change.state in states
        and commune in (None, change.place.commune)
        and severity in (None, change.severity)
        and device in (None, change.place.device)
        and change.at >= (since or 0)
    ]
    wanted.sort(key=(lambda change: (-change.at, 0, change.id)) if state == "resolved" else worst_first)
    return AlertList(total=len(wanted), items=[item_of(change, standing) for change in wanted[offset : offset + limit]])


@router.post("/alerts/acknowledge", summary="Say that somebody takes care of an alert")
def acknowledge(parts: Parts, question: Acknowledgement) -> Done:
    """It stays in the list until what it says is over."""
    now = parts.now()
    if not _ask(parts, lambda book: book.acknowledge(question.id, question.by, now)):
        raise HTTPException(404, f"no alert {question.id!r} is firing; ask /alerts which are")
    return Done()


@router.get("/alerts/silences", summary="Maintenance windows")
def silences(parts: Parts) -> SilenceList:
    """Those that go on or are to come."""
    now = parts.now()
    return SilenceList(items=[_silence_item(one) for one in parts.alerts().silences if one.stop > now])


@router.post("/alerts/silences", summary="Work somewhere without anybody being told")
def silence(parts: Parts, question: SilenceQuestion) -> SilenceItem:
    """Alerts there are kept and listed; who is still beyond a limit when the window ends is told then."""
    _check_places(parts.alerts(), question)
    start = parts.now() if question.start is None else question.start
    if question.stop <= parts.now():
        raise HTTPException(400, "stop: it is over already; give a moment to come")
    wanted = Silence(
        0, start, question.stop, question.by, question.reason, question.commune, question.group, question.device,
        question.rule,
    )  # fmt: skip
    try:
        return _silence_item(_ask(parts, lambda book: book.silence(wanted)))
    except ValueError as error:
        raise HTTPException(400, str(error)) from error


@router.post("/alerts/silences/end", summary="End a maintenance window")
def unsilence(parts: Parts, question: SilenceEnd) -> Done:
    """Alerts that still fire there are told now."""
    if not _ask(parts, lambda book: book.end_silence(question.id)):
        raise HTTPException(404, f"there is no silence {question.id}; ask /alerts/silences which there are")
    return Done()


def _ask(parts: Parts, task: Callable[[AlertBook], T]) -> T:
    try:
        return parts.ask_alerts(task)
    except TimeoutError as error:
        raise HTTPException(503, "the analytics thread is busy or has ended; see /health, try again") from error


def _silence_item(one: Silence) -> SilenceItem:
    times = {"start": time_text(one.start), "stop": time_text(one.stop)}
    return SilenceItem(**(one._asdict() | times))


def _check_places(standing: Standing, question: SilenceQuestion) -> None:
    registry = standing.registry
    if not (question.commune or question.group or question.device or question.rule):
        raise HTTPException(400, "say where: commune, group, device or rule")
    if question.device and question.device not in registry.index:
        raise HTTPException(400, f"device: no {question.device!r} in the fleet")
    if question.commune and question.commune not in registry.communes.number:
        raise HTTPException(400, f"commune: no {question.commune!r} in the fleet")
    if question.group and not any(text.partition("/")[2] == question.group for text in registry.groups.texts):
        raise HTTPException(400, f"group: no {question.group!r} in the fleet")
    if question.rule and question.rule not in standing.rules:
        raise HTTPException(400, f"rule: no {question.rule!r}; rules are {', '.join(standing.rules)}")
