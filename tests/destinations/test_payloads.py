"""What a webhook gets besides whole reports: chosen parts, and CloudEvents as their own library reads them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks.webhooks import Webhook

from config.loading import load
from room_reports.delivery import Delivery, Notice
from room_reports.destinations.webhook import ReportWebhook
from room_reports.payloads import part_of
from room_reports.reports import LARGEST
from room_reports.transport import Transport
from sandbox.client import Sandbox
from sandbox.history import Exchange
from sandbox.options import WEBHOOK_SECRET
from tests.support.reports import ACCOUNT_SID, END, ROOM_SID, make_report, summary_with


def data_of(*fields: str, **summary: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(part_of(make_report(summary_with(**summary)), fields))["data"]
    return data


def event_of(exchange: Exchange) -> Any:
    """What arrived, as the library of CloudEvents reads it: it raises for what the specification does not allow."""
    assert exchange.verified
    Webhook(WEBHOOK_SECRET).verify(exchange.body or "", dict(exchange.headers or {}), json_parse=False)
    return from_http_event(HTTPMessage(headers=dict(exchange.headers or {}), body=(exchange.body or "").encode()))


@pytest.fixture
def webhook(sandbox: Sandbox, transport: Transport) -> ReportWebhook:
    settings = load({**sandbox.environment(), "REPORT_WEBHOOK_FORMAT": "cloudevents"})
    return ReportWebhook.from_settings(settings, transport)


class TestParts:
    def test_without_a_choice_it_is_the_report(self) -> None:
        assert part_of(make_report(), ()) == make_report().to_json()

    def test_only_what_was_chosen_goes(self) -> None:
        data = data_of("derived", "summary.duration_sec", "summary.codecs")
        assert list(data) == ["schema_version", "room_sid", "summary", "derived", "left_out"]
        assert data["summary"] == {"codecs": ["VP8", "opus"], "duration_sec": 2520}
        assert data["derived"]["people"] == 5

    def test_a_part_that_is_named_whole_goes_whole(self) -> None:
        assert data_of("summary.codecs", "summary")["summary"] == data_of()["summary"]

    def test_what_is_missing_stays_null(self) -> None:
        report = make_report(None)
        assert json.loads(part_of(report, ["summary.codecs"]))["data"]["summary"] is None

    def test_what_does_not_go_shortens_nothing(self) -> None:
        data = data_of("summary.codecs", extra=["x" * 1000] * 100, codecs=["VP8"] * 1000)
        assert (len(data["summary"]["codecs"]), data["left_out"]) == (1000, [])

    def test_what_goes_is_shortened(self) -> None:
        body = part_of(make_report(summary_with(extra=["x" * 1000] * 100)), ["summary"])
        assert len(body) <= LARGEST
        assert json.loads(body)["data"]["left_out"]


class TestCloudEvents:
    def test_a_report_is_one(self, webhook: ReportWebhook, sandbox: Sandbox, delivery: Delivery) -> None:
        webhook.send(make_report(), delivery)
        [exchange] = sandbox.receiver.accepted()
        assert (exchange.headers or {})["content-type"] == "application/cloudevents+json"
        event = event_of(exchange)
        assert event.get_specversion() == "1.0"
        assert event.get_id() == delivery.id == exchange.message_id
        assert event.get_source() == f"/room-reports/{ACCOUNT_SID}"
        assert event.get_type() == "com.room-reports.room.report"
        assert event.get_subject() == ROOM_SID
        assert event.get_time() == END
        assert event.get_datacontenttype() == "application/json"
        assert event.get_data() == json.loads(make_report().to_json())["data"]

    def test_news_of_a_hold_is_one(self, webhook: ReportWebhook, sandbox: Sandbox, delivery: Delivery) -> None:
        webhook.notify(Notice("slack", "gone", "answered 404", heals=False), delivery)
        event = event_of(sandbox.receiver.accepted()[0])
        assert (event.get_type(), event.get_subject()) == ("com.room-reports.held", None)
        assert event.get_data()["lane"] == "slack"

    def test_attempts_of_one_delivery_are_one_event(self, webhook: ReportWebhook, sandbox: Sandbox) -> None:
        for attempt in (1, 2):
            webhook.send(make_report(), Delivery("msg_1", attempt, datetime.now(UTC)))
        events = [event_of(exchange) for exchange in sandbox.receiver.accepted()]
        assert len({(event.get_source(), event.get_id()) for event in events}) == 1
