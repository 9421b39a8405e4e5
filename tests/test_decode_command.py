"""``village decode`` on every golden payload: the readings are the case's observations, in canonical units."""

import base64
import json
from datetime import UTC
from pathlib import Path

import pytest

from devices.codecs import CODECS, times
from devices.codecs.envelope import ENVELOPES
from devices.fleet_row import FleetRow
from devices.observation import Observation, RefusedError
from devices.registry import Registry
from devices.topics import Source
from devices.units import conversion
from gateway.line.decode_once import decode_once
from gateway.line.normalize import place_in_time
from gateway.line.pipeline import Limits
from tests.test_cases import FOLDERS, Case, payload_of, read_case

Readings = dict[tuple[str, object], object]
"""Values by property and the time that the device gave, None where it gave none that can be used."""


def by_command(case: Case) -> Readings | str:
    """What the command prints of the payload, or the reason it names."""
    said, codec = case.context, case.uplink.parent.parent.name
    topic, payload = f"case/device-1/{said['event']}", payload_of(case.uplink)
    source = Source("case", "case/{device}/{event...}", codec if codec in ENVELOPES else "")
    if not said["event"]:
        topic, source = "case/device-1", Source("case", "case/{device}", source.envelope)
    if said["port"] and payload:
        # A payload from behind a network server comes in its envelope, which tells the port.
        wrapped = {"fPort": said["port"], "data": base64.b64encode(payload).decode()}
        topic, payload = "case/device-1/up", json.dumps(wrapped).encode()
        source = Source("case", "case/{device}/{event}", "chirpstack")
    fleet = {"device": "device-1", "profile": case.profile.id, "commune": "10642", "timezone": said["zone"]}
    registry = Registry.of([FleetRow.model_validate(fleet)], [case.profile], [source])
    received_at, _ = times.instant(said["received_at"], UTC)
    try:
        found = decode_once(registry, topic, payload, received_at, Limits(accept_simulated=True))
    except RefusedError as refusal:
        return refusal.reason.value
    return {
        (str(one["property"]), one["observed_at"] if one["clock"] in {0, 4} else None): one["value"] for one in found
    }


def by_case(case: Case) -> Readings | str:
    """What the case says."""
    try:
        message = case.run()
    except RefusedError as refusal:
        return refusal.reason.value
    received_at, _ = times.instant(case.context["received_at"], UTC)
    status: Readings = {} if message.online is None else {("online", None): float(message.online)}
    return status | dict(_reading(one, received_at, zoned=message.zoned) for one in message.observations)


def _reading(one: Observation, received_at: int, *, zoned: bool) -> tuple[tuple[str, object], object]:
    rule = conversion(one.property, one.unit)
    assert rule is not None
    _, clock = place_in_time(one.observed_at, received_at, zoned=zoned)
    told = times.text(one.observed_at) if one.observed_at is not None and clock in {0, 4} else None
    return (one.property, told), one.value * rule.factor + rule.offset


def fits_one_message(folder: Path) -> bool:
    """Whether one payload says everything: no birth that came before, no mark of the broker, no line of a file."""
    case, codec = read_case(folder), folder.parent.name
    is_own = codec in ENVELOPES or case.profile.codec == codec
    return is_own and not case.context["earlier"] and not case.context["retained"]


@pytest.mark.parametrize("codec", CODECS)
def test_the_command_prints_what_the_case_says(codec: str) -> None:
    """Reading for reading, or refused for the same reason."""
    folders = [folder for folder in FOLDERS if folder.parent.name == codec and fits_one_message(folder)]
    cases = {folder.name: read_case(folder) for folder in folders}
    assert len(cases) >= 4
    assert {name: by_command(case) for name, case in cases.items()} == {
        name: by_case(case) for name, case in cases.items()
    }
