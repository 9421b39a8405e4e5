"""``village doctor``: looks at everything the gateway depends on; one line each, with what to do where it is wrong."""

import socket
import sqlite3
import stat
import time
import tomllib
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devices.fleet_csv import FleetError
from devices.fleet_store import open_fleet
from devices.profile import ProfileError, shipped_profiles
from devices.registry import Registry
from devices.standards import StandardsError, load
from gateway import certificate_watch
from gateway.app import make_store
from gateway.certificate_ends import mode_problem
from gateway.clock import BEHIND, RELEASED, clock_state
from gateway.doctor_broker import Finding, examine_accounts, examine_broker, examine_mosquitto_conf
from gateway.doctor_disk import examine_backups, examine_data
from gateway.line.journal_file import set_aside_files
from gateway.line.migrations import SCHEMA_VERSION
from gateway.line.salvage_report import reports
from gateway.line.witness import lost_ends
from gateway.model import StoreError
from gateway.northbound.influxdb1 import InfluxDB1
from gateway.running import health_of
from gateway.settings import Settings
from gateway.settings_neighbours import StorePlace

SECRETS = ("secrets.env", "broker-admin.env", "influxdb.env")
"""Files of secrets that the installation keeps beside the settings."""
_SECRET_KEYS = {"password", "token"}
DAY_SECONDS = 86400


def examine(
    settings: Settings,
    mosquitto_conf: Path | None = None,
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Finding]:
    """Look at one thing after the other; each finding comes as soon as it is known.

    Args:
        settings: of the gateway, which may be running or not.
        mosquitto_conf: the broker's file, where it is on this machine.
        config: the settings' file, to look at who may read it and the secrets beside it.
        environ: with ``VILLAGE_BROKER_ADMIN_PASSWORD`` the broker's accounts are compared with the fleet.
    """
    registry = yield from _fleet(settings)
    yield from _standards(settings)
    yield from _secrets(config)
    yield from _certificates(settings)
    yield _clock(settings)
    yield from examine_data(settings)
    yield from _journal(settings)
    yield from examine_backups(config)
    yield from _api(settings)
    yield from examine_broker(settings.broker)
    if mosquitto_conf is not None:
        yield from examine_mosquitto_conf(mosquitto_conf)
    if registry is not None and environ is not None:
        yield from examine_accounts(settings, registry, environ)
    for place in settings.store:
        yield from _store(settings, place)


# this machine -----------------------------------------------------------------------------------------------------


def _fleet(settings: Settings) -> Generator[Finding, None, Registry | None]:
    path = settings.gateway.fleet
    try:
        fleet = open_fleet(path, shipped_profiles().values(), settings.sources())
    except (FleetError, ProfileError) as error:
        yield from (Finding("fleet", False, line) for line in str(error).splitlines())
        return None
    if not len(fleet):
        yield Finding("fleet", False, f"{path}: no devices, so every message will be refused; add rows")
        return fleet
    simulated = sum(fleet.is_simulated(device) for device in range(len(fleet)))
    if simulated and not settings.gateway.accept_simulated:
        text = f"{simulated} of {len(fleet)} devices are simulated and will be refused (gateway.accept_simulated)"
        yield Finding("fleet", simulated < len(fleet), f"{path}: {text}")
        return fleet
    yield Finding("fleet", True, f"{path}: {len(fleet)} devices in {len(fleet.communes.texts)} commune(s)")
    return fleet


def _secrets(config: Path | None) -> Iterator[Finding]:
    if config is None:
        return
    problems = [problem for name in SECRETS if (problem := mode_problem(config.parent / name))]
    try:
        mode, text = stat.S_IMODE(config.stat().st_mode), config.read_text("utf-8-sig")
    except OSError as error:
        yield Finding("secrets", False, f"{config}: {error.strerror}; run this as root")
        return
    if mode & 0o004 and _holds_secret(tomllib.loads(text)):
        problems.append(f"{config}: holds a secret, and everybody on this machine may read it; chmod 640 {config}")
    yield from (Finding("secrets", False, problem) for problem in problems)
    if not problems:
        yield Finding("secrets", True, "only those who need them may read them")


def _holds_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return any(key in _SECRET_KEYS or _holds_secret(inner) for key, inner in value.items())
    return isinstance(value, list) and any(_holds_secret(inner) for inner in value)


def _certificates(settings: Settings) -> Iterator[Finding]:
    if not certificate_watch.CertificateWatch(settings).has_any:
        return
    # Servers are looked at where they are looked at anyway.
    found = list(certificate_watch.problems(settings, datetime.now(UTC), ask_servers=False))
    yield from (Finding("certificates", False, problem.text) for problem in found)
    if not found:
        count = len(certificate_watch.certificates_of(settings))
        yield Finding("certificates", True, f"{count} files; none ends soon, and nobody else may read a key")


def _standards(settings: Settings) -> Iterator[Finding]:
    folder = settings.gateway.standards
    if folder is not None:
        try:
            load(folder)
            yield Finding("standards", True, f"{folder}: own tables in place of shipped ones")
        except StandardsError as error:
            yield Finding("standards", False, str(error))


