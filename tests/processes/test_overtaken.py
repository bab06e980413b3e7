"""An attempt that outlives its lease and the attempt that overtakes it, side by side in one process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from room_reports import jobs
from room_reports.dispatch import queue_entry
from room_reports.lanes import lanes_of
from room_reports.ledger import Ledger
from room_reports.service import make_service, make_transport
from tests.processes.rooms import Scene
from tests.support.processes import wait_until


@pytest.fixture
def impatient(scene: Scene) -> Iterator[Ledger]:
    """A ledger whose leases are far too short, in use by the jobs of this process."""
    settings = scene.settings
    ledger = Ledger(
        scene.redis,
        prefix=settings.redis_prefix,
        lease=0.1,
        retention=settings.retention,
        lanes=lanes_of(settings),
        queue=queue_entry(),
    )
    with closing(make_transport(settings)) as transport:
        jobs.use(replace(make_service(settings, scene.redis, transport), ledger=ledger))
        yield ledger


def test_b41_an_attempt_that_is_overtaken_does_nothing_and_disturbs_nothing(scene: Scene, impatient: Ledger) -> None:
    failures: list[BaseException] = []

    def run(attempt: int) -> None:
        try:
            jobs.fetch_summary(sid, "summary", attempt)
        except BaseException as error:
            failures.append(error)

    scene.sandbox.twilio.latency(0.4)
    sid = scene.open()
    first = threading.Thread(target=run, args=(1,))
    first.start()
    wait_until(lambda: scene.sandbox.twilio.history(sid), what="the first attempt is on its way")
    wait_until(lambda: impatient.dispatch()[0], what="its lease has run out")
    second = threading.Thread(target=run, args=(2,))
    second.start()
    first.join()
    second.join()
    assert failures == []
    summary = scene.room(sid).steps[0]
    assert (summary.state, summary.attempt) == ("complete", 2)
    assert [outcome for step, outcome in scene.outcomes(sid) if step == "summary"] == ["complete", "lost"]
