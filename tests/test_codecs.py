"""Codecs as a whole: any bytes give a message or a named refusal, and what an encoder writes its decoder reads back."""

import json
import math
import struct
from collections.abc import Callable
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.codecs import (
    CODECS,
    Context,
    airrohr,
    bare,
    json_fields,
    load,
    native,
    senml,
    sparkplug_b,
    tasmota,
    times,
    zigbee2mqtt,
)
from devices.codecs.sparkplug_b_messages import Payload
from devices.observation import Message, Reason, RefusedError
from devices.profile import Profile, shipped_profiles
from devices.units import conversion
from devices.vocabulary import VOCABULARY
from tests.test_cases import CASES, FOLDERS, payload_of, read_case

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
NOW = 1_785_557_400_000_000_000
EVENTS = (
    "up", "", "status", "SENSOR", "STATE", "LWT", "availability", "NBIRTH", "DBIRTH", "DDATA", "NDEATH", "DDEATH",
    "temperature",
)  # fmt: skip
INSTANTS = st.integers(times.EARLIEST, times.LATEST)
RECENT = st.integers(1_500_000_000, 1_900_000_000).map(lambda seconds: seconds * times.SECOND)
ROUND_TRIPS = settings(max_examples=60, deadline=None)


def cases_of(codec: str) -> list[tuple[Profile, dict[str, Any], bytes]]:
    """Profile, context and payload of every golden case of a codec."""
    cases = [read_case(folder) for folder in FOLDERS if folder.parent == CASES / codec]
    return [(case.profile, case.context, payload_of(case.uplink)) for case in cases]


def check(profile: Profile, message: Message) -> None:
    """What every message promises, whatever it was read from."""
    declared = {entry.name for entry in profile.properties}
    for observation in message.observations:
        assert observation.property in declared
        assert type(observation.value) is float
        assert math.isfinite(observation.value)
        assert conversion(observation.property, observation.unit) is not None
        assert observation.observed_at is None or times.EARLIEST <= observation.observed_at <= times.LATEST


def refusal(step: Callable[[], object]) -> Reason | None:
    """The reason a step refuses for; None if it does not."""
    refused: RefusedError | None = None
    try:
        step()
    except RefusedError as error:
        refused = error
    if refused is None:
        return None
    assert 0 < len(refused.detail) <= 300
    return refused.reason


@st.composite
def disturbed(draw: st.DrawFn, payloads: list[bytes]) -> bytes:
    """A payload of the cases with some bytes replaced, cut out or doubled."""
    payload = bytearray(draw(st.sampled_from(payloads)))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, max(len(payload) - 1, 0)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            payload[place : place + 1] = draw(st.binary(min_size=1, max_size=2))
        elif kind == 1:
            del payload[place : place + draw(st.integers(1, 8))]
        elif kind == 2:
            payload[place:place] = payload[place : place + draw(st.integers(1, 40))]
        else:
            payload[place:place] = draw(
                st.sampled_from([b"1e400", b"NaN", b"null", b'""', b"[]", b"{}", b"-1", b"\\u0000"])
            )
    return bytes(payload)


@pytest.mark.parametrize("codec", CODECS)
def test_any_bytes_give_a_message_or_a_refusal(codec: str) -> None:
    """Noise and disturbed payloads of the cases, on every kind of topic, with memory kept from one to the next."""
    cases = cases_of(codec)
    payloads = [payload[:4096] for _, _, payload in cases]
    profiles = list({profile.id: profile for profile, _, _ in cases}.values())
    events = sorted({context["event"] for _, context, _ in cases} | set(EVENTS))
    ports = sorted({context["port"] for _, context, _ in cases})
    decoders = {profile.id: load(codec).decoder(profile) for profile in profiles}
    memory: dict[str, Any] = {}

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def any_bytes(data: st.DataObject) -> None:
        profile = data.draw(st.sampled_from(profiles))
        context = Context(
            data.draw(st.sampled_from(events)),
            ZONE,
            memory,
            data.draw(st.booleans()),
            data.draw(st.sampled_from(ports)),
            NOW,
        )
        payload = data.draw(st.one_of(st.binary(max_size=200), disturbed(payloads)))
        assert refusal(lambda: check(profile, decoders[profile.id](payload, context))) in {None, *Reason}

    any_bytes()


