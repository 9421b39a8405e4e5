"""Fleet and settings are changed while uplinks wait for a store that is away."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.faults.field import DEVICES, Field, fleet
from tests.faults.lives import Lives
from tests.faults.scenario import DATABASE, ENOUGH, Scenario
from tests.gateway_process import GatewayProcess, influx_store
from tests.servers import HOST, Server

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
LATER = '[[store]]\nname = "later"\nkind = "embedded"\n'


def reload(gateway: GatewayProcess) -> tuple[int, dict[str, Any]]:
    """Have it read the fleet anew: status and answer."""
    request = urllib.request.Request(f"http://{HOST}:{gateway.port}/reload", method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_fleet_and_settings_are_changed_with_a_backlog(tmp_path: Path, broker: Server, influx: Server) -> None:
    """Another order, more devices and one less; a fleet that is bad; another store, after a restart."""
    store = influx_store(influx, DATABASE)
    with Field(broker.port) as field, Lives(tmp_path, broker.port, store, fleet()) as gateway:
        scenario = Scenario(gateway, field, influx)
        gateway.start()
        scenario.await_connected()
        influx.stop()
        scenario.send(ENOUGH // 2)
        scenario.await_taken()

        head, *rows = fleet(DEVICES + 10).splitlines()
        gone = f"lamp-{DEVICES - 1:03}"
        fewer = [row for row in reversed(rows) if not row.startswith(gone)]
        (tmp_path / "fleet.csv").write_text("\n".join([head, *fewer, ""]))
        assert reload(gateway) == (200, {"devices": DEVICES + 9})
        scenario.send(ENOUGH // 4)
        scenario.await_taken()
        (tmp_path / "fleet.csv").write_text("\n".join([head, *fewer, "lamp-000,no_such_profile,10642", ""]))
        assert reload(gateway)[0] == 400
        scenario.send(ENOUGH // 8)
        scenario.await_taken()

        (tmp_path / "fleet.csv").write_text("\n".join([head, *fewer, ""]))
        gateway.stop()
        text = gateway.config.read_text().replace("[gateway]\n", "[gateway]\ncommit_wait_ms = 50\n")
        gateway.config.write_text(f"{text}{LATER}")
        gateway.start()
        influx.start()
        until_then = scenario.sent
        scenario.send(ENOUGH - scenario.sent)
        scenario.settle()
        scenario.await_delivered("later")
        scenario.judge()
        new = {number for number in range(until_then, ENOUGH) if scenario.numbers.device(number) != gone}
        (later,) = [entry for entry in scenario.ledger()["lines"]["stores"] if entry["store"] == "later"]
        assert later["stored"] >= sum(not scenario.numbers.is_bad(number) for number in new)
        assert {number for number in range(ENOUGH // 2, ENOUGH) if scenario.numbers.device(number) == gone} <= (
            scenario.refused()
        )
