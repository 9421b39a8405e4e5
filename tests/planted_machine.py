"""A sound machine with a real broker and a real store, in which the doctor's tests plant what technicians do wrong."""

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from tests.access_parts import ADMIN_SECRET
from tests.servers import Server, free_port

SHIPPED = Path(__file__).parent.parent / "deploy" / "mosquitto.conf"
FLEET = "device,profile,commune,timezone\nlamp-1,native_streetlight,10642,\nlamp-2,native_streetlight,10642,\n"
TOKEN = "0123456789abcdef"


class Machine:
    """A box on which all is well: settings, fleet, certificates, a real broker with accounts, a real InfluxDB."""

    def __init__(self, folder: Path, broker: Server, tls_port: int, store: Server, certificates: Path) -> None:
        self.folder, self.broker, self.store, self.tls_port = folder, broker, store, tls_port
        self.config = folder / "village.toml"
        self.certificates = folder / "certificates"
        shutil.copytree(certificates, self.certificates)
        self.conf = folder / "mosquitto.conf"
        self.local = folder / "mosquitto.d" / "local.conf"
        self.local.parent.mkdir()
        self.local.write_text("listener 1883 127.0.0.1\n")
        self.conf.write_text(SHIPPED.read_text("utf-8").replace("/etc/village/mosquitto.d", str(self.local.parent)))
        (folder / "fleet.csv").write_text(FLEET, "utf-8")
        (folder / "secrets.env").touch(0o600)
        self.settings: dict[str, dict[str, Any]] = {
            "broker": {"host": "localhost", "port": tls_port, "tls": True, "ca_file": "certificates/ca.crt",
                       "username": "gateway"},
            "gateway": {"data_dir": "data", "fleet": "fleet.csv"},
            "journal": {"max_mb": 16, "raw_days": 30, "raw_max_mb": 0, "refused_max_mb": 16},
            "[store]": {"kind": "influxdb1", "url": store.url, "username": "gateway", "timeout_seconds": 2},
            "api": {"port": free_port()},
        }  # fmt: skip
        self.environment = {
            "GATEWAY_BROKER_PASSWORD": "gateway-secret",
            "GATEWAY_STORE_0_PASSWORD": "store-secret",
            "VILLAGE_BROKER_ADMIN_PASSWORD": ADMIN_SECRET,
        }

    def set(self, section: str, **values: Any) -> None:
        """Other settings than the right ones."""
        self.settings[section] |= values

    def write(self) -> None:
        """The settings as a file."""
        lines = []
        for section, values in self.settings.items():
            lines.append(f"[{section}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        self.config.write_text("\n".join([*lines, ""]), "utf-8")

    @property
    def data(self) -> Path:
        """The gateway's folder."""
        return self.folder / "data"


class Patch(NamedTuple):
    """What a test cannot make this machine be: stood in for where the doctor asks for it."""

    target: object
    name: str
    value: object


Plant = Callable[[Machine], "AbstractContextManager[object] | Patch | None"]


class Planted(NamedTuple):
    """One misconfiguration."""

    what: str
    """In a technician's words."""
    plant: Plant
    says: str
    """The doctor's line; ``...`` stands for anything."""
