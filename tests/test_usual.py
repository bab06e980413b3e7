"""What is usual for rooms of one name: learnt from the rooms before, kept bounded, and only where it is asked for."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from room_reports.ledger import Claim, Outcome
from room_reports.ledger.scripts import LENGTHS_KEPT
from room_reports.verdicts import usual_of
from sandbox.client import Sandbox
from sandbox.options import ACCOUNT_SID
from sandbox.summaries import room_sid
from tests.conftest import Drive
from tests.support.driver import Driver


def room_of(driver: Driver, sandbox: Sandbox, number: int, seconds: int, *, name: str = "weekly") -> Any:
    """The report at the webhook of a room that lasted so long."""
    sid = room_sid(1, number)
    sandbox.twilio.add_room(sid, room_name=name, duration_sec=seconds)
    driver.open(sid, name=name)
    driver.finish(sid)
    [report] = sandbox.receiver.reports(sid)
    return report


def codes_of(report: Any) -> list[str]:
    return [verdict["code"] for verdict in report["data"]["verdicts"]]


def unusual(report: Any) -> list[str]:
    return [code for code in codes_of(report) if code.endswith("_than_usual")]


def test_rooms_away_from_the_usual_of_their_name_are_told_of(drive: Drive, sandbox: Sandbox) -> None:
    driver = drive(USUAL_DURATIONS="1")
    for number in range(5):
        assert unusual(room_of(driver, sandbox, number, 1800 + number)) == []
    assert unusual(room_of(driver, sandbox, 10, 60)) == ["shorter_than_usual"]
    assert unusual(room_of(driver, sandbox, 11, 7200)) == ["longer_than_usual"]
    assert unusual(room_of(driver, sandbox, 12, 60, name="another")) == []
    shorter = driver.room(room_sid(1, 10))
    assert (shorter.usual, "shorter_than_usual" in shorter.verdicts) == (1802.0, True)


def test_with_participants_it_is_learnt_and_told_all_the_same(drive: Drive, sandbox: Sandbox) -> None:
    driver = drive(USUAL_DURATIONS="1", PARTICIPANTS="1")
    for number in range(5):
        room_of(driver, sandbox, number, 1800)
    assert unusual(room_of(driver, sandbox, 10, 60)) == ["shorter_than_usual"]


def test_a_resend_says_the_same_after_the_usual_has_changed(drive: Drive, sandbox: Sandbox) -> None:
    driver = drive(USUAL_DURATIONS="1")
    for number in range(5):
        room_of(driver, sandbox, number, 1800)
    room_of(driver, sandbox, 10, 60)
    for number in range(20, 30):
        room_of(driver, sandbox, number, 60)
    sid = room_sid(1, 10)
    assert driver.ledger.resend(sid, ["webhook"], who="test") == ["webhook"]
    driver.finish(sid)
    first, second = sandbox.receiver.reports(sid)
    assert codes_of(first) == codes_of(second)
    assert unusual(second) == ["shorter_than_usual"]


def test_unless_asked_for_nothing_is_kept(drive: Drive, sandbox: Sandbox) -> None:
    driver = drive()
    for number in range(6):
        room_of(driver, sandbox, number, 1800)
    assert unusual(room_of(driver, sandbox, 10, 60)) == []
    assert driver.connection.keys("*:lengths:*") == []


def test_what_is_kept_of_a_name_is_bounded_and_goes_away(drive: Drive) -> None:
    driver = drive(USUAL_DURATIONS="1")
    for number in range(LENGTHS_KEPT + 5):
        claim = finish_summary(driver, number, lasted=10**400 if number == 7 else number, name="a" * 5000)
    assert driver.ledger.lengths(claim) == (*range(24, 7, -1), 366 * 86400, 6, 5)
    [key] = driver.connection.keys("*:lengths:*")
    assert isinstance(key, bytes)
    assert len(key) < 80
    left = driver.connection.ttl(key)
    assert isinstance(left, int)
    assert 0 < left <= timedelta(days=30).total_seconds()


@pytest.mark.parametrize("name", ["", room_sid(1, 1)])
def test_a_room_without_a_name_has_nothing_usual(drive: Drive, name: str) -> None:
    driver = drive(USUAL_DURATIONS="1")
    claim = finish_summary(driver, 1, lasted=60, name=name)
    assert driver.ledger.lengths(claim) == ()
    assert driver.connection.keys("*:lengths:*") == []


def finish_summary(driver: Driver, number: int, *, lasted: int, name: str) -> Claim:
    sid = room_sid(1, number)
    driver.ledger.open(
        room_sid=sid, account_sid=ACCOUNT_SID, room_name=name, ended=None, callback="", request_id="request"
    )
    claim = driver.ledger.begin(sid, "summary", 1)
    assert claim is not None
    outcome = Outcome("complete", fields={"summary": json.dumps({})}, opens=("webhook",), lasted=lasted)
    assert driver.ledger.finish(claim, outcome, took=0.1) is not None
    return claim


@pytest.mark.parametrize(
    ("lengths", "usual"),
    [((), None), ((60, 60, 60, 60), None), ((60, 1, 60, 99999, 60), 60.0), ((10, 20, 30, 40, 50, 60), 35.0)],
)
def test_the_usual_is_the_middle_of_at_least_five(lengths: tuple[int, ...], usual: float | None) -> None:
    assert usual_of(lengths) == usual
