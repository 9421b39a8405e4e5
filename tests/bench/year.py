"""What the gateway writes about a commune of 5,000 lamps in a year, as line protocol."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from devices import index_names as index
from devices.alert_names import GATEWAY, NOBODY
from devices.alert_rules import AlertState
from devices.fleet_csv import load_fleet, write_rows
from devices.fleet_row import FleetRow
from devices.observation import Reason
from devices.profile import shipped_profiles
from devices.rollup_names import Width
from devices.standards import shipped
from devices.storage import (
    Condition,
    DeviceState,
    GatewayState,
    LedgerHour,
    LightingDay,
    StoreState,
    Table,
    fields,
    refused_count,
)
from devices.vocabulary import VOCABULARY
from gateway.analytics.alert_book import AlertChange, Place
from gateway.analytics.alert_texts import change_line, count_lines, standing_line
from gateway.analytics.columns import PROPERTIES, FleetTables
from gateway.analytics.counters import Counters
from gateway.analytics.rollup_lines import device_lines, scope_lines
from gateway.analytics.rollup_scopes import Scopes, ScopeSums
from gateway.analytics.windows import DAY, HOUR, Floats, Rows
from tests.bench.province import name

COMMUNE = "10642"
LAMPS_OF_CABINET = 50
STATIONS = 10
"""Of air, of rivers and of piped water each."""
MINUTE = HOUR // 60
INTERVAL, READINGS_EVERY = 5 * MINUTE, 15 * MINUTE
"""Between two uplinks of a device, and between two that are stored as readings: nobody asks for those of all lamps."""
MIDNIGHT = 17 * HOUR
"""When a day begins in Viet Nam, after midnight UTC."""
FAULT_HOURS, FAULTS_ONE_IN = 48, 64
"""One lamp of so many has a fault, for so long; then others have one, and a station of each kind and a circuit in turn.
Chosen: worse than communes are."""
FAULTS = ("lamp_out", "day_burner", "lamp_cycling", "lamp_degraded", "lamp_voltage", "silent")


class Kind(NamedTuple):
    """Lines that every device (or circuit) has again and again."""

    rolled: bool
    """They belong into the database of roll-ups."""
    first: int
    """Time of the first of a day [ns after midnight UTC]."""
    every: int
    """[ns]"""
    variants: Sequence[Sequence[str]]
    """One line a series, without its time, in the same order in each variant; the next moment has the next variant."""

    def bodies(self, start: int, stop: int, lines: int = 5_000) -> Iterator[bytes]:
        """All moments of one series, then those of the next: InfluxDB takes that ten times faster.

        Args:
            start: a midnight UTC [ns]
            stop: [ns UTC]
            lines: of a body, about.
        """
        moments = [
            (str(at), number % len(self.variants))
            for number, at in enumerate(range(start + self.first, stop, self.every))
        ]
        at_once = max(1, lines // len(moments))
        count = len(self.variants[0])
        for first in range(0, count, at_once):
            series = range(first, min(first + at_once, count))
            yield _joined(f"{self.variants[which][one]} {at}" for one in series for at, which in moments)


class Commune:
    """The lines are the gateway's own; only their values are made up, other ones each hour of a day."""

    def __init__(self, lamps: int, work: Path) -> None:
        """The fleet is written below ``work``."""
        fleet = work / "fleet.csv"
        with fleet.open("w", encoding="utf-8", newline="") as file:
            write_rows(file, _fleet(lamps))
        self._tables = FleetTables(load_fleet(fleet, shipped_profiles().values()))
        self._registry = self._tables.registry
        self._scopes = Scopes(self._tables)
        self._series = np.arange(self._tables.series_count)
        self._counted = Counters(self._tables).are(self._series)
        self._lamps = np.array([device.startswith("lamp") for device in self._registry.names])
        self._rules = {rule.code: rule for rule in shipped().alerts.rules}

    # of every device -----------------------------------------------------------------------------------------

    def sums(self) -> Kind:
        """Hourly roll-ups of devices, circuits, zones and of the commune."""
        return Kind(True, 0, HOUR, [self._rolled(Width.HOUR, variant) for variant in range(24)])

    def daily_sums(self) -> Kind:
        """The same by day."""
        return Kind(True, MIDNIGHT, DAY, [self._rolled(Width.DAY, variant) for variant in range(7)])

    def ledger(self) -> Kind:
        """Uplinks of each device by the hour."""
        count = float(HOUR // INTERVAL)
        text = fields(LedgerHour(count, count, 0.0, 0.0, 0.0))
        lines = [f"{Table.LEDGER_HOUR},commune={COMMUNE},device={one} {text}" for one in self._registry.names]
        return Kind(True, 0, HOUR, [lines])

    def energy(self) -> Kind:
        """Energy by day, of the commune and its cabinets."""
        tags, used = f"{Table.LIGHTING_DAY},commune={COMMUNE},device=", fields(LightingDay(33.0))
        cabinets = [one for one in self._registry.names if one.startswith("cabinet")]
        lines = [
            f"{tags}{NOBODY} {fields(LightingDay(3300.0, 900.0, 2e6, 600.0))}",
            *(f"{tags}{one} {used}" for one in cabinets),
        ]
        return Kind(True, MIDNIGHT, DAY, [lines])

    def states(self) -> Kind:
        """Position and state of every device."""
        faulty, places = self._faulty(0), zip(self._registry.latitude, self._registry.longitude, strict=True)
        lines = [
            f"{Table.DEVICE},commune={COMMUNE},device={device} "
            f"{fields(DeviceState(*place, Condition.WARNING if device in faulty else Condition.OK))}"
            for device, place in zip(self._registry.names, places, strict=True)
        ]
        return Kind(False, 0, HOUR, [lines])

    def readings(self) -> Kind:
        """What devices say."""
        return Kind(False, 0, READINGS_EVERY, [self._readings(100 + variant) for variant in range(12)])

    def _rolled(self, width: Width, variant: int) -> list[str]:
        rows, sums = self._rows(variant, (HOUR if width is Width.HOUR else DAY) // INTERVAL), ScopeSums()
        sums.add(self._scopes.rows(rows))
        share = self._scopes.share(np.arange(len(self._lamps)) % 33 > 0, self._lamps)
        lines = device_lines(self._tables, self._counted, rows, width)
        lines += scope_lines(self._scopes, sums.finished(), width, 0, share)
        return [line.rpartition(" ")[0] for line in lines]

    def _rows(self, variant: int, readings: int) -> Rows:
        """Sums of one window of every series, with as many digits as means have."""
        low = self._values(variant)
        high, count = low + 1.5, np.full(len(low), readings, np.int64)
        total = np.where(self._counted, np.round(low % 1, 3), low * 7 + high * (readings - 7))
        worst = np.where(self._series % 97 == variant, 3, 1).astype(np.uint8)
        return Rows(self._series, np.zeros(len(low), np.int64), count, total, low, high, worst)

    def _values(self, variant: int) -> Floats:
        """A plausible value of every series, with a decimal."""
        prop = self._tables.property_of_series(self._series)
        low = np.array([entry.plausible_low for entry in PROPERTIES])[prop]
        high = np.array([entry.plausible_high for entry in PROPERTIES])[prop]
        share = np.random.default_rng(variant).random(len(prop))
        found: Floats = np.round(low + np.minimum(high - low, 200.0) * share, 1)
        return found

    def _readings(self, variant: int) -> list[str]:
        devices = self._tables.device_of_series(self._series).tolist()
        properties = self._tables.property_of_series(self._series).tolist()
        said: dict[tuple[int, str], list[str]] = {}
        for device, prop, value in zip(devices, properties, self._values(variant).tolist(), strict=True):
            entry = PROPERTIES[prop]
            said.setdefault((device, entry.measurement), []).append(f"{entry.name}={value!r}")
        return [
            f"{domain},commune={COMMUNE},device={self._registry.names[device]} {','.join(values)},quality=1,clock=0"
            for (device, domain), values in said.items()
        ]

    # of few --------------------------------------------------------------------------------------------------

    def few(self, hour: int) -> bytes:
        """What an hour (since 1970 UTC) brings of alerts, indices and of the gateway itself."""
        return _joined(self._alerts(hour), _indices(hour), self._of_gateway(hour * HOUR))

    def _faulty(self, hour: int) -> dict[str, str]:
        """Devices that have a fault, and which."""
        turn = hour // FAULT_HOURS
        numbers = range(turn * 29 % FAULTS_ONE_IN, int(self._lamps.sum()), FAULTS_ONE_IN)
        found = {name(lamp): FAULTS[(lamp + turn) % len(FAULTS)] for lamp in numbers}
        station, cabinets = turn % STATIONS, int(self._lamps.sum()) // LAMPS_OF_CABINET
        found |= {f"air-{station}": "aqi_bad", f"water-{station}": "oxygen_low", f"tap-{station}": "chlorine_low"}
        return found | {f"cabinet-{turn % cabinets:03}": "circuit_out"}

    def _alerts(self, hour: int) -> Iterator[str]:
        """Changes of alerts, what stands, and the counts of every minute."""
        start, faulty = hour * HOUR, self._faulty(hour)
        firing = [self._change(*fault, start, AlertState.FIRING) for fault in faulty.items()]
        if hour % FAULT_HOURS == 0:
            over, begun = self._faulty(hour - 1), start + MINUTE
            yield from (change_line(self._change(*fault, start, AlertState.RESOLVED)) for fault in over.items())
            yield from (change_line(self._change(*fault, begun, AlertState.PENDING)) for fault in faulty.items())
            yield from (change_line(change._replace(at=start + 10 * MINUTE)) for change in firing)
        yield from (standing_line(change, start + 2 * MINUTE) for change in firing)
        counts = [line.rpartition(" ")[0] for line in count_lines(firing, [COMMUNE], 0)]
        yield from (f"{line} {start + minute * MINUTE}" for line in counts for minute in range(60))

    def _change(self, lamp: str, code: str, at: int, state: AlertState) -> AlertChange:
        rule, place = self._rules[code], Place("device", lamp, COMMUNE, lamp)
        return AlertChange(code, rule, place, False, state, rule.severity, 0.7, 5.0, at, at, "", False, "")

    def _of_gateway(self, start: int) -> Iterator[str]:
        """Its ledger and its store, every minute."""
        devices = len(self._registry.names)
        refused = {refused_count(reason): float(number) for number, reason in enumerate(Reason)}
        for at in range(start, start + HOUR, MINUTE):
            sent = float(at // MINUTE * 1000)
            state = GatewayState(
                sent, sent - 20, 18.0, 2.0, sent * 2, 1.0, 0.0, 5.0, 0.0, 0.0, 0.0, 2e8, 2e9, devices, devices - 9
            )
            yield f"{Table.GATEWAY},commune={GATEWAY},device={NOBODY} {fields(state, refused)} {at}"
            store = StoreState(at // MINUTE % 60, 1.5, sent * 2, 0.0, 0.0)
            yield f"{Table.GATEWAY_STORE},commune={GATEWAY},device=commune {fields(store)} {at}"


def _indices(hour: int) -> Iterator[str]:
    """Of every station; those of the day before when a day begins."""
    tables = shipped()
    measured = [entry.property for entry in tables.vn_wqi.parameters if entry.property in VOCABULARY]
    for station in range(STATIONS):
        values = [float((hour * 7 + station * 13 + number * 29) % 180) for number in range(len(index.POLLUTANTS))]
        air = {f"{index.VN_AQI}_{name}": value for name, value in zip(index.POLLUTANTS, values, strict=True)}
        air |= {index.VN_AQI: max(values), index.VN_AQI + index.LEVEL: 1.0, index.VN_AQI + index.INDICATIVE: 1.0}
        air[index.VN_AQI + index.POLLUTANT] = float(values.index(max(values)))
        water = {f"{index.VN_WQI}_{name}": float((hour + 7 * n + station) % 100) for n, name in enumerate(measured)}
        water[index.VN_WQI + index.PARTIAL] = float((hour + station) % 100)
        said = [(f"air-{station}", air), (f"water-{station}", water)]
        if hour % 24 == MIDNIGHT // HOUR:
            said.append((f"air-{station}", {f"{field}{index.DAY}": value for field, value in air.items()}))
        for device, found in said:
            text = ",".join(f"{field}={value:.12g}" for field, value in found.items())
            yield f"{Table.INDEX},commune={COMMUNE},device={device} {text} {hour * HOUR}"


def _fleet(lamps: int) -> Iterator[FleetRow]:
    """Lamps in circuits with a cabinet each, stations of every kind."""
    for lamp in range(lamps):
        yield _row(name(lamp), "native_streetlight", lamp, f"cabinet-{lamp // LAMPS_OF_CABINET:03}")
    for cabinet in range(lamps // LAMPS_OF_CABINET):
        yield _row(f"cabinet-{cabinet:03}", "native_lamp_cabinet", cabinet, f"cabinet-{cabinet:03}")
    for kind, profile in (
        ("air", "native_air_station"),
        ("water", "native_water_station"),
        ("tap", "native_tap_water"),
    ):
        for station in range(STATIONS):
            yield _row(f"{kind}-{station}", profile, station)


def _row(device: str, profile: str, number: int, group: str = "") -> FleetRow:
    return FleetRow(
        device=device, profile=profile, commune=COMMUNE, group=group, zone=("village", "street")[number // 500 % 2],
        latitude=20.9 + number % 71 / 1000, longitude=106.2 + number // 71 / 1000,
    )  # fmt: skip


def _joined(*lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for some in lines for line in some).encode()
