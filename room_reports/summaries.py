"""The summary of a room, as Twilio's Video Log Analyzer sends it.

Two readings of the same JSON object: `RoomSummary` is what we reckon with, typed and forgiving; `forwardable` is what
leaves the service, untouched but for the secrets that URLs carry. Pure.
https://www.twilio.com/docs/video/troubleshooting/video-log-analyzer-api
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, Strict, ValidationError

DEEPEST = 30
"""Levels of nesting that are forwarded. The resource has two; the serialiser refuses some hundreds."""


def parse_time(value: object) -> datetime | None:
    """ISO 8601 text, with or without a fraction, as aware UTC; None for anything else. A time without zone is UTC."""
    if not isinstance(value, str) or len(value) < len("2026-01-01T00:00"):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    if (moment := parse_time(value)) is None:
        raise ValueError("not an ISO 8601 time")
    return moment


Count = Annotated[int, Strict(), Field(ge=-(2**63), lt=2**63)]
Flag = Annotated[bool, Strict()]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]


class RoomSummary(BaseModel, extra="allow", frozen=True):
    """The room resource. Every field may be null; values of enumerations are open sets, so they are text.

    Times are aware UTC, `*_sec` are seconds. Fields that are not listed here are kept as they came.
    """

    account_sid: str | None = None
    room_sid: str | None = None
    room_name: str | None = None
    create_time: Moment = None
    end_time: Moment = None
    room_type: str | None = None
    room_status: str | None = None
    status_callback: str | None = None
    status_callback_method: str | None = None
    created_method: str | None = None
    end_reason: str | None = None
    max_participants: Count | None = None
    unique_participants: Count | None = None
    """Connections: someone who left and came back counts twice."""
    unique_participant_identities: Count | None = None
    """People, as far as the application gives each their own identity."""
    concurrent_participants: Count | None = None
    max_concurrent_participants: Count | None = None
    """Twilio's specification calls it a configured limit, its Console the peak that was seen. Not relied upon."""
    codecs: list[str] | None = None
    media_region: str | None = None
    edge_location: str | None = None
    duration_sec: Count | None = None
    total_participant_duration_sec: Count | None = None
    total_recording_duration_sec: Count | None = None
    processing_state: str | None = None
    recording_enabled: Flag | None = None
    url: str | None = None
    links: dict[str, Any] | None = None


FIELDS = tuple(RoomSummary.model_fields)
"""The 26 fields of the resource."""

KNOWN_VALUES: Mapping[str, frozenset[str]] = {
    "room_type": frozenset({"go", "peer_to_peer", "group", "group_small"}),
    "room_status": frozenset({"in_progress", "completed"}),
    "status_callback_method": frozenset({"GET", "POST"}),
    "created_method": frozenset({"sdk", "ad_hoc", "api"}),
    "end_reason": frozenset({"room_ended_via_api", "timeout"}),
    "codecs": frozenset({"VP8", "H264", "VP9", "opus"}),
    "media_region": frozenset({"us1", "us2", "au1", "br1", "ie1", "jp1", "sg1", "in1", "de1", "gll"}),
    "edge_location": frozenset(
        {"ashburn", "dublin", "frankfurt", "singapore", "sydney", "sao_paulo", "roaming", "umatilla", "tokyo"}
    ),
    "processing_state": frozenset({"complete", "in_progress", "timeout", "not_started"}),
}
"""What Twilio documents today. Other values are passed on and flagged, never refused."""


@dataclass(frozen=True)
class Reading:
    """What could be read of a summary, and the fields whose values have a type we do not know (in `summary`: None)."""

    summary: RoomSummary
    unreadable: tuple[str, ...]


def read_summary(raw: Mapping[str, Any]) -> Reading:
    """Types a summary. Never raises: a field that does not read is left out and named."""
    try:
        return Reading(RoomSummary.model_validate(raw), ())
    except ValidationError as error:
        wrong = {str(problem["loc"][0]) for problem in error.errors(include_url=False, include_context=False)}
    readable = {name: value for name, value in raw.items() if name not in wrong}
    return Reading(RoomSummary.model_validate(readable), tuple(name for name in FIELDS if name in wrong))


def unfamiliar(summary: RoomSummary) -> list[str]:
    """The fields that Twilio does not document, and those whose value it does not document."""
    values = vars(summary)
    found = [name for name, known in KNOWN_VALUES.items() if values[name] and not _is_known(values[name], known)]
    return found + list(summary.model_extra or ())


def _is_known(value: str | list[str], known: frozenset[str]) -> bool:
    if isinstance(value, str):
        # Twilio writes some of them with hyphens elsewhere: sao-paulo, in-progress.
        return value in known or value.replace("-", "_") in known
    return known.issuperset(value)


def spelling(value: str | None) -> str | None:
    """A word of Twilio's as summaries have it: callbacks, and some events, write `group-small` for `group_small`."""
    return value.lower().replace("-", "_") if value else None


def forwardable(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A summary as it may leave the service: as sent, but without the secrets in URLs.

    Query, fragment and user are cut from every URL, wherever it stands, except in the room's name, which is the
    application's own text. What JSON cannot carry (lone surrogates, infinities) is replaced.
    """
    forwarded = {}
    for name, value in raw.items():
        kind = type(value)
        # Nearly every value is one of these; it is looked at no further.
        harmless = kind in _HARMLESS_KINDS or (kind is str and _HARMLESS.fullmatch(value))
        key = name if name.isascii() else clean_text(name)
        forwarded[key] = value if harmless else _forwardable(name, value, depth=1)
    return forwarded


def _forwardable(name: str, value: Any, *, depth: int) -> Any:
    if isinstance(value, str):
        if name == "room_name":
            return clean_text(value)
        if name in _URL_FIELDS:
            return clean_text(_without_secrets(value))
        return clean_text(_URL.sub(lambda url: _without_secrets(url[0]), value) if "://" in value else value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if not isinstance(value, (dict, list)):
        return value
    if depth == DEEPEST:
        return "…"
    if isinstance(value, list):
        return [_forwardable(name, item, depth=depth + 1) for item in value]
    # Whatever is under `links` is a URL.
    return {
        clean_text(key): _forwardable(name if name == "links" else key, item, depth=depth + 1)
        for key, item in value.items()
    }


# Neither a query, a fragment or a user, nor anything that JSON cannot carry.
_HARMLESS = re.compile(r"[^?#@\u0080-\U0010ffff]*")
_HARMLESS_KINDS = frozenset({int, bool, type(None)})
_URL_FIELDS = frozenset({"status_callback", "url", "links"})
# The scheme is bounded, or a long run of letters would be searched from each of its letters.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,30}://\S*")
_AFTER_PATH = re.compile(r"[?#].*", re.DOTALL)
_USER = re.compile(r"([/\\]{2})[^/\\]*@")


def _without_secrets(url: str) -> str:
    return _USER.sub(r"\1", _AFTER_PATH.sub("", url))


def clean_text(text: str) -> str:
    """The text with every lone surrogate replaced, so that it can be encoded."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
