"""The technician's guides, English and Vietnamese: every alarm of health has its row, every command exists."""

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from gateway.cli import build

ROOT = Path(__file__).parent.parent
GUIDES = (ROOT / "docs" / "operate.md", ROOT / "docs" / "vi" / "van-hanh.md")
ROW = re.compile(r"^\| `([a-z]+)(?::\.\.\.)?` (waiting|failing)(?:, ([^|]*?))? \|", re.MULTILINE)
ELSEWHERE = {
    # Whose words come from another module: where they stand.
    "broker refuses a subscription": "gateway/southbound/mqtt.py",
    "again and again": "gateway/southbound/mqtt.py",
    "no room": "gateway/line/journal.py",
    "holds": "gateway/line/journal.py",
    "the end of the journal is gone": "gateway/line/witness.py",
    "ends on": "gateway/certificate_ends.py",
    "ended": "gateway/certificate_ends.py",
    "may read it": "gateway/certificate_ends.py",
    "may change it": "gateway/certificate_ends.py",
}


def words_of(node: ast.expr) -> str:
    """The constant words of a text."""
    return " ".join(
        each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)
    )


def alarms() -> list[tuple[str, set[str], str]]:
    """Part, states and words of every ``PartHealth`` the code makes; of a text in a variable, what it was set to."""
    found = []
    for path in (ROOT / "gateway" / "health.py", ROOT / "gateway" / "app.py"):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            texts: dict[str, str] = {}
            for node in ast.walk(function):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    name = node.targets[0].id
                    texts[name] = f"{texts.get(name, '')} {words_of(node.value)}"
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "PartHealth":
                    part, state, detail = node.args
                    named = {each.id for each in ast.walk(detail) if isinstance(each, ast.Name)}
                    words = " ".join([words_of(detail), *(texts.get(name, "") for name in sorted(named))])
                    states = {"waiting", "failing"} & set(words_of(state).split())
                    if states or not words_of(state):
                        found.append((words_of(part).rstrip(":"), states, words))
    return found


def rows(guide: Path) -> list[tuple[str, str, list[str]]]:
    """Part, state and quoted words of each row."""
    return [
        (part, state, re.findall(r'"([^"]+)"', quoted)) for part, state, quoted in ROW.findall(guide.read_text("utf-8"))
    ]


def test_the_code_raises_alarms_of_these_parts() -> None:
    parts = {"broker", "journal", "certificates", "clock", "analytics", "notify", "store"}
    assert {part for part, _, _ in alarms()} == parts


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_every_alarm_has_its_row(guide: Path) -> None:
    listed = rows(guide)
    for part, states, words in alarms():
        for state in states or {"waiting", "failing"}:
            own = [quoted for other, said, quoted in listed if (other, said) == (part, state)]
            assert own, f"{guide.name}: no row for {part} {state}"
            known = [quoted for row in own for quoted in row if quoted in words or quoted in ELSEWHERE]
            assert known or [] in own, f"{guide.name}: no row for {part} {state} with words of {words!r}"


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_every_word_a_row_quotes_is_said_by_the_code(guide: Path) -> None:
    said = " ".join(words for _, _, words in alarms())
    code = {name: (ROOT / name).read_text("utf-8") for name in ELSEWHERE.values()}
    for part, _, quoted in rows(guide):
        for words in quoted:
            assert words in said or any(words in text for text in code.values()), f"{guide.name}: {part}: {words}"


# commands ---------------------------------------------------------------------------------------------------------


def written_commands(guide: Path) -> set[str]:
    """What a technician is told to type after ``village``; commands of the table of accounts begin in its head."""
    text = guide.read_text("utf-8")
    spans = [*re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))]
    spans += [
        line.split("  #")[0] for block in re.findall(r"```\n(.*?)```", text, re.DOTALL) for line in block.split("\n")
    ]
    typed = {" ".join(span.split()) for span in spans}
    found = {
        span.partition("village ")[2] for span in typed if re.match(r"(sudo |.*exec gateway )?village [a-z]", span)
    }
    head = "`sudo village devices credentials` |\n"
    table = text.partition(head)[2].partition("\n\n")[0]
    return found | {f"devices credentials {span}" for span in re.findall(r"`([a-z][^`]*)`(?=[,;.]| [|]|, )", table)}


def misfit(words: list[str]) -> str:
    """What of a command the program does not know; empty if it knows all."""
    command: Any = typer.main.get_command(build(words[0]))
    known: list[Any] = []
    while words and not words[0].startswith("-") and hasattr(command, "commands"):
        inner = command.commands.get(words[0])
        if inner is None:
            return f"no command {words[0]!r}"
        command, words = inner, words[1:]
        known += command.params
    options = {name for parameter in known for name in (*parameter.opts, *parameter.secondary_opts)}
    return ", ".join(word for word in words if word.startswith("--") and word not in options)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_every_command_of_the_guides_exists_with_its_options(guide: Path) -> None:
    commands = written_commands(guide)
    assert len(commands) > 20
    wrong = {command: found for command in commands if (found := misfit(shlex.split(command)))}
    assert wrong == {}
