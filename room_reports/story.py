"""What is told of one room: its attempts, its report as it stands, what can be sent again. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from config.thresholds import Thresholds
from room_reports.callbacks import StatusCallback
from room_reports.costs import Rates
from room_reports.ledger import FINAL, PARTICIPANTS, PROVISIONAL, SUMMARY, Room, Step
from room_reports.participants import known_in
from room_reports.report_building import build_report, origin_of_summary
from room_reports.reports import Provenance, RoomReport
from room_reports.words import roughly


@dataclass(frozen=True)
class Told:
    """One record of the ledger about a room: an attempt, an operator's resend, or an event that brought the summary.

    `at` is aware UTC; `outcome` as in the record; `took` in seconds; `following`: what comes after it, empty if nothing
    does; `happened`: reason and detail, or who asked.
    """

    at: datetime
    step: str
    attempt: int | None
    outcome: str
    took: float | None
    following: str
    happened: str


def told(record: Mapping[str, Any]) -> Told:
    """A record as the ledger keeps it, in words."""
    outcome = record.get("outcome", "")
    following = ""
    if outcome == "waiting":
        following = f"again after {roughly(record['pause'])}" if record.get("pause") else "again when its lane is free"
    elif outcome in ("lost", "resend", "event"):
        following = "again at once"
    happened = ": ".join(part for part in (record.get("reason"), record.get("detail")) if part)
    return Told(
        at=datetime.fromtimestamp(record["at"], UTC),
        step=record.get("step", ""),
        attempt=record.get("attempt"),
        outcome=outcome,
        took=record.get("took"),
        following=following,
        happened=f"asked for by {happened}" if outcome == "resend" else happened,
    )


def deliveries_of(room: Room, *, configured: Collection[str]) -> dict[str, Step]:
    """The deliveries of a room to destinations that are in the settings, by name."""
    others = {SUMMARY, PARTICIPANTS}
    return {step.name: step for step in room.steps if step.name not in others and step.name in configured}


def routes_of(room: Room) -> str | None:
    """Where the rules sent a room and which of them did, in words; None when there were none."""
    if room.routes is None:
        return None
    return ", ".join(f"{name} by {label}" for name, label in room.routes.items()) or "nowhere, as the rules say"


def can_be_resent(step: Step) -> bool:
    """Whether a delivery can be asked for again: one that is under way is left alone."""
    return step.state in FINAL and step.state != PROVISIONAL


def report_of(room: Room, *, console_url: str, thresholds: Thresholds, rates: Rates, at: datetime) -> RoomReport:
    """The report as it would be delivered at `at`."""
    summary_step = next(step for step in room.steps if step.name == SUMMARY)
    return build_report(
        room_sid=room.sid,
        account_sid=room.account_sid,
        room_name=room.name or None,
        callback=StatusCallback.from_json(room.callback) if room.callback else None,
        summary=room.summary,
        is_complete=summary_step.state == "complete",
        reason=summary_step.reason,
        provenance=Provenance(
            source=room.source,
            first_asked_at=room.first_asked,
            last_asked_at=room.last_asked,
            times_asked=room.asked,
            summary_from=origin_of_summary(room.summary_source, room.summary),
        ),
        reported_at=at,
        console_url=console_url,
        thresholds=thresholds,
        rates=rates,
        usual_duration=room.usual,
        participants=known_in(room.participants),
        participants_missing=any(step.name == PARTICIPANTS and step.state != "complete" for step in room.steps),
        issues=room.issues,
    )