# round trips ---------------------------------------------------------------------------------------------------


@st.composite
def readings(draw: st.DrawFn, profile: Profile) -> dict[str, float]:
    """Canonical values for some of a profile's properties; those with a table of texts get one of its numbers."""
    values = {}
    for entry in profile.properties:
        if not draw(st.booleans()):
            continue
        if entry.values:
            values[entry.name] = draw(st.sampled_from(sorted(entry.values.values())))
        else:
            known = VOCABULARY[entry.name]
            steps = draw(st.integers(1, 100_000))
            # A prime step keeps clear of the profiles' sentinels (-1, -127, -128, 85).
            values[entry.name] = known.low + (known.high - known.low) * steps / 100_003
    return values


def agree(profile: Profile, message: Message, values: dict[str, float], at: int | None, step: float = 1e-9) -> None:
    """The message says these canonical values at that time, within a relative step."""
    seen = {}
    for observation in message.observations:
        rule = conversion(observation.property, observation.unit)
        assert rule is not None
        seen[observation.property] = observation.value * rule.factor + rule.offset
        assert observation.observed_at == at
    assert seen == pytest.approx(values, rel=step, abs=1e-6)
    check(profile, message)


def context(event: str = "", memory: dict[str, Any] | None = None) -> Context:
    """A context as the line would make it."""
    return Context(event, ZONE, {} if memory is None else memory, received_at=NOW)


@pytest.mark.parametrize("name", [name for name in shipped_profiles() if name.startswith("native_")])
def test_native_reads_back_what_it_writes(name: str) -> None:
    """Every property, any readable time to the nanosecond, sequence and mark."""
    profile = shipped_profiles()[name]
    decode = native.decoder(profile)

    @ROUND_TRIPS
    @given(readings(profile).filter(bool), st.none() | INSTANTS, st.none() | st.integers(0, 2**53), st.booleans())
    def round_trip(values: dict[str, float], at: int | None, sequence: int | None, simulated: bool) -> None:
        message = decode(native.encode(profile, values, at, sequence, simulated), context("up"))
        agree(profile, message, values, at)
        assert (message.sequence, message.simulated, message.zoned) == (sequence, simulated, False)

    round_trip()


@pytest.mark.parametrize("name", ["meter_and_probe", "texts_as_numbers", "epoch_ms"])
def test_json_fields_reads_back_what_it_writes(name: str) -> None:
    """Paths, scales, tables of texts and numbers as text."""
    profile = next(profile for profile, _, _ in cases_of("json_fields") if profile.id == name)
    decode = json_fields.decoder(profile)

    @ROUND_TRIPS
    @given(readings(profile).filter(bool), RECENT)
    def round_trip(values: dict[str, float], at: int) -> None:
        agree(profile, decode(json_fields.encode(profile, values, at, 3), context()), values, at)

    round_trip()


def test_bare_reads_back_what_it_writes() -> None:
    """One message a property."""
    profile = cases_of("bare")[0][0]
    decode = bare.decoder(profile)

    @ROUND_TRIPS
    @given(readings(profile).filter(bool))
    def round_trip(values: dict[str, float]) -> None:
        for name, value in values.items():
            event, payload = bare.encode(profile, name, value)
            agree(profile, decode(payload, context(event)), {name: value}, None)

    round_trip()


@pytest.mark.parametrize("name", ["senml_water_station", "senml_cbor_water_station"])
def test_senml_reads_back_what_it_writes(name: str) -> None:
    """JSON and CBOR, the time in whole microseconds."""
    profile = shipped_profiles()[name]
    decode = senml.decoder(profile)

    @ROUND_TRIPS
    @given(readings(profile).filter(bool), RECENT, st.integers(0, 999_999))
    def round_trip(values: dict[str, float], second: int, microseconds: int) -> None:
        at = second + 1000 * microseconds
        agree(profile, decode(senml.encode(profile, values, at), context()), values, at)

    round_trip()


