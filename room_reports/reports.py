"""The report of a room: callback, summary and what we derive from them, in the form of a Standard Webhooks payload.

Pure. Building a report never fails for what Twilio sent: what cannot be read stays raw in `summary` and is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, Field, SkipValidation

from config.thresholds import Thresholds
from room_reports.callbacks import StatusCallback
from room_reports.costs import NO_RATES, CostEstimate, Rates, estimate
from room_reports.participants import Known, Participant
from room_reports.summaries import FIELDS, Reading, RoomSummary, clean_text, forwardable, read_summary
from room_reports.trimming import Kind, Limits, Trimmer
from room_reports.troubles import Troubles, find_troubles
from room_reports.verdicts import USUAL_THRESHOLDS, Facts, Verdict, judge, people

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


class Peak(BaseModel, frozen=True):
    """How full the room was."""

    concurrent: int | None = Field(description="`concurrent_participants`: the most at once, by Twilio's account.")
    limit: int | None = Field(description="`max_participants`: how many the room allows.")
    share: float | None = Field(description="`concurrent` / `limit`.")
    max_concurrent: int | None = Field(
        description="`max_concurrent_participants`. Twilio describes it as a limit in one place and as the peak in "
        "another, so nothing is concluded from it."
    )


class Derived(BaseModel, frozen=True):
    """What follows from callback and summary. A value is null when what it is made of is missing."""

    started_at: datetime | None = Field(description="Start of the room, UTC.")
    ended_at: datetime | None = Field(description="End of the room by the summary, else by the callback, UTC.")
    duration_seconds: int | None = Field(description="By the summary, else by the callback, else end less start.")
    people: int | None = Field(description="Identities, or connections where Twilio does not tell identities apart.")
    rejoins: int | None = Field(description="Connections beyond one for each identity.")
    participant_minutes: float | None = Field(description="Time in the room of all connections together.")
    average_stay_seconds: float | None = Field(description="Participant time by connections.")
    peak: Peak
    recorded_minutes: float | None = Field(description="Recorded time of all participants together.")
    seconds_to_report: float | None = Field(description="From the end of the room to the making of this report.")
    cost_estimate: CostEstimate | None = Field(
        default=None,
        description="What the room may have cost, by `COST_PARTICIPANT_MINUTE` and `COST_RECORDED_MINUTE`: an "
        "estimate, not a bill. Null without them.",
    )


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


def origin_of_summary(source: str | None, summary: object) -> Literal["api", "event"] | None:
    """Where a summary came from: `source` is what the ledger notes of one that an event brought."""
    if summary is None:
        return None
    return "event" if source == "event" else "api"


def build_report(
    *,
    room_sid: str,
    account_sid: str,
    room_name: str | None,
    callback: StatusCallback | None,
    summary: Mapping[str, Any] | None,
    completeness: Completeness,
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

    `summary` is the resource as Twilio sent it; `completeness` needs its state and reason, the rest is found here;
    `reported_at` is aware; `console_url` is a template with `{room_sid}`. `participants_missing`: they were asked for
    and could not be had. If known: `participants`, `issues` as in `room_reports.troubles`, `usual_duration` of rooms of
    this name in seconds.
    """
    forwarded = None if summary is None else forwardable(summary)
    reading = read_summary(forwarded or {})
    complete = completeness.state == "complete"
    derived = derive(callback, reading.summary, reported_at, rates)
    facts = Facts(
        callback,
        reading,
        forwarded is not None,
        complete,
        completeness.reason,
        derived.duration_seconds,
        usual_duration,
        _troubles(participants, issues, counted=reading.summary.unique_participants),
        thresholds,
    )
    name = room_name if room_name is not None else reading.summary.room_name
    is_short = _is_short(participants, reading)
    more = participants.left_out if participants is not None else 0
    data = ReportData(
        schema_version=SCHEMA_VERSION,
        room_sid=room_sid,
        account_sid=account_sid,
        room_name=None if name is None else clean_text(name),
        reported_at=reported_at.astimezone(UTC),
        completeness=Completeness(
            state=completeness.state,
            reason=completeness.reason,
            missing=_missing(callback, forwarded, reading, is_short=participants_missing or is_short),
            unreadable=tuple(f"summary.{field}" for field in reading.unreadable),
        ),
        callback=None if callback is None else _reported(callback),
        summary=forwarded,
        derived=derived,
        participants=None if participants is None else participants.participants,
        detected_issues=None if issues is None else tuple(Issue.model_validate(issue) for issue in issues),
        verdicts=judge(facts),
        links=Links(console=console_url.replace("{room_sid}", quote(room_sid, safe=""))),
        provenance=provenance,
        left_out=(LeftOut(path="participants", kind="items", count=more),) if more else (),
    )
    return RoomReport(timestamp=derived.ended_at or data.reported_at, data=data)


