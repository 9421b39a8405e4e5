"""The gateway itself: does the ledger hold, what waits for the stores, what was refused and why."""

from collections.abc import Sequence

from dashboards import scales
from dashboards.board import Board, Row, link
from dashboards.panels import Column, Link, Panel
from dashboards.queries import READINGS_DAYS, Query, last, select
from dashboards.scales import Scale
from dashboards.stats import RECENT, ledger_holds
from dashboards.texts import Say
from devices.observation import Reason
from devices.storage import Table, refused_count

OUTCOMES = ("received", "kept", "refused", "repeated")


def reason_words(say: Say) -> dict[Reason, str]:
    """Why an uplink was refused, in words."""
    return {
        Reason.UNKNOWN_TOPIC: say("chủ đề lạ", "unknown topic"),
        Reason.UNKNOWN_DEVICE: say("thiết bị chưa khai báo", "unknown device"),
        Reason.UNSUPPORTED: say("loại tin không dùng được", "unsupported message"),
        Reason.EMPTY: say("tin rỗng", "empty"),
        Reason.TOO_LARGE: say("tin quá lớn", "too large"),
        Reason.ENCODING: say("sai mã hóa ký tự", "not UTF-8"),
        Reason.MALFORMED: say("sai cấu trúc", "malformed"),
        Reason.DUPLICATE_KEY: say("khóa lặp trong tin", "duplicate key"),
        Reason.NOT_FINITE: say("giá trị không phải số", "not a finite number"),
        Reason.FIELD_TYPE: say("sai kiểu giá trị", "wrong type of value"),
        Reason.PROPERTY: say("đại lượng chưa khai báo", "undeclared property"),
        Reason.UNIT: say("đơn vị chưa khai báo", "undeclared unit"),
        Reason.LENGTH: say("sai độ dài", "wrong length"),
        Reason.INTEGRITY: say("sai mã kiểm tra", "checksum does not match"),
        Reason.CLOCK: say("không đọc được giờ", "unreadable time"),
        Reason.NO_READING: say("không có giá trị nào", "no reading"),
        Reason.SIMULATED: say("thiết bị mô phỏng", "simulated device"),
        Reason.DEFECT: say("lỗi của cổng dữ liệu", "defect of the gateway"),
        Reason.STORE: say("kho dữ liệu từ chối", "refused by the store"),
    }


def now(say: Say, field: str, title: str, description: str, unit: str, scale: Scale, links: tuple[Link, ...]) -> Panel:
    """The newest value of one of the gateway's figures."""
    return Panel(
        "stat",
        title,
        description,
        (Query(select(last(field), Table.GATEWAY), table=True),),
        unit,
        scale,
        links,
        say("Cổng dữ liệu im lặng: kiểm tra máy chủ", "The gateway is silent: look at its machine"),
        columns=(Column("Time", hidden=True),),
        time_from=RECENT,
        width=4,
        height=5,
    )


def rates(
    say: Say, fields: Sequence[str], words: dict[str, str], title: str, description: str, links: tuple[Link, ...]
) -> Panel:
    """How fast counts rise; a journal that began anew starts at 0 and is no negative rate."""
    what = ", ".join(f'non_negative_derivative(last("{field}"), 1m) AS "{field}"' for field in fields)
    return Panel(
        "timeseries",
        title,
        description,
        (Query(select(what, Table.GATEWAY, group="time($__interval) fill(none)"), alias="$col"),),
        "suffix: /min",
        scales.plain(say),
        links,
        say("Cổng dữ liệu im lặng trong thời gian này", "The gateway was silent in this time"),
        width=12,
        columns=tuple(Column(field, words[field]) for field in fields),
    )