def test_tasmota_reads_back_what_it_writes() -> None:
    """Local time in whole seconds; three phases travel as arrays, and their powers come back added up."""
    profile = shipped_profiles()["tasmota_three_phase_meter"]
    decode = tasmota.decoder(profile)
    phases = ("power_l1", "power_l2", "power_l3")

    @ROUND_TRIPS
    @given(readings(profile).filter(bool), RECENT)
    def round_trip(values: dict[str, float], at: int) -> None:
        for quantity in ("power", "voltage", "current", "power_factor"):
            own = [f"{quantity}_l{phase}" for phase in (1, 2, 3)]
            if all(name in values for name in own):
                values.pop(quantity, None)
            else:
                for name in own:
                    values.pop(name, None)
        if all(name in values for name in phases):
            values["power"] = math.fsum(values[name] for name in phases)
        if values:
            message = decode(tasmota.encode(profile, values, at, ZONE), context("SENSOR"))
            agree(profile, message, values, at)
            assert message.zoned

    round_trip()


@pytest.mark.parametrize("name", [name for name in shipped_profiles() if name.startswith("zigbee2mqtt_")])
def test_zigbee2mqtt_reads_back_what_it_writes(name: str) -> None:
    """Tables of texts and booleans, scaled brightness, the time in milliseconds."""
    profile = shipped_profiles()[name]
    decode = zigbee2mqtt.decoder(profile)

    @ROUND_TRIPS
    @given(readings(profile).filter(bool), RECENT)
    def round_trip(values: dict[str, float], at: int) -> None:
        agree(profile, decode(zigbee2mqtt.encode(profile, values, at), context()), values, at)

    round_trip()


def test_airrohr_reads_back_what_it_writes() -> None:
    """Numbers as text, twelve digits."""
    profile = shipped_profiles()["airrohr_sds011_bme280"]
    decode = airrohr.decoder(profile)

    @ROUND_TRIPS
    @given(readings(profile).filter(bool))
    def round_trip(values: dict[str, float]) -> None:
        agree(profile, decode(airrohr.encode(profile, values), context()), values, None)

    round_trip()


def test_sparkplug_b_reads_back_what_it_writes() -> None:
    """A birth teaches the aliases that the data uses; the counter wraps without a gap."""
    profile = shipped_profiles()["sparkplug_lamp_cabinet"]
    decode = sparkplug_b.decoder(profile)

    @ROUND_TRIPS
    @given(readings(profile), readings(profile).filter(bool), RECENT, st.integers(0, 600))
    def round_trip(first: dict[str, float], later: dict[str, float], at: int, messages: int) -> None:
        memory: dict[str, Any] = {}
        decode(sparkplug_b.node_birth(7, at), context("NBIRTH", memory))
        born = decode(sparkplug_b.encode(profile, first, at, 1, birth=True), context("DBIRTH", memory))
        agree(profile, born, first, at)
        node = memory["node"]
        node.sequence = (messages - 1) % 256
        message = decode(sparkplug_b.encode(profile, later, at, messages % 256), context("DDATA", memory))
        agree(profile, message, later, at)
        assert (born.online, message.reply) == (True, None)
        assert decode(sparkplug_b.node_death(7), context("NDEATH", memory)).online is False

    round_trip()


def test_one_edge_node_cannot_fill_the_memory() -> None:
    """Births with ever new metrics are refused at 20,000."""
    decode = sparkplug_b.decoder(shipped_profiles()["sparkplug_lamp_cabinet"])
    memory: dict[str, Any] = {}
    for first in (0, 15_000):
        birth = Payload(seq=1)
        for alias in range(first, first + 15_000):
            birth.metrics.add(name=f"m{alias}".encode(), alias=alias, datatype=10)
        payload = bytes(birth.SerializeToString())
        seen = refusal(partial(decode, payload, context("DBIRTH", memory)))
        assert seen == (Reason.MALFORMED if first else None)
    assert len(memory["node"].aliases) == 15_000


def test_senml_names_are_read_right_however_many_there_were() -> None:
    """Names that were worked out are remembered within a bound."""
    decode = senml.decoder(shipped_profiles()["senml_water_station"])
    for number in range(2_100):
        pack = [{"bn": f"urn:dev:{number}/", "n": "ph", "v": 7.2}]
        agree(
            shipped_profiles()["senml_water_station"], decode(json.dumps(pack).encode(), context()), {"ph": 7.2}, None
        )


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_shortest_is_still_the_same_32_bit_float(value: float) -> None:
    """Writing a float shorter never makes it another float."""
    assert struct.unpack("<f", struct.pack("<f", sparkplug_b.shortest(value)))[0] == value
