"""The one table of observed properties: name, measurement, unit, ranges and meaning; everything else reads it."""

from enum import StrEnum
from typing import NamedTuple


class Measurement(StrEnum):
    """One per domain; the storage names are these."""

    STREETLIGHT = "streetlight"
    WATER_QUALITY = "water_quality"
    WATER_SUPPLY = "water_supply"
    AIR_QUALITY = "air_quality"
    WEATHER = "weather"
    DEVICE = "device"
    INDEX = "index"
    ALERT = "alert"


class Property(NamedTuple):
    """One observed property and the one unit it is stored in."""

    name: str
    """FIWARE's attribute in snake_case where there is one."""
    measurement: Measurement
    unit: str
    """UCUM code of the canonical unit; ``1`` for ratios, states and counts."""
    low: float
    """Physical range: a value below is a failed sensor (quality FAIL), in the canonical unit."""
    high: float
    rate: float
    """Plausible change per minute in the canonical unit; faster is SUSPECT. 0 means not judged (states, counters)."""
    en: str
    vi: str
    symbol: str
    """Unit as shown to people."""
    ngsi: str
    """Attribute name in FIWARE Smart Data Models, empty where there is none."""
    plausible_low: float
    """Ordinary range in the Red River delta: outside, but physically possible, is SUSPECT."""
    plausible_high: float


def _p(
    name: str, measurement: Measurement, unit: str, physical: tuple[float, float], plausible: tuple[float, float],
    rate: float, en: str, vi: str, symbol: str = "", ngsi: str = "",
) -> Property:  # fmt: skip
    return Property(name, measurement, unit, *physical, rate, en, vi, symbol, ngsi, *plausible)


_L, _W, _S, _A, _M, _D = (
    Measurement.STREETLIGHT, Measurement.WATER_QUALITY, Measurement.WATER_SUPPLY,
    Measurement.AIR_QUALITY, Measurement.WEATHER, Measurement.DEVICE,
)  # fmt: skip

