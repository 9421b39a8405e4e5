"""Indices and limits of running stations, hour by hour, from the roll-ups that close; late data computes them anew."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import numpy as np

from devices.index_names import DAY as DAY_ENDING
from devices.index_names import INDICATIVE, LEVEL, PARTIAL, POLLUTANT, POLLUTANTS, VN_AQI, VN_WQI
from devices.rollup_names import Width
from devices.standards import Standards, shipped
from devices.vocabulary import VOCABULARY, Measurement
from gateway.analytics.alerts import Alerts
from gateway.analytics.columns import PROPERTIES, FleetTables
from gateway.analytics.limits import Limits
from gateway.analytics.rollup_parts import Closed
from gateway.analytics.vn_aqi import DAY_HOURS, LEAD_HOURS, AirQuality, VnAqi
from gateway.analytics.vn_wqi import LaboratoryResult, VnWqi, completed
from gateway.analytics.water_supply import LeakWatch, StationState
from gateway.analytics.windows import HOUR, day_start

KEPT_HOURS = 96
"""Hours of means that are remembered of a station: late data of the last days still mends its index. Chosen."""
NOWCAST_HOURS = 12
LEAST_SHARE = 0.5
"""Of an hour's expected readings that its mean needs. Ours: the decisions speak of hourly means as given."""


class _Station(NamedTuple):
    """A device as a source of one domain's values."""

    device: int
    domain: Measurement


_Hours = dict[int, dict[str, float]]
"""By hour since 1970 UTC, the means of a station's properties."""


