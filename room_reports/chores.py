"""What some worker does now and then for all: reconcile, take expired rooms out of the indexes, send digests."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta

import structlog

from room_reports.daily import Daily
from room_reports.errors import Failure
from room_reports.insights import KEPT, InsightsClient
from room_reports.ledger import TWILIO, Ledger, LedgerUnavailable
from room_reports.reconcile import reconcile

LOOK_EVERY = 5.0
PRUNE_EVERY = 60.0
LONGEST_RECONCILE = 600.0
"""Seconds after which a reconciliation whose worker died may be taken by another."""

AGAIN_AFTER_FAILURE = 60.0
DIGEST_EVERY = 5.0
"""How often it is looked whether a digest is due: the precision of the time it is sent at."""

log = structlog.get_logger(__name__)


def run_chores(
    ledger: Ledger,
    insights: Mapping[str, InsightsClient],
    *,
    reconcile_every: float,
    stopping: threading.Event,
    daily: Daily | None = None,
    digest_at: time | None = None,
) -> None:
    """Does the chores that nobody else has done lately, until `stopping`.

    `insights`: Twilio for each account, by its lane; `reconcile_every` in seconds, 0 for never; `digest_at`: when
    `daily` sends digests, UTC, None for never.
    """
    while not stopping.is_set():
        try:
            if ledger.take_chore("prune", seconds=PRUNE_EVERY):
                ledger.prune()
            for lane, account in insights.items():
                if reconcile_every and ledger.take_chore(turn_of(lane), seconds=LONGEST_RECONCILE):
                    reconcile_once(ledger, account, lane=lane, every=reconcile_every)
            if daily and digest_at is not None and ledger.take_chore("digest", seconds=DIGEST_EVERY):
                daily.send_due(at=digest_at, now=ledger.now())
        except LedgerUnavailable as error:
            log.debug("chores wait for redis", reason=error.reason)
        except Exception:
            log.exception("a chore failed; it is done again")
        stopping.wait(min(LOOK_EVERY, reconcile_every or LOOK_EVERY))


def turn_of(lane: str) -> str:
    """The chore of reconciling one account: one that Twilio refuses holds up no other."""
    return "reconcile" if lane == TWILIO else f"reconcile:{lane}"


def reconcile_once(ledger: Ledger, insights: InsightsClient, *, lane: str, every: float) -> None:
    """Reconciles one account since that last worked, or over all that Twilio keeps, and says when it is next due."""
    now = datetime.now(UTC)
    last = ledger.reconciled_at(lane=lane)
    # What ended around the last run may have appeared in the list only after it.
    since = max(last - timedelta(hours=1), now - KEPT) if last else now - KEPT
    again = AGAIN_AFTER_FAILURE
    try:
        reconcile(ledger, insights, since=since, now=now)
        ledger.note_reconciled(now, lane=lane)
        again = every
    except Failure as failure:
        log.warning("could not reconcile", lane=lane, reason=failure.reason, detail=failure.detail)
    finally:
        ledger.put_back_chore(turn_of(lane), seconds=again)
