"""Hours of devices whose roll-ups have to be read back, because something came late, twice or anew."""

from bisect import bisect_left
from collections.abc import Iterable

Spans = tuple[tuple[int, int], ...]
"""First and last hour of each, oldest first."""


class LateHours:
    """Spans of hours by device. A burst of a week is one span, so even a province's outage stays small."""

    def __init__(self) -> None:
        self._spans: dict[int, Spans] = {}
        self._latest: Spans = ()
        """What was put there last: after a crash every device has the same, and it is kept once."""
        self._marked: dict[int, int] = {}

    def __len__(self) -> int:
        return sum(last - first + 1 for spans in self._spans.values() for first, last in spans)

    @property
    def devices(self) -> int:
        """How many devices have such hours."""
        return len(self._spans)

    def add(self, device: int, first: int, last: int, marked_at: int) -> None:
        """Mark the hours from first to last, both included.

        Args:
            device: index in the registry.
            first: number of the first hour since 1970 UTC.
            last: number of the last.
            marked_at: [ns UTC] when what changed them was taken in.
        """
        self._marked[device] = max(marked_at, self._marked.get(device, 0))
        spans = list(self._spans.get(device, ()))
        start = bisect_left(spans, (first, first))
        if start and spans[start - 1][1] >= first - 1:
            start -= 1
        stop = start
        while stop < len(spans) and spans[stop][0] <= last + 1:
            first, last = min(first, spans[stop][0]), max(last, spans[stop][1])
            stop += 1
        spans[start:stop] = [(first, last)]
        self._put(device, tuple(spans))

    def _put(self, device: int, spans: Spans) -> None:
        if spans != self._latest:
            self._latest = spans
        self._spans[device] = self._latest

    def ready(self, stored_until: int, before_hour: int, most: int) -> list[tuple[int, list[tuple[int, int]]]]:
        """Devices that can be mended now, at most so many, and take them off the list.

        Args:
            stored_until: [ns UTC] what was taken in until then is in the store.
            before_hour: hours from this one on are not closed yet, and stay on the list.
            most: number of devices.
        """
        found: list[tuple[int, Spans]] = []
        for device, marked_at in self._marked.items():
            if len(found) >= most:
                break
            if marked_at < stored_until and self._spans[device][0][0] < before_hour:
                found.append((device, self._spans[device]))
        result = []
        for device, spans in found:
            closed = [(first, min(last, before_hour - 1)) for first, last in spans if first < before_hour]
            rest = [(max(first, before_hour), last) for first, last in spans if last >= before_hour]
            if rest:
                self._put(device, tuple(rest))
            else:
                del self._spans[device], self._marked[device]
            result.append((device, closed))
        return result

    def dump(self) -> list[tuple[int, int, int, int]]:
        """Plain data: device, first and last hour, when marked."""
        return [
            (device, first, last, self._marked[device])
            for device, spans in self._spans.items()
            for first, last in spans
        ]

    def load(self, saved: Iterable[tuple[int, int, int, int]]) -> None:
        """Add what was dumped."""
        for device, first, last, marked_at in saved:
            self.add(device, first, last, marked_at)
