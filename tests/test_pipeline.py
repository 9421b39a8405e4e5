"""The line from uplink to line protocol: every bad input by its reason, every good one value for value."""

import gc
import json
import random
import sys
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.codecs import Context, sparkplug_b
from devices.observation import Message, Reason
from devices.profile import Profile
from devices.topics import VENDOR_SOURCES, Source, vendor_sources
from gateway.line import pipeline as pipeline_module
from gateway.line.ledger import pack_heard, unpack_heard
from gateway.line.normalize import Plan
from gateway.line.pipeline import Pipeline
from gateway.model import Outcome, Uplink
from gateway.northbound.influxdb1 import InfluxDB1
from tests import servers
from tests.line_parts import (
    MINUTE,
    NOW,
    ROWS,
    SECOND,
    STEADY,
    lines_of,
    make_pipeline,
    make_registry,
    outcomes_of,
    profile_of,
    refusal_of,
    up,
)
from tests.servers import Server

EARLIER = "2026-08-01T04:05:00Z"
EARLIER_AT = NOW - 6 * SECOND
LAMP = "streetlight,commune=10642,device=lamp-1"

REFUSED = [
    (Uplink("elsewhere/lamp-1", b"{}", NOW), "unknown_topic"),
    (Uplink("village/10642/lamp-1", b"{}", NOW), "unknown_topic"),
    (up({"power": 1}, "lamp-9"), "unknown_device"),
    (up({"power": 1}, "lamp-1", commune="10645"), "unknown_device"),
    (up({"power": 1}, "toy-1", commune="10645"), "simulated"),
    (up({"power": 1, "simulated": True}), "simulated"),
    (up(b""), "empty"),
    (up(b"power 58 W"), "malformed"),
    (up(b'{"power": 58.2'), "malformed"),
    (up(b"[58.2]"), "malformed"),
    (up(b"58.2"), "malformed"),
    (up(b"[" * 5000), "malformed"),
    (up(b'{"power": 1, "power": 2}'), "duplicate_key"),
    (up(b'{"power": 1, "p\\u006fwer": 2}'), "duplicate_key"),
    (up(b'{"energy": {"value": 1, "value": 2, "unit": "W.h"}}'), "duplicate_key"),
    (up(b'{"power": NaN}'), "not_finite"),
    (up(b'{"power": Infinity}'), "not_finite"),
    (up(b'{"power": -Infinity}'), "not_finite"),
    (up(b'{"power": 1e400}'), "not_finite"),
    (up(b'{"power": ' + b"9" * 400 + b"}"), "not_finite"),
    (up({"power": {"value": 1e308, "unit": "kW"}}), "not_finite"),
    (up({"power": "58.2"}), "field_type"),
    (up({"power": True}), "field_type"),
    (up({"power": None}), "field_type"),
    (up({"power": [58.2]}), "field_type"),
    (up({"power": {"value": 58.2}}), "field_type"),
    (up({"seq": 1.5, "power": 1}), "field_type"),
    (up({"powr": 58.2}), "property"),
    (up({"ph": 7.1}), "property"),
    (up({"power": {"value": 58.2, "unit": "hp"}}), "unit"),
    (up({"power": {"value": 58.2, "unit": "V"}}), "unit"),
    (up({}), "no_reading"),
    (up({"observed_at": EARLIER}), "no_reading"),
    (up(b'{"power": 1, "note": "' + b"x" * (1 << 20) + b'"}'), "too_large"),
    (up(b'{"power": 1, "note": "\xff\xfe"}'), "encoding"),
    (up({"observed_at": "yesterday", "power": 1}), "clock"),
    (up({"observed_at": "2026-02-30T00:00:00Z", "power": 1}), "clock"),
    (up({"observed_at": 1785557106, "power": 1}), "clock"),
    (up(b"perhaps", topic="village/10642/lamp-1/status"), "malformed"),
    (up({"state": "asleep"}, topic="village/10642/lamp-1/status"), "field_type"),
    (up({"id": 1}, topic="village/10642/lamp-1/cmd/ack"), "unsupported"),
]


@pytest.mark.parametrize(("uplink", "reason"), REFUSED, ids=lambda part: part if isinstance(part, str) else "")
def test_bad_uplink_is_refused_by_its_own_reason(uplink: Uplink, reason: str) -> None:
    """It is kept with its bytes, counted once, and leaves no line."""
    assert refusal_of(make_pipeline(), uplink) == reason


