"""What a LoRaWAN network server wraps a payload in, as far as it is the same for every server."""

import binascii
from typing import NamedTuple

from pydantic_core import to_json

from devices.codecs import Context, Decoder, load
from devices.codecs.layout import FROM_NETWORK
from devices.observation import Message, Observation, Reason, RefusedError
from devices.profile import Profile, ProfileError
from devices.vocabulary import VOCABULARY

ENVELOPES = frozenset({"chirpstack", "things_stack"})
READS_JSON = frozenset({"json_fields", "native"})
"""Codecs for what the server's own payload formatter made; every other codec reads the device's bytes."""

_DBM, _DB = VOCABULARY["rssi"].unit, VOCABULARY["snr"].unit
_LARGEST_COUNT = 2**32 - 1
"""LoRaWAN frame counters have 32 bits."""


class Link(NamedTuple):
    """How one gateway heard the uplink."""

    rssi: float
    """[dBm]"""
    snr: float | None
    """[dB]; None where the modulation has none (FSK)."""


class Wrapped(NamedTuple):
    """One uplink, taken out of its envelope."""

    payload: str
    """Base64 of the device's bytes; empty if there are none."""
    fields: object
    """What the server's payload formatter made of them; None if it has none."""
    port: int
    observed_at: int | None
    """Nanoseconds UTC, when the network heard it."""
    sequence: int
    identity: str | None
    links: tuple[Link, ...]
    simulated: bool = False


class Inner:
    """A profile's own codec, for the payload inside the envelope."""

    def __init__(self, profile: Profile) -> None:
        if profile.codec in ENVELOPES:
            raise ProfileError(f"{profile.id}: codec: {profile.codec} is an envelope; name the device's own codec")
        self.profile = profile.id
        self.codec = profile.codec
        self._decode: Decoder = load(profile.codec).decoder(profile)
        declared = {entry.name for entry in profile.properties}
        own = {entry.name for entry in profile.properties if entry.path and entry.path != entry.name}
        self._wants_rssi, self._wants_snr = (name in declared - own for name in ("rssi", "snr"))
        self._from_status = declared & FROM_NETWORK

    def message(self, wrapped: Wrapped, context: Context) -> Message:
        """Decode one uplink.

        Values without a time of their own get the envelope's.

        Raises:
            RefusedError: as the profile's codec; ``unsupported`` if only the bytes came and the codec reads fields;
                ``malformed`` for bytes that are not base64; ``no_reading`` for an uplink without payload.
        """
        observations = self._link(wrapped.links, wrapped.observed_at)
        payload = self._payload(wrapped)
        if payload is None:
            if not observations:
                raise RefusedError(Reason.NO_READING, "the uplink carries no payload")
            inner = Message([])
        else:
            event, zone, memory, retained, _, received_at = context
            inner = self._decode(payload, Context(event, zone, memory, retained, wrapped.port, received_at))
            observations = _timed(inner.observations, wrapped.observed_at) + observations
        return Message(
            observations, wrapped.sequence, wrapped.identity, inner.zoned, inner.online, inner.stale,
            inner.simulated or wrapped.simulated, inner.reply,
        )  # fmt: skip

    def _payload(self, wrapped: Wrapped) -> bytes | None:
        if self.codec in READS_JSON:
            if isinstance(wrapped.fields, dict):
                return to_json(wrapped.fields)
            if wrapped.fields is not None:
                raise RefusedError(Reason.FIELD_TYPE, "the payload formatter's result must be an object")
            if wrapped.payload:
                raise RefusedError(
                    Reason.UNSUPPORTED,
                    f"only the device's bytes came and profile {self.profile} reads fields: give the device a payload "
                    "formatter in the network server, or a profile whose codec reads the bytes",
                )
            return None
        if not wrapped.payload:
            return None
        try:
            return binascii.a2b_base64(wrapped.payload, strict_mode=True)
        except ValueError as error:
            raise RefusedError(Reason.MALFORMED, f"the payload is not base64: {error}") from error

    def _link(self, links: tuple[Link, ...], at: int | None) -> list[Observation]:
        """Signal at the gateway that heard the uplink best: by signal-to-noise ratio where it has one."""
        if not links:
            return []
        rssi, snr = links[0] if len(links) == 1 else max(links, key=_strength)
        found = [Observation("rssi", rssi, _DBM, at)] if self._wants_rssi else []
        if snr is not None and self._wants_snr:
            found.append(Observation("snr", snr, _DB, at))
        return found

    def status(self, values: dict[str, float], at: int | None) -> list[Observation]:
        """What the network server knows of the device's supply, as far as the profile declares it."""
        return [
            Observation(name, value, VOCABULARY[name].unit, at)
            for name, value in values.items()
            if name in self._from_status
        ]


def _strength(link: Link) -> tuple[float, float]:
    return (link.rssi if link.snr is None else link.snr, link.rssi)


def _timed(observations: list[Observation], at: int | None) -> list[Observation]:
    """Values without a time of their own get the envelope's."""
    new = tuple.__new__
    return [
        o if o.observed_at is not None else new(Observation, (o.property, o.value, o.unit, at)) for o in observations
    ]


def member(document: dict[str, object], key: str) -> dict[str, object]:
    """An object inside an object; one that is missing or null is empty.

    Raises:
        RefusedError: ``malformed`` if it is something else.
    """
    found = document.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise RefusedError(Reason.MALFORMED, f"{key} must be an object")
    return found


def members(document: dict[str, object], key: str) -> list[dict[str, object]]:
    """The objects of an array; one that is missing or null is empty.

    Raises:
        RefusedError: ``malformed`` if it is something else.
    """
    found = document.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise RefusedError(Reason.MALFORMED, f"{key} must be an array of objects")
    return found


def text(document: dict[str, object], key: str) -> str:
    """A text; one that is missing or null is empty.

    Raises:
        RefusedError: ``field_type`` if it is something else.
    """
    found = document.get(key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise RefusedError(Reason.FIELD_TYPE, f"{key} must be text")
    return found


def count(document: dict[str, object], key: str, largest: int = _LARGEST_COUNT) -> int:
    """A whole number from 0; one that is missing or null is 0, as these servers leave zeros out.

    Raises:
        RefusedError: ``field_type`` if it is something else.
    """
    found = document.get(key)
    if found is None:
        return 0
    if type(found) is not int or not 0 <= found <= largest:
        raise RefusedError(Reason.FIELD_TYPE, f"{key} must be a whole number from 0 to {largest}")
    return found
