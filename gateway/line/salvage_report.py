"""What came of damaged journals that were salvaged: noted in the journal that has taken over what could be read."""

import json
import sqlite3
from typing import NamedTuple

SALVAGED = "salvaged:"
"""Notes that begin so say which journal has been salvaged, and what came of it."""


class Report(NamedTuple):
    """What came of one damaged journal."""

    file: str
    at: int
    """Salvaged [ns UTC]."""
    lines: int
    """Handed to the journal in use because they wait for a store; a line that waits for two counts once."""
    uplinks: int
    """Taken over into the ledger beside those its table had counted."""
    refused: int
    raw: int
    """Groups of accepted uplinks that can be decoded again."""
    held: int
    """Uplinks that wait for the right time."""
    damaged: int
    """Pages and records that could not be read."""
    lost_lines: int
    """Lines that a store has not got and never will: acknowledged readings lost. -1 if that cannot be counted."""
    lost_refused: int
    """Refused uplinks lost."""
    lost_uplinks: int
    """Acknowledged uplinks of which it is not known any more what became of them. -1 if that cannot be counted."""

    @property
    def has_losses(self) -> bool:
        """Whether something acknowledged is gone, or may be."""
        return bool(self.lost_lines or self.lost_refused)

    @property
    def in_words(self) -> str:
        """One line for people."""
        text = f"{self.lines} waiting lines and {self.refused} refused messages were taken over"
        if self.lost_lines < 0:
            return f"{text}; {self.damaged} damaged places, what they cost cannot be counted"
        lost = f"{self.lost_lines} lines of readings and {self.lost_refused} refused messages"
        return f"{text}; lost for ever: {lost}" if self.has_losses else f"{text}; nothing acknowledged is lost"


def reports(database: sqlite3.Connection) -> list[Report]:
    """Of every journal that was salvaged into this one."""
    rows = database.execute("SELECT value FROM note WHERE name LIKE ? ORDER BY name", (f"{SALVAGED}%",))
    return [Report(*json.loads(value)) for (value,) in rows]
