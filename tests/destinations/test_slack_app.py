"""The app in Slack's channel: one message for a room whatever gets lost, and what follows from Slack's words."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from config.loading import load
from room_reports.costs import Rates
from room_reports.delivery import Delivery, Notice
from room_reports.destinations.slack_app import SlackApp
from room_reports.digests import compose
from room_reports.errors import Configuration, Failure, Permanent, Transient
from room_reports.reports import RoomReport
from room_reports.slack_api import UNACCEPTABLE, USUAL_PAUSE
from room_reports.slack_digest import digest_message
from room_reports.slack_report import details_message, message, provisional_message, text_message
from room_reports.transport import Transport
from sandbox import answers
from sandbox.answers import Answer
from sandbox.client import Sandbox
from sandbox.options import SLACK_CHANNEL
from tests.support.reports import ROOM_SID, make_report, summary_with

NOW = datetime.now(UTC)
FIRST = Delivery("msg_RM1_slack_app_0", 1, NOW, is_provisional=True, since=NOW, asked=time.monotonic() + 3600)
AGAIN = replace(FIRST, attempt=2, is_certain=False)
REPORT = replace(FIRST, id="msg_RM1_slack_app_1", attempt=2, is_provisional=False)


@pytest.fixture
def slack(sandbox: Sandbox, transport: Transport) -> SlackApp:
    return SlackApp.from_settings(load({**sandbox.environment(), **sandbox.slack_app_environment}), transport)


def named(name: str, sandbox: Sandbox, transport: Transport, **more: Any) -> SlackApp:
    """A destination of the file, in the channel of the variables' one."""
    url, token = sandbox.slack_app_environment["SLACK_API_URL"], sandbox.slack_app_environment["SLACK_BOT_TOKEN"]
    return SlackApp(
        url=url, token=token, channel=SLACK_CHANNEL, rate=0, seconds=30, transport=transport, name=name, **more
    )


def says(word: str) -> Answer:
    """Slack's way of saying no."""
    return answers.Answer(status=200, body=f'{{"ok": false, "error": "{word}"}}', accepted=False)


def lost(
    sandbox: Sandbox,
    slack: SlackApp,
    delivery: Delivery,
    *,
    method: str = "chat.postMessage",
    report: RoomReport | None = None,
) -> None:
    """An attempt whose answer to a method got lost on the way back."""
    sandbox.slack_api.script(answers.accept_and_reset(), key=method)
    with pytest.raises(Transient):
        slack.send(report or make_report(), delivery)


def shown(message: Mapping[str, Any]) -> tuple[Any, Any]:
    return message["text"], message.get("blocks")


def methods(sandbox: Sandbox) -> list[str]:
    return [exchange.path.rpartition("/")[2] for exchange in sandbox.slack_api.history()]


def test_provisional_message_is_edited_into_the_report(slack: SlackApp, sandbox: Sandbox) -> None:
    noted = slack.send(make_report(), FIRST)
    (posted,) = sandbox.slack_api.messages(ROOM_SID)
    assert noted == {"channel": SLACK_CHANNEL, "ts": posted["ts"]}
    assert shown(posted) == shown(provisional_message(make_report()))
    assert "ended after 42 min* · details follow" in posted["blocks"][1]["text"]["text"]
    assert slack.send(make_report(), replace(REPORT, noted=noted)) == noted
    (edited,) = sandbox.slack_api.messages()
    assert (edited["ts"], edited["edits"], shown(edited)) == (posted["ts"], 1, shown(message(make_report())))
    assert methods(sandbox) == ["chat.postMessage", "chat.update"], "nothing is looked for where all is certain"


def test_report_without_a_provisional_message_is_posted_at_once(slack: SlackApp, sandbox: Sandbox) -> None:
    slack.send(make_report(), replace(REPORT, attempt=1))
    assert [shown(one) for one in sandbox.slack_api.messages()] == [shown(message(make_report()))]
    assert methods(sandbox) == ["chat.postMessage"]


def test_lost_answer_leaves_one_message_in_its_first_form(slack: SlackApp, sandbox: Sandbox) -> None:
    lost(sandbox, slack, FIRST)
    noted = slack.send(make_report(), AGAIN)
    (posted,) = sandbox.slack_api.messages()
    assert noted["ts"] == posted["ts"]


