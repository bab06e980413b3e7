"""Slack, by an incoming webhook: one message for a report, readable at a glance.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks. Text that is not ours stands in `plain_text`
objects only, see `room_reports.slack_text`; the rest is mrkdwn made of our own words and numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from slack_sdk.models.blocks import (
    Block,
    ContextBlock,
    HeaderBlock,
    MarkdownTextObject,
    PlainTextObject,
    SectionBlock,
)

from config.settings import Settings
from room_reports.errors import Configuration, Permanent, Transient
from room_reports.reports import Derived, ReportData, RoomReport
from room_reports.slack_text import one_line, plain
from room_reports.summaries import RoomSummary, read_summary
from room_reports.transport import Response, Transport, raise_for_status
from room_reports.verdicts import Verdict

if TYPE_CHECKING:
    from room_reports.destinations import Delivery, Notice

# https://docs.slack.dev/reference/block-kit/blocks
LONGEST_HEADER = 150

LONGEST_NAME = 200
LONGEST_WORD = 40
LONGEST_VERDICT = 250
LONGEST_LINK = 2000
MOST_VERDICTS = 10
"""With the lengths above they stay below the 3000 characters of a section."""

ORDINARY, PARTIAL = "✅", "⌛"
MARKS = {"warning": "⚠️", "notice": "🔎"}
"""What verdicts of a severity are marked with; those of another are not shown, for most rooms have one."""

REFUSING = (401, 403, 404, 410)
GONE = frozenset(
    {
        "action_prohibited",
        "channel_is_archived",
        "channel_not_found",
        "invalid_token",
        "no_active_hooks",
        "no_service",
        "no_service_id",
        "no_team",
        "posting_to_general_channel_denied",
        "team_disabled",
        "user_not_found",
    }
)
"""Slack's words for a webhook, channel or workspace that takes no message, whatever is in it."""


class SlackWebhook:
    """One incoming webhook, of Slack or GovSlack."""

    name = "slack"

    def __init__(self, url: str, *, rate: float, transport: Transport) -> None:
        self.rate = rate
        self._url = url
        self._transport = transport

    @staticmethod
    def rate_in(settings: Settings) -> float | None:
        """`SLACK_RATE`, None without `SLACK_WEBHOOK_URL`."""
        return settings.slack_rate if settings.slack_webhook_url is not None else None

    @classmethod
    def from_settings(cls, settings: Settings, transport: Transport) -> SlackWebhook:
        """The webhook that `SLACK_WEBHOOK_URL` names."""
        assert settings.slack_webhook_url is not None
        return cls(settings.slack_webhook_url.get_secret_value(), rate=settings.slack_rate, transport=transport)

    def send(self, report: RoomReport, delivery: Delivery) -> None:
        """Posts the message; if Slack refuses it, once more as plain text, for the news matter more than the form.

        Raises `Configuration` when the webhook is gone, `Permanent` when the plain text is refused as well.
        """
        response = self._post(message(report))
        if _refuses_message(response):
            response = self._post(text_message(report))
        _check(response)

    def notify(self, notice: Notice, delivery: Delivery) -> None:
        """Posts news of a hold."""
        _check(self._post(notice_message(notice)))

    def _post(self, payload: dict[str, Any]) -> Response:
        body = json.dumps(payload, separators=(",", ":")).encode()
        return self._transport.post(self._url, body, headers={"Content-Type": "application/json; charset=utf-8"})


def _refuses_message(response: Response) -> bool:
    return response.status == 400 and _word(response) not in GONE


def _check(response: Response) -> None:
    """Slack has taken a message when it says 200 and `ok`. It has no other success, and no redirect."""
    word = _word(response)
    if response.status in REFUSING or (400 <= response.status < 500 and word in GONE):
        reason = "unauthorized" if response.status in (401, 403) else "gone"
        raise Configuration(reason, f"Slack answered {response.status} {word}".rstrip(), heals=False)
    if response.status == 400:
        raise Permanent("invalid_payload", f"Slack refuses the message, even as plain text {word}".rstrip())
    raise_for_status(response)
    if response.status != 200 or response.body.strip() != b"ok":
        raise Transient("bad_body", f"Slack answered {response.status} without its ok")


def _word(response: Response) -> str:
    """What Slack calls the problem: its error bodies are one word. Empty for anything else."""
    text = response.body[:64].decode("ascii", "replace").strip()
    return text if re.fullmatch(r"[a-z_]{2,50}", text) else ""


def message(report: RoomReport) -> dict[str, Any]:
    """The Block Kit message for a report, ready to be posted. It is within Slack's limits whatever is in the report."""
    data = report.data
    summary = read_summary(data.summary or {}).summary
    blocks: list[Block] = [HeaderBlock(text=_plain_text(plain(f"{_mark(data)} {_name(data)}", LONGEST_HEADER)))]
    blocks.append(SectionBlock(text=_mrkdwn(" · ".join(f"*{fact}*" for fact in _glance(data)))))
    if verdicts := _verdict_lines(data):
        blocks.append(SectionBlock(text=_plain_text("\n".join(verdicts))))
    if fields := list(_figures(data.derived, summary)):
        blocks.append(SectionBlock(fields=[_mrkdwn(f"*{label}*  {figure}") for label, figure in fields]))
    if words := list(_words(summary)):
        blocks.append(ContextBlock(elements=[_plain_text(" · ".join(words))]))
    blocks.append(ContextBlock(elements=[_mrkdwn(" · ".join(_where(data)))]))
    return {**_text(_headline(data)), "blocks": [block.to_dict() for block in blocks]}


