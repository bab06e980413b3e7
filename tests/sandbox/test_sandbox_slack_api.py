"""The fake of Slack's Web API keeps messages as Slack does, and says no in Slack's words."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from sandbox import answers
from sandbox.client import Sandbox
from sandbox.options import SLACK_CHANNEL, SLACK_TOKEN
from sandbox.summaries import room_sid

SID = room_sid(1)
METADATA = {"event_type": "room_report", "event_payload": {"room_sid": SID, "part": "report"}}
AUTH = {"Authorization": f"Bearer {SLACK_TOKEN}"}


def call(sandbox: Sandbox, method: str, headers: dict[str, str] | None = None, **arguments: Any) -> dict[str, Any]:
    url = f"{sandbox.url}/slack_api/{method}"
    body = {"channel": SLACK_CHANNEL, **arguments}
    response = requests.post(url, json=body, headers=AUTH if headers is None else headers, timeout=5)
    assert response.status_code == 200, "Slack says no with 200 as well"
    said: dict[str, Any] = response.json()
    return said


def post(sandbox: Sandbox, text: str = "hello", **more: Any) -> str:
    said = call(sandbox, "chat.postMessage", text=text, **more)
    assert said["ok"]
    return str(said["ts"])


def history(sandbox: Sandbox, **arguments: str) -> dict[str, Any]:
    url, query = f"{sandbox.url}/slack_api/conversations.history", {"channel": SLACK_CHANNEL, **arguments}
    said: dict[str, Any] = requests.get(url, params=query, headers=AUTH, timeout=5).json()
    return said


def test_messages_are_kept_newest_first_and_pages_follow_one_another(sandbox: Sandbox) -> None:
    stamps = [post(sandbox, f"message {number}") for number in range(5)]
    assert len(set(stamps)) == 5 and stamps == sorted(stamps)
    first = history(sandbox, limit="3")
    assert [one["text"] for one in first["messages"]] == ["message 4", "message 3", "message 2"]
    assert first["has_more"]
    second = history(sandbox, limit="3", cursor=first["response_metadata"]["next_cursor"])
    assert [one["ts"] for one in second["messages"]] == [stamps[1], stamps[0]]
    assert (second["has_more"], second["response_metadata"]["next_cursor"]) == (False, "")
    assert [one["ts"] for one in history(sandbox, oldest=stamps[3])["messages"]] == [stamps[4]]


def test_metadata_is_shown_only_where_it_is_asked_for(sandbox: Sandbox) -> None:
    post(sandbox, metadata=METADATA)
    assert "metadata" not in history(sandbox)["messages"][0]
    assert history(sandbox, include_all_metadata="true")["messages"][0]["metadata"] == METADATA
    assert len(sandbox.slack_api.messages(SID)) == 1
    assert sandbox.slack_api.history(SID), "and by it an exchange is known to be about a room"


def test_edits_replace_what_they_name(sandbox: Sandbox) -> None:
    blocks = [{"type": "section", "text": {"type": "plain_text", "text": "block"}}]
    ts = post(sandbox, metadata=METADATA, blocks=blocks)
    assert call(sandbox, "chat.update", ts=ts, text="edited")["ok"]
    (message,) = sandbox.slack_api.messages()
    assert (message["ts"], message["text"], message["edits"], message["blocks"]) == (ts, "edited", 1, blocks)
    assert call(sandbox, "chat.update", ts="1.000001", text="x")["error"] == "message_not_found"
    sandbox.slack_api.delete(ts)
    assert call(sandbox, "chat.update", ts=ts, text="x")["error"] == "message_not_found"
    assert (sandbox.slack_api.messages(), history(sandbox)["messages"]) == ([], [])


def test_replies_stand_in_the_thread_and_not_in_the_channel(sandbox: Sandbox) -> None:
    ts = post(sandbox)
    reply = post(sandbox, "reply", thread_ts=ts)
    assert [one["ts"] for one in history(sandbox)["messages"]] == [ts]
    found = requests.get(
        f"{sandbox.url}/slack_api/conversations.replies",
        params={"channel": SLACK_CHANNEL, "ts": ts},
        headers=AUTH,
        timeout=5,
    ).json()
    assert [one["ts"] for one in found["messages"]] == [ts, reply]
    assert call(sandbox, "chat.postMessage", text="x", thread_ts="1.000001")["error"] == "thread_not_found"


@pytest.mark.parametrize(
    ("method", "changes", "error"),
    [
        ("chat.nothing", {}, "unknown_method"),
        ("chat.postMessage", {"headers": {}}, "not_authed"),
        ("chat.postMessage", {"headers": {"Authorization": "Bearer xoxb-other"}}, "invalid_auth"),
        ("chat.postMessage", {"channel": "C0", "text": "x"}, "channel_not_found"),
        ("chat.postMessage", {}, "no_text"),
        ("chat.postMessage", {"blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        ("chat.postMessage", {"text": "x", "metadata": {"event_type": "x"}}, "invalid_metadata_format"),
    ],
)
def test_says_no_in_slacks_words(sandbox: Sandbox, method: str, changes: dict[str, Any], error: str) -> None:
    assert call(sandbox, method, **changes) == {"ok": False, "error": error}
    assert (sandbox.slack_api.messages(), sandbox.slack_api.accepted()) == ([], [])


def test_scopes_and_membership(sandbox: Sandbox) -> None:
    sandbox.configure(slack_scopes=("chat:write",))
    assert history(sandbox)["error"] == "missing_scope"
    sandbox.configure(slack_member=False)
    assert call(sandbox, "chat.postMessage", text="x")["error"] == "not_in_channel"
    assert call(sandbox, "auth.test")["ok"]


def test_each_method_has_a_rate_of_its_own(sandbox: Sandbox) -> None:
    sandbox.configure(slack_rate=0.1, slack_burst=1)
    ts = post(sandbox)
    url, body = f"{sandbox.url}/slack_api/chat.postMessage", {"channel": SLACK_CHANNEL, "text": "x"}
    refused = requests.post(url, json=body, headers=AUTH, timeout=5)
    assert (refused.status_code, refused.json()["error"]) == (429, "ratelimited")
    assert 1 <= int(refused.headers["Retry-After"]) <= 10
    assert call(sandbox, "chat.update", ts=ts, text="y")["ok"]


@pytest.mark.parametrize(
    ("answer", "messages"),
    [(answers.status(500), 0), (answers.too_many(1), 0), (answers.reset(), 0), (answers.accept_and_reset(), 1)],
    ids=["500", "429", "reset", "accept and reset"],
)
def test_only_an_answer_that_is_lost_leaves_a_message_behind(
    sandbox: Sandbox, answer: answers.Answer, messages: int
) -> None:
    sandbox.slack_api.script(answer, key="chat.postMessage")
    try:
        requests.post(
            f"{sandbox.url}/slack_api/chat.postMessage",
            json={"channel": SLACK_CHANNEL, "text": "x"},
            headers=AUTH,
            timeout=5,
        )
    except requests.ConnectionError:
        pass
    assert len(sandbox.slack_api.messages()) == messages == len(sandbox.slack_api.accepted())
