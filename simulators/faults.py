"""Faults as data: what goes wrong, with which devices, when and how badly; all drawn from the seed."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from fnmatch import translate
from re import compile as compile_pattern
from typing import Annotated, Literal, NamedTuple, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from simulators.local_time import DAY, FIRST, HOUR, OFFSET
from simulators.noise import Floats, Keys, derive, keys_of, normal, uniform

WorldKind = Literal[
    "lamp_out", "lamp_cycling", "lamp_degraded", "day_burner", "circuit_loss", "power_cut", "bad_voltage", "theft",
    "leak", "meter_replaced",
]  # fmt: skip
"""Something is really so: the device says what it sees, and a cabinet sees it too."""
SensorKind = Literal["drift", "stuck", "spike", "wrong_unit"]
"""The world is in order, the value is not."""
DeviceKind = Literal["clock_unset", "clock_ahead", "reboot", "dead_battery", "babbling", "silent"]
"""The device itself misbehaves."""
LinkKind = Literal["lost", "duplicated", "late", "reordered", "garbage", "truncated", "echo", "outage"]
"""Something happens on the way."""
Kind = WorldKind | SensorKind | DeviceKind | LinkKind

WORLD: frozenset[str] = frozenset(get_args(WorldKind))
SENSOR: frozenset[str] = frozenset(get_args(SensorKind))
LINK: frozenset[str] = frozenset(get_args(LinkKind))
DELAYED = frozenset({"late", "duplicated", "echo", "reordered"})
"""Kinds whose ``size`` is seconds, at most an hour; longer is an ``outage``."""
SINGLE = DELAYED | {"spike"}
"""Kinds whose size is drawn anew for each uplink."""

MEANING: dict[str, str] = {
    "lamp_out": "the lamp does not burn; its controller draws standby and reports",
    "lamp_cycling": "the lamp goes out and on again, about every `size` minutes; its controller knows of no failure",
    "lamp_degraded": "the lamp draws the share `size` less than it used to",
    "day_burner": "the lamp burns by day too; with a cabinet the contactor sticks, and all its lamps do",
    "circuit_loss": "the cabinet's feeder is dead; its lamps are silent",
    "power_cut": "no power: silence, a cabinet's lamps are dark; then uptime and sequence number start again",
    "bad_voltage": "`size` volts more than usual (less, if negative) at a lamp, or at a cabinet and all its lamps",
    "theft": "`size` watts are taken from the feeder while it is live",
    "leak": "`size` m3/h flow away, reached after three days",
    "meter_replaced": "the counter starts again at 0 when the spell begins",
    "drift": "`property` is off by the share `size` more each day",
    "stuck": "`property` keeps the value it had when the spell began",
    "spike": "`property` is multiplied by `size` in single uplinks (`chance`)",
    "wrong_unit": "`property` is multiplied by `size`: 1000 is kW sent as W",
    "clock_unset": "the device's clock starts at 1970 when the spell begins",
    "clock_ahead": "the device's clock is `size` hours ahead",
    "reboot": "when the spell begins, sequence number and uptime start at 0, and the counter `property` if it is named",
    "dead_battery": "the battery runs down during seven tenths of the spell; then silence until its end",
    "babbling": "`size` times as many uplinks; those in between carry no sequence number",
    "silent": "no uplinks, and no sign of it from the broker",
    "lost": "single uplinks (`chance`) never arrive",
    "duplicated": "single uplinks (`chance`) arrive again `size` seconds later",
    "late": "single uplinks (`chance`) arrive `size` seconds late",
    "reordered": "single uplinks (`chance`) arrive `size` seconds late: choose it a little over the interval",
    "garbage": "single uplinks (`chance`) are replaced by bytes that are not UTF-8",
    "truncated": "single uplinks (`chance`) are cut off",
    "echo": "single uplinks (`chance`) come again `size` seconds later with the retained flag",
    "outage": "no uplink arrives; those of its last `size` hours come in a burst when the spell ends",
}
"""What each kind does, for the documents."""

CONCERNS: dict[str, frozenset[str]] = {
    "lamp_out": frozenset({"lamp"}),
    "lamp_cycling": frozenset({"lamp"}),
    "lamp_degraded": frozenset({"lamp"}),
    "day_burner": frozenset({"lamp", "cabinet"}),
    "circuit_loss": frozenset({"lamp", "cabinet"}),
    "bad_voltage": frozenset({"lamp", "cabinet"}),
    "theft": frozenset({"cabinet"}),
    "leak": frozenset({"tap"}),
    "meter_replaced": frozenset({"lamp", "cabinet", "tap"}),
}
"""Kinds of device that a fault can happen to, where not to all; others of the same name do not have it."""


class Spell(NamedTuple):
    """One time at which a fault is there."""

    start: float
    stop: float
    size: float


class Current(NamedTuple):
    """Whether devices have a fault at some moments, and the spell they are in; all arrays of one length."""

    inside: NDArray[np.bool_]
    start: Floats
    stop: Floats
    size: Floats


class Fault(BaseModel):
    """One entry ``[[fault]]`` of a scenario."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Kind
    devices: Annotated[str, Field(max_length=200)]
    """Names, with ``*`` and ``?`` standing for any text and any character."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of these devices that have the fault at all; which ones is drawn."""
    together: bool = False
    """All of them at the same times: a mast is down, a server is restarted."""
    always: bool = False
    between: tuple[datetime, datetime] | None = None
    """Two moments with offset."""
    daily: tuple[str, str] | None = None
    """From and until which local time of every day (``"03:00"``); across midnight if the second is the earlier."""
    every_days: Annotated[float | None, Field(gt=0, le=3650)] = None
    """One spell in each such span, at a moment that is drawn."""
    hours: Annotated[float, Field(gt=0)] = 6.0
    """Median length of a drawn spell; lengths are log-normal and never reach the span."""
    hours_spread: Annotated[float, Field(ge=0, le=2)] = 0.6
    """Standard deviation of the logarithm of the length."""
    chance: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of each uplink within the spells, for the kinds that concern single uplinks."""
    property: str = ""
    """Which value, for the kinds of the sensor and for ``reboot``."""
    size: tuple[float, float] = (1.0, 1.0)
    """From, to; drawn evenly for each spell, or for each uplink where the kind concerns single ones."""

    @model_validator(mode="after")
    def _one_time(self) -> Self:
        given = [self.always, self.between is not None, self.daily is not None, self.every_days is not None]
        if sum(given) != 1:
            raise ValueError("name exactly one of always, between, daily, every_days")
        if self.between is not None:
            if any(moment.tzinfo is None for moment in self.between):
                raise ValueError("between: write both moments with an offset, for example 2026-08-01T00:00:00+07:00")
            if self.between[0] >= self.between[1]:
                raise ValueError("between: the first moment must be the earlier one")
        if self.daily is not None:
            for text in self.daily:
                _clock(text)
            if self.kind in WORLD:
                raise ValueError(f"daily: a {self.kind} lasts; use always, between or every_days")
        return self

    @model_validator(mode="after")
    def _fits_kind(self) -> Self:
        if self.size[0] > self.size[1]:
            raise ValueError("size: write the smaller number first")
        if self.kind in SENSOR and not self.property:
            raise ValueError(f"property: say which value a {self.kind} concerns")
        if self.kind in DELAYED and not 0.0 < self.size[0] <= self.size[1] <= HOUR:
            raise ValueError(f"size: {self.kind} takes seconds, more than 0 and at most 3600")
        if self.kind == "outage" and (self.always or self.size[1] > 14 * 24 or self.size[0] <= 0.0):
            raise ValueError("size: an outage ends, and a device remembers more than 0 and at most 336 hours of it")
        if self.kind == "lamp_cycling":
            self._fits_cycling()
        if self.kind == "lamp_degraded" and not 0.0 < self.size[0] <= self.size[1] < 1.0:
            raise ValueError("size: lamp_degraded takes the share of its power that the lamp loses, between 0 and 1")
        if self.kind == "bad_voltage" and not -200.0 <= self.size[0] <= self.size[1] <= 200.0:
            raise ValueError("size: bad_voltage takes volts, -200 to 200")
        if self.kind in {"theft", "leak"} and self.size[0] <= 0.0:
            raise ValueError(f"size: a {self.kind} takes more than 0")
        if self.kind == "babbling" and not 2.0 <= self.size[0] <= self.size[1] <= 100.0:
            raise ValueError("size: babbling takes how many times as many uplinks, 2 to 100")
        return self

    def _fits_cycling(self) -> None:
        if not 2.0 <= self.size[0] <= self.size[1] <= 240.0:
            raise ValueError("size: lamp_cycling takes the minutes from one time out to the next, 2 to 240")
        # Each time out is worked out beforehand, so that energy stays the exact sum of power.
        long = self.always or (self.between is not None and (self.between[1] - self.between[0]).days > 366)
        if long or self.hours > 366 * 24:
            raise ValueError("lamp_cycling: a spell of at most a year; use between or every_days")

    def concerns(self, device_kind: str) -> bool:
        """Whether it can happen to such devices at all."""
        return device_kind in CONCERNS.get(self.kind, (device_kind,))

    def meets(self, names: Sequence[str], keys: Keys) -> NDArray[np.bool_]:
        """Which of these devices ever have the fault.

        Args:
            keys: one key a device.
        """
        match = compile_pattern(translate(self.devices)).match
        named = np.fromiter((match(name) is not None for name in names), dtype=np.bool_, count=len(names))
        if self.share < 1.0 and named.any():
            named &= uniform(derive(keys, f"{self._word()} share"), np.zeros(1, np.int64)) < self.share
        return named

    def _word(self) -> str:
        return f"{self.kind} {self.devices} {self.property}"

    def _owner(self, keys: Keys) -> Keys:
        return np.broadcast_to(keys_of("together", self._word()), keys.shape) if self.together else keys

    def current(self, keys: Keys, at: Floats) -> Current:
        """The spell each of these devices is in at its moment, where there is one.

        A reboot is over at once and its effect stays, so of that the last one counts.
        """
        if self.every_days is not None:
            cell = np.floor((at - FIRST) / (self.every_days * DAY)).astype(np.int64)
            if self.kind == "reboot":
                cell = cell - (self._drawn(keys, cell)[0] > at)
            start, stop, number = self._drawn(keys, cell)
        elif self.daily is not None:
            begin, end = (_clock(text) for text in self.daily)
            number = np.floor((at + OFFSET - begin) / DAY).astype(np.int64)
            start = number.astype(np.float64) * DAY - OFFSET + begin
            stop = start + ((end - begin) % DAY or DAY)
        else:
            whole = self._whole()
            number = np.zeros(at.shape, dtype=np.int64)
            start, stop = np.full(at.shape, whole.start), np.full(at.shape, whole.stop)
        inside = (at >= start) & ((at < stop) | (self.kind == "reboot"))
        return Current(inside, start, stop, self._sizes(keys, number))

    def _whole(self) -> Spell:
        if self.between is None:
            return Spell(FIRST, float("inf"), 0.0)
        return Spell(self.between[0].timestamp(), self.between[1].timestamp(), 0.0)

    def _sizes(self, keys: Keys, number: NDArray[np.int64]) -> Floats:
        low, high = self.size
        return low + (high - low) * uniform(derive(self._owner(keys), f"{self._word()} size"), number)

    def _drawn(self, keys: Keys, cell: NDArray[np.int64]) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """The one spell of each cell: it begins and ends inside."""
        span = (self.every_days or 1.0) * DAY
        owner = self._owner(keys)
        length = self.hours * HOUR * np.exp(self.hours_spread * normal(derive(owner, f"{self._word()} length"), cell))
        length = np.minimum(length, 0.9 * span)
        begin = uniform(derive(owner, f"{self._word()} begin"), cell) * (span - length)
        start = FIRST + cell.astype(np.float64) * span + begin
        return start, start + length, cell

    def spells(self, key: Keys, start: float, stop: float) -> list[Spell]:
        """One device's spells that touch the time from ``start`` to ``stop``, in order."""
        if self.every_days is None and self.daily is None:
            moments = np.array([min(max(self._whole().start, start), stop)])
        else:
            # One moment in the middle of every day, or of every span that spells are drawn in.
            zero, span = (FIRST - OFFSET, DAY) if self.every_days is None else (FIRST, self.every_days * DAY)
            first, last = np.floor((np.array([start, stop]) - zero) / span)
            moments = zero + (np.arange(max(first - 1.0, 0.0), last + 2.0) + 0.5) * span
        found = self.current(np.broadcast_to(key, moments.shape), moments)
        rows = zip(found.start.tolist(), found.stop.tolist(), found.size.tolist(), strict=True)
        return [spell for row in dict.fromkeys(rows) if (spell := Spell(*row)).start < stop and spell.stop > start]


def _clock(text: str) -> float:
    """Seconds after midnight of ``hh:mm``."""
    hours, _, minutes = text.partition(":")
    if not (hours.isdigit() and minutes.isdigit() and int(hours) < 24 and int(minutes) < 60):
        raise ValueError(f"{text!r} is not a time of day; write for example 03:00")
    return int(hours) * HOUR + int(minutes) * 60.0


def fault_keys(seed: int, names: Iterable[str]) -> Keys:
    """The keys that devices' faults are drawn from."""
    return np.array([keys_of(seed, "fault", name)[0] for name in names], dtype=np.uint64)
