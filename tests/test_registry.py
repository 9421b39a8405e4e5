"""Who speaks on a topic: our own, every vendor's, and hardware that was replaced; unknown ones by the right reason."""

import re
import tracemalloc
from zoneinfo import ZoneInfo

import pytest

from devices.fleet_row import FleetRow, parse_since
from devices.observation import RefusedError
from devices.profile import shipped_profiles
from devices.registry import Found, Registry
from devices.topics import VENDOR_SOURCES, Source
from tests.line_parts import NOW, ROWS, make_registry

CHANGED = parse_since("2026-03-01")
"""Midnight in Vietnam, when lamp-1 got another controller."""

FLEET = [
    {**ROWS[0], "hardware_ids": "A84041FFFF21234; 0004a30b001c0530@2026-03-01", "name": "Đèn 1"},
    {**ROWS[1], "hardware_ids": "a84041ffff21234@2026-03-01", "timezone": "UTC", "powered": "always"},
    {**ROWS[2], "hardware_ids": "floor 1/probe; gw-7:probe", "latitude": "20.94", "legacy_commune": "10507"},
    ROWS[4],
]


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The fleet with every vendor's topics, and one of our own."""
    return make_registry(FLEET, sources=[*VENDOR_SOURCES.values(), Source("plant", "plant/{line}/{device}/{event...}")])


def reason(registry: Registry, topic: str, at: int = NOW) -> str:
    """Why nobody speaks on this topic."""
    with pytest.raises(RefusedError) as caught:
        registry.find(topic, at)
    assert 0 < len(caught.value.detail) <= 300
    return caught.value.reason.value


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("village/10642/lamp-1/up", Found(0, "up", 0)),
        ("village/10642/lamp-2/cmd/ack", Found(1, "cmd/ack", 0)),
        ("village/10645/toy-1/status", Found(3, "status", 0)),
        ("village/10645/lamp-1/up", "unknown_device"),
        ("village/10642/LAMP-1/up", "unknown_device"),
        ("village/10642/nobody/up", "unknown_device"),
        ("village//lamp-1/up", "unknown_device"),
        ("village/10642/lamp-1", "unknown_topic"),
        ("village", "unknown_topic"),
        ("villages/10642/lamp-1/up", "unknown_topic"),
        ("", "unknown_topic"),
        ("/", "unknown_topic"),
        ("\ufffd/x/y/z", "unknown_topic"),
    ],
)
def test_own_topics(registry: Registry, topic: str, expected: Found | str) -> None:
    """Device and commune must both be right."""
    seen = registry.find(topic, NOW) if isinstance(expected, Found) else reason(registry, topic)
    assert seen == expected


VENDOR_TOPICS = [
    ("tasmota", "tele/{}/SENSOR", "SENSOR", ""),
    ("tasmota", "tele/{}/LWT", "LWT", ""),
    ("zigbee2mqtt", "zigbee2mqtt/{}", "", ""),
    ("zigbee2mqtt", "zigbee2mqtt/{}/availability", "availability", ""),
    ("chirpstack", "application/5f0a/device/{}/event/up", "up", ""),
    ("things_stack", "v3/app@ttn/devices/{}/up", "up", ""),
    ("things_stack", "v3/app@ttn/devices/{}/down/queued", "down/queued", ""),
    ("sparkplug_b", "spBv1.0/plant/DDATA/node-4/{}", "DDATA", "plant/node-4"),
    ("sparkplug_b_node", "spBv1.0/plant/NBIRTH/{}", "NBIRTH", "plant/0004A30B001C0530"),
    ("airrohr", "airrohr/{}", "", ""),
    ("senml", "senml/{}", "", ""),
    ("fiware_json", "json/key1/{}/attrs", "", ""),
    ("bare", "value/{}/power", "power", ""),
    ("plant", "plant/line-2/{}/a/b", "a/b", ""),
]


def test_every_vendor_source_has_a_topic_here() -> None:
    """A new one is tried below too."""
    assert {name for name, *_ in VENDOR_TOPICS} == {*VENDOR_SOURCES, "plant"}


@pytest.mark.parametrize(("source", "topic", "event", "node"), VENDOR_TOPICS)
def test_vendor_topics(registry: Registry, source: str, topic: str, event: str, node: str) -> None:
    """By hardware id in any case, or by the device's own name; its node where codecs must remember it."""
    number = [known.name for known in registry.sources].index(source)
    assert registry.find(topic.format("0004A30B001C0530"), NOW) == Found(0, event, number, node)
    found = registry.find(topic.format("lamp-2"), NOW)
    assert (found.device, found.event, found.source) == (1, event, number)
    assert reason(registry, topic.format("nobody")) == "unknown_device"


