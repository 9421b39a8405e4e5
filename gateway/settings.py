"""Settings: one TOML file plus environment, checked completely before any connection is opened."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from devices.codecs import CODECS
from devices.topics import ROOT, VENDOR_SOURCES, Source, vendor_sources
from gateway.settings_neighbours import Broker, Name, Notify, Part, StorePlace, Text, need_file


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine can reach a listener on this host."""
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Gateway(Part):
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


class ExtraSource(Part):
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


class Journal(Part):
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


class Api(Part):
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
        need_file(self.cert_file, "cert_file")
        need_file(self.key_file, "key_file")
        if self.token is None and not is_loopback(self.host):
            raise ValueError(f"host {self.host!r} is not loopback, so token must be set; or listen on 127.0.0.1")
        return self


class Settings(Part):
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
