"""A wrong scale is mended: what was taken in before is decoded again; every point comes right, none is there twice."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devices.fleet_row import parse_since
from devices.profile import Profile
from devices.registry import Registry
from devices.topics import VENDOR_SOURCES
from devices.vocabulary import Measurement
from gateway.line import redecode
from gateway.line.line_protocol import read_back, with_all_flags
from gateway.line.loop import Line, NoEdge
from gateway.line.pipeline import Limits, Pipeline
from gateway.line.records import Records
from gateway.line.redecode import Progress, Redecoder, UnknownJobError, Wanted
from gateway.line.snapshot import Saver
from gateway.line.state import State
from gateway.model import Store, StoreUnavailableError, Uplink, Window
from gateway.northbound.delivery import Delivery
from gateway.northbound.embedded import Embedded
from tests.gateway_process import await_that
from tests.line_parts import MINUTE, NOW, SECOND, make_registry, open_journal, profile_of
from tests.store_parts import influxdb1

DAY = 24 * 60 * MINUTE
START = NOW - DAY
REPLACED = parse_since("2026-08-01")
SOURCES = (VENDOR_SOURCES["fiware_json"],)
FIELDS = ("power", "voltage", "quality", "clock", "power_quality", "voltage_quality")


def meter(scale: float) -> Profile:
    """A meter whose power needs this scale."""
    return profile_of(f"""
domain = "streetlight"
codec = "json_fields"
interval_seconds = 300
time = {{ path = "t", format = "epoch_s" }}
sequence = "n"
properties = [
    {{ name = "power", unit = "W", path = "P", scale = {scale}, rate = 10 }},
    {{ name = "voltage", unit = "V", path = "U", flat_after = 4 }},
]
""")


def fleet(scale: float, calibration: str = "") -> Registry:
    """Two such meters, of which one is calibrated, and a lamp."""
    rows: list[dict[str, str]] = [
        {"device": "m-1", "profile": "test", "commune": "1", "hardware_ids": "HW1"},
        {"device": "m-2", "profile": "test", "commune": "1", "hardware_ids": "OLD2; HW2@2026-08-01"},
        {"device": "lamp-1", "profile": "native_streetlight", "commune": "1"},
    ]
    rows[0]["calibration"] = calibration
    return make_registry(rows, [meter(scale)], SOURCES)


def a_day() -> list[Uplink]:
    """What three devices say in a day: values good, odd, impossible, a spike; late, repeated, without time; refused."""
    uplinks = []
    for number in range(288):
        at = START + number * 5 * MINUTE
        power = {50: 200.0, 51: 200.0, 70: 9e6, 90: 98.0}.get(number, 50.0 + number % 7)
        voltage = 231.0 if 100 <= number < 120 else 230.0 + number % 3
        said: dict[str, float] = {"P": power, "U": voltage, "t": at // SECOND - 30, "n": number}
        if number % 10 == 9:
            del said["t"], said["n"]
        other = "old2" if at < REPLACED else "hw2"
        uplinks.append(sent("HW1", at, said))
        uplinks.append(
            sent("HW1", at + SECOND, said | {"P": "much"}) if number == 130 else sent(other, at, {"P": power})
        )
        if number % 50 == 20:
            uplinks.append(sent("HW1", at + 2 * SECOND, said))
        uplinks.append(Uplink("village/1/lamp-1/up", b'{"power": 58.5}', at))
    return uplinks


def sent(hardware: str, at: int, said: Mapping[str, object]) -> Uplink:
    """One uplink of a meter."""
    return Uplink(f"json/key/{hardware}/attrs", json.dumps(said).encode(), at)


class Gateway:
    """A line and its delivery to one store, with the registry's profile wrong or right."""

    def __init__(self, folder: Path, store: Store, registry: Registry) -> None:
        folder.mkdir()
        self.journal = open_journal(folder, [store.name])
        self.pipeline = Pipeline(registry, State(registry), self.journal.senders, Limits())
        self.line = Line(NoEdge(), self.pipeline, self.journal, Saver(folder / "state.bin"))
        self.delivery = Delivery(store, self.journal.rows)
        self.records = Records(self.journal.path, self.journal.totals, self.journal.ledger.unfolded)
        self.touched: list[tuple[int, int, int, int]] = []
        self.redecoder = Redecoder(self.line, self.journal.path, lambda *span: self.touched.append(span))
        self.delivery.start()
        self.line.start()

    def hear(self, uplinks: Sequence[Uplink], at_once: int = 20) -> None:
        """Take these in, some to a commit."""
        for first in range(0, len(uplinks), at_once):
            some = uplinks[first : first + at_once]
            self.line.submit(lambda some=some: self.line.take(some)).result(10)  # type: ignore[misc]

    def use(self, registry: Registry) -> None:
        """The fleet was read anew."""
        fresh = self.pipeline.state.carried_to(registry)
        self.line.submit(lambda: self.pipeline.use(registry, fresh)).result(10)

    def redecode(self, *devices: str, since: int = START, until: int = NOW) -> Progress:
        """Decode a day again, once the stores have what waits."""
        token, total = self.redecoder.begin(Wanted(devices, since, until))
        progress = self.first_step(token)
        while not progress.done:
            progress = self.redecoder.step(token)
        assert progress.total == total
        self.drain()
        return progress

    def first_step(self, token: str) -> Progress:
        """The first one that has something to say, which is once the stores have what waits."""
        progress: list[Progress] = []

        def has_begun() -> bool:
            progress.append(self.redecoder.step(token))
            return not progress[-1].waiting

        await_that("the stores have what waits", has_begun)
        return progress[-1]

    def drain(self) -> None:
        """Return when the store has every line."""
        await_that("everything is stored", lambda: self.records.lines().stores[0].waiting == 0)

    def close(self) -> None:
        """End it."""
        self.line.stop()
        self.delivery.stop()
        self.journal.close()
        self.records.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[Store, Registry], Gateway]]:
    """Makes gateways and ends them."""
    made: list[Gateway] = []

    def start(store: Store, registry: Registry) -> Gateway:
        made.append(Gateway(tmp_path / f"gateway-{len(made)}", store, registry))
        return made[-1]

    yield start
    for gateway in made:
        gateway.close()


