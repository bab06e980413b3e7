"""A fake of Slack's Web API: channels with messages, their edits and threads, as far as a reporting app meets them.

https://docs.slack.dev/reference/methods: chat.postMessage, chat.update, conversations.history, conversations.replies,
auth.test. Everything Slack has to say comes with status 200, but for the 429 of its rate limits.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from sandbox.answers import Answer
from sandbox.http import Request
from sandbox.messages import refusal
from sandbox.options import OTHER_SLACK_CHANNEL, SLACK_CHANNEL, SLACK_TOKEN, Options
from sandbox.receiver import ROOM_SID
from sandbox.service import Outcome, Service

JSON = "application/json; charset=utf-8"
PREFIX = "/slack_api/"
NEEDS = {
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "conversations.history": "channels:history",
    "conversations.replies": "channels:history",
}
BODIES = {429: "ratelimited", 401: "invalid_auth", 403: "access_denied", 503: "service_unavailable"}
KEPT = ("text", "blocks", "metadata")
MOST = 1000


@dataclass
class Message:
    """One message of a channel. `thread_ts`: of the message that it answers, None at the top."""

    ts: str
    thread_ts: str | None
    content: dict[str, Any]
    edits: int = 0
    posted_at: float = 0.0
    deleted: bool = False

    def to_json(self, *, metadata: bool) -> dict[str, Any]:
        """As Slack lists it."""
        shown = {name: value for name, value in self.content.items() if metadata or name != "metadata"}
        thread = {"thread_ts": self.thread_ts} if self.thread_ts else {}
        return {"type": "message", "bot_id": "B05A4DB0C", "ts": self.ts, **thread, **shown}


@dataclass
class Channel:
    """A channel, oldest message first."""

    messages: list[Message] = field(default_factory=list)

    def find(self, ts: object) -> Message | None:
        """The message with this `ts`."""
        return next((found for found in self.messages if found.ts == ts and not found.deleted), None)


class FakeSlackApi(Service):
    """One workspace with one app, which is in two channels (`sandbox.options`); others do not exist for it.

    What is refused or scripted with a status leaves no message behind; an answer that is lost on the way does.
    """

    def __init__(self, options: Callable[[], Options]) -> None:
        super().__init__(options)
        self._forget()

    def reset(self) -> None:
        super().reset()
        self._forget()

    def _forget(self) -> None:
        self.channels: defaultdict[str, Channel] = defaultdict(Channel)
        self._last = 0
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}

    def key(self, request: Request) -> str:
        return request.path.removeprefix(PREFIX)

    def respond(self, request: Request, answer: Answer) -> Outcome:
        method, arguments = self.key(request), _arguments(request)
        found = ROOM_SID.search(request.body) or ROOM_SID.search(request.target.encode())
        problem, headers = self._problem(request, method, arguments)
        # A scripted refusal, or a connection that breaks before the message is read, is one without effect.
        takes_effect = answer.status is None and answer.accepted
        said: dict[str, Any] = {"ok": False, "error": problem}
        if not problem and takes_effect:
            said = self._METHODS[method](self, arguments, request.at)
        status = 429 if problem == "ratelimited" else 200
        return Outcome(
            status,
            json.dumps(said).encode(),
            JSON,
            accepted=said["ok"],
            headers={"X-OAuth-Scopes": ",".join(self._options().slack_scopes), **(headers or {})},
            room_sid=found.group().decode() if found else None,
            note="" if said["ok"] else str(said["error"]),
        )

    def body_for(self, status: int, request: Request) -> tuple[bytes, str]:
        return json.dumps({"ok": False, "error": BODIES.get(status, "internal_error")}).encode(), JSON

    def delete(self, ts: str) -> None:
        """Somebody deletes a message."""
        for channel in self.channels.values():
            if message := channel.find(ts):
                message.deleted = True

    def listed(self) -> list[dict[str, Any]]:
        """Every message that stands, in every channel, with its metadata and how often it was edited."""
        return [
            {**message.to_json(metadata=True), "channel": name, "edits": message.edits, "posted_at": message.posted_at}
            for name, channel in self.channels.items()
            for message in channel.messages
            if not message.deleted
        ]

    def _problem(
        self, request: Request, method: str, arguments: Mapping[str, Any]
    ) -> tuple[str, Mapping[str, str] | None]:
        """What Slack says no with before it looks at the message; empty for nothing."""
        if method not in self._METHODS:
            return "unknown_method", None
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            return "not_authed", None
        if token != SLACK_TOKEN:
            return "invalid_auth", None
        if method in NEEDS and NEEDS[method] not in self._options().slack_scopes:
            return "missing_scope", None
        if method != "auth.test" and arguments.get("channel") not in (SLACK_CHANNEL, OTHER_SLACK_CHANNEL):
            return "channel_not_found", None
        if method != "auth.test" and not self._options().slack_member:
            return "not_in_channel", None
        if wait := self._overdrawn(method, str(arguments.get("channel")), request.at):
            return "ratelimited", {"Retry-After": str(math.ceil(wait))}
        return "", None

    def _overdrawn(self, method: str, channel: str, now: float) -> float:
        """Seconds until this method takes another call; each method of a channel has a budget of its own."""
        rate, burst = self._options().slack_rate, self._options().slack_burst
        if not rate:
            return 0.0
        level, since = self._buckets.get((method, channel), (float(burst), now))
        level = min(float(burst), level + (now - since) * rate)
        if level < 1:
            return (1 - level) / rate
        self._buckets[method, channel] = (level - 1, now)
        return 0.0

    def _post(self, arguments: Mapping[str, Any], at: float) -> dict[str, Any]:
        if error := _refused(arguments):
            return {"ok": False, "error": error}
        channel, thread_ts = self.channels[arguments["channel"]], arguments.get("thread_ts")
        if thread_ts is not None and channel.find(thread_ts) is None:
            return {"ok": False, "error": "thread_not_found"}
        # Unique in its channel, whatever the clock says.
        self._last = max(int(at * 1_000_000), self._last + 1)
        ts = f"{self._last // 1_000_000}.{self._last % 1_000_000:06d}"
        content = {name: arguments[name] for name in KEPT if name in arguments}
        message = Message(ts, thread_ts, content, posted_at=at)
        channel.messages.append(message)
        return {"ok": True, "channel": arguments["channel"], "ts": ts, "message": message.to_json(metadata=True)}

    def _update(self, arguments: Mapping[str, Any], at: float) -> dict[str, Any]:
        message = self.channels[arguments["channel"]].find(arguments.get("ts"))
        if message is None:
            return {"ok": False, "error": "message_not_found"}
        if error := _refused(arguments):
            return {"ok": False, "error": error}
        message.content |= {name: arguments[name] for name in KEPT if name in arguments}
        message.edits += 1
        return {"ok": True, "channel": arguments["channel"], "ts": message.ts, "text": arguments.get("text", "")}

    def _history(self, arguments: Mapping[str, Any], at: float) -> dict[str, Any]:
        oldest = float(arguments.get("oldest", 0))
        messages = self.channels[arguments["channel"]].messages
        found = [one for one in messages if not one.thread_ts and not one.deleted and float(one.ts) > oldest]
        return _page(list(reversed(found)), arguments)

    def _replies(self, arguments: Mapping[str, Any], at: float) -> dict[str, Any]:
        channel, ts = self.channels[arguments["channel"]], arguments.get("ts")
        parent = channel.find(ts)
        if parent is None:
            return {"ok": False, "error": "thread_not_found"}
        return _page([parent, *(one for one in channel.messages if one.thread_ts == ts and not one.deleted)], arguments)

    def _test(self, arguments: Mapping[str, Any], at: float) -> dict[str, Any]:
        return {"ok": True, "team": "Sandbox", "team_id": "T05A4DB0C", "user": "room_reports", "bot_id": "B05A4DB0C"}

    _METHODS: Mapping[str, Callable[[FakeSlackApi, Mapping[str, Any], float], dict[str, Any]]] = {
        "chat.postMessage": _post,
        "chat.update": _update,
        "conversations.history": _history,
        "conversations.replies": _replies,
        "auth.test": _test,
    }


def _arguments(request: Request) -> Mapping[str, Any]:
    """The arguments of a call: JSON, a form or, for methods that read, the query."""
    if request.method == "GET":
        return dict(parse_qsl(request.query))
    if not request.headers.get("content-type", "").startswith("application/json"):
        return dict(parse_qsl(request.body.decode("utf-8", "replace")))
    try:
        found = json.loads(request.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _refused(arguments: Mapping[str, Any]) -> str:
    """Slack's word for what is wrong with a message; empty for nothing."""
    if problem := refusal({name: value for name, value in arguments.items() if name not in ("channel", "ts")}):
        return problem.error
    metadata = arguments.get("metadata")
    if metadata is None:
        return ""
    is_whole = isinstance(metadata, dict) and isinstance(metadata.get("event_payload"), dict)
    return "" if is_whole and isinstance(metadata.get("event_type"), str) else "invalid_metadata_format"


def _page(messages: list[Message], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """One page, and where the next one begins."""
    start, limit = int(arguments.get("cursor", 0)), min(int(arguments.get("limit", 100)), MOST - 1)
    with_metadata = str(arguments.get("include_all_metadata", "")).lower() in ("true", "1")
    shown = [message.to_json(metadata=with_metadata) for message in messages[start : start + limit]]
    has_more = start + limit < len(messages)
    cursor = str(start + limit) if has_more else ""
    return {"ok": True, "messages": shown, "has_more": has_more, "response_metadata": {"next_cursor": cursor}}
