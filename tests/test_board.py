"""The board in a real browser: what it says, that it stays live, fits its screens and asks nobody but the gateway."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from astral import Observer, sun
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests import servers
from tests.board_server import NOON, BoardServer
from tests.board_village import BoardDevice, troubled_village, village

DESKTOP, PHONE = (1280, 800), (390, 844)
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@dataclass
class Watched:
    """A page, and what must not happen on it."""

    page: Page
    server: BoardServer
    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def on_request(self, request: Request) -> None:
        if not request.url.startswith((self.server.url + "/", "data:")):
            self.strangers.append(request.url)

    def ready(self) -> Page:
        self.page.wait_for_selector("body[data-ready]")
        return self.page


Open = Callable[..., Watched]
Prepare = Callable[[BoardServer], None]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, for this module only: Playwright keeps an event loop running while it is open."""
    chromium = servers.find_server("chromium", "chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def open_board(browser: Browser) -> Iterator[Open]:
    """Open a board of these devices; afterwards no page may have complained or asked a stranger."""
    opened: list[Watched] = []
    with ExitStack() as stack:

        def start(
            devices: list[BoardDevice], size: tuple[int, int] = DESKTOP, prepare: Prepare | None = None,
            stopwatch: bool = False, **server: Any,
        ) -> Watched:  # fmt: skip
            board = stack.enter_context(BoardServer(devices, **server))
            if prepare is not None:
                prepare(board)
            context = browser.new_context(viewport={"width": size[0], "height": size[1]}, has_touch=size == PHONE)
            stack.callback(context.close)
            watched = Watched(context.new_page(), board)
            opened.append(watched)
            watched.page.on("console", watched.on_console)
            watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))
            watched.page.on("request", watched.on_request)
            if stopwatch:
                watched.page.clock.install()
            watched.page.goto(board.url)
            return watched

        yield start
    assert [w.complaints for w in opened if w.complaints] == []
    assert [w.strangers for w in opened if w.strangers] == []


def errands(page: Page) -> list[str]:
    """What needs doing, as read: sentence, place, action on one line each."""
    page.wait_for_function("() => !document.querySelector('#todo-list').textContent.includes('theo tin lúc')")
    return [text.replace("\n\n", " | ") for text in page.locator(".errand").all_inner_texts()]


def test_most_urgent_errand_comes_first_with_where_since_when_and_what_to_do(open_board: Open) -> None:
    """Danger, then dark streets, then single lamps; the history tells since when."""
    page = open_board(troubled_village()).ready()
    page.get_by_role("button", name="Xem thêm 6 việc").click()
    expect(page.locator(".errand")).to_have_count(9)
    seen = errands(page)
    assert [text.split(" | ")[0] for text in seen] == [
        "Tủ chiếu sáng số 2, thôn Mạc Xá báo cửa tủ đang mở, đã hơn 2 ngày.",
        "Tủ chiếu sáng số 3, thôn Đò Đăng có 8/20 đèn không sáng, từ 19:55 hôm nay, đã 35 phút.",
        "Đèn cột 7, đường trục xã không sáng dù đã bật, từ 19:05 hôm nay, đã 1 giờ 25 phút.",
        "Đèn cột 4, thôn Mạc Xá không sáng, đã hơn 2 ngày.",
        "Trạm không khí cụm công nghiệp mất kết nối, tin cuối 19:42 hôm nay, cách đây 48 phút.",
        "Trạm nước ao đình làng Mạc im lặng, tin cuối 17:30 hôm qua, cách đây 27 giờ.",
        "Đèn cột 16, thôn Mạc Xá im lặng, tin cuối 15:18 hôm nay, cách đây 5 giờ 12 phút.",
        "Trạm nước cống Đò Đăng đo pH 12,4, số liệu đáng ngờ, đo lúc 20:29 hôm nay.",
        "Đèn cột 20, thôn Mạc Xá chưa gửi tin nào từ khi khai báo.",
    ]
    assert seen[5].split(" | ")[1:] == [
        "Khu dân cư thôn · cách giữa xã 550 m về phía tây bắc",
        "Kiểm tra nguồn điện hoặc pin, rồi đến sóng tại chỗ.",
    ]


