"""A pending sender taken into the fleet: which row it becomes, from its topic, the guess and what a person says."""

from collections.abc import Mapping
from pathlib import Path

from devices.fleet_changes import replaced
from devices.fleet_row import FleetRow, HardwareId
from devices.fleet_store import FleetStore
from devices.registry import Registry
from devices.topics import ROOT
from gateway.line.pending import Pending, pending

SECOND = 1_000_000_000


class UnsaidError(Exception):
    """Something about the sender must be said, or said otherwise.

    Args:
        key: of what: ``device``, ``commune`` or ``profile``.
        text: one line, what to do.
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(f"{key}: {text}")
        self.key, self.text = key, text


def find_sender(journal: Path, registry: Registry, sender: str) -> Pending:
    """The one pending sender of that hardware id, name or topic.

    Raises:
        ValueError: there is none, or several; says what to do.
    """
    found = pending(journal, registry, name=sender)
    if not found:
        raise ValueError(f"{sender!r} is not pending; see `village devices pending`")
    if len(found) > 1:
        topics = ", ".join(one.topic for one in found)
        raise ValueError(f"{sender!r} is heard from {len(found)} sources; name one by its topic: {topics}")
    return found[0]


def adopted_row(found: Pending, said: Mapping[str, object], store: FleetStore) -> FleetRow:
    """The row that takes a sender in; where ``device`` names one of the fleet, the sender is new hardware of it.

    Args:
        found: who it is.
        said: what a person says of it: keys of ``FleetRow``; blank ones count as not said.
        store: the fleet.

    Raises:
        UnsaidError: something must be said, or contradicts the topic.
        ValueError: cannot be done as asked.
    """
    asked = {key: value for key, value in said.items() if value not in {"", None}}
    own = {"device": found.name, "commune": found.commune} if found.source == ROOT else {}
    for key, value in own.items():
        if asked.get(key, value) != value:
            raise UnsaidError(key, f"{found.topic} names {value!r}, so it can only be that")
    asked |= own
    if "device" not in asked:
        raise UnsaidError("device", f"say what {found.name!r} is to be called")
    known = store.find(str(asked["device"]))
    since = found.first_at // SECOND * SECOND
    if known is not None:
        if own:
            raise ValueError(
                f"{known.device!r} is in the fleet, in commune {known.commune!r}; its topic says otherwise"
            )
        return replaced(store, known.device, found.name, "", since, move=False)[0]
    if "commune" not in asked:
        raise UnsaidError("commune", "say where it stands")
    if "profile" not in asked:
        if found.sureness != "sure":
            raise UnsaidError("profile", f"say which; {guess_in_words(found)}")
        asked["profile"] = found.guesses[0].profile
    if not own:
        start = since if store.has_hardware(found.name) else 0
        asked["hardware_ids"] = (HardwareId(found.name, start),)
    return FleetRow.model_validate(asked)


def guess_in_words(found: Pending) -> str:
    """Who a sender may be, for a person."""
    if not found.guesses:
        return "no profile reads it"
    if found.sureness == "unsure":
        return " or ".join(guess.profile for guess in found.guesses) + " (unsure)"
    return f"{found.guesses[0].profile} ({found.sureness})"
