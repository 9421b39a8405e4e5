"""ChirpStack v4: the network server's JSON around a device's payload.

Source: ChirpStack ``api/proto/integration/integration.proto`` and ``gw/gw.proto``, v4; read 2026-07.

Payload of ``application/<id>/device/<devEui>/event/up``, UTF-8 JSON, protobuf's names in camel case::

    {"deduplicationId": "3ac7e3c4-...", "time": "2026-08-01T04:05:06.789123456+00:00", "fCnt": 4, "fPort": 1,
     "data": "AQID", "object": {"ph": 7.21}, "rxInfo": [{"gatewayId": "0016c001f153a14c", "rssi": -36, "snr": 10.5}],
     "txInfo": {"modulation": {"lora": {}}}}

    data     the device's bytes as base64, for the profile's own codec
    object   what the server's payload formatter made of them, for profiles with codec ``json_fields``; null or missing
             without a formatter
    time     when the first gateway heard it
    rxInfo   one entry a gateway; here zeros are left out, so a missing rssi or snr is 0

Other events: ``status`` carries the battery level; ``join``, ``log``, ``ack``, ``txack``, ``location`` and
``integration`` say nothing that is a reading.
"""

from devices.codecs import Context, Decoder, times
from devices.codecs.envelope import Inner, Link, Wrapped, count, member, members, text
from devices.codecs.json_text import number, read_object
from devices.observation import Message, Reason, RefusedError
from devices.profile import Profile

WITHOUT_READINGS = frozenset({"join", "log", "ack", "txack", "location", "integration"})
_LARGEST_PORT = 255


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one profile, whose codec is the device's own.

    Raises:
        ProfileError: as the profile's codec.
    """
    inner = Inner(profile)

    def decode(payload: bytes, context: Context) -> Message:
        document = read_object(payload)
        if context.event == "up":
            return inner.message(_unwrapped(document, context), context)
        if context.event == "status":
            return _status(document, inner, context)
        if context.event in WITHOUT_READINGS:
            return Message([])
        raise RefusedError(Reason.UNSUPPORTED, f"ChirpStack has no event {context.event[:40]!r} that this codec knows")

    return decode


def _unwrapped(document: dict[str, object], context: Context) -> Wrapped:
    modulation = member(member(document, "txInfo"), "modulation")
    has_snr = "fsk" not in modulation
    return Wrapped(
        payload=text(document, "data"),
        fields=document.get("object"),
        port=count(document, "fPort", _LARGEST_PORT),
        observed_at=_time(document, context),
        sequence=count(document, "fCnt"),
        identity=text(document, "deduplicationId") or None,
        links=tuple(_link(entry, has_snr) for entry in members(document, "rxInfo")),
    )


def _time(document: dict[str, object], context: Context) -> int | None:
    stated = text(document, "time")
    return times.instant(stated, context.zone)[0] if stated else None


def _link(entry: dict[str, object], has_snr: bool) -> Link:
    snr = number(entry.get("snr") or 0, "snr") if has_snr else None
    return Link(number(entry.get("rssi") or 0, "rssi"), snr)


def _status(document: dict[str, object], inner: Inner, context: Context) -> Message:
    """Battery level [%], unless the device is on external power or does not know it."""
    powered, unknown = (_flag(document, key) for key in ("externalPowerSource", "batteryLevelUnavailable"))
    values = {"external_power": float(powered)}
    if not powered and not unknown:
        values["battery"] = number(document.get("batteryLevel", 0), "batteryLevel")
    identity = text(document, "deduplicationId") or None
    return Message(inner.status(values, _time(document, context)), identity=identity)


def _flag(document: dict[str, object], key: str) -> bool:
    found = document.get(key, False)
    if not isinstance(found, bool):
        raise RefusedError(Reason.FIELD_TYPE, f"{key} must be true or false")
    return found
