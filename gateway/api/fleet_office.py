"""The fleet changed over the network: with the checks of the command line, told before it is done, and used at once."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from devices.fleet_changes import open_to_change, put_checked, put_new, replaced
from devices.fleet_import import import_rows
from devices.fleet_row import FleetRow
from devices.fleet_store import Change
from devices.profile import shipped_profiles
from devices.registry import Registry
from gateway.line.adoption import adopted_row, find_sender
from gateway.line.replay import CanReplay, Step, Wanted

REPLAY_SECONDS = 20.0
"""So long an answer may wait for what an adopted sender had said; the rest can be asked for. Chosen."""


class Changed(NamedTuple):
    """What a change of the fleet came to, or would come to."""

    changes: Sequence[Change]
    """The first thousand."""
    counts: Mapping[str, int]
    """``added``, ``changed``, ``removed``."""
    devices: int | None
    """In the fleet that the gateway uses now; None where nothing was done."""
    replay: Step | None = None
    """What became of what an adopted sender had said."""


class FleetOffice:
    """Changes the fleet database of the settings and has the gateway read it anew."""

    def __init__(
        self,
        fleet: Path,
        journal: Path,
        registry: Callable[[], Registry],
        reload: Callable[[], Mapping[str, object]],
        replayer: CanReplay,
    ) -> None:
        """``registry`` is the fleet in use; ``reload`` reads it anew and returns how many ``devices`` it has."""
        self._fleet, self._journal, self._registry = fleet, journal, registry
        self._reload, self._replayer = reload, replayer

    def add(self, row: FleetRow, *, preview: bool) -> Changed:
        """Take one device in.

        Raises:
            ValueError, FleetError: cannot be done as asked, as from every method here; nothing was changed.
        """
        with open_to_change(self._fleet) as store:
            changes = put_new(store, row, apply=not preview)
        return self._used(changes, preview=preview)

    def replace(self, device: str, new: str, old: str, at: int, *, move: bool, preview: bool) -> Changed:
        """New hardware speaks for a device from a moment on [ns UTC]; see ``fleet_changes.replaced``."""
        with open_to_change(self._fleet) as store:
            rows = replaced(store, device, new, old, at, move=move)
            changes = put_checked(store, *rows, what="replaced", apply=not preview)
        return self._used(changes, preview=preview)

    def adopt(self, sender: str, said: Mapping[str, object], *, preview: bool) -> Changed:
        """Take a pending sender in, and store what it has said so far.

        Raises:
            UnsaidError: something must be said of it.
            TimeoutError: it was taken in; what it had said can be replayed later.
        """
        found = find_sender(self._journal, self._registry(), sender)
        with open_to_change(self._fleet) as store:
            row = adopted_row(found, said, store)
            changes = put_checked(store, row, what="adopted", apply=not preview)
        done = self._used(changes, preview=preview)
        return done if preview else done._replace(replay=self._replay(Wanted(device=row.device)))

    def import_file(self, file: Path, *, prune: bool, preview: bool) -> Changed:
        """Make the fleet as a CSV says; see ``import_rows``."""
        with open_to_change(self._fleet) as store:
            found = import_rows(store, file, shipped_profiles(), time.time_ns(), prune=prune, apply=not preview)
        counts = {"added": found.added, "changed": found.changed, "removed": found.removed}
        return self._used(found.changes, counts, preview=preview)

    def _used(self, changes: Sequence[Change], counts: Mapping[str, int] | None = None, *, preview: bool) -> Changed:
        if counts is None:
            added = sum(not change.detail for change in changes)  # a device that was there has columns that change
            counts = {"added": added, "changed": len(changes) - added, "removed": 0}
        if preview:
            return Changed(changes, counts, None)
        devices = self._reload()["devices"] if changes else len(self._registry())
        return Changed(changes, counts, int(str(devices)))

    def _replay(self, wanted: Wanted) -> Step:
        sums, until = Step(0), time.monotonic() + REPLAY_SECONDS
        while True:
            step = self._replayer.step(wanted, sums.through)
            sums = Step(step.through, *(one + other for one, other in zip(sums[1:], step[1:], strict=True)))
            if not step.through or time.monotonic() > until:
                return sums
