"""VN_WQI, the water quality index of Viet Nam: sub-indices, the rule when it is official, and a labelled partial value.

Tables, groups and rules: ``devices/standards/vn_wqi.toml`` (Decision 1460/QĐ-TCMT of 2019-11-12; what stands there is
not confirmed by the decision's own text, and says so).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from devices.index_tables import WaterIndex, WaterLevel, WaterParameter
from devices.standard_data import Text
from devices.standards import shipped
from gateway.analytics.vn_aqi import whole

OXYGEN, SATURATION, TEMPERATURE, PH = "dissolved_oxygen", "oxygen_saturation", "water_temperature", "ph"


class LaboratoryResult(NamedTuple):
    """One value of a sample that went to a laboratory and was entered by hand."""

    property: str
    """A parameter of the index, for example ``coliform``."""
    value: float
    """In the parameter's unit."""
    sampled_at: int
    """Nanoseconds UTC."""
    valid_until: int
    """Nanoseconds UTC: from then on it says nothing about the water any more."""


class WaterQuality(NamedTuple):
    """What the concentrations of one sample say about the water."""

    value: int | None
    """The official index, 0 to 100; None where it may not be published."""
    level: WaterLevel | None
    """Name, colour and use; None without an official index."""
    partial: float | None
    """Where there is no official index but group IV: the same formula over what is there. Never to be shown without
    the label of the tables ("partial value, not VN_WQI")."""
    sub_indices: dict[str, float]
    """q of each parameter, 10 to 100."""
    groups: dict[str, float]
    """Sub-index of each group that has a parameter."""
    why_not: tuple[Text, ...]
    """Every reason why the index is not official; empty if it is."""


