"""Simulated devices speak their real formats: what a gateway decodes from the bytes is what they measured."""

from collections import Counter
from zoneinfo import ZoneInfo

import pytest

from devices.codecs import Context, load
from devices.observation import Message
from devices.profile import shipped_profiles
from devices.registry import Registry
from devices.topics import VENDOR_SOURCES
from devices.units import conversion
from simulators.fleet import Fleet, build
from simulators.formats import FORMATS, PROFILES
from simulators.link import Fate
from simulators.local_time import DAY, HOUR, month_start
from simulators.scenario import load_scenario, parse_scenario
from simulators.simulate import speakers
from simulators.stream import Stream, Uplink

START = month_start((2026 - 1970) * 12 + 7) + 20 * HOUR

PLACES = """
title_vi = "Thử"
title_en = "Test"
[interval]
lamp = 60
cabinet = 60
water = 60
air = 60
tap = 60
[spread]
communes = ["11113"]
cabinets = 6
lamps = 1
water = 4
air = 3
tap = 2
[spread.formats]
lamp = ["native", "chirpstack", "tasmota", "zigbee2mqtt"]
cabinet = ["native", "sparkplug_b", "tasmota"]
water = ["native", "senml", "chirpstack", "things_stack"]
air = ["native", "airrohr", "tasmota"]
tap = ["native", "chirpstack"]
"""


def fleet(*faults: str) -> Fleet:
    plan = parse_scenario(PLACES + "".join(f"\n[[fault]]\n{fault}\n" for fault in faults), "test")
    return build(plan, 1, START + 30 * DAY)


class Reader:
    """A gateway's way from topic and bytes to a message."""

    def __init__(self, of: Fleet) -> None:
        self.registry = Registry.of(of.rows(), shipped_profiles().values(), tuple(VENDOR_SOURCES.values()))
        self._memory: dict[str, dict[str, object]] = {}

    def read(self, topic: str, payload: bytes) -> tuple[str, Message]:
        found = self.registry.find(topic, round(START * 1e9))
        profile = self.registry.profile(found.device)
        envelope = self.registry.sources[found.source].envelope
        name = self.registry.names[found.device]
        memory = self._memory.setdefault(found.node or name, {})
        context = Context(found.event, ZoneInfo("Asia/Ho_Chi_Minh"), memory)
        return name, load(envelope or profile.codec).decoder(profile)(payload, context)


def canonical(message: Message) -> dict[str, float]:
    """Observations in canonical units."""
    found = {}
    for one in message.observations:
        rule = conversion(one.property, one.unit)
        assert rule is not None
        found[one.property] = one.value * rule.factor + rule.offset
    return found


@pytest.fixture(scope="module")
def spoken() -> tuple[Fleet, list[tuple[Uplink, str, Message]]]:
    of = fleet()
    reader = Reader(of)
    uplinks = Stream(of, START).take(START + 20 * 60.0)
    return of, [(uplink, *reader.read(uplink.note.topic, uplink.note.payload)) for uplink in uplinks]


def test_every_format_and_every_profile_of_the_table_is_spoken(
    spoken: tuple[Fleet, list[tuple[Uplink, str, Message]]],
) -> None:
    of, _ = spoken
    assert {(cohort.kind, cohort.format) for cohort in of.cohorts} == set(PROFILES)
    assert {cohort.format for cohort in of.cohorts} == set(FORMATS)


def test_what_is_decoded_is_what_was_measured(spoken: tuple[Fleet, list[tuple[Uplink, str, Message]]]) -> None:
    of, read = spoken
    assert len(read) > 20 * of.size
    formats = {name: cohort.format for cohort in of.cohorts for name in cohort.names}
    for uplink, name, message in read:
        assert name == uplink.device
        values, said = canonical(message), uplink.report.values
        if not said:
            assert values == {}
            continue
        assert set(said) <= set(values) | {"rssi", "snr"}, (uplink, values)
        for property_name, value in said.items():
            if property_name in values:
                # Steps of the formats: brightness has 254, ChirpStack's rssi is whole.
                assert values[property_name] == pytest.approx(value, rel=1e-6, abs=0.21), (uplink, property_name)
        spoken_format = FORMATS[formats[name]]
        times = {one.observed_at for one in message.observations}
        assert times == {uplink.report.observed_at}, (uplink, message)
        assert (uplink.report.observed_at is None) == (spoken_format.clock == "none")
        if formats[name] in {"native", "chirpstack", "things_stack"}:
            assert message.sequence == uplink.report.sequence
        assert message.simulated == (formats[name] == "things_stack")


