"""What an operator should notice about a room: named rules over callback, summary, participants and detected issues.

A rule that needs a figure says nothing when the figure is missing, and none reads a nought out of a summary that Twilio
had not completed: a verdict is either right or absent. From how much on a rule speaks is in `config.thresholds`. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, get_args

from pydantic import BaseModel, Field

from config.thresholds import Thresholds
from room_reports.callbacks import StatusCallback
from room_reports.summaries import Reading, RoomSummary, spelling, unfamiliar
from room_reports.troubles import Troubles
from room_reports.words import spoken

Severity = Literal["info", "notice", "warning"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""Least first."""

USUAL_THRESHOLDS = Thresholds()

LEAST_FOR_USUAL = 5
"""Earlier rooms of a name, before anything is called usual for it."""

MOST_NAMED = 5
"""Fields that a sentence names."""

MOST_ISSUES = 3


class Verdict(BaseModel, frozen=True):
    """One line that says what an operator should notice about the room."""

    code: str = Field(description="Stable name of the rule.")
    severity: Severity = Field(
        description="`info`: for the record; `notice`: worth a look; `warning`: something is likely wrong."
    )
    text: str = Field(description="One sentence for people. It holds no text of the application, such as names.")


@dataclass(frozen=True)
class Facts:
    """What the rules judge by.

    `complete`: Twilio will add nothing more to the summary; `duration`: seconds, by the summary or else the callback;
    `usual`: the duration that is usual for rooms of this name, in seconds. None for what is not known.
    """

    callback: StatusCallback | None
    reading: Reading
    has_summary: bool
    complete: bool
    reason: str | None
    duration: int | None = None
    usual: float | None = None
    troubles: Troubles | None = None
    thresholds: Thresholds = USUAL_THRESHOLDS

    @property
    def summary(self) -> RoomSummary:
        """The summary, typed; without any value when there is none."""
        return self.reading.summary


@dataclass(frozen=True)
class Rule:
    """A rule: the sentence it has to say about a room, or None.

    For the documentation: `meaning`, and the `thresholds` that it goes by.
    """

    code: str
    severity: Severity
    meaning: str
    judge: Callable[[Facts], str | None]
    thresholds: tuple[str, ...] = ()


def judge(facts: Facts) -> tuple[Verdict, ...]:
    """Every verdict on a room, in the order of `RULES`."""
    found = []
    for rule in RULES:
        if text := rule.judge(facts):
            found.append(Verdict(code=rule.code, severity=rule.severity, text=text))
    return tuple(found)


def usual_of(lengths: Sequence[int]) -> float | None:
    """What is usual of these durations: the one in the middle, which a test call or a forgotten room does not move."""
    return float(median(lengths)) if len(lengths) >= LEAST_FOR_USUAL else None


def people(summary: RoomSummary) -> int | None:
    """How many people came: identities, or connections where Twilio does not tell them apart."""
    count = summary.unique_participant_identities
    return summary.unique_participants if count is None else count


def _data_incomplete(facts: Facts) -> str | None:
    if facts.complete:
        return None
    why = _WHY_INCOMPLETE.get(facts.reason or "", "Twilio could not be reached")
    known = "what it had so far is shown" if facts.has_summary else "only the callback is known"
    return f"Incomplete data: {why}; {known}."


_WHY_INCOMPLETE = {
    "not_ready": "Twilio had not completed the summary in time",
    "gone": "Twilio no longer has the summary",
    "unauthorized": "Twilio refused the credentials",
    "rejected": "Twilio refused the request",
    "rate_limited": "Twilio kept asking us to slow down",
    "wrong_room": "Twilio answered about another room",
    "bad_body": "Twilio's answers were not readable",
    "internal": "this service failed, see its log",
}


def _nobody_came(facts: Facts) -> str | None:
    return "Nobody came." if facts.complete and people(facts.summary) == 0 else None


def _single_participant(facts: Facts) -> str | None:
    return "Only one person came." if facts.complete and people(facts.summary) == 1 else None


