"""A value is judged again when the next one comes: a spike is flagged where it is stored, and nothing else changes."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.line.line_protocol import read_back
from gateway.line.loop import Line, NoEdge
from gateway.line.pipeline import Limits, Pipeline
from gateway.line.recovery import recover
from gateway.line.snapshot import Saver
from gateway.line.state import State
from gateway.model import Uplink
from gateway.northbound.embedded import Embedded
from tests.line_parts import MINUTE, NOW, STEADY, lines_of, make_pipeline, make_registry, open_journal, profile_of, up

TAGS = "water_quality,commune=10642,device=water-1"
TEN = 10 * MINUTE


def report(minute: float, **values: float) -> Uplink:
    """The station reports so many minutes after the start."""
    return up(values, "water-1", at=NOW + int(minute * MINUTE))


def series(*values: float, every: float = 10, name: str = "ph") -> list[Uplink]:
    """One property, at even steps."""
    return [report(number * every, **{name: value}) for number, value in enumerate(values)]


def corrections(uplinks: Sequence[Uplink], line: Pipeline | None = None) -> list[str]:
    """What is said anew of stored lines: minute and fields."""
    found = []
    for text in lines_of(line or make_pipeline(), *uplinks):
        _, fields, stamp = text.split(" ")
        if "clock=" not in fields:
            found.append(f"{(int(stamp) - NOW) / MINUTE:g}: {fields}")
    return found


def flags(uplinks: Sequence[Uplink], name: str = "ph") -> list[int]:
    """The flags that are stored in the end, in order of time."""
    batch, _ = make_pipeline().process(uplinks)
    stored: dict[int, int] = {}
    for line in read_back(batch.lines):
        if name in line.fields or f"{name}_quality" in line.fields:
            stored[line.at] = int(line.fields.get(f"{name}_quality", line.fields["quality"]))
    return [flag for _, flag in sorted(stored.items())]


def test_a_spike_is_flagged_where_it_is_stored() -> None:
    """The line of the spike gets its flags; the value after it is good."""
    line = make_pipeline()
    assert lines_of(line, *series(7.0, 9.5)) == [
        f"{TAGS} ph=7.0,quality=1,clock=1 {NOW}",
        f"{TAGS} ph=9.5,quality=1,clock=1 {NOW + TEN}",
    ]
    batch, _ = line.process([report(20, ph=7.2)])
    assert batch.lines.decode().splitlines() == [
        f"{TAGS} ph=7.2,quality=1,clock=1 {NOW + 2 * TEN}",
        f"{TAGS} quality=3,ph_quality=3 {NOW + TEN}",
    ]
    assert (batch.line_count, list(batch.again)) == (2, [(2, NOW + TEN)])


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ([7.0, 9.5, 7.2], [1, 3, 1]),
        ([7.0, 5.2, 7.2], [1, 3, 1]),
        ([7.0, 9.5, 9.4], [1, 1, 1]),
        ([7.0, 8.4, 7.0], [1, 1, 1]),
        ([7.0, 8.6, 7.0], [1, 3, 1]),
        ([7.0, 8.6, 7.2], [1, 1, 1]),
        ([7.0, 9.5, 6.0, 7.0], [1, 3, 1, 1]),
        ([7.0, 9.5, 7.0, 9.5, 7.0], [1, 3, 3, 3, 1]),
        ([9.5, 7.0], [1, 1]),
        ([15.0, 9.5, 7.0], [4, 1, 1]),
        ([7.0, 9.5, 15.0], [1, 1, 4]),
        ([7.0, 15.0, 7.0], [1, 4, 1]),
        ([7.0, 4.5, 7.0], [1, 3, 1]),
    ],
    ids=str,
)
def test_only_what_leaves_both_neighbours_to_one_side_is_a_spike(values: list[float], seen: list[int]) -> None:
    """By more than is plausible in three minutes; a step is none, and a failed value is no neighbour."""
    assert flags(series(*values)) == seen


@pytest.mark.parametrize(("every", "seen"), [(60, [1, 3, 1]), (61, [1, 1, 1])])
def test_neighbours_too_far_apart_say_nothing(every: int, seen: list[int]) -> None:
    """Two hours from the one to the other at most."""
    assert flags(series(7.0, 9.5, 7.0, every=every)) == seen


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ([7.0, 9.0, 7.1], [1, 3, 1]),
        ([7.0, 9.0, 9.1], [1, 3, 1]),
        ([7.0, 9.0, 5.2], [1, 3, 3]),
        ([7.0, 8.0, 7.1], [1, 3, 1]),
    ],
)
def test_what_comes_back_from_a_jump_is_good(values: list[float], seen: list[int]) -> None:
    """The jump itself was flagged as it came; back where it began is no jump."""
    assert flags(series(*values, every=1)) == seen


def test_the_other_properties_of_the_line_stay_good() -> None:
    """A good line has no flags of single properties: it gets those of all of them, and of no other measurement."""
    first, spike, after = (
        report(minute, ph=ph, water_temperature=25.0, battery=90.0) for minute, ph in ((0, 7.0), (10, 9.5), (20, 7.0))
    )
    assert corrections([first, spike, after]) == ["10: quality=3,ph_quality=3,water_temperature_quality=1"]


def test_a_line_that_was_not_good_keeps_its_flags() -> None:
    """They are in the store already; the worst of the line stays the worst."""
    first, spike, after = (
        report(minute, ph=ph, dissolved_oxygen=oxygen)
        for minute, ph, oxygen in ((0, 7.0, 6.0), (10, 9.5, 60.0), (20, 7.0, 6.0))
    )
    assert corrections([first, spike, after]) == ["10: quality=4,ph_quality=3"]


def test_two_spikes_of_one_line_are_one_correction() -> None:
    """And of two lines two."""
    together = [report(m, ph=ph, water_temperature=t) for m, ph, t in ((0, 7, 25), (10, 9.5, 30), (20, 7, 25))]
    assert corrections(together) == ["10: quality=3,water_temperature_quality=3,ph_quality=3"] or corrections(
        together
    ) == ["10: quality=3,ph_quality=3,water_temperature_quality=3"]
    apart = [
        report(0, ph=7.0, water_temperature=25.0), report(9, water_temperature=30.0), report(10, ph=9.5),
        report(20, ph=7.0, water_temperature=25.0),
    ]  # fmt: skip
    assert corrections(apart) == [
        "9: quality=3,water_temperature_quality=3,ph_quality=1",
        "10: quality=3,ph_quality=3,water_temperature_quality=1",
    ]


def test_what_was_said_since_may_have_been_on_the_line() -> None:
    """Its flag is written too: beside no value it does no harm. What was not said since cannot have been on it."""
    uplinks = [
        report(0, ph=7.0, water_temperature=25.0), report(5, dissolved_oxygen=6.0),
        report(10, ph=9.5, water_temperature=25.0), report(15, water_temperature=25.1), report(20, ph=7.0),
    ]  # fmt: skip
    assert corrections(uplinks) == ["10: quality=3,ph_quality=3,water_temperature_quality=1"]


def test_a_late_value_judges_nothing_again() -> None:
    """Only what comes after tells."""
    line = make_pipeline()
    assert corrections([*series(7.0, 9.5), report(5, ph=7.0)], line) == []
    assert corrections([report(20, ph=7.0)], line) == ["10: quality=3,ph_quality=3"]


def test_a_value_that_was_not_stored_is_not_judged_again() -> None:
    """A retained one is kept as the latest only: there is no line to write over."""
    spike = report(10, ph=9.5)._replace(retained=True)
    assert corrections([report(0, ph=7.0), spike, report(20, ph=7.0)]) == []


def test_where_no_rate_is_judged_there_are_no_spikes() -> None:
    """Power jumps when a lamp is switched."""
    assert corrections(series(10.0, 60.0, 10.0, name="power")) == []


def test_the_store_shows_the_flag_beside_the_value(tmp_path: Path) -> None:
    """The correction joins the point that is there; none is added."""
    batch, _ = make_pipeline().process(
        [report(m, ph=v, water_temperature=25.0) for m, v in ((0, 7.0), (10, 9.5), (20, 7))]
    )
    with closing(Embedded(name="commune", path=tmp_path / "store.db")) as store:
        store.write(batch.lines)
        with store.reading() as reader:
            rows = reader.execute(
                "SELECT ph, water_temperature, quality, ph_quality, water_temperature_quality FROM point_water_quality"
            ).fetchall()
    assert rows == [(7.0, 25.0, 1, None, None), (9.5, 25.0, 3, 3, 1), (7.0, 25.0, 1, None, None)]


@pytest.mark.parametrize("snapshot", [True, False])
def test_a_restart_between_spike_and_next_value_changes_nothing(tmp_path: Path, snapshot: bool) -> None:
    """Whether the state was saved or is mended from the journal."""
    journal = open_journal(tmp_path)
    registry = make_registry()
    before = Pipeline(registry, State(registry), journal.senders, Limits())
    batch, _ = before.process(series(7.0, 9.5))
    row = journal.append(batch)
    path = tmp_path / "state.bin"
    if snapshot:
        Saver(path).save(before.state.snapshot(row), wait=True)
    again = Pipeline(registry, State(registry), journal.senders, Limits())
    recover(again, journal, path)
    journal.close()
    assert corrections([report(20, ph=7.0)], again) == ["10: quality=3,ph_quality=3"]


PROBE = """domain = "water_quality"
codec = "native"
interval_seconds = 60
properties = [
    { name = "ph", unit = "[pH]" }, { name = "tss", unit = "mg/L", rate = 5 }, { name = "cod", unit = "mg/L" },
]
"""


def test_who_sums_up_hears_what_was_judged_again(tmp_path: Path) -> None:
    """Once it is on disk: device and time of the line."""
    journal, registry = open_journal(tmp_path), make_registry()
    line = Line(
        NoEdge(), Pipeline(registry, State(registry), journal.senders, Limits()), journal, Saver(tmp_path / "state.bin")
    )
    heard: list[tuple[int, int]] = []
    line.on_again = heard.extend
    line.take(series(7.0, 9.5))
    assert heard == []
    line.take([report(20, ph=7.0)])
    assert heard == [(registry.index["water-1"], NOW + TEN)]
    journal.close()


NAMES = st.sampled_from(["ph", "tss", "cod"])


@STEADY
@given(
    st.lists(
        st.tuples(
            st.integers(0, 90),
            st.dictionaries(NAMES, st.sampled_from([5.0, 7.0, 9.0, 11.0, 20.0, 60.0]), min_size=1),
        ),
        min_size=1, max_size=12,
    )
)  # fmt: skip
def test_every_correction_fits_the_line_it_is_for(said: list[tuple[int, dict[str, float]]]) -> None:
    """Whatever comes in whatever order: the line is there, holds the value, and afterwards its worst flag is right."""
    registry = make_registry([{"device": "water-1", "profile": "test", "commune": "10642"}], [profile_of(PROBE)])
    batch, _ = make_pipeline(registry).process([report(minute, **values) for minute, values in said])
    points: dict[int, dict[str, float]] = {}
    for line in read_back(batch.lines):
        if "clock" in line.fields:
            points[line.at] = {**points.get(line.at, {}), **line.fields}
            continue
        point = points[line.at]
        spikes = [name for name in ("ph", "tss", "cod") if line.fields.get(f"{name}_quality") == 3]
        assert all(point.get(f"{name}_quality", 1) == 1 and name in point for name in spikes)
        point.update(line.fields)
        judged = [point.get(f"{name}_quality") for name in ("ph", "tss", "cod") if name in point]
        assert None not in judged
        assert max(flag for flag in judged if flag is not None) == point["quality"]
