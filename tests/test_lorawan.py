"""Network servers' envelopes, binary codecs and the profiles of real devices."""

import base64
import json
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devices.codecs import Context, Decoder, cayenne_lpp, load
from devices.codecs.layout import compile_layout, rule, rules_by_path
from devices.observation import Message, Observation, Reason, RefusedError
from devices.profile import Profile, ProfileError, ProfileProperty, parse_profile, shipped_profiles
from tests.test_cases import CASES, FOLDERS, read_case

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
BINARY = (
    "cayenne_lpp", "milesight", "milesight_nb_iot", "decentlab", "nas_luminaire", "nas_meter", "yobiiq",
    "synetica_enlink", "fixed_layout",
)  # fmt: skip
ENVELOPES = ("chirpstack", "things_stack")
DECODERS: dict[str, Decoder] = {
    profile.id: load(profile.codec).decoder(profile)
    for profile in shipped_profiles().values()
    if profile.codec in BINARY
}
EVERY_TYPE = parse_profile((CASES / "cayenne_lpp/every_type.toml").read_text("utf-8"), "every_type.toml")
DECODERS["every_type"] = load("cayenne_lpp").decoder(EVERY_TYPE)


def constructed(codec: str, path: str = "", name: str = "ph", unit: str = "[pH]", **options: Any) -> Profile:
    """A profile of one property."""
    return Profile.model_validate(
        {
            "id": "made", "maker": "none", "model": "none", "domain": "water_quality", "codec": codec,
            "interval_seconds": 600, "properties": [{"name": name, "unit": unit, "path": path}], "options": options,
            "evidence": {"kind": "constructed", "document": "this test"},
        }
    )  # fmt: skip


def message_or_reason(decode: Decoder, payload: bytes, event: str = "up", port: int = 1) -> Message | Reason:
    """What the codec says; any other exception is the test's failure."""
    try:
        message = decode(payload, Context(event, ZONE, {}, port=port))
    except RefusedError as error:
        return error.reason
    for observation in message.observations:
        assert observation.value - observation.value == 0.0
    return message


# Arbitrary bytes ---------------------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(DECODERS)), st.binary(max_size=80), st.sampled_from([0, 1, 2, 5, 23, 24, 25, 26, 61]))
@example("synetica_enlink_oaq", bytes.fromhex("587f800000"), 1)
@example("milesight_em400_tld_nb_iot", bytes.fromhex("020001") + bytes(83), 1)
@example("nas_um3081", bytes.fromhex("0282001001050000807f0000c07f"), 25)
def test_any_bytes_are_a_message_or_a_named_refusal(name: str, payload: bytes, port: int) -> None:
    """A binary codec never fails in any other way, and never says NaN."""
    assert isinstance(message_or_reason(DECODERS[name], payload, port=port), (Message, Reason))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def envelope(server: str, payload: str, fields: Any, port: Any, link: Any, modulation: str) -> dict[str, Any]:
    """An uplink as that network server writes it."""
    if server == "chirpstack":
        return {
            "time": "2026-08-01T04:05:06+00:00", "fCnt": 1, "fPort": port, "data": payload, "object": fields,
            "rxInfo": [link], "txInfo": {"modulation": {modulation: {}}},
        }  # fmt: skip
    settings: dict[str, Any] = {"data_rate": {modulation: {}}}
    uplink = {"f_port": port, "frm_payload": payload, "decoded_payload": fields, "rx_metadata": [link]}
    return {"uplink_message": {**uplink, "settings": settings}, "received_at": "2026-08-01T04:05:06Z"}