class VnWqi:
    """The index by one set of tables."""

    def __init__(self, tables: WaterIndex | None = None) -> None:
        self.tables = tables or shipped().vn_wqi
        self._parameter = {parameter.property: parameter for parameter in self.tables.parameters}

    def sub_index(self, parameter: str, concentration: float) -> float:
        """q of one parameter.

        Args:
            parameter: its property; oxygen is ``oxygen_saturation`` [%].
            concentration: in the parameter's unit, finite and not below 0.

        Returns:
            10 to 100; exactly at a point of the table its own sub-index, so that a step falls on the right side.

        Raises:
            ValueError: a concentration that cannot be.

        >>> wqi = VnWqi()
        >>> wqi.sub_index("bod5", 5), wqi.sub_index("ammonium_nitrogen", 0.3), wqi.sub_index("ammonium_nitrogen", 0.29)
        (87.5, 75.0, 100.0)
        """
        _check(parameter, concentration)
        return _interpolated(self._parameter[parameter], concentration)

    def saturation(self, oxygen: float, temperature: float) -> float | None:
        """Oxygen saturation [%] of dissolved oxygen [mg/L] at a water temperature [Cel].

        Returns:
            None where the decision's formula does not reach.

        >>> round(VnWqi().saturation(8.18, 25.0))
        100
        """
        rule = self.tables.oxygen
        if not rule.coldest <= temperature <= rule.warmest:
            return None
        saturated = sum(factor * temperature**power for power, factor in enumerate(rule.saturation))
        return oxygen / saturated * 100.0

    def judge(self, concentrations: Mapping[str, float]) -> WaterQuality:
        """The index of one sample, or what can be said without it.

        Args:
            concentrations: by property, in the tables' units; dissolved oxygen [mg/L] counts only beside the water
                temperature [Cel], and goes before a saturation [%] that the probe itself reports. Properties the index
                does not know are passed over.

        Raises:
            ValueError: a concentration that cannot be.
        """
        values = {name: value for name, value in concentrations.items() if name in self._parameter}
        for name in (*values, *({OXYGEN} & set(concentrations))):
            _check(name, concentrations[name])
        if OXYGEN in concentrations and TEMPERATURE in concentrations:
            saturation = self.saturation(concentrations[OXYGEN], concentrations[TEMPERATURE])
            if saturation is not None:
                values[SATURATION] = saturation
        sub_indices = {
            parameter.property: _interpolated(parameter, values[parameter.property])
            for parameter in self.tables.parameters
            if parameter.property in values
        }
        groups = self._groups(sub_indices)
        index = self._aggregate(groups)
        why_not = self._why_not(groups, sub_indices, concentrations)
        if why_not or index is None:
            return WaterQuality(None, None, index, sub_indices, groups, why_not)
        value = whole(index)
        return WaterQuality(value, self.level(value), None, sub_indices, groups, ())

    def level(self, value: int) -> WaterLevel:
        """The level of an index, 0 to 100."""
        return next(level for level in self.tables.levels if value >= level.low)

    def _groups(self, sub_indices: Mapping[str, float]) -> dict[str, float]:
        found = {}
        for group in self.tables.groups:
            members = [q for name, q in sub_indices.items() if self._parameter[name].group == group.code]
            if members:
                found[group.code] = _mean(members, geometric=group.mean == "geometric")
        return found

    def _aggregate(self, groups: Mapping[str, float]) -> float | None:
        """The formula over the groups that are there; without group IV there is none."""
        main = groups.get("IV")
        if main is None:
            return None
        microbes = groups.get("V")
        if microbes is not None:
            a, b = self.tables.aggregation.weight_iv, self.tables.aggregation.weight_v
            main = (main**a * microbes**b) ** (1.0 / (a + b))
        for code in ("I", "II", "III"):
            main *= groups.get(code, 100.0) / 100.0
        return main

    def _why_not(
        self, groups: Mapping[str, float], sub_indices: Mapping[str, float], concentrations: Mapping[str, float]
    ) -> tuple[Text, ...]:
        rule, found = self.tables.publication, []
        if len(groups) < rule.groups:
            names = ", ".join(groups) or "-"
            found.append(
                Text(
                    vi=f"có {len(groups)} nhóm thông số ({names}), cần {rule.groups}",
                    en=f"{len(groups)} groups of parameters ({names}), {rule.groups} are needed",
                )
            )
        code = rule.needed_group
        members = sum(self._parameter[name].group == code for name in sub_indices)
        if members < rule.needed_parameters:
            found.append(
                Text(
                    vi=f"nhóm {code} có {members} thông số, cần {rule.needed_parameters}",
                    en=f"group {code} has {members} parameters, {rule.needed_parameters} are needed",
                )
            )
            if OXYGEN in concentrations and SATURATION not in sub_indices:
                found.append(
                    Text(
                        vi="oxy hòa tan (mg/L) không dùng được khi thiếu nhiệt độ nước",
                        en="dissolved oxygen (mg/L) cannot be used without the water temperature",
                    )
                )
        return tuple(found)


def completed(measured: Mapping[str, float], results: Iterable[LaboratoryResult], at: int) -> dict[str, float]:
    """What the sensors measure, and for the rest the newest laboratory result that is valid at that moment [ns UTC]."""
    newest: dict[str, LaboratoryResult] = {}
    for result in results:
        known = newest.get(result.property)
        if result.sampled_at <= at < result.valid_until and (known is None or result.sampled_at > known.sampled_at):
            newest[result.property] = result
    return {**{name: result.value for name, result in newest.items()}, **measured}


def _check(name: str, value: float) -> None:
    highest = 14.0 if name == PH else math.inf
    if not 0 <= value <= highest or value == math.inf:
        raise ValueError(f"{name} of {value} cannot be; leave it out")


def _interpolated(parameter: WaterParameter, value: float) -> float:
    points = parameter.points
    if value < points[0][0]:
        return parameter.below
    if value > points[-1][0]:
        return parameter.above
    for (low, q_low), (high, q_high) in pairwise(points):
        if low < value < high:
            return q_low + (q_high - q_low) * (value - low) / (high - low)
    return next(q for concentration, q in points if concentration == value)


def _mean(values: Sequence[float], *, geometric: bool) -> float:
    if geometric:
        # A root of a product may end a last digit outside the range of its values.
        return min(max(math.prod(values) ** (1.0 / len(values)), min(values)), max(values))
    return math.fsum(values) / len(values)
