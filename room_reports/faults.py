"""Named points on the way of a callback, for the tests that kill a process at each. They do nothing by default."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Point(StrEnum):
    """Every place between two effects that cannot be undone. A new one is tested as soon as it is named here."""

    JOB_POPPED = "job popped"
    ATTEMPT_BEGUN = "attempt begun"
    SUMMARY_FETCHED = "summary fetched"
    PARTICIPANTS_FETCHED = "participants fetched"
    REPORT_BUILT = "report built"
    MESSAGE_SENT = "message sent"
    REPORT_SENT = "report sent"
    OUTCOME_WRITTEN = "outcome written"


hook: Callable[[Point], None] | None = None


def reach(point: Point) -> None:
    """Says that a point has been reached. Only a test sets `hook`."""
    if hook is not None:
        hook(point)
