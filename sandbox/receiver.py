"""A downstream receiver of signed reports.

It verifies as https://www.standardwebhooks.com says, with that project's own code.
"""

from __future__ import annotations

import json
import re

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from sandbox.answers import Answer
from sandbox.http import Request
from sandbox.service import Outcome, Service

ROOM_SID = re.compile(rb"RM[0-9a-fA-F]{32}")
JSON = "application/json"


class FakeReceiver(Service):
    """Every path below `/receiver` is an endpoint: 204 for what verifies, 401 for what does not."""

    def key(self, request: Request) -> str:
        return request.path

    def respond(self, request: Request, answer: Answer) -> Outcome:
        if request.method != "POST":
            return Outcome(405, b"", JSON, note="not a POST")
        refusal = self._refusal(request)
        found = ROOM_SID.search(request.body)
        outcome = Outcome(204, b"", JSON, accepted=True)
        if refusal:
            outcome = Outcome(401, json.dumps({"error": refusal}).encode(), JSON, note=refusal)
        outcome.room_sid = found.group().decode() if found else None
        outcome.message_id = request.headers.get("webhook-id")
        outcome.verified = not refusal if self._options().webhook_secrets else None
        return outcome

    def body_for(self, status: int, request: Request) -> tuple[bytes, str]:
        return (b"" if status == 204 else json.dumps({"status": status}).encode()), JSON

    def _refusal(self, request: Request) -> str:
        """Why the signature is not right; empty when any secret verifies it."""
        reason = ""
        for secret in self._options().webhook_secrets:
            try:
                Webhook(secret).verify(request.body, dict(request.headers), json_parse=False)
                return ""
            except (WebhookVerificationError, ValueError) as error:
                reason = str(error) or "malformed signature"
        return reason
