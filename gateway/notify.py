"""Notifications: who is told which alerts, in their language, a bounded number an hour, tried again until it works."""

import logging
import re
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from devices.alert_rules import AlertState, SensorTexts
from devices.registry import Registry
from devices.standard_data import Text
from gateway.analytics.alert_book import AlertChange
from gateway.analytics.alert_texts import body, title
from gateway.notify_queue import Message, NotifyQueue, Waiting
from gateway.settings_neighbours import GATEWAY_ITSELF, Notify, quiet_apprise

log = structlog.get_logger(__name__)

HOUR, DAY = 3_600_000_000_000, 86_400_000_000_000
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 900.0
"""Seconds before a failed sending is tried again: doubled each time up to the longest. Chosen."""
GIVE_UP = DAY
"""What could not be told for so long [ns] is news no more. Chosen."""
IDLE_SECONDS = 5.0
NAMED = 5
"""Alerts that a summary names. Chosen."""

_TEST = {
    "vi": ("Thử thông báo", "Đây là tin thử của cổng dữ liệu. Nếu đọc được tin này thì kênh {name} hoạt động."),
    "en": ("Test notification", "A test message of the village gateway. Who reads it knows that {name} works."),
}
_MORE = {"vi": "và {n} cảnh báo khác", "en": "and {n} more"}
_SUMMARY = {"vi": "{n} tin cảnh báo", "en": "{n} alert messages"}

Send = Callable[[Notify, str, str], str]
"""Tell a target title and body; returns what went wrong, empty if nothing did."""


class Telling(NamedTuple):
    """Changes of alerts, and what is needed to put them into words."""

    changes: Sequence[AlertChange]
    registry: Registry
    sensor: SensorTexts


