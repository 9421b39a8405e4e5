"""What tests of the stores share: stores on a server, a line, a script of one answer."""

import itertools
from collections.abc import Callable

from devices.vocabulary import Measurement
from gateway.model import (
    Window,
)
from gateway.northbound.influxdb import InfluxDB
from gateway.northbound.influxdb1 import InfluxDB1
from tests import servers
from tests.servers import Server

T0 = 1_790_000_000_000_000_000
MINUTE = 60_000_000_000
ALL = Window(T0 - T0 % MINUTE, T0 + 1_000_000 * MINUTE, 0)
LIGHT = Measurement.STREETLIGHT
_names = itertools.count()


def influxdb1(server: Server, **settings: object) -> InfluxDB1:
    """A store in databases of its own on that server."""
    name = f"village{next(_names)}"
    account = {"username": server.username, "password": server.password}
    names = {"name": "commune", "database": name, "rollup_database": f"{name}_rollup"}
    return InfluxDB1(**{"url": server.url, **names, **account, **settings})  # type: ignore[arg-type]


def influxdb(url: str, **settings: object) -> InfluxDB:
    """A store of the second dialect, with a token."""
    names = {"name": "province", "database": "village", "rollup_database": "village_rollup", "org": "hy", "token": "s3"}
    return InfluxDB(**{"url": url, **names, **settings})  # type: ignore[arg-type]


def always(answer: servers.Answer) -> Callable[[servers.Request], servers.Answer]:
    """A script of one answer."""
    return lambda request: answer


def line(value: float, at: int, device: str = "lamp-17", field: str = "power") -> bytes:
    return b"streetlight,commune=04234,device=%s %s=%r,quality=1,clock=0 %d\n" % (
        device.encode(), field.encode(), value, at,
    )  # fmt: skip
