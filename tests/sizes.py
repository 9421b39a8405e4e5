# ruff: noqa: E501 - the text of a page
"""``python -m tests.sizes``: docs/sizes.md from docs/sizes.json; with ``--measure`` the figures are measured first."""

import argparse
import json
import sqlite3
import tempfile
import time
import tomllib
import urllib.request
from contextlib import closing
from pathlib import Path

from gateway.northbound.embedded import Embedded
from gateway.settings_neighbours import StorePlace
from tests import servers
from tests.bench import disk, stage
from tests.bench.processes import resident_mb, written_bytes
from tests.bench.province import Province
from tests.bench.sender import sender
from tests.gateway_process import await_that

DOCS = Path(__file__).parent.parent / "docs"
DEVICES = 1000
ROUNDS = 60
"""Messages of each device that the stores are filled with: an hour at one a minute."""
WEAR_SECONDS = 60.0
PER_YEAR = 365 * 24 * 60
"""Messages of a device that reports once a minute."""
GB = 10**9
CARD_GB, SYSTEM_GB = 32, 6
"""The card; what is left to system, programs and logs: chosen, not measured."""
WEEKS = 26
"""How long deploy/influxdb_accounts.py lets InfluxDB keep readings."""
COMMIT_WAIT = tomllib.loads((DOCS.parent / "deploy" / "village.toml").read_text("utf-8"))["gateway"]["commit_wait_ms"]
JOURNAL_GB = (4096 + 2048 + 512) * 2**20 / GB
"""What deploy/village.toml gives the journal."""


def measure() -> dict[str, float]:
    """Every figure, by name: bytes for a message, or MB of memory."""
    commune = Province(DEVICES, 1)
    with tempfile.TemporaryDirectory(prefix="village-sizes-") as folder:
        work = Path(folder)
        bodies = list(disk._bodies(commune, work, DEVICES * ROUNDS))
        count = DEVICES * ROUNDS
        found = {"line": sum(map(len, bodies)) / count}
        found["embedded"] = _embedded(work / "store.db", bodies) / count
        found |= _influxdb(bodies, count)
        found["victoria_metrics"] = _victoria_metrics(bodies) / count
        found |= _wear(commune, work)
    return {name: round(value, 1) for name, value in found.items()}


def _embedded(path: Path, bodies: list[bytes]) -> int:
    with closing(Embedded(name="here", path=path)) as store:
        for body in bodies:
            store.write(body)
    return sum(file.stat().st_size for file in path.parent.glob("store.db*"))


def _influxdb(bodies: list[bytes], count: int) -> dict[str, float]:
    with stage.influx(data_extra=disk.QUICK_TO_DISK) as store:
        for body in bodies:
            store.post(body)
        kept = await_that("InfluxDB has compacted", lambda: disk._compacted(store), stage.PATIENCE) / count
        return {"influxdb": kept, "influxdb_memory": resident_mb(stage.process_of(store.server))}


def _victoria_metrics(bodies: list[bytes]) -> int:
    with servers.victoria_metrics() as store:
        for body in bodies:
            answer = urllib.request.urlopen(urllib.request.Request(f"{store.url}/api/v2/write", body), timeout=30)
            answer.close()
        for path in ("/internal/force_flush", "/internal/force_merge"):
            servers.get(store, path)
        sizes: list[int] = []

        def settled() -> int:
            sizes.append(sum(file.stat().st_size for file in store.folder.rglob("*") if file.is_file()))
            time.sleep(1)
            return sizes[-1] if len(sizes) > 5 and len(set(sizes[-5:])) == 1 else 0

        return await_that("VictoriaMetrics has merged", settled, stage.PATIENCE)


def _wear(commune: Province, work: Path) -> dict[str, float]:
    """What gateway and InfluxDB cause to be written for a message, at 17 messages a second, as the box is shipped."""
    rate = DEVICES / 60
    fleet = stage.fleet_file(work, commune)
    with stage.broker() as broker, stage.influx(commune) as store:  # noqa: SIM117 - the third needs the first two
        with stage.gateway(broker, stage.to_influx(store), fleet, f"commit_wait_ms = {COMMIT_WAIT}", "") as gateway:
            stage.warm_up(broker.port, commune)
            count = int(rate * (WEAR_SECONDS + 2))
            with sender(stage.order(broker.port, commune, 0, count, rate)) as field:
                field.await_ready()
                field.go()
                influx = stage.process_of(store.server)
                before = written_bytes(gateway.process), written_bytes(influx), gateway.totals()["kept"]
                time.sleep(WEAR_SECONDS)
                after = written_bytes(gateway.process), written_bytes(influx), gateway.totals()["kept"]
                field.report()
            kept = after[2] - before[2]
            return {
                "gateway_written": (after[0] - before[0]) / kept,
                "influxdb_written": (after[1] - before[1]) / kept,
                "gateway_memory": resident_mb(gateway.process),
                "broker_memory": resident_mb(stage.process_of(broker)),
                "raw": _raw(gateway.folder / "data" / "journal.db"),
            }


