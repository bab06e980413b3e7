"""Digests on their way: read from a real ledger, sent to real sockets, once each, whoever sends and whatever fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
import redis

from config.loading import load
from config.settings import Settings
from room_reports.daily import Daily, due_day
from room_reports.delivery import Delivery, Notice
from room_reports.destinations.webhook import ReportWebhook
from room_reports.ledger import Claim, Day, LaneNews, Outcome
from room_reports.reports import RoomReport
from room_reports.service import make_daily, make_service, make_transport
from room_reports.slack_digest import digest_message, digest_text_message
from room_reports.transport import Transport
from sandbox import answers
from sandbox.client import Sandbox
from sandbox.options import ACCOUNT_SID, WEBHOOK_SECRET
from sandbox.summaries import room_sid
from tests.support.driver import WAITS
from tests.support.processes import settings_for

AT = time(6, 30)


@pytest.fixture
def daily(redis_url: str, sandbox: Sandbox) -> Iterator[Daily]:
    """Sends to the sandbox's Slack and receiver, patiently."""
    variables = WAITS | {"DELIVERY_WAITS": "60,600"}
    settings = load(settings_for(redis_url) | sandbox.environment() | variables)
    transport = make_transport(settings)
    with redis.Redis.from_url(redis_url) as connection:
        yield make_daily(settings, make_service(settings, connection, transport))
    transport.close()


@pytest.fixture
def now() -> datetime:
    """Today, when the digest of yesterday is due."""
    return datetime.now(UTC).replace(hour=7, minute=0, second=0, microsecond=0)


def yesterday(now: datetime) -> date:
    return now.date() - timedelta(days=1)


def claim_of(daily: Daily, number: int, *, ended: datetime, name: str = "weekly") -> Claim:
    """Opens a room; the claim to its summary step."""
    sid = room_sid(3, number)
    daily.ledger.open(
        room_sid=sid, account_sid=ACCOUNT_SID, room_name=name, ended=ended, callback="", request_id="request"
    )
    claim = daily.ledger.begin(sid, "summary", 1)
    assert claim is not None
    return claim


def reported(daily: Daily, number: int, *, ended: datetime, verdicts: tuple[str, ...] = ()) -> str:
    """A room whose summary is there, with an hour of participants. Returns its SID."""
    claim = claim_of(daily, number, ended=ended)
    fields = {"verdicts": json.dumps(verdicts)}
    outcome = Outcome("complete", fields=fields, opens=("webhook",), day=Day(1, 3600, 600))
    assert daily.ledger.finish(claim, outcome, took=0.1) is not None
    return claim.room_sid


def hold(daily: Daily, number: int, news: LaneNews) -> None:
    """Has the webhook's lane held."""
    sid = reported(daily, number, ended=datetime.now(UTC))
    claim = daily.ledger.begin(sid, "webhook", 1)
    assert claim is not None
    outcome = Outcome("waiting", "gone", "answered 410", counts=False, lane=news)
    assert daily.ledger.finish(claim, outcome, took=0.1) is not None


def ids_of(sandbox: Sandbox) -> list[str | None]:
    """The ids of the digests that the receiver has taken."""
    return [exchange.message_id for exchange in sandbox.receiver.accepted()]


class Plain:
    """A destination with the least there has to be."""

    name, rate = "plain", 0.0

    @classmethod
    def from_settings(cls, settings: Settings, transport: Transport) -> Plain:
        return cls()

    def send(self, report: RoomReport, delivery: Delivery) -> None:
        raise NotImplementedError

    def notify(self, notice: Notice, delivery: Delivery) -> None:
        raise NotImplementedError


class TestContent:
    def test_only_rooms_that_ended_on_the_day_are_in_it(self, daily: Daily) -> None:
        # The ledger opens rooms now, so the day is today; those of the days around it are told by their end.
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        inside = [
            reported(daily, 1, ended=today, verdicts=("at_capacity",)),
            reported(daily, 2, ended=today + timedelta(days=1, microseconds=-1), verdicts=("at_capacity",)),
        ]
        reported(daily, 3, ended=today - timedelta(microseconds=1), verdicts=("at_capacity",))
        reported(daily, 4, ended=today + timedelta(days=1), verdicts=("at_capacity",))
        claim_of(daily, 5, ended=today)
        data = daily.digest_of(today.date(), now=datetime.now(UTC)).data
        assert {room.room_sid for room in data.worst_rooms} == set(inside)
        assert (data.rooms, data.participant_minutes, data.recorded_minutes, data.unfinished) == (2, 120, 20, 1)
        assert {room.room_name for room in data.worst_rooms} == {"weekly"}

    def test_more_rooms_than_are_read_at_a_time(self, daily: Daily) -> None:
        ended = datetime.now(UTC)
        for number in range(600):
            claim_of(daily, number, ended=ended)
        assert daily.digest_of(ended.date(), now=ended).data.unfinished == 600

    def test_time_to_the_summary_is_counted_from_the_end(self, daily: Daily) -> None:
        now = datetime.now(UTC)
        ended = now - timedelta(minutes=20) if now.hour else now
        reported(daily, 1, ended=ended)
        [room] = daily.digest_of(ended.date(), now=now).data.slowest_summaries
        assert room.seconds_to_summary == pytest.approx((now - ended).total_seconds(), abs=30)


