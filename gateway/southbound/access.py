"""Who may have which account at the broker: created, rotated, ended; drift from the fleet found and mended."""

import secrets
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from devices.registry import Registry
from gateway.southbound import accounts as dynsec
from gateway.southbound.accounts import ADMIN_ROLE, DEFAULTS, AccessError, Accounts, Client, Command, Right
from gateway.southbound.rights import GATEWAY_ROLE, device_rights, device_role, gateway_rights, server_rights

PASSWORD_LETTERS = "23456789abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"  # noqa: S105 - what passwords are made of
"""Without 0 and O, 1, l, I, i and o: an installer may have to type it."""
PASSWORD_LENGTH = 21
"""With 55 letters 121 bits."""
MARK = "~"
"""No device's name holds it: `lamp-017~2` is the second account of lamp-017, made by a rotation; `lamp-017~c69a1b2c3`
one that a certificate of it names; `server~chirpstack` a network server's."""


class Issued(NamedTuple):
    """A new account, its secret included; shown once."""

    device: str
    username: str
    password: str
    client_id: str
    commands: tuple[Command, ...]
    """What makes it, in this order."""


class Drift(NamedTuple):
    """Something at the broker that is not as the fleet says."""

    kind: Literal["missing", "stray", "rights", "binding", "old", "defaults", "gateway", "disabled"]
    name: str
    text: str
    """One line, what to do."""
    mending: tuple[Command, ...] = ()
    """Empty where a person has to do something."""


def new_password() -> str:
    """A random one that can be read aloud and typed."""
    return "".join(secrets.choice(PASSWORD_LETTERS) for _ in range(PASSWORD_LENGTH))


def device_of(username: str) -> str:
    """Whose account it is, by its name."""
    return username.partition(MARK)[0]


def generation_of(username: str) -> int:
    """Which of a device's passwords, counted from 1; 0 for an account that a certificate names."""
    mark = username.partition(MARK)[2]
    return int(mark) if mark.isdecimal() else 0 if mark else 1


# changes ----------------------------------------------------------------------------------------------------------


def enroll(registry: Registry, device: int, known: Accounts, at: int, today: str) -> Issued:
    """A first account for a device.

    Raises:
        AccessError: it has one, or its name is one the broker keeps for others.
    """
    name = registry.names[device]
    if name in known.clients:
        if device_role(name) in known.clients[name].roles:
            raise AccessError(f"{name} has an account; `rotate` gives it a new password")
        raise AccessError(f"{name} is the name of another account at the broker; give the device another name")
    rights = device_rights(registry, device, at)
    return _issue(name, name, known, rights, today)


def rotate(registry: Registry, device: int, known: Accounts, at: int, today: str) -> Issued:
    """A second account with the same rights and client id, so that the device can change over whenever it is reached.

    Raises:
        AccessError: it has none, or two already.
    """
    name = registry.names[device]
    own = passwords_of(name, known)
    if not own:
        raise AccessError(f"{name} has no account; `create` makes one")
    if len(own) > 1:
        raise AccessError(f"{name} has an old and a new account; `retire` ends the old one first")
    username = f"{name}{MARK}{generation_of(own[0]) + 1}"
    return _issue(name, username, known, device_rights(registry, device, at), today)


def certify(registry: Registry, device: int, known: Accounts, at: int, today: str) -> Issued:
    """An account for a new certificate, with a name no other certificate ever had; its password is told to nobody.

    A certificate cannot be taken back from whoever holds it: what ends is the account it names.
    """
    name = registry.names[device]
    username = f"{name}{MARK}c{at // 10**9:08x}"
    if username in known.clients:
        raise AccessError(f"{name} got a certificate this very second; try again")
    return _issue(name, username, known, device_rights(registry, device, at), today)


def _issue(name: str, username: str, known: Accounts, rights: frozenset[Right], today: str) -> Issued:
    # Where a certificate names the account, the broker makes the account's name the client id.
    client_id = name if generation_of(username) else username
    role, password = device_role(name), new_password()
    found = known.roles.get(role)
    prepare = (
        (dynsec.make_role(role, rights),)
        if found is None
        else (dynsec.change_role(role, rights),)
        if found != rights
        else ()
    )
    make = dynsec.make_client(Client(username, client_id, (role,), note=today), password)
    return Issued(name, username, password, client_id, (*prepare, make))


def passwords_of(device: str, known: Accounts) -> list[str]:
    """The accounts with which a device may come in by password, oldest first."""
    return sorted((name for name in _accounts_of(device, known) if generation_of(name)), key=generation_of)


def certificates_of(device: str, known: Accounts) -> list[str]:
    """The accounts that certificates of a device name, oldest first: the name holds the time."""
    return sorted(name for name in _accounts_of(device, known) if not generation_of(name))


def _accounts_of(device: str, known: Accounts) -> list[str]:
    role = device_role(device)
    return [name for name, client in known.clients.items() if role in client.roles and device_of(name) == device]


