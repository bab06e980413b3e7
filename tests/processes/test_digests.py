"""Real workers and the digest of the day before: one for each destination, also when the worker that sends it dies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path

import pytest

from room_reports.ledger import Sending
from sandbox.client import Sandbox
from tests.processes.rooms import Scene
from tests.support.processes import Worker, wait_until
from tests.support.servers import RedisServer

SLOW = 1.0

Begin = Callable[..., Worker]


@pytest.fixture
def begin(durable: RedisServer, sandbox: Sandbox, tmp_path: Path) -> Iterator[Begin]:
    """`begin(DIGEST_AT="00:00")` starts a worker with these settings; all are ended after the test."""
    durable.clear()
    with ExitStack() as stack:
        logs = (tmp_path / f"worker-{number}.log" for number in range(100))
        yield lambda **variables: stack.enter_context(
            Scene(durable, sandbox, RECONCILE_EVERY="0.2", **variables).worker(next(logs))
        )


def test_a_digest_cut_off_by_sigkill_is_sent_by_another_worker_and_repeated_nowhere_else(
    scene: Scene, begin: Begin, today: date
) -> None:
    yesterday = today - timedelta(days=1)

    def sendings() -> dict[str, Sending]:
        return scene.ledger.digests.sendings(yesterday)

    scene.sandbox.receiver.latency(SLOW)
    killed = begin(DIGEST_AT="00:00")
    wait_until(scene.sandbox.receiver.history, what="the digest is on its way")
    killed.kill()
    assert set(sendings()) == {"slack"}
    scene.sandbox.receiver.latency(0)
    for _ in range(2):
        begin(DIGEST_AT="00:00")
    wait_until(lambda: len(sendings()) == 2, what="the digest is everywhere")
    assert {one.state for one in sendings().values()} == {"sent"}
    assert len(scene.sandbox.slack.messages()) == 1
    # The receiver may have heard of it before its sender died, and then tells the repeat by its id.
    assert {exchange.message_id for exchange in scene.sandbox.receiver.history()} == {
        f"msg_digest_{yesterday}_webhook_1"
    }
    assert len(scene.sandbox.receiver.history()) == 2


def test_without_the_setting_none_is_sent(scene: Scene, begin: Begin) -> None:
    begin()
    wait_until(scene.ledger.reconciled_at, what="the chores are done")
    assert scene.redis.keys("*digest*") == []
    assert scene.sandbox.slack.history() == []
