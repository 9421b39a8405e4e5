"""``e2e_ratio``: QoS 1 from the broker to the journal on disk to InfluxDB, against a bare paho subscriber."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.bench import stage
from tests.bench.bare import subscriber
from tests.bench.figures import Size, Taken
from tests.bench.processes import Stopwatch
from tests.bench.province import Province
from tests.bench.sender import sender
from tests.bench.stage import WARM_UP, Gateway, Influx

KEYS = ("e2e_ratio", "e2e_ratio_alerts", "per_second", "cpu_us")
BARE, LINE, ALL = "bare", "line", "all"
MODULES = {LINE: "tests.bench.line_alone", ALL: Gateway.module}


class Run(NamedTuple):
    """One run."""

    seconds: float
    """From the first publish to the last message being where it belongs."""
    cpu: dict[str, float]
    """Processor time by process [s]."""


def measure(size: Size, work: Path) -> list[Taken]:
    """Rounds of three runs, in turning order; each with a fresh broker and the same messages."""
    province = Province(size.devices)
    fleet = stage.fleet_file(work, province)
    runs: dict[str, list[Run]] = {BARE: [], LINE: [], ALL: []}
    with stage.influx(province) as store:
        for number in range(size.pairs):
            turn = number % len(runs)
            contenders = list(runs)
            for who in contenders[turn:] + contenders[:turn]:
                stage.await_idle(stage.process_of(store.server))
                if who == BARE:
                    runs[who].append(run_bare(province, size.messages))
                else:
                    runs[who].append(run_gateway(MODULES[who], store, province, fleet, size.messages))
    ratios = {
        who: [bare.seconds / ours.seconds for bare, ours in zip(runs[BARE], runs[who], strict=True)] for who in MODULES
    }
    return [
        Taken.of("e2e_ratio", *ratios[LINE]),
        Taken.of("e2e_ratio_alerts", *ratios[ALL]),
        Taken("per_second", {who: [size.messages / run.seconds for run in some] for who, some in runs.items()}),
        Taken("cpu_us", dict(_cpu(runs, size.messages))),
    ]


def _cpu(runs: dict[str, list[Run]], messages: int) -> Iterator[tuple[str, list[float]]]:
    """Microseconds for one message, by contender and process: what the ratio comes from, steadier than time itself."""
    for who, some in runs.items():
        for process in some[0].cpu:
            yield f"{who} {process}", [run.cpu[process] / messages * 1e6 for run in some]


def run_bare(province: Province, count: int) -> Run:
    """Until the bare subscriber has acknowledged everything."""
    with stage.broker() as broker, subscriber(broker.port, WARM_UP + count) as listener:
        stage.warm_up(broker.port, province)
        with sender(stage.order(broker.port, province, WARM_UP, count)).await_ready() as field:
            watch = Stopwatch(broker=stage.process_of(broker))
            field.go()
            sent = field.report()
        report = listener.report()
        cpu = {"publisher": sent["cpu"], "subscriber": report["cpu"] * count} | watch.seconds()
    assert report["heard"] == WARM_UP + count, report
    return Run(report["ended"] - sent["began"], cpu)


def run_gateway(module: str, store: Influx, province: Province, fleet: Path, count: int) -> Run:
    """Until InfluxDB has everything; the ledger and a count of the points agree afterwards."""
    stores = stage.to_influx(store)
    with stage.broker() as broker, stage.gateway(broker, stores, fleet, module=module) as gateway:
        stage.warm_up(broker.port, province)
        stage.await_delivered(gateway, WARM_UP)
        before = store.stored()
        order = stage.order(broker.port, province, WARM_UP, count)
        with sender(order).await_ready() as field:
            influxdb = stage.process_of(store.server)
            watch = Stopwatch(broker=stage.process_of(broker), gateway=gateway.process, InfluxDB=influxdb)
            field.go()
            store.await_stored(before + count)
            ended = stage.await_delivered(gateway, WARM_UP + count)
            cpu = watch.seconds()
            sent = field.report()
        totals = stage.await_settled(gateway)["totals"]
    assert (totals["kept"], totals["received"]) == (WARM_UP + count, WARM_UP + count), totals
    stage.check_count(store, order)
    return Run(ended - sent["began"], {"publisher": sent["cpu"]} | cpu)