def retire(device: str, known: Accounts) -> list[Command]:
    """End every account of a device but the newest by password and the newest by certificate.

    Raises:
        AccessError: there is no older one.
    """
    old = [*passwords_of(device, known)[:-1], *certificates_of(device, known)[:-1]]
    if not old:
        raise AccessError(f"{device} has no older account to end")
    return [dynsec.drop_client(name) for name in old]


def revoke(device: str, known: Accounts) -> list[Command]:
    """End every account of a device, its certificate's too, and its rights.

    Raises:
        AccessError: there is nothing to end.
    """
    role, own = device_role(device), _accounts_of(device, known)
    if not own and role not in known.roles:
        raise AccessError(f"{device} has no account")
    roles = [dynsec.drop_role(role)] if role in known.roles else []
    return [*(dynsec.drop_client(name) for name in own), *roles]


def admit(client: Client, rights: frozenset[Right], password: str, known: Accounts) -> list[Command]:
    """Make the gateway's or a network server's account, or give it a new password and exactly these rights."""
    (role,) = client.roles
    before = known.clients.get(client.username)
    if before is not None and before.roles not in {(), (role,)}:
        raise AccessError(f"{client.username} is the name of another account at the broker; choose another")
    first = dynsec.change_role(role, rights) if role in known.roles else dynsec.make_role(role, rights)
    if before is None:
        return [first, dynsec.make_client(client, password)]
    return [first, dynsec.change_client(client), dynsec.set_password(client.username, password)]


# drift ------------------------------------------------------------------------------------------------------------


def drift(registry: Registry, known: Accounts, gateway: Client, at: int) -> Iterator[Drift]:
    """Everything at the broker that is not as fleet and settings say; accounts that are not ours are left alone.

    Args:
        registry: the fleet, with the sources of the settings.
        known: what the broker has.
        gateway: the gateway's account as the settings name it.
        at: now [ns UTC]; hardware ids speak for devices by date.
    """
    sources = registry.sources[1:]
    if dict(known.defaults) != DEFAULTS:
        text = "the broker lets everybody do more than nothing; `mend` forbids what no role allows"
        yield Drift("defaults", "", text, (dynsec.set_defaults(DEFAULTS),))
    yield from _role_drift(GATEWAY_ROLE, "the gateway", gateway_rights(sources), known.roles)
    if gateway.username not in known.clients:
        text = f"the gateway has no account {gateway.username!r}; `village devices credentials gateway` makes it"
        yield Drift("gateway", gateway.username, text)
    else:
        yield from _client_drift(known.clients[gateway.username], gateway)
    for role in sorted(known.roles):
        kind, _, source = role.partition(":")
        if kind == "server" and any(one.name == source for one in sources):
            yield from _role_drift(role, source, server_rights(source, sources), known.roles)
    yield from _device_drift(registry, known, at)


def _device_drift(registry: Registry, known: Accounts, at: int) -> Iterator[Drift]:
    by_device: dict[str, list[Client]] = {}
    for client in known.clients.values():
        if ADMIN_ROLE not in client.roles:
            by_device.setdefault(device_of(client.username), []).append(client)
    for device, name in enumerate(registry.names):
        if registry.is_simulated(device):
            continue
        own = by_device.get(name, [])
        passwords = [client for client in own if generation_of(client.username)]
        if not own:
            yield Drift(
                "missing", name, f"{name} has no account; `village devices credentials create {name}` makes one"
            )
            continue
        yield from _role_drift(device_role(name), name, device_rights(registry, device, at), known.roles)
        for client in own:
            client_id = name if generation_of(client.username) else client.username
            yield from _client_drift(client, Client(client.username, client_id, (device_role(name),)))
        if len(passwords) > 1:
            oldest = min(passwords, key=lambda client: generation_of(client.username))
            text = f"{name} has two passwords, the older of {oldest.note or 'unknown date'}; `retire {name}` ends it"
            yield Drift("old", name, text)
    for role in sorted(known.roles):
        kind, _, name = role.partition(":")
        index = registry.index.get(name)
        if kind == "device" and (index is None or registry.is_simulated(index)):
            text = f"{name} is not in the fleet and could still come in; `mend` ends its accounts"
            yield Drift("stray", name, text, tuple(revoke(name, known)))


def _role_drift(
    role: str, whose: str, rights: frozenset[Right], known: Mapping[str, frozenset[Right]]
) -> Iterator[Drift]:
    found = known.get(role)
    if found is None:
        yield Drift("rights", whose, f"{whose} has no rights; `mend` gives them", (dynsec.make_role(role, rights),))
    elif found != rights:
        more, less = len(found - rights), len(rights - found)
        text = f"{whose} has {more} rights too many and {less} too few; `mend` sets them"
        yield Drift("rights", whose, text, (dynsec.change_role(role, rights),))


def _client_drift(found: Client, wanted: Client) -> Iterator[Drift]:
    name = found.username
    if found.disabled:
        yield Drift("disabled", name, f"the account {name} is disabled; `mosquitto_ctrl dynsec enableClient {name}`")
    if found.client_id != wanted.client_id or found.roles != wanted.roles:
        text = f"the account {name} is not bound to its client id and its one role; `mend` binds it"
        yield Drift("binding", name, text, (dynsec.change_client(wanted),))
