"""How hourly and daily roll-ups are named in the store: measurements, tags, fields; gateway and dashboards read it.

Examples::

    streetlight_hour,commune=10642,device=lamp-017 power_mean=61.2,power_min=0.7,power_max=70.4,power_count=60, ...
    streetlight_group_day,commune=10642,group=cabinet-1 power_mean=58.1,power_sum=1162.0,energy_increase=12.9, ...

A line's time is the start of its window; days are calendar days in Viet Nam (they start at 17:00 UTC).

A circuit's meter measures what its lamps measure too. Of what adds up (``ADDS_UP``) a group, zone or commune counts
each watt once:

- ``sum`` and ``increase`` take the meter's value where the circuit has a meter that measures the property, and the
  lamps' where it has none. A meter that is not heard is not replaced by its lamps: its counter shows what is missing
  when it is heard again.
- ``mean``, ``min``, ``max``, ``count`` and ``devices`` of what is no counter are of the lamps alone: ``power_mean`` is
  the mean power of a lamp, and is not there where no lamp tells its power. So ``power_sum`` is not ``power_mean`` times
  ``power_devices`` where a circuit is metered.

A meter is a device of street lighting that has the name of its group, or measures what only a cabinet does (single
phases, leakage current, its door).
"""

from enum import StrEnum

from devices.vocabulary import Measurement


class Width(StrEnum):
    """How long a window is."""

    HOUR = "hour"
    DAY = "day"


class Scope(StrEnum):
    """What is summed up in a line; the scope is also the name of the tag beside ``commune``."""

    DEVICE = "device"
    GROUP = "group"
    """A cabinet or circuit."""
    ZONE = "zone"
    COMMUNE = "commune"


class Statistic(StrEnum):
    """What is said of a property."""

    MEAN = "mean"
    """Of a device: of its readings, by number. Of a scope: of its devices' means, each device once. Not of counters."""
    SUM = "sum"
    """Of a scope: the sum of its devices' means (a circuit's power), metered once. Not of counters."""
    INCREASE = "increase"
    """Of counters only: what was counted in the window, resets, rollovers and replaced meters taken into account."""
    MIN = "min"
    MAX = "max"
    COUNT = "count"
    """Readings that could be used."""
    QUALITY = "quality"
    """The worst quality of the window's readings."""
    DEVICES = "devices"
    """Of a scope: how many devices had a reading that could be used."""


ADDS_UP = ("power", "energy", "current", "apparent_power", "reactive_power")
"""Properties that a circuit's meter measures of all its lamps together."""
QUALITY, COMPLETENESS = "quality", "completeness"
"""Fields of every line: worst quality of all its properties; share of the expected readings that came."""
HEARD, EXPECTED, WORKING = "devices", "devices_expected", "working"
"""Fields of a scope's line: devices heard, devices there are, share of them that works (lamps that burn when due)."""


def measurement_name(measurement: Measurement, scope: Scope, width: Width) -> str:
    """The measurement of a roll-up.

    >>> measurement_name(Measurement.STREETLIGHT, Scope.DEVICE, Width.HOUR)
    'streetlight_hour'
    >>> measurement_name(Measurement.AIR_QUALITY, Scope.COMMUNE, Width.DAY)
    'air_quality_commune_day'
    """
    return f"{measurement}_{width}" if scope is Scope.DEVICE else f"{measurement}_{scope}_{width}"


def field_name(property_name: str, statistic: Statistic) -> str:
    """The field of a property's statistic.

    >>> field_name("power", Statistic.MEAN)
    'power_mean'
    """
    return f"{property_name}_{statistic}"
