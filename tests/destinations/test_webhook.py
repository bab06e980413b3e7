"""The signed webhook over a real socket: every field arrives, receivers can check it, answers are heeded."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from room_reports import __version__
from room_reports.delivery import Delivery, Notice
from room_reports.destinations.webhook import ReportWebhook
from room_reports.errors import Configuration, Failure, Permanent, Transient
from room_reports.insights import InsightsClient
from room_reports.summaries import FIELDS
from room_reports.transport import Transport
from sandbox import answers
from sandbox.answers import Answer
from sandbox.client import Sandbox
from sandbox.history import Exchange
from sandbox.options import ACCOUNT_SID, API_KEY, API_SECRET, WEBHOOK_SECRET
from sandbox.summaries import ROOM_FIELDS, room_sid
from tests.support.reports import make_report, summary_with

OTHER_SECRET = "whsec_" + base64.b64encode(b"another secret, of thirty-two b.").decode()

# As the seed and Twilio's specification list them, each with one that neither does.
VALUES: Mapping[str, tuple[str, ...]] = {
    "room_type": ("go", "peer_to_peer", "group", "group_small", "holodeck"),
    "room_status": ("in_progress", "completed", "failed"),
    "status_callback_method": ("HEAD", "GET", "POST", "PATCH", "PUT", "DELETE", "QUERY"),
    "created_method": ("sdk", "ad_hoc", "api", "by_magic"),
    "end_reason": ("room_ended_via_api", "timeout", "disconnected_via_api"),
    "codecs": ("VP8", "H264", "VP9", "opus", "AV2"),
    "media_region": ("us1", "us2", "au1", "br1", "ie1", "jp1", "sg1", "in1", "de1", "gll", "mars1"),
    "edge_location": (
        *("ashburn", "dublin", "frankfurt", "singapore", "sydney"),
        *("sao_paulo", "roaming", "umatilla", "tokyo", "olympus_mons"),
    ),
    "processing_state": ("complete", "in_progress", "in-progress", "timeout", "not_started", "pondering"),
}


@pytest.fixture
def webhook(sandbox: Sandbox, transport: Transport) -> ReportWebhook:
    return ReportWebhook(sandbox.receiver_url, [WEBHOOK_SECRET], rate=0, transport=transport)


def arrived_summary(
    sandbox: Sandbox, transport: Transport, webhook: ReportWebhook, delivery: Delivery, **fields: Any
) -> Any:
    """What the receiver gets of a summary with these fields, fetched from Twilio and delivered."""
    sid = room_sid(7)
    sandbox.twilio.add_room(sid)
    sandbox.twilio.script(Answer(fields=fields), key=sid)
    insights = InsightsClient(transport, base_url=sandbox.twilio_url, credentials=(API_KEY, API_SECRET))
    raw = insights.fetch(sid, account_sid=ACCOUNT_SID).raw
    webhook.send(make_report(raw, room_sid=sid), delivery)
    (report,) = sandbox.receiver.reports()
    return report["data"]["summary"]


def sent_summary(sandbox: Sandbox, **fields: Any) -> dict[str, Any]:
    """What Twilio sent of the same room, without what must not be forwarded."""
    summary = sandbox.twilio.summary(room_sid(7))
    assert summary["status_callback"] == "https://hooks.example.com/twilio/rooms?tenant=sandbox"
    return {**summary, "status_callback": "https://hooks.example.com/twilio/rooms", **fields}


def headers_of(exchange: Exchange) -> dict[str, str]:
    assert exchange.headers is not None
    return dict(exchange.headers)


# What arrives


def test_all_26_fields_arrive_as_sent(
    sandbox: Sandbox, transport: Transport, webhook: ReportWebhook, delivery: Delivery
) -> None:
    arrived = arrived_summary(sandbox, transport, webhook, delivery)
    assert tuple(sorted(arrived)) == tuple(sorted(FIELDS)) == tuple(sorted(ROOM_FIELDS))
    assert len(FIELDS) == 26
    assert None not in arrived.values()
    assert arrived == sent_summary(sandbox)


@pytest.mark.parametrize("field", ROOM_FIELDS)
def test_null_field_arrives_as_null(
    sandbox: Sandbox, transport: Transport, webhook: ReportWebhook, delivery: Delivery, field: str
) -> None:
    arrived = arrived_summary(sandbox, transport, webhook, delivery, **{field: None})
    assert arrived == sent_summary(sandbox, **{field: None})


def test_all_fields_null_arrive_as_null(
    sandbox: Sandbox, transport: Transport, webhook: ReportWebhook, delivery: Delivery
) -> None:
    nothing = dict.fromkeys(ROOM_FIELDS)
    assert arrived_summary(sandbox, transport, webhook, delivery, **nothing) == nothing


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in VALUES.items() for value in values])
def test_c62_every_value_arrives_as_sent(
    sandbox: Sandbox, transport: Transport, webhook: ReportWebhook, delivery: Delivery, field: str, value: str
) -> None:
    sent = [value] if field == "codecs" else value
    arrived = arrived_summary(sandbox, transport, webhook, delivery, **{field: sent})
    assert arrived == sent_summary(sandbox, **{field: sent})


def test_c62_unknown_fields_arrive_as_sent(
    sandbox: Sandbox, transport: Transport, webhook: ReportWebhook, delivery: Delivery
) -> None:
    fields = {"transcription": {"state": "done", "words": [1, 2.5, None, True]}, "duration_sec": 0, "": ""}
    arrived = arrived_summary(sandbox, transport, webhook, delivery, **fields)
    assert arrived == sent_summary(sandbox, **fields)


def test_d81_report_of_200_participants_arrives_shortened(
    webhook: ReportWebhook, sandbox: Sandbox, delivery: Delivery
) -> None:
    people = [{"participant_sid": f"PA{n:032x}", "participant_identity": "p" * 100} for n in range(200)]
    webhook.send(make_report(summary_with(participants=people)), delivery)
    (exchange,) = sandbox.receiver.accepted()
    assert len((exchange.body or "").encode()) <= 20_000
    data = json.loads(exchange.body or "")["data"]
    assert data["left_out"] == [
        {"path": "summary.participants", "kind": "items", "count": 200 - len(data["summary"]["participants"])}
    ]


# How a receiver checks it


def test_message_is_what_standard_webhooks_asks_for(
    webhook: ReportWebhook, sandbox: Sandbox, delivery: Delivery
) -> None:
    webhook.send(make_report(), delivery)
    (exchange,) = sandbox.receiver.history()
    assert (exchange.status, exchange.verified) == (204, True)
    assert headers_of(exchange)["content-type"] == "application/json"
    assert headers_of(exchange)["user-agent"] == f"room-reports/{__version__}"
    assert headers_of(exchange)["webhook-id"] == delivery.id
    assert headers_of(exchange)["webhook-timestamp"] == str(int(delivery.attempted_at.timestamp()))
    assert exchange.body == make_report().to_json().decode()


def test_d74_attempt_after_a_lost_answer_has_the_same_id_and_a_fresh_timestamp(
    webhook: ReportWebhook, sandbox: Sandbox
) -> None:
    now = datetime.now(UTC)
    sandbox.receiver.script(answers.accept_and_reset(), answers.accept_and_hang())
    with pytest.raises(Transient, match="connection"):
        webhook.send(make_report(), Delivery("msg_1", 1, now - timedelta(seconds=60)))
    with pytest.raises(Transient, match="timeout"):
        webhook.send(make_report(), Delivery("msg_1", 2, now - timedelta(seconds=30)))
    webhook.send(make_report(), Delivery("msg_1", 3, now))
    arrived = sandbox.receiver.accepted()
    assert [exchange.message_id for exchange in arrived] == ["msg_1"] * 3
    assert all(exchange.verified for exchange in arrived)
    assert len({headers_of(exchange)["webhook-timestamp"] for exchange in arrived}) == 3


def test_d79_two_signatures_while_the_secret_is_rotated(
    sandbox: Sandbox, transport: Transport, delivery: Delivery
) -> None:
    webhook = ReportWebhook(sandbox.receiver_url, [OTHER_SECRET, WEBHOOK_SECRET], rate=0, transport=transport)
    webhook.send(make_report(), delivery)
    (exchange,) = sandbox.receiver.history()
    assert exchange.verified
    assert len(headers_of(exchange)["webhook-signature"].split(" ")) == 2
    for secret in (OTHER_SECRET, WEBHOOK_SECRET):
        Webhook(secret).verify(exchange.body or "", headers_of(exchange), json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 32).verify(exchange.body or "", headers_of(exchange), json_parse=False)


@pytest.mark.parametrize("hours", [-11, 0, 5.5, 14])
def test_d79_signature_does_not_depend_on_the_zone_of_the_clock(
    webhook: ReportWebhook, sandbox: Sandbox, hours: float
) -> None:
    moment = datetime.now(timezone(timedelta(hours=hours)))
    webhook.send(make_report(), Delivery("msg_1", 1, moment))
    assert sandbox.receiver.history()[0].verified


@pytest.mark.parametrize(("skew", "accepted"), [(-4, True), (4, True), (-6, False), (6, False)])
def test_d79_receiver_tolerates_five_minutes_and_refuses_a_replay(
    webhook: ReportWebhook, sandbox: Sandbox, skew: int, accepted: bool
) -> None:
    delivery = Delivery("msg_1", 1, datetime.now(UTC) + timedelta(minutes=skew))
    if accepted:
        webhook.send(make_report(), delivery)
    else:
        with pytest.raises(Configuration, match="401"):
            webhook.send(make_report(), delivery)
    assert sandbox.receiver.history()[0].verified is accepted


def test_news_of_a_hold_are_signed_and_of_another_type(
    webhook: ReportWebhook, sandbox: Sandbox, delivery: Delivery
) -> None:
    webhook.notify(Notice("slack", "gone", "Slack answered 410 channel_is_archived", heals=False), delivery)
    (news,) = sandbox.receiver.reports()
    assert news["type"] == "room_reports.held"
    assert news["timestamp"] == delivery.attempted_at.isoformat().replace("+00:00", "Z")
    assert news["data"] == {
        "lane": "slack",
        "reason": "gone",
        "detail": "Slack answered 410 channel_is_archived",
        "heals": False,
    }


# Answers


@pytest.mark.parametrize("status", [200, 201, 202, 204, 207, 299])
@pytest.mark.parametrize("body", ["", "no JSON {", "<html>"])
def test_d75_any_2xx_is_success_whatever_the_body(
    webhook: ReportWebhook, sandbox: Sandbox, delivery: Delivery, status: int, body: str
) -> None:
    sandbox.receiver.script(answers.status(status, "" if status == 204 else body))
    webhook.send(make_report(), delivery)
    assert len(sandbox.receiver.accepted()) == 1


@pytest.mark.parametrize(
    ("answer", "reason", "heals"),
    [
        (answers.status(401), "unauthorized", True),
        (answers.status(403), "unauthorized", True),
        (answers.status(404), "gone", True),
        (answers.status(410), "gone", False),
    ],
)
def test_endpoint_that_is_not_there_for_us_is_held(
    webhook: ReportWebhook, sandbox: Sandbox, delivery: Delivery, answer: Answer, reason: str, heals: bool
) -> None:
    sandbox.receiver.script(answer)
    with pytest.raises(Configuration) as caught:
        webhook.send(make_report(), delivery)
    assert (caught.value.reason, caught.value.heals) == (reason, heals)


@pytest.mark.parametrize("status", [400, 402, 405, 406, 409, 413, 415, 422, 451])
def test_other_refusals_are_permanent(
    webhook: ReportWebhook, sandbox: Sandbox, delivery: Delivery, status: int
) -> None:
    sandbox.receiver.script(answers.status(status))
    with pytest.raises(Permanent) as caught:
        webhook.send(make_report(), delivery)
    assert caught.value.reason == "rejected"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_d73_redirect_is_not_followed(
    webhook: ReportWebhook, sandbox: Sandbox, delivery: Delivery, status: int
) -> None:
    sandbox.receiver.script(answers.redirect(f"{sandbox.receiver_url}/elsewhere", status))
    with pytest.raises(Permanent) as caught:
        webhook.send(make_report(), delivery)
    assert caught.value.reason == "redirect"
    assert len(sandbox.receiver.history()) == 1


@pytest.mark.parametrize(
    ("answer", "reason", "retry_after"),
    [
        (answers.too_many(9), "rate_limited", 9.0),
        (answers.too_many("-5"), "rate_limited", None),
        (answers.status(503, headers={"Retry-After": "30"}), "server_error", 30.0),
        (answers.status(500), "server_error", None),
        (answers.status(599), "server_error", None),
        (answers.reset(), "connection", None),
        (answers.hang(), "timeout", None),
    ],
)
def test_d77_trouble_is_transient(
    webhook: ReportWebhook, sandbox: Sandbox, delivery: Delivery, answer: Answer, reason: str, retry_after: float | None
) -> None:
    sandbox.receiver.script(answer)
    with pytest.raises(Transient) as caught:
        webhook.send(make_report(), delivery)
    assert (caught.value.reason, caught.value.retry_after) == (reason, retry_after)
    assert len(sandbox.receiver.history()) == 1


@pytest.mark.parametrize("status", [302, 400, 401, 404, 410, 429, 500])
def test_no_failure_tells_url_or_secret(
    sandbox: Sandbox, transport: Transport, delivery: Delivery, status: int
) -> None:
    url = f"{sandbox.receiver_url}/hidden-path?token=hidden-token"
    webhook = ReportWebhook(url, [WEBHOOK_SECRET], rate=0, transport=transport)
    sandbox.receiver.script(answers.status(status, url).forever())
    with pytest.raises(Failure) as caught:
        webhook.send(make_report(), delivery)
    told = str(caught.value) + caught.value.detail + repr(caught.value) + repr(webhook)
    assert "hidden" not in told
    assert WEBHOOK_SECRET.removeprefix("whsec_") not in told
