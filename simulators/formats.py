"""How each format puts a report into MQTT messages: topics, bytes by the codec's encoder, and the device's state."""

import json
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from devices.codecs import airrohr, native, senml, sparkplug_b, tasmota, times, zigbee2mqtt
from devices.fleet_row import DEFAULT_ZONE
from devices.topics import STATUS, UP, own_topic
from simulators.device import Cohort, Identity
from simulators.misreport import Report
from simulators.noise import key_of
from simulators.publisher import Note

PROFILES: Mapping[tuple[str, str], str] = {
    ("lamp", "native"): "native_streetlight",
    ("lamp", "tasmota"): "tasmota_meter_plug",
    ("lamp", "zigbee2mqtt"): "zigbee2mqtt_dimmer",
    ("lamp", "chirpstack"): "native_streetlight",
    ("cabinet", "native"): "native_lamp_cabinet",
    ("cabinet", "tasmota"): "tasmota_three_phase_meter",
    ("cabinet", "sparkplug_b"): "sparkplug_lamp_cabinet",
    ("water", "native"): "native_water_station",
    ("water", "senml"): "senml_water_station",
    ("water", "chirpstack"): "native_water_station",
    ("water", "things_stack"): "native_water_station",
    ("air", "native"): "native_air_station",
    ("air", "airrohr"): "airrohr_sds011_bme280",
    ("air", "tasmota"): "tasmota_pms5003_bme280",
    ("tap", "native"): "native_tap_water",
    ("tap", "chirpstack"): "native_tap_water",
}
"""The device profile of a kind that speaks a format; a LoRaWAN server's payload formatter makes native names."""

NOT_SAID: Mapping[tuple[str, str], frozenset[str]] = {
    # Tasmota says each of these once, as an array over the phases where there are several.
    ("cabinet", "tasmota"): frozenset({"voltage", "current", "power_factor"}),
}
"""Properties of the profile that a kind does not say in a format."""

_ZONE = ZoneInfo(DEFAULT_ZONE)
_MILLISECOND = 1_000_000
"""Nanoseconds; samples are taken at whole ones."""


class Format(NamedTuple):
    """What a format can say, and how."""

    write: Callable[[Identity, Report], tuple[Note, ...]]
    """The messages of one report; the last carries its values."""
    states: Callable[[Identity, bool], Note | None]
    """The retained message that the device is online, or not."""
    clock: Literal["device", "server", "none"] = "device"
    """Whose time an uplink carries: the device's own, that of a network server that is always right, or none."""
    resolution: int = _MILLISECOND
    """Nanoseconds of the time's last digit."""
    says_number: bool = False

    def says(self, report: Report) -> Report:
        """The report with no more than an uplink in this format can carry."""
        if self.clock == "device" and self.resolution == _MILLISECOND and self.says_number:
            return report
        observed_at = report.observed_at if self.clock == "device" else round(report.at * 1000.0) * 1_000_000
        if observed_at is not None:
            observed_at -= observed_at % self.resolution
        return report._replace(
            observed_at=None if self.clock == "none" else observed_at,
            sequence=report.sequence if self.says_number else None,
        )


def hardware_id(format_: str, device: str, seed: int) -> str:
    """What the device is called on its vendor's topics; empty where that is its own name."""
    if format_ == "chirpstack":
        return f"{key_of(seed, 'DevEUI', device):016x}"
    if format_ == "sparkplug_b":
        return f"{device}-edge"
    return ""


def _native(device: Identity, report: Report) -> tuple[Note, ...]:
    payload = native.encode(device.profile, report.values, report.observed_at, report.sequence)
    return (Note(own_topic(device.commune, device.name, UP), payload),)


def _native_state(device: Identity, online: bool) -> Note:
    return Note(own_topic(device.commune, device.name, STATUS), b"online" if online else b"offline", retain=True)


def _senml(device: Identity, report: Report) -> tuple[Note, ...]:
    return (Note(f"senml/{device.name}", senml.encode(device.profile, report.values, report.observed_at)),)


def _tasmota(device: Identity, report: Report) -> tuple[Note, ...]:
    payload = tasmota.encode(device.profile, report.values, report.observed_at or 0, _ZONE)
    return (Note(f"tele/{device.name}/SENSOR", payload),)


def _tasmota_state(device: Identity, online: bool) -> Note:
    return Note(f"tele/{device.name}/LWT", b"Online" if online else b"Offline", retain=True)


def _zigbee2mqtt(device: Identity, report: Report) -> tuple[Note, ...]:
    payload = zigbee2mqtt.encode(device.profile, report.values, report.observed_at)
    return (Note(f"zigbee2mqtt/{device.name}", payload),)


def _zigbee2mqtt_state(device: Identity, online: bool) -> Note:
    state = b'{"state":"online"}' if online else b'{"state":"offline"}'
    return Note(f"zigbee2mqtt/{device.name}/availability", state, retain=True)


def _airrohr(device: Identity, report: Report) -> tuple[Note, ...]:
    identity = str(key_of("esp8266", device.name) % 16_777_216)
    return (Note(f"airrohr/{device.name}", airrohr.encode(device.profile, report.values, identity)),)


def _no_state(device: Identity, online: bool) -> None:  # noqa: ARG001 - some formats have none
    return None


