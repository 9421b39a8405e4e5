"""Settings: file and environment, and one readable line for whatever is wrong with them."""

import tomllib
from pathlib import Path

import pytest
from pydantic import SecretStr

from devices.topics import Source
from gateway.settings import Api, Settings, is_loopback
from gateway.settings_file import SettingsError, load_settings, render_example

ROOT = Path(__file__).parent.parent


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test's settings file goes."""
    return tmp_path / "village.toml"


def load(file: Path, text: str, **environ: str) -> Settings:
    """Settings of this text and environment."""
    file.write_text(text, "utf-8")
    return load_settings(file, environ)


def refusal(file: Path, text: str | bytes, **environ: str) -> str:
    """What is said of settings that cannot be used, without the file's folder."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError) as caught:
        load_settings(file, environ)
    said = str(caught.value)
    assert "\n" not in said
    return said.removeprefix(f"{file.parent}/")


# what is read -----------------------------------------------------------------------------------------------------


def test_an_empty_file_gives_every_default(file: Path) -> None:
    """With paths beside the file."""
    settings = load(file, "")
    assert (settings.broker.host, settings.broker.port, settings.broker.client_id) == (
        "127.0.0.1",
        1883,
        "village-gateway",
    )
    assert settings.gateway.data_dir == file.parent / "data"
    assert settings.gateway.fleet == file.parent / "fleet.csv"
    assert [(place.name, place.kind) for place in settings.store] == [("commune", "embedded")]
    assert settings.store_path(settings.store[0]) == file.parent / "data" / "store.db"
    assert settings.sources() == ()


def test_every_part_can_be_given(file: Path) -> None:
    """One of each."""
    settings = load(
        file,
        """
        [broker]
        host = "broker.example"
        port = 8883
        tls = true
        username = "gateway"
        password = "secret"
        [gateway]
        data_dir = "/var/lib/village"
        fleet = "fleets/commune.csv"
        sources = ["tasmota", "senml"]
        commit_wait_ms = 50
        [[source]]
        name = "plant"
        topic = "plant/{line}/{device}/{event...}"
        [journal]
        max_mb = 512
        [[store]]
        name = "commune"
        [[store]]
        name = "province"
        kind = "influxdb"
        url = "https://influx.example:8086/"
        token = "secret"
        [api]
        host = "0.0.0.0"
        token = "0123456789abcdef"
        """,
    )
    assert settings.gateway.data_dir == Path("/var/lib/village")
    assert settings.gateway.fleet == file.parent / "fleets" / "commune.csv"
    assert settings.sources() == (
        Source("tasmota", "tele/{device}/{event}"),
        Source("senml", "senml/{device}"),
        Source("plant", "plant/{line}/{device}/{event...}"),
    )
    assert settings.store[1].url == "https://influx.example:8086"
    assert settings.api.token == SecretStr("0123456789abcdef")


@pytest.mark.parametrize("names", ["'sparkplug_b'", "'sparkplug_b', 'sparkplug_b_node'"])
def test_sparkplug_takes_in_the_messages_of_its_nodes(file: Path, names: str) -> None:
    """The births of an edge node name the aliases of its devices: one name is enough, the second is no harm."""
    text = f"[gateway]\nsources = [{names}]\n"
    assert [source.filter for source in load(file, text).sources()] == ["spBv1.0/+/+/+/+", "spBv1.0/+/+/+"]
    doubled = f"{text}[[source]]\nname = 'sparkplug_b_node'\ntopic = 'x/{{device}}'\n"
    assert "named 'sparkplug_b_node'" in refusal(file, doubled)


def test_windows_writes_the_file_too(file: Path) -> None:
    """Byte order mark and its line ends."""
    file.write_bytes("\ufeff[broker]\r\nport = 1884\r\n".encode())
    assert load_settings(file, {}).broker.port == 1884


def test_the_environment_wins_over_the_file(file: Path) -> None:
    """Numbers, switches, lists, paths and secrets; an empty variable is none."""
    settings = load(
        file,
        '[broker]\nport = 1\nusername = "u"\n[[store]]\nname = "a"\n[[store]]\nname = "b"\n',
        GATEWAY_BROKER_PORT="1885",
        GATEWAY_BROKER_PASSWORD="secret",
        GATEWAY_BROKER_HOST="",
        GATEWAY_GATEWAY_ERROR_REPLIES="false",
        GATEWAY_GATEWAY_SOURCES="tasmota, senml",
        GATEWAY_GATEWAY_FLEET="other.csv",
        GATEWAY_STORE_1_KIND="influxdb",
        GATEWAY_STORE_1_URL="http://127.0.0.1:8086",
        GATEWAY_STORE_1_TOKEN="secret",
        PATH="/bin",
    )
    assert (settings.broker.port, settings.broker.host) == (1885, "127.0.0.1")
    assert settings.broker.password == SecretStr("secret")
    assert settings.gateway.error_replies is False
    assert settings.gateway.sources == ("tasmota", "senml")
    assert settings.gateway.fleet == file.parent / "other.csv"
    assert [(place.name, place.kind) for place in settings.store] == [("a", "embedded"), ("b", "influxdb")]


def test_the_environment_alone_can_make_a_store(file: Path) -> None:
    """As a container has it."""
    settings = load(file, "", GATEWAY_STORE_0_NAME="x", GATEWAY_SOURCE_0_NAME="y", GATEWAY_SOURCE_0_TOPIC="t/{device}")
    assert settings.store[0].name == "x"
    assert settings.sources() == (Source("y", "t/{device}"),)


def test_what_kubernetes_puts_beside_a_service_called_gateway_is_not_ours(file: Path) -> None:
    """It would be an unknown setting otherwise."""
    load(
        file, "", GATEWAY_SERVICE_HOST="10.0.0.1", GATEWAY_PORT="tcp://10.0.0.1", GATEWAY_PORT_8765_TCP_ADDR="10.0.0.1"
    )


def test_settings_made_in_code_do_not_read_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's settings are the same on every machine."""
    monkeypatch.setenv("GATEWAY_BROKER_PORT", "9")
    monkeypatch.setenv("BROKER", '{"port": 9}')
    assert Settings().broker.port == 1883