@given(
    st.sampled_from(ENVELOPES),
    st.sampled_from([name for name in DECODERS if name != "every_type"]),
    st.binary(max_size=60),
    st.sampled_from([1, 2, 23, 25, 26]),
)
def test_any_bytes_inside_an_envelope_are_a_message_or_a_named_refusal(
    server: str, name: str, inner: bytes, port: int
) -> None:
    """What the payload's own codec refuses, the envelope refuses for the same reason."""
    decode = load(server).decoder(shipped_profiles()[name])
    wrapped = envelope(server, base64.b64encode(inner).decode(), None, port, {"rssi": -90, "snr": 3.5}, "lora")
    seen = message_or_reason(decode, json.dumps(wrapped).encode())
    alone = message_or_reason(DECODERS[name], inner, port=port)
    if isinstance(alone, Reason) and inner:
        assert seen == alone
    else:
        assert isinstance(seen, Message)


@given(st.sampled_from(ENVELOPES), JSON, JSON, JSON, st.sampled_from(["lora", "fsk"]))
def test_any_fields_of_an_envelope_are_a_message_or_a_named_refusal(
    server: str, fields: Any, port: Any, link: Any, modulation: str
) -> None:
    """No shape of the server's JSON gets through as an unforeseen error."""
    decode = load(server).decoder(constructed("json_fields"))
    payload = json.dumps(envelope(server, "AA==", fields, port, link, modulation)).encode()
    assert isinstance(message_or_reason(decode, payload), (Message, Reason))


@given(st.sampled_from(ENVELOPES), JSON, st.sampled_from(["up", "status", "join", "log", "", "up/normalized", "x"]))
def test_any_json_is_a_message_or_a_named_refusal(server: str, document: Any, event: str) -> None:
    """Whatever the topic says the event is."""
    decode = load(server).decoder(shipped_profiles()["milesight_em500_swl"])
    assert isinstance(message_or_reason(decode, json.dumps(document).encode(), event), (Message, Reason))


# Cayenne LPP -------------------------------------------------------------------------------------------------------


@st.composite
def lpp_numbers(draw: st.DrawFn) -> dict[str, float]:
    """Some channels of some types, each number a whole count of its type's steps."""
    records = draw(st.lists(st.tuples(st.integers(0, 255), st.sampled_from(sorted(cayenne_lpp.TYPES))), unique=True))
    numbers = {}
    for channel, kind in records:
        for part in cayenne_lpp.TYPES[kind]:
            bits = part.size * 8
            low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if part.signed else (0, 2**bits - 1)
            numbers[f"{channel} {kind}{part.suffix}"] = draw(st.integers(low, high)) / part.divide
    return numbers


@given(lpp_numbers())
def test_cayenne_payload_is_read_as_it_was_written(numbers: dict[str, float]) -> None:
    """Every type over its whole range."""
    assert cayenne_lpp.read(cayenne_lpp.encode(numbers)) == numbers


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [
        ({"3 103": 3276.8}, "outside the type's range"),
        ({"3 101": -1.0}, "outside the type's range"),
        ({"3 119": 1.0}, "119 is no type"),
        ({"3 113.x": 1.0}, "'3 113.y' is missing"),
    ],
)
def test_cayenne_encoder_says_what_it_cannot_write(numbers: dict[str, float], complaint: str) -> None:
    """A number that does not fit is not cut off."""
    with pytest.raises(ValueError, match=complaint):
        cayenne_lpp.encode(numbers)


# Layouts -----------------------------------------------------------------------------------------------------------


def read_one(text: str, payload: str, order: Any = "big") -> list[float]:
    """The numbers of a layout's only field."""
    entry = ProfileProperty(name="ph", unit="[pH]", path="n")
    layout = compile_layout(text, "n", order, {"n": (rule(entry),)})
    found: list[Observation] = []
    layout.read(bytes.fromhex(payload), 0, found)
    assert layout.size == len(bytes.fromhex(payload))
    return [observation.value for observation in found]


