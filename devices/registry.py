"""The registry: every device of the fleet in packed columns, found by topic, name or hardware id."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from itertools import accumulate
from typing import NamedTuple, Self
from zoneinfo import ZoneInfo

from devices.fleet_row import ALWAYS, DEFAULT_ZONE, Calibration, FleetRow, HardwareId, check_against_profile
from devices.observation import Reason, RefusedError
from devices.packed_texts import Index, Texts
from devices.profile import Powered, Profile
from devices.topics import ROOT, Source

MOST_PLACES = 65_535
"""Communes, and zones, that the packed columns can number."""


class Found(NamedTuple):
    """Who speaks on a topic."""

    device: int
    """Index in the registry."""
    event: str
    source: int
    """Index in ``Registry.sources``; 0 is our own topics."""
    node: str = ""
    """The edge node a message came through, where codecs must remember it (Sparkplug B); else empty."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device, put together from the columns for people and the API."""

    index: int
    name: str
    profile: Profile
    commune: str
    legacy_commune: str
    zone: str
    group: str
    label: str
    latitude: float | None
    longitude: float | None
    hardware_ids: tuple[HardwareId, ...]
    interval_seconds: int
    powered: Powered
    zone_info: tzinfo
    simulated: bool
    calibration: tuple[Calibration, ...]


def _node(levels: dict[str, str]) -> str:
    group = levels.get("group")
    return "" if group is None else f"{group}/{levels.get('node') or levels['device']}"


class Columns(NamedTuple):
    """Many devices at once whose rows were checked when they were written: one sequence a column, all equally long."""

    device: Sequence[str]
    profile: Sequence[str]
    commune: Sequence[str]
    legacy_commune: Sequence[str]
    zone: Sequence[str]
    group: Sequence[str]
    name: Sequence[str]
    latitude: Sequence[float | None]
    longitude: Sequence[float | None]
    interval_seconds: Sequence[int | None]
    powered: Sequence[Powered | None]
    timezone: Sequence[str]
    simulated: Sequence[bool | int]
    hardware_ids: Mapping[int, str | tuple[HardwareId, ...]]
    """By place in the columns, a text where it is the only one ever; devices without any are left out."""
    calibration: Mapping[int, tuple[Calibration, ...]]
    """By place in the columns."""