@pytest.mark.parametrize("uplink", [uplink for uplink, _ in REFUSED if uplink.payload])
def test_a_refused_uplink_leaves_no_garbage_behind(uplink: Uplink) -> None:
    """200 payloads of a megabyte each would otherwise stay in memory until Python looks for cycles."""
    payload = bytes(bytearray(uplink.payload))
    pipeline = make_pipeline()
    gc.collect()
    gc.disable()
    try:
        before = sys.getrefcount(payload)
        batch, told = pipeline.process([uplink._replace(payload=payload)])
        assert len(batch.refused) == 1
        del batch, told
        assert sys.getrefcount(payload) == before
    finally:
        gc.enable()


def test_refusals_know_the_device_and_say_what_would_be_right() -> None:
    """A person reads the detail; a known device is named."""
    batch, _ = make_pipeline().process([up({"power": {"value": 1, "unit": "hp"}}), up({"power": 1}, "lamp-9")])
    assert [(refused.device, refused.detail) for refused in batch.refused] == [
        ("lamp-1", "power: unit 'hp' cannot express it; send W"),
        ("", "no device 'lamp-9' in the fleet"),
    ]


def test_bad_uplinks_do_not_touch_the_good_ones_between_them() -> None:
    """A good one after each bad one gives the line it gives alone."""
    good = [up({"seq": n, "power": n}, at=NOW + n) for n in range(len(REFUSED))]
    mixed = [uplink for pair in zip((bad for bad, _ in REFUSED), good, strict=True) for uplink in pair]
    assert lines_of(make_pipeline(), *mixed) == lines_of(make_pipeline(), *good)
    assert len(lines_of(make_pipeline(), *good)) == len(good)


