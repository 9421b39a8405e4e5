"""Settings: one TOML file plus environment, checked completely before any connection is opened."""

import ipaddress
import logging
import re
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from devices.alert_rules import Severity
from devices.codecs import CODECS
from devices.topics import ROOT, VENDOR_SOURCES, Source, vendor_sources

Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
Text = Annotated[str, Field(min_length=1, max_length=200)]


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine can reach a listener on this host."""
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _need_file(path: Path | None, key: str) -> None:
    if path is not None and not path.is_file():
        raise ValueError(f"{key}: no file {str(path)!r}")


class _Part(BaseModel):
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


class Broker(_Part):
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
        _need_file(self.ca_file, "ca_file")
        _need_file(self.cert_file, "cert_file")
        _need_file(self.key_file, "key_file")
        return self


class Gateway(_Part):
    """The gateway itself."""

    data_dir: Path = Path("data")
    """Folder of the journal and of everything else the gateway keeps."""
    fleet: Path = Path("fleet.csv")
    """The fleet: `fleet.csv`, one row a device, UTF-8, separated by comma or semicolon; or `fleet.db`, which `village
    devices import` makes and the other `village devices` commands change. Checked by `village check`."""
    certificates_dir: Path = Path("certificates")
    """Folder of this machine's certificates, as `village certificates` makes it. Health says when one of them ends in
    less than 30 days, or when others may read a key. It need not be there."""
    sources: tuple[str, ...] = ()
    """Vendor topics to take in besides our own `village/+/+/...`, by name: `tasmota`, `zigbee2mqtt` and so on;
    a wrong name is answered with the list; `sparkplug_b` includes its edge nodes. Any other topic belongs in a
    [[source]]."""
    standards: Annotated[Path | None, Field(examples=["standards"])] = None
    """Folder of your own tables, each in place of the shipped one of the same name: `lighting.toml` with your schedules
    and with the lamps of before, against which savings are counted; `alerts.toml` with your thresholds."""
    accept_simulated: bool = False
    """Keep what simulated devices say. Only for demonstrations: production refuses it as `simulated`."""
    max_payload_bytes: Annotated[int, Field(ge=1024, le=1_048_576)] = 65536
    """A longer payload is refused as `too_large`."""
    commit_wait_ms: Annotated[int, Field(ge=0, le=1000)] = 0
    """How long a commit may wait for more messages. 0 is fastest: one alone does not wait, and many that come close
    together share a commit within 25 ms. 500 spares an SD card, see `docs/sizes.md`. What came in that time is in the
    broker's memory alone at a power cut, and the devices hold it for delivered."""
    clock: Literal["auto", "trust"] = "auto"
    """`auto`: while this machine's clock cannot be right, messages are kept on disk and read when it is: for 15 minutes
    after switching on where there is no battery clock and no time service has set it yet, and while it is behind
    readings taken in before. `trust`: it is taken as it is."""
    error_replies: bool = True
    """Tell a device on its `error` topic why its message was refused."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important kind of log line that is written."""
    log_format: Literal["console", "json"] = "console"
    """`console` for people, `json` for log collectors. Both go to standard output."""

    @field_validator("sources", mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("sources", mode="after")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            source = VENDOR_SOURCES.get(name)
            if source is None:
                raise ValueError(f"no source {name!r}; known are {', '.join(VENDOR_SOURCES)}")
            if source.envelope and source.envelope not in CODECS:
                raise ValueError(
                    f"source {name!r} needs the codec {source.envelope!r}, which this version does not have"
                )
        if len(set(value)) != len(value):
            raise ValueError("a source is named twice")
        return value


class ExtraSource(_Part):
    """A family of topics that no name in `sources` covers."""

    name: Annotated[Name, Field(examples=["plant"])]
    """Your own name for it, for logs and metrics."""
    topic: Annotated[str, Field(max_length=200, examples=["plant/{line}/{device}/{event...}"])]
    """The topic with named levels: `plant/{line}/{device}/{event...}`. `{device}` must be one of them; `...` takes all
    remaining levels."""
    envelope: str = ""
    """Codec of a network server's wrapping around the device's own payload; empty if there is none."""

    @field_validator("topic")
    @classmethod
    def _template(cls, value: str) -> str:
        levels = value.split("/")
        names = [found.group(1) for level in levels if (found := re.fullmatch(r"\{([a-z_]+)(?:\.\.\.)?\}", level))]
        literal = [level for level in levels if not re.fullmatch(r"\{[a-z_]+(\.\.\.)?\}", level)]
        if any(set(level) & set("+#{}\0") for level in literal):
            raise ValueError(
                "every level is plain text or one {name}; write {name} instead of + and {name...} instead of #"
            )
        if "device" not in names:
            raise ValueError("one level must be {device}, or nobody knows who speaks")
        if any(level.endswith("...}") for level in levels[:-1]) or len(set(names)) != len(names):
            raise ValueError("{name...} can only be the last level, and every name stands once")
        if levels[0] == ROOT or levels[0].startswith("$"):
            raise ValueError(f"topics below {levels[0]}/ are taken")
        return value

    @field_validator("envelope")
    @classmethod
    def _codec(cls, value: str) -> str:
        if value and value not in CODECS:
            raise ValueError(f"no codec {value!r}; known are {', '.join(CODECS)}")
        return value


class Journal(_Part):
    """The journal: what is kept on this machine until every store has it, and for some time after."""

    max_mb: Annotated[int, Field(ge=16, le=1_000_000)] = 2048
    """Room for readings that wait for a store [MB]. At the limit the gateway stops acknowledging, so that the broker
    keeps the rest."""
    raw_days: Annotated[int, Field(ge=0, le=3650)] = 30
    """Accepted messages are kept as they came for this many days, so that they can be decoded again; 0 keeps none."""
    raw_max_mb: Annotated[int, Field(ge=0, le=1_000_000)] = 2048
    """Room for those [MB]; the oldest go first."""
    refused_max_mb: Annotated[int, Field(ge=16, le=1_000_000)] = 512
    """Room for refused messages [MB]; the oldest go first."""
    ledger_days: Annotated[int, Field(ge=31, le=3650)] = 400
    """The ledger keeps its hours for this many days; the totals stay for ever."""


class StorePlace(_Part):
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
        _need_file(self.ca_file, "ca_file")
        return self


class Api(_Part):
    """The HTTP API and the board."""

    host: Text = "127.0.0.1"
    """Address to listen on. Anything but this machine's own loopback needs a token."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8765
    """Port to listen on; 0 takes any free one."""
    token: Annotated[SecretStr | None, Field(min_length=16, examples=["..."])] = None
    """Every question must carry it (`Authorization: Bearer ...`). At least 16 characters; make one with
    `python3 -c "import secrets; print(secrets.token_urlsafe(24))"`. Better in the environment than in this file."""
    cert_file: Annotated[Path | None, Field(examples=["certificates/api.crt"])] = None
    """Speak TLS (https) with this certificate, as `village certificates server api --host NAME` makes it; needs
    key_file."""
    key_file: Annotated[Path | None, Field(examples=["certificates/api.key"])] = None
    """The private key of cert_file."""

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together; set both or neither")
        _need_file(self.cert_file, "cert_file")
        _need_file(self.key_file, "key_file")
        if self.token is None and not is_loopback(self.host):
            raise ValueError(f"host {self.host!r} is not loopback, so token must be set; or listen on 127.0.0.1")
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


class Notify(_Part):
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


class Settings(_Part):
    """Everything a person can set; ``settings_file.load_settings`` reads it from file and environment."""

    broker: Broker = Broker()
    gateway: Gateway = Gateway()
    source: tuple[ExtraSource, ...] = ()
    journal: Journal = Journal()
    store: Annotated[tuple[StorePlace, ...], Field(min_length=1, max_length=16)] = (StorePlace(),)
    api: Api = Api()
    notify: Annotated[tuple[Notify, ...], Field(max_length=50)] = ()

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        for what, names in (
            ("store", [place.name for place in self.store]),
            ("notify", [target.name for target in self.notify]),
            ("source", [ROOT, *(source.name for source in self.sources())]),
        ):
            doubled = sorted({name for name in names if names.count(name) > 1})
            if doubled:
                raise ValueError(f"two of [[{what}]] are named {doubled[0]!r}; every name stands once")
        return self

    def sources(self) -> tuple[Source, ...]:
        """Every family of vendor topics to subscribe to, in the order of the settings."""
        named = vendor_sources(self.gateway.sources)
        return (*named, *(Source(own.name, own.topic, own.envelope) for own in self.source))

    def store_path(self, place: StorePlace) -> Path:
        """The file of an embedded store."""
        return self.gateway.data_dir / place.path