def _chirpstack(device: Identity, report: Report) -> tuple[Note, ...]:
    """The network server's JSON around what its payload formatter made. The time is the server's: it has a clock."""
    heard = report.observed_at or 0
    bits = f"{key_of('deduplication', device.hardware_id, heard, report.sequence or 0):016x}"
    document = {
        "deduplicationId": f"{bits[:8]}-{bits[8:12]}-4{bits[12:15]}-8{bits[1:4]}-{bits[4:16]}",
        "time": times.text(heard).replace("Z", "+00:00"),
        "deviceInfo": {
            "applicationName": f"village-{device.commune}",
            "deviceProfileName": device.profile.id,
            "deviceName": device.name,
            "devEui": device.hardware_id,
            "tags": {"commune": device.commune},
        },
        "adr": True, "dr": 5, "fCnt": report.sequence or 0, "fPort": 2, "confirmed": False, "data": "",
        "object": _object(device, report),
        "rxInfo": [{"gatewayId": f"{key_of('gateway', device.commune):016x}", **_link(report), "crcStatus": "CRC_OK"}],
        "txInfo": {"frequency": 923_200_000, "modulation": {"lora": {"bandwidth": 125_000, "spreadingFactor": 7}}},
        "regionConfigId": "as923",
    }  # fmt: skip
    return (Note(f"application/village-{device.commune}/device/{device.hardware_id}/event/up", _json(document)),)


def _things_stack(device: Identity, report: Report) -> tuple[Note, ...]:
    """Likewise; the server itself says that nobody measured this."""
    heard = times.text(report.observed_at or 0)
    link = _link(report)
    gateway = {"gateway_ids": {"gateway_id": f"village-{device.commune}"}, **link, "channel_rssi": link["rssi"]}
    document = {
        "end_device_ids": {"device_id": device.name, "application_ids": {"application_id": "village"}},
        "correlation_ids": [f"as:up:{key_of('correlation', device.name, report.sequence or 0):016X}"],
        "received_at": heard,
        "uplink_message": {
            "f_port": 2, "f_cnt": report.sequence or 0, "decoded_payload": _object(device, report),
            "rx_metadata": [gateway],
            "settings": {"data_rate": {"lora": {"bandwidth": 125_000, "spreading_factor": 7}}},
            "received_at": heard, "consumed_airtime": "0.056576s",
        },
        "simulated": True,
    }  # fmt: skip
    return (Note(f"v3/village@commune/devices/{device.name}/up", _json(document)),)


def _object(device: Identity, report: Report) -> object:
    return json.loads(native.encode(device.profile, report.values))


def _link(report: Report) -> dict[str, float]:
    rssi = report.values.get("rssi", -90.0)
    return {"rssi": round(rssi), "snr": round((rssi + 100.0) / 3.0, 1)}


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


_SESSION = 250
"""Messages of a Sparkplug session: its counter has 256 values, and a new session begins before it wraps."""


def _sparkplug(device: Identity, report: Report) -> tuple[Note, ...]:
    """Births first, then data; ``sequence`` counts the reports since the connection began."""
    observed_at, place = report.observed_at or 0, (report.sequence or 0) % _SESSION
    group, node = device.commune, device.hardware_id
    if place:
        payload = sparkplug_b.encode(device.profile, report.values, observed_at, place + 1)
        return (Note(f"spBv1.0/{group}/DDATA/{node}/{device.name}", payload),)
    birth = sparkplug_b.node_birth((report.sequence or 0) // _SESSION % 256, observed_at)
    payload = sparkplug_b.encode(device.profile, report.values, observed_at, 1, birth=True)
    return (
        Note(f"spBv1.0/{group}/NBIRTH/{node}", birth),
        Note(f"spBv1.0/{group}/DBIRTH/{node}/{device.name}", payload),
    )


FORMATS: Mapping[str, Format] = {
    "native": Format(_native, _native_state, says_number=True),
    "senml": Format(_senml, _no_state),
    "tasmota": Format(_tasmota, _tasmota_state, resolution=1_000_000_000),
    "zigbee2mqtt": Format(_zigbee2mqtt, _zigbee2mqtt_state),
    "airrohr": Format(_airrohr, _no_state, clock="none"),
    "chirpstack": Format(_chirpstack, _no_state, clock="server", says_number=True),
    "things_stack": Format(_things_stack, _no_state, clock="server", says_number=True),
    "sparkplug_b": Format(_sparkplug, _no_state, says_number=True),
}
"""Every format a simulated device can speak."""


class Voice:
    """One cohort's way of speaking, and the sessions it has begun."""

    def __init__(self, cohort: Cohort) -> None:
        self._cohort = cohort
        self._format = FORMATS[cohort.format]
        self._first: dict[int, int] = {}

    @property
    def recognizable(self) -> bool:
        """Whether a repeat can be told from a new reading."""
        return self._format.clock != "none" or self._format.says_number

    def say(self, device: int, report: Report) -> tuple[Report, tuple[Note, ...]]:
        """What an uplink can carry of the report, and its messages, of which the last carries the values."""
        said = self._format.says(report)
        if self._cohort.format == "sparkplug_b" and said.sequence is not None:
            # A new connection is a new session, and that begins with births.
            said = said._replace(sequence=said.sequence - self._first.setdefault(device, said.sequence))
        return said, self._format.write(self._cohort.identities[device], said)