def test_defect_of_a_codec_refuses_one_uplink(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway's own bug is a reason like the others: the bytes wait for an update."""
    line = make_pipeline()
    lines_of(line, up({"power": 1}))
    decode = next(iter(line._plans.values()))[0].decode

    def broken(payload: bytes, context: Context) -> Message:
        if payload == b"poison":
            raise ZeroDivisionError
        return decode(payload, context)

    monkeypatch.setattr(next(iter(line._plans.values()))[0], "decode", broken)
    batch, _ = line.process([up(b"poison"), up({"power": 2})])
    assert [(refused.reason, refused.detail) for refused in batch.refused] == [
        (Reason.DEFECT, "the gateway failed on it (ZeroDivisionError); kept for replay after an update")
    ]
    assert batch.line_count == 1


@pytest.mark.parametrize(
    ("observed_at", "stored_at", "clock"),
    [
        (None, NOW, 1),
        (EARLIER, EARLIER_AT, 0),
        ("2026-08-01T11:05:00+07:00", EARLIER_AT, 0),
        ("2026-08-01T04:10:06Z", NOW + 5 * MINUTE, 0),
        ("2026-08-01T04:10:06.000000001Z", NOW, 3),
        ("2099-01-01T00:00:00Z", NOW, 3),
        ("1970-01-01T00:00:01Z", NOW, 2),
        ("2014-12-31T23:59:59.999Z", NOW, 2),
        ("2015-01-01T00:00:00Z", 1420070400 * SECOND, 0),
        ("2026-08-01T11:05:00", EARLIER_AT, 4),
    ],
)
def test_time_of_a_line_and_whose_clock_it_was(observed_at: str | None, stored_at: int, clock: int) -> None:
    """Where the device's clock cannot be used, the time of receipt is, and the line says so."""
    payload = {"power": 58.2} | ({"observed_at": observed_at} if observed_at else {})
    assert lines_of(make_pipeline(), up(payload)) == [f"{LAMP} power=58.2,quality=1,clock={clock} {stored_at}"]


def test_local_time_uses_the_devices_own_zone() -> None:
    """The registry's zone, not the gateway's."""
    rows = [{**ROWS[0], "timezone": "UTC"}]
    line = make_pipeline(make_registry(rows))
    assert lines_of(line, up({"observed_at": "2026-08-01T04:05:00", "power": 1})) == [
        f"{LAMP} power=1.0,quality=1,clock=4 {EARLIER_AT}"
    ]


def test_every_measurement_has_its_own_line_in_canonical_units() -> None:
    """One line per device, measurement and time; tags are commune and device."""
    payload = {
        "observed_at": EARLIER, "seq": 7, "power": 58, "energy": {"value": 1250, "unit": "W.h"}, "lamp_on": 1,
        "rssi": -81, "uptime": {"value": 2, "unit": "h"},
    }  # fmt: skip
    assert lines_of(make_pipeline(), up(payload)) == [
        f"{LAMP} power=58.0,energy=1.25,lamp_on=1.0,quality=1,clock=0 {EARLIER_AT}",
        f"device,commune=10642,device=lamp-1 rssi=-81.0,uptime=7200.0,quality=1,clock=0 {EARLIER_AT}",
    ]


def test_calibration_is_the_one_valid_at_the_values_time() -> None:
    """Late values get the calibration of their day."""
    rows = [{**ROWS[2], "calibration": "ph 1.02 -0.05; ph 2 0 @2026-07-31; turbidity 1 0.5"}]
    line = make_pipeline(make_registry(rows))
    old, new = "2026-07-30T16:59:59Z", "2026-07-30T17:00:00Z"  # midnight of 31 July in Vietnam is between them
    payloads = [{"observed_at": old, "ph": 5.0, "turbidity": 1}, {"observed_at": new, "ph": 2.6, "salinity": 1}]
    texts = [text.split(" ")[1] for text in lines_of(line, *(up(p, "water-1") for p in payloads))]
    assert texts == [
        f"ph={5.0 * 1.02 - 0.05!r},turbidity=1.5,quality=1,clock=0",
        "ph=5.2,salinity=1.0,quality=1,clock=0",
    ]


def test_calibration_that_overflows_is_refused_before_anything_is_stored() -> None:
    """No infinity ever reaches a store."""
    line = make_pipeline(make_registry([{**ROWS[0], "calibration": "power 1e300 0"}]))
    assert refusal_of(line, up({"voltage": 220, "power": 1e10})) == "not_finite"


STATUS = "village/10642/lamp-1/status"


def test_status_is_kept_as_a_reading_of_the_device() -> None:
    """Online and offline are points; the state knows the last of them."""
    line = make_pipeline()
    text = "device,commune=10642,device=lamp-1 online={},quality=1,clock=1 {}"
    said = [up(b"online", topic=STATUS), up({"state": "offline"}, topic=STATUS, at=NOW + 1)]
    assert lines_of(line, *said) == [text.format(1, NOW), text.format(0, NOW + 1)]
    assert line.state.online(0) is False
    assert line.state.online(1) is None


def test_last_will_is_no_word_of_the_device() -> None:
    """The broker says ``offline`` for it: the device was not heard then."""
    line = make_pipeline()
    outcomes_of(line, up(b"online", topic=STATUS), up(b"offline", topic=STATUS, at=NOW + MINUTE))
    assert line.state.last_seen(0) == NOW


def test_retained_status_is_known_and_no_new_point() -> None:
    """It may be of any age."""
    line = make_pipeline()
    assert lines_of(line, up(b"online", topic=STATUS, retained=True)) == []
    assert line.state.online(0) is True
    assert line.state.last_seen(0) == 0


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"power": 1}, []),
        ({"power": 1, "seq": 4}, []),
        ({"power": 1, "observed_at": "1970-01-01T00:00:01Z"}, []),
        ({"power": 1, "observed_at": "2099-01-01T00:00:00Z"}, []),
        ({"power": 1, "observed_at": EARLIER}, [f"{LAMP} power=1.0,quality=1,clock=0 {EARLIER_AT}"]),
    ],
)
def test_retained_value_is_a_point_only_with_a_time_of_its_own(payload: dict[str, object], expected: list[str]) -> None:
    """A value shown again at subscribe is kept in latest, counted, and never stored as new."""
    line = make_pipeline()
    batch, _ = line.process([up(payload, retained=True)])
    assert batch.lines.decode().splitlines() == expected
    assert [entry.outcome for entry in batch.heard] == [Outcome.KEPT]
    assert line.state.latest(0) is not None
    assert (line.tally.stale, line.state.last_seen(0)) == (0 if expected else 1, 0)