@pytest.mark.parametrize(
    ("text", "payload", "order", "numbers"),
    [
        ("u8", "ff", "big", [255.0]),
        ("i8", "ff", "big", [-1.0]),
        ("u16", "0102", "little", [513.0]),
        ("i24", "fffffe", "big", [-2.0]),
        ("u32", "00000100", "big", [256.0]),
        ("w32", "00010002", "big", [131073.0]),
        ("f16", "3c00", "big", [1.0]),
        ("f32", "41bc7ae1", "big", [23.56]),
        ("f64", "3ff8000000000000", "big", [1.5]),
        ("f32", "7fc00000", "big", []),
        ("u16&3fff", "cd0a", "big", [3338.0]),
        ("u8&f0", "5a", "big", [5.0]),
        ("x2 u8:n x1", "0000070000"[:8], "big", [7.0]),
        ("bits:b u8:n", "ff03", "big", [3.0]),
        ("u8:n+m", "05", "big", [5.0]),
        ("u8:m", "05", "big", []),
    ],
)
def test_layout_field_is_read(text: str, payload: str, order: str, numbers: list[float]) -> None:
    """One row a kind of field."""
    assert read_one(text, payload, order) == numbers


@pytest.mark.parametrize("text", ["u12", "f24", "w16", "q8", "u16&zz", "u8:", "x", "time8"])
def test_layout_with_a_word_that_is_none_is_refused(text: str) -> None:
    """A typing mistake in a profile is found when it loads."""
    with pytest.raises(ValueError, match="is no field of a layout"):
        compile_layout(text, "n", "big", {})


def test_bits_are_fields_of_their_own() -> None:
    """Least significant first."""
    rules = rules_by_path(constructed("fixed_layout", "out.2", "lamp_on", "1"))
    found: list[Observation] = []
    compile_layout("bits:out", "", "big", rules).read(b"\x04", 0, found)
    assert found == [Observation("lamp_on", 1.0, "1")]


@pytest.mark.parametrize(
    ("scale", "shift", "raw", "value"),
    [
        (0.1, 0.0, 2352, 235.2),
        (0.01, -327.68, 33153, 3.85),
        (0.001, 0.0, 3168, 3.168),
        (1 / 320, -51.2, 24599, 25.671875),
        (2.0, 0.0, 48400, 96800.0),
        (-0.1, 0.0, 5, -0.5),
        (0.0, 4.0, 5, 4.0),
    ],
)
def test_scaled_numbers_have_no_tail_of_digits(scale: float, shift: float, raw: int, value: float) -> None:
    """A tenth is divided, not multiplied."""
    found: list[Observation] = []
    rule(ProfileProperty(name="ph", unit="[pH]", scale=scale, shift=shift)).observe(raw, None, found)
    assert [observation.value for observation in found] == [value]