def _clock(settings: Settings) -> Finding:
    trusted, state = settings.gateway.clock == "trust", clock_state()
    newest = max(RELEASED, _newest_commit(settings.gateway.data_dir / "journal.db"))
    if time.time_ns() < newest - BEHIND and not (state.synchronised and not trusted):
        now, then = (
            datetime.fromtimestamp(at / 1e9, UTC).strftime("%Y-%m-%d %H:%M") for at in (time.time_ns(), newest)
        )
        return Finding(
            "clock", False, f"shows {now} UTC, and it was {then} UTC already; set it: `timedatectl set-time`"
        )
    if trusted:
        return Finding("clock", True, 'taken as it is (gateway.clock is "trust")')
    return Finding("clock", state.synchronised is True, state.detail)


def _newest_commit(journal: Path) -> int:
    """When the gateway last took something in [ns UTC]; 0 where that cannot be read."""
    if not journal.is_file():
        return 0
    try:
        with closing(sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as reader:
            row = reader.execute("SELECT value FROM counter WHERE name = 'newest_at'").fetchone()
    except sqlite3.Error:
        return 0  # the look at the journal says what is wrong with it
    return int(row[0]) if row else 0


def _journal(settings: Settings) -> Iterator[Finding]:
    path = settings.gateway.data_dir / "journal.db"
    words: dict[str, str] = {}
    try:
        in_use, words = _journal_in_use(path) if path.exists() else (None, {})
    except sqlite3.Error as error:
        in_use = Finding("journal", False, f"{path}: cannot be read ({error}); run this as the gateway's account")
    for aside in set_aside_files(path):
        what = f"may hold readings that no store has; `village journal salvage {aside}`, then move it away"
        if aside.name in words:
            what = f"and salvaged: {words[aside.name]}; check the disk, move it away"
        yield Finding("journal", False, f"{aside}: was damaged and set aside, {what}")
    if in_use is not None:
        yield in_use


def _journal_in_use(path: Path) -> tuple[Finding, dict[str, str]]:
    """How it is, and what came of the damaged ones that were salvaged into it, in words by their files' names."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as journal:
        (version,) = journal.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            what = "install that version again, or go back with `deploy/upgrade.sh --back`"
            return Finding("journal", False, f"{path}: was written by a newer version of the gateway; {what}"), {}
        words = {report.file: report.in_words for report in reports(journal)}
        ends = [end for end in lost_ends(journal) if time.time() - end.at / 1e9 < DAY_SECONDS]
    if ends:
        return Finding("journal", False, f"{path}: {ends[-1].in_words}; check the disk and its power"), words
    return Finding("journal", True, f"{path}: version {version}, as this gateway writes it"), words


def _api(settings: Settings) -> Iterator[Finding]:
    host, port = settings.api.host, settings.api.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        said = health_of(settings)
        if "status" not in said:
            what = "stop the program that listens there, or change api.port"
            yield Finding("api", False, f"{host} port {port}: {error.strerror or error}; {what}")
            return
        status = str(said["status"])
        yield Finding("api", status == "ok", f"a gateway is running at {host} port {port} and says it is {status}")
        yield from _parts(said.get("parts"))
        return
    yield Finding("api", True, f"{host} port {port} is free; no gateway is running there")


def _parts(parts: object) -> Iterator[Finding]:
    """What the running gateway says is not well: it sees what a look from outside cannot."""
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict) and part.get("state") != "ok":
            yield Finding("api", False, f"it says of {part.get('part')}: {part.get('detail')}")


# stores -----------------------------------------------------------------------------------------------------------


def _store(settings: Settings, place: StorePlace) -> Iterator[Finding]:
    store = make_store(settings, place)
    part = f"store {place.name}"
    try:
        problems = store.check()
        if not problems and isinstance(store, InfluxDB1):
            problems = list(_retention_problems(settings, store, place))
    finally:
        store.close()
    yield from (Finding(part, False, problem) for problem in problems)
    if not problems:
        yield Finding(part, True, f"{place.kind} {place.url or settings.store_path(place)}: reachable and writable")


def _retention_problems(settings: Settings, store: InfluxDB1, place: StorePlace) -> Iterator[str]:
    """InfluxDB refuses lines older than its retention: what is decoded again or comes late would be lost."""
    try:
        days = {name: store.retention_seconds(name) / DAY_SECONDS for name in (place.database, place.rollup_database)}
    except StoreError as error:
        yield str(error)
        return
    least = max(settings.journal.raw_days, 31)
    for database, kept in days.items():
        if 0 < kept < least:
            what = f"ALTER RETENTION POLICY autogen ON {database} DURATION {least}d"
            yield f"{database} keeps {kept:g} days, and late or mended readings of {least} days are refused; run {what}"
    if 0 < days[place.rollup_database] < days[place.database] or (
        days[place.rollup_database] and not days[place.database]
    ):
        what = f"ALTER RETENTION POLICY autogen ON {place.rollup_database} DURATION INF"
        yield f"{place.rollup_database} keeps its sums for less time than {place.database} its readings; run {what}"
