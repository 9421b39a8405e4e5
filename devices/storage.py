"""What is stored besides readings and roll-ups: measurements and fields of indices, alerts, states and the gateway.

Every line has the tags ``commune`` and ``device`` and nothing but floats as fields; what a number stands for is said
here, so that whoever writes and whoever draws cannot differ. A measurement that ends in ``_hour`` or ``_day`` lives in
the roll-up database, every other one beside the readings. Examples::

    index,commune=10642,device=air-1 vn_aqi=87.0,vn_aqi_pollutant=1.0,vn_aqi_pm2_5=86.7,pm2_5_nowcast=43.4
    alert,commune=10642,device=lamp-017 rule=1.0,state=2.0,severity=2.0,firing=1.0,rule_lamp_out=2.0, ...
    device,commune=10642,device=lamp-017 latitude=20.99,longitude=106.28,state=5.0
    gateway,commune=-,device=gateway received=1520.0,kept=1500.0,refused=18.0,repeated=2.0,holds=1.0
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import NamedTuple

from devices.alert_rules import Severity
from devices.rollup_names import Width
from devices.vocabulary import Measurement

NOBODY = "-"
"""The tag ``commune`` of lines about the gateway itself, and ``device`` of lines about a whole commune."""
GATEWAY_DEVICE = "gateway"
"""The tag ``device`` of the measurement ``gateway``."""

# Times of rewriting: whoever looks back so far (and a little more) sees everything that holds. All chosen.
STATE_SECONDS = 3600
"""Every device's state and position are written at least this often, and at once when the state changes."""
COMMUNE_SECONDS = 300
GATEWAY_SECONDS = 60
ALERT_SECONDS = 900
"""The line of an alert that is firing is written again at least this often, until it has resolved."""


class Table(StrEnum):
    """Measurements besides the vocabulary's and the roll-ups."""

    INDEX = Measurement.INDEX.value
    """Hourly indices of a station; the time is the start of the hour."""
    INDEX_DAY = f"{Measurement.INDEX.value}_{Width.DAY.value}"
    """Daily indices of a station; the time is the start of the calendar day in Viet Nam."""
    ALERT = Measurement.ALERT.value
    """A change of an alert's state, or the same state said again."""
    DEVICE = Measurement.DEVICE.value
    """State and position of a device, among what it says of itself."""
    LIGHTING_DAY = f"lighting_{Width.DAY.value}"
    """Energy of a day and what it means, by circuit (``device``: the group) and by commune (``device``: ``-``)."""
    COMMUNE_STATE = "commune_state"
    """How a commune's devices are; ``device`` is ``-``."""
    GATEWAY = "gateway"
    """The ledger and the parts of a gateway; ``commune`` is ``-``."""
    GATEWAY_STORE = "gateway_store"
    """The lines of one store; ``commune`` is ``-``, ``device`` the store's name."""
    LEDGER_HOUR = f"ledger_{Width.HOUR.value}"
    """Uplinks of a device by hour of receipt; the time is the start of the hour."""


# indices -----------------------------------------------------------------------------------------------------

VN_AQI = "vn_aqi"
"""0 to 500; absent where it may not be published."""
VN_AQI_POLLUTANT = "vn_aqi_pollutant"
"""Which pollutant decides: its place among the standards' ``vn_aqi.pollutants``, the first is 1."""
VN_WQI = "vn_wqi"
"""0 to 100, the official index; absent where it may not be published."""
VN_WQI_PARTIAL = "vn_wqi_partial"
"""The same formula over what there is; never shown without its label."""
WATER_CLASS = "water_class"
"""The class of QCVN 08 that what is measured reaches: 1 is A, 4 is D."""
NIGHT_FLOW = "night_flow"
"""[m3/h] least hourly flow of the small hours; in ``index_day``."""
NIGHT_FLOW_LIMIT = "night_flow_limit"
"""[m3/h] from here on it is a suspicion of a leak; in ``index_day``."""


def air_sub_index(pollutant: str) -> str:
    """The field of a pollutant's sub-index of VN_AQI.

    >>> air_sub_index("pm2_5")
    'vn_aqi_pm2_5'
    """
    return f"{VN_AQI}_{pollutant}"


def nowcast(pollutant: str) -> str:
    """The field of a pollutant's weighted mean of the last 12 hours [ug/m3].

    >>> nowcast("pm2_5")
    'pm2_5_nowcast'
    """
    return f"{pollutant}_nowcast"


def water_sub_index(parameter: str) -> str:
    """The field of a parameter's sub-index of VN_WQI.

    >>> water_sub_index("ph")
    'vn_wqi_ph'
    """
    return f"{VN_WQI}_{parameter}"


# alerts ------------------------------------------------------------------------------------------------------