def test_pushed_value_appears_without_a_reload(open_board: Open) -> None:
    """A card, the chart's summary and the errands follow the live stream."""
    watched = open_board(village())
    page = watched.ready()
    page.evaluate("window.sameDocument = true")
    expect(page.locator("#todo-none")).to_be_visible()
    watched.server.moment += timedelta(seconds=2)
    watched.server.change("khi-01", pm2_5=123.0)
    expect(page.locator("#cards")).to_contain_text("123 µg/m³")
    expect(page.locator("#trend-summary")).to_contain_text("Mới nhất 123 µg/m³")
    watched.server.change("den-108", power=0.2)
    expect(page.locator("#todo-list")).to_contain_text("Đèn cột 8, đường trục xã không sáng dù đã bật")
    expect(page.locator(".card-big").first).to_have_text("59 / 60")
    assert page.evaluate("window.sameDocument")


def test_silence_falls_due_by_itself(open_board: Open) -> None:
    """A device that stops speaking becomes silent on the board though no event says so."""
    devices = village()
    devices[3].heard = timedelta(minutes=14, seconds=59)
    page = open_board(devices, stopwatch=True).ready()
    expect(page.locator("#todo-none")).to_be_visible()
    page.clock.fast_forward(16_000)
    expect(page.locator("#todo-list")).to_contain_text("Trạm không khí UBND xã im lặng, tin cuối 20:15 hôm nay")


OVERLAPS = """() => {
  const groups = ['.top > *, .banner:not([hidden]), main > *, .foot', '.errand', '.card', '.row', '.chip', '.legend li',
    '.top-side > *',
    ...[...document.querySelectorAll('.errand > div, .card, .card-top, .card-main, .row')].map((node, at) => {
      node.dataset.check = at; return `[data-check="${at}"] > *`; })];
  return groups.flatMap((selector) => {
    const boxes = [...document.querySelectorAll(selector)].filter((n) => n.getClientRects().length)
      .map((n) => [n.className || n.tagName, n.getBoundingClientRect()]);
    return boxes.flatMap(([a, p], i) => boxes.slice(i + 1).filter(([, q]) =>
      Math.min(p.right, q.right) - Math.max(p.left, q.left) > 1
      && Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 1)
      .map(([b]) => `${selector}: ${a} / ${b}`));
  });
}"""
TOO_WIDE = """() => [...document.querySelectorAll('body *')].filter((n) => !n.closest('#map, .unseen, .skip')
  && n.getClientRects().length && n.getBoundingClientRect().right > innerWidth + 0.5)
  .map((n) => n.className || n.id || n.tagName)"""


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_overlaps_and_nothing_scrolls_sideways(open_board: Open, size: tuple[int, int]) -> None:
    """Sections, errands, cards and rows keep apart in both languages; an office computer shows them on one screen."""
    page = open_board(troubled_village(), size).ready()
    if size == DESKTOP:
        assert page.locator("#cards").evaluate("node => node.getBoundingClientRect().bottom") <= DESKTOP[1]
    page.locator("#todo-more").click()
    for language in ("English", "Tiếng Việt"):
        page.get_by_role("button", name=language).click()
        expect(page.get_by_role("button", name=language)).to_have_attribute("aria-pressed", "true")
        assert (page.evaluate(OVERLAPS), page.evaluate(TOO_WIDE)) == ([], [])
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]


def test_language_is_switched_remembered_and_asked_for_by_address(open_board: Open) -> None:
    """Vietnamese first; the choice outlives a reload; ?lang= wins."""
    watched = open_board(troubled_village())
    page = watched.ready()
    expect(page.locator("html")).to_have_attribute("lang", "vi")
    expect(page.locator("#todo-title")).to_contain_text("Việc cần làm")
    page.get_by_role("button", name="English").click()
    expect(page.locator("#todo-title")).to_contain_text("What needs doing")
    expect(page.locator("#todo-list")).to_contain_text("has 8 of 20 lamps dark")
    expect(page.locator("#cards")).to_contain_text("Dissolved oxygen")
    page.reload()
    watched.ready()
    expect(page.locator("#todo-title")).to_contain_text("What needs doing")
    page.goto(f"{watched.server.url}/?lang=vi")
    watched.ready()
    expect(page.locator("#todo-title")).to_contain_text("Việc cần làm")


