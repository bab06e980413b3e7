"""What the fake Twilio knows about rooms: summaries and participants, realistic and derived from the room SID alone.

Field names and types: https://www.twilio.com/docs/video/troubleshooting/video-log-analyzer-api. All functions are pure,
so a test can compute what the fake will say.
"""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime, timedelta
from typing import Any

INSIGHTS_URL = "https://insights.twilio.com"
ERRORS_URL = "https://www.twilio.com/docs/api/errors"

ROOM_FIELDS = (
    "account_sid",
    "room_sid",
    "room_name",
    "create_time",
    "end_time",
    "room_type",
    "room_status",
    "status_callback",
    "status_callback_method",
    "created_method",
    "end_reason",
    "max_participants",
    "unique_participants",
    "unique_participant_identities",
    "concurrent_participants",
    "max_concurrent_participants",
    "codecs",
    "media_region",
    "edge_location",
    "duration_sec",
    "total_participant_duration_sec",
    "total_recording_duration_sec",
    "processing_state",
    "recording_enabled",
    "url",
    "links",
)
"""The 26 fields of a room summary, each of which may be null."""

_NAMES = ("weekly-planning", "Customer call", "standup-42", "Élodie & Søren", "interview/backend", "support 4711")
_PEOPLE = ("ada", "grace", "linus", "margaret", "dennis", "barbara", "ken", "radia", "guido", "frances", "hedy")
_REGIONS = (("us1", "ashburn"), ("us2", "umatilla"), ("ie1", "dublin"), ("de1", "frankfurt"), ("jp1", "tokyo"))


def room_sid(seed: int, index: int = 0) -> str:
    """The `index`-th room SID of a series: `RM` and 32 hex digits, no two alike over all series."""
    return "RM" + hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=16).hexdigest()


def room_summary(room_sid: str, *, account_sid: str, ended: datetime) -> dict[str, Any]:
    """A complete summary with all 26 fields, which agree with one another; `ended` is an aware time."""
    draw = random.Random(room_sid)
    duration = draw.randint(60, 7200)
    people = draw.randint(2, len(_PEOPLE))
    identities = draw.randint(max(2, people - 2), people)
    recorded = draw.random() < 0.5
    region, edge = draw.choice(_REGIONS)
    limit = draw.choice((20, 50))
    url = f"{INSIGHTS_URL}/v1/Video/Rooms/{room_sid}"
    return {
        "account_sid": account_sid,
        "room_sid": room_sid,
        "room_name": draw.choice(_NAMES),
        "create_time": _time(ended - timedelta(seconds=duration)),
        "end_time": _time(ended),
        "room_type": "group",
        "room_status": "completed",
        "status_callback": "https://hooks.example.com/twilio/rooms?tenant=sandbox",
        "status_callback_method": "POST",
        "created_method": draw.choice(("api", "sdk", "ad_hoc")),
        "end_reason": draw.choice(("room_ended_via_api", "timeout")),
        "max_participants": limit,
        "unique_participants": people,
        "unique_participant_identities": identities,
        "concurrent_participants": identities,
        "max_concurrent_participants": limit,
        "codecs": ["VP8", "opus"],
        "media_region": region,
        "edge_location": edge,
        "duration_sec": duration,
        "total_participant_duration_sec": sum(_stays(room_sid, people=people, duration=duration)),
        "total_recording_duration_sec": duration if recorded else 0,
        "processing_state": "complete",
        "recording_enabled": recorded,
        "url": url,
        "links": {"participants": f"{url}/Participants"},
    }


def participants(
    room_sid: str, *, account_sid: str, ended: datetime, people: int | None = None
) -> list[dict[str, Any]]:
    """The participants of a room, as its summary counts them, or `people` of them."""
    summary = room_summary(room_sid, account_sid=account_sid, ended=ended)
    people = summary["unique_participants"] if people is None else people
    identities = summary["unique_participant_identities"]
    codes = _error_codes(room_sid, people=people)
    return [
        {
            "participant_sid": (participant_sid := _participant_sid(room_sid, number)),
            "participant_identity": _PEOPLE[number % identities % len(_PEOPLE)],
            "join_time": _time(ended - timedelta(seconds=stay)),
            "leave_time": _time(ended),
            "duration_sec": stay,
            "account_sid": account_sid,
            "room_sid": room_sid,
            "status": "completed",
            "codecs": ["VP8", "opus"],
            "end_reason": "disconnected_via_api",
            "error_code": codes[number],
            "error_code_url": f"{ERRORS_URL}/{codes[number]}" if codes[number] else None,
            "media_region": summary["media_region"],
            "edge_location": summary["edge_location"],
            "properties": {},
            "publisher_info": {"name": "twilio-video.js", "version": "2.34.0"},
            "url": f"{INSIGHTS_URL}/v1/Video/Rooms/{room_sid}/Participants/{participant_sid}",
        }
        for number, stay in enumerate(_stays(room_sid, people=people, duration=summary["duration_sec"]))
    ]


def _stays(room_sid: str, *, people: int, duration: int) -> list[int]:
    draw = random.Random(room_sid + "stays")
    return [draw.randint(duration // 2, duration) for _ in range(people)]


def _error_codes(room_sid: str, *, people: int) -> list[int]:
    """Twilio's error of each connection: most have none."""
    draw = random.Random(room_sid + "errors")
    return [draw.choice((53001, 53405)) if draw.random() < 0.05 else 0 for _ in range(people)]


def _participant_sid(room_sid: str, number: int) -> str:
    return "PA" + hashlib.blake2b(f"{room_sid}:{number}".encode(), digest_size=16).hexdigest()


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
