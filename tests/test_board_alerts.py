"""Alerts on the board: which, where, since when, what to do; who has the token says that he takes care of it."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Dialog, expect

from tests.board_server import EVENING, BoardServer, rfc3339
from tests.board_village import troubled_village
from tests.test_board import DESKTOP, PHONE, Open, browser, open_board

__all__ = ["browser", "open_board"]

TOKEN = "a-token-of-this-test"
PICTURES = os.environ.get("BOARD_PICTURES", "")
"""Folder for pictures of the board, for people to look at."""


def alert(rule: str, scope: str, name: str, severity: str, title: str, advice: str, **more: Any) -> dict[str, Any]:
    """One alert as the API says it."""
    return {
        "id": f"{rule}/{scope}/10642/{name}", "rule": rule, "domain": "streetlight", "severity": severity,
        "state": "firing", "doubtful": False, "scope": scope, "commune": "10642", "group": "", "device": name,
        "place": name, "title": {"vi": title, "en": rule}, "advice": {"vi": advice, "en": f"mend {rule}"}, "law": "",
        "value": None, "limit": None, "unit": "", "since": rfc3339(EVENING - timedelta(minutes=35)),
        "changed_at": rfc3339(EVENING), "cause": None, "silenced": False, "acknowledged_by": "",
    } | more  # fmt: skip


def prepare(server: BoardServer) -> None:
    """A lamp is out, chlorine is low, and five more."""
    lamp = next(name for name, device in server.devices.items() if "không sáng" not in name and name.startswith("den-"))
    server.alerts = [
        alert(
            "chlorine_low", "device", "may-clo", "critical", "Clo dư trong nước thấp", "Kiểm tra bơm clo.",
            value=0.05, limit=0.2, unit="mg/L",
        ),
        alert("lamp_out", "device", lamp, "warning", "Đèn không sáng", "Cử thợ điện thay bóng.", place="Đèn cột 7"),
        *(alert(f"door_{n}", "device", f"tu-{n}", "info", "Cửa tủ đang mở", "Khóa tủ.") for n in range(4)),
    ]  # fmt: skip


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_what_fires_stands_first_with_where_since_when_and_what_to_do(open_board: Open, size: tuple[int, int]) -> None:
    """Four of them, the others a click away; nothing is wider than the screen."""
    watched = open_board(troubled_village(), size, prepare)
    page = watched.ready()
    rows = page.locator("#alert-list > li")
    expect(rows).to_have_count(4)
    assert rows.nth(0).inner_text().split("\n\n") == [
        "Khẩn cấp: Clo dư trong nước thấp, may-clo, từ 19:55 hôm nay, đã 35 phút.",
        "Giá trị 0,05 mg/L, ngưỡng 0,2 mg/L",
        "Kiểm tra bơm clo.",
    ]
    assert rows.nth(1).inner_text().split("\n\n")[0].startswith("Cảnh báo: Đèn không sáng, Đèn cột 7, từ 19:55")
    expect(page.locator("#alert-count")).to_have_text("6")
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"alerts-{size[0]}.png"))
    page.get_by_role("button", name="Xem thêm 2 cảnh báo").click()
    expect(rows).to_have_count(6)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    expect(page.get_by_role("button", name="Tôi xử lý")).to_have_count(0)
    page.get_by_role("button", name="English").click()
    expect(rows.nth(0)).to_contain_text("Critical: chlorine_low")
    watched.server.alerts = []
    watched.server.say_alerts()
    expect(page.locator("#alerts")).to_be_hidden()


def test_who_has_the_token_says_that_he_takes_care(open_board: Open) -> None:
    """The name is asked for once and kept; everybody sees it."""
    watched = open_board(troubled_village(), DESKTOP, prepare, token=TOKEN)
    page = watched.page
    page.locator("#token-field").fill(TOKEN)
    page.get_by_role("button", name="Mở bảng").click()
    watched.ready()
    watched.complaints.clear()  # the browser complains of the 401 that asked for the token

    def answer(dialog: Dialog) -> None:
        dialog.accept("Anh Nam")

    page.once("dialog", answer)
    page.get_by_role("button", name="Tôi xử lý").first.click()
    expect(page.locator("#alert-list > li").nth(0)).to_contain_text("Anh Nam đang xử lý")
    assert watched.server.acknowledged == [{"id": "chlorine_low/device/10642/may-clo", "by": "Anh Nam"}]
    expect(page.get_by_role("button", name="Tôi xử lý")).to_have_count(3)


def test_an_errand_that_an_alert_says_already_is_not_said_twice(open_board: Open) -> None:
    """The open door of cabinet 2."""
    door = "Tủ chiếu sáng số 2, thôn Mạc Xá"

    def known(server: BoardServer) -> None:
        name = next(name for name, device in server.devices.items() if device.label == door)
        server.alerts = [alert("door_open", "device", name, "info", "Cửa tủ đang mở", "Khóa tủ.")]

    page = open_board(troubled_village(), DESKTOP, known).ready()
    expect(page.locator("#alert-list > li")).to_have_count(1)
    expect(page.locator("#todo-list")).not_to_contain_text("báo cửa tủ đang mở")
