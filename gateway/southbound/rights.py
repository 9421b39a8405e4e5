"""What each role may say and hear at the broker: a device, a network server, the gateway; nobody anything else."""

from collections.abc import Iterable, Iterator, Sequence

from devices.registry import Registry
from devices.topics import COMMAND, COMMAND_ACK, ERROR, ROOT, STATE, STATUS, UP, Source, own_topic
from gateway.southbound.accounts import AccessError, AclKind, Right
from gateway.southbound.dropped import DROPPED

GATEWAY_ROLE = "gateway"
_MANY_DEVICES = ("zigbee2mqtt", "sparkplug_b", "sparkplug_b_node")
"""Sources without an envelope whose one client speaks for many devices."""
_DOWNLINKS = {
    "chirpstack": ("application/+/device/+/command/+",),
    "things_stack": ("v3/+/devices/+/down/#",),
    "zigbee2mqtt": ("zigbee2mqtt/#",),
    "sparkplug_b": ("spBv1.0/+/NCMD/+", "spBv1.0/+/DCMD/+/+", "spBv1.0/STATE/+"),
}
"""What a network server listens to. Source: the makers' topic documents."""
_BESIDES = {"tasmota": (("stat/{device}/#",), ("cmnd/{device}/#",))}
"""What a device of this source says and hears beside what we read. Refused, it would be cut off at every word:
Mosquitto closes the connection of a client that publishes what it may not (mosquitto issue 2579)."""


def device_role(device: str) -> str:
    """The role that holds a device's rights."""
    return f"device:{device}"


def server_role(source: str) -> str:
    """The role that holds a network server's rights."""
    return f"server:{source}"


def _may(kind: AclKind, topics: Iterable[str]) -> Iterator[Right]:
    return (Right(kind, topic) for topic in topics)


def _may_hear(topics: Sequence[str]) -> Iterator[Right]:
    """Subscribe to exactly these filters, and get what comes through them."""
    yield from _may("subscribeLiteral", topics)
    yield from _may("publishClientReceive", topics)


def device_rights(registry: Registry, device: int, at: int) -> frozenset[Right]:
    """What a device may: its own topics, and those of its hardware ids of that moment [ns UTC] in devices' sources."""
    commune, name = registry.commune(device), registry.names[device]
    says = [own_topic(commune, name, event) for event in (UP, STATUS, COMMAND_ACK)]
    hears = [own_topic(commune, name, event) for event in (COMMAND, ERROR)]
    besides: list[str] = []
    for entry in registry.hardware_ids(device):
        # A name with a wildcard in it would be a right to everybody's topics.
        if not entry.since <= at < entry.until or set(entry.value) & set("+#/"):
            continue
        for source in registry.sources[1:]:
            if source.envelope or source.name in _MANY_DEVICES:
                continue
            said, heard = _BESIDES.get(source.name, ((), ()))
            says += [_filled(template, entry.value) for template in (source.template, *said)]
            besides += [_filled(template, entry.value) for template in heard]
    return frozenset(
        (
            *_may("publishClientSend", says),
            *_may_hear(hears),
            *_may("subscribePattern", besides),
            *_may("publishClientReceive", besides),
        )
    )


def _filled(template: str, hardware_id: str) -> str:
    return Source("", template.replace("{device}", hardware_id)).filter


def server_rights(name: str, sources: Iterable[Source]) -> frozenset[Right]:
    """What a network server, bridge or edge node may: the topics of its source.

    Raises:
        AccessError: the settings do not name this source.
    """
    own = [source for source in sources if source.name in {name, f"{name}_node"}]
    if not own:
        raise AccessError(f"no source {name!r} in the settings; add it to gateway.sources")
    hears = _DOWNLINKS.get(name, ())
    return frozenset(
        (
            *_may("publishClientSend", (source.filter for source in own)),
            *_may("subscribePattern", hears),
            *_may("publishClientReceive", hears),
        )
    )


def uplink_filters(sources: Iterable[Source]) -> list[str]:
    """What the gateway subscribes to, exactly."""
    return [*(f"{ROOT}/+/+/{event}" for event in (UP, STATUS, COMMAND_ACK)), *(source.filter for source in sources)]


def gateway_rights(sources: Sequence[Source]) -> frozenset[Right]:
    """What the gateway may: hear uplinks, answer devices. It cannot speak as a device."""
    says = [f"{ROOT}/+/+/{event}" for event in (ERROR, COMMAND, STATE)]
    if any(source.name.startswith("sparkplug_b") for source in sources):
        says.append("spBv1.0/+/NCMD/+")
    return frozenset((*_may("publishClientSend", says), *_may_hear([*uplink_filters(sources), DROPPED])))
