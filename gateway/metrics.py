"""Every metric by name, and the collector that answers Prometheus from snapshots: counting costs a message nothing."""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector


class Metric(NamedTuple):
    """One metric as Prometheus sees it."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...] = ()


class Measure(NamedTuple):
    """One value of a metric now."""

    name: str
    """Of a metric in ``METRICS``."""
    value: float
    labels: tuple[str, ...] = ()
    """Values of the metric's labels, in their order."""


METRICS = {
    metric.name: metric
    for metric in (
        Metric("village_build_info", "gauge", "Always 1; the label is the gateway's version", ("version",)),
        Metric("village_uplinks_received_total", "counter", "Uplinks taken since the journal began"),
        Metric("village_uplinks_total", "counter", "What became of them at first; the sum is received", ("outcome",)),
        Metric("village_replayed_total", "counter", "Of the refused ones, how many a replay has taken since"),
        Metric("village_ledger_holds", "gauge", "1 while the ledger's sums hold, of uplinks and of lines"),
        Metric("village_refused_kept", "gauge", "Refused uplinks that are kept with their bytes", ("reason",)),
        Metric("village_readings_total", "counter", "Readings judged since the start"),
        Metric("village_clock_total", "counter", "Lines by whose clock gave the time, since the start",
               ("clock",)),
        Metric("village_late_total", "counter", "Readings older than 15 minutes at receipt, since the start"),
        Metric("village_stale_total", "counter", "Old values shown again, not stored, since the start"),
        Metric("village_lines_kept_total", "counter", "Lines made for the stores since the journal began"),
        Metric("village_store_lines_waiting", "gauge", "Lines that wait for this store", ("store",)),
        Metric("village_store_oldest_waiting_seconds", "gauge", "Age of the oldest of them, 0 if none", ("store",)),
        Metric("village_store_lines_stored_total", "counter", "Lines this store has accepted", ("store",)),
        Metric("village_store_lines_rejected_total", "counter", "Lines this store will never take", ("store",)),
        Metric("village_store_lines_given_up_total", "counter", "Lines forgotten, or lost on the disk", ("store",)),
        Metric("village_lines_lost_on_disk_total", "counter", "Lines the disk lost before every store had them"),
        Metric("village_lost_at_broker_total", "counter", "Messages the broker dropped after accepting them"),
        Metric("village_devices", "gauge", "Devices of the fleet by state", ("state",)),
        Metric("village_part_state", "gauge", "1 for the state a part is in", ("part", "state")),
    )
}  # fmt: skip
"""The whole list, in the order of the documents."""


class SnapshotCollector(Collector):
    """Asks once a scrape."""

    def __init__(self, read: Callable[[], Iterable[Measure]]) -> None:
        self._read = read

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing, so that registering does not ask."""
        return ()

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """The families in the table's order; one without a value is left out."""
        found: dict[str, list[Measure]] = {}
        for measure in self._read():
            found.setdefault(METRICS[measure.name].name, []).append(measure)
        for name, metric in METRICS.items():
            if name not in found:
                continue
            make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = make(name, metric.help, labels=metric.labels)
            for measure in found[name]:
                family.add_metric(measure.labels, measure.value)
            yield family


class Exposition:
    """What ``/metrics`` says: the table above and the process's own memory, processor time and open files."""

    def __init__(self, read: Callable[[], Iterable[Measure]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(SnapshotCollector(read))
        ProcessCollector(namespace="village", registry=self._registry)

    def text(self) -> bytes:
        """Prometheus text format."""
        return generate_latest(self._registry)
