"""push against a scripted Grafana: create, update, unchanged, conflict, refused, failing, half done then repeated."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from dashboards.generate import dashboards
from dashboards.push import MESSAGE, Outcome, Push, PushError, Target, message
from gateway.cli import build
from tests.servers import Answer, Request, ScriptedServer

Json = dict[str, Any]
TOKEN = "glsa_test"


class Grafana:
    """As much of Grafana's HTTP API as push asks of it."""

    def __init__(self) -> None:
        self.folders: dict[str, str] = {}
        self.dashboards: dict[str, Json] = {}
        self.folder_of: dict[str, str] = {}
        self.messages: dict[str, list[str]] = {}
        """By uid, the message of each version."""
        self.fail_after: int | None = None
        """So many saves are done, then 500."""
        self.status: int = 200
        """Any other is the answer to everything."""
        self.shared: dict[str, Json] = {}
        self.provisioned: set[str] = set()
        self.changed_meanwhile = False
        self.paged = True
        self.saves = 0

    def __call__(self, request: Request) -> Answer:
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        if self.status != 200:
            return _json({"message": "no"}, self.status)
        parts = request.path.removeprefix("/api/").split("/")
        body = json.loads(request.body) if request.body not in (b"", b"null") else {}
        match (request.method, *parts):
            case ("GET", "folders", uid):
                return _json({"uid": uid}) if uid in self.folders else _json({"message": "not found"}, 404)
            case ("POST", "folders"):
                self.folders[body["uid"]] = body["title"]
                return _json(body)
            case ("GET", "dashboards", "uid", uid):
                if uid not in self.dashboards:
                    return _json({"message": "not found"}, 404)
                meta = {"folderUid": self.folder_of[uid], "provisioned": uid in self.provisioned}
                return _json({"dashboard": self.dashboards[uid], "meta": meta})
            case ("GET", "dashboards", "uid", uid, "versions"):
                listed = [{"version": n, "message": text} for n, text in enumerate(self.messages[uid], start=1)][::-1]
                return _json({"versions": listed} if self.paged else listed)
            case ("POST", "dashboards", "db"):
                return self._save(body)
            case ("GET", "dashboards", "uid", uid, "public-dashboards"):
                return _json(self.shared[uid]) if uid in self.shared else _json({"message": "not found"}, 404)
            case ("POST", "dashboards", "uid", uid, "public-dashboards"):
                self.shared[uid] = {**body, "accessToken": "0a1b"}
                return _json(self.shared[uid])
        return _json({"message": f"unexpected {request.method} {request.path}"}, 400)

    def _save(self, body: Json) -> Answer:
        if self.fail_after is not None and self.saves >= self.fail_after:
            return _json({"message": "database is locked"}, 500)
        self.saves += 1
        board = dict(body["dashboard"])
        uid = board["uid"]
        known = self.dashboards.get(uid)
        if known is not None and (self.changed_meanwhile or board["version"] != known["version"]):
            return _json({"status": "version-mismatch", "message": "changed by someone else"}, 412)
        assert body["overwrite"] is False
        board |= {"id": 7, "version": (known["version"] if known else 0) + 1}
        self.dashboards[uid], self.folder_of[uid] = board, body["folderUid"]
        self.messages.setdefault(uid, []).append(body["message"])
        return _json({"uid": uid, "version": board["version"], "status": "success"})

    def edit(self, uid: str, title: str) -> None:
        """Somebody of the staff saves a change."""
        board = self.dashboards[uid]
        self.dashboards[uid] = {**board, "title": title, "version": board["version"] + 1}
        self.messages[uid].append("")


