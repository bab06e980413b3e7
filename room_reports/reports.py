"""The report of a room: callback, summary and what we derive from them, in the form of a Standard Webhooks payload.

What is in it, and how it is made to fit; `room_reports.report_building` makes one. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, Field, SkipValidation

from room_reports.derived import Derived
from room_reports.participants import Participant
from room_reports.summaries import FIELDS
from room_reports.trimming import Kind, Limits, Trimmer
from room_reports.verdicts import Verdict

SCHEMA_VERSION = 1

LARGEST = 20_000
"""Bytes of a report. Standard Webhooks asks for payloads below some 20 kB."""

SHORTENED = ("room_name", "callback", "summary", "participants", "detected_issues")
"""What is shortened of a report that is longer."""

FEWEST_PARTICIPANTS = 10
"""So many stay while leaving out the others is enough; those with trouble are first."""

LEFT_OUT_ENTRY = 60
"""Bytes of an entry of `left_out`, and a few to spare."""

# From barely shortened to what fits whatever came: 26 fields of 16 characters.
LEVELS = (
    Limits(characters=2000, items=100, fields=200, levels=8),
    Limits(characters=1000, items=40, fields=100, levels=6),
    Limits(characters=500, items=15, fields=60, levels=4),
    Limits(characters=200, items=5, fields=40, levels=3),
    Limits(characters=64, items=0, fields=len(FIELDS), levels=1),
    Limits(characters=16, items=0, fields=len(FIELDS), levels=1),
)


class Completeness(BaseModel, frozen=True):
    """How far the report is based on data that Twilio will not change any more."""

    state: Literal["complete", "partial"] = Field(
        description="`complete`: Twilio will add nothing. `partial`: the summary is absent or was not finished."
    )
    reason: str | None = Field(default=None, description="Why it is partial: `not_ready`, `timeout`, `rejected`, …")
    missing: tuple[str, ...] = Field(
        default=(),
        description="`callback`, `summary`, `participants` (Twilio gave none or not all), or the fields of the summary "
        "(`summary.room_name`) without a usable value.",
    )
    unreadable: tuple[str, ...] = Field(
        default=(),
        description="Those of `missing` whose value has another type than documented; `summary` holds it as sent.",
    )


class Provenance(BaseModel, frozen=True):
    """How the room came to us and how its summary was got. Times are UTC."""

    source: str = Field(
        description="How the room came to us first: `callback`, `events` (Event Streams), or `reconcile` when Twilio's "
        "list of rooms had it and nothing had told of it."
    )
    summary_from: Literal["api", "event"] | None = Field(
        default=None, description="`api`: Twilio was asked for the summary; `event`: Event Streams brought it."
    )
    first_asked_at: datetime | None = Field(description="When Twilio was first asked for the summary.")
    last_asked_at: datetime | None = Field(description="When Twilio was last asked for the summary.")
    times_asked: int = Field(description="How often Twilio was asked.")


class ReportedCallback(BaseModel, frozen=True):
    """The status callback, parsed. Spellings are those of callbacks (`group-small`), not of the summary."""

    event: str = Field(description="`room-ended`.")
    timestamp: datetime | None = Field(description="When the event happened, UTC.")
    sequence_number: int | None = Field(description="Twilio's internal number of the event; it does not order events.")
    account_sid: str = Field(description="`AC…`")
    room_sid: str = Field(description="`RM…`")
    room_name: str | None = Field(description="Text of the application: never trust it.")
    room_status: str | None = Field(description="`completed`, `failed`, …")
    room_type: str | None = Field(description="`group`, `group-small`, `peer-to-peer`, `go`, …")
    room_duration: int | None = Field(description="Seconds.")


class Issue(BaseModel, frozen=True):
    """Something that Twilio detected while the room was on. Its words are Twilio's, an open set."""

    issue_type: str = Field(description="`high-packet-loss`, …")
    severity: str | None = Field(description="`high`, …")
    participant_sid: str | None = Field(description="`PA…` of the connection that had it.")
    directions: tuple[str, ...] = Field(description="`inbound`, `outbound`.")


class Links(BaseModel, frozen=True):
    """Where to look further."""

    console: str = Field(description="The room in Twilio's Console, by the template in `CONSOLE_URL`.")


