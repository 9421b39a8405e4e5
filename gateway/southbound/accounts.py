"""Accounts of Mosquitto's dynamic security as nouns: clients, roles, what they may, the commands that change them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

AclKind = Literal[
    "publishClientSend",
    "publishClientReceive",
    "subscribeLiteral",
    "subscribePattern",
    "unsubscribeLiteral",
    "unsubscribePattern",
]
DEFAULTS = {"publishClientSend": False, "publishClientReceive": False, "subscribe": False, "unsubscribe": True}
"""What nobody may unless a role says so. Leaving a topic harms nobody."""
ADMIN_ROLE = "admin"
"""Made by `mosquitto_ctrl dynsec init`; the account that changes accounts has it."""

Command = Mapping[str, Any]
"""One command of the plugin, as its JSON object."""
Progress = Callable[[int, int], None]
"""Called with how many commands of how many are done."""


class AccessError(Exception):
    """The broker's accounts cannot be read or changed; one line, what to do."""


class Right(NamedTuple):
    """One thing a role may do; everything else is forbidden."""

    kind: AclKind
    topic: str


class Client(NamedTuple):
    """One account."""

    username: str
    client_id: str
    """The only MQTT client id it may use; empty: any."""
    roles: tuple[str, ...]
    disabled: bool = False
    note: str = ""
    """Ours: when it was made, as a date."""


class Accounts(NamedTuple):
    """Everything the broker knows of who may do what."""

    clients: Mapping[str, Client]
    roles: Mapping[str, frozenset[Right]]
    defaults: Mapping[str, bool]


class Office(Protocol):
    """Where accounts are read and changed."""

    def read(self) -> Accounts:
        """All of them.

        Raises:
            AccessError: they cannot be read.
        """
        ...

    def run(self, commands: Sequence[Command], progress: Progress | None = None) -> list[str]:
        """Carry the commands out in their order; returns what was refused, one line each.

        Raises:
            AccessError: none or only some were carried out, and the broker does not answer any more.
        """
        ...


# commands ---------------------------------------------------------------------------------------------------------


def make_role(name: str, rights: Iterable[Right]) -> Command:
    """A new role."""
    return {"command": "createRole", "rolename": name, "acls": _acls(rights)}


def change_role(name: str, rights: Iterable[Right]) -> Command:
    """Give a role exactly these rights; its clients are asked to connect again."""
    return {"command": "modifyRole", "rolename": name, "acls": _acls(rights)}


def drop_role(name: str) -> Command:
    """A role that nobody needs any more."""
    return {"command": "deleteRole", "rolename": name}


def make_client(client: Client, password: str) -> Command:
    """A new account."""
    # Left out where there is none: in the file, an empty one would let nobody in.
    binding = {"clientid": client.client_id} if client.client_id else {}
    return {
        "command": "createClient",
        "username": client.username,
        "password": password,
        "textdescription": client.note,
        "roles": _roles(client.roles),
    } | binding


def change_client(client: Client) -> Command:
    """Bind an account to its client id and its roles; its password stays."""
    return {
        "command": "modifyClient",
        "username": client.username,
        "clientid": client.client_id,
        "roles": _roles(client.roles),
    }


def set_password(username: str, password: str) -> Command:
    """A new password; the old one ends at once."""
    return {"command": "setClientPassword", "username": username, "password": password}


def drop_client(username: str) -> Command:
    """An account that may no longer come in; it is put out at once."""
    return {"command": "deleteClient", "username": username}


def set_defaults(defaults: Mapping[str, bool]) -> Command:
    """What nobody may unless a role says so."""
    return {
        "command": "setDefaultACLAccess",
        "acls": [{"acltype": kind, "allow": allow} for kind, allow in defaults.items()],
    }


def _acls(rights: Iterable[Right]) -> list[dict[str, Any]]:
    return [{"acltype": kind, "topic": topic, "priority": 0, "allow": True} for kind, topic in sorted(rights)]


def _roles(names: Iterable[str]) -> list[dict[str, Any]]:
    return [{"rolename": name, "priority": 0} for name in names]


# what the plugin says ---------------------------------------------------------------------------------------------


class _Said(BaseModel):
    model_config = ConfigDict(extra="ignore")


class AclEntry(_Said):
    """One right of a role, as the plugin writes it."""

    acltype: str
    topic: str
    allow: bool = False


class RoleEntry(_Said):
    """One role, as the plugin writes it."""

    rolename: str
    acls: tuple[AclEntry, ...] = ()


class RoleName(_Said):
    """One role of a client, as the plugin writes it."""

    rolename: str


class ClientEntry(_Said):
    """One account, as the plugin writes it."""

    username: str
    clientid: str = ""
    disabled: bool = False
    textdescription: str = ""
    roles: tuple[RoleName, ...] = ()


class DefaultEntry(_Said):
    """One default, as the plugin tells it."""

    acltype: str
    allow: bool


_CLIENTS, _ROLES = TypeAdapter(tuple[ClientEntry, ...]), TypeAdapter(tuple[RoleEntry, ...])
_DEFAULTS = TypeAdapter(tuple[DefaultEntry, ...])


def read_accounts(clients: object, roles: object, defaults: object) -> Accounts:
    """The plugin's lists as nouns. A right that forbids is kept as a topic beginning with ``!``: none of ours does.

    Raises:
        AccessError: they are not what the plugin writes.
    """
    try:
        known_clients = _CLIENTS.validate_python(clients)
        known_roles = _ROLES.validate_python(roles)
        known_defaults = _DEFAULTS.validate_python(defaults)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise AccessError(f"the broker's accounts cannot be read: {where}: {first['msg']}") from error
    return Accounts(
        {
            entry.username: Client(
                entry.username,
                entry.clientid,
                tuple(sorted(role.rolename for role in entry.roles)),
                entry.disabled,
                entry.textdescription,
            )
            for entry in known_clients
        },
        {entry.rolename: frozenset(_right(acl) for acl in entry.acls) for entry in known_roles},
        {entry.acltype: entry.allow for entry in known_defaults},
    )


def _right(acl: AclEntry) -> Right:
    return Right(acl.acltype, acl.topic if acl.allow else f"!{acl.topic}")  # type: ignore[arg-type]
