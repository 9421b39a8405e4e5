"""``e2e_ratio``: QoS 1 from the broker to the journal on disk to InfluxDB, against a bare paho subscriber."""

from pathlib import Path

from tests.bench import stage
from tests.bench.bare import subscriber
from tests.bench.figures import Size, Taken
from tests.bench.province import Province
from tests.bench.sender import sender
from tests.bench.stage import WARM_UP, Gateway, Influx

KEYS = ("e2e_ratio", "e2e_ratio_alerts", "bare_per_s", "gateway_per_s", "gateway_alerts_per_s")
LINE, ALL = "tests.bench.line_alone", Gateway.module


def measure(size: Size, work: Path) -> list[Taken]:
    """Rounds of three runs, in turning order; each with a fresh broker and the same messages."""
    province = Province(size.devices)
    fleet = stage.fleet_file(work, province)
    seconds: dict[str, list[float]] = {"": [], LINE: [], ALL: []}
    with stage.influx(province) as store:
        for number in range(size.pairs):
            contenders = list(seconds)
            turn = number % len(contenders)
            for contender in contenders[turn:] + contenders[:turn]:
                if contender:
                    took = run_gateway(contender, store, province, fleet, size.messages)
                else:
                    took = run_bare(province, size.messages)
                seconds[contender].append(took)
    bare = seconds[""]
    per_second = {contender: [size.messages / one for one in took] for contender, took in seconds.items()}
    return [
        Taken.of("e2e_ratio", *(one / other for one, other in zip(bare, seconds[LINE], strict=True))),
        Taken.of("e2e_ratio_alerts", *(one / other for one, other in zip(bare, seconds[ALL], strict=True))),
        Taken.of("bare_per_s", *per_second[""]),
        Taken.of("gateway_per_s", *per_second[LINE]),
        Taken.of("gateway_alerts_per_s", *per_second[ALL]),
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


def run_gateway(module: str, store: Influx, province: Province, fleet: Path, count: int) -> float:
    """Seconds from the first publish until InfluxDB has everything; the ledger and a count of the points agree."""
    stores = stage.to_influx(store)
    with stage.broker() as broker, stage.gateway(broker, stores, fleet, module=module) as gateway:
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
