"""Who is told what: once per cause, in their language, tried again, bounded per hour, without secrets."""

import json
import logging
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import SecretStr
from typer.testing import CliRunner

from devices.alert_rules import Severity
from devices.standards import shipped
from gateway import alert_commands
from gateway.analytics.alert_book import MINUTE, AlertChange
from gateway.notify import Notifier, Telling, send_by_apprise, without_secrets
from gateway.notify_queue import Message, NotifyQueue
from gateway.settings_neighbours import Notify
from tests.gateway_process import await_that
from tests.servers import Answer, Request, ScriptedServer, free_port
from tests.test_alerts import NOON, Village

HOUR = 60 * MINUTE
TOKEN = "s3cr3t-t0ken"


class Sent:
    """Stands in for apprise: keeps what was sent, fails when told to."""

    def __init__(self) -> None:
        self.texts: list[tuple[str, str, str]] = []
        self.error = ""

    def __call__(self, target: Notify, head: str, text: str) -> str:
        """As ``send_by_apprise``."""
        if not self.error:
            self.texts.append((target.name, head, text))
        return self.error


class Office:
    """A notifier with a village behind it, and clocks that a test moves on."""

    def __init__(self, folder: Path, *targets: Notify) -> None:
        self.path, self.targets = folder / "notify.db", targets or (target("leaders"),)
        self.village, self.sent, self.now = Village(lamps=30), Sent(), NOON
        self.notifier = self._open()

    def _open(self) -> Notifier:
        return Notifier(
            self.targets, self.path, {"10642": "Thái Tân"}, send=self.sent, now=lambda: self.now,
            clock=lambda: self.now / 1e9,
        )  # fmt: skip

    def restart(self) -> None:
        """The gateway ends and begins again."""
        self.notifier.stop()
        self.notifier = self._open()

    def take(self, changes: list[AlertChange]) -> None:
        """Analytics says what changed."""
        standing = self.village.registry, self.village.alerts.sensor_texts
        self.notifier.take(Telling(changes, *standing))
        self.notifier.tell_all()

    def fire(self, device: str, **values: float) -> list[AlertChange]:
        """A device reports for an hour; returns what people are to be told."""
        told = []
        for _ in range(13):
            self.village.say(device, **values)  # type: ignore[arg-type]
            told += self.village.look()
            self.village.now += 5 * MINUTE
        self.take(told)
        return told

    def wait(self, span: int) -> None:
        """Let time pass."""
        self.now += span
        self.notifier.tell_all()

    @property
    def heads(self) -> list[str]:
        """Titles of what was sent."""
        return [head for _, head, _ in self.sent.texts]


def target(name: str, **more: Any) -> Notify:
    """A target that is reached by the stand-in."""
    return Notify.model_construct(name=name, urls=(SecretStr(f"json://127.0.0.1/{TOKEN}"),), **more)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """One target for everything."""
    made = Office(tmp_path)
    yield made
    made.notifier.stop()


def test_staff_read_in_vietnamese_where_how_much_since_when_and_what_to_do(office: Office) -> None:
    """One message when it begins, one when it is over."""
    office.fire("tap-1", residual_chlorine=0.05)
    office.fire("tap-1", residual_chlorine=0.5)
    assert [(head, text) for _, head, text in office.sent.texts] == [
        (
            "Khẩn cấp: Clo dư trong nước thấp, Điểm đo cuối tuyến (tap-1)",
            (
                "Xã: Thái Tân\nGiá trị: 0.05 mg/L, ngưỡng: 0.20 mg/L\nTừ: 12:00 12/01/2026\n"
                "Việc cần làm: Kiểm tra bơm clo và bồn hóa chất; xả cặn cuối tuyến; khuyên dân đun sôi nước.\n"
                "Căn cứ: QCVN 01-1: 0.2 to 1.0 mg/L"
            ),
        ),
        ("Đã hết: Clo dư trong nước thấp, Điểm đo cuối tuyến (tap-1)", office.sent.texts[1][2]),
    ]


