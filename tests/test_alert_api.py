"""Alerts over HTTP: filters, history, acknowledging, maintenance windows, and the live stream."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from gateway.analytics.alert_book import Key
from gateway.api.alerts import live_event
from tests.test_api import MINUTE, NOW, NOW_TEXT, Bench, client_of


@pytest.fixture
def bench() -> Bench:
    """A lamp that is out, another that burns by day and is well again, acid water of a doubtful probe."""
    made = Bench()
    fire(made, "lamp_out", "lamp-1", 0.4, 5.0)
    fire(made, "day_burner", "lamp-2", 60.0, 5.0)
    fire(made, "ph_low", "water-1", 3.2, 6.0, doubtful=True)
    made.alerts.book.changes(NOW - 5 * MINUTE)
    made.alerts.book.within(key(made, "day_burner", "lamp-2"), NOW - 4 * MINUTE)
    made.alerts.book.changes(NOW - 4 * MINUTE)
    return made


@pytest.fixture
def client(bench: Bench, tmp_path: Path) -> TestClient:
    """Asks it."""
    return client_of(bench.parts, tmp_path)


def key(bench: Bench, rule: str, device: str, *, doubtful: bool = False) -> Key:
    """The book's key of a rule at a device."""
    codes = [one.code for one in bench.alerts.rules]
    return Key(codes.index(rule), "device", bench.state.registry.index[device], doubtful)


def fire(bench: Bench, rule: str, device: str, value: float, limit: float, *, doubtful: bool = False) -> None:
    """An alert begins to fire five minutes ago."""
    bench.alerts.book.beyond(key(bench, rule, device, doubtful=doubtful), NOW - 5 * MINUTE, value, limit)


def ids(client: TestClient, query: str = "") -> list[str]:
    """Ids that a question finds."""
    answer = client.get(f"/alerts{query}").json()
    assert answer["total"] == len(answer["items"])
    return [item["id"] for item in answer["items"]]


OUT, ACID, DAY = "lamp_out/device/10642/lamp-1", "ph_low?/device/10700/water-1", "day_burner/device/10642/lamp-2"


def test_what_fires_is_said_with_place_value_limit_since_when_and_what_to_do(client: TestClient) -> None:
    """In both languages."""
    item = client.get("/alerts").json()["items"][0]
    assert item == {
        "id": OUT,
        "rule": "lamp_out",
        "domain": "streetlight",
        "severity": "warning",
        "state": "firing",
        "doubtful": False,
        "scope": "device",
        "commune": "10642",
        "group": "tu-1",
        "device": "lamp-1",
        "place": "Đèn ngõ Đình (lamp-1)",
        "title": {"vi": "Đèn không sáng", "en": "Lamp out"},
        "advice": {
            "vi": "Cử thợ điện thay bóng hoặc bộ nguồn; kiểm tra cầu chì tại chân cột.",
            "en": "Send an electrician to replace lamp or driver; check the fuse at the pole's foot.",
        },
        "law": "",
        "value": 0.4,
        "limit": 5.0,
        "unit": "W",
        "since": "2026-05-28T20:21:40.123Z",
        "changed_at": "2026-05-28T20:21:40.123Z",
        "cause": None,
        "silenced": False,
        "acknowledged_by": "",
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [OUT, ACID]),
        ("?commune=10700", [ACID]),
        ("?severity=info", [ACID]),
        ("?device=lamp-1", [OUT]),
        ("?state=resolved", [DAY]),
        ("?state=resolved&since=2026-05-28T20:22:40Z", [DAY]),
        ("?state=resolved&since=2026-05-28T20:22:41Z", []),
        ("?state=pending", []),
        ("?state=acknowledged", []),
        ("?since=2026-05-28T20:21:41Z", []),
    ],
)
def test_filters(client: TestClient, query: str, found: list[str]) -> None:
    """The worst first."""
    assert ids(client, query) == found


@pytest.mark.parametrize("query", ["?state=bad", "?severity=awful", "?since=yesterday", "?limit=0", "?limit=100000"])
def test_a_wrong_question_is_answered_with_what_is_wrong(client: TestClient, query: str) -> None:
    """One line."""
    answer = client.get(f"/alerts{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(query[1:].split("=", maxsplit=1)[0])


def test_somebody_takes_care(client: TestClient, bench: Bench) -> None:
    """Once; the state and who it was are in the list."""
    question = {"id": OUT, "by": "Anh Nam"}
    assert client.post("/alerts/acknowledge", json=question).json() == {"done": True}
    item = client.get("/alerts?state=acknowledged").json()["items"][0]
    assert (item["id"], item["acknowledged_by"], item["changed_at"]) == (OUT, "Anh Nam", NOW_TEXT)
    again = client.post("/alerts/acknowledge", json=question)
    assert (again.status_code, again.json()["error"]["code"]) == (404, "not_found")
    bench.alerts_busy = True
    assert client.post("/alerts/acknowledge", json=question).status_code == 503


def test_a_maintenance_window_is_made_seen_and_ended(client: TestClient) -> None:
    """What fires there is marked."""
    wanted = {"group": "tu-1", "stop": "2026-05-29T00:00:00+07:00", "by": "Anh Nam", "reason": "thay cáp"}
    assert client.post("/alerts/silences", json=wanted).status_code == 400  # midnight in Viet Nam is past
    wanted["stop"] = "2026-05-29T09:00:00+07:00"
    made = client.post("/alerts/silences", json=wanted).json()
    assert (made["id"], made["start"], made["stop"]) == (1, NOW_TEXT, "2026-05-29T02:00:00.000Z")
    assert client.get("/alerts/silences").json()["items"] == [made]
    assert {item["id"]: item["silenced"] for item in client.get("/alerts").json()["items"]} == {OUT: True, ACID: False}
    assert client.post("/alerts/silences/end", json={"id": 1}).json() == {"done": True}
    assert client.post("/alerts/silences/end", json={"id": 1}).status_code == 404


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({}, "say where"),
        ({"device": "lamp-99"}, "device: no 'lamp-99'"),
        ({"group": "tu-9"}, "group: no 'tu-9'"),
        ({"commune": "1"}, "commune: no '1'"),
        ({"rule": "lamp"}, "rule: no 'lamp'"),
        ({"device": "lamp-1", "start": "2026-06-02T00:00:00Z"}, "must end after it begins"),
    ],
)
def test_a_window_that_would_silence_nothing_or_everything_is_refused(
    client: TestClient, place: dict[str, str], said: str
) -> None:
    """A typing mistake must not look like success."""
    window = {"stop": "2026-06-01T00:00:00Z", "by": "Nam", "reason": "r"}
    answer = client.post("/alerts/silences", json=window | place)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


def test_the_live_stream_says_what_fires_in_a_commune(bench: Bench) -> None:
    """The gateway's own problems concern every commune."""
    bench.alerts.take_health(["broker"], NOW - 3 * MINUTE)
    bench.alerts.take_health(["broker"], NOW)
    bench.alerts.book.changes(NOW)

    def seen(commune: str | None) -> list[str]:
        body: dict[str, Any] = json.loads(live_event(bench.standing, commune))
        return [item["id"] for item in body["items"]]

    assert seen("10642") == ["gateway/gateway//broker", OUT]
    assert seen(None) == ["gateway/gateway//broker", OUT, ACID]
