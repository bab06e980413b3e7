"""One Redis for several: other databases, other applications, and two installations that know the same room."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from room_reports.dispatch import job_tag, queues_of
from sandbox.client import Sandbox
from sandbox.summaries import room_sid
from tests.conftest import StartWeb, StartWorker
from tests.processes.rooms import QUICK
from tests.redis.conftest import Serve, command
from tests.support.processes import settings_for, wait_until
from tests.support.servers import RedisServer
from tests.web.conftest import form, post


def test_all_of_it_is_in_one_database_under_two_prefixes(serve: Serve, valkey: RedisServer) -> None:
    with valkey.client() as client:
        client.flushall()
        serve({"REDIS_URL": valkey.tcp_url.replace("/0", "/3"), "REDIS_PREFIX": "team.a:"})
        assert list(client.info("keyspace")) == ["db3"]
        client.select(3)
        keys = cast(list[bytes], client.keys("*"))
        assert keys
        assert not [key for key in keys if not key.startswith((b"team.a:", b"rq:"))]


def test_two_installations_that_know_one_room_report_it_each(
    valkey: RedisServer, sandbox: Sandbox, start_web: StartWeb, start_worker: StartWorker, tmp_path: Path
) -> None:
    """The jobs of both wait at once, then the worker of the second alone must not touch those of the first."""
    with valkey.client() as client:
        client.flushall()
    sid = room_sid(1, 1)
    envs = [
        {**settings_for(valkey.url), **sandbox.environment(), **QUICK, "REDIS_PREFIX": prefix}
        for prefix in ("room-reports:", "staging.eu-1:")
    ]
    for env in envs:
        assert post(start_web(env), form(RoomSid=sid)).status == 204
    second = start_worker(envs[1])
    wait_until(lambda: sandbox.receiver.accepted(sid), what="the second installation's report")
    assert second.stop() == 0
    first = command(envs[0], tmp_path, "rooms", "list", "--state", "open", "--json")
    assert sid in first.stdout
    start_worker(envs[0])
    wait_until(lambda: len(sandbox.receiver.accepted(sid)) == 2, what="the first installation's report")
    assert len(sandbox.twilio.history(sid)) == 2
    assert len(sandbox.slack.accepted(sid)) <= 2
    wait_until(lambda: len(sandbox.slack.accepted(sid)) == 2, what="both messages")


@pytest.mark.parametrize("other", ["acme:", "acme.:", "acme_2e:", "a-c:", "room-reports-2:"])
def test_no_two_prefixes_share_a_queue_or_a_job_id(other: str) -> None:
    assert not {*queues_of(other)} & {*queues_of("room-reports:"), *queues_of("other:")}
    tags = {job_tag(prefix) for prefix in ("room-reports:", "acme:", "acme.:", "acme_2e:", "a-c:", "room-reports-2:")}
    assert len(tags) == 6
    assert job_tag(other).replace("_", "").isalnum()
