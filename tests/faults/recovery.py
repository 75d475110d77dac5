"""How long after each fault jobs flowed again."""

from collections.abc import Sequence
from statistics import median
from typing import Any


def flows_again(at: float, times: Sequence[Sequence[str | None]]) -> float | None:
    """Seconds from the fault until the first job ended that began after it; None if none did.

    times: when each job began and ended.
    """
    ends = [float(end) for began, end, *_ in times if began and end and float(began) > at]
    return round(min(ends) - at, 2) if ends else None


def by_kind(faults: Sequence[tuple[str, float | None]]) -> dict[str, dict[str, Any]]:
    """Of each kind of fault how many there were, and the median and longest time until jobs flowed again.

    without_a_job_after: those after which no job began, so that there is no time.
    """
    found: dict[str, dict[str, Any]] = {}
    for kind in sorted({name for name, _ in faults}):
        every = [seconds for name, seconds in faults if name == kind]
        known = [seconds for seconds in every if seconds is not None]
        found[kind] = {
            "count": len(every),
            "median_seconds": round(median(known), 2) if known else None,
            "longest_seconds": max(known, default=None),
            "without_a_job_after": len(every) - len(known),
        }
    return found
