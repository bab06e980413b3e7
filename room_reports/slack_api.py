"""Slack's Web API: one method called, its answer or one of `room_reports.errors`.

Slack says nearly everything with status 200 and a body that is `{"ok": false, "error": WORD}`; words are an open set.
https://docs.slack.dev/apis/web-api
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from room_reports.errors import Configuration, Permanent, Transient
from room_reports.transport import Response, Transport, parse_retry_after, raise_for_status

REFUSING = (401, 403, 404, 410)

UNAUTHORISED = frozenset(
    {
        "access_denied",
        "account_inactive",
        "ekm_access_denied",
        "enterprise_is_restricted",
        "invalid_auth",
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "not_authed",
        "org_login_required",
        "team_access_not_granted",
        "token_expired",
        "token_revoked",
        "two_factor_setup_required",
    }
)
"""The token is wrong, or may not do this."""

GONE = frozenset(
    {
        "channel_not_found",
        "is_archived",
        "messages_tab_disabled",
        "method_not_supported_for_channel_type",
        "not_in_channel",
        "restricted_action",
        "restricted_action_non_threadable_channel",
        "restricted_action_read_only_channel",
        "restricted_action_thread_locked",
        "restricted_action_thread_only_channel",
        "team_not_found",
    }
)
"""The channel is not there for us."""

BUSY = frozenset({"message_limit_exceeded", "rate_limited", "ratelimited"})

FAILING = frozenset(
    {
        "external_channel_migrating",
        "fatal_error",
        "internal_error",
        "request_timeout",
        "service_unavailable",
        "team_added_to_org",
    }
)
"""Slack itself has trouble."""

UNACCEPTABLE = frozenset(
    {
        "attachment_payload_limit_exceeded",
        "block_mismatch",
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_metadata_format",
        "invalid_metadata_schema",
        "metadata_must_be_sent_from_app",
        "metadata_too_large",
        "msg_blocks_too_long",
        "msg_too_long",
        "no_text",
        "too_many_attachments",
    }
)
"""It is the message that is refused."""

NO_SUCH_MESSAGE = frozenset(
    {
        "cannot_reply_to_message",
        "cant_update_message",
        "edit_window_closed",
        "message_not_found",
        "thread_not_found",
    }
)
"""The message that is spoken of has been deleted, or is not ours to edit."""

SCOPES = frozenset({"chat:write", "metadata.message:read"})
"""What a token must be allowed, beside reading the history of its channel (`channels:history` or `groups:history`)."""

USUAL_PAUSE = 30.0
"""Seconds to stay away where Slack does not say for how long."""


class Unacceptable(Permanent):
    """Slack refuses the message itself."""


class NoSuchMessage(Permanent):
    """The message that was to be edited or answered is not there, or is not ours."""


class SlackApi:
    """The methods, for the time of one attempt: no request begins after `end`, by the monotonic clock."""

    def __init__(self, transport: Transport, *, url: str, token: str, end: float) -> None:
        self._transport = transport
        self._url = url
        self._token = token
        self._end = end

    def post(self, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Calls a method that writes. Raises `Failure`; all the same it may have been done."""
        self._check_time()
        body = json.dumps(arguments, separators=(",", ":")).encode()
        headers = {**self._headers(), "Content-Type": "application/json; charset=utf-8"}
        return answer_of(self._transport.post(f"{self._url}/{method}", body, headers=headers))

    def get(self, method: str, arguments: Mapping[str, str]) -> dict[str, Any]:
        """Calls a method that reads."""
        self._check_time()
        return answer_of(self._transport.get(f"{self._url}/{method}?{urlencode(arguments)}", headers=self._headers()))

    def test(self) -> tuple[dict[str, Any], frozenset[str] | None]:
        """Who the token is, and its scopes; None where Slack does not name them. Changes nothing."""
        self._check_time()
        response = self._transport.post(f"{self._url}/auth.test", b"", headers=self._headers())
        named = response.headers.get("X-OAuth-Scopes")
        scopes = frozenset(scope.strip() for scope in named.split(",")) if named else None
        return answer_of(response), scopes

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    def _check_time(self) -> None:
        if time.monotonic() >= self._end:
            raise Transient("timeout", "Slack was too slow for another request in this attempt")


def answer_of(response: Response) -> dict[str, Any]:
    """The body of an answer that says ok. Raises `Failure` for any other."""
    raise_for_status(response, heals=REFUSING)
    try:
        answer = json.loads(response.body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or response.status != 200:
        raise Transient("bad_body", f"Slack answered {response.status} without its JSON")
    if answer.get("ok") is not True:
        raise_for_word(word_of(answer), response)
    return answer


def raise_for_word(word: str, response: Response) -> None:
    """Turns Slack's word for a problem into its failure. One we do not know is tried again: it may pass."""
    detail = f"Slack says {word}"
    if word in UNAUTHORISED:
        raise Configuration("unauthorized", detail, heals=True)
    if word in GONE:
        raise Configuration("gone", detail, heals=True)
    if word in BUSY:
        pause = parse_retry_after(response.headers.get("Retry-After"), now=datetime.now(UTC))
        raise Transient("rate_limited", detail, retry_after=pause or USUAL_PAUSE)
    if word in UNACCEPTABLE:
        raise Unacceptable("invalid_payload", detail)
    if word in NO_SUCH_MESSAGE:
        raise NoSuchMessage("rejected", detail)
    raise Transient("server_error" if word in FAILING else "bad_body", detail)


def word_of(answer: Mapping[str, Any]) -> str:
    """What Slack calls the problem."""
    word = answer.get("error")
    return word if isinstance(word, str) and re.fullmatch(r"[a-z_]{2,60}", word) else "no to it"
