"""What every table of the standards has: where a figure comes from, whether it is confirmed, texts in vi and en."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Flag = Literal["confirmed", "unconfirmed"]
"""``unconfirmed``: no legal text was read for it; documents say so, and the operator's own file may replace it."""

Colour = Annotated[str, Field(pattern=r"^#[0-9A-F]{6}$")]


class Data(BaseModel):
    """One piece of a standards file: complete, known keys only, finite numbers, never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)


class Text(Data):
    """A text for staff, and the English beside it."""

    vi: Annotated[str, Field(min_length=1)]
    en: Annotated[str, Field(min_length=1)]


class Source(Data):
    """Where the figures of a table come from."""

    document: str
    """The law, decision or letter."""
    issued: date | None = None
    in_force: date | None = None
    replaces: str = ""
    read_in: str
    """Where it was read, which need not be the document itself."""
    flag: Flag
    note: str = ""


class Mark(Data):
    """A flag for a part of a table that stands otherwise than the table's source."""

    flag: Flag
    note: str = ""
