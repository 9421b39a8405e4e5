"""Pictures of figures as SVG: a curve over a logarithmic axis, and bars; the same bytes for the same figures."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import log10

from tests.bench.table import number

WIDTH, HEIGHT = 680, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 40, 50
INK, LINE, BAR, GOAL = "#4b5563", "#2563eb", "#60a5fa", "#dc2626"
BAR_HEIGHT, BAR_LEFT = 22, 210


def curve(title: str, across: str, up: str, points: Sequence[tuple[float, float]]) -> str:
    """A line through points, from the first to the last.

    Args:
        title: above the picture.
        across: what the logarithmic axis counts.
        up: what the other axis counts, which begins at 0.
        points: rising.
    """
    low, high = log10(points[0][0]), log10(points[-1][0])
    top = _round_up(max(value for _, value in points))

    def place(x: float, y: float) -> tuple[float, float]:
        wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return LEFT + wide * (log10(x) - low) / ((high - low) or 1), HEIGHT - BOTTOM - tall * y / top

    parts = [_text(LEFT, 20, title, weight="bold")]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = place(points[0][0], top * share)
        parts.append(
            f'<line x1="{x:.0f}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{INK}" opacity="0.2"/>'
        )
        parts.append(_text(x - 8, y + 4, number(top * share), anchor="end"))
    drawn = [place(x, y) for x, y in points]
    parts.append(
        f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)}" fill="none" stroke="{LINE}" '
        'stroke-width="2"/>'
    )
    for (x, y), (count, value) in zip(drawn, points, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{LINE}"/>')
        parts.append(_text(x, y - 9, number(value), anchor="middle"))
        parts.append(_text(x, HEIGHT - BOTTOM + 18, f"{count:,.0f}", anchor="middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, across, anchor="middle"))
    parts.append(_text(WIDTH - RIGHT, 20, up, anchor="end"))
    return _svg(WIDTH, HEIGHT, parts)


def bars(title: str, unit: str, values: Mapping[str, float], goal: float | None = None) -> str:
    """A bar a name, one below the other."""
    height = TOP + BAR_HEIGHT * len(values) + 20
    top = _round_up(max((*values.values(), goal or 0.0)))
    scale = (WIDTH - BAR_LEFT - 80) / top
    parts = [_text(10, 20, f"{title} [{unit}]", weight="bold")]
    for place, (name, value) in enumerate(values.items()):
        y = TOP + BAR_HEIGHT * place
        parts.append(_text(BAR_LEFT - 8, y + 14, name, anchor="end"))
        size = f'width="{max(0.0, value) * scale:.1f}" height="{BAR_HEIGHT - 6}"'
        parts.append(f'<rect x="{BAR_LEFT}" y="{y + 2}" {size} fill="{BAR}"/>')
        parts.append(_text(BAR_LEFT + max(0.0, value) * scale + 6, y + 14, number(value)))
    if goal is not None:
        x = BAR_LEFT + goal * scale
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height - 14}" stroke="{GOAL}" stroke-dasharray="4"/>'
        )
        parts.append(_text(x, TOP - 8, f"goal {number(goal)}", anchor="middle"))
    return _svg(WIDTH, height, parts)


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, ... from a value on.

    >>> _round_up(37.0), _round_up(0.12)
    (50.0, 0.2)
    """
    unit = 10.0 ** (len(f"{int(value)}") - 1) if value >= 1 else 10.0 ** -_zeros(value)
    return next(unit * step for step in (1.0, 2.0, 5.0, 10.0) if unit * step >= value)


def _zeros(value: float) -> int:
    return next(place for place in range(1, 12) if value * 10**place >= 1) if value > 0 else 0


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text {place} fill="{INK}">{escape(text)}</text>'


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    return "\n".join(_lines(width, height, parts)) + "\n"


def _lines(width: int, height: int, parts: Sequence[str]) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">'
    )
    yield f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    yield from parts
    yield "</svg>"