def test_lost_answer_leaves_one_message_in_its_final_form(slack: SlackApp, sandbox: Sandbox) -> None:
    lost(sandbox, slack, FIRST)
    slack.send(make_report(), replace(REPORT, is_certain=False))
    (edited,) = sandbox.slack_api.messages()
    assert shown(edited) == shown(message(make_report()))
    lost(sandbox, slack, replace(REPORT, noted={"ts": edited["ts"]}), method="chat.update")
    slack.send(make_report(), replace(REPORT, attempt=3, noted={"ts": edited["ts"]}, is_certain=False))
    assert [one["edits"] for one in sandbox.slack_api.messages()] == [3]


def test_message_is_found_behind_many_others_and_not_taken_for_another_rooms(slack: SlackApp, sandbox: Sandbox) -> None:
    slack.send(make_report(room_sid="RM" + "0" * 32), FIRST)
    lost(sandbox, slack, FIRST)
    for _ in range(205):
        slack.notify(Notice("webhook", "gone", "answered 410", heals=False), FIRST)
    slack.send(make_report(), AGAIN)
    assert len(sandbox.slack_api.messages(ROOM_SID)) == 1
    assert methods(sandbox).count("conversations.history") == 2, "two pages"


def test_destinations_with_one_channel_have_each_a_message(
    slack: SlackApp, sandbox: Sandbox, transport: Transport
) -> None:
    berlin = named("berlin", sandbox, transport, zone=ZoneInfo("Europe/Berlin"))
    for app in (slack, berlin, named("nightly", sandbox, transport)):
        lost(sandbox, app, FIRST)
    messages = sandbox.slack_api.messages(ROOM_SID)
    for app, message_ in zip((berlin, slack), (messages[1], messages[0]), strict=True):
        assert app.send(make_report(), replace(REPORT, is_certain=False))["ts"] == message_["ts"]
    in_utc, in_berlin, untouched = map(shown, sandbox.slack_api.messages(ROOM_SID))
    assert in_utc == shown(message(make_report()))
    assert in_berlin == shown(message(make_report(), ZoneInfo("Europe/Berlin"))) != in_utc
    assert untouched == shown(provisional_message(make_report()))


def test_what_stood_there_before_the_room_is_not_read(slack: SlackApp, sandbox: Sandbox) -> None:
    lost(sandbox, slack, FIRST)
    slack.send(make_report(), replace(AGAIN, since=NOW + timedelta(hours=1)))
    assert len(sandbox.slack_api.messages()) == 2


def test_message_that_somebody_deleted_is_posted_anew_once(slack: SlackApp, sandbox: Sandbox) -> None:
    noted = slack.send(make_report(), FIRST)
    sandbox.slack_api.delete(noted["ts"])
    lost(sandbox, slack, replace(REPORT, noted=noted))
    slack.send(make_report(), replace(REPORT, attempt=3, noted=noted, is_certain=False))
    (posted,) = sandbox.slack_api.messages()
    assert shown(posted) == shown(message(make_report()))


def test_digest_and_news_of_a_hold_arrive(slack: SlackApp, sandbox: Sandbox) -> None:
    digest = compose(
        date(2026, 11, 22), days={}, ended=(), rates=Rates(), console_url="https://e.example/{room_sid}", made_at=NOW
    )
    slack.send_digest(digest, FIRST)
    slack.notify(Notice("webhook", "gone", "answered 410", heals=False), FIRST)
    told, held = sandbox.slack_api.messages()
    assert shown(told) == shown(digest_message(digest))
    assert "Nothing is delivered to webhook" in held["text"]


def test_problems_stand_in_the_thread_once(slack: SlackApp, sandbox: Sandbox) -> None:
    bad = make_report(summary_with(unique_participants=0, unique_participant_identities=0))
    noted = slack.send(bad, FIRST)
    lost(sandbox, slack, replace(REPORT, noted=noted), report=bad)
    last = slack.send(bad, replace(REPORT, attempt=3, noted=noted, is_certain=False))
    report, reply = sandbox.slack_api.messages()
    assert (reply["thread_ts"], last["thread"]) == (report["ts"], reply["ts"])
    assert shown(reply) == shown(details_message(bad) or {})
    assert "Nobody came." in reply["text"]
    resent = slack.send(bad, replace(REPORT, attempt=4, noted=last))
    assert resent == last
    assert [one["edits"] for one in sandbox.slack_api.messages()] == [3, 2]


