"""Redis goes away, comes back, forgets, or refuses: a worker stays up and goes on by itself."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from rq import Worker as RqWorker

from sandbox.client import Sandbox
from tests.processes.conftest import Begin
from tests.processes.rooms import Scene
from tests.support.processes import wait_until
from tests.support.servers import RedisServer

DONE = [("slack", "delivered"), ("summary", "complete"), ("webhook", "delivered")]


def test_b36_redis_restarts_under_an_idle_worker(scene: Scene, begin: Begin) -> None:
    worker = begin()
    wait_until(lambda: scene.redis.scard("rq:workers"), what="the worker is known to RQ")
    scene.server.kill()
    time.sleep(0.5)
    scene.server.start()
    sid = scene.open()
    scene.wait_for_all(1)
    assert scene.outcomes(sid) == DONE
    assert worker.is_running()


def test_b36_redis_restarts_in_the_middle_of_a_job(scene: Scene, begin: Begin) -> None:
    scene.sandbox.slack.latency(0.6)
    worker = begin()
    sid = scene.open()
    wait_until(lambda: scene.sandbox.slack.history(sid), what="one delivery is on its way")
    wait_until(lambda: scene.state(sid, "webhook") == "delivered", what="the other one is written down")
    scene.server.kill()
    time.sleep(1)  # the answer of Slack comes meanwhile and cannot be written
    scene.server.start()
    scene.wait_for_all(1)
    assert scene.outcomes(sid) == DONE
    assert scene.arrivals(sid) == (1, 1)
    assert worker.is_running()


def test_b36_redis_answers_nothing_for_a_while(scene: Scene, begin: Begin) -> None:
    worker = begin()
    wait_until(lambda: scene.redis.scard("rq:workers"), what="the worker is known to RQ")
    sid = scene.open()
    scene.server.pause()
    time.sleep(1)
    scene.server.go_on()
    scene.wait_for_all(1)
    assert scene.arrivals(sid) == (1, 1)
    assert worker.is_running()


def test_b36_a_worker_waits_for_a_redis_that_is_not_there_yet(scene: Scene, begin: Begin) -> None:
    sid = scene.open()
    scene.server.kill()
    worker = begin()
    wait_until(lambda: worker.lines("worker waits for redis") or not worker.is_running(), what="it misses Redis")
    assert worker.is_running(), worker.output()
    scene.server.start()
    scene.wait_for_all(1)
    assert scene.arrivals(sid) == (1, 1)


@pytest.mark.parametrize("trouble", ["out of memory", "read-only"])
def test_b34_a_redis_that_refuses_writes_is_waited_for(scene: Scene, begin: Begin, trouble: str) -> None:
    worker = begin()
    wait_until(lambda: scene.redis.scard("rq:workers"), what="the worker is known to RQ")
    sid = scene.open()
    scene.wait_for_all(1)
    if trouble == "out of memory":
        scene.redis.config_set("maxmemory", "1")
    else:
        scene.redis.replicaof("127.0.0.1", "9")
    time.sleep(1.5)
    if trouble == "out of memory":
        scene.redis.config_set("maxmemory", "0")
    else:
        scene.redis.replicaof("NO", "ONE")
    later = scene.open(1)
    scene.wait_for_all(2)
    assert worker.is_running()
    assert [scene.arrivals(room) for room in (sid, later)] == [(1, 1), (1, 1)]


def test_b37_after_a_flush_the_service_runs_on_and_rq_knows_the_worker_again(scene: Scene, begin: Begin) -> None:
    worker = begin()
    wait_until(lambda: scene.redis.scard("rq:workers"), what="the worker is known to RQ")
    scene.redis.flushall()
    sid = scene.open()
    scene.wait_for_all(1)
    assert scene.arrivals(sid) == (1, 1)
    wait_until(lambda: [found.pid for found in RqWorker.all(scene.redis)] == [worker.pid], what="rq info shows it")


def test_b37_reconcile_rebuilds_what_a_flush_took(durable: RedisServer, sandbox: Sandbox, tmp_path: Path) -> None:
    scene = Scene(durable, sandbox, RECONCILE_EVERY="1")
    scene.redis.flushall()
    sids = [scene.open(number) for number in range(5)]
    sandbox.twilio.add_rooms({"room_sid": sid} for sid in sids)
    scene.redis.flushall()
    with scene.worker(tmp_path / "worker.log"):
        scene.wait_for_all(5)
    assert {scene.room(sid).source for sid in sids} == {"reconcile"}
    assert {scene.arrivals(sid) for sid in sids} == {(1, 1)}
