"""The participants of a room, read from Twilio's records into the one shape that the ledger, reports and pages have.

Here, before anything is kept, identities become what `IDENTITIES` lets out, and everything else that tells of a person
(location, device, address) is left behind; so nothing downstream ever holds more. Pure.
https://www.twilio.com/docs/video/troubleshooting/video-log-analyzer-api

In a row of the ledger: `participants`, a JSON array of what Twilio listed; `participants.left_out`, how many more it
listed; and for each one that an event told of, `participant.PA…` with a JSON object, or empty when `MOST_KEPT` were
kept before it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from config.settings import Settings
from room_reports.summaries import clean_text, parse_time
from room_reports.troubles import has_trouble

MOST_KEPT = 100
"""Participants of one room that are kept: connections, so someone who came back counts again."""

EVENT_FIELD = "participant."
"""With the SID behind it, the field of a row that holds what an event told of a participant."""

ERROR_URL = "https://www.twilio.com/docs/api/errors/"
LONGEST_IDENTITY = 256
LONGEST_WORD = 64

PARTICIPANT_SID = re.compile(r"PA[0-9a-fA-F]{32}")


class Participant(BaseModel, frozen=True):
    """One connection of a person to the room. Words of Twilio are an open set."""

    participant_sid: str = Field(description="`PA…`")
    identity: str | None = Field(
        default=None,
        description="Who it was, as far as `IDENTITIES` lets it out: `person-` and twelve hexadecimal digits, the same "
        "for the same identity; the identity itself, which is text of the application; or null.",
    )
    join_time: datetime | None = Field(default=None, description="UTC.")
    leave_time: datetime | None = Field(default=None, description="UTC.")
    duration_sec: int | None = Field(default=None, description="Seconds in the room.")
    end_reason: str | None = Field(default=None, description="Why the connection ended: `disconnected_via_api`, …")
    error_code: int | None = Field(default=None, description="Twilio's error; null for none.")
    error_url: str | None = Field(default=None, description="Twilio's page about that error.")
    media_region: str | None = Field(default=None, description="`us1`, …")
    edge_location: str | None = Field(default=None, description="`ashburn`, …; no event has it.")
    sdk: str | None = Field(default=None, description="Name and version: `twilio-video.js 2.34.0`.")

    @property
    def has_trouble(self) -> bool:
        """Whether the connection ended as it should not."""
        return has_trouble(self)

    def to_row(self) -> str:
        """As JSON, without what is not known."""
        return self.model_dump_json(exclude_none=True)


@dataclass(frozen=True)
class Known:
    """What is known of a room's participants: those with trouble first, each half in the order in which they joined.

    `left_out`: how many more there were, as far as that was counted.
    """

    participants: tuple[Participant, ...]
    left_out: int = 0


@dataclass(frozen=True)
class Identities:
    """What may be told of who somebody is; `key` makes hashes that nobody without it can try names against."""

    mode: Literal["full", "hashed", "none"]
    key: bytes = field(repr=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> Identities:
        """By `IDENTITIES`, with the key in the settings, or one made of the account and its first auth token."""
        if settings.identity_key is not None:
            return cls(settings.identities, settings.identity_key.get_secret_value().encode())
        token = settings.twilio_auth_token[0].get_secret_value().encode()
        purpose = f"identities of {settings.twilio_account_sid}"
        return cls(settings.identities, hmac.digest(token, purpose.encode(), hashlib.sha256))

    def shown(self, identity: object) -> str | None:
        """What stands for an identity from here on; None for none."""
        if not isinstance(identity, str) or not identity or self.mode == "none":
            return None
        text = clean_text(identity)
        if self.mode == "full":
            return text[:LONGEST_IDENTITY]
        return f"person-{hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()[:12]}"


def read_participant(raw: object, identities: Identities) -> Participant | None:
    """One record of the REST API or of an event; None when it does not name its participant.

    Never raises: a value of another type than documented is left out.
    """
    if (
        not isinstance(raw, dict)
        or not isinstance(sid := raw.get("participant_sid"), str)
        or not PARTICIPANT_SID.fullmatch(sid)
    ):
        return None
    code = _error_code(raw.get("error_code"))
    return Participant(
        participant_sid=sid,
        identity=identities.shown(raw.get("participant_identity")),
        join_time=parse_time(raw.get("join_time")),
        leave_time=parse_time(raw.get("leave_time")),
        duration_sec=_count(raw.get("duration_sec")),
        end_reason=_word(raw.get("end_reason")),
        error_code=code,
        error_url=None if code is None else f"{ERROR_URL}{code}",
        media_region=_word(raw.get("media_region")),
        edge_location=_word(raw.get("edge_location")),
        sdk=_sdk(raw.get("publisher_info")),
    )


def keep(participants: Iterable[Participant]) -> Known:
    """As many as are kept, each once, the others counted."""
    ordered = in_order({one.participant_sid: one for one in participants}.values())
    return Known(ordered[:MOST_KEPT], max(len(ordered) - MOST_KEPT, 0))


def in_order(participants: Iterable[Participant]) -> tuple[Participant, ...]:
    """Those with trouble first, each half in the order in which they joined."""
    return tuple(
        sorted(
            participants,
            key=lambda one: (not one.has_trouble, one.join_time or _NEVER, one.participant_sid),
        )
    )


def fields_of(known: Known) -> dict[str, str | int | float]:
    """What Twilio listed, as fields of a row."""
    listed = f"[{','.join(one.to_row() for one in known.participants)}]"
    return {"participants": listed, "participants.left_out": known.left_out}


def known_in(row: Mapping[str, str]) -> Known | None:
    """All that a row holds of participants, None when it holds nothing; what was listed wins over what events told."""
    told = [(name, text) for name, text in row.items() if name.startswith(EVENT_FIELD)]
    if "participants" not in row and not told:
        return None
    found: dict[str, dict[str, Any]] = {}
    left_out = int(row.get("participants.left_out", 0))
    listed = json.loads(row.get("participants", "[]"))
    for record in (*(json.loads(text) for _, text in told if text), *listed):
        found[record["participant_sid"]] = found.get(record["participant_sid"], {}) | record
    if not listed:
        left_out = sum(not text for _, text in told)
    ordered = in_order(Participant.model_validate(record) for record in found.values())
    return Known(ordered[:MOST_KEPT], left_out + max(len(ordered) - MOST_KEPT, 0))


_NEVER = datetime.max.replace(tzinfo=UTC)


def _error_code(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        value = int(value)
    count = _count(value)
    return count if count and count < 10**9 else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def _word(value: object) -> str | None:
    return clean_text(value)[:LONGEST_WORD] if isinstance(value, str) and value else None


def _sdk(info: object) -> str | None:
    """Twilio does not say what the object holds; these names occur."""
    if not isinstance(info, dict):
        return None
    name = info.get("sdk_name") or info.get("name") or info.get("sdk_type")
    version = info.get("sdk_version") or info.get("version")
    return _word(" ".join(part for part in (name, version) if isinstance(part, str) and part))
