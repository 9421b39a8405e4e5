"""The shape of the cost: processor time of the gateway for one message, by messages a second and by devices."""

from pathlib import Path
from typing import NamedTuple

from tests.bench import stage
from tests.bench.figures import Size, Taken
from tests.bench.processes import cpu_seconds, resident_mb
from tests.bench.province import Province
from tests.bench.sender import sender
from tests.bench.stage import Gateway, Influx
from tests.servers import Server

KEYS = ("cost_by_rate_us", "cost_by_devices_us", "rss_by_devices_mb")
DEVICES_RATE = 1000
"""Messages a second while the number of devices changes."""


class Shape(NamedTuple):
    """What one fleet gave."""

    costs: dict[int, float]
    """[us] by messages a second."""
    resident_mb: float


def measure(size: Size, work: Path) -> list[Taken]:
    """All threads of the gateway together: edge, line, delivery to InfluxDB, and what runs while nothing comes."""
    largest = max(size.shape_devices)
    with stage.influx(Province(largest)) as store:
        found = {devices: _shape(store, devices, size, work) for devices in size.shape_devices}
    costs = found[largest].costs.items()
    return [
        Taken("cost_by_rate_us", {str(rate): [cost] for rate, cost in costs}),
        Taken("cost_by_devices_us", {str(devices): [shape.costs[DEVICES_RATE]] for devices, shape in found.items()}),
        Taken("rss_by_devices_mb", {str(devices): [shape.resident_mb] for devices, shape in found.items()}),
    ]


def _shape(store: Influx, devices: int, size: Size, work: Path) -> Shape:
    """Every device speaks before; then all rates for the largest fleet, one for the others."""
    province = Province(devices)
    fleet = stage.fleet_file(work, province)
    rates = size.shape_rates if devices == max(size.shape_devices) else (DEVICES_RATE,)
    with stage.broker() as broker, stage.gateway(broker, stage.to_influx(store), fleet) as gateway:
        stage.warm_up(broker.port, province, max(devices, stage.WARM_UP))
        stage.await_settled(gateway)
        costs = {rate: _cost(gateway, broker, province, rate, size.shape_seconds) for rate in rates}
        return Shape(costs, resident_mb(gateway.process))


def _cost(gateway: Gateway, broker: Server, province: Province, rate: int, seconds: float) -> float:
    """Microseconds of one message, until the last of them is stored."""
    count = max(1, int(rate * seconds))
    with sender(stage.order(broker.port, province, 0, count, rate)).await_ready() as field:
        before, received = cpu_seconds(gateway.process), stage.progress(gateway).received
        field.go()
        field.report()
        stage.await_delivered(gateway, received + count)
        return (cpu_seconds(gateway.process) - before) / count * 1e6
