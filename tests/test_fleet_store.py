"""The fleet database: what CSV says comes back from it unchanged, and a bad change changes nothing."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.fleet_csv import FleetError, load_fleet, read_rows, write_rows
from devices.fleet_import import Imported, import_rows
from devices.fleet_row import (
    ALWAYS,
    Calibration,
    FleetRow,
    HardwareId,
    cells,
    describe,
    of_generations,
    parse_hardware_ids,
    parse_since,
    replace_hardware,
    write_hardware_ids,
    write_since,
)
from devices.fleet_store import FleetStore, open_fleet
from devices.profile import Profile, parse_profile
from devices.registry import Registry
from devices.topics import VENDOR_SOURCES

_PROFILE = """
id = "%s"
maker = "m"
model = "m"
domain = "streetlight"
codec = "native"
interval_seconds = %d
powered = "%s"
evidence = { kind = "constructed", document = "this test" }
properties = [%s]
"""
LAMP = parse_profile(_PROFILE % ("lamp", 300, "with_circuit", '{ name = "power", unit = "W" }'), "lamp.toml")
METER = parse_profile(
    _PROFILE % ("meter", 60, "always", '{ name = "energy", unit = "kW.h" }, { name = "voltage", unit = "V" }'),
    "meter.toml",
)
PROFILES: dict[str, Profile] = {"lamp": LAMP, "meter": METER}
MARCH = parse_since("2026-03-01")
APRIL = parse_since("2026-04-01T06:30:15")
HEAD = "device,profile,commune,group,hardware_ids,calibration\n"
FLEET = HEAD + (
    "lamp-1,lamp,10642,tu-1,A1,\n"
    "lamp-2,lamp,10642,tu-1,A2; SN-2; B2@2026-03-01; none@2026-04-01,power 1.02 -0.05 @2026-03-01\n"
    "tu-1,meter,10642,,,\n"
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FleetStore]:
    """An empty fleet, opened to write."""
    with FleetStore(tmp_path / "fleet.db", create=True) as opened:
        yield opened


def take(store: FleetStore, text: str, *, prune: bool = False, apply: bool = True) -> Imported:
    """Import this CSV."""
    path = store.path.with_name("import.csv")
    path.write_text(text, "utf-8")
    return import_rows(store, path, PROFILES, 7, prune=prune, apply=apply)


def refusal(store: FleetStore, text: str) -> list[str]:
    """What is said of a CSV that cannot be imported."""
    before = list(store.rows())
    with pytest.raises(FleetError) as caught:
        take(store, text)
    assert list(store.rows()) == before
    return [line.split("import.csv: ", 1)[1] for line in caught.value.lines]


# cells with dates --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("", ()),
        ("A1", (HardwareId("A1"),)),
        ("A1; SN", (HardwareId("A1"), HardwareId("SN"))),
        ("A1; B1@2026-03-01", (HardwareId("A1", 0, MARCH), HardwareId("B1", MARCH))),
        ("B1@2026-03-01", (HardwareId("B1", MARCH),)),
        ("A1; none@2026-03-01", (HardwareId("A1", 0, MARCH),)),
        ("A1; none@2026-03-01; C1@2026-04-01T06:30:15",
         (HardwareId("A1", 0, MARCH), HardwareId("C1", APRIL))),
        ("A1; SN; B1@2026-03-01; SN@2026-03-01",
         (HardwareId("A1", 0, MARCH), HardwareId("SN", 0, MARCH), HardwareId("B1", MARCH), HardwareId("SN", MARCH))),
    ],
)  # fmt: skip
def test_hardware_ids_are_read_with_their_time_and_written_back(text: str, seen: tuple[HardwareId, ...]) -> None:
    """A generation ends where the next begins; ``none`` ends one without a successor."""
    assert parse_hardware_ids(text) == seen
    assert write_hardware_ids(seen) == text


@pytest.mark.parametrize(("text", "said"), [("none", "needs the day"), ("A1@tomorrow", "tomorrow")])
def test_hardware_ids_without_a_day_are_refused(text: str, said: str) -> None:
    """By what is wrong."""
    with pytest.raises(ValueError, match=said):
        parse_hardware_ids(text)


@given(st.integers(0, 4_000_000_000_000_000).map(lambda microseconds: microseconds * 1000))
def test_every_moment_is_read_back_as_it_was_written(at: int) -> None:
    """Days as days, others to the microsecond."""
    assert parse_since(write_since(at)) == at


def test_new_hardware_keeps_what_the_old_one_said() -> None:
    """The other ids of the device go on; the same moment again corrects it; an earlier one is refused."""
    first = parse_hardware_ids("A1; SN")
    second = replace_hardware(first, ["a1"], ["B1"], MARCH)
    assert write_hardware_ids(second) == "A1; SN; SN@2026-03-01; B1@2026-03-01"
    assert write_hardware_ids(replace_hardware(second, ["B1"], ["C1"], MARCH)).endswith("SN@2026-03-01; C1@2026-03-01")
    with pytest.raises(ValueError, match="changed on 2026-03-01 already"):
        replace_hardware(second, ["B1"], ["C1"], MARCH - 1)


# rows there and back -----------------------------------------------------------------------------------------

_words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20).map(
    lambda text: text.strip().lstrip("=+-@ ").strip()
)
_ids = st.text("ABCDEF0123456789-/", min_size=1, max_size=12)
_moments = st.integers(1, 10**9).map(lambda seconds: seconds * 10**9)
_generations = st.tuples(st.lists(_ids, max_size=2), st.dictionaries(_moments, st.lists(_ids, max_size=2), max_size=3))
_calibration = st.builds(
    Calibration,
    st.just("power"),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False),
    st.just(0) | _moments,
)
_degrees = st.none() | st.floats(-90, 90)
rows = st.builds(
    FleetRow,
    device=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", fullmatch=True),
    profile=st.just("lamp"),
    commune=st.from_regex(r"[0-9]{5}", fullmatch=True),
    legacy_commune=_words,
    zone=_words,
    group=_words,
    name=_words,
    latitude=_degrees,
    longitude=_degrees,
    hardware_ids=_generations.map(lambda both: of_generations([(0, both[0]), *sorted(both[1].items())])),
    interval_seconds=st.none() | st.integers(1, 604800),
    powered=st.sampled_from([None, "always", "with_circuit"]),
    timezone=st.sampled_from(["Asia/Ho_Chi_Minh", "UTC"]),
    simulated=st.booleans(),
    calibration=st.lists(_calibration, max_size=3).map(lambda c: tuple(sorted(c, key=lambda e: (e.property, e.since)))),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, max_size=4, unique_by=lambda row: row.device), st.booleans())
def test_what_is_exported_imports_back_identically(
    tmp_path_factory: pytest.TempPathFactory, fleet: list[FleetRow], excel: bool
) -> None:
    """Every cell, with names of any letters and ids of several lives; in both forms of CSV, and in the database."""
    path = tmp_path_factory.mktemp("fleet") / "fleet.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        assert write_rows(file, fleet, excel=excel) == len(fleet)
    problems: list[object] = []
    assert [row for _, row in read_rows(path, problems)] == fleet  # type: ignore[arg-type]
    assert problems == []
    with FleetStore(path.with_suffix(".db"), create=True) as store:
        with store.changing():
            for row in fleet:
                store.put(row, 1)
        assert list(store.rows()) == fleet
        assert [store.find(row.device) for row in fleet] == fleet


def test_excel_gets_what_it_opens_by_a_double_click(tmp_path: Path) -> None:
    """Byte order mark, semicolons, decimal commas."""
    path = tmp_path / "fleet.csv"
    row = FleetRow(device="d", profile="lamp", commune="1", name="Đèn 1", latitude=20.5, hardware_ids="A; B")  # type: ignore[arg-type]
    with path.open("w", encoding="utf-8", newline="") as file:
        write_rows(file, [row], excel=True)
    heading, line = path.read_bytes().decode("utf-8").split("\r\n")[:2]
    assert heading.startswith("\ufeffdevice;profile;")
    assert line == 'd;lamp;1;;;;Đèn 1;20,5;;"A; B";;;;;'


def test_a_change_is_told_by_column() -> None:
    """From what to what."""
    before = FleetRow(device="d", profile="lamp", commune="1", zone="village")
    after = before.model_copy(update={"zone": "", "hardware_ids": parse_hardware_ids("A1")})
    assert describe(before, after) == "zone: village -> empty, hardware_ids: empty -> A1"
    assert cells(after)["hardware_ids"] == "A1"


# the registry ------------------------------------------------------------------------------------------------


def columns_of(registry: Registry) -> list[object]:
    """Everything a registry knows, to compare two."""
    packed = ("profile_of", "commune_of", "zone_of", "group_of", "interval", "flags", "first_series")
    return [
        registry.names, registry.index, registry.labels, registry.calibrations, registry.series_count,
        [list(getattr(registry, name)) for name in packed],
        [registry.communes.texts, registry.zones.texts, registry.groups.texts],
        [registry.device(number) for number in range(len(registry))],
        [registry.by_hardware(value, at) for value in ("a1", "A2", "sn-2", "b2") for at in (1, MARCH, APRIL)],
    ]  # fmt: skip


def test_the_database_and_the_csv_make_the_same_registry(store: FleetStore) -> None:
    """Loading in columns skips no rule of adding one by one."""
    text = FLEET + "lamp-3,lamp,10643,tu-1,B2@2026-04-01,\n"
    take(store, text)
    sources = (VENDOR_SOURCES["tasmota"],)
    seen = open_fleet(store.path, PROFILES.values(), sources)
    expected = load_fleet(store.path.with_name("import.csv"), PROFILES.values(), sources)
    assert columns_of(seen) == columns_of(expected)
    assert seen.find("tele/b2/SENSOR", MARCH).device == 1
    assert seen.find("tele/b2/SENSOR", APRIL).device == 3
    assert [hardware.value for hardware in seen.hardware_ids(1)] == ["A2", "SN-2", "B2"]
    assert seen.hardware_ids(0) == (HardwareId("A1", 0, ALWAYS),)


def test_a_device_of_an_unknown_profile_keeps_the_fleet_from_loading(store: FleetStore) -> None:
    """By name, with what to do."""
    take(store, FLEET)
    with pytest.raises(FleetError, match=r"fleet\.db: profile: no profile 'lamp'; see `village devices supported`"):
        open_fleet(store.path, [METER])


def test_a_hardware_id_of_two_devices_keeps_the_fleet_from_loading(store: FleetStore) -> None:
    """Also when somebody wrote it into the file by other means."""
    take(store, FLEET)
    with sqlite3.connect(store.path) as other:
        other.execute("UPDATE hardware_id SET value = 'a1', key = 'a1' WHERE value = 'A2'")
    other.close()
    with pytest.raises(FleetError, match="hardware_ids: 'a1' already speaks for 'lamp-1'"):
        open_fleet(store.path, PROFILES.values())


# import ------------------------------------------------------------------------------------------------------


def test_an_import_says_what_changes_before_it_changes_it(store: FleetStore) -> None:
    """Added, changed, as they were; and nothing is changed without ``apply``."""
    take(store, FLEET)
    text = FLEET.replace("lamp-1,lamp,10642,tu-1", "lamp-1,lamp,10642,tu-2") + "lamp-3,lamp,10642,tu-2,,\n"
    before = list(store.rows())
    tried = take(store, text, apply=False)
    assert (tried.added, tried.changed, tried.removed, tried.same) == (1, 1, 0, 2)
    assert [(c.what, c.device, c.detail) for c in tried.changes] == [
        ("changed", "lamp-1", "group: tu-1 -> tu-2"),
        ("added", "lamp-3", ""),
    ]
    assert list(store.rows()) == before
    assert take(store, text) == tried
    assert [row.device for row in store.rows()] == ["lamp-1", "lamp-2", "tu-1", "lamp-3"]
    again = take(store, text)
    assert (again.added, again.changed, again.same) == (0, 0, 4)


def test_only_prune_removes_what_the_file_does_not_name(store: FleetStore) -> None:
    """And the history outlives the device."""
    take(store, FLEET)
    shorter = HEAD + "lamp-2,lamp,10642,tu-1,,\n"
    assert take(store, shorter, apply=False).removed == 0
    assert len(store) == 3
    pruned = take(store, shorter, prune=True)
    assert (pruned.removed, len(store)) == (2, 1)
    assert [c.device for c in pruned.changes if c.what == "removed"] == ["lamp-1", "tu-1"]
    assert [c.what for c in store.history("lamp-1")] == ["removed", "added"]


def test_hardware_may_change_places_in_one_import(store: FleetStore) -> None:
    """Only how the fleet is afterwards counts."""
    take(store, HEAD + "lamp-1,lamp,1,,A1,\nlamp-2,lamp,1,,A2,\n")
    swapped = take(store, HEAD + "lamp-1,lamp,1,,A2,\nlamp-2,lamp,1,,A1,\n")
    assert swapped.changed == 2
    assert open_fleet(store.path, PROFILES.values()).by_hardware("A1", 1) == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "lamp 9,lamp,1,,,",
            (
                "line 3: device: 'lamp 9' cannot be a name here: "
                "1 to 64 of A-Z a-z 0-9 _ . : -, the first a letter or digit"
            ),
        ),
        ("lamp-8,lamp,1,,,", "line 3: device: 'lamp-8' is on line 2 already"),
        ("lamp-9,pole,1,,,", "line 3: profile: no profile 'pole'; see `village devices supported`"),
        ("lamp-9,lamp,1,,,ph 1 0", "line 3: calibration: profile lamp has no property 'ph'"),
        (
            "lamp-9,lamp,1,,,power nan 0",
            "line 3: calibration: 'power nan 0': write 'property slope offset @yyyy-mm-dd'",
        ),
        ("lamp-9,lamp,1,,a2,", "line 3: hardware_ids: 'a2' already speaks for 'lamp-2'"),
        ("lamp-9,lamp,1,,a8,", "line 3: hardware_ids: 'a8' already speaks for 'lamp-8'"),
        ("lamp-9,lamp,1,,,,", "line 3: has 7 cells, the heading has 6; check commas and quotes"),
    ],
)
def test_a_bad_row_is_named_and_changes_nothing(store: FleetStore, line: str, said: str) -> None:
    """By line and column; the good rows before it are not taken either."""
    take(store, FLEET)
    assert refusal(store, f"{HEAD}lamp-8,lamp,1,,A8,\n{line}\n") == [said]


def test_a_clash_is_told_at_the_line_that_makes_it(store: FleetStore) -> None:
    """Also where the changed device stands before the other one in the fleet."""
    take(store, FLEET)
    assert refusal(store, HEAD + "lamp-1,lamp,10642,tu-1,A2,\n") == [
        "line 2: hardware_ids: 'A2' already speaks for 'lamp-2'"
    ]


def test_many_bad_rows_are_named_up_to_a_limit(store: FleetStore) -> None:
    """Rather than 200,000 lines."""
    said = refusal(store, HEAD + "lamp-9,pole,1,,,\n" + "lamp-9,lamp,1,,,\n" * 100)
    assert len(said) == 51
    assert said[-1] == "stopped after 50 problems; mend these first"


# the file ----------------------------------------------------------------------------------------------------


def test_a_missing_fleet_says_how_to_make_one(tmp_path: Path) -> None:
    """In one line."""
    with pytest.raises(FleetError, match=r"fleet.db: no such file; make it with `village devices import FLEET.csv`"):
        open_fleet(tmp_path / "fleet.db", [LAMP])


def test_a_fleet_that_got_no_device_leaves_no_file(tmp_path: Path) -> None:
    """A try is not to leave an empty fleet that a gateway would start with."""
    path = tmp_path / "fleet.db"
    with FleetStore(path, create=True) as store:
        take(store, FLEET, apply=False)
    assert not path.exists()


def test_a_file_that_is_no_fleet_is_refused(tmp_path: Path) -> None:
    """Text, another program's database, a newer version's fleet, a folder that is not there."""
    text, other, newer = tmp_path / "text.db", tmp_path / "other.db", tmp_path / "newer.db"
    text.write_text("device,profile,commune\n" * 100)
    for path, statement in ((other, "CREATE TABLE t (x)"), (newer, "PRAGMA user_version = 9")):
        if path is newer:
            with FleetStore(path, create=True) as store:
                take(store, FLEET)
        with sqlite3.connect(path) as database:
            database.execute(statement)
        database.close()
    for path, said in (
        (text, "cannot be opened as a fleet: file is not a database"),
        (other, "is a database, but not a fleet; set gateway.fleet to another file"),
        (newer, "made by a newer version (schema 9); install that version"),
    ):
        with pytest.raises(FleetError) as caught:
            open_fleet(path, [LAMP])
        assert str(caught.value) == f"{path}: {said}"
    with pytest.raises(FleetError, match="cannot be opened as a fleet: unable to open database file"):
        FleetStore(tmp_path / "none" / "fleet.db", create=True)


def test_a_reader_sees_the_fleet_as_it_was_while_it_is_being_changed(store: FleetStore) -> None:
    """The gateway may start, or read the fleet anew, in the middle of an import."""
    take(store, FLEET)
    with store.changing():
        for number in range(3000):
            store.put(FleetRow(device=f"d{number}", profile="lamp", commune="1"), 1)
        assert len(open_fleet(store.path, PROFILES.values())) == 3
    assert len(open_fleet(store.path, PROFILES.values())) == 3003


def test_a_fleet_that_another_command_is_changing_says_so(store: FleetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, in one line."""
    take(store, FLEET)
    monkeypatch.setattr("devices.fleet_store.BUSY_SECONDS", 0.01)
    with store.changing(), FleetStore(store.path, create=True) as other, pytest.raises(FleetError) as caught:
        take(other, FLEET)
    assert str(caught.value) == f"{store.path}: cannot be written: database is locked; nothing was changed"