def _json(value: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


@pytest.fixture
def grafana() -> Iterator[tuple[Grafana, ScriptedServer]]:
    """A Grafana that knows nothing yet."""
    state = Grafana()
    with ScriptedServer(state) as server:
        yield state, server


BOARD: Json = {"uid": "village-test", "title": "Test", "tags": ["village"], "version": 0, "panels": []}


def outcome(server: ScriptedServer, board: Json, *, force: bool = False) -> Outcome:
    """What becomes of one dashboard."""
    return Push(Target(server.url, TOKEN)).dashboard(board, "village-vi", force=force).outcome


@pytest.mark.parametrize("paged", [True, False])
def test_a_dashboard_is_created_left_alone_while_unchanged_and_updated(
    grafana: tuple[Grafana, ScriptedServer], paged: bool
) -> None:
    """In the answers of Grafana 9 and of 12."""
    state, server = grafana
    state.paged = paged
    newer = {**BOARD, "title": "Newer"}
    assert [outcome(server, board) for board in (BOARD, BOARD, newer, newer)] == [
        Outcome.CREATED,
        Outcome.UNCHANGED,
        Outcome.UPDATED,
        Outcome.UNCHANGED,
    ]
    assert (state.saves, state.dashboards["village-test"]["title"]) == (2, "Newer")
    assert state.messages["village-test"] == [message(BOARD), message(newer)]
    assert state.folder_of["village-test"] == "village-vi"


def test_what_staff_changed_is_left_alone_unless_forced(grafana: tuple[Grafana, ScriptedServer]) -> None:
    """Also when our own content is newer than what was pushed before."""
    state, server = grafana
    outcome(server, BOARD)
    state.edit("village-test", "Của xã tôi")
    assert outcome(server, {**BOARD, "title": "Newer"}) is Outcome.CONFLICT
    assert state.dashboards["village-test"]["title"] == "Của xã tôi"
    assert outcome(server, BOARD, force=True) is Outcome.UPDATED
    assert state.dashboards["village-test"]["title"] == "Test"
    assert outcome(server, BOARD) is Outcome.UNCHANGED


def test_a_change_between_reading_and_writing_is_a_conflict_too(grafana: tuple[Grafana, ScriptedServer]) -> None:
    """Grafana refuses a version that is not the one we have read."""
    state, server = grafana
    outcome(server, BOARD)
    state.changed_meanwhile = True
    assert outcome(server, {**BOARD, "title": "Newer"}) is Outcome.CONFLICT
    assert state.dashboards["village-test"]["title"] == "Test"


def test_a_moved_dashboard_goes_back_to_its_folder(grafana: tuple[Grafana, ScriptedServer]) -> None:
    """The same content in another folder is not unchanged."""
    state, server = grafana
    outcome(server, BOARD)
    state.folder_of["village-test"] = "elsewhere"
    assert outcome(server, BOARD) is Outcome.UPDATED
    assert state.folder_of["village-test"] == "village-vi"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "does not accept the token (401)"),
        (403, "may not do that (403)"),
        (500, "failed (500)"),
        (502, "failed (502)"),
        (400, "refused (400): no"),
    ],
)
def test_an_error_of_grafanas_is_one_line_that_says_what_to_do(
    grafana: tuple[Grafana, ScriptedServer], status: int, words: str
) -> None:
    """No traceback, no second try."""
    state, server = grafana
    state.status = status
    with pytest.raises(PushError) as caught:
        outcome(server, BOARD)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(server.requests) == 1


def test_no_grafana_at_all_and_something_else_than_grafana() -> None:
    """A closed port, a web server that answers in HTML, and an address that is none."""
    with pytest.raises(PushError, match="does not answer"):
        Push(Target("http://127.0.0.1:9", TOKEN)).folder("a", "A")
    page = Answer(200, b"<html></html>", {"Content-Type": "text/html"})
    with ScriptedServer(lambda _: page) as server, pytest.raises(PushError, match="does not answer as Grafana does"):
        Push(Target(server.url, TOKEN)).folder("a", "A")
    with pytest.raises(PushError, match="is no address"):
        Push(Target("grafana:3000", TOKEN))


def test_provisioned_dashboards_are_named_instead_of_pushed(grafana: tuple[Grafana, ScriptedServer]) -> None:
    """Grafana would refuse the save without saying which file to change."""
    state, server = grafana
    outcome(server, BOARD)
    state.provisioned.add("village-test")
    with pytest.raises(PushError, match="has it from its own files"):
        outcome(server, {**BOARD, "title": "Newer"})


def test_a_push_that_broke_off_goes_on_when_repeated(
    grafana: tuple[Grafana, ScriptedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command: half done at a 500, then the rest, then nothing; the public page is shared once."""
    state, server = grafana
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    runner, wanted = CliRunner(), ["dashboards", "push", "--url", server.url, "--share"]
    state.fail_after = 4
    broken = runner.invoke(build(), wanted)
    assert broken.exit_code == 1
    assert "failed (500)" in broken.output
    assert len(state.dashboards) == 4
    state.fail_after = None
    whole = runner.invoke(build(), wanted)
    assert (whole.exit_code, whole.output.splitlines()) == (
        0,
        [f"{server.url}/public-dashboards/0a1b", "5 created, 0 updated, 4 unchanged, 0 conflict"],
    )
    assert state.folders == {"village-vi": "Làng thông minh", "village-public": "Công khai"}
    assert state.folder_of["village-public"] == "village-public"
    again = runner.invoke(build(), wanted)
    assert again.output.splitlines()[-1] == "0 created, 0 updated, 9 unchanged, 0 conflict"
    made = {value["uid"]: value for path, value in dashboards().items() if path.startswith(("vi/", "public/"))}
    kept = {uid: {**board, "id": None, "version": 0} for uid, board in state.dashboards.items()}
    assert kept == {uid: {**board, "id": None} for uid, board in made.items()}
    state.edit("village-air", "Không khí quê tôi")
    told = runner.invoke(build(), wanted)
    assert told.exit_code == 1
    assert "village-air (Không khí của xã): changed in Grafana, left as it is" in told.output


def test_without_a_token_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong settings are exit status 2."""
    monkeypatch.delenv("GRAFANA_TOKEN", raising=False)
    told = CliRunner().invoke(build(), ["dashboards", "push"])
    assert (told.exit_code, told.output.strip()) == (
        2,
        "set GRAFANA_TOKEN to the token of a Grafana service account with the role Editor",
    )


def test_a_message_names_the_content_and_not_its_order() -> None:
    """The same on every machine."""
    assert message(BOARD) == message(dict(reversed(BOARD.items())))
    assert message(BOARD) != message({**BOARD, "title": "Newer"})
    assert message(BOARD).startswith(f"{MESSAGE} ")