class LeftOut(BaseModel, frozen=True):
    """One thing that was shortened because the report was too long."""

    path: str = Field(description="Where: `summary.codecs`.")
    kind: Literal["items", "fields", "characters"] = Field(description="What was left out there.")
    count: int = Field(description="How many were left out.")


class ReportData(BaseModel, frozen=True):
    """Everything about one room."""

    schema_version: int = Field(description=f"{SCHEMA_VERSION}. Fields may be added without a new version.")
    room_sid: str = Field(description="`RM…`")
    account_sid: str = Field(description="`AC…`")
    room_name: str | None = Field(description="Text of the application: never trust it.")
    reported_at: datetime = Field(description="When this report was made, UTC.")
    completeness: Completeness
    callback: ReportedCallback | None = Field(description="Null when the callback never came.")
    summary: Annotated[dict[str, Any] | None, SkipValidation] = Field(
        description="The room resource exactly as Twilio sent it, unknown fields and values included, but for the "
        "query, fragment and user of URLs. Null when there is none."
    )
    derived: Derived
    participants: tuple[Participant, ...] | None = Field(
        default=None,
        description="Those with trouble first, each half in the order in which they joined. Null when they are not "
        "asked for (`PARTICIPANTS`) and no event told of them, or when they could not be had.",
    )
    detected_issues: tuple[Issue, ...] | None = Field(
        description="What Twilio detected; only events tell, so null when none did."
    )
    verdicts: tuple[Verdict, ...] = Field(description="What to notice; empty for an ordinary room.")
    links: Links
    provenance: Provenance
    left_out: tuple[LeftOut, ...] = Field(
        description="What was shortened to stay below 20 kB, and participants beyond 100; mostly empty."
    )


class RoomReport(BaseModel, frozen=True):
    """One room's report, as it is posted to a webhook."""

    type: Literal["room.report"] = Field(default="room.report", description="Other types may come: ignore them.")
    timestamp: datetime = Field(description="End of the room where it is known, else when the report was made, UTC.")
    data: ReportData

    def to_json(self) -> bytes:
        """The report as UTF-8 JSON of at most `LARGEST` bytes: a longer one is shortened and says by how much."""
        body = self.model_dump_json().encode()
        if len(body) <= LARGEST:
            return body
        fewer = self._with_fewer_participants(len(body) - LARGEST)
        body = fewer.model_dump_json().encode()
        return body if len(body) <= LARGEST else fewer._shortened()

    def _with_fewer_participants(self, excess: int) -> RoomReport:
        """The report without as many of the last participants as make it that many bytes shorter."""
        kept = list(self.data.participants or ())
        before = len(kept)
        excess += LEFT_OUT_ENTRY
        while excess > 0 and len(kept) > FEWEST_PARTICIPANTS:
            excess -= len(kept.pop().model_dump_json().encode()) + 1
        if len(kept) == before:
            return self
        left_out = _counted(self.data.left_out)
        left_out["participants", "items"] += before - len(kept)
        changes = {"participants": tuple(kept), "left_out": _listed(left_out)}
        return self.model_copy(update={"data": self.data.model_copy(update=changes)})

    def _shortened(self) -> bytes:
        data = self.data.model_dump(mode="json")
        body = b""
        for limits in LEVELS:
            trimmer = Trimmer(limits, keep=FIELDS, left_out=_counted(self.data.left_out))
            changes = {name: trimmer.trim(name, data[name]) for name in SHORTENED}
            shorter = self.data.model_copy(update={**changes, "left_out": _listed(trimmer.left_out)})
            body = self.model_copy(update={"data": shorter}).model_dump_json(warnings=False).encode()
            if len(body) <= LARGEST:
                break
        return body


def _counted(left_out: Sequence[LeftOut]) -> Counter[tuple[str, Kind]]:
    return Counter({(one.path, one.kind): one.count for one in left_out})


def _listed(left_out: Counter[tuple[str, Kind]]) -> tuple[LeftOut, ...]:
    return tuple(LeftOut(path=path, kind=kind, count=count) for (path, kind), count in left_out.items())


def console_link(template: str, room_sid: str) -> str:
    """The room in Twilio's Console, by the template in `CONSOLE_URL`."""
    return template.replace("{room_sid}", quote(room_sid, safe=""))
