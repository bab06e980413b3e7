"""A report as a Slack message, readable at a glance. Pure.

Text that is not ours stands in `plain_text` objects only, see `room_reports.slack_text`; the rest is mrkdwn made of our
own words and numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, tzinfo

from room_reports.costs import shown
from room_reports.delivery import Notice
from room_reports.derived import Derived
from room_reports.ledger import is_twilio
from room_reports.report_words import from_to, use_of
from room_reports.reports import ReportData, RoomReport
from room_reports.slack_blocks import (
    LONGEST_SID,
    Block,
    Message,
    context,
    header,
    link_to,
    mrkdwn,
    plain_text,
    posted,
    section,
    section_of,
    where,
)
from room_reports.slack_text import NAMELESS, one_line, plain
from room_reports.summaries import RoomSummary, read_summary
from room_reports.verdicts import Verdict
from room_reports.words import spoken

LONGEST_HEADER = 150

LONGEST_NAME = 200
LONGEST_WORD = 40
LONGEST_VERDICT = 250
LONGEST_LINK = 2000
MOST_PROBLEMS = 3
MOST_VERDICTS = 10
"""With the lengths above they stay below the 3000 characters of a section."""

MOST_ISSUES = 5
MOST_DETAILED = 20

ORDINARY, PARTIAL, FOLLOWING = "✅", "⌛", "⏳"
MARKS = {"warning": "⚠️", "notice": "🔎"}
"""What verdicts of a severity are marked with; those of another are not shown, for most rooms have one."""
LONGEST_MARK = 2

Writer = Callable[[RoomReport, tzinfo], Message]
"""What makes a message of a report, with times in this zone: `message`, or a template."""


def message(report: RoomReport, zone: tzinfo = UTC) -> Message:
    """The Block Kit message for a report, ready to be posted. It is within Slack's limits whatever is in the report."""
    data = report.data
    summary = read_summary(data.summary or {}).summary
    gist = _Gist(data)
    blocks: list[Block] = [
        header(gist.title(LONGEST_HEADER)),
        section(mrkdwn(" · ".join([f"*{fact}*" for fact in gist.glance]))),
    ]
    if gist.verdicts:
        blocks.append(section(plain_text("\n".join(gist.verdicts))))
    for problem, error in _problems(data):
        blocks.append(context(plain_text(problem), *map(mrkdwn, error)))
    if figures := list(_figures(data.derived, summary, zone)):
        blocks.append(section_of(mrkdwn(f"*{label}*  {figure}") for label, figure in figures))
    if words := list(_words(summary)):
        blocks.append(context(plain_text(" · ".join(words))))
    blocks.append(context(mrkdwn(_where(data))))
    return posted(gist.headline(), blocks)


def templated_message(report: RoomReport, pieces: Sequence[str]) -> Message:
    """A message with a text of the operator's (mrkdwn, each piece within a section's limits) between what is ours."""
    gist = _Gist(report.data)
    blocks: list[Block] = [
        header(gist.title(LONGEST_HEADER)),
        *(section(mrkdwn(piece)) for piece in pieces),
        context(mrkdwn(_where(report.data))),
    ]
    return posted(gist.headline(), blocks)


def text_message(report: RoomReport, zone: tzinfo = UTC) -> Message:
    """The report as plain text: for a Slack that does not take our blocks."""
    data = report.data
    summary = read_summary(data.summary or {}).summary
    figures = [f"{label}: {figure}" for label, figure in _figures(data.derived, summary, zone)]
    lines = [
        _Gist(data).headline(),
        *(problem for problem, _ in _problems(data)),
        *figures,
        " · ".join(_words(summary)),
        plain(data.room_sid, LONGEST_SID),
        link_to(data.links.console, longest=LONGEST_LINK),
    ]
    return posted("\n".join(line for line in lines if line))


def provisional_message(report: RoomReport) -> Message:
    """What is known when a room has just ended, and that the report follows."""
    data = report.data
    name = one_line(data.room_name or "") or NAMELESS
    duration = data.derived.duration_seconds
    ended = f"ended after {spoken(duration)}" if duration is not None else "ended"
    blocks: list[Block] = [
        header(f"{FOLLOWING} {plain(name, LONGEST_HEADER - LONGEST_MARK - 1)}"),
        section(mrkdwn(f"*{ended}* · details follow")),
        context(mrkdwn(_where(data))),
    ]
    return posted(f"{FOLLOWING} {plain(name, LONGEST_NAME)}: {ended}, details follow", blocks)


def details_message(report: RoomReport) -> Message | None:
    """What went wrong at more length, for the thread below the report; None when nothing did."""
    data = report.data
    problems = list(_problems(data, most=MOST_DETAILED))
    if not problems and not any(verdict.severity in MARKS for verdict in data.verdicts):
        return None
    lines = [f"• {plain(verdict.text, LONGEST_VERDICT)}" for verdict in data.verdicts[:MOST_VERDICTS]]
    issues = Counter(issue.issue_type for issue in data.detected_issues or ())
    lines += [f"• Twilio detected: {plain(name, LONGEST_WORD)} ({n})" for name, n in issues.most_common(MOST_ISSUES)]
    blocks: list[Block] = [section(plain_text("\n".join(lines)))] if lines else []
    for problem, error in problems:
        blocks.append(context(plain_text(problem), *map(mrkdwn, error)))
    return posted("\n".join([*lines, *(problem for problem, _ in problems)]), blocks)


