"""The page of a day: the digest as it stands, drawn, with what became of sending it."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import pytest

from config.loading import load
from room_reports.ledger import Sending
from room_reports.web.ops.days import RESERVE, day_page
from room_reports.web.ops.desk import Desk, Patience
from room_reports.web.ops.sessions import KnownBrowsers, Sessions
from tests.support.rooms_in_ledger import HOSTILE, LedgerWriter, sid_of
from tests.support.servers import RedisServer
from tests.web.ops.conftest import Visitor, environment
from tests.web.ops.test_pages import text_of


@pytest.fixture
def desk(writer: LedgerWriter, doors_redis: RedisServer) -> Desk:
    """What the page works with."""
    return Desk.of(load(environment(doors_redis)), writer.ledger, KnownBrowsers(b"key", Sessions(public_base_url=None)))


def test_a_day_has_its_figures_its_rooms_and_its_picture(operator: Visitor, writer: LedgerWriter, today: date) -> None:
    # Opened and not set back, so all that counts is of today.
    sid = writer.open(1, HOSTILE, ago=timedelta(0))
    writer.summarise(sid, recording_enabled=True, total_recording_duration_sec=0, total_participant_duration_sec=600)
    writer.add_days(30, before=today)
    page = operator.get(f"/days/{today}")
    shown = text_of(page)
    assert f"{today:%A}, {today}" in shown
    assert re.search(r"Rooms 1 \(usually \d+\)", shown)
    assert re.search(r"Participant minutes 10 \(usually [\d,]+\)", shown)
    assert f'href="/rooms/{sid_of(1)}"' in page.text
    assert "nothing recorded" in shown
    assert page.text.count("<rect") == 14
    assert f"{today:%d %b}: 10 min, 1 room" in shown
    assert "<script>alert" not in page.text
    assert "\u202e" not in page.text


def test_what_became_of_sending_it_is_shown(operator: Visitor, writer: LedgerWriter, today: date) -> None:
    at = datetime(2026, 11, 23, 6, 30, 1, tzinfo=UTC).timestamp()
    writer.ledger.digests.note(today, "slack", Sending("sent", 1, 1, at))
    writer.ledger.digests.note(today, "webhook", Sending("failed", 2, 0, at, "timeout", "no answer", at + 60))
    shown = text_of(operator.get(f"/days/{today}"))
    assert "Digest to slack sent, 2026-11-23 06:30:01 UTC" in shown
    assert "Digest to webhook failed, timeout, 2026-11-23 06:30:01 UTC" in shown


def test_days_lead_to_one_another_from_the_first_to_the_last(
    operator: Visitor, writer: LedgerWriter, today: date
) -> None:
    writer.add_days(3, before=today)
    page = operator.get("/days")
    yesterday, first = today - timedelta(days=1), today - timedelta(days=2)
    assert page.url.endswith(f"/days/{yesterday}")
    assert f'href="/days/{first}" rel="prev"' in page.text
    assert f'href="/days/{today}" rel="next"' in page.text
    assert 'rel="next"' not in operator.get(f"/days/{today}").text
    assert 'rel="prev"' not in operator.get(f"/days/{first}").text


def test_when_time_runs_out_the_counts_are_there_and_it_is_said(writer: LedgerWriter, desk: Desk, today: date) -> None:
    sid = writer.open(1, "daily", ago=timedelta(0))
    writer.summarise(sid, recording_enabled=True, total_recording_duration_sec=0)
    in_time, too_late = (day_page(desk, Patience(seconds), today) for seconds in (3.0, RESERVE))
    assert [len(page.worst) for page in (in_time, too_late)] == [1, 0]
    assert [page.data.rooms for page in (in_time, too_late)] == [1, 1]
    assert ["no time" in " ".join(page.remarks) for page in (in_time, too_late)] == [False, True]


def test_an_empty_ledger_has_an_empty_day(operator: Visitor) -> None:
    shown = text_of(operator.get("/days"))
    assert "Rooms 0" in shown
    assert "Cost" not in shown


@pytest.mark.parametrize("day", ["2026-13-01", "yesterday", "9999-01-01", "0001-01-01", "1999-12-31"])
def test_what_is_no_day_is_not_there(operator: Visitor, day: str) -> None:
    assert operator.get(f"/days/{day}").status_code == 404


def test_a_stranger_sees_no_day(stranger: Visitor, today: date) -> None:
    assert stranger.get(f"/days/{today}", follow=False).status_code == 303