def test_late_value_is_stored_and_does_not_replace_the_latest() -> None:
    """It is older than what came after it."""
    line = make_pipeline()
    lines = lines_of(
        line, up({"observed_at": EARLIER, "power": 60}), up({"observed_at": "2026-08-01T03:00:00Z", "power": 50})
    )
    assert lines[1] == f"{LAMP} power=50.0,quality=1,clock=0 {NOW - 65 * MINUTE - 6 * SECOND}"
    assert line.state.latest(0) == (60.0, EARLIER_AT, 1)
    assert line.tally.late == 1


# repeats -----------------------------------------------------------------------------------------------------


def numbered(number: int) -> Uplink:
    """An uplink with a time of its own."""
    return up({"observed_at": f"2026-08-01T03:{number // 60:02d}:{number % 60:02d}Z", "power": 1})


def test_repeat_is_known_among_the_last_64_uplinks() -> None:
    """The 64th is remembered, the one before it is not."""
    line = make_pipeline()
    assert set(outcomes_of(line, *(numbered(n) for n in range(65)))) == {"kept"}
    assert outcomes_of(line, numbered(1), numbered(64), numbered(0)) == ["repeated", "repeated", "kept"]


def test_repeated_uplink_changes_nothing() -> None:
    """No line, and the state as it was."""
    line = make_pipeline()
    outcomes_of(line, numbered(1), numbered(2))
    before = line.state.snapshot(0)
    assert lines_of(line, numbered(1)._replace(received_at=NOW + MINUTE)) == []
    assert line.state.snapshot(0) == before


def test_sequence_number_alone_tells_repeats() -> None:
    """Devices without a clock count."""
    line = make_pipeline()
    sent = [{"seq": 1, "power": 5}, {"seq": 1, "power": 5}, {"seq": 2, "power": 5}, {"seq": 1, "power": 6}]
    assert outcomes_of(line, *map(up, sent)) == ["kept", "repeated", "kept", "kept"]


def test_repeat_without_time_and_number_is_a_new_reading() -> None:
    """What is not promised: the README's Is-not."""
    assert outcomes_of(make_pipeline(), up({"power": 5}), up({"power": 5}, at=NOW + 1)) == ["kept", "kept"]


def test_another_devices_same_message_is_no_repeat() -> None:
    """Identities belong to a device."""
    payload = {"seq": 1, "power": 5}
    assert outcomes_of(make_pipeline(), up(payload), up(payload, "lamp-2")) == ["kept", "kept"]


@pytest.mark.parametrize("time", ["2099-01-01T00:00:00Z", "1970-01-01T00:00:01Z"])
def test_repeat_with_an_impossible_time_is_known_too(time: str) -> None:
    """Stored at its receipt, a second one would be a second point."""
    line = make_pipeline()
    sent = [numbered(1), up({"observed_at": time, "power": 1}), numbered(2), up({"observed_at": time, "power": 1})]
    assert outcomes_of(line, *sent) == ["kept", "kept", "kept", "repeated"]


def test_late_value_does_not_hide_a_repeat() -> None:
    """Buffered values come after newer ones, and those may come again."""
    line = make_pipeline()
    assert outcomes_of(line, *map(numbered, (5, 6, 2, 6, 3, 5))) == ["kept"] * 3 + ["repeated", "kept", "repeated"]


PLAIN = up({"power": 5}, message_id=17)
AGAIN = PLAIN._replace(duplicate=True, received_at=NOW + SECOND)


@pytest.mark.parametrize(
    ("uplink", "outcome"),
    [
        (AGAIN, "repeated"),
        (AGAIN._replace(duplicate=False), "kept"),
        (AGAIN._replace(message_id=18), "kept"),
        (AGAIN._replace(payload=b'{"power": 6}'), "kept"),
    ],
)
@pytest.mark.parametrize("crash", [False, True])
def test_brokers_redelivery_is_known_by_packet_id_and_payload(uplink: Uplink, outcome: str, crash: bool) -> None:
    """Also from the journal's entries after a crash, and also without time and number."""
    line = make_pipeline()
    batch, _ = line.process([PLAIN])
    if crash:
        line = make_pipeline()
        line.recall(unpack_heard(pack_heard(batch.heard)), line.senders())
    assert outcomes_of(line, uplink) == [outcome]


def test_redelivery_is_of_the_latest_uplink_with_that_packet_id() -> None:
    """The broker reuses packet ids once they are acknowledged."""
    line = make_pipeline()
    outcomes_of(line, PLAIN, up({"power": 6}, message_id=17))
    assert outcomes_of(line, AGAIN) == ["kept"]


