"""Laboratory results of water samples as people enter them: a CSV, checked row by row before anything is kept."""

import io
from typing import NamedTuple, TextIO

from devices.index_tables import column_word
from devices.registry import Registry
from devices.vocabulary import VOCABULARY
from gateway.analytics.index_csv import CsvError, Row, Table, seconds
from gateway.analytics.index_report import water_words
from gateway.analytics.vn_wqi import OXYGEN, SATURATION, TEMPERATURE, VnWqi

VALID_DAYS = 30
"""How long a result counts where nothing else is said. Ours, not the law's."""
MOST_DAYS = 366
MOST_ROWS = 10_000
"""Of one file. Chosen: years of a province's samples."""
MAX_BYTES = 4 << 20
MOST_PROBLEMS = 20
"""Bad rows that one answer names. Chosen."""
AHEAD = 300
"""[s] by which the clock of who wrote the file may be ahead."""
SECOND, DAY = 1_000_000_000, 86_400_000_000_000
EXPECTED = "device, time, valid_days and parameters of VN_WQI such as bod5, cod, n_nh4, coliform"
_TEXTS = {column_word(word): "device" for word in ("device", "station")} | {column_word("valid_days"): "valid_days"}


class Sample(NamedTuple):
    """What a laboratory found in one sample."""

    device: str
    """The station whose water it is."""
    sampled_at: int
    """[ns UTC]"""
    valid_until: int
    """[ns UTC]"""
    values: dict[str, float]
    """By parameter of the index, in its unit."""


class LaboratoryError(Exception):
    """Results that cannot be kept: one line that names the bad rows by line and column; nothing was changed."""


def read_samples(text: str, registry: Registry, now: int, valid_days: int = VALID_DAYS) -> list[Sample]:
    """Every sample of a file.

    Args:
        text: a CSV with the columns of ``EXPECTED``; ``station`` means ``device``. Dissolved oxygen [mg/L] needs the
            water temperature of the same sample: it is kept as saturation.
        registry: the fleet.
        now: [ns UTC]
        valid_days: where the file says nothing else.

    Raises:
        LaboratoryError: a bad heading, or bad rows; the first twenty are named.
    """
    reader = _Reader(registry, now, valid_days)
    try:
        reader.read(io.StringIO(text, newline=""))
    except CsvError as error:
        reader.problems.append(str(error))
    if not reader.problems and not reader.samples:
        reader.problems.append("the file has no sample below its heading; write one row for each")
    if reader.problems:
        more = len(reader.problems) - MOST_PROBLEMS
        raise LaboratoryError("; ".join(reader.problems[:MOST_PROBLEMS]) + (f" (and {more} more)" if more > 0 else ""))
    return list(reader.samples.values())


class _Reader:
    """Turns rows into samples, and remembers what is wrong with them."""

    def __init__(self, registry: Registry, now: int, valid_days: int) -> None:
        self.wqi = VnWqi()
        self.samples: dict[tuple[str, int], Sample] = {}
        self.problems: list[str] = []
        self._registry, self._now, self._valid_days = registry, now, valid_days
        self._known = {parameter.property for parameter in self.wqi.tables.parameters} | {OXYGEN}
        self._lines: dict[tuple[str, int], int] = {}

    def read(self, file: TextIO) -> None:
        """Every row of a file."""
        table = Table(file, water_words(self.wqi), EXPECTED, _TEXTS)
        if "device" not in table.headings:
            raise CsvError(f"line 1: no column 'device'; the columns are {EXPECTED}")
        for row in table.rows():
            if isinstance(row, CsvError):
                self.problems.append(str(row))
                continue
            try:
                self._take(row, self._sample(row))
            except CsvError as error:
                self.problems.append(str(error))
            if len(self.samples) > MOST_ROWS:
                raise CsvError(f"more than {MOST_ROWS} samples; enter them in several files")

    def _take(self, row: Row, sample: Sample) -> None:
        key = (sample.device, sample.sampled_at)
        if key in self.samples:
            raise CsvError(
                f"line {row.line}: time: {sample.device} has a sample of {row.time} in line {self._lines[key]}; "
                f"write both in one row"
            )
        self.samples[key], self._lines[key] = sample, row.line

    def _sample(self, row: Row) -> Sample:
        where, at = f"line {row.line}", seconds(row.at) * SECOND
        device = row.texts["device"]
        index = self._registry.index.get(device)
        if not device:
            raise CsvError(f"{where}: device: empty; name the station as the fleet does")
        if index is None:
            raise CsvError(f"{where}: device: no {device[:64]!r} in the fleet; `village devices list` names them")
        if not self._known & {entry.name for entry in self._registry.profile(index).properties}:
            raise CsvError(f"{where}: device: {device} measures nothing of VN_WQI; name a station in a river or canal")
        if at > self._now + AHEAD * SECOND:
            raise CsvError(f"{where}: time: {row.time} is still to come; write when the sample was taken")
        if at <= 0:
            raise CsvError(f"{where}: time: {row.time} is before 1970; write when the sample was taken")
        days = self._days(where, row.texts.get("valid_days", ""))
        return Sample(device, at, at + days * DAY, self._values(where, row.values))

    def _days(self, where: str, text: str) -> int:
        if not text:
            return self._valid_days
        if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MOST_DAYS):
            raise CsvError(f"{where}: valid_days: {text[:40]!r} is no number of days from 1 to {MOST_DAYS}")
        return int(text)

    def _values(self, where: str, given: dict[str, float]) -> dict[str, float]:
        for name, value in given.items():
            entry = VOCABULARY.get(name)
            if entry is not None and not entry.low <= value <= entry.high:
                text = f"{value:g} {entry.symbol}".strip()
                raise CsvError(f"{where}: {name}: {text} cannot be (at most {entry.high:g}); look at the unit")
        values = {name: value for name, value in given.items() if name not in (OXYGEN, TEMPERATURE)}
        if OXYGEN in given:
            if TEMPERATURE not in given:
                raise CsvError(
                    f"{where}: {OXYGEN}: needs the sample's temperature beside it, or give the saturation in %"
                )
            saturation = self.wqi.saturation(given[OXYGEN], given[TEMPERATURE])
            if saturation is None:
                warmest = self.wqi.tables.oxygen.warmest
                raise CsvError(f"{where}: {TEMPERATURE}: {given[TEMPERATURE]:g} is above {warmest:g} degrees")
            values[SATURATION] = round(saturation, 3)
        if not values:
            raise CsvError(f"{where}: no value of VN_WQI; write one, or remove the row")
        return values
