"""Reports of every kind, made up, to try message templates on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from room_reports.callbacks import StatusCallback
from room_reports.costs import Rates
from room_reports.participants import Identities, Known, read_participant
from room_reports.report_building import build_report
from room_reports.reports import Provenance, RoomReport

ACCOUNT = "AC" + "0" * 32
ROOM = "RM" + "0" * 32
END = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)

HOSTILE = "!channel <!here> <@U1> @everyone <https://evil.example|x> &lt;!here&gt; *_~`{{ 7 * 7 }}\n> " + "🎥" * 400

SUMMARY: Mapping[str, Any] = {
    "room_name": "weekly-planning",
    "create_time": (END - timedelta(minutes=42)).isoformat(),
    "end_time": END.isoformat(),
    "room_type": "group",
    "room_status": "completed",
    "created_method": "api",
    "end_reason": "room_ended_via_api",
    "max_participants": 50,
    "unique_participants": 6,
    "unique_participant_identities": 5,
    "concurrent_participants": 4,
    "max_concurrent_participants": 50,
    "codecs": ["VP8", "opus"],
    "media_region": "de1",
    "edge_location": "frankfurt",
    "duration_sec": 2520,
    "total_participant_duration_sec": 9000,
    "total_recording_duration_sec": 0,
    "recording_enabled": True,
    "processing_state": "complete",
}

PARTICIPANT: Mapping[str, Any] = {
    "participant_sid": "PA" + "0" * 32,
    "participant_identity": "someone",
    "join_time": (END - timedelta(minutes=42)).isoformat(),
    "leave_time": (END - timedelta(minutes=30)).isoformat(),
    "duration_sec": 720,
    "end_reason": "signaling_connection_error",
    "error_code": 53405,
    "media_region": "de1",
}

ISSUE = {"issue_type": "high-packet-loss", "severity": "high", "participant_sid": None, "directions": ["inbound"]}


def sample_reports(console_url: str) -> dict[str, RoomReport]:
    """Reports by what they are: of a complete room, of one without a summary, of one of which little is known, and of
    one whose application is up to no good. `console_url` as in `build_report`."""
    hostile_summary = {name: HOSTILE if isinstance(value, str) else value for name, value in SUMMARY.items()}
    return {
        "a complete report": _sample(console_url, SUMMARY, people=(PARTICIPANT,), issues=[ISSUE]),
        "a partial report": _sample(console_url, None, is_complete=False),
        "an empty report": _sample(console_url, {}, callback=None, name=None),
        "a hostile report": _sample(
            console_url,
            {**hostile_summary, "surprise": {HOSTILE: [HOSTILE]}},
            name=HOSTILE,
            people=[{**PARTICIPANT, "participant_identity": HOSTILE, "end_reason": HOSTILE}] * 100,
            issues=[{**ISSUE, "issue_type": HOSTILE}],
        ),
    }


CALLBACK = StatusCallback(
    account_sid=ACCOUNT,
    room_sid=ROOM,
    room_name="weekly-planning",
    room_status="completed",
    room_type="group",
    event="room-ended",
    timestamp=END,
    timestamp_text=END.isoformat(),
    sequence_number=9,
    room_duration=2520,
)


def _sample(
    console_url: str,
    summary: Mapping[str, Any] | None,
    *,
    callback: StatusCallback | None = CALLBACK,
    name: str | None = "weekly-planning",
    is_complete: bool = True,
    people: Any = None,
    issues: Any = None,
) -> RoomReport:
    identities = Identities("full", b"")
    known = [one for record in people or () if (one := read_participant(record, identities)) is not None]
    return build_report(
        room_sid=ROOM,
        account_sid=ACCOUNT,
        room_name=name,
        callback=callback,
        summary=summary,
        is_complete=is_complete,
        provenance=Provenance(source="callback", first_asked_at=END, last_asked_at=END, times_asked=1),
        reported_at=END + timedelta(minutes=10),
        console_url=console_url,
        participants=None if people is None else Known(tuple(known)),
        issues=issues,
        rates=Rates(participant_minute=Decimal("0.004"), recorded_minute=Decimal("0.002"), currency="USD"),
    )
