"""What the page reads of the ledger: searches in bites, places that stay, hours and causes; on every engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import redis

from room_reports.ledger import Ledger, Outcome
from room_reports.ledger.pages import CHUNK, MOST_LOOKED_AT, Place, Unfinished, Wanted, needles_of
from room_reports.ledger.sign_ins import network_of
from tests.test_ledger import begin, finish, make_ledger, open_room, room_sid


@pytest.fixture
def ledger(connection: redis.Redis) -> Ledger:
    return make_ledger(connection)


def add_rooms(connection: redis.Redis, count: int, *, name: str = "daily") -> None:
    """So many rows and index entries, all opened at the same moment, which is the hardest to page through."""
    with connection.pipeline(transaction=False) as pipeline:
        for number in range(count):
            pipeline.hset(f"t:room:{room_sid(number)}", mapping={"name": name, "slack.state": "delivered"})
            pipeline.zadd("t:rooms:all", {room_sid(number): 1795428000.25})
        pipeline.execute()


def test_a_search_goes_on_behind_its_last_chunk_until_it_has_enough(connection: redis.Redis, ledger: Ledger) -> None:
    add_rooms(connection, 3 * CHUNK)
    for number in (5, CHUNK, 2 * CHUNK + 7):
        connection.hset(f"t:room:{room_sid(number)}", "name", "Weekly")
    found = ledger.pages.search(Wanted(text="week"), after=None, limit=2, seconds=10)
    assert found.sids == (room_sid(2 * CHUNK + 7), room_sid(CHUNK))
    assert found.in_time
    rest = ledger.pages.search(Wanted(text="week"), after=found.older, limit=2, seconds=10)
    assert rest.sids == (room_sid(5),)
    assert rest.older is None


def test_a_search_that_runs_out_of_time_says_where_to_go_on(connection: redis.Redis, ledger: Ledger) -> None:
    add_rooms(connection, 2 * CHUNK + 10)
    looked_at, place, rounds = 0, None, 0
    while rounds == 0 or place is not None:
        found = ledger.pages.search(Wanted(text="nobody"), after=place, limit=2, seconds=0)
        looked_at, place, rounds = looked_at + found.looked_at, found.older, rounds + 1
        assert found.in_time == (place is None)
    assert (looked_at, rounds) == (2 * CHUNK + 10, 3)


def test_a_place_outlasts_the_room_that_marks_it(connection: redis.Redis, ledger: Ledger) -> None:
    for number in range(6):
        connection.zadd("t:rooms:open", {room_sid(number): 1000 + number})
    first = ledger.pages.search(Wanted(state="open"), after=None, limit=2, seconds=1)
    assert first.older == Place(room_sid(4), "1004.0")
    connection.zrem("t:rooms:open", room_sid(4), room_sid(3))
    second = ledger.pages.search(Wanted(state="open"), after=first.older, limit=2, seconds=1)
    assert second.sids == (room_sid(2), room_sid(1))


def test_a_row_that_has_expired_matches_nothing(connection: redis.Redis, ledger: Ledger) -> None:
    add_rooms(connection, 1)
    connection.delete(f"t:room:{room_sid(0)}")
    for wanted in (
        Wanted(text="daily"),
        Wanted(step="slack", step_states=("delivered",)),
        Wanted(verdict="at_capacity"),
    ):
        assert ledger.pages.search(wanted, after=None, limit=5, seconds=1).sids == ()
    assert ledger.rooms_of([room_sid(0)]) == []


@pytest.mark.parametrize("kept", ['["at_capacity","no_duration"]', "at_capacity no_duration", '["at_capacity"]'])
def test_a_verdict_is_found_as_a_word(connection: redis.Redis, ledger: Ledger, kept: str) -> None:
    add_rooms(connection, 1)
    connection.hset(f"t:room:{room_sid(0)}", "verdicts", kept)
    for code, is_found in (("at_capacity", True), ("capacity", False), ("at", False)):
        found = ledger.pages.search(Wanted(verdict=code), after=None, limit=5, seconds=1)
        assert bool(found.sids) == is_found, code


def test_rooms_are_counted_by_the_hour(connection: redis.Redis, ledger: Ledger) -> None:
    now = datetime(2026, 11, 23, 10, 20, tzinfo=UTC)
    for minutes in (0, 19, 21, 80, 81, 3 * 24 * 60):
        sid = room_sid(minutes)
        connection.zadd("t:rooms:all", {sid: (now - timedelta(minutes=minutes)).timestamp()})
    counted = ledger.pages.opened_by_hour(hours=3, now=now)
    assert counted == [
        (datetime(2026, 11, 23, 8, tzinfo=UTC), 1),
        (datetime(2026, 11, 23, 9, tzinfo=UTC), 2),
        (datetime(2026, 11, 23, 10, tzinfo=UTC), 2),
    ]


def test_unfinished_steps_are_told_apart(ledger: Ledger) -> None:
    for number in range(4):
        open_room(ledger, number)
    finish(ledger, begin(ledger, "summary", number=1), Outcome("waiting", "not_ready", pause=600))
    finish(ledger, begin(ledger, "summary", number=2), Outcome("waiting", "not_ready"))
    begin(ledger, "summary", number=3)
    found, left = ledger.pages.unfinished({"twilio": 4, "slack": 0})
    assert left == 0
    assert sorted(found, key=lambda one: (one.state, one.is_due)) == [
        Unfinished("twilio", "queued", None, False, 1),
        Unfinished("twilio", "running", None, False, 1),
        Unfinished("twilio", "waiting", "not_ready", False, 1),
        Unfinished("twilio", "waiting", "not_ready", True, 1),
    ]


def test_a_long_backlog_is_looked_at_in_part(connection: redis.Redis, ledger: Ledger) -> None:
    entries = {room_sid(number): 1000.0 + number for number in range(MOST_LOOKED_AT + 300)}
    connection.zadd("t:due:slack", entries)
    found, left = ledger.pages.unfinished({"slack": len(entries)})
    assert (sum(one.count for one in found), left) == (MOST_LOOKED_AT, 300)


def test_names_are_looked_for_as_people_write_them() -> None:
    assert needles_of("élodie") == ["Élodie", "élodie"]  # "ÉLODIE", its ASCII letters lowered as Lua does
    assert needles_of("ABC") == ["abc"]
    assert needles_of("") == []


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::"),
        ("nonsense\nfoo", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_client_is_an_address_or_a_network(address: str, network: str) -> None:
    assert network_of(address) == network
