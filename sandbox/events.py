"""Events of Event Streams as a webhook sink gets them, all pure; `callbacks.json_request` signs and sends them.

https://www.twilio.com/docs/events/event-types/video-insights, https://www.twilio.com/docs/events/webhook-quickstart
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

ROOM_SUMMARY = "com.twilio.video.insights.room-summary.complete"
PARTICIPANT_SUMMARY = "com.twilio.video.insights.participant-summary.complete"
TEST = "com.twilio.eventstreams.test-event"

OTHER_NAMES = {
    "room_status": "status",
    "max_participants": "max_participants_allowed",
    "unique_participants": "participants",
}
"""What an event calls the fields of a summary that it does not call the same."""

NOT_IN_EVENTS = frozenset(
    {"concurrent_participants", "edge_location", "status_callback", "status_callback_method", "url", "links"}
)


def event(kind: str, data: Mapping[str, Any], *, as_text: bool = False, made: datetime | None = None) -> dict[str, Any]:
    """A CloudEvent; `as_text` has its data as JSON in a string, as some of Twilio's examples do."""
    text = json.dumps(data)
    return {
        "specversion": "1.0",
        "type": kind,
        "source": f"/{kind.rpartition('.')[0]}",
        "id": "EZ" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest(),
        "dataschema": f"https://events-schemas.twilio.com/{kind}/2",
        "datacontenttype": "application/json",
        "time": (made or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": text if as_text else dict(data),
    }


def room_event(
    summary: Mapping[str, Any], *, issues: Sequence[Mapping[str, Any]] = (), as_text: bool = False, **changes: Any
) -> dict[str, Any]:
    """The event about a room with this summary. `changes` replace or add to its data."""
    data = {OTHER_NAMES.get(name, name): value for name, value in summary.items() if name not in NOT_IN_EVENTS}
    for name in ("create_time", "end_time"):
        if isinstance(moment := data.get(name), str):
            data[name] = moment.replace("Z", ".000Z")
    data |= {"status": "in-progress", "detected_issues": {"details": list(issues)}, **changes}
    return event(ROOM_SUMMARY, data, as_text=as_text)


def issue(
    kind: str, participant_sid: str, *, severity: str = "high", identity: str = "ada", directions: Sequence[str] = ()
) -> dict[str, Any]:
    """One of `detected_issues.details`."""
    properties = {"participant_sid": participant_sid, "participant_identity": identity, "directions": list(directions)}
    return {"issue_type": kind, "severity": severity, "properties": properties}


def participant_event(participant: Mapping[str, Any], *, identity: str | None = None, **changes: Any) -> dict[str, Any]:
    """The event about a participant with this record; it tells more than the Video Log Analyzer does."""
    more: dict[str, Any] = {
        "participant_identity": participant["participant_identity"] if identity is None else identity,
        "processing_state": "complete",
        "location": {"city": "Springfield", "country": "US"},
        "device": {"model": "of a somebody"},
        "tracks": {"audio": 1, "video": 1, "data": 0},
        "detected_issues": {"details": []},
    }
    data = {name: value for name, value in participant.items() if name not in ("edge_location", "url")}
    return event(PARTICIPANT_SUMMARY, data | more | changes)


def sink_test(test_id: str, *, account_sid: str) -> dict[str, Any]:
    """What a test of a sink sends: its `id` is the account's, and so the same each time."""
    return {**event(TEST, {"test_id": test_id}), "id": account_sid}
