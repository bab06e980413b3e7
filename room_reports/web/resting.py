"""A Redis that let one request wait in vain is left alone for a moment: the others are refused at once."""

from __future__ import annotations

import time

from room_reports.ledger import LedgerUnavailable
from room_reports.web.refusals import Refusal

REST = 0.5
"""Seconds. Otherwise the others would queue up behind one timeout after the other."""

RETRY_AFTER = 5


class Rest:
    """Thread-safe: at worst a request more is tried."""

    def __init__(self) -> None:
        self._until = 0.0
        self._reason = ""

    def check(self) -> None:
        """Raises `Refusal` while Redis is left alone."""
        if time.monotonic() < self._until:
            raise refusal_of(self._reason)

    def begin_for(self, error: LedgerUnavailable) -> Refusal:
        """The refusal of what Redis did not take; a rest begins when it did not answer in time."""
        if error.reason == "timeout":
            self._reason, self._until = error.reason, time.monotonic() + REST
        return refusal_of(error.reason)


def refusal_of(reason: str) -> Refusal:
    """Its sender may come again."""
    return Refusal(503, "redis", headers={"Retry-After": str(RETRY_AFTER)}, detail=reason)