class TestSending:
    def test_it_arrives_at_every_destination_once(self, daily: Daily, sandbox: Sandbox, now: datetime) -> None:
        for minutes in (0, 1, 600):
            daily.send_due(at=AT, now=now + timedelta(minutes=minutes))
        [message] = sandbox.slack.messages()
        [report] = sandbox.receiver.reports()
        made = daily.digest_of(yesterday(now), now=now)
        assert message == digest_message(made)
        assert report == json.loads(made.to_json())
        assert report["type"] == "room.digest"
        assert ids_of(sandbox) == [f"msg_digest_{yesterday(now)}_webhook_1"]
        assert all(exchange.verified for exchange in sandbox.receiver.accepted())
        assert {name: one.state for name, one in daily.ledger.digests.sendings(yesterday(now)).items()} == {
            "slack": "sent",
            "webhook": "sent",
        }

    def test_eight_workers_at_once_send_one(self, daily: Daily, sandbox: Sandbox, now: datetime) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: daily.send_due(at=AT, now=now), range(24)))
        assert (len(sandbox.slack.messages()), len(sandbox.receiver.reports())) == (1, 1)

    def test_the_next_day_has_its_own(self, daily: Daily, sandbox: Sandbox, now: datetime) -> None:
        daily.send_due(at=AT, now=now)
        daily.send_due(at=AT, now=now + timedelta(hours=23, minutes=29))
        assert len(ids_of(sandbox)) == 1
        daily.send_due(at=AT, now=now + timedelta(hours=23, minutes=30))
        assert ids_of(sandbox)[1:] == [f"msg_digest_{now.date()}_webhook_1"]

    def test_what_fails_is_tried_again_and_repeats_nothing_elsewhere(
        self, daily: Daily, sandbox: Sandbox, now: datetime
    ) -> None:
        sandbox.receiver.script(answers.status(503), answers.reset())
        for minutes in (0, 0.5, 2, 3, 12, 13):
            daily.send_due(at=AT, now=now + timedelta(minutes=minutes))
        assert len(sandbox.slack.messages()) == 1
        assert [exchange.accepted for exchange in sandbox.receiver.history()] == [False, False, True]
        assert len({exchange.message_id for exchange in sandbox.receiver.history()}) == 1
        assert daily.ledger.digests.sendings(yesterday(now))["webhook"].tries == 3

    def test_a_destination_that_asks_for_time_gets_it(self, daily: Daily, sandbox: Sandbox, now: datetime) -> None:
        sandbox.slack.script(answers.too_many("900"))
        for minutes in (0, 14):
            daily.send_due(at=AT, now=now + timedelta(minutes=minutes))
        assert len(sandbox.slack.history()) == 1
        daily.send_due(at=AT, now=now + timedelta(minutes=16))
        assert len(sandbox.slack.messages()) == 1

    def test_what_is_refused_for_good_is_not_tried_again(self, daily: Daily, sandbox: Sandbox, now: datetime) -> None:
        sandbox.receiver.always(answers.status(422))
        for hours in (0, 5, 20):
            daily.send_due(at=AT, now=now + timedelta(hours=hours))
        assert len(sandbox.receiver.history()) == 1
        sending = daily.ledger.digests.sendings(yesterday(now))["webhook"]
        assert (sending.state, sending.reason, sending.times_sent) == ("refused", "rejected", 0)

    def test_what_failed_all_day_gives_way_to_the_next(self, daily: Daily, sandbox: Sandbox, now: datetime) -> None:
        sandbox.receiver.always(answers.status(503))
        daily.send_due(at=AT, now=now)
        sandbox.receiver.normal()
        daily.send_due(at=AT, now=now + timedelta(days=1))
        assert ids_of(sandbox) == [f"msg_digest_{now.date()}_webhook_1"]

    def test_a_held_destination_is_left_alone_until_it_is_resumed(
        self, daily: Daily, sandbox: Sandbox, now: datetime
    ) -> None:
        hold(daily, 1, "operator")
        daily.send_due(at=AT, now=now)
        assert sandbox.receiver.history() == []
        assert len(sandbox.slack.messages()) == 1
        assert daily.ledger.resume("webhook")
        daily.send_due(at=AT, now=now)
        assert len(sandbox.receiver.reports()) == 1

    def test_a_slack_that_refuses_blocks_gets_text(self, daily: Daily, sandbox: Sandbox, now: datetime) -> None:
        sandbox.slack.script(answers.status(400, "invalid_blocks"))
        daily.send_due(at=AT, now=now)
        assert sandbox.slack.messages()[-1] == digest_text_message(daily.digest_of(yesterday(now), now=now))

    def test_as_a_cloud_event_where_these_are_wanted(
        self, redis_url: str, sandbox: Sandbox, daily: Daily, now: datetime
    ) -> None:
        variables = {"REPORT_WEBHOOK_FORMAT": "cloudevents"}
        settings = load(settings_for(redis_url) | sandbox.environment() | WAITS | variables)
        transport = make_transport(settings)
        webhook = ReportWebhook.from_settings(settings, transport)
        replace(daily, destinations={"webhook": webhook}).send_due(at=AT, now=now)
        [event] = sandbox.receiver.reports()
        assert (event["type"], event["id"]) == ("com.room-reports.room.digest", ids_of(sandbox)[0])
        assert event["data"]["day"] == str(yesterday(now))
        transport.close()

    def test_of_many_destinations_the_operators_get_it_with_no_more_than_they_may_know(
        self, redis_url: str, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        file = tmp_path / "destinations.toml"
        file.write_text("""
            operators = ["archive", "operations"]
            [destinations.archive]
            kind = "webhook"
            url = "env:RECEIVER"
            secret = "env:SECRET"
            fields = ["derived"]
            [destinations.operations]
            kind = "slack"
            url = "env:CHANNEL"
            [destinations.others]
            kind = "slack"
            url = "env:CHANNEL"
        """)
        variables = {"RECEIVER": sandbox.receiver_url, "CHANNEL": sandbox.slack_url, "SECRET": WEBHOOK_SECRET}
        environment = settings_for(redis_url, REPORT_WEBHOOK_URL="", REPORT_WEBHOOK_SECRET="") | WAITS
        settings = load(environment | variables | {"DESTINATIONS_FILE": str(file)})
        transport = make_transport(settings)
        with redis.Redis.from_url(redis_url) as connection:
            daily = make_daily(settings, make_service(settings, connection, transport))
            now = datetime.now(UTC)
            sid = reported(daily, 1, ended=now, verdicts=("at_capacity",))
            daily.send_due(at=time(), now=now + timedelta(days=1))
        transport.close()
        assert set(daily.takers) == {"archive", "operations"}
        assert "weekly" in json.dumps(sandbox.slack.messages())
        assert len(sandbox.slack.messages()) == 1
        [digest] = sandbox.receiver.reports()
        assert [room["room_sid"] for room in digest["data"]["worst_rooms"]] == [sid]
        assert "weekly" not in json.dumps(digest)

    def test_a_destination_that_takes_no_digests_is_passed_over(self, daily: Daily, now: datetime) -> None:
        only = replace(daily, destinations={"plain": Plain()})
        only.send_due(at=AT, now=now)
        assert only.takers == {}
        assert daily.ledger.digests.sendings(yesterday(now)) == {}


@pytest.mark.parametrize(
    ("clock", "day"),
    [
        ("2026-11-23T06:29:59+00:00", "2026-11-21"),
        ("2026-11-23T06:30:00+00:00", "2026-11-22"),
        ("2026-11-23T23:59:59+00:00", "2026-11-22"),
        ("2026-11-24T06:29:59+00:00", "2026-11-22"),
        ("2026-11-23T01:00:00-06:00", "2026-11-22"),
        ("2026-03-01T06:30:00+00:00", "2026-02-28"),
    ],
)
def test_the_day_before_is_due_from_its_time_on(clock: str, day: str) -> None:
    assert due_day(datetime.fromisoformat(clock), AT) == date.fromisoformat(day)