def test_label_with_markup_is_shown_as_text(open_board: Open) -> None:
    """Nothing a fleet file says becomes HTML, wherever it is shown."""
    evil = "<img src=x onerror=window.pwned=1><b>Đèn</b>"
    devices = troubled_village()
    for device in devices:
        if device.state == "silent":
            device.label, device.zone = evil, "<script>window.pwned=2</script>"
    watched = open_board(
        devices, prepare=lambda server: server.communes.__setitem__(0, ("10642", evil, 20.9762, 106.298))
    )
    page = watched.ready()
    expect(page.locator("#commune-name")).to_have_text(evil)
    page.locator("#device-list .row-name", has_text="<img").first.click()
    expect(page.locator("#detail-name")).to_have_text(evil)
    expect(page.locator("#detail-where")).to_contain_text("<script>")
    assert page.evaluate("[window.pwned, document.querySelectorAll('main img, dialog img, h1 img').length]") == [
        None,
        0,
    ]


def test_lost_connection_is_said_and_comes_back(open_board: Open) -> None:
    """The board says since when its figures stand still, tries again and catches up."""
    watched = open_board(village())
    page = watched.ready()
    expect(page.locator("#link")).to_have_text("Trực tiếp")
    watched.server.refuses_streams = True
    watched.server.drop_streams()
    expect(page.locator("#link")).to_have_text("Mất kết nối, đang thử lại")
    expect(page.locator("#banner")).to_contain_text("Số liệu trên màn hình dừng lúc 20:30")
    watched.server.devices["khi-01"].values["pm2_5"] = (99.0, 1)
    watched.server.refuses_streams = False
    expect(page.locator("#link")).to_have_text("Trực tiếp", timeout=15_000)
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("#cards")).to_contain_text("99 µg/m³")
    watched.complaints[:] = [text for text in watched.complaints if "503" not in text and "ERR_" not in text]


def test_trouble_of_the_gateway_itself_is_said(open_board: Open) -> None:
    """A part that waits is named in words a person can pass on."""
    watched = open_board(village())
    page = watched.ready()
    watched.server.say_health("degraded")
    expect(page.locator("#banner")).to_have_text(
        "Kênh nhận tin từ thiết bị đang gián đoạn, hệ thống tự thử lại (connection refused)."
    )
    watched.server.say_health("ok")
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("#ledger")).to_have_text("Máy chủ đã nhận 48.211 bản tin: giữ 48.190, từ chối 14, trùng lặp 7.")


def test_token_is_asked_for_and_kept_for_the_session(open_board: Open) -> None:
    """A wrong token (a Vietnamese keyboard's) is refused; the right one opens the board, also after a reload."""
    watched = open_board(village(), token="mo-cua-123")
    page = watched.page
    field_ = page.locator("#token-field")
    field_.fill("mở-cửa-123")
    page.get_by_role("button", name="Mở bảng").click()
    expect(page.locator("#token-why")).to_have_text("Mã vừa nhập không đúng. Hãy nhập lại.")
    field_.fill("mo-cua-123")
    page.get_by_role("button", name="Mở bảng").click()
    watched.ready()
    expect(page.locator("#link")).to_have_text("Trực tiếp")
    page.reload()
    watched.ready()
    assert page.evaluate("[sessionStorage.length, localStorage.getItem('board.token')]") == [1, None]
    watched.complaints[:] = [text for text in watched.complaints if "401" not in text]


def test_communes_are_chosen_where_there_are_several(open_board: Open) -> None:
    """The selector takes the name's place and narrows everything to one commune."""
    devices = village()
    devices[0].commune = "10606"
    watched = open_board(
        devices, prepare=lambda server: server.communes.append(("10606", "Xã Nam Sách", 20.9805, 106.354))
    )
    page = watched.ready()
    expect(page.locator("#commune-name")).to_be_hidden()
    expect(page.locator("#device-filters")).to_contain_text("Tất cả 68")
    page.get_by_label("Chọn xã").select_option("Xã Nam Sách")
    expect(page.locator("#device-filters")).to_contain_text("Tất cả 1")
    expect(page.locator(".card")).to_have_count(1)


