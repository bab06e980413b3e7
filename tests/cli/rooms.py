"""Rooms in the ledger, brought into any state without a worker."""

from __future__ import annotations

from datetime import UTC, datetime

from room_reports.ledger import Claim, LaneNews, Ledger, Outcome
from sandbox.options import ACCOUNT_SID
from tests.support.reports import callback_with

ENDED = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def sid_of(number: int) -> str:
    """The SID of an invented room."""
    return f"RM{number:032x}"


def open_room(ledger: Ledger, number: int = 1, *, name: str = "daily", expired: bool = False) -> str:
    """Opens a room and returns its SID."""
    sid = sid_of(number)
    callback = callback_with(
        account_sid=ACCOUNT_SID,
        room_sid=sid,
        room_name=name,
        timestamp=ENDED,
        timestamp_text="2026-11-23T10:00:00Z",
        room_duration=60,
    )
    answer = ledger.open(
        room_sid=sid,
        account_sid=ACCOUNT_SID,
        room_name=name,
        ended=ENDED,
        callback=callback.to_json(),
        request_id="request-1",
        expired=expired,
    )
    assert answer == ("expired" if expired else "opened")
    return sid


def begin(ledger: Ledger, sid: str, step: str, attempt: int = 1) -> Claim:
    """Begins an attempt."""
    claim = ledger.begin(sid, step, attempt)
    assert claim is not None, f"{step} {attempt} was refused"
    return claim


def finish(ledger: Ledger, sid: str, step: str, outcome: Outcome, attempt: int = 1) -> None:
    """Makes an attempt with this outcome."""
    assert ledger.finish(begin(ledger, sid, step, attempt), outcome, took=0.25) is not None


def summarise(ledger: Ledger, sid: str, *, state: str = "complete") -> None:
    """Finishes the summary step, and opens both deliveries."""
    summary = (
        '{"duration_sec":1800,"unique_participants":2,"concurrent_participants":2,"max_participants":50,'
        '"processing_state":"complete"}'
    )
    fields: dict[str, str | int | float] = {
        "summary": summary,
        "asked": 1,
        "first_asked": "1795428000.0",
        "last_asked": "1795428000.0",
    }
    finish(ledger, sid, "summary", Outcome(state, fields=fields, opens=("slack", "webhook")))


def deliver(ledger: Ledger, sid: str, *, slack: str = "delivered", webhook: str = "delivered") -> None:
    """Finishes both deliveries."""
    finish(ledger, sid, "slack", Outcome(slack, None if slack == "delivered" else "rejected"))
    finish(ledger, sid, "webhook", Outcome(webhook, None if webhook == "delivered" else "rejected"))


def delivered_room(ledger: Ledger, number: int = 1, *, name: str = "daily") -> str:
    """A room whose report was delivered everywhere."""
    sid = open_room(ledger, number, name=name)
    summarise(ledger, sid)
    deliver(ledger, sid)
    return sid


def hold(ledger: Ledger, sid: str, lane: str = "slack", *, needs_operator: bool) -> None:
    """Has a delivery fail so that its destination is held."""
    news: LaneNews = "operator" if needs_operator else "heals"
    finish(ledger, sid, lane, Outcome("waiting", "gone", "answered 410", counts=False, lane=news))