# what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[brokr]\n", "brokr: no such key; did you mean 'broker'?"),
        ("[broker]\nprot = 1883\n", "broker.prot: no such key; did you mean 'port'?"),
        ("[api]\ncolour = 1\n", "api.colour: no such key; known are host, port, token"),
        ("[[store]]\npasswort = 'hunter2'\n", "store[0].passwort: no such key; did you mean 'password'?"),
        ("[broker]\nport = 99999\n", "broker.port: must be less than or equal to 65535, not 99999"),
        ("[broker]\nport = 'x'\n", "broker.port: must be a valid integer, unable to parse string as"),
        ("[broker]\nport = true\n", "broker.port: is true, and a switch is not expected here"),
        ("[broker]\nprotocol = '4'\n", "broker.protocol: must be '3.1.1' or '5', not '4'"),
        ("[broker]\npassword = 'hunter2'\n", "broker: password without username; set broker.username"),
        ("[broker]\ncert_file = 'a.crt'\n", "broker: cert_file and key_file belong together; set both or neither"),
        ("[broker]\nca_file = 'a.crt'\n", "broker: ca_file and cert_file need tls = true"),
        ("[gateway]\nsources = ['tasmotta']\n", "gateway.sources: no source 'tasmotta'; known are tasmota,"),
        ("[gateway]\nsources = ['senml', 'senml']\n", "gateway.sources: a source is named twice"),
        ("[[store]]\n[[store]]\n", "two of [[store]] are named 'commune'; every name stands once"),
        ("[[source]]\nname = 'village'\ntopic = 'x/{device}'\n", "two of [[source]] are named 'village'"),
        ("[[source]]\nname = 'x'\ntopic = 'x/+'\n", "source[0].topic: every level is plain text or one {name}"),
        ("[[source]]\nname = 'x'\ntopic = 'x/{line}'\n", "source[0].topic: one level must be {device}"),
        ("[[source]]\nname = 'x'\ntopic = '{device...}/x'\n", "source[0].topic: {name...} can only be the last"),
        ("[[source]]\nname = 'x'\ntopic = 'village/{device}'\n", "source[0].topic: topics below village/ are taken"),
        ("[[source]]\nname = 'x'\ntopic = '$SYS/{device}'\n", "source[0].topic: topics below $SYS/ are taken"),
        ("[[source]]\nname = 'x'\ntopic = 'x/{device}'\nenvelope = 'y'\n", "source[0].envelope: no codec 'y'"),
        ("[[source]]\nname = 'x'\n", "source[0].topic: Field required"),
        ("[[store]]\nurl = 'http://x'\n", "store[0]: url, token and username are not for kind \"embedded\""),
        ("[[store]]\nkind = 'influxdb'\n", "store[0]: kind \"influxdb\" needs url"),
        ("[[store]]\nkind = 'influxdb'\nurl = 'http://x'\n", "store[0]: kind \"influxdb\" needs token"),
        ("[[store]]\nkind = 'influxdb1'\nurl = 'x'\n", "store[0].url: is not an address; write for example"),
        ("[[store]]\nkind = 'influxdb1'\nurl = 'http://h:port'\n", "store[0].url: is not an address"),
        ("[[store]]\nkind = 'influxdb1'\nurl = 'http://u:hunter2@h'\n", "store[0].url: holds a user name or"),
        ("[api]\nhost = '0.0.0.0'\n", "api: host '0.0.0.0' is not loopback, so token must be set; or listen on"),
        ("[api]\ntoken = 'hunter2'\n", "api.token: Value should have at least 16 items"),
        ("[store]\n", "store: write [[store]] with two brackets, there may be several"),
        ("store = []\n", "store: Tuple should have at least 1 item"),
        ("[[broker]]\n", "broker: write [broker] with one bracket, and its keys below"),
        ("broker = 5\n", "broker: write [broker] with one bracket"),
        ("[broker]\nport 1883\n", "not TOML: Expected '=' after a key in a key/value pair (at line 2, column 6)"),
        (b"[broker]\nhost = '\xff'\n", "not UTF-8 at byte 17; save the file as UTF-8"),
        ("#" * 1_000_001, "longer than 1000000 bytes; this is not a settings file"),
    ],
)  # fmt: skip
def test_wrong_settings_are_said_in_one_line(file: Path, text: str | bytes, said: str) -> None:
    """File, key, what is wrong, what would be right; never a secret."""
    found = refusal(file, text)
    assert found.startswith(f"village.toml: {said}")
    assert "hunter2" not in found


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"GATEWAY_BROKER_PORT": "x"}, "must be a valid integer"),
        ({"GATEWAY_BROKR_PORT": "1"}, "no such setting; did you mean GATEWAY_BROKER_PORT?"),
        ({"GATEWAY_STORE_TOKEN": "x"}, "no such setting; did you mean GATEWAY_STORE_0_TOKEN?"),
        ({"GATEWAY_STORE_0_TOKKEN": "x"}, "no such setting; did you mean"),
        ({"GATEWAY_STORE_2_NAME": "x"}, "there are only 0 [[store]] before it"),
        ({"GATEWAY_API_TOKEN": "hunter2"}, "Value should have at least 16 items"),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_named(file: Path, environ: dict[str, str], said: str) -> None:
    """Rather than the file, which is right."""
    found = refusal(file, "", **environ)
    assert found.startswith(f"environment {next(iter(environ))}: {said}")
    assert "hunter2" not in found