def test_each_target_hears_of_its_communes_and_severities_in_its_language(tmp_path: Path) -> None:
    """The gateway's own troubles go to who has no commune, or names the gateway."""
    office = Office(
        tmp_path,
        target("all", severities=tuple(Severity), language="en"),
        target("critical", severities=(Severity.CRITICAL,)),
        target("elsewhere", communes=("10615",)),
        target("operator", communes=("gateway",)),
    )
    office.fire("tap-1", residual_chlorine=0.05)
    office.fire("tap-1", pressure=0.4, residual_chlorine=0.05)
    office.village.alerts.take_health(["broker"], office.village.now)
    office.village.now += 3 * MINUTE
    office.village.alerts.take_health(["broker"], office.village.now)
    office.take(office.village.look())
    heads = [(name, head.split(":")[1].split(",")[0].strip()) for name, head, _ in office.sent.texts]
    assert heads == [
        ("all", "Too little chlorine in tap water"),
        ("critical", "Clo dư trong nước thấp"),
        ("all", "Low water pressure"),
        ("all", "The gateway itself has a problem"),
        ("critical", "Cổng dữ liệu gặp sự cố"),
        ("operator", "Cổng dữ liệu gặp sự cố"),
    ]
    office.notifier.stop()


def test_one_message_for_a_circuit_not_one_for_each_lamp(office: Office) -> None:
    """Sixty lamps fall silent with their cabinet: one cause."""
    names = [f"lamp-{n}" for n in range(30)] + ["cab-1"]
    for _ in range(4):
        for name in names:
            office.village.say(name, power=0.5)
        office.village.look()
        office.village.now += 5 * MINUTE
    told = []
    for _ in range(60):
        for name in ("tap-1", "river-1", "air-1"):
            office.village.say(name, battery=80.0)
        told += office.village.look()
        office.village.now += MINUTE
    office.take(told)
    assert [head for head in office.heads if "tuyến" in head or "liên lạc" in head] == [
        "Khẩn cấp: Mất điện cả tuyến đèn, Tủ thôn Đông (cab-1)"
    ]


def test_a_failure_is_tried_again_with_growing_pauses_and_told_once(office: Office) -> None:
    """10 s, 20 s, 40 s, ... a quarter of an hour at most; health says why."""
    office.sent.error = "server error 503"
    office.fire("tap-1", residual_chlorine=0.05)
    assert office.notifier.errors == {"leaders": "server error 503"}
    tries = 0
    while office.now < NOON + HOUR:
        before = office.notifier._failures["leaders"]
        office.wait(10**9)
        tries += office.notifier._failures["leaders"] - before
    assert tries == 7 + 2  # after 10, 30, 70, 150, 310, 630, 1270 s, then each 900 s
    office.sent.error = ""
    office.wait(HOUR)
    assert len(office.sent.texts) == 1
    assert office.notifier.errors == {}


def test_a_restart_tells_nothing_again_and_forgets_nothing(office: Office) -> None:
    """Nor does an alert that comes again from an older snapshot; what waited is told after the start."""
    told = office.fire("tap-1", residual_chlorine=0.05)
    office.restart()
    office.wait(MINUTE)
    office.take(told)
    assert len(office.sent.texts) == 1
    office.sent.error = "no answer"
    office.fire("tap-1", pressure=0.2, residual_chlorine=0.05)
    office.restart()
    office.sent.error = ""
    office.wait(MINUTE)
    assert [head.split(",")[0] for head in office.heads[1:]] == ["Cảnh báo: Áp suất nước thấp"]


def test_what_is_over_before_it_could_be_told_is_not_told(office: Office) -> None:
    """Neither beginning nor end."""
    office.sent.error = "no answer"
    office.fire("tap-1", residual_chlorine=0.05)
    office.fire("tap-1", residual_chlorine=0.5)
    office.sent.error = ""
    office.wait(HOUR)
    assert office.sent.texts == []


def test_what_could_not_be_told_for_a_day_is_given_up(office: Office) -> None:
    """It is no news any more; the list still has it."""
    office.sent.error = "no answer"
    office.fire("tap-1", residual_chlorine=0.05)
    office.now += 25 * HOUR
    office.sent.error = ""
    office.wait(MINUTE)
    assert office.sent.texts == []


def test_a_flood_is_bounded_and_the_last_message_of_the_hour_counts_the_rest(tmp_path: Path) -> None:
    """Five an hour: the four worst by themselves, then one that names five and counts the others."""
    office = Office(tmp_path, target("leaders", most_per_hour=5))
    queue = office.notifier._queue
    assert queue is not None
    flood = [Message("leaders", f"a{n}", False, 3 if n == 25 else 2, f"Cảnh báo {n}", "x") for n in range(30)]
    queue.put(flood, office.now)
    office.wait(0)
    assert office.heads == ["Cảnh báo 25", "Cảnh báo 0", "Cảnh báo 1", "Cảnh báo 2", "26 tin cảnh báo"]
    assert office.sent.texts[-1][2].splitlines() == [*(f"Cảnh báo {n}" for n in range(3, 8)), "và 21 cảnh báo khác"]
    queue.put([Message("leaders", f"b{n}", False, 2, f"Mới {n}", "x") for n in range(3)], office.now)
    office.wait(59 * MINUTE)
    assert len(office.heads) == 5
    office.wait(2 * MINUTE)
    assert office.heads[5:] == ["Mới 0", "Mới 1", "Mới 2"]
    office.notifier.stop()


