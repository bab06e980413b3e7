"""A fake Slack incoming webhook: takes what Slack takes, refuses what Slack refuses, in Slack's words.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from sandbox.answers import Answer
from sandbox.http import Request
from sandbox.messages import refusal
from sandbox.options import Options
from sandbox.receiver import ROOM_SID
from sandbox.service import Outcome, Service

TEXT = "text/plain; charset=utf-8"
WEBHOOK = re.compile(r"/slack/services/T[A-Z0-9]+/B[A-Z0-9]+/\w+")
BODIES = {
    400: b"invalid_payload",
    403: b"action_prohibited",
    404: b"no_service",
    405: b"method_not_allowed",
    410: b"channel_is_archived",
    429: b"rate_limited",
    500: b"rollup_error",
}


class FakeSlack(Service):
    """Every `/slack/services/T…/B…/…` is the webhook of a channel of its own, as far as the rate goes."""

    def __init__(self, options: Callable[[], Options]) -> None:
        super().__init__(options)
        self._buckets: dict[str, tuple[float, float]] = {}

    def reset(self) -> None:
        super().reset()
        self._buckets = {}

    def key(self, request: Request) -> str:
        return request.path

    def respond(self, request: Request, answer: Answer) -> Outcome:
        outcome = self._judge(request)
        found = ROOM_SID.search(request.body)
        outcome.room_sid = found.group().decode() if found else None
        return outcome

    def body_for(self, status: int, request: Request) -> tuple[bytes, str]:
        return (b"ok" if 200 <= status < 300 else BODIES.get(status, b"")), TEXT

    def _judge(self, request: Request) -> Outcome:
        if not WEBHOOK.fullmatch(request.path):
            return _refused(404, "no_service", "no such webhook")
        if request.method != "POST":
            return _refused(405, "method_not_allowed", "not a POST")
        if wait := self._overdrawn(request.path, request.at):
            outcome = _refused(429, "rate_limited", "over the rate")
            outcome.headers = {"Retry-After": str(math.ceil(wait))}
            return outcome
        if problem := refusal(_payload(request)):
            return _refused(400, problem.error, problem.detail)
        return Outcome(200, b"ok", TEXT, accepted=True)

    def _overdrawn(self, path: str, now: float) -> float:
        """Seconds until this webhook takes another message; 0 when it takes this one."""
        rate, burst = self._options().slack_rate, self._options().slack_burst
        if not rate:
            return 0.0
        level, since = self._buckets.get(path, (float(burst), now))
        level = min(float(burst), level + (now - since) * rate)
        if level < 1:
            return (1 - level) / rate
        self._buckets[path] = (level - 1, now)
        return 0.0


def _payload(request: Request) -> Any:
    """The message of a request, JSON or the older form field `payload`; None when it is neither."""
    text = request.body
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        text = parse_qs(text.decode("utf-8", "replace")).get("payload", [""])[0].encode()
    try:
        return json.loads(text)
    except ValueError:
        return None


def _refused(status: int, error: str, detail: str) -> Outcome:
    return Outcome(status, error.encode(), TEXT, note=f"{error}: {detail}")
