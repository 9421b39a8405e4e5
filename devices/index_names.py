"""How indices are named in the store: measurement ``index``, tags ``commune``, ``device``, one line an hour or a day.

Fields of an hour (time: its start): ``vn_aqi``, ``vn_aqi_<pollutant>``, ``vn_aqi_level`` (0 good to 5 hazardous),
``vn_aqi_pollutant`` (number of the deciding one in ``POLLUTANTS``), ``vn_aqi_indicative`` (1: a low-cost sensor);
``vn_wqi`` where it is official, else ``vn_wqi_partial`` ("partial value, not VN_WQI"), ``vn_wqi_<parameter>`` for its
sub-indices. Fields of a day (time: its start in Viet Nam): the same names with ``_day`` at the end.
"""

POLLUTANTS = ("pm2_5", "pm10", "o3", "no2", "so2", "co")
"""In the order of the numbers in ``vn_aqi_pollutant``."""
VN_AQI, VN_WQI = "vn_aqi", "vn_wqi"
LEVEL, POLLUTANT, INDICATIVE, PARTIAL = "_level", "_pollutant", "_indicative", "_partial"
DAY = "_day"
