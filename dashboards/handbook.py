"""The parts of the staff's handbook that are made from data: what each page shows, and what to do for each alert."""

import re
from pathlib import Path

from dashboards import air, alert_page, commune, device, gateway_health, lighting, province, public, water
from dashboards.alert_tables import rules_of
from dashboards.alerting import DOMAIN_NAMES, SEVERITY_NAMES
from dashboards.board import Board
from dashboards.panels import Panel
from dashboards.texts import Language, Say
from devices.standards import shipped
from devices.vocabulary import Measurement

HANDBOOK = "vi/so-tay.md"
SAY = Say(Language.VI)
BOARDS = (province, commune, lighting, water, air, device, alert_page, gateway_health, public)


def pages() -> str:
    """Every page with its panels, one sentence each."""
    found = []
    for module in BOARDS:
        board: Board = module.board(SAY)
        found += [f"### {board.title}", "", board.description, ""]
        panels = [entry for entry in board.content if isinstance(entry, Panel)]
        found += [f"- **{panel.title}**: {panel.description}" for panel in panels]
        found.append("")
    return "\n".join(found).replace("${property:text}", "(đại lượng đã chọn)").strip()


def alerts() -> str:
    """Every alert rule: how bad it is, and what to do."""
    found = []
    for domain in Measurement:
        rules = rules_of([domain])
        if not rules:
            continue
        found += [
            f"### {DOMAIN_NAMES[domain][0]}",
            "",
            "| Báo động | Mức độ | Việc cần làm | Căn cứ |",
            "|---|---|---|---|",
        ]
        for rule in rules:
            how = SEVERITY_NAMES[rule.severity][0]
            found.append(f"| {rule.title.vi} | {how} | {rule.advice.vi} | {rule.law or '–'} |")
        found.append("")
    sensor = shipped().alerts.sensor
    found.append(f"Dấu **(?)** sau tên báo động: {sensor.title.vi.lower()}. {sensor.advice.vi}")
    return "\n".join(found).strip()


def levels() -> str:
    """The levels of both indices."""
    tables = shipped()
    found = ["| VN_AQI | Mức | Màu | Khuyến cáo cho mọi người |", "|---|---|---|---|"]
    found += [
        f"| {one.low}–{one.high} | {one.name.vi} | {one.colour_name.vi} | {one.everyone.vi} |"
        for one in tables.vn_aqi.levels
    ]
    found += ["", "| VN_WQI | Mức | Màu | Nước dùng được cho |", "|---|---|---|---|"]
    found += [
        f"| {one.low}–{one.high} | {one.name.vi} | {one.colour_name.vi} | {one.use.vi} |"
        for one in tables.vn_wqi.levels
    ]
    return "\n".join(found)


PARTS = {"pages": pages, "alerts": alerts, "levels": levels}


def renewed(text: str) -> str:
    """The handbook with its made parts as the code makes them."""
    for name, make in PARTS.items():
        mark = re.compile(rf"(<!-- {name}:[^>]*-->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = mark.sub(lambda found, make=make: f"{found[1]}\n{make()}\n\n{found[2]}", text)  # type: ignore[misc]
    return text


def write_handbook(docs: Path) -> bool:
    """Make the parts anew; returns whether anything changed."""
    file = docs / HANDBOOK
    before = file.read_text("utf-8")
    after = renewed(before)
    if after != before:
        file.write_text(after, "utf-8")
    return after != before
