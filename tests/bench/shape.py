"""The shape of the cost: processor time of the gateway for one message, by messages a second and by devices."""

from collections.abc import Iterator
from pathlib import Path

from tests.bench import stage
from tests.bench.figures import Size, Taken
from tests.bench.processes import cpu_seconds
from tests.bench.province import Province
from tests.bench.sender import sender
from tests.bench.stage import Gateway, Influx
from tests.servers import Server

KEYS = ("cost_by_rate_us", "cost_by_devices_us")
DEVICES_RATE = 1000
"""Messages a second while the number of devices changes."""


def measure(size: Size, work: Path) -> list[Taken]:
    """All threads of the gateway together: edge, line, delivery to InfluxDB, and what runs while nothing comes."""
    by_rate: dict[str, list[float]] = {}
    by_devices: dict[str, list[float]] = {}
    with stage.influx(Province(max(size.shape_devices))) as store:
        for devices in size.shape_devices:
            for rate, cost in _costs(store, devices, size, work):
                if devices == max(size.shape_devices):
                    by_rate[str(rate)] = [cost]
                if rate == DEVICES_RATE:
                    by_devices[str(devices)] = [cost]
    return [Taken("cost_by_rate_us", by_rate), Taken("cost_by_devices_us", by_devices)]


def _costs(store: Influx, devices: int, size: Size, work: Path) -> Iterator[tuple[int, float]]:
    """By messages a second: all rates for the largest fleet, one for the others."""
    province = Province(devices)
    fleet = stage.fleet_file(work, province)
    with stage.broker() as broker, stage.gateway(broker, stage.to_influx(store), fleet) as gateway:
        stage.warm_up(broker.port, province)
        stage.await_settled(gateway)
        rates = size.shape_rates if devices == max(size.shape_devices) else (DEVICES_RATE,)
        for rate in rates:
            yield rate, _cost(gateway, broker, province, rate, size.shape_seconds)


def _cost(gateway: Gateway, broker: Server, province: Province, rate: int, seconds: float) -> float:
    """Microseconds of one message, until the last of them is stored."""
    count = max(1, int(rate * seconds))
    with sender(stage.order(broker.port, province, 0, count, rate)).await_ready() as field:
        before, received = cpu_seconds(gateway.process), stage.progress(gateway).received
        field.go()
        field.report()
        stage.await_delivered(gateway, received + count)
        return (cpu_seconds(gateway.process) - before) / count * 1e6
