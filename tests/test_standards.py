"""The tables of the law: figures spot-checked against print, and what happens to a file that is wrong."""

from datetime import date
from pathlib import Path

import pytest

from devices.index_tables import column_word
from devices.limit_tables import Limit
from devices.standards import StandardsError, load, shipped, table_names
from devices.standards_documents import standards_page
from devices.vocabulary import VOCABULARY

TABLES = shipped()


def air_limit(name: str, day: date) -> tuple[float | None, ...]:
    rows = [row for row in TABLES.air_limits.limits if row.name == name and row.since <= day < row.until]
    assert len(rows) == 1
    return rows[0].hour, rows[0].eight_hours, rows[0].day, rows[0].year


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SO2", (350, None, 125, 50)),
        ("CO", (30000, 10000, None, None)),
        ("NO2", (200, None, 100, 40)),
        ("O3", (200, 120, None, None)),
        ("TSP", (300, None, 200, 100)),
        ("PM10", (None, None, 100, 50)),
        ("PM2.5", (None, None, 45, 25)),
        ("Pb", (None, None, 1.5, None)),
        ("NH3", (200, None, None, None)),
        ("H2S", (42, None, None, None)),
        ("Formaldehyde", (20, None, None, None)),
        ("Benzene", (22, None, None, None)),
        ("CxHy", (5000, None, 1500, None)),
    ],
)
def test_ambient_air_limits_are_those_of_qcvn_05(name: str, expected: tuple[float | None, ...]) -> None:
    """1 h, 8 h, 24 h and year, as printed; particles have no 1-hour limit."""
    assert air_limit(name, date(2026, 6, 1)) == expected


def test_fine_particles_have_a_stricter_day_since_2026() -> None:
    """50 until the last day of 2025, 45 from the first of 2026."""
    assert air_limit("PM2.5", date(2025, 12, 31))[2] == 50
    assert air_limit("PM2.5", date(2026, 1, 1))[2] == 45


def test_every_air_limit_is_of_the_vocabulary_or_of_nothing_measured() -> None:
    """A misspelt property would silently never be judged."""
    for row in TABLES.air_limits.limits:
        assert row.property == "" or VOCABULARY[row.property].unit == "ug/m3"


@pytest.mark.parametrize(
    ("klass", "ph_low", "bod5", "cod", "oxygen", "coliform"),
    [("A", 6.5, 4, 10, 6.0, 1000), ("B", 6.0, 6, 15, 5.0, 5000), ("C", 6.0, 10, 20, 4.0, 7500)],
)
def test_river_classes_are_those_of_qcvn_08(
    klass: str, ph_low: float, bod5: float, cod: float, oxygen: float, coliform: float
) -> None:
    """Table 2 of the regulation."""
    rows = {limit.property: limit for limit in TABLES.surface_water.limits("river", klass)}  # type: ignore[arg-type]
    assert (rows["ph"].low, rows["ph"].high) == (ph_low, 8.5)
    assert (rows["bod5"].high, rows["cod"].high) == (bod5, cod)
    assert (rows["dissolved_oxygen"].low, rows["coliform"].high) == (oxygen, coliform)


def test_cells_that_were_not_read_are_marked() -> None:
    """Exactly these cells of the class tables are unconfirmed."""
    seen = {
        (row.water, row.klass, limit.property)
        for row in TABLES.surface_water.classes
        for limit in row.limits
        if limit.flag == "unconfirmed"
    }
    assert seen == {
        ("river", "A", "dissolved_oxygen"),
        ("river", "B", "tss"),
        ("river", "C", "toc"),
        ("lake", "B", "chlorophyll_a"),
    }


def test_nothing_limits_conductivity_turbidity_or_temperature_of_a_river() -> None:
    """QCVN 08:2023 has no such limit, so none may be invented here."""
    limited = {limit.property for row in TABLES.surface_water.classes for limit in row.limits}
    limited |= {limit.property for limit in TABLES.surface_water.health}
    assert not limited & {"conductivity", "turbidity", "water_temperature"}


def test_health_limits_are_table_1() -> None:
    """Twenty parameters; ammonium, nitrite and chloride as printed."""
    rows = {limit.name: limit.high for limit in TABLES.surface_water.health}
    assert len(rows) == 20
    assert (rows["N-NH4"], rows["N-NO2"], rows["Cl-"]) == (0.3, 0.05, 250)


