"""Certificates and keys as they lie in files or are shown by servers: when they end, and who may read them."""

import socket
import ssl
import stat
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cryptography import x509

WARN_DAYS = 30
"""Less than this is an alarm: the renewal has failed for a month. Chosen."""
_MAX_BYTES = 1 << 20


class CertificateError(Exception):
    """A certificate cannot be made or read; one line, what to do."""


class State(NamedTuple):
    """How a certificate is doing."""

    path: Path
    name: str
    ends: datetime
    problem: str
    """One line, what to do; empty if there is none."""


def read_certificate(path: Path) -> "x509.Certificate":
    """The first certificate of a PEM file.

    Raises:
        CertificateError: there is none.
    """
    # Its library is 12 MB of memory, for nothing where there is no certificate.
    from cryptography import x509  # noqa: PLC0415

    try:
        with path.open("rb") as file:
            return x509.load_pem_x509_certificate(file.read(_MAX_BYTES))
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}; `village certificates` makes certificates") from error
    except ValueError as error:
        raise CertificateError(f"{path}: is not a certificate in PEM form") from error


def mode_problem(path: Path) -> str:
    """What is wrong with who may read a secret file; empty if nothing is, or if there is no such file."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return ""
    if mode & 0o007:
        return f"{path}: everybody on this machine may read it (mode {mode:04o}); chmod 600 {path}"
    if mode & 0o020:
        return f"{path}: its group may change it (mode {mode:04o}); chmod 640 {path}"
    return ""


def examine(paths: Iterable[Path], now: datetime, warn_days: int = WARN_DAYS) -> Iterator[State]:
    """How long these certificates last; one that cannot be read is a problem too."""
    for path in paths:
        try:
            found = read_certificate(path)
        except CertificateError as error:
            yield State(path, "", now, str(error))
            continue
        common = [part for part in found.subject if part.rfc4514_attribute_name == "CN"]
        name = str(common[0].value) if common else ""
        yield State(path, name, found.not_valid_after_utc, _age_problem(path, found, now, warn_days))


def _age_problem(path: Path, found: "x509.Certificate", now: datetime, warn_days: int) -> str:
    ends = found.not_valid_after_utc
    if now < found.not_valid_before_utc:
        begins = found.not_valid_before_utc
        return f"{path}: is valid from {begins:%Y-%m-%d} on; is the clock of this machine right?"
    if ends < now:
        return f"{path}: ended on {ends:%Y-%m-%d}; make a new one with `village certificates`"
    if ends - now < timedelta(days=warn_days):
        return (
            f"{path}: ends on {ends:%Y-%m-%d}, in {(ends - now).days} days; make a new one with `village certificates`"
        )
    return ""


def server_certificate_ends(host: str, port: int, ca_file: Path | None, timeout_seconds: float = 5.0) -> datetime:
    """When the certificate that a server shows ends.

    Raises:
        OSError: nobody answers, or the certificate is not trusted (``ssl.SSLError``).
    """
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    with (
        socket.create_connection((host, port), timeout=timeout_seconds) as plain,
        context.wrap_socket(plain, server_hostname=host) as encrypted,
    ):
        shown = encrypted.getpeercert() or {}
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