def test_lorawan_repeats_carry_the_same_deduplication_id() -> None:
    of = fleet('kind = "duplicated"\ndevices = "*"\nalways = true\nsize = [1, 5]')
    reader = Reader(of)
    found: dict[str, list[Message]] = {}
    for uplink in Stream(of, START).take(START + 300.0):
        if uplink.note.topic.startswith(("application/", "v3/")):
            name, message = reader.read(uplink.note.topic, uplink.note.payload)
            found.setdefault(name, []).append(message)
    assert found
    for messages in found.values():
        identities = Counter(message.identity for message in messages)
        assert None not in identities
        # The first and the last of the time may have their other half outside it.
        assert sorted(identities.values())[2:] == [2] * (len(identities) - 2)


def test_a_repeat_without_time_or_number_is_a_new_reading_to_everybody() -> None:
    of = fleet('kind = "duplicated"\ndevices = "*"\nalways = true\nsize = [1, 5]')
    uplinks = Stream(of, START).take(START + 300.0)
    fates: dict[str, set[Fate]] = {}
    for uplink in uplinks:
        fates.setdefault(uplink.note.topic.split("/")[0], set()).add(uplink.fate)
    assert fates.pop("airrohr") == {Fate.KEPT}
    assert set(map(frozenset, fates.values())) == {frozenset({Fate.KEPT, Fate.REPEATED})}


def test_a_sparkplug_session_begins_with_births_and_counts_without_a_gap() -> None:
    of = fleet()
    notes = [u.note for u in Stream(of, START).take(START + 300 * 60.0) if u.note.topic.startswith("spBv1.0/")]
    device = notes[0].topic.split("/")[3]
    mine = [note for note in notes if f"/{device}" in note.topic]
    kinds = [note.topic.split("/")[2] for note in mine]
    assert kinds[:3] == ["NBIRTH", "DBIRTH", "DDATA"]
    assert [place for place, kind in enumerate(kinds) if kind == "NBIRTH"] == [0, 251]
    # Aliases only: data is much shorter than the birth that names them.
    assert len(mine[2].payload) < 0.7 * len(mine[1].payload)


def test_devices_say_that_they_are_online_where_their_format_can() -> None:
    of = fleet()
    reader = Reader(of)
    states: dict[str, list[bool | None]] = {}
    for speaker in speakers(of, "test"):
        for note in (*speaker.hello, *speaker.goodbye):
            name, message = reader.read(note.topic, note.payload)
            states.setdefault(name, []).append(message.online)
    assert set(map(tuple, states.values())) == {(True, False)}
    native = {
        name for cohort in of.cohorts if cohort.format in {"native", "tasmota", "zigbee2mqtt"} for name in cohort.names
    }
    assert set(states) == native


def test_the_district_speaks_everything_and_its_registry_knows_everybody() -> None:
    of = build(load_scenario("district"), 2, START + 30 * DAY)
    assert of.size == 6 * (6 * 41 + 4 + 3 + 2)
    assert {cohort.format for cohort in of.cohorts} == set(FORMATS)
    reader = Reader(of)
    uplinks = Stream(of, START).take(START + 300.0)
    known = {"kept": 0, "refused": 0, "repeated": 0, "lost": 0}
    for uplink in uplinks:
        known[uplink.fate.value] += 1
        if uplink.fate is Fate.KEPT:
            name, _ = reader.read(uplink.note.topic, uplink.note.payload)
            assert name == uplink.device
    assert known["kept"] > 1000
    assert min(known.values()) > 0
