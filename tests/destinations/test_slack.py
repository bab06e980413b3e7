"""Slack's answers over a real socket, and what follows from each."""

from __future__ import annotations

import json

import pytest

from room_reports.delivery import Delivery, Notice
from room_reports.destinations.slack import SlackWebhook
from room_reports.errors import Configuration, Failure, Permanent, Transient
from room_reports.slack_report import message, text_message
from room_reports.transport import Transport
from sandbox import answers
from sandbox.answers import Answer
from sandbox.client import Sandbox
from tests.support.reports import ROOM_SID, make_report


@pytest.fixture
def slack(sandbox: Sandbox, transport: Transport) -> SlackWebhook:
    return SlackWebhook(sandbox.slack_url, rate=1, transport=transport)


def test_message_arrives_as_built(slack: SlackWebhook, sandbox: Sandbox, delivery: Delivery) -> None:
    slack.send(make_report(), delivery)
    (arrived,) = sandbox.slack.history()
    assert arrived.accepted
    assert (arrived.headers or {})["content-type"] == "application/json; charset=utf-8"
    assert json.loads(arrived.body or "") == message(make_report())


def test_news_of_a_hold_arrive(slack: SlackWebhook, sandbox: Sandbox, delivery: Delivery) -> None:
    slack.notify(Notice("webhook", "gone", "answered 410", heals=False), delivery)
    assert "Nothing is delivered to webhook" in sandbox.slack.messages()[0]["text"]


@pytest.mark.parametrize(("retry_after", "expected"), [("7", 7.0), (None, None), ("abc", None), ("9" * 5000, 3600.0)])
def test_d69_rate_limit_is_transient_and_says_how_long(
    slack: SlackWebhook, sandbox: Sandbox, delivery: Delivery, retry_after: str | None, expected: float | None
) -> None:
    sandbox.slack.script(answers.too_many(retry_after))
    with pytest.raises(Transient) as caught:
        slack.send(make_report(), delivery)
    assert (caught.value.reason, caught.value.retry_after) == ("rate_limited", expected)
    assert len(sandbox.slack.history()) == 1


@pytest.mark.parametrize("word", ["invalid_payload", "invalid_blocks", "invalid_blocks_format", "no_text", ""])
def test_d70_refused_message_is_sent_once_more_as_plain_text(
    slack: SlackWebhook, sandbox: Sandbox, delivery: Delivery, word: str
) -> None:
    sandbox.slack.script(answers.status(400, word))
    slack.send(make_report(), delivery)
    refused, accepted = sandbox.slack.history()
    assert not refused.accepted
    assert json.loads(accepted.body or "") == text_message(make_report())
    assert ROOM_SID in (accepted.body or "")


def test_d70_plain_text_refused_as_well_is_permanent(slack: SlackWebhook, sandbox: Sandbox, delivery: Delivery) -> None:
    sandbox.slack.script(answers.status(400, "invalid_payload").forever())
    with pytest.raises(Permanent) as caught:
        slack.send(make_report(), delivery)
    assert caught.value.reason == "invalid_payload"
    assert "invalid_payload" in caught.value.detail
    assert len(sandbox.slack.history()) == 2


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        (answers.too_many(3), Transient, "rate_limited"),
        (answers.status(500), Transient, "server_error"),
        (answers.status(410), Configuration, "gone"),
    ],
)
def test_d70_plain_text_try_is_judged_like_any_other(
    slack: SlackWebhook, sandbox: Sandbox, delivery: Delivery, answer: Answer, kind: type[Failure], reason: str
) -> None:
    sandbox.slack.script(answers.status(400, "invalid_blocks"), answer)
    with pytest.raises(kind) as caught:
        slack.send(make_report(), delivery)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("status", "word", "reason"),
    [
        (403, "action_prohibited", "unauthorized"),
        (403, "posting_to_general_channel_denied", "unauthorized"),
        (404, "no_service", "gone"),
        (404, "channel_not_found", "gone"),
        (404, "<html>Not Found</html>", "gone"),
        (410, "channel_is_archived", "gone"),
        (400, "no_team", "gone"),
        (400, "user_not_found", "gone"),
        (401, "invalid_token", "unauthorized"),
    ],
)
def test_d71_webhook_that_is_gone_is_held_until_an_operator_resumes(
    slack: SlackWebhook, sandbox: Sandbox, delivery: Delivery, status: int, word: str, reason: str
) -> None:
    sandbox.slack.script(answers.status(status, word).forever())
    with pytest.raises(Configuration) as caught:
        slack.send(make_report(), delivery)
    assert (caught.value.reason, caught.value.heals) == (reason, False)
    assert caught.value.detail == f"Slack answered {status} {'' if word.startswith('<') else word}".rstrip()
    assert len(sandbox.slack.history()) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_d73_redirect_is_not_followed(slack: SlackWebhook, sandbox: Sandbox, delivery: Delivery, status: int) -> None:
    sandbox.slack.script(answers.redirect(sandbox.receiver_url, status))
    with pytest.raises(Permanent) as caught:
        slack.send(make_report(), delivery)
    assert caught.value.reason == "redirect"
    assert sandbox.receiver.history() == []


@pytest.mark.parametrize(
    "answer",
    [
        answers.html(200),
        answers.status(200, ""),
        answers.status(200, "ok but"),
        answers.status(201, "ok"),
        answers.status(204),
    ],
)
def test_success_is_200_and_ok_and_nothing_else(
    slack: SlackWebhook, sandbox: Sandbox, delivery: Delivery, answer: Answer
) -> None:
    sandbox.slack.script(answer)
    with pytest.raises(Transient) as caught:
        slack.send(make_report(), delivery)
    assert caught.value.reason == "bad_body"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (answers.status(500), "server_error"),
        (answers.status(503), "server_error"),
        (answers.status(408), "timeout"),
        (answers.reset(), "connection"),
        (answers.hang(), "timeout"),
        (answers.huge(2_000_000), "too_large"),
    ],
)
def test_trouble_on_the_way_is_transient_and_the_message_is_not_sent_twice(
    slack: SlackWebhook, sandbox: Sandbox, delivery: Delivery, answer: Answer, reason: str
) -> None:
    sandbox.slack.script(answer.forever())
    with pytest.raises(Transient) as caught:
        slack.send(make_report(), delivery)
    assert caught.value.reason == reason
    assert len(sandbox.slack.history()) == 1


@pytest.mark.parametrize("status", [402, 405, 413, 415, 422])
def test_other_refusals_are_permanent(slack: SlackWebhook, sandbox: Sandbox, delivery: Delivery, status: int) -> None:
    sandbox.slack.script(answers.status(status))
    with pytest.raises(Permanent):
        slack.send(make_report(), delivery)


@pytest.mark.parametrize("status", [302, 400, 404, 418, 429, 500])
def test_no_failure_tells_the_secret_url(
    slack: SlackWebhook, sandbox: Sandbox, delivery: Delivery, status: int
) -> None:
    path = sandbox.slack_url.partition("/slack")[2]
    sandbox.slack.script(answers.status(status, sandbox.slack_url).forever())
    with pytest.raises(Failure) as caught:
        slack.send(make_report(), delivery)
    assert path not in str(caught.value) + caught.value.detail + repr(caught.value)
    assert path not in repr(slack)
