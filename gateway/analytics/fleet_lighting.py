"""The lamps and cabinets of a fleet: which schedule they follow, on which circuit they hang, who meters it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from devices.lighting_tables import Lighting
from devices.profile import Profile
from devices.vocabulary import Measurement
from gateway.analytics.columns import FleetTables, distinct
from gateway.analytics.local_time import VIETNAM
from gateway.analytics.sun import Plan

Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

PHASES = ("l1", "l2", "l3")
CABINET_ONLY = {f"power_{phase}" for phase in PHASES} | {"leakage_current", "door_open"}
"""What only a cabinet measures. A device with the name of its own group is a cabinet too."""
SAME_PLACE = 0.05
"""Degrees; the sun differs by seconds within, so such lamps share a plan."""


def is_lighting(profile: Profile) -> bool:
    """Whether devices of a profile draw lamp power and tell it."""
    names = {entry.name for entry in profile.properties}
    return profile.domain is Measurement.STREETLIGHT and bool(names & {"power", *(f"power_{p}" for p in PHASES)})


def circuit_meters(tables: FleetTables) -> Bools:
    """Which devices of street lighting measure a circuit, and not a lamp."""
    profiles = tables.registry.profiles
    measures = [bool(CABINET_ONLY & {entry.name for entry in profile.properties}) for profile in profiles]
    lights = np.array([profile.domain is Measurement.STREETLIGHT for profile in profiles] or [False])
    metering = np.array(measures or [False])[tables.profile] | _named_as_group(tables)
    found: Bools = metering & lights[tables.profile]
    return found


def metered_once(tables: FleetTables, names: Sequence[str]) -> Bools:
    """Whose values are added up so that each watt is counted once; see ``devices.rollup_names``.

    Args:
        tables: the fleet.
        names: properties that add up.

    Returns:
        For each device (row) and property (column); a lamp is not where a meter of its circuit measures the property.
    """
    has = [[any(entry.name == name for entry in p.properties) for name in names] for p in tables.registry.profiles]
    measures = np.array(has or [[False] * len(names)])[tables.profile]
    meter, groups = circuit_meters(tables), tables.registry.groups
    covered = np.zeros((max(1, len(groups.texts)), len(names)), np.bool_)
    np.logical_or.at(covered, tables.group[meter], measures[meter])
    if "" in groups.number:
        covered[groups.number[""]] = False  # no circuit
    found: Bools = meter[:, np.newaxis] | ~covered[tables.group]
    return found


class FleetLighting:
    """Lamps and cabinets, numbered; circuits are the groups of the registry."""

    def __init__(self, tables: FleetTables, lighting: Lighting) -> None:
        registry = tables.registry
        lights = np.array([is_lighting(profile) for profile in registry.profiles] or [False])
        device = np.flatnonzero(lights[tables.profile]) if tables.count else np.empty(0, np.int64)
        cabinet = circuit_meters(tables)[device]
        self.lamps = device[~cabinet]
        """Device index of each lamp."""
        self.cabinets = device[cabinet]
        """Device index of each cabinet."""
        self.lamp_of = _numbers(tables.count, self.lamps)
        """Number of the lamp a device is; -1 if it is none."""
        self.cabinet_of = _numbers(tables.count, self.cabinets)
        """Number of the cabinet a device is; -1 if it is none."""
        unnamed = registry.groups.number.get("", -1)
        self.groups = len(registry.groups.texts)
        self.lamp_group = np.where(tables.group[self.lamps] == unnamed, -1, tables.group[self.lamps])
        """Circuit of each lamp; -1 if it hangs on none that is named."""
        self.cabinet_group = np.where(tables.group[self.cabinets] == unnamed, -1, tables.group[self.cabinets])
        self.lamps_of_group = self._members()
        """Numbers of the lamps of each circuit that has a cabinet."""
        self.plans: list[Plan] = []
        numbers: dict[tuple[int, int, int], int] = {}
        self._lighting = lighting
        self.lamp_plan = self._planned(tables, self.lamps, numbers)
        self.cabinet_plan = self._planned(tables, self.cabinets, numbers)

    def _members(self) -> dict[int, Integers]:
        wanted = set(self.cabinet_group.tolist()) - {-1}
        order = np.argsort(self.lamp_group, kind="stable")
        groups = self.lamp_group[order]
        return {
            group: order[np.searchsorted(groups, group) : np.searchsorted(groups, group, side="right")]
            for group in wanted
        }

    def _planned(
        self, tables: FleetTables, devices: Integers, numbers: dict[tuple[int, int, int], int]
    ) -> NDArray[np.int32]:
        """The plan of each device: its schedule at its place, or at the fleet's middle where it has none."""
        registry, lighting = tables.registry, self._lighting
        areas, area = distinct(tables.commune[devices], tables.zone[devices], tables.group[devices])
        communes, zones, groups = (words.texts for words in (registry.communes, registry.zones, registry.groups))
        schedules = [
            lighting.schedule_of(communes[commune], zones[zone], groups[group].partition("/")[2])
            for commune, zone, group in areas
        ]
        latitude, longitude = (np.array(column)[devices] for column in (registry.latitude, registry.longitude))
        # Beyond the polar circles no schedule by the sun can be.
        nowhere = np.isnan(latitude) | np.isnan(longitude) | (np.abs(latitude) > 66)
        latitude[nowhere], longitude[nowhere] = lighting.place.latitude, lighting.place.longitude
        squares = (np.rint(column / SAME_PLACE).astype(np.int64) for column in (latitude, longitude))
        keys, key = distinct(np.array(schedules, np.int64)[area], *squares)
        found = np.empty(len(keys), np.int32)
        for place, (schedule, north, east) in enumerate(keys):
            number = numbers.get((schedule, north, east))
            if number is None:
                number = numbers[schedule, north, east] = len(self.plans)
                self.plans.append(Plan(lighting.schedules[schedule], north * SAME_PLACE, east * SAME_PLACE, VIETNAM))
            found[place] = number
        plans: NDArray[np.int32] = found[key]
        return plans


def _named_as_group(tables: FleetTables) -> Bools:
    """Which devices have the name of their own group."""
    registry = tables.registry
    found = np.zeros(tables.count, np.bool_)
    for number, text in enumerate(registry.groups.texts):
        device = registry.index.get(text.partition("/")[2])
        if device is not None:
            found[device] = registry.group_of[device] == number
    return found


def _numbers(count: int, devices: Integers) -> NDArray[np.int32]:
    found = np.full(count, -1, np.int32)
    found[devices] = np.arange(len(devices))
    return found