def _raw(journal: Path) -> float:
    """Bytes of a raw uplink as the journal keeps it."""
    with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as reader:
        size, count = reader.execute("SELECT sum(length(body)), sum(uplinks) FROM raw").fetchone()
    return float(size) / float(count)


# the page ---------------------------------------------------------------------------------------------------------


def render(found: dict[str, float]) -> str:
    """The page."""
    place = StorePlace()
    year = {name: found[name] * PER_YEAR * DEVICES / GB for name in ("embedded", "influxdb", "victoria_metrics", "raw")}
    room = CARD_GB - SYSTEM_GB - JOURNAL_GB
    written = (found["gateway_written"] + found["influxdb_written"]) * PER_YEAR * DEVICES / GB
    journal_days = 4096 * 2**20 / (found["line"] * 24 * 60 * DEVICES)
    kept = {name: room / year[name] for name in ("embedded", "influxdb")}
    return f"""# How large

Made by `python -m tests.sizes` from [sizes.json](sizes.json), which `python -m tests.sizes --measure` measures on the
machine at hand. For {DEVICES:,} devices (street lamps with the readings of our own format) that report **once a minute**; who
reports every ten minutes needs a tenth. A message is {found["line"]:.0f} bytes of line protocol.

| store | bytes a message | {DEVICES:,} devices, one year | a card of {CARD_GB} GB keeps |
|---|---|---|---|
| embedded, one SQLite file | {found["embedded"]:.0f} | {year["embedded"]:.1f} GB | {_span(kept["embedded"])} |
| InfluxDB 1.6.7, compacted | {found["influxdb"]:.1f} | {year["influxdb"]:.1f} GB | {_span(kept["influxdb"])} |
| VictoriaMetrics, by InfluxDB 2.x's write protocol, merged | {found["victoria_metrics"]:.1f} | {year["victoria_metrics"]:.1f} GB | \
{_span(room / year["victoria_metrics"])} |

InfluxDB 2.x was not measured: it keeps its data files in the format of 1.x. Hourly and daily sums come on top, one line
an hour for each device in place of sixty.

**The card.** Of {CARD_GB} GB, {SYSTEM_GB} are left to system, programs and logs, and {JOURNAL_GB:.1f} to the journal (`[journal]` of
`deploy/village.toml`); {room:.0f} remain for the store. What is shipped fits, because it is bounded: the embedded store deletes
the oldest beyond `max_mb = {place.max_mb}` or {place.reading_days} days, InfluxDB what is older than {WEEKS} weeks, which is
{year["influxdb"] * WEEKS / 52:.1f} GB for {DEVICES:,} devices a minute. More devices, or a larger disk: set VILLAGE_RAW_RETENTION before the
first installation, or `ALTER RETENTION POLICY` later. Backups belong on another disk.

The figure of InfluxDB is of an hour of messages; blocks of a whole week compress better, so it is rather too large than too small.

**How long the journal lasts** when a store is away: {journal_days:.0f} days for {DEVICES:,} devices a minute, uncompressed; it is kept
compressed, so longer. Raw messages take {found["raw"]:.0f} bytes each, {found["raw"] * 24 * 60 * 30 * DEVICES / GB:.1f} GB in 30 days, \
and never more than `raw_max_mb`.

**Memory**, resident, at this load: gateway {found["gateway_memory"]:.0f} MB, InfluxDB {found["influxdb_memory"]:.0f} MB after an hour's \
messages, Mosquitto {found["broker_memory"]:.0f} MB; while the gateway is away, 550 bytes a waiting message more. A box of 2 GB has room.

**Wear of a card.** With `commit_wait_ms = {COMMIT_WAIT}`, as shipped for a box, at 17 messages a second the gateway writes {found["gateway_written"]:,.0f} bytes a \
message and InfluxDB {found["influxdb_written"]:,.0f}: {written:,.0f} GB a year, {written / CARD_GB:,.0f} times the card. Cards that state their \
endurance (industrial, \u201chigh endurance\u201d) take some thousand times; others do not say. A USB disk or SSD is the better \
place for `/var/lib`. Nearly all of it are the journal's commits, each some pages of 4 kB however little came, so what counts is how \
many messages share one: at 50 ms it is 24 kB a message, at 100 ms 13, at 250 ms 6.4, at 1,000 ms 2.2 (measured). The price: what came \
in that time is in the broker's memory alone at a power cut.
""".replace("\\\n", "")


def _span(years: float) -> str:
    return f"{years:.1f} years" if years >= 1 else f"{years * 365:.0f} days"


def main() -> None:
    """Write the page, and measure before if asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.sizes", description=__doc__)
    parser.add_argument("--measure", action="store_true")
    figures = DOCS / "sizes.json"
    if parser.parse_args().measure:
        figures.write_text(json.dumps(measure(), indent=1) + "\n", "utf-8")
    (DOCS / "sizes.md").write_text(render(json.loads(figures.read_text("utf-8"))), "utf-8")


if __name__ == "__main__":
    main()
