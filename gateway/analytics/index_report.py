"""Indices of a whole CSV file as rows of another: hourly and daily VN_AQI, VN_WQI of samples; bounded memory."""

from collections import deque
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Literal, TextIO

from devices.index_tables import Level, column_word
from devices.standard_data import Text
from gateway.analytics.index_csv import CsvError, Row, Table, seconds
from gateway.analytics.local_time import VIETNAM
from gateway.analytics.vn_aqi import DAY_HOURS, LEAD_HOURS, AirQuality, VnAqi, whole
from gateway.analytics.vn_wqi import OXYGEN, TEMPERATURE, LaboratoryResult, VnWqi, completed

Label = Literal["start", "end"]
Language = Literal["vi", "en", "code"]
HOUR = 3600


def hourly_air(file: TextIO, language: Language = "vi") -> Iterator[list[str]]:
    """VN_AQI of every row of a file of hourly means: heading first, then one row for each row of the file.

    A row that is not there is a missing hour. Which end of the hour ``time`` names makes no difference here.

    Args:
        file: columns ``time`` and pollutants [ug/m3].
        language: of the level.

    Raises:
        CsvError: see ``Table``; a time that is not a whole hour.
    """
    aqi = VnAqi()
    table = Table(file, _air_words(aqi), _air_expected(aqi))
    pollutants = _in_order(aqi, table)
    yield ["time", "vn_aqi", "level", "pollutant", *(f"vn_aqi_{name}" for name in pollutants)]
    hours = aqi.tables.nowcast.hours
    newest_first: dict[str, deque[float | None]] = {name: deque([None] * hours, hours) for name in pollutants}
    last: int | None = None
    for row, hour in _hours(table):
        for _ in range(min(hours, hour - last) if last is not None else 1):
            for means in newest_first.values():
                means.appendleft(None)
        for name, value in row.values.items():
            newest_first[name][0] = value
        last = hour
        air = aqi.hourly({name: list(means) for name, means in newest_first.items()})
        yield [row.time, *_air_cells(air, pollutants, language)]


def daily_air(
    file: TextIO, label: Label = "start", completeness: float = 0.75, language: Language = "vi"
) -> Iterator[list[str]]:
    """VN_AQI of every calendar day in Viet Nam that has a row: heading first, then one row a day.

    Args:
        file: columns ``time`` and pollutants [ug/m3].
        label: which end of its hour ``time`` names.
        completeness: share of its hours that a day and an 8-hour mean need; ours, not the law's.
        language: of the level.

    Raises:
        CsvError: see ``Table``; a time that is not a whole hour.
    """
    aqi = VnAqi()
    table = Table(file, _air_words(aqi), _air_expected(aqi))
    pollutants = _in_order(aqi, table)
    several = [
        m.column for p in aqi.tables.pollutants if p.property in pollutants and len(p.daily) > 1 for m in p.daily
    ]
    yield ["date", "vn_aqi", "level", "pollutant", *(f"vn_aqi_{name}" for name in [*pollutants, *several])]
    kept: deque[tuple[int, dict[str, float]]] = deque(maxlen=LEAD_HOURS + DAY_HOURS)
    today: int | None = None

    def finished(day: int) -> list[str]:
        first, known = day * DAY_HOURS - LEAD_HOURS, dict(kept)
        span = range(first, first + LEAD_HOURS + DAY_HOURS)
        air = aqi.daily({name: [known.get(h, {}).get(name) for h in span] for name in pollutants}, completeness)
        parts = [_cell(air.parts.get(column)) for column in several]
        text = (date(1970, 1, 1) + timedelta(days=day)).isoformat()
        return [text, *_air_cells(air, pollutants, language), *parts]

    shift = int(VIETNAM.utcoffset(None).total_seconds()) // HOUR - (1 if label == "end" else 0)
    for row, hour in _hours(table):
        local = hour + shift
        if today is not None and local // DAY_HOURS != today:
            yield finished(today)
        today = local // DAY_HOURS
        kept.append((local, row.values))
    if today is not None:
        yield finished(today)


