"""Makes InfluxDB 1.x ready: an administrator, two databases, an account for the gateway and one for Grafana.

Run by install.sh with the environment of /etc/village/influxdb.env and secrets.env; run again, it changes nothing.
"""

import base64
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

URL = os.environ.get("VILLAGE_INFLUXDB_URL", "http://127.0.0.1:8086")
RETENTION = os.environ.get("VILLAGE_RAW_RETENTION", "26w")
"""Half a year of raw readings: 14 GB for 1,000 devices a minute, which a 32 GB card has room for (docs/sizes.md).
Sums are kept for ever."""
WAIT_SECONDS = 60
NAMES = {"admin": "VILLAGE_INFLUXDB_ADMIN", "gateway": "GATEWAY_STORE_0", "grafana": "VILLAGE_STORE"}


def main() -> None:
    """Ask for one thing after the other; the first that is refused ends it with one line."""
    secrets = {name: os.environ[f"{variable}_PASSWORD"] for name, variable in NAMES.items()}
    _wait()
    if not _works("admin", secrets["admin"]):
        # Before there is an administrator, this one statement is taken from everybody on this machine.
        _ask(f"CREATE USER admin WITH PASSWORD {_quoted(secrets['admin'])} WITH ALL PRIVILEGES")
    for name in ("gateway", "grafana"):
        if not _works(name, secrets[name]):
            known = {row[0] for row in _rows(_ask("SHOW USERS", secrets["admin"]))}
            verb = "SET PASSWORD FOR {0} = {1}" if name in known else "CREATE USER {0} WITH PASSWORD {1}"
            _ask(verb.format(name, _quoted(secrets[name])), secrets["admin"])
    databases = {row[0] for row in _rows(_ask("SHOW DATABASES", secrets["admin"]))}
    # The third is empty: in it `village doctor` finds out which index the server uses, which 1.6 does not tell.
    kept = f" WITH DURATION {RETENTION} SHARD DURATION 1w"
    for database, how in (("village", kept), ("village_rollup", ""), ("village_index_check", "")):
        if database not in databases:
            _ask(f"CREATE DATABASE {database}{how}", secrets["admin"])
        _ask(f"GRANT ALL ON {database} TO gateway", secrets["admin"])
    for database in ("village", "village_rollup"):
        _ask(f"GRANT READ ON {database} TO grafana", secrets["admin"])


def _wait() -> None:
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{URL}/ping", timeout=2).close()  # noqa: S310 - the address is ours
        except OSError as error:
            if time.monotonic() > until:
                sys.exit(f"InfluxDB does not answer at {URL}: {error}; see `journalctl -u influxdb`")
            time.sleep(0.2)
        else:
            return


def _works(name: str, password: str) -> bool:
    try:
        _send("SHOW DATABASES", name, password)
    except urllib.error.HTTPError as error:
        error.close()
        return False
    return True


def _ask(statement: str, password: str = "") -> dict[str, object]:
    try:
        answer = _send(statement, "admin", password)
    except urllib.error.HTTPError as error:
        with error:
            sys.exit(f"InfluxDB refuses the administrator: {error.read(500).decode(errors='replace')}")
    result = answer["results"][0]
    if "error" in result:
        sys.exit(f"InfluxDB refuses {statement.partition(' WITH ')[0]}: {result['error']}")
    return dict(result)


def _send(statement: str, name: str, password: str) -> dict[str, list[dict[str, object]]]:
    data = urllib.parse.urlencode({"q": statement}).encode()
    question = urllib.request.Request(f"{URL}/query", data)  # noqa: S310 - the address is ours
    if password:
        question.add_header("Authorization", f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}")
    with urllib.request.urlopen(question, timeout=30) as answer:  # noqa: S310 - the address is ours
        return dict(json.load(answer))


def _rows(result: dict[str, object]) -> list[list[str]]:
    series = result.get("series")
    return list(series[0].get("values", [])) if isinstance(series, list) and series else []


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


main()
