"""Rows B32 and B34, the web's part: Redis is away, mute, read-only, full, loading or refuses us."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import StartWeb
from tests.support.processes import Web, settings_for, wait_until
from tests.support.servers import BlackHole, Forwarder, RedisServer, free_port
from tests.web.conftest import form, jobs, post
from tests.web.wire import Answer, exchange

READY = b"GET /readyz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
PASSWORD = "a-password-nobody-may-see"
PROMISE = 2.0
"""Seconds in which Twilio must hear that a callback was not taken."""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of the test's own, to be broken."""
    with RedisServer() as started:
        yield started


def answer_in_time(web: Web, number: int = 0) -> Answer:
    """The answer to a callback, which must have come within the promised time."""
    started = time.monotonic()
    answer = post(web, form(RoomSid=f"RM{number:032x}"))
    assert time.monotonic() - started < PROMISE
    return answer


def assert_refuses(web: Web, reason: str) -> None:
    """503 with `Retry-After` for the callback, 503 with the reason for readiness, and still alive."""
    answer = answer_in_time(web)
    assert answer.status == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert json.loads(answer.body) == {"error": "redis", "detail": reason}
    ready = exchange(web.port, READY)
    assert ready.status == 503
    assert json.loads(ready.body)["checks"]["redis"] == {"status": "error", "reason": reason}
    assert exchange(web.port, READY.replace(b"readyz", b"healthz")).status == 200
    assert "Traceback" not in web.output()
    assert PASSWORD not in web.output()


def test_b32_down(start_web: StartWeb) -> None:
    assert_refuses(start_web(settings_for(f"redis://127.0.0.1:{free_port()}/0")), "unreachable")


def test_b32_goes_down_and_comes_back(start_web: StartWeb, server: RedisServer) -> None:
    web = start_web(settings_for(server.url))
    assert post(web).status == 204
    server.kill()
    assert_refuses(web, "unreachable")
    server.start()
    assert post(web).status == 204
    assert exchange(web.port, READY).status == 200


def test_b32_restarts_between_two_callbacks(start_web: StartWeb, server: RedisServer) -> None:
    web = start_web(settings_for(server.url))
    for number in range(3):
        assert answer_in_time(web, number).status == 204
        server.stop()
        server.start()


def test_b32_connection_that_died_unnoticed(start_web: StartWeb, server: RedisServer) -> None:
    with Forwarder(server.port) as between:
        web = start_web(settings_for(f"redis://127.0.0.1:{between.port}/0"))
        assert answer_in_time(web, 1).status == 204
        between.forget()
        assert answer_in_time(web, 2).status == 204


def test_b32_black_hole_from_the_start(start_web: StartWeb) -> None:
    with BlackHole() as hole:
        assert_refuses(start_web(settings_for(f"redis://127.0.0.1:{hole.port}/0")), "timeout")


def test_b32_freezes_and_thaws(start_web: StartWeb, server: RedisServer) -> None:
    web = start_web(settings_for(server.url))
    assert post(web).status == 204
    server.pause()
    assert_refuses(web, "timeout")
    # Many at once must not queue up behind one timeout after the other.
    with ThreadPoolExecutor(60) as callers:
        answers = list(callers.map(lambda number: answer_in_time(web, number), range(60)))
    assert {answer.status for answer in answers} == {503}
    server.go_on()
    with server.client() as client:
        client.flushall()
        time.sleep(0.6)
        assert answer_in_time(web, 61).status == 204
        assert jobs(client) == [f"RM{61:032x}-summary-1".encode()]


def test_b34_read_only_replica(start_web: StartWeb, server: RedisServer) -> None:
    with server.client() as client:
        client.replicaof("127.0.0.1", free_port())
        client.config_set("replica-serve-stale-data", "yes")
    assert_refuses(start_web(settings_for(server.url)), "read-only")


def test_b34_out_of_memory(start_web: StartWeb, server: RedisServer) -> None:
    with server.client() as client:
        client.config_set("maxmemory", "1")
    assert_refuses(start_web(settings_for(server.url)), "out of memory")


def test_b34_cannot_persist(start_web: StartWeb) -> None:
    with RedisServer(save="3600 1") as server, server.client() as client:
        (server.socket.parent / "dump.rdb").mkdir()  # no file can be put in its place
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", what="saving fails")
        assert_refuses(start_web(settings_for(server.url)), "cannot persist")


def test_b34_loading(start_web: StartWeb) -> None:
    slowly = {"appendonly": "yes", "key-load-delay": "200", "loading-process-events-interval-bytes": "1024"}
    with RedisServer(**slowly) as server:
        with server.client() as client:
            client.mset({f"key-{number}": "x" for number in range(50_000)})
            client.bgrewriteaof()
            wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], what="the file is rewritten")
        server.kill()
        server.launch()
        web = start_web(settings_for(server.url))
        assert_refuses(web, "loading")


@pytest.mark.parametrize("given", ["", ":wrong-password@", f":{PASSWORD}x@", f"nobody:{PASSWORD}@"])
def test_b34_password_missing_or_wrong(start_web: StartWeb, given: str) -> None:
    with RedisServer(requirepass=PASSWORD) as server:
        web = start_web(settings_for(server.tcp_url.replace("redis://", f"redis://{given}")))
        assert_refuses(web, "authentication")


def test_b34_user_that_may_not_write(start_web: StartWeb, server: RedisServer) -> None:
    with server.client() as client:
        client.acl_setuser("reader", enabled=True, passwords=[f"+{PASSWORD}"], keys="*", categories=["+@read"])
    web = start_web(settings_for(server.tcp_url.replace("redis://", f"redis://reader:{PASSWORD}@")))
    assert_refuses(web, "permission")


def test_right_password_is_not_logged(start_web: StartWeb) -> None:
    with RedisServer(requirepass=PASSWORD) as server:
        url = server.tcp_url.replace("redis://", f"redis://:{PASSWORD}@")
        web = start_web(settings_for(url, LOG_LEVEL="DEBUG"))
        assert post(web).status == 204
        assert PASSWORD not in web.output()
