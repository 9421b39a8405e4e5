"""Alert rules as data of ``standards/alerts.toml``: what is watched, from when on it alerts, what staff are told."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from devices.standard_data import Data, Source, Text
from devices.vocabulary import VOCABULARY, Measurement

Kind = Literal[
    "threshold", "rate", "silent", "lamp", "circuit", "theft", "leak", "index", "limit", "commune", "gateway"
]
FaultName = Literal["OUT", "DAY_BURNER", "CYCLING", "DEGRADED", "VOLTAGE"]

_NEEDS: dict[str, tuple[str, ...]] = {
    "threshold": ("property",),
    "rate": ("property", "within_minutes"),
    "silent": ("intervals", "minutes"),
    "lamp": ("fault",),
    "circuit": ("fault",),
    "theft": (),
    "leak": (),
    "index": ("level",),
    "limit": (),
    "commune": ("share", "least_devices", "intervals", "minutes"),
    "gateway": ("minutes",),
}
_BOUNDS = {"threshold": ("above", "below"), "rate": ("rise", "fall")}
_MAY = {"threshold": ("minutes", "hysteresis")}


class Severity(StrEnum):
    """How bad it is, worst last."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def number(self) -> int:
        """1, 2 or 3: as it is stored."""
        return list(Severity).index(self) + 1

    def lower(self) -> "Severity":
        """The next milder one."""
        return list(Severity)[max(0, self.number - 2)]


class AlertState(StrEnum):
    """Where an alert stands."""

    RESOLVED = "resolved"
    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"

    @property
    def number(self) -> int:
        """0 to 3: as it is stored."""
        return list(AlertState).index(self)


class AlertRule(Data):
    """One rule. Which figures it needs depends on its kind; others are refused."""

    code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
    kind: Kind
    domain: Measurement
    severity: Severity
    title: Text
    advice: Text
    """What to do."""
    law: str = ""
    """The limit's source, where there is one."""
    causes: tuple[str, ...] = ()
    """Rules whose alert explains this one: it is then not reported by itself."""
    property: str = ""
    above: float | None = None
    below: float | None = None
    hysteresis: Annotated[float, Field(ge=0)] = 0.0
    minutes: Annotated[float | None, Field(ge=0, le=7 * 1440)] = None
    rise: Annotated[float | None, Field(gt=0)] = None
    fall: Annotated[float | None, Field(gt=0)] = None
    within_minutes: Annotated[float | None, Field(gt=0, le=7 * 1440)] = None
    intervals: Annotated[float | None, Field(gt=1, le=1000)] = None
    fault: FaultName | None = None
    level: str | None = None
    share: Annotated[float | None, Field(gt=0, le=1)] = None
    least_devices: Annotated[int | None, Field(ge=2)] = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needs, bounds, may = _NEEDS[self.kind], _BOUNDS.get(self.kind, ()), _MAY.get(self.kind, ())
        for name in needs:
            if getattr(self, name) in (None, ""):
                raise ValueError(f"{self.code}: a {self.kind} rule needs {name}")
        if bounds and sum(getattr(self, name) is not None for name in bounds) != 1:
            raise ValueError(f"{self.code}: a {self.kind} rule needs either {' or '.join(bounds)}")
        figures = {name for names in (*_NEEDS.values(), *_BOUNDS.values(), *_MAY.values()) for name in names}
        for name in figures - {*needs, *bounds, *may}:
            if getattr(self, name) not in (None, "", 0.0):
                raise ValueError(f"{self.code}: a {self.kind} rule has no {name}")
        if self.property and self.property not in VOCABULARY:
            raise ValueError(f"{self.code}: property {self.property!r} is not in the vocabulary")
        return self


class SensorTexts(Data):
    """What is said instead where the value itself is doubtful."""

    title: Text
    advice: Text


class AlertRules(Data):
    """Every rule."""

    source: Source
    sensor: SensorTexts
    rules: Annotated[tuple[AlertRule, ...], Field(max_length=200)]

    @model_validator(mode="after")
    def _linked(self) -> Self:
        codes = [rule.code for rule in self.rules]
        doubled = {code for code in codes if codes.count(code) > 1}
        if doubled:
            raise ValueError(f"rules: {', '.join(sorted(doubled))} stands twice")
        for rule in self.rules:
            unknown = set(rule.causes) - set(codes)
            if unknown:
                raise ValueError(f"{rule.code}: causes names the unknown rule {', '.join(sorted(unknown))}")
        return self
