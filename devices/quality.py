"""How far a reading can be trusted (QARTOD's flags) and whose clock its time came from."""

from enum import IntEnum


class Quality(IntEnum):
    """QARTOD's primary flags. Suspect data is stored and flagged, never thrown away.

    Source: QARTOD data flags, IOOS; precedence as in ioos_qc.
    """

    GOOD = 1
    NOT_EVALUATED = 2
    SUSPECT = 3
    FAIL = 4
    MISSING = 9


class Clock(IntEnum):
    """Where the time of a stored line came from; the field ``clock`` of every line."""

    DEVICE = 0
    """The device's own ``observed_at``; old but plausible counts as late."""
    RECEIVED = 1
    """The device gave no time: the time of receipt is used."""
    UNSET = 2
    """The device's clock says a time before 2015: the time of receipt is used."""
    FUTURE = 3
    """The device's clock is more than 5 minutes ahead: the time of receipt is used."""
    ZONED = 4
    """The device gave a local time without zone: its zone from the registry was applied."""
