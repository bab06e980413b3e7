"""SIGTERM: what runs is finished or handed back within the grace time, and nothing waits for a lease afterwards."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from sandbox.client import Sandbox
from tests.processes.conftest import Begin
from tests.processes.rooms import Scene
from tests.support.processes import wait_until
from tests.support.servers import RedisServer

DONE = [("slack", "delivered"), ("summary", "complete"), ("webhook", "delivered")]
SLOW = 0.4

PLATFORMS_WAIT = 28.0
"""Seconds: Heroku and Kubernetes kill after 30."""


def test_b43_a_slow_call_is_finished_and_nothing_waits_for_a_lease(scene: Scene, begin: Begin) -> None:
    scene.sandbox.twilio.latency(SLOW)
    sid = scene.open()
    worker = begin()
    wait_until(lambda: scene.sandbox.twilio.history(sid), what="the fetch is on its way")
    assert worker.stop() == 0
    assert scene.state(sid, "summary") == "complete"
    begin()
    scene.wait_for_all(1)
    assert scene.outcomes(sid) == DONE
    assert scene.arrivals(sid) == (1, 1)


@pytest.mark.parametrize("signals", [(signal.SIGTERM,) * 2, (signal.SIGTERM, signal.SIGINT)], ids=["twice", "and INT"])
def test_b43_the_whole_group_is_told_and_told_again(scene: Scene, begin: Begin, signals: tuple[int, ...]) -> None:
    scene.sandbox.twilio.latency(SLOW)
    sid = scene.open()
    worker = begin()
    wait_until(lambda: scene.sandbox.twilio.history(sid), what="the fetch is on its way")
    for signum in signals:
        os.killpg(worker.pid, signum)
    assert worker.wait() == 0
    begin()
    scene.wait_for_all(1)
    assert scene.outcomes(sid) == DONE
    assert scene.arrivals(sid) == (1, 1)


def test_b43_what_outlasts_the_grace_time_is_due_at_once(
    durable: RedisServer, sandbox: Sandbox, tmp_path: Path
) -> None:
    # The fetch alone fits into the grace time; the delivery that follows in the same job does not.
    scene = Scene(durable, sandbox, HTTP_READ_TIMEOUT="2", HTTP_TOTAL_TIMEOUT="2", SHUTDOWN_GRACE="2", STEP_LEASE="6")
    scene.redis.flushall()
    sandbox.twilio.latency(1.4)
    sandbox.slack.latency(1.9)
    sid = scene.open()
    with scene.worker(tmp_path / "worker.log") as worker:
        wait_until(lambda: sandbox.twilio.history(sid), what="the fetch is on its way")
        code = worker.stop()
    steps = {step.name: step.state for step in scene.room(sid).steps}
    assert "running" not in steps.values(), f"waits for its lease: {steps}"
    assert code in (0, 1)


def test_b43_a_worker_without_work_stops_and_says_goodbye_to_rq(scene: Scene, begin: Begin) -> None:
    worker = begin()
    wait_until(lambda: scene.redis.scard("rq:workers"), what="the worker is known to RQ")
    assert worker.stop() == 0
    assert scene.redis.scard("rq:workers") == 0


@pytest.mark.parametrize("trouble", ["killed", "stopped"])
def test_b43_it_stops_in_time_while_redis_is_away(scene: Scene, begin: Begin, trouble: str) -> None:
    worker = begin()
    wait_until(lambda: scene.redis.scard("rq:workers"), what="the worker is known to RQ")
    if trouble == "killed":
        scene.server.kill()
    else:
        scene.server.pause()
    try:
        worker.stop(seconds=PLATFORMS_WAIT)
    finally:
        if trouble == "killed":
            scene.server.start()
        else:
            scene.server.go_on()


def test_b43_it_stops_in_time_while_redis_is_away_and_an_outcome_waits_for_it(scene: Scene, begin: Begin) -> None:
    scene.sandbox.twilio.latency(SLOW)
    sid = scene.open()
    worker = begin()
    wait_until(lambda: scene.sandbox.twilio.history(sid), what="the fetch is on its way")
    scene.server.kill()
    try:
        worker.stop(seconds=PLATFORMS_WAIT)
    finally:
        scene.server.start()
    begin()
    scene.wait_for_all(1)
    assert scene.arrivals(sid) == (1, 1)
