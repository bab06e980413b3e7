"""Slack, by an incoming webhook: one message for a report (`room_reports.slack_report`).

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks.
"""

from __future__ import annotations

import json
import re
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, tzinfo
from typing import Any

from config.settings import Settings
from room_reports.delivery import Delivery, Notice
from room_reports.digests import RoomDigest
from room_reports.errors import Configuration, Permanent, Transient
from room_reports.reports import RoomReport
from room_reports.slack_digest import digest_message, digest_text_message
from room_reports.slack_report import Writer, message, notice_message, text_message
from room_reports.templates import writer_of
from room_reports.transport import Response, Transport, raise_for_status

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


@dataclass
class SlackWebhook:
    """One incoming webhook, of Slack or GovSlack. `zone`: of the times in its messages, which `write` makes."""

    url: str = field(repr=False)
    _: KW_ONLY
    rate: float
    transport: Transport
    name: str = "slack"
    zone: tzinfo = UTC
    write: Writer = message

    @classmethod
    def from_settings(cls, settings: Settings, transport: Transport) -> SlackWebhook:
        """The webhook that `SLACK_WEBHOOK_URL` names."""
        assert settings.slack_webhook_url is not None
        url, write = settings.slack_webhook_url.get_secret_value(), writer_of(settings, cls.name)
        return cls(url, rate=settings.slack_rate, transport=transport, write=write)

    def send(self, report: RoomReport, delivery: Delivery) -> None:
        """Posts the message; if Slack refuses it, once more as plain text, for the news matter more than the form.

        Raises `Configuration` when the webhook is gone, `Permanent` when the plain text is refused as well.
        """
        response = self._post(self.write(report, self.zone))
        if _refuses_message(response):
            response = self._post(text_message(report, self.zone))
        _check(response)

    def send_digest(self, digest: RoomDigest, delivery: Delivery) -> None:
        """Posts the digest of a day, as plain text where its blocks are refused; raises like `send`."""
        response = self._post(digest_message(digest))
        if _refuses_message(response):
            response = self._post(digest_text_message(digest))
        _check(response)

    def notify(self, notice: Notice, delivery: Delivery) -> None:
        """Posts news of a hold."""
        _check(self._post(notice_message(notice)))

    def _post(self, payload: dict[str, Any]) -> Response:
        body = json.dumps(payload, separators=(",", ":")).encode()
        return self.transport.post(self.url, body, headers={"Content-Type": "application/json; charset=utf-8"})


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