# Physical ranges: what the sensor's principle allows. Plausible ranges and rates: chosen from the ranges of Red River
# delta stations and the 5-minute records measured for this project; configurable per profile.
_TABLE = (
    # street lighting -----------------------------------------------------------------------------------------
    _p("power", _L, "W", (-100, 1e6), (-1, 20000), 0, "Active power", "Công suất", "W", "powerConsumption"),
    _p("energy", _L, "kW.h", (0, 1e9), (0, 1e8), 0, "Energy counter", "Chỉ số điện năng", "kWh", "energyConsumed"),
    _p("voltage", _L, "V", (0, 500), (90, 400), 0, "Voltage", "Điện áp", "V", "voltage"),
    _p("current", _L, "A", (-1, 1000), (-0.1, 100), 0, "Current", "Dòng điện", "A", "current"),
    _p("power_factor", _L, "1", (-1, 1), (-1, 1), 0, "Power factor", "Hệ số công suất", "", "powerFactor"),
    _p("frequency", _L, "Hz", (40, 70), (49, 51), 0, "Mains frequency", "Tần số lưới", "Hz", "frequency"),
    _p("apparent_power", _L, "VA", (0, 1e6), (0, 20000), 0, "Apparent power", "Công suất biểu kiến", "VA"),
    _p("reactive_power", _L, "var", (-1e6, 1e6), (-20000, 20000), 0, "Reactive power", "Công suất phản kháng", "var",
       "totalReactivePower"),
    _p("dimming_level", _L, "%", (0, 100), (0, 100), 0, "Dimming level", "Mức sáng", "%", "illuminanceLevel"),
    _p("lamp_on", _L, "1", (0, 1), (0, 1), 0, "Lamp on", "Đèn sáng", "", "powerState"),
    _p("lamp_failure", _L, "1", (0, 1), (0, 1), 0, "Lamp failure reported", "Báo hỏng đèn", ""),
    _p("control_gear_failure", _L, "1", (0, 1), (0, 1), 0, "Control gear failure reported", "Báo hỏng bộ nguồn đèn", ""),
    _p("operating_hours", _L, "h", (0, 1e6), (0, 2e5), 0, "Operating hours", "Số giờ hoạt động", "h"),
    _p("control_gear_temperature", _L, "Cel", (-40, 150), (0, 90), 20, "Control gear temperature", "Nhiệt độ bộ nguồn đèn",
       "°C"),
    _p("leakage_current", _L, "mA", (0, 10000), (0, 300), 0, "Leakage current", "Dòng rò", "mA"),
    _p("door_open", _L, "1", (0, 1), (0, 1), 0, "Cabinet door open", "Cửa tủ mở", ""),
    *(
        _p(f"{quantity}_{phase}", _L, unit, physical, plausible, 0, f"{en}, phase {phase[1]}", f"{vi} pha {phase[1]}",
           symbol, f"{ngsi}{'RST'[int(phase[1]) - 1]}")
        for quantity, unit, physical, plausible, en, vi, symbol, ngsi in (
            ("power", "W", (-1e6, 1e6), (-1, 20000), "Active power", "Công suất", "W", "activePower"),
            ("voltage", "V", (0, 500), (90, 400), "Voltage", "Điện áp", "V", "voltage"),
            ("current", "A", (-1, 1000), (-0.1, 100), "Current", "Dòng điện", "A", "intensity"),
            ("power_factor", "1", (-1, 1), (-1, 1), "Power factor", "Hệ số công suất", "", "powerFactor"),
        )
        for phase in ("l1", "l2", "l3")
    ),
    # rivers, canals, lakes -----------------------------------------------------------------------------------
    _p("water_temperature", _W, "Cel", (-5, 60), (5, 40), 1, "Water temperature", "Nhiệt độ nước", "°C", "temperature"),
    _p("ph", _W, "[pH]", (0, 14), (5, 10), 0.5, "pH", "pH", "", "pH"),
    _p("dissolved_oxygen", _W, "mg/L", (0, 50), (0, 20), 2, "Dissolved oxygen", "Oxy hòa tan", "mg/L", "O2"),
    _p("oxygen_saturation", _W, "%", (0, 500), (0, 250), 20, "Oxygen saturation", "Độ bão hòa oxy", "%"),
    _p("conductivity", _W, "uS/cm", (0, 200000), (10, 60000), 500, "Conductivity", "Độ dẫn điện", "µS/cm",
       "conductivity"),
    _p("salinity", _W, "g/L", (0, 100), (0, 40), 1, "Salinity", "Độ mặn", "g/L", "salinity"),
    _p("tds", _W, "mg/L", (0, 100000), (0, 40000), 300, "Total dissolved solids", "Tổng chất rắn hòa tan", "mg/L", "tds"),
    _p("tss", _W, "mg/L", (0, 50000), (0, 5000), 0, "Suspended solids", "Chất rắn lơ lửng", "mg/L", "tss"),
    _p("turbidity", _W, "[NTU]", (0, 10000), (0, 2000), 0, "Turbidity", "Độ đục", "NTU", "turbidity"),
    _p("turbidity_fnu", _W, "[FNU]", (0, 10000), (0, 2000), 0, "Turbidity (FNU method)", "Độ đục (FNU)", "FNU"),
    _p("redox_potential", _W, "mV", (-2000, 2000), (-500, 800), 200, "Redox potential", "Thế oxy hóa khử", "mV", "orp"),
    _p("ammonium_nitrogen", _W, "mg/L", (0, 1000), (0, 50), 5, "Ammonium as nitrogen", "Amoni (tính theo N)", "mg/L",
       "NH4"),
    _p("nitrate_nitrogen", _W, "mg/L", (0, 1000), (0, 50), 10, "Nitrate as nitrogen", "Nitrat (tính theo N)", "mg/L",
       "NO3"),
    _p("nitrite_nitrogen", _W, "mg/L", (0, 1000), (0, 10), 5, "Nitrite as nitrogen", "Nitrit (tính theo N)", "mg/L",
       "NO2"),
    _p("phosphate_phosphorus", _W, "mg/L", (0, 1000), (0, 20), 5, "Phosphate as phosphorus", "Phosphat (tính theo P)",
       "mg/L", "P-PO4"),
    _p("cod", _W, "mg/L", (0, 10000), (0, 1000), 0, "Chemical oxygen demand", "COD", "mg/L", "cod"),
    _p("bod5", _W, "mg/L", (0, 10000), (0, 500), 0, "Biochemical oxygen demand", "BOD5", "mg/L", "bod"),
    _p("toc", _W, "mg/L", (0, 10000), (0, 500), 0, "Total organic carbon", "TOC", "mg/L"),
    _p("chloride", _W, "mg/L", (0, 50000), (0, 25000), 0, "Chloride", "Clorua", "mg/L", "Cl-"),
    _p("chlorophyll_a", _W, "ug/L", (0, 5000), (0, 500), 0, "Chlorophyll a", "Diệp lục a", "µg/L", "Chla"),
    _p("water_level", _W, "m", (-100, 9000), (-5, 50), 0.5, "Water level", "Mực nước", "m", "currentLevel"),
    _p("distance", _W, "m", (0, 1000), (0, 50), 0, "Measured distance", "Khoảng cách đo", "m", "measuredDistance"),
    _p("river_flow", _W, "m3/s", (-10000, 50000), (-500, 10000), 0, "River flow", "Lưu lượng dòng chảy", "m³/s", "flow"),
    # piped water ---------------------------------------------------------------------------------------------
    _p("residual_chlorine", _S, "mg/L", (0, 20), (0, 5), 0.5, "Free residual chlorine", "Clo dư tự do", "mg/L"),
    _p("supply_ph", _S, "[pH]", (0, 14), (5, 10), 0.5, "pH of tap water", "pH nước cấp", ""),
    _p("supply_turbidity", _S, "[NTU]", (0, 1000), (0, 20), 0, "Turbidity of tap water", "Độ đục nước cấp", "NTU"),
    _p("supply_temperature", _S, "Cel", (-5, 100), (5, 45), 2, "Temperature of tap water", "Nhiệt độ nước cấp", "°C"),
    _p("supply_conductivity", _S, "uS/cm", (0, 20000), (10, 3000), 200, "Conductivity of tap water",
       "Độ dẫn điện nước cấp", "µS/cm"),
    _p("pressure", _S, "bar", (-1, 100), (0, 10), 0, "Network pressure", "Áp suất đường ống", "bar"),
    _p("flow", _S, "m3/h", (-100000, 100000), (-100, 10000), 0, "Flow", "Lưu lượng", "m³/h"),
    _p("volume", _S, "m3", (0, 1e9), (0, 1e8), 0, "Meter index", "Chỉ số đồng hồ nước", "m³"),
    _p("reverse_volume", _S, "m3", (0, 1e9), (0, 1e8), 0, "Reverse meter index", "Chỉ số chảy ngược", "m³"),
    _p("tank_level", _S, "m", (-1, 1000), (0, 50), 0.5, "Tank level", "Mực nước bể chứa", "m"),
    _p("leak", _S, "1", (0, 1), (0, 1), 0, "Leak reported by the meter", "Đồng hồ báo rò rỉ", ""),
    # air -----------------------------------------------------------------------------------------------------
    _p("pm1", _A, "ug/m3", (0, 5000), (0, 1000), 0, "PM1", "Bụi PM1", "µg/m³", "pm1"),
    _p("pm2_5", _A, "ug/m3", (0, 5000), (0, 1000), 0, "PM2.5", "Bụi mịn PM2.5", "µg/m³", "pm25"),
    _p("pm4", _A, "ug/m3", (0, 5000), (0, 1000), 0, "PM4", "Bụi PM4", "µg/m³", "pm4"),
    _p("pm10", _A, "ug/m3", (0, 10000), (0, 2000), 0, "PM10", "Bụi PM10", "µg/m³", "pm10"),
    _p("tsp", _A, "ug/m3", (0, 20000), (0, 5000), 0, "Total suspended particles", "Tổng bụi lơ lửng", "µg/m³", "tsp"),
    _p("co", _A, "ug/m3", (0, 1200000), (0, 60000), 0, "Carbon monoxide", "CO", "µg/m³", "co"),
    _p("co2", _A, "[ppm]", (0, 100000), (300, 5000), 0, "Carbon dioxide", "CO2", "ppm", "co2"),
    _p("no", _A, "ug/m3", (0, 20000), (0, 2000), 0, "Nitric oxide", "NO", "µg/m³", "no"),
    _p("no2", _A, "ug/m3", (0, 20000), (0, 1500), 0, "Nitrogen dioxide", "NO2", "µg/m³", "no2"),
    _p("so2", _A, "ug/m3", (0, 50000), (0, 2000), 0, "Sulphur dioxide", "SO2", "µg/m³", "so2"),
    _p("o3", _A, "ug/m3", (0, 20000), (0, 800), 0, "Ozone", "O3", "µg/m³", "o3"),
    _p("nh3", _A, "ug/m3", (0, 100000), (0, 5000), 0, "Ammonia", "NH3", "µg/m³"),
    _p("h2s", _A, "ug/m3", (0, 100000), (0, 5000), 0, "Hydrogen sulphide", "H2S", "µg/m³", "sh2"),
    _p("tvoc", _A, "ug/m3", (0, 1e6), (0, 60000), 0, "Volatile organic compounds", "Hợp chất hữu cơ bay hơi", "µg/m³",
       "volatileOrganicCompoundsTotal"),
    _p("noise", _A, "dB[A]", (0, 200), (25, 120), 0, "Noise level", "Mức ồn", "dB(A)"),
    # weather -------------------------------------------------------------------------------------------------
    _p("air_temperature", _M, "Cel", (-60, 90), (0, 45), 3, "Air temperature", "Nhiệt độ không khí", "°C",
       "temperature"),
    _p("relative_humidity", _M, "%", (0, 105), (10, 100), 20, "Relative humidity", "Độ ẩm", "%", "relativeHumidity"),
    _p("air_pressure", _M, "hPa", (300, 1200), (950, 1050), 5, "Air pressure", "Khí áp", "hPa", "pressure"),
    _p("wind_speed", _M, "m/s", (0, 120), (0, 60), 0, "Wind speed", "Tốc độ gió", "m/s", "windSpeed"),
    _p("wind_gust", _M, "m/s", (0, 150), (0, 75), 0, "Wind gust", "Gió giật", "m/s"),
    _p("wind_direction", _M, "deg", (0, 360), (0, 360), 0, "Wind direction (from)", "Hướng gió", "°", "windDirection"),
    _p("rain", _M, "mm", (0, 1e6), (0, 1e5), 0, "Rain counter", "Lượng mưa tích lũy", "mm", "precipitation"),
    _p("rain_rate", _M, "mm/h", (0, 1000), (0, 300), 0, "Rain rate", "Cường độ mưa", "mm/h"),
    _p("illuminance", _M, "lx", (0, 300000), (0, 150000), 0, "Illuminance", "Độ rọi", "lx", "illuminance"),
    _p("solar_radiation", _M, "W/m2", (0, 2000), (0, 1400), 0, "Solar radiation", "Bức xạ mặt trời", "W/m²",
       "solarRadiation"),
    _p("uv_index", _M, "1", (0, 30), (0, 16), 0, "UV index", "Chỉ số UV", ""),
    # the device itself ---------------------------------------------------------------------------------------
    _p("battery", _D, "%", (0, 100), (0, 100), 0, "Battery level", "Mức pin", "%", "batteryLevel"),
    _p("battery_voltage", _D, "V", (0, 100), (2, 60), 0, "Battery voltage", "Điện áp pin", "V"),
    _p("external_power", _D, "1", (0, 1), (0, 1), 0, "On external power", "Dùng nguồn ngoài", ""),
    _p("rssi", _D, "dB[mW]", (-200, 50), (-140, 0), 0, "Signal strength", "Cường độ tín hiệu", "dBm", "rssi"),
    _p("snr", _D, "dB", (-50, 50), (-30, 30), 0, "Signal-to-noise ratio", "Tỷ số tín hiệu/nhiễu", "dB"),
    _p("link_quality", _D, "1", (0, 255), (0, 255), 0, "Link quality", "Chất lượng liên kết", ""),
    _p("device_temperature", _D, "Cel", (-60, 150), (-10, 90), 20, "Temperature inside the device",
       "Nhiệt độ thiết bị", "°C"),
    _p("uptime", _D, "s", (0, 4e9), (0, 4e9), 0, "Uptime", "Thời gian hoạt động liên tục", "s"),
    _p("online", _D, "1", (0, 1), (0, 1), 0, "Connected", "Đang kết nối", ""),
    _p("tamper", _D, "1", (0, 1), (0, 1), 0, "Tamper contact", "Báo bị tháo mở", ""),
    _p("latitude", _D, "deg", (-90, 90), (20, 22), 0, "Latitude", "Vĩ độ", "°"),
    _p("longitude", _D, "deg", (-180, 180), (105, 108), 0, "Longitude", "Kinh độ", "°"),
)  # fmt: skip

VOCABULARY: dict[str, Property] = {entry.name: entry for entry in _TABLE}
"""Every observed property by name. The order is the table's order, which documents and dashboards keep."""
