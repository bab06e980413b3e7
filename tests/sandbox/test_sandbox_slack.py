"""The fake Slack takes and refuses as Slack does."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from sandbox import answers
from sandbox.answers import Answer
from sandbox.client import Sandbox, SandboxError
from sandbox.summaries import room_sid

SID = room_sid(1)
MESSAGE: dict[str, Any] = {
    "text": f"room {SID}",
    "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "*ended*"}}],
}


def post(sandbox: Sandbox, message: object = MESSAGE, *, path: str | None = None) -> requests.Response:
    url = sandbox.slack_url if path is None else sandbox.url + path
    return requests.post(url, json=message, timeout=5, allow_redirects=False)


def test_takes_a_message_and_keeps_it(sandbox: Sandbox) -> None:
    response = post(sandbox)
    assert (response.status_code, response.text) == (200, "ok")
    assert sandbox.slack.messages(SID) == sandbox.slack.messages() == [MESSAGE]
    seen = sandbox.slack.history()[0]
    assert (seen.room_sid, seen.status, seen.accepted, seen.note) == (SID, 200, True, "")


def test_takes_the_older_form_too(sandbox: Sandbox) -> None:
    response = requests.post(sandbox.slack_url, data={"payload": json.dumps(MESSAGE)}, timeout=5)
    assert (response.status_code, response.text) == (200, "ok")


@pytest.mark.parametrize("body", [b"", b"{", b'"text"', b"[]", b'{"text": 1}', b'{"blocks": {}}', b"\xff"])
def test_refuses_what_is_no_message(sandbox: Sandbox, body: bytes) -> None:
    response = requests.post(sandbox.slack_url, data=body, timeout=5)
    assert (response.status_code, response.text) == (400, "invalid_payload")
    assert not sandbox.slack.accepted()


@pytest.mark.parametrize(
    ("message", "error"),
    [({}, "no_text"), ({"text": ""}, "no_text"), ({"blocks": [{"type": "divider"}] * 51}, "invalid_blocks")],
)
def test_refuses_what_breaks_its_rules_and_says_why_in_the_history(
    sandbox: Sandbox, message: object, error: str
) -> None:
    response = post(sandbox, message)
    assert (response.status_code, response.text) == (400, error)
    assert sandbox.slack.history()[0].note.startswith(f"{error}: ")


@pytest.mark.parametrize("path", ["/slack/services/T0/B0", "/slack/", "/slack/services/X0/B0/x"])
def test_unknown_webhooks_are_404_no_service(sandbox: Sandbox, path: str) -> None:
    response = post(sandbox, path=path)
    assert (response.status_code, response.text) == (404, "no_service")


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (answers.status(400), 400, "invalid_payload"),
        (answers.status(400, "invalid_blocks"), 400, "invalid_blocks"),
        (answers.forbidden(), 403, "action_prohibited"),
        (answers.not_found(), 404, "no_service"),
        (answers.status(404, "channel_not_found"), 404, "channel_not_found"),
        (answers.status(410), 410, "channel_is_archived"),
        (answers.status(500), 500, "rollup_error"),
        (answers.wrong_content("not ok", "text/html"), 200, "not ok"),
        (answers.redirect("http://169.254.169.254/"), 302, ""),
        (answers.html(503), 503, answers.html().body),
    ],
)
def test_scripted_refusals_are_worded_as_slack_words_them_and_accept_nothing(
    sandbox: Sandbox, answer: Answer, status: int, text: str
) -> None:
    sandbox.slack.script(answer)
    response = post(sandbox)
    assert (response.status_code, response.text) == (status, text)
    assert not sandbox.slack.accepted() and sandbox.slack.history()[0].room_sid == SID
    assert post(sandbox).text == "ok"
    counts = sandbox.slack.counts()
    assert (counts["requests"], counts["accepted"], counts["rooms"]) == (2, 1, 1)


def test_429_says_for_how_long_or_not(sandbox: Sandbox) -> None:
    sandbox.slack.script(answers.too_many(30), answers.too_many())
    said = [post(sandbox) for _ in range(2)]
    assert [(one.status_code, one.headers.get("Retry-After")) for one in said] == [(429, "30"), (429, None)]


def test_an_accepted_message_whose_sender_is_not_told_counts_as_arrived(sandbox: Sandbox) -> None:
    sandbox.slack.script(answers.accept_and_reset())
    with pytest.raises(requests.ConnectionError):
        post(sandbox)
    assert sandbox.slack.messages() == [MESSAGE]


def test_a_refused_message_does_not_arrive_by_a_lost_answer(sandbox: Sandbox) -> None:
    sandbox.slack.script(answers.accept_and_reset())
    with pytest.raises(requests.ConnectionError):
        post(sandbox, {})
    assert not sandbox.slack.accepted()


def test_webhooks_can_be_scripted_apart(sandbox: Sandbox) -> None:
    other = "/slack/services/T0/B0/other"
    sandbox.slack.script(answers.status(410).forever(), key=other)
    assert [post(sandbox, path=other).status_code, post(sandbox).status_code] == [410, 200]


def test_holds_each_webhook_to_the_rate_when_asked_to(sandbox: Sandbox) -> None:
    sandbox.configure(slack_rate=0.01, slack_burst=2)
    said = [post(sandbox) for _ in range(3)]
    assert [response.status_code for response in said] == [200, 200, 429]
    assert 90 <= int(said[2].headers["Retry-After"]) <= 100
    assert post(sandbox, path="/slack/services/T0/B0/other").status_code == 200


def test_gives_the_rate_back_with_time(sandbox: Sandbox) -> None:
    sandbox.configure(slack_rate=1000.0, slack_burst=1)
    assert [post(sandbox).status_code for _ in range(5)] == [200] * 5


def test_waiting_ends_with_what_arrived_or_with_what_did_not(sandbox: Sandbox) -> None:
    sandbox.slack.script(answers.status(500))
    post(sandbox)
    with pytest.raises(SandboxError, match="500"):
        sandbox.slack.wait_for(1, room_sid=SID, timeout=0.1)
    post(sandbox)
    assert [seen.status for seen in sandbox.slack.wait_for(1, room_sid=SID)] == [200]
    assert urlsplit(sandbox.slack_url).path == sandbox.slack.history()[0].path
