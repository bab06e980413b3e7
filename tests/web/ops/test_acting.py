"""Resending and resuming from the page."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis

from room_reports.ledger import Outcome, Room
from tests.support.rooms_in_ledger import LedgerWriter, sid_of
from tests.web.ops.conftest import Visitor

HOUR = timedelta(hours=1)
RESEND = f"/rooms/{sid_of(1)}/resend"


def room_in(writer: LedgerWriter) -> Room:
    room = writer.ledger.room(sid_of(1))
    assert room is not None
    return room


def series(writer: LedgerWriter) -> dict[str, int]:
    return {step.name: step.series for step in room_in(writer).steps}


def test_what_was_delivered_is_resent_only_after_asking(operator: Visitor, writer: LedgerWriter) -> None:
    page = operator.get(f"/rooms/{writer.delivered(1, 'daily', ago=HOUR)}")
    asked = operator.send(page, RESEND, destination="slack")
    assert asked.status_code == 200
    assert "Deliver it again?" in asked.text
    assert "a second message in the channel" in asked.text
    assert series(writer)["slack"] == 1
    done = operator.send(asked, RESEND, destination="slack", confirmed="yes")
    assert "Resending to slack." in done.text
    assert series(writer) == {"summary": 1, "slack": 2, "webhook": 1}
    record = room_in(writer).attempts[-1]
    assert (record["outcome"], record["detail"]) == ("resend", "ops page, 127.0.0.1")
    assert "asked for by ops page, 127.0.0.1" in done.text


def test_a_dead_letter_is_resent_at_once(operator: Visitor, writer: LedgerWriter) -> None:
    sid = writer.open(1, "daily", ago=HOUR)
    writer.summarise(sid)
    writer.deliver(sid, "slack")
    writer.attempt(sid, "webhook", Outcome("dead", "rejected", "answered 422"))
    done = operator.send(operator.get(f"/rooms/{sid}"), RESEND, destination="webhook")
    assert "Resending to webhook." in done.text
    assert series(writer)["webhook"] == 2
    assert room_in(writer).state == "open"


def test_what_is_under_way_is_left_alone(operator: Visitor, writer: LedgerWriter) -> None:
    sid = writer.open(1, "daily", ago=HOUR)
    writer.summarise(sid)
    page = operator.get(f"/rooms/{sid}")
    assert "Resend" not in page.text
    done = operator.send(page, RESEND, destination="slack", confirmed="yes")
    assert "under way already" in done.text
    assert series(writer)["slack"] == 1


@pytest.mark.parametrize("destination", ["", "summary", "nowhere", "<b>"])
def test_only_deliveries_of_this_room_can_be_resent(operator: Visitor, writer: LedgerWriter, destination: str) -> None:
    page = operator.get(f"/rooms/{writer.delivered(1, 'daily', ago=HOUR)}")
    answer = operator.send(page, RESEND, destination=destination, confirmed="yes")
    assert answer.status_code == 400
    assert max(series(writer).values()) == 1


def test_a_form_without_its_token_does_nothing(operator: Visitor, writer: LedgerWriter) -> None:
    writer.delivered(1, "daily", ago=HOUR)
    for token in ("", "guessed"):
        assert operator.post(RESEND, destination="slack", confirmed="yes", csrf=token).status_code == 400
    assert operator.get(RESEND).status_code == 405
    assert max(series(writer).values()) == 1


def test_a_hold_is_resumed(operator: Visitor, writer: LedgerWriter, store: redis.Redis) -> None:
    sid = writer.open(1, "daily", ago=HOUR)
    writer.summarise(sid)
    writer.attempt(sid, "slack", Outcome("waiting", "gone", "answered 404", counts=False, lane="operator"))
    page = operator.get("/")
    assert 'action="/holds/slack/resume"' in page.text
    done = operator.send(page, "/holds/slack/resume")
    assert "slack is resumed: 1 unfinished step will go on." in done.text
    assert writer.ledger.holds() == []
    assert "slack was not held" in operator.send(done, "/holds/slack/resume").text
    assert operator.send(done, "/holds/nowhere/resume").status_code == 400


def test_a_resend_to_what_is_held_says_so(operator: Visitor, writer: LedgerWriter) -> None:
    page = operator.get(f"/rooms/{writer.delivered(1, 'daily', ago=HOUR)}")
    sid = writer.open(2, "daily", ago=HOUR)
    writer.summarise(sid)
    writer.attempt(sid, "slack", Outcome("waiting", "gone", "answered 404", counts=False, lane="operator"))
    done = operator.send(page, RESEND, destination="slack", confirmed="yes")
    assert "Resending to slack, when its hold ends." in done.text
