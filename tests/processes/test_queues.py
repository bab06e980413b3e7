"""RQ's two queues: reports that can go out do so before further rooms are begun, and RQ's own tools see both."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from rq.job import Job
from rq.serializers import JSONSerializer
from rq.utils import as_text

from room_reports.dispatch import DELIVERIES, SUMMARIES
from room_reports.ledger import Outcome
from tests.processes.conftest import Begin
from tests.processes.rooms import Scene
from tests.support.processes import ROOT, wait_until

ROOMS = 6


def one_delivery_queued(scene: Scene) -> str:
    """A room whose summary is there and whose webhook delivery waits in its queue."""
    sid = scene.open()
    claim = scene.ledger.begin(sid, "summary", 1)
    assert claim is not None
    scene.ledger.finish(claim, Outcome("complete", fields={"summary": "{}"}, opens=("webhook",)), took=0.1)
    return sid


def test_a_room_that_was_begun_is_finished_before_another_is_begun(scene: Scene, tmp_path: Path) -> None:
    one_thread = Scene(scene.server, scene.sandbox, WORKER_THREADS="1", STEP_LEASE="60")
    sids = [one_thread.open(number) for number in range(ROOMS)]
    with one_thread.worker(tmp_path / "worker.log") as worker:
        one_thread.wait_for_all(ROOMS)
        assert worker.stop() == 0
    asked = {sid: scene.sandbox.twilio.times(sid)[0] for sid in sids}
    arrived = {sid: scene.sandbox.receiver.accepted(sid)[0].at for sid in sids}
    assert sorted(sids, key=asked.__getitem__) == sids
    for before, after in pairwise(sids):
        assert arrived[before] < asked[after], "a report waited behind a summary"


def test_a_delivery_that_an_older_worker_queued_among_the_summaries_is_run(scene: Scene, tmp_path: Path) -> None:
    patient = Scene(scene.server, scene.sandbox, STEP_LEASE="60")
    sid = one_delivery_queued(patient)
    assert scene.redis.lmove(f"rq:queue:{DELIVERIES}", f"rq:queue:{SUMMARIES}")
    with patient.worker(tmp_path / "worker.log") as worker:
        patient.wait_for_all(1)
        assert worker.stop() == 0
    assert patient.room(sid).steps[1].attempt == 1


def test_a_job_that_rq_has_written_again_is_run(scene: Scene, tmp_path: Path) -> None:
    """As when an operator has RQ queue a failed job again: RQ compresses what it writes."""
    patient = Scene(scene.server, scene.sandbox, STEP_LEASE="60")
    sid = patient.open()
    [job_id] = scene.redis.lrange(f"rq:queue:{SUMMARIES}", 0, -1)
    Job.fetch(as_text(job_id), connection=scene.redis, serializer=JSONSerializer).save()
    with patient.worker(tmp_path / "worker.log") as worker:
        patient.wait_for_all(1)
        assert worker.stop() == 0
    assert patient.room(sid).steps[0].attempt == 1


def test_rq_info_sees_both_queues_and_the_worker(scene: Scene, begin: Begin) -> None:
    one_delivery_queued(scene)
    for number in (1, 2, 3):
        scene.open(number)
    scene.redis.lpop(f"rq:queue:{SUMMARIES}")  # the job of the summary that is there already
    scene.ledger.dispatch()
    assert sorted(rq_info(scene, "--only-queues")) == [
        f"queue {SUMMARIES} 3, 0 executing, 0 finished, 0 failed",
        f"queue {DELIVERIES} 1, 0 executing, 0 finished, 0 failed",
    ]
    begin()
    wait_until(lambda: scene.redis.scard("rq:workers"), what="the worker is registered")
    [worker] = rq_info(scene, "--only-workers")
    assert f"{DELIVERIES},{SUMMARIES}" in worker.replace(" ", "")


def rq_info(scene: Scene, what: str) -> list[str]:
    """What RQ's own command says of queues or workers."""
    command = [sys.executable, "-m", "rq.cli", "info", "--raw", what, "--url", scene.server.url]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    return [line for line in shown.splitlines() if line.strip()]
