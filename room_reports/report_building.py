"""Builds the report of a room from all that is known of it. Pure.

It never fails for what Twilio sent: what cannot be read stays raw in `summary` and is named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

from config.thresholds import Thresholds
from room_reports.callbacks import StatusCallback
from room_reports.costs import NO_RATES, Rates
from room_reports.derived import derive
from room_reports.participants import Known
from room_reports.reports import (
    SCHEMA_VERSION,
    Completeness,
    Issue,
    LeftOut,
    Links,
    Provenance,
    ReportData,
    ReportedCallback,
    RoomReport,
    console_link,
)
from room_reports.summaries import FIELDS, Reading, clean_text, forwardable, read_summary
from room_reports.troubles import Troubles, find_troubles
from room_reports.verdicts import USUAL_THRESHOLDS, Facts, judge


def build_report(
    *,
    room_sid: str,
    account_sid: str,
    room_name: str | None,
    callback: StatusCallback | None,
    summary: Mapping[str, Any] | None,
    is_complete: bool,
    reason: str | None = None,
    provenance: Provenance,
    reported_at: datetime,
    console_url: str,
    participants: Known | None = None,
    participants_missing: bool = False,
    issues: Sequence[Mapping[str, Any]] | None = None,
    usual_duration: float | None = None,
    thresholds: Thresholds = USUAL_THRESHOLDS,
    rates: Rates = NO_RATES,
) -> RoomReport:
    """The report of a room from all that is known of it.

    `summary` is the resource as Twilio sent it; `is_complete`: Twilio will add nothing to it, else there may be a
    `reason`; `reported_at` is aware; `console_url` is a template with `{room_sid}`. `participants_missing`: they were
    asked for and could not be had. If known: `participants`, `issues` as in `room_reports.troubles`, `usual_duration`
    of rooms of this name in seconds.
    """
    forwarded = None if summary is None else forwardable(summary)
    reading = read_summary(forwarded or {})
    derived = derive(callback, reading.summary, reported_at, rates)
    facts = Facts(
        callback,
        reading,
        has_summary=forwarded is not None,
        complete=is_complete,
        reason=reason,
        duration=derived.duration_seconds,
        usual=usual_duration,
        troubles=_troubles(participants, issues, counted=reading.summary.unique_participants),
        thresholds=thresholds,
    )
    name = room_name if room_name is not None else reading.summary.room_name
    is_short = participants_missing or _is_short(participants, reading)
    data = ReportData(
        schema_version=SCHEMA_VERSION,
        room_sid=room_sid,
        account_sid=account_sid,
        room_name=None if name is None else clean_text(name),
        reported_at=reported_at.astimezone(UTC),
        completeness=Completeness(
            state="complete" if is_complete else "partial",
            reason=None if is_complete else reason,
            missing=_missing(callback, forwarded, reading, is_short=is_short),
            unreadable=tuple(f"summary.{field}" for field in reading.unreadable),
        ),
        callback=None if callback is None else ReportedCallback.model_validate(vars(callback)),
        summary=forwarded,
        derived=derived,
        participants=None if participants is None else participants.participants,
        detected_issues=None if issues is None else tuple(Issue.model_validate(issue) for issue in issues),
        verdicts=judge(facts),
        links=Links(console=console_link(console_url, room_sid)),
        provenance=provenance,
        left_out=_left_out(participants),
    )
    return RoomReport(timestamp=derived.ended_at or data.reported_at, data=data)


def _troubles(
    known: Known | None, issues: Sequence[Mapping[str, Any]] | None, *, counted: int | None
) -> Troubles | None:
    """What went wrong, out of all connections: not all of them need be known one by one."""
    if known is None:
        return find_troubles(None, issues)
    found = find_troubles(known.participants, issues)
    return found and replace(found, connections=max(found.connections + known.left_out, counted or 0))


def _missing(
    callback: StatusCallback | None, forwarded: dict[str, Any] | None, reading: Reading, *, is_short: bool
) -> tuple[str, ...]:
    missing = ["callback"] if callback is None else []
    missing += ["participants"] if is_short else []
    if forwarded is None:
        return (*missing, "summary")
    return (*missing, *(f"summary.{field}" for field in FIELDS if getattr(reading.summary, field) is None))


def _is_short(known: Known | None, reading: Reading) -> bool:
    """Whether Twilio counts more participants than it told of."""
    counted = reading.summary.unique_participants
    return known is not None and counted is not None and counted > len(known.participants) + known.left_out


def _left_out(known: Known | None) -> tuple[LeftOut, ...]:
    """Participants beyond those that are kept."""
    if known is None or not known.left_out:
        return ()
    return (LeftOut(path="participants", kind="items", count=known.left_out),)


def origin_of_summary(source: str | None, summary: object) -> Literal["api", "event"] | None:
    """Where a summary came from: `source` is what the ledger notes of one that an event brought."""
    if summary is None:
        return None
    return "event" if source == "event" else "api"
