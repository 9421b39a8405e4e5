"""Units, limits and colours as Grafana knows them, all of them from the vocabulary and the standards' data."""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from dashboards.texts import Say
from devices.alert_rules import AlertState, Severity
from devices.index_names import POLLUTANTS
from devices.index_tables import Level
from devices.limit_tables import Limit
from devices.quality import Clock, Quality
from devices.standards import shipped
from devices.storage import Condition, PartState
from devices.vocabulary import VOCABULARY, Measurement

UNITS = {
    "1": "none",
    "%": "percent",
    "A": "amp",
    "Cel": "celsius",
    "Hz": "hertz",
    "V": "volt",
    "VA": "voltamp",
    "W": "watt",
    "W/m2": "Wm2",
    "[ppm]": "ppm",
    "dB": "dB",
    "dB[mW]": "dBm",
    "deg": "degree",
    "h": "h",
    "hPa": "pressurehpa",
    "kW.h": "kwatth",
    "lx": "lux",
    "m": "lengthm",
    "m/s": "velocityms",
    "m3": "m3",
    "mA": "mamp",
    "mV": "mvolt",
    "mm": "lengthmm",
    "s": "s",
    "ug/m3": "con\u03bcgm3",  # the id is written with the Greek letter mu, not with the micro sign
    "var": "voltampreact",
}
"""Grafana's id of a UCUM unit; a unit Grafana does not know is shown by its symbol."""

SHARE, COUNT, MONEY = "percentunit", "none", "currencyVND"
GREEN, YELLOW, ORANGE, RED, BLUE, GREY, PURPLE = "green", "yellow", "orange", "red", "blue", "#8E8E8E", "purple"


class Step(NamedTuple):
    """From this value on a colour, and what it means to staff."""

    value: float | None
    """None for the first step, which has no lower end."""
    colour: str
    meaning: str


Scale = tuple[Step, ...]


class Named(NamedTuple):
    """A number that stands for a word."""

    value: float
    text: str
    colour: str


def unit_of(property_name: str) -> str:
    """Grafana's unit id of an observed property.

    >>> unit_of("power"), unit_of("turbidity"), unit_of("ph")
    ('watt', 'suffix: NTU', 'none')
    """
    entry = VOCABULARY[property_name]
    if entry.unit in UNITS:
        return UNITS[entry.unit]
    return f"suffix: {entry.symbol}" if entry.symbol else "none"


def meaning(scale: Scale, say: Say) -> str:
    """A scale in one line of words, for the panel's description."""
    words = {
        GREEN: say("xanh lá", "green"), YELLOW: say("vàng", "yellow"), ORANGE: say("cam", "orange"),
        RED: say("đỏ", "red"), BLUE: say("xanh dương", "blue"), GREY: say("xám", "grey"),
        PURPLE: say("tím", "purple"),
    }  # fmt: skip
    parts = []
    for number, step in enumerate(scale):
        start = "" if step.value is None or number == 0 else say(f" từ {step.value:g}", f" from {step.value:g}")
        colour = words.get(step.colour, "")
        parts.append(f"{colour}{start}: {step.meaning}" if colour else f"{step.meaning}{start}")
    return say("Màu: ", "Colours: ") + "; ".join(parts) + "."


def plain(say: Say) -> Scale:
    """For what has no good and no bad."""
    return (Step(None, BLUE, say("giá trị đo, không có ngưỡng", "a measured value without a limit")),)


def fewer(warn: float, bad: float, say: Say) -> Scale:
    """For counts of troubles."""
    return (
        Step(None, GREEN, say("bình thường", "fine")),
        Step(warn, YELLOW, say("cần xem", "have a look")),
        Step(bad, RED, say("cần xử lý ngay", "act now")),
    )


def more(warn: float, good: float, say: Say) -> Scale:
    """For shares of what works."""
    return (
        Step(None, RED, say("cần xử lý ngay", "act now")),
        Step(warn, YELLOW, say("cần xem", "have a look")),
        Step(good, GREEN, say("bình thường", "fine")),
    )


def _levels(levels: Iterable[Level], say: Say) -> Scale:
    rising = sorted(levels, key=lambda level: level.low)
    return tuple(
        Step(
            None if number == 0 else level.low,
            level.colour,
            f"{say.of(level.name)} ({say.of(level.colour_name)})",
        )
        for number, level in enumerate(rising)
    )


def air_scale(say: Say) -> Scale:
    """The levels of VN_AQI in the decision's own colours."""
    return _levels(shipped().vn_aqi.levels, say)


def water_scale(say: Say) -> Scale:
    """The levels of VN_WQI in the decision's own colours."""
    return _levels(shipped().vn_wqi.levels, say)


def limit_scale(limit: Limit, say: Say) -> Scale:
    """The allowed range of a regulation."""
    good = Step(None, GREEN, say("đạt giới hạn", "within the limit"))
    high = limit.high if limit.high is not None else limit.below
    steps = [good] if limit.low is None else [
        Step(None, RED, say("dưới giới hạn", "below the limit")), good._replace(value=limit.low)
    ]  # fmt: skip
    if high is not None:
        steps.append(Step(high, RED, say("vượt giới hạn", "above the limit")))
    return tuple(steps)


def tap_limit(property_name: str) -> Limit | None:
    """The limit of the newest tap water regulation; None if there is none."""
    return next((row for row in shipped().tap_water.on(date.max).limits if row.property == property_name), None)


def river_limit(property_name: str) -> Limit | None:
    """The limit of class B of rivers and canals, or the one that protects health; None if there is none."""
    tables = shipped().surface_water
    rows = (*tables.limits("river", "B"), *tables.health)
    return next((row for row in rows if row.property == property_name), None)


