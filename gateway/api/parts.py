"""What the API is given: readers of the line, the stores, and the few things it may ask the gateway to do."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, Protocol, TypeVar

from fastapi import Depends, Request

from gateway.analytics.alert_book import AlertBook
from gateway.analytics.laboratory import Laboratory
from gateway.analytics.worker import Standing
from gateway.api.fleet_office import FleetOffice
from gateway.line.glance import Glance, glance
from gateway.line.ledger import Totals
from gateway.line.pending import Pending
from gateway.line.pipeline import Tally
from gateway.line.records import DeviceHour, LineTotals, RefusedRow, Replays
from gateway.line.redecode import CanRedecode
from gateway.line.replay import CanReplay
from gateway.line.state import State
from gateway.model import Store
from gateway.settings import Api

T = TypeVar("T")


class PartHealth(NamedTuple):
    """How one part of the gateway is."""

    part: str
    """``broker``, ``journal``, ``store:<name>``, ``clock`` or ``fleet``."""
    state: Literal["ok", "waiting", "failing"]
    """``waiting``: a neighbour is absent and will be waited for; ``failing``: a person must do something."""
    detail: str
    """One line; what to do, if there is something to do."""


class Records(Protocol):
    """What the journal knows; ``gateway.line.records.Records`` is one."""

    def totals(self) -> Totals:
        """Uplinks by outcome since the journal began."""
        ...

    def lines(self) -> LineTotals:
        """Lines made and where they are."""
        ...

    def by_reason(self) -> dict[str, int]:
        """Refused uplinks that are kept, by reason."""
        ...

    def by_device(self, since: int, until: int, device: str | None, limit: int) -> list[DeviceHour]:
        """The ledger by hour of receipt and device, newest hour first."""
        ...

    def refused(
        self, since: int, reason: str | None, device: str | None, before: int | None, limit: int
    ) -> list[RefusedRow]:
        """Refused uplinks, newest first."""
        ...

    def refused_payload(self, number: int) -> tuple[RefusedRow, bytes, bool] | None:
        """One refused uplink, its bytes, and whether they were cut."""
        ...

    def replayed(self) -> Replays:
        """How many uplinks were refused at first."""
        ...

    def broker_lost(self) -> int:
        """Messages the broker said it had dropped after accepting them."""
        ...

    def lost_on_disk(self) -> int:
        """Lines that could not be read back before every store had them."""
        ...


class RequestError(Exception):
    """What was asked of the gateway cannot be done as asked: one line, what and what to do. Becomes ``bad_request``."""


class AskAlerts(Protocol):
    """Lets the thread that owns the alerts do something with their book; ``AnalyticsWorker.ask`` is one."""

    def __call__(self, task: Callable[[AlertBook], T]) -> T:
        """What the task returns; what it raises is raised.

        Raises:
            TimeoutError: the thread is busy or has ended.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """Everything behind the API. Callables are asked at each request, from several threads."""

    settings: Api
    version: str
    state: Callable[[], State]
    """The hot state in use; another one after a reload, with its own registry."""
    records: Records
    stores: Mapping[str, Store]
    """By name; series are read from the first unless the question names another."""
    health: Callable[[], Sequence[PartHealth]]
    tally: Callable[[], Tally]
    commune_name: Callable[[str], str]
    """What people call a commune; the key itself where nobody knows better."""
    backfill: Callable[[bytes], Mapping[str, object]]
    """Take in one chunk of old readings; returns what became of them.

    Raises:
        RequestError: the chunk cannot be read or taken.
    """
    reload: Callable[[], Mapping[str, object]]
    """Read the fleet anew; returns what is known now.

    Raises:
        FleetError: the file is bad, the old fleet stays in use.
    """
    fleet: FleetOffice
    replayer: CanReplay
    redecoder: CanRedecode
    pending: Callable[[int, int], Sequence[Pending]]
    """Senders nobody knows: since when [ns UTC], and at most how many."""
    alerts: Callable[[], Standing]
    """Every alert as of the last look."""
    ask_alerts: AskAlerts
    laboratory: Laboratory
    """Results of water samples that people enter."""
    now: Callable[[], int] = time.time_ns
    """Nanoseconds UTC."""

    def look(self, state: State | None = None) -> Glance:
        """How every device is now; by another state than the one in use, if it is given."""
        state, standing = state or self.state(), self.alerts()
        # Right after a change of the fleet nobody has looked at its feeders yet.
        live_since = standing.live_since if standing.registry is state.registry else None
        return glance(state, self.now(), live_since)


def _parts(request: Request) -> ApiParts:
    parts: ApiParts = request.app.state.parts
    return parts


Parts = Annotated[ApiParts, Depends(_parts)]
"""How a question gets them."""
