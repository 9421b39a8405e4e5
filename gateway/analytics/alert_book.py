"""The book of alerts: pending, firing, acknowledged, resolved; causes, maintenance silences, and who has to be told."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from devices.alert_rules import AlertRule, AlertState, Severity

MINUTE = 60_000_000_000
KEPT_RESOLVED = 1000
"""Resolved alerts that the book still shows. Chosen."""
MAX_SILENCES = 1000

ScopeName = Literal["device", "group", "commune", "gateway"]


class Key(NamedTuple):
    """One rule at one place: there is at most one alert of it at a time."""

    rule: int
    """Index of the rule."""
    scope: ScopeName
    number: int
    """Index of the device, group or commune in the registry, or of the gateway's part."""
    doubtful: bool = False
    """The values that raised it are SUSPECT or FAIL: check the sensor, or danger."""


class Place(NamedTuple):
    """Where an alert is, in names."""

    scope: ScopeName
    name: str
    """Device, group, commune key or part of the gateway."""
    commune: str
    """Empty for the gateway itself."""
    device: str
    """The device to look at; the cabinet of a group; empty if there is none."""


@dataclass(slots=True)
class Alert:
    """One alert that is not resolved."""

    key: Key
    since: int
    """[ns UTC] when what it says began, by the device's clock."""
    state: AlertState
    changed_at: int
    value: float
    limit: float
    last_at: int
    """[ns UTC] of the newest value that was looked at."""
    cause: Key | None = None
    cause_at: int = 0
    """[ns UTC] when the cause ended; 0 while it lasts."""
    told: bool = False
    """People were told that it fires."""
    acknowledged_by: str = ""


class AlertChange(NamedTuple):
    """An alert went from one state to another."""

    id: str
    """Names the alert, not the change: rule, scope and place."""
    rule: AlertRule
    place: Place
    doubtful: bool
    state: AlertState
    severity: Severity
    value: float
    limit: float
    since: int
    """[ns UTC]"""
    at: int
    """[ns UTC] of the change."""
    cause: str
    """Id of the alert that explains this one; empty if none."""
    notify: bool
    """People have to be told: it is new, not explained by another, and nobody works there."""
    acknowledged_by: str
    silenced: bool = False
    """Somebody works there, and nobody is told. Only filled in where all alerts are listed."""


class Silence(NamedTuple):
    """Maintenance: alerts there are kept in the book and nobody is told. An empty word fits all."""

    id: int
    start: int
    """[ns UTC]"""
    stop: int
    by: str
    reason: str
    commune: str = ""
    group: str = ""
    device: str = ""
    rule: str = ""


def _name(code: str, place: Place, doubtful: bool) -> str:
    return f"{code}{'?' if doubtful else ''}/{place.scope}/{place.commune}/{place.name}"


