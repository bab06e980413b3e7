"""A copied room is to the ledger what the original is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import redis

from bench import backlog
from config.loading import load
from room_reports.lanes import make_ledger
from room_reports.ledger import SUMMARY, Outcome
from sandbox.options import ACCOUNT_SID
from sandbox.summaries import room_sid
from tests.support.processes import settings_for

FIRST, *OTHERS = (room_sid(3, number) for number in range(40))


def test_copies_of_a_waiting_room_wait(redis_url: str) -> None:
    environment = settings_for(redis_url)
    with redis.Redis.from_url(redis_url) as connection:
        backlog.open_waiting(connection, environment, FIRST)
        backlog.copies(connection, FIRST, OTHERS)
        ledger = make_ledger(load(environment), connection)
        assert ledger.counts()["open"] == 40
        assert ledger.dispatch()[0] == 0
        original, copy = ledger.room(FIRST), ledger.room(OTHERS[-1])
        assert original is not None
        assert copy is not None
        assert copy.steps == original.steps
        assert copy.steps[0].due is not None
        assert copy.steps[0].due - datetime.now(UTC) > timedelta(days=5)


def test_copies_of_a_queued_room_can_be_worked_off(redis_url: str) -> None:
    environment = settings_for(redis_url)
    with redis.Redis.from_url(redis_url) as connection:
        ledger = make_ledger(load(environment), connection)
        ledger.open(room_sid=FIRST, account_sid=ACCOUNT_SID, room_name="", ended=None, callback="", request_id="")
        backlog.copies(connection, FIRST, OTHERS)
        assert connection.llen("rq:queue:room-reports") == 40
        assert OTHERS[0].encode() in connection.hgetall(f"rq:job:{OTHERS[0]}-summary-1")[b"data"]
        claim = ledger.begin(OTHERS[0], SUMMARY, 1)
        assert claim is not None
        assert ledger.finish(claim, Outcome("expired"), took=0.1)