@pytest.fixture(params=["embedded", "influxdb1"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Two stores of a kind."""
    if request.param == "embedded":
        pair: tuple[Store, Store] = (
            Embedded(name="a", path=tmp_path / "a.db"),
            Embedded(name="b", path=tmp_path / "b.db"),
        )
    else:
        server = request.getfixturevalue("influxdb1_server")
        pair = influxdb1(server), influxdb1(server)
    with closing(pair[0]), closing(pair[1]):
        yield pair


def stored(store: Store, device: str) -> dict[int, dict[str, float]]:
    """Every point of a device: its fields by time. A time can be there once only."""
    window = Window(START - DAY, NOW + DAY, 0, 100_000)
    points: dict[int, dict[str, float]] = {}
    for name in FIELDS:
        series = store.series(Measurement.STREETLIGHT, "1", device, name, window)
        assert len({point.time for point in series}) == len(series)
        for point in series:
            points.setdefault(point.time, {})[name] = point.mean
    return points


def with_flags(points: dict[int, dict[str, float]]) -> dict[int, dict[str, float]]:
    """The same points with the flags that a good line leaves out."""
    return {
        at: {f"{name}_quality": 1.0 for name in ("power", "voltage") if name in fields} | fields
        for at, fields in points.items()
    }


def test_a_day_with_a_wrong_scale_comes_right(
    make: Callable[[Store, Registry], Gateway], stores: tuple[Store, Store]
) -> None:
    """Exactly as if the profile had been right from the start: values, qualities, clocks; no point more or less."""
    uplinks = a_day()
    wrong, right = make(stores[0], fleet(1000)), make(stores[1], fleet(1))
    wrong.hear(uplinks)
    right.hear(uplinks)
    right.drain()
    wrong.use(fleet(1))
    totals = wrong.records.totals()
    progress = wrong.redecode("m-1", "m-2")
    sent_by_both = [uplink for uplink in uplinks if uplink.topic.startswith("json")]
    assert (progress.refused, progress.damaged) == (0, 0)
    assert progress.uplinks == len(sent_by_both) - 1 - 6
    assert progress.lines == progress.uplinks + 2  # the spike of either meter is flagged once more
    for device in ("m-1", "m-2"):
        expected = with_flags(stored(stores[1], device))
        assert {fields["power_quality"] for fields in expected.values()} == {1.0, 3.0, 4.0}
        assert with_flags(stored(stores[0], device)) == expected
    assert stored(stores[0], "lamp-1") == stored(stores[1], "lamp-1")
    # Nothing was received: uplinks count as before, and of the lines every one is accounted for.
    assert wrong.records.totals() == totals
    assert wrong.records.lines().holds
    state, reference = wrong.pipeline.state, right.pipeline.state
    assert (state.value, state.time, state.quality) == (reference.value, reference.time, reference.quality)
    again = wrong.redecode("m-1", "m-2")
    assert again == progress
    assert with_flags(stored(stores[0], "m-1")) == with_flags(stored(stores[1], "m-1"))


# the engine ----------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store in a file."""
    with closing(Embedded(name="commune", path=tmp_path / "store.db")) as made:
        yield made


def powers(store: Store, device: str = "m-1") -> list[float]:
    """Every stored power, oldest first."""
    return [fields["power"] for _, fields in sorted(stored(store, device).items()) if "power" in fields]


def minutes(*values: float, hardware: str = "HW1", first: int = 0) -> list[Uplink]:
    """One uplink a minute from the start of the day."""
    return [sent(hardware, START + (first + n) * MINUTE, {"P": value}) for n, value in enumerate(values)]


def test_a_mended_calibration_is_applied_from_its_day(make: Callable[[Store, Registry], Gateway], store: Store) -> None:
    """Only to the device it was mended for."""
    gateway = make(store, fleet(1))
    gateway.hear([*minutes(10, 20, 30), *minutes(10, hardware="old2")])
    since = datetime.fromtimestamp((START + 2 * MINUTE) // SECOND, UTC).isoformat()
    gateway.use(fleet(1, f"power 2 1 @{since}"))
    assert gateway.redecode("m-1").uplinks == 3
    assert powers(store) == [10, 20, 61]
    assert powers(store, "m-2") == [10]


def test_only_the_span_is_written_and_judged_by_what_was_before(
    make: Callable[[Store, Registry], Gateway], store: Store
) -> None:
    """Some time around it is read too: its first value is judged, and what was judged by its last value."""
    gateway = make(store, fleet(1))
    far = sent("HW1", START + 10 * 60 * MINUTE, {"P": 50})
    gateway.hear([*minutes(50, 50, 500, 500, 500), far])
    gateway.use(fleet(1, "power 1 1"))
    progress = gateway.redecode("m-1", since=START + 2 * MINUTE, until=START + 3 * MINUTE)
    assert progress.uplinks == 3
    assert powers(store) == [50, 50, 501, 501, 501, 50]
    seen = stored(store, "m-1")
    assert [seen[START + n * MINUTE].get("power_quality", 1.0) for n in range(5)] == [1, 1, 3, 1, 1]


def test_what_was_touched_is_told(make: Callable[[Store, Registry], Gateway], store: Store) -> None:
    """By device, from the first point to just after the last, so that sums over them can be made anew."""
    gateway = make(store, fleet(2))
    gateway.hear([*minutes(1, 2), *minutes(3, hardware="OLD2", first=60)])
    gateway.use(fleet(1))
    gateway.redecode("m-1", "m-2")
    assert sorted(span[:3] for span in gateway.touched) == [
        (0, START, START + MINUTE + 1),
        (1, START + 60 * MINUTE, START + 60 * MINUTE + 1),
    ]
    assert all(span[3] > NOW for span in gateway.touched)


def test_what_replaced_hardware_said_is_still_the_devices(
    make: Callable[[Store, Registry], Gateway], store: Store
) -> None:
    """Each in its time: what the new one said before it was there is somebody else's."""
    gateway = make(store, fleet(2))
    day = (REPLACED - START) // MINUTE
    gateway.hear(
        [*minutes(1, hardware="OLD2"), *minutes(2, hardware="hw2"), *minutes(3, hardware="hw2", first=day + 1)]
    )
    assert gateway.records.by_reason() == {"unknown_device": 1}
    gateway.use(fleet(1))
    assert gateway.redecode("m-2").uplinks == 2
    assert powers(store, "m-2") == [1, 3]


def test_names_of_any_letters_are_found(make: Callable[[Store, Registry], Gateway], store: Store) -> None:
    """Also where upper and lower case differ."""
    row = {"device": "m-1", "profile": "test", "commune": "1", "hardware_ids": "Đèn Một"}
    gateway = make(store, make_registry([row], [meter(2)], SOURCES))
    gateway.hear(minutes(5, hardware="đèn một"))
    gateway.use(make_registry([row], [meter(1)], SOURCES))
    assert gateway.redecode("m-1").uplinks == 1
    assert powers(store) == [5]


def test_what_can_no_longer_be_read_stays_as_it_was(make: Callable[[Store, Registry], Gateway], store: Store) -> None:
    """And is counted."""
    gateway = make(store, fleet(1))
    gateway.hear(minutes(5, 6))
    text = meter(1).model_copy(update={"properties": tuple(p for p in meter(1).properties if p.name != "power")})
    row = {"device": "m-1", "profile": "test", "commune": "1", "hardware_ids": "HW1"}
    gateway.use(make_registry([row], [text], SOURCES))
    progress = gateway.redecode("m-1")
    assert (progress.uplinks, progress.refused) == (0, 2)
    assert powers(store) == [5, 6]


def test_a_damaged_row_costs_only_itself(make: Callable[[Store, Registry], Gateway], store: Store) -> None:
    """It is counted, and the others are decoded."""
    gateway = make(store, fleet(2))
    gateway.hear(minutes(5, 6, 7), at_once=1)
    gateway.line.submit(lambda: gateway.journal._database.execute("UPDATE raw SET body = x'00' WHERE id = 2")).result(5)
    gateway.use(fleet(1))
    progress = gateway.redecode("m-1")
    assert (progress.passed, progress.total, progress.uplinks, progress.damaged) == (3, 3, 2, 1)
    assert powers(store) == [5, 12, 7]


def test_fresh_uplinks_come_between_two_steps(
    make: Callable[[Store, Registry], Gateway], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step is bounded, in uplinks and in bytes read."""
    monkeypatch.setattr(redecode, "CHUNK", 2)
    gateway = make(store, fleet(2))
    gateway.hear(minutes(*range(5)), at_once=1)
    gateway.drain()
    gateway.use(fleet(1))
    token, total = gateway.redecoder.begin(Wanted(("m-1",), START, NOW))
    assert total == 5
    first = gateway.first_step(token)
    assert (first.passed, first.uplinks, first.done) == (2, 2, False)
    gateway.hear(minutes(9, first=9))
    monkeypatch.setattr(redecode, "CHUNK_BYTES", 1)
    assert gateway.redecoder.step(token).passed == 3
    while not gateway.redecoder.step(token).done:
        pass
    assert gateway.redecoder.step(token).uplinks == 6
    gateway.drain()
    assert powers(store) == [0, 1, 2, 3, 4, 9]


def test_it_does_not_overtake_what_it_overwrites(make: Callable[[Store, Registry], Gateway], store: Store) -> None:
    """While the store is away the old lines wait, and fresh ones would be delivered before them."""
    is_away = True
    write = store.write

    def sometimes(body: bytes) -> None:
        if is_away:
            raise StoreUnavailableError("away", 1.0)
        write(body)

    store.write = sometimes  # type: ignore[method-assign]
    gateway = make(store, fleet(2))
    gateway.hear(minutes(5))
    gateway.use(fleet(1))
    token, _ = gateway.redecoder.begin(Wanted(("m-1",), START, NOW))
    assert gateway.redecoder.step(token) == Progress(False, 0, 1, 0, 0, 0, 0, waiting=1)
    is_away = False
    assert gateway.first_step(token).uplinks == 1
    gateway.drain()
    assert powers(store) == [5]


def test_a_job_ends_with_the_fleet_it_was_made_for(make: Callable[[Store, Registry], Gateway], store: Store) -> None:
    """And when another begins."""
    gateway = make(store, fleet(2))
    gateway.hear(minutes(5))
    gateway.drain()
    first, _ = gateway.redecoder.begin(Wanted(("m-1",), START, NOW))
    second, _ = gateway.redecoder.begin(Wanted(("m-1",), START, NOW))
    with pytest.raises(UnknownJobError, match="another job has begun"):
        gateway.redecoder.step(first)
    gateway.use(fleet(1))
    with pytest.raises(UnknownJobError, match="the fleet was read anew"):
        gateway.first_step(second)
    with pytest.raises(UnknownJobError):
        gateway.redecoder.step(second)
    with pytest.raises(ValueError, match="no device 'm-9' in the fleet"):
        gateway.redecoder.begin(Wanted(("m-9",), START, NOW))


def test_every_flag_is_written_over() -> None:
    """Or a flag of the line before would stay beside a value it was not meant for."""
    good = "streetlight,commune=1,device=d power=1.5,voltage=2.0,quality=1,clock=0 7\n"
    bad = "water_quality,commune=1,device=d ph=1.5,quality=4,clock=0,ph_quality=4 7\n"
    assert with_all_flags(good + bad) == (
        "streetlight,commune=1,device=d power=1.5,voltage=2.0,quality=1,clock=0,power_quality=1,voltage_quality=1 7\n"
        + bad
    )
    assert [len(line.fields) for line in read_back(with_all_flags(good + bad).encode())] == [6, 4]
