"""The fleet file: what Excel writes is read, and every bad row is named by line and column."""

from collections.abc import Callable
from pathlib import Path

import pytest

from devices.fleet_csv import COLUMNS, MAX_PROBLEMS, REQUIRED, FleetError, load_fleet
from devices.profile import Profile, parse_profile
from devices.registry import Registry

LAMP: Profile = parse_profile(
    """
id = "lamp"
maker = "m"
model = "m"
domain = "streetlight"
codec = "native"
interval_seconds = 300
evidence = { kind = "constructed", document = "this test" }
properties = [{ name = "power", unit = "W" }]
""",
    "lamp.toml",
)
HEAD = "device,profile,commune,group,name,latitude,longitude\n"
GOOD = HEAD + "lamp-1,lamp,10642,tu-1,Đèn 1 ngõ Đình,20.94,106.33\nlamp-2,lamp,10642,tu-1,,,\n"

Read = Callable[[bytes], Registry]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads these bytes as a fleet file."""

    def load(data: bytes) -> Registry:
        path = tmp_path / "fleet.csv"
        path.write_bytes(data)
        return load_fleet(path, [LAMP])

    return load


def problems(read: Read, data: bytes | str) -> list[str]:
    """What is said of a bad file, without its name."""
    with pytest.raises(FleetError) as caught:
        read(data if isinstance(data, bytes) else data.encode())
    return [line.split("fleet.csv: ", 1)[1] for line in caught.value.lines]


@pytest.mark.parametrize(
    "data",
    [
        GOOD.encode(),
        GOOD.encode("utf-8-sig"),
        GOOD.replace("\n", "\r\n").encode(),
        GOOD.replace(",", ";").encode("utf-8-sig"),
        GOOD.replace(",", ";").replace("20.94", "20,94").replace("106.33", "106,33").encode(),
        ("\n \n" + GOOD + ",,,,,,\n\n").encode(),
        GOOD.replace("Đèn 1 ngõ Đình", '"Đèn 1 ngõ Đình"').upper().replace("LAMP", "lamp").replace("TU", "tu")
        .replace("ĐÈN 1 NGÕ ĐÌNH", "Đèn 1 ngõ Đình").encode(),
    ],
    ids=["plain", "byte order mark", "crlf", "semicolons", "decimal commas", "blank rows", "quotes and capitals"],
)  # fmt: skip
def test_every_way_a_spreadsheet_writes_the_same_fleet_is_read(read: Read, data: bytes) -> None:
    """The same two devices come out."""
    registry = read(data)
    first, second = registry.device(0), registry.device(1)
    assert registry.names == ["lamp-1", "lamp-2"]
    assert (first.label, first.commune, first.group) == ("Đèn 1 ngõ Đình", "10642", "tu-1")
    assert (first.latitude, first.longitude) == (20.94, 106.33)
    assert (second.label, second.latitude, second.interval_seconds) == ("lamp-2", None, 300)


def test_every_column_of_the_fleet_can_be_given(read: Read) -> None:
    """One row with all of them."""
    place = "cab-1,lamp,10642,10700,village,tu-1,Tủ 1,20.9,106.3"
    row = f"{place},A84041; B0@2026-03-01,60,always,UTC,true,power 1.02 -0.05"
    device = read(f"{','.join(COLUMNS)}\n{row}\n".encode()).device(0)
    assert device.legacy_commune == "10700"
    assert [hardware.value for hardware in device.hardware_ids] == ["A84041", "B0"]
    assert (device.interval_seconds, device.powered, device.simulated) == (60, "always", True)
    assert [(c.property, c.slope, c.offset) for c in device.calibration] == [("power", 1.02, -0.05)]


def test_every_bad_row_is_named_by_line_and_column(read: Read) -> None:
    """All of them at once, in the order of the file; a row of several lines is named by its first."""
    text = HEAD + (
        '"lamp-1",lamp,10642,,"two\nlines",20,106\n'
        "lamp/2,lamp,10642,,,,\n"
        "lamp-3,lamp,10642,,,north,\n"
        "lamp-4,lamp,10642,,,120,\n"
        "lamp-5,pole,10642,,,,\n"
        "lamp-1,lamp,10642,,,,\n"
        "lamp-6,lamp\n"
        "lamp-7,lamp,,,,,\n"
    )
    assert problems(read, text) == [
        "line 4: device: 'lamp/2' cannot be a name here: 1 to 64 of A-Z a-z 0-9 _ . : -, the first a letter or digit",
        "line 5: latitude: must be a valid number, unable to parse string as a number, not 'north'",
        "line 6: latitude: must be less than or equal to 90, not '120'",
        "line 7: profile: no profile 'pole'; see `village devices supported`",
        "line 8: device: 'lamp-1' is already in the fleet",
        "line 9: has 2 cells, the heading has 7; check commas and quotes",
        "line 10: commune: is empty: 1 to 64 of A-Z a-z 0-9 _ . : -, the first a letter or digit",
    ]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ("timezone,Asia/Hanoi", "timezone: 'Asia/Hanoi' is not a time zone; write for example Asia/Ho_Chi_Minh"),
        ("calibration,power 1", "calibration: 'power 1': write 'property slope offset @yyyy-mm-dd'"),
        ("calibration,ph 1 0", "calibration: profile lamp has no property 'ph'"),
        ("powered,sometimes", "powered: must be 'always' or 'with_circuit', not 'sometimes'"),
        ("commune,", "commune: is empty: 1 to 64 of A-Z a-z 0-9 _ . : -, the first a letter or digit"),
        ("profile,lamps", "profile: no profile 'lamps'; see `village devices supported`"),
        ("profile,nas_ul203", "profile: no profile 'nas_ul203'; did you mean nas_ul2030 or nas_ul2020 or nas_ul2002?"),
        ("name,=1+1", "name: '=1+1' would be a formula in a spreadsheet; begin with a letter or digit"),
        ("name,a\x07b", "name: control characters cannot be in it, not 'a\\x07b'"),
        (
            "hardware_ids,7.03E+15",
            (
                "hardware_ids: '7.03E+15' is what a spreadsheet makes of a long number; format the "
                "column as text and write the id again"
            ),
        ),
        ("hardware_ids,taken", "hardware_ids: 'taken' already speaks for 'lamp-0'"),
        (
            "hardware_ids,a1@yesterday",
            (
                "hardware_ids: 'yesterday' is no day or time; write for example 2026-03-01 or 2026-03-01T08:30, "
                "not 'a1@yesterday'"
            ),
        ),
    ],
)
def test_a_cell_that_cannot_be_used_is_named(read: Read, cells: str, said: str) -> None:
    """Columns with a form of their own."""
    column, _, value = cells.partition(",")
    first = {"device": "lamp-0", "profile": "lamp", "commune": "1", column: "TAKEN" if column == "hardware_ids" else ""}
    second = first | {"device": "lamp-1", column: value}
    if column in REQUIRED:
        first[column] = {"profile": "lamp", "commune": "1"}[column]
    text = "\n".join(",".join(row) for row in (first.keys(), first.values(), second.values()))
    assert problems(read, text) == [f"line 3: {said}"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", f"is empty; the first row names the columns: {', '.join(COLUMNS)}"),
        (b"PK\x03\x04\x14\x00", 'an Excel workbook; save it there as "CSV UTF-8" and import that'),
        (b"device,profil,commune\n", "line 1: profil: no such column; did you mean 'profile'?"),
        (b"device,profile,commune,device\n", "line 1: device: the column stands twice"),
        (GOOD.encode("utf-16"), 'line 1: not UTF-8; save the file as "CSV UTF-8"'),
        (GOOD.encode().replace("Đ".encode(), b"\xd0\x20"), 'line 2: not UTF-8; save the file as "CSV UTF-8"'),
        ((HEAD + 'lamp-1,lamp,1,,"never closed,,\nlamp-2,lamp,1,,,,\n').encode(),
         "line 2: not readable as CSV from here on: unexpected end of data"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_fleet_is_refused_with_what_to_do(read: Read, data: bytes, said: str) -> None:
    """The first line says it."""
    assert problems(read, data)[0] == said


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With the setting that names it."""
    with pytest.raises(FleetError, match=r"none\.csv: no such file; set gateway\.fleet in the settings"):
        load_fleet(tmp_path / "none.csv", [LAMP])


def test_a_hopeless_file_stops_after_fifty_problems(read: Read) -> None:
    """Rather than printing a line for each of 200,000 devices."""
    found = problems(read, HEAD + "lamp 1,lamp,1,,,,\n" * 1000)
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1] == "reading stopped after 50 problems; mend these first"
