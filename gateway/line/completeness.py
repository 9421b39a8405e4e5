"""Sequence numbers tell what is missing: sent by the device, and never arrived here."""

LATE, ANEW = -1, -2
"""Instead of a step: the number fills a gap that was counted before; or the device counts anew (it was restarted or
joined again), and nothing can be said."""
GREATEST = 2**32 - 2
"""Number; greater ones are no counts of uplinks."""
MOST = 10_000
"""A greater step is no gap but another count. Chosen: a month of a device that reports every five minutes."""
NEAR = 64
"""Numbers so little below the newest are late, as in ``state.RING``; so little around a modulus they have wrapped."""
_MODULI = (256, 65_536, 4_294_967_296)


def step(last: int, number: int) -> int:
    """How far a device's sequence number has moved.

    Args:
        last: the newest so far.
        number: of an uplink that is no repeat.

    Returns:
        1 if it counts on, more if numbers between are missing, 0 for the same number again; or ``LATE`` or ``ANEW``.

    >>> step(7, 8), step(7, 10), step(65_534, 1), step(7, 5) == LATE, step(500, 0) == ANEW
    (1, 3, 3, True, True)
    """
    forward = number - last
    if 0 <= forward <= MOST:
        return forward
    for modulus in _MODULI:
        wrapped = number + modulus - last
        if modulus - NEAR <= last < modulus and 0 < wrapped <= NEAR:
            return wrapped
    # Nearly every count begins at 0 or 1: a device that has been restarted early must not look late.
    return LATE if -NEAR < forward < 0 and number > 1 else ANEW


def missing(moved: int, refused: int) -> int:
    """What a step adds to the missing uplinks.

    Args:
        moved: as ``step`` says.
        refused: uplinks of the device since the last number that arrived, and could not be read for theirs.
    """
    if moved == LATE:
        return -1
    return 0 if moved == ANEW else max(0, moved - 1 - refused)
