"""Certificates and keys this gateway depends on: when they end, who may read them, and what other servers show it."""

import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import structlog

from gateway.certificate_ends import WARN_DAYS, examine, mode_problem, server_certificate_ends
from gateway.settings import Settings

log = structlog.get_logger(__name__)

EVERY_SECONDS = 3600.0
_PORTS = {"https": 443}


class Problem(NamedTuple):
    """One thing to be mended."""

    text: str
    """One line: what, and what to do."""
    is_urgent: bool
    """It has ended, or everybody may read it; otherwise it ends soon."""


def certificates_of(settings: Settings) -> list[Path]:
    """The certificate files that are named in the settings or lie in ``gateway.certificates_dir``."""
    broker, api = settings.broker, settings.api
    named = [broker.ca_file, broker.cert_file, api.cert_file, *(place.ca_file for place in settings.store)]
    folder = settings.gateway.certificates_dir
    found = [*(path for path in named if path is not None), *(sorted(folder.glob("*.crt")) if folder.is_dir() else ())]
    return list({path.resolve(): path for path in found}.values())


def keys_of(settings: Settings) -> list[Path]:
    """The private keys that belong to them."""
    named = [path for path in (settings.broker.key_file, settings.api.key_file) if path is not None]
    folder = settings.gateway.certificates_dir
    found = [*named, *(sorted(folder.glob("*.key")) if folder.is_dir() else ())]
    return list({path.resolve(): path for path in found}.values())


def servers_of(settings: Settings) -> list[tuple[str, int, Path | None]]:
    """Host, port and authority of every server that is reached by TLS."""
    broker = settings.broker
    found = [(broker.host, broker.port, broker.ca_file)] if broker.tls else []
    for place in settings.store:
        parts = urlsplit(place.url or "")
        if parts.scheme in _PORTS and parts.hostname:
            found.append((parts.hostname, parts.port or _PORTS[parts.scheme], place.ca_file))
    return found


def key_problems(settings: Settings) -> list[str]:
    """Private keys that others may read; one line each."""
    return [problem for path in keys_of(settings) if (problem := mode_problem(path))]


def problems(settings: Settings, now: datetime, *, ask_servers: bool = True) -> Iterator[Problem]:
    """Everything that is wrong with certificates and keys.

    Args:
        settings: which files and servers.
        now: the time, UTC.
        ask_servers: also look at what broker and stores show; one that is away is not a problem of certificates.
    """
    yield from (Problem(text, True) for text in key_problems(settings))
    for state in examine(certificates_of(settings), now):
        if state.problem:
            yield Problem(state.problem, state.ends <= now or not state.name)
    if ask_servers:
        for host, port, ca_file in servers_of(settings):
            yield from _shown(host, port, ca_file, now)


def _shown(host: str, port: int, ca_file: Path | None, now: datetime) -> Iterator[Problem]:
    try:
        ends = server_certificate_ends(host, port, ca_file)
    except ssl.SSLCertVerificationError as error:
        yield Problem(untrusted(f"{host} port {port}", host, error), True)
    except OSError:
        # Not there, or no TLS: whoever talks to it says so.
        return
    else:
        if ends - now < timedelta(days=WARN_DAYS):
            when = f"ends on {ends:%Y-%m-%d}, in {(ends - now).days} days"
            yield Problem(f"{host} port {port}: its certificate {when}; renew it there", False)


def untrusted(where: str, host: str, error: ssl.SSLCertVerificationError) -> str:
    """Why a server's certificate is not taken, and what to do."""
    words = error.verify_message
    if "expired" in words:
        what = "its certificate has ended; renew it there, or set the clock of this machine right"
    elif "mismatch" in words or "not valid for" in words:
        what = f"its certificate is not for {host!r}; name the server as it does, or make one for this name"
    elif "not yet valid" in words:
        what = "its certificate is not valid yet; is the clock of this machine right?"
    else:
        what = f"its certificate is not of an authority that is trusted ({words}); set ca_file to the right ca.crt"
    return f"{where}: {what}"


class CertificateWatch:
    """Looks at start and each hour, in a thread of its own, because a server may take its time to answer."""

    def __init__(self, settings: Settings, then: Callable[[], None] = lambda: None) -> None:
        """``then`` is called after each look: a server may take up what was renewed."""
        self._settings, self._then = settings, then
        self.found: tuple[Problem, ...] = ()
        """At the last look."""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="certificates", daemon=True)

    @property
    def has_any(self) -> bool:
        """Whether there is anything to watch."""
        return bool(certificates_of(self._settings) or keys_of(self._settings) or servers_of(self._settings))

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; a look that waits for a server is not waited for."""
        self._ending.set()

    def look(self) -> None:
        """Once, now."""
        found = tuple(problems(self._settings, datetime.now(UTC)))
        for problem in found:
            if problem not in self.found:
                log.warning("certificates", problem=problem.text)
        self.found = found
        self._then()

    def _run(self) -> None:
        self.look()
        while not self._ending.wait(EVERY_SECONDS):
            self.look()
