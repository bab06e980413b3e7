"""What the page is looked at with: a ledger in the middle of a day, with everything that can happen in it."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import redis

from config.settings import Settings
from room_reports.ledger import Outcome
from tests.support.rooms_in_ledger import HOSTILE, LedgerWriter

NAMES = ("weekly-planning", "Customer call", "standup-42", "Élodie & Søren", "interview/backend", "support 4711")

PLAIN, WAITING, PARTIAL, DEAD, EXPIRED, STRANGE, NAMELESS, RESENT = range(8)
"""The rooms that tests look at, by number."""


def feed(settings: Settings, connection: redis.Redis, *, others: int = 90) -> None:
    """Fills an empty ledger: Slack is held, a worker is alive, and `others` ordinary rooms ended within two days."""
    writer = LedgerWriter(settings, connection)
    add_ordinary_rooms(writer, others)
    add_particular_rooms(writer)
    hold_slack(writer)
    writer.add_days(30, before=datetime.now(UTC).date())
    writer.ledger.note_worker("worker-1", threads=32, busy=3)
    writer.ledger.note_reconciled(datetime.now(UTC) - timedelta(minutes=17))


def add_ordinary_rooms(writer: LedgerWriter, count: int) -> None:
    """Rooms of two days; most summaries come within ten minutes."""
    draw = random.Random(4)  # noqa: S311 - nothing here is secret
    for number in range(count):
        ago = timedelta(hours=draw.triangular(0.3, 47, 4), minutes=draw.random() * 60)
        after = draw.lognormvariate(5.6, 0.8)
        writer.delivered(100 + number, draw.choice(NAMES), ago=ago, after=after)


def add_particular_rooms(writer: LedgerWriter) -> None:
    """One of each kind."""
    writer.delivered(PLAIN, "weekly-planning", ago=timedelta(minutes=50))
    sid = writer.open(WAITING, "Customer call", ago=timedelta(minutes=6), after=1)
    for _ in range(2):
        writer.attempt(sid, "summary", Outcome("waiting", "not_ready", "Twilio says in_progress"))
        while not writer.ledger.dispatch()[0]:
            pass
    writer.attempt(sid, "summary", Outcome("waiting", "not_ready", "Twilio says in_progress", pause=300))
    writer.set_back(sid)
    sid = writer.open(PARTIAL, "standup-42", ago=timedelta(hours=7), after=6 * 3600)
    writer.summarise(sid, state="partial", reason="not_ready", processing_state="in_progress")
    writer.deliver(sid)
    writer.set_back(sid, after=6 * 3600)
    sid = writer.open(DEAD, "interview/backend", ago=timedelta(hours=3), after=200)
    alone: dict[str, Any] = {"unique_participants": 1, "unique_participant_identities": 1, "concurrent_participants": 1}
    writer.summarise(
        sid, total_participant_duration_sec=6600, total_recording_duration_sec=0, recording_enabled=True, **alone
    )
    writer.deliver(sid, "slack")
    writer.attempt(sid, "webhook", Outcome("dead", "rejected", "answered 422 Unprocessable Entity"))
    writer.set_back(sid, after=200)
    writer.set_back(writer.open(EXPIRED, "found too late", ago=timedelta(days=8), expired=True, source="reconcile"))
    writer.delivered(STRANGE, HOSTILE, ago=timedelta(minutes=20))
    writer.delivered(NAMELESS, "", ago=timedelta(minutes=33))
    sid = writer.open(RESENT, "support 4711", ago=timedelta(hours=2), after=400)
    writer.summarise(sid)
    writer.deliver(sid)
    writer.ledger.resend(sid, ["webhook"], who="ada@workstation")
    writer.attempt(sid, "webhook", Outcome("delivered"))
    writer.set_back(sid, after=400)


def hold_slack(writer: LedgerWriter) -> None:
    """Slack answers that the channel is gone: what goes there waits for an operator."""
    for number in range(90, 94):
        sid = writer.open(number, "all hands", ago=timedelta(minutes=100 - number))
        writer.summarise(sid)
        writer.deliver(sid, "webhook")
        if number == 90:
            detail = "Slack answered 404 channel_not_found"
            writer.attempt(sid, "slack", Outcome("waiting", "gone", detail, counts=False, lane="operator"))
        writer.set_back(sid)
