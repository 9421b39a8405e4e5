"""``e2e_ratio``: QoS 1 from the broker to the journal on disk to InfluxDB, against a bare paho subscriber."""

from pathlib import Path

from tests.bench import stage
from tests.bench.bare import subscriber
from tests.bench.figures import Size, Taken
from tests.bench.province import Province
from tests.bench.sender import sender
from tests.bench.stage import WARM_UP, Influx

KEYS = ("e2e_ratio", "bare_per_s", "gateway_per_s")


def measure(size: Size, work: Path) -> list[Taken]:
    """Pairs of runs, in alternating order; each with a fresh broker and the same messages."""
    province = Province(size.devices)
    fleet = stage.fleet_file(work, province)
    bare, ours = [], []
    with stage.influx(province) as store:
        for pair in range(size.pairs):
            if pair % 2:
                ours.append(run_gateway(store, province, fleet, size.messages))
            bare.append(run_bare(province, size.messages))
            if not pair % 2:
                ours.append(run_gateway(store, province, fleet, size.messages))
    return [
        Taken.of("e2e_ratio", *(one / other for one, other in zip(bare, ours, strict=True))),
        Taken.of("bare_per_s", *(size.messages / seconds for seconds in bare)),
        Taken.of("gateway_per_s", *(size.messages / seconds for seconds in ours)),
    ]


def run_bare(province: Province, count: int) -> float:
    """Seconds from the first publish until the subscriber has acknowledged everything."""
    with stage.broker() as broker, subscriber(broker.port, WARM_UP + count) as listener:
        stage.warm_up(broker.port, province)
        with sender(stage.order(broker.port, province, WARM_UP, count)).await_ready() as field:
            field.go()
            began = field.report()["began"]
        report = listener.report()
    assert report["heard"] == WARM_UP + count, report
    return float(report["ended"] - began)


def run_gateway(store: Influx, province: Province, fleet: Path, count: int) -> float:
    """Seconds from the first publish until InfluxDB has everything; the ledger and a count of the points agree."""
    with stage.broker() as broker, stage.gateway(broker, stage.to_influx(store), fleet) as gateway:
        before = store.stored()
        stage.warm_up(broker.port, province)
        store.await_stored(before + WARM_UP)
        order = stage.order(broker.port, province, WARM_UP, count)
        with sender(order).await_ready() as field:
            field.go()
            ended = store.await_stored(before + WARM_UP + count)
            began = field.report()["began"]
        totals = stage.await_settled(gateway)["totals"]
    assert (totals["kept"], totals["received"]) == (WARM_UP + count, WARM_UP + count), totals
    stage.check_count(store, order)
    return float(ended - began)
