"""The connections that the ledger's scripts are run on: one for each thread, and what happens when one breaks."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.backoff import NoBackoff
from redis.connection import UnixDomainSocketConnection
from redis.retry import Retry

from room_reports.dispatch import queue_entry
from room_reports.ledger import Lane, Ledger, Outcome
from room_reports.ledger.scripts import lua_literal
from tests.support.processes import ROOT
from tests.support.servers import RedisServer

SID = "RM" + "1" * 32
LANES = [Lane("twilio", (0.1,)), Lane("slack", (0.1,)), Lane("webhook", (0.1,))]


def ledger_on(client: redis.Redis) -> Ledger:
    return Ledger(client, prefix="t:", lease=60, retention=9 * 86400, lanes=LANES, queue=queue_entry())


def open_room(ledger: Ledger, sid: str = SID) -> str:
    return ledger.open(
        room_sid=sid, account_sid="AC", room_name="", ended=datetime.now(UTC), callback="", request_id="request-1"
    )


class Deaf(UnixDomainSocketConnection):
    """Loses the first answer that comes while `loses` is set."""

    loses = False

    def read_response(self, *args: object, **options: object) -> object:
        answer = super().read_response(*args, **options)
        if Deaf.loses and isinstance(answer, list):
            Deaf.loses = False
            raise redis.ConnectionError("the answer was lost")
        return answer


@pytest.fixture
def connection(valkey: RedisServer) -> Iterator[redis.Redis]:
    """Another client, with nothing in the server: it makes no difference here which engine that is."""
    with valkey.client() as client:
        client.flushall()
        yield client


@pytest.fixture
def deaf(valkey: RedisServer, connection: redis.Redis) -> redis.Redis:
    pool = redis.ConnectionPool(
        connection_class=Deaf,
        path=str(valkey.socket),
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    )
    return redis.Redis(connection_pool=pool)


def test_an_outcome_whose_answer_was_lost_is_written_once_and_goes_on(deaf: redis.Redis) -> None:
    ledger = ledger_on(deaf)
    open_room(ledger)
    claim = ledger.begin(SID, "summary", 1)
    assert claim is not None
    Deaf.loses = True
    finished = ledger.finish(claim, Outcome("complete", opens=("slack", "webhook")), took=0.1, go_on=True)
    assert not Deaf.loses, "no answer was lost, this proves nothing"
    assert finished is not None and finished.following is not None
    assert (finished.following.step, finished.following.attempt, finished.following.series) == ("slack", 1, 1)
    assert ledger.finish(finished.following, Outcome("delivered"), took=0.1) is not None
    room = ledger.room(SID)
    assert room is not None
    assert [(one["step"], one["outcome"]) for one in room.attempts] == [("summary", "complete"), ("slack", "delivered")]


def test_an_attempt_whose_beginning_was_not_heard_is_begun_once(deaf: redis.Redis) -> None:
    ledger = ledger_on(deaf)
    open_room(ledger)
    Deaf.loses = True
    assert ledger.begin(SID, "summary", 1) is not None
    assert not Deaf.loses
    assert ledger.begin(SID, "summary", 1) is None


def test_scripts_that_the_server_forgot_are_sent_again(connection: redis.Redis) -> None:
    ledger = ledger_on(connection)
    assert open_room(ledger) == "opened"
    connection.script_flush()
    assert open_room(ledger) == "known"


@given(st.recursive(st.text() | st.booleans() | st.integers(-(10**9), 10**9), lambda one: st.lists(one, min_size=1)))
def test_what_is_written_into_a_script_means_there_what_it_says(valkey: RedisServer, value: object) -> None:
    with valkey.client() as client:
        answer = client.eval(f"return cjson.encode({{{lua_literal(value)}}})", 0)
    assert isinstance(answer, bytes)
    assert json.loads(answer) == [value]


def test_a_connection_that_the_server_closed_is_made_anew(valkey: RedisServer, connection: redis.Redis) -> None:
    with redis.Redis(unix_socket_path=str(valkey.socket), retry=Retry(NoBackoff(), 1)) as client:
        ledger = ledger_on(client)
        assert open_room(ledger) == "opened"
        connection.client_kill_filter(_type="normal", skipme=True)
        assert open_room(ledger) == "known"


def test_a_thread_that_ends_gives_its_connection_back(valkey: RedisServer, connection: redis.Redis) -> None:
    with redis.Redis(unix_socket_path=str(valkey.socket), max_connections=2) as client:
        ledger = ledger_on(client)
        answers: list[str] = []
        for _ in range(8):
            thread = threading.Thread(target=lambda: answers.append(open_room(ledger)))
            thread.start()
            thread.join()
        assert answers == ["opened"] + ["known"] * 7


def test_threads_at_once_have_a_connection_each(valkey: RedisServer, connection: redis.Redis) -> None:
    with redis.Redis(unix_socket_path=str(valkey.socket), client_name="many") as client:
        ledger = ledger_on(client)
        everyone, end = threading.Barrier(5), threading.Event()

        def call() -> None:
            open_room(ledger)
            everyone.wait()
            end.wait()

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        everyone.wait()
        named = [one for one in connection.client_list() if one["name"] == "many"]
        end.set()
        for thread in threads:
            thread.join()
        assert len(named) == 4


FORK = """
import os, sys
import redis
from tests.test_ledger_connections import ledger_on, open_room

ledger = ledger_on(redis.Redis(unix_socket_path=sys.argv[1], socket_timeout=5))
open_room(ledger)
child = os.fork()
sids = [f"RM{os.getpid():016x}{number:016x}" for number in range(300)]
right = [open_room(ledger, sid) for sid in sids * 2] == ["opened"] * 300 + ["known"] * 300
if child == 0:
    os._exit(0 if right else 1)
sys.exit(0 if right and os.waitpid(child, 0)[1] == 0 else 1)
"""


def test_a_forked_process_shares_no_connection(valkey: RedisServer, connection: redis.Redis) -> None:
    argv = [sys.executable, "-W", "ignore", "-c", FORK, str(valkey.socket)]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert connection.zcard("t:rooms:all") == 601
