"""A profile's fields, compiled: what the device wrote at one place becomes a finite number in the declared unit."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from devices.codecs.json_paths import Path, compile_path
from devices.codecs.json_text import number
from devices.observation import Observation, Reason, RefusedError
from devices.profile import Profile, ProfileError, ProfileProperty
from devices.units import conversion

_NUMBER = re.compile(r"\s*[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,4})?\s*\Z", re.ASCII)


class Field(NamedTuple):
    """One property of a profile, ready to read."""

    name: str
    unit: str
    path: Path
    plain: bool
    """The device's number is the value: no scale, shift or sentinels."""
    multiplier: float
    divisor: float
    """A scale of 0.1 is a division by 10, so that 583 becomes 58.3 and not 58.300000000000004."""
    shift: float
    texts: dict[str, float]
    """Texts that stand for numbers; ``true`` and ``false`` are the JSON booleans."""
    sentinels: frozenset[float]
    numbers_as_text: bool

    def value(self, found: object) -> float | None:
        """The number in ``unit`` for what the device wrote; None for null and for a sentinel.

        Raises:
            RefusedError: ``field_type`` or ``not_finite``.
        """
        if found is None:
            return None
        if isinstance(found, (str, bool)):
            word = found if isinstance(found, str) else "true" if found else "false"
            stated = self.texts.get(word)
            if stated is not None:
                return stated
            if isinstance(found, str) and self.numbers_as_text:
                found = text_number(found, self.name)
        return self.scaled(number(found, self.name))

    def scaled(self, value: float) -> float | None:
        """A finite number of the device in ``unit``; None for a sentinel."""
        if self.plain:
            return value
        if value in self.sentinels:
            return None
        result = value * self.multiplier / self.divisor + self.shift
        if result - result != 0.0:
            raise RefusedError(Reason.NOT_FINITE, f"{self.name}: the number is too large for a float")
        return result

    def raw(self, value: float) -> object:
        """The reverse of ``value`` for encoders: what the device would write for a number in ``unit``."""
        for word, stated in self.texts.items():
            if stated == value:
                return word if self.numbers_as_text else {"true": True, "false": False}.get(word, word)
        found = (value - self.shift) * self.divisor / self.multiplier
        return f"{found:.12g}" if self.numbers_as_text else found


def written(field: Field, values: Mapping[str, float]) -> object:
    """For encoders: what the device would write for a canonical value; None if ``values`` has none."""
    rule = conversion(field.name, field.unit)
    if field.name not in values or rule is None:
        return None
    return field.raw((values[field.name] - rule.offset) / rule.factor)


def text_number(text: str, name: str) -> float:
    """A number written as text, spaces around it allowed.

    Raises:
        RefusedError: ``field_type`` if it is none, ``not_finite`` if it is too large or says NaN or infinity.
    """
    if _NUMBER.match(text) is None:
        if text.strip().lstrip("+-").lower() in {"nan", "inf", "infinity"}:
            raise RefusedError(Reason.NOT_FINITE, f"{name}: {text.strip()[:12]!r} is not a reading")
        raise RefusedError(Reason.FIELD_TYPE, f"{name}: expected a number, found text")
    return number(float(text), name)


def compile_field(entry: ProfileProperty, path: Path, numbers_as_text: bool = False) -> Field:
    """One property, found at this place."""
    inverse = 1.0 / entry.scale
    whole = float(round(inverse))
    divides = abs(inverse) > 1.0 and abs(inverse - whole) < 1e-12 * abs(inverse)
    return Field(
        name=entry.name,
        unit=entry.unit,
        path=path,
        plain=entry.scale == 1.0 and entry.shift == 0.0 and not entry.sentinels,
        multiplier=1.0 if divides else entry.scale,
        divisor=whole if divides else 1.0,
        shift=entry.shift,
        texts=dict(entry.values),
        sentinels=frozenset(entry.sentinels),
        numbers_as_text=numbers_as_text,
    )


def compile_fields(profile: Profile) -> tuple[Field, ...]:
    """Every property of a profile, by JSON path; an empty one is the property's own name.

    Raises:
        ProfileError: a path that is none, a scale of 0, or an option ``numbers_as_text`` that is no boolean.
    """
    as_text = profile.options.get("numbers_as_text", False)
    if not isinstance(as_text, bool):
        raise ProfileError(f"{profile.id}: options.numbers_as_text: must be true or false")
    refuse_zero_scale(profile)
    return tuple(
        compile_field(entry, compile_path(entry.path or entry.name, f"{profile.id}: {entry.name}"), as_text)
        for entry in profile.properties
    )


def compile_names(profile: Profile, numbers_as_text: bool = False) -> dict[str, Field]:
    """Every property of a profile by the plain name it has in the format: ``path``, else the property's own.

    Raises:
        ProfileError: two properties of one name, or a scale of 0.
    """
    refuse_zero_scale(profile)
    fields: dict[str, Field] = {}
    for entry in profile.properties:
        name = entry.path or entry.name
        if name in fields:
            raise ProfileError(f"{profile.id}: {entry.name}: path: {name!r} is already {fields[name].name}")
        fields[name] = compile_field(entry, (name,), numbers_as_text)
    return fields


def refuse_zero_scale(profile: Profile) -> None:
    """A scale of 0 would turn every number into the shift.

    Raises:
        ProfileError: there is one.
    """
    for entry in profile.properties:
        if entry.scale == 0.0:
            raise ProfileError(f"{profile.id}: {entry.name}: scale: must not be 0")


def once_each(observations: Iterable[Observation]) -> list[Observation]:
    """The first observation of each property, where a profile has several paths for one."""
    first: dict[str, Observation] = {}
    for observation in observations:
        first.setdefault(observation.property, observation)
    return list(first.values())


def last_each(observations: list[Observation]) -> list[Observation]:
    """The last observation of each property and time, where a format can say the same thing twice in one message."""
    if len({name for name, _, _, _ in observations}) == len(observations):
        return observations
    last = {(observation.property, observation.observed_at): observation for observation in observations}
    return list(last.values())


def allow_options(profile: Profile, *known: str) -> None:
    """Check that the profile sets no option that its codec does not know.

    Raises:
        ProfileError: it does.
    """
    for name in profile.options:
        if name not in known:
            raise ProfileError(
                f"{profile.id}: options.{name}: codec {profile.codec} knows only {', '.join(known) or 'none'}"
            )
