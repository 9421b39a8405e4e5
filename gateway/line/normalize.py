"""Declared unit to canonical unit, calibration, and whose clock a time comes from: tables compiled once per profile."""

from collections.abc import Sequence
from typing import NamedTuple

from devices.codecs import Decoder, load
from devices.fleet_row import Calibration
from devices.observation import Observation, Reason, RefusedError
from devices.profile import Profile, ProfileProperty
from devices.quality import Clock
from devices.topics import Source
from devices.units import conversion
from devices.vocabulary import VOCABULARY, Measurement

MINUTE = 60_000_000_000
FIVE_MINUTES = 5 * MINUTE
"""A device's clock may be this far ahead of ours. Chosen; see ``Clock.FUTURE``."""
OWN_CLOCK = frozenset({Clock.DEVICE, Clock.ZONED})
"""Clocks whose time is the device's own and can be used."""
YEAR_2015 = 1_420_070_400_000_000_000
"""Before this, a clock was never set: cheap devices start in 1970 or 2000."""


class Slot(NamedTuple):
    """One property of a profile in one declared unit, ready for the line."""

    position: int
    """Index among the profile's properties: series = first series of the device + position."""
    name: str
    measurement: Measurement
    factor: float
    offset: float
    low: float
    high: float
    plausible_low: float
    plausible_high: float
    rate: float
    """Plausible change per minute; 0 is not judged."""
    flat_after: int
    """Equal values in a row that are suspect; 0 is not judged."""
    watched: int
    """Index among the profile's watched properties, see ``watched``; -1 if it is none of them."""


class Plan:
    """What the line needs of one profile from one source."""

    def __init__(self, profile: Profile, source: Source) -> None:
        self.profile = profile
        self.decode: Decoder = load(source.envelope or profile.codec).decoder(profile)
        self._positions = {entry.name: number for number, entry in reversed(list(enumerate(profile.properties)))}
        self._entries = {entry.name: entry for entry in reversed(profile.properties)}
        self._watched = {name: number for number, name in enumerate(watched(profile))}
        self._slots: dict[tuple[str, str], Slot] = {}
        for entry in profile.properties:
            self._slots.setdefault((entry.name, entry.unit), self._slot(entry, entry.unit))

    def slots(self, observations: Sequence[Observation]) -> list[Slot]:
        """The slot of each observation.

        Raises:
            RefusedError: ``property`` or ``unit``.
        """
        known = self._slots
        try:
            return [known[name, unit] for name, _, unit, _ in observations]
        except KeyError:
            return [self._find(name, unit) for name, _, unit, _ in observations]

    def _find(self, name: str, unit: str) -> Slot:
        slot = self._slots.get((name, unit))
        if slot is not None:
            return slot
        entry = self._entries.get(name)
        if entry is None:
            raise RefusedError(Reason.PROPERTY, f"{name!r} is not declared by profile {self.profile.id}")
        if conversion(name, unit) is None:
            canonical = VOCABULARY[name].unit
            raise RefusedError(Reason.UNIT, f"{name} cannot be in {unit[:32]!r}; its unit is {canonical!r}")
        # Bounded: only units the conversion table knows ever get here.
        slot = self._slots[name, unit] = self._slot(entry, unit)
        return slot

    def _slot(self, entry: ProfileProperty, unit: str) -> Slot:
        known, rule = VOCABULARY[entry.name], conversion(entry.name, unit)
        if rule is None:  # the profile's own check forbids it
            raise RefusedError(Reason.UNIT, f"{entry.name} cannot be in {unit!r}")
        return Slot(
            position=self._positions[entry.name],
            name=entry.name,
            measurement=known.measurement,
            factor=rule.factor,
            offset=rule.offset,
            low=_or(entry.low, known.low),
            high=_or(entry.high, known.high),
            plausible_low=_or(entry.plausible_low, known.plausible_low),
            plausible_high=_or(entry.plausible_high, known.plausible_high),
            rate=effective_rate(entry),
            flat_after=entry.flat_after,
            watched=self._watched.get(entry.name, -1),
        )