def test_several_mistakes_are_counted_and_the_misspelt_key_comes_first(file: Path) -> None:
    """It is often the cause of the others."""
    said = refusal(file, "[[source]]\nname = 'x'\ntopik = 'x/{device}'\n[broker]\nport = 0\n")
    assert said == "village.toml: source[0].topik: no such key; did you mean 'topic'? (and 2 more)"


def test_a_missing_file_is_said_with_what_to_do(tmp_path: Path) -> None:
    """Also a folder in its place."""
    with pytest.raises(SettingsError, match=r"none\.toml: no such file; `village settings > .*none\.toml` writes one"):
        load_settings(tmp_path / "none.toml", {})
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load_settings(tmp_path, {})


def test_files_that_are_named_must_exist(file: Path) -> None:
    """Certificates are looked for beside the settings file."""
    text = '[broker]\ntls = true\nca_file = "ca.crt"\n'
    assert refusal(file, text).startswith("village.toml: broker: ca_file: no file '")
    (file.parent / "ca.crt").write_text("certificate")
    assert load(file, text).broker.ca_file == file.parent / "ca.crt"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("Localhost", True), ("0.0.0.0", False),
     ("::", False), ("192.168.1.5", False), ("localhost.evil.example", False), ("", False)],
)  # fmt: skip
def test_only_loopback_is_loopback(host: str, loopback: bool) -> None:
    """A name that merely looks like it is not."""
    assert is_loopback(host) is loopback


def test_secrets_are_never_shown(file: Path) -> None:
    """Neither in the settings' text nor in a part's."""
    settings = load(
        file, "[broker]\nusername='u'\npassword='hunter2'\n[api]\ntoken='hunter2-hunter2-hunter2'\n",
        GATEWAY_STORE_0_KIND="influxdb", GATEWAY_STORE_0_URL="http://x", GATEWAY_STORE_0_TOKEN="hunter2",
    )  # fmt: skip
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json() + repr(settings.api)


# the example ------------------------------------------------------------------------------------------------------


def test_the_example_file_is_what_the_model_says() -> None:
    """Write it anew with `village settings > village.example.toml`."""
    assert (ROOT / "village.example.toml").read_text("utf-8") == render_example()


def test_the_example_file_gives_every_default(file: Path) -> None:
    """And explains every key, with the variable that wins over it."""
    text = render_example()
    assert load(file, text) == load(file, "")
    uncommented = "\n".join(
        line.removeprefix("# ") if " = " in line and line.startswith("# ") and line[2].islower() else line
        for line in text.replace("# [[source]]", "[[source]]").replace("# [[notify]]", "[[notify]]").splitlines()
        if " = " in line or "[" in line[:4]
    )
    keys = tomllib.loads(uncommented)
    for part, field in Settings.model_fields.items():
        section = keys[part][0] if isinstance(keys[part], list) else keys[part]
        sample = field.default[0] if isinstance(field.default, tuple) and field.default else field.default
        if sample:
            assert set(section) == set(type(sample).model_fields)
        middle = f"{part}_0" if isinstance(keys[part], list) else part
        for key in section:
            assert f"(GATEWAY_{middle}_{key})".upper() in text


def test_the_api_refuses_an_open_door_in_code_too() -> None:
    """The rule is the model's, not the file's."""
    with pytest.raises(ValueError, match="is not loopback, so token must be set"):
        Api(host="0.0.0.0")