def test_device_opens_and_closes_by_keyboard_with_quality_in_words(open_board: Open) -> None:
    """Enter on an errand opens the device, whose doubtful value is called so; Escape leads back."""
    page = open_board(troubled_village()).ready()
    page.get_by_role("button", name="Xem thêm 6 việc").click()
    name = page.get_by_role("button", name="Trạm nước cống Đò Đăng").first
    name.focus()
    page.keyboard.press("Enter")
    row = page.locator("#detail-values tr", has_text="pH")
    expect(row).to_contain_text("12,4")
    expect(row).to_contain_text("Đáng ngờ")
    expect(page.locator("#detail-values tr", has_text="Mực nước")).to_contain_text("1,37 m")
    expect(page.locator("#detail-facts")).to_contain_text("20.97026, 106.29742")
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    expect(name).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Biểu đồ Mực nước").click()
    expect(page.locator("#trend-summary")).to_contain_text("Mới nhất 1,37 m")
    expect(page.locator("#trend-chart canvas")).to_be_visible()


def test_lamps_by_day_are_judged_by_the_sun(open_board: Open) -> None:
    """A burning lamp is waste; a lamp whose circuit is cut by day rests, and is no errand."""
    devices = {device.device: device for device in village(night=False)}
    devices["den-105"].values |= {"power": (57.0, 1), "lamp_on": (1.0, 1)}
    devices["den-106"].powered, devices["den-106"].state, devices["den-106"].heard = (
        "with_circuit",
        "silent",
        timedelta(hours=7),
    )
    devices["den-107"].powered, devices["den-107"].state, devices["den-107"].values = "with_circuit", "never", {}
    page = open_board(list(devices.values()), moment=NOON).ready()
    expect(page.locator(".errand")).to_have_count(1)
    expect(page.locator(".errand")).to_contain_text("Đèn cột 5, đường trục xã đang sáng giữa ban ngày")
    assert page.locator("#legend li").all_inner_texts() == ["Sáng ban ngày\n1", "Nghỉ ban ngày\n2", "Bình thường\n66"]
    assert [day for day in DAYS if abs(sunset_on_page(page, day) - sunset_by_astral(day)) >= 120] == []


def test_at_dawn_the_other_lamps_of_the_circuit_tell(open_board: Open) -> None:
    """Before sunrise the sun says nothing: one dark lamp among burning ones is out, a dark street is not."""
    devices = {device.device: device for device in village()}
    dark = {"power": (0.2, 1), "lamp_on": (0.0, 1)}
    devices["den-105"].values |= dark
    for pole in range(1, 21):
        devices[f"den-3{pole:02}"].values |= dark
    page = open_board(list(devices.values()), moment=DAWN).ready()
    expect(page.locator(".errand")).to_have_count(1)
    expect(page.locator(".errand")).to_contain_text("Đèn cột 5, đường trục xã không sáng")


DAWN = datetime(2025, 11, 19, 22, 40, tzinfo=UTC)
DAYS = (date(2025, 3, 20), date(2025, 6, 21), date(2025, 9, 1), date(2025, 11, 20), date(2026, 1, 5))
PLACE = (20.9762, 106.298)


def sunset_on_page(page: Page, day: date) -> float:
    """Seconds UTC by the board's own sun."""
    noon = datetime(day.year, day.month, day.day, 5, tzinfo=UTC).timestamp() * 1000
    found = page.evaluate(
        "async ([now, place]) => (await import('/static/js/sun.js')).sky(now, ...place).sunset", [noon, PLACE]
    )
    return float(found) / 1000


def sunset_by_astral(day: date) -> float:
    """Seconds UTC by an independent almanac."""
    return float(sun.sunset(Observer(*PLACE), day).timestamp())


def test_five_thousand_devices_stay_a_page_a_person_can_read(open_board: Open) -> None:
    """Lists are bounded, the map has no element per device, counts are right; names are found without marks."""
    dark = {"power": (0.4, 1), "lamp_on": (0.0, 1)}
    devices = village() + [
        BoardDevice(
            f"d-{at}", f"Đèn {at}", "streetlight", "den_led_60", 10.0 * (at % 71), -9.0 * (at // 71),
            group=f"G{at // 40}", state="silent", heard=timedelta(hours=2), values=dict(dark),
        )
        for at in range(4931)
    ]  # fmt: skip
    page = open_board(devices).ready()
    expect(page.locator("#legend")).to_contain_text("Im lặng4.931")
    expect(page.locator("#todo-list")).to_contain_text("Xã Thái Tân mất liên lạc với 4931/5000 thiết bị")
    assert page.evaluate("document.querySelectorAll('*').length") < 1000
    page.get_by_role("searchbox").fill("tram nuoc cong do")
    expect(page.locator("#device-list .row-name")).to_have_text(["Trạm nước cống Đò Đăng"])
