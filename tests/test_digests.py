"""The digest of a day: its figures, what is usual, the rooms that are named, and the message in Slack."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import jsonschema
import pytest

from room_reports.costs import Rates
from room_reports.digest_words import BARS, NO_BAR, bars_of
from room_reports.digests import MOST_ROOMS, RoomDigest, compose, usual_day
from room_reports.ledger import Day, EndedRoom
from room_reports.report_docs import DOCS, digest_guide, digest_schema
from room_reports.slack_digest import digest_message, digest_text_message
from sandbox.messages import links, mentions, refusal, render
from tests.support.block_kit import checked

DAY = date(2026, 11, 22)
ENDED = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
MADE = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
HOSTILE = "<!channel> <https://evil.example|x>\n*Worth a look* `@here` \u202e:tada:" + "&" * 3000


def ended_room(number: int = 1, **changes: Any) -> EndedRoom:
    known: dict[str, Any] = {
        "sid": f"RM{number:032x}",
        "name": "weekly",
        "ended": ENDED,
        "verdicts": (),
        "is_unfinished": False,
        "seconds_to_summary": 60.0,
    }
    return EndedRoom(**known | changes)


def made(days: dict[date, Day] | None = None, *ended: EndedRoom, rates: Rates | None = None) -> RoomDigest:
    return compose(
        DAY,
        days={DAY: Day(2, 7200, 600)} if days is None else days,
        ended=ended,
        rates=rates or Rates(),
        console_url="https://console.example.com/{room_sid}",
        made_at=MADE,
    )


class TestFigures:
    def test_the_counts_of_the_day_and_their_cost(self) -> None:
        data = made(rates=Rates(Decimal("0.004"), Decimal("0.01"), "EUR")).data
        assert (data.rooms, data.participant_minutes, data.recorded_minutes) == (2, 120.0, 10.0)
        assert data.cost_estimate is not None
        assert (data.cost_estimate.amount, data.cost_estimate.currency) == (Decimal("0.5800"), "EUR")

    def test_a_day_without_rooms_is_a_digest_too(self) -> None:
        data = made({}).data
        assert (data.rooms, data.usual, data.worst_rooms, data.slowest_summaries) == (0, None, (), ())
        assert refusal(digest_message(made({}))) is None

    def test_usual_is_the_mean_of_the_last_four_of_this_weekday(self) -> None:
        days = {DAY - timedelta(weeks=back): Day(10 * back, 600 * back, 60 * back) for back in range(1, 9)}
        days |= {DAY - timedelta(days=1): Day(999, 999, 999)}
        usual = usual_day(DAY, days)
        assert usual is not None
        assert usual.model_dump() == {"days": 4, "rooms": 25, "participant_minutes": 25, "recorded_minutes": 2.5}

    def test_a_silent_day_is_a_nought_since_the_first_that_is_known(self) -> None:
        days = {DAY - timedelta(weeks=3): Day(9, 0, 0), DAY - timedelta(weeks=1): Day(3, 0, 0)}
        usual = usual_day(DAY, days)
        assert usual is not None
        assert (usual.days, usual.rooms) == (3, 4)

    def test_nothing_is_usual_in_the_first_week(self) -> None:
        assert usual_day(DAY, {DAY - timedelta(days=6): Day(9, 9, 9), DAY: Day(1, 1, 1)}) is None
        assert usual_day(DAY, {}) is None


class TestRooms:
    def test_worst_are_those_with_most_warnings_then_notices(self) -> None:
        rooms = [
            ended_room(1, verdicts=("single_participant", "no_duration")),
            ended_room(2, verdicts=("ended_by_timeout", "unknown_to_this_version")),
            ended_room(3, verdicts=("at_capacity",)),
            ended_room(4, verdicts=("nothing_recorded", "at_capacity", "ended_by_timeout")),
        ]
        data = made(None, *rooms).data
        assert [int(room.room_sid[2:], 16) for room in data.worst_rooms] == [4, 3, 1]
        assert data.worst_rooms[0].verdicts == ("nothing_recorded", "at_capacity")
        assert data.worst_rooms[0].console == f"https://console.example.com/{rooms[3].sid}"
        assert (data.with_warnings, data.with_notices) == (2, 1)

    def test_slowest_are_those_that_waited_longest(self) -> None:
        data = made(None, *(ended_room(n, seconds_to_summary=float(n)) for n in (3, 9, 1))).data
        assert [room.seconds_to_summary for room in data.slowest_summaries] == [9, 3, 1]

    def test_of_very_many_rooms_the_right_few_are_named(self) -> None:
        full, worse = ("at_capacity",), ("at_capacity", "nothing_recorded")
        rooms = (
            ended_room(n, verdicts=worse if n % 2500 == 700 else full, seconds_to_summary=float(n)) for n in range(9000)
        )
        data = made(None, *rooms).data
        assert {room.seconds_to_summary for room in data.worst_rooms[:4]} == {700, 3200, 5700, 8200}
        assert data.with_warnings == 9000
        assert [room.seconds_to_summary for room in data.slowest_summaries] == [8999, 8998, 8997, 8996, 8995]

    def test_rooms_without_a_summary_yet_are_counted_apart(self) -> None:
        data = made(None, ended_room(1, is_unfinished=True, seconds_to_summary=None), ended_room(2)).data
        assert data.unfinished == 1
        assert [room.room_sid for room in data.slowest_summaries] == [ended_room(2).sid]


class TestSlack:
    def full(self) -> RoomDigest:
        days = {DAY - timedelta(days=back): Day(10, 6000 * (14 - back), 60) for back in range(14) if back != 5}
        rooms = [ended_room(n, name=HOSTILE, verdicts=("at_capacity", "nothing_recorded")) for n in range(9)]
        return made(days, *rooms, rates=Rates(Decimal("0.004")))

    def test_message_is_what_slack_takes_and_a_person_can_read(self) -> None:
        message = checked(digest_message(self.full()))
        assert refusal(message) is None
        shown = render(message)
        for words in (
            "Sunday, 22 November 2026: 10 rooms",
            "Rooms  10 (usually 10)",
            "Participant minutes  1,400 (usually 700)",
            "Cost  about 5.60 USD (estimate)",
            "9 rooms with warnings",
            "at capacity, nothing recorded",
            "Usual: the Sunday before.",
        ):
            assert words in shown

    def test_a_hostile_name_is_literal_text(self) -> None:
        message = digest_message(self.full())
        assert mentions(message) == []
        assert {link.rpartition("/")[0] for link in links(message)} == {"https://console.example.com"}
        assert "\u202e" not in json.dumps(message, ensure_ascii=False)
        assert message["mrkdwn"] is False

    def test_without_usual_cost_or_odd_rooms_nothing_is_said_of_them(self) -> None:
        shown = render(digest_message(made()))
        for word in ("usual", "Usual", "Cost", "Worth a look", "Slowest", "None"):
            assert word not in shown

    def test_text_alone_has_the_figures(self) -> None:
        message = digest_text_message(self.full())
        assert "blocks" not in message
        assert "Participant minutes: 1,400 (usually 700)" in message["text"]

    def test_bars_begin_at_nought(self) -> None:
        bars = bars_of(self.full().data)
        assert len(bars) == 14
        assert (bars[0], bars[8], bars[13]) == (BARS[0], NO_BAR, BARS[7])
        assert bars_of(made({}).data) == NO_BAR * 14


class TestDocumentation:
    def test_it_is_current(self) -> None:
        assert (DOCS / "digest.schema.json").read_text() == digest_schema(), "run: python -m room_reports.report_docs"
        assert (DOCS / "digest.md").read_text() == digest_guide(), "run: python -m room_reports.report_docs"

    @pytest.mark.parametrize("digest", [made({}), made(), TestSlack().full()], ids=["empty", "plain", "full"])
    def test_what_is_posted_follows_the_schema(self, digest: RoomDigest) -> None:
        body = digest.to_json()
        jsonschema.Draft202012Validator(json.loads(digest_schema())).validate(json.loads(body))
        assert len(body) < 20_000

    def test_as_many_are_named_as_is_documented(self) -> None:
        assert len(TestSlack().full().data.worst_rooms) == MOST_ROOMS
