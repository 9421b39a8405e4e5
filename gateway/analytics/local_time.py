"""Vietnamese time: what a clock on a wall in the commune shows. Viet Nam has had no summer time since 1975."""

from datetime import timedelta, timezone

HOURS_AHEAD = 7
"""Of UTC."""
VIETNAM = timezone(timedelta(hours=HOURS_AHEAD))
