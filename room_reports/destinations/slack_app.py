"""Slack, by an app of one's own: a message when the room ends, edited into the report, its problems in the thread.

https://docs.slack.dev/reference/methods/chat.postMessage, chat.update, conversations.history, conversations.replies.
Slack has no key that makes a repeated post harmless. So every message carries metadata that says which room it is
about; and where an earlier attempt may have sent one that is not noted, the channel is searched before another is
posted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any, Literal

from config.settings import Settings
from room_reports import faults
from room_reports.delivery import Delivery, Notice
from room_reports.digests import RoomDigest
from room_reports.errors import Permanent
from room_reports.faults import Point
from room_reports.reports import RoomReport
from room_reports.slack_api import NoSuchMessage, SlackApi, Unacceptable
from room_reports.slack_digest import digest_message, digest_text_message
from room_reports.slack_report import (
    Writer,
    details_message,
    message,
    notice_message,
    provisional_message,
    text_message,
)
from room_reports.templates import writer_of
from room_reports.transport import Transport

EVENT_TYPE = "room_report"
MARGIN = 600.0
"""Seconds that Slack's clock may be behind Redis's."""

PAGE = "200"
"""Messages that are read at once, as many as Slack recommends."""

EDITABLE = ("text", "blocks", "parse", "metadata")
"""What chat.update takes of a message."""

Part = Literal["report", "details"]
Payload = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a message stands."""

    channel: str
    ts: str


@dataclass(kw_only=True)
class SlackApp:
    """One channel, by its ID, in which the app is a member. `seconds`: in which an attempt may begin requests.

    `zone`: of the times in its messages; `write` makes that of a report.
    """

    url: str
    token: str = field(repr=False)
    channel: str
    rate: float
    seconds: float
    transport: Transport
    name: str = "slack_app"
    zone: tzinfo = UTC
    write: Writer = message

    @classmethod
    def from_settings(cls, settings: Settings, transport: Transport) -> SlackApp:
        """The channel that `SLACK_CHANNEL` names, with the token of `SLACK_BOT_TOKEN`."""
        assert settings.slack_bot_token is not None and settings.slack_channel is not None
        return cls(
            url=settings.slack_api_url,
            token=settings.slack_bot_token.get_secret_value(),
            channel=settings.slack_channel,
            rate=settings.slack_rate,
            seconds=settings.http_total_timeout,
            transport=transport,
            write=writer_of(settings, cls.name),
        )

    def send(self, report: RoomReport, delivery: Delivery) -> Mapping[str, str]:
        """Posts the provisional message, or edits it into the report (without one that is posted) and adds the thread.

        Returns where the messages stand. Raises `Configuration` when token or channel do not work, `Permanent` when
        Slack refuses the report as plain text too.
        """
        api = self._api(delivery)
        if delivery.is_provisional:
            place = next(self._known(api, report, delivery), None)
            if place is None:
                place = self._post(api, self._form(report, "report", provisional_message(report)))
            return vars(place)
        try:
            place = self._place(api, report, delivery, self.write(report, self.zone))
        except Unacceptable:
            place = self._place(api, report, delivery, text_message(report, self.zone))
        faults.reach(Point.MESSAGE_SENT)
        thread = self._discuss(api, report, delivery, place)
        return {**vars(place), **({"thread": thread} if thread else {})}

    def send_digest(self, digest: RoomDigest, delivery: Delivery) -> None:
        """Posts the digest of a day, as plain text where its blocks are refused; raises like `send`."""
        api = self._api(delivery)
        try:
            api.post("chat.postMessage", {"channel": self.channel, **digest_message(digest)})
        except Unacceptable:
            api.post("chat.postMessage", {"channel": self.channel, **digest_text_message(digest)})

    def notify(self, notice: Notice, delivery: Delivery) -> None:
        """Posts news of a hold."""
        self._api(delivery).post("chat.postMessage", {"channel": self.channel, **notice_message(notice)})

    def _api(self, delivery: Delivery) -> SlackApi:
        """Slack, until an attempt that might follow this one could look for what this one has sent."""
        end = delivery.asked + self.seconds
        return SlackApi(self.transport, url=self.url, token=self.token, end=end)

    def _form(self, report: RoomReport, part: Part, payload: Payload) -> Payload:
        """A message with what it is found by."""
        return {**payload, "metadata": {"event_type": EVENT_TYPE, "event_payload": self._about(report, part)}}

    def _about(self, report: RoomReport, part: Part) -> dict[str, str]:
        """What a message is found by. Of several destinations with one channel each has a message of its own."""
        about = {"room_sid": report.data.room_sid, "part": part}
        return about if self.name == SlackApp.name else {**about, "destination": self.name}

    def _place(self, api: SlackApi, report: RoomReport, delivery: Delivery, payload: Payload) -> Place:
        """Has the room's message be this one: the one that is there is edited, else it is posted."""
        form = self._form(report, "report", payload)
        for place in self._known(api, report, delivery):
            try:
                self._edit(api, place, form)
            except NoSuchMessage:
                continue  # somebody has deleted it
            return place
        return self._post(api, form)

    def _known(self, api: SlackApi, report: RoomReport, delivery: Delivery) -> Iterator[Place]:
        """Where the room's message may stand: where it is noted, then wherever else one is found."""
        ts = delivery.noted.get("ts")
        if ts:
            yield Place(delivery.noted.get("channel", self.channel), ts)
        elif delivery.is_certain:
            return
        oldest = f"{delivery.since.timestamp() - MARGIN:.6f}" if delivery.since else "0"
        found = self._search(api, "conversations.history", report, "report", {"oldest": oldest})
        yield from (Place(self.channel, other) for other in found if other != ts)

    def _discuss(self, api: SlackApi, report: RoomReport, delivery: Delivery, place: Place) -> str | None:
        """Says in the thread what went wrong, if anything did. Returns the reply's `ts`."""
        known = delivery.noted.get("thread") if delivery.noted.get("ts") == place.ts else None
        payload = details_message(report)
        if payload is None:
            return known
        form = self._form(report, "details", payload)
        if known is None and not delivery.is_certain:
            known = next(self._search(api, "conversations.replies", report, "details", vars(place)), None)
        try:
            if known is not None:
                self._edit(api, Place(place.channel, known), form)
                return known
            return self._post(api, {**form, "thread_ts": place.ts}, channel=place.channel).ts
        except Permanent:
            return known  # the report is there, which is what matters

    def _search(
        self, api: SlackApi, method: str, report: RoomReport, part: Part, where: Mapping[str, str]
    ) -> Iterator[str]:
        """The `ts` of each message about this room, page by page."""
        about = self._about(report, part)
        arguments = {"channel": self.channel, **where, "limit": PAGE, "include_all_metadata": "true"}
        while True:
            answer = api.get(method, arguments)
            for found in answer.get("messages") or ():
                metadata = found.get("metadata") or {}
                if metadata.get("event_type") == EVENT_TYPE and metadata.get("event_payload") == about:
                    yield str(found["ts"])
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return
            arguments["cursor"] = str(cursor)

    def _post(self, api: SlackApi, form: Payload, *, channel: str | None = None) -> Place:
        answer = api.post("chat.postMessage", {"channel": channel or self.channel, **form})
        return Place(str(answer["channel"]), str(answer["ts"]))

    def _edit(self, api: SlackApi, place: Place, form: Payload) -> None:
        """Replaces a message. An empty list takes away the blocks that it had."""
        kept = {name: form[name] for name in EDITABLE if name in form}
        api.post("chat.update", {**vars(place), "blocks": [], **kept})