def test_redelivered_bad_uplink_is_refused_once() -> None:
    """The second copy is a repeat."""
    bad = up(b"not json", message_id=3)
    assert outcomes_of(make_pipeline(), bad, bad._replace(duplicate=True)) == ["refused", "repeated"]


# what devices are told ---------------------------------------------------------------------------------------


def test_only_registered_devices_on_own_topics_are_told() -> None:
    """Not strangers, not statuses, and no device for a record that came from a file."""
    topic = "village/10642/lamp-1/{}"
    bad = [
        up(b"x"),
        up(b"x", "lamp-9"),
        up(b"x", topic=STATUS),
        up(b"x", topic=topic.format("backfill"), backfill=True),
    ]
    _, told = make_pipeline().process(bad)
    assert [(word.uplink, word.device, word.refusal.reason if word.refusal else "") for word in told] == [
        (bad[0], 0, Reason.MALFORMED)
    ]


def test_strangers_share_few_senders() -> None:
    """Whoever invents topics cannot fill the ledger."""
    line = make_pipeline()
    batch, _ = line.process([Uplink(f"root-{n}/x", b"", NOW) for n in range(200)])
    assert len({entry.sender for entry in batch.heard}) == 65


# sums --------------------------------------------------------------------------------------------------------

ANY_UPLINK = st.builds(
    lambda payload, device, event, duplicate, retained, packet: Uplink(
        f"village/10642/{device}/{event}", payload, NOW, 1, retained, duplicate, packet
    ),
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([uplink.payload[:200] for uplink, _ in REFUSED]),
        st.integers(0, 5).map(lambda n: json.dumps({"seq": n, "power": n}).encode()),
        st.floats().map(lambda value: json.dumps({"power": value}).encode()),
    ),
    st.sampled_from(["lamp-1", "lamp-2", "toy-1", "nobody", "\N{SNOWMAN}"]),
    st.sampled_from(["up", "status", "cmd/ack", ""]),
    st.booleans(), st.booleans(), st.integers(0, 3),
)  # fmt: skip


@STEADY
@given(st.lists(st.lists(ANY_UPLINK, max_size=8), max_size=4))
def test_every_uplink_is_kept_refused_or_repeated(batches: list[list[Uplink]]) -> None:
    """``received = kept + refused + repeated`` for any mix; every refused one is there with its bytes."""
    line = make_pipeline()
    for uplinks in batches:
        batch, _ = line.process([u._replace(received_at=NOW + n) for n, u in enumerate(uplinks)])
        counts = {outcome: sum(entry.outcome is outcome for entry in batch.heard) for outcome in Outcome}
        assert batch.received == len(uplinks) == sum(counts.values())
        assert counts[Outcome.REFUSED] == len(batch.refused)
        assert counts[Outcome.KEPT] == len(batch.raw)
        assert batch.line_count == batch.lines.count(b"\n")
        assert {refused.uplink.payload for refused in batch.refused} <= {uplink.payload for uplink in uplinks}


# codecs' memory, files, vendor topics ------------------------------------------------------------------------


def zigbee_pipeline() -> Pipeline:
    """Two lamps behind one Zigbee bridge."""
    profile = profile_of(
        'domain = "streetlight"\ncodec = "zigbee2mqtt"\ninterval_seconds = 300\n'
        'properties = [{ name = "power", unit = "kW", path = "p" }]'
    )
    rows = [{"device": f"z-{n}", "profile": "test", "commune": "1", "hardware_ids": f"street/{n}"} for n in (1, 2)]
    return make_pipeline(make_registry(rows, [profile], [VENDOR_SOURCES["zigbee2mqtt"]]))


class SpyPlan(Plan):
    """Writes down what codecs are told, and lets them count their device's uplinks."""

    seen: ClassVar[list[Context]] = []

    def __init__(self, profile: Profile, source: Source) -> None:
        super().__init__(profile, source)
        decode = self.decode

        def spy(payload: bytes, context: Context) -> Message:
            context.memory["count"] = context.memory.get("count", 0) + 1
            self.seen.append(context)
            return decode(payload, context)

        self.decode = spy


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Context]:
    """Everything codecs were told."""
    monkeypatch.setattr(pipeline_module, "Plan", SpyPlan)
    monkeypatch.setattr(SpyPlan, "seen", [])
    return SpyPlan.seen