def test_tap_water_follows_the_regulation_in_force() -> None:
    """Coliform below 3 until mid 2025, below 1 since; chlorine of the newer text is not confirmed."""
    before, since = TABLES.tap_water.on(date(2025, 6, 30)), TABLES.tap_water.on(date(2025, 7, 1))
    assert [r.code for r in (before, since)] == ["QCVN 01-1:2018/BYT", "QCVN 01-1:2024/BYT"]
    old = {limit.property: limit for limit in before.limits}
    new = {limit.property: limit for limit in since.limits}
    assert (old["coliform"].below, new["coliform"].below) == (3, 1)
    assert (new["residual_chlorine"].low, new["residual_chlorine"].high) == (0.2, 1.0)
    assert (old["residual_chlorine"].flag, new["residual_chlorine"].flag) == ("confirmed", "unconfirmed")


@pytest.mark.parametrize(
    ("limit", "value", "expected"),
    [
        (Limit(property="ph", low=6, high=8.5), 6.0, True),
        (Limit(property="ph", low=6, high=8.5), 5.99, False),
        (Limit(property="ph", low=6, high=8.5), 8.51, False),
        (Limit(property="e_coli", below=1), 1.0, False),
        (Limit(property="e_coli", below=1), 0.0, True),
    ],
)
def test_a_limit_includes_its_ends_but_not_below(limit: Limit, value: float, expected: bool) -> None:
    """``low`` and ``high`` are allowed, ``below`` is not."""
    assert limit.allows(value) is expected


def test_price_and_emission_of_a_year() -> None:
    """The newest price not later than the day; years without an official factor use the newest official one."""
    energy = TABLES.energy
    assert energy.price(date(2025, 5, 9)).vnd_per_kwh == 2124
    assert energy.price(date(2025, 5, 10)).vnd_per_kwh == 2226
    assert energy.price(date(2020, 1, 1)).vnd_per_kwh == 2124
    assert energy.emission.factor(2021) == (2021, 0.7221)
    assert energy.emission.factor(2026) == (2023, 0.6592)
    assert energy.tax.source.flag == "unconfirmed"


def test_places_are_the_43_communes_and_21_wards_after_the_merger() -> None:
    """Codes are unique, the four disputed codes are named, thirty old communes lead to known units."""
    places = TABLES.communes
    kinds = [commune.kind for commune in places.communes]
    assert (kinds.count("xã"), kinds.count("phường")) == (43, 21)
    disputed = {commune.code: commune.other_code for commune in places.communes if commune.other_code}
    assert disputed == {"10792": "10777", "10891": "10540", "10507": "10510", "10837": "10672"}
    assert len(places.legacy) == 30
    assert len(places.districts) == 12
    assert sum(district.communes for district in places.districts) == 207
    assert next(old.became for old in places.legacy if old.code == "10816") == ("10816", "10660")
    assert [old.code for old in places.legacy if old.name == "Hồng Phong"] == ["10654", "11224"]
    rural = [commune for commune in places.communes if commune.kind == "xã"]
    assert all(20.68 < (c.latitude or 0) < 21.24 and 106.12 < (c.longitude or 0) < 106.62 for c in rural)
    assert sum(commune.area_km2 or 0 for commune in rural) == pytest.approx(1115.46)


def test_kem_is_worse_than_xau_in_water_and_better_in_air() -> None:
    """The two decisions use the same words in opposite order."""
    air = [level.name.vi for level in TABLES.vn_aqi.levels]
    water = [level.name.vi for level in TABLES.vn_wqi.levels]
    assert air == ["Tốt", "Trung bình", "Kém", "Xấu", "Rất xấu", "Nguy hại"]
    assert water == ["Rất tốt", "Tốt", "Trung bình", "Xấu", "Kém", "Ô nhiễm rất nặng"]


