"""Finds the rooms whose callback never came: Twilio calls back once and forgets.

Lists every completed room of the account over the creation window and opens those that the ledger has never seen. After
a Redis that lost everything this rebuilds the ledger, as far as Twilio remembers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from room_reports.insights import KEPT, InsightsClient, ListedRoom
from room_reports.ledger import Ledger
from room_reports.summaries import clean_text, parse_time

LONGEST_ROOM = timedelta(hours=24)
"""The list is filtered on creation, a room counts from its end: the window starts earlier by the longest room."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Reconciled:
    """What one reconciliation found: rooms listed, opened because they were missed, and noted as expired."""

    listed: int
    opened: int
    expired: int


def reconcile(ledger: Ledger, insights: InsightsClient, *, since: datetime, now: datetime) -> Reconciled:
    """Opens every completed room that ended after `since` and is unknown. Both times are aware UTC.

    A room that ended before Twilio's 7 days is noted as expired and not fetched. Safe to run beside callbacks and
    beside itself, for opening is atomic. Raises what the Insights client and the ledger raise.
    """
    listed = opened = expired = 0
    for page in insights.completed_rooms(created_after=since - LONGEST_ROOM, created_before=now):
        listed += len(page)
        by_sid = {room.room_sid: room for room in page}
        for sid in ledger.unknown(by_sid):
            outcome = open_missed(ledger, by_sid[sid], now=now)
            opened += outcome == "opened"
            expired += outcome == "expired"
    log.info("reconciled", listed=listed, missed=opened, expired=expired, since=since.isoformat())
    return Reconciled(listed, opened, expired)


def open_missed(ledger: Ledger, room: ListedRoom, *, now: datetime) -> str:
    """Opens one room that was listed. Returns what the ledger says."""
    ended = parse_time(room.end_time)
    return ledger.open(
        room_sid=room.room_sid,
        account_sid=room.account_sid,
        room_name=clean_text(room.room_name),
        ended=ended,
        callback="",
        request_id="",
        source="reconcile",
        expired=ended is not None and now - ended > KEPT,
    )
