"""Events of Twilio's Event Streams, read into checked values. Pure.

What a webhook sink sends: one CloudEvent or an array of them, with `data` as an object or as JSON in a string.
https://www.twilio.com/docs/events/event-types/video-insights. Only what was verified may be handed to `read`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from room_reports.callbacks import ACCOUNT_SID, ROOM_SID
from room_reports.participants import PARTICIPANT_SID, Identities, Participant, read_participant
from room_reports.summaries import clean_text, parse_time

ROOM_SUMMARY = "com.twilio.video.insights.room-summary.complete"
PARTICIPANT_SUMMARY = "com.twilio.video.insights.participant-summary.complete"
TEST = "com.twilio.eventstreams.test-event"
"""What `POST /v1/Sinks/{Sid}/Test` sends: its `test_id` proves to Twilio that the sink is ours."""

MOST_ISSUES = 200
MOST_DIRECTIONS = 2
LONGEST_WORD = 100
LONGEST_NAME = 1024

REST_NAMES: Mapping[str, str] = {
    "account_sid": "account_sid",
    "room_sid": "room_sid",
    "room_name": "room_name",
    "create_time": "create_time",
    "end_time": "end_time",
    "room_type": "room_type",
    "status": "room_status",
    "created_method": "created_method",
    "end_reason": "end_reason",
    "max_participants_allowed": "max_participants",
    "participants": "unique_participants",
    "unique_participant_identities": "unique_participant_identities",
    "max_concurrent_participants": "max_concurrent_participants",
    "codecs": "codecs",
    "media_region": "media_region",
    "duration_sec": "duration_sec",
    "total_participant_duration_sec": "total_participant_duration_sec",
    "total_recording_duration_sec": "total_recording_duration_sec",
    "processing_state": "processing_state",
    "recording_enabled": "recording_enabled",
}
"""The fields of a room's event, and what the Video Log Analyzer calls them. The other fields that it has
(`concurrent_participants`, `edge_location`, `status_callback…`, `url`, `links`) are in no event."""

_SPELT_WITH_HYPHENS = frozenset({"room_type", "room_status", "processing_state", "created_method", "end_reason"})
"""Enumerations that Twilio writes with `_` in the Video Log Analyzer, and with `-` in some other places."""

_TEST_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class MalformedEvent(Exception):
    """Not what Twilio sends. `reason`: a short sentence that repeats nothing of what was sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class RoomEvent:
    """The summary of a room.

    `ended`: aware UTC, when the room ended, or else when the event was made; `summary`: with the names and spellings of
    the Video Log Analyzer, None when Twilio has not completed it; `issues`: what Twilio detected, without identities,
    None when the event does not say.
    """

    account_sid: str
    room_sid: str
    room_name: str
    ended: datetime | None
    summary: dict[str, Any] | None
    issues: list[dict[str, Any]] | None


@dataclass(frozen=True)
class ParticipantEvent:
    """The summary of one participant of a room."""

    account_sid: str
    room_sid: str
    participant: Participant


@dataclass(frozen=True)
class SinkTest:
    """A test of the sink."""

    test_id: str | None


def elements(body: bytes) -> list[Any]:
    """The events in the body of a request, unread. Raises `MalformedEvent` for what is not JSON."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedEvent("not JSON") from None
    return document if isinstance(document, list) else [document]


def read(element: Any, identities: Identities) -> RoomEvent | ParticipantEvent | SinkTest | None:
    """One event, with so much of identities as may be told; None for a type that is none of ours.

    Raises `MalformedEvent`.
    """
    if not isinstance(element, dict) or not isinstance(kind := element.get("type"), str):
        raise MalformedEvent("not an event: an object with a type")
    if kind == TEST:
        test_id = _data_of(element).get("test_id")
        return SinkTest(test_id if isinstance(test_id, str) and _TEST_ID.fullmatch(test_id) else None)
    if kind == ROOM_SUMMARY:
        return _room(_data_of(element), made=parse_time(element.get("time")))
    if kind == PARTICIPANT_SUMMARY:
        return _participant(_data_of(element), identities)
    return None


def _data_of(element: Mapping[str, Any]) -> Mapping[str, Any]:
    data = element.get("data")
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except (ValueError, RecursionError):
            raise MalformedEvent("data is not JSON") from None
    if not isinstance(data, dict):
        raise MalformedEvent("data is not an object")
    return data


def _room(data: Mapping[str, Any], *, made: datetime | None) -> RoomEvent:
    name = data.get("room_name")
    summary = summary_of(data)
    # The type says that it is complete; a state in the data that says otherwise is believed.
    is_settled = summary.get("processing_state") in (None, "complete", "timeout")
    return RoomEvent(
        account_sid=sid_in(data, "account_sid", ACCOUNT_SID),
        room_sid=sid_in(data, "room_sid", ROOM_SID),
        room_name=clean_text(name)[:LONGEST_NAME] if isinstance(name, str) else "",
        ended=parse_time(data.get("end_time")) or made,
        summary=summary if is_settled else None,
        issues=list(issues_of(data)) if "detected_issues" in data else None,
    )


def _participant(data: Mapping[str, Any], identities: Identities) -> ParticipantEvent:
    participant = read_participant(data, identities)
    if participant is None:
        raise MalformedEvent("participant_sid is missing or not a SID")
    return ParticipantEvent(sid_in(data, "account_sid", ACCOUNT_SID), sid_in(data, "room_sid", ROOM_SID), participant)


def summary_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a room's event as the Video Log Analyzer would send it; what that does not have is left out.

    Values stay as they were sent, but for their spelling. A status of `in-progress` says nothing of a room that has
    ended, and is left out too.
    """
    summary = {name: data[theirs] for theirs, name in REST_NAMES.items() if theirs in data}
    for name in _SPELT_WITH_HYPHENS.intersection(summary):
        if isinstance(summary[name], str):
            summary[name] = summary[name].replace("-", "_")
    if summary.get("room_status") == "in_progress":
        del summary["room_status"]
    return summary


def issues_of(data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What Twilio detected, as reports have it: whose it was is told by the participant SID, never by the identity."""
    detected = data.get("detected_issues")
    details = detected.get("details") if isinstance(detected, dict) else None
    for detail in details[:MOST_ISSUES] if isinstance(details, list) else ():
        if not isinstance(detail, dict) or (kind := _word(detail.get("issue_type"))) is None:
            continue
        properties = detail.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        sid, directions = properties.get("participant_sid"), properties.get("directions")
        directions = directions[:MOST_DIRECTIONS] if isinstance(directions, list) else []
        yield {
            "issue_type": kind,
            "severity": _word(detail.get("severity")),
            "participant_sid": sid if isinstance(sid, str) and PARTICIPANT_SID.fullmatch(sid) else None,
            "directions": [word for one in directions if (word := _word(one))],
        }


def sid_in(data: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    """A SID that must be there. Raises `MalformedEvent`."""
    value = data.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise MalformedEvent(f"{name} is missing or not a SID")
    return value


def _word(value: object) -> str | None:
    return clean_text(value)[:LONGEST_WORD] if isinstance(value, str) else None
