"""One fault scenario: broker, gateway, store and field put together, and the verdict on what became of every uplink."""

import dataclasses
import json
import sqlite3
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.field import Field, Numbered
from tests.gateway_process import GatewayProcess, await_that
from tests.servers import Server, influxql

ENOUGH = 20_000
"""Uplinks of one scenario."""
DATABASE = "faults"
STORE = "influx"
PATIENCE = 300.0
"""Draining 20,000 uplinks takes seconds; the machine may be busy with ten other things."""
_SHIPPED = Path(__file__).parents[2] / "deploy" / "mosquitto.conf"
_PLACES = {"listener", "allow_anonymous", "include_dir", "plugin", "plugin_opt_config_file", "persistence_location",
           "log_dest"}  # fmt: skip
"""Lines of the shipped configuration that say where things are on a production machine."""


def shipped_mosquitto() -> str:
    """What ``deploy/mosquitto.conf`` says about queues, persistence and losses."""
    lines = [line for line in _SHIPPED.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    kept = [line for line in lines if line.split()[0] not in _PLACES]
    assert any(line.startswith("max_queued_messages") for line in kept)
    return "\n".join(kept)


def points(store: Server, database: str = DATABASE, measurement: str = "streetlight") -> list[tuple[str, int, float]]:
    """Every stored point: device, time [ns UTC], power."""
    answer = json.loads(influxql(store, f"SELECT power FROM {measurement} GROUP BY device", database))
    return [
        (series["tags"]["device"], at, value)
        for series in answer["results"][0].get("series", [])
        for at, value in series["values"]
    ]


def refused_payloads(journal: Path) -> list[bytes]:
    """The bytes of every uplink the journal keeps as refused."""
    database = sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True)
    try:
        return [zlib.decompress(payload) for (payload,) in database.execute("SELECT payload FROM refused")]
    finally:
        database.close()


def rejected_lines(journal: Path) -> list[str]:
    """Every line a store will never take, as the journal keeps it; without rows that the disk has lost."""
    database = sqlite3.connect(f"{journal.absolute().as_uri()}?mode=ro", uri=True)
    query = "SELECT line FROM rejected_line WHERE answer NOT LIKE 'damaged on the disk%'"
    try:
        return [bytes(line).decode() for (line,) in database.execute(query)]
    finally:
        database.close()


def point_of(line: str) -> tuple[str, int, float]:
    """Device, time [ns UTC] and power of a line."""
    tags, fields, at = line.strip().split(" ")
    values = dict(field.split("=") for field in fields.split(","))
    return tags.rsplit("device=", 1)[1], int(at), float(values["power"])


