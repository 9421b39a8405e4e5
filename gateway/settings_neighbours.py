"""Settings of the gateway's neighbours: the broker, the stores, and who is told of alerts."""

import logging
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from devices.alert_rules import Severity

Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Text = Annotated[str, Field(min_length=1, max_length=200)]


def need_file(path: Path | None, key: str) -> None:
    """Refuse a setting that names a file which is not there.

    Raises:
        ValueError: in one line.
    """
    if path is not None and not path.is_file():
        raise ValueError(f"{key}: no file {str(path)!r}")


class Part(BaseModel):
    """One section of the file. The string under each field is its documentation, in the example file too."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, use_attribute_docstrings=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _number_is_no_switch(cls, value: object, info: ValidationInfo) -> object:
        # Without this, `port = true` would be port 1.
        if isinstance(value, bool) and info.field_name and cls.model_fields[info.field_name].annotation is not bool:
            raise ValueError(f"is {str(value).lower()}, and a switch is not expected here")
        return value


class Broker(Part):
    """The MQTT broker the devices publish to."""

    host: Text = "127.0.0.1"
    """Name or address of the broker."""
    port: Port = 1883
    """Its port: 1883 without TLS, 8883 with TLS by custom."""
    username: Annotated[Text | None, Field(examples=["gateway"])] = None
    """The gateway's account at the broker; leave out where the broker takes anonymous clients."""
    password: Annotated[SecretStr | None, Field(examples=["..."])] = None
    """Its password. Better in the environment than in this file."""
    client_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "village-gateway"
    """Names the session in which the broker keeps messages while the gateway is away. It must never change while
    messages wait, and two gateways must never share it."""
    protocol: Literal["3.1.1", "5"] = "3.1.1"
    """MQTT version. 3.1.1 costs less processor time; 5 gives devices a reason when they may not publish."""
    keepalive_seconds: Annotated[int, Field(ge=5, le=60)] = 30
    """A dead connection is noticed after one and a half times this; until then nobody is heard."""
    tls: bool = False
    """Encrypt the connection. Needed wherever the broker is another machine."""
    ca_file: Annotated[Path | None, Field(examples=["ca.crt"])] = None
    """Certificate authority that signed the broker's certificate; without it, those of the system are trusted."""
    cert_file: Annotated[Path | None, Field(examples=["gateway.crt"])] = None
    """The gateway's own certificate, where the broker asks for one; needs key_file."""
    key_file: Annotated[Path | None, Field(examples=["gateway.key"])] = None
    """The private key of cert_file."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.password is not None and self.username is None:
            raise ValueError("password without username; set broker.username")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together; set both or neither")
        if not self.tls and (self.ca_file or self.cert_file):
            raise ValueError("ca_file and cert_file need tls = true")
        need_file(self.ca_file, "ca_file")
        need_file(self.cert_file, "cert_file")
        need_file(self.key_file, "key_file")
        return self


class StorePlace(Part):
    """A store that keeps the readings. There may be several (the commune's, the province's): each gets everything."""

    name: Name = "commune"
    """Names the store in health, metrics and the journal. Changing it makes it a new store."""
    kind: Literal["embedded", "influxdb", "influxdb1"] = "embedded"
    """`embedded`: one file on this machine, for a demonstration or one small commune. `influxdb`: InfluxDB 2.x or 3.x.
    `influxdb1`: InfluxDB 1.x."""
    url: Annotated[str | None, Field(max_length=500, examples=["http://127.0.0.1:8086"])] = None
    """Where InfluxDB answers, for example `http://127.0.0.1:8086`; not for `embedded`."""
    database: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "village"
    """Database or bucket of the readings."""
    rollup_database: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "village_rollup"
    """Database or bucket of the hourly and daily sums."""
    org: Annotated[str, Field(max_length=200)] = "village"
    """Organisation in InfluxDB 2.x; 3.x ignores it."""
    token: Annotated[SecretStr | None, Field(examples=["..."])] = None
    """Token of InfluxDB 2.x or 3.x, with the right to write and read. Better in the environment than in this file."""
    username: Annotated[Text | None, Field(examples=["gateway"])] = None
    """Account of InfluxDB 1.x."""
    password: Annotated[SecretStr | None, Field(examples=["..."])] = None
    """Its password. Better in the environment than in this file."""
    path: Path = Path("store.db")
    """The embedded store's file; a relative path starts at `gateway.data_dir`."""
    gzip: bool = True
    """Compress what goes over the network; to a store on this machine nothing is compressed."""
    timeout_seconds: Annotated[int, Field(ge=1, le=120)] = 10
    """How long one answer may take."""
    ca_file: Annotated[Path | None, Field(examples=["ca.crt"])] = None
    """Certificate authority that signed the store's certificate; without it, those of the system are trusted."""
    reading_days: Annotated[int, Field(ge=0, le=36500)] = 400
    """`embedded` only: readings, indices and alerts are kept for so many days; 0: for ever. Not less than 2. InfluxDB
    has a retention of its own."""
    hour_days: Annotated[int, Field(ge=0, le=36500)] = 1830
    """`embedded` only: hourly sums are kept for so many days; 0: for ever. Not less than 32. Daily sums stay."""
    max_mb: Annotated[int, Field(ge=64, le=10_000_000)] = 16384
    """`embedded` only: room for all that [MB]; beyond it the oldest readings go first, then the oldest hourly sums.
    With the journal's 4 GB the default fits a card of 32 GB."""
    backlog_lines_per_second: Annotated[int, Field(ge=100, le=1_000_000)] = 20_000
    """After an outage, old readings follow at most this fast beside the fresh ones."""

    @field_validator("url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            secret, host, _ = parts.username or parts.password, parts.hostname, parts.port
        except ValueError as error:
            raise ValueError("is not an address; write for example http://127.0.0.1:8086") from error
        if secret:
            raise ValueError("holds a user name or password; put them into username, password or token")
        if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
            raise ValueError("is not an address; write for example http://127.0.0.1:8086")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind == "embedded":
            if self.url or self.token or self.username:
                raise ValueError('url, token and username are not for kind "embedded"; is kind = "influxdb" missing?')
            if 0 < self.reading_days < 2 or 0 < self.hour_days < 32:
                raise ValueError("reading_days must be 0 or at least 2, hour_days 0 or at least 32")
            return self
        if own := self.model_fields_set & {"reading_days", "hour_days", "max_mb"}:
            raise ValueError(f'{min(own)} is for kind "embedded" only; InfluxDB has a retention of its own')
        if self.url is None:
            raise ValueError(f'kind "{self.kind}" needs url')
        if self.kind == "influxdb" and self.token is None:
            raise ValueError('kind "influxdb" needs token')
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together; set both or neither")
        need_file(self.ca_file, "ca_file")
        return self


GATEWAY_ITSELF = "gateway"
"""Stands for a commune where alerts of the gateway itself are meant."""


def quiet_apprise() -> ModuleType:
    """The library that tells people, made to keep the addresses it is given, with their passwords, out of every log."""
    # Seconds and 40 MB of imports, for nothing where nobody is to be told.
    import apprise  # noqa: PLC0415

    logger = logging.getLogger("apprise")
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return apprise  # type: ignore[no-any-return]


class Notify(Part):
    """Somebody who is told of alerts: a person, a group chat, a mailbox. There may be several, or none."""

    name: Annotated[Name, Field(examples=["leaders"])]
    """Your own name for it, for logs and `village alerts test`."""
    urls: Annotated[tuple[SecretStr, ...], Field(min_length=1, max_length=20, examples=[["ntfys://..."]])]
    """Where to, as apprise writes addresses: `mailtos://`, `tgram://` (Telegram), `ntfys://`, `jsons://` and a hundred
    others. They hold passwords: better in the environment than in this file, there separated by blanks."""
    communes: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = ()
    """Keys of the communes whose alerts are told; empty: all. `gateway` stands for alerts of the gateway itself."""
    severities: tuple[Severity, ...] = (Severity.WARNING, Severity.CRITICAL)
    """Of `info`, `warning`, `critical`."""
    language: Literal["vi", "en"] = "vi"
    """`vi` or `en`."""
    most_per_hour: Annotated[int, Field(ge=1, le=1000)] = 20
    """At most so many messages in any hour; the last one sums up what is left over."""

    @field_validator("urls", "communes", "severities", mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return value.replace(",", " ").split() if isinstance(value, str) and "://" not in value else _blanks(value)

    @field_validator("urls")
    @classmethod
    def _known(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        apprise = quiet_apprise()
        for number, url in enumerate(value, start=1):
            if not apprise.Apprise().add(url.get_secret_value()):
                raise ValueError(f"address {number} is none that apprise knows; see https://appriseit.com/services/")
        return value


def _blanks(value: object) -> object:
    return value.split() if isinstance(value, str) else value