def text_message(report: RoomReport) -> dict[str, Any]:
    """The report as plain text: for a Slack that does not take our blocks."""
    data = report.data
    summary = read_summary(data.summary or {}).summary
    figures = [f"{label}: {figure}" for label, figure in _figures(data.derived, summary)]
    lines = [_headline(data), *figures, " · ".join(_words(summary)), plain(data.room_sid, LONGEST_WORD), _link(data)]
    return _text("\n".join(line for line in lines if line))


def notice_message(notice: Notice) -> dict[str, Any]:
    """News of a hold, for an operator."""
    lane = notice.lane
    what = "Twilio is not asked for summaries" if lane == "twilio" else f"Nothing is delivered to {lane}"
    then = "It goes on by itself once that works again." if notice.heals else f"To go on: flask rooms resume {lane}"
    lines = (f"🛑 {what} for now: {notice.detail or notice.reason}.", f"Nothing is lost. {then}")
    text = "\n".join(plain(line, LONGEST_VERDICT * 2) for line in lines)
    return {**_text(text), "blocks": [SectionBlock(text=_plain_text(text)).to_dict()]}


def _text(text: str) -> dict[str, Any]:
    """What every payload has: the text for notifications, read as plain text, and nothing unfolded below."""
    return {"text": text, "mrkdwn": False, "parse": "none", "unfurl_links": False, "unfurl_media": False}


def _plain_text(text: str) -> PlainTextObject:
    return PlainTextObject(text=text, emoji=False)


def _mrkdwn(text: str) -> MarkdownTextObject:
    # Verbatim: what looks like a URL or a channel stays text.
    return MarkdownTextObject(text=text, verbatim=True)


def _mark(data: ReportData) -> str:
    if data.completeness.state == "partial":
        return PARTIAL
    severities = {verdict.severity for verdict in data.verdicts}
    return next((mark for severity, mark in MARKS.items() if severity in severities), ORDINARY)


def _name(data: ReportData) -> str:
    return one_line(data.room_name or "") or "(room without a name)"


def _headline(data: ReportData) -> str:
    """The message in one paragraph."""
    name = plain(f"{_mark(data)} {_name(data)}", LONGEST_NAME)
    return "\n".join([f"{name}: {', '.join(_glance(data))}", *_verdict_lines(data)])


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
    return [f"{_mark_of(verdict)} {plain(verdict.text, LONGEST_VERDICT)}" for verdict in shown]


def _mark_of(verdict: Verdict) -> str:
    return PARTIAL if verdict.code == "data_incomplete" else MARKS[verdict.severity]


def _figures(derived: Derived, summary: RoomSummary) -> Iterator[tuple[str, str]]:
    """The figures that are known, with their labels."""
    if derived.ended_at is not None:
        yield "Time", span(derived.started_at, derived.ended_at)
    if derived.people == 0:
        return  # the rest are noughts
    if (peak := derived.peak).concurrent is not None:
        yield "Peak", f"{peak.concurrent} at once" + (f", {peak.limit} allowed" if peak.limit is not None else "")
    if derived.participant_minutes is not None:
        yield "Participant time", spoken(round(derived.participant_minutes * 60))
    if derived.average_stay_seconds is not None:
        yield "Average stay", spoken(round(derived.average_stay_seconds))
    if summary.recording_enabled is False and not derived.recorded_minutes:
        yield "Recorded", "off"
    elif derived.recorded_minutes is not None:
        yield "Recorded", spoken(round(derived.recorded_minutes * 60)) if derived.recorded_minutes else "nothing"
    if derived.rejoins:
        yield "Rejoins", str(derived.rejoins)


def spoken(seconds: int) -> str:
    """A duration as people say it, in its two largest units."""
    if seconds < 60:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min"


def span(start: datetime | None, end: datetime) -> str:
    """From when to when, in UTC; the date once where one is enough."""
    end = end.astimezone(UTC)
    if start is None:
        return f"until {end:%Y-%m-%d %H:%M} UTC"
    start = start.astimezone(UTC)
    if start.date() == end.date():
        return f"{end:%Y-%m-%d} {start:%H:%M}–{end:%H:%M} UTC"  # noqa: RUF001 - a dash between two times
    return f"{start:%Y-%m-%d %H:%M} – {end:%Y-%m-%d %H:%M} UTC"  # noqa: RUF001


def _words(summary: RoomSummary) -> Iterator[str]:
    """What kind of room it was, where, and how it came and went; values that we do not know as they were sent."""
    for name, phrase in _PHRASES.items():
        value = getattr(summary, name)
        if value:
            yield plain(_KNOWN.get(f"{name} {value}") or phrase.format(value), LONGEST_WORD)
    if summary.codecs:
        yield plain(", ".join(summary.codecs), LONGEST_WORD)


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


def _where(data: ReportData) -> Sequence[str]:
    """The SID, ready to be copied, and the link. Both are checked values of ours, not text of the application."""
    sid = f"`{plain(data.room_sid, LONGEST_WORD).replace('`', '')}`"
    link = _link(data)
    return (sid, f"<{link}|Open in Twilio Console>") if link else (sid,)


def _link(data: ReportData) -> str:
    """The link to the Console, escaped; empty if the template makes it no URL that Slack takes."""
    url = data.links.console.replace("|", "%7C")
    link = plain(url, LONGEST_LINK)
    return "" if " " in link or link.endswith("…") else link
