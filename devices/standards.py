"""What the law says, as data: index tables, limits, prices, places; every figure with source, date and flag."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from devices.alert_rules import AlertRules
from devices.index_tables import AirIndex, WaterIndex
from devices.lighting_tables import Lighting
from devices.limit_tables import AirLimits, Communes, Energy, SurfaceWater, TapWater
from devices.standard_data import Data
from devices.water_supply_tables import WaterSupply

MAX_BYTES = 1_000_000
"""No table is longer; a file that is was put there by mistake."""

_D = TypeVar("_D", bound=Data)


class StandardsError(Exception):
    """A standards file that cannot be used: one line with file, key and what to do."""


@dataclass(frozen=True, slots=True)
class Standards:
    """Every table, checked."""

    vn_aqi: AirIndex
    vn_wqi: WaterIndex
    air_limits: AirLimits
    surface_water: SurfaceWater
    tap_water: TapWater
    energy: Energy
    lighting: Lighting
    water_supply: WaterSupply
    alerts: AlertRules
    communes: Communes


@cache
def shipped() -> Standards:
    """The tables of ``devices/standards`` as they are shipped."""
    return load(None)


def load(folder: Path | None) -> Standards:
    """The shipped tables, each replaced as a whole by the operator's file of the same name, if there is one.

    Args:
        folder: where the operator's own files are; None for the shipped tables only.

    Raises:
        StandardsError: the folder does not exist or holds a file that no table has the name of; a file is not TOML, or
            a key is missing, unknown or wrong.
    """
    own = _own_files(folder)
    return Standards(
        vn_aqi=_read("vn_aqi", AirIndex, own),
        vn_wqi=_read("vn_wqi", WaterIndex, own),
        air_limits=_read("air_limits", AirLimits, own),
        surface_water=_read("surface_water", SurfaceWater, own),
        tap_water=_read("tap_water", TapWater, own),
        energy=_read("energy", Energy, own),
        lighting=_read("lighting", Lighting, own),
        water_supply=_read("water_supply", WaterSupply, own),
        alerts=_read("alerts", AlertRules, own),
        communes=_read("communes", Communes, own),
    )


def table_names() -> tuple[str, ...]:
    """Names of the shipped tables, without ``.toml``."""
    entries = (resources.files("devices") / "standards").iterdir()
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml")))


def _own_files(folder: Path | None) -> dict[str, Path]:
    if folder is None:
        return {}
    if not folder.is_dir():
        raise StandardsError(f"{folder}: no such folder; make it or leave the setting out")
    found = {path.stem: path for path in sorted(folder.glob("*.toml"))}
    for name, path in found.items():
        if name not in table_names():
            raise StandardsError(f"{path}: no table has this name; the tables are {', '.join(table_names())}")
    return found


def _read(name: str, model: type[_D], own: dict[str, Path]) -> _D:
    shipped_file = resources.files("devices") / "standards" / f"{name}.toml"
    return parse(own.get(name, shipped_file), model)


def parse(file: Path | Traversable, model: type[_D]) -> _D:
    """Read one table.

    Raises:
        StandardsError: cannot be read, too long, not UTF-8, not TOML, or a key is missing, unknown or wrong.
    """
    try:
        data = file.read_bytes()
        if len(data) > MAX_BYTES:
            raise StandardsError(f"{file}: {len(data)} bytes; a table has at most {MAX_BYTES}")
        return model.model_validate(tomllib.loads(data.decode("utf-8")))
    except OSError as error:
        raise StandardsError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StandardsError(f"{file}: not UTF-8; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise StandardsError(f"{file}: not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "file"
        raise StandardsError(f"{file}: {key}: {first['msg']}") from error