def _at_capacity(facts: Facts) -> str | None:
    peak, limit = facts.summary.concurrent_participants, facts.summary.max_participants
    if peak is None or limit is None or limit <= 0 or peak < limit * facts.thresholds.at_capacity_share:
        return None
    return f"The room was {'full' if peak >= limit else 'nearly full'}: {peak} at once, {limit} allowed."


def _many_rejoins(facts: Facts) -> str | None:
    connections, identities = facts.summary.unique_participants, facts.summary.unique_participant_identities
    if not facts.complete or not connections or not identities:
        return None
    rejoins, thresholds = connections - identities, facts.thresholds
    if rejoins < max(thresholds.many_rejoins, thresholds.many_rejoins_share * identities):
        return None
    return f"Many rejoins: {'1 person' if identities == 1 else f'{identities} people'} connected {connections} times."


def _abnormal_disconnects(facts: Facts) -> str | None:
    troubles, thresholds = facts.troubles, facts.thresholds
    if troubles is None:
        return None
    count, total = troubles.broken_off, troubles.connections
    if count < max(thresholds.abnormal_disconnects, thresholds.abnormal_disconnects_share * total):
        return None
    return f"{count} of {total} connections broke off." if total > 1 else "The only connection broke off."


def _media_errors(facts: Facts) -> str | None:
    troubles = facts.troubles
    if troubles is None:
        return None
    count = troubles.media_lost + sum(times for _, times in troubles.issues)
    if count < facts.thresholds.media_errors:
        return None
    lost = [f"{troubles.media_lost} lost their media connection"] if troubles.media_lost else []
    issues = [f"{name} ({times})" for name, times in troubles.issues[:MOST_ISSUES]]
    more = [f"{len(troubles.issues) - MOST_ISSUES} more kinds"] if len(troubles.issues) > MOST_ISSUES else []
    return f"Media trouble: {', '.join(lost + issues + more)}."


def _shorter_than_usual(facts: Facts) -> str | None:
    duration, usual, thresholds = facts.duration, facts.usual, facts.thresholds
    if duration is None or usual is None or usual - duration < max(thresholds.unusual_seconds, 1):
        return None
    return _unusual(duration, usual) if duration <= usual * thresholds.shorter_than_usual_share else None


def _longer_than_usual(facts: Facts) -> str | None:
    duration, usual, thresholds = facts.duration, facts.usual, facts.thresholds
    if duration is None or usual is None or duration - usual < max(thresholds.unusual_seconds, 1):
        return None
    return _unusual(duration, usual) if duration >= usual * thresholds.longer_than_usual_times else None


def _unusual(duration: int, usual: float) -> str:
    return f"It lasted {spoken(duration)}; rooms of this name usually last {spoken(round(usual))}."


def _nothing_recorded(facts: Facts) -> str | None:
    summary = facts.summary
    if not facts.complete or not summary.recording_enabled or people(summary) == 0:
        return None
    return "Recording was on, but nothing was recorded." if summary.total_recording_duration_sec == 0 else None


def _ended_by_timeout(facts: Facts) -> str | None:
    return "Nobody closed the room: it ended by timeout." if facts.summary.end_reason == "timeout" else None


def _sources_disagree(facts: Facts) -> str | None:
    if facts.callback is None:
        return None
    found = list(_disagreements(facts.callback, facts.summary, facts.thresholds))
    return f"Callback and summary disagree on {', '.join(found)}." if found else None


def _disagreements(callback: StatusCallback, summary: RoomSummary, thresholds: Thresholds) -> Iterator[str]:
    if _differ(callback.room_name, summary.room_name):
        yield "the name"
    if _differ(spelling(callback.room_status), spelling(summary.room_status)):
        yield "the status"
    if _differ(spelling(callback.room_type), spelling(summary.room_type)):
        yield "the type"
    ours, theirs = callback.room_duration, summary.duration_sec
    if ours is not None and theirs is not None and abs(ours - theirs) > thresholds.sources_disagree_seconds:
        yield f"the duration ({ours} s against {theirs} s)"
    if callback.timestamp is not None and summary.end_time is not None:
        apart = abs((callback.timestamp - summary.end_time).total_seconds())
        if apart > thresholds.sources_disagree_end_seconds:
            yield f"the end ({apart:.0f} s apart)"