def test_codecs_remember_each_device_by_itself(seen: list[Context]) -> None:
    """One device's memory is not another's, though both have the same profile."""
    line = make_pipeline()
    outcomes_of(line, up({"power": 1}), up({"power": 1}, "lamp-2"), up({"power": 2}))
    assert [context.memory for context in seen] == [{"count": 2}, {"count": 1}, {"count": 2}]


def test_codecs_know_how_and_when_the_uplink_came(seen: list[Context]) -> None:
    """Formats that count back from now need the time of receipt."""
    outcomes_of(make_pipeline(), up({"power": 1}, at=NOW + 5, retained=True))
    assert [(context.event, context.retained, context.received_at) for context in seen] == [("up", True, NOW + 5)]


def test_file_holds_canonical_values_whatever_the_device_speaks() -> None:
    """A record of a vendor's device is not in the vendor's units, keys or format."""
    line = zigbee_pipeline()
    record = json.dumps({"observed_at": EARLIER, "power": 58.5}).encode()
    assert lines_of(line, Uplink("village/1/z-1/backfill", record, NOW, backfill=True)) == [
        f"streetlight,commune=1,device=z-1 power=58.5,quality=1,clock=0 {EARLIER_AT}"
    ]


# numbers -----------------------------------------------------------------------------------------------------


@STEADY
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_stored_text_is_the_very_number(value: float) -> None:
    """Every float is written so that reading it gives it back; zero has no sign."""
    (text,) = lines_of(make_pipeline(), up(f'{{"power": {value!r}}}'.encode()))
    stored = text.split(" ")[1].split(",")[0].removeprefix("power=")
    assert (stored, float(stored)) == (repr(value + 0.0), value)


def test_influxdb_reads_every_number_back(influxdb1_server: Server) -> None:
    """A real InfluxDB takes every way a float is written."""
    drawn = random.Random(20260801)
    values = [
        0.0,
        -0.0,
        1e-05,
        1e16,
        1e22,
        5e-324,
        -2.5e-310,
        1.7976931348623157e308,
        0.1 + 0.2,
        58.2,
        -1.0,
        123456789.25,
    ]
    values += [drawn.uniform(-1, 1) * 10.0 ** drawn.randint(-300, 300) for _ in range(300)]
    line = make_pipeline()
    body = "\n".join(lines_of(line, *(up({"power": value}, at=NOW + n) for n, value in enumerate(values))))
    store = InfluxDB1(name="numbers", url=influxdb1_server.url, database="numbers", rollup_database="numbers_rollup")
    store.write(body.encode())
    store.close()
    answer = json.loads(servers.influxql(influxdb1_server, "SELECT power FROM streetlight", "numbers"))
    read = [(at, float(value)) for at, value in answer["results"][0]["series"][0]["values"]]
    assert read == [(NOW + n, value) for n, value in enumerate(values)]


def test_aliases_nobody_has_named_are_refused_and_asked_for() -> None:
    """The node hears it at once; after its birth the same bytes can be read, and a replay asks nobody."""
    registry = make_registry(
        [{"device": "cab-1", "profile": "sparkplug_lamp_cabinet", "commune": "10642"}],
        sources=vendor_sources(["sparkplug_b"]),
    )
    line, profile = make_pipeline(registry), registry.profile(0)

    def said(event: str, payload: bytes) -> Uplink:
        return Uplink(f"spBv1.0/hai-duong/{event}/node-1/cab-1", payload, NOW)

    data = said("DDATA", sparkplug_b.encode(profile, {"voltage_l1": 231.0}, NOW, 1))
    batch, told = line.process([data])
    assert [(refused.reason, refused.detail) for refused in batch.refused] == [
        (Reason.INTEGRITY, "no birth has named these aliases; the node was asked for one")
    ]
    assert [(word.reply, word.refusal) for word in told] == [(sparkplug_b.rebirth_request(NOW), None)]
    assert line.process([data._replace(received_at=NOW + 2 * MINUTE)], replay=True)[1] == []
    line.process([said("DBIRTH", sparkplug_b.encode(profile, {}, NOW, 2, birth=True))])
    batch, told = line.process([data], replay=True)
    assert (b"voltage_l1=231.0" in batch.lines, told) == (True, [])
