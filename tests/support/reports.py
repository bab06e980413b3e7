"""Reports for tests: an ordinary room, with whatever a test changes about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Literal

from room_reports.callbacks import StatusCallback
from room_reports.events import issues_of
from room_reports.participants import Identities, Known, Participant, read_participant
from room_reports.report_building import build_report
from room_reports.reports import Provenance, RoomReport

ACCOUNT_SID = "AC" + "0123456789abcdef" * 2
ROOM_SID = "RM" + "fedcba9876543210" * 2
START = datetime(2026, 11, 23, 13, 23, 5, tzinfo=UTC)
END = START + timedelta(seconds=2520)
IDENTITIES = Identities("hashed", b"a key of the tests")
CONSOLE_URL = "https://console.example.com/rooms/{room_sid}/participants/"

ORDINARY: Mapping[str, Any] = {
    "account_sid": ACCOUNT_SID,
    "room_sid": ROOM_SID,
    "room_name": "weekly-planning",
    "create_time": "2026-11-23T13:23:05Z",
    "end_time": "2026-11-23T14:05:05Z",
    "room_type": "group",
    "room_status": "completed",
    "status_callback": "https://hooks.example.com/rooms",
    "status_callback_method": "POST",
    "created_method": "api",
    "end_reason": "room_ended_via_api",
    "max_participants": 20,
    "unique_participants": 6,
    "unique_participant_identities": 5,
    "concurrent_participants": 4,
    "max_concurrent_participants": 20,
    "codecs": ["VP8", "opus"],
    "media_region": "de1",
    "edge_location": "frankfurt",
    "duration_sec": 2520,
    "total_participant_duration_sec": 9000,
    "total_recording_duration_sec": 2460,
    "processing_state": "complete",
    "recording_enabled": True,
    "url": f"https://insights.twilio.com/v1/Video/Rooms/{ROOM_SID}",
    "links": {"participants": f"https://insights.twilio.com/v1/Video/Rooms/{ROOM_SID}/Participants"},
}

CALLBACK = StatusCallback(
    account_sid=ACCOUNT_SID,
    room_sid=ROOM_SID,
    room_name="weekly-planning",
    room_status="completed",
    room_type="group",
    event="room-ended",
    timestamp=END + timedelta(milliseconds=678),
    timestamp_text="2026-11-23T14:05:05.678Z",
    sequence_number=12,
    room_duration=2520,
)


def summary_with(**changes: Any) -> dict[str, Any]:
    """The summary of the ordinary room with other fields."""
    return {**ORDINARY, **changes}


def callback_with(**changes: Any) -> StatusCallback:
    """The callback of the ordinary room with other values."""
    return replace(CALLBACK, **changes)


def make_report(
    summary: Mapping[str, Any] | None = ORDINARY,
    callback: StatusCallback | None = CALLBACK,
    *,
    room_name: str | None = "weekly-planning",
    room_sid: str = ROOM_SID,
    state: Literal["complete", "partial"] = "complete",
    reason: str | None = None,
    console_url: str = CONSOLE_URL,
    participants: Sequence[Mapping[str, Any]] | None = None,
    issues: Sequence[Mapping[str, Any]] | None = None,
    **known: Any,
) -> RoomReport:
    """The report of the ordinary room, ten minutes after its end.

    `participants` and `issues` are records as Twilio sends them; `known`: what else `build_report` takes.
    """
    asked = END + timedelta(minutes=2)
    return build_report(
        room_sid=room_sid,
        account_sid=ACCOUNT_SID,
        room_name=room_name,
        callback=callback,
        summary=summary,
        is_complete=state == "complete",
        reason=reason,
        provenance=Provenance(source="callback", first_asked_at=asked, last_asked_at=asked, times_asked=1),
        reported_at=END + timedelta(minutes=10),
        console_url=console_url,
        issues=None if issues is None else list(issues_of({"detected_issues": {"details": list(issues)}})),
        participants=None if participants is None else Known(tuple(map(participant, participants, count()))),
        **known,
    )


def participant(record: Mapping[str, Any], number: int = 0, identities: Identities = IDENTITIES) -> Participant:
    """A participant read from a record of Twilio's that need not say who it is about."""
    found = read_participant({**record, "participant_sid": f"PA{number:032x}"}, identities)
    assert found is not None
    return found