def test_samples_may_name_a_parameter_as_the_decision_does() -> None:
    """Property, symbol and alias lead to the same parameter."""
    words = {word: p.property for p in TABLES.vn_wqi.parameters for word in p.words()}
    for heading, expected in [
        ("N-NH4", "ammonium_nitrogen"),
        ("n_no3", "nitrate_nitrogen"),
        ("E. coli", "e_coli"),
        ("Cr6+", "chromium_vi"),
        ("As", "arsenic"),
        ("BOD5", "bod5"),
    ]:
        assert words[column_word(heading)] == expected


def test_an_own_file_replaces_the_shipped_table_as_a_whole(tmp_path: Path) -> None:
    """The operator corrects a price without touching the program."""
    text = (Path(__file__).parents[1] / "devices/standards/energy.toml").read_text("utf-8")
    (tmp_path / "energy.toml").write_text(text.replace("vnd_per_kwh = 2226", "vnd_per_kwh = 2300"), "utf-8")
    assert load(tmp_path).energy.price(date(2026, 1, 1)).vnd_per_kwh == 2300
    assert load(tmp_path).vn_aqi == TABLES.vn_aqi


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("vn_aqi", "pm10 = [0, 50,", "pm10 = [0, 500,", "columns.pm10: must start at 0, rise"),
        ("vn_aqi", "low = 51\n", "low = 52\n", "moderate must start at 51"),
        ("vn_aqi", 'column = "so2"', 'column = "so3"', "unknown column 'so3'"),
        ("vn_aqi", 'property = "co"', 'property = "carbon"', "'carbon' is not in the vocabulary"),
        ("vn_aqi", "[nowcast]", "[nowcasts]", "nowcast"),
        ("vn_wqi", 'symbol = "Pb"', 'symbol = "Cd"', "cd names two of them"),
        ("vn_wqi", 'group = "V"', 'group = "VI"', "unknown group 'VI'"),
        ("vn_wqi", "[[4, 100], [6, 75]", "[[4, 100], [4, 75]", "concentrations must rise"),
        ("vn_wqi", 'colour = "#3333FF"', 'colour = "blue"', "colour"),
        ("energy", "default_year = 2023", "default_year = 2030", "there is no factor for 2030"),
        ("energy", "share = 0.08", "share = nan", "tax.share"),
        ("communes", 'became = ["11284"]', 'became = ["99999"]', "unknown unit 99999"),
        ("surface_water", "high = 250\n", "", "a limit needs low, high or below"),
    ],
)
def test_a_wrong_table_is_named_by_file_and_key(tmp_path: Path, name: str, old: str, new: str, expected: str) -> None:
    """One line says which file and what is wrong."""
    text = (Path(__file__).parents[1] / f"devices/standards/{name}.toml").read_text("utf-8")
    assert old in text
    (tmp_path / f"{name}.toml").write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(StandardsError) as caught:
        load(tmp_path)
    assert f"{name}.toml" in str(caught.value)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """Missing folder, stray file, not TOML, not UTF-8, far too long."""
    with pytest.raises(StandardsError, match="no such folder"):
        load(tmp_path / "absent")
    stray = tmp_path / "prices.toml"
    stray.write_text("a = 1")
    with pytest.raises(StandardsError, match="no table has this name"):
        load(tmp_path)
    stray.unlink()
    own = tmp_path / "energy.toml"
    for content, expected in [(b"= 1", "not TOML"), (b"\xff", "not UTF-8"), (b"#" * 1_000_001, "1000001 bytes")]:
        own.write_bytes(content)
        with pytest.raises(StandardsError, match=expected):
            load(tmp_path)


def test_the_page_of_the_standards_is_made_from_them() -> None:
    """Run ``python -m devices.standards_documents > docs/standards.md`` after a change."""
    page = (Path(__file__).parents[1] / "docs/standards.md").read_text("utf-8")
    assert page == standards_page()


def test_tables_have_source_and_flag() -> None:
    """Nothing is shipped without saying where it was read."""
    assert {"vn_aqi", "vn_wqi", "air_limits", "surface_water", "tap_water", "energy", "communes"} <= set(table_names())
    assert TABLES.vn_aqi.source.flag == "confirmed"
    assert TABLES.vn_aqi.names.flag == "unconfirmed"
    assert TABLES.vn_wqi.source.flag == "unconfirmed"
    assert TABLES.vn_aqi.source.issued == TABLES.vn_wqi.source.issued == date(2019, 11, 12)