class Notifier:
    """A thread that tells people. ``take`` only writes down what has to be told."""

    def __init__(
        self,
        targets: Sequence[Notify],
        path: Path,
        communes: Mapping[str, str],
        *,
        send: Send | None = None,
        now: Callable[[], int] = time.time_ns,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is sent before ``start``.

        Args:
            targets: of the settings.
            path: where is kept what still has to be told.
            communes: names of communes by key.
            send: how a target is told.
            now: nanoseconds UTC.
            clock: monotonic seconds.

        Raises:
            OSError: the file cannot be written.
        """
        self._targets, self._communes = targets, communes
        self._send, self._now, self._clock = send or send_by_apprise, now, clock
        self._queue = NotifyQueue(path) if targets else None
        self._not_before: dict[str, float] = {}
        self._failures: Counter[str] = Counter()
        self.errors: dict[str, str] = {}
        """Targets that could not be told last time, and why."""
        self._news, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)

    def start(self) -> None:
        """Begin, if there is anybody to tell."""
        if self._queue is not None:
            self._thread.start()

    def stop(self) -> None:
        """End after the message at hand; what waits is told after the next start."""
        self._stopping.set()
        self._news.set()
        if self._thread.ident is not None:
            self._thread.join(10.0)
        if self._queue is not None and not self._thread.is_alive():
            self._queue.close()

    def take(self, telling: Telling) -> None:
        """Write down who has to be told what; it is on disk when this returns."""
        if self._queue is None:
            return
        messages = [
            self._message(target, change, telling)
            for change in telling.changes
            if change.notify
            for target in self._targets
            if is_for(target, change)
        ]
        if not messages:
            return
        try:
            if self._queue.put(messages, self._now()):
                self._news.set()
        except sqlite3.Error as error:
            log.error("alerts cannot be written down to be told; is the disk full?", error=str(error))  # noqa: TRY400

    def _message(self, target: Notify, change: AlertChange, telling: Telling) -> Message:
        head: Text = title(change, telling.sensor, telling.registry)
        text: Text = body(change, telling.sensor, self._communes)
        is_over = change.state is AlertState.RESOLVED
        language = target.language
        return Message(
            target.name, change.id, is_over, change.severity.number, getattr(head, language), getattr(text, language)
        )

    # the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            try:
                wait = self.tell_all()
            except sqlite3.Error as error:
                log.error("what has to be told cannot be read; is the disk full?", error=str(error))  # noqa: TRY400
                wait = LONGEST_PAUSE
            if not self._stopping.is_set():
                self._news.wait(wait)

    def tell_all(self) -> float:
        """Tell every target what may be told now; returns after how many seconds to look again."""
        waits = [self._tell(target) for target in self._targets]
        return min(waits, default=IDLE_SECONDS)

    def _tell(self, target: Notify) -> float:
        assert self._queue is not None  # noqa: S101 - there are targets
        while not self._stopping.is_set():
            pause = self._not_before.get(target.name, 0.0) - self._clock()
            if pause > 0:
                return min(pause, IDLE_SECONDS)
            now = self._now()
            waiting = self._still_news(self._queue.waiting(target.name), now)
            left = target.most_per_hour - len(self._queue.sendings(target.name, now - HOUR))
            if not waiting or left <= 0:
                return IDLE_SECONDS
            # The last message of an hour says everything that is left over.
            some = waiting if left == 1 else waiting[:1]
            head, text = summary(some, target.language)
            error = self._send(target, head, text)
            if error:
                self._failed(target, some, error)
            else:
                self._queue.told(target.name, [one.id for one in some], self._now())
                self._failures[target.name] = 0
                self.errors.pop(target.name, None)
        return IDLE_SECONDS

    def _still_news(self, waiting: Sequence[Waiting], now: int) -> list[Waiting]:
        assert self._queue is not None  # noqa: S101 - there are targets
        old = [one.id for one in waiting if one.made_at < now - GIVE_UP]
        if old:
            log.error("alerts could not be told for a day and are given up", messages=len(old))
            self._queue.dropped(old)
        return [one for one in waiting if one.made_at >= now - GIVE_UP]

    def _failed(self, target: Notify, some: Sequence[Waiting], error: str) -> None:
        assert self._queue is not None  # noqa: S101 - there are targets
        self._queue.failed([one.id for one in some])
        self._failures[target.name] += 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (self._failures[target.name] - 1))
        self._not_before[target.name] = self._clock() + pause
        if self.errors.get(target.name) != error:
            log.warning("a target cannot be told; trying again", target=target.name, error=error)
        self.errors[target.name] = error


def is_for(target: Notify, change: AlertChange) -> bool:
    """Whether a target wants to know."""
    commune = change.place.commune or GATEWAY_ITSELF
    return change.severity in target.severities and (not target.communes or commune in target.communes)


def summary(some: Sequence[Waiting], language: str) -> tuple[str, str]:
    """Title and body of one message that says several: the worst are named, the others counted."""
    if len(some) == 1:
        return some[0].message.title, some[0].message.body
    named = [one.message.title for one in some[:NAMED]]
    more = len(some) - len(named)
    lines = [*named, _MORE[language].format(n=more)] if more else named
    return _SUMMARY[language].format(n=len(some)), "\n".join(lines)


def trial_text(target: Notify) -> tuple[str, str]:
    """Title and body of a message that only shows that a target can be told."""
    head, text = _TEST[target.language]
    return head, text.format(name=target.name)


def send_by_apprise(target: Notify, head: str, text: str) -> str:
    """Tell every address of a target; returns what went wrong, without any part of an address."""
    apprise = quiet_apprise()
    problems = []
    for number, secret in enumerate(target.urls, start=1):
        address = secret.get_secret_value()
        with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as captured:
            sender = apprise.Apprise()
            done = sender.add(address) and sender.notify(title=head, body=text, body_format=apprise.NotifyFormat.TEXT)
            said = captured.getvalue()
        if not done:
            words = without_secrets(" ".join(said.split()), address) or "not sent"
            problems.append(f"address {number}: {words[:300]}" if len(target.urls) > 1 else words[:300])
    return "; ".join(problems)


def without_secrets(text: str, address: str) -> str:
    """A text in which nothing of an address is left but its kind.

    >>> without_secrets("POST https://example.org/t0ken42 failed", "jsons://example.org/t0ken42")
    'POST https://…/… failed'
    """
    parts = {part for part in re.split(r"[/:@?&=;,#]+", address.partition("://")[2]) if len(part) >= 4}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "…")
    return text
