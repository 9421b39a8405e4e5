"""Golden cases: every codec reads its uplinks to exactly these observations, or refuses them for exactly this reason.

``tests/cases/<codec>/<case>/`` holds

- ``uplink.json``, ``.txt`` (one final newline is not part of the payload), ``.hex`` (lines with ``#`` are comments) or
  ``.bin`` (exactly the payload);
- ``provenance``: one line saying where the bytes come from; in ``.hex`` it is the first comment line instead;
- ``expected.out``: one ``property value unit [time]`` a line, then what else the message says; or ``expected.err``: the
  reason, one word, and the reply if its protocol asks for one;
- optionally ``context.toml``: ``profile`` (a shipped one, or a file beside the cases), ``event``, ``zone``,
  ``retained``, ``port``, ``received_at``, and ``earlier``, the uplinks the codec has seen before: file, event and
  ``received_at``. What a case does not set, the codec's own ``context.toml`` beside the cases does.

``UPDATE_CASES=1 pytest tests/test_cases.py`` writes the missing expectations; they are reviewed like code.
"""

import os
import tomllib
from datetime import UTC
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from devices.codecs import CODECS, Context, load, times
from devices.observation import Message, Reason, RefusedError
from devices.profile import Profile, parse_profile, shipped_profiles

CASES = Path(__file__).parent / "cases"
UPLINKS = ("uplink.json", "uplink.txt", "uplink.hex", "uplink.bin")
DEFAULTS: dict[str, Any] = {
    "event": "",
    "zone": "Asia/Ho_Chi_Minh",
    "retained": False,
    "port": 0,
    "received_at": "2026-08-01T04:10:00Z",
    "earlier": [],
}
FOLDERS = sorted(folder for codec in CODECS for folder in (CASES / codec).glob("*/"))


class Case(NamedTuple):
    """One case, read."""

    uplink: Path
    context: dict[str, Any]
    profile: Profile

    def run(self) -> Message:
        """Decode what came earlier, then the uplink."""
        decode = load(self.uplink.parent.parent.name).decoder(self.profile)
        said = self.context
        received_at, _ = times.instant(said["received_at"], UTC)
        context = Context(said["event"], ZoneInfo(said["zone"]), {}, said["retained"], said["port"], received_at)
        for earlier in said["earlier"]:
            at, _ = times.instant(earlier.get("received_at", said["received_at"]), UTC)
            before = context._replace(event=earlier["event"], received_at=at)
            decode(payload_of(self.uplink.parent / earlier["file"]), before)
        return decode(payload_of(self.uplink), context)


def payload_of(file: Path) -> bytes:
    """The bytes a device sent."""
    content = file.read_bytes()
    if file.suffix == ".hex":
        return bytes.fromhex("".join(line.partition("#")[0] for line in content.decode().splitlines()))
    return content if file.suffix == ".bin" else content.removesuffix(b"\n")


def read_case(folder: Path) -> Case:
    """Read a case's folder."""
    uplink = next(folder / name for name in UPLINKS if (folder / name).exists())
    context = dict(DEFAULTS)
    for file in (folder.parent / "context.toml", folder / "context.toml"):
        if file.exists():
            context |= tomllib.loads(file.read_text("utf-8"))
    own = folder.parent / f"{context['profile']}.toml"
    if own.exists():
        return Case(uplink, context, parse_profile(own.read_text("utf-8"), own.name))
    return Case(uplink, context, shipped_profiles()[context["profile"]])


def described(message: Message) -> str:
    """A message as ``expected.out`` writes it."""
    lines = []
    for observation in message.observations:
        value = repr(observation.value).removesuffix(".0")
        time = "" if observation.observed_at is None else f" {times.text(observation.observed_at)}"
        lines.append(f"{observation.property} {value} {observation.unit}{time}")
    if message.sequence is not None:
        lines.append(f"sequence {message.sequence}")
    if message.identity is not None:
        lines.append(f"identity {message.identity}")
    if message.online is not None:
        lines.append("online" if message.online else "offline")
    lines += [name for name in ("zoned", "stale", "simulated") if getattr(message, name)]
    if message.reply is not None:
        lines.append(f"reply {message.reply.hex()}")
    return "".join(f"{line}\n" for line in lines)


def outcome(case: Case) -> tuple[str, str]:
    """Name and text of the expectation file that would be right."""
    try:
        return "expected.out", described(case.run())
    except RefusedError as error:
        reply = "" if error.reply is None else f"reply {error.reply.hex()}\n"
        return "expected.err", f"{error.reason}\n{reply}"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_uplink_is_read_as_expected(folder: Path) -> None:
    """Observation for observation, or refused for that reason."""
    name, text = outcome(read_case(folder))
    if os.environ.get("UPDATE_CASES") and not list(folder.glob("expected.*")):
        (folder / name).write_text(text, "utf-8")
    seen = {name: text}
    expected = {file.name: file.read_text("utf-8") for file in folder.glob("expected.*")}
    assert seen == expected


@pytest.mark.parametrize("codec", CODECS)
def test_codec_has_a_good_and_a_refused_case(codec: str) -> None:
    """A codec without one of each is not finished."""
    kinds = {file.name for file in (CASES / codec).glob("*/expected.*")}
    assert kinds == {"expected.out", "expected.err"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_case_says_where_it_comes_from(folder: Path) -> None:
    """The bytes of a case are captured, published or constructed, and the case says which."""
    uplink = read_case(folder).uplink
    if uplink.suffix == ".hex":
        assert uplink.read_text("utf-8").startswith("# ")
    else:
        assert (folder / "provenance").read_text("utf-8").strip()


def test_no_stray_file_lies_among_the_cases() -> None:
    """Every file is read by some case, and every reason is one of the enum's."""
    used = set()
    for folder in FOLDERS:
        case = read_case(folder)
        names = ["provenance"] if case.uplink.suffix != ".hex" else []
        names += ["context.toml"] if (folder / "context.toml").exists() else []
        names += [earlier["file"] for earlier in case.context["earlier"] if (folder / earlier["file"]).exists()]
        names += [case.uplink.name, next(folder.glob("expected.*")).name]
        used |= {folder / name for name in names}
        own = folder.parent / f"{case.profile.id}.toml"
        used |= {file for file in (own, folder.parent / "context.toml") if file.exists()}
    present = {file for codec in CODECS for file in (CASES / codec).rglob("*") if file.is_file()}
    assert {str(file.relative_to(CASES)) for file in present ^ used} == set()


def test_refused_cases_name_a_reason() -> None:
    """``expected.err`` begins with one word of the enum."""
    words = {file.read_text("utf-8").splitlines()[0] for file in CASES.glob("*/*/expected.err")}
    assert words <= {reason.value for reason in Reason}