# Profiles that cannot be used --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "complaint"),
    [
        (constructed("chirpstack"), "chirpstack is an envelope"),
        (constructed("cayenne_lpp", ""), "write channel and type"),
        (constructed("cayenne_lpp", "3 119"), "no channel and type"),
        (constructed("cayenne_lpp", "300 103"), "no channel and type"),
        (constructed("cayenne_lpp", "3 113"), "no channel and type"),
        (constructed("cayenne_lpp", "3 103", x=1), "options.x"),
        (constructed("milesight", "03.67"), "'03.67' is not in the payload"),
        (constructed("milesight", "03.67", channels={"03.67": "u12"}), "'u12' is no field"),
        (constructed("milesight", "03.67", channels={"03": "u16:03.67"}), "a type has 2 bytes"),
        (constructed("milesight", "03.67", channels={"zz.67": "u16:03.67"}), "options.channels: zz.67"),
        (constructed("milesight", "03.67", channels={"03.67": 2}), "must be a table of texts"),
        (constructed("decentlab", "ph"), "must be a list of 1 to 16 layouts"),
        (constructed("decentlab", "ph", sensors=["u16:orp"]), "'ph' is not in the payload"),
        (constructed("decentlab", "ph", sensors=["ph"]), "is no field of a layout"),
        (constructed("nas_luminaire", "glow"), "'glow' is not in the payload"),
        (constructed("nas_meter", "volume"), "options.reader: must be one of cm30, um30"),
        (constructed("nas_meter", "glow", reader="um30"), "'glow' is not in the payload"),
        (constructed("yobiiq", "01.99"), "'01.99' is not in the payload"),
        (constructed("synetica_enlink", "99"), "'99' is not in the payload"),
        (constructed("fixed_layout", "ph"), "ports needs at least one layout"),
        (constructed("fixed_layout", "ph", ports={"*": "u16:ph"}, order="middle"), "order is big or little"),
        (constructed("fixed_layout", "ph", ports={"256": "u16:ph"}), "'256' is no fPort"),
        (constructed("fixed_layout", "ph", ports={"2": "ph"}), "is no field of a layout"),
        (constructed("fixed_layout", "ph", ports={"2": "u16:p"}), "'ph' is not in the payload"),
    ],
    ids=lambda value: value.codec if isinstance(value, Profile) else value,
)
def test_profile_mistakes_are_found_when_the_codec_loads(profile: Profile, complaint: str) -> None:
    """With the profile's id and what to do, before any uplink comes."""
    server = load("things_stack") if profile.codec == "chirpstack" else load(profile.codec)
    with pytest.raises(ProfileError, match="made: ") as caught:
        server.decoder(profile)
    assert complaint in str(caught.value)


def test_any_port_has_the_layout_of_the_star() -> None:
    """``*`` stands for the ports that are not listed."""
    decode = load("fixed_layout").decoder(constructed("fixed_layout", "ph", ports={"2": "u8:ph", "*": "x1 u8:ph"}))
    seen = [decode(payload, Context("", ZONE, {}, port=port)) for payload, port in ((b"\x07", 2), (b"\x00\x06", 9))]
    assert [message.observations[0].value for message in seen] == [7.0, 6.0]


# Evidence ----------------------------------------------------------------------------------------------------------


def proven(kind: str) -> set[str]:
    """Profiles that have a golden case of that kind, with readings."""
    found = set()
    for folder in FOLDERS:
        file = folder / ("uplink.hex" if (folder / "uplink.hex").exists() else "provenance")
        out = folder / "expected.out"
        if file.read_text("utf-8").removeprefix("# ").startswith(f"{kind}:") and out.exists() and out.stat().st_size:
            found.add(read_case(folder).profile.id)
    return found


@pytest.mark.parametrize("kind", ["published", "captured"])
def test_profile_with_evidence_has_a_golden_case_of_it(kind: str) -> None:
    """A profile counts only if bytes and values are both known, and they are a case."""
    claimed = {profile.id for profile in shipped_profiles().values() if profile.evidence.kind == kind}
    assert claimed - proven(kind) == set()


def test_thirty_models_are_proven_by_what_their_makers_printed() -> None:
    """The library's promise."""
    assert len([p for p in shipped_profiles().values() if p.evidence.kind == "published"]) >= 30


@pytest.mark.parametrize("profile", shipped_profiles().values(), ids=lambda profile: profile.id)
def test_shipped_profile_loads_its_codec(profile: Profile) -> None:
    """Codec, options and paths fit each other, also inside each envelope that can carry it."""
    decoders: list[Callable[[Profile], Decoder]] = [load(profile.codec).decoder]
    if profile.codec in BINARY:
        decoders += [load(server).decoder for server in ENVELOPES]
    assert all(callable(decoder(profile)) for decoder in decoders)


@pytest.mark.parametrize("profile", shipped_profiles().values(), ids=lambda profile: profile.id)
def test_shipped_profile_is_described_in_both_languages(profile: Profile) -> None:
    """Staff read Vietnamese, developers English; documents are named, not linked."""
    assert profile.description_vi
    assert profile.description_en
    assert "://" not in profile.evidence.document + profile.evidence.page