@dataclass
class Scenario:
    """The parts, and what must hold when all is over."""

    gateway: GatewayProcess
    field: Field
    store: Server
    numbers: Numbered = dataclasses.field(default_factory=Numbered)
    database: str = DATABASE
    sent: int = 0

    def send(self, count: int) -> None:
        """Have the next so many uplinks published."""
        self.field.publish([self.numbers.note(number) for number in range(self.sent, self.sent + count)])
        self.sent += count

    # what is asked while it runs -----------------------------------------------------------------------------

    def ledger(self) -> dict[str, Any]:
        """The gateway's ledger."""
        answer: dict[str, Any] = self.gateway.ask("/ledger")
        return answer

    def part(self, name: str) -> tuple[str, str]:
        """State and detail of a part in health."""
        found = [entry for entry in self.gateway.ask("/health")["parts"] if entry["part"] == name]
        return found[0]["state"], found[0]["detail"]

    def await_connected(self) -> None:
        """Return when the gateway has its broker."""
        await_that("the gateway has its broker", lambda: self.part("broker")[0] == "ok")

    def await_published(self) -> None:
        """Return when the broker has acknowledged everything."""
        await_that("the broker has acknowledged everything", self.field.is_acknowledged, PATIENCE)

    def await_taken(self, count: int | None = None) -> None:
        """Return when the gateway has so many different uplinks on disk (default: all that were sent)."""
        wanted = self.sent if count is None else count

        def taken() -> bool:
            totals = self.gateway.totals()
            return totals["kept"] + totals["refused"] >= wanted

        await_that(f"{wanted} uplinks are on disk", taken, PATIENCE)

    def await_delivered(self, store: str = STORE, patience: float = PATIENCE) -> None:
        """Return when nothing waits for the store."""

        def waiting() -> int:
            return sum(entry["waiting"] for entry in self.ledger()["lines"]["stores"] if entry["store"] == store)

        await_that("nothing waits for the store", lambda: waiting() == 0, patience)

    def settle(self, patience: float = PATIENCE) -> None:
        """Return when everything sent has been acknowledged, taken and delivered; the last may take so long [s]."""
        self.await_published()
        self.await_taken()
        self.await_delivered(patience=patience)

    # the verdict ---------------------------------------------------------------------------------------------

    def stored(self) -> set[int]:
        """Numbers of the uplinks the store has; fails if it has one twice, or one that was not sent."""
        numbers = [self.numbers.number_of_point(*point) for point in points(self.store, self.database)]
        assert len(numbers) == len(set(numbers)), "a point is stored twice"
        return set(numbers)

    def rejected(self) -> set[int]:
        """Numbers of the uplinks whose line the store will never take; fails if it is said twice."""
        numbers = [self.numbers.number_of_point(*point_of(line)) for line in rejected_lines(self.journal)]
        assert len(numbers) == len(set(numbers)), "a line is rejected twice"
        return set(numbers)

    def refused(self, journals: Iterable[Path] = ()) -> set[int]:
        """Numbers of the uplinks the gateway keeps as refused; fails if it has one twice."""
        files = list(journals) or [self.journal]
        numbers = [self.numbers.number_of_refused(payload) for path in files for payload in refused_payloads(path)]
        assert len(numbers) == len(set(numbers)), "an uplink is refused twice"
        return set(numbers)

    @property
    def journal(self) -> Path:
        """The gateway's journal."""
        return self.gateway.folder / "data" / "journal.db"

    def judge(self, *, lost: int = 0, rejected: int = 0) -> set[int]:
        """Acknowledged minus lost is a subset of stored and refused, which is a subset of sent; nothing is there twice.

        Args:
            lost: how many acknowledged uplinks are allowed to be nowhere: what the broker, or the disk, has lost.
            rejected: how many lines the store refused for ever; kept, they count as refused.

        Returns:
            Those that are nowhere.
        """
        assert self.field.acknowledged == self.field.offered >= self.sent
        sent = set(range(self.sent))
        stored, refused, given_back = self.stored(), self.refused(), self.rejected()
        assert stored | refused | given_back <= sent
        assert len(stored) + len(refused) + len(given_back) == len(stored | refused | given_back)
        assert len(given_back) == rejected
        missing = sent - stored - refused - given_back
        assert len(missing) <= lost, (len(missing), sorted(missing)[:10])
        self.judge_ledger(len(stored) + len(given_back), len(refused), exactly=not lost)
        return missing

    def judge_ledger(self, kept: int, refused: int, *, exactly: bool = True) -> None:
        """Its sums hold, and say so many kept and refused; where readings are lost on the disk, perhaps more."""
        ledger = self.ledger()
        totals = ledger["totals"]
        assert ledger["holds"] is True
        assert totals["received"] == totals["kept"] + totals["refused"] + totals["repeated"]
        if exactly:
            assert (totals["kept"], totals["refused"]) == (kept, refused)
        for entry in ledger["lines"]["stores"]:
            if entry["store"] != STORE:
                continue  # one that was added later has less
            parts = entry["waiting"] + entry["stored"] + entry["rejected"] + entry["given_up"]
            assert parts == ledger["lines"]["kept"]
