"""The gateway as a service: runs until it is told to end, begins anew where its journal is damaged, tells systemd."""

import gc
import signal
import threading
import time

import structlog

from gateway.app import App
from gateway.line.journal_file import is_damage
from gateway.memory import keep_little
from gateway.settings import Settings
from gateway.systemd import Notifier

log = structlog.get_logger(__name__)

STATUS_SECONDS = 10.0
"""How often `systemctl status` gets a new line."""
GARBAGE_OBJECTS = 30_000
"""New objects after which Python looks for garbage that its counting of references misses. Its default, 700, does so
dozens of times within a batch, all of which is in use until it is on disk: 5 % of the line's time. Chosen: twice what a
batch of ``mqtt.MAX_UPLINKS`` holds."""


def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT.

    Returns:
        Exit status: 0 after a signal, 1 if the line failed (nothing unsafe was acknowledged; start it again).
    """
    keep_little()
    asked, ended = threading.Event(), threading.Event()

    def end(*_: object) -> None:
        asked.set()
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    notifier = Notifier()
    try:
        while True:
            failed = _live(settings, ended, notifier)
            if asked.is_set() or not is_damage(failed):
                return 0 if failed is None else 1
            log.error("the journal is damaged; beginning a new one with what can be read of it", error=str(failed))
            ended.clear()
    finally:
        notifier.stopping()


def _live(settings: Settings, ended: threading.Event, notifier: Notifier) -> BaseException | None:
    """One life of all parts, until it is asked to end or the line fails; returns what it failed on."""
    # What is made here lives as long as the process: it is no garbage, and need not be looked through for some.
    gc.disable()
    app = App(settings)
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)
    gc.enable()
    app.line.on_end, app.line.on_turn = ended.set, notifier.alive
    try:
        app.start()
        log.info("running", devices=len(app.registry), api=app.api.address if app.api else "", stores=list(app.stores))
        notifier.ready(app.health.in_a_line())
        while not ended.wait(STATUS_SECONDS):
            if notifier.is_told:
                notifier.status(app.health.in_a_line())
    finally:
        # Also where a part could not start: the threads of the others would keep the process alive.
        started = time.monotonic()
        if app.line.failed is None:
            notifier.stopping()
        app.stop()
        log.info("stopped", seconds=round(time.monotonic() - started, 2))
    return app.line.failed
