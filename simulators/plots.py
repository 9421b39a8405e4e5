"""Small line plots as SVG, written by hand so that the documents need no plotting library."""

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 24, 34, 40
COLOURS = ("#0b5fa5", "#c4511a", "#3b7d3a", "#7b4ea3")
"""Told apart in grey and by people with red-green blindness; lines are labelled besides."""
_MOST_POINTS = 360
"""Points of one line; more cannot be seen at this width."""


class Line(NamedTuple):
    """One line of a plot."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dots: bool = False
    """Marks only, no line: figures that were published."""


class Axis(NamedTuple):
    """A scale: its ends, its marks with their texts, and what it shows."""

    low: float
    high: float
    marks: Sequence[tuple[float, str]]
    title: str


def steps(low: float, high: float, step: float) -> list[tuple[float, str]]:
    """Marks at whole steps.

    >>> steps(0, 1, 0.5)
    [(0.0, '0'), (0.5, '0.5'), (1.0, '1')]
    """
    count = round((high - low) / step)
    return [(round(low + number * step, 9), f"{round(low + number * step, 9):g}") for number in range(count + 1)]


def plot(title: str, x: Axis, y: Axis, lines: Sequence[Line]) -> str:
    """One plot as an SVG document of its own, on white."""

    def place(at: float, value: float) -> tuple[str, str]:
        across = _LEFT + (at - x.low) / (x.high - x.low) * (WIDTH - _LEFT - _RIGHT)
        down = HEIGHT - _BOTTOM - (value - y.low) / (y.high - y.low) * (HEIGHT - _TOP - _BOTTOM)
        return f"{across:.1f}", f"{min(max(down, 2.0), HEIGHT - 2.0):.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"',
        f'  role="img" aria-label="{escape(title)}" font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="18" font-size="14">{escape(title)}</text>',
    ]
    for value, text in y.marks:
        (left, down), (right, _) = place(x.low, value), place(x.high, value)
        parts.append(f'<line x1="{left}" y1="{down}" x2="{right}" y2="{down}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{float(down) + 4:.1f}" text-anchor="end">{escape(text)}</text>')
    for at, text in x.marks:
        across, _ = place(at, y.low)
        parts.append(f'<text x="{across}" y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle">{escape(text)}</text>')
    parts.append(f'<text x="{WIDTH - _RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{escape(x.title)}</text>')
    parts.append(f'<text x="4" y="{HEIGHT - 6}">{escape(y.title)}</text>')
    named = _LEFT + 8.2 * len(title) + 24
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        points = [place(at, value) for at, value in _thinned(line)]
        if line.dots:
            parts += [f'<circle cx="{across}" cy="{down}" r="3" fill="{colour}"/>' for across, down in points]
        else:
            joined = " ".join(",".join(point) for point in points)
            parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{named:.0f}" y="18" fill="{colour}">{escape(line.name)}</text>')
        named += 7.2 * len(line.name) + 18
    return "\n".join([*parts, "</svg>", ""])


def _thinned(line: Line) -> list[tuple[float, float]]:
    every = max(1, -(-len(line.x) // _MOST_POINTS))
    return list(zip(line.x[::every], line.y[::every], strict=True))
