"""What is stored of devices' states and of the gateway itself: measurements and fields, for who writes and who draws.

Readings are named by the vocabulary, roll-ups by ``rollup_names``, indices by ``index_names``, alerts by
``alert_names``; here is the rest. Every line has the tags ``commune`` and ``device`` and nothing but floats as fields.
A measurement that ends in ``_hour`` or ``_day`` lives in the roll-up database. Examples::

    device,commune=10642,device=lamp-017 latitude=20.99,longitude=106.28,state=3.0
    gateway,commune=gateway,device=- received=1520.0,kept=1500.0,refused=18.0,repeated=2.0,holds=1.0
    gateway_store,commune=gateway,device=influx waiting=12.0,oldest_waiting_seconds=1.5
    ledger_hour,commune=10642,device=lamp-017 received=12.0,kept=12.0,refused=0.0,repeated=0.0,missing=1.0
    lighting_day,commune=10642,device=- energy=71.0,saved_energy=97.0
    lighting_day,commune=10642,device=cabinet-1 energy=23.0
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import NamedTuple

from devices.rollup_names import Width
from devices.vocabulary import Measurement

# How often lines are written: whoever looks back a little further sees everything that holds. All chosen.
STATE_SECONDS = 3600
"""Every device's state and position, every alert that fires: at least so often, and at once when it changes."""
GATEWAY_SECONDS = 60


class Table(StrEnum):
    """Measurements by what is in them."""

    INDEX = Measurement.INDEX.value
    ALERT = Measurement.ALERT.value
    DEVICE = Measurement.DEVICE.value
    """State and position of a device, among what it says of itself."""
    ALERT_STANDING = "alert_standing"
    """The state of each alert, at each change and once an hour while it fires: what fires now is found without looking
    back at when it began. Fields and tags as in ``alert``, states only; the time is the gateway's."""
    GATEWAY = "gateway"
    """The ledger and the parts of a gateway; ``commune`` is ``gateway``, ``device`` is ``-``."""
    GATEWAY_STORE = "gateway_store"
    """The lines of one store; ``device`` is the store's name."""
    LEDGER_HOUR = f"ledger_{Width.HOUR.value}"
    """Uplinks of a device by hour of receipt; the time is its start. The commune of unknown senders is ``gateway``."""
    LIGHTING_DAY = f"lighting_{Width.DAY.value}"
    """What a commune's lighting used and saved in a day, ``device`` is ``-``; and what each cabinet metered, under its
    own name. The time is the start of the day in Viet Nam."""


class Condition(IntEnum):
    """How a device is: the greatest number that applies; the field ``state`` of ``device``."""

    OK = 0
    SUSPECT = 1
    """Its latest values are doubtful."""
    NEVER = 2
    """No uplink yet."""
    WARNING = 3
    """An alert of this severity fires at it, other than of silence."""
    OFFLINE = 4
    """It said so itself, or its last will did."""
    SILENT = 5
    """Nothing for so long that an alert of silence begins: what else fires at it may be long over."""
    CRITICAL = 6
    """An alert of this severity fires at it, other than of silence."""


class DeviceState(NamedTuple):
    """Fields of ``device`` that the gateway writes of its own."""

    latitude: float | None
    longitude: float | None
    state: float
    """``Condition``."""


class LightingDay(NamedTuple):
    """Fields of ``lighting_day``; of a cabinet only ``energy``, and of a commune too where no baseline is set."""

    energy: float
    """[kW.h] metered once: by the cabinet where a circuit has one, else by its lamps."""
    saved_energy: float | None = None
    """[kW.h] against the baseline of the standards' table ``lighting``."""
    saved_cost: float | None = None
    """[VND] before tax."""
    saved_co2: float | None = None
    """[kg]"""


class PartState(IntEnum):
    """How a part of the gateway is."""

    OK = 0
    WAITING = 1
    FAILING = 2


class GatewayState(NamedTuple):
    """Fields of ``gateway``, besides ``refused_count`` of every reason. Counts rise since the journal began.

    What a replay has taken moves from refused to kept; by reason it stays counted as it was at first.
    """

    received: float
    kept: float
    refused: float
    repeated: float
    lines_kept: float
    holds: float
    """1 while the ledger's sums hold."""
    lost_at_broker: float
    late: float
    """Readings, since the gateway's start."""
    broker: float
    """``PartState``."""
    journal: float
    """``PartState``."""
    clock: float
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
    missing: float
    """Sent and never arrived, by the device's own numbers."""


StoredFields = DeviceState | LightingDay | GatewayState | StoreState | LedgerHour


def fields(entry: StoredFields, more: Mapping[str, float] | None = None) -> str:
    """The fields of a line: every number as a float, what is not known left out.

    >>> fields(LedgerHour(received=12.0, kept=10.0, refused=1.0, repeated=1.0, missing=0.0))
    'received=12.0,kept=10.0,refused=1.0,repeated=1.0,missing=0.0'
    """
    every = [*entry._asdict().items(), *(more or {}).items()]
    return ",".join(f"{name}={float(value)!r}" for name, value in every if value is not None)