def board(say: Say) -> Board:
    """The page."""
    alerts = (link(say, "alerts", say("Mọi báo động", "All alerts")),)
    province = (link(say, "province", say("Về trang tỉnh", "The province")),)
    words = {
        "received": say("nhận", "received"),
        "kept": say("giữ", "kept"),
        "refused": say("từ chối", "refused"),
        "repeated": say("lặp", "repeated"),
    }
    reasons = reason_words(say)
    refused = ", ".join(f'spread("{refused_count(reason)}") AS "{words}"' for reason, words in reasons.items())
    parts = scales.part_states(say)
    silent = say("Cổng dữ liệu im lặng: kiểm tra máy chủ", "The gateway is silent: look at its machine")
    waiting_scale = scales.fewer(50_000, 500_000, say)
    oldest_scale = scales.fewer(300, 3600, say)
    return Board(
        "gateway",
        say("Sức khỏe cổng dữ liệu", "Health of the gateway"),
        say("Số liệu có bị mất không, cái gì đang chờ, cái gì bị từ chối.", "Is anything lost, what waits, what is refused."),
        (
            Row(say("Hiện nay", "Now")),
            ledger_holds(say).sized(4, 5),
            now(say, "lost_at_broker", say("Mất tại broker", "Lost at the broker"),
                say("Số tin broker đã nhận rồi bỏ; phải luôn bằng 0.", "What the broker accepted and dropped; must stay 0."),
                scales.COUNT, scales.fewer(1, 1.5, say), alerts),
            now(say, "clock", say("Đồng hồ máy chủ", "Clock of the machine"),
                say("Đồng hồ có được chỉnh theo giờ chuẩn hay không.", "Whether a time service keeps it right."),
                scales.COUNT, scales.scale_of_names(parts), alerts),
            now(say, "broker", say("Kết nối broker", "Broker"),
                say("Cổng dữ liệu có đang nối với broker MQTT hay không.", "Whether the gateway is connected to its broker."),
                scales.COUNT, scales.scale_of_names(parts), alerts),
            now(say, "journal", say("Ghi nhật ký", "Journal"),
                say("Nhật ký có ghi được không; đầy thì cổng ngừng xác nhận tin.", "Whether it can be written; when it is full, nothing is acknowledged."),
                scales.COUNT, scales.scale_of_names(parts), alerts),
            now(say, "devices_heard", say("Thiết bị đang báo về", "Devices heard"),
                say("Số thiết bị có tin trong ba chu kỳ gần nhất.", "Devices heard within three of their intervals."),
                scales.COUNT, scales.plain(say), province),
            Row(say("Tin đến", "Uplinks")),
            rates(say, OUTCOMES, words, say("Số tin mỗi phút", "Uplinks a minute"),
                  say("Nhận = giữ + từ chối + lặp.", "Received = kept + refused + repeated."), province),
            Panel(
                "bargauge", say("Bị từ chối, theo lý do", "Refused, by reason"),
                say("Số tin bị từ chối trong thời gian đang xem, nhiều nhất 7 ngày; tin gốc vẫn được giữ.", "Refused in the time shown, at most 7 days; the bytes are kept."),
                (Query(select(refused, Table.GATEWAY, f"time >= now() - {READINGS_DAYS}d"), alias="$col"),),
                scales.COUNT, scales.fewer(1, 1000, say), province, silent, width=12, height=10, low=0.0,
                options={"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}},
            ),
            Row(say("Kho dữ liệu", "Stores")),
            Panel(
                "table", say("Các kho dữ liệu", "The stores"),
                say("Mỗi kho: số dòng đang chờ, đã ghi, bị từ chối.", "Of each store: lines that wait, are stored, are rejected."),
                (Query(select(last("state", "waiting", "oldest_waiting_seconds", "stored", "rejected"),
                              Table.GATEWAY_STORE, group='"device"'), table=True),),
                scales.COUNT, scales.scale_of_names(parts), alerts, silent, width=24, height=6,
                columns=(
                    Column("Time", hidden=True),
                    Column("device", say("Kho", "Store")),
                    Column("state", say("Tình trạng", "State"), names=parts, scale=scales.scale_of_names(parts), coloured=True),
                    Column("waiting", say("Đang chờ", "Waiting"), scale=waiting_scale, coloured=True),
                    Column("oldest_waiting_seconds", say("Chờ lâu nhất", "Oldest"), unit="s", scale=oldest_scale, coloured=True),
                    Column("stored", say("Đã ghi", "Stored")),
                    Column("rejected", say("Bị từ chối", "Rejected"), scale=scales.fewer(1, 100, say), coloured=True),
                ),
                time_from=RECENT,
            ),
            Panel(
                "timeseries", say("Dòng đang chờ ghi", "Lines that wait"),
                say("Kho dữ liệu ngừng thì số này tăng; không mất gì.", "It rises while a store is away; nothing is lost."),
                (Query(select('max("waiting")', Table.GATEWAY_STORE, group='time($__interval), "device" fill(none)'),
                       alias="$tag_device"),),
                scales.COUNT, waiting_scale, alerts, silent, width=12,
            ),
            Panel(
                "timeseries", say("Dòng chờ lâu nhất", "Oldest line that waits"),
                say("Tuổi của dòng chờ lâu nhất của từng kho.", "Age of each store's oldest waiting line."),
                (Query(select('max("oldest_waiting_seconds")', Table.GATEWAY_STORE,
                              group='time($__interval), "device" fill(none)'), alias="$tag_device"),),
                "s", oldest_scale, alerts, silent, width=12,
            ),
            Panel(
                "timeseries", say("Nhật ký trên đĩa", "Journal on disk"),
                say("Dung lượng nhật ký và mức tối đa đã đặt.", "Space the journal uses, and the most it may."),
                (Query(select('max("journal_used_bytes") AS "used", max("journal_max_bytes") AS "most"', Table.GATEWAY,
                              group="time($__interval) fill(none)"), alias="$col"),),
                "bytes", scales.plain(say), alerts, silent, width=12, low=0.0,
                columns=(Column("used", say("đã dùng", "used")), Column("most", say("tối đa", "most"))),
            ),
            rates(say, ("late", "lost_at_broker"),
                  {"late": say("đến muộn", "late"), "lost_at_broker": say("mất tại broker", "lost at the broker")},
                  say("Đến muộn và mất", "Late and lost"),
                  say("Tin đến muộn vẫn được ghi đúng giờ đo; tin mất thì không còn.", "Late ones are stored at their time; lost ones are gone."),
                  alerts),
        ),
    )  # fmt: skip
