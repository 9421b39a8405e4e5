"""The devices of the board's tests: a village of 69, well or with one of each trouble."""

import math
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass
class BoardDevice:
    """What the API knows of a device; ``values`` are property -> (value, quality), all as old as ``heard``."""

    device: str
    label: str
    domain: str
    profile: str
    east: float
    north: float
    group: str = ""
    zone: str = "village"
    commune: str = "10642"
    interval_seconds: int = 300
    powered: str = "always"
    state: str = "ok"
    heard: timedelta | None = timedelta(seconds=40)
    """How long before the server's moment; None if never."""
    values: dict[str, tuple[float, int]] = field(default_factory=dict)
    out_since: timedelta | None = None
    """A lamp's history shows it lit until this long ago."""


def _stations() -> list[BoardDevice]:
    water = {"water_temperature": 24.2, "ph": 7.1, "dissolved_oxygen": 5.4, "conductivity": 412.0, "turbidity": 31.0}
    air = {"pm2_5": 47.0, "pm10": 71.0, "air_temperature": 21.3, "relative_humidity": 84.0, "co": 780.0}
    tap = {"residual_chlorine": 0.42, "supply_turbidity": 0.61, "supply_ph": 7.3, "pressure": 2.4, "flow": 18.6}
    places = [
        ("nuoc-01", "Trạm nước kênh Thái Tân", "water_quality", "kenh_01", 620, 240, water),
        (
            "nuoc-02",
            "Trạm nước ao đình làng Mạc",
            "water_quality",
            "kenh_01",
            -410,
            330,
            water | {"dissolved_oxygen": 3.9},
        ),
        ("nuoc-03", "Trạm nước cống Đò Đăng", "water_quality", "kenh_01", -60, -660, water | {"water_level": 1.37}),
        ("khi-01", "Trạm không khí UBND xã", "air_quality", "khong_khi_02", 70, 60, air),
        ("khi-02", "Trạm không khí cụm công nghiệp", "air_quality", "khong_khi_02", 830, -280, air | {"pm2_5": 58.0}),
        ("cap-01", "Điểm nước máy trường tiểu học", "water_supply", "nuoc_may_01", -180, -250, tap),
    ]
    return [
        BoardDevice(
            name, label, domain, profile, east, north, values={key: (value, 1) for key, value in values.items()}
        )
        for name, label, domain, profile, east, north, values in places
    ]


def _cabinet(number: int, street: str, east: float, north: float, kilowatts: float) -> BoardDevice:
    values = {"power": kilowatts * 1000, "voltage": 226.4, "energy": 18_342.7 + number, "door_open": 0.0}
    return BoardDevice(
        f"tu-0{number}", f"Tủ chiếu sáng số {number}, {street}", "streetlight", "tu_3_pha", east, north,
        group=f"TU-0{number}", zone="street", values={key: (value, 1) for key, value in values.items()},
    )  # fmt: skip


def village(night: bool = True) -> list[BoardDevice]:
    """60 lamps on 3 cabinets along 3 streets, 3 water and 2 air stations, 1 tap; all of them well."""
    streets = [
        (1, "đường trục xã", (-640, -120), (30, 2), 27.0),
        (2, "thôn Mạc Xá", (-520, 420), (26, -8), 24.0),
        (3, "thôn Đò Đăng", (90, -90), (6, -29), 12.0),
    ]
    devices = _stations()
    for number, street, (east, north), (step_east, step_north), bend in streets:
        devices.append(_cabinet(number, street, east - 25, north + 20, 1.18 if night else 0.0))
        for pole in range(1, 21):
            values = {
                "power": 58.0 if night else 0.6,
                "lamp_on": float(night),
                "dimming_level": 100.0 * night,
                "voltage": 226.0,
            }
            along = (
                east + step_east * pole + bend * math.sin(pole / 4),
                north + step_north * pole + bend * math.cos(pole / 3),
            )
            judged = {key: (value, 1) for key, value in values.items()}
            name, label = f"den-{number}{pole:02}", f"Đèn cột {pole}, {street}"
            lamp = BoardDevice(name, label, "streetlight", "den_led_60", *along, group=f"TU-0{number}", values=judged)
            devices.append(lamp)
    return devices


def troubled_village() -> list[BoardDevice]:
    """The same in the evening with one of each trouble, and half of street 3 dark."""
    devices = {device.device: device for device in village()}
    off = {"power": (0.4, 1), "lamp_on": (0.0, 1), "dimming_level": (0.0, 1)}
    devices["den-107"].values |= {"power": (0.5, 1)}
    devices["den-107"].out_since = timedelta(hours=1, minutes=25)
    devices["den-204"].values |= off
    for pole in range(11, 19):
        devices[f"den-3{pole}"].values |= off
        devices[f"den-3{pole}"].out_since = timedelta(minutes=35)
    devices["den-216"].state, devices["den-216"].heard = "silent", timedelta(hours=5, minutes=12)
    devices["nuoc-02"].state, devices["nuoc-02"].heard = "silent", timedelta(hours=27)
    devices["khi-02"].state, devices["khi-02"].heard = "offline", timedelta(minutes=48)
    devices["nuoc-03"].state = "suspect"
    devices["nuoc-03"].values["ph"] = (12.4, 3)
    devices["tu-02"].values["door_open"] = (1.0, 1)
    never = devices["den-220"]
    never.state, never.heard, never.values = "never", None, {}
    return list(devices.values())
