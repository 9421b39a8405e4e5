"""The Things Stack v3: the network server's JSON around a device's payload.

Source: The Things Stack documentation, "Data Formats" and "MQTT server"; read 2026-07.

Payload of ``v3/<application>@<tenant>/devices/<device>/up``, UTF-8 JSON, protobuf's names::

    {"correlation_ids": ["as:up:01E0WZGT6Y7657CPFPE5WEYDSQ"], "received_at": "2020-02-12T15:15:46.014773143Z",
     "uplink_message": {"f_port": 1, "f_cnt": 1, "frm_payload": "gkHe", "decoded_payload": {"temperature": 1.0},
       "rx_metadata": [{"rssi": -35, "channel_rssi": -35, "snr": 5.2}],
       "settings": {"data_rate": {"lora": {}}}, "received_at": "2020-02-12T15:15:45.789585559Z"}}

    frm_payload       the device's bytes as base64, for the profile's own codec
    decoded_payload   what a payload formatter made of them, for profiles with codec ``json_fields``
    received_at       when the network server heard it; the outer one, of the application server, is a little later
    simulated         true if a person typed the uplink into the console

Empty texts, zeros and ``false`` are left out everywhere: a missing ``f_cnt`` is 0. A gateway entry with neither rssi
nor channel_rssi (a roaming partner that does not tell) is no information.
"""

from devices.codecs import Context, Decoder, times
from devices.codecs.envelope import Inner, Link, Wrapped, count, member, members, text
from devices.codecs.json_text import number, read_object
from devices.observation import Message, Reason, RefusedError
from devices.profile import Profile

WITHOUT_READINGS = (
    "join", "up/normalized", "location/solved", "service/data",
    "down/queued", "down/sent", "down/ack", "down/nack", "down/failed",
)  # fmt: skip
"""``up/normalized`` repeats the values of ``up`` in another vocabulary."""
_LARGEST_PORT = 255
_SIGNAL = frozenset({"rssi", "channel_rssi", "snr"})


def decoder(profile: Profile) -> Decoder:
    """Compile the decoder of one profile, whose codec is the device's own.

    Raises:
        ProfileError: as the profile's codec.
    """
    inner = Inner(profile)

    def decode(payload: bytes, context: Context) -> Message:
        document = read_object(payload)
        if context.event in WITHOUT_READINGS:
            return Message([])
        if context.event != "up":
            raise RefusedError(Reason.UNSUPPORTED, f"the topic level {context.event[:40]!r} is no uplink")
        return inner.message(_unwrapped(document, context), context)

    return decode


def _unwrapped(document: dict[str, object], context: Context) -> Wrapped:
    uplink = member(document, "uplink_message")
    if not uplink:
        raise RefusedError(Reason.MALFORMED, "there is no uplink_message")
    simulated = document.get("simulated", False)
    if not isinstance(simulated, bool):
        raise RefusedError(Reason.FIELD_TYPE, "simulated must be true or false")
    heard = text(uplink, "received_at") or text(document, "received_at")
    is_lora = "fsk" not in member(member(uplink, "settings"), "data_rate")
    return Wrapped(
        payload=text(uplink, "frm_payload"),
        fields=uplink.get("decoded_payload"),
        port=count(uplink, "f_port", _LARGEST_PORT),
        observed_at=times.instant(heard, context.zone)[0] if heard else None,
        sequence=count(uplink, "f_cnt"),
        identity=_identity(document),
        links=tuple(link for entry in members(uplink, "rx_metadata") if (link := _link(entry, is_lora)) is not None),
        simulated=simulated,
    )


def _identity(document: dict[str, object]) -> str | None:
    """The application server's own id of this uplink, the same in every copy of the message."""
    ids = document.get("correlation_ids")
    if not isinstance(ids, list):
        return None
    for entry in ids:
        if isinstance(entry, str) and entry.startswith("as:up:"):
            return entry
    return None


def _link(entry: dict[str, object], is_lora: bool) -> Link | None:
    if _SIGNAL.isdisjoint(entry):
        return None
    rssi = number(entry.get("rssi") or entry.get("channel_rssi") or 0, "rssi")
    return Link(rssi, number(entry.get("snr") or 0, "snr") if is_lora else None)