@pytest.mark.parametrize(
    "topic",
    ["tele/lamp-1", "tele/lamp-1/SENSOR/x", "zigbee2mqtt/bridge/devices", "application/a/device/lamp-1/command/down",
     "spBv1.0/plant/STATE", "airrohr/lamp-1/x", "json/key1/lamp-1/cmd", "value/lamp-1", "stat/lamp-1/RESULT"],
)  # fmt: skip
def test_topics_beside_the_sources(registry: Registry, topic: str) -> None:
    """Nobody claims them."""
    assert reason(registry, topic) == "unknown_topic"


def test_hardware_id_with_slashes_and_spaces(registry: Registry) -> None:
    """Friendly names of a bridge."""
    assert registry.find("zigbee2mqtt/Floor 1/Probe", NOW).device == 2


@pytest.mark.parametrize(
    ("hardware", "at", "device"),
    [
        ("A84041FFFF21234", CHANGED - 1, 0),
        ("a84041ffff21234", CHANGED, 1),
        ("0004a30b001c0530", CHANGED - 1, None),
        ("0004A30B001C0530", CHANGED, 0),
        ("0004a30b001c0530", NOW, 0),
        ("nothing", NOW, None),
    ],
)
def test_replaced_hardware_speaks_for_whom_it_did_then(
    registry: Registry, hardware: str, at: int, device: int | None
) -> None:
    """The old controller went from lamp-1 to lamp-2 that day; the history of each stays its own."""
    assert registry.by_hardware(hardware, at) == device
    if device is None:
        assert reason(registry, f"tele/{hardware}/SENSOR", at) == "unknown_device"
    else:
        assert registry.find(f"tele/{hardware}/SENSOR", at).device == device


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"device": "lamp-1"}, "device: 'lamp-1' is already in the fleet"),
        ({"profile": "none"}, "profile: no profile 'none'; see `village devices supported`"),
        ({"hardware_ids": "GW-7:PROBE"}, "hardware_ids: 'GW-7:PROBE' already speaks for 'water-1'"),
        ({"hardware_ids": "a84041ffff21234"}, "hardware_ids: 'a84041ffff21234' already speaks for 'lamp-1'"),
        (
            {"hardware_ids": "x; a84041ffff21234@2026-02-28"},
            "hardware_ids: 'a84041ffff21234' already speaks for 'lamp-1'",
        ),
        ({"calibration": "ph 1 0"}, "calibration: profile native_streetlight has no property 'ph'"),
    ],
)
def test_row_that_contradicts_the_fleet_is_refused(row: dict[str, str], said: str) -> None:
    """With the column and the other device; the fleet stays as it was."""
    fresh = make_registry(FLEET)
    before = (len(fresh), fresh.series_count)
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        fresh.add(FleetRow.model_validate({**ROWS[0], "device": "new-1", **row}))
    assert (len(fresh), fresh.series_count) == before
    assert fresh.add(FleetRow.model_validate({**ROWS[0], "device": "new-2"})) == 4


def test_device_is_put_together_again(registry: Registry) -> None:
    """What the fleet says, what the profile adds, and what is not known."""
    lamp, probe = registry.device(0), registry.device(2)
    assert (lamp.name, lamp.label, lamp.commune, lamp.group, lamp.latitude) == (
        "lamp-1",
        "Đèn 1",
        "10642",
        "tu-1",
        None,
    )
    assert (lamp.interval_seconds, lamp.powered, lamp.simulated) == (300, "always", False)
    assert [(i.value, i.since) for i in lamp.hardware_ids] == [("A84041FFFF21234", 0), ("0004a30b001c0530", CHANGED)]
    assert (probe.label, probe.latitude, probe.legacy_commune, probe.group) == ("water-1", 20.94, "10507", "")
    assert registry.device(3).simulated
    assert [registry.timezone(n) for n in (0, 1)] == [ZoneInfo("Asia/Ho_Chi_Minh"), registry.device(1).zone_info]


def test_series_follow_each_other(registry: Registry) -> None:
    """One for each property of each device."""
    widths = [len(registry.profile(n).properties) for n in range(len(registry))]
    assert [*registry.first_series] == [sum(widths[:n]) for n in range(len(widths))]
    assert registry.series_count == sum(widths)


def test_large_fleet_takes_little_memory() -> None:
    """200,000 devices in tens of megabytes: a tenth of them is weighed here, at most 500 bytes each."""
    count = 20_000
    rows = [
        FleetRow.model_validate(
            {"device": f"lamp-{n:06d}", "profile": "native_streetlight", "commune": f"{10_000 + n % 207}",
             "group": f"tu-{n % 40}", "hardware_ids": f"{n:016x}", "latitude": 20.5 + n / 1e6, "longitude": 106.3}
        )
        for n in range(count)
    ]  # fmt: skip
    tracemalloc.start()
    try:
        large = Registry.of(rows, shipped_profiles().values(), [VENDOR_SOURCES["tasmota"]])
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size / count < 500
    assert large.find("village/10006/lamp-000006/up", NOW).device == 6
    assert large.find(f"tele/{19_999:016X}/STATE", NOW).device == 19_999
    assert large.series_count == count * 10
