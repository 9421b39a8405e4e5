"""Profiles and their codecs: every shipped one compiles, and one that its codec cannot use is refused at the start."""

from typing import Any

import pytest

from devices.codecs import load
from devices.profile import Profile, ProfileError, shipped_profiles

POWER = {"name": "power", "unit": "W", "path": "x"}
KILOWATTS = [{"name": f"power_l{phase}", "unit": "kW"} for phase in (1, 2, 3)]


def test_every_shipped_profile_compiles() -> None:
    """No profile names a codec, path or option that does not exist."""
    for profile in shipped_profiles().values():
        assert callable(load(profile.codec).decoder(profile)), profile.id


@pytest.mark.parametrize(
    ("codec", "change", "word"),
    [
        ("native", {"properties": [{"name": "power", "unit": "kW"}]}, "canonical|are in W"),
        ("native", {"properties": [{"name": "power", "unit": "W", "scale": 2}]}, "no path, scale"),
        ("json_fields", {"properties": [{"name": "power", "unit": "W", "path": "a..b"}]}, "not a path"),
        ("json_fields", {"properties": [{"name": "power", "unit": "W", "scale": 0}]}, "scale"),
        ("json_fields", {"options": {"numbers_as_text": "yes"}}, "true or false"),
        ("json_fields", {"options": {"colour": 1}}, "options.colour"),
        ("json_fields", {"time": {"path": "a["}}, "time"),
        ("json_fields", {"sequence": "a["}, "sequence"),
        ("bare", {"options": {"colour": 1}}, "options.colour"),
        ("bare", {"properties": [POWER, POWER | {"name": "apparent_power", "unit": "VA"}]}, "already"),
        ("senml", {"options": {"format": "xml"}}, "json or cbor"),
        ("senml", {"properties": [{"name": "power", "unit": "W", "scale": 2}]}, "no scale"),
        ("tasmota", {"options": {"colour": 1}}, "options.colour"),
        ("tasmota", {"properties": [POWER, *KILOWATTS]}, "power_l1: .* same unit"),
        ("zigbee2mqtt", {"options": {"colour": 1}}, "options.colour"),
        ("airrohr", {"properties": [{"name": "power", "unit": "W", "scale": 0}]}, "scale"),
        ("sparkplug_b", {"options": {"colour": 1}}, "options.colour"),
    ],
)  # fmt: skip
def test_a_profile_that_its_codec_cannot_use_is_refused(codec: str, change: dict[str, Any], word: str) -> None:
    """One line that names the key, before any message arrives."""
    plain = {
        "id": "x", "maker": "x", "model": "x", "domain": "streetlight", "codec": codec, "interval_seconds": 300,
        "properties": [{"name": "power", "unit": "W"}], "evidence": {"kind": "constructed", "document": "this test"},
    }  # fmt: skip
    profile = Profile.model_validate(plain | change)
    with pytest.raises(ProfileError, match=word):
        load(codec).decoder(profile)