def effective_rate(entry: ProfileProperty) -> float:
    """Plausible change per minute of a property in this profile; 0 is not judged."""
    return _or(entry.rate, VOCABULARY[entry.name].rate)


def watched(profile: Profile) -> list[str]:
    """Properties of which more than the latest value must be known, because their change or repetition is judged."""
    names = (entry.name for entry in profile.properties if entry.flat_after or effective_rate(entry))
    return list(dict.fromkeys(names))


def _or(own: float | None, general: float) -> float:
    return general if own is None else own


def canonical(profile: Profile) -> Profile:
    """The same properties and limits as the native codec says them: a file holds canonical values, whatever format the
    device itself speaks."""
    plain = {"path": "", "scale": 1.0, "shift": 0.0, "values": {}, "sentinels": ()}
    properties = tuple(
        entry.model_copy(update={**plain, "unit": VOCABULARY[entry.name].unit}) for entry in profile.properties
    )
    return profile.model_copy(update={"codec": "native", "properties": properties})


def calibrated(name: str, value: float, at: int, calibrations: Sequence[Calibration]) -> float:
    """The value after the calibration that is valid at that moment, if any."""
    valid = [c for c in calibrations if c.property == name and c.since <= at]
    return value * valid[-1].slope + valid[-1].offset if valid else value


def place_in_time(observed_at: int | None, received_at: int, *, zoned: bool) -> tuple[int, Clock]:
    """The time a reading is stored at, and whose clock that was.

    >>> place_in_time(None, 5, zoned=False)
    (5, <Clock.RECEIVED: 1>)
    """
    if observed_at is None:
        return received_at, Clock.RECEIVED
    if observed_at < YEAR_2015:
        return received_at, Clock.UNSET
    if observed_at > received_at + FIVE_MINUTES:
        return received_at, Clock.FUTURE
    return observed_at, Clock.ZONED if zoned else Clock.DEVICE


class Placed(NamedTuple):
    """Values of one uplink that share a time."""

    at: int
    clock: Clock
    slots: Sequence[Slot]
    values: list[float]
    """Canonical units, calibrated, finite."""


def places(
    observations: Sequence[Observation],
    slots: Sequence[Slot],
    received_at: int,
    zoned: bool,
    calibrations: Sequence[Calibration],
) -> list[Placed]:
    """The values by time: an uplink with several times (SenML packs, buffered values) is several lines, oldest first.

    Raises:
        RefusedError: ``not_finite``, for a value that its unit or calibration makes too large.
    """
    if not observations:
        return []
    first = observations[0].observed_at
    for observation in observations:
        if observation.observed_at != first:
            break
    else:
        return [_place(first, received_at, zoned, observations, slots, calibrations)]
    by_time: dict[int | None, list[int]] = {}
    for number, observation in enumerate(observations):
        by_time.setdefault(observation.observed_at, []).append(number)
    found: list[Placed] = []
    for at in sorted(by_time, key=lambda t: -1 if t is None else t):
        some, their = [observations[n] for n in by_time[at]], [slots[n] for n in by_time[at]]
        found.append(_place(at, received_at, zoned, some, their, calibrations))
        # Times that cannot be used become the time of receipt, and must not overwrite each other there.
        received_at += found[-1].clock not in OWN_CLOCK
    return found


def _place(
    observed_at: int | None,
    received_at: int,
    zoned: bool,
    observations: Sequence[Observation],
    slots: Sequence[Slot],
    calibrations: Sequence[Calibration],
) -> Placed:
    at, clock = place_in_time(observed_at, received_at, zoned=zoned)
    values = [o.value * s.factor + s.offset for o, s in zip(observations, slots, strict=True)]
    if calibrations:
        values = [calibrated(s.name, value, at, calibrations) for value, s in zip(values, slots, strict=True)]
    total = sum(values)
    if total - total != 0.0:  # a sum is infinite sooner than its parts
        for slot, value in zip(slots, values, strict=True):
            if value - value != 0.0:
                raise RefusedError(Reason.NOT_FINITE, f"{slot.name}: too large in its canonical unit")
    return Placed(at, clock, slots, values)