class _Words:
    """Few different texts, each stored once; a column holds their numbers."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.number: dict[str, int] = {}

    def add(self, text: str) -> int:
        number = self.number.get(text)
        if number is None:
            number = self.number[text] = len(self.texts)
            self.texts.append(text)
        return number

    def add_all(self, texts: Sequence[str]) -> Iterable[int]:
        for text in dict.fromkeys(texts):
            self.add(text)
        return map(self.number.__getitem__, texts)


class Registry:
    """The fleet, in packed columns: 200,000 devices in tens of megabytes, found in under 5 microseconds."""

    def __init__(self, profiles: Iterable[Profile], sources: Sequence[Source] = ()) -> None:
        self.profiles: list[Profile] = list(profiles)
        self._profile_number = {profile.id: number for number, profile in enumerate(self.profiles)}
        self.sources: tuple[Source, ...] = (Source(ROOT, f"{ROOT}/{{commune}}/{{device}}/{{event...}}"), *sources)
        self._patterns = [source.pattern for source in self.sources]
        self.names = Texts()
        self.index = Index(self.names)
        self.labels = Texts()
        self.profile_of = array("H")
        self.commune_of = array("H")
        self.zone_of = array("H")
        self.group_of = array("I")
        self.latitude = array("d")
        self.longitude = array("d")
        self.interval = array("I")
        self.flags = array("B")
        self.first_series = array("I")
        """Index of the device's first series; a series is one (device, property of its profile)."""
        self.series_count = 0
        self.communes, self.zones, self.groups = _Words(), _Words(), _Words()
        self._legacy: dict[int, str] = {}
        self._timezones: dict[int, str] = {}
        self._default_zone: tzinfo = ZoneInfo(DEFAULT_ZONE)
        self._hardware: dict[str, int | list[tuple[HardwareId, int]]] = {}
        self._hardware_of: dict[int, str | tuple[HardwareId, ...]] = {}
        """A text where the device has one id and always had it."""
        self.calibrations: dict[int, tuple[Calibration, ...]] = {}

    SIMULATED, WITH_CIRCUIT = 1, 2

    def add(self, row: FleetRow) -> int:
        """Take one device in and return its index.

        Raises:
            ValueError: unknown profile, a name or hardware id already taken, a calibration for a property the profile
                does not have; the text says which.
        """
        number = self._profile_number.get(row.profile, -1)
        check_against_profile(row, self.profiles[number] if number >= 0 else None)
        if row.device in self.index:
            raise ValueError(f"device: {row.device!r} is already in the fleet")
        profile = self.profiles[number]
        device = len(self.names)
        if len(row.hardware_ids) == 1 and row.hardware_ids[0][1:] == (0, ALWAYS):
            self._claim_for_ever(row.hardware_ids[0].value, device)
        else:
            self._claim_hardware(row.hardware_ids, device)
        self.names.append(row.device)
        self.index.follow()
        self.labels.append(row.name)
        self.profile_of.append(number)
        self.commune_of.append(self.communes.add(row.commune))
        self.zone_of.append(self.zones.add(row.zone))
        self.group_of.append(self.groups.add(f"{row.commune}/{row.group}" if row.group else ""))
        self.latitude.append(float("nan") if row.latitude is None else row.latitude)
        self.longitude.append(float("nan") if row.longitude is None else row.longitude)
        self.interval.append(row.interval_seconds or profile.interval_seconds)
        with_circuit = (row.powered or profile.powered) == "with_circuit"
        self.flags.append(self.SIMULATED * row.simulated | self.WITH_CIRCUIT * with_circuit)
        self.first_series.append(self.series_count)
        self.series_count += len(profile.properties)
        if row.legacy_commune:
            self._legacy[device] = row.legacy_commune
        if row.timezone != DEFAULT_ZONE:
            self._timezones[device] = row.timezone
        if row.calibration:
            self.calibrations[device] = row.calibration
        return device

    @classmethod
    def of(cls, rows: Iterable[FleetRow], profiles: Iterable[Profile], sources: Sequence[Source] = ()) -> Self:
        """A registry of these devices; see ``add`` for what is refused."""
        registry = cls(profiles, sources)
        for row in rows:
            registry.add(row)
        return registry

    def extend(self, columns: Columns) -> None:
        """Take many devices in, ten times as fast as one by one. Their cells are not checked again.

        Raises:
            ValueError: unknown profile, a name or hardware id already taken; the registry must not be used then.
        """
        first = len(self.names)
        unknown = set(columns.profile).difference(self._profile_number)
        if unknown:
            raise ValueError(f"profile: no profile {min(unknown)!r}; see `village devices supported`")
        self.names.extend(columns.device)
        self.labels.extend(columns.name)
        try:
            self.index.follow()
        except ValueError as error:
            raise ValueError(f"device: {error} in the fleet") from error
        for place, hardware_ids in columns.hardware_ids.items():
            if isinstance(hardware_ids, str):
                self._claim_for_ever(hardware_ids, first + place)
            else:
                self._claim_hardware(hardware_ids, first + place)
        self._extend_types([self._profile_number[name] for name in columns.profile], columns)
        self._extend_places(columns)
        self._legacy.update((first + place, word) for place, word in enumerate(columns.legacy_commune) if word)
        zones = enumerate(columns.timezone, first)
        self._timezones.update((device, word) for device, word in zones if word != DEFAULT_ZONE)
        self.calibrations.update((first + place, entries) for place, entries in columns.calibration.items())

    def _extend_types(self, profiles: list[int], columns: Columns) -> None:
        types = self.profiles
        self.profile_of.extend(profiles)
        own_intervals = zip(columns.interval_seconds, profiles, strict=True)
        self.interval.extend([own or types[number].interval_seconds for own, number in own_intervals])
        flags = zip(columns.simulated, columns.powered, profiles, strict=True)
        self.flags.extend(
            [
                self.SIMULATED * bool(simulated)
                | self.WITH_CIRCUIT * ((powered or types[number].powered) == "with_circuit")
                for simulated, powered, number in flags
            ]
        )
        widths = [len(types[number].properties) for number in profiles]
        self.first_series.extend(accumulate(widths[:-1], initial=self.series_count) if widths else ())
        self.series_count += sum(widths)

    def _extend_places(self, columns: Columns) -> None:
        self.commune_of.extend(self.communes.add_all(columns.commune))
        self.zone_of.extend(self.zones.add_all(columns.zone))
        cabinets = zip(columns.commune, columns.group, strict=True)
        self.group_of.extend(
            self.groups.add_all([f"{commune}/{group}" if group else "" for commune, group in cabinets])
        )
        for column, degrees in ((self.latitude, columns.latitude), (self.longitude, columns.longitude)):
            column.extend([float("nan") if value is None else value for value in degrees])

    def __len__(self) -> int:
        return len(self.names)

    def _claim_for_ever(self, value: str, device: int) -> None:
        key = value.casefold()
        if key in self._hardware:
            self._claim_hardware((HardwareId(value),), device)
        else:
            self._hardware[key], self._hardware_of[device] = device, value

    def _claim_hardware(self, hardware_ids: Sequence[HardwareId], device: int) -> None:
        claims = [(hardware, hardware.value.casefold()) for hardware in hardware_ids]
        for hardware, key in claims:
            for other, owner in self._owners(key):
                if hardware.since < other.until and other.since < hardware.until:
                    raise ValueError(f"hardware_ids: {hardware.value!r} already speaks for {self.names[owner]!r}")
        for hardware, key in claims:
            self._hardware[key] = [*self._owners(key), (hardware, device)]
        if hardware_ids:
            self._hardware_of[device] = tuple(hardware_ids)

    def _owners(self, key: str) -> list[tuple[HardwareId, int]]:
        taken = self._hardware.get(key)
        return taken if isinstance(taken, list) else [] if taken is None else [(HardwareId(key), taken)]

    def hardware_ids(self, device: int) -> tuple[HardwareId, ...]:
        """Every id that speaks or spoke for the device, oldest first."""
        known = self._hardware_of.get(device, ())
        return (HardwareId(known),) if isinstance(known, str) else known

    def by_hardware(self, value: str, at: int) -> int | None:
        """The device a hardware id speaks for at that moment [ns UTC], or None."""
        found = self._hardware.get(value.casefold())
        if found is None or isinstance(found, int):
            return found
        return next((device for hardware, device in found if hardware.since <= at < hardware.until), None)

    def find(self, topic: str, at: int) -> Found:
        """Who speaks on this topic at that moment [ns UTC].

        Raises:
            RefusedError: ``unknown_topic`` or ``unknown_device``.
        """
        parts = topic.split("/", 3)
        if parts[0] == ROOT and len(parts) == 4:
            device = self.index.get(parts[2])
            if device is None:
                raise RefusedError(Reason.UNKNOWN_DEVICE, f"no device {parts[2]!r} in the fleet")
            if self.communes.texts[self.commune_of[device]] != parts[1]:
                raise RefusedError(Reason.UNKNOWN_DEVICE, f"device {parts[2]!r} does not stand in commune {parts[1]!r}")
            return Found(device, parts[3], 0)
        return self._find_vendor(topic, at)

    def _find_vendor(self, topic: str, at: int) -> Found:
        for number, pattern in enumerate(self._patterns[1:], start=1):
            match = pattern.match(topic)
            if match is None:
                continue
            levels = match.groupdict()
            name = levels["device"]
            device = self.by_hardware(name, at)
            if device is None:
                device = self.index.get(name)
            if device is not None:
                return Found(device, levels.get("event") or "", number, _node(levels))
            raise RefusedError(Reason.UNKNOWN_DEVICE, f"no device has the hardware id {name!r}")
        raise RefusedError(Reason.UNKNOWN_TOPIC, "no source in the settings claims this topic")

    def profile(self, device: int) -> Profile:
        """The profile of a device."""
        return self.profiles[self.profile_of[device]]

    def commune(self, device: int) -> str:
        """The commune key of a device."""
        return self.communes.texts[self.commune_of[device]]

    def is_simulated(self, device: int) -> bool:
        """Whether the device does not exist."""
        return bool(self.flags[device] & self.SIMULATED)

    def timezone(self, device: int) -> tzinfo:
        """The zone the device's local times are in."""
        name = self._timezones.get(device)
        return self._default_zone if name is None else ZoneInfo(name) if name != "UTC" else UTC

    def device(self, index: int) -> Device:
        """Everything known of one device."""
        latitude, longitude = self.latitude[index], self.longitude[index]
        return Device(
            index=index,
            name=self.names[index],
            profile=self.profile(index),
            commune=self.commune(index),
            legacy_commune=self._legacy.get(index, ""),
            zone=self.zones.texts[self.zone_of[index]],
            group=self.groups.texts[self.group_of[index]].partition("/")[2],
            label=self.labels[index] or self.names[index],
            latitude=None if latitude != latitude else latitude,
            longitude=None if longitude != longitude else longitude,
            hardware_ids=self.hardware_ids(index),
            interval_seconds=self.interval[index],
            powered="with_circuit" if self.flags[index] & self.WITH_CIRCUIT else "always",
            zone_info=self.timezone(index),
            simulated=self.is_simulated(index),
            calibration=self.calibrations.get(index, ()),
        )