def test_thread_that_slack_refuses_does_not_cost_the_report(slack: SlackApp, sandbox: Sandbox) -> None:
    bad = make_report(summary_with(unique_participants=0, unique_participant_identities=0))
    noted = slack.send(bad, FIRST)
    sandbox.slack_api.script(says("cannot_reply_to_message"), key="chat.postMessage")
    assert slack.send(bad, replace(REPORT, noted=noted)) == noted


def test_refused_blocks_are_sent_as_plain_text(slack: SlackApp, sandbox: Sandbox) -> None:
    noted = slack.send(make_report(), FIRST)
    sandbox.slack_api.script(says("invalid_blocks"), key="chat.update")
    slack.send(make_report(), replace(REPORT, noted=noted))
    (edited,) = sandbox.slack_api.messages()
    assert shown(edited) == (text_message(make_report())["text"], []), "the provisional blocks are gone"


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        *((says(word), Configuration, "unauthorized") for word in ("invalid_auth", "token_revoked", "missing_scope")),
        (says("account_inactive"), Configuration, "unauthorized"),
        *((says(word), Configuration, "gone") for word in ("not_in_channel", "channel_not_found", "is_archived")),
        *((says(word), Transient, "server_error") for word in ("internal_error", "fatal_error", "service_unavailable")),
        *((says(word), Permanent, "invalid_payload") for word in sorted(UNACCEPTABLE)),
        (says("a_word_of_tomorrow"), Transient, "bad_body"),
        (says("<b>"), Transient, "bad_body"),
        (answers.wrong_content("ok", "text/plain"), Transient, "bad_body"),
        (answers.wrong_content(), Transient, "bad_body"),
        (answers.status(503), Transient, "server_error"),
        (answers.forbidden(), Configuration, "unauthorized"),
        (answers.redirect("https://slack.com/"), Permanent, "redirect"),
        (answers.hang(), Transient, "timeout"),
    ],
    ids=lambda value: value.body if isinstance(value, Answer) else None,
)
def test_what_slack_says_is_one_of_our_failures(
    slack: SlackApp, sandbox: Sandbox, answer: Answer, kind: type[Failure], reason: str
) -> None:
    sandbox.slack_api.always(answer)
    with pytest.raises(kind) as caught:
        slack.send(make_report(), FIRST)
    assert caught.value.reason == reason
    assert not sandbox.slack_api.messages()
    if isinstance(caught.value, Configuration):
        assert caught.value.heals, "an invitation, a scope or a new token is enough: nobody has to resume it"


@pytest.mark.parametrize(
    ("answer", "pause"),
    [
        (answers.too_many(7), 7),
        (answers.too_many(), None),
        (says("ratelimited"), USUAL_PAUSE),
        (replace(says("rate_limited"), headers={"Retry-After": "9"}), 9),
    ],
)
def test_rate_limits_say_how_long(slack: SlackApp, sandbox: Sandbox, answer: Answer, pause: float | None) -> None:
    sandbox.slack_api.script(answer)
    with pytest.raises(Transient) as caught:
        slack.send(make_report(), FIRST)
    assert (caught.value.reason, caught.value.retry_after) == ("rate_limited", pause)


def test_no_request_begins_when_an_attempt_that_follows_could_overlap(sandbox: Sandbox, transport: Transport) -> None:
    sandbox.slack_api.latency(0.4)
    quick = {"HTTP_TOTAL_TIMEOUT": "0.6", "HTTP_CONNECT_TIMEOUT": "0.5"}
    hasty = SlackApp.from_settings(load({**sandbox.environment(), **sandbox.slack_app_environment, **quick}), transport)
    bad = make_report(summary_with(unique_participants=0, unique_participant_identities=0))
    with pytest.raises(Transient, match="too slow"):
        hasty.send(bad, replace(REPORT, attempt=5, is_certain=False, asked=time.monotonic()))
    assert methods(sandbox) == ["conversations.history", "chat.postMessage"]
