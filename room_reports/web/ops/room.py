"""The page of one room: its story, its summary in words and raw, its message in Slack, and what can be sent again."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from markupsafe import Markup

from room_reports import slack_report
from room_reports.costs import shown
from room_reports.ledger import FINAL, PARTICIPANTS, PROVISIONAL, SUMMARY, Hold, Room, Step
from room_reports.participants import Participant
from room_reports.report_words import from_to, use_of
from room_reports.reports import RoomReport
from room_reports.story import Told, can_be_resent, deliveries_of, report_of, routes_of, told
from room_reports.summaries import RoomSummary, read_summary
from room_reports.templates import Made
from room_reports.verdicts import Verdict
from room_reports.waiting import Waiting, waits_of
from room_reports.web.ops import wording
from room_reports.web.ops.desk import Desk
from room_reports.web.ops.slack_message import as_html
from room_reports.words import clean, spoken

Tone = Literal["good", "neutral", "bad", "asked"]


@dataclass(frozen=True)
class Entry:
    """One entry of the story. `then`: what follows from it, empty if nothing does."""

    at: datetime
    title: str
    text: str = ""
    then: str = ""
    took: float | None = None
    tone: Tone = "neutral"


@dataclass(frozen=True)
class Delivery:
    """One delivery, and whether its button can be pressed."""

    step: Step
    can_be_resent: bool


@dataclass(frozen=True)
class Message:
    """What some destinations have of the room in Slack, or will have. `names`: theirs, empty where there is but one.

    `fault`: why their template failed, empty if it did not; `is_begun`: it says that the room has ended, and the report
    takes its place; `is_draft`: it is not sent yet.
    """

    names: list[str]
    html: Markup
    fault: str
    is_begun: bool
    is_draft: bool


@dataclass(frozen=True)
class RoomPage:
    """All that the template needs. `messages`: none where Slack is not told of the room; `participants`: None where
    they are not known, `left_out`: how many more there were."""

    room: Room
    story: list[Entry]
    waits: list[Waiting]
    deliveries: list[Delivery]
    facts: list[tuple[str, str]]
    verdicts: tuple[Verdict, ...]
    messages: list[Message]
    participants: tuple[Participant, ...] | None
    left_out: int
    console: str
    raw: str


def room_page(desk: Desk, room: Room, holds: Sequence[Hold]) -> RoomPage:
    """What is shown of a room."""
    now = datetime.now(UTC)
    report = report_of(room, console_url=desk.console_url, thresholds=desk.thresholds, rates=desk.rates, at=now)
    summary_step = next(step for step in room.steps if step.name == SUMMARY)
    is_fetched = all(step.state in FINAL for step in room.steps if step.name in (SUMMARY, PARTICIPANTS))
    is_reported = is_fetched and summary_step.state != "expired"
    deliveries = deliveries_of(room, configured=desk.destinations)
    return RoomPage(
        room=room,
        story=list(story_of(room)),
        waits=waits_of(room, holds, now=now),
        deliveries=[Delivery(step, can_be_resent(step)) for step in deliveries.values()],
        facts=[*facts_of(report), *routing_of(room)],
        verdicts=report.data.verdicts if is_reported else (),
        messages=messages_of(desk, room, report, is_fetched=is_fetched),
        participants=report.data.participants,
        left_out=sum(one.count for one in report.data.left_out if one.path == "participants"),
        console=report.data.links.console,
        raw=raw_of(report),
    )


def messages_of(desk: Desk, room: Room, report: RoomReport, *, is_fetched: bool) -> list[Message]:
    """Each message in Slack, once for all that have the same; before anything is sent, what every one would have."""
    steps = {step.name: step for step in room.steps}
    told = [name for name in desk.slack if name in steps] or ([] if is_fetched else list(desk.slack))
    found: dict[tuple[Markup, str, bool], list[str]] = {}
    for name in told:
        is_begun = name in steps and steps[name].state == PROVISIONAL
        made = Made(slack_report.provisional_message(report)) if is_begun else desk.slack[name](report)
        found.setdefault((as_html(made.message), made.fault, is_begun), []).append(name)
    return [
        Message(names if len(desk.slack) > 1 else [], html, fault, is_begun, is_draft=not (is_fetched or is_begun))
        for (html, fault, is_begun), names in found.items()
    ]


def story_of(room: Room) -> Iterator[Entry]:
    """What happened, oldest first."""
    if room.ended:
        yield Entry(room.ended, "The room ended")
    if room.source == "callback":
        yield Entry(room.opened, "Twilio called back", f"request {clean(room.request_id)}")
    elif room.source == "events":
        yield Entry(room.opened, "Twilio sent an event", f"request {clean(room.request_id)}")
    else:
        yield Entry(room.opened, "Found by reconciling", "its callback never came")
    if room.state == "expired" and not room.attempts:
        yield Entry(room.opened, "Expired", "Twilio had deleted the data: it keeps it for 7 days", tone="bad")
    yield from (entry_of(told(record)) for record in room.attempts)


def entry_of(record: Told) -> Entry:
    """One record of the ledger as an entry of the story."""
    title, tone = _title_of(record)
    following = record.following if record.outcome != "resend" else ""
    return Entry(record.at, title, record.happened, following, record.took, tone)


def _title_of(record: Told) -> tuple[str, Tone]:
    if record.outcome == "resend":
        return f"Resend to {record.step.replace(',', ' and ')}", "asked"
    if record.outcome == "event":
        return "Twilio sent the summary", "good"
    attempt = f", attempt {record.attempt}"
    if record.step in _OF_FETCHING:
        usual: tuple[str, Tone] = (f"{wording.sentence(record.step)} {record.outcome}", "neutral")
        title, tone = _OF_FETCHING[record.step].get(record.outcome, usual)
        return title + attempt, tone
    title, tone = _OF_DELIVERY.get(record.outcome, (f"{{}}: {record.outcome}", "neutral"))
    return wording.sentence(title.format(wording.lane(record.step))) + attempt, tone


_OF_FETCHING: dict[str, dict[str, tuple[str, Tone]]] = {
    SUMMARY: {
        "complete": ("Summary complete", "good"),
        "partial": ("Reported without a complete summary", "bad"),
        "expired": ("Summary expired", "bad"),
        "waiting": ("No summary yet", "neutral"),
        "lost": ("Worker lost while it asked for the summary", "bad"),
    },
    PARTICIPANTS: {
        "complete": ("Participants fetched", "good"),
        "partial": ("Reported without participants", "bad"),
        "waiting": ("No participants yet", "neutral"),
        "lost": ("Worker lost while it asked for the participants", "bad"),
    },
}
_OF_DELIVERY: dict[str, tuple[str, Tone]] = {
    "delivered": ("Delivered to {}", "good"),
    "provisional": ("{}: the room has ended, the report follows", "neutral"),
    "dead": ("Given up on {}", "bad"),
    "waiting": ("Not delivered to {}", "neutral"),
    "lost": ("Worker lost while it delivered to {}", "bad"),
}


def facts_of(report: RoomReport) -> Iterator[tuple[str, str]]:
    """The summary in words: what is known of it, with its label."""
    derived = report.data.derived
    summary = read_summary(report.data.summary or {}).summary
    if derived.ended_at is not None:
        yield "Time", from_to(derived.started_at, derived.ended_at)
    if derived.duration_seconds is not None:
        yield "Duration", spoken(derived.duration_seconds)
    if derived.people is not None:
        yield "People", _people(summary, derived.people)
    yield from use_of(derived, summary)
    if derived.cost_estimate is not None:
        yield "Cost", shown(derived.cost_estimate)
    yield from _named(summary)
    yield "Account", report.data.account_sid


def routing_of(room: Room) -> Iterator[tuple[str, str]]:
    """Where the rules sent it, if there were any."""
    if (routes := routes_of(room)) is not None:
        yield "Routed", clean(routes)


def _people(summary: RoomSummary, people: int) -> str:
    connections = summary.unique_participants
    rejoined = connections is not None and connections > people
    return f"{people} ({connections} connections)" if rejoined else str(people)


def _named(summary: RoomSummary) -> Iterator[tuple[str, str]]:
    """Fields whose values are words of Twilio's."""
    for label, value in (
        ("Type", summary.room_type),
        ("Created", summary.created_method),
        ("Ended", summary.end_reason),
        ("Media region", summary.media_region),
        ("Edge", summary.edge_location),
        ("Codecs", ", ".join(summary.codecs or ())),
        ("Processing", summary.processing_state),
    ):
        if value:
            yield label, clean(value, wording.LONGEST_NAME).replace("_", " ")


def raw_of(report: RoomReport) -> str:
    """The report as JSON; what could turn or hide text on the page is shown as its escape."""
    text = json.dumps(json.loads(report.to_json()), indent=2, ensure_ascii=False)
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    hidden = unicodedata.category(character)[0] == "C" and character != "\n"
    return json.dumps(character)[1:-1] if hidden else character
