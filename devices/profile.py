"""A device profile: what one type of device is and says, as data in ``profiles/*.toml``."""

import tomllib
from functools import cache
from importlib import resources
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from devices.units import conversion
from devices.vocabulary import VOCABULARY, Measurement

Powered = Literal["always", "with_circuit"]
"""``with_circuit``: the feeder is cut by day, so silence by day is not a fault."""


class ProfileError(Exception):
    """A profile file that cannot be used: one line with file, key and what to do."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ProfileProperty(_Data):
    """One observed property as this device type reports it."""

    name: str
    """Name in the vocabulary."""
    unit: str
    """UCUM code of what the device sends, after ``scale``."""
    path: str = ""
    """Where the codec finds it: a dotted JSON path (``ENERGY.Power``, ``sensors[0].t``), a channel, a register, a
    metric name; empty means the property's own name."""
    scale: float = 1.0
    """Multiplies the device's number, before ``shift`` is added; the result is in ``unit``."""
    shift: float = 0.0
    values: dict[str, float] = {}
    """Texts that stand for numbers, for example ``{ON = 1, OFF = 0}``."""
    sentinels: tuple[float, ...] = ()
    """Numbers that mean "no reading" (``-1``, ``-128``, ``65535``): the observation is left out."""
    low: float | None = None
    """Narrower physical range of this sensor, canonical unit."""
    high: float | None = None
    plausible_low: float | None = None
    plausible_high: float | None = None
    rate: float | None = None
    """Plausible change per minute, canonical unit."""
    flat_after: int = 0
    """This many equal values in a row are SUSPECT (a stuck sensor); 0 means equal values are normal."""
    counter: bool = False
    """A meter that only rises, until it is reset, rolls over or is replaced."""
    rollover: float | None = None
    """The counter's modulus in the canonical unit, where it wraps."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.name not in VOCABULARY:
            raise ValueError(f"property {self.name!r} is not in the vocabulary")
        if conversion(self.name, self.unit) is None:
            canonical = VOCABULARY[self.name].unit
            raise ValueError(f"unit {self.unit!r} cannot express {self.name} (its canonical unit is {canonical})")
        return self


class TimeField(_Data):
    """Where and how this device states its time."""

    path: str
    format: Literal["rfc3339", "local", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns"] = "rfc3339"
    """``local``: ISO text without offset, in the zone the registry gives the device."""


class Evidence(_Data):
    """What the profile was made from."""

    kind: Literal["published", "captured", "constructed"]
    """``published``: bytes and values are both printed in the maker's document or official codec tests."""
    document: str
    page: str = ""


class Profile(_Data):
    """One device type."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9_]+$", max_length=64)]
    maker: str
    model: str
    description_vi: str = ""
    description_en: str = ""
    domain: Measurement
    codec: str
    """Name in ``devices.codecs.CODECS``."""
    interval_seconds: Annotated[int, Field(gt=0, le=7 * 86400)]
    """Expected time between uplinks."""
    powered: Powered = "always"
    time: TimeField | None = None
    sequence: str = ""
    """Where the frame counter or sequence number is; empty if the device sends none."""
    firmware: str = ""
    """Versions the payload document speaks of."""
    properties: Annotated[tuple[ProfileProperty, ...], Field(max_length=128)]
    options: dict[str, Any] = {}
    """The codec's own settings, checked by the codec's ``decoder``."""
    battery: tuple[tuple[float, float], ...] = ()
    """Battery curve: pairs of voltage [V] and level [%], rising; level is derived where the device sends volts only."""
    indicative: bool = False
    """A low-cost sensor: indices computed from it are labelled indicative."""
    evidence: Evidence

    @model_validator(mode="after")
    def _once(self) -> Self:
        names = [(entry.name, entry.path) for entry in self.properties]
        doubled = {name for name in names if names.count(name) > 1}
        if doubled:
            raise ValueError(f"declared twice: {', '.join(sorted(f'{n} {p}'.strip() for n, p in doubled))}")
        return self


def parse_profile(text: str, where: str) -> Profile:
    """Read one profile.

    Args:
        text: TOML.
        where: file name for the error's text; its stem must be the profile's id.

    Raises:
        ProfileError: not TOML, or a key is missing, unknown or wrong; the text names file and key.
    """
    try:
        profile = Profile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{where}: not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "profile"
        raise ProfileError(f"{where}: {key}: {first['msg']}") from error
    stem = where.rsplit("/", 1)[-1].removesuffix(".toml")
    if profile.id != stem:
        raise ProfileError(f"{where}: id: is {profile.id!r}, must be the file's name {stem!r}")
    return profile


@cache
def shipped_profiles() -> dict[str, Profile]:
    """Every profile of ``devices/profiles``, by id."""
    folder = resources.files("devices") / "profiles"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".toml")), key=lambda entry: entry.name)
    return {p.id: p for p in (parse_profile(entry.read_text("utf-8"), entry.name) for entry in files)}
