"""B46: who can write to Redis can plant a job; a worker unpickles nothing and runs nothing but its own functions."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rq import Queue
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from room_reports.dispatch import QUEUES, SUMMARIES
from tests.processes.conftest import Begin
from tests.processes.rooms import Scene
from tests.support.processes import wait_until


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (self.command,)


def pickled(command: str) -> dict[str, Any]:
    return {"data": pickle.dumps(Trap(command))}


def named(function: str) -> Callable[[str], dict[str, Any]]:
    return lambda command: {"data": json.dumps([function, None, [command], {}])}


PLANTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "pickled": pickled,
    "pickled result and meta": lambda command: {
        "data": json.dumps(["os.system", None, [command], {}]),
        "meta": pickle.dumps(Trap(command)),
        "result": pickle.dumps(Trap(command)),
    },
    "os.system": named("os.system"),
    "a helper of ours": named("room_reports.jobs.run"),
    "callbacks": lambda command: {
        "data": json.dumps(["os.system", None, [command], {}]),
        "success_callback_name": "os.system",
        "failure_callback_name": "os.system",
    },
    "an instance": lambda command: {"data": json.dumps(["room_reports.jobs.deliver", command, [], {}])},
    "no data": lambda command: {"description": command},
    "rubbish": lambda command: {"data": b"\xff\x00rubbish", "created_at": "yesterday", "timeout": "long"},
    "named arguments": lambda command: {
        "data": json.dumps(["room_reports.jobs.deliver", None, [], {"room_sid": command}])
    },
    "a list for a name": lambda command: {"data": json.dumps([["os.system"], None, [command], {}])},
    "rubbish arguments": lambda command: {"data": json.dumps(["room_reports.jobs.deliver", None, 7, None])},
}


@pytest.fixture(params=QUEUES)
def queue(scene: Scene, request: pytest.FixtureRequest) -> Queue:
    return Queue(request.param, connection=scene.redis, serializer=JSONSerializer)


def test_b46_planted_jobs_run_nothing_and_fail_closed(scene: Scene, begin: Begin, queue: Queue, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    for name, plant in PLANTS.items():
        key = f"planted-{name.replace(' ', '-').replace('.', '-')}"
        fields: dict[Any, Any] = {"status": "queued", **plant(f"touch {proof}")}
        scene.redis.hset(f"rq:job:{key}", mapping=fields)
        scene.redis.rpush(queue.key, key)
    sid = scene.open()
    worker = begin()
    scene.wait_for_all(1)
    wait_until(lambda: not queue.count, what="the queue is empty")
    wait_until(lambda: not scene.redis.zcard(StartedJobRegistry(queue=queue).key), what="no job is left as started")
    failed = FailedJobRegistry(queue=queue).get_job_ids(cleanup=False)
    assert not proof.exists()
    assert worker.is_running()
    assert scene.arrivals(sid) == (1, 1)
    assert len(failed) == len(PLANTS), f"seen to fail: {failed}"
    assert worker.stop() == 0


def test_b46_a_planted_job_for_a_real_room_does_nothing_either(scene: Scene, begin: Begin, queue: Queue) -> None:
    sid = scene.open()
    worker = begin()
    scene.wait_for_all(1)
    again = json.dumps(["room_reports.jobs.deliver", None, [sid, "slack", 2], {}])
    scene.redis.hset("rq:job:planted", mapping={"status": "queued", "data": again})
    scene.redis.rpush(queue.key, "planted")
    wait_until(lambda: not scene.redis.exists("rq:job:planted"), what="the job was run")
    assert scene.arrivals(sid) == (1, 1)
    assert worker.stop() == 0


def test_b46_a_failure_that_cannot_be_recorded_ends_no_thread(scene: Scene, tmp_path: Path) -> None:
    one_thread = Scene(scene.server, scene.sandbox, WORKER_THREADS="1", STEP_LEASE="60")
    one_thread.redis.set(f"rq:failed:{SUMMARIES}", "no list of jobs")
    one_thread.redis.hset("rq:job:planted", mapping={"status": "queued", "data": b"rubbish"})
    one_thread.redis.rpush(f"rq:queue:{SUMMARIES}", "planted")
    sid = one_thread.open()
    with one_thread.worker(tmp_path / "worker.log") as worker:
        one_thread.wait_for_all(1)
        assert worker.lines("failed job could not be recorded")
        assert worker.stop() == 0
    assert one_thread.arrivals(sid) == (1, 1)