def _troubles(
    known: Known | None, issues: Sequence[Mapping[str, Any]] | None, *, counted: int | None
) -> Troubles | None:
    """What went wrong, out of all connections: not all of them need be known one by one."""
    if known is None:
        return find_troubles(None, issues)
    found = find_troubles([vars(one) for one in known.participants], issues)
    return found and replace(found, connections=max(found.connections + known.left_out, counted or 0))


def _is_short(known: Known | None, reading: Reading) -> bool:
    """Whether Twilio counts more participants than it told of."""
    counted = reading.summary.unique_participants
    return known is not None and counted is not None and counted > len(known.participants) + known.left_out


def _missing(
    callback: StatusCallback | None, forwarded: dict[str, Any] | None, reading: Reading, *, is_short: bool
) -> tuple[str, ...]:
    missing = ["callback"] if callback is None else []
    missing += ["participants"] if is_short else []
    if forwarded is None:
        return (*missing, "summary")
    return (*missing, *(f"summary.{field}" for field in FIELDS if getattr(reading.summary, field) is None))


def _reported(callback: StatusCallback) -> ReportedCallback:
    return ReportedCallback(
        event=callback.event,
        timestamp=callback.timestamp,
        sequence_number=callback.sequence_number,
        account_sid=callback.account_sid,
        room_sid=callback.room_sid,
        room_name=callback.room_name,
        room_status=callback.room_status,
        room_type=callback.room_type,
        room_duration=callback.room_duration,
    )


def derive(
    callback: StatusCallback | None, summary: RoomSummary, reported_at: datetime, rates: Rates = NO_RATES
) -> Derived:
    """The figures that follow from callback and summary. A negative amount is no amount."""
    ended_at = summary.end_time or (callback.timestamp if callback else None)
    connections, identities = _amount(summary.unique_participants), _amount(summary.unique_participant_identities)
    stayed, recorded = _amount(summary.total_participant_duration_sec), _amount(summary.total_recording_duration_sec)
    return Derived(
        started_at=summary.create_time,
        ended_at=ended_at,
        duration_seconds=_duration(callback, summary, ended_at),
        people=_amount(people(summary)),
        rejoins=None if connections is None or identities is None else _amount(connections - identities),
        participant_minutes=_minutes(stayed),
        average_stay_seconds=round(stayed / connections, 1) if stayed is not None and connections else None,
        peak=_peak(summary),
        recorded_minutes=_minutes(recorded),
        seconds_to_report=max((reported_at - ended_at).total_seconds(), 0.0) if ended_at else None,
        cost_estimate=estimate(
            rates,
            participant_seconds=stayed,
            recorded_seconds=0 if recorded is None and summary.recording_enabled is False else recorded,
        ),
    )


def _amount(value: int | None) -> int | None:
    return value if value is not None and value >= 0 else None


def _minutes(seconds: int | None) -> float | None:
    return None if seconds is None else round(seconds / 60, 2)


def _duration(callback: StatusCallback | None, summary: RoomSummary, ended_at: datetime | None) -> int | None:
    for duration in (summary.duration_sec, callback.room_duration if callback else None):
        if _amount(duration) is not None:
            return duration
    if summary.create_time is None or ended_at is None:
        return None
    return _amount(round((ended_at - summary.create_time).total_seconds()))


def _peak(summary: RoomSummary) -> Peak:
    concurrent, limit = _amount(summary.concurrent_participants), _amount(summary.max_participants)
    return Peak(
        concurrent=concurrent,
        limit=limit,
        share=round(concurrent / limit, 3) if concurrent is not None and limit else None,
        max_concurrent=_amount(summary.max_concurrent_participants),
    )
