"""A worker dies at every point of the way, each in turn, and another one finishes: nothing is lost, nothing repeated.

B40, B41, B42. The way of a room with participants and two destinations on one thread is always the same, so a worker
can be killed at the n-th point it reaches. All deaths happen at once, each on a database of its own.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from room_reports.faults import Point
from room_reports.ledger import Room
from sandbox.client import Sandbox
from sandbox.history import Exchange
from tests.processes.rooms import Scene
from tests.support.processes import Process, wait_until
from tests.support.servers import RedisServer

WAY: tuple[tuple[Point, str], ...] = (
    (Point.ATTEMPT_BEGUN, "summary"),
    (Point.SUMMARY_FETCHED, "summary"),
    (Point.OUTCOME_WRITTEN, "summary"),
    (Point.ATTEMPT_BEGUN, "participants"),
    (Point.PARTICIPANTS_FETCHED, "participants"),
    (Point.OUTCOME_WRITTEN, "participants"),
    (Point.ATTEMPT_BEGUN, "slack"),
    (Point.REPORT_BUILT, "slack"),
    (Point.REPORT_SENT, "slack"),
    (Point.OUTCOME_WRITTEN, "slack"),
    (Point.ATTEMPT_BEGUN, "webhook"),
    (Point.REPORT_BUILT, "webhook"),
    (Point.REPORT_SENT, "webhook"),
    (Point.OUTCOME_WRITTEN, "webhook"),
)
"""Every point that a room passes, in order, and the step it belongs to, when it is there before its worker."""

UNTOUCHED = 0
"""The way on which nobody dies."""

PATIENT = {
    "HTTP_CONNECT_TIMEOUT": "3",
    "HTTP_READ_TIMEOUT": "3",
    "HTTP_TOTAL_TIMEOUT": "3",
    "SHUTDOWN_GRACE": "3",
    "STEP_LEASE": "8",
}
"""With all those processes starting at once even a loopback request may take a while."""

LEFT_RUNNING = {
    (Point.ATTEMPT_BEGUN, "summary"): "summary",
    (Point.SUMMARY_FETCHED, "summary"): "summary",
    (Point.OUTCOME_WRITTEN, "summary"): "participants",
    (Point.ATTEMPT_BEGUN, "participants"): "participants",
    (Point.PARTICIPANTS_FETCHED, "participants"): "participants",
    (Point.OUTCOME_WRITTEN, "participants"): "slack",
    (Point.ATTEMPT_BEGUN, "slack"): "slack",
    (Point.REPORT_BUILT, "slack"): "slack",
    (Point.REPORT_SENT, "slack"): "slack",
    (Point.OUTCOME_WRITTEN, "slack"): "webhook",  # the next job is taken, and its attempt begun, with the outcome
    (Point.ATTEMPT_BEGUN, "webhook"): "webhook",
    (Point.REPORT_BUILT, "webhook"): "webhook",
    (Point.REPORT_SENT, "webhook"): "webhook",
}
"""The step whose attempt is cut off by a death, where there is one."""


@dataclass(frozen=True)
class End:
    """How it ended: the exit code of the first worker, the points it reached, and what there was after the second."""

    code: int
    reached: tuple[str, ...]
    room: Room
    unfinished: int
    second_code: int
    arrivals: dict[str, list[Exchange]]


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> list[End]:
    """The end of each way: at index n that of the worker killed at the n-th point."""
    folder = tmp_path_factory.mktemp("points")
    with RedisServer(databases="32") as server, Sandbox() as sandbox, ThreadPoolExecutor(len(WAY) + 1) as pool:
        return list(pool.map(lambda number: walk(server, sandbox, number, folder), range(len(WAY) + 1)))


def walk(server: RedisServer, sandbox: Sandbox, number: int, folder: Path) -> End:
    """One room, a worker that dies at its `number`-th point, and one that does not."""
    scene = Scene(server, sandbox, db=number, WORKER_THREADS="1", PARTICIPANTS="1", **PATIENT)
    sid = scene.open(number)
    trace = folder / f"{number}.trace"
    with faulty_worker(scene, number, trace) as first:
        if number == UNTOUCHED:
            scene.wait_for_all(1, seconds=60)
            code = first.stop()
        else:
            code = first.wait(60)
    with scene.worker(folder / f"{number}-second.log") as second:
        scene.wait_for_all(1, seconds=60)
        wait_until(second.is_running, what="the second worker lives")
        second_code = second.stop()
    return End(
        code=code,
        reached=tuple(trace.read_text().splitlines()),
        room=scene.room(sid),
        unfinished=scene.unfinished(),
        second_code=second_code,
        arrivals={"slack": sandbox.slack.accepted(sid), "webhook": sandbox.receiver.accepted(sid)},
    )


def faulty_worker(scene: Scene, number: int, trace: Path) -> Process:
    """A worker that dies at its `number`-th point and writes to `trace` which ones it reached."""
    argv = [sys.executable, "-m", "tests.processes.faulty_worker", str(number), str(trace)]
    return Process(argv, env=scene.env, log=trace.with_suffix(".log"))


def test_every_point_is_on_the_way(ends: list[End]) -> None:
    assert ends[UNTOUCHED].reached == tuple(point for point, _ in WAY)
    elsewhere = {Point.JOB_POPPED, Point.MESSAGE_SENT}  # below, and in test_provisional_crashes.py
    assert {point for point, _ in WAY} | elsewhere == set(Point), "a point that no test kills at"
    assert ends[UNTOUCHED].code == 0


def test_b41_a_job_that_was_popped_and_not_yet_begun_is_queued_again(
    valkey: RedisServer, sandbox: Sandbox, tmp_path: Path
) -> None:
    scene = Scene(valkey, sandbox)
    scene.redis.flushall()
    with faulty_worker(scene, 1, tmp_path / "trace") as idle:
        wait_until(lambda: any(client["cmd"] == "blpop" for client in scene.redis.client_list()), what="it is idle")
        sid = scene.open()
        assert idle.wait() == -9
    assert (tmp_path / "trace").read_text().splitlines() == [Point.JOB_POPPED]
    assert (scene.state(sid, "summary"), scene.redis.llen("rq:queue:room-reports")) == ("queued", 0)
    with scene.worker(tmp_path / "second.log") as second:
        scene.wait_for_all(1)
        assert second.stop() == 0
    assert scene.room(sid).steps[0].attempt == 2
    assert scene.arrivals(sid) == (1, 1)


@pytest.mark.parametrize("number", range(1, len(WAY) + 1), ids=[f"{point}, {step}" for point, step in WAY])
def test_b40_b41_b42_death_at_a_point_loses_nothing(ends: list[End], number: int) -> None:
    end = ends[number]
    point, step = WAY[number - 1]
    assert (end.code, end.reached) == (-9, tuple(point for point, _ in WAY[:number]))
    assert end.second_code in (0, -15), "-15: there was nothing left to do, and it was stopped while it started"
    assert (end.room.state, end.unfinished) == ("delivered", 0)
    for name, arrived in end.arrivals.items():
        is_send_window = point == Point.REPORT_SENT and name == step
        assert len(arrived) == (2 if is_send_window else 1), f"arrivals at {name}"
    assert len({exchange.message_id for exchange in end.arrivals["webhook"]}) == 1


@pytest.mark.parametrize("number", range(1, len(WAY) + 1), ids=[f"{point}, {step}" for point, step in WAY])
def test_b41_only_an_attempt_that_was_cut_off_is_lost_and_counts_nothing(ends: list[End], number: int) -> None:
    room = ends[number].room
    lost = [attempt["step"] for attempt in room.attempts if attempt["outcome"] == "lost"]
    assert lost == [step for step in [LEFT_RUNNING.get(WAY[number - 1])] if step]
    assert [step.tries for step in room.steps] == [1, 1, 1, 1]