def water_samples(
    file: TextIO, laboratory: TextIO | None = None, valid_days: int = 30, language: Language = "vi"
) -> Iterator[list[str]]:
    """VN_WQI of every sample: heading first, then one row for each row of the file.

    Args:
        file: columns ``time`` and parameters; dissolved oxygen [mg/L] needs the water temperature [Cel] beside it.
        laboratory: a second file of the same form whose values complete a sample for some days.
        valid_days: how long a laboratory value counts; ours, not the law's.
        language: of level and reasons.

    Raises:
        CsvError: see ``Table``; a value that cannot be (pH above 14).
    """
    wqi = VnWqi()
    words, expected = water_words(wqi), "time and parameters of VN_WQI such as ph, do, temperature, n_nh4, coliform"
    table = Table(file, words, expected)
    results = _Laboratory(laboratory, words, expected, valid_days) if laboratory is not None else None
    names = [parameter.property for parameter in wqi.tables.parameters]
    groups = [group.code for group in wqi.tables.groups]
    yield [
        "time", "vn_wqi", "level", "published", "why_not", "partial_not_vn_wqi",
        *(f"group_{code}" for code in groups), *(f"q_{name}" for name in names),
    ]  # fmt: skip
    for row in table:
        values = row.values if results is None else results.complete(row)
        try:
            water = wqi.judge(values)
        except ValueError as error:
            raise CsvError(f"line {row.line}: {error}") from error
        yield [
            row.time,
            "" if water.value is None else str(water.value),
            _level(water.level, language),
            "true" if water.value is not None else "false",
            "; ".join(_said(text, language) for text in water.why_not),
            _cell(water.partial),
            *(_decimal(water.groups.get(code)) for code in groups),
            *(_decimal(water.sub_indices.get(name)) for name in names),
        ]


class _Laboratory:
    """Laboratory results beside a file of samples, both read in step."""

    def __init__(self, file: TextIO, words: dict[str, str], expected: str, valid_days: int) -> None:
        self._rows = self._read(file, words, expected)
        self._next = next(self._rows, None)
        self._valid = valid_days * 86400
        self._newest: dict[str, LaboratoryResult] = {}

    @staticmethod
    def _read(file: TextIO, words: dict[str, str], expected: str) -> Iterator[Row]:
        try:
            yield from Table(file, words, expected)
        except CsvError as error:
            raise CsvError(f"laboratory file: {error}") from error

    def complete(self, row: Row) -> dict[str, float]:
        at = seconds(row.at)
        while self._next is not None and self._next.at <= row.at:
            since = seconds(self._next.at)
            for name, value in self._next.values.items():
                self._newest[name] = LaboratoryResult(name, value, since, since + self._valid)
            self._next = next(self._rows, None)
        return completed(row.values, self._newest.values(), at)


def _hours(table: Table) -> Iterator[tuple[Row, int]]:
    """Rows with the number of their hour since 1970 UTC; zones that differ by parts of an hour do not mix."""
    grid: int | None = None
    for row in table:
        at = seconds(row.at)
        if row.at.minute or row.at.second or row.at.microsecond:
            raise CsvError(f"line {row.line}: time {row.time} is not a whole hour; this file holds hourly means")
        if grid is None:
            grid = at % HOUR
        elif at % HOUR != grid:
            raise CsvError(f"line {row.line}: time {row.time} is not a whole number of hours after the rows before it")
        yield row, at // HOUR


def _air_words(aqi: VnAqi) -> dict[str, str]:
    return {column_word(pollutant.property): pollutant.property for pollutant in aqi.tables.pollutants}


def _air_expected(aqi: VnAqi) -> str:
    return "time and any of " + ", ".join(pollutant.property for pollutant in aqi.tables.pollutants)


def water_words(wqi: VnWqi) -> dict[str, str]:
    """What a heading of a file of water samples means, by ``column_word``."""
    words = {word: parameter.property for parameter in wqi.tables.parameters for word in parameter.words()}
    words |= {column_word(text): OXYGEN for text in wqi.tables.oxygen.dissolved_words}
    return words | {column_word(text): TEMPERATURE for text in wqi.tables.oxygen.temperature_words}


def _in_order(aqi: VnAqi, table: Table) -> list[str]:
    return [pollutant.property for pollutant in aqi.tables.pollutants if pollutant.property in table.columns]


def _air_cells(air: AirQuality, pollutants: list[str], language: Language) -> list[str]:
    value = "" if air.value is None else str(air.value)
    subs = [_cell(air.sub_indices.get(name)) for name in pollutants]
    return [value, _level(air.level, language), air.pollutant, *subs]


def _cell(index: float | None) -> str:
    return "" if index is None else str(whole(index))


def _decimal(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _level(level: Level | None, language: Language) -> str:
    if level is None:
        return ""
    return level.code if language == "code" else _said(level.name, language)


def _said(text: Text, language: Language) -> str:
    return text.vi if language == "vi" else text.en
