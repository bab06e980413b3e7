"""What the commands read from the ledger: every room in turn, and what Redis says of itself."""

from __future__ import annotations

from datetime import UTC, datetime

import redis

from room_reports.dispatch import queue_entry
from room_reports.ledger import Lane, Ledger, Outcome
from tests.support.servers import RedisServer

ACCOUNT = "AC" + "1" * 32


def make_ledger(connection: redis.Redis) -> Ledger:
    lanes = [Lane("twilio", (0.1,)), Lane("slack", (0.1,))]
    return Ledger(connection, prefix="t:", lease=1, retention=9 * 86400, lanes=lanes, queue=queue_entry())


def open_rooms(ledger: Ledger, count: int, *, first: int = 0) -> list[str]:
    sids = [f"RM{number:032x}" for number in range(first, first + count)]
    for sid in sids:
        ledger.open(
            room_sid=sid,
            account_sid=ACCOUNT,
            room_name="daily",
            ended=datetime(2026, 11, 23, tzinfo=UTC),
            callback="{}",
            request_id="",
        )
    return sids


class TestEachRoom:
    def test_gives_every_room_once_oldest_first_over_many_pages(self, connection: redis.Redis) -> None:
        ledger = make_ledger(connection)
        sids = open_rooms(ledger, 25)
        assert [room.sid for room in ledger.each_room(page=4)] == sids

    def test_rooms_opened_at_the_same_moment_are_not_lost_between_pages(self, connection: redis.Redis) -> None:
        ledger = make_ledger(connection)
        sids = open_rooms(ledger, 12)
        connection.zadd("t:rooms:all", dict.fromkeys(sids[:10], 1.5))
        assert [room.sid for room in ledger.each_room(page=3)] == sids

    def test_rooms_added_and_moved_meanwhile_disturb_no_other(self, connection: redis.Redis) -> None:
        ledger = make_ledger(connection)
        sids = open_rooms(ledger, 9)
        found = []
        for room in ledger.each_room(state="open", page=3):
            found.append(room.sid)
            if len(found) == 3:
                open_rooms(ledger, 2, first=100)
                claim = ledger.begin(sids[0], "summary", 1)
                assert claim is not None
                ledger.finish(claim, Outcome("expired", "gone"), took=0)
        assert found == [*sids, f"RM{100:032x}", f"RM{101:032x}"]

    def test_brings_the_attempts(self, connection: redis.Redis) -> None:
        ledger = make_ledger(connection)
        [sid] = open_rooms(ledger, 1)
        claim = ledger.begin(sid, "summary", 1)
        assert claim is not None
        ledger.finish(claim, Outcome("waiting", "not_ready", "Twilio says in_progress", pause=60), took=0.1)
        [room] = ledger.each_room()
        assert [attempt["detail"] for attempt in room.attempts] == ["Twilio says in_progress"]


class TestServer:
    def test_says_what_an_operator_must_know(self, connection: redis.Redis) -> None:
        server = make_ledger(connection).server()
        assert server.version >= (6, 2)
        assert server.name.startswith("Valkey" if "valkey_version" in connection.info() else "Redis")
        assert (server.is_cluster, server.is_replica, server.append_only, server.snapshots) == (
            False,
            False,
            False,
            False,
        )
        assert (server.eviction, server.memory_limit, server.persists) == ("noeviction", 0, True)
        assert 0 < server.latency < 5
        assert abs(server.skew) < 5

    def test_knows_a_replica_even_one_that_can_be_written(self) -> None:
        options = {"replica-read-only": "no"}
        with RedisServer() as primary, RedisServer(replicaof=f"127.0.0.1 {primary.port}", **options) as replica:
            with replica.client() as client:
                ledger = make_ledger(client)
                ledger.ping_writable()
                assert ledger.server().is_replica is True

    def test_settings_that_may_not_be_read_are_unknown(self) -> None:
        with RedisServer(save="3600 1", appendonly="yes") as own, own.client() as client:
            assert make_ledger(client).server().snapshots is True
            client.execute_command("ACL", "SETUSER", "default", "-config")
            server = make_ledger(client).server()
        assert (server.append_only, server.snapshots) == (True, None)
