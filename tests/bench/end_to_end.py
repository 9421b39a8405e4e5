"""``e2e_ratio``: QoS 1 from the broker to the journal on disk to InfluxDB, against a bare paho subscriber."""

import time

from tests.bench import stage
from tests.bench.bare import subscriber
from tests.bench.figures import Size, Taken
from tests.bench.province import Province
from tests.bench.sender import sender
from tests.bench.stage import WARM_UP, Influx

KEYS = ("e2e_ratio", "bare_per_s", "gateway_per_s")


def measure(size: Size) -> list[Taken]:
    """Pairs of runs, one after the other, in alternating order; each with a fresh broker and the same messages."""
    province = Province(size.devices)
    bare, ours = [], []
    with stage.folder() as place, stage.influx(province) as store:
        fleet = place / "fleet.db"
        province.write_fleet(fleet)

        def ours_once() -> float:
            with stage.folder() as own:
                return run_gateway(own, store, province, fleet, size.messages)

        for pair in range(size.pairs):
            order = (lambda: bare.append(run_bare(province, size.messages)), lambda: ours.append(ours_once()))
            for run in order if pair % 2 == 0 else order[::-1]:
                run()
    ratios = [one / other for one, other in zip(bare, ours, strict=True)]
    return [
        Taken.of("e2e_ratio", *ratios),
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
        assert report["heard"] == WARM_UP + count
        return float(report["ended"] - began)


def run_gateway(own: stage.Path, store: Influx, province: Province, fleet: stage.Path, count: int) -> float:
    """Seconds from the first publish until InfluxDB has everything; the ledger and a count of the points agree."""
    with stage.broker() as broker, stage.gateway(own, broker.port, stage.to_influx(store), fleet) as gateway:
        before = store.stored()
        stage.warm_up(broker.port, province)
        store.await_stored(before + WARM_UP)
        with sender(order := stage.order(broker.port, province, WARM_UP, count)).await_ready() as field:
            field.go()
            ended = store.await_stored(before + WARM_UP + count)
            began = field.report()["began"]
        ledger = stage.await_settled(gateway)
        assert ledger["totals"]["kept"] == ledger["totals"]["received"] == WARM_UP + count, ledger
        assert store.count(order.start_ms) == count, (store.count(order.start_ms), time.time())
        return float(ended - began)
