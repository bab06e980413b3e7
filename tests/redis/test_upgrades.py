"""An older version and this one on one Redis: side by side in a rollout, and the older one alone after a rollback."""

from __future__ import annotations

import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path

import pytest

from room_reports.ledger import SCHEMA, LedgerUnavailable
from sandbox import callbacks
from sandbox.client import Sandbox
from sandbox.options import AUTH_TOKEN
from sandbox.summaries import room_sid
from tests.conftest import StartWeb, StartWorker
from tests.processes.rooms import QUICK, Scene
from tests.redis.conftest import command
from tests.support.processes import ROOT, Process, settings_for, wait_until
from tests.support.servers import RedisServer, free_port
from tests.web.conftest import form, post
from tests.web.wire import send

BEFORE_THE_FIRST_TAG = "205bfe8"
"""Before deliveries had a queue of their own: the oldest that still must work beside this version."""

StartOld = Callable[..., Process]


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout


def older_revision() -> str | None:
    """The last tag before this commit, else the fixed one; None in a checkout without history."""
    for arguments in (
        ("describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD^"),
        ("rev-parse", "--verify", f"{BEFORE_THE_FIRST_TAG}^{{commit}}"),
    ):
        try:
            return git(*arguments).decode().strip()
        except (subprocess.CalledProcessError, OSError):
            continue
    return None


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the older version."""
    revision = older_revision()
    if revision is None:
        pytest.skip("no tag and no history here: a full clone has them (git fetch --unshallow --tags)")
    folder = tmp_path_factory.mktemp("older")
    with tarfile.open(fileobj=BytesIO(git("archive", revision))) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def env(redis_url: str, sandbox: Sandbox) -> dict[str, str]:
    return {**settings_for(redis_url), **sandbox.environment(), **QUICK}


@pytest.fixture
def start_old(older: Path, env: dict[str, str], tmp_path: Path) -> Iterator[StartOld]:
    """`start_old("worker.py")` starts a program of the older version; all are ended after the test."""
    with ExitStack() as stack:
        started = 0

        def start(*arguments: str, **variables: str) -> Process:
            nonlocal started
            started += 1
            log = tmp_path / f"old-{started}.log"
            argv = [sys.executable, *arguments]
            return stack.enter_context(Process(argv, env={**env, **variables}, log=log, cwd=older))

        yield start


def start_old_web(start_old: StartOld) -> int:
    """A web process of the older version. Returns its port."""
    port = free_port()
    web = start_old("-m", "gunicorn", "-c", "config/gunicorn.py", "app:app", PORT=str(port), WEB_CONCURRENCY="1")

    def listens() -> bool:
        assert web.is_running(), web.output()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, what="the older web listens")
    return port


def call_back(port: int, sid: str) -> int:
    url = f"http://127.0.0.1:{port}/twilio/rooms"
    return send(port, callbacks.request(url=url, token=AUTH_TOKEN, params=form(RoomSid=sid))).status


def wait_for_reports(sandbox: Sandbox, sids: list[str]) -> None:
    def all_arrived() -> bool:
        return all(sandbox.slack.accepted(sid) and sandbox.receiver.accepted(sid) for sid in sids)

    wait_until(all_arrived, what="all are reported", seconds=40)


@pytest.mark.deploy
def test_both_versions_work_side_by_side(
    start_old: StartOld, start_web: StartWeb, start_worker: StartWorker, env: dict[str, str], sandbox: Sandbox
) -> None:
    sandbox.slack.latency(0.2)
    workers = [start_old("worker.py"), start_worker(env)]
    ports = [start_old_web(start_old), start_web(env).port]
    sids = [room_sid(1, number) for number in range(40)]
    for number, sid in enumerate(sids):
        assert call_back(ports[number % 2], sid) == 204
        assert call_back(ports[1 - number % 2], sid) == 204  # the other version knows it
    wait_for_reports(sandbox, sids)
    assert {len(sandbox.receiver.accepted(sid)) for sid in sids} == {1}
    for worker in workers:
        assert worker.stop() == 0
        assert "Traceback" not in worker.output()


@pytest.mark.deploy
def test_after_a_rollback_the_older_version_finishes_what_the_newer_began(
    start_old: StartOld, start_web: StartWeb, start_worker: StartWorker, env: dict[str, str], sandbox: Sandbox
) -> None:
    """Rows in every state: not begun, deliveries queued, and cut off in the middle by the newer worker's end."""
    sandbox.slack.latency(0.4)
    web = start_web(env)
    sids = [room_sid(2, number) for number in range(24)]
    worker = start_worker(env)
    for sid in sids:
        assert post(web, form(RoomSid=sid)).status == 204
    wait_until(lambda: sandbox.slack.history(), what="the first delivery is on its way")
    worker.kill()
    later = [room_sid(3, number) for number in range(6)]
    for sid in later:
        assert post(web, form(RoomSid=sid)).status == 204
    assert web.stop() == 0
    old = start_old("worker.py")
    wait_for_reports(sandbox, [*sids, *later])
    assert call_back(start_old_web(start_old), sids[0]) == 204
    assert old.stop() == 0
    assert "Traceback" not in old.output()


class TestNewerSchema:
    """What this version does where a newer one has raised the schema."""

    def test_nothing_starts_and_everything_says_why(
        self, env: dict[str, str], tmp_path: Path, valkey: RedisServer
    ) -> None:
        with valkey.client() as client:
            client.set("room-reports:schema", SCHEMA + 1)
        worker = Process([sys.executable, "worker.py"], env=env, log=tmp_path / "log")
        with worker:
            assert worker.wait() == 2
        assert "a newer version of this service has worked on this Redis" in worker.output()
        said = command(env, tmp_path, "doctor", "--startup")
        assert said.returncode == 1
        assert "a newer version of this service has worked on this Redis" in said.stdout

    def test_who_runs_already_takes_nothing_and_loses_nothing(
        self, valkey: RedisServer, sandbox: Sandbox, start_web: StartWeb, start_worker: StartWorker, redis_url: str
    ) -> None:
        scene = Scene(valkey, sandbox)
        web, worker = start_web(scene.env), start_worker(scene.env)
        wait_until(lambda: scene.redis.scard("rq:workers"), what="the worker is there")
        scene.redis.set("room-reports:schema", SCHEMA + 1)
        assert post(web, form(RoomSid=room_sid(1, 1))).status == 503
        with pytest.raises(LedgerUnavailable, match="newer schema"):
            scene.open(2)
        assert not list(scene.redis.scan_iter("room-reports:room:*"))
        assert worker.is_running()
        scene.redis.delete("room-reports:schema")
        scene.open(3)
        scene.wait_for_all(1)
