"""The codecs by name: each turns one uplink's bytes into observations, or refuses it by a named reason.

A codec module has ``decoder(profile) -> Decoder``; it is called once per profile, so tables are compiled there and
not per message. Decoders are pure: no I/O, no clock, no randomness; what they must remember is in ``Context.memory``.
"""

from collections.abc import Callable
from datetime import tzinfo
from typing import Any, NamedTuple, Protocol

from devices.observation import Message
from devices.profile import Profile


class Context(NamedTuple):
    """What a codec may know besides the bytes."""

    event: str
    """Which message of the device this is, from the topic: ``up``, ``SENSOR``, ``LWT``, ``DDATA``; else empty."""
    zone: tzinfo
    """The device's time zone, for local times without offset."""
    memory: dict[str, Any]
    """The device's (Sparkplug: the edge node's) own memory between messages; empty at first."""
    retained: bool = False
    """The broker delivered it as a retained message."""
    port: int = 0
    """LoRaWAN's fPort, for the payload inside a network server's message; 0 if there is none."""
    received_at: int = 0
    """When the gateway took the message [ns UTC], for formats that count back from now; 0 if unknown."""


Decoder = Callable[[bytes, Context], Message]
"""Bytes and context to a message.

Raises:
    RefusedError: with the reason, and nothing else, whatever the bytes are.
"""


class Codec(Protocol):
    """A codec module."""

    def decoder(self, profile: Profile) -> Decoder:
        """Compile the decoder of one profile.

        Raises:
            ProfileError: the profile asks for something this codec does not have.
        """
        ...


def load(name: str) -> Codec:
    """The codec module of that name.

    Raises:
        KeyError: no such codec.
    """
    from importlib import import_module  # noqa: PLC0415 - codecs load when a profile names them

    if name not in CODECS:
        raise KeyError(name)
    module: Codec = import_module(f"devices.codecs.{name}")
    return module


CODECS = (
    "native",
    "json_fields",
    "bare",
    "senml",
    "tasmota",
    "zigbee2mqtt",
    "airrohr",
    "sparkplug_b",
    "chirpstack",
    "things_stack",
    "cayenne_lpp",
    "milesight",
    "milesight_nb_iot",
    "decentlab",
    "nas_luminaire",
    "nas_meter",
    "yobiiq",
    "synetica_enlink",
    "fixed_layout",
)
"""Every codec, in the order of the documents."""
