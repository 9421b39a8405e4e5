"""A small certificate authority for one commune: broker, API and device certificates."""

import ipaddress
import os
import re
import shutil
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.certificate_ends import CertificateError, mode_problem, read_certificate

AUTHORITY = Path("/etc/village/authority")
"""Where the installation keeps the authority: its key opens every door, so only root may look in."""
AUTHORITY_DAYS, DEVICE_DAYS = 20 * 365, 10 * 365
"""Nobody visits a lamp to change what it trusts. A lost certificate is ended by ending its account."""
SERVER_DAYS = 825
"""What every browser and phone still takes from an authority of one's own (Apple, since 2019)."""
RENEW_DAYS = 60
"""A server's certificate is renewed when less is left; the timer looks each week. Chosen."""
_BACKDATED = timedelta(days=1)
"""For clocks that are behind."""
_HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE)


class Pair(NamedTuple):
    """A certificate and its private key, both as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """The folder of one certificate authority: ``ca.crt`` for everybody, ``ca.key`` for nobody else."""

    def __init__(self, folder: Path) -> None:
        """Read it.

        Raises:
            CertificateError: there is none, or its key is readable by others.
        """
        self.files = Pair(folder / "ca.crt", folder / "ca.key")
        self._certificate = read_certificate(self.files.certificate)
        problem = mode_problem(self.files.key)
        if problem:
            raise CertificateError(problem)
        self._key = _read_key(self.files.key)

    @classmethod
    def make(cls, folder: Path, name: str, now: datetime) -> "Authority":
        """A new authority in a folder that has none.

        Raises:
            CertificateError: there is one already: another would lock every device out.
        """
        files = Pair(folder / "ca.crt", folder / "ca.key")
        if files.key.exists() or files.certificate.exists():
            raise CertificateError(f"{folder} holds an authority already; every device trusts it, so it is kept")
        key, subject = ec.generate_private_key(ec.SECP256R1()), _name(name)
        builder = _builder(subject, subject, key.public_key(), now, AUTHORITY_DAYS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        certificate = builder.sign(key, hashes.SHA256())
        folder.mkdir(parents=True, exist_ok=True)
        _write_key(files.key, key)
        _write(files.certificate, certificate.public_bytes(Encoding.PEM), 0o644)
        return cls(folder)

    def issue_server(
        self, files: Pair, hosts: Sequence[str], now: datetime, *, renew_days: int = RENEW_DAYS, group: str = ""
    ) -> bool:
        """A server's certificate for these names and addresses; its key is kept once it is there.

        Args:
            files: what to write.
            hosts: names and IP addresses by which clients reach it.
            now: with a zone.
            renew_days: one that names the same hosts and lasts longer is left as it is.
            group: of the account that must read the key.

        Returns:
            Whether a new certificate was written.

        Raises:
            CertificateError: a name that is none, or a file that cannot be written.
        """
        names = [_host(host) for host in dict.fromkeys(hosts)]
        if not names:
            raise CertificateError("name at least one host by which the server is reached")
        if self._lasts(files, names, now, renew_days):
            return False
        key = _read_key(files.key) if files.key.exists() else _new_key(files.key)
        builder = self._leaf(_name(hosts[0]), key, now, SERVER_DAYS, ExtendedKeyUsageOID.SERVER_AUTH)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        self._sign(builder, files)
        if group:
            _give_to(files.key, group)
        return True

    def issue_client(self, files: Pair, name: str, now: datetime) -> None:
        """A certificate with which a client comes in under the account ``name``, with a new key.

        Raises:
            CertificateError: it exists, or cannot be written.
        """
        if files.key.exists() or files.certificate.exists():
            raise CertificateError(f"{files.key}: exists; move it away, or name another folder")
        key = _new_key(files.key)
        self._sign(self._leaf(_name(name), key, now, DEVICE_DAYS, ExtendedKeyUsageOID.CLIENT_AUTH), files)

    def _leaf(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int, use: x509.ObjectIdentifier
    ) -> x509.CertificateBuilder:
        builder = _builder(subject, self._certificate.subject, key.public_key(), now, days)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(authority, critical=False)
        builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
        return builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)

    def _sign(self, builder: x509.CertificateBuilder, files: Pair) -> None:
        certificate = builder.sign(self._key, hashes.SHA256())
        _write(files.certificate, certificate.public_bytes(Encoding.PEM), 0o644)

    def _lasts(self, files: Pair, names: Sequence[x509.GeneralName], now: datetime, days: int) -> bool:
        if not files.key.exists() or not files.certificate.exists():
            return False
        found = read_certificate(files.certificate)
        if found.issuer != self._certificate.subject or found.not_valid_after_utc - now < timedelta(days=days):
            return False
        known = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return set(known) == set(names) and _read_key(files.key).public_key() == found.public_key()


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - _BACKDATED)
    builder = builder.not_valid_after(now + timedelta(days=days))
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    try:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
    except ValueError as error:
        raise CertificateError(f"{text!r:.80} cannot stand in a certificate: at most 64 characters") from error


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        if _HOST.fullmatch(text):
            return x509.DNSName(text.lower())
    raise CertificateError(f"{text!r:.80} is neither a host name nor an IP address")


# files ------------------------------------------------------------------------------------------------------------


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}; run this as its owner") from error
    except (ValueError, TypeError) as error:
        raise CertificateError(f"{path}: is not a private key without a password, in PEM form") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"{path}: is not an elliptic-curve key; move it away, a new one is made")
    return key


def _new_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    _write_key(path, key)
    return key


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    _write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)


def _write(path: Path, data: bytes, mode: int) -> None:
    temporary = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        raise CertificateError(f"{path}: {error.strerror}; run this as root") from error


def _give_to(key: Path, group: str) -> None:
    try:
        shutil.chown(key, group=group)
        key.chmod(0o640)
    except (OSError, LookupError) as error:
        raise CertificateError(f"{key}: cannot be given to the group {group}: {error}") from error
