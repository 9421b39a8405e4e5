"""What the broker's session is subscribed to: asked for anew only if the session is new or the filters changed."""

import json
from collections.abc import Sequence
from typing import Protocol

import paho.mqtt.client as paho
from paho.mqtt.subscribeoptions import SubscribeOptions

NOTE = "subscribed"


class Notes(Protocol):
    """Small texts that survive a restart; the journal is one."""

    def note(self, name: str) -> str:
        """The remembered text, or empty."""
        ...

    def remember(self, name: str, value: str) -> None:
        """Remember a text; it is on disk a turn of the line later."""
        ...


class Subscriptions:
    """Keeps book of the session's filters. A broker sends retained messages again on every SUBSCRIBE.

    The note is on disk only while the filters are known to be held: a connection that breaks, or a process that dies,
    between CONNECT and SUBACK leaves a session behind that is there and hears nothing.
    """

    def __init__(self, session: str, filters: Sequence[str], notes: Notes) -> None:
        """``session`` names broker and client id; ``filters`` are those it shall have."""
        self._session, self._filters, self._notes = session, sorted(filters), notes
        self._held: set[str] | None = None
        self._asked: int | None = None
        """Packet id of the last SUBSCRIBE or UNSUBSCRIBE that the broker has not answered."""

    @property
    def is_granted(self) -> bool:
        """Whether the session has every filter: what is published from now on comes here."""
        return self._asked is None and self._held == set(self._filters)

    def is_ready(self) -> bool:
        """Whether a connection may be opened; if not, the doubt about the session must reach the disk first."""
        if self._held is None:
            known = json.loads(self._notes.note(NOTE) or "{}")
            self._held = set(known.get(self._session, ()))
        if self._notes.note(NOTE):
            self._notes.remember(NOTE, "")
            return False
        return True

    def renew(self, client: paho.Client, *, present: bool, version5: bool) -> None:
        """The broker has let us in, with the session of before or a new one: ask for what is missing."""
        held = self._held if present and self._held is not None else set()
        wanted = set(self._filters)
        fresh, gone = sorted(wanted - held), sorted(held - wanted)
        self._held, self._asked = held, None
        if gone:
            _, self._asked = client.unsubscribe(gone)
        if fresh and version5:
            _, self._asked = client.subscribe([(text, SubscribeOptions(qos=1)) for text in fresh])
        elif fresh:
            _, self._asked = client.subscribe([(text, 1) for text in fresh])
        if not (fresh or gone):
            self._confirm()

    def granted(self, number: int) -> None:
        """The broker has answered this packet, and answers in order: the session has every filter."""
        if number == self._asked:
            self._confirm()

    def refused(self, number: int) -> bool:
        """The broker has refused a filter of this packet; False if it was none of ours."""
        is_ours = number == self._asked
        if is_ours:
            self._held, self._asked = set(), None
        return is_ours

    def _confirm(self) -> None:
        self._held, self._asked = set(self._filters), None
        self._notes.remember(NOTE, json.dumps({self._session: self._filters}))