@dataclass(slots=True)
class AlertBook:
    """Every alert that is not resolved, and what became of it since the book was asked last."""

    rules: Sequence[AlertRule]
    place: Callable[[Key], Place]
    """Names of a key's place."""
    covers: Callable[[Key, int], Iterable[Key]]
    """Keys of a rule (by index) that would explain an alert: at its device, its group, its commune."""
    outlives: Callable[[Key, int, int], bool]
    """Whether an alert whose cause ended at a moment [ns UTC] is so for itself at another: only then it is told."""
    group_of: Callable[[Key], str]
    alerts: dict[Key, Alert] = field(default_factory=dict)
    silences: list[Silence] = field(default_factory=list)
    resolved: deque[AlertChange] = field(default_factory=lambda: deque(maxlen=KEPT_RESOLVED))
    _changed: list[tuple[Alert, AlertState]] = field(default_factory=list)
    _gone: list[tuple[Alert, bool]] = field(default_factory=list)
    _untold: dict[Key, None] = field(default_factory=dict)
    _explained: dict[Key, set[Key]] = field(default_factory=dict)
    """Firing alerts nobody is told of, by the alert that explains them."""
    _causes: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Causes as indexes of rules."""
        codes = {rule.code: number for number, rule in enumerate(self.rules)}
        self._causes = [[codes[code] for code in rule.causes if code in codes] for rule in self.rules]

    # conditions ----------------------------------------------------------------------------------------------

    def beyond(
        self, key: Key, at: int, value: float, limit: float, hold: int = 0, *, fresh: bool = True, since: int = 0
    ) -> None:
        """What the rule watches for is so.

        Args:
            key: rule and place.
            at: when it was so [ns UTC, event time].
            value: what was seen.
            limit: what it is compared with.
            hold: [ns] it has to be so for this long before it fires.
            fresh: it is news; what was so long ago may begin an alert, but only fresh values fire it.
            since: [ns UTC] when it began, if that is known to be earlier.
        """
        alert = self.alerts.get(key)
        if alert is None:
            alert = self.alerts[key] = Alert(key, since or at, AlertState.PENDING, at, value, limit, at)
            if hold > 0 or not fresh:
                self._changed.append((alert, AlertState.PENDING))
        alert.value, alert.limit, alert.last_at = value, limit, max(at, alert.last_at)
        if alert.state is AlertState.PENDING and fresh and at - alert.since >= hold:
            alert.state, alert.changed_at = AlertState.FIRING, at
            self._untold[key] = None
            self._changed.append((alert, AlertState.FIRING))

    def within(self, key: Key, at: int) -> None:
        """What the rule watches for is so no longer."""
        alert = self.alerts.pop(key, None)
        if alert is not None:
            alert.changed_at = at
            self._untold.pop(key, None)
            if alert.cause is not None:
                self._explained.get(alert.cause, set()).discard(key)
            self._gone.append((alert, alert.told))

    # people --------------------------------------------------------------------------------------------------

    def acknowledge(self, id_: str, by: str, now: int) -> bool:
        """Somebody takes care of it; False if no such alert is firing."""
        for key, alert in self.alerts.items():
            if alert.state is AlertState.FIRING and self.id(key) == id_:
                alert.state, alert.changed_at, alert.acknowledged_by = AlertState.ACKNOWLEDGED, now, by[:64]
                self._untold.pop(key, None)
                alert.told = True
                self._changed.append((alert, AlertState.ACKNOWLEDGED))
                return True
        return False

    def silence(self, silence: Silence) -> Silence:
        """Nobody is told of alerts there while it lasts. Returns it with its number.

        Raises:
            ValueError: it ends before it begins, or there are too many.
        """
        if silence.stop <= silence.start:
            raise ValueError("a silence must end after it begins")
        if len(self.silences) >= MAX_SILENCES:
            raise ValueError(f"there are {MAX_SILENCES} silences; end some of them")
        kept = silence._replace(id=1 + max((known.id for known in self.silences), default=0))
        self.silences.append(kept)
        return kept

    def end_silence(self, number: int) -> bool:
        """False if there is no such silence."""
        before = len(self.silences)
        self.silences = [silence for silence in self.silences if silence.id != number]
        return len(self.silences) < before

    def _is_silenced(self, key: Key, now: int) -> bool:
        if not self.silences:
            return False
        place, group, code = self.place(key), self.group_of(key), self.rules[key.rule].code
        return any(
            silence.start <= now < silence.stop
            and silence.commune in ("", place.commune)
            and silence.group in ("", group)
            and silence.device in ("", place.device)
            and silence.rule in ("", code)
            for silence in self.silences
        )

    # out -----------------------------------------------------------------------------------------------------

    def id(self, key: Key) -> str:
        """The alert's name: rule, scope, commune and place."""
        return _name(self.rules[key.rule].code, self.place(key), key.doubtful)

    def changes(self, now: int) -> list[AlertChange]:
        """What changed since this was asked last, in order, with who has to be told."""
        self.silences = [silence for silence in self.silences if silence.stop > now]
        found = []
        for alert, told in self._gone:
            change = self._change(alert, AlertState.RESOLVED, told and not self._is_silenced(alert.key, now))
            if alert.state is not AlertState.PENDING:
                self.resolved.append(change)
            found.append(change)
            for key in self._explained.pop(alert.key, ()):
                self.alerts[key].cause_at = now
                self._untold[key] = None
        told_now = {key for key in list(self._untold) if self._is_to_tell(self.alerts[key], now)}
        for alert, state in self._changed:
            if self.alerts.get(alert.key) is alert:  # otherwise it was resolved in the same breath, which is told above
                found.append(self._change(alert, state, state is AlertState.FIRING and alert.key in told_now))
        changed = {alert.key for alert, state in self._changed if state is AlertState.FIRING}
        for key in told_now:
            held = self.alerts[key]
            held.told = True
            del self._untold[key]
            if key not in changed:  # its cause or its silence is over, and it is still so
                held.changed_at = now
                found.append(self._change(held, AlertState.FIRING, notify=True))
        self._changed, self._gone = [], []
        return found

    def _is_to_tell(self, alert: Alert, now: int) -> bool:
        for number in self._causes[alert.key.rule]:
            for key in self.covers(alert.key, number):
                other = self.alerts.get(key)
                if other is not None and other.state is not AlertState.PENDING:
                    alert.cause, alert.cause_at = key, 0
                    self._explained.setdefault(key, set()).add(alert.key)
                    del self._untold[alert.key]
                    return False
        if alert.cause is not None:
            if not self.outlives(alert.key, alert.cause_at, now):
                return False
            alert.cause = None
        return not self._is_silenced(alert.key, now)

    def _change(self, alert: Alert, state: AlertState, notify: bool) -> AlertChange:
        rule = self.rules[alert.key.rule]
        severity = rule.severity.lower() if alert.key.doubtful else rule.severity
        cause = self.id(alert.cause) if alert.cause is not None else ""
        return AlertChange(
            self.id(alert.key), rule, self.place(alert.key), alert.key.doubtful, state, severity, alert.value,
            alert.limit, alert.since, alert.changed_at, cause, notify, alert.acknowledged_by,
        )  # fmt: skip

    def standing(self, keys: Iterable[Key]) -> list[AlertChange]:
        """Those of some alerts that are not resolved, as they stand."""
        known = (self.alerts.get(key) for key in keys)
        return [self._change(alert, alert.state, notify=False) for alert in known if alert is not None]

    def current(self, now: int = 0) -> list[AlertChange]:
        """Every alert that is not resolved, as its last change would be told, with the silences of a moment."""
        found = [self._change(alert, alert.state, notify=False) for alert in self.alerts.values()]
        if not self.silences:
            return found
        keys = list(self.alerts)
        return [one._replace(silenced=self._is_silenced(key, now)) for key, one in zip(keys, found, strict=True)]

    # snapshot ------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """Plain data; places by name, so that it can be taken over by another fleet."""
        return {
            "alerts": [self._dumped(alert) for alert in self.alerts.values()],
            "silences": [list(silence) for silence in self.silences],
            "resolved": [[change.rule.code, *change[2:]] for change in self.resolved],
        }

    def _dumped(self, alert: Alert) -> dict[str, Any]:
        return {
            "rule": self.rules[alert.key.rule].code,
            "place": list(self.place(alert.key)),
            "doubtful": alert.key.doubtful,
            "state": alert.state.value,
            "times": [alert.since, alert.changed_at, alert.last_at, alert.cause_at],
            "value": alert.value,
            "limit": alert.limit,
            "told": alert.told,
            "by": alert.acknowledged_by,
            "cause": None
            if alert.cause is None
            else [self.rules[alert.cause.rule].code, *self.place(alert.cause), alert.cause.doubtful],
        }

    def load(self, saved: dict[str, Any], find: Callable[[Place], int | None]) -> None:
        """Take a dump over. Alerts of rules and places that are gone are dropped.

        Args:
            saved: from ``dump``.
            find: number of a place in this fleet, None if it is not there any more.

        Raises:
            KeyError, ValueError, TypeError: it is no dump.
        """
        numbers = {rule.code: number for number, rule in enumerate(self.rules)}

        def key_of(code: str, place: Place, doubtful: bool) -> Key | None:
            number = find(place)
            return None if code not in numbers or number is None else Key(numbers[code], place.scope, number, doubtful)

        for entry in saved["alerts"]:
            key = key_of(entry["rule"], Place(*entry["place"]), entry["doubtful"])
            if key is None:
                continue
            since, changed_at, last_at, cause_at = entry["times"]
            cause = entry["cause"]
            alert = Alert(
                key, since, AlertState(entry["state"]), changed_at, entry["value"], entry["limit"], last_at,
                key_of(cause[0], Place(*cause[1:5]), cause[5]) if cause else None, cause_at, entry["told"], entry["by"],
            )  # fmt: skip
            self.alerts[key] = alert
            if alert.state is AlertState.FIRING and not alert.told:
                self._untold[key] = None  # with the next look it finds its cause again
        self.silences = [Silence(*silence) for silence in saved["silences"]]
        for code, place, doubtful, state, severity, *rest in saved.get("resolved", ()):
            if code in numbers:
                head = Place(*place), doubtful, AlertState(state), Severity(severity)
                self.resolved.append(AlertChange(_name(code, *head[:2]), self.rules[numbers[code]], *head, *rest))