def notice_message(notice: Notice) -> Message:
    """News of a hold, for an operator."""
    lane = notice.lane
    what = f"{lane.capitalize()} is not asked for summaries" if is_twilio(lane) else f"Nothing is delivered to {lane}"
    then = "It goes on by itself once that works again." if notice.heals else f"To go on: flask rooms resume {lane}"
    lines = (f"🛑 {what} for now: {notice.detail or notice.reason}.", f"Nothing is lost. {then}")
    text = "\n".join(plain(line, LONGEST_VERDICT * 2) for line in lines)
    return posted(text, [section(plain_text(text))])


class _Gist:
    """What blocks and plain text both say first."""

    def __init__(self, data: ReportData) -> None:
        self._mark = _mark(data)
        self._name = one_line(data.room_name or "") or NAMELESS
        self.glance = list(_glance(data))
        self.verdicts = _verdict_lines(data)

    def title(self, limit: int) -> str:
        """Mark and name, in so many characters."""
        return f"{self._mark} {plain(self._name, limit - LONGEST_MARK - 1)}"

    def headline(self) -> str:
        """The message in one paragraph."""
        return "\n".join([f"{self.title(LONGEST_NAME)}: {', '.join(self.glance)}", *self.verdicts])


def _mark(data: ReportData) -> str:
    if data.completeness.state == "partial":
        return PARTIAL
    severities = {verdict.severity for verdict in data.verdicts}
    return next((mark for severity, mark in MARKS.items() if severity in severities), ORDINARY)


def _glance(data: ReportData) -> Iterator[str]:
    """How long, how many people, and whether that is all."""
    derived = data.derived
    if data.completeness.state == "partial":
        yield "partial report"
    yield "duration unknown" if derived.duration_seconds is None else spoken(derived.duration_seconds)
    yield _people(derived.people)


def _people(count: int | None) -> str:
    if count is None:
        return "people unknown"
    return {0: "nobody", 1: "1 person"}.get(count, f"{count} people")


def _verdict_lines(data: ReportData) -> list[str]:
    shown = [verdict for verdict in data.verdicts if verdict.severity in MARKS][:MOST_VERDICTS]
    lines = [f"{_mark_of(verdict)} {plain(verdict.text, LONGEST_VERDICT)}" for verdict in shown]
    # Where events alone tell of participants, some come after the report: that is no news.
    if "participants" in data.completeness.missing and not data.participants:
        lines.append(f"{PARTIAL} The participants are missing.")
    return lines


def _mark_of(verdict: Verdict) -> str:
    return PARTIAL if verdict.code == "data_incomplete" else MARKS[verdict.severity]


def _problems(data: ReportData, *, most: int = MOST_PROBLEMS) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The first participants whose connection ended as it should not: a line, and the link to Twilio's error if any."""
    for one in [one for one in data.participants or () if one.has_trouble][:most]:
        words = [
            plain(one.identity or one.participant_sid, LONGEST_WORD),
            f"left after {spoken(one.duration_sec)}" if one.duration_sec is not None else "",
            plain((one.end_reason or "").replace("_", " "), LONGEST_WORD),
            plain(one.media_region or "", LONGEST_WORD),
        ]
        link = f"<{one.error_url}|error {one.error_code}>"
        yield " · ".join(word for word in words if word), (link,) if one.error_url else ()


def _figures(derived: Derived, summary: RoomSummary, zone: tzinfo) -> Iterator[tuple[str, str]]:
    """The figures that are known, with their labels."""
    if derived.ended_at is not None:
        yield "Time", from_to(derived.started_at, derived.ended_at, zone)
    if derived.people == 0:
        return  # the rest are noughts
    yield from use_of(derived, summary)
    if derived.rejoins:
        yield "Rejoins", str(derived.rejoins)
    if derived.cost_estimate is not None:
        yield "Cost", shown(derived.cost_estimate)


def _words(summary: RoomSummary) -> Iterator[str]:
    """What kind of room it was, where, and how it came and went; values that we do not know as they were sent."""
    for name, phrase in _PHRASES.items():
        value = getattr(summary, name)
        word = plain(_KNOWN.get(f"{name} {value}") or phrase.format(value), LONGEST_WORD) if value else ""
        if word:
            yield word
    if codecs := plain(", ".join(summary.codecs or ()), LONGEST_WORD):
        yield codecs


_PHRASES = {
    "room_type": "{}",
    "media_region": "{}",
    "edge_location": "{}",
    "created_method": "created: {}",
    "end_reason": "ended: {}",
}
_KNOWN = {
    "room_type group_small": "small group",
    "room_type peer_to_peer": "peer-to-peer",
    "edge_location sao_paulo": "são paulo",
    "created_method api": "created by API",
    "created_method sdk": "created by SDK",
    "created_method ad_hoc": "created ad hoc",
    "end_reason room_ended_via_api": "closed by API",
    "end_reason timeout": "ended by timeout",
}


def _where(data: ReportData) -> str:
    return " · ".join(where(data.room_sid, data.links.console, longest=LONGEST_LINK))