class Indices:
    """VN_AQI, VN_WQI, limits and night flow of every station of a fleet."""

    def __init__(self, tables: FleetTables, alerts: Alerts, standards: Standards | None = None) -> None:
        self.tables = tables
        self._alerts = alerts
        standards = standards or shipped()
        self.aqi, self.wqi = VnAqi(standards.vn_aqi), VnWqi(standards.vn_wqi)
        self._limits, self._leaks = Limits(standards), LeakWatch(standards.water_supply.night)
        water = {p.property for p in self.wqi.tables.parameters} | {"dissolved_oxygen", "water_temperature"}
        self._wanted = {
            Measurement.AIR_QUALITY: set(POLLUTANTS) | {"tsp", "nh3", "h2s"},
            Measurement.WATER_QUALITY: water & set(VOCABULARY),
            Measurement.WATER_SUPPLY: {"flow", "volume"},
        }
        self._is_wanted = np.array([e.name in self._wanted.get(e.measurement, ()) for e in PROPERTIES])
        self._stations: dict[_Station, _Hours] = {}
        self._touched: set[tuple[int, _Station]] = set()
        self._days: set[tuple[int, _Station]] = set()
        self._laboratory: dict[int, list[LaboratoryResult]] = {}

    # in ------------------------------------------------------------------------------------------------------

    def closed(self, closed: Closed) -> None:
        """Hear of windows that closed or were mended; a listener of the roll-ups."""
        if closed.width is not Width.HOUR:
            return
        rows = closed.rows
        prop = self.tables.property_of_series(rows.series)
        chosen = np.flatnonzero(self._is_wanted[prop] & (rows.readings > 0))
        if not len(chosen):
            return
        device = self.tables.device_of_series(rows.series[chosen])
        enough = rows.readings[chosen] >= LEAST_SHARE * (HOUR / self.tables.interval[device])
        for place, number, full in zip(chosen.tolist(), device.tolist(), enough.tolist(), strict=True):
            entry = PROPERTIES[int(prop[place])]
            if full:
                value = float(rows.total[place]) / (1 if entry.name == "volume" else int(rows.readings[place]))
                self._remember(_Station(number, entry.measurement), int(rows.window[place]), entry.name, value)

    def _remember(self, station: _Station, hour: int, name: str, value: float) -> None:
        hours = self._stations.setdefault(station, {})
        if hour <= max(hours, default=hour) - KEPT_HOURS:
            return
        hours.setdefault(hour, {})[name] = value
        for old in [known for known in hours if known <= hour - KEPT_HOURS]:
            del hours[old]
        self._touched.add((hour, station))

    def laboratory(self, results: Mapping[str, Sequence[LaboratoryResult]]) -> None:
        """All laboratory results there are, by device; remembered hours they speak of are computed anew."""
        index = self.tables.registry.index
        before, self._laboratory = (
            self._laboratory,
            {index[n]: list(found) for n, found in results.items() if n in index},
        )
        for device in before.keys() | self._laboratory.keys():
            changed = set(before.get(device, ())) ^ set(self._laboratory.get(device, ()))
            station = _Station(device, Measurement.WATER_QUALITY)
            self._touched.update(
                (hour, station)
                for hour in self._stations.get(station, ())
                if any(result.sampled_at <= hour * HOUR < result.valid_until for result in changed)
            )

    # out -----------------------------------------------------------------------------------------------------

    def tick(self, finished_hour: int) -> list[str]:
        """Compute what closed.

        Args:
            finished_hour: the newest hour since 1970 UTC of which every window is closed.

        Returns:
            Finished line protocol without newlines.
        """
        due = sorted(key for key in self._touched if key[0] <= finished_hour)
        self._touched.difference_update(due)
        lines: list[str] = []
        for hour, station in due:
            if hour not in self._stations[station]:
                continue  # forgotten while the store was away
            if station.domain is Measurement.AIR_QUALITY:
                lines += self._air_hours(station, hour, finished_hour)
            elif station.domain is Measurement.WATER_QUALITY:
                lines += self._water_hour(station, hour)
            else:
                self._supply_hour(station, hour)
        finished_day = (finished_hour + 8) // 24 - 1
        over = sorted(key for key in self._days if key[0] <= finished_day)
        self._days.difference_update(over)
        for day, station in over:
            lines += self._air_day(station, day, newest=day == finished_day)
        return lines

    def _air_hours(self, station: _Station, hour: int, newest: int) -> Iterator[str]:
        """The hour's index, and those of the eleven hours whose NowCast looks back at it."""
        self._days.update((day, station) for day in {(hour + 7) // 24, (hour + 7 + LEAD_HOURS) // 24})
        for later in range(hour, min(hour + NOWCAST_HOURS, newest + 1)):
            if later not in self._stations[station]:
                continue
            air = self.aqi.hourly(self._back(station, later, NOWCAST_HOURS))
            yield from self._line(station.device, later * HOUR, self._air_fields(station.device, air, ""))
            if later == newest:
                self._alerts.take_index(station.device, air.value, (later + 1) * HOUR)
                verdicts = self._limits.air_hour(self._back(station, later, 8), _day(later))
                self._alerts.take_limits(station.device, verdicts, (later + 1) * HOUR)

    def _back(self, station: _Station, hour: int, count: int) -> dict[str, list[float | None]]:
        """Means of so many hours, this hour first."""
        hours = self._stations[station]
        names = {name for known in hours.values() for name in known}
        return {name: [hours.get(hour - n, {}).get(name) for n in range(count)] for name in names}

    def _air_day(self, station: _Station, day: int, *, newest: bool) -> Iterator[str]:
        last, count = day_start(day) // HOUR + DAY_HOURS - 1, LEAD_HOURS + DAY_HOURS
        if last - count < max(self._stations[station], default=last) - KEPT_HOURS:
            return  # its hours are not all remembered any more
        means = {name: values[::-1] for name, values in self._back(station, last, count).items()}
        air = self.aqi.daily(means)
        yield from self._line(station.device, day_start(day), self._air_fields(station.device, air, DAY_ENDING))
        if newest:
            verdicts = self._limits.air_day({n: v[LEAD_HOURS:] for n, v in means.items()}, _day(last))
            self._alerts.take_limits(station.device, verdicts, (last + 1) * HOUR)

    def _air_fields(self, device: int, air: AirQuality, ending: str) -> dict[str, float]:
        fields = {f"{VN_AQI}_{name}{ending}": round(index, 3) for name, index in air.sub_indices.items()}
        if air.value is not None and air.level is not None:
            level = self.aqi.tables.levels.index(air.level)
            fields[f"{VN_AQI}{ending}"] = air.value
            fields[f"{VN_AQI}{LEVEL}{ending}"] = level
            fields[f"{VN_AQI}{POLLUTANT}{ending}"] = POLLUTANTS.index(air.pollutant)
        if fields:
            fields[f"{VN_AQI}{INDICATIVE}{ending}"] = float(self.tables.registry.profile(device).indicative)
        return fields

    def _water_hour(self, station: _Station, hour: int) -> Iterator[str]:
        at = hour * HOUR
        sample = completed(self._stations[station][hour], self._laboratory.get(station.device, ()), at)
        try:
            water = self.wqi.judge(sample)
        except ValueError:
            return  # a mean that cannot be (a probe drifting below zero): its quality says so, and there is no index
        fields = {f"{VN_WQI}_{name}": round(q, 3) for name, q in water.sub_indices.items()}
        if water.value is not None:
            fields[VN_WQI] = water.value
        elif water.partial is not None:
            fields[f"{VN_WQI}{PARTIAL}"] = round(water.partial, 3)
        yield from self._line(station.device, at, fields)

    def _supply_hour(self, station: _Station, hour: int) -> None:
        known = self._stations[station][hour]
        flow = known.get("flow", known.get("volume"))
        if flow is not None:
            night = self._leaks.hour(self.tables.registry.names[station.device], hour * HOUR, flow)
            if night is not None:
                self._alerts.take_night(station.device, night, (hour + 1) * HOUR)

    def _line(self, device: int, at: int, fields: Mapping[str, float]) -> Iterator[str]:
        if fields:
            registry = self.tables.registry
            text = ",".join(f"{name}={value:.12g}" for name, value in fields.items())
            yield f"{Measurement.INDEX},commune={registry.commune(device)},device={registry.names[device]} {text} {at}"

    # snapshot ------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """Plain data, devices by name."""
        names = self.tables.registry.names
        return json.dumps(
            {
                "stations": [
                    [names[station.device], station.domain, sorted(hours.items())]
                    for station, hours in self._stations.items()
                ],
                "touched": [[hour, names[device], domain] for hour, (device, domain) in self._touched],
                "days": [[day, names[device], domain] for day, (device, domain) in self._days],
                "leaks": {name: list(state) for name, state in self._leaks.stations.items()},
            }
        ).encode()

    def restore(self, saved: bytes) -> bool:
        """Take a snapshot over, also one of another fleet; False if it cannot be used."""
        index = self.tables.registry.index
        try:
            known = json.loads(saved)
            for name, domain, hours in known["stations"]:
                if name in index:
                    station = _Station(index[name], Measurement(domain))
                    self._stations[station] = {int(hour): dict(values) for hour, values in hours}
            for word, target in (("touched", self._touched), ("days", self._days)):
                found = {(n, _Station(index[name], Measurement(d))) for n, name, d in known[word] if name in index}
                target.update(entry for entry in found if entry[1] in self._stations)
            for name, (healthy, hours, suspicious, leaks, judged) in known["leaks"].items():
                flows = tuple((int(hour), float(flow)) for hour, flow in hours)
                self._leaks.stations[name] = StationState(tuple(healthy), flows, suspicious, leaks, judged)
        except (ValueError, KeyError, TypeError):
            return False
        return True


def _day(hour: int) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour + 7)).date()