class AlertChange(NamedTuple):
    """Fields of every line of ``alert``; besides these, ``rule_state`` of its rule and ``firing_count`` of its kind.

    Two changes of one device at the same moment are written a nanosecond apart, or they would be one line.
    """

    rule: float
    """Place of the rule in the standards' table ``alerts.rules``, the first is 1."""
    state: float
    """``AlertState.number``: 0 resolved, 1 pending, 2 firing, 3 acknowledged (firing, and somebody sees to it)."""
    severity: float
    """``Severity.number``: 1 info, 2 warning, 3 critical."""
    firing: float
    """All alerts that fire at this device after this change."""
    value: float | None
    """What was measured, in the property's unit; absent where a rule is not about a value."""
    limit: float | None
    since: float
    """Seconds since 1970 UTC since when it holds."""
    sensor: float
    """1 where the value itself is doubtful ("check the sensor, or danger")."""


def rule_state(code: str) -> str:
    """The field with the state of one rule at the device (``AlertState.number``).

    >>> rule_state("lamp_out")
    'rule_lamp_out'
    """
    return f"rule_{code}"


def firing_count(domain: Measurement, severity: Severity) -> str:
    """The field that says how many alerts of this kind fire at the device after the change.

    >>> firing_count(Measurement.STREETLIGHT, Severity.CRITICAL)
    'firing_streetlight_critical'
    """
    return f"firing_{domain}_{severity}"


# states ------------------------------------------------------------------------------------------------------


class Condition(IntEnum):
    """How a device is: the greatest number that applies; the field ``state`` of ``device``."""

    OK = 0
    NEVER = 1
    """No uplink yet."""
    SUSPECT = 2
    """Its latest values are doubtful."""
    OFFLINE = 3
    """It said so itself, or its last will did."""
    SILENT = 4
    """Nothing for three intervals, 15 minutes at least."""
    WARNING = 5
    """An alert of this severity fires."""
    CRITICAL = 6


class DeviceState(NamedTuple):
    """Fields of ``device`` that the gateway writes of its own."""

    latitude: float | None
    longitude: float | None
    state: float
    """``Condition``."""


class CommuneState(NamedTuple):
    """Fields of ``commune_state``."""

    latitude: float | None
    """Middle of its devices' positions."""
    longitude: float | None
    devices: float
    heard: float
    """Devices that are neither silent nor offline nor were never heard."""
    silent: float
    suspect: float
    info: float
    """Alerts of this severity that fire."""
    warning: float
    critical: float


# lighting ----------------------------------------------------------------------------------------------------


class LightingDay(NamedTuple):
    """Fields of ``lighting_day``. Metered once: by the cabinet where the circuit has one, else by the lamps."""

    lamps: float
    working: float | None
    """Share of the lamps that burnt when they should."""
    burning_hours: float | None
    """Mean of the lamps [h]."""
    energy: float
    """[kW.h]"""
    cost: float
    """[VND] before tax."""
    co2: float
    """[kg]"""
    saved_energy: float | None
    """[kW.h] against the baseline of the settings; absent where none is set."""
    saved_cost: float | None
    saved_co2: float | None


# the gateway itself ------------------------------------------------------------------------------------------


class GatewayState(NamedTuple):
    """Fields of ``gateway``, besides ``refused_count`` of every reason. Counts rise since the journal began."""

    received: float
    kept: float
    refused: float
    repeated: float
    lines_kept: float
    holds: float
    """1 while the ledger's sums hold."""
    lost_at_broker: float
    overload_lost: float
    late: float
    broker: float
    """``PartState``."""
    journal: float
    """``PartState``."""
    journal_used_bytes: float
    journal_max_bytes: float
    devices: float
    devices_heard: float


def refused_count(reason: str) -> str:
    """The field that counts the uplinks refused for a reason.

    >>> refused_count("unit")
    'refused_unit'
    """
    return f"refused_{reason}"


class PartState(IntEnum):
    """How a part of the gateway is."""

    OK = 0
    WAITING = 1
    FAILING = 2


class StoreState(NamedTuple):
    """Fields of ``gateway_store``. ``lines_kept = waiting + stored + rejected``."""

    waiting: float
    oldest_waiting_seconds: float
    stored: float
    rejected: float
    state: float
    """``PartState``."""


class LedgerHour(NamedTuple):
    """Fields of ``ledger_hour``. ``received = kept + refused + repeated``."""

    received: float
    kept: float
    refused: float
    repeated: float


def numbers(entry: "StoredFields", more: Mapping[str, float] | None = None) -> str:
    """The fields of a line: every number as a float, what is not known left out.

    >>> numbers(LedgerHour(received=12.0, kept=10.0, refused=1.0, repeated=1.0))
    'received=12.0,kept=10.0,refused=1.0,repeated=1.0'
    """
    every = [*entry._asdict().items(), *(more or {}).items()]
    return ",".join(f"{name}={float(value)!r}" for name, value in every if value is not None)


StoredFields = AlertChange | DeviceState | CommuneState | LightingDay | GatewayState | StoreState | LedgerHour
