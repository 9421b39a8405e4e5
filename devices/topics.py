"""MQTT topics: our own contract, and how a vendor's topic names its device."""

import re
from collections.abc import Iterable
from typing import NamedTuple

ROOT = "village"
"""First level of our own topics: ``village/<commune>/<device>/<event>``."""

UP, STATUS, ERROR, COMMAND, COMMAND_ACK, STATE = "up", "status", "error", "cmd", "cmd/ack", "state"


class Source(NamedTuple):
    """One family of topics that devices publish on."""

    name: str
    template: str
    """MQTT topic with named levels: ``tele/{device}/{event}``; ``{device...}`` takes all remaining levels."""
    envelope: str = ""
    """Codec of the network server's wrapping, around the profile's own codec; empty if there is none."""
    expression: str = ""
    """Regular expression in the template's place, where levels alone cannot tell the device; groups as there."""

    @property
    def filter(self) -> str:
        """The MQTT subscription filter: every named level becomes ``+``, ``{x...}`` becomes ``#``."""
        return re.sub(r"\{\w+\}", "+", re.sub(r"\{\w+\.\.\.\}", "#", self.template))

    @property
    def pattern(self) -> re.Pattern[str]:
        """Regular expression with one group per named level."""
        if self.expression:
            return re.compile(rf"{self.expression}\Z")
        text = re.escape(self.template)
        text = re.sub(r"\\\{(\w+)\\\.\\\.\\\.\\\}", r"(?P<\1>.+)", text)
        return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", text) + r"\Z")


VENDOR_SOURCES = {
    source.name: source
    for source in (
        Source("tasmota", "tele/{device}/{event}"),
        Source(
            "zigbee2mqtt",
            "zigbee2mqtt/{device...}",
            # A friendly name may hold slashes; the bridge is no device.
            expression=r"zigbee2mqtt/(?!bridge/)(?P<device>.+?)(?:/(?P<event>availability|set|get))?",
        ),
        Source("chirpstack", "application/{application}/device/{device}/event/{event}", "chirpstack"),
        Source("things_stack", "v3/{application}/devices/{device}/{event...}", "things_stack"),
        Source("sparkplug_b", "spBv1.0/{group}/{event}/{node}/{device}"),
        Source("sparkplug_b_node", "spBv1.0/{group}/{event}/{device}"),
        Source("airrohr", "airrohr/{device}"),
        Source("senml", "senml/{device}"),
        Source("fiware_json", "json/{key}/{device}/attrs"),
        Source("bare", "value/{device}/{event...}"),
    )
}
"""Sources a settings file can name without spelling the topic out. Sources: the vendors' topic documents."""

_TOGETHER = {"sparkplug_b": ("sparkplug_b", "sparkplug_b_node")}
"""An edge node's own messages have a level less than its devices' and name the aliases that those use."""


def vendor_sources(names: Iterable[str]) -> tuple[Source, ...]:
    """The sources of these names, each once; what only makes sense together comes together."""
    wanted = dict.fromkeys(part for name in names for part in _TOGETHER.get(name, (name,)))
    return tuple(VENDOR_SOURCES[name] for name in wanted)


def own_topic(commune: str, device: str, event: str) -> str:
    """A topic of our own contract.

    >>> own_topic("10642", "lamp-017", UP)
    'village/10642/lamp-017/up'
    """
    return f"{ROOT}/{commune}/{device}/{event}"
