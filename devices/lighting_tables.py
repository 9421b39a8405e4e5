"""Burning schedules of street lamps and thresholds of inferred faults, as data of ``standards/lighting.toml``."""

from datetime import time
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from devices.standard_data import Data, Source, Text

Minutes = Annotated[int, Field(ge=-720, le=720)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]


class Switching(Data):
    """A moment of every night: by the clock, or by the sun."""

    clock: time | None = None
    sun: Literal["sunset", "sunrise"] | None = None
    minutes: Minutes = 0
    """After the sun; before it if negative."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.clock is None) == (self.sun is None):
            raise ValueError("write either clock or sun")
        if self.clock is not None and self.minutes:
            raise ValueError("minutes belong to sun, not to clock")
        return self


class DimmingStep(Data):
    """From this time of the night on, this much light."""

    at: time
    percent: Annotated[int, Field(ge=0, le=100)]


class Schedule(Data):
    """When a lamp should burn."""

    code: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    name: Text
    on: Switching
    off: Switching
    levels: tuple[DimmingStep, ...] = ()


class Assignment(Data):
    """Which lamps follow a schedule; an empty word fits all."""

    schedule: str
    commune: str = ""
    zone: str = ""
    group: str = ""


class Baseline(Data):
    """What each lamp of a commune is compared with when savings are computed; an empty commune fits all."""

    commune: str = ""
    watts_each: Annotated[float, Field(gt=0, le=5000)]
    """[W] of the lamps of before, their ballasts included."""
    source: Text
    """Where that comes from, in words; shown wherever the saving is."""


class Place(Data):
    """A position on the map [deg]."""

    latitude: Annotated[float, Field(ge=-66, le=66)]
    longitude: Annotated[float, Field(ge=-180, le=180)]


class Detect(Data):
    """From when on something is wrong. Watts, volts, minutes and shares are explained in the file."""

    burning_watts: Positive
    switching_minutes: Positive
    out_minutes: Positive
    day_minutes: Positive
    least_readings: Annotated[int, Field(ge=1, le=100)]
    cycling_flips: Annotated[int, Field(ge=2, le=16)]
    cycling_hours: Positive
    degraded_ratio: Share
    recovered_ratio: Share
    degraded_minutes: Positive
    learning_reports: Annotated[int, Field(ge=1, le=1000)]
    nominal_volts: Positive
    low_volts: Positive
    high_volts: Positive
    volts_hysteresis: Positive
    volts_minutes: Positive
    circuit_share: Share
    day_share: Share = 0.5
    circuit_least_lamps: Annotated[int, Field(ge=2)]
    circuit_intervals: Positive
    theft_watts: Positive
    theft_share: Share
    theft_minutes: Positive
    cable_loss_share: Annotated[float, Field(ge=0, lt=1)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.degraded_ratio < self.recovered_ratio:
            raise ValueError("degraded_ratio must be below recovered_ratio")
        if not self.low_volts + self.volts_hysteresis < self.high_volts - self.volts_hysteresis:
            raise ValueError("low_volts and high_volts are too close together")
        return self


class Lighting(Data):
    """Schedules, who follows them, and thresholds."""

    source: Source
    place: Place
    schedules: Annotated[tuple[Schedule, ...], Field(min_length=1, max_length=200)]
    assignments: Annotated[tuple[Assignment, ...], Field(min_length=1)]
    baselines: tuple[Baseline, ...] = ()
    detect: Detect

    @model_validator(mode="after")
    def _known(self) -> Self:
        codes = [schedule.code for schedule in self.schedules]
        for assignment in self.assignments:
            if assignment.schedule not in codes:
                raise ValueError(f"assignments: no schedule {assignment.schedule!r}")
        if not any((a.commune, a.zone, a.group) == ("", "", "") for a in self.assignments):
            raise ValueError("assignments: one must fit every lamp (without commune, zone and group)")
        return self

    def baseline_of(self, commune: str) -> Baseline | None:
        """What a commune's lamps are compared with: the last line that fits; None if nobody said."""
        fitting = [baseline for baseline in self.baselines if baseline.commune in ("", commune)]
        return fitting[-1] if fitting else None

    def schedule_of(self, commune: str, zone: str, group: str) -> int:
        """Index of the schedule that a lamp of this commune, zone and group follows."""
        fitting = [
            a.schedule
            for a in self.assignments
            if a.commune in ("", commune) and a.zone in ("", zone) and a.group in ("", group)
        ]
        return [schedule.code for schedule in self.schedules].index(fitting[-1])
