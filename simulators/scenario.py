"""A scenario: which devices stand where, how they speak and what goes wrong, as data in ``scenarios/*.toml``."""

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from devices.fleet_row import DEVICE_ID
from simulators.faults import Fault
from simulators.shipped import shipped_names

Name = Annotated[str, Field(pattern=DEVICE_ID)]
Position = tuple[Annotated[float, Field(ge=-90, le=90)], Annotated[float, Field(ge=-180, le=180)]]
LocalHour = Annotated[float, Field(ge=0, lt=24)]
Level = Annotated[float, Field(ge=0, le=100)]
Seconds = Annotated[int, Field(gt=0, le=7 * 86400)]


class ScenarioError(Exception):
    """A scenario that cannot be used: one line with file, key and what to do."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Burning(_Data):
    """When a street's lamps burn."""

    on_after_sunset: Annotated[float, Field(ge=-60, le=120)] = 15.0
    """Minutes."""
    off_before_sunrise: Annotated[float, Field(ge=-60, le=120)] = 15.0
    first_level: Level = 100.0
    steps: tuple[tuple[LocalHour, Level], ...] = ((22.0, 50.0),)
    """Local hour, and the level [%] from then on."""


class _Place(_Data):
    commune: Name
    legacy_commune: str = ""
    zone: str = ""


Format = Literal["native", "senml", "tasmota", "zigbee2mqtt", "airrohr", "chirpstack", "things_stack", "sparkplug_b"]


class Street(_Place):
    """One cabinet and the lamps on its feeder."""

    name: str
    """In Vietnamese, as it follows "Đèn 17, "."""
    cabinet: Name
    cabinet_name: str
    first: Annotated[int, Field(ge=1)]
    """Number of the first lamp; names are ``lamp-017``."""
    prefix: str = ""
    """Before the names, to tell communes apart: ``10642-lamp-017``."""
    format: Format = "native"
    cabinet_format: Format = "native"
    lamps: Annotated[int, Field(ge=1, le=300)]
    rated_watts: Annotated[float, Field(gt=0, le=1000)] = 60.0
    path: Annotated[tuple[Position, ...], Field(min_length=2)]
    """Corners of the street; the lamps stand evenly along it, the cabinet at its beginning."""
    burning: Burning = Burning()
    powered: Literal["always", "with_circuit"] = "always"


class Station(_Place):
    """A single device."""

    device: Name
    name: str
    position: Position
    format: Format = "native"
    leave_out: tuple[str, ...] = ()
    """Properties of the profile that this station has no sensor for."""


class WaterStation(Station):
    """A station on a river or canal."""

    kind: Literal["canal", "river", "tidal"]
    tide: Annotated[float, Field(ge=0, le=3)] = 0.0
    salt: Annotated[float, Field(ge=0, le=5)] = 0.0


class AirStation(Station):
    """An air and weather station."""

    scale: Annotated[float, Field(gt=0, le=3)] = 0.8
    """PM against the city of the record."""
    straw: Annotated[float, Field(ge=0, le=10)] = 0.0


class TapStation(Station):
    """A station in the piped network."""

    mean_flow: Annotated[float, Field(gt=0, le=1000)] = 9.0
    plant_pressure: Annotated[float, Field(gt=0, le=10)] = 2.9


class Intervals(_Data):
    """Seconds between two uplinks of a device, by kind."""

    lamp: Seconds = 300
    cabinet: Seconds = 300
    water: Seconds = 300
    air: Seconds = 60
    tap: Seconds = 300


class Spread(_Data):
    """Devices placed by seed in real communes."""

    communes: tuple[Name, ...] = ()
    """Codes; empty means all whose position is known."""
    until_2025: bool = False
    """The 207 communes of the province until 2025-06-30 instead, most of them at constructed places."""
    cabinets: Annotated[int, Field(ge=0, le=1000)]
    """In each commune, like all that follows."""
    lamps: Annotated[int, Field(ge=1, le=300)] = 60
    """On each cabinet."""
    water: Annotated[int, Field(ge=0, le=100)] = 0
    air: Annotated[int, Field(ge=0, le=100)] = 0
    tap: Annotated[int, Field(ge=0, le=100)] = 0
    burning: tuple[Burning, ...] = (Burning(),)
    """Taken in turn by the streets."""
    cut_by_day: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the streets whose feeder is dead by day."""
    formats: dict[Literal["lamp", "cabinet", "water", "air", "tap"], tuple[Format, ...]] = {}
    """Taken in turn by the streets and the stations of a kind; native where none is named."""
    tidal: tuple[Name, ...] = ()
    """Communes on reaches that the tide and the salt come up to."""
    tide: Annotated[float, Field(ge=0, le=3)] = 0.7
    salt: Annotated[float, Field(ge=0, le=5)] = 1.0
    straw: Annotated[float, Field(ge=0, le=10)] = 0.0


class Scenario(_Data):
    """One scenario file."""

    title_vi: str
    title_en: str
    seed: int = 1
    connections: Annotated[int, Field(ge=0, le=1000)] = 0
    """TCP connections to the broker; 0 gives every device its own, with a last will."""
    history_step_seconds: Seconds = 600
    """Devices report this often (or at their interval, if that is longer) in the history that goes before."""
    rain: Annotated[float, Field(ge=0, le=20)] = 1.0
    """Multiplies the rain of every storm."""
    interval: Intervals = Intervals()
    spread: Spread | None = None
    """More devices, placed by seed in many communes."""
    street: tuple[Street, ...] = ()
    water: tuple[WaterStation, ...] = ()
    air: tuple[AirStation, ...] = ()
    tap: tuple[TapStation, ...] = ()
    fault: tuple[Fault, ...] = ()


def parse_scenario(text: str, where: str) -> Scenario:
    """Read one scenario.

    Args:
        where: file name, for the error's text.

    Raises:
        ScenarioError: not TOML, or a key is missing, unknown or wrong; the text names file and key.
    """
    try:
        return Scenario.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{where}: not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "scenario"
        raise ScenarioError(f"{where}: {key}: {first['msg'].removeprefix('Value error, ')}") from error


def load_scenario(name: str) -> Scenario:
    """A shipped scenario by name, or any scenario file by its path.

    Raises:
        ScenarioError: there is none, or it cannot be used.
    """
    if name in shipped_names():
        return parse_scenario((resources.files("simulators") / "scenarios" / f"{name}.toml").read_text("utf-8"), name)
    path = Path(name)
    if path.suffix != ".toml" or not path.is_file():
        raise ScenarioError(f"no scenario {name!r}; shipped are {', '.join(shipped_names())}, or give a .toml file")
    return parse_scenario(path.read_text("utf-8"), name)
