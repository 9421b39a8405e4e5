"""Mosquitto's dynamic security in its file, while the broker is stopped: thousands of accounts in seconds."""

import base64
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gateway.southbound.accounts import ADMIN_ROLE, DEFAULTS, AccessError, Accounts, Command, Progress, read_accounts

ITERATIONS = 101
"""PBKDF2 rounds, as Mosquitto 2.0 writes them itself. Ours are random passwords of 120 bits, which no number of rounds
makes harder to guess."""
MAX_BYTES = 1 << 30


CONTROL = "$CONTROL/dynamic-security/#"
_ADMIN_MAY = ("publishClientSend", "publishClientReceive", "subscribePattern")
"""The administrator changes accounts and does nothing else: no reading passes through it."""


class AccountsFile:
    """The plugin's file. Running, the broker would neither see a change nor keep it: stop it first, start it after."""

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            AccessError: it is missing, or not the plugin's.
        """
        self._path = path
        try:
            if path.stat().st_size > MAX_BYTES:
                raise AccessError(f"{path}: far too large for a file of accounts")
            self._data = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise AccessError(f"{path}: no such file; `village devices credentials begin` makes it") from None
        except OSError as error:
            raise AccessError(f"{path}: {error.strerror}; run this as root") from error
        except ValueError as error:
            raise AccessError(f"{path}: is not JSON ({error}); restore it from a backup") from error
        if not isinstance(self._data, dict):
            raise AccessError(f"{path}: is not a file of accounts")
        self.read()
        self._clients: dict[str, dict[str, Any]] = {entry["username"]: entry for entry in self._of("clients")}
        self._roles: dict[str, dict[str, Any]] = {entry["rolename"]: entry for entry in self._of("roles")}
        self._carry_out: dict[str, Callable[[Command], None]] = {
            "setDefaultACLAccess": self._set_defaults,
            "createRole": self._create_role,
            "modifyRole": self._modify_role,
            "deleteRole": self._delete_role,
            "createClient": self._create_client,
            "modifyClient": self._modify_client,
            "setClientPassword": self._set_password,
            "deleteClient": self._delete_client,
        }

    @classmethod
    def make(cls, path: Path, admin: str, password: str) -> "AccountsFile":
        """A new file with one administrator, and nothing allowed to anybody else; as `mosquitto_ctrl dynsec init` does.

        Raises:
            AccessError: there is one already, or it cannot be written.
        """
        acls = [{"acltype": kind, "topic": CONTROL, "allow": True} for kind in _ADMIN_MAY]
        client = {"username": admin, "roles": [{"rolename": ADMIN_ROLE}]} | _hashed(password)
        roles = [{"rolename": ADMIN_ROLE, "acls": acls}]
        data = {"defaultACLAccess": DEFAULTS, "clients": [client], "roles": roles}
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w", encoding="utf-8") as file:
                json.dump(data, file, indent="\t")
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            raise AccessError(f"{path}: exists, and every device's account is in it; it is kept") from None
        except OSError as error:
            raise AccessError(f"{path}: {error.strerror}; run this as root") from error
        return cls(path)

    def _of(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self._data.setdefault(kind, [])
        return entries

    def read(self) -> Accounts:
        """See ``accounts.Office.read``."""
        defaults = [{"acltype": kind, "allow": allow} for kind, allow in self._data.get("defaultACLAccess", {}).items()]
        return read_accounts(self._of("clients"), self._of("roles"), defaults)

    def run(self, commands: Sequence[Command], progress: Progress | None = None) -> list[str]:
        """See ``accounts.Office.run``; on disk, whole, when it returns."""
        refused = []
        for number, command in enumerate(commands, start=1):
            try:
                self._carry_out[command["command"]](command)
            except (KeyError, ValueError) as error:
                name = command.get("username") or command.get("rolename") or ""
                refused.append(f"{command['command']} {name}: {error.args[0]}")
            if progress is not None and (number % 100 == 0 or number == len(commands)):
                progress(number, len(commands))
        self._data["clients"], self._data["roles"] = list(self._clients.values()), list(self._roles.values())
        self._save()
        return refused

    def _save(self) -> None:
        temporary = self._path.with_name(f"{self._path.name}.village-new")
        try:
            before = self._path.stat()
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                json.dump(self._data, file, indent="\t")
                file.flush()
                os.fsync(file.fileno())
            # Nobody but the broker need read it, whatever its mode was; its group may make the backup.
            temporary.chmod(before.st_mode & 0o640)
            if os.geteuid() == 0:
                shutil.chown(temporary, before.st_uid, before.st_gid)
            temporary.replace(self._path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise AccessError(f"{self._path}: cannot be written: {error.strerror}; nothing was changed") from error

    # the commands, as the plugin carries them out -----------------------------------------------------------------

    def _set_defaults(self, command: Command) -> None:
        self._data["defaultACLAccess"] = {entry["acltype"]: entry["allow"] for entry in command["acls"]}

    def _create_role(self, command: Command) -> None:
        name = command["rolename"]
        if name in self._roles:
            raise ValueError("Role already exists")
        self._roles[name] = {"rolename": name, "acls": command["acls"]}

    def _modify_role(self, command: Command) -> None:
        self._role(command["rolename"])["acls"] = command["acls"]

    def _delete_role(self, command: Command) -> None:
        del self._roles[self._role(command["rolename"])["rolename"]]
        for holder in (*self._clients.values(), *self._of("groups")):
            if any(role["rolename"] == command["rolename"] for role in holder.get("roles", ())):
                holder["roles"] = [role for role in holder["roles"] if role["rolename"] != command["rolename"]]

    def _create_client(self, command: Command) -> None:
        name = command["username"]
        if name in self._clients:
            raise ValueError("Client already exists")
        kept = {key: command[key] for key in ("username", "clientid", "textdescription") if key in command}
        self._clients[name] = kept | self._known_roles(command) | _hashed(command["password"])

    def _modify_client(self, command: Command) -> None:
        client = self._client(command["username"])
        client.update(self._known_roles(command), clientid=command["clientid"])
        if not client["clientid"]:
            del client["clientid"]

    def _set_password(self, command: Command) -> None:
        self._client(command["username"]).update(_hashed(command["password"]))

    def _delete_client(self, command: Command) -> None:
        del self._clients[self._client(command["username"])["username"]]
        for group in self._of("groups"):
            members = group.get("clients", [])
            group["clients"] = [member for member in members if member.get("username") != command["username"]]

    def _known_roles(self, command: Command) -> dict[str, Any]:
        for role in command["roles"]:
            self._role(role["rolename"])
        return {"roles": command["roles"]}

    def _role(self, name: str) -> dict[str, Any]:
        if name not in self._roles:
            raise ValueError("Role not found")
        return self._roles[name]

    def _client(self, name: str) -> dict[str, Any]:
        if name not in self._clients:
            raise ValueError("Client not found")
        return self._clients[name]


def _hashed(password: str) -> dict[str, Any]:
    salt = secrets.token_bytes(12)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS, 64)
    return {
        "password": base64.b64encode(key).decode(),
        "salt": base64.b64encode(salt).decode(),
        "iterations": ITERATIONS,
    }