def _differ(one: str | None, other: str | None) -> bool:
    return bool(one) and bool(other) and one != other


def _end_before_start(facts: Facts) -> str | None:
    summary = facts.summary
    if summary.duration_sec is not None and summary.duration_sec < 0:
        return "The duration is negative."
    if summary.create_time is None or summary.end_time is None or summary.create_time <= summary.end_time:
        return None
    return "The room ends before it starts."


def _no_duration(facts: Facts) -> str | None:
    return "The room lasted no time at all." if facts.summary.duration_sec == 0 else None


def _unreadable_data(facts: Facts) -> str | None:
    if not facts.reading.unreadable:
        return None
    return f"Not readable, so left out of the figures: {', '.join(facts.reading.unreadable)}."


def _unfamiliar_data(facts: Facts) -> str | None:
    names = [name if len(name) <= 40 else f"{name[:39]}…" for name in unfamiliar(facts.summary)]
    if not names:
        return None
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"Twilio sent what its documentation does not list: {', '.join(names[:MOST_NAMED])}{more}."


RULES = (
    Rule("data_incomplete", "warning", "The summary was not complete when the report was made.", _data_incomplete),
    Rule("nobody_came", "notice", "The room ended without anybody having joined.", _nobody_came),
    Rule("single_participant", "notice", "One person came and nobody else.", _single_participant),
    Rule(
        "at_capacity",
        "warning",
        "As many people at once as the room allows, or nearly as many.",
        _at_capacity,
        ("at_capacity_share",),
    ),
    Rule(
        "many_rejoins",
        "notice",
        "People left and came back: connections beyond one for each identity.",
        _many_rejoins,
        ("many_rejoins", "many_rejoins_share"),
    ),
    Rule(
        "abnormal_disconnects",
        "notice",
        "Connections ended with an error, or for a reason that names one. Needs the participants.",
        _abnormal_disconnects,
        ("abnormal_disconnects", "abnormal_disconnects_share"),
    ),
    Rule(
        "media_errors",
        "warning",
        "Connections ended with a media error, or Twilio detected severe issues. Needs the participants or an event.",
        _media_errors,
        ("media_errors",),
    ),
    Rule("nothing_recorded", "warning", "Recording was enabled, people came, no second was kept.", _nothing_recorded),
    Rule(
        "shorter_than_usual",
        "notice",
        "Much shorter than is usual for rooms of this name. Needs `USUAL_DURATIONS`.",
        _shorter_than_usual,
        ("shorter_than_usual_share", "unusual_seconds"),
    ),
    Rule(
        "longer_than_usual",
        "notice",
        "Much longer than is usual for rooms of this name. Needs `USUAL_DURATIONS`.",
        _longer_than_usual,
        ("longer_than_usual_times", "unusual_seconds"),
    ),
    Rule("ended_by_timeout", "info", "The room was not closed, it ran out.", _ended_by_timeout),
    Rule(
        "sources_disagree",
        "warning",
        "Callback and summary differ in name, status, type, duration or end.",
        _sources_disagree,
        ("sources_disagree_seconds", "sources_disagree_end_seconds"),
    ),
    Rule("end_before_start", "warning", "The end is before the start, or the duration negative.", _end_before_start),
    Rule("no_duration", "notice", "The duration is 0.", _no_duration),
    Rule("unreadable_data", "warning", "Fields hold a type they should not; `summary` has them raw.", _unreadable_data),
    Rule("unfamiliar_data", "info", "Fields or values that Twilio does not document.", _unfamiliar_data),
)
"""Every rule, in the order in which verdicts are shown."""

SEVERITY_OF: Mapping[str, Severity] = {rule.code: rule.severity for rule in RULES}
"""By the code of a verdict."""
