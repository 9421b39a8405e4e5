"""The table of the figures: what was measured, against what, median, spread, goal, reached or not."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.table import Table

from tests.bench.figures import FIGURES, Taken


class TableRow(NamedTuple):
    """One line of the table, as text."""

    figure: str
    against: str
    median: str
    spread: str
    goal: str
    reached: str


def rows(found: Sequence[Taken]) -> Iterator[TableRow]:
    """A row for each figure, or for each of its parts."""
    for taken in found:
        figure = FIGURES[taken.key]
        for part, median in taken.medians().items():
            values = taken.values[part]
            goal, is_reached = figure.goal_of(part), figure.is_reached(part, median)
            yield TableRow(
                f"{taken.key}: {part or figure.what}",
                figure.against,
                f"{number(median)} {figure.unit}".strip(),
                f"{number(min(values))} .. {number(max(values))}" if len(values) > 1 else "",
                "" if goal is None else number(goal),
                "" if is_reached is None else "yes" if is_reached else "no",
            )


def number(value: float) -> str:
    """Three digits that matter; thousands with commas.

    >>> number(0.8234), number(12345.6), number(7.25)
    ('0.823', '12,346', '7.25')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(found: Sequence[Taken]) -> Table:
    """For the terminal."""
    drawn = Table("figure", "against", "median", "spread", "goal", "reached")
    for row in rows(found):
        drawn.add_row(*row, style="red" if row.reached == "no" else "")
    return drawn