def air_day_limit(property_name: str, day: date = date.max) -> float | None:
    """The newest limit of a pollutant's daily mean [ug/m3]."""
    day = min(day, date(9999, 12, 30))
    rows = (row for row in shipped().air_limits.limits if row.property == property_name)
    return next((row.day for row in rows if row.since <= day < row.until), None)


def plausible_scale(property_name: str, say: Say) -> Scale:
    """The ordinary range of the vocabulary: what lies outside is stored and flagged as doubtful."""
    entry = VOCABULARY[property_name]
    doubtful = say("khó tin, kiểm tra cảm biến", "doubtful, check the sensor")
    if (entry.plausible_low, entry.plausible_high) == (entry.low, entry.high):
        return plain(say)
    return (
        Step(None, ORANGE, doubtful),
        Step(entry.plausible_low, GREEN, say("khoảng thường gặp", "ordinary range")),
        Step(entry.plausible_high, ORANGE, doubtful),
    )


def scale_of(property_name: str, say: Say) -> Scale:
    """The law's limit where there is one, else the ordinary range."""
    piped = VOCABULARY[property_name].measurement is Measurement.WATER_SUPPLY
    limit = tap_limit(property_name) if piped else river_limit(property_name)
    return plausible_scale(property_name, say) if limit is None else limit_scale(limit, say)


# numbers that stand for words --------------------------------------------------------------------------------


def conditions(say: Say) -> tuple[Named, ...]:
    """States of a device."""
    words = {
        Condition.OK: (say("Bình thường", "Fine"), GREEN),
        Condition.NEVER: (say("Chưa từng báo về", "Never heard"), GREY),
        Condition.SUSPECT: (say("Số liệu đáng ngờ", "Doubtful values"), YELLOW),
        Condition.OFFLINE: (say("Mất kết nối", "Offline"), PURPLE),
        Condition.SILENT: (say("Im lặng", "Silent"), BLUE),
        Condition.WARNING: (say("Cảnh báo", "Warning"), ORANGE),
        Condition.CRITICAL: (say("Khẩn cấp", "Critical"), RED),
    }
    return tuple(Named(condition, *words[condition]) for condition in Condition)


def severities(say: Say) -> tuple[Named, ...]:
    """How bad an alert is."""
    words = {
        Severity.INFO: (say("Lưu ý", "Notice"), YELLOW),
        Severity.WARNING: (say("Cảnh báo", "Warning"), ORANGE),
        Severity.CRITICAL: (say("Khẩn cấp", "Critical"), RED),
    }
    return tuple(Named(severity.number, *words[severity]) for severity in Severity)


def alert_states(say: Say) -> tuple[Named, ...]:
    """Where an alert stands."""
    words = {
        AlertState.RESOLVED: (say("Đã hết", "Resolved"), GREEN),
        AlertState.PENDING: (say("Đang theo dõi", "Pending"), YELLOW),
        AlertState.FIRING: (say("Đang báo động", "Firing"), RED),
        AlertState.ACKNOWLEDGED: (say("Đã có người nhận xử lý", "Acknowledged"), BLUE),
    }
    return tuple(Named(state.number, *words[state]) for state in AlertState)


def qualities(say: Say) -> tuple[Named, ...]:
    """QARTOD's flags."""
    words = {
        Quality.GOOD: (say("Tốt", "Good"), GREEN),
        Quality.NOT_EVALUATED: (say("Chưa đánh giá", "Not evaluated"), GREY),
        Quality.SUSPECT: (say("Đáng ngờ", "Suspect"), YELLOW),
        Quality.FAIL: (say("Hỏng", "Failed"), RED),
        Quality.MISSING: (say("Thiếu", "Missing"), PURPLE),
    }
    return tuple(Named(quality, *words[quality]) for quality in Quality)


def clocks(say: Say) -> tuple[Named, ...]:
    """Whose clock a time came from."""
    words = {
        Clock.DEVICE: (say("Giờ của thiết bị", "Device's time"), GREEN),
        Clock.RECEIVED: (say("Giờ nhận tin", "Time of receipt"), BLUE),
        Clock.UNSET: (say("Đồng hồ chưa đặt", "Clock not set"), ORANGE),
        Clock.FUTURE: (say("Đồng hồ chạy trước", "Clock ahead"), RED),
        Clock.ZONED: (say("Giờ địa phương", "Local time"), GREEN),
    }
    return tuple(Named(clock, *words[clock]) for clock in Clock)


def part_states(say: Say) -> tuple[Named, ...]:
    """How a part of the gateway is."""
    words = {
        PartState.OK: (say("Hoạt động", "Works"), GREEN),
        PartState.WAITING: (say("Đang chờ", "Waiting"), YELLOW),
        PartState.FAILING: (say("Lỗi", "Failing"), RED),
    }
    return tuple(Named(state, *words[state]) for state in PartState)


def pollutants() -> tuple[Named, ...]:
    """Which pollutant decides the index."""
    names = {pollutant.property: pollutant.name for pollutant in shipped().vn_aqi.pollutants}
    return tuple(Named(number, names[key], BLUE) for number, key in enumerate(POLLUTANTS))


def yes_no(yes: str, no: str, *, good: bool) -> tuple[Named, ...]:
    """A flag that is 0 or 1."""
    return Named(0, no, RED if good else GREEN), Named(1, yes, GREEN if good else RED)


def scale_of_names(names: Iterable[Named]) -> Scale:
    """The colours of words as a scale, so that every panel has one."""
    return tuple(Step(None if number == 0 else one.value, one.colour, one.text) for number, one in enumerate(names))


def commune_names() -> dict[str, str]:
    """Name by commune key, of the places in the standards."""
    return {entry.code: f"{entry.kind} {entry.name}" for entry in shipped().communes.communes}