def test_the_queue_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that is down for long must not fill the card."""
    monkeypatch.setattr("gateway.notify_queue.MOST_WAITING", 3)
    queue = NotifyQueue(tmp_path / "notify.db")
    assert queue.put([Message("t", f"a{n}", False, 2, "x", "y") for n in range(9)], NOON) == 3
    queue.close()


# apprise ---------------------------------------------------------------------------------------------------------


def web(url: str) -> Notify:
    """A target that is an HTTP server."""
    return Notify(name="web", urls=(SecretStr(url),))


def test_a_real_server_gets_title_and_text(tmp_path: Path) -> None:
    """Through apprise and the thread; a 503 first."""
    answers = [Answer(503), Answer(200)]
    seen: list[dict[str, Any]] = []
    minutes = count(0.0, 60.0)

    def answer(request: Request) -> Answer:
        seen.append(json.loads(request.body))
        return answers.pop(0)

    with ScriptedServer(answer) as server:
        address = server.url.replace("http://", "json://") + f"/{TOKEN}"
        notifier = Notifier([web(address)], tmp_path / "notify.db", {}, clock=lambda: next(minutes))
        village = Village()
        notifier.start()
        for _ in range(8):
            village.say("tap-1", residual_chlorine=0.05)
            notifier.take(Telling(village.look(), village.registry, shipped().alerts.sensor))
            village.now += 5 * MINUTE
        await_that("it was sent twice", lambda: len(seen) == 2)
        notifier.stop()
    assert [one["title"] for one in seen] == ["Khẩn cấp: Clo dư trong nước thấp, Điểm đo cuối tuyến (tap-1)"] * 2
    assert "ngưỡng: 0.20 mg/L" in seen[1]["message"]


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_refusal_says_what_happened_without_the_address(status: int, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither in the answer nor in any log."""
    with ScriptedServer(lambda _: Answer(status)) as server:
        said = send_by_apprise(web(server.url.replace("http://", f"json://user:{TOKEN}@") + f"/{TOKEN}"), "a", "b")
    assert str(status) in said
    assert TOKEN not in said + "".join(capfd.readouterr())


def test_nobody_there_and_unreadable_addresses(caplog: pytest.LogCaptureFixture) -> None:
    """One line each; the settings refuse what apprise does not know without repeating it."""
    caplog.set_level(logging.DEBUG)
    assert send_by_apprise(web(f"json://127.0.0.1:{free_port()}/{TOKEN}"), "a", "b")
    with pytest.raises(ValueError, match="address 2 is none that apprise knows") as caught:
        Notify(name="x", urls=(SecretStr("json://a"), SecretStr(f"nonsense://{TOKEN}")))
    assert TOKEN not in str(caught.value) + caplog.text


def test_secrets_are_cut_out_of_texts() -> None:
    """Every part of the address."""
    address = "tgram://123456:ABC-def/chat77?x=secret"
    assert without_secrets("https://api/bot123456:ABC-def/send chat77 secret 401", address) == (
        "https://api/bot…:…/send … … 401"
    )


def test_the_command_sends_a_test_and_says_per_target_what_happened(tmp_path: Path) -> None:
    """Exit status 1 if one of them was not told."""
    with ScriptedServer(lambda request: Answer(500 if "bad" in request.path else 200)) as server:
        address = server.url.replace("http://", "json://")
        (tmp_path / "village.toml").write_text(
            f'[[notify]]\nname = "good"\nurls = ["{address}/{TOKEN}"]\n'
            f'[[notify]]\nname = "broken"\nurls = ["{address}/{TOKEN}/bad"]\n',
            "utf-8",
        )
        app = typer.Typer()
        alert_commands.register(app)
        app.callback()(lambda: None)
        command = ["alerts", "test", "-c", str(tmp_path / "village.toml")]
        both = CliRunner().invoke(app, command)
        one = CliRunner().invoke(app, [*command, "--target", "good"])
        none = CliRunner().invoke(app, [*command, "--target", "nobody"])
    good, broken = both.stdout.splitlines()
    assert (both.exit_code, good, broken.split(":")[0], TOKEN in both.output) == (1, "good: sent", "broken", False)
    assert (one.exit_code, one.stdout) == (0, "good: sent\n")
    assert (none.exit_code, none.stderr.strip()) == (2, "no target 'nobody'; there are: good, broken")
