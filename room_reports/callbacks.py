"""Status callbacks: the parameters of Twilio's request about a room, read into a checked value. Knows no HTTP.

Parameters: https://www.twilio.com/docs/video/api/status-callbacks. Only what was verified may be handed to `parse`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime

ROOM_ENDED = "room-ended"
"""The one event that opens a room; Twilio sends every other one to the same URL."""

LONGEST_NAME = 1024
LONGEST_WORD = 100

ROOM_SID = re.compile(r"RM[0-9a-fA-F]{32}")
ACCOUNT_SID = re.compile(r"AC[0-9a-fA-F]{32}")
_NUMBER = re.compile(r"[0-9]{1,15}")
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:)([0-9]{2})(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})?"
)

Params = Mapping[str, Sequence[str]]
"""Parameters of a request, each with all its values."""


class MalformedCallback(Exception):
    """A parameter is not what Twilio sends. `reason`: a short sentence that repeats nothing of what was sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class StatusCallback:
    """A `room-ended` callback. What Twilio left out, or sent empty, is None.

    `room_status` and `room_type` are Twilio's open sets of words, with hyphens; `room_duration` is in whole seconds.
    `sequence_number` is not the order of events: Twilio says to order by `timestamp` (aware UTC, when the room ended),
    which `timestamp_text` has as it was sent. `room_name` is free text of an application: never trust it.
    """

    account_sid: str
    room_sid: str
    room_name: str | None
    room_status: str | None
    room_type: str | None
    event: str
    timestamp: datetime | None
    timestamp_text: str | None
    sequence_number: int | None
    room_duration: int | None

    def to_json(self) -> str:
        """Compact JSON that `from_json` reads."""
        values = {name: value for name, value in vars(self).items() if name != "timestamp"}
        return json.dumps(values, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> StatusCallback:
        """The inverse of `to_json`. Unknown keys, of a later version, are left out and missing ones None."""
        values = json.loads(text)
        known = {field.name: values.get(field.name) for field in fields(cls)}
        return cls(**{**known, "timestamp": _moment(known["timestamp_text"])})


def parse(params: Params) -> StatusCallback:
    """Reads and checks a `room-ended` callback. Raises `MalformedCallback`."""
    timestamp_text = value_of(params, "Timestamp")
    return StatusCallback(
        account_sid=_sid(params, "AccountSid", ACCOUNT_SID),
        room_sid=_sid(params, "RoomSid", ROOM_SID),
        room_name=_text(params, "RoomName", LONGEST_NAME),
        room_status=_text(params, "RoomStatus", LONGEST_WORD),
        room_type=_text(params, "RoomType", LONGEST_WORD),
        event=value_of(params, "StatusCallbackEvent") or "",
        timestamp=_moment(timestamp_text),
        timestamp_text=timestamp_text,
        sequence_number=_number(params, "SequenceNumber"),
        room_duration=_number(params, "RoomDuration"),
    )


def value_of(params: Params, name: str) -> str | None:
    """The one value of a parameter; None when it is missing or empty. Raises `MalformedCallback` when it repeats."""
    values = params.get(name)
    if not values:
        return None
    if len(values) > 1:
        raise MalformedCallback(f"{name} is given more than once")
    return values[0] or None


def _sid(params: Params, name: str, pattern: re.Pattern[str]) -> str:
    value = value_of(params, name)
    if value is None:
        raise MalformedCallback(f"{name} is missing")
    if not pattern.fullmatch(value):
        raise MalformedCallback(f"{name} is not a SID")
    return value


def _text(params: Params, name: str, longest: int) -> str | None:
    value = value_of(params, name)
    if value is not None and len(value.encode()) > longest:
        raise MalformedCallback(f"{name} is longer than {longest} bytes")
    return value


def _number(params: Params, name: str) -> int | None:
    value = value_of(params, name)
    if value is None:
        return None
    if not _NUMBER.fullmatch(value):
        raise MalformedCallback(f"{name} is not a number")
    return int(value)


def _moment(text: str | None) -> datetime | None:
    """ISO 8601 to aware UTC; without an offset it is UTC already, as Twilio documents."""
    if text is None:
        return None
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise MalformedCallback("Timestamp is not an ISO 8601 time")
    minute, second, fraction, offset = match.groups()
    # A leap second has no place in a datetime; the second before it is near enough.
    second = "59" if second == "60" else second
    try:
        moment = datetime.fromisoformat(minute + second + (fraction or "") + (offset or "Z"))
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedCallback("Timestamp is not a time that exists") from None
