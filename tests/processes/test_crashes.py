"""Workers that are killed, and several at once: every step runs again, and never twice at the same time."""

from __future__ import annotations

import time
from collections import Counter
from typing import cast

from tests.processes.conftest import Begin
from tests.processes.rooms import LEASE, Scene
from tests.support.processes import wait_until

SLOW = 0.4


def test_b40_a_fetch_cut_off_by_sigkill_runs_again_when_its_lease_ends(scene: Scene, begin: Begin) -> None:
    scene.sandbox.twilio.latency(SLOW)
    sid = scene.open()
    killed = begin()
    wait_until(lambda: scene.sandbox.twilio.history(sid), what="the fetch is on its way")
    killed.kill()
    left = scene.room(sid).steps[0]
    assert left.state == "running" and left.due is not None
    begin()
    scene.wait_for_all(1)
    assert scene.outcomes(sid) == [
        ("slack", "delivered"),
        ("summary", "complete"),
        ("summary", "lost"),
        ("webhook", "delivered"),
    ]
    assert scene.arrivals(sid) == (1, 1)
    noticed = scene.room(sid).attempts[0]["at"]
    assert left.due.timestamp() <= noticed < left.due.timestamp() + LEASE


def test_b41_a_step_whose_workers_are_killed_again_and_again_is_not_given_up(scene: Scene, begin: Begin) -> None:
    scene.sandbox.slack.latency(SLOW)
    sid = scene.open()
    for death in range(1, 3):
        worker = begin()
        scene.sandbox.slack.wait_for(death, room_sid=sid)
        # Not before the webhook's outcome is written, or the kill may fall into that one's send window too.
        wait_until(lambda: scene.room(sid).steps[2].state == "delivered", what="the webhook is done")
        worker.kill()
    scene.sandbox.slack.latency(0)
    begin()
    scene.wait_for_all(1)
    slack = scene.room(sid).steps[1]
    assert (slack.attempt, slack.tries) == (3, 1)
    assert scene.arrivals(sid)[1] == 1


def test_b45_several_dispatchers_run_no_step_twice_at_once(scene: Scene, begin: Begin) -> None:
    rooms = 150
    scene.sandbox.twilio.latency(0.05)
    for sid in [scene.open(number) for number in range(rooms)]:
        scene.ledger.release(sid, "summary", 1)  # not in the queue: only a dispatcher can get it going
    scene.redis.delete("rq:queue:room-reports")
    for _ in range(3):
        begin()
    scene.wait_for_all(rooms)
    for service in (scene.sandbox.twilio, scene.sandbox.slack, scene.sandbox.receiver):
        asked = Counter(exchange.room_sid for exchange in service.history())
        assert len(asked) == rooms
        assert set(asked.values()) == {1}


def test_b45_the_other_dispatcher_takes_over(scene: Scene, begin: Begin) -> None:
    first, _ = begin(), begin()
    wait_until(lambda: scene.redis.scard("rq:workers") == 2, what="both workers are there")
    scene.sandbox.twilio.latency(SLOW)
    sids = [scene.open(number) for number in range(8)]
    # Running, not only taken: an attempt that never began leaves nothing to be noted as lost. Each has four threads, so
    # with five at least one is the first worker's.
    wait_until(
        lambda: sum(scene.room(sid).steps[0].state == "running" for sid in sids) > 4, what="both workers are busy"
    )
    first.kill()
    scene.wait_for_all(8)
    lost = [outcome for sid in sids for outcome in scene.outcomes(sid) if outcome[1] == "lost"]
    assert 0 < len(lost) < 8
    assert {scene.arrivals(sid) for sid in sids} == {(1, 1)}


def test_b49_a_backlog_does_not_multiply_when_leases_run_out_in_the_queue(scene: Scene, begin: Begin) -> None:
    rooms = 1500
    scene.sandbox.twilio.latency(SLOW)
    for number in range(rooms):
        scene.open(number)
    for _ in range(2):
        begin()
    due = "room-reports:due:twilio"
    first = cast(list[tuple[bytes, float]], scene.redis.zrange(due, 0, 0, withscores=True))[0][1]
    wait_until(lambda: time.time() > first + LEASE / 2, what="every lease ran out", seconds=30)
    jobs = [job.decode() for job in cast(list[bytes], scene.redis.lrange("rq:queue:room-reports", 0, -1))]
    steps = Counter(job.rpartition("-")[0] for job in jobs)
    summaries = [job for job in jobs if "-summary-" in job]
    assert len(summaries) > rooms / 2, "the backlog is gone, this proves nothing"
    assert set(steps.values()) == {1}
    # What ran for longer than its lease, as may be on a busy machine, is queued again; what waits in the queue is not.
    assert sum(not job.endswith("-1") for job in summaries) <= 8, "more than the threads of two workers had"
